/* The list of the tables of quantised kernels: of each set, the best first. */
#include "isa/quantised_types.h"
#include "pointwise.h"

static const pw_qkernels *const all[] = {
#if defined(__x86_64__)
    &pw_qkernels_avx512_vnni,
    &pw_qkernels_avx512,
    &pw_qkernels_avx2,
#elif defined(__aarch64__)
    &pw_qkernels_neon_dot,
    &pw_qkernels_neon,
#endif
    &pw_qkernels_scalar,
};

const pw_qkernels *pw_qkernels_at(const pw_kernel_set *set, int i) {
    for (size_t j = 0; j < sizeof all / sizeof *all; j++)
        if (all[j]->set == set && i-- == 0) return all[j];
    return NULL;
}

const char *pw_qkernels_name(const pw_qkernels *kernels) {
    return kernels->name;
}

int pw_qkernels_works(const pw_qkernels *kernels) {
    return kernels->works();
}
