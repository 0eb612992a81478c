/* Items of a call, which its threads take one by one. Each begins with a share of its own, the same
 * in every call, whose pixels its cache may still have; then it helps with the others. */
#ifndef PW_SHARES_H
#define PW_SHARES_H

#include <stdatomic.h>
#include <stdint.h>

/* With more threads several begin with the same. */
enum { PW_MOST_SHARES = 64 };

/* Consecutive items, of which a thread takes the next. */
typedef struct pw_share {
    _Alignas(64) atomic_llong next;
    int64_t end;
} pw_share;

typedef struct pw_shares {
    int n;
    pw_share share[PW_MOST_SHARES];
} pw_shares;

static inline void pw_share_out(pw_shares *shares, int64_t items, int threads) {
    shares->n = threads < PW_MOST_SHARES ? threads : PW_MOST_SHARES;
    for (int i = 0; i < shares->n; i++) {
        atomic_init(&shares->share[i].next, items * i / shares->n);
        shares->share[i].end = items * (i + 1) / shares->n;
    }
}

/* The next item for a thread, -1 when there is none; `turn`, 0 at first, is where it has got to. */
static inline int64_t pw_next_item(pw_shares *shares, int thread, int *turn) {
    for (; *turn < shares->n; ++*turn) {
        pw_share *share = &shares->share[(thread + *turn) % shares->n];
        const int64_t item = atomic_fetch_add(&share->next, 1);
        if (item < share->end) return item;
    }
    return -1;
}

#endif
