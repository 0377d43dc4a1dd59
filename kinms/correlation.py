"""How the noise of one voxel goes with that of its neighbours: a record that noise models and likelihoods share.

Noise that is divided by its own rms is stationary. The covariance of voxels (v, y, x) and (v', y', x') is then
``(1 - floor) channels[|v - v'|] table(y - y', x - x')``, and 1 of a voxel with itself. The floor is the part of the
variance that is white (rounding, gridding, what a model cannot follow); without one the covariance of a well-sampled
beam, or of smoothed channels, has no inverse in floating point.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy  # loads its parts when they are first asked for

from kinms.errors import InputError
from kinms.grid import PSF, Beam
from kinms.psf import ChannelBeams
from kinms.records import FloatArray, Record, check_array, check_scalar, check_seed

__all__ = ["CHANNELS", "FLOOR", "Correlation", "least_power"]

#: White part of the variance where none was measured.
FLOOR = 1e-3

#: Correlation of channels 0, 1, 2 ... apart after common processing. Hanning smoothing has taps 1/4, 1/2, 1/4; after
#: `hanning half` every second of its channels was dropped.
CHANNELS = {"independent": (1.0,), "hanning": (1.0, 2.0 / 3.0, 1.0 / 6.0), "hanning half": (1.0, 1.0 / 6.0)}

#: Lags beyond which the correlation of a Gaussian is below rounding, in its sigmas.
_REACH = 7.5


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Correlation(Record):
    """Correlation of stationary noise over the sky and over channels.

    Parameters
    ----------
    table : ndarray, shape (2 ly + 1, 2 lx + 1)
        Spatial correlation at lags of whole pixels, axes [y, x], 1 in the middle, symmetric about it; zero beyond its
        ends. Values below zero in its power spectrum, which no noise can have, are taken out.
    floor : float
        White part of the variance, between 0 (exclusive) and 1.
    channels : array_like or str
        Correlation of channels 0, 1, 2 ... apart, zero beyond; or a name in `CHANNELS`.

    Raises
    ------
    InputError
        If the table is not a correlation, the floor not a part, or no noise can have these channels.

    Examples
    --------
    >>> noise = Correlation.of_beam(Beam(4.0), cell=1.0, channels="hanning")
    >>> round(noise.fwhm[0], 1), round(float(noise.at(0, 4)), 2)
    (5.7, 0.25)
    """

    table: FloatArray
    floor: float = FLOOR
    channels: Any = (1.0,)

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        table = check_array("table", self.table, shape=(-1, -1), minimum=-1.0 - 1e-9, maximum=1.0 + 1e-9)
        if table.shape[0] % 2 == 0 or table.shape[1] % 2 == 0 or not np.isclose(table.max(), 1.0):
            raise InputError("table", f"of shape {table.shape}, largest value {table.max():g}", "odd axes, 1 at lag 0")
        if not np.allclose(table, table[::-1, ::-1], atol=1e-9) or table[tuple(n // 2 for n in table.shape)] < 1 - 1e-6:
            raise InputError("table", "not symmetric about its middle", "the same value at lags (y, x) and (-y, -x)")
        set_field(self, "table", _possible(table))
        set_field(self, "floor", check_scalar("floor", self.floor, minimum=0.0, maximum=1.0, exclusive=True))
        channels = self.channels
        if isinstance(channels, str):
            if channels not in CHANNELS:
                raise InputError("channels", repr(channels), f"numbers, or one of {', '.join(CHANNELS)}")
            channels = CHANNELS[channels]
        channels = check_array("channels", channels, shape=(-1,), minimum=-1.0, maximum=1.0)
        if channels.size == 0 or channels[0] != 1.0:
            raise InputError("channels", channels.tolist(), "1 for the channel itself, then its neighbours'")
        if least_power(channels) < -1e-9:
            fix = "Hanning smoothing gives 2/3 and 1/6: more than 0.5 in the nearest alone is impossible."
            raise InputError("channels", channels.tolist(), "a correlation that noise can have", fix)
        set_field(self, "channels", channels)

    @classmethod
    def of_beam(cls, beam: PSF, cell: float, floor: float = FLOOR, channels: Any = (1.0,)) -> Correlation:
        """Return that of white noise convolved with a beam: a Gaussian of the beam's shape, sqrt(2) times as wide.

        Parameters
        ----------
        beam : Beam or PSF
            Of one beam per channel the typical one. Of what is no Gaussian, the autocorrelation of its kernel.
        cell : float
            Pixel size, arcsec.
        floor, channels
            As for the class.
        """
        if isinstance(beam, (Beam, ChannelBeams)):
            return cls.of_covariance(2.0 * beam.covariance(cell), floor, channels)
        kernel = beam.kernel(cell)
        table = scipy.signal.fftconvolve(kernel, kernel[::-1, ::-1])
        table = 0.5 * (table + table[::-1, ::-1])
        return cls(table / table[tuple(n // 2 for n in table.shape)], floor, channels)

    @classmethod
    def of_covariance(cls, covariance: FloatArray, floor: float = FLOOR, channels: Any = (1.0,)) -> Correlation:
        """Return a Gaussian correlation with this covariance in (x, y), pixels^2."""
        inverse = np.linalg.inv(covariance)
        ly, lx = (int(np.ceil(_REACH * np.sqrt(covariance[k, k]))) for k in (1, 0))
        x, y = np.meshgrid(np.arange(-lx, lx + 1), np.arange(-ly, ly + 1))
        table = np.exp(-0.5 * (inverse[0, 0] * x**2 + 2.0 * inverse[0, 1] * x * y + inverse[1, 1] * y**2))
        return cls(table, floor, channels)

    @property
    def lags(self) -> tuple[int, int]:
        """Largest lags (ly, lx) of the table, pixels."""
        return self.table.shape[0] // 2, self.table.shape[1] // 2

    @property
    def fwhm(self) -> tuple[float, float]:
        """Widths (y, x) at half maximum along the axes, pixels, interpolated."""
        ly, lx = self.lags
        return _half_width(self.table[ly:, lx]), _half_width(self.table[ly, lx:])

    @property
    def pixels(self) -> float:
        """Pixels per independent one: the sum of the squared table, to which the variance of a mean square belongs."""
        return float((self.table**2).sum())

    def at(self, dy: Any, dx: Any) -> FloatArray:
        """Return the table, without the floor, at lags of whole pixels; zero beyond its ends."""
        dy, dx = np.broadcast_arrays(np.asarray(dy), np.asarray(dx))
        ly, lx = self.lags
        inside = (np.abs(dy) <= ly) & (np.abs(dx) <= lx)
        return np.where(inside, self.table[np.where(inside, dy + ly, 0), np.where(inside, dx + lx, 0)], 0.0)

    def power(self, ny: int, nx: int) -> FloatArray:
        """Return the power spectrum of the table on a periodic field, shape (ny, nx); its mean is 1."""
        ly, lx = self.lags
        field = np.zeros((ny, nx))
        np.add.at(field, np.ix_(np.arange(-ly, ly + 1) % ny, np.arange(-lx, lx + 1) % nx), self.table)
        return np.maximum(np.fft.fft2(field).real, 0.0)

    def matrix(self, y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the table as a matrix between all pixels at (y, x), shape (n, n)."""
        return self.at(y[:, None] - y[None, :], x[:, None] - x[None, :])

    def channel_matrix(self, numbers: FloatArray) -> FloatArray:
        """Return the correlation matrix of the channels of these numbers, without the floor."""
        apart = np.abs(numbers[:, None] - numbers[None, :])
        inside = apart < len(self.channels)
        return np.where(inside, self.channels[np.where(inside, apart, 0)], 0.0)

    def draw(self, shape: tuple[int, int, int], seed: int | np.random.SeedSequence) -> FloatArray:
        """Return noise of unit variance, shape (nv, ny, nx): the same seed gives the same cube.

        Each channel is drawn from its own child of the seed on a periodic field larger by the table, and cut out, so
        that the statistics are the same up to the edge.
        """
        nv, ny, nx = shape
        root = check_seed(seed)
        field = tuple(scipy.fft.next_fast_len(n + lag, real=True) for n, lag in zip((ny, nx), self.lags, strict=True))
        root_power = np.sqrt((1.0 - self.floor) * self.power(*field))[:, : field[1] // 2 + 1]
        cube, floor = np.empty(shape), np.empty(shape)
        for v, child in enumerate(root.spawn(nv)):
            rng = np.random.default_rng(child)
            wave = scipy.fft.rfft2(rng.standard_normal(field)) * root_power
            cube[v] = scipy.fft.irfft2(wave, s=field)[:ny, :nx]
            floor[v] = rng.standard_normal((ny, nx))
        if len(self.channels) > 1:
            factor = np.linalg.cholesky(self.channel_matrix(np.arange(nv)))
            for v in range(nv - 1, 0, -1):  # from the last, as each is made of those before it
                first = max(0, v - len(self.channels) + 1)
                cube[v] = np.einsum("k,kyx->yx", factor[v, first : v + 1], cube[first : v + 1])
        return cube + np.sqrt(self.floor) * floor


def _possible(table: FloatArray) -> FloatArray:
    """Return the table without what is negative in its power spectrum, 1 in the middle, read-only."""
    ny, nx = (scipy.fft.next_fast_len(2 * n) for n in table.shape)
    ly, lx = table.shape[0] // 2, table.shape[1] // 2
    field = np.zeros((ny, nx))
    field[: table.shape[0], : table.shape[1]] = table
    field = np.roll(field, (-ly, -lx), axis=(0, 1))
    power = np.fft.fft2(field).real
    if power.min() < -1e-12 * power.max():
        field = np.fft.ifft2(np.maximum(power, 0.0)).real
        table = np.roll(field, (ly, lx), axis=(0, 1))[: 2 * ly + 1, : 2 * lx + 1]
    # Without the last bit's asymmetries.
    table = 0.5 * (table + table[::-1, ::-1]) / table[ly, lx]
    table.setflags(write=False)
    return table


def least_power(channels: FloatArray) -> float:
    """Return the least of the power spectrum of a correlation of channels: below zero, no noise can have it."""
    # On a ring so long that nothing meets itself.
    n = 64 * len(channels)
    ring = np.zeros(n)
    ring[: len(channels)] = channels
    ring[n - len(channels) + 1 :] = channels[:0:-1]
    return float(np.fft.rfft(ring).real.min())


def _half_width(profile: FloatArray) -> float:
    """Return twice the lag at which a profile first falls to one half."""
    below = np.flatnonzero(profile < 0.5)
    if below.size == 0:
        return 2.0 * profile.size
    k = int(below[0])
    return float(2.0 * (k - 1 + (profile[k - 1] - 0.5) / (profile[k - 1] - profile[k])))
