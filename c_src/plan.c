/* Chooses path and blocks for a problem. */
#include "plan.h"
#include "present.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE = 64,
    /* What it costs to transpose x, in channels that rows kernels could compute: what is left over
     * of whole vectors goes to them only where padding costs more. */
    ROWS_CHANNELS = 4,
    GROUP = 4, /* channels that kernels transpose at once */
    /* What staging an element of x costs, and transposing a vector of sums. */
    GATHER_CYCLES = 1,
    FINISH_CYCLES = 8,
    /* Fewer channels do not pay for making pairs of x. Zen 4: 50 x 600 x 600 -> 20 6.8 -> 9.5 ms,
     * 256 x 56 x 56 -> 64 0.89 -> 0.57, 64 x 56 x 56 -> 256 0.91 -> 0.51. */
    PAIRS_FROM = 48,
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

static double smaller(double a, double b) {
    return a < b ? a : b;
}

/* Whether pixels of the last outer axis and of P are one run in y and the residual: of `row`
 * pixels in x then. */
static int has_rows(const pw_problem *p) {
    const int64_t last = p->outer - 1;
    return last >= 0 && p->P > 1 && !p->in_place && !p->has_mask &&
           p->y_outer[last] == p->P * p->y_p &&
           (!p->has_residual || p->r_outer[last] == p->P * p->r_p);
}

static void merge_rows(pw_plan *plan) {
    pw_problem *p = &plan->problem;
    const int64_t last = --p->outer;
    plan->row = p->P;
    plan->x_row = p->x_outer[last];
    p->P *= p->outer_n[last];
    plan->outer /= p->outer_n[last];
}

/* Whether rows of many planes from memory are better copied, each in one go, than read by kernels,
 * a tile of each at a time; y is one run then, and may go past the caches. A window of 600 x 600 of
 * 50 planes, to 20, on a Cascade Lake: 29.6 -> 18.5 ms. */
static int wants_runs(const pw_plan *plan, int64_t rows) {
    const pw_problem *p = &plan->problem;
    const int64_t pixels = plan->outer * p->P, size = (int64_t)pw_size(p->dtype);
    return rows > 1 && plan->C > PW_MANY_PLANES && p->x_dtype == p->dtype &&
           pw_worth_streaming(pixels * p->K * size, 0);
}

/* How to write planes: planar kernels, in place or from staged rows, or interleaved ones where
 * pixels do not fill vectors. By cycles of multiply-adds. */
static void choose_planes(pw_plan *plan, int x_planar) {
    const pw_problem *p = &plan->problem;
    const int64_t vector = plan->kernels->vector, rows = has_rows(p) ? p->outer_n[p->outer - 1] : 1;
    const double C = (double)plan->C, K = (double)plan->K, P = (double)(rows * p->P);
    if (p->in_place || p->P == 1) return;
    const double in_place = (double)(rows * pw_ceil_div(p->P, vector)) * K * C;
    const double staged =
        (double)pw_ceil_div(rows * p->P, vector) * K * C + (double)GATHER_CYCLES * C * P;
    const double transposed =
        (double)pw_ceil_div(plan->K, vector) * P * (C + (double)FINISH_CYCLES);
    const double planar = x_planar ? smaller(in_place, 1.03 * staged) : staged;
    plan->interleaved = plan->transposed =
        plan->kernels->rows_max && !p->slopes && transposed < 0.97 * planar;
    if (rows > 1 &&
        (plan->transposed || !x_planar || planar < in_place || wants_runs(plan, rows))) {
        merge_rows(plan);
        plan->stage_x = !plan->transposed;
    }
}

/* Few channels whose pixels leave no gaps, each array one run. */
static int is_dense(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->dtype), C = (ptrdiff_t)plan->C,
                    K = (ptrdiff_t)plan->K;
    return C >= 1 && C <= PW_MAX_DENSE && K <= PW_MAX_DENSE && plan->kernels->dense[C][K] &&
           p->groups == 1 && p->x_dtype == p->dtype && p->y_dtype == p->dtype && p->parts == 1 &&
           !p->x_swapped && !p->y_swapped && !p->r_swapped && p->P > 1 &&
           (C == 1 || p->x_c == size) && p->x_p == C * size && (K == 1 || p->y_k == size) &&
           p->y_p == K * size &&
           (!p->has_residual || ((K == 1 || p->r_k == size) && p->r_p == K * size));
}

/* Whether kernels cannot read x as it is, whatever its strides. */
static int reads_staged(const pw_problem *p) {
    return p->x_dtype != p->dtype || p->x_swapped || p->in_place || p->parts > 1;
}

/* Whether planar kernels of all blocks convert x. */
static int has_converters(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const int64_t n = pw_ceil_div(plan->K, plan->kernels->kr_max), least = plan->K / n;
    const pw_kernel *of = plan->kernels->planar_of[p->x_dtype];
    return of[least] && of[least + (plan->K % n > 0)] && !p->x_swapped && !p->in_place &&
           p->parts == 1;
}

/* Whether there are products of bfloat16 for planes as they are. */
static int has_pairs(const pw_plan *plan, int x_planar) {
    const pw_problem *p = &plan->problem;
    const pw_pair_kernels *pairs = plan->kernels->pairs;
    return p->bf16 && x_planar && p->P > 1 && plan->K >= PAIRS_FROM && p->parts == 1 && pairs &&
           pairs->works();
}

/* Sums in planes in scratch, of planes. */
static void choose_finish(pw_plan *plan, int x_planar) {
    const pw_problem *p = &plan->problem;
    plan->planes = plan->stage_y = 1;
    plan->pairs = has_pairs(plan, x_planar);
    plan->converts = x_planar && !plan->pairs && has_converters(plan);
    plan->stage_x = plan->pairs || (!plan->converts && (reads_staged(p) || !x_planar));
    plan->stage_r = p->has_residual;
}

