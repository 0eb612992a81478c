/* Gradients of weights and bias: sums over pixels.
 *
 *     dw[k, c] = sum_p y[k, p] * x[c, p]        db[k] = sum_p y[k, p]
 *
 * Pixels are cut into blocks, and blocks are grouped in segments. Blocks add up to the sum of a
 * segment, segments to the whole, one after the other; which thread computes which does not matter.
 * A block's sums are either dot products of planes, with the lanes of vectors added up at its end,
 * or outer products of pixels. Interleaved kernels compute the latter as a convolution: channels of
 * a are its pixels, pixels its input channels, and a panel of b its weights. */
#include <stdlib.h>

#include "base/math.h"
#include "base/scratch.h"
#include "gradient/plan.h"
#include "threads/shares.h"

enum {
    LINE = 64,
    /* Channels of a in a kernel call; what comes next is fetched between calls. */
    ROWS_AT_ONCE = 24,
    TURNED_ROWS = 16,
};

typedef struct call {
    const pw_gradient *plan;
    const char *a, *b;
    char *dw, *db;
    char *segments; /* their sums; NULL: not kept */
    pw_gradient_cut cut;
    pw_shares shares;
} call;

/* Channels of a by channels of b, within a group. */
typedef struct tile {
    int64_t group, a, n_a, b, n_b;
    int bias; /* whether to sum its channels of y for the bias too */
} tile;

/* Where sums of a tile go, in rows of b's channels. */
typedef struct sums {
    char *at;
    ptrdiff_t row;
    char *bias;
} sums;

/* The next block, in memory: n pixels, 0 for none. */
typedef struct upcoming {
    pw_matrix a, b;
    int64_t n;
} upcoming;

static const char zeros[PW_MAX_NR * LINE];
static const pw_epilogue no_epilogue = {.activation = PW_ACT_NONE};

static pw_span block_at(const pw_gradient *plan, int64_t index) {
    const int64_t in_row = index % plan->in_row * plan->block;
    return (pw_span){index / plan->in_row * plan->row + in_row,
                     pw_min(plan->block, plan->row - in_row)};
}

/* Sums n pixels of y, which lies in planes or in rows of channels. */
static void add_bias(const pw_gradient *plan, pw_matrix y, int planar, int64_t channels, int64_t n,
                     char *to, int add, const char *ones) {
    const ptrdiff_t size = pw_gradient_size(plan);
    if (!planar) {
        const pw_ukernel_args t = {.x = y.at,
                                   .x_c = y.j,
                                   .bias = zeros,
                                   .w = ones,
                                   .y = to,
                                   .r = add ? to : NULL,
                                   .C = n,
                                   .n = channels,
                                   .first = 1,
                                   .last = 1,
                                   .epilogue = &no_epilogue};
        plan->kernels->planar[1](&t);
        return;
    }
    for (int64_t k = 0, rows; k < channels; k += rows) {
        rows = pw_min(plan->kernels->dots_a, channels - k);
        pw_dots t = {.b = {ones}, .n = n, .to = to + k * size, .to_step = size, .add = add};
        for (int64_t i = 0; i < rows; i++) t.a[i] = y.at + (k + i) * y.i;
        plan->kernels->dots[rows][1](&t);
    }
}

/* Fetches a share of n_c channels of n pixels into level 2. */
static inline __attribute__((always_inline)) void
fetch(const pw_gradient *plan, pw_matrix m, int64_t n_c, int64_t n, int64_t share, int64_t shares) {
    const ptrdiff_t size = pw_gradient_size(plan);
    const int planar = m.j == size;
    const int64_t rows = planar ? n_c : n, from = planar ? 0 : rows * share / shares;
    const int64_t end = planar ? rows : rows * (share + 1) / shares;
    const int64_t lines = pw_ceil_div((planar ? n : n_c) * size, LINE);
    const int64_t first = planar ? lines * share / shares : 0;
    const int64_t last = planar ? lines * (share + 1) / shares : lines;
    const ptrdiff_t step = planar ? m.i : m.j;
    if (!planar && m.i != size) return;
    for (int64_t row = from; row < end; row++)
        for (int64_t line = first; line < last; line++)
            __builtin_prefetch(m.at + row * step + line * LINE, 0, 2);
}

static pw_matrix from_channel(pw_matrix m, int64_t channel) {
    m.at += channel * m.i;
    return m;
}

/* Goes over even tiles: planes of b stay in level 1 while those of a pass by. Meanwhile the planes
 * of b that come next are fetched, and a share of the next block's a: no more, because planes far
 * apart may fall into few sets of the cache. */
