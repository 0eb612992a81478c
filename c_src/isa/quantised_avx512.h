/* What the quantised kernels of AVX-512 (F, DQ, BW, VL; with WITH_VNNI also VNNI) have in common.
 * Each file includes target_end.h at its end. */
#include <immintrin.h>
#include <string.h>

#include "cpu/cpu.h"
#include "isa/quantised_types.h"
#include "macros.h"

#define V __m512i
#define VF __m512
#define VB __m512i
#define VW 16
#define SET pw_kernels_avx512
#define Q_PLANAR_TILES(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define Q_INTERLEAVED_TILES(X) X(16, 1) X(8, 2) X(8, 3) X(4, 4)

#if defined(__clang__) && defined(WITH_VNNI)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512vnni"))), apply_to = function)
#elif defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")
#if defined(WITH_VNNI)
#pragma GCC target("avx512vnni")
#endif
#endif

/* Moves element 4 i + l of a vector of 32-bit elements to i + 4 l; doing so twice restores them. */
PW_INLINE __m512i across_lanes(__m512i v) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, v);
}

PW_INLINE V q_set1(int32_t i) {
    return _mm512_set1_epi32(i);
}
PW_INLINE V q_load(const void *p) {
    return _mm512_loadu_si512(p);
}
PW_INLINE void q_store(void *p, V v) {
    _mm512_storeu_si512(p, v);
}
PW_INLINE V q_add(V a, V b) {
    return _mm512_add_epi32(a, b);
}
PW_INLINE V q_sub(V a, V b) {
    return _mm512_sub_epi32(a, b);
}
PW_INLINE V q_mul(V a, V b) {
    return _mm512_mullo_epi32(a, b);
}
PW_INLINE void q_sum4(int32_t *to, const V *v) {
    const __m512i a =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    const __m512i b =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    const __m512i c = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    const __m256i d = _mm256_add_epi32(_mm512_castsi512_si256(c), _mm512_extracti64x4_epi64(c, 1));
    _mm_storeu_si128((__m128i *)to,
                     _mm_add_epi32(_mm256_castsi256_si128(d), _mm256_extracti128_si256(d, 1)));
}

PW_INLINE VF qf_set1(float f) {
    return _mm512_set1_ps(f);
}
PW_INLINE VF qf_load(const float *p) {
    return _mm512_loadu_ps(p);
}
PW_INLINE V q_round(V v, VF scale) {
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(v), scale));
}
/* The conversion turns numbers that are too large into the least int32, as it does those that are
 * too small; so large products are limited first. */
PW_INLINE V q_round_any(V v, VF scale) {
    const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(v), scale);
    return _mm512_cvtps_epi32(_mm512_min_ps(product, _mm512_set1_ps(65536)));
}

PW_INLINE VB q_pack(const V *v, int16_t zero) {
    const __m512i off = _mm512_set1_epi16(zero);
    const __m512i a = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), off);
    const __m512i b = _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), off);
    return across_lanes(_mm512_packus_epi16(a, b));
}

/* Selects the first n bytes. */
PW_INLINE __mmask64 mask(int n) {
    return (1ull << n) - 1;
}
PW_INLINE VB qb_set1(uint8_t byte) {
    return _mm512_set1_epi8((char)byte);
}
PW_INLINE VB qb_load(const char *p) {
    return _mm512_loadu_si512(p);
}
PW_INLINE VB qb_loadn(const char *p, int n) {
    return _mm512_maskz_loadu_epi8(mask(n), p);
}
PW_INLINE void qb_store(char *p, VB b) {
    _mm512_storeu_si512(p, b);
}
PW_INLINE void qb_stream(char *p, VB b) {
    _mm512_stream_si512((void *)p, b);
}
PW_INLINE void qb_storen(char *p, int n, VB b) {
    _mm512_mask_storeu_epi8(p, mask(n), b);
}
PW_INLINE VB qb_xor(VB a, VB b) {
    return _mm512_xor_si512(a, b);
}
PW_INLINE VB qb_bound(VB b, uint8_t lo, uint8_t hi) {
    return _mm512_min_epu8(_mm512_max_epu8(b, qb_set1(lo)), qb_set1(hi));
}
