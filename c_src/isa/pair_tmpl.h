/* Template: kernels for two layers at once, of which the second has few channels. Vectors run over
 * pixels; the K sums of the second layer stay in registers while hidden channels come and go,
 * PAIR_U at a time: C multiply-adds and the activation make one, K more use it up.
 *
 * The first layer's weights are packed as for planar kernels of PAIR_U channels and, for what is
 * left over, of one.
 */

/* U hidden channels from w on, added with their weights `out` to the sums. m: elements in the last
 * vector. */
PW_INLINE void FN(pair_add)(const pw_pair *p, const char *x, ptrdiff_t x_c, const T *w,
                            const T *out, int U, int K, int NV, int m, int fetch,
                            V (*s)[PLANAR_NV_MAX]) {
    const ptrdiff_t step = VW * sizeof(T), ahead = p->t.prefetch;
    V h[PAIR_U][PLANAR_NV_MAX];
    PW_UNROLL
    for (int u = 0; u < U; u++)
        PW_UNROLL
        for (int j = 0; j < NV; j++) h[u][j] = V_SET1(w[u]);
    w += U;
    for (int64_t c = p->t.C; c > 0; c--, x += x_c, w += U) {
        V v[PLANAR_NV_MAX];
        PW_UNROLL
        for (int j = 0; j < NV; j++) {
            v[j] = m < VW && j == NV - 1 ? V_LOADN(x + j * step, m) : V_LOAD(x + j * step);
            if (fetch && j * step % PW_CACHE_LINE == 0) __builtin_prefetch(x + ahead + j * step, 0, 2);
        }
        PW_UNROLL
        for (int u = 0; u < U; u++) {
            const V wu = V_SET1(w[u]);
            PW_UNROLL
            for (int j = 0; j < NV; j++) h[u][j] = V_FMA(wu, v[j], h[u][j]);
        }
    }
    FN(activate_sums)(&h[0][0], U, NV, PLANAR_NV_MAX, p->first_epilogue);
    PW_UNROLL
    for (int u = 0; u < U; u++)
        PW_UNROLL
        for (int k = 0; k < K; k++) {
            const V wk = V_SET1(out[u * K + k]);
            PW_UNROLL
            for (int j = 0; j < NV; j++) s[k][j] = V_FMA(wk, h[u][j], s[k][j]);
        }
}

PW_INLINE void FN(pair_sums)(const pw_pair *p, const char *x, ptrdiff_t x_c, int K, int NV, int m,
                             int fetch, V (*s)[PLANAR_NV_MAX]) {
    const T *bias = p->t.bias, *out = p->t.w;
    const char *w = p->first;
    const ptrdiff_t line = PW_CACHE_LINE, column = (1 + p->t.C) * (ptrdiff_t)sizeof(T);
    const ptrdiff_t block = (PAIR_U * column + line - 1) / line * line,
                    single = (column + line - 1) / line * line;
    PW_UNROLL
    for (int k = 0; k < K; k++)
        PW_UNROLL
        for (int j = 0; j < NV; j++) s[k][j] = V_SET1(bias[k]);
    int64_t left = p->hidden;
    if (fetch && left >= PAIR_U) {
        FN(pair_add)(p, x, x_c, (const T *)w, out, PAIR_U, K, NV, m, 1, s);
        left -= PAIR_U, w += block, out += PAIR_U * K;
    }
    for (; left >= PAIR_U; left -= PAIR_U, w += block, out += PAIR_U * K)
        FN(pair_add)(p, x, x_c, (const T *)w, out, PAIR_U, K, NV, m, 0, s);
    for (; left > 0; left--, w += single, out += K)
        FN(pair_add)(p, x, x_c, (const T *)w, out, 1, K, NV, m, 0, s);
}

PW_INLINE void FN(pair_planar_tile)(const pw_pair *p, ptrdiff_t at, int K, int NV, int m, int fetch) {
    V s[PW_MAX_KR][PLANAR_NV_MAX];
    FN(pair_sums)(p, p->t.x + at, p->t.x_c, K, NV, m, fetch, s);
    FN(planar_finish)(&p->t, at, K, NV, m, s);
}

PW_INLINE void FN(pair_planar_run)(const pw_pair *p, int K, int NV) {
    const ptrdiff_t step = VW * sizeof(T);
    ptrdiff_t at = 0;
    int64_t left = p->t.n;
    if (p->t.prefetch)
        for (; left >= NV * VW; left -= NV * VW, at += NV * step)
            FN(pair_planar_tile)(p, at, K, NV, VW, 1);
    else
        for (; left >= NV * VW; left -= NV * VW, at += NV * step)
            FN(pair_planar_tile)(p, at, K, NV, VW, 0);
    if (NV > 1)
        for (; left >= VW; left -= VW, at += step) FN(pair_planar_tile)(p, at, K, 1, VW, 0);
    if (left) FN(pair_planar_tile)(p, at, K, 1, (int)left, 0);
}

#if defined(GROUP)
/* n channels of VW pixels, or of the first `rows` of them, to vectors of pixels `to_step` apart. */
PW_INLINE void FN(pair_load_rows)(const char *x, ptrdiff_t x_p, int64_t n, int rows, char *to,
                                  ptrdiff_t to_step) {
    for (int64_t c = 0; c < n; c += GROUP, x += GROUP * sizeof(T)) {
        V v[GROUP];
        const int some = n - c < GROUP ? (int)(n - c) : GROUP;
        if (some == GROUP)
            FN(group_load)(x, x_p, rows, GROUP, v);
        else
            FN(group_load)(x, x_p, rows, some, v);
        G_TRANSPOSE(v);
        for (int i = 0; i < some; i++, to += to_step) V_STORE(to, v[i]);
    }
}

