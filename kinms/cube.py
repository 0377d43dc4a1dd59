"""`Cube`, and `simulate`: the one place where a model is assembled."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from kinms.convolution import convolve
from kinms.disc import Disc
from kinms.errors import InputError, InputTypeError, KinmsWarning
from kinms.evaluators import (
    COPIES,
    MAX_NODES,
    CloudletSum,
    PointMean,
    PointSum,
    SkyGrid,
    choose,
    is_narrow,
    sky_grid_level,
)
from kinms.grid import Beam, CubeGrid
from kinms.records import FloatArray, Record, check_scalar

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["Cube", "Model", "Sampling", "SpectralAxis", "Stats", "simulate"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SpectralAxis(Record):
    """What a file says of its third axis.

    Parameters
    ----------
    convention : str
        ``radio``, ``optical`` or ``relativistic``: how frequencies or wavelengths became velocities.
    frame : str
        FITS SPECSYS, such as ``LSRK``; empty where the file does not tell.
    rest_value : float or None
        Rest frequency or wavelength, in `rest_unit`.
    rest_unit : str
        ``Hz`` or ``m``.
    ctype : str
        FITS CTYPE3 as found.
    """

    convention: str = "radio"
    frame: str = ""
    rest_value: float | None = None
    rest_unit: str = "Hz"
    ctype: str = "VRAD"


@dataclasses.dataclass(frozen=True)
class Stats:
    """How a model came about, and what was lost.

    Parameters
    ----------
    flux_inside, flux_outside : float
        Jy km/s inside and outside of the cube, before the beam carries any across its edges.
    n_samples : int
        Nodes, points or cloudlets that were evaluated.
    accuracy : float
        Relative rms error of the cube, estimated afterwards: what doubling the nodes of a sky grid changed, or twice
        the standard error among independent sets of points.
    evaluator : str
        ``sky grid``, ``points`` or ``cloudlets``.
    messages : tuple of str
        The warnings that were given.
    """

    flux_inside: float
    flux_outside: float
    n_samples: int
    accuracy: float
    evaluator: str
    messages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Cube(Record):
    """A datacube with its grid and beam.

    Parameters
    ----------
    data : ndarray, shape (nv, ny, nx)
        Velocity ascending, x growing West, y North.
    grid : CubeGrid
        Pixels and channels.
    beam : Beam or None
        None where the file has none, or a model was not convolved.
    unit : str
        Of the data.
    mask : ndarray of bool, shape (nv, ny, nx), optional
        True where a voxel may be used; default everywhere. Voxels that are not finite are never used.
    rms : float, optional
        Noise of one voxel, in `unit`.
    stats : Stats, optional
        Of a simulated cube.
    spectral : SpectralAxis
        What the file says of its velocities.
    header : astropy.io.fits.Header, optional
        The file's cards.
    flipped : tuple of str
        Axes that were reversed on reading.
    warnings : tuple of str
        What was assumed on reading.

    Raises
    ------
    InputError
        If data, mask and grid differ in shape.
    """

    data: FloatArray
    grid: CubeGrid
    beam: Beam | None = None
    unit: str = "Jy/beam"
    mask: np.ndarray | None = None
    rms: float | None = None
    stats: Stats | None = None
    spectral: SpectralAxis = SpectralAxis()
    header: fits.Header | None = None
    flipped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.grid, CubeGrid):
            raise InputTypeError("grid", repr(self.grid), "a CubeGrid")
        data = np.asarray(self.data)
        if data.shape != self.grid.shape:
            raise InputError("the shape of data", data.shape, f"{self.grid.shape}, as the grid's (nv, ny, nx)")
        object.__setattr__(self, "data", data)
        if self.mask is not None:
            mask = np.asarray(self.mask, dtype=bool)
            if mask.shape != data.shape:
                raise InputError("the shape of mask", mask.shape, f"{data.shape}, as data")
            object.__setattr__(self, "mask", mask)

    def __repr__(self) -> str:
        return f"<Cube {self.data.shape} {self.unit}, {self.grid!r}, {self.beam!r}>"

    def _key(self) -> tuple[Any, ...]:
        header = None if self.header is None else self.header.tostring()
        key = dataclasses.replace(self, header=None)
        return (*super(Cube, key)._key(), header)

    @property
    def valid(self) -> np.ndarray:
        """True where a voxel is finite and not masked out, shape (nv, ny, nx)."""
        finite = np.isfinite(self.data)
        return finite if self.mask is None else finite & self.mask

    @property
    def pixels_per_beam(self) -> float:
        """Beam area in pixels; 1 without a beam, or where the unit is not per beam."""
        if self.beam is None or "beam" not in self.unit.lower():
            return 1.0
        return self.beam.pixels(self.grid.cell)

    def _clean(self) -> FloatArray:
        return np.where(self.valid, self.data, 0.0)

    def moment0(self, keep: np.ndarray | None = None) -> FloatArray:
        """Integrated intensity, shape (ny, nx), unit x km/s; of the voxels where ``keep`` is true if given."""
        data = self._clean() if keep is None else np.where(keep, self._clean(), 0.0)
        return np.asarray(data.sum(axis=0) * self.grid.dv)

    def moment1(self, keep: np.ndarray | None = None) -> FloatArray:
        """Intensity-weighted mean velocity, shape (ny, nx), km/s; NaN where there is no positive intensity."""
        data = self._clean() if keep is None else np.where(keep, self._clean(), 0.0)
        total = data.sum(axis=0)
        mean = np.full(total.shape, np.nan)
        np.divide(np.tensordot(self.grid.velocities, data, 1), total, out=mean, where=total > 0)
        return mean

    def moment2(self, keep: np.ndarray | None = None) -> FloatArray:
        """Intensity-weighted velocity dispersion, shape (ny, nx), km/s; NaN as in `moment1`."""
        data = self._clean() if keep is None else np.where(keep, self._clean(), 0.0)
        total = data.sum(axis=0)
        mean = self.moment1(keep)
        square = np.full(total.shape, np.nan)
        np.divide(np.tensordot(self.grid.velocities**2, data, 1), total, out=square, where=total > 0)
        return np.asarray(np.sqrt(np.maximum(square - mean**2, 0.0)))

    def spectrum(self, keep: np.ndarray | None = None) -> FloatArray:
        """Flux density per channel, shape (nv,), Jy where the unit is Jy/beam."""
        data = self._clean() if keep is None else np.where(keep, self._clean(), 0.0)
        return np.asarray(data.sum(axis=(1, 2)) / self.pixels_per_beam)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Sampling(Record):
    """Accuracy and effort of a model, apart from its physics.

    Parameters
    ----------
    accuracy : float
        Relative rms error of the cube that is aimed at, 1e-6 to 1e-1. The density of nodes is doubled until
        samplings agree to this; what was reached, usually better, is in `Stats.accuracy`.
    points : int, optional
        Use exactly this many points wherever points are needed, whatever the accuracy.
    estimate : bool
        Whether to measure the accuracy. Without, a rule fixes the density from the disc's scale, the model costs a
        third, and `Stats.accuracy` is NaN.
    """

    accuracy: float = 3e-3
    points: int | None = None
    estimate: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "accuracy", check_scalar("accuracy", self.accuracy, minimum=1e-6, maximum=0.1))
        if self.points is not None:
            points = check_scalar("points", self.points, minimum=2)
            object.__setattr__(self, "points", int(points))
        if not isinstance(self.estimate, bool):
            raise InputTypeError("estimate", repr(self.estimate), "True or False")


#: Points to begin with, as a rule without an estimate, and at most.
FIRST_POINTS, USUAL_POINTS, MOST_POINTS = 1 << 16, 1 << 18, 1 << 22
#: Standard errors of the points that are stated as their error.
SAFETY = 2.0


@dataclasses.dataclass(frozen=True)
class _Sample:
    """One evaluation: intrinsic spectra (ny, nx, nv), cube after the beam, nodes used, error estimate, its density."""

    spectra: FloatArray
    data: FloatArray
    n: int
    accuracy: float
    density: int


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
    beam : Beam, optional
        None leaves the cube unconvolved, in Jy per pixel.
    sampling : Sampling, optional
        Accuracy.

    Examples
    --------
    >>> from kinms.profiles import ArctanCurve, ExponentialDisc
    >>> disc = Disc(surface_brightness=ExponentialDisc(3.0), rotation=ArctanCurve(100.0, 1.0), inc=40, pa=30)
    >>> model = Model(disc, CubeGrid((16, 32, 32), 1.0, 20.0), Beam(4.0))
    >>> model(disc.replace(inc=41.0)).shape
    (16, 32, 32)
    """

    def __init__(self, disc: Disc, grid: CubeGrid, beam: Beam | None = None, sampling: Sampling | None = None) -> None:
        _check_types(disc, grid, beam)
        self.disc, self.grid, self.beam = disc, grid, beam
        self.sampling = sampling or Sampling()
        self._density: dict[str, int] = {}
        self._evaluators: dict[tuple[str, int, bool], Callable[[Disc], tuple[FloatArray, int]]] = {}
        self._evaluator(disc)

    def __call__(self, disc: Disc) -> FloatArray:
        """Return the cube, shape (nv, ny, nx), Jy/beam (Jy/pixel without a beam)."""
        return _to_beam(self._evaluator(disc)(disc)[0], self.grid, self.beam)

    def _evaluator(self, disc: Disc) -> Callable[[Disc], tuple[FloatArray, int]]:
        kind = choose(disc, self.grid)
        if kind not in self._density:
            # From the constructor's disc alone: what was called before must leave no trace in the results.
            self._density[kind] = _plan(kind, self.disc, self.grid, self.beam, self.sampling)
        density, follow = self._density[kind], False
        if kind == "sky grid":
            # A disc far from the first one, much steeper or with a much narrower line, needs more than was planned.
            density, follow = max(density, _allowed_level(disc, self.grid)), is_narrow(disc, self.grid)
        key = (kind, density, follow)
        if key not in self._evaluators:
            self._evaluators[key] = _build(kind, self.disc, self.grid, density, follow)
        return self._evaluators[key]

    def __getstate__(self) -> dict[str, Any]:
        # Node arrays are quicker to make again than to send to another process.
        return {**self.__dict__, "_evaluators": {}}


