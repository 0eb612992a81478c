/* float64 in plain C. */
#define T double
#define V double
#define VW 1
#define SUFFIX f64_scalar
#include "scalar.h"

PW_INLINE V v_shift(T value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits <<= 52;
    memcpy(&value, &bits, sizeof bits);
    return value;
}
PW_INLINE V v_fma(V a, V b, V c) {
    return fma(a, b, c);
}
PW_INLINE V v_sqrt(V x) {
    return sqrt(x);
}
PW_INLINE V v_abs(V x) {
    return fabs(x);
}
PW_INLINE V v_copysign(V size, V sign) {
    return copysign(size, sign);
}

#include "kernels_tmpl.h"
