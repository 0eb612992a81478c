/* pointwise: 1x1 convolutions
 *
 *     y[b, k, p] = act( sum_c w[k, c] * x[b, c, p] + bias[k] + r[b, k, p] )
 *
 * The contract of every function in pw_api.h:
 *
 * Extents    are 1 at least, but for C, which may be 0.
 * Layout     Any. Strides are in bytes and may be negative, zero or no multiple of an element;
 *            x, r, y point at the first element, of any alignment and either byte order. What
 *            a kernel cannot read or write in place goes through panels in scratch.
 * Overlap    y may be r, or x (in_place), element for element. Otherwise y overlaps nothing.
 * Reads      and writes stay inside the arrays, to the byte.
 * Sums       Every output is one chain of fused multiply-adds that starts from the bias and runs
 *            over c = 0..C-1; then the residual is added, then the activation is applied. So
 *            its bits depend on no layout, chunking or thread count, nor on the kernel set
 *            (but for products of bfloat16, which only some have).
 * Scale      and offset: fma(scale[c], x, offset[c]), rounded once to the dtype of the sums, takes the
 *            place of x. Where x has more bits than float32 sums it is computed in float64 first.
 * Then       PReLU, the head over all channels of a pixel, and the fill where a channel is missing.
 *            With valid_any a pixel that misses some has a chain from 0 over those there, times a
 *            quotient of such chains over the weights' sizes; the bias is added after it.
 *            Stored values are rounded to the nearest, half to even; integers saturate, NaN is 0.
 * Gradients  Sums over pixels are summed by blocks, blocks by segments: all cut where no thread count
 *            matters, and added up in order. Their bits depend on layout and kernel set; for n
 *            blocks, no term takes part in more than PW_GRADIENT_BLOCK + 2 sqrt(n) + 2 sums.
 * Threads    Callers' threads may be any; a call uses up to `threads` of them, its own included,
 *            and returns when y is complete. Others round as the caller's thread does, denormal
 *            numbers included, and use the CPUs that it may use. Safe after fork, in the child too.
 * Errors     PW_NO_MEMORY is returned before anything is written. PW_INTERRUPTED, once the hook has
 *            said so: y is undefined, and nothing of the call goes on. Arguments are not checked.
 */
#ifndef PW_POINTWISE_H
#define PW_POINTWISE_H

#include <stddef.h>
#include <stdint.h>

#include "pw_api.h"

#endif
