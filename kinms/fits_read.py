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
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kinms.cube import Cube
from kinms.errors import FileError, HeaderError, InputError, InputTypeError, KinmsWarning
from kinms.fits_cards import Cards
from kinms.fits_file import ImageFile, PathLike
from kinms.fits_layout import Layout, read_header
from kinms.fits_noise import find_flags, find_noise
from kinms.fits_spectral import response
from kinms.grid import CubeGrid
from kinms.memory import available_memory, in_words
from kinms.noise import estimate_rms
from kinms.records import FloatArray, check_array, check_scalar

__all__ = [
    "DOUBLE_VOXELS",
    "Box",
    "as_floats",
    "box_rms",
    "choose_box",
    "cut_box",
    "mask_box",
    "open_layout",
    "read_cube",
    "read_gain",
    "warn_of",
]

#: Cubes up to this size are held in 64-bit floats (512 MiB); larger ones stay in the file's 32-bit floats.
DOUBLE_VOXELS = 2**26

#: Rounding, in pixels or channels, that decides nothing.
ROUNDING = 1e-6

#: Line-free voxels may scatter this many times more, or less, than the file states before the reader says so, and
#: before it warns.
REMARKED, DOUBTED = 1.2, 5.0

#: ((v0, v1), (y0, y1), (x0, x1)): first and end, None for a whole axis.
Box = Sequence[Sequence[int] | None]
Slices = tuple[slice, slice, slice]


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
            slices = _within_mask(mask, layout, slices)
            part = _placed(layout, slices, None if centre is None else _reference(layout, centre))
        noise, quality = find_noise(image, variance), find_flags(image, flags)
        index = layout.box(*slices)
        _check_memory(image, slices, 1 if noise is None else 4)
        data = as_floats(layout.to_cube(image.read(index)))
        sigma = None if noise is None else noise.sigma(as_floats(layout.to_cube(image.read(index, noise.hdu))))
        good = None if quality is None else quality.good(layout.to_cube(image.read(index, quality.hdu)))
        extra = list(image.notes)
    use = None if mask is None else _read_mask(mask, layout, index)
    if sigma is not None:
        known = np.isfinite(sigma)
        if not np.any(known & np.isfinite(data)):
            extra.append((f"{noise} has no positive noise in what was read and is left aside", True))
            noise = sigma = None
        else:
            good = known if good is None else good & known
    if good is not None and not np.any(good & np.isfinite(data)):
        extra.append((f"{quality} flags every voxel that was read and is left aside", True))
        good = None if sigma is None else np.isfinite(sigma)
        quality = None
    if good is not None and good[np.isfinite(data)].all():
        good = None
    if sigma is not None and good is not None:
        sigma[~good] = np.nan
    rms = box_rms(path, data, good)
    if noise is not None and sigma is not None:
        extra += _of_noise(str(noise), noise.kind, noise.remark, data, sigma)
    if quality is not None and good is not None:
        n = np.count_nonzero(~good & np.isfinite(data))
        extra.append((f"flags from {quality}: {n} of {data.size} voxels are not used", False))
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
    gain = as_floats(_read_companion("gain", path, layout, layout.box(*slices), is_map=True))
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


def cut_box(
    layout: Layout,
    velocity_range: Sequence[float] | None = None,
    centre: Sequence[float] | None = None,
    size: float | None = None,
    box: Box | None = None,
) -> tuple[Layout, Slices]:
    """Return the layout of the box that is wanted, and its slices (velocity, y, x) of the whole cube."""
    slices, place = choose_box(layout.grid, layout.velocities, layout.pixel, velocity_range, centre, size, box)
    return _placed(layout, slices, None if box is not None and centre is None else place), slices


