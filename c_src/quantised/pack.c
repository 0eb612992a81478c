/* Packs weights: whether products are in reach, then the bias, then the weights as lanes.
 *
 * Zero points are folded into the bias. A lane may hold x' = x - x_off and w' = w - w_off, whose
 * zero points are x_zero' = x_zero - x_off and w_zero' = w_zero - w_off. Then
 *
 *     sum_c (w - w_zero) (x - x_zero) = sum_c w' x' - x_zero' sum_c w' + C w_zero' x_zero'
 *                                       - w_zero' sum_c x'
 *
 * The two terms in the middle are added to the bias; kernels compute the first and the last. Lanes
 * of 16-bit numbers hold w - w_zero and x - x_zero themselves, so the first term is all there is.
 *
 * Planar weights are a row of lanes for each output channel k, in whole vectors. Interleaved ones
 * are blocks of NR vectors. In a block the groups of input channels come one after another; each
 * has contiguous lanes, one for each k of the block, which are 0 past K.
 */
#include <string.h>

#include "quantised/pack.h"
#include "quantised/stage.h"

enum {
    LINE = 64,
    BIAS_AT = LINE, /* in bytes */
    /* Lanes of a row that are made at once: a multiple of every vector. */
    SPREAD_LANES = 256,
    /* Rows whose lanes are summed at once: a multiple of four. */
    SUMMED_ROWS = 64,
};

static size_t w_at(const pw_qplan *plan) {
    return BIAS_AT + (size_t)pw_round_up(plan->readable * (int64_t)sizeof(int32_t), LINE);
}

static ptrdiff_t row_bytes(const pw_qplan *plan) {
    return (ptrdiff_t)plan->row * PW_Q_LANE;
}

size_t pw_qpacked_bytes(const pw_qplan *plan) {
    const int64_t lanes = plan->interleaved ? plan->blocks.first[plan->blocks.n] * plan->groups
                                            : plan->problem.K * plan->row;
    return w_at(plan) + (size_t)lanes * PW_Q_LANE;
}

/* Whether the caller's rows of weights are lanes already. */
static int is_borrowed(const pw_qplan *plan, const pw_qweights *weights) {
    const int depth = plan->kernels->depth;
    return !plan->interleaved && depth == 4 && weights->w_c == 1 && !plan->w_bytes.flip &&
           plan->problem.C == plan->row * depth;
}

size_t pw_qpacked_once_bytes(const pw_qplan *plan, const pw_qweights *weights) {
    return is_borrowed(plan, weights) ? w_at(plan) : pw_qpacked_bytes(plan);
}

/* Whether every product of a sum and its scale fits int32, with room to spare. */
static int is_in_reach(const pw_qplan *plan, const int32_t *bias) {
    double most = 0;
    for (int64_t k = 0; k < plan->problem.K; k++) {
        const double size = bias[k];
        most = size > most ? size : -size > most ? -size : most;
    }
    const double sum = (double)plan->problem.C * 255 * 255 + most;
    return (sum < 0x1p31 ? sum : 0x1p31) * (double)plan->most_scale < 0x1p30;
}

static int folds_zeros(const pw_qplan *plan) {
    return plan->kernels->lanes != PW_Q_S16 && plan->x_bytes.zero;
}

/* Adds to the bias of channel k what zero points add to every pixel's sum. */
static void fold_zeros(const pw_qplan *plan, int64_t k, uint32_t sum_w, int32_t *bias) {
    const uint32_t sum = (uint32_t)plan->problem.C * (uint32_t)plan->w_zero[k] - sum_w;
    bias[k] = (int32_t)((uint32_t)bias[k] + (uint32_t)plan->x_bytes.zero * sum);
}

static pw_qbytes bytes_of_row(const pw_qplan *plan, int64_t k) {
    return (pw_qbytes){.flip = plan->w_bytes.flip, .zero = (int16_t)plan->w_zero[k]};
}

/* Folds the zero points for all channels, whose weights are rows of lanes. */
static void fold_rows(const pw_qplan *plan, const char *w, ptrdiff_t w_k, int32_t *bias) {
    int32_t sums[SUMMED_ROWS];
    for (int64_t k = 0; k < plan->problem.K; k += SUMMED_ROWS) {
        const int64_t n = pw_min(SUMMED_ROWS, plan->problem.K - k);
        plan->kernels->sum_w(w + k * w_k, w_k, row_bytes(plan), n, sums);
        for (int64_t i = 0; i < n; i++) fold_zeros(plan, k + i, (uint32_t)sums[i], bias);
    }
}

