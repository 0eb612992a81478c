/* Weights as lanes, and the zero points folded into the bias.
 *
 * With numbers in lanes x' = x - x_off and w' = w - w_off, and zero points moved along,
 *
 *     sum_c (w - w_zero) (x - x_zero) = sum_c w' x' - x_zero' sum_c w' + C w_zero' x_zero'
 *                                       - w_zero' sum_c x'
 *
 * of which all but the first and the last term join the bias. Lanes of 16 bits hold w - w_zero and
 * x - x_zero themselves.
 *
 * Planar: w[k] is a row of lanes, whole vectors; those given serve where they are such rows. Interleaved: blocks of nv vectors, the
 * lanes of a group of channels for all k of the block one behind the other, group after group.
 */
#include <string.h>

#include "quantised/pack.h"
#include "base/math.h"
#include "quantised/kernels.h"
#include "quantised/stage.h"
#include "pointwise.h"

enum { LINE = 64 };

typedef struct sizes {
    int64_t groups, row; /* lanes: of a row, and in whole vectors */
    int borrowed;        /* the caller's weights are rows of lanes as they are */
    size_t w, ones, spare, sums, bias, zero, scale, all; /* where each begins */
} sizes;

/* Where n lanes begin: at the next line. */
static size_t after(size_t *end, int64_t n) {
    const size_t at = (size_t)pw_round_up((int64_t)*end, LINE);
    *end = at + (size_t)n * PW_Q_LANE;
    return at;
}

static sizes sizes_of(const pw_qkernels *kernels, const pw_qproblem *q, const pw_qweights *weights,
                      int interleaved) {
    const int64_t V = kernels->vector, padded = pw_round_up(q->K, V);
    /* A part of the channels begins at any of them: the last tile of dot kernels, even at the last. */
    const int64_t readable = q->K - 1 + 4 * V;
    sizes s = {.groups = pw_ceil_div(q->C, kernels->depth)};
    size_t end = 0;
    s.row = pw_round_up(s.groups, V);
    s.borrowed = !interleaved && kernels->depth == 4 && weights->w_c == 1 &&
                 q->C == s.row * kernels->depth && !pw_qbytes_of(kernels, 0, q->w_signed, 0).flip;
    s.w = after(&end, interleaved ? padded * s.groups : s.borrowed ? 0 : q->K * s.row);
    s.ones = after(&end, s.row);
    s.spare = after(&end, interleaved ? s.row : 0);
    s.sums = after(&end, q->K + 3);
    s.bias = after(&end, readable);
    s.zero = after(&end, readable);
    s.scale = after(&end, readable);
    s.all = end;
    return s;
}

size_t pw_qpacked_bytes(const pw_qkernels *kernels, const pw_qproblem *q,
                        const pw_qweights *weights, int interleaved) {
    return sizes_of(kernels, q, weights, interleaved).all;
}

/* Whether every product of a sum and its scale fits int32, with room to spare. */
static int are_in_reach(const pw_qproblem *q, const pw_qpacked *packed) {
    float scale = 0;
    double bias = 0;
    for (int64_t k = 0; k < q->K; k++) {
        const double size = packed->bias[k];
        scale = packed->scale[k] > scale ? packed->scale[k] : scale;
        bias = size > bias ? size : -size > bias ? -size : bias;
    }
    const double sum = (double)q->C * 255 * 255 + bias;
    return (sum < 0x1p31 ? sum : 0x1p31) * (double)scale < 0x1p30;
}

/* The lanes of channel k into its block of vectors. */
static void spread(const pw_qblocks *blocks, const sizes *s, int64_t k, const char *row, char *w) {
    const int64_t block = pw_qblock_of(blocks, k / blocks->unit);
    const int64_t first = pw_qblock_at(blocks, block), end = pw_qblock_at(blocks, block + 1);
    const int64_t at = first * blocks->unit, width = (end - first) * blocks->unit;
    w += (at * s->groups + k - at) * PW_Q_LANE;
    for (int64_t g = 0; g < s->groups; g++)
        memcpy(w + g * width * PW_Q_LANE, row + g * PW_Q_LANE, PW_Q_LANE);
}

pw_qpacked pw_qpack(const pw_qkernels *kernels, const pw_qproblem *q, const pw_qweights *weights,
                    int interleaved, char *memory) {
    const sizes s = sizes_of(kernels, q, weights, interleaved);
    const pw_qblocks blocks = pw_qblocks_of(kernels, q->K, interleaved);
    const ptrdiff_t row_bytes = (ptrdiff_t)s.row * PW_Q_LANE;
    pw_qpacked packed = {
        .w = s.borrowed ? weights->w : memory + s.w,
        .w_k = s.borrowed ? weights->w_k : row_bytes,
        .ones = memory + s.ones,
        .bias = (int32_t *)(memory + s.bias),
        .w_zero = (int32_t *)(memory + s.zero),
        .scale = (float *)(memory + s.scale),
    };
    memset(memory + s.bias, 0, s.all - s.bias);
    memset(packed.ones, 1, (size_t)row_bytes);
    if (interleaved) memset(memory + s.w, 0, s.ones - s.w);
    for (int64_t k = 0; k < q->K; k++) {
        if (weights->bias)
            memcpy(packed.bias + k, weights->bias + k * weights->bias_step, sizeof *packed.bias);
        packed.scale[k] = q->scale[k];
    }
    packed.in_reach = are_in_reach(q, &packed);
    pw_qbytes bytes = pw_qbytes_of(kernels, 0, q->w_signed, 0);
    const int x_zero = pw_qbytes_of(kernels, 1, q->x_signed, q->x_zero).zero, moved = bytes.zero;
    const int needs_sums = kernels->lanes != PW_Q_S16 && x_zero;
    int32_t *sums = (int32_t *)(memory + s.sums);
    for (int64_t k = 0; !s.borrowed && k < q->K; k++) {
        char *row = memory + (interleaved ? s.spare : s.w + (size_t)(k * row_bytes));
        bytes.zero = (int16_t)(moved + q->w_zero[k]);
        pw_qstage_row(kernels, bytes, row, s.row, weights->w + k * weights->w_k, weights->w_c,
                      q->C);
        if (!interleaved) continue;
        if (needs_sums) kernels->sum_w(row, 0, row_bytes, 1, sums + k);
        spread(&blocks, &s, k, row, memory + s.w);
    }
    if (needs_sums && !interleaved) kernels->sum_w(packed.w, packed.w_k, row_bytes, q->K, sums);
    for (int64_t k = 0; kernels->lanes != PW_Q_S16 && k < q->K; k++) {
        packed.w_zero[k] = moved + q->w_zero[k];
        packed.needs_x_sum |= packed.w_zero[k];
        if (needs_sums)
            packed.bias[k] =
                (int32_t)((uint32_t)packed.bias[k] +
                          (uint32_t)x_zero *
                              ((uint32_t)q->C * (uint32_t)packed.w_zero[k] - (uint32_t)sums[k]));
    }
    return packed;
}
