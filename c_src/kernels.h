/* What an instruction set provides, and what conv.c hands to it. */
#ifndef PW_KERNELS_H
#define PW_KERNELS_H

#include "pointwise.h"

/* Channels a planar kernel may have, vectors of an interleaved one, channels of a rows kernel, of a
 * dense one. */
enum { PW_MAX_KR = 14, PW_MAX_NV = 4, PW_MAX_ROWS_KR = 24, PW_MAX_DENSE = 4 };

/* Output channels of two layers at once; input channels, where they are interleaved; or hidden
 * channels, and any number of others. */
enum { PW_MAX_PAIR = 8, PW_PAIR_CHANNELS = 16, PW_MAX_NARROW = 24 };

/* From so many bytes ahead on, interleaved and rows kernels fetch x into level 2, else into level 1. */
enum { PW_FAR = 16 << 10 };

/* What happens to a sum before it is stored. Values are in the dtype of the kernel. */
typedef struct pw_epilogue {
    pw_activation activation;
    double a, b; /* clip: lo and hi, relu and relu6 included */
} pw_epilogue;

/* A block of output channels for a run of n pixels. Strides are in bytes.
 *
 * Planar kernels: pixels of x, y, r lie one behind the other; KR channels are computed.
 * Interleaved kernels: output channels of y and r lie one behind the other; `channels` of them.
 * They take x of any strides and, if `transposed`, y and r whose pixels lie one behind the other.
 * Where `first` is unset, sums go on from `acc`; where `last` is unset they go back there and
 * y and r are not touched. acc is laid out as y is (transposed: as if it were not):
 * rows acc_step bytes apart.
 */
typedef struct pw_tile {
    const char *x;
    ptrdiff_t x_c, x_p;
    int64_t row; /* interleaved: pixels in a row of x, 0: all; x is the start of the first row, */
    int64_t in_row; /* of which so many pixels come before the run */
    ptrdiff_t x_row;
    const void *bias, *w; /* packed, see pack.c; w begins at this pass's first c */
    char *y;
    ptrdiff_t y_step; /* planar, transposed: from channel to channel; else from pixel to pixel */
    const char *r;    /* NULL: none */
    ptrdiff_t r_step;
    char *acc;
    ptrdiff_t acc_step;
    int64_t C; /* of this pass */
    int64_t n;
    int channels; /* interleaved: of y that are stored; planar kernels know */
    int first, last;
    int transposed;     /* interleaved, y and r planar */
    int stream;         /* y is 64-byte aligned, as are planes and runs: store past the caches */
    ptrdiff_t prefetch; /* how many bytes ahead to fetch x, 0 for not at all */
    const pw_epilogue *epilogue;
} pw_tile;

typedef void (*pw_kernel)(const pw_tile *);

/* Two layers at once. x, its strides, C, n and prefetch are the first layer's, all else of t is the
 * second's, whose sums are first and last. Interleaved: the channels of x lie one behind the other,
 * PW_PAIR_CHANNELS of them at most. */
typedef struct pw_pair {
    pw_tile t;
    const void *first; /* its packed weights */
    const pw_epilogue *first_epilogue;
    int64_t hidden;
    int dense; /* pixels of x, y and r have no gaps, and PW_MAX_DENSE channels at most */
} pw_pair;

typedef void (*pw_pair_kernel)(const pw_pair *);

/* Kernels of one dtype. The tile sizes stand beside them, so that they cannot disagree. */
typedef struct pw_kernels {
    int vector;                           /* elements in a vector */
    int kr_max;                           /* planar[1..kr_max] */
    pw_kernel planar[PW_MAX_KR + 1];      /* by channels */
    int8_t planar_nv[PW_MAX_KR + 1];      /* vectors of pixels in a full tile of each */
    int nv_max;                           /* interleaved[1..nv_max] */
    pw_kernel interleaved[PW_MAX_NV + 1]; /* by vectors of channels */
    int rows_max;                         /* rows[1..rows_max], by channels; 0: none */
    pw_kernel rows[PW_MAX_ROWS_KR + 1];
    pw_kernel dense[PW_MAX_DENSE + 1][PW_MAX_DENSE + 1]; /* by C and K; NULL: none */
    int pair_width;                                      /* hidden channels at a time */
    pw_pair_kernel pair_planar[PW_MAX_PAIR + 1];         /* by output channels; NULL: none */
    pw_pair_kernel pair_rows[PW_MAX_PAIR + 1];
    int narrow_width;                         /* output channels at a time */
    pw_pair_kernel narrow[PW_MAX_NARROW + 1]; /* planar, by hidden channels; NULL: none */
} pw_kernels;

struct pw_kernel_set {
    const char *name;
    int (*works)(void);
    int has_fma;
    const pw_kernels *dtype[2]; /* by pw_dtype */
};

extern const pw_kernel_set pw_kernels_scalar, pw_kernels_avx2, pw_kernels_avx512, pw_kernels_neon;

/* cpu.c */
int pw_cpu_always(void);
int pw_cpu_has_avx2_fma(void);
int pw_cpu_has_avx512(void);

static inline size_t pw_size(pw_dtype dtype) {
    return dtype == PW_F32 ? 4 : 8;
}

#endif
