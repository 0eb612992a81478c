/* Advanced SIMD of AArch64: 32 vectors of 16 bytes. */
#if defined(__aarch64__)
#include <arm_neon.h>

#include "cpu/cpu.h"
#include "common.h"

#define PLANAR_KR_MAX 14
#define PLANAR_NV(KR) ((KR) <= 4 ? 6 : (KR) <= 6 ? 4 : (KR) <= 9 ? 3 : 2)
#define NV_MAX 4
#define ROWS_KR_MAX 24
#define ROWS(NV) ((NV) <= 2 ? 12 : (NV) == 3 ? 8 : 6)
#define DOTS_A 4
#define DOTS_B 6
#define PAIR_U 4
#define NARROW_MAX 24
#define NARROW_U 6
#define PAIR_NV(K) ((K) <= 2 ? 4 : (K) <= 4 ? 3 : 2)

/* The first n elements through a buffer: there are no masked loads. */
#define PART(T, VW)                                                                 \
    PW_INLINE void load_part_##T(T *part, const char *p, int n) {                   \
        for (int i = 0; i < VW; i++) part[i] = 0;                                   \
        for (int i = 0; i < n; i++) memcpy(part + i, p + i * sizeof(T), sizeof(T)); \
    }                                                                               \
    PW_INLINE void store_part_##T(char *p, const T *part, int n) {                  \
        for (int i = 0; i < n; i++) memcpy(p + i * sizeof(T), part + i, sizeof(T)); \
    }
PART(float, 4)
PART(double, 2)
#undef PART

PW_INLINE void transpose_f32(float32x4_t *v) {
    const float32x4x2_t a = vtrnq_f32(v[0], v[1]), b = vtrnq_f32(v[2], v[3]);
#define HALVES(how, x, y) vcombine_f32(vget_##how##_f32(x), vget_##how##_f32(y))
    v[0] = HALVES(low, a.val[0], b.val[0]);
    v[1] = HALVES(low, a.val[1], b.val[1]);
    v[2] = HALVES(high, a.val[0], b.val[0]);
    v[3] = HALVES(high, a.val[1], b.val[1]);
#undef HALVES
}

PW_INLINE float32x4_t load_f32(const char *p) {
    return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)p));
}
PW_INLINE void store_f32(char *p, float32x4_t v) {
    vst1q_u8((uint8_t *)p, vreinterpretq_u8_f32(v));
}
PW_INLINE float32x4_t loadn_f32(const char *p, int n) {
    float part[4];
    load_part_float(part, p, n);
    return vld1q_f32(part);
}
PW_INLINE void storen_f32(char *p, int n, float32x4_t v) {
    float part[4];
    vst1q_f32(part, v);
    store_part_float(p, part, n);
}
PW_INLINE float32x4_t reverse_f32(float32x4_t v) {
    const float32x4_t halves = vrev64q_f32(v);
    return vextq_f32(halves, halves, 2);
}
PW_INLINE float32x4_t loadn_reversed_f32(const char *p, int n) {
    float part[4] = {0};
    for (int i = 0; i < n; i++) memcpy(part + i, p - i * (ptrdiff_t)sizeof(float), sizeof(float));
    return vld1q_f32(part);
}

