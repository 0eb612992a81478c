/* Transposing kernels that do not write rows: vectors run over pixels, x is transposed in registers,
 * and sums go to planes, or to tiles for a head. */
#include "base/math.h"
#include "conv/path.h"
#include "conv/plan.h"

enum { PAGE = 4096 };

/* Whether there are registers for all channels, and pixels for whole vectors. */
static int has_kernel(const pw_plan *plan) {
    return plan->K <= plan->kernels->transposing_mr_max && plan->problem.P >= plan->kernels->vector;
}

static void add_both(const pw_plan *plan, pw_candidates *to, const pw_path *path) {
    const pw_geometry *g = &to->geometry;
    pw_candidate it = {.path = path, .transposing = plan->K};
    if (!g->loads && g->x_rows) pw_add_candidate(plan, to, it);
    it.source = PW_X_STAGED;
    pw_add_candidate(plan, to, it);
}

/* A panel is better for pixels that lie pages apart: it fetches their neighbours too. */
static void list_transposing_to_planes(const pw_plan *plan, pw_candidates *to) {
    const pw_problem *p = &plan->problem;
    const pw_geometry *g = &to->geometry;
    if (!g->y_planes || g->x_planes || !g->x_rows || plan->has_pixel_epilogue || p->in_place ||
        p->P == 1 || !has_kernel(plan) || p->x_p <= -PAGE || p->x_p >= PAGE)
        return;
    add_both(plan, to, &pw_path_transposing_to_planes);
}

static double predict_transposing(const pw_plan *plan, const pw_geometry *g,
                                  const pw_candidate *it) {
    return pw_pixel_vectors(plan, g, it) * (double)plan->C *
               ((double)plan->K + plan->tuning->turned_x) +
           pw_staging_time(plan, g, it);
}

/* A head reads the sums of a vector of pixels at a time. Pixels of y are stored from there, and x
 * needs no planes in scratch. */
static void list_tiles(const pw_plan *plan, pw_candidates *to) {
    const pw_problem *p = &plan->problem;
    const pw_geometry *g = &to->geometry;
    if (!plan->has_pixel_epilogue || g->x_planes || p->has_residual || p->slopes ||
        plan->epilogue.activation != PW_ACT_NONE || !(g->y_rows || plan->y_channels == 1) ||
        !has_kernel(plan))
        return;
    add_both(plan, to, &pw_path_tiles);
}

static void cut_single_block(pw_plan *plan) {
    const int K = (int)plan->K;
    plan->n_blocks = 0;
    pw_add_block(plan, plan->kernels->transposing[K], K, K);
}

const pw_path pw_path_transposing_to_planes = {
    .name = "transposing to planes",
    .reads_rows = 1,
    .writes_planes = 1,
    .blends = 1,
    .packing = 2,
    .list = list_transposing_to_planes,
    .predict = predict_transposing,
    .count_blocks = pw_count_single_block,
    .cut = cut_single_block,
};

const pw_path pw_path_tiles = {
    .name = "interleaved",
    .reads_rows = 1,
    .makes_tiles = 1,
    .packing = 2,
    .list = list_tiles,
    .predict = predict_transposing,
    .count_blocks = pw_count_single_block,
    .cut = cut_single_block,
};
