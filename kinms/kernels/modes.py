"""Projections of cubes on the modes of correlated noise, and the small factorisations they are made with.

The factorisations are our own because their last bit must not depend on the number of threads of a library.
"""

from __future__ import annotations

import numpy as np

from kinms.compilation import kernel, part
from kinms.kernels.beam import SUMS, taps

__all__ = ["cholesky", "combine", "compare", "forward", "pair", "pick", "pivoted", "project", "rotate", "thin"]


@part(fastmath=SUMS)
def pair(source, at, stride, first_out, to_first, second_out, to_second, length, one, two, first, last):
    """As `kinms.kernels.beam.taps` with weights ``one`` and ``two``, into two arrays: what is loaded serves both."""
    a, b, d = np.uint64(to_first), np.uint64(to_second), np.uint64(stride)
    keep = np.float32(0.0)
    m = first
    while m + 7 <= last:
        p0 = np.uint64(at + m * stride)
        p1, p2, p3 = p0 + d, p0 + d + d, p0 + d + d + d
        p4 = p3 + d
        p5, p6, p7 = p4 + d, p4 + d + d, p4 + d + d + d
        w0, w1, w2, w3 = one[m], one[m + 1], one[m + 2], one[m + 3]
        w4, w5, w6, w7 = one[m + 4], one[m + 5], one[m + 6], one[m + 7]
        u0, u1, u2, u3 = two[m], two[m + 1], two[m + 2], two[m + 3]
        u4, u5, u6, u7 = two[m + 4], two[m + 5], two[m + 6], two[m + 7]
        for k in range(length):
            j = np.uint64(k)
            s0, s1, s2, s3 = source[p0 + j], source[p1 + j], source[p2 + j], source[p3 + j]
            s4, s5, s6, s7 = source[p4 + j], source[p5 + j], source[p6 + j], source[p7 + j]
            left = w0 * s0 + w1 * s1 + w2 * s2 + w3 * s3
            right = w4 * s4 + w5 * s5 + w6 * s6 + w7 * s7
            first_out[a + j] = keep * first_out[a + j] + (left + right)
            left = u0 * s0 + u1 * s1 + u2 * s2 + u3 * s3
            right = u4 * s4 + u5 * s5 + u6 * s6 + u7 * s7
            second_out[b + j] = keep * second_out[b + j] + (left + right)
        keep = np.float32(1.0)
        m += 8
    while m + 1 <= last:
        p0 = np.uint64(at + m * stride)
        p1 = p0 + d
        w0, w1, u0, u1 = one[m], one[m + 1], two[m], two[m + 1]
        for k in range(length):
            j = np.uint64(k)
            s0, s1 = source[p0 + j], source[p1 + j]
            first_out[a + j] = keep * first_out[a + j] + (w0 * s0 + w1 * s1)
            second_out[b + j] = keep * second_out[b + j] + (u0 * s0 + u1 * s1)
        keep = np.float32(1.0)
        m += 2
    while m <= last:
        p0, w0, u0 = np.uint64(at + m * stride), one[m], two[m]
        for k in range(length):
            j = np.uint64(k)
            first_out[a + j] = keep * first_out[a + j] + w0 * source[p0 + j]
            second_out[b + j] = keep * second_out[b + j] + u0 * source[p0 + j]
        keep = np.float32(1.0)
        m += 1


