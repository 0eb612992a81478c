/* Runs a quantised convolution: cuts it into items, each a panel of pixels for some of the blocks of
 * output channels. Tile by tile x is staged as lanes, and the blocks' kernels go over it. */
#include <stdlib.h>

#include "base/math.h"
#include "base/scratch.h"
#include "isa/types.h"
#include "quantised/kernels.h"
#include "quantised/pack.h"
#include "quantised/stage.h"
#include "threads/shares.h"

enum {
    LINE = 64,
    /* Items a thread should get at least, for cores are unequally fast. */
    ITEMS_PER_THREAD = 12,
    /* Channels that an item should have, or staging x for each would show. */
    PART_CHANNELS = 32,
    /* Bytes of staged x, of sums between passes and of staged y, each. */
    REGION_BYTES = 256 << 10,
    /* Where pixels have so many channels side by side, a row of lanes for each is quicker. */
    ROW_CHANNELS = 32,
    /* What a sum in a dot kernel costs beside its products, in products. */
    DOT_COST = 8,
    /* Dot kernels make so few channels one by one, side by side too: weights stay as they are. */
    FEW_PIXELS = 8,
    /* As in conv/plan.c. */
    PREFETCH_FROM_BYTES = 512 << 10,
    AHEAD = 512,
    DEFAULT_CACHE_BYTES = 16 << 20,
};

/* Multiply-adds that are worth waking a thread for. */
static const double parallel_from = 2e6;

typedef struct call {
    const pw_qkernels *kernels;
    const pw_qproblem *q;
    pw_qpacked packed;
    pw_qblocks blocks;
    pw_qbytes bytes;
    pw_qoutput output;
    const char *x;
    char *y;
    int interleaved;
    int direct;  /* x is read in place: its bytes are lanes */
    int rows;    /* x is staged in rows of lanes for each pixel */
    int stage_y; /* through a tile of planes */
    int stream;
    ptrdiff_t ahead;
    int tile;       /* pixels */
    int64_t groups; /* of channels */
    int64_t pass;   /* groups at once */
    int64_t head;   /* pixels before y is aligned */
    int dots;       /* most pixels left over that dot kernels take */
    int64_t panel, panels, parts, items;
    size_t rows_at, acc_at, y_at, scratch;
    pw_shares shares;
} call;

typedef struct item {
    const char *x; /* of the first pixel of P, as y */
    char *y;
    int64_t from, to;   /* pixels */
    int64_t first, end; /* blocks */
} item;

static void find_outer(const pw_qproblem *q, int64_t index, item *it) {
    for (int64_t i = q->outer - 1; i >= 0; i--) {
        const ptrdiff_t at = (ptrdiff_t)(index % q->outer_n[i]);
        it->x += at * q->x_outer[i];
        it->y += at * q->y_outer[i];
        index /= q->outer_n[i];
    }
}

static item item_at(const call *c, int64_t index) {
    const int64_t panel = pw_take_digit(&index, c->panels);
    const int64_t part = pw_take_digit(&index, c->parts);
    item it = {.x = c->x, .y = c->y};
    find_outer(c->q, index, &it);
    /* The first panel takes the head on top. */
    it.from = panel ? c->head + panel * c->panel : 0;
    it.to = pw_min(c->q->P, c->head + (panel + 1) * c->panel);
    it.first = c->blocks.n * part / c->parts;
    it.end = c->blocks.n * (part + 1) / c->parts;
    return it;
}

static int64_t first_channel(const call *c, int64_t block) {
    return pw_qblock_at(&c->blocks, block) * c->blocks.unit;
}

/* x of n pixels and `groups` groups of channels as lanes, which t learns to read. */
static void stage_x(const call *c, const char *x, int64_t g, int64_t groups, int n, char *to,
                    pw_qtile *t) {
    const pw_qproblem *q = c->q;
    const int depth = c->kernels->depth;
    const int64_t C = pw_min(groups * depth, q->C - g * depth);
    x += g * depth * q->x_c;
    t->x_g = c->tile * PW_Q_LANE;
    t->x_p = PW_Q_LANE;
    t->x = to;
    if (c->direct) {
        t->x = x;
        t->x_g = PW_Q_LANE;
        t->x_p = q->x_p;
    } else if (c->rows) {
        const int64_t row = pw_round_up(groups, c->kernels->vector);
        t->x_g = PW_Q_LANE;
        t->x_p = (ptrdiff_t)row * PW_Q_LANE;
        for (int p = 0; p < n; p++)
            pw_qstage_row(c->kernels, c->bytes, to + p * t->x_p, row, x + p * q->x_p, q->x_c, C);
    } else if (q->x_p == 1 || n == 1) {
        c->kernels->stage(c->bytes, to, t->x_g, x, q->x_c, C, n, c->ahead);
    } else {
        pw_qstage_any(c->kernels, c->bytes, to, t->x_g, x, q->x_c, q->x_p, C, n);
    }
}

