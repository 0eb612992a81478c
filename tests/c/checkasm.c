/* Runs every kernel set that works on this CPU and compares the bits of its results with a plain
 * chain of fused multiply-adds, in all layouts, with every small tail, between guard pages.
 *
 *     checkasm [seed] [kernel set, or all] [n: runs every nth case, drawn at random]
 *
 * The output is poisoned first and compared whole, with the gaps between its elements: a store
 * outside them is found too, and a load outside an array ends in a guard page.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "case.h"

enum { MOST_PRINTED = 20 };

static long passed, failed;
static const pw_kernel_set *set;
static int every = 1;

static void print_case(const char *what, int threads) {
    static const char *const residuals[] = {"none", "its own", "y"};
    printf("%s: %s %s <- %s C=%" PRId64 " K=%" PRId64 " groups=%" PRId64 " P=%" PRId64
           " outer=%" PRId64 " x:%s y:%s residual:%s r:%s bias=%d in_place=%d activation=%d "
           "leading=%d skew=%d threads=%d\n",
           what, pw_kernel_set_name(set), now->dtype == PW_F32 ? "f32" : "f64",
           now->x_dtype == PW_F32 ? "f32" : "f64", now->C, now->K, now->groups, now->P, now->outer,
           layout_names[now->x], layout_names[now->y], residuals[now->residual],
           layout_names[now->r], now->bias, now->in_place, now->activation, now->leading, now->skew,
           threads);
}

static int threads_now;

static void on_crash(int signal_number) {
    print_case(signal_number == SIGSEGV ? "CRASH (SIGSEGV)" : "CRASH (SIGBUS)", threads_now);
    fflush(stdout);
    _exit(1);
}

static void run(const pw_plan *plan, const data *d, void *packed, int threads) {
    const ptrdiff_t size = size_of(now->dtype), w_k = now->C / now->groups * size;
    const char *x = d->x + d->xv.first;
    char *y = d->y + d->yv.first;
    pw_status status;
    threads_now = threads;
    if (threads == 1) { /* packs by itself */
        status = pw_conv(plan, d->w, w_k, size, d->bias, size, x, d->r0, y, threads);
    } else {
        pw_pack(plan, d->w, w_k, size, d->bias, size, packed);
        status = pw_run(plan, packed, x, d->r0, y, threads);
    }
    if (status != PW_OK) {
        print_case("no memory", threads);
        exit(2);
    }
}

static void check(const test_case *t) {
    static const int thread_counts[] = {1, 2, 5};
    data d = {0};
    now = t;
    prepare(&d);
    d.r0 = t->residual == NO_RESIDUAL ? NULL : d.r + d.rv.first;

    /* With its margin on the side that has no guard page. */
    char *from = t->leading ? d.y - t->skew : d.y - MARGIN;
    const size_t bytes = d.yv.bytes + MARGIN + (size_t)t->skew;
    char *before = malloc(bytes), *wanted = malloc(bytes);
    pw_plan *plan = pw_plan_new(set, &d.problem);
    if (!before || !wanted || !plan) exit(2);
    memset(from, 0xa5, (size_t)(d.y - from));
    memset(d.y + d.yv.bytes, 0xa5, bytes - d.yv.bytes - (size_t)(d.y - from));
    if (!t->in_place) {
        memset(d.y, 0xa5, d.yv.bytes);
        if (t->residual == RESIDUAL_IS_Y) fill(t->dtype, d.y, d.yv, t->K);
    }
    memcpy(before, from, bytes);
    memcpy(wanted, from, bytes);
    expected = wanted + (d.y - from);
    convolve(&d);

    char *packed = place(packed_arena, pw_packed_bytes(plan));
    packed -= (uintptr_t)packed % 64;
    if (packed < packed_arena.start) packed += 64;
    int same = 1;
    for (int i = 0; i < 3; i++) {
        memcpy(from, before, bytes);
        run(plan, &d, packed, thread_counts[i]);
        if (memcmp(from, wanted, bytes) != 0 && same) {
            if (failed < MOST_PRINTED) print_case("FAILED", thread_counts[i]);
            same = 0;
        }
    }
    same ? passed++ : failed++;
    pw_plan_free(plan);
    free(before);
    free(wanted);
}

