/* AVX-512 F, DQ, BW, VL: 32 vectors of 64 bytes. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "cpu/cpu.h"
#include "common.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512")
#endif

/* Zen 4, one thread, in cache, of 118 GFLOP/s: planar 10 x 2 112, 13 x 2 116, 14 x 2 108 to 113;
 * interleaved 12 rows x 1 vector 94, 12 x 2 107, 8 x 3 115, 6 x 4 116; rows kernels 20 x 1 99. */
#define PLANAR_KR_MAX 14
#define PLANAR_NV(KR) ((KR) <= 4 ? 6 : (KR) <= 6 ? 4 : (KR) <= 9 ? 3 : 2)
#define NV_MAX 4
#define ROWS_KR_MAX 24
#define ROWS(NV) ((NV) <= 2 ? 12 : (NV) == 3 ? 8 : 6)
#define DOTS_A 4
#define DOTS_B 6
#define PAIR_U 4
#define NARROW_MAX 24
#define NARROW_U 6
#define PAIR_NV(K) ((K) <= 2 ? 4 : (K) <= 5 ? 3 : 2)

/* 4 x 4 elements within each 128 bits. */
PW_INLINE void transpose_f32(__m512 *v) {
    const __m512 a = _mm512_unpacklo_ps(v[0], v[1]), b = _mm512_unpackhi_ps(v[0], v[1]);
    const __m512 c = _mm512_unpacklo_ps(v[2], v[3]), d = _mm512_unpackhi_ps(v[2], v[3]);
#define PAIR(how, x, y) \
    _mm512_castpd_ps(_mm512_unpack##how##_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)))
    v[0] = PAIR(lo, a, c);
    v[1] = PAIR(hi, a, c);
    v[2] = PAIR(lo, b, d);
    v[3] = PAIR(hi, b, d);
#undef PAIR
}

/* 4 x 4 elements within each 256 bits. */
PW_INLINE void transpose_f64(__m512d *v) {
    const __m512i low = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0);
    const __m512i high = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
    const __m512d a = _mm512_unpacklo_pd(v[0], v[1]), b = _mm512_unpackhi_pd(v[0], v[1]);
    const __m512d c = _mm512_unpacklo_pd(v[2], v[3]), d = _mm512_unpackhi_pd(v[2], v[3]);
    v[0] = _mm512_permutex2var_pd(a, low, c);
    v[1] = _mm512_permutex2var_pd(b, low, d);
    v[2] = _mm512_permutex2var_pd(a, high, c);
    v[3] = _mm512_permutex2var_pd(b, high, d);
}

/* Dense pixels of n channels: which elements of vectors 0 and 1 make a vector, or, where `late` is
 * set, of vectors 2 and 3. */
#define DEFINE_LANES(NAME, WIDTH, INTEGER, MASK_TYPE)           \
    typedef struct NAME {                                       \
        __m512i split[4], merge[4];                             \
        MASK_TYPE split_late[4], merge_late[4];                 \
    } NAME;                                                     \
    PW_INLINE void prepare_##NAME(int n, NAME *lanes) {         \
        for (int i = 0; i < n; i++) {                           \
            INTEGER split[WIDTH], merge[WIDTH];                 \
            unsigned split_late = 0, merge_late = 0;            \
            for (int j = 0; j < WIDTH; j++) {                   \
                const int at = j * n + i, of = i * WIDTH + j;   \
                split[j] = at;                                  \
                merge[j] = of / n + of % n % 2 * WIDTH;         \
                split_late |= (unsigned)(at >= 2 * WIDTH) << j; \
                merge_late |= (unsigned)(of % n >= 2) << j;     \
            }                                                   \
            lanes->split[i] = _mm512_loadu_si512(split);        \
            lanes->merge[i] = _mm512_loadu_si512(merge);        \
            lanes->split_late[i] = (MASK_TYPE)split_late;       \
            lanes->merge_late[i] = (MASK_TYPE)merge_late;       \
        }                                                       \
    }
DEFINE_LANES(lanes_f32_avx512, 16, int32_t, __mmask16)
DEFINE_LANES(lanes_f64_avx512, 8, int64_t, __mmask8)

PW_INLINE __m512 pick_f32(int n, __m512i index, __mmask16 late, const __m512 *from) {
    if (n == 1) return from[0];
    const __m512 v = _mm512_permutex2var_ps(from[0], index, from[1]);
    if (n == 3) return _mm512_mask_permutexvar_ps(v, late, index, from[2]);
    if (n == 4)
        return _mm512_mask_blend_ps(late, v, _mm512_permutex2var_ps(from[2], index, from[3]));
    return v;
}

