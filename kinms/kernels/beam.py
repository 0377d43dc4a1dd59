"""Gaussian beams as one-dimensional passes over the sparse cube, and what is made of the result on the way.

The pass along y and the one along x are fused row by row, so that what is between them never leaves the cache. Of the
last row come, as asked, the voxels of a dense cube, or sums for chi-squared: a dense cube is then never built.
"""

from __future__ import annotations

import numpy as np

from kinms.compilation import kernel, part
from kinms.kernels.line import LANES

#: Sums may be taken in any order, so that the compiler can take eight at a time.
SUMS = {"contract", "reassoc", "nsz"}

__all__ = ["add_and_subtract", "laplacian_ratio", "smooth_blocks", "sum_blocks", "taps"]


@part(fastmath=SUMS)
def taps(source, at, stride, out, to, length, weights, first, last, add):
    """out[to + j] = sum over m of weights[m] source[at + m stride + j], m from first to last, eight terms at a time.

    If ``add`` is not zero this is added to what is there.

    Plain offsets into two arrays let the compiler see at once that they do not overlap, and vectorise.
    """
    start = np.uint64(to)
    keep = np.float32(1.0) if add != 0 else np.float32(0.0)
    m = first
    while m + 7 <= last:
        p0 = np.uint64(at + m * stride)
        d = np.uint64(stride)
        p1, p2, p3 = p0 + d, p0 + d + d, p0 + d + d + d
        p4 = p3 + d
        p5, p6, p7 = p4 + d, p4 + d + d, p4 + d + d + d
        w0, w1, w2, w3 = weights[m], weights[m + 1], weights[m + 2], weights[m + 3]
        w4, w5, w6, w7 = weights[m + 4], weights[m + 5], weights[m + 6], weights[m + 7]
        for k in range(length):
            j = np.uint64(k)
            left = w0 * source[p0 + j] + w1 * source[p1 + j] + w2 * source[p2 + j] + w3 * source[p3 + j]
            right = w4 * source[p4 + j] + w5 * source[p5 + j] + w6 * source[p6 + j] + w7 * source[p7 + j]
            out[start + j] = keep * out[start + j] + (left + right)
        keep = np.float32(1.0)
        m += 8
    while m + 2 <= last:
        p0 = np.uint64(at + m * stride)
        p1, p2 = p0 + np.uint64(stride), p0 + np.uint64(2 * stride)
        w0, w1, w2 = weights[m], weights[m + 1], weights[m + 2]
        for k in range(length):
            j = np.uint64(k)
            sums = w0 * source[p0 + j] + w1 * source[p1 + j] + w2 * source[p2 + j]
            out[start + j] = keep * out[start + j] + sums
        keep = np.float32(1.0)
        m += 3
    while m <= last:
        p0, w0 = np.uint64(at + m * stride), weights[m]
        for k in range(length):
            j = np.uint64(k)
            out[start + j] = keep * out[start + j] + w0 * source[p0 + j]
        keep = np.float32(1.0)
        m += 1


@part(fastmath=SUMS)
def _slant_block(
    cube, hull, shape, block, slanted, slanted_hull, slanted_rows, spill_y, spill_x, weights, dx, dy, abreast
):
    """Convolve one block along the lattice direction (dx, dy) into ``slanted``, which has margins of its own.

    Beyond the field the result matters too, as far as the later passes reach: without these margins its edges would
    be wrong.

    Parameters
    ----------
    cube, hull, shape : as in `kinms.kernels.sky.deposit_sky`
    block : int
    slanted : ndarray of float32, 1-D
        One block of (slanted_rows, columns, abreast).
    slanted_hull : ndarray of int64, shape (slanted_rows, 2)
    spill_y, spill_x : int
        Rows that ``slanted`` has before the cube's first; columns of the cube's own margin that may be filled.
    weights : ndarray of float32
        The taps, centred.
    abreast : int
        Channels next to each other in memory: LANES of a sparse cube, 1 of a single channel.
    """
    _, rows, columns = shape
    radius = weights.size // 2
    base = block * rows * columns * abreast
    for row in range(slanted_rows):
        to = row * columns * abreast
        for j in range(slanted_hull[row, 0] * abreast, slanted_hull[row, 1] * abreast):
            slanted[np.uint64(to + j)] = 0.0
        low, high, first, last = columns, 0, radius + 1, -radius - 1
        for m in range(-radius, radius + 1):
            y = row - spill_y + m * dy
            if 0 <= y < rows and hull[block, y, 1] > hull[block, y, 0]:
                low = min(low, hull[block, y, 0] - m * dx)
                high = max(high, hull[block, y, 1] - m * dx)
                first, last = min(first, m), max(last, m)
        low, high = max(low, spill_x), min(high, columns - spill_x)
        if high <= low:
            slanted_hull[row, 0], slanted_hull[row, 1] = columns, 0
            continue
        slanted_hull[row, 0], slanted_hull[row, 1] = low, high
        at = base + ((row - spill_y) * columns + low) * abreast
        stride = (dy * columns + dx) * abreast
        start = at - radius * stride
        taps(
            cube,
            start,
            stride,
            slanted,
            to + low * abreast,
            (high - low) * abreast,
            weights,
            first + radius,
            last + radius,
            np.int64(0),
        )


