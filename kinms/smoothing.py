"""Bringing a cube to a larger beam: what `Cube.convolve_to` and `Cube.to_common_beam` do.

The kernel is the Gaussian whose covariance is the difference of the two beams'. It is applied through its analytic
transfer function: sampled on the pixels it would be too narrow, or too wide, wherever the beams differ by less than a
pixel. The result is as good as the cube samples its own beam.

Noise of each voxel follows in two steps. Its pattern is that of independent voxels, the variances convolved with the
square of the kernel, and between channels of different beams that of noise which has been smoothed by its beam, as the
root of the area. How much neighbours share is not known of a cube, so that the scale is measured: data scatter by as
many sigma as before. Within a beam of blank voxels and of the margins it is too large, by a third at most.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # loads its parts when they are first asked for

from kinms.errors import InputError, InputTypeError, KinmsWarning
from kinms.grid import Beam
from kinms.noise import estimate_rms
from kinms.psf import ChannelBeams, holds, smallest_common
from kinms.records import FloatArray

if TYPE_CHECKING:
    from kinms.cube import Cube

__all__ = ["convolve_to", "to_common_beam"]

#: Sigmas of the kernel beyond the field that are kept empty, so that nothing wraps round.
ROOM = 6.0
#: Part of the kernel that must fall on voxels that are known for the rest to be made up for.
LEAST = 1e-6


def convolve_to(cube: Cube, beam: Beam) -> Cube:
    """Return a cube convolved to a larger beam; see `Cube.convolve_to`."""
    if not isinstance(beam, Beam):
        raise InputTypeError("beam", repr(beam), "a Beam")
    if not isinstance(cube.beam, (Beam, ChannelBeams)):
        what = "none" if cube.beam is None else type(cube.beam).__name__
        fix = "Only of Gaussian beams it is known what turns one into another: give one with cube.replace(beam=...)."
        raise InputError("the beam of the cube", what, "a Beam or ChannelBeams", fix)
    own = cube.beam.beams if isinstance(cube.beam, ChannelBeams) else (cube.beam,) * cube.grid.nv
    for number, one in enumerate(own):
        if not holds(beam, one):
            least = smallest_common([*dict.fromkeys(own), beam])
            whose = f"that of channel {number}" if isinstance(cube.beam, ChannelBeams) else "the cube's"
            raise InputError(
                "beam",
                _size(beam),
                f"one at least as wide in every direction as {whose}, {_size(one)}",
                f"The smallest that also holds this one is {_size(least)}.",
            )
    cell, per_beam = cube.grid.cell, "beam" in cube.unit.lower()
    data = np.empty(cube.data.shape, dtype=np.promote_types(cube.data.dtype, np.float32))
    noise = None if cube.noise is None else np.empty_like(data)
    for v, one in enumerate(own):
        spread, grown = beam.covariance(cell) - one.covariance(cell), beam.area / one.area
        sigma = None if cube.noise is None else np.asarray(cube.noise[v], dtype=float)
        plane, sigma = _smoothed(np.asarray(cube.data[v], dtype=float), spread, sigma)
        data[v] = plane * (grown if per_beam else 1.0)
        if noise is not None and sigma is not None:
            noise[v] = sigma * (np.sqrt(grown) if per_beam else 1.0 / np.sqrt(grown))
    return _described(cube, data, noise, beam)


def to_common_beam(cube: Cube) -> Cube:
    """Return a cube with one beam for all channels; see `Cube.to_common_beam`."""
    return convolve_to(cube, cube.beam.common()) if isinstance(cube.beam, ChannelBeams) else cube


def _smoothed(
    plane: FloatArray, covariance: FloatArray, sigma: FloatArray | None = None
) -> tuple[FloatArray, FloatArray | None]:
    """Return an image convolved with a Gaussian of this covariance in (x, y), pixels^2; blank pixels stay blank.

    Beside it the pattern of its noise: the roots of the variances' means, weighted by the square of the kernel.
    """
    known = np.isfinite(plane)
    if not known.any() or np.trace(covariance) <= 1e-9:
        return plane, sigma
    room = [int(np.ceil(ROOM * np.sqrt(max(covariance[k, k], 0.0)))) + 4 for k in (1, 0)]
    shape = [scipy.fft.next_fast_len(n + r, real=True) for n, r in zip(plane.shape, room, strict=True)]
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    q = covariance[0, 0] * fx**2 + 2.0 * covariance[0, 1] * fx * fy + covariance[1, 1] * fy**2
    transfer = np.exp(-2.0 * np.pi**2 * np.maximum(q, 0.0))

    def pass_through(image: FloatArray, transfer: FloatArray) -> FloatArray:
        wave = scipy.fft.rfft2(image, s=shape) * transfer
        return np.asarray(scipy.fft.irfft2(wave, s=shape)[: plane.shape[0], : plane.shape[1]])

    smooth, share = pass_through(np.where(known, plane, 0.0), transfer), np.ones(plane.shape)
    if not known.all():
        # Of the kernel round a voxel, what falls on known ones, or outside of the field where the sky is empty.
        share = np.maximum(1.0 - pass_through(np.where(known, 0.0, 1.0), transfer), LEAST)
        smooth = np.where(known, smooth / share, np.nan)
    if sigma is None:
        return smooth, None
    square = np.sqrt(transfer)  # of the kernel: a Gaussian of half the covariance
    told = known & np.isfinite(sigma)
    variance = pass_through(np.where(told, sigma, 0.0) ** 2, square)
    if not np.array_equal(told, known):  # where the noise is not told it is like that of the neighbours
        parts = (np.maximum(pass_through(each.astype(float), square), LEAST) for each in (known, told))
        variance = variance * next(parts) / next(parts)
    with np.errstate(invalid="ignore"):
        return smooth, np.where(told & (variance > 0.0), np.sqrt(variance) / share, np.nan)


def _measured(cube: Cube, data: FloatArray, noise: FloatArray) -> FloatArray | None:
    """Return the noise scaled so that data scatter by as many of it as before; None where no scatter is measured."""
    scatters = []
    for values, sigma in ((cube.data, np.asarray(cube.noise)), (data, noise)):
        told = cube.valid & np.isfinite(sigma) & (sigma > 0.0)
        if not told.any():
            return None
        scatters.append(estimate_rms(np.divide(values, sigma, out=np.zeros(data.shape), where=told), told))
    before, after = scatters
    return noise * (after / before) if before > 0.0 and after > 0.0 else None


def _described(cube: Cube, data: FloatArray, noise: FloatArray | None, beam: Beam) -> Cube:
    """Return the cube with these data, its noise measured anew, and a header that says so."""
    header = None
    if cube.header is not None:
        header = cube.header.copy()
        for key in ("CASAMBM", "BMMAJ", "BMMIN", "BMPA"):
            header.remove(key, ignore_missing=True)
        header.update({"BMAJ": beam.bmaj / 3600.0, "BMIN": float(beam.bmin or 0.0) / 3600.0, "BPA": beam.bpa})
        header.add_history(f"kinms: convolved to a beam of {_size(beam)}")
    changes: dict[str, Any] = {"data": data, "beam": beam, "header": header}
    notes = [f"convolved to a beam of {_size(beam)}"]
    if noise is not None:
        noise = _measured(cube, data, noise)
        if noise is None:
            text = "the noise of each voxel is dropped, as the data have no scatter that would tell what becomes of it"
            warnings.warn(f"{text[0].upper()}{text[1:]}.", KinmsWarning, stacklevel=4)
        else:
            text = "the noise of each voxel is spread like the data and scaled to their scatter; neighbours share it"
        notes.append(text)
    new = cube.replace(**changes, noise=noise, warnings=(*cube.warnings, *notes))
    if cube.rms is None:
        return new
    return new.replace(rms=estimate_rms(data, new.valid) or None)


def _size(beam: Beam) -> str:
    return f"{beam.bmaj:.5g} x {float(beam.bmin or 0.0):.5g} arcsec at PA {beam.bpa:.4g}"
