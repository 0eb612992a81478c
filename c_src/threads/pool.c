/* A small pool of threads.
 *
 * A caller lists its job, wakes sleeping workers and works on the job itself. Workers join while it
 * is listed, and compute as the caller's thread would. When the caller has nothing left to do, it
 * takes the job off the list, so that no more workers join, and waits for those that have. Busy
 * workers delay no caller: it then does the job alone. Workers that sleep for long end. After fork
 * the child starts with an empty pool.
 */
#define _GNU_SOURCE /* CPU sets */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "threads/pool.h"
#include "base/math.h"
#include "threads/caller.h"

enum {
    /* How often a caller checks whether its workers have finished before it sleeps: for a few
     * microseconds, in which they usually finish their last items. */
    CALLER_SPINS = 1000,
    /* How often a worker looks for the next job before it sleeps: for about 20 microseconds,
     * because calls may come in close succession. Waking it takes 10 to 60. */
    WORKER_SPINS = 1000,
    /* How long a worker sleeps before it ends. */
    IDLE_SECONDS = 5,
    /* More than one, for several callers, and for tests of a few threads on any machine. */
    WORKERS_PER_CPU = 4,
    MOST_WORKERS = 1024,
};

typedef struct job {
    void (*work)(void *, int);
    void *argument;
    uint64_t float_control; /* of the caller's thread, as are the CPUs */
    pw_cpus cpus;
    int wanted;         /* workers that may still join; used under the lock */
    atomic_int working; /* workers that have joined and not finished; written under the lock */
    struct job *next;
} job;

/* A worker that sleeps until another thread takes it off the list. */
typedef struct sleeper {
    pthread_cond_t woken;
    int number, listed;
    struct sleeper *next;
} sleeper;

static struct pool {
    pthread_mutex_t lock;
    pthread_cond_t finished;
    job *jobs;
    sleeper *sleepers;    /* lowest number first, so that those not needed have high ones */
    atomic_int vacancies; /* of all jobs; written under the lock, only a hint without it */
    int workers, forks;
    char taken[MOST_WORKERS + 1]; /* numbers of workers */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .finished = PTHREAD_COND_INITIALIZER};

/* Runs in the child of a fork: its parent's workers do not exist here, and one of them may have
 * held the lock. */
static void forget_workers(void) {
    pool = (struct pool){.lock = PTHREAD_MUTEX_INITIALIZER,
                         .finished = PTHREAD_COND_INITIALIZER,
                         .forks = pool.forks + 1};
}

/* Called with the lock held, as are all functions below but relax, worker and pw_parallel. */
static int forks_are_safe(void) {
    static int safe;
    if (!safe) safe = pthread_atfork(NULL, NULL, forget_workers) == 0;
    return safe;
}

static int most_workers(void) {
    static int most;
    if (!most) most = (int)pw_min(pw_max(sysconf(_SC_NPROCESSORS_ONLN), 1), MOST_WORKERS);
    return (int)pw_min(most * WORKERS_PER_CPU, MOST_WORKERS);
}

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

/* Gives up the lock while it works, as spin does while it waits. */
static void join(job *j, int number, cpu_set_t *allowed) {
    j->wanted--;
    atomic_fetch_sub(&pool.vacancies, 1);
    atomic_fetch_add(&j->working, 1);
    pthread_mutex_unlock(&pool.lock);
    const uint64_t own = pw_float_control();
    pw_follow(&j->cpus, allowed);
    pw_set_float_control(j->float_control);
    j->work(j->argument, number);
    pw_set_float_control(own);
    pthread_mutex_lock(&pool.lock);
    if (atomic_fetch_sub(&j->working, 1) == 1) pthread_cond_broadcast(&pool.finished);
}

static void spin(void) {
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < WORKER_SPINS && !atomic_load(&pool.vacancies); i++) relax();
    pthread_mutex_lock(&pool.lock);
}

