/* Template: activations of vectors.
 *
 * Each is one fixed sequence of IEEE operations, so that every kernel set gives the same bits.
 * Series are Taylor's, long enough for half an ulp on their reduced range; errors add up to a few
 * ulp. Where a comment gives two numbers, the second, in parentheses, is that of float64.
 */

PW_INLINE V v_of(double x) {
    return v_set1((T)x);
}

PW_INLINE V v_broadcast(const char *p) {
    T value;
    memcpy(&value, p, sizeof value);
    return v_set1(value);
}

PW_INLINE V v_clamp(V x, V lo, V hi) {
    return v_min(hi, v_max(lo, x));
}

/* 2^(n + offset) for an integer n, where n + offset is in [-126, 127] (or [-1022, 1023]): adding
 * 1.5 * 2^23 (or 1.5 * 2^52) + bias + offset leaves the biased exponent in the lowest bits. */
PW_INLINE V v_power_of_2(V n, int offset) {
    const T magic = sizeof(T) == 4 ? (T)(0x1.8p23 + 127 + offset) : (T)(0x1.8p52 + 1023 + offset);
    return v_shift(v_add(n, v_of(magic)));
}

/* x = n ln 2 + r, |r| <= ln(2)/2; returns n, and exp(r) - 1 as `fraction`. |x| is under 2^7 (or
 * 2^10). */
PW_INLINE V v_exp_parts(V x, V *fraction) {
    /* ln 2 in two parts, the first of which ends in enough zeros for n * ln2_hi to be exact. */
    const T ln2_hi = sizeof(T) == 4 ? (T)0x1.62e4p-1 : (T)0x1.62e42fefa38p-1;
    const T ln2_lo = sizeof(T) == 4 ? (T)0x1.7f7d1cf79abcap-20 : (T)0x1.ef35793c7673p-45;
    const T magic = sizeof(T) == 4 ? (T)0x1.8p23 : (T)0x1.8p52;
    const V n = v_sub(v_fma(x, v_of(1.4426950408889634), v_of(magic)), v_of(magic));
    const V r = v_fma(n, v_of(-ln2_lo), v_fma(n, v_of(-ln2_hi), x));
    V q;
    if (sizeof(T) == 4) {
        q = v_of(1.0 / 5040);
    } else {
        q = v_of(1.0 / 6227020800);
        q = v_fma(q, r, v_of(1.0 / 479001600));
        q = v_fma(q, r, v_of(1.0 / 39916800));
        q = v_fma(q, r, v_of(1.0 / 3628800));
        q = v_fma(q, r, v_of(1.0 / 362880));
        q = v_fma(q, r, v_of(1.0 / 40320));
        q = v_fma(q, r, v_of(1.0 / 5040));
    }
    q = v_fma(q, r, v_of(1.0 / 720));
    q = v_fma(q, r, v_of(1.0 / 120));
    q = v_fma(q, r, v_of(1.0 / 24));
    q = v_fma(q, r, v_of(1.0 / 6));
    q = v_fma(q, r, v_of(1.0 / 2));
    *fraction = v_fma(v_mul(q, r), r, r);
    return n;
}

/* exp(x), which overflows to infinity. For x under -86 (or -707) it stays what it is there. */
PW_INLINE V v_exp_up(V x) {
    const T lo = sizeof(T) == 4 ? -86 : -707, hi = sizeof(T) == 4 ? 89 : 710;
    V fraction;
    const V n = v_exp_parts(v_clamp(x, v_of(lo), v_of(hi)), &fraction);
    const V half = v_mul(v_add(v_of(1), fraction), v_power_of_2(n, -1));
    return v_add(half, half);
}

/* 2^30 (or 2^60) exp(x) for x up to 20. For x under -105 (or -747), where exp(x) rounds to 0, it
 * stays what it is there. */
PW_INLINE V v_exp_scaled(V x) {
    const int offset = sizeof(T) == 4 ? 30 : 60;
    const T lo = sizeof(T) == 4 ? -105 : -747;
    V fraction;
    const V n = v_exp_parts(v_max(v_of(lo), x), &fraction);
    return v_mul(v_add(v_of(1), fraction), v_power_of_2(n, offset));
}

/* exp(x) for x up to 20, which underflows to 0 through the subnormal numbers. */
PW_INLINE V v_exp_down(V x) {
    return v_mul(v_exp_scaled(x), v_of(sizeof(T) == 4 ? (T)0x1p-30 : (T)0x1p-60));
}

