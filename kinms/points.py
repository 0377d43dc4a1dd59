"""Points: deterministic ones for what no grid on the sky can follow, and those that users hand in.

`RingPoints`
    Edge-on discs, warps whose rings cross, flared and very thick discs, narrow lines in either, and light too steep
    for the pixels: points of equal weight, with R from the exact inverse of the cumulative light. They form a
    (0, m, 3)-net in base 2 (Hammersley's points with the first two dimensions of Sobol's sequence; Niederreiter 1992,
    ch. 4), evenly spaced in the light within R.
`CloudletPoints`
    What the user gives, streamed in blocks.

A point belongs to its pixel and, close to an edge, to the neighbour as well, so that the cube is smooth in all
parameters. That blunts the image by a known transfer function, which the beam takes out again (`kinms.convolution`).
With ``reference="sky"`` the pixel's own box is taken out too, and the result is the sky convolved with the beam at the
centres of the pixels, as an interferometer has it.

The error is estimated from two halves of the points that are shifted at random against each other (Cranley & Patterson
1976): they sample the same integral independently. It falls nearly with the number of points.
"""

from __future__ import annotations

import functools

import numpy as np

from kinms.disc import Cloudlets, Disc, sky_axes
from kinms.errors import InputTypeError
from kinms.grid import CubeGrid
from kinms.kernels.line import NORMAL
from kinms.kernels.points import invert_cumulative, place_points, scatter
from kinms.profiles import BrightnessLaw, TableProfile
from kinms.radial import Channels, Line, line_of
from kinms.records import FloatArray
from kinms.sparse import SparseCube

__all__ = ["COPIES", "SKY", "SOFT", "CloudletPoints", "RingPoints"]

#: Width (pixels) of the soft edges between pixels, for pixel-integrated models and for the sky at pixel centres.
SOFT, SKY = 0.08, 2.0
#: Rows of the radial table.
ROWS = 4096
#: Points handled at a time.
CHUNK = 1 << 15
#: Independent sets of points.
COPIES = 2
_SHIFTS = np.random.Generator(np.random.PCG64(np.random.SeedSequence(20201))).random((COPIES, 3))


def _net(first: int, stop: int) -> tuple[FloatArray, FloatArray]:
    """Elements ``first`` to ``stop`` of Sobol's sequence in two dimensions (Sobol 1967)."""
    index = np.arange(first, stop, dtype=np.uint64)
    # The generator matrix is Pascal's triangle modulo 2: the product, in Kronecker's sense, of ((1, 1), (0, 1)) with
    # itself, once for every power of two in the length of a word.
    sums = index.copy()
    for shift, mask in _HALVES:
        sums ^= (sums >> shift) & mask
    return _reversed_digits(index), _reversed_digits(sums)


#: How far apart, and which, the bits are that change places when the order of a word's 64 bits is reversed.
_HALVES = [
    (np.uint64(step), np.uint64(sum(((1 << step) - 1) << at for at in range(0, 64, 2 * step))))
    for step in (1, 2, 4, 8, 16, 32)
]


def _reversed_digits(bits: np.ndarray) -> FloatArray:
    """Return the numbers in [0, 1) whose binary digits, from the first one on, are the bits from the lowest one on."""
    for shift, mask in _HALVES:
        bits = ((bits >> shift) & mask) | ((bits & mask) << shift)
    return np.asarray(bits * 0.5**64)


@functools.lru_cache(maxsize=64)
def _chunk(copy: int, n: int, first: int, stop: int) -> tuple[FloatArray, ...]:
    """Some of the n points of a copy: place in the radial table, cosine and sine of the azimuth, height."""
    shift = _SHIFTS[copy]
    u = (np.arange(first, stop) + shift[0]) / n
    v, z = _net(first, stop)
    theta = 2.0 * np.pi * ((v + shift[1]) % 1.0)
    z = (z + shift[2]) % 1.0
    half = np.maximum(np.where(z < 0.5, 2.0 * z, 2.0 - 2.0 * z), 1e-300)
    height = np.where(z < 0.5, -1.0, 1.0) * np.log(half)  # quantiles of exp(-|z|) / 2
    # Rows of the table lie densely where the light begins and where it ends: u = t^2 (3 - 2 t).
    t = 0.5 - np.sin(np.arcsin(1.0 - 2.0 * u) / 3.0)
    return t * (ROWS - 1), np.cos(theta), np.sin(theta), height


