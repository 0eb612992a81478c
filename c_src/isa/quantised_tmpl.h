/* Template: all quantised kernels of one instruction set, and their table.
 *
 * Each set has a file, such as quantised_avx2.c, that defines the following and then includes this
 * one. A vector has VW lanes, or the bytes of 4 * VW pixels or channels. Pointers may have any
 * alignment.
 *
 *     V VF VB                     vectors of VW int32 or lanes, of VW floats, of 4 * VW bytes
 *     LANES DEPTH                 the numbers in a lane (pw_qlanes), and how many channels it has:
 *                                 4, or 2 of 16-bit numbers
 *     SUFFIX NAME SET WORKS       of the table pw_qkernels_<SUFFIX>: its suffix, its name, its
 *                                 kernel set, and the function that tells whether the CPU runs it
 *
 *     q_set1(i) q_load(p) q_store(p, v) q_add(a, b) q_sub(a, b) q_mul(a, b)
 *     q_dot(sum, x, w)            sum + the products of each lane's numbers, modulo 2**32
 *     q_sum4(to, v)               stores four numbers, each the sum of the lanes of one of v[4]
 *     qf_set1(f) qf_load(p)
 *     q_round(v, scale)           v * scale in float, rounded, halves to even
 *     q_round_any(v, scale)       the same; beyond int32, a number that saturates alike
 *     q_pack(v, zero)             v[4], plus zero, saturated to bytes
 *     qb_set1(byte) qb_load(p) qb_store(p, b) qb_xor(a, b)
 *     qb_stream(p, b)             stores past the caches, to an aligned address
 *     qb_loadn(p, n) qb_storen(p, n, b)    the first n < 4 * VW bytes; no others are touched
 *     qb_bound(b, lo, hi)         bytes kept within lo..hi
 *     qb_spread(to, rows, zero)   makes lanes of rows[DEPTH], the bytes of a channel each, and
 *                                 stores them as four vectors; subtracts zero from 16-bit ones
 *
 * The lists of register tiles, MR x NR, yield both the kernels and their table. A planar tile has
 * MR channels, whose weights are broadcast, and four vectors of pixels, whose sums become one
 * vector of bytes. An interleaved tile has MR pixels, whose lanes are broadcast, and NR vectors of
 * channels.
 *
 *     Q_PLANAR_TILES(X)           X(MR), MR from 1 to PW_Q_MAX_MR at most, without gaps
 *     Q_INTERLEAVED_TILES(X)      X(MR, NR), NR from 1 to PW_Q_MAX_NR at most, MR <= Q_MAX_PIXELS
 */
#define QN(name) PW_PASTE(name, SUFFIX)

/* Q_BYTES: of a vector. Q_MAX_PIXELS: of an interleaved tile. */
enum { Q_BYTES = VW * PW_Q_LANE, Q_MAX_PIXELS = 16 };

PW_INLINE int32_t lane_at(const char *at) {
    int32_t lane;
    memcpy(&lane, at, sizeof lane);
    return lane;
}

/* A vector of sums before the first product of this pass: the bias, or what acc holds. */
PW_INLINE V begin_sums(const pw_qukernel_args *t, V bias, const int32_t *acc) {
    return t->first ? bias : q_load(acc);
}

/* Stores the first n bytes. */
PW_INLINE void store_bytes(char *y, int n, int stream, VB bytes) {
    if (n < Q_BYTES)
        qb_storen(y, n, bytes);
    else if (stream)
        qb_stream(y, bytes);
    else
        qb_store(y, bytes);
}

/* Turns NR vectors of sums into bytes. */
PW_INLINE VB bytes_of_sums(const pw_qukernel_args *t, const V *s, int NR, const VF *scales) {
    V v[4];
    if (t->output.in_reach) {
    PW_UNROLL
        for (int j = 0; j < 4; j++) v[j] = j < NR ? q_round(s[j], scales[j]) : q_set1(0);
    } else {
        PW_UNROLL
        for (int j = 0; j < 4; j++) v[j] = j < NR ? q_round_any(s[j], scales[j]) : q_set1(0);
    }
    const VB bytes = q_pack(v, t->output.zero);
    if (t->output.is_all) return bytes;
    return qb_xor(qb_bound(bytes, t->output.lo, t->output.hi), qb_set1(t->output.flip));
}

