"""The hot loops: plain arrays in, plain arrays out; no classes, no units, no random state.

Velocities arrive in channels: channel k covers [k, k + 1], so a node at u = k + 1/2 sits in the middle of channel k.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from scipy import special

__all__ = ["deposit", "invert_cumulative"]

#: The normal distribution function is tabulated out to this many sigma, where it has left 1e-8.
REACH = 5.6
#: Table intervals per sigma; the cubic in each is then good to 3e-9.
STEPS = 32


def _normal_table() -> np.ndarray:
    """Coefficients, shape (n, 4), of the cubic Hermite pieces of the normal distribution function."""
    x = np.linspace(-REACH, REACH, round(2 * REACH * STEPS) + 1)
    value = special.ndtr(x)
    value[0], value[-1] = 0.0, 1.0
    slope = np.exp(-0.5 * x**2) / np.sqrt(2.0 * np.pi) * (x[1] - x[0])
    rise = np.diff(value)
    s0, s1 = slope[:-1], slope[1:]
    return np.stack([value[:-1], s0, 3.0 * rise - 2.0 * s0 - s1, s0 + s1 - 2.0 * rise], axis=1)


_NORMAL = _normal_table()
_INTERVALS_PER_SIGMA = _NORMAL.shape[0] / (2.0 * REACH)
_LAST = _NORMAL.shape[0] - 1
_JIT: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract"}}


@njit(**_JIT)
def _normal_cdf(x, table):
    t = min(max((x + REACH) * _INTERVALS_PER_SIGMA, 0.0), _LAST + 1.0)
    k = min(int(t), _LAST)
    f = t - k
    return ((table[k, 3] * f + table[k, 2]) * f + table[k, 1]) * f + table[k, 0]


@njit(**_JIT)
def _ramp(x, s, table):
    """Integral of the distribution function of a Gaussian of width s (a step for s = 0) from -infinity to x."""
    if s <= 0.0:
        return max(x, 0.0)
    z = x / s
    if z <= -REACH:
        return 0.0
    if z >= REACH:
        return x
    return x * _normal_cdf(z, table) + s * math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


@njit(**_JIT)
def _parabola(x, s, table):
    """Integral of `_ramp` from -infinity to x."""
    if s <= 0.0:
        return 0.5 * max(x, 0.0) ** 2
    z = x / s
    if z <= -REACH:
        return 0.0
    if z >= REACH:
        return 0.5 * (x * x + s * s)
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    return 0.5 * ((x * x + s * s) * _normal_cdf(z, table) + x * s * density)


@njit(**_JIT)
def _line_cdf(x, s, a, b, table):
    """Distribution function of a Gaussian (width s) convolved with two boxes (full widths a >= b >= 0).

    The boxes are the spread of velocity across a cell of the sky, which has its own gradient along x and y.
    Boxes far narrower than the rest are left out: the differences below would lose all digits.
    """
    reach = REACH * s + 0.5 * (a + b)
    if abs(x) >= reach > 0.0:
        return 1.0 if x > 0.0 else 0.0
    scale = s + a
    if a <= 1e-3 * s or a <= 0.0:
        if s <= 0.0:
            return 1.0 if x > 0.0 else 0.0
        return _normal_cdf(x / s, table)
    if b <= 1e-3 * scale:
        return (_ramp(x + 0.5 * a, s, table) - _ramp(x - 0.5 * a, s, table)) / a
    p, q = 0.5 * (a + b), 0.5 * (a - b)
    outer = _parabola(x + p, s, table) + _parabola(x - p, s, table)
    inner = _parabola(x + q, s, table) + _parabola(x - q, s, table)
    return (outer - inner) / (a * b)


@njit(**_JIT)
def _deposit(cube, pixel, u, sigma, weight, width_a, width_b, table):
    # Widths below a millionth of a channel are none: differences of distribution functions would lose their digits.
    nv = cube.shape[1]
    boxes = width_a.size > 0
    a = b = 0.0
    for n in range(pixel.size):
        w = weight[n]
        if w == 0.0:
            continue
        s = sigma[n] if sigma[n] > 1e-6 else 0.0
        if boxes:
            a, b = max(width_a[n], width_b[n]), min(width_a[n], width_b[n])
            if a < 1e-6:
                a = b = 0.0
            elif a < 0.3 * s:
                # A box much narrower than the Gaussian only adds its variance (the next term is below 1e-5).
                s, a, b = math.sqrt(s * s + (a * a + b * b) / 12.0), 0.0, 0.0
        reach = REACH * s + 0.5 * (a + b)
        first = max(math.floor(max(u[n] - reach, -1e9)), 0)
        last = min(math.floor(min(u[n] + reach, 1e9)), nv - 1)
        if last < first:
            continue
        row = cube[pixel[n]]
        if a <= 0.0 and s > 0.0:
            # By far the most common: a plain Gaussian.
            inverse = 1.0 / s
            below = _normal_cdf((first - u[n]) * inverse, table)
            for k in range(first, last + 1):
                above = _normal_cdf((k + 1.0 - u[n]) * inverse, table)
                row[k] += w * (above - below)
                below = above
            continue
        below = _line_cdf(first - u[n], s, a, b, table)
        for k in range(first, last + 1):
            above = _line_cdf(k + 1.0 - u[n], s, a, b, table)
            row[k] += w * (above - below)
            below = above


def deposit(
    cube: np.ndarray,
    pixel: np.ndarray,
    u: np.ndarray,
    sigma: np.ndarray,
    weight: np.ndarray,
    widths: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Add each node's line, integrated over the channels, to the spectrum of its pixel.

    Parameters
    ----------
    cube : ndarray, shape (n_pixels, n_channels)
        Changed in place.
    pixel : ndarray of int, shape (n,)
        Row of `cube`.
    u, sigma : ndarray, shape (n,)
        Velocity and 1 sigma width in channels; a width of zero puts all in one channel.
    weight : ndarray, shape (n,)
        Flux, of either sign.
    widths : pair of ndarray, optional
        Full widths (channels) of the two boxes over which the velocity spreads inside the node's cell.
    """
    empty = np.empty(0)
    a, b = (empty, empty) if widths is None else widths
    _deposit(cube, pixel, u, sigma, weight, a, b, _NORMAL)


