/* Floats of 16 bits. Conversions select instead of branching, so that compilers vectorise loops. */
#ifndef PW_ISA_HALF_H
#define PW_ISA_HALF_H

#include <stdint.h>
#include <string.h>

static inline float float_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t bits_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float from_bf16(uint16_t h) {
    return float_of_bits((uint32_t)h << 16);
}

/* The exponents' biases, 15 and 127, differ by 112. A product corrects that for subnormal numbers
 * too. */
static inline float from_f16(uint16_t h) {
    const uint32_t size = h & 0x7fffu, sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t bits = bits_of_float(float_of_bits(size << 13) * 0x1p112f);
    return float_of_bits(bits | sign | (size >= 0x7c00u ? 0x7f800000u : 0u));
}

/* Rounds to odd, so that a second rounding, to 16 bits, gives what a single one would have. */
static inline float to_odd(double x) {
    const float near = (float)x;
    const double back = near;
    const uint32_t bits = bits_of_float(near), past = (x < 0 ? back < x : back > x);
    return float_of_bits(back == x ? bits : (bits - past) | 1u);
}

static inline uint16_t to_bf16(float x) {
    const uint32_t bits = bits_of_float(x);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)(x != x ? bits >> 16 | 0x40u : rounded);
}

/* Adding 0.5 rounds subnormal results: its last bit is worth as much as theirs. */
static inline uint16_t to_f16(float x) {
    const uint32_t bits = bits_of_float(x), size = bits & 0x7fffffffu, sign = bits >> 16 & 0x8000u;
    const uint32_t normal = (size - (112u << 23) + 0xfffu + (size >> 13 & 1u)) >> 13;
    const uint32_t small = bits_of_float(float_of_bits(size) + 0.5f) - 0x3f000000u;
    const uint32_t finite = size < 0x38800000u ? small : normal;
    const uint32_t large = size > 0x7f800000u ? 0x7e00u : 0x7c00u;
    return (uint16_t)(sign | (size >= 0x47800000u ? large : finite));
}

#endif
