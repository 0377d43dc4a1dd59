"""`fit`: a disc, a cube and some priors in; a `FitResult` out."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gastimator_bridge.chains import Chains
from kinms.checkpoint import INTERVAL, Ledger, digest, read_identity
from kinms.cube import Cube, Sampling, simulate
from kinms.disc import Disc
from kinms.errors import InputError, InputTypeError, KinmsWarning, SamplingError
from kinms.guessing import guess
from kinms.likelihood import CorrelatedNoise, Inflation, Likelihood, Prior
from kinms.noise import NoiseModel
from kinms.optimise import laplace
from kinms.posterior import DiscPosterior, choose_likelihood
from kinms.records import check_scalar
from kinms.results import FitResult, summarise, versions
from kinms.samplers import SAMPLERS, Sampler

__all__ = ["METHODS", "FitResult", "fit"]

logger = logging.getLogger(__name__)

#: A best model whose own sampling error is above this is not to be trusted.
ACCURACY_LIMIT = 1e-2
#: Arguments of `fit` that no sample depends on. All others, new ones too, are part of what a checkpoint belongs to.
NO_MATTER = ("processes", "progress", "checkpoint", "checkpoint_interval", "resume")
#: Arguments of `fit` as people call them.
SPOKEN = {"disc": "the disc", "free": "the priors", "mask": "the mask", "sampling": "the sampling"}
#: Packages that make the numbers.
ARITHMETIC = ("kinms", "numpy", "scipy", "numba", "pyfftw")


def fit(
    disc: Disc | None,
    data: Cube,
    free: Mapping[str, Prior | Sequence[Prior]],
    *,
    likelihood: str | Likelihood = "inflated",
    inflate: bool | float | str | None = None,
    method: str = "gastimator",
    steps: int = 3000,
    chains: int = 2,
    burn: int | float | None = None,
    seed: int | None = None,
    processes: int = 1,
    rms: float | None = None,
    mask: Any = None,
    noise: NoiseModel | None = None,
    gain: Any = None,
    sampling: Sampling | None = None,
    flux: str = "given",
    progress: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_interval: float = INTERVAL,
    resume: bool = False,
) -> FitResult:
    """Fit a disc to a cube.

    Parameters
    ----------
    disc : Disc, optional
        Starting values of the free parameters, and the values of all others. None: `kinms.guess` of the data.
    data : Cube
        With a beam, in Jy/beam. Voxels that are not finite, or masked in the cube, are not used.
    free : mapping of str to Prior or sequence of Prior
        Dotted path -> prior, see `DiscPosterior`.
    likelihood : str or Likelihood
        ``inflated``, ``white``, ``correlated`` or ``student``, see `choose_likelihood`; or one of your own.
    inflate : bool, float or str, optional
        Error inflation of the likelihood ``inflated``; default ``auto``.
    method : str
        A sampler, one of `SAMPLERS`: ``gastimator``, ``emcee`` or ``dynesty``. Or ``optimise``: the most probable disc
        and Laplace's approximation round it, in seconds (`kinms.optimise`); median then is best, and minus and plus are
        1 sigma of that Gaussian, of which the chain holds draws.
    steps : int
        Per chain, burn-in included; per walker with emcee; dynesty ends by itself.
    chains : int
        Number of independent chains (ensembles with emcee, runs with dynesty); two or more tell whether they converged.
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
    noise : NoiseModel, optional
        What is known of the noise, in place of what would be measured.
    gain : array_like, shape (ny, nx), optional
        Sensitivity at each position, such as the gain map of a mosaic, see `NoiseModel.estimate`.
    sampling : Sampling, optional
        Accuracy of the model.
    flux : str
        ``given``, ``best`` or ``marginal``, see `DiscPosterior`.
    progress : bool
        Whether to show a progress bar.
    checkpoint : path, optional
        Folder in which ``checkpoint`` is made and kept up to date, so that a run that was stopped can go on, with any
        number of processes. It stays until ``kinms.checkpoint.clear(folder)``, which is for when the result is saved.
    checkpoint_interval : float
        Seconds between two checkpoints; a process that is killed loses no more than that.
    resume : bool
        Whether to go on from the checkpoint there is: to the same chain, bit for bit, as without a stop. All else has
        to be as it was, except that the seed, if none was given, is that of the first start.

    Returns
    -------
    FitResult
        Of what had been sampled, if the run is interrupted with Ctrl-C.

    Raises
    ------
    InputError, InputTypeError, UnknownNameError, HeaderError
        Before sampling, for anything that cannot be fitted.
    OutputExistsError
        If there is a checkpoint already and `resume` is not set.
    FileError
        If there is none to resume from, or it is of another run; says in what they differ.
    SamplingError
        If the sampler cannot go on; ``partial`` is then the `FitResult` of what it had, or None.

    Warns
    -----
    KinmsWarning
        If chains did not converge, the model is not accurate enough, or the start misses the data altogether.
    CheckpointWarning
        If the checkpoint cannot be written; the run goes on.

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
    given = {name: value for name, value in locals().items() if name not in NO_MATTER}
    began = time.perf_counter()
    sampler = _choose_method(method)
    steps, burn = _check_steps(steps, burn)
    chains, processes = _check_count("chains", chains, 1), _check_count("processes", processes, 1)
    check_scalar("checkpoint_interval", checkpoint_interval, minimum=0.0)
    seed = _choose_seed(seed, checkpoint, resume)
    journal = _Journal()
    chosen = choose_likelihood(likelihood, data, rms=rms, mask=mask, inflate=inflate, noise=noise, gain=gain)
    if mask is not None:
        data = data.replace(mask=data.valid & data.replace(mask=mask).valid)
    if disc is None:
        disc = guess(data)
        journal.say(f"Guessed from the data: {disc!r}.")
    posterior = DiscPosterior(disc, data, free, chosen, sampling, flux)
    _check_start(posterior, chosen, journal)
    journal.say(f"Free: {'; '.join(f'{p.name} ~ {p.prior} from {p.start:.6g}' for p in posterior.parameters)}.")
    for line in _of_noise(chosen, likelihood, data.unit):
        journal.say(line)
    journal.say(f"Method {method}: {sampler.plan(len(posterior.labels), steps, burn, chains)}, seed {seed}.")
    ledger = None
    if checkpoint is not None:
        numbers = {"steps": steps, "burn": burn, "chains": chains, "seed": seed}
        identity = _identify({**given, **numbers}, sampler)
        ledger = (Ledger.open if resume else Ledger)(checkpoint, identity, checkpoint_interval)
    if resume and ledger is not None:
        journal.say(f"Resumed from {ledger.place}: {len(ledger.known)} evaluations are known.")

    def finish(sampled: Chains) -> FitResult:
        if ledger is not None and ledger.trouble:
            journal.lines.append(f"Warning: {ledger.trouble}")
        seconds = time.perf_counter() - began
        settings = {"method": method, "likelihood": _name(likelihood), "steps": steps, "seed": seed, "flux": flux}
        settings["wall_time_s"] = seconds
        return _result(posterior, data, chosen, sampled, sampling, journal, settings)

    try:
        sampled = sampler(
            posterior,
            steps=steps,
            burn=burn,
            chains=chains,
            seed=seed,
            processes=processes,
            progress=progress,
            log_prob=None if ledger is None else ledger.wrap(posterior),
        )
    except SamplingError as error:
        if not isinstance(error.partial, Chains):
            raise
        journal.say(f"Stopped: {error}")
        raise SamplingError(str(error), partial=finish(error.partial)) from error
    finally:
        if ledger is not None:
            ledger.flush()
    return finish(sampled)


