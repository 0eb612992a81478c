/* Kernels that convert, move or finish elements, and those that look for missing ones. What they make is
 * compared with what the scalar set's make. Stores past the caches are left out: level 1 has no part
 * in them. */
#include "bench_pairs.h"

enum {
    ROWS_OF = 4,
    ELEMENTS = 256, /* in each */
    HEAD_CHANNELS = 16,
    TURN_CHANNELS = 16, /* whole vectors of all sets */
};

typedef struct {
    const pw_kernels *kernels;
    pw_dtype dtype, array; /* of the sums; of an array of any */
    int which;             /* head; of fills, 1 << which bytes an element */
    const char *more, *factors;
    char *x, *y;
    const pw_nodata *nodata;
} element_call;

static ptrdiff_t size_of_sum(const element_call *c) {
    return (ptrdiff_t)pw_size(c->dtype);
}
/* A row of `n` elements after the other. */
static pw_matrix rows_at(const char *at, pw_dtype dtype, int n) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(dtype);
    return (pw_matrix){dtype, (char *)at, n * size, size, NULL};
}

static void run_load(const void *argument) {
    const element_call *c = argument;
    c->kernels->load[c->array](rows_at(c->y, c->dtype, ELEMENTS), rows_at(c->x, c->array, ELEMENTS),
                               ROWS_OF, ELEMENTS, 0);
}
static void run_store(const void *argument) {
    const element_call *c = argument;
    c->kernels->store[c->array](rows_at(c->y, c->array, ELEMENTS),
                                rows_at(c->x, c->dtype, ELEMENTS), ROWS_OF, ELEMENTS, 0);
}
static void run_swap(const void *argument) {
    const element_call *c = argument;
    c->kernels->swap[c->array](rows_at(c->y, c->array, ELEMENTS), rows_at(c->x, c->array, ELEMENTS),
                               ROWS_OF, ELEMENTS, 0);
}
static void run_absent(const void *argument) {
    const element_call *c = argument;
    const pw_matrix x = rows_at(c->x, c->array, ELEMENTS);
    c->kernels->absent[c->array]((uint8_t *)c->y, x.at, x.i, x.j, c->nodata, ROWS_OF, ELEMENTS);
}
static void run_absent_in_rows(const void *argument) {
    const element_call *c = argument;
    c->kernels->absent_in_rows[c->array]((uint8_t *)c->y, c->x, c->nodata, ROWS_OF, ELEMENTS);
}
static void run_affine(const void *argument) {
    const element_call *c = argument;
    c->kernels->affine(rows_at(c->y, c->dtype, ELEMENTS), rows_at(c->x, c->dtype, ELEMENTS),
                       c->factors, c->factors + LINE_BYTES, ROWS_OF, ELEMENTS, 0);
}
static void run_split(const void *argument) {
    const element_call *c = argument;
    c->kernels->split(rows_at(c->y, c->dtype, ELEMENTS), rows_at(c->x, c->dtype, 2 * ELEMENTS),
                      ROWS_OF / 2, ELEMENTS, 0);
}
static void run_merge(const void *argument) {
    const element_call *c = argument;
    c->kernels->merge(rows_at(c->y, c->dtype, 2 * ELEMENTS), rows_at(c->x, c->dtype, ELEMENTS),
                      ROWS_OF / 2, ELEMENTS);
}
static void run_head(const void *argument) {
    const element_call *c = argument;
    const int64_t n = ROWS_OF * ELEMENTS / HEAD_CHANNELS;
    c->kernels->heads[c->which](c->y, n * size_of_sum(c), HEAD_CHANNELS, n);
}
static void run_rescale(const void *argument) {
    const element_call *c = argument;
    c->kernels->rescale(c->y, c->more, c->factors, c->factors + LINE_BYTES, NULL,
                        ROWS_OF * ELEMENTS, &no_epilogue, NULL);
}
static void run_fill(const void *argument) {
    const element_call *c = argument;
    c->kernels->fill[c->which](c->y, (const uint8_t *)c->more, c->factors, ROWS_OF * ELEMENTS);
}

/* Turns: so many pixels of TURN_CHANNELS channels. */
enum { TURN_PIXELS = ROWS_OF * ELEMENTS / TURN_CHANNELS };
static void turn(const element_call *c, pw_turn kernel, int from_planes, int to_planes) {
    const ptrdiff_t plane = TURN_PIXELS * size_of_sum(c), row = TURN_CHANNELS * size_of_sum(c);
    kernel(c->x, from_planes ? plane : row, TURN_CHANNELS, TURN_PIXELS, c->y,
           to_planes ? plane : row);
}
static void run_panel_of_planes(const void *argument) {
    const element_call *c = argument;
    turn(c, c->kernels->panel_of_planes, 1, 0);
}
static void run_panel_of_rows(const void *argument) {
    const element_call *c = argument;
    turn(c, c->kernels->panel_of_rows, 0, 0);
}
static void run_planes_of_rows(const void *argument) {
    const element_call *c = argument;
    turn(c, c->kernels->planes_of_rows, 0, 1);
}
static void run_rows_of_planes(const void *argument) {
    const element_call *c = argument;
    turn(c, c->kernels->rows_of_planes, 1, 0);
}

static void put_reals(pw_dtype dtype, char *at, int n, double size, double middle) {
    for (int i = 0; i < n; i++, at += pw_size(dtype))
        put(dtype, at, size * random_real(dtype) + middle);
}

