/* Kernel calls over the pixels of a panel. */
#ifndef PW_CONV_TILES_H
#define PW_CONV_TILES_H

#include "conv/plan.h"

/* A panel of pixels of one outer index and group of channels, for some of the blocks. */
typedef struct pw_item {
    const char *x, *mask; /* of the first pixel of P, y and r of the item's */
    const char *packed, *r;
    char *y;
    int64_t c, k; /* of x and y: the group's first channel */
    int64_t from, pixels;
    int64_t unaligned_prefix; /* pixels of it before y is aligned */
    ptrdiff_t to_next;        /* bytes to x of the next outer index; 0: there is none to fetch */
    int first_block, end_block;
} pw_item;

/* Some of the input channels of an item. */
typedef struct pw_pass {
    int64_t c, channels;
    int first, last;
    int stream;        /* where y is aligned */
    const char *gaps;  /* for kernels that fill them */
    const char *next;  /* rows of x to fetch; NULL: none */
    pw_matrix x, y, r; /* as the kernels shall see them; from the item's first channel on */
    char *acc;
} pw_pass;

/* All blocks of an item, over one tile of pixels after the other. */
void pw_run_tiles(const pw_plan *, const pw_item *, const pw_pass *);

/* Channels of an array before channel c, where they may come in pairs. */
static inline int64_t pw_per_component(const pw_problem *p, int64_t c) {
    return p->components == 1 ? c : c / 2;
}

#endif
