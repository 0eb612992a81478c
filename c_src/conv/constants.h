/* What a plan keeps of a problem's numbers, as kernels read them. */
#ifndef PW_CONV_CONSTANTS_H
#define PW_CONV_CONSTANTS_H

#include "conv/plan.h"

/* Copies of what the problem points to, for the caller may free it. 0: no memory. */
int pw_keep_constants(pw_plan *);
/* `fill` as sums are stored, in the dtype and byte order of y. */
void pw_keep_fill(pw_plan *);

#endif
