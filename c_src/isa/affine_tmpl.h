/* Template: computes scale * x + offset on panels, for kernels that do not do so themselves. */

/* The last vector of a row ends with the row and may overlap the vector before it. It is computed
 * before that one is stored, because `to` may be `from`. */
static void FN(affine)(pw_matrix to, pw_matrix from, const void *scale, const void *offset,
                       int64_t n_c, int64_t n_p, ptrdiff_t fetch) {
    const ptrdiff_t size = sizeof(T), step = VW * size;
    const int planes = to.j == size && from.j == size;
    const int64_t n_i = planes ? n_c : n_p, n_j = planes ? n_p : n_c;
    const ptrdiff_t to_step = planes ? to.i : to.j, from_step = planes ? from.i : from.j;
    const char *by = scale, *plus = offset;
#define TERM(x, s, o) v_fma(planes ? a : (s), x, planes ? b : (o))
    for (int64_t i = 0; i < n_i; i++, to.at += to_step, from.at += from_step) {
        const V a = v_set1(((const T *)scale)[planes ? i : 0]);
        const V b = v_set1(((const T *)offset)[planes ? i : 0]);
        if (fetch)
            for (ptrdiff_t at = 0; at < n_j * size; at += PW_CACHE_LINE)
                __builtin_prefetch(from.at + fetch + at, 0, 2);
        if (n_j < VW) {
            const V v =
                TERM(v_loadn(from.at, (int)n_j), v_loadn(by, (int)n_j), v_loadn(plus, (int)n_j));
            v_storen(to.at, (int)n_j, v);
            continue;
        }
        const ptrdiff_t last = (n_j - VW) * size;
        const V end = TERM(v_load(from.at + last), v_load(by + last), v_load(plus + last));
        for (ptrdiff_t at = 0; at < last; at += step)
            v_store(to.at + at, TERM(v_load(from.at + at), v_load(by + at), v_load(plus + at)));
        v_store(to.at + last, end);
    }
#undef TERM
}
