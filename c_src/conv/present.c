/* Pixels that miss some channels, but not too many. Sums over the channels that they have are
 * multiplied by the size of all weights over that of the weights of these channels.
 *
 * Such pixels are few, as a rule. Those of a panel are gathered in blocks of planes in scratch,
 * with 0 for what is missing. A planar plan of their own multiplies them by the weights, and then
 * planes of 1 for what is there and 0 for what is missing by the sizes of the weights. */
#include "conv/present.h"
#include "base/math.h"
#include "base/scratch.h"
#include "conv/affine.h"
#include "conv/copy.h"
#include "conv/missing.h"
#include "conv/plan.h"
#include "conv/stage.h"

#include <math.h>
#include <string.h>

enum {
    LINE = 64,
    /* Bounds of a block, in bytes of x and in pixels: level 1 holds x unless channels are many. */
    BLOCK_BYTES = 16 << 10,
    MOST = 256,
    LEAST = 16,
};

/* Where regions of scratch begin, in bytes. Rows of a block are whole vectors long. */
typedef struct layout {
    size_t pixels;         /* int32_t: those of the panel that miss a channel */
    size_t results;        /* their results: planes of y's dtype, as long as the panel */
    size_t from;           /* ptrdiff_t: offsets of a block's pixels in x, then in the residual */
    size_t row;            /* elements of an array, as they are */
    size_t gaps;           /* uint8_t flags: pixels of the block that miss the current channel */
    size_t lost;           /* likewise: pixels without a result */
    size_t none;           /* likewise: pixels without a result in the current output channel */
    size_t missed;         /* int32_t: channels that pixels miss */
    size_t x, there;       /* planes: x or 0; 1 where x is there, else 0 */
    size_t y, sizes, r;    /* their products; a row of the residual */
    size_t product, bytes; /* scratch of plan->present; bytes of all */
} layout;

static layout lay_out(const pw_plan *plan) {
    const pw_problem *p = &plan->problem, *block = &plan->present->problem;
    const int64_t n = block->P;
    const size_t size = pw_size(p->dtype), widest = sizeof(double);
    size_t end = 0;
    layout l;
    l.pixels = pw_region(&end, 1, plan->room, sizeof(int32_t));
    l.results = pw_region(&end, 1, plan->room * plan->y_channels, pw_size(p->y_dtype));
    l.from = pw_region(&end, 1, n, sizeof(ptrdiff_t));
    l.row = pw_region(&end, 1, n, widest);
    l.gaps = pw_region(&end, 1, n, 1);
    l.lost = pw_region(&end, 1, n, 1);
    l.none = pw_region(&end, 1, n, 1);
    l.missed = pw_region(&end, 1, n, sizeof(int32_t));
    l.x = pw_region(&end, 1, n * block->C, size);
    l.there = pw_region(&end, 1, n * block->C, size);
    l.y = pw_region(&end, 1, n * block->K, size);
    l.sizes = pw_region(&end, 1, n * block->K, size);
    l.r = pw_region(&end, 1, n, size);
    l.product = pw_region(&end, 1, (int64_t)plan->present->scratch.bytes, 1);
    l.bytes = end;
    return l;
}

size_t pw_present_scratch(const pw_plan *plan) {
    return plan->present ? lay_out(plan).bytes : 0;
}

int pw_present_problem(pw_plan *plan, pw_problem *product) {
    const pw_problem *p = &plan->problem;
    if (!plan->flags || !p->valid_any || p->components > 1) return 0;
    const int64_t size = (int64_t)pw_size(p->dtype);
    const int64_t fit = BLOCK_BYTES / (pw_max(plan->C, 1) * size) / LEAST * LEAST;
    const int64_t n = pw_min(pw_max(fit, LEAST), MOST);
    *product = (pw_problem){
        .dtype = p->dtype,
        .x_dtype = p->dtype,
        .y_dtype = p->dtype,
        .components = 1,
        .C = plan->C,
        .K = plan->K,
        .groups = 1,
        .P = n,
        .x_c = (ptrdiff_t)(n * size),
        .x_p = (ptrdiff_t)size,
        .y_k = (ptrdiff_t)(n * size),
        .y_p = (ptrdiff_t)size,
    };
    while (plan->channels_needed < plan->C &&
           (double)plan->channels_needed / (double)plan->C < p->min_valid)
        plan->channels_needed++;
    plan->channels_needed = pw_max(plan->channels_needed, 1);
    return plan->channels_needed < plan->C;
}

