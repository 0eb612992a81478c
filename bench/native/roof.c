/* Measures the machine's limits: fused multiply-adds on registers, and reading and writing memory
 * in a given proportion. Times are taken here, from a barrier on, so that they include neither
 * Python nor the start of a thread. Compile without auto-vectorisation: every vector is written
 * out. */

#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A way to walk memory. */
struct traffic {
    int64_t streams; /* parts of x read side by side */
    int64_t burst;   /* lines read from a part before the next one's turn */
    int64_t ahead;   /* bytes of software prefetch; 0 for none */
    int64_t bypass;  /* non-temporal stores */
};

#if defined(__x86_64__)
#include <immintrin.h>

#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f")))
#define VEC __m512
#define LANES 16
#define SET1 _mm512_set1_ps
#define FMA _mm512_fmadd_ps
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define STREAM _mm512_stream_ps
#define FENCE _mm_sfence
#define KEEP "v"
#include "roof_isa.h"

#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define VEC __m256
#define LANES 8
#define SET1 _mm256_set1_ps
#define FMA _mm256_fmadd_ps
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define STREAM _mm256_stream_ps
#define FENCE _mm_sfence
#define KEEP "x"
#include "roof_isa.h"

static inline void stream_float(float *p, float v) {
    int bits;
    memcpy(&bits, &v, sizeof bits);
    _mm_stream_si32((int *)p, bits);
}
#define SCALAR_TARGET __attribute__((target("fma")))
#define SCALAR_FENCE _mm_sfence
#define SCALAR_KEEP "x"

#else

static inline void stream_float(float *p, float v) {
    *p = v;
}
#define SCALAR_TARGET
#define SCALAR_FENCE()
#if defined(__aarch64__)
#define SCALAR_KEEP "w"
#else
#define SCALAR_KEEP "m"
#endif

#endif

#if defined(__aarch64__)
#include <arm_neon.h>

static inline float32x4_t fma_neon(float32x4_t a, float32x4_t b, float32x4_t c) {
    return vfmaq_f32(c, a, b);
}
static inline void stream_neon_vector(float *p, float32x4_t v) {
    /* The instruction stores two vectors, so it covers the next call, in the same line, too. */
    if (((uintptr_t)p & 31) == 0)
        __asm__ volatile("stnp %q1, %q1, [%0]" : : "r"(p), "w"(v) : "memory");
}
#define NAME(x) x##_neon
#define TARGET
#define VEC float32x4_t
#define LANES 4
#define SET1 vdupq_n_f32
#define FMA fma_neon
#define LOAD vld1q_f32
#define STORE vst1q_f32
#define STREAM stream_neon_vector
#define FENCE()
#define KEEP "w"
#include "roof_isa.h"
#endif

static inline float same(float v) {
    return v;
}
static inline float load_float(const float *p) {
    return *(const volatile float *)p;
}
static inline void store_float(float *p, float v) {
    *(volatile float *)p = v;
}
#define NAME(x) x##_scalar
#define TARGET SCALAR_TARGET
#define VEC float
#define LANES 1
#define SET1 same
#define FMA __builtin_fmaf
#define LOAD load_float
#define STORE store_float
#define STREAM stream_float
#define FENCE SCALAR_FENCE
#define KEEP SCALAR_KEEP
#include "roof_isa.h"

struct isa {
    const char *name;
    int lanes;
    void (*fma_loop)(int chains, int64_t n);
    void (*stream)(const struct traffic *, const char *, int64_t, char *, int64_t);
};

static const struct isa isas[] = {
#if defined(__x86_64__)
    {"avx512", 16, fma_loop_avx512, stream_avx512},
    {"avx2", 8, fma_loop_avx2, stream_avx2},
#elif defined(__aarch64__)
    {"neon", 4, fma_loop_neon, stream_neon},
#endif
    {"scalar", 1, fma_loop_scalar, stream_scalar},
};
enum { ISAS = sizeof isas / sizeof *isas };

