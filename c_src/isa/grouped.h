/* Template: interleaved kernels for output channels that do not fill a vector.
 *
 * A vector holds a group of GROUP channels of GROUPS pixels, so that no lane idles:
 *
 *     sums      k0 k1 k2 k3 | k0 k1 k2 k3 | ...      of pixels p, p+1, ...
 *     x         c0 c1 c2 c3 | c0 c1 c2 c3 | ...      loaded once for GROUP input channels
 *     picked    c1 c1 c1 c1 | c1 c1 c1 c1 | ...      times
 *     weights   k0 k1 k2 k3 | k0 k1 k2 k3 | ...      of c1
 *
 * A tile is R vectors (R * GROUPS pixels) x Q groups. Input channels lie one behind the other.
 */

#define GROUPED_ROWS 8
#define GROUPED_MAX 3

/* The first n <= GROUP elements. */
PW_INLINE void FN(copy_elements)(char *to, const char *from, int n) {
    switch (n) {
    case 1: memcpy(to, from, 1 * sizeof(T)); break;
    case 2: memcpy(to, from, 2 * sizeof(T)); break;
    case 3: memcpy(to, from, 3 * sizeof(T)); break;
    case 4: memcpy(to, from, 4 * sizeof(T)); break;
    }
}

/* n elements of each of `rows` rows; the rest is 0. */
PW_NOINLINE V FN(load_part)(const char *p, ptrdiff_t step, int rows, int n) {
    T part[VW] = {0};
    for (int i = 0; i < rows; i++)
        FN(copy_elements)((char *)(part + i * GROUP), p + i * step, n);
    return V_LOAD((const char *)part);
}

PW_INLINE void FN(store_part)(char *p, ptrdiff_t step, int rows, int n, V v) {
    T part[VW];
    V_STORE((char *)part, v);
    for (int i = 0; i < rows; i++)
        FN(copy_elements)(p + i * step, (const char *)(part + i * GROUP), n);
}

PW_INLINE void FN(grouped_finish)(const pw_tile *t, int64_t p, int R, int Q, int rows, V *s) {
    if (!t->last) {
        PW_UNROLL
        for (int i = 0; i < R * Q; i++)
            V_STORE(t->acc + p * t->acc_step + i * VW * (ptrdiff_t)sizeof(T), s[i]);
        return;
    }
    /* Channels in the last group. */
    const int m = t->channels - (Q - 1) * GROUP;
    if (t->r) {
        PW_UNROLL
        for (int i = 0; i < R * Q; i++) {
            const char *r =
                t->r + (p + i / Q * GROUPS) * t->r_step + i % Q * GROUP * (ptrdiff_t)sizeof(T);
            s[i] = V_ADD(s[i], rows == GROUPS && (m == GROUP || i % Q < Q - 1)
                                   ? G_LOAD(r, t->r_step)
                                   : FN(load_part)(r, t->r_step, rows, i % Q < Q - 1 ? GROUP : m));
        }
    }
    if (t->epilogue->activation == PW_ACT_CLIP) {
        const V lo = V_SET1((T)t->epilogue->a), hi = V_SET1((T)t->epilogue->b);
        PW_UNROLL
        for (int i = 0; i < R * Q; i++) s[i] = FN(clamp)(s[i], lo, hi);
    } else if (t->epilogue->activation != PW_ACT_NONE) {
        V v[GROUPED_ROWS * GROUPED_MAX];
        PW_UNROLL
        for (int i = 0; i < R * Q; i++) v[i] = s[i];
        FN(activate)(v, R * Q, t->epilogue);
        PW_UNROLL
        for (int i = 0; i < R * Q; i++) s[i] = v[i];
    }
    PW_UNROLL
    for (int i = 0; i < R * Q; i++) {
        char *y = t->y + (p + i / Q * GROUPS) * t->y_step + i % Q * GROUP * (ptrdiff_t)sizeof(T);
        if (rows == GROUPS && (m == GROUP || i % Q < Q - 1))
            G_STORE(y, t->y_step, s[i]);
        else
            FN(store_part)(y, t->y_step, rows, i % Q < Q - 1 ? GROUP : m, s[i]);
    }
}

