/* A small pool of threads.
 *
 * A caller lists its job, wakes sleeping workers and works on the job itself; workers join while
 * it is listed. When the caller has nothing left to do it takes the job off the list, so that
 * nobody joins any more, and waits for those who have. Busy workers delay nobody: the caller
 * then does the job alone. After fork the child starts with an empty pool.
 */
#define _GNU_SOURCE
#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "plan.h"

enum {
    /* How often a caller looks for its workers before it sleeps: a few microseconds, in which
     * they mostly finish their last items. */
    CALLER_SPINS = 1000,
    /* How often a worker looks for the next job before it sleeps: some 20 microseconds, for calls
     * in close succession; waking it takes 10 to 60. */
    WORKER_SPINS = 1000,
};

typedef struct job {
    void (*work)(void *, int);
    void *argument;
    int cpu;            /* where the caller is */
    int wanted;         /* workers that may still join; under the lock */
    atomic_int working; /* workers that have joined and not finished; written under the lock */
    struct job *next;
} job;

typedef struct pool {
    pthread_mutex_t lock;
    pthread_cond_t listed, finished;
    job *jobs;
    int workers, asleep;
    atomic_int vacancies; /* of all jobs; written under the lock, a hint without it */
} pool_state;

static const pool_state empty_pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .listed = PTHREAD_COND_INITIALIZER,
    .finished = PTHREAD_COND_INITIALIZER,
};
static pool_state pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .listed = PTHREAD_COND_INITIALIZER,
    .finished = PTHREAD_COND_INITIALIZER,
};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;
static int have_scratch_key;

/* In the child of a fork: its parent's workers do not exist here, and the lock may have been held
 * by one of them. */
static void forget_workers(void) {
    pool = empty_pool;
}

static void set_up(void) {
    pthread_atfork(NULL, NULL, forget_workers);
    have_scratch_key = pthread_key_create(&scratch_key, free) == 0;
}

#if defined(__linux__)
static int current_cpu(void) {
    return sched_getcpu();
}

/* Leaves the CPU on which the caller works, for good: some schedulers wake a thread where its
 * waker runs, beside idle CPUs, and both then share one. `allowed` is what the process may use. */
static void step_aside(int cpu, const cpu_set_t *allowed) {
    cpu_set_t others = *allowed;
    if (cpu < 0 || cpu >= CPU_SETSIZE || cpu != sched_getcpu()) return;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others)) sched_setaffinity(0, sizeof others, &others);
}
#else
typedef int cpu_set_t;
static int current_cpu(void) {
    return -1;
}
static int sched_getaffinity(int who, size_t size, cpu_set_t *set) {
    (void)who, (void)size, (void)set;
    return 0;
}
static void step_aside(int cpu, const cpu_set_t *allowed) {
    (void)cpu, (void)allowed;
}
#endif

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static job *joinable(void) {
    for (job *j = pool.jobs; j; j = j->next)
        if (j->wanted > 0) return j;
    return NULL;
}

static void *worker(void *number) {
    cpu_set_t allowed;
    const int movable = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
    int rested = 1;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        job *j = joinable();
        if (!j && !rested) {
            pthread_mutex_unlock(&pool.lock);
            for (int i = 0; i < WORKER_SPINS && !atomic_load(&pool.vacancies); i++) relax();
            pthread_mutex_lock(&pool.lock);
            rested = 1;
            continue;
        }
        if (!j) {
            pool.asleep++;
            pthread_cond_wait(&pool.listed, &pool.lock);
            pool.asleep--;
            continue;
        }
        rested = 0;
        j->wanted--;
        atomic_fetch_sub(&pool.vacancies, 1);
        atomic_fetch_add(&j->working, 1);
        pthread_mutex_unlock(&pool.lock);
        if (movable) step_aside(j->cpu, &allowed);
        j->work(j->argument, (int)(intptr_t)number);
        pthread_mutex_lock(&pool.lock);
        if (atomic_fetch_sub(&j->working, 1) == 1) pthread_cond_broadcast(&pool.finished);
    }
    return NULL;
}

/* Under the lock. Fewer workers than wanted only cost time. */
static void hire(int wanted) {
    sigset_t all, before;
    pthread_attr_t attributes;
    if (pool.workers >= wanted || pthread_attr_init(&attributes)) return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    /* Signals are for the threads that Python knows. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    while (pool.workers < wanted &&
           pthread_create(&thread, &attributes, worker, (void *)(intptr_t)(pool.workers + 1)) == 0)
        pool.workers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static void unlist(const job *j) {
    atomic_fetch_sub(&pool.vacancies, j->wanted);
    job **link = &pool.jobs;
    while (*link != j) link = &(*link)->next;
    *link = j->next;
}

void pw_parallel(int threads, void (*work)(void *, int), void *argument) {
    pthread_once(&once, set_up);
    job j = {.work = work, .argument = argument, .cpu = current_cpu(), .wanted = threads - 1};
    pthread_mutex_lock(&pool.lock);
    hire(threads - 1);
    j.next = pool.jobs;
    pool.jobs = &j;
    atomic_fetch_add(&pool.vacancies, j.wanted);
    for (int i = 0; i < j.wanted && i < pool.asleep; i++) pthread_cond_signal(&pool.listed);
    pthread_mutex_unlock(&pool.lock);

    work(argument, 0);

    pthread_mutex_lock(&pool.lock);
    unlist(&j);
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < CALLER_SPINS && atomic_load(&j.working); i++) relax();
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&j.working)) pthread_cond_wait(&pool.finished, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

int pw_worth_threads(double multiply_adds, int threads) {
    return multiply_adds < pw_parallel_from ? 1 : threads;
}

void pw_spread(pw_shares *shares, int64_t items, int threads, void (*work)(void *, int),
               void *argument) {
    threads = (int)pw_max(1, pw_min(threads, items));
    pw_share_out(shares, items, threads);
    if (threads > 1)
        pw_parallel(threads, work, argument);
    else
        work(argument, 0);
}

void *pw_thread_scratch(size_t bytes) {
    static _Thread_local struct {
        void *memory;
        size_t bytes;
    } kept;
    if (kept.bytes >= bytes) return kept.memory;
    pthread_once(&once, set_up);
    if (!have_scratch_key) return NULL;
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory || pthread_setspecific(scratch_key, memory)) {
        free(memory);
        return NULL;
    }
    free(kept.memory);
    kept.memory = memory;
    kept.bytes = bytes;
    return memory;
}
