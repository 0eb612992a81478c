/* AVX2 and FMA: 16 vectors of 32 bytes. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "cpu/cpu.h"
#include "common.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

/* Zen 4, one thread, in cache, of 118 GFLOP/s: planar 5 x 2 107, 6 x 2 111; interleaved 6 rows x
 * 2 vectors 115; rows kernels 8 x 1 77, 10 x 1 63 (it spills). */
#define PLANAR_KR_MAX 6
#define PLANAR_NV(KR) ((KR) == 1 ? 6 : (KR) == 2 ? 4 : (KR) == 3 ? 3 : 2)
#define NV_MAX 2
#define ROWS_KR_MAX 8
#define ROWS(NV) ((NV) == 1 ? 12 : (NV) == 2 ? 6 : (NV) == 3 ? 4 : 2)
#define DOTS_A 3
#define DOTS_B 4
#define PAIR_U 4
#define PAIR_NV(K) ((K) <= 2 ? 2 : 1)

/* From masks + 8 - n on: ones for the first n of eight lanes. */
static const int32_t masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

/* 4 x 4 elements within each 128 bits. */
PW_INLINE void transpose_f32(__m256 *v) {
    const __m256 a = _mm256_unpacklo_ps(v[0], v[1]), b = _mm256_unpackhi_ps(v[0], v[1]);
    const __m256 c = _mm256_unpacklo_ps(v[2], v[3]), d = _mm256_unpackhi_ps(v[2], v[3]);
    v[0] = _mm256_shuffle_ps(a, c, 0x44);
    v[1] = _mm256_shuffle_ps(a, c, 0xee);
    v[2] = _mm256_shuffle_ps(b, d, 0x44);
    v[3] = _mm256_shuffle_ps(b, d, 0xee);
}

PW_INLINE void transpose_f64(__m256d *v) {
    const __m256d a = _mm256_unpacklo_pd(v[0], v[1]), b = _mm256_unpackhi_pd(v[0], v[1]);
    const __m256d c = _mm256_unpacklo_pd(v[2], v[3]), d = _mm256_unpackhi_pd(v[2], v[3]);
    v[0] = _mm256_permute2f128_pd(a, c, 0x20);
    v[1] = _mm256_permute2f128_pd(b, d, 0x20);
    v[2] = _mm256_permute2f128_pd(a, c, 0x31);
    v[3] = _mm256_permute2f128_pd(b, d, 0x31);
}

/* Dense pixels of n channels. Three vectors hold each channel's elements at lanes that differ, so
 * blending gathers them and one permutation orders them. */
typedef struct lanes_f32_avx2 {
    __m256i split[3], merge[3];
} lanes_f32_avx2;

PW_INLINE void prepare_lanes(int n, lanes_f32_avx2 *lanes) {
    if (n != 3) return;
    for (int c = 0; c < 3; c++) {
        int32_t split[8], merge[8];
        for (int p = 0; p < 8; p++) {
            split[p] = (3 * p + c) % 8;
            merge[split[p]] = p;
        }
        lanes->split[c] = _mm256_loadu_si256((const __m256i *)split);
        lanes->merge[c] = _mm256_loadu_si256((const __m256i *)merge);
    }
}

/* Lanes 0, 3, 6 of a, 1, 4, 7 of b, 2, 5 of c. */
PW_INLINE __m256 every_third(__m256 a, __m256 b, __m256 c) {
    return _mm256_blend_ps(_mm256_blend_ps(a, b, 0x92), c, 0x24);
}

PW_INLINE __m256 unmix_pairs(__m256 v) { /* 64 bits each: 0 2 1 3 */
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
}

PW_INLINE void split_f32(int n, const lanes_f32_avx2 *lanes, const __m256 *from, __m256 *to) {
    const __m256 a = from[0], b = from[n > 1 ? 1 : 0], c = from[n > 2 ? 2 : 0];
    if (n == 1) {
        to[0] = a;
    } else if (n == 2) {
        to[0] = unmix_pairs(_mm256_shuffle_ps(a, b, 0x88));
        to[1] = unmix_pairs(_mm256_shuffle_ps(a, b, 0xdd));
    } else if (n == 3) {
        to[0] = _mm256_permutevar8x32_ps(every_third(a, b, c), lanes->split[0]);
        to[1] = _mm256_permutevar8x32_ps(every_third(c, a, b), lanes->split[1]);
        to[2] = _mm256_permutevar8x32_ps(every_third(b, c, a), lanes->split[2]);
    } else {
        to[0] = _mm256_permute2f128_ps(a, c, 0x20);
        to[1] = _mm256_permute2f128_ps(a, c, 0x31);
        to[2] = _mm256_permute2f128_ps(b, from[3], 0x20);
        to[3] = _mm256_permute2f128_ps(b, from[3], 0x31);
        transpose_f32(to);
    }
}

