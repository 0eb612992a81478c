/* float32 in plain C. */
#define T float
#define V float
#define VW 1
#define SUFFIX f32_scalar
#include "scalar.h"

PW_INLINE V v_shift(T value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits <<= 23;
    memcpy(&value, &bits, sizeof bits);
    return value;
}
PW_INLINE V v_fma(V a, V b, V c) {
    return fmaf(a, b, c);
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
