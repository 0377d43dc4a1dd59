"""A density on an interval, given by a function: its norm, cumulative and quantiles, to nearly all digits."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from kinms.errors import InputError
from kinms.records import FloatArray

__all__ = ["DensityCells", "gauss_legendre"]


class DensityCells:
    """A density on an interval as one polynomial per cell; cells are halved until these hold it.

    Parameters
    ----------
    log_density : callable
        Takes and returns an array.
    low, high : float
        The interval.

    Attributes
    ----------
    log_norm : float
        Logarithm of the integral of the density.
    """

    FIRST_CELLS, MOST_CELLS = 32, 8192
    #: Of the whole: what one polynomial may be off, and all of them together.
    TOLERANCE, FAILURE = 1e-12, 1e-9
    #: Cells at zero can be halved almost without end.
    NARROWEST = 1e-300
    #: Noise of the function from rounding that is put up with, relative to the highest in a cell.
    GRAIN = 1e-3
    #: Quantiles found at a time, which bounds the memory.
    BLOCK = 1 << 15

    @np.errstate(all="ignore")  # infinite tolerances and densities that underflow are what they should be
    def __init__(self, log_density: Callable[[FloatArray], FloatArray], low: float, high: float) -> None:
        nodes, weights, project = gauss_legendre()

        def look(left: FloatArray, right: FloatArray) -> FloatArray:
            x = (0.5 * left + 0.5 * right)[:, None] + 0.5 * (right - left)[:, None] * nodes
            logs = log_density(np.clip(x, left[:, None], right[:, None]).ravel()).reshape(x.shape)
            if not np.all(logs < np.inf):
                at = np.argwhere(~(logs < np.inf))[0]
                raise InputError("log_density", f"{logs[tuple(at)]} at {x[tuple(at)]:g}", "a number or -inf")
            return logs

        edges = np.linspace(low, high, self.FIRST_CELLS + 1)
        left, right = edges[:-1], edges[1:]
        logs = look(left, right)
        # Distance of the polynomial of the cell that was halved, and the scale of its numbers; not known at first.
        wrong, scale = np.full(left.size, np.inf), np.zeros(left.size)
        while True:
            shift = logs.max()
            if shift == -np.inf:
                raise InputError(
                    "log_density", f"-inf from {low:g} to {high:g}", "a density that is positive somewhere"
                )
            width = right - left
            # Beside narrow cells narrow ones: the flank of a peak shows only from nearby.
            graded = np.concatenate([[np.inf], width, [np.inf]])
            mass = 0.5 * width * np.einsum("ij,j->i", np.exp(logs - shift), weights)
            # Infinite where a peak was met once, and lost.
            off = np.where(wrong == 0.0, 0.0, width * wrong * np.exp(scale - shift))
            halve = (off > self.TOLERANCE * mass.sum()) | (width > 4.0 * np.minimum(graded[:-2], graded[2:]))
            halve &= width > np.maximum(16.0 * np.spacing(np.maximum(np.abs(left), np.abs(right))), self.NARROWEST)
            if not halve.any():
                break
            if left.size + np.count_nonzero(halve) > self.MOST_CELLS:
                off = np.where(halve, np.inf, off)
                break
            middle = 0.5 * left[halve] + 0.5 * right[halve]
            new_left = np.column_stack([left[halve], middle]).ravel()
            new_right = np.column_stack([middle, right[halve]]).ravel()
            new_logs = look(new_left, new_right)
            # What the parent's polynomial says at the points of its two halves, against what is there.
            pairs = np.concatenate([new_logs[::2], new_logs[1::2]], axis=1)
            highest = np.maximum(pairs.max(axis=1), logs[halve].max(axis=1))
            highest = np.where(highest == -np.inf, 0.0, highest)
            at_nodes = np.einsum("ij,jk->ik", np.exp(logs[halve] - highest[:, None]), project)
            halves = np.concatenate([0.5 * (nodes - 1.0), 0.5 * (nodes + 1.0)])
            guess = np.einsum("ij,kj->ik", at_nodes, np.polynomial.legendre.legvander(halves, nodes.size - 1))
            there = np.exp(pairs - highest[:, None])
            new_wrong = np.abs(guess - there).max(axis=1)
            # The function cannot be known better than its argument and its value are rounded.
            grain = np.spacing(np.maximum(np.abs(left), np.abs(right)))[halve] / width[halve]
            rounding = 64.0 * grain * np.abs(np.diff(there, axis=1)).max(axis=1) + 4.0 * np.spacing(np.abs(highest))
            new_wrong[(new_wrong < rounding) & (rounding < self.GRAIN)] = 0.0
            keep = ~halve
            left, right = np.concatenate([left[keep], new_left]), np.concatenate([right[keep], new_right])
            logs = np.concatenate([logs[keep], new_logs])
            wrong = np.concatenate([wrong[keep], np.repeat(new_wrong, 2)])
            scale = np.concatenate([scale[keep], np.repeat(highest, 2)])
            order = np.argsort(left)
            left, right, logs, wrong, scale = left[order], right[order], logs[order], wrong[order], scale[order]
        total = mass.sum()
        if not off.sum() <= self.FAILURE * total:
            place = float(left[np.argmax(off)])
            got = f"too steep or too rough near {place:g}"
            raise InputError("log_density", got, "a function that can be integrated", "Narrow the bounds.")
        self.log_norm = float(shift + np.log(total))
        self._left, self._width, self._right = left, width, right
        self._coefficients = np.einsum("ij,jk->ik", np.exp(logs - shift), project)
        cumulative = np.concatenate([[0.0], np.cumsum(mass)])
        self._cumulative = cumulative / cumulative[-1]

    def _within(self, k: np.ndarray, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the integral from the left of cell k to u (from -1 to 1) as a part of the cell, and its slope."""
        terms = self._coefficients.shape[1]
        coefficients = self._coefficients[k]
        legendre = np.polynomial.legendre.legvander(u, terms)
        j = np.arange(1, terms)
        integrals = (legendre[:, 2:] - legendre[:, :-2]) / (2 * j + 1)
        whole = 2.0 * coefficients[:, 0]
        integral = coefficients[:, 0] * (1.0 + u) + np.einsum("ij,ij->i", coefficients[:, 1:], integrals)
        slope = np.einsum("ij,ij->i", coefficients, legendre[:, :-1])
        return np.clip(np.nan_to_num(integral / whole), 0.0, 1.0), slope / whole

    def cumulative(self, x: FloatArray) -> FloatArray:
        """Return the probability below each of a 1-D array."""
        result = np.empty(x.size)
        for start in range(0, x.size, self.BLOCK):
            some = x[start : start + self.BLOCK]
            k = np.clip(np.searchsorted(self._left, some, side="right") - 1, 0, self._left.size - 1)
            u = np.clip(2.0 * (some - self._left[k]) / self._width[k] - 1.0, -1.0, 1.0)
            part = self._within(k, u)[0]
            value = (1.0 - part) * self._cumulative[k] + part * self._cumulative[k + 1]
            result[start : start + self.BLOCK] = np.where(np.isnan(some), np.nan, value)
        return result

    def quantile(self, q: FloatArray) -> FloatArray:
        """Return the values at which `cumulative` is q, by Newton's method between bounds that close in."""
        result = np.empty(q.size)
        for start in range(0, q.size, self.BLOCK):
            some = q[start : start + self.BLOCK]
            k = np.clip(np.searchsorted(self._cumulative, some, side="right") - 1, 0, self._left.size - 1)
            first, last = self._cumulative[k], self._cumulative[k + 1]
            part = np.clip((some - first) / (last - first), 0.0, 1.0)
            lower, upper, u = np.full(k.size, -1.0), np.full(k.size, 1.0), 2.0 * part - 1.0
            for _ in range(60):
                reached, slope = self._within(k, u)
                lower, upper = np.where(reached <= part, u, lower), np.where(reached > part, u, upper)
                following = u - (reached - part) / slope
                inside = (following >= lower) & (following <= upper)
                following = np.where(inside, following, 0.5 * (lower + upper))
                moved, u = np.abs(following - u).max(initial=0.0), following
                if moved < 1e-15:
                    break
            value = self._left[k] + 0.5 * (1.0 + u) * self._width[k]
            result[start : start + self.BLOCK] = np.clip(value, self._left[k], self._right[k])
        return result


@functools.cache
def gauss_legendre(order: int = 16) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Nodes and weights of Gauss and Legendre, and what turns values at the nodes into coefficients of the series."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    vandermonde = np.polynomial.legendre.legvander(nodes, order - 1)
    return nodes, weights, weights[:, None] * vandermonde * (np.arange(order) + 0.5)
