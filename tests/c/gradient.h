/* Checks gradients: compares sums over pixels with sums in a wider type, compares their bits with
 * several threads, and counts which kernels and paths took part. */
#include "gradient/plan.h"

typedef enum {
    SUMMED_DOTS,
    SUMMED_PANELS,
    SUMMED_SWAPPED,
    SUMMED_JOINED,
    SUMMED_BY_SEGMENT,
    SUMMED_BY_TILE,
    SUMMED_DIRECTLY,
    SUMMED_STAGED_A,
    SUMMED_STAGED_B,
    SUMMED_PREFETCHED,
    WAYS_TO_SUM
} way_to_sum;
static const char *const ways_to_sum[] = {"dots",       "panels",    "swapped",  "joined",
                                          "by segment", "by tile",   "directly", "a staged",
                                          "b staged",   "prefetched"};
static long summed[WAYS_TO_SUM];

static void count_ways(const pw_gradient *plan) {
    summed[SUMMED_DOTS] += plan->dots;
    summed[SUMMED_PANELS] += !plan->dots && !plan->swapped;
    summed[SUMMED_SWAPPED] += plan->swapped;
    summed[SUMMED_JOINED] += plan->joined;
    summed[SUMMED_BY_SEGMENT] += plan->by_segment;
    summed[SUMMED_BY_TILE] += plan->segments > 1 && !plan->by_segment;
    summed[SUMMED_DIRECTLY] += pw_gradient_is_direct(plan);
    summed[SUMMED_STAGED_A] += plan->a.staged;
    summed[SUMMED_STAGED_B] += plan->b.staged;
    summed[SUMMED_PREFETCHED] += plan->prefetch;
}

static void check_ways(void) {
    const int vectors = strcmp(pw_kernel_set_name(set), "scalar") != 0;
    for (int i = 0; i < WAYS_TO_SUM; i++) {
        if (!vectors && i == SUMMED_SWAPPED) continue; /* swapping gains nothing there */
        if (summed[i]) continue;
        printf("FAILED: no gradient was summed: %s\n", ways_to_sum[i]);
        failed++;
    }
}

/* The sum over pixels of the products of channels k of y and c of x, of group g; c < 0: ones take
 * the place of x. `low` collects the rounding errors of products and sums, as in Dot2 of Ogita,
 * Rump and Oishi, "Accurate sum and dot product", 2005. `size`: the sum of the products' sizes. */
static void sum_up(const data *d, int64_t g, int64_t k, int64_t c, double *sum, double *size) {
    const int64_t C = now->C / now->groups, K = now->K / now->groups;
    double high = 0, low = 0;
    *size = 0;
    for (int64_t o = 0; o < now->outer; o++)
        for (int64_t row = 0; row < now->rows; row++) {
            const char *x = d->x + d->xv.first + o * d->xv.outer + (g * C + c) * d->xv.c;
            const char *y = d->y + d->yv.first + o * d->yv.outer + (g * K + k) * d->yv.c;
            for (int64_t p = 0; p < now->P; p++) {
                const double a = load(now->dtype, y + row * d->yv.row + p * d->yv.p);
                const double b = c < 0 ? 1 : load(now->dtype, x + row * d->xv.row + p * d->xv.p);
                const double product = a * b, total = high + product, part = total - high;
                low += (high - (total - part)) + (product - part) + fma(a, b, -product);
                high = total;
                *size += fabs(product);
            }
        }
    *sum = high + low;
}

static int is_near(double actual, double sum, double bound) {
    return isfinite(bound) ? fabs(actual - sum) <= bound : !isfinite(actual);
}

static int64_t count_wrong(const data *d, const pw_gradient *plan, const char *dw, const char *db) {
    const int64_t C = now->C / now->groups, K = now->K / now->groups;
    const double eps = now->dtype == PW_F32 ? 0x1p-23 : 0x1p-52;
    const double terms = PW_GRADIENT_BLOCK + 2 * sqrt((double)plan->blocks) + 2;
    const ptrdiff_t step = size_of(now->dtype);
    double sum, size;
    int64_t wrong = 0;
    for (int64_t k = 0; k < now->K; k++) {
        for (int64_t c = 0; dw && c < C; c++) {
            sum_up(d, k / K, k % K, c, &sum, &size);
            wrong += !is_near(load(now->dtype, dw + (k * C + c) * step), sum, terms * eps * size);
        }
        if (!db) continue;
        sum_up(d, k / K, k % K, -1, &sum, &size);
        wrong += !is_near(load(now->dtype, db + k * step), sum, terms * eps * size);
    }
    return wrong;
}

