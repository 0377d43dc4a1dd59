"""All that the telescope fixes: the pixels and channels (`CubeGrid`) and the beam (`Beam`, or another `PSF`)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from kinms.errors import InputError, InputTypeError
from kinms.memory import check_memory
from kinms.records import FloatArray, Record, check_array, check_scalar

if TYPE_CHECKING:
    import radio_beam

__all__ = ["FWHM_PER_SIGMA", "HALF_SKY", "MOST", "PSF", "Beam", "CubeGrid"]

#: FWHM of a Gaussian in units of its sigma, sqrt(8 ln 2).
FWHM_PER_SIGMA = float(np.sqrt(8.0 * np.log(2.0)))

#: arcsec; nothing on the sky is wider.
HALF_SKY = 180.0 * 3600.0

#: Pixels or channels along an axis: more cannot be counted in 32 bits.
MOST = 2**31 - 1

#: The narrowest channel that there may be, in mean widths.
LEAST_WIDTH = 1e-3

#: The kernel is cut where the Gaussian has fallen to exp(-KERNEL_SIGMAS^2 / 2) = 3e-7 of its peak.
KERNEL_SIGMAS = 5.5


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CubeGrid(Record):
    """Pixels and channels of a datacube.

    Parameters
    ----------
    shape : tuple of int
        ``(nv, ny, nx)``, as the data array is ordered.
    cell : float
        Pixel size, arcsec. Pixels are square; x grows towards West, y towards North.
    dv : float
        Channel width, km/s, positive: velocities ascend.
    v_ref : float
        Velocity of the centre of channel ``nv // 2``, km/s.
    ra, dec : float, optional
        ICRS coordinates of the reference position, degrees.
    rest_frequency : float, optional
        Of the line, Hz.
    x_ref, y_ref : float, optional
        0-based pixel coordinates of the reference position, from which `east` and `north` count.
        Default: the centres of pixels ``nx // 2`` and ``ny // 2``, for even and odd sizes.
    edges : array_like, shape (nv + 1,), optional
        Velocities at which the channels begin and end, km/s, ascending, where they are not equally wide: of an axis
        regular in frequency, say, read in the optical convention. They decide then: ``dv`` becomes the mean width, and
        ``v_ref`` the middle of channel ``nv // 2``.
    lsf_sigma : array_like, shape (nv,), optional
        1 sigma of the spectrograph's response in each channel, km/s, where it varies along the axis; it adds in
        quadrature to `Disc.lsf_sigma`.

    Raises
    ------
    InputError, InputTypeError
        For a shape that is not three positive integers, a cell or dv that is not positive, or edges that do not ascend
        or have a channel of less than a thousandth of the mean width between them.

    Examples
    --------
    >>> grid = CubeGrid(shape=(25, 64, 64), cell=1.0, dv=20.0)
    >>> float(grid.velocities[12]), float(grid.east[32])
    (0.0, 0.0)
    >>> log = CubeGrid(shape=(2, 8, 8), cell=0.2, dv=1.0, edges=[0.0, 60.0, 130.0])
    >>> log.dv, log.velocities.tolist(), log.widths.tolist()
    (65.0, [30.0, 95.0], [60.0, 70.0])
    """

    shape: tuple[int, int, int]
    cell: float
    dv: float
    v_ref: float = 0.0
    ra: float | None = None
    dec: float | None = None
    rest_frequency: float | None = None
    x_ref: float | None = None
    y_ref: float | None = None
    edges: FloatArray | None = None
    lsf_sigma: FloatArray | None = None

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "shape", _check_shape(self.shape))
        set_field(self, "cell", check_scalar("cell", self.cell, minimum=0.0, exclusive=True))
        set_field(self, "dv", check_scalar("dv", self.dv, minimum=0.0, exclusive=True))
        set_field(self, "v_ref", check_scalar("v_ref", self.v_ref))
        if (self.ra is None) != (self.dec is None):
            missing = "ra" if self.ra is None else "dec"
            raise InputTypeError(missing, "missing", "both ra and dec, or neither", f"Give {missing} in degrees.")
        if self.ra is not None and self.dec is not None:
            set_field(self, "ra", check_scalar("ra", self.ra))
            set_field(self, "dec", check_scalar("dec", self.dec, minimum=-90.0, maximum=90.0))
        if self.rest_frequency is not None:
            rest = check_scalar("rest_frequency", self.rest_frequency, minimum=0.0, exclusive=True)
            set_field(self, "rest_frequency", rest)
        set_field(self, "x_ref", float(self.nx // 2) if self.x_ref is None else check_scalar("x_ref", self.x_ref))
        set_field(self, "y_ref", float(self.ny // 2) if self.y_ref is None else check_scalar("y_ref", self.y_ref))
        if self.edges is not None:
            edges = check_array("edges", self.edges, shape=(self.nv + 1,))
            if np.any(np.diff(edges) <= 0.0):
                raise InputError("edges", "not ascending", "velocities in km/s, each above the one before")
            if np.diff(edges).min() < LEAST_WIDTH * float(edges[-1] - edges[0]) / self.nv:
                narrow = f"a channel of {np.diff(edges).min():.3g} km/s"
                raise InputError("edges", narrow, f"channels of {LEAST_WIDTH:g} of the mean width at least")
            set_field(self, "edges", edges)
            set_field(self, "dv", float(edges[-1] - edges[0]) / self.nv)
            set_field(self, "v_ref", float(edges[self.nv // 2] + edges[self.nv // 2 + 1]) / 2.0)
        if self.lsf_sigma is not None:
            set_field(self, "lsf_sigma", check_array("lsf_sigma", self.lsf_sigma, shape=(self.nv,), minimum=0.0))

    @property
    def nv(self) -> int:
        """Number of channels."""
        return self.shape[0]

    @property
    def ny(self) -> int:
        """Number of pixels in y (North)."""
        return self.shape[1]

    @property
    def nx(self) -> int:
        """Number of pixels in x (West)."""
        return self.shape[2]

    @property
    def velocities(self) -> FloatArray:
        """Channel centres, shape (nv,), km/s, ascending."""
        if self.edges is not None:
            return np.asarray(0.5 * (self.edges[1:] + self.edges[:-1]))
        return self.v_ref + (np.arange(self.nv) - self.nv // 2) * self.dv

    @property
    def velocity_edges(self) -> FloatArray:
        """Channel edges, shape (nv + 1,), km/s, ascending."""
        if self.edges is not None:
            return self.edges
        return self.v_ref + (np.arange(self.nv + 1) - self.nv // 2 - 0.5) * self.dv

    @property
    def widths(self) -> FloatArray:
        """Channel widths, shape (nv,), km/s; their mean is ``dv``."""
        return np.full(self.nv, self.dv) if self.edges is None else np.diff(self.edges)

    @property
    def east(self) -> FloatArray:
        """Offsets of the pixel centres, shape (nx,), arcsec, positive East: they descend with x."""
        return (float(self.x_ref or 0.0) - np.arange(self.nx)) * self.cell

    @property
    def north(self) -> FloatArray:
        """Offsets of the pixel centres, shape (ny,), arcsec, positive North."""
        return (np.arange(self.ny) - float(self.y_ref or 0.0)) * self.cell


def _check_shape(shape: Any) -> tuple[int, int, int]:
    try:
        sizes = tuple(shape)
    except TypeError:
        raise InputTypeError("shape", repr(shape), "(nv, ny, nx)") from None
    if len(sizes) != 3 or any(isinstance(n, bool) or int(n) != n or n < 1 for n in sizes):
        raise InputError("shape", sizes, "three positive integers (nv, ny, nx)")
    if max(sizes) > MOST:
        raise InputError("shape", tuple(f"{float(n):.3g}" for n in sizes), f"at most {MOST} along an axis")
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


class PSF(Record):
    """What the telescope makes of a point: base of `Beam` and of the records of `kinms.psf`.

    A subclass has ``bmaj``, ``bmin`` (arcsec) and ``bpa`` (degrees), FWHM and position angle of its core, which are
    what is drawn, what masks grow by and what estimates begin with; its ``area``; and its `kernel`.

    Cubes are in Jy/beam, with the beam's area that of the PSF: the flux of a point over its peak, so that a point of
    1 Jy peaks at 1 Jy/beam whatever its wings are. In pixels this is sum over peak of the kernel.
    """

    #: Whether it correlates the noise of neighbouring pixels, as the synthesis of an image does, and optics do not.
    correlates_noise: ClassVar[bool] = False

    if TYPE_CHECKING:  # at run time these would stand in the way of fields of the same name

        @property
        def bmaj(self) -> float: ...  # noqa: D102
        @property
        def bmin(self) -> float | None: ...  # noqa: D102
        @property
        def bpa(self) -> float: ...  # noqa: D102
        @property
        def area(self) -> float: ...  # noqa: D102

    def kernel(self, cell: float) -> FloatArray:
        """Sampled at the centres of pixels of ``cell`` arcsec with unit sum, odd shape, axes [y, x], x growing West."""
        raise NotImplementedError

    def pixels(self, cell: float) -> float:
        """Solid angle in pixels of ``cell`` arcsec: what a sum in Jy/beam is divided by to give Jy."""
        return self.area / cell**2

    def pixels_by_channel(self, cell: float) -> float | FloatArray:
        """As `pixels`; shape (nv,) where each channel has its own beam."""
        return self.pixels(cell)

    def covariance(self, cell: float = 1.0) -> FloatArray:
        """Covariance of the core's Gaussian in (x, y), x growing West, in units of ``cell``; shape (2, 2)."""
        pa = np.radians(self.bpa)
        major = np.array([-np.sin(pa), np.cos(pa)])  # a step along the major axis, in (x West, y North)
        minor = np.array([np.cos(pa), np.sin(pa)])
        s_maj = self.bmaj / FWHM_PER_SIGMA / cell
        s_min = float(self.bmin or 0.0) / FWHM_PER_SIGMA / cell
        return s_maj**2 * np.outer(major, major) + s_min**2 * np.outer(minor, minor)

    @property
    def finest(self) -> float:
        """FWHM of the sharpest that any channel has, arcsec: what the pixels must resolve."""
        return float(self.bmin or 0.0)

    @property
    def typical(self) -> PSF:
        """The one that stands for all channels: itself, unless they differ."""
        return self

    def select(self, channels: slice | np.ndarray) -> Self:
        """Return that of some channels: the same, unless they differ."""
        return self

    def check_channels(self, nv: int) -> None:
        """Raise an `InputError` if it is not one for ``nv`` channels."""

    def to_radio_beam(self) -> radio_beam.Beam:
        """Return the core's Gaussian as a `radio_beam.Beam`."""
        import astropy.units as u
        import radio_beam

        return radio_beam.Beam(self.bmaj * u.arcsec, (self.bmin or 0.0) * u.arcsec, self.bpa * u.deg)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Beam(PSF):
    """An elliptical Gaussian beam.

    Parameters
    ----------
    bmaj : float
        FWHM of the major axis, arcsec.
    bmin : float, optional
        FWHM of the minor axis, arcsec; default ``bmaj``.
    bpa : float
        Position angle of the major axis, degrees, from North through East (as `radio_beam.Beam`).

    Raises
    ------
    InputError
        If an axis is not positive, or bmin exceeds bmaj.

    Examples
    --------
    >>> round(Beam(4.0, 2.0, bpa=20.0).area, 4)
    9.0647
    """

    bmaj: float
    bmin: float | None = None
    bpa: float = 0.0

    correlates_noise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "bmaj", check_scalar("bmaj", self.bmaj, minimum=0.0, maximum=HALF_SKY, exclusive=True))
        bmin = self.bmaj if self.bmin is None else check_scalar("bmin", self.bmin, minimum=0.0, exclusive=True)
        if bmin > self.bmaj:
            raise InputError("bmin", bmin, f"at most bmaj ({self.bmaj:g})", "Swap the axes and add 90 to bpa.")
        set_field(self, "bmin", bmin)
        set_field(self, "bpa", check_scalar("bpa", self.bpa))

    @property
    def area(self) -> float:
        """Solid angle, arcsec^2: pi bmaj bmin / (4 ln 2)."""
        return float(np.pi * self.bmaj * float(self.bmin or 0.0) / (4.0 * np.log(2.0)))

    def kernel(self, cell: float) -> FloatArray:
        """Gaussian sampled at pixel centres with unit sum, shape (2 ry + 1, 2 rx + 1), axes [y, x].

        Sampled, not integrated over the pixel: the model is integrated over the pixel already, and an integrated
        kernel would broaden the cube by a pixel twice (CONVENTIONS, Beam).
        """
        cov = self.covariance(cell)
        reach = np.ceil(KERNEL_SIGMAS * np.sqrt(np.diag(cov)))
        fix = "Set the beam, or the pixels, to what they are."
        check_memory("the beam", float(5 * 8 * np.prod(2.0 * reach + 1.0)), fix)
        rx, ry = (int(n) for n in reach)
        x, y = np.meshgrid(np.arange(-rx, rx + 1), np.arange(-ry, ry + 1))
        inv = np.linalg.inv(cov)
        q = inv[0, 0] * x**2 + 2.0 * inv[0, 1] * x * y + inv[1, 1] * y**2
        kernel = np.where(q <= KERNEL_SIGMAS**2, np.exp(-0.5 * q), 0.0)
        return np.asarray(kernel / kernel.sum(), dtype=float)

    @classmethod
    def from_radio_beam(cls, beam: radio_beam.Beam) -> Beam:
        """Return the beam that a `radio_beam.Beam` describes."""
        import astropy.units as u

        return cls(beam.major.to_value(u.arcsec), beam.minor.to_value(u.arcsec), beam.pa.to_value(u.deg))
