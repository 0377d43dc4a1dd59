"""The box a sampler moves in: bounds, and directions that close on themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Space"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Space:
    """A box of free parameters, some of them periodic.

    Parameters
    ----------
    lower, upper : ndarray, shape (npar,)
        Bounds, in the units of the parameters; infinite where there is none.
    periodic : ndarray of bool, shape (npar,)
        True where ``upper`` is the same place as ``lower`` (a position angle); those bounds must be finite.

    Examples
    --------
    >>> import numpy as np
    >>> space = Space(np.array([0.0]), np.array([360.0]), np.array([True]))
    >>> float(space.wrap(np.array([370.0]))[0])
    10.0
    """

    lower: Array
    upper: Array
    periodic: NDArray[np.bool_]

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.lower.size

    @property
    def span(self) -> Array:
        """Width of the box per parameter (infinite without bounds)."""
        return self.upper - self.lower

    def wrap(self, x: Array) -> Array:
        """Bring the periodic parameters of ``x`` (shape (..., npar)) back into [lower, upper)."""
        if not self.periodic.any():
            return x
        low, span = self.lower[self.periodic], self.span[self.periodic]
        turned = low + np.mod(x[..., self.periodic] - low, span)
        # A value a rounding error below `lower` lands on `upper` itself, which is `lower` again.
        turned = np.where(turned >= low + span, low, turned)
        out = x.copy()
        out[..., self.periodic] = turned
        return out

    def offset(self, x: Array, origin: Array) -> Array:
        """``x - origin``, by the shorter way round where a parameter is periodic."""
        d = x - origin
        if self.periodic.any():
            span = self.span[self.periodic]
            d[..., self.periodic] -= span * np.round(d[..., self.periodic] / span)
        return d

    def inside(self, x: Array) -> NDArray[np.bool_]:
        """Whether each vector of ``x`` (shape (..., npar)) lies within the bounds."""
        return np.all((x >= self.lower) & (x <= self.upper), axis=-1)

    def clip(self, x: Array) -> Array:
        """The nearest vector inside: periodic parameters wrap, the others stop at their bound."""
        return np.clip(self.wrap(x), self.lower, self.upper)

    def reach(self, x: Array, direction: Array) -> float:
        """The largest t >= 0 for which ``x + t * direction`` is inside (periodic parameters never limit it)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(direction > 0, (self.upper - x) / direction, (self.lower - x) / direction)
        t = np.where((direction == 0) | self.periodic, np.inf, t)
        return max(0.0, float(t.min()))
