/* Plans a quantised convolution: chooses kernels and staging, and divides the work into blocks and
 * passes. Each call decides what depends on its number of threads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scratch.h"
#include "cpu/caches.h"
#include "quantised/plan.h"
#include "threads/shares.h"

enum {
    LINE = 64,
    /* Most bytes of each region of scratch: staged x, sums between passes, staged y. */
    REGION_BYTES = 256 << 10,
    /* From so many contiguous channels on, a row of lanes for each pixel is quicker. */
    ROW_CHANNELS = 32,
    /* What a sum costs in a dot kernel besides its products, in products. */
    DOT_COST = 8,
    /* With fewer pixels, kernels are planar even if the channels of y are contiguous: dot kernels
     * compute the pixels, and weights need no other order. */
    FEW_PIXELS = 8,
    /* As in conv/passes.c. */
    PREFETCH_FROM_BYTES = 512 << 10,
    AHEAD = 512,
};

/* How bytes of x or w, signed or not, become numbers in lanes. */
static pw_qbytes bytes_of(const pw_qkernels *kernels, int is_x, int is_signed, int zero) {
    const int signed_lane = kernels->lanes == PW_Q_S8_S8 || (kernels->lanes == PW_Q_U8_S8 && !is_x);
    pw_qbytes bytes = {.zero = (int16_t)zero};
    if (is_signed != signed_lane) {
        bytes.flip = 0x80;
        bytes.zero += is_signed ? 128 : -128;
    }
    return bytes;
}

static pw_qoutput output_of(const pw_qproblem *q) {
    const int moved = q->y_signed ? 128 : 0;
    pw_qoutput output = {
        .zero = (int16_t)(q->y_zero + moved),
        .lo = (uint8_t)(q->lo + moved),
        .hi = (uint8_t)(q->hi + moved),
        .flip = q->y_signed ? 0x80 : 0,
    };
    output.is_all = output.lo == 0 && output.hi == 255 && !output.flip;
    return output;
}

static void choose_path(pw_qplan *plan) {
    const pw_qproblem *q = &plan->problem;
    const int64_t pixels = plan->outer * q->P;
    const int x_rows = q->x_c == 1 && q->C >= ROW_CHANNELS && (q->x_p != 1 || q->P == 1);
    const int y_planar = q->y_p == 1 || q->P == 1;
    plan->interleaved =
        (q->y_k == 1 || q->K == 1) && !(y_planar && pixels < FEW_PIXELS) && q->y_p != 1;
    plan->stage_y = !plan->interleaved && !y_planar;
    plan->rows = plan->interleaved && x_rows;
    plan->direct = plan->rows && !q->in_place && !plan->needs_x_sum && !plan->x_bytes.flip &&
                   plan->kernels->depth == 4 && q->C % 4 == 0;
    plan->ahead = pixels * q->C < PREFETCH_FROM_BYTES ? 0 : AHEAD;
}

/* Whether to store past the caches: an output that would not stay in the cache, of whole aligned
 * lines. */
static int is_streamed(const pw_qplan *plan) {
    const pw_qproblem *q = &plan->problem;
    if (plan->interleaved || plan->stage_y || q->in_place) return 0;
    if (plan->outer * q->P * q->K <= pw_level_3_bytes() / 2) return 0;
    if (q->K > 1 && q->y_k % LINE) return 0;
    for (int64_t i = 0; i < q->outer; i++)
        if (q->y_outer[i] % LINE) return 0;
    return plan->tile_pixels % LINE == 0;
}

static int64_t count_units(const pw_qplan *plan) {
    return pw_ceil_div(plan->problem.K, plan->blocks.unit);
}

/* Divides the channels, or the vectors of them, into blocks that are as equal as possible. */
static void choose_blocks(pw_qplan *plan) {
    const pw_qkernels *kernels = plan->kernels;
    pw_qblocks *b = &plan->blocks;
    b->unit = plan->interleaved ? kernels->vector : 1;
    const int64_t units = count_units(plan);
    b->n = pw_ceil_div(units,
                       plan->interleaved ? kernels->interleaved_nr_max : kernels->planar_mr_max);
    b->width = (int)pw_ceil_div(units, b->n) * b->unit;
}

/* In place, a second slice would read what the first has written: one pass has to hold all of x. */
_Static_assert(PW_QCONV_IN_PLACE / 2 <= REGION_BYTES / (PW_Q_MAX_TILE * PW_Q_LANE),
               "a pass of an in-place call has all groups, of two channels at least");

