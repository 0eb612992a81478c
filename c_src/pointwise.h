/* pointwise: 1x1 convolutions
 *
 *     y[b, k, p] = act( sum_c w[k, c] * x[b, c, p] + bias[k] + r[b, k, p] )
 *
 * The contract of every function in pw_api.h:
 *
 * Extents    All are at least 1, except C, which may be 0.
 * Layout     Strides are in bytes and may be negative, zero or no multiple of an element. x, r and
 *            y point at the first element and may have any alignment and either byte order. What
 *            a kernel cannot read or write in place goes through panels in scratch.
 * Overlap    y may be r, or x (in_place), element for element. Otherwise y overlaps nothing.
 * Access     Reads and writes stay inside the arrays, to the byte.
 * Sums       Every output is one chain of fused multiply-adds that starts from the bias and runs
 *            over c = 0..C-1; then the residual is added, then the activation is applied. So its
 *            bits do not depend on layout, chunking or thread count, nor on the kernel set
 *            (except with products of bfloat16, which only some sets have).
 * Scale      fma(scale[c], x, offset[c]), rounded once to the dtype of the sums, takes the place
 *            of x. Where x has more bits than float32 sums, it is computed in float64 first.
 * Epilogue   After the activation come PReLU, the head over all channels of a pixel, and the fill
 *            where a channel is missing. With valid_any, a pixel that misses some channels gets a
 *            chain that starts from 0 and runs over the others, times a quotient of such chains
 *            over the weights' sizes; the bias is added after that.
 *            Stored values are rounded to nearest, half to even; integers saturate, NaN becomes 0.
 * Gradients  Pixels are summed in blocks, and blocks in segments. Where they begin and end does not
 *            depend on the thread count, and they are added up in order. The bits depend on layout
 *            and kernel set. With n blocks, no term takes part in more than
 *            PW_GRADIENT_BLOCK + 2 sqrt(n) + 2 sums.
 * Threads    Any thread may call. A call uses up to `threads` threads, the caller's included, and
 *            returns when y is complete. The others round as the caller's thread does, treat
 *            denormal numbers alike, and use the CPUs that it may use. Calls are safe after fork,
 *            in the child too.
 * Errors     PW_NO_MEMORY is returned before anything is written. PW_INTERRUPTED is returned once
 *            the hook has said so: y is undefined, and no thread still works on the call.
 *            Arguments are not checked.
 */
#ifndef PW_POINTWISE_H
#define PW_POINTWISE_H

#include <stddef.h>
#include <stdint.h>

#include "pw_types.h"

#include "pw_api.h"

#endif
