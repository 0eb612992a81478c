/* Template: activations of vectors.
 *
 * One fixed sequence of IEEE operations each, so that every kernel set gives the same bits. Series
 * are Taylor's, long enough for half an ulp on their reduced range; errors add up to a few ulp.
 */

#define C_(x) V_SET1((T)(x))

PW_INLINE V FN(load1)(const char *p) {
    T value;
    memcpy(&value, p, sizeof value);
    return V_SET1(value);
}

PW_INLINE V FN(clamp)(V x, V lo, V hi) {
    return V_MIN(hi, V_MAX(lo, x));
}

/* 2^(n + offset) for an integer n, the sum in [-126, 127] or [-1022, 1023]: adding 1.5 * 2^23 + bias
 * (or 2^52) leaves the biased exponent in the lowest bits. */
PW_INLINE V FN(power_of_2)(V n, int offset) {
    const T magic = sizeof(T) == 4 ? (T)(0x1.8p23 + 127 + offset) : (T)(0x1.8p52 + 1023 + offset);
    return V_SHIFT(V_ADD(n, C_(magic)));
}

/* x = n ln 2 + r, |r| <= ln(2)/2; returns n and exp(r) - 1. |x| stays under 2^10 or 2^7. */
PW_INLINE V FN(exp_parts)(V x, V *fraction) {
    /* ln 2 in two parts; the first ends in zeros enough for n * ln2_hi to be exact. */
    const T ln2_hi = sizeof(T) == 4 ? (T)0x1.62e4p-1 : (T)0x1.62e42fefa38p-1;
    const T ln2_lo = sizeof(T) == 4 ? (T)0x1.7f7d1cf79abcap-20 : (T)0x1.ef35793c7673p-45;
    const T magic = sizeof(T) == 4 ? (T)0x1.8p23 : (T)0x1.8p52;
    const V n = V_SUB(V_FMA(x, C_(1.4426950408889634), C_(magic)), C_(magic));
    const V r = V_FMA(n, C_(-ln2_lo), V_FMA(n, C_(-ln2_hi), x));
    V q;
    if (sizeof(T) == 4) {
        q = C_(1.0 / 5040);
    } else {
        q = C_(1.0 / 6227020800);
        q = V_FMA(q, r, C_(1.0 / 479001600));
        q = V_FMA(q, r, C_(1.0 / 39916800));
        q = V_FMA(q, r, C_(1.0 / 3628800));
        q = V_FMA(q, r, C_(1.0 / 362880));
        q = V_FMA(q, r, C_(1.0 / 40320));
        q = V_FMA(q, r, C_(1.0 / 5040));
    }
    q = V_FMA(q, r, C_(1.0 / 720));
    q = V_FMA(q, r, C_(1.0 / 120));
    q = V_FMA(q, r, C_(1.0 / 24));
    q = V_FMA(q, r, C_(1.0 / 6));
    q = V_FMA(q, r, C_(1.0 / 2));
    *fraction = V_FMA(V_MUL(q, r), r, r);
    return n;
}

/* exp(x), which overflows to infinity; where it is under 2^-125 (or 2^-1021) it stays there. */
PW_INLINE V FN(exp_up)(V x) {
    const T lo = sizeof(T) == 4 ? -86 : -707, hi = sizeof(T) == 4 ? 89 : 710;
    V fraction;
    const V n = FN(exp_parts)(FN(clamp)(x, C_(lo), C_(hi)), &fraction);
    const V half = V_MUL(V_ADD(C_(1), fraction), FN(power_of_2)(n, -1));
    return V_ADD(half, half);
}

/* exp(x) 2^30 (or 2^60) for x up to 20; under -105 (or -747), where exp(x) rounds to 0, it stays. */
PW_INLINE V FN(exp_scaled)(V x) {
    const int offset = sizeof(T) == 4 ? 30 : 60;
    const T lo = sizeof(T) == 4 ? -105 : -747;
    V fraction;
    const V n = FN(exp_parts)(V_MAX(C_(lo), x), &fraction);
    return V_MUL(V_ADD(C_(1), fraction), FN(power_of_2)(n, offset));
}

/* exp(x) for x up to 20, which underflows to 0 through the subnormal numbers. */
PW_INLINE V FN(exp_down)(V x) {
    return V_MUL(FN(exp_scaled)(x), C_(sizeof(T) == 4 ? (T)0x1p-30 : (T)0x1p-60));
}

/* exp(x) for x up to 20, as exp_down has it, where many results are subnormal or 0. A product that
 * underflows costs Intel CPUs some 150 cycles, a sum nothing: beside 2^-126 (or 2^-1022) a product
 * is rounded as it would be alone, and the difference is exact. */