/* Chooses passes and slices of K so that each region of scratch stays within REGION_BYTES. */
static void choose_passes_and_slices(pw_qplan *plan) {
    const pw_qproblem *q = &plan->problem;
    const int64_t lane_bytes = (int64_t)plan->tile_pixels * PW_Q_LANE;
    const int64_t n = plan->blocks.n, width = plan->blocks.width;
    plan->pass = pw_min(plan->groups, REGION_BYTES / lane_bytes);
    const int sums = plan->pass < plan->groups;
    /* Most channels of a slice. */
    const int64_t most = sums            ? REGION_BYTES / lane_bytes
                         : plan->stage_y ? REGION_BYTES / plan->tile_pixels
                                         : n * width;
    plan->k_splits = pw_ceil_div(n, pw_max(1, most / width));
    const int64_t slice = pw_ceil_div(n, plan->k_splits) * width;
    const int64_t vector = plan->kernels->vector, vectors = plan->row / vector;
    if (!plan->interleaved && !sums)
        plan->dots = (int)pw_min(vector - 1, plan->groups / (vectors + DOT_COST));
    const int64_t row = pw_round_up(plan->pass, vector);
    size_t end = 0;
    pw_region(&end, 1, pw_max(row, 1), (size_t)lane_bytes);
    plan->scratch.rows = pw_region(&end, plan->dots, plan->dots * row, PW_Q_LANE);
    plan->scratch.acc = pw_region(&end, sums, slice, (size_t)lane_bytes);
    plan->scratch.y = pw_region(&end, plan->stage_y, slice, (size_t)plan->tile_pixels);
    plan->scratch.bytes = end;
    const int64_t brief = pw_max(1, PW_ITEM_WORK / pw_max(1, q->C * q->K));
    plan->panel = pw_round_up(pw_min(q->P, brief), plan->tile_pixels);
}

static void describe(pw_qplan *plan) {
    snprintf(plan->description, sizeof plan->description,
             "%s %s: %lld blocks of up to %d, passes of %lld channels, tiles of %d pixels, up to "
             "%d left over by dots%s%s%s%s%s%s",
             plan->kernels->name, plan->interleaved ? "interleaved" : "planar",
             (long long)plan->blocks.n, plan->blocks.width,
             (long long)pw_min(plan->problem.C, plan->pass * plan->kernels->depth),
             plan->tile_pixels, plan->dots, plan->needs_x_sum ? ", x summed" : "",
             plan->direct ? ", x in place"
             : plan->rows ? ", x in rows"
                          : "",
             plan->stage_y ? ", y staged" : "", plan->k_splits > 1 ? ", K split" : "",
             plan->ahead ? ", prefetching" : "", plan->stream ? ", streaming" : "");
}

static int some_zero(const pw_qplan *plan, const int32_t *w_zero) {
    for (int64_t k = 0; k < plan->problem.K; k++)
        if (plan->w_bytes.zero + w_zero[k]) return 1;
    return 0;
}

/* Bytes of the constants that the plan points to, which are in the memory after it. */
static size_t constants_bytes(const pw_qplan *plan) {
    const int64_t lanes = 2 * plan->readable + plan->row;
    return (size_t)(plan->blocks.n + 1) * sizeof(int64_t) + (size_t)lanes * PW_Q_LANE;
}

static void keep_constants(pw_qplan *plan) {
    const pw_qproblem *q = &plan->problem;
    const int64_t n = plan->blocks.n, units = count_units(plan);
    int64_t *const first = (int64_t *)(plan + 1);
    char *const ones = (char *)(first + n + 1);
    int32_t *const w_zero = (int32_t *)(ones + plan->row * PW_Q_LANE);
    float *const scale = (float *)(w_zero + plan->readable);
    for (int64_t i = 0; i <= n; i++) first[i] = units * i / n * plan->blocks.unit;
    for (int64_t k = 0; k < q->K; k++) {
        w_zero[k] = plan->w_bytes.zero + q->w_zero[k];
        scale[k] = q->scale[k];
        if (scale[k] > plan->most_scale) plan->most_scale = scale[k];
    }
    memset(ones, 1, (size_t)plan->row * PW_Q_LANE);
    plan->blocks.first = first;
    plan->ones = ones, plan->w_zero = w_zero, plan->scale = scale;
    plan->problem.w_zero = NULL, plan->problem.scale = NULL;
}

pw_qplan *pw_qplan_new(const pw_qkernels *kernels, const pw_qproblem *q) {
    pw_qplan draft = {.problem = *q, .kernels = kernels};
    draft.tile_pixels = 4 * kernels->vector;
    draft.outer = pw_product(q->outer_n, q->outer);
    draft.groups = pw_ceil_div(q->C, kernels->depth);
    draft.row = pw_round_up(draft.groups, kernels->vector);
    /* Slices of K may begin at any channel. So dot kernels may read a whole tile from any channel
     * on, even from the last one. */
    draft.readable = q->K - 1 + draft.tile_pixels;
    draft.x_bytes = bytes_of(kernels, 1, q->x_signed, q->x_zero);
    draft.w_bytes = bytes_of(kernels, 0, q->w_signed, 0);
    draft.needs_x_sum = kernels->lanes != PW_Q_S16 && some_zero(&draft, q->w_zero);
    draft.output = output_of(q);
    draft.multiply_adds = (double)draft.outer * (double)q->P * (double)q->K * (double)q->C;
    choose_path(&draft);
    draft.stream = is_streamed(&draft);
    choose_blocks(&draft);
    choose_passes_and_slices(&draft);
    describe(&draft);
    pw_qplan *plan = calloc(1, sizeof *plan + constants_bytes(&draft));
    if (!plan) return NULL;
    *plan = draft;
    keep_constants(plan);
    return plan;
}

void pw_qplan_free(pw_qplan *plan) {
    free(plan);
}

int64_t pw_qplan_layout(const pw_qplan *plan) {
    return plan->interleaved;
}

const char *pw_qplan_describe(const pw_qplan *plan) {
    return plan->description;
}