def simulate(disc: Disc, grid: CubeGrid, beam: Beam | None = None, sampling: Sampling | None = None) -> Cube:
    """Turn a disc into a mock cube.

    Parameters
    ----------
    disc : Disc
        The galaxy.
    grid : CubeGrid
        Pixels and channels.
    beam : Beam, optional
        None leaves the cube unconvolved, in Jy per pixel: the sky before the telescope.
    sampling : Sampling, optional
        Accuracy, default 3e-3.

    Returns
    -------
    Cube
        In Jy/beam, with `Stats`: flux inside and outside the field, nodes used, estimated accuracy. The same
        arguments give the same bits.

    Raises
    ------
    InputTypeError
        If an argument is of the wrong kind.

    Warns
    -----
    KinmsWarning
        If flux is lost outside the cube, the beam is under two pixels or larger than the field, or the accuracy
        cannot be reached.

    Examples
    --------
    >>> from kinms.profiles import ArctanCurve, ExponentialDisc
    >>> disc = Disc(surface_brightness=ExponentialDisc(3.0), rotation=ArctanCurve(100.0, 1.0), inc=40, pa=30, flux=5)
    >>> cube = simulate(disc, CubeGrid((16, 64, 64), 1.0, 20.0), Beam(4.0))
    >>> bool(abs(cube.stats.flux_inside - 5.0) < 0.01)
    True
    """
    _check_types(disc, grid, beam)
    sampling = sampling or Sampling()
    kind = choose(disc, grid)
    sample = _sample(kind, disc, grid, beam, sampling)
    inside = _flux_inside(disc, grid, sample)
    messages = tuple(_complaints(disc, grid, beam, sampling, sample, inside))
    for message in messages:
        warnings.warn(message, KinmsWarning, stacklevel=2)
    stats = Stats(inside, disc.flux - inside, sample.n, sample.accuracy, kind, messages)
    return Cube(sample.data, grid, beam, "Jy/pixel" if beam is None else "Jy/beam", stats=stats)