def _choose_method(name: Any) -> Sampler:
    if name not in METHODS:
        raise InputError("method", repr(name), f"one of {', '.join(repr(method) for method in METHODS)}")
    METHODS[name].check()
    return METHODS[name]


def _laplace(posterior: DiscPosterior, *_: Any, seed: int, **__: Any) -> Chains:
    return laplace(posterior, seed)


#: What `fit` can do: the samplers, and the optimiser, whose draws are of a Gaussian.
METHODS: dict[str, Sampler] = {
    **SAMPLERS,
    "optimise": Sampler("optimise", _laplace, lambda *_: "the most probable disc and the curvature there"),
}


def _name(likelihood: Any) -> str:
    return likelihood if isinstance(likelihood, str) else type(likelihood).__name__


def _of_noise(noise: Any, likelihood: Any, unit: str) -> Iterator[str]:
    """What a reader should know of the errors that were reckoned with."""
    if not hasattr(noise, "n"):
        yield f"Likelihood {_name(likelihood)}."
        return
    count = f"{noise.n} voxels"
    if isinstance(noise, CorrelatedNoise):
        count = f"{noise.n} independent numbers of {noise.voxels} voxels"
    yield f"Likelihood {_name(likelihood)}, {count}, rms {noise.error:.4g} {unit}: {noise.inflation}."
    for remark in getattr(noise, "remarks", ()):
        yield f"Noise: {remark}."


