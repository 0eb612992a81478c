/* What the machine's memory makes worth while. */
#ifndef PW_CONV_MEMORY_H
#define PW_CONV_MEMORY_H

#include <stdint.h>

/* More planes are better read from memory in long runs, one plane after the other. A Cascade Lake
 * reads 50 planes at 6.5 GB/s in runs of 128 bytes, at 12 from 1024 on. 50 -> 20 of 600 x 600 went
 * from 17.0 to 12.0 ms, 64 -> 10 from 20.3 to 10.6, while 40 -> 20 lost 5 to 10%. */
enum { PW_MANY_PLANES = 40 };
/* Whether `out` bytes of output, with `in` of input, are better stored past the caches. */
int pw_worth_streaming(int64_t out, int64_t in);

#endif
