/* The kernel sets: the kernels of each instruction set for float32 and float64. */
#include "cpu/cpu.h"
#include "isa/types.h"
#include "pointwise.h"

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

static const pw_kernel_set *const sets[] = {
#if defined(__x86_64__)
    &pw_kernels_avx512,
    &pw_kernels_avx2,
#elif defined(__aarch64__)
    &pw_kernels_neon,
#endif
    &pw_kernels_scalar,
};

const pw_kernel_set *pw_kernel_set_at(int i) {
    return i >= 0 && i < (int)(sizeof sets / sizeof *sets) ? sets[i] : NULL;
}

const char *pw_kernel_set_name(const pw_kernel_set *set) {
    return set->name;
}

int pw_kernel_set_works(const pw_kernel_set *set) {
    return set->works();
}

int pw_kernel_set_has_fma(const pw_kernel_set *set) {
    return set->has_fma;
}
