"""The way up during burn-in: local quadratic models of the log-probability, and steps to their tops.

Each round measures the log-probability on both sides of the present best point along a set of directions (slope and
curvature along each) and, when it pays, at the corners between two directions (the mixed curvatures). The model's top,
within a trust radius, is the next point; the directions are then turned and rescaled to the model's own 1-sigma
ellipsoid. On a Gaussian one round finds the mode and the covariance exactly, however far away it starts; on anything
else a few rounds do (trust-region Newton: Nocedal & Wright 2006, chapter 4; the last ellipsoid is Laplace's
approximation of the posterior).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from gastimator_bridge.space import Array, Space

__all__ = ["Climb"]

# A direction may grow by this factor in one round and shrink by its square: too long a probe only blurs a curvature,
# too long a step wastes a round.
_STRETCH = 10.0
# No direction is longer than this part of the box or, without a box, than this many first steps.
_PART_OF_BOX, _FAR = 0.25, 1e3
# Over when the model promises less than this in log-probability.
_CLOSE = 0.5
# With less room than this (in units of the direction) before a bound, a curvature cannot be measured.
_NO_ROOM = 0.05
# How far below the present point an impossible one (-inf) enters the model: it pushes away, and stays finite.
_CLIFF = 100.0


class Climb:
    """Ask for points with `ask`, tell their log-probabilities with `tell`, until `ask` returns None.

    It never calls the log-probability itself, and pickles between any two evaluations, so that a sampler can stop,
    report or move to another process at any time.

    Parameters
    ----------
    space : Space
        The box to stay in.
    x : ndarray, shape (npar,)
        Where to start.
    value : float
        Log-probability at ``x`` (finite).
    scale : ndarray, shape (npar,)
        First step per parameter.
    budget : int
        Largest number of points to ask for.

    Attributes
    ----------
    x, value
        The best point so far and its log-probability.
    basis : ndarray, shape (npar, npar)
        Its columns span the 1-sigma ellipsoid of the last model: ``basis @ basis.T`` is the covariance.
    converged : bool
        Whether the last model was complete and promised no further gain.

    Examples
    --------
    >>> import numpy as np
    >>> free = Space(np.full(2, -np.inf), np.full(2, np.inf), np.zeros(2, bool))
    >>> climb = Climb(free, np.array([9.0, -7.0]), -65.0, np.ones(2), budget=60)
    >>> while (point := climb.ask()) is not None:
    ...     climb.tell(-0.5 * float(point @ point))
    >>> bool(np.allclose(climb.x, 0, atol=1e-6)), climb.converged
    (True, True)
    """

    def __init__(self, space: Space, x: Array, value: float, scale: Array, budget: int) -> None:
        self._begin = (space, x, value, scale, budget)
        self._told: list[float] = []
        self._start()

    def _start(self) -> None:
        self.space, self.x, self.value, scale, self.budget = self._begin
        bounded = np.isfinite(self.space.span)
        self._longest = np.where(bounded, _PART_OF_BOX * self.space.span, _FAR * scale)
        self.basis = np.diag(np.minimum(scale, self._longest))
        self.converged = False
        self._points = self._rounds()
        self._point: Array | None = next(self._points)

    def ask(self) -> Array | None:
        """Return the next point to evaluate, or None when the climb is over."""
        return self._point if len(self._told) < self.budget else None

    def tell(self, value: float) -> None:
        """Take the log-probability (-inf if impossible) of the point last asked for."""
        self._told.append(value)
        try:
            self._point = self._points.send(value)
        except StopIteration:
            self._point = None

    # A generator cannot be pickled, but it can be told the same values again.
    def __getstate__(self) -> dict[str, Any]:
        return {"begin": self._begin, "told": self._told}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._begin, self._told = state["begin"], []
        self._start()
        for value in state["told"]:
            self.tell(value)

    # --- the rounds -------------------------------------------------------------------------------------------------

    def _rounds(self) -> Generator[Array, float, None]:
        corners = self.space.size * (self.space.size - 1) // 2
        radius = 3.0  # of trust, in units of the directions
        trusted = False  # whether the last model predicted what its step found
        last: tuple[Array, Array] | None = None  # centre and slope (per parameter) of the round before
        while True:
            centre, value = self.x, self.value
            slope, curvature, side = yield from self._measure_axes(centre, value)
            hessian = np.diag(curvature)
            if last is not None:
                move = np.linalg.solve(self.basis, self.space.offset(centre, last[0]))
                _add_secant(hessian, move, self.basis.T @ last[1] - slope)
            last = centre, np.linalg.solve(self.basis.T, slope)
            step = self._top(centre, slope, hessian, radius)
            complete = corners <= 0.6 * (self.budget - len(self._told))
            if complete and (not trusted or _rise(slope, hessian, step) < _CLOSE):
                hessian = np.diag(curvature)
                yield from self._measure_corners(centre, value, hessian, side)
                step = self._top(centre, slope, hessian, radius)
            promise, length = _rise(slope, hessian, step), float(np.linalg.norm(step))
            # A direction that is as long as it may be is flat as far as one can tell.
            flat = np.max(np.abs(self.basis) / self._longest[:, None], axis=0) > 0.99
            known = np.all((curvature < 5.0) & (flat | (curvature > 0.2)))
            there = promise < _CLOSE and length < 0.99 * radius and bool(known)
            move = self.basis @ step
            self.basis = self._one_sigma(hessian)
            if there:
                yield from self._probe(centre + move)
                self.converged = True
                return
            ratio, factor = yield from self._follow(centre, value, move, promise, length > 0.99 * radius)
            trusted = 0.5 < ratio < 2.0
            # The step's length in the new units is what the model has been tried over.
            radius = max(1.0, factor * float(np.linalg.norm(np.linalg.solve(self.basis, move))))

    def _probe(self, point: Array) -> Generator[Array, float, float]:
        """Evaluate one point, remember it if it is the best, and return a value that a model can take."""
        point = self.space.clip(point)
        floor = self.value - _CLIFF
        value = yield point
        if value > self.value:
            self.x, self.value = point, value
        return value if value > -np.inf else floor

    def _measure_axes(self, centre: Array, value: float) -> Generator[Array, float, tuple[Array, Array, Array]]:
        """Slope and curvature along each direction; and, per direction, the end that was better (t, rise)."""
        n = self.space.size
        slope, curvature, side = np.zeros(n), np.ones(n), np.zeros((n, 2))
        for i, direction in enumerate(self.basis.T):
            up = min(1.0, self.space.reach(centre, direction))
            down = -min(1.0, self.space.reach(centre, -direction))
            if max(up, -down) < _NO_ROOM:
                continue
            # At a bound both points lie on the same side.
            if up < 0.3 * -down:
                up = 0.5 * down
            elif -down < 0.3 * up:
                down = 0.5 * up
            ends = []
            for t in (up, down):
                rise = (yield from self._probe(centre + t * direction)) - value
                ends.append((rise, t))
            (rise_up, _), (rise_down, _) = ends
            a, b = rise_up / up, rise_down / down
            curvature[i] = -2.0 * (a - b) / (up - down)
            slope[i] = a + 0.5 * curvature[i] * up
            side[i] = max(ends)[::-1]
        return slope, curvature, side

    def _measure_corners(
        self, centre: Array, value: float, hessian: Array, side: Array
    ) -> Generator[Array, float, None]:
        """Fill the mixed curvatures of ``hessian`` in place."""
        n = self.space.size
        for i in range(n):
            for j in range(i):
                (ti, rise_i), (tj, rise_j) = side[i], side[j]
                move = ti * self.basis[:, i] + tj * self.basis[:, j]
                if ti == 0 or tj == 0 or self.space.reach(centre, move) < 1.0:
                    continue
                rise = (yield from self._probe(centre + move)) - value
                hessian[i, j] = hessian[j, i] = -(rise - rise_i - rise_j) / (ti * tj)

    def _follow(
        self, centre: Array, value: float, move: Array, promise: float, limited: bool
    ) -> Generator[Array, float, tuple[float, float]]:
        """Take the step; go on while that pays and only the trust radius held it back, or come back if it does not.

        Returns the part of the promise that came true, and what to multiply the trust radius with.
        """
        found = yield from self._probe(centre + move)
        ratio = (found - value) / promise if promise > 0 else 0.0
        factor = 1.0
        if found <= value:
            for factor in (0.3, 0.1, 0.03):
                if (yield from self._probe(centre + factor * move)) > value:
                    break
            return ratio, factor
        while limited and factor < 100.0:
            further = yield from self._probe(centre + 2.0 * factor * move)
            if further <= found:
                break
            found, factor = further, 2.0 * factor
        return ratio, factor * (3.0 if ratio > 0.75 else 1.0 if ratio > 0.25 else 0.5)

    def _one_sigma(self, hessian: Array) -> Array:
        """The directions turned and rescaled to where the model falls by 1/2; never by too much at once."""
        curvature, turn = np.linalg.eigh(hessian)
        basis = (self.basis @ turn) / np.sqrt(np.clip(np.abs(curvature), _STRETCH**-2, _STRETCH**4))
        return basis / np.maximum(1.0, np.max(np.abs(basis) / self._longest[:, None], axis=0))

    def _top(self, centre: Array, slope: Array, hessian: Array, radius: float) -> Array:
        """The step, in units of the directions, to the model's highest point within the radius and the box.

        Of the parameters whose bound the step would cross, the first to do so is held at it and the others are solved
        for again, until none does; if that promises less than stopping short at the first bound, it stops there.
        """
        inverse = np.linalg.inv(self.basis)
        slope_x, hessian_x, metric = inverse.T @ slope, inverse.T @ hessian @ inverse, inverse.T @ inverse
        low = np.where(self.space.periodic, -np.inf, self.space.lower - centre)
        high = np.where(self.space.periodic, np.inf, self.space.upper - centre)
        move, held = np.zeros_like(centre), np.zeros(centre.size, bool)
        short: Array = move
        while not held.all():
            free = ~held
            back = np.linalg.inv(np.linalg.cholesky(metric[np.ix_(free, free)]).T)
            pull = slope_x[free] - hessian_x[np.ix_(free, held)] @ move[held]
            move[free] = back @ _top_in_ball(back.T @ pull, back.T @ hessian_x[np.ix_(free, free)] @ back, radius)
            over = free & ((move < low) | (move > high))
            if not held.any():
                short = min(1.0, self.space.reach(centre, move)) * move
            if not over.any():
                break
            bound = np.where(move < 0, low, high)
            first = np.argmin(np.where(over, bound / np.where(over, move, 1.0), np.inf))
            move[first], held[first] = bound[first], True
        steps = [inverse @ np.clip(m, low, high) for m in (move, short)]
        return max(steps, key=lambda step: _rise(slope, hessian, step))


def _rise(slope: Array, hessian: Array, step: Array) -> float:
    """What the model promises for a step."""
    return float(slope @ step - 0.5 * step @ hessian @ step)


def _top_in_ball(slope: Array, hessian: Array, radius: float) -> Array:
    """Maximise ``slope.z - z.hessian.z / 2`` over ``|z| <= radius`` (Nocedal & Wright 2006, theorem 4.1)."""
    curvature, turn = np.linalg.eigh(hessian)
    along = turn.T @ slope

    def length(shift: float) -> float:
        return float(np.linalg.norm(along / (curvature + shift)))

    tiny = 1e-12 * (np.abs(curvature).max() + np.abs(along).max() / radius + 1e-300)
    low = max(0.0, tiny - curvature[0])
    if length(low) > radius:
        high = low + np.linalg.norm(along) / radius + np.abs(curvature).max()
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if length(middle) > radius else (low, middle)
        low = high
    return turn @ (along / (curvature + low))


def _add_secant(hessian: Array, move: Array, fall: Array) -> None:
    """Change ``hessian`` least, in place, so that it explains the fall of the slope over the last move.

    Powell's symmetric form of Broyden's update (Nocedal & Wright 2006, section 6.6).
    """
    square = move @ move
    if square == 0:
        return
    miss = (fall - hessian @ move) / square
    hessian += np.outer(miss, move) + np.outer(move, miss) - (miss @ move) / square * np.outer(move, move)
