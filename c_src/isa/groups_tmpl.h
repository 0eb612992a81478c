/* Template: groups, which are GROUP elements of each of up to VW rows, and their transposition: what
 * stands in the way between sums whose vectors run one way and memory that runs the other. With
 * GROUP = 4 and rows r0, r1, ... of elements 0 1 2 3:
 *
 *     loaded       r0: 0 1 2 3 | r4: 0 1 2 3 | ...     r1: 0 1 2 3 | r5: ...      r2 ...  r3 ...
 *     transposed   0: r0 r1 r2 r3 | r4 r5 r6 r7 | ...  1: r0 r1 r2 r3 | ...       2: ...  3: ...
 */

/* n <= GROUP elements of each of `rows` <= VW rows, loaded as G_LOAD does; the rest is 0. */
PW_NOINLINE void FN(load_part)(const char *p, ptrdiff_t step, int rows, int n, V *v) {
    T part[GROUP][VW] = {{0}};
    for (int i = 0; i < rows; i++)
        memcpy(&part[i % GROUP][i / GROUP * GROUP], p + i * step, (size_t)n * sizeof(T));
    for (int j = 0; j < GROUP; j++) v[j] = V_LOAD((const char *)part[j]);
}

PW_NOINLINE void FN(store_part)(char *p, ptrdiff_t step, int rows, int n, const V *v) {
    T part[GROUP][VW];
    for (int j = 0; j < GROUP; j++) V_STORE((char *)part[j], v[j]);
    /* Where rows lie one behind the other, what is written past one's end is the next ones'. */
    const int dense = step == n * (ptrdiff_t)sizeof(T);
    for (int i = 0; i < rows; i++) {
        const T *from = &part[i % GROUP][i / GROUP * GROUP];
        if (dense && (rows - i) * n >= GROUP)
            memcpy(p + i * step, from, GROUP * sizeof(T));
        else
            store_few(p + i * step, (const char *)from, n, sizeof(T));
    }
}

PW_INLINE void FN(group_load)(const char *p, ptrdiff_t step, int rows, int n, V *v) {
    if (rows < VW) {
        FN(load_part)(p, step, rows, n, v);
        return;
    }
    PW_UNROLL
    for (int j = 0; j < GROUP; j++)
        v[j] = n == GROUP ? G_LOAD(p + j * step, GROUP * step)
                          : G_LOADN(p + j * step, GROUP * step, n);
}

/* Sums v, still to be transposed into rows, to bytes y_at of y: residual, activation, store. slopes: of
 * the rows' elements. */
PW_INLINE void FN(group_finish)(const pw_tile *t, ptrdiff_t y_at, ptrdiff_t y_step, ptrdiff_t r_at,
                                ptrdiff_t r_step, int rows, int n, const T *slopes, V *v) {
    G_TRANSPOSE(v);
    if (t->r) {
        V r[GROUP];
        FN(group_load)(t->r + r_at, r_step, rows, n, r);
        PW_UNROLL
        for (int j = 0; j < GROUP; j++) v[j] = V_ADD(v[j], r[j]);
    }
    FN(activate_sums)(v, 1, GROUP, GROUP, t->epilogue);
    if (slopes) {
        const V slope = G_LOAD((const char *)slopes, 0);
        PW_UNROLL
        for (int j = 0; j < GROUP; j++) v[j] = FN(sloped)(slope, v[j]);
    }
    char *y = t->y + y_at;
    if (rows < VW || n < GROUP) {
        FN(store_part)(y, y_step, rows, n, v);
        return;
    }
    PW_UNROLL
    for (int j = 0; j < GROUP; j++) G_STORE(y + j * y_step, GROUP * y_step, v[j]);
}
