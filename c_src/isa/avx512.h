/* What the files of AVX-512 (F, DQ, BW, VL; with WITH_BF16 also BF16) have in common: 32 vectors of
 * 64 bytes. Each file includes target_end.h at its end. */
#include <immintrin.h>

#include "common.h"
#include "registers_32.h"

/* One thread on Zen 4, in cache, has 118 GFLOP/s at most. There planar 10 x 2 reaches 112, 13 x 2
 * 116, 14 x 2 108 to 113; interleaved 12 x 1 94, 12 x 2 107, 8 x 3 115, 6 x 4 116; transposing
 * 20 x 1 99. */
#define FUSED2_TILES(X) X(1, 4) X(2, 4) X(3, 3) X(4, 3) X(5, 3) X(6, 2) X(7, 2) X(8, 2)

#if defined(__clang__) && defined(WITH_BF16)
#pragma clang attribute push(                                                     \
    __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512bf16,fma"))), \
    apply_to = function)
#elif defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512")
#if defined(WITH_BF16)
#pragma GCC target("avx512bf16")
#endif
#endif
