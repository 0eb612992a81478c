/* Chooses passes, panels, stores and what is fetched ahead, for a plan that has its blocks. */
#include "conv/passes.h"
#include "base/math.h"
#include "base/scratch.h"
#include "conv/path.h"
#include "conv/plan.h"
#include "conv/present.h"
#include "cpu/caches.h"
#include "threads/shares.h"

enum {
    LINE = 64,
    /* A tile of x that stays in a 32 KiB level 1 cache beside weights and sums. */
    TILE_BYTES = 16 << 10,
    /* x of one pass over a planar tile: past it, C goes in passes. 16 KiB cost 6%, 64 and 128 were
     * as good. */
    PASS_BYTES = 40 << 10,
    /* Planes of a pass that are a multiple of a page apart: no more than level 1 has ways where
     * there is little to compute. Zen 4: 64x512x512-2 4.1 -> 2.3 ms, 224x1000x1024-10 53 -> 47. */
    PAGE = 4096,
    FEW_ALIASED = 8,
    MANY_ALIASED = 64,
    ALIASED_FROM_BYTES = 8 << 20,
    /* Each of up to four regions: 1 MiB of scratch in all. Pixels in them come in multiples of
     * LEAST_PANEL, a whole vector, and have a line to spare for those before y is aligned. */
    REGION_BYTES = 256 << 10,
    LEAST_PANEL = 16,
    /* The same for interleaved pixels that are staged as one row: level 1 holds it. */
    CONTIGUOUS_REGION_BYTES = 20 << 10,
    /* Sums in scratch that a head reads again, or that are turned into pixels. Zen 4, 12 and 50 channels
     * of float32: 16 to 64 KiB were equal, 128 cost softmax a tenth. Cascade Lake, 50 x 600 x 600 -> 20 of
     * planes to pixels: 256 KiB 16.9 ms, 64 13.9, 32 14.1. */
    FINISH_BYTES = 64 << 10,
    /* Likewise of tiles, beside x. */
    FINISH_TILES_BYTES = 16 << 10,
    /* Less x than this comes from level 2, without prefetching. */
    PREFETCH_FROM_BYTES = 512 << 10,
    /* How far ahead. Zen 4, 50 x 600 x 600 -> 20, one thread: in each plane, 256 to 2048 bytes
     * were equal (6.7 ms; without 10.8); along rows of pixels, transposing kernels 7.4 ms from 5/4 of
     * their tile on (2048: 8.9, without: 13.5). */
    AHEAD_PLANAR = 512,
    /* Many planes are fetched in runs of so many bytes, where level 2 has room for them. */
    MANY_BROADCAST = 32, /* of which interleaved kernels read a few pixels each */
    RUN_BYTES = 2048,
    LEAST_RUN_BYTES = 1024,
    AHEAD_ROWS = 4096,
    /* From so many bytes of a tile on x is fetched far, for level 1 cannot hold two: 224 -> 6
     * channels 40 -> 69 GFLOP/s, 224 -> 30 73 -> 98; 103 -> 9 lost by it (68 -> 57). */
    FAR_ROWS = 8192,
    /* Interleaved kernels: 103 -> 14 58 GFLOP/s from 1024 bytes on, 93 from 8192, 95 far; 103 -> 32
     * 78, 109, 105; with AVX2 103 -> 9 26, 40, 56. Shorter pixels: 32 -> 32 107, 107, 102. */
    AHEAD_INTERLEAVED = 8192,
    FAR_PIXEL = 384,
    AHEAD_FEW = 4096,
    /* What is made of a sum, in multiply-adds: an activation. */
    OUTPUT_WORK = 16,
    /* Where the machine does not tell. */
    DEFAULT_CACHE_BYTES = 16 << 20,
};

static int64_t planar_tile(const pw_plan *plan) {
    return plan->kernels->planar_nr[plan->blocks[0].channels] * plan->kernels->vector;
}

/* Packed weights of one interleaved block and pass: a part of level 2. 24 KiB, for level 1, cost 3%
 * in deep layers and a third where x comes from memory, which is read in pieces then. */
static int64_t pass_weight_bytes(void) {
    return pw_level_2_bytes() * 3 / 16;
}

