/* Planar kernels: vectors run over pixels of planes. */
#include "base/math.h"
#include "conv/memory.h"
#include "conv/path.h"
#include "conv/plan.h"

#include <math.h>

enum {
    TRANSPOSE = 4, /* channels that kernels transpose at once */
    LINE = 64,
    PAGE = 4096,
    WAYS = 8, /* of level 1; its sets are a page */
    /* Vectors of this size, AVX-512's, can be loaded in part. */
    MASKED_BYTES = 64,
    /* Shorter rows of a window are staged, longer ones read in place. */
    LEAST_ROW_BYTES = 1024,
    /* With fewer output channels it does not pay to make pairs of x. Zen 4: 50 x 600 x 600 -> 20
     * 6.8 -> 9.5 ms, 256 x 56 x 56 -> 64 0.89 -> 0.57, 64 x 56 x 56 -> 256 0.91 -> 0.51. */
    BF16_PAIRS_FROM = 48,
};

/* Planar kernels, by channels, that convert x in registers or read its pixels in reverse. */
static const pw_ukernel *converters_of(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    return pw_is_reversed(p) ? plan->kernels->planar_reversed
                             : plan->kernels->planar_of[p->x_dtype];
}

/* Whether so many blocks can all have kernels of converters_of. */
static int has_converters(const pw_plan *plan, int64_t blocks) {
    const pw_problem *p = &plan->problem;
    const int64_t least = plan->K / blocks;
    const pw_ukernel *of = converters_of(plan);
    return of[least] && of[least + (plan->K % blocks > 0)] && !p->x_swapped && !p->in_place &&
           p->components == 1 && (p->x_dtype == p->dtype || !pw_is_reversed(p));
}

static int64_t fewest_blocks(const pw_plan *plan) {
    return pw_ceil_div(plan->K, plan->kernels->planar_mr_max);
}

pw_candidate pw_planar_candidate(const pw_plan *plan) {
    return (pw_candidate){.path = &pw_path_planar, .blocks = (int)fewest_blocks(plan)};
}

static void list_planar(const pw_plan *plan, pw_candidates *to) {
    const pw_geometry *g = &to->geometry;
    /* Single pixels are better off with vectors of channels. */
    if (plan->problem.P == 1 && g->y_rows && !plan->has_pixel_epilogue) return;
    const int64_t fewest = fewest_blocks(plan), most = pw_min(fewest + 1, plan->K);
    for (int merges = g->rows > 1; merges >= 0; merges--)
        for (int64_t blocks = fewest; blocks <= most; blocks++) {
            pw_candidate it = {.path = &pw_path_planar, .merges_rows = merges};
            it.blocks = (int)blocks;
            if (!merges && (g->x_planes || pw_is_reversed(&plan->problem)) &&
                has_converters(plan, blocks)) {
                it.source = PW_X_CONVERTED;
                pw_add_candidate(plan, to, it);
            } else if (!merges && g->x_planes && !g->loads) {
                it.source = PW_X_IN_PLACE;
                pw_add_candidate(plan, to, it);
            }
            it.source = PW_X_STAGED;
            pw_add_candidate(plan, to, it);
        }
}

/* Whether rows of many planes from memory are better copied, each in one go, than read by kernels,
 * a tile of each at a time. y is then one run, which may be stored past the caches. */
static int wants_runs(const pw_plan *plan, int64_t rows) {
    const pw_problem *p = &plan->problem;
    const int64_t pixels = plan->outer * p->P, size = (int64_t)pw_size(p->dtype);
    return rows > 1 && plan->C > PW_MANY_PLANES && p->x_dtype == p->dtype &&
           p->P * size < LEAST_ROW_BYTES && pw_worth_streaming(pixels * p->K * size, 0);
}

/* Whether rows_of_planes makes rows of y of the sums: it has vectors from TRANSPOSE channels on. */
static int turns_sums(const pw_plan *plan, const pw_geometry *g) {
    const pw_problem *p = &plan->problem;
    return plan->K >= TRANSPOSE && plan->kernels->transposing_mr_max &&
           p->P >= plan->kernels->vector && !p->has_residual && !p->in_place && !g->stores;
}

/* Whether rows of planes begin in the middle of vectors. Where x itself begins is not known. */
static int is_unaligned(const pw_plan *plan, const pw_geometry *g) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t vector = plan->kernels->vector * (ptrdiff_t)pw_size(p->x_dtype);
    return p->x_c % vector != 0 || (g->rows > 1 && p->x_outer[p->outer - 1] % vector != 0);
}

static int planes_alias(const pw_plan *plan) {
    return plan->C > WAYS && plan->problem.x_c % PAGE == 0;
}

