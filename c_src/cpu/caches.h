/* Sizes of caches, with a default where the machine does not report them. */
#ifndef PW_CPU_CACHES_H
#define PW_CPU_CACHES_H

#include "pointwise.h"

static inline int64_t pw_level_2_bytes(void) {
    const int64_t known = pw_cache_bytes(2);
    return known ? known : 512 << 10;
}

/* Bytes of level 3, or 16 MiB if the machine does not report them. */
static inline int64_t pw_level_3_bytes(void) {
    const int64_t bytes = pw_cache_bytes(3);
    return bytes ? bytes : 16 << 20;
}

#endif