def _check_types(disc: Any, grid: Any, beam: Any) -> None:
    if not isinstance(disc, Disc):
        raise InputTypeError("disc", repr(disc), "a Disc")
    if not isinstance(grid, CubeGrid):
        raise InputTypeError("grid", repr(grid), "a CubeGrid")
    if beam is not None and not isinstance(beam, Beam):
        raise InputTypeError("beam", repr(beam), "a Beam or None")


def _to_beam(spectra: FloatArray, grid: CubeGrid, beam: Beam | None) -> FloatArray:
    """Jy per pixel, (ny, nx, nv) -> Jy/beam, (nv, ny, nx); unconvolved without a beam."""
    if beam is None:
        return np.ascontiguousarray(np.moveaxis(spectra, 2, 0))
    return convolve(spectra, beam, grid.cell) * beam.pixels(grid.cell)


def _build(
    kind: str, disc: Disc, grid: CubeGrid, density: int, follow: bool
) -> Callable[[Disc], tuple[FloatArray, int]]:
    if kind == "cloudlets":
        return CloudletSum(grid)
    return SkyGrid(disc, grid, density, follow) if kind == "sky grid" else PointMean(grid, density)


def _allowed_level(disc: Disc, grid: CubeGrid) -> int:
    """Level that the scale of the light calls for, as far as the number of nodes allows."""
    level = sky_grid_level(disc, grid)
    while level > 1 and SkyGrid.count(grid, level) > MAX_NODES:
        level //= 2
    return level