PW_INLINE void merge_f32(int n, const lanes_f32_avx2 *lanes, __m256 *from, __m256 *to) {
    if (n == 1) {
        to[0] = from[0];
    } else if (n == 2) {
        const __m256 low = _mm256_unpacklo_ps(from[0], from[1]);
        const __m256 high = _mm256_unpackhi_ps(from[0], from[1]);
        to[0] = _mm256_permute2f128_ps(low, high, 0x20);
        to[1] = _mm256_permute2f128_ps(low, high, 0x31);
    } else if (n == 3) {
        const __m256 a = _mm256_permutevar8x32_ps(from[0], lanes->merge[0]);
        const __m256 b = _mm256_permutevar8x32_ps(from[1], lanes->merge[1]);
        const __m256 c = _mm256_permutevar8x32_ps(from[2], lanes->merge[2]);
        to[0] = every_third(a, b, c);
        to[1] = every_third(c, a, b);
        to[2] = every_third(b, c, a);
    } else {
        transpose_f32(from);
        to[0] = _mm256_permute2f128_ps(from[0], from[1], 0x20);
        to[1] = _mm256_permute2f128_ps(from[2], from[3], 0x20);
        to[2] = _mm256_permute2f128_ps(from[0], from[1], 0x31);
        to[3] = _mm256_permute2f128_ps(from[2], from[3], 0x31);
    }
}

/* The first n bytes, in a buffer that may be read whole. */
PW_INLINE const char *load_bytes(const char *from, int n, char *buffer) {
    memcpy(buffer, from, (size_t)n);
    return buffer;
}

#define T float
#define V __m256
#define VW 8
#define SUFFIX f32_avx2
#define MASK(n) _mm256_loadu_si256((const __m256i *)(masks + 8 - (n)))
#define V_SET1(x) _mm256_set1_ps(x)
#define V_LOAD(p) _mm256_loadu_ps((const float *)(p))
#define V_STORE(p, v) _mm256_storeu_ps((float *)(p), v)
#define V_STREAM(p, v) _mm256_stream_ps((float *)(p), v)
#define V_LOADN(p, n) _mm256_maskload_ps((const float *)(p), MASK(n))
#define V_STOREN(p, n, v) _mm256_maskstore_ps((float *)(p), MASK(n), v)
#define LEAST_CONVERTED 3
#define V_LOAD_U8(p) _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p))))
#define V_LOAD_U16(p) \
    _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define V_LOAD_I16(p) \
    _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define V_LOADN_U8(p, n) V_LOAD_U8(load_bytes(p, n, (char[16]){0}))
#define V_LOADN_U16(p, n) V_LOAD_U16(load_bytes(p, 2 * (n), (char[16]){0}))
#define V_LOADN_I16(p, n) V_LOAD_I16(load_bytes(p, 2 * (n), (char[16]){0}))
#define LANES_BACK _mm256_set_epi32(0, 1, 2, 3, 4, 5, 6, 7)
#define V_LOAD_REVERSED(p) \
    _mm256_permutevar8x32_ps(_mm256_loadu_ps((const float *)((p) - 28)), LANES_BACK)
#define V_LOADN_REVERSED(p, n)                                                                     \
    _mm256_permutevar8x32_ps(_mm256_maskload_ps((const float *)((p) - 28),                         \
                                                _mm256_permutevar8x32_epi32(MASK(n), LANES_BACK)), \
                             LANES_BACK)
#define V_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define V_ADD(a, b) _mm256_add_ps(a, b)
#define V_SUB(a, b) _mm256_sub_ps(a, b)
#define V_MUL(a, b) _mm256_mul_ps(a, b)
#define V_DIV(a, b) _mm256_div_ps(a, b)
#define V_MAX(a, b) _mm256_max_ps(a, b)
#define V_MIN(a, b) _mm256_min_ps(a, b)
#define V_WHERE_POSITIVE(x, a, b) \
    _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ))
