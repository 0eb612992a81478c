/* float32 with AVX2. */
#if defined(__x86_64__)
#include "avx2.h"

#define T float
#define V __m256
#define VW 8
#define SUFFIX f32_avx2
#define CONVERTS_INTEGERS 1
#define READS_REVERSED 1
#define TRANSPOSE 4

/* Selects the first n lanes. */
PW_INLINE __m256i mask(int n) {
    return _mm256_loadu_si256((const __m256i *)(masks + 8 - n));
}
PW_INLINE V v_set1(T x) {
    return _mm256_set1_ps(x);
}
PW_INLINE V v_load(const void *p) {
    return _mm256_loadu_ps((const float *)p);
}
PW_INLINE void v_store(void *p, V v) {
    _mm256_storeu_ps((float *)p, v);
}
PW_INLINE void v_stream(void *p, V v) {
    _mm256_stream_ps((float *)p, v);
}
PW_INLINE V v_loadn(const void *p, int n) {
    return _mm256_maskload_ps((const float *)p, mask(n));
}
/* A masked store takes some 18 cycles on Zen 3: 13 -> 6 interleaved channels went from 26 cycles a
 * pixel to 17, 8 -> 3 from 21 to 11. */
PW_INLINE void v_storen(void *p, int n, V v) {
    float *to = p;
    __m128 four = _mm256_castps256_ps128(v);
    if (n & 4) {
        _mm_storeu_ps(to, four);
        four = _mm256_extractf128_ps(v, 1);
        to += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)to, four);
        four = _mm_movehl_ps(four, four);
        to += 2;
    }
    if (n & 1) _mm_store_ss(to, four);
}
/* Copies the first n bytes to a buffer that may be read whole. */
PW_INLINE const char *load_bytes(const char *from, int n, char *buffer) {
    memcpy(buffer, from, (size_t)n);
    return buffer;
}
PW_INLINE V v_load_u8(const void *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
PW_INLINE V v_load_u16(const void *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)));
}
PW_INLINE V v_load_i16(const void *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p)));
}
PW_INLINE V v_loadn_u8(const void *p, int n) {
    return v_load_u8(load_bytes(p, n, (char[16]){0}));
}
PW_INLINE V v_loadn_u16(const void *p, int n) {
    return v_load_u16(load_bytes(p, 2 * n, (char[16]){0}));
}
PW_INLINE V v_loadn_i16(const void *p, int n) {
    return v_load_i16(load_bytes(p, 2 * n, (char[16]){0}));
}
PW_INLINE __m256i lanes_back(void) {
    return _mm256_set_epi32(0, 1, 2, 3, 4, 5, 6, 7);
}
PW_INLINE V v_load_reversed(const char *p) {
    return _mm256_permutevar8x32_ps(_mm256_loadu_ps((const float *)(p - 28)), lanes_back());
}
PW_INLINE V v_loadn_reversed(const char *p, int n) {
    return _mm256_permutevar8x32_ps(
        _mm256_maskload_ps((const float *)(p - 28),
                           _mm256_permutevar8x32_epi32(mask(n), lanes_back())),
        lanes_back());
}
PW_INLINE V v_fma(V a, V b, V c) {
    return _mm256_fmadd_ps(a, b, c);
}
PW_INLINE V v_add(V a, V b) {
    return _mm256_add_ps(a, b);
}
PW_INLINE V v_sub(V a, V b) {
    return _mm256_sub_ps(a, b);
}
PW_INLINE V v_mul(V a, V b) {
    return _mm256_mul_ps(a, b);
}
PW_INLINE V v_div(V a, V b) {
    return _mm256_div_ps(a, b);
}
PW_INLINE V v_max(V a, V b) {
    return _mm256_max_ps(a, b);
}
PW_INLINE V v_min(V a, V b) {
    return _mm256_min_ps(a, b);
}
PW_INLINE V v_where_positive(V x, V a, V b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ));
}
PW_INLINE unsigned v_equal(V x, V y) {
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_EQ_OQ));
}
PW_INLINE V v_where_better(V x, V y, V a, V b) {
    return _mm256_blendv_ps(
        b, a, _mm256_and_ps(_mm256_cmp_ps(y, y, _CMP_ORD_Q), _mm256_cmp_ps(x, y, _CMP_NLE_UQ)));
}
PW_INLINE V v_sqrt(V x) {
    return _mm256_sqrt_ps(x);
}
PW_INLINE V v_abs(V x) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}
PW_INLINE V v_copysign(V size, V sign) {
    return _mm256_or_ps(size, _mm256_and_ps(_mm256_set1_ps(-0.0f), sign));
}
PW_INLINE V v_shift(V v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(v), 23));
}

