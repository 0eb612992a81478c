/* Quantised kernels of AArch64 without sdot: 16-bit products of bytes are widened as they are
 * added. */
#if defined(__aarch64__)
#include "quantised_neon.h"

#define SUFFIX neon
#define NAME "neon"
#define WORKS pw_cpu_always

/* The sum of two products of int8 fits 16 bits, except if both are (-128)**2, so it is widened. */
PW_INLINE V q_dot(V sum, V x, V w) {
    const int8x16_t a = vreinterpretq_s8_s32(x), b = vreinterpretq_s8_s32(w);
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    const int32x4_t high = vpaddlq_s16(vmull_high_s8(a, b));
    return vaddq_s32(sum, vpaddq_s32(low, high));
}

#include "quantised_tmpl.h"
#else
typedef int pw_no_quantised_neon; /* ISO C wants a declaration */
#endif
