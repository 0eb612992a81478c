/* Memory of threads, kept from call to call; aligned memory. */
#ifndef PW_BASE_SCRATCH_H
#define PW_BASE_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/math.h"

/* Aligned to a line; to be freed. NULL: no memory. */
void *pw_aligned_alloc(size_t bytes);
/* Scratch of the calling thread, kept for its next call; NULL: no memory. */
void *pw_thread_scratch(size_t bytes);
/* Another call in this thread, in the middle of one, gets scratch of its own in between. */
typedef struct pw_scratch {
    void *memory;
    size_t bytes;
} pw_scratch;
pw_scratch pw_put_scratch_aside(void);
void pw_take_scratch_back(pw_scratch);

/* A region of scratch, if it is used: `elements` of a size from *end on, which moves to the next line. */
static inline size_t pw_region(size_t *end, int used, int64_t elements, size_t size) {
    const size_t at = *end;
    if (used) *end += (size_t)pw_round_up((int64_t)((size_t)elements * size), 64);
    return at;
}

/* Packed weights of one call that are no larger are on the stack. */
#ifndef PW_STACK_BYTES
#define PW_STACK_BYTES (16 << 10)
#endif

#endif
