/* Template: fused2 kernels, for two layers at once, the second of which has few output channels.
 * Vectors run over pixels. The K sums of the second layer stay in registers while hidden channels
 * come and go, FUSED2_HIDDEN at a time: C multiply-adds and the activation make one, K more use it
 * up.
 *
 * The first layer's weights are packed as for planar kernels of FUSED2_HIDDEN channels, and of one
 * channel for those left over.
 */

/* Computes U hidden channels with weights w and adds them, times the weights `out`, to the sums s.
 * m: elements in the last vector. */
PW_INLINE void fused2_add(const pw_fused2 *p, const char *x, ptrdiff_t x_c, const T *w,
                          const T *out, int U, int K, int NR, int m, int fetch,
                          V (*s)[PLANAR_NR_MAX]) {
    const ptrdiff_t step = VW * sizeof(T), ahead = p->t.prefetch;
    V h[FUSED2_HIDDEN][PLANAR_NR_MAX];
    PW_UNROLL
    for (int u = 0; u < U; u++)
        PW_UNROLL
        for (int j = 0; j < NR; j++) h[u][j] = v_set1(w[u]);
    w += U;
    for (int64_t c = p->t.C; c > 0; c--, x += x_c, w += U) {
        V v[PLANAR_NR_MAX];
        PW_UNROLL
        for (int j = 0; j < NR; j++) {
            v[j] = m < VW && j == NR - 1 ? v_loadn(x + j * step, m) : v_load(x + j * step);
            if (fetch && j * step % PW_CACHE_LINE == 0) __builtin_prefetch(x + ahead + j * step, 0, 2);
        }
        PW_UNROLL
        for (int u = 0; u < U; u++) {
            const V wu = v_set1(w[u]);
            PW_UNROLL
            for (int j = 0; j < NR; j++) h[u][j] = v_fma(wu, v[j], h[u][j]);
        }
    }
    activate_sums(&h[0][0], U, NR, PLANAR_NR_MAX, p->first_epilogue);
    PW_UNROLL
    for (int u = 0; u < U; u++)
        PW_UNROLL
        for (int k = 0; k < K; k++) {
            const V wk = v_set1(out[u * K + k]);
            PW_UNROLL
            for (int j = 0; j < NR; j++) s[k][j] = v_fma(wk, h[u][j], s[k][j]);
        }
}

PW_INLINE void fused2_sums(const pw_fused2 *p, const char *x, ptrdiff_t x_c, int K, int NR, int m,
                             int fetch, V (*s)[PLANAR_NR_MAX]) {
    const T *bias = p->t.bias, *out = p->t.w;
    const char *w = p->first;
    const ptrdiff_t line = PW_CACHE_LINE, column = (1 + p->t.C) * (ptrdiff_t)sizeof(T);
    const ptrdiff_t block = (FUSED2_HIDDEN * column + line - 1) / line * line,
                    single = (column + line - 1) / line * line;
    PW_UNROLL
    for (int k = 0; k < K; k++)
        PW_UNROLL
        for (int j = 0; j < NR; j++) s[k][j] = v_set1(bias[k]);
    int64_t left = p->hidden;
    if (fetch && left >= FUSED2_HIDDEN) {
        fused2_add(p, x, x_c, (const T *)w, out, FUSED2_HIDDEN, K, NR, m, 1, s);
        left -= FUSED2_HIDDEN, w += block, out += FUSED2_HIDDEN * K;
    }
    for (; left >= FUSED2_HIDDEN; left -= FUSED2_HIDDEN, w += block, out += FUSED2_HIDDEN * K)
        fused2_add(p, x, x_c, (const T *)w, out, FUSED2_HIDDEN, K, NR, m, 0, s);
    for (; left > 0; left--, w += single, out += K)
        fused2_add(p, x, x_c, (const T *)w, out, 1, K, NR, m, 0, s);
}

PW_INLINE void fused2_planar_tile(const pw_fused2 *p, ptrdiff_t at, int K, int NR, int m, int fetch) {
    V s[PW_MAX_MR][PLANAR_NR_MAX];
    fused2_sums(p, p->t.x + at, p->t.x_c, K, NR, m, fetch, s);
    planar_finish(&p->t, at, K, NR, m, s);
}

PW_INLINE void fused2_planar_run(const pw_fused2 *p, int K, int NR) {
    const ptrdiff_t step = VW * sizeof(T);
    ptrdiff_t at = 0;
    int64_t left = p->t.n;
    if (p->t.prefetch)
        for (; left >= NR * VW; left -= NR * VW, at += NR * step)
            fused2_planar_tile(p, at, K, NR, VW, 1);
    else
        for (; left >= NR * VW; left -= NR * VW, at += NR * step)
            fused2_planar_tile(p, at, K, NR, VW, 0);
    if (NR > 1)
        for (; left >= VW; left -= VW, at += step) fused2_planar_tile(p, at, K, 1, VW, 0);
    if (left) fused2_planar_tile(p, at, K, 1, (int)left, 0);
}

#if defined(TRANSPOSE)
/* Loads n channels of VW pixels, or of the first `rows`, into vectors to_step bytes apart. */
PW_INLINE void fused2_load(const char *x, ptrdiff_t x_p, int64_t n, int rows, char *to,
                                  ptrdiff_t to_step) {
    for (int64_t c = 0; c < n; c += TRANSPOSE, x += TRANSPOSE * sizeof(T)) {
        V v[TRANSPOSE];
        const int some = n - c < TRANSPOSE ? (int)(n - c) : TRANSPOSE;
        if (some == TRANSPOSE)
            rows_load(x, x_p, rows, TRANSPOSE, v);
        else
            rows_load(x, x_p, rows, some, v);
        transpose(v);
        for (int i = 0; i < some; i++, to += to_step) v_store(to, v[i]);
    }
}

