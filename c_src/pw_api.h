/* The functions that callers use, and their types beside those of pw_types.h; pointwise.h has the
 * contract. This file has no preprocessor directives, because cffi reads it as it stands; C reads it
 * through pointwise.h. */

/* PW_INTERRUPTED: the hook said so, or it forked this process; the output is undefined. */
typedef enum { PW_OK, PW_NO_MEMORY, PW_INTERRUPTED } pw_status;

/* Sets a hook for the whole process: long calls ask it a few times a second, in the caller's
 * thread, whether to stop. It may make calls of its own. NULL, the initial state: no hook. */
void pw_set_interrupt(int (*asked)(void));

/* One convolution without its data. Strides are in bytes, of any sign and any value. */
typedef struct {
    pw_dtype dtype;                      /* of weights, bias and sums: PW_F32 or PW_F64 */
    pw_dtype x_dtype;                    /* of the input */
    pw_dtype y_dtype;                    /* of residual and output */
    int x_swapped, y_swapped, r_swapped; /* not in this machine's byte order */
    /* 2: channels come in pairs, the components of complex numbers. C and K count both; x_c, y_k
     * and r_k lead from pair to pair, the strides below from component to component. Else 1. */
    int components;
    ptrdiff_t x_component, y_component, r_component;
    int64_t C, K, groups;
    int64_t P;     /* inner pixels */
    int64_t outer; /* outer axes, at most 64 */
    int64_t outer_n[64];
    ptrdiff_t x_outer[64], y_outer[64], r_outer[64];
    ptrdiff_t x_c, x_p; /* input: from channel to channel, from pixel to pixel */
    ptrdiff_t y_k, y_p; /* output */
    ptrdiff_t r_k, r_p; /* residual */
    int has_residual;
    int in_place; /* y is x, element for element */
    int bf16;     /* products of bfloat16 are allowed where the CPU has them */
    pw_activation activation;
    double a, b;          /* the activation's parameters */
    const double *slopes; /* K of them, for PReLU after the activation; NULL: none */
    pw_head head;         /* applied after that; with argmax y has one channel */
    /* Missing data: a pixel gets `fill` if the value of one of its channels is that of `nodata` or
     * is masked by a nonzero byte. */
    const pw_nodata *nodata; /* C of them, one a channel; NULL: none */
    int has_mask;
    ptrdiff_t m_outer[64], m_c, m_p;
    double fill;
    /* Set: a pixel gets `fill` only if it has no channel, or a smaller fraction of its channels
     * than `min_valid`. For other pixels, the sum over the channels that are there, before the
     * bias, is multiplied by a quotient: the sum of the sizes of all weights over that of these
     * channels' weights. An output gets `fill` where only the latter is 0; with a head, the whole
     * pixel does if that holds for one of its outputs. Not for pairs of channels: they need all
     * channels. */
    int valid_any;
    double min_valid;
    /* C values each, both or none: scale[c] * x + offset[c], rounded once, takes the place of x. It
     * is computed in the dtype of the sums, or in float64 where x has more bits than that dtype;
     * scale and offset are rounded to the dtype of the computation first. nodata and mask refer to
     * x itself. */
    const double *scale, *offset;
} pw_problem;

typedef struct pw_plan pw_plan;

/* The i-th of the kernel sets that are built in, best first; NULL past the last. */
const pw_kernel_set *pw_kernel_set_at(int i);
const char *pw_kernel_set_name(const pw_kernel_set *);
/* Whether this CPU and its operating system support the set. */
int pw_kernel_set_works(const pw_kernel_set *);
/* Whether the set has an instruction for fused multiply-adds. */
int pw_kernel_set_has_fma(const pw_kernel_set *);

/* Bytes of this CPU's cache of level 1 (data), 2 or 3; 0: not known. */
int64_t pw_cache_bytes(int level);
const char *pw_compiler(void);

/* Plans choose among candidates by a table of costs. The i-th that is built in; NULL past the last. */
const char *pw_tuning_name_at(int i);
/* The one in use: at first that of this CPU's microarchitecture or, if there is none, "generic". */
const char *pw_tuning_name(void);
/* Plans made from now on use another one. 0: there is none of that name. */
int pw_tuning_select(const char *name);

/* Returns NULL if there is no memory. What the problem points to is copied. A plan is immutable;
 * any number of threads may use it at once. */
pw_plan *pw_plan_new(const pw_kernel_set *, const pw_problem *);
void pw_plan_free(pw_plan *);
/* A problem can be computed in several ways, which all give the same bits. How many there are, and
 * the plan of one of them, counted from 0, the one that is likely to be the quickest, which
 * pw_plan_new takes. */
int pw_count_candidates(const pw_kernel_set *, const pw_problem *);
pw_plan *pw_plan_candidate(const pw_kernel_set *, const pw_problem *, int which);
/* Plans with equal layouts (and dtype, C, K, groups) share packed weights. */
int64_t pw_plan_layout(const pw_plan *);
/* Bytes of packed weights; a buffer for them must be 64-byte aligned. */
size_t pw_packed_bytes(const pw_plan *);
/* What the plan decided, for humans. The string lives as long as the plan. */
const char *pw_plan_describe(const pw_plan *);

