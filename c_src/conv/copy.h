/* Copies elements of arrays, of either byte order, to scratch and back. */
#ifndef PW_CONV_COPY_H
#define PW_CONV_COPY_H

#include "isa/types.h"

/* Copies elements i < n_i, j < n_j, of either byte order. The pw_convert is for their dtypes. */
void pw_copy(pw_convert, pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j, ptrdiff_t fetch);

#endif
