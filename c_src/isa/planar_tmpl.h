/* Template: planar kernels. Vectors run over pixels; a tile is MR channels x NR vectors, with its
 * sums in registers and its weights broadcast. An input channel takes NR loads of x, MR broadcasts
 * and MR * NR multiply-adds. */

/* Replaces sums v[k * NR + j] of pixels that miss a channel by `fill`. */
PW_NOINLINE void FN(fill_gaps)(const pw_ukernel_args *t, ptrdiff_t at, int MR, int NR, int m,
                               V *v) {
    const V fill = v_set1((T)t->fill);
    for (int j = 0; j < NR; j++) {
        const char *from = t->gaps + at + j * VW * (ptrdiff_t)sizeof(T);
        const V gap = m < VW && j == NR - 1 ? v_loadn(from, m) : v_load(from);
        for (int k = 0; k < MR; k++) v[k * NR + j] = v_where_positive(gap, fill, v[k * NR + j]);
    }
}

/* Adds the residual to the sums, activates them and stores them to y, or puts unfinished sums back
 * to acc. m: elements in the last vector. */
PW_INLINE void planar_finish(const pw_ukernel_args *t, ptrdiff_t at, int MR, int NR, int m,
                             V (*s)[PLANAR_NR_MAX]) {
    const ptrdiff_t step = VW * sizeof(T);
    if (!t->last) {
    PW_UNROLL
        for (int k = 0; k < MR; k++)
            PW_UNROLL
            for (int j = 0; j < NR; j++) v_store(t->acc + k * t->acc_step + at + j * step, s[k][j]);
        return;
    }
    if (t->r) {
        const char *r = t->r + at;
        if (t->r_ahead) {
            const char *ahead = r + t->r_ahead;
            PW_UNROLL
            for (int k = 0; k < MR; k++, ahead += t->r_step)
                PW_UNROLL
                for (int j = 0; j < NR; j++)
                    if (j * step % PW_CACHE_LINE == 0) __builtin_prefetch(ahead + j * step, 0, 2);
        }
        PW_UNROLL
        for (int k = 0; k < MR; k++, r += t->r_step)
            PW_UNROLL
            for (int j = 0; j < NR; j++)
                s[k][j] = v_add(s[k][j], m < VW && j == NR - 1 ? v_loadn(r + j * step, m)
                                                               : v_load(r + j * step));
    }
    activate_sums(&s[0][0], MR, NR, PLANAR_NR_MAX, t->epilogue);
    if (t->slopes)
        PW_UNROLL
        for (int k = 0; k < MR; k++) {
            const V slope = v_set1(((const T *)t->slopes)[k]);
            PW_UNROLL
            for (int j = 0; j < NR; j++) s[k][j] = v_sloped(slope, s[k][j]);
        }
    if (t->gaps) {
        /* Copies, as for activations: so the sums can live in registers before. */
        V v[PW_MAX_MR * PLANAR_NR_MAX];
        PW_UNROLL
        for (int k = 0; k < MR; k++)
            PW_UNROLL
            for (int j = 0; j < NR; j++) v[k * NR + j] = s[k][j];
        FN(fill_gaps)(t, at, MR, NR, m, v);
        PW_UNROLL
        for (int k = 0; k < MR; k++)
            PW_UNROLL
            for (int j = 0; j < NR; j++) s[k][j] = v[k * NR + j];
    }
    char *y = t->y + at;
    if (t->stream && m == VW) {
        PW_UNROLL
        for (int k = 0; k < MR; k++, y += t->y_step)
            PW_UNROLL
            for (int j = 0; j < NR; j++) v_stream(y + j * step, s[k][j]);
        return;
    }
    PW_UNROLL
    for (int k = 0; k < MR; k++, y += t->y_step) {
        PW_UNROLL
        for (int j = 0; j < NR - 1; j++) v_store(y + j * step, s[k][j]);
        if (m < VW)
            v_storen(y + (NR - 1) * step, m, s[k][NR - 1]);
        else
            v_store(y + (NR - 1) * step, s[k][NR - 1]);
    }
}

