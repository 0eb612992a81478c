/* Runs a plan: cuts the work into items, which threads take one by one. */
#include <stdlib.h>

#include "plan.h"

enum {
    LINE = 64,
    /* One-shot weights up to this size are packed on the stack. */
    STACK_BYTES = 16 << 10,
};

/* One call. An item is a panel of pixels of one outer index and group, for some of the blocks. */
typedef struct call {
    const pw_plan *plan;
    const char *packed, *x, *r;
    char *y;
    int64_t head;   /* pixels before y is aligned, for streaming */
    int64_t panel;  /* pixels of an item */
    int64_t panels; /* in a row of P */
    int parts;      /* of the blocks */
    int64_t items;
    pw_shares shares;
} call;

typedef struct item {
    const char *x; /* of the first pixel of P, y and r of the item's */
    const char *packed, *r;
    char *y;
    int64_t from, pixels;
    int first_block, end_block;
} item;

ptrdiff_t pw_outer_offset(const pw_problem *p, const ptrdiff_t *strides, int64_t index) {
    ptrdiff_t offset = 0;
    for (int64_t i = p->outer - 1; i >= 0; i--) {
        offset += (ptrdiff_t)(index % p->outer_n[i]) * strides[i];
        index /= p->outer_n[i];
    }
    return offset;
}

static item item_at(const call *call, int64_t index) {
    const pw_plan *plan = call->plan;
    const pw_problem *p = &plan->problem;
    const int64_t panel = index % call->panels;
    index /= call->panels;
    const int part = (int)(index % call->parts);
    index /= call->parts;
    const int64_t g = index % p->groups, outer = index / p->groups;
    /* The first panel takes the head on top. */
    const int64_t from = panel ? call->head + panel * call->panel : 0;
    const int64_t to = pw_min(p->P, call->head + (panel + 1) * call->panel);
    return (item){
        .x = call->x + pw_outer_offset(p, p->x_outer, outer) + g * plan->C * p->x_c,
        .y = call->y + pw_outer_offset(p, p->y_outer, outer) + g * plan->K * p->y_k + from * p->y_p,
        .r = call->r ? call->r + pw_outer_offset(p, p->r_outer, outer) + g * plan->K * p->r_k +
                           from * p->r_p
                     : NULL,
        .packed = call->packed + (size_t)g * plan->group_bytes,
        .from = from,
        .pixels = to - from,
        .first_block = (int)((int64_t)plan->n_blocks * part / call->parts),
        .end_block = (int)((int64_t)plan->n_blocks * (part + 1) / call->parts),
    };
}

/* A staged region: channels by pixels, in planes or interleaved. */
static pw_matrix staged(const pw_plan *plan, char *at, int64_t channels, int planes) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(plan->problem.dtype);
    const ptrdiff_t room = (ptrdiff_t)plan->room;
    return planes ? (pw_matrix){plan->problem.dtype, at, room * size, size}
                  : (pw_matrix){plan->problem.dtype, at, size, channels * size};
}

/* Copies n_c channels by n_p pixels, innermost what lies one behind the other in scratch. */
static void copy_panel(pw_matrix to, pw_matrix from, int64_t n_c, int64_t n_p, int planes) {
    if (planes)
        pw_copy(to, from, n_c, n_p);
    else
        pw_copy((pw_matrix){to.dtype, to.at, to.j, to.i},
                (pw_matrix){from.dtype, from.at, from.j, from.i}, n_p, n_c);
}

/* Pixels [from, from + n) of x, row by row. */
static void stage_x(const pw_plan *plan, pw_matrix to, pw_matrix x, int64_t n_c, int64_t from,
                    int64_t n) {
    const int64_t row = plan->row ? plan->row : plan->problem.P;
    for (int64_t part; n > 0; n -= part, from += part, to.at += part * to.j) {
        pw_matrix source = x;
        source.at += from / row * plan->x_row + from % row * x.j;
        part = pw_min(n, row - from % row);
        copy_panel(to, source, n_c, part, !plan->interleaved);
    }
}

typedef struct pass {
    int64_t c, channels;
    int first, last;
    pw_matrix x, y, r; /* as the kernels shall see them; from the item's first channel on */
    char *acc;
} pass;

