/* Template: kernels of sums over pixels (gradient.c): dot products of planes, and the panels that
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

/* A panel of planes: GROUP pixels of VW channels at a time are transposed. */
static void FN(panel_of_planes)(const char *from, ptrdiff_t from_c, int channels, int64_t n,
                                char *to, ptrdiff_t to_p) {
    const ptrdiff_t size = sizeof(T);
    for (int c = 0; c < channels; c += VW, from += VW * from_c, to += VW * size) {
#if defined(GROUP)
        const int rows = channels - c < VW ? channels - c : VW;
        const char *source = from;
        char *row = to;
        int64_t left = n;
        T part[GROUP][VW] = {{0}};
        V v[GROUP];
        for (; left >= GROUP; left -= GROUP, source += GROUP * size) {
            if (rows == VW) {
                FN(group_load)(source, from_c, VW, GROUP, v);
            } else {
                for (int i = 0; i < rows; i++)
                    memcpy(&part[i % GROUP][i / GROUP * GROUP], source + i * from_c,
                           sizeof part[0][0] * GROUP);
                PW_UNROLL
                for (int j = 0; j < GROUP; j++) v[j] = V_LOAD((const char *)part[j]);
            }
            G_TRANSPOSE(v);
            PW_UNROLL
            for (int j = 0; j < GROUP; j++, row += to_p) V_STORE(row, v[j]);
        }
        if (left == 0) continue;
        FN(group_load)(source, from_c, rows, (int)left, v);
        G_TRANSPOSE(v);
        for (int j = 0; j < left; j++, row += to_p) V_STORE(row, j == 0 ? v[0] : j == 1 ? v[1] : v[2]);
#else
        for (int j = 0; j < VW && c + j < channels; j++)
            for (int64_t p = 0; p < n; p++)
                memcpy(to + p * to_p + j * size, from + j * from_c + p * size, sizeof(T));
#endif
    }
}

/* A panel of pixels whose channels lie one behind the other. */
static void FN(panel_of_rows)(const char *from, ptrdiff_t from_p, int channels, int64_t n,
                              char *to, ptrdiff_t to_p) {
    const ptrdiff_t step = VW * sizeof(T);
    const int vectors = channels / VW, left = channels % VW;
    for (int64_t p = 0; p < n; p++, from += from_p, to += to_p) {
        for (int j = 0; j < vectors; j++) V_STORE(to + j * step, V_LOAD(from + j * step));
        if (VW > 1 && left) V_STORE(to + vectors * step, V_LOADN(from + vectors * step, left));
    }
}

/* Planes of pixels whose channels lie one behind the other; whole vectors, past n too. */
static void FN(planes_of_rows)(const char *from, ptrdiff_t from_p, int channels, int64_t n,
                               char *to, ptrdiff_t to_c) {
    const ptrdiff_t size = sizeof(T);
#if defined(GROUP)
    for (int64_t p = 0; p < n; p += VW, from += VW * from_p, to += VW * size) {
        const int rows = n - p < VW ? (int)(n - p) : VW;
        for (int c = 0; c < channels; c += GROUP) {
            const int m = channels - c < GROUP ? channels - c : GROUP;
            V v[GROUP];
            if (m == GROUP)
                FN(group_load)(from + c * size, from_p, rows, GROUP, v);
            else
                FN(group_load)(from + c * size, from_p, rows, m, v);
            G_TRANSPOSE(v);
            PW_UNROLL
            for (int j = 0; j < GROUP; j++)
                if (j < m) V_STORE(to + (c + j) * to_c, v[j]);
        }
    }
#else
    for (int64_t p = 0; p < n; p++)
        for (int c = 0; c < channels; c++)
            memcpy(to + c * to_c + p * size, from + p * from_p + c * size, sizeof(T));
#endif
}
