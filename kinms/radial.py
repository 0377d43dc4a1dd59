"""Tables of a disc along its radius, and of its line, which the hot loops interpolate; maps from pixels to the disc.

Brightness and velocity are tabulated once per call. Values of the brightness are means over annuli, so that the light
is conserved however steep it is; both are sharpened by what linear interpolation blunts (`kinms.kernels.sky`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from kinms.disc import Disc, sky_axes
from kinms.errors import InputTypeError
from kinms.flows import HARMONICS
from kinms.grid import CubeGrid
from kinms.kernels.line import CUT, LANES, NORMAL, PHASES, lanes_for, line_rows, line_table
from kinms.kernels.sky import radial_steps
from kinms.profiles import BrightnessLaw
from kinms.records import FloatArray

__all__ = [
    "NARROW",
    "Channels",
    "Line",
    "is_narrow",
    "least_cosine",
    "line_of",
    "planes",
    "radial_tables",
    "ring_tables",
    "speed_range",
]

#: Lines narrower than this many channels are not taken from a table.
NARROW = 0.3


class Channels(NamedTuple):
    """Channels with edges of their own as `kinms.kernels.line` wants them; all is empty where they are regular."""

    edges: FloatArray
    places: np.ndarray
    gains: FloatArray
    response: FloatArray

    @classmethod
    def of(cls, grid: CubeGrid) -> Channels:
        """Return those of a grid: regular ones, too, are of this kind where the response depends on them."""
        none = np.zeros(0)
        if grid.edges is None and grid.lsf_sigma is None:
            return cls(none, np.zeros(0, dtype=np.int32), none, none)
        edges = (grid.velocity_edges - grid.velocity_edges[0]) / grid.dv
        edges[-1] = grid.nv  # which rounding may miss
        # A little less than the narrowest channel: no piece holds two edges, whatever rounding does.
        pieces = math.ceil(1.001 / float(np.diff(edges).min()))
        places = np.searchsorted(edges, np.arange(grid.nv * pieces) / pieces, side="right") - 1
        response = none if grid.lsf_sigma is None else grid.lsf_sigma / grid.dv
        return cls(edges, places.astype(np.int32), 1.0 / np.diff(edges), response)


class Line(NamedTuple):
    """Table of a line as the kernels of the sky grid and of points want it; no table where there is none."""

    table: FloatArray
    lanes: int
    reach: int
    bases: np.ndarray
    first_cell: int
    phases: int


def is_narrow(disc: Disc, grid: CubeGrid) -> bool:
    """Return whether the line is anywhere so narrow that nodes alone would turn it into a comb."""
    sigma = disc.sigma_gas if isinstance(disc.sigma_gas, float) else float(np.min(disc.sigma_gas))
    response = 0.0 if grid.lsf_sigma is None else float(grid.lsf_sigma.min())
    return math.hypot(sigma, disc.lsf_sigma, response) < NARROW * grid.dv


def least_cosine(disc: Disc) -> float:
    """Return the least cosine of the inclination, without its sign."""
    if isinstance(disc.inc, float):
        return abs(math.cos(math.radians(disc.inc)))
    return float(np.min(np.abs(np.cos(np.radians(disc.inc)))))


def planes(disc: Disc, grid: CubeGrid, z: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Return the affine maps from pixel positions to disc coordinates, of the light and of the motion, at height z."""
    # Where the orientation depends on radius, these are offsets North and East.
    sin_i, cos_i = (0.0, 1.0) if disc.is_warped else sky_axes(float(disc.inc))
    cos_i = cos_i if abs(cos_i) > 1e-6 else 1e-6
    sin_pa, cos_pa = (0.0, 1.0) if disc.is_warped else sky_axes(float(disc.pa))
    # A layer at z appears shifted by -z sin i along the minor axis, and moves as the midplane below it does.
    shift = -z * sin_i
    east, north = disc.east + shift * cos_pa, disc.north - shift * sin_pa

    def plane(east: float, north: float, sin_pa: float, cos_pa: float) -> FloatArray:
        e, n = float(grid.x_ref or 0.0) * grid.cell - east, -float(grid.y_ref or 0.0) * grid.cell - north
        along = [-grid.cell * sin_pa, grid.cell * cos_pa, e * sin_pa + n * cos_pa]
        across = [-grid.cell * cos_pa / cos_i, -grid.cell * sin_pa / cos_i, (e * cos_pa - n * sin_pa) / cos_i]
        return np.array(along + across)

    light = plane(east, north, sin_pa, cos_pa)
    if not disc.own_kinematics:
        return light, light
    east_kin = (disc.east if disc.east_kin is None else disc.east_kin) + shift * cos_pa
    north_kin = (disc.north if disc.north_kin is None else disc.north_kin) - shift * sin_pa
    axes = (sin_pa, cos_pa) if disc.pa_kin is None else sky_axes(float(disc.pa_kin))
    return light, plane(east_kin, north_kin, *axes)