/* The sum of the numbers of each pixel in staged x. */
static void sum_x(const call *c, const pw_qtile *t, int32_t *sums) {
    static const int32_t none[1];
    if (c->rows) {
        c->kernels->sum_x(t->x, t->x_p, t->x_p, t->n, sums);
        return;
    }
    const pw_qtile ones = {.x = t->x,
                           .x_g = t->x_g,
                           .w = c->packed.ones,
                           .groups = t->groups,
                           .bias = none,
                           .acc = sums,
                           .n = t->n,
                           .first = 1};
    c->kernels->planar[1](&ones);
}

static void run_blocks(const call *c, const item *it, int64_t g, pw_qtile *t, pw_matrix y,
                       int32_t *acc) {
    const int64_t k_first = first_channel(c, it->first);
    for (int64_t b = it->first; b < it->end; b++) {
        const int64_t k = first_channel(c, b), width = first_channel(c, b + 1) - k;
        t->bias = c->packed.bias + k;
        t->w_zero = c->packed.w_zero + k;
        t->scale = c->packed.scale + k;
        t->channels = (int)pw_min(width, c->q->K - k);
        t->y = y.at + (k - k_first) * y.i;
        if (c->interleaved) {
            t->w = c->packed.w + (k * c->groups + g * width) * PW_Q_LANE;
            t->acc = acc + (k - k_first);
            c->kernels->interleaved[width / c->blocks.unit](t);
        } else {
            t->w = c->packed.w + k * c->packed.w_k + g * PW_Q_LANE;
            t->acc = acc + (k - k_first) * c->tile;
            c->kernels->planar[width](t);
        }
    }
}

/* n pixels side by side in y, by vectors of them or of channels. */
static void run_vectors(const call *c, const item *it, const char *x, pw_matrix y, int n,
                        char *scratch) {
    const int64_t K = first_channel(c, it->end) - first_channel(c, it->first);
    int32_t sums[PW_Q_MAX_TILE];
    pw_qtile t = {
        .w_k = c->packed.w_k,
        .y_step = c->interleaved ? y.j : y.i,
        .acc_step = c->interleaved ? K : c->tile,
        .n = n,
        .first = 1,
        .stream = c->stream && (uintptr_t)y.at % LINE == 0,
        .output = c->output,
    };
    for (int64_t g = 0; !t.last; g += t.groups, t.first = 0) {
        t.groups = pw_min(c->pass, c->groups - g);
        t.last = g + t.groups == c->groups;
        stage_x(c, x, g, t.groups, n, scratch, &t);
        t.x_sum = c->packed.needs_x_sum ? sums : NULL;
        if (t.x_sum) sum_x(c, &t, sums);
        run_blocks(c, it, g, &t, y, (int32_t *)(scratch + c->acc_at));
    }
}

/* n pixels by vectors of groups of channels. */
static void run_dots(const call *c, const item *it, const char *x, pw_matrix y, int n,
                     char *scratch) {
    const pw_qproblem *q = c->q;
    const int64_t k_first = first_channel(c, it->first);
    const int64_t k_end = pw_min(q->K, first_channel(c, it->end));
    const int64_t row = pw_round_up(c->groups, c->kernels->vector);
    int32_t sums[PW_Q_MAX_TILE];
    pw_qtile t = {
        .x = scratch + c->rows_at,
        .x_p = (ptrdiff_t)row * PW_Q_LANE,
        .w_k = c->packed.w_k,
        .groups = row,
        .x_sum = c->packed.needs_x_sum ? sums : NULL,
        .y_step = y.i,
        .n = n,
        .output = c->output,
    };
    for (int p = 0; p < n; p++)
        pw_qstage_row(c->kernels, c->bytes, scratch + c->rows_at + p * t.x_p, row, x + p * q->x_p,
                      q->x_c, q->C);
    if (t.x_sum) c->kernels->sum_x(t.x, t.x_p, t.x_p, n, sums);
    for (int64_t k = k_first; k < k_end; k += c->tile) {
        t.w = c->packed.w + k * t.w_k;
        t.bias = c->packed.bias + k;
        t.w_zero = c->packed.w_zero + k;
        t.scale = c->packed.scale + k;
        t.y = y.at + (k - k_first) * y.i;
        t.channels = (int)pw_min(c->tile, k_end - k);
        c->kernels->dot(&t);
    }
}

