/* Template: quantised kernels. The file that includes it defines the macros below. A vector has
 * Q_VW lanes, or the bytes of 4 * Q_VW pixels or channels.
 *
 *     Q_SUFFIX Q_NAME Q_SET Q_WORKS   of the table pw_qkernels_<suffix>: its suffix, its name, its
 *                                     kernel set, and a function: whether the CPU runs it
 *     Q_LANES Q_VW                    the numbers in lanes (pw_qlanes), lanes in a vector
 *     Q_V Q_F Q_B                     vectors of int32, of float, of 4 * Q_VW bytes
 *     Q_SET1(i) Q_LOAD(p) Q_STORE(p, v) Q_ADD(a, b) Q_SUB(a, b) Q_MUL(a, b)
 *     Q_SUM4(to, v)                   stores the four sums of the lanes of Q_V v[4]
 *     Q_DOT(sum, x, w)                sum + the products of each lane's numbers, modulo 2**32
 *     QF_SET1(f) QF_LOAD(p)
 *     Q_ROUND(v, scale)               v * scale in float, rounded, halves to even
 *     Q_ROUND_ANY(v, scale)           the same; beyond int32, a number that saturates alike
 *     Q_PACK(v, zero)                 Q_V v[4], plus zero, saturated to bytes
 *     Q_BOUND(b, output)              bytes kept within output's bounds, then flipped
 *     QB_SET1(byte) QB_XOR(a, b) QB_LOAD(p) QB_STORE(p, b) QB_STREAM(p, b)
 *     QB_LOADN(p, n) QB_STOREN(p, n, b)       the first n < 4 * Q_VW bytes; no others are touched
 *     Q_SPREAD(to, rows, zero)        a Q_B of each channel of a group into four vectors of lanes
 *     Q_DEPTH                         channels of a group: 4, or 2 for lanes of 16-bit numbers
 *     Q_KR_MAX                        most channels of a planar tile
 *     Q_NV_MAX Q_ROWS(NV)             most vectors of an interleaved tile, and the pixels of a tile
 *                                     of NV vectors
 */
#define QN(name) PW_PASTE(name, Q_SUFFIX)
#define Q_BYTES (Q_VW * PW_Q_LANE)
#define Q_ROWS_MAX 16

PW_INLINE int32_t QN(lane)(const char *at) {
    int32_t lane;
    memcpy(&lane, at, sizeof lane);
    return lane;
}

/* A vector of sums before the first product of this pass: the bias, or what acc holds. */
PW_INLINE Q_V QN(begin)(const pw_qtile *t, Q_V bias, const int32_t *acc) {
    return t->first ? bias : Q_LOAD(acc);
}

PW_INLINE void QN(store)(char *y, int n, int stream, Q_B bytes) {
    if (n < Q_BYTES)
        QB_STOREN(y, n, bytes);
    else if (stream)
        QB_STREAM(y, bytes);
    else
        QB_STORE(y, bytes);
}

/* Turns NV vectors of sums into bytes. */
PW_INLINE Q_B QN(finish)(const pw_qtile *t, const Q_V *s, int NV, const Q_F *scales) {
    Q_V v[4];
    if (t->output.in_reach) {
    PW_UNROLL
        for (int j = 0; j < 4; j++) v[j] = j < NV ? Q_ROUND(s[j], scales[j]) : Q_SET1(0);
    } else {
        PW_UNROLL
        for (int j = 0; j < 4; j++) v[j] = j < NV ? Q_ROUND_ANY(s[j], scales[j]) : Q_SET1(0);
    }
    const Q_B bytes = Q_PACK(v, t->output.zero);
    return t->output.is_all ? bytes : Q_BOUND(bytes, &t->output);
}