static void add_dots(const pw_gradient *plan, const tile *t, pw_matrix a, pw_matrix b, int64_t n,
                     const sums *to, int add, const upcoming *next) {
    const ptrdiff_t size = pw_gradient_size(plan);
    const int64_t a_tiles = pw_ceil_div(t->n_a, plan->kernels->dots_a);
    const int64_t b_tiles = pw_ceil_div(t->n_b, plan->kernels->dots_b);
    for (int64_t j = 0; j < b_tiles; j++) {
        const int64_t b0 = t->n_b * j / b_tiles, b1 = t->n_b * (j + 1) / b_tiles;
        for (int64_t i = 0; i < a_tiles; i++) {
            const int64_t a0 = t->n_a * i / a_tiles, a1 = t->n_a * (i + 1) / a_tiles;
            pw_dots d = {
                .n = n, .to = to->at + a0 * to->row + b0 * size, .to_step = to->row, .add = add};
            for (int64_t k = a0; k < a1; k++) d.a[k - a0] = a.at + k * a.i;
            for (int64_t k = b0; k < b1; k++) d.b[k - b0] = b.at + k * b.i;
            plan->kernels->dots[a1 - a0][b1 - b0](&d);
            if (!plan->prefetch) continue;
            if (next->n) fetch(plan, from_channel(next->a, a0), a1 - a0, next->n, j, b_tiles);
            if (!plan->b.staged && plan->far && next->n)
                fetch(plan, from_channel(next->b, b0), b1 - b0, next->n, i, a_tiles);
            else if (plan->b.staged && next->n)
                fetch(plan, next->b, t->n_b, next->n, j * a_tiles + i, b_tiles * a_tiles);
            else if (!plan->b.staged && !plan->far && b1 < t->n_b)
                fetch(plan, from_channel(b, b1), t->n_b * (j + 2) / b_tiles - b1, n, i, a_tiles);
            else if (!plan->b.staged && next->n)
                fetch(plan, next->b, t->n_b / b_tiles, next->n, i, a_tiles);
        }
    }
}

static void add_products(const pw_gradient *plan, const tile *t, pw_matrix a, const char *panel,
                         int64_t n, const sums *to, int add, const upcoming *next) {
    const ptrdiff_t size = pw_gradient_size(plan), vector = plan->kernels->vector * size;
    const int64_t rows = plan->prefetch ? ROWS_AT_ONCE : t->n_a;
    const int64_t shares = pw_ceil_div(t->n_a, rows);
    for (int64_t v = 0, nv; v * plan->kernels->vector < t->n_b; v += nv) {
        nv = pw_gradient_vectors(plan, t->n_b, v);
        for (int64_t share = 0; share < shares; share++) {
            char *y = to->at + share * rows * to->row + v * vector;
            const pw_ukernel_args k = {.x = a.at + share * rows * a.i,
                                       .x_c = a.j,
                                       .x_p = a.i,
                                       .bias = zeros,
                                       .w = panel + v * vector * plan->block,
                                       .y = y,
                                       .y_step = to->row,
                                       .r = add ? y : NULL,
                                       .r_step = to->row,
                                       .C = n,
                                       .n = pw_min(rows, t->n_a - share * rows),
                                       .channels = pw_gradient_columns(plan, t->n_b, v, nv),
                                       .first = 1,
                                       .last = 1,
                                       .epilogue = &no_epilogue};
            plan->kernels->interleaved[nv](&k);
            if (!plan->prefetch || v || !next->n) continue;
            fetch(plan, next->a, t->n_a, next->n, share, shares);
            fetch(plan, next->b, t->n_b, next->n, share, shares);
        }
    }
}

/* Sums the channels of y in a panel. */
static void add_panel_bias(const pw_gradient *plan, const tile *t, const char *panel, int64_t n,
                           const sums *to, int add, const char *ones) {
    const ptrdiff_t size = pw_gradient_size(plan), vector = plan->kernels->vector * size;
    for (int64_t v = 0, nv; v * plan->kernels->vector < t->n_b; v += nv) {
        nv = pw_gradient_vectors(plan, t->n_b, v);
        const pw_matrix y = {plan->problem.dtype, (char *)panel + v * vector * plan->block, size,
                             nv * vector, NULL};
        add_bias(plan, y, 0, pw_gradient_columns(plan, t->n_b, v, nv), n, to->bias + v * vector,
                 add, ones);
    }
}

