/* Checks that long calls of every kind stop when the hook says so, and that what the hook does
 * leaves them alone. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/scratch.h"
#include "conv/plan.h"
#include "threads/pool.h"
#include "threads/shares.h"

static long passed, failed;

static void expect(int so, const char *what) {
    so ? passed++ : failed++;
    if (!so) printf("FAILED: %s\n", what);
}

int64_t __real_pw_cache_bytes(int level);
int64_t __wrap_pw_cache_bytes(int level);
static int64_t cache_bytes;
int64_t __wrap_pw_cache_bytes(int level) {
    return cache_bytes ? cache_bytes : __real_pw_cache_bytes(level);
}

/* Each look at the monotonic clock advances it by a second, so that the hook is asked each time. */
static atomic_long looks;
int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time) {
    const int status = __real_clock_gettime(clock, time);
    if (clock == CLOCK_MONOTONIC) time->tv_sec += atomic_fetch_add(&looks, 1);
    return status;
}

enum { PIXELS = 80000, CHANNELS = 32, FLOATS = PIXELS * CHANNELS };
static float x[FLOATS], y[FLOATS], wanted[FLOATS], w[CHANNELS * CHANNELS];
static float scales[CHANNELS];
static int32_t zeros[CHANNELS];
_Alignas(64) static char packed[1 << 16];

/* The pixels of x are not contiguous, so that it is staged. */
static pw_problem problem(int64_t C, int64_t K) {
    return (pw_problem){.components = 1,
                        .C = C,
                        .K = K,
                        .groups = 1,
                        .P = PIXELS,
                        .x_c = sizeof(float),
                        .x_p = CHANNELS * sizeof(float),
                        .y_k = PIXELS * sizeof(float),
                        .y_p = sizeof(float),
                        .activation = PW_ACT_RELU};
}

static const pw_kernel_set *best_set(void) {
    int i = 0;
    while (!pw_kernel_set_works(pw_kernel_set_at(i))) i++;
    return pw_kernel_set_at(i);
}

static pw_status convolve(int threads) {
    const pw_problem p = problem(CHANNELS, CHANNELS);
    pw_plan *plan = pw_plan_new(best_set(), &p);
    const pw_status status = pw_conv(plan, w, CHANNELS * sizeof(float), sizeof(float), NULL, 0, x,
                                     NULL, NULL, y, threads);
    pw_plan_free(plan);
    return status;
}

static pw_status run_chain(int threads) {
    const pw_problem first = problem(CHANNELS, CHANNELS), last = problem(CHANNELS, CHANNELS - 1);
    const pw_problem *const layers[] = {&first, &last};
    pw_plan *chain = pw_chain_new(best_set(), layers, 2);
    char *to = packed;
    for (int i = 0; i < 2; i++) {
        pw_pack(pw_chain_layer(chain, i), w, CHANNELS * sizeof(float), sizeof(float), NULL, 0, to);
        to += pw_packed_bytes(pw_chain_layer(chain, i));
    }
    const pw_status status = pw_run(chain, packed, x, NULL, NULL, y, threads);
    pw_plan_free(chain);
    return status;
}

/* The weights are too large for these caches, so batches of pixels go through layer after layer. */
static pw_status run_batches(int threads) {
    cache_bytes = 4096;
    const pw_status status = run_chain(threads);
    cache_bytes = 0;
    return status;
}

static pw_status run_branches(int threads) {
    const pw_problem p = problem(CHANNELS, CHANNELS / 2);
    pw_plan *plan = pw_plan_new(best_set(), &p);
    pw_pack(plan, w, CHANNELS * sizeof(float), sizeof(float), NULL, 0, packed);
    const pw_plan *const plans[] = {plan, plan};
    const void *const weights[] = {packed, packed};
    void *const to[] = {y, y + FLOATS / 2};
    const pw_status status = pw_run_branches(plans, weights, 2, x, to, threads);
    pw_plan_free(plan);
    return status;
}