PW_INLINE V FN(exp_far_down)(V x) {
    const T normal = sizeof(T) == 4 ? (T)0x1p-126 : (T)0x1p-1022;
    const T unit = sizeof(T) == 4 ? (T)0x1p-30 : (T)0x1p-60;
    const V large = FN(exp_scaled)(x), least = C_(normal / unit);
    const V under = V_SUB(V_MUL(V_ADD(V_MIN(least, large), least), C_(unit)), C_(normal));
    const V over = V_MUL(V_MAX(least, large), C_(unit));
    return V_WHERE_POSITIVE(V_SUB(large, least), over, under);
}

/* exp(x) - 1 for x at which it neither overflows nor matters that it ends near -1. */
PW_INLINE V FN(expm1)(V x) {
    V fraction;
    const V n = FN(exp_parts)(FN(clamp)(x, C_(sizeof(T) == 4 ? -30 : -60), C_(80)), &fraction);
    const V power = FN(power_of_2)(n, 0);
    return V_FMA(power, fraction, V_SUB(power, C_(1)));
}

PW_INLINE V FN(sigmoid)(V x) {
    return V_DIV(C_(1), V_ADD(C_(1), FN(exp_up)(V_SUB(C_(0), x))));
}

/* x sigmoid(s) */
PW_INLINE V FN(times_sigmoid)(V x, V s) {
    return V_DIV(x, V_ADD(C_(1), FN(exp_up)(V_SUB(C_(0), s))));
}

PW_INLINE V FN(tanh)(V x) {
    const V size = V_MIN(C_(40), V_ABS(x));
    const V e = FN(expm1)(V_ADD(size, size));
    return V_COPYSIGN(V_DIV(e, V_ADD(e, C_(2))), x);
}

/* log(1 + u) for u in [0, 1]: 2 artanh(u / (2 + u)). */
PW_INLINE V FN(log1p)(V u) {
    const V s = V_DIV(u, V_ADD(C_(2), u)), z = V_MUL(s, s);
    V q;
    if (sizeof(T) == 4) {
        q = C_(1.0 / 17);
    } else {
        q = C_(1.0 / 33);
        q = V_FMA(q, z, C_(1.0 / 31));
        q = V_FMA(q, z, C_(1.0 / 29));
        q = V_FMA(q, z, C_(1.0 / 27));
        q = V_FMA(q, z, C_(1.0 / 25));
        q = V_FMA(q, z, C_(1.0 / 23));
        q = V_FMA(q, z, C_(1.0 / 21));
        q = V_FMA(q, z, C_(1.0 / 19));
        q = V_FMA(q, z, C_(1.0 / 17));
    }
    q = V_FMA(q, z, C_(1.0 / 15));
    q = V_FMA(q, z, C_(1.0 / 13));
    q = V_FMA(q, z, C_(1.0 / 11));
    q = V_FMA(q, z, C_(1.0 / 9));
    q = V_FMA(q, z, C_(1.0 / 7));
    q = V_FMA(q, z, C_(1.0 / 5));
    q = V_FMA(q, z, C_(1.0 / 3));
    return V_FMA(V_MUL(q, z), V_ADD(s, s), V_ADD(s, s));
}

/* PyTorch's: x itself from its threshold of 20 on. */
PW_INLINE V FN(softplus)(V x) {
    const V soft = V_ADD(V_MAX(C_(0), x), FN(log1p)(FN(exp_down)(V_SUB(C_(0), V_ABS(x)))));
    return V_WHERE_POSITIVE(V_SUB(x, C_(20)), x, soft);
}

/* x tanh(log(1 + e)), e = exp(x): (1+e)^2 - 1 = e (e + 2) =: n, and tanh = n / (n + 2), which is 1
 * to the last bit from x = 20 on. */
PW_INLINE V FN(mish)(V x) {
    const V e = FN(exp_down)(V_MIN(C_(20), x)), n = V_MUL(e, V_ADD(e, C_(2)));
    return V_MUL(x, V_DIV(n, V_ADD(n, C_(2))));
}

/* x Phi(x): with u = |x| / sqrt 2, Phi(-|x|) = erfc(u) / 2 and
 * erfc(u) = exp(-u^2) erfcx(u), erfcx(u) = P((u - 4) / (u + 4)) / (1 + 2 u),
 * where P is fitted by tools/fit_erfcx.py (the form is Shepherd and Laframboise's, 1981). */