/* w: (K, C/groups) elements, w_k and w_c bytes apart. bias: K elements, bias_step bytes apart, or
 * NULL. */
void pw_pack(const pw_plan *, const void *w, ptrdiff_t w_k, ptrdiff_t w_c, const void *bias,
             ptrdiff_t bias_step, void *packed);
pw_status pw_run(const pw_plan *, const void *packed, const void *x, const void *r,
                 const void *mask, void *y, int threads);
/* Packs and runs in one call. */
pw_status pw_conv(const pw_plan *, const void *w, ptrdiff_t w_k, ptrdiff_t w_c, const void *bias,
                  ptrdiff_t bias_step, const void *x, const void *r, const void *mask, void *y,
                  int threads);

/* Sums over pixels, for the gradients of weights and bias. y is the incoming gradient; the problem
 * only tells where it lies. x_dtype is dtype. */
typedef struct pw_gradient pw_gradient;

/* Most pixels that are summed before their sum is added to that of other pixels. */
enum { PW_GRADIENT_BLOCK = 512 };

/* Returns NULL if there is no memory. The result is immutable; any number of threads may use it. */
pw_gradient *pw_gradient_new(const pw_kernel_set *, const pw_problem *);
void pw_gradient_free(pw_gradient *);
const char *pw_gradient_describe(const pw_gradient *);
/* dw: (K, C/groups) contiguous elements; NULL if C is 0. db: K contiguous elements, or NULL if they
 * are not wanted. */
pw_status pw_gradient_run(const pw_gradient *, const void *x, const void *y, void *dw, void *db,
                          int threads);

/* One quantised convolution, of bytes, without its data. Strides are as in pw_problem. */
typedef struct {
    int64_t C, K;
    int64_t P;
    int64_t outer;
    int64_t outer_n[64];
    ptrdiff_t x_outer[64], y_outer[64];
    ptrdiff_t x_c, x_p;
    ptrdiff_t y_k, y_p;
    int x_signed, w_signed, y_signed;
    int x_zero, y_zero;    /* zero points; these, lo and hi are in the range of their dtypes */
    int lo, hi;            /* bounds of the output */
    const int32_t *w_zero; /* K zero points of weights */
    const float *scale;    /* K finite scales of sums: x_scale * w_scale / y_scale */
    int in_place;          /* y is x, element for element; C and K are at most PW_QCONV_IN_PLACE */
} pw_qproblem;

enum { PW_QCONV_IN_PLACE = 2048 };

/* The i-th of a set's kernels for quantised convolutions, best first; NULL past the last. */
const pw_qkernels *pw_qkernels_at(const pw_kernel_set *, int i);
const char *pw_qkernels_name(const pw_qkernels *);
int pw_qkernels_works(const pw_qkernels *);

/* y = saturate(round((sum_c (w - w_zero) (x - x_zero) + bias) * scale) + y_zero), within lo and hi.
 * Sums are int32, modulo 2**32, and become float32; halves are rounded to even. */
typedef struct pw_qplan pw_qplan;

/* NULL: no memory. What the problem points to is copied. Immutable; any number of threads may use it. */
pw_qplan *pw_qplan_new(const pw_qkernels *, const pw_qproblem *);
void pw_qplan_free(pw_qplan *);
/* Plans with equal layouts, for the same kernels, C, K, zero points, scales and signs of x and w,
 * share packed weights. */
int64_t pw_qplan_layout(const pw_qplan *);
/* What the plan decided, for humans: valid as long as the plan. */
const char *pw_qplan_describe(const pw_qplan *);
/* Bytes of packed weights; a buffer for them must be 64-byte aligned. */
size_t pw_qpacked_bytes(const pw_qplan *);

/* w: (K, C) bytes, w_k and w_c apart. bias: K of int32, bias_step bytes apart, or NULL. */
void pw_qpack(const pw_qplan *, const void *w, ptrdiff_t w_k, ptrdiff_t w_c, const void *bias,
              ptrdiff_t bias_step, void *packed);
pw_status pw_qrun(const pw_qplan *, const void *packed, const void *x, void *y, int threads);
/* Both in one. No weight lies in y: they may be read where they are. */
pw_status pw_qconv(const pw_qplan *, const void *w, ptrdiff_t w_k, ptrdiff_t w_c, const void *bias,
                   ptrdiff_t bias_step, const void *x, void *y, int threads);

/* A plan of n >= 2 layers in one pass over the pixels. Layer i + 1 reads what layer i writes to
 * scratch, where it is never whole. The outer axes, P and dtype are the same for all layers. Only
 * the strides of the first layer's x and of the last layer's y and residual count. There are no
 * pairs of channels and no missing data. */
pw_plan *pw_chain_new(const pw_kernel_set *, const pw_problem *const *layers, int n);
/* The plan to pack layer i's weights with; the packed weights of all layers are contiguous. It
 * lives as long as the chain. */
const pw_plan *pw_chain_layer(const pw_plan *, int i);

/* Runs n plans with the same outer axes and P on one x, which is read from memory once. Plans and
 * packed weights are as for pw_run. No y overlaps x or another y. */
pw_status pw_run_branches(const pw_plan *const *plans, const void *const *packed, int n,
                          const void *x, void *const *y, int threads);
