/* How the gradients of one problem will be summed. */
#ifndef PW_GRADIENT_PLAN_H
#define PW_GRADIENT_PLAN_H

#include "base/math.h"
#include "isa/types.h"

typedef enum { PW_IN_PLACE, PW_AS_PLANES, PW_AS_ROWS } pw_staging;

/* x or y. Strides are in bytes. */
typedef struct pw_operand {
    const ptrdiff_t *outer; /* of the plan's problem */
    ptrdiff_t c, p;
    int64_t channels;  /* of a group */
    int swapped;       /* in the other byte order */
    int one_run;       /* all pixels are p bytes apart, those of other outer indices too */
    pw_staging staged; /* through scratch */
} pw_operand;

/* Sums over pixels of a[i, p] * b[j, p]. */
struct pw_gradient {
    pw_problem problem;
    const pw_kernels *kernels;
    pw_operand a, b;
    int dots;       /* dot products of planes; else a times panels of b */
    int swapped;    /* a is x and b is y; else a is y and b is x */
    int joined;     /* blocks go on from one outer index to the next */
    int by_segment; /* sums of every segment are kept until all are done */
    int prefetch;   /* what comes next, into level 2 */
    int far;        /* the whole next block, else of b no more than the next planes */
    int64_t row;    /* pixels in which blocks do not cross an end */
    int64_t block;  /* pixels; of a row's last one, what is left */
    int64_t in_row; /* blocks in a row */
    int64_t blocks; /* in all rows */
    int64_t segments;
    int64_t unit_a, unit_b; /* channels of which tiles take multiples */
    int64_t most_a, most_b; /* channels of a tile: what scratch holds */
    int64_t room;           /* pixels of a plane in scratch */
    struct {
        size_t a, b, gathered, sums, bias, ones, bytes;
    } scratch; /* of a thread, in bytes from its start; 64-byte aligned */
    char description[160];
};

/* Pixels that are gathered before they become a panel, and room for them. */
enum { PW_GATHERED = 64, PW_GATHERED_ROOM = 80 };

/* Items that threads take: of each group, tiles of a by tiles of b, of each segment or all. */
typedef struct pw_gradient_cut {
    int64_t a_splits, b_splits, items;
} pw_gradient_cut;
pw_gradient_cut pw_gradient_items(const pw_gradient *, int threads);

/* Channels of one of these splits: the first, and how many. */
static inline void pw_gradient_split(int64_t n, int64_t unit, int64_t split, int64_t splits,
                                     int64_t *first, int64_t *count) {
    const int64_t units = pw_ceil_div(n, unit);
    *first = units * split / splits * unit;
    *count = pw_min(n, units * (split + 1) / splits * unit) - *first;
}

static inline ptrdiff_t pw_gradient_size(const pw_gradient *plan) {
    return (ptrdiff_t)pw_size(plan->problem.dtype);
}

/* Whether panels of pixels are not made of them as they lie. */
static inline int pw_gradient_gathers(const pw_operand *o, ptrdiff_t size) {
    return o->swapped || (o->p != size && o->c != size);
}

/* Whether nothing has to be added to, or turned round after, the sums of a tile. */
static inline int pw_gradient_is_direct(const pw_gradient *plan) {
    return plan->segments == 1 && !plan->swapped;
}

/* Bytes that the sums of a segment take: of all weights, then of the bias. */
static inline int64_t pw_gradient_weight_bytes(const pw_gradient *plan) {
    return plan->problem.groups * plan->a.channels * plan->b.channels *
           (int64_t)pw_size(plan->problem.dtype);
}
static inline int64_t pw_gradient_segment_bytes(const pw_gradient *plan) {
    const int64_t bias = plan->problem.K * (int64_t)pw_size(plan->problem.dtype);
    return pw_round_up(pw_gradient_weight_bytes(plan) + bias, 64);
}

/* Vectors of b's channels that one kernel call takes, of n_b, from number `first` on. */
static inline int pw_gradient_vectors(const pw_gradient *plan, int64_t n_b, int64_t first) {
    const int64_t left = pw_ceil_div(n_b, plan->kernels->vector) - first;
    return (int)pw_ceil_div(left, pw_ceil_div(left, plan->kernels->interleaved_nr_max));
}

static inline int pw_gradient_columns(const pw_gradient *plan, int64_t n_b, int64_t first,
                                      int64_t vectors) {
    const int64_t vector = plan->kernels->vector;
    return (int)(pw_min((first + vectors) * vector, n_b) - first * vector);
}

/* gradient_stage.c */
typedef struct pw_span {
    int64_t from, n; /* pixels, counted over all outer axes */
} pw_span;
/* Channels from `channel` on, of the pixels from `pixel` on. */
pw_matrix pw_gradient_in_place(const pw_gradient *, const pw_operand *, const char *at,
                               int64_t channel, int64_t pixel);
/* The same of n_c channels, in scratch if it is to be there. */
pw_matrix pw_gradient_staged(const pw_gradient *, const pw_operand *, const char *at,
                             int64_t channel, int64_t n_c, pw_span, char *scratch);
/* The panel of a block of b: for each call of a kernel, pixels by its channels, padded. */
void pw_gradient_panel(const pw_gradient *, const char *at, int64_t channel, int64_t n_b, pw_span,
                       char *scratch);

#endif
