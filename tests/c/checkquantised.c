/* Runs all quantised kernels that work on this CPU and compares their bytes with the definition, in
 * all layouts, with every small tail, between guard pages: single calls, and plans whose weights were
 * packed before, run again and again.
 *
 *     checkquantised [seed] [kernel set, or all] [n: runs every nth case, drawn at random]
 *
 * The output is poisoned first and compared whole, with the gaps between its elements.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/scratch.h"
#include "memory.h"
#include "pointwise.h"

enum { MARGIN = 256, MOST_PRINTED = 20, MOST_K = 1600 };

typedef enum { PLANAR, PADDED, INTERLEAVED, RECORDS, STRIDED, REVERSED, LAYOUTS } layout;

typedef struct {
    int64_t C, K, P, outer;
    layout x, y;
    pw_qproblem problem;
    int bias, leading, skew;
    int64_t cache;
} test_case;

/* Where an array's elements lie: strides, offset of the first element and extent. */
typedef struct {
    ptrdiff_t outer, c, p, first;
    size_t bytes;
} view;

static const pw_qkernels *kernels;
static arena x_arena, w_arena, bias_arena, y_arena, packed_arena;
static test_case now;
static int threads_now, every = 1;
static long passed, failed;
static int32_t w_zero[MOST_K];
static float scale[MOST_K];

enum { THREAD_COUNTS = 3 };
static const int thread_counts[THREAD_COUNTS] = {1, 2, 5};

static void print_case(const char *what) {
    const pw_qproblem *q = &now.problem;
    printf("%s: %s C=%" PRId64 " K=%" PRId64 " P=%" PRId64 " outer=%" PRId64
           " x:%d y:%d signed:%d%d%d zeros:%d %d.. %d lo=%d hi=%d bias=%d in_place=%d leading=%d "
           "skew=%d cache=%" PRId64 " threads=%d\n",
           what, pw_qkernels_name(kernels), now.C, now.K, now.P, now.outer, now.x, now.y,
           q->x_signed, q->w_signed, q->y_signed, q->x_zero, w_zero[0], q->y_zero, q->lo, q->hi,
           now.bias, q->in_place, now.leading, now.skew, now.cache, threads_now);
}

static void on_crash(int signal_number) {
    print_case(signal_number == SIGSEGV ? "CRASH (SIGSEGV)" : "CRASH (SIGBUS)");
    fflush(stdout);
    _exit(1);
}

static char *place(arena a, size_t bytes) {
    if (bytes + MARGIN + (size_t)now.skew > (size_t)(a.end - a.start)) {
        fprintf(stderr, "an arena is too small for %zu bytes\n", bytes);
        exit(2);
    }
    return now.leading ? a.start + now.skew : a.end - now.skew - bytes;
}

static view lay_out(layout l, int64_t channels) {
    const ptrdiff_t n = channels, P = now.P;
    view v = {0};
    switch (l) {
    case PLANAR:
    case REVERSED: v.p = 1, v.c = P, v.outer = n * P; break;
    case PADDED: v.p = 1, v.c = P + 5, v.outer = n * v.c; break;
    case INTERLEAVED: v.p = n, v.c = 1, v.outer = n * P; break;
    case RECORDS: v.p = n + 3, v.c = 1, v.outer = P * v.p; break;
    default: v.p = 3, v.c = 3 * P + 1, v.outer = n * v.c;
    }
    v.bytes = (size_t)((now.outer - 1) * v.outer + (n - 1) * v.c + (P - 1) * v.p + 1);
    if (l == REVERSED) {
        v.first = (ptrdiff_t)v.bytes - 1;
        v.outer = -v.outer, v.c = -v.c, v.p = -v.p;
    }
    return v;
}

static int byte_of(const char *at, int is_signed) {
    return is_signed ? *(const int8_t *)at : *(const uint8_t *)at;
}

static int random_byte(int is_signed) {
    return random_below(256) - (is_signed ? 128 : 0);
}