/* How a kernel reads x: in the dtype of the sums, as integers that it converts, or with its pixels
 * in reverse, as in a flipped image. */
typedef enum { X_SAME, X_U8, X_U16, X_I16, X_REVERSED } x_kind;

/* Bytes from pixel to pixel. */
PW_INLINE ptrdiff_t x_size(x_kind kind) {
    const ptrdiff_t size = sizeof(T);
    return kind == X_SAME ? size : kind == X_REVERSED ? -size : kind == X_U8 ? 1 : 2;
}

PW_INLINE V x_load(x_kind kind, const char *p) {
    switch (kind) {
#if defined(CONVERTS_INTEGERS)
    case X_U8: return v_load_u8(p);
    case X_U16: return v_load_u16(p);
    case X_I16: return v_load_i16(p);
#endif
#if defined(READS_REVERSED)
    case X_REVERSED: return v_load_reversed(p);
#endif
    default: return v_load(p);
    }
}

PW_INLINE V x_loadn(x_kind kind, const char *p, int n) {
    switch (kind) {
#if defined(CONVERTS_INTEGERS)
    case X_U8: return v_loadn_u8(p, n);
    case X_U16: return v_loadn_u16(p, n);
    case X_I16: return v_loadn_i16(p, n);
#endif
#if defined(READS_REVERSED)
    case X_REVERSED: return v_loadn_reversed(p, n);
#endif
    default: return v_loadn(p, n);
    }
}

/* Input channels in a turn of the innermost loop. */
#if !defined(PLANAR_CHANNELS)
#define PLANAR_CHANNELS 1
#endif

/* The multiply-add of the sums; bf16 kernels define their own. */
#if !defined(PLANAR_FMA)
#define PLANAR_FMA(w, x, sum) v_fma(w, x, sum)
#endif

/* Adds the products of one input channel, at x, to the sums, and fetches what comes next. by, plus:
 * its scale and offset; NULL: none. m: elements in the last vector. */
PW_INLINE void planar_channel(const char *x, const T *w, const T *by, const T *plus, int MR, int NR,
                              int m, pw_ahead *ahead, x_kind kind, V (*s)[PLANAR_NR_MAX]) {
    const ptrdiff_t step = VW * x_size(kind);
    V v[PLANAR_NR_MAX];
    PW_UNROLL
    for (int j = 0; j < NR; j++) {
        const char *from = x + j * step;
        v[j] = m < VW && j == NR - 1 ? x_loadn(kind, from, m) : x_load(kind, from);
        /* Into level 2: on Zen 4, three times as fast as into level 1, which can have few
         * misses under way. */
        if (ahead && j * step % PW_CACHE_LINE == 0) __builtin_prefetch(ahead->at + j * step, 0, 2);
    }
    if (ahead) {
        ahead->at += NR * step;
        if (--ahead->left == 0) ahead->at += ahead->jump, ahead->left = ahead->run;
    }
    if (by)
        PW_UNROLL
        for (int j = 0; j < NR; j++) v[j] = v_fma(v_set1(*by), v[j], v_set1(*plus));
    PW_UNROLL
    for (int k = 0; k < MR; k++) {
        const V wk = v_set1(w[k]);
        PW_UNROLL
        for (int j = 0; j < NR; j++) s[k][j] = PLANAR_FMA(wk, v[j], s[k][j]);
    }
}

