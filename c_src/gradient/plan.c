/* Chooses kernels, blocks, segments and tiles for gradients. Only tiles may depend on the number of
 * threads, because they do not affect the bits of a sum. */
#include "gradient/plan.h"
#include "base/math.h"
#include "base/scratch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LINE = 64,
    PAGE = 4096,
    /* Pixels of a panel, which stays in level 2 with its part of a. */
    PANEL_PIXELS = 256,
    /* Bytes of a plane, so that a tile of dot products stays in level 1. */
    PLANE_BYTES = 2048,
    /* Rows of fewer pixels are joined, because blocks that short are mostly overhead. */
    JOINED_BELOW = 128,
    /* Fewer blocks make one segment. */
    FEW_BLOCKS = 4,
    /* Bytes of each of up to three regions of scratch. */
    REGION_BYTES = 256 << 10,
    /* Most bytes for sums of all segments. */
    SEGMENTS_BYTES = 1 << 20,
    /* Most planes of a that dot products go over while a block is in level 2. */
    MOST_PLANES_A = 128,
    /* A multiple of every interleaved kernel's rows. */
    PANEL_ROWS = 24,
    /* More planes that are a multiple of a page apart do not fit level 1. */
    MOST_ALIASED = 4,
    PREFETCH_FROM_BYTES = 512 << 10,
    FAR_BYTES = 256 << 10,
    /* Numbers of splits of b that are tried, beyond the fewest. */
    MOST_TRIED = 32,
};

typedef enum { DOTS, PANELS, SWAPPED_PANELS, WAYS } way;

static void cut_blocks(pw_gradient *plan, int64_t most) {
    const pw_problem *p = &plan->problem;
    int64_t outer = 1;
    for (int64_t i = 0; i < p->outer; i++) outer *= p->outer_n[i];
    plan->joined = outer > 1 && p->P < JOINED_BELOW;
    plan->row = plan->joined ? outer * p->P : p->P;
    plan->in_row = pw_ceil_div(plan->row, most);
    plan->block = pw_round_up(pw_ceil_div(plan->row, plan->in_row), LINE / 4);
    plan->in_row = pw_ceil_div(plan->row, plan->block);
    plan->blocks = plan->in_row * (plan->joined ? 1 : outer);
    /* There are about as many segments as blocks in each, so that no chain of sums is long. */
    plan->segments = plan->blocks < FEW_BLOCKS ? 1 : (int64_t)ceil(sqrt((double)plan->blocks));
}

static pw_operand operand(const pw_problem *p, const ptrdiff_t *outer, ptrdiff_t c, ptrdiff_t step,
                          int64_t channels, int swapped) {
    pw_operand o = {
        .outer = outer, .c = c, .p = step, .channels = channels / p->groups, .swapped = swapped};
    if (p->P == 1) o.p = (ptrdiff_t)pw_size(p->dtype);
    ptrdiff_t run = (ptrdiff_t)p->P * o.p;
    o.one_run = 1;
    for (int64_t i = p->outer - 1; i >= 0; run *= (ptrdiff_t)p->outer_n[i--])
        o.one_run &= outer[i] == run;
    return o;
}

static int is_aliased_operand(const pw_operand *o) {
    return o->c % PAGE == 0 && o->channels > MOST_ALIASED;
}

/* Whether kernels read more planes of a at a time than level 1 has ways. Those of the most vectors
 * read six: 128x32x32-256 n4 took 2.52 ms, with a staged 2.70. 48x160x160-32 by dots took 0.97, in
 * place 1.17. */
static int needs_copy(const pw_gradient *plan) {
    const int64_t vectors = pw_ceil_div(plan->b.channels, plan->kernels->vector);
    return is_aliased_operand(&plan->a) &&
           (plan->dots || vectors % plan->kernels->interleaved_nr_max);
}

/* Dot products need planes. For interleaved kernels and the bias rows of channels are as good. */
static pw_staging staging_of(const pw_gradient *plan, const pw_operand *o, int is_a) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(plan->problem.dtype);
    const int broken = (plan->joined && !o->one_run) || o->swapped, planar = o->p == size;
    if (!plan->dots && !is_a) return PW_IN_PLACE; /* panels are made from any layout */
    if (!plan->dots && !planar && o->c == size) return broken ? PW_AS_ROWS : PW_IN_PLACE;
    return broken || !planar || (is_a && needs_copy(plan)) ? PW_AS_PLANES : PW_IN_PLACE;
}