/* The definition. It writes to `y`. */
static void convolve(const char *w, const char *bias, const char *x, view xv, char *y, view yv) {
    const pw_qproblem *q = &now.problem;
    for (int64_t o = 0; o < now.outer; o++)
        for (int64_t k = 0; k < now.K; k++)
            for (int64_t p = 0; p < now.P; p++) {
                const char *from = x + xv.first + o * xv.outer + p * xv.p;
                int64_t sum = 0;
                int32_t b = 0;
                if (bias) memcpy(&b, bias + k * 4, sizeof b);
                for (int64_t c = 0; c < now.C; c++)
                    sum += (byte_of(w + k * now.C + c, q->w_signed) - w_zero[k]) *
                           (byte_of(from + c * xv.c, q->x_signed) - q->x_zero);
                const int32_t wrapped = (int32_t)(uint32_t)(uint64_t)(sum + b);
                const double rounded = rint((double)((float)wrapped * scale[k])) + q->y_zero;
                const double kept = rounded < q->lo ? q->lo : rounded > q->hi ? q->hi : rounded;
                y[yv.first + o * yv.outer + k * yv.c + p * yv.p] = (char)(int)kept;
            }
}

/* Draws at random what a case leaves open. */
static void draw(pw_qproblem *q, view xv, view yv) {
    const double usual = 60 / (70.0 * 70 * sqrt((double)now.C + 1));
    const int wild = random_below(8) == 0, same_zero = random_below(4),
              big_bias = random_below(8) == 0;
    q->C = now.C, q->K = now.K, q->P = now.P;
    q->x_c = xv.c, q->x_p = xv.p, q->y_k = yv.c, q->y_p = yv.p;
    if (now.outer > 1) {
        q->outer = 1, q->outer_n[0] = now.outer;
        q->x_outer[0] = xv.outer, q->y_outer[0] = yv.outer;
    }
    q->x_signed = random_below(2), q->w_signed = random_below(2), q->y_signed = random_below(2);
    q->x_zero = random_byte(q->x_signed), q->y_zero = random_byte(q->y_signed);
    if (random_below(4) == 0) q->x_zero = q->x_signed ? -128 : 0;
    q->lo = q->y_signed ? -128 : 0, q->hi = q->lo + 255;
    if (random_below(3) == 0) q->lo += random_below(100), q->hi -= random_below(100);
    for (int64_t k = 0; k < now.K; k++) {
        const int zero =
            same_zero ? (k ? w_zero[0] : random_byte(q->w_signed)) : random_byte(q->w_signed);
        w_zero[k] = same_zero == 3 ? (q->w_signed ? 0 : 128) : zero;
        scale[k] = (float)(usual * (1 + random_below(100) / 50.0));
        if (wild) scale[k] = ldexpf(1, random_below(140) - 70);
        if (random_below(9) == 0) scale[k] = 0.5f; /* ties */
        int32_t b = random_below(20001) - 10000;
        if (big_bias) b = random_below(2) ? INT32_MAX - random_below(1000) : INT32_MIN;
        if (now.bias) memcpy(place(bias_arena, (size_t)now.K * 4) + k * 4, &b, sizeof b);
    }
}

/* A plan of the case, made of copies that are freed. */
static pw_qplan *new_plan(const pw_qproblem *problem) {
    pw_qproblem q = *problem;
    const size_t n = (size_t)q.K;
    int32_t *zeros = malloc(n * sizeof *zeros);
    float *scales = malloc(n * sizeof *scales);
    if (!zeros || !scales) exit(2);
    memcpy(zeros, w_zero, n * sizeof *zeros);
    memcpy(scales, scale, n * sizeof *scales);
    q.w_zero = zeros, q.scale = scales;
    pw_qplan *plan = pw_qplan_new(kernels, &q);
    if (!plan) exit(2);
    free(zeros);
    free(scales);
    return plan;
}

/* A plan for other pixels, whose packed weights are those of `plan`; or `plan`. */
static pw_qplan *new_packing_plan(pw_qplan *plan) {
    pw_qproblem q = now.problem;
    q.P = 1 + random_below(100), q.outer = 0;
    q.x_c = random_below(2) ? 1 : q.P, q.x_p = q.x_c == 1 ? q.C : 1;
    pw_qplan *other = new_plan(&q);
    if (pw_qplan_layout(other) == pw_qplan_layout(plan)) return other;
    pw_qplan_free(other);
    return plan;
}

typedef struct {
    char *w, *bias, *x, *y; /* x, y: the first elements */
    char *from;             /* all bytes near y, */
    const char *before, *wanted;
    size_t bytes;
} call_data;

static int same;

