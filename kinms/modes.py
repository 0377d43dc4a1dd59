"""Whitened modes of correlated noise: what a cube is projected on, so that chi-squared is a plain sum of squares.

Each class takes a cube of residuals in units of their errors, with zeros where a voxel is not used, and returns numbers
whose noise is independent and of unit variance.

`FieldModes`: a rectangle without gaps. Fourier modes of a field continued beyond its edges by one-dimensional kriging
along x and y, so that an edge costs nothing and no edge wraps round to the other; modes in which the noise is all floor
are left out, as the beam leaves no signal there either. `MaskModes`: any mask, a basis of each channel's own voxels.
Intervals of both are held to those of `DenseModes`, the whole covariance matrix, in
``tests/unit/test_correlated.py`` and ``benchmarks/correlated.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy  # loads its parts when they are first asked for

from kinms.correlation import Correlation
from kinms.errors import InputError
from kinms.kernels.modes import cholesky, combine, compare, forward, pick, pivoted, project, rotate, thin
from kinms.records import FloatArray
from kinms.threads import limit, run, spans

__all__ = ["DenseModes", "FieldModes", "MaskModes", "choose_modes"]

#: Modes are kept whose variance is this many times the floor's, or more.
CUT = 1.4

#: Rows that the field is continued by, in widths of the correlation: there it has fallen to noise.
_CONTINUED = 0.9

#: Noise of the data that the continuation reckons with, in floors: with less, what is fine across a row is carried
#: beyond its ends many times too strong.
_EXTRA = 10.0

#: Variance of a voxel, in floors, that the basis of a mask may leave unexplained.
LEFT = 0.1

#: Independent channels of noise that are drawn to learn how much there is in the modes of a field.
DRAWN = 8

#: Missing voxels, in parts of the field, that are predicted from their neighbours.
FEW = 1e-3

#: How far away these are, in pixels, along each axis.
_NEAR = 2

#: Up to this many pixels a field goes the way of a mask, which treats its edges better.
SMALL = 1_500

#: Pixels per width of the beam that the field is thinned out to, at least.
FINEST = 3.0

#: Voxels that a dense covariance matrix may have.
MOST_DENSE = 12_000

#: Modes that one channel of a masked cube may have; a larger one is thinned out, which widens intervals.
MOST_MODES = 2_000

#: Cubes up to this many sums are worth no second thread.
_WORTH = 20_000_000


def choose_modes(correlation: Correlation, use: np.ndarray, exact: bool = False) -> Any:
    """Return the modes for the voxels where ``use`` is true, shape (nv, ny, nx).

    Raises
    ------
    InputError
        If ``exact`` and there are too many of them.
    """
    if exact:
        return DenseModes(correlation, use)
    field = _Field.of(use)
    if field.missing.shape[1] > FEW * field.size or field.size <= SMALL * len(field.channels):
        return MaskModes(correlation, use)
    return FieldModes(correlation, field)


@dataclasses.dataclass(frozen=True)
class _Field:
    """The smallest rectangle round all voxels used, in the channels that have any, and what is missing in it."""

    channels: FloatArray
    rows: slice
    columns: slice
    missing: FloatArray  # shape (3, n): indices within the rectangle
    whole: bool

    @classmethod
    def of(cls, use: np.ndarray) -> _Field:
        channels = np.flatnonzero(use.any(axis=(1, 2)))
        rows, columns = (np.flatnonzero(use.any(axis=axes)) for axes in ((0, 2), (0, 1)))
        y, x = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        inside = use[channels, y, x]
        return cls(channels, y, x, np.array(np.nonzero(~inside)), inside.shape == use.shape)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns."""
        return len(self.channels), self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape))

    def cut(self, cube: FloatArray) -> FloatArray:
        """Return the rectangle of a cube, contiguous, single precision."""
        part = cube if self.whole else cube[self.channels, self.rows, self.columns]
        return np.ascontiguousarray(part, dtype=np.float32)


