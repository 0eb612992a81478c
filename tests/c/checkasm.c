/* Runs every kernel set that works on this CPU and compares the bits of its results with a plain
 * chain of fused multiply-adds, in all layouts, with every small tail, between guard pages.
 *
 *     checkasm [seed] [kernel set, or all] [n: runs every nth case, drawn at random]
 *
 * The output is poisoned first and compared whole, with the gaps between its elements: a store
 * outside them is found too, and a load outside an array ends in a guard page.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "convert_check.h"
#include "gradient.h"

/* Whether to skip a quick case, in a run that has to be brief. */
static int rarely(void) {
    return every >= 5 && random_below(every) != 0;
}

static row_kind random_rows(int kinds) {
    return random_below(3) ? (row_kind)random_below(kinds) : ONE_RUN;
}

/* Checks a given shape. Everything else about the case is drawn at random. */
static void check_rows(pw_dtype dtype, layout x, layout y, int64_t C, int64_t K, int64_t P,
                       int64_t rows) {
    static const pw_activation exact[] = {PW_ACT_NONE, PW_ACT_RELU, PW_ACT_RELU6, PW_ACT_CLIP,
                                          PW_ACT_LEAKY_RELU};
    for (int leading = 0; leading < 2; leading++) {
        if (random_below(every)) continue;
        test_case t = {.dtype = dtype,
                       .x_dtype = dtype,
                       .C = C,
                       .K = K,
                       .groups = 1,
                       .P = P,
                       .rows = rows,
                       .x = x,
                       .y = y,
                       .r = y,
                       .leading = leading};
        t.bias = random_below(2);
        t.activation = exact[random_below(5)];
        t.a = t.activation == PW_ACT_CLIP ? -0.3 : 0.1;
        t.b = 0.7;
        t.skew = random_below(4) ? 0 : random_below((int)size_of(dtype));
        if (random_below(4) == 0) t.skew += random_below(16) * (int)size_of(dtype);
        if (random_below(3) == 0) t.cache_bytes = 4096;
        t.affine = random_below(3) == 0;
        t.outer = random_below(4) || C * K * P * rows > 20000 ? 1 : 3;
        t.residual = (residual_kind)random_below(3);
        if (random_below(3) == 0) t.r = (layout)random_below(LAYOUTS);
        if (random_below(8) == 0) t.x_dtype = dtype == PW_F32 ? PW_F64 : PW_F32;
        if (random_below(8) == 0 && C < 100 && K < 100) {
            t.groups = 2 + random_below(2);
            t.C *= t.groups, t.K *= t.groups;
        }
        if (rows > 1) {
            t.x_rows = random_rows(ROW_KINDS);
            t.y_rows = random_below(3) ? ONE_RUN : random_rows(WRITABLE_ROWS);
            t.r_rows = random_below(3) ? t.y_rows : random_rows(ROW_KINDS);
        }
        t.in_place = t.C == t.K && x == y && t.x_dtype == dtype && random_below(2);
        if (t.in_place) t.x_rows = t.y_rows;
        if (t.in_place && t.residual == RESIDUAL_IS_Y) t.residual = RESIDUAL;
        check(&t);
    }
}

static void check_shape(pw_dtype dtype, layout x, layout y, int64_t C, int64_t K, int64_t P) {
    check_rows(dtype, x, y, C, K, P, 1);
}

static void check_small(pw_dtype dtype, layout x, layout y) {
    static const int64_t some_K[] = {1, 3, 10, 20, 33};
    for (int64_t K = 1; K <= 70; K++) /* every tail of K */
        check_shape(dtype, x, y, 1 + random_below(9), K, 1 + random_below(40));
    for (int64_t P = 1; P <= 140; P++) /* every tail of P */
        check_shape(dtype, x, y, 1 + random_below(5), some_K[random_below(5)], P);
    for (int64_t C = 1; C <= 70; C++) /* every tail of C, sometimes with K = C for in_place */
        check_shape(dtype, x, y, C, random_below(2) ? C : 1 + random_below(24),
                    1 + random_below(20));
}