PW_INLINE void QN(planar_tile)(const pw_qtile *t, int KR, int NV) {
    const char *x = t->x, *w = t->w;
    const ptrdiff_t x_g = t->x_g, w_k = t->w_k;
    Q_V s[PW_Q_MAX_KR][4];
    PW_UNROLL
    for (int k = 0; k < KR; k++)
        PW_UNROLL
        for (int j = 0; j < NV; j++) {
            s[k][j] = QN(begin)(t, Q_SET1(t->bias[k]), t->acc + k * t->acc_step + j * Q_VW);
            if (t->x_sum)
                s[k][j] = Q_SUB(s[k][j], Q_MUL(Q_SET1(t->w_zero[k]), Q_LOAD(t->x_sum + j * Q_VW)));
        }
    for (int64_t g = t->groups; g > 0; g--, x += x_g, w += PW_Q_LANE) {
        Q_V v[4];
        PW_UNROLL
        for (int j = 0; j < NV; j++) v[j] = Q_LOAD(x + j * Q_BYTES);
        PW_UNROLL
        for (int k = 0; k < KR; k++) {
            const Q_V wk = Q_SET1(QN(lane)(w + k * w_k));
            PW_UNROLL
            for (int j = 0; j < NV; j++) s[k][j] = Q_DOT(s[k][j], v[j], wk);
        }
    }
    PW_UNROLL
    for (int k = 0; k < KR; k++) {
        if (!t->last) {
            PW_UNROLL
            for (int j = 0; j < NV; j++) Q_STORE(t->acc + k * t->acc_step + j * Q_VW, s[k][j]);
            continue;
        }
        const Q_F scale = QF_SET1(t->scale[k]);
        const Q_F scales[4] = {scale, scale, scale, scale};
        QN(store)(t->y + k * t->y_step, t->n, t->stream, QN(finish)(t, s[k], NV, scales));
    }
}

PW_INLINE void QN(planar_run)(const pw_qtile *t, int KR) {
    switch ((t->n + Q_VW - 1) / Q_VW) {
    case 1: QN(planar_tile)(t, KR, 1); break;
    case 2: QN(planar_tile)(t, KR, 2); break;
    case 3: QN(planar_tile)(t, KR, 3); break;
    default: QN(planar_tile)(t, KR, 4);
    }
}

/* Stores the sums of pixel p to y, or back to acc. */
PW_INLINE void QN(interleaved_finish)(const pw_qtile *t, int p, const Q_V *s, int NV) {
    Q_F scales[4];
    if (!t->last) {
        PW_UNROLL
        for (int j = 0; j < NV; j++) Q_STORE(t->acc + p * t->acc_step + j * Q_VW, s[j]);
        return;
    }
    PW_UNROLL
    for (int j = 0; j < 4; j++) scales[j] = QF_LOAD(t->scale + (j < NV ? j * Q_VW : 0));
    QN(store)(t->y + p * t->y_step, t->channels, 0, QN(finish)(t, s, NV, scales));
}

/* Computes the first `rows` of R pixels from p on; the last of these stands in for the rest. */
PW_INLINE void QN(interleaved_tile)(const pw_qtile *t, int p, int rows, int R, int NV) {
    const char *w = t->w, *x[Q_ROWS_MAX];
    const ptrdiff_t x_g = t->x_g;
    ptrdiff_t at = 0;
    Q_V s[Q_ROWS_MAX][PW_Q_MAX_NV];
    PW_UNROLL
    for (int i = 0; i < R; i++) {
        const int row = p + (i < rows ? i : rows - 1);
        x[i] = t->x + row * t->x_p;
        PW_UNROLL
        for (int j = 0; j < NV; j++) {
            s[i][j] = QN(begin)(t, Q_LOAD(t->bias + j * Q_VW), t->acc + row * t->acc_step + j * Q_VW);
            if (t->x_sum)
                s[i][j] = Q_SUB(s[i][j], Q_MUL(Q_SET1(t->x_sum[row]), Q_LOAD(t->w_zero + j * Q_VW)));
        }
    }
    for (int64_t g = t->groups; g > 0; g--, at += x_g, w += NV * Q_BYTES) {
        Q_V v[PW_Q_MAX_NV];
        PW_UNROLL
        for (int j = 0; j < NV; j++) v[j] = Q_LOAD(w + j * Q_BYTES);
        PW_UNROLL
        for (int i = 0; i < R; i++) {
            const Q_V xi = Q_SET1(QN(lane)(x[i] + at));
            PW_UNROLL
            for (int j = 0; j < NV; j++) s[i][j] = Q_DOT(s[i][j], xi, v[j]);
        }
    }
    PW_UNROLL
    for (int i = 0; i < R; i++)
        if (i < rows) QN(interleaved_finish)(t, p + i, s[i], NV);
}

