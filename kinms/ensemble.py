"""The sampler ``emcee``: ensembles of walkers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from gastimator_bridge.chains import Chains, split_r_hat, unwrap
from gastimator_bridge.crew import Crew, crew_or_none, map_vectors
from gastimator_bridge.metropolis import warn_nonfinite
from gastimator_bridge.space import Space
from kinms.errors import SamplingError
from kinms.likelihood import Posterior
from kinms.records import FloatArray, check_seed

__all__ = ["ensemble_size", "plan_ensembles", "sample_ensembles"]

#: Places that are tried for a walker, nearer and nearer to the start, before the start itself is blamed.
TRIES = 60
#: First walkers of an ensemble scatter about the start by this part of the posterior's first steps.
SCATTER = 0.5


def ensemble_size(npar: int) -> int:
    """Return the number of walkers of an ensemble: max(2 npar + 2, 16).

    The moves need more than twice as many walkers as parameters; few of them explore few parameters badly.
    """
    return max(2 * npar + 2, 16)


def sample_ensembles(
    posterior: Posterior,
    log_prob: Callable[[FloatArray], float],
    *,
    steps: int,
    burn: int,
    chains: int,
    seed: int | np.random.SeedSequence,
    processes: int,
    progress: bool,
) -> Chains:
    """Ensembles of walkers (emcee: Foreman-Mackey et al. 2013), moved by differential evolution (ter Braak 2006).

    ``chains`` independent ensembles of `ensemble_size` walkers; ``steps`` are those of each walker. Every walker is
    returned as a chain. A periodic parameter runs through one period about the ensemble's mean, which is found in the
    burn-in.
    """
    space, root = Space(posterior.lower, posterior.upper, posterior.periodic), check_seed(seed)
    n_walkers = ensemble_size(space.size)
    evaluate = _Evaluator(log_prob, posterior.start)
    ensembles = [_Ensemble(child, space, n_walkers, steps, burn) for child in root.spawn(chains)]
    interrupted, failure = False, None
    with tqdm(total=chains * steps, disable=not progress, unit="step", desc="sampling") as bar:
        try:
            with crew_or_none(log_prob, processes) as evaluate.crew:
                for ensemble in ensembles:
                    ensemble.begin(posterior, evaluate)
                # In turns, so that all of them are equally long when they are interrupted.
                for _ in range(steps):
                    for ensemble in ensembles:
                        ensemble.step()
                        bar.update()
                    bar.set_postfix(chi2=f"{-2.0 * evaluate.best_value:.6g}", refresh=False)
        except KeyboardInterrupt:
            interrupted = True
        except SamplingError as error:
            if evaluate.best_value == -math.inf:
                raise
            interrupted, failure = True, error
    result = _gather_ensembles(ensembles, posterior, evaluate, burn, root, interrupted)
    if failure is not None:
        raise SamplingError(str(failure), partial=result) from failure.__cause__
    warn_nonfinite(evaluate.n_nonfinite, evaluate.n_evaluations)
    return result


class _Evaluator:
    """Log-probabilities of many vectors at once, here or in workers; what is not finite is impossible, and counted."""

    def __init__(self, log_prob: Callable[[FloatArray], float], start: FloatArray) -> None:
        self.log_prob = log_prob
        self.crew: Crew | None = None
        self.n_evaluations = self.n_nonfinite = 0
        self.best = start  # until one is possible
        self.best_value = -math.inf

    def __call__(self, vectors: FloatArray) -> FloatArray:
        each = list(vectors)
        values = np.array(map_vectors(self.log_prob, each) if self.crew is None else self.crew.evaluate(each))
        bad = np.isnan(values) | (values == np.inf)
        values[bad] = -np.inf
        self.n_evaluations += len(values)
        self.n_nonfinite += int(bad.sum())
        first = int(np.argmax(values))
        if values[first] > self.best_value:
            self.best, self.best_value = vectors[first].copy(), float(values[first])
        return values


class _Ensemble:
    """Walkers that move together, and what they have visited after their burn-in."""

    def __init__(self, seed: np.random.SeedSequence, space: Space, n_walkers: int, steps: int, burn: int) -> None:
        scatter, moves = seed.spawn(2)
        self.rng = np.random.default_rng(scatter)
        self.state_of_moves = np.random.RandomState(np.random.MT19937(moves)).get_state()
        self.space, self.n_walkers, self.steps, self.burn = space, n_walkers, steps, burn
        self.done = 0
        self.values = np.empty((steps - burn, n_walkers, space.size))
        self.log_prob = np.empty((steps - burn, n_walkers))
        self.accepted = np.zeros((steps - burn, n_walkers), bool)
        self.state: Any = None
        self._states: Any = None

    def begin(self, posterior: Posterior, evaluate: _Evaluator) -> None:
        """Place the walkers."""
        import emcee

        self.centre = posterior.start.copy()
        places, log_prob = self._scatter(posterior, evaluate)
        self.sampler = emcee.EnsembleSampler(
            self.n_walkers,
            self.space.size,
            evaluate,
            # Every tenth step may jump from mode to mode (ter Braak 2006, section 2). emcee's snooker move (3.1.6)
            # is not among them: alone, on a Gaussian, it gives standard deviations that are 12 % too small.
            moves=[(emcee.moves.DEMove(), 0.9), (emcee.moves.DEMove(gamma0=1.0), 0.1)],
            vectorize=True,
        )
        # emcee's own wrapper prints what is raised, Ctrl-C too.
        self.sampler.log_prob_fn = lambda vectors: self._inside(vectors, evaluate)
        self._set_out(emcee.State(places, log_prob=log_prob, random_state=self.state_of_moves))

    def step(self) -> None:
        """Move each walker, or let it stay, once."""
        if self.done in (self.burn // 2, self.burn):
            self._centre()
        before = self.state.coords.copy()  # emcee changes a state in place
        self.state = next(self._states)
        k = self.done - self.burn
        if k >= 0:
            self.values[k], self.log_prob[k] = self.state.coords, self.state.log_prob
            self.accepted[k] = np.any(self.state.coords != before, axis=1)
        self.done += 1

    def _set_out(self, state: Any) -> None:
        self.state = state
        self._states = self.sampler.sample(state, iterations=None, store=False, skip_initial_state_check=True)

    def _scatter(self, posterior: Posterior, evaluate: _Evaluator) -> tuple[FloatArray, FloatArray]:
        """Find a place for each walker where the log-probability is finite."""
        places = np.tile(posterior.start, (self.n_walkers, 1))
        values = np.full(self.n_walkers, -np.inf)
        reach = SCATTER
        for _ in range(TRIES):
            left = np.flatnonzero(values == -np.inf)
            if left.size == 0:
                break
            drawn = posterior.start + reach * posterior.scale * self.rng.standard_normal((left.size, self.space.size))
            places[left], values[left] = drawn, self._inside(drawn, evaluate)
            reach *= 0.8
        else:
            at = ", ".join(f"{p.name} = {p.start:.6g}" for p in posterior.parameters)
            message = f"the log-probability is not finite round the start, {at}."
            raise SamplingError(f"{message} Start where the model is finite and the priors allow it.")
        return places, values

    def _inside(self, vectors: FloatArray, evaluate: _Evaluator) -> FloatArray:
        """Evaluate the vectors that lie within the priors, and within half a period of the centre.

        All the way round, an ensemble could run away: the same place would be reachable one more period on.
        """
        half = np.where(self.space.periodic, 0.5 * self.space.span, np.inf)
        near = np.all((vectors - self.centre >= -half) & (vectors - self.centre < half), axis=1)
        wrapped = self.space.wrap(vectors)
        possible = near & self.space.inside(wrapped)
        values = np.full(len(vectors), -np.inf)
        if possible.any():
            values[possible] = evaluate(wrapped[possible])
        return values

    def _centre(self) -> None:
        """Let periodic parameters run from half a period below the walkers' mean to half a period above it."""
        if not self.space.periodic.any():
            return
        round_ = self.space.periodic
        coords = unwrap(self.space.wrap(self.state.coords), self.space)[:, round_]
        centre, span = coords.mean(axis=0), self.space.span[round_]
        self.centre[round_] = centre
        self.state.coords[:, round_] = centre - 0.5 * span + np.mod(coords - centre + 0.5 * span, span)
        self._set_out(self.state)


