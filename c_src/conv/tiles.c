/* Runs the kernels of a plan over a panel, and fetches what comes next. */
#include "conv/tiles.h"
#include "base/math.h"
#include "conv/affine.h"
#include "conv/path.h"
#include "conv/plan.h"

enum {
    LINE = 64,
    /* How many bytes ahead residuals are fetched, in each plane. */
    R_AHEAD = 1024,
};

/* What kernels fetch while they compute pixels of an item from p on. Past the end of P, runs of
 * several steps go on at the next outer index; runs of one step just go on in memory, where they
 * may find the next plane of a small image. */
static pw_ahead *fetch_ahead(const pw_plan *plan, const pw_item *it, const pw_pass *pass, int64_t p,
                             pw_ahead *ahead) {
    const ptrdiff_t size = pass->x.j, tile = plan->step * size, run = plan->run * tile;
    const ptrdiff_t distance = size < 0 ? -plan->prefetch : plan->prefetch;
    const int64_t past = it->from + p + distance / size - plan->problem.P;
    const int crosses = plan->run > 1 && past >= 0;
    if (crosses && !it->to_next) return NULL;
    const char *from = pass->x.at - it->from * size;
    if (!ahead->at || (crosses && !ahead->crossed))
        *ahead = (pw_ahead){
            .at = crosses ? from + it->to_next + past * size : pass->x.at + p * size + distance,
            .left = plan->run,
            .tiles = plan->run,
            .run = plan->run,
            .jump = pass->x.i - run,
            .wrap = run - pass->channels * pass->x.i,
            .crossed = crosses,
        };
    return ahead;
}

/* Fetches the same, at once, for kernels that do not fetch planes themselves. */
static void fetch_now(const pw_plan *plan, pw_ahead *ahead, int64_t channels, int64_t pixels) {
    const ptrdiff_t step = plan->step * (ptrdiff_t)pw_size(plan->problem.x_dtype);
    for (int64_t tiles = pixels / plan->step; tiles > 0; tiles--) {
        for (int64_t c = 0; c < channels; c++) {
            for (ptrdiff_t i = 0; i < step; i += LINE) __builtin_prefetch(ahead->at + i, 0, 2);
            ahead->at += step;
            if (--ahead->left == 0) ahead->at += ahead->jump, ahead->left = ahead->run;
        }
        if (--ahead->tiles == 0) ahead->at += ahead->wrap, ahead->tiles = ahead->run;
    }
}

void pw_run_tiles(const pw_plan *plan, const pw_item *it, const pw_pass *pass) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(plan->problem.dtype);
    const int64_t room = plan->room, prefix = it->unaligned_prefix;
    const pw_block *first = &plan->blocks[it->first_block], *end = &plan->blocks[it->end_block];
    /* If a run is an image but threads share few images, the next one is not fetched. */
    const int64_t run = plan->run * plan->step;
    const int fetches = plan->run && (it->pixels >= run || 2 * run <= plan->problem.P);
    const int single = end - first == 1 && !(plan->path->reads_rows && fetches);
    const int64_t tile = !single ? plan->tile_pixels : fetches && plan->run > 1 ? run : it->pixels;
    pw_ahead ahead = {pass->next, INT64_MAX, INT64_MAX, INT64_MAX, 0, 0, 0};
    const int scales = plan->affine == PW_AFFINE_IN_KERNELS;
    /* All fields are named: clearing those left out would take as long as a small tile's sums. */
    pw_ukernel_args t = {
        .x = NULL,
        .x_c = pass->x.i,
        .x_p = pass->x.j,
        .row_pixels = pw_stages_x(plan) ? 0 : plan->row_pixels,
        .in_row = 0,
        .x_row = plan->x_row,
        .scale = scales ? pw_scale(plan, it->c + pass->c) : NULL,
        .offset = scales ? pw_offset(plan, it->c + pass->c) : NULL,
        .bias = NULL,
        .w = NULL,
        .y = NULL,
        .y_step = plan->path->writes_planes ? pass->y.i : pass->y.j,
        .r = NULL,
        .r_step = plan->path->writes_planes ? pass->r.i : pass->r.j,
        .r_ahead = plan->prefetch && !plan->stage_r ? R_AHEAD : 0,
        .acc = NULL,
        .acc_step = 0,
        .C = plan->path->bf16_pairs ? pw_ceil_div(pass->channels, 2) : pass->channels,
        .n = 0,
        .channels = 0,
        .first = pass->first,
        .last = pass->last && !plan->path->makes_tiles,
        .writes_planes = pw_transposes(plan),
        .stream = 0,
        .prefetch = 0,
        .ahead = NULL,
        .epilogue = &plan->epilogue,
        .slopes = NULL,
        .gaps = NULL,
        .fill = plan->problem.fill,
    };
    for (int64_t p = 0, n; p < it->pixels; p += n) {
        n = pw_min(p == 0 && prefix ? prefix : tile, it->pixels - p);
        t.n = n;
        if (t.row_pixels) {
            t.x = pass->x.at + (it->from + p) / t.row_pixels * t.x_row;
            t.in_row = (it->from + p) % t.row_pixels;
        } else {
            t.x = pass->x.at + p * pass->x.j;
        }
        t.prefetch = plan->path->reads_rows && plan->run ? 0 : plan->prefetch;
        if (fetches && p >= prefix)
            t.ahead = fetch_ahead(plan, it, pass, p, &ahead);
        else if (pass->next)
            t.ahead = &ahead;
        if (t.ahead && plan->path->reads_rows) fetch_now(plan, t.ahead, pass->channels, n);
        t.gaps = pass->gaps ? pass->gaps + p * size : NULL;
        t.stream = pass->stream && ((uintptr_t)(pass->y.at + p * pass->y.j) % LINE) == 0;
        for (const pw_block *block = first; block < end; block++) {
            const ptrdiff_t k = (ptrdiff_t)(block->k - first->k);
            t.bias = it->packed + block->offset;
            t.w = it->packed + block->offset +
                  (1 + (plan->path->bf16_pairs ? pass->c / 2 : pass->c)) * block->width * size;
            t.channels = block->channels;
            if (plan->slopes) t.slopes = plan->slopes + (it->k + block->k) * size;
            t.y = pass->y.at + k * pass->y.i + p * pass->y.j;
            t.r = pass->r.at ? pass->r.at + k * pass->r.i + p * pass->r.j : NULL;
            if (pass->acc) {
                /* Whole vectors are written: what follows the prefix must not share one with it. */
                const int64_t slot = p && prefix ? p - prefix + LINE / size : p;
                t.acc = pass->acc + (block->at - first->at) * room * size +
                        slot * size * (plan->path->reads_rows ? block->width : 1);
                t.acc_step = size * (plan->path->reads_rows ? block->width : room);
            }
            block->kernel(&t);
            t.prefetch = 0;
            t.ahead = NULL;
        }
    }
}