/* All blocks of an item over one tile of pixels after the other. */
static void run_tiles(const pw_plan *plan, const item *it, const pass *pass, int64_t head) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(plan->problem.dtype);
    const int64_t room = plan->room;
    const pw_block *first = &plan->blocks[it->first_block], *end = &plan->blocks[it->end_block];
    const int64_t tile = end - first == 1 ? it->pixels : plan->tile;
    pw_tile t = {
        .x_c = pass->x.i,
        .x_p = pass->x.j,
        .y_step = plan->planes ? pass->y.i : pass->y.j,
        .r_step = plan->planes ? pass->r.i : pass->r.j,
        .transposed = plan->transposed,
        .row = plan->stage_x ? 0 : plan->row,
        .x_row = plan->x_row,
        .C = pass->channels,
        .first = pass->first,
        .last = pass->last,
        .epilogue = &plan->epilogue,
    };
    for (int64_t p = 0, n; p < it->pixels; p += n) {
        n = pw_min(p == 0 && head ? head : tile, it->pixels - p);
        t.n = n;
        if (t.row) {
            t.x = pass->x.at + (it->from + p) / t.row * t.x_row;
            t.in_row = (it->from + p) % t.row;
        } else {
            t.x = pass->x.at + p * pass->x.j;
        }
        t.prefetch = plan->prefetch;
        t.stream = plan->stream && ((uintptr_t)(pass->y.at + p * pass->y.j) % LINE) == 0;
        for (const pw_block *block = first; block < end; block++) {
            const ptrdiff_t k = (ptrdiff_t)(block->k - first->k);
            t.bias = it->packed + block->offset;
            t.w = it->packed + block->offset + (1 + pass->c) * block->width * size;
            t.channels = block->channels;
            t.y = pass->y.at + k * pass->y.i + p * pass->y.j;
            t.r = pass->r.at ? pass->r.at + k * pass->r.i + p * pass->r.j : NULL;
            if (pass->acc) {
                /* Whole vectors go there: what follows the head must not share one with it. */
                const int64_t slot = p && head ? p - head + LINE / size : p;
                t.acc = pass->acc + (block->at - first->at) * room * size +
                        slot * size * (plan->interleaved ? block->width : 1);
                t.acc_step = size * (plan->interleaved ? block->width : room);
            }
            block->kernel(&t);
            t.prefetch = 0;
        }
    }
}

static void run_item(const pw_plan *plan, const item *it, int64_t head, char *scratch) {
    const pw_problem *p = &plan->problem;
    const pw_block *first = &plan->blocks[it->first_block],
                   *last = &plan->blocks[it->end_block - 1];
    const int64_t K = last->k + last->channels - first->k;
    const pw_matrix x = {p->x_dtype, (char *)it->x, p->x_c, p->x_p};
    const pw_matrix y = {p->dtype, it->y + first->k * p->y_k, p->y_k, p->y_p};
    const pw_matrix r = {p->dtype, it->r ? (char *)it->r + first->k * p->r_k : NULL, p->r_k,
                         p->r_p};
    pass pass = {
        .y = plan->stage_y ? staged(plan, scratch + plan->scratch.y, K, plan->planes) : y,
        .r = plan->stage_r ? staged(plan, scratch + plan->scratch.r, K, plan->planes) : r,
        .acc = plan->c_pass < plan->C ? scratch + plan->scratch.acc : NULL,
    };
    if (plan->stage_r) copy_panel(pass.r, r, K, it->pixels, plan->planes);
    do {
        pass.channels = pw_min(plan->c_pass, plan->C - pass.c);
        pass.first = pass.c == 0;
        pass.last = pass.c + pass.channels == plan->C;
        pass.x = x;
        pass.x.at += pass.c * p->x_c + (plan->row || plan->stage_x ? 0 : it->from * p->x_p);
        if (plan->stage_x) {
            const pw_matrix panel =
                staged(plan, scratch + plan->scratch.x, pass.channels, !plan->interleaved);
            stage_x(plan, panel, pass.x, pass.channels, it->from, it->pixels);
            pass.x = panel;
        }
        run_tiles(plan, it, &pass, head);
        pass.c += pass.channels;
    } while (!pass.last);
    if (plan->stage_y) copy_panel(y, pass.y, K, it->pixels, plan->planes);
}

static void work(void *argument, int number) {
    call *call = argument;
    const pw_plan *plan = call->plan;
    char *scratch = NULL;
    if (plan->scratch.bytes && !(scratch = pw_thread_scratch(plan->scratch.bytes))) return;
    int64_t index;
    for (int turn = 0; (index = pw_next_item(&call->shares, number, &turn)) >= 0;) {
        const item it = item_at(call, index);
        run_item(plan, &it, index % call->panels ? 0 : call->head, scratch);
    }
    pw_end_streaming(plan);
}

