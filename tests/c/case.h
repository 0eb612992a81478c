/* A case of checkasm: its shape and layouts, its arrays between guard pages, and its expected
 * results. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "pointwise.h"

enum { MARGIN = 256 };

typedef enum {
    PLANAR,
    PLANAR_PADDED,
    INTERLEAVED,
    INTERLEAVED_PADDED,
    STRIDED,
    EVERY_SECOND,
    ODD_BYTES, /* strides that are not multiples of an element */
    REVERSED,
    REVERSED_INTERLEAVED,
    WRITABLE_LAYOUTS,
    ONE_PIXEL = WRITABLE_LAYOUTS, /* pixels 0 bytes apart; for inputs only */
    LAYOUTS
} layout;

static const char *const layout_names[] = {
    "planar",       "planar-padded", "interleaved", "interleaved-padded",   "strided",
    "every-second", "odd-bytes",     "reversed",    "reversed-interleaved", "one-pixel"};

/* Where rows of P pixels lie relative to each other. */
typedef enum {
    ONE_RUN,
    ROWS_APART,
    EVERY_SECOND_ROW,
    ROWS_BACKWARDS,
    WRITABLE_ROWS,
    SAME_ROW = WRITABLE_ROWS, /* for inputs only */
    ROW_KINDS
} row_kind;

static const char *const row_names[] = {"one-run", "apart", "every-second", "backwards", "same"};

typedef enum { NO_RESIDUAL, RESIDUAL, RESIDUAL_IS_Y } residual_kind;

typedef struct {
    pw_dtype dtype, x_dtype;
    int64_t C, K, groups, P, rows, outer;
    layout x, y, r;
    row_kind x_rows, y_rows, r_rows;
    residual_kind residual;
    int bias, in_place;
    int affine;  /* scale * x + offset takes the place of x */
    int leading; /* arrays come right after a guard page, else right before one */
    int skew;    /* bytes between an array and that page */
    pw_activation activation;
    double a, b;
    int64_t cache_bytes; /* cache size that the plan is told; 0: the real one */
} test_case;

/* Where an array's elements lie: strides, offset of the first element and extent, in bytes. */
typedef struct {
    ptrdiff_t outer, c, row, p, first;
    size_t bytes;
} view;

/* Scales and offsets of the current case. */
enum { MOST_CHANNELS = 1 << 17 };
static double scales[MOST_CHANNELS], offsets[MOST_CHANNELS];

static arena x_arena, w_arena, bias_arena, r_arena, y_arena, packed_arena;
static char *expected;
static const test_case *now;

/* A number in [-1, 1) with as many bits as a float64 has. */
static double random_value(void) {
    return (double)(random_bits() >> 11) / 4503599627370496.0 - 1.0;
}

static ptrdiff_t size_of(pw_dtype dtype) {
    return dtype == PW_F32 ? 4 : 8;
}

/* A sum or product of two float32 either needs at most 53 bits or rounds innocuously, so rounding
 * the float64 result once more gives the float32 result. */
static double rounded(pw_dtype dtype, double value) {
    return dtype == PW_F32 ? (double)(float)value : value;
}

static double fused(pw_dtype dtype, double w, double x, double acc) {
    return dtype == PW_F32 ? (double)fmaf((float)w, (float)x, (float)acc) : fma(w, x, acc);
}

static double load(pw_dtype dtype, const char *at) {
    float f;
    double d;
    if (dtype == PW_F32) return memcpy(&f, at, sizeof f), f;
    return memcpy(&d, at, sizeof d), d;
}

static void store(pw_dtype dtype, char *at, double value) {
    const float f = (float)value;
    if (dtype == PW_F32)
        memcpy(at, &f, sizeof f);
    else
        memcpy(at, &value, sizeof value);
}

/* scale * x + offset, rounded once. A float64 x may have more bits than the sums. */
static double term(int64_t c, double x) {
    if (!now->affine) return rounded(now->dtype, x);
    if (now->x_dtype == PW_F64) return rounded(now->dtype, fma(scales[c], x, offsets[c]));
    return fused(now->dtype, scales[c], x, offsets[c]);
}

