/* Template: turns planes and rows of channels into each other (transpose_tmpl.h). See pw_turn for
 * what is written past an end. */

/* Makes a panel of planes; TRANSPOSE pixels of VW channels at a time are transposed. */
static void FN(panel_of_planes)(const char *from, ptrdiff_t from_c, int channels, int64_t n,
                                char *to, ptrdiff_t to_p) {
    const ptrdiff_t size = sizeof(T);
    for (int c = 0; c < channels; c += VW, from += VW * from_c, to += VW * size) {
#if defined(TRANSPOSE)
        const int rows = channels - c < VW ? channels - c : VW;
        const char *source = from;
        char *row = to;
        int64_t left = n;
        T part[TRANSPOSE][VW] = {{0}};
        V v[TRANSPOSE];
        for (; left >= TRANSPOSE; left -= TRANSPOSE, source += TRANSPOSE * size) {
            if (rows == VW) {
                rows_load(source, from_c, VW, TRANSPOSE, v);
            } else {
                for (int i = 0; i < rows; i++)
                    memcpy(&part[i % TRANSPOSE][i / TRANSPOSE * TRANSPOSE], source + i * from_c,
                           sizeof part[0][0] * TRANSPOSE);
    PW_UNROLL
                for (int j = 0; j < TRANSPOSE; j++) v[j] = v_load((const char *)part[j]);
            }
            transpose(v);
            PW_UNROLL
            for (int j = 0; j < TRANSPOSE; j++, row += to_p) v_store(row, v[j]);
        }
        if (left == 0) continue;
        rows_load(source, from_c, rows, (int)left, v);
        transpose(v);
        for (int j = 0; j < left; j++, row += to_p) v_store(row, j == 0 ? v[0] : j == 1 ? v[1] : v[2]);
#else
        for (int j = 0; j < VW && c + j < channels; j++)
            for (int64_t p = 0; p < n; p++)
                memcpy(to + p * to_p + j * size, from + j * from_c + p * size, sizeof(T));
#endif
    }
}

/* Makes a panel of pixels whose channels are contiguous. */
static void FN(panel_of_rows)(const char *from, ptrdiff_t from_p, int channels, int64_t n,
                              char *to, ptrdiff_t to_p) {
    const ptrdiff_t step = VW * sizeof(T);
    const int vectors = channels / VW, left = channels % VW;
    for (int64_t p = 0; p < n; p++, from += from_p, to += to_p) {
        for (int j = 0; j < vectors; j++) v_store(to + j * step, v_load(from + j * step));
        if (VW > 1 && left) v_store(to + vectors * step, v_loadn(from + vectors * step, left));
    }
}

/* Makes planes of pixels whose channels are contiguous, in whole vectors, past n too. */
static void FN(planes_of_rows)(const char *from, ptrdiff_t from_p, int channels, int64_t n,
                               char *to, ptrdiff_t to_c) {
    const ptrdiff_t size = sizeof(T);
#if defined(TRANSPOSE)
    for (int64_t p = 0; p < n; p += VW, from += VW * from_p, to += VW * size) {
        const int rows = n - p < VW ? (int)(n - p) : VW;
        for (int c = 0; c < channels; c += TRANSPOSE) {
            const int m = channels - c < TRANSPOSE ? channels - c : TRANSPOSE;
            V v[TRANSPOSE];
            if (m == TRANSPOSE)
                rows_load(from + c * size, from_p, rows, TRANSPOSE, v);
            else
                rows_load(from + c * size, from_p, rows, m, v);
            transpose(v);
            PW_UNROLL
            for (int j = 0; j < TRANSPOSE; j++)
                if (j < m) v_store(to + (c + j) * to_c, v[j]);
        }
    }
#else
    for (int64_t p = 0; p < n; p++)
        for (int c = 0; c < channels; c++)
            memcpy(to + c * to_c + p * size, from + p * from_p + c * size, sizeof(T));
#endif
}

/* Makes rows of channels of planes. If the last group would have fewer channels, it starts with
 * some of the group before it. */
static void FN(rows_of_planes)(const char *from, ptrdiff_t from_c, int channels, int64_t n,
                               char *to, ptrdiff_t to_p) {
    const ptrdiff_t size = sizeof(T);
    int64_t p = 0;
#if defined(TRANSPOSE)
    for (; channels >= TRANSPOSE && p + VW <= n; p += VW, from += VW * size, to += VW * to_p)
        for (int k = 0; k < channels; k += TRANSPOSE) {
            const int c = k + TRANSPOSE <= channels ? k : channels - TRANSPOSE;
            V v[TRANSPOSE];
            PW_UNROLL
            for (int j = 0; j < TRANSPOSE; j++) v[j] = v_load(from + (c + j) * from_c);
            transpose(v);
            PW_UNROLL
            for (int j = 0; j < TRANSPOSE; j++) transpose_store(to + c * size + j * to_p, TRANSPOSE * to_p, v[j]);
        }
#endif
    for (; p < n; p++, from += size, to += to_p)
        for (int c = 0; c < channels; c++) memcpy(to + c * size, from + c * from_c, sizeof(T));
}
