/* Bytes on their way to lanes. */
#ifndef PW_QUANTISED_STAGE_H
#define PW_QUANTISED_STAGE_H

#include "quantised/plan.h"

/* C numbers `step` bytes apart to contiguous lanes, zeros up to n lanes. */
void pw_qstage_row(const pw_qkernels *, pw_qbytes, char *to, int64_t n, const char *from,
                   ptrdiff_t step, int64_t C);

/* Lanes of x: strides in bytes from group to group of channels, from pixel to pixel. */
typedef struct pw_qlane_matrix {
    const char *at;
    ptrdiff_t g, p;
} pw_qlane_matrix;
/* n pixels and so many groups of channels, from group g on, in scratch or in place. */
pw_qlane_matrix pw_qstage_x(const pw_qplan *, const char *x, int64_t g, int64_t groups, int n,
                            char *scratch);

#endif