/* Rows kernels may leave sums of a vector of pixels at a time where a head finds them, and pixels of y
 * are stored from there: x needs no planes in scratch then. */
static int choose_tiles(pw_plan *plan, int y_interleaved) {
    const pw_problem *p = &plan->problem;
    const pw_kernels *kernels = plan->kernels;
    if (p->has_residual || p->slopes || plan->epilogue.activation != PW_ACT_NONE ||
        !(y_interleaved || plan->y_channels == 1) || plan->K > kernels->rows_max ||
        p->P < kernels->vector)
        return 0;
    plan->interleaved = plan->tiled = 1;
    plan->stage_x = reads_staged(p) || (plan->C > 1 && p->x_c != (ptrdiff_t)pw_size(p->dtype));
    return 1;
}

/* Layout by what can be written in place, then by what can be read in place. */
static void choose_path(pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->y_dtype) * p->parts,
                    x_size = (ptrdiff_t)pw_size(p->x_dtype) * p->parts;
    const int single_pixel = p->P == 1, converts = p->y_dtype != p->dtype || p->parts > 1;
    const int stores = converts || p->y_swapped, loads = converts || p->r_swapped;
    const int y_planar = single_pixel || p->y_p == size,
              x_planar = single_pixel || p->x_p == x_size;
    const int y_interleaved = plan->K == 1 || p->y_k == size;
    const int r_planar = single_pixel || p->r_p == size;
    const int r_interleaved = plan->K == 1 || p->r_k == size;
    if (plan->finishes) {
        if (!x_planar && choose_tiles(plan, y_interleaved)) return;
        choose_finish(plan, x_planar);
        return;
    }
    if (is_dense(plan)) {
        plan->interleaved = plan->dense = 1;
        return;
    }
    plan->interleaved = y_interleaved && (single_pixel || !(x_planar && y_planar));
    plan->pairs = !plan->interleaved && has_pairs(plan, x_planar);
    if (!plan->interleaved && y_planar && !plan->pairs) choose_planes(plan, x_planar);
    if (plan->interleaved && !plan->transposed && plan->K > plan->kernels->rows_max && has_rows(p))
        merge_rows(plan);
    plan->planes = plan->transposed || !plan->interleaved;
    plan->converts =
        !plan->interleaved && x_planar && !plan->stage_x && !plan->pairs && has_converters(plan);
    plan->stage_x |= plan->pairs;
    plan->stage_x |= !plan->converts && (reads_staged(p) || (!plan->interleaved && !x_planar));
    plan->stage_y = stores || !(plan->planes ? y_planar : y_interleaved);
    plan->stage_r = p->has_residual && (loads || !(plan->planes ? r_planar : r_interleaved));
}

/* Cycles for a vector of pixels, where a vector of multiply-adds is one; of AVX-512 on Zen 4, within
 * 5% from 13 to 224 channels. Rows kernels transpose x and y, best by whole groups. */
static double rows_cycles(int64_t C, int64_t K) {
    return (double)(C * (K + 1)) + 60 + (K % GROUP ? 60 : 0) + (C % GROUP ? 40 : 0);
}

static double padded_cycles(const pw_plan *plan) {
    const int64_t vector = plan->kernels->vector;
    return (double)(plan->C * pw_round_up(plan->K, vector)) + 55.0 * (double)vector / 16;
}

int64_t pw_rows_channels(const pw_plan *plan) {
    const pw_kernels *kernels = plan->kernels;
    const pw_problem *p = &plan->problem;
    const int adjacent = plan->stage_x || plan->C == 1 || p->x_c == (ptrdiff_t)pw_size(p->dtype);
    if (plan->tiled) return plan->K;
    if (!kernels->rows_max || !adjacent || plan->transposed || plan->row || plan->dense) return 0;
    /* They take whole vectors of pixels: few pixels would leave their lanes idle. */
    if (p->P < kernels->vector) return 0;
    if (plan->K <= kernels->rows_max)
        return rows_cycles(plan->C, plan->K) < padded_cycles(plan) ? plan->K : 0;
    const int64_t left = plan->K % kernels->vector;
    return left + ROWS_CHANNELS <= kernels->vector ? left : 0;
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
                  : plan->converts ? plan->kernels->planar_of[plan->problem.x_dtype][channels]
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
    choose_path(&head);
    choose_affine(&head, set);
    const int n = count_blocks(&head);
    pw_plan *plan = malloc(sizeof *plan + (size_t)n * sizeof *plan->blocks);
    if (!plan || !pw_keep_constants(&head) || !pw_plan_present(&head, set)) {
        free(head.constants);
        free(plan);
        return NULL;
    }
    head.blends = head.flags && !head.interleaved && !head.stage_y && !head.present;
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
             plan->dense         ? "dense"
             : plan->transposed  ? "transposed"
             : plan->interleaved ? "interleaved"
                                 : "planar",
             plan->n_blocks, plan->blocks[0].channels, (long long)plan->c_pass,
             (long long)plan->tile, plan->row ? ", rows merged" : "",
             plan->stage_x ? ", x staged" : "", plan->stage_y ? ", y staged" : "",
             plan->stage_r ? ", residual staged" : "",
             plan->tiled      ? ", finished in tiles"
             : plan->finishes ? ", finished"
                              : "",
             plan->converts ? ", converted in registers"
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

void pw_plan_free(pw_plan *plan) {
    if (!plan) return;
    if (plan->chain) pw_chain_free(plan->chain);
    pw_plan_free(plan->present);
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
