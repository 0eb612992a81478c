/* Makes plans of single convolutions; pw_api.h has the rest of its functions. */
#ifndef PW_CONV_PLANNER_H
#define PW_CONV_PLANNER_H

#include "conv/plan.h"

/* A plan that only serves to pack weights: in blocks of `width` channels and, for what is left, of
 * one. It cannot be run. */
pw_plan *pw_plan_packing(const pw_kernel_set *, const pw_problem *, int width);

/* Frees a plan that is no chain. */
void pw_conv_free(pw_plan *);

#endif
