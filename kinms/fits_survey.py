"""What a cube is, in plain numbers: `describe` for people, `read_obspars` for scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kinms.cube import Cube
from kinms.errors import InputTypeError
from kinms.fits_file import ImageFile, PathLike
from kinms.fits_layout import Layout, read_header
from kinms.fits_read import as_floats, box_rms, cut_box, open_layout, warn_of
from kinms.noise import estimate_rms

__all__ = ["SURVEY_VOXELS", "describe", "read_obspars"]

#: `describe` and `read_obspars` measure the noise on evenly spaced channels that make about this many voxels.
SURVEY_VOXELS = 2**23


def describe(cube: Cube | PathLike, **selection: Any) -> dict[str, Any]:
    """Say what a cube is, as plain numbers and strings: the object that ``kinms info --json`` prints.

    Parameters
    ----------
    cube : Cube or path
        A file above `SURVEY_VOXELS` is not read whole: its rms is that of evenly spaced channels.
    **selection
        For a path, as `read_cube`'s, but ``mask``.

    Returns
    -------
    dict
        ``shape`` [nv, ny, nx], ``cell_arcsec``, ``dv_kms``, ``v_min_kms``, ``v_max_kms`` (exact centres of the
        first and last channel, ascending), ``convention``, ``frame``, ``rest_value``, ``rest_unit``, ``beam``
        ({``bmaj_arcsec``, ``bmin_arcsec``, ``bpa_deg``} or None), ``bunit``, ``ra_deg``, ``dec_deg``, ``flipped``,
        ``rms``, ``warnings``.

    Raises
    ------
    FileError, HeaderError, InputError
        As `read_cube`.
    """
    if isinstance(cube, Cube):
        if selection:
            raise InputTypeError(", ".join(selection), "given", "a path", "A Cube is described as it is.")
        grid, beam, spectral, unit = cube.grid, cube.beam, cube.spectral, cube.unit
        flipped, notes, rms = cube.flipped, cube.warnings, cube.rms
        velocities = grid.velocities
        if cube.header is not None:
            velocities = read_header(cube.header, convention=spectral.convention).velocities
        if rms is None:
            rms = estimate_rms(cube.data, cube.valid)
    else:
        layout, rms = _survey(cube, **selection)
        grid, beam, spectral, unit = layout.grid, layout.beam, layout.spectral, layout.unit
        flipped, notes, velocities = layout.flipped, layout.warnings, layout.velocities
    return {
        "shape": list(grid.shape),
        "cell_arcsec": grid.cell,
        "dv_kms": grid.dv,
        "v_min_kms": float(velocities[0]),
        "v_max_kms": float(velocities[-1]),
        "convention": spectral.convention,
        "frame": spectral.frame,
        "rest_value": spectral.rest_value,
        "rest_unit": spectral.rest_unit,
        "beam": None if beam is None else {"bmaj_arcsec": beam.bmaj, "bmin_arcsec": beam.bmin, "bpa_deg": beam.bpa},
        "bunit": unit,
        "ra_deg": grid.ra,
        "dec_deg": grid.dec,
        "flipped": list(flipped),
        "rms": rms,
        "warnings": list(notes),
    }


def read_obspars(path: PathLike, **selection: Any) -> dict[str, Any]:
    """Read the observing set-up of a cube, under the names that scripts use.

    Parameters
    ----------
    path : path
        FITS file.
    **selection
        As `read_cube`'s, but ``mask``.

    Returns
    -------
    dict
        ``xsize, ysize`` (arcsec), ``vsize`` (km/s), ``cellsize`` (arcsec), ``dv`` (km/s), ``beamsize`` (array of
        bmaj, bmin in arcsec and bpa in deg; None without a beam), ``nx, ny, nv``, ``v_sys`` (km/s, velocity of the
        centre of channel ``nv // 2``: the zero of a model cube of this size), ``ra, dec`` (ICRS deg of the
        reference position), ``rest_freq`` (Hz or None), ``bunit``, ``rms``.

    Raises
    ------
    FileError, HeaderError, InputError
        As `read_cube`.
    """
    layout, rms = _survey(path, **selection)
    grid, beam = layout.grid, layout.beam
    return {
        "xsize": grid.nx * grid.cell,
        "ysize": grid.ny * grid.cell,
        "vsize": grid.nv * grid.dv,
        "cellsize": grid.cell,
        "dv": grid.dv,
        "beamsize": None if beam is None else np.array([beam.bmaj, beam.bmin, beam.bpa], dtype=float),
        "nx": grid.nx,
        "ny": grid.ny,
        "nv": grid.nv,
        "v_sys": grid.v_ref,
        "ra": grid.ra,
        "dec": grid.dec,
        "rest_freq": grid.rest_frequency,
        "bunit": layout.unit,
        "rms": rms,
    }


def _survey(
    path: PathLike,
    *,
    hdu: int | str | None = None,
    rest_frequency: float | None = None,
    rest_wavelength: float | None = None,
    velocity_range: Sequence[float] | None = None,
    centre: Sequence[float] | None = None,
    size: float | None = None,
    convention: str | None = None,
) -> tuple[Layout, float]:
    """Return the layout of a cube and its rms, reading no more than `SURVEY_VOXELS` of it."""
    with ImageFile(path, hdu) as image:
        layout = open_layout(image, rest_frequency, rest_wavelength, convention)
        box, (v, y, x) = cut_box(layout, velocity_range, centre, size)
        step = -(-math.prod(box.grid.shape) // SURVEY_VOXELS)
        parts = [v] if step == 1 else [slice(k, k + 1) for k in range(v.start, v.stop, step)]
        data = np.concatenate([layout.to_cube(as_floats(image.read(layout.box(part, y, x)))) for part in parts])
    rms = box_rms(path, data)
    warn_of(box, 4)
    return box, rms
