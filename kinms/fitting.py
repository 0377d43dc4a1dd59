"""`fit`: a disc, a cube and some priors in; a `FitResult` out."""

from __future__ import annotations

import dataclasses
import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gastimator_bridge.chains import Chains
from gastimator_bridge.metropolis import sample
from kinms.cube import Cube, Sampling, simulate
from kinms.disc import Disc
from kinms.errors import InputError, InputTypeError, KinmsWarning, SamplingError
from kinms.likelihood import Posterior, Prior, WhiteNoise
from kinms.posterior import DiscPosterior, choose_likelihood
from kinms.records import check_scalar
from kinms.results import R_HAT_LIMIT, FitResult, summarise, versions

__all__ = ["METHODS", "FitResult", "fit"]

logger = logging.getLogger(__name__)

#: A best model whose own sampling error is above this is not to be trusted.
ACCURACY_LIMIT = 1e-2


def fit(
    disc: Disc,
    data: Cube,
    free: Mapping[str, Prior | Sequence[Prior]],
    *,
    likelihood: str = "inflated",
    inflate: bool | float | str | None = None,
    method: str = "gastimator",
    steps: int = 3000,
    chains: int = 2,
    burn: int | float | None = None,
    seed: int | None = None,
    processes: int = 1,
    rms: float | None = None,
    mask: Any = None,
    sampling: Sampling | None = None,
    flux: str = "given",
    progress: bool = True,
) -> FitResult:
    """Fit a disc to a cube.

    Parameters
    ----------
    disc : Disc
        Starting values of the free parameters, and the values of all others.
    data : Cube
        With a beam, in Jy/beam. Voxels that are not finite, or masked in the cube, are not used.
    free : mapping of str to Prior or sequence of Prior
        Dotted path -> prior, see `DiscPosterior`.
    likelihood : str
        ``inflated`` or ``white``, see `choose_likelihood`.
    inflate : bool, float or str, optional
        Error inflation of the likelihood ``inflated``; default ``auto``.
    method : str
        A sampler: ``gastimator``.
    steps : int
        Per chain, burn-in included.
    chains : int
        Number of independent chains; two or more tell whether they converged.
    burn : int or float, optional
        Steps of burn-in per chain, or, below 1, their part of all steps; default 20 %.
    seed : int, optional
        The same seed gives the same chain, bit for bit. Default a random one, kept with the result.
    processes : int
        Never changes the chain.
    rms : float, optional
        Noise of a voxel; default ``data.rms``, or measured.
    mask : array_like of bool, shape (nv, ny, nx), optional
        True where a voxel may be used.
    sampling : Sampling, optional
        Accuracy of the model.
    flux : str
        ``given``, ``best`` or ``marginal``, see `DiscPosterior`.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    FitResult
        Of what had been sampled, if the run is interrupted with Ctrl-C.

    Raises
    ------
    InputError, InputTypeError, UnknownNameError, HeaderError
        Before sampling, for anything that cannot be fitted.
    SamplingError
        If the sampler cannot go on; ``partial`` is then the `FitResult` of what it had, or None.

    Warns
    -----
    KinmsWarning
        If chains did not converge, the model is not accurate enough, or the start misses the data altogether.

    Examples
    --------
    >>> from kinms.grid import Beam, CubeGrid
    >>> from kinms.likelihood import Uniform
    >>> from kinms.profiles import ArctanCurve, ExponentialDisc
    >>> disc = Disc(surface_brightness=ExponentialDisc(3.0), rotation=ArctanCurve(100.0, 1.0), inc=40, pa=30, flux=5)
    >>> data = simulate(disc, CubeGrid((16, 48, 48), 1.0, 20.0), Beam(4.0)).replace(rms=1e-3)
    >>> result = fit(disc, data, {"pa": Uniform(0, 360, periodic=True)}, steps=200, seed=1, progress=False)
    >>> result.names, bool(abs(result.median[0] - 30.0) < 1.0)
    (('pa',), True)
    """
    began = time.perf_counter()
    run = _choose_method(method)
    steps, burn = _check_steps(steps, burn)
    seed = _draw_seed() if seed is None else _check_count("seed", seed, 0)
    journal = _Journal()
    noise = choose_likelihood(likelihood, data, rms=rms, mask=mask, inflate=inflate)
    if mask is not None:
        data = data.replace(mask=data.valid & np.asarray(mask))
    posterior = DiscPosterior(disc, data, free, noise, sampling, flux)
    _check_start(posterior, noise, journal)
    journal.say(f"Free: {'; '.join(f'{p.name} ~ {p.prior} from {p.start:.6g}' for p in posterior.parameters)}.")
    journal.say(f"Likelihood {likelihood}, {noise.n} voxels, rms {noise.error:.4g} {data.unit}: {noise.inflation}.")
    journal.say(f"Method {method}: {chains} chains of {steps} steps, {burn} of them burn-in, seed {seed}.")

    def finish(sampled: Chains) -> FitResult:
        seconds = time.perf_counter() - began
        settings = {"method": method, "likelihood": likelihood, "steps": steps, "seed": seed, "wall_time_s": seconds}
        return _result(posterior, data, noise, sampled, sampling, journal, settings)

    options = {"steps": steps, "burn": burn, "seed": seed, "processes": _check_count("processes", processes, 1)}
    try:
        return finish(run(posterior, chains=_check_count("chains", chains, 1), progress=progress, **options))
    except SamplingError as error:
        if not isinstance(error.partial, Chains):
            raise
        journal.say(f"Stopped: {error}")
        raise SamplingError(str(error), partial=finish(error.partial)) from error


