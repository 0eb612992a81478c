/* What an instruction set provides for quantised convolutions, and what quantised/run.c hands to it.
 *
 * Bytes become lanes of 32 bits: `depth` channels of one pixel, or of one row of weights, as four
 * bytes or two 16-bit numbers. A kernel multiplies lanes of x by lanes of w and adds the products
 * to the lane's sum, modulo 2**32. Channels past the last are zeros.
 */
#ifndef PW_QUANTISED_KERNELS_H
#define PW_QUANTISED_KERNELS_H

#include "isa/types.h"

enum { PW_Q_MAX_MR = 6, PW_Q_MAX_NR = 4, PW_Q_MAX_TILE = 64, PW_Q_LANE = 4 };

/* What becomes of a sum, seen as uint8: its product with the scale is rounded, moved by zero and
 * saturated; where that is not all, it is kept within lo..hi and its bits are flipped. */
typedef struct pw_qoutput {
    int16_t zero;
    uint8_t lo, hi, flip;
    int is_all;
    int in_reach; /* products are known to fit int32 */
} pw_qoutput;

/* A block of output channels for n pixels. Strides are in bytes.
 *
 * Planar kernels, for up to a tile of pixels: x has a lane for each, read in whole vectors, x_g
 * apart from group to group of channels; w a lane for each group, w_k apart from channel to channel.
 * Interleaved kernels: x has a lane for each pixel, x_p apart; w whole vectors of lanes, one for
 * each channel, group after group; `channels` of y are contiguous.
 * Dot kernels, for up to a tile of channels: x and w have rows of whole vectors of lanes, x_p and
 * w_k apart. For a few pixels, which would leave most of a vector idle.
 * Planar and interleaved: where `first` is unset, sums go on from acc; where `last` is unset they go back there.
 */
typedef struct pw_qukernel_args {
    const char *x;
    ptrdiff_t x_g, x_p;
    const char *w;
    ptrdiff_t w_k;
    int64_t groups;       /* of channels, in this pass */
    const int32_t *bias;  /* readable for whole vectors, by dot kernels for a whole tile, from any
                           * channel on; as are w_zero and scale */
    const int32_t *x_sum; /* of each pixel; its product with w_zero is taken off. NULL: none */
    const int32_t *w_zero;
    const float *scale;
    char *y;
    ptrdiff_t y_step; /* interleaved: from pixel to pixel, else from channel to channel */
    int32_t *acc;
    int64_t acc_step; /* as y_step, in elements */
    int n, channels;
    int first, last;
    int stream; /* planar: y and its planes are aligned to a line: store past the caches */
    pw_qoutput output;
} pw_qukernel_args;

typedef void (*pw_qukernel)(const pw_qukernel_args *);

/* The numbers in lanes of x and of w. Their zero points are taken off 16-bit numbers on the way in,
 * off sums of bytes by way of the bias and x_sum. */
typedef enum { PW_Q_U8_S8, PW_Q_S8_S8, PW_Q_S16 } pw_qlanes;

/* What happens to a byte on its way into a lane: its top bit is flipped, by 0x80, where it is
 * signed and the lane is not, or the reverse; then zero is taken off it (S16 only, else 0). */
typedef struct pw_qbytes {
    uint8_t flip;
    int16_t zero;
} pw_qbytes;

struct pw_qkernels {
    const char *name;
    const pw_kernel_set *set;
    int (*works)(void);
    pw_qlanes lanes;
    int depth;                               /* channels in a lane */
    int vector;                              /* lanes; a tile is four of them */
    int planar_mr_max;                              /* planar[1..planar_mr_max] */
    pw_qukernel planar[PW_Q_MAX_MR + 1];      /* by channels */
    int interleaved_nr_max;                              /* interleaved[1..interleaved_nr_max] */
    pw_qukernel interleaved[PW_Q_MAX_NR + 1]; /* by vectors of channels */
    pw_qukernel dot;
    /* A tile of n contiguous pixels, of C channels x_c apart, to whole vectors of lanes, to_g
     * apart from group to group. Fetches what lies `ahead` bytes ahead, unless that is 0. */
    void (*stage)(pw_qbytes, char *to, ptrdiff_t to_g, const char *x, ptrdiff_t x_c, int64_t C,
                  int n, ptrdiff_t ahead);
    /* Sums of the numbers in each of n rows of whole vectors of lanes, `bytes` long and `step` apart. Room
     * for a multiple of four sums. S16: NULL. */
    void (*sum_w)(const char *rows, ptrdiff_t step, int64_t bytes, int64_t n, int32_t *to);
    void (*sum_x)(const char *rows, ptrdiff_t step, int64_t bytes, int64_t n, int32_t *to);
};

extern const pw_qkernels pw_qkernels_avx512_vnni, pw_qkernels_avx512, pw_qkernels_avx2,
    pw_qkernels_neon_dot, pw_qkernels_neon, pw_qkernels_scalar;

#endif
