/* Quantised kernels in plain C, whose vectors are single lanes of four bytes. */
#include <math.h>
#include <string.h>

#include "cpu/cpu.h"
#include "quantised/kernels.h"
#include "few_bytes.h"
#include "macros.h"

PW_INLINE int32_t load_lane(const void *at) {
    int32_t lane;
    memcpy(&lane, at, sizeof lane);
    return lane;
}
PW_INLINE void store_lane(void *at, int32_t lane) {
    memcpy(at, &lane, sizeof lane);
}
PW_INLINE int32_t add(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}
PW_INLINE int32_t subtract(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a - (uint32_t)b);
}
PW_INLINE int32_t multiply(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a * (uint32_t)b);
}

PW_INLINE int32_t dot(int32_t sum, int32_t x, int32_t w) {
    uint8_t a[4];
    int8_t b[4];
    memcpy(a, &x, sizeof a);
    memcpy(b, &w, sizeof b);
    return (int32_t)((uint32_t)sum +
                     (uint32_t)(a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]));
}

PW_INLINE int32_t round_scaled(int32_t v, float scale) {
    const float product = (float)v * scale;
    return (int32_t)lrintf(product < -65536 ? -65536 : product > 65536 ? 65536 : product);
}

PW_INLINE uint8_t clip(int32_t v, int32_t lo, int32_t hi) {
    return (uint8_t)(v < lo ? lo : v > hi ? hi : v);
}
PW_INLINE uint32_t pack_scalar(const int32_t *v, int16_t zero) {
    uint8_t bytes[4];
    uint32_t packed;
    for (int i = 0; i < 4; i++) bytes[i] = clip(v[i] + zero, 0, 255);
    memcpy(&packed, bytes, sizeof packed);
    return packed;
}
PW_INLINE uint32_t bound_scalar(uint32_t packed, const pw_qoutput *output) {
    uint8_t bytes[4];
    memcpy(bytes, &packed, sizeof packed);
    for (int i = 0; i < 4; i++) bytes[i] = clip(bytes[i], output->lo, output->hi) ^ output->flip;
    memcpy(&packed, bytes, sizeof packed);
    return packed;
}

PW_INLINE uint32_t load_bytes(const char *from, int n) {
    uint32_t bytes = 0;
    copy_few_bytes((char *)&bytes, from, n);
    return bytes;
}
PW_INLINE void store_bytes(char *to, int n, uint32_t bytes) {
    copy_few_bytes(to, (const char *)&bytes, n);
}

/* Transposes four rows of four bytes. */
PW_INLINE void spread_bytes(char *to, const uint32_t *rows) {
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < 4; c++) to[i * 4 + c] = ((const char *)&rows[c])[i];
}

#define Q_SUFFIX scalar
#define Q_NAME "scalar"
#define Q_SET pw_kernels_scalar
#define Q_WORKS pw_cpu_always
#define Q_LANES PW_Q_U8_S8
#define Q_DEPTH 4
#define Q_VW 1
#define Q_V int32_t
#define Q_F float
#define Q_B uint32_t
#define Q_SET1(i) ((int32_t)(i))
#define Q_LOAD(p) load_lane(p)
#define Q_STORE(p, v) store_lane(p, v)
#define Q_ADD(a, b) add(a, b)
#define Q_SUB(a, b) subtract(a, b)
#define Q_MUL(a, b) multiply(a, b)
#define Q_DOT(sum, x, w) dot(sum, x, w)
#define QF_SET1(f) (f)
#define QF_LOAD(p) (*(p))
#define Q_ROUND(v, scale) round_scaled(v, scale)
#define Q_ROUND_ANY(v, scale) round_scaled(v, scale)
#define Q_PACK(v, zero) pack_scalar(v, zero)
#define Q_BOUND(b, output) bound_scalar(b, output)
#define Q_SUM4(to, v) memcpy(to, v, 4 * sizeof *(to))
#define QB_SET1(byte) ((uint32_t)(uint8_t)(byte) * 0x01010101u)
#define QB_XOR(a, b) ((a) ^ (b))
#define QB_LOAD(p) load_bytes(p, 4)
#define QB_STORE(p, b) store_bytes(p, 4, b)
#define QB_STREAM(p, b) QB_STORE(p, b)
#define QB_LOADN(p, n) load_bytes(p, n)
#define QB_STOREN(p, n, b) store_bytes(p, n, b)
#define Q_SPREAD(to, rows, zero) spread_bytes(to, rows)
#define Q_KR_MAX 2
#define Q_NV_MAX 4
#define Q_ROWS(NV) 2
#include "quantised_tmpl.h"