static void configure(pw_gradient *plan, way way) {
    const pw_problem *p = &plan->problem;
    const pw_operand x = operand(p, p->x_outer, p->x_c, p->x_p, p->C, p->x_swapped);
    const pw_operand y = operand(p, p->y_outer, p->y_k, p->y_p, p->K, p->y_swapped);
    plan->dots = way == DOTS;
    plan->swapped = way == SWAPPED_PANELS;
    plan->a = plan->swapped ? x : y;
    plan->b = plan->swapped ? y : x;
    cut_blocks(plan, plan->dots ? PLANE_BYTES / (int64_t)pw_size(p->dtype) : PANEL_PIXELS);
    plan->a.staged = staging_of(plan, &plan->a, 1);
    plan->b.staged = staging_of(plan, &plan->b, 0);
}

/* Costs beside multiply-adds, in cycles on Zen 4 with AVX-512; one is a vector of multiply-adds. */
static const double tile_of_dots = 60, finished_sums = 3, turned_sum = 2, least_chains = 4;
static const double copied = 0.2, turned = 0.4, gathered = 1.0;

/* Cycles to copy an element to scratch. */
static double copying(const pw_operand *o, int as_planes, ptrdiff_t size) {
    if (o->p != size && o->c != size) return gathered + (as_planes ? 0 : turned);
    return (o->p == size) == as_planes ? copied : turned;
}

static double staging(const pw_operand *o, ptrdiff_t size) {
    return o->staged ? (double)o->channels * copying(o, o->staged == PW_AS_PLANES, size) : 0;
}

/* Cycles per pixel. */
static double cost_of(const pw_gradient *plan) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(plan->problem.dtype);
    const pw_kernels *kernels = plan->kernels;
    const double n = (double)plan->block;
    const double a = (double)plan->a.channels, b = (double)plan->b.channels;
    const double copies = staging(&plan->a, size) + staging(&plan->b, size);
    if (plan->dots) {
        const double vectors = (double)pw_ceil_div(plan->block, kernels->vector);
        const double a_tiles = (double)pw_ceil_div(plan->a.channels, kernels->dots_a);
        const double b_tiles = (double)pw_ceil_div(plan->b.channels, kernels->dots_b);
        const double loads = a_tiles * b + b_tiles * a;
        return copies + (fmax(a * b, loads) * vectors + a_tiles * b_tiles * tile_of_dots) / n;
    }
    const double sums = a * (double)pw_ceil_div(plan->b.channels, kernels->vector);
    const double pixels = n * (double)plan->blocks;
    return copies + b * copying(&plan->b, 0, size) + fmax(sums, least_chains) +
           finished_sums * sums / n + (plan->swapped ? turned_sum * a * b / pixels : 0);
}

static void choose_way(pw_gradient *plan) {
    way best = DOTS;
    double least = INFINITY;
    for (int i = 0; i < WAYS; i++) {
        configure(plan, (way)i);
        const double cost = cost_of(plan);
        if (cost < least) least = cost, best = (way)i;
        if (plan->problem.C == 0) break; /* nothing but the bias */
    }
    configure(plan, best);
}

/* Whole units of channels: all if they fit into `most`, else as many as do, but at least one. */
static int64_t whole_units(int64_t most, int64_t unit, int64_t channels) {
    if (most >= channels) return pw_round_up(pw_max(channels, 1), unit);
    return pw_max(most / unit, 1) * unit;
}

static void bound_tiles(pw_gradient *plan) {
    const int64_t size = (int64_t)pw_size(plan->problem.dtype);
    plan->room = plan->block + LINE / size;
    const int64_t planes = REGION_BYTES / (plan->room * size);
    int64_t most_a = planes, most_b = REGION_BYTES / (PANEL_PIXELS * size);
    if (plan->dots) {
        plan->unit_a = plan->kernels->dots_a, plan->unit_b = plan->kernels->dots_b;
        most_a = MOST_PLANES_A;
        most_b = REGION_BYTES / (MOST_PLANES_A * size);
        if (plan->b.staged) most_b = pw_min(planes, most_b);
    } else {
        plan->unit_a = PANEL_ROWS, plan->unit_b = plan->kernels->vector;
        const int sums = !plan->by_segment && !pw_gradient_is_direct(plan);
        most_b = whole_units(most_b, plan->unit_b, plan->b.channels);
        most_a = sums ? REGION_BYTES / (most_b * size) : plan->a.channels;
    }
    if (plan->a.staged) most_a = pw_min(planes, most_a);
    plan->most_a = whole_units(most_a, plan->unit_a, plan->a.channels);
    plan->most_b = whole_units(most_b, plan->unit_b, plan->b.channels);
}

