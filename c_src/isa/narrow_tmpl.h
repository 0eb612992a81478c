/* Template: kernels for two layers at once, with few channels between them. The H hidden channels of
 * a vector of pixels stay in registers: each channel of x is read once for all of them, then output
 * channels are made of them, NARROW_U at a time.
 *
 * Weights are packed as for planar kernels: the first layer's in one block of H channels, the
 * second's in blocks of NARROW_U and, for what is left over, of one. Planes only.
 */

/* U output channels from k on, of weights w. m: elements in the vector. */
PW_INLINE void FN(narrow_out)(const pw_tile *t, int64_t k, ptrdiff_t at, const T *w, int H, int U,
                              int m, const V *h) {
    V s[NARROW_U];
    PW_UNROLL
    for (int u = 0; u < U; u++) s[u] = V_SET1(w[u]);
    w += U;
    PW_UNROLL
    for (int i = 0; i < H; i++)
        PW_UNROLL
        for (int u = 0; u < U; u++) s[u] = V_FMA(V_SET1(w[i * U + u]), h[i], s[u]);
    if (t->r) {
        const char *r = t->r + k * t->r_step + at;
        PW_UNROLL
        for (int u = 0; u < U; u++, r += t->r_step)
            s[u] = V_ADD(s[u], m < VW ? V_LOADN(r, m) : V_LOAD(r));
    }
    FN(activate_sums)(s, 1, U, U, t->epilogue);
    char *y = t->y + k * t->y_step + at;
    PW_UNROLL
    for (int u = 0; u < U; u++, y += t->y_step) {
        if (m < VW)
            V_STOREN(y, m, s[u]);
        else if (t->stream)
            V_STREAM(y, s[u]);
        else
            V_STORE(y, s[u]);
    }
}

PW_INLINE void FN(narrow_tile)(const pw_pair *p, ptrdiff_t at, int H, int m, int fetch) {
    const pw_tile *t = &p->t;
    const ptrdiff_t line = PW_CACHE_LINE, column = (1 + H) * (ptrdiff_t)sizeof(T);
    const ptrdiff_t block = (NARROW_U * column + line - 1) / line * line,
                    single = (column + line - 1) / line * line;
    V h[NARROW_MAX];
    const T *w = p->first;
    PW_UNROLL
    for (int i = 0; i < H; i++) h[i] = V_SET1(w[i]);
    w += H;
    const char *x = t->x + at;
    const ptrdiff_t x_c = t->x_c, ahead = t->prefetch;
    for (int64_t c = t->C; c > 0; c--, x += x_c, w += H) {
        const V v = m < VW ? V_LOADN(x, m) : V_LOAD(x);
        if (fetch) __builtin_prefetch(x + ahead, 0, 2);
        PW_UNROLL
        for (int i = 0; i < H; i++) h[i] = V_FMA(V_SET1(w[i]), v, h[i]);
    }
    FN(activate_sums)(h, 1, H, H, p->first_epilogue);
    const char *out = t->bias;
    int64_t k = 0;
    for (; k + NARROW_U <= t->channels; k += NARROW_U, out += block)
        FN(narrow_out)(t, k, at, (const T *)out, H, NARROW_U, m, h);
    for (; k < t->channels; k++, out += single)
        FN(narrow_out)(t, k, at, (const T *)out, H, 1, m, h);
}

PW_INLINE void FN(narrow_run)(const pw_pair *p, int H) {
    const ptrdiff_t step = VW * sizeof(T);
    ptrdiff_t at = 0;
    int64_t left = p->t.n;
    if (p->t.prefetch)
        for (; left >= VW; left -= VW, at += step) FN(narrow_tile)(p, at, H, VW, 1);
    else
        for (; left >= VW; left -= VW, at += step) FN(narrow_tile)(p, at, H, VW, 0);
    if (left) FN(narrow_tile)(p, at, H, (int)left, 0);
}

#define NARROW(H)                                            \
    static void FN(narrow_##H)(const pw_pair *p) {           \
        FN(narrow_run)(p, H);                                \
    }
NARROW(9)
NARROW(10)
NARROW(11)
NARROW(12)
NARROW(13)
NARROW(14)
NARROW(15)
NARROW(16)
NARROW(17)
NARROW(18)
NARROW(19)
NARROW(20)
NARROW(21)
NARROW(22)
NARROW(23)
NARROW(24)
#undef NARROW
