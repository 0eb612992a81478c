/* Kernels for few channels, as colours are: the pixels of each array are one run without gaps. */
#include "conv/path.h"
#include "conv/plan.h"

static void list_few_channels(const pw_plan *plan, pw_candidates *to) {
    const pw_problem *p = &plan->problem;
    const pw_geometry *g = &to->geometry;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->dtype), C = (ptrdiff_t)plan->C,
                    K = (ptrdiff_t)plan->K;
    const int fits = !plan->has_pixel_epilogue && C >= 1 && C <= PW_MAX_FEW && K <= PW_MAX_FEW &&
                     plan->kernels->few_channels[C][K] && p->groups == 1 && p->P > 1;
    if (fits && !g->loads && !g->stores && !p->r_swapped && g->x_rows && p->x_p == C * size &&
        g->y_rows && p->y_p == K * size && (!p->has_residual || (g->r_rows && p->r_p == K * size)))
        pw_add_candidate(plan, to, (pw_candidate){.path = &pw_path_few_channels});
}

static double predict_few_channels(const pw_plan *plan, const pw_geometry *g,
                                   const pw_candidate *it) {
    const double C = (double)plan->C, K = (double)plan->K;
    return pw_pixel_vectors(plan, g, it) * (C * K + plan->tuning->lanes * (C + K));
}

static void cut_few_channels(pw_plan *plan) {
    const int K = (int)plan->K;
    plan->n_blocks = 0;
    pw_add_block(plan, plan->kernels->few_channels[plan->C][K], K, K);
}

const pw_path pw_path_few_channels = {
    .name = "few channels",
    .reads_rows = 1,
    .packing = 3,
    .list = list_few_channels,
    .predict = predict_few_channels,
    .count_blocks = pw_count_single_block,
    .cut = cut_few_channels,
};
