"""Fits the polynomials in c_src/isa/erfcx.h: (1 + 2u) erfcx(u) in t = (u - 4) / (u + 4).

Chebyshev interpolation on t in [-1, 1), that is u in [0, inf), in 60 digits. Writes the
coefficients in powers of t, highest first, and the largest relative error of the rounded
polynomial. The form is that of M. M. Shepherd and J. G. Laframboise, "Chebyshev approximation of
(1 + 2x) exp(x^2) erfc(x) in 0 <= x < inf", Mathematics of Computation 36 (1981).

Needs mpmath. Run: python tools/fit_erfcx.py > c_src/isa/erfcx.h
"""

import numpy as np
from mpmath import chop, cos, erfc, exp, mp, mpf, pi, polyval

mp.dps = 60
SHIFT = 4


def target(t):
    if t == 1:
        return 2 / mp.sqrt(pi)
    u = SHIFT * (1 + t) / (1 - t)
    if u > 1000:  # the asymptotic series
        series = sum((-1) ** n * mp.fac2(2 * n - 1) / (2 * u * u) ** n for n in range(1, 8))
        return (1 + 2 * u) / (u * mp.sqrt(pi)) * (1 + series)
    return (1 + 2 * u) * exp(u * u) * erfc(u)


def fit(degree):
    """Coefficients in powers of t, highest first."""
    n = degree + 1
    nodes = [cos(pi * (2 * i + 1) / (2 * n)) for i in range(n)]
    values = [target(t) for t in nodes]
    chebyshev = [
        2 * sum(v * cos(pi * k * (2 * i + 1) / (2 * n)) for i, v in enumerate(values)) / n
        for k in range(n)
    ]
    chebyshev[0] /= 2
    total, before, now = [mpf(0)] * n, [mpf(1)], [mpf(0), mpf(1)]
    for k, c in enumerate(chebyshev):
        power = before if k == 0 else now
        for i, p in enumerate(power):
            total[i] += c * p
        if k > 0:
            following = [mpf(0), *(2 * p for p in now)]
            for i, p in enumerate(before):
                following[i] -= p
            before, now = now, following
    return [chop(c) for c in reversed(total)]


def error(coefficients):
    points = [mpf(i) / 200 for i in range(-200, 200)]
    return max(abs(polyval(coefficients, t) / target(t) - 1) for t in points)


print("/* Written by tools/fit_erfcx.py. Largest relative errors: see each table. */")
TABLES = (("f32", np.float32, "float", 11), ("f64", np.float64, "double", 25))
for suffix, kind, ctype, degree in TABLES:
    rounded = [kind(float(c)) for c in fit(degree)]
    worst = float(error([mpf(float(c)) for c in rounded]))
    print(f"/* {worst:.1e} */")
    print(f"static const {ctype} erfcx_{suffix}[] = {{")
    for c in rounded:
        print(f"    {float(c).hex()}{'f' if suffix == 'f32' else ''},")
    print("};")
