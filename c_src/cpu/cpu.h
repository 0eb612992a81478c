/* Whether this CPU and the operating system can run a set of kernels. */
#ifndef PW_CPU_CPU_H
#define PW_CPU_CPU_H

/* A name for the microarchitecture, as "zen3"; "" where it is none of those that are known. */
const char *pw_cpu_microarchitecture(void);
int pw_cpu_always(void);
int pw_cpu_has_avx2_fma(void);
int pw_cpu_has_avx512(void);
int pw_cpu_has_avx512_bf16(void);
int pw_cpu_has_avx512_vnni(void);
int pw_cpu_has_dotprod(void);

#endif
