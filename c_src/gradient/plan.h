/* How the gradients of one problem will be summed. */
#ifndef PW_GRADIENT_PLAN_H
#define PW_GRADIENT_PLAN_H

#include "base/math.h"
#include "isa/types.h"
#include "pointwise.h"

typedef enum { PW_IN_PLACE, PW_AS_PLANES, PW_AS_ROWS } pw_staging;

/* x or y. Strides are in bytes. */
typedef struct pw_operand {
    const ptrdiff_t *outer; /* strides, in the plan's problem */
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
    int prefetch;   /* what comes next is fetched into level 2 */
    int far;        /* fetch the whole next block; else, of b, only the next planes */
    int64_t row;    /* pixels of a row, whose ends no block crosses */
    int64_t block;  /* pixels of a block; a row's last has what is left */
    int64_t in_row; /* blocks in a row */
    int64_t blocks; /* in all rows */
    int64_t segments;
    int64_t unit_a, unit_b; /* channels of which tiles take multiples */
    int64_t most_a, most_b; /* channels of a tile: what scratch holds */
    int64_t room;           /* pixels of a plane in scratch */
    struct {
        size_t a, b, gathered, sums, bias, ones, bytes;
    } scratch; /* where a thread's regions begin, in bytes, 64-byte aligned; and the bytes of all */
    char description[160];
};

/* Pixels that are gathered at once to become a panel, and the room for them in a plane. */
enum { PW_GATHERED = 64, PW_GATHERED_ROOM = 80 };

/* Items: a_splits by b_splits tiles for each group, and for each segment or for all of them. */
typedef struct pw_gradient_cut {
    int64_t a_splits, b_splits, items;
} pw_gradient_cut;
pw_gradient_cut pw_gradient_items(const pw_gradient *, int threads);

/* The first channel of one of these splits, and how many it has. */
static inline void pw_gradient_split(int64_t n, int64_t unit, int64_t split, int64_t splits,
                                     int64_t *first, int64_t *count) {
    const int64_t units = pw_ceil_div(n, unit);
    *first = units * split / splits * unit;
    *count = pw_min(n, units * (split + 1) / splits * unit) - *first;
}

static inline ptrdiff_t pw_gradient_size(const pw_gradient *plan) {
    return (ptrdiff_t)pw_size(plan->problem.dtype);
}

/* Whether pixels must be gathered in planes before they become a panel. */
static inline int pw_gradient_gathers(const pw_operand *o, ptrdiff_t size) {
    return o->swapped || (o->p != size && o->c != size);
}

/* Whether the sums of a tile are results: no other segments to add, nothing to transpose. */
static inline int pw_gradient_is_direct(const pw_gradient *plan) {
    return plan->segments == 1 && !plan->swapped;
}

/* Bytes of a segment's sums for all weights, and with those for the bias after them. */
static inline int64_t pw_gradient_weight_bytes(const pw_gradient *plan) {
    return plan->problem.groups * plan->a.channels * plan->b.channels *
           (int64_t)pw_size(plan->problem.dtype);
}
static inline int64_t pw_gradient_segment_bytes(const pw_gradient *plan) {
    const int64_t bias = plan->problem.K * (int64_t)pw_size(plan->problem.dtype);
    return pw_round_up(pw_gradient_weight_bytes(plan) + bias, 64);
}

/* Vectors that one kernel call takes, from vector `first` of b's n_b channels on. */
static inline int pw_gradient_vectors(const pw_gradient *plan, int64_t n_b, int64_t first) {
    const int64_t left = pw_ceil_div(n_b, plan->kernels->vector) - first;
    return (int)pw_ceil_div(left, pw_ceil_div(left, plan->kernels->interleaved_nr_max));
}

static inline int pw_gradient_columns(const pw_gradient *plan, int64_t n_b, int64_t first,
                                      int64_t vectors) {
    const int64_t vector = plan->kernels->vector;
    return (int)(pw_min((first + vectors) * vector, n_b) - first * vector);
}

/* The functions of gradient/stage.c. */
typedef struct pw_span {
    int64_t from, n; /* pixels, counted over all outer axes */
} pw_span;
/* The operand in its array, which begins at `at`: from `channel` and `pixel` on. */
pw_matrix pw_gradient_in_place(const pw_gradient *, const pw_operand *, const char *at,
                               int64_t channel, int64_t pixel);
/* The same for n_c channels of a span, copied to scratch if the operand is staged. */
pw_matrix pw_gradient_staged(const pw_gradient *, const pw_operand *, const char *at,
                             int64_t channel, int64_t n_c, pw_span, char *scratch);
/* Makes the panel of a block of b: for each kernel call, pixels by its channels, padded. */
void pw_gradient_panel(const pw_gradient *, const char *at, int64_t channel, int64_t n_b, pw_span,
                       char *scratch);

#endif
