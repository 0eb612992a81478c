/* Quantised kernels in plain C, whose vectors are single lanes of four bytes. */
#include <math.h>
#include <string.h>

#include "cpu/cpu.h"
#include "isa/quantised_types.h"
#include "few_bytes.h"
#include "macros.h"

#define V int32_t
#define VF float
#define VB uint32_t
#define VW 1
#define DEPTH 4
#define LANES PW_Q_U8_S8
#define SUFFIX scalar
#define NAME "scalar"
#define SET pw_kernels_scalar
#define WORKS pw_cpu_always
#define Q_PLANAR_TILES(X) X(1) X(2)
#define Q_INTERLEAVED_TILES(X) X(2, 1) X(2, 2) X(2, 3) X(2, 4)

PW_INLINE V q_set1(int32_t i) {
    return i;
}
PW_INLINE V q_load(const void *p) {
    int32_t lane;
    memcpy(&lane, p, sizeof lane);
    return lane;
}
PW_INLINE void q_store(void *p, V v) {
    memcpy(p, &v, sizeof v);
}
PW_INLINE V q_add(V a, V b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}
PW_INLINE V q_sub(V a, V b) {
    return (int32_t)((uint32_t)a - (uint32_t)b);
}
PW_INLINE V q_mul(V a, V b) {
    return (int32_t)((uint32_t)a * (uint32_t)b);
}
PW_INLINE V q_dot(V sum, V x, V w) {
    uint8_t a[4];
    int8_t b[4];
    memcpy(a, &x, sizeof a);
    memcpy(b, &w, sizeof b);
    return (int32_t)((uint32_t)sum +
                     (uint32_t)(a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]));
}
PW_INLINE void q_sum4(int32_t *to, const V *v) {
    memcpy(to, v, 4 * sizeof *to);
}

PW_INLINE VF qf_set1(float f) {
    return f;
}
PW_INLINE VF qf_load(const float *p) {
    return *p;
}
PW_INLINE V q_round_any(V v, VF scale) {
    const float product = (float)v * scale;
    return (int32_t)lrintf(product < -65536 ? -65536 : product > 65536 ? 65536 : product);
}
PW_INLINE V q_round(V v, VF scale) {
    return q_round_any(v, scale);
}

PW_INLINE uint8_t clip(int32_t v, int32_t lo, int32_t hi) {
    return (uint8_t)(v < lo ? lo : v > hi ? hi : v);
}
PW_INLINE VB q_pack(const V *v, int16_t zero) {
    uint8_t bytes[4];
    uint32_t packed;
    for (int i = 0; i < 4; i++) bytes[i] = clip(v[i] + zero, 0, 255);
    memcpy(&packed, bytes, sizeof packed);
    return packed;
}

PW_INLINE VB qb_set1(uint8_t byte) {
    return byte * 0x01010101u;
}
PW_INLINE VB qb_loadn(const char *p, int n) {
    uint32_t bytes = 0;
    copy_few_bytes((char *)&bytes, p, n);
    return bytes;
}
PW_INLINE VB qb_load(const char *p) {
    return qb_loadn(p, 4);
}
PW_INLINE void qb_storen(char *p, int n, VB b) {
    copy_few_bytes(p, (const char *)&b, n);
}
PW_INLINE void qb_store(char *p, VB b) {
    qb_storen(p, 4, b);
}
PW_INLINE void qb_stream(char *p, VB b) {
    qb_store(p, b);
}
PW_INLINE VB qb_xor(VB a, VB b) {
    return a ^ b;
}
PW_INLINE VB qb_bound(VB b, uint8_t lo, uint8_t hi) {
    uint8_t bytes[4];
    memcpy(bytes, &b, sizeof b);
    for (int i = 0; i < 4; i++) bytes[i] = clip(bytes[i], lo, hi);
    memcpy(&b, bytes, sizeof b);
    return b;
}

/* Transposes four rows of four bytes. */
PW_INLINE void qb_spread(char *to, const VB *rows, int16_t zero) {
    (void)zero;
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < 4; c++) to[i * 4 + c] = ((const char *)&rows[c])[i];
}

#include "quantised_tmpl.h"
