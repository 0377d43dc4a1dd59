"""Headers of cubes that were cut, binned or rebinned after reading: `Cube.header` describes the cube it is of."""

from __future__ import annotations

from collections.abc import Callable

from astropy.io import fits

from kinms.cube import Cube
from kinms.fits_layout import Layout, read_header

__all__ = ["binned_header", "cropped_header", "pixel_of", "velocity_header"]

_CTYPES = {"radio": "VRAD", "optical": "VOPT", "relativistic": "VELO"}


def _layout(cube: Cube) -> Layout:
    return read_header(cube.header, convention=cube.spectral.convention)


def pixel_of(cube: Cube) -> Callable[[float, float], tuple[float, float]] | None:
    """Return what turns ICRS degrees into pixels of a cube that has a header, None without one."""
    return None if cube.header is None else _layout(cube).pixel


def cropped_header(cube: Cube, v: slice, y: slice, x: slice) -> fits.Header | None:
    """Return the header of a box of a cube."""
    return None if cube.header is None else _layout(cube).cropped(v, y, x).header


def binned_header(cube: Cube, channels: int, pixels: int) -> fits.Header | None:
    """Return the header of a cube of which as many channels and pixels (on either axis) were made one.

    Their number must divide the cube's shape. Whatever the projection or the kind of spectral axis, it counts
    steps from CRPIX: n pixels are a step n times as long.
    """
    if cube.header is None:
        return None
    layout = _layout(cube)
    header = layout.header.copy()
    axes = layout.tamed.axes
    for axis, n in ((axes.longitude, pixels), (axes.latitude, pixels), (axes.spectral, channels)):
        header[f"NAXIS{axis}"] //= n
        header[f"CRPIX{axis}"] = (header[f"CRPIX{axis}"] - 0.5) / n + 0.5
        header[f"CDELT{axis}"] *= n
    return header


def velocity_header(cube: Cube, first: float, dv: float, nv: int) -> tuple[fits.Header | None, str]:
    """Return the header of a cube on a regular axis of velocity, and that axis's CTYPE.

    Parameters
    ----------
    cube : Cube
        As it was before.
    first, dv : float
        Centre of the first channel and width of all, km/s, in the cube's own convention.
    nv : int
        Number of channels.
    """
    ctype = _CTYPES[cube.spectral.convention]
    if cube.header is None:
        return None, ctype
    layout = _layout(cube)
    header = layout.header.copy()
    axis = layout.tamed.axes.spectral
    for key in [key for key in header if key.startswith(f"PV{axis}_")]:
        del header[key]
    descending = "velocity" in layout.flipped
    header[f"NAXIS{axis}"] = nv
    header[f"CTYPE{axis}"] = ctype
    header[f"CUNIT{axis}"] = "m/s"
    header[f"CRVAL{axis}"] = 1000.0 * (first + (nv - 1) * dv if descending else first)
    header[f"CDELT{axis}"] = 1000.0 * (-dv if descending else dv)
    header[f"CRPIX{axis}"] = 1.0
    return header, ctype
