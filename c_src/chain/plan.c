/* Plans chains: see chain/plan.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/plan.h"
#include "base/math.h"
#include "conv/memory.h"
#include "conv/path.h"
#include "conv/planner.h"
#include "cpu/caches.h"
#include "threads/shares.h"

enum {
    LINE = 64,
    PAGE = 4096,
    /* Bytes of hidden channels of a panel, and of a batch. Zen 4: panels of 32 to 256 KiB were
     * within 2%, but 32 KiB cost 8% with few channels, because memory is then read in pieces. */
    PANEL_BYTES = 128 << 10,
    BATCH_BYTES = 2 << 20,
    /* Panels are multiples of it, and it is one of what planar and interleaved kernels take. */
    PANEL_STEP = 96,
    /* Chains of fewer steps of pixels are shared out layer by layer, by channels too. */
    FEWEST_STEPS = 24,
    /* fused2: most input channels, pixels of a panel, bytes that rows are fetched ahead. */
    FUSED2_MOST_CHANNELS = 32,
    FUSED2_PANEL = 3072,
    AHEAD_FUSED2 = 4096,
    /* Most bytes that other kernels fetch ahead of a panel, in each plane. */
    MOST_AHEAD = 2048,
};

/* Whether hidden channels are interleaved, because kernels of the last layer want to read that. */
static int wants_interleaved(const pw_problem *first, const pw_problem *last) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(last->y_dtype);
    if (last->P == 1) return 1;
    if (last->y_p == size && first->x_p == (ptrdiff_t)pw_size(first->x_dtype)) return 0;
    return last->y_k == size || last->K == 1;
}

static double weight_bytes(const pw_problem *p) {
    return (double)p->K * (double)(1 + p->C / p->groups) * (double)pw_size(p->dtype);
}

/* Most hidden bytes of a pixel that two consecutive layers leave in scratch. */
static int64_t pixel_bytes(const pw_problem *const *layers, int n) {
    int64_t most = 0;
    for (int i = 0; i + 1 < n; i++)
        most = pw_max(most, layers[i]->K + (i + 2 < n ? layers[i + 1]->K : 0));
    return most * (int64_t)pw_size(layers[0]->dtype);
}

/* The strides of hidden channels. */
typedef struct strides {
    ptrdiff_t channel, pixel;
} strides;

static strides hidden_strides(const pw_chain *chain, int64_t channels, int64_t room) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(chain->whole.dtype);
    return chain->interleaved ? (strides){size, (ptrdiff_t)channels * size}
                              : (strides){(ptrdiff_t)room * size, size};
}

/* Layer i as a problem of its own, with `room` pixels in a plane of hidden channels. */
static pw_problem layer_problem(const pw_chain *chain, const pw_problem *layer, int i,
                                int64_t room) {
    pw_problem p = *layer;
    p.in_place = 0; /* all of x is read before y is written, pixel by pixel */
    if (i > 0) {
        const strides x = hidden_strides(chain, p.C, room);
        p.x_dtype = p.dtype, p.x_swapped = 0;
        p.x_c = x.channel, p.x_p = x.pixel;
    }
    if (i + 1 < chain->n) {
        const strides y = hidden_strides(chain, p.K, room);
        p.y_k = y.channel, p.y_p = y.pixel;
        p.has_residual = p.y_swapped = 0;
    }
    return p;
}

/* Merges rows of y that follow one another into one, wherever those of x are. */
static void merge_chain_rows(pw_chain *chain) {
    pw_problem *p = &chain->whole;
    const int64_t last = p->outer - 1;
    if (last < 0 || p->P == 1 || p->in_place || p->y_outer[last] != p->P * p->y_p ||
        (p->has_residual && p->r_outer[last] != p->P * p->r_p))
        return;
    chain->row_pixels = p->P;
    chain->x_row = p->x_outer[last];
    p->P *= p->outer_n[last];
    p->outer--;
}

/* Whether kernels read x and write y as they are, and nothing is done before or after. */
static int is_plain(const pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    return p->x_dtype == p->dtype && p->y_dtype == p->dtype && !p->x_swapped && !p->y_swapped &&
           !(p->has_residual && p->r_swapped) && !plan->has_pixel_epilogue && !plan->slopes &&
           !plan->flags && !plan->path->bf16_pairs && !plan->affine;
}

/* The kernel for both of two layers, or NULL. What plan_panels has chosen for each alone does not
 * matter, but for planes whose pixels do not fill vectors. */
