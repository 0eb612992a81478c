/* Runs a quantised convolution. The work is cut into items, which threads take one by one: an item
 * is a panel of pixels of one outer index, for a slice of the blocks of output channels. For each
 * tile of pixels, x is staged as lanes, and the kernels of all blocks read these. */
#include <stdlib.h>

#include "base/scratch.h"
#include "quantised/pack.h"
#include "quantised/plan.h"
#include "quantised/stage.h"
#include "threads/shares.h"

enum {
    LINE = 64,
    /* Fewest channels of an item: every slice stages x again, which takes time of its own. */
    SPLIT_CHANNELS = 32,
};

/* Multiply-adds that are worth waking a thread for. */
static const double parallel_from = 2e6;

typedef struct call {
    const pw_qplan *plan;
    pw_qpacked packed;
    const char *x;
    char *y;
    int64_t prefix;   /* pixels before y is aligned */
    int64_t panel;    /* pixels of an item */
    int64_t panels;   /* of one outer index */
    int64_t k_splits; /* slices of the blocks */
    int64_t items;
    pw_shares shares;
} call;

typedef struct item {
    const char *x; /* x and y: of pixel 0 of the outer index */
    char *y;
    int64_t from, to;       /* pixels */
    int64_t first, end;     /* blocks */
    int64_t k_first, k_end; /* channels of the blocks */
    int64_t k_padded;       /* where the padding of the last block ends */
} item;

static void find_outer(const pw_qproblem *q, int64_t index, item *it) {
    for (int64_t i = q->outer - 1; i >= 0; i--) {
        const ptrdiff_t at = (ptrdiff_t)(index % q->outer_n[i]);
        it->x += at * q->x_outer[i];
        it->y += at * q->y_outer[i];
        index /= q->outer_n[i];
    }
}

static item quantised_item_at(const call *c, int64_t index) {
    const pw_qplan *plan = c->plan;
    const int64_t panel = pw_take_digit(&index, c->panels);
    const int64_t split = pw_take_digit(&index, c->k_splits);
    item it = {.x = c->x, .y = c->y};
    find_outer(&plan->problem, index, &it);
    /* The first panel has the prefix in addition. */
    it.from = panel ? c->prefix + panel * c->panel : 0;
    it.to = pw_min(plan->problem.P, c->prefix + (panel + 1) * c->panel);
    it.first = plan->blocks.n * split / c->k_splits;
    it.end = plan->blocks.n * (split + 1) / c->k_splits;
    it.k_first = plan->blocks.first[it.first];
    it.k_padded = plan->blocks.first[it.end];
    it.k_end = pw_min(plan->problem.K, it.k_padded);
    return it;
}

/* Sums the numbers in the lanes of x, for each pixel. */
static void sum_x(const pw_qplan *plan, const pw_qukernel_args *t, int32_t *sums) {
    static const int32_t none[1];
    if (plan->rows) {
        plan->kernels->sum_x(t->x, t->x_p, t->x_p, t->n, sums);
        return;
    }
    const pw_qukernel_args ones = {.x = t->x,
                                   .x_g = t->x_g,
                                   .w = plan->ones,
                                   .groups = t->groups,
                                   .bias = none,
                                   .acc = sums,
                                   .n = t->n,
                                   .first = 1};
    plan->kernels->planar[1](&ones);
}

/* Sets what kernels read from channel k on. */
static void set_channels(const call *c, int64_t k, pw_qukernel_args *t) {
    t->bias = c->packed.bias + k;
    t->w_zero = c->plan->w_zero + k;
    t->scale = c->plan->scale + k;
}

/* Runs the kernels of the item's blocks on one pass, from group g on. */
static void run_blocks(const call *c, const item *it, int64_t g, pw_qukernel_args *t, pw_matrix y,
                       int32_t *acc) {
    const pw_qplan *plan = c->plan;
    for (int64_t b = it->first; b < it->end; b++) {
        const int64_t k = plan->blocks.first[b];
        const int64_t width = plan->blocks.first[b + 1] - k;
        set_channels(c, k, t);
        t->channels = (int)pw_min(width, plan->problem.K - k);
        t->y = y.at + (k - it->k_first) * y.i;
        if (plan->interleaved) {
            t->w = c->packed.w + (k * plan->groups + g * width) * PW_Q_LANE;
            t->acc = acc + (k - it->k_first);
            plan->kernels->interleaved[width / plan->blocks.unit](t);
        } else {
            t->w = c->packed.w + k * c->packed.w_k + g * PW_Q_LANE;
            t->acc = acc + (k - it->k_first) * plan->tile_pixels;
            plan->kernels->planar[width](t);
        }
    }
}

