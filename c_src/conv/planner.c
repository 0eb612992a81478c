/* Cuts the output channels of a problem into blocks, for the path that was chosen. */
#include "conv/planner.h"
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
    /* If there are more blocks, scale * x + offset of staged planes is computed once for all of
     * them. Interleaved uint16, 50 x 600 x 600 -> 20, transposing kernels on Zen 4: with it, on
     * panels, they took 1.4 times as long as without. */
    FEW_BLOCKS = 4,
    /* Added to the number of a layout in which weights are packed a second time. */
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
    if (plan->few_channels) return 1;
    if (!plan->interleaved) return (int)pw_ceil_div(plan->K, kernels->planar_mr_max);
    const int64_t transposing = pw_transposing_channels(plan);
    const int64_t vectors = pw_ceil_div(plan->K - transposing, kernels->vector);
    return (int)(pw_ceil_div(vectors, kernels->interleaved_nr_max) +
                 pw_ceil_div(transposing, pw_max(1, kernels->transposing_mr_max)));
}

/* Chooses where scale * x + offset is computed. Kernels do so in registers, again for each block.
 * Those that broadcast x, or read pairs of it, need panels that hold the result. */
static void choose_affine(pw_plan *plan, const pw_kernel_set *set) {
    const pw_problem *p = &plan->problem;
    if (!p->scale) return;
    if (p->dtype == PW_F32 && pw_is_wide(p->x_dtype)) plan->wide = set->dtype[PW_F64];
    const int rows_only = pw_transposing_channels(plan) == plan->K;
    if (plan->interleaved && !plan->few_channels && !rows_only) plan->stage_x = 1;
    const int few = plan->interleaved ? rows_only : count_blocks(plan) <= FEW_BLOCKS;
    const int staged = plan->stage_x && (plan->wide || plan->bf16_pairs || !few);
    plan->affine = staged ? PW_AFFINE_STAGED : PW_AFFINE_IN_KERNELS;
}

static void add_block(pw_plan *plan, pw_ukernel kernel, int channels, int width) {
    const int i = plan->n_blocks++;
    pw_block *block = &plan->blocks[i];
    *block = (pw_block){.kernel = kernel, .channels = channels, .width = width};
    if (i > 0) {
        block->k = block[-1].k + block[-1].channels;
        block->at = block[-1].at + block[-1].width;
    }
    block->offset = plan->group_bytes;
    const int64_t rows = plan->bf16_pairs ? pw_ceil_div(plan->C, 2) : plan->C;
    const size_t bytes = (size_t)width * (size_t)(1 + rows) * pw_size(plan->problem.dtype);
    plan->group_bytes += (size_t)pw_round_up((int64_t)bytes, LINE);
}

/* Cuts even blocks, the larger first: 20 channels are 10 + 10, not 14 + 6. */
static void cut_planar(pw_plan *plan, int n) {
    for (int i = 0; i < n; i++) {
        const int channels = (int)(plan->K / n + (i < plan->K % n));
        add_block(plan,
                  plan->bf16_pairs ? plan->kernels->bf16->planar[channels]
                  : plan->converts ? pw_converters_of(plan)[channels]
                                   : plan->kernels->planar[channels],
                  channels, channels);
    }
}

/* Cuts even blocks of whole vectors, the last padded unless transposing kernels take the rest. */
static void cut_interleaved(pw_plan *plan) {
    const pw_kernels *kernels = plan->kernels;
    const int64_t transposing = pw_transposing_channels(plan), in_vectors = plan->K - transposing;
    const int64_t vectors = pw_ceil_div(in_vectors, kernels->vector);
    int64_t n = pw_ceil_div(vectors, kernels->interleaved_nr_max), k = 0;
    for (int64_t i = 0; i < n; i++) {
        const int nv = (int)(vectors / n + (i < vectors % n)), width = nv * kernels->vector;
        const int channels = (int)pw_min(width, in_vectors - k);
        add_block(plan, kernels->interleaved[nv], channels, width);
        k += channels;
    }
    n = pw_ceil_div(transposing, pw_max(1, kernels->transposing_mr_max));
    for (int64_t i = 0; i < n; i++) {
        const int channels = (int)(transposing / n + (i < transposing % n));
        add_block(plan, kernels->transposing[channels], channels, channels);
    }
}

/* 0: no memory. */
static int plan_present(pw_plan *plan, const pw_kernel_set *set) {
    pw_problem product;
    if (!pw_present_problem(plan, &product)) return 1;
    plan->present = pw_plan_new(set, &product);
    return plan->present != NULL;
}

pw_plan *pw_plan_new(const pw_kernel_set *set, const pw_problem *problem) {
    pw_plan draft = {.problem = *problem};
    draft.kernels = set->dtype[problem->dtype];
    draft.epilogue = epilogue_of(problem);
    draft.C = problem->C / problem->groups;
    draft.K = problem->K / problem->groups;
    draft.outer = pw_product(problem->outer_n, problem->outer);
    draft.y_channels = problem->head == PW_HEAD_ARGMAX ? 1 : draft.K;
    draft.flags = problem->nodata || problem->has_mask;
    draft.has_pixel_epilogue = problem->head != PW_HEAD_NONE;
    draft.needs_all_k =
        problem->in_place || draft.has_pixel_epilogue || draft.flags || problem->components > 1;
    if (draft.flags) pw_keep_fill(&draft);
    pw_choose_path(&draft);
    choose_affine(&draft, set);
    const int n = count_blocks(&draft);
    pw_plan *plan = malloc(sizeof *plan + (size_t)n * sizeof *plan->blocks);
    if (!plan || !pw_keep_constants(&draft) || !plan_present(&draft, set)) {
        free(draft.constants);
        free(plan);
        return NULL;
    }
    draft.blends = draft.flags && (!draft.interleaved || draft.transposing_to_planes) &&
                   !draft.stage_y && !draft.present;
    *plan = draft;
    if (plan->few_channels)
        add_block(plan, plan->kernels->few_channels[plan->C][plan->K], (int)plan->K, (int)plan->K);
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
             plan->few_channels            ? "few channels"
             : plan->interleaved_to_planes ? "interleaved to planes"
             : plan->transposing_to_planes ? "transposing to planes"
             : plan->interleaved           ? "interleaved"
                                           : "planar",
             plan->n_blocks, plan->blocks[0].channels, (long long)plan->c_pass,
             (long long)plan->tile_pixels, plan->row_pixels ? ", rows merged" : "",
             plan->stage_x ? ", x staged" : "", plan->stage_y ? ", y staged" : "",
             plan->stage_r ? ", residual staged" : "",
             plan->tiled                ? ", finished in tiles"
             : plan->has_pixel_epilogue ? ", finished"
                                        : "",
             plan->converts     ? pw_is_reversed(&plan->problem) ? ", reversed in registers"
                                                                 : ", converted in registers"
             : plan->bf16_pairs ? ", in pairs of bfloat16"
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
    plan->fused2_width = width;
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

/* The path, and the channels that transposing kernels take, determine the blocks. */
int64_t pw_plan_layout(const pw_plan *plan) {
    const int64_t blocks = plan->bf16_pairs     ? -2
                           : plan->fused2_width ? -2 - plan->fused2_width
                           : plan->few_channels ? -1
                           : plan->interleaved  ? 1 + pw_transposing_channels(plan)
                                                : 0;
    return plan->present ? blocks + WITH_PRESENT : blocks;
}

const char *pw_plan_describe(const pw_plan *plan) {
    return plan->description;
}
