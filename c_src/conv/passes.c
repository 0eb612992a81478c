/* Chooses passes, panels, stores and prefetching for a plan whose blocks have been cut. */
#include "conv/passes.h"
#include "base/math.h"
#include "base/scratch.h"
#include "conv/memory.h"
#include "conv/path.h"
#include "conv/plan.h"
#include "conv/present.h"
#include "cpu/caches.h"
#include "threads/shares.h"

enum {
    LINE = 64,
    /* A tile of x that stays in a 32 KiB level 1 cache beside weights and sums. */
    TILE_BYTES = 16 << 10,
    /* Most bytes of x in one pass over a planar tile; C is cut into passes accordingly. 16 KiB cost
     * 6%, 64 and 128 were as good. */
    PASS_BYTES = 40 << 10,
    /* Most planes of a pass if planes are a multiple of a page apart: FEW_ALIASED, as many as level
     * 1 has ways, if there is little to compute, else MANY_ALIASED. Zen 4: 64x512x512-2 4.1 -> 2.3
     * ms, 224x1000x1024-10 53 -> 47. */
    PAGE = 4096,
    FEW_ALIASED = 8,
    MANY_ALIASED = 64,
    ALIASED_FROM_BYTES = 8 << 20,
    /* Bytes of each of up to four regions: 1 MiB of scratch in all. Pixels in them come in
     * multiples of LEAST_PANEL, a whole vector, with a line to spare for the unaligned prefix. */
    REGION_BYTES = 256 << 10,
    LEAST_PANEL = 16,
    /* The same for interleaved pixels that are staged as one row, so that level 1 holds the row. */
    CONTIGUOUS_REGION_BYTES = 20 << 10,
    /* The same for sums that a head reads again, or that are turned into pixels. Zen 4, 12 and 50
     * channels of float32: 16 to 64 KiB were equal, 128 cost softmax 10%. Cascade Lake, 50 x 600 x
     * 600 -> 20 from planes to pixels: 256 KiB 16.9 ms, 64 13.9, 32 14.1. */
    FINISH_BYTES = 64 << 10,
    /* The same for sums of tiled plans, which share the cache with x. */
    FINISH_TILES_BYTES = 16 << 10,
    /* A smaller x comes from level 2, without prefetching. */
    PREFETCH_FROM_BYTES = 512 << 10,
    /* How far ahead planar kernels fetch, in each plane. Zen 4, 50 x 600 x 600 -> 20, one thread:
     * 256 to 2048 bytes were equal (6.7 ms; without 10.8). */
    AHEAD_PLANAR = 512,
    /* Many planes are fetched in runs of LEAST_RUN_BYTES to RUN_BYTES, where level 2 has room for
     * them: more than MANY_BROADCAST for interleaved kernels, which read a few pixels of each. */
    MANY_BROADCAST = 32,
    RUN_BYTES = 2048,
    LEAST_RUN_BYTES = 1024,
    /* How far ahead transposing kernels fetch, along rows of pixels. The same case took 7.4 ms from
     * 5/4 of their tile on (2048 bytes 8.9, without 13.5). */
    AHEAD_TRANSPOSING = 4096,
    /* Tiles of x of so many bytes or more are fetched PW_FAR ahead, as level 1 cannot hold two: 224
     * -> 6 channels went from 40 to 69 GFLOP/s, 224 -> 30 from 73 to 98; 103 -> 9 lost by it
     * (68 to 57). */
    FAR_TRANSPOSING = 8192,
    /* How far ahead interleaved kernels fetch; from FAR_PIXEL bytes a pixel on PW_FAR. GFLOP/s with
     * 1024 bytes, 8192, PW_FAR: 103 -> 14 channels 58, 93, 95; 103 -> 32 78, 109, 105; 103 -> 9
     * with AVX2 26, 40, 56; of shorter pixels, 32 -> 32 107, 107, 102. */
    AHEAD_INTERLEAVED = 8192,
    FAR_PIXEL = 384,
    AHEAD_FEW = 4096,
    /* What finishing a sum costs, in multiply-adds: that of an activation. */
    OUTPUT_WORK = 16,
};

static int64_t planar_tile(const pw_plan *plan) {
    return plan->kernels->planar_nr[plan->blocks[0].channels] * plan->kernels->vector;
}

