/* Template: loads, transposes and stores groups of TRANSPOSE elements of each of up to VW rows, for
 * sums whose vectors run across the rows of memory. With TRANSPOSE = 4 and rows r0, r1, ... of
 * elements 0 1 2 3:
 *
 *     loaded       r0: 0 1 2 3 | r4: 0 1 2 3 | ...     r1: 0 1 2 3 | r5: ...      r2 ...  r3 ...
 *     transposed   0: r0 r1 r2 r3 | r4 r5 r6 r7 | ...  1: r0 r1 r2 r3 | ...       2: ...  3: ...
 */

/* Loads n <= TRANSPOSE elements of each of `rows` <= VW rows, in transpose_load's order; the rest
 * is 0. */
PW_NOINLINE void FN(rows_load_some)(const char *p, ptrdiff_t step, int rows, int n, V *v) {
    T part[TRANSPOSE][VW] = {{0}};
    for (int i = 0; i < rows; i++)
        memcpy(&part[i % TRANSPOSE][i / TRANSPOSE * TRANSPOSE], p + i * step,
               (size_t)n * sizeof(T));
    for (int j = 0; j < TRANSPOSE; j++) v[j] = v_load((const char *)part[j]);
}

PW_NOINLINE void FN(rows_store_some)(char *p, ptrdiff_t step, int rows, int n, const V *v) {
    T part[TRANSPOSE][VW];
    for (int j = 0; j < TRANSPOSE; j++) v_store((char *)part[j], v[j]);
    /* If rows are contiguous, what is written past the end of one is overwritten by the next. */
    const int contiguous = step == n * (ptrdiff_t)sizeof(T);
    for (int i = 0; i < rows; i++) {
        const T *from = &part[i % TRANSPOSE][i / TRANSPOSE * TRANSPOSE];
        if (contiguous && (rows - i) * n >= TRANSPOSE)
            memcpy(p + i * step, from, TRANSPOSE * sizeof(T));
        else
            store_few(p + i * step, (const char *)from, n, sizeof(T));
    }
}

PW_INLINE void rows_load(const char *p, ptrdiff_t step, int rows, int n, V *v) {
    if (rows < VW) {
        FN(rows_load_some)(p, step, rows, n, v);
        return;
    }
    PW_UNROLL
    for (int j = 0; j < TRANSPOSE; j++)
        v[j] = n == TRANSPOSE ? transpose_load(p + j * step, TRANSPOSE * step)
                          : transpose_loadn(p + j * step, TRANSPOSE * step, n);
}

/* Transposes sums v into rows, adds the residual, activates them and stores them from byte y_at of
 * y on. slopes: one for each element of a row. */
PW_INLINE void rows_store(const pw_ukernel_args *t, ptrdiff_t y_at, ptrdiff_t y_step, ptrdiff_t r_at,
                                ptrdiff_t r_step, int rows, int n, const T *slopes, V *v) {
    transpose(v);
    if (t->r) {
        V r[TRANSPOSE];
        rows_load(t->r + r_at, r_step, rows, n, r);
        PW_UNROLL
        for (int j = 0; j < TRANSPOSE; j++) v[j] = v_add(v[j], r[j]);
    }
    activate_sums(v, 1, TRANSPOSE, TRANSPOSE, t->epilogue);
    if (slopes) {
        const V slope = transpose_load((const char *)slopes, 0);
        PW_UNROLL
        for (int j = 0; j < TRANSPOSE; j++) v[j] = v_sloped(slope, v[j]);
    }
    char *y = t->y + y_at;
    if (rows < VW || n < TRANSPOSE) {
        FN(rows_store_some)(y, y_step, rows, n, v);
        return;
    }
    PW_UNROLL
    for (int j = 0; j < TRANSPOSE; j++) transpose_store(y + j * y_step, TRANSPOSE * y_step, v[j]);
}
