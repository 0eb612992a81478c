/* What the multiply-adders do at best: independent instructions, in registers. In assembler, since this
 * file is compiled for every CPU of its kind. */
#include <string.h>

#include "bench_clock.h"
#include "isa/types.h"

enum { PEAK_ROUNDS = 64 };

/* Sums in so many registers that none waits for itself. */
#if defined(__x86_64__)
enum { PEAK_SUMS = 15 };
#define PEAK_LOOP(FUNCTION, NAME, R)                                                     \
    static void FUNCTION(const void *unused) {                                           \
        (void)unused;                                                                    \
        __asm__ volatile("vzeroall" ::: PEAK_CLOBBERS);                                  \
        for (int i = 0; i < PEAK_ROUNDS; i++)                                            \
            __asm__ volatile(".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14\n" NAME " %%" R \
                             "15, %%" R "15, %%" R "\\i\n.endr" ::                       \
                                 : PEAK_CLOBBERS);                                       \
        __asm__ volatile("vzeroupper");                                                  \
    }
#define PEAK_CLOBBERS                                                                        \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
PEAK_LOOP(peak_avx512_f32, "vfmadd231ps", "zmm")
PEAK_LOOP(peak_avx512_f64, "vfmadd231pd", "zmm")
PEAK_LOOP(peak_avx2_f32, "vfmadd231ps", "ymm")
PEAK_LOOP(peak_avx2_f64, "vfmadd231pd", "ymm")
#elif defined(__aarch64__)
enum { PEAK_SUMS = 24 };
#define PEAK_LOOP(FUNCTION, WIDTH)                                                        \
    static void FUNCTION(const void *unused) {                                            \
        (void)unused;                                                                     \
        __asm__ volatile("movi v24.4s, #0" ::: PEAK_CLOBBERS);                            \
        for (int i = 0; i < PEAK_ROUNDS; i++)                                             \
            __asm__ volatile(                                                             \
                ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n" \
                "fmla v\\i\\()." WIDTH ", v24." WIDTH ", v24." WIDTH "\n.endr" ::         \
                    : PEAK_CLOBBERS);                                                     \
    }
#define PEAK_CLOBBERS                                                                              \
    "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", \
        "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24"
PEAK_LOOP(peak_neon_f32, "4s")
PEAK_LOOP(peak_neon_f64, "2d")
#else
enum { PEAK_SUMS = 1 };
#endif

/* PEAK_ROUNDS * PEAK_SUMS multiply-adds of vectors. NULL: of a set without an instruction for them. */
static runner peak_loop(const char *set, pw_dtype dtype) {
    static const struct {
        const char *set;
        runner run[2]; /* PW_F32, PW_F64 */
    } loops[] = {
#if defined(__x86_64__)
        {"avx512", {peak_avx512_f32, peak_avx512_f64}},
        {"avx2", {peak_avx2_f32, peak_avx2_f64}},
#elif defined(__aarch64__)
        {"neon", {peak_neon_f32, peak_neon_f64}},
#endif
        {"", {NULL, NULL}},
    };
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (strcmp(set, loops[i].set) == 0) return loops[i].run[dtype];
    return NULL;
}
