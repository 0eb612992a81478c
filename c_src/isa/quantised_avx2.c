/* Quantised kernels of AVX2. Lanes are pairs of 16-bit numbers, whose products vpmaddwd adds
 * exactly; vpmaddubsw, which adds products of bytes, would saturate. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "cpu/cpu.h"
#include "isa/quantised_types.h"
#include "few_bytes.h"
#include "macros.h"

#define V __m256i
#define VF __m256
#define VB __m256i
#define VW 8
#define DEPTH 2
#define LANES PW_Q_S16
#define SUFFIX avx2
#define NAME "avx2"
#define SET pw_kernels_avx2
#define WORKS pw_cpu_has_avx2_fma
#define Q_PLANAR_TILES(X) X(1) X(2) X(3)
#define Q_INTERLEAVED_TILES(X) X(8, 1) X(4, 2)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

PW_INLINE V q_set1(int32_t i) {
    return _mm256_set1_epi32(i);
}
PW_INLINE V q_load(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
PW_INLINE void q_store(void *p, V v) {
    _mm256_storeu_si256((__m256i *)p, v);
}
PW_INLINE V q_add(V a, V b) {
    return _mm256_add_epi32(a, b);
}
PW_INLINE V q_sub(V a, V b) {
    return _mm256_sub_epi32(a, b);
}
PW_INLINE V q_mul(V a, V b) {
    return _mm256_mullo_epi32(a, b);
}
PW_INLINE V q_dot(V sum, V x, V w) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
}
PW_INLINE void q_sum4(int32_t *to, const V *v) {
    const __m256i s =
        _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    _mm_storeu_si128((__m128i *)to,
                     _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1)));
}

PW_INLINE VF qf_set1(float f) {
    return _mm256_set1_ps(f);
}
PW_INLINE VF qf_load(const float *p) {
    return _mm256_loadu_ps(p);
}
PW_INLINE V q_round(V v, VF scale) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(v), scale));
}
/* The conversion turns numbers that are too large into the least int32, as it does those that are
 * too small; so large products are limited first. */
PW_INLINE V q_round_any(V v, VF scale) {
    const __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(v), scale);
    return _mm256_cvtps_epi32(_mm256_min_ps(product, _mm256_set1_ps(65536)));
}

PW_INLINE VB q_pack(const V *v, int16_t zero) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i off = _mm256_set1_epi16(zero);
    const __m256i a = _mm256_adds_epi16(_mm256_packs_epi32(v[0], v[1]), off);
    const __m256i b = _mm256_adds_epi16(_mm256_packs_epi32(v[2], v[3]), off);
    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), order);
}

PW_INLINE VB qb_set1(uint8_t byte) {
    return _mm256_set1_epi8((char)byte);
}
PW_INLINE VB qb_load(const char *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
PW_INLINE VB qb_loadn(const char *p, int n) {
    char bytes[32] = {0};
    copy_few_bytes(bytes, p, n);
    return _mm256_loadu_si256((const __m256i *)bytes);
}
PW_INLINE void qb_store(char *p, VB b) {
    _mm256_storeu_si256((__m256i *)p, b);
}
PW_INLINE void qb_stream(char *p, VB b) {
    _mm256_stream_si256((__m256i *)p, b);
}
PW_INLINE void qb_storen(char *p, int n, VB b) {
    char bytes[32];
    _mm256_storeu_si256((__m256i *)bytes, b);
    copy_few_bytes(p, bytes, n);
}
PW_INLINE VB qb_xor(VB a, VB b) {
    return _mm256_xor_si256(a, b);
}
PW_INLINE VB qb_bound(VB b, uint8_t lo, uint8_t hi) {
    return _mm256_min_epu8(_mm256_max_epu8(b, qb_set1(lo)), qb_set1(hi));
}

PW_INLINE void qb_spread(char *to, const VB *rows, int16_t zero) {
    const __m256i low = _mm256_unpacklo_epi8(rows[0], rows[1]);
    const __m256i high = _mm256_unpackhi_epi8(rows[0], rows[1]);
    const __m256i off = _mm256_set1_epi16(zero);
    const __m128i eights[4] = {_mm256_castsi256_si128(low), _mm256_castsi256_si128(high),
                               _mm256_extracti128_si256(low, 1), _mm256_extracti128_si256(high, 1)};
    PW_UNROLL
    for (int i = 0; i < 4; i++)
        _mm256_storeu_si256((__m256i *)(to + i * 32),
                            _mm256_sub_epi16(_mm256_cvtepu8_epi16(eights[i]), off));
}

#include "quantised_tmpl.h"

#include "target_end.h"
#else
typedef int pw_no_quantised_avx2; /* ISO C wants a declaration */
#endif
