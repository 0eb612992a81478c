/* Stages blocks of pixels for the kernels of gradients. */
#include "base/layout.h"
#include "base/math.h"
#include "conv/copy.h"
#include "gradient/plan.h"

/* How many of n pixels, from `pixel` on, are o->p bytes apart. */
static int64_t in_run(const pw_gradient *plan, const pw_operand *o, int64_t pixel, int64_t n) {
    return o->one_run ? n : pw_min(n, plan->problem.P - pixel % plan->problem.P);
}

pw_matrix pw_gradient_in_place(const pw_gradient *plan, const pw_operand *o, const char *at,
                               int64_t channel, int64_t pixel) {
    const pw_problem *p = &plan->problem;
    ptrdiff_t offset = (ptrdiff_t)pixel * o->p;
    if (!o->one_run) offset = pixel % p->P * o->p + pw_outer_offset(p, o->outer, pixel / p->P);
    return (pw_matrix){p->dtype, (char *)at + channel * o->c + offset, o->c, o->p,
                       o->swapped ? plan->kernels->swap[p->dtype] : NULL};
}

/* Copies n_c channels of n pixels to planes, or to rows, in scratch. */
static void copy_run(const pw_gradient *plan, pw_staging as, pw_matrix to, pw_matrix from,
                     int64_t n_c, int64_t n) {
    const ptrdiff_t size = pw_gradient_size(plan);
    const pw_convert load = plan->kernels->load[from.dtype];
    if (as == PW_AS_ROWS)
        pw_copy(load, (pw_matrix){to.dtype, to.at, to.j, to.i, NULL},
                (pw_matrix){from.dtype, from.at, from.j, from.i, from.swap}, n, n_c, 0);
    else if (from.j != size && from.i == size && !from.swap)
        plan->kernels->planes_of_rows(from.at, from.j, (int)n_c, n, to.at, to.i);
    else
        pw_copy(load, to, from, n_c, n, 0);
}

pw_matrix pw_gradient_staged(const pw_gradient *plan, const pw_operand *o, const char *at,
                             int64_t channel, int64_t n_c, pw_span pixels, char *scratch) {
    if (!o->staged) return pw_gradient_in_place(plan, o, at, channel, pixels.from);
    const ptrdiff_t size = pw_gradient_size(plan);
    const pw_matrix all =
        o->staged == PW_AS_PLANES
            ? (pw_matrix){plan->problem.dtype, scratch, (ptrdiff_t)plan->room * size, size, NULL}
            : (pw_matrix){plan->problem.dtype, scratch, size, n_c * size, NULL};
    pw_matrix to = all;
    for (int64_t n; pixels.n > 0; pixels.from += n, pixels.n -= n, to.at += n * to.j) {
        n = in_run(plan, o, pixels.from, pixels.n);
        copy_run(plan, o->staged, to, pw_gradient_in_place(plan, o, at, channel, pixels.from), n_c,
                 n);
    }
    return all;
}

/* Makes a panel of pixels of any strides, some at a time, through planes. */
static void gather_panel(const pw_gradient *plan, pw_matrix from, int channels, int64_t n,
                         char *gathered, char *to, ptrdiff_t row) {
    const ptrdiff_t size = pw_gradient_size(plan);
    const pw_matrix planes = {from.dtype, gathered, PW_GATHERED_ROOM * size, size, NULL};
    for (int64_t m; n > 0; n -= m, from.at += m * from.j, to += m * row) {
        m = pw_min(n, PW_GATHERED);
        pw_copy(plan->kernels->load[from.dtype], planes, from, channels, m, 0);
        plan->kernels->panel_of_planes(gathered, planes.i, channels, m, to, row);
    }
}

void pw_gradient_panel(const pw_gradient *plan, const char *at, int64_t channel, int64_t n_b,
                       pw_span pixels, char *scratch) {
    const pw_operand *b = &plan->b;
    const ptrdiff_t size = pw_gradient_size(plan), vector = plan->kernels->vector * size;
    for (int64_t done = 0, n; done < pixels.n; done += n) {
        const int64_t pixel = pixels.from + done;
        n = in_run(plan, b, pixel, pixels.n - done);
        pw_matrix from = pw_gradient_in_place(plan, b, at, channel, pixel);
        for (int64_t v = 0, nv; v * plan->kernels->vector < n_b; v += nv) {
            nv = pw_gradient_vectors(plan, n_b, v);
            const ptrdiff_t row = nv * vector;
            const int channels = pw_gradient_columns(plan, n_b, v, nv);
            char *to = scratch + plan->scratch.b + v * vector * plan->block + done * row;
            if (pw_gradient_gathers(b, size))
                gather_panel(plan, from, channels, n, scratch + plan->scratch.gathered, to, row);
            else if (b->p == size)
                plan->kernels->panel_of_planes(from.at, b->c, channels, n, to, row);
            else
                plan->kernels->panel_of_rows(from.at, b->p, channels, n, to, row);
            from.at += channels * b->c;
        }
    }
}