/* After the weights come those of the product, their sizes and, for each output channel, the size
 * of all its weights and its bias. */
static size_t constant_bytes(const pw_plan *plan) {
    return (size_t)pw_round_up(plan->K * (int64_t)pw_size(plan->problem.dtype), LINE);
}

size_t pw_present_packed(const pw_plan *plan) {
    return plan->present ? 2 * plan->present->group_bytes + 2 * constant_bytes(plan) : 0;
}

#define PACK_SIZES(T, ABS)                                                                        \
    static void pack_sizes_##T(T *sizes, size_t n, T *total, int64_t K, int64_t C, const char *w, \
                               ptrdiff_t w_k, ptrdiff_t w_c) {                                    \
        for (size_t i = 0; i < n; i++) sizes[i] = ABS(sizes[i]);                                  \
        for (int64_t k = 0; k < K; k++, w += w_k) {                                               \
            total[k] = 0;                                                                         \
            for (int64_t c = 0; c < C; c++) {                                                     \
                T weight;                                                                         \
                memcpy(&weight, w + c * w_c, sizeof weight);                                      \
                total[k] += ABS(weight); /* in the product's order: equal if all is there */      \
            }                                                                                     \
        }                                                                                         \
    }
PACK_SIZES(float, fabsf)
PACK_SIZES(double, fabs)

void pw_pack_present(const pw_plan *plan, const char *w, ptrdiff_t w_k, ptrdiff_t w_c,
                     const char *bias, ptrdiff_t bias_step, char *packed) {
    const pw_plan *product = plan->present;
    const size_t size = pw_size(plan->problem.dtype), bytes = product->group_bytes;
    char *sizes = packed + bytes, *total = sizes + bytes, *b = total + constant_bytes(plan);
    memset(total, 0, 2 * constant_bytes(plan));
    pw_pack(product, w, w_k, w_c, NULL, 0, packed);
    memcpy(sizes, packed, bytes);
    if (size == sizeof(float))
        pack_sizes_float((float *)sizes, bytes / size, (float *)total, plan->K, plan->C, w, w_k,
                         w_c);
    else
        pack_sizes_double((double *)sizes, bytes / size, (double *)total, plan->K, plan->C, w, w_k,
                          w_c);
    for (int64_t k = 0; bias && k < plan->K; k++)
        memcpy(b + (size_t)k * size, bias + k * bias_step, size);
}

/* Does ACTION for elements of `size` bytes, with copies of a size known at compile time. */
#define EACH_SIZE(size, ACTION) \
    switch (size) {             \
    case 1: ACTION(1); break;   \
    case 2: ACTION(2); break;   \
    case 4: ACTION(4); break;   \
    default: ACTION(8);         \
    }

static void gather_elements(char *to, const char *from, const ptrdiff_t *offsets, int64_t n,
                            size_t size) {
#define GATHER(SIZE) \
    for (int64_t j = 0; j < n; j++) memcpy(to + j * (SIZE), from + offsets[j], SIZE)
    EACH_SIZE(size, GATHER)
#undef GATHER
}

static void scatter_steps(char *to, const char *from, const int32_t *pixels, ptrdiff_t step,
                          int64_t n, size_t size) {
#define SCATTER(SIZE) \
    for (int64_t j = 0; j < n; j++) memcpy(to + pixels[j] * step, from + j * (SIZE), SIZE)
    EACH_SIZE(size, SCATTER)
#undef SCATTER
}

static int is_run(const int32_t *pixels, int64_t n) {
    return pixels[n - 1] - pixels[0] == n - 1;
}

/* Copies a row of x to scratch, as the product reads it. */
static void load_row(const pw_plan *plan, pw_matrix to, pw_matrix from, int64_t c, int64_t n) {
    if (plan->affine && pw_affine_from(plan, to, from, c, 1, n)) return;
    pw_copy(plan->kernels->load[from.dtype], to, from, 1, n, 0);
    if (plan->affine) plan->kernels->affine(to, to, pw_scale(plan, c), pw_offset(plan, c), 1, n, 0);
}