class _Gaps:
    """Single missing voxels of a field, each predicted by kriging from those within `_NEAR` pixels in its channel."""

    def __init__(self, correlation: Correlation, field: _Field) -> None:
        v, y, x = self._at = tuple(field.missing)
        ny, nx = field.shape[1:]
        dy, dx = (d.ravel() for d in np.mgrid[-_NEAR : _NEAR + 1, -_NEAR : _NEAR + 1])
        dy, dx = np.delete(dy, dy.size // 2), np.delete(dx, dx.size // 2)
        covariance = (1.0 - correlation.floor) * correlation.matrix(dy, dx) + correlation.floor * np.eye(dy.size)
        related = (1.0 - correlation.floor) * correlation.at(dy, dx)
        rows, columns = y[:, None] + dy, x[:, None] + dx
        known = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
        rows, columns = np.where(known, rows, y[:, None]), np.where(known, columns, x[:, None])
        known &= ~np.isin(_flat(field, v[:, None], rows, columns), _flat(field, v, y, x))
        self._near = v[:, None], rows, columns
        # One set of weights per pattern of known neighbours: mostly all of them.
        patterns, which = np.unique(known, axis=0, return_inverse=True)
        weights = np.zeros(patterns.shape)
        for weight, pattern in zip(weights, patterns, strict=True):
            if pattern.any():
                lower, of_pixel = covariance[np.ix_(pattern, pattern)], related[pattern][:, None].copy()
                cholesky(lower)
                whitened = np.eye(len(lower))
                forward(lower, whitened)
                forward(lower, of_pixel)
                weight[pattern] = np.einsum("ka,k->a", whitened, of_pixel[:, 0])
        self._weights = weights[which.reshape(-1)]

    def fill(self, part: FloatArray) -> None:
        """Put predictions into the gaps of a rectangle, in place."""
        part[self._at] = np.einsum("gn,gn->g", self._weights, part[self._near])


def _flat(field: _Field, v: FloatArray, y: FloatArray, x: FloatArray) -> FloatArray:
    """Return flat indices into the field."""
    return np.asarray((v * field.shape[1] + y) * field.shape[2] + x)


class FieldModes:
    """Of a rectangle without gaps: Fourier modes of the field and of what surrounds it.

    Parameters
    ----------
    correlation : Correlation
    field : _Field
        The rectangle.

    Attributes
    ----------
    n : int
        Independent numbers: the chi-squared that noise alone has.

    Notes
    -----
    The likelihood of the field is the largest that it has with any continuation beyond its edges. Kriging (Wiener
    1949; Cressie 1993) gives the most probable one; that along rows and columns is not exactly that of the plane, but
    the likelihood is stationary there, and what is lost is of second order.
    """

    def __init__(self, correlation: Correlation, field: _Field) -> None:
        self._field = field
        self._gaps = _Gaps(correlation, field) if field.missing.size else None
        channels = field.channels
        # Of a beam of many pixels the means of a few have all the signal.
        self._step = _coarsest(correlation)
        given, (correlation, self._scale) = correlation, _thinned(correlation, self._step)
        ny, nx = (n // self._step for n in field.shape[1:])
        cos_y, sin_y, n_y = _axis_modes(correlation, 0, ny)
        cos_x, sin_x, n_x = _axis_modes(correlation, 1, nx)
        power = (1.0 - correlation.floor) * correlation.power(n_y, n_x)
        matrix = correlation.channel_matrix(channels)
        independent = np.array_equal(matrix, np.eye(len(channels)))
        size, turn = (np.ones(len(channels)), np.eye(0)) if independent else np.linalg.eigh(matrix)
        size = np.maximum(size, 0.0)
        self._turn = None if independent else turn.astype(np.float32)

        # One complex number per pair of a mode and its mirror image: ky of both signs, kx not negative.
        ky = np.arange(1 - len(cos_y), len(cos_y))[:, None]
        kx = np.arange(len(cos_x))[None, :]
        kept = (power[ky, kx] > (CUT - 1.0) * correlation.floor / size.max()) & ((kx > 0) | (ky >= 0))
        ky, kx = (np.broadcast_to(k, kept.shape)[kept] for k in (ky, kx))
        most_y, most_x = int(np.abs(ky).max()), int(kx.max())
        # Cosines, then sines, each filled up with zeros to whole vectors of the processor.
        begin = _whole_vectors(most_x + 1)
        width = begin + _whole_vectors(most_x)
        self._tx = np.zeros((nx, width), dtype=np.float32)
        self._tx[:, : most_x + 1] = cos_x[: most_x + 1].T
        self._tx[:, begin : begin + most_x] = sin_x[:most_x].T
        middle = ny // 2
        self._even = np.ascontiguousarray(cos_y[: most_y + 1, middle:], dtype=np.float32)
        self._odd = np.ascontiguousarray(sin_y[:most_y, -middle:] if middle else sin_y[:0, :0], dtype=np.float32)
        # The columns of each row of products, cosines and sines, that some mode needs.
        farthest = np.full(most_y + 1, -1)
        np.maximum.at(farthest, np.abs(ky), kx)
        of_row = np.concatenate([farthest, farthest[1:]])
        self._reach = np.empty((of_row.size, 2, 2), dtype=np.int64)
        self._reach[:, 0] = np.stack([np.zeros_like(of_row), _whole_vectors(of_row + 1)], axis=1)
        self._reach[:, 1] = np.stack(
            [np.full_like(of_row, begin), begin + _whole_vectors(np.maximum(of_row, 0))], axis=1
        )

        # exp(-i k r) = (cos - i sin)(cos - i sin): real and imaginary part are sums of two products each.
        cos_row, sin_row = np.abs(ky) * width, (most_y + np.abs(ky)) * width
        cos_column, sin_column = kx, begin - 1 + kx
        minus = np.where(ky == 0, 0.0, np.where(ky > 0, -1.0, 1.0))
        real = np.stack([cos_row + cos_column, np.where((ky == 0) | (kx == 0), 0, sin_row + sin_column)])
        imaginary = np.stack([
            np.where(kx == 0, sin_row + cos_column, cos_row + sin_column),
            np.where((ky == 0) | (kx == 0), 0, sin_row + cos_column),
        ])  # fmt: skip
        has_part = (ky != 0) | (kx != 0)
        self._first, self._second = np.concatenate([real, imaginary[:, has_part]], axis=1)
        sign = np.where(kx == 0, 0.0, minus)
        self._sign = np.concatenate([sign, -sign[has_part]]).astype(np.float32)
        share = np.where(has_part, 2.0, 1.0) / (n_y * n_x)
        of_mode = power[ky, kx]
        share, of_mode = (np.concatenate([x, x[has_part]]) for x in (share, of_mode))
        weight = np.sqrt(share / (size[:, None] * of_mode + correlation.floor)) * self._scale
        self._weight = weight.astype(np.float32)
        self.n = self._expected(given)

    def of(self, cube: FloatArray) -> FloatArray:
        """Return the whitened modes, 1-D, single precision."""
        return self._modes(self._cut(cube))

    def _cut(self, cube: FloatArray) -> FloatArray:
        """Return the rectangle, its gaps filled."""
        part = self._field.cut(cube)
        if self._gaps is not None:
            part = part.copy() if np.shares_memory(part, cube) else part
            self._gaps.fill(part)
        return part

    def _modes(self, cube: FloatArray) -> FloatArray:
        products = self._products(cube)
        nv = len(products)
        out = np.empty((nv, self._first.size), dtype=np.float32)
        weight = self._weight[:nv] if self._turn is None else np.ones_like(self._weight)
        self._share_out(lambda span: combine(products, self._first, self._second, weight, self._sign, out, *span), nv)
        if self._turn is not None:
            turned = np.zeros_like(out)
            rotate(out, self._turn, turned)
            out = turned * self._weight
        return out.reshape(-1)

    def compare(self, cube: FloatArray, data: FloatArray, scale: float) -> tuple[float, float, float]:
        """Return the sums of (m - d)^2, m^2 and m d, of modes m of the cube times ``scale``, and those of data."""
        if self._turn is not None:
            return _compare(self.of(cube), data, scale)
        products = self._products(self._cut(cube))
        sums = np.empty((len(products), 3))
        of_data = data.reshape(self._weight.shape)

        def work(span: tuple[int, int]) -> None:
            compare(products, self._first, self._second, self._weight, self._sign, of_data, scale, sums, *span)

        self._share_out(work, len(products))
        distance, square, product = np.einsum("vk->k", sums).tolist()
        return distance, square, product

    def _expected(self, correlation: Correlation) -> int:
        """Return the chi-squared of noise alone, of a draw: modes of a field and what surrounds it overlap."""
        nv, ny, nx = self._field.shape
        drawn = nv if self._turn is not None else min(nv, DRAWN)
        modes = self._modes(correlation.draw((drawn, ny, nx), seed=0).astype(np.float32)).astype(float)
        return max(1, round(float(np.einsum("i,i->", modes, modes)) * nv / drawn))

    def _products(self, cube: FloatArray) -> FloatArray:
        """Return the products of cosines and sines along the axes, shape (nv, all products)."""
        nv = cube.shape[0]
        products = np.zeros((nv, len(self._reach), self._tx.shape[1]), dtype=np.float32)
        if self._step > 1:
            fine = cube
            cube = np.empty((nv, fine.shape[1] // self._step, fine.shape[2] // self._step), dtype=np.float32)
            self._share_out(lambda span: thin(fine, self._step, cube, *span), nv)

        def work(span: tuple[int, int]) -> None:
            project(cube, self._tx, self._even, self._odd, self._reach, products, *span)

        self._share_out(work, nv)
        return products.reshape(nv, -1)

    def _share_out(self, work: Callable[[tuple[int, int]], Any], nv: int) -> None:
        cost = nv * len(self._reach) * len(self._tx) * self._tx.shape[1]
        n = limit() if cost > _WORTH else 1
        run(work, spans(nv, n), n)


def _compare(modes: FloatArray, data: FloatArray, scale: float) -> tuple[float, float, float]:
    """Return the sums of (m - d)^2, m^2 and m d, of modes m times ``scale``, and those of data."""
    modes = modes.astype(float) * scale
    residual = modes - data
    # Not BLAS dot products: their last bits depend on the number of threads.
    first, second, third = (float(np.einsum("i,i->", *pair)) for pair in
                            ((residual, residual), (modes, modes), (modes, data)))  # fmt: skip
    return first, second, third


def _coarsest(correlation: Correlation) -> int:
    """Return over how many pixels means may be taken that lose no signal to speak of."""
    return max(1, int(min(correlation.fwhm) / np.sqrt(2.0) / FINEST))


def _thinned(correlation: Correlation, step: int) -> tuple[Correlation, float]:
    """Return the correlation of means over squares of ``step`` pixels, and what makes their variance one."""
    if step == 1:
        return correlation, 1.0
    ly, lx = (n + step for n in correlation.lags)
    ly, lx = (n // step for n in (ly, lx))
    y, x = np.arange(-ly, ly + 1) * step, np.arange(-lx, lx + 1) * step
    table = np.zeros((y.size, x.size))
    for dy in range(1 - step, step):
        for dx in range(1 - step, step):
            share = (step - abs(dy)) * (step - abs(dx)) / step**4
            table += share * correlation.at(y[:, None] + dy, x[None, :] + dx)
    of_beam = (1.0 - correlation.floor) * table[ly, lx]
    variance = of_beam + correlation.floor / step**2
    floor = correlation.floor / step**2 / variance
    return Correlation(table / table[ly, lx], floor, correlation.channels), float(1.0 / np.sqrt(variance))


def _whole_vectors(n: Any) -> Any:
    """Return the next multiple of 8."""
    return -(-n // 8) * 8


def _axis_modes(correlation: Correlation, axis: int, n: int) -> tuple[FloatArray, FloatArray, int]:
    """Return cosines and sines of an axis continued beyond its ends, shape (modes, n), and the length of that.

    Phases count from the middle of the axis: cosines, from the mean on, are even about it and sines odd.
    """
    # That of a single row: sums over rows would have a longer one in a slanted beam, and be wrong for all that varies
    # across rows.
    ly, lx = correlation.lags
    profile = correlation.table[ly, lx:] if axis else correlation.table[ly:, lx]
    below = np.flatnonzero(profile < 0.5)
    margin = int(np.ceil(_CONTINUED * 2.0 * (below[0] if below.size else profile.size)))
    length = n + 2 * margin
    at, here = np.arange(length) - margin, np.arange(n)

    def related(a: FloatArray, b: FloatArray) -> FloatArray:
        apart = np.abs(a[:, None] - b[None, :])
        return np.where(apart < profile.size, profile[np.minimum(apart, profile.size - 1)], 0.0)

    lower = related(here, here) + _EXTRA * correlation.floor * np.eye(n)
    cholesky(lower)
    continued, whitened = related(here, at), np.eye(n)
    continued[:, margin : margin + n] = 0.0
    forward(lower, continued)
    forward(lower, whitened)
    # continuation = C(at, here) C(here, here)^-1; einsum, as a BLAS product depends on the number of threads.
    weights = np.einsum("ka,kn->an", continued, whitened)
    weights[margin : margin + n] = np.eye(n)
    modes = np.arange((length + 1) // 2)  # an even length has one more, which no beam lets through
    phase = np.pi / length * ((modes[:, None] * (2 * np.arange(length) - length + 1)) % (2 * length))
    return np.einsum("ma,an->mn", np.cos(phase), weights), np.einsum("ma,an->mn", np.sin(phase[1:]), weights), length


class MaskModes:
    """Of any mask: for each channel a basis of its own voxels, whitened with their covariance.

    The basis spans what a pivoted Cholesky factorisation of the covariance explains down to the floor; what it leaves
    is noise that no signal stands above. The projection loses a little, but its likelihood is exact.

    Parameters
    ----------
    correlation : Correlation
    use : ndarray of bool, shape (nv, ny, nx)

    Attributes
    ----------
    n : int
        Number of modes.
    thinned : bool
        Whether channels have so many voxels that only every second, third ... row and column is used.
    """

    def __init__(self, correlation: Correlation, use: np.ndarray) -> None:
        step = _coarsest(correlation) if use.sum(axis=(1, 2)).max() > SMALL else 1
        self._step = max(1, min(step, *use.shape[1:]))
        if self._step > 1:
            use = _all_of(use, self._step)
        correlation, self._scale = _thinned(correlation, self._step)
        self.thinned = False
        self._bases: list[tuple[FloatArray, FloatArray]] = []
        self._channels: list[tuple[int, int]] = []  # number of the channel, and of its basis
        known: dict[bytes, int] = {}
        for v in np.flatnonzero(use.any(axis=(1, 2))):
            key = np.packbits(use[v]).tobytes()
            if key not in known:
                known[key] = len(self._bases)
                self._bases.append(self._basis(correlation, use[v]))
            self._channels.append((int(v), known[key]))
        if not self._channels:
            raise InputError(
                "the mask", "without a patch as wide as a third of the beam", "one with more of the signal"
            )
        sizes = [self._bases[b][1].shape[1] for _, b in self._channels]
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        self.n = int(self._starts[-1])
        reach = len(correlation.channels)
        self._blocks = self._between(correlation, use.shape[2]) if reach > 1 else []

    def _basis(self, correlation: Correlation, plane: np.ndarray) -> tuple[FloatArray, FloatArray]:
        """Return the flat indices of the voxels, and what turns them into modes, shape (voxels, modes)."""
        floor, every = correlation.floor, 1
        while True:
            where = np.flatnonzero(plane)
            if every > 1:
                y, x = np.divmod(where, plane.shape[1])
                where = where[(y % every == 0) & (x % every == 0)]
            y, x = np.divmod(where, plane.shape[1])
            rows = pivoted(correlation.table, y, x, LEFT * floor, MOST_MODES + 1)
            if rows.shape[0] <= MOST_MODES:
                break
            every += 1
            self.thinned = True
        rows = rows[::-1]  # the smallest first: the factorisation below then loses the least
        gram = np.einsum("kn,ln->kl", rows, rows)
        covariance = (1.0 - floor) * np.einsum("km,ml->kl", gram, gram) + floor * gram
        # What the basis leaves of a voxel's variance comes in as more floor.
        rest = 1.0 - np.einsum("kn,kn->n", rows, rows)
        covariance += (1.0 - floor) * np.einsum("kn,ln->kl", rows * rest, rows)
        width = np.sqrt(np.diag(covariance))
        lower = covariance / np.outer(width, width)
        if not cholesky(lower):
            raise InputError("the floor", f"{floor:g}", "one large enough for the covariance to have an inverse")
        matrix = rows / width[:, None]
        forward(lower, matrix)
        return where, np.ascontiguousarray(matrix.T * self._scale, dtype=np.float32)

    def _between(self, correlation: Correlation, nx: int) -> list[list[tuple[int, FloatArray]]]:
        """Return the Cholesky factor of the covariance of the modes of all channels, by blocks.

        One list per channel, of (channel up to this one, block of the factor).
        """
        reach = len(correlation.channels)
        factor: list[dict[int, FloatArray]] = []
        for i, (v, _) in enumerate(self._channels):
            row: dict[int, FloatArray] = {}
            near = [j for j in range(i + 1) if v - self._channels[j][0] < reach]
            for j in near:
                block = self._covariance(correlation, nx, i, j)
                for k in row:
                    other = row[k] if i == j else factor[j].get(k)
                    if other is not None:
                        block -= np.einsum("ak,bk->ab", row[k], other)
                if i == j:
                    if not cholesky(block):
                        raise InputError("channels", correlation.channels.tolist(), "a correlation that noise can have")
                    row[j] = block
                else:
                    solved = np.ascontiguousarray(block.T)
                    forward(factor[j][j], solved)
                    row[j] = np.ascontiguousarray(solved.T)
            factor.append(row)
        return [list(row.items()) for row in factor]

    def _covariance(self, correlation: Correlation, nx: int, i: int, j: int) -> FloatArray:
        """Return the covariance of the modes of two channels."""
        (v, a), (u, b) = self._channels[i], self._channels[j]
        (here, first), (there, second) = self._bases[a], self._bases[b]
        related = correlation.at(here[:, None] // nx - there // nx, here[:, None] % nx - there % nx)
        related *= (1.0 - correlation.floor) * correlation.channels[v - u]
        if i == j:
            related[np.diag_indices(here.size)] += correlation.floor
        return np.einsum("na,nb->ab", first, np.einsum("nm,mb->nb", related, second)) / self._scale**2

    def of(self, cube: FloatArray) -> FloatArray:
        """Return the whitened modes, 1-D, single precision."""
        cube = np.ascontiguousarray(cube, dtype=np.float32)
        if self._step > 1:
            fine, step = cube, self._step
            cube = np.empty((len(fine), fine.shape[1] // step, fine.shape[2] // step), dtype=np.float32)
            thin(fine, step, cube, 0, len(fine))
        out = np.zeros(self.n, dtype=np.float32)

        def work(i: int) -> None:
            v, b = self._channels[i]
            pick(cube[v].reshape(-1), *self._bases[b], out, self._starts[i])

        cost = sum(self._bases[b][1].size for _, b in self._channels)
        run(work, range(len(self._channels)), limit() if cost > _WORTH else 1)
        for i, row in enumerate(self._blocks):
            here = out[self._starts[i] : self._starts[i + 1]].astype(float)
            for j, factor in row[:-1]:
                here -= np.einsum("ab,b->a", factor, out[self._starts[j] : self._starts[j + 1]])
            column = here[:, None].copy()
            forward(row[-1][1], column)
            out[self._starts[i] : self._starts[i + 1]] = column[:, 0]
        return out

    def compare(self, cube: FloatArray, data: FloatArray, scale: float) -> tuple[float, float, float]:
        """Return the sums of (m - d)^2, m^2 and m d, of modes m of the cube times ``scale``, and those of data."""
        return _compare(self.of(cube), data, scale)


def _all_of(use: np.ndarray, step: int) -> np.ndarray:
    """Return which squares of ``step`` pixels have all of their voxels."""
    nv, ny, nx = use.shape[0], use.shape[1] // step, use.shape[2] // step
    return np.asarray(use[:, : ny * step, : nx * step].reshape(nv, ny, step, nx, step).all(axis=(2, 4)))


class DenseModes:
    """Exact: the whole covariance matrix, factorised.

    Of a rectangle without gaps the channels are turned into independent ones first, so that one matrix between its
    pixels is enough; of a mask with independent channels there is one matrix per channel; else one of all voxels.

    Parameters
    ----------
    correlation : Correlation
    use : ndarray of bool, shape (nv, ny, nx)

    Attributes
    ----------
    n : int
        Number of voxels.

    Raises
    ------
    InputError
        If a matrix would have more than `MOST_DENSE` rows.
    """

    def __init__(self, correlation: Correlation, use: np.ndarray) -> None:
        self.n, self._use = int(np.count_nonzero(use)), use
        floor, nx = correlation.floor, use.shape[2]
        field = _Field.of(use)
        self._groups: list[tuple[FloatArray, FloatArray]] = []
        self._field = None if field.missing.size else field
        if self._field is not None:
            channels = field.channels
            pixels = np.flatnonzero(use[channels[0]])
            _check_dense(pixels.size)
            table = correlation.matrix(*np.divmod(pixels, nx))
            size, self._turn = np.linalg.eigh(correlation.channel_matrix(channels))
            values, self._vectors = np.linalg.eigh(table)
            self._variance = (1.0 - floor) * np.outer(size, values) + floor
            return
        if len(correlation.channels) == 1:
            for v in np.flatnonzero(use.any(axis=(1, 2))):
                pixels = np.flatnonzero(use[v])
                _check_dense(pixels.size)
                self._groups.append(
                    (v * use[v].size + pixels, _inverse_factor(correlation.matrix(*np.divmod(pixels, nx)), floor))
                )
            return
        voxels = np.flatnonzero(use)
        _check_dense(voxels.size)
        numbers, within = np.divmod(voxels, use[0].size)
        covariance = correlation.matrix(*np.divmod(within, nx)) * correlation.channel_matrix(numbers)
        self._groups.append((voxels, _inverse_factor(covariance, floor)))

    def of(self, cube: FloatArray) -> FloatArray:
        """Return the whitened modes, 1-D, double precision."""
        cube = np.asarray(cube, dtype=float)
        if self._field is not None:
            field = self._field
            planes = cube[field.channels, field.rows, field.columns].reshape(len(field.channels), -1)
            turned = np.einsum("vp,vu->up", planes, self._turn)
            return np.asarray(np.einsum("up,pm->um", turned, self._vectors) / np.sqrt(self._variance)).reshape(-1)
        flat = cube.reshape(-1)
        return np.concatenate([np.einsum("mp,p->m", factor, flat[where]) for where, factor in self._groups])

    def compare(self, cube: FloatArray, data: FloatArray, scale: float) -> tuple[float, float, float]:
        """Return the sums of (m - d)^2, m^2 and m d, of modes m of the cube times ``scale``, and those of data."""
        return _compare(self.of(cube), data, scale)


def _check_dense(n: int) -> None:
    if n > MOST_DENSE:
        fix = "Leave out exact=True: the default differs by under 2 % of an interval."
        raise InputError("exact", f"True for {n} voxels in one matrix", f"at most {MOST_DENSE}", fix)


def _inverse_factor(matrix: FloatArray, floor: float) -> FloatArray:
    """Return the inverse of the lower Cholesky factor of (1 - floor) matrix + floor."""
    lower = np.linalg.cholesky((1.0 - floor) * matrix + floor * np.eye(len(matrix)))
    return np.asarray(scipy.linalg.solve_triangular(lower, np.eye(len(matrix)), lower=True))
