/* What an instruction set provides, and what conv/tiles.c hands to it. */
#ifndef PW_ISA_TYPES_H
#define PW_ISA_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include "pw_types.h"

/* How many there are. */
enum { PW_ACTIVATIONS = PW_ACT_MISH + 1 };

/* Most channels of a planar kernel, vectors of an interleaved one, channels of a transposing one,
 * and channels of a few_channels one. */
enum { PW_MAX_MR = 14, PW_MAX_NR = 4, PW_MAX_TRANSPOSING_MR = 24, PW_MAX_FEW = 4 };

/* Kernels of two layers: most output channels of a fused2 kernel, most input channels of an
 * interleaved one, and most hidden channels of a bottleneck kernel, whose other channels may be any
 * number. */
enum { PW_MAX_FUSED2 = 8, PW_FUSED2_CHANNELS = 16, PW_MAX_BOTTLENECK = 24 };

/* Pixels that are searched for missing data at once: of planes, and of contiguous channels. */
enum { PW_FLAGGED = 256, PW_FLAGGED_ROWS = 16 };

/* Interleaved and transposing kernels fetch x into level 2 if it is at least so many bytes ahead,
 * else into level 1. */
enum { PW_FAR = 16 << 10 };

/* What happens to a sum before it is stored. Values are in the dtype of the kernel. */
typedef struct pw_epilogue {
    pw_activation activation;
    double a, b; /* clip: lo and hi, relu and relu6 included */
} pw_epilogue;

/* What planar kernels fetch of the planes of x, in the order of memory: a run of pixels of one
 * plane, as many as `run` tiles have, then the run of the next plane. After C planes, when `run`
 * tiles have been computed, the following runs of all planes come next. */
typedef struct pw_ahead {
    const char *at; /* what to fetch next */
    int64_t left;   /* tiles whose pixels are still to be fetched in this plane's run */
    int64_t tiles;  /* tiles to compute before the next runs */
    int64_t run;
    /* From the end of a run to that of the next plane, and from behind the last plane's run to the
     * next run of the first plane. */
    ptrdiff_t jump, wrap;
    int crossed; /* whether `at` belongs to the next outer index */
} pw_ahead;

/* A block of output channels for a run of n pixels. Strides are in bytes.
 *
 * Planar kernels: pixels of x, y and r are contiguous. MR channels are computed.
 * Interleaved kernels: the channels of y and r are contiguous; there are `channels` of them. x may
 * have any strides. If `writes_planes` is set, the pixels of y and r are contiguous instead.
 * If `first` is 0, sums go on from `acc`. If `last` is 0, they go back there, and y and r are not
 * touched. acc has rows as y would if `writes_planes` were 0; transposing: MR vectors for VW pixels.
 */
typedef struct pw_ukernel_args {
    const char *x;
    ptrdiff_t x_c, x_p;
    /* Interleaved: x consists of rows of row_pixels pixels, x_row bytes apart. x points at the
     * start of the first row, in which in_row pixels come before the run. row_pixels is 0 if there
     * is one row. */
    int64_t row_pixels;
    int64_t in_row;
    ptrdiff_t x_row;
    /* From this pass's first c on: scale * x + offset takes the place of x. NULL: none. The kernels
     * of interleaved_tmpl.h ignore them. */
    const void *scale, *offset;
    const void *bias, *w; /* packed, see pack.c; w begins at this pass's first c */
    char *y;
    ptrdiff_t y_step; /* planar, writes_planes: from channel to channel; else from pixel to pixel */
    const char *r;    /* NULL: none */
    ptrdiff_t r_step;
    ptrdiff_t r_ahead; /* planar: how many bytes ahead r is fetched; 0: not at all */
    char *acc;
    ptrdiff_t acc_step;
    int64_t C; /* input channels of this pass */
    int64_t n;
    int channels; /* interleaved: channels of y to store; a planar kernel has a fixed number */
    int first, last;
    int writes_planes; /* interleaved kernel, but y and r are planar */
    int stream;        /* store past the caches: y, its planes and runs are 64-byte aligned */
    /* How many bytes ahead x is fetched; 0: not at all. Planar kernels have `ahead` instead: what
     * to fetch, which they move on; NULL: nothing. */
    ptrdiff_t prefetch;
    pw_ahead *ahead;
    const pw_epilogue *epilogue;
    const void *slopes; /* one a channel, for PReLU; NULL: none. Whole vectors are read */
    /* Planar: for each pixel 1, in the dtype of the sums, if it becomes `fill`, else 0. NULL: none
     * does. */
    const char *gaps;
    double fill;
} pw_ukernel_args;