static pw_fused2_kernel find_fused2(pw_chain *chain) {
    const pw_plan *first = chain->layers[0], *last = chain->layers[1];
    const pw_problem *whole = &chain->whole;
    const int64_t C = whole->C, K = whole->K;
    const int few = K <= PW_MAX_FUSED2 && C <= FUSED2_MOST_CHANNELS;
    if (chain->n != 2 || first->problem.groups > 1 || last->problem.groups > 1 ||
        chain->row_pixels ||
        (!chain->interleaved && (pw_transposes(first) || pw_transposes(last))) || C == 0 ||
        !is_plain(first) || !is_plain(last))
        return NULL;
    const ptrdiff_t size = (ptrdiff_t)pw_size(whole->dtype);
    chain->widths[0] = first->kernels->fused2_hidden;
    chain->widths[1] = (int)K;
    if (!chain->interleaved) {
        const int adjacent = whole->x_p == size && whole->y_p == size &&
                             (!whole->has_residual || whole->r_p == size);
        if (!adjacent) return NULL;
        if (few) return first->kernels->fused2_planar[K];
        chain->widths[0] = (int)first->K;
        chain->widths[1] = first->kernels->bottleneck_out;
        return first->K <= PW_MAX_BOTTLENECK ? first->kernels->bottleneck[first->K] : NULL;
    }
    const int adjacent =
        (C == 1 || whole->x_c == size) &&
        (K == 1 || (whole->y_k == size && (!whole->has_residual || whole->r_k == size)));
    return adjacent && few && C <= PW_FUSED2_CHANNELS ? first->kernels->fused2_interleaved[K]
                                                      : NULL;
}

static int plan_fused2(pw_chain *chain, const pw_kernel_set *set) {
    const pw_problem *whole = &chain->whole;
    const ptrdiff_t size = (ptrdiff_t)pw_size(whole->dtype);
    const int64_t C = whole->C, K = whole->K;
    pw_plan *first = chain->layers[0], *last = chain->layers[1];
    chain->few_channels = chain->interleaved && C <= PW_MAX_FEW && K <= PW_MAX_FEW &&
                          whole->x_p == C * size && whole->y_p == K * size &&
                          (!whole->has_residual || whole->r_p == K * size);
    int stream = last->stream;
    if (chain->few_channels) {
        const int64_t pixels = chain->outer * whole->P * size;
        stream =
            !whole->has_residual && !whole->in_place && pw_worth_streaming(pixels * K, pixels * C);
        for (int64_t a = 0; a < whole->outer; a++) stream &= whole->y_outer[a] % LINE == 0;
    }
    chain->prefetch = first->prefetch && chain->interleaved ? AHEAD_FUSED2 : first->prefetch;
    chain->panel = FUSED2_PANEL;
    chain->hidden = chain->bytes = 0;
    chain->layers[0] = pw_plan_packing(set, &first->problem, chain->widths[0]);
    chain->layers[1] = pw_plan_packing(set, &last->problem, chain->widths[1]);
    if (chain->layers[0]) chain->layers[0]->epilogue = first->epilogue;
    if (chain->layers[1]) {
        chain->layers[1]->epilogue = last->epilogue;
        chain->layers[1]->stream = stream;
    }
    pw_conv_free(first);
    pw_conv_free(last);
    return chain->layers[0] && chain->layers[1];
}

static int plan_panels(pw_chain *chain, const pw_kernel_set *set, const pw_problem *const *layers) {
    const int64_t size = (int64_t)pw_size(chain->whole.dtype);
    const int64_t pixels = PANEL_BYTES / pixel_bytes(layers, chain->n);
    chain->panel = pw_max(pixels / PANEL_STEP, 1) * PANEL_STEP;
    chain->room = chain->panel + LINE / size;
    if (chain->room * size % PAGE == 0) chain->room += LINE / size;
    merge_chain_rows(chain);
    size_t scratch = 0;
    int64_t widest = 0;
    for (int i = 0; i < chain->n; i++) {
        pw_problem p = layer_problem(chain, layers[i], i, chain->room);
        if (i + 1 < chain->n) {
            widest = pw_max(widest, p.K);
            for (int64_t a = 0; a < p.outer; a++) p.y_outer[a] = 0;
            if (chain->row_pixels) p.y_outer[p.outer - 1] = p.P * p.y_p;
        }
        if (i > 0) {
            p.outer = i + 1 < chain->n ? 0 : chain->whole.outer;
            p.P = i + 1 < chain->n ? chain->panel : chain->whole.P;
            /* Keeps the plan from merging rows, which x in scratch does not have. */
            if (p.outer > 0 && p.y_outer[p.outer - 1] == p.P * p.y_p) p.y_outer[p.outer - 1] = 0;
        }
        pw_plan *plan = chain->layers[i] = pw_plan_new(set, &p);
        if (!plan) return 0;
        /* Only the first layer's x comes from memory, and only the last one's y goes there. */
        if (i > 0) plan->prefetch = plan->run = 0;
        if (plan->run > 1) { /* panels are too short */
            plan->run = 1;
            plan->prefetch = pw_min(plan->prefetch, MOST_AHEAD);
        }
        if (i + 1 < chain->n || chain->whole.in_place || plan->prefixes_differ) plan->stream = 0;
        scratch = (size_t)pw_max((int64_t)scratch, (int64_t)plan->scratch.bytes);
    }
    chain->fused2 = find_fused2(chain);
    if (chain->layers[0]->row_pixels) chain->row_pixels = 0;
    chain->step = pw_max(chain->layers[0]->step, chain->layers[chain->n - 1]->step);
    chain->hidden = (size_t)pw_round_up(chain->room * widest * size, LINE);
    chain->bytes = scratch + chain->hidden * (size_t)(chain->n > 2 ? 2 : 1);
    return chain->fused2 ? plan_fused2(chain, set) : 1;
}

