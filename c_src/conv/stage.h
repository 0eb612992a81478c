/* Copies panels of pixels to scratch and back. */
#ifndef PW_CONV_STAGE_H
#define PW_CONV_STAGE_H

#include "conv/plan.h"

/* A region of scratch: channels by pixels, in planes or interleaved. */
pw_matrix pw_staged(const pw_plan *, char *at, int64_t channels, int planes);
/* Stages n_c channels of pixels [from, from + n) of x, row by row; x begins at channel c and the
 * first pixel of P. */
void pw_stage_x(const pw_plan *, pw_matrix to, pw_matrix x, int64_t c, int64_t n_c, int64_t from,
                int64_t n);
/* Stages n pixels of a residual. */
void pw_stage_r(const pw_plan *, pw_matrix to, pw_matrix r, int64_t channels, int64_t n);
/* Copies from scratch to y: if `stream`, past the caches after `prefix` pixels. */
void pw_store_y(const pw_plan *, pw_matrix y, pw_matrix from, int64_t channels, int64_t pixels,
                int stream, int64_t prefix);

/* Applies the pixel epilogue to n pixels' sums, in planes in scratch. */
void pw_finish_sums(const pw_plan *, pw_matrix y, int64_t n);
/* The same for tiles, each of all channels of a vector of pixels; then stores them in y. */
void pw_finish_tiles(const pw_plan *, pw_matrix y, char *tiles, int64_t n);

#endif