PW_INLINE void QN(interleaved_run)(const pw_qtile *t, int R, int NV) {
    for (int p = 0; p < t->n; p += R)
        QN(interleaved_tile)(t, p, t->n - p < R ? t->n - p : R, R, NV);
}

/* Computes R pixels from p on. The lanes of a sum are groups of channels, which are added up at the
 * end. */
PW_INLINE void QN(dot_pixels)(const pw_qtile *t, int p, int R) {
    const char *x = t->x + p * t->x_p;
    int32_t sums[4][Q_BYTES] = {{0}};
    for (int k = 0; k < t->channels; k += 4) {
        const char *w[4];
        Q_V s[4][4];
        PW_UNROLL
        for (int i = 0; i < 4; i++) {
            w[i] = t->w + (k + i < t->channels ? k + i : k) * t->w_k;
            PW_UNROLL
            for (int r = 0; r < R; r++) s[r][i] = Q_SET1(0);
        }
        for (ptrdiff_t at = 0; at < t->groups * PW_Q_LANE; at += Q_BYTES)
            PW_UNROLL
            for (int r = 0; r < R; r++) {
                const Q_V xr = Q_LOAD(x + r * t->x_p + at);
                PW_UNROLL
                for (int i = 0; i < 4; i++) s[r][i] = Q_DOT(s[r][i], xr, Q_LOAD(w[i] + at));
            }
        PW_UNROLL
        for (int r = 0; r < R; r++) Q_SUM4(sums[r] + k, s[r]);
    }
    for (int r = 0; r < R; r++) {
        char bytes[Q_BYTES];
        Q_V v[4];
        Q_F scales[4];
        PW_UNROLL
        for (int j = 0; j < 4; j++) {
            v[j] = Q_ADD(Q_LOAD(sums[r] + j * Q_VW), Q_LOAD(t->bias + j * Q_VW));
            if (t->x_sum)
                v[j] = Q_SUB(v[j], Q_MUL(Q_SET1(t->x_sum[p + r]), Q_LOAD(t->w_zero + j * Q_VW)));
            scales[j] = QF_LOAD(t->scale + j * Q_VW);
        }
        QB_STORE(bytes, QN(finish)(t, v, 4, scales));
        for (int k = 0; k < t->channels; k++) t->y[k * t->y_step + p + r] = bytes[k];
    }
}

static void QN(dot)(const pw_qtile *t) {
    int p = 0;
    for (; p + 4 <= t->n; p += 4) QN(dot_pixels)(t, p, 4);
    for (; p < t->n; p++) QN(dot_pixels)(t, p, 1);
}

PW_INLINE Q_B QN(stage_row)(pw_qbytes bytes, const char *x, int n, ptrdiff_t ahead) {
    if (ahead) __builtin_prefetch(x + ahead, 0, 2);
    return QB_XOR(n < Q_BYTES ? QB_LOADN(x, n) : QB_LOAD(x), QB_SET1((char)bytes.flip));
}

PW_INLINE void QN(stage_rows)(pw_qbytes bytes, char *to, ptrdiff_t to_g, const char *x,
                              ptrdiff_t x_c, int64_t C, int n, ptrdiff_t ahead) {
    Q_B rows[Q_DEPTH];
    for (; C >= Q_DEPTH; C -= Q_DEPTH, to += to_g) {
        PW_UNROLL
        for (int i = 0; i < Q_DEPTH; i++, x += x_c) rows[i] = QN(stage_row)(bytes, x, n, ahead);
        Q_SPREAD(to, rows, bytes.zero);
    }
    if (C == 0) return;
    PW_UNROLL
    for (int i = 0; i < Q_DEPTH; i++, x += x_c)
        rows[i] = i < C ? QN(stage_row)(bytes, x, n, ahead) : QB_SET1(Q_DEPTH == 2 ? (char)bytes.zero : 0);
    Q_SPREAD(to, rows, bytes.zero);
}