/* Shapes are given; what else there is to a case is drawn. */
static void check_shape(pw_dtype dtype, layout x, layout y, int64_t C, int64_t K, int64_t P) {
    static const pw_activation exact[] = {PW_ACT_NONE, PW_ACT_RELU, PW_ACT_RELU6, PW_ACT_CLIP,
                                          PW_ACT_LEAKY_RELU};
    for (int leading = 0; leading < 2; leading++) {
        if (random_below(every)) continue;
        test_case t = {dtype, dtype,       C, K, 1,       P, 1,           x, y,
                       y,     NO_RESIDUAL, 0, 0, leading, 0, PW_ACT_NONE, 0, 0};
        t.bias = random_below(2);
        t.activation = exact[random_below(5)];
        t.a = t.activation == PW_ACT_CLIP ? -0.3 : 0.1;
        t.b = 0.7;
        t.skew = random_below(4) ? 0 : random_below((int)size_of(dtype));
        t.outer = random_below(4) || C * K * P > 20000 ? 1 : 3;
        t.residual = (residual_kind)random_below(3);
        if (random_below(3) == 0) t.r = (layout)random_below(LAYOUTS);
        if (random_below(8) == 0) t.x_dtype = dtype == PW_F32 ? PW_F64 : PW_F32;
        if (random_below(8) == 0 && C < 100 && K < 100) {
            t.groups = 2 + random_below(2);
            t.C *= t.groups, t.K *= t.groups;
        }
        t.in_place = t.C == t.K && x == y && t.x_dtype == dtype && random_below(2);
        if (t.in_place && t.residual == RESIDUAL_IS_Y) t.residual = RESIDUAL;
        check(&t);
    }
}

static void check_small(pw_dtype dtype, layout x, layout y) {
    static const int64_t some_K[] = {1, 3, 10, 20, 33};
    for (int64_t K = 1; K <= 70; K++) /* every tail of K */
        check_shape(dtype, x, y, 1 + random_below(9), K, 1 + random_below(40));
    for (int64_t P = 1; P <= 140; P++) /* of P */
        check_shape(dtype, x, y, 1 + random_below(5), some_K[random_below(5)], P);
    for (int64_t C = 1; C <= 70; C++) /* and of C, with as many outputs for in_place */
        check_shape(dtype, x, y, C, random_below(2) ? C : 1 + random_below(24),
                    1 + random_below(20));
}

