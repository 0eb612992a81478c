/* What the files of every instruction set need before the templates.
 *
 * Each set and dtype has a file, such as avx2_f32.c, that defines T (the dtype of the sums), V (a
 * vector of VW of them), SUFFIX and the functions below, and then includes kernels_tmpl.h. Pointers
 * may have any alignment.
 *
 *     v_set1(x) v_load(p) v_store(p, v)
 *     v_stream(p, v)                       stores past the caches, to an aligned address
 *     v_loadn(p, n) v_storen(p, n, v)      the first n < VW elements; nothing past them is touched
 *     v_fma(a, b, c)                       a * b + c, rounded once
 *     v_add v_sub v_mul v_div
 *     v_max(a, b) v_min(a, b)              a > b ? a : b and a < b ? a : b, so b if either is NaN
 *     v_where_positive(x, a, b)            x > 0 ? a : b
 *     v_where_better(x, y, a, b)           x > y, or x is NaN and y is not ? a : b
 *     v_equal(x, y)                        a bit for each element, lowest first, set where equal
 *     v_sqrt(x) v_abs(x) v_copysign(size, sign)
 *     v_shift(v)                           v's bits shifted left by the mantissa's 23 or 52 bits
 *
 * With CONVERTS_INTEGERS, planar kernels convert x:
 *
 *     v_load_u8(p) v_load_u16(p) v_load_i16(p) v_loadn_u8(p, n) v_loadn_u16(p, n) v_loadn_i16(p, n)
 *
 * With READS_REVERSED, they read it towards lower addresses:
 *
 *     v_load_reversed(p) v_loadn_reversed(p, n)
 *
 * With TRANSPOSE, which is 4, kernels transpose in registers (transpose_tmpl.h). A vector holds
 * TRANSPOSE elements of each of VW / TRANSPOSE rows:
 *
 *     transpose_load(p, step) transpose_store(p, step, v)   such a vector, rows step bytes apart
 *     transpose_loadn(p, step, n)          the first n < TRANSPOSE elements of each row, then zeros
 *     transpose(v)                         TRANSPOSE x TRANSPOSE blocks of v[TRANSPOSE], in place
 *
 * With HAS_LANES there are few_channels kernels (few_channels_tmpl.h), and a type `lanes`:
 *
 *     prepare_lanes(n, lanes)              sets what permutations of n channels need
 *     split_lanes(n, lanes, from, to)      from[n], VW pixels of n contiguous channels, into one
 *                                          vector a channel
 *     merge_lanes(n, lanes, from, to)      the reverse. Both functions may change `from`
 *
 * The set's header, such as avx2.h, lists the register tiles, MR x NR; each list yields both the
 * kernels and their table. A tile has MR channels, whose weights are broadcast, and NR vectors of
 * pixels; interleaved, it has MR pixels, whose values are broadcast, and NR vectors of channels.
 *
 *     PLANAR_TILES(X)        X(MR, NR), MR from 1 on without gaps
 *     PLANAR_CHANNELS        input channels in a turn of planar kernels' innermost loop; 1 by default
 *     CONVERTING_TILES(X)    X(MR, NR), some of those: kernels that convert x or read it in reverse
 *     INTERLEAVED_TILES(X)   X(MR, NR), NR from 1 on
 *     TRANSPOSING_TILES(X)   X(MR), MR from 1 to TRANSPOSING_MR_MAX; NR is 1
 *     DOTS_TILES(X)          X(A, B), planes in a tile of dot products, at most DOTS_A x DOTS_B
 *     FUSED2_TILES(X)        X(K, NR), K output channels of two fused layers, whose hidden channels
 *                            come FUSED2_HIDDEN at a time; NR is at most FUSED2_NR_MAX
 *     BOTTLENECK_TILES(X)    X(H), hidden channels that fit into registers while output channels
 *                            come BOTTLENECK_OUT at a time; H is BOTTLENECK_MAX at most. Optional
 */
#include <fenv.h>
#include <math.h>
#include <string.h>

#include "isa/types.h"
#include "erfcx.h"
#include "half.h"
#include "macros.h"
#include "whole.h"

#define FN(name) PW_PASTE(name, SUFFIX)

/* PW_MOST_SUMS: vectors of sums in a tile, as many as there are registers at most. PLANAR_NR_MAX:
 * vectors of pixels in a planar tile. */
enum { PW_CACHE_LINE = 64, PW_MOST_SUMS = 32, PLANAR_NR_MAX = 6 };

/* Finds pixels p..p+n of a run that goes on in the next row of x where a row ends. */
__attribute__((unused)) PW_NOINLINE void find_pixels(const pw_ukernel_args *t, int64_t p, int n,
                                                     const char **found) {
    int64_t row = (t->in_row + p) / t->row_pixels, column = (t->in_row + p) % t->row_pixels;
    for (int i = 0; i < n; i++) {
        found[i] = t->x + row * t->x_row + column * t->x_p;
        if (++column == t->row_pixels) column = 0, row++;
    }
}

/* Stores the first n <= 4 elements. Copies of a known size are single instructions. */
PW_INLINE void store_few(char *to, const char *from, int n, size_t size) {
    if (n == 4) {
        memcpy(to, from, 4 * size);
        return;
    }
    if (n & 2) memcpy(to, from, 2 * size);
    if (n & 1) memcpy(to + (n & 2) * size, from + (n & 2) * size, size);
}
