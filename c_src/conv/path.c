/* What paths have in common: geometry, parts of predictions, candidates in order, blocks. */
#include "conv/path.h"
#include "base/math.h"
#include "conv/plan.h"

enum {
    LINE = 64,
    /* Output channels of which a panel fits scratch, if its rows have two cache lines to spare. */
    MOST_MERGED = 1024,
};

/* Whether pixels of the last outer axis and of P are one run in y and the residual. In x they may
 * be in rows of P pixels. */
static int has_rows(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const int64_t last = p->outer - 1;
    return last >= 0 && p->P > 1 && !p->in_place && !p->has_mask && !plan->has_pixel_epilogue &&
           !(plan->needs_all_k && plan->K > MOST_MERGED) && p->y_outer[last] == p->P * p->y_p &&
           (!p->has_residual || p->r_outer[last] == p->P * p->r_p);
}

pw_geometry pw_geometry_of(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->y_dtype) * p->components,
                    x_size = (ptrdiff_t)pw_size(p->x_dtype) * p->components;
    const int single = p->P == 1, converts = p->y_dtype != p->dtype || p->components > 1;
    return (pw_geometry){
        .x_planes = single || p->x_p == x_size,
        .y_planes = single || p->y_p == size,
        .r_planes = single || p->r_p == size,
        .x_rows = plan->C == 1 || p->x_c == x_size,
        .y_rows = plan->K == 1 || p->y_k == size,
        .r_rows = plan->K == 1 || p->r_k == size,
        .loads = p->x_dtype != p->dtype || p->x_swapped || p->in_place || p->components > 1,
        .stores = converts || p->y_swapped,
        .loads_r = converts || p->r_swapped,
        .rows = has_rows(plan) ? p->outer_n[p->outer - 1] : 1,
    };
}

int pw_is_reversed(const pw_problem *p) {
    return p->P > 1 && p->x_p == -(ptrdiff_t)pw_size(p->x_dtype);
}

double pw_pixels(const pw_plan *plan, const pw_geometry *g) {
    return (double)g->rows * (double)plan->problem.P;
}

double pw_pixel_vectors(const pw_plan *plan, const pw_geometry *g, const pw_candidate *candidate) {
    const int64_t P = plan->problem.P, vector = plan->kernels->vector;
    return candidate->merges_rows ? (double)pw_ceil_div(g->rows * P, vector)
                                  : (double)g->rows * (double)pw_ceil_div(P, vector);
}

double pw_staging_time(const pw_plan *plan, const pw_geometry *g, const pw_candidate *it) {
    if (it->source != PW_X_STAGED) return 0;
    const double element = (it->path->reads_rows ? g->x_rows : g->x_planes) ? plan->tuning->straight
                           : g->loads ? plan->tuning->scattered
                                      : plan->tuning->turned;
    return element * (double)plan->C * pw_pixels(plan, g);
}

/* Keeps the list sorted. Of equal ones the first comes first. All paths together have no more than
 * 29: two divisions of channels into blocks, two sources, and at most four ways to divide channels
 * or rows, by interleaved kernels; eight by planar ones; four, two and one by the others. */
void pw_add_candidate(const pw_plan *plan, pw_candidates *to, pw_candidate candidate) {
    if (to->n == PW_MOST_CANDIDATES) return;
    const int64_t runs = candidate.merges_rows ? 1 : to->geometry.rows;
    candidate.time =
        candidate.path->predict(plan, &to->geometry, &candidate) + plan->tuning->run * (double)runs;
    int i = to->n++;
    for (; i > 0 && candidate.time < to->list[i - 1].time; i--) to->list[i] = to->list[i - 1];
    to->list[i] = candidate;
}

static void merge_rows(pw_plan *plan) {
    pw_problem *p = &plan->problem;
    const int64_t last = --p->outer;
    plan->row_pixels = p->P;
    plan->x_row = p->x_outer[last];
    p->P *= p->outer_n[last];
    plan->outer /= p->outer_n[last];
}

void pw_take_candidate(pw_plan *plan, const pw_geometry *g, const pw_candidate *candidate) {
    plan->path = candidate->path;
    plan->source = candidate->source;
    plan->transposing = candidate->transposing;
    plan->n_blocks = candidate->blocks;
    const int planes = plan->path->writes_planes;
    if (candidate->merges_rows) merge_rows(plan);
    if (plan->path->makes_tiles) return;
    const int finishes = plan->has_pixel_epilogue;
    plan->stage_y = finishes || g->stores || !(planes ? g->y_planes : g->y_rows);
    plan->stage_r = plan->problem.has_residual &&
                    (finishes || g->loads_r || !(planes ? g->r_planes : g->r_rows));
}

int pw_count_single_block(const pw_plan *plan) {
    (void)plan;
    return 1;
}

void pw_add_block(pw_plan *plan, pw_ukernel kernel, int channels, int width) {
    const int i = plan->n_blocks++;
    pw_block *block = &plan->blocks[i];
    *block = (pw_block){.kernel = kernel, .channels = channels, .width = width};
    if (i > 0) {
        block->k = block[-1].k + block[-1].channels;
        block->at = block[-1].at + block[-1].width;
    }
    block->offset = plan->group_bytes;
    const int64_t rows = plan->path->bf16_pairs ? pw_ceil_div(plan->C, 2) : plan->C;
    const size_t bytes = (size_t)width * (size_t)(1 + rows) * pw_size(plan->problem.dtype);
    plan->group_bytes += (size_t)pw_round_up((int64_t)bytes, LINE);
}