class RingPoints:
    """A disc as ``n`` points of equal weight.

    Parameters
    ----------
    grid : CubeGrid
        The pixels.
    n : int
        Points in all.
    width : float
        Of the soft edges between pixels.
    """

    name = "points"

    def __init__(self, grid: CubeGrid, n: int, width: float) -> None:
        self.grid, self.width = grid, width
        self.n = max(n // COPIES, 1)
        self.channels = Channels.of(grid)

    def deposit(self, disc: Disc, cube: SparseCube) -> int:
        """Replace what is in ``cube`` by the disc, Jy per pixel, and return the number of points."""
        cube.clear()
        rings = self.rings(disc)
        for copy in range(COPIES):
            self.add(disc, rings, cube, copy)
        return self.n * COPIES

    def add(self, disc: Disc, rings: tuple[FloatArray, FloatArray, Line], cube: SparseCube, copy: int) -> None:
        """Add one copy of the points, with its part of the flux, where the disc's `rings` are."""
        r, table, line = rings
        simple = disc.flow is None and not disc.own_kinematics
        none = np.zeros(0)
        for first in range(0, self.n, CHUNK):
            s, c, d, z = _chunk(copy, self.n, first, min(first + CHUNK, self.n))
            x, y, u, sigma, weight = np.empty((5, s.size))
            place_points(s, c, d, z if disc.is_thick else none, table, x, y, u, sigma, weight)
            if not simple:
                u = self._channels(disc, r, s, c, d)
            scatter(
                cube.flat, cube.hull, cube.shape, *cube.field, cube.nv, x, y, u, sigma, weight, self.width,
                *line, NORMAL, tuple(self.channels),
            )  # fmt: skip

    def _radii(self, disc: Disc) -> tuple[FloatArray, FloatArray]:
        """Radii (arcsec) of the rows of the table, and the flux density that each point there stands for, times n."""
        light = disc.surface_brightness
        if not isinstance(light, BrightnessLaw):
            raise InputTypeError("surface_brightness", type(light).__name__, "a brightness law")
        radius, brightness = _without_sign_changes(light.table())
        positive = TableProfile(radius, np.abs(brightness))
        cumulative = np.concatenate([[0.0], np.cumsum(positive.segment_light())])
        t = np.linspace(0.0, 1.0, ROWS)
        r = invert_cumulative(t**2 * (3.0 - 2.0 * t) * cumulative[-1], cumulative, radius, np.abs(brightness))
        # Where emission and absorption mix, points follow |Sigma| and carry its sign.
        flux = disc.flux / self.grid.dv * cumulative[-1] / light.total()
        if brightness.min() >= 0.0 or brightness.max() <= 0.0:
            return r, np.full(ROWS, flux * float(np.sign(brightness.sum())))
        return r, flux * np.sign(np.interp(r, radius, brightness))

    def rings(self, disc: Disc) -> tuple[FloatArray, FloatArray, Line]:
        """Return what all copies share.

        Radii (arcsec), the rows of `kinms.kernels.points.place_points` there, and the table of the line.
        """
        grid = self.grid
        r, flux = self._radii(disc)
        sin_i, cos_i = sky_axes(disc.at_radius("inc", r))
        sin_pa, cos_pa = sky_axes(disc.at_radius("pa", r))
        table = np.empty((ROWS, 12))
        table[:, 0] = float(grid.x_ref or 0.0) - disc.east / grid.cell
        table[:, 1] = float(grid.y_ref or 0.0) + disc.north / grid.cell
        table[:, 2], table[:, 3] = -r * sin_pa / grid.cell, r * cos_pa / grid.cell
        table[:, 4], table[:, 5] = -r * cos_i * cos_pa / grid.cell, -r * cos_i * sin_pa / grid.cell
        h = disc.at_radius("scale_height", r)
        table[:, 6], table[:, 7] = h * sin_i * cos_pa / grid.cell, h * sin_i * sin_pa / grid.cell
        table[:, 8] = (disc.v_sys - grid.velocity_edges[0]) / grid.dv
        table[:, 9] = 0.0 if disc.rotation is None else disc.rotation(r) * sin_i / grid.dv
        table[:, 10] = disc.line_sigma(r) / grid.dv
        table[:, 11] = flux * (1.0 / COPIES / self.n)
        # Where velocities are more than a rotation they may be anywhere.
        reach = np.inf if disc.flow is not None or disc.own_kinematics else np.abs(table[:, 9]).max()
        line = line_of(disc, grid, self.channels, (table[0, 8] - reach, table[0, 8] + reach))
        return r, table, line

    def _channels(self, disc: Disc, r: FloatArray, s: FloatArray, c: FloatArray, d: FloatArray) -> FloatArray:
        """Channels of points whose velocities are more than a rotation."""
        k = np.minimum(s.astype(np.int64), ROWS - 2)
        radius = r[k] + (s - k) * (r[k + 1] - r[k])
        v = disc.v_sys + disc.line_of_sight(radius * c, radius * d, radius)
        return np.asarray((v - self.grid.velocity_edges[0]) / self.grid.dv)


class CloudletPoints:
    """The user's own points.

    Parameters
    ----------
    grid : CubeGrid
        The pixels.
    width : float
        Of the soft edges between pixels; 0: each point in its nearest one.
    """

    name = "cloudlets"

    def __init__(self, grid: CubeGrid, width: float) -> None:
        self.grid, self.width = grid, width
        self.channels = Channels.of(grid)

    def deposit(self, disc: Disc, cube: SparseCube) -> int:
        """Replace what is in ``cube`` by the cloudlets, Jy per pixel, and return their number."""
        grid, clouds = self.grid, disc.surface_brightness
        if not isinstance(clouds, Cloudlets):
            raise InputTypeError("surface_brightness", type(clouds).__name__, "Cloudlets")
        cube.clear()
        span = -np.inf, np.inf
        if clouds.v_los is not None and clouds.v_los.size:
            ends = disc.v_sys + np.array([clouds.v_los.min(), clouds.v_los.max()])
            span = tuple((ends - grid.velocity_edges[0]) / grid.dv)
        line = line_of(disc, grid, self.channels, span)
        n = clouds.positions.shape[0]
        total = n if clouds.flux is None else float(clouds.flux.sum())
        for first in range(0, n, CHUNK):
            some = slice(first, first + CHUNK)
            x, y, z = clouds.positions[some].T
            r = np.hypot(x, y)
            if clouds.v_los is None:
                east, north = disc.project(x, y, z, r)
                v_los = disc.v_sys + disc.line_of_sight(x, y, r)
            else:
                east, north = disc.east + x, disc.north + y
                v_los = disc.v_sys + clouds.v_los[some]
            weight = np.ones(r.size) if clouds.flux is None else clouds.flux[some]
            scatter(
                cube.flat, cube.hull, cube.shape, *cube.field, cube.nv,
                float(grid.x_ref or 0.0) - east / grid.cell, float(grid.y_ref or 0.0) + north / grid.cell,
                (v_los - grid.velocity_edges[0]) / grid.dv, disc.line_sigma(r) / grid.dv,
                weight * (disc.flux / grid.dv / total), self.width, *line, NORMAL, tuple(self.channels),
            )  # fmt: skip
        return n


def _without_sign_changes(table: TableProfile) -> tuple[FloatArray, FloatArray]:
    """Radii and brightness with a row at every zero crossing, so that no segment changes sign."""
    r, s = table.radius, table.brightness
    cross = np.flatnonzero(s[:-1] * s[1:] < 0.0)
    if cross.size == 0:
        return r, s
    zero = r[cross] + (r[cross + 1] - r[cross]) * s[cross] / (s[cross] - s[cross + 1])
    order = np.argsort(np.concatenate([r, zero]), kind="stable")
    return np.concatenate([r, zero])[order], np.concatenate([s, np.zeros(zero.size)])[order]
