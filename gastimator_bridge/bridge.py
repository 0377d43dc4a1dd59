"""The class that scripts written for GAStimator use: the same attributes, the same `run`, another engine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gastimator_bridge.chains import Chains
from gastimator_bridge.metropolis import sample
from gastimator_bridge.saving import planned_files, write_chain, write_figures
from gastimator_bridge.settings import Settings, Target, check_data, check_settings, lnlike
from gastimator_bridge.space import Array
from gastimator_bridge.upstream import run_installed
from kinms.errors import InputError, InputTypeError, KinmsWarning
from kinms.likelihood import Inflation, inflation
from kinms.records import check_seed, check_whole

__all__ = ["Run", "gastimator"]

BACKENDS = ("metropolis", "gastimator")
# Chains whose Gelman-Rubin statistic is above this have not found the same posterior.
_R_HAT_LIMIT = 1.2
# Voxels this many errors away from zero are taken for detected, where `inflate="auto"` is given no mask.
_DETECTED = 3.0


@dataclass(frozen=True, eq=False)
class Run:
    """What the last `gastimator.run` did; ``values`` and ``log_like`` are what it returned.

    Attributes
    ----------
    values : ndarray, shape (npar, steps)
        One row per parameter, fixed ones included.
    log_like : ndarray, shape (steps,)
        ln(prior x likelihood) of every state.
    labels : list of str
        Names of the rows.
    fixed : ndarray of bool, shape (npar,)
        Which rows are constant.
    best : ndarray, shape (npar,)
        The most probable vector that was tried.
    inflation : kinms.likelihood.Inflation
        N and the factor of the errors.
    backend : str
        Engine, with its version where it is another package.
    entropy : int
        Seed that repeats the run.
    chains : Chains or None
        All there is to know about the chains (acceptance, R-hat, ...), of the free parameters; None from GAStimator.
    """

    values: Array
    log_like: Array
    labels: list[str]
    fixed: NDArray[np.bool_]
    best: Array
    inflation: Inflation
    backend: str
    entropy: int
    chains: Chains | None

    def summary(self) -> str:
        """Return the medians and 1-sigma errors (16th and 84th percentile), one line per parameter."""
        lines = ["Medians and 1-sigma errors:"]
        low, middle, high = np.percentile(self.values, [15.87, 50.0, 84.13], axis=1)
        for label, a, m, b, fixed in zip(self.labels, low, middle, high, self.fixed, strict=True):
            lines.append(f"  {label}: {m:.6g} (fixed)" if fixed else f"  {label}: {m:.6g} +{b - m:.3g} -{m - a:.3g}")
        lines.append(f"Best ln L: {self.log_like.max():.6g} of the returned states; {self.inflation}")
        if self.chains is not None:
            rates = ", ".join(f"{rate:.2f}" for rate in self.chains.acceptance)
            lines.append(f"Acceptance: {rates}; R-hat at most {self.chains.r_hat.max():.3f}; seed {self.entropy}")
        return "\n".join(lines)


class gastimator:  # the name scripts import
    """Fit ``model(values, *args, **kwargs)`` to data.

    Set ``guesses``, ``min`` and ``max`` (one number per parameter), then call `run`.

    Parameters
    ----------
    model : callable
        ``model(values, *args, **kwargs)`` of the full vector of parameters returns an array of the data's shape.
    *args, **kwargs
        Its further arguments.

    Attributes
    ----------
    guesses, min, max : array_like, shape (npar,)
        First guess and flat prior per parameter.
    labels : array_like of str, optional
        Names.
    fixed : array_like of bool, optional
        True for parameters that stay at their guess; none by default.
    precision : array_like, optional
        About how well each parameter will be known; only sets the first steps.
    prior_func : sequence, optional
        Per parameter None, False, or a callable ``prior(x, allvalues=values, ival=i)`` that returns ln(prior); it
        multiplies the flat prior. See `gastimator_bridge.priors`.
    args, fargs : tuple
        Two names of the further arguments of the model.
    kwargs : dict
        Its keyword arguments.
    silent : bool
        Print nothing, show no bar.
    nprocesses : int
        Worker processes for chains, by default one less than there are cores. It never changes a result.
    lnlike_func : callable
        ``lnlike_func(data, model, error)``, by default Gaussian errors.
    targetrate : float
        Acceptance that the random walk is tuned to.
    rng, inc, dec
        Taken, and of no effect: ``run`` has a ``seed``, and the engine tunes itself.
    result : Run or None
        All about the last run.
    lastchain, lastchainll, lastchainaccept : ndarray
        Values, ln(prior x likelihood) and acceptance of every kept step of the last run.

    Examples
    --------
    >>> x = np.linspace(0.0, 10.0, 50)
    >>> def line(values, x):
    ...     return values[0] + values[1] * x
    >>> mcmc = gastimator(line, x)
    >>> mcmc.labels, mcmc.guesses = ["level", "slope"], [0.5, 1.5]
    >>> mcmc.min, mcmc.max, mcmc.silent = [-5.0, 0.0], [5.0, 5.0], True
    >>> values, log_like = mcmc.run(1.0 + 2.0 * x, 0.1, 2000, seed=1)
    >>> values.shape, np.median(values, axis=1).round(1)
    ((2, 1600), array([1., 2.]))
    """

    def __init__(self, model: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        from joblib import cpu_count

        if not callable(model):
            raise InputTypeError("model", repr(model), "a callable model(values, *args, **kwargs)")
        self.model, self.args, self.kwargs = model, args, kwargs
        self.guesses: Any = None
        self.min: Any = None
        self.max: Any = None
        self.labels: Any = None
        self.fixed: Any = None
        self.precision: Any = None
        self.prior_func: Any = None
        self.silent = False
        self.nprocesses = max(1, cpu_count() - 1)
        self.lnlike_func: Callable[..., float] = lnlike
        self.targetrate, self.inc, self.dec, self.rng = 0.25, 1.05, 0.95, None
        self.fdata: Any = None
        self.error: Any = None
        self.npars: int | None = None
        self.change: Any = None
        self.result: Run | None = None
        self.lastchain: Any = None
        self.lastchainll: Any = None
        self.lastchainaccept: Any = None

    lnlike = staticmethod(lnlike)

    @property
    def fargs(self) -> tuple[Any, ...]:
        """The model's further arguments; the same as ``args``."""
        return self.args

    @fargs.setter
    def fargs(self, value: Sequence[Any]) -> None:
        if not isinstance(value, tuple | list):
            raise InputTypeError("fargs", type(value).__name__, "a tuple of arguments", "One argument: (argument,).")
        self.args = tuple(value)

    def input_checks(self) -> Settings:
        """Check all that has been set, and return it as arrays.

        Raises
        ------
        InputError, InputTypeError
            What is missing or cannot be; names the attribute.
        """
        if not callable(self.lnlike_func):
            raise InputTypeError("lnlike_func", repr(self.lnlike_func), "a callable (data, model, error)")
        if not 0.0 < self.targetrate < 1.0:
            raise InputError("targetrate", self.targetrate, "an acceptance between 0 and 1")
        check_whole("nprocesses", self.nprocesses, 1)
        settings = check_settings(
            guesses=self.guesses,
            labels=self.labels,
            lower=self.min,
            upper=self.max,
            fixed=self.fixed,
            precision=self.precision,
            prior_func=self.prior_func,
        )
        self.npars, self.change = settings.guesses.size, np.flatnonzero(settings.free)
        return settings

    def likelihood(self, values: ArrayLike) -> float:
        """Return ln(prior x likelihood) of the full vector for the data of the last `run`, -inf where it fails."""
        if self.fdata is None:
            raise InputError("fdata", "None", "the data of a run", "Call run() first, or set fdata and error.")
        found = self._target(self.input_checks(), *check_data(self.fdata, self.error)).log_prob(
            np.array(values, dtype=float)
        )
        return found if found < np.inf else -np.inf

    def run(
        self,
        fdata: ArrayLike,
        error: ArrayLike,
        niters: int,
        numatonce: int | None = None,
        burn: int | None = None,
        nchains: int = 1,
        plot: bool = True,
        output: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        *,
        inflate: bool | float | str = False,
        mask: ArrayLike | None = None,
        accepted_only: bool = False,
        backend: str = "metropolis",
        progress: bool | None = None,
    ) -> tuple[Array, Array]:
        """Sample the posterior of the free parameters.

        Parameters
        ----------
        fdata : array_like
            Data, any shape; what is not finite is not used.
        error : array_like
            1 sigma of the data, one number or one per element.
        niters : int
            Steps per chain, burn-in included.
        numatonce : int, optional
            Only of ``backend="gastimator"``: steps between its tests of convergence.
        burn : int, optional
            How many of ``niters`` are burn-in, by default 20 %.
        nchains : int
            Number of chains. They are returned one after the other.
        plot : bool
            With ``output``, also draw a trace and a corner plot to files. Nothing is ever shown on a screen.
        output : path, optional
            Write the chain there, a ``.npz`` file with ``values``, ``log_like``, ``labels``, ``fixed``, ``best``,
            ``n``, ``inflation`` and ``seed``. A file that exists is never overwritten.
        seed : int, optional
            The same seed gives the same chain, bit for bit, whatever ``nprocesses``.
        inflate : bool, float or str
            Multiply the errors with (2N)^(1/4): False not; True with N all finite data; a number with that N; ``auto``
            with N the detected voxels, where they are under half of all. See `kinms.likelihood.inflation`.
        mask : array_like of bool, optional
            The detected voxels (True) for ``inflate="auto"``; by default those above 3 errors.
        accepted_only : bool
            Return only the states right after an accepted step, without their repeats. Such states do not follow the
            posterior: they are for plots.
        backend : str
            ``metropolis``: `gastimator_bridge.sample`. ``gastimator``: the installed GAStimator, whose errors
            `gastimator_bridge.upstream` lists; it returns accepted states only, of a single last chain.
        progress : bool, optional
            Show a progress bar; by default unless ``silent``.

        Returns
        -------
        values : ndarray, shape (npar, steps)
            States, one row per parameter, fixed ones included.
        log_like : ndarray, shape (steps,)
            ln(prior x likelihood) of each.

        Raises
        ------
        InputError, InputTypeError
            An attribute or argument that cannot be; names it.
        FileError, OutputExistsError
            ``output`` cannot be written.
        SamplingError
            No finite likelihood at the guesses, or a worker died. What the model raises comes through as it is.
        KeyboardInterrupt
            Ctrl-C during burn-in; later on what has been sampled is returned.
        """
        settings = self.input_checks()
        data, noise = check_data(fdata, error)
        niters, nchains = check_whole("niters", niters, 2), check_whole("nchains", nchains, 1)
        burn = niters // 5 if burn is None else check_whole("burn", burn, 0)
        if burn >= niters:
            raise InputError("burn", burn, f"fewer than niters, {niters}", "Burn-in is a part of them.")
        if backend not in BACKENDS:
            raise InputError("backend", repr(backend), " or ".join(repr(name) for name in BACKENDS))
        if numatonce is not None:
            numatonce = check_whole("numatonce", numatonce, 1)
        inflated = self._inflate(inflate, mask, data, noise)
        files = planned_files(output, plot) if output is not None else []
        self.fdata, self.error = data, noise * inflated.factor
        self._say(f"Free: {', '.join(settings.free_labels)}. {inflated}.")
        options: dict[str, Any] = {"steps": niters, "burn": burn, "chains": nchains}
        options["progress"] = not self.silent if progress is None else bool(progress)
        root = check_seed(seed)
        target = self._target(settings, self.fdata, self.error)
        if backend == "metropolis":
            run = self._run_metropolis(settings, target, root, inflated, accepted_only, options)
        else:
            run = self._run_installed(settings, target, root, inflated, numatonce, options)
        self.result = run
        if run.log_like.size == 0:
            raise InputError("niters", niters, "enough steps for one to be accepted", "Take more.")
        self._say(run.summary())
        if files:
            _save(files, run)
        return run.values, run.log_like

    def _inflate(self, inflate: Any, mask: Any, data: NDArray[Any], noise: Any) -> Inflation:
        if mask is not None and not (isinstance(inflate, str) and inflate == "auto"):
            fix = "To leave data out of the fit, set them to NaN."
            raise InputError("mask", "given", "none unless inflate='auto'", fix)
        finite = np.isfinite(data)
        if mask is None:
            mask = np.zeros(data.shape, bool)
            mask[finite] = np.abs(data[finite]) > np.broadcast_to(_DETECTED * noise, data.shape)[finite]
        return inflation(inflate, finite, mask)

    def _target(self, settings: Settings, data: NDArray[Any], error: Any) -> Target:
        return Target(settings, self.model, self.args, self.kwargs, data, error, self.lnlike_func)

    def _run_metropolis(
        self,
        settings: Settings,
        target: Target,
        root: np.random.SeedSequence,
        inflated: Inflation,
        accepted_only: bool,
        options: dict[str, Any],
    ) -> Run:
        free = settings.free
        chains = sample(
            target,
            settings.guesses[free],
            lower=settings.lower[free],
            upper=settings.upper[free],
            scale=settings.scale[free],
            labels=settings.free_labels,
            seed=root,
            processes=self.nprocesses,
            target=self.targetrate,
            **options,
        )
        if chains.kept == 0:
            raise KeyboardInterrupt("stopped during burn-in; nothing has been sampled")
        values = np.repeat(settings.guesses[:, None], chains.flat().shape[0], axis=1)
        values[free] = chains.flat().T
        accepted, log_like = chains.accepted.reshape(-1), chains.flat_log_prob()
        self.lastchain, self.lastchainll, self.lastchainaccept = values, log_like, accepted
        if len(chains.values) > 1 and chains.r_hat.max() > _R_HAT_LIMIT:
            warnings.warn(
                f"The {len(chains.values)} chains differ (R-hat up to {chains.r_hat.max():.2f}): look at each, take "
                "more steps, or better guesses.",
                KinmsWarning,
                stacklevel=3,
            )
        if chains.interrupted:
            self._say(f"Stopped after {chains.kept} kept steps per chain.")
        keep = accepted if accepted_only else slice(None)
        return Run(
            values=values[:, keep],
            log_like=log_like[keep],
            labels=settings.labels,
            fixed=settings.fixed,
            best=target.expand(chains.best),
            inflation=inflated,
            backend="metropolis",
            entropy=chains.entropy,
            chains=chains,
        )

    def _run_installed(
        self,
        settings: Settings,
        target: Target,
        root: np.random.SeedSequence,
        inflated: Inflation,
        numatonce: int | None,
        options: dict[str, Any],
    ) -> Run:
        values, log_like, version = run_installed(
            settings,
            target.log_prob,
            numatonce=numatonce,
            seed=root,
            targetrate=self.targetrate,
            silent=self.silent,
            **options,
        )
        self.lastchain, self.lastchainll, self.lastchainaccept = values, log_like, np.ones(log_like.size, bool)
        return Run(
            values=values,
            log_like=log_like,
            labels=settings.labels,
            fixed=settings.fixed,
            best=values[:, np.argmax(log_like)] if log_like.size else settings.guesses,
            inflation=inflated,
            backend=f"gastimator {version}",
            entropy=root.entropy,  # type: ignore[arg-type]
            chains=None,
        )

    def _say(self, text: str) -> None:
        if not self.silent:
            print(text)


def _save(files: list[Any], run: Run) -> None:
    arrays = {
        "values": run.values,
        "log_like": run.log_like,
        "labels": np.array(run.labels),
        "fixed": run.fixed,
        "best": run.best,
        "n": np.array(run.inflation.n),
        "inflation": np.array(run.inflation.factor),
        "seed": np.array(str(run.entropy)),
    }
    write_chain(files[0], arrays)
    if len(files) > 1:
        free = [label for label, fixed in zip(run.labels, run.fixed, strict=True) if not fixed]
        write_figures(files[1], files[2], run.values[~run.fixed], run.log_like, free)
