"""Did the chains converge, and what did they find out: numbers, and a verdict in plain words.

The numbers are those of Vehtari et al. (2021, Bayesian Analysis 16, 667), computed by `arviz_stats`, which is loaded
when chains are first looked at.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from kinms.priors import Prior
from kinms.records import FloatArray

__all__ = [
    "CORRELATION_LIMIT",
    "ESS_LIMIT",
    "R_HAT_LIMIT",
    "Diagnostics",
    "Verdict",
    "degenerate_pairs",
    "diagnose",
    "judge",
    "peaks",
    "unconstrained",
    "unwrap",
]

#: Rank-normalised R-hat above which chains have not converged to one distribution. Halves of chains that hold n
#: independent samples each give R-hat of about sqrt(1 + 1/n) however well they mix: the 1.01 of Vehtari et al. asks for
#: n = 50, so 400 samples of four chains. With the two chains that are usual here, 1.05 asks for n = 10, which chance
#: does not exceed once there are `ESS_LIMIT` samples, and still refuses halves that differ by a third of sigma.
R_HAT_LIMIT = 1.05
#: Independent samples of every parameter (bulk effective sample size) that a converged fit has. The median is then
#: known to an eighth of sigma and each end of the 68 % interval to a sixth: errors of errors that no user would see.
#: Vehtari et al. ask for 50 per half of a chain, 400 over their four, so that R-hat itself is reliable at 1.01.
ESS_LIMIT = 100
#: Rank correlation, as a magnitude, from which on two parameters are called degenerate.
CORRELATION_LIMIT = 0.95
#: A posterior whose central 68 % are this part of the prior's or more was not narrowed by the data.
AS_WIDE = 0.9
#: Fewer steps per chain than this tell nothing about convergence.
FEWEST = 20
#: Chains further apart than this, in units of their own scatter, sit in places of their own.
APART = 3.0
#: A chain is at rest in one place if it alone has an R-hat below this.
AT_REST = 1.3
#: More times the steps than this is no advice.
MOST_STEPS = 30.0
#: Names that a sentence lists before it only counts.
LISTED = 3
#: Central 68 %: one sigma of a Gaussian on either side.
_LOW, _HIGH = 0.15865525393145708, 0.8413447460685429


def unwrap(samples: FloatArray, prior: Prior) -> FloatArray:
    """Return samples of a periodic parameter moved by whole periods to within half a period of their circular mean.

    Samples at 359 and 1 degree then lie side by side. Those of other parameters come back as they are.

    Parameters
    ----------
    samples : ndarray, any shape
        In the range of the prior.
    prior : Prior
        Tells whether the parameter is periodic, and its period.
    """
    if not prior.is_periodic or samples.size == 0:
        return samples
    low, high = prior.bounds
    period = high - low
    phase = np.exp(2j * np.pi * (samples - low) / period)
    # The mean itself in range, so that plots show the numbers that tables give.
    mean = prior.wrap(low + np.angle(phase.mean()) / (2.0 * np.pi) * period)
    return np.asarray(mean + np.mod(samples - mean + 0.5 * period, period) - 0.5 * period)


@dataclasses.dataclass(frozen=True, eq=False)
class Diagnostics:
    """How well chains agree, arrays of shape (npar,). NaN where there is too little to tell.

    Parameters
    ----------
    r_hat : ndarray
        Rank-normalised split R-hat, the larger one of location and scale; infinite for chains at rest in different
        places.
    ess_bulk, ess_tail : ndarray
        Independent samples, of all chains together, that determine the middle and the 5 and 95 % quantiles as well.
    tau : ndarray
        Integrated autocorrelation time, steps: all samples over those that determine the mean as well.
    """

    r_hat: FloatArray
    ess_bulk: FloatArray
    ess_tail: FloatArray
    tau: FloatArray

    @classmethod
    def unknown(cls, npar: int) -> Diagnostics:
        """Return NaN for everything."""
        return cls(*(np.full(npar, np.nan) for _ in range(4)))


def diagnose(chain: FloatArray, priors: Sequence[Prior]) -> Diagnostics:
    """Measure the convergence of chains.

    Parameters
    ----------
    chain : ndarray, shape (chains, steps, npar)
        Samples after burn-in, repeats included. A single chain is compared with itself, half with half.
    priors : sequence of Prior
        One per parameter; periodic ones are unwrapped first.

    Returns
    -------
    Diagnostics
        A parameter that never moved has NaN.

    Examples
    --------
    >>> from kinms.priors import Normal
    >>> found = diagnose(np.random.default_rng(1).normal(size=(2, 500, 1)), [Normal(0, 1)])
    >>> bool(found.r_hat[0] < 1.02), bool(600 < found.ess_bulk[0] < 1400), bool(0.7 < found.tau[0] < 1.6)
    (True, True, True)
    """
    chains, steps, npar = chain.shape
    found = Diagnostics.unknown(npar)
    if chains == 0 or steps < FEWEST:
        return found
    from arviz_stats.base import array_stats

    for k, prior in enumerate(priors):
        values = unwrap(chain[..., k], prior)
        if not np.isfinite(values).all() or np.ptp(values) == 0.0:
            continue
        found.r_hat[k] = _r_hat(values)
        found.ess_bulk[k] = array_stats.ess(values, method="bulk")
        found.ess_tail[k] = array_stats.ess(values, method="tail", prob=(0.05, 0.95))
        found.tau[k] = values.size / array_stats.ess(values, method="mean")
    return found


def _r_hat(values: FloatArray) -> float:
    from arviz_stats.base import array_stats

    if len(values) == 1:  # arviz compares two chains at least
        half = values.shape[1] // 2
        values = np.stack([values[0, :half], values[0, -half:]])
    if not np.ptp(values, axis=1).any():
        return np.inf
    return float(array_stats.rhat(values, method="rank"))


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a fit converged.

    Parameters
    ----------
    converged : bool or None
        None where that cannot be told.
    text : str
        In words; says what to do if it did not.
    """

    converged: bool | None
    text: str


