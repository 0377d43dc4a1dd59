"""What a script has set on a `gastimator`, checked; and the log-probability made from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gastimator_bridge.space import Array
from kinms.errors import InputError, InputTypeError
from kinms.likelihood import WhiteNoise

__all__ = ["Settings", "Target", "check_data", "check_settings", "lnlike"]

# A first step is a script's `precision`, but never under or over these parts of the range: scripts only guess it.
_SHORTEST, _LONGEST, _USUAL = 0.005, 0.1, 0.05


@dataclass(frozen=True, eq=False)
class Settings:
    """Checked settings, one entry per parameter, fixed ones included; ``scale`` is a first step."""

    labels: list[str]
    guesses: Array
    lower: Array
    upper: Array
    fixed: NDArray[np.bool_]
    precision: Array
    scale: Array
    priors: list[Callable[..., float] | None]

    @property
    def free(self) -> NDArray[np.bool_]:
        """True where a parameter is free."""
        return ~self.fixed

    @property
    def free_labels(self) -> list[str]:
        """Names of the free parameters."""
        return [label for label, free in zip(self.labels, self.free, strict=True) if free]


def check_settings(
    *, guesses: Any, labels: Any, lower: Any, upper: Any, fixed: Any, precision: Any, prior_func: Any
) -> Settings:
    """Return the settings as arrays, or raise an InputError that names the attribute (``guesses``, ``min``, ...)."""
    start = _numbers("guesses", guesses, None)
    n = start.size
    names = [f"parameter {i}" for i in range(n)] if labels is None else [str(name) for name in np.atleast_1d(labels)]
    if len(names) != n:
        raise InputError("labels", f"{len(names)} names", f"{n}, as guesses")
    low, high = _numbers("min", lower, n), _numbers("max", upper, n)
    for attribute, values in (("guesses", start), ("min", low), ("max", high)):
        for name, value in zip(names, values, strict=True):
            if not np.isfinite(value):
                raise InputError(f"{attribute} of {name}", value, "a finite number")
    held = _flags(fixed, n)
    if held.all():
        raise InputError("fixed", "True for every parameter", "at least one that is free")
    for i, name in enumerate(names):
        if low[i] > high[i]:
            raise InputError(f"max of {name}", high[i], f"not below its min, {low[i]}")
        if low[i] == high[i] and not held[i]:
            raise InputError(f"max of {name}", high[i], f"above its min, {low[i]}", "Or set fixed for it.")
        if not low[i] <= start[i] <= high[i]:
            raise InputError(f"guesses of {name}", start[i], f"between its min {low[i]} and max {high[i]}")
    span = high - low
    wanted = _USUAL * span if precision is None else _numbers("precision", precision, n)
    for name, value, free in zip(names, wanted, ~held, strict=True):
        if free and not (np.isfinite(value) and value > 0):
            raise InputError(f"precision of {name}", value, "a positive, finite number")
    scale = np.clip(wanted, _SHORTEST * span, _LONGEST * span)
    return Settings(names, start, low, high, held, wanted, scale, _priors(prior_func, names))


def _numbers(attribute: str, value: Any, size: int | None) -> Array:
    if value is None:
        raise InputTypeError(attribute, "None", "one number per parameter", f"Set {attribute} before run().")
    try:
        array = np.atleast_1d(np.array(value, dtype=float))
    except (TypeError, ValueError) as error:
        raise InputTypeError(attribute, repr(value), "one number per parameter") from error
    if array.ndim != 1 or array.size == 0 or (size is not None and array.size != size):
        expected = "a list of numbers, one per parameter" if size is None else f"{size} numbers, as guesses"
        raise InputError(attribute, f"of shape {array.shape}", expected)
    return array


def _flags(fixed: Any, n: int) -> NDArray[np.bool_]:
    if fixed is None:
        return np.zeros(n, bool)
    flags = np.atleast_1d(np.asarray(fixed))
    if flags.shape != (n,):
        raise InputError("fixed", f"of shape {flags.shape}", f"{n} of True or False, as guesses")
    if flags.dtype != bool and not all(flag in (0, 1) for flag in flags):
        raise InputTypeError("fixed", repr(fixed), "True or False per parameter")
    return flags.astype(bool)


def _priors(prior_func: Any, names: list[str]) -> list[Callable[..., float] | None]:
    if prior_func is None:
        return [None] * len(names)
    given = [prior_func] if callable(prior_func) else list(prior_func)
    if len(given) != len(names):
        raise InputError("prior_func", f"{len(given)} entries", f"{len(names)}, as guesses")
    for name, prior in zip(names, given, strict=True):
        if not (callable(prior) or prior is None or prior is False or (np.isscalar(prior) and prior == 0)):
            expected = "a callable that returns ln(prior), None or False"
            raise InputTypeError(f"prior_func of {name}", repr(prior), expected)
    return [prior if callable(prior) else None for prior in given]


def check_data(fdata: Any, error: Any) -> tuple[NDArray[Any], Any]:
    """Return data and error as arrays (the error 0-D, or of the data's shape), or raise an error that names them."""
    data = np.asarray(fdata)
    if data.dtype.kind not in "fiu":
        raise InputTypeError("fdata", f"an array of {data.dtype}", "an array of real numbers")
    try:
        noise = np.asarray(error, dtype=float)
    except (TypeError, ValueError) as problem:
        raise InputTypeError("error", repr(error), "a number, or one per element of fdata") from problem
    if not np.isfinite(data).any():
        raise InputError("fdata", "without a single finite value", "at least one that is finite")
    if noise.size == 1:
        noise = noise.reshape(())
    else:
        try:
            noise = np.broadcast_to(noise, data.shape)
        except ValueError as problem:
            raise InputError("error", f"of shape {noise.shape}", f"one number or shape {data.shape}") from problem
    used = noise if noise.ndim == 0 else noise[np.isfinite(data)]
    if not np.all((used > 0) & np.isfinite(used)):
        fix = "Set fdata to NaN where a value is not to be used."
        raise InputError("error", "not positive and finite wherever fdata is finite", "positive numbers", fix)
    return data, noise


def lnlike(data: Any, model: Any, error: Any) -> float:
    """Log-likelihood -chi^2 / 2 of independent Gaussian errors, over the finite data; -inf for a model that is not.

    The default of ``gastimator.lnlike_func``; a replacement takes the same three arguments.
    """
    return WhiteNoise(data, error)(np.asarray(model))


class Target:
    """The log-probability of the free parameters: the model, its data and its priors, ready to be pickled.

    Parameters
    ----------
    settings : Settings
        Which parameters are free, what the others are, and the priors.
    model : callable
        ``model(values, *args, **kwargs)`` of the full vector returns an array of the data's shape.
    args, kwargs
        Further arguments of ``model``.
    data, error : ndarray
        As `check_data` returns them, errors inflated.
    lnlike_func : callable
        ``lnlike_func(data, model, error)``.
    """

    def __init__(
        self,
        settings: Settings,
        model: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        data: NDArray[Any],
        error: Any,
        lnlike_func: Callable[..., float],
    ) -> None:
        self.model, self.args, self.kwargs = model, args, kwargs
        self.base, self.free = settings.guesses, np.flatnonzero(settings.free)
        self.priors = [(i, prior) for i, prior in enumerate(settings.priors) if prior is not None]
        self.shape = data.shape
        self.own_like: Callable[..., float] | None = None
        if lnlike_func is lnlike:
            # Upstream-style cubes are [x, y, v] views of FITS-ordered memory: transposed, they are read in order.
            self.noise = WhiteNoise(data.T, error.T if error.ndim else float(error))
        else:
            self.own_like, self.data, self.error = lnlike_func, data, error

    def expand(self, x: Array) -> Array:
        """Return the full vector for free values ``x``."""
        values = self.base.copy()
        values[self.free] = x
        return values

    def __call__(self, x: Array) -> float:
        """Return ln(prior x likelihood) of the free parameters."""
        return self.log_prob(self.expand(x))

    def log_prob(self, values: Array) -> float:
        """Return ln(prior x likelihood) of the full vector: -inf where a prior forbids it, NaN where it fails."""
        prior = 0.0
        for i, function in self.priors:
            prior += float(function(values[i], allvalues=values, ival=i))
        if prior == -np.inf or prior != prior:
            return prior
        model = np.asarray(self.model(values, *self.args, **self.kwargs))
        if model.shape != self.shape:
            raise InputError("model(...)", f"of shape {model.shape}", f"shape {self.shape}, as fdata")
        if self.own_like is not None:
            return float(self.own_like(self.data, model, self.error)) + prior
        like = self.noise(model.T)
        # NaN tells the sampler that the model failed here; it counts how often, and takes it for impossible.
        return like + prior if like > -np.inf else np.nan
