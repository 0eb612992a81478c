/* Computes scale * x + offset, rounded once, as x is copied to scratch. */
#include "conv/affine.h"
#include "base/math.h"
#include "conv/copy.h"
#include "conv/plan.h"

enum {
    /* Pixels of a channel that are computed in float64 at once. */
    BLOCK = 64,
    /* A row of the next panel of at most so many bytes is fetched while this one is computed. */
    MOST_FETCHED = 20 << 10,
};

static ptrdiff_t affine_fetch_distance(const pw_matrix *x, int64_t n) {
    const ptrdiff_t bytes = (ptrdiff_t)n * x->j;
    return bytes > 0 && bytes <= MOST_FETCHED ? bytes : 0;
}

/* Computes in float64, by blocks of pixels, and rounds to float32. */
static void from_wide(const pw_plan *plan, pw_matrix to, pw_matrix x, int64_t c, int64_t n_c,
                      int64_t n) {
    const pw_convert load = plan->wide->load[x.dtype], store = plan->kernels->load[PW_F64];
    double block[BLOCK];
    const ptrdiff_t size = sizeof *block;
    const pw_matrix wide = {PW_F64, (char *)block, sizeof block, size, NULL};
    const int64_t components = plan->problem.components;
    for (int64_t at = 0, m; at < n; at += m) {
        m = pw_min(n - at, BLOCK);
        for (int64_t i = 0; i < n_c; i++) {
            char *first = x.at + i / components * x.i + i % components * plan->problem.x_component;
            const pw_matrix from = {x.dtype, first + at * x.j, x.i, x.j, x.swap};
            const pw_matrix there = {to.dtype, to.at + i * to.i + at * to.j, to.i, to.j, NULL};
            pw_copy(load, wide, from, 1, m, 0);
            plan->wide->affine(wide, wide, pw_scale(plan, c + i), pw_offset(plan, c + i), 1, m, 0);
            pw_copy(store, there, wide, 1, m, 0);
        }
    }
}

int pw_affine_from(const pw_plan *plan, pw_matrix to, pw_matrix x, int64_t c, int64_t n_c,
                   int64_t n) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(to.dtype);
    const int alike = (to.j == size && x.j == size) || (to.i == size && x.i == size);
    if (plan->wide)
        from_wide(plan, to, x, c, n_c, n);
    else if (x.dtype == to.dtype && !x.swap && alike && plan->problem.components == 1)
        plan->kernels->affine(to, x, pw_scale(plan, c), pw_offset(plan, c), n_c, n,
                              affine_fetch_distance(&x, n));
    else
        return 0;
    return 1;
}
