"""The noise of a cube: its rms, where the signal is, how neighbours share it, and mock noise like it."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # loads its parts when they are first asked for

from kinms.correlation import FLOOR, Correlation, least_power
from kinms.errors import InputError, InputTypeError, KinmsWarning
from kinms.grid import FWHM_PER_SIGMA, PSF, CubeGrid
from kinms.psf import ChannelBeams
from kinms.records import FloatArray, Record, check_array, check_scalar, check_seed

if TYPE_CHECKING:
    from kinms.cube import Cube

__all__ = ["NoiseModel", "autocorrelation", "correlated_noise", "detection_mask", "estimate_rms"]

#: Median of the absolute value of a unit Gaussian, inverted.
MAD_TO_SIGMA = 1.4826022185056018

#: Percentiles of a Gaussian at -2, 0 and +2 sigma.
TAILS = (2.2750131948, 50.0, 97.7249868052)

#: A channel counts as line-free while its tails at 2 sigma agree to this many sigma.
TAIL_ASYMMETRY = 0.3

#: Exact zeros are blanks where they are more than this fraction: noise in floating point hits zero hardly ever.
BLANK_FRACTION = 0.01

#: Voxels that the estimate looks at; more of them are thinned out evenly, as they would not change it.
MAX_VOXELS = 20_000_000


def estimate_rms(data: FloatArray, valid: np.ndarray | None = None) -> float:
    """Noise of one voxel, from the voxels without signal.

    Channels whose distribution is symmetric (the 2.3 and 97.7 percentiles equally far from the median, to
    0.3 sigma) hold no line; the result is the median over them of ``1.4826 * MAD`` about each channel's median.
    A cube with signal in every channel has none: there the voxels of the sign that the signal has not, mirrored at
    zero, give it, and where these are fewer than 2 % (a continuum under the line) the differences between
    neighbouring channels do.
    One number for a cube whose noise varies over the sky (a mosaic corrected for its primary beam) is that of the
    typical voxel.

    Parameters
    ----------
    data : ndarray, shape (nv, ny, nx)
        Any unit. NaN is blank, and so are exact zeros where they are more than 1 % (masked cubes).
    valid : ndarray of bool, shape (nv, ny, nx), optional
        False where a voxel must not be used.

    Returns
    -------
    float
        In the unit of the data; 0 for a cube that is constant.

    Raises
    ------
    InputError
        If there is no finite voxel.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(0.0, 0.5, (8, 40, 40))
    >>> round(estimate_rms(noise), 2)
    0.5
    """
    cube = np.asarray(data)
    if cube.ndim != 3:
        raise InputError("the shape of data", cube.shape, "(nv, ny, nx)")
    if valid is not None and np.shape(valid) != cube.shape:
        raise InputError("the shape of valid", np.shape(valid), f"{cube.shape}, as data")
    step = int(np.ceil(np.sqrt(max(1.0, cube.size / MAX_VOXELS))))
    cube = cube[:, ::step, ::step]
    usable = np.isfinite(cube)
    if valid is not None:
        usable &= np.asarray(valid, dtype=bool)[:, ::step, ::step]
    if not usable.any():
        raise InputError("data", "without any finite voxel", "a cube with finite voxels")
    zero = usable & (cube == 0)
    if BLANK_FRACTION * usable.sum() < zero.sum() < usable.sum():
        usable &= ~zero

    channels = [np.asarray(plane[keep], dtype=float) for plane, keep in zip(cube, usable, strict=True)]
    line_free = [value for channel in channels if (value := _symmetric_sigma(channel)) is not None]
    if line_free:
        return float(np.median(line_free))
    voxels = np.concatenate(channels)
    free = np.abs(voxels[voxels < 0] if voxels.mean() >= 0 else voxels[voxels > 0])
    if free.size > 0.02 * voxels.size:
        return float(MAD_TO_SIGMA * np.median(free))
    return _difference_sigma(cube, usable)


def _symmetric_sigma(voxels: FloatArray) -> float | None:
    """Return 1.4826 MAD of a channel that holds noise only, None of one with a line."""
    if voxels.size < 20:
        return None
    low, middle, high = np.percentile(voxels, TAILS)
    sigma = MAD_TO_SIGMA * float(np.median(np.abs(voxels - middle)))
    # The bulk must lie round zero too: half of a channel full of smooth signal can look symmetric about its mean.
    if abs(high + low - 2.0 * middle) > TAIL_ASYMMETRY * sigma or abs(middle) > TAIL_ASYMMETRY * sigma:
        return None
    return sigma


def _difference_sigma(cube: FloatArray, usable: np.ndarray) -> float:
    """Noise from differences of neighbours along velocity (along x in a single channel): no smooth signal left."""
    axis = 0 if cube.shape[0] > 1 else 2
    pairs = np.logical_and(*(np.take(usable, index, axis) for index in _neighbours(cube.shape[axis])))
    if not pairs.any():
        return 0.0
    first, second = (np.take(cube, index, axis)[pairs].astype(float) for index in _neighbours(cube.shape[axis]))
    return float(MAD_TO_SIGMA * np.median(np.abs(second - first)) / np.sqrt(2.0))


def _neighbours(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n - 1), np.arange(1, n)


def detection_mask(
    cube: Cube, rms: float | FloatArray | None = None, *, core: float = 4.0, edge: float = 2.0, grow: bool = False
) -> np.ndarray:
    """Where a cube holds signal: smooth and clip.

    The cube is smoothed by its own beam (3 pixels without one) and by a triangle of three channels; voxels above
    ``core`` sigma in at least two adjacent channels are signal, and so is what touches them above ``edge`` sigma.
    Regions smaller than a beam in two channels are dropped. Where the deepest absorption is more significant than
    the brightest emission, the mask is that of the absorption.

    Parameters
    ----------
    cube : Cube
        Data, grid and, if known, beam.
    rms : float or ndarray, shape (ny, nx), optional
        Noise of a voxel before smoothing, or its map over the sky. Default: measured on the smoothed cube around
        each pixel, from the voxels of the sign that the signal has not, so that noisy edges stay out. Where the cube
        brings the noise of each voxel, it is divided by that first: residuals of sky lines are then no signal.
    core, edge : float
        Thresholds in units of the smoothed cube's noise.
    grow : bool
        Whether to add a beam, and a channel on either side, round what was found.

    Returns
    -------
    ndarray of bool, shape (nv, ny, nx)
        Never true where `Cube.valid` is false.

    Examples
    --------
    >>> from kinms.cube import Cube
    >>> from kinms.grid import Beam
    >>> data = correlated_noise(CubeGrid((9, 40, 40), 1.0, 10.0), Beam(4.0), rms=1.0, seed=1)
    >>> data[3:6, 15:25, 15:25] += 5.0
    >>> mask = detection_mask(Cube(data, CubeGrid((9, 40, 40), 1.0, 10.0), Beam(4.0)))
    >>> bool(mask[4, 20, 20]), bool(mask[4, 3, 3])
    (True, False)
    """
    check_scalar("edge", edge, minimum=0.0, exclusive=True)
    check_scalar("core", core, minimum=edge)
    valid = cube.valid
    if not valid.any():
        return np.zeros(cube.data.shape, dtype=bool)
    if rms is None and cube.noise is not None:
        valid = valid & np.isfinite(cube.noise)
        cube = cube.replace(data=np.where(valid, cube.data, 0.0) / np.where(valid, cube.noise, 1.0), noise=None)
        if not valid.any():
            return valid
    smooth = _smooth(np.where(valid, cube.data, 0.0), cube)
    if -smooth.min() > smooth.max():
        smooth = -smooth
    typical = estimate_rms(smooth, valid)
    if rms is None:
        sigma = _local_sigma(smooth, valid, typical, cube)
    else:
        # What is given is the noise before smoothing; how far smoothing lowers it is measured.
        given = check_array("rms", rms, minimum=0.0)
        if given.ndim and given.shape != cube.data.shape[1:]:
            raise InputError("the shape of rms", given.shape, f"a scalar or {cube.data.shape[1:]}")
        before = estimate_rms(cube.data, valid)
        sigma = given * (typical / before if before > 0 else 1.0)
    # Without noise sigma is 0: then every signal counts, but rounding must not.
    floor = max(1e-6 * float(smooth.max()), float(np.finfo(float).tiny))
    significance = smooth / np.maximum(sigma, floor)

    seed = significance > core
    if seed.shape[0] > 1:  # of two adjacent channels the second stands for both: the first is grown back
        seed = np.concatenate([np.zeros_like(seed[:1]), seed[1:] & seed[:-1]])
    grown = scipy.ndimage.binary_propagation(seed, mask=significance > edge)
    labels, _ = scipy.ndimage.label(grown)
    sizes = np.bincount(labels.ravel())
    keep = sizes >= min(2, seed.shape[0]) * _beam_pixels(cube)
    keep[0] = False
    found = keep[labels]
    return np.asarray((_grown(found, cube) if grow else found) & valid)


def _beam_pixels(cube: Cube) -> float:
    return cube.beam.pixels(cube.grid.cell) if cube.beam is not None else 9.0


def _is_correlated(cube: Cube) -> bool:
    """Whether the noise of neighbours may be expected to go together; without a beam nobody knows."""
    return cube.beam is None or cube.beam.correlates_noise


def _local_sigma(smooth: FloatArray, valid: np.ndarray, typical: float, cube: Cube) -> FloatArray:
    """Noise around each pixel, shape (ny, nx): rms of the negative voxels in a window of 25 beams, all channels."""
    width = int(5.0 * np.sqrt(_beam_pixels(cube))) | 1
    negative = valid & (smooth < 0)
    count = scipy.ndimage.uniform_filter(negative.sum(axis=0).astype(float), width, mode="constant")
    power = scipy.ndimage.uniform_filter((np.where(negative, smooth, 0.0) ** 2).sum(axis=0), width, mode="constant")
    # Fewer than about a hundred negative voxels give no better number than the whole cube does.
    enough = count * width**2 > 100.0
    return np.where(enough, np.sqrt(np.maximum(power, 0.0) / np.where(enough, count, 1.0)), typical)


def _smooth(data: FloatArray, cube: Cube) -> FloatArray:
    if cube.beam is None:
        fwhm = (3.0, 3.0)
    else:
        spread = FWHM_PER_SIGMA * np.sqrt(np.diag(cube.beam.covariance(cube.grid.cell)))
        fwhm = (float(spread[1]), float(spread[0]))
    smooth = scipy.ndimage.gaussian_filter(
        data, (0.0, fwhm[0] / FWHM_PER_SIGMA, fwhm[1] / FWHM_PER_SIGMA), mode="constant"
    )
    return np.asarray(scipy.ndimage.convolve1d(smooth, [0.25, 0.5, 0.25], axis=0, mode="nearest"))


def correlated_noise(grid: CubeGrid, beam: PSF | None, rms: float, seed: int | np.random.SeedSequence) -> FloatArray:
    """Mock noise of an interferometer: white noise convolved with the beam and scaled to the rms.

    Its autocorrelation is the beam convolved with itself (FWHM x sqrt 2). Each channel is drawn on a field larger
    by the kernel, so that the variance is the same up to the edge, and scaled by the kernel's own norm, so that
    the rms is that of the ensemble; channels are independent.

    Parameters
    ----------
    grid : CubeGrid
        Shape and pixel size.
    beam : Beam, PSF or None
        None leaves the noise white, and so does what optics make, such as a `Moffat`: it blurs the sky, not the noise
        of the detector. Of one beam per channel each has its own.
    rms : float
        Standard deviation of one voxel.
    seed : int or numpy.random.SeedSequence
        The same seed gives the same cube; every channel draws from its own child of it.

    Returns
    -------
    ndarray, shape (nv, ny, nx)
        In the unit of ``rms``.

    Examples
    --------
    >>> from kinms.grid import Beam
    >>> cube = correlated_noise(CubeGrid((4, 64, 64), 1.0, 10.0), Beam(4.0), rms=0.1, seed=1)
    >>> cube.shape, bool(0.08 < cube.std() < 0.12)
    ((4, 64, 64), True)
    """
    check_scalar("rms", rms, minimum=0.0)
    root = check_seed(seed)
    if beam is not None:
        beam.check_channels(grid.nv)
    cube = np.empty(grid.shape)
    for v, (plane, child) in enumerate(zip(cube, root.spawn(grid.nv), strict=True)):
        if v == 0 or isinstance(beam, ChannelBeams):
            one = beam.beams[v] if isinstance(beam, ChannelBeams) else beam
            kernel = np.ones((1, 1)) if one is None or not one.correlates_noise else one.kernel(grid.cell)
            kernel = kernel / np.sqrt((kernel**2).sum())
            field = (grid.ny + kernel.shape[0] - 1, grid.nx + kernel.shape[1] - 1)
        white = np.random.default_rng(child).standard_normal(field)
        plane[:] = white if kernel.size == 1 else scipy.signal.fftconvolve(white, kernel, mode="valid")
    return cube * rms


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NoiseModel(Record):
    """The noise of a cube: its rms everywhere, and how neighbouring voxels share it.

    Parameters
    ----------
    channel_rms : ndarray, shape (nv,)
        Noise of a voxel in each channel, unit of the data.
    correlation : Correlation
        Of the noise divided by its rms.
    noise_map : ndarray, shape (ny, nx) or (nv, ny, nx), optional
        By how much the noise is larger at each position (a mosaic, the edge of a primary beam), or in each voxel (sky
        lines), 1 where it is as `channel_rms` says. NaN where there are no data.
    messages : tuple of str
        What was measured, and what had to be taken for granted.

    Raises
    ------
    InputError
        If an rms or the map is not positive.

    Examples
    --------
    >>> from kinms.cube import Cube
    >>> from kinms.grid import Beam
    >>> grid, beam = CubeGrid((8, 64, 64), 1.0, 10.0), Beam(4.0)
    >>> noise = NoiseModel.estimate(Cube(correlated_noise(grid, beam, rms=0.5, seed=1), grid, beam))
    >>> round(noise.rms, 1), noise.sample(seed=2).shape
    (0.5, (8, 64, 64))
    """

    channel_rms: FloatArray
    correlation: Correlation
    noise_map: FloatArray | None = None
    messages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rms = check_array("channel_rms", self.channel_rms, shape=(-1,), minimum=0.0)
        if rms.size == 0 or rms.min() <= 0.0:
            raise InputError("channel_rms", rms.tolist(), "positive numbers, one per channel")
        object.__setattr__(self, "channel_rms", rms)
        if self.noise_map is not None:
            scale = np.array(self.noise_map, dtype=float)
            known = scale[np.isfinite(scale)]
            fitting = scale.ndim == 2 or (scale.ndim == 3 and scale.shape[0] == rms.size)
            if not fitting or not known.size or known.min() <= 0.0:
                raise InputError(
                    "noise_map", f"of shape {scale.shape}", "a map of positive numbers, shape (ny, nx) or (nv, ny, nx)"
                )
            scale.setflags(write=False)
            object.__setattr__(self, "noise_map", scale)

    @property
    def rms(self) -> float:
        """Noise of the typical voxel."""
        typical = float(np.median(self.channel_rms))
        return typical if self.noise_map is None else typical * float(np.nanmedian(self.noise_map))

    @property
    def error(self) -> float | FloatArray:
        """1 sigma of each voxel: one number where it is the same everywhere, else shape (nv, ny or 1, nx or 1)."""
        if self.noise_map is not None:
            return np.asarray(self.channel_rms[:, None, None] * self.noise_map)
        if np.ptp(self.channel_rms) == 0.0:
            return float(self.channel_rms[0])
        return np.asarray(self.channel_rms[:, None, None])

    @classmethod
    def estimate(
        cls,
        cube: Cube,
        *,
        mask: Any = None,
        gain: Any = None,
        per_channel: bool | None = None,
        spatial: str = "auto",
        channels: Any = None,
        floor: float | None = None,
    ) -> NoiseModel:
        """Measure the noise of a cube where it holds no line.

        Parameters
        ----------
        cube : Cube
            Where it brings the noise of each voxel (`Cube.noise`), that becomes the `noise_map`: how it varies is
            believed, and its size measured.
        mask : array_like of bool, shape (nv, ny, nx), optional
            True where there is signal; default `detection_mask`. A beam round it is left out too.
        gain : array_like, shape (ny, nx) or (nv, ny, nx), optional
            Sensitivity at each position, on any scale: the primary beam, the gain map of a mosaic. The noise of a cube
            that was corrected for it goes as its inverse. Of a cube the median over channels is taken. Comes before
            the noise that the cube brings.
        per_channel : bool, optional
            Whether each channel has an rms of its own; default where they differ by more than chance and 5 %.
        spatial : str
            ``beam``: the correlation of the beam. ``measured``: a Gaussian fitted to the measured autocorrelation.
            ``auto``: that of the beam unless the measured one is over 15 % wider or narrower in some direction; the
            measured one, which may be none, where the beam is that of optics, which correlate no noise.
        channels : array_like or str, optional
            Correlation of channels, see `Correlation`; default measured, and 0 where that is within its error.
        floor : float, optional
            White part of the variance; default measured, at least `kinms.correlation.FLOOR`.

        Raises
        ------
        InputError
            If the mask leaves no voxel, or everything is zero.
        """
        valid = cube.valid
        if not valid.any():
            raise InputError("data", "without any finite voxel", "a cube with finite voxels")
        if floor is not None:
            floor = check_scalar("floor", floor, minimum=0.0, maximum=1.0, exclusive=True)
        scale = _voxel_map(cube, valid) if gain is None else _gain_map(gain, cube)
        stated = None if gain is not None or scale is None else _typical_noise(cube, valid)
        signal = detection_mask(cube) if mask is None else _signal_mask(mask, cube)
        free = valid & ~_grown(signal, cube)
        if mask is not None and not free.any():
            raise InputError("the mask", "of signal everywhere", "one that leaves voxels with noise alone")
        flat = cube.data if scale is None else cube.data / scale
        if scale is not None:
            free &= np.isfinite(scale)
            valid = valid & np.isfinite(scale)
            if gain is not None and free.any() and _uneven(flat, free) > 1.1 * _uneven(cube.data, free):
                warnings.warn(
                    "The gain makes the noise less even, not more: is it a map of the noise, not of the sensitivity "
                    "(give its inverse), or is the cube not corrected for it (leave it out)?",
                    KinmsWarning,
                    stacklevel=2,
                )
        area = _beam_pixels(cube) if _is_correlated(cube) else 1.0
        messages: list[str] = []
        if np.count_nonzero(free) < 200.0 * area:
            typical = estimate_rms(flat, valid)
            if not typical > 0.0:
                raise InputError("the measured rms", "0", "noise in the data", "Give the error of a voxel as rms.")
            messages.append("too few voxels without signal to measure how the noise is correlated")
            if stated is not None:
                messages.append(f"noise of each voxel as the file states, times {typical / stated:.3g}")
            given = FLOOR if floor is None else floor, (1.0,) if channels is None else channels
            correlation = _of_beam(cube, *given) if _is_correlated(cube) else Correlation(np.ones((1, 1)), *given)
            return cls(np.full(cube.grid.nv, typical), correlation, scale, tuple(messages))
        whole = _robust_rms(flat[free])
        if not whole > 0.0:
            raise InputError("the measured rms", "0", "noise in the data", "Give the error of a voxel as rms.")
        if stated is not None:
            messages.append(f"noise of each voxel as the file states, times {whole / stated:.3g}")
        rms, differ = _channel_rms(flat, free, area, whole)
        if per_channel if per_channel is not None else differ:
            messages.append(f"rms per channel, {rms.min():.3g} to {rms.max():.3g} {cube.unit}")
        else:
            rms = np.full(cube.grid.nv, whole)
        residual = np.where(free, flat / rms[:, None, None], 0.0)
        # Single artefacts must not decide: beyond 5 sigma there is no noise.
        free &= np.abs(residual) < 5.0
        residual[~free] = 0.0
        table, _ = autocorrelation(residual, free, _reach(cube))
        if channels is None:
            channels = _measure_channels(residual, free, area)
        if floor is None:
            floor = float(np.clip(_white_part(table), FLOOR, 0.5))
        correlation, message = _choose_spatial(cube, table, floor, channels, spatial)
        messages.append(message)
        if len(correlation.channels) > 1:
            messages.append(f"channels correlated by {', '.join(f'{c:.2f}' for c in correlation.channels[1:])}")
        return cls(rms, correlation, scale, tuple(messages))

    def sample(self, seed: int | np.random.SeedSequence, shape: tuple[int, int] | None = None) -> FloatArray:
        """Return mock noise with these statistics, shape (nv, ny, nx): the same seed gives the same cube.

        Parameters
        ----------
        seed : int or numpy.random.SeedSequence
        shape : tuple of int, optional
            (ny, nx); default that of `noise_map`, or 64 x 64.

        Raises
        ------
        InputError
            If the shape is not that of the `noise_map` there is.
        """
        known = None if self.noise_map is None else self.noise_map.shape[-2:]
        plane = shape or known or (64, 64)
        if known is not None and tuple(plane) != known:
            raise InputError("shape", plane, f"{known}, as the noise_map", "Or leave it out.")
        drawn = self.correlation.draw((self.channel_rms.size, *plane), seed) * self.channel_rms[:, None, None]
        return drawn if self.noise_map is None else np.asarray(drawn * self.noise_map)

    def signal_to_noise(self, cube: Cube) -> FloatArray:
        """Return the data in units of their noise, shape (nv, ny, nx), NaN where a voxel is not used."""
        return np.where(cube.valid, cube.data / self.error, np.nan)


def autocorrelation(residual: FloatArray, use: np.ndarray, reach: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Return the mean product of voxels of the same channel at each lag, over that at lag 0.

    Parameters
    ----------
    residual : ndarray, shape (nv, ny, nx)
        Noise; zero where it is not used.
    use : ndarray of bool, shape (nv, ny, nx)
    reach : tuple of int
        Largest lags (ly, lx).

    Returns
    -------
    table, count : ndarray, shape (2 ly + 1, 2 lx + 1)
        Autocorrelation and number of pairs it is the mean of; 0 where there is none.
    """
    ly, lx = (min(lag, n - 1) for lag, n in zip(reach, residual.shape[1:], strict=True))
    field = [scipy.fft.next_fast_len(n + lag, real=True) for n, lag in zip(residual.shape[1:], (ly, lx), strict=True)]
    power, pairs = np.zeros((field[0], field[1] // 2 + 1)), np.zeros((field[0], field[1] // 2 + 1))
    for plane, known in zip(residual, use, strict=True):
        if known.any():
            power += np.abs(scipy.fft.rfft2(plane, s=field)) ** 2
            pairs += np.abs(scipy.fft.rfft2(known.astype(float), s=field)) ** 2
    sums, count = (np.roll(scipy.fft.irfft2(p, s=field), (ly, lx), axis=(0, 1)) for p in (power, pairs))
    sums, count = sums[: 2 * ly + 1, : 2 * lx + 1], np.round(count[: 2 * ly + 1, : 2 * lx + 1])
    mean = np.where(count > 0.0, sums / np.maximum(count, 1.0), 0.0)
    return mean / mean[ly, lx], count


def _robust_rms(values: FloatArray) -> float:
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values)))) if values.size else 0.0