#define V_EQUAL(x, y) (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_EQ_OQ))
#define V_WHERE_BETTER(x, y, a, b) \
    _mm256_blendv_ps(              \
        b, a, _mm256_and_ps(_mm256_cmp_ps(y, y, _CMP_ORD_Q), _mm256_cmp_ps(x, y, _CMP_NLE_UQ)))
#define V_SQRT(x) _mm256_sqrt_ps(x)
#define V_ABS(x) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x)
#define V_COPYSIGN(size, sign) _mm256_or_ps(size, _mm256_and_ps(_mm256_set1_ps(-0.0f), sign))
#define V_SHIFT(v) _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(v), 23))
#define GROUP 4
#define G_LOAD(p, step)                                                            \
    _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps((const float *)(p))), \
                         _mm_loadu_ps((const float *)((p) + (step))), 1)
#define G_STORE(p, step, v)                                  \
    (_mm_storeu_ps((float *)(p), _mm256_castps256_ps128(v)), \
     _mm_storeu_ps((float *)((p) + (step)), _mm256_extractf128_ps(v, 1)))
#define G_ROWN(p, n) \
    _mm_maskload_ps((const float *)(p), _mm_loadu_si128((const __m128i *)(masks + 8 - (n))))
#define G_LOADN(p, step, n) \
    _mm256_insertf128_ps(_mm256_castps128_ps256(G_ROWN(p, n)), G_ROWN((p) + (step), n), 1)
#define G_TRANSPOSE(v) transpose_f32(v)
#define D_LANES(n, lanes) prepare_lanes(n, lanes)
#define D_SPLIT(n, lanes, from, to) split_f32(n, lanes, from, to)
#define D_MERGE(n, lanes, from, to) merge_f32(n, lanes, from, to)
#include "kernels_tmpl.h"

#undef MASK
#undef G_ROWN

#define T double
#define V __m256d
#define VW 4
#define SUFFIX f64_avx2
#define MASK(n) _mm256_loadu_si256((const __m256i *)(masks + 8 - 2 * (n)))
#define V_SET1(x) _mm256_set1_pd(x)
#define V_LOAD(p) _mm256_loadu_pd((const double *)(p))
#define V_STORE(p, v) _mm256_storeu_pd((double *)(p), v)
#define V_STREAM(p, v) _mm256_stream_pd((double *)(p), v)
#define V_LOADN(p, n) _mm256_maskload_pd((const double *)(p), MASK(n))
#define V_STOREN(p, n, v) _mm256_maskstore_pd((double *)(p), MASK(n), v)
#define V_FMA(a, b, c) _mm256_fmadd_pd(a, b, c)
#define V_ADD(a, b) _mm256_add_pd(a, b)
#define V_SUB(a, b) _mm256_sub_pd(a, b)
#define V_MUL(a, b) _mm256_mul_pd(a, b)
#define V_DIV(a, b) _mm256_div_pd(a, b)
#define V_MAX(a, b) _mm256_max_pd(a, b)
#define V_MIN(a, b) _mm256_min_pd(a, b)
#define V_WHERE_POSITIVE(x, a, b) \
    _mm256_blendv_pd(b, a, _mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_GT_OQ))
#define V_EQUAL(x, y) (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(x, y, _CMP_EQ_OQ))
#define V_WHERE_BETTER(x, y, a, b) \
    _mm256_blendv_pd(              \
        b, a, _mm256_and_pd(_mm256_cmp_pd(y, y, _CMP_ORD_Q), _mm256_cmp_pd(x, y, _CMP_NLE_UQ)))
#define V_SQRT(x) _mm256_sqrt_pd(x)
#define V_ABS(x) _mm256_andnot_pd(_mm256_set1_pd(-0.0), x)
#define V_COPYSIGN(size, sign) _mm256_or_pd(size, _mm256_and_pd(_mm256_set1_pd(-0.0), sign))
#define V_SHIFT(v) _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(v), 52))
#define GROUP 4
#define G_LOAD(p, step) V_LOAD(p)
#define G_LOADN(p, step, n) V_LOADN(p, n)
#define G_STORE(p, step, v) V_STORE(p, v)
#define G_TRANSPOSE(v) transpose_f64(v)
#include "kernels_tmpl.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const pw_kernel_set pw_kernels_avx2 = {
    .name = "avx2",
    .works = pw_cpu_has_avx2_fma,
    .has_fma = 1,
    .dtype = {&kernels_f32_avx2, &kernels_f64_avx2},
};
#else
typedef int pw_no_avx2; /* ISO C wants a declaration */
#endif
