/* Template: kernels for up to PW_MAX_DENSE channels in and out, as colours have, whose pixels lie
 * one behind the other without gaps. VW pixels at a time are taken apart into channels in registers
 * and put together again: memory is read and written in whole vectors. */

/* Pixels from p on to the vectors v[n] of their channels, and back. */
PW_INLINE void FN(take_apart)(const char *p, int n, const FN(lanes) * lanes, V *v) {
    V loaded[PW_MAX_DENSE];
    PW_UNROLL
    for (int i = 0; i < n; i++) loaded[i] = V_LOAD(p + i * VW * (ptrdiff_t)sizeof(T));
    D_SPLIT(n, lanes, loaded, v);
}

PW_INLINE void FN(put_together)(char *p, int n, const FN(lanes) *lanes, V *v, int stream) {
    V stored[PW_MAX_DENSE];
    D_MERGE(n, lanes, v, stored);
    PW_UNROLL
    for (int i = 0; i < n; i++, p += VW * sizeof(T)) {
        if (stream)
            V_STREAM(p, stored[i]);
        else
            V_STORE(p, stored[i]);
    }
}

PW_INLINE void FN(dense_tile)(const pw_tile *t, const char *x, const char *r, char *y, int C, int K,
                              const FN(lanes) *in, const FN(lanes) *out, int stream) {
    V v[PW_MAX_DENSE], s[PW_MAX_DENSE];
    const T *bias = t->bias, *w = t->w, *scale = t->scale, *offset = t->offset;
    FN(take_apart)(x, C, in, v);
    if (scale)
        PW_UNROLL
        for (int c = 0; c < C; c++) v[c] = V_FMA(V_SET1(scale[c]), v[c], V_SET1(offset[c]));
    PW_UNROLL
    for (int k = 0; k < K; k++) {
        s[k] = V_SET1(bias[k]);
        PW_UNROLL
        for (int c = 0; c < C; c++) s[k] = V_FMA(V_SET1(w[c * K + k]), v[c], s[k]);
    }
    if (r) {
        FN(take_apart)(r, K, out, v);
        PW_UNROLL
        for (int k = 0; k < K; k++) s[k] = V_ADD(s[k], v[k]);
    }
    FN(activate_sums)(s, 1, K, K, t->epilogue);
    if (t->slopes)
        PW_UNROLL
        for (int k = 0; k < K; k++) s[k] = FN(sloped)(V_SET1(((const T *)t->slopes)[k]), s[k]);
    FN(put_together)(y, K, out, s, stream);
}

PW_INLINE void FN(dense_run)(const pw_tile *t, int C, int K) {
    const ptrdiff_t x_step = C * VW * (ptrdiff_t)sizeof(T), y_step = K * VW * (ptrdiff_t)sizeof(T);
    FN(lanes) in, out;
    D_LANES(C, &in);
    D_LANES(K, &out);
    const char *x = t->x, *r = t->r;
    char *y = t->y;
    int64_t left = t->n;
    for (; left >= VW; left -= VW, x += x_step, y += y_step) {
        if (t->prefetch)
            PW_UNROLL
            for (int i = 0; i < C; i++)
                __builtin_prefetch(x + t->prefetch + i * VW * (ptrdiff_t)sizeof(T), 0, 3);
        FN(dense_tile)(t, x, r, y, C, K, &in, &out, t->stream);
        if (r) r += y_step;
    }
    if (left) {
        T part_x[VW * PW_MAX_DENSE] = {0}, part_r[VW * PW_MAX_DENSE] = {0}, part_y[VW * PW_MAX_DENSE];
        const size_t bytes = (size_t)left * K * sizeof(T);
        memcpy(part_x, x, (size_t)left * C * sizeof(T));
        if (r) memcpy(part_r, r, bytes);
        FN(dense_tile)(t, (char *)part_x, r ? (char *)part_r : NULL, (char *)part_y, C, K, &in, &out, 0);
        memcpy(y, part_y, bytes);
    }
}

#define DENSE(C, K)                                          \
    static void FN(dense_##C##_##K)(const pw_tile *t) {      \
        FN(dense_run)(t, C, K);                              \
    }
#define DENSE_OF(C) DENSE(C, 1) DENSE(C, 2) DENSE(C, 3) DENSE(C, 4)
DENSE_OF(1)
DENSE_OF(2)
DENSE_OF(3)
DENSE_OF(4)
#undef DENSE
#undef DENSE_OF
