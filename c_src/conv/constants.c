/* Copies of a problem's constants in its plan, as kernels read them. */
#include <stdlib.h>
#include <string.h>

#include "conv/constants.h"
#include "conv/copy.h"
#include "conv/plan.h"

enum {
    /* Slopes past the last that kernels may read. */
    PAD = PW_MAX_NR * 16,
};

static const char *keep_rounded(double *to, const double *from, int64_t n, int narrow) {
    for (int64_t i = 0; i < n; i++)
        if (narrow)
            ((float *)to)[i] = (float)from[i];
        else
            to[i] = from[i];
    return (const char *)to;
}

int pw_keep_constants(pw_plan *plan) {
    pw_problem *p = &plan->problem;
    const size_t slopes = p->slopes ? (size_t)p->K + PAD : 0, nodata = p->nodata ? (size_t)p->C : 0;
    const size_t affine = plan->affine ? (size_t)p->C : 0;
    if (!slopes && !nodata && !affine) return 1;
    double *to = plan->constants =
        calloc(1, (slopes + 2 * affine) * sizeof *to + nodata * sizeof *p->nodata);
    if (!to) return 0;
    if (slopes) plan->slopes = keep_rounded(to, p->slopes, p->K, p->dtype == PW_F32);
    p->slopes = NULL;
    to += slopes;
    if (affine) {
        const int narrow = p->dtype == PW_F32 && !plan->wide;
        plan->scale = keep_rounded(to, p->scale, p->C, narrow);
        plan->offset = keep_rounded(to + affine, p->offset, p->C, narrow);
        to += 2 * affine;
    }
    p->scale = p->offset = NULL;
    if (nodata) p->nodata = memcpy(to, p->nodata, nodata * sizeof *p->nodata);
    return 1;
}

void pw_keep_fill(pw_plan *plan) {
    const pw_problem *p = &plan->problem;
    const pw_kernels *kernels = plan->kernels;
    const float narrow = (float)p->fill;
    const void *value = p->dtype == PW_F32 ? (const void *)&narrow : &p->fill;
    const pw_matrix from = {p->dtype, (char *)value, 0, 0, NULL},
                    to = {p->y_dtype, plan->fill, 0, 0,
                          p->y_swapped ? kernels->swap[p->y_dtype] : NULL};
    pw_copy(kernels->store[p->y_dtype], to, from, 1, 1, 0);
}
