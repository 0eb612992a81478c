/* Passes, panels, stores and what is fetched ahead. */
#ifndef PW_CONV_PASSES_H
#define PW_CONV_PASSES_H

#include "conv/plan.h"

/* From more planes memory is better read in long runs, of one after the other. A Cascade Lake reads 50
 * in runs of 128 bytes at 6.5 GB/s, from 1024 on at 12; 50 -> 20 of 600 x 600 went from 17.0 to 12.0
 * ms, 64 -> 10 from 20.3 to 10.6, while 40 -> 20 lost 5 to 10%. */
enum { PW_MANY_PLANES = 40 };
void pw_choose_passes(pw_plan *);
/* Whether output of so many bytes, and input, is better stored past the caches. */
int pw_worth_streaming(int64_t out, int64_t in);

#endif