typedef void (*pw_ukernel)(const pw_ukernel_args *);

typedef struct pw_matrix pw_matrix;
/* to[i, j] = from[i, j], between an array's dtype and that of the sums. For each row, as many bytes
 * are fetched into level 2 from `fetch` bytes further on; 0: none. */
typedef void (*pw_convert)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j, ptrdiff_t fetch);

/* Elements i < n_i, j < n_j; strides in bytes. */
struct pw_matrix {
    pw_dtype dtype;
    char *at;
    ptrdiff_t i, j;
    pw_convert swap; /* reverses the bytes if they are in the other order; else NULL */
};

/* to[c, p] = scale[c] * from[c, p] + offset[c], rounded once, in the dtype of the sums. `to` may be
 * `from`. Either the channels are contiguous in both, or the pixels are. `fetch` as above. */
typedef void (*pw_affine)(pw_matrix to, pw_matrix from, const void *scale, const void *offset,
                          int64_t n_c, int64_t n_p, ptrdiff_t fetch);
/* Sets flags[p], of n pixels, where one of the C channels of pixel p has its missing value. */
typedef void (*pw_absent)(uint8_t *flags, const char *x, ptrdiff_t x_c, ptrdiff_t x_p,
                          const pw_nodata *nodata, int64_t C, int64_t n);
/* The same for contiguous pixels of C contiguous channels, which share one missing value. */
typedef void (*pw_absent_in_rows)(uint8_t *flags, const char *x, const pw_nodata *nodata, int64_t C,
                                  int64_t n);
/* Replaces elements of an array's row by the one at `value` where flags are set. */
typedef void (*pw_fill)(char *row, const uint8_t *flags, const void *value, int64_t n);
/* Works in place on K planes of n pixels in scratch, which have room for whole vectors. */
typedef void (*pw_head_kernel)(char *y, ptrdiff_t step, int64_t K, int64_t n);
/* Turns a row of n sums in scratch, with room for whole vectors, into y * (total / sizes) + bias +
 * r, activated. sizes is NULL where the factor is 1; r and slope are NULL where there is none. */
typedef void (*pw_rescale)(char *y, const char *sizes, const void *total, const void *bias,
                           const char *r, int64_t n, const pw_epilogue *epilogue,
                           const void *slope);

/* Planar kernels of products of bfloat16. Channels come in C pairs, in x and weights alike. */
typedef struct pw_bf16_kernels {
    int (*works)(void);
    /* Turns rows of float32 in scratch into half as many rows of pairs, in place. Whole vectors are
     * written. */
    void (*make_bf16_pairs)(char *rows, ptrdiff_t step, int64_t C, int64_t n);
    pw_ukernel planar[PW_MAX_MR + 1];
} pw_bf16_kernels;
/* Most planes of a, and of b, in one dots kernel. */
enum { PW_MAX_DOTS_A = 4, PW_MAX_DOTS_B = 6 };

/* to[i, j] = sum over n pixels of a[i] * b[j]; if `add`, plus what is there already. The pixels of
 * a and b are contiguous, as are the columns of `to`. */
typedef struct pw_dots {
    const char *a[PW_MAX_DOTS_A], *b[PW_MAX_DOTS_B];
    int64_t n;
    char *to;
    ptrdiff_t to_step; /* from row to row */
    int add;
} pw_dots;

typedef void (*pw_dots_kernel)(const pw_dots *);

/* Copies n pixels from planes or from rows of channels, from_step bytes apart, to planes, rows or a
 * panel, to_step bytes apart. A panel has rows of channels that are padded to whole vectors. Planes
 * are written in whole vectors, past n too. rows_of_planes writes nothing past the end of a row. */
typedef void (*pw_turn)(const char *from, ptrdiff_t from_step, int channels, int64_t n, char *to,
                        ptrdiff_t to_step);
/* Two layers at once. In t, x, its strides, C, n and prefetch are the first layer's; all else is
 * the second layer's, with `first` and `last` set. Interleaved kernels: the channels of x are
 * contiguous, at most PW_FUSED2_CHANNELS of them. */
