/* What the files of AVX2 and FMA have in common: 16 vectors of 32 bytes. Each file includes
 * target_end.h at its end. */
#include <immintrin.h>

#include "common.h"

/* Register tiles, MR x NR: see common.h. One thread on Zen 4, in cache, has 118 GFLOP/s at most;
 * there planar 5 x 2 reaches 107, 6 x 2 111; interleaved 6 x 2 115; transposing 8 x 1 77, 10 x 1 63
 * (it spills). */
#define PLANAR_TILES(X) X(1, 6) X(2, 4) X(3, 3) X(4, 2) X(5, 2) X(6, 2)
/* Tiles of planar kernels that convert x or read it in reverse. */
#define CONVERTING_TILES(X) X(3, 3) X(4, 2) X(5, 2) X(6, 2)
/* Zen 3, in level 1, 40 channels, medians of 200 alternating runs beside other work: with 2 instead of
 * 1, 5 x 2 went from 51% of the peak to 60%, 6 x 2 56% to 63%, 3 x 3 41% to 56%, 4 x 2 of uint16 33% to
 * 57%. Interleaved kernels lost 6 to 8% by it. */
#define PLANAR_CHANNELS 2
#define INTERLEAVED_TILES(X) X(12, 1) X(6, 2)
#define TRANSPOSING_TILES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define TRANSPOSING_MR_MAX 8
/* clang-format off */
#define DOTS_TILES(X)               \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) \
    X(2, 1) X(2, 2) X(2, 3) X(2, 4) \
    X(3, 1) X(3, 2) X(3, 3) X(3, 4)
/* clang-format on */
#define DOTS_A 3
#define DOTS_B 4
#define FUSED2_TILES(X) X(1, 2) X(2, 2) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1)
#define FUSED2_NR_MAX 2
#define FUSED2_HIDDEN 4

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

/* masks + 8 - n points at a mask of the first n of eight lanes. */
static const int32_t masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
