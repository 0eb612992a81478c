/* Arithmetic of extents. */
#ifndef PW_BASE_MATH_H
#define PW_BASE_MATH_H

#include <stdint.h>

static inline int64_t pw_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t pw_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static inline int64_t pw_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static inline int64_t pw_round_up(int64_t a, int64_t b) {
    return pw_ceil_div(a, b) * b;
}
/* Removes the last digit to base n from a number and returns it. In most small calls n is 1, and a
 * division takes 15 to 90 cycles. */
static inline int64_t pw_take_digit(int64_t *number, int64_t n) {
    if (n == 1) return 0;
    const int64_t digit = *number % n;
    *number /= n;
    return digit;
}
static inline int64_t pw_product(const int64_t *extents, int64_t n) {
    int64_t product = 1;
    for (int64_t i = 0; i < n; i++) product *= extents[i];
    return product;
}

#endif
