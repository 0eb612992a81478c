/* Runs a plan. */
#ifndef PW_CONV_RUN_H
#define PW_CONV_RUN_H

#include "conv/plan.h"

/* pw_run for a plan that is no chain. */
pw_status pw_run_conv(const pw_plan *, const void *packed, const void *x, const void *r,
                      const void *mask, void *y, int threads);

/* Pixels of one outer index. x begins at the first pixel of P, y and r at pixel `from`. */
typedef struct pw_strip {
    const char *packed, *x, *r;
    char *y;
    int64_t from, pixels;
} pw_strip;

/* Computes all channels of a strip. `prefix`: the unaligned prefix, which the first kernel call
 * takes. scratch: of plan->scratch.bytes. */
void pw_run_strip(const pw_plan *, const pw_strip *, int64_t prefix, char *scratch);
/* Pixels before the first at which every row of y is aligned to a line; 0 if there is none. */
int64_t pw_unaligned_prefix(const pw_plan *, const void *y);

#endif
