/* Compares every kernel set with the scalar one, bit by bit, between guard pages: dtypes, byte
 * orders, pairs of channels, PReLU, heads and missing data. The scalar set gets all arrays in this
 * machine's byte order. What the values should be is tested from Python. */
#include "base/math.h"
#include "check.h"

typedef struct {
    pw_problem problem;
    size_t x_bytes, y_bytes, r_bytes, m_bytes;
    double slopes[64], scale[64], offset[64];
    pw_nodata nodata[64];
    int has_bias;
    int swaps[3]; /* x, y, r */
} conversion;

static test_case place_only; /* where arrays lie; becomes `now`, for place() and messages */

/* Draws a layout of n channels, planar or interleaved, with or without gaps; returns its bytes. */
static size_t lay_out_plainly(int64_t n, int64_t P, ptrdiff_t size, ptrdiff_t *c, ptrdiff_t *p) {
    const ptrdiff_t gap = random_below(2) * size * random_below(9);
    if (random_below(2)) {
        *p = size + gap / 3 * random_below(2);
        *c = (ptrdiff_t)P * *p + gap;
    } else {
        *c = size;
        *p = (ptrdiff_t)n * size + gap;
    }
    return (size_t)((n - 1) * *c + (P - 1) * *p + size);
}

static pw_dtype random_store(pw_dtype sums) {
    const pw_kernels *kernels = pw_kernels_scalar.dtype[sums];
    for (;;) {
        const pw_dtype dtype = (pw_dtype)random_below(PW_DTYPES);
        if (kernels->store[dtype]) return dtype;
    }
}

/* Draws missing values from the elements of x; some channels get none. */
static void draw_nodata(conversion *v, const char *x) {
    const pw_problem *p = &v->problem;
    for (int64_t c = 0; c < p->C; c++) {
        const ptrdiff_t at = c * p->x_c + random_below((int)p->P) * p->x_p;
        v->nodata[c].given = random_below(4) != 0;
        memcpy(v->nodata[c].value, x + at, pw_size(p->x_dtype));
    }
    v->problem.nodata = v->nodata;
}

/* Reverses the bytes of each element of n channels of P pixels. */
static void swap_elements(const pw_problem *p, pw_dtype dtype, char *at, int64_t n, ptrdiff_t c,
                          ptrdiff_t step) {
    const size_t size = pw_size(dtype);
    for (int64_t i = 0; i < n / p->components; i++)
        for (int64_t j = 0; j < p->P * p->components; j++) {
            char *element =
                at + i * c + j / p->components * step + j % p->components * (ptrdiff_t)size;
            for (size_t b = 0; b < size / 2; b++) {
                const char low = element[b];
                element[b] = element[size - 1 - b];
                element[size - 1 - b] = low;
            }
        }
}

/* Gives all NaNs the same bits. They depend on which of two addends the compiler puts first. */
static void make_nan_plain(pw_dtype dtype, char *at, int swapped) {
    static const struct {
        pw_dtype dtype;
        uint64_t infinity;
    } floats[] = {
        {PW_F32, 0x7f800000}, {PW_F64, 0x7ff0000000000000}, {PW_F16, 0x7c00}, {PW_BF16, 0x7f80}};
    const size_t size = pw_size(dtype);
    uint64_t bits = 0;
    for (size_t b = 0; b < size; b++)
        bits |= (uint64_t)(unsigned char)at[swapped ? size - 1 - b : b] << 8 * b;
    bits &= (UINT64_C(1) << (8 * size - 1)) - 1;
    for (int i = 0; i < 4; i++)
        if (dtype == floats[i].dtype && bits > floats[i].infinity) memset(at, 0xff, size);
}

static void make_nans_plain(const pw_problem *p, char *y, int64_t channels) {
    for (int64_t k = 0; k < channels / p->components; k++)
        for (int64_t j = 0; j < p->P * p->components; j++)
            make_nan_plain(p->y_dtype,
                           y + k * p->y_k + j / p->components * p->y_p +
                               j % p->components * (ptrdiff_t)pw_size(p->y_dtype),
                           p->y_swapped);
}