def _reach(disc: Disc, grid: CubeGrid) -> float:
    """Largest in-plane radius (arcsec) that any pixel of the field can have."""
    # The layers of a thick disc come from further away.
    most = 60.0 * float(np.max(disc.scale_height))
    for plane in planes(disc, grid):
        a, b, c, d, e, f = plane.tolist()
        for x in (-0.5, grid.nx - 0.5):
            for y in (-0.5, grid.ny - 0.5):
                most = max(most, math.hypot(a * x + b * y + c, d * x + e * y + f))
    return most / least_cosine(disc) if disc.is_warped else most


def radial_tables(disc: Disc, grid: CubeGrid, per_pixel: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return brightness and rotation, azimuthal harmonics, and line widths at radii k cell / per_pixel.

    Returns
    -------
    radial : ndarray, shape (n, 4)
        Brightness, its steps, velocity (km/s), its steps; no light at the last radius.
    harmonics : ndarray, shape (n, 14) or (0, 14)
        Values and steps of the harmonics; empty where the disc only rotates.
    widths : ndarray, shape (n, 2) or (1, 2)
        Line widths (channels; the grid's own response comes on top) and steps; one where it does not depend on radius.
    """
    light, rotation = disc.surface_brightness, disc.rotation
    if not isinstance(light, BrightnessLaw):
        raise InputTypeError("surface_brightness", type(light).__name__, "a brightness law")
    if rotation is None:
        raise InputTypeError("rotation", "None", "a rotation law")
    h = grid.cell / per_pixel
    reach = _reach(disc, grid)
    n = math.ceil((reach if disc.own_kinematics else min(light.r_max, reach)) / h) + 3
    r = h * np.arange(n)
    middles = np.empty(n + 1)
    middles[0], middles[1:] = 0.0, r + 0.5 * h
    radial = np.empty((n, 4))
    radial_steps(light.within(middles), rotation(r), float(rotation(middles[1:2])[0]), h, radial)
    harmonics = np.zeros((0, 2 * HARMONICS))
    series = None if disc.flow is None else disc.flow.harmonics(r)
    if series is not None:
        harmonics = np.zeros((n, 2 * HARMONICS))
        harmonics[:, ::2] = series.T
        harmonics[:, 2] += radial[:, 2]
        harmonics[:-1, 1::2] = np.diff(harmonics[:, ::2], axis=0)
    if isinstance(disc.sigma_gas, float):
        widths = np.array([[math.hypot(disc.sigma_gas, disc.lsf_sigma) / grid.dv, 0.0]])
    else:
        widths = np.zeros((n, 2))
        widths[:, 0] = disc.line_sigma(r) / grid.dv
        widths[:-1, 1] = np.diff(widths[:, 0])
    return radial, harmonics, widths


def speed_range(radial: FloatArray, harmonics: FloatArray, per_kms: float) -> float:
    """Return how many channels, at most, a line lies from the systemic velocity, by the tables of `radial_tables`."""
    values = harmonics[:, ::2] if harmonics.size else radial[:, 2:3]
    return float(np.abs(values).sum(axis=1).max() * abs(per_kms))


def line_of(disc: Disc, grid: CubeGrid, channels: Channels, span: tuple[float, float] = (-np.inf, np.inf)) -> Line:
    """Return the table of the line, its lanes and how many of them hold anything on either side.

    An empty table where widths depend on radius or are narrow: those lines come from their distribution function.
    Between channels with edges of their own the table is one of places along the axis; it covers centres within
    ``span``, in mean channels.
    """
    none = np.zeros(0, dtype=np.int32)
    if not isinstance(disc.sigma_gas, float) or is_narrow(disc, grid):
        return Line(np.zeros(0, dtype=np.float32), LANES, 0, none, 0, PHASES)
    sigma = math.hypot(disc.sigma_gas, disc.lsf_sigma) / grid.dv
    if channels.edges.size:
        rows, lanes, bases, first_cell, phases = line_rows(*span, sigma, tuple(channels), NORMAL)
        return Line(rows, lanes, lanes // 2, bases, first_cell, phases)
    lanes = lanes_for(sigma)
    table = np.zeros((PHASES + 1, lanes + 2 * LANES), dtype=np.float32)
    line_table(table, sigma, NORMAL)
    return Line(table.reshape(-1), lanes, math.ceil(CUT * sigma + 0.5), none, 0, PHASES)


def ring_tables(disc: Disc, grid: CubeGrid, per_pixel: int, n: int) -> FloatArray:
    """Orientation of rings at the radii of the tables: sin pa, cos pa, 1 / cos i, sin i, each with its steps."""
    if not disc.is_warped:
        return np.zeros((0, 8))
    r = np.arange(n) * (grid.cell / per_pixel)
    sin_i, cos_i = sky_axes(disc.at_radius("inc", r))
    rings = np.zeros((n, 8))
    rings[:, 0], rings[:, 2] = sky_axes(disc.at_radius("pa", r))
    rings[:, 4], rings[:, 6] = 1.0 / cos_i, sin_i
    rings[:-1, 1::2] = np.diff(rings[:, ::2], axis=0)
    return rings