/* Most bytes of packed weights for one interleaved block and pass: a part of level 2. 24 KiB, for
 * level 1, cost 3% in deep layers, and a third if x comes from memory, then read in pieces. */
static int64_t pass_weight_bytes(void) {
    return pw_level_2_bytes() * 3 / 16;
}

/* Whether planes come from memory and their pixels fall into the same sets of the caches. */
static int is_aliased(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const int64_t bytes = plan->outer * p->C * p->P * (int64_t)pw_size(p->x_dtype);
    return !pw_stages_x(plan) && p->x_c % PAGE == 0 && bytes >= ALIASED_FROM_BYTES;
}

/* What a row in scratch has beside a panel: room for the unaligned prefix and, where rows of x may
 * end anywhere, for a vector that is written past the end. */
static int64_t spare_bytes(const pw_plan *plan) {
    return plan->row_pixels ? 2 * LINE : LINE;
}

static void choose_passes(pw_plan *plan) {
    const int64_t size = (int64_t)pw_size(plan->problem.dtype);
    int64_t most; /* channels in a pass */
    if (plan->path->reads_rows) {
        plan->step = plan->transposing || plan->path == &pw_path_few_channels ? 48 : 24;
        /* 96 and 48 are multiples of all kernels' MR. Panels of tiled plans have few pixels. */
        plan->tile_pixels = plan->path->makes_tiles ? plan->step : 96;
        most = pw_max(64, pass_weight_bytes() / (plan->blocks[0].width * size));
    } else {
        plan->tile_pixels = plan->step = planar_tile(plan);
        most = PASS_BYTES / (plan->tile_pixels * size);
        if (is_aliased(plan)) most = pw_min(most, plan->K <= 4 ? FEW_ALIASED : MANY_ALIASED);
    }
    if (pw_stages_x(plan))
        most = pw_min(most, REGION_BYTES / (LEAST_PANEL * size + spare_bytes(plan)));
    const int64_t passes = pw_max(1, pw_ceil_div(plan->C, most));
    plan->c_pass = pw_ceil_div(plan->C, passes);
    if (plan->problem.components > 1 || plan->path->bf16_pairs)
        plan->c_pass = pw_round_up(plan->c_pass, 2);
    if (plan->path->reads_rows) {
        if (plan->tile_pixels * plan->c_pass * size > TILE_BYTES) plan->tile_pixels = 48;
    } else {
        const int64_t tiles = TILE_BYTES / (plan->tile_pixels * pw_max(1, plan->c_pass) * size);
        plan->tile_pixels *= pw_min(pw_max(tiles, 1), 8);
    }
}

/* Whether interleaved pixels leave no gaps, so that a panel is staged as one row, however short. */
static int stages_contiguous(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->x_dtype);
    return pw_stages_x(plan) && plan->path->reads_rows && plan->c_pass == plan->C &&
           !plan->row_pixels && (p->C == 1 || p->x_c == size) &&
           p->x_p == (ptrdiff_t)plan->C * size;
}

/* Bounds the panel so that `channels` channels of its pixels stay within `bytes`. */
static void bound_panel(pw_plan *plan, int64_t channels, int64_t bytes) {
    const int64_t size = (int64_t)pw_size(plan->problem.dtype);
    channels = pw_max(channels, 1);
    const int64_t spare = spare_bytes(plan), least = channels * (LINE + spare);
    const int64_t pixels = (pw_max(bytes, least) / channels - spare) / size;
    /* Whole tiles, or, if there is no room for one, multiples of what kernels take at once. */
    const int64_t unit = pixels >= plan->tile_pixels ? plan->tile_pixels : plan->step;
    const int64_t most = pw_max(pixels / unit * unit, LEAST_PANEL);
    plan->panel = pw_min(plan->panel, most / LEAST_PANEL * LEAST_PANEL);
}

/* The fewest splits of the blocks of which none has more than `width` channels. */
static int fewest_k_splits(const pw_plan *plan, int64_t width) {
    const pw_block *last = &plan->blocks[plan->n_blocks - 1];
    int64_t n = pw_ceil_div(last->at + last->width, width);
    /* Blocks differ in width, the first being the widest, so a split may exceed its share. */
    while (n > 1 && pw_ceil_div(plan->n_blocks, n) * plan->blocks[0].width > width) n++;
    return (int)pw_min(n, plan->n_blocks);
}

