/* Pixels that miss some channels, but not too many: sums over the channels that they have. */
#ifndef PW_CONV_PRESENT_H
#define PW_CONV_PRESENT_H

#include "conv/tiles.h"

/* The panel of an item. */
typedef struct pw_present_panel {
    const char *packed; /* by pw_pack_present */
    pw_matrix x;        /* from the first pixel of P on */
    const char *mask;   /* from the first pixel of P and channel 0 on; NULL: none */
    pw_matrix r;        /* from pixel `from` on; r.at NULL: none */
    pw_convert y_swap;  /* of y; NULL: none */
    int64_t c, k;       /* the group's first channels of x and of y */
    int64_t from, pixels;
    /* pw_run_strip, which is above this unit. */
    void (*run_strip)(const pw_plan *, const pw_strip *, int64_t prefix, char *scratch);
} pw_present_panel;

/* Whether some pixels may do with some channels. Then plan->present is to be a plan of `product`. */
int pw_present_problem(pw_plan *, pw_problem *product);
/* Bytes in scratch, and after the packed weights of a group; 0 without plan->present. */
size_t pw_present_scratch(const pw_plan *);
size_t pw_present_packed(const pw_plan *);
void pw_pack_present(const pw_plan *, const char *w, ptrdiff_t w_k, ptrdiff_t w_c, const char *bias,
                     ptrdiff_t bias_step, char *packed);
/* Computes the pixels of a panel whose flags are set, into scratch, and returns how many. It does
 * not write y, which may be x or the residual. */
int64_t pw_sum_present(const pw_plan *, const pw_present_panel *, const uint8_t *flags,
                       char *scratch);
/* Stores these n pixels of the panel in y, which begins at the panel's first pixel. */
void pw_put_present(const pw_plan *, pw_matrix y, int64_t n, const char *scratch);

#endif