/* Gathers a block's x, and what of it is there. */
static void gather_block(const pw_plan *plan, const pw_present_panel *in, const layout *l,
                         const int32_t *pixels, int64_t n, char *scratch) {
    const pw_problem *p = &plan->problem;
    const int64_t row = plan->row_pixels ? plan->row_pixels : p->P;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->dtype), step = plan->present->problem.x_c;
    ptrdiff_t *from = (ptrdiff_t *)(scratch + l->from);
    int32_t *missed = (int32_t *)(scratch + l->missed);
    uint8_t *gaps = (uint8_t *)scratch + l->gaps;
    for (int64_t j = 0; j < n; j++) {
        const int64_t pixel = in->from + pixels[j];
        from[j] = pixel / row * plan->x_row + pixel % row * in->x.j;
    }
    const int even = is_run(pixels, n) && from[n - 1] - from[0] == (n - 1) * in->x.j;
    memset(missed, 0, (size_t)n * sizeof *missed);
    for (int64_t c = 0; c < plan->C; c++) {
        pw_matrix x = in->x;
        x.at += c * x.i;
        if (even) {
            x.at += from[0];
        } else {
            gather_elements(scratch + l->row, x.at, from, n, pw_size(x.dtype));
            x.at = scratch + l->row;
            x.j = (ptrdiff_t)pw_size(x.dtype);
        }
        memset(gaps, 0, (size_t)n);
        if (p->nodata) pw_flag_absent(plan, x, p->nodata + in->c + c, 1, gaps, n);
        if (in->mask) {
            const char *mask = in->mask + (in->c + c) * p->m_c + in->from * p->m_p;
            for (int64_t j = 0; j < n; j++) gaps[j] |= mask[pixels[j] * p->m_p] != 0;
        }
        const pw_matrix to = {p->dtype, scratch + l->x + c * step, 0, size, NULL};
        load_row(plan, to, x, in->c + c, n);
        plan->kernels->fill[size == 4 ? 2 : 3](to.at, gaps, &(double){0}, n);
        for (int64_t j = 0; j < n; j++) missed[j] += gaps[j], gaps[j] ^= 1;
        const pw_matrix there = {p->dtype, scratch + l->there + c * step, 0, size, NULL};
        const pw_matrix flags = {PW_U8, (char *)gaps, 0, 1, NULL};
        pw_copy(plan->kernels->load[PW_U8], there, flags, 1, n, 0);
    }
    uint8_t *lost = (uint8_t *)scratch + l->lost;
    for (int64_t j = 0; j < n; j++) lost[j] = plan->C - missed[j] < plan->channels_needed;
}

static int is_zero(const char *value, size_t size) {
    float f;
    double d;
    if (size == sizeof f) return memcpy(&f, value, sizeof f), f == 0;
    return memcpy(&d, value, sizeof d), d == 0;
}

/* Sets flags of pixels that have none of the channels whose weights here are not 0. */
static void flag_none(const pw_plan *plan, const char *sizes, uint8_t *flags, int64_t n) {
    const pw_nodata zero = {.given = 1};
    const ptrdiff_t size = (ptrdiff_t)pw_size(plan->problem.dtype);
    plan->kernels->absent[plan->problem.dtype](flags, sizes, 0, size, &zero, 1, n);
}

