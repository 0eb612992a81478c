/* AVX-512 BF16: products of pairs of bfloat16, with sums in float32, used only if the caller allows
 * it. */
#if defined(__x86_64__)
#include "cpu/cpu.h"

#define WITH_BF16
#include "avx512.h"
#include "avx512_f32.h"

#define SUFFIX f32_avx512_bf16
#include "epilogue_tmpl.h"

/* Elements are pairs: channels 2c and 2c + 1 of a pixel, or of an output channel's weights. */
#define PLANAR_FMA(w, x, sum) _mm512_dpbf16_ps(sum, (__m512bh)(w), (__m512bh)(x))
#include "planar_tmpl.h"

/* Turns rows of float32 into half as many rows of pairs, in place. */
static void make_bf16_pairs(char *rows, ptrdiff_t step, int64_t C, int64_t n) {
    for (int64_t c = 0; c < C; c += 2) {
        const float *first = (const float *)(rows + c * step);
        const float *second = (const float *)(rows + (c + 1 < C ? c + 1 : c) * step);
        const uint32_t keep = c + 1 < C ? 0xffff0000u : 0;
        uint32_t *to = (uint32_t *)(rows + c / 2 * step);
        for (int64_t i = 0; i < n; i += VW) {
            const __m512i low =
                _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(v_load(first + i)));
            const __m512i high =
                _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(v_load(second + i)));
            const __m512i pair = _mm512_or_si512(
                low, _mm512_and_si512(_mm512_slli_epi32(high, 16), _mm512_set1_epi32((int)keep)));
            _mm512_storeu_si512(to + i, pair);
        }
    }
}

#include "target_end.h"

#define ENTRY(MR, NR) [MR] = FN(planar_##MR),
const pw_bf16_kernels pw_bf16_kernels_avx512 = {
    .works = pw_cpu_has_avx512_bf16,
    .make_bf16_pairs = make_bf16_pairs,
    .planar = {PLANAR_TILES(ENTRY)},
};
#else
typedef int pw_no_avx512_bf16; /* ISO C wants a declaration */
#endif
