/* float64 with AVX-512. */
#if defined(__x86_64__)
#include "avx512.h"

#define T double
#define V __m512d
#define VW 8
#define SUFFIX f64_avx512
#define TRANSPOSE 4

/* Selects the first n lanes. */
PW_INLINE __mmask8 mask(int n) {
    return (__mmask8)((1u << n) - 1);
}
PW_INLINE V v_set1(T x) {
    return _mm512_set1_pd(x);
}
PW_INLINE V v_load(const void *p) {
    return _mm512_loadu_pd(p);
}
PW_INLINE void v_store(void *p, V v) {
    _mm512_storeu_pd(p, v);
}
PW_INLINE void v_stream(void *p, V v) {
    _mm512_stream_pd((double *)p, v);
}
PW_INLINE V v_loadn(const void *p, int n) {
    return _mm512_maskz_loadu_pd(mask(n), p);
}
PW_INLINE void v_storen(void *p, int n, V v) {
    _mm512_mask_storeu_pd(p, mask(n), v);
}
PW_INLINE V v_fma(V a, V b, V c) {
    return _mm512_fmadd_pd(a, b, c);
}
PW_INLINE V v_add(V a, V b) {
    return _mm512_add_pd(a, b);
}
PW_INLINE V v_sub(V a, V b) {
    return _mm512_sub_pd(a, b);
}
PW_INLINE V v_mul(V a, V b) {
    return _mm512_mul_pd(a, b);
}
PW_INLINE V v_div(V a, V b) {
    return _mm512_div_pd(a, b);
}
PW_INLINE V v_max(V a, V b) {
    return _mm512_max_pd(a, b);
}
PW_INLINE V v_min(V a, V b) {
    return _mm512_min_pd(a, b);
}
PW_INLINE V v_where_positive(V x, V a, V b) {
    return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(x, _mm512_setzero_pd(), _CMP_GT_OQ), b, a);
}
PW_INLINE unsigned v_equal(V x, V y) {
    return (unsigned)_mm512_cmp_pd_mask(x, y, _CMP_EQ_OQ);
}
PW_INLINE V v_where_better(V x, V y, V a, V b) {
    return _mm512_mask_blend_pd(
        _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(y, y, _CMP_ORD_Q), x, y, _CMP_NLE_UQ), b, a);
}
PW_INLINE V v_sqrt(V x) {
    return _mm512_sqrt_pd(x);
}
PW_INLINE V v_abs(V x) {
    return _mm512_andnot_pd(_mm512_set1_pd(-0.0), x);
}
PW_INLINE V v_copysign(V size, V sign) {
    return _mm512_or_pd(size, _mm512_and_pd(_mm512_set1_pd(-0.0), sign));
}
PW_INLINE V v_shift(V v) {
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(v), 52));
}

/* Transposes the 4 x 4 elements within each 256 bits. */
PW_INLINE void transpose(V *v) {
    const __m512i low = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0);
    const __m512i high = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
    const __m512d a = _mm512_unpacklo_pd(v[0], v[1]), b = _mm512_unpackhi_pd(v[0], v[1]);
    const __m512d c = _mm512_unpacklo_pd(v[2], v[3]), d = _mm512_unpackhi_pd(v[2], v[3]);
    v[0] = _mm512_permutex2var_pd(a, low, c);
    v[1] = _mm512_permutex2var_pd(b, low, d);
    v[2] = _mm512_permutex2var_pd(a, high, c);
    v[3] = _mm512_permutex2var_pd(b, high, d);
}

PW_INLINE V transpose_load(const char *p, ptrdiff_t step) {
    return _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd((const double *)p)),
                              _mm256_loadu_pd((const double *)(p + step)), 1);
}
PW_INLINE void transpose_store(char *p, ptrdiff_t step, V v) {
    _mm256_storeu_pd((double *)p, _mm512_castpd512_pd256(v));
    _mm256_storeu_pd((double *)(p + step), _mm512_extractf64x4_pd(v, 1));
}
PW_INLINE __m256d load_some(const char *p, int n) {
    return _mm256_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
}
PW_INLINE V transpose_loadn(const char *p, ptrdiff_t step, int n) {
    return _mm512_insertf64x4(_mm512_castpd256_pd512(load_some(p, n)), load_some(p + step, n), 1);
}

typedef int64_t lane_index;
typedef __mmask8 lane_mask;
PW_INLINE V v_pick(V a, __m512i index, V b) {
    return _mm512_permutex2var_pd(a, index, b);
}
PW_INLINE V v_pick_where(V v, lane_mask where, __m512i index, V a) {
    return _mm512_mask_permutexvar_pd(v, where, index, a);
}
PW_INLINE V v_blend(lane_mask where, V a, V b) {
    return _mm512_mask_blend_pd(where, a, b);
}
#include "avx512_lanes.h"
#define HAS_LANES 1

#include "kernels_tmpl.h"

#include "target_end.h"
#else
typedef int pw_no_avx512; /* ISO C wants a declaration */
#endif