/* Planes from memory whose pixels all fall into the same sets of the caches. */
static int is_aliased(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const int64_t bytes = plan->outer * p->C * p->P * (int64_t)pw_size(p->x_dtype);
    return !plan->stage_x && p->x_c % PAGE == 0 && bytes >= ALIASED_FROM_BYTES;
}

/* What a row in scratch has past a panel: room for the head and, where rows of x may end anywhere, for
 * a vector that is written past the last. */
static int64_t spare_bytes(const pw_plan *plan) {
    return plan->row_pixels ? 2 * LINE : LINE;
}

static void choose_passes(pw_plan *plan) {
    const int64_t size = (int64_t)pw_size(plan->problem.dtype);
    int64_t most; /* channels in a pass */
    if (plan->interleaved) {
        plan->step = pw_transposing_channels(plan) || plan->few_channels ? 48 : 24;
        /* A multiple of every kernel's rows, as is 48; tiles' panels are of few pixels. */
        plan->tile_pixels = plan->tiled ? plan->step : 96;
        most = pw_max(64, pass_weight_bytes() / (plan->blocks[0].width * size));
    } else {
        plan->tile_pixels = plan->step = planar_tile(plan);
        most = PASS_BYTES / (plan->tile_pixels * size);
        if (is_aliased(plan)) most = pw_min(most, plan->K <= 4 ? FEW_ALIASED : MANY_ALIASED);
    }
    if (plan->stage_x) most = pw_min(most, REGION_BYTES / (LEAST_PANEL * size + spare_bytes(plan)));
    const int64_t passes = pw_max(1, pw_ceil_div(plan->C, most));
    plan->c_pass = pw_ceil_div(plan->C, passes);
    if (plan->problem.components > 1 || plan->bf16_pairs)
        plan->c_pass = pw_round_up(plan->c_pass, 2);
    if (plan->interleaved) {
        if (plan->tile_pixels * plan->c_pass * size > TILE_BYTES) plan->tile_pixels = 48;
    } else {
        const int64_t tiles = TILE_BYTES / (plan->tile_pixels * pw_max(1, plan->c_pass) * size);
        plan->tile_pixels *= pw_min(pw_max(tiles, 1), 8);
    }
}

/* Interleaved pixels without gaps: a panel of them is staged as one row, however short. */
static int stages_contiguous(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->x_dtype);
    return plan->stage_x && plan->interleaved && plan->c_pass == plan->C && !plan->row_pixels &&
           (p->C == 1 || p->x_c == size) && p->x_p == (ptrdiff_t)plan->C * size;
}

/* Pixels at once, for so many channels of them to stay within so many bytes. */
static void bound_panel(pw_plan *plan, int64_t channels, int64_t bytes) {
    const int64_t size = (int64_t)pw_size(plan->problem.dtype);
    channels = pw_max(channels, 1);
    const int64_t spare = spare_bytes(plan), least = channels * (LINE + spare);
    const int64_t pixels = (pw_max(bytes, least) / channels - spare) / size;
    /* Whole tiles, or else what kernels take at once. */
    const int64_t unit = pixels >= plan->tile_pixels ? plan->tile_pixels : plan->step;
    const int64_t most = pw_max(pixels / unit * unit, LEAST_PANEL);
    plan->panel = pw_min(plan->panel, most / LEAST_PANEL * LEAST_PANEL);
}

/* As few splits of the blocks as there may be for none to have more than `width` channels. */
static int fewest_k_splits(const pw_plan *plan, int64_t width) {
    const pw_block *last = &plan->blocks[plan->n_blocks - 1];
    int64_t n = pw_ceil_div(last->at + last->width, width);
    /* Blocks are of unequal width by one vector at most, so a split may exceed its share. */
    while (n > 1 && pw_ceil_div(plan->n_blocks, n) * plan->blocks[0].width > width) n++;
    return (int)pw_min(n, plan->n_blocks);
}

static int fetches(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    return plan->outer * p->C * p->P * (int64_t)pw_size(p->dtype) >= PREFETCH_FROM_BYTES;
}

/* Whether a row of each plane, of so many bytes at most, is best fetched while the row before it is computed:
 * of many planes, or of small images, whose planes are contiguous. */