def _signal_mask(mask: Any, cube: Cube) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != cube.data.shape:
        raise InputError("mask", f"an array of {mask.dtype}, shape {mask.shape}", f"bool, shape {cube.data.shape}")
    return mask


def _gain_map(gain: Any, cube: Cube) -> FloatArray:
    """Return the map of the noise, its inverse, with median 1 where there are data; NaN where there is none."""
    try:
        gain = np.asarray(gain, dtype=float)
    except (TypeError, ValueError):
        raise InputTypeError("gain", repr(gain)[:60], "numbers, the sensitivity at each position") from None
    if gain.shape == cube.data.shape:
        # The noise of a mosaic depends on the place alone.
        known = np.isfinite(gain).any(axis=0)
        gain = np.where(known, np.nanmedian(np.where(known, gain, 0.0), axis=0), np.nan)
    if gain.shape != cube.data.shape[1:]:
        raise InputError("the shape of gain", gain.shape, f"{cube.data.shape[1:]} or {cube.data.shape}")
    gain = np.where(np.isfinite(gain) & (gain > 0.0), gain, np.nan)
    if not np.isfinite(gain).any():
        raise InputError("gain", "without any positive number", "the sensitivity at each position")
    noise = 1.0 / gain
    seen = cube.valid.any(axis=0) & np.isfinite(noise)
    if not seen.any():
        raise InputError("gain", "without a number where there are data", "the sensitivity at each position")
    return np.asarray(noise / np.median(noise[seen]))