/* One input channel, element `i` of x. */
#define GROUPED_STEP(i, w)                                                \
    do {                                                                  \
        V weights[GROUPED_MAX];                                           \
        PW_UNROLL                                                         \
        for (int q = 0; q < Q; q++)                                       \
            weights[q] = G_WEIGHTS((w) + q * GROUP * (ptrdiff_t)sizeof(T)); \
        PW_UNROLL                                                         \
        for (int j = 0; j < R; j++) {                                     \
            const V picked = G_PICK(x[j], i);                             \
            PW_UNROLL                                                     \
            for (int q = 0; q < Q; q++)                                   \
                s[j * Q + q] = V_FMA(weights[q], picked, s[j * Q + q]);   \
        }                                                                 \
    } while (0)

/* R * GROUPS pixels from p on; with R = 1 perhaps only the first `rows` of them. */
PW_INLINE void FN(grouped_tile)(const pw_tile *t, int64_t p, int R, int Q, int rows) {
    const ptrdiff_t w_step = Q * GROUP * sizeof(T), group = GROUP * sizeof(T), x_p = t->x_p;
    V s[GROUPED_ROWS * GROUPED_MAX], x[GROUPED_ROWS];
    PW_UNROLL
    for (int i = 0; i < R * Q; i++)
        s[i] = t->first ? G_WEIGHTS((const char *)t->bias + i % Q * group)
                        : V_LOAD(t->acc + p * t->acc_step + i * VW * (ptrdiff_t)sizeof(T));
    const char *w = t->w, *from = t->x + p * x_p;
    int64_t left = t->C;
    for (; left >= GROUP; left -= GROUP, from += group, w += GROUP * w_step) {
        PW_UNROLL
        for (int j = 0; j < R; j++)
            x[j] = rows == GROUPS ? G_LOAD(from + j * GROUPS * x_p, x_p)
                                  : FN(load_part)(from, x_p, rows, GROUP);
        GROUPED_STEP(0, w);
        GROUPED_STEP(1, w + w_step);
        GROUPED_STEP(2, w + 2 * w_step);
        GROUPED_STEP(3, w + 3 * w_step);
    }
    if (left) {
        /* Up to three channels are left: they end a whole group, if there are as many. */
        if (rows == GROUPS && t->C >= GROUP) {
            from -= (GROUP - left) * (ptrdiff_t)sizeof(T);
            w -= (GROUP - left) * w_step;
            PW_UNROLL
            for (int j = 0; j < R; j++) x[j] = G_LOAD(from + j * GROUPS * x_p, x_p);
            if (left > 2) GROUPED_STEP(1, w + w_step);
            if (left > 1) GROUPED_STEP(2, w + 2 * w_step);
            GROUPED_STEP(3, w + 3 * w_step);
        } else {
            PW_UNROLL
            for (int j = 0; j < R; j++)
                x[j] = FN(load_part)(from + j * GROUPS * x_p, x_p, rows, (int)left);
            GROUPED_STEP(0, w);
            if (left > 1) GROUPED_STEP(1, w + w_step);
            if (left > 2) GROUPED_STEP(2, w + 2 * w_step);
        }
    }
    FN(grouped_finish)(t, p, R, Q, rows, s);
}

PW_INLINE void FN(grouped_run)(const pw_tile *t, int Q) {
    int64_t p = 0;
    for (; p + GROUPED_ROWS * GROUPS <= t->n; p += GROUPED_ROWS * GROUPS)
        FN(grouped_tile)(t, p, GROUPED_ROWS, Q, GROUPS);
    for (; p + 2 * GROUPS <= t->n; p += 2 * GROUPS) FN(grouped_tile)(t, p, 2, Q, GROUPS);
    for (; p + GROUPS <= t->n; p += GROUPS) FN(grouped_tile)(t, p, 1, Q, GROUPS);
    if (p < t->n) FN(grouped_tile)(t, p, 1, Q, (int)(t->n - p));
}

#define GROUPED(Q)                                           \
    static void FN(grouped_##Q)(const pw_tile *t) {          \
        FN(grouped_run)(t, Q);                               \
    }
GROUPED(1)
#if GROUPS > 2
GROUPED(2)
GROUPED(3)
#endif
#undef GROUPED
#undef GROUPED_STEP