/* Reverses the bytes of every element. Elements must not overlap. */
static void swap_all(char *to, view v, int64_t channels) {
    const ptrdiff_t size = size_of(now->dtype);
    for (int64_t o = 0; o < now->outer; o++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < now->rows * now->P; i++) {
                char *element = to + v.first + o * v.outer + c * v.c + pixel(v, i);
                for (ptrdiff_t b = 0; b < size / 2; b++) {
                    const char low = element[b];
                    element[b] = element[size - 1 - b];
                    element[size - 1 - b] = low;
                }
            }
}

/* Unlike place(), keeps results aligned to their elements. */
static char *place_result(arena a, size_t bytes) {
    return now->leading ? a.start : a.end - bytes;
}

/* Checks the gradients of weights and bias, or that of the bias alone. */
static void check_gradient(const test_case *t, int weights) {
    static const int threads[] = {1, 2, 3, 7};
    now = t;
    data d = {0};
    lay_out_all(&d);
    if (!weights) d.problem.C = 0;
    d.x = place(x_arena, d.xv.bytes);
    d.y = place(y_arena, d.yv.bytes);
    fill(t->dtype, d.x, d.xv, t->C);
    fill(t->dtype, d.y, d.yv, t->K);
    /* Lanes of padding or of other channels must not leak: inf * 0 would show. */
    if (random_below(4) == 0)
        store(t->dtype, d.x + d.xv.first + random_below((int)t->C) * d.xv.c, INFINITY);
    const int may_swap = t->x != ONE_PIXEL && t->x_rows != SAME_ROW && t->y != ONE_PIXEL;
    d.problem.x_swapped = may_swap && random_below(4) == 0;
    d.problem.y_swapped = may_swap && t->y_rows != SAME_ROW && random_below(4) == 0;
    pw_gradient *plan = pw_gradient_new(set, &d.problem);
    if (!plan) exit(2);
    count_ways(plan);
    if (d.problem.x_swapped) swap_all(d.x, d.xv, t->C);
    if (d.problem.y_swapped) swap_all(d.y, d.yv, t->K);
    const size_t size = (size_t)size_of(t->dtype);
    const size_t w_bytes = (size_t)(t->K * (t->C / t->groups)) * size;
    char *dw = weights ? place_result(r_arena, w_bytes) : NULL;
    char *db = t->bias ? place_result(bias_arena, (size_t)t->K * size) : NULL;
    char *first = malloc(w_bytes + (size_t)t->K * size);
    int same = 1;
    for (int i = 0; i < 4; i++) {
        threads_now = threads[i];
        if (dw) memset(dw, 0xa5, w_bytes);
        if (db) memset(db, 0xa5, (size_t)t->K * size);
        if (pw_gradient_run(plan, d.x + d.xv.first, d.y + d.yv.first, dw, db, threads[i])) exit(2);
        if (i == 0 && dw) memcpy(first, dw, w_bytes);
        if (i == 0 && db) memcpy(first + w_bytes, db, (size_t)t->K * size);
        same &= !dw || memcmp(first, dw, w_bytes) == 0;
        same &= !db || memcmp(first + w_bytes, db, (size_t)t->K * size) == 0;
    }
    if (d.problem.x_swapped) swap_all(d.x, d.xv, t->C);
    if (d.problem.y_swapped) swap_all(d.y, d.yv, t->K);
    const int64_t wrong = count_wrong(&d, plan, dw, db);
    same && !wrong ? passed++ : failed++;
    if ((!same || wrong) && failed < MOST_PRINTED) {
        print_case(same ? "FAILED gradient" : "FAILED gradient, depends on threads", 1);
        printf("    %" PRId64 " wrong: %s\n", wrong, pw_gradient_describe(plan));
    }
    free(first);
    pw_gradient_free(plan);
}

