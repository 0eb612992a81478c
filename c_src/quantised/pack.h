/* Packs weights for the kernels. */
#ifndef PW_QUANTISED_PACK_H
#define PW_QUANTISED_PACK_H

#include "quantised/plan.h"

/* The caller's weights and bias. Strides are in bytes. */
typedef struct pw_qweights {
    const char *w, *bias;
    ptrdiff_t w_k, w_c, bias_step;
} pw_qweights;

typedef struct pw_qpacked {
    const char *w;       /* planar: rows of lanes, which may be the caller's; interleaved: blocks */
    ptrdiff_t w_k;       /* planar: from row to row */
    const int32_t *bias; /* includes what the zero points of x and w add to every pixel's sum.
                          * Readable for as many elements as the plan's scales are */
    int in_reach;        /* see pw_qoutput */
} pw_qpacked;

/* Finds what is in memory that pw_qpack filled. */
pw_qpacked pw_qpacked_at(const pw_qplan *, const void *packed);

/* Packs for a single call, into memory that is aligned to 64 bytes. Rows of weights that are lanes
 * already stay where they are. The first function tells how many bytes the rest takes. */
size_t pw_qpacked_once_bytes(const pw_qplan *, const pw_qweights *);
pw_qpacked pw_qpack_once(const pw_qplan *, const pw_qweights *, void *memory);

#endif
