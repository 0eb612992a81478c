/* For test programs: memory between guard pages, random bits, and caches of any size. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE_BYTES = 65536 };

typedef struct {
    char *start, *end; /* between the guard pages */
} arena;

static arena new_arena(size_t bytes) {
    bytes = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    char *all = mmap(NULL, bytes + 2 * PAGE_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || mprotect(all, PAGE_BYTES, PROT_NONE) ||
        mprotect(all + PAGE_BYTES + bytes, PAGE_BYTES, PROT_NONE)) {
        perror("guard pages");
        exit(2);
    }
    return (arena){all + PAGE_BYTES, all + PAGE_BYTES + bytes};
}

static uint64_t random_state;

static uint64_t random_bits(void) {
    /* splitmix64, Steele, Lea and Flood 2014 */
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int random_below(int n) {
    return (int)(random_bits() % (uint64_t)n);
}

/* Takes the place of pw_cache_bytes, which the linker renames. With small caches, small cases too
 * are stored past them and summed in passes. */
int64_t __real_pw_cache_bytes(int level);
int64_t __wrap_pw_cache_bytes(int level);
static int64_t cache_bytes;
int64_t __wrap_pw_cache_bytes(int level) {
    return cache_bytes ? cache_bytes : __real_pw_cache_bytes(level);
}
