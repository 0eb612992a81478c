/* How the gradients of one problem will be summed. */
#ifndef PW_GRADIENT_PLAN_H
#define PW_GRADIENT_PLAN_H

#include "plan.h"

typedef enum { PW_IN_PLACE, PW_AS_PLANES, PW_AS_ROWS } pw_staging;

/* x or y. Strides are in bytes. */
typedef struct pw_operand {
    const ptrdiff_t *outer; /* of the plan's problem */
    ptrdiff_t c, p;
    int64_t channels;  /* of a group */
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
    int64_t a_parts, b_parts, items;
} pw_gradient_cut;
pw_gradient_cut pw_gradient_items(const pw_gradient *, int threads);

/* Channels of one of these parts: the first, and how many. */
static inline void pw_gradient_part(int64_t n, int64_t unit, int64_t part, int64_t parts,
                                    int64_t *first, int64_t *count) {
    const int64_t units = pw_ceil_div(n, unit);
    *first = units * part / parts * unit;
    *count = pw_min(n, units * (part + 1) / parts * unit) - *first;
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

#endif
