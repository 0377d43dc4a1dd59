"""The sampler ``dynesty``: nested sampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from gastimator_bridge.chains import Chains, split_r_hat, unwrap
from gastimator_bridge.crew import Crew, crew_or_none, held, map_vectors
from gastimator_bridge.metropolis import warn_nonfinite
from gastimator_bridge.space import Space
from kinms.errors import InputError, SamplingError
from kinms.likelihood import Posterior
from kinms.records import FloatArray, check_seed

__all__ = ["live_point_count", "plan_runs", "sample_nested"]

#: Points that are proposed together. A number of its own: the run must not depend on that of workers.
QUEUE = 16
#: Draws per live point within which one has to be found whose probability is not zero.
PATIENCE = 1000


def live_point_count(npar: int) -> int:
    """Return the number of live points: max(250, 25 npar)."""
    return max(250, 25 * npar)


def sample_nested(
    posterior: Posterior,
    log_prob: Callable[[FloatArray], float],
    *,
    steps: int,
    burn: int,
    chains: int,
    seed: int | np.random.SeedSequence,
    processes: int,
    progress: bool,
    live_points: int | None = None,
) -> Chains:
    """Nested sampling (dynesty: Speagle 2020; Skilling 2006), which finds separate modes, and the evidence.

    ``chains`` independent runs of ``live_points`` (default `live_point_count`) points each. They end when what remains
    can no longer change the evidence: ``steps`` and ``burn`` do not apply. A run's samples, whose weights differ, are
    drawn from as many times as they are worth (Kish's effective number), each with its weight, in random order; a chain
    is what was drawn. The evidence is that of the runs merged, for a likelihood without its constant. After Ctrl-C only
    runs that were complete count, or else what the first one has.
    """
    space, root = Space(posterior.lower, posterior.upper, posterior.periodic), check_seed(seed)
    count = live_point_count(space.size) if live_points is None else live_points
    if count <= 2 * space.size:
        raise InputError("live_points", count, f"more than {2 * space.size}, twice the number of parameters")
    target = _Nested(posterior, log_prob)
    runs: list[_NestedRun] = []
    interrupted = False
    with tqdm(disable=not progress, unit="point", desc="sampling") as bar:
        try:
            with crew_or_none(target, processes) as crew:
                for child in root.spawn(chains):
                    runs.append(_NestedRun(child, target, crew, count, space))
                    runs[-1].complete(bar)
        except KeyboardInterrupt:
            interrupted = True
    started = [run for run in runs if run.sampler is not None]
    complete = [run for run in started if run.over]
    result = _gather_runs(complete or started[:1], runs, posterior, root, interrupted)
    warn_nonfinite(result.n_nonfinite, result.n_evaluations)
    return result


class _Nested:
    """Likelihood and priors as a nested sampler wants them; sent to a worker once, and there meant by its tasks.

    Parameters
    ----------
    posterior : Posterior
        For its priors.
    log_prob : callable
        Of the vector; the prior is taken off again, so that a ledger serves every sampler alike.
    """

    def __init__(self, posterior: Posterior, log_prob: Callable[[FloatArray], float]) -> None:
        self.posterior, self.log_prob = posterior, log_prob
        self.n_nonfinite = 0
        self._fresh = 0

    def transform(self, u: FloatArray) -> FloatArray:
        """Return the vector at these prior probabilities; dynesty lets periodic ones go beyond 0 and 1."""
        u = np.where(self.posterior.periodic, np.mod(u, 1.0), u)
        return np.array([float(p.prior.ppf(q)) for p, q in zip(self.posterior.parameters, u, strict=True)])

    def __call__(self, x: FloatArray) -> float:
        """Return the log-likelihood: log-probability less log-prior."""
        value = float(self.log_prob(x))
        if math.isnan(value) or value == math.inf:
            self.n_nonfinite += 1
            self._fresh += 1
        if not math.isfinite(value):
            return -math.inf
        return value - self.posterior.log_prior(x)

    def news(self) -> tuple[Any, int] | None:
        """Return what the log-probability has learnt in this worker, and how many values were not finite."""
        inner = getattr(self.log_prob, "news", None)
        news, (fresh, self._fresh) = inner() if inner else None, (self._fresh, 0)
        return (news, fresh) if news is not None or fresh else None

    def heed(self, news: tuple[Any, int]) -> None:
        """Take what a worker has learnt."""
        self.n_nonfinite += news[1]
        if news[0] is not None:
            self.log_prob.heed(news[0])  # type: ignore[attr-defined]


class _Here:
    """Log-likelihood or prior transform of the `_Nested` of whichever process this is."""

    def __init__(self, target: _Nested, transforms: bool) -> None:
        self.target, self.transforms = target, transforms

    def __call__(self, x: FloatArray) -> Any:
        return self.target.transform(x) if self.transforms else self.target(x)

    def __reduce__(self) -> tuple[Any, ...]:
        return _here, (self.transforms,)


def _here(transforms: bool) -> _Here:
    return _Here(held(), transforms)  # type: ignore[arg-type]


class _Pool:
    """What dynesty maps with: proposals are made in workers, or one after the other in this process."""

    def __init__(self, crew: Crew | None) -> None:
        self.crew = crew

    def map(self, function: Callable[[Any], Any], things: Sequence[Any]) -> list[Any]:
        if self.crew is None:
            return [function(thing) for thing in things]
        return self.crew.map(_apply, [(function, thing) for thing in things])


def _apply(_: Any, call: tuple[Callable[[Any], Any], Any]) -> Any:
    function, thing = call
    return function(thing)


class _NestedRun:
    """One nested sampling run."""

    def __init__(
        self, seed: np.random.SeedSequence, target: _Nested, crew: Crew | None, count: int, space: Space
    ) -> None:
        run, draws = seed.spawn(2)
        self.rng, self.draws = np.random.default_rng(run), np.random.default_rng(draws)
        self.target, self.crew, self.count, self.space = target, crew, count, space
        self.sampler: Any = None
        self.over = False
        self.n_first = 0

    def complete(self, bar: Any) -> None:
        """Run to the end."""
        import dynesty

        live, log_volume = self._first_points()
        periodic = np.flatnonzero(self.space.periodic).tolist()
        sampler = dynesty.NestedSampler(
            self.target,
            self.target.transform,
            self.space.size,
            nlive=self.count,
            live_points=live,
            periodic=periodic or None,
            rstate=self.rng,
            pool=_Pool(self.crew),
            queue_size=QUEUE,
            use_pool={"prior_transform": False, "update_bound": False},
        )
        # dynesty's own wrappers print what is raised, Ctrl-C too, and would send the data with every proposal.
        sampler.loglikelihood.loglikelihood = _Here(self.target, False)
        sampler.prior_transform = _Here(self.target, True)
        sampler.logvol_init = log_volume
        self.sampler = sampler
        for point in sampler.sample(dlogz=1e-3 * (self.count - 1) + 0.01, save_bounds=False):
            bar.update()
            bar.set_postfix(log_evidence=f"{point.logz:.6g}", left=f"{point.delta_logz:.3g}", refresh=False)
        self.over = True

    def _first_points(self) -> tuple[tuple[FloatArray, FloatArray, FloatArray], float]:
        """Draw from the prior until all live points are possible; return them and the log of the possible part."""
        places: list[FloatArray] = []
        values: list[float] = []
        drawn = 0
        while len(values) < self.count:
            if drawn >= PATIENCE * self.count:
                raise SamplingError(
                    f"the log-probability was finite for {len(values)} of {drawn} draws from the priors: "
                    "narrow them to where the model is finite."
                )
            new = self.rng.random((self.count, self.space.size))
            vectors = [self.target.transform(u) for u in new]
            found = map_vectors(self.target, vectors) if self.crew is None else self.crew.evaluate(vectors)
            drawn += self.count
            possible = np.isfinite(found)
            places += list(new[possible])
            values += list(np.array(found)[possible])
        self.n_first = drawn
        part = len(values) / drawn
        u = np.array(places[: self.count])
        return (u, np.array([self.target.transform(x) for x in u]), np.array(values[: self.count])), math.log(part)

    def results(self) -> Any:
        """Return dynesty's results, the remaining live points included."""
        if not self.sampler.added_live:
            for _ in self.sampler.add_live_points():
                pass
        return self.sampler.results

    @property
    def n_evaluations(self) -> int:
        """Calls of the log-probability."""
        return self.n_first + (self.sampler.ncall if self.sampler is not None else 0)


def _gather_runs(
    runs: Sequence[_NestedRun],
    begun: Sequence[_NestedRun],
    posterior: Posterior,
    root: np.random.SeedSequence,
    interrupted: bool,
) -> Chains:
    """Return samples of equal weight, a chain per run, as many from each as the poorest is worth."""
    from dynesty.utils import merge_runs

    space = Space(posterior.lower, posterior.upper, posterior.periodic)
    n_nonfinite = begun[0].target.n_nonfinite if begun else 0
    counts = {"n_evaluations": sum(run.n_evaluations for run in begun), "n_nonfinite": n_nonfinite}
    common: dict[str, Any] = {"burn": 0, "interrupted": interrupted, "entropy": root.entropy, "space": space, **counts}
    if not runs:
        nothing = np.empty((1, 0))
        return Chains(
            values=np.empty((1, 0, space.size)),
            log_prob=nothing,
            accepted=nothing.astype(bool),
            acceptance=np.zeros(1),
            best=posterior.start,
            best_log_prob=float(posterior(posterior.start)),
            r_hat=np.full(space.size, np.nan),
            **common,
        )
    found = [run.results() for run in runs]
    weights = [np.exp(results.logwt - results.logwt.max()) for results in found]
    worth = min(int(w.sum() ** 2 / (w**2).sum()) for w in weights)
    values, log_prob = [], []
    best, best_value = posterior.start, -math.inf
    for run, results, w in zip(runs, found, weights, strict=True):
        samples = space.wrap(results.samples)
        everywhere = results.logl + np.array([posterior.log_prior(x) for x in samples])
        chosen = _draw(w, worth, run.draws)
        values.append(samples[chosen])
        log_prob.append(everywhere[chosen])
        top = int(np.argmax(everywhere))
        if everywhere[top] > best_value:
            best, best_value = samples[top], float(everywhere[top])
    merged = found[0] if len(found) == 1 else merge_runs(list(found), print_progress=False)
    chain = np.stack(values)
    return Chains(
        values=chain,
        log_prob=np.stack(log_prob),
        accepted=np.ones(chain.shape[:2], bool),
        acceptance=np.array([len(results.logl) / run.n_evaluations for run, results in zip(runs, found, strict=True)]),
        best=best,
        best_log_prob=best_value,
        r_hat=split_r_hat(unwrap(chain, space)),
        log_evidence=float(merged.logz[-1]),
        log_evidence_error=float(merged.logzerr[-1]),
        **common,
    )


def _draw(weights: FloatArray, n: int, rng: np.random.Generator) -> Any:
    """Return ``n`` indices, each drawn as often as its weight says to within one (systematic resampling), shuffled."""
    edges = np.cumsum(weights)
    places = (rng.random() + np.arange(n)) / n * edges[-1]
    return rng.permutation(np.minimum(np.searchsorted(edges, places, side="right"), len(weights) - 1))


def plan_runs(npar: int, steps: int, burn: int, chains: int) -> str:
    """Say in words what will be done."""
    return f"{chains} nested runs of {live_point_count(npar)} live points"
