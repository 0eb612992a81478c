/* Runs a plan: cuts the work into items, which threads take one by one. */
#include <stdlib.h>
#include <string.h>

#include "conv/run.h"
#include "base/layout.h"
#include "base/math.h"
#include "base/scratch.h"
#include "conv/missing.h"
#include "conv/path.h"
#include "conv/plan.h"
#include "conv/present.h"
#include "conv/stage.h"
#include "conv/tiles.h"
#include "threads/shares.h"

enum {
    LINE = 64,
    /* Packed weights that are worth waking a thread for: 240 -> 960 of one pixel 10.8 -> 6.1 us. */
    PARALLEL_FROM_BYTES = 192 << 10,
    /* Images for each thread from which they are not cut, if each is fetched while the one before it
     * is computed. Emerald Rapids, 4 of 128x32x32-256 with 16 threads: 1.31 ms uncut, 0.53 cut. */
    WHOLE_IMAGES = 4,
};

/* One call. An item is a panel of pixels of one outer index and group, for some of the blocks. */
typedef struct call {
    const pw_plan *plan;
    const char *packed, *x, *r, *mask;
    char *y;
    int64_t prefix; /* unaligned prefix of the first outer index, for streaming */
    int64_t panel;  /* pixels of an item */
    int64_t panels; /* of one outer index */
    int k_splits;   /* of the blocks */
    int64_t items;
    pw_shares shares;
} call;

static int first_of_k_split(const pw_plan *plan, int64_t split, int k_splits) {
    return k_splits == 1 ? (int)split * plan->n_blocks : (int)(plan->n_blocks * split / k_splits);
}

static pw_item item_at(const call *call, int64_t index) {
    const pw_plan *plan = call->plan;
    const pw_problem *p = &plan->problem;
    const int64_t panel = pw_take_digit(&index, call->panels);
    const int64_t split = pw_take_digit(&index, call->k_splits);
    const int64_t g = pw_take_digit(&index, p->groups), outer = index;
    const int64_t c = pw_per_component(p, g * plan->C), k = pw_per_component(p, g * plan->K);
    const ptrdiff_t x = pw_outer_offset(p, p->x_outer, outer);
    char *y = call->y + pw_outer_offset(p, p->y_outer, outer) + k * p->y_k;
    const int64_t prefix = plan->prefixes_differ ? pw_unaligned_prefix(plan, y) : call->prefix;
    /* The first panel has the prefix in addition. */
    const int64_t from = panel ? prefix + panel * call->panel : 0;
    const int64_t to = pw_min(p->P, prefix + (panel + 1) * call->panel);
    const int fetches_next = plan->run > 1 && outer + 1 < plan->outer;
    return (pw_item){
        .x = call->x + x + c * p->x_c,
        .mask = call->mask ? call->mask + pw_outer_offset(p, p->m_outer, outer) : NULL,
        .y = y + from * p->y_p,
        .r = call->r ? call->r + pw_outer_offset(p, p->r_outer, outer) + k * p->r_k + from * p->r_p
                     : NULL,
        .packed = call->packed + (size_t)g * plan->group_bytes,
        .c = g * plan->C,
        .k = g * plan->K,
        .from = from,
        .pixels = to - from,
        .unaligned_prefix = panel ? 0 : prefix,
        .to_next = fetches_next ? pw_outer_offset(p, p->x_outer, outer + 1) - x : 0,
        .first_block = first_of_k_split(plan, split, call->k_splits),
        .end_block = first_of_k_split(plan, split + 1, call->k_splits),
    };
}

/* Writes the pixels whose flags are set. `present`: how many pw_sum_present has computed; 0: they
 * all get `fill`. */
static void put_missing(const pw_plan *plan, pw_matrix y, int64_t channels, const uint8_t *flags,
                        int64_t n, int64_t present, const char *scratch) {
    if (present)
        pw_put_present(plan, y, present, scratch + plan->scratch.present);
    else
        pw_fill_missing(plan, y, channels, flags, n);
}

