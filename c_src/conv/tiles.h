/* Kernel calls over the pixels of a panel. */
#ifndef PW_CONV_TILES_H
#define PW_CONV_TILES_H

#include "conv/plan.h"

/* Pixels of one outer index. x begins at the first pixel of P, y and r at pixel `from`. */
typedef struct pw_strip {
    const char *packed, *x, *r;
    char *y;
    int64_t from, pixels;
} pw_strip;

/* A panel of pixels of one outer index and group of channels, for some of the blocks. x and mask
 * begin at the first pixel of P, y and r at the item's. */
typedef struct pw_item {
    const char *x, *mask;
    const char *packed, *r;
    char *y;
    int64_t c, k; /* the group's first channels of x and of y */
    int64_t from, pixels;
    int64_t unaligned_prefix; /* its pixels before y is aligned */
    ptrdiff_t to_next;        /* bytes to x of the next outer index; 0: there is none to fetch */
    int first_block, end_block;
} pw_item;

/* A pass over an item: some of its input channels, from the group's channel c on. */
typedef struct pw_pass {
    int64_t c, channels;
    int first, last;
    int stream;       /* store past the caches where y is aligned */
    const char *gaps; /* for kernels that fill them */
    const char *next; /* rows of x to fetch; NULL: none */
    /* As kernels see them: x from channel c on, y and r from the item's first block on. */
    pw_matrix x, y, r;
    char *acc;
} pw_pass;

/* Runs all blocks of an item, over one tile of pixels after the other. */
void pw_run_tiles(const pw_plan *, const pw_item *, const pw_pass *);

/* The index of channel c in an array or, if channels come in pairs, that of its pair. */
static inline int64_t pw_per_component(const pw_problem *p, int64_t c) {
    return p->components == 1 ? c : c / 2;
}

#endif
