/* float32 with AVX-512. */
#if defined(__x86_64__)
#include "avx512.h"
#include "avx512_f32.h"

#define SUFFIX f32_avx512
#define BF16_KERNELS &pw_bf16_kernels_avx512
#define CONVERTS_INTEGERS 1
#define READS_REVERSED 1
#define TRANSPOSE 4

/* Transposes the 4 x 4 elements within each 128 bits. */
PW_INLINE void transpose(V *v) {
    const __m512 a = _mm512_unpacklo_ps(v[0], v[1]), b = _mm512_unpackhi_ps(v[0], v[1]);
    const __m512 c = _mm512_unpacklo_ps(v[2], v[3]), d = _mm512_unpackhi_ps(v[2], v[3]);
#define MIX(how, x, y) \
    _mm512_castpd_ps(_mm512_unpack##how##_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)))
    v[0] = MIX(lo, a, c);
    v[1] = MIX(hi, a, c);
    v[2] = MIX(lo, b, d);
    v[3] = MIX(hi, b, d);
#undef MIX
}

PW_INLINE __m256 load_two(const char *p, ptrdiff_t step) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps((const float *)p)),
                                _mm_loadu_ps((const float *)(p + step)), 1);
}
PW_INLINE V transpose_load(const char *p, ptrdiff_t step) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(load_two(p, step)),
                              load_two(p + 2 * step, step), 1);
}
PW_INLINE void transpose_store(char *p, ptrdiff_t step, V v) {
    _mm_storeu_ps((float *)p, _mm512_castps512_ps128(v));
    _mm_storeu_ps((float *)(p + step), _mm512_extractf32x4_ps(v, 1));
    _mm_storeu_ps((float *)(p + 2 * step), _mm512_extractf32x4_ps(v, 2));
    _mm_storeu_ps((float *)(p + 3 * step), _mm512_extractf32x4_ps(v, 3));
}
PW_INLINE __m128 load_some(const char *p, int n) {
    return _mm_maskz_loadu_ps((__mmask8)((1u << n) - 1), p);
}
PW_INLINE V transpose_loadn(const char *p, ptrdiff_t step, int n) {
    return _mm512_insertf32x4(
        _mm512_insertf32x4(
            _mm512_insertf32x4(_mm512_castps128_ps512(load_some(p, n)), load_some(p + step, n), 1),
            load_some(p + 2 * step, n), 2),
        load_some(p + 3 * step, n), 3);
}

typedef int32_t lane_index;
typedef __mmask16 lane_mask;
PW_INLINE V v_pick(V a, __m512i index, V b) {
    return _mm512_permutex2var_ps(a, index, b);
}
PW_INLINE V v_pick_where(V v, lane_mask where, __m512i index, V a) {
    return _mm512_mask_permutexvar_ps(v, where, index, a);
}
PW_INLINE V v_blend(lane_mask where, V a, V b) {
    return _mm512_mask_blend_ps(where, a, b);
}
#include "avx512_lanes.h"
#define HAS_LANES 1

#include "kernels_tmpl.h"

#include "target_end.h"
#else
typedef int pw_no_avx512; /* ISO C wants a declaration */
#endif
