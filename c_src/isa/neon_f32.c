/* float32 with Advanced SIMD. */
#if defined(__aarch64__)
#include "neon.h"

#define T float
#define V float32x4_t
#define VW 4
#define SUFFIX f32_neon
#define READS_REVERSED 1
#define TRANSPOSE 4

PW_INLINE V v_load(const void *p) {
    return vreinterpretq_f32_u8(vld1q_u8(p));
}
PW_INLINE void v_store(void *p, V v) {
    vst1q_u8(p, vreinterpretq_u8_f32(v));
}
PW_INLINE V v_loadn(const void *p, int n) {
    float part[4] = {0};
    for (int i = 0; i < n; i++) memcpy(part + i, (const char *)p + i * sizeof(T), sizeof(T));
    return vld1q_f32(part);
}
PW_INLINE void v_storen(void *p, int n, V v) {
    float part[4];
    vst1q_f32(part, v);
    for (int i = 0; i < n; i++) memcpy((char *)p + i * sizeof(T), part + i, sizeof(T));
}
PW_INLINE V reverse(V v) {
    const V halves = vrev64q_f32(v);
    return vextq_f32(halves, halves, 2);
}
PW_INLINE V v_loadn_reversed(const char *p, int n) {
    float part[4] = {0};
    for (int i = 0; i < n; i++) memcpy(part + i, p - i * (ptrdiff_t)sizeof(float), sizeof(float));
    return vld1q_f32(part);
}

PW_INLINE V v_set1(T x) {
    return vdupq_n_f32(x);
}
PW_INLINE void v_stream(void *p, V v) {
    v_store(p, v);
}
PW_INLINE V v_load_reversed(const char *p) {
    return reverse(v_load(p - 12));
}
PW_INLINE V v_fma(V a, V b, V c) {
    return vfmaq_f32(c, a, b);
}
PW_INLINE V v_add(V a, V b) {
    return vaddq_f32(a, b);
}
PW_INLINE V v_sub(V a, V b) {
    return vsubq_f32(a, b);
}
PW_INLINE V v_mul(V a, V b) {
    return vmulq_f32(a, b);
}
PW_INLINE V v_div(V a, V b) {
    return vdivq_f32(a, b);
}
PW_INLINE V v_max(V a, V b) {
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
PW_INLINE V v_min(V a, V b) {
    return vbslq_f32(vcltq_f32(a, b), a, b);
}
PW_INLINE V v_where_positive(V x, V a, V b) {
    return vbslq_f32(vcgtzq_f32(x), a, b);
}
PW_INLINE unsigned v_equal(V x, V y) {
    return vaddvq_u32(vandq_u32(vceqq_f32(x, y), (uint32x4_t){1, 2, 4, 8}));
}
PW_INLINE V v_where_better(V x, V y, V a, V b) {
    return vbslq_f32(vbicq_u32(vceqq_f32(y, y), vcleq_f32(x, y)), a, b);
}
PW_INLINE V v_sqrt(V x) {
    return vsqrtq_f32(x);
}
PW_INLINE V v_abs(V x) {
    return vabsq_f32(x);
}
PW_INLINE V v_copysign(V size, V sign) {
    return vbslq_f32(vdupq_n_u32(0x80000000), sign, size);
}
PW_INLINE V v_shift(V v) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(v), 23));
}

PW_INLINE void transpose(V *v) {
    const float32x4x2_t a = vtrnq_f32(v[0], v[1]), b = vtrnq_f32(v[2], v[3]);
#define HALVES(how, x, y) vcombine_f32(vget_##how##_f32(x), vget_##how##_f32(y))
    v[0] = HALVES(low, a.val[0], b.val[0]);
    v[1] = HALVES(low, a.val[1], b.val[1]);
    v[2] = HALVES(high, a.val[0], b.val[0]);
    v[3] = HALVES(high, a.val[1], b.val[1]);
#undef HALVES
}

#include "transpose_rows.h"
#include "kernels_tmpl.h"
#else
typedef int pw_no_neon; /* ISO C wants a declaration */
#endif
