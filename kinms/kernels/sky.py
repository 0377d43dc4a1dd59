"""Nodes fixed in the pixels of the sky, each with one position in a thin disc, gathered pixel by pixel.

A pixel's rule says how many nodes it has and where. Rows whose rules are the same share one list of nodes. In a row,
positions, profiles and velocities are found for all nodes in loops that the compiler vectorises; then each pixel's
lines are summed straight into the sparse cube.
"""

from __future__ import annotations

import math

import numpy as np

from kinms.compilation import kernel, part
from kinms.kernels.line import LANES, PHASES, add_line, add_line_between, add_lines, channel_at, find_rows, response_at

__all__ = ["deposit_plain", "deposit_sky", "radial_steps"]

#: Keeps radii away from zero, where an azimuth has no meaning; arcsec^2.
TINY = 1e-20


#: Where a profile jumps, sharpening is held at this part of its value.
MOST = 0.05


@part
def _sharpen(values, means):
    """Take off what linear pieces add to a function, h^2/12 of its second derivative.

    With ``means`` 1 what means over annuli add is taken off as well: one of width h exceeds the value in its middle by
    h^2/24 (f'' + 2 f' / R).
    """
    part = 8.0 if means == 1 else 12.0
    before = values[0]
    for k in range(1, values.size - 1):
        here, after = values[k], values[k + 1]
        excess = (after - 2.0 * here + before) / part
        if means == 1:
            excess += (after - before) / (24.0 * k)
        most = MOST * abs(here)
        values[k] -= min(max(excess, -most), most)
        before = here


@kernel
def radial_steps(within, velocity, near, h, radial):
    """Fill the radial table of `deposit_sky`.

    Parameters
    ----------
    within : ndarray, shape (n + 1,)
        Light inside of 0 and of the radii (k + 1/2) h.
    velocity : ndarray, shape (n,)
        At k h.
    near : float
        Velocity at h / 2.
    h : float
        arcsec.
    radial : ndarray, shape (n, 4)
        Result: means of the brightness over annuli, so that the light is conserved however steep it is, and velocities,
        both sharpened by what linear interpolation blunts, and their steps. No light at the last radius.
    """
    n = velocity.size
    light, speed = np.empty(n), velocity.copy()
    inner = 0.0
    for k in range(n):
        outer = ((k + 0.5) * h) ** 2
        light[k] = (within[k + 1] - within[k]) / (math.pi * (outer - inner))
        inner = outer
    # The innermost annulus is a disc, whose mean is that of a cone at a third of h.
    light[0] += 0.5 * (light[0] - light[1])
    _sharpen(light, np.int64(1))
    _sharpen(speed, np.int64(0))
    # The velocity may rise without limit towards the centre: the first piece is right in its middle.
    speed[0] = 2.0 * near - speed[1]
    light[n - 1] = 0.0
    for k in range(n):
        last = k == n - 1
        radial[k, 0], radial[k, 1] = light[k], 0.0 if last else light[k + 1] - light[k]
        radial[k, 2], radial[k, 3] = speed[k], 0.0 if last else speed[k + 1] - speed[k]


@part
def clear_row(cube, hull, row, shape):
    """Empty one row of the sparse cube."""
    _, rows, columns = shape
    for block in range(hull.shape[0]):
        base = (block * rows + row) * columns
        for j in range((base + hull[block, row, 0]) * LANES, (base + hull[block, row, 1]) * LANES):
            cube[np.uint64(j)] = 0.0
        hull[block, row, 0], hull[block, row, 1] = columns, 0


@part
def _span(plane, y, radius, nx):
    """Columns, first and end, of a row whose pixels may lie within a radius (arcsec) of the disc's centre."""
    # x^2 + y^2 in the disc, a quadratic in the column, is least in the middle.
    p = plane[0] ** 2 + plane[3] ** 2
    c, d = plane[1] * y + plane[2], plane[4] * y + plane[5]
    q, r = plane[0] * c + plane[3] * d, c * c + d * d
    room = q * q - p * (r - radius * radius)
    if room <= 0.0:
        return 0, 0
    middle, half = -q / p, math.sqrt(room) / p
    return int(min(max(math.floor(middle - half), 0.0), nx)), int(min(max(math.ceil(middle + half) + 1.0, 0.0), nx))


