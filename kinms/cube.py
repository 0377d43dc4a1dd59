"""`Cube`, and `simulate`: the one place where a model is assembled."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from kinms.disc import Disc
from kinms.engine import FLOOR, Model, Sample, Sampling, sample
from kinms.errors import InputError, InputTypeError, KinmsWarning
from kinms.grid import Beam, CubeGrid
from kinms.kernels.beam import laplacian_ratio
from kinms.records import FloatArray, Record

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
        Relative rms error of the cube, estimated afterwards: what finer nodes change on a part of a sky grid, or two
        standard errors among independent sets of points.
    evaluator : str
        ``sky grid``, ``points`` or ``cloudlets``.
    messages : tuple of str
        The warnings that were given, and remarks.
    reference_difference : float
        By how much, about, the cube differs from the sky convolved with the beam at the centres of the pixels, relative
        rms: see `Sampling`. Remarked on where it exceeds the accuracy asked. NaN if it was not estimated.
    """

    flux_inside: float
    flux_outside: float
    n_samples: int
    accuracy: float
    evaluator: str
    messages: tuple[str, ...] = ()
    reference_difference: float = float("nan")


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
    noise : ndarray, shape (nv, ny, nx), optional
        1 sigma of each voxel, in `unit`, where the file brings it (a STAT extension, say); NaN where it is not known.
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
    noise: FloatArray | None = None

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
        if self.noise is not None:
            noise = np.asarray(self.noise)
            if noise.shape != data.shape:
                raise InputError("the shape of noise", noise.shape, f"{data.shape}, as data")
            object.__setattr__(self, "noise", noise)

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
        return np.asarray(np.tensordot(self.grid.widths, data, 1))

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
        Accuracy, default 1e-3.

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
    made = sample(disc, grid, beam, sampling)
    difference = _reference_difference(made.data) if sampling.estimate and beam is not None else np.nan
    messages, notes = _complaints(disc, grid, beam, sampling, made), _notes(sampling, difference)
    for message in messages:
        warnings.warn(message, KinmsWarning, stacklevel=2)
    stats = Stats(
        made.inside, disc.flux - made.inside, made.n, made.accuracy, made.kind, (*messages, *notes), difference
    )
    return Cube(made.data, grid, beam, "Jy/pixel" if beam is None else "Jy/beam", stats=stats)


def _check_types(disc: Any, grid: Any, beam: Any) -> None:
    if not isinstance(disc, Disc):
        raise InputTypeError("disc", repr(disc), "a Disc")
    if not isinstance(grid, CubeGrid):
        raise InputTypeError("grid", repr(grid), "a CubeGrid")
    if beam is not None and not isinstance(beam, Beam):
        raise InputTypeError("beam", repr(beam), "a Beam or None")


#: Channels and rows that the difference between the two references is looked at, at most.
SOME_CHANNELS, SOME_ROWS = 8, 16


def _reference_difference(data: FloatArray) -> float:
    """Relative rms difference that the size of the pixels makes, from some rows of some channels.

    A pixel is a box with a variance of 1/12 along each axis: it adds a 24th of the Laplacian.
    """
    nv, ny, _ = data.shape
    return float(laplacian_ratio(data, max(nv // SOME_CHANNELS, 1), max(ny // SOME_ROWS, 1))) / 24.0


def _notes(sampling: Sampling, difference: float) -> tuple[str, ...]:
    """Say what is worth knowing and no reason to be warned."""
    if sampling.reference == "pixel" and difference > sampling.accuracy:
        return (
            f"Pixels are summed before the beam: the sky at their centres would differ by about {difference:.0e}, more "
            f"than the accuracy of {sampling.accuracy:.0e}; Sampling(reference='sky') computes that.",
        )
    return ()


def _complaints(disc: Disc, grid: CubeGrid, beam: Beam | None, sampling: Sampling, made: Sample) -> tuple[str, ...]:
    """Say what a user must know about a model."""
    said = []
    lost = abs(disc.flux - made.inside) / abs(disc.flux) if disc.flux else 0.0
    if disc.flux and made.inside == 0.0 and not made.data.any():
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
    if made.accuracy > max(sampling.accuracy, 2.0 * FLOOR):
        said.append(f"The accuracy reached is {made.accuracy:.1e}, not {sampling.accuracy:.1e} as asked.")
    return tuple(said)
