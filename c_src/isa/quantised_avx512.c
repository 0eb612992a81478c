/* Quantised kernels of AVX-512 without VNNI. Lanes are pairs of 16-bit numbers, as with AVX2. */
#if defined(__x86_64__)
#include "quantised_avx512.h"

#define DEPTH 2
#define LANES PW_Q_S16
#define SUFFIX avx512
#define NAME "avx512"
#define WORKS pw_cpu_has_avx512

PW_INLINE V q_dot(V sum, V x, V w) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w));
}

PW_INLINE void qb_spread(char *to, const VB *rows, int16_t zero) {
    const __m512i low = _mm512_unpacklo_epi8(rows[0], rows[1]);
    const __m512i high = _mm512_unpackhi_epi8(rows[0], rows[1]);
    const __m512i off = _mm512_set1_epi16(zero);
#define SIXTEEN(i) \
    _mm256_set_m128i(_mm512_extracti32x4_epi32(high, i), _mm512_extracti32x4_epi32(low, i))
    const __m256i pairs[4] = {SIXTEEN(0), SIXTEEN(1), SIXTEEN(2), SIXTEEN(3)};
#undef SIXTEEN
    PW_UNROLL
    for (int i = 0; i < 4; i++)
        _mm512_storeu_si512(to + i * 64, _mm512_sub_epi16(_mm512_cvtepu8_epi16(pairs[i]), off));
}

#include "quantised_tmpl.h"

#include "target_end.h"
#else
typedef int pw_no_quantised_avx512; /* ISO C wants a declaration */
#endif
