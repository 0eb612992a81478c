/* Chooses which kernels compute a problem, and which of its arrays go through scratch. */
#include "conv/path.h"
#include "base/math.h"
#include "conv/memory.h"
#include "conv/plan.h"

enum {
    /* The cost of transposing x, in channels of transposing kernels. Channels left over from whole
     * vectors go to these kernels only if padding would cost more. */
    TRANSPOSING_CHANNELS = 4,
    TRANSPOSE = 4, /* channels that kernels transpose at once */
    /* The cost of staging an element of x, and of transposing a vector of sums. */
    GATHER_CYCLES = 1,
    FINISH_CYCLES = 8,
    /* The cost of transposing a vector of x in transposing kernels. Compared with panels of x that
     * are turned into planes first, 50 x 600 x 600 -> 20 from interleaved pixels to planes went
     * from 16.4 to 12.2 ms on a Cascade Lake, from 12.1 to 8.8 on an Emerald Rapids. */
    TURN_CYCLES = 5,
    PAGE = 4096,
    /* Shorter rows of a window are staged, longer ones read in place. */
    LEAST_ROW_BYTES = 1024,
    /* With fewer output channels it does not pay to make pairs of x. Zen 4: 50 x 600 x 600 -> 20
     * 6.8 -> 9.5 ms, 256 x 56 x 56 -> 64 0.89 -> 0.57, 64 x 56 x 56 -> 256 0.91 -> 0.51. */
    BF16_PAIRS_FROM = 48,
};

static double smaller(double a, double b) {
    return a < b ? a : b;
}

/* Whether pixels of the last outer axis and of P are one run in y and the residual. In x they may
 * be in rows of P pixels. */
static int has_rows(const pw_problem *p) {
    const int64_t last = p->outer - 1;
    return last >= 0 && p->P > 1 && !p->in_place && !p->has_mask &&
           p->y_outer[last] == p->P * p->y_p &&
           (!p->has_residual || p->r_outer[last] == p->P * p->r_p);
}

static void merge_rows(pw_plan *plan) {
    pw_problem *p = &plan->problem;
    const int64_t last = --p->outer;
    plan->row_pixels = p->P;
    plan->x_row = p->x_outer[last];
    p->P *= p->outer_n[last];
    plan->outer /= p->outer_n[last];
}

/* Whether rows of many planes from memory are better copied, each in one go, than read by kernels,
 * a tile of each at a time. y is then one run, which may be stored past the caches. A window of 600
 * x 600 of 50 planes, to 20, went from 29.6 to 18.5 ms on a Cascade Lake. */
static int wants_runs(const pw_plan *plan, int64_t rows) {
    const pw_problem *p = &plan->problem;
    const int64_t pixels = plan->outer * p->P, size = (int64_t)pw_size(p->dtype);
    return rows > 1 && plan->C > PW_MANY_PLANES && p->x_dtype == p->dtype &&
           p->P * size < LEAST_ROW_BYTES && pw_worth_streaming(pixels * p->K * size, 0);
}

/* Whether transposing kernels can read x, or a staged copy, and have registers for all channels. A
 * panel is better for pixels that lie pages apart: it fetches their neighbours too. */
static int turns_in_registers(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t x_size = (ptrdiff_t)pw_size(p->x_dtype) * p->components;
    return plan->K <= plan->kernels->transposing_mr_max && p->P >= plan->kernels->vector &&
           (plan->C == 1 || p->x_c == x_size) && p->x_p > -PAGE && p->x_p < PAGE;
}

/* Chooses the kernels that write planes, by their cycles: planar ones, in place or from staged
 * rows; transposing ones; or interleaved ones, where pixels do not fill vectors. */
static void choose_planes(pw_plan *plan, int x_planar) {
    const pw_problem *p = &plan->problem;
    const int64_t vector = plan->kernels->vector, rows = has_rows(p) ? p->outer_n[p->outer - 1] : 1;
    const double C = (double)plan->C, K = (double)plan->K, P = (double)(rows * p->P);
    if (p->in_place || p->P == 1) return;
    const double in_place = (double)(rows * pw_ceil_div(p->P, vector)) * K * C;
    const double staged =
        (double)pw_ceil_div(rows * p->P, vector) * K * C + (double)GATHER_CYCLES * C * P;
    const double to_planes = (double)pw_ceil_div(plan->K, vector) * P * (C + (double)FINISH_CYCLES);
    const double planar = x_planar ? smaller(in_place, 1.03 * staged) : staged;
    const double turned =
        (double)(rows * pw_ceil_div(p->P, vector)) * C * (K + (double)TURN_CYCLES);
    if (!x_planar && turns_in_registers(plan) && turned < smaller(planar, to_planes)) {
        plan->interleaved = plan->transposing_to_planes = 1;
        return;
    }
    plan->interleaved = plan->interleaved_to_planes =
        plan->kernels->transposing_mr_max && !p->slopes && to_planes < 0.97 * planar;
    if (rows > 1 &&
        (plan->interleaved_to_planes || !x_planar || planar < in_place || wants_runs(plan, rows))) {
        merge_rows(plan);
        plan->stage_x = !plan->interleaved_to_planes;
    }
}

