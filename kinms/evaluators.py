"""From a disc to the flux in every voxel, before the beam: three ways, chosen by the physics.

sky grid
    A flat thin disc maps each sky position to one (R, theta): fixed nodes inside every pixel (Gauss-Legendre, denser
    round the centre) carry Sigma(R) and the line. With hardly any dispersion the nodes become cells whose velocity
    spread is followed, so that a narrow line does not turn into a comb.
points
    Warps, thick discs, edge-on discs and discs that a pixel does not resolve: Sobol's points,
    with R from the exact inverse of the cumulative light, each in its nearest pixel.
cloudlets
    Points that the user hands in, taken as they are.

Each is a callable ``evaluator(disc) -> (spectra, n)`` with spectra of shape (ny, nx, nv) in Jy per pixel.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.stats import qmc

from kinms.disc import Cloudlets, Disc, sky_axes
from kinms.errors import InputTypeError
from kinms.grid import CubeGrid
from kinms.kernels import deposit, invert_cumulative
from kinms.profiles import BrightnessLaw, TableProfile
from kinms.records import FloatArray

__all__ = ["COPIES", "CloudletSum", "PointMean", "PointSum", "SkyGrid", "choose", "is_narrow", "sky_grid_level"]

#: Above this inclination a sky grid would need too many nodes along the minor axis.
STEEP = 85.0
#: A sky grid follows velocities inside its cells when the line is narrower than this many channels.
NARROW = 0.3
#: A sky grid has at most this many nodes.
MAX_NODES = 8_000_000


def choose(disc: Disc, grid: CubeGrid) -> str:
    """Return which evaluator a disc needs: ``"sky grid"``, ``"points"`` or ``"cloudlets"``."""
    light = disc.surface_brightness
    if isinstance(light, Cloudlets):
        return "cloudlets"
    if disc.is_warped or disc.is_thick or abs(90.0 - float(disc.inc)) < 90.0 - STEEP:
        return "points"
    # A pixel that swallows the disc cannot integrate it with nodes of its own.
    return "sky grid" if light.scale_radius() * _cos_inc(disc) > 0.2 * grid.cell else "points"


def _cos_inc(disc: Disc) -> float:
    return float(abs(np.cos(np.radians(disc.inc))))


def sky_grid_level(disc: Disc, grid: CubeGrid) -> int:
    """Return the node density (a power of two) that the scale of the light along the minor axis calls for."""
    light = disc.surface_brightness
    if not isinstance(light, BrightnessLaw):
        raise InputTypeError("surface_brightness", type(light).__name__, "a brightness law")
    pixels = light.scale_radius() * _cos_inc(disc) / grid.cell
    return int(2 ** np.clip(np.ceil(np.log2(2.5 / pixels)), 0, 4))


def is_narrow(disc: Disc, grid: CubeGrid) -> bool:
    """Return whether the line is anywhere so narrow that nodes alone would turn it into a comb."""
    radii = np.array([0.0]) if disc.radius is None else disc.radius
    return bool(disc.line_sigma(radii).min() < NARROW * grid.dv)


def _rule(n: int, gauss: bool) -> tuple[FloatArray, FloatArray]:
    """Nodes in [-1/2, 1/2] and weights with unit sum: composite Gauss-Legendre, or the middles of n equal cells."""
    if not gauss:
        return (np.arange(n) + 0.5) / n - 0.5, np.full(n, 1.0 / n)
    cells = {2: 1, 4: 2}.get(n, n // 4)  # cell corners sit in the pixel's centre, where the cusp is
    x, w = np.polynomial.legendre.leggauss(n // cells)
    centres = (np.arange(cells) + 0.5) / cells - 0.5
    return (centres[:, None] + x / (2.0 * cells)).ravel(), np.tile(w / (2.0 * cells), cells)


@functools.lru_cache(maxsize=4)
def _sky_nodes(ny: int, nx: int, x0: float, y0: float, level: int, gauss: bool) -> tuple[FloatArray, ...]:
    """Pixel, x, y, weight and cell size (pixels) of every node, for a refinement centred on (x0, y0)."""
    y, x = np.divmod(np.arange(ny * nx), nx)
    distance = np.hypot(x - x0, y - y0)
    density = level * np.select([distance <= 2.5, distance <= 4.5], [8, 4], 2)
    parts = []
    for n in np.unique(density):
        pixel = np.flatnonzero(density == n)
        t, w = _rule(int(n), gauss)
        tx, ty = np.tile(t, t.size), np.repeat(t, t.size)
        parts.append(
            (
                np.repeat(pixel, t.size**2),
                (x[pixel][:, None] + tx).ravel(),
                (y[pixel][:, None] + ty).ravel(),
                np.tile(np.outer(w, w).ravel(), pixel.size),
                np.full(pixel.size * t.size**2, 1.0 / n),
            )
        )
    return tuple(np.concatenate(p) for p in zip(*parts, strict=True))


class SkyGrid:
    """Nodes fixed in every pixel; refined within 4 and 2 pixels of where the disc's centre was when it was planned.

    Parameters
    ----------
    disc : Disc
        Decides where the refinement is.
    grid : CubeGrid
        The pixels.
    level : int
        2 x level nodes per pixel and axis, twice and four times as many near the centre.
    follow : bool
        Whether cells follow the velocity inside them, which a narrow line needs, see `is_narrow`.
    """

    def __init__(self, disc: Disc, grid: CubeGrid, level: int, follow: bool) -> None:
        self.grid = grid
        self.level = level
        self.follow = follow
        x0 = float(grid.x_ref or 0.0) - disc.east / grid.cell
        y0 = float(grid.y_ref or 0.0) + disc.north / grid.cell
        nodes = _sky_nodes(grid.ny, grid.nx, x0, y0, level, not self.follow)
        self.pixel, self.x, self.y, self.weight, self.size = nodes

    @staticmethod
    def count(grid: CubeGrid, level: int) -> int:
        """Return about how many nodes a level has."""
        return grid.ny * grid.nx * (2 * level) ** 2

    def __call__(self, disc: Disc) -> tuple[FloatArray, int]:
        """Return the spectra, shape (ny, nx, nv), Jy per pixel, and the number of nodes used."""
        grid, light = self.grid, disc.surface_brightness
        if not isinstance(light, BrightnessLaw):
            raise InputTypeError("surface_brightness", type(light).__name__, "a brightness law")
        xd, yd, r = self._plane(disc, self.x, self.y)
        keep = np.flatnonzero(r <= light.r_max)
        xd, yd, r = xd[keep], yd[keep], r[keep]
        density = disc.flux / light.total() * grid.cell**2 / _cos_inc(disc) / grid.dv
        weight = density * self.weight[keep] * light(r)
        u = self._channel(disc, xd, yd, r)
        sigma = disc.line_sigma(r) / grid.dv
        widths = self._spread(disc, keep) if self.follow else None
        spectra = np.zeros((grid.ny * grid.nx, grid.nv))
        deposit(spectra, self.pixel[keep], u, sigma, weight, widths)
        return spectra.reshape(grid.ny, grid.nx, grid.nv), keep.size

    def _plane(self, disc: Disc, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Disc coordinates (R cos theta, R sin theta, R), arcsec, of pixel positions."""
        grid = self.grid
        east = (float(grid.x_ref or 0.0) - x) * grid.cell - disc.east
        north = (y - float(grid.y_ref or 0.0)) * grid.cell - disc.north
        sin_pa, cos_pa = sky_axes(disc.pa)
        xd = east * sin_pa + north * cos_pa
        yd = (east * cos_pa - north * sin_pa) / np.cos(np.radians(disc.inc))
        return xd, yd, np.hypot(xd, yd)

    def _channel(self, disc: Disc, xd: FloatArray, yd: FloatArray, r: FloatArray) -> FloatArray:
        v = disc.v_sys + disc.line_of_sight(xd, yd, r)
        return np.asarray((v - self.grid.velocity_edges[0]) / self.grid.dv)

    def _spread(self, disc: Disc, keep: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Differences of velocity (channels) across each cell along x and y."""
        x, y, half = self.x[keep], self.y[keep], 0.5 * self.size[keep]
        ends = [
            self._channel(disc, *self._plane(disc, x + dx * half, y + dy * half))
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))
        ]
        return np.abs(ends[0] - ends[1]), np.abs(ends[2] - ends[3])


_CHUNK = 1 << 17


@functools.lru_cache(maxsize=1)
def _sobol(bits: int) -> FloatArray:
    """First 2^bits points of Sobol's sequence in three dimensions (Joe & Kuo 2008), shape (2^bits, 3)."""
    return np.asarray(qmc.Sobol(3, scramble=False).random_base2(bits))


#: The sequence comes in this many copies, each shifted at random (Cranley & Patterson 1976): they sample the same
#: integral independently, so their scatter is an honest estimate of the error of their mean.
COPIES = 4
_SHIFTS = np.random.Generator(np.random.PCG64(np.random.SeedSequence(20201))).random((COPIES, 3))


class PointSum:
    """Points number ``start`` to ``stop`` of Sobol's sequence, all of equal weight: radius, azimuth and height.

    Parameters
    ----------
    grid : CubeGrid
        The pixels.
    copy : int
        Which of the `COPIES` shifted sequences.
    start, stop : int
        Which points of it.
    """

    def __init__(self, grid: CubeGrid, copy: int, start: int, stop: int) -> None:
        self.grid = grid
        self.copy, self.start, self.stop = copy, start, stop

    def __call__(self, disc: Disc) -> tuple[FloatArray, int]:
        """Return the spectra, shape (ny, nx, nv), Jy per pixel, and the number of points."""
        grid, light = self.grid, disc.surface_brightness
        if not isinstance(light, BrightnessLaw):
            raise InputTypeError("surface_brightness", type(light).__name__, "a brightness law")
        radius, brightness = _without_sign_changes(light.table())
        positive = TableProfile(radius, np.abs(brightness))
        cumulative = np.concatenate([[0.0], np.cumsum(positive.segment_light())])
        # Where emission and absorption mix, points follow |Sigma| and carry its sign.
        each = disc.flux / grid.dv * cumulative[-1] / light.total() / (self.stop - self.start)
        one_sign = brightness.min() >= 0.0 or brightness.max() <= 0.0
        sign = float(np.sign(brightness.sum())) if one_sign else 1.0
        spectra = np.zeros((grid.ny * grid.nx, grid.nv))
        sequence = _sobol(max(self.stop - 1, 1).bit_length())
        for first in range(self.start, self.stop, _CHUNK):
            u = (_SHIFTS[self.copy] + sequence[first : min(first + _CHUNK, self.stop)]) % 1.0
            r = invert_cumulative(u[:, 0] * cumulative[-1], cumulative, radius, np.abs(brightness))
            weight = np.full(r.size, each * sign) if one_sign else each * np.sign(np.interp(r, radius, brightness))
            self._add(disc, spectra, r, 2.0 * np.pi * u[:, 1], u[:, 2], weight)
        return spectra.reshape(grid.ny, grid.nx, grid.nv), self.stop - self.start

    def _add(
        self, disc: Disc, spectra: FloatArray, r: FloatArray, theta: FloatArray, u_z: FloatArray, weight: FloatArray
    ) -> None:
        z: FloatArray | float = 0.0
        if disc.is_thick:
            # Inverse of the distribution function of exp(-|z| / h) / (2 h).
            z = disc.at_radius("scale_height", r) * np.where(u_z < 0.5, 1.0, -1.0)
            z = z * np.log(np.maximum(np.where(u_z < 0.5, 2.0 * u_z, 2.0 - 2.0 * u_z), 1e-300))
        x, y = r * np.cos(theta), r * np.sin(theta)
        east, north = disc.project(x, y, z, r)
        v_los = disc.v_sys + disc.line_of_sight(x, y, r)
        _scatter(self.grid, spectra, east, north, v_los, disc.line_sigma(r), weight)


class PointMean:
    """The first ``n`` points of all copies together.

    Parameters
    ----------
    grid : CubeGrid
        The pixels.
    n : int
        Points in all.
    """

    def __init__(self, grid: CubeGrid, n: int) -> None:
        self.copies = [PointSum(grid, copy, 0, n // COPIES) for copy in range(COPIES)]

    def __call__(self, disc: Disc) -> tuple[FloatArray, int]:
        """Return the spectra, shape (ny, nx, nv), Jy per pixel, and the number of points."""
        total, n = self.copies[0](disc)
        for copy in self.copies[1:]:
            total += copy(disc)[0]
        return total / COPIES, n * COPIES


class CloudletSum:
    """The user's own points.

    Parameters
    ----------
    grid : CubeGrid
        The pixels.
    """

    def __init__(self, grid: CubeGrid) -> None:
        self.grid = grid

    def __call__(self, disc: Disc) -> tuple[FloatArray, int]:
        """Return the spectra, shape (ny, nx, nv), Jy per pixel, and the number of cloudlets."""
        grid, clouds = self.grid, disc.surface_brightness
        if not isinstance(clouds, Cloudlets):
            raise InputTypeError("surface_brightness", type(clouds).__name__, "Cloudlets")
        x, y, z = clouds.positions.T
        r = np.hypot(x, y)
        if clouds.v_los is None:
            east, north = disc.project(x, y, z, r)
            v_los = disc.v_sys + disc.line_of_sight(x, y, r)
        else:
            east, north = disc.east + x, disc.north + y
            v_los = disc.v_sys + clouds.v_los
        spectra = np.zeros((grid.ny * grid.nx, grid.nv))
        weight = clouds.weights() * (disc.flux / grid.dv)
        _scatter(grid, spectra, east, north, v_los, disc.line_sigma(r), weight)
        return spectra.reshape(grid.ny, grid.nx, grid.nv), r.size


def _scatter(
    grid: CubeGrid,
    spectra: FloatArray,
    east: FloatArray,
    north: FloatArray,
    v_los: FloatArray,
    sigma: FloatArray,
    weight: FloatArray,
) -> None:
    """Put each point into its nearest pixel; those outside the field are left out."""
    ix = np.floor(float(grid.x_ref or 0.0) - east / grid.cell + 0.5)
    iy = np.floor(float(grid.y_ref or 0.0) + north / grid.cell + 0.5)
    inside = np.flatnonzero((ix >= 0) & (ix < grid.nx) & (iy >= 0) & (iy < grid.ny))
    pixel = (iy[inside] * grid.nx + ix[inside]).astype(np.int64)
    u = (v_los[inside] - grid.velocity_edges[0]) / grid.dv
    deposit(spectra, pixel, u, sigma[inside] / grid.dv, weight[inside])


def _without_sign_changes(table: TableProfile) -> tuple[FloatArray, FloatArray]:
    """Radii and brightness with a row at every zero crossing, so that no segment changes sign."""
    r, s = table.radius, table.brightness
    cross = np.flatnonzero(s[:-1] * s[1:] < 0.0)
    if cross.size == 0:
        return r, s
    zero = r[cross] + (r[cross + 1] - r[cross]) * s[cross] / (s[cross] - s[cross + 1])
    order = np.argsort(np.concatenate([r, zero]), kind="stable")
    return np.concatenate([r, zero])[order], np.concatenate([s, np.zeros(zero.size)])[order]
