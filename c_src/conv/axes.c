/* Finds axes as reduce_pixels of Python does. */
#include "conv/axes.h"

enum { MOST_ARRAYS = 3, MOST_AXES = 64 };

typedef struct axis {
    int64_t n;
    ptrdiff_t step[MOST_ARRAYS]; /* of the array whose order is followed first */
} axis;

static size_t magnitude(ptrdiff_t step) {
    return step < 0 ? (size_t)0 - (size_t)step : (size_t)step;
}

/* Whether the steps of `a` are larger, in the first array in which they differ. */
static int is_before(const axis *a, const axis *b) {
    for (int i = 0; i < MOST_ARRAYS; i++) {
        const size_t steps[] = {magnitude(a->step[i]), magnitude(b->step[i])};
        if (steps[0] != steps[1]) return steps[0] > steps[1];
    }
    return 0;
}

/* Whether `inner`, gone through over and over, makes the steps of `outer` in every array. */
static int is_row(const axis *outer, const axis *inner) {
    for (int i = 0; i < MOST_ARRAYS; i++)
        if (outer->step[i] != inner->n * inner->step[i]) return 0;
    return 1;
}

/* Finds the axes of pixels that are more than one pixel long, in order. Returns how many. */
static int sort_axes(axis *sorted, int axes, int channel_axis, const ptrdiff_t *n,
                     const ptrdiff_t *const *steps) {
    int count = 0;
    for (int i = 0; i < axes; i++) {
        if (i == channel_axis || n[i] == 1) continue;
        axis a = {.n = n[i]};
        for (int array = 0; array < MOST_ARRAYS; array++)
            a.step[array] = steps[array] ? steps[array][i] : 0;
        int at = count++;
        for (; at > 0 && is_before(&a, &sorted[at - 1]); at--) sorted[at] = sorted[at - 1];
        sorted[at] = a;
    }
    return count;
}

void pw_set_axes(pw_problem *p, int axes, int channel_axis, const ptrdiff_t *n, const ptrdiff_t *x,
                 const ptrdiff_t *y, const ptrdiff_t *r) {
    /* Pixels are taken in the order of x; of y, where the channels of a pixel of x are contiguous. */
    int in_x = 1;
    for (int i = 0; i < axes; i++) in_x &= magnitude(x[channel_axis]) <= magnitude(x[i]);
    const int in_y = !in_x, in_r = 2;
    const ptrdiff_t *const steps[MOST_ARRAYS] = {in_x ? y : x, in_x ? x : y, r};
    axis sorted[MOST_AXES + 1];
    sorted[0] = (axis){.n = 1}; /* where no axis is longer */
    const int count = sort_axes(sorted, axes, channel_axis, n, steps);
    int inner = 0;
    for (int i = 1; i < count; i++) {
        if (is_row(&sorted[inner], &sorted[i]))
            sorted[i].n *= sorted[inner].n;
        else
            inner++;
        sorted[inner] = sorted[i];
    }
    p->outer = inner;
    for (int i = 0; i < inner; i++) {
        p->outer_n[i] = sorted[i].n;
        p->x_outer[i] = sorted[i].step[in_x];
        p->y_outer[i] = sorted[i].step[in_y];
        p->r_outer[i] = sorted[i].step[in_r];
    }
    p->P = sorted[inner].n;
    p->x_p = sorted[inner].step[in_x];
    p->y_p = sorted[inner].step[in_y];
    p->r_p = sorted[inner].step[in_r];
    p->x_c = x[channel_axis];
    p->y_k = y[channel_axis];
    p->r_k = r ? r[channel_axis] : 0;
}
