/* The functions and types that callers use. No preprocessor directives: the C compiler reads
 * this file through pointwise.h, cffi reads it as it stands. pointwise.h has the contract. */

typedef enum {
    PW_F32,
    PW_F64,
    PW_U8,
    PW_I8,
    PW_U16,
    PW_I16,
    PW_U32,
    PW_I32,
    PW_U64,
    PW_I64,
    PW_F16,
    PW_BF16,
    PW_DTYPES
} pw_dtype;

typedef enum {
    PW_HEAD_NONE,
    PW_HEAD_SOFTMAX,
    PW_HEAD_LOG_SOFTMAX,
    PW_HEAD_L2_NORMALIZE,
    PW_HEAD_ARGMAX,
    PW_HEADS
} pw_head;

typedef enum {
    PW_ACT_NONE,
    PW_ACT_RELU,
    PW_ACT_RELU6,
    PW_ACT_LEAKY_RELU,
    PW_ACT_CLIP,
    PW_ACT_SIGMOID,
    PW_ACT_TANH,
    PW_ACT_SILU,
    PW_ACT_GELU,
    PW_ACT_GELU_TANH,
    PW_ACT_HARDSWISH,
    PW_ACT_HARDSIGMOID,
    PW_ACT_ELU,
    PW_ACT_SOFTPLUS,
    PW_ACT_MISH
} pw_activation;

/* Interrupted: the hook said so, or forked this process; what was to be written is undefined. */
typedef enum { PW_OK, PW_NO_MEMORY, PW_INTERRUPTED } pw_status;

/* A function that calls ask, in the caller's thread, whether to stop: some times a second, if they
 * take that long. It may itself call. NULL, as at first: none. For the whole process. */
void pw_set_interrupt(int (*asked)(void));

/* The value of x that stands for none, in one channel. */
typedef struct {
    int given;              /* else there is none */
    unsigned char value[8]; /* of x_dtype, in the byte order of this machine; NaN: any NaN */
} pw_nodata;

/* One convolution without its data. Strides are in bytes, of any sign and any value. */
typedef struct {
    pw_dtype dtype;                      /* of weights, bias and sums: PW_F32 or PW_F64 */
    pw_dtype x_dtype;                    /* of the input */
    pw_dtype y_dtype;                    /* of residual and output */
    int x_swapped, y_swapped, r_swapped; /* in the other byte order than this machine's */
    int components; /* 2: channels come in pairs, as complex numbers; C and K count both, x_c, */
    ptrdiff_t x_component, y_component,
        r_component; /* y_k, r_k lead from pair to pair, these within */
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
    int bf16;     /* products of bfloat16 will do, where the CPU has them */
    pw_activation activation;
    double a, b;          /* its parameters */
    const double *slopes; /* K of them, for PReLU after the activation; NULL: none */
    pw_head head;         /* then; of argmax y has one channel */
    /* Missing data: pixels get `fill` that have a channel whose value is that of `nodata`, or is
     * masked by a byte that is not 0. */
    const pw_nodata *nodata; /* of C channels; NULL: none */
    int has_mask;
    ptrdiff_t m_outer[64], m_c, m_p;
    double fill;
    /* Set: a pixel gets `fill` only if it has no channel, or a smaller fraction of them than
     * `min_valid`. For others, sums over what is there, before the bias, are multiplied by the sum of the
     * sizes of all weights over that of the weights of what is there; where the latter alone is 0,
     * and of a head wherever it is for one channel, there is `fill`. Pairs of channels need all. */
    int valid_any;
    double min_valid;
    /* scale[c] * x + offset[c] takes the place of x, rounded once: C values each, both or none.
     * Computed in the dtype of the sums, or in float64 where x has more bits than that; rounded to
     * that dtype first. nodata and mask are of x itself. */
    const double *scale, *offset;
} pw_problem;

typedef struct pw_kernel_set pw_kernel_set;
typedef struct pw_plan pw_plan;

/* Kernel sets that are built in, best first; NULL past the last. */
const pw_kernel_set *pw_kernel_set_at(int i);
const char *pw_kernel_set_name(const pw_kernel_set *);
/* Whether this CPU and its operating system run it. */
int pw_kernel_set_works(const pw_kernel_set *);
/* Whether its multiply-adds are fused by an instruction. */
int pw_kernel_set_has_fma(const pw_kernel_set *);

/* Bytes of this CPU's caches: level 1 (data), 2, 3; 0 where unknown. */
int64_t pw_cache_bytes(int level);
const char *pw_compiler(void);

