/* transpose_load and its like (common.h) for vectors that hold one row, of TRANSPOSE elements. */
PW_INLINE V transpose_load(const char *p, ptrdiff_t step) {
    (void)step;
    return v_load(p);
}
PW_INLINE V transpose_loadn(const char *p, ptrdiff_t step, int n) {
    (void)step;
    return v_loadn(p, n);
}
PW_INLINE void transpose_store(char *p, ptrdiff_t step, V v) {
    (void)step;
    v_store(p, v);
}
