/* AVX-512 F, DQ, BW, VL: 32 vectors of 64 bytes. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "common.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512")
#endif

/* Zen 4, one thread, fraction of FMA peak: see CONTRIBUTING, "Tile sizes". */
#define PLANAR_KR_MAX 14
#define PLANAR_NV(KR) ((KR) <= 4 ? 6 : (KR) <= 6 ? 4 : (KR) <= 9 ? 3 : 2)
#define NV_MAX 3
#define ROWS(NV) ((NV) <= 2 ? 12 : (NV) == 3 ? 8 : 6)

#define T float
#define V __m512
#define VW 16
#define SUFFIX f32_avx512
#define MASK(n) ((__mmask16)((1u << (n)) - 1))
#define V_SET1(x) _mm512_set1_ps(x)
#define V_LOAD(p) _mm512_loadu_ps(p)
#define V_STORE(p, v) _mm512_storeu_ps(p, v)
#define V_STREAM(p, v) _mm512_stream_ps((float *)(p), v)
#define V_LOADN(p, n) _mm512_maskz_loadu_ps(MASK(n), p)
#define V_STOREN(p, n, v) _mm512_mask_storeu_ps(p, MASK(n), v)
#define V_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define V_ADD(a, b) _mm512_add_ps(a, b)
#define V_SUB(a, b) _mm512_sub_ps(a, b)
#define V_MUL(a, b) _mm512_mul_ps(a, b)
#define V_DIV(a, b) _mm512_div_ps(a, b)
#define V_MAX(a, b) _mm512_max_ps(a, b)
#define V_MIN(a, b) _mm512_min_ps(a, b)
#define V_WHERE_POSITIVE(x, a, b) \
    _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), b, a)
#define V_ABS(x) _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x)
#define V_COPYSIGN(size, sign) _mm512_or_ps(size, _mm512_and_ps(_mm512_set1_ps(-0.0f), sign))
#define V_SHIFT(v) _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(v), 23))
#define GROUP 4
#define GROUPS 4
#define G_ROW(p) _mm512_broadcast_f32x4(_mm_loadu_ps((const float *)(p)))
#define G_LOAD(p, step)                                                               \
    _mm512_mask_blend_ps(0xff00,                                                      \
                         _mm512_mask_blend_ps(0x00f0, G_ROW(p), G_ROW((p) + (step))), \
                         _mm512_mask_blend_ps(0xf000, G_ROW((p) + 2 * (step)),        \
                                              G_ROW((p) + 3 * (step))))
#define G_STORE(p, step, v)                                                          \
    (_mm_storeu_ps((float *)(p), _mm512_castps512_ps128(v)),                         \
     _mm_storeu_ps((float *)((p) + (step)), _mm512_extractf32x4_ps(v, 1)),           \
     _mm_storeu_ps((float *)((p) + 2 * (step)), _mm512_extractf32x4_ps(v, 2)),       \
     _mm_storeu_ps((float *)((p) + 3 * (step)), _mm512_extractf32x4_ps(v, 3)))
#define G_WEIGHTS(p) G_ROW(p)
#define G_PICK(v, i) _mm512_permute_ps(v, (i) * 0x55)
#include "kernels.h"

#undef MASK
#undef G_ROW

#define T double
#define V __m512d
#define VW 8
#define SUFFIX f64_avx512
#define MASK(n) ((__mmask8)((1u << (n)) - 1))
#define V_SET1(x) _mm512_set1_pd(x)
#define V_LOAD(p) _mm512_loadu_pd(p)
#define V_STORE(p, v) _mm512_storeu_pd(p, v)
#define V_STREAM(p, v) _mm512_stream_pd((double *)(p), v)
#define V_LOADN(p, n) _mm512_maskz_loadu_pd(MASK(n), p)
#define V_STOREN(p, n, v) _mm512_mask_storeu_pd(p, MASK(n), v)
#define V_FMA(a, b, c) _mm512_fmadd_pd(a, b, c)
#define V_ADD(a, b) _mm512_add_pd(a, b)
#define V_SUB(a, b) _mm512_sub_pd(a, b)
#define V_MUL(a, b) _mm512_mul_pd(a, b)
#define V_DIV(a, b) _mm512_div_pd(a, b)
#define V_MAX(a, b) _mm512_max_pd(a, b)
#define V_MIN(a, b) _mm512_min_pd(a, b)
#define V_WHERE_POSITIVE(x, a, b) \
    _mm512_mask_blend_pd(_mm512_cmp_pd_mask(x, _mm512_setzero_pd(), _CMP_GT_OQ), b, a)
#define V_ABS(x) _mm512_andnot_pd(_mm512_set1_pd(-0.0), x)
#define V_COPYSIGN(size, sign) _mm512_or_pd(size, _mm512_and_pd(_mm512_set1_pd(-0.0), sign))
#define V_SHIFT(v) _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(v), 52))
#define GROUP 4
#define GROUPS 2
#define G_ROW(p) _mm512_broadcast_f64x4(_mm256_loadu_pd((const double *)(p)))
#define G_LOAD(p, step) _mm512_mask_blend_pd(0xf0, G_ROW(p), G_ROW((p) + (step)))
#define G_STORE(p, step, v)                                     \
    (_mm256_storeu_pd((double *)(p), _mm512_castpd512_pd256(v)), \
     _mm256_storeu_pd((double *)((p) + (step)), _mm512_extractf64x4_pd(v, 1)))
#define G_WEIGHTS(p) G_ROW(p)
#define G_PICK(v, i) _mm512_permutex_pd(v, (i) * 0x55)
#include "kernels.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const pw_kernel_set pw_kernels_avx512 = {
    .name = "avx512",
    .works = pw_cpu_has_avx512,
    .has_fma = 1,
    .dtype = {&kernels_f32_avx512, &kernels_f64_avx512},
};
#else
typedef int pw_no_avx512; /* ISO C wants a declaration */
#endif