/* NULL: no memory. What the problem points to is copied. A plan is immutable; any number of threads may use it. */
pw_plan *pw_plan_new(const pw_kernel_set *, const pw_problem *);
void pw_plan_free(pw_plan *);
/* Plans with equal layouts (and dtype, C, K, groups) share packed weights. */
int64_t pw_plan_layout(const pw_plan *);
/* Bytes of packed weights; a buffer for them must be 64-byte aligned. */
size_t pw_packed_bytes(const pw_plan *);
/* What the plan decided, for humans: valid as long as the plan. */
const char *pw_plan_describe(const pw_plan *);

/* w: (K, C/groups), w_k and w_c bytes apart. bias: K, step bytes apart, or NULL. */
void pw_pack(const pw_plan *, const void *w, ptrdiff_t w_k, ptrdiff_t w_c, const void *bias,
             ptrdiff_t bias_step, void *packed);
pw_status pw_run(const pw_plan *, const void *packed, const void *x, const void *r,
                 const void *mask, void *y, int threads);
/* Both in one. */
pw_status pw_conv(const pw_plan *, const void *w, ptrdiff_t w_k, ptrdiff_t w_c, const void *bias,
                  ptrdiff_t bias_step, const void *x, const void *r, const void *mask, void *y,
                  int threads);

/* Sums over pixels, for the gradients of weights and bias. y, of which the problem tells only where it
 * lies, is the gradient that comes in; x_dtype is dtype. */
typedef struct pw_gradient pw_gradient;

/* Pixels that are summed at most before their sum is added to that of others. */
enum { PW_GRADIENT_BLOCK = 512 };

/* NULL: no memory. Immutable; any number of threads may use it. */
pw_gradient *pw_gradient_new(const pw_kernel_set *, const pw_problem *);
void pw_gradient_free(pw_gradient *);
const char *pw_gradient_describe(const pw_gradient *);
/* dw: (K, C/groups) contiguous elements; NULL where C is 0. db: K of them; NULL: not wanted. */
pw_status pw_gradient_run(const pw_gradient *, const void *x, const void *y, void *dw, void *db,
                          int threads);

/* One quantised convolution without its data, of bytes; strides as in pw_problem. */
typedef struct {
    int64_t C, K;
    int64_t P;
    int64_t outer;
    int64_t outer_n[64];
    ptrdiff_t x_outer[64], y_outer[64];
    ptrdiff_t x_c, x_p;
    ptrdiff_t y_k, y_p;
    int x_signed, w_signed, y_signed;
    int x_zero, y_zero;    /* zero points, in the range of their dtypes, as lo and hi are */
    int lo, hi;            /* bounds of the output */
    const int32_t *w_zero; /* K zero points of weights */
    const float *scale;    /* K scales of sums, finite: x_scale * w_scale / y_scale */
    int in_place;          /* y is x, element for element; C and K are PW_QCONV_IN_PLACE at most */
} pw_qproblem;

enum { PW_QCONV_IN_PLACE = 2048 };

typedef struct pw_qkernels pw_qkernels;

/* Kernels of a set for quantised convolutions, best first; NULL past the last. */
const pw_qkernels *pw_qkernels_at(const pw_kernel_set *, int i);
const char *pw_qkernels_name(const pw_qkernels *);
int pw_qkernels_works(const pw_qkernels *);

/* y = saturate(round(((w - w_zero) (x - x_zero) + bias) * scale) + y_zero), within lo and hi: sums
 * are int32, modulo 2**32, and become float32; halves are rounded to even. */
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

/* A plan of n >= 2 layers in one pass over the pixels: layer i + 1 reads what layer i writes, which is
 * in scratch and never whole. All have the outer axes, P and dtype in common. Only the strides of the
 * first layer's x and of the last layer's y and residual count. No pairs of channels, and nothing
 * missing. */
pw_plan *pw_chain_new(const pw_kernel_set *, const pw_problem *const *layers, int n);
/* Layer i, to pack its weights with: those of all layers are contiguous. Valid as long
 * as the chain. */
const pw_plan *pw_chain_layer(const pw_plan *, int i);

/* n plans of the same outer axes and P on one x, which is read from memory once; plans and packed
 * weights as for pw_run. No y overlaps x or another. */
pw_status pw_run_branches(const pw_plan *const *plans, const void *const *packed, int n,
                          const void *x, void *const *y, int threads);