/* Whether kernels stream y in tiles that are no whole lines. */
static int splits_lines(const pw_plan *plan, const pw_candidate *it) {
    const pw_problem *p = &plan->problem;
    const int64_t size = (int64_t)pw_size(p->dtype), channels = pw_ceil_div(plan->K, it->blocks);
    const int64_t tile = plan->kernels->planar_nr[channels] * plan->kernels->vector * size;
    return tile % LINE != 0 && pw_worth_streaming(plan->outer * p->P * p->K * size, 0);
}

static double predict_planar(const pw_plan *plan, const pw_geometry *g, const pw_candidate *it) {
    const pw_tuning *tuning = plan->tuning;
    const double C = (double)plan->C, K = (double)plan->K, pixels = pw_pixels(plan, g);
    const double vectors = pw_pixel_vectors(plan, g, it);
    double time = vectors * K * C;
    if (splits_lines(plan, it)) time *= tuning->split_lines;
    if (it->source == PW_X_STAGED) {
        time += pw_staging_time(plan, g, it);
        if (g->x_planes) time *= tuning->doubt;
    } else {
        if (is_unaligned(plan, g)) time *= tuning->unaligned;
        if (planes_alias(plan)) time *= tuning->aliased;
        if (wants_runs(plan, g->rows)) time *= tuning->short_rows;
    }
    if (it->source == PW_X_CONVERTED) {
        const int64_t vector = plan->kernels->vector;
        const int masks = vector * (int64_t)pw_size(plan->problem.dtype) == MASKED_BYTES;
        const double tails = !masks && plan->problem.P % vector ? (double)g->rows : 0;
        time += it->blocks * C * (vectors * tuning->converted + tails * tuning->converted_tail);
    }
    if (!plan->has_pixel_epilogue && !g->y_planes && g->y_rows) {
        time += turns_sums(plan, g) ? tuning->turned_sums * K * pixels / plan->kernels->vector
                                    : tuning->scattered_sums * K * pixels;
        time *= tuning->doubt;
    }
    return time;
}

static int count_planar(const pw_plan *plan) {
    return plan->n_blocks;
}

/* Cuts even blocks, the larger first: 20 channels are 10 + 10, not 14 + 6. */
static void cut_even(pw_plan *plan, const pw_ukernel *kernels) {
    const int n = plan->n_blocks;
    plan->n_blocks = 0;
    for (int i = 0; i < n; i++) {
        const int channels = (int)(plan->K / n + (i < plan->K % n));
        pw_add_block(plan, kernels[channels], channels, channels);
    }
}

static void cut_planar(pw_plan *plan) {
    cut_even(plan, plan->source == PW_X_CONVERTED ? converters_of(plan) : plan->kernels->planar);
}

/* Whether vectors of channels would have written rows of y, so that there are no pairs. This decides
 * about bits, so that it goes by the problem alone, not by a table of costs. */
static int has_rows_of_channels(const pw_plan *plan, const pw_geometry *g) {
    const double C = (double)plan->C, K = (double)plan->K, vector = plan->kernels->vector;
    if (plan->has_pixel_epilogue || !g->y_rows || g->y_planes) return 0;
    return !turns_sums(plan, g) || K / vector * (C + 8) >= 0.97 * C * ceil(K / vector);
}

/* Where products of bfloat16 are wanted and available, and it is worth while. */
static void list_bf16_pairs(const pw_plan *plan, pw_candidates *to) {
    const pw_problem *p = &plan->problem;
    const pw_geometry *g = &to->geometry;
    const pw_bf16_kernels *pairs = plan->kernels->bf16;
    if (p->bf16 && g->x_planes && p->P > 1 && plan->K >= BF16_PAIRS_FROM && p->components == 1 &&
        !has_rows_of_channels(plan, g) && pairs && pairs->works())
        pw_add_candidate(plan, to,
                         (pw_candidate){.path = &pw_path_bf16_pairs,
                                        .source = PW_X_STAGED,
                                        .blocks = (int)fewest_blocks(plan)});
}

static void cut_bf16_pairs(pw_plan *plan) {
    cut_even(plan, plan->kernels->bf16->planar);
}

const pw_path pw_path_planar = {
    .name = "planar",
    .writes_planes = 1,
    .blends = 1,
    .list = list_planar,
    .predict = predict_planar,
    .count_blocks = count_planar,
    .cut = cut_planar,
};

const pw_path pw_path_bf16_pairs = {
    .name = "planar",
    .writes_planes = 1,
    .bf16_pairs = 1,
    .blends = 1,
    .packing = 1,
    .list = list_bf16_pairs,
    .predict = predict_planar,
    .count_blocks = count_planar,
    .cut = cut_bf16_pairs,
};
