/* What the quantised kernels of AArch64 have in common: vectors of 16 bytes, whose lanes are four
 * signed bytes. */
#include <arm_neon.h>
#include <string.h>

#include "cpu/cpu.h"
#include "isa/quantised_types.h"
#include "few_bytes.h"
#include "macros.h"

#define V int32x4_t
#define VF float32x4_t
#define VB uint8x16_t
#define VW 4
#define DEPTH 4
#define LANES PW_Q_S8_S8
#define SET pw_kernels_neon
#define Q_PLANAR_TILES(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define Q_INTERLEAVED_TILES(X) X(8, 1) X(8, 2) X(8, 3) X(4, 4)

PW_INLINE V q_set1(int32_t i) {
    return vdupq_n_s32(i);
}
PW_INLINE V q_load(const void *p) {
    return vreinterpretq_s32_u8(vld1q_u8(p));
}
PW_INLINE void q_store(void *p, V v) {
    vst1q_u8(p, vreinterpretq_u8_s32(v));
}
PW_INLINE V q_add(V a, V b) {
    return vaddq_s32(a, b);
}
PW_INLINE V q_sub(V a, V b) {
    return vsubq_s32(a, b);
}
PW_INLINE V q_mul(V a, V b) {
    return vmulq_s32(a, b);
}
PW_INLINE void q_sum4(int32_t *to, const V *v) {
    vst1q_s32(to, vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3])));
}

PW_INLINE VF qf_set1(float f) {
    return vdupq_n_f32(f);
}
PW_INLINE VF qf_load(const float *p) {
    return vld1q_f32(p);
}
/* The conversion saturates. */
PW_INLINE V q_round(V v, VF scale) {
    return vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(v), scale));
}
PW_INLINE V q_round_any(V v, VF scale) {
    return q_round(v, scale);
}

PW_INLINE VB q_pack(const V *v, int16_t zero) {
    const int16x8_t off = vdupq_n_s16(zero);
    const int16x8_t a = vqaddq_s16(vcombine_s16(vqmovn_s32(v[0]), vqmovn_s32(v[1])), off);
    const int16x8_t b = vqaddq_s16(vcombine_s16(vqmovn_s32(v[2]), vqmovn_s32(v[3])), off);
    return vcombine_u8(vqmovun_s16(a), vqmovun_s16(b));
}

PW_INLINE VB qb_set1(uint8_t byte) {
    return vdupq_n_u8(byte);
}
PW_INLINE VB qb_load(const char *p) {
    return vld1q_u8((const uint8_t *)p);
}
PW_INLINE VB qb_loadn(const char *p, int n) {
    uint8_t bytes[16] = {0};
    copy_few_bytes((char *)bytes, p, n);
    return vld1q_u8(bytes);
}
PW_INLINE void qb_store(char *p, VB b) {
    vst1q_u8((uint8_t *)p, b);
}
PW_INLINE void qb_stream(char *p, VB b) {
    qb_store(p, b);
}
PW_INLINE void qb_storen(char *p, int n, VB b) {
    uint8_t bytes[16];
    vst1q_u8(bytes, b);
    copy_few_bytes(p, (const char *)bytes, n);
}
PW_INLINE VB qb_xor(VB a, VB b) {
    return veorq_u8(a, b);
}
PW_INLINE VB qb_bound(VB b, uint8_t lo, uint8_t hi) {
    return vminq_u8(vmaxq_u8(b, qb_set1(lo)), qb_set1(hi));
}

PW_INLINE void qb_spread(char *to, const VB *rows, int16_t zero) {
    (void)zero;
    const uint8x16x4_t four = {{rows[0], rows[1], rows[2], rows[3]}};
    vst4q_u8((uint8_t *)to, four);
}