@part
def _fill(rules, y, rule_start, tx, ty, tw, tsize, x, dy, weight, size, end):
    """List the nodes of a row: x, y offset, weight and cell size; ``end[x]`` is where those of pixel x end."""
    n = 0
    for column in range(rules.shape[1]):
        for j in range(rule_start[rules[y, column]], rule_start[rules[y, column] + 1]):
            x[n], dy[n], weight[n], size[n] = column + tx[j], ty[j], tw[j], tsize[j]
            n += 1
        end[column] = n


@part
def _same_rules(rules, y, other):
    same = True
    for column in range(rules.shape[1]):
        same = same and rules[y, column] == rules[other, column]
    return same


@part
def _plain_row(
    x, dy, weight, n, y, plane, radial, per_arcsec, per_kms, u0, w0, channels, lanes, step, bases, first_cell, phases,
    t, c, s, v, row, first, a, b,
):  # fmt: skip
    """Lines of a row of nodes where the disc only rotates, for `add_lines`: table row, first channel, two weights.

    ``t``, ``c``, ``s`` and ``v`` are room to work in.
    """
    last = radial.shape[0] - 1.0
    table = radial.reshape(radial.size)
    m0, m1, m2, m3, m4, m5 = plane[0], plane[1], plane[2], plane[3], plane[4], plane[5]
    for i_ in range(n):
        i = np.uint64(i_)
        yy = dy[i] + y
        xd = m0 * x[i] + m1 * yy + m2
        yd = m3 * x[i] + m4 * yy + m5
        r = math.sqrt(xd * xd + yd * yd + TINY)
        t[i] = min(r * per_arcsec, last)
        c[i] = xd / r
    for i_ in range(n):
        i = np.uint64(i_)
        k = np.int64(t[i])
        f = t[i] - k
        at = np.uint64(4 * k)
        s[i] = table[at] + f * table[at + np.uint64(1)]
        v[i] = table[at + np.uint64(2)] + f * table[at + np.uint64(3)]
    if bases.size > 0:
        for i_ in range(n):
            i = np.uint64(i_)
            v[i] = v[i] * c[i] * per_kms + u0
            s[i] *= weight[i] * w0
        find_rows(v, s, n, step, bases, first_cell, phases, row, first, a, b)
        return
    # Lines wholly outside of the channels are parked just beyond them.
    low, high = -0.5 * lanes, channels + 0.5 * lanes
    half, width = np.int32(lanes // 2 - 1), np.int32(step)
    for i_ in range(n):
        i = np.uint64(i_)
        u = min(max(v[i] * c[i] * per_kms + u0, low), high) - 0.5
        w = s[i] * weight[i] * w0
        # Floors as floating-point numbers: conversions to 64-bit integers and back would take longer than all the rest.
        whole = np.floor(u)
        phase = (u - whole) * PHASES
        p = np.floor(phase)
        first[i] = np.int32(whole) - half
        row[i] = np.int32(p) * width + LANES
        b[i] = w * (phase - p)
        a[i] = w - w * (phase - p)


@part
def _add_pixel(cube, hull, line, base, stride, block_row, column, lanes, reach, row, first, a, b, start, stop):
    """Sum the lines of one pixel's nodes into its blocks."""
    blocks = hull.shape[0]
    low, high = first[start], first[start]
    for i in range(start + 1, stop):
        k = first[np.uint64(i)]
        low, high = min(low, k), max(high, k)
    # Of a line's lanes only the middle ones, out to `reach`, hold anything.
    spare = lanes // 2 - reach
    step = lanes + 2 * LANES
    for block in range(max((low + spare) // LANES, 0), min((high + lanes - 1 - spare) // LANES + 1, blocks)):
        hull[block, block_row, 0] = min(hull[block, block_row, 0], column)
        hull[block, block_row, 1] = max(hull[block, block_row, 1], column + 1)
        at = base + block * stride
        add_lines(cube, at, line, step, lanes, block * LANES, row, first, a, b, start, stop)


@part
def _narrow_row(
    x, dy, weight, size, n, y, plane, radial, widths, per_arcsec, per_kms, u0, w0, u, w, sigma, across_x, across_y
):
    """As `_any_row` does, where the disc only rotates, in loops that the compiler vectorises.

    The weight is that of the cell: its mean exceeds the brightness in its middle by 1/24 of the Laplacian.
    """
    last = radial.shape[0] - 1.0
    table = radial.reshape(radial.size)
    t, c, s, inverse = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    light, fall, speed, rise, bend = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    norm = plane[0] ** 2 + plane[1] ** 2 + plane[3] ** 2 + plane[4] ** 2
    m0, m1, m2, m3, m4, m5 = plane[0], plane[1], plane[2], plane[3], plane[4], plane[5]
    for i_ in range(n):
        i = np.uint64(i_)
        yy = dy[i] + y
        xd = m0 * x[i] + m1 * yy + m2
        yd = m3 * x[i] + m4 * yy + m5
        r = math.sqrt(xd * xd + yd * yd + TINY)
        t[i] = min(r * per_arcsec, last)
        inverse[i] = 1.0 / r
        c[i], s[i] = xd * inverse[i], yd * inverse[i]
    for i_ in range(n):
        i = np.uint64(i_)
        k = np.int64(t[i])
        f = t[i] - k
        at = np.uint64(4 * k)
        fall[i], rise[i] = table[at + np.uint64(1)], table[at + np.uint64(3)]
        light[i], speed[i] = table[at] + f * fall[i], table[at + np.uint64(2)] + f * rise[i]
        bend[i] = 0.0 if k == 0 else fall[i] - table[at - np.uint64(3)]
        sigma[i] = widths[0, 0] if widths.shape[0] == 1 else widths[k, 0] + f * widths[k, 1]
    for i_ in range(n):
        i = np.uint64(i_)
        along, across = rise[i] * per_arcsec * c[i], -speed[i] * s[i] * inverse[i]
        gx, gy = along * c[i] - across * s[i], along * s[i] + across * c[i]
        ux, uy = (gx * m0 + gy * m3) * per_kms * size[i], (gx * m1 + gy * m4) * per_kms * size[i]
        rx, ry = c[i] * m0 + s[i] * m3, c[i] * m1 + s[i] * m4
        slope = fall[i] * per_arcsec / (light[i] + TINY) * size[i] / 12.0
        across_x[i], across_y[i] = abs(ux), abs(uy)
        most = 0.25 * (across_x[i] + across_y[i])
        u[i] = speed[i] * c[i] * per_kms + u0 + min(max(slope * (rx * ux + ry * uy), -most), most)
        steep = rx * rx + ry * ry
        more = bend[i] * per_arcsec * per_arcsec * steep + fall[i] * per_arcsec * inverse[i] * (norm - steep)
        more *= size[i] * size[i] / 24.0
        w[i] = light[i] * (1.0 + min(max(more / (light[i] + TINY), -MOST), MOST)) * weight[i] * w0


@part
def _split_lines(u, w, sigma, across_x, across_y, n, channels, row, first, a, b):
    """Part lines without dispersion that lie in one channel or two: ``a`` goes to channel ``row``, ``b`` to the next.

    ``first`` is 1 where a line is not of that kind.
    """
    for i_ in range(n):
        i = np.uint64(i_)
        wide, narrow = max(across_x[i], across_y[i], 1e-9), min(across_x[i], across_y[i])
        outer, inner = 0.5 * (wide + narrow), 0.5 * (wide - narrow)
        centre = min(max(u[i], -2.0), channels + 2.0)
        low = math.floor(centre - outer)
        # Part of two boxes, one after the other, that lies beyond the edge between the channels.
        x = low + 1.0 - centre
        y = min(abs(x), outer)
        flank = (outer - y) * (outer - y) / (2.0 * wide * max(narrow, 1e-9))
        beyond = 0.5 - y / wide if y <= inner else flank
        below = 1.0 - beyond if x > 0.0 else beyond
        row[i] = np.int32(low)
        first[i] = np.int32(1) if sigma[i] > 1e-6 or centre + outer > low + 2.0 else np.int32(0)
        a[i], b[i] = w[i] * below, w[i] * (1.0 - below)


@part
def _split_unequal(u, w, sigma, across_x, across_y, n, channels, edges, places, gains, row, first, a, b):
    """As `_split_lines` does, for channels with edges of their own."""
    for i in range(n):
        wide, narrow = max(across_x[i], across_y[i], 1e-9), min(across_x[i], across_y[i])
        outer, inner = 0.5 * (wide + narrow), 0.5 * (wide - narrow)
        centre = min(max(u[i], -2.0), channels + 2.0)
        low = channel_at(centre - outer, edges, places)
        end = edges[low + 1] if 0 <= low < channels else low + 1.0
        beyond_end = edges[low + 2] if 0 <= low + 1 < channels else end + 1.0
        x = end - centre
        y = min(abs(x), outer)
        flank = (outer - y) * (outer - y) / (2.0 * wide * max(narrow, 1e-9))
        beyond = 0.5 - y / wide if y <= inner else flank
        below = 1.0 - beyond if x > 0.0 else beyond
        row[i] = np.int32(low)
        first[i] = np.int32(1) if sigma[i] > 1e-6 or centre + outer > beyond_end else np.int32(0)
        a[i] = w[i] * below * (gains[low] if 0 <= low < channels else 0.0)
        b[i] = w[i] * (1.0 - below) * (gains[low + 1] if 0 <= low + 1 < channels else 0.0)


@part
def _add_response(u, sigma, n, edges, places, response):
    """Widen lines by the spectrograph's response where they are."""
    for i in range(n):
        sigma[i] = math.hypot(sigma[i], response_at(u[i], edges, places, response))


@part
def _motion(xk, yk, radial, harmonics, per_arcsec, gradient):
    """In-plane velocity at a position; its gradient along the major and the minor axis goes into ``gradient``.

    The azimuthal harmonics cos(k theta) and sin(k theta), k up to 3, have the columns (value, step) c0, c1, s1, c2,
    s2, c3, s3 of ``harmonics``; without them, V is that of ``radial``.
    """
    r = math.sqrt(xk * xk + yk * yk + TINY)
    c, s = xk / r, yk / r
    table = harmonics if harmonics.shape[0] > 0 else radial
    t = min(r * per_arcsec, table.shape[0] - 1.0)
    k = int(t)
    f = t - k
    if harmonics.shape[0] == 0:
        v = table[k, 2] + f * table[k, 3]
        along, across = table[k, 3] * per_arcsec * c, -v * s / r
        value = v * c
    else:
        value = table[k, 0] + f * table[k, 1]
        along, across = table[k, 1] * per_arcsec, 0.0
        ck, sk = 1.0, 0.0
        for m in range(1, 4):
            ck, sk = ck * c - sk * s, sk * c + ck * s
            at = 4 * m - 2
            vc, vs = table[k, at] + f * table[k, at + 1], table[k, at + 2] + f * table[k, at + 3]
            value += vc * ck + vs * sk
            along += (table[k, at + 1] * ck + table[k, at + 3] * sk) * per_arcsec
            across += m * (vs * ck - vc * sk) / r
    gradient[0], gradient[1] = along * c - across * s, along * s + across * c
    return value


@part
def _any_row(
    x, dy, weight, size, n, y, plane, frame, radial, harmonics, widths, per_arcsec, per_kms, u0, w0, follow,
    u, w, sigma, across_x, across_y,
):  # fmt: skip
    """Centre, weight, width and velocity spread of the lines of a row of nodes, in full generality."""
    last = radial.shape[0] - 1.0
    gradient = np.zeros(2)
    norm = plane[0] ** 2 + plane[1] ** 2 + plane[3] ** 2 + plane[4] ** 2
    for i in range(n):
        yy = dy[i] + y
        xd = plane[0] * x[i] + plane[1] * yy + plane[2]
        yd = plane[3] * x[i] + plane[4] * yy + plane[5]
        r = math.sqrt(xd * xd + yd * yd + TINY)
        t = min(r * per_arcsec, last)
        k = int(t)
        f = t - k
        light = radial[k, 0] + f * radial[k, 1]
        w[i] = light * weight[i] * w0
        if widths.shape[0] == 1:
            sigma[i] = widths[0, 0]
        else:
            sigma[i] = widths[k, 0] + f * widths[k, 1]
        xk = frame[0] * x[i] + frame[1] * yy + frame[2]
        yk = frame[3] * x[i] + frame[4] * yy + frame[5]
        u[i] = _motion(xk, yk, radial, harmonics, per_arcsec, gradient) * per_kms + u0
        across_x[i] = across_y[i] = 0.0
        if follow:
            h = size[i]
            ux = (gradient[0] * frame[0] + gradient[1] * frame[3]) * per_kms
            uy = (gradient[0] * frame[1] + gradient[1] * frame[4]) * per_kms
            across_x[i], across_y[i] = abs(ux) * h, abs(uy) * h
            # Where the light falls off across the cell, its mean velocity is that of the brighter side, and its weight
            # exceeds that of the middle by 1/24 of the Laplacian.
            rx, ry = (xd * plane[0] + yd * plane[3]) / r, (xd * plane[1] + yd * plane[4]) / r
            fall = radial[k, 1] * per_arcsec
            shift = fall / (light + TINY) * (rx * ux + ry * uy) * h * h / 12.0
            most = 0.25 * (across_x[i] + across_y[i])
            u[i] += min(max(shift, -most), most)
            steep = rx * rx + ry * ry
            bend = 0.0 if k == 0 else (radial[k, 1] - radial[k - 1, 1]) * per_arcsec * per_arcsec
            more = (bend * steep + fall / r * (norm - steep)) * h * h / 24.0
            w[i] *= 1.0 + min(max(more / (light + TINY), -MOST), MOST)


@part
def _warped_row(
    x, dy, weight, n, y, plane, radial, rings, widths, per_arcsec, per_kms, u0, w0, u, w, sigma, across_x, across_y
):
    """As `_any_row`, for rings of different orientation none of which crosses another.

    The radius at a sky position is the one whose ring passes there, R = rho(R) with rho the in-plane radius of the
    position in the plane of ring R; Newton's method finds it. The light is Sigma / (cos i (1 - rho')), where rings that
    draw together or apart count through rho' = d rho / dR.

    ``plane`` maps to offsets North and East, ``rings`` has sin pa, cos pa, 1 / cos i, sin i and their steps.
    """
    last = radial.shape[0] - 1.0
    r = 1.0
    for i in range(n):
        yy = dy[i] + y
        north = plane[0] * x[i] + plane[1] * yy + plane[2]
        east = plane[3] * x[i] + plane[4] * yy + plane[5]
        k, f, xd, slope, inverse = 0, 0.0, 0.0, 0.0, 1.0
        for _ in range(30):
            t = min(max(r, 0.0) * per_arcsec, last)
            k = int(t)
            f = t - k
            ring = rings[k]
            # Beyond the table the outermost orientation holds.
            steps = per_arcsec if t < last else 0.0
            sin_pa, cos_pa, inverse = ring[0] + f * ring[1], ring[2] + f * ring[3], ring[4] + f * ring[5]
            across = east * cos_pa - north * sin_pa
            xd, yd = east * sin_pa + north * cos_pa, across * inverse
            rho = math.sqrt(xd * xd + yd * yd + TINY)
            turned = east * ring[1] + north * ring[3]
            tipped = (east * ring[3] - north * ring[1]) * inverse + across * ring[5]
            slope = min((xd * turned + yd * tipped) / rho * steps, 0.9)
            change = (rho - r) / (1.0 - slope)
            r += change
            if abs(change) < 1e-10 * (1.0 + r):
                break
        sin_i = rings[k, 6] + f * rings[k, 7]
        w[i] = (radial[k, 0] + f * radial[k, 1]) * weight[i] * w0 * abs(inverse) / (1.0 - slope)
        u[i] = (radial[k, 2] + f * radial[k, 3]) * xd / r * sin_i * per_kms + u0
        sigma[i] = widths[0, 0] if widths.shape[0] == 1 else widths[k, 0] + f * widths[k, 1]
        across_x[i] = across_y[i] = 0.0


@part
def _most_nodes(rules, rule_start, first_row, last_row):
    """Return how many nodes a row has at most."""
    most = 0
    for y in range(first_row, last_row):
        count = 0
        for column in range(rules.shape[1]):
            count += rule_start[rules[y, column] + 1] - rule_start[rules[y, column]]
        most = max(most, count)
    return most


@part
def _begin_row(
    cube, hull, shape, margin, rules, rule_start, tx, ty, tw, tsize, y, filled, plane, radius, clear,
    x, dy, weight, size, end,
):  # fmt: skip
    """Clear a row, list its nodes unless row ``filled`` has the same, and find those that may lie within ``radius``.

    Returns the columns, first and end, and which nodes are theirs, first and number. Without a radius (0) all do.
    """
    nx = rules.shape[1]
    if clear:
        clear_row(cube, hull, y + margin, shape)
    if filled < 0 or not _same_rules(rules, y, filled):
        _fill(rules, y, rule_start, tx, ty, tw, tsize, x, dy, weight, size, end)
    left, right = (0, nx) if radius <= 0.0 else _span(plane, float(y), radius, nx)
    if right <= left:
        return left, left, 0, 0
    before = end[left - 1] if left > 0 else 0
    return left, right, before, end[right - 1] - before


@part
def _farthest(plane, radial, per_arcsec):
    """Return the in-plane radius within which the middles of all pixels lie that have a node with light."""
    radius = (radial.shape[0] - 1) / per_arcsec
    # A node lies up to half a pixel from the middle of its own.
    for k in (0, 1, 3, 4):
        radius += 0.5 * abs(plane[k])
    return radius


@part
def _add_tabled(cube, hull, line, shape, margin, pad, y, left, right, before, end, lanes, reach, row, first, a, b):
    """Add a row's lines, from the table, to their pixels."""
    _, rows, columns = shape
    base = ((y + margin) * columns + pad) * LANES
    start = np.int64(0)
    for column in range(left, right):
        stop = end[column] - before
        if stop > start:
            _add_pixel(
                cube, hull, line, base + column * LANES, rows * columns * LANES, y + margin, column + pad, lanes, reach,
                row, first, a, b, start, stop,
            )  # fmt: skip
        start = stop


@part
def _add_others(
    cube, hull, shape, margin, pad, channels, y, left, right, before, end, u, sigma, across_x, across_y, w,
    row, first, a, b, normal, edges, places, gains,
):  # fmt: skip
    """Add a row's lines, split between two channels or from their distribution function, to their pixels."""
    _, rows, columns = shape
    stride = rows * columns * LANES
    own = edges.size > 0
    start = np.int64(0)
    for column in range(left, right):
        stop = end[column] - before
        at = ((y + margin) * columns + pad + column) * LANES
        lowest, highest = channels, -1
        for i in range(start, stop):
            if first[i] == 0:
                low = np.int64(row[i])
                high = low + 1
                if 0 <= low < channels:
                    cube[at + (low >> 3) * stride + (low & 7)] += a[i]
                if 0 <= high < channels:
                    cube[at + (high >> 3) * stride + (high & 7)] += b[i]
                low, high = max(low, 0), min(high, channels - 1)
            elif own:
                low, high = add_line_between(
                    cube, at, stride, u[i], sigma[i], across_x[i], across_y[i], w[i], normal, edges, places, gains
                )  # fmt: skip
            else:
                low, high = add_line(cube, at, stride, channels, u[i], sigma[i], across_x[i], across_y[i], w[i], normal)
            lowest, highest = min(lowest, low), max(highest, high)
        if highest >= lowest:
            for block in range(lowest // LANES, highest // LANES + 1):
                hull[block, y + margin, 0] = min(hull[block, y + margin, 0], column + pad)
                hull[block, y + margin, 1] = max(hull[block, y + margin, 1], column + pad + 1)
        start = stop


@kernel
def deposit_plain(
    cube, hull, shape, margin, pad, channels, rules, rule_start, tx, ty, tw, tsize,
    plane, radial, per_arcsec, per_kms, u0, w0, line, lanes, reach, bases, first_cell, phases, clear,
    first_row, last_row,
):  # fmt: skip
    """As `deposit_sky` does, for a disc that only rotates and lines from a table.

    Most discs are of this kind: apart, it is compiled in half of the time.
    """
    most = _most_nodes(rules, rule_start, first_row, last_row)
    x, dy, weight, size = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    t, c, s, v = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    row, first = np.empty(most, np.int32), np.empty(most, np.int32)
    a, b = np.empty(most, np.float32), np.empty(most, np.float32)
    end = np.zeros(rules.shape[1], np.int64)
    radius = _farthest(plane, radial, per_arcsec)
    filled = np.int64(-1)
    for y in range(first_row, last_row):
        left, right, before, n = _begin_row(
            cube, hull, shape, margin, rules, rule_start, tx, ty, tw, tsize, y, filled, plane, radius, clear,
            x, dy, weight, size, end,
        )  # fmt: skip
        filled = y
        if n == 0:
            continue
        _plain_row(
            x[before:], dy[before:], weight[before:], n, y, plane, radial, per_arcsec, per_kms, u0, w0, channels, lanes,
            lanes + 2 * LANES, bases, first_cell, phases, t, c, s, v, row, first, a, b,
        )  # fmt: skip
        _add_tabled(cube, hull, line, shape, margin, pad, y, left, right, before, end, lanes, reach, row, first, a, b)


@kernel
def deposit_sky(
    cube, hull, shape, margin, pad, channels, rules, rule_start, tx, ty, tw, tsize,
    plane, frame, radial, harmonics, rings, widths, per_arcsec, per_kms, u0, w0, line, lanes, reach, bases,
    first_cell, phases, follow, normal, own, clear, first_row, last_row,
):  # fmt: skip
    """Add a thin disc to the rows ``first_row`` to ``last_row`` of a sparse cube.

    Parameters
    ----------
    cube : ndarray of float32, 1-D
        The sparse cube, flattened.
    hull : ndarray of int64, shape (blocks, rows, 2)
    shape : tuple of int
        (blocks, rows, columns) of the cube, margins included.
    margin, pad, channels : int
        Rows and columns before the field's first; channels of the field.
    rules : ndarray of uint8, shape (ny, nx)
        Rule of each pixel.
    rule_start : ndarray of int64, shape (n_rules + 1,)
        Where each rule begins in the next four.
    tx, ty, tw, tsize : ndarray, shape (n,)
        Nodes of the rules: offsets, weights and cell sizes, in pixels.
    plane, frame : ndarray, shape (6,)
        Disc coordinates (arcsec) of a pixel position: x = p0 x + p1 y + p2, y = p3 x + p4 y + p5, for the light and
        for the motion.
    radial : ndarray, shape (nr, 4)
        Brightness, its steps, rotation, its steps, at radii k / per_arcsec; no light at the last.
    harmonics : ndarray, shape (nr, 14), or (0, 14)
        Where the disc does more than rotate, see `_motion`.
    rings : ndarray, shape (nr, 8), or (0, 8)
        Where the orientation depends on radius, see `_warped_row`.
    widths : ndarray, shape (nr, 2) or (1, 2)
        Line width (channels) and its steps; a single one if it is everywhere the same.
    per_arcsec, per_kms, u0, w0 : float
        Radial intervals per arcsec; channels per km/s of in-plane velocity; channel of the systemic velocity; factor
        of all weights.
    line : ndarray of float32, 1-D
        Table of the line; empty where its distribution function is to be used.
    lanes, reach : int
        Of that table; channels on either side of its middle that hold anything.
    bases, first_cell, phases
        Where the table is that of `kinms.kernels.line.line_rows`: see there. Without bases it is `line_table`'s.
    follow : bool
        Whether lines are spread over the velocities inside their cell.
    own : tuple
        Of channels with edges of their own, see `kinms.kernels.line`.
    clear : bool
        Whether to begin with empty rows.
    """
    edges, places, gains, response = own
    most = _most_nodes(rules, rule_start, first_row, last_row)
    x, dy, weight, size = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    u, w, sigma, across_x, across_y = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    row, first = np.empty(most, np.int32), np.empty(most, np.int32)
    a, b = np.empty(most, np.float32), np.empty(most, np.float32)
    end = np.zeros(rules.shape[1], np.int64)
    plain = harmonics.shape[0] == 0
    for k in range(6):
        plain = plain and plane[k] == frame[k]
    warped = rings.shape[0] > 0
    radius = 0.0 if warped else _farthest(plane, radial, per_arcsec)
    filled = np.int64(-1)
    for y in range(first_row, last_row):
        left, right, before, n = _begin_row(
            cube, hull, shape, margin, rules, rule_start, tx, ty, tw, tsize, y, filled, plane, radius, clear,
            x, dy, weight, size, end,
        )  # fmt: skip
        filled = y
        if n == 0:
            continue
        x_, dy_, weight_, size_ = x[before:], dy[before:], weight[before:], size[before:]
        if warped:
            _warped_row(
                x_, dy_, weight_, n, y, plane, radial, rings, widths, per_arcsec, per_kms, u0, w0,
                u, w, sigma, across_x, across_y,
            )  # fmt: skip
        elif plain and follow:
            _narrow_row(
                x_, dy_, weight_, size_, n, y, plane, radial, widths, per_arcsec, per_kms, u0, w0,
                u, w, sigma, across_x, across_y,
            )  # fmt: skip
        else:
            _any_row(
                x_, dy_, weight_, size_, n, y, plane, frame, radial, harmonics, widths, per_arcsec, per_kms, u0, w0,
                follow, u, w, sigma, across_x, across_y,
            )  # fmt: skip
        if line.size == 0:
            if response.size > 0:
                _add_response(u, sigma, n, edges, places, response)
            if edges.size > 0:
                _split_unequal(u, w, sigma, across_x, across_y, n, channels, edges, places, gains, row, first, a, b)
            else:
                _split_lines(u, w, sigma, across_x, across_y, n, channels, row, first, a, b)
            _add_others(
                cube, hull, shape, margin, pad, channels, y, left, right, before, end, u, sigma, across_x, across_y, w,
                row, first, a, b, normal, edges, places, gains,
            )  # fmt: skip
            continue
        if bases.size > 0:
            find_rows(u, w, n, lanes + 2 * LANES, bases, first_cell, phases, row, first, a, b)
            _add_tabled(
                cube, hull, line, shape, margin, pad, y, left, right, before, end, lanes, reach, row, first, a, b
            )  # fmt: skip
            continue
        for i in range(n):
            v = min(max(u[i], -0.5 * lanes), channels + 0.5 * lanes) - 0.5
            whole = math.floor(v)
            phase = (v - whole) * PHASES
            p = int(phase)
            first[i], row[i] = int(whole) - (lanes // 2 - 1), p * (lanes + 2 * LANES) + LANES
            a[i], b[i] = w[i] * (1.0 - (phase - p)), w[i] * (phase - p)
        _add_tabled(cube, hull, line, shape, margin, pad, y, left, right, before, end, lanes, reach, row, first, a, b)
