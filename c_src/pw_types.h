/* The types that callers and kernels share. cffi reads this file without its directives. */
#ifndef PW_TYPES_H
#define PW_TYPES_H

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

/* The value of x that stands for missing data in one channel. */
typedef struct {
    int given;              /* 0: the channel has no such value */
    unsigned char value[8]; /* of x_dtype, in this machine's byte order; NaN stands for all NaNs */
} pw_nodata;

/* The kernels of an instruction set, and kernels for quantised convolutions. */
typedef struct pw_kernel_set pw_kernel_set;
typedef struct pw_qkernels pw_qkernels;

#endif