/* Deep sums, planes 4 KiB apart, and enough work for several threads. */
static void check_large(pw_dtype dtype, layout x, layout y) {
    static const struct {
        int64_t C, K, P;
    } shapes[] = {{255, 7, 19},   {256, 16, 33},  {257, 20, 50}, {600, 33, 67}, {1100, 5, 130},
                  {50, 20, 4096}, {16, 17, 4099}, {3, 3, 70001}, {700, 300, 5}, {513, 600, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_shape(dtype, x, y, shapes[i].C, shapes[i].K, shapes[i].P);
}

/* Few pixels for many channels, as in the last layers of networks. */
static void check_deep(pw_dtype dtype) {
    static const layout sources[] = {PLANAR, INTERLEAVED, STRIDED, EVERY_SECOND, PLANAR_PADDED};
    static const int64_t pixels[] = {3, 7, 49, 196};
    static const struct {
        int64_t C, K;
    } shapes[] = {{64, 256}, {160, 51}, {300, 16}, {500, 33}, {1100, 100}};
    for (int i = 0; i < 5; i++)
        for (int p = 0; p < 4; p++) {
            const int64_t C = shapes[i].C, K = shapes[i].K, P = pixels[p];
            check_shape(dtype, sources[random_below(5)], PLANAR, C, K, P);
            if (C * K < 40000) check_rows(dtype, sources[random_below(5)], PLANAR, C, K, P, 3);
        }
    for (int64_t P = 1; P <= 70; P++) /* every tail of P, with random tails of K */
        check_shape(dtype, sources[random_below(5)], PLANAR, 20 + random_below(90),
                    1 + random_below(70), P);
}

/* Rows of all lengths, which are contiguous in the output or not. */
static void check_row_by_row(pw_dtype dtype, layout x, layout y) {
    for (int64_t P = 1; P <= 40; P++) {
        check_rows(dtype, x, y, 1 + random_below(70), 1 + random_below(70), P,
                   2 + random_below(40 / (int)P + 3));
        check_rows(dtype, x, y, 1 + random_below(9), 1 + random_below(20), P, 2 + random_below(9));
    }
}

/* Pixels of 1..4 channels without gaps: every tail of P and every pair of C and K. */
static void check_few_channels(pw_dtype dtype) {
    for (int64_t P = 1; P <= 140; P++)
        for (int i = 0; i < (P <= 70 ? 16 : 4); i++)
            check_shape(dtype, INTERLEAVED, INTERLEAVED, P <= 70 ? 1 + i / 4 : 1 + random_below(4),
                        1 + i % 4, P);
    /* float32 pixels with the strides of a contiguous float64 image. */
    if (dtype == PW_F64) {
        const test_case t = {.dtype = PW_F64,
                             .x_dtype = PW_F32,
                             .C = 1,
                             .K = 3,
                             .groups = 1,
                             .P = 50,
                             .rows = 1,
                             .outer = 1,
                             .x = EVERY_SECOND,
                             .y = INTERLEAVED};
        check(&t);
    }
    /* Enough pixels for threads and for prefetching. */
    for (int i = 0; i < 4; i++)
        check_shape(dtype, INTERLEAVED, INTERLEAVED, 4, 1 + i, 70000 + random_below(100));
}

/* Windows of many planes. Every other row starts in the middle of a cache line; each is fetched
 * while the row before it is computed. */
static void check_windows(pw_dtype dtype) {
    static const row_kind kinds[] = {ROWS_APART, ROWS_BACKWARDS, EVERY_SECOND_ROW};
    const int size = (int)size_of(dtype), line = 64 / size;
    for (int i = 0; i < 12; i++) {
        const test_case t = {.dtype = dtype,
                             .x_dtype = dtype,
                             .groups = 1,
                             .bias = 1,
                             .outer = 1,
                             .C = 41 + random_below(20),
                             .K = 10 + random_below(30),
                             .rows = 8 + 2 * random_below(3),
                             .x = i % 4 ? PLANAR : REVERSED,
                             .x_rows = kinds[i % 3],
                             .y = PLANAR,
                             .leading = 1,
                             .P = line * (17 + random_below(40)) + line / 2,
                             .skew = size * random_below(line),
                             .activation = PW_ACT_RELU,
                             .residual = (residual_kind)random_below(2),
                             .cache_bytes = 400 << 10};
        if (!rarely()) check(&t);
    }
}

/* Outputs larger than the caches, in rows of whole cache lines: there stores may be streamed, with
 * some pixels before the first whole line and after the last. */
static void check_streaming(pw_dtype dtype) {
    const int size = (int)size_of(dtype), line = 64 / size;
    for (int i = 0; i < 60; i++) {
        if (rarely()) continue;
        test_case t = {.dtype = dtype,
                       .x_dtype = dtype,
                       .groups = 1,
                       .bias = 1,
                       .outer = 1,
                       .C = 1 + random_below(5),
                       .K = 1 + random_below(20),
                       .rows = 1,
                       .x = i % 2 ? PLANAR : EVERY_SECOND,
                       .y = PLANAR,
                       .leading = 1,
                       .P = line * (1 + random_below(30)),
                       .skew = size * random_below(line),
                       .activation = PW_ACT_RELU,
                       .affine = random_below(3) == 0,
                       .cache_bytes = 1024};
        if (i % 3 == 0) t.P = line * 700, t.C = 40;       /* staged panels, the first unaligned */
        if (i % 3 == 1) t.C = 900, t.K = 1, t.x = PLANAR; /* sums kept between passes */
        if (i % 3 == 2) t.rows = line * (1 + random_below(3)), t.P = 1 + random_below(50);
        check(&t);
        t.x = INTERLEAVED;
        check(&t);
        t.x = t.y = INTERLEAVED, t.K = 1 + i % 4, t.C = 1 + i / 4 % 4;
        t.rows = 1, t.P += random_below(30);
        check(&t);
    }
    check_windows(dtype);
    if (every > 1) return;
    /* With this machine's caches. */
    const int64_t cache = pw_cache_bytes(3), largest = 40 << 20;
    const int64_t bytes = (cache > 0 && cache < largest ? cache : largest) * 5 / 8;
    const test_case t = {.dtype = dtype,
                         .x_dtype = dtype,
                         .groups = 1,
                         .bias = 1,
                         .outer = 1,
                         .C = 3,
                         .K = 10,
                         .rows = 1,
                         .P = bytes / 10 / size / 64 * 64,
                         .x = PLANAR,
                         .y = PLANAR,
                         .leading = 1,
                         .activation = PW_ACT_RELU};
    check(&t);
}

/* Covers every kind of kernel, because each has its own code for what follows the sums. */
static void check_activations(pw_dtype dtype) {
    static const struct {
        int64_t C, K;
        layout l;
        int step;
    } shapes[] = {{1, 3, PLANAR, 1},
                  {1, 3, INTERLEAVED, 1},
                  {5, 7, INTERLEAVED, 3},
                  {5, 64, INTERLEAVED, 3},
                  {40, 48, PLANAR, 3}};
    for (int a = PW_ACT_NONE; a < PW_ACTIVATIONS; a++)
        for (int i = 0; i < 5; i++)
            for (int64_t P = 1; P <= 40; P += shapes[i].step) {
                const test_case t = {.dtype = dtype,
                                     .x_dtype = dtype,
                                     .C = shapes[i].C,
                                     .K = shapes[i].K,
                                     .groups = 1,
                                     .P = P,
                                     .rows = 1,
                                     .outer = 1,
                                     .x = shapes[i].l,
                                     .y = shapes[i].l,
                                     .r = shapes[i].l,
                                     .residual = (residual_kind)random_below(2),
                                     .activation = (pw_activation)a,
                                     .a = 1.0};
                if (!rarely()) check_activation(&t);
            }
}

/* Scratch is bounded, whatever the problem. Nothing is computed. */
static void check_scratch(pw_dtype dtype) {
    static const int64_t many[] = {1, 3, 8, 17, 48, 100, 300, 1000, 2048, 5000, 16000, 100000};
    static const int64_t pixels[] = {1, 2, 7, 49, 196, 5000};
    for (int i = 0; i < 12 * 12 * 6; i++)
        for (int n = 0; n < 4; n++) {
            if (rarely()) continue;
            test_case t = {.dtype = dtype,
                           .C = many[i % 12],
                           .K = many[i / 12 % 12],
                           .P = pixels[i / 144],
                           .rows = n % 2 ? 3 : 1,
                           .groups = 1,
                           .outer = 1};
            data d = {0};
            t.x_dtype = random_below(2) ? PW_F32 : PW_F64;
            t.affine = random_below(2);
            t.x = (layout)random_below(LAYOUTS);
            t.y = (layout)random_below(WRITABLE_LAYOUTS);
            t.r = (layout)random_below(LAYOUTS);
            t.x_rows = (row_kind)random_below(ROW_KINDS);
            t.residual = (residual_kind)random_below(3);
            now = &t;
            lay_out_all(&d);
            pw_plan *plan = new_plan(set, &d.problem);
            if (plan->scratch.bytes > MOST_SCRATCH && failed++ < MOST_PRINTED) {
                printf("%zu bytes of scratch: ", plan->scratch.bytes);
                print_case("FAILED", 1);
            } else {
                passed++;
            }
            free_plan(plan);
        }
}

static void check_set(void) {
    static const layout other[] = {PLANAR, INTERLEAVED, STRIDED};
    for (int d = 0; d < 2; d++) {
        const pw_dtype dtype = d ? PW_F64 : PW_F32;
        for (int l = 0; l < WRITABLE_LAYOUTS; l++) {
            check_small(dtype, (layout)l, (layout)l);
            check_large(dtype, (layout)l, (layout)l);
            check_small(dtype, (layout)l, other[random_below(3)]);
            check_row_by_row(dtype, (layout)l, PLANAR);
            check_row_by_row(dtype, (layout)l, INTERLEAVED);
            check_row_by_row(dtype, (layout)l, (layout)l);
        }
        check_small(dtype, ONE_PIXEL, PLANAR);
        check_small(dtype, PLANAR, INTERLEAVED);
        check_large(dtype, PLANAR, INTERLEAVED);
        check_large(dtype, INTERLEAVED, PLANAR);
        check_deep(dtype);
        check_few_channels(dtype);
        check_streaming(dtype);
        check_activations(dtype);
        check_scratch(dtype);
        check_gradients(dtype);
    }
    for (int i = 0; i < CONVERSIONS / every; i++) check_conversion();
    if (every == 1) {
        check_features();
        check_ways();
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
        memset(seen, 0, sizeof seen);
        memset(summed, 0, sizeof summed);
        check_set();
        printf("%s: %ld cases\n", pw_kernel_set_name(set), passed + failed - before);
        fflush(stdout);
    }
    if (passed + failed == 0) printf("no cases were run\n");
    printf("%ld passed, %ld failed\n", passed, failed);
    return failed || !passed;
}
