/* float32 in plain C. */
#include "scalar.h"

#define T float
#define V float
#define VW 1
#define SUFFIX f32_scalar

PW_INLINE V v_load(const void *p) {
    T value;
    memcpy(&value, p, sizeof value);
    return value;
}
PW_INLINE void v_store(void *p, T value) {
    memcpy(p, &value, sizeof value);
}
PW_INLINE V v_shift(T value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits <<= 23;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

PW_INLINE V v_set1(T x) {
    return x;
}
PW_INLINE void v_stream(void *p, V v) {
    v_store(p, v);
}
PW_INLINE V v_loadn(const void *p, int n) {
    (void)n;
    return v_load(p);
}
PW_INLINE void v_storen(void *p, int n, V v) {
    (void)n;
    v_store(p, v);
}
PW_INLINE V v_fma(V a, V b, V c) {
    return fmaf(a, b, c);
}
PW_INLINE V v_add(V a, V b) {
    return a + b;
}
PW_INLINE V v_sub(V a, V b) {
    return a - b;
}
PW_INLINE V v_mul(V a, V b) {
    return a * b;
}
PW_INLINE V v_div(V a, V b) {
    return a / b;
}
PW_INLINE V v_max(V a, V b) {
    return a > b ? a : b;
}
PW_INLINE V v_min(V a, V b) {
    return a < b ? a : b;
}
PW_INLINE V v_where_positive(V x, V a, V b) {
    return x > 0 ? a : b;
}
PW_INLINE unsigned v_equal(V x, V y) {
    return (unsigned)(x == y);
}
PW_INLINE V v_where_better(V x, V y, V a, V b) {
    return (y == y && !(x <= y) ? a : b);
}
PW_INLINE V v_sqrt(V x) {
    return sqrtf(x);
}
PW_INLINE V v_abs(V x) {
    return fabsf(x);
}
PW_INLINE V v_copysign(V size, V sign) {
    return copysignf(size, sign);
}

#include "kernels_tmpl.h"
