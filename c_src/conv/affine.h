/* scale * x + offset, rounded once, on its way to scratch. */
#ifndef PW_CONV_AFFINE_H
#define PW_CONV_AFFINE_H

#include "conv/plan.h"

/* n_c channels of x from c on, n pixels, to scale * x + offset in scratch, if it can be had
 * on the way. 0: nothing was done. */
int pw_affine_from(const pw_plan *, pw_matrix to, pw_matrix x, int64_t c, int64_t n_c, int64_t n);
static inline const void *pw_scale(const pw_plan *plan, int64_t c) {
    return plan->scale + c * (ptrdiff_t)pw_size(plan->wide ? PW_F64 : plan->problem.dtype);
}
static inline const void *pw_offset(const pw_plan *plan, int64_t c) {
    return plan->offset + c * (ptrdiff_t)pw_size(plan->wide ? PW_F64 : plan->problem.dtype);
}

#endif