static void pack_rows(const pw_qplan *plan, const pw_qweights *weights, char *w) {
    for (int64_t k = 0; k < plan->problem.K; k++, w += row_bytes(plan))
        pw_qstage_row(plan->kernels, bytes_of_row(plan, k), w, plan->row,
                      weights->w + k * weights->w_k, weights->w_c, plan->problem.C);
}

/* Makes the lanes of channel k, `step` bytes apart. */
static void spread_row(const pw_qplan *plan, const pw_qweights *weights, int64_t k, char *to,
                       ptrdiff_t step, int32_t *bias) {
    const pw_qkernels *kernels = plan->kernels;
    const char *from = weights->w + k * weights->w_k;
    _Alignas(LINE) char lanes[SPREAD_LANES * PW_Q_LANE];
    uint32_t sum = 0;
    for (int64_t g = 0, n; g < plan->groups; g += n) {
        n = pw_min(SPREAD_LANES, plan->groups - g);
        const int64_t c = g * kernels->depth, padded = pw_round_up(n, kernels->vector);
        pw_qstage_row(kernels, bytes_of_row(plan, k), lanes, padded, from + c * weights->w_c,
                      weights->w_c, pw_min(n * kernels->depth, plan->problem.C - c));
        for (int64_t i = 0; i < n; i++, to += step) memcpy(to, lanes + i * PW_Q_LANE, PW_Q_LANE);
        if (!folds_zeros(plan)) continue;
        int32_t sums[4];
        kernels->sum_w(lanes, 0, padded * PW_Q_LANE, 1, sums);
        sum += (uint32_t)sums[0];
    }
    if (folds_zeros(plan)) fold_zeros(plan, k, sum, bias);
}

static void pack_blocks(const pw_qplan *plan, const pw_qweights *weights, char *w, int32_t *bias) {
    for (int64_t b = 0; b < plan->blocks.n; b++) {
        const int64_t first = plan->blocks.first[b];
        const int64_t width = plan->blocks.first[b + 1] - first;
        const int64_t channels = pw_min(width, plan->problem.K - first);
        char *at = w + first * plan->groups * PW_Q_LANE;
        if (channels < width) memset(at, 0, (size_t)(width * plan->groups) * PW_Q_LANE);
        for (int64_t i = 0; i < channels; i++)
            spread_row(plan, weights, first + i, at + i * PW_Q_LANE, (ptrdiff_t)width * PW_Q_LANE,
                       bias);
    }
}

/* borrowed: the caller's rows of weights are lanes already and stay where they are. */
static void pack(const pw_qplan *plan, const pw_qweights *weights, int borrowed, char *memory) {
    char *w = memory + w_at(plan);
    int32_t *bias = (int32_t *)(memory + BIAS_AT);
    memset(memory, 0, w_at(plan));
    for (int64_t k = 0; weights->bias && k < plan->problem.K; k++)
        memcpy(bias + k, weights->bias + k * weights->bias_step, sizeof *bias);
    const int in_reach = is_in_reach(plan, bias);
    memcpy(memory, &in_reach, sizeof in_reach);
    if (plan->interleaved) {
        pack_blocks(plan, weights, w, bias);
        return;
    }
    if (!borrowed) pack_rows(plan, weights, w);
    if (folds_zeros(plan))
        fold_rows(plan, borrowed ? weights->w : w, borrowed ? weights->w_k : row_bytes(plan), bias);
}

void pw_qpack(const pw_qplan *plan, const void *w, ptrdiff_t w_k, ptrdiff_t w_c, const void *bias,
              ptrdiff_t bias_step, void *packed) {
    const pw_qweights weights = {w, bias, w_k, w_c, bias_step};
    pack(plan, &weights, 0, packed);
}

pw_qpacked pw_qpacked_at(const pw_qplan *plan, const void *packed) {
    const char *memory = packed;
    pw_qpacked found = {.w = memory + w_at(plan),
                        .w_k = row_bytes(plan),
                        .bias = (const int32_t *)(memory + BIAS_AT)};
    memcpy(&found.in_reach, memory, sizeof found.in_reach);
    return found;
}

pw_qpacked pw_qpack_once(const pw_qplan *plan, const pw_qweights *weights, void *memory) {
    const int borrowed = is_borrowed(plan, weights);
    pack(plan, weights, borrowed, memory);
    pw_qpacked packed = pw_qpacked_at(plan, memory);
    if (borrowed) packed.w = weights->w, packed.w_k = weights->w_k;
    return packed;
}
