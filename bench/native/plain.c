/* The peer "plain C": loops without intrinsics, written so that the compiler vectorises them, and
 * compiled with -O3 -march=native, for contiguous float32 without an epilogue. Of the loop orders
 * and tiles that were tried with gcc 12 and clang 14, these are the fastest with either. */

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    PANEL = 1024, /* pixels whose channels stay in level 2 */
    TILE = 16,    /* output channels whose sums stay in registers */
    MAX_THREADS = 256
};

struct job {
    const float *w, *x;
    float *y;
    int64_t C, K, P;
    int64_t begin, end; /* pixels */
};

/* Computes output channels k0 and k1 of n pixels from p0 on. k1 is k0 + 1, or k0 at the end of an
 * odd K: then one result is discarded. */
static void planar_pair(const struct job *job, int64_t k0, int64_t k1, int64_t p0, int64_t n) {
    const int64_t C = job->C, P = job->P;
    const float *u = job->w + k0 * C, *v = job->w + k1 * C;
    float *restrict y0 = job->y + k0 * P + p0;
    float odd[PANEL];
    float *restrict y1 = k1 == k0 ? odd : job->y + k1 * P + p0;
    memset(y0, 0, sizeof(float) * (size_t)n);
    memset(y1, 0, sizeof(float) * (size_t)n);
    int64_t c = 0;
    for (; c + 4 <= C; c += 4) {
        const float *x0 = job->x + c * P + p0, *x1 = x0 + P, *x2 = x1 + P, *x3 = x2 + P;
        const float u0 = u[c], u1 = u[c + 1], u2 = u[c + 2], u3 = u[c + 3];
        const float v0 = v[c], v1 = v[c + 1], v2 = v[c + 2], v3 = v[c + 3];
        for (int64_t p = 0; p < n; p++) {
            y0[p] += u0 * x0[p] + u1 * x1[p] + u2 * x2[p] + u3 * x3[p];
            y1[p] += v0 * x0[p] + v1 * x1[p] + v2 * x2[p] + v3 * x3[p];
        }
    }
    for (; c < C; c++) {
        const float *xc = job->x + c * P + p0;
        const float uc = u[c], vc = v[c];
        for (int64_t p = 0; p < n; p++) {
            y0[p] += uc * xc[p];
            y1[p] += vc * xc[p];
        }
    }
}

static void *planar(void *argument) {
    const struct job *job = argument;
    for (int64_t p = job->begin; p < job->end; p += PANEL) {
        int64_t n = job->end - p < PANEL ? job->end - p : PANEL;
        for (int64_t k = 0; k < job->K; k += 2)
            planar_pair(job, k, k + 1 < job->K ? k + 1 : k, p, n);
    }
    return NULL;
}

/* Here w is (C, K rounded up to TILE). */
static void *interleaved(void *argument) {
    const struct job *job = argument;
    const int64_t C = job->C, K = job->K, padded = (K + TILE - 1) / TILE * TILE;
    for (int64_t p = job->begin; p < job->end; p += 4) {
        const int64_t n = job->end - p < 4 ? job->end - p : 4;
        const float *x0 = job->x + p * C;
        const float *x1 = n > 1 ? x0 + C : x0, *x2 = n > 2 ? x1 + C : x0, *x3 = n > 3 ? x2 + C : x0;
        for (int64_t k0 = 0; k0 < K; k0 += TILE) {
            float s0[TILE], s1[TILE], s2[TILE], s3[TILE];
            for (int i = 0; i < TILE; i++) s0[i] = s1[i] = s2[i] = s3[i] = 0;
            for (int64_t c = 0; c < C; c++) {
                const float *wc = job->w + c * padded + k0;
                const float a0 = x0[c], a1 = x1[c], a2 = x2[c], a3 = x3[c];
                for (int i = 0; i < TILE; i++) {
                    s0[i] += a0 * wc[i];
                    s1[i] += a1 * wc[i];
                    s2[i] += a2 * wc[i];
                    s3[i] += a3 * wc[i];
                }
            }
            const float *const sums[4] = {s0, s1, s2, s3};
            const size_t bytes = sizeof(float) * (size_t)(K - k0 < TILE ? K - k0 : TILE);
            for (int64_t j = 0; j < n; j++) memcpy(job->y + (p + j) * K + k0, sums[j], bytes);
        }
    }
    return NULL;
}

/* The next CPU after `last` that the process may use. Each thread gets its own, because a new
 * thread may stay on its creator's CPU for longer than the work takes. */
static int next_cpu(const cpu_set_t *allowed, int last) {
    int cpu = last;
    do cpu = (cpu + 1) % CPU_SETSIZE;
    while (!CPU_ISSET(cpu, allowed) && cpu != last);
    return cpu;
}

static int start(pthread_t *handle, void *(*work)(void *), struct job *part, int cpu) {
    cpu_set_t set;
    pthread_attr_t attributes;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_attr_init(&attributes);
    pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
    int status = pthread_create(handle, &attributes, work, part);
    pthread_attr_destroy(&attributes);
    return status;
}

static int run(void *(*work)(void *), const struct job *whole, int threads) {
    struct job parts[MAX_THREADS];
    pthread_t handles[MAX_THREADS];
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    int made = 0;
    for (int t = 0; t < threads; t++) {
        parts[t] = *whole;
        parts[t].begin = whole->P * t / threads;
        parts[t].end = whole->P * (t + 1) / threads;
    }
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof allowed, &allowed);
    int cpu = sched_getcpu();
    for (int t = 1; t < threads; t++, made++) {
        cpu = next_cpu(&allowed, cpu);
        if (start(&handles[t], work, &parts[t], cpu)) break;
    }
    work(&parts[0]);
    for (int t = 1; t <= made; t++) pthread_join(handles[t], NULL);
    return made == threads - 1 ? 0 : -1;
}

/* y (K, P) = w (K, C) @ x (C, P). Returns 0, or -1 if threads cannot be started. */
int plain_planar(const float *w, const float *x, float *y, int64_t C, int64_t K, int64_t P,
                 int threads) {
    struct job job = {w, x, y, C, K, P, 0, P};
    return run(planar, &job, threads);
}

/* y (P, K) = x (P, C) @ w.T, with w (K, C). Returns 0, or -1 for lack of threads or memory. */
int plain_interleaved(const float *w, const float *x, float *y, int64_t C, int64_t K, int64_t P,
                      int threads) {
    const int64_t padded = (K + TILE - 1) / TILE * TILE;
    float *turned = calloc((size_t)(C * padded), sizeof(float));
    if (!turned) return -1;
    for (int64_t c = 0; c < C; c++)
        for (int64_t k = 0; k < K; k++) turned[c * padded + k] = w[k * C + c];
    struct job job = {turned, x, y, C, K, P, 0, P};
    int status = run(interleaved, &job, threads);
    free(turned);
    return status;
}
