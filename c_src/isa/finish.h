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

static void FN(softmax)(char *y, ptrdiff_t step, int64_t K, int64_t n) {
    for (int64_t p = 0; p < n; p += VW, y += VW * sizeof(T)) {
        const V most = FN(largest)(y, step, K);
        V sum = V_SET1(0);
        for (int64_t k = 0; k < K; k++) {
            const V power = FN(exp_far_down)(V_SUB(V_LOAD(y + k * step), most));
            V_STORE(y + k * step, power);
            sum = V_ADD(sum, power);
        }
        for (int64_t k = 0; k < K; k++) V_STORE(y + k * step, V_DIV(V_LOAD(y + k * step), sum));
    }
}

static void FN(log_softmax)(char *y, ptrdiff_t step, int64_t K, int64_t n) {
    for (int64_t p = 0; p < n; p += VW, y += VW * sizeof(T)) {
        const V most = FN(largest)(y, step, K);
        V sum = V_SET1(0);
        for (int64_t k = 0; k < K; k++)
            sum = V_ADD(sum, FN(exp_far_down)(V_SUB(V_LOAD(y + k * step), most)));
        T logs[VW];
        V_STORE((char *)logs, sum);
        for (int i = 0; i < VW; i++)
            logs[i] = sizeof(T) == 4 ? logf((float)logs[i]) : (T)log(logs[i]);
        const V log_sum = V_LOAD((const char *)logs);
        for (int64_t k = 0; k < K; k++)
            V_STORE(y + k * step, V_SUB(V_SUB(V_LOAD(y + k * step), most), log_sum));
    }
}

/* Norms under 1e-12 count as that, as PyTorch has it. */
static void FN(l2_normalize)(char *y, ptrdiff_t step, int64_t K, int64_t n) {
    for (int64_t p = 0; p < n; p += VW, y += VW * sizeof(T)) {
        V sum = V_SET1(0);
        for (int64_t k = 0; k < K; k++) {
            const V v = V_LOAD(y + k * step);
            sum = V_FMA(v, v, sum);
        }
        const V norm = V_MAX(C_(1e-12), V_SQRT(sum));
        for (int64_t k = 0; k < K; k++) V_STORE(y + k * step, V_DIV(V_LOAD(y + k * step), norm));
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
