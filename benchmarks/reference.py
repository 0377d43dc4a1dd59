"""Converged cubes to measure errors against: slow, plain numpy in float64, sharing no code with the engine.

Thin discs, warped or not: Gauss-Legendre nodes inside every pixel, crowding towards the disc's centre. A node's R
follows from its sky position, for a warp by solving R = rho(R). The line is integrated over each channel with the error
function; without dispersion a node becomes a small cell across which the velocity is linear, and its line a
trapezoid.

Thick discs (major axis along x or y): a column of pixels is an integral over the height above the plane, of which the
part inside a pixel is known in closed form; what is left is a product of matrices.

Every cube is computed with two rules; the difference of the coarse one is the error that is stated, the fine one is
returned.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.special import erf, gammaincinv

CACHE = Path(__file__).parent / ".cache"
#: Nodes or cells handled at a time.
CHUNK = 1 << 15


@dataclasses.dataclass(frozen=True)
class Galaxy:
    """A disc and its cube, in pixels (x West, y North), km/s and degrees; `CONVENTIONS` as everywhere.

    light: ("exponential", scale), ("ring", radius, width) or ("sersic", r_eff, n).
    rotation: ("arctan", v_max, r_turn) or ("flat", v_max).
    warp: degrees by which inc and pa grow from the centre to `warp_radius`, half of it above inc and pa.
    """

    n: int
    nv: int
    dv: float
    beam: tuple[float, float, float]
    light: tuple
    rotation: tuple = ("arctan", 200.0, 2.0)
    inc: float = 45.0
    pa: float = 270.0
    sigma_gas: float = 10.0
    v_sys: float = 0.0
    v_rad: float = 0.0
    scale_height: float = 0.0
    east: float = 0.0
    north: float = 0.0
    warp: float = 0.0
    warp_radius: float = 1.0
    flux: float = 30.0

    def brightness(self, r: np.ndarray) -> np.ndarray:
        """Sigma(R), any scale."""
        kind, a, *rest = self.light
        if kind == "exponential":
            return np.exp(-r / a)
        if kind == "ring":
            return np.exp(-0.5 * ((r - a) / rest[0]) ** 2)
        n = rest[0]
        return np.exp(-gammaincinv(2.0 * n, 0.5) * ((r / a) ** (1.0 / n) - 1.0))

    def rotation_speed(self, r: np.ndarray) -> np.ndarray:
        """v_circ(R)."""
        kind, v_max, *rest = self.rotation
        return np.full_like(r, v_max) if kind == "flat" else v_max * 2.0 / np.pi * np.arctan(r / rest[0])

    def total(self) -> float:
        """Integral of Sigma 2 pi R dR, by the trapezoidal rule in log R (exponentially fast: both ends vanish)."""
        t = np.linspace(np.log(1e-9 * self.light[1]), np.log(1e5 * self.light[1]), 20001)
        return float((t[1] - t[0]) * np.sum(self.brightness(np.exp(t)) * 2.0 * np.pi * np.exp(2.0 * t)))

    def angles(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Inclination and position angle at R, radians, and how fast they grow where R < warp_radius."""
        ramp = np.radians(self.warp) * (np.minimum(r / self.warp_radius, 1.0) - 0.5)
        return np.radians(self.inc) + ramp, np.radians(self.pa) + ramp, np.radians(self.warp) / self.warp_radius


@dataclasses.dataclass(frozen=True)
class Rule:
    """Nodes per pixel and axis: `order` in each of `cells`; the centre has cells that halve `halvings` times."""

    order: int
    cells: int
    core: int = 6
    halvings: int = 10


