/* Layers one after another, their hidden channels in cache. plan.c plans, run.c runs.
 *
 * Fused: a thread takes a panel of pixels through all layers, hidden channels in its scratch. All
 * weights are read for every panel, so they have to fit into level 2. Where they do not, or where
 * pixels are too few to share out, a batch of pixels goes through one layer after another, each
 * computed by all threads; a batch's hidden channels are in the caller's scratch.
 *
 * fused2: so are two layers by kernels in whose registers the hidden channels stay. */
#ifndef PW_CHAIN_PLAN_H
#define PW_CHAIN_PLAN_H

#include "conv/plan.h"

typedef struct pw_chain {
    pw_problem whole; /* x of the first layer, y and residual of the last */
    int64_t outer;    /* product of its outer extents */
    int n;            /* layers */
    int fused;
    pw_fused2_kernel fused2; /* fused, of two layers: hidden channels stay in registers; or NULL */
    int widths[2];           /* of the blocks of its packed weights */
    int few_channels;
    ptrdiff_t prefetch;
    int interleaved; /* the hidden channels, or in planes */
    size_t hidden;   /* bytes of those that one layer writes; two such regions if n > 2 */
    size_t bytes;    /* of scratch: that of the layers, then hidden channels */
    double multiply_adds;
    /* Fused. */
    int64_t panel, step; /* pixels */
    int64_t room;        /* for them in a region, with what comes before y is aligned */
    int64_t row_pixels;  /* pixels after which x goes on at its next row, where the first layer's */
    ptrdiff_t x_row;     /* plan does not see to that; 0: P is one row */
    /* Not fused. */
    int64_t axis;    /* that batches divide: one of the outer axes, or P, which comes after them */
    int64_t most;    /* of its indices in a batch */
    int64_t batches; /* along it */
    pw_plan *layers[]; /* n; then, not fused, n for the last batch, if it is smaller */
} pw_chain;

void pw_chain_free(pw_chain *);

#endif
