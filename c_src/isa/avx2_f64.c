/* float64 with AVX2. */
#if defined(__x86_64__)
#include "avx2.h"

#define T double
#define V __m256d
#define VW 4
#define SUFFIX f64_avx2
#define TRANSPOSE 4

/* Selects the first n lanes. */
PW_INLINE __m256i mask(int n) {
    return _mm256_loadu_si256((const __m256i *)(masks + 8 - 2 * n));
}
PW_INLINE V v_set1(T x) {
    return _mm256_set1_pd(x);
}
PW_INLINE V v_load(const void *p) {
    return _mm256_loadu_pd((const double *)p);
}
PW_INLINE void v_store(void *p, V v) {
    _mm256_storeu_pd((double *)p, v);
}
PW_INLINE void v_stream(void *p, V v) {
    _mm256_stream_pd((double *)p, v);
}
PW_INLINE V v_loadn(const void *p, int n) {
    return _mm256_maskload_pd((const double *)p, mask(n));
}
PW_INLINE void v_storen(void *p, int n, V v) { /* as for float32 */
    double *to = p;
    __m128d two = _mm256_castpd256_pd128(v);
    if (n & 2) {
        _mm_storeu_pd(to, two);
        two = _mm256_extractf128_pd(v, 1);
        to += 2;
    }
    if (n & 1) _mm_store_sd(to, two);
}
PW_INLINE V v_fma(V a, V b, V c) {
    return _mm256_fmadd_pd(a, b, c);
}
PW_INLINE V v_add(V a, V b) {
    return _mm256_add_pd(a, b);
}
PW_INLINE V v_sub(V a, V b) {
    return _mm256_sub_pd(a, b);
}
PW_INLINE V v_mul(V a, V b) {
    return _mm256_mul_pd(a, b);
}
PW_INLINE V v_div(V a, V b) {
    return _mm256_div_pd(a, b);
}
PW_INLINE V v_max(V a, V b) {
    return _mm256_max_pd(a, b);
}
PW_INLINE V v_min(V a, V b) {
    return _mm256_min_pd(a, b);
}
PW_INLINE V v_where_positive(V x, V a, V b) {
    return _mm256_blendv_pd(b, a, _mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_GT_OQ));
}
PW_INLINE unsigned v_equal(V x, V y) {
    return (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(x, y, _CMP_EQ_OQ));
}
PW_INLINE V v_where_better(V x, V y, V a, V b) {
    return _mm256_blendv_pd(
        b, a, _mm256_and_pd(_mm256_cmp_pd(y, y, _CMP_ORD_Q), _mm256_cmp_pd(x, y, _CMP_NLE_UQ)));
}
PW_INLINE V v_sqrt(V x) {
    return _mm256_sqrt_pd(x);
}
PW_INLINE V v_abs(V x) {
    return _mm256_andnot_pd(_mm256_set1_pd(-0.0), x);
}
PW_INLINE V v_copysign(V size, V sign) {
    return _mm256_or_pd(size, _mm256_and_pd(_mm256_set1_pd(-0.0), sign));
}
PW_INLINE V v_shift(V v) {
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(v), 52));
}

PW_INLINE void transpose(V *v) {
    const __m256d a = _mm256_unpacklo_pd(v[0], v[1]), b = _mm256_unpackhi_pd(v[0], v[1]);
    const __m256d c = _mm256_unpacklo_pd(v[2], v[3]), d = _mm256_unpackhi_pd(v[2], v[3]);
    v[0] = _mm256_permute2f128_pd(a, c, 0x20);
    v[1] = _mm256_permute2f128_pd(b, d, 0x20);
    v[2] = _mm256_permute2f128_pd(a, c, 0x31);
    v[3] = _mm256_permute2f128_pd(b, d, 0x31);
}

#include "transpose_rows.h"
#include "kernels_tmpl.h"

#include "target_end.h"
#else
typedef int pw_no_avx2; /* ISO C wants a declaration */
#endif