#define T float
#define V float32x4_t
#define VW 4
#define SUFFIX f32_neon
#define V_SET1(x) vdupq_n_f32(x)
#define V_LOAD(p) load_f32((const char *)(p))
#define V_STORE(p, v) store_f32((char *)(p), v)
#define V_STREAM(p, v) V_STORE(p, v)
#define V_LOADN(p, n) loadn_f32(p, n)
#define V_STOREN(p, n, v) storen_f32(p, n, v)
#define LEAST_CONVERTED 7
#define V_LOAD_REVERSED(p) reverse_f32(load_f32((p) - 12))
#define V_LOADN_REVERSED(p, n) loadn_reversed_f32(p, n)
#define V_FMA(a, b, c) vfmaq_f32(c, a, b)
#define V_ADD(a, b) vaddq_f32(a, b)
#define V_SUB(a, b) vsubq_f32(a, b)
#define V_MUL(a, b) vmulq_f32(a, b)
#define V_DIV(a, b) vdivq_f32(a, b)
#define V_MAX(a, b) vbslq_f32(vcgtq_f32(a, b), a, b)
#define V_MIN(a, b) vbslq_f32(vcltq_f32(a, b), a, b)
#define V_WHERE_POSITIVE(x, a, b) vbslq_f32(vcgtzq_f32(x), a, b)
#define V_EQUAL(x, y) vaddvq_u32(vandq_u32(vceqq_f32(x, y), (uint32x4_t){1, 2, 4, 8}))
#define V_WHERE_BETTER(x, y, a, b) vbslq_f32(vbicq_u32(vceqq_f32(y, y), vcleq_f32(x, y)), a, b)
#define V_SQRT(x) vsqrtq_f32(x)
#define V_ABS(x) vabsq_f32(x)
#define V_COPYSIGN(size, sign) vbslq_f32(vdupq_n_u32(0x80000000), sign, size)
#define V_SHIFT(v) vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(v), 23))
#define GROUP 4
#define G_LOAD(p, step) V_LOAD(p)
#define G_LOADN(p, step, n) V_LOADN(p, n)
#define G_STORE(p, step, v) V_STORE(p, v)
#define G_TRANSPOSE(v) transpose_f32(v)
#include "kernels_tmpl.h"

PW_INLINE float64x2_t load_f64(const char *p) {
    return vreinterpretq_f64_u8(vld1q_u8((const uint8_t *)p));
}
PW_INLINE void store_f64(char *p, float64x2_t v) {
    vst1q_u8((uint8_t *)p, vreinterpretq_u8_f64(v));
}
PW_INLINE float64x2_t loadn_f64(const char *p, int n) {
    double part[2];
    load_part_double(part, p, n);
    return vld1q_f64(part);
}
PW_INLINE void storen_f64(char *p, int n, float64x2_t v) {
    double part[2];
    vst1q_f64(part, v);
    store_part_double(p, part, n);
}

#define T double
#define V float64x2_t
#define VW 2
#define SUFFIX f64_neon
#define V_SET1(x) vdupq_n_f64(x)
#define V_LOAD(p) load_f64((const char *)(p))
#define V_STORE(p, v) store_f64((char *)(p), v)
#define V_STREAM(p, v) V_STORE(p, v)
#define V_LOADN(p, n) loadn_f64(p, n)
#define V_STOREN(p, n, v) storen_f64(p, n, v)
#define V_FMA(a, b, c) vfmaq_f64(c, a, b)
#define V_ADD(a, b) vaddq_f64(a, b)
#define V_SUB(a, b) vsubq_f64(a, b)
#define V_MUL(a, b) vmulq_f64(a, b)
#define V_DIV(a, b) vdivq_f64(a, b)
#define V_MAX(a, b) vbslq_f64(vcgtq_f64(a, b), a, b)
#define V_MIN(a, b) vbslq_f64(vcltq_f64(a, b), a, b)
#define V_WHERE_POSITIVE(x, a, b) vbslq_f64(vcgtzq_f64(x), a, b)
#define V_EQUAL(x, y) (unsigned)vaddvq_u64(vandq_u64(vceqq_f64(x, y), (uint64x2_t){1, 2}))
#define V_WHERE_BETTER(x, y, a, b) vbslq_f64(vbicq_u64(vceqq_f64(y, y), vcleq_f64(x, y)), a, b)
#define V_SQRT(x) vsqrtq_f64(x)
#define V_ABS(x) vabsq_f64(x)
#define V_COPYSIGN(size, sign) vbslq_f64(vdupq_n_u64(0x8000000000000000), sign, size)
#define V_SHIFT(v) vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(v), 52))
#include "kernels_tmpl.h"

const pw_kernel_set pw_kernels_neon = {
    .name = "neon",
    .works = pw_cpu_always,
    .has_fma = 1,
    .dtype = {&kernels_f32_neon, &kernels_f64_neon},
};
#else
typedef int pw_no_neon; /* ISO C wants a declaration */
#endif
