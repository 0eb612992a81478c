/* Panels of pixels on their way to scratch and from it. */
#ifndef PW_CONV_STAGE_H
#define PW_CONV_STAGE_H

#include "conv/plan.h"

/* A region of scratch: channels by pixels, in planes or interleaved. */
pw_matrix pw_staged(const pw_plan *, char *at, int64_t channels, int planes);
/* n_c channels of pixels [from, from + n) of x, row by row; x begins at channel c, pixel 0 of P. */
void pw_stage_x(const pw_plan *, pw_matrix to, pw_matrix x, int64_t c, int64_t n_c, int64_t from,
                int64_t n);
/* n pixels of a residual. */
void pw_stage_r(const pw_plan *, pw_matrix to, pw_matrix r, int64_t channels, int64_t n);
/* From scratch to y: past the caches, if so, after `prefix` pixels. */
void pw_store_y(const pw_plan *, pw_matrix y, pw_matrix from, int64_t channels, int64_t pixels,
                int stream, int64_t prefix);

/* What is made of n pixels' sums, in planes in scratch, before they are stored. */
void pw_finish_sums(const pw_plan *, pw_matrix y, int64_t n);
/* The same of tiles, each of all channels of a vector of pixels, and on to y. */
void pw_finish_tiles(const pw_plan *, pw_matrix y, char *tiles, int64_t n);

#endif
