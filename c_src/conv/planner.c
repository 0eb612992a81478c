/* Makes plans: takes a candidate, has its path cut the output channels into blocks, and has the rest
 * chosen. */
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
    /* If there are more blocks, scale * x + offset of staged planes is computed once for all of
     * them. Interleaved uint16, 50 x 600 x 600 -> 20, transposing kernels on Zen 4: with it, on
     * panels, they took 1.4 times as long as without. */
    FEW_BLOCKS = 4,
    /* Bits of a layout's number: blocks, channels of transposing kernels, the kind of packing, and
     * whether weights are packed a second time. */
    BLOCKS_BITS = 32,
    KIND_AT = 40,
    FUSED2_LAYOUT = 8,
    PRESENT_AT = 62,
};

static pw_epilogue epilogue_of(const pw_problem *p) {
    switch (p->activation) {
    case PW_ACT_RELU: return (pw_epilogue){PW_ACT_CLIP, 0, INFINITY};
    case PW_ACT_RELU6: return (pw_epilogue){PW_ACT_CLIP, 0, 6};
    default: return (pw_epilogue){p->activation, p->a, p->b};
    }
}

/* Chooses where scale * x + offset is computed. Kernels do so in registers, again for each block.
 * Those that broadcast x, or read pairs of it, need panels that hold the result. */
static void choose_affine(pw_plan *plan, const pw_kernel_set *set) {
    const pw_problem *p = &plan->problem;
    if (!p->scale) return;
    if (p->dtype == PW_F32 && pw_is_wide(p->x_dtype)) plan->wide = set->dtype[PW_F64];
    const pw_path *path = plan->path;
    const int few =
        path->reads_rows ? plan->transposing == plan->K : path->count_blocks(plan) <= FEW_BLOCKS;
    const int staged = pw_stages_x(plan) && (plan->wide || path->bf16_pairs || !few);
    plan->affine = staged ? PW_AFFINE_STAGED : PW_AFFINE_IN_KERNELS;
}

static const pw_path *const paths[] = {
    &pw_path_bf16_pairs,
    &pw_path_few_channels,
    &pw_path_tiles,
    &pw_path_interleaved,
    &pw_path_planar,
    &pw_path_transposing_to_planes,
    &pw_path_interleaved_to_planes,
};

enum { PATHS = sizeof paths / sizeof *paths };

/* Lists the candidates of all paths for a draft, the quickest first. There is always one. */
static void list_candidates(const pw_plan *plan, pw_candidates *to) {
    to->geometry = pw_geometry_of(plan);
    to->n = 0;
    for (int i = 0; i < PATHS; i++) {
        paths[i]->list(plan, to);
        /* Products of bfloat16 are other numbers: where they are made, nothing else will do. */
        if (to->n && paths[i] == &pw_path_bf16_pairs) return;
    }
}

static int plan_present(pw_plan *, const pw_kernel_set *);

/* What does not depend on the path. */
static void start_draft(pw_plan *draft, const pw_kernel_set *set, const pw_problem *problem) {
    *draft = (pw_plan){.problem = *problem};
    draft->kernels = set->dtype[problem->dtype];
    draft->tuning = pw_tuning_now();
    draft->epilogue = epilogue_of(problem);
    draft->C = problem->C / problem->groups;
    draft->K = problem->K / problem->groups;
    draft->outer = pw_product(problem->outer_n, problem->outer);
    draft->y_channels = problem->head == PW_HEAD_ARGMAX ? 1 : draft->K;
    draft->flags = problem->nodata || problem->has_mask;
    draft->has_pixel_epilogue = problem->head != PW_HEAD_NONE;
    draft->needs_all_k =
        problem->in_place || draft->has_pixel_epilogue || draft->flags || problem->components > 1;
    if (draft->flags) pw_keep_fill(draft);
}