PW_INLINE void planar_tile(const pw_qukernel_args *t, int MR, int NR) {
    const char *x = t->x, *w = t->w;
    const ptrdiff_t x_g = t->x_g, w_k = t->w_k;
    V s[PW_Q_MAX_MR][4];
    PW_UNROLL
    for (int k = 0; k < MR; k++)
        PW_UNROLL
        for (int j = 0; j < NR; j++) {
            s[k][j] = begin_sums(t, q_set1(t->bias[k]), t->acc + k * t->acc_step + j * VW);
            if (t->x_sum)
                s[k][j] = q_sub(s[k][j], q_mul(q_set1(t->w_zero[k]), q_load(t->x_sum + j * VW)));
        }
    for (int64_t g = t->groups; g > 0; g--, x += x_g, w += PW_Q_LANE) {
        V v[4];
        PW_UNROLL
        for (int j = 0; j < NR; j++) v[j] = q_load(x + j * Q_BYTES);
        PW_UNROLL
        for (int k = 0; k < MR; k++) {
            const V wk = q_set1(lane_at(w + k * w_k));
            PW_UNROLL
            for (int j = 0; j < NR; j++) s[k][j] = q_dot(s[k][j], v[j], wk);
        }
    }
    PW_UNROLL
    for (int k = 0; k < MR; k++) {
        if (!t->last) {
            PW_UNROLL
            for (int j = 0; j < NR; j++) q_store(t->acc + k * t->acc_step + j * VW, s[k][j]);
            continue;
        }
        const VF scale = qf_set1(t->scale[k]);
        const VF scales[4] = {scale, scale, scale, scale};
        store_bytes(t->y + k * t->y_step, t->n, t->stream, bytes_of_sums(t, s[k], NR, scales));
    }
}

PW_INLINE void planar_run(const pw_qukernel_args *t, int MR) {
    switch ((t->n + VW - 1) / VW) {
    case 1: planar_tile(t, MR, 1); break;
    case 2: planar_tile(t, MR, 2); break;
    case 3: planar_tile(t, MR, 3); break;
    default: planar_tile(t, MR, 4);
    }
}

/* Stores the sums of pixel p to y, or back to acc. */
PW_INLINE void interleaved_finish(const pw_qukernel_args *t, int p, const V *s, int NR) {
    VF scales[4];
    if (!t->last) {
        PW_UNROLL
        for (int j = 0; j < NR; j++) q_store(t->acc + p * t->acc_step + j * VW, s[j]);
        return;
    }
    PW_UNROLL
    for (int j = 0; j < 4; j++) scales[j] = qf_load(t->scale + (j < NR ? j * VW : 0));
    store_bytes(t->y + p * t->y_step, t->channels, 0, bytes_of_sums(t, s, NR, scales));
}