static void run_item(const pw_plan *plan, const pw_item *it, char *scratch) {
    const pw_problem *p = &plan->problem;
    const pw_block *first = &plan->blocks[it->first_block],
                   *last = &plan->blocks[it->end_block - 1];
    const int64_t K = last->k + last->channels - first->k;
    const int64_t y_channels = plan->has_pixel_epilogue ? plan->y_channels : K;
    const pw_convert *swap = plan->kernels->swap;
    const pw_matrix x = {p->x_dtype, (char *)it->x, p->x_c, p->x_p,
                         p->x_swapped ? swap[p->x_dtype] : NULL};
    const pw_matrix y = {p->y_dtype, it->y + first->k * p->y_k, p->y_k, p->y_p,
                         p->y_swapped ? swap[p->y_dtype] : NULL};
    const pw_matrix r = {p->y_dtype, it->r ? (char *)it->r + first->k * p->r_k : NULL, p->r_k,
                         p->r_p, p->r_swapped ? swap[p->y_dtype] : NULL};
    uint8_t *flags = plan->flags ? (uint8_t *)scratch + plan->scratch.flags : NULL;
    pw_missing missing = PW_NONE_MISSING;
    if (plan->flags)
        missing = pw_flag_missing(plan, x, it->c, it->mask, it->from, it->pixels, flags);
    /* Pixels that are written again had better be in the cache: they are not streamed. */
    const int stream = plan->stream && (plan->blends || !missing) && r.at != y.at;
    int64_t present = 0;
    if (missing && plan->present) {
        const pw_present_panel panel = {
            .packed = it->packed + plan->present_at,
            .x = x,
            .mask = it->mask,
            .r = r,
            .y_swap = y.swap,
            .c = it->c,
            .k = it->k,
            .from = it->from,
            .pixels = it->pixels,
            .run_strip = pw_run_strip,
        };
        present = pw_sum_present(plan, &panel, flags, scratch + plan->scratch.present);
    }
    if (missing == PW_ALL_MISSING) {
        put_missing(plan, y, y_channels, flags, it->pixels, present, scratch);
        return;
    }
    pw_pass pass = {
        .c = 0,
        .channels = 0,
        .first = 0,
        .last = 0,
        .stream = stream && !plan->stage_y,
        .gaps = missing && plan->blends ? pw_gaps(plan, flags, it->pixels, scratch) : NULL,
        .next = NULL,
        .x = x,
        .y = plan->stage_y
                 ? pw_staged(plan, scratch + plan->scratch.y, K, plan->path->writes_planes)
                 : y,
        .r = plan->stage_r
                 ? pw_staged(plan, scratch + plan->scratch.r, K, plan->path->writes_planes)
                 : r,
        .acc =
            plan->c_pass < plan->C || plan->path->makes_tiles ? scratch + plan->scratch.acc : NULL,
    };
    if (plan->stage_r) pw_stage_r(plan, pass.r, r, K, it->pixels);
    do {
        pass.channels = pw_min(plan->c_pass, plan->C - pass.c);
        pass.first = pass.c == 0;
        pass.last = pass.c + pass.channels == plan->C;
        pass.x = x;
        pass.x.at += pw_per_component(p, pass.c) * p->x_c +
                     (plan->row_pixels || pw_stages_x(plan) ? 0 : it->from * p->x_p);
        if (pw_stages_x(plan)) {
            const pw_matrix panel =
                pw_staged(plan, scratch + plan->scratch.x, pass.channels, !plan->path->reads_rows);
            pw_stage_x(plan, panel, pass.x, it->c + pass.c, pass.channels, it->from, it->pixels);
            if (plan->fetches_rows && it->from + it->pixels < p->P)
                pass.next = pass.x.at + (it->from + it->pixels) * x.j;
            if (plan->path->bf16_pairs)
                plan->kernels->bf16->make_bf16_pairs(panel.at, panel.i, pass.channels, it->pixels);
            pass.x = panel;
        }
        pw_run_tiles(plan, it, &pass);
        pass.c += pass.channels;
    } while (!pass.last);
    if (plan->path->makes_tiles)
        pw_finish_tiles(plan, y, pass.acc, it->pixels);
    else if (plan->has_pixel_epilogue)
        pw_finish_sums(plan, pass.y, it->pixels);
    if (plan->stage_y)
        pw_store_y(plan, y, pass.y, y_channels, it->pixels, stream, it->unaligned_prefix);
    if (missing && !pass.gaps)
        put_missing(plan, y, y_channels, flags, it->pixels, present, scratch);
}

static void run_conv_items(void *argument, int number) {
    call *call = argument;
    const pw_plan *plan = call->plan;
    char *scratch = NULL;
    if (plan->scratch.bytes && !(scratch = pw_thread_scratch(plan->scratch.bytes))) return;
    int64_t index;
    for (int turn = 0; (index = pw_next_item(&call->shares, number, &turn)) >= 0;) {
        const pw_item it = item_at(call, index);
        /* An outer index with a longer prefix may need one panel less than the first. */
        if (it.pixels > 0) run_item(plan, &it, scratch);
    }
    pw_end_streaming(plan);
}

