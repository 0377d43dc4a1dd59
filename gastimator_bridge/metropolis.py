"""Adaptive Metropolis sampling of any log-probability, with correct statistics.

* The burn-in climbs (`gastimator_bridge.climb`) and tunes the moves; at its end they are frozen, and only what follows
  is returned (Haario, Saksman & Tamminen 2001 adapt for ever; a chain that stops adapting needs no further proof).
* A step is a random walk with the posterior's own covariance (Metropolis et al. 1953) or a move that does not depend on
  the present state (Hastings 1970; Tierney 1994, section 2.3.3); which one is drawn by a fixed probability.
* A rejected step repeats the state. A proposal outside the bounds is rejected, neither drawn again nor moved to them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from gastimator_bridge.chains import Chains, split_r_hat, unwrap
from gastimator_bridge.crew import run_here, run_in_workers
from gastimator_bridge.space import Array, Space
from gastimator_bridge.walk import Batch, LogProb, Walker
from kinms.errors import InputError, KinmsWarning, SamplingError
from kinms.records import check_seed, check_whole

__all__ = ["sample", "warn_nonfinite"]


def sample(
    log_prob: LogProb,
    start: ArrayLike,
    *,
    steps: int,
    burn: int | None = None,
    chains: int = 1,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    periodic: ArrayLike | None = None,
    seed: int | np.random.SeedSequence | None = None,
    processes: int = 1,
    progress: bool = True,
    labels: Sequence[str] | None = None,
    target: float = 0.25,
) -> Chains:
    """Sample ``log_prob`` with Markov chains that adapt during their burn-in only.

    Parameters
    ----------
    log_prob : callable
        ``log_prob(x)`` of a vector (shape (npar,), not to be changed) returns a float: the log of the probability up to
        a constant, -inf where impossible. NaN and +inf count as -inf, and a warning tells how often.
    start : array_like, shape (npar,)
        First guess, inside the bounds. The first chain starts there, the others about ``2 * scale`` around it.
    steps : int
        Evaluations per chain, burn-in included (and the evaluation of the start not).
    burn : int, optional
        How many of them are burn-in, by default 20 %. With 0 nothing is tuned.
    chains : int
        Number of chains, of ``steps`` steps each.
    lower, upper : array_like, shape (npar,), optional
        Bounds; none by default.
    scale : array_like, shape (npar,), optional
        A first step, of the order of how far off ``start`` may be; 5 % of the bounds' distance by default, without
        bounds 10 % of the first guess.
    periodic : array_like of bool, shape (npar,), optional
        Parameters for which ``upper`` is the same place as ``lower``.
    seed : int or numpy.random.SeedSequence, optional
        The same seed gives the same chains, bit for bit, whatever ``processes`` (if ``log_prob`` itself does not depend
        on the number of threads); each chain has its own stream. By default a new one is taken.
    processes : int
        Worker processes; never more than there are chains are used. ``log_prob`` is pickled once.
    progress : bool
        Show a progress bar, with the acceptance and the best chi2 (-2 x the best log-probability).
    labels : sequence of str, optional
        Names of the parameters, for messages.
    target : float
        Acceptance that the random walk is tuned to.

    Returns
    -------
    Chains
        After Ctrl-C those with ``interrupted`` set; burn-in is never passed for samples, so that ``kept`` may be 0.

    Raises
    ------
    InputError, InputTypeError
        An argument that cannot be; names it.
    SamplingError
        ``log_prob`` is not finite at the start, or a worker died (``partial`` then has the chains so far). Whatever
        ``log_prob`` raises comes through as it is.

    Examples
    --------
    >>> from gastimator_bridge import sample
    >>> chains = sample(lambda x: -0.5 * float(x @ x), [3.0, -2.0], steps=500, chains=2, seed=1, progress=False)
    >>> chains.values.shape
    (2, 400, 2)
    """
    x, space, names = _check_space(start, lower, upper, periodic, labels)
    first = _check_scale(scale, x, space)
    steps, chains = check_whole("steps", steps, 1), check_whole("chains", chains, 1)
    burn = steps // 5 if burn is None else check_whole("burn", burn, 0)
    if burn >= steps:
        raise InputError("burn", burn, f"fewer than the {steps} steps", "Burn-in is a part of them.")
    processes = min(check_whole("processes", processes, 1), chains)
    if not 0.0 < target < 1.0:
        raise InputError("target", target, "an acceptance between 0 and 1")
    root = check_seed(seed)
    walkers = [
        Walker(
            np.random.default_rng(child),
            space,
            x,
            first,
            spread=i > 0,
            steps=steps,
            burn=burn,
            target=target,
            names=names,
        )
        for i, child in enumerate(root.spawn(chains))
    ]
    kept: list[list[Batch]] = [[] for _ in walkers]
    with _Progress(chains * steps, progress) as bar:
        try:
            if processes == 1:
                interrupted = run_here(log_prob, walkers, lambda: bar.update(walkers))
            else:
                interrupted = run_in_workers(log_prob, walkers, kept, processes, lambda: bar.update(walkers))
        except SamplingError as error:
            raise SamplingError(str(error), partial=_gather(walkers, kept, root, True)) from error.__cause__
    result = _gather(walkers, kept, root, interrupted)
    warn_nonfinite(result.n_nonfinite, result.n_evaluations)
    return result


def warn_nonfinite(n: int, n_evaluations: int) -> None:
    """Say how many evaluations of a log-probability gave NaN or +inf, if any did."""
    if n:
        warnings.warn(
            f"{n} of {n_evaluations} evaluations of the log-probability were not finite (NaN or +inf) and were counted "
            "as impossible; the first bounds to look at are those of parameters that divide or take roots.",
            KinmsWarning,
            stacklevel=3,
        )


def _check_space(
    start: ArrayLike, lower: Any, upper: Any, periodic: Any, labels: Sequence[str] | None
) -> tuple[Array, Space, list[str]]:
    x = np.array(start, dtype=float)
    if x.ndim != 1 or x.size == 0:
        raise InputError("start", f"an array of shape {x.shape}", "a vector of at least one parameter")
    names = list(labels) if labels is not None else [f"parameter {i}" for i in range(x.size)]
    if len(names) != x.size:
        raise InputError("labels", f"{len(names)} names", f"{x.size}, one per parameter")
    low = _vector("lower", -np.inf if lower is None else lower, x.size)
    high = _vector("upper", np.inf if upper is None else upper, x.size)
    around = _vector("periodic", False if periodic is None else periodic, x.size).astype(bool)
    for i, name in enumerate(names):
        if not low[i] < high[i]:
            raise InputError(f"upper of {name}", high[i], f"above its lower bound {low[i]}", "Leave out what is fixed.")
        if around[i] and not np.isfinite(high[i] - low[i]):
            raise InputError(f"periodic of {name}", "True", "finite bounds, one period apart")
        if not (np.isfinite(x[i]) and low[i] <= x[i] <= high[i]):
            raise InputError(f"start of {name}", x[i], f"a number between {low[i]} and {high[i]}")
    space = Space(low, high, around)
    return space.wrap(x), space, names


def _check_scale(scale: Any, start: Array, space: Space) -> Array:
    if scale is None:
        near = np.where(start == 0, 1.0, 0.1 * np.abs(start))
        return np.where(np.isfinite(space.span), 0.05 * space.span, near)
    steps = _vector("scale", scale, start.size)
    if not np.all((steps > 0) & np.isfinite(steps)):
        raise InputError("scale", scale, "positive, finite first steps")
    return steps


def _vector(name: str, value: Any, size: int) -> Array:
    try:
        return np.broadcast_to(np.asarray(value, dtype=float), (size,)).copy()
    except ValueError as error:
        raise InputError(name, f"of shape {np.shape(value)}", f"one number or {size}, one per parameter") from error


def _gather(walkers: list[Walker], kept: list[list[Batch]], root: np.random.SeedSequence, interrupted: bool) -> Chains:
    """Collect what the walkers have sampled, cut to the shortest of them."""
    n = walkers[0].space.size
    parts: list[Batch] = []
    for walker, batches in zip(walkers, kept, strict=True):
        rest = walker.unfinished()
        all_batches = [*batches, *walker.take_finished(), *([rest] if rest else [])]
        all_batches = all_batches or [(np.empty((0, n)), np.empty(0), np.empty(0, bool))]
        parts.append(_join(all_batches))
    shortest = min(values.shape[0] for values, _, _ in parts)
    values = np.stack([part[0][:shortest] for part in parts])
    log_prob = np.stack([part[1][:shortest] for part in parts])
    accepted = np.stack([part[2][:shortest] for part in parts])
    best = max(walkers, key=lambda walker: walker.best_value)
    return Chains(
        values=values,
        log_prob=log_prob,
        accepted=accepted,
        acceptance=accepted.mean(axis=1) if shortest else np.zeros(len(walkers)),
        best=best.best,
        best_log_prob=best.best_value,
        r_hat=split_r_hat(unwrap(values, best.space)),
        burn=best.burn,
        interrupted=interrupted,
        n_evaluations=sum(walker.n_evaluations for walker in walkers),
        n_nonfinite=sum(walker.n_nonfinite for walker in walkers),
        entropy=root.entropy,  # type: ignore[arg-type]
        space=best.space,
    )


def _join(batches: list[Batch]) -> Batch:
    values, log_prob, accepted = zip(*batches, strict=True)
    return np.concatenate(values), np.concatenate(log_prob), np.concatenate(accepted)


class _Progress:
    """A progress bar of all chains together."""

    def __init__(self, total: int, shown: bool) -> None:
        self._bar = tqdm(total=total, disable=not shown, unit="step", desc="sampling")

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def update(self, walkers: list[Walker]) -> None:
        if self._bar.disable:
            return
        acceptance = sum(walker.n_accepted for walker in walkers) / max(1, sum(walker.n_walked for walker in walkers))
        best = max(walker.best_value for walker in walkers)
        self._bar.set_postfix(acceptance=f"{acceptance:.2f}", chi2=f"{-2.0 * best:.6g}", refresh=False)
        self._bar.update(sum(walker.done for walker in walkers) - self._bar.n)