/* Whether there are few channels, and the pixels of each array are one run without gaps. */
static int has_few_channels(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->dtype), C = (ptrdiff_t)plan->C,
                    K = (ptrdiff_t)plan->K;
    return C >= 1 && C <= PW_MAX_FEW && K <= PW_MAX_FEW && plan->kernels->few_channels[C][K] &&
           p->groups == 1 && p->x_dtype == p->dtype && p->y_dtype == p->dtype &&
           p->components == 1 && !p->x_swapped && !p->y_swapped && !p->r_swapped && p->P > 1 &&
           (C == 1 || p->x_c == size) && p->x_p == C * size && (K == 1 || p->y_k == size) &&
           p->y_p == K * size &&
           (!p->has_residual || ((K == 1 || p->r_k == size) && p->r_p == K * size));
}

/* Whether kernels cannot read x as it is, whatever its strides. */
static int reads_staged(const pw_problem *p) {
    return p->x_dtype != p->dtype || p->x_swapped || p->in_place || p->components > 1;
}

int pw_is_reversed(const pw_problem *p) {
    return p->P > 1 && p->x_p == -(ptrdiff_t)pw_size(p->x_dtype);
}

const pw_ukernel *pw_converters_of(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    return pw_is_reversed(p) ? plan->kernels->planar_reversed
                             : plan->kernels->planar_of[p->x_dtype];
}

/* Whether all blocks can have kernels of pw_converters_of. */
static int has_converters(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const int64_t n = pw_ceil_div(plan->K, plan->kernels->planar_mr_max), least = plan->K / n;
    const pw_ukernel *of = pw_converters_of(plan);
    return of[least] && of[least + (plan->K % n > 0)] && !p->x_swapped && !p->in_place &&
           p->components == 1 && (p->x_dtype == p->dtype || !pw_is_reversed(p));
}

/* Whether planar kernels of products of bfloat16 are wanted, available and worth it. */
static int has_bf16_pairs(const pw_plan *plan, int x_planar) {
    const pw_problem *p = &plan->problem;
    const pw_bf16_kernels *pairs = plan->kernels->bf16;
    return p->bf16 && x_planar && p->P > 1 && plan->K >= BF16_PAIRS_FROM && p->components == 1 &&
           pairs && pairs->works();
}

/* Cycles of transposing kernels for a vector of pixels, if a vector of multiply-adds is one: within
 * 5% for AVX-512 on Zen 4, from 13 to 224 channels. They transpose x and y, best by TRANSPOSE
 * channels at a time. */
static double transposing_cycles(int64_t C, int64_t K) {
    return (double)(C * (K + 1)) + 60 + (K % TRANSPOSE ? 60 : 0) + (C % TRANSPOSE ? 40 : 0);
}

static double padded_cycles(const pw_plan *plan) {
    const int64_t vector = plan->kernels->vector;
    return (double)(plan->C * pw_round_up(plan->K, vector)) + 55.0 * (double)vector / 16;
}

int64_t pw_transposing_channels(const pw_plan *plan) {
    const pw_kernels *kernels = plan->kernels;
    const pw_problem *p = &plan->problem;
    const int adjacent = plan->stage_x || plan->C == 1 || p->x_c == (ptrdiff_t)pw_size(p->dtype);
    if (plan->tiled || plan->transposing_to_planes) return plan->K;
    if (!kernels->transposing_mr_max || !adjacent || plan->interleaved_to_planes ||
        plan->row_pixels || plan->few_channels)
        return 0;
    /* Transposing kernels take vectors of pixels: too few pixels would leave lanes idle. */
    if (p->P < kernels->vector) return 0;
    if (plan->K <= kernels->transposing_mr_max)
        return transposing_cycles(plan->C, plan->K) < padded_cycles(plan) ? plan->K : 0;
    const int64_t left = plan->K % kernels->vector;
    return left + TRANSPOSING_CHANNELS <= kernels->vector ? left : 0;
}