def nodes_1d(low: float, high: float, centre: float, rule: Rule, dense: bool) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [low, high], pixel edges at half integers; ``dense``: cells crowd towards ``centre``."""
    cells = 2 * rule.cells if dense else rule.cells
    edges = np.arange(low * cells, high * cells + 0.5) / cells
    if dense:
        steps = 2.0 ** -np.arange(1, rule.halvings)
        edges = np.unique(np.concatenate([edges, [centre], centre - steps, centre + steps]))
    t, w = np.polynomial.legendre.leggauss(rule.order)
    half = 0.5 * np.diff(edges)
    return (edges[:-1, None] + half[:, None] * (1.0 + t)).ravel(), (half[:, None] * w).ravel()


def nodes_2d(g: Galaxy, rule: Rule) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield x, y, weight of nodes, rows of pixels at a time: first the square round the centre, then all else."""
    x0, y0 = g.n // 2 - g.east, g.n // 2 + g.north
    low = [int(max(round(c) - rule.core, 0)) for c in (x0, y0)]
    high = [int(min(round(c) + rule.core + 1, g.n)) for c in (x0, y0)]
    (x, wx), (y, wy) = (nodes_1d(a - 0.5, b - 0.5, c, rule, True) for a, b, c in zip(low, high, (x0, y0), strict=True))
    blocks = [(x, wx, y, wy)]
    for a, b, c, d in (  # the frame round that square
        (0, g.n, 0, low[1]),
        (0, g.n, high[1], g.n),
        (0, low[0], low[1], high[1]),
        (high[0], g.n, low[1], high[1]),
    ):
        if a < b and c < d:
            nodes = [nodes_1d(p - 0.5, q - 0.5, 0.0, rule, False) for p, q in ((a, b), (c, d))]
            blocks.append((*nodes[0], *nodes[1]))
    for x, wx, y, wy in blocks:
        rows = max(CHUNK // x.size, 1)
        for k in range(0, y.size, rows):
            part = slice(k, k + rows)
            shape = y[part].size, x.size
            yield (
                np.broadcast_to(x, shape).ravel(),
                np.repeat(y[part], x.size),
                np.outer(wy[part], wx).ravel(),
            )


def plane(g: Galaxy, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return R, cos theta, sin theta, inclination, and disc area per sky area at pixel positions."""
    east, north = (g.n // 2 - x) - g.east, (y - g.n // 2) - g.north
    r = np.hypot(east, north)
    for _ in range(200 if g.warp else 1):  # R = rho(R): a contraction while the warp is mild
        inc, pa, slope = g.angles(r)
        along = east * np.sin(pa) + north * np.cos(pa)
        across = (east * np.cos(pa) - north * np.sin(pa)) / np.cos(inc)
        new = np.hypot(along, across)
        done, r = np.max(np.abs(new - r), initial=0.0) < 1e-9, new
        if done:
            break
    else:
        if g.warp:
            raise ValueError("the warp is too strong to be seen as a function of sky position")
    safe = np.maximum(r, 1e-12)
    cos, sin = along / safe, across / safe
    # Jacobian of R (cos u_maj + sin cos(i) u_min) in (R, R theta), with d inc = d pa = slope dR.
    bend = np.where(r < g.warp_radius, slope * r, 0.0) if g.warp else 0.0
    area = np.cos(inc) - bend * np.sin(inc) * sin * (sin - np.sin(inc) * cos)
    if np.any(area <= 0.0):
        raise ValueError("the warp folds over itself")
    return r, cos, sin, inc, 1.0 / area


def velocity(g: Galaxy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Line-of-sight velocity at pixel positions, in channels from the low edge of channel 0."""
    r, cos, sin, inc, _ = plane(g, x, y)
    v = g.v_sys + np.sin(inc) * (g.rotation_speed(r) * cos + g.v_rad * sin)
    return v / g.dv + g.nv // 2 + 0.5


def line(g: Galaxy, u: np.ndarray) -> np.ndarray:
    """Part of a Gaussian line at u in every channel, shape (n, nv)."""
    below = erf((np.arange(g.nv + 1) - u[:, None]) * (g.dv / g.sigma_gas / np.sqrt(2.0)))
    return 0.5 * np.diff(below, axis=1)


def trapezoid(g: Galaxy, u: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Part in every channel of u + a s + b t with s and t uniform in [-1/2, 1/2], shape (n, nv)."""
    wide, thin = np.maximum(np.maximum(a, b), 1e-9)[:, None], np.minimum(a, b)[:, None]
    thin = np.maximum(thin, 1e-4 * wide)  # below that the corners of the trapezoid cannot be told from a box
    d = np.arange(g.nv + 1) - u[:, None]
    p, q = 0.5 * (wide + thin), 0.5 * (wide - thin)
    outer, inner = (np.maximum(d + e, 0) ** 2 + np.maximum(d - e, 0) ** 2 for e in (p, q))
    below = np.where(d >= p, 1.0, (outer - inner) / (2.0 * wide * thin))
    return np.diff(below, axis=1)


def thin_cells(g: Galaxy, rule: Rule) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield pixel, weight and lines of small cells: for a disc without dispersion."""
    x0, y0 = g.n // 2 - g.east, g.n // 2 + g.north
    for j in range(g.n):
        distance = np.hypot(np.arange(g.n) - x0, j - y0)
        cells = rule.cells * np.select([distance < 3.0, distance < 12.0], [4, 2], 1)
        for m in np.unique(cells):
            t = (np.arange(m) + 0.5) / m - 0.5
            columns = np.flatnonzero(cells == m)
            for part in np.array_split(columns, max(columns.size * m * m // CHUNK, 1)):
                x = (part[:, None, None] + np.tile(t, (m, 1))).reshape(-1)
                y = np.tile((j + np.repeat(t, m)), part.size)
                half = 0.5 / m
                a = np.abs(velocity(g, x + half, y) - velocity(g, x - half, y))
                b = np.abs(velocity(g, x, y + half) - velocity(g, x, y - half))
                r, _, _, _, area = plane(g, x, y)
                weight = g.brightness(r) * area / m**2
                keep = weight > 1e-14 * weight.max()
                lines = trapezoid(g, velocity(g, x, y)[keep], a[keep], b[keep])
                yield np.repeat(j * g.n + part, m * m)[keep], weight[keep], lines


def thin(g: Galaxy, rule: Rule) -> np.ndarray:
    """Thin disc, shape (ny * nx, nv), before flux."""
    cube = np.zeros((g.n * g.n, g.nv))
    if g.sigma_gas == 0.0:
        parts: Iterator = thin_cells(g, rule)
    else:
        parts = ((_pixel(g, x, y), *_weigh(g, x, y, w)) for x, y, w in nodes_2d(g, rule))
    for pixel, weight, lines in parts:
        lines *= weight[:, None]
        # One sum per run of nodes in a pixel, then the runs of the same pixel.
        order = np.argsort(pixel, kind="stable")
        pixel, lines = pixel[order], lines[order]
        first = np.flatnonzero(np.diff(pixel, prepend=-1))
        if first.size:
            cube[pixel[first]] += np.add.reduceat(lines, first, axis=0)
    return cube


def _pixel(g: Galaxy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.floor(y + 0.5) * g.n + np.floor(x + 0.5)).astype(np.int64)


def _weigh(g: Galaxy, x: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r, cos, sin, inc, area = plane(g, x, y)
    v = g.v_sys + np.sin(inc) * (g.rotation_speed(r) * cos + g.v_rad * sin)
    return w * g.brightness(r) * area, line(g, v / g.dv + g.nv // 2 + 0.5)


def thick(g: Galaxy, rule: Rule) -> np.ndarray:
    """Disc of heights exp(-|z| / h) / (2 h) with its receding side towards West or East, shape (ny * nx, nv)."""
    if g.pa % 180.0 != 90.0 or g.east or g.warp:
        raise ValueError("the thick reference wants the major axis along x through the middle, and no warp")
    cos_i, sin_i = np.cos(np.radians(g.inc)), np.sin(np.radians(g.inc))
    sign = np.sin(np.radians(g.pa))  # u_maj = sign * East, u_min = -sign * North
    x, wx = nodes_1d(-0.5, g.n - 0.5, g.n // 2, rule, True)
    reach = 25.0 * g.light[1]
    s, ws = nodes_1d(0.0, float(np.ceil(np.cbrt(reach))), 0.0, dataclasses.replace(rule, cells=8 * rule.cells), False)
    s, ws = s**3, 3.0 * s**2 * ws  # distance along the minor axis, crowding towards the centre
    across = np.concatenate([-s[::-1], s])
    w_across = np.concatenate([ws[::-1], ws])
    # Part of the heights above a point that falls into each pixel along y: a two-sided exponential integrated.
    edges = np.arange(g.n + 1) - 0.5 - g.n // 2 - g.north
    h = g.scale_height * sin_i
    d = (edges[:, None] + sign * across * cos_i) / h
    below = np.where(d < 0, 0.5 * np.exp(np.minimum(d, 0)), 1.0 - 0.5 * np.exp(-np.maximum(d, 0)))
    window = np.diff(below, axis=0) * w_across
    cube = np.zeros((g.n, g.n, g.nv))
    for xk, wk in zip(x, wx, strict=True):
        along = np.full_like(across, sign * (g.n // 2 - xk))
        r = np.hypot(along, across)
        v = g.v_sys + sin_i * (g.rotation_speed(r) * along + g.v_rad * across) / np.maximum(r, 1e-12)
        light = wk * g.brightness(r)
        keep = light > 1e-12 * g.brightness(np.zeros(1))[0] * wk
        lines = line(g, v[keep] / g.dv + g.nv // 2 + 0.5) * light[keep, None]
        cube[:, int(np.floor(xk + 0.5))] += window[:, keep] @ lines
    return cube.reshape(-1, g.nv)


def rules(g: Galaxy) -> tuple[Rule, Rule]:
    """Return a coarse rule and a fine one."""
    small = g.n < 128
    if g.scale_height:
        return (Rule(6, 1), Rule(8, 2)) if small else (Rule(4, 1), Rule(6, 1))
    if g.sigma_gas == 0.0:
        return Rule(1, 12), Rule(1, 24)
    if g.warp:  # the Jacobian jumps where the warp ends: many cells
        return (Rule(3, 5), Rule(3, 10)) if small else (Rule(4, 1), Rule(4, 2))
    if g.n > 256:
        return Rule(2, 1), Rule(3, 1)
    return (Rule(6, 2), Rule(8, 3)) if small else (Rule(3, 1), Rule(5, 1))


def intrinsic(g: Galaxy) -> tuple[np.ndarray, np.ndarray]:
    """Return the cube before the beam, (nv, ny, nx), Jy per pixel, with the fine and the coarse rule; kept on disc."""
    source = Path(__file__).read_bytes() + repr(g).encode()
    path = CACHE / f"{hashlib.sha256(source).hexdigest()[:16]}.npy"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        out = np.lib.format.open_memmap(path.with_suffix(".part"), "w+", np.float32, (2, g.nv, g.n, g.n))
        for k, rule in enumerate(reversed(rules(g))):
            cube = thick(g, rule) if g.scale_height else thin(g, rule)
            out[k] = (cube * (g.flux / g.total() / g.dv)).T.reshape(g.nv, g.n, g.n)
        out.flush()
        path.with_suffix(".part").rename(path)
    fine, coarse = np.load(path, mmap_mode="r")
    return fine, coarse


def gaussian(beam: tuple[float, float, float]) -> np.ndarray:
    """Beam sampled at pixel centres, unit sum, axes [y, x]."""
    bmaj, bmin, bpa = beam
    reach = int(np.ceil(6.0 * bmaj / 2.3548))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    angle = np.radians(bpa)
    along, across = -x * np.sin(angle) + y * np.cos(angle), x * np.cos(angle) + y * np.sin(angle)
    k = np.exp(-4.0 * np.log(2.0) * ((along / bmaj) ** 2 + (across / bmin) ** 2))
    return k / k.sum()


def convolve(cube: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve every channel with a kernel of odd sides, nothing beyond the edges; float64 inside, float32 kept."""
    ry, rx = (s // 2 for s in kernel.shape)
    shape = [next_fast_len(s + 2 * r, real=True) for s, r in zip(cube.shape[1:], (ry, rx), strict=True)]
    transform = rfft2(kernel, shape)
    out = np.empty(cube.shape, dtype=np.float32)
    for channel, result in zip(cube, out, strict=True):
        full = irfft2(rfft2(np.asarray(channel, dtype=float), shape) * transform, shape)
        result[:] = full[ry : ry + cube.shape[1], rx : rx + cube.shape[2]]
    return out


def observed(g: Galaxy) -> tuple[np.ndarray, float]:
    """Return the cube in Jy/beam and the relative rms difference that the coarse rule, or rounding, makes to it."""
    bmaj, bmin, _ = g.beam
    kernel = gaussian(g.beam) * (np.pi * bmaj * bmin / (4.0 * np.log(2.0)))
    fine, coarse = (convolve(cube, kernel) for cube in intrinsic(g))
    return fine, float(np.hypot(relative_rms(coarse, fine), np.finfo(np.float32).eps))


def relative_rms(model: np.ndarray, reference: np.ndarray, free_amplitude: bool = False) -> float:
    """Return rms(model - reference) / rms(reference), channel by channel to spare memory."""
    mm, mr, rr = (
        sum(float(np.vdot(np.asarray(p, float), np.asarray(q, float))) for p, q in zip(a, b, strict=True))
        for a, b in ((model, model), (model, reference), (reference, reference))
    )
    scale = mr / mm if free_amplitude else 1.0
    squares = sum(np.sum((scale * np.asarray(p, float) - q) ** 2) for p, q in zip(model, reference, strict=True))
    return float(np.sqrt(squares / rr))