typedef struct pw_fused2 {
    pw_ukernel_args t;
    const void *first; /* its packed weights */
    const pw_epilogue *first_epilogue;
    int64_t hidden;
    int few_channels; /* pixels of x, y and r have no gaps and at most PW_MAX_FEW channels */
} pw_fused2;

typedef void (*pw_fused2_kernel)(const pw_fused2 *);

/* Kernels of one dtype of sums, with the sizes of their tiles. */
typedef struct pw_kernels {
    pw_convert load[PW_DTYPES], store[PW_DTYPES]; /* by the array's dtype; NULL: none */
    pw_absent absent[PW_DTYPES];
    pw_absent_in_rows absent_in_rows[PW_DTYPES];
    pw_convert swap[PW_DTYPES]; /* between the byte orders; NULL for dtypes of one byte */
    pw_affine affine;
    /* Between contiguous pairs of the sums' dtype, the components of complex numbers, and planes of
     * first and of second components. */
    void (*split)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j, ptrdiff_t fetch);
    void (*merge)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j);
    /* Copies planes of the sums' dtype past the caches, to planes that start at a cache line. */
    void (*stream)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j);
    pw_head_kernel heads[PW_HEADS];
    pw_rescale rescale;
    pw_fill fill[4];                                /* by the elements' size: 1, 2, 4, 8 bytes */
    int vector;                                     /* elements in a vector */
    int planar_mr_max;                              /* planar[1..planar_mr_max] */
    pw_ukernel planar[PW_MAX_MR + 1];               /* by channels */
    pw_ukernel planar_of[PW_DTYPES][PW_MAX_MR + 1]; /* convert x, of that dtype; NULL: none */
    pw_ukernel planar_reversed[PW_MAX_MR + 1];      /* read x's pixels in reverse; NULL: none */
    int8_t planar_nr[PW_MAX_MR + 1];                /* vectors of pixels in a full tile of each */
    const pw_bf16_kernels *bf16;                    /* with the same planar_nr; NULL: none */
    int interleaved_nr_max;                         /* interleaved[1..interleaved_nr_max] */
    pw_ukernel interleaved[PW_MAX_NR + 1];          /* by vectors of channels */
    int transposing_mr_max; /* transposing[1..transposing_mr_max], by channels; 0: none */
    pw_ukernel transposing[PW_MAX_TRANSPOSING_MR + 1];
    pw_ukernel few_channels[PW_MAX_FEW + 1][PW_MAX_FEW + 1]; /* by C and K; NULL: none */
    int dots_a, dots_b;                                      /* dots[1..dots_a][1..dots_b] */
    pw_dots_kernel dots[PW_MAX_DOTS_A + 1][PW_MAX_DOTS_B + 1];
    pw_turn panel_of_planes, panel_of_rows, planes_of_rows, rows_of_planes;
    int fused2_hidden;                                 /* hidden channels at a time */
    pw_fused2_kernel fused2_planar[PW_MAX_FUSED2 + 1]; /* by output channels; NULL: none */
    pw_fused2_kernel fused2_interleaved[PW_MAX_FUSED2 + 1];
    int bottleneck_out;                                 /* output channels at a time */
    pw_fused2_kernel bottleneck[PW_MAX_BOTTLENECK + 1]; /* planar, by hidden channels; NULL: none */
} pw_kernels;

struct pw_kernel_set {
    const char *name;
    int (*works)(void);
    int has_fma;
    const pw_kernels *dtype[2]; /* PW_F32, PW_F64: of the sums */
};

extern const pw_bf16_kernels pw_bf16_kernels_avx512;
extern const pw_kernels pw_kernels_f32_avx512, pw_kernels_f64_avx512, pw_kernels_f32_avx2,
    pw_kernels_f64_avx2, pw_kernels_f32_neon, pw_kernels_f64_neon, pw_kernels_f32_scalar,
    pw_kernels_f64_scalar;
extern const pw_kernel_set pw_kernels_scalar, pw_kernels_avx2, pw_kernels_avx512, pw_kernels_neon;

static inline size_t pw_size(pw_dtype dtype) {
    static const uint8_t sizes[PW_DTYPES] = {4, 8, 1, 1, 2, 2, 4, 4, 8, 8, 2, 2};
    return sizes[dtype];
}

/* Whether float32 lacks some values of the dtype. */
static inline int pw_is_wide(pw_dtype dtype) {
    return dtype != PW_F32 && pw_size(dtype) >= 4;
}

#endif