/* Plans for a pixel epilogue: planar kernels leave their sums in planes in scratch. */
static void choose_finish(pw_plan *plan, int x_planar) {
    const pw_problem *p = &plan->problem;
    plan->planes = plan->stage_y = 1;
    plan->bf16_pairs = has_bf16_pairs(plan, x_planar);
    plan->converts = (x_planar || pw_is_reversed(p)) && !plan->bf16_pairs && has_converters(plan);
    plan->stage_x = plan->bf16_pairs || (!plan->converts && (reads_staged(p) || !x_planar));
    plan->stage_r = p->has_residual;
}

/* The same by transposing kernels, if possible: they leave the sums of a vector of pixels at a time
 * for the head, and pixels of y are stored from there. x then needs no planes in scratch. */
static int choose_tiles(pw_plan *plan, int y_interleaved) {
    const pw_problem *p = &plan->problem;
    const pw_kernels *kernels = plan->kernels;
    if (p->has_residual || p->slopes || plan->epilogue.activation != PW_ACT_NONE ||
        !(y_interleaved || plan->y_channels == 1) || plan->K > kernels->transposing_mr_max ||
        p->P < kernels->vector)
        return 0;
    plan->interleaved = plan->tiled = 1;
    plan->stage_x = reads_staged(p) || (plan->C > 1 && p->x_c != (ptrdiff_t)pw_size(p->dtype));
    return 1;
}

/* Whether sums in planes, turned into pixels of y, are better than sums in vectors of channels, of
 * which the last may be mostly padding. */
static int wants_turned_sums(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const int64_t vector = plan->kernels->vector;
    const double C = (double)plan->C, K = (double)plan->K;
    const double turned = K / (double)vector * (C + (double)FINISH_CYCLES);
    const double padded = C * (double)pw_ceil_div(plan->K, vector);
    /* rows_of_planes has vectors from TRANSPOSE channels on. */
    return plan->K >= TRANSPOSE && plan->kernels->transposing_mr_max && p->P >= vector &&
           !p->has_residual && !p->in_place && p->components == 1 && p->y_dtype == p->dtype &&
           !p->y_swapped && turned < 0.97 * padded;
}

/* Chooses a layout that can be written in place, or else one that can be read in place. */
void pw_choose_path(pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->y_dtype) * p->components,
                    x_size = (ptrdiff_t)pw_size(p->x_dtype) * p->components;
    const int single_pixel = p->P == 1, converts = p->y_dtype != p->dtype || p->components > 1;
    const int stores = converts || p->y_swapped, loads = converts || p->r_swapped;
    const int y_planar = single_pixel || p->y_p == size,
              x_planar = single_pixel || p->x_p == x_size;
    const int y_interleaved = plan->K == 1 || p->y_k == size;
    const int r_planar = single_pixel || p->r_p == size;
    const int r_interleaved = plan->K == 1 || p->r_k == size;
    if (plan->has_pixel_epilogue) {
        if (!x_planar && choose_tiles(plan, y_interleaved)) return;
        choose_finish(plan, x_planar);
        return;
    }
    if (has_few_channels(plan)) {
        plan->interleaved = plan->few_channels = 1;
        return;
    }
    plan->interleaved = y_interleaved && (single_pixel || !(x_planar && y_planar)) &&
                        !(x_planar && wants_turned_sums(plan));
    plan->bf16_pairs = !plan->interleaved && has_bf16_pairs(plan, x_planar);
    const int reads_planes = x_planar || (pw_is_reversed(p) && has_converters(plan));
    if (!plan->interleaved && y_planar && !plan->bf16_pairs) choose_planes(plan, reads_planes);
    if (plan->interleaved && !plan->interleaved_to_planes &&
        plan->K > plan->kernels->transposing_mr_max && has_rows(p))
        merge_rows(plan);
    plan->planes = plan->interleaved_to_planes || plan->transposing_to_planes || !plan->interleaved;
    plan->converts = !plan->interleaved && reads_planes && !plan->stage_x && !plan->bf16_pairs &&
                     has_converters(plan);
    plan->stage_x |= plan->bf16_pairs;
    plan->stage_x |= !plan->converts && (reads_staged(p) || (!plan->interleaved && !x_planar));
    plan->stage_y = stores || !(plan->planes ? y_planar : y_interleaved);
    plan->stage_r = p->has_residual && (loads || !(plan->planes ? r_planar : r_interleaved));
}