/* Computes the tile at byte `at` of the rows of sums. m: elements in the last vector. */
PW_INLINE void planar_tile(const pw_ukernel_args *t, ptrdiff_t at, int MR, int NR, int m,
                           pw_ahead *ahead, x_kind kind) {
    const ptrdiff_t step = VW * sizeof(T);
    V s[PW_MAX_MR][PLANAR_NR_MAX];
    PW_UNROLL
    for (int k = 0; k < MR; k++)
        PW_UNROLL
        for (int j = 0; j < NR; j++)
            s[k][j] = t->first ? v_set1(((const T *)t->bias)[k])
                               : v_load(t->acc + k * t->acc_step + at + j * step);
    const T *w = t->w, *scale = t->scale, *offset = t->offset;
    const char *x = t->x + at / (ptrdiff_t)sizeof(T) * x_size(kind);
    const ptrdiff_t x_c = t->x_c;
    int64_t c = t->C;
    if (!scale)
        for (; c >= PLANAR_CHANNELS; c -= PLANAR_CHANNELS)
            PW_UNROLL
            for (int i = 0; i < PLANAR_CHANNELS; i++, x += x_c, w += MR)
                planar_channel(x, w, NULL, NULL, MR, NR, m, ahead, kind, s);
    for (; c > 0; c--, x += x_c, w += MR) {
        planar_channel(x, w, scale, offset, MR, NR, m, ahead, kind, s);
        if (scale) scale++, offset++;
    }
    planar_finish(t, at, MR, NR, m, s);
}

/* Computes the last `left` pixels, which fill no tile: more than N - 1 vectors of them, and N at
 * most. Only if N < NR can the last vector be a whole one. */
PW_INLINE void planar_rest(const pw_ukernel_args *t, ptrdiff_t at, int MR, int NR, int N,
                           int64_t left, x_kind kind) {
    const int m = (int)(left - (int64_t)(N - 1) * VW);
    if (N < NR && m == VW)
        planar_tile(t, at, MR, N, VW, NULL, kind);
    else if (N <= NR)
        planar_tile(t, at, MR, N, m, NULL, kind);
}

PW_INLINE void planar_run(const pw_ukernel_args *t, int MR, int NR, x_kind kind) {
    const ptrdiff_t step = VW * sizeof(T);
    ptrdiff_t at = 0;
    int64_t left = t->n;
    if (t->ahead) {
        pw_ahead ahead = *t->ahead;
        for (; left >= NR * VW; left -= NR * VW, at += NR * step) {
            planar_tile(t, at, MR, NR, VW, &ahead, kind);
            if (--ahead.tiles == 0) ahead.at += ahead.wrap, ahead.tiles = ahead.run;
        }
        *t->ahead = ahead;
    } else {
        for (; left >= NR * VW; left -= NR * VW, at += NR * step)
            planar_tile(t, at, MR, NR, VW, NULL, kind);
    }
    switch ((left + VW - 1) / VW) {
    case 1: planar_rest(t, at, MR, NR, 1, left, kind); break;
    case 2: planar_rest(t, at, MR, NR, 2, left, kind); break;
    case 3: planar_rest(t, at, MR, NR, 3, left, kind); break;
    case 4: planar_rest(t, at, MR, NR, 4, left, kind); break;
    case 5: planar_rest(t, at, MR, NR, 5, left, kind); break;
    case 6: planar_rest(t, at, MR, NR, 6, left, kind); break;
    }
}

#define DEFINE_AS(NAME, MR, NR, KIND)                       \
    static void FN(planar_##NAME)(const pw_ukernel_args *t) { \
        planar_run(t, MR, NR, KIND);                        \
    }
#define DEFINE(MR, NR) DEFINE_AS(MR, MR, NR, X_SAME)
PLANAR_TILES(DEFINE)
#undef DEFINE
#if defined(CONVERTS_INTEGERS)
#define DEFINE(MR, NR)                \
    DEFINE_AS(MR##_u8, MR, NR, X_U8)   \
    DEFINE_AS(MR##_u16, MR, NR, X_U16) \
    DEFINE_AS(MR##_i16, MR, NR, X_I16)
CONVERTING_TILES(DEFINE)
#undef DEFINE
#endif
#if defined(READS_REVERSED)
#define DEFINE(MR, NR) DEFINE_AS(MR##_reversed, MR, NR, X_REVERSED)
CONVERTING_TILES(DEFINE)
#undef DEFINE
#endif
#undef DEFINE_AS
