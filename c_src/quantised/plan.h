/* How one quantised convolution will be computed. */
#ifndef PW_QUANTISED_PLAN_H
#define PW_QUANTISED_PLAN_H

#include "base/math.h"
#include "quantised/kernels.h"

/* Output channels in the blocks that kernels take. */
typedef struct pw_qblocks {
    int64_t n;
    int unit;             /* channels, of which a block has a multiple, */
    int width;            /* this one at most */
    const int64_t *first; /* channels of the blocks, then where the padding of the last ends */
} pw_qblocks;

/* Scratch of a thread, in bytes from its start, where staged x is; 64-byte aligned. */
typedef struct pw_qscratch {
    size_t rows, acc, y, bytes;
} pw_qscratch;

struct pw_qplan {
    pw_qproblem problem; /* without zero points of weights and scales, which are below */
    const pw_qkernels *kernels;
    pw_qbytes x_bytes, w_bytes; /* a row of weights takes its own w_zero for zero */
    const char *ones;           /* a row of weights that sums x */
    int64_t readable;           /* elements of the next two and of the packed bias: zeros past K */
    const int32_t *w_zero;      /* zero points of the numbers in lanes */
    const float *scale;
    float most_scale;
    int needs_x_sum; /* some w_zero has to be taken off sums */
    int interleaved; /* the kernels, or planar */
    int direct;      /* x is read in place: its bytes are lanes */
    int rows;        /* x is staged in rows of lanes for each pixel */
    int stage_y;     /* through a tile of planes */
    int stream;      /* where y turns out to be aligned to a line */
    int dots;        /* most pixels left over that dot kernels take */
    ptrdiff_t ahead; /* bytes, that x is fetched; 0: it is not */
    int64_t outer;   /* product of the outer extents */
    int64_t groups;  /* of channels: lanes of a pixel */
    int64_t row;     /* the same, in whole vectors */
    int64_t pass;    /* groups in one pass over the sums */
    int tile_pixels;
    int64_t panel;    /* most pixels at once, for a call stops between panels */
    int64_t k_splits; /* slices of the blocks at least, for scratch to hold the channels of each */
    pw_qblocks blocks;
    pw_qoutput output; /* in_reach is up to the weights */
    pw_qscratch scratch;
    double multiply_adds;
    char description[200];
};

#endif
