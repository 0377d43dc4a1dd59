"""Prior distributions of one parameter each.

Every prior is a frozen record with `log_pdf`, `cdf`, `ppf` and `sample`, a support (`bounds`) and a flag
`is_periodic`. `PRIORS` gives the names by which a configuration file chooses them; a prior prints itself as it is
shown in tables, such as ``uniform(0, 360), periodic``. `as_prior` takes frozen distributions of `scipy.stats`
as they are.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import scipy  # loads its parts when they are first asked for

from kinms.density_cells import DensityCells, gauss_legendre
from kinms.errors import InputError, InputTypeError
from kinms.records import FloatArray, Record, check_array, check_scalar

__all__ = [
    "PRIORS",
    "FunctionPrior",
    "IsotropicInclination",
    "LogUniform",
    "Normal",
    "Prior",
    "ScipyPrior",
    "TablePrior",
    "TruncatedNormal",
    "Uniform",
    "as_prior",
]

#: First steps of a sampler, in units of the half-width of the central 68 % of the prior: 5 % of a uniform one's width.
FIRST_STEP = 0.15
#: 84th percentile of a Gaussian's one sigma.
_ONE_SIGMA = 0.5 * (1.0 + math.erf(1.0 / math.sqrt(2.0)))
#: The outermost probabilities that a float tells from 0 and 1, and its largest number.
_FIRST, _LAST, _LARGEST = np.finfo(float).tiny, float(np.nextafter(1.0, 0.0)), np.finfo(float).max


class Prior(Record):
    """Base of the priors: a subclass gives the density, its integral and the inverse of that.

    Every method takes a number or an array and returns an array of the same shape.
    """

    kind: ClassVar[str]

    @property
    def bounds(self) -> tuple[float, float]:
        """Support (low, high): the density is zero outside; infinite where it has no end."""
        raise NotImplementedError

    @property
    def is_periodic(self) -> bool:
        """Whether the two ends of the support are the same point."""
        return False

    def log_pdf(self, x: Any) -> FloatArray:
        """Return the logarithm of the normalised density; -inf outside the support and for NaN."""
        x = np.asarray(x, dtype=float)
        low, high = self.bounds
        inside = (x >= low) & (x <= high)
        result = np.full(x.shape, -np.inf)
        with np.errstate(all="ignore"):  # the logarithm of a density that underflows is what it should be, -inf
            result[inside] = self._log_density(x[inside])
        result[np.isnan(result)] = -np.inf
        return result

    def cdf(self, x: Any) -> FloatArray:
        """Return the probability of a value at or below ``x``; NaN for NaN."""
        low, high = self.bounds
        with np.errstate(all="ignore"):
            part = self._cumulative(np.clip(np.asarray(x, dtype=float), low, high))
        return np.clip(np.asarray(part, dtype=float), 0.0, 1.0)

    def ppf(self, q: Any) -> FloatArray:
        """Return the value below which lies a probability ``q``: what turns a unit cube into the prior.

        Always finite and within the bounds: 0 and 1 give the bounds themselves, or, where there is none, the outermost
        quantile whose probability a float can tell from 0 or 1.

        Raises
        ------
        InputError
            If a probability is not within 0 and 1.
        """
        q = np.asarray(q, dtype=float)
        if not np.all((q >= 0.0) & (q <= 1.0)):
            raise InputError("q", "outside 0 to 1", "probabilities from 0 to 1")
        low, high = self.bounds
        with np.errstate(all="ignore"):
            x = np.asarray(self._quantile(np.clip(q, _FIRST, _LAST)), dtype=float)
        x = np.clip(x, max(low, -_LARGEST), min(high, _LARGEST))
        for end, bound in ((0.0, low), (1.0, high)):
            if np.isfinite(bound):
                x = np.where(q == end, bound, x)
        return x

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...] | None = None) -> FloatArray:
        """Return draws from the prior, of shape ``size``."""
        return self.ppf(rng.random(size))

    def wrap(self, x: Any) -> FloatArray:
        """Return ``x`` brought into the support if the prior is periodic, else ``x`` itself."""
        x = np.asarray(x, dtype=float)
        if not self.is_periodic:
            return x
        low, high = self.bounds
        # An angle a rounding error below `low` would come out as `high` itself.
        wrapped = low + np.mod(x - low, high - low)
        return np.where(wrapped >= high, low, wrapped)

    def first_step(self, x: float) -> float:
        """Return a sensible length for the first steps of a sampler that starts at ``x``."""
        low, high = self.ppf([1.0 - _ONE_SIGMA, _ONE_SIGMA])
        return float(FIRST_STEP * 0.5 * high - FIRST_STEP * 0.5 * low)

    def __str__(self) -> str:
        values = [getattr(self, field.name) for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        numbers = ", ".join(f"{value:g}" for value in values if not isinstance(value, bool))
        return f"{self.kind}({numbers}){', periodic' if self.is_periodic else ''}"

    def _log_density(self, x: FloatArray) -> Any:
        raise NotImplementedError

    def _cumulative(self, x: FloatArray) -> Any:
        raise NotImplementedError

    def _quantile(self, q: FloatArray) -> Any:
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Uniform(Prior):
    """The same density from ``low`` to ``high``.

    Parameters
    ----------
    low, high : float
        Bounds.
    periodic : bool
        Whether ``high`` is the same point as ``low``: an angle that goes all the way round.

    Raises
    ------
    InputError
        If low is not below high.

    Examples
    --------
    >>> print(Uniform(0, 360, periodic=True))
    uniform(0, 360), periodic
    >>> float(Uniform(0, 360, periodic=True).wrap(-1))
    359.0
    """

    low: float
    high: float
    periodic: bool = False
    kind: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        _check_fields(self, "low", "high")
        _check_order(self.low, self.high)
        _check_flag("periodic", self.periodic)

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    @property
    def is_periodic(self) -> bool:
        """As given."""
        return self.periodic

    def _log_density(self, x: FloatArray) -> Any:
        return -np.log(self.high - self.low)

    def _cumulative(self, x: FloatArray) -> Any:
        return (x - self.low) / (self.high - self.low)

    def _quantile(self, q: FloatArray) -> Any:
        return self.low + q * (self.high - self.low)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Normal(Prior):
    """A Gaussian; where a disc cannot take a value (a negative dispersion), the posterior cuts it off.

    Parameters
    ----------
    mean : float
        Of the Gaussian.
    sigma : float
        Standard deviation, positive.

    Examples
    --------
    >>> float(Normal(10.0, 2.0).ppf(0.5))
    10.0
    """

    mean: float
    sigma: float
    kind: ClassVar[str] = "normal"

    def __post_init__(self) -> None:
        _check_fields(self, "mean")
        object.__setattr__(self, "sigma", check_scalar("sigma", self.sigma, minimum=0.0, exclusive=True))

    @property
    def bounds(self) -> tuple[float, float]:
        """No bounds."""
        return -np.inf, np.inf

    def _log_density(self, x: FloatArray) -> Any:
        return _log_gaussian((x - self.mean) / self.sigma) - np.log(self.sigma)

    def _cumulative(self, x: FloatArray) -> Any:
        return scipy.special.ndtr((x - self.mean) / self.sigma)

    def _quantile(self, q: FloatArray) -> Any:
        return self.mean + self.sigma * scipy.special.ndtri(q)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TruncatedNormal(Prior):
    """A Gaussian cut at ``low`` and ``high``.

    Parameters
    ----------
    mean, sigma : float
        Of the Gaussian before it is cut; the mean may lie outside of the bounds.
    low, high : float
        Bounds; infinite for none.

    Raises
    ------
    InputError
        If low is not below high, or the bounds lie so far in a tail that nothing is left between them.

    Examples
    --------
    >>> half = TruncatedNormal(0.0, 1.0, low=0.0)
    >>> round(float(half.ppf(0.5)), 4)
    0.6745
    """

    mean: float
    sigma: float
    low: float = -np.inf
    high: float = np.inf
    kind: ClassVar[str] = "truncated_normal"

    def __post_init__(self) -> None:
        _check_fields(self, "mean")
        object.__setattr__(self, "sigma", check_scalar("sigma", self.sigma, minimum=0.0, exclusive=True))
        for name in ("low", "high"):
            value = getattr(self, name)
            if not (np.ndim(value) == 0 and isinstance(value, (int, float)) and np.isinf(value)):
                _check_fields(self, name)
        _check_order(self.low, self.high)
        if not self._tail[3] > 1e-250:
            raise InputError(
                "the bounds",
                f"{self.low:g} to {self.high:g}",
                f"an interval that a Gaussian of mean {self.mean:g} and sigma {self.sigma:g} reaches",
            )

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    @functools.cached_property
    def _tail(self) -> tuple[float, float, float, float]:
        """Sign of the axis, both bounds in sigmas along it, and the Gaussian probability between them.

        Far above the mean the cumulative rounds to one; seen from the other end it keeps its digits.
        """
        sign = -1.0 if self.low > self.mean else 1.0
        first, last = sorted(sign * (end - self.mean) / self.sigma for end in self.bounds)
        return sign, first, last, float(_gaussian_between(first, last))

    def _log_density(self, x: FloatArray) -> Any:
        return _log_gaussian((x - self.mean) / self.sigma) - np.log(self.sigma) - np.log(self._tail[3])

    def _cumulative(self, x: FloatArray) -> Any:
        sign, first, last, mass = self._tail
        z = np.clip(sign * (x - self.mean) / self.sigma, first, last)
        return _gaussian_between(first, z) / mass if sign > 0 else _gaussian_between(z, last) / mass

    def _quantile(self, q: FloatArray) -> Any:
        sign, first, last, mass = self._tail
        part = q if sign > 0 else 1.0 - q
        if _is_narrow(first, last):
            # The density changes by less than a factor e: Newton's steps square their error from the first on.
            z = first + part * (last - first)
            for _ in range(6):
                excess = _gaussian_between(first, z) - part * mass
                z = np.clip(z - excess * np.exp(-_log_gaussian(z)), first, last)
        else:
            z = scipy.special.ndtri(scipy.special.ndtr(first) + mass * part)
        return self.mean + sign * self.sigma * z


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LogUniform(Prior):
    """The same density per unit of log x from ``low`` to ``high``: p(x) = 1 / (x ln(high / low)).

    Parameters
    ----------
    low, high : float
        Bounds, positive.

    Examples
    --------
    >>> round(float(LogUniform(1.0, 100.0).ppf(0.5)), 9)
    10.0
    """

    low: float
    high: float
    kind: ClassVar[str] = "log_uniform"

    def __post_init__(self) -> None:
        _check_fields(self, "high")
        object.__setattr__(self, "low", check_scalar("low", self.low, minimum=0.0, exclusive=True))
        _check_order(self.low, self.high)

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    def first_step(self, x: float) -> float:
        """Return a step in log x, as the prior knows no scale."""
        return float(abs(x) * FIRST_STEP * 0.5 * (2.0 * _ONE_SIGMA - 1.0) * min(self._length, 2.0))

    @functools.cached_property
    def _length(self) -> float:
        """ln(high / low)."""
        return float(_log_ratio(self.high, self.low))

    def _log_density(self, x: FloatArray) -> Any:
        return -np.log(x) - np.log(self._length)

    def _cumulative(self, x: FloatArray) -> Any:
        return _log_ratio(x, self.low) / self._length

    def _quantile(self, q: FloatArray) -> Any:
        if self._length > 1.0:
            return np.exp(np.log(self.low) + q * self._length)
        return self.low + self.low * np.expm1(q * self._length)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class IsotropicInclination(Prior):
    """Discs that face any direction alike: p(i) proportional to sin(i).

    Parameters
    ----------
    low, high : float
        Bounds within 0 and 180, degrees.

    Examples
    --------
    >>> round(float(IsotropicInclination().ppf(0.5)), 9)
    60.0
    """

    low: float = 0.0
    high: float = 90.0
    kind: ClassVar[str] = "isotropic"

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, check_scalar(name, getattr(self, name), minimum=0.0, maximum=180.0))
        _check_order(self.low, self.high)
        if not self._width >= np.finfo(float).tiny:
            raise InputError("high", f"{self.high:g}", f"an angle whose cosine a float tells from that of {self.low:g}")

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    @functools.cached_property
    def _width(self) -> float:
        """cos(low) - cos(high)."""
        return float(_cosine_between(self.low, self.high))

    def _log_density(self, x: FloatArray) -> Any:
        return np.log(np.radians(1.0) * np.sin(np.radians(x))) - np.log(self._width)

    def _cumulative(self, x: FloatArray) -> Any:
        return _cosine_between(self.low, x) / self._width

    def _quantile(self, q: FloatArray) -> Any:
        # sin^2(i/2) and cos^2(i/2) are linear in cos(i), and one of the two keeps its digits at either pole.
        first, last = np.radians(0.5 * np.array(self.bounds))
        sine = (1.0 - q) * np.sin(first) ** 2 + q * np.sin(last) ** 2
        cosine = (1.0 - q) * np.cos(first) ** 2 + q * np.cos(last) ** 2
        return 2.0 * np.degrees(np.arctan2(np.sqrt(sine), np.sqrt(cosine)))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TablePrior(Prior):
    """A density given at points and linear between them; zero outside.

    Parameters
    ----------
    x : array_like, shape (n,)
        Points, strictly increasing.
    density : array_like, shape (n,)
        Densities there, none negative, not all zero; they need not be normalised.
    periodic : bool
        Whether the last point is the same as the first.

    Raises
    ------
    InputError
        If points do not increase, densities are negative or all zero, or there are not as many of one as of the other.

    Notes
    -----
    Integral and quantiles are exact: a parabola within each interval. In a configuration file:
    ``inc = { table = [[20, 50, 80], [0, 2, 1]] }``.

    Examples
    --------
    >>> triangle = TablePrior([0, 1, 2], [0, 1, 0])
    >>> float(triangle.ppf(0.125)), float(triangle.cdf(1.5))
    (0.5, 0.875)
    """

    x: FloatArray
    density: FloatArray
    periodic: bool = False
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        x = check_array("x", self.x, shape=(-1,))
        density = check_array("density", self.density, shape=(-1,), minimum=0.0)
        if x.size < 2:
            raise InputError("the length of x", x.size, "at least 2 points")
        if density.shape != x.shape:
            raise InputError("the shape of density", density.shape, f"shape {x.shape}, one per point of x")
        if np.any(x[1:] <= x[:-1]):
            k = int(np.flatnonzero(x[1:] <= x[:-1])[0]) + 1
            raise InputError("x", f"not increasing at index {k}", "strictly increasing points")
        if not density.any():
            raise InputError("density", "zero everywhere", "a positive density somewhere")
        _check_flag("periodic", self.periodic)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "density", density)
        _check_order(float(x[0]), float(x[-1]), "x")
        if not self._table[2] >= np.finfo(float).tiny:
            raise InputError("x", f"from {x[0]:g} to {x[-1]:g}", "an interval that a float can divide")

    @property
    def bounds(self) -> tuple[float, float]:
        """First and last point that a positive density reaches; those of the table if it is periodic."""
        positive = np.flatnonzero(self.density)
        if self.periodic:
            return float(self.x[0]), float(self.x[-1])
        return float(self.x[max(positive[0] - 1, 0)]), float(self.x[min(positive[-1] + 1, self.x.size - 1)])

    @property
    def is_periodic(self) -> bool:
        """As given."""
        return self.periodic

    def __str__(self) -> str:
        low, high = self.bounds
        return f"table({self.x.size} points, {low:g} to {high:g}){', periodic' if self.periodic else ''}"

    @functools.cached_property
    def _table(self) -> tuple[FloatArray, FloatArray, float]:
        """Densities relative to the highest, their normalised cumulative at the points, and its norm."""
        relative = self.density / self.density.max()
        areas = 0.5 * (relative[1:] + relative[:-1]) * np.diff(self.x)
        cumulative = np.concatenate([[0.0], np.cumsum(areas)])
        return relative, cumulative / max(cumulative[-1], np.finfo(float).tiny), float(cumulative[-1])

    def _interval(self, where: FloatArray, value: FloatArray) -> tuple[FloatArray, ...]:
        """Index of the interval in which a value lies, its lower end, width, and relative densities at both ends."""
        relative = self._table[0]
        k = np.clip(np.searchsorted(where, value, side="right") - 1, 0, self.x.size - 2)
        return k, self.x[k], self.x[k + 1] - self.x[k], relative[k], relative[k + 1]

    def _at(self, x: FloatArray) -> FloatArray:
        """Return the density relative to the highest."""
        _, left, width, first, last = self._interval(self.x, x)
        part = (x - left) / width
        return np.asarray((1.0 - part) * first + part * last)

    def _log_density(self, x: FloatArray) -> Any:
        return np.log(self._at(x)) - np.log(self._table[2])

    def _cumulative(self, x: FloatArray) -> Any:
        _, cumulative, norm = self._table
        k, left, _, first, _ = self._interval(self.x, x)
        return cumulative[k] + 0.5 * (x - left) * (first + self._at(x)) / norm

    def _quantile(self, q: FloatArray) -> Any:
        cumulative = self._table[1]
        k, left, width, first, last = self._interval(cumulative, q)
        part = np.clip((q - cumulative[k]) / (cumulative[k + 1] - cumulative[k]), 0.0, 1.0)
        # The density at the quantile is the root of a mean of squares: nothing cancels where it falls to zero.
        scale = np.maximum(first, last)
        first, last = first / scale, last / scale
        reached = np.sqrt((1.0 - part) * first**2 + part * last**2)
        return left + width * np.nan_to_num(np.clip(part * (first + last) / (first + reached), 0.0, 1.0))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ScipyPrior(Prior):
    """A frozen continuous distribution of `scipy.stats`.

    Parameters
    ----------
    distribution : frozen distribution
        Such as ``scipy.stats.gamma(3, scale=2)``: with its numbers, and one of each.

    Raises
    ------
    InputTypeError
        If it is something else: not frozen, discrete, of several variables.
    InputError
        If its quantiles or densities are not finite, as for a negative scale, or are arrays.

    Notes
    -----
    Density, integral and quantiles are as accurate as scipy's. Where the density is infinite (an end of
    ``scipy.stats.beta(0.5, 0.5)``) that of the nearest number takes its place. Two are equal if they are of one family
    with the same numbers.

    Examples
    --------
    >>> from scipy import stats
    >>> prior = ScipyPrior(stats.gamma(3, scale=2))
    >>> print(prior, prior.bounds)
    scipy.gamma(3, scale=2) (0.0, inf)
    """

    distribution: Any
    kind: ClassVar[str] = "scipy"

    def __post_init__(self) -> None:
        given, family = self.distribution, getattr(self.distribution, "dist", None)
        expected = "a frozen continuous distribution of scipy.stats"
        if isinstance(given, (scipy.stats.rv_continuous, scipy.stats.rv_discrete)):
            fix = "Call it with its numbers, as scipy.stats.norm(50, 5)."
            raise InputTypeError("distribution", f"{given.name} without its numbers", expected, fix)
        if isinstance(family, scipy.stats.rv_discrete):
            raise InputTypeError("distribution", f"{family.name}, which is discrete", expected)
        if not isinstance(family, scipy.stats.rv_continuous):
            raise InputTypeError("distribution", repr(given), expected, "Such as scipy.stats.norm(50, 5).")
        for name, value in self._numbers.items():
            if np.ndim(value) > 0:
                raise InputError(f"{name} of distribution", f"of shape {np.shape(value)}", "one number")
        with np.errstate(all="ignore"):
            x = np.asarray(given.ppf(_CHECKED), dtype=float)
            good = np.isfinite(x) & ~np.isnan(given.logpdf(x)) & (np.abs(given.cdf(x) - _CHECKED) < 1e-4)
        if not good.all() or np.any(np.diff(x) < 0.0) or not self.bounds[0] < self.bounds[1]:
            got = f"{self}, without finite quantiles and densities"
            raise InputError("distribution", got, "valid numbers, such as a positive scale")

    @functools.cached_property
    def bounds(self) -> tuple[float, float]:
        """Support of the distribution."""
        low, high = self.distribution.support()
        return float(low), float(high)

    @functools.cached_property
    def _numbers(self) -> dict[str, Any]:
        """Shapes, loc and scale by name."""
        family, given = self.distribution.dist, self.distribution
        names = [name.strip() for name in (family.shapes or "").split(",") if name.strip()]
        return {"loc": 0.0, "scale": 1.0, **dict(zip([*names, "loc", "scale"], given.args, strict=False)), **given.kwds}

    def __str__(self) -> str:
        return f"scipy.{self._call('g')}"

    def __repr__(self) -> str:
        return f"ScipyPrior(stats.{self._call('')})"

    def _call(self, form: str) -> str:
        """Return the call that made the distribution; its numbers as plain ones, whatever numpy's are called."""
        given = self.distribution
        values = [*(("", value) for value in given.args), *((f"{name}=", value) for name, value in given.kwds.items())]
        plain = ((name, value if isinstance(value, int) else _as_float(value)) for name, value in values)
        numbers = (f"{name}{format(value, form) if np.ndim(value) == 0 else value}" for name, value in plain)
        return f"{given.dist.name}({', '.join(numbers)})"

    def _key(self) -> tuple[Any, ...]:
        # Families made from data, as rv_histogram, have no numbers: their quantiles tell them apart.
        numbers = tuple(sorted((name, float(value)) for name, value in self._numbers.items()))
        return type(self.distribution.dist), numbers, self.bounds, self.ppf(_CHECKED).tobytes()

    def _log_density(self, x: FloatArray) -> Any:
        value = np.asarray(self.distribution.logpdf(x), dtype=float)
        if np.any(value == np.inf):
            nearest = np.nextafter(x, self.distribution.ppf(0.5))
            value = np.where(value == np.inf, np.minimum(self.distribution.logpdf(nearest), np.log(_LARGEST)), value)
        return value

    def _cumulative(self, x: FloatArray) -> Any:
        return self.distribution.cdf(x)

    def _quantile(self, q: FloatArray) -> Any:
        x = np.asarray(self.distribution.ppf(q), dtype=float)
        if not np.isfinite(x).all():  # some fail in the last of their tails
            x = np.where(np.isfinite(x), x, self.distribution.ppf(np.clip(q, 1.0 - _LAST, _LAST)))
        return x


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FunctionPrior(Prior):
    """A density given by a function between two bounds.

    Parameters
    ----------
    log_density : callable
        Takes a number (or an array, see `vectorised`) within the bounds and returns the logarithm of the density there,
        normalised or not; -inf where it is zero.
    low, high : float
        Bounds.
    periodic : bool
        Whether ``high`` is the same point as ``low``.
    vectorised : bool
        Whether the function takes a 1-D array and returns as many values.

    Raises
    ------
    InputError
        If the function returns NaN or +inf, is -inf all over, or cannot be integrated to 1e-9.
    InputTypeError
        If it is not a function, or what it returns is not a number.

    Notes
    -----
    The density is integrated once, when the prior is made: the interval is cut into cells, which are halved until a
    polynomial through 16 points of each holds the density to 1e-12 of the whole; quantiles invert the integrals of
    these polynomials. Steps, kinks and narrow peaks are found by halving, if something of them is seen from 512 points
    across the interval: a spike narrower than that on an otherwise smooth density can be missed, and a density that
    rises to infinity at a bound other than zero may be refused. The function must return the same value for the same
    number every time. The prior can be pickled if the function can (one of a module, not a lambda), and two are equal
    if bounds and function are.

    Examples
    --------
    >>> prior = FunctionPrior(lambda x: -abs(x), -30.0, 30.0)
    >>> round(float(prior.ppf(0.75)), 9), round(float(prior.log_pdf(0.0)), 9)
    (0.693147181, -0.693147181)
    """

    log_density: Callable[[Any], Any]
    low: float
    high: float
    periodic: bool = False
    vectorised: bool = False
    kind: ClassVar[str] = "function"

    def __post_init__(self) -> None:
        if not callable(self.log_density):
            raise InputTypeError("log_density", repr(self.log_density), "a function of one number")
        _check_fields(self, "low", "high")
        _check_order(self.low, self.high)
        _check_flag("periodic", self.periodic)
        _check_flag("vectorised", self.vectorised)
        object.__setattr__(self, "_cells", DensityCells(self._call, self.low, self.high))

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    @property
    def is_periodic(self) -> bool:
        """As given."""
        return self.periodic

    def __hash__(self) -> int:
        return hash((type(self), self.low, self.high))  # a function need not have a hash

    def __str__(self) -> str:
        return f"function({self._name}, {self.low:g}, {self.high:g}){', periodic' if self.periodic else ''}"

    def __repr__(self) -> str:
        rest = f"low={self.low!r}, high={self.high!r}, periodic={self.periodic!r}, vectorised={self.vectorised!r}"
        return f"FunctionPrior(log_density={self._name}, {rest})"

    @property
    def _name(self) -> str:
        return str(getattr(self.log_density, "__qualname__", type(self.log_density).__name__))

    def _call(self, x: FloatArray) -> FloatArray:
        """Return the function at each of a 1-D array of numbers."""
        with np.errstate(all="ignore"):
            given = self.log_density(x) if self.vectorised else [self.log_density(value) for value in x.tolist()]
        try:
            values = np.asarray(given, dtype=float)
        except (TypeError, ValueError):
            raise InputTypeError("what log_density returns", repr(given)[:60], "a number") from None
        if not self.vectorised and values.ndim > 1 and values.size == x.size:
            values = values.reshape(-1)
        if values.shape != x.shape:
            fix = "Give vectorised=False if it takes one number at a time." if self.vectorised else ""
            shape = values.shape if self.vectorised else values.shape[1:]
            expected = f"shape {x.shape}, one per number" if self.vectorised else "one number"
            raise InputError("what log_density returns", f"of shape {shape}", expected, fix)
        return values

    def _log_density(self, x: FloatArray) -> Any:
        return np.minimum(self._call(x) - self._cells.log_norm, np.log(_LARGEST))  # type: ignore[attr-defined]

    def _cumulative(self, x: FloatArray) -> Any:
        return self._cells.cumulative(np.ravel(x)).reshape(np.shape(x))  # type: ignore[attr-defined]

    def _quantile(self, q: FloatArray) -> Any:
        return self._cells.quantile(np.ravel(q)).reshape(np.shape(q))  # type: ignore[attr-defined]