static void draw_problem(conversion *v) {
    pw_problem *p = &v->problem;
    const int parts = random_below(6) ? 1 : 2, large = random_below(8) == 0;
    p->dtype = random_below(3) ? PW_F32 : PW_F64;
    p->x_dtype = parts == 2 ? p->dtype : (pw_dtype)random_below(PW_DTYPES);
    p->y_dtype = parts == 2 || random_below(3) == 0 ? p->dtype : random_store(p->dtype);
    p->components = parts;
    p->groups = 1;
    p->C = parts * (1 + random_below(large ? 6 : 30));
    p->K = parts * (1 + random_below(large ? 6 : 30));
    p->P = 1 + random_below(large ? 9000 : 150);
    if (large && random_below(2)) { /* whole cache lines, for stores past the caches */
        p->P = pw_round_up(p->P, 16);
        place_only.cache_bytes = 1024;
        if (random_below(2)) p->y_dtype = p->dtype;
    }
    v->has_bias = random_below(2);
    p->activation = random_below(2) ? PW_ACT_NONE : PW_ACT_LEAKY_RELU;
    p->a = 0.25;
    if (parts == 1 && random_below(2)) p->head = (pw_head)random_below(PW_HEADS);
    p->has_residual = p->head != PW_HEAD_ARGMAX && random_below(3) == 0;
    const ptrdiff_t x_size = (ptrdiff_t)pw_size(p->x_dtype),
                    y_size = (ptrdiff_t)pw_size(p->y_dtype);
    const int64_t K = p->head == PW_HEAD_ARGMAX ? 1 : p->K / parts;
    p->x_component = x_size;
    p->y_component = p->r_component = y_size;
    v->x_bytes = lay_out_plainly(p->C / parts, p->P, x_size * parts, &p->x_c, &p->x_p);
    v->y_bytes = lay_out_plainly(K, p->P, y_size * parts, &p->y_k, &p->y_p);
    v->r_bytes = lay_out_plainly(K, p->P, y_size * parts, &p->r_k, &p->r_p);
    if (parts == 1 && random_below(3) == 0) {
        for (int64_t k = 0; k < p->K; k++) v->slopes[k] = random_value();
        p->slopes = v->slopes;
    }
    if (parts == 1 && random_below(3) == 0) {
        p->has_mask = 1;
        v->m_bytes = lay_out_plainly(p->C, p->P, 1, &p->m_c, &p->m_p);
        if (random_below(2)) v->m_bytes = (size_t)((p->P - 1) * p->m_p + 1), p->m_c = 0;
    }
    p->fill = random_below(100);
    p->valid_any = parts == 1 && random_below(2);
    p->min_valid = random_below(5) / 4.0;
    for (int i = 0; i < 3; i++) v->swaps[i] = random_below(3) == 0;
    if (random_below(3)) return;
    for (int64_t c = 0; c < p->C; c++) {
        v->scale[c] = random_value();
        v->offset[c] = random_value() * 100;
    }
    p->scale = v->scale, p->offset = v->offset;
}

/* Fills with random numbers; integers use their full range. */
static void fill_with(pw_dtype dtype, char *at, size_t bytes) {
    for (size_t i = 0; i + pw_size(dtype) <= bytes; i += pw_size(dtype)) {
        double value = random_value() * 100;
        const uint64_t bits = random_bits();
        const pw_matrix to = {dtype, at + i, 0, 0, NULL},
                        from = {PW_F64, (char *)&value, 0, 0, NULL};
        if (dtype == PW_F32 || dtype == PW_F64 || dtype >= PW_F16)
            pw_kernels_scalar.dtype[PW_F64]->store[dtype](to, from, 1, 1, 0);
        else
            memcpy(at + i, &bits, pw_size(dtype));
    }
}