/* Computes n pixels by planar or interleaved kernels: x is that of the first pixel, y that of the
 * first pixel and channel. */
static void run_vectors(const call *c, const item *it, const char *x, pw_matrix y, int n,
                        char *scratch) {
    const pw_qplan *plan = c->plan;
    int32_t sums[PW_Q_MAX_TILE];
    pw_qukernel_args t = {
        .w_k = c->packed.w_k,
        .y_step = plan->interleaved ? y.j : y.i,
        .acc_step = plan->interleaved ? it->k_padded - it->k_first : plan->tile_pixels,
        .n = n,
        .first = 1,
        .stream = plan->stream && (uintptr_t)y.at % LINE == 0,
        .output = plan->output,
    };
    t.output.in_reach = c->packed.in_reach;
    for (int64_t g = 0; !t.last; g += t.groups, t.first = 0) {
        t.groups = pw_min(plan->pass, plan->groups - g);
        t.last = g + t.groups == plan->groups;
        const pw_qlane_matrix lanes = pw_qstage_x(plan, x, g, t.groups, n, scratch);
        t.x = lanes.at, t.x_g = lanes.g, t.x_p = lanes.p;
        t.x_sum = plan->needs_x_sum ? sums : NULL;
        if (t.x_sum) sum_x(plan, &t, sums);
        run_blocks(c, it, g, &t, y, (int32_t *)(scratch + plan->scratch.acc));
    }
}

/* Computes n pixels by dot kernels. */
static void run_dots(const call *c, const item *it, const char *x, pw_matrix y, int n,
                     char *scratch) {
    const pw_qplan *plan = c->plan;
    const pw_qproblem *q = &plan->problem;
    char *rows = scratch + plan->scratch.rows;
    int32_t sums[PW_Q_MAX_TILE];
    pw_qukernel_args t = {
        .x = rows,
        .x_p = (ptrdiff_t)plan->row * PW_Q_LANE,
        .w_k = c->packed.w_k,
        .groups = plan->row,
        .x_sum = plan->needs_x_sum ? sums : NULL,
        .y_step = y.i,
        .n = n,
        .output = plan->output,
    };
    t.output.in_reach = c->packed.in_reach;
    for (int p = 0; p < n; p++)
        pw_qstage_row(plan->kernels, plan->x_bytes, rows + p * t.x_p, plan->row, x + p * q->x_p,
                      q->x_c, q->C);
    if (t.x_sum) plan->kernels->sum_x(t.x, t.x_p, t.x_p, n, sums);
    for (int64_t k = it->k_first; k < it->k_end; k += t.channels) {
        t.channels = (int)pw_min(plan->tile_pixels, it->k_end - k);
        set_channels(c, k, &t);
        t.w = c->packed.w + k * t.w_k;
        t.y = y.at + (k - it->k_first) * y.i;
        plan->kernels->dot(&t);
    }
}

/* Computes n pixels from p on. */
static void run_tile(const call *c, const item *it, int64_t p, int n, char *scratch) {
    const pw_qplan *plan = c->plan;
    const pw_qproblem *q = &plan->problem;
    const int left = n % plan->kernels->vector, dots = left <= plan->dots ? left : 0;
    const pw_matrix y = {.at = it->y + p * q->y_p + it->k_first * q->y_k, .i = q->y_k, .j = q->y_p};
    const pw_matrix to =
        plan->stage_y ? (pw_matrix){.at = scratch + plan->scratch.y, .i = plan->tile_pixels, .j = 1}
                      : y;
    const char *x = it->x + p * q->x_p;
    pw_matrix rest = to;
    rest.at += n - dots;
    if (dots) run_dots(c, it, x + (n - dots) * q->x_p, rest, dots, scratch);
    if (n > dots) run_vectors(c, it, x, to, n - dots, scratch);
    for (int64_t k = 0; plan->stage_y && k < it->k_end - it->k_first; k++)
        for (int i = 0; i < n; i++) y.at[k * y.i + i * y.j] = to.at[k * to.i + i];
}