/* Deep sums, planes 4 KiB apart, enough work for several threads. */
static void check_large(pw_dtype dtype, layout x, layout y) {
    static const struct {
        int64_t C, K, P;
    } shapes[] = {{255, 7, 19},   {256, 16, 33},  {257, 20, 50}, {600, 33, 67}, {1100, 5, 130},
                  {50, 20, 4096}, {16, 17, 4099}, {3, 3, 70001}, {700, 300, 5}, {513, 600, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_shape(dtype, x, y, shapes[i].C, shapes[i].K, shapes[i].P);
}

/* Past the caches, rows of whole lines: where streaming stores may set in. */
static void check_streaming(pw_dtype dtype) {
    const int64_t cache = pw_cache_bytes(3), largest = 40 << 20;
    const int64_t bytes = (cache > 0 && cache < largest ? cache : largest) * 5 / 8;
    const int64_t K = 10, P = bytes / K / size_of(dtype) / 64 * 64;
    const test_case t = {dtype,  dtype,       3, K, 1, P, 1,           PLANAR, PLANAR,
                         PLANAR, NO_RESIDUAL, 1, 0, 1, 0, PW_ACT_RELU, 0,      0};
    check(&t);
}

/* Activations beyond the exact ones: the same bits as the last kernel set, which is scalar. */
static void check_activation(pw_activation activation, pw_dtype dtype, layout l, int64_t P) {
    static const double special[] = {0.0,   -0.0,   INFINITY, -INFINITY, NAN,
                                     1e-40, -1e-40, 3e38,     -3e38};
    const test_case t = {dtype, dtype,       1, 3, 1, P, 1,          l,   l,
                         l,     NO_RESIDUAL, 0, 0, 0, 0, activation, 1.0, 0.0};
    const pw_kernel_set *sets[] = {set, set};
    double results[2][3 * 64];
    data d = {0};
    now = &t;
    prepare(&d);
    for (int64_t p = 0; p < P; p++)
        store(dtype, d.x + p * d.xv.p,
              random_below(5) ? random_value() * pow(10, random_below(5) - 2)
                              : special[random_below(9)]);
    for (int i = 0; pw_kernel_set_at(i); i++) sets[1] = pw_kernel_set_at(i);
    for (int s = 0; s < 2; s++) {
        pw_plan *plan = pw_plan_new(sets[s], &d.problem);
        if (!plan) exit(2);
        run(plan, &d, NULL, 1);
        for (int i = 0; i < 3 * P; i++) results[s][i] = load(dtype, d.y + i * size_of(dtype));
        pw_plan_free(plan);
    }
    for (int i = 0; i < 3 * P; i++)
        if (memcmp(&results[0][i], &results[1][i], sizeof(double)) != 0 &&
            !(isnan(results[0][i]) && isnan(results[1][i]))) {
            if (failed < MOST_PRINTED) {
                print_case("FAILED, differs from scalar", 1);
                printf("    output %d: %a, scalar %a\n", i, results[0][i], results[1][i]);
            }
            failed++;
            return;
        }
    passed++;
}

static void check_set(void) {
    static const layout other[] = {PLANAR, INTERLEAVED, STRIDED};
    for (int d = 0; d < 2; d++) {
        const pw_dtype dtype = d ? PW_F64 : PW_F32;
        for (int l = 0; l < WRITABLE_LAYOUTS; l++) {
            check_small(dtype, (layout)l, (layout)l);
            check_large(dtype, (layout)l, (layout)l);
            check_small(dtype, (layout)l, other[random_below(3)]);
        }
        check_small(dtype, ONE_PIXEL, PLANAR);
        check_small(dtype, PLANAR, INTERLEAVED);
        check_large(dtype, PLANAR, INTERLEAVED);
        check_large(dtype, INTERLEAVED, PLANAR);
        if (every == 1) check_streaming(dtype);
        for (int a = PW_ACT_NONE; a <= PW_ACT_MISH; a++)
            for (int64_t P = 1; P <= 40; P++) {
                check_activation((pw_activation)a, dtype, PLANAR, P);
                check_activation((pw_activation)a, dtype, INTERLEAVED, P);
            }
    }
}

int main(int argc, char **argv) {
    const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
    const char *only = argc > 2 && strcmp(argv[2], "all") != 0 ? argv[2] : NULL;
    if (argc > 3 && atoi(argv[3]) > 0) every = atoi(argv[3]);
    signal(SIGSEGV, on_crash);
    signal(SIGBUS, on_crash);
    printf("%s, seed %" PRIu64 "\n", pw_compiler(), seed);
    x_arena = new_arena((size_t)32 << 20);
    w_arena = new_arena((size_t)8 << 20);
    bias_arena = new_arena(1 << 20);
    r_arena = new_arena((size_t)32 << 20);
    y_arena = new_arena((size_t)64 << 20);
    packed_arena = new_arena((size_t)16 << 20);
    for (int i = 0; pw_kernel_set_at(i); i++) {
        const long before = passed + failed;
        set = pw_kernel_set_at(i);
        if (only && strcmp(only, pw_kernel_set_name(set)) != 0) continue;
        if (!pw_kernel_set_works(set)) {
            printf("%s: not on this CPU\n", pw_kernel_set_name(set));
            continue;
        }
        random_state = seed;
        check_set();
        printf("%s: %ld cases\n", pw_kernel_set_name(set), passed + failed - before);
        fflush(stdout);
    }
    if (passed + failed == 0) printf("no cases were run\n");
    printf("%ld passed, %ld failed\n", passed, failed);
    return failed || !passed;
}
