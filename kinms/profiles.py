"""One radial law per class: the formula and its source.

Surface brightness laws are called on radii (arcsec) and return brightness on any scale: a disc's `flux` sets it.
Rotation laws return km/s.
All laws are frozen records; those named in `SURFACE_BRIGHTNESS` and `ROTATION` can be chosen by name in a
configuration file.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy  # loads its parts when they are first asked for

from kinms.errors import InputError, InputTypeError
from kinms.records import FloatArray, Record, check_array, check_radii, check_scalar

__all__ = [
    "ROTATION",
    "SURFACE_BRIGHTNESS",
    "ArctanCurve",
    "AsymmetricDrift",
    "BrightnessLaw",
    "ExponentialDisc",
    "FlatCurve",
    "GaussianRing",
    "KeplerianCurve",
    "RotationLaw",
    "SersicDisc",
    "TableCurve",
    "TableProfile",
    "TanhCurve",
]

#: Gravitational constant, km^2 s^-2 pc / Msun (CODATA 2018 G with the IAU 2015 nominal GM_sun and the IAU parsec).
G_PC = 4.30091727e-3
#: Parsecs in one arcsecond seen from 1 Mpc.
PC_PER_ARCSEC_MPC = float(np.pi / 180.0 / 3600.0 * 1e6)
#: Analytic laws that never reach zero are followed out to the radius that holds all but this part of the light.
TAIL = 1e-6


class BrightnessLaw(Record):
    """Base of the surface brightness laws: a subclass gives the formula, its integral and its outer radius."""

    def __call__(self, r: Any) -> FloatArray:
        """Return Sigma at radii ``r`` (arcsec), same shape."""
        raise NotImplementedError

    def total(self) -> float:
        """Return the integral of Sigma 2 pi R dR over the whole disc."""
        raise NotImplementedError

    def within(self, r: FloatArray) -> FloatArray:
        """Return the light inside radii ``r`` (arcsec): the integral of Sigma 2 pi R dR from the centre."""
        return self.table().within(r)

    def scale_radius(self) -> float:
        """Return the radial extent over which the light changes, arcsec: what a grid of nodes has to resolve."""
        raise NotImplementedError

    @property
    def r_max(self) -> float:
        """Radius (arcsec) beyond which there is no light, or less than a millionth of it."""
        raise NotImplementedError

    def table(self) -> TableProfile:
        """Return the law as a fine piecewise-linear table: what radii are drawn from."""
        # Even steps follow a ring, geometric ones a cusp.
        even = np.linspace(0.0, self.r_max, 3001)
        r = np.unique(np.concatenate([even, np.geomspace(1e-5 * self.scale_radius(), self.r_max, 3000)]))
        return TableProfile(r, self(r))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ExponentialDisc(BrightnessLaw):
    """Sigma = exp(-R / scale) (Freeman 1970, eq. 1).

    Parameters
    ----------
    scale : float
        Scale length, arcsec.

    Examples
    --------
    >>> float(ExponentialDisc(scale=5.0)(5.0)) == float(np.exp(-1))
    True
    """

    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", check_scalar("scale", self.scale, minimum=0.0, exclusive=True))

    def __call__(self, r: Any) -> FloatArray:
        """Return Sigma at radii ``r``."""
        return np.asarray(np.exp(-np.asarray(r, dtype=float) / self.scale))

    def total(self) -> float:
        """Return 2 pi scale^2."""
        return 2.0 * np.pi * self.scale**2

    def within(self, r: FloatArray) -> FloatArray:
        """Return 2 pi scale^2 [1 - (1 + x) exp(-x)] with x = R / scale."""
        x = np.asarray(r, dtype=float) / self.scale
        return np.asarray(2.0 * np.pi * self.scale**2 * -(np.expm1(-x) + x * np.exp(-x)))

    def scale_radius(self) -> float:
        """Return the scale length."""
        return self.scale

    @property
    def r_max(self) -> float:
        """All but `TAIL` of the light: (1 + x) exp(-x) = TAIL."""
        return self.scale * 16.7


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class GaussianRing(BrightnessLaw):
    """Sigma = exp(-(R - radius)^2 / (2 width^2)).

    Parameters
    ----------
    radius : float
        Of the ridge, arcsec; 0 gives a Gaussian disc.
    width : float
        1 sigma, arcsec.
    """

    radius: float
    width: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", check_scalar("radius", self.radius, minimum=0.0))
        object.__setattr__(self, "width", check_scalar("width", self.width, minimum=0.0, exclusive=True))

    def __call__(self, r: Any) -> FloatArray:
        """Return Sigma at radii ``r``."""
        return np.asarray(np.exp(-0.5 * ((np.asarray(r, dtype=float) - self.radius) / self.width) ** 2))

    def total(self) -> float:
        """Return the closed form of the integral from R = 0."""
        x = self.radius / (np.sqrt(2.0) * self.width)
        tail = np.sqrt(np.pi / 2.0) * self.radius * self.width * (1.0 + scipy.special.erf(x))
        return float(2.0 * np.pi * (self.width**2 * np.exp(-(x**2)) + tail))

    def within(self, r: FloatArray) -> FloatArray:
        """Return the closed form of the integral up to ``r``."""
        x0 = self.radius / (np.sqrt(2.0) * self.width)
        x = (np.asarray(r, dtype=float) - self.radius) / (np.sqrt(2.0) * self.width)
        step = scipy.special.erf(x) + scipy.special.erf(x0)
        ring = np.sqrt(np.pi / 2.0) * self.radius * self.width * step
        return np.asarray(2.0 * np.pi * (self.width**2 * (np.exp(-(x0**2)) - np.exp(-(x**2))) + ring))

    def scale_radius(self) -> float:
        """Return the width."""
        return self.width

    @property
    def r_max(self) -> float:
        """Six sigma beyond the ridge."""
        return self.radius + 6.0 * self.width


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SersicDisc(BrightnessLaw):
    """Sigma = exp(-b_n [(R / r_eff)^(1/n) - 1]) (Sersic 1963; Graham & Driver 2005, eq. 1).

    b_n solves gamma(2n, b_n) = Gamma(2n) / 2 exactly, so r_eff holds half of the light.

    Parameters
    ----------
    r_eff : float
        Effective (half-light) radius, arcsec.
    n : float
        Sersic index, 0.2 to 10; 1 is exponential, 4 de Vaucouleurs.
    """

    r_eff: float
    n: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "r_eff", check_scalar("r_eff", self.r_eff, minimum=0.0, exclusive=True))
        object.__setattr__(self, "n", check_scalar("n", self.n, minimum=0.2, maximum=10.0))

    @property
    def b_n(self) -> float:
        """The b of the law."""
        return float(scipy.special.gammaincinv(2.0 * self.n, 0.5))

    def __call__(self, r: Any) -> FloatArray:
        """Return Sigma at radii ``r``."""
        x = np.abs(np.asarray(r, dtype=float)) / self.r_eff
        return np.asarray(np.exp(-self.b_n * (x ** (1.0 / self.n) - 1.0)))

    def total(self) -> float:
        """Return Graham & Driver (2005), eq. 4, with the brightness at r_eff equal to one."""
        n, b = self.n, self.b_n
        return float(2.0 * np.pi * n * self.r_eff**2 * np.exp(b - 2.0 * n * np.log(b) + scipy.special.gammaln(2.0 * n)))

    def within(self, r: FloatArray) -> FloatArray:
        """Return Graham & Driver (2005), eq. 2: the incomplete gamma function of b (R / r_eff)^(1/n)."""
        x = np.asarray(r, dtype=float) / self.r_eff
        return np.asarray(self.total() * scipy.special.gammainc(2.0 * self.n, self.b_n * x ** (1.0 / self.n)))

    def scale_radius(self) -> float:
        """Return the e-folding radius of the outer profile, r_eff / b_n^n for n = 1."""
        return float(self.r_eff / self.b_n ** min(self.n, 1.5))

    @property
    def r_max(self) -> float:
        """All but `TAIL` of the light."""
        return float(self.r_eff * (scipy.special.gammainccinv(2.0 * self.n, TAIL) / self.b_n) ** self.n)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TableProfile(BrightnessLaw):
    """Sigma given at some radii: linear between them, zero below the first and beyond the last (CONVENTIONS).

    Parameters
    ----------
    radius : array_like, shape (n,)
        Strictly increasing, arcsec.
    brightness : array_like, shape (n,)
        Any scale; negative values are absorption.

    Raises
    ------
    InputError
        If the shapes differ, the brightness is zero everywhere, or emission and absorption cancel exactly.
    """

    radius: FloatArray
    brightness: FloatArray

    def __post_init__(self) -> None:
        radius = check_radii("radius", self.radius)
        brightness = _one_per_radius("brightness", self.brightness, radius)
        if not np.any(brightness):
            raise InputError("brightness", "zero everywhere", "at least one value that is not zero")
        object.__setattr__(self, "radius", radius)
        object.__setattr__(self, "brightness", brightness)
        mass = self.segment_light()
        if abs(mass.sum()) <= 1e-12 * np.abs(mass).sum():
            raise InputError("brightness", "without net flux", "an integral of Sigma 2 pi R dR that is not zero")

    def __call__(self, r: Any) -> FloatArray:
        """Return Sigma at radii ``r``."""
        return np.asarray(np.interp(r, self.radius, self.brightness, left=0.0, right=0.0))

    def segment_light(self) -> FloatArray:
        """Return the exact integral of Sigma 2 pi R dR over each segment of the table, shape (n - 1,)."""
        r0, r1 = self.radius[:-1], self.radius[1:]
        s0, s1 = self.brightness[:-1], self.brightness[1:]
        # With t from 0 to 1 along the segment both Sigma and R are linear, so the integrand is a quadratic.
        return np.asarray(np.pi / 3.0 * (r1 - r0) * (s0 * (2.0 * r0 + r1) + s1 * (r0 + 2.0 * r1)))

    def total(self) -> float:
        """Return the exact integral of the piecewise-linear profile."""
        return float(self.segment_light().sum())

    def within(self, r: FloatArray) -> FloatArray:
        """Return the exact integral of the piecewise-linear profile up to ``r``."""
        r = np.clip(np.asarray(r, dtype=float), self.radius[0], self.radius[-1])
        k = np.clip(np.searchsorted(self.radius, r, side="right") - 1, 0, self.radius.size - 2)
        r0, s0 = self.radius[k], self.brightness[k]
        s1 = s0 + (self.brightness[k + 1] - s0) * (r - r0) / (self.radius[k + 1] - r0)
        below = np.concatenate([[0.0], np.cumsum(self.segment_light())])[k]
        return np.asarray(below + np.pi / 3.0 * (r - r0) * (s0 * (2.0 * r0 + r) + s1 * (r0 + 2.0 * r)))

    def scale_radius(self) -> float:
        """Return half of the mean radius of the light, or its radial spread where that is less (a ring)."""
        light = np.abs(self.segment_light())
        middle = 0.5 * (self.radius[:-1] + self.radius[1:])
        mean = float(np.average(middle, weights=light))
        spread = float(np.sqrt(np.average((middle - mean) ** 2, weights=light)))
        return max(min(0.5 * mean, spread), 1e-6 * self.r_max)

    @property
    def r_max(self) -> float:
        """Last radius of the table."""
        return float(self.radius[-1])

    def table(self) -> TableProfile:
        """Return itself."""
        return self


class RotationLaw(Record):
    """Base of the rotation laws."""

    def __call__(self, r: Any) -> FloatArray:
        """Return the velocity (km/s) at radii ``r`` (arcsec), same shape."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ArctanCurve(RotationLaw):
    """v = (2 / pi) v_max arctan(R / r_turn) (Courteau 1997, eq. 1).

    Parameters
    ----------
    v_max : float
        Asymptotic velocity, km/s.
    r_turn : float
        Turnover radius, arcsec: half of v_max is reached there.
    """

    v_max: float
    r_turn: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "v_max", check_scalar("v_max", self.v_max))
        object.__setattr__(self, "r_turn", check_scalar("r_turn", self.r_turn, minimum=0.0, exclusive=True))

    def __call__(self, r: Any) -> FloatArray:
        """Return v at radii ``r``."""
        return np.asarray(2.0 / np.pi * self.v_max * np.arctan(np.asarray(r, dtype=float) / self.r_turn))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TanhCurve(RotationLaw):
    """v = v_max tanh(R / r_turn) (Andersen & Bershady 2013, eq. 3).

    Parameters
    ----------
    v_max : float
        Asymptotic velocity, km/s.
    r_turn : float
        Turnover radius, arcsec.
    """

    v_max: float
    r_turn: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "v_max", check_scalar("v_max", self.v_max))
        object.__setattr__(self, "r_turn", check_scalar("r_turn", self.r_turn, minimum=0.0, exclusive=True))

    def __call__(self, r: Any) -> FloatArray:
        """Return v at radii ``r``."""
        return np.asarray(self.v_max * np.tanh(np.asarray(r, dtype=float) / self.r_turn))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FlatCurve(RotationLaw):
    """v = v_max at every radius.

    Parameters
    ----------
    v_max : float
        km/s.
    """

    v_max: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "v_max", check_scalar("v_max", self.v_max))

    def __call__(self, r: Any) -> FloatArray:
        """Return v at radii ``r``."""
        return np.full(np.shape(r), self.v_max)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class KeplerianCurve(RotationLaw):
    """v = sqrt(G mass / R) round a point mass.

    Parameters
    ----------
    mass : float
        Msun.
    distance : float
        Mpc: turns arcsec into pc.
    """

    mass: float
    distance: float

    #: The velocity is held inside this radius (arcsec), where it would go to infinity.
    R_MIN = 1e-3

    def __post_init__(self) -> None:
        object.__setattr__(self, "mass", check_scalar("mass", self.mass, minimum=0.0))
        object.__setattr__(self, "distance", check_scalar("distance", self.distance, minimum=0.0, exclusive=True))

    def __call__(self, r: Any) -> FloatArray:
        """Return v at radii ``r``."""
        pc = np.maximum(np.asarray(r, dtype=float), self.R_MIN) * PC_PER_ARCSEC_MPC * self.distance
        return np.asarray(np.sqrt(G_PC * self.mass / pc))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TableCurve(RotationLaw):
    """v given at some radii: linear between them, end values held (CONVENTIONS).

    Parameters
    ----------
    radius : array_like, shape (n,)
        Strictly increasing, arcsec.
    velocity : array_like, shape (n,)
        km/s.
    """

    radius: FloatArray
    velocity: FloatArray

    def __post_init__(self) -> None:
        radius = check_radii("radius", self.radius)
        velocity = _one_per_radius("velocity", self.velocity, radius)
        object.__setattr__(self, "radius", radius)
        object.__setattr__(self, "velocity", velocity)

    def __call__(self, r: Any) -> FloatArray:
        """Return v at radii ``r``."""
        return np.asarray(np.interp(r, self.radius, self.velocity))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class AsymmetricDrift(RotationLaw):
    """v = sqrt(v_circ^2 - sigma^2), zero where sigma is the larger: rotation slowed by pressure support.

    The sign of v_circ is kept.

    Parameters
    ----------
    rotation : RotationLaw
        Circular velocity.
    sigma : float or TableCurve
        Velocity dispersion, km/s.
    """

    rotation: RotationLaw
    sigma: float | TableCurve

    def __post_init__(self) -> None:
        _check_law("rotation", self.rotation, RotationLaw)
        if not isinstance(self.sigma, TableCurve):
            object.__setattr__(self, "sigma", check_scalar("sigma", self.sigma, minimum=0.0))

    def __call__(self, r: Any) -> FloatArray:
        """Return v at radii ``r``."""
        sigma = self.sigma(r) if isinstance(self.sigma, TableCurve) else self.sigma
        v_circ = self.rotation(r)
        return np.asarray(np.sign(v_circ) * np.sqrt(np.maximum(v_circ**2 - sigma**2, 0.0)))


def _one_per_radius(name: str, value: Any, radius: FloatArray) -> FloatArray:
    array = check_array(name, value)
    if array.shape != radius.shape:
        fix = f"Give one {name} per radius."
        raise InputError(f"the shape of {name}", array.shape, f"shape {radius.shape}, as radius", fix)
    return array


def _check_law(name: str, value: Any, base: type) -> None:
    if not isinstance(value, base):
        raise InputTypeError(name, repr(value), f"a {base.__name__}", "See kinms.profiles for the laws there are.")


#: Name in a configuration file -> class.
SURFACE_BRIGHTNESS: dict[str, type[BrightnessLaw]] = {
    "exponential": ExponentialDisc,
    "gaussian_ring": GaussianRing,
    "sersic": SersicDisc,
    "table": TableProfile,
}
ROTATION: dict[str, type[RotationLaw]] = {
    "arctan": ArctanCurve,
    "tanh": TanhCurve,
    "flat": FlatCurve,
    "keplerian": KeplerianCurve,
    "table": TableCurve,
}
