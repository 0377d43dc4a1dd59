"""The noise of a cube: its rms, where the signal is, and mock noise with the correlation that a beam gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy  # loads its parts when they are first asked for

from kinms.errors import InputError
from kinms.grid import FWHM_PER_SIGMA, Beam, CubeGrid
from kinms.records import FloatArray, check_array, check_scalar

if TYPE_CHECKING:
    from kinms.cube import Cube

__all__ = ["correlated_noise", "detection_mask", "estimate_rms"]

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
    cube: Cube, rms: float | FloatArray | None = None, *, core: float = 4.0, edge: float = 2.0
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
        each pixel, from the voxels of the sign that the signal has not, so that noisy edges stay out.
    core, edge : float
        Thresholds in units of the smoothed cube's noise.

    Returns
    -------
    ndarray of bool, shape (nv, ny, nx)
        Never true where `Cube.valid` is false.

    Examples
    --------
    >>> from kinms.cube import Cube
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
    return np.asarray(keep[labels] & valid)


def _beam_pixels(cube: Cube) -> float:
    return cube.beam.pixels(cube.grid.cell) if cube.beam is not None else 9.0


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


def correlated_noise(grid: CubeGrid, beam: Beam | None, rms: float, seed: int | np.random.SeedSequence) -> FloatArray:
    """Mock noise of an interferometer: white noise convolved with the beam and scaled to the rms.

    Its autocorrelation is the beam convolved with itself (FWHM x sqrt 2). Each channel is drawn on a field larger
    by the kernel, so that the variance is the same up to the edge, and scaled by the kernel's own norm, so that
    the rms is that of the ensemble; channels are independent.

    Parameters
    ----------
    grid : CubeGrid
        Shape and pixel size.
    beam : Beam or None
        None leaves the noise white.
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
    >>> cube = correlated_noise(CubeGrid((4, 64, 64), 1.0, 10.0), Beam(4.0), rms=0.1, seed=1)
    >>> cube.shape, bool(0.08 < cube.std() < 0.12)
    ((4, 64, 64), True)
    """
    check_scalar("rms", rms, minimum=0.0)
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    kernel = np.ones((1, 1)) if beam is None else beam.kernel(grid.cell)
    kernel = kernel / np.sqrt((kernel**2).sum())
    field = (grid.ny + kernel.shape[0] - 1, grid.nx + kernel.shape[1] - 1)
    cube = np.empty(grid.shape)
    for plane, child in zip(cube, root.spawn(grid.nv), strict=True):
        white = np.random.default_rng(child).standard_normal(field)
        plane[:] = white if kernel.size == 1 else scipy.signal.fftconvolve(white, kernel, mode="valid")
    return cube * rms