static void add_pixel_block(const call *call, const tile *t, pw_span pixels, const upcoming *next,
                            const sums *to, int add, char *scratch) {
    const pw_gradient *plan = call->plan;
    const int64_t channel_a = t->group * plan->a.channels + t->a;
    const int64_t channel_b = t->group * plan->b.channels + t->b;
    const char *ones = scratch + plan->scratch.ones;
    char *at_b = scratch + plan->scratch.b;
    const pw_matrix a = pw_gradient_staged(plan, &plan->a, call->a, channel_a, t->n_a, pixels,
                                           scratch + plan->scratch.a);
    if (plan->dots) {
        const pw_matrix b =
            pw_gradient_staged(plan, &plan->b, call->b, channel_b, t->n_b, pixels, at_b);
        add_dots(plan, t, a, b, pixels.n, to, add, next);
    } else {
        pw_gradient_panel(plan, call->b, channel_b, t->n_b, pixels, scratch);
        add_products(plan, t, a, at_b, pixels.n, to, add, next);
    }
    if (!t->bias) return;
    /* Strides do not tell: those of a tile of one channel fit both layouts. */
    const int planar =
        plan->a.staged ? plan->a.staged == PW_AS_PLANES : plan->a.p == pw_gradient_size(plan);
    if (plan->swapped)
        add_panel_bias(plan, t, at_b, pixels.n, to, add, ones);
    else
        add_bias(plan, a, planar, t->n_a, pixels.n, to->bias, add, ones);
}

static void add_segment(const call *call, const tile *t, int64_t segment, const sums *to,
                        char *scratch) {
    const pw_gradient *plan = call->plan;
    const int64_t first = plan->blocks * segment / plan->segments;
    const int64_t end = plan->blocks * (segment + 1) / plan->segments;
    for (int64_t block = first; block < end; block++) {
        upcoming next = {.n = 0};
        if (plan->prefetch && block + 1 < plan->blocks) {
            const pw_span pixels = block_at(plan, block + 1);
            next.a = pw_gradient_in_place(plan, &plan->a, call->a,
                                          t->group * plan->a.channels + t->a, pixels.from);
            next.b = pw_gradient_in_place(plan, &plan->b, call->b,
                                          t->group * plan->b.channels + t->b, pixels.from);
            next.n = pixels.n;
        }
        add_pixel_block(call, t, block_at(plan, block), &next, to, block > first, scratch);
    }
}

/* Copies or adds rows, as they are or transposed. Transposed rows go some at a time, so that lines
 * of both arrays stay in the cache. */
#define GATHER(T)                                                                      \
    static void gather_##T(char *to, ptrdiff_t to_i, ptrdiff_t to_j, const char *from, \
                           ptrdiff_t from_i, int64_t n_i, int64_t n_j, int add) {      \
        const ptrdiff_t size = sizeof(T), row = from_i / size, step = to_j / size;     \
        const T *f = (const T *)from;                                                  \
        for (int64_t i = 0, end; i < n_i; i = end) {                                   \
            end = step == 1 ? i + 1 : pw_min(i + TURNED_ROWS, n_i);                    \
            for (int64_t j = 0; j < n_j && step != 1; j++)                             \
                for (int64_t r = i; r < end; r++) {                                    \
                    T *t = (T *)(to + r * to_i) + j * step;                            \
                    *t = add ? *t + f[r * row + j] : f[r * row + j];                   \
                }                                                                      \
            T *t = (T *)(to + i * to_i);                                               \
            for (int64_t j = 0; j < n_j && step == 1; j++)                             \
                t[j] = add ? t[j] + f[i * row + j] : f[i * row + j];                   \
        }                                                                              \
    }
GATHER(float)
GATHER(double)

/* Adds a segment's sums of a tile to the results; copies them there if `add` is 0. */
static void gather_sums(const call *call, const tile *t, const sums *from, int add) {
    const pw_gradient *plan = call->plan;
    const ptrdiff_t size = pw_gradient_size(plan);
    const int64_t C = plan->swapped ? plan->a.channels : plan->b.channels;
    const int64_t K = plan->swapped ? plan->b.channels : plan->a.channels;
    const int64_t k = t->group * K + (plan->swapped ? t->b : t->a);
    const int64_t c = plan->swapped ? t->a : t->b, n_k = plan->swapped ? t->n_b : t->n_a;
    const ptrdiff_t to_i = plan->swapped ? size : (ptrdiff_t)C * size;
    const ptrdiff_t to_j = plan->swapped ? (ptrdiff_t)C * size : size;
    void (*const add_rows)(char *, ptrdiff_t, ptrdiff_t, const char *, ptrdiff_t, int64_t, int64_t,
                           int) = plan->problem.dtype == PW_F32 ? gather_float : gather_double;
    if (call->dw)
        add_rows(call->dw + (k * C + c) * size, to_i, to_j, from->at, from->row, t->n_a, t->n_b,
                 add);
    if (t->bias) add_rows(call->db + k * size, 0, size, from->bias, 0, 1, n_k, add);
}

