/* Template: what is made of all channels of a pixel: panels of K planes by n pixels in scratch, whose
 * rows are whole vectors long. Every pixel's result depends on its own channels only.
 */

/* y > 0 ? y : slope y */
static void FN(prelu)(char *y, ptrdiff_t step, int64_t K, int64_t n, const double *slopes) {
    for (int64_t k = 0; k < K; k++, y += step) {
        const V slope = V_SET1((T)slopes[k]);
        for (int64_t p = 0; p < n; p += VW) {
            char *at = y + p * (ptrdiff_t)sizeof(T);
            const V v = V_LOAD(at);
            V_STORE(at, V_WHERE_POSITIVE(v, v, V_MUL(slope, v)));
        }
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
            const V power = FN(exp_down)(V_SUB(V_LOAD(y + k * step), most));
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
            sum = V_ADD(sum, FN(exp_down)(V_SUB(V_LOAD(y + k * step), most)));
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
        T norms[VW];
        V_STORE((char *)norms, sum);
        for (int i = 0; i < VW; i++)
            norms[i] = sizeof(T) == 4 ? sqrtf((float)norms[i]) : (T)sqrt(norms[i]);
        const V norm = V_MAX(C_(1e-12), V_LOAD((const char *)norms));
        for (int64_t k = 0; k < K; k++) V_STORE(y + k * step, V_DIV(V_LOAD(y + k * step), norm));
    }
}

/* Into the first row: the first of equal channels, or the first that is NaN. */
static void FN(argmax)(char *y, ptrdiff_t step, int64_t K, int64_t n) {
    for (int64_t p = 0; p < n; p += VW, y += VW * sizeof(T)) {
        T best[VW], label[VW] = {0};
        memcpy(best, y, sizeof best);
        for (int64_t k = 1; k < K; k++) {
            T row[VW];
            memcpy(row, y + k * step, sizeof row);
            for (int i = 0; i < VW; i++) {
                const int better = (row[i] > best[i]) | ((row[i] != row[i]) & (best[i] == best[i]));
                best[i] = better ? row[i] : best[i];
                label[i] = better ? (T)k : label[i];
            }
        }
        memcpy(y, label, sizeof label);
    }
}

static void FN(fill)(char *y, ptrdiff_t step, int64_t K, int64_t n, const uint8_t *flags,
                     double fill) {
    for (int64_t k = 0; k < K; k++) {
        T *row = (T *)(y + k * step);
        for (int64_t p = 0; p < n; p++) row[p] = flags[p] ? (T)fill : row[p];
    }
}
