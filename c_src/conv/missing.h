/* Missing data: pixels of an item that miss a channel. */
#ifndef PW_CONV_MISSING_H
#define PW_CONV_MISSING_H

#include "conv/plan.h"

typedef enum { PW_NONE_MISSING, PW_SOME_MISSING, PW_ALL_MISSING } pw_missing;

/* Sets flags[j], of n, where pixel from + j misses a channel of the plan's group: by its values, x
 * being the group's first channel c at the first pixel of P, or by the mask (NULL: none), likewise
 * at the first pixel. */
pw_missing pw_flag_missing(const pw_plan *, pw_matrix x, int64_t c, const char *mask, int64_t from,
                           int64_t n, uint8_t *flags);
/* Sets flags[j], of n, where pixel j of x misses one of C channels, as `nodata` has them. */
void pw_flag_absent(const pw_plan *, pw_matrix x, const pw_nodata *nodata, int64_t C,
                    uint8_t *flags, int64_t n);
/* The flags of n pixels in scratch, as planar kernels want them. */
const char *pw_gaps(const pw_plan *, const uint8_t *flags, int64_t n, char *scratch);
/* n elements of a row of y become plan->fill where flags are set. */
void pw_fill_row(const pw_plan *, char *row, const uint8_t *flags, int64_t n);
/* n pixels of y, of so many channels, become plan->fill where flags are set. */
void pw_fill_missing(const pw_plan *, pw_matrix y, int64_t channels, const uint8_t *flags,
                     int64_t n);

#endif
