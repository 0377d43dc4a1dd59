"""One spectral line, integrated over the channels: from a table of phases, or from its distribution function.

A Gaussian line of constant width is tabulated at `PHASES` positions within a channel; `add_lines` interpolates
between two of them for eight channels at a time. Where the width varies with radius, or is so narrow that the spread
of velocity across a cell of the sky matters, `add_line` takes differences of the line's distribution function.

Velocities come in channels from the lower edge of the first one. Channels of different widths, or lines whose width
depends on velocity, have a table of their own for each place along the axis (`line_rows`), of the parts between the
true edges; velocities there are in mean channels, what a kernel needs to know is ``own``:

edges : ndarray, shape (channels + 1,), or (0,)
    In mean channels, from 0 to ``channels``; empty: channel k goes from k to k + 1 and the other three count for
    nothing.
places : ndarray of int32
    Channel in which each of so many equal pieces of the axis begins; no piece holds two edges.
gains : ndarray, shape (channels,)
    Mean width over that of the channel: a voxel is the mean over its channel, the more the narrower that is.
response : ndarray, shape (channels,), or (0,)
    1 sigma, in mean channels, of the spectrograph's response in the middle of each channel, linear in between.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kinms.compilation import kernel, part

__all__ = [
    "LANES",
    "PHASES",
    "add_line",
    "add_line_between",
    "add_lines",
    "channel_at",
    "find_rows",
    "lanes_for",
    "line_rows",
    "line_table",
    "response_at",
]

#: Channels to a block of the sparse cube.
LANES = 8
#: Positions within a channel at which a line is tabulated; linear interpolation between them errs by 2e-5 at most.
PHASES = 128
#: A tabulated line is cut at this many sigma, where a Gaussian has left 4e-6 on either side.
CUT = 4.6

#: Phases per sigma of their lines, at least; linear interpolation between them errs by 2e-5 at most.
PHASES_PER_SIGMA = 64

#: The normal distribution function is tabulated out to this many sigma, where it has left 1e-8.
REACH = 5.6
#: Table intervals per sigma; the cubic in each is then good to 3e-9.
STEPS = 32


def _normal_table() -> np.ndarray:
    """Coefficients, shape (n, 4), of the cubic Hermite pieces of the normal distribution function."""
    x = np.linspace(-REACH, REACH, round(2 * REACH * STEPS) + 1)
    value = np.array([0.5 * math.erfc(-t / math.sqrt(2.0)) for t in x])
    value[0], value[-1] = 0.0, 1.0
    slope = np.exp(-0.5 * x**2) / np.sqrt(2.0 * np.pi) * (x[1] - x[0])
    rise = np.diff(value)
    s0, s1 = slope[:-1], slope[1:]
    return np.stack([value[:-1], s0, 3.0 * rise - 2.0 * s0 - s1, s0 + s1 - 2.0 * rise], axis=1)


NORMAL = _normal_table()
_INTERVALS_PER_SIGMA = NORMAL.shape[0] / (2.0 * REACH)
_LAST = NORMAL.shape[0] - 1


@part
def _normal_cdf(x, table):
    t = min(max((x + REACH) * _INTERVALS_PER_SIGMA, 0.0), _LAST + 1.0)
    k = min(int(t), _LAST)
    f = t - k
    return ((table[k, 3] * f + table[k, 2]) * f + table[k, 1]) * f + table[k, 0]


def lanes_for(sigma: float) -> int:
    """Return how many channels, a multiple of `LANES`, the table of a line ``sigma`` channels wide has."""
    return LANES * math.ceil((2.0 * CUT * sigma + 1.0) / LANES)


@kernel
def line_table(table, sigma, normal):
    """Fill ``table``, shape (PHASES + 1, lanes + 2 LANES), with the parts of a line that fall into each channel.

    Row p is a line (p / PHASES) beyond the middle of channel lanes // 2 - 1. `LANES` zeros on either side let
    `add_lines` read beyond the ends.
    """
    lanes = table.shape[1] - 2 * LANES
    for p in range(PHASES + 1):
        centre = lanes // 2 - 0.5 + p / PHASES
        total = 0.0
        below = 0.0
        for k in range(lanes):
            edge = (k + 1.0 - centre) / sigma
            above = _normal_cdf(edge, normal) if edge < CUT else 1.0
            if edge < -CUT:
                above = 0.0
            table[p, LANES + k] = above - below
            below = above
        for k in range(lanes):
            total += table[p, LANES + k]
        for k in range(lanes):
            table[p, LANES + k] /= total


@part
def channel_at(u, edges, places):
    """Return the channel that holds a velocity; beyond the ends channels are one mean channel wide."""
    # Without a loop, which would make numba count references to the arrays: that takes forty times as long.
    channels = edges.size - 1
    if u < 0.0 or u >= channels:
        return np.int64(math.floor(u))
    k = np.int64(places[np.uint64(min(np.int64(u * (places.size / channels)), places.size - 1))])
    return k + 1 if edges[np.uint64(k + 1)] <= u else k


@part
def response_at(u, edges, places, response):
    """Return the width of the response at a velocity: linear between the middles of channels, held at the ends."""
    last = response.size - 1
    k = min(max(channel_at(u, edges, places), 0), last)
    middle = 0.5 * (edges[k] + edges[k + 1])
    other = k + 1 if u > middle else k - 1
    if other < 0 or other > last:
        return response[k]
    f = (u - middle) / (0.5 * (edges[other] + edges[other + 1]) - middle)
    return response[k] + f * (response[other] - response[k])


@kernel
def line_rows(low, high, sigma, own, normal):
    """Tabulate the parts of a line that fall into channels with edges of their own, wherever its centre lies.

    Parameters
    ----------
    low, high : float
        Between which centres, in mean channels.
    sigma : float
        1 sigma in mean channels, without the response.
    own : tuple
        See above.
    normal : ndarray

    Returns
    -------
    table : ndarray of float32, 1-D
        As that of `line_table`, but each mean channel, or cell, has rows of its own.
    lanes : int
        Channels to a row, less `LANES` zeros on either side.
    bases : ndarray of int32, shape (cells,)
        Of each cell: the channel of its rows' first lane.
    first_cell, phases : int
        Mean channel of the first cell, and rows to a cell less one.
    """
    edges, places, gains, response = own
    channels = gains.size
    widest = narrowest = sigma
    if response.size > 0:
        widest, narrowest = math.hypot(sigma, response.max()), math.hypot(sigma, response.min())
    phases = 4
    while phases * narrowest < PHASES_PER_SIGMA:
        phases *= 2
    # Beyond these cells nothing reaches the channels: a centre that lies there is as good as one at their end.
    beyond = math.ceil(CUT * widest) + 1.0
    first_cell = math.floor(min(max(low, -beyond), channels + beyond - 1.0))
    last_cell = math.floor(min(max(high, np.float64(first_cell)), channels + beyond - 1.0))
    cells = last_cell - first_cell + 1
    width = np.full(cells * (phases + 1), sigma)
    bases = np.empty(cells, np.int32)
    lanes = 1
    for cell in range(cells):
        most = sigma
        for p in range(phases + 1):
            if response.size > 0:
                centre = first_cell + cell + p / phases
                s = math.hypot(sigma, response_at(centre, edges, places, response))
                width[cell * (phases + 1) + p] = s
                most = max(most, s)
        bases[cell] = channel_at(first_cell + cell - CUT * most, edges, places)
        lanes = max(lanes, channel_at(first_cell + cell + 1.0 + CUT * most, edges, places) - bases[cell] + 1)
    table = np.zeros((width.size, lanes + 2 * LANES), np.float32)
    whole = 1.0 - 2.0 * _normal_cdf(-CUT, normal)
    cubics, parts = normal.reshape(normal.size), np.empty(lanes + 1)
    for row in range(width.size):
        cell = row // (phases + 1)
        centre = first_cell + cell + (row - cell * (phases + 1)) / phases
        inverse = 1.0 / width[row]
        first, stop = max(np.int64(bases[cell]), 0), min(np.int64(bases[cell]) + lanes, channels)
        if first >= stop:
            continue
        for i_ in range(stop + 1 - first):
            i = np.uint64(i_)
            # As `_normal_cdf`, in a form that the compiler vectorises, of a Gaussian that ends at `CUT`.
            t = (min(max((edges[np.uint64(first) + i] - centre) * inverse, -CUT), CUT) + REACH) * _INTERVALS_PER_SIGMA
            piece = np.floor(t)
            f, j = t - piece, np.uint64(4) * np.uint64(np.int32(piece))
            above = cubics[j + np.uint64(3)] * f + cubics[j + np.uint64(2)]
            parts[i] = (above * f + cubics[j + np.uint64(1)]) * f + cubics[j]
        at = LANES + first - np.int64(bases[cell])
        for k in range(stop - first):
            table[row, at + k] = (parts[k + 1] - parts[k]) * gains[first + k] / whole
    return table.reshape(table.size), lanes, bases, first_cell, phases


@part
def find_rows(u, w, n, step, bases, first_cell, phases, row, first, a, b):
    """Find lines in the table of `line_rows`, for `add_lines`: table row, first channel, two weights."""
    low, high = np.float64(first_cell), first_cell + bases.size - 1e-9
    last, wide = np.int32(bases.size - 1), np.int32(step)
    rows, start = np.int32(phases + 1), np.int32(first_cell)
    for i_ in range(n):
        i = np.uint64(i_)
        v = min(max(u[i], low), high)
        whole = np.floor(v)
        phase = (v - whole) * phases
        p = np.floor(phase)
        cell = min(max(np.int32(whole) - start, np.int32(0)), last)
        first[i] = bases[np.uint64(cell)]
        row[i] = (cell * rows + np.int32(p)) * wide + LANES
        b[i] = w[i] * (phase - p)
        a[i] = w[i] - w[i] * (phase - p)


@intrinsic
def add_lines(typingctx, cube, at, table, step, lanes, channel, row, first_channel, a, b, start, stop):
    """Add some tabulated lines to eight neighbouring channels: ``cube[at:at + 8] += a * T[row] + b * T[next row]``.

    The loop over the lines keeps its sums in vector registers. Left to itself the compiler would not: it cannot know
    that the arrays do not overlap, and vectorises no loop of eight steps. This made the whole model call 1.5 times
    faster; all else is plain numba.

    Parameters
    ----------
    cube, table : ndarray of float32, 1-D
        The table is that of `line_table`, flattened.
    at : int
        First of the eight elements.
    step, lanes : int
        Length of a row of the table, and how much of it is not padding.
    channel : int
        Which channel ``cube[at]`` is.
    row, first_channel : ndarray of int32
        Of each line: where its row begins, and the channel of its first lane.
    a, b : ndarray of float32
        Of each line: what it weighs in its row, and in the next one.
    start, stop : int
        Which lines.
    """
    index = types.int64
    arrays = (0, 2, 6, 7, 8, 9)
    signature = types.void(
        cube, index, table, index, index, index, row, first_channel, a, b, index, index
    )  # fmt: skip

    def generate(context, builder, signature, args):
        lane, i64, i32 = ir.VectorType(ir.FloatType(), LANES), ir.IntType(64), ir.IntType(32)
        data = {n: context.make_array(signature.args[n])(context, builder, args[n]).data for n in arrays}
        undefined, zeros = ir.Constant(lane, ir.Undefined), ir.Constant(ir.VectorType(i32, LANES), [0] * LANES)

        def vector(n, at):
            return builder.bitcast(builder.gep(data[n], [at]), lane.as_pointer())

        def load(n, at):
            value = builder.load(vector(n, at))
            value.align = 4
            return value

        def item(n, at):
            return builder.load(builder.gep(data[n], [at]))

        def splat(number):
            one = builder.insert_element(undefined, number, ir.Constant(i32, 0))
            return builder.shuffle_vector(one, undefined, zeros)

        def clip(number, low, high):
            number = builder.select(builder.icmp_signed("<", number, low), low, number)
            return builder.select(builder.icmp_signed(">", number, high), high, number)

        _, at, _, step, lanes, channel, _, _, _, _, start, stop = args
        sums = [
            cgutils.alloca_once_value(builder, load(0, at)),
            cgutils.alloca_once_value(builder, ir.Constant(lane, [0.0] * LANES)),
        ]
        with cgutils.for_range(builder, builder.sub(stop, start)) as loop:
            i = builder.add(start, loop.index)
            offset = builder.sub(channel, builder.sext(item(7, i), i64))
            offset = clip(offset, ir.Constant(i64, -LANES), lanes)
            where = builder.add(offset, builder.sext(item(6, i), i64))
            for total, weight, there in zip(sums, (8, 9), (where, builder.add(where, step)), strict=True):
                product = builder.fmul(splat(item(weight, i)), load(2, there), flags=("contract",))
                builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)
        both = builder.fadd(builder.load(sums[0]), builder.load(sums[1]))
        builder.store(both, vector(0, at)).align = 4
        return context.get_dummy_value()

    return signature, generate


@part
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


@part
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


@part
def _line_cdf(x, s, a, b, table):
    """Distribution function of a Gaussian (width s) convolved with two boxes (full widths a >= b >= 0).

    The boxes are the spread of velocity across a cell of the sky, which has its own gradient along x and y.
    Boxes far narrower than the rest are left out: the differences below would lose all digits.
    """
    reach = REACH * s + 0.5 * (a + b)
    if abs(x) >= reach > 0.0:
        return 1.0 if x > 0.0 else 0.0
    if a <= 1e-3 * s or a <= 0.0:
        if s <= 0.0:
            return 1.0 if x > 0.0 else 0.0
        return _normal_cdf(x / s, table)
    if b <= 1e-3 * (s + a):
        return (_ramp(x + 0.5 * a, s, table) - _ramp(x - 0.5 * a, s, table)) / a
    p, q = 0.5 * (a + b), 0.5 * (a - b)
    outer = _parabola(x + p, s, table) + _parabola(x - p, s, table)
    inner = _parabola(x + q, s, table) + _parabola(x - q, s, table)
    return (outer - inner) / (a * b)


@part
def _trapezoid_cdf(x, a, b):
    """Distribution function of two boxes (full widths a >= b >= 0) convolved: `_line_cdf` without a Gaussian."""
    outer, inner = 0.5 * (a + b), 0.5 * (a - b)
    y = abs(x)
    if y >= outer:
        beyond = 0.0
    elif y <= inner:
        beyond = 0.5 - y / a
    else:
        beyond = 0.5 * (outer - y) ** 2 / (a * b)
    return 1.0 - beyond if x > 0.0 else beyond


@part
def _settle(s, a, b):
    """Return the width of a line and of its two boxes (a >= b), those set to zero that make no difference."""
    if a < b:
        a, b = b, a
    # Widths below a millionth of a channel are none: differences of distribution functions would lose their digits.
    if s < 1e-6:
        s = 0.0
    if a < 1e-6:
        a = b = 0.0
    # A box much narrower than the Gaussian only adds its variance (the next term is below 1e-5).
    if a < 0.3 * s:
        s, a, b = math.sqrt(s * s + (a * a + b * b) / 12.0), 0.0, 0.0
    elif b < 0.3 * s:
        s, b = math.sqrt(s * s + b * b / 12.0), 0.0
    return s, a, b


@part
def add_line(cube, at, stride, channels, u, s, a, b, w, table):
    """Add one line to a pixel of the flattened sparse cube; return its first and last channel (last < first: none).

    Parameters
    ----------
    cube : ndarray of float32, 1-D
    at, stride : int
        The pixel's first channel, and how far apart its blocks are.
    channels : int
    u, s, w : float
        Centre and 1 sigma in channels, and weight.
    a, b : float
        Full widths (channels) of the two boxes over which the velocity spreads inside the node's cell.
    """
    s, a, b = _settle(s, a, b)
    if s == 0.0:
        # Without dispersion most lines lie in one channel or two.
        reach = 0.5 * (a + b)
        low, high = math.floor(max(u - reach, -1.0)), math.floor(min(u + reach, channels + 1.0))
        first, last = max(low, 0), min(high, channels - 1)
        below = 0.0 if low >= 0 else _trapezoid_cdf(first - u, a, b)
        for k in range(first, last + 1):
            above = 1.0 if k == high else _trapezoid_cdf(k + 1.0 - u, a, b)
            cube[at + (k // LANES) * stride + k % LANES] += w * (above - below)
            below = above
        return first, last
    reach = REACH * s + 0.5 * (a + b)
    low, high = math.floor(max(u - reach, -1.0)), math.floor(min(u + reach, channels + 1.0))
    first, last = max(low, 0), min(high, channels - 1)
    # Nothing of the line lies below its lowest channel, and all of it below the end of its highest.
    below = 0.0 if low >= 0 else _line_cdf(first - u, s, a, b, table)
    for k in range(first, last + 1):
        above = 1.0 if k == high else _line_cdf(k + 1.0 - u, s, a, b, table)
        cube[at + (k // LANES) * stride + k % LANES] += w * (above - below)
        below = above
    return first, last


@part
def add_line_between(cube, at, stride, u, s, a, b, w, table, edges, places, gains):
    """As `add_line` does, for channels with edges of their own, see above; there are as many as ``gains``."""
    s, a, b = _settle(s, a, b)
    channels = gains.size
    reach = REACH * s + 0.5 * (a + b)
    low = channel_at(max(u - reach, -1.0), edges, places)
    high = channel_at(min(u + reach, channels + 1.0), edges, places)
    first, last = max(low, 0), min(high, channels - 1)
    below = 0.0
    if low < 0:
        below = _trapezoid_cdf(-u, a, b) if s == 0.0 else _line_cdf(-u, s, a, b, table)
    for k in range(first, last + 1):
        above = 1.0
        if k < high:
            x = edges[k + 1] - u
            above = _trapezoid_cdf(x, a, b) if s == 0.0 else _line_cdf(x, s, a, b, table)
        cube[at + (k // LANES) * stride + k % LANES] += w * gains[k] * (above - below)
        below = above
    return first, last