/* Chooses the axis that batches divide, so that one has as many pixels as fit BATCH_BYTES. */
static void choose_batches(pw_chain *chain, const pw_problem *const *layers) {
    const pw_problem *whole = &chain->whole;
    const int64_t wanted = pw_max(BATCH_BYTES / pixel_bytes(layers, chain->n), PANEL_STEP);
    int64_t extent = whole->P, inner = 1;
    chain->axis = whole->outer;
    while (chain->axis > 0 && 2 * inner * extent <= wanted) {
        inner *= extent;
        extent = whole->outer_n[--chain->axis];
    }
    const int64_t most = pw_min(pw_max(wanted / inner, 1), extent);
    chain->batches = pw_ceil_div(extent, most);
    chain->most = pw_ceil_div(extent, chain->batches);
    if (chain->batches > 1 && inner == 1) chain->most = pw_round_up(chain->most, LINE);
    chain->batches = pw_ceil_div(extent, chain->most);
}

/* Merges the last outer axis and P as long as their pixels are one run in every array. */
static void merge_axes(pw_problem *p) {
    for (int64_t last; (last = p->outer - 1) >= 0; p->outer--) {
        if (p->P == 1 || p->x_outer[last] != p->P * p->x_p || p->y_outer[last] != p->P * p->y_p ||
            (p->has_residual && p->r_outer[last] != p->P * p->r_p))
            return;
        p->P *= p->outer_n[last];
    }
}

static pw_problem batch_problem(const pw_chain *chain, const pw_problem *layer, int i,
                                int64_t count) {
    const pw_problem *whole = &chain->whole;
    const int64_t axes = whole->outer - chain->axis, room = axes ? whole->P : count;
    pw_problem p = layer_problem(chain, layer, i, room);
    const ptrdiff_t size = (ptrdiff_t)pw_size(p.dtype);
    p.outer = axes;
    p.P = room;
    ptrdiff_t x_step = (ptrdiff_t)(p.C * room) * size, y_step = (ptrdiff_t)(p.K * room) * size;
    for (int64_t a = axes - 1; a >= 0; a--) {
        p.outer_n[a] = a ? whole->outer_n[chain->axis + a] : count;
        p.x_outer[a] = i > 0 ? x_step : whole->x_outer[chain->axis + a];
        p.y_outer[a] = i + 1 < chain->n ? y_step : whole->y_outer[chain->axis + a];
        p.r_outer[a] = whole->r_outer[chain->axis + a];
        x_step *= (ptrdiff_t)p.outer_n[a], y_step *= (ptrdiff_t)p.outer_n[a];
    }
    merge_axes(&p);
    return p;
}

/* A copy of a plan for the same packed weights, with `count` indices of its first axis of pixels.
 * The plan itself has `most`. */
static pw_plan *shortened(const pw_plan *plan, int64_t count, int64_t most) {
    const size_t bytes = sizeof *plan + (size_t)plan->n_blocks * sizeof *plan->blocks;
    pw_plan *copy = malloc(bytes);
    if (!copy) return NULL;
    memcpy(copy, plan, bytes);
    /* Owned by the plan, which is freed together with its copy. */
    copy->constants = NULL;
    copy->present = NULL;
    int64_t *extent = copy->problem.outer ? &copy->problem.outer_n[0] : &copy->problem.P;
    *extent = *extent / most * count;
    copy->outer = pw_product(copy->problem.outer_n, copy->problem.outer);
    return copy;
}

