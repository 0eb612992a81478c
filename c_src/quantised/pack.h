/* Weights as lanes, blocks of them, and the zero points folded into the bias. */
#ifndef PW_QUANTISED_PACK_H
#define PW_QUANTISED_PACK_H

#include "base/math.h"
#include "quantised/kernels.h"

/* What a call needs beside its pixels. */
typedef struct pw_qpacked {
    const char *w; /* planar: rows of lanes, which may be the caller's; interleaved: see there */
    ptrdiff_t w_k; /* from row to row */
    char *ones;    /* a row of w that sums x */
    int32_t
        *bias; /* with what the zero points of x and w add to every pixel's sum; zeros behind it,
                    * as much as a tile that begins at the last channel reads, as w_zero and scale */
    int32_t *w_zero;
    float *scale;
    int needs_x_sum; /* a w_zero is not 0 */
    int in_reach;    /* see pw_qoutput */
} pw_qpacked;
typedef struct pw_qweights {
    const char *w, *bias;
    ptrdiff_t w_k, w_c, bias_step;
} pw_qweights;
/* Bytes of memory that it takes, 64-byte aligned; interleaved: kernels. */
size_t pw_qpacked_bytes(const pw_qkernels *, const pw_qproblem *, const pw_qweights *,
                        int interleaved);
pw_qpacked pw_qpack(const pw_qkernels *, const pw_qproblem *, const pw_qweights *, int interleaved,
                    char *memory);

/* Output channels in the blocks that kernels take: units are channels, or vectors of them. */
typedef struct pw_qblocks {
    int64_t K, units, n;
    int unit; /* channels */
} pw_qblocks;
static inline pw_qblocks pw_qblocks_of(const pw_qkernels *kernels, int64_t K, int interleaved) {
    pw_qblocks b = {.K = K, .unit = interleaved ? kernels->vector : 1};
    b.units = pw_ceil_div(K, b.unit);
    b.n = pw_ceil_div(b.units, interleaved ? kernels->nv_max : kernels->kr_max);
    return b;
}
/* The first unit of block i; of the block behind the last, the end of all. */
static inline int64_t pw_qblock_at(const pw_qblocks *b, int64_t i) {
    return b->units * i / b->n;
}
/* The block of a unit. */
static inline int64_t pw_qblock_of(const pw_qblocks *b, int64_t unit) {
    return ((unit + 1) * b->n - 1) / b->units;
}

#endif