/* n pixels from p on. */
static void run_tile(const call *c, const item *it, int64_t p, int n, char *scratch) {
    const pw_qproblem *q = c->q;
    const int64_t k_first = first_channel(c, it->first);
    const int64_t k_end = pw_min(q->K, first_channel(c, it->end));
    const int left = n % c->kernels->vector, dots = left <= c->dots ? left : 0;
    const pw_matrix y = {.at = it->y + p * q->y_p + k_first * q->y_k, .i = q->y_k, .j = q->y_p};
    const pw_matrix to =
        c->stage_y ? (pw_matrix){.at = scratch + c->y_at, .i = c->tile, .j = 1} : y;
    const char *x = it->x + p * q->x_p;
    pw_matrix behind = to;
    behind.at += n - dots;
    if (dots) run_dots(c, it, x + (n - dots) * q->x_p, behind, dots, scratch);
    if (n > dots) run_vectors(c, it, x, to, n - dots, scratch);
    for (int64_t k = 0; c->stage_y && k < k_end - k_first; k++)
        for (int i = 0; i < n; i++) y.at[k * y.i + i * y.j] = to.at[k * to.i + i];
}

static void work(void *argument, int number) {
    call *c = argument;
    char *scratch = pw_thread_scratch(c->scratch);
    int turn = 0;
    if (!scratch) return;
    for (int64_t index; (index = pw_next_item(&c->shares, number, &turn)) >= 0;) {
        const item it = item_at(c, index);
        for (int64_t p = it.from, n; p < it.to; p += n) {
            n = pw_min(p == 0 && c->head ? c->head : c->tile, it.to - p);
            run_tile(c, &it, p, (int)n, scratch);
        }
    }
#if defined(__x86_64__)
    if (c->stream) __builtin_ia32_sfence();
#endif
}

static void choose_path(call *c, int64_t pixels) {
    const pw_qproblem *q = c->q;
    const int x_rows = q->x_c == 1 && q->C >= ROW_CHANNELS && (q->x_p != 1 || q->P == 1);
    const int y_planar = q->y_p == 1 || q->P == 1;
    c->interleaved =
        (q->y_k == 1 || q->K == 1) && !(y_planar && pixels < FEW_PIXELS) && q->y_p != 1;
    c->stage_y = !c->interleaved && !y_planar;
    c->rows = c->interleaved && x_rows;
    c->ahead = pixels * q->C < PREFETCH_FROM_BYTES ? 0 : AHEAD;
}

/* Streaming stores: for an output that will not stay in the cache, of whole aligned lines. */
static void choose_stores(call *c, int64_t pixels) {
    const pw_qproblem *q = c->q;
    const int64_t known = pw_cache_bytes(3), cache = known ? known : DEFAULT_CACHE_BYTES;
    if (c->interleaved || c->stage_y || q->in_place || pixels * q->K <= cache / 2) return;
    if (q->K > 1 && q->y_k % LINE) return;
    for (int64_t i = 0; i < q->outer; i++)
        if (q->y_outer[i] % LINE) return;
    const int64_t head = (int64_t)(-(uintptr_t)c->y % LINE);
    c->stream = c->tile % LINE == 0 && head < q->P;
    c->head = c->stream ? head : 0;
}

static size_t region(size_t *end, int used, int64_t bytes) {
    const size_t at = *end;
    if (used) *end += (size_t)pw_round_up(bytes, LINE);
    return at;
}

/* Passes and parts, so that each region of scratch stays within its bytes; then panels. */
static void cut(call *c, int64_t outer, int threads) {
    const pw_qproblem *q = c->q;
    const int64_t lane_bytes = (int64_t)c->tile * PW_Q_LANE;
    const int64_t block = pw_ceil_div(c->blocks.units, c->blocks.n) * c->blocks.unit;
    c->pass = pw_min(c->groups, REGION_BYTES / lane_bytes);
    const int sums = c->pass < c->groups;
    /* Channels of a part. */
    const int64_t most = sums         ? REGION_BYTES / lane_bytes
                         : c->stage_y ? REGION_BYTES / c->tile
                                      : c->blocks.n * block;
    const int64_t tiles = outer * pw_ceil_div(q->P, c->tile), wanted = threads * ITEMS_PER_THREAD;
    c->parts = pw_ceil_div(c->blocks.n, pw_max(1, most / block));
    c->panel = pw_round_up(q->P, c->tile);
    if (threads > 1) {
        if (!q->in_place && tiles < wanted) {
            const int64_t parts = pw_min(pw_ceil_div(wanted, tiles), q->K / PART_CHANNELS);
            c->parts = pw_max(c->parts, parts / threads * threads);
        }
        c->panel = pw_round_up(pw_ceil_div(outer * q->P * c->parts, wanted), c->tile);
    }
    /* Items are short, so that a call may be interrupted between them. */
    const int64_t brief = pw_max(1, PW_ITEM_WORK / pw_max(1, q->C * q->K));
    c->panel = pw_min(c->panel, pw_round_up(brief, c->tile));
    c->parts = pw_min(c->parts, c->blocks.n);
    c->panels = pw_max(1, pw_ceil_div(q->P - c->head, c->panel));
    c->items = outer * c->panels * c->parts;
    const int64_t part = pw_ceil_div(c->blocks.n, c->parts) * block;
    const int64_t vector = c->kernels->vector, vectors = pw_ceil_div(c->groups, vector);
    if (!c->interleaved && !sums)
        c->dots = (int)pw_min(vector - 1, c->groups / (vectors + DOT_COST));
    const int64_t row = pw_round_up(c->pass, c->kernels->vector);
    region(&c->scratch, 1, pw_max(row, 1) * lane_bytes);
    c->rows_at = region(&c->scratch, c->dots, c->dots * row * PW_Q_LANE);
    c->acc_at = region(&c->scratch, sums, part * lane_bytes);
    c->y_at = region(&c->scratch, c->stage_y, part * c->tile);
}