PW_INLINE V FN(gelu)(V x) {
    const int n = sizeof(T) == 4 ? sizeof erfcx_f32 / sizeof *erfcx_f32
                                 : sizeof erfcx_f64 / sizeof *erfcx_f64;
    const V u = V_MUL(V_MIN(C_(40), V_ABS(x)), C_(0.70710678118654752));
    /* One division for two, by both denominators. */
    const V u4 = V_ADD(u, C_(4)), u1 = V_FMA(C_(2), u, C_(1)),
            inverse = V_DIV(C_(1), V_MUL(u4, u1));
    const V t = V_MUL(V_SUB(u, C_(4)), V_MUL(inverse, u1));
    V p = C_(sizeof(T) == 4 ? (T)erfcx_f32[0] : (T)erfcx_f64[0]);
    PW_UNROLL
    for (int i = 1; i < n; i++) p = V_FMA(p, t, C_(sizeof(T) == 4 ? (T)erfcx_f32[i] : (T)erfcx_f64[i]));
    /* u^2 = x^2 / 2 rounds by up to u^2 ulp: what is lost comes back to first order. */
    const V y = V_MIN(C_(40), V_ABS(x));
    const V square = V_MUL(y, y), lost = V_FMA(y, y, V_SUB(C_(0), square));
    V e = FN(exp_down)(V_MUL(square, C_(-0.5)));
    e = V_FMA(V_MUL(e, lost), C_(-0.5), e);
    const V tail = V_MUL(V_MUL(C_(0.5), V_MUL(e, p)), V_MUL(inverse, u4));
    return V_MUL(x, V_WHERE_POSITIVE(x, V_SUB(C_(1), tail), tail));
}

/* PReLU: x > 0 ? x : slope x */
PW_INLINE V FN(sloped)(V slope, V x) {
    return V_WHERE_POSITIVE(x, x, V_MUL(slope, x));
}

/* Activates v[0..n) in place: all that kernels do not do in registers. */
PW_NOINLINE void FN(activate)(V *v, int n, const pw_epilogue *epilogue) {
    const V a = C_(epilogue->a);
#define EACH(expression)          \
    for (int i = 0; i < n; i++) { \
        const V x = v[i];         \
        v[i] = expression;        \
    }                             \
    return
    switch (epilogue->activation) {
    case PW_ACT_LEAKY_RELU: EACH(V_WHERE_POSITIVE(x, x, V_MUL(a, x)));
    case PW_ACT_SIGMOID: EACH(FN(sigmoid)(x));
    case PW_ACT_TANH: EACH(FN(tanh)(x));
    case PW_ACT_SILU: EACH(FN(times_sigmoid)(x, x));
    case PW_ACT_GELU: EACH(FN(gelu)(x));
    case PW_ACT_GELU_TANH: /* tanh(z) = 2 sigmoid(2z) - 1 */
        EACH(FN(times_sigmoid)(
            x, V_MUL(V_MUL(x, C_(1.5957691216057308)), V_FMA(V_MUL(x, x), C_(0.044715), C_(1)))));
    case PW_ACT_HARDSWISH:
        EACH(V_MUL(x, V_MUL(FN(clamp)(V_ADD(x, C_(3)), C_(0), C_(6)), C_(1.0 / 6))));
    case PW_ACT_HARDSIGMOID: EACH(V_MUL(FN(clamp)(V_ADD(x, C_(3)), C_(0), C_(6)), C_(1.0 / 6)));
    case PW_ACT_ELU: EACH(V_WHERE_POSITIVE(x, x, V_MUL(a, FN(expm1)(V_MIN(C_(0), x)))));
    case PW_ACT_SOFTPLUS: EACH(FN(softplus)(x));
    case PW_ACT_MISH: EACH(FN(mish)(x));
    case PW_ACT_NONE:
    case PW_ACT_RELU:
    case PW_ACT_RELU6:
    case PW_ACT_CLIP: return; /* in registers */
    }
#undef EACH
}

/* Activates n x width sums, s[i * step + j]. Those that `activate` takes are copied to memory: were
 * their own address given away, they could not live in registers before. */
PW_INLINE void FN(activate_sums)(V *s, int n, int width, int step, const pw_epilogue *epilogue) {
    if (epilogue->activation == PW_ACT_CLIP) {
        const V lo = V_SET1((T)epilogue->a), hi = V_SET1((T)epilogue->b);
        PW_UNROLL
        for (int i = 0; i < n; i++)
            PW_UNROLL
            for (int j = 0; j < width; j++) s[i * step + j] = FN(clamp)(s[i * step + j], lo, hi);
    } else if (epilogue->activation != PW_ACT_NONE) {
        V v[PW_MOST_SUMS];
        PW_UNROLL
        for (int i = 0; i < n; i++)
            PW_UNROLL
            for (int j = 0; j < width; j++) v[i * width + j] = s[i * step + j];
        FN(activate)(v, n * width, epilogue);
        PW_UNROLL
        for (int i = 0; i < n; i++)
            PW_UNROLL
            for (int j = 0; j < width; j++) s[i * step + j] = v[i * width + j];
    }
}
