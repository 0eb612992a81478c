/* The table of an instruction set's quantised kernels, and the arguments of a kernel call.
 *
 * Bytes become lanes of 32 bits. A lane holds a group of `depth` input channels, of one pixel or of
 * one output channel's weights, as four bytes or two 16-bit numbers. A kernel multiplies the
 * numbers in a lane of x by those in a lane of w and adds the products to a sum, modulo 2**32.
 * Channels past the last are zeros.
 */
#ifndef PW_ISA_QUANTISED_TYPES_H
#define PW_ISA_QUANTISED_TYPES_H

#include "isa/types.h"

enum { PW_Q_MAX_MR = 6, PW_Q_MAX_NR = 4, PW_Q_MAX_TILE = 64, PW_Q_LANE = 4 };

/* How a sum becomes a byte of y, seen as uint8: its product with the scale is rounded, `zero` is
 * added, and the result is saturated. Unless is_all is set, it is then kept within lo..hi and its
 * bits `flip` are flipped. */
typedef struct pw_qoutput {
    int16_t zero;
    uint8_t lo, hi, flip;
    int is_all;
    int in_reach; /* products are known to fit int32 */
} pw_qoutput;

/* One call of a micro-kernel: a block of output channels for n pixels. Strides are in bytes.
 *
 * Planar kernels take n pixels, a tile (four vectors) at most. x has a lane for each pixel, in
 * whole vectors; its groups of channels are x_g apart. w has a lane for each group; its output
 * channels are w_k apart. The pixels of y are contiguous.
 * Interleaved kernels take any n. x has a lane for each group; its groups are x_g apart, its pixels
 * x_p. w has whole vectors of lanes, one lane for each output channel, group after group. The
 * `channels` of a pixel of y are contiguous.
 * Dot kernels take `channels` output channels, a tile at most. x has a row of lanes for each pixel,
 * in whole vectors, and w for each output channel; rows are x_p and w_k apart. These kernels are
 * for a few pixels, which would leave most of a planar kernel's vector idle.
 *
 * In planar and interleaved kernels, if `first` is 0, sums go on from acc; if `last` is 0, they go
 * back there and y is not touched. Dot kernels make whole sums.
 */
typedef struct pw_qukernel_args {
    const char *x;
    ptrdiff_t x_g, x_p;
    const char *w;
    ptrdiff_t w_k;
    int64_t groups;       /* of channels, in this pass */
    const int32_t *bias;  /* as w_zero and scale: readable for whole vectors, and by dot kernels for
                           * a whole tile, from any channel on */
    const int32_t *x_sum; /* of each pixel; its product with w_zero is subtracted. NULL: none */
    const int32_t *w_zero;
    const float *scale;
    char *y;
    ptrdiff_t y_step; /* interleaved: from pixel to pixel, else from channel to channel */
    int32_t *acc;
    int64_t acc_step; /* as y_step, in elements */
    int n, channels;
    int first, last;
    int stream; /* planar: store past the caches; y and its planes are aligned to a cache line */
    pw_qoutput output;
} pw_qukernel_args;

typedef void (*pw_qukernel)(const pw_qukernel_args *);

/* The numbers in lanes of x and of w. Zero points are subtracted from 16-bit numbers before they
 * become lanes, and from sums of bytes by way of the bias and x_sum. */
typedef enum { PW_Q_U8_S8, PW_Q_S8_S8, PW_Q_S16 } pw_qlanes;

/* How a byte becomes a number in a lane. `flip` is 0x80 if one of the two is signed and the other
 * is not: this flips the top bit. Then `zero` is subtracted, in lanes of 16-bit numbers only. */
typedef struct pw_qbytes {
    uint8_t flip;
    int16_t zero;
} pw_qbytes;

struct pw_qkernels {
    const char *name;
    const pw_kernel_set *set;
    int (*works)(void);
    pw_qlanes lanes;
    int depth;                                /* channels in a lane */
    int vector;                               /* lanes in a vector; a tile is four vectors */
    int planar_mr_max;                        /* planar[1..planar_mr_max] */
    pw_qukernel planar[PW_Q_MAX_MR + 1];      /* by channels */
    int interleaved_nr_max;                   /* interleaved[1..interleaved_nr_max] */
    pw_qukernel interleaved[PW_Q_MAX_NR + 1]; /* by vectors of channels */
    pw_qukernel dot;
    /* Turns bytes of x into whole vectors of lanes: n contiguous pixels, a tile at most, of C
     * channels x_c apart. Groups are to_g apart in `to`. Fetches what lies `ahead` bytes further
     * on, unless that is 0. */
    void (*stage)(pw_qbytes, char *to, ptrdiff_t to_g, const char *x, ptrdiff_t x_c, int64_t C,
                  int n, ptrdiff_t ahead);
    /* Sums the numbers in each of n rows of lanes, which are whole vectors, `bytes` long and `step`
     * apart. `to` has room for a multiple of four sums. With 16-bit numbers: NULL. */
    void (*sum_w)(const char *rows, ptrdiff_t step, int64_t bytes, int64_t n, int32_t *to);
    void (*sum_x)(const char *rows, ptrdiff_t step, int64_t bytes, int64_t n, int32_t *to);
};

extern const pw_qkernels pw_qkernels_avx512_vnni, pw_qkernels_avx512, pw_qkernels_avx2,
    pw_qkernels_neon_dot, pw_qkernels_neon, pw_qkernels_scalar;

#endif
