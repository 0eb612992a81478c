/* Template: what is made of all channels of a pixel: panels of K planes by n pixels in scratch, whose
 * rows are whole vectors long. Every pixel's result depends on its own channels only.
 */

/* pw_rescale: each step is rounded. */
static void FN(rescale)(char *y, const char *sizes, const void *total, const void *bias,
                        const char *r, int64_t n, const pw_epilogue *epilogue, const void *slope) {
    const V all = FN(load1)(total), b = FN(load1)(bias);
    for (int64_t p = 0; p < n; p += VW) {
        const ptrdiff_t at = p * (ptrdiff_t)sizeof(T);
        V v = V_LOAD(y + at);
        if (sizes) v = V_MUL(v, V_DIV(all, V_LOAD(sizes + at)));
        v = V_ADD(v, b);
        if (r) v = V_ADD(v, V_LOAD(r + at));
        FN(activate_sums)(&v, 1, 1, 1, epilogue);
        if (slope) v = FN(sloped)(FN(load1)(slope), v);
        V_STORE(y + at, v);
    }
}

/* NaN may get lost, but not in what follows: a sum over all channels has it. */
PW_INLINE V FN(largest)(const char *y, ptrdiff_t step, int64_t K) {
    V most = V_LOAD(y);
    for (int64_t k = 1; k < K; k++) most = V_MAX(V_LOAD(y + k * step), most);
    return most;
}

/* Divides K vectors by d > 0. A division takes as long as ten multiply-adds and more. `exact` says that
 * one rounds to the nearest and that nothing underflows or overflows on the way of its replacement:
 * 1 / d and two corrections, the second of which rounds as the division does (Markstein, 1990), for
 * the reciprocal is correctly rounded and the quotient within a unit in the last place by then. */
PW_INLINE void FN(divide_all)(char *y, ptrdiff_t step, int64_t K, V d, int exact) {
    if (VW == 1 || !exact) {
        for (int64_t k = 0; k < K; k++) V_STORE(y + k * step, V_DIV(V_LOAD(y + k * step), d));
        return;
    }
    const V r = V_DIV(C_(1), d), minus_d = V_SUB(C_(0), d);
    for (int64_t k = 0; k < K; k++) {
        const V v = V_LOAD(y + k * step);
        V q = V_MUL(v, r);
        q = V_FMA(V_FMA(minus_d, q, v), r, q);
        q = V_FMA(V_FMA(minus_d, q, v), r, q);
        V_STORE(y + k * step, V_COPYSIGN(q, v)); /* -0 stays */
    }
}

/* What exp makes of y - most: something normal that is far from underflowing, or 0, for all of it? Then
 * it takes half the operations. */
PW_INLINE int FN(is_all_or_nothing)(const char *y, ptrdiff_t step, int64_t K, V most) {
    /* 2^-100 and half the least number, or 2^-900. */
    const T some = sizeof(T) == 4 ? -69 : -624, none = sizeof(T) == 4 ? -105 : -747;
    const T middle = (some + none) / 2, reach = (some - none) / 2;
    V nearest = C_(reach);
    for (int64_t k = 0; k < K; k++) {
        const V x = V_SUB(V_LOAD(y + k * step), most);
        nearest = V_MIN(V_ABS(V_SUB(x, C_(middle))), nearest);
    }
    return V_EQUAL(nearest, C_(reach)) == FN(ALL);
}

/* exp(x) for x up to 20 of which that is so. */
PW_INLINE V FN(exp_or_0)(V x) {
    const V least = C_(sizeof(T) == 4 ? -70 : -625);
    V fraction;
    const V n = FN(exp_parts)(V_MAX(least, x), &fraction);
    const V power = V_MUL(V_ADD(C_(1), fraction), FN(power_of_2)(n, 0));
    return V_WHERE_POSITIVE(V_SUB(least, x), C_(0), power); /* NaN stays */
}