/* Transposes the 4 x 4 elements within each 128 bits. */
PW_INLINE void transpose(V *v) {
    const __m256 a = _mm256_unpacklo_ps(v[0], v[1]), b = _mm256_unpackhi_ps(v[0], v[1]);
    const __m256 c = _mm256_unpacklo_ps(v[2], v[3]), d = _mm256_unpackhi_ps(v[2], v[3]);
    v[0] = _mm256_shuffle_ps(a, c, 0x44);
    v[1] = _mm256_shuffle_ps(a, c, 0xee);
    v[2] = _mm256_shuffle_ps(b, d, 0x44);
    v[3] = _mm256_shuffle_ps(b, d, 0xee);
}

PW_INLINE V transpose_load(const char *p, ptrdiff_t step) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps((const float *)p)),
                                _mm_loadu_ps((const float *)(p + step)), 1);
}
PW_INLINE void transpose_store(char *p, ptrdiff_t step, V v) {
    _mm_storeu_ps((float *)p, _mm256_castps256_ps128(v));
    _mm_storeu_ps((float *)(p + step), _mm256_extractf128_ps(v, 1));
}
PW_INLINE __m128 load_some(const char *p, int n) {
    return _mm_maskload_ps((const float *)p, _mm_loadu_si128((const __m128i *)(masks + 8 - n)));
}
PW_INLINE V transpose_loadn(const char *p, ptrdiff_t step, int n) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(load_some(p, n)), load_some(p + step, n), 1);
}

/* For n = 3 channels and pixels without gaps, three vectors hold the elements of a channel in lanes
 * that all differ. So blending gathers them, and one permutation orders them. */
typedef struct lanes {
    __m256i split[3], merge[3];
} lanes;

PW_INLINE void prepare_lanes(int n, lanes *to) {
    if (n != 3) return;
    for (int c = 0; c < 3; c++) {
        int32_t split[8], merge[8];
        for (int p = 0; p < 8; p++) {
            split[p] = (3 * p + c) % 8;
            merge[split[p]] = p;
        }
        to->split[c] = _mm256_loadu_si256((const __m256i *)split);
        to->merge[c] = _mm256_loadu_si256((const __m256i *)merge);
    }
}

/* Lanes 0, 3 and 6 of a, lanes 1, 4 and 7 of b, and lanes 2 and 5 of c. */
PW_INLINE __m256 every_third(__m256 a, __m256 b, __m256 c) {
    return _mm256_blend_ps(_mm256_blend_ps(a, b, 0x92), c, 0x24);
}

PW_INLINE __m256 unmix_pairs(__m256 v) { /* reorders pairs of elements: 0 2 1 3 */
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
}

PW_INLINE void split_lanes(int n, const lanes *by, const V *from, V *to) {
    const __m256 a = from[0], b = from[n > 1 ? 1 : 0], c = from[n > 2 ? 2 : 0];
    if (n == 1) {
        to[0] = a;
    } else if (n == 2) {
        to[0] = unmix_pairs(_mm256_shuffle_ps(a, b, 0x88));
        to[1] = unmix_pairs(_mm256_shuffle_ps(a, b, 0xdd));
    } else if (n == 3) {
        to[0] = _mm256_permutevar8x32_ps(every_third(a, b, c), by->split[0]);
        to[1] = _mm256_permutevar8x32_ps(every_third(c, a, b), by->split[1]);
        to[2] = _mm256_permutevar8x32_ps(every_third(b, c, a), by->split[2]);
    } else {
        to[0] = _mm256_permute2f128_ps(a, c, 0x20);
        to[1] = _mm256_permute2f128_ps(a, c, 0x31);
        to[2] = _mm256_permute2f128_ps(b, from[3], 0x20);
        to[3] = _mm256_permute2f128_ps(b, from[3], 0x31);
        transpose(to);
    }
}

PW_INLINE void merge_lanes(int n, const lanes *by, V *from, V *to) {
    if (n == 1) {
        to[0] = from[0];
    } else if (n == 2) {
        const __m256 low = _mm256_unpacklo_ps(from[0], from[1]);
        const __m256 high = _mm256_unpackhi_ps(from[0], from[1]);
        to[0] = _mm256_permute2f128_ps(low, high, 0x20);
        to[1] = _mm256_permute2f128_ps(low, high, 0x31);
    } else if (n == 3) {
        const __m256 a = _mm256_permutevar8x32_ps(from[0], by->merge[0]);
        const __m256 b = _mm256_permutevar8x32_ps(from[1], by->merge[1]);
        const __m256 c = _mm256_permutevar8x32_ps(from[2], by->merge[2]);
        to[0] = every_third(a, b, c);
        to[1] = every_third(c, a, b);
        to[2] = every_third(b, c, a);
    } else {
        transpose(from);
        to[0] = _mm256_permute2f128_ps(from[0], from[1], 0x20);
        to[1] = _mm256_permute2f128_ps(from[2], from[3], 0x20);
        to[2] = _mm256_permute2f128_ps(from[0], from[1], 0x31);
        to[3] = _mm256_permute2f128_ps(from[2], from[3], 0x31);
    }
}

#define HAS_LANES 1

#include "kernels_tmpl.h"

#include "target_end.h"
#else
typedef int pw_no_avx2; /* ISO C wants a declaration */
#endif