@kernel(fastmath=SUMS)
def project(cube, tx, even, odd, reach, out, first, last):
    """out[v] = ty cube[v] tx for channels ``first`` to ``last``; what lies outside of the signal is left out.

    Rows of ty are even, then odd about the middle of the field: sums and differences of a row and its mirror image do
    for both.

    Parameters
    ----------
    cube : ndarray of float32, shape (nv, ny, nx)
    tx : ndarray of float32, shape (nx, kx)
    even, odd : ndarray of float32, shapes (ke, ny - ny // 2) and (ko, ny // 2)
        From the middle (even) or the row next to it (odd) to the last row.
    reach : ndarray of int64, shape (ke + ko, 2, 2)
        For each row of ``out`` the two ranges of columns that are wanted.
    out : ndarray of float32, shape (nv, ke + ko, kx)
        What its other columns hold does not matter.
    """
    _, ny, nx = cube.shape
    kx, ke, ko = tx.shape[1], even.shape[0], odd.shape[0]
    half, whole = ny // 2, ny - ny // 2
    source, columns, target = cube.reshape(cube.size), tx.reshape(tx.size), out.reshape(out.size)
    above, below = np.zeros(kx, np.float32), np.zeros(kx, np.float32)
    sums, differences = np.zeros(whole * kx, np.float32), np.zeros(max(half, 1) * kx, np.float32)
    fresh = np.int64(0)
    for v in range(first, last):
        farthest = -1
        nearest = whole
        for m in range(whole):
            # Row m counts from the middle; with an even number of rows the two next to it are both number 0.
            up, down = half + m, whole - 1 - m
            one, two = cube[v, up], cube[v, down]
            left, right = 0, nx
            while left < nx and one[left] == 0.0 and two[left] == 0.0:
                left += 1
            while right > left and one[right - 1] == 0.0 and two[right - 1] == 0.0:
                right -= 1
            at = m * kx
            if right == left:
                for k in range(kx):
                    above[k] = below[k] = 0.0
            else:
                farthest, nearest = m, min(nearest, m)
                row = (v * ny + up) * nx
                upper = source[row : row + nx]
                row = (v * ny + down) * nx
                lower = source[row : row + nx]
                pair(columns, fresh, kx, above, fresh, below, fresh, kx, upper, lower, left, right - 1)
            middle = up == down
            for k in range(kx):
                sums[at + k] = above[k] if middle else above[k] + below[k]
            if ny % 2 == 0:
                for k in range(kx):
                    differences[at + k] = above[k] - below[k]
            elif m > 0:
                for k in range(kx):
                    differences[at - kx + k] = above[k] - below[k]
        offset = ny % 2
        for number in range(2):
            products, weights = (sums, even) if number == 0 else (differences, odd)
            start, stop = (nearest, farthest) if number == 0 else (max(nearest - offset, 0), farthest - offset)
            for i in range(0, weights.shape[0], 2):
                k = i + number * ke
                several = i + 1 < weights.shape[0]
                for side in range(2):
                    low, high = reach[k, side]
                    if several:
                        high = max(high, reach[k + 1, side, 1])
                    if high <= low:
                        continue
                    to = (v * (ke + ko) + k) * kx + low
                    if stop < start:
                        for j in range(high - low):
                            target[to + j] = 0.0
                            if several:
                                target[to + kx + j] = 0.0
                    elif several:
                        pair(
                            products, low, kx, target, to, target, to + kx, high - low, weights[i], weights[i + 1],
                            start, stop,
                        )  # fmt: skip
                    else:
                        taps(products, low, kx, target, to, high - low, weights[i], start, stop, fresh)


@kernel(fastmath=SUMS)
def combine(products, first, second, weight, sign, out, start, stop):
    """out[v, m] = weight[v, m] (products[v, first[m]] + sign[m] products[v, second[m]]) for channels start to stop."""
    for v in range(start, stop):
        row = products[v]
        for m in range(first.size):
            out[v, m] = weight[v, m] * (row[first[m]] + sign[m] * row[second[m]])


@kernel(fastmath=SUMS)
def compare(products, first, second, weight, sign, data, scale, sums, start, stop):
    """As `combine`, times ``scale``, but only sums: of (m - data)^2, m^2 and m data, a row of ``sums`` per channel."""
    for v in range(start, stop):
        row = products[v]
        distance = square = product = 0.0
        for m in range(first.size):
            value = np.float64(scale * weight[v, m] * (row[first[m]] + sign[m] * row[second[m]]))
            here = np.float64(data[v, m])
            distance += (value - here) * (value - here)
            square += value * value
            product += value * here
        sums[v, 0], sums[v, 1], sums[v, 2] = distance, square, product


@kernel(fastmath=SUMS)
def thin(cube, step, out, start, stop):
    """out[v] = means of cube[v] over squares of ``step`` pixels; what is left of the last ones is left out."""
    _, ny, nx = out.shape
    share = np.float32(1.0 / (step * step))
    for v in range(start, stop):
        for y in range(ny):
            line = out[v, y]
            for x in range(nx):
                line[x] = 0.0
            for i in range(step):
                row = cube[v, y * step + i]
                for x in range(nx):
                    total = np.float32(0.0)
                    for j in range(step):
                        total += row[x * step + j]
                    line[x] += share * total


