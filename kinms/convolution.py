"""Beam convolution of a sparse cube: one-dimensional passes, or real FFTs.

A Gaussian along the axes of the grid is the product of one along y and one along x. An oblique one takes a third pass
along a lattice direction d: its covariance is alpha e_x e_x + gamma e_y e_y + beta d d. Where it is too small for
that, it is a sum of products, from its singular values. Single precision is enough, and passes over what holds signal
are several times faster than FFTs, up to `FFT_TAPS` taps in all. Beyond that, and with ``method="fft"``, FFTs are used
(pyFFTW, one cached plan per shape, channel by channel, padded to the next fast length, where powers of two would cost
twice as much).

Both treat what is outside of the field as empty, and agree to 1e-5 of the peak.

Of any other `kinms.grid.PSF` the kernel is a sum of products or goes through FFTs. Where each channel has a beam of its
own, channels are taken out one by one, and each goes through passes of its own up to `CHANNEL_TAPS`, or through FFTs
with a transfer function of its own.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from kinms.grid import KERNEL_SIGMAS, PSF, Beam
from kinms.kernels.beam import smooth_blocks
from kinms.kernels.line import LANES
from kinms.psf import ChannelBeams
from kinms.records import FloatArray
from kinms.sparse import SparseCube
from kinms.threads import limit, run, spans

__all__ = ["METHODS", "Smoother", "smoother"]

METHODS = ("auto", "direct", "fft")
#: Taps of all passes together above which FFTs are faster.
FFT_TAPS = 500
#: The same where each channel has its own beam: one channel at a time makes less of a pass than eight abreast.
CHANNEL_TAPS = 250
#: The first tap that is left out is at least this many sigma away, where a Gaussian has fallen to 4e-6.
TAP_SIGMAS = 5.0
#: Largest difference between the product of the passes and the sampled beam, relative to its peak.
SAME = 5e-6
#: The same for the products that stand for a kernel that is no Gaussian, and for beams of single channels.
SAME_KERNEL, SAME_CHANNEL = 5e-7, 1.5e-6
#: As `TAP_SIGMAS`, for beams of single channels: where their kernels end.
CHANNEL_SIGMAS = KERNEL_SIGMAS
#: Transfer functions of channels with beams of their own that are kept, bytes; others are made again each time.
KEEP = 1 << 28
#: Part of the amplitude that may be left to waves which rows so far apart do not show, where these stand for all.
UNSEEN = 0.03
#: Lattice directions (dx, dy) of the third pass, tried in this order.
SLANTS = ((1, 1), (2, 1), (1, 2))
#: Cubes with fewer voxels stay on one thread: waking another one would take as long as they do.
SMALL = 2_000_000

_NONE = np.zeros(0, dtype=np.float32)
_NO_CUBE = np.zeros((0, 0, 0), dtype=np.float32)
_NO_BLOCKS = np.zeros((0, 0, 0, 0), dtype=np.float32)
_NO_HULL = np.zeros((0, 2), dtype=np.int64)


def _gaussian(variance: float, sigmas: float = TAP_SIGMAS) -> FloatArray:
    """Taps of a Gaussian with this variance (pixels^2), unit sum."""
    if variance <= 0.0:
        return np.ones(1)
    radius = max(int(np.ceil(sigmas * np.sqrt(variance))) - 1, 1)
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


_ALONE = _Passes(np.ones(1), np.ones(1), np.zeros(0), (0, 0))


class _Ready:
    """Passes as the kernels take them: scaled to Jy/beam, single precision, and the room that they need."""

    def __init__(self, passes: _Passes, scale: float, width: float = 0.0, box: bool = False) -> None:
        # All in C order: kernels are compiled for each order that they meet.
        self.wy = _sharpen(passes.wy, width, box).astype(np.float32, order="C")
        self.wx = (_sharpen(passes.wx, width, box) * scale).astype(np.float32, order="C")
        self.wd, self.slant = passes.wd.astype(np.float32), passes.slant
        #: Rows and columns beyond the field that the slanted pass fills.
        self.spill = (self.wy.shape[1] // 2 if self.wd.size else 0, (self.wd.size // 2) * abs(self.slant[0]))
        #: Columns beyond the field that are needed on either side.
        self.reach = self.wx.shape[1] // 2 + 2 * self.spill[1] if self.wd.size else 0


def _of_gaussians(beam: Beam, cell: float, dx: int, dy: int) -> _Passes | None:
    """Return the passes whose third one, along (+-dx, dy), is a sampled Gaussian too, or None where that is too rough.

    It is found many times faster than the best taps, and as good for all but the smallest beams.
    """
    cov, kernel = beam.covariance(cell), beam.kernel(cell)
    beta = abs(cov[0, 1]) / (dx * dy)
    alpha, gamma = cov[0, 0] - beta * dx**2, cov[1, 1] - beta * dy**2
    if min(alpha, gamma) <= 0.0:
        return None
    wy, wx, wd = (_gaussian(variance, CHANNEL_SIGMAS) for variance in (gamma, alpha, beta))
    dx = dx if cov[0, 1] > 0 else -dx
    ry, rx, rd = (taps.size // 2 for taps in (wy, wx, wd))
    reach_y, reach_x = max(ry + rd * dy, kernel.shape[0] // 2), max(rx + rd * abs(dx), kernel.shape[1] // 2)
    image, product = np.zeros((2 * reach_y + 1, 2 * reach_x + 1)), np.outer(wy, wx)
    for m, weight in enumerate(wd, -rd):
        y, x = reach_y - ry + m * dy, reach_x - rx + m * dx
        image[y : y + wy.size, x : x + wx.size] += weight * product
    y, x = reach_y - kernel.shape[0] // 2, reach_x - kernel.shape[1] // 2
    image[y : y + kernel.shape[0], x : x + kernel.shape[1]] -= kernel
    good = np.abs(image).max() <= SAME_CHANNEL * kernel.max()
    return _Passes(wy, wx, wd, (dx, dy)) if good else None


def _passes_of_channels(beams: ChannelBeams, cell: float, method: str) -> dict[Beam, _Passes] | None:
    """Return the passes of each beam, or None where FFTs are wanted, or are faster for the typical one."""
    if method == "fft":
        return None
    typical = beams.typical
    found = [passes for slant in SLANTS if (passes := _of_gaussians(typical, cell, *slant)) is not None]
    if found:
        best = min(found, key=lambda passes: passes.count)
    elif method == "auto" and sum(typical.kernel(cell).shape) > CHANNEL_TAPS:
        return None
    else:
        best = _separate(typical, cell, SAME_CHANNEL)
    if method == "auto" and best.count > CHANNEL_TAPS:
        return None
    dx, dy = best.slant
    made = {one: _of_gaussians(one, cell, abs(dx), dy) if dx else None for one in set(beams.beams)}
    return {one: passes or _separate(one, cell, SAME_CHANNEL) for one, passes in made.items()}


def _separate(beam: Beam, cell: float, same: float = SAME) -> _Passes:
    """Find the fewest taps whose passes make up the beam."""
    cov = beam.covariance(cell)
    cross = cov[0, 1]
    kernel = beam.kernel(cell)
    if abs(cross) < 1e-9 * cov[0, 0]:
        return _Passes(_gaussian(cov[1, 1]), _gaussian(cov[0, 0]), np.zeros(0), (0, 0))
    best = _sum_of_products(kernel, same)
    for dx, dy in SLANTS:
        beta = abs(cross) / (dx * dy)
        alpha, gamma = cov[0, 0] - beta * dx**2, cov[1, 1] - beta * dy**2
        if min(alpha, gamma) <= 0.0:
            continue
        wy, wx = _gaussian(gamma), _gaussian(alpha)
        wd, error = _third_pass(kernel, wy, wx, dx if cross > 0 else -dx, dy, beta)
        passes = _Passes(wy, wx, wd, (dx if cross > 0 else -dx, dy))
        if error <= same and passes.count < best.count:
            best = passes
    return best


def _sum_of_products(kernel: FloatArray, same: float = SAME) -> _Passes:
    """Write a kernel as a sum of products of a column and a row, as few as it takes (singular values)."""
    u, s, v = np.linalg.svd(kernel)
    rest, n = kernel.copy(), 0
    while n < s.size and np.abs(rest).max() > same * kernel.max():
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


def _find_passes(psf: PSF, cell: float, field: tuple[int, int], method: str) -> _Passes | None:
    """Return the passes that make up a PSF, or None where FFTs are wanted, or faster."""
    if isinstance(psf, Beam):
        passes = _separate(psf, cell) if method != "fft" else None
    else:
        kernel = _cropped(psf.kernel(cell), *field)
        # One of which a single product has more taps than that needs no singular values.
        hopeless = method == "fft" or (method == "auto" and sum(kernel.shape) > FFT_TAPS)
        # The passes read ahead where a convolution reads back: it matters to what is not symmetric.
        passes = None if hopeless else _sum_of_products(kernel[::-1, ::-1], SAME_KERNEL)
    return None if passes is None or (method == "auto" and passes.count > FFT_TAPS) else passes


def _row_step(psf: PSF, cell: float) -> int:
    """Rows so far apart show all that the beam leaves: 1 to 4."""
    if isinstance(psf, Beam):
        return max(min(int(0.5 * float(psf.bmin or 0.0) / cell), 4), 1)
    if isinstance(psf, ChannelBeams):
        return min(_row_step(beam, cell) for beam in psf.beams)
    # Every other row shows waves of up to a quarter of a cycle a pixel, and so on.
    kernel = psf.kernel(cell)
    n = 64 * (1 + kernel.shape[0] // 64)
    wave = np.abs(np.fft.fft2(kernel, (n, kernel.shape[1]))).max(axis=1)[: n // 2 + 1]
    left = np.maximum.accumulate(wave[::-1])[::-1]
    f = np.linspace(0.0, 0.5, left.size)
    return max([step for step in (2, 3, 4) if left[np.searchsorted(f, 0.5 / step)] < UNSEEN], default=1)


def _noise_gain(psf: PSF, cell: float) -> float:
    return float(psf.pixels(cell) ** 2 * (psf.kernel(cell) ** 2).sum())


def _cropped(kernel: FloatArray, ny: int, nx: int) -> FloatArray:
    """Return a kernel without what is farther from its centre than any two pixels of a field are from each other."""
    ry, rx = kernel.shape[0] // 2, kernel.shape[1] // 2
    y, x = max(ry - ny + 1, 0), max(rx - nx + 1, 0)
    return kernel[y : kernel.shape[0] - y, x : kernel.shape[1] - x]


def _plain(psf: PSF | None) -> PSF | None:
    """Return one `Beam` where all channels have the same."""
    same = isinstance(psf, ChannelBeams) and len(set(psf.beams)) == 1
    return psf.typical if same and psf is not None else psf


class Smoother:
    """Convolution of sparse cubes of one shape with one beam, or one per channel.

    Parameters
    ----------
    nv, ny, nx : int
        The field.
    beam : PSF or None
        None does nothing to the cube.
    cell : float
        Pixel size, arcsec.
    method : str
        ``direct``, ``fft``, or ``auto``: whichever is faster.
    width : float
        Points were shared among pixels with edges that wide, pixels; this is taken out again.
    box : bool
        Whether the pixel's own box is taken out as well.

    Raises
    ------
    InputError
        If there are beams for another number of channels.
    """

    def __init__(
        self, nv: int, ny: int, nx: int, beam: PSF | None, cell: float, method: str, width: float, box: bool
    ) -> None:
        self.nv, self.ny, self.nx = nv, ny, nx
        if beam is not None:
            beam.check_channels(nv)
        beam = _plain(beam)
        # An assignment, and the slanted pass, need room beyond the field.
        room = 2 if width > 0.0 else 0
        field = (ny + 2 * room, nx + 2 * room)
        scale, by_fft, ready = 1.0, False, _Ready(_ALONE, 1.0)
        #: Passes of each channel where they differ; transfer functions where there are FFTs.
        self.channels: list[_Ready] = []
        self.transfers: _Transfers | None = None
        if isinstance(beam, ChannelBeams):
            own = _passes_of_channels(beam, cell, method)
            by_fft = own is None
            if own is not None:
                made = {one: _Ready(passes, one.pixels(cell), width, box) for one, passes in own.items()}
                self.channels = [made[one] for one in beam.beams]
        elif beam is not None:
            scale = beam.pixels(cell)
            passes = _find_passes(beam, cell, field, method)
            by_fft = passes is None
            ready = _Ready(_ALONE, scale) if passes is None else _Ready(passes, scale, width, box)
        if by_fft and beam is not None:
            self.transfers = _Transfers(beam, cell, field, width, box)
        self.wy, self.wx, self.wd, self.slant = ready.wy, ready.wx, ready.wd, ready.slant
        #: Rows so far apart show all that the beam leaves: what `square` looks at.
        self.row_step = 1 if beam is None else _row_step(beam, cell)
        #: Sum of the squares of the kernel (Jy/beam), of each channel's where they differ: what it does to the variance
        #: of white noise.
        self.noise_gain: float | FloatArray = 1.0
        if isinstance(beam, ChannelBeams):
            gains = {one: _noise_gain(one, cell) for one in set(beam.beams)}
            self.noise_gain = np.array([gains[one] for one in beam.beams])
        elif beam is not None:
            self.noise_gain = scale**2 * float((beam.kernel(cell) ** 2).sum())
        self.spill_y, self.spill_x = ready.spill
        self.margin = room
        self.pad = room + max(one.reach for one in (ready, *self.channels))
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

    def uncorrelated(self, cube: SparseCube) -> float:
        """Return what `square` would be, on average, if no two voxels of the cube had to do with each other."""
        if np.ndim(self.noise_gain) == 0:
            return float(self.noise_gain) * cube.sums()[2]
        squares = (cube.channels().astype(float) ** 2).sum(axis=(1, 2))
        return float(squares @ self.noise_gain)

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
                0, *span, LANES,
            )  # fmt: skip

        def work_fft(span: tuple[int, int]) -> None:
            assert self.transfers is not None
            convolver = _convolver(self.ny, self.nx, self.margin, self.transfers.shape)
            for block in range(*span):
                use(block, *convolver.block(cube, block, self.transfers))

        def work_channels(span: tuple[int, int]) -> None:
            single = _single(self.ny, self.nx, rows, columns)
            for block in range(*span):
                use(block, *single.block(cube, block, self.channels))

        def use(block: int, image: FloatArray, hull: FloatArray) -> None:
            smooth_blocks(
                image, hull, (1, self.ny, self.nx), 0, 0, self.ny, self.nx, self.wy, wx, self.wd, 0, 0,
                _NONE, _NO_HULL, 0, 0, self.nv, mode, step, dense, data, weights, sums, block, 0, 1, LANES,
            )  # fmt: skip

        # One task a thread: each has a slanted block to itself. The sums of a block never depend on which it was.
        how = work_channels if self.channels else work if self.transfers is None else work_fft
        run(how, spans(blocks, threads), threads)
        return np.asarray(sums.sum(axis=0))


@functools.lru_cache(maxsize=32)
def smoother(
    nv: int, ny: int, nx: int, beam: PSF | None, cell: float, method: str, width: float = 0.0, box: bool = False
) -> Smoother:
    """Return the `Smoother` with these arguments, made once."""
    return Smoother(nv, ny, nx, beam, cell, method, width, box)


class _Transfers:
    """Transfer functions, of each channel on its own or of all: the same for all threads."""

    def __init__(self, psf: PSF, cell: float, field: tuple[int, int], width: float, box: bool) -> None:
        import pyfftw

        self.cell, self.field, self.width, self.box = cell, field, width, box
        self.psfs: Sequence[PSF] = psf.beams if isinstance(psf, ChannelBeams) else (psf,)
        self.scaled = isinstance(psf, ChannelBeams)
        sizes = {self._kernel(one).shape for one in set(self.psfs)}
        ry, rx = (max(size[axis] for size in sizes) // 2 + 4 * (width > 0) for axis in (0, 1))
        # Room for one kernel radius beyond the field is enough: what wraps round lands in that margin.
        size_y, size_x = (max(pyfftw.next_fast_len(n + r), 2 * r + 1) for n, r in zip(field, (ry, rx), strict=True))
        self.shape: tuple[int, int] = (size_y, size_x)
        self._most = max(KEEP // (8 * size_y * (size_x // 2 + 1)), 1)
        self._kept: dict[PSF, FloatArray] = {}

    def _kernel(self, psf: PSF) -> FloatArray:
        # That of a Gaussian keeps what it has always had: the shape of the transforms decides the last bits.
        kernel = psf.kernel(self.cell)
        return kernel if isinstance(psf, Beam) else _cropped(kernel, *self.field)

    def __call__(self, channel: int) -> FloatArray:
        """Return that of a channel, single precision; scaled to Jy/beam where each channel has its own."""
        psf = self.psfs[channel if len(self.psfs) > 1 else 0]
        found = self._kept.get(psf)
        if found is None:
            found = self._make(psf)
            if len(self._kept) < self._most:
                self._kept[psf] = found
        return found

    def _make(self, psf: PSF) -> FloatArray:
        kernel, shape = self._kernel(psf), self.shape
        whole = np.zeros(shape)
        whole[: kernel.shape[0], : kernel.shape[1]] = kernel
        whole = np.roll(whole, (-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), axis=(0, 1))
        fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
        surplus = assignment_transfer(fy, self.width, self.box) * assignment_transfer(fx, self.width, self.box)
        transfer = np.fft.rfft2(whole) / surplus / (shape[0] * shape[1])
        return (transfer * psf.pixels(self.cell) if self.scaled else transfer).astype("complex64")


class _Convolver:
    """Convolution of (ny, nx) images through FFTs of one shape; what is outside the field is empty."""

    def __init__(self, ny: int, nx: int, room: int, shape: tuple[int, int]) -> None:
        import pyfftw

        self.room = room
        self.field = (ny + 2 * room, nx + 2 * room)
        self.image = pyfftw.zeros_aligned(shape, dtype="float32")
        self.spectrum = pyfftw.zeros_aligned((shape[0], shape[1] // 2 + 1), dtype="complex64")
        # FFTW_ESTIMATE plans depend on the shape alone: measured ones would differ from run to run in the last bit.
        self.forward = pyfftw.FFTW(self.image, self.spectrum, axes=(0, 1), flags=("FFTW_ESTIMATE",))
        flags = ("FFTW_ESTIMATE", "FFTW_DESTROY_INPUT")
        self.inverse = pyfftw.FFTW(
            self.spectrum, self.image, axes=(0, 1), direction="FFTW_BACKWARD", flags=flags
        )  # fmt: skip
        self.out = np.zeros((ny, nx, LANES), dtype=np.float32)
        self.hull, self.empty = np.zeros((1, ny, 2), dtype=np.int64), np.zeros((1, ny, 2), dtype=np.int64)
        self.hull[..., 1] = nx

    def block(self, cube: SparseCube, block: int, transfers: _Transfers) -> tuple[FloatArray, FloatArray]:
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
            self.spectrum *= transfers(block * LANES + lane)
            self.inverse.execute()
            self.out[:, :, lane] = self.image[room : room + ny, room : room + nx]
        return self.out.reshape(-1), self.hull


_LOCAL = threading.local()  # plans own their buffers, so each thread has its own


def _convolver(*key: Any) -> _Convolver:
    if not hasattr(_LOCAL, "build"):
        _LOCAL.build = functools.lru_cache(maxsize=16)(_Convolver)
    result: _Convolver = _LOCAL.build(*key)
    return result


class _Single:
    """Passes over one channel at a time, taken out of blocks of (rows, columns) with a field of (ny, nx)."""

    def __init__(self, ny: int, nx: int, rows: int, columns: int) -> None:
        self.shape = (1, rows, columns)
        self.channel = np.zeros((rows, columns), dtype=np.float32)
        self.plane = np.zeros((1, ny, nx), dtype=np.float32)
        self.out = np.zeros((ny, nx, LANES), dtype=np.float32)
        self.hull, self.empty = np.zeros((1, ny, 2), dtype=np.int64), np.zeros((1, ny, 2), dtype=np.int64)
        self.hull[..., 1] = nx

    def block(self, cube: SparseCube, block: int, channels: Sequence[_Ready]) -> tuple[FloatArray, FloatArray]:
        """Return a convolved block, flattened, and its hull."""
        hull = cube.hull[block]
        if not (hull[:, 1] > hull[:, 0]).any():
            return self.out.reshape(-1), self.empty
        _, rows, columns = self.shape
        sums = np.zeros((1, 2))
        for lane in range(min(LANES, cube.nv - block * LANES)):
            one = channels[block * LANES + lane]
            self.channel[:] = cube.data[block, :, :, lane]
            self.plane[:] = 0.0
            slanted, slanted_hull = _NONE, _NO_HULL
            if one.wd.size:
                height = rows + 2 * one.spill[0]
                slanted = np.zeros(height * columns, dtype=np.float32)
                slanted_hull = np.zeros((height, 2), dtype=np.int64)
            smooth_blocks(
                self.channel.reshape(-1), hull[None], self.shape, *cube.field, one.wy, one.wx, one.wd, *one.slant,
                slanted, slanted_hull, *one.spill, 1, 0, 1, self.plane, _NO_BLOCKS, _NO_BLOCKS, sums, 0, 0, 1, 1,
            )  # fmt: skip
            self.out[:, :, lane] = self.plane[0]
        return self.out.reshape(-1), self.hull


def _single(*key: Any) -> _Single:
    if not hasattr(_LOCAL, "single"):
        _LOCAL.single = functools.lru_cache(maxsize=4)(_Single)
    result: _Single = _LOCAL.single(*key)
    return result