@njit(**_JIT)
def invert_cumulative(target, cumulative, radius, brightness):
    """Radii within which a piecewise-linear profile holds the light ``target``, exactly.

    Inside a segment, with t from 0 to 1, the light is the cubic
    2 pi h [s0 r0 t + (s0 h + ds r0) t^2 / 2 + ds h t^3 / 3]; Newton's method, kept inside a bracket, solves it.

    Parameters
    ----------
    target : ndarray, shape (n,)
        From 0 to ``cumulative[-1]``.
    cumulative : ndarray, shape (m,)
        Light within each radius of the table, starting at 0.
    radius, brightness : ndarray, shape (m,)
        The table; the brightness must not be negative.

    Returns
    -------
    ndarray, shape (n,)
    """
    out = np.empty(target.size)
    last = radius.size - 2
    for n in range(target.size):
        k = min(max(np.searchsorted(cumulative, target[n], side="right") - 1, 0), last)
        r0, h = radius[k], radius[k + 1] - radius[k]
        s0, ds = brightness[k], brightness[k + 1] - brightness[k]
        c1 = 2.0 * math.pi * h * s0 * r0
        c2 = math.pi * h * (s0 * h + ds * r0)
        c3 = 2.0 / 3.0 * math.pi * h * ds * h
        want = target[n] - cumulative[k]
        lo, hi = 0.0, 1.0
        t = min(max(want / (c1 + c2 + c3), 0.0), 1.0) if c1 + c2 + c3 > 0.0 else 0.5
        for _ in range(60):
            f = ((c3 * t + c2) * t + c1) * t - want
            if f > 0.0:
                hi = t
            else:
                lo = t
            slope = (3.0 * c3 * t + 2.0 * c2) * t + c1
            new = t - f / slope if slope > 0.0 else 0.5 * (lo + hi)
            if not lo < new < hi:
                new = 0.5 * (lo + hi)
            if abs(new - t) < 1e-12:
                t = new
                break
            t = new
        out[n] = r0 + h * t
    return out
