/* Template: dots kernels, dot products of planes, which are sums over pixels (gradient/run.c). The
 * panels that interleaved kernels read there in the place of weights come from turn_tmpl.h. */

/* Adds up the lanes of each of n vectors, in the same order for all. */
PW_INLINE void add_lanes(const V *s, int n, T *sums) {
#if defined(TRANSPOSE)
    PW_UNROLL
    for (int i = 0; i < n; i += TRANSPOSE) {
        V v[TRANSPOSE];
        T part[VW];
        PW_UNROLL
        for (int j = 0; j < TRANSPOSE; j++) v[j] = i + j < n ? s[i + j] : v_set1(0);
        transpose(v);
        v_store((char *)part, v_add(v_add(v[0], v[1]), v_add(v[2], v[3])));
        PW_UNROLL
        for (int at = TRANSPOSE; at < VW; at += TRANSPOSE)
            PW_UNROLL
            for (int j = 0; j < TRANSPOSE; j++) part[j] += part[at + j];
        PW_UNROLL
        for (int j = 0; j < TRANSPOSE; j++)
            if (i + j < n) sums[i + j] = part[j];
    }
#else
    PW_UNROLL
    for (int i = 0; i < n; i++) {
        T part[VW];
        v_store((char *)part, s[i]);
        PW_UNROLL
        for (int j = 1; j < VW; j++) part[0] += part[j];
        sums[i] = part[0];
    }
#endif
}

/* Vectors run over pixels. Each vector takes A + B loads and A * B multiply-adds. */
PW_INLINE void dots_run(const pw_dots *t, int A, int B) {
    V s[DOTS_A * DOTS_B], a[DOTS_A];
    const char *from_a[DOTS_A], *from_b[DOTS_B];
    PW_UNROLL
    for (int i = 0; i < A; i++) from_a[i] = t->a[i];
    PW_UNROLL
    for (int j = 0; j < B; j++) from_b[j] = t->b[j];
    PW_UNROLL
    for (int i = 0; i < A * B; i++) s[i] = v_set1(0);
    const ptrdiff_t size = sizeof(T), end = (ptrdiff_t)t->n / VW * VW * size;
    ptrdiff_t at = 0;
    for (; at < end; at += VW * size) {
        PW_UNROLL
        for (int i = 0; i < A; i++) a[i] = v_load(from_a[i] + at);
        PW_UNROLL
        for (int j = 0; j < B; j++) {
            const V b = v_load(from_b[j] + at);
            PW_UNROLL
            for (int i = 0; i < A; i++) s[i * B + j] = v_fma(a[i], b, s[i * B + j]);
        }
    }
    const int left = (int)(t->n % VW);
    if (VW > 1 && left) {
        PW_UNROLL
        for (int i = 0; i < A; i++) a[i] = v_loadn(from_a[i] + at, left);
        PW_UNROLL
        for (int j = 0; j < B; j++) {
            const V b = v_loadn(from_b[j] + at, left);
            PW_UNROLL
            for (int i = 0; i < A; i++) s[i * B + j] = v_fma(a[i], b, s[i * B + j]);
        }
    }
    T sums[DOTS_A * DOTS_B];
    add_lanes(s, A * B, sums);
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

#define DEFINE(A, B)                                \
    static void FN(dots_##A##_##B)(const pw_dots *t) { \
        dots_run(t, A, B);                             \
    }
DOTS_TILES(DEFINE)
#undef DEFINE
