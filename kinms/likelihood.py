"""From a vector of parameters to a log-probability: priors, likelihoods, and the posterior that a sampler calls.

A likelihood takes what a model predicts and returns the log-probability of the data. A `Posterior` is priors x
likelihood behind a plain callable on a vector. Nothing here knows of discs, cubes or samplers: `kinms.posterior` binds
a disc and a cube.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, Protocol

import numpy as np

from kinms.correlation import Correlation
from kinms.errors import InputError, InputTypeError
from kinms.modes import choose_modes
from kinms.priors import (
    PRIORS,
    FunctionPrior,
    IsotropicInclination,
    LogUniform,
    Normal,
    Prior,
    ScipyPrior,
    TablePrior,
    TruncatedNormal,
    Uniform,
)
from kinms.records import FloatArray, Record, check_scalar

__all__ = [
    "PRIORS",
    "CorrelatedNoise",
    "FunctionPrior",
    "InflatedNoise",
    "Inflation",
    "IsotropicInclination",
    "Likelihood",
    "LogUniform",
    "Normal",
    "Parameter",
    "Posterior",
    "Prior",
    "ScipyPrior",
    "StudentT",
    "TablePrior",
    "TruncatedNormal",
    "Uniform",
    "WhiteNoise",
    "inflation",
]

#: Voxels summed at a time: small enough for the cache.
BLOCK = 1 << 16


class Likelihood(Protocol):
    """What a posterior needs of a likelihood."""

    def __call__(self, model: FloatArray) -> float:
        """Return the log-probability of the data, -inf for a model that is not finite."""
        ...


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Inflation(Record):
    """By how much errors were inflated, and why.

    Parameters
    ----------
    mode : str
        ``none``, ``all voxels``, ``detection mask`` or ``given``: what N counts.
    n : int
        Number of constraints N.
    factor : float
        (2N)^(1/4), or 1 without inflation.
    """

    mode: str
    n: int
    factor: float

    def __str__(self) -> str:
        if self.mode == "none":
            return f"no error inflation (N = {self.n})"
        return f"errors x (2N)^(1/4) = {self.factor:.4g}, N = {self.n} ({self.mode})"


def inflation(inflate: Any, finite: Any, mask: Any = None) -> Inflation:
    """Return N and the factor (2N)^(1/4) that errors are multiplied with.

    It makes a change of chi^2 by its own standard deviation, sqrt(2N), a 1-sigma one (van den Bosch & van de Ven 2009,
    section 4.2; Smith et al. 2019).

    Parameters
    ----------
    inflate : bool, float or str
        False: no inflation. True: N = all finite voxels. A number: that N. ``auto``: the voxels of ``mask`` where they
        are under half of all finite ones (and not none), else as True.
    finite : array_like of bool
        True where the data are finite; others never count.
    mask : array_like of bool, optional
        Detection mask of the same shape, True = detected; without it ``auto`` is as True.

    Returns
    -------
    Inflation
        ``n``, ``factor`` (1 without inflation) and, in words, ``mode``.

    Raises
    ------
    InputError, InputTypeError
        ``inflate`` is none of these, or ``mask`` does not fit the data.

    Examples
    --------
    >>> inflation(True, np.ones(8, bool)).factor
    2.0
    >>> print(inflation("auto", np.ones(100, bool), np.arange(100) < 8))
    errors x (2N)^(1/4) = 2, N = 8 (detection mask)
    """
    finite = np.asarray(finite, dtype=bool)
    voxels = int(np.count_nonzero(finite))
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise InputTypeError("mask", f"an array of {mask.dtype}", "an array of bool, True = detected")
        if mask.shape != finite.shape:
            raise InputError("mask", f"of shape {mask.shape}", f"shape {finite.shape}, as the data")
    if isinstance(inflate, bool | np.bool_):
        n, mode = voxels, "all voxels" if inflate else "none"
    elif isinstance(inflate, str):
        if inflate != "auto":
            raise InputError("inflate", repr(inflate), "False, True, a number or 'auto'")
        detected = 0 if mask is None else int(np.count_nonzero(mask & finite))
        n, mode = (detected, "detection mask") if 0 < detected < 0.5 * voxels else (voxels, "all voxels")
    elif isinstance(inflate, Real):
        if not 1.0 <= float(inflate) < np.inf:
            raise InputError("inflate", inflate, "a number of constraints, at least 1")
        n, mode = round(float(inflate)), "given"
    else:
        raise InputTypeError("inflate", repr(inflate), "False, True, a number or 'auto'")
    return Inflation(mode, n, 1.0 if mode == "none" else float((2.0 * n) ** 0.25))


class WhiteNoise:
    """Independent Gaussian errors: log-probability -chi^2 / 2, without the constant normalisation of the Gaussian.

    Right where every voxel has noise of its own. Interferometers correlate neighbouring pixels: there the errors of
    the parameters come out too small.

    Parameters
    ----------
    data : array_like
        Any shape. Voxels that are not finite are not used.
    error : float or array_like
        1 sigma, one number or one per voxel. Voxels whose error is not finite are not used.
    mask : array_like of bool, optional
        True where a voxel may be used; default everywhere.

    Attributes
    ----------
    n : int
        Number of voxels used.
    error : float
        1 sigma, the median where there is one per voxel.
    inflation : Inflation
        Here always ``none``.
    remarks : tuple of str
        How the noise was measured, kept for the record.

    Raises
    ------
    InputError
        If shapes differ, an error is not positive, or no voxel is left.

    Examples
    --------
    >>> noise = WhiteNoise([1.0, 2.0, np.nan], error=0.5)
    >>> noise.n, noise([1.0, 1.0, 7.0])
    (2, -2.0)
    """

    remarks: tuple[str, ...] = ()

    def __init__(self, data: Any, error: Any, mask: Any = None) -> None:
        data = np.asarray(data)
        if data.dtype not in (np.float32, np.float64):
            data = data.astype(float)
        use = _usable(data, error, mask)
        self.shape = data.shape
        self.n = int(np.count_nonzero(use))
        self.inflation = Inflation("none", self.n, 1.0)
        # Flat, and contiguous in the machine's byte order, as the sum runs over them thousands of times.
        self._data = np.where(use, data, 0.0).astype(data.dtype.newbyteorder("=")).ravel()
        self._weight = None if use.all() else use.ravel()
        self.error = float(np.median(np.broadcast_to(error, data.shape)[use]))
        if np.ndim(error) > 0:
            self._weight = np.divide(self.error, error, out=np.zeros(data.shape), where=use).ravel()

    @property
    def data(self) -> FloatArray:
        """The data, zero where a voxel is not used."""
        return self._data.reshape(self.shape)

    @property
    def weights(self) -> FloatArray | None:
        """(`error` / the error of each voxel)^2, zero where it is not used; None where all are one."""
        return None if self._weight is None else np.asarray(self._weight.reshape(self.shape), dtype=float) ** 2

    def of_chi2(self, chi2: float) -> float:
        """Return the log-probability of data with this chi-squared; -inf if it is not finite."""
        value = -0.5 * chi2 / self.inflation.factor**2
        return value if np.isfinite(value) else -np.inf

    def chi2(self, model: Any) -> float:
        """Return the sum of ((model - data) / error)^2 over the voxels used, with the errors as given.

        Raises
        ------
        InputError
            If the model's shape is not that of the data.
        """
        model = np.asarray(model)
        if model.shape != self.shape:
            raise InputError("the shape of the model", model.shape, f"{self.shape}, as the data")
        flat, total = model.ravel(), 0.0
        with np.errstate(invalid="ignore", over="ignore"):
            for start in range(0, flat.size, BLOCK):
                part = slice(start, start + BLOCK)
                residual = np.subtract(flat[part], self._data[part], dtype=float)
                if self._weight is not None:
                    residual *= self._weight[part]
                # Not a BLAS dot product: its last bits depend on the number of threads.
                total += float(np.einsum("i,i->", residual, residual))
        return total / self.error**2

    def whitened(self, cube: FloatArray) -> FloatArray:
        """Return a cube in units of the errors, 1-D: chi-squared is the square of those of the data less the model."""
        flat = np.asarray(cube, dtype=np.float32).ravel()
        return np.asarray((flat if self._weight is None else flat * self._weight) / np.float32(self.error))

    def __call__(self, model: Any) -> float:
        """Return -chi^2 / 2 (divided by the inflation squared); -inf if the model is not finite everywhere."""
        return self.of_chi2(self.chi2(model))


class InflatedNoise(WhiteNoise):
    """White noise with errors x (2N)^(1/4): 1 sigma becomes a change of chi^2 by its own standard deviation, sqrt(2N).

    A rule of thumb against correlated noise and models that cannot fit to the last voxel (van den Bosch & van de Ven
    2009, section 4.2; Smith et al. 2019). `chi2` keeps the errors as given.

    Parameters
    ----------
    data, error, mask
        As for `WhiteNoise`.
    n_constraints : int, optional
        N; default all voxels used.
    mode : str, optional
        What N counts, for the record.

    Examples
    --------
    >>> noise = InflatedNoise(np.zeros(8), error=1.0)
    >>> noise.inflation.factor, noise(np.ones(8))
    (2.0, -1.0)
    """

    def __init__(
        self, data: Any, error: Any, mask: Any = None, n_constraints: int | None = None, mode: str = ""
    ) -> None:
        super().__init__(data, error, mask)
        n = (
            self.n
            if n_constraints is None
            else int(check_scalar("the number of constraints", n_constraints, minimum=1))
        )
        mode = mode or ("all voxels" if n_constraints is None else "given")
        self.inflation = Inflation(mode, n, float((2.0 * n) ** 0.25))


class CorrelatedNoise:
    """Gaussian noise that neighbouring voxels share: log-probability -r^T C^-1 r / 2, without the constant.

    Right where the noise is stationary once it is divided by its rms, and the correlation is the one given: that of the
    beam, or measured (`kinms.NoiseModel`). It fails where the model cannot follow the data to the noise; errors are
    then too small, as with any likelihood, and more so than with `WhiteNoise`, which hardly looks at structure smaller
    than the beam. The correlation's floor says how closely a model can be expected to follow.

    By default the cube is projected on those modes of the noise that stand above its floor. Where the voxels used are
    the same rectangle in each channel, these are Fourier modes of the field, continued beyond its edges by kriging
    (`kinms.modes.FieldModes`); else each channel has a basis of its own voxels (`kinms.modes.MaskModes`). The 68 %
    intervals differ by under 2 % from those of the whole covariance matrix, which ``exact`` uses.

    Parameters
    ----------
    data : array_like, shape (nv, ny, nx)
        Voxels that are not finite are not used.
    error : float or array_like
        1 sigma, one number or one per voxel. Voxels whose error is not finite are not used.
    correlation : Correlation
        Of noise divided by these errors.
    mask : array_like of bool, shape (nv, ny, nx), optional
        True where a voxel may be used; default everywhere.
    exact : bool
        Whether to use the whole covariance matrix, at any cost: minutes, and some thousand voxels per channel at most.
    remarks : sequence of str
        How the noise was measured, kept for the record.

    Attributes
    ----------
    n : int
        Independent numbers that are compared, the chi-squared that noise alone has; voxels if `exact`.
    voxels : int
        Voxels used.
    error : float
        1 sigma, the median where there is one per voxel.
    inflation : Inflation
        Here always ``none``.

    Raises
    ------
    InputError
        If shapes differ, an error is not positive, no voxel is left, or the noise is correlated over more than the
        field.

    Examples
    --------
    >>> from kinms.correlation import Correlation
    >>> from kinms.grid import Beam
    >>> beam = Correlation.of_beam(Beam(4.0), cell=1.0)
    >>> noise = CorrelatedNoise(np.zeros((2, 16, 16)), 1.0, beam)
    >>> white = WhiteNoise(np.zeros((2, 16, 16)), 1.0)
    >>> offset = np.full((2, 16, 16), 0.3)  # neighbours that are off together are little evidence
    >>> noise.chi2(offset) < 0.1 * white.chi2(offset)
    True
    """

    def __init__(
        self,
        data: Any,
        error: Any,
        correlation: Correlation,
        mask: Any = None,
        exact: bool = False,
        remarks: Sequence[str] = (),
    ) -> None:
        data = np.asarray(data)
        if data.ndim != 3:
            raise InputError("the shape of data", data.shape, "(nv, ny, nx)")
        if not isinstance(correlation, Correlation):
            raise InputTypeError("correlation", repr(correlation), "a Correlation", "Such as Correlation.of_beam(...).")
        use = _usable(data, error, mask)
        for name, width, n in zip("yx", correlation.fwhm, data.shape[1:], strict=True):
            if width > n:
                fix = "Use more of the field, or the likelihood 'inflated'."
                raise InputError(
                    "the correlation", f"{width:.3g} pixels wide in {name}", f"at most the field, {n}", fix
                )
        self.shape, self.correlation, self.exact = data.shape, correlation, exact
        self.remarks = tuple(remarks)
        self.voxels = int(np.count_nonzero(use))
        self.error = float(np.median(np.broadcast_to(error, data.shape)[use]))
        kind = float if exact else np.float32
        self._weight = None
        if np.ndim(error) > 0:
            self._weight = np.divide(self.error, error, out=np.zeros(data.shape), where=use).astype(kind)
        self.modes = choose_modes(correlation, use, exact)
        self.n = self.modes.n
        self.inflation = Inflation("none", self.n, 1.0)
        self._cube = np.where(use, data, 0.0)
        modes = self.modes.of(self._weighted(self._cube))
        self._data = modes / modes.dtype.type(self.error)
        #: Chi-squared of a model that is zero.
        self.data_square = float(np.einsum("i,i->", *2 * [self._data.astype(float)]))

    def _weighted(self, cube: FloatArray) -> FloatArray:
        """Return a cube with each voxel in proportion to its error."""
        return cube if self._weight is None else np.asarray(cube * self._weight)

    def of_chi2(self, chi2: float) -> float:
        """Return the log-probability of data with this chi-squared; -inf if it is not finite."""
        return -0.5 * chi2 if np.isfinite(chi2) else -np.inf

    def chi2(self, model: Any) -> float:
        """Return r^T C^-1 r of the residuals r.

        Raises
        ------
        InputError
            If the model's shape is not that of the data.
        """
        return self._compare(model)[0]

    def products(self, model: Any) -> tuple[float, float]:
        """Return m^T C^-1 m and m^T C^-1 d: chi-squared is `data_square` - 2 times the second + the first."""
        return self._compare(model)[1:]

    def whitened(self, cube: FloatArray) -> FloatArray:
        """Return the modes of a cube, 1-D: chi-squared is the square of those of the data less those of the model."""
        modes = self.modes.of(self._weighted(self._check(cube)))
        return np.asarray(modes / modes.dtype.type(self.error))

    @property
    def data(self) -> FloatArray:
        """The data, zero where a voxel is not used."""
        return self._cube

    def _compare(self, model: Any) -> tuple[float, float, float]:
        return self.modes.compare(self._weighted(self._check(model)), self._data, 1.0 / self.error)

    def __call__(self, model: Any) -> float:
        """Return -chi^2 / 2; -inf if the model is not finite everywhere."""
        return self.of_chi2(self.chi2(model))

    def _check(self, model: Any) -> FloatArray:
        model = np.asarray(model)
        if model.shape != self.shape:
            raise InputError("the shape of the model", model.shape, f"{self.shape}, as the data")
        return model


class StudentT:
    """Independent errors with heavy tails: log-probability of Student's t, without its constant normalisation.

    For cubes with artefacts: a voxel that is off by many sigma counts with the logarithm of its distance, not with its
    square (Lange, Little & Taylor 1989). As with `WhiteNoise`, errors of parameters come out too small where neighbours
    share their noise.

    Parameters
    ----------
    data, error, mask
        As for `WhiteNoise`; the error is the scale of the distribution, near the 1 sigma of its core.
    freedom : float
        Degrees of freedom, above 0: 1 is a Cauchy distribution, and a large number a Gaussian.

    Examples
    --------
    >>> noise = StudentT(np.zeros(3), error=1.0)
    >>> round(noise([1.0, 0.0, 0.0]), 3), round(noise([100.0, 0.0, 0.0]), 3)
    (-0.558, -19.561)
    """

    remarks: tuple[str, ...] = ()

    def __init__(self, data: Any, error: Any, mask: Any = None, freedom: float = 4.0) -> None:
        self.white = WhiteNoise(data, error, mask)
        self.freedom = check_scalar("freedom", freedom, minimum=0.0, exclusive=True)
        self.shape, self.n, self.error, self.inflation = (
            self.white.shape, self.white.n, self.white.error, self.white.inflation,
        )  # fmt: skip

    def weights_at(self, residual: FloatArray) -> FloatArray:
        """Return how much each residual, in units of its error, counts beside one of zero (and Gaussian errors)."""
        return np.asarray((self.freedom + 1.0) / (self.freedom + residual.astype(float) ** 2))

    def chi2(self, model: Any) -> float:
        """Return the sum of ((model - data) / error)^2, as of Gaussian errors, for the record."""
        return self.white.chi2(model)

    def __call__(self, model: Any) -> float:
        """Return the log-probability; -inf if the model is not finite everywhere."""
        model = np.asarray(model)
        if model.shape != self.shape:
            raise InputError("the shape of the model", model.shape, f"{self.shape}, as the data")
        with np.errstate(invalid="ignore", over="ignore"):
            square = ((model - self.white.data) / self.error) ** 2
            if self.white.weights is not None:
                square *= self.white.weights
            value = -0.5 * (self.freedom + 1.0) * float(np.log1p(square / self.freedom).sum())
        return value if np.isfinite(value) else -np.inf


def _usable(data: FloatArray, error: Any, mask: Any) -> np.ndarray:
    """True where data, error and mask allow a voxel to be used."""
    use = np.isfinite(data)
    if not use.any():
        raise InputError("data", "without a single finite voxel", "at least one that is finite")
    if np.ndim(error) == 0:
        check_scalar("the error", error, minimum=0.0, exclusive=True)
    else:
        if np.shape(error) != data.shape:
            raise InputError(
                "the shape of the error", np.shape(error), f"one number or shape {data.shape}, as the data"
            )
        use &= np.isfinite(error)
        if np.any(np.asarray(error)[use] <= 0.0):
            raise InputError("the error", "zero or negative in some voxels", "positive errors", "Mask those voxels.")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != data.shape:
            raise InputError("the shape of the mask", mask.shape, f"{data.shape}, as the data")
        if mask.dtype != bool:
            raise InputTypeError("the mask", f"an array of {mask.dtype}", "an array of bool, True = use")
        use &= mask
    if not use.any():
        raise InputError("the mask", "without a single usable voxel", "at least one voxel that is True and finite")
    return use


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Parameter(Record):
    """One free number.

    Parameters
    ----------
    name : str
        As it appears in tables.
    prior : Prior
        Its prior.
    start : float
        Where a sampler starts; brought into the range of a periodic prior.
    unit : str
        Empty where it has none.

    Raises
    ------
    InputError
        If the start lies outside the prior.
    """

    name: str
    prior: Prior
    start: float
    unit: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.prior, Prior):
            allowed = ", ".join(prior.__name__ for prior in PRIORS.values())
            raise InputTypeError(f"the prior of {self.name}", repr(self.prior), f"one of {allowed}")
        start = float(self.prior.wrap(check_scalar(f"the start of {self.name}", self.start)))
        if self.prior.log_pdf(start) == -np.inf:
            fix = "Move the start inside, or widen the prior."
            raise InputError(f"the start of {self.name}", f"{start:g}", f"a value allowed by {self.prior}", fix)
        object.__setattr__(self, "start", start)


class Posterior:
    """Priors x likelihood: a plain callable on a vector that pickles and knows no sampler.

    Parameters
    ----------
    parameters : sequence of Parameter
        One per element of the vector.
    predict : callable
        Takes the vector, periodic elements brought into range, and returns what the likelihood takes; or None where
        the parameters are impossible together.
    likelihood : callable
        Takes what `predict` returns, returns a log-probability.

    Attributes
    ----------
    labels, units : list of str
        Of the elements.
    start, lower, upper, scale : ndarray, shape (npar,)
        Starting values, ends of the priors (infinite where there is none), first steps for a sampler.
    periodic : ndarray of bool, shape (npar,)
        Whether an element's ends are the same point.

    Examples
    --------
    >>> slope = Parameter("slope", Uniform(-5, 5), start=1.0)
    >>> line = Posterior([slope], lambda x: x[0] * np.arange(3), WhiteNoise([0, 2, 4], error=1))
    >>> line.labels, round(line([2.0]), 4), line([6.0])
    (['slope'], -2.3026, -inf)
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        predict: Callable[[FloatArray], Any],
        likelihood: Callable[[Any], float],
    ) -> None:
        self.parameters = tuple(parameters)
        self.predict, self.likelihood = predict, likelihood
        self.labels = [p.name for p in self.parameters]
        self.units = [p.unit for p in self.parameters]
        self.start = np.array([p.start for p in self.parameters])
        self.lower, self.upper = np.array([p.prior.bounds for p in self.parameters]).reshape(-1, 2).T
        self.periodic = np.array([p.prior.is_periodic for p in self.parameters], dtype=bool)
        self.scale = np.array([p.prior.first_step(p.start) for p in self.parameters])
        # The density of a uniform prior is a number: most priors are, and a model call is not to wait for them.
        flat = [p.prior for p in self.parameters if isinstance(p.prior, Uniform)]
        self._log_flat = sum(float(prior.log_pdf(prior.low)) for prior in flat)
        self._curved = [(k, p.prior) for k, p in enumerate(self.parameters) if not isinstance(p.prior, Uniform)]

    def wrap(self, vector: Any) -> FloatArray:
        """Return the vector with its periodic elements brought into range.

        Raises
        ------
        InputError
            If it has not one element per parameter.
        """
        x = np.array(vector, dtype=float)
        if x.shape != self.start.shape:
            raise InputError("the shape of the vector", x.shape, f"{self.start.shape}, one element per free parameter")
        for k in np.flatnonzero(self.periodic):
            x[k] = self.parameters[k].prior.wrap(x[k])
        return x

    def log_prior(self, vector: Any) -> float:
        """Return the sum of the priors' log-densities; -inf outside any of them and for a NaN."""
        x = self.wrap(vector)
        if not ((x >= self.lower) & (x <= self.upper)).all():
            return -np.inf
        return self._log_flat + sum(float(prior.log_pdf(x[k])) for k, prior in self._curved)

    def log_like(self, vector: Any) -> float:
        """Return the log-likelihood, whatever the priors; -inf where model or likelihood are not finite."""
        model = self.predict(self.wrap(vector))
        value = -np.inf if model is None else float(self.likelihood(model))
        return value if np.isfinite(value) else -np.inf

    def __call__(self, vector: Any) -> float:
        """Return log prior + log likelihood; -inf, without evaluating the model, where the prior forbids."""
        log_prior = self.log_prior(vector)
        if log_prior == -np.inf:
            return -np.inf
        return log_prior + self.log_like(vector)
