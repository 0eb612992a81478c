/* Template: heads and rescaling, on panels of K planes by n pixels in scratch, whose rows are whole
 * vectors long. The result of a pixel depends on its own channels only.
 */

/* A pw_rescale, in which each step is rounded. */
static void FN(rescale)(char *y, const char *sizes, const void *total, const void *bias,
                        const char *r, int64_t n, const pw_epilogue *epilogue, const void *slope) {
    const V all = v_broadcast(total), b = v_broadcast(bias);
    for (int64_t p = 0; p < n; p += VW) {
        const ptrdiff_t at = p * (ptrdiff_t)sizeof(T);
        V v = v_load(y + at);
        if (sizes) v = v_mul(v, v_div(all, v_load(sizes + at)));
        v = v_add(v, b);
        if (r) v = v_add(v, v_load(r + at));
        activate_sums(&v, 1, 1, 1, epilogue);
        if (slope) v = v_sloped(v_broadcast(slope), v);
        v_store(y + at, v);
    }
}

/* The maximum may lose a NaN, but the sum over all channels that follows has it. */
PW_INLINE V largest(const char *y, ptrdiff_t step, int64_t K) {
    V most = v_load(y);
    for (int64_t k = 1; k < K; k++) most = v_max(v_load(y + k * step), most);
    return most;
}

/* Divides K vectors by d > 0. A division takes as long as ten multiply-adds or more. `exact` says
 * that results are rounded to nearest, and that nothing underflows or overflows in what replaces
 * the division: 1 / d and two corrections, the second of which rounds as the division does
 * (Markstein, 1990), because the reciprocal is correctly rounded and the quotient is within a unit
 * in the last place by then. */
PW_INLINE void divide_all(char *y, ptrdiff_t step, int64_t K, V d, int exact) {
    if (VW == 1 || !exact) {
        for (int64_t k = 0; k < K; k++) v_store(y + k * step, v_div(v_load(y + k * step), d));
        return;
    }
    const V r = v_div(v_of(1), d), minus_d = v_sub(v_of(0), d);
    for (int64_t k = 0; k < K; k++) {
        const V v = v_load(y + k * step);
        V q = v_mul(v, r);
        q = v_fma(v_fma(minus_d, q, v), r, q);
        q = v_fma(v_fma(minus_d, q, v), r, q);
        v_store(y + k * step, v_copysign(q, v)); /* -0 stays */
    }
}

/* Whether every exp(y - most) is either a normal number far from underflow, or 0. Then exp takes
 * half the operations. */
PW_INLINE int is_all_or_nothing(const char *y, ptrdiff_t step, int64_t K, V most) {
    /* exp(some) is about 2^-100 (or 2^-900), exp(none) less than half the least number. */
    const T some = sizeof(T) == 4 ? -69 : -624, none = sizeof(T) == 4 ? -105 : -747;
    const T middle = (some + none) / 2, reach = (some - none) / 2;
    V nearest = v_of(reach);
    for (int64_t k = 0; k < K; k++) {
        const V x = v_sub(v_load(y + k * step), most);
        nearest = v_min(v_abs(v_sub(x, v_of(middle))), nearest);
    }
    return v_equal(nearest, v_of(reach)) == ALL_LANES;
}

/* exp(x) for x up to 20, if it is_all_or_nothing. */
PW_INLINE V v_exp_or_0(V x) {
    const V least = v_of(sizeof(T) == 4 ? -70 : -625);
    V fraction;
    const V n = v_exp_parts(v_max(least, x), &fraction);
    const V power = v_mul(v_add(v_of(1), fraction), v_power_of_2(n, 0));
    return v_where_positive(v_sub(least, x), v_of(0), power); /* NaN stays NaN */
}

/* Returns the sum of all exp(y - most); if `keep`, they replace y. */
PW_INLINE V exp_all(char *y, ptrdiff_t step, int64_t K, V most, int near, int keep) {
    V sum = v_set1(0);
    for (int64_t k = 0; k < K; k++) {
        const V x = v_sub(v_load(y + k * step), most);
        const V power = near ? v_exp_or_0(x) : v_exp_far_down(x);
        if (keep) v_store(y + k * step, power);
        sum = v_add(sum, power);
    }
    return sum;
}

static void FN(softmax)(char *y, ptrdiff_t step, int64_t K, int64_t n) {
    const int nearest = fegetround() == FE_TONEAREST;
    for (int64_t p = 0; p < n; p += VW, y += VW * sizeof(T)) {
        const V most = largest(y, step, K);
        const int near = nearest && is_all_or_nothing(y, step, K, most);
        const V sum = near ? exp_all(y, step, K, most, 1, 1) : exp_all(y, step, K, most, 0, 1);
        divide_all(y, step, K, sum, near && K < 1 << 20);
    }
}

static void FN(log_softmax)(char *y, ptrdiff_t step, int64_t K, int64_t n) {
    const int nearest = fegetround() == FE_TONEAREST;
    for (int64_t p = 0; p < n; p += VW, y += VW * sizeof(T)) {
        const V most = largest(y, step, K);
        const int near = nearest && is_all_or_nothing(y, step, K, most);
        const V sum = near ? exp_all(y, step, K, most, 1, 0) : exp_all(y, step, K, most, 0, 0);
        T logs[VW];
        v_store((char *)logs, sum);
        for (int i = 0; i < VW; i++)
            logs[i] = sizeof(T) == 4 ? logf((float)logs[i]) : (T)log(logs[i]);
        const V log_sum = v_load((const char *)logs);
        for (int64_t k = 0; k < K; k++)
            v_store(y + k * step, v_sub(v_sub(v_load(y + k * step), most), log_sum));
    }
}

/* A bit for each element: whether it is 0 or its size is within [2^-e, 2^e]. */
PW_INLINE unsigned v_within(V v, int e) {
    const V size = v_abs(v);
    return v_equal(v_clamp(size, v_of(ldexp(1, -e)), v_of(ldexp(1, e))), size) |
           v_equal(v, v_of(0));
}

/* Norms under 1e-12 count as 1e-12, as in PyTorch. */
static void FN(l2_normalize)(char *y, ptrdiff_t step, int64_t K, int64_t n) {
    const int nearest = fegetround() == FE_TONEAREST;
    for (int64_t p = 0; p < n; p += VW, y += VW * sizeof(T)) {
        V sum = v_set1(0);
        unsigned exact = ALL_LANES;
        const int e = sizeof(T) == 4 ? 60 : 500;
        for (int64_t k = 0; k < K; k++) {
            const V v = v_load(y + k * step);
            sum = v_fma(v, v, sum);
            exact &= v_within(v, e);
        }
        const V norm = v_max(v_of(1e-12), v_sqrt(sum));
        divide_all(y, step, K, norm, nearest && (exact & v_within(norm, e)) == ALL_LANES);
    }
}

/* Writes to the first row. The first of equal channels wins, and so does the first that is NaN. */
static void FN(argmax)(char *y, ptrdiff_t step, int64_t K, int64_t n) {
    for (int64_t p = 0; p < n; p += VW, y += VW * sizeof(T)) {
        V best = v_load(y), label = v_set1(0), k = v_set1(0);
        const char *at = y;
        for (int64_t i = 1; i < K; i++) {
            const V v = v_load(at += step);
            k = v_add(k, v_set1(1));
            label = v_where_better(v, best, k, label);
            best = v_where_better(v, best, v, best);
        }
        v_store(y, label);
    }
}