PW_INLINE __m512d pick_f64(int n, __m512i index, __mmask8 late, const __m512d *from) {
    if (n == 1) return from[0];
    const __m512d v = _mm512_permutex2var_pd(from[0], index, from[1]);
    if (n == 3) return _mm512_mask_permutexvar_pd(v, late, index, from[2]);
    if (n == 4)
        return _mm512_mask_blend_pd(late, v, _mm512_permutex2var_pd(from[2], index, from[3]));
    return v;
}

#define PICK_ALL(n, lanes, how, from, to) \
    PW_UNROLL                             \
    for (int i_ = 0; i_ < (n); i_++)      \
    (to)[i_] = PICK(n, (lanes)->how[i_], (lanes)->how##_late[i_], from)

#define SUFFIX f32_avx512
#define PAIRS &pw_pairs_avx512
#include "avx512_f32.h"
#define GROUP 4
#define G_HALF(p, step)                                                            \
    _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps((const float *)(p))), \
                         _mm_loadu_ps((const float *)((p) + (step))), 1)
#define G_LOAD(p, step) \
    _mm512_insertf32x8(_mm512_castps256_ps512(G_HALF(p, step)), G_HALF((p) + 2 * (step), step), 1)
#define G_STORE(p, step, v)                                                    \
    (_mm_storeu_ps((float *)(p), _mm512_castps512_ps128(v)),                   \
     _mm_storeu_ps((float *)((p) + (step)), _mm512_extractf32x4_ps(v, 1)),     \
     _mm_storeu_ps((float *)((p) + 2 * (step)), _mm512_extractf32x4_ps(v, 2)), \
     _mm_storeu_ps((float *)((p) + 3 * (step)), _mm512_extractf32x4_ps(v, 3)))
#define G_ROWN(p, n) _mm_maskz_loadu_ps((__mmask8)((1u << (n)) - 1), p)
#define G_LOADN(p, step, n)                                                                        \
    _mm512_insertf32x4(_mm512_insertf32x4(_mm512_insertf32x4(_mm512_castps128_ps512(G_ROWN(p, n)), \
                                                             G_ROWN((p) + (step), n), 1),          \
                                          G_ROWN((p) + 2 * (step), n), 2),                         \
                       G_ROWN((p) + 3 * (step), n), 3)
#define G_TRANSPOSE(v) transpose_f32(v)
#define PICK pick_f32
#define D_LANES(n, lanes) prepare_lanes_f32_avx512(n, lanes)
#define D_SPLIT(n, lanes, from, to) PICK_ALL(n, lanes, split, from, to)
#define D_MERGE(n, lanes, from, to) PICK_ALL(n, lanes, merge, from, to)
#include "kernels_tmpl.h"

#undef MASK
#undef PICK
#undef G_HALF
#undef G_ROWN

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
#define V_EQUAL(x, y) (unsigned)_mm512_cmp_pd_mask(x, y, _CMP_EQ_OQ)
#define V_WHERE_BETTER(x, y, a, b) \
    _mm512_mask_blend_pd(          \
        _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(y, y, _CMP_ORD_Q), x, y, _CMP_NLE_UQ), b, a)
#define V_SQRT(x) _mm512_sqrt_pd(x)
#define V_ABS(x) _mm512_andnot_pd(_mm512_set1_pd(-0.0), x)
#define V_COPYSIGN(size, sign) _mm512_or_pd(size, _mm512_and_pd(_mm512_set1_pd(-0.0), sign))
#define V_SHIFT(v) _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(v), 52))
#define GROUP 4
#define G_LOAD(p, step)                                                              \
    _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd((const double *)(p))), \
                       _mm256_loadu_pd((const double *)((p) + (step))), 1)
#define G_STORE(p, step, v)                                      \
    (_mm256_storeu_pd((double *)(p), _mm512_castpd512_pd256(v)), \
     _mm256_storeu_pd((double *)((p) + (step)), _mm512_extractf64x4_pd(v, 1)))
#define G_ROWN(p, n) _mm256_maskz_loadu_pd((__mmask8)((1u << (n)) - 1), p)
#define G_LOADN(p, step, n) \
    _mm512_insertf64x4(_mm512_castpd256_pd512(G_ROWN(p, n)), G_ROWN((p) + (step), n), 1)
#define G_TRANSPOSE(v) transpose_f64(v)
#define PICK pick_f64
#define D_LANES(n, lanes) prepare_lanes_f64_avx512(n, lanes)
#define D_SPLIT(n, lanes, from, to) PICK_ALL(n, lanes, split, from, to)
#define D_MERGE(n, lanes, from, to) PICK_ALL(n, lanes, merge, from, to)
#include "kernels_tmpl.h"

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
