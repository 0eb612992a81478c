/* Missing data: pixels of an item that miss a channel. */
#ifndef PW_CONV_MISSING_H
#define PW_CONV_MISSING_H

#include "conv/plan.h"

typedef enum { PW_NONE_MISSING, PW_SOME_MISSING, PW_ALL_MISSING } pw_missing;

/* Sets flags[j], j < n, if pixel from + j misses a channel of the group, by its values or by the
 * mask (NULL: none); else clears it. x begins at the first pixel of P and the group's first
 * channel, which is c; the mask begins at the first pixel of P and channel 0. */
pw_missing pw_flag_missing(const pw_plan *, pw_matrix x, int64_t c, const char *mask, int64_t from,
                           int64_t n, uint8_t *flags);
/* Sets flags[j], j < n, if pixel j of x has the missing value of one of C channels. */
void pw_flag_absent(const pw_plan *, pw_matrix x, const pw_nodata *nodata, int64_t C,
                    uint8_t *flags, int64_t n);
/* Converts the flags of n pixels to what planar kernels read, in scratch. */
const char *pw_gaps(const pw_plan *, const uint8_t *flags, int64_t n, char *scratch);
/* Sets n elements of a row of y to plan->fill where flags are set. */
void pw_fill_row(const pw_plan *, char *row, const uint8_t *flags, int64_t n);
/* Sets n pixels of y, of `channels` channels, to plan->fill where flags are set. */
void pw_fill_missing(const pw_plan *, pw_matrix y, int64_t channels, const uint8_t *flags,
                     int64_t n);

#endif
