/* What an instruction set provides, and what conv/tiles.c hands to it. */
#ifndef PW_ISA_TYPES_H
#define PW_ISA_TYPES_H

#include "pointwise.h"

/* Most channels of a planar kernel, vectors of an interleaved one, channels of a transposing one, and
 * of one for few channels. */
enum { PW_MAX_MR = 14, PW_MAX_NR = 4, PW_MAX_TRANSPOSING_MR = 24, PW_MAX_FEW = 4 };

/* Two layers fused: most output channels, and input channels where they are interleaved; or, with a
 * bottleneck, most hidden channels between any numbers of others. */
enum { PW_MAX_FUSED2 = 8, PW_FUSED2_CHANNELS = 16, PW_MAX_BOTTLENECK = 24 };

/* Pixels whose missing data are looked for at once: of planes, and of contiguous pixels. */
enum { PW_FLAGGED = 256, PW_FLAGGED_ROWS = 16 };

/* From so many bytes ahead on, interleaved and transposing kernels fetch x into level 2, else into level 1. */
enum { PW_FAR = 16 << 10 };

/* What happens to a sum before it is stored. Values are in the dtype of the kernel. */
typedef struct pw_epilogue {
    pw_activation activation;
    double a, b; /* clip: lo and hi, relu and relu6 included */
} pw_epilogue;

/* What planar kernels fetch of planes of x, in the order of memory: of one plane a run of pixels, as
 * many as `run` tiles have, then of the next; and after C planes, as `run` tiles have been computed,
 * the runs behind these. */
typedef struct pw_ahead {
    const char *at; /* what comes next */
    int64_t left;   /* tiles' pixels to fetch in this plane's run */
    int64_t tiles;  /* tiles to compute before the next runs */
    int64_t run;
    ptrdiff_t jump, wrap; /* from the end of a run to the next plane's, of the last plane's to the
                             next run of the first */
    int crossed;          /* whether `at` is of the next outer index */
} pw_ahead;

/* A block of output channels for a run of n pixels. Strides are in bytes.
 *
 * Planar kernels: pixels of x, y and r are contiguous; MR channels are computed.
 * Interleaved kernels: output channels of y and r are contiguous; there are `channels` of them. x may
 * have any strides. If `transposed` is set, pixels of y and r are contiguous instead.
 * Where `first` is unset, sums go on from `acc`; where `last` is unset they go back there and
 * y and r are not touched. acc is laid out as y is (transposed: as if it were not):
 * rows acc_step bytes apart.
 */
typedef struct pw_ukernel_args {
    const char *x;
    ptrdiff_t x_c, x_p;
    int64_t
        row_pixels; /* interleaved: pixels in a row of x, 0: all; x is the start of the first row, */
    int64_t in_row; /* of which so many pixels come before the run */
    ptrdiff_t x_row;
    const void *scale, *offset; /* of this pass's first c: scale * x + offset takes the place of x,
                                   but in interleaved kernels; NULL: none */
    const void *bias, *w;       /* packed, see pack.c; w begins at this pass's first c */
    char *y;
    ptrdiff_t y_step; /* planar, transposed: from channel to channel; else from pixel to pixel */
    const char *r;    /* NULL: none */
    ptrdiff_t r_step;
    ptrdiff_t r_ahead; /* planar: how many bytes ahead to fetch r, 0 for not at all */
    char *acc;
    ptrdiff_t acc_step;
    int64_t C; /* of this pass */
    int64_t n;
    int channels; /* interleaved: of y that are stored; planar kernels know */
    int first, last;
    int transposed;     /* interleaved, y and r planar */
    int stream;         /* y is 64-byte aligned, as are planes and runs: store past the caches */
    ptrdiff_t prefetch; /* how many bytes ahead to fetch x, 0 for not at all; of planar kernels: */
    pw_ahead *ahead;    /* what is to be fetched, which moves on; NULL: nothing */
    const pw_epilogue *epilogue;
    const void
        *slopes;      /* of the channels, for PReLU after it; NULL: none. Whole vectors are read */
    const char *gaps; /* planar: of the sums' dtype, 1 where a pixel becomes `fill`, else 0; NULL:
                         none */
    double fill;
} pw_ukernel_args;

typedef void (*pw_ukernel)(const pw_ukernel_args *);

typedef struct pw_matrix pw_matrix;
/* to[i, j] = from[i, j], between an array's dtype and that of the sums. `fetch` bytes behind each row
 * as many are fetched into level 2; 0: none. */
typedef void (*pw_convert)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j, ptrdiff_t fetch);

/* Elements i < n_i, j < n_j; strides in bytes. */
struct pw_matrix {
    pw_dtype dtype;
    char *at;
    ptrdiff_t i, j;
    pw_convert swap; /* NULL; else bytes lie in the other order, which this turns round */
};

/* to[c, p] = scale[c] * from[c, p] + offset[c], rounded once, of the dtype of the sums; `to` may be
 * `from`. In both the channels are contiguous, or in both the pixels. `fetch` as above. */
typedef void (*pw_affine)(pw_matrix to, pw_matrix from, const void *scale, const void *offset,
                          int64_t n_c, int64_t n_p, ptrdiff_t fetch);
