/* What the files of AArch64's Advanced SIMD have in common: 32 vectors of 16 bytes. There are no
 * masked loads and stores, so the first elements of a vector go through a buffer. */
#include <arm_neon.h>

#include "common.h"
#include "registers_32.h"

#define FUSED2_TILES(X) X(1, 4) X(2, 4) X(3, 3) X(4, 3) X(5, 2) X(6, 2) X(7, 2) X(8, 2)
