/* Sizes of caches, with a default where the machine does not report them. */
#ifndef PW_CPU_CACHES_H
#define PW_CPU_CACHES_H

#include "pointwise.h"

static inline int64_t pw_level_2_bytes(void) {
    const int64_t known = pw_cache_bytes(2);
    return known ? known : 512 << 10;
}

#endif
