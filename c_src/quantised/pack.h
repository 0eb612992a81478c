/* Packed weights, as the kernels read them. */
#ifndef PW_QUANTISED_PACK_H
#define PW_QUANTISED_PACK_H

#include "quantised/plan.h"

/* Weights and bias of a caller. */
typedef struct pw_qweights {
    const char *w, *bias;
    ptrdiff_t w_k, w_c, bias_step;
} pw_qweights;

typedef struct pw_qpacked {
    const char *w;       /* planar: rows of lanes, which may be the caller's; interleaved: blocks */
    ptrdiff_t w_k;       /* from row to row */
    const int32_t *bias; /* with what the zero points of x and w add to every pixel's sum; readable
                          * as the plan's scales are */
    int in_reach;        /* see pw_qoutput */
} pw_qpacked;

/* What is in a block that pw_qpack filled. */
pw_qpacked pw_qpacked_at(const pw_qplan *, const void *packed);

/* For a single call: rows of weights that are lanes already stay where they are. Bytes of memory,
 * 64-byte aligned, that the rest takes. */
size_t pw_qpacked_once_bytes(const pw_qplan *, const pw_qweights *);
pw_qpacked pw_qpack_once(const pw_qplan *, const pw_qweights *, void *memory);

#endif
