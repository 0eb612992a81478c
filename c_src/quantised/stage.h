/* Bytes on their way to lanes. */
#ifndef PW_QUANTISED_STAGE_H
#define PW_QUANTISED_STAGE_H

#include "quantised/kernels.h"

pw_qbytes pw_qbytes_of(const pw_qkernels *, int is_x, int is_signed, int zero);
/* C numbers `step` bytes apart to lanes one behind the other, zeros up to n lanes. */
void pw_qstage_row(const pw_qkernels *, pw_qbytes, char *to, int64_t n, const char *from,
                   ptrdiff_t step, int64_t C);
/* As pw_qkernels.stage, from pixels anywhere. */
void pw_qstage_any(const pw_qkernels *, pw_qbytes, char *to, ptrdiff_t to_g, const char *x,
                   ptrdiff_t x_c, ptrdiff_t x_p, int64_t C, int n);

#endif
