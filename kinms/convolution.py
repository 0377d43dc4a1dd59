"""Beam convolution of a sparse cube: one-dimensional passes, or real FFTs.

A Gaussian along the axes of the grid is the product of one along y and one along x. An oblique one takes a third pass
along a lattice direction d: its covariance is alpha e_x e_x + gamma e_y e_y + beta d d. Where it is too small for
that, it is a sum of products, from its singular values. Single precision is enough, and passes over what holds signal
are several times faster than FFTs, up to `FFT_TAPS` taps in all. Beyond that, and with ``method="fft"``, FFTs are used
(pyFFTW, one cached plan per shape, channel by channel, padded to the next fast length, where powers of two would cost
twice as much).

Both treat what is outside of the field as empty, and agree to 1e-5 of the peak.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from kinms.grid import Beam
from kinms.kernels.beam import smooth_blocks
from kinms.kernels.line import LANES
from kinms.records import FloatArray
from kinms.sparse import SparseCube
from kinms.threads import limit, run, spans

__all__ = ["METHODS", "Smoother", "smoother"]

METHODS = ("auto", "direct", "fft")
#: Taps of all passes together above which FFTs are faster.
FFT_TAPS = 500
#: The first tap that is left out is at least this many sigma away, where a Gaussian has fallen to 4e-6.
TAP_SIGMAS = 5.0
#: Largest difference between the product of the passes and the sampled beam, relative to its peak.
SAME = 5e-6
#: Lattice directions (dx, dy) of the third pass, tried in this order.
SLANTS = ((1, 1), (2, 1), (1, 2))
#: Cubes with fewer voxels stay on one thread: waking another one would take as long as they do.
SMALL = 2_000_000

_NONE = np.zeros(0, dtype=np.float32)
_NO_CUBE = np.zeros((0, 0, 0), dtype=np.float32)
_NO_BLOCKS = np.zeros((0, 0, 0, 0), dtype=np.float32)
_NO_HULL = np.zeros((0, 2), dtype=np.int64)


def _gaussian(variance: float) -> FloatArray:
    """Taps of a Gaussian with this variance (pixels^2), unit sum."""
    if variance <= 0.0:
        return np.ones(1)
    radius = max(int(np.ceil(TAP_SIGMAS * np.sqrt(variance))) - 1, 1)
    taps = np.exp(-0.5 * np.arange(-radius, radius + 1) ** 2 / variance)
    return np.asarray(taps / taps.sum())


def _sharpen(taps: FloatArray, width: float, box: bool) -> FloatArray:
    """Divide the transfer function of an assignment out of taps, shape (n, taps), see `kinms.points`."""
    if width == 0.0 and not box:
        return taps
    radius = taps.shape[1] // 2
    more = radius + 4
    n = 8 * more
    padded = np.zeros((taps.shape[0], n))
    padded[:, np.arange(-radius, radius + 1)] = taps
    f = np.fft.rfftfreq(n)
    sharp = np.fft.irfft(np.fft.rfft(padded) / assignment_transfer(f, width, box), n)
    return np.asarray(sharp[:, np.arange(-more, more + 1)])


def assignment_transfer(f: FloatArray, width: float, box: bool) -> FloatArray:
    """Transfer function, at frequencies ``f`` per pixel, of how points are shared among pixels beyond their own box.

    Two boxes of half a ``width`` smooth the edges of the pixels; with ``box`` the pixel itself is counted too.
    """
    return np.asarray(np.sinc(0.5 * width * f) ** 2 * (np.sinc(f) if box else 1.0))


class _Passes:
    """Taps along y and along x, shape (n, taps), the sum of whose n outer products is the kernel; and along a slant."""

    def __init__(self, wy: FloatArray, wx: FloatArray, wd: FloatArray, slant: tuple[int, int]) -> None:
        self.wy, self.wx, self.wd, self.slant = np.atleast_2d(wy), np.atleast_2d(wx), wd, slant

    @property
    def count(self) -> int:
        return int(self.wy.size + self.wx.size + self.wd.size)


def _separate(beam: Beam, cell: float) -> _Passes:
    """Find the fewest taps whose passes make up the beam."""
    cov = beam.covariance(cell)
    cross = cov[0, 1]
    kernel = beam.kernel(cell)
    if abs(cross) < 1e-9 * cov[0, 0]:
        return _Passes(_gaussian(cov[1, 1]), _gaussian(cov[0, 0]), np.zeros(0), (0, 0))
    best = _sum_of_products(kernel)
    for dx, dy in SLANTS:
        beta = abs(cross) / (dx * dy)
        alpha, gamma = cov[0, 0] - beta * dx**2, cov[1, 1] - beta * dy**2
        if min(alpha, gamma) <= 0.0:
            continue
        wy, wx = _gaussian(gamma), _gaussian(alpha)
        wd, error = _third_pass(kernel, wy, wx, dx if cross > 0 else -dx, dy, beta)
        passes = _Passes(wy, wx, wd, (dx if cross > 0 else -dx, dy))
        if error <= SAME and passes.count < best.count:
            best = passes
    return best


def _sum_of_products(kernel: FloatArray) -> _Passes:
    """Write a kernel as a sum of products of a column and a row, as few as it takes (singular values)."""
    u, s, v = np.linalg.svd(kernel)
    rest, n = kernel.copy(), 0
    while np.abs(rest).max() > SAME * kernel.max():
        rest -= s[n] * np.outer(u[:, n], v[n])
        n += 1
    wy, wx = u[:, :n].T * s[:n, None], v[:n]
    # What was left out is put back everywhere alike, so that the beam conserves flux.
    return _Passes(wy * (kernel.sum() / (wy.sum(axis=1) @ wx.sum(axis=1))), wx, np.zeros(0), (0, 0))


def _third_pass(kernel: FloatArray, wy: FloatArray, wx: FloatArray, dx: int, dy: int, variance: float) -> Any:
    """Taps along (dx, dy) that turn the product of ``wy`` and ``wx`` into the kernel, and how well they do.

    A sampled Gaussian only does where it is wide enough: the taps are those with the least square error.
    """
    radius = max(_gaussian(variance).size // 2, 2) + 1
    ry, rx = kernel.shape[0] // 2, kernel.shape[1] // 2
    reach_y = max(ry, wy.size // 2 + radius * dy)
    reach_x = max(rx, wx.size // 2 + radius * abs(dx))
    target = np.zeros((2 * reach_y + 1, 2 * reach_x + 1))
    target[reach_y - ry : reach_y + ry + 1, reach_x - rx : reach_x + rx + 1] = kernel
    columns = []
    for m in range(radius + 1):
        image = np.zeros(target.shape)
        for sign in {m, -m}:
            y, x = reach_y + sign * dy - wy.size // 2, reach_x + sign * dx - wx.size // 2
            image[y : y + wy.size, x : x + wx.size] += np.outer(wy, wx)
        columns.append(image.ravel())
    design = np.stack(columns, axis=1)
    half = np.linalg.lstsq(design, target.ravel(), rcond=None)[0]
    error = np.abs(design @ half - target.ravel()).max() / target.max()
    taps = np.concatenate([half[:0:-1], half])
    return taps / taps.sum(), float(error)


class Smoother:
    """Convolution of sparse cubes of one shape with one beam.

    Parameters
    ----------
    nv, ny, nx : int
        The field.
    beam : Beam or None
        None does nothing to the cube.
    cell : float
        Pixel size, arcsec.
    method : str
        ``direct``, ``fft``, or ``auto``: whichever is faster.
    width : float
        Points were shared among pixels with edges that wide, pixels; this is taken out again.
    box : bool
        Whether the pixel's own box is taken out as well.
    """

    def __init__(
        self, nv: int, ny: int, nx: int, beam: Beam | None, cell: float, method: str, width: float, box: bool
    ) -> None:
        self.nv, self.ny, self.nx = nv, ny, nx
        scale = 1.0 if beam is None else beam.pixels(cell)
        alone = _Passes(np.ones(1), np.ones(1), np.zeros(0), (0, 0))
        passes = alone if beam is None else _separate(beam, cell)
        self.fft: Callable[[], _Convolver] | None = None
        by_fft = method == "fft" or (method == "auto" and passes.count > FFT_TAPS)
        if by_fft and beam is not None:
            self.fft = functools.partial(_convolver, ny, nx, beam, cell, width, box)
            passes = alone
        if self.fft is None and beam is not None:
            passes.wy, passes.wx = _sharpen(passes.wy, width, box), _sharpen(passes.wx, width, box)
        self.wy = passes.wy.astype(np.float32)
        self.wx = (passes.wx * scale).astype(np.float32)
        self.wd = passes.wd.astype(np.float32)
        self.slant = passes.slant
        #: Rows so far apart show all that the beam leaves: what `square` looks at.
        self.row_step = 1 if beam is None else max(min(int(0.5 * float(beam.bmin or 0.0) / cell), 4), 1)
        #: Sum of the squares of the kernel (Jy/beam): what it does to the variance of white noise.
        self.noise_gain = scale**2 * (1.0 if beam is None else float((beam.kernel(cell) ** 2).sum()))
        # An assignment, and the slanted pass, need room beyond the field.
        room = 2 if width > 0.0 else 0
        self.spill_y = self.wy.shape[1] // 2 if self.wd.size else 0
        self.spill_x = (self.wd.size // 2) * abs(self.slant[0])
        self.margin = room
        self.pad = room + (self.wx.shape[1] // 2 + 2 * self.spill_x if self.wd.size else 0)
        # Rows a multiple of the page apart would all compete for the same lines of the cache.
        while (nx + 2 * self.pad) * LANES * 4 % 2048 < 128:
            self.pad += 1

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Arguments of the `SparseCube` that it convolves."""
        return self.nv, self.ny, self.nx, self.margin, self.pad

    def dense(self, cube: SparseCube, out: FloatArray | None = None, factor: float = 1.0) -> tuple[FloatArray, float]:
        """Return the convolved cube, shape (nv, ny, nx), single precision, and the sum of its squares.

        Parameters
        ----------
        cube : SparseCube
        out : ndarray of float32, optional
            Zeros, to be filled.
        factor : float
            Of the result.
        """
        if out is None:
            out = np.zeros((self.nv, self.ny, self.nx), dtype=np.float32)
        sums = self._run(cube, 0, out, _NO_BLOCKS, _NO_BLOCKS, factor)
        return out, float(sums[0])

    def square(self, cube: SparseCube) -> float:
        """Return the sum of the squares of the convolved cube, from some of its rows."""
        return float(self._run(cube, 3, _NO_CUBE, _NO_BLOCKS, _NO_BLOCKS)[0])

    def products(self, cube: SparseCube, data: FloatArray, weights: FloatArray | None) -> tuple[float, float]:
        """Return the sums of w m^2 and of w d m over the field, m the convolved cube, in double precision.

        Parameters
        ----------
        cube : SparseCube
        data : ndarray of float32, shape (blocks, ny, nx, LANES)
            Data times weights, zero where a voxel does not count.
        weights : ndarray, like data, or None
            None: one everywhere.
        """
        if weights is None:
            sums = self._run(cube, 1, _NO_CUBE, data, _NO_BLOCKS)
        else:
            sums = self._run(cube, 2, _NO_CUBE, data, weights)
        return float(sums[0]), float(sums[1])

    def _run(
        self, cube: SparseCube, mode: int, dense: FloatArray, data: FloatArray, weights: FloatArray, factor: float = 1.0
    ) -> FloatArray:
        blocks, rows, columns = cube.shape
        sums = np.zeros((blocks, 2))
        wx = self.wx if factor == 1.0 else (self.wx * factor).astype(np.float32)
        step = self.row_step if mode == 3 else 1
        threads = 1 if self.nv * self.ny * self.nx < SMALL else limit()

        def work(span: tuple[int, int]) -> None:
            slanted, slanted_hull = _NONE, _NO_HULL
            if self.wd.size:
                height = rows + 2 * self.spill_y
                slanted = np.zeros(height * columns * LANES, dtype=np.float32)
                slanted_hull = np.zeros((height, 2), dtype=np.int64)
            smooth_blocks(
                cube.flat, cube.hull, cube.shape, *cube.field, self.wy, wx, self.wd, *self.slant,
                slanted, slanted_hull, self.spill_y, self.spill_x, self.nv, mode, step, dense, data, weights, sums,
                0, *span,
            )  # fmt: skip

        def work_fft(span: tuple[int, int]) -> None:
            assert self.fft is not None
            for block in range(*span):
                image, hull = self.fft().block(cube, block)
                smooth_blocks(
                    image, hull, (1, self.ny, self.nx), 0, 0, self.ny, self.nx, self.wy, wx, self.wd, 0, 0,
                    _NONE, _NO_HULL, 0, 0, self.nv, mode, step, dense, data, weights, sums, block, 0, 1,
                )  # fmt: skip

        # One task a thread: each has a slanted block to itself. The sums of a block never depend on which it was.
        run(work if self.fft is None else work_fft, spans(blocks, threads), threads)
        return np.asarray(sums.sum(axis=0))


