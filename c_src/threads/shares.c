/* Shares out the items of a call among threads, and stops the call between items. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "threads/shares.h"
#include "base/math.h"
#include "base/scratch.h"
#include "threads/pool.h"
#include "pointwise.h"

/* Multiply-adds between looks at the clock. A call of 0.1 ms has fewer. */
static const double look_after = 1e7;

/* Nanoseconds between questions to the hook. */
static const int64_t ask_after = 50000000;

static int (*_Atomic hook)(void);

void pw_set_interrupt(int (*asked)(void)) {
    atomic_store(&hook, asked);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int pw_is_interrupted(int64_t *next) {
    int (*const asked)(void) = atomic_load(&hook);
    const int64_t time = asked ? now() : 0;
    if (!asked || (*next && time < *next)) return 0;
    int interrupted = 0;
    if (*next) {
        /* The hook may make calls in this thread, which would use its scratch. */
        const pw_scratch aside = pw_put_scratch_aside();
        interrupted = asked();
        pw_take_scratch_back(aside);
    }
    *next = now() + ask_after;
    return interrupted;
}

int pw_stop_if_interrupted(pw_shares *shares) {
    shares->until_look = shares->look_every;
    if (!pw_is_interrupted(&shares->next_question)) return 0;
    atomic_store(&shares->interrupted, 1);
    for (int i = 0; i < shares->n; i++) atomic_store(&shares->share[i].next, shares->share[i].end);
    return 1;
}

static void share_out(pw_shares *shares, int64_t items, double multiply_adds, int n) {
    shares->n = n < PW_MOST_SHARES ? n : PW_MOST_SHARES;
    atomic_init(&shares->interrupted, 0);
    shares->next_question = 0;
    shares->look_every = INT64_MAX;
    if (multiply_adds > look_after)
        shares->look_every = (int64_t)(look_after * (double)items / multiply_adds);
    shares->until_look = shares->look_every;
    int64_t end = 0;
    for (int i = 0; i < shares->n; i++) {
        atomic_init(&shares->share[i].next, end);
        shares->share[i].end = end = i + 1 == shares->n ? items : items * (i + 1) / shares->n;
    }
}

/* Multiply-adds that are worth waking a thread for. */
static const double parallel_from = 0.5e6;

int pw_worth_threads(double multiply_adds, int threads) {
    return multiply_adds < parallel_from ? 1 : threads;
}

static pw_status run(pw_shares *shares, int threads, void (*work)(void *, int), void *argument) {
    int all = 1;
    shares->alone = threads == 1;
    if (threads > 1)
        all = pw_parallel(threads, work, argument);
    else
        work(argument, 0);
    return atomic_load(&shares->interrupted) || !all ? PW_INTERRUPTED : PW_OK;
}

pw_status pw_spread(pw_shares *shares, int64_t items, double multiply_adds, int threads,
                    void (*work)(void *, int), void *argument) {
    threads = (int)pw_max(1, pw_min(threads, items));
    share_out(shares, items, multiply_adds, threads);
    return run(shares, threads, work, argument);
}

pw_status pw_spread_in_order(pw_shares *shares, int64_t items, double multiply_adds, int threads,
                             void (*work)(void *, int), void *argument) {
    threads = (int)pw_max(1, pw_min(threads, items));
    share_out(shares, items, multiply_adds, 1);
    return run(shares, threads, work, argument);
}
