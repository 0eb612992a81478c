/* Bytes into lanes: what the kernels' own stage, for pixels side by side, leaves. */
#include <string.h>

#include "quantised/stage.h"
#include "quantised/kernels.h"
#include "pointwise.h"

pw_qbytes pw_qbytes_of(const pw_qkernels *kernels, int is_x, int is_signed, int zero) {
    const int signed_lane = kernels->lanes == PW_Q_S8_S8 || (kernels->lanes == PW_Q_U8_S8 && !is_x);
    pw_qbytes bytes = {.zero = (int16_t)zero};
    if (is_signed != signed_lane) {
        bytes.flip = 0x80;
        bytes.zero += is_signed ? 128 : -128;
    }
    return bytes;
}

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

/* Four channels of each of n pixels side by side. */
static void four_adjacent(pw_qbytes bytes, char *to, const char *x, ptrdiff_t x_p, int n) {
    const uint32_t flip = bytes.flip * 0x01010101u;
    for (int p = 0; p < n; p++, x += x_p, to += PW_Q_LANE) {
        uint32_t lane;
        memcpy(&lane, x, sizeof lane);
        lane ^= flip;
        memcpy(to, &lane, sizeof lane);
    }
}

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

void pw_qstage_any(const pw_qkernels *kernels, pw_qbytes bytes, char *to, ptrdiff_t to_g,
                   const char *x, ptrdiff_t x_c, ptrdiff_t x_p, int64_t C, int n) {
    const int depth = kernels->depth;
    for (; C > 0; C -= depth, x += depth * x_c, to += to_g) {
        if (depth == 4 && C >= 4 && x_c == 1)
            four_adjacent(bytes, to, x, x_p, n);
        else if (depth == 4)
            some_bytes(bytes, to, x, x_c, x_p, C, n);
        else
            some_pairs(bytes, to, x, x_c, x_p, C, n);
    }
}
