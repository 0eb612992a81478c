/* Copies parts of vectors where there are no masked loads and stores. */
#ifndef PW_ISA_FEW_BYTES_H
#define PW_ISA_FEW_BYTES_H

#include <string.h>

#include "macros.h"

/* Copies the first n < 32 bytes and no others, as two blocks of a known size, which may overlap. */
PW_INLINE void copy_few_bytes(char *to, const char *from, int n) {
#define TWO(size)                                     \
    if (n >= size) {                                  \
        memcpy(to, from, size);                       \
        memcpy(to + n - size, from + n - size, size); \
        return;                                       \
    }
    TWO(16)
    TWO(8)
    TWO(4)
    TWO(2)
#undef TWO
    if (n) *to = *from;
}

#endif
