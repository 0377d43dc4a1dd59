"""Points scattered into the sparse cube, and where a disc puts them."""

from __future__ import annotations

import math

import numpy as np

from kinms.compilation import kernel, part
from kinms.kernels.line import LANES, PHASES, add_line, add_line_between, add_lines, find_rows, response_at

__all__ = ["invert_cumulative", "place_points", "scatter"]


@kernel
def place_points(s, cos_theta, sin_theta, height, table, x, y, u, sigma, weight):
    """Interpolate a disc's radial table and find the pixel, channel, width and weight of each point.

    Parameters
    ----------
    s : ndarray, shape (n,)
        Where in the table each point is, in rows.
    cos_theta, sin_theta, height : ndarray, shape (n,)
        Azimuth from the receding major axis, and height in scale heights; no heights if empty.
    table : ndarray, shape (m, 12)
        At a radius: pixel (x, y) of the centre, and steps (x, y) of cos(theta), of sin(theta) and of the height;
        channel of the systemic velocity and step of cos(theta); line width in channels; weight.
    x, y, u, sigma, weight : ndarray, shape (n,)
        Results.
    """
    thick = height.size > 0
    last = table.shape[0] - 2
    for i in range(s.size):
        k = min(int(s[i]), last)
        f = s[i] - k
        low, high = table[k], table[k + 1]
        c, d = cos_theta[i], sin_theta[i]
        x[i] = (low[0] + f * (high[0] - low[0])) + c * (low[2] + f * (high[2] - low[2]))
        x[i] += d * (low[4] + f * (high[4] - low[4]))
        y[i] = (low[1] + f * (high[1] - low[1])) + c * (low[3] + f * (high[3] - low[3]))
        y[i] += d * (low[5] + f * (high[5] - low[5]))
        if thick:
            x[i] += height[i] * (low[6] + f * (high[6] - low[6]))
            y[i] += height[i] * (low[7] + f * (high[7] - low[7]))
        u[i] = (low[8] + f * (high[8] - low[8])) + c * (low[9] + f * (high[9] - low[9]))
        sigma[i] = low[10] + f * (high[10] - low[10])
        weight[i] = low[11] + f * (high[11] - low[11])


@part
def _beyond(t):
    """Part of a hat-shaped distribution on [-1, 1] that lies beyond t."""
    if t >= 1.0:
        return 0.0
    if t >= 0.0:
        return 0.5 * (1.0 - t) ** 2
    if t >= -1.0:
        return 1.0 - 0.5 * (1.0 + t) ** 2
    return 1.0


@kernel
def scatter(
    cube, hull, shape, margin, pad, ny, nx, channels, x, y, u, sigma, weight, width, line, lanes, reach, bases,
    first_cell, phases, normal, own,
):  # fmt: skip
    """Add points to a sparse cube, each to its pixel and, near its edges, to the neighbours.

    The share of a neighbour is the part that a hat-shaped spot ``width`` pixels wide has beyond the edge: it makes
    the cube smooth in the positions, and the beam takes the spot out again. Points outside of the field are left out.
    The cube has margins of two pixels, unless ``width`` is zero.

    Parameters
    ----------
    cube, hull, shape, margin, pad, channels, line, lanes, reach, bases, first_cell, phases, normal, own
        As for `kinms.kernels.sky.deposit_sky`; ``line`` is empty where widths differ or are narrow.
    ny, nx : int
        The field.
    x, y, u, sigma, weight : ndarray, shape (n,)
        Position in pixels, velocity and width in channels, and flux.
    width : float
        0 for the nearest pixel, 2 for the triangular-shaped cloud.
    """
    blocks, rows, columns = shape
    stride = rows * columns * LANES
    row, first = np.empty(9, np.int32), np.empty(9, np.int32)
    a, b = np.empty(9, np.float32), np.empty(9, np.float32)
    share_x, share_y = np.empty(3), np.empty(3)
    step = lanes + 2 * LANES
    spare = lanes // 2 - reach
    room = 0.0 if width == 0.0 else 1.0
    fade = 2.0 / min(width, 1.0) if width > 0.0 else 0.0
    edges, places, gains, response = own
    # The line at hand, alone in a list, for `find_rows`.
    one, unit = np.empty(1), np.ones(1)
    for i in range(x.size):
        column, line_of = math.floor(x[i] + 0.5), math.floor(y[i] + 0.5)
        if not (-room <= column < nx + room and -room <= line_of < ny + room) or weight[i] == 0.0:
            continue
        part = weight[i]
        share_x[0] = share_x[2] = share_y[0] = share_y[2] = 0.0
        if width > 0.0:
            dx, dy = x[i] - column, y[i] - line_of
            share_x[0], share_x[2] = _beyond((dx + 0.5) * 2.0 / width), _beyond((0.5 - dx) * 2.0 / width)
            share_y[0], share_y[2] = _beyond((dy + 0.5) * 2.0 / width), _beyond((0.5 - dy) * 2.0 / width)
            # Across the edge of the field a point fades: if it went out at once, the cube would jump.
            part *= _beyond((-0.5 - x[i]) * fade) * _beyond((x[i] - nx + 0.5) * fade)
            part *= _beyond((-0.5 - y[i]) * fade) * _beyond((y[i] - ny + 0.5) * fade)
        share_x[1], share_y[1] = 1.0 - share_x[0] - share_x[2], 1.0 - share_y[0] - share_y[2]
        k, p, phase = 0, 0, 0.0
        s = sigma[i]
        if line.size > 0 and bases.size > 0:
            one[0] = u[i]
            find_rows(one, unit, 1, step, bases, first_cell, phases, row, first, a, b)
            p, k, phase = np.int64(row[0]), np.int64(first[0]), np.float64(b[0])
        elif line.size > 0:
            v = u[i] - 0.5
            if not (-lanes < v < channels + lanes):
                continue
            whole = math.floor(v)
            phase = (v - whole) * PHASES
            p, k = int(phase), int(whole) - (lanes // 2 - 1)
            phase -= p
            p = p * step + LANES
        elif response.size > 0:
            s = math.hypot(s, response_at(u[i], edges, places, response))
        first_block, last_block = max((k + spare) // LANES, 0), min((k + lanes - 1 - spare) // LANES, blocks - 1)
        for m in range(3):
            if share_y[m] == 0.0:
                continue
            r = int(line_of) + margin + m - 1
            for n in range(3):
                w = part * share_y[m] * share_x[n]
                if w == 0.0:
                    continue
                c = int(column) + pad + n - 1
                at = (r * columns + c) * LANES
                if line.size > 0:
                    row[n], first[n] = p, k
                    a[n], b[n] = w * (1.0 - phase), w * phase
                    for block in range(first_block, last_block + 1):
                        hull[block, r, 0] = min(hull[block, r, 0], c)
                        hull[block, r, 1] = max(hull[block, r, 1], c + 1)
                        there = at + block * stride
                        add_lines(cube, there, line, step, lanes, block * LANES, row, first, a, b, n, n + 1)
                else:
                    if edges.size > 0:
                        low, high = add_line_between(
                            cube, at, stride, u[i], s, 0.0, 0.0, w, normal, edges, places, gains
                        )
                    else:
                        low, high = add_line(cube, at, stride, channels, u[i], s, 0.0, 0.0, w, normal)
                    if high >= low:
                        for block in range(low // LANES, high // LANES + 1):
                            hull[block, r, 0] = min(hull[block, r, 0], c)
                            hull[block, r, 1] = max(hull[block, r, 1], c + 1)


@kernel
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
