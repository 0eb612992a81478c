/* Quantised kernels of AVX2. Lanes are pairs of 16-bit numbers, whose products vpmaddwd adds
 * exactly; vpmaddubsw, which adds products of bytes, would saturate. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "cpu/cpu.h"
#include "quantised/kernels.h"
#include "few_bytes.h"
#include "macros.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

PW_INLINE __m256i round_avx2(__m256i v, __m256 scale) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(v), scale));
}
/* The conversion turns numbers that are too large into the least int32, as it does those that are
 * too small; so large products are limited first. */
PW_INLINE __m256i round_any_avx2(__m256i v, __m256 scale) {
    const __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(v), scale);
    return _mm256_cvtps_epi32(_mm256_min_ps(product, _mm256_set1_ps(65536)));
}

PW_INLINE __m256i pack_avx2(const __m256i *v, int16_t zero) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i off = _mm256_set1_epi16(zero);
    const __m256i a = _mm256_adds_epi16(_mm256_packs_epi32(v[0], v[1]), off);
    const __m256i b = _mm256_adds_epi16(_mm256_packs_epi32(v[2], v[3]), off);
    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), order);
}

PW_INLINE __m256i bound_avx2(__m256i bytes, const pw_qoutput *output) {
    bytes = _mm256_max_epu8(bytes, _mm256_set1_epi8((char)output->lo));
    bytes = _mm256_min_epu8(bytes, _mm256_set1_epi8((char)output->hi));
    return _mm256_xor_si256(bytes, _mm256_set1_epi8((char)output->flip));
}

PW_INLINE void sum4_avx2(int32_t *to, const __m256i *v) {
    const __m256i s =
        _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    _mm_storeu_si128((__m128i *)to,
                     _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1)));
}

PW_INLINE void spread_pairs(char *to, const __m256i *rows, int16_t zero) {
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

PW_INLINE __m256i load_few(const char *from, int n) {
    char bytes[32] = {0};
    copy_few_bytes(bytes, from, n);
    return _mm256_loadu_si256((const __m256i *)bytes);
}
PW_INLINE void store_few(char *to, int n, __m256i v) {
    char bytes[32];
    _mm256_storeu_si256((__m256i *)bytes, v);
    copy_few_bytes(to, bytes, n);
}

#define Q_SUFFIX avx2
#define Q_NAME "avx2"
#define Q_SET pw_kernels_avx2
#define Q_WORKS pw_cpu_has_avx2_fma
#define Q_LANES PW_Q_S16
#define Q_DEPTH 2
#define Q_VW 8
#define Q_V __m256i
#define Q_F __m256
#define Q_B __m256i
#define Q_SET1(i) _mm256_set1_epi32(i)
#define Q_LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define Q_STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define Q_ADD(a, b) _mm256_add_epi32(a, b)
#define Q_SUB(a, b) _mm256_sub_epi32(a, b)
#define Q_MUL(a, b) _mm256_mullo_epi32(a, b)
#define Q_DOT(sum, x, w) _mm256_add_epi32(sum, _mm256_madd_epi16(x, w))
#define QF_SET1(f) _mm256_set1_ps(f)
#define QF_LOAD(p) _mm256_loadu_ps(p)
#define Q_ROUND(v, scale) round_avx2(v, scale)
#define Q_ROUND_ANY(v, scale) round_any_avx2(v, scale)
#define Q_PACK(v, zero) pack_avx2(v, zero)
#define Q_BOUND(b, output) bound_avx2(b, output)
#define Q_SUM4(to, v) sum4_avx2(to, v)
#define QB_SET1(byte) _mm256_set1_epi8(byte)
#define QB_XOR(a, b) _mm256_xor_si256(a, b)
#define QB_LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define QB_STORE(p, b) _mm256_storeu_si256((__m256i *)(p), b)
#define QB_STREAM(p, b) _mm256_stream_si256((__m256i *)(p), b)
#define QB_LOADN(p, n) load_few(p, n)
#define QB_STOREN(p, n, b) store_few(p, n, b)
#define Q_SPREAD(to, rows, zero) spread_pairs(to, rows, zero)
#define Q_KR_MAX 3
#define Q_NV_MAX 2
#define Q_ROWS(NV) ((NV) == 1 ? 8 : 4)
#include "quantised_tmpl.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int pw_no_quantised_avx2; /* ISO C wants a declaration */
#endif