def judge(
    names: Sequence[str],
    chain: FloatArray,
    priors: Sequence[Prior],
    found: Diagnostics,
    burn: int = 0,
    nested: bool = False,
) -> Verdict:
    """Say in words whether chains converged, and what to do if they did not.

    Parameters
    ----------
    names, chain, priors
        As for `diagnose`.
    found : Diagnostics
        Of this chain.
    burn : int
        Steps before it, for the number of steps that is advised.
    nested : bool
        Whether chains are draws of nested sampling runs, which end by themselves: more of them are advised.

    Examples
    --------
    >>> from kinms.priors import Normal
    >>> chain = np.random.default_rng(1).normal(size=(2, 500, 1))
    >>> judge(["inc"], chain, [Normal(0, 1)], diagnose(chain, [Normal(0, 1)])).converged
    True
    """
    if not np.isfinite(found.ess_bulk).any() and not np.isinf(found.r_hat).any():
        return _too_little(names, chain)
    still = [name for k, name in enumerate(names) if np.ptp(chain[..., k]) == 0.0]
    if still:
        return Verdict(False, f"Not converged: {_listed(still)} never moved. Start elsewhere, or widen the prior.")
    stuck = np.flatnonzero(np.ptp(chain, axis=1).max(axis=1) == 0.0)
    if stuck.size:
        which = _listed([str(k + 1) for k in stuck])
        chains = f"chain{'s' if stuck.size > 1 else ''} {which} of {len(chain)}"
        return Verdict(False, f"Not converged: {chains} never moved. Start elsewhere, or take more steps.")
    bad = [k for k, value in enumerate(found.r_hat) if value > R_HAT_LIMIT]
    modes = _places(names, chain, priors, bad)
    if modes:
        return Verdict(False, f"Not converged: {modes}")
    few = [k for k, value in enumerate(found.ess_bulk) if value < ESS_LIMIT]
    if not bad and not few:
        alone = "" if len(chain) > 1 else " (one chain alone: more would tell better)"
        least = int(np.nanmin(found.ess_bulk))
        text = f"R-hat at most {np.nanmax(found.r_hat):.3f}, {least} or more independent samples of each parameter"
        return Verdict(True, f"Converged: {text}{alone}.")
    parts = []
    if bad:
        worst = float(np.max(found.r_hat[bad]))
        parts.append(f"Not converged in {_listed([names[k] for k in _worst(bad, -found.r_hat)])}: R-hat {worst:.2f}")
    else:
        least = math.floor(found.ess_bulk[few].min())
        ordered = [names[k] for k in _worst(few, found.ess_bulk)]
        parts.append(f"Not converged: only {least} independent samples of {_listed(ordered)}, {ESS_LIMIT} are needed")
    length = len(chain) if nested else burn + chain.shape[1]
    return Verdict(False, f"{parts[0]}; {_advice(found, bad, few, length, 'chains' if nested else 'steps')}.")