/* What v_exp_down computes, for where many results are subnormal or 0. A product that underflows
 * costs Intel CPUs some 150 cycles, a sum costs nothing. So the product is computed as
 * part of a sum with 2^-126 (or 2^-1022), where it is rounded as it would be alone; taking that
 * number off again is exact. */
PW_INLINE V v_exp_far_down(V x) {
    const T normal = sizeof(T) == 4 ? (T)0x1p-126 : (T)0x1p-1022;
    const T unit = sizeof(T) == 4 ? (T)0x1p-30 : (T)0x1p-60;
    const V large = v_exp_scaled(x), least = v_of(normal / unit);
    const V under = v_sub(v_mul(v_add(v_min(least, large), least), v_of(unit)), v_of(normal));
    const V over = v_mul(v_max(least, large), v_of(unit));
    return v_where_positive(v_sub(large, least), over, under);
}

/* exp(x) - 1 for x up to 80. Below -30 (or -60), where it is as good as -1, it stays what it is
 * there. */
PW_INLINE V v_expm1(V x) {
    V fraction;
    const V n = v_exp_parts(v_clamp(x, v_of(sizeof(T) == 4 ? -30 : -60), v_of(80)), &fraction);
    const V power = v_power_of_2(n, 0);
    return v_fma(power, fraction, v_sub(power, v_of(1)));
}

PW_INLINE V v_sigmoid(V x) {
    return v_div(v_of(1), v_add(v_of(1), v_exp_up(v_sub(v_of(0), x))));
}

/* x sigmoid(s) */
PW_INLINE V v_times_sigmoid(V x, V s) {
    return v_div(x, v_add(v_of(1), v_exp_up(v_sub(v_of(0), s))));
}

PW_INLINE V v_tanh(V x) {
    const V size = v_min(v_of(40), v_abs(x));
    const V e = v_expm1(v_add(size, size));
    return v_copysign(v_div(e, v_add(e, v_of(2))), x);
}

/* log(1 + u) for u in [0, 1]: 2 artanh(u / (2 + u)). */
PW_INLINE V v_log1p(V u) {
    const V s = v_div(u, v_add(v_of(2), u)), z = v_mul(s, s);
    V q;
    if (sizeof(T) == 4) {
        q = v_of(1.0 / 17);
    } else {
        q = v_of(1.0 / 33);
        q = v_fma(q, z, v_of(1.0 / 31));
        q = v_fma(q, z, v_of(1.0 / 29));
        q = v_fma(q, z, v_of(1.0 / 27));
        q = v_fma(q, z, v_of(1.0 / 25));
        q = v_fma(q, z, v_of(1.0 / 23));
        q = v_fma(q, z, v_of(1.0 / 21));
        q = v_fma(q, z, v_of(1.0 / 19));
        q = v_fma(q, z, v_of(1.0 / 17));
    }
    q = v_fma(q, z, v_of(1.0 / 15));
    q = v_fma(q, z, v_of(1.0 / 13));
    q = v_fma(q, z, v_of(1.0 / 11));
    q = v_fma(q, z, v_of(1.0 / 9));
    q = v_fma(q, z, v_of(1.0 / 7));
    q = v_fma(q, z, v_of(1.0 / 5));
    q = v_fma(q, z, v_of(1.0 / 3));
    return v_fma(v_mul(q, z), v_add(s, s), v_add(s, s));
}

/* PyTorch's softplus, which is x itself above its threshold of 20. */
PW_INLINE V v_softplus(V x) {
    const V soft = v_add(v_max(v_of(0), x), v_log1p(v_exp_down(v_sub(v_of(0), v_abs(x)))));
    return v_where_positive(v_sub(x, v_of(20)), x, soft);
}

/* x tanh(log(1 + e)) with e = exp(x). As (1 + e)^2 - 1 = e (e + 2) =: n, tanh is n / (n + 2), which
 * is 1 to the last bit from x = 20 on. */
PW_INLINE V v_mish(V x) {
    const V e = v_exp_down(v_min(v_of(20), x)), n = v_mul(e, v_add(e, v_of(2)));
    return v_mul(x, v_div(n, v_add(n, v_of(2))));
}

/* x Phi(x): with u = |x| / sqrt 2, Phi(-|x|) = erfc(u) / 2 and
 * erfc(u) = exp(-u^2) erfcx(u), erfcx(u) = P((u - 4) / (u + 4)) / (1 + 2 u),
 * where P is fitted by tools/fit_erfcx.py (the form is Shepherd and Laframboise's, 1981). */
