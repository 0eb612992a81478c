/* Items of a call, which its threads take one by one. Each begins with a share of its own, the same
 * in every call, whose pixels its cache may still have; then it helps with the others. */
#ifndef PW_THREADS_SHARES_H
#define PW_THREADS_SHARES_H

#include <stdatomic.h>
#include <stdint.h>

#include "pointwise.h"

/* With more threads several begin with the same. */
enum { PW_MOST_SHARES = 64 };

/* Consecutive items, of which a thread takes the next. */
typedef struct pw_share {
    _Alignas(64) atomic_llong next;
    int64_t end;
} pw_share;

typedef struct pw_shares {
    int n;
    int alone; /* one thread, which need not lock the bus for an item: 5 ns of a call of 450 */
    /* What the caller's thread keeps: items before it looks at the clock, now and each time; when it asks
     * the hook next whether to stop, 0: not for the time being; and whether it was told to. */
    int64_t until_look, look_every, next_question;
    atomic_int interrupted;
    pw_share share[PW_MOST_SHARES];
} pw_shares;

/* Items a thread should get at least, for cores are unequally fast. */
enum { PW_ITEMS_PER_THREAD = 12 };
/* Multiply-adds of an item at most, if pixels can be divided, for a call is stopped between items:
 * some 30 ms by scalar kernels, less than one by others. */
enum { PW_ITEM_WORK = 1 << 25 };
/* pw_parallel with no more threads than items, which pw_next_item hands out. PW_INTERRUPTED: some
 * were not. */
pw_status pw_spread(pw_shares *, int64_t items, double multiply_adds, int threads,
                    void (*work)(void *, int), void *argument);
/* The same; all threads take from one share. */
pw_status pw_spread_in_order(pw_shares *, int64_t items, double multiply_adds, int threads,
                             void (*work)(void *, int), void *argument);
/* `threads`, or 1 where so few multiply-adds are not worth waking another for. */
int pw_worth_threads(double multiply_adds, int threads);
/* Asks the hook whether to stop, if it is time. `next`: when that will be, 0 as a call begins. */
int pw_is_interrupted(int64_t *next);

/* Whether no more items are to be taken. */
int pw_stop_if_interrupted(pw_shares *shares);

/* Whether a thread is to go on; for what takes long inside of an item. */
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

/* The next item for a thread, -1 when there is none; `turn`, 0 at first, is where it has got to. */
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
