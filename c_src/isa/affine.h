/* Template: scale * x + offset on panels, for kernels that do not compute it themselves. */

static void FN(affine)(pw_matrix to, pw_matrix from, const void *scale, const void *offset,
                       int64_t n_c, int64_t n_p) {
    const ptrdiff_t size = sizeof(T);
    const int planes = to.j == size && from.j == size;
    const int64_t n_i = planes ? n_c : n_p, n_j = planes ? n_p : n_c;
    const ptrdiff_t to_step = planes ? to.i : to.j, from_step = planes ? from.i : from.j;
    const char *by = scale, *plus = offset;
    for (int64_t i = 0; i < n_i; i++, to.at += to_step, from.at += from_step) {
        V a = V_SET1(((const T *)scale)[planes ? i : 0]);
        V b = V_SET1(((const T *)offset)[planes ? i : 0]);
        int64_t j = 0;
        for (; j + VW <= n_j; j += VW) {
            if (!planes) a = V_LOAD(by + j * size), b = V_LOAD(plus + j * size);
            V_STORE(to.at + j * size, V_FMA(a, V_LOAD(from.at + j * size), b));
        }
        if (j < n_j) {
            V v = V_LOADN(from.at + j * size, (int)(n_j - j));
            if (!planes) {
                a = V_LOADN(by + j * size, (int)(n_j - j));
                b = V_LOADN(plus + j * size, (int)(n_j - j));
            }
            v = V_FMA(a, v, b);
            V_STOREN(to.at + j * size, (int)(n_j - j), v);
        }
    }
}
