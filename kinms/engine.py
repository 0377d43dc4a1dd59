"""From a disc to voxels: which evaluator, how dense, and how good.

Two evaluators fill a sparse cube, chosen by the physics: `kinms.sky_grid` for discs that map each sky position to one
(R, theta), `kinms.points` for all others. A `Model` fixes that choice and the density for a disc, so that its cubes are
smooth functions of the parameters; it gives them whole, or as the sums that chi-squared is made of.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol

import numpy as np

from kinms.convolution import METHODS, Smoother, smoother
from kinms.disc import Cloudlets, Disc
from kinms.errors import InputError, InputTypeError
from kinms.grid import FWHM_PER_SIGMA, PSF, CubeGrid
from kinms.kernels.beam import add_and_subtract
from kinms.memory import check_memory
from kinms.points import COPIES, SKY, SOFT, CloudletPoints, RingPoints
from kinms.radial import is_narrow, least_cosine
from kinms.records import FloatArray, Record, check_scalar
from kinms.sky_grid import PER_PIXEL, SkyGrid, first_level, rings_cross, table_error
from kinms.sparse import SparseCube, workspace

__all__ = ["FLOOR", "Evaluator", "Model", "Sample", "Sampling", "choose", "sample", "usual_points"]

REFERENCES = ("pixel", "sky")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Sampling(Record):
    """Accuracy and effort of a model, apart from its physics.

    Parameters
    ----------
    accuracy : float
        Relative rms error of the cube that is aimed at, 1e-6 to 1e-1. The density of nodes is doubled until the
        estimated error is below it; what was reached, usually better, is in `Stats.accuracy`.
    points : int, optional
        Use exactly this many points wherever points are needed, whatever the accuracy.
    estimate : bool
        Whether to measure the accuracy. Without, a rule fixes the density from the disc's scale, and
        `Stats.accuracy` is NaN.
    reference : str
        ``pixel``: light is summed over each pixel, then convolved with the beam on the grid, as everyone computes it.
        ``sky``: the sky is convolved with the beam and read off at the centres of the pixels, as an interferometer
        does.
    method : str
        Of the convolution: ``direct`` for one-dimensional passes, ``fft``, or ``auto`` for the faster one.

    Raises
    ------
    InputError, InputTypeError
        If a value is out of range or of the wrong kind.

    Examples
    --------
    >>> Sampling(accuracy=1e-4).accuracy
    0.0001
    """

    accuracy: float = 1e-3
    points: int | None = None
    estimate: bool = True
    reference: str = "pixel"
    method: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "accuracy", check_scalar("accuracy", self.accuracy, minimum=1e-6, maximum=0.1))
        if self.points is not None:
            points = check_scalar("points", self.points, minimum=2)
            object.__setattr__(self, "points", int(points))
        if not isinstance(self.estimate, bool):
            raise InputTypeError("estimate", repr(self.estimate), "True or False")
        for name, allowed in (("reference", REFERENCES), ("method", METHODS)):
            if getattr(self, name) not in allowed:
                raise InputError(name, repr(getattr(self, name)), " or ".join(repr(a) for a in allowed))


class Evaluator(Protocol):
    """What fills a sparse cube."""

    name: str

    def deposit(self, disc: Disc, cube: SparseCube) -> int:
        """Replace what is in ``cube`` by the disc, Jy per pixel, and return how many nodes that took."""
        ...


#: What the cut of the light at `kinms.profiles.TAIL` and single precision leave out.
FLOOR = 1e-6
#: Above this inclination a thin sky grid would need too many nodes along the minor axis.
STEEP = 83.0
#: A sky grid has at most this many nodes.
MAX_NODES = 40_000_000
#: Level of a sky grid planned for a disc that itself needs points: enough up to the inclination where those begin.
STEEP_LEVEL = 4
#: Points to begin with, as a rule without an estimate, and at most.
FIRST_POINTS, USUAL_POINTS, MOST_POINTS = 1 << 17, 1 << 18, 1 << 23
#: The same as a rule for narrow lines, whose channels have sharp edges for points to cross.
USUAL_NARROW_POINTS = 1 << 20
#: Standard errors of the points that are stated as their error.
SAFETY = 2.2
#: Layers on either side of a thick disc to begin with, and in all, at most: with more of them points are cheaper.
MOST_HEIGHTS, MOST_LAYERS = 16, 24
#: Nodes of all layers with narrow lines, at most, for the same reason.
MOST_NARROW_NODES = 6_000_000
#: Beyond some 60 degrees their stack converges too slowly.
LEAST_NARROW_COSINE = 0.49
#: Error of wide soft edges (`SKY`) that the beam does not take out again.
SHARING = 3e-4
#: Narrow ones (`SOFT`) are compared with others, narrower by this factor; they become so, twice at most, where that
#: matters. They do for light that ends, or shines, close to the edge of a pixel.
NARROWER, NARROWEST = 4, 16
#: Points that tell the two apart: at least, and for an accuracy of 1e-3 or better.
SHARERS = 1 << 16, 1 << 19


def choose(disc: Disc, grid: CubeGrid, beam: PSF | None = None, reference: str = "pixel") -> str:
    """Return which evaluator a disc needs: ``"sky grid"``, ``"points"`` or ``"cloudlets"``."""
    light = disc.surface_brightness
    if isinstance(light, Cloudlets):
        return "cloudlets"
    if reference == "sky" or least_cosine(disc) < math.cos(math.radians(STEEP)):
        return "points"
    if isinstance(disc.pa_kin, np.ndarray) or (disc.flow is not None and disc.flow.harmonics(np.zeros(1)) is None):
        return "points"
    if disc.is_warped and (_more_than_rings(disc) or is_narrow(disc, grid) or rings_cross(disc)):
        return "points"
    flared = np.ndim(disc.scale_height) > 0
    if disc.is_thick and (flared or _heights(disc, grid, beam) > MOST_HEIGHTS):
        return "points"
    if disc.is_thick and is_narrow(disc, grid):
        nodes = _count(grid, _allowed_level(disc, grid)) * 2 * _heights(disc, grid, beam)
        if nodes > MOST_NARROW_NODES or least_cosine(disc) < LEAST_NARROW_COSINE:
            return "points"
    # A pixel that swallows the disc, or its cusp, cannot integrate it with nodes of its own.
    narrow = light.scale_radius() * least_cosine(disc) <= 0.2 * grid.cell
    return "points" if narrow or _cuspy(disc, grid) else "sky grid"


def _more_than_rings(disc: Disc) -> bool:
    """Whether a warped disc has more than rotating rings: heights, flows or a kinematic frame of its own."""
    return disc.is_thick or disc.own_kinematics or disc.flow is not None


def _cuspy(disc: Disc, grid: CubeGrid) -> bool:
    """Whether light that matters rises steeply towards the centre where nodes lie too far apart to see it."""
    light = disc.surface_brightness
    assert not isinstance(light, Cloudlets)
    h = grid.cell / PER_PIXEL
    inner, outer = light.within(np.array([h, 2.0 * h]))
    total = light.total()
    return bool(abs(inner) > 3e-5 * abs(total) and 4.0 * abs(inner) > 1.25 * abs(outer))


def _heights(disc: Disc, grid: CubeGrid, beam: PSF | None) -> int:
    """Layers that a thick disc needs on either side: its projected height is to be compared with what blurs it."""
    if not disc.is_thick:
        return 1
    light = disc.surface_brightness
    assert not isinstance(light, Cloudlets)
    sigma = 0.3 * grid.cell if beam is None else beam.finest / FWHM_PER_SIGMA
    scale, cos_i = light.scale_radius(), max(least_cosine(disc), 1e-3)
    # Seen from the same place on the sky a layer shows a part of the disc that lies z tan i further out. Where lines
    # are narrow a channel shows a strip of the disc, whose edges only the beam blurs.
    blurred = sigma if is_narrow(disc, grid) else np.hypot(sigma, 0.5 * scale * cos_i)
    shift = np.sin(np.radians(np.max(disc.inc))) / blurred
    shift = max(shift, np.sin(np.radians(np.max(disc.inc))) / cos_i / scale)
    return math.ceil(3.0 + 13.0 * float(np.max(disc.scale_height)) * shift)


def _softness(grid: CubeGrid, beam: PSF | None, sampling: Sampling, kind: str) -> float:
    """Width of the soft edges between pixels for points."""
    if beam is None or beam.finest < 2.0 * grid.cell:
        return 0.0  # there is no beam to take them out again
    if sampling.reference == "sky":
        return SKY
    return 0.0 if kind == "cloudlets" else SOFT


@dataclasses.dataclass(frozen=True)
class Sample:
    """A cube and how it came about.

    Parameters
    ----------
    data : ndarray, shape (nv, ny, nx)
        After the beam, single precision; empty if it was not wanted.
    inside : float
        Flux in the field, Jy km/s.
    n : int
        Nodes or points.
    accuracy : float
        Relative rms error, estimated; NaN if it was not.
    density : tuple of float and int
        Level of the sky grid and layers of a thick disc on either side, or number of points and by how much their soft
        edges are narrower than usual.
    kind : str
        Name of the evaluator.
    """

    data: FloatArray
    inside: float
    n: int
    accuracy: float
    density: tuple[float, int]
    kind: str


def sample(disc: Disc, grid: CubeGrid, beam: PSF | None, sampling: Sampling, dense: bool = True) -> Sample:
    """Evaluate a disc as densely as the accuracy needs; with ``dense`` False its data are left empty."""
    kind = choose(disc, grid, beam, sampling.reference)
    width = 0.0 if kind == "sky grid" else _softness(grid, beam, sampling, kind)
    smooth = _smoother(grid, beam, sampling, width)
    if kind == "sky grid":
        return _sample_sky(disc, grid, beam, sampling, smooth, dense)
    if kind == "points":
        return _sample_points(disc, grid, beam, sampling, width, dense)
    cube = workspace(*smooth.shape)
    n = CloudletPoints(grid, width).deposit(disc, cube)
    inside = _flux_inside(disc, grid, cube)
    return Sample(_finish(smooth, cube, dense)[0], inside, n, 0.0, (1, 1), kind)


def _finish(smooth: Smoother, cube: SparseCube, dense: bool) -> tuple[FloatArray, float]:
    """Return the cube after the beam, or an empty one, and the sum of its squares."""
    return smooth.dense(cube) if dense else (np.zeros((0, 0, 0), dtype=np.float32), smooth.square(cube))


def _smoother(grid: CubeGrid, beam: PSF | None, sampling: Sampling, width: float) -> Smoother:
    fix = "Model a smaller field, fewer channels or larger pixels."
    check_memory("the grid", 4.0 * grid.nv * grid.ny * grid.nx, fix)
    box = sampling.reference == "sky" and width > 0.0
    return smoother(grid.nv, grid.ny, grid.nx, beam, grid.cell, sampling.method, width, box)


def _flux_inside(disc: Disc, grid: CubeGrid, cube: SparseCube) -> float:
    """Flux of the intrinsic cube; quadrature must not make it exceed what a disc of one sign has."""
    if grid.edges is None:
        total, size, _ = cube.sums()
        inside = total * grid.dv
    else:
        total, size = cube.weighted_sums(grid.widths)
        inside = total
    one_sign = abs(total) > 0.999 * size
    return disc.flux if one_sign and abs(inside) > abs(disc.flux) else inside


def _allowed_level(disc: Disc, grid: CubeGrid) -> float:
    """Level that the scale of the light calls for, as far as the number of nodes allows."""
    level = first_level(disc, grid)
    while level > 1 and _count(grid, level) > MAX_NODES:
        level /= 2
    return level


def _count(grid: CubeGrid, level: float) -> int:
    return round(grid.ny * grid.nx * (2 * level) ** 2)


def _sample_sky(
    disc: Disc, grid: CubeGrid, beam: PSF | None, sampling: Sampling, smooth: Smoother, dense: bool
) -> Sample:
    """Double the density, and raise the stack of a thick disc, until the estimated error is small enough."""
    level, heights = _allowed_level(disc, grid), _heights(disc, grid, beam)
    cube = workspace(*smooth.shape)
    while True:
        nodes = SkyGrid(disc, grid, level, heights)
        errors = nodes.error(disc, cube, smooth) if sampling.estimate else (np.nan, np.nan)
        n = nodes.deposit(disc, cube)
        inside = _flux_inside(disc, grid, cube)
        data, square = _finish(smooth, cube, dense)
        of_nodes, of_layers = errors[0] / np.sqrt(square) if square > 0.0 else 0.0 * errors[0], errors[1]
        accuracy = math.hypot(of_nodes, of_layers, table_error(disc, grid, level))
        # NaN, of an estimate that was not asked for, is not larger than anything.
        if not accuracy > sampling.accuracy or _count(grid, 2 * level) * heights > MAX_NODES or heights > MOST_LAYERS:
            return Sample(data, inside, n, accuracy, (level, heights), nodes.name)
        if of_layers > 0.7 * sampling.accuracy:
            heights += 5
        if of_nodes > 0.7 * sampling.accuracy or of_layers <= 0.7 * sampling.accuracy:
            level *= 2


def _sample_points(
    disc: Disc, grid: CubeGrid, beam: PSF | None, sampling: Sampling, width: float, dense: bool
) -> Sample:
    """Double the number of points until independent halves of them agree."""
    n = sampling.points or (FIRST_POINTS if sampling.estimate else usual_points(disc, grid))
    shared, narrower = 0.0, 1
    if sampling.estimate:
        shared, narrower = _shared(disc, grid, beam, sampling, width)
        width /= narrower
    smooth = _smoother(grid, beam, sampling, width)
    rest = math.sqrt(max(sampling.accuracy**2 - FLOOR**2 - shared**2, 0.0)) or sampling.accuracy
    cube = workspace(*smooth.shape)
    while True:
        points = RingPoints(grid, n, width)
        if not sampling.estimate:
            used, accuracy = points.deposit(disc, cube), np.nan
            inside = _flux_inside(disc, grid, cube)
            return Sample(_finish(smooth, cube, dense)[0], inside, used, accuracy, (n, 1), points.name)
        other = SparseCube(*smooth.shape)
        cube.clear()
        rings = points.rings(disc)
        for copy, part in enumerate((cube, other)):
            points.add(disc, rings, part, copy)
        add_and_subtract(cube.flat, cube.hull, other.flat, other.hull, cube.shape, 1.0)
        inside = _flux_inside(disc, grid, cube)
        error = SAFETY * np.sqrt(smooth.square(other))
        data, square = _finish(smooth, cube, dense)
        error = float(error / np.sqrt(square)) if square > 0.0 else 0.0
        if error <= rest or sampling.points is not None or 2 * n > MOST_POINTS:
            accuracy = math.hypot(error, FLOOR, shared)
            return Sample(data, inside, points.n * COPIES, accuracy, (n, narrower), points.name)
        # The error falls a little more slowly than the number of points rises.
        ratio = min(max((error / rest) ** 1.3, 2.0), 16.0)
        n = min(2 ** int(np.ceil(np.log2(n * ratio))), MOST_POINTS)


def usual_points(disc: Disc, grid: CubeGrid) -> int:
    """Return how many points a disc gets by rule, where their error is not to decide it."""
    return USUAL_NARROW_POINTS if is_narrow(disc, grid) else USUAL_POINTS


def _shared(disc: Disc, grid: CubeGrid, beam: PSF | None, sampling: Sampling, width: float) -> tuple[float, int]:
    """Return the relative error of sharing points among pixels, and by how much narrower the soft edges are for it."""
    if width in (0.0, SKY):
        return (0.0 if width == 0.0 else SHARING), 1
    # Noise, which falls with the number of points, must not look like the error that is looked for.
    n = int(2 ** np.clip(np.round(np.log2(SHARERS[1] * 1e-3 / sampling.accuracy)), *np.log2(SHARERS)))
    narrower = 1
    while True:
        error = _sharing_error(disc, grid, beam, sampling, n, width / narrower)
        if error <= 0.5 * sampling.accuracy or narrower >= NARROWEST:
            return error, narrower
        narrower *= NARROWER


def _sharing_error(disc: Disc, grid: CubeGrid, beam: PSF | None, sampling: Sampling, n: int, width: float) -> float:
    """Relative rms by which soft edges of this width and much narrower ones differ after the beam.

    Independent sets of points have the difference that is looked for in common, and their noise not: the product of
    their differences is, on average, the square of it.
    """
    both = [(RingPoints(grid, n, w), _smoother(grid, beam, sampling, w)) for w in (width, width / NARROWER)]
    cube = SparseCube(*both[0][1].shape)
    rings = both[0][0].rings(disc)
    differences, square = [], 0.0
    for copy in range(COPIES):
        made = []
        for points, smooth in both:
            cube.clear()
            points.add(disc, rings, cube, copy)
            made.append(smooth.dense(cube))
        square += made[0][1]
        differences.append(made[0][0] - made[1][0])
    common = float(np.sum(differences[0] * differences[1], dtype=float))
    if square <= 0.0:
        return 0.0
    # The error falls with the square of the width: of the narrower edges, a part of it is left.
    part = 1.0 - 1.0 / NARROWER**2
    return math.sqrt(max(common, 0.0) / (0.5 * square)) / part


class Model:
    """A disc turned into a cube with a fixed layout of nodes: what a fit calls thousands of times.

    The layout is planned once, for the disc given here, so that the cube is a smooth function of the parameters.
    A disc that needs another evaluator (an inclination that reaches edge-on) gets a layout of its own.

    Parameters
    ----------
    disc : Disc
        The first one, for which the accuracy is met.
    grid : CubeGrid
        Pixels and channels.
    beam : PSF, optional
        None leaves the cube unconvolved, in Jy per pixel.
    sampling : Sampling, optional
        Accuracy.

    Examples
    --------
    >>> from kinms.grid import Beam
    >>> from kinms.profiles import ArctanCurve, ExponentialDisc
    >>> disc = Disc(surface_brightness=ExponentialDisc(3.0), rotation=ArctanCurve(100.0, 1.0), inc=40, pa=30)
    >>> model = Model(disc, CubeGrid((16, 32, 32), 1.0, 20.0), Beam(4.0))
    >>> model(disc.replace(inc=41.0)).shape
    (16, 32, 32)
    """

    def __init__(self, disc: Disc, grid: CubeGrid, beam: PSF | None = None, sampling: Sampling | None = None) -> None:
        self.disc, self.grid, self.beam = disc, grid, beam
        self.sampling = sampling or Sampling()
        self._density: dict[str, tuple[float, int]] = {}
        self._evaluators: dict[tuple[str, float, int], tuple[Evaluator, Smoother]] = {}
        self.evaluator(disc)

    def __call__(self, disc: Disc) -> FloatArray:
        """Return the cube, shape (nv, ny, nx), Jy/beam (Jy/pixel without a beam), single precision."""
        evaluator, smooth = self.evaluator(disc)
        cube = workspace(*smooth.shape)
        evaluator.deposit(disc, cube)
        return smooth.dense(cube)[0]

    def products(self, disc: Disc, data: FloatArray, weights: FloatArray | None) -> tuple[float, float]:
        """Return the sums of w m^2 and w d m, of which chi-squared is made; no dense cube is built.

        Parameters
        ----------
        disc : Disc
        data : ndarray of float32, in blocks (`kinms.sparse.blocked`)
            Data times weights; zero where a voxel does not count.
        weights : ndarray of float32, in blocks, or None
            None: one everywhere.
        """
        evaluator, smooth = self.evaluator(disc)
        cube = workspace(*smooth.shape)
        evaluator.deposit(disc, cube)
        return smooth.products(cube, data, weights)

    def evaluator(self, disc: Disc) -> tuple[Evaluator, Smoother]:
        """Return what evaluates this disc, and what convolves it."""
        kind = choose(disc, self.grid, self.beam, self.sampling.reference)
        if kind not in self._density:
            # From the constructor's disc alone: what was called before must leave no trace in the results.
            self._density[kind] = self._plan(kind)
        density, heights = self._density[kind]
        if kind == "sky grid":
            # A disc far from the first one, much steeper or thicker, needs more than was planned.
            density = max(density, _allowed_level(disc, self.grid))
            heights = max(heights, _heights(disc, self.grid, self.beam))
        key = (kind, density, heights)
        if key not in self._evaluators:
            self._evaluators[key] = self._build(kind, density, heights)
        return self._evaluators[key]

    def _plan(self, kind: str) -> tuple[float, int]:
        """Density with which an evaluator meets the accuracy for the first disc."""
        if kind == "cloudlets":
            return 1, 1
        if choose(self.disc, self.grid, self.beam, self.sampling.reference) != kind:
            if kind == "sky grid":
                return STEEP_LEVEL, 1
            return self.sampling.points or usual_points(self.disc, self.grid), 1
        return sample(self.disc, self.grid, self.beam, self.sampling, dense=False).density

    def _build(self, kind: str, density: float, heights: int) -> tuple[Evaluator, Smoother]:
        if kind == "sky grid":
            return SkyGrid(self.disc, self.grid, density, heights), _smoother(self.grid, self.beam, self.sampling, 0.0)
        width = _softness(self.grid, self.beam, self.sampling, kind) / heights
        smooth = _smoother(self.grid, self.beam, self.sampling, width)
        if kind == "points":
            return RingPoints(self.grid, int(density), width), smooth
        return CloudletPoints(self.grid, width), smooth

    def __getstate__(self) -> dict[str, Any]:
        # Tables are quicker to make again than to send to another process.
        return {**self.__dict__, "_evaluators": {}}