def as_prior(value: Any, name: str = "the prior") -> Prior:
    """Return a prior as it is, a frozen distribution of `scipy.stats` as a `ScipyPrior`.

    Parameters
    ----------
    value : Prior or frozen distribution
        What a user gives.
    name : str
        What it is called in messages.

    Raises
    ------
    InputTypeError
        For anything else: a function has no bounds of its own, see `FunctionPrior`.

    Examples
    --------
    >>> from scipy import stats
    >>> print(as_prior(stats.norm(50, 5)))
    scipy.norm(50, 5)
    """
    if isinstance(value, Prior):
        return value
    # Whoever has such an object has loaded the module.
    stats = sys.modules.get("scipy.stats")
    families = () if stats is None else (stats.rv_continuous, stats.rv_discrete)
    if isinstance(value, families) or isinstance(getattr(value, "dist", None), families):
        try:
            return ScipyPrior(value)
        except (InputError, InputTypeError) as error:
            values = error.values
            raise type(error)(name, values["got"], values["expected"], values["fix"]) from None
    allowed = ", ".join(prior.__name__ for prior in (*PRIORS.values(), ScipyPrior, FunctionPrior))
    fix = "A function needs bounds: FunctionPrior(function, low, high)." if callable(value) else ""
    raise InputTypeError(name, repr(value), f"one of {allowed}", fix)


