/* Copies panels of pixels to scratch and back. */
#include "conv/stage.h"
#include "base/math.h"
#include "conv/affine.h"
#include "conv/copy.h"
#include "conv/path.h"
#include "conv/plan.h"

#include <string.h>

enum {
    LINE = 64,
    PAGE = 4096,
    /* Most bytes of a staged row that are fetched ahead. */
    MOST_FETCHED = 4096,
    /* Pixels that are turned at once, while the lines of the next ones in y are fetched. */
    TURNED_AT_ONCE = 32,
};

pw_matrix pw_staged(const pw_plan *plan, char *at, int64_t channels, int planes) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(plan->problem.dtype);
    const ptrdiff_t room = (ptrdiff_t)plan->room;
    return planes ? (pw_matrix){plan->problem.dtype, at, room * size, size, NULL}
                  : (pw_matrix){plan->problem.dtype, at, size, channels * size, NULL};
}

/* How many bytes past a staged row to fetch; 0: nothing. If elements lie apart, that is the next
 * row, which hardware does not foresee; else it is the next panel's part of this row, fetched
 * while this panel is computed. 50 x 600 x 600 -> 20 of uint16 went from 10.4 to 8.7 ms; panels
 * that fit level 1 took 9 to 14. */
static ptrdiff_t fetch_distance(const pw_matrix *from, int64_t n_j) {
    const ptrdiff_t bytes = (ptrdiff_t)n_j * from->j, size = (ptrdiff_t)pw_size(from->dtype);
    if (bytes > MOST_FETCHED || bytes < -MOST_FETCHED) return 0;
    return from->j == size || from->j == -size ? bytes : bytes > 0 ? from->i : 0;
}

/* Copies n_c channels by n_p pixels; the inner loop runs over what is contiguous in scratch. If
 * channels come in pairs, the second of a pair is `component` bytes after the first in the array. */
static void copy_panel(const pw_plan *plan, pw_convert convert, pw_matrix to, pw_matrix from,
                       int to_scratch, ptrdiff_t component, int64_t n_c, int64_t n_p, int planes) {
    const int64_t components = plan->problem.components;
    pw_matrix *scratch = to_scratch ? &to : &from, *array = to_scratch ? &from : &to;
    const ptrdiff_t step = scratch->i, size = (ptrdiff_t)pw_size(array->dtype);
    if (components == 2 && planes && array->j == 2 * size && component == size &&
        array->dtype == scratch->dtype && !array->swap) {
        if (to_scratch)
            plan->kernels->split(to, from, n_c / 2, n_p, 2 * (ptrdiff_t)n_p * size);
        else
            plan->kernels->merge(to, from, n_c / 2, n_p);
        return;
    }
    scratch->i *= components;
    for (int64_t i = 0; i < components; i++, scratch->at += step, array->at += component) {
        if (planes) {
            pw_copy(convert, to, from, n_c / components, n_p,
                    to_scratch ? fetch_distance(&from, n_p) : 0);
        } else {
            const pw_matrix t = {to.dtype, to.at, to.j, to.i, to.swap};
            const pw_matrix f = {from.dtype, from.at, from.j, from.i, from.swap};
            const ptrdiff_t fetch = to_scratch ? fetch_distance(&f, n_c / components) : 0;
            pw_copy(convert, t, f, n_p, n_c / components, fetch);
        }
    }
}

/* Whether x has contiguous channels that are turned into planes in scratch by whole vectors. These
 * are written past the end of each run of pixels: where the next run will be, or into the padding
 * that plan->room includes. */
static int turns(const pw_plan *plan, const pw_matrix *x) {
    return !plan->path->reads_rows && plan->problem.components == 1 &&
           x->dtype == plan->problem.dtype && !x->swap && x->i == (ptrdiff_t)pw_size(x->dtype) &&
           x->j != x->i;
}

/* Hardware foresees no pixels that lie pages apart, as in an array in Fortran order. Those of the
 * next row, which then lie beside these, are fetched for it. */
static void fetch_next_row(const pw_plan *plan, const pw_matrix *x, int64_t n_c, int64_t n) {
    const pw_problem *p = &plan->problem;
    if ((!plan->row_pixels && !p->outer) || (x->j < PAGE && x->j > -PAGE)) return;
    const ptrdiff_t pixel = (ptrdiff_t)n_c * x->i;
    const char *next = x->at + (plan->row_pixels ? plan->x_row : p->x_outer[p->outer - 1]);
    for (int64_t j = 0; j < n; j++, next += x->j)
        for (ptrdiff_t at = 0; at < pixel; at += LINE) __builtin_prefetch(next + at, 0, 2);
}

