/* Where elements of a problem's arrays lie. */
#ifndef PW_BASE_LAYOUT_H
#define PW_BASE_LAYOUT_H

#include "pointwise.h"

/* Bytes from the first outer index to number `index`, in C order. */
ptrdiff_t pw_outer_offset(const pw_problem *, const ptrdiff_t *strides, int64_t index);

#endif
