/* The plan of a quantised convolution: how it will be computed. */
#ifndef PW_QUANTISED_PLAN_H
#define PW_QUANTISED_PLAN_H

#include "base/math.h"
#include "isa/quantised_types.h"
#include "pointwise.h"

/* The blocks of output channels: a block is what a planar or interleaved kernel takes at once. */
typedef struct pw_qblocks {
    int64_t n;
    int unit;  /* a block has a multiple of so many channels */
    int width; /* most channels of a block */
    const int64_t
        *first; /* the first channel of each block, then where the last one's padding ends */
} pw_qblocks;

/* A thread's scratch. It begins with staged x; the other regions are so many bytes further on. All
 * are aligned to 64 bytes. */
typedef struct pw_qscratch {
    size_t rows, acc, y, bytes;
} pw_qscratch;

struct pw_qplan {
    pw_qproblem problem; /* its w_zero and scale are NULL: those below take their place */
    const pw_qkernels *kernels;
    pw_qbytes x_bytes, w_bytes; /* for `zero`, a row of weights takes its own w_zero */
    const char *ones;           /* a row of ones, as weights that sum x */
    int64_t readable;           /* elements of w_zero, scale and the packed bias: zeros past K */
    const int32_t *w_zero;      /* zero points of the numbers in lanes */
    const float *scale;
    float most_scale;
    int needs_x_sum; /* some w_zero is not 0: its product with the sum of x is subtracted */
    int interleaved; /* the kernels are interleaved; else planar */
    int direct;      /* x is read in place: its bytes are lanes */
    int rows;        /* x is staged as a row of lanes for each pixel; else as vectors of pixels */
    int stage_y;     /* y goes through a tile of planes in scratch */
    int stream;      /* store past the caches, where y turns out to be aligned to a cache line */
    int dots;        /* most pixels left over that dot kernels take */
    ptrdiff_t ahead; /* how many bytes ahead x is fetched; 0: not at all */
    int64_t outer;   /* product of the outer extents */
    int64_t groups;  /* of channels: lanes of a pixel */
    int64_t row;     /* groups, rounded up to whole vectors of lanes */
    int64_t pass;    /* groups in one pass over the sums */
    int tile_pixels;
    int64_t panel;    /* most pixels of an item; a call that is interrupted stops between items */
    int64_t k_splits; /* least number of slices of the blocks: scratch holds a slice's channels */
    pw_qblocks blocks;
    pw_qoutput output; /* without in_reach, which depends on the weights */
    pw_qscratch scratch;
    double multiply_adds;
    char description[200];
};

#endif