static int fetches(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    return plan->outer * p->C * p->P * (int64_t)pw_size(p->dtype) >= PREFETCH_FROM_BYTES;
}

/* Whether the next row of each plane, of at most `most` bytes, is best fetched while this one is
 * computed: if there are many planes, or if images are small and their planes contiguous. */
static int fetches_next(const pw_plan *plan, int64_t most) {
    const pw_problem *p = &plan->problem;
    const int64_t size = (int64_t)pw_size(p->x_dtype);
    const int64_t tiles = p->P / plan->step, row = tiles * plan->step * size;
    if (plan->path->reads_rows || plan->outer == 1 || plan->panel < p->P || tiles < 2 || row > most)
        return 0;
    return p->x_c == p->P * size || (plan->C > PW_MANY_PLANES && row >= LEAST_RUN_BYTES);
}

/* Chooses the runs in which planes are fetched. Panels shorter than a row of P become multiples of
 * a run. */
static void choose_run(pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const int64_t tile = plan->step * (int64_t)pw_size(p->x_dtype);
    const int is_planar = !plan->path->reads_rows || p->x_p == (ptrdiff_t)pw_size(p->x_dtype);
    /* Nothing follows a single pixel, and its stride may be 0. */
    if (p->P == 1 || !is_planar || pw_stages_x(plan) || plan->row_pixels || !fetches(plan)) return;
    plan->run = !plan->path->reads_rows;
    const int64_t fits = pw_level_2_bytes() / 4 / plan->C;
    if (fetches_next(plan, pw_min(2 * RUN_BYTES, fits))) {
        plan->run = p->P / plan->step;
        return;
    }
    if (plan->C <= (plan->path->reads_rows ? MANY_BROADCAST : PW_MANY_PLANES) || is_aliased(plan))
        return;
    /* The last run of a row fetches the next row's; runs are shorter if there is no next row. */
    const int64_t pixels = pw_min(plan->panel, p->P / (plan->outer > 1 ? 2 : 8));
    int64_t run = 1;
    while (2 * run * tile <= pw_min(RUN_BYTES, fits) && 2 * run * plan->step <= pixels) run *= 2;
    if (run * tile < LEAST_RUN_BYTES) return;
    plan->run = run;
    if (plan->panel < p->P) plan->panel -= plan->panel % (run * plan->step);
}

/* Bounds the pixels and channels computed at once, so that each region stays within its bytes. */
static void lay_out_scratch(pw_plan *plan) {
    const int64_t size = (int64_t)pw_size(plan->problem.dtype);
    const int sums = plan->c_pass < plan->C || plan->path->makes_tiles,
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
    /* A pixel that misses a channel takes two more products. */
    const int64_t products = plan->present ? 3 : 1;
    const int64_t brief = PW_ITEM_WORK / (products * plan->K * (plan->C + OUTPUT_WORK));
    /* Panels are whole lines, and so brief that a call can stop between two of them. */
    plan->panel = pw_min(plan->problem.P, pw_round_up(pw_max(brief, 1), 4 * plan->step));
    if (per_channel || pw_stages_x(plan) || plan->flags) {
        /* Each panel goes over all weights. */
        const int stay = (int64_t)plan->group_bytes <= pw_level_2_bytes() / 2;
        const int contiguous = stay && stages_contiguous(plan) && !plan->present;
        const int64_t most = contiguous ? CONTIGUOUS_REGION_BYTES : REGION_BYTES;
        if (pw_stages_x(plan)) bound_panel(plan, plan->c_pass, most);
        const int reads_sums =
            plan->has_pixel_epilogue || (plan->path->writes_planes && plan->stage_y);
        /* x is searched for missing values first; kernels then read it from the cache. */
        if (plan->problem.nodata) bound_panel(plan, plan->C, most);
        if (plan->present) bound_panel(plan, plan->y_channels, most);
        bound_panel(plan, per_channel ? width : 1,
                    plan->path->makes_tiles ? FINISH_TILES_BYTES
                    : reads_sums            ? FINISH_BYTES
                                            : most);
    }
    choose_run(plan);
    const int64_t room = plan->room =
        pw_round_up(plan->panel, LEAST_PANEL) + spare_bytes(plan) / size;
    size_t end = 0;
    plan->scratch.x = pw_region(&end, pw_stages_x(plan), room * plan->c_pass, (size_t)size);
    plan->scratch.y = pw_region(&end, plan->stage_y, room * width, (size_t)size);
    plan->scratch.r = pw_region(&end, plan->stage_r, room * width, (size_t)size);
    plan->scratch.acc = pw_region(&end, sums, room * width, (size_t)size);
    plan->scratch.flags = pw_region(&end, plan->flags, room, sizeof(uint8_t));
    plan->scratch.gaps = pw_region(&end, plan->blends, room, (size_t)size);
    plan->scratch.present =
        pw_region(&end, plan->present != NULL, (int64_t)pw_present_scratch(plan), 1);
    plan->scratch.bytes = end;
}

