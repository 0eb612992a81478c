/* Runs chains: see chain/plan.h. */
#include "chain/run.h"
#include "base/layout.h"
#include "base/math.h"
#include "base/scratch.h"
#include "chain/plan.h"
#include "conv/plan.h"
#include "conv/run.h"
#include "threads/shares.h"

/* One call of a fused chain. An item is a panel of pixels of one outer index. */
typedef struct call {
    const pw_chain *chain;
    const char *packed, *x, *r;
    char *y;
    int64_t prefix, panel, panels;
    pw_shares shares;
} call;

/* Runs the first layer row by row, because its plan does not know that x has rows. */
static void run_rows(const pw_chain *chain, pw_strip strip, char *scratch) {
    const pw_plan *plan = chain->layers[0];
    const char *x = strip.x;
    const int64_t end = strip.from + strip.pixels;
    for (int64_t p = strip.from, n; p < end; p += n, strip.y += n * plan->problem.y_p) {
        strip.from = p % chain->row_pixels;
        strip.x = x + p / chain->row_pixels * chain->x_row;
        strip.pixels = n = pw_min(end - p, chain->row_pixels - strip.from);
        pw_run_strip(plan, &strip, 0, scratch);
    }
}

/* Runs two layers at once. The strip is the second layer's, except for x. */
static void run_fused2(const pw_chain *chain, pw_strip strip, const char *packed, int64_t prefix) {
    const pw_problem *whole = &chain->whole;
    const pw_plan *first = chain->layers[0], *last = chain->layers[1];
    const ptrdiff_t size = (ptrdiff_t)pw_size(whole->dtype);
    const int planar = !chain->interleaved;
    pw_fused2 args = {
        .t =
            {
                .x_c = whole->x_c,
                .x_p = whole->x_p,
                .bias = strip.packed,
                .w = strip.packed + whole->K * size,
                .y_step = planar ? whole->y_k : whole->y_p,
                .r_step = planar ? whole->r_k : whole->r_p,
                .C = whole->C,
                .channels = (int)whole->K,
                .first = 1,
                .last = 1,
                .prefetch = chain->prefetch,
                .epilogue = &last->epilogue,
            },
        .first = packed,
        .first_epilogue = &first->epilogue,
        .hidden = first->K,
        .few_channels = chain->few_channels,
    };
    for (int64_t p = 0, n; p < strip.pixels; p += n) {
        n = p == 0 && prefix ? pw_min(prefix, strip.pixels) : strip.pixels - p;
        args.t.n = n;
        args.t.x = strip.x + (strip.from + p) * whole->x_p;
        args.t.y = strip.y + p * whole->y_p;
        args.t.r = strip.r ? strip.r + p * whole->r_p : NULL;
        args.t.stream = last->stream && args.t.r != args.t.y && (uintptr_t)args.t.y % 64 == 0;
        chain->fused2(&args);
    }
}

static void run_chain_panel(const call *call, int64_t index, char *scratch) {
    const pw_chain *chain = call->chain;
    const pw_problem *whole = &chain->whole;
    const int64_t panel = index % call->panels, outer = index / call->panels;
    /* The first panel has the prefix in addition. */
    const int64_t from = panel ? call->prefix + panel * call->panel : 0;
    const int64_t to = pw_min(whole->P, call->prefix + (panel + 1) * call->panel);
    pw_strip strip = {.packed = call->packed, .pixels = to - from};
    if (chain->fused2) {
        strip.x = call->x + pw_outer_offset(whole, whole->x_outer, outer);
        strip.y = call->y + pw_outer_offset(whole, whole->y_outer, outer) + from * whole->y_p;
        if (call->r)
            strip.r = call->r + pw_outer_offset(whole, whole->r_outer, outer) + from * whole->r_p;
        strip.from = from;
        strip.packed += pw_packed_bytes(chain->layers[0]);
        run_fused2(chain, strip, call->packed, panel ? 0 : call->prefix);
        return;
    }
    char *const hidden = scratch + chain->bytes - chain->hidden;
    for (int i = 0; i < chain->n; i++) {
        const pw_plan *plan = chain->layers[i];
        const int last = i + 1 == chain->n;
        strip.x = i ? strip.y : call->x + pw_outer_offset(whole, whole->x_outer, outer);
        strip.from = i ? 0 : from;
        strip.y = hidden - (i % 2 ? chain->hidden : 0);
        if (last) {
            strip.y = call->y + pw_outer_offset(whole, whole->y_outer, outer) + from * whole->y_p;
            if (call->r)
                strip.r =
                    call->r + pw_outer_offset(whole, whole->r_outer, outer) + from * whole->r_p;
        }
        if (i == 0 && chain->row_pixels)
            run_rows(chain, strip, scratch);
        else
            pw_run_strip(plan, &strip, last && !panel ? call->prefix : 0, scratch);
        strip.packed += pw_packed_bytes(plan);
    }
}

