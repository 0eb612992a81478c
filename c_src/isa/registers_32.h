/* The register tiles, MR x NR, of sets with 32 vector registers: see common.h. Each set has its own
 * FUSED2_TILES. */
/* clang-format off */
#define PLANAR_TILES(X)                              \
    X(1, 6) X(2, 6) X(3, 6) X(4, 6) X(5, 4) X(6, 4)  \
    CONVERTING_TILES(X)
/* Tiles of planar kernels that convert x or read it in reverse, too. */
#define CONVERTING_TILES(X)                          \
    X(7, 3) X(8, 3) X(9, 3) X(10, 2) X(11, 2) X(12, 2) X(13, 2) X(14, 2)
#define INTERLEAVED_TILES(X) X(12, 1) X(12, 2) X(8, 3) X(6, 4)
#define TRANSPOSING_TILES(X)                         \
    X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)          \
    X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16)   \
    X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24)
#define TRANSPOSING_MR_MAX 24
#define DOTS_TILES(X)                                \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) X(1, 5) X(1, 6)  \
    X(2, 1) X(2, 2) X(2, 3) X(2, 4) X(2, 5) X(2, 6)  \
    X(3, 1) X(3, 2) X(3, 3) X(3, 4) X(3, 5) X(3, 6)  \
    X(4, 1) X(4, 2) X(4, 3) X(4, 4) X(4, 5) X(4, 6)
#define DOTS_A 4
#define DOTS_B 6
#define FUSED2_NR_MAX 4
#define FUSED2_HIDDEN 4
#define BOTTLENECK_TILES(X)                          \
    X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16)   \
    X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24)
#define BOTTLENECK_MAX 24
#define BOTTLENECK_OUT 6
/* clang-format on */
