/* Where elements of a problem's arrays lie. */
#ifndef PW_BASE_LAYOUT_H
#define PW_BASE_LAYOUT_H

#include "pointwise.h"

/* Bytes to outer index number `index`, in C order. */
ptrdiff_t pw_outer_offset(const pw_problem *, const ptrdiff_t *strides, int64_t index);

#endif
