/* Gathering and scattering panels, converting on the way. */
#include <string.h>

#include "plan.h"

enum { LINE = 64, MOST_FETCHED = 4096 };

/* The next row, while one that is not dense is copied: hardware does not foresee it. */
static void fetch(const char *row, ptrdiff_t bytes) {
    if (bytes > MOST_FETCHED) return;
    for (ptrdiff_t i = 0; i < bytes; i += LINE) __builtin_prefetch(row + i);
}

#define EACH(TO, FROM, TO_STEP, FROM_STEP)                           \
    for (int64_t j = 0; j < n_j; j++) {                              \
        FROM value;                                                  \
        memcpy(&value, from.at + j * (FROM_STEP), sizeof value);     \
        const TO converted = (TO)value;                              \
        memcpy(to.at + j * (TO_STEP), &converted, sizeof converted); \
    }

#define COPY(TO, FROM)                                                                          \
    static void copy_##FROM##_to_##TO(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j) { \
        for (int64_t i = 0; i < n_i; i++, to.at += to.i, from.at += from.i) {                   \
            if (sizeof(TO) == sizeof(FROM) && to.j == sizeof(TO) && from.j == sizeof(TO)) {     \
                memcpy(to.at, from.at, (size_t)n_j * sizeof(TO));                               \
                continue;                                                                       \
            }                                                                                   \
            if (from.j != sizeof(FROM)) fetch(from.at + from.i, n_j * from.j);                  \
            if (to.j == sizeof(TO) && from.j == 2 * sizeof(FROM))                               \
                EACH(TO, FROM, sizeof(TO), 2 * sizeof(FROM))                                    \
            else                                                                                \
                EACH(TO, FROM, to.j, from.j)                                                    \
        }                                                                                       \
    }
COPY(float, float)
COPY(float, double)
COPY(double, float)
COPY(double, double)

void pw_copy(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j) {
    if (to.dtype == PW_F32)
        (from.dtype == PW_F32 ? copy_float_to_float : copy_double_to_float)(to, from, n_i, n_j);
    else
        (from.dtype == PW_F32 ? copy_float_to_double : copy_double_to_double)(to, from, n_i, n_j);
}
