/* Cuts the output channels of a problem into blocks, for the path that was chosen. */
#include "conv/plan.h"
#include "base/math.h"
#include "conv/constants.h"
#include "conv/passes.h"
#include "conv/path.h"
#include "conv/present.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE = 64,
    /* For more blocks than these, scale * x + offset of staged planes is computed once for all. Interleaved
     * uint16, 50 x 600 x 600 -> 20, rows kernels on Zen 4: on panels 1.4 times the time without. */
    FEW_BLOCKS = 4,
    /* Added to a layout whose weights are packed a second time. */
    WITH_PRESENT = 1 << 16,
};

static pw_epilogue epilogue_of(const pw_problem *p) {
    switch (p->activation) {
    case PW_ACT_RELU: return (pw_epilogue){PW_ACT_CLIP, 0, INFINITY};
    case PW_ACT_RELU6: return (pw_epilogue){PW_ACT_CLIP, 0, 6};
    default: return (pw_epilogue){p->activation, p->a, p->b};
    }
}

static int count_blocks(const pw_plan *plan) {
    const pw_kernels *kernels = plan->kernels;
    if (plan->dense) return 1;
    if (!plan->interleaved) return (int)pw_ceil_div(plan->K, kernels->kr_max);
    const int64_t rows = pw_rows_channels(plan);
    const int64_t vectors = pw_ceil_div(plan->K - rows, kernels->vector);
    return (int)(pw_ceil_div(vectors, kernels->nv_max) +
                 pw_ceil_div(rows, pw_max(1, kernels->rows_max)));
}

/* Kernels compute scale * x + offset in registers, again for each block. Those that broadcast x, or
 * pairs of it, want panels that hold it. */
static void choose_affine(pw_plan *plan, const pw_kernel_set *set) {
    const pw_problem *p = &plan->problem;
    if (!p->scale) return;
    if (p->dtype == PW_F32 && pw_is_wide(p->x_dtype)) plan->wide = set->dtype[PW_F64];
    const int rows_only = pw_rows_channels(plan) == plan->K;
    if (plan->interleaved && !plan->dense && !rows_only) plan->stage_x = 1;
    const int few = plan->interleaved ? rows_only : count_blocks(plan) <= FEW_BLOCKS;
    const int staged = plan->stage_x && (plan->wide || plan->pairs || !few);
    plan->affine = staged ? PW_AFFINE_STAGED : PW_AFFINE_IN_KERNELS;
}

static void add_block(pw_plan *plan, pw_kernel kernel, int channels, int width) {
    const int i = plan->n_blocks++;
    pw_block *block = &plan->blocks[i];
    *block = (pw_block){.kernel = kernel, .channels = channels, .width = width};
    if (i > 0) {
        block->k = block[-1].k + block[-1].channels;
        block->at = block[-1].at + block[-1].width;
    }
    block->offset = plan->group_bytes;
    const int64_t rows = plan->pairs ? pw_ceil_div(plan->C, 2) : plan->C;
    const size_t bytes = (size_t)width * (size_t)(1 + rows) * pw_size(plan->problem.dtype);
    plan->group_bytes += (size_t)pw_round_up((int64_t)bytes, LINE);
}

/* Even blocks, the larger first: 20 channels are 10 + 10, not 14 + 6. */
static void cut_planar(pw_plan *plan, int n) {
    for (int i = 0; i < n; i++) {
        const int channels = (int)(plan->K / n + (i < plan->K % n));
        add_block(plan,
                  plan->pairs      ? plan->kernels->pairs->planar[channels]
                  : plan->converts ? pw_converters_of(plan)[channels]
                                   : plan->kernels->planar[channels],
                  channels, channels);
    }
}

/* Whole vectors in even blocks, the last padded if rows kernels do not take what is left. */
static void cut_interleaved(pw_plan *plan) {
    const pw_kernels *kernels = plan->kernels;
    const int64_t rows = pw_rows_channels(plan), in_vectors = plan->K - rows;
    const int64_t vectors = pw_ceil_div(in_vectors, kernels->vector);
    int64_t n = pw_ceil_div(vectors, kernels->nv_max), k = 0;
    for (int64_t i = 0; i < n; i++) {
        const int nv = (int)(vectors / n + (i < vectors % n)), width = nv * kernels->vector;
        const int channels = (int)pw_min(width, in_vectors - k);
        add_block(plan, kernels->interleaved[nv], channels, width);
        k += channels;
    }
    n = pw_ceil_div(rows, pw_max(1, kernels->rows_max));
    for (int64_t i = 0; i < n; i++) {
        const int channels = (int)(rows / n + (i < rows % n));
        add_block(plan, kernels->rows[channels], channels, channels);
    }
}

