/* Copies of a problem's constants in its plan, as kernels read them. */
#ifndef PW_CONV_CONSTANTS_H
#define PW_CONV_CONSTANTS_H

#include "conv/plan.h"

/* Copies what the problem points to, because the caller may free it. 0: no memory. */
int pw_keep_constants(pw_plan *);
/* Converts `fill`, as sums are when they are stored, to the dtype and byte order of y. */
void pw_keep_fill(pw_plan *);

#endif
