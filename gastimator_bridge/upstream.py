"""Drives the GAStimator that is installed (`backend="gastimator"`), for comparison with results published with it.

What its statistics get wrong, as read from its code and worked out for a Gaussian of standard deviation 1:

* Only accepted steps are returned. A state that was left late counts as much as one that was left at once: the sample
  follows pi(x) x (probability to leave x) instead of pi(x). Standard deviations come out 3 % too large where half of
  the steps are accepted, 11 % where 30 % are, and 2 % too small where 70 % are.
* A proposal outside the bounds is drawn again, without the correction that this asks for (Hastings 1970): the density
  is multiplied by the probability that a step from x stays inside. A half-normal at its bound gets a mean 12 to 20 %
  too large (both points together, from 70 to 30 % accepted).
* ``seed`` has no effect: each chain makes an unseeded generator of its own (repaired here).
* A NaN likelihood is accepted, always, and so is the step after it; NaN in the model counts as a perfect fit of that
  element (both repaired here).
* One coordinate moves at a time: correlated parameters are explored slowly, and nothing measures whether they were.
  "Converged" means that the means of two successive blocks differ by less than ``precision``.
* The last step is always dropped, and the widths of the steps carry over from each search chain to the next.

Why the releases do not run on NumPy 2.4, and what is done about it from outside: in 0.5.1, 0.5.2 and 0.5.4 a step draws
an array of one number and stores it in an element (ValueError); the generator given to it here returns plain numbers.
0.5.4 reads a ``__version__`` that nobody defined (NameError on construction); its constructor is not called. All
collect results of worker processes in arrays of objects, which fails when their shapes happen to agree: one process is
used, and the chain is taken where it is made.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from gastimator_bridge.settings import Settings
from gastimator_bridge.space import Array
from kinms.errors import InputError, KinmsWarning, SamplingError

__all__ = ["run_installed"]


class _PlainNumbers:
    """A generator with the three methods GAStimator calls, which returns a number where one is asked for."""

    def __init__(self, seed: np.random.SeedSequence) -> None:
        self._rng = np.random.default_rng(seed)

    def randn(self, _: int) -> float:
        return float(self._rng.standard_normal())

    def uniform(self, low: float, high: float, _: int) -> float:
        return float(self._rng.uniform(low, high))

    def randint(self, low: int, high: int, size: int) -> Any:
        return self._rng.integers(low, high, size)


def run_installed(
    settings: Settings,
    log_prob: Callable[[Array], float],
    *,
    steps: int,
    burn: int,
    numatonce: int | None,
    chains: int,
    seed: np.random.SeedSequence,
    targetrate: float,
    silent: bool,
    progress: bool,
) -> tuple[Array, Array, str]:
    """Run the installed GAStimator.

    Parameters
    ----------
    settings : Settings
        All parameters.
    log_prob : callable
        ln(prior x likelihood) of the full vector.
    steps, burn, numatonce, chains
        As in ``gastimator.run``: ``chains`` search chains of at most ``steps`` steps, in blocks of ``numatonce``, and
        from the best point of all a last one of ``steps`` steps that is returned without its first ``burn``.
    seed : numpy.random.SeedSequence
        The same seed gives the same chain.
    targetrate : float
        Acceptance a search chain must reach to be called converged.
    silent, progress : bool
        Whether it prints, and whether it shows a bar.

    Returns
    -------
    values : ndarray, shape (npar, accepted)
        The accepted states only.
    log_like : ndarray, shape (accepted,)
        Their ln(prior x likelihood).
    version : str
        Of the package.

    Raises
    ------
    InputError
        No GAStimator is installed.
    SamplingError
        The log-probability is not finite at the guesses.
    """
    engine = _load()
    if not np.isfinite(log_prob(settings.guesses.copy())):
        place = ", ".join(f"{n} = {v:.6g}" for n, v in zip(settings.labels, settings.guesses, strict=True))
        raise SamplingError(f"the log-probability is not finite at the start, {place}.")
    driven = _driven_class(engine.gastimator)(settings, log_prob, seed, targetrate, silent, progress)
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard) if silent else contextlib.nullcontext():
        # It takes 0 for "not given".
        try:
            driven.run(0.0, 1.0, steps, numatonce=numatonce, burn=burn or 1e-9, nchains=chains, plot=False)
        except ValueError:
            # Its array of results could not be made, after the last chain was.
            if not driven.finished:
                raise
    if "did not converge" in heard.getvalue():
        warnings.warn("GAStimator says that a search chain did not converge.", KinmsWarning, stacklevel=3)
    return driven.last_values, driven.last_log_prob, _version()


def _load() -> Any:
    try:
        if hasattr(importlib.import_module("gastimator"), "STANDS_IN"):
            fix = "Run the script with python itself, or use backend='metropolis'."
            raise InputError("backend", "'gastimator'", "another one under kinms.compat, which stands in for it", fix)
        return importlib.import_module("gastimator.gastimator")
    except ImportError as error:
        fix = "pip install gastimator, or use backend='metropolis'."
        raise InputError("backend", "'gastimator'", f"an installed GAStimator ({error})", fix) from error


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("gastimator")
    except metadata.PackageNotFoundError:
        return "unknown"


def _driven_class(engine: type) -> type:
    """The engine with its own boundary repaired, and nothing of its sampling changed."""

    class Driven(engine):
        def __init__(
            self,
            settings: Settings,
            log_prob: Callable[[Array], float],
            seed: np.random.SeedSequence,
            targetrate: float,
            silent: bool,
            progress: bool,
        ) -> None:
            self._log_prob, self._seed, self._progress = log_prob, seed, progress
            self.silent, self.targetrate, self.inc, self.dec, self.nprocesses = silent, targetrate, 1.05, 0.95, 1
            self.labels, self.guesses, self.fixed = np.array(settings.labels), settings.guesses, settings.fixed
            self.min, self.max, self.precision = settings.lower, settings.upper, settings.precision
            self.prior_func, self.finished = None, False
            self.last_values, self.last_log_prob = np.empty((settings.guesses.size, 0)), np.empty(0)

        @property
        def rng(self) -> _PlainNumbers:
            return self._rng

        @rng.setter
        def rng(self, _: Any) -> None:
            # Set anew, unseeded, at the start of every chain.
            self._rng = _PlainNumbers(self._seed.spawn(1)[0])

        def likelihood(self, values: Array) -> float:
            found = self._log_prob(np.array(values, dtype=float))
            return found if found < np.inf else -np.inf

        def chain(self, *args: Any, **kwargs: Any) -> Any:
            kwargs["progress"] = kwargs.get("progress", False) and self._progress
            result = super().chain(*args, **kwargs)
            self.finished = bool(kwargs.get("holdknob"))
            if self.finished:
                # What it would print of the result is printed by whoever asked for it.
                self.last_values, self.last_log_prob, self.silent = result[0], result[1], True
            return result

    return Driven