static void QN(stage)(pw_qbytes bytes, char *to, ptrdiff_t to_g, const char *x, ptrdiff_t x_c,
                      int64_t C, int n, ptrdiff_t ahead) {
    if (n == Q_BYTES)
        QN(stage_rows)(bytes, to, to_g, x, x_c, C, Q_BYTES, ahead);
    else
        QN(stage_rows)(bytes, to, to_g, x, x_c, C, n, ahead);
}

#if Q_DEPTH == 4
/* Sums four rows at a time. Past the last of n, the first of the four is summed again. */
PW_INLINE void QN(sum_rows)(const char *lanes, ptrdiff_t step, int64_t bytes, int64_t n,
                            int32_t *to, int are_x) {
    const Q_V ones = Q_SET1(0x01010101);
    for (int64_t i = 0; i < n; i += 4) {
        Q_V sums[4];
        PW_UNROLL
        for (int j = 0; j < 4; j++) sums[j] = Q_SET1(0);
        for (int64_t at = 0; at < bytes; at += Q_BYTES)
            PW_UNROLL
            for (int j = 0; j < 4; j++) {
                const Q_V v = Q_LOAD(lanes + (i + j < n ? i + j : i) * step + at);
                sums[j] = are_x ? Q_DOT(sums[j], v, ones) : Q_DOT(sums[j], ones, v);
            }
        Q_SUM4(to + i, sums);
    }
}
static void QN(sum_w)(const char *w, ptrdiff_t w_k, int64_t bytes, int64_t n, int32_t *to) {
    QN(sum_rows)(w, w_k, bytes, n, to, 0);
}
static void QN(sum_x)(const char *x, ptrdiff_t x_p, int64_t bytes, int64_t n, int32_t *to) {
    QN(sum_rows)(x, x_p, bytes, n, to, 1);
}
#endif

#define PLANAR(KR)                                   \
    static void QN(q_planar_##KR)(const pw_qtile *t) { \
        QN(planar_run)(t, KR);                       \
    }
#define INTERLEAVED(NV)                                   \
    static void QN(q_interleaved_##NV)(const pw_qtile *t) { \
        QN(interleaved_run)(t, Q_ROWS(NV), NV);           \
    }
PLANAR(1)
PLANAR(2)
#if Q_KR_MAX > 2
PLANAR(3)
#endif
#if Q_KR_MAX > 3
PLANAR(4)
PLANAR(5)
PLANAR(6)
#endif
INTERLEAVED(1)
INTERLEAVED(2)
#if Q_NV_MAX > 2
INTERLEAVED(3)
INTERLEAVED(4)
#endif
#undef PLANAR
#undef INTERLEAVED

const pw_qkernels QN(pw_qkernels) = {
    .name = Q_NAME,
    .set = &Q_SET,
    .works = Q_WORKS,
    .lanes = Q_LANES,
    .depth = Q_DEPTH,
    .vector = Q_VW,
    .kr_max = Q_KR_MAX,
    .planar =
        {
            NULL,
            QN(q_planar_1),
            QN(q_planar_2),
#if Q_KR_MAX > 2
            QN(q_planar_3),
#endif
#if Q_KR_MAX > 3
            QN(q_planar_4),
            QN(q_planar_5),
            QN(q_planar_6),
#endif
        },
    .nv_max = Q_NV_MAX,
    .interleaved =
        {
            NULL,
            QN(q_interleaved_1),
            QN(q_interleaved_2),
#if Q_NV_MAX > 2
            QN(q_interleaved_3),
            QN(q_interleaved_4),
#endif
        },
    .dot = QN(dot),
    .stage = QN(stage),
#if Q_DEPTH == 4
    .sum_w = QN(sum_w),
    .sum_x = QN(sum_x),
#endif
};

#undef Q_SUFFIX
#undef Q_NAME
#undef Q_WORKS
#undef Q_LANES
#undef Q_DEPTH
#undef Q_DOT
#undef Q_SPREAD
#undef Q_BYTES
#undef Q_ROWS_MAX
#undef QN
