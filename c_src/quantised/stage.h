/* Turns bytes of x and of weights into lanes. */
#ifndef PW_QUANTISED_STAGE_H
#define PW_QUANTISED_STAGE_H

#include "quantised/plan.h"

/* Turns C numbers, `step` bytes apart, into n contiguous lanes; what is left of these become
 * zeros. */
void pw_qstage_row(const pw_qkernels *, pw_qbytes, char *to, int64_t n, const char *from,
                   ptrdiff_t step, int64_t C);

/* Lanes of x. Strides are in bytes: g from group to group of channels, p from pixel to pixel. */
typedef struct pw_qlane_matrix {
    const char *at;
    ptrdiff_t g, p;
} pw_qlane_matrix;
/* Turns n pixels of `groups` groups of channels, from group g on, into lanes in scratch; or finds
 * them where they are, if the plan reads x in place. x: of the first pixel. */
pw_qlane_matrix pw_qstage_x(const pw_qplan *, const char *x, int64_t g, int64_t groups, int n,
                            char *scratch);

#endif
