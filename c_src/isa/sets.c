/* The kernel sets: the kernels of each instruction set for float32 and float64. */
#include "cpu/cpu.h"
#include "isa/types.h"

#if defined(__x86_64__)
const pw_kernel_set pw_kernels_avx512 = {
    .name = "avx512",
    .works = pw_cpu_has_avx512,
    .has_fma = 1,
    .dtype = {&pw_kernels_f32_avx512, &pw_kernels_f64_avx512},
};

const pw_kernel_set pw_kernels_avx2 = {
    .name = "avx2",
    .works = pw_cpu_has_avx2_fma,
    .has_fma = 1,
    .dtype = {&pw_kernels_f32_avx2, &pw_kernels_f64_avx2},
};
#endif

#if defined(__aarch64__)
const pw_kernel_set pw_kernels_neon = {
    .name = "neon",
    .works = pw_cpu_always,
    .has_fma = 1,
    .dtype = {&pw_kernels_f32_neon, &pw_kernels_f64_neon},
};
#endif

const pw_kernel_set pw_kernels_scalar = {
    .name = "scalar",
    .works = pw_cpu_always,
    .has_fma = 0,
    .dtype = {&pw_kernels_f32_scalar, &pw_kernels_f64_scalar},
};
