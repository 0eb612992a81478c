/* Checks that threads respect their callers' rounding, CPUs, signals and memory, and that they are
 * few.
 *
 *     pool [brief: for emulators, which are slow and do not fork]
 */
#define _GNU_SOURCE /* CPU sets */
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "interrupts.h"

/* 0 until a check sets it, because clang links the sanitizers' runtime into the program, which
 * takes a key of its own before main. */
static int keys_to_refuse;
int __real_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *)) {
    return keys_to_refuse-- > 0 ? EAGAIN : __real_pthread_key_create(key, destructor);
}

static void wait_ms(long ms) {
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* A job that `threads` threads have to join. Each notes what it finds. */
enum { MOST = 64 };
typedef struct {
    int threads;
    atomic_int joined, workers;
    int numbers[MOST];
    float rounded[MOST]; /* a result that depends on the rounding mode */
    sigset_t blocked[MOST];
    cpu_set_t allowed[MOST];
} meeting;

static float third(void) {
    volatile float one = -1, three = 3;
    return one / three;
}

static void meet(void *argument, int number) {
    meeting *m = argument;
    const int i = atomic_fetch_add(&m->joined, 1);
    m->numbers[i] = number;
    m->rounded[i] = third();
    pthread_sigmask(SIG_SETMASK, NULL, &m->blocked[i]);
    sched_getaffinity(0, sizeof m->allowed[i], &m->allowed[i]);
    for (int ms = 0; ms < 20000 && atomic_load(&m->joined) < m->threads; ms++) wait_ms(1);
}

static meeting meet_in(int threads) {
    meeting m = {.threads = threads};
    pw_parallel(threads, meet, &m);
    expect(m.joined == threads, "all threads joined");
    return m;
}

static void check_keys(void) {
    keys_to_refuse = 1;
    expect(pw_thread_scratch(100) == NULL, "no key, no scratch");
    expect(pw_thread_scratch(100) != NULL, "scratch once there are keys again");
}

static void use_scratch(void *size) {
    char *scratch = pw_thread_scratch((size_t)(intptr_t)size);
    expect(scratch != NULL, "scratch as a thread ends");
    memset(scratch, 1, (size_t)(intptr_t)size);
}

static void *use_and_end(void *key) {
    use_scratch((void *)(intptr_t)1000);
    pthread_setspecific(*(pthread_key_t *)key, (void *)(intptr_t)900);
    return NULL;
}

/* The destructor of a key made later runs later, when the thread's scratch has been freed. */
static void check_destructors(void) {
    pthread_key_t key;
    pthread_t thread;
    pthread_key_create(&key, use_scratch);
    pthread_create(&thread, NULL, use_and_end, &key);
    pthread_join(thread, NULL);
    pthread_key_delete(key);
}

static void check_rounding(void) {
    const float nearest = third();
    static const int modes[] = {FE_UPWARD, FE_TONEAREST, FE_TOWARDZERO, FE_TONEAREST};
    for (int i = 0; i < 4; i++) {
        fesetround(modes[i]);
        expect((third() == nearest) == (modes[i] == FE_TONEAREST), "the mode can be seen");
        const meeting m = meet_in(3);
        for (int j = 0; j < 3; j++)
            expect(m.rounded[j] == third(), "workers round as their callers do");
    }
}

static void check_signals(void) {
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    const meeting m = meet_in(3);
    for (int i = 0; i < 3; i++) {
        if (m.numbers[i] == 0) continue;
        for (int s = 0; s < 6; s++)
            expect(!sigismember(&m.blocked[i], own[s]), "own signals are open");
        expect(sigismember(&m.blocked[i], SIGINT), "others are blocked");
        expect(sigismember(&m.blocked[i], SIGTERM), "others are blocked");
    }
}

static int is_within(const cpu_set_t *inner, const cpu_set_t *outer) {
    cpu_set_t both;
    CPU_AND(&both, inner, outer);
    return CPU_EQUAL(&both, inner);
}

/* Allows each CPU alone, then all of them again. */
static void check_cpus(void) {
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    if (CPU_COUNT(&all) < 2) {
        printf("one CPU: affinity is not checked\n");
        return;
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        const meeting m = meet_in(3);
        for (int i = 0; i < 3; i++) expect(is_within(&m.allowed[i], &one), "workers follow");
    }
    sched_setaffinity(0, sizeof all, &all);
    const meeting m = meet_in(3);
    for (int i = 0; i < 3; i++)
        expect(CPU_COUNT(&m.allowed[i]) >= CPU_COUNT(&all) - 1, "workers follow back");
}

static int threads_of_process(void) {
    char line[256];
    int threads = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) sscanf(line, "Threads: %d", &threads);
    if (status) fclose(status);
    return threads;
}

static void check_numbers(void) {
    const int threads = 5; /* as many as there are for one CPU, the caller's included */
    const meeting m = meet_in(threads);
    for (int i = 0; i < threads; i++) {
        expect(m.numbers[i] >= 0 && m.numbers[i] < threads, "the lowest numbers are taken");
        for (int j = 0; j < i; j++) expect(m.numbers[i] != m.numbers[j], "each has its number");
    }
}

static void do_nothing(void *argument, int number) {
    (void)argument, (void)number;
}

static void check_count(void) {
    const int most = 1 + 4 * (int)sysconf(_SC_NPROCESSORS_ONLN);
    pw_parallel(100000, do_nothing, NULL);
    expect(threads_of_process() <= (most > 9 ? most : 9), "so many threads are not needed");
    for (int s = 0; s < 60 && threads_of_process() > 1; s++) wait_ms(1000);
    expect(threads_of_process() == 1, "idle threads end");
    check_numbers();
}

static void check_fork(void) {
    const long before = failed;
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        meet_in(3);
        _exit(failed != before);
    }
    waitpid(child, &status, 0);
    expect(status == 0, "a child has threads of its own");
    meet_in(3);
}

int main(int argc, char **argv) {
    check_keys();
    check_destructors();
    check_numbers();
    check_rounding();
    check_signals();
    check_cpus();
    if (argc < 2 || strcmp(argv[1], "brief") != 0) {
        check_fork();
        check_interrupts();
        check_count();
    }
    printf("pool: %ld passed, %ld failed\n", passed, failed);
    return failed || !passed;
}
