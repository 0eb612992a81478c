/* Plain C: one element at a time, fused by the C library where the CPU cannot. */
#include "cpu/cpu.h"
#include "common.h"

#define PLANAR_KR_MAX 4
#define PLANAR_NV(KR) 1
#define NV_MAX 1
#define ROWS(NV) 4
#define DOTS_A 2
#define DOTS_B 2
#define PAIR_U 2
#define PAIR_NV(K) 1

PW_INLINE float load_f32(const void *p) {
    float value;
    memcpy(&value, p, sizeof value);
    return value;
}
PW_INLINE void store_f32(void *p, float value) {
    memcpy(p, &value, sizeof value);
}
PW_INLINE float shift_f32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits <<= 23;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

#define T float
#define V float
#define VW 1
#define SUFFIX f32_scalar
#define V_SET1(x) (x)
#define V_LOAD(p) load_f32(p)
#define V_STORE(p, v) store_f32(p, v)
#define V_STREAM(p, v) V_STORE(p, v)
#define V_LOADN(p, n) V_LOAD(p)
#define V_STOREN(p, n, v) V_STORE(p, v)
#define V_FMA(a, b, c) fmaf(a, b, c)
#define V_ADD(a, b) ((a) + (b))
#define V_SUB(a, b) ((a) - (b))
#define V_MUL(a, b) ((a) * (b))
#define V_DIV(a, b) ((a) / (b))
#define V_MAX(a, b) ((a) > (b) ? (a) : (b))
#define V_MIN(a, b) ((a) < (b) ? (a) : (b))
#define V_WHERE_POSITIVE(x, a, b) ((x) > 0 ? (a) : (b))
#define V_EQUAL(x, y) (unsigned)((x) == (y))
#define V_WHERE_BETTER(x, y, a, b) ((y) == (y) && !((x) <= (y)) ? (a) : (b))
#define V_SQRT(x) sqrtf(x)
#define V_ABS(x) fabsf(x)
#define V_COPYSIGN(size, sign) copysignf(size, sign)
#define V_SHIFT(v) shift_f32(v)
#include "kernels_tmpl.h"

PW_INLINE double load_f64(const void *p) {
    double value;
    memcpy(&value, p, sizeof value);
    return value;
}
PW_INLINE void store_f64(void *p, double value) {
    memcpy(p, &value, sizeof value);
}
PW_INLINE double shift_f64(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits <<= 52;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

#define T double
#define V double
#define VW 1
#define SUFFIX f64_scalar
#define V_SET1(x) (x)
#define V_LOAD(p) load_f64(p)
#define V_STORE(p, v) store_f64(p, v)
#define V_STREAM(p, v) V_STORE(p, v)
#define V_LOADN(p, n) V_LOAD(p)
#define V_STOREN(p, n, v) V_STORE(p, v)
#define V_FMA(a, b, c) fma(a, b, c)
#define V_ADD(a, b) ((a) + (b))
#define V_SUB(a, b) ((a) - (b))
#define V_MUL(a, b) ((a) * (b))
#define V_DIV(a, b) ((a) / (b))
#define V_MAX(a, b) ((a) > (b) ? (a) : (b))
#define V_MIN(a, b) ((a) < (b) ? (a) : (b))
#define V_WHERE_POSITIVE(x, a, b) ((x) > 0 ? (a) : (b))
#define V_EQUAL(x, y) (unsigned)((x) == (y))
#define V_WHERE_BETTER(x, y, a, b) ((y) == (y) && !((x) <= (y)) ? (a) : (b))
#define V_SQRT(x) sqrt(x)
#define V_ABS(x) fabs(x)
#define V_COPYSIGN(size, sign) copysign(size, sign)
#define V_SHIFT(v) shift_f64(v)
#include "kernels_tmpl.h"

const pw_kernel_set pw_kernels_scalar = {
    .name = "scalar",
    .works = pw_cpu_always,
    .has_fma = 0,
    .dtype = {&kernels_f32_scalar, &kernels_f64_scalar},
};