/* What exp makes of y - most, in place if `keep`; their sum. */
PW_INLINE V FN(exp_all)(char *y, ptrdiff_t step, int64_t K, V most, int near, int keep) {
    V sum = V_SET1(0);
    for (int64_t k = 0; k < K; k++) {
        const V x = V_SUB(V_LOAD(y + k * step), most);
        const V power = near ? FN(exp_or_0)(x) : FN(exp_far_down)(x);
        if (keep) V_STORE(y + k * step, power);
        sum = V_ADD(sum, power);
    }
    return sum;
}

static void FN(softmax)(char *y, ptrdiff_t step, int64_t K, int64_t n) {
    const int nearest = fegetround() == FE_TONEAREST;
    for (int64_t p = 0; p < n; p += VW, y += VW * sizeof(T)) {
        const V most = FN(largest)(y, step, K);
        const int near = nearest && FN(is_all_or_nothing)(y, step, K, most);
        const V sum =
            near ? FN(exp_all)(y, step, K, most, 1, 1) : FN(exp_all)(y, step, K, most, 0, 1);
        FN(divide_all)(y, step, K, sum, near && K < 1 << 20);
    }
}

static void FN(log_softmax)(char *y, ptrdiff_t step, int64_t K, int64_t n) {
    const int nearest = fegetround() == FE_TONEAREST;
    for (int64_t p = 0; p < n; p += VW, y += VW * sizeof(T)) {
        const V most = FN(largest)(y, step, K);
        const int near = nearest && FN(is_all_or_nothing)(y, step, K, most);
        const V sum =
            near ? FN(exp_all)(y, step, K, most, 1, 0) : FN(exp_all)(y, step, K, most, 0, 0);
        T logs[VW];
        V_STORE((char *)logs, sum);
        for (int i = 0; i < VW; i++)
            logs[i] = sizeof(T) == 4 ? logf((float)logs[i]) : (T)log(logs[i]);
        const V log_sum = V_LOAD((const char *)logs);
        for (int64_t k = 0; k < K; k++)
            V_STORE(y + k * step, V_SUB(V_SUB(V_LOAD(y + k * step), most), log_sum));
    }
}

/* Whether v is 0, or its size within [2^-e, 2^e]: a bit for each element. */
PW_INLINE unsigned FN(within)(V v, int e) {
    const V size = V_ABS(v);
    return V_EQUAL(FN(clamp)(size, C_(ldexp(1, -e)), C_(ldexp(1, e))), size) | V_EQUAL(v, C_(0));
}

/* Norms under 1e-12 count as that, as PyTorch has it. */
static void FN(l2_normalize)(char *y, ptrdiff_t step, int64_t K, int64_t n) {
    const int nearest = fegetround() == FE_TONEAREST;
    for (int64_t p = 0; p < n; p += VW, y += VW * sizeof(T)) {
        V sum = V_SET1(0);
        unsigned exact = FN(ALL);
        const int e = sizeof(T) == 4 ? 60 : 500;
        for (int64_t k = 0; k < K; k++) {
            const V v = V_LOAD(y + k * step);
            sum = V_FMA(v, v, sum);
            exact &= FN(within)(v, e);
        }
        const V norm = V_MAX(C_(1e-12), V_SQRT(sum));
        FN(divide_all)(y, step, K, norm, nearest && (exact & FN(within)(norm, e)) == FN(ALL));
    }
}

/* Into the first row: the first of equal channels, or the first that is NaN. */
static void FN(argmax)(char *y, ptrdiff_t step, int64_t K, int64_t n) {
    for (int64_t p = 0; p < n; p += VW, y += VW * sizeof(T)) {
        V best = V_LOAD(y), label = V_SET1(0), k = V_SET1(0);
        const char *at = y;
        for (int64_t i = 1; i < K; i++) {
            const V v = V_LOAD(at += step);
            k = V_ADD(k, V_SET1(1));
            label = V_WHERE_BETTER(v, best, k, label);
            best = V_WHERE_BETTER(v, best, v, best);
        }
        V_STORE(y, label);
    }
}
