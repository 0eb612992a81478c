/* Takes the place of malloc, calloc, posix_memalign and free, which the linker renames. Each block
 * ends at a page without access, and begins as close after another such page as whole pages allow.
 * So reads past our own blocks are found too, not only those past the caller's arrays.
 *
 * Between a block and the page after it are as few bytes as its alignment permits. They and the
 * bytes before it hold a pattern, which is checked when the block is freed; then its pages are
 * unmapped.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PATTERN = 0xa7, LISTS = 256 };

typedef struct block {
    char *at, *pages; /* `pages`: a page without access, the block's pages, another without */
    size_t bytes, length;
    struct block *next;
} block;

static block *lists[LISTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
int __wrap_posix_memalign(void **to, size_t alignment, size_t bytes);
void __wrap_free(void *at);
void *__real_malloc(size_t bytes);
void __real_free(void *at);

static block **list_of(const void *at) {
    return &lists[((size_t)at >> 6) % LISTS];
}

static void *new_block(size_t alignment, size_t bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
    block *b = __real_malloc(sizeof *b);
    if (!b) return NULL;
    b->bytes = bytes;
    b->length = room + 2 * page;
    b->pages = mmap(NULL, b->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->pages == MAP_FAILED) {
        __real_free(b);
        return NULL;
    }
    memset(b->pages + page, PATTERN, room);
    mprotect(b->pages, page, PROT_NONE);
    mprotect(b->pages + page + room, page, PROT_NONE);
    b->at = b->pages + page + (room - bytes) / alignment * alignment;
    pthread_mutex_lock(&lock);
    block **list = list_of(b->at);
    b->next = *list;
    *list = b;
    pthread_mutex_unlock(&lock);
    return b->at;
}

static void expect_pattern(const block *b, const char *from, const char *to) {
    for (; from < to; from++) {
        if (*from == (char)PATTERN) continue;
        printf("FAILED: byte %td of a block of %zu was written\n", from - b->at, b->bytes);
        fflush(stdout);
        _exit(1);
    }
}

void *__wrap_malloc(size_t bytes) {
    return new_block(_Alignof(max_align_t), bytes);
}

void *__wrap_calloc(size_t n, size_t bytes) {
    void *at = new_block(_Alignof(max_align_t), n * bytes);
    return at ? memset(at, 0, n * bytes) : NULL;
}

int __wrap_posix_memalign(void **to, size_t alignment, size_t bytes) {
    *to = new_block(alignment, bytes);
    return *to == NULL;
}

void __wrap_free(void *at) {
    if (!at) return;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    pthread_mutex_lock(&lock);
    block **link = list_of(at), *b;
    while ((b = *link) && b->at != at) link = &b->next;
    if (b) *link = b->next;
    pthread_mutex_unlock(&lock);
    if (!b) {
        printf("FAILED: what is freed was not allocated\n");
        fflush(stdout);
        _exit(1);
    }
    expect_pattern(b, b->pages + page, b->at);
    expect_pattern(b, b->at + b->bytes, b->pages + b->length - page);
    munmap(b->pages, b->length);
    __real_free(b);
}
