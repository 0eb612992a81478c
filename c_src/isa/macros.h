/* Macros for kernels of all kinds. */
#ifndef PW_ISA_MACROS_H
#define PW_ISA_MACROS_H

#define PW_INLINE static inline __attribute__((always_inline))
#define PW_NOINLINE static __attribute__((noinline))
#define PW_PASTE_(a, b) a##_##b
#define PW_PASTE(a, b) PW_PASTE_(a, b)
/* Unrolls a loop fully, so that the arrays it walks become registers. */
#if defined(__clang__)
#define PW_UNROLL _Pragma("clang loop unroll(full)")
#else
#define PW_UNROLL _Pragma("GCC unroll 32")
#endif

#endif
