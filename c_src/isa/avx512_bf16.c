/* AVX-512 BF16: products of pairs of bfloat16, sums in float32. Only where the caller allows it. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "cpu/cpu.h"
#include "common.h"

#if defined(__clang__)
#pragma clang attribute push(                                                     \
    __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512bf16,fma"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx512bf16,fma,prefer-vector-width=512")
#endif

#define PLANAR_KR_MAX 14
#define PLANAR_NV(KR) ((KR) <= 4 ? 6 : (KR) <= 6 ? 4 : (KR) <= 9 ? 3 : 2)
#define SUFFIX f32_avx512_bf16
#include "avx512_f32.h"
#include "epilogue_tmpl.h"
#include "planar_tmpl.h"

/* Elements are pairs: channels 2c and 2c + 1 of a pixel, or of an output's weights. */
#define X_(name) FN(name)
#define X_SIZE (ptrdiff_t)sizeof(T)
#define X_LOAD(p) V_LOAD(p)
#define X_LOADN(p, n) V_LOADN(p, n)
#define X_FMA(w, x, s) _mm512_dpbf16_ps(s, (__m512bh)(w), (__m512bh)(x))
#define X_LEAST 1
#include "planar_from_tmpl.h"

/* Rows of float32 to half as many of pairs, in place. */
static void make_pairs(char *rows, ptrdiff_t step, int64_t C, int64_t n) {
    for (int64_t c = 0; c < C; c += 2) {
        const float *first = (const float *)(rows + c * step);
        const float *second = (const float *)(rows + (c + 1 < C ? c + 1 : c) * step);
        const uint32_t keep = c + 1 < C ? 0xffff0000u : 0;
        uint32_t *to = (uint32_t *)(rows + c / 2 * step);
        for (int64_t i = 0; i < n; i += VW) {
            const __m512i low =
                _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(V_LOAD(first + i)));
            const __m512i high =
                _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(V_LOAD(second + i)));
            const __m512i pair = _mm512_or_si512(
                low, _mm512_and_si512(_mm512_slli_epi32(high, 16), _mm512_set1_epi32((int)keep)));
            _mm512_storeu_si512(to + i, pair);
        }
    }
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const pw_pair_kernels pw_pairs_avx512 = {
    .works = pw_cpu_has_avx512_bf16,
    .make_pairs = make_pairs,
    .planar = {NULL, FN(planar_1), FN(planar_2), FN(planar_3), FN(planar_4), FN(planar_5),
               FN(planar_6), FN(planar_7), FN(planar_8), FN(planar_9), FN(planar_10), FN(planar_11),
               FN(planar_12), FN(planar_13), FN(planar_14)},
};
#else
typedef int pw_no_avx512_bf16; /* ISO C wants a declaration */
#endif