PW_INLINE V v_gelu(V x) {
    const int n = sizeof(T) == 4 ? sizeof erfcx_f32 / sizeof *erfcx_f32
                                 : sizeof erfcx_f64 / sizeof *erfcx_f64;
    const V u = v_mul(v_min(v_of(40), v_abs(x)), v_of(0.70710678118654752));
    /* One division, by both denominators, in the place of two. */
    const V u4 = v_add(u, v_of(4)), u1 = v_fma(v_of(2), u, v_of(1)),
            inverse = v_div(v_of(1), v_mul(u4, u1));
    const V t = v_mul(v_sub(u, v_of(4)), v_mul(inverse, u1));
    V p = v_of(sizeof(T) == 4 ? (T)erfcx_f32[0] : (T)erfcx_f64[0]);
    PW_UNROLL
    for (int i = 1; i < n; i++) p = v_fma(p, t, v_of(sizeof(T) == 4 ? (T)erfcx_f32[i] : (T)erfcx_f64[i]));
    /* Rounding u^2 = x^2 / 2 shifts exp by up to u^2 ulp; `lost` corrects that to first order. */
    const V y = v_min(v_of(40), v_abs(x));
    const V square = v_mul(y, y), lost = v_fma(y, y, v_sub(v_of(0), square));
    V e = v_exp_down(v_mul(square, v_of(-0.5)));
    e = v_fma(v_mul(e, lost), v_of(-0.5), e);
    const V tail = v_mul(v_mul(v_of(0.5), v_mul(e, p)), v_mul(inverse, u4));
    return v_mul(x, v_where_positive(x, v_sub(v_of(1), tail), tail));
}

/* PReLU: x > 0 ? x : slope x */
PW_INLINE V v_sloped(V slope, V x) {
    return v_where_positive(x, x, v_mul(slope, x));
}

/* Activates v[0..n) in place, by those activations that kernels do not compute in registers. */
PW_NOINLINE void FN(activate)(V *v, int n, const pw_epilogue *epilogue) {
    const V a = v_of(epilogue->a);
#define EACH(expression)          \
    for (int i = 0; i < n; i++) { \
        const V x = v[i];         \
        v[i] = expression;        \
    }                             \
    return
    switch (epilogue->activation) {
    case PW_ACT_LEAKY_RELU: EACH(v_where_positive(x, x, v_mul(a, x)));
    case PW_ACT_SIGMOID: EACH(v_sigmoid(x));
    case PW_ACT_TANH: EACH(v_tanh(x));
    case PW_ACT_SILU: EACH(v_times_sigmoid(x, x));
    case PW_ACT_GELU: EACH(v_gelu(x));
    case PW_ACT_GELU_TANH: /* tanh(z) = 2 sigmoid(2z) - 1 */
        EACH(v_times_sigmoid(
            x, v_mul(v_mul(x, v_of(1.5957691216057308)), v_fma(v_mul(x, x), v_of(0.044715), v_of(1)))));
    case PW_ACT_HARDSWISH:
        EACH(v_mul(x, v_mul(v_clamp(v_add(x, v_of(3)), v_of(0), v_of(6)), v_of(1.0 / 6))));
    case PW_ACT_HARDSIGMOID: EACH(v_mul(v_clamp(v_add(x, v_of(3)), v_of(0), v_of(6)), v_of(1.0 / 6)));
    case PW_ACT_ELU: EACH(v_where_positive(x, x, v_mul(a, v_expm1(v_min(v_of(0), x)))));
    case PW_ACT_SOFTPLUS: EACH(v_softplus(x));
    case PW_ACT_MISH: EACH(v_mish(x));
    case PW_ACT_NONE:
    case PW_ACT_RELU:
    case PW_ACT_RELU6:
    case PW_ACT_CLIP: return; /* computed in registers */
    }
#undef EACH
}

/* Activates n x width sums, s[i * step + j]. `activate` gets copies of them: if the address of the
 * sums themselves were passed on, they could not live in registers before. */
PW_INLINE void activate_sums(V *s, int n, int width, int step, const pw_epilogue *epilogue) {
    if (epilogue->activation == PW_ACT_CLIP) {
        const V lo = v_set1((T)epilogue->a), hi = v_set1((T)epilogue->b);
        PW_UNROLL
        for (int i = 0; i < n; i++)
            PW_UNROLL
            for (int j = 0; j < width; j++) s[i * step + j] = v_clamp(s[i * step + j], lo, hi);
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