@functools.lru_cache(maxsize=32)
def smoother(
    nv: int, ny: int, nx: int, beam: Beam | None, cell: float, method: str, width: float = 0.0, box: bool = False
) -> Smoother:
    """Return the `Smoother` with these arguments, made once."""
    return Smoother(nv, ny, nx, beam, cell, method, width, box)


class _Convolver:
    """Convolution of (ny, nx) images with one kernel through FFTs; what is outside the field is empty."""

    def __init__(self, ny: int, nx: int, beam: Beam, cell: float, width: float, box: bool) -> None:
        import pyfftw

        kernel = beam.kernel(cell)
        ry, rx = kernel.shape[0] // 2 + 4 * (width > 0), kernel.shape[1] // 2 + 4 * (width > 0)
        self.room = 2 if width > 0.0 else 0
        self.field = (ny + 2 * self.room, nx + 2 * self.room)
        # Room for one kernel radius beyond the field is enough: what wraps round lands in that margin.
        shape = [max(pyfftw.next_fast_len(n + r), 2 * r + 1) for n, r in zip(self.field, (ry, rx), strict=True)]
        self.image = pyfftw.zeros_aligned(shape, dtype="float32")
        self.spectrum = pyfftw.zeros_aligned((shape[0], shape[1] // 2 + 1), dtype="complex64")
        # FFTW_ESTIMATE plans depend on the shape alone: measured ones would differ from run to run in the last bit.
        self.forward = pyfftw.FFTW(self.image, self.spectrum, axes=(0, 1), flags=("FFTW_ESTIMATE",))
        flags = ("FFTW_ESTIMATE", "FFTW_DESTROY_INPUT")
        self.inverse = pyfftw.FFTW(
            self.spectrum, self.image, axes=(0, 1), direction="FFTW_BACKWARD", flags=flags
        )  # fmt: skip
        whole = np.zeros(shape)
        whole[: kernel.shape[0], : kernel.shape[1]] = kernel
        whole = np.roll(whole, (-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), axis=(0, 1))
        fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
        surplus = assignment_transfer(fy, width, box) * assignment_transfer(fx, width, box)
        self.transfer = (np.fft.rfft2(whole) / surplus / (shape[0] * shape[1])).astype("complex64")
        self.out = np.zeros((ny, nx, LANES), dtype=np.float32)
        self.hull, self.empty = np.zeros((1, ny, 2), dtype=np.int64), np.zeros((1, ny, 2), dtype=np.int64)
        self.hull[..., 1] = nx

    def block(self, cube: SparseCube, block: int) -> tuple[FloatArray, FloatArray]:
        """Return a convolved block, flattened, and its hull."""
        hull = cube.hull[block]
        if not (hull[:, 1] > hull[:, 0]).any():
            return self.out.reshape(-1), self.empty
        height, width = self.field
        top, left = cube.margin - self.room, cube.pad - self.room
        ny, nx, room = cube.ny, cube.nx, self.room
        for lane in range(min(LANES, cube.nv - block * LANES)):
            source = cube.data[block, top : top + height, left : left + width, lane]
            if not source.any():
                self.out[:, :, lane] = 0.0
                continue
            self.image[:height, :width] = source
            self.image[height:] = 0.0
            self.image[:height, width:] = 0.0
            self.forward.execute()
            self.spectrum *= self.transfer
            self.inverse.execute()
            self.out[:, :, lane] = self.image[room : room + ny, room : room + nx]
        return self.out.reshape(-1), self.hull


_LOCAL = threading.local()  # plans own their buffers, so each thread has its own


def _convolver(*key: Any) -> _Convolver:
    if not hasattr(_LOCAL, "build"):
        _LOCAL.build = functools.lru_cache(maxsize=16)(_Convolver)
    result: _Convolver = _LOCAL.build(*key)
    return result
