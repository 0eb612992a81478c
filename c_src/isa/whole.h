/* Rounds to the nearest 64-bit integer, half to even. Results saturate; NaN becomes 0. */
#ifndef PW_ISA_WHOLE_H
#define PW_ISA_WHOLE_H

#include <math.h>
#include <stdint.h>

static inline int64_t to_i64(double x) {
    const double whole = rint(x);
    if (whole < -0x1p63) return INT64_MIN;
    if (whole >= 0x1p63) return INT64_MAX;
    return whole == whole ? (int64_t)whole : 0;
}

static inline uint64_t to_u64(double x) {
    const double whole = rint(x);
    if (whole >= 0x1p64) return UINT64_MAX;
    return whole > 0 ? (uint64_t)whole : 0;
}

#endif