def _too_little(names: Sequence[str], chain: FloatArray) -> Verdict:
    steps = chain.shape[1]
    if len(chain) and steps >= FEWEST and all(np.ptp(chain[..., k]) == 0.0 for k in range(len(names))):
        return Verdict(False, "Not converged: the chains never moved. Start elsewhere, or widen the priors.")
    return Verdict(None, f"Whether the chains converged cannot be told: {steps} samples each are too few.")


def _worst(which: Sequence[int], value: FloatArray) -> list[int]:
    return sorted(which, key=lambda k: float(value[k]))


def _listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``, or ``a, b, c and 4 more``."""
    shown, rest = list(names[:LISTED]), len(names) - LISTED
    if rest > 0:
        return f"{', '.join(shown)} and {rest} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _advice(found: Diagnostics, bad: Sequence[int], few: Sequence[int], number: int, what: str) -> str:
    """How many steps or chains would do: R-hat^2 - 1 falls and independent samples grow in proportion to them."""
    factors = [(found.r_hat[k] ** 2 - 1.0) / (R_HAT_LIMIT**2 - 1.0) for k in bad]
    factors += [ESS_LIMIT / found.ess_bulk[k] for k in few]
    factor = max(float(np.max(factors)), 1.5)
    if not factor <= MOST_STEPS:
        return f"start closer to the data, free fewer parameters, or take far more {what}"
    times = f"{factor:.2g}" if factor < 1.95 else f"{math.ceil(factor - 0.05):d}"
    # Two digits, rounded up.
    unit = 10 ** max(math.floor(math.log10(float(times) * number)) - 1, 0)
    return f"take about {times} times as many {what} ({what} = {math.ceil(float(times) * number / unit) * unit})"


def _places(names: Sequence[str], chain: FloatArray, priors: Sequence[Prior], bad: Sequence[int]) -> str:
    """Say so if every chain is at rest, but not all in the same place; empty otherwise."""
    if len(chain) < 2 or chain.shape[1] < 2 * FEWEST:
        return ""
    found = []
    for k in bad:
        values = unwrap(chain[..., k], priors[k])
        scatter = values.std(axis=1)
        if not scatter.all() or max(_r_hat(row[None]) for row in values) > AT_REST:
            continue
        middles = np.median(values, axis=1)
        order = np.argsort(middles)
        gaps = np.diff(middles[order]) / np.maximum(scatter[order][1:], scatter[order][:-1])
        cut = int(np.argmax(gaps))
        if gaps[cut] > APART:
            low, high = np.median(values[order[: cut + 1]]), np.median(values[order[cut + 1 :]])
            found.append((float(gaps[cut]), names[k], f"{low:.4g}", f"{high:.4g}"))
    if not found:
        return ""
    _, name, low_text, high_text = max(found)
    return (
        f"the chains rest in different places ({name} near {low_text} and near {high_text}): the posterior has several "
        "peaks. Narrow the prior to the one wanted, or take a sampler that finds all."
    )


def degenerate_pairs(samples: FloatArray, names: Sequence[str]) -> list[tuple[str, str, float]]:
    """Return the pairs of parameters with a rank correlation beyond `CORRELATION_LIMIT`, the closest first.

    Parameters
    ----------
    samples : ndarray, shape (n, npar)
        Periodic parameters unwrapped.
    names : sequence of str
        Theirs.

    Returns
    -------
    list of (str, str, float)
        Both names and the rank correlation.

    Examples
    --------
    >>> inc = np.random.default_rng(1).normal(20, 3, size=500)
    >>> degenerate_pairs(np.column_stack([inc, 1 / np.sin(np.radians(inc))]), ["inc", "v_max"])
    [('inc', 'v_max', -1.0)]
    """
    n, npar = samples.shape
    moves = np.flatnonzero(np.ptp(samples, axis=0) > 0.0) if n > max(npar, 20) else np.array([], dtype=int)
    if moves.size < 2:
        return []
    ranks = np.argsort(np.argsort(samples[:, moves], axis=0, kind="stable"), axis=0, kind="stable").astype(float)
    table = np.corrcoef(ranks, rowvar=False)
    pairs = [
        (names[moves[i]], names[moves[j]], round(float(table[i, j]), 12))
        for i in range(moves.size)
        for j in range(i + 1, moves.size)
        if abs(table[i, j]) > CORRELATION_LIMIT
    ]
    return sorted(pairs, key=lambda pair: -abs(pair[2]))


def unconstrained(samples: FloatArray, names: Sequence[str], priors: Sequence[Prior]) -> list[str]:
    """Return the parameters whose posterior is as wide as their prior: the data say nothing about them.

    Parameters
    ----------
    samples : ndarray, shape (n, npar)
        Periodic parameters unwrapped.
    names, priors
        Theirs.
    """
    if len(samples) < 20:
        return []
    ends = np.quantile(samples, [_LOW, _HIGH], axis=0)
    found = []
    for name, prior, width in zip(names, priors, ends[1] - ends[0], strict=True):
        low, high = prior.ppf([_LOW, _HIGH])
        if width >= AS_WIDE * (high - low):
            found.append(name)
    return found


def peaks(samples: FloatArray, independent: float) -> tuple[float, float] | None:
    """Return where the two highest peaks of a distribution are, or None if it has one.

    Two peaks are two if the density between them falls to less than half of the lower one, with a tenth of all samples
    on either side.

    Parameters
    ----------
    samples : ndarray, shape (n,)
        Of one parameter.
    independent : float
        How many of them are independent: fewer are smoothed more (Silverman 1986, eq. 3.31).

    Examples
    --------
    >>> draws = np.random.default_rng(1).normal(size=4000)
    >>> peaks(draws, 4000) is None
    True
    >>> low, high = peaks(np.where(np.arange(4000) % 2, draws - 4, draws + 4), 4000)
    >>> round(low), round(high)
    (-4, 4)
    """
    if not independent >= ESS_LIMIT:
        return None
    low, high = np.quantile(samples, [0.005, 0.995])
    quarter, three = np.quantile(samples, [0.25, 0.75])
    spread = min(float(samples.std()), float(three - quarter) / 1.34)
    if not (high > low and spread > 0.0):
        return None
    width = 0.9 * spread * min(independent, len(samples)) ** -0.2
    edges = np.arange(low - 3.0 * width, high + 3.0 * width, max(width / 4.0, (high - low) / 4000.0))
    density, edges = np.histogram(samples, edges)
    middle = 0.5 * (edges[1:] + edges[:-1])
    reach = np.arange(-12, 13) * (edges[1] - edges[0]) / width
    smooth = np.convolve(density, np.exp(-0.5 * reach**2), mode="same")
    tops = np.flatnonzero((smooth[1:-1] > smooth[:-2]) & (smooth[1:-1] >= smooth[2:])) + 1
    if not tops.size:
        return None
    first = tops[np.argmax(smooth[tops])]
    for other in sorted(tops, key=lambda k: -float(smooth[k])):
        left, right = min(first, other), max(first, other)
        valley = left + int(np.argmin(smooth[left : right + 1]))
        part = density[:valley].sum() / density.sum()
        if smooth[valley] < 0.5 * smooth[other] and 0.1 <= part <= 0.9:
            return float(middle[left]), float(middle[right])
    return None
