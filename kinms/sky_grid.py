"""The sky grid: a thin disc maps each sky position to one (R, theta), so nodes fixed in the pixels sum it up.

Nodes
    Every pixel has 2 x 2 Gauss-Legendre nodes, 4 x 4 and 8 x 8 near the centre (`CORE`), where all is steep;
    `level` multiplies these numbers. The layout depends on the grid, on the density planned once and, in steps of two
    pixels, on where the centre is: never on anything else that is fitted, so that the cube is smooth in all of it.
Profiles
    Brightness and velocity are tabulated once per call (`kinms.radial`), `PER_PIXEL` values to a pixel.
Lines
    Come from a table of phases. Narrow ones, and widths that vary with radius, are differences of their distribution
    function; narrow ones are spread over the velocities inside their node's cell (exactly, for a velocity that is
    linear there), or they would turn into a comb.
Channels
    With edges of their own, or a response that depends on velocity, they have a table of phases for each place along
    the axis (`kinms.kernels.line.line_rows`): as exact as that of regular ones, and nearly as fast.
Thickness
    A thick disc is a stack of thin ones, Gauss-Laguerre nodes in the height z, each shifted along the minor axis.
Warps
    As long as no ring crosses another, one ring passes each place: Newton's method finds which.

The error is estimated on every eighth pixel (every second for narrow lines, whose errors differ from one to the next)
and on all near the centre, where the nodes are compared with a finer rule, and in a window round the centre, where a
stack is compared with a higher one. The differences go through the beam as the model does. Where the orientation of a
warp bends its light jumps, and slopes are good to a few per cent only.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from kinms.convolution import Smoother
from kinms.disc import Disc, sky_axes
from kinms.errors import InputTypeError
from kinms.grid import CubeGrid
from kinms.kernels.line import NORMAL
from kinms.kernels.sky import deposit_plain, deposit_sky
from kinms.profiles import BrightnessLaw
from kinms.radial import Channels, is_narrow, least_cosine, line_of, planes, radial_tables, ring_tables, speed_range
from kinms.records import FloatArray
from kinms.sparse import SparseCube
from kinms.threads import limit, run, spans

__all__ = ["PER_PIXEL", "SkyGrid", "first_level", "layers", "rings_cross", "table_error"]

#: Values of the radial tables per pixel, times the level if that is above 1.
PER_PIXEL = 16
#: Nodes are four times and twice as many to a side within these distances (pixels) of the centre.
CORE, CORE_NARROW = (2.5, 4.5), (3.5, 8.5)
#: One in so many pixels takes part in the estimate of the error: for Gauss-Legendre nodes, and for the cells of narrow
#: lines. Of those, one in eight would leave half of the estimate to chance.
EVERY = (8, 2)
#: Half the size of the window in which the stack of a thick disc is compared with a higher one, pixels.
WINDOW = 24
#: Midpoints err with the square of their distance: n and 1.5 n of them to a side differ by 5/9 of the error of n.
MIDPOINT_ERROR = 9.0 / 5.0
#: Cosine of the inclination below which more is added to that, in proportion.
STEEP_CELLS = 0.7
#: The estimate is multiplied by this, and near the centre, where steep things converge more slowly, by this again:
#: for Gauss-Legendre nodes, and for the cells of narrow lines.
SAFETY, CENTRE = (1.5, 1.45), (2.0, 1.5)
#: Relative error of the radial tables at level 1: smooth laws, and light with a scale of one pixel.
TABLE_ERROR, TABLE_ERROR_PIXEL = 1e-5, 3e-5
#: What a velocity that is not linear inside its cell adds for narrow lines, at level 1.
CELL_ERROR = 8e-5
#: Layers of less weight than this are left out.
FAINT = 1e-4
#: Fewer nodes stay on one thread.
SMALL = 300_000


def rings_cross(disc: Disc) -> bool:
    """Return whether rings of different orientation pass, or nearly pass, the same place on the sky.

    See `kinms.kernels.sky`: they do where rho' = d rho / dR reaches 1 at some azimuth.
    """
    if disc.radius is None or not disc.is_warped:
        return False
    n = disc.radius.size
    r = np.concatenate([disc.radius[:-1] + f * np.diff(disc.radius) for f in (0.01, 0.5, 0.99)])
    inc, pa = (np.radians(np.broadcast_to(value, n)) for value in (disc.inc, disc.pa))
    steps = np.diff(disc.radius)
    inc_slope, pa_slope = (np.tile(np.diff(value) / steps, 3) for value in (inc, pa))
    i = np.interp(r, disc.radius, inc)
    turn = r * pa_slope * (np.cos(i) - 1.0 / np.cos(i))
    tip = r * inc_slope * np.tan(i)
    return bool((0.5 * (tip + np.hypot(turn, tip))).max() > 0.7)


def table_error(disc: Disc, grid: CubeGrid, level: float) -> float:
    """Return about how much the radial tables add to the relative error."""
    light = disc.surface_brightness
    assert isinstance(light, BrightnessLaw)
    error = math.hypot(TABLE_ERROR, TABLE_ERROR_PIXEL * grid.cell / light.scale_radius())
    if is_narrow(disc, grid):
        error = math.hypot(error, CELL_ERROR)
    return error * (PER_PIXEL / table_density(level)) ** 2


def table_density(level: float) -> int:
    """Return how many values to a pixel the radial tables have: more for denser nodes."""
    return round(PER_PIXEL * max(level, 1.0))


def first_level(disc: Disc, grid: CubeGrid) -> float:
    """Return the node density (a power of two) that the scale of the light along the minor axis calls for."""
    light = disc.surface_brightness
    if not isinstance(light, BrightnessLaw):
        raise InputTypeError("surface_brightness", type(light).__name__, "a brightness law")
    pixels = light.scale_radius() * least_cosine(disc) / grid.cell
    nodes = 3.4 if is_narrow(disc, grid) else 2.5
    return float(2.0 ** np.clip(np.ceil(np.log2(nodes / pixels)), 0, 4))


def layers(disc: Disc, n: int) -> list[tuple[float, float]]:
    """Return heights (arcsec) and weights of thin layers for a thick disc, one in the midplane for a thin one.

    Gauss-Laguerre quadrature with ``n`` nodes above the midplane and as many below, less those of hardly any weight.
    """
    height = float(np.max(disc.scale_height))
    if height == 0.0:
        return [(0.0, 1.0)]
    t, w = np.polynomial.laguerre.laggauss(n)
    t, w = t[w > FAINT], w[w > FAINT]
    return [(sign * height * z, 0.5 * part) for z, part in zip(t, w / w.sum(), strict=True) for sign in (1.0, -1.0)]


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Rule of each pixel, where rules begin, their nodes (x, y, weight and cell size in pixels), and nodes in all."""

    rules: np.ndarray
    start: np.ndarray
    tx: FloatArray
    ty: FloatArray
    weight: FloatArray
    size: FloatArray

    @functools.cached_property
    def count(self) -> int:
        """Nodes in all."""
        return int(np.diff(self.start)[self.rules].sum())


