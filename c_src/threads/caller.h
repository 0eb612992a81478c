/* What a worker takes over from the caller whose job it joins: the rounding mode, whether denormal
 * numbers are flushed, and the CPUs that it may use. */
#ifndef PW_THREADS_CALLER_H
#define PW_THREADS_CALLER_H

#include <stdint.h>

#if defined(__linux__)
#include <sched.h> /* with _GNU_SOURCE */

typedef struct pw_cpus {
    cpu_set_t allowed; /* empty: not known */
    int current;       /* where the caller is; -1: not known */
} pw_cpus;

static inline void pw_note_cpus(pw_cpus *cpus) {
    if (sched_getaffinity(0, sizeof cpus->allowed, &cpus->allowed)) CPU_ZERO(&cpus->allowed);
    cpus->current = sched_getcpu();
}

/* `mine`: the CPUs that this worker last took over. Those of the caller may have changed since. */
static inline void pw_follow(const pw_cpus *cpus, cpu_set_t *mine) {
    if (!CPU_EQUAL(mine, &cpus->allowed) && CPU_COUNT(&cpus->allowed)) {
        sched_setaffinity(0, sizeof cpus->allowed, &cpus->allowed);
        *mine = cpus->allowed;
    }
    /* Leaves the CPU on which the caller works, and stays away from it: some schedulers wake a
     * thread on its waker's CPU although others are idle, and both then share one. */
    cpu_set_t others = *mine;
    if (cpus->current < 0 || cpus->current >= CPU_SETSIZE || cpus->current != sched_getcpu())
        return;
    CPU_CLR(cpus->current, &others);
    if (CPU_COUNT(&others)) sched_setaffinity(0, sizeof others, &others);
}
#else
typedef int pw_cpus, cpu_set_t;
static inline void pw_note_cpus(pw_cpus *cpus) {
    *cpus = 0;
}
static inline void pw_follow(const pw_cpus *cpus, cpu_set_t *mine) {
    (void)cpus, (void)mine;
}
#endif

#if defined(__x86_64__)
static inline uint64_t pw_float_control(void) {
    return __builtin_ia32_stmxcsr();
}
static inline void pw_set_float_control(uint64_t control) {
    __builtin_ia32_ldmxcsr((unsigned)control);
}
#elif defined(__aarch64__)
static inline uint64_t pw_float_control(void) {
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return control;
}
static inline void pw_set_float_control(uint64_t control) {
    __asm__ volatile("msr fpcr, %0" : : "r"(control));
}
#else
static inline uint64_t pw_float_control(void) {
    return 0;
}
static inline void pw_set_float_control(uint64_t control) {
    (void)control;
}
#endif

#endif