/* Where a segment's sums are: among those kept, or, for the only segment, in the results. */
static sums kept(const call *call, const tile *t, int64_t segment) {
    const pw_gradient *plan = call->plan;
    const ptrdiff_t size = pw_gradient_size(plan);
    const int64_t y_channels = plan->swapped ? plan->b.channels : plan->a.channels;
    const int64_t k = t->group * y_channels + (plan->swapped ? t->b : t->a);
    char *at = call->dw, *bias = call->db;
    if (plan->by_segment) {
        at = call->segments + segment * pw_gradient_segment_bytes(plan);
        bias = at + pw_gradient_weight_bytes(plan);
    }
    const int64_t row = t->group * plan->a.channels + t->a;
    return (sums){
        .at = at ? at + (row * plan->b.channels + t->b) * size : NULL,
        .row = (ptrdiff_t)plan->b.channels * size,
        .bias = bias ? bias + k * size : NULL,
    };
}

static void run_gradient_item(call *call, int64_t index, int number, char *scratch) {
    const pw_gradient *plan = call->plan;
    const int64_t b_split = index % call->cut.b_splits;
    index /= call->cut.b_splits;
    const int64_t a_split = index % call->cut.a_splits;
    index /= call->cut.a_splits;
    const int64_t group = index % plan->problem.groups, segment = index / plan->problem.groups;
    tile t = {.group = group};
    pw_gradient_split(plan->a.channels, plan->unit_a, a_split, call->cut.a_splits, &t.a, &t.n_a);
    pw_gradient_split(plan->b.channels, plan->unit_b, b_split, call->cut.b_splits, &t.b, &t.n_b);
    t.bias = call->db && (plan->swapped ? a_split : b_split) == 0;
    if (plan->by_segment || pw_gradient_is_direct(plan)) {
        const sums to = kept(call, &t, segment);
        add_segment(call, &t, segment, &to, scratch);
        return;
    }
    const sums to = {.at = scratch + plan->scratch.sums,
                     .row = (ptrdiff_t)t.n_b * pw_gradient_size(plan),
                     .bias = scratch + plan->scratch.bias};
    for (int64_t s = 0; s < plan->segments && pw_goes_on(&call->shares, number); s++) {
        add_segment(call, &t, s, &to, scratch);
        gather_sums(call, &t, &to, s > 0);
    }
}

static void fill_with_ones(const pw_gradient *plan, char *to) {
    for (int64_t i = 0; i < plan->block; i++)
        if (plan->problem.dtype == PW_F32)
            ((float *)to)[i] = 1;
        else
            ((double *)to)[i] = 1;
}

static void run_gradient_items(void *argument, int number) {
    call *call = argument;
    char *scratch = pw_thread_scratch(call->plan->scratch.bytes);
    int turn = 0;
    if (!scratch) return;
    fill_with_ones(call->plan, scratch + call->plan->scratch.ones);
    for (int64_t index; (index = pw_next_item(&call->shares, number, &turn)) >= 0;)
        run_gradient_item(call, index, number, scratch);
}

pw_status pw_gradient_run(const pw_gradient *plan, const void *x, const void *y, void *dw, void *db,
                          int threads) {
    const pw_problem *p = &plan->problem;
    call call; /* not cleared: most of it is unused shares */
    call.plan = plan, call.dw = dw, call.db = db;
    call.a = plan->swapped ? x : y;
    call.b = plan->swapped ? y : x;
    call.segments = NULL;
    if (!pw_thread_scratch(plan->scratch.bytes)) return PW_NO_MEMORY;
    if (plan->by_segment) {
        const int64_t bytes = plan->segments * pw_gradient_segment_bytes(plan);
        if (!(call.segments = pw_aligned_alloc((size_t)bytes))) return PW_NO_MEMORY;
    }
    const double outputs = (double)plan->a.channels * (double)plan->b.channels * (double)p->groups;
    const double multiply_adds = outputs * (double)plan->block * (double)plan->blocks;
    threads = pw_worth_threads(multiply_adds, threads);
    call.cut = pw_gradient_items(plan, threads);
    const pw_status status = pw_spread_in_order(&call.shares, call.cut.items, multiply_adds,
                                                threads, run_gradient_items, &call);
    const int64_t kept_sums = call.segments && status == PW_OK ? plan->segments * p->groups : 0;
    for (int64_t i = 0; i < kept_sums; i++) {
        const tile all = {.group = i % p->groups,
                          .n_a = plan->a.channels,
                          .n_b = plan->b.channels,
                          .bias = db != NULL};
        const sums from = kept(&call, &all, i / p->groups);
        gather_sums(&call, &all, &from, i >= p->groups);
    }
    free(call.segments);
    return status;
}
