"""Priors for `gastimator.prior_func`: callables that return the log of a probability density."""

from __future__ import annotations

import math
from typing import Any

from kinms.errors import InputError

__all__ = ["gaussian"]


class gaussian:  # the name scripts use
    """Normal prior, ln p(x) = -(x - mu)^2 / (2 sigma^2) - ln(sigma sqrt(2 pi)).

    Parameters
    ----------
    mu, sigma : float
        Mean and standard deviation (> 0), in the parameter's unit.

    Raises
    ------
    InputError
        ``mu`` is not finite, or ``sigma`` not positive and finite.

    Examples
    --------
    >>> prior = gaussian(45.0, 3.0)
    >>> round(prior(48.0) - prior.eval(45.0), 12)
    -0.5
    """

    def __init__(self, mu: float, sigma: float) -> None:
        if not math.isfinite(mu):
            raise InputError("mu", mu, "a finite mean")
        if not (math.isfinite(sigma) and sigma > 0):
            raise InputError("sigma", sigma, "a positive, finite standard deviation")
        self.mu, self.sigma = mu, sigma

    def __repr__(self) -> str:
        return f"gaussian({self.mu!r}, {self.sigma!r})"

    def eval(self, x: Any, **_: Any) -> Any:
        """Return ln p(x); what else `gastimator` tells its priors (``allvalues``, ``ival``) is not needed."""
        return -0.5 * ((x - self.mu) / self.sigma) ** 2 - math.log(self.sigma * math.sqrt(2.0 * math.pi))

    __call__ = eval
