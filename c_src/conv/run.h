/* Runs a plan. */
#ifndef PW_CONV_RUN_H
#define PW_CONV_RUN_H

#include "conv/plan.h"

/* pw_run, of a plan that is no chain. */
pw_status pw_run_conv(const pw_plan *, const void *packed, const void *x, const void *r,
                      const void *mask, void *y, int threads);

/* Pixels of one outer index. */
typedef struct pw_strip {
    const char *packed, *x, *r; /* x of the first pixel of P, */
    char *y;                    /* y and r of pixel `from` */
    int64_t from, pixels;
} pw_strip;

/* All channels of a strip. `prefix`: pixels before y is aligned, which the first kernel call takes.
 * scratch: plan->scratch.bytes. */
void pw_run_strip(const pw_plan *, const pw_strip *, int64_t prefix, char *scratch);
/* Pixels up to the first at which every row of y is aligned to a line; 0 if there is none. */
int64_t pw_unaligned_prefix(const pw_plan *, const void *y);

#endif