static pw_status run_gradient(int threads) {
    pw_problem p = problem(CHANNELS, CHANNELS);
    p.y_k = sizeof(float), p.y_p = CHANNELS * sizeof(float);
    pw_gradient *plan = pw_gradient_new(best_set(), &p);
    const pw_status status = pw_gradient_run(plan, x, x, y, NULL, threads);
    pw_gradient_free(plan);
    return status;
}

static pw_status run_quantised(int threads) {
    const pw_qproblem q = {.C = CHANNELS,
                           .K = CHANNELS,
                           .P = FLOATS / CHANNELS,
                           .x_c = 1,
                           .x_p = CHANNELS,
                           .y_k = FLOATS / CHANNELS,
                           .y_p = 1,
                           .x_zero = 3,
                           .hi = 255,
                           .w_zero = zeros,
                           .scale = scales};
    pw_qplan *plan = pw_qplan_new(pw_qkernels_at(best_set(), 0), &q);
    const pw_status status = pw_qconv(plan, w, CHANNELS, 1, NULL, 0, x, y, threads);
    pw_qplan_free(plan);
    return status;
}

static int asked, stop_at;

/* A hook that overwrites much scratch, which must not be that of the call it interrupts. */
static int ask(void) {
    char *scratch = pw_thread_scratch(8 << 20);
    expect(scratch != NULL, "a hook gets scratch");
    memset(scratch, 0xa5, 8 << 20);
    return ++asked == stop_at;
}

static const struct {
    const char *name;
    pw_status (*run)(int threads);
} kinds[] = {{"convolution", convolve},  {"chain", run_chain},       {"batches", run_batches},
             {"branches", run_branches}, {"gradient", run_gradient}, {"quantised", run_quantised}};

/* Runs until the hook is asked: on a busy machine other threads may do all the work before the
 * caller looks at the clock twice. */
static pw_status run_asking(int kind, int threads, int stop) {
    pw_status status = PW_OK;
    asked = 0, stop_at = stop;
    for (int runs = 0; runs < (threads > 1 ? 200 : 1) && !asked; runs++) {
        memset(y, 0x55, sizeof y);
        status = kinds[kind].run(threads);
    }
    return status;
}

static void check_kind(int kind) {
    pw_set_interrupt(NULL);
    memset(y, 0x55, sizeof y);
    expect(kinds[kind].run(1) == PW_OK, kinds[kind].name);
    memcpy(wanted, y, sizeof y);
    pw_set_interrupt(ask);
    for (int threads = 1; threads <= 3; threads += 2) {
        expect(run_asking(kind, threads, 0) == PW_OK, kinds[kind].name);
        expect(asked > 0, "a hook is asked");
        expect(!memcmp(y, wanted, sizeof y), "a call goes on after its hook");
        expect(run_asking(kind, threads, 1) == PW_INTERRUPTED, "a call is interrupted");
        expect(asked == 1, "once");
        /* With more threads, the others may have done the rest while the hook was running. */
        if (threads == 1) expect(memcmp(y, wanted, sizeof y) != 0, "before it is complete");
    }
    if (failed) printf("    %s\n", kinds[kind].name);
}

static void check_interrupts(void) {
    for (int64_t i = 0; i < FLOATS; i++) x[i] = (float)(i * 7919 % 2001 - 1000) / 1024;
    for (int i = 0; i < CHANNELS * CHANNELS; i++) w[i] = (float)(i * 6007 % 2001 - 1000) / 1024;
    for (int i = 0; i < CHANNELS; i++) scales[i] = 0x1p-10f;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) check_kind((int)i);
    /* Short calls do not ask the hook. */
    const pw_problem p = {.components = 1,
                          .C = 3,
                          .K = 3,
                          .groups = 1,
                          .P = 5,
                          .x_c = 20,
                          .x_p = 4,
                          .y_k = 20,
                          .y_p = 4};
    pw_plan *plan = pw_plan_new(best_set(), &p);
    asked = stop_at = 0;
    for (int i = 0; i < 1000; i++) pw_conv(plan, w, 12, 4, NULL, 0, x, NULL, NULL, y, 1);
    expect(asked == 0, "short calls ask nobody");
    pw_plan_free(plan);
    pw_set_interrupt(NULL);
}