/* Returns whether it was woken; 0: it has slept for IDLE_SECONDS. */
static int sleep_until_woken(sleeper *self) {
    sleeper **link = &pool.sleepers;
    while (*link && (*link)->number < self->number) link = &(*link)->next;
    self->next = *link;
    self->listed = 1;
    *link = self;
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += IDLE_SECONDS;
    while (self->listed)
        if (pthread_cond_timedwait(&self->woken, &pool.lock, &end) && self->listed) {
            for (link = &pool.sleepers; *link != self;) link = &(*link)->next;
            *link = self->next;
            return 0;
        }
    return 1;
}

static void wake_first(void) {
    sleeper *first = pool.sleepers;
    pool.sleepers = first->next;
    first->listed = 0;
    pthread_cond_signal(&first->woken);
}

static void *worker(void *number) {
    sleeper self = {.woken = PTHREAD_COND_INITIALIZER, .number = (int)(intptr_t)number};
    cpu_set_t allowed = {0};
#if defined(__linux__)
    /* for profilers, and bench/measure/placing.py */
    pthread_setname_np(pthread_self(), "pointwise");
#endif
    pthread_mutex_lock(&pool.lock);
    for (int rested = 1, awake = 1; awake;) {
        job *j = joinable();
        if (j) {
            join(j, self.number, &allowed);
            rested = 0;
        } else if (!rested) {
            spin();
            rested = 1;
        } else {
            awake = sleep_until_woken(&self);
        }
    }
    pool.taken[self.number] = 0;
    pool.workers--;
    pthread_mutex_unlock(&pool.lock);
    return NULL;
}

static int lowest_number(void) {
    int number = 1;
    while (pool.taken[number]) number++;
    return number;
}

/* Leaves signals to the threads that Python knows, except those that an instruction of the worker
 * itself raises: were they blocked, the system would end the process without a word. */
static void block_signals(sigset_t *before) {
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t others;
    sigfillset(&others);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&others, own[i]);
    pthread_sigmask(SIG_SETMASK, &others, before);
}

/* Starts workers until there are `wanted`, if it can: fewer cost only time. */
static void hire(int wanted) {
    sigset_t before;
    pthread_attr_t attributes;
    wanted = (int)pw_min(wanted, most_workers());
    if (pool.workers >= wanted || !forks_are_safe() || pthread_attr_init(&attributes)) return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    block_signals(&before);
    while (pool.workers < wanted) {
        pthread_t thread;
        const int number = lowest_number();
        if (pthread_create(&thread, &attributes, worker, (void *)(intptr_t)number)) break;
        pool.taken[number] = 1;
        pool.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static void unlist(const job *j) {
    atomic_fetch_sub(&pool.vacancies, j->wanted);
    job **link = &pool.jobs;
    while (*link != j) link = &(*link)->next;
    *link = j->next;
}

int pw_parallel(int threads, void (*work)(void *, int), void *argument) {
    job j = {.work = work,
             .argument = argument,
             .float_control = pw_float_control(),
             .wanted = threads - 1};
    pw_note_cpus(&j.cpus);
    pthread_mutex_lock(&pool.lock);
    const int forks = pool.forks;
    if (pool.workers < j.wanted) hire(j.wanted);
    j.next = pool.jobs;
    pool.jobs = &j;
    atomic_fetch_add(&pool.vacancies, j.wanted);
    for (int i = 0; i < j.wanted && pool.sleepers; i++) wake_first();
    pthread_mutex_unlock(&pool.lock);

    work(argument, 0);

    pthread_mutex_lock(&pool.lock);
    const int is_child = pool.forks != forks;
    if (!is_child) unlist(&j);
    pthread_mutex_unlock(&pool.lock);
    if (is_child) return 0;
    for (int i = 0; i < CALLER_SPINS && atomic_load(&j.working); i++) relax();
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&j.working)) pthread_cond_wait(&pool.finished, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    return 1;
}