def choose_box(
    grid: CubeGrid,
    velocities: FloatArray,
    pixel: Callable[[float, float], tuple[float, float]],
    velocity_range: Sequence[float] | None,
    centre: Sequence[float] | None,
    size: float | None,
    box: Box | None,
) -> tuple[Slices, tuple[float, float, float | None, float | None]]:
    """Return what the cuts leave of a grid, and the reference position: x, y, ra, dec.

    Parameters
    ----------
    grid : CubeGrid
    velocities : ndarray, shape (nv,)
        Centres of the channels, km/s.
    pixel : callable
        From ICRS right ascension and declination in degrees to x, y.
    velocity_range, centre, size, box
        As of `read_cube`.

    Raises
    ------
    InputError
        If nothing is left.
    """
    v, y, x = _whole(grid.shape) if box is None else _check_box(box, grid.shape)
    if velocity_range is not None:
        low, high = check_array("velocity_range", velocity_range, shape=(2,))
        if low >= high:
            raise InputError("velocity_range", [float(low), float(high)], "[low, high] in km/s with low < high")
        slack = ROUNDING * grid.dv
        inside = np.flatnonzero((velocities >= low - slack) & (velocities <= high + slack))
        if inside.size == 0:
            known = f"the centre of a channel inside; they go from {velocities[0]:g} to {velocities[-1]:g}"
            raise InputError("velocity_range", [float(low), float(high)], known)
        v = _both("velocity_range and box", v, slice(int(inside[0]), int(inside[-1]) + 1))
    x_ref, y_ref, ra, dec = float(grid.x_ref or 0.0), float(grid.y_ref or 0.0), grid.ra, grid.dec
    if centre is not None:
        ra, dec = (float(value) for value in check_array("centre", centre, shape=(2,)))
        x_ref, y_ref = pixel(ra, check_scalar("centre[1]", dec, minimum=-90.0, maximum=90.0))
        if not (-0.5 <= x_ref <= grid.nx - 0.5 and -0.5 <= y_ref <= grid.ny - 0.5):
            middle = "" if grid.ra is None else f", whose middle is at [{grid.ra:.5f}, {grid.dec:.5f}]"
            raise InputError("centre", [ra, dec], f"a position on the cube{middle}", "It is (ra, dec) in ICRS degrees.")
    if size is not None:
        half = 0.5 * check_scalar("size", size, minimum=0.0, exclusive=True) / grid.cell + ROUNDING
        rows, columns = (
            slice(max(0, math.ceil(at - half)), max(0, min(n, math.floor(at + half) + 1)))
            for at, n in ((y_ref, grid.ny), (x_ref, grid.nx))
        )
        if rows.start >= rows.stop or columns.start >= columns.stop:
            raise InputError("size", size, f"a box that holds the centre of a pixel of {grid.cell:g} arcsec")
        y, x = _both("size and box", y, rows), _both("size and box", x, columns)
    return (v, y, x), (x_ref, y_ref, ra, dec)


def mask_box(use: np.ndarray, grid: CubeGrid, beam: Any) -> Slices | None:
    """Return the smallest box that holds what a mask allows, with a beam and a channel round it; None if it is empty.

    A plane is looked at at a time, so that a mask that is mapped from its file never has to fit into memory.
    """
    found = [[n, 0] for n in use.shape]
    for v, plane in enumerate(use):
        allowed = np.isfinite(plane) & (plane != 0)
        if allowed.any():
            sides = (np.array([v]), *(np.flatnonzero(allowed.any(axis=axis)) for axis in (1, 0)))
            for ends, k in zip(found, sides, strict=True):
                ends[:] = min(ends[0], int(k[0])), max(ends[1], int(k[-1]) + 1)
    if found[0][0] >= found[0][1]:
        return None
    around = 3 if beam is None else math.ceil(beam.bmaj / grid.cell - ROUNDING)
    v_part, y_part, x_part = (
        slice(max(start - margin, 0), min(stop + margin, n))
        for (start, stop), margin, n in zip(found, (1, around, around), use.shape, strict=True)
    )
    return v_part, y_part, x_part


def _whole(shape: tuple[int, ...]) -> Slices:
    nv, ny, nx = shape
    return slice(0, nv), slice(0, ny), slice(0, nx)


def _check_box(box: Any, shape: tuple[int, ...]) -> Slices:
    expected = f"((v0, v1), (y0, y1), (x0, x1)) within the shape {shape}, the first below the end, None for an axis"
    try:
        pairs = [(0, n) if part is None else tuple(part) for part, n in zip(box, shape, strict=True)]
        whole = all(len(pair) == 2 and all(not isinstance(k, bool) and int(k) == k for k in pair) for pair in pairs)
    except (TypeError, ValueError, OverflowError):
        raise InputError("box", repr(box), expected) from None
    if not whole or not all(0 <= a < b <= n for (a, b), n in zip(pairs, shape, strict=True)):
        raise InputError("box", repr(box), expected)
    v, y, x = (slice(int(a), int(b)) for a, b in pairs)
    return v, y, x


def _both(name: str, one: slice, other: slice) -> slice:
    start, stop = max(one.start, other.start), min(one.stop, other.stop)
    if start >= stop:
        got = f"pixels {one.start} to {one.stop} and {other.start} to {other.stop}"
        raise InputError(name, got, "two that overlap")
    return slice(start, stop)


def _reference(layout: Layout, centre: Sequence[float]) -> tuple[float, float, float, float]:
    ra, dec = (float(value) for value in centre)
    return (*layout.pixel(ra, dec), ra, dec)


