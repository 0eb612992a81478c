/* Computes scale * x + offset, rounded once, as x is copied to scratch. */
#ifndef PW_CONV_AFFINE_H
#define PW_CONV_AFFINE_H

#include "conv/plan.h"

/* Stages n_c channels, from c on, by n pixels of x as scale * x + offset, if the copy can compute
 * it on the way. 0: it cannot, and nothing was done. */
int pw_affine_from(const pw_plan *, pw_matrix to, pw_matrix x, int64_t c, int64_t n_c, int64_t n);
static inline const void *pw_scale(const pw_plan *plan, int64_t c) {
    return plan->scale + c * (ptrdiff_t)pw_size(plan->wide ? PW_F64 : plan->problem.dtype);
}
static inline const void *pw_offset(const pw_plan *plan, int64_t c) {
    return plan->offset + c * (ptrdiff_t)pw_size(plan->wide ? PW_F64 : plan->problem.dtype);
}

#endif
