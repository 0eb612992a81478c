/* Template: interleaved kernels for few output channels, or for what fills no vector.
 *
 * Vectors run over pixels, as in planar kernels; rows of x are transposed in registers on their
 * way in, GROUP channels of VW pixels at a time (groups_tmpl.h), and sums on their way out, unless y is
 * planar. So no lane idles, whatever the number of channels. Input channels must be contiguous.
 */

PW_INLINE void FN(rows_finish)(const pw_tile *t, int64_t p, int KR, int rows, V *s) {
    if (!t->last) {
    PW_UNROLL
        for (int k = 0; k < KR; k++)
            V_STORE(t->acc + p * t->acc_step + k * VW * (ptrdiff_t)sizeof(T), s[k]);
        return;
    }
    if (t->transposed) {
        V v[ROWS_KR_MAX][PLANAR_NV_MAX];
        PW_UNROLL
        for (int k = 0; k < KR; k++) v[k][0] = s[k];
        FN(planar_finish)(t, p * (ptrdiff_t)sizeof(T), KR, 1, rows, v);
        return;
    }
    PW_UNROLL
    for (int k = 0; k < KR; k += GROUP) {
        const int n = KR - k < GROUP ? KR - k : GROUP;
        const ptrdiff_t at = k * (ptrdiff_t)sizeof(T);
        V v[GROUP];
        PW_UNROLL
        for (int j = 0; j < GROUP; j++) v[j] = k + j < KR ? s[k + j] : V_SET1(0);
        FN(group_finish)(t, p * t->y_step + at, t->y_step, p * t->r_step + at, t->r_step, rows, n,
                         t->slopes ? (const T *)t->slopes + k : NULL, v);
    }
}

/* VW pixels from p on, or only the first `rows` of them. */
PW_INLINE void FN(rows_tile)(const pw_tile *t, int64_t p, int KR, int rows, int fetch) {
    const ptrdiff_t group = GROUP * sizeof(T), x_p = t->x_p;
    V s[ROWS_KR_MAX], x[GROUP];
    PW_UNROLL
    for (int k = 0; k < KR; k++)
        s[k] = t->first ? V_SET1(((const T *)t->bias)[k])
                        : V_LOAD(t->acc + p * t->acc_step + k * VW * (ptrdiff_t)sizeof(T));
    const T *w = t->w;
    const char *from = t->x + p * x_p, *ahead = from + t->prefetch;
    /* Lines of y too: stores that wait for theirs would hold up the next tile. */
    if (fetch && !t->transposed)
        for (ptrdiff_t i = 0; i < VW * t->y_step; i += PW_CACHE_LINE)
            __builtin_prefetch(t->y + p * t->y_step + i, 1, 3);
    const int far = t->prefetch >= PW_FAR;
    const T *scale = t->scale, *offset = t->offset;
    int64_t left = t->C;
    for (; left >= GROUP; left -= GROUP, from += group, w += GROUP * KR) {
        FN(group_load)(from, x_p, rows, GROUP, x);
        G_TRANSPOSE(x);
        if (scale) {
            PW_UNROLL
            for (int i = 0; i < GROUP; i++)
                x[i] = V_FMA(V_SET1(scale[i]), x[i], V_SET1(offset[i]));
            scale += GROUP, offset += GROUP;
        }
        PW_UNROLL
        for (int i = 0; i < GROUP; i++) {
            PW_UNROLL
            for (int k = 0; k < KR; k++) s[k] = V_FMA(V_SET1(w[i * KR + k]), x[i], s[k]);
            if (fetch && i * VW * sizeof(T) % PW_CACHE_LINE == 0) {
                if (far)
                    __builtin_prefetch(ahead, 0, 2);
                else
                    __builtin_prefetch(ahead, 0, 3);
            }
            ahead += VW * sizeof(T);
        }
    }
    if (left) {
        /* Fewer channels than a group are left: they end a whole one, where there are as many. */
        int i = 0;
        if (t->C >= GROUP) {
            i = GROUP - (int)left;
            from -= i * (ptrdiff_t)sizeof(T);
            w -= i * KR;
            if (scale) scale -= i, offset -= i;
        }
        /* As many may be read where dense rows follow. */
        const int dense = x_p == t->C * (ptrdiff_t)sizeof(T) && p + VW < t->n;
        const int whole = t->C >= GROUP || (dense && 2 * t->C >= GROUP);
        FN(group_load)(from, x_p, rows, whole ? GROUP : (int)left, x);
        G_TRANSPOSE(x);
        for (const int end = i + (int)left; i < end; i++) {
            V xi = i == 0 ? x[0] : i == 1 ? x[1] : i == 2 ? x[2] : x[3];
            if (scale) xi = V_FMA(V_SET1(scale[i]), xi, V_SET1(offset[i]));
            PW_UNROLL
            for (int k = 0; k < KR; k++) s[k] = V_FMA(V_SET1(w[i * KR + k]), xi, s[k]);
        }
    }
    FN(rows_finish)(t, p, KR, rows, s);
}

PW_INLINE void FN(rows_run)(const pw_tile *t, int KR) {
    int64_t p = 0;
    for (; p + VW <= t->n; p += VW) FN(rows_tile)(t, p, KR, VW, t->prefetch != 0);
    if (p < t->n) FN(rows_tile)(t, p, KR, (int)(t->n - p), 0);
}

#define ROWS_KERNEL(KR)                                      \
    static void FN(rows_##KR)(const pw_tile *t) {            \
        FN(rows_run)(t, KR);                                 \
    }
ROWS_KERNEL(1)
ROWS_KERNEL(2)
ROWS_KERNEL(3)
ROWS_KERNEL(4)
ROWS_KERNEL(5)
ROWS_KERNEL(6)
ROWS_KERNEL(7)
ROWS_KERNEL(8)
#if ROWS_KR_MAX > 8
ROWS_KERNEL(9)
ROWS_KERNEL(10)
ROWS_KERNEL(11)
ROWS_KERNEL(12)
ROWS_KERNEL(13)
ROWS_KERNEL(14)
ROWS_KERNEL(15)
ROWS_KERNEL(16)
ROWS_KERNEL(17)
ROWS_KERNEL(18)
ROWS_KERNEL(19)
ROWS_KERNEL(20)
ROWS_KERNEL(21)
ROWS_KERNEL(22)
ROWS_KERNEL(23)
ROWS_KERNEL(24)
#endif
#undef ROWS_KERNEL