/* Whether to stream: y will not stay in the cache, and its lines can be written whole. */
static int may_stream(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const int from_scratch = plan->has_pixel_epilogue && p->y_dtype == p->dtype &&
                             p->components == 1 && !p->y_swapped &&
                             p->y_p == (ptrdiff_t)pw_size(p->dtype);
    if ((plan->stage_y && !from_scratch) || p->in_place) return 0;
    if (plan->path != &pw_path_few_channels &&
        ((plan->path->reads_rows && plan->path != &pw_path_transposing_to_planes) || p->y_k % LINE))
        return 0;
    const int64_t pixels = plan->outer * p->P * (int64_t)pw_size(p->dtype);
    return pw_worth_streaming(pixels * p->groups * plan->y_channels,
                              plan->path == &pw_path_few_channels ? pixels * p->C : 0);
}

/* Raises `ahead` to the next panel, `pixel` bytes a pixel, if memory would otherwise wait for a
 * head or for the search for missing data. */
static ptrdiff_t at_least_panel(const pw_plan *plan, ptrdiff_t ahead, ptrdiff_t pixel) {
    const pw_problem *p = &plan->problem;
    const int waits = (plan->has_pixel_epilogue || p->nodata) && plan->outer * p->P > plan->panel;
    return waits ? pw_max(ahead, plan->panel * pixel) : ahead;
}

static ptrdiff_t choose_prefetch(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->dtype);
    if (!fetches(plan)) return 0;
    if (plan->path == &pw_path_few_channels) return AHEAD_FEW;
    if (pw_stages_x(plan)) return 0;
    if (!plan->path->reads_rows || plan->run) {
        const ptrdiff_t pixel = (ptrdiff_t)pw_size(p->x_dtype);
        const int whole_row = plan->run > 1 && plan->run == p->P / plan->step;
        if (whole_row) return p->P * pixel; /* the next row */
        const ptrdiff_t run = plan->run > 1 ? plan->run * plan->step * pixel : AHEAD_PLANAR;
        return at_least_panel(plan, run, pixel);
    }
    /* There is no telling what comes next unless rows of x and y are contiguous. */
    const ptrdiff_t row = (ptrdiff_t)plan->y_channels * (ptrdiff_t)pw_size(p->y_dtype);
    if (p->x_c != size || p->x_p != plan->C * size) return 0;
    if (plan->path != &pw_path_transposing_to_planes && p->y_p != row) return 0;
    const ptrdiff_t tile = p->x_p * plan->kernels->vector;
    const ptrdiff_t ahead =
        plan->transposing < plan->K
            ? (p->x_p < FAR_PIXEL ? AHEAD_INTERLEAVED : PW_FAR)
            : pw_max(tile < FAR_TRANSPOSING ? AHEAD_TRANSPOSING : PW_FAR, tile * 5 / 4);
    return at_least_panel(plan, ahead, p->x_p);
}

/* Whether planar kernels fetch the next panel's rows of x: these have as many bytes as the planes
 * in scratch that the kernels read meanwhile. */
static int fetches_rows(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const ptrdiff_t size = (ptrdiff_t)pw_size(p->dtype);
    return pw_stages_x(plan) && !plan->path->reads_rows && !plan->path->bf16_pairs &&
           !plan->row_pixels && p->components == 1 && p->x_dtype == p->dtype &&
           plan->c_pass == plan->C && p->x_c == size && p->x_p == plan->C * size && fetches(plan);
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
