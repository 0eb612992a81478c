/* Time in cycles of the core, whatever its frequency is at the moment: a chain of additions, each of
 * which takes one cycle, runs beside what is timed. Counters of time run at a rate of their own.
 */
#if defined(__x86_64__)
#include <x86intrin.h>
#endif
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "isa/macros.h"

/* Cycles of the chain, and of a batch at least: so long that reading the counter does not show, so short
 * that the frequency is the same for both. */
enum { CHAIN = 16384 };

static uint64_t ticks(void) {
#if defined(__x86_64__)
    _mm_lfence();
    const uint64_t now = __rdtsc();
    _mm_lfence();
    return now;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

typedef void (*runner)(const void *);

/* Ticks of so many calls. */
static double time_calls(runner run, const void *argument, int64_t calls) {
    const uint64_t start = ticks();
    for (int64_t i = 0; i < calls; i++) run(argument);
    return (double)(ticks() - start);
}

/* Ticks of the chain; of registers, for some CPUs add constants at no cost. */
static double time_chain(void) {
    uint64_t sum = 0, term = 1;
    __asm__ volatile("" : "+r"(term));
    const uint64_t start = ticks();
    for (int i = 0; i < CHAIN / 32; i++) {
    PW_UNROLL
        for (int j = 0; j < 32; j++) {
            sum += term;
            __asm__ volatile("" : "+r"(sum));
        }
    }
    return (double)(ticks() - start);
}

/* Calls that fill a batch. The first ones also wake wide vector units up, which takes microseconds. */
static int64_t calls_in_batch(runner run, const void *argument) {
    double chain = INFINITY;
    int64_t calls = 1;
    for (int i = 0; i < 4; i++) {
        /* A coarse clock may not have moved. */
        const double call = fmax(time_calls(run, argument, calls), 1) / (double)calls;
        chain = fmin(chain, time_chain());
        calls = call < chain ? (int64_t)(chain / call) + 1 : 1;
    }
    return calls;
}

/* Cycles of a call, n times. Those between chains that differ by more than 2% are timed again: the
 * frequency changed, or one was interrupted. But not for ever. */
static void time_batches(runner run, const void *argument, float *cycles, int n) {
    const int64_t calls = calls_in_batch(run, argument);
    double before = time_chain();
    for (int i = 0, tries = 0; i < n; tries++) {
        const double batch = time_calls(run, argument, calls), after = time_chain();
        const double chain = (before + after) / 2;
        if (fabs(after - before) < 0.02 * chain || tries >= 8 * n)
            cycles[i++] = (float)(batch / chain * CHAIN / (double)calls);
        before = after;
    }
}

static int compare(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The median of n values, which are sorted on the way. */
static double median(float *values, int n) {
    qsort(values, (size_t)n, sizeof *values, compare);
    return n % 2 ? (double)values[n / 2] : ((double)values[n / 2 - 1] + (double)values[n / 2]) / 2;
}