#: Probabilities at which a distribution of another's making is looked at.
_CHECKED = np.array([0.001, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 0.999])


def _as_float(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value


def _log_gaussian(z: FloatArray) -> FloatArray:
    return np.asarray(-0.5 * z**2 - 0.5 * np.log(2.0 * np.pi))


def _is_narrow(a: Any, b: Any) -> Any:
    """Whether a Gaussian of unit width changes by less than a factor e or so from a to b."""
    return (b - a) * np.maximum(1.0, np.maximum(np.abs(a), np.abs(b))) < 1.0


@np.errstate(all="ignore")
def _gaussian_between(a: Any, b: Any) -> FloatArray:
    """Return the integral of a Gaussian of unit width from a to b; a difference of cumulatives loses narrow ones."""
    nodes, weights, _ = gauss_legendre()
    a, b = np.broadcast_arrays(np.asarray(a, dtype=float), np.asarray(b, dtype=float))
    result = np.array(scipy.special.ndtr(b) - scipy.special.ndtr(a))
    narrow = _is_narrow(a, b)
    left, width = a[narrow], b[narrow] - a[narrow]
    z = left[:, None] + 0.5 * width[:, None] * (1.0 + nodes)
    result[narrow] = 0.5 * width * (np.exp(_log_gaussian(z)) * weights).sum(axis=-1)
    return result


def _log_ratio(x: Any, low: float) -> FloatArray:
    """Return ln(x / low), exact for a ratio near one as for one beyond the largest float."""
    with np.errstate(all="ignore"):
        excess = (x - low) / low
        return np.where(excess < 1.0, np.log1p(excess), np.log(x) - np.log(low))


def _cosine_between(a: float, b: Any) -> Any:
    """Return cos(a) - cos(b), for degrees, without loss where they are near."""
    return 2.0 * np.sin(np.radians(0.5 * a + 0.5 * b)) * np.sin(np.radians(0.5 * (b - a)))


def _check_fields(prior: Prior, *names: str) -> None:
    for name in names:
        object.__setattr__(prior, name, check_scalar(name, getattr(prior, name)))


def _check_order(low: float, high: float, name: str = "high") -> None:
    if not low < high:
        raise InputError(name, f"{high:g}", f"a number above low ({low:g})", "Give the lower bound first.")
    if np.isfinite([low, high]).all() and not np.isfinite(high - low):
        raise InputError(name, f"{high:g}", f"a number whose distance from {low:g} a float can hold")


def _check_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise InputTypeError(name, repr(value), "True or False")


#: Name in a configuration file -> class; its values are the positional arguments.
PRIORS: dict[str, type[Prior]] = {
    prior.kind: prior for prior in (Uniform, Normal, TruncatedNormal, LogUniform, IsotropicInclination, TablePrior)
}