#: Level of a sky grid planned for a disc that itself needs points: enough up to the inclination where those begin.
STEEP_LEVEL = 4


def _plan(kind: str, disc: Disc, grid: CubeGrid, beam: Beam | None, sampling: Sampling) -> int:
    """Density with which an evaluator meets the accuracy for a disc: of two samplings that agreed, the coarser."""
    if kind == "cloudlets":
        return 1
    if kind == "sky grid" and choose(disc, grid) != kind:
        return STEEP_LEVEL
    density = _sample(kind, disc, grid, beam, sampling).density
    if not sampling.estimate or kind == "points":
        return density
    return max(density // 2, _allowed_level(disc, grid))


def _sample(kind: str, disc: Disc, grid: CubeGrid, beam: Beam | None, sampling: Sampling) -> _Sample:
    if kind == "cloudlets":
        spectra, n = CloudletSum(grid)(disc)
        return _Sample(spectra, _to_beam(spectra, grid, beam), n, 0.0, 1)
    return (_sample_sky if kind == "sky grid" else _sample_points)(disc, grid, beam, sampling)


#: What the cut of the light at `kinms.profiles.TAIL` leaves out.
FLOOR = 1e-6


def _sample_sky(disc: Disc, grid: CubeGrid, beam: Beam | None, sampling: Sampling) -> _Sample:
    """Double the node density until two samplings agree; the finer one is returned, the coarser one's error stated."""
    level, follow = _allowed_level(disc, grid), is_narrow(disc, grid)
    spectra, n = SkyGrid(disc, grid, level, follow)(disc)
    data = _to_beam(spectra, grid, beam)
    accuracy = np.nan
    while sampling.estimate:
        level *= 2
        coarse = data
        spectra, n = SkyGrid(disc, grid, level, follow)(disc)
        data = _to_beam(spectra, grid, beam)
        accuracy = float(np.hypot(_relative_rms([data - coarse], data), FLOOR))
        if accuracy <= sampling.accuracy or SkyGrid.count(grid, 2 * level) > MAX_NODES:
            break
    return _Sample(spectra, data, n, accuracy, level)


def _sample_points(disc: Disc, grid: CubeGrid, beam: Beam | None, sampling: Sampling) -> _Sample:
    """Double the number of points until independent copies of them agree."""
    n = max((sampling.points or (FIRST_POINTS if sampling.estimate else USUAL_POINTS)) // COPIES, 1)
    if not sampling.estimate:
        spectra, used = PointMean(grid, n * COPIES)(disc)
        return _Sample(spectra, _to_beam(spectra, grid, beam), used, np.nan, used)
    copies = [PointSum(grid, copy, 0, n)(disc)[0] for copy in range(COPIES)]
    while True:
        spectra = np.sum(copies, axis=0) / COPIES
        data = _to_beam(spectra, grid, beam)
        scatter = _relative_rms((_to_beam(c - spectra, grid, beam) for c in copies), data)
        accuracy = float(np.hypot(SAFETY * scatter / np.sqrt(COPIES * (COPIES - 1.0)), FLOOR))
        if accuracy <= sampling.accuracy or sampling.points is not None or 2 * n * COPIES > MOST_POINTS:
            return _Sample(spectra, data, n * COPIES, accuracy, n * COPIES)
        copies = [0.5 * (c + PointSum(grid, k, n, 2 * n)(disc)[0]) for k, c in enumerate(copies)]
        n *= 2


def _relative_rms(differences: Iterable[FloatArray], data: FloatArray) -> float:
    """Root of the summed squares of some cubes, relative to another one."""
    scale = float(np.sum(data**2))
    return float(np.sqrt(sum(float(np.sum(d**2)) for d in differences) / scale)) if scale > 0.0 else 0.0


def _flux_inside(disc: Disc, grid: CubeGrid, sample: _Sample) -> float:
    """Flux of the intrinsic cube; quadrature must not make it exceed what a disc of one sign has."""
    inside = float(sample.spectra.sum() * grid.dv)
    one_sign = sample.spectra.min() >= 0.0 or sample.spectra.max() <= 0.0
    return disc.flux if one_sign and abs(inside) > abs(disc.flux) else inside


def _complaints(
    disc: Disc, grid: CubeGrid, beam: Beam | None, sampling: Sampling, sample: _Sample, inside: float
) -> list[str]:
    """Say what a user must know about a model."""
    said = []
    lost = abs(disc.flux - inside) / abs(disc.flux) if disc.flux else 0.0
    if disc.flux and not sample.spectra.any():
        said.append("The disc lies wholly outside the field or the velocity range: the cube is zero everywhere.")
    elif lost > 0.01:
        # One digit: in a fit by script the share changes at every step, and each new text would be shown again.
        said.append(f"About {100 * lost:.0g} % of the flux lies outside the cube and is lost.")
    if beam is not None:
        bmin = float(beam.bmin or 0.0)
        if bmin < 2.0 * grid.cell:
            said.append(f"The beam ({beam.bmaj:g} x {bmin:g} arcsec) is under two pixels of {grid.cell:g} arcsec.")
        if beam.bmaj > min(grid.nx, grid.ny) * grid.cell:
            said.append(f"The beam ({beam.bmaj:g} arcsec) is larger than the field.")
    if sample.accuracy > np.hypot(sampling.accuracy, FLOOR):
        said.append(f"The accuracy reached is {sample.accuracy:.1e}, not {sampling.accuracy:.1e} as asked.")
    return said
