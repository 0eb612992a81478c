/* Template: planar kernels of one dtype of x: X_(name) names them, X_LOAD(p) and X_LOADN(p, n) load VW
 * elements of X_SIZE bytes, or the first n, as T; X_FMA(w, x, s) adds their product to a sum. Those
 * of X_LEAST channels and more are made. */

/* The tile at byte `at` of the rows of sums; of its last vector the first m elements. */
PW_INLINE void X_(planar_tile)(const pw_tile *t, ptrdiff_t at, int KR, int NV, int m,
                               pw_ahead *ahead) {
    const ptrdiff_t step = VW * sizeof(T);
    V s[PW_MAX_KR][PLANAR_NV_MAX];
    PW_UNROLL
    for (int k = 0; k < KR; k++)
        PW_UNROLL
        for (int j = 0; j < NV; j++)
            s[k][j] = t->first ? V_SET1(((const T *)t->bias)[k])
                               : V_LOAD(t->acc + k * t->acc_step + at + j * step);
    const T *w = t->w;
    const char *x = t->x + at / (ptrdiff_t)sizeof(T) * X_SIZE;
    const T *scale = t->scale, *offset = t->offset;
    const ptrdiff_t x_c = t->x_c;
    for (int64_t c = t->C; c > 0; c--, x += x_c, w += KR) {
        V v[PLANAR_NV_MAX];
        PW_UNROLL
        for (int j = 0; j < NV; j++) {
            const char *from = x + j * VW * X_SIZE;
            v[j] = m < VW && j == NV - 1 ? X_LOADN(from, m) : X_LOAD(from);
            /* Into level 2: three times as fast as into level 1 on Zen 4, where few misses of
             * level 1 can be under way. */
            if (ahead && j * VW * X_SIZE % PW_CACHE_LINE == 0)
                __builtin_prefetch(ahead->at + j * VW * X_SIZE, 0, 2);
        }
        if (ahead) {
            ahead->at += NV * VW * X_SIZE;
            if (--ahead->left == 0) ahead->at += ahead->jump, ahead->left = ahead->run;
        }
        if (scale) {
            const V by = V_SET1(*scale++), plus = V_SET1(*offset++);
            PW_UNROLL
            for (int j = 0; j < NV; j++) v[j] = V_FMA(by, v[j], plus);
        }
        PW_UNROLL
        for (int k = 0; k < KR; k++) {
            const V wk = V_SET1(w[k]);
            PW_UNROLL
            for (int j = 0; j < NV; j++) s[k][j] = X_FMA(wk, v[j], s[k][j]);
        }
    }
    FN(planar_finish)(t, at, KR, NV, m, s);
}

/* The last, partial tile: `left` pixels, more than (NV-1) vectors of them and less than NV. */
PW_INLINE void X_(planar_rest)(const pw_tile *t, ptrdiff_t at, int KR, int NV, int64_t left) {
    const int m = (int)(left - (int64_t)(NV - 1) * VW);
    if (m == VW)
        X_(planar_tile)(t, at, KR, NV, VW, NULL);
    else
        X_(planar_tile)(t, at, KR, NV, m, NULL);
}

PW_INLINE void X_(planar_run)(const pw_tile *t, int KR, int NV) {
    const ptrdiff_t step = VW * sizeof(T);
    ptrdiff_t at = 0;
    int64_t left = t->n;
    if (t->ahead) {
        pw_ahead ahead = *t->ahead;
        for (; left >= NV * VW; left -= NV * VW, at += NV * step) {
            X_(planar_tile)(t, at, KR, NV, VW, &ahead);
            if (--ahead.tiles == 0) ahead.at += ahead.wrap, ahead.tiles = ahead.run;
        }
        *t->ahead = ahead;
    } else {
        for (; left >= NV * VW; left -= NV * VW, at += NV * step)
            X_(planar_tile)(t, at, KR, NV, VW, NULL);
    }
    switch ((left + VW - 1) / VW) {
    case 1: X_(planar_rest)(t, at, KR, 1, left); break;
    case 2: if (NV >= 2) X_(planar_rest)(t, at, KR, 2, left); break;
    case 3: if (NV >= 3) X_(planar_rest)(t, at, KR, 3, left); break;
    case 4: if (NV >= 4) X_(planar_rest)(t, at, KR, 4, left); break;
    case 5: if (NV >= 5) X_(planar_rest)(t, at, KR, 5, left); break;
    case 6: if (NV >= 6) X_(planar_rest)(t, at, KR, 6, left); break;
    }
}

#define PLANAR(KR)                                           \
    static void X_(planar_##KR)(const pw_tile *t) {          \
        X_(planar_run)(t, KR, PLANAR_NV(KR));                \
    }
#if X_LEAST <= 1
PLANAR(1)
PLANAR(2)
#endif
#if X_LEAST <= 3
PLANAR(3)
PLANAR(4)
#if PLANAR_KR_MAX > 4
PLANAR(5)
PLANAR(6)
#endif
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
#undef X_
#undef X_SIZE
#undef X_LOAD
#undef X_LOADN
#undef X_LEAST
#undef X_FMA
