/* Vectors of float32 with AVX-512, for avx512_f32.c and avx512_bf16.c. */
#define T float
#define V __m512
#define VW 16

/* Selects the first n lanes. */
PW_INLINE __mmask16 mask(int n) {
    return (__mmask16)((1u << n) - 1);
}
PW_INLINE V v_set1(T x) {
    return _mm512_set1_ps(x);
}
PW_INLINE V v_load(const void *p) {
    return _mm512_loadu_ps(p);
}
PW_INLINE void v_store(void *p, V v) {
    _mm512_storeu_ps(p, v);
}
PW_INLINE void v_stream(void *p, V v) {
    _mm512_stream_ps((float *)p, v);
}
PW_INLINE V v_loadn(const void *p, int n) {
    return _mm512_maskz_loadu_ps(mask(n), p);
}
PW_INLINE void v_storen(void *p, int n, V v) {
    _mm512_mask_storeu_ps(p, mask(n), v);
}
PW_INLINE V v_load_u8(const void *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
PW_INLINE V v_load_u16(const void *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)));
}
PW_INLINE V v_load_i16(const void *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)p)));
}
PW_INLINE V v_loadn_u8(const void *p, int n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask(n), p)));
}
PW_INLINE V v_loadn_u16(const void *p, int n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask(n), p)));
}
PW_INLINE V v_loadn_i16(const void *p, int n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask(n), p)));
}
PW_INLINE V reverse(V v) {
    return _mm512_permutexvar_ps(
        _mm512_set_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), v);
}
PW_INLINE V v_load_reversed(const char *p) {
    return reverse(_mm512_loadu_ps(p - 60));
}
PW_INLINE V v_loadn_reversed(const char *p, int n) {
    return reverse(_mm512_maskz_loadu_ps((__mmask16)(0xffffu << (16 - n)), p - 60));
}
PW_INLINE V v_fma(V a, V b, V c) {
    return _mm512_fmadd_ps(a, b, c);
}
PW_INLINE V v_add(V a, V b) {
    return _mm512_add_ps(a, b);
}
PW_INLINE V v_sub(V a, V b) {
    return _mm512_sub_ps(a, b);
}
PW_INLINE V v_mul(V a, V b) {
    return _mm512_mul_ps(a, b);
}
PW_INLINE V v_div(V a, V b) {
    return _mm512_div_ps(a, b);
}
PW_INLINE V v_max(V a, V b) {
    return _mm512_max_ps(a, b);
}
PW_INLINE V v_min(V a, V b) {
    return _mm512_min_ps(a, b);
}
PW_INLINE V v_where_positive(V x, V a, V b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), b, a);
}
PW_INLINE unsigned v_equal(V x, V y) {
    return (unsigned)_mm512_cmp_ps_mask(x, y, _CMP_EQ_OQ);
}
PW_INLINE V v_where_better(V x, V y, V a, V b) {
    return _mm512_mask_blend_ps(
        _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(y, y, _CMP_ORD_Q), x, y, _CMP_NLE_UQ), b, a);
}
PW_INLINE V v_sqrt(V x) {
    return _mm512_sqrt_ps(x);
}
PW_INLINE V v_abs(V x) {
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x);
}
PW_INLINE V v_copysign(V size, V sign) {
    return _mm512_or_ps(size, _mm512_and_ps(_mm512_set1_ps(-0.0f), sign));
}
PW_INLINE V v_shift(V v) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(v), 23));
}