/* Computes the first n of MR pixels from p on; the last of these stands in for the rest. */
PW_INLINE void interleaved_tile(const pw_qukernel_args *t, int p, int n, int MR, int NR) {
    const char *w = t->w, *x[Q_MAX_PIXELS];
    const ptrdiff_t x_g = t->x_g;
    ptrdiff_t at = 0;
    V s[Q_MAX_PIXELS][PW_Q_MAX_NR];
    PW_UNROLL
    for (int i = 0; i < MR; i++) {
        const int m = p + (i < n ? i : n - 1);
        x[i] = t->x + m * t->x_p;
        PW_UNROLL
        for (int j = 0; j < NR; j++) {
            s[i][j] = begin_sums(t, q_load(t->bias + j * VW), t->acc + m * t->acc_step + j * VW);
            if (t->x_sum)
                s[i][j] = q_sub(s[i][j], q_mul(q_set1(t->x_sum[m]), q_load(t->w_zero + j * VW)));
        }
    }
    for (int64_t g = t->groups; g > 0; g--, at += x_g, w += NR * Q_BYTES) {
        V v[PW_Q_MAX_NR];
        PW_UNROLL
        for (int j = 0; j < NR; j++) v[j] = q_load(w + j * Q_BYTES);
        PW_UNROLL
        for (int i = 0; i < MR; i++) {
            const V xi = q_set1(lane_at(x[i] + at));
            PW_UNROLL
            for (int j = 0; j < NR; j++) s[i][j] = q_dot(s[i][j], xi, v[j]);
        }
    }
    PW_UNROLL
    for (int i = 0; i < MR; i++)
        if (i < n) interleaved_finish(t, p + i, s[i], NR);
}

PW_INLINE void interleaved_run(const pw_qukernel_args *t, int MR, int NR) {
    for (int p = 0; p < t->n; p += MR)
        interleaved_tile(t, p, t->n - p < MR ? t->n - p : MR, MR, NR);
}

/* Computes n <= 4 pixels from p on, four channels at a time. The lanes of a sum are groups of
 * channels, which are added up at the end. */
PW_INLINE void dot_pixels(const pw_qukernel_args *t, int p, int n) {
    const char *x = t->x + p * t->x_p;
    int32_t sums[4][Q_BYTES] = {{0}};
    for (int k = 0; k < t->channels; k += 4) {
        const char *w[4];
        V s[4][4];
        PW_UNROLL
        for (int i = 0; i < 4; i++) {
            w[i] = t->w + (k + i < t->channels ? k + i : k) * t->w_k;
            PW_UNROLL
            for (int r = 0; r < n; r++) s[r][i] = q_set1(0);
        }
        for (ptrdiff_t at = 0; at < t->groups * PW_Q_LANE; at += Q_BYTES)
            PW_UNROLL
            for (int r = 0; r < n; r++) {
                const V xr = q_load(x + r * t->x_p + at);
                PW_UNROLL
                for (int i = 0; i < 4; i++) s[r][i] = q_dot(s[r][i], xr, q_load(w[i] + at));
            }
        PW_UNROLL
        for (int r = 0; r < n; r++) q_sum4(sums[r] + k, s[r]);
    }
    for (int r = 0; r < n; r++) {
        char bytes[Q_BYTES];
        V v[4];
        VF scales[4];
        PW_UNROLL
        for (int j = 0; j < 4; j++) {
            v[j] = q_add(q_load(sums[r] + j * VW), q_load(t->bias + j * VW));
            if (t->x_sum)
                v[j] = q_sub(v[j], q_mul(q_set1(t->x_sum[p + r]), q_load(t->w_zero + j * VW)));
            scales[j] = qf_load(t->scale + j * VW);
        }
        qb_store(bytes, bytes_of_sums(t, v, 4, scales));
        for (int k = 0; k < t->channels; k++) t->y[k * t->y_step + p + r] = bytes[k];
    }
}

static void QN(dot)(const pw_qukernel_args *t) {
    int p = 0;
    for (; p + 4 <= t->n; p += 4) dot_pixels(t, p, 4);
    for (; p < t->n; p++) dot_pixels(t, p, 1);
}

/* Loads n pixels of a channel. */
PW_INLINE VB stage_row(pw_qbytes bytes, const char *x, int n, ptrdiff_t ahead) {
    if (ahead) __builtin_prefetch(x + ahead, 0, 2);
    return qb_xor(n < Q_BYTES ? qb_loadn(x, n) : qb_load(x), qb_set1(bytes.flip));
}