static void lay_out_gradient(pw_gradient *plan) {
    const int64_t size = (int64_t)pw_size(plan->problem.dtype);
    const int sums = !plan->by_segment && !pw_gradient_is_direct(plan);
    const int64_t y_channels = plan->swapped ? plan->most_b : plan->most_a;
    size_t end = 0;
    const int gathers = !plan->dots && pw_gradient_gathers(&plan->b, size);
    plan->scratch.a =
        pw_region(&end, plan->a.staged != PW_IN_PLACE, plan->most_a * plan->room, (size_t)size);
    plan->scratch.b =
        pw_region(&end, plan->b.staged != PW_IN_PLACE || !plan->dots,
                  plan->most_b * (plan->dots ? plan->room : plan->block), (size_t)size);
    plan->scratch.gathered =
        pw_region(&end, gathers, plan->most_b * PW_GATHERED_ROOM, (size_t)size);
    plan->scratch.sums = pw_region(&end, sums, plan->most_a * plan->most_b, (size_t)size);
    plan->scratch.bias = pw_region(&end, sums, y_channels, (size_t)size);
    plan->scratch.ones = pw_region(&end, 1, plan->block, (size_t)size);
    plan->scratch.bytes = end;
}

pw_gradient *pw_gradient_new(const pw_kernel_set *set, const pw_problem *problem) {
    pw_gradient *plan = calloc(1, sizeof *plan);
    if (!plan) return NULL;
    plan->problem = *problem;
    plan->kernels = set->dtype[problem->dtype];
    choose_way(plan);
    plan->by_segment =
        plan->segments > 1 && plan->segments * pw_gradient_segment_bytes(plan) <= SEGMENTS_BYTES;
    bound_tiles(plan);
    lay_out_gradient(plan);
    const int64_t planes = problem->C + problem->K;
    plan->prefetch = plan->blocks * plan->block * planes * (int64_t)pw_size(problem->dtype) >=
                     PREFETCH_FROM_BYTES;
    const int64_t block_bytes =
        plan->block * (plan->a.channels + plan->b.channels) * (int64_t)pw_size(problem->dtype);
    plan->far = !is_aliased_operand(&plan->b) && block_bytes <= FAR_BYTES;
    snprintf(plan->description, sizeof plan->description,
             "%s %s: %lld segments, %lld blocks of %lld pixels, tiles of %lld x %lld%s%s%s%s%s",
             set->name,
             plan->dots      ? "dots"
             : plan->swapped ? "swapped panels"
                             : "panels",
             (long long)plan->segments, (long long)plan->blocks, (long long)plan->block,
             (long long)plan->most_a, (long long)plan->most_b, plan->joined ? ", rows joined" : "",
             plan->by_segment ? ", by segment" : "", plan->a.staged ? ", a staged" : "",
             plan->b.staged ? ", b staged" : "", plan->prefetch ? ", prefetching" : "");
    return plan;
}

void pw_gradient_free(pw_gradient *plan) {
    free(plan);
}

const char *pw_gradient_describe(const pw_gradient *plan) {
    return plan->description;
}

/* The time for all items on `threads` threads, if each item copies the panels that it needs. */
static double makespan(const pw_gradient *plan, int64_t items, int64_t a_units, int64_t b_units,
                       int threads) {
    const double vector = plan->kernels->vector;
    const double a = (double)(a_units * plan->unit_a), b = (double)(b_units * plan->unit_b);
    const double copies = plan->dots ? 0.1 * (a + b) : turned * b + 0.1 * a;
    return (double)pw_ceil_div(items, threads) * (a * b / vector + copies);
}

pw_gradient_cut pw_gradient_items(const pw_gradient *plan, int threads) {
    const int64_t a_units = pw_ceil_div(plan->a.channels, plan->unit_a);
    const int64_t b_units = pw_max(1, pw_ceil_div(plan->b.channels, plan->unit_b));
    const int64_t a_least = pw_ceil_div(a_units, plan->most_a / plan->unit_a);
    const int64_t b_least = pw_ceil_div(b_units, plan->most_b / plan->unit_b);
    const int64_t others = plan->problem.groups * (plan->by_segment ? plan->segments : 1);
    pw_gradient_cut best = {a_least, b_least, others * a_least * b_least};
    if (threads == 1) return best;
    double least = INFINITY;
    /* The first of equally fast cuts wins: it has the fewest items. */
    for (int64_t a = a_least; a <= a_units; a *= 2)
        for (int64_t b = b_least; b <= pw_min(b_units, b_least + MOST_TRIED); b++) {
            const int64_t items = others * a * b;
            const double time =
                makespan(plan, items, pw_ceil_div(a_units, a), pw_ceil_div(b_units, b), threads);
            if (time < 0.98 * least) least = time, best = (pw_gradient_cut){a, b, items};
        }
    return best;
}
