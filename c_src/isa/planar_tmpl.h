/* Template: planar kernels. Vectors run over pixels; a tile is KR channels x NV vectors, its sums
 * in registers, its weights broadcast. For each input channel: NV loads of x, KR broadcasts,
 * KR * NV multiply-adds. */

#define PLANAR_NV_MAX 6

/* Sums v[k * NV + j] of pixels that miss a channel. */
PW_NOINLINE void FN(fill_gaps)(const pw_tile *t, ptrdiff_t at, int KR, int NV, int m, V *v) {
    const V fill = V_SET1((T)t->fill);
    for (int j = 0; j < NV; j++) {
        const char *from = t->gaps + at + j * VW * (ptrdiff_t)sizeof(T);
        const V gap = m < VW && j == NV - 1 ? V_LOADN(from, m) : V_LOAD(from);
        for (int k = 0; k < KR; k++) v[k * NV + j] = V_WHERE_POSITIVE(gap, fill, v[k * NV + j]);
    }
}

/* Sums to y (or back to acc): residual, activation, store. m: elements in the last vector. */
PW_INLINE void FN(planar_finish)(const pw_tile *t, ptrdiff_t at, int KR, int NV, int m,
                                 V (*s)[PLANAR_NV_MAX]) {
    const ptrdiff_t step = VW * sizeof(T);
    if (!t->last) {
    PW_UNROLL
        for (int k = 0; k < KR; k++)
            PW_UNROLL
            for (int j = 0; j < NV; j++) V_STORE(t->acc + k * t->acc_step + at + j * step, s[k][j]);
        return;
    }
    if (t->r) {
        const char *r = t->r + at;
        if (t->r_ahead) {
            const char *ahead = r + t->r_ahead;
            PW_UNROLL
            for (int k = 0; k < KR; k++, ahead += t->r_step)
                PW_UNROLL
                for (int j = 0; j < NV; j++)
                    if (j * step % PW_CACHE_LINE == 0) __builtin_prefetch(ahead + j * step, 0, 2);
        }
        PW_UNROLL
        for (int k = 0; k < KR; k++, r += t->r_step)
            PW_UNROLL
            for (int j = 0; j < NV; j++)
                s[k][j] = V_ADD(s[k][j], m < VW && j == NV - 1 ? V_LOADN(r + j * step, m)
                                                               : V_LOAD(r + j * step));
    }
    FN(activate_sums)(&s[0][0], KR, NV, PLANAR_NV_MAX, t->epilogue);
    if (t->slopes)
        PW_UNROLL
        for (int k = 0; k < KR; k++) {
            const V slope = V_SET1(((const T *)t->slopes)[k]);
            PW_UNROLL
            for (int j = 0; j < NV; j++) s[k][j] = FN(sloped)(slope, s[k][j]);
        }
    if (t->gaps) {
        /* As for activations: registers are for what comes before. */
        V v[PW_MAX_KR * PLANAR_NV_MAX];
        PW_UNROLL
        for (int k = 0; k < KR; k++)
            PW_UNROLL
            for (int j = 0; j < NV; j++) v[k * NV + j] = s[k][j];
        FN(fill_gaps)(t, at, KR, NV, m, v);
        PW_UNROLL
        for (int k = 0; k < KR; k++)
            PW_UNROLL
            for (int j = 0; j < NV; j++) s[k][j] = v[k * NV + j];
    }
    char *y = t->y + at;
    if (t->stream && m == VW) {
        PW_UNROLL
        for (int k = 0; k < KR; k++, y += t->y_step)
            PW_UNROLL
            for (int j = 0; j < NV; j++) V_STREAM(y + j * step, s[k][j]);
        return;
    }
    PW_UNROLL
    for (int k = 0; k < KR; k++, y += t->y_step) {
        PW_UNROLL
        for (int j = 0; j < NV - 1; j++) V_STORE(y + j * step, s[k][j]);
        if (m < VW)
            V_STOREN(y + (NV - 1) * step, m, s[k][NV - 1]);
        else
            V_STORE(y + (NV - 1) * step, s[k][NV - 1]);
    }
}