static char *place(arena a, size_t bytes) {
    if (bytes + MARGIN > (size_t)(a.end - a.start)) {
        fprintf(stderr, "an arena is too small for %zu bytes\n", bytes);
        exit(2);
    }
    return now->leading ? a.start + now->skew : a.end - now->skew - bytes;
}

static view lay_out(layout l, row_kind rows, pw_dtype dtype, int64_t channels) {
    const ptrdiff_t size = size_of(dtype), n = channels;
    const int interleaved =
        l == INTERLEAVED || l == INTERLEAVED_PADDED || l == REVERSED_INTERLEAVED || l == ONE_PIXEL;
    view v = {0};
    ptrdiff_t gap = 0; /* between planes */
    switch (l) {
    case PLANAR_PADDED: v.p = size, gap = 3 * size; break;
    case INTERLEAVED:
    case REVERSED_INTERLEAVED: v.p = n * size; break;
    case INTERLEAVED_PADDED: v.p = (n + 1) * size; break;
    case STRIDED: v.p = 3 * size, gap = 7 * size; break;
    case EVERY_SECOND: v.p = 2 * size; break;
    case ODD_BYTES: v.p = 2 * size + 1, gap = 3; break;
    case ONE_PIXEL: break;
    default: v.p = size;
    }
    const ptrdiff_t run = now->P * v.p;
    v.row = rows == ROWS_APART ? run + 3 * v.p : rows == EVERY_SECOND_ROW ? 2 * run : run;
    const ptrdiff_t image = rows == SAME_ROW ? run : now->rows * v.row;
    if (rows == SAME_ROW) v.row = 0;
    v.c = interleaved ? size : image + gap;
    v.outer = l == ONE_PIXEL ? n * size : interleaved ? image : n * v.c;
    v.bytes = (size_t)((now->outer - 1) * v.outer + (n - 1) * v.c + (now->rows - 1) * v.row +
                       (now->P - 1) * v.p + size);
    if (rows == ROWS_BACKWARDS) v.first = (now->rows - 1) * v.row, v.row = -v.row;
    if (l == REVERSED || l == REVERSED_INTERLEAVED) {
        v.first = (ptrdiff_t)v.bytes - size - v.first;
        v.outer = -v.outer, v.c = -v.c, v.row = -v.row, v.p = -v.p;
    }
    return v;
}

/* Offset of pixel i of all rows from the first pixel of its outer index and channel. */
static ptrdiff_t pixel(view v, int64_t i) {
    return i / now->P * v.row + i % now->P * v.p;
}

static void fill(pw_dtype dtype, char *to, view v, int64_t channels) {
    memset(to, 0xa5, v.bytes);
    for (int64_t o = 0; o < now->outer; o++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < now->rows * now->P; i++)
                store(dtype, to + v.first + o * v.outer + c * v.c + pixel(v, i), random_value());
}

static double activated(double s) {
    const double a = rounded(now->dtype, now->a), b = rounded(now->dtype, now->b);
    switch (now->activation) {
    case PW_ACT_RELU: return s > 0 ? s : 0;
    case PW_ACT_RELU6: return s > 0 ? (s < 6 ? s : 6) : 0;
    case PW_ACT_CLIP: return s < a ? a : s > b ? b : s;
    case PW_ACT_LEAKY_RELU: return s > 0 ? s : rounded(now->dtype, a * s);
    default: return s;
    }
}

/* The arrays of a case in memory. */
typedef struct {
    view xv, yv, rv;
    char *x, *w, *bias, *r, *y;
    const char *r0; /* where the residual's first element lies, or NULL */
    pw_problem problem;
} data;

