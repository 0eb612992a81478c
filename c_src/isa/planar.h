/* Template: planar kernels. Vectors run over pixels; a tile is KR channels x NV vectors, its sums
 * in registers, its weights broadcast. For each input channel: NV loads of x, KR broadcasts,
 * KR * NV multiply-adds. */

#define PLANAR_NV_MAX 6

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
        PW_UNROLL
        for (int k = 0; k < KR; k++, r += t->r_step)
            PW_UNROLL
            for (int j = 0; j < NV; j++)
                s[k][j] = V_ADD(s[k][j], m < VW && j == NV - 1 ? V_LOADN(r + j * step, m)
                                                               : V_LOAD(r + j * step));
    }
    FN(activate_sums)(&s[0][0], KR, NV, PLANAR_NV_MAX, t->epilogue);
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

/* The tile at byte `at` of the rows; of its last vector the first m elements. */
PW_INLINE void FN(planar_tile)(const pw_tile *t, ptrdiff_t at, int KR, int NV, int m, int fetch) {
    const ptrdiff_t step = VW * sizeof(T);
    V s[PW_MAX_KR][PLANAR_NV_MAX];
    PW_UNROLL
    for (int k = 0; k < KR; k++)
        PW_UNROLL
        for (int j = 0; j < NV; j++)
            s[k][j] = t->first ? V_SET1(((const T *)t->bias)[k])
                               : V_LOAD(t->acc + k * t->acc_step + at + j * step);
    const T *w = t->w;
    const char *x = t->x + at;
    const ptrdiff_t x_c = t->x_c, ahead = t->prefetch;
    for (int64_t c = t->C; c > 0; c--, x += x_c, w += KR) {
        V v[PLANAR_NV_MAX];
        PW_UNROLL
        for (int j = 0; j < NV; j++) {
            v[j] = m < VW && j == NV - 1 ? V_LOADN(x + j * step, m) : V_LOAD(x + j * step);
            /* Into level 2: three times as fast as into level 1 on Zen 4, where few misses of
             * level 1 can be under way. */
            if (fetch && j * step % PW_CACHE_LINE == 0) __builtin_prefetch(x + ahead + j * step, 0, 2);
        }
        PW_UNROLL
        for (int k = 0; k < KR; k++) {
            const V wk = V_SET1(w[k]);
            PW_UNROLL
            for (int j = 0; j < NV; j++) s[k][j] = V_FMA(wk, v[j], s[k][j]);
        }
    }
    FN(planar_finish)(t, at, KR, NV, m, s);
}

/* The last, partial tile: `left` pixels, more than (NV-1) vectors of them and less than NV. */
PW_INLINE void FN(planar_rest)(const pw_tile *t, ptrdiff_t at, int KR, int NV, int64_t left) {
    const int m = (int)(left - (int64_t)(NV - 1) * VW);
    if (m == VW)
        FN(planar_tile)(t, at, KR, NV, VW, 0);
    else
        FN(planar_tile)(t, at, KR, NV, m, 0);
}

PW_INLINE void FN(planar_run)(const pw_tile *t, int KR, int NV) {
    const ptrdiff_t step = VW * sizeof(T);
    ptrdiff_t at = 0;
    int64_t left = t->n;
    if (t->prefetch)
        for (; left >= NV * VW; left -= NV * VW, at += NV * step)
            FN(planar_tile)(t, at, KR, NV, VW, 1);
    else
        for (; left >= NV * VW; left -= NV * VW, at += NV * step)
            FN(planar_tile)(t, at, KR, NV, VW, 0);
    switch ((left + VW - 1) / VW) {
    case 1: FN(planar_rest)(t, at, KR, 1, left); break;
    case 2: if (NV >= 2) FN(planar_rest)(t, at, KR, 2, left); break;
    case 3: if (NV >= 3) FN(planar_rest)(t, at, KR, 3, left); break;
    case 4: if (NV >= 4) FN(planar_rest)(t, at, KR, 4, left); break;
    case 5: if (NV >= 5) FN(planar_rest)(t, at, KR, 5, left); break;
    case 6: if (NV >= 6) FN(planar_rest)(t, at, KR, 6, left); break;
    }
}

#define PLANAR(KR)                                           \
    static void FN(planar_##KR)(const pw_tile *t) {          \
        FN(planar_run)(t, KR, PLANAR_NV(KR));                \
    }
PLANAR(1)
PLANAR(2)
PLANAR(3)
PLANAR(4)
#if PLANAR_KR_MAX > 4
PLANAR(5)
PLANAR(6)
#endif
#if PLANAR_KR_MAX > 6
PLANAR(7)
PLANAR(8)
PLANAR(9)
PLANAR(10)
PLANAR(11)
PLANAR(12)
PLANAR(13)
PLANAR(14)
#endif
#undef PLANAR
