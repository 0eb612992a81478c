/* Template: few_channels kernels, for contiguous pixels of up to PW_MAX_FEW channels in and out,
 * such as colours. VW pixels at a time are taken apart into channels in registers and put together
 * again, so that memory is read and written in whole vectors. */

/* Loads VW pixels of n channels from p on into the vectors v[n] of the channels; put_together
 * stores such vectors. */
PW_INLINE void take_apart(const char *p, int n, const lanes *lanes, V *v) {
    V loaded[PW_MAX_FEW];
    PW_UNROLL
    for (int i = 0; i < n; i++) loaded[i] = v_load(p + i * VW * (ptrdiff_t)sizeof(T));
    split_lanes(n, lanes, loaded, v);
}

PW_INLINE void put_together(char *p, int n, const lanes *lanes, V *v, int stream) {
    V stored[PW_MAX_FEW];
    merge_lanes(n, lanes, v, stored);
    PW_UNROLL
    for (int i = 0; i < n; i++, p += VW * sizeof(T)) {
        if (stream)
            v_stream(p, stored[i]);
        else
            v_store(p, stored[i]);
    }
}

PW_INLINE void few_channels_tile(const pw_ukernel_args *t, const char *x, const char *r, char *y, int C, int K,
                              const lanes *in, const lanes *out, int stream) {
    V v[PW_MAX_FEW], s[PW_MAX_FEW];
    const T *bias = t->bias, *w = t->w, *scale = t->scale, *offset = t->offset;
    take_apart(x, C, in, v);
    if (scale)
        PW_UNROLL
        for (int c = 0; c < C; c++) v[c] = v_fma(v_set1(scale[c]), v[c], v_set1(offset[c]));
    PW_UNROLL
    for (int k = 0; k < K; k++) {
        s[k] = v_set1(bias[k]);
        PW_UNROLL
        for (int c = 0; c < C; c++) s[k] = v_fma(v_set1(w[c * K + k]), v[c], s[k]);
    }
    if (r) {
        take_apart(r, K, out, v);
        PW_UNROLL
        for (int k = 0; k < K; k++) s[k] = v_add(s[k], v[k]);
    }
    activate_sums(s, 1, K, K, t->epilogue);
    if (t->slopes)
        PW_UNROLL
        for (int k = 0; k < K; k++) s[k] = v_sloped(v_set1(((const T *)t->slopes)[k]), s[k]);
    put_together(y, K, out, s, stream);
}

PW_INLINE void few_channels_run(const pw_ukernel_args *t, int C, int K) {
    const ptrdiff_t x_step = C * VW * (ptrdiff_t)sizeof(T), y_step = K * VW * (ptrdiff_t)sizeof(T);
    lanes in, out;
    prepare_lanes(C, &in);
    prepare_lanes(K, &out);
    const char *x = t->x, *r = t->r;
    char *y = t->y;
    int64_t left = t->n;
    for (; left >= VW; left -= VW, x += x_step, y += y_step) {
        if (t->prefetch)
            PW_UNROLL
            for (int i = 0; i < C; i++)
                __builtin_prefetch(x + t->prefetch + i * VW * (ptrdiff_t)sizeof(T), 0, 3);
        few_channels_tile(t, x, r, y, C, K, &in, &out, t->stream);
        if (r) r += y_step;
    }
    if (left) {
        T part_x[VW * PW_MAX_FEW] = {0}, part_r[VW * PW_MAX_FEW] = {0}, part_y[VW * PW_MAX_FEW];
        const size_t bytes = (size_t)left * K * sizeof(T);
        memcpy(part_x, x, (size_t)left * C * sizeof(T));
        if (r) memcpy(part_r, r, bytes);
        few_channels_tile(t, (char *)part_x, r ? (char *)part_r : NULL, (char *)part_y, C, K, &in, &out, 0);
        memcpy(y, part_y, bytes);
    }
}

/* clang-format off */
#define FEW_CHANNELS(X)             \
    X(1, 1) X(1, 2) X(1, 3) X(1, 4) \
    X(2, 1) X(2, 2) X(2, 3) X(2, 4) \
    X(3, 1) X(3, 2) X(3, 3) X(3, 4) \
    X(4, 1) X(4, 2) X(4, 3) X(4, 4)
/* clang-format on */
#define DEFINE(C, K)                                                  \
    static void FN(few_channels_##C##_##K)(const pw_ukernel_args *t) { \
        few_channels_run(t, C, K);                                    \
    }
FEW_CHANNELS(DEFINE)
#undef DEFINE
