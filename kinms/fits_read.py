"""Reading FITS cubes: `read_cube`, and the maps that belong to one.

Reading turns whatever the file holds into data (nv, ny, nx) with ascending velocity, x growing West and y North, in
64-bit floats (cubes above `DOUBLE_VOXELS` stay in 32-bit ones); what was assumed is in `Cube.warnings`, and what
changes numbers is also a `KinmsWarning`. `Cube.header` then describes the very box that was read, in the file's own
axis order and directions but in the standard's cards, and writing (`kinms.fits_write`) returns to those.

Only the box is read, of the data as of the noise, the flags and the mask beside them: see `kinms.fits_file`.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence

import numpy as np

from kinms.cube import Cube
from kinms.errors import FileError, InputError, InputTypeError, KinmsWarning
from kinms.fits_box import Box, Slices, cut_box, placed, reference
from kinms.fits_companion import read_companion, read_mask, within_mask
from kinms.fits_file import ImageFile, PathLike
from kinms.fits_layout import Layout, read_header
from kinms.fits_noise import Companion, find_flags, find_noise
from kinms.fits_spectral import response
from kinms.memory import available_memory, in_words
from kinms.noise import estimate_rms
from kinms.records import FloatArray

__all__ = [
    "DOUBLE_VOXELS",
    "Box",
    "as_floats",
    "box_rms",
    "open_layout",
    "read_cube",
    "read_gain",
    "warn_of",
]

#: Cubes up to this size are held in 64-bit floats (512 MiB); larger ones stay in the file's 32-bit floats.
DOUBLE_VOXELS = 2**26

#: Line-free voxels may scatter this many times more, or less, than the file states before the reader says so, and
#: before it warns.
REMARKED, DOUBTED = 1.2, 5.0


def read_cube(
    path: PathLike,
    *,
    hdu: int | str | None = None,
    line: str | None = None,
    redshift: float | None = None,
    rest_frequency: float | None = None,
    rest_wavelength: float | None = None,
    velocity_range: Sequence[float] | None = None,
    centre: Sequence[float] | None = None,
    size: float | None = None,
    box: Box | None = None,
    convention: str | None = None,
    mask: PathLike | None = None,
    crop_to_mask: bool = False,
    common_beam: bool = False,
    variance: int | str | None = "auto",
    flags: int | str | None = "auto",
    lsf: Sequence[Sequence[float]] | None = None,
) -> Cube:
    """Read a spectral cube of any telescope.

    Parameters
    ----------
    path : path
        FITS file, plain or packed by gzip, bzip2 or xz. Of a plain one, whatever its size, only the box is read that
        the arguments below leave; a packed one is unpacked first.
    hdu : int or str, optional
        Number or EXTNAME; default the first image with three or more axes that is not a variance or quality array.
    line : str, optional
        Name of the line, such as ``CO(2-1)``, see `kinms.find_line`; comes before the header's.
    redshift : float, optional
        At which the line is: velocities then count from there.
    rest_frequency, rest_wavelength : float, optional
        Of the line, Hz, or m in vacuum; comes before the header's.
    velocity_range : (low, high), optional
        km/s; keeps the channels whose centres lie inside.
    centre : (ra, dec), optional
        ICRS degrees of the reference position, from which ``east`` and ``north`` count. Default: the centre of
        pixel ``n // 2`` on each axis, of the box if one is cut by ``box`` or ``crop_to_mask``, else of the whole cube.
    size : float, optional
        arcsec; keeps the pixels whose centres lie in a square box of that side round the reference position.
    box : ((v0, v1), (y0, y1), (x0, x1)), optional
        Channels, rows and columns of the cube as it is read whole (velocity ascending, x West, y North), from 0, the
        ends left out; None for an axis keeps all of it. With ``velocity_range`` and ``size``, what all of them keep.
    convention : {"radio", "optical", "relativistic"}, optional
        In which velocities are wanted; default as the header declares, else radio.
    mask : path, optional
        FITS file of the cube's shape; voxels that are non-zero there may be used.
    crop_to_mask : bool
        Whether to read only the smallest box that holds what the mask allows, and a beam and a channel round it.
    common_beam : bool
        Whether a cube with a beam per channel is brought to the smallest one common to all (`Cube.to_common_beam`).
        By default each channel keeps its own.
    variance : int or str or None, optional
        HDU with the noise of each voxel, as a variance, its inverse or 1 sigma, which becomes `Cube.noise`; default
        the one that belongs to the data (STAT, VARIANCE, IVAR, ERR, NOISE ...: see `kinms.fits_noise`). None: none.
    flags : int or str or None, optional
        HDU with quality flags; voxels flagged there, or without a noise, are masked. Default and None as above.
    lsf : sequence of (wavelength, FWHM), optional
        The spectrograph's response, both in Angstrom, linear between: it becomes `CubeGrid.lsf_sigma`, one value per
        channel, by which models of this cube are broadened.

    Returns
    -------
    Cube
        Its ``rms`` is measured on all good voxels of the box, inside and outside of the mask. ``flipped`` names
        the axes (``velocity``, ``x``, ``y``) that run the other way in the file.

    Raises
    ------
    FileError
        If the file is missing, truncated, not FITS, holds no finite voxel, or the box does not fit into memory.
    HeaderError
        If the header is not a cube's, or lacks something; names the card.
    InputError
        If a cut leaves nothing, or the mask does not fit.

    Warns
    -----
    KinmsWarning
        For what is missing or was repaired, such as a cube without a beam.

    Examples
    --------
    >>> import tempfile, os
    >>> from kinms.fits_write import write_cube
    >>> from kinms.grid import CubeGrid, Beam
    >>> cube = Cube(np.ones((4, 8, 8)), CubeGrid((4, 8, 8), cell=1.0, dv=10.0, v_ref=500.0), Beam(3.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_cube(os.path.join(folder, "ones.fits"), cube)
    ...     read_cube(os.path.join(folder, "ones.fits"), velocity_range=(475, 515)).grid.velocities
    array([480., 490., 500., 510.])
    """
    if crop_to_mask and mask is None:
        raise InputTypeError("crop_to_mask", "True", "a mask beside it", "Give mask=.")
    with ImageFile(path, hdu) as image:
        layout = open_layout(image, rest_frequency, rest_wavelength, convention, line, redshift)
        part, slices = cut_box(layout, velocity_range, centre, size, box)
        if crop_to_mask and mask is not None:
            slices = within_mask(mask, layout, slices)
            part = placed(layout, slices, None if centre is None else reference(layout, centre))
        noise, quality = find_noise(image, variance), find_flags(image, flags)
        index = layout.box(*slices)
        _check_memory(image, slices, 1 if noise is None else 4)
        data = as_floats(layout.to_cube(image.read(index)))
        sigma = None if noise is None else noise.sigma(as_floats(layout.to_cube(image.read(index, noise.hdu))))
        good = None if quality is None else quality.good(layout.to_cube(image.read(index, quality.hdu)))
        extra = list(image.notes)
    use = None if mask is None else read_mask(mask, layout, index)
    sigma, good, said = _of_voxels(data, sigma, good, noise, quality)
    extra += said
    rms = box_rms(path, data, good)
    if lsf is not None:
        sigmas = response(part.velocities, part.spectral.convention, part.grid.rest_frequency, lsf)
        part = dataclasses.replace(part, grid=part.grid.replace(lsf_sigma=sigmas))
    part = dataclasses.replace(part, notes=(*part.notes, *extra))
    warn_of(part, 3)
    if good is not None:
        use = good if use is None else use & good
    cube = Cube(
        data,
        part.grid,
        part.beam,
        unit=part.unit,
        mask=use,
        rms=rms,
        spectral=part.spectral,
        header=part.header,
        flipped=layout.flipped,
        warnings=part.warnings,
        noise=sigma,
    )
    return cube.to_common_beam() if common_beam else cube


def read_gain(
    path: PathLike,
    cube: PathLike,
    *,
    hdu: int | str | None = None,
    line: str | None = None,
    redshift: float | None = None,
    rest_frequency: float | None = None,
    rest_wavelength: float | None = None,
    velocity_range: Sequence[float] | None = None,
    centre: Sequence[float] | None = None,
    size: float | None = None,
    box: Box | None = None,
    convention: str | None = None,
) -> FloatArray:
    """Read the map of the sensitivity that belongs to a cube.

    Parameters
    ----------
    path : path
        FITS file of the cube's shape, or of its sky axes alone.
    cube : path
        The cube.
    hdu, line, redshift, rest_frequency, rest_wavelength, velocity_range, centre, size, box, convention : optional
        As of `read_cube` for that cube: the same box is cut out.

    Returns
    -------
    ndarray, shape (nv, ny, nx) or (ny, nx)
        As the file has it, on the axes of what `read_cube` returns.

    Raises
    ------
    FileError, HeaderError
        If either file cannot be read.
    InputError
        If a cut leaves nothing, the shape of the map is not the cube's, or nothing in the box is positive.
    """
    with ImageFile(cube, hdu) as image:
        layout = open_layout(image, rest_frequency, rest_wavelength, convention, line, redshift)
        _, slices = cut_box(layout, velocity_range, centre, size, box)
    gain = as_floats(read_companion("gain", path, layout, layout.box(*slices), is_map=True))
    with np.errstate(invalid="ignore"):
        if not np.any(np.isfinite(gain) & (gain > 0)):
            expected = "the sensitivity at each position"
            raise InputError("gain", "positive nowhere in the box that is read", expected, str(path))
    return gain


def open_layout(
    image: ImageFile,
    frequency: float | None = None,
    wavelength: float | None = None,
    convention: str | None = None,
    line: str | None = None,
    redshift: float | None = None,
) -> Layout:
    """Return the layout of an open file, under what the user said of its line and convention."""
    return read_header(
        image.header,
        rest_frequency=frequency,
        rest_wavelength=wavelength,
        convention=convention,
        line=line,
        redshift=redshift,
        beams=image.beams,
    )


def box_rms(path: PathLike, data: FloatArray, good: np.ndarray | None = None) -> float:
    """Return the noise of a box, of its good voxels if told, or refuse one without any finite voxel."""
    finite = np.isfinite(data) if good is None else np.isfinite(data) & good
    if not finite.any():
        raise FileError(path, "holds no finite voxel in what was read: all are NaN.", "Check the file and the cuts.")
    with np.errstate(over="ignore", invalid="ignore"):
        rms = estimate_rms(data, finite)
    if not math.isfinite(rms):
        raise FileError(path, f"holds numbers up to {np.nanmax(np.abs(data)):.3g}.", "Check its data, and BSCALE.")
    return rms


def as_floats(array: np.ndarray) -> FloatArray:
    """Return a copy as floats, in C order and the machine's own bytes: 64-bit ones unless it is large."""
    small = array.size <= DOUBLE_VOXELS or not _is_narrow(array.dtype.kind, 8 * array.dtype.itemsize)
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
        return array.astype(np.float64 if small else np.float32, order="C")


def _is_narrow(kind: str, bits: int) -> bool:
    """Whether 32-bit floats hold every digit of these numbers."""
    return bits <= (32 if kind == "f" else 16)


def warn_of(layout: Layout, stacklevel: int) -> None:
    """Give the warnings that reading a header raised."""
    for text, alarm in layout.notes:
        if alarm:
            warnings.warn(text, KinmsWarning, stacklevel=stacklevel)


def _check_memory(image: ImageFile, slices: Slices, arrays: int) -> None:
    """Refuse a box that would not fit, counting as many arrays of it as are held at once."""
    shape = tuple(part.stop - part.start for part in slices)
    bits = int(image.header.get("BITPIX", -32))
    narrow = math.prod(shape) > DOUBLE_VOXELS and _is_narrow("f" if bits < 0 else "i", abs(bits))
    needed = math.prod(shape) * (4 if narrow else 8) * arrays
    free = available_memory()
    if free is not None and needed > free:
        cube = " x ".join(str(n) for n in shape)
        beside = f", {arrays} times as its noise is read too," if arrays > 1 else ""
        message = (
            f"is too large to be read: {cube} voxels of {32 if narrow else 64} bits{beside} take {in_words(needed)}, "
            f"and {in_words(free)} of memory are free."
        )
        fix = (
            "Read a part of it, with velocity_range=, with centre= and size=, or with box=; "
            "parts can be thinned with downsample and rebin."
        )
        raise FileError(image.path, message, fix)


def _of_voxels(
    data: FloatArray,
    sigma: FloatArray | None,
    good: np.ndarray | None,
    noise: Companion | None,
    flags: Companion | None,
) -> tuple[FloatArray | None, np.ndarray | None, list[tuple[str, bool]]]:
    """Return the noise of each voxel, which may be used (None: all), and what is to be said of both."""
    said = []
    finite = np.isfinite(data)
    if sigma is not None:
        known = np.isfinite(sigma)
        if np.any(known & finite):
            good = known if good is None else good & known
        else:
            said.append((f"{noise} has no positive noise in what was read and is left aside", True))
            sigma = None
    if good is not None and not np.any(good & finite):
        said.append((f"{flags} flags every voxel that was read and is left aside", True))
        good, flags = (None if sigma is None else np.isfinite(sigma)), None
    if good is not None and good[finite].all():
        good = None
    if sigma is not None and good is not None:
        sigma[~good] = np.nan
    if sigma is not None and noise is not None:
        said += _of_noise(noise, data, sigma)
    if good is not None and flags is not None:
        unused = np.count_nonzero(~good & finite)
        said.append((f"flags from {flags}: {unused} of {data.size} voxels are not used", False))
    return sigma, good, said


def _of_noise(noise: Companion, data: FloatArray, sigma: FloatArray) -> list[tuple[str, bool]]:
    """Say what the noise is, and how the scatter of line-free voxels compares with it."""
    remark = f"; {noise.remark}" if noise.remark else ""
    said = [(f"noise of each voxel from {noise}, which holds the {noise.kind}{remark}", False)]
    with np.errstate(over="ignore", invalid="ignore"):  # data without bounds are refused elsewhere
        ratio = estimate_rms(data / sigma)
    if ratio > 0.0 and max(ratio, 1.0 / ratio) > REMARKED:
        why = "does it mean something else?" if max(ratio, 1.0 / ratio) > DOUBTED else "fits scale it by that"
        text = f"line-free voxels scatter {ratio:.3g} times as much as {noise} states: {why}"
        said.append((text, max(ratio, 1.0 / ratio) > DOUBTED))
    return said