static int fetches_next(const pw_plan *plan, int64_t most) {
    const pw_problem *p = &plan->problem;
    const int64_t size = (int64_t)pw_size(p->x_dtype);
    const int64_t tiles = p->P / plan->step, row = tiles * plan->step * size;
    if (plan->interleaved || plan->outer == 1 || plan->panel < p->P || tiles < 2 || row > most)
        return 0;
    return p->x_c == p->P * size || (plan->C > PW_MANY_PLANES && row >= LEAST_RUN_BYTES);
}

/* Runs that planar kernels fetch, of which panels are whole numbers then. */
static void choose_run(pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const int64_t tile = plan->step * (int64_t)pw_size(p->x_dtype);
    const int is_planar = !plan->interleaved || p->x_p == (ptrdiff_t)pw_size(p->x_dtype);
    /* A single pixel may have a stride of 0, and no pixel follows it. */
    if (p->P == 1 || !is_planar || plan->stage_x || plan->row_pixels || !fetches(plan)) return;
    plan->run = !plan->interleaved;
    const int64_t fits = pw_level_2_bytes() / 4 / plan->C;
    if (fetches_next(plan, pw_min(2 * RUN_BYTES, fits))) {
        plan->run = p->P / plan->step;
        return;
    }
    if (plan->C <= (plan->interleaved ? MANY_BROADCAST : PW_MANY_PLANES) || is_aliased(plan))
        return;
    /* What the last run of a row would fetch is the next row's, if there is one. */
    const int64_t pixels = pw_min(plan->panel, p->P / (plan->outer > 1 ? 2 : 8));
    int64_t run = 1;
    while (2 * run * tile <= pw_min(RUN_BYTES, fits) && 2 * run * plan->step <= pixels) run *= 2;
    if (run * tile < LEAST_RUN_BYTES) return;
    plan->run = run;
    if (plan->panel < p->P) plan->panel -= plan->panel % (run * plan->step);
}

/* Pixels and channels at once, so that each region of scratch stays within its bytes. */
static void lay_out_scratch(pw_plan *plan) {
    const int64_t size = (int64_t)pw_size(plan->problem.dtype);
    const int sums = plan->c_pass < plan->C || plan->tiled,
              per_channel = sums || plan->stage_y || plan->stage_r;
    const pw_block *last = &plan->blocks[plan->n_blocks - 1];
    const int64_t widest = plan->blocks[0].width;
    int64_t width = last->at + last->width;
    if (per_channel && !plan->needs_all_k) {
        const int64_t most =
            REGION_BYTES / (pw_round_up(plan->tile_pixels, LEAST_PANEL) * size + spare_bytes(plan));
        width = pw_min(width, pw_max(widest, most));
    }
    plan->k_splits = fewest_k_splits(plan, width);
    /* Brief enough for a call to be interrupted between two of them; of whole lines. */
    const int64_t products = plan->present ? 3 : 1; /* of a pixel that misses a channel */
    const int64_t brief = PW_ITEM_WORK / (products * plan->K * (plan->C + OUTPUT_WORK));
    plan->panel = pw_min(plan->problem.P, pw_round_up(pw_max(brief, 1), 4 * plan->step));
    if (per_channel || plan->stage_x || plan->flags) {
        const int contiguous = stages_contiguous(plan) && !plan->present;
        const int64_t most = contiguous ? CONTIGUOUS_REGION_BYTES : REGION_BYTES;
        if (plan->stage_x) bound_panel(plan, plan->c_pass, most);
        const int reads_sums = plan->has_pixel_epilogue || (plan->planes && plan->stage_y);
        /* x that is looked at before it is computed with comes from the cache then. */
        if (plan->problem.nodata) bound_panel(plan, plan->C, most);
        if (plan->present) bound_panel(plan, plan->y_channels, most);
        bound_panel(plan, per_channel ? width : 1,
                    plan->tiled  ? FINISH_TILES_BYTES
                    : reads_sums ? FINISH_BYTES
                                 : most);
    }
    choose_run(plan);
    const int64_t room = plan->room =
        pw_round_up(plan->panel, LEAST_PANEL) + spare_bytes(plan) / size;
    size_t end = 0;
    plan->scratch.x = pw_region(&end, plan->stage_x, room * plan->c_pass, (size_t)size);
    plan->scratch.y = pw_region(&end, plan->stage_y, room * width, (size_t)size);
    plan->scratch.r = pw_region(&end, plan->stage_r, room * width, (size_t)size);
    plan->scratch.acc = pw_region(&end, sums, room * width, (size_t)size);
    plan->scratch.flags = pw_region(&end, plan->flags, room, sizeof(uint8_t));
    plan->scratch.gaps = pw_region(&end, plan->blends, room, (size_t)size);
    plan->scratch.present =
        pw_region(&end, plan->present != NULL, (int64_t)pw_present_scratch(plan), 1);
    plan->scratch.bytes = end;
}

