/* Template: interleaved kernels. Vectors run over output channels; a tile is MR pixels x NR
 * vectors, with its sums in registers. An input channel takes NR loads of weights, MR broadcasts of
 * x, which may have any strides, and MR * NR multiply-adds. */

#define INTERLEAVED_MR_MAX 12

#if defined(TRANSPOSE)
/* Stores sums s[MR][NR] to planes of y, transposing TRANSPOSE pixels of VW channels at a time. */
PW_NOINLINE void FN(transposed_finish)(const pw_ukernel_args *t, int64_t p, int MR, int NR,
                                       const V *s) {
    for (int j = 0; j < NR; j++) {
        const int rows = j < NR - 1 ? VW : t->channels - j * VW;
        for (int i = 0; i < MR; i += TRANSPOSE) {
            const ptrdiff_t at = (ptrdiff_t)(p + i) * (ptrdiff_t)sizeof(T);
            V v[TRANSPOSE];
    PW_UNROLL
            for (int q = 0; q < TRANSPOSE; q++) v[q] = s[(i + q < MR ? i + q : i) * NR + j];
            rows_store(t, at + j * VW * t->y_step, t->y_step, at + j * VW * t->r_step, t->r_step,
                             rows, MR - i < TRANSPOSE ? MR - i : TRANSPOSE, NULL, v);
        }
    }
}
#endif

/* Adds the residual to MR rows of sums, activates and stores them, or puts unfinished sums back to
 * acc. m: channels in the last vector. */
PW_INLINE void interleaved_finish(const pw_ukernel_args *t, int64_t p, int MR, int NR,
                                      V (*s)[PW_MAX_NR]) {
    const ptrdiff_t step = VW * sizeof(T);
    const int m = t->channels - (NR - 1) * VW;
    if (!t->last) {
        PW_UNROLL
        for (int i = 0; i < MR; i++)
            PW_UNROLL
            for (int j = 0; j < NR; j++)
                v_store(t->acc + (p + i) * t->acc_step + j * step, s[i][j]);
        return;
    }
#if defined(TRANSPOSE)
    if (t->writes_planes) {
        V v[INTERLEAVED_MR_MAX * PW_MAX_NR];
        PW_UNROLL
        for (int i = 0; i < MR; i++)
            PW_UNROLL
            for (int j = 0; j < NR; j++) v[i * NR + j] = s[i][j];
        FN(transposed_finish)(t, p, MR, NR, v);
        return;
    }
#endif
    if (t->r) {
        PW_UNROLL
        for (int i = 0; i < MR; i++) {
            const char *r = t->r + (p + i) * t->r_step;
            PW_UNROLL
            for (int j = 0; j < NR - 1; j++) s[i][j] = v_add(s[i][j], v_load(r + j * step));
            r += (NR - 1) * step;
            s[i][NR - 1] = v_add(s[i][NR - 1], m < VW ? v_loadn(r, m) : v_load(r));
        }
    }
    activate_sums(&s[0][0], MR, NR, PW_MAX_NR, t->epilogue);
    if (t->slopes)
        PW_UNROLL
        for (int j = 0; j < NR; j++) {
            const V slope = v_load((const char *)t->slopes + j * step);
            PW_UNROLL
            for (int i = 0; i < MR; i++) s[i][j] = v_sloped(slope, s[i][j]);
        }
    PW_UNROLL
    for (int i = 0; i < MR; i++) {
        char *y = t->y + (p + i) * t->y_step;
        PW_UNROLL
        for (int j = 0; j < NR - 1; j++) v_store(y + j * step, s[i][j]);
        y += (NR - 1) * step;
        if (m < VW)
            v_storen(y, m, s[i][NR - 1]);
        else
            v_store(y, s[i][NR - 1]);
    }
}

/* Computes MR pixels from p on. `even`: x is one run of pixels, three of which then share an
 * address register; twelve registers would not leave enough. On Zen 4, that took 16 channels from
 * 92 to 112 GFLOP/s, and 32 from 104 to 114. */
PW_INLINE void interleaved_tile(const pw_ukernel_args *t, int64_t p, int MR, int NR, int even, int fetch) {
    const ptrdiff_t step = VW * sizeof(T);
    V s[INTERLEAVED_MR_MAX][PW_MAX_NR];
    PW_UNROLL
    for (int i = 0; i < MR; i++)
        PW_UNROLL
        for (int j = 0; j < NR; j++)
            s[i][j] = v_load(t->first ? (const char *)t->bias + j * step
                                      : t->acc + (p + i) * t->acc_step + j * step);
    const ptrdiff_t x_c = t->x_c, x_p = t->x_p;
    const char *row[INTERLEAVED_MR_MAX];
    if (even)
        PW_UNROLL
        for (int i = 0; i < MR; i += 3) row[i] = t->x + (p + i) * x_p;
    else
        find_pixels(t, p, MR, row);
    const char *w = t->w;
    ptrdiff_t at = 0;
    /* If x is fetched, its rows are contiguous, so each c uses up MR * x_c bytes of it. */
    const char *ahead = t->x + p * x_p + t->prefetch;
    const int far = t->prefetch >= PW_FAR;
    for (int64_t c = t->C; c > 0; c--, at += x_c, w += NR * step) {
        V v[PW_MAX_NR];
        if (fetch) {
            if (far)
                __builtin_prefetch(ahead, 0, 2);
            else
                __builtin_prefetch(ahead, 0, 3);
        }
        ahead += MR * x_c;
        PW_UNROLL
        for (int j = 0; j < NR; j++) v[j] = v_load(w + j * step);
        PW_UNROLL
        for (int i = 0; i < MR; i++) {
            const V x = v_broadcast(even ? row[i - i % 3] + i % 3 * x_p : row[i] + at);
            PW_UNROLL
            for (int j = 0; j < NR; j++) s[i][j] = v_fma(v[j], x, s[i][j]);
        }
        if (even)
            PW_UNROLL
            for (int i = 0; i < MR; i += 3) row[i] += x_c;
    }
    interleaved_finish(t, p, MR, NR, s);
}

/* Computes the last pixels, which are fewer than a tile's. */
PW_INLINE void interleaved_rest(const pw_ukernel_args *t, int64_t p, int MR, int NR) {
    if (t->row_pixels)
        interleaved_tile(t, p, MR, NR, 0, 0);
    else
        interleaved_tile(t, p, MR, NR, 1, 0);
}

PW_INLINE void interleaved_run(const pw_ukernel_args *t, int MR, int NR) {
    int64_t p = 0;
    if (t->row_pixels)
        for (; p + MR <= t->n; p += MR) interleaved_tile(t, p, MR, NR, 0, 0);
    else if (t->prefetch)
        for (; p + MR <= t->n; p += MR) interleaved_tile(t, p, MR, NR, 1, 1);
    else
        for (; p + MR <= t->n; p += MR) interleaved_tile(t, p, MR, NR, 1, 0);
    switch (t->n - p) {
#define REST(N) \
    case N: if (N < MR) interleaved_rest(t, p, N, NR); break;
    REST(1) REST(2) REST(3) REST(4) REST(5) REST(6) REST(7) REST(8) REST(9) REST(10) REST(11)
#undef REST
    }
}

#define DEFINE(MR, NR)                                           \
    static void FN(interleaved_##NR)(const pw_ukernel_args *t) { \
        interleaved_run(t, MR, NR);                              \
    }
INTERLEAVED_TILES(DEFINE)
#undef DEFINE
