/* Copies parts of vectors where there are no masked loads and stores. */
#ifndef PW_ISA_FEW_BYTES_H
#define PW_ISA_FEW_BYTES_H

#include <string.h>

#include "macros.h"

/* Copies size <= n <= 2 * size bytes as two blocks, which may overlap. Where `size` is known to the
 * compiler, a block is a single load and store. */
PW_INLINE void copy_both_ends(char *to, const char *from, int n, int size) {
    memcpy(to, from, (size_t)size);
    memcpy(to + n - size, from + n - size, (size_t)size);
}

/* Copies the first n < 32 bytes; no others are touched. */
PW_INLINE void copy_few_bytes(char *to, const char *from, int n) {
    if (n >= 16)
        copy_both_ends(to, from, n, 16);
    else if (n >= 8)
        copy_both_ends(to, from, n, 8);
    else if (n >= 4)
        copy_both_ends(to, from, n, 4);
    else if (n >= 2)
        copy_both_ends(to, from, n, 2);
    else if (n)
        *to = *from;
}

#endif
