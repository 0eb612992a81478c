/* Packs weights in the order in which kernels read them.
 *
 * For each group of channels, block by block (conv/planner.c cuts them), the bias, then the weights:
 *
 *     planar, transposing: MR       interleaved: n vectors of channels
 *     bias[k0 .. k0+MR)             bias[k0 .. k0+width), 0 past K
 *     w[k0 .. k0+MR)[0]             w[k0 .. k0+width)[0], 0 past K
 *     w[k0 .. k0+MR)[1]             ...
 *     ...                           w[k0 .. k0+width)[C-1]
 *     w[k0 .. k0+MR)[C-1]
 *
 * Pairs of bfloat16: as planar, but one element holds channels 2c and 2c + 1, 0 past C.
 */
#include <string.h>

#include "conv/path.h"
#include "conv/plan.h"
#include "conv/present.h"
#include "isa/half.h"

size_t pw_packed_bytes(const pw_plan *plan) {
    return (size_t)plan->problem.groups * (size_t)plan->group_bytes;
}

#define PACK_BLOCK(T)                                                                          \
    static void pack_block_##T(const pw_block *block, int64_t C, const char *w, ptrdiff_t w_k, \
                               ptrdiff_t w_c, const char *bias, ptrdiff_t step, T *to) {       \
        const int width = block->width;                                                        \
        if (!bias || block->channels < width)                                                  \
            memset(to, 0, (size_t)((C + 1) * width) * sizeof(T));                              \
        for (int i = 0; i < block->channels; i++) {                                            \
            if (bias) memcpy(to + i, bias + i * step, sizeof(T));                              \
            const char *from = w + i * w_k;                                                    \
            T *at = to + width + i;                                                            \
            _Pragma("GCC unroll 4") for (int64_t c = 0; c < C; c++, from += w_c, at += width)  \
                memcpy(at, from, sizeof(T));                                                   \
        }                                                                                      \
    }
/* Packs the bias as float32, then the channels in pairs of bfloat16. */
static void pack_bf16_pairs(const pw_block *block, int64_t C, const char *w, ptrdiff_t w_k,
                            ptrdiff_t w_c, const char *bias, ptrdiff_t step, char *to) {
    for (int i = 0; i < block->width; i++, to += sizeof(float)) {
        memset(to, 0, sizeof(float));
        if (bias) memcpy(to, bias + i * step, sizeof(float));
    }
    for (int64_t c = 0; c < C; c += 2)
        for (int i = 0; i < block->width; i++, to += 2 * sizeof(uint16_t)) {
            uint16_t pair[2] = {0};
            for (int j = 0; j < 2 && c + j < C; j++) {
                float value;
                memcpy(&value, w + i * w_k + (c + j) * w_c, sizeof value);
                pair[j] = to_bf16(value);
            }
            memcpy(to, pair, sizeof pair);
        }
}

PACK_BLOCK(float)
PACK_BLOCK(double)

/* Packs rows of whole vectors, if there are kernels that do so for these strides; else returns 0.
 * 2048x7x7-512 went from 3.9 to 1.1 ms, one thread, Zen 4. */
static int pack_vectors(const pw_plan *plan, const pw_block *block, const char *w, ptrdiff_t w_k,
                        ptrdiff_t w_c, char *to) {
    const pw_kernels *kernels = plan->kernels;
    const ptrdiff_t size = (ptrdiff_t)pw_size(plan->problem.dtype), row = block->width * size;
    if (block->width % kernels->vector) return 0;
    if (w_c == size)
        kernels->panel_of_planes(w, w_k, block->channels, plan->C, to, row);
    else if (w_k == size)
        kernels->panel_of_rows(w, w_c, block->channels, plan->C, to, row);
    return w_c == size || w_k == size;
}

void pw_pack(const pw_plan *plan, const void *w, ptrdiff_t w_k, ptrdiff_t w_c, const void *bias,
             ptrdiff_t bias_step, void *packed) {
    char *to = packed;
    for (int64_t g = 0; g < plan->problem.groups; g++, to += plan->group_bytes) {
        if (plan->present)
            pw_pack_present(plan, (const char *)w + g * plan->K * w_k, w_k, w_c,
                            bias ? (const char *)bias + g * plan->K * bias_step : NULL, bias_step,
                            to + plan->present_at);
        for (int i = 0; i < plan->n_blocks; i++) {
            const pw_block *block = &plan->blocks[i];
            const int64_t k = g * plan->K + block->k;
            const char *b = bias ? (const char *)bias + k * bias_step : NULL;
            const char *from = (const char *)w + k * w_k;
            char *at = to + block->offset;
            if (plan->path->bf16_pairs) {
                pack_bf16_pairs(block, plan->C, from, w_k, w_c, b, bias_step, at);
                continue;
            }
            const ptrdiff_t row = block->width * (ptrdiff_t)pw_size(plan->problem.dtype);
            const int64_t C = pack_vectors(plan, block, from, w_k, w_c, at + row) ? 0 : plan->C;
            if (plan->problem.dtype == PW_F32)
                pack_block_float(block, C, from, w_k, w_c, b, bias_step, (float *)at);
            else
                pack_block_double(block, C, from, w_k, w_c, b, bias_step, (double *)at);
        }
    }
}
