/* Quantised kernels of AArch64. Where the CPU has sdot, it adds the products of a lane's four
 * bytes; else their 16-bit products are widened as they are added. */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

#include "cpu/cpu.h"
#include "quantised/kernels.h"
#include "few_bytes.h"
#include "macros.h"

PW_INLINE int32x4_t load_lanes(const void *at) {
    return vreinterpretq_s32_u8(vld1q_u8(at));
}
PW_INLINE void store_lanes(void *at, int32x4_t v) {
    vst1q_u8(at, vreinterpretq_u8_s32(v));
}

PW_INLINE uint8x16_t pack_neon(const int32x4_t *v, int16_t zero) {
    const int16x8_t off = vdupq_n_s16(zero);
    const int16x8_t a = vqaddq_s16(vcombine_s16(vqmovn_s32(v[0]), vqmovn_s32(v[1])), off);
    const int16x8_t b = vqaddq_s16(vcombine_s16(vqmovn_s32(v[2]), vqmovn_s32(v[3])), off);
    return vcombine_u8(vqmovun_s16(a), vqmovun_s16(b));
}

PW_INLINE uint8x16_t bound_neon(uint8x16_t bytes, const pw_qoutput *output) {
    bytes = vmaxq_u8(bytes, vdupq_n_u8(output->lo));
    bytes = vminq_u8(bytes, vdupq_n_u8(output->hi));
    return veorq_u8(bytes, vdupq_n_u8(output->flip));
}

PW_INLINE void sum4_neon(int32_t *to, const int32x4_t *v) {
    vst1q_s32(to, vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3])));
}

PW_INLINE uint8x16_t load_few(const char *from, int n) {
    uint8_t bytes[16] = {0};
    copy_few_bytes((char *)bytes, from, n);
    return vld1q_u8(bytes);
}
PW_INLINE void store_few(char *to, int n, uint8x16_t v) {
    uint8_t bytes[16];
    vst1q_u8(bytes, v);
    copy_few_bytes(to, (const char *)bytes, n);
}

PW_INLINE void spread_bytes(char *to, const uint8x16_t *rows) {
    const uint8x16x4_t four = {{rows[0], rows[1], rows[2], rows[3]}};
    vst4q_u8((uint8_t *)to, four);
}

/* The sum of two products of int8 fits 16 bits, except if both are (-128)**2, so it is widened. */
PW_INLINE int32x4_t widening_dot(int32x4_t sum, int32x4_t x, int32x4_t w) {
    const int8x16_t a = vreinterpretq_s8_s32(x), b = vreinterpretq_s8_s32(w);
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    const int32x4_t high = vpaddlq_s16(vmull_high_s8(a, b));
    return vaddq_s32(sum, vpaddq_s32(low, high));
}

#define Q_SET pw_kernels_neon
#define Q_VW 4
#define Q_V int32x4_t
#define Q_F float32x4_t
#define Q_B uint8x16_t
#define Q_SET1(i) vdupq_n_s32(i)
#define Q_LOAD(p) load_lanes(p)
#define Q_STORE(p, v) store_lanes(p, v)
#define Q_ADD(a, b) vaddq_s32(a, b)
#define Q_SUB(a, b) vsubq_s32(a, b)
#define Q_MUL(a, b) vmulq_s32(a, b)
#define QF_SET1(f) vdupq_n_f32(f)
#define QF_LOAD(p) vld1q_f32(p)
#define Q_ROUND(v, scale) vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(v), scale))
#define Q_ROUND_ANY(v, scale) Q_ROUND(v, scale)
#define Q_PACK(v, zero) pack_neon(v, zero)
#define Q_BOUND(b, output) bound_neon(b, output)
#define Q_SUM4(to, v) sum4_neon(to, v)
#define QB_SET1(byte) vdupq_n_u8((uint8_t)(byte))
#define QB_XOR(a, b) veorq_u8(a, b)
#define QB_LOAD(p) vld1q_u8((const uint8_t *)(p))
#define QB_STORE(p, b) vst1q_u8((uint8_t *)(p), b)
#define QB_STREAM(p, b) QB_STORE(p, b)
#define QB_LOADN(p, n) load_few(p, n)
#define QB_STOREN(p, n, b) store_few(p, n, b)
#define Q_KR_MAX 6
#define Q_NV_MAX 4
#define Q_ROWS(NV) ((NV) == 4 ? 4 : 8)

#define Q_SUFFIX neon
#define Q_NAME "neon"
#define Q_WORKS pw_cpu_always
#define Q_LANES PW_Q_S8_S8
#define Q_DEPTH 4
#define Q_DOT(sum, x, w) widening_dot(sum, x, w)
#define Q_SPREAD(to, rows, zero) spread_bytes(to, rows)
#include "quantised_tmpl.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

/* Assembly, because some compilers declare the intrinsic only if a whole file has the target. */
PW_INLINE int32x4_t sdot(int32x4_t sum, int32x4_t x, int32x4_t w) {
    __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(x), "w"(w));
    return sum;
}

#define Q_SUFFIX neon_dot
#define Q_NAME "neon-dot"
#define Q_WORKS pw_cpu_has_dotprod
#define Q_LANES PW_Q_S8_S8
#define Q_DEPTH 4
#define Q_DOT(sum, x, w) sdot(sum, x, w)
#define Q_SPREAD(to, rows, zero) spread_bytes(to, rows)
#include "quantised_tmpl.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int pw_no_quantised_neon; /* ISO C wants a declaration */
#endif