int pw_worth_streaming(int64_t out, int64_t in) {
    const int64_t known = pw_cache_bytes(3), cache = known ? known : DEFAULT_CACHE_BYTES;
    return out > cache / 2 || (in && out + in > cache);
}

/* Streaming stores: for an output that will not stay in the cache, of whole aligned lines. */
static int may_stream(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const int from_scratch = plan->has_pixel_epilogue && p->y_dtype == p->dtype &&
                             p->components == 1 && !p->y_swapped &&
                             p->y_p == (ptrdiff_t)pw_size(p->dtype);
    if ((plan->stage_y && !from_scratch) || p->in_place) return 0;
    if (!plan->few_channels &&
        ((plan->interleaved && !plan->transposing_to_planes) || p->y_k % LINE))
        return 0;
    const int64_t pixels = plan->outer * p->P * (int64_t)pw_size(p->dtype);
    return pw_worth_streaming(pixels * p->groups * plan->y_channels,
                              plan->few_channels ? pixels * p->C : 0);
}

/* What is fetched ahead at least: of pixels of so many bytes the next panel, where memory would wait
 * for a head, or the search for missing data. */
static ptrdiff_t at_least_panel(const pw_plan *plan, ptrdiff_t ahead, ptrdiff_t pixel) {
    const pw_problem *p = &plan->problem;
    const int waits = (plan->has_pixel_epilogue || p->nodata) && plan->outer * p->P > plan->panel;
    return waits ? pw_max(ahead, plan->panel * pixel) : ahead;
}

static ptrdiff_t choose_prefetch(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->dtype);
    if (!fetches(plan)) return 0;
    if (plan->few_channels) return AHEAD_FEW;
    if (plan->stage_x) return 0;
    if (!plan->interleaved || plan->run) {
        const ptrdiff_t pixel = (ptrdiff_t)pw_size(p->x_dtype);
        const int whole_row = plan->run > 1 && plan->run == p->P / plan->step;
        if (whole_row) return p->P * pixel; /* the next row */
        const ptrdiff_t run = plan->run > 1 ? plan->run * plan->step * pixel : AHEAD_PLANAR;
        return at_least_panel(plan, run, pixel);
    }
    /* Rows of x and y are contiguous, else there is no telling what comes next. */
    const ptrdiff_t row = (ptrdiff_t)plan->y_channels * (ptrdiff_t)pw_size(p->y_dtype);
    if (p->x_c != size || p->x_p != plan->C * size) return 0;
    if (!plan->transposing_to_planes && p->y_p != row) return 0;
    const ptrdiff_t rows = p->x_p * plan->kernels->vector;
    const ptrdiff_t ahead = pw_transposing_channels(plan) < plan->K
                                ? (p->x_p < FAR_PIXEL ? AHEAD_INTERLEAVED : PW_FAR)
                                : pw_max(rows < FAR_ROWS ? AHEAD_ROWS : PW_FAR, rows * 5 / 4);
    return at_least_panel(plan, ahead, p->x_p);
}

/* Rows of as many bytes as planar kernels have in scratch, and fetch. */
static int fetches_rows(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->dtype);
    return plan->stage_x && !plan->interleaved && !plan->bf16_pairs && !plan->row_pixels &&
           p->components == 1 && p->x_dtype == p->dtype && plan->c_pass == plan->C &&
           p->x_c == size && p->x_p == plan->C * size && fetches(plan);
}

void pw_choose_passes(pw_plan *plan) {
    choose_passes(plan);
    lay_out_scratch(plan);
    plan->stream = may_stream(plan);
    for (int64_t i = 0; plan->stream && i < plan->problem.outer; i++)
        plan->prefixes_differ |= plan->problem.y_outer[i] % LINE != 0;
    plan->prefetch = choose_prefetch(plan);
    plan->fetches_rows = fetches_rows(plan);
}
