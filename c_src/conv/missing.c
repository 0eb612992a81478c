/* Missing data: flags pixels that miss a channel, and fills them. Flags come from x itself, as the
 * array has it, before kernels read it. Planar kernels, and transposing ones that write planes, may
 * fill such pixels in registers; what others make of them is overwritten. */
#include "conv/missing.h"
#include "base/math.h"
#include "conv/copy.h"
#include "conv/plan.h"

#include <string.h>

enum {
    LINE = 64,
    /* Elements that are swapped to this machine's byte order, then compared; and their bytes. */
    AT_ONCE = 512,
    BLOCK = AT_ONCE * 8,
};

void pw_flag_absent(const pw_plan *plan, pw_matrix x, const pw_nodata *nodata, int64_t C,
                    uint8_t *flags, int64_t n) {
    const pw_absent absent = plan->kernels->absent[x.dtype];
    if (!x.swap) {
        absent(flags, x.at, x.i, x.j, nodata, C, n);
        return;
    }
    _Alignas(LINE) char block[BLOCK];
    const ptrdiff_t size = (ptrdiff_t)pw_size(x.dtype);
    const pw_matrix near = {x.dtype, block, 0, size, NULL};
    for (int64_t c = 0; c < C; c++, x.at += x.i)
        for (int64_t p = 0, part; p < n; p += part) {
            pw_matrix row = x;
            row.at += p * x.j;
            part = pw_min(n - p, AT_ONCE);
            row.swap(near, row, 1, part, 0);
            absent(flags + p, block, 0, size, &nodata[c], 1, part);
        }
}

static int is_any_set(const uint8_t *flags, int64_t n) {
    uint64_t some = 0, eight;
    for (; n >= 8; n -= 8, flags += 8) {
        memcpy(&eight, flags, sizeof eight);
        some |= eight;
    }
    uint32_t four = 0;
    if (n >= 4) {
        memcpy(&four, flags, sizeof four);
        some |= four, n -= 4, flags += 4;
    }
    for (; n > 0; n--) some |= *flags++;
    return some != 0;
}

/* Flags pixels whose channels are contiguous and have one missing value in common. */
static void flag_contiguous(const pw_plan *plan, pw_matrix x, const pw_nodata *nodata,
                            uint8_t *flags, int64_t n) {
    const pw_absent_in_rows absent = plan->kernels->absent_in_rows[x.dtype];
    if (!x.swap) {
        absent(flags, x.at, nodata, plan->C, n);
        return;
    }
    _Alignas(LINE) char block[BLOCK];
    const pw_matrix near = {x.dtype, block, 0, x.i, NULL};
    const int64_t most = AT_ONCE / plan->C;
    for (int64_t part; n > 0; n -= part, flags += part, x.at += part * x.j) {
        part = pw_min(n, most);
        const pw_matrix row = {x.dtype, x.at, 0, x.i, x.swap};
        x.swap(near, row, 1, part * plan->C, 0);
        absent(flags, block, nodata, plan->C, part);
    }
}

static int is_same_nodata(const pw_nodata *nodata, int64_t C, size_t size) {
    for (int64_t c = 0; c < C; c++)
        if (!nodata[c].given || memcmp(nodata[c].value, nodata->value, size) != 0) return 0;
    return 1;
}

static void flag_nodata(const pw_plan *plan, pw_matrix x, const pw_nodata *nodata, int64_t from,
                        int64_t n, uint8_t *flags) {
    const int64_t row = plan->row_pixels ? plan->row_pixels : plan->problem.P;
    const ptrdiff_t size = (ptrdiff_t)pw_size(x.dtype);
    const int contiguous = plan->C > 1 && x.i == size && x.j == plan->C * size &&
                           (!x.swap || plan->C <= AT_ONCE) &&
                           is_same_nodata(nodata, plan->C, (size_t)size);
    for (int64_t part; n > 0; n -= part, from += part, flags += part) {
        pw_matrix source = x;
        source.at += from / row * plan->x_row + from % row * x.j;
        part = pw_min(n, row - from % row);
        if (contiguous)
            flag_contiguous(plan, source, nodata, flags, part);
        else
            pw_flag_absent(plan, source, nodata, plan->C, flags, part);
    }
}

/* Sets flags where bytes of the mask are not 0. */
static void flag_masked(const char *mask, ptrdiff_t step, uint8_t *restrict flags, int64_t n) {
    if (step == 1)
        for (int64_t j = 0; j < n; j++) flags[j] |= mask[j] != 0;
    else
        for (int64_t j = 0; j < n; j++) flags[j] |= mask[j * step] != 0;
}

pw_missing pw_flag_missing(const pw_plan *plan, pw_matrix x, int64_t c, const char *mask,
                           int64_t from, int64_t n, uint8_t *flags) {
    const pw_problem *p = &plan->problem;
    memset(flags, 0, (size_t)n);
    if (p->nodata) flag_nodata(plan, x, p->nodata + c, from, n, flags);
    if (mask) {
        const int64_t n_c = p->m_c ? plan->C : pw_min(plan->C, 1);
        mask += c * p->m_c + from * p->m_p;
        for (int64_t i = 0; i < n_c; i++, mask += p->m_c) flag_masked(mask, p->m_p, flags, n);
    }
    if (!is_any_set(flags, n)) return PW_NONE_MISSING;
    for (int64_t j = 0; j < n; j++)
        if (!flags[j]) return PW_SOME_MISSING;
    return PW_ALL_MISSING;
}

const char *pw_gaps(const pw_plan *plan, const uint8_t *flags, int64_t n, char *scratch) {
    const pw_dtype dtype = plan->problem.dtype;
    const pw_matrix to = {dtype, scratch + plan->scratch.gaps, 0, (ptrdiff_t)pw_size(dtype), NULL},
                    from = {PW_U8, (char *)flags, 0, 1, NULL};
    pw_copy(plan->kernels->load[PW_U8], to, from, 1, n, 0);
    return to.at;
}

/* Fills the n channels of a pixel. A memcpy of a size known at compile time is a single store. */
static void fill_pixel(char *y, ptrdiff_t step, int64_t n, const void *value, size_t size) {
#define FILL_EACH(SIZE) \
    for (int64_t k = 0; k < n; k++) memcpy(y + k * step, value, SIZE)
    if (size == 4)
        FILL_EACH(4);
    else if (size == 8)
        FILL_EACH(8);
    else
        FILL_EACH(size);
#undef FILL_EACH
}

void pw_fill_row(const pw_plan *plan, char *row, const uint8_t *flags, int64_t n) {
    const size_t size = pw_size(plan->problem.y_dtype);
    const int which = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
    plan->kernels->fill[which](row, flags, plan->fill, n);
}

void pw_fill_missing(const pw_plan *plan, pw_matrix y, int64_t channels, const uint8_t *flags,
                     int64_t n) {
    const pw_problem *p = &plan->problem;
    const size_t size = pw_size(y.dtype);
    for (int64_t part = 0; part < p->components; part++, y.at += p->y_component) {
        const int64_t n_k = channels / p->components;
        if (y.j == (ptrdiff_t)size) {
            for (int64_t k = 0; k < n_k; k++) pw_fill_row(plan, y.at + k * y.i, flags, n);
            continue;
        }
        for (int64_t j = 0; j < n; j++)
            if (flags[j]) fill_pixel(y.at + j * y.j, y.i, n_k, plan->fill, size);
    }
}
