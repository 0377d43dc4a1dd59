"""Bringing a cube to a larger beam: what `Cube.convolve_to` and `Cube.to_common_beam` do.

The kernel is the Gaussian whose covariance is the difference of the two beams'. It is applied through its analytic
transfer function: sampled on the pixels it would be too narrow, or too wide, wherever the beams differ by less than a
pixel. The result is as good as the cube samples its own beam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # loads its parts when they are first asked for

from kinms.errors import InputError, InputTypeError
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
    for out, plane, one in zip(data, cube.data, own, strict=True):
        spread = beam.covariance(cell) - one.covariance(cell)
        out[:] = _smoothed(np.asarray(plane, dtype=float), spread) * (beam.area / one.area if per_beam else 1.0)
    return _described(cube, data, beam)


def to_common_beam(cube: Cube) -> Cube:
    """Return a cube with one beam for all channels; see `Cube.to_common_beam`."""
    return convolve_to(cube, cube.beam.common()) if isinstance(cube.beam, ChannelBeams) else cube


def _smoothed(plane: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return an image convolved with a Gaussian of this covariance in (x, y), pixels^2; blank pixels stay blank."""
    known = np.isfinite(plane)
    if not known.any() or np.trace(covariance) <= 1e-9:
        return plane
    room = [int(np.ceil(ROOM * np.sqrt(max(covariance[k, k], 0.0)))) + 4 for k in (1, 0)]
    shape = [scipy.fft.next_fast_len(n + r, real=True) for n, r in zip(plane.shape, room, strict=True)]
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    q = covariance[0, 0] * fx**2 + 2.0 * covariance[0, 1] * fx * fy + covariance[1, 1] * fy**2
    transfer = np.exp(-2.0 * np.pi**2 * np.maximum(q, 0.0))

    def pass_through(image: FloatArray) -> FloatArray:
        wave = scipy.fft.rfft2(image, s=shape) * transfer
        return np.asarray(scipy.fft.irfft2(wave, s=shape)[: plane.shape[0], : plane.shape[1]])

    smooth = pass_through(np.where(known, plane, 0.0))
    if not known.all():
        # Of the kernel round a voxel, what falls on known ones, or outside of the field where the sky is empty.
        share = 1.0 - pass_through(np.where(known, 0.0, 1.0))
        smooth = np.where(known, smooth / np.maximum(share, LEAST), np.nan)
    return smooth


def _described(cube: Cube, data: FloatArray, beam: Beam) -> Cube:
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
    if cube.noise is not None:
        notes.append("the noise of each voxel is dropped, as neighbours share it now")
    new = cube.replace(**changes, noise=None, warnings=(*cube.warnings, *notes))
    if cube.rms is None:
        return new
    return new.replace(rms=estimate_rms(data, new.valid) or None)


def _size(beam: Beam) -> str:
    return f"{beam.bmaj:.5g} x {float(beam.bmin or 0.0):.5g} arcsec at PA {beam.bpa:.4g}"
