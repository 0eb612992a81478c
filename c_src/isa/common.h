/* What every instruction set's file needs before its templates.
 *
 * The file defines, for each dtype, these macros, and then includes the templates. Vectors are
 * VW elements of T; addresses are `char *` of any alignment.
 *
 *     T V VW SUFFIX
 *     V_SET1(x) V_LOAD(p) V_STORE(p, v) V_STREAM(p, v)
 *     V_LOADN(p, n) V_STOREN(p, n, v)      the first n < VW elements, nothing behind them
 *     V_FMA(a, b, c)                       a * b + c, rounded once
 *     V_ADD V_SUB V_MUL V_DIV
 *     V_MAX(a, b) V_MIN(a, b)              a > b ? a : b and a < b ? a : b: b if either is NaN
 *     V_WHERE_POSITIVE(x, a, b)            x > 0 ? a : b
 *     V_WHERE_BETTER(x, y, a, b)           x > y, or x is NaN and y is not ? a : b
 *     V_EQUAL(x, y)                        a bit for each element, from the lowest on: set where equal
 *     V_SQRT(x) V_ABS(x) V_COPYSIGN(size, sign)
 *     V_SHIFT(v)                           the bits of v shifted left by the mantissa's 23 or 52 bits
 *     PLANAR_NV(KR) PLANAR_KR_MAX          vectors of pixels in a tile of KR channels
 *     ROWS(NV) NV_MAX                      pixels in an interleaved tile of NV vectors
 *     DOTS_A DOTS_B                        planes in a tile of dot products: 2 x 2, 3 x 4 or 4 x 6
 *
 * and, for planar kernels that convert x, from LEAST_CONVERTED channels on,
 *
 *     V_LOAD_U8(p) V_LOAD_U16(p) V_LOAD_I16(p)         VW integers
 *     V_LOADN_U8(p, n) V_LOADN_U16(p, n) V_LOADN_I16(p, n)
 *     V_LOAD_REVERSED(p) V_LOADN_REVERSED(p, n)        from p on towards lower addresses
 *     PAIR_U PAIR_NV(K)                    hidden channels at a time of two layers at once, vectors
 *                                          of pixels in a tile of K channels
 *     NARROW_MAX NARROW_U                  optional: hidden channels that fit into registers beside
 *                                          output channels, and how many of those at a time
 *
 * and, for kernels that transpose in registers (groups_tmpl.h), with VW / GROUP rows in a vector:
 *
 *     ROWS_KR_MAX                          output channels of a tile
 *     G_LOAD(p, step) G_STORE(p, step, v)  GROUP elements of each of VW / GROUP rows
 *     G_LOADN(p, step, n)                  the first n < GROUP elements of each; the rest is 0
 *     G_TRANSPOSE(v)                       V v[GROUP]: the GROUP x GROUP blocks, in place
 *
 * and, for kernels of a few dense channels (dense_tmpl.h), a type FN(lanes) for what permutations need and
 *
 *     D_LANES(n, lanes)            prepares it for n channels
 *     D_SPLIT(n, lanes, from, to)  from[n], one behind the other VW pixels of n channels, to the
 *                                  vectors of the channels
 *     D_MERGE(n, lanes, from, to)  and back; both may change `from`
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

/* Sums of a tile: no more than there are registers. */
enum { PW_CACHE_LINE = 64, PW_MOST_SUMS = 32 };

/* Where pixels p..p+n of a run are, which goes on in the next row of x where one ends. */
__attribute__((unused)) PW_NOINLINE void find_pixels(const pw_tile *t, int64_t p, int n,
                                                     const char **found) {
    int64_t row = (t->in_row + p) / t->row, column = (t->in_row + p) % t->row;
    for (int i = 0; i < n; i++) {
        found[i] = t->x + row * t->x_row + column * t->x_p;
        if (++column == t->row) column = 0, row++;
    }
}

/* The first n <= 4 elements: copies of a known size are single instructions. */
PW_INLINE void store_few(char *to, const char *from, int n, size_t size) {
    if (n == 4) {
        memcpy(to, from, 4 * size);
        return;
    }
    if (n & 2) memcpy(to, from, 2 * size);
    if (n & 1) memcpy(to + (n & 2) * size, from + (n & 2) * size, size);
}
