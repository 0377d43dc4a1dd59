"""Writing FITS cubes: what was read goes back to its file's axes, and what was made gets the standard's."""

from __future__ import annotations

import math
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from astropy.io import fits

from kinms.cube import Cube
from kinms.errors import InputError, InputTypeError
from kinms.fits_file import PathLike, write_image
from kinms.fits_layout import Layout, read_header
from kinms.grid import CubeGrid

__all__ = ["write_cube"]

#: SPECSYS of a cube made here, whose maker names no frame.
DEFAULT_FRAME = "BARYCENT"

_CTYPES = {"radio": "VRAD", "optical": "VOPT", "relativistic": "VELO"}


def write_cube(
    path: PathLike, cube: Cube, *, overwrite: bool = False, history: Iterable[str] = (), double: bool = False
) -> None:
    """Write a cube as 32-bit FITS.

    A cube that was read goes back to its file's axis order, directions, degenerate axes and spectral type, cut as it
    was read; one that was made has axes RA---SIN, DEC--SIN and VRAD (VOPT, VELO) in m/s, with the reference pixel of
    its grid (RA = Dec = 0 where the grid has no position). The file is complete or not there.

    Parameters
    ----------
    path : path
        A name in .gz makes a gzipped file.
    cube : Cube
        Masked voxels are written as they are.
    overwrite : bool
        Whether an existing file may be replaced.
    history : iterable of str
        Lines for HISTORY, after the one that names this package and its version.
    double : bool
        Whether to write 64-bit numbers instead, which keep every digit.

    Raises
    ------
    OutputExistsError
        If the file exists and ``overwrite`` is false.
    FileError
        If it cannot be written.
    InputError
        If the cube's header describes another grid than the cube has.

    Examples
    --------
    See `read_cube`.
    """
    if not isinstance(cube, Cube):
        raise InputTypeError("cube", type(cube).__name__, "a Cube")
    if cube.header is None:
        header, data = _new_header(cube), cube.data
    else:
        layout = read_header(cube.header, convention=cube.spectral.convention)
        _check_same_grid(layout, cube.grid)
        header, data = layout.header, layout.to_file(cube.data)
    for key in ("BMAJ", "BMIN", "BPA", "BUNIT"):
        header.remove(key, ignore_missing=True)
    if cube.beam is not None:
        header.update(cube.beam.to_radio_beam().to_header_keywords())
    header["BUNIT"] = cube.unit
    try:
        release = version("kinms")
    except PackageNotFoundError:
        release = "(not installed)"
    for line in (f"kinms {release}: written by write_cube", *history):
        header.add_history(" ".join(str(line).encode("ascii", "replace").decode().split()))
    write_image(path, np.ascontiguousarray(data, dtype=">f8" if double else ">f4"), header, overwrite=overwrite)


def _new_header(cube: Cube) -> fits.Header:
    grid, spectral = cube.grid, cube.spectral
    ctype = _CTYPES.get(spectral.convention, "VRAD")
    x_ref, y_ref = (float(value) for value in (grid.x_ref, grid.y_ref) if value is not None)
    axes = (
        ("RA---SIN", "deg", grid.ra or 0.0, -grid.cell / 3600.0, x_ref + 1.0),
        ("DEC--SIN", "deg", grid.dec or 0.0, grid.cell / 3600.0, y_ref + 1.0),
        (ctype, "m/s", 1000.0 * grid.v_ref, 1000.0 * grid.dv, grid.nv // 2 + 1.0),
    )
    header = fits.Header()
    header["WCSAXES"] = 3
    for axis, values in enumerate(axes, start=1):
        for name, value in zip(("CTYPE", "CUNIT", "CRVAL", "CDELT", "CRPIX"), values, strict=True):
            header[f"{name}{axis}"] = value
    header["RADESYS"] = "ICRS"
    header["SPECSYS"] = spectral.frame or DEFAULT_FRAME
    if grid.rest_frequency is not None:
        header["RESTFRQ"] = grid.rest_frequency
    return header


def _check_same_grid(layout: Layout, grid: CubeGrid) -> None:
    """Refuse to write data under a header that places them elsewhere."""
    fix = "Use cube.replace(header=None) to write the cube's own grid."
    if layout.grid.shape != grid.shape:
        raise InputError("the shape that the cube's header describes", layout.grid.shape, f"{grid.shape}", fix)
    shift = np.abs(layout.grid.velocities - grid.velocities).max() / grid.dv
    if shift > 1e-3:
        raise InputError("the velocity axis of the cube's header", f"{shift:.3g} channels off", "the cube's own", fix)
    if grid.ra is not None and grid.dec is not None:
        x, y = layout.pixel(grid.ra, grid.dec)
        offset = math.hypot(x - float(grid.x_ref or 0.0), y - float(grid.y_ref or 0.0))
        if offset > 1e-3 or abs(layout.grid.cell / grid.cell - 1.0) > 1e-6:
            raise InputError("the position in the cube's header", f"{offset:.3g} pixels off", "the cube's own", fix)