static int plan_batches(pw_chain *chain, const pw_kernel_set *set,
                        const pw_problem *const *layers) {
    const pw_problem *whole = &chain->whole;
    choose_batches(chain, layers);
    const int64_t axes = whole->outer - chain->axis;
    const int64_t extent = axes ? whole->outer_n[chain->axis] : whole->P;
    const int64_t inner =
        axes ? whole->P * pw_product(whole->outer_n + chain->axis + 1, axes - 1) : 1;
    const int64_t left = extent - (chain->batches - 1) * chain->most;
    size_t scratch = 0;
    int64_t widest = 0;
    for (int i = 0; i < chain->n; i++) {
        const pw_problem p = batch_problem(chain, layers[i], i, chain->most);
        pw_plan *plan = chain->layers[i] = pw_plan_new(set, &p);
        if (!plan) return 0;
        if (whole->in_place) plan->stream = 0;
        if (left < chain->most &&
            !(chain->layers[chain->n + i] = shortened(plan, left, chain->most)))
            return 0;
        scratch = (size_t)pw_max((int64_t)scratch, (int64_t)plan->scratch.bytes);
        if (i + 1 < chain->n) widest = pw_max(widest, p.K);
    }
    chain->hidden =
        (size_t)pw_round_up(chain->most * inner * widest * (int64_t)pw_size(whole->dtype), LINE);
    chain->bytes = scratch + chain->hidden * (size_t)(chain->n > 2 ? 2 : 1);
    return 1;
}

/* Whether a thread may take panels through all layers. */
static int may_fuse(const pw_chain *chain, const pw_problem *const *layers) {
    const int64_t cache = pw_level_2_bytes();
    double weights = 0;
    for (int i = 0; i < chain->n; i++) weights += weight_bytes(layers[i]);
    const int64_t steps = chain->outer * chain->whole.P / PANEL_STEP;
    const int single = pw_worth_threads(chain->multiply_adds, 2) == 1;
    return 2 * weights <= (double)cache && (single || steps >= FEWEST_STEPS) &&
           pixel_bytes(layers, chain->n) * PANEL_STEP <= cache / 4;
}

pw_plan *pw_chain_new(const pw_kernel_set *set, const pw_problem *const *layers, int n) {
    pw_chain *chain = calloc(1, sizeof *chain + 2 * (size_t)n * sizeof *chain->layers);
    pw_plan *plan = calloc(1, sizeof *plan);
    if (!chain || !plan) {
        free(chain);
        free(plan);
        return NULL;
    }
    const pw_problem *first = layers[0], *last = layers[n - 1];
    plan->chain = chain;
    chain->n = n;
    chain->whole = *last;
    chain->whole.C = first->C;
    chain->whole.x_dtype = first->x_dtype, chain->whole.x_swapped = first->x_swapped;
    chain->whole.x_c = first->x_c, chain->whole.x_p = first->x_p;
    memcpy(chain->whole.x_outer, first->x_outer, sizeof first->x_outer);
    chain->outer = pw_product(first->outer_n, first->outer);
    chain->interleaved = wants_interleaved(first, last);
    for (int i = 0; i < n; i++)
        chain->multiply_adds += (double)(chain->outer * first->P * layers[i]->K) *
                                (double)(layers[i]->C / layers[i]->groups);
    chain->fused = may_fuse(chain, layers);
    if (!(chain->fused ? plan_panels : plan_batches)(chain, set, layers)) {
        pw_chain_free(chain);
        free(plan);
        return NULL;
    }
    chain->outer = pw_product(chain->whole.outer_n, chain->whole.outer);
    snprintf(plan->description, sizeof plan->description,
             chain->fused2  ? "%s chain of %d layers: %s panels of %lld pixels, in registers%s"
             : chain->fused ? "%s chain of %d layers: %s panels of %lld pixels through all layers%s"
                            : "%s chain of %d layers: %s batches of %lld pixels layer by layer%s",
             set->name, n,
             chain->few_channels  ? "few channels"
             : chain->interleaved ? "interleaved"
                                  : "planar",
             (long long)(chain->fused ? chain->panel
                                      : chain->layers[0]->outer * chain->layers[0]->problem.P),
             chain->layers[n - 1]->stream ? ", streaming" : "");
    return plan;
}

const pw_plan *pw_chain_layer(const pw_plan *plan, int i) {
    return plan->chain->layers[i];
}

void pw_chain_free(pw_chain *chain) {
    for (int i = 0; i < 2 * chain->n; i++) pw_conv_free(chain->layers[i]);
    free(chain);
}
