"""The part of a cube that is wanted: cuts in velocity, on the sky, in pixels and round a mask."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kinms.errors import InputError
from kinms.fits_layout import Layout
from kinms.grid import CubeGrid
from kinms.records import FloatArray, check_array, check_scalar

__all__ = ["Box", "Slices", "choose_box", "cut_box", "mask_box", "placed", "reference"]

#: Rounding, in pixels or channels, that decides nothing.
ROUNDING = 1e-6

#: ((v0, v1), (y0, y1), (x0, x1)): first and end, None for a whole axis.
Box = Sequence[Sequence[int] | None]
Slices = tuple[slice, slice, slice]


def cut_box(
    layout: Layout,
    velocity_range: Sequence[float] | None = None,
    centre: Sequence[float] | None = None,
    size: float | None = None,
    box: Box | None = None,
) -> tuple[Layout, Slices]:
    """Return the layout of the box that is wanted, and its slices (velocity, y, x) of the whole cube."""
    slices, place = choose_box(layout.grid, layout.velocities, layout.pixel, velocity_range, centre, size, box)
    return placed(layout, slices, None if box is not None and centre is None else place), slices


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


def reference(layout: Layout, centre: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the pixel (x, y) of a position in ICRS degrees, and the position."""
    ra, dec = (float(value) for value in centre)
    return (*layout.pixel(ra, dec), ra, dec)


def placed(layout: Layout, slices: Slices, place: tuple[float, float, float | None, float | None] | None) -> Layout:
    """Return the layout of a box; ``place`` is its reference position in the whole cube, default its own middle."""
    v, y, x = slices
    box = layout.cropped(v, y, x)
    if place is None:
        return box
    x_ref, y_ref, ra, dec = place
    return dataclasses.replace(box, grid=box.grid.replace(ra=ra, dec=dec, x_ref=x_ref - x.start, y_ref=y_ref - y.start))
