/* Quantised kernels of AVX-512 with VNNI. Lanes are four bytes, whose products vpdpbusd adds. */
#if defined(__x86_64__)
#define WITH_VNNI
#include "quantised_avx512.h"

#define DEPTH 4
#define LANES PW_Q_U8_S8
#define SUFFIX avx512_vnni
#define NAME "avx512-vnni"
#define WORKS pw_cpu_has_avx512_vnni

PW_INLINE V q_dot(V sum, V x, V w) {
    return _mm512_dpbusd_epi32(sum, x, w);
}

PW_INLINE void qb_spread(char *to, const VB *rows, int16_t zero) {
    (void)zero;
    VB v[4];
    PW_UNROLL
    for (int i = 0; i < 4; i++) v[i] = across_lanes(rows[i]);
    const __m512i a = _mm512_unpacklo_epi8(v[0], v[1]);
    const __m512i b = _mm512_unpackhi_epi8(v[0], v[1]);
    const __m512i c = _mm512_unpacklo_epi8(v[2], v[3]);
    const __m512i d = _mm512_unpackhi_epi8(v[2], v[3]);
    _mm512_storeu_si512(to, _mm512_unpacklo_epi16(a, c));
    _mm512_storeu_si512(to + 64, _mm512_unpackhi_epi16(a, c));
    _mm512_storeu_si512(to + 128, _mm512_unpacklo_epi16(b, d));
    _mm512_storeu_si512(to + 192, _mm512_unpackhi_epi16(b, d));
}

#include "quantised_tmpl.h"

#include "target_end.h"
#else
typedef int pw_no_quantised_avx512_vnni; /* ISO C wants a declaration */
#endif