def _typical_noise(cube: Cube, valid: np.ndarray) -> float:
    """Median of the noise that a cube brings; NaN if it brings none."""
    stated = np.asarray(cube.noise)[valid]
    known = stated[np.isfinite(stated)]
    return float(np.median(known)) if known.size else np.nan


def _voxel_map(cube: Cube, valid: np.ndarray) -> FloatArray | None:
    """Return the noise that a cube brings with median 1, NaN where there is none; None if it brings none."""
    if cube.noise is None:
        return None
    typical = _typical_noise(cube, valid)
    if not typical > 0.0:
        raise InputError(
            "the noise of the cube", "positive nowhere", "1 sigma of each voxel", "Or replace(noise=None)."
        )
    with np.errstate(invalid="ignore"):
        return np.where(cube.noise > 0.0, cube.noise / typical, np.nan)


def _uneven(cube: FloatArray, free: np.ndarray) -> float:
    """How the noise varies over the sky: scatter of the logarithm of its rms at each position."""
    count = free.sum(axis=0)
    square = np.where(free, cube, 0.0).astype(float) ** 2
    some = count > 0.5 * count.max()
    return float(np.std(0.5 * np.log(np.maximum(square.sum(axis=0)[some] / count[some], 1e-300))))


def _grown(signal: np.ndarray, cube: Cube) -> np.ndarray:
    """Signal and a beam, and a channel, round it."""
    if not signal.any():
        return signal
    radius = int(np.ceil(np.sqrt(_beam_pixels(cube))))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (y**2 + x**2 <= radius**2).astype(np.float32)
    grown = np.stack([scipy.signal.fftconvolve(plane.astype(np.float32), disc, mode="same") > 0.5 for plane in signal])
    return np.asarray(scipy.ndimage.binary_dilation(grown, np.ones((3, 1, 1), bool)))