/* Runs, by packed weights or by those of the call, and compares. */
static void run(const pw_qplan *plan, const void *packed, const call_data *d, int threads) {
    threads_now = threads;
    memcpy(d->from, d->before, d->bytes);
    const pw_status status = packed
                                 ? pw_qrun(plan, packed, d->x, d->y, threads)
                                 : pw_qconv(plan, d->w, now.C, 1, d->bias, 4, d->x, d->y, threads);
    if (status != PW_OK) exit(2);
    if (memcmp(d->from, d->wanted, d->bytes) == 0 || !same) return;
    if (failed < MOST_PRINTED) print_case(packed ? "FAILED, packed before" : "FAILED");
    same = 0;
}

/* Weights in poisoned memory that ends at a guard page; those of the caller are overwritten then. */
static void run_packed(pw_qplan *plan, const call_data *d) {
    pw_qplan *packing = new_packing_plan(plan);
    const size_t bytes = pw_qpacked_bytes(plan);
    char *packed = pw_aligned_alloc(bytes);
    if (!packed || bytes != pw_qpacked_bytes(packing)) exit(2);
    memset(packed, 0xa5, bytes);
    char *at = packed_arena.end - (bytes + 63) / 64 * 64;
    if (at < packed_arena.start) exit(2);
    pw_qpack(packing, d->w, now.C, 1, d->bias, 4, packed);
    memcpy(at, packed, bytes);
    if (packing != plan) pw_qplan_free(packing);
    for (int64_t i = 0; i < now.K * now.C; i++) d->w[i] = (char)0xa5;
    if (d->bias) memset(d->bias, 0xa5, (size_t)now.K * 4);
    for (int i = 0; i < THREAD_COUNTS; i++) run(plan, at, d, thread_counts[i]);
    run(plan, packed, d, 1);
    if (memcmp(at, packed, bytes) != 0) same = 0;
    free(packed);
}

static void check(void) {
    if (random_below(every)) return;
    const view xv = lay_out(now.x, now.C ? now.C : 1), yv = lay_out(now.y, now.K);
    now.leading = random_below(2);
    if (!now.skew) now.skew = random_below(3) ? 0 : random_below(70);
    now.bias = random_below(4) != 0;
    draw(&now.problem, xv, yv);
    char *w = place(w_arena, (size_t)(now.K * now.C) + 1);
    char *bias = now.bias ? place(bias_arena, (size_t)now.K * 4) : NULL;
    char *y = place(y_arena, yv.bytes);
    char *x = now.problem.in_place ? y : place(x_arena, xv.bytes);
    if (!now.leading) w++; /* the spare byte comes first, so that none comes after the weights */
    for (int64_t i = 0; i < now.K * now.C; i++) w[i] = (char)random_bits();

    char *from = now.leading ? y - now.skew : y - MARGIN;
    const size_t bytes = yv.bytes + MARGIN + (size_t)now.skew;
    char *before = malloc(bytes), *wanted = malloc(bytes);
    if (!before || !wanted) exit(2);
    for (size_t i = 0; i < bytes; i++) from[i] = (char)0xa5;
    for (size_t i = 0; i < xv.bytes; i++) x[i] = (char)random_bits();
    memcpy(before, from, bytes);
    memcpy(wanted, from, bytes);
    convolve(w, bias, x, xv, wanted + (y - from), yv);
    const call_data d = {w, bias, x + xv.first, y + yv.first, from, before, wanted, bytes};
    same = 1;
    cache_bytes = now.cache;
    pw_qplan *plan = new_plan(&now.problem);
    for (int i = 0; i < THREAD_COUNTS; i++) run(plan, NULL, &d, thread_counts[i]);
    run_packed(plan, &d);
    pw_qplan_free(plan);
    cache_bytes = 0;
    same ? passed++ : failed++;
    free(before);
    free(wanted);
}

static void check_shape(layout x, layout y, int64_t C, int64_t K, int64_t P, int64_t outer) {
    memset(&now, 0, sizeof now);
    now.C = C, now.K = K, now.P = P, now.outer = outer, now.x = x, now.y = y;
    now.problem.in_place = C == K && x == y && C <= PW_QCONV_IN_PLACE && random_below(2);
    check();
}

/* Every tail of pixels, of output channels and of input channels. */
static void check_tails(layout x, layout y) {
    for (int64_t P = 1; P <= 140; P++)
        check_shape(x, y, 1 + random_below(9), 1 + random_below(20), P, 1 + random_below(2));
    for (int64_t K = 1; K <= 80; K++)
        check_shape(x, y, 1 + random_below(70), K, 1 + random_below(70), 1);
    for (int64_t C = 1; C <= 140; C++)
        check_shape(x, y, C, random_below(2) ? C : 1 + random_below(9), 1 + random_below(20), 1);
    check_shape(x, y, 0, 7, 20, 1);
}