static void run_quantised_items(void *argument, int number) {
    call *c = argument;
    const pw_qplan *plan = c->plan;
    char *scratch = pw_thread_scratch(plan->scratch.bytes);
    int turn = 0;
    if (!scratch) return;
    for (int64_t index; (index = pw_next_item(&c->shares, number, &turn)) >= 0;) {
        const item it = quantised_item_at(c, index);
        for (int64_t p = it.from, n; p < it.to; p += n) {
            n = pw_min(p == 0 && c->prefix ? c->prefix : plan->tile_pixels, it.to - p);
            run_tile(c, &it, p, (int)n, scratch);
        }
    }
#if defined(__x86_64__)
    if (plan->stream) __builtin_ia32_sfence();
#endif
}

/* Cuts a call into panels of pixels, and into slices of the blocks if pixels alone make too few
 * items. */
static void cut_into_quantised_items(call *c, int threads) {
    const pw_qplan *plan = c->plan;
    const pw_qproblem *q = &plan->problem;
    const int64_t prefix = plan->stream ? (int64_t)(-(uintptr_t)c->y % LINE) : 0;
    c->prefix = prefix < q->P ? prefix : 0;
    c->panel = plan->panel;
    c->k_splits = plan->k_splits;
    if (threads > 1) {
        const int64_t wanted = (int64_t)threads * PW_ITEMS_PER_THREAD;
        const int64_t tiles = plan->outer * pw_ceil_div(q->P, plan->tile_pixels);
        if (!q->in_place && tiles < wanted) {
            const int64_t splits = pw_min(pw_ceil_div(wanted, tiles), q->K / SPLIT_CHANNELS);
            c->k_splits = pw_max(c->k_splits, splits / threads * threads);
            c->k_splits = pw_min(c->k_splits, plan->blocks.n);
        }
        const int64_t pixels = pw_ceil_div(plan->outer * q->P * c->k_splits, wanted);
        c->panel = pw_min(c->panel, pw_round_up(pixels, plan->tile_pixels));
    }
    c->panels = q->P - c->prefix <= c->panel ? 1 : pw_ceil_div(q->P - c->prefix, c->panel);
    c->items = plan->outer * c->panels * c->k_splits;
}

static pw_status run_quantised(const pw_qplan *plan, pw_qpacked packed, const void *x, void *y,
                               int threads) {
    call c; /* not cleared: most of it is shares that are not used */
    c.plan = plan, c.packed = packed, c.x = x, c.y = y;
    if (!pw_thread_scratch(plan->scratch.bytes)) return PW_NO_MEMORY;
    if (plan->multiply_adds < parallel_from) threads = 1;
    cut_into_quantised_items(&c, threads);
    return pw_spread(&c.shares, c.items, plan->multiply_adds, threads, run_quantised_items, &c);
}

pw_status pw_qrun(const pw_qplan *plan, const void *packed, const void *x, void *y, int threads) {
    return run_quantised(plan, pw_qpacked_at(plan, packed), x, y, threads);
}

pw_status pw_qconv(const pw_qplan *plan, const void *w, ptrdiff_t w_k, ptrdiff_t w_c,
                   const void *bias, ptrdiff_t bias_step, const void *x, void *y, int threads) {
    const pw_qweights weights = {w, bias, w_k, w_c, bias_step};
    const size_t bytes = pw_qpacked_once_bytes(plan, &weights);
    _Alignas(LINE) char on_stack[PW_STACK_BYTES];
    char *memory = bytes <= sizeof on_stack ? on_stack : pw_aligned_alloc(bytes);
    if (!memory) return PW_NO_MEMORY;
    const pw_status status =
        run_quantised(plan, pw_qpack_once(plan, &weights, memory), x, y, threads);
    if (memory != on_stack) free(memory);
    return status;
}