@part(fastmath=SUMS)
def _smooth_block(
    cube,
    at,
    hull,
    rows,
    columns,
    margin,
    pad,
    ny,
    nx,
    wy,
    wx,
    block,
    channels,
    mode,
    row_step,
    dense,
    data,
    weights,
    sums,
    abreast,
):
    """Convolve one block along y and x and use the result: write it, or compare it with data.

    Parameters
    ----------
    cube : ndarray of float32, 1-D
    at, hull : int and ndarray of int64, shape (rows, 2)
        Where the block begins, and its hull.
    rows, columns, margin, pad, ny, nx : int
        Of the block, and of the field within it.
    wy, wx : ndarray of float32, shape (n, 2 ry + 1) and (n, 2 rx + 1)
        Taps, centred: the kernel is the sum over n of their outer products.
    block, channels, mode : int
        Which block of how many channels; 0: write ``dense``, 1: sums with ``data``, 2: with ``weights`` as well,
        3: only the sum of squares.
    row_step : int
        1, or with mode 3 the step between the rows that stand for all: the beam leaves nothing between them.
    dense : ndarray of float32, shape (nv, ny, nx)
    data, weights : ndarray of float32, shape (blocks, ny, nx, abreast)
        Data times their weights, and weights.
    sums : ndarray, shape (2,)
        Added to: sum of w m^2 and of w m d.
    abreast : int
        As in `_slant_block`.
    """
    ry, rx = wy.shape[1] // 2, wx.shape[1] // 2
    width = columns + 2 * rx
    between, last_row = np.zeros(width * abreast, np.float32), np.zeros(nx * abreast, np.float32)
    lanes = min(abreast, channels - block * abreast)
    square = product = 0.0
    for y in range(0, ny, row_step):
        low, high, first, last = columns, 0, ry + 1, -ry - 1
        for m in range(-ry, ry + 1):
            row = y + margin + m
            if 0 <= row < rows and hull[row, 1] > hull[row, 0]:
                low, high = min(low, hull[row, 0]), max(high, hull[row, 1])
                first, last = min(first, m), max(last, m)
        start, stop = max(low - rx, pad) - pad, min(high + rx, pad + nx) - pad
        if high <= low or stop <= start:
            continue
        length = (high - low) * abreast
        source = at + ((y + margin - ry) * columns + low) * abreast
        size = (stop - start) * abreast
        # Constants with a type of their own would each have the function compiled once more.
        fresh, pixel = np.int64(0), np.int64(abreast)
        for k in range(wy.shape[0]):
            to = (low + rx) * abreast
            taps(cube, source, columns * abreast, between, to, length, wy[k], first + ry, last + ry, fresh)
            for x in range(to, (high + rx) * abreast, abreast):
                for lane in range(lanes, abreast):
                    between[np.uint64(x + lane)] = 0.0
            at_x = (start + pad) * abreast
            taps(between, at_x, pixel, last_row, start * abreast, size, wx[k], fresh, 2 * rx, k)
        for j in range((low + rx) * abreast, (high + rx) * abreast):
            between[np.uint64(j)] = 0.0
        if mode == 0:
            for lane in range(lanes):
                line = dense[block * abreast + lane, y]
                for x in range(start, stop):
                    line[np.uint64(x)] = last_row[np.uint64(x * abreast + lane)]
        if mode == 1 or mode == 2:
            of_row = data[block, y].reshape(nx * abreast)
            weight = weights[block, y].reshape(nx * abreast) if mode == 2 else of_row
            for j in range(start * abreast, stop * abreast):
                k = np.uint64(j)
                value = np.float64(last_row[k])
                product += value * np.float64(of_row[k])
                square += value * value * (np.float64(weight[k]) if mode == 2 else 1.0)
        else:
            for j in range(start * abreast, stop * abreast):
                value = np.float64(last_row[np.uint64(j)])
                square += value * value
    sums[0] += square * row_step
    sums[1] += product