static pw_qoutput output_of(const pw_qproblem *q) {
    const int moved = q->y_signed ? 128 : 0;
    pw_qoutput output = {
        .zero = (int16_t)(q->y_zero + moved),
        .lo = (uint8_t)(q->lo + moved),
        .hi = (uint8_t)(q->hi + moved),
        .flip = q->y_signed ? 0x80 : 0,
    };
    output.is_all = output.lo == 0 && output.hi == 255 && !output.flip;
    return output;
}

pw_status pw_qconv(const pw_qkernels *kernels, const pw_qproblem *q, const void *w, ptrdiff_t w_k,
                   ptrdiff_t w_c, const void *bias, ptrdiff_t bias_step, const void *x, void *y,
                   int threads) {
    call c; /* not cleared: most of it is shares that are not used */
    int64_t outer = 1;
    for (int64_t i = 0; i < q->outer; i++) outer *= q->outer_n[i];
    c.kernels = kernels, c.q = q, c.x = x, c.y = y;
    c.tile = 4 * kernels->vector;
    c.groups = pw_ceil_div(q->C, kernels->depth);
    c.bytes = pw_qbytes_of(kernels, 1, q->x_signed, q->x_zero);
    c.output = output_of(q);
    c.direct = c.stream = 0;
    c.head = 0;
    c.scratch = 0;
    c.dots = 0;
    choose_path(&c, outer * q->P);
    choose_stores(&c, outer * q->P);
    c.blocks = pw_qblocks_of(kernels, q->K, c.interleaved);
    const double multiply_adds = (double)outer * (double)q->P * (double)q->K * (double)q->C;
    if (multiply_adds < parallel_from) threads = 1;
    cut(&c, outer, threads);
    if (!pw_thread_scratch(c.scratch)) return PW_NO_MEMORY;

    const pw_qweights weights = {w, bias, w_k, w_c, bias_step};
    const size_t bytes = pw_qpacked_bytes(kernels, q, &weights, c.interleaved);
    _Alignas(LINE) char on_stack[PW_STACK_BYTES];
    char *memory = bytes <= sizeof on_stack ? on_stack : pw_aligned_alloc(bytes);
    if (!memory) return PW_NO_MEMORY;
    c.packed = pw_qpack(kernels, q, &weights, c.interleaved, memory);
    c.output.in_reach = c.packed.in_reach;
    c.direct = c.rows && !q->in_place && !c.packed.needs_x_sum && !c.bytes.flip &&
               kernels->depth == 4 && q->C % 4 == 0;
    const pw_status status = pw_spread(&c.shares, c.items, multiply_adds, threads, work, &c);
    if (memory != on_stack) free(memory);
    return status;
}

static const pw_qkernels *const all[] = {
#if defined(__x86_64__)
    &pw_qkernels_avx512_vnni,
    &pw_qkernels_avx512,
    &pw_qkernels_avx2,
#elif defined(__aarch64__)
    &pw_qkernels_neon_dot,
    &pw_qkernels_neon,
#endif
    &pw_qkernels_scalar,
};

const pw_qkernels *pw_qkernels_at(const pw_kernel_set *set, int i) {
    for (size_t j = 0; j < sizeof all / sizeof *all; j++)
        if (all[j]->set == set && i-- == 0) return all[j];
    return NULL;
}

const char *pw_qkernels_name(const pw_qkernels *kernels) {
    return kernels->name;
}

int pw_qkernels_works(const pw_qkernels *kernels) {
    return kernels->works();
}