/* Sets flags[p] where pixel p, of n, has in one of C channels the missing value of that channel. */
typedef void (*pw_absent)(uint8_t *flags, const char *x, ptrdiff_t x_c, ptrdiff_t x_p,
                          const pw_nodata *nodata, int64_t C, int64_t n);
/* The same, of pixels whose C channels are contiguous and all have one missing value. */
typedef void (*pw_absent_in_rows)(uint8_t *flags, const char *x, const pw_nodata *nodata, int64_t C,
                                  int64_t n);
/* Elements of an array's row become the one at `value` where flags are set. */
typedef void (*pw_fill)(char *row, const uint8_t *flags, const void *value, int64_t n);
/* In place, on K planes of n pixels in scratch, whose rows hold whole vectors. */
typedef void (*pw_head_kernel)(char *y, ptrdiff_t step, int64_t K, int64_t n);
/* A row of n sums in scratch, of whole vectors, to what becomes of them: y * (total / sizes) + bias +
 * r, activated. sizes: NULL where the factor is 1; r, slope: NULL: none. */
typedef void (*pw_rescale)(char *y, const char *sizes, const void *total, const void *bias,
                           const char *r, int64_t n, const pw_epilogue *epilogue,
                           const void *slope);

/* Planar kernels of products of bfloat16: channels in pairs, C of them, in x and weights alike. */
typedef struct pw_bf16_kernels {
    int (*works)(void);
    /* Rows of float32 in scratch to half as many of pairs, in place; whole vectors are written. */
    void (*make_bf16_pairs)(char *rows, ptrdiff_t step, int64_t C, int64_t n);
    pw_ukernel planar[PW_MAX_MR + 1];
} pw_bf16_kernels;
/* Most planes of a, and of b, in one kernel of dot products. */
enum { PW_MAX_DOTS_A = 4, PW_MAX_DOTS_B = 6 };

/* to[i, j] = sum over n pixels of a[i] * b[j], added to what is there if `add`. Pixels of a and b
 * are contiguous, as are columns of `to`. */
typedef struct pw_dots {
    const char *a[PW_MAX_DOTS_A], *b[PW_MAX_DOTS_B];
    int64_t n;
    char *to;
    ptrdiff_t to_step; /* from row to row */
    int add;
} pw_dots;

typedef void (*pw_dots_kernel)(const pw_dots *);

/* n pixels from planes or from rows of channels, which are from_step bytes apart, to a panel or to
 * planes to_step bytes apart. A panel has rows of channels, padded to whole vectors; planes are
 * written in whole vectors, past n too; of rows of planes nothing past their ends is. */
typedef void (*pw_turn)(const char *from, ptrdiff_t from_step, int channels, int64_t n, char *to,
                        ptrdiff_t to_step);
/* Two layers at once. x, its strides, C, n and prefetch are the first layer's, all else of t is the
 * second's, whose sums are first and last. Interleaved: the channels of x are contiguous, PW_FUSED2_CHANNELS
 * of them at most. */
typedef struct pw_fused2 {
    pw_ukernel_args t;
    const void *first; /* its packed weights */
    const pw_epilogue *first_epilogue;
    int64_t hidden;
    int few_channels; /* pixels of x, y and r have no gaps, and PW_MAX_FEW channels at most */
} pw_fused2;

typedef void (*pw_fused2_kernel)(const pw_fused2 *);

/* Kernels of one dtype. The tile sizes stand beside them, so that they cannot disagree. */
typedef struct pw_kernels {
    pw_convert load[PW_DTYPES], store[PW_DTYPES]; /* by the array's dtype; NULL: none */
    pw_absent absent[PW_DTYPES];
    pw_absent_in_rows absent_in_rows[PW_DTYPES];
    pw_convert swap[PW_DTYPES]; /* between the byte orders; of bytes NULL */
    pw_affine affine;
    /* Contiguous pairs of the sums' dtype, as complex numbers are, to planes of their first and second
     * numbers, and back. */
    void (*split)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j, ptrdiff_t fetch);
    void (*merge)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j);
    /* Planes of the sums' dtype, to lines past the caches. */
    void (*stream)(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j);
    pw_head_kernel heads[PW_HEADS];
    pw_rescale rescale;
    pw_fill fill[4];                                /* by the elements' size: 1, 2, 4, 8 bytes */
    int vector;                                     /* elements in a vector */
    int planar_mr_max;                              /* planar[1..planar_mr_max] */
    pw_ukernel planar[PW_MAX_MR + 1];               /* by channels */
    pw_ukernel planar_of[PW_DTYPES][PW_MAX_MR + 1]; /* that convert x; NULL: none */
    pw_ukernel planar_reversed[PW_MAX_MR + 1];      /* of pixels of x in reverse; NULL: none */
    int8_t planar_nr[PW_MAX_MR + 1];                /* vectors of pixels in a full tile of each */
    const pw_bf16_kernels *bf16;                    /* with as many vectors in a tile; NULL: none */
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

/* Whether not all its values are float32's. */
static inline int pw_is_wide(pw_dtype dtype) {
    return dtype != PW_F32 && pw_size(dtype) >= 4;
}

#endif
