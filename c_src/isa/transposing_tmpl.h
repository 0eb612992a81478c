/* Template: transposing kernels: interleaved, for few output channels, or for those that fill no
 * vector.
 *
 * Vectors run over pixels, as in planar kernels. Rows of x are transposed in registers on their way
 * in, TRANSPOSE channels of VW pixels at a time (transpose_tmpl.h), and sums on their way out,
 * unless y is planar. So no lane idles, whatever the number of channels. Input channels must be
 * contiguous.
 */

PW_INLINE void transposing_finish(const pw_ukernel_args *t, int64_t p, int MR, int rows, V *s) {
    if (!t->last) {
    PW_UNROLL
        for (int k = 0; k < MR; k++)
            v_store(t->acc + p * t->acc_step + k * VW * (ptrdiff_t)sizeof(T), s[k]);
        return;
    }
    if (t->writes_planes) {
        V v[TRANSPOSING_MR_MAX][PLANAR_NR_MAX];
        PW_UNROLL
        for (int k = 0; k < MR; k++) v[k][0] = s[k];
        planar_finish(t, p * (ptrdiff_t)sizeof(T), MR, 1, rows, v);
        return;
    }
    PW_UNROLL
    for (int k = 0; k < MR; k += TRANSPOSE) {
        const int n = MR - k < TRANSPOSE ? MR - k : TRANSPOSE;
        const ptrdiff_t at = k * (ptrdiff_t)sizeof(T);
        V v[TRANSPOSE];
        PW_UNROLL
        for (int j = 0; j < TRANSPOSE; j++) v[j] = k + j < MR ? s[k + j] : v_set1(0);
        rows_store(t, p * t->y_step + at, t->y_step, p * t->r_step + at, t->r_step, rows, n,
                         t->slopes ? (const T *)t->slopes + k : NULL, v);
    }
}

/* Computes VW pixels from p on, or only the first `rows` of them. */
PW_INLINE void transposing_tile(const pw_ukernel_args *t, int64_t p, int MR, int rows, int fetch) {
    const ptrdiff_t group = TRANSPOSE * sizeof(T), x_p = t->x_p;
    V s[TRANSPOSING_MR_MAX], x[TRANSPOSE];
    PW_UNROLL
    for (int k = 0; k < MR; k++)
        s[k] = t->first ? v_set1(((const T *)t->bias)[k])
                        : v_load(t->acc + p * t->acc_step + k * VW * (ptrdiff_t)sizeof(T));
    const T *w = t->w;
    const char *from = t->x + p * x_p, *ahead = from + t->prefetch;
    /* Fetches lines of y too: stores that wait for their lines would hold up the next tile. */
    if (fetch && !t->writes_planes)
        for (ptrdiff_t i = 0; i < VW * t->y_step; i += PW_CACHE_LINE)
            __builtin_prefetch(t->y + p * t->y_step + i, 1, 3);
    const int far = t->prefetch >= PW_FAR;
    const T *scale = t->scale, *offset = t->offset;
    int64_t left = t->C;
    for (; left >= TRANSPOSE; left -= TRANSPOSE, from += group, w += TRANSPOSE * MR) {
        rows_load(from, x_p, rows, TRANSPOSE, x);
        transpose(x);
        if (scale) {
            PW_UNROLL
            for (int i = 0; i < TRANSPOSE; i++)
                x[i] = v_fma(v_set1(scale[i]), x[i], v_set1(offset[i]));
            scale += TRANSPOSE, offset += TRANSPOSE;
        }
        PW_UNROLL
        for (int i = 0; i < TRANSPOSE; i++) {
            PW_UNROLL
            for (int k = 0; k < MR; k++) s[k] = v_fma(v_set1(w[i * MR + k]), x[i], s[k]);
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
        /* Fewer channels than a group's are left. The group that is loaded ends with them and
         * starts with channels that are done, if there are so many. */
        int i = 0;
        if (t->C >= TRANSPOSE) {
            i = TRANSPOSE - (int)left;
            from -= i * (ptrdiff_t)sizeof(T);
            w -= i * MR;
            if (scale) scale -= i, offset -= i;
        }
        /* Whole groups may also be read past the end of rows where contiguous rows follow. */
        const int contiguous = x_p == t->C * (ptrdiff_t)sizeof(T) && p + VW < t->n;
        const int whole = t->C >= TRANSPOSE || (contiguous && 2 * t->C >= TRANSPOSE);
        rows_load(from, x_p, rows, whole ? TRANSPOSE : (int)left, x);
        transpose(x);
        for (const int end = i + (int)left; i < end; i++) {
            V xi = i == 0 ? x[0] : i == 1 ? x[1] : i == 2 ? x[2] : x[3];
            if (scale) xi = v_fma(v_set1(scale[i]), xi, v_set1(offset[i]));
            PW_UNROLL
            for (int k = 0; k < MR; k++) s[k] = v_fma(v_set1(w[i * MR + k]), xi, s[k]);
        }
    }
    transposing_finish(t, p, MR, rows, s);
}

PW_INLINE void transposing_run(const pw_ukernel_args *t, int MR) {
    int64_t p = 0;
    for (; p + VW <= t->n; p += VW) transposing_tile(t, p, MR, VW, t->prefetch != 0);
    if (p < t->n) transposing_tile(t, p, MR, (int)(t->n - p), 0);
}

#define DEFINE(MR)                                              \
    static void FN(transposing_##MR)(const pw_ukernel_args *t) { \
        transposing_run(t, MR);                                  \
    }
TRANSPOSING_TILES(DEFINE)
#undef DEFINE
