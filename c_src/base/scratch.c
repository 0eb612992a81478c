/* Scratch memory, which each thread keeps from call to call. It is freed as the thread ends. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/scratch.h"

enum { LINE = 64 };

static _Thread_local pw_scratch kept;

/* The key plus 1; 0: there is no key yet. Its destructor frees what is kept. */
static atomic_uintptr_t key_and_one;

void *pw_aligned_alloc(size_t bytes) {
    void *memory;
    return posix_memalign(&memory, LINE, bytes) ? NULL : memory;
}

/* Runs as a thread ends. Destructors of other keys may still call the library, and must then find
 * nothing kept. */
static void forget(void *memory) {
    free(memory);
    kept = (pw_scratch){0};
}

/* Finds or makes the key. 0: no key was free; a later call tries again. Two threads may make one at
 * once; then one of the two is deleted. */
static int find_key(pthread_key_t *key) {
    uintptr_t found = atomic_load(&key_and_one);
    if (!found) {
        if (pthread_key_create(key, forget)) return 0;
        if (atomic_compare_exchange_strong(&key_and_one, &found, (uintptr_t)*key + 1)) return 1;
        pthread_key_delete(*key);
    }
    *key = (pthread_key_t)(found - 1);
    return 1;
}

void *pw_thread_scratch(size_t bytes) {
    if (kept.bytes >= bytes) return kept.memory;
    pthread_key_t key;
    if (!find_key(&key)) return NULL;
    void *memory = pw_aligned_alloc(bytes);
    if (!memory || pthread_setspecific(key, memory)) {
        free(memory);
        return NULL;
    }
    free(kept.memory);
    kept = (pw_scratch){memory, bytes};
    return memory;
}

pw_scratch pw_put_scratch_aside(void) {
    const pw_scratch aside = kept;
    kept = (pw_scratch){0};
    return aside;
}

void pw_take_scratch_back(pw_scratch aside) {
    pthread_key_t key;
    if (kept.memory && aside.memory && find_key(&key)) {
        free(kept.memory);
        /* Cannot fail, because the key has had a value in this thread. */
        pthread_setspecific(key, aside.memory);
    }
    if (aside.memory) kept = aside;
}