void pw_stage_x(const pw_plan *plan, pw_matrix to, pw_matrix x, int64_t c, int64_t n_c,
                int64_t from, int64_t n) {
    const pw_kernels *kernels = plan->kernels;
    const int64_t row = plan->row_pixels ? plan->row_pixels : plan->problem.P;
    for (int64_t part; n > 0; n -= part, from += part, to.at += part * to.j) {
        pw_matrix source = x;
        source.at += from / row * plan->x_row + from % row * x.j;
        part = pw_min(n, row - from % row);
        if (plan->affine != PW_AFFINE_STAGED || !pw_affine_from(plan, to, source, c, n_c, part)) {
            if (turns(plan, &source)) {
                fetch_next_row(plan, &source, n_c, part);
                kernels->planes_of_rows(source.at, source.j, (int)n_c, part, to.at, to.i);
            } else
                copy_panel(plan, kernels->load[x.dtype], to, source, 1, plan->problem.x_component,
                           n_c, part, !plan->path->reads_rows);
            if (plan->affine == PW_AFFINE_STAGED)
                kernels->affine(to, to, pw_scale(plan, c), pw_offset(plan, c), n_c, part, 0);
        }
    }
}

void pw_stage_r(const pw_plan *plan, pw_matrix to, pw_matrix r, int64_t channels, int64_t n) {
    copy_panel(plan, plan->kernels->load[r.dtype], to, r, 1, plan->problem.r_component, channels, n,
               plan->path->writes_planes);
}

/* Whether sums lie in planes in scratch. */
static int holds_planes(const pw_plan *plan) {
    return plan->path->writes_planes || plan->path->makes_tiles;
}

/* Whether planes in scratch are turned into pixels of y, whose channels are contiguous. */
static int turns_back(const pw_plan *plan, const pw_matrix *y) {
    return holds_planes(plan) && plan->problem.components == 1 && y->dtype == plan->problem.dtype &&
           !y->swap && y->i == (ptrdiff_t)pw_size(y->dtype) && y->j != y->i;
}

/* Turns planes in scratch into pixels of y, some at a time. Lines that the next stores write are
 * fetched before, because a store that waits for its line holds up those after it. */
static void store_turned(const pw_plan *plan, pw_matrix y, pw_matrix from, int64_t channels,
                         int64_t pixels) {
    const ptrdiff_t step = TURNED_AT_ONCE * y.j;
    const ptrdiff_t ahead = step > 0 && step <= MOST_FETCHED ? step : 0;
    for (int64_t p = 0, n; p < pixels; p += n, y.at += step, from.at += TURNED_AT_ONCE * from.j) {
        n = pw_min(pixels - p, TURNED_AT_ONCE);
        if (n == TURNED_AT_ONCE)
            for (ptrdiff_t i = 0; i < ahead; i += LINE) __builtin_prefetch(y.at + ahead + i, 1, 3);
        plan->kernels->rows_of_planes(from.at, from.i, (int)channels, n, y.at, y.j);
    }
}

void pw_store_y(const pw_plan *plan, pw_matrix y, pw_matrix from, int64_t channels, int64_t pixels,
                int stream, int64_t prefix) {
    const int64_t before = stream ? prefix : pixels;
    const pw_convert store = plan->kernels->store[y.dtype];
    if (turns_back(plan, &y)) {
        store_turned(plan, y, from, channels, pixels);
        return;
    }
    copy_panel(plan, store, y, from, 0, plan->problem.y_component, channels, before,
               holds_planes(plan));
    if (!stream) return;
    y.at += before * y.j, from.at += before * from.j;
    if ((uintptr_t)y.at % LINE == 0)
        plan->kernels->stream(y, from, channels, pixels - before);
    else
        pw_copy(store, y, from, channels, pixels - before, 0);
}

void pw_finish_sums(const pw_plan *plan, pw_matrix y, int64_t n) {
    plan->kernels->heads[plan->problem.head](y.at, y.i, plan->K, n);
}

void pw_finish_tiles(const pw_plan *plan, pw_matrix y, char *tiles, int64_t n) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(plan->problem.dtype);
    const int64_t vector = plan->kernels->vector;
    const ptrdiff_t row = (ptrdiff_t)vector * size;
    pw_matrix tile = {plan->problem.dtype, tiles, row, size, NULL};
    for (int64_t p = 0; p < n; p += vector, tile.at += plan->K * row) {
        const int64_t m = pw_min(n - p, vector);
        pw_finish_sums(plan, tile, m);
        if (plan->y_channels > 1) {
            pw_store_y(plan, y, tile, plan->y_channels, m, 0, 0);
            y.at += vector * y.j;
        } else {
            memmove(tiles + p * size, tile.at, (size_t)row); /* to be contiguous */
        }
    }
    tile.at = tiles;
    if (plan->y_channels == 1) pw_store_y(plan, y, tile, 1, n, 0, 0);
}
