/* float32 with AVX-512: what avx512.c and avx512_bf16.c have in common. Each names its SUFFIX. */
#define T float
#define V __m512
#define VW 16
#define MASK(n) ((__mmask16)((1u << (n)) - 1))
#define V_SET1(x) _mm512_set1_ps(x)
#define V_LOAD(p) _mm512_loadu_ps(p)
#define V_STORE(p, v) _mm512_storeu_ps(p, v)
#define V_STREAM(p, v) _mm512_stream_ps((float *)(p), v)
#define V_LOADN(p, n) _mm512_maskz_loadu_ps(MASK(n), p)
#define V_STOREN(p, n, v) _mm512_mask_storeu_ps(p, MASK(n), v)
#define LEAST_CONVERTED 7
#define V_LOAD_U8(p) _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define V_LOAD_U16(p) \
    _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(p))))
#define V_LOAD_I16(p) \
    _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(p))))
#define V_LOADN_U8(p, n) _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(MASK(n), p)))
#define V_LOADN_U16(p, n) \
    _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(MASK(n), p)))
#define V_LOADN_I16(p, n) \
    _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(MASK(n), p)))
#define REVERSE(v) \
    _mm512_permutexvar_ps(_mm512_set_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), v)
#define V_LOAD_REVERSED(p) REVERSE(_mm512_loadu_ps((p) - 60))
#define V_LOADN_REVERSED(p, n) \
    REVERSE(_mm512_maskz_loadu_ps((__mmask16)(0xffffu << (16 - (n))), (p) - 60))
#define V_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define V_ADD(a, b) _mm512_add_ps(a, b)
#define V_SUB(a, b) _mm512_sub_ps(a, b)
#define V_MUL(a, b) _mm512_mul_ps(a, b)
#define V_DIV(a, b) _mm512_div_ps(a, b)
#define V_MAX(a, b) _mm512_max_ps(a, b)
#define V_MIN(a, b) _mm512_min_ps(a, b)
#define V_WHERE_POSITIVE(x, a, b) \
    _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), b, a)
#define V_EQUAL(x, y) (unsigned)_mm512_cmp_ps_mask(x, y, _CMP_EQ_OQ)
#define V_WHERE_BETTER(x, y, a, b) \
    _mm512_mask_blend_ps(          \
        _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(y, y, _CMP_ORD_Q), x, y, _CMP_NLE_UQ), b, a)
#define V_SQRT(x) _mm512_sqrt_ps(x)
#define V_ABS(x) _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x)
#define V_COPYSIGN(size, sign) _mm512_or_ps(size, _mm512_and_ps(_mm512_set1_ps(-0.0f), sign))
#define V_SHIFT(v) _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(v), 23))
