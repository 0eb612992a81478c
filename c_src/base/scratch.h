/* Scratch memory, which each thread keeps from call to call; aligned memory. */
#ifndef PW_BASE_SCRATCH_H
#define PW_BASE_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/math.h"

/* Aligned to a cache line; the caller frees it. NULL: no memory. */
void *pw_aligned_alloc(size_t bytes);
/* Scratch of the calling thread, kept for its next call; NULL: no memory. */
void *pw_thread_scratch(size_t bytes);
/* A call in the middle of another, in the same thread, gets scratch of its own: the outer call's is
 * put aside before it and taken back after it. */
typedef struct pw_scratch {
    void *memory;
    size_t bytes;
} pw_scratch;
pw_scratch pw_put_scratch_aside(void);
void pw_take_scratch_back(pw_scratch);

/* Places a region of scratch, if it is used: `elements` of `size` bytes, from *end on. *end moves
 * to the next line after it. */
static inline size_t pw_region(size_t *end, int used, int64_t elements, size_t size) {
    const size_t at = *end;
    if (used) *end += (size_t)pw_round_up((int64_t)((size_t)elements * size), 64);
    return at;
}

/* Packed weights for a single call are on the stack if they have no more bytes. */
#ifndef PW_STACK_BYTES
#define PW_STACK_BYTES (16 << 10)
#endif

#endif
