"""Reading FITS cubes: `read_cube`, and the maps that belong to one.

Reading turns whatever the file holds into data (nv, ny, nx) with ascending velocity, x growing West and y North, in
64-bit floats (cubes above `DOUBLE_VOXELS` stay in 32-bit ones); what was assumed is in `Cube.warnings`, and what
changes numbers is also a `KinmsWarning`. `Cube.header` then describes the very box that was read, in the file's own
axis order and directions but in the standard's cards, and writing (`kinms.fits_write`) returns to those.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence

import numpy as np

from kinms.cube import Cube
from kinms.errors import FileError, HeaderError, InputError, KinmsWarning
from kinms.fits_cards import Cards
from kinms.fits_file import ImageFile, PathLike
from kinms.fits_layout import Layout, read_header
from kinms.noise import estimate_rms
from kinms.records import FloatArray, check_array, check_scalar

__all__ = ["DOUBLE_VOXELS", "as_floats", "box_rms", "cut_box", "open_layout", "read_cube", "read_gain", "warn_of"]

#: Cubes up to this size are held in 64-bit floats (512 MiB); larger ones stay in the file's 32-bit floats.
DOUBLE_VOXELS = 2**26

#: Rounding, in pixels or channels, that decides nothing.
ROUNDING = 1e-6


def read_cube(
    path: PathLike,
    *,
    hdu: int | str | None = None,
    rest_frequency: float | None = None,
    rest_wavelength: float | None = None,
    velocity_range: Sequence[float] | None = None,
    centre: Sequence[float] | None = None,
    size: float | None = None,
    convention: str | None = None,
    mask: PathLike | None = None,
) -> Cube:
    """Read a spectral cube of any telescope.

    Parameters
    ----------
    path : path
        FITS file, plain or gzipped.
    hdu : int or str, optional
        Number or EXTNAME; default the first image with three or more axes that is not a variance or quality array.
    rest_frequency, rest_wavelength : float, optional
        Of the line, Hz, or m in vacuum; comes before the header's.
    velocity_range : (low, high), optional
        km/s; keeps the channels whose centres lie inside.
    centre : (ra, dec), optional
        ICRS degrees of the reference position, from which ``east`` and ``north`` count. Default: the centre of
        pixel ``n // 2`` on each axis.
    size : float, optional
        arcsec; keeps the pixels whose centres lie in a square box of that side round the reference position.
    convention : {"radio", "optical", "relativistic"}, optional
        In which velocities are wanted; default as the header declares, else radio.
    mask : path, optional
        FITS file of the cube's shape; voxels that are non-zero there may be used.

    Returns
    -------
    Cube
        Its ``rms`` is measured on all finite voxels of the box, inside and outside of the mask. ``flipped`` names
        the axes (``velocity``, ``x``, ``y``) that run the other way in the file.

    Raises
    ------
    FileError
        If the file is missing, truncated, not FITS, or holds no finite voxel.
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
    >>> from kinms.grid import CubeGrid, Beam
    >>> cube = Cube(np.ones((4, 8, 8)), CubeGrid((4, 8, 8), cell=1.0, dv=10.0, v_ref=500.0), Beam(3.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_cube(os.path.join(folder, "ones.fits"), cube)
    ...     read_cube(os.path.join(folder, "ones.fits"), velocity_range=(475, 515)).grid.velocities
    array([480., 490., 500., 510.])
    """
    with ImageFile(path, hdu) as image:
        layout = open_layout(image, rest_frequency, rest_wavelength, convention)
        box, slices = cut_box(layout, velocity_range, centre, size)
        index = layout.box(*slices)
        data = np.ascontiguousarray(layout.to_cube(as_floats(image.read(index))))
    rms = box_rms(path, data)
    use = None if mask is None else _read_mask(mask, layout, index)
    warn_of(box, 3)
    return Cube(
        data,
        box.grid,
        box.beam,
        unit=box.unit,
        mask=use,
        rms=rms,
        spectral=box.spectral,
        header=box.header,
        flipped=layout.flipped,
        warnings=box.warnings,
    )


def read_gain(
    path: PathLike,
    cube: PathLike,
    *,
    hdu: int | str | None = None,
    rest_frequency: float | None = None,
    rest_wavelength: float | None = None,
    velocity_range: Sequence[float] | None = None,
    centre: Sequence[float] | None = None,
    size: float | None = None,
    convention: str | None = None,
) -> FloatArray:
    """Read the map of the sensitivity that belongs to a cube.

    Parameters
    ----------
    path : path
        FITS file of the cube's shape, or of its sky axes alone.
    cube : path
        The cube.
    hdu, rest_frequency, rest_wavelength, velocity_range, centre, size, convention : optional
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
        layout = open_layout(image, rest_frequency, rest_wavelength, convention)
        _, slices = cut_box(layout, velocity_range, centre, size)
    gain = _read_companion("gain", path, layout, layout.box(*slices), is_map=True)
    with np.errstate(invalid="ignore"):
        if not np.any(np.isfinite(gain) & (gain > 0)):
            expected = "the sensitivity at each position"
            raise InputError("gain", "positive nowhere in the box that is read", expected, str(path))
    return as_floats(gain)


def open_layout(image: ImageFile, frequency: float | None, wavelength: float | None, convention: str | None) -> Layout:
    """Return the layout of an open file, under what the user said of its line and convention."""
    return read_header(
        image.header,
        rest_frequency=frequency,
        rest_wavelength=wavelength,
        convention=convention,
        beams=image.beams,
    )


def box_rms(path: PathLike, data: FloatArray) -> float:
    """Return the noise of a box, or refuse one without any finite voxel."""
    finite = np.isfinite(data)
    if not finite.any():
        raise FileError(path, "holds no finite voxel in what was read: all are NaN.", "Check the file and the cuts.")
    return estimate_rms(data, finite)


def as_floats(array: np.ndarray) -> FloatArray:
    """Return an array as floats: 64-bit ones unless it is large."""
    small = array.size <= DOUBLE_VOXELS or array.dtype.kind != "f" or array.dtype.itemsize > 4
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
        return array.astype(np.float64 if small else np.float32)


def warn_of(layout: Layout, stacklevel: int) -> None:
    """Give the warnings that reading a header raised."""
    for text, alarm in layout.notes:
        if alarm:
            warnings.warn(text, KinmsWarning, stacklevel=stacklevel)


def cut_box(
    layout: Layout, velocity_range: Sequence[float] | None, centre: Sequence[float] | None, size: float | None
) -> tuple[Layout, tuple[slice, slice, slice]]:
    """Return the layout of the box that is wanted, and its slices (velocity, y, x) of the whole cube."""
    grid = layout.grid
    v = slice(0, grid.nv)
    if velocity_range is not None:
        low, high = check_array("velocity_range", velocity_range, shape=(2,))
        if low >= high:
            raise InputError("velocity_range", [float(low), float(high)], "[low, high] in km/s with low < high")
        slack = ROUNDING * grid.dv
        inside = np.flatnonzero((layout.velocities >= low - slack) & (layout.velocities <= high + slack))
        if inside.size == 0:
            known = (
                f"the centre of a channel inside; they go from {layout.velocities[0]:g} to {layout.velocities[-1]:g}"
            )
            raise InputError("velocity_range", [float(low), float(high)], known)
        v = slice(int(inside[0]), int(inside[-1]) + 1)
    x_ref, y_ref, ra, dec = float(grid.nx // 2), float(grid.ny // 2), grid.ra, grid.dec
    if centre is not None:
        ra, dec = (float(value) for value in check_array("centre", centre, shape=(2,)))
        x_ref, y_ref = layout.pixel(ra, check_scalar("centre[1]", dec, minimum=-90.0, maximum=90.0))
        if not (-0.5 <= x_ref <= grid.nx - 0.5 and -0.5 <= y_ref <= grid.ny - 0.5):
            where = f"a position on the cube, whose middle is at [{grid.ra:.5f}, {grid.dec:.5f}]"
            raise InputError("centre", [ra, dec], where, "It is (ra, dec) in ICRS degrees.")
    y, x = slice(0, grid.ny), slice(0, grid.nx)
    if size is not None:
        half = 0.5 * check_scalar("size", size, minimum=0.0, exclusive=True) / grid.cell + ROUNDING
        y, x = (
            slice(max(0, math.ceil(at - half)), min(n, math.floor(at + half) + 1))
            for at, n in ((y_ref, grid.ny), (x_ref, grid.nx))
        )
        if y.start >= y.stop or x.start >= x.stop:
            raise InputError("size", size, f"a box that holds the centre of a pixel of {grid.cell:g} arcsec")
    box = layout.cropped(v, y, x)
    placed = box.grid.replace(ra=ra, dec=dec, x_ref=x_ref - x.start, y_ref=y_ref - y.start)
    return dataclasses.replace(box, grid=placed), (v, y, x)


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