/* Computes a block: n of the panel's pixels that miss channels, from number `at` on. */
static void sum_block(const pw_plan *plan, const pw_present_panel *in, const layout *l, int64_t at,
                      int64_t n, char *scratch) {
    const pw_problem *p = &plan->problem;
    const pw_plan *product = plan->present;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->dtype), y_size = (ptrdiff_t)pw_size(p->y_dtype),
                    step = product->problem.y_k;
    const int32_t *pixels = (const int32_t *)(scratch + l->pixels) + at;
    const char *of_sizes = in->packed + product->group_bytes,
               *total = of_sizes + product->group_bytes, *bias = total + constant_bytes(plan);
    char *sums = scratch + l->y, *sizes = scratch + l->sizes;
    ptrdiff_t *from_r = (ptrdiff_t *)(scratch + l->from); /* after x has been gathered */
    uint8_t *lost = (uint8_t *)scratch + l->lost, *none = (uint8_t *)scratch + l->none;
    gather_block(plan, in, l, pixels, n, scratch);
    if (!memchr(lost, 0, (size_t)n)) { /* no results, as beyond the edges of a scene */
        for (int64_t k = 0; k < plan->y_channels; k++)
            pw_fill_row(plan, scratch + l->results + (k * plan->room + at) * y_size, lost, n);
        return;
    }
    pw_strip strip = {.packed = in->packed, .x = scratch + l->x, .y = sums, .pixels = n};
    in->run_strip(product, &strip, 0, scratch + l->product);
    strip.packed = of_sizes, strip.x = scratch + l->there, strip.y = sizes;
    in->run_strip(product, &strip, 0, scratch + l->product);
    for (int64_t j = 0; in->r.at && j < n; j++) from_r[j] = pixels[j] * in->r.j;
    for (int64_t k = 0; k < plan->K; k++) {
        const int weighs = !is_zero(total + k * size, (size_t)size);
        char *r = in->r.at ? scratch + l->r : NULL;
        if (r) {
            gather_elements(scratch + l->row, in->r.at + k * in->r.i, from_r, n, (size_t)y_size);
            const pw_matrix from = {p->y_dtype, scratch + l->row, 0, y_size, in->r.swap},
                            to = {p->dtype, r, 0, size, NULL};
            pw_copy(plan->kernels->load[p->y_dtype], to, from, 1, n, 0);
        }
        plan->kernels->rescale(sums + k * step, weighs ? sizes + k * step : NULL, total + k * size,
                               bias + k * size, r, n, &plan->epilogue,
                               plan->slopes ? plan->slopes + (in->k + k) * size : NULL);
        if (p->head && weighs) flag_none(plan, sizes + k * step, lost, n);
    }
    if (plan->has_pixel_epilogue)
        pw_finish_sums(plan, (pw_matrix){p->dtype, sums, step, size, NULL}, n);
    for (int64_t k = 0; k < plan->y_channels; k++) {
        char *to = scratch + l->results + (k * plan->room + at) * y_size;
        const pw_matrix y = {p->y_dtype, to, 0, y_size, in->y_swap},
                        from = {p->dtype, sums + k * step, 0, size, NULL};
        pw_copy(plan->kernels->store[p->y_dtype], y, from, 1, n, 0);
        memcpy(none, lost, (size_t)n);
        if (!p->head && !is_zero(total + k * size, (size_t)size))
            flag_none(plan, sizes + k * step, none, n);
        pw_fill_row(plan, to, none, n);
    }
}

int64_t pw_sum_present(const pw_plan *plan, const pw_present_panel *in, const uint8_t *flags,
                       char *scratch) {
    const layout l = lay_out(plan);
    const int64_t most = plan->present->problem.P;
    int32_t *pixels = (int32_t *)(scratch + l.pixels);
    int64_t found = 0;
    for (int64_t j = 0; j < in->pixels; j++) {
        pixels[found] = (int32_t)j;
        found += flags[j] != 0;
    }
    for (int64_t at = 0; at < found; at += most)
        sum_block(plan, in, &l, at, pw_min(most, found - at), scratch);
    return found;
}

void pw_put_present(const pw_plan *plan, pw_matrix y, int64_t n, const char *scratch) {
    const layout l = lay_out(plan);
    const int32_t *pixels = (const int32_t *)(scratch + l.pixels);
    const ptrdiff_t size = (ptrdiff_t)pw_size(y.dtype), step = (ptrdiff_t)plan->room * size;
    const char *from = scratch + l.results;
    const int run = is_run(pixels, n) && y.j == size;
    for (int64_t k = 0; k < plan->y_channels; k++, from += step, y.at += y.i)
        if (run)
            memcpy(y.at + pixels[0] * y.j, from, (size_t)(n * size));
        else
            scatter_steps(y.at, from, pixels, y.j, n, (size_t)size);
}
