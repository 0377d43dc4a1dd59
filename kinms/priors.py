"""Prior distributions of one parameter each.

Every prior is a frozen record with `log_pdf`, `cdf`, `ppf` and `sample`, a support (`low`, `high`) and a flag
`periodic`. `PRIORS` gives the names by which a configuration file chooses them; a prior prints itself as it is
shown in tables, such as ``uniform(0, 360), periodic``.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np
import scipy  # loads its parts when they are first asked for

from kinms.errors import InputError, InputTypeError
from kinms.records import FloatArray, Record, check_scalar

__all__ = [
    "PRIORS",
    "IsotropicInclination",
    "LogUniform",
    "Normal",
    "Prior",
    "TruncatedNormal",
    "Uniform",
]

#: First steps of a sampler, in units of the half-width of the central 68 % of the prior: 5 % of a uniform one's width.
FIRST_STEP = 0.15
#: 84th percentile of a Gaussian's one sigma.
_ONE_SIGMA = 0.5 * (1.0 + math.erf(1.0 / math.sqrt(2.0)))


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
        result[inside] = self._log_density(x[inside])
        return result

    def cdf(self, x: Any) -> FloatArray:
        """Return the probability of a value at or below ``x``."""
        low, high = self.bounds
        return np.asarray(self._cumulative(np.clip(np.asarray(x, dtype=float), low, high)), dtype=float)

    def ppf(self, q: Any) -> FloatArray:
        """Return the value below which lies a probability ``q``: what turns a unit cube into the prior.

        Raises
        ------
        InputError
            If a probability is not within 0 and 1.
        """
        q = np.asarray(q, dtype=float)
        if not np.all((q >= 0.0) & (q <= 1.0)):
            raise InputError("q", "outside 0 to 1", "probabilities from 0 to 1")
        low, high = self.bounds
        return np.clip(np.asarray(self._quantile(q), dtype=float), low, high)

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
        return float(FIRST_STEP * 0.5 * (high - low))

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
        if not isinstance(self.periodic, bool):
            raise InputTypeError("periodic", repr(self.periodic), "True or False")

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
        if self._tail[1] <= 1e-250:
            raise InputError(
                "the bounds",
                f"{self.low:g} to {self.high:g}",
                f"an interval that a Gaussian of mean {self.mean:g} and sigma {self.sigma:g} reaches",
            )

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    @property
    def _tail(self) -> tuple[float, float, float]:
        """Sign of the axis, Gaussian probability between the bounds, and that below the lower one, along that axis.

        Far above the mean the cumulative rounds to one; seen from the other end it keeps its digits.
        """
        sign = -1.0 if self.low > self.mean else 1.0
        ends = sorted(sign * (end - self.mean) / self.sigma for end in self.bounds)
        below = float(scipy.special.ndtr(ends[0]))
        return sign, float(scipy.special.ndtr(ends[1])) - below, below

    def _log_density(self, x: FloatArray) -> Any:
        return _log_gaussian((x - self.mean) / self.sigma) - np.log(self.sigma * self._tail[1])

    def _cumulative(self, x: FloatArray) -> Any:
        sign, mass, below = self._tail
        part = (scipy.special.ndtr(sign * (x - self.mean) / self.sigma) - below) / mass
        return part if sign > 0 else 1.0 - part

    def _quantile(self, q: FloatArray) -> Any:
        sign, mass, below = self._tail
        return self.mean + sign * self.sigma * scipy.special.ndtri(below + mass * (q if sign > 0 else 1.0 - q))


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
        return float(abs(x) * FIRST_STEP * 0.5 * (2.0 * _ONE_SIGMA - 1.0) * min(np.log(self.high / self.low), 2.0))

    def _log_density(self, x: FloatArray) -> Any:
        return -np.log(x) - np.log(np.log(self.high / self.low))

    def _cumulative(self, x: FloatArray) -> Any:
        return np.log(x / self.low) / np.log(self.high / self.low)

    def _quantile(self, q: FloatArray) -> Any:
        return self.low * np.exp(q * np.log(self.high / self.low))


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

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    @property
    def _cosines(self) -> tuple[float, float]:
        first, last = np.cos(np.radians(self.bounds))
        return float(first), float(first - last)

    def _log_density(self, x: FloatArray) -> Any:
        density = np.radians(1.0) * np.sin(np.radians(x)) / self._cosines[1]
        return np.log(density, out=np.full(np.shape(x), -np.inf), where=density > 0.0)

    def _cumulative(self, x: FloatArray) -> Any:
        first, width = self._cosines
        return (first - np.cos(np.radians(x))) / width

    def _quantile(self, q: FloatArray) -> Any:
        first, width = self._cosines
        return np.degrees(np.arccos(np.clip(first - q * width, -1.0, 1.0)))


def _log_gaussian(z: FloatArray) -> FloatArray:
    return np.asarray(-0.5 * z**2 - 0.5 * np.log(2.0 * np.pi))


def _check_fields(prior: Prior, *names: str) -> None:
    for name in names:
        object.__setattr__(prior, name, check_scalar(name, getattr(prior, name)))


def _check_order(low: float, high: float) -> None:
    if not low < high:
        raise InputError("high", f"{high:g}", f"a number above low ({low:g})", "Give the lower bound first.")


#: Name in a configuration file -> class; its values are the positional arguments.
PRIORS: dict[str, type[Prior]] = {
    prior.kind: prior for prior in (Uniform, Normal, TruncatedNormal, LogUniform, IsotropicInclination)
}
