/* Which kernels compute a problem, and which of its arrays go through scratch. */
#ifndef PW_CONV_PATH_H
#define PW_CONV_PATH_H

#include "conv/plan.h"

void pw_choose_path(pw_plan *);
int pw_is_reversed(const pw_problem *);
/* Planar kernels, by channels, that convert x in registers or read its pixels in reverse. */
const pw_ukernel *pw_converters_of(const pw_plan *);
/* How many channels transposing kernels compute, the others being whole vectors: all if they fit
 * one block, else those left over; 0 if these kernels cannot read x, or if padding costs less. */
int64_t pw_transposing_channels(const pw_plan *);

#endif