def _choose_seed(seed: Any, checkpoint: Any, resume: bool) -> int:
    """Return the seed given, or that of the run to be resumed, or a new one."""
    if resume and checkpoint is None:
        raise InputError("resume", "True without a checkpoint", "the folder of one", "Give checkpoint=folder.")
    if seed is not None:
        return _check_count("seed", seed, 0)
    if resume:
        return int(read_identity(checkpoint).get("seed", "0"))
    return int(np.random.SeedSequence().generate_state(1)[0])


def _identify(given: dict[str, Any], sampler: Sampler) -> dict[str, str]:
    """Return what the samples depend on: names as they are spoken of, and contents or their hashes."""
    data = given.pop("data")
    noise = [] if data.noise is None else [np.asarray(data.noise)]
    found = {"the data": digest([np.asarray(data.data), data.grid, data.beam, data.unit, *noise])}
    given["mask"] = [data.mask, None if given["mask"] is None else np.asarray(given["mask"])]
    given["rms"] = data.rms if given["rms"] is None else given["rms"]
    for name, value in given.items():
        plain = value is None or (isinstance(value, (bool, int, float, str)))
        found[SPOKEN.get(name, name)] = str(value) if plain else digest(value)
    known = versions()
    for package in (*ARITHMETIC, sampler.package):
        if package:
            found[f"the version of {package}"] = known.get(package) or _version(package)
    return found


def _version(package: str) -> str:
    return importlib.metadata.version(package)


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


def _check_start(posterior: DiscPosterior, noise: Likelihood, journal: _Journal) -> None:
    """Refuse a start whose model is not finite, and warn of one that no step can improve."""
    model = posterior.predict(posterior.start)
    found = None if model is None else noise(model)
    try:
        value = -np.inf if model is None else float(found)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        expected = "one number, the log-probability"
        raise InputTypeError("what the likelihood returns", repr(found)[:60], expected) from None
    if not np.isfinite(value):
        values = ", ".join(f"{p.name} = {p.start:.6g}" for p in posterior.parameters)
        fix = "Start from values for which simulate() gives a finite cube."
        raise InputError("the log-probability at the start", f"not finite ({values})", "a finite one", fix)
    if not np.any(model):
        journal.warn("The disc at the start lies wholly outside the cube: its model is zero everywhere.")


def _result(
    posterior: DiscPosterior,
    data: Cube,
    noise: Any,
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
    for remark in sampled.remarks:
        journal.say(remark)
    used = int(np.count_nonzero(data.valid))
    priors = [p.prior for p in posterior.parameters]
    flat = sampled.values.reshape(-1, len(priors))
    if sampled.covariance is not None:
        sigma = np.sqrt(np.diag(sampled.covariance))
        median, minus, plus = best, sigma, sigma
    elif len(flat):
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
        chi2=noise.chi2(model.data) if hasattr(noise, "chi2") else float("nan"),
        n=getattr(noise, "n", used),
        inflation=getattr(noise, "inflation", Inflation("none", used, 1.0)),
        rms=getattr(noise, "error", float("nan") if data.rms is None else data.rms),
        burn=sampled.burn,
        versions=versions(),
        disc=disc,
        data=data,
        model=data.replace(data=model.data, stats=model.stats, mask=None, rms=None),
        interrupted=sampled.interrupted,
        log_evidence=sampled.log_evidence,
        log_evidence_error=sampled.log_evidence_error,
        **settings,
    )
    if result.converged is False:
        journal.warn(result.verdict())
    else:
        journal.say(result.verdict())
    for remark in result.remarks():
        journal.say(remark)
    return dataclasses.replace(result, log=tuple(journal.lines))