static void check_sums(pw_dtype dtype, layout x, layout y, int64_t C, int64_t K, int64_t P,
                       int64_t rows) {
    for (int leading = 0; leading < 2; leading++) {
        if (random_below(every)) continue;
        test_case t = {.dtype = dtype,
                       .x_dtype = dtype,
                       .C = C ? C : 1,
                       .K = K,
                       .groups = 1,
                       .P = P,
                       .rows = rows,
                       .outer = 1,
                       .x = x,
                       .y = y,
                       .leading = leading};
        t.bias = C == 0 || random_below(3);
        t.skew = random_below(4) ? 0 : random_below(64);
        if (C * K * P * rows < 20000) t.outer += 2 * random_below(2);
        if (random_below(6) == 0 && C < 100 && K < 100) t.groups = 3, t.C *= 3, t.K *= 3;
        if (rows > 1) {
            t.x_rows = (row_kind)random_below(ROW_KINDS);
            t.y_rows = (row_kind)random_below(ROW_KINDS);
        }
        check_gradient(&t, C > 0);
    }
}

/* Scratch is bounded, whatever the problem. Nothing is computed. */
static void check_gradient_scratch(pw_dtype dtype) {
    static const int64_t many[] = {1, 3, 8, 17, 48, 100, 300, 1000, 2048, 5000, 16000, 100000};
    static const int64_t pixels[] = {1, 2, 49, 196, 5000, 40000000};
    for (int i = 0; i < 12 * 12 * 6; i++) {
        test_case t = {.dtype = dtype,
                       .x_dtype = dtype,
                       .C = many[i % 12],
                       .K = many[i / 12 % 12],
                       .P = pixels[i / 144],
                       .rows = random_below(2) ? 3 : 1,
                       .groups = 1,
                       .outer = 1};
        t.x = (layout)random_below(LAYOUTS), t.y = (layout)random_below(LAYOUTS);
        t.x_rows = (row_kind)random_below(ROW_KINDS);
        data d = {0};
        now = &t;
        lay_out_all(&d);
        d.problem.x_swapped = random_below(2), d.problem.y_swapped = random_below(2);
        pw_gradient *plan = pw_gradient_new(set, &d.problem);
        if (!plan) exit(2);
        plan->scratch.bytes > MOST_SCRATCH ? failed++ : passed++;
        if (plan->scratch.bytes > MOST_SCRATCH && failed < MOST_PRINTED)
            printf("FAILED: %zu bytes of scratch: %s\n", plan->scratch.bytes,
                   pw_gradient_describe(plan));
        pw_gradient_free(plan);
    }
}

/* Tails of K, C and P; every pair of layouts; rows that can be joined, and rows that cannot. */
static void check_gradients(pw_dtype dtype) {
    static const struct {
        int64_t C, K, P;
    } shapes[] = {{3, 3, 20011}, {50, 20, 3000},  {17, 130, 777}, {130, 17, 777}, {64, 64, 1024},
                  {4, 200, 900}, {520, 257, 780}, {300, 70, 49},  {0, 9, 5000},   {1, 1, 40000}};
    for (int l = 0; l < LAYOUTS * LAYOUTS; l++) {
        const layout x = (layout)(l % LAYOUTS), y = (layout)(l / LAYOUTS);
        for (int i = 0; i < 6; i++)
            check_sums(dtype, x, y, 1 + random_below(70), 1 + random_below(30),
                       1 + random_below(140), random_below(3) ? 1 : 1 + random_below(20));
        check_sums(dtype, x, y, 0, 1 + random_below(40), 1 + random_below(600), 1);
        if (l < 2 * LAYOUTS)
            check_sums(dtype, x, y, 1 + random_below(9), 1 + random_below(9), 128 + random_below(9),
                       1 + random_below(9));
    }
    check_gradient_scratch(dtype);
    for (int i = 0; i < 10; i++) {
        const int planar = random_below(2);
        check_sums(dtype, PLANAR, PLANAR, shapes[i].C, shapes[i].K, shapes[i].P, 1);
        check_sums(dtype, INTERLEAVED, INTERLEAVED, shapes[i].C, shapes[i].K, shapes[i].P, 1);
        check_sums(dtype, planar ? PLANAR : STRIDED, planar ? INTERLEAVED : PLANAR, shapes[i].C,
                   shapes[i].K, shapes[i].P, 1);
    }
}