@kernel(fastmath=SUMS)
def smooth_blocks(
    cube, hull, shape, margin, pad, ny, nx, wy, wx, wd, dx, dy, slanted, slanted_hull, spill_y, spill_x,
    channels, mode, row_step, dense, data, weights, sums, number, first_block, last_block, abreast,
):  # fmt: skip
    """Convolve blocks ``first_block`` to ``last_block``, each with a row of ``sums``, shape (blocks, 2).

    The first of the cube's blocks is block ``number`` of the data.

    With taps ``wd`` along the lattice direction (dx, dy) each block first goes, slanted, into ``slanted`` (see
    `_slant_block`). All else is as in `_smooth_block`.
    """
    _, rows, columns = shape
    for block in range(first_block, last_block):
        source, at, outline, height, top = cube, block * rows * columns * abreast, hull[block], rows, margin
        if wd.size > 0:
            source, at, outline, height, top = slanted, 0, slanted_hull, rows + 2 * spill_y, margin + spill_y
            _slant_block(cube, hull, shape, block, slanted, slanted_hull, height, spill_y, spill_x, wd, dx, dy, abreast)
        _smooth_block(
            source, at, outline, height, columns, top, pad, ny, nx, wy, wx, block + number, channels, mode, row_step,
            dense, data, weights, sums[block + number], abreast,
        )  # fmt: skip


@kernel(fastmath=SUMS)
def sum_blocks(cube, hull, shape, margin, pad, ny, nx, channels):
    """Return, before the beam and over the field, the sum of the values, of their sizes, and of their squares."""
    blocks, rows, columns = shape
    total = size = square = 0.0
    for block in range(blocks):
        lanes = min(LANES, channels - block * LANES)
        for row in range(margin, margin + ny):
            base = (block * rows + row) * columns
            low, high = max(hull[block, row, 0], pad), min(hull[block, row, 1], pad + nx)
            if lanes < LANES:
                for x in range(low, high):
                    for lane in range(lanes, LANES):
                        cube[(base + x) * LANES + lane] = 0.0
            for j in range((base + low) * LANES, (base + high) * LANES):
                value = np.float64(cube[np.uint64(j)])
                total += value
                size += abs(value)
                square += value * value
    return total, size, square


@kernel(fastmath=SUMS)
def laplacian_ratio(data, channel_step, row_step):
    """Return the rms of the Laplacian of some rows of some channels, per pixel squared, over that of their values."""
    nv, ny, nx = data.shape
    bent = square = 0.0
    for channel in range(0, nv, channel_step):
        for y in range(1, ny - 1, row_step):
            above, here, below = data[channel, y - 1], data[channel, y], data[channel, y + 1]
            for x in range(1, nx - 1):
                value = np.float64(here[x])
                laplacian = np.float64(above[x]) + below[x] + here[x - 1] + here[x + 1] - 4.0 * value
                bent += laplacian * laplacian
                square += value * value
    return np.sqrt(bent / square) if square > 0.0 else 0.0


@kernel(fastmath=SUMS)
def add_and_subtract(first, first_hull, second, second_hull, shape, sign):
    """Turn two sparse cubes of the same shape into their sum and difference.

    With ``sign`` -1 only the first is changed, into the difference.
    """
    blocks, rows, columns = shape
    for block in range(blocks):
        for row in range(rows):
            a, b = first_hull[block, row], second_hull[block, row]
            low, high = min(a[0], b[0]), max(a[1], b[1])
            a[0], a[1] = low, high
            base = (block * rows + row) * columns
            if sign < 0.0:
                for j in range((base + low) * LANES, (base + high) * LANES):
                    first[np.uint64(j)] -= second[np.uint64(j)]
                continue
            b[0], b[1] = low, high
            for j in range((base + low) * LANES, (base + high) * LANES):
                k = np.uint64(j)
                one, two = first[k], second[k]
                first[k], second[k] = one + two, one - two