static void describe_plan(pw_plan *plan, const char *set) {
    const char *how = plan->source == PW_X_CONVERTED ? pw_is_reversed(&plan->problem)
                                                           ? ", reversed in registers"
                                                           : ", converted in registers"
                      : plan->path->bf16_pairs       ? ", in pairs of bfloat16"
                                                     : "";
    snprintf(plan->description, sizeof plan->description,
             "%s %s: %d blocks of up to %d, passes of %lld channels, tiles of %lld "
             "pixels%s%s%s%s%s%s%s%s",
             set, plan->path->name, plan->n_blocks, plan->blocks[0].channels,
             (long long)plan->c_pass, (long long)plan->tile_pixels,
             plan->row_pixels ? ", rows merged" : "", pw_stages_x(plan) ? ", x staged" : "",
             plan->stage_y ? ", y staged" : "", plan->stage_r ? ", residual staged" : "",
             plan->path->makes_tiles    ? ", finished in tiles"
             : plan->has_pixel_epilogue ? ", finished"
                                        : "",
             how, plan->prefetch ? ", prefetching" : "", plan->stream ? ", streaming" : "");
}

int pw_count_candidates(const pw_kernel_set *set, const pw_problem *problem) {
    pw_plan draft;
    pw_candidates candidates;
    start_draft(&draft, set, problem);
    list_candidates(&draft, &candidates);
    return candidates.n;
}

/* The plan of a draft that has a path, or NULL: no memory. */
static pw_plan *finish_draft(pw_plan *draft, const pw_kernel_set *set) {
    choose_affine(draft, set);
    const size_t blocks = (size_t)draft->path->count_blocks(draft);
    pw_plan *plan = malloc(sizeof *plan + blocks * sizeof *plan->blocks);
    if (!plan || !pw_keep_constants(draft) || !plan_present(draft, set)) {
        free(draft->constants);
        free(plan);
        return NULL;
    }
    draft->blends = draft->flags && draft->path->blends && !draft->stage_y && !draft->present;
    *plan = *draft;
    plan->path->cut(plan);
    plan->present_at = plan->group_bytes;
    plan->group_bytes += pw_present_packed(plan);
    pw_choose_passes(plan);
    describe_plan(plan, set->name);
    return plan;
}

/* Pixels that miss some channels have a planar plan, whatever the table of costs says. 0: no
 * memory. */
static int plan_present(pw_plan *plan, const pw_kernel_set *set) {
    pw_problem product;
    if (!pw_present_problem(plan, &product)) return 1;
    pw_plan draft;
    start_draft(&draft, set, &product);
    const pw_geometry geometry = pw_geometry_of(&draft);
    const pw_candidate planar = pw_planar_candidate(&draft);
    pw_take_candidate(&draft, &geometry, &planar);
    plan->present = finish_draft(&draft, set);
    return plan->present != NULL;
}

pw_plan *pw_plan_candidate(const pw_kernel_set *set, const pw_problem *problem, int which) {
    pw_plan draft;
    pw_candidates candidates;
    start_draft(&draft, set, problem);
    list_candidates(&draft, &candidates);
    which = which < candidates.n ? which : candidates.n - 1;
    pw_take_candidate(&draft, &candidates.geometry, &candidates.list[which]);
    return finish_draft(&draft, set);
}

pw_plan *pw_plan_new(const pw_kernel_set *set, const pw_problem *problem) {
    return pw_plan_candidate(set, problem, 0);
}

pw_plan *pw_plan_packing(const pw_kernel_set *set, const pw_problem *problem, int width) {
    const int64_t whole = problem->K / width;
    const size_t n = (size_t)(whole + problem->K % width);
    pw_plan *plan = calloc(1, sizeof *plan + n * sizeof *plan->blocks);
    if (!plan) return NULL;
    plan->problem = *problem;
    plan->kernels = set->dtype[problem->dtype];
    plan->path = &pw_path_planar;
    plan->C = problem->C;
    plan->K = problem->K;
    plan->fused2_width = width;
    for (int64_t i = 0; i < (int64_t)n; i++) {
        const int channels = i < whole ? width : 1;
        pw_add_block(plan, NULL, channels, channels);
    }
    return plan;
}

void pw_conv_free(pw_plan *plan) {
    if (!plan) return;
    pw_conv_free(plan->present);
    free(plan->constants);
    free(plan);
}

/* The path, and the number and kinds of its blocks, determine how weights are packed. */
int64_t pw_plan_layout(const pw_plan *plan) {
    const int kind = plan->fused2_width ? FUSED2_LAYOUT + plan->fused2_width : plan->path->packing;
    return plan->n_blocks | plan->transposing << BLOCKS_BITS | (int64_t)kind << KIND_AT |
           (int64_t)(plan->present != NULL) << PRESENT_AT;
}

const char *pw_plan_describe(const pw_plan *plan) {
    return plan->description;
}
