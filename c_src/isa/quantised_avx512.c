/* Quantised kernels of AVX-512. Lanes are four bytes with VNNI, else pairs of 16-bit numbers. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "cpu/cpu.h"
#include "quantised/kernels.h"
#include "macros.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")
#endif

/* Moves element 4 i + l of a vector of 32-bit elements to i + 4 l; doing so twice restores them. */
PW_INLINE __m512i across_lanes(__m512i v) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, v);
}

PW_INLINE __m512i round_avx512(__m512i v, __m512 scale) {
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(v), scale));
}
/* The conversion turns numbers that are too large into the least int32, as it does those that are
 * too small; so large products are limited first. */
PW_INLINE __m512i round_any_avx512(__m512i v, __m512 scale) {
    const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(v), scale);
    return _mm512_cvtps_epi32(_mm512_min_ps(product, _mm512_set1_ps(65536)));
}

PW_INLINE __m512i pack_avx512(const __m512i *v, int16_t zero) {
    const __m512i off = _mm512_set1_epi16(zero);
    const __m512i a = _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), off);
    const __m512i b = _mm512_adds_epi16(_mm512_packs_epi32(v[2], v[3]), off);
    return across_lanes(_mm512_packus_epi16(a, b));
}

PW_INLINE __m512i bound_avx512(__m512i bytes, const pw_qoutput *output) {
    bytes = _mm512_max_epu8(bytes, _mm512_set1_epi8((char)output->lo));
    bytes = _mm512_min_epu8(bytes, _mm512_set1_epi8((char)output->hi));
    return _mm512_xor_si512(bytes, _mm512_set1_epi8((char)output->flip));
}

PW_INLINE void sum4_avx512(int32_t *to, const __m512i *v) {
    const __m512i a =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    const __m512i b =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    const __m512i c = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    const __m256i d = _mm256_add_epi32(_mm512_castsi512_si256(c), _mm512_extracti64x4_epi64(c, 1));
    _mm_storeu_si128((__m128i *)to,
                     _mm_add_epi32(_mm256_castsi256_si128(d), _mm256_extracti128_si256(d, 1)));
}

PW_INLINE void spread_bytes(char *to, __m512i *rows) {
    PW_UNROLL
    for (int i = 0; i < 4; i++) rows[i] = across_lanes(rows[i]);
    const __m512i a = _mm512_unpacklo_epi8(rows[0], rows[1]);
    const __m512i b = _mm512_unpackhi_epi8(rows[0], rows[1]);
    const __m512i c = _mm512_unpacklo_epi8(rows[2], rows[3]);
    const __m512i d = _mm512_unpackhi_epi8(rows[2], rows[3]);
    _mm512_storeu_si512(to, _mm512_unpacklo_epi16(a, c));
    _mm512_storeu_si512(to + 64, _mm512_unpackhi_epi16(a, c));
    _mm512_storeu_si512(to + 128, _mm512_unpacklo_epi16(b, d));
    _mm512_storeu_si512(to + 192, _mm512_unpackhi_epi16(b, d));
}

PW_INLINE void spread_pairs(char *to, const __m512i *rows, int16_t zero) {
    const __m512i low = _mm512_unpacklo_epi8(rows[0], rows[1]);
    const __m512i high = _mm512_unpackhi_epi8(rows[0], rows[1]);
    const __m512i off = _mm512_set1_epi16(zero);
#define SIXTEEN(i)                                                                      \
    _mm512_storeu_si512(                                                                \
        to + (i) * 64,                                                                  \
        _mm512_sub_epi16(_mm512_cvtepu8_epi16(_mm256_set_m128i(                         \
                             _mm512_extracti32x4_epi32(high, i),                        \
                             _mm512_extracti32x4_epi32(low, i))),                       \
                         off))
    SIXTEEN(0);
    SIXTEEN(1);
    SIXTEEN(2);
    SIXTEEN(3);
#undef SIXTEEN
}

#define Q_SET pw_kernels_avx512
#define Q_VW 16
#define Q_V __m512i
#define Q_F __m512
#define Q_B __m512i
#define Q_SET1(i) _mm512_set1_epi32(i)
#define Q_LOAD(p) _mm512_loadu_si512(p)
#define Q_STORE(p, v) _mm512_storeu_si512(p, v)
#define Q_ADD(a, b) _mm512_add_epi32(a, b)
#define Q_SUB(a, b) _mm512_sub_epi32(a, b)
#define Q_MUL(a, b) _mm512_mullo_epi32(a, b)
#define QF_SET1(f) _mm512_set1_ps(f)
#define QF_LOAD(p) _mm512_loadu_ps(p)
#define Q_ROUND(v, scale) round_avx512(v, scale)
#define Q_ROUND_ANY(v, scale) round_any_avx512(v, scale)
#define Q_PACK(v, zero) pack_avx512(v, zero)
#define Q_BOUND(b, output) bound_avx512(b, output)
#define Q_SUM4(to, v) sum4_avx512(to, v)
#define QB_SET1(byte) _mm512_set1_epi8(byte)
#define QB_XOR(a, b) _mm512_xor_si512(a, b)
#define QB_LOAD(p) _mm512_loadu_si512(p)
#define QB_STORE(p, b) _mm512_storeu_si512(p, b)
#define QB_STREAM(p, b) _mm512_stream_si512((void *)(p), b)
#define QB_LOADN(p, n) _mm512_maskz_loadu_epi8((1ull << (n)) - 1, p)
#define QB_STOREN(p, n, b) _mm512_mask_storeu_epi8(p, (1ull << (n)) - 1, b)
#define Q_KR_MAX 6
#define Q_NV_MAX 4
#define Q_ROWS(NV) ((NV) == 1 ? 16 : (NV) == 4 ? 4 : 8)

#define Q_SUFFIX avx512
#define Q_NAME "avx512"
#define Q_WORKS pw_cpu_has_avx512
#define Q_LANES PW_Q_S16
#define Q_DEPTH 2
#define Q_DOT(sum, x, w) _mm512_add_epi32(sum, _mm512_madd_epi16(x, w))
#define Q_SPREAD(to, rows, zero) spread_pairs(to, rows, zero)
#include "quantised_tmpl.h"

#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx512vnni,prefer-vector-width=512")
#endif

#define Q_SUFFIX avx512_vnni
#define Q_NAME "avx512-vnni"
#define Q_WORKS pw_cpu_has_avx512_vnni
#define Q_LANES PW_Q_U8_S8
#define Q_DEPTH 4
#define Q_DOT(sum, x, w) _mm512_dpbusd_epi32(sum, x, w)
#define Q_SPREAD(to, rows, zero) spread_bytes(to, rows)
#include "quantised_tmpl.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
typedef int pw_no_quantised_avx512; /* ISO C wants a declaration */
#endif