PW_INLINE void stage_rows(pw_qbytes bytes, char *to, ptrdiff_t to_g, const char *x, ptrdiff_t x_c,
                          int64_t C, int n, ptrdiff_t ahead) {
    VB rows[DEPTH];
    for (; C >= DEPTH; C -= DEPTH, to += to_g) {
        PW_UNROLL
        for (int i = 0; i < DEPTH; i++, x += x_c) rows[i] = stage_row(bytes, x, n, ahead);
        qb_spread(to, rows, bytes.zero);
    }
    if (C == 0) return;
    /* Channels past the last become zeros, so where zero is taken off they are `zero` here. */
    PW_UNROLL
    for (int i = 0; i < DEPTH; i++, x += x_c)
        rows[i] = i < C ? stage_row(bytes, x, n, ahead)
                        : qb_set1(DEPTH == 2 ? (uint8_t)bytes.zero : 0);
    qb_spread(to, rows, bytes.zero);
}

static void QN(stage)(pw_qbytes bytes, char *to, ptrdiff_t to_g, const char *x, ptrdiff_t x_c,
                      int64_t C, int n, ptrdiff_t ahead) {
    if (n == Q_BYTES)
        stage_rows(bytes, to, to_g, x, x_c, C, Q_BYTES, ahead);
    else
        stage_rows(bytes, to, to_g, x, x_c, C, n, ahead);
}

#if DEPTH == 4
/* Sums four rows at a time. Past the last of n, the first of the four is summed again. */
PW_INLINE void sum_rows(const char *lanes, ptrdiff_t step, int64_t bytes, int64_t n, int32_t *to,
                        int are_x) {
    const V ones = q_set1(0x01010101);
    for (int64_t i = 0; i < n; i += 4) {
        V sums[4];
        PW_UNROLL
        for (int j = 0; j < 4; j++) sums[j] = q_set1(0);
        for (int64_t at = 0; at < bytes; at += Q_BYTES)
            PW_UNROLL
            for (int j = 0; j < 4; j++) {
                const V v = q_load(lanes + (i + j < n ? i + j : i) * step + at);
                sums[j] = are_x ? q_dot(sums[j], v, ones) : q_dot(sums[j], ones, v);
            }
        q_sum4(to + i, sums);
    }
}
static void QN(sum_w)(const char *w, ptrdiff_t w_k, int64_t bytes, int64_t n, int32_t *to) {
    sum_rows(w, w_k, bytes, n, to, 0);
}
static void QN(sum_x)(const char *x, ptrdiff_t x_p, int64_t bytes, int64_t n, int32_t *to) {
    sum_rows(x, x_p, bytes, n, to, 1);
}
#endif

#define DEFINE(MR)                                             \
    static void QN(q_planar_##MR)(const pw_qukernel_args *t) { \
        planar_run(t, MR);                                     \
    }
Q_PLANAR_TILES(DEFINE)
#undef DEFINE
#define DEFINE(MR, NR)                                              \
    static void QN(q_interleaved_##NR)(const pw_qukernel_args *t) { \
        interleaved_run(t, MR, NR);                                 \
    }
Q_INTERLEAVED_TILES(DEFINE)
#undef DEFINE

/* These make the entries of the table below. */
#define PLANAR(MR) [MR] = QN(q_planar_##MR),
#define INTERLEAVED(MR, NR) [NR] = QN(q_interleaved_##NR),
#define COUNT(...) +1

const pw_qkernels QN(pw_qkernels) = {
    .name = NAME,
    .set = &SET,
    .works = WORKS,
    .lanes = LANES,
    .depth = DEPTH,
    .vector = VW,
    .planar_mr_max = Q_PLANAR_TILES(COUNT),
    .planar = {Q_PLANAR_TILES(PLANAR)},
    .interleaved_nr_max = Q_INTERLEAVED_TILES(COUNT),
    .interleaved = {Q_INTERLEAVED_TILES(INTERLEAVED)},
    .dot = QN(dot),
    .stage = QN(stage),
#if DEPTH == 4
    .sum_w = QN(sum_w),
    .sum_x = QN(sum_x),
#endif
};