/* The specification. It writes to `expected`, which has the extent of y. */
static void convolve(const data *d) {
    const pw_dtype T = now->dtype;
    const int64_t C = now->C / now->groups, K = now->K / now->groups;
    const ptrdiff_t size = size_of(T);
    for (int64_t o = 0; o < now->outer; o++)
        for (int64_t k = 0; k < now->K; k++)
            for (int64_t i = 0; i < now->rows * now->P; i++) {
                const char *x = d->x + d->xv.first + o * d->xv.outer + pixel(d->xv, i);
                const ptrdiff_t at = d->yv.first + o * d->yv.outer + k * d->yv.c + pixel(d->yv, i);
                double sum = d->bias ? load(T, d->bias + k * size) : 0;
                for (int64_t c = 0; c < C; c++) {
                    const int64_t of = k / K * C + c;
                    sum = fused(T, load(T, d->w + (k * C + c) * size),
                                term(of, load(now->x_dtype, x + of * d->xv.c)), sum);
                }
                if (now->residual != NO_RESIDUAL) {
                    const ptrdiff_t r = o * d->rv.outer + k * d->rv.c + pixel(d->rv, i);
                    sum = rounded(T, sum + load(T, d->r0 + r));
                }
                store(T, expected + at, activated(sum));
            }
}

static void add_axis(pw_problem *p, int64_t n, ptrdiff_t x, ptrdiff_t y, ptrdiff_t r) {
    p->outer_n[p->outer] = n;
    p->x_outer[p->outer] = x;
    p->y_outer[p->outer] = y;
    p->r_outer[p->outer] = r;
    p->outer++;
}

static pw_problem describe(const data *d) {
    pw_problem problem = {
        .dtype = now->dtype,
        .x_dtype = now->x_dtype,
        .y_dtype = now->dtype,
        .components = 1,
        .C = now->C,
        .K = now->K,
        .groups = now->groups,
        .P = now->P,
        .x_c = d->xv.c,
        .x_p = d->xv.p,
        .y_k = d->yv.c,
        .y_p = d->yv.p,
        .r_k = d->rv.c,
        .r_p = d->rv.p,
        .has_residual = now->residual != NO_RESIDUAL,
        .in_place = now->in_place,
        .activation = now->activation,
        .a = now->a,
        .b = now->b,
        .scale = now->affine ? scales : NULL,
        .offset = now->affine ? offsets : NULL,
    };
    if (now->outer > 1) add_axis(&problem, now->outer, d->xv.outer, d->yv.outer, d->rv.outer);
    if (now->rows > 1) add_axis(&problem, now->rows, d->xv.row, d->yv.row, d->rv.row);
    return problem;
}

static void lay_out_all(data *d) {
    const int64_t K = now->K;
    d->xv = lay_out(now->x, now->x_rows, now->x_dtype, now->C);
    d->yv = lay_out(now->y, now->y_rows, now->dtype, K);
    d->rv = now->residual == RESIDUAL ? lay_out(now->r, now->r_rows, now->dtype, K) : d->yv;
    d->problem = describe(d);
}

static void prepare(data *d) {
    const int64_t C = now->C / now->groups, K = now->K;
    const size_t size = (size_t)size_of(now->dtype);
    lay_out_all(d);
    d->y = place(y_arena, d->yv.bytes);
    d->x = now->in_place ? d->y : place(x_arena, d->xv.bytes);
    d->r = now->residual == RESIDUAL ? place(r_arena, d->rv.bytes) : d->y;
    d->w = place(w_arena, (size_t)(K * C) * size);
    d->bias = now->bias ? place(bias_arena, (size_t)K * size) : NULL;
    for (int64_t i = 0; i < K * C; i++) store(now->dtype, d->w + i * size, random_value());
    /* Lanes that are computed but not used must not leak into others: inf * 0 would show. */
    if (random_below(4) == 0)
        store(now->dtype, d->w + random_below((int)(K * C)) * (ptrdiff_t)size, INFINITY);
    for (int64_t k = 0; d->bias && k < K; k++)
        store(now->dtype, d->bias + k * size, random_value());
    for (int64_t c = 0; now->affine && c < now->C; c++) {
        scales[c] = random_below(9) ? random_value() : 0;
        /* Not both are 0: with an infinite weight that gives NaN, whose bits depend on the CPU. */
        offsets[c] = scales[c] == 0 || random_below(9) ? random_value() : 0;
        if (random_below(4) == 0) offsets[c] *= 1e4;
    }
    fill(now->x_dtype, d->x, d->xv, now->C);
    if (now->residual == RESIDUAL) fill(now->dtype, d->r, d->rv, K);
}