def _channel_rms(flat: FloatArray, free: np.ndarray, area: float, whole: float) -> tuple[FloatArray, bool]:
    """Return the rms of each channel (that of all where a channel has too little), and whether they differ."""
    rms, chance = np.full(flat.shape[0], whole), np.full(flat.shape[0], np.nan)
    for v, (plane, known) in enumerate(zip(flat, free, strict=True)):
        n = np.count_nonzero(known)
        if n > 50.0 * area:
            rms[v] = _robust_rms(plane[known])
            # Of n / area independent values; the MAD knows sigma 1.65 times worse than the mean square does.
            chance[v] = 1.65 / np.sqrt(2.0 * n / area)
    known = np.isfinite(chance)
    if np.count_nonzero(known) < 3:
        return rms, False
    scatter = float(np.std(rms[known] / whole))
    return rms, scatter > 0.05 and scatter > 2.0 * float(np.median(chance[known]))


def _measure_channels(residual: FloatArray, free: np.ndarray, area: float) -> FloatArray:
    """Correlation of channels 1, 2, ... apart, as far as it is above its own error."""
    square = float((residual**2).sum() / max(np.count_nonzero(free), 1))
    found = [1.0]
    for apart in range(1, min(9, residual.shape[0])):
        both = free[apart:] & free[:-apart]
        n = np.count_nonzero(both)
        if n < 100.0 * area:
            break
        value = float((residual[apart:] * residual[:-apart]).sum() / n / square)
        if abs(value) < max(4.0 * np.sqrt(area / n), 0.02):
            break
        found.append(value)
    channels = np.array(found)
    # A few measured numbers may be such as no noise can have: they are shrunk until it can.
    while len(channels) > 1 and not least_power(channels) > 0.0:
        channels[1:] *= 0.97
    return channels


