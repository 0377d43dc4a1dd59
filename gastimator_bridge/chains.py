"""What a sampler returns, and whether its chains agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gastimator_bridge.space import Array, Space

__all__ = ["Chains", "split_r_hat"]


@dataclass(frozen=True, eq=False)
class Chains:
    """Samples of a posterior, burn-in left out, repeats kept.

    Attributes
    ----------
    values : ndarray, shape (chains, kept, npar)
        The states, one per step; a rejected step repeats the state before it.
    log_prob : ndarray, shape (chains, kept)
        Log-probability of each state.
    accepted : ndarray of bool, shape (chains, kept)
        Whether the step moved.
    acceptance : ndarray, shape (chains,)
        Part of the kept steps that moved (0 where there are none).
    best : ndarray, shape (npar,)
        The most probable vector of all that were evaluated, burn-in included; ``best_log_prob`` is its value.
    best_log_prob : float
        Log-probability of ``best``.
    r_hat : ndarray, shape (npar,)
        Gelman-Rubin statistic over the halves of all chains; near 1 where they agree, NaN for fewer than 4 kept steps.
    burn : int
        Steps per chain that were left out.
    interrupted : bool
        Whether the run was stopped from outside; every chain is then cut to the shortest.
    n_evaluations, n_nonfinite : int
        Calls of the log-probability, and how many of them gave NaN or +inf (counted as impossible).
    entropy : int
        Seed that repeats the run.
    space : Space
        Bounds and periodic parameters.
    log_evidence, log_evidence_error : float, optional
        Natural logarithm of the evidence and its 1 sigma error, where the sampler finds them.
    covariance : ndarray, shape (npar, npar), optional
        Of the Gaussian that the values were drawn from, where they were.
    remarks : tuple of str
        What a reader should know.

    Examples
    --------
    >>> import numpy as np
    >>> from gastimator_bridge import sample
    >>> chains = sample(lambda x: -0.5 * float(x @ x), [0.5], steps=2000, seed=1, progress=False)
    >>> chains.values.shape, bool(abs(chains.flat().std() - 1) < 0.2)
    ((1, 1600, 1), True)
    """

    values: Array
    log_prob: Array
    accepted: NDArray[np.bool_]
    acceptance: Array
    best: Array
    best_log_prob: float
    r_hat: Array
    burn: int
    interrupted: bool
    n_evaluations: int
    n_nonfinite: int
    entropy: int
    space: Space
    log_evidence: float | None = None
    log_evidence_error: float | None = None
    covariance: Array | None = None
    remarks: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """Number of steps per chain."""
        return self.values.shape[1]

    def flat(self) -> Array:
        """All chains after each other, shape (chains * kept, npar)."""
        return self.values.reshape(-1, self.values.shape[2])

    def flat_log_prob(self) -> Array:
        """Log-probabilities in the order of `flat`, shape (chains * kept,)."""
        return self.log_prob.reshape(-1)

    def unwrapped(self) -> Array:
        """`values` with each periodic parameter within half a turn of its circular mean.

        Medians and standard deviations of an angle near its wrap are right on these; they may lie outside the bounds.
        """
        return unwrap(self.values, self.space)


def unwrap(values: Array, space: Space) -> Array:
    """Shift the periodic parameters of ``values`` (shape (..., npar)) to within half a turn of their circular mean."""
    if not space.periodic.any() or values.size == 0:
        return values
    centre = values.reshape(-1, space.size)[0].copy()
    for i in np.flatnonzero(space.periodic):
        turn = 2.0 * np.pi / space.span[i]
        centre[i] = np.angle(np.mean(np.exp(1j * turn * values[..., i]))) / turn
    middle = space.wrap(centre)
    return np.where(space.periodic, middle + space.offset(values, middle), values)


def split_r_hat(values: Array) -> Array:
    """Gelman-Rubin statistic, each chain cut in two halves (Gelman et al. 2013, Bayesian Data Analysis, eq. 11.4).

    Parameters
    ----------
    values : ndarray, shape (chains, kept, npar)
        Samples; the last one of an odd number is left out.

    Returns
    -------
    ndarray, shape (npar,)
        sqrt((n - 1) / n + B / (n W)), with B / n the variance of the means of the halves and W the mean of their
        variances. 1 for a parameter that never moves anywhere, infinite for one that is stuck in different places, NaN
        for fewer than 4 kept steps.

    Examples
    --------
    >>> import numpy as np
    >>> split_r_hat(np.array([[[0.0], [1.0], [0.0], [1.0]], [[5.0], [6.0], [5.0], [6.0]]])).round(1)
    array([4.1])
    """
    half = values.shape[1] // 2
    if half < 2:
        return np.full(values.shape[2], np.nan)
    parts = np.concatenate([values[:, :half], values[:, half : 2 * half]])
    within = parts.var(axis=1, ddof=1).mean(axis=0)
    between = parts.mean(axis=1).var(axis=0, ddof=1)
    ratio = np.where(between > 0, np.inf, 0.0)
    np.divide(between, within, out=ratio, where=within > 0)
    return np.where((within > 0) | (between > 0), np.sqrt((half - 1) / half + ratio), 1.0)
