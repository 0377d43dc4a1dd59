"""Smaller cubes out of larger ones: a box cut out, pixels binned, channels averaged.

Flux is conserved: the sum over channels of data x width, and over pixels where the unit is per pixel, is that of the
voxels that went in. A voxel that is not finite, or whose noise is not known, carries no weight; what stands in its
place is the mean of the others, as long as those are at least half. The header follows, so that what is written is
where it was.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kinms.cube import Cube
from kinms.errors import InputError, InputTypeError, KinmsWarning
from kinms.fits_box import Box, choose_box, mask_box
from kinms.fits_regrid import binned_header, cropped_header, pixel_of, velocity_header
from kinms.grid import CubeGrid
from kinms.noise import estimate_rms
from kinms.psf import ChannelBeams
from kinms.records import FloatArray, check_scalar

__all__ = ["downsample", "is_per_pixel", "rebin", "subcube"]

#: Part of a bin that must be known for it to be.
ENOUGH = 0.5

#: Beams of channels that are averaged may differ by this part of their axes.
SAME_BEAM = 0.01

#: Rounding, in channels, that decides nothing.
ROUNDING = 1e-6


def subcube(
    cube: Cube,
    *,
    velocity_range: Sequence[float] | None = None,
    centre: Sequence[float] | None = None,
    size: float | None = None,
    box: Box | None = None,
    mask: Any = None,
) -> Cube:
    """Return a part of a cube: see `Cube.subcube`."""
    pixel = pixel_of(cube) or _projection(cube.grid)
    slices, (x_ref, y_ref, ra, dec) = choose_box(
        cube.grid, cube.grid.velocities, pixel, velocity_range, centre, size, box
    )
    if mask is not None:
        use = np.asarray(mask)
        if use.dtype != bool or use.shape != cube.data.shape:
            got = f"an array of {use.dtype}, shape {use.shape}"
            raise InputError("mask", got, f"bool, shape {cube.data.shape}, as the cube")
        inner = mask_box(use[slices], cube.grid, cube.beam)
        if inner is None:
            raise InputError("mask", "False everywhere in the box", "True where the cube is wanted")
        slices = tuple(  # type: ignore[assignment]
            slice(part.start + k.start, part.start + k.stop) for part, k in zip(slices, inner, strict=True)
        )
    v, y, x = slices
    grid = cube.grid
    changes: dict[str, Any] = {"ra": ra, "dec": dec, "x_ref": x_ref - x.start, "y_ref": y_ref - y.start}
    return _made(
        cube,
        data=cube.data[slices].copy(),
        grid=_channels_of(grid, v.start, v.stop).replace(
            shape=tuple(part.stop - part.start for part in slices), **changes
        ),
        beam=None if cube.beam is None else cube.beam.select(v),
        mask=None if cube.mask is None else cube.mask[slices].copy(),
        noise=None if cube.noise is None else cube.noise[slices].copy(),
        header=cropped_header(cube, v, y, x),
    )


def downsample(cube: Cube, n: int) -> Cube:
    """Return a cube with n x n pixels made one: see `Cube.downsample`."""
    n = _check_count("n", n, min(cube.grid.ny, cube.grid.nx))
    cut, said = _even(cube, (1, n, n))
    grid = cut.grid
    nv, ny, nx = grid.shape[0], grid.ny // n, grid.nx // n
    total = float(n * n) if is_per_pixel(cube.unit) else 1.0

    def summed(values: FloatArray) -> FloatArray:
        return np.asarray(values.reshape(nv, ny, n, nx, n).sum(axis=(2, 4)))

    part = summed(_known(cut).astype(float)) / n**2
    data, noise, mask = _averaged(cut, summed, part, 1.0 / n**2)
    x_ref, y_ref = ((float(at or 0.0) + 0.5) / n - 0.5 for at in (grid.x_ref, grid.y_ref))
    return _made(
        cut,
        data=data * total,
        grid=grid.replace(shape=(nv, ny, nx), cell=grid.cell * n, x_ref=x_ref, y_ref=y_ref),
        mask=mask,
        noise=None if noise is None else noise * total,
        header=binned_header(cut, 1, n),
        said=said,
    )


def rebin(cube: Cube, n: int | None = None, *, dv: float | None = None) -> Cube:
    """Return a cube with wider channels: see `Cube.rebin`."""
    if (n is None) == (dv is None):
        raise InputTypeError("n and dv", "both given" if n is not None else "both missing", "one of the two")
    return _rebin_groups(cube, n) if n is not None else _rebin_regular(cube, dv)


def _rebin_groups(cube: Cube, n: int) -> Cube:
    n = _check_count("n", n, cube.grid.nv)
    cut, said = _even(cube, (n, 1, 1))
    grid = cut.grid
    nv = grid.nv // n
    edges = grid.velocity_edges[::n]
    weights = np.zeros((nv, grid.nv))
    for k in range(nv):
        weights[k, k * n : (k + 1) * n] = grid.widths[k * n : (k + 1) * n]
    if grid.edges is None:
        middle = float(edges[nv // 2] + edges[nv // 2 + 1]) / 2.0
        wide = grid.replace(shape=(nv, grid.ny, grid.nx), dv=grid.dv * n, v_ref=middle, lsf_sigma=None)
    else:
        wide = grid.replace(shape=(nv, grid.ny, grid.nx), edges=edges, lsf_sigma=None)
    return _mixed(cut, weights, wide, binned_header(cut, n, 1), cut.spectral.ctype, said)


def _rebin_regular(cube: Cube, dv: Any) -> Cube:
    grid = cube.grid
    dv = check_scalar("dv", dv, minimum=0.0, exclusive=True)
    old = grid.velocity_edges
    if dv < grid.widths.min() * (1.0 - ROUNDING):
        raise InputError("dv", f"{dv:g}", f"at least the width of a channel, {grid.widths.min():g} km/s")
    nv = int(np.floor((old[-1] - old[0]) / dv + ROUNDING))
    if nv < 1:
        raise InputError("dv", f"{dv:g}", f"at most the whole range, {old[-1] - old[0]:g} km/s")
    new = old[0] + dv * np.arange(nv + 1)
    said = ""
    rest = float(old[-1] - new[-1])
    if rest > ROUNDING * dv:
        said = f"the last {rest:.4g} km/s do not fill a channel and are left out"
    # How much of each new channel lies in each old one, km/s.
    low, high = (np.clip(edge, old[:-1], old[1:]) for edge in (new[:-1, None], new[1:, None]))
    weights = np.maximum(high - low, 0.0)
    first = float(new[0] + 0.5 * dv)
    wide = grid.replace(
        shape=(nv, grid.ny, grid.nx), dv=dv, v_ref=float(first + (nv // 2) * dv), edges=None, lsf_sigma=None
    )
    header, ctype = velocity_header(cube, first, dv, nv)
    return _mixed(cube, weights, wide, header, ctype, said)


def _mixed(cube: Cube, weights: FloatArray, grid: CubeGrid, header: Any, ctype: str, said: str) -> Cube:
    """Return a cube whose channels are means of others, with these weights (rows: new channels)."""
    weights = weights / weights.sum(axis=1, keepdims=True)
    nearest = weights.argmax(axis=1)
    beam = cube.beam
    if isinstance(beam, ChannelBeams):
        _check_same_beams(beam, weights)
        beam = beam.select(nearest)
    if cube.grid.lsf_sigma is not None:
        grid = grid.replace(lsf_sigma=np.sqrt(weights @ cube.grid.lsf_sigma**2))

    def mixed(values: FloatArray) -> FloatArray:
        return np.asarray(np.tensordot(weights, values, 1))

    part = mixed(_known(cube).astype(float))
    data, noise, mask = _averaged(cube, mixed, part, weights)
    return _made(
        cube,
        data=data,
        grid=grid,
        beam=beam,
        mask=mask,
        noise=noise,
        header=header,
        spectral=cube.spectral.replace(ctype=ctype),
        said=said,
    )


def _known(cube: Cube) -> np.ndarray:
    known = np.isfinite(cube.data)
    return known if cube.noise is None else known & np.isfinite(cube.noise)


def _averaged(
    cube: Cube, mean: Callable[[FloatArray], FloatArray], part: FloatArray, weights: float | FloatArray
) -> tuple[FloatArray, FloatArray | None, np.ndarray | None]:
    """Return data, noise and mask of bins, of which ``part`` is known.

    Parameters
    ----------
    cube : Cube
    mean : callable
        Sums a cube over bins with ``weights``, or, if those are one number, without.
    part : ndarray
        Of each bin, what is known of it.
    weights : float or ndarray, shape (new channels, old channels)
        Of one bin they sum up to 1.
    """
    scale = weights if isinstance(weights, float) else 1.0
    known = _known(cube)
    enough = part >= ENOUGH * (1.0 - ROUNDING)
    share = np.where(enough, part, np.nan)
    data = mean(np.where(known, cube.data, 0.0).astype(float)) * scale / share
    noise = mask = None
    if cube.noise is not None:
        square = np.where(known, cube.noise, 0.0).astype(float) ** 2
        if isinstance(weights, float):
            noise = np.sqrt(mean(square)) * scale / share
        else:
            noise = np.sqrt(np.tensordot(weights**2, square, 1)) / share
    if cube.mask is not None:
        # Of what is known: masked-out neighbours of signal are as good data as any.
        mask = enough & (mean((cube.mask & known).astype(float)) * scale >= ENOUGH * (1.0 - ROUNDING) * part)
    return data, noise, mask


def _made(cube: Cube, *, said: str = "", **changes: Any) -> Cube:
    """Return a changed cube with its rms measured anew, and what was said of it added to its warnings."""
    if said:
        warnings.warn(said[0].upper() + said[1:] + ".", KinmsWarning, stacklevel=4)
        changes["warnings"] = (*cube.warnings, said)
    made = cube.replace(stats=None, **changes)
    if cube.rms is None:
        return made
    known = _known(made)
    return made.replace(rms=estimate_rms(made.data, known) if known.any() else None)


def _channels_of(grid: CubeGrid, start: int, stop: int) -> CubeGrid:
    """Return a grid with some of the channels of another, the same pixels."""
    nv = stop - start
    lsf = None if grid.lsf_sigma is None else grid.lsf_sigma[start:stop]
    shape = (nv, grid.ny, grid.nx)
    if grid.edges is not None:
        return grid.replace(shape=shape, edges=grid.edges[start : stop + 1], lsf_sigma=lsf)
    return grid.replace(shape=shape, v_ref=float(grid.velocities[start + nv // 2]), lsf_sigma=lsf)


def _even(cube: Cube, bins: tuple[int, int, int]) -> tuple[Cube, str]:
    """Return a cube without what is left over beyond the last whole bin, and what to say of that."""
    over = [n % size for n, size in zip(cube.data.shape, bins, strict=True)]
    if not any(over):
        return cube, ""
    names = ("channels", "rows", "columns")
    left = ", ".join(f"{k} {name if k > 1 else name[:-1]}" for k, name in zip(over, names, strict=True) if k)
    box = [(0, n - k) for n, k in zip(cube.data.shape, over, strict=True)]
    cut = subcube(cube.replace(rms=None), box=box).replace(rms=cube.rms)
    return cut, f"the last {left} would not fill a bin: left out"


def _check_same_beams(beam: ChannelBeams, weights: FloatArray) -> None:
    """Refuse to average channels whose beams differ."""
    covariances = np.array([b.covariance() for b in beam.beams])
    for row in weights:
        mixed = covariances[row > 0.0]
        if np.abs(mixed - mixed[0]).max() > 2.0 * SAME_BEAM * np.trace(mixed[0]):
            fix = "Bring them to one with cube.to_common_beam() first."
            raise InputError("the beams", "different in channels that would be averaged", "one beam", fix)


def is_per_pixel(unit: str) -> bool:
    """Whether a unit counts flux per pixel, so that binned pixels add up, and not surface brightness, of which the mean
    is taken.

    Per beam or solid angle, and temperatures, are surface brightness. Flux densities per pixel, per spaxel, or without
    any word of an area (Jy, erg/s/cm2/Angstrom: integral-field units) are per pixel, and so are counts. A unit that
    cannot be read is taken for surface brightness.
    """
    text = unit.lower()
    if re.search(r"beam|arcsec|arcmin|\bsr\b|sr-1|\bdeg", text):
        return False
    if re.search(r"pix|spaxel|\b(adu|counts?|ct|dn|electrons?|photons?)\b", text):
        return True
    import astropy.units as u

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for form in (None, "fits", "vounit"):
            try:
                kind = u.Unit(unit, format=form).physical_type
            except (ValueError, TypeError):
                continue
            return bool(kind in ("spectral flux density", "spectral flux density wav", "energy flux", "power"))
    return bool(re.search(r"erg.*cm", text))


def _check_count(name: str, value: Any, most: int) -> int:
    number = check_scalar(name, value, minimum=1.0)
    if number != int(number) or number > most:
        raise InputError(name, value, f"a whole number from 1 to {most}")
    return int(number)


def _projection(grid: CubeGrid) -> Callable[[float, float], tuple[float, float]]:
    """Return what turns ICRS degrees into pixels of a grid without a header: the projection that it is written in."""

    def pixel(ra: float, dec: float) -> tuple[float, float]:
        if grid.ra is None or grid.dec is None:
            raise InputError("centre", [ra, dec], "none, as the grid has no position", "Give its ra and dec.")
        turn, there, here = (float(np.radians(value)) for value in (ra - grid.ra, dec, grid.dec))
        east = np.cos(there) * np.sin(turn)
        north = np.sin(there) * np.cos(here) - np.cos(there) * np.sin(here) * np.cos(turn)
        if np.sin(there) * np.sin(here) + np.cos(there) * np.cos(here) * np.cos(turn) <= 0.0:
            return np.inf, np.inf  # on the other side of the sky
        step = np.radians(grid.cell / 3600.0)
        return float(grid.x_ref or 0.0) - float(east / step), float(grid.y_ref or 0.0) + float(north / step)

    return pixel
