"""`Cube`, and `simulate`: the one place where a model is assembled."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kinms.disc import Disc
from kinms.engine import FLOOR, Model, Sample, Sampling, sample
from kinms.errors import InputError, InputTypeError, KinmsWarning
from kinms.grid import PSF, Beam, CubeGrid
from kinms.kernels.beam import laplacian_ratio
from kinms.records import FloatArray, Record
from kinms.smoothing import convolve_to, to_common_beam

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
        standard errors among independent sets of points and what soft edges between pixels change. Single voxels may
        be off by several times as much of their own value.
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
    beam : Beam, PSF or None
        None where the file has none, or a model was not convolved. With `ChannelBeams` each channel is in Jy per beam
        of its own.
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
    beam: PSF | None = None
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
        if isinstance(self.beam, PSF):
            self.beam.check_channels(self.grid.nv)
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
    def pixels_per_beam(self) -> float | FloatArray:
        """Beam area in pixels, shape (nv,) of beams per channel; 1 without a beam, or if the unit is not per beam."""
        if self.beam is None or "beam" not in self.unit.lower():
            return 1.0
        return self.beam.pixels_by_channel(self.grid.cell)

    def _clean(self) -> FloatArray:
        return np.where(self.valid, self.data, 0.0)

    def _weighed(self, keep: np.ndarray | None) -> FloatArray:
        """Return what each channel adds to an integral over velocity, in mean channels."""
        data = self._clean() if keep is None else np.where(keep, self._clean(), 0.0)
        return data if self.grid.edges is None else data * (self.grid.widths / self.grid.dv)[:, None, None]

    def moment0(self, keep: np.ndarray | None = None) -> FloatArray:
        """Integrated intensity, shape (ny, nx), unit x km/s; of the voxels where ``keep`` is true if given."""
        data = self._clean() if keep is None else np.where(keep, self._clean(), 0.0)
        return np.asarray(np.tensordot(self.grid.widths, data, 1))

    def moment1(self, keep: np.ndarray | None = None) -> FloatArray:
        """Intensity-weighted mean velocity, shape (ny, nx), km/s; NaN where there is no positive intensity."""
        data = self._weighed(keep)
        total = data.sum(axis=0)
        mean = np.full(total.shape, np.nan)
        np.divide(np.tensordot(self.grid.velocities, data, 1), total, out=mean, where=total > 0)
        return mean

    def moment2(self, keep: np.ndarray | None = None) -> FloatArray:
        """Intensity-weighted velocity dispersion, shape (ny, nx), km/s; NaN as in `moment1`."""
        data = self._weighed(keep)
        total = data.sum(axis=0)
        mean = self.moment1(keep)
        square = np.full(total.shape, np.nan)
        np.divide(np.tensordot(self.grid.velocities**2, data, 1), total, out=square, where=total > 0)
        return np.asarray(np.sqrt(np.maximum(square - mean**2, 0.0)))

    def spectrum(self, keep: np.ndarray | None = None) -> FloatArray:
        """Flux density per channel, shape (nv,), Jy where the unit is Jy/beam."""
        data = self._clean() if keep is None else np.where(keep, self._clean(), 0.0)
        return np.asarray(data.sum(axis=(1, 2)) / self.pixels_per_beam)

    def convolve_to(self, beam: Beam) -> Cube:
        """Return the cube convolved to a larger beam, each channel from its own.

        In Jy/beam the numbers grow by the ratio of the areas; in other units surface brightness stays. The sky outside
        of the field is empty. Voxels that are not finite stay so, and what the kernel finds there is made up for by the
        others, as `spectral_cube` does, which fills them as well. The mask is kept, and ``rms`` is measured anew if
        there was one. ``noise`` follows: variances are convolved with the square of the kernel, and scaled so that the
        line-free data scatter by as many of it as before. Neighbours share more of it than they did.

        Parameters
        ----------
        beam : Beam
            At least as wide as the cube's in every direction.

        Raises
        ------
        InputError
            If it is not, with the smallest beam that would do; or the cube has no Gaussian beam.

        Warns
        -----
        KinmsWarning
            If ``noise`` is dropped, as the data have no scatter that would tell what becomes of it.

        Examples
        --------
        >>> grid = CubeGrid((1, 32, 32), 1.0, 10.0)
        >>> point = np.zeros(grid.shape)
        >>> point[0, 8:25, 8:25] = Beam(3.0).kernel(1.0) * Beam(3.0).pixels(1.0)
        >>> round(float(Cube(point, grid, Beam(3.0)).convolve_to(Beam(5.0, 4.0, 20.0)).data.max()), 3)
        1.0
        """
        return convolve_to(self, beam)

    def to_common_beam(self) -> Cube:
        """Return the cube with the smallest beam that all its channels can be convolved to: itself if it has one beam.

        Raises
        ------
        InputError
            If none is found.
        """
        return to_common_beam(self)

    def subcube(
        self,
        *,
        velocity_range: Sequence[float] | None = None,
        centre: Sequence[float] | None = None,
        size: float | None = None,
        box: Sequence[Sequence[int] | None] | None = None,
        mask: Any = None,
    ) -> Cube:
        """Return a part of the cube, where it was: header, noise, mask, beams and channels are cut with it.

        Parameters
        ----------
        velocity_range, centre, size, box : optional
            As of `kinms.read_cube`, which reads no more than that of a file in the first place. The reference position
            stays where it is unless ``centre`` moves it.
        mask : array_like of bool, shape (nv, ny, nx), optional
            Where the cube is wanted: the smallest box that holds all of it, a beam and a channel round it.

        Raises
        ------
        InputError
            If nothing is left, or ``centre`` is given for a cube without a position.

        Examples
        --------
        >>> cube = Cube(np.ones((4, 8, 8)), CubeGrid((4, 8, 8), cell=1.0, dv=10.0, v_ref=500.0))
        >>> part = cube.subcube(velocity_range=(475, 505), box=(None, (2, 6), None))
        >>> part.data.shape, part.grid.velocities.tolist(), part.grid.north.tolist()
        ((3, 4, 8), [480.0, 490.0, 500.0], [-2.0, -1.0, 0.0, 1.0])
        """
        from kinms.resampling import subcube

        return subcube(self, velocity_range=velocity_range, centre=centre, size=size, box=box, mask=mask)

    def downsample(self, n: int) -> Cube:
        """Return the cube with n x n pixels made one, so that flux is conserved.

        Per beam or solid angle, and of temperatures, the mean is taken; of what counts per pixel (``Jy/pixel``, counts,
        and flux densities without any area: integral-field units) the sum, see `kinms.resampling.is_per_pixel`. A
        pixel of which less than half is known becomes NaN. Noise of each voxel adds up as that of independent voxels
        does; ``rms`` is measured anew. Rows and columns left over at the far end are cut off, and said.

        Parameters
        ----------
        n : int
            Pixels on a side.

        Warns
        -----
        KinmsWarning
            If ``n`` divides the number of rows or columns not.

        Examples
        --------
        >>> cube = Cube(np.arange(16.0).reshape(1, 4, 4), CubeGrid((1, 4, 4), cell=1.0, dv=10.0), unit="Jy/beam")
        >>> cube.downsample(2).data[0].tolist(), cube.replace(unit="Jy/pixel").downsample(2).data[0].tolist()
        ([[2.5, 4.5], [10.5, 12.5]], [[10.0, 18.0], [42.0, 50.0]])
        """
        from kinms.resampling import downsample

        return downsample(self, n)

    def rebin(self, n: int | None = None, *, dv: float | None = None) -> Cube:
        """Return the cube with wider channels, so that flux (the sum of data x width) is conserved.

        Parameters
        ----------
        n : int, optional
            Channels that are made one: means weighted by their widths. The spectral axis stays what it is (frequency,
            wavelength ...), with steps n times as long.
        dv : float, optional
            Or the width of the new channels, km/s, all alike: each takes of the old ones what lies in it, and the axis
            becomes one of velocity in the cube's convention. Old channels that are split lend their width to the line:
            it is broader by up to about theirs (1 sigma: width / sqrt(12)), and neighbours share noise.

        Returns
        -------
        Cube
            A voxel of which less than half is known is NaN. Noise of each voxel adds up as that of independent ones
            does; ``rms`` is measured anew. What fills no channel at the far end is cut off, and said.

        Raises
        ------
        InputError
            If the channels are to become narrower than they are, or beams differ in those that are averaged.

        Examples
        --------
        >>> cube = Cube(np.arange(4.0).reshape(4, 1, 1), CubeGrid((4, 1, 1), cell=1.0, dv=10.0))
        >>> cube.rebin(2).data.ravel().tolist(), cube.rebin(dv=20.0).grid.velocity_edges.tolist()
        ([0.5, 2.5], [-25.0, -5.0, 15.0])
        """
        from kinms.resampling import rebin

        return rebin(self, n, dv=dv)

    @classmethod
    def from_spectral_cube(cls, cube: Any) -> Cube:
        """Return the cube that a `spectral_cube.SpectralCube` is, or one with a beam per channel, or of dask arrays.

        Its mask becomes `mask`, and the voxels outside keep their numbers.

        Parameters
        ----------
        cube : spectral_cube.SpectralCube or VaryingResolutionSpectralCube
            Read whole into memory: cut it with its own methods first.

        Raises
        ------
        InputTypeError
            If it is something else.
        HeaderError
            As `kinms.read_cube`.
        """
        from kinms.spectral_cubes import from_spectral_cube

        return from_spectral_cube(cube)

    def to_spectral_cube(self, *, use_dask: bool = False) -> Any:
        """Return the cube as a `spectral_cube.SpectralCube`, of varying resolution if it has a beam per channel.

        Parameters
        ----------
        use_dask : bool
            Whether the arrays are to be dask's.

        Raises
        ------
        InputError
            If the package spectral-cube is not installed.
        """
        from kinms.spectral_cubes import to_spectral_cube

        return to_spectral_cube(self, use_dask=use_dask)


def simulate(disc: Disc, grid: CubeGrid, beam: PSF | None = None, sampling: Sampling | None = None) -> Cube:
    """Turn a disc into a mock cube.

    Parameters
    ----------
    disc : Disc
        The galaxy.
    grid : CubeGrid
        Pixels and channels.
    beam : Beam or PSF, optional
        A `Beam`, a `ChannelBeams`, a `Moffat` ... None leaves the cube unconvolved, in Jy per pixel: the sky before the
        telescope.
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
    if beam is not None and not isinstance(beam, PSF):
        raise InputTypeError("beam", repr(beam), "a Beam, another PSF, or None")
    if beam is not None:
        beam.check_channels(grid.nv)


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


