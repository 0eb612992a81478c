/* The axes of arrays as extents and strides of a problem. */
#ifndef PW_CONV_AXES_H
#define PW_CONV_AXES_H

#include "pointwise.h"

/* Sets extents and strides of a problem from those of arrays with `axes` axes: one of the channels,
 * and at most 64 others. n: the extents, whatever that of the channels. x, y, r: bytes from element
 * to element along each axis; with PW_HEAD_ARGMAX y has 0 for the channels. r: NULL where there is
 * no residual. Axes that follow one another without gaps in all arrays are merged. */
void pw_set_axes(pw_problem *, int axes, int channel_axis, const ptrdiff_t *n, const ptrdiff_t *x,
                 const ptrdiff_t *y, const ptrdiff_t *r);

#endif