@kernel(fastmath=SUMS)
def rotate(values, turn, out):
    """out[u] = sum over v of turn[v, u] values[v]; single precision, shapes (nv, n), (nv, nv) and (nv, n)."""
    nv, n = values.shape
    source, target = values.reshape(values.size), out.reshape(out.size)
    fresh = np.int64(0)
    for u in range(nv):
        weights = turn[:, u].copy()
        taps(source, fresh, n, target, u * n, n, weights, fresh, nv - 1, fresh)


@kernel(fastmath=SUMS)
def pick(plane, where, matrix, out, start):
    """out[start : start + k] = plane[where] @ matrix, shapes (n,) and (n, k); zeros of the plane cost nothing."""
    k = matrix.shape[1]
    for j in range(start, start + k):
        out[j] = 0.0
    rows = np.empty(8, np.int64)
    values = np.zeros(8, np.float32)
    filled = 0
    for j in range(where.size + 1):
        if j < where.size:
            value = plane[where[j]]
            if value == 0.0:
                continue
            rows[filled], values[filled] = j, value
            filled += 1
            if filled < 8:
                continue
        if filled == 0:
            break
        for i in range(filled, 8):
            rows[i], values[i] = rows[0], 0.0
        r0, r1, r2, r3 = matrix[rows[0]], matrix[rows[1]], matrix[rows[2]], matrix[rows[3]]
        r4, r5, r6, r7 = matrix[rows[4]], matrix[rows[5]], matrix[rows[6]], matrix[rows[7]]
        v0, v1, v2, v3 = values[0], values[1], values[2], values[3]
        v4, v5, v6, v7 = values[4], values[5], values[6], values[7]
        target = out[start : start + k]
        for i in range(k):
            left = v0 * r0[i] + v1 * r1[i] + v2 * r2[i] + v3 * r3[i]
            target[i] += left + (v4 * r4[i] + v5 * r5[i] + v6 * r6[i] + v7 * r7[i])
        filled = 0


@kernel
def cholesky(a):
    """Turn a positive definite matrix into its lower Cholesky factor, in place; return whether it is one."""
    n = a.shape[0]
    for j in range(n):
        for k in range(j):
            factor = a[j, k]
            if factor != 0.0:
                a[j, j] -= factor * factor
        if not a[j, j] > 0.0:
            return False
        a[j, j] = np.sqrt(a[j, j])
        for i in range(j + 1, n):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            a[i, j] = total / a[j, j]
            a[j, i] = 0.0
    return True


@kernel
def forward(lower, b):
    """Solve lower x = b in place for all columns of b, shape (n, m)."""
    n, m = b.shape
    for i in range(n):
        for k in range(i):
            factor = lower[i, k]
            if factor != 0.0:
                for j in range(m):
                    b[i, j] -= factor * b[k, j]
        for j in range(m):
            b[i, j] /= lower[i, i]


@kernel
def pivoted(table, y, x, tolerance, most):
    """Return rows l, shape (k, n), with a = sum over k of outer(l[k], l[k]) but for a diagonal below ``tolerance``.

    Pivoted Cholesky factorisation (Harbrecht, Peters & Schneider 2012) of the matrix a[i, j] = table at the lag of
    pixels i and j, taking the pixel that is least explained next.

    Parameters
    ----------
    table : ndarray, shape (2 ly + 1, 2 lx + 1)
    y, x : ndarray of int64, shape (n,)
    tolerance : float
    most : int
        Largest k.
    """
    ly, lx = table.shape[0] // 2, table.shape[1] // 2
    n = y.size
    rest = np.full(n, table[ly, lx])
    rows = np.zeros((min(most, n), n))
    k = 0
    while k < rows.shape[0]:
        i = np.argmax(rest)
        if rest[i] <= tolerance:
            break
        row = rows[k]
        for j in range(n):
            dy, dx = y[j] - y[i], x[j] - x[i]
            if -ly <= dy <= ly and -lx <= dx <= lx:
                row[j] = table[dy + ly, dx + lx]
        for m in range(k):
            factor = rows[m, i]
            if factor != 0.0:
                before = rows[m]
                for j in range(n):
                    row[j] -= factor * before[j]
        scale = 1.0 / np.sqrt(rest[i])
        for j in range(n):
            row[j] *= scale
            rest[j] -= row[j] * row[j]
        rest[i] = 0.0
        k += 1
    return rows[:k]