def _complaints(disc: Disc, grid: CubeGrid, beam: PSF | None, sampling: Sampling, made: Sample) -> tuple[str, ...]:
    """Say what a user must know about a model."""
    said = []
    lost = abs(disc.flux - made.inside) / abs(disc.flux) if disc.flux else 0.0
    if disc.flux and made.inside == 0.0 and not made.data.any():
        said.append("The disc lies wholly outside the field or the velocity range: the cube is zero everywhere.")
    elif lost > 0.01:
        # One digit: in a fit by script the share changes at every step, and each new text would be shown again.
        said.append(f"About {float(f'{100 * lost:.0g}'):g} % of the flux lies outside the cube and is lost.")
    if beam is not None:
        if beam.finest < 2.0 * grid.cell:
            size = f"{beam.bmaj:g} x {beam.finest:g} arcsec"
            said.append(f"The beam ({size}) is under two pixels of {grid.cell:g} arcsec.")
        if beam.bmaj > min(grid.nx, grid.ny) * grid.cell:
            said.append(f"The beam ({beam.bmaj:g} arcsec) is larger than the field.")
    if made.accuracy > max(sampling.accuracy, 2.0 * FLOOR):
        said.append(f"The accuracy reached is {made.accuracy:.1e}, not {sampling.accuracy:.1e} as asked.")
    return tuple(said)
