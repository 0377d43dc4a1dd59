"""Beams that are no single Gaussian: seeing (`Moffat`), two Gaussians, an image, and one `Beam` per channel.

Each stands wherever a `kinms.grid.Beam` does: in `simulate`, in a `Cube`, in a fit.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy  # loads its parts when they are first asked for

from kinms.errors import FileError, HeaderError, InputError, InputTypeError
from kinms.grid import FWHM_PER_SIGMA, PSF, Beam
from kinms.records import FloatArray, check_array, check_scalar

if TYPE_CHECKING:
    import radio_beam

__all__ = ["BEAMS", "ChannelBeams", "DoubleGaussian", "ImagePSF", "Moffat", "holds", "smallest_common"]

#: The kernel is cut where a Moffat function has fallen to this part of its peak, as that of a `Beam` is ...
FAINT = 3e-7
#: ... and so many FWHM from its centre at the latest, where flat wings would have no end.
FARTHEST = 30.0
#: Samples per pixel of an image when its centre and its width at half maximum are measured.
FINE = 8
#: Edges of an image count as faded where all of them is below this part of the peak.
FADED = 1e-6
#: A beam holds another one if its covariance is larger in every direction, to this part of it.
ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Moffat(PSF):
    """A Moffat function, the shape of seeing: ``(1 + (r / alpha)^2)^-beta`` (Moffat 1969, eq. 7).

    Its wings fall as a power law: of beta = 2.5 a tenth of the light lies beyond 1.7 FWHM, of a Gaussian next to none.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum, arcsec; of the major axis where it is not round.
    beta : float
        Above 1, where the light in the wings is finite: 2.5 to 4.765 for seeing.
    axis_ratio : float
        Minor over major axis, above 0 and at most 1.
    pa : float
        Position angle of the major axis, degrees, from North through East.

    Raises
    ------
    InputError
        If a value is out of range.

    Examples
    --------
    >>> seeing = Moffat(0.8, beta=2.5)
    >>> round(seeing.area, 4), round(Beam(0.8).area, 4), seeing.bmaj
    (1.0488, 0.7252, 0.8)
    """

    fwhm: float
    beta: float
    axis_ratio: float = 1.0
    pa: float = 0.0

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "fwhm", check_scalar("fwhm", self.fwhm, minimum=0.0, exclusive=True))
        set_field(self, "beta", check_scalar("beta", self.beta, minimum=1.0, maximum=100.0, exclusive=True))
        ratio = check_scalar("axis_ratio", self.axis_ratio, minimum=0.0, maximum=1.0, exclusive=True)
        set_field(self, "axis_ratio", ratio)
        set_field(self, "pa", check_scalar("pa", self.pa))

    @property
    def bmaj(self) -> float:
        """FWHM of the major axis, arcsec."""
        return self.fwhm

    @property
    def bmin(self) -> float:
        """FWHM of the minor axis, arcsec."""
        return self.fwhm * self.axis_ratio

    @property
    def bpa(self) -> float:
        """Position angle of the major axis, degrees."""
        return self.pa

    @property
    def _steepness(self) -> float:
        """(FWHM / alpha)^2."""
        return float(4.0 * (2.0 ** (1.0 / self.beta) - 1.0))

    @property
    def area(self) -> float:
        """Flux of a point over its peak, arcsec^2: pi alpha^2 axis_ratio / (beta - 1)."""
        return float(np.pi * self.bmaj * self.bmin / self._steepness / (self.beta - 1.0))

    def kernel(self, cell: float) -> FloatArray:
        """Sampled at pixel centres with unit sum, to where it has fallen to `FAINT`, `FARTHEST` FWHM at most."""
        widths = self.covariance(cell) * FWHM_PER_SIGMA**2  # squares of the FWHM
        reach = min(float(np.sqrt((FAINT ** (-1.0 / self.beta) - 1.0) / self._steepness)), FARTHEST)
        rx, ry = (max(int(np.ceil(reach * np.sqrt(widths[k, k]))), 1) for k in (0, 1))
        x, y = np.meshgrid(np.arange(-rx, rx + 1), np.arange(-ry, ry + 1))
        inv = np.linalg.inv(widths)
        q = inv[0, 0] * x**2 + 2.0 * inv[0, 1] * x * y + inv[1, 1] * y**2
        kernel = np.where(q <= reach**2, (1.0 + self._steepness * q) ** -self.beta, 0.0)
        return np.asarray(kernel / kernel.sum())


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class DoubleGaussian(PSF):
    """Two concentric Gaussians: a core, and a wide one for the wings.

    Parameters
    ----------
    core, wide : Beam
        The wide one has the larger area.
    fraction : float
        Of the light that is in the wide one, 0 to 1 (exclusive).

    Raises
    ------
    InputError, InputTypeError
        If a value is out of range or of the wrong kind.

    Examples
    --------
    >>> psf = DoubleGaussian(Beam(0.6), Beam(1.5), fraction=0.3)
    >>> psf.bmaj, round(psf.area, 4)
    (0.6, 0.5453)
    """

    core: Beam
    wide: Beam
    fraction: float

    def __post_init__(self) -> None:
        for name in ("core", "wide"):
            if not isinstance(getattr(self, name), Beam):
                raise InputTypeError(name, repr(getattr(self, name)), "a Beam")
        if self.wide.area < self.core.area:
            raise InputError("wide", f"{_size(self.wide)}", f"a beam of more area than core, {_size(self.core)}")
        fraction = check_scalar("fraction", self.fraction, minimum=0.0, maximum=1.0)
        if fraction == 1.0:
            raise InputError("fraction", 1.0, "below 1", "Without a core it is a Beam.")
        object.__setattr__(self, "fraction", fraction)

    @property
    def bmaj(self) -> float:
        """FWHM of the core's major axis, arcsec."""
        return self.core.bmaj

    @property
    def bmin(self) -> float:
        """FWHM of the core's minor axis, arcsec."""
        return float(self.core.bmin or 0.0)

    @property
    def bpa(self) -> float:
        """Position angle of the core's major axis, degrees."""
        return self.core.bpa

    @property
    def area(self) -> float:
        """Flux of a point over its peak, arcsec^2."""
        return 1.0 / ((1.0 - self.fraction) / self.core.area + self.fraction / self.wide.area)

    def kernel(self, cell: float) -> FloatArray:
        """Sampled at pixel centres with unit sum: the sum of the kernels of both."""
        parts = [(1.0 - self.fraction) * self.core.kernel(cell), self.fraction * self.wide.kernel(cell)]
        ry, rx = (max(part.shape[axis] // 2 for part in parts) for axis in (0, 1))
        whole = np.zeros((2 * ry + 1, 2 * rx + 1))
        for part in parts:
            y, x = ry - part.shape[0] // 2, rx - part.shape[1] // 2
            whole[y : y + part.shape[0], x : x + part.shape[1]] += part
        return whole


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ImagePSF(PSF):
    """A PSF from an image, of a star or of a dirty beam.

    It is centred on the centroid of its core, what is above half of its peak and hangs together with it. Its background
    is not touched, and counts as light: take it off first. Between its pixels a cubic spline is read off.

    Parameters
    ----------
    image : array_like, shape (ny, nx)
        On any scale, x growing West and y North as in a cube. Its numbers may be negative; its sum may not.
    cell : float
        Size of its pixels, arcsec; that of the cube may be another one.

    Raises
    ------
    InputError
        If a pixel is not finite, the sum is not positive, or the core reaches the edge.

    Examples
    --------
    >>> psf = ImagePSF(Beam(0.8, 0.6, bpa=20.0).kernel(0.1), cell=0.1)
    >>> round(psf.bmaj, 2), round(psf.bmin, 2), round(psf.bpa), psf.kernel(0.2).shape
    (0.8, 0.6, 20, (17, 13))
    """

    image: FloatArray
    cell: float

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "cell", check_scalar("cell", self.cell, minimum=0.0, exclusive=True))
        image = check_array("image", self.image, shape=(-1, -1))
        set_field(self, "image", image)
        if min(image.shape) < 3:
            raise InputError("the shape of image", image.shape, "3 x 3 pixels or more")
        if not image.max() > 0.0 or not image.sum() > 0.0:
            fix = "Has a background been taken off that is too high?"
            raise InputError("image", f"of peak {image.max():.3g} and sum {image.sum():.3g}", "both above 0", fix)
        _ = self._core  # what it refuses is said at once

    def __repr__(self) -> str:
        ny, nx = self.image.shape
        return f"<ImagePSF {ny} x {nx} pixels of {self.cell:g} arcsec, FWHM {_size(self)}>"

    @classmethod
    def read(cls, path: str | os.PathLike[str], cell: float | None = None) -> ImagePSF:
        """Read the first image of a FITS file.

        Parameters
        ----------
        path : path
        cell : float, optional
            Size of its pixels, arcsec, where its header does not tell. With it the axes are taken as those of a cube.

        Raises
        ------
        FileError
            If there is no file, or no image in it.
        HeaderError
            If its header has no pixel size, pixels that are not square, or axes not along North and East.
        InputError
            If it is a cube of several planes, or no PSF.
        """
        image, header = _read_image(path)
        if cell is not None:
            return cls(image, cell)
        flip_x, flip_y, size = _orientation(header)
        return cls(image[:: -1 if flip_y else 1, :: -1 if flip_x else 1], size)

    @functools.cached_property
    def _spline(self) -> FloatArray:
        return np.asarray(scipy.ndimage.spline_filter(self.image, order=3, mode="mirror"))

    def _at(self, y: FloatArray, x: FloatArray) -> FloatArray:
        """Values at places in pixels of the image, zero outside."""
        values = scipy.ndimage.map_coordinates(self._spline, [y, x], order=3, mode="mirror", prefilter=False)
        ny, nx = self.image.shape
        inside = (y > -1e-9) & (y < ny - 1 + 1e-9) & (x > -1e-9) & (x < nx - 1 + 1e-9)
        return np.where(inside, values, 0.0)

    @functools.cached_property
    def _core(self) -> tuple[float, float, float, tuple[float, float, float]]:
        """Centre (y, x), peak, and (bmaj, bmin, bpa) of the region above half of the peak."""
        image = self.image
        labels, _ = scipy.ndimage.label(image > 0.5 * image.max())
        top = labels == labels[np.unravel_index(np.argmax(image), image.shape)]
        rows, columns = np.flatnonzero(top.any(axis=1)), np.flatnonzero(top.any(axis=0))
        box = rows[0] - 1, rows[-1] + 1, columns[0] - 1, columns[-1] + 1
        if min(box[0], box[2]) < 0 or box[1] >= image.shape[0] or box[3] >= image.shape[1]:
            fix = "Cut it out with room round the source."
            raise InputError("image", "above half of its peak at its edge", "one that has fallen off there", fix)
        y, x = np.meshgrid(
            np.linspace(box[0], box[1], (box[1] - box[0]) * FINE + 1),
            np.linspace(box[2], box[3], (box[3] - box[2]) * FINE + 1),
            indexing="ij",
        )
        values = self._at(y, x)
        peak = float(values.max())
        labels, _ = scipy.ndimage.label(values > 0.5 * peak)
        core = labels == labels[np.unravel_index(np.argmax(values), values.shape)]
        light = np.where(core, values, 0.0) / values[core].sum()
        centre = float((light * y).sum()), float((light * x).sum())
        # An ellipse of semi-axis a has the variance a^2 / 4 along it, and a is half of the FWHM.
        size, axes = np.linalg.eigh(16.0 * np.atleast_2d(np.cov(x[core], y[core], ddof=0)))
        bmin, bmaj = np.sqrt(np.maximum(size, (1.0 / FINE) ** 2)) * self.cell
        bpa = float(np.degrees(np.arctan2(-axes[0, 1], axes[1, 1])) % 180.0)
        return *centre, peak, (float(bmaj), float(bmin), bpa)

    @property
    def bmaj(self) -> float:
        """FWHM of the major axis of the core, arcsec: of an ellipse with the moments of what is above half."""
        return self._core[3][0]

    @property
    def bmin(self) -> float:
        """FWHM of the minor axis of the core, arcsec."""
        return self._core[3][1]

    @property
    def bpa(self) -> float:
        """Position angle of the major axis of the core, degrees."""
        return self._core[3][2]

    @property
    def area(self) -> float:
        """Flux of a point over its peak, arcsec^2: sum over peak of the image."""
        return float(self.image.sum()) / self._core[2] * self.cell**2

    def kernel(self, cell: float) -> FloatArray:
        """Sampled at pixel centres with unit sum, cut where it has faded to `FADED` on all sides."""
        y0, x0, peak, _ = self._core
        ny, nx = self.image.shape
        step = cell / self.cell
        ry, rx = (int(max(c, n - 1 - c) / step + 1e-9) for c, n in ((y0, ny), (x0, nx)))
        y, x = np.meshgrid(y0 + np.arange(-ry, ry + 1) * step, x0 + np.arange(-rx, rx + 1) * step, indexing="ij")
        values = self._at(y, x)
        seen = np.abs(values) > FADED * peak
        far_y, far_x = (np.abs(np.flatnonzero(seen.any(axis=a)) - r).max() for a, r in ((1, ry), (0, rx)))
        values = values[ry - far_y : ry + far_y + 1, rx - far_x : rx + far_x + 1]
        if not values.sum() > 0.0:
            raise InputError("the sum of image", f"{values.sum():.3g} in pixels of {cell:g} arcsec", "above 0")
        return np.asarray(values / values.sum())


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ChannelBeams(PSF):
    """One Gaussian beam per channel, each in Jy per beam of its own.

    The beam of median area is the `typical` one: its size is what is drawn, what masks grow by and how noise is
    correlated. Models are convolved channel by channel with each beam itself.

    Parameters
    ----------
    beams : sequence of Beam
        One per channel, velocities ascending, as the channels of a `Cube`.

    Raises
    ------
    InputError, InputTypeError
        If it is empty, or something else than a `Beam` is in it.

    Examples
    --------
    >>> beams = ChannelBeams([Beam(4.0, 3.0, 20.0), Beam(4.1, 3.1, 20.0), Beam(4.2, 3.2, 20.0)])
    >>> beams.bmaj, beams.pixels_by_channel(1.0).round(2).tolist(), len(beams.select(slice(0, 2)).beams)
    (4.1, [13.6, 14.4, 15.23], 2)
    """

    beams: tuple[Beam, ...]

    correlates_noise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.beams, (str, bytes, Beam)) or not isinstance(self.beams, Iterable):
            raise InputTypeError("beams", repr(self.beams), "a sequence of Beams, one per channel")
        beams = tuple(self.beams)
        if not beams:
            raise InputError("beams", "empty", "one Beam per channel")
        for number, beam in enumerate(beams):
            if not isinstance(beam, Beam):
                raise InputTypeError(f"beams[{number}]", repr(beam), "a Beam")
        object.__setattr__(self, "beams", beams)

    @classmethod
    def from_radio_beams(cls, beams: radio_beam.Beams) -> ChannelBeams:
        """Return the beams that a `radio_beam.Beams`, velocities ascending, describes.

        A channel without a beam (0 or NaN: a blank one) takes that of the nearest channel that has one.
        """
        import astropy.units as u

        table = np.stack([beams.major.to_value(u.arcsec), beams.minor.to_value(u.arcsec), beams.pa.to_value(u.deg)])
        known = np.flatnonzero(np.isfinite(table).all(axis=0) & (table[:2] > 0.0).all(axis=0))
        if known.size == 0:
            raise InputError("beams", "without a single usable beam", "axes above 0 in some channel")
        nearest = known[np.abs(np.arange(table.shape[1])[:, None] - known[None]).argmin(axis=1)]
        return cls(tuple(Beam(float(a), float(b), float(pa)) for a, b, pa in table[:, nearest].T))

    def to_radio_beams(self) -> radio_beam.Beams:
        """Return the same beams as a `radio_beam.Beams`."""
        import radio_beam

        return radio_beam.Beams(beams=[beam.to_radio_beam() for beam in self.beams])

    def __repr__(self) -> str:
        if len(self.beams) <= 4:
            return super().__repr__()
        return f"<ChannelBeams {len(self.beams)} channels, {_size(self.beams[0])} to {_size(self.beams[-1])}>"

    @property
    def typical(self) -> Beam:
        """The beam of median area."""
        order = sorted(range(len(self.beams)), key=lambda k: self.beams[k].area)
        return self.beams[order[len(order) // 2]]

    @property
    def bmaj(self) -> float:
        """FWHM of the typical major axis, arcsec."""
        return self.typical.bmaj

    @property
    def bmin(self) -> float:
        """FWHM of the typical minor axis, arcsec."""
        return float(self.typical.bmin or 0.0)

    @property
    def bpa(self) -> float:
        """Position angle of the typical major axis, degrees."""
        return self.typical.bpa

    @property
    def area(self) -> float:
        """Solid angle of the typical beam, arcsec^2."""
        return self.typical.area

    @property
    def finest(self) -> float:
        """FWHM of the smallest minor axis, arcsec."""
        return min(float(beam.bmin or 0.0) for beam in self.beams)

    def kernel(self, cell: float) -> FloatArray:
        """Kernel of the typical beam."""
        return self.typical.kernel(cell)

    def pixels_by_channel(self, cell: float) -> FloatArray:
        """Solid angle of each channel's beam in pixels of ``cell`` arcsec, shape (nv,)."""
        return np.array([beam.pixels(cell) for beam in self.beams])

    def select(self, channels: slice | np.ndarray) -> ChannelBeams:
        """Return the beams of some channels: a slice, a mask, or numbers."""
        numbers = np.arange(len(self.beams))[channels]
        return ChannelBeams(tuple(self.beams[k] for k in np.atleast_1d(numbers)))

    def check_channels(self, nv: int) -> None:
        """Raise an `InputError` if there is not one beam per channel."""
        if len(self.beams) != nv:
            fix = "beams.select(channels) cuts them as the channels were cut."
            raise InputError("the number of beams", len(self.beams), f"{nv}, one per channel", fix)

    def common(self) -> Beam:
        """Return the smallest beam that all channels can be convolved to, see `smallest_common`."""
        return smallest_common(self.beams)


#: Name -> class, for files: what `kind` may be.
BEAMS: dict[str, type[PSF]] = {
    "gaussian": Beam,
    "moffat": Moffat,
    "double_gaussian": DoubleGaussian,
    "image": ImagePSF,
    "channels": ChannelBeams,
}


def holds(outer: Beam, inner: Beam) -> bool:
    """Return whether a beam is at least as wide as another one in every direction, so that this can become it."""
    spare = np.linalg.eigvalsh(outer.covariance() - inner.covariance())
    return bool(spare[0] >= -ROUNDING * np.trace(inner.covariance()))


#: How the search for a common beam of many is called, one after the other until one succeeds.
_ATTEMPTS: tuple[dict[str, Any], ...] = (
    {},
    {"tolerance": 1e-5},
    {"tolerance": 1e-5, "nsamps": 400, "epsilon": 1e-3, "max_epsilon": 1e-2},
)


def smallest_common(beams: Sequence[Beam]) -> Beam:
    """Return the smallest beam that all of these can be convolved to.

    Of two it is exact; of more the ellipse of least area round all of theirs, by `radio_beam`, larger than the least
    one by some 1e-3.

    Raises
    ------
    InputError
        If none is found.
    """
    import radio_beam

    some = list(dict.fromkeys(beams))
    largest = max(some, key=lambda beam: beam.area)
    if all(holds(largest, beam) for beam in some):
        return largest
    many = radio_beam.Beams(beams=[beam.to_radio_beam() for beam in some])
    reason = "none found holds them all"
    for options in _ATTEMPTS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it divides by zero on its way
                found = Beam.from_radio_beam(many.common_beam(**options))
        except (ValueError, ArithmeticError, RuntimeError, InputError, radio_beam.utils.BeamError) as error:
            reason = " ".join(str(error).split())[:120]
            continue
        for growth in (0.0, 1e-4, 1e-3, 1e-2):  # what it searched by is not exact
            grown = found.replace(bmaj=found.bmaj * (1.0 + growth), bmin=float(found.bmin or 0.0) * (1.0 + growth))
            if all(holds(grown, beam) for beam in some):
                return grown
    fix = f"Give a beam yourself, such as one of {max(beam.bmaj for beam in some):.4g} arcsec."
    raise InputError("the common beam", f"not found ({reason})", f"one for {len(some)} beams", fix)


def _size(psf: PSF) -> str:
    return f"{psf.bmaj:.4g} x {float(psf.bmin or 0.0):.4g} arcsec at PA {psf.bpa:.3g}"


def _read_image(path: str | os.PathLike[str]) -> tuple[FloatArray, Any]:
    """Return the first image of a FITS file that has two axes longer than one pixel, and its header."""
    from astropy.io import fits

    found: Any = None
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            with fits.open(path, memmap=False) as file:
                for unit in file:
                    if unit.is_image and unit.header.get("NAXIS", 0) >= 2 and unit.data is not None:
                        found = np.array(unit.data), unit.header.copy()
                        break
        cut_off = [str(one.message) for one in said if "truncated" in str(one.message)]
        if cut_off:
            raise ValueError(cut_off[0])
    except FileNotFoundError:
        raise FileError(path, "does not exist.", "Check the path of the PSF.") from None
    except Exception as error:  # astropy raises all sorts of them on damaged files
        raise FileError(path, f"cannot be read as FITS ({' '.join(str(error).split())[:120]}).") from None
    if found is None:
        raise FileError(path, "holds no image.", "Give a FITS file with the image of a PSF.")
    planes = [n for n in found[0].shape[:-2] if n > 1]
    if planes:
        fix = "Give one plane as ImagePSF(image, cell)."
        raise InputError("the shape of the PSF", found[0].shape, "an image of two axes", fix)
    return found[0].reshape(found[0].shape[-2:]), found[1]


def _orientation(header: Any) -> tuple[bool, bool, float]:
    """Return whether x grows East, whether y grows South, and the size of a pixel in arcsec."""
    from astropy.wcs import WCS

    fix = "Give cell, the size of a pixel in arcsec: ImagePSF.read(path, cell=0.2)."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matrix = np.asarray(WCS(header).celestial.pixel_scale_matrix) * 3600.0
    except Exception:  # of a header without a usable WCS
        raise HeaderError("CTYPE1", "the header of the PSF has no celestial axes.", fix) from None
    if matrix.shape != (2, 2) or not np.isfinite(matrix).all():
        raise HeaderError("CDELT1", "the header of the PSF has no pixel size.", fix)
    across, along = np.abs(matrix[[0, 1], [1, 0]]).max(), np.abs(np.diag(matrix))
    if along.max() > 1.001 * along.min():
        raise HeaderError("CDELT2", f"pixels of {along[0]:.4g} x {along[1]:.4g} arcsec are not square.", fix)
    if across > 0.02 * along.min():
        raise HeaderError("CROTA2", "the axes of the PSF are not along North and East.", "Turn it as the cube is.")
    return bool(matrix[0, 0] > 0.0), bool(matrix[1, 1] < 0.0), float(np.sqrt(along[0] * along[1]))