/* Interleaved: NV vectors of pixels from p on, transposed on their way in and out. */
PW_INLINE void FN(pair_rows_tile)(const pw_pair *p, int64_t pixel, int K, int NV, int rows) {
    const pw_tile *t = &p->t;
    T x[PW_PAIR_CHANNELS][PAIR_NV(1) * VW];
    const ptrdiff_t x_c = sizeof x[0], step = VW * (ptrdiff_t)sizeof(T);
    V s[PW_MAX_KR][PLANAR_NV_MAX];
    const char *from = t->x + pixel * t->x_p;
    if (t->prefetch)
        for (ptrdiff_t i = 0; i < NV * VW * t->x_p; i += PW_CACHE_LINE)
            __builtin_prefetch(from + t->prefetch + i, 0, 3);
    PW_UNROLL
    for (int j = 0; j < NV; j++)
        FN(pair_load_rows)(from + j * VW * t->x_p, t->x_p, t->C, rows, (char *)x + j * step, x_c);
    FN(pair_sums)(p, (const char *)x, x_c, K, NV, VW, 0, s);
    PW_UNROLL
    for (int j = 0; j < NV; j++)
        PW_UNROLL
        for (int k = 0; k < K; k += GROUP) {
            const int n = K - k < GROUP ? K - k : GROUP;
            const ptrdiff_t at = k * (ptrdiff_t)sizeof(T);
            V v[GROUP];
            PW_UNROLL
            for (int i = 0; i < GROUP; i++) v[i] = k + i < K ? s[k + i][j] : V_SET1(0);
            FN(group_finish)(t, (pixel + j * VW) * t->y_step + at, t->y_step,
                             (pixel + j * VW) * t->r_step + at, t->r_step, rows, n, NULL, v);
        }
}

#if defined(D_SPLIT)
/* The same without gaps between pixels, of C and K <= PW_MAX_DENSE channels. */
PW_INLINE void FN(pair_dense_tile)(const pw_pair *p, int64_t pixel, int C, int K, int NV,
                                   const FN(lanes) *in, const FN(lanes) *out) {
    const pw_tile *t = &p->t;
    T x[PW_MAX_DENSE][PAIR_NV(1) * VW];
    const ptrdiff_t step = VW * (ptrdiff_t)sizeof(T);
    V s[PW_MAX_KR][PLANAR_NV_MAX], v[PW_MAX_DENSE];
    PW_UNROLL
    for (int j = 0; j < NV; j++) {
        const char *from = t->x + (pixel * C + j * C * VW) * (ptrdiff_t)sizeof(T);
        if (t->prefetch)
            PW_UNROLL
            for (int i = 0; i < C; i++) __builtin_prefetch(from + t->prefetch + i * step, 0, 3);
        FN(take_apart)(from, C, in, v);
        PW_UNROLL
        for (int c = 0; c < C; c++) V_STORE((char *)x[c] + j * step, v[c]);
    }
    FN(pair_sums)(p, (const char *)x, sizeof x[0], K, NV, VW, 0, s);
    PW_UNROLL
    for (int j = 0; j < NV; j++) {
        const ptrdiff_t at = (pixel * K + j * K * VW) * (ptrdiff_t)sizeof(T);
        if (t->r) {
            FN(take_apart)(t->r + at, K, out, v);
            PW_UNROLL
            for (int k = 0; k < K; k++) s[k][j] = V_ADD(s[k][j], v[k]);
        }
        PW_UNROLL
        for (int k = 0; k < K; k++) v[k] = s[k][j];
        FN(activate_sums)(v, 1, K, K, t->epilogue);
        FN(put_together)(t->y + at, K, out, v, t->stream);
    }
}

PW_INLINE int64_t FN(pair_dense_run)(const pw_pair *p, int C, int K, int NV) {
    FN(lanes) in, out;
    D_LANES(C, &in);
    D_LANES(K, &out);
    int64_t pixel = 0;
    for (; pixel + NV * VW <= p->t.n; pixel += NV * VW)
        FN(pair_dense_tile)(p, pixel, C, K, NV, &in, &out);
    return pixel;
}
#endif

PW_INLINE void FN(pair_rows_run)(const pw_pair *p, int K, int NV) {
    int64_t pixel = 0;
#if defined(D_SPLIT)
    if (p->dense && K <= PW_MAX_DENSE) {
        switch (p->t.C) {
        case 1: pixel = FN(pair_dense_run)(p, 1, K, NV); break;
        case 2: pixel = FN(pair_dense_run)(p, 2, K, NV); break;
        case 3: pixel = FN(pair_dense_run)(p, 3, K, NV); break;
        case 4: pixel = FN(pair_dense_run)(p, 4, K, NV); break;
        }
    }
#endif
    for (; pixel + NV * VW <= p->t.n; pixel += NV * VW) FN(pair_rows_tile)(p, pixel, K, NV, VW);
    for (int64_t left; (left = p->t.n - pixel) > 0; pixel += VW)
        FN(pair_rows_tile)(p, pixel, K, 1, left < VW ? (int)left : VW);
}

#define PAIR_ROWS(K)                                         \
    static void FN(pair_rows_##K)(const pw_pair *p) {        \
        FN(pair_rows_run)(p, K, PAIR_NV(K));                 \
    }
#else
#define PAIR_ROWS(K)
#endif

#define PAIR(K)                                              \
    static void FN(pair_planar_##K)(const pw_pair *p) {      \
        FN(pair_planar_run)(p, K, PAIR_NV(K));               \
    }                                                        \
    PAIR_ROWS(K)
PAIR(1)
PAIR(2)
PAIR(3)
PAIR(4)
PAIR(5)
PAIR(6)
PAIR(7)
PAIR(8)
#undef PAIR
#undef PAIR_ROWS
