/* Copies elements of arrays, of either byte order, to scratch and back. */
#include "conv/copy.h"
#include "base/math.h"

enum {
    LINE = 64,
    /* Elements whose bytes are swapped at once. */
    SWAPPED = 512,
};

static int is_contiguous(const pw_matrix *m, int64_t n_j) {
    const ptrdiff_t size = (ptrdiff_t)pw_size(m->dtype);
    return m->j == size && m->i == n_j * size;
}

/* Copies an array of the other byte order, through a block of elements in this machine's. */
static void copy_swapped(pw_convert convert, pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j,
                         ptrdiff_t fetch) {
    _Alignas(LINE) char block[SWAPPED * sizeof(double)];
    const pw_matrix *array = from.swap ? &from : &to;
    const ptrdiff_t size = (ptrdiff_t)pw_size(array->dtype);
    const int64_t columns = pw_min(n_j, SWAPPED), rows = SWAPPED / pw_max(columns, 1);
    const pw_matrix near = {array->dtype, block, (ptrdiff_t)columns * size, size, NULL};
    for (int64_t i = 0, m; i < n_i; i += m) {
        m = pw_min(rows, n_i - i);
        for (int64_t j = 0, n; j < n_j; j += n) {
            n = pw_min(columns, n_j - j);
            const pw_matrix t = {to.dtype, to.at + i * to.i + j * to.j, to.i, to.j, NULL};
            const pw_matrix f = {from.dtype, from.at + i * from.i + j * from.j, from.i, from.j,
                                 NULL};
            if (array == &from) {
                from.swap(near, f, m, n, fetch);
                convert(t, near, m, n, 0);
            } else {
                convert(near, f, m, n, 0);
                to.swap(t, near, m, n, 0);
            }
        }
    }
}

/* Takes all rows as one where both matrices are contiguous. */
void pw_copy(pw_convert convert, pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j,
             ptrdiff_t fetch) {
    if (is_contiguous(&to, n_j) && is_contiguous(&from, n_j)) n_j *= n_i, n_i = 1;
    if (from.swap || to.swap)
        copy_swapped(convert, to, from, n_i, n_j, fetch);
    else
        convert(to, from, n_i, n_j, fetch);
}
