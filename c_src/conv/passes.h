/* Passes, panels, stores and prefetching. */
#ifndef PW_CONV_PASSES_H
#define PW_CONV_PASSES_H

#include "conv/plan.h"

void pw_choose_passes(pw_plan *);

#endif
