/* Memory of threads, kept from call to call; aligned memory. */
#ifndef PW_BASE_SCRATCH_H
#define PW_BASE_SCRATCH_H

#include <stddef.h>

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

/* Packed weights of one call that are no larger are on the stack. */
#ifndef PW_STACK_BYTES
#define PW_STACK_BYTES (16 << 10)
#endif

#endif
