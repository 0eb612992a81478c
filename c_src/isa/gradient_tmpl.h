/* Template: kernels of sums over pixels (gradient/run.c): dot products of planes, and the panels that
 * interleaved kernels read in the place of weights. */

/* Lanes of n vectors added up: the same order for each. */
PW_INLINE void FN(add_lanes)(const V *s, int n, T *sums) {
#if defined(GROUP)
    PW_UNROLL
    for (int i = 0; i < n; i += GROUP) {
        V v[GROUP];
        T part[VW];
        PW_UNROLL
        for (int j = 0; j < GROUP; j++) v[j] = i + j < n ? s[i + j] : V_SET1(0);
        G_TRANSPOSE(v);
        V_STORE((char *)part, V_ADD(V_ADD(v[0], v[1]), V_ADD(v[2], v[3])));
        PW_UNROLL
        for (int at = GROUP; at < VW; at += GROUP)
            PW_UNROLL
            for (int j = 0; j < GROUP; j++) part[j] += part[at + j];
        PW_UNROLL
        for (int j = 0; j < GROUP; j++)
            if (i + j < n) sums[i + j] = part[j];
    }
#else
    PW_UNROLL
    for (int i = 0; i < n; i++) {
        T part[VW];
        V_STORE((char *)part, s[i]);
        PW_UNROLL
        for (int j = 1; j < VW; j++) part[0] += part[j];
        sums[i] = part[0];
    }
#endif
}

/* Vectors run over pixels. For each: A + B loads, A * B multiply-adds. */
PW_INLINE void FN(dots)(const pw_dots *t, int A, int B) {
    V s[DOTS_A * DOTS_B], a[DOTS_A];
    const char *from_a[DOTS_A], *from_b[DOTS_B];
    PW_UNROLL
    for (int i = 0; i < A; i++) from_a[i] = t->a[i];
    PW_UNROLL
    for (int j = 0; j < B; j++) from_b[j] = t->b[j];
    PW_UNROLL
    for (int i = 0; i < A * B; i++) s[i] = V_SET1(0);
    const ptrdiff_t size = sizeof(T), end = (ptrdiff_t)t->n / VW * VW * size;
    ptrdiff_t at = 0;
    for (; at < end; at += VW * size) {
        PW_UNROLL
        for (int i = 0; i < A; i++) a[i] = V_LOAD(from_a[i] + at);
        PW_UNROLL
        for (int j = 0; j < B; j++) {
            const V b = V_LOAD(from_b[j] + at);
            PW_UNROLL
            for (int i = 0; i < A; i++) s[i * B + j] = V_FMA(a[i], b, s[i * B + j]);
        }
    }
    const int left = (int)(t->n % VW);
    if (VW > 1 && left) {
        PW_UNROLL
        for (int i = 0; i < A; i++) a[i] = V_LOADN(from_a[i] + at, left);
        PW_UNROLL
        for (int j = 0; j < B; j++) {
            const V b = V_LOADN(from_b[j] + at, left);
            PW_UNROLL
            for (int i = 0; i < A; i++) s[i * B + j] = V_FMA(a[i], b, s[i * B + j]);
        }
    }
    T sums[DOTS_A * DOTS_B];
    FN(add_lanes)(s, A * B, sums);
    PW_UNROLL
    for (int i = 0; i < A; i++) {
        char *to = t->to + i * t->to_step;
        PW_UNROLL
        for (int j = 0; j < B; j++) {
            T value = 0;
            if (t->add) memcpy(&value, to + j * size, sizeof value);
            value = t->add ? sums[i * B + j] + value : sums[i * B + j];
            memcpy(to + j * size, &value, sizeof value);
        }
    }
}

#define DOTS(A, B) \
    static void FN(dots_##A##_##B)(const pw_dots *t) { FN(dots)(t, A, B); }
DOTS(1, 1)
DOTS(1, 2)
DOTS(2, 1)
DOTS(2, 2)
#if DOTS_A > 2
DOTS(1, 3)
DOTS(1, 4)
DOTS(2, 3)
DOTS(2, 4)
DOTS(3, 1)
DOTS(3, 2)
DOTS(3, 3)
DOTS(3, 4)
#endif
#if DOTS_A > 3
DOTS(1, 5)
DOTS(1, 6)
DOTS(2, 5)
DOTS(2, 6)
DOTS(3, 5)
DOTS(3, 6)
DOTS(4, 1)
DOTS(4, 2)
DOTS(4, 3)
DOTS(4, 4)
DOTS(4, 5)
DOTS(4, 6)
#endif
#undef DOTS