static int works(const char *name) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!strcmp(name, "avx512")) return __builtin_cpu_supports("avx512f");
    if (!strcmp(name, "avx2"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return __builtin_cpu_supports("fma");
#else
    (void)name;
    return 1;
#endif
}

/* The i-th instruction set of this build, best first; "" if the CPU lacks it, NULL past the end. */
const char *roof_isa(int i) {
    if (i >= ISAS) return NULL;
    return works(isas[i].name) ? isas[i].name : "";
}

/* ---- a team of threads, timed from a barrier on ---------------------------------------------- */

struct team {
    void (*work)(const void *, int thread, int threads);
    const void *argument;
    int threads, repeats;
    atomic_int arrived, generation;
    double *began, *ended; /* [thread][repeat] */
};

struct member {
    struct team *team;
    int thread;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void wait_for_all(struct team *team) {
    int generation = atomic_load(&team->generation);
    if (atomic_fetch_add(&team->arrived, 1) + 1 == team->threads) {
        atomic_store(&team->arrived, 0);
        atomic_fetch_add(&team->generation, 1);
        return;
    }
    for (int spins = 0; atomic_load(&team->generation) == generation; spins++)
        if (spins > 10000) sched_yield();
}

static void *take_part(void *argument) {
    struct member *self = argument;
    struct team *team = self->team;
    for (int i = 0; i < team->repeats; i++) {
        wait_for_all(team);
        team->began[self->thread * team->repeats + i] = now();
        team->work(team->argument, self->thread, team->threads);
        team->ended[self->thread * team->repeats + i] = now();
    }
    return NULL;
}

/* A new thread may stay on its creator's CPU for a while, so each is bound to a CPU of its own. */
static int start(pthread_t *handle, struct member *member, const cpu_set_t *allowed) {
    int skip = member->thread % CPU_COUNT(allowed), cpu = 0;
    while (!CPU_ISSET(cpu, allowed) || skip-- > 0) cpu++;
    cpu_set_t set;
    pthread_attr_t attributes;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_attr_init(&attributes);
    pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
    int status = pthread_create(handle, &attributes, take_part, member);
    pthread_attr_destroy(&attributes);
    return status;
}

/* Sets `seconds` of each repeat, from the first thread's start to the last thread's end. Returns 0,
 * or -1 for lack of memory. */
static int run_team(void (*work)(const void *, int, int), const void *argument, int threads,
                    int repeats, double *seconds) {
    struct team team = {.work = work, .argument = argument, .threads = threads, .repeats = repeats};
    struct member *members = malloc(sizeof *members * (size_t)threads);
    pthread_t *handles = malloc(sizeof *handles * (size_t)threads);
    team.began = malloc(sizeof(double) * (size_t)(threads * repeats));
    team.ended = malloc(sizeof(double) * (size_t)(threads * repeats));
    int status = -1;
    if (!members || !handles || !team.began || !team.ended) goto done;
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof allowed, &allowed);
    for (int t = 0; t < threads; t++) {
        members[t] = (struct member){&team, t};
        if (start(&handles[t], &members[t], &allowed))
            abort(); /* threads that wait at the barrier cannot be stopped */
    }
    for (int t = 0; t < threads; t++) pthread_join(handles[t], NULL);
    for (int i = 0; i < repeats; i++) {
        double began = INFINITY, ended = 0;
        for (int t = 0; t < threads; t++) {
            began = fmin(began, team.began[t * repeats + i]);
            ended = fmax(ended, team.ended[t * repeats + i]);
        }
        seconds[i] = ended - began;
    }
    status = 0;
done:
    free(members);
    free(handles);
    free(team.began);
    free(team.ended);
    return status;
}

/* ---- multiply-adds --------------------------------------------------------------------------- */

struct fma_job {
    const struct isa *isa;
    int chains;
    int64_t n;
};

static void work_fma(const void *argument, int thread, int threads) {
    const struct fma_job *job = argument;
    (void)thread, (void)threads;
    job->isa->fma_loop(job->chains, job->n);
}

/* Runs n rounds of `chains` (8, 10, 12 or 16) independent multiply-adds in each thread and sets
 * seconds[repeats]. Returns the float32 operations of all threads, two for a multiply-add, or -1
 * for lack of memory. */
double roof_fma(int isa, int chains, int64_t n, int threads, int repeats, double *seconds) {
    struct fma_job job = {&isas[isa], chains, n};
    if (run_team(work_fma, &job, threads, repeats, seconds)) return -1;
    return 2.0 * chains * isas[isa].lanes * (double)n * threads;
}

/* ---- memory ---------------------------------------------------------------------------------- */

struct stream_job {
    const struct isa *isa;
    const struct traffic *traffic;
    const char *x;
    char *y;
    int64_t x_lines, y_lines, passes;
};

static void work_stream(const void *argument, int thread, int threads) {
    const struct stream_job *job = argument;
    int64_t x0 = job->x_lines * thread / threads, x1 = job->x_lines * (thread + 1) / threads;
    int64_t y0 = job->y_lines * thread / threads, y1 = job->y_lines * (thread + 1) / threads;
    for (int64_t i = 0; i < job->passes; i++)
        job->isa->stream(job->traffic, job->x + 64 * x0, x1 - x0, job->y + 64 * y0, y1 - y0);
}

/* Reads x_lines cache lines at x and writes y_lines at y (64-byte aligned), `passes` times over,
 * and sets seconds[repeats]. Returns the bytes moved, or -1 for lack of memory. */
double roof_stream(int isa, const struct traffic *traffic, const void *x, int64_t x_lines, void *y,
                   int64_t y_lines, int64_t passes, int threads, int repeats, double *seconds) {
    struct stream_job job = {&isas[isa], traffic, x, y, x_lines, y_lines, passes};
    if (run_team(work_stream, &job, threads, repeats, seconds)) return -1;
    return 64.0 * (double)(x_lines + y_lines) * (double)passes;
}
