/* What the files of plain C have in common: vectors are single elements, and the C library fuses
 * multiply-adds where the CPU cannot. */
#include "common.h"

/* Register tiles, MR x NR: see common.h. */
#define PLANAR_TILES(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1)
#define INTERLEAVED_TILES(X) X(4, 1)
#define DOTS_TILES(X) X(1, 1) X(1, 2) X(2, 1) X(2, 2)
#define DOTS_A 2
#define DOTS_B 2
#define FUSED2_TILES(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1)
#define FUSED2_NR_MAX 1
#define FUSED2_HIDDEN 2

/* The vector functions that are the same for both dtypes; T, V and VW come before this header. */
PW_INLINE V v_load(const void *p) {
    T value;
    memcpy(&value, p, sizeof value);
    return value;
}
PW_INLINE void v_store(void *p, T value) {
    memcpy(p, &value, sizeof value);
}
PW_INLINE V v_set1(T x) {
    return x;
}
PW_INLINE void v_stream(void *p, V v) {
    v_store(p, v);
}
PW_INLINE V v_loadn(const void *p, int n) {
    (void)n;
    return v_load(p);
}
PW_INLINE void v_storen(void *p, int n, V v) {
    (void)n;
    v_store(p, v);
}
PW_INLINE V v_add(V a, V b) {
    return a + b;
}
PW_INLINE V v_sub(V a, V b) {
    return a - b;
}
PW_INLINE V v_mul(V a, V b) {
    return a * b;
}
PW_INLINE V v_div(V a, V b) {
    return a / b;
}
PW_INLINE V v_max(V a, V b) {
    return a > b ? a : b;
}
PW_INLINE V v_min(V a, V b) {
    return a < b ? a : b;
}
PW_INLINE V v_where_positive(V x, V a, V b) {
    return x > 0 ? a : b;
}
PW_INLINE unsigned v_equal(V x, V y) {
    return (unsigned)(x == y);
}
PW_INLINE V v_where_better(V x, V y, V a, V b) {
    return (y == y && !(x <= y) ? a : b);
}
