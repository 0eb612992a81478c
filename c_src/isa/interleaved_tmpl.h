/* Template: interleaved kernels. Vectors run over output channels; a tile is R pixels x NV
 * vectors, its sums in registers. For each input channel: NV loads of weights, R broadcasts of
 * x, which may have any strides, R * NV multiply-adds. */

#define ROWS_MAX 12

#if defined(GROUP)
/* Sums s[R][NV] to planes of y: GROUP pixels of VW channels at a time are transposed. */
PW_NOINLINE void FN(transposed_finish)(const pw_tile *t, int64_t p, int R, int NV, const V *s) {
    for (int j = 0; j < NV; j++) {
        const int rows = j < NV - 1 ? VW : t->channels - j * VW;
        for (int i = 0; i < R; i += GROUP) {
            const ptrdiff_t at = (ptrdiff_t)(p + i) * (ptrdiff_t)sizeof(T);
            V v[GROUP];
    PW_UNROLL
            for (int q = 0; q < GROUP; q++) v[q] = s[(i + q < R ? i + q : i) * NV + j];
            FN(group_finish)(t, at + j * VW * t->y_step, t->y_step, at + j * VW * t->r_step, t->r_step,
                             rows, R - i < GROUP ? R - i : GROUP, NULL, v);
        }
    }
}
#endif

/* Residual, activation, store of R rows; m: channels in the last vector. */
PW_INLINE void FN(interleaved_finish)(const pw_tile *t, int64_t p, int R, int NV,
                                      V (*s)[PW_MAX_NV]) {
    const ptrdiff_t step = VW * sizeof(T);
    const int m = t->channels - (NV - 1) * VW;
    if (!t->last) {
    PW_UNROLL
        for (int i = 0; i < R; i++)
            PW_UNROLL
            for (int j = 0; j < NV; j++)
                V_STORE(t->acc + (p + i) * t->acc_step + j * step, s[i][j]);
        return;
    }
#if defined(GROUP)
    if (t->transposed) {
        V v[ROWS_MAX * PW_MAX_NV];
        PW_UNROLL
        for (int i = 0; i < R; i++)
            PW_UNROLL
            for (int j = 0; j < NV; j++) v[i * NV + j] = s[i][j];
        FN(transposed_finish)(t, p, R, NV, v);
        return;
    }
#endif
    if (t->r) {
        PW_UNROLL
        for (int i = 0; i < R; i++) {
            const char *r = t->r + (p + i) * t->r_step;
            PW_UNROLL
            for (int j = 0; j < NV - 1; j++) s[i][j] = V_ADD(s[i][j], V_LOAD(r + j * step));
            r += (NV - 1) * step;
            s[i][NV - 1] = V_ADD(s[i][NV - 1], m < VW ? V_LOADN(r, m) : V_LOAD(r));
        }
    }
    FN(activate_sums)(&s[0][0], R, NV, PW_MAX_NV, t->epilogue);
    if (t->slopes)
        PW_UNROLL
        for (int j = 0; j < NV; j++) {
            const V slope = V_LOAD((const char *)t->slopes + j * step);
            PW_UNROLL
            for (int i = 0; i < R; i++) s[i][j] = FN(sloped)(slope, s[i][j]);
        }
    PW_UNROLL
    for (int i = 0; i < R; i++) {
        char *y = t->y + (p + i) * t->y_step;
        PW_UNROLL
        for (int j = 0; j < NV - 1; j++) V_STORE(y + j * step, s[i][j]);
        y += (NV - 1) * step;
        if (m < VW)
            V_STOREN(y, m, s[i][NV - 1]);
        else
            V_STORE(y, s[i][NV - 1]);
    }
}

/* R pixels from p on. `even`: x is one run of pixels; three of them share an address register then,
 * for twelve would not leave enough: 16 channels 92 -> 112 GFLOP/s on Zen 4, 32 104 -> 114. */
PW_INLINE void FN(interleaved_tile)(const pw_tile *t, int64_t p, int R, int NV, int even, int fetch) {
    const ptrdiff_t step = VW * sizeof(T);
    V s[ROWS_MAX][PW_MAX_NV];
    PW_UNROLL
    for (int i = 0; i < R; i++)
        PW_UNROLL
        for (int j = 0; j < NV; j++)
            s[i][j] = V_LOAD(t->first ? (const char *)t->bias + j * step
                                      : t->acc + (p + i) * t->acc_step + j * step);
    const ptrdiff_t x_c = t->x_c, x_p = t->x_p;
    const char *row[ROWS_MAX];
    if (even)
        PW_UNROLL
        for (int i = 0; i < R; i += 3) row[i] = t->x + (p + i) * x_p;
    else
        find_pixels(t, p, R, row);
    const char *w = t->w;
    ptrdiff_t at = 0;
    /* Rows lie one behind the other if x is to be fetched: so many bytes are done with each c. */
    const char *ahead = t->x + p * x_p + t->prefetch;
    const int far = t->prefetch >= PW_FAR;
    for (int64_t c = t->C; c > 0; c--, at += x_c, w += NV * step) {
        V v[PW_MAX_NV];
        if (fetch) {
            if (far)
                __builtin_prefetch(ahead, 0, 2);
            else
                __builtin_prefetch(ahead, 0, 3);
        }
        ahead += R * x_c;
        PW_UNROLL
        for (int j = 0; j < NV; j++) v[j] = V_LOAD(w + j * step);
        PW_UNROLL
        for (int i = 0; i < R; i++) {
            const V x = FN(load1)(even ? row[i - i % 3] + i % 3 * x_p : row[i] + at);
            PW_UNROLL
            for (int j = 0; j < NV; j++) s[i][j] = V_FMA(v[j], x, s[i][j]);
        }
        if (even)
            PW_UNROLL
            for (int i = 0; i < R; i += 3) row[i] += x_c;
    }
    FN(interleaved_finish)(t, p, R, NV, s);
}

/* The last, fewer pixels. */
PW_INLINE void FN(interleaved_rest)(const pw_tile *t, int64_t p, int R, int NV) {
    if (t->row)
        FN(interleaved_tile)(t, p, R, NV, 0, 0);
    else
        FN(interleaved_tile)(t, p, R, NV, 1, 0);
}

PW_INLINE void FN(interleaved_run)(const pw_tile *t, int NV) {
    int64_t p = 0;
    if (t->row)
        for (; p + ROWS(NV) <= t->n; p += ROWS(NV)) FN(interleaved_tile)(t, p, ROWS(NV), NV, 0, 0);
    else if (t->prefetch)
        for (; p + ROWS(NV) <= t->n; p += ROWS(NV)) FN(interleaved_tile)(t, p, ROWS(NV), NV, 1, 1);
    else
        for (; p + ROWS(NV) <= t->n; p += ROWS(NV)) FN(interleaved_tile)(t, p, ROWS(NV), NV, 1, 0);
    switch (t->n - p) {
#define REST(R) \
    case R: if (R < ROWS(NV)) FN(interleaved_rest)(t, p, R, NV); break
    REST(1);
    REST(2);
    REST(3);
    REST(4);
    REST(5);
    REST(6);
    REST(7);
    REST(8);
    REST(9);
    REST(10);
    REST(11);
#undef REST
    }
}

#define INTERLEAVED(NV)                                      \
    static void FN(interleaved_##NV)(const pw_tile *t) {     \
        FN(interleaved_run)(t, NV);                          \
    }
INTERLEAVED(1)
INTERLEAVED(2)
INTERLEAVED(3)
INTERLEAVED(4)
#undef INTERLEAVED