/* An array of numbers some of which bytes saturate, converted by the scalar set. */
static char *draw_array(const element_call *c, pw_dtype dtype) {
    const pw_kernels *scalar = pw_kernels_scalar.dtype[c->dtype];
    const int n = ROWS_OF * ELEMENTS;
    char *reals = spare.start; /* where no output is expected yet */
    put_reals(c->dtype, reals, n, 200, 100);
    char *at = take(n * (int64_t)pw_size(dtype));
    scalar->store[dtype](rows_at(at, dtype, ELEMENTS), rows_at(reals, c->dtype, ELEMENTS), ROWS_OF,
                         ELEMENTS, 0);
    return at;
}

/* Two lines of factors, or terms. */
static const char *take_factors(const element_call *c, double size, double middle) {
    char *at = take(2 * LINE_BYTES);
    put_reals(c->dtype, at, 2 * LINE_BYTES / (int)size_of_sum(c), size, middle);
    return at;
}

/* y begins as `start`, if that is given; `bytes` of it are compared. Its memory is free again then. */
static void measure_elements(entry e, const char *kind, element_call *c, runner run, int64_t bytes,
                             const void *start) {
    if (!is_wanted(kind)) return;
    char *const free_before = next_free;
    const output y = take_output(bytes);
    if (start) {
        memcpy(y.at, start, (size_t)bytes);
        memcpy(y.expected, start, (size_t)bytes);
    }
    if (round_now == 0) {
        element_call expected = *c;
        expected.kernels = pw_kernels_scalar.dtype[c->dtype];
        expected.y = y.expected;
        run(&expected);
    }
    c->y = y.at;
    e.kind = kind;
    e.unit = "element";
    e.units = ROWS_OF * ELEMENTS;
    measure(&e, run, c, &y);
    next_free = free_before;
}

/* Between dtypes, and looking for a value, which few elements have. */
static void measure_converters(entry e, element_call c) {
    static const char no_flags[ELEMENTS];
    const int64_t n = ROWS_OF * ELEMENTS, size = (int64_t)pw_size(c.array);
    pw_nodata nodata[ROWS_OF];
    e.from = dtype_names[c.array];
    next_free = workspace.start;
    c.x = draw_array(&c, c.array);
    memset(nodata, 0x45, sizeof nodata); /* given, and some number of any dtype */
    for (int i = 5; i < n; i += 97) memcpy(c.x + i * size, nodata[0].value, (size_t)size);
    c.nodata = nodata;
    measure_elements(e, "load", &c, run_load, n * size_of_sum(&c), NULL);
    measure_elements(e, "absent", &c, run_absent, ELEMENTS, no_flags);
    measure_elements(e, "absent_in_rows", &c, run_absent_in_rows, ELEMENTS, no_flags);
    if (c.kernels->swap[c.array]) measure_elements(e, "swap", &c, run_swap, n * size, NULL);
    next_free = workspace.start;
    c.x = draw_array(&c, c.dtype);
    measure_elements(e, "store", &c, run_store, n * size, NULL);
}

/* From x to y, of the sums' dtype. */
static void measure_moves(entry e, element_call c) {
    const int64_t bytes = ROWS_OF * ELEMENTS * size_of_sum(&c);
    next_free = workspace.start;
    c.x = draw_array(&c, c.dtype);
    c.factors = take_factors(&c, 1, 0);
    measure_elements(e, "affine", &c, run_affine, bytes, NULL);
    measure_elements(e, "split", &c, run_split, bytes, NULL);
    measure_elements(e, "merge", &c, run_merge, bytes, NULL);
    measure_elements(e, "panel_of_planes", &c, run_panel_of_planes, bytes, NULL);
    measure_elements(e, "panel_of_rows", &c, run_panel_of_rows, bytes, NULL);
    measure_elements(e, "planes_of_rows", &c, run_planes_of_rows, bytes, NULL);
    measure_elements(e, "rows_of_planes", &c, run_rows_of_planes, bytes, NULL);
}

/* In place. Repeated, all of them stay among ordinary numbers. */
static void measure_in_place(entry e, element_call c) {
    static const char *const heads[PW_HEADS] = {"", "softmax", "log_softmax", "l2_normalize",
                                                "argmax"};
    static const pw_dtype of_size[] = {PW_U8, PW_U16, PW_U32, PW_U64};
    static double start[ROWS_OF * ELEMENTS];
    const int64_t n = ROWS_OF * ELEMENTS, bytes = n * size_of_sum(&c);
    next_free = workspace.start;
    put_reals(c.dtype, (char *)start, (int)n, 4, 0);
    for (c.which = 1; c.which < PW_HEADS; c.which++)
        measure_elements(e, heads[c.which], &c, run_head, bytes, start);
    c.factors = take_factors(&c, 0.25, 1);
    char *more = take(bytes);
    put_reals(c.dtype, more, (int)n, 1, 4);
    c.more = more;
    measure_elements(e, "rescale", &c, run_rescale, bytes, start);
    for (int i = 0; i < n; i++) more[i] = random_below(16) == 0;
    for (c.which = 0; c.which < 4; c.which++) {
        e.from = dtype_names[of_size[c.which]];
        measure_elements(e, "fill", &c, run_fill, n << c.which, start);
    }
}

static void measure_all_elements(entry e, const pw_kernels *kernels, pw_dtype dtype) {
    element_call c = {.kernels = kernels, .dtype = dtype};
    for (int d = 0; d < PW_DTYPES; d++) {
        c.array = (pw_dtype)d;
        measure_converters(e, c);
    }
    measure_moves(e, c);
    measure_in_place(e, c);
}