def _rule(n: int, narrow: bool, more: bool) -> tuple[FloatArray, FloatArray]:
    """Nodes in [-1/2, 1/2] and weights with unit sum: composite Gauss-Legendre, or the middles of n equal cells.

    ``more`` gives the finer rule that this one is compared with.
    """
    if narrow:
        n = n + n // 2 if more else n
        return (np.arange(n) + 0.5) / n - 0.5, np.full(n, 1.0 / n)
    cells = {1: 1, 2: 1, 4: 2}.get(n, n // 4)  # cell corners sit in the pixel's centre, where the cusp is
    order = n // cells
    x, w = np.polynomial.legendre.leggauss(max(order + order // 2, order + 1) if more else order)
    centres = (np.arange(cells) + 0.5) / cells - 0.5
    return (centres[:, None] + x / (2.0 * cells)).ravel(), np.tile(w / (2.0 * cells), cells)


def _square(n: int, narrow: bool, more: bool, factor: float) -> tuple[FloatArray, ...]:
    t, w = _rule(n, narrow, more)
    weight = factor * np.outer(w, w).ravel()
    return np.tile(t, t.size), np.repeat(t, t.size), weight, np.full(t.size**2, 1.0 / t.size)


@functools.lru_cache(maxsize=12)
def _layout(ny: int, nx: int, x0: float, y0: float, level: float, narrow: bool, which: str) -> _Layout:
    """Lay nodes out with a refinement centred on pixel position (x0, y0).

    ``which`` is ``all`` for the model. For the estimates of its error there are ``finer``: the finer rule less the rule
    itself, on one pixel in `EVERY`, which stands for all, and on all near the centre; and ``window``: the rule itself
    on a square round the centre.
    """
    y, x = np.mgrid[:ny, :nx]
    distance = np.hypot(x - x0, y - y0)
    inner, outer = CORE_NARROW if narrow else CORE
    density = np.select([distance <= inner, distance <= outer], [2, 1], 0)
    if which == "finer":
        density = np.where((density > 0) | ((x + 3 * y) % EVERY[narrow] == 0), density, 3)
    elif which == "window":
        density = np.where(np.maximum(abs(x - x0), abs(y - y0)) <= WINDOW, density, 3)
    parts = []
    for k in range(3):
        n = round(2 * level * 2**k)
        factor = float(EVERY[narrow]) if k == 0 else CENTRE[narrow]
        if which == "finer":
            pairs = zip(_square(n, narrow, True, factor), _square(n, narrow, False, -factor), strict=True)
            parts.append(tuple(np.concatenate(pair) for pair in pairs))
        else:
            parts.append(_square(n, narrow, False, 1.0))
    counts = [part[0].size for part in parts]
    start = np.concatenate([[0], np.cumsum(counts), [sum(counts)]]).astype(np.int64)
    nodes = [np.concatenate(values) for values in zip(*parts, strict=True)]
    return _Layout(density.astype(np.uint8), start, *nodes)


class SkyGrid:
    """Thin discs, or stacks of them, on nodes that stay where they are.

    Parameters
    ----------
    disc : Disc
        Its centre is where the refinement is.
    grid : CubeGrid
        The pixels.
    level : float
        2 x level nodes per pixel and axis, twice and four times as many near the centre.
    heights : int
        Layers of a thick disc on either side, faint ones included.
    """

    name = "sky grid"

    def __init__(self, disc: Disc, grid: CubeGrid, level: float, heights: int = 1) -> None:
        self.grid, self.level, self.heights = grid, level, heights
        self.x0, self.y0 = _pixel(disc, grid)
        self.channels = Channels.of(grid)
        # A model and the estimate of its error follow each other, and use the same tables.
        self._last: tuple[Any, Any] = (None, None)

    def deposit(self, disc: Disc, cube: SparseCube) -> int:
        """Replace what is in ``cube`` by the disc, Jy per pixel, and return the number of nodes."""
        return self._deposit(disc, cube, "all", layers(disc, self.heights))

    def error(self, disc: Disc, cube: SparseCube, smooth: Smoother) -> tuple[float, float]:
        """Return estimates of the error of `deposit` after the beam, as root of summed squares and relative.

        Uses ``cube``. The first is that of the nodes. Differences to a finer rule, on some pixels that stand for all,
        go through the beam. That they are so few adds scatter, which is taken off: what their squares would sum to if
        no two pixels had anything to do with each other.

        The second is that of the layers of a thick disc: the difference to a higher stack, in a window round the
        centre, where it is largest.
        """
        narrow = is_narrow(disc, self.grid)
        # Errors of layers partly cancel: a small stack shows it.
        self._deposit(disc, cube, "finer", layers(disc, 2))
        square = smooth.square(cube)
        scatter = (1.0 - 1.0 / EVERY[narrow]) * smooth.uncorrelated(cube)
        nodes = SAFETY[narrow] * math.sqrt(max(square - scatter, 0.25 * square))
        if narrow:
            # Cells that are long in the disc, as those of steep ones are, err by more than the two rules differ.
            nodes *= MIDPOINT_ERROR * max(STEEP_CELLS / least_cosine(disc), 1.0)
        if not disc.is_thick:
            return nodes, 0.0
        stack = layers(disc, self.heights)
        self._deposit(disc, cube, "window", stack)
        whole = smooth.square(cube)
        self._deposit(disc, cube, "window", layers(disc, self.heights + 3) + [(z, -part) for z, part in stack])
        return nodes, SAFETY[0] * math.sqrt(smooth.square(cube) / whole) if whole > 0.0 else 0.0

    def _tables(self, disc: Disc) -> tuple[Any, ...]:
        """What all deposits of a disc share: tables of radius and of the line, channel of v_sys, and a weight."""
        last, tables = self._last  # at once: another thread may be at work on another disc
        if last is disc:
            return tables
        grid, light = self.grid, disc.surface_brightness
        if not isinstance(light, BrightnessLaw):
            raise InputTypeError("surface_brightness", type(light).__name__, "a brightness law")
        per_pixel = table_density(self.level)
        radial, harmonics, widths = radial_tables(disc, grid, per_pixel)
        rings = ring_tables(disc, grid, per_pixel, radial.shape[0])
        sin_i, cos_i = (1.0, 1.0) if disc.is_warped else sky_axes(float(disc.inc))
        w0 = disc.flux / light.total() * grid.cell**2 / max(abs(cos_i), 1e-6) / grid.dv
        u0 = (disc.v_sys - grid.velocity_edges[0]) / grid.dv
        scales = per_pixel / grid.cell, sin_i / grid.dv, u0
        reach = speed_range(radial, harmonics, scales[1]) if self.channels.edges.size else 0.0
        line = line_of(disc, grid, self.channels, (u0 - reach, u0 + reach))
        tables = radial, harmonics, rings, widths, scales, line, w0
        self._last = disc, tables
        return tables

    def _deposit(self, disc: Disc, cube: SparseCube, which: str, stack: list[tuple[float, float]]) -> int:
        grid, narrow = self.grid, is_narrow(disc, self.grid)
        layout = self._nodes(disc, narrow, which)
        radial, harmonics, rings, widths, scales, line, w0 = self._tables(disc)
        plain = line.table.size > 0 and harmonics.shape[0] == 0 and rings.shape[0] == 0
        threads = 1 if layout.count < SMALL else limit()
        for number, (z, part) in enumerate(stack):
            plane, frame = planes(disc, grid, z)

            def work(
                rows: tuple[int, int], plane: FloatArray = plane, frame: FloatArray = frame,
                weight: float = w0 * part, clear: bool = number == 0,
            ) -> None:  # fmt: skip
                target = cube.flat, cube.hull, cube.shape, cube.margin, cube.pad, grid.nv
                nodes = layout.rules, layout.start, layout.tx, layout.ty, layout.weight, layout.size
                if plain and not disc.own_kinematics:
                    deposit_plain(*target, *nodes, plane, radial, *scales, weight, *line, clear, *rows)
                else:
                    deposit_sky(
                        *target, *nodes, plane, frame, radial, harmonics, rings, widths, *scales, weight, *line,
                        narrow, NORMAL, tuple(self.channels), clear, *rows,
                    )  # fmt: skip

            run(work, spans(grid.ny, threads), threads)
        return layout.count * len(stack)

    def _nodes(self, disc: Disc, narrow: bool, which: str) -> _Layout:
        # A centre that is fitted takes the refinement along, in steps of two pixels, which it can bridge.
        x, y = _pixel(disc, self.grid)
        x0, y0 = self.x0 + 2.0 * round((x - self.x0) / 2.0), self.y0 + 2.0 * round((y - self.y0) / 2.0)
        return _layout(self.grid.ny, self.grid.nx, x0, y0, self.level, narrow, which)


def _pixel(disc: Disc, grid: CubeGrid) -> tuple[float, float]:
    """Pixel position of the disc's centre."""
    return float(grid.x_ref or 0.0) - disc.east / grid.cell, float(grid.y_ref or 0.0) + disc.north / grid.cell
