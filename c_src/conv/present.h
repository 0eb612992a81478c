/* Pixels that miss channels and may do with those they have: sums over what is there. */
#ifndef PW_CONV_PRESENT_H
#define PW_CONV_PRESENT_H

#include "conv/plan.h"

/* What a panel of an item consists of. */
typedef struct pw_present_panel {
    const char *packed; /* pw_pack_present */
    pw_matrix x;        /* of the first pixel of P, */
    const char *mask;   /* of the same, and of the first of all channels; NULL: none */
    pw_matrix r;        /* of pixel `from`; r.at NULL: none */
    pw_convert y_swap;  /* of y; NULL: none */
    int64_t c, k;       /* of x and y: the group's first channel */
    int64_t from, pixels;
} pw_present_panel;

/* plan->present, if the problem wants it. 0: no memory. */
int pw_plan_present(pw_plan *, const pw_kernel_set *);
/* Bytes of scratch, and behind the packed weights of a group; 0 where nothing of the kind is wanted. */
size_t pw_present_scratch(const pw_plan *);
size_t pw_present_packed(const pw_plan *);
void pw_pack_present(const pw_plan *, const char *w, ptrdiff_t w_k, ptrdiff_t w_c, const char *bias,
                     ptrdiff_t bias_step, char *packed);
/* Computes the pixels of a panel whose flags are set, into scratch. Returns how many. y is not written:
 * it may be x or the residual. */
int64_t pw_sum_present(const pw_plan *, const pw_present_panel *, const uint8_t *flags,
                       char *scratch);
/* The n pixels of that panel, to y of its first pixel. */
void pw_put_present(const pw_plan *, pw_matrix y, int64_t n, const char *scratch);

#endif