static void run_chain_items(void *argument, int number) {
    call *call = argument;
    const pw_chain *chain = call->chain;
    char *scratch = NULL;
    if (chain->bytes && !(scratch = pw_thread_scratch(chain->bytes))) return;
    int64_t index;
    for (int turn = 0; (index = pw_next_item(&call->shares, number, &turn)) >= 0;)
        run_chain_panel(call, index, scratch);
    pw_end_streaming(chain->layers[chain->n - 1]);
}

static pw_status run_fused(const pw_chain *chain, const void *packed, const void *x, const void *r,
                           void *y, int threads) {
    call call; /* not cleared: most of it is unused shares */
    call.chain = chain, call.packed = packed, call.x = x, call.r = r, call.y = y;
    call.prefix = pw_unaligned_prefix(chain->layers[chain->n - 1], y);
    call.panel = chain->panel;
    threads = pw_worth_threads(chain->multiply_adds, threads);
    if (threads > 1) {
        const int64_t pixels =
            pw_ceil_div(chain->outer * chain->whole.P, (int64_t)threads * PW_ITEMS_PER_THREAD);
        call.panel = pw_min(call.panel, pw_round_up(pixels, chain->step));
    }
    call.panels = pw_max(1, pw_ceil_div(chain->whole.P - call.prefix, call.panel));
    return pw_spread(&call.shares, chain->outer * call.panels, chain->multiply_adds, threads,
                     run_chain_items, &call);
}

static pw_status run_batch(const pw_chain *chain, int shorter, const char *packed, const char *x,
                           const char *r, char *y, char *hidden, int threads) {
    pw_status status = PW_OK;
    for (int i = 0; i < chain->n && status == PW_OK; i++) {
        const pw_plan *plan = chain->layers[i + (shorter ? chain->n : 0)];
        const int last = i + 1 == chain->n;
        char *to = last ? y : hidden - (i % 2 ? chain->hidden : 0);
        status = pw_run_conv(plan, packed, x, last ? r : NULL, NULL, to, threads);
        packed += pw_packed_bytes(plan);
        x = to;
    }
    return status;
}

static pw_status run_batches(const pw_chain *chain, const char *packed, const char *x,
                             const char *r, char *y, char *hidden, int threads) {
    pw_problem before = chain->whole; /* the axes before the one that batches divide */
    const int64_t axis = chain->axis, most = chain->most;
    const int is_P = axis == before.outer;
    const ptrdiff_t x_step = is_P ? before.x_p : before.x_outer[axis],
                    y_step = is_P ? before.y_p : before.y_outer[axis],
                    r_step = is_P ? before.r_p : before.r_outer[axis];
    before.outer = axis;
    const int64_t outer = pw_product(before.outer_n, axis);
    pw_status status = PW_OK;
    int64_t next = 0;
    for (int64_t o = 0; o < outer && status == PW_OK; o++)
        for (int64_t b = 0; b < chain->batches && status == PW_OK; b++) {
            const int shorter = b + 1 == chain->batches && chain->layers[chain->n] != NULL;
            const char *from = x + pw_outer_offset(&before, before.x_outer, o) + b * most * x_step;
            char *to = y + pw_outer_offset(&before, before.y_outer, o) + b * most * y_step;
            const char *add =
                r ? r + pw_outer_offset(&before, before.r_outer, o) + b * most * r_step : NULL;
            status = run_batch(chain, shorter, packed, from, add, to, hidden, threads);
            if (status == PW_OK && pw_is_interrupted(&next)) status = PW_INTERRUPTED;
        }
    return status;
}

pw_status pw_run_chain(const pw_chain *chain, const void *packed, const void *x, const void *r,
                       void *y, int threads) {
    char *scratch = NULL;
    if (chain->bytes && !(scratch = pw_thread_scratch(chain->bytes))) return PW_NO_MEMORY;
    if (!chain->fused)
        /* Layers use the start of this scratch, which does not move: they find it large enough. */
        return run_batches(chain, packed, x, r, y, scratch + chain->bytes - chain->hidden, threads);
    return run_fused(chain, packed, x, r, y, threads);
}
