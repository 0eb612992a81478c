/* What the files of plain C have in common: vectors are single elements, and the C library fuses
 * multiply-adds where the CPU cannot. */
#include "common.h"

/* Register tiles, MR x NR: see common.h. */
#define PLANAR_TILES(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1)
#define INTERLEAVED_TILES(X) X(4, 1)
#define DOTS_TILES(X) X(1, 1) X(1, 2) X(2, 1) X(2, 2)
#define DOTS_A 2
#define DOTS_B 2
#define FUSED2_TILES(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1)
#define FUSED2_NR_MAX 1
#define FUSED2_HIDDEN 2
