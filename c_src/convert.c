/* Gathering and scattering panels, converting on the way. */
#include <string.h>

#include "plan.h"

#define COPY(TO, FROM)                                                                          \
    static void copy_##FROM##_to_##TO(pw_matrix to, pw_matrix from, int64_t n_i, int64_t n_j) { \
        for (int64_t i = 0; i < n_i; i++, to.at += to.i, from.at += from.i) {                   \
            if (sizeof(TO) == sizeof(FROM) && to.j == sizeof(TO) && from.j == sizeof(TO)) {     \
                memcpy(to.at, from.at, (size_t)n_j * sizeof(TO));                               \
                continue;                                                                       \
            }                                                                                   \
            for (int64_t j = 0; j < n_j; j++) {                                                 \
                FROM value;                                                                     \
                memcpy(&value, from.at + j * from.j, sizeof value);                             \
                const TO converted = (TO)value;                                                 \
                memcpy(to.at + j * to.j, &converted, sizeof converted);                         \
            }                                                                                   \
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
