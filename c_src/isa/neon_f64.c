/* float64 with Advanced SIMD. */
#if defined(__aarch64__)
#include "neon.h"

#define T double
#define V float64x2_t
#define VW 2
#define SUFFIX f64_neon

PW_INLINE V v_load(const void *p) {
    return vreinterpretq_f64_u8(vld1q_u8(p));
}
PW_INLINE void v_store(void *p, V v) {
    vst1q_u8(p, vreinterpretq_u8_f64(v));
}
PW_INLINE V v_loadn(const void *p, int n) {
    double part[2] = {0};
    for (int i = 0; i < n; i++) memcpy(part + i, (const char *)p + i * sizeof(T), sizeof(T));
    return vld1q_f64(part);
}
PW_INLINE void v_storen(void *p, int n, V v) {
    double part[2];
    vst1q_f64(part, v);
    for (int i = 0; i < n; i++) memcpy((char *)p + i * sizeof(T), part + i, sizeof(T));
}

PW_INLINE V v_set1(T x) {
    return vdupq_n_f64(x);
}
PW_INLINE void v_stream(void *p, V v) {
    v_store(p, v);
}
PW_INLINE V v_fma(V a, V b, V c) {
    return vfmaq_f64(c, a, b);
}
PW_INLINE V v_add(V a, V b) {
    return vaddq_f64(a, b);
}
PW_INLINE V v_sub(V a, V b) {
    return vsubq_f64(a, b);
}
PW_INLINE V v_mul(V a, V b) {
    return vmulq_f64(a, b);
}
PW_INLINE V v_div(V a, V b) {
    return vdivq_f64(a, b);
}
PW_INLINE V v_max(V a, V b) {
    return vbslq_f64(vcgtq_f64(a, b), a, b);
}
PW_INLINE V v_min(V a, V b) {
    return vbslq_f64(vcltq_f64(a, b), a, b);
}
PW_INLINE V v_where_positive(V x, V a, V b) {
    return vbslq_f64(vcgtzq_f64(x), a, b);
}
PW_INLINE unsigned v_equal(V x, V y) {
    return (unsigned)vaddvq_u64(vandq_u64(vceqq_f64(x, y), (uint64x2_t){1, 2}));
}
PW_INLINE V v_where_better(V x, V y, V a, V b) {
    return vbslq_f64(vbicq_u64(vceqq_f64(y, y), vcleq_f64(x, y)), a, b);
}
PW_INLINE V v_sqrt(V x) {
    return vsqrtq_f64(x);
}
PW_INLINE V v_abs(V x) {
    return vabsq_f64(x);
}
PW_INLINE V v_copysign(V size, V sign) {
    return vbslq_f64(vdupq_n_u64(0x8000000000000000), sign, size);
}
PW_INLINE V v_shift(V v) {
    return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(v), 52));
}

#include "kernels_tmpl.h"
#else
typedef int pw_no_neon; /* ISO C wants a declaration */
#endif
