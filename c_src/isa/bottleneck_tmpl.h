/* Template: bottleneck kernels, for two layers at once with few channels between them. The H hidden
 * channels of a vector of pixels stay in registers: each channel of x is read once for all of them,
 * then they yield output channels, BOTTLENECK_OUT at a time. x, y and r are planar.
 *
 * Weights are packed as for planar kernels: the first layer's in one block of H channels, the
 * second layer's in blocks of BOTTLENECK_OUT channels, and of one channel for those left over.
 */

/* Computes U output channels from k on, with weights w. m: elements in the vector. */
PW_INLINE void bottleneck_out(const pw_ukernel_args *t, int64_t k, ptrdiff_t at, const T *w, int H,
                              int U, int m, const V *h) {
    V s[BOTTLENECK_OUT];
    PW_UNROLL
    for (int u = 0; u < U; u++) s[u] = v_set1(w[u]);
    w += U;
    PW_UNROLL
    for (int i = 0; i < H; i++)
        PW_UNROLL
        for (int u = 0; u < U; u++) s[u] = v_fma(v_set1(w[i * U + u]), h[i], s[u]);
    if (t->r) {
        const char *r = t->r + k * t->r_step + at;
        PW_UNROLL
        for (int u = 0; u < U; u++, r += t->r_step)
            s[u] = v_add(s[u], m < VW ? v_loadn(r, m) : v_load(r));
    }
    activate_sums(s, 1, U, U, t->epilogue);
    char *y = t->y + k * t->y_step + at;
    PW_UNROLL
    for (int u = 0; u < U; u++, y += t->y_step) {
        if (m < VW)
            v_storen(y, m, s[u]);
        else if (t->stream)
            v_stream(y, s[u]);
        else
            v_store(y, s[u]);
    }
}

PW_INLINE void bottleneck_tile(const pw_fused2 *p, ptrdiff_t at, int H, int m, int fetch) {
    const pw_ukernel_args *t = &p->t;
    const ptrdiff_t line = PW_CACHE_LINE, column = (1 + H) * (ptrdiff_t)sizeof(T);
    const ptrdiff_t block = (BOTTLENECK_OUT * column + line - 1) / line * line,
                    single = (column + line - 1) / line * line;
    V h[BOTTLENECK_MAX];
    const T *w = p->first;
    PW_UNROLL
    for (int i = 0; i < H; i++) h[i] = v_set1(w[i]);
    w += H;
    const char *x = t->x + at;
    const ptrdiff_t x_c = t->x_c, ahead = t->prefetch;
    for (int64_t c = t->C; c > 0; c--, x += x_c, w += H) {
        const V v = m < VW ? v_loadn(x, m) : v_load(x);
        if (fetch) __builtin_prefetch(x + ahead, 0, 2);
        PW_UNROLL
        for (int i = 0; i < H; i++) h[i] = v_fma(v_set1(w[i]), v, h[i]);
    }
    activate_sums(h, 1, H, H, p->first_epilogue);
    const char *out = t->bias;
    int64_t k = 0;
    for (; k + BOTTLENECK_OUT <= t->channels; k += BOTTLENECK_OUT, out += block)
        bottleneck_out(t, k, at, (const T *)out, H, BOTTLENECK_OUT, m, h);
    for (; k < t->channels; k++, out += single)
        bottleneck_out(t, k, at, (const T *)out, H, 1, m, h);
}

PW_INLINE void bottleneck_run(const pw_fused2 *p, int H) {
    const ptrdiff_t step = VW * sizeof(T);
    ptrdiff_t at = 0;
    int64_t left = p->t.n;
    if (p->t.prefetch)
        for (; left >= VW; left -= VW, at += step) bottleneck_tile(p, at, H, VW, 1);
    else
        for (; left >= VW; left -= VW, at += step) bottleneck_tile(p, at, H, VW, 0);
    if (left) bottleneck_tile(p, at, H, (int)left, 0);
}

#define DEFINE(H)                                         \
    static void FN(bottleneck_##H)(const pw_fused2 *p) { \
        bottleneck_run(p, H);                             \
    }
BOTTLENECK_TILES(DEFINE)
#undef DEFINE
