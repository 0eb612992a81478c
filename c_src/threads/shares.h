/* Items of a call, which its threads take one by one. Each thread begins with a share of its own,
 * the same in every call, whose pixels its cache may still hold. Then it helps with the others. */
#ifndef PW_THREADS_SHARES_H
#define PW_THREADS_SHARES_H

#include <stdatomic.h>
#include <stdint.h>

#include "pointwise.h"

/* With more threads than this, several begin with the same share. */
enum { PW_MOST_SHARES = 64 };

/* Consecutive items; threads take the next one. */
typedef struct pw_share {
    _Alignas(64) atomic_llong next;
    int64_t end;
} pw_share;

typedef struct pw_shares {
    int n;
    int alone; /* one thread, which takes an item without locking the bus: 5 ns of a call of 450 */
    /* Written by the caller's thread: items left before it looks at the clock, items between looks,
     * when it next asks the hook whether to stop (0: not before the first look), and whether it was
     * told to. */
    int64_t until_look, look_every, next_question;
    atomic_int interrupted;
    pw_share share[PW_MOST_SHARES];
} pw_shares;

/* Items that each thread should get at least, because cores are not equally fast. */
enum { PW_ITEMS_PER_THREAD = 12 };
/* Most multiply-adds of an item, if pixels can be divided, because a call stops only between items:
 * about 30 ms with scalar kernels, less than one with others. */
enum { PW_ITEM_WORK = 1 << 25 };
/* Runs pw_parallel with no more threads than items; pw_next_item hands the items out.
 * PW_INTERRUPTED: some were not computed. */
pw_status pw_spread(pw_shares *, int64_t items, double multiply_adds, int threads,
                    void (*work)(void *, int), void *argument);
/* The same, but all threads take from one share. */
pw_status pw_spread_in_order(pw_shares *, int64_t items, double multiply_adds, int threads,
                             void (*work)(void *, int), void *argument);
/* `threads`, or 1 if there are too few multiply-adds to wake another thread for. */
int pw_worth_threads(double multiply_adds, int threads);
/* Asks the hook whether to stop, if it is time. *next: when to ask next; 0 as a call begins. */
int pw_is_interrupted(int64_t *next);

/* Asks the hook, if it is time; if it says stop, leaves no items and returns 1. */
int pw_stop_if_interrupted(pw_shares *shares);

/* Whether a thread is to go on. For work inside an item that takes long. */
static inline int pw_goes_on(pw_shares *shares, int thread) {
    if (thread == 0 && --shares->until_look < 0) return !pw_stop_if_interrupted(shares);
    return !atomic_load_explicit(&shares->interrupted, memory_order_relaxed);
}

static inline int64_t take_item(pw_share *share, int alone) {
    if (!alone) return atomic_fetch_add(&share->next, 1);
    const int64_t item = atomic_load_explicit(&share->next, memory_order_relaxed);
    atomic_store_explicit(&share->next, item + 1, memory_order_relaxed);
    return item;
}

/* The next item for a thread; -1: none is left. *turn counts the shares it is done with, from 0. */
static inline int64_t pw_next_item(pw_shares *shares, int thread, int *turn) {
    if (thread == 0 && --shares->until_look < 0 && pw_stop_if_interrupted(shares)) return -1;
    for (; *turn < shares->n; ++*turn) {
        pw_share *share = &shares->share[shares->n == 1 ? 0 : (thread + *turn) % shares->n];
        const int64_t item = take_item(share, shares->alone);
        if (item < share->end) return item;
    }
    return -1;
}

#endif