static void check_conversion(void) {
    conversion v = {0};
    pw_problem *p = &v.problem;
    now = &place_only;
    place_only.leading = random_below(2);
    place_only.cache_bytes = random_below(3) ? 0 : 1024;
    draw_problem(&v);
    char *x = place(x_arena, v.x_bytes), *y = place(y_arena, v.y_bytes);
    char *r = p->has_residual ? place(r_arena, v.r_bytes) : NULL;
    const size_t size = pw_size(p->dtype);
    char *w = place(w_arena, (size_t)(p->K * p->C) * size);
    char *bias = v.has_bias ? place(bias_arena, (size_t)p->K * size) : NULL;
    char *mask = p->has_mask ? place(packed_arena, v.m_bytes) : NULL;
    fill_with(p->x_dtype, x, v.x_bytes);
    fill_with(p->dtype, w, (size_t)(p->K * p->C) * size);
    if (random_below(3) == 0) /* so that pixels may miss all channels of nonzero weight */
        for (int64_t i = 0; i < p->K * p->C; i++)
            if (random_below(2)) memset(w + (size_t)i * size, 0, size);
    if (bias) fill_with(p->dtype, bias, (size_t)p->K * size);
    if (r) fill_with(p->y_dtype, r, v.r_bytes);
    const int some = random_below(3) == 0 ? 5000 : 20;
    for (size_t i = 0; mask && i < v.m_bytes; i++) mask[i] = (char)(random_below(some) == 0);
    if (mask && random_below(3) == 0) memset(mask, 1, v.m_bytes / 2); /* whole panels are masked */
    if (p->components == 1 && random_below(3) == 0) draw_nodata(&v, x);
    char *wanted = malloc(v.y_bytes);
    static const int threads[] = {1, 1, 3};
    for (int i = 0; i < 3; i++) {
        const int64_t y_channels = p->head == PW_HEAD_ARGMAX ? 1 : p->K;
        if (i == 1) {
            p->x_swapped = v.swaps[0], p->y_swapped = v.swaps[1], p->r_swapped = v.swaps[2];
            if (p->x_swapped) swap_elements(p, p->x_dtype, x, p->C, p->x_c, p->x_p);
            if (p->y_swapped) swap_elements(p, p->y_dtype, wanted, y_channels, p->y_k, p->y_p);
            if (r && p->r_swapped) swap_elements(p, p->y_dtype, r, p->K, p->r_k, p->r_p);
        }
        pw_plan *plan = new_plan(i ? set : &pw_kernels_scalar, p);
        seen[HEAD_STREAMED] += i && plan->stream && plan->has_pixel_epilogue;
        seen[MISSING_STREAMED] += i && plan->stream && plan->flags;
        seen[MISSING_IN_PLACE] += i && plan->flags && !pw_stages_x(plan) && !plan->stage_y;
        seen[MISSING_IN_REGISTERS] += i && plan->blends;
        seen[HEAD_IN_TILES] += i && plan->path->makes_tiles;
        seen[MISSING_SOME] += i && plan->present;
        memset(y, 0xA5, v.y_bytes);
        if (pw_conv(plan, w, (ptrdiff_t)size * p->C, (ptrdiff_t)size, bias, (ptrdiff_t)size, x, r,
                    mask, y, threads[i]) != PW_OK)
            exit(2);
        make_nans_plain(p, y, y_channels);
        if (i == 0) {
            memcpy(wanted, y, v.y_bytes);
        } else if (memcmp(wanted, y, v.y_bytes) != 0) {
            if (failed++ < MOST_PRINTED)
                printf("FAILED: %s sums %d x %d y %d parts %d C=%" PRId64 " K=%" PRId64
                       " P=%" PRId64
                       " head %d slopes %d nodata %d mask %d any %d residual %d swapped "
                       "%d%d%d threads %d: %s\n",
                       pw_kernel_set_name(set), p->dtype, p->x_dtype, p->y_dtype, p->components,
                       p->C, p->K, p->P, p->head, p->slopes != NULL, p->nodata != NULL, p->has_mask,
                       p->valid_any, p->has_residual, p->x_swapped, p->y_swapped, p->r_swapped,
                       threads[i], pw_plan_describe(plan));
        } else {
            passed++;
        }
        free_plan(plan);
    }
    free(wanted);
}