def _white_part(table: FloatArray) -> float:
    """White part of the variance: what lag 0 has above the parabola through the logarithms of its neighbours."""
    ly, lx = (n // 2 for n in table.shape)
    parts = []
    for line in (table[ly, lx:], table[ly:, lx]):
        if line.size > 3 and line[1:3].min() > 0.05:
            # Of a Gaussian exp(-a d^2): ln r(1) = ln A - a and ln r(2) = ln A - 4 a.
            parts.append(1.0 - float(np.exp((4.0 * np.log(line[1]) - np.log(line[2])) / 3.0)))
    return float(np.mean(parts)) if parts else 0.0


def _reach(cube: Cube) -> tuple[int, int]:
    width = 3.0 if cube.beam is None else float(cube.beam.bmaj) / cube.grid.cell
    lag = int(np.ceil(2.5 * width))
    return lag, lag


def _of_beam(cube: Cube, floor: float, channels: Any) -> Correlation:
    if cube.beam is None:
        return Correlation(np.ones((1, 1)), floor, channels)
    return Correlation.of_beam(cube.beam, cube.grid.cell, floor, channels)


def _choose_spatial(
    cube: Cube, table: FloatArray, floor: float, channels: Any, spatial: str
) -> tuple[Correlation, str]:
    """Return the correlation of the beam or a Gaussian fitted to the measured one, and what to say about it."""
    if spatial not in ("auto", "beam", "measured"):
        raise InputError("spatial", repr(spatial), "'auto', 'beam' or 'measured'")
    covariance = _fit_gaussian(table, floor)
    major, minor, pa = _axes(covariance, cube.grid.cell)
    measured = Correlation.of_covariance(covariance, floor, channels)
    size = f'{major:.3g}" x {minor:.3g}" at PA {pa:.0f} deg'
    if cube.beam is None or (spatial == "auto" and not cube.beam.correlates_noise):
        return measured, f"correlation measured, as of a beam of {size}"
    of_beam = _of_beam(cube, floor, channels)
    wanted = 2.0 * cube.beam.covariance(cube.grid.cell)
    ratios = np.sqrt(np.linalg.eigvals(np.linalg.solve(wanted, covariance)).real)  # along the axes that differ most
    if spatial == "beam" or (spatial == "auto" and np.abs(ratios - 1.0).max() <= 0.15):
        return of_beam, f"correlation of the beam; measured it is as of one of {size}"
    return measured, f"correlation measured, as of a beam of {size}, not that of the header"


def _fit_gaussian(table: FloatArray, floor: float) -> FloatArray:
    """Covariance (x, y), pixels^2, of the Gaussian through the core of an autocorrelation, where it is above 0.3."""
    ly, lx = (n // 2 for n in table.shape)
    y, x = np.mgrid[-ly : ly + 1, -lx : lx + 1]
    labels, _ = scipy.ndimage.label(table > 0.3)
    core = (labels == labels[ly, lx]) & ((y != 0) | (x != 0))
    if np.count_nonzero(core) < 6:  # next to no correlation: a delta, for all that matters
        return np.eye(2) * 0.05
    value = np.minimum(table[core] / (1.0 - floor), 1.0 - 1e-6)
    # -2 ln r = a x^2 + 2 b x y + c y^2, weighted such that errors of r count alike.
    terms = np.stack([x[core] ** 2, 2.0 * x[core] * y[core], y[core] ** 2], axis=1) * value[:, None]
    a, b, c = np.linalg.lstsq(terms, -2.0 * np.log(value) * value, rcond=None)[0]
    if a * c - b * b <= 0.0 or a <= 0.0:
        return np.eye(2) * 0.05
    return np.linalg.inv(np.array([[a, b], [b, c]]))


def _axes(covariance: FloatArray, cell: float) -> tuple[float, float, float]:
    """FWHM of major and minor axis (arcsec) and position angle (deg) of the beam whose noise has this covariance."""
    size, axes = np.linalg.eigh(0.5 * covariance)
    minor, major = FWHM_PER_SIGMA * np.sqrt(size) * cell
    return float(major), float(minor), float(np.degrees(np.arctan2(-axes[0, 1], axes[1, 1])) % 180.0)
