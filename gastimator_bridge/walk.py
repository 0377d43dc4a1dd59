"""One Markov chain: it climbs, adapts its moves, freezes them, and then samples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gastimator_bridge.climb import Climb
from gastimator_bridge.space import Array, Space
from kinms.errors import SamplingError

__all__ = ["Batch", "LogProb", "Walker"]

LogProb = Callable[[Array], float]
Batch = tuple[Array, Array, NDArray[np.bool_]]  # values, log-probabilities, accepted

# Degrees of freedom and widening of the Student-t that independent moves are drawn from: its tails must be heavier
# than the posterior's. Its acceptance on a Gaussian is still 0.7 in 5 dimensions and 0.65 in 10.
_FREEDOM = 8.0
_WIDENING = 1.1
# Largest part of the burn-in that may go into the climb.
_CLIMB_PART = 2 / 3
# States of the burn-in that the covariance is learnt from (older ones are thinned).
_MEMORY = 4096


@dataclass(frozen=True, eq=False)
class Kernel:
    """How a chain moves: from where and how far. Nothing in it changes while samples are kept.

    A move is either independent of the present state (Student-t around ``mean``; Metropolis-Hastings) or a random walk
    (Gaussian with covariance ``step**2 * root @ root.T``, its length scattered by a factor; Metropolis).
    """

    mean: Array
    root: Array
    step: float
    share: float  # of independent moves


class _Draws:
    """The random numbers of a batch of steps, and the moves made from them."""

    def __init__(self, rng: np.random.Generator, kernel: Kernel, space: Space, size: int) -> None:
        n = space.size
        self.size = size
        independent = rng.random(size) < kernel.share
        normal = rng.standard_normal((size, n))
        stretch = np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, size))
        scatter = np.exp(0.5 * rng.standard_normal(size))
        self.log_u = np.log(rng.random(size)).tolist()
        self.independent = independent.tolist()
        # einsum, not a BLAS product: its result does not depend on how many threads there are.
        shape = np.einsum("ij,kj->ki", kernel.root, normal)
        self.moves = list(shape * (kernel.step * scatter)[:, None])
        away = shape * (_WIDENING * stretch)[:, None]
        # Beyond half a turn an independent move would be reachable two ways round, and its density a sum.
        possible = np.all(~space.periodic | (2.0 * np.abs(away) < space.span), axis=1)
        places = space.wrap(kernel.mean + away)
        self.possible = (possible & space.inside(places)).tolist()
        self.places = list(places)
        self.log_q = _log_t(np.einsum("ij,ij->i", normal, normal) * stretch**2, n).tolist()
        # What became of them, filled as the steps are taken.
        self.values, self.log_prob, self.accepted = np.empty((size, n)), np.empty(size), np.zeros(size, bool)


def _log_t(square: Array, n: int) -> Array:
    """Log-density, up to a constant, of the Student-t at squared distance ``square``."""
    return -0.5 * (_FREEDOM + n) * np.log1p(square / _FREEDOM)


def _root(covariance: Array) -> Array:
    """Return a matrix whose square is the covariance, also of parameters that are all but degenerate."""
    width = np.sqrt(np.diag(covariance))
    size, turn = np.linalg.eigh(covariance / np.outer(width, width))
    root: Array = width[:, None] * turn * np.sqrt(np.maximum(size, 1e-12))
    return root


class Walker:
    """A chain that can be advanced for a while, looked at, pickled, and advanced again.

    Parameters
    ----------
    rng : numpy.random.Generator
        Its own stream.
    space : Space
        Bounds of the free parameters.
    start : ndarray, shape (npar,)
        First guess.
    scale : ndarray, shape (npar,)
        First step per parameter.
    spread : bool
        Start at a random place about ``2 * scale`` away from ``start`` instead of at it.
    steps, burn : int
        Evaluations in all, and how many of them are burn-in.
    target : float
        Acceptance that the random walk is tuned to.
    names : list of str
        Of the parameters, for messages.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        space: Space,
        start: Array,
        scale: Array,
        *,
        spread: bool,
        steps: int,
        burn: int,
        target: float,
        names: list[str],
    ) -> None:
        self.rng, self.space, self.start, self.scale, self.spread = rng, space, start, scale, spread
        self.steps, self.burn, self.target, self.names = steps, burn, target, names
        self.done = 0
        self.n_evaluations = self.n_nonfinite = self.n_walked = self.n_accepted = 0
        self.best, self.best_value = start, -np.inf
        self.finished: list[Batch] = []  # full batches of kept steps, until taken
        self._x = start
        self._value: float | None = None
        self._log_q: float | None = None
        self._climb: Climb | None = None
        self._draws: _Draws | None = None
        self._k = 0

    # --- seen from outside ------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether all steps have been taken."""
        return self.done >= self.steps

    def advance(self, log_prob: LogProb, seconds: float = math.inf) -> None:
        """Take steps until all are taken or ``seconds`` are over (at least one). How they are cut changes nothing."""
        deadline = time.perf_counter() + seconds
        if self._value is None:
            self._begin(log_prob)
        while self._climb is not None and self.done < self.burn:
            point = self._climb.ask()
            if point is None:
                break
            self._climb.tell(self._evaluate(log_prob, point))
            self.done += 1
            if time.perf_counter() > deadline:
                return
        if self._climb is not None:
            self._leave_climb(self._climb)
        while not self.over:
            if self._draws is None:
                self._draws, self._k = _Draws(self.rng, self._kernel, self.space, self._batch_size()), 0
            self._take_steps(log_prob, self._draws, deadline)
            if self._k == self._draws.size:
                self._end_batch(self._draws)
                self._draws = None
            if time.perf_counter() > deadline:
                return

    def take_finished(self) -> list[Batch]:
        """Hand over the full batches (values, log_prob, accepted) kept since the last call."""
        finished, self.finished = self.finished, []
        return finished

    def unfinished(self) -> Batch | None:
        """The kept steps of the batch under way, if any."""
        d, k = self._draws, self._k
        if d is None or self.done - k < self.burn or k == 0:
            return None
        return d.values[:k], d.log_prob[:k], d.accepted[:k]

    # --- burn-in ----------------------------------------------------------------------------------------------------

    def _evaluate(self, log_prob: LogProb, x: Array) -> float:
        value = float(log_prob(x))
        self.n_evaluations += 1
        if not -math.inf <= value < math.inf:
            self.n_nonfinite += 1
            value = -math.inf
        if value > self.best_value:
            self.best, self.best_value = x, value
        return value

    def _begin(self, log_prob: LogProb) -> None:
        x, reach = self.start, 2.0
        for _ in range(30 if self.spread else 0):
            x = self.space.wrap(self.start + reach * self.scale * self.rng.standard_normal(self.space.size))
            if self.space.inside(x) and self._evaluate(log_prob, x) > -math.inf:
                break
            # Nearer and nearer, so that a start in a corner of the possible finds a neighbour.
            reach *= 0.8
        else:
            x = self.start
            if self._evaluate(log_prob, x) == -math.inf:
                kind = "not finite (NaN or +inf)" if self.n_nonfinite else "-inf (impossible)"
                place = ", ".join(f"{name} = {value:.6g}" for name, value in zip(self.names, x, strict=True))
                raise SamplingError(
                    f"the log-probability is {kind} at the start, {place}. Start where the model is finite and the "
                    "priors allow it."
                )
        self._x, self._value = x, self.best_value
        budget = int(_CLIMB_PART * self.burn)
        if budget > 2 * self.space.size:
            self._climb = Climb(self.space, x, self.best_value, self.scale, budget)
        self._set_out(x, np.diag(self.scale), share=0.1, trust=0.5 * self.space.size)

    def _leave_climb(self, climb: Climb) -> None:
        self._x, self._value, self._climb = climb.x, climb.value, None
        if climb.converged:
            self._set_out(climb.x, climb.basis, share=0.5, trust=10.0 * self.space.size)
        else:
            self._set_out(climb.x, climb.basis, share=0.2, trust=0.5 * self.space.size)

    def _set_out(self, x: Array, root: Array, *, share: float, trust: float) -> None:
        """Begin to walk from ``x`` with a first covariance that counts as much as ``trust`` independent samples."""
        self._origin, self._prior, self._trust = x, root @ root.T, trust
        self._kernel = Kernel(mean=x, root=root, step=2.38 / math.sqrt(self.space.size), share=share)
        self._batches = 0
        self._hit = share  # smoothed acceptance of the independent moves
        self._history: list[Array] = []
        self._news: list[Array] = []

    def _batch_size(self) -> int:
        if self.done >= self.burn:
            return min(512, self.steps - self.done)
        return min(max(32, self._batches * 4), 512, self.burn - self.done)

    def _end_batch(self, draws: _Draws) -> None:
        if self.done > self.burn:
            self.finished.append((draws.values, draws.log_prob, draws.accepted))
            return
        self._adapt(draws)
        if self.done == self.burn:
            self._history, self._news = [], []

    def _adapt(self, draws: _Draws) -> None:
        """Learn from a batch of the burn-in: covariance and centre, length of the walk, share of independent moves."""
        n, kernel = self.space.size, self._kernel
        independent, moved = np.array(draws.independent), draws.accepted
        self._batches += 1
        # A walk in n dimensions forgets its state in about n accepted moves, an independent move forgets it at once.
        news = moved * np.where(independent, 1.0, 1.0 / n)
        thin = 1 + self.burn // _MEMORY
        self._history.append(self.space.offset(draws.values[::thin], self._origin))
        self._news.append(thin * news[::thin])
        # The older half may still remember the way there.
        states, news = np.concatenate(self._history), np.concatenate(self._news)
        states, worth = states[states.shape[0] // 2 :], float(news[news.size // 2 :].sum())
        weight = worth / (worth + self._trust)
        spread = np.cov(states, rowvar=False).reshape(n, n) if states.shape[0] > 1 else self._prior
        root = _root((1.0 - weight) * self._prior + weight * spread)
        walked = ~independent
        # Robbins & Monro (1951): steps that sum to infinity, their squares do not.
        gain = 3.0 / (1.0 + self._batches / 4.0) ** 0.6
        change = gain * (float(moved[walked].mean()) - self.target) if walked.any() else 0.0
        if independent.any():
            self._hit += min(1.0, independent.sum() / 64) * (float(moved[independent].mean()) - self._hit)
        self._kernel = Kernel(
            mean=self.space.wrap(self._origin + weight * states.mean(axis=0)),
            root=root,
            step=kernel.step * math.exp(change),
            share=0.05 + 0.6 * self._hit / (self._hit + 0.1),
        )
        self._log_q = None

    # --- the steps themselves ---------------------------------------------------------------------------------------

    def _take_steps(self, log_prob: LogProb, d: _Draws, deadline: float) -> None:
        """Metropolis-Hastings steps through the batch until it or the time is over.

        This is the inner loop: plain floats and lists, because they cost less than arrays of a few elements.
        """
        x, value, log_q, k = self._x, self._value, self._log_q, self._k
        low, high = self.space.lower.tolist(), self.space.upper.tolist()
        clock, inf, periodic = time.perf_counter, math.inf, bool(self.space.periodic.any())
        assert value is not None  # for the type checker: `_begin` has run
        try:
            while k < d.size:
                moved = False
                shift = 0.0
                if d.independent[k]:
                    new, possible = d.places[k], d.possible[k]
                    if possible:
                        if log_q is None:
                            log_q = self._kernel_log_q(x)
                        shift = d.log_q[k] - log_q
                else:
                    new, possible = x + d.moves[k], True
                    for v, a, b in zip(new.tolist(), low, high, strict=True):
                        if not a <= v < b:
                            # Out of the box, unless all that left it is periodic.
                            new = self.space.wrap(new)
                            possible = periodic and bool(self.space.inside(new))
                            break
                if possible:
                    found = float(log_prob(new))
                    self.n_evaluations += 1
                    if not found < inf:
                        self.n_nonfinite += 1
                        found = -inf
                    if found - value - shift > d.log_u[k]:
                        x, value, moved = new, found, True
                        log_q = d.log_q[k] if d.independent[k] else None
                        if value > self.best_value:
                            self.best, self.best_value = x, value
                d.values[k], d.log_prob[k], d.accepted[k] = x, value, moved
                k += 1
                if clock() > deadline:
                    break
        finally:
            self.n_walked += k - self._k
            self.n_accepted += int(d.accepted[self._k : k].sum())
            self.done += k - self._k
            self._x, self._value, self._log_q, self._k = x, value, log_q, k

    def _kernel_log_q(self, x: Array) -> float:
        """Log-density of the independent moves at ``x``."""
        z = np.linalg.solve(_WIDENING * self._kernel.root, self.space.offset(x, self._kernel.mean))
        return float(_log_t(z @ z, self.space.size))
