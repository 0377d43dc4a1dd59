"""The slow, independent reference for the model: CONVENTIONS, line by line, in plain numpy and scipy.

It shares no code with the package. A thin disc is integrated over a finely divided sky, pixel by pixel; a warped,
thick or edge-on one, or one with hardly a line width, is drawn as millions of points on a lattice over its radii and
azimuths. Both give the flux inside each voxel, which is then convolved directly with the sampled beam; the line is
integrated over each channel in closed form. Every reference comes with an estimate of its own error, from
independent samplings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import signal, special

Radial = float | Callable[[np.ndarray], np.ndarray]

#: Points handled at once: few enough for a processor's cache.
CHUNK = 2**17
#: Heights at which each radius and azimuth of a thick disc is drawn.
HEIGHTS = 8
#: A line ends so many sigma from its centre: 2e-9 of it lies beyond.
LINE_END = 6.0
#: Independent lattices that make one reference, and the standard errors of their mean that are quoted as its error.
LATTICES, STANDARD_ERRORS = 4, 2.0


@dataclass(frozen=True)
class Field:
    """Pixels and channels: the reference position is the centre of pixel n // 2, v_ref that of channel nv // 2."""

    nv: int
    ny: int
    nx: int
    cell: float
    dv: float
    v_ref: float = 0.0

    @property
    def edges(self) -> np.ndarray:
        """Channel k covers [k - 1/2, k + 1/2]; km/s, shape (nv + 1,)."""
        return self.v_ref + (np.arange(self.nv + 1) - 0.5 - self.nv // 2) * self.dv


@dataclass(frozen=True)
class Galaxy:
    """A disc as numbers and functions of R.

    `r_table` is fine enough that `sigma` is linear between its radii. `harmonic` is (m, v_mt, v_mr, phi_b in degrees)
    of Spekkens & Sellwood (2007), eq. 5 with m in place of 2.
    """

    sigma: Callable[[np.ndarray], np.ndarray]
    r_table: np.ndarray
    v_circ: Callable[[np.ndarray], np.ndarray]
    inc: Radial
    pa: Radial
    v_rad: Radial = 0.0
    harmonic: tuple[int, float, float, float] | None = None
    v_sys: float = 0.0
    sigma_gas: Radial = 0.0
    scale_height: Radial = 0.0
    flux: float = 1.0
    east: float = 0.0
    north: float = 0.0
    pa_kin: Radial | None = None
    east_kin: float | None = None
    north_kin: float | None = None

    @cached_property
    def light(self) -> np.ndarray:
        """Integral of Sigma 2 pi R dR from the first radius of the table to each, exact where Sigma is linear."""
        return self._integral(self.sigma(self.r_table))

    @cached_property
    def absolute_light(self) -> np.ndarray:
        """The same of abs(Sigma): what points are drawn from, each with the sign of its radius."""
        return self._integral(np.abs(self.sigma(self.r_table)))

    def _integral(self, sigma: np.ndarray) -> np.ndarray:
        r0, r1, s0, s1 = self.r_table[:-1], self.r_table[1:], sigma[:-1], sigma[1:]
        slope = (s1 - s0) / (r1 - r0)
        # Sigma = s0 + slope (R - r0): integrate R and R^2 term by term.
        steps = 2 * np.pi * ((s0 - slope * r0) * (r1**2 - r0**2) / 2 + slope * (r1**3 - r0**3) / 3)
        return np.concatenate([[0.0], np.cumsum(steps)])


def at(quantity: Radial, r: np.ndarray) -> np.ndarray | float:
    """Value at each radius of a function of R, or the number itself."""
    return quantity(r) if callable(quantity) else float(quantity)


def axes(pa: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(east, north) of u_maj and of u_min for a position angle in radians."""
    return (np.sin(pa), np.cos(pa)), (np.cos(pa), -np.sin(pa))


def in_plane(east, north, east0, north0, pa, inc):
    """Coordinates (R cos theta, R sin theta) in the disc plane of a sky position of the midplane."""
    u_maj, u_min = axes(pa)
    x = (east - east0) * u_maj[0] + (north - north0) * u_maj[1]
    y = ((east - east0) * u_min[0] + (north - north0) * u_min[1]) / np.cos(inc)
    return x, y


def velocity(g: Galaxy, x, y, inc):
    """v_los = v_sys + sin i [v_circ(R) cos(theta) + v_rad(R) sin(theta)], with x = R cos(theta), y = R sin(theta)."""
    r = np.hypot(x, y)
    cos, sin = np.divide(x, r, out=np.zeros_like(r), where=r > 0), np.divide(y, r, out=np.zeros_like(r), where=r > 0)
    in_disc = g.v_circ(r) * cos + at(g.v_rad, r) * sin
    if g.harmonic is not None:
        m, v_mt, v_mr, phi_b = g.harmonic
        theta_b = np.arctan2(y, x) - np.radians(phi_b)
        in_disc -= v_mt * np.cos(m * theta_b) * cos + v_mr * np.sin(m * theta_b) * sin
    return g.v_sys + np.sin(inc) * in_disc


def kinematic_frame(g: Galaxy) -> tuple[float, float, Radial] | None:
    """Centre and position angle that the velocities go by, None where they are those of the light."""
    if g.east_kin is None and g.north_kin is None and g.pa_kin is None:
        return None
    return (
        g.east if g.east_kin is None else g.east_kin,
        g.north if g.north_kin is None else g.north_kin,
        g.pa if g.pa_kin is None else g.pa_kin,
    )


def below(edge, v, sigma):
    """Part of a Gaussian line at v that lies below a velocity; all or nothing where sigma is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sigma > 0, special.ndtr((edge - v) / sigma), edge > v)


def channel_fractions(v: np.ndarray, sigma: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Part of a Gaussian line inside each channel, shape (nv, ...): the difference of its integral at the edges."""
    return np.diff([below(edge, v, sigma) for edge in edges], axis=0)


def sky_nodes(g: Galaxy, field: Field, east, north, area: float) -> np.ndarray:
    """Flux (Jy km/s) in each channel of pieces of sky of `area` arcsec^2 at these positions; shape (nv, ...)."""
    inc, pa = np.radians(float(g.inc)), np.radians(float(g.pa))
    x, y = in_plane(east, north, g.east, g.north, pa, inc)
    r = np.hypot(x, y)
    # A face-on disc of brightness Sigma shows Sigma / cos i; its total is the flux.
    flux = g.flux * g.sigma(r) / g.light[-1] / abs(np.cos(inc)) * area
    frame = kinematic_frame(g)
    if frame is not None:
        x, y = in_plane(east, north, frame[0], frame[1], np.radians(float(frame[2])), inc)
    return flux * channel_fractions(velocity(g, x, y, inc), at(g.sigma_gas, r), field.edges)


def sky_cube(g: Galaxy, field: Field, over: int, core: int = 5, core_pixels: float = 3.0) -> np.ndarray:
    """Flux (Jy km/s) in each voxel of a thin, unwarped disc: over x over midpoints in every pixel.

    Pixels within `core_pixels` of the centre of the light or of the rotation take core^2 times as many.
    """
    column, row = np.meshgrid(np.arange(field.nx), np.arange(field.ny))
    # x grows towards West, y towards North.
    east = (field.nx // 2 - column) * field.cell
    north = (row - field.ny // 2) * field.cell
    frame = kinematic_frame(g) or (g.east, g.north, g.pa)
    near = np.minimum(np.hypot(east - g.east, north - g.north), np.hypot(east - frame[0], north - frame[1]))
    fine = near < core_pixels * field.cell
    cube = np.zeros((field.nv, field.ny, field.nx))
    for pixels, n in ((~fine, over), (fine, over * core)):
        if not pixels.any():
            continue
        offsets = ((np.arange(n) + 0.5) / n - 0.5) * field.cell
        east_sub = (east[pixels][:, None] + offsets)[:, :, None]
        area = (field.cell / n) ** 2
        for group in np.array_split(np.arange(pixels.sum()), 1 + pixels.sum() * n**2 * field.nv // 2**23):
            north_sub = (north[pixels][group][:, None] + offsets)[:, None, :]
            e, m = np.broadcast_arrays(east_sub[group], north_sub)
            where = np.flatnonzero(pixels)[group]
            cube.reshape(field.nv, -1)[:, where] += sky_nodes(g, field, e, m, area).sum(axis=(2, 3))
    return cube


def lattice(start: int, stop: int, total: int, shift: np.ndarray) -> list[np.ndarray]:
    """Points start to stop of `total` evenly spread over the unit square, or cube: one number per axis and point.

    Point i is (i / total, i a, i b, ...) + shift, modulo 1: a golden ratio in two dimensions, the plastic number's
    powers in three, which no ratio of small integers comes near. The shift is random; means over it have no bias.
    """
    powers = {2: [1.618033988749895], 3: [1.324717957244746, 1.324717957244746**2]}[len(shift)]
    i = np.arange(start, stop)
    return [(i + shift[0]) / total, *(np.mod(i / power + s, 1.0) for power, s in zip(powers, shift[1:], strict=True))]


def points(g: Galaxy, uniform: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Sky positions, velocities, dispersions and signs of points, from uniform numbers: radius, azimuth, and height.

    With a height there are HEIGHTS positions to each velocity: east and north have the shape (HEIGHTS, n).
    """
    r = np.interp(uniform[0] * g.absolute_light[-1], g.absolute_light, g.r_table)
    theta = 2 * np.pi * uniform[1]
    x, y = r * np.cos(theta), r * np.sin(theta)
    inc, pa = np.radians(at(g.inc, r)), np.radians(at(g.pa, r))
    u_maj, u_min = axes(pa)
    across = y * np.cos(inc)
    east_mid = east = g.east + x * u_maj[0] + across * u_min[0]
    north_mid = north = g.north + x * u_maj[1] + across * u_min[1]
    if len(uniform) == 3:
        # Two-sided exponential: the height in units of h is the quantile of exp(-|z|) / 2, here one from each part.
        half = 2 * (uniform[2] + np.arange(HEIGHTS)[:, None]) / HEIGHTS - 1
        z = -np.sign(half) * np.log1p(-np.minimum(np.abs(half), 1 - 1e-16)) * at(g.scale_height, r)
        east = east_mid - z * np.sin(inc) * u_min[0]
        north = north_mid - z * np.sin(inc) * u_min[1]
    frame = kinematic_frame(g)
    if frame is not None:
        x, y = in_plane(east_mid, north_mid, frame[0], frame[1], np.radians(at(frame[2], r)), inc)
    sigma_gas = np.broadcast_to(at(g.sigma_gas, r), r.shape)
    return east, north, velocity(g, x, y, inc), sigma_gas, np.sign(g.sigma(r))


def deposit(field: Field, east, north, v, sigma, weight) -> np.ndarray:
    """Sum of points by voxel, each line divided among the channels that it reaches; outside is lost.

    Pixel k covers [k - 1/2, k + 1/2], channels likewise.
    """
    x = np.floor(field.nx // 2 - east / field.cell + 0.5).astype(np.int64)
    y = np.floor(field.ny // 2 + north / field.cell + 0.5).astype(np.int64)
    k = np.floor((v - field.v_ref) / field.dv + field.nv // 2 + 0.5).astype(np.int64)
    inside = (x >= 0) & (x < field.nx) & (y >= 0) & (y < field.ny)
    # What lies outside of the field goes to a pixel more, what lies outside of the channels to `margin` on each side.
    pixels, reach = field.ny * field.nx, int(np.ceil(LINE_END * sigma.max() / field.dv))
    pixel = np.where(inside, y * field.nx + x, pixels)
    margin = 2 * reach + 1
    shape = (field.nv + 2 * margin, pixels + 1)
    k = np.clip(k, -reach - 1, field.nv + reach)
    lowest = field.v_ref + (k - reach - field.nv // 2 - 0.5) * field.dv
    lower = below(lowest, v, sigma) if reach else 0.0
    cube = np.zeros(shape)
    for step in range(2 * reach + 1):
        upper = below(lowest + (step + 1) * field.dv, v, sigma) if reach else 1.0
        voxel = (k - reach + step + margin) * (pixels + 1) + pixel
        part = np.broadcast_to(weight * (upper - lower), voxel.shape)
        cube += np.bincount(voxel.ravel(), part.ravel(), minlength=cube.size).reshape(shape)
        lower = upper
    return cube[margin : margin + field.nv, :pixels].reshape(field.nv, field.ny, field.nx)


def point_cube(g: Galaxy, field: Field, total: int, seed: np.random.SeedSequence) -> np.ndarray:
    """Flux (Jy km/s) in each voxel, from a randomly shifted lattice of so many radii and azimuths."""
    heights = HEIGHTS if callable(g.scale_height) or g.scale_height > 0 else 1
    shift = np.random.default_rng(seed).random(2 if heights == 1 else 3)
    cube = np.zeros((field.nv, field.ny, field.nx))
    step = CHUNK // heights
    for start in range(0, total, step):
        cube += deposit(field, *points(g, lattice(start, min(start + step, total), total, shift)))
    # Of light of both signs, more is drawn than the disc's total.
    return cube * (g.flux * g.absolute_light[-1] / g.light[-1] / (total * heights))


def beam_kernel(cell: float, bmaj: float, bmin: float, bpa: float) -> np.ndarray:
    """Gaussian sampled at pixel centres, unit sum, out to seven sigma; [y, x] with x towards West."""
    s_maj, s_min = bmaj / np.sqrt(8 * np.log(2)), bmin / np.sqrt(8 * np.log(2))
    half = int(np.ceil(7 * s_maj / cell))
    north, west = np.mgrid[-half : half + 1, -half : half + 1] * cell
    pa = np.radians(bpa)
    along = -west * np.sin(pa) + north * np.cos(pa)
    across = -west * np.cos(pa) - north * np.sin(pa)
    kernel = np.exp(-0.5 * ((along / s_maj) ** 2 + (across / s_min) ** 2))
    return kernel / kernel.sum()


def observe(cube: np.ndarray, field: Field, beam: tuple[float, float, float] | None) -> np.ndarray:
    """Jy km/s per voxel to Jy/beam: convolved with the unit-sum beam, zeros outside, times beam area / pixel area.

    Without a beam the result is in Jy per pixel.
    """
    density = cube / field.dv
    if beam is None:
        return density
    kernel = beam_kernel(field.cell, *beam)
    area = np.pi * beam[0] * beam[1] / (4 * np.log(2)) / field.cell**2
    half = kernel.shape[0] // 2
    out = np.empty_like(density)
    for k, channel in enumerate(density):
        full = signal.oaconvolve(channel, kernel, mode="full")
        out[k] = full[half : half + field.ny, half : half + field.nx] * area
    return out


def relative_rms(model: np.ndarray, truth: np.ndarray) -> float:
    """rms(model - truth) / rms(truth)."""
    return float(np.sqrt(np.mean((model - truth) ** 2) / np.mean(truth**2)))


def sky_reference(g: Galaxy, field: Field, beam, over: int) -> tuple[np.ndarray, float]:
    """Cube (Jy/beam) and its error, from a grid and one with half as many nodes per side.

    Midpoints err by the square of their distance: a third of the difference is taken off (Richardson). That third is
    also the error that is quoted: what is left is less where the disc is smooth, and as much where it is not.
    """
    fine = observe(sky_cube(g, field, over), field, beam)
    correction = (fine - observe(sky_cube(g, field, over // 2), field, beam)) / 3
    return fine + correction, relative_rms(fine, fine + correction)


def point_reference(g: Galaxy, field: Field, beam, log2_n: int, seed: int = 1) -> tuple[np.ndarray, float]:
    """Cube (Jy/beam) and its error: the mean of independent lattices of 2**log2_n points in all.

    Twice the standard error is quoted: an estimate from four is itself uncertain, the more so where a cube has few
    beams and channels.
    """
    seeds = np.random.SeedSequence(seed).spawn(LATTICES)
    total = 2**log2_n // LATTICES
    cubes = np.array([observe(point_cube(g, field, total, s), field, beam) for s in seeds])
    mean = cubes.mean(axis=0)
    variance = np.sum((cubes - mean) ** 2, axis=0) / (LATTICES * (LATTICES - 1))
    return mean, STANDARD_ERRORS * float(np.sqrt(np.mean(variance) / np.mean(mean**2)))


# The laws of CONVENTIONS' discs: each brightness law is (Sigma, radii of its table), each rotation law v(R).


def fine_radii(r_max: float) -> np.ndarray:
    """Radii in even ratios, fine enough for any smooth law to be linear in between."""
    return np.concatenate([[0.0], np.geomspace(1e-9 * r_max, r_max, 20_001)])


def exponential(scale):
    return lambda r: np.exp(-r / scale), fine_radii(40 * scale)


def gaussian_ring(radius, width):
    return lambda r: np.exp(-0.5 * ((r - radius) / width) ** 2), fine_radii(radius + 10 * width)


def sersic(r_eff, n):
    b = special.gammaincinv(2 * n, 0.5)  # r_eff holds half of the light
    r_max = r_eff * (special.gammainccinv(2 * n, 1e-12) / b) ** n
    return lambda r: np.exp(-b * ((r / r_eff) ** (1 / n) - 1)), fine_radii(r_max)


def table(radius, brightness):
    """Linear between the radii, zero below the first and beyond the last."""
    # The fine radii are for the inverse of the integral, which is not linear between the table's own.
    radii = np.union1d(radius, np.linspace(radius[0], radius[-1], 20_001))
    return lambda r: np.interp(r, radius, brightness, left=0.0, right=0.0), radii


def arctan(v_max, r_turn):
    return lambda r: 2 / np.pi * v_max * np.arctan(r / r_turn)


def tanh(v_max, r_turn):
    return lambda r: v_max * np.tanh(r / r_turn)


def flat(v_max):
    return lambda r: np.full(np.shape(r), float(v_max))


def keplerian(mass, distance):
    """Point mass in Msun at so many Mpc: v^2 = G M / R."""
    metres = np.pi / 180 / 3600 * distance * 3.0856775814913673e22  # of one arcsec
    return lambda r: np.sqrt(1.3271244e20 * mass / (metres * np.maximum(r, 1e-3))) / 1e3


def held(radius, values):
    """Linear between the radii, end values held: every table but the brightness."""
    return lambda r: np.interp(r, radius, values)