pw_plan *pw_plan_new(const pw_kernel_set *set, const pw_problem *problem) {
    pw_plan head = {.problem = *problem};
    head.kernels = set->dtype[problem->dtype];
    head.epilogue = epilogue_of(problem);
    head.C = problem->C / problem->groups;
    head.K = problem->K / problem->groups;
    head.outer = pw_product(problem->outer_n, problem->outer);
    head.y_channels = problem->head == PW_HEAD_ARGMAX ? 1 : head.K;
    head.flags = problem->nodata || problem->has_mask;
    head.finishes = problem->head != PW_HEAD_NONE;
    head.whole = problem->in_place || head.finishes || head.flags || problem->parts > 1;
    if (head.flags) pw_keep_fill(&head);
    pw_choose_path(&head);
    choose_affine(&head, set);
    const int n = count_blocks(&head);
    pw_plan *plan = malloc(sizeof *plan + (size_t)n * sizeof *plan->blocks);
    if (!plan || !pw_keep_constants(&head) || !pw_plan_present(&head, set)) {
        free(head.constants);
        free(plan);
        return NULL;
    }
    head.blends =
        head.flags && (!head.interleaved || head.rows_to_planes) && !head.stage_y && !head.present;
    *plan = head;
    if (plan->dense)
        add_block(plan, plan->kernels->dense[plan->C][plan->K], (int)plan->K, (int)plan->K);
    else if (plan->interleaved)
        cut_interleaved(plan);
    else
        cut_planar(plan, n);
    plan->present_at = plan->group_bytes;
    plan->group_bytes += pw_present_packed(plan);
    pw_choose_passes(plan);
    snprintf(plan->description, sizeof plan->description,
             "%s %s: %d blocks of up to %d, passes of %lld channels, tiles of %lld "
             "pixels%s%s%s%s%s%s%s%s",
             set->name,
             plan->dense            ? "dense"
             : plan->transposed     ? "transposed"
             : plan->rows_to_planes ? "rows to planes"
             : plan->interleaved    ? "interleaved"
                                    : "planar",
             plan->n_blocks, plan->blocks[0].channels, (long long)plan->c_pass,
             (long long)plan->tile, plan->row ? ", rows merged" : "",
             plan->stage_x ? ", x staged" : "", plan->stage_y ? ", y staged" : "",
             plan->stage_r ? ", residual staged" : "",
             plan->tiled      ? ", finished in tiles"
             : plan->finishes ? ", finished"
                              : "",
             plan->converts ? pw_is_reversed(&plan->problem) ? ", reversed in registers"
                                                             : ", converted in registers"
             : plan->pairs  ? ", in pairs of bfloat16"
                            : "",
             plan->prefetch ? ", prefetching" : "", plan->stream ? ", streaming" : "");
    return plan;
}

pw_plan *pw_plan_packing(const pw_kernel_set *set, const pw_problem *problem, int width) {
    const int64_t whole = problem->K / width;
    const size_t n = (size_t)(whole + problem->K % width);
    pw_plan *plan = calloc(1, sizeof *plan + n * sizeof *plan->blocks);
    if (!plan) return NULL;
    plan->problem = *problem;
    plan->kernels = set->dtype[problem->dtype];
    plan->C = problem->C;
    plan->K = problem->K;
    plan->paired = width;
    for (int64_t i = 0; i < (int64_t)n; i++) {
        const int channels = i < whole ? width : 1;
        add_block(plan, NULL, channels, channels);
    }
    return plan;
}

void pw_conv_free(pw_plan *plan) {
    if (!plan) return;
    pw_conv_free(plan->present);
    free(plan->constants);
    free(plan);
}

/* Blocks follow from the path and from what rows kernels take. */
int64_t pw_plan_layout(const pw_plan *plan) {
    const int64_t blocks = plan->pairs         ? -2
                           : plan->paired      ? -2 - plan->paired
                           : plan->dense       ? -1
                           : plan->interleaved ? 1 + pw_rows_channels(plan)
                                               : 0;
    return plan->present ? blocks + WITH_PRESENT : blocks;
}

const char *pw_plan_describe(const pw_plan *plan) {
    return plan->description;
}