def _gather_ensembles(
    ensembles: Sequence[_Ensemble],
    posterior: Posterior,
    evaluate: _Evaluator,
    burn: int,
    root: np.random.SeedSequence,
    interrupted: bool,
) -> Chains:
    """Return the walkers of all ensembles as chains, as long as the shortest."""
    space = Space(posterior.lower, posterior.upper, posterior.periodic)
    kept = max(0, min(ensemble.done for ensemble in ensembles) - burn)
    values = space.wrap(np.concatenate([ensemble.values[:kept].swapaxes(0, 1) for ensemble in ensembles]))
    log_prob = np.concatenate([ensemble.log_prob[:kept].T for ensemble in ensembles])
    accepted = np.concatenate([ensemble.accepted[:kept].T for ensemble in ensembles])
    return Chains(
        values=np.ascontiguousarray(values),
        log_prob=np.ascontiguousarray(log_prob),
        accepted=np.ascontiguousarray(accepted),
        acceptance=accepted.mean(axis=1) if kept else np.zeros(len(values)),
        best=evaluate.best,
        best_log_prob=evaluate.best_value,
        r_hat=split_r_hat(unwrap(values, space)),
        burn=burn,
        interrupted=interrupted,
        n_evaluations=evaluate.n_evaluations,
        n_nonfinite=evaluate.n_nonfinite,
        entropy=root.entropy,  # type: ignore[arg-type]
        space=space,
    )


def plan_ensembles(npar: int, steps: int, burn: int, chains: int) -> str:
    """Say in words what will be done."""
    return f"{chains} ensembles of {ensemble_size(npar)} walkers, {steps} steps each, {burn} of them burn-in"