/* Interleaved: NR vectors of pixels from `pixel` on, transposed on their way in and out. */
PW_INLINE void fused2_interleaved_tile(const pw_fused2 *p, int64_t pixel, int K, int NR, int rows) {
    const pw_ukernel_args *t = &p->t;
    T x[PW_FUSED2_CHANNELS][FUSED2_NR_MAX * VW];
    const ptrdiff_t x_c = sizeof x[0], step = VW * (ptrdiff_t)sizeof(T);
    V s[PW_MAX_MR][PLANAR_NR_MAX];
    const char *from = t->x + pixel * t->x_p;
    if (t->prefetch)
        for (ptrdiff_t i = 0; i < NR * VW * t->x_p; i += PW_CACHE_LINE)
            __builtin_prefetch(from + t->prefetch + i, 0, 3);
    PW_UNROLL
    for (int j = 0; j < NR; j++)
        fused2_load(from + j * VW * t->x_p, t->x_p, t->C, rows, (char *)x + j * step, x_c);
    fused2_sums(p, (const char *)x, x_c, K, NR, VW, 0, s);
    PW_UNROLL
    for (int j = 0; j < NR; j++)
        PW_UNROLL
        for (int k = 0; k < K; k += TRANSPOSE) {
            const int n = K - k < TRANSPOSE ? K - k : TRANSPOSE;
            const ptrdiff_t at = k * (ptrdiff_t)sizeof(T);
            V v[TRANSPOSE];
            PW_UNROLL
            for (int i = 0; i < TRANSPOSE; i++) v[i] = k + i < K ? s[k + i][j] : v_set1(0);
            rows_store(t, (pixel + j * VW) * t->y_step + at, t->y_step,
                             (pixel + j * VW) * t->r_step + at, t->r_step, rows, n, NULL, v);
        }
}

#if defined(HAS_LANES)
/* The same for pixels without gaps, of C <= PW_MAX_FEW channels in and K <= PW_MAX_FEW out. */
PW_INLINE void fused2_few_channels_tile(const pw_fused2 *p, int64_t pixel, int C, int K, int NR,
                                   const lanes *in, const lanes *out) {
    const pw_ukernel_args *t = &p->t;
    T x[PW_MAX_FEW][FUSED2_NR_MAX * VW];
    const ptrdiff_t step = VW * (ptrdiff_t)sizeof(T);
    V s[PW_MAX_MR][PLANAR_NR_MAX], v[PW_MAX_FEW];
    PW_UNROLL
    for (int j = 0; j < NR; j++) {
        const char *from = t->x + (pixel * C + j * C * VW) * (ptrdiff_t)sizeof(T);
        if (t->prefetch)
            PW_UNROLL
            for (int i = 0; i < C; i++) __builtin_prefetch(from + t->prefetch + i * step, 0, 3);
        take_apart(from, C, in, v);
        PW_UNROLL
        for (int c = 0; c < C; c++) v_store((char *)x[c] + j * step, v[c]);
    }
    fused2_sums(p, (const char *)x, sizeof x[0], K, NR, VW, 0, s);
    PW_UNROLL
    for (int j = 0; j < NR; j++) {
        const ptrdiff_t at = (pixel * K + j * K * VW) * (ptrdiff_t)sizeof(T);
        if (t->r) {
            take_apart(t->r + at, K, out, v);
            PW_UNROLL
            for (int k = 0; k < K; k++) s[k][j] = v_add(s[k][j], v[k]);
        }
        PW_UNROLL
        for (int k = 0; k < K; k++) v[k] = s[k][j];
        activate_sums(v, 1, K, K, t->epilogue);
        put_together(t->y + at, K, out, v, t->stream);
    }
}

PW_INLINE int64_t fused2_few_channels_run(const pw_fused2 *p, int C, int K, int NR) {
    lanes in, out;
    prepare_lanes(C, &in);
    prepare_lanes(K, &out);
    int64_t pixel = 0;
    for (; pixel + NR * VW <= p->t.n; pixel += NR * VW)
        fused2_few_channels_tile(p, pixel, C, K, NR, &in, &out);
    return pixel;
}
#endif

PW_INLINE void fused2_interleaved_run(const pw_fused2 *p, int K, int NR) {
    int64_t pixel = 0;
#if defined(HAS_LANES)
    if (p->few_channels && K <= PW_MAX_FEW) {
        switch (p->t.C) {
        case 1: pixel = fused2_few_channels_run(p, 1, K, NR); break;
        case 2: pixel = fused2_few_channels_run(p, 2, K, NR); break;
        case 3: pixel = fused2_few_channels_run(p, 3, K, NR); break;
        case 4: pixel = fused2_few_channels_run(p, 4, K, NR); break;
        }
    }
#endif
    for (; pixel + NR * VW <= p->t.n; pixel += NR * VW) fused2_interleaved_tile(p, pixel, K, NR, VW);
    for (int64_t left; (left = p->t.n - pixel) > 0; pixel += VW)
        fused2_interleaved_tile(p, pixel, K, 1, left < VW ? (int)left : VW);
}

#define DEFINE(K, NR)                                              \
    static void FN(fused2_interleaved_##K)(const pw_fused2 *p) { \
        fused2_interleaved_run(p, K, NR);                         \
    }
FUSED2_TILES(DEFINE)
#undef DEFINE
#endif

#define DEFINE(K, NR)                                         \
    static void FN(fused2_planar_##K)(const pw_fused2 *p) { \
        fused2_planar_run(p, K, NR);                         \
    }
FUSED2_TILES(DEFINE)
#undef DEFINE
