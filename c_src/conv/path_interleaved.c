/* Interleaved kernels, whose vectors run over output channels, and transposing ones, whose vectors
 * run over pixels, for channels that fill no vector. */
#include "base/math.h"
#include "conv/path.h"
#include "conv/plan.h"

enum {
    TRANSPOSE = 4, /* channels that kernels transpose at once */
    /* Cache lines of so many channels are a quarter of level 1. */
    MANY_CHANNELS = 128,
};

static int64_t vectors_of(const pw_plan *plan, int64_t transposing) {
    return pw_ceil_div(plan->K - transposing, plan->kernels->vector);
}

/* Adds candidates for one division of the output channels, with x in place and staged. */
static void list_division(const pw_plan *plan, pw_candidates *to, int merges, int64_t transposing) {
    const pw_problem *p = &plan->problem;
    const pw_geometry *g = &to->geometry;
    const int64_t vectors = vectors_of(plan, transposing);
    const int64_t fewest = pw_ceil_div(vectors, plan->kernels->interleaved_nr_max);
    for (int64_t blocks = fewest; blocks <= pw_min(fewest + 1, vectors); blocks++) {
        pw_candidate it = {.path = &pw_path_interleaved, .merges_rows = merges};
        it.transposing = transposing;
        it.blocks = (int)blocks;
        /* Kernels that broadcast x need panels that hold scale * x + offset. */
        const int scales = p->scale && transposing < plan->K;
        if (!g->loads && !scales && (!transposing || g->x_rows)) pw_add_candidate(plan, to, it);
        it.source = PW_X_STAGED;
        pw_add_candidate(plan, to, it);
    }
}

static void list_interleaved(const pw_plan *plan, pw_candidates *to) {
    const pw_problem *p = &plan->problem;
    const pw_geometry *g = &to->geometry;
    const int64_t most = plan->kernels->transposing_mr_max, vector = plan->kernels->vector;
    if (!g->y_rows || plan->has_pixel_epilogue || (p->P > 1 && g->x_planes && g->y_planes)) return;
    /* Transposing kernels take vectors of pixels: too few pixels would leave lanes idle. */
    const int transposes = most && p->P >= vector;
    const int64_t left = plan->K % vector;
    if (transposes && left && left < plan->K && left <= most) list_division(plan, to, 0, left);
    if (g->rows > 1) list_division(plan, to, 1, 0);
    list_division(plan, to, 0, 0);
    if (transposes && plan->K <= most) list_division(plan, to, 0, plan->K);
}

/* The multiply-adds of a pixel by kernels that broadcast x. */
static double broadcasting_time(const pw_plan *plan, const pw_geometry *g, const pw_candidate *it) {
    const int far = it->source != PW_X_STAGED && !g->x_rows && plan->C > MANY_CHANNELS;
    const double time = (double)vectors_of(plan, it->transposing) * (double)plan->C;
    return far ? plan->tuning->far_channels * time : time;
}

static double predict_interleaved(const pw_plan *plan, const pw_geometry *g,
                                  const pw_candidate *it) {
    const pw_tuning *tuning = plan->tuning;
    const double C = (double)plan->C, T = (double)it->transposing, pixels = pw_pixels(plan, g);
    double time = pw_staging_time(plan, g, it);
    if (it->transposing < plan->K)
        time += pixels * (broadcasting_time(plan, g, it) + tuning->pixel);
    if (it->transposing == plan->K)
        time += pw_pixel_vectors(plan, g, it) *
                (C * (T + 1) + plan->kernels->vector * (tuning->turned_pixel +
                                                        (plan->K % TRANSPOSE ? tuning->odd_y : 0) +
                                                        (plan->C % TRANSPOSE ? tuning->odd_x : 0)));
    else if (it->transposing)
        time += pw_pixel_vectors(plan, g, it) * C * (T + tuning->left_over);
    return time;
}

static int count_transposing(const pw_plan *plan) {
    return (int)pw_ceil_div(plan->transposing, pw_max(1, plan->kernels->transposing_mr_max));
}

static int count_interleaved(const pw_plan *plan) {
    return plan->n_blocks + count_transposing(plan);
}

/* Cuts even blocks of whole vectors, the last padded unless transposing kernels take the rest. */
static void cut_interleaved(pw_plan *plan) {
    const pw_kernels *kernels = plan->kernels;
    const int64_t in_vectors = plan->K - plan->transposing;
    const int64_t vectors = vectors_of(plan, plan->transposing);
    int64_t n = plan->n_blocks, k = 0;
    plan->n_blocks = 0;
    for (int64_t i = 0; i < n; i++) {
        const int nr = (int)(vectors / n + (i < vectors % n)), width = nr * kernels->vector;
        const int channels = (int)pw_min(width, in_vectors - k);
        pw_add_block(plan, kernels->interleaved[nr], channels, width);
        k += channels;
    }
    n = count_transposing(plan);
    for (int64_t i = 0; i < n; i++) {
        const int channels = (int)(plan->transposing / n + (i < plan->transposing % n));
        pw_add_block(plan, kernels->transposing[channels], channels, channels);
    }
}

const pw_path pw_path_interleaved = {
    .name = "interleaved",
    .reads_rows = 1,
    .packing = 2,
    .list = list_interleaved,
    .predict = predict_interleaved,
    .count_blocks = count_interleaved,
    .cut = cut_interleaved,
};

static void list_interleaved_to_planes(const pw_plan *plan, pw_candidates *to) {
    const pw_problem *p = &plan->problem;
    const pw_geometry *g = &to->geometry;
    if (!g->y_planes || plan->has_pixel_epilogue || p->in_place || p->P == 1 || p->slopes ||
        !plan->kernels->transposing_mr_max)
        return;
    const int64_t vectors = vectors_of(plan, 0);
    const int64_t fewest = pw_ceil_div(vectors, plan->kernels->interleaved_nr_max);
    for (int merges = g->rows > 1; merges >= 0; merges--) {
        pw_candidate it = {.path = &pw_path_interleaved_to_planes, .merges_rows = merges};
        it.blocks = (int)fewest;
        if (!g->loads && !p->scale) pw_add_candidate(plan, to, it);
        it.source = PW_X_STAGED;
        pw_add_candidate(plan, to, it);
    }
}

/* What is not certain to gain had better be planar. */
static double predict_interleaved_to_planes(const pw_plan *plan, const pw_geometry *g,
                                            const pw_candidate *it) {
    const pw_tuning *tuning = plan->tuning;
    const double sums = (double)vectors_of(plan, 0) * tuning->sums_to_planes;
    return tuning->doubt * pw_pixels(plan, g) * (broadcasting_time(plan, g, it) + sums) +
           pw_staging_time(plan, g, it);
}

const pw_path pw_path_interleaved_to_planes = {
    .name = "interleaved to planes",
    .reads_rows = 1,
    .writes_planes = 1,
    .packing = 2,
    .list = list_interleaved_to_planes,
    .predict = predict_interleaved_to_planes,
    .count_blocks = count_interleaved,
    .cut = cut_interleaved,
};
