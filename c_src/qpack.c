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
 * Planar: w[k] is a row of lanes, padded to whole vectors. Interleaved: blocks of nv vectors, the
 * lanes of a group of channels for all k of the block one behind the other, group after group.
 */
#include <string.h>

#include "qkernels.h"

enum { LINE = 64 };

typedef struct sizes {
    int64_t groups, row; /* lanes: of a row, and in whole vectors */
    int64_t padded;      /* K, in whole vectors */
    size_t w, ones, spare, bias, zero, scale, all; /* where each begins */
} sizes;

static size_t after(size_t *end, int64_t n) {
    const size_t at = *end;
    *end += (size_t)pw_round_up(n * PW_Q_LANE, LINE);
    return at;
}

static sizes sizes_of(const pw_qkernels *kernels, int64_t C, int64_t K, int interleaved) {
    sizes s = {.groups = pw_ceil_div(C, kernels->depth), .padded = pw_round_up(K, kernels->vector)};
    size_t end = 0;
    s.row = pw_round_up(s.groups, kernels->vector);
    s.w = after(&end, interleaved ? s.padded * s.groups : K * s.row);
    s.ones = after(&end, s.row);
    s.spare = after(&end, interleaved ? s.row : 0);
    s.bias = after(&end, s.padded);
    s.zero = after(&end, s.padded);
    s.scale = after(&end, s.padded);
    s.all = end;
    return s;
}

size_t pw_qpacked_bytes(const pw_qkernels *kernels, int64_t C, int64_t K, int interleaved) {
    return sizes_of(kernels, C, K, interleaved).all;
}

/* What channel k adds to every pixel's sum beside its products; modulo 2**32. */
static int32_t constant(const pw_qkernels *kernels, const char *row, int64_t lanes, int64_t C,
                        int x_zero, int w_zero, int32_t bias) {
    uint32_t sum = (uint32_t)bias;
    if (kernels->lanes == PW_Q_S16) return bias;
    if (x_zero) {
        sum -= (uint32_t)x_zero * (uint32_t)kernels->sum_w(row, lanes);
        sum += (uint32_t)C * (uint32_t)(x_zero * w_zero);
    }
    return (int32_t)sum;
}

pw_qpacked pw_qpack(const pw_qkernels *kernels, const pw_qproblem *q, int interleaved,
                    const char *w, ptrdiff_t w_k, ptrdiff_t w_c, const int32_t *bias,
                    char *memory) {
    const sizes s = sizes_of(kernels, q->C, q->K, interleaved);
    const pw_qblocks blocks = pw_qblocks_of(kernels, q->K, interleaved);
    const int x_zero = pw_qbytes_of(kernels, 1, q->x_signed, q->x_zero).zero;
    pw_qpacked packed = {
        .w = memory + s.w,
        .ones = memory + s.ones,
        .w_k = (ptrdiff_t)s.row * PW_Q_LANE,
        .bias = (int32_t *)(memory + s.bias),
        .w_zero = (int32_t *)(memory + s.zero),
        .scale = (float *)(memory + s.scale),
    };
    memset(memory + s.bias, 0, s.all - s.bias);
    if (interleaved) memset(packed.w, 0, s.ones - s.w);
    memset(packed.ones, 1, (size_t)packed.w_k);
    for (int64_t i = 0, k = 0; i < blocks.n; i++) {
        const int64_t first = pw_qblock_at(&blocks, i) * blocks.unit;
        const int64_t end = pw_min(q->K, pw_qblock_at(&blocks, i + 1) * blocks.unit);
        const int64_t width = (pw_qblock_at(&blocks, i + 1) - pw_qblock_at(&blocks, i)) * blocks.unit;
        for (; k < end; k++) {
            const pw_qbytes bytes = pw_qbytes_of(kernels, 0, q->w_signed, q->w_zero[k]);
            char *row = interleaved ? memory + s.spare : packed.w + k * packed.w_k;
            pw_qstage_row(kernels, bytes, row, s.row, w + k * w_k, w_c, q->C);
            packed.scale[k] = q->scale[k];
            packed.bias[k] = constant(kernels, row, s.row, q->C, x_zero, bytes.zero, bias ? bias[k] : 0);
            if (kernels->lanes != PW_Q_S16) packed.w_zero[k] = bytes.zero;
            packed.needs_x_sum |= packed.w_zero[k] != 0;
            if (!interleaved) continue;
            char *to = packed.w + (first * s.groups + k - first) * PW_Q_LANE;
            for (int64_t g = 0; g < s.groups; g++)
                memcpy(to + g * width * PW_Q_LANE, row + g * PW_Q_LANE, PW_Q_LANE);
        }
    }
    return packed;
}
