/* Runs a plan. */
#ifndef PW_CONV_RUN_H
#define PW_CONV_RUN_H

#include "conv/tiles.h"

/* pw_run for a plan that is no chain. */
pw_status pw_run_conv(const pw_plan *, const void *packed, const void *x, const void *r,
                      const void *mask, void *y, int threads);

/* Computes all channels of a strip. `prefix`: the unaligned prefix, which the first kernel call
 * takes. scratch: of plan->scratch.bytes. */
void pw_run_strip(const pw_plan *, const pw_strip *, int64_t prefix, char *scratch);
/* Pixels before the first at which every row of y is aligned to a line; 0 if there is none. */
int64_t pw_unaligned_prefix(const pw_plan *, const void *y);

#endif
