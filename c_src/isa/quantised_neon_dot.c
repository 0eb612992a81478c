/* Quantised kernels of AArch64 with sdot, which adds the products of a lane's four bytes. */
#if defined(__aarch64__)
#include "quantised_neon.h"

#define SUFFIX neon_dot
#define NAME "neon-dot"
#define WORKS pw_cpu_has_dotprod

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

/* Assembly, because some compilers declare the intrinsic only if a whole file has the target. */
PW_INLINE V q_dot(V sum, V x, V w) {
    __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(x), "w"(w));
    return sum;
}

#include "quantised_tmpl.h"

#include "target_end.h"
#else
typedef int pw_no_quantised_neon_dot; /* ISO C wants a declaration */
#endif
