/* Layers one after another, their hidden channels in cache. plan.c plans, run.c runs.
 *
 * Fused: a thread takes a panel of pixels through all layers, with hidden channels in its scratch.
 * All weights are read for every panel, so they have to fit into level 2. If they do not, or if
 * there are too few pixels to share out, a batch of pixels goes through one layer after another.
 * All threads compute each layer, and a batch's hidden channels are in the caller's scratch.
 *
 * fused2: kernels compute two fused layers at once. The hidden channels stay in registers. */
#ifndef PW_CHAIN_PLAN_H
#define PW_CHAIN_PLAN_H

#include "conv/plan.h"

typedef struct pw_chain {
    pw_problem whole; /* x of the first layer, y and residual of the last */
    int64_t outer;    /* product of its outer extents */
    int n;            /* layers */
    int fused;
    pw_fused2_kernel fused2; /* NULL: not two fused layers, or no kernel for them */
    int widths[2];           /* for fused2: of blocks of each layer's packed weights */
    int few_channels;
    ptrdiff_t prefetch;
    int interleaved; /* hidden channels are interleaved; else in planes */
    size_t hidden;   /* bytes of one layer's hidden channels; two such regions if n > 2 */
    size_t bytes;    /* of scratch: the layers' own, then the hidden channels */
    double multiply_adds;
    /* Fused. */
    int64_t panel, step; /* pixels; items are a multiple of `step` */
    int64_t room;        /* pixels of a plane of hidden channels: a panel and an unaligned prefix */
    /* Pixels after which x goes on at its next row, x_row bytes on. 0: P is one row, or the first
     * layer's plan knows about its rows. */
    int64_t row_pixels;
    ptrdiff_t x_row;
    /* Not fused. */
    int64_t axis;    /* what batches divide: one of the outer axes, or P, which comes after them */
    int64_t most;    /* most indices of it in a batch */
    int64_t batches; /* along it */
    pw_plan *layers[]; /* n; if not fused, then n for the last batch, if it is smaller */
} pw_chain;

void pw_chain_free(pw_chain *);

#endif
