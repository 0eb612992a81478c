/* Template: planes and rows of channels turned into each other (groups_tmpl.h); pw_turn says what is
 * written past an end. */

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

/* Rows of the channels of planes. A last group of fewer channels takes some of the one before it. */
static void FN(rows_of_planes)(const char *from, ptrdiff_t from_c, int channels, int64_t n,
                               char *to, ptrdiff_t to_p) {
    const ptrdiff_t size = sizeof(T);
    int64_t p = 0;
#if defined(GROUP)
    for (; channels >= GROUP && p + VW <= n; p += VW, from += VW * size, to += VW * to_p)
        for (int k = 0; k < channels; k += GROUP) {
            const int c = k + GROUP <= channels ? k : channels - GROUP;
            V v[GROUP];
            PW_UNROLL
            for (int j = 0; j < GROUP; j++) v[j] = V_LOAD(from + (c + j) * from_c);
            G_TRANSPOSE(v);
            PW_UNROLL
            for (int j = 0; j < GROUP; j++) G_STORE(to + c * size + j * to_p, GROUP * to_p, v[j]);
        }
#endif
    for (; p < n; p++, from += size, to += to_p)
        for (int c = 0; c < channels; c++) memcpy(to + c * size, from + c * from_c, sizeof(T));
}