void pw_run_strip(const pw_plan *plan, const pw_strip *strip, int64_t prefix, char *scratch) {
    const pw_problem *p = &plan->problem;
    for (int64_t g = 0; g < p->groups; g++)
        for (int split = 0; split < plan->k_splits; split++)
            for (int64_t done = 0, n; done < strip->pixels; done += n) {
                const int64_t before = done ? 0 : prefix;
                n = pw_min(strip->pixels - done, plan->panel + before);
                const pw_item it = {
                    .x = strip->x + pw_per_component(p, g * plan->C) * p->x_c,
                    .y = strip->y + pw_per_component(p, g * plan->K) * p->y_k + done * p->y_p,
                    .r = strip->r
                             ? strip->r + pw_per_component(p, g * plan->K) * p->r_k + done * p->r_p
                             : NULL,
                    .packed = strip->packed + (size_t)g * plan->group_bytes,
                    .c = g * plan->C,
                    .k = g * plan->K,
                    .from = strip->from + done,
                    .pixels = n,
                    .unaligned_prefix = before,
                    .to_next = 0,
                    .first_block = first_of_k_split(plan, split, plan->k_splits),
                    .end_block = first_of_k_split(plan, split + 1, plan->k_splits),
                };
                run_item(plan, &it, scratch);
            }
}

int64_t pw_unaligned_prefix(const pw_plan *plan, const void *y) {
    if (!plan->stream) return 0;
    const int64_t most = pw_min(LINE, plan->problem.P);
    for (int64_t prefix = 0; prefix < most; prefix++)
        if (((uintptr_t)y + (uintptr_t)(prefix * plan->problem.y_p)) % LINE == 0) return prefix;
    return 0;
}

/* Cuts pixels into panels. Blocks are split too if pixels alone make too few items, or if there are
 * more weights than x: each thread then reads only its own split of them. */
static void cut_into_items(call *call, int threads) {
    const pw_plan *plan = call->plan;
    const pw_problem *p = &plan->problem;
    const int64_t indices = plan->outer * p->groups,
                  wanted = (int64_t)threads * PW_ITEMS_PER_THREAD;
    int64_t k_splits = plan->k_splits;
    call->prefix = pw_unaligned_prefix(plan, call->y);
    call->panel = plan->panel;
    if (threads > 1) {
        const int64_t tiles = indices * pw_ceil_div(p->P, plan->step);
        if (!plan->needs_all_k && (tiles < 2 * threads || plan->K > plan->outer * p->P))
            k_splits = pw_max(k_splits, pw_min(plan->n_blocks, pw_ceil_div(wanted, indices)));
        const int64_t pixels = pw_ceil_div(indices * p->P * k_splits, wanted);
        int64_t unit = plan->step;
        if (2 * plan->run * unit <= p->P)
            unit *= pw_max(plan->run, 1);
        else if (plan->run > 1 && indices * k_splits >= (int64_t)WHOLE_IMAGES * threads)
            unit = p->P; /* with what is left over of an image beside its run */
        call->panel = pw_min(call->panel, pw_round_up(pw_max(pixels, 1), unit));
    }
    call->k_splits = (int)k_splits;
    const int64_t after_prefix = p->P - (plan->prefixes_differ ? 0 : call->prefix);
    call->panels = after_prefix <= call->panel ? 1 : pw_ceil_div(after_prefix, call->panel);
    call->items = indices * call->k_splits * call->panels;
}

pw_status pw_run_conv(const pw_plan *plan, const void *packed, const void *x, const void *r,
                      const void *mask, void *y, int threads) {
    const pw_problem *p = &plan->problem;
    call call; /* not cleared: most of it is unused shares */
    call.plan = plan, call.packed = packed, call.x = x, call.r = r, call.y = y;
    call.mask = mask;
    if (plan->scratch.bytes && !pw_thread_scratch(plan->scratch.bytes)) return PW_NO_MEMORY;
    const double multiply_adds =
        (double)plan->outer * (double)p->P * (double)p->K * (double)plan->C;
    if ((int64_t)plan->present_at * p->groups < PARALLEL_FROM_BYTES)
        threads = pw_worth_threads(multiply_adds, threads);
    cut_into_items(&call, threads);
    return pw_spread(&call.shares, call.items, multiply_adds, threads, run_conv_items, &call);
}

pw_status pw_conv(const pw_plan *plan, const void *w, ptrdiff_t w_k, ptrdiff_t w_c,
                  const void *bias, ptrdiff_t bias_step, const void *x, const void *r,
                  const void *mask, void *y, int threads) {
    const size_t bytes = pw_packed_bytes(plan);
    _Alignas(LINE) char on_stack[PW_STACK_BYTES];
    void *packed = bytes <= sizeof on_stack ? on_stack : pw_aligned_alloc(bytes);
    if (!packed) return PW_NO_MEMORY;
    pw_pack(plan, w, w_k, w_c, bias, bias_step, packed);
    const pw_status status = pw_run_conv(plan, packed, x, r, mask, y, threads);
    if (packed != on_stack) free(packed);
    return status;
}