/* As few parts of the blocks as scratch asks for. */
static int64_t fewest_parts(const pw_plan *plan) {
    const pw_block *last = &plan->blocks[plan->n_blocks - 1];
    int64_t parts = pw_ceil_div(last->at + last->width, plan->part_width);
    /* Blocks are of unequal width by one vector at most, so parts may exceed part_width's share. */
    while (parts > 1 &&
           pw_ceil_div(plan->n_blocks, parts) * plan->blocks[0].width > plan->part_width)
        parts++;
    return pw_min(parts, plan->n_blocks);
}

void pw_run_strip(const pw_plan *plan, const pw_strip *strip, int64_t head, char *scratch) {
    const pw_problem *p = &plan->problem;
    const int64_t parts = fewest_parts(plan);
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t part = 0; part < parts; part++)
            for (int64_t done = 0, n; done < strip->pixels; done += n, head = 0) {
                n = pw_min(strip->pixels - done, plan->panel + head);
                const item it = {
                    .x = strip->x + g * plan->C * p->x_c,
                    .y = strip->y + g * plan->K * p->y_k + done * p->y_p,
                    .r = strip->r ? strip->r + g * plan->K * p->r_k + done * p->r_p : NULL,
                    .packed = strip->packed + (size_t)g * plan->group_bytes,
                    .from = strip->from + done,
                    .pixels = n,
                    .first_block = (int)(plan->n_blocks * part / parts),
                    .end_block = (int)(plan->n_blocks * (part + 1) / parts),
                };
                run_item(plan, &it, head, scratch);
            }
}

int64_t pw_unaligned_head(const pw_plan *plan, const void *y) {
    if (!plan->stream) return 0;
    const int64_t most = pw_min(LINE, plan->problem.P);
    for (int64_t head = 0; head < most; head++)
        if (((uintptr_t)y + (uintptr_t)(head * plan->problem.y_p)) % LINE == 0) return head;
    return 0;
}

/* Panels of pixels, and parts of the blocks where pixels alone make too few items, or where the
 * weights are more than the pixels: then each thread reads its own part of them only. */
static void cut(call *call, int threads) {
    const pw_plan *plan = call->plan;
    const pw_problem *p = &plan->problem;
    const int64_t rows = plan->outer * p->groups, wanted = (int64_t)threads * PW_ITEMS_PER_THREAD;
    int64_t parts = fewest_parts(plan);
    call->head = pw_unaligned_head(plan, call->y);
    call->panel = plan->panel;
    if (threads > 1) {
        const int64_t tiles = rows * pw_ceil_div(p->P, plan->step);
        if (!p->in_place && (tiles < 2 * threads || plan->K > plan->outer * p->P))
            parts = pw_max(parts, pw_min(plan->n_blocks, pw_ceil_div(wanted, rows)));
        const int64_t pixels = pw_ceil_div(rows * p->P * parts, wanted);
        call->panel = pw_min(call->panel, pw_round_up(pw_max(pixels, 1), plan->step));
    }
    call->parts = (int)parts;
    call->panels = pw_max(1, pw_ceil_div(p->P - call->head, call->panel));
    call->items = rows * call->parts * call->panels;
}

pw_status pw_run(const pw_plan *plan, const void *packed, const void *x, const void *r, void *y,
                 int threads) {
    const pw_problem *p = &plan->problem;
    if (plan->chain) return pw_run_chain(plan->chain, packed, x, r, y, threads);
    call call; /* not cleared: most of it is shares that are not used */
    call.plan = plan, call.packed = packed, call.x = x, call.r = r, call.y = y;
    if (plan->scratch.bytes && !pw_thread_scratch(plan->scratch.bytes)) return PW_NO_MEMORY;
    const double sums = (double)plan->outer * (double)p->P * (double)p->K;
    threads = pw_worth_threads(sums * (double)plan->C, threads);
    cut(&call, threads);
    pw_spread(&call.shares, call.items, threads, work, &call);
    return PW_OK;
}

pw_status pw_conv(const pw_plan *plan, const void *w, ptrdiff_t w_k, ptrdiff_t w_c,
                  const void *bias, ptrdiff_t bias_step, const void *x, const void *r, void *y,
                  int threads) {
    const size_t bytes = pw_packed_bytes(plan);
    _Alignas(LINE) char on_stack[STACK_BYTES];
    void *packed = bytes <= sizeof on_stack ? on_stack : aligned_alloc(LINE, bytes);
    if (!packed) return PW_NO_MEMORY;
    pw_pack(plan, w, w_k, w_c, bias, bias_step, packed);
    const pw_status status = pw_run(plan, packed, x, r, y, threads);
    if (packed != on_stack) free(packed);
    return status;
}