def _placed(layout: Layout, slices: Slices, place: tuple[float, float, float | None, float | None] | None) -> Layout:
    """Return the layout of a box; ``place`` is its reference position in the whole cube, default its own middle."""
    v, y, x = slices
    box = layout.cropped(v, y, x)
    if place is None:
        return box
    x_ref, y_ref, ra, dec = place
    return dataclasses.replace(box, grid=box.grid.replace(ra=ra, dec=dec, x_ref=x_ref - x.start, y_ref=y_ref - y.start))


def _within_mask(path: PathLike, layout: Layout, slices: Slices) -> Slices:
    """Return the part of a box that a mask allows anything in."""
    values = _read_companion("mask", path, layout, layout.box(*slices))
    found = mask_box(values, layout.grid, layout.beam)
    if found is None:
        raise InputError("mask", "zero everywhere in the box that is read", "voxels that are not zero", str(path))
    v, y, x = (
        slice(part.start + inner.start, part.start + inner.stop) for part, inner in zip(slices, found, strict=True)
    )
    return v, y, x


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


def _of_noise(name: str, kind: str, remark: str, data: FloatArray, sigma: FloatArray) -> list[tuple[str, bool]]:
    """Say what the noise is, and how the scatter of line-free voxels compares with it."""
    said = [(f"noise of each voxel from {name}, which holds the {kind}" + (f"; {remark}" if remark else ""), False)]
    ratio = estimate_rms(data / sigma)
    if ratio > 0.0 and max(ratio, 1.0 / ratio) > REMARKED:
        why = "does it mean something else?" if max(ratio, 1.0 / ratio) > DOUBTED else "fits scale it by that"
        text = f"line-free voxels scatter {ratio:.3g} times as much as {name} states: {why}"
        said.append((text, max(ratio, 1.0 / ratio) > DOUBTED))
    return said


def _read_mask(path: PathLike, layout: Layout, index: tuple[slice | int, ...]) -> np.ndarray:
    """Read the part of a mask that belongs to the box."""
    values = _read_companion("mask", path, layout, index)
    use = np.asarray(np.isfinite(values) & (values != 0))
    if not use.any():
        raise InputError("mask", "zero everywhere in the box that is read", "voxels that are not zero", str(path))
    return use


def _read_companion(
    name: str, path: PathLike, layout: Layout, index: tuple[slice | int, ...], is_map: bool = False
) -> np.ndarray:
    """Read the part of a file that belongs to the box; its axes are the cube's, axes of length 1 left aside.

    If `is_map` the file may have the sky axes alone, and so has then what is returned.
    """
    with ImageFile(path) as image:
        cards = Cards(image.header)
        shape = tuple(cards.integer(f"NAXIS{axis}") or 0 for axis in range(cards.integer("NAXIS") or 0, 0, -1))
        long, spectral = [n for n in shape if n > 1], layout.axes[0]
        parts = {k: part for k, part in enumerate(index) if layout.file_shape[k] > 1}
        is_flat = is_map and long == [layout.file_shape[k] for k in parts if k != spectral]
        if is_flat:
            parts.pop(spectral, None)
        elif long != [layout.file_shape[k] for k in parts]:
            also = " or its sky axes alone" if is_map else ""
            raise InputError(f"the shape of {name}", shape, f"{layout.file_shape}, as the cube in its file{also}")
        if is_flat or len(shape) == len(layout.file_shape):
            _check_directions(name, cards, layout)
        rest = iter(parts.values())
        values = image.read(tuple(next(rest) if n > 1 else 0 for n in shape))
    lengths = [
        1 if is_flat and k == spectral else part.stop - part.start
        for k, part in enumerate(index)
        if isinstance(part, slice)
    ]
    cube = layout.to_cube(np.asarray(values).reshape(lengths))
    return np.asarray(cube[0] if is_flat else cube)


def _check_directions(name: str, cards: Cards, layout: Layout) -> None:
    """Refuse a file whose own WCS runs the other way: its voxels would be laid on the wrong ones."""
    for axis in range(1, len(layout.file_shape) + 1):
        same_type = cards.text(f"CTYPE{axis}")[:4] == layout.header[f"CTYPE{axis}"][:4] != ""
        step = cards.number(f"CDELT{axis}")
        if same_type and step and step * layout.header[f"CDELT{axis}"] < 0 and layout.file_shape[-axis] > 1:
            message = f"is {step:g} in the {name}, of the other sign than in the cube."
            raise HeaderError(f"CDELT{axis}", message, f"Write the {name} on the cube's own axes.")