def _gastimator(posterior: Posterior, **options: Any) -> Chains:
    return sample(
        posterior,
        posterior.start,
        lower=posterior.lower,
        upper=posterior.upper,
        scale=posterior.scale,
        periodic=posterior.periodic,
        labels=posterior.labels,
        **options,
    )


#: Name -> function of a posterior and of steps, burn, chains, seed, processes and progress.
METHODS: dict[str, Callable[..., Chains]] = {"gastimator": _gastimator}


def _choose_method(name: Any) -> Callable[..., Chains]:
    allowed = " or ".join(repr(method) for method in METHODS)
    if name in ("optimise", "optimize"):
        raise InputError("method", repr(name), allowed, "The optimiser arrives in a later version.")
    if name not in METHODS:
        raise InputError("method", repr(name), allowed)
    return METHODS[name]


def _check_count(name: str, value: Any, minimum: int) -> int:
    number = check_scalar(name, value, minimum=minimum)
    if number != int(number):
        raise InputError(name, f"{number:g}", "a whole number")
    return int(value)


def _check_steps(steps: Any, burn: Any) -> tuple[int, int]:
    """Return steps and burn-in as numbers of steps."""
    steps = _check_count("steps", steps, 2)
    if isinstance(burn, bool):
        raise InputTypeError("burn", repr(burn), "a number of steps, or a part of them below 1")
    part = 0.2 if burn is None else check_scalar("burn", burn, minimum=0.0)
    kept_out = round(part * steps) if part < 1.0 else _check_count("burn", part, 1)
    if kept_out >= steps:
        raise InputError("burn", kept_out, f"fewer than steps ({steps})")
    return steps, kept_out


def _draw_seed() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0])


class _Journal:
    """What was done and what was lost, for the log and for the result."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)
        logger.info(message)

    def warn(self, message: str) -> None:
        self.lines.append(f"Warning: {message}")
        warnings.warn(message, KinmsWarning, stacklevel=4)


def _check_start(posterior: DiscPosterior, noise: WhiteNoise, journal: _Journal) -> None:
    """Refuse a start whose model is not finite, and warn of one that no step can improve."""
    model = posterior.predict(posterior.start)
    if model is None or not np.isfinite(noise(model)):
        values = ", ".join(f"{p.name} = {p.start:.6g}" for p in posterior.parameters)
        fix = "Start from values for which simulate() gives a finite cube."
        raise InputError("the log-probability at the start", f"not finite ({values})", "a finite one", fix)
    if not np.any(model):
        journal.warn("The disc at the start lies wholly outside the cube: its model is zero everywhere.")


def _result(
    posterior: DiscPosterior,
    data: Cube,
    noise: WhiteNoise,
    sampled: Chains,
    sampling: Sampling | None,
    journal: _Journal,
    settings: Mapping[str, Any],
) -> FitResult:
    """Summarise chains, and simulate the best disc once more with its accuracy measured."""
    best = posterior.wrap(sampled.best)
    disc = posterior.disc_at(best)
    model = simulate(disc, data.grid, data.beam, sampling)
    if model.stats is not None:
        journal.lines += [f"Best model: {message}" for message in model.stats.messages]
        if model.stats.accuracy > ACCURACY_LIMIT:
            journal.warn(
                f"The best model is only accurate to {model.stats.accuracy:.1e} of itself: "
                "fit again with a smaller Sampling(accuracy=...)."
            )
    priors = [p.prior for p in posterior.parameters]
    flat = sampled.values.reshape(-1, len(priors))
    if len(flat):
        median, minus, plus = summarise(flat, priors)
    else:
        median, minus, plus = best, np.full(best.shape, np.nan), np.full(best.shape, np.nan)
        journal.warn("No step was taken beyond the burn-in: there is a best disc, but no errors.")
    result = FitResult(
        names=tuple(posterior.labels),
        units=tuple(posterior.units),
        priors=tuple(priors),
        median=median,
        minus=minus,
        plus=plus,
        best=best,
        best_log_prob=float(sampled.best_log_prob),
        chain=sampled.values,
        log_prob=sampled.log_prob,
        acceptance=sampled.acceptance,
        r_hat=sampled.r_hat,
        chi2=noise.chi2(model.data),
        n=noise.n,
        inflation=noise.inflation,
        rms=noise.error,
        burn=sampled.burn,
        versions=versions(),
        disc=disc,
        data=data,
        model=data.replace(data=model.data, stats=model.stats, mask=None, rms=None),
        interrupted=sampled.interrupted,
        **settings,
    )
    if np.any(result.r_hat > R_HAT_LIMIT):
        journal.warn(result.verdict())
    else:
        journal.say(result.verdict())
    return dataclasses.replace(result, log=tuple(journal.lines))