/* Many channels: leftover pixels go to dot kernels, sums are kept between passes, and weights that
 * fill vectors are read in place. */
static void check_deep(layout x, layout y) {
    static const int64_t depths[] = {64, 128, 255, 256, 320, 1000, 2048, 2049, 4096, 4100, 9001};
    for (int i = 0; i < 11; i++) {
        const int64_t C = depths[i];
        check_shape(x, y, C, 1 + random_below(70), 1 + random_below(C < 1000 ? 70 : 20), 1);
        check_shape(x, y, C, 1 + random_below(C < 1000 ? 200 : 20), 1, 1 + random_below(3));
        if (C == 1000) check_shape(x, y, C, C, 3, 1);
    }
    for (int64_t P = 1; P < 70; P += 1 + random_below(3))
        check_shape(x, y, 256 + 64 * random_below(4), 1 + random_below(90), P, 1);
}

/* Enough work for threads. */
static void check_large(layout x, layout y) {
    check_shape(x, y, 50, 20, 6000 + random_below(200), 1);
    check_shape(x, y, 130, 300, 100, 2);
    check_shape(x, y, 3, 70, 12000, 1);
    check_shape(x, y, 5000, 1040, 1 + random_below(9), 1);
}

/* Slices of the channels that begin within a tile, for dot kernels, which read past the last
 * channel of a slice. */
static void check_slices(void) {
    for (int i = 0; i < 12; i++) {
        const int64_t K = 300 + random_below(MOST_K - 300);
        check_shape(PLANAR, PLANAR, 600 + random_below(900), K, 1 + random_below(15), 1);
    }
    check_shape(PLANAR, PLANAR, 1040, 405, 5, 1);
    check_shape(PLANAR, PLANAR, 640, 1533, 5, 1);
}

/* Planes larger than the caches, of whole cache lines, with some pixels before the first whole line
 * and after the last. */
static void check_streaming(void) {
    for (int i = 0; i < 40; i++) {
        memset(&now, 0, sizeof now);
        now.C = 1 + random_below(9), now.K = 1 + random_below(20);
        now.P = 64 * (1 + random_below(9)), now.outer = 1 + random_below(2);
        now.x = (layout)random_below(LAYOUTS), now.y = PLANAR;
        now.cache = 1024, now.skew = 1 + random_below(64);
        check();
    }
    check_shape(PLANAR, PLANAR, 40, 30, 64 * 300, 1);
}

static void check_kernels(void) {
    for (int x = 0; x < LAYOUTS; x++)
        for (int y = 0; y < LAYOUTS; y++) {
            check_tails((layout)x, (layout)y);
            check_deep((layout)x, (layout)y);
            if (every == 1 || x == y) check_large((layout)x, (layout)y);
        }
    check_slices();
    check_streaming();
}

int main(int argc, char **argv) {
    const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
    const char *only = argc > 2 && strcmp(argv[2], "all") != 0 ? argv[2] : NULL;
    if (argc > 3 && atoi(argv[3]) > 0) every = atoi(argv[3]);
    signal(SIGSEGV, on_crash);
    signal(SIGBUS, on_crash);
    printf("%s, seed %" PRIu64 "\n", pw_compiler(), seed);
    x_arena = new_arena(8 << 20);
    w_arena = new_arena(8 << 20);
    bias_arena = new_arena(1 << 16);
    y_arena = new_arena(8 << 20);
    packed_arena = new_arena(16 << 20);
    for (int i = 0; pw_kernel_set_at(i); i++) {
        const pw_kernel_set *set = pw_kernel_set_at(i);
        if (only && strcmp(only, pw_kernel_set_name(set)) != 0) continue;
        for (int j = 0; (kernels = pw_qkernels_at(set, j)); j++) {
            const long before = passed + failed;
            if (!pw_qkernels_works(kernels)) {
                printf("%s: not on this CPU\n", pw_qkernels_name(kernels));
                continue;
            }
            random_state = seed;
            check_kernels();
            printf("%s: %ld cases\n", pw_qkernels_name(kernels), passed + failed - before);
            fflush(stdout);
        }
    }
    if (passed + failed == 0) printf("no cases were run\n");
    printf("%ld passed, %ld failed\n", passed, failed);
    return failed || !passed;
}
