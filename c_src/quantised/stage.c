/* Turns bytes into lanes: rows of lanes, and tiles of pixels. If pixels are contiguous, the
 * kernels' own `stage` makes a tile. */
#include <string.h>

#include "quantised/stage.h"

static uint8_t byte_at(pw_qbytes bytes, const char *at) {
    return (uint8_t)*at ^ bytes.flip;
}

static void row_of_bytes(pw_qbytes bytes, uint8_t *to, const char *from, ptrdiff_t step,
                         int64_t C) {
    if (step == 1)
        for (int64_t c = 0; c < C; c++) to[c] = byte_at(bytes, from + c);
    else
        for (int64_t c = 0; c < C; c++) to[c] = byte_at(bytes, from + c * step);
}

static void row_of_pairs(pw_qbytes bytes, int16_t *to, const char *from, ptrdiff_t step,
                         int64_t C) {
    if (step == 1)
        for (int64_t c = 0; c < C; c++) to[c] = (int16_t)(byte_at(bytes, from + c) - bytes.zero);
    else
        for (int64_t c = 0; c < C; c++)
            to[c] = (int16_t)(byte_at(bytes, from + c * step) - bytes.zero);
}

void pw_qstage_row(const pw_qkernels *kernels, pw_qbytes bytes, char *to, int64_t n,
                   const char *from, ptrdiff_t step, int64_t C) {
    const int64_t used = C * PW_Q_LANE / kernels->depth;
    if (kernels->depth == 4)
        row_of_bytes(bytes, (uint8_t *)to, from, step, C);
    else
        row_of_pairs(bytes, (int16_t *)to, from, step, C);
    memset(to + used, 0, (size_t)(n * PW_Q_LANE - used));
}

/* Makes a group of four contiguous channels, for n pixels. */
static void four_adjacent(pw_qbytes bytes, char *to, const char *x, ptrdiff_t x_p, int n) {
    const uint32_t flip = bytes.flip * 0x01010101u;
    for (int p = 0; p < n; p++, x += x_p, to += PW_Q_LANE) {
        uint32_t lane;
        memcpy(&lane, x, sizeof lane);
        lane ^= flip;
        memcpy(to, &lane, sizeof lane);
    }
}

/* Make a group of `channels` channels, or of as many as a lane has, for n pixels. */
static void some_bytes(pw_qbytes bytes, char *to, const char *x, ptrdiff_t x_c, ptrdiff_t x_p,
                       int64_t channels, int n) {
    for (int p = 0; p < n; p++, x += x_p, to += PW_Q_LANE)
        for (int c = 0; c < 4; c++) to[c] = c < channels ? (char)byte_at(bytes, x + c * x_c) : 0;
}

static void some_pairs(pw_qbytes bytes, char *to, const char *x, ptrdiff_t x_c, ptrdiff_t x_p,
                       int64_t channels, int n) {
    for (int p = 0; p < n; p++, x += x_p, to += PW_Q_LANE) {
        int16_t pair[2] = {0};
        for (int c = 0; c < 2; c++)
            if (c < channels) pair[c] = (int16_t)(byte_at(bytes, x + c * x_c) - bytes.zero);
        memcpy(to, pair, sizeof pair);
    }
}

/* Does what `stage` of pw_qkernels does, for pixels with any stride. */
static void stage_any(const pw_qplan *plan, char *to, ptrdiff_t to_g, const char *x, int64_t C,
                      int n) {
    const int depth = plan->kernels->depth;
    const ptrdiff_t x_c = plan->problem.x_c, x_p = plan->problem.x_p;
    for (; C > 0; C -= depth, x += depth * x_c, to += to_g) {
        if (depth == 4 && C >= 4 && x_c == 1)
            four_adjacent(plan->x_bytes, to, x, x_p, n);
        else if (depth == 4)
            some_bytes(plan->x_bytes, to, x, x_c, x_p, C, n);
        else
            some_pairs(plan->x_bytes, to, x, x_c, x_p, C, n);
    }
}

pw_qlane_matrix pw_qstage_x(const pw_qplan *plan, const char *x, int64_t g, int64_t groups, int n,
                            char *scratch) {
    const pw_qproblem *q = &plan->problem;
    const int depth = plan->kernels->depth;
    const int64_t C = pw_min(groups * depth, q->C - g * depth);
    x += g * depth * q->x_c;
    if (plan->direct) return (pw_qlane_matrix){x, PW_Q_LANE, q->x_p};
    if (plan->rows) {
        const int64_t row = pw_round_up(groups, plan->kernels->vector);
        const ptrdiff_t step = (ptrdiff_t)row * PW_Q_LANE;
        for (int p = 0; p < n; p++)
            pw_qstage_row(plan->kernels, plan->x_bytes, scratch + p * step, row, x + p * q->x_p,
                          q->x_c, C);
        return (pw_qlane_matrix){scratch, PW_Q_LANE, step};
    }
    const ptrdiff_t step = (ptrdiff_t)plan->tile_pixels * PW_Q_LANE;
    if (q->x_p == 1 || n == 1)
        plan->kernels->stage(plan->x_bytes, scratch, step, x, q->x_c, C, n, plan->ahead);
    else
        stage_any(plan, scratch, step, x, C, n);
    return (pw_qlane_matrix){scratch, step, PW_Q_LANE};
}
