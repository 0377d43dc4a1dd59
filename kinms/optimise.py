"""The most probable disc, and its errors from the curvature there: a fit in seconds.

Gauss-Newton steps with the damping of Levenberg (1944) and Marquardt (1963), inside the bounds of the priors. The
normal equations are summed up column by column, so that a large cube needs no matrix of its own; each step is a bounded
least-squares problem in the parameters alone, solved by `scipy.optimize.lsq_linear`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import scipy  # loads its parts when they are first asked for

from gastimator_bridge.chains import Chains
from gastimator_bridge.space import Space
from kinms.cube import Cube
from kinms.derivatives import slopes
from kinms.errors import InputError, SamplingError
from kinms.likelihood import CorrelatedNoise, StudentT, WhiteNoise
from kinms.noise import detection_mask
from kinms.posterior import DiscPosterior
from kinms.records import FloatArray, check_seed

__all__ = ["Optimum", "laplace", "optimise"]

#: Draws of a Laplace approximation, for figures and intervals of what depends on the parameters.
DRAWS = 4000

#: Steps before it gives up.
MOST_STEPS = 80
#: A change of -2 log-probability that is worth no further step: a thirtieth of a sigma.
WORTH = 1e-3
#: Part of the signal's chi-squared that a fit has to explain before other starts are left untried.
EXPLAINED = 0.5
#: Voxels whose whitened slopes are multiplied at a time.
BLOCK = 1 << 17


@dataclasses.dataclass(frozen=True)
class Optimum:
    """The most probable vector and the Gaussian round it.

    Parameters
    ----------
    x : ndarray, shape (npar,)
        The vector.
    covariance : ndarray, shape (npar, npar)
        Inverse of half the curvature of -2 log-probability there: of Laplace's approximation.
    log_prob : float
        There.
    converged : bool
        Whether no step led any higher.
    n_evaluations : int
        Models that were evaluated, slopes included.
    messages : tuple of str
        What was done, and what a reader should know.
    """

    x: FloatArray
    covariance: FloatArray
    log_prob: float
    converged: bool
    n_evaluations: int
    messages: tuple[str, ...]

    @property
    def sigma(self) -> FloatArray:
        """1 sigma of each parameter."""
        return np.sqrt(np.diag(self.covariance))


def optimise(posterior: DiscPosterior, starts: int = 8) -> Optimum:
    """Find the most probable disc.

    Parameters
    ----------
    posterior : DiscPosterior
        Its start is where the search begins.
    starts : int
        Other starts that may be tried where the first leads to a disc that leaves much of the signal: turned by 180 and
        90 degrees, faster and slower, more and less inclined.

    Returns
    -------
    Optimum

    Raises
    ------
    InputError
        If a parameter changes nothing in the model.
    SamplingError
        If the log-probability at the start is not finite.

    Notes
    -----
    Laplace's approximation takes the posterior for a Gaussian: right where the data determine all parameters well, too
    narrow or too wide where they are degenerate or lie at a bound, which the messages say.

    Examples
    --------
    >>> from kinms.cube import simulate
    >>> from kinms.disc import Disc
    >>> from kinms.grid import Beam, CubeGrid
    >>> from kinms.priors import Uniform
    >>> from kinms.profiles import ArctanCurve, ExponentialDisc
    >>> disc = Disc(surface_brightness=ExponentialDisc(3.0), rotation=ArctanCurve(100.0, 1.0), inc=40, pa=30, flux=5)
    >>> data = simulate(disc, CubeGrid((16, 48, 48), 1.0, 20.0), Beam(4.0)).replace(rms=1e-3)
    >>> found = optimise(DiscPosterior(disc.replace(pa=50.0), data, {"pa": Uniform(0, 360, periodic=True)}))
    >>> found.converged, round(float(found.x[0]), 2)
    (True, 30.0)
    """
    search = _Search(posterior)
    best = search.climb(posterior.start)
    tried = 1
    if search.explained(best[0]) < EXPLAINED:
        for start in _other_starts(posterior, starts):
            found = search.climb(start)
            tried += 1
            if found[1] < best[1]:
                best = found
            if search.explained(best[0]) >= EXPLAINED:
                break
    x, value, converged = best
    covariance, remarks = search.covariance(x)
    messages = [f"{'Converged' if converged else 'Not converged'} after {search.n_evaluations} models"]
    if tried > 1:
        messages[0] += f" from {tried} starts"
    messages[0] += f"; the disc explains {100.0 * max(search.explained(x), 0.0):.0f} % of the signal."
    return Optimum(x, covariance, -0.5 * value, converged, search.n_evaluations, (*messages, *remarks))


class _Search:
    """Steps of a posterior, whose noise is white in some units or nearly so."""

    def __init__(self, posterior: DiscPosterior) -> None:
        self.posterior = posterior
        noise = posterior.likelihood
        if not isinstance(noise, (WhiteNoise, CorrelatedNoise, StudentT)):
            allowed = "WhiteNoise, InflatedNoise, CorrelatedNoise or StudentT"
            raise InputError("the likelihood", type(noise).__name__, allowed, "Use a sampler.")
        self.noise = noise
        self.white = noise.white if isinstance(noise, StudentT) else noise
        self.data = self.white.whitened(self.white.data)
        self.share = 1.0 / self.white.inflation.factor**2
        # A step goes no further than the priors' central part is wide: laws are not linear beyond.
        widths = np.array([np.subtract(*p.prior.ppf([0.84, 0.16])) for p in posterior.parameters])
        self.most = np.abs(widths)
        self.n_evaluations = 0
        self._signal: np.ndarray | None = None

    def value(self, x: FloatArray) -> float:
        """-2 log-probability."""
        self.n_evaluations += 1
        return -2.0 * self.posterior(x)

    def explained(self, x: FloatArray) -> float:
        """Part of the power of the detected signal that the disc explains: 1 at best, or where nothing is detected."""
        model = self.posterior.predict.model
        if self._signal is None:
            cube = Cube(self.white.data, model.grid, model.beam)
            self._signal = detection_mask(cube) & (cube.data != 0.0)
        data = self.white.data[self._signal].astype(float)
        residual = data - model(self.posterior.disc_at(x))[self._signal]
        noise = data.size * self.white.error**2
        power = float((data**2).sum()) - noise
        return 1.0 - max(float((residual**2).sum()) - noise, 0.0) / power if power > 0.0 else 1.0

    def climb(self, start: FloatArray) -> tuple[FloatArray, float, bool]:
        """Return the vector that is reached from a start, -2 log-probability there, and whether nothing is higher."""
        x = np.array(start, dtype=float)
        value = self.value(x)
        if not np.isfinite(value):
            raise SamplingError("the log-probability is not finite at the start. Start where the priors allow it.")
        damping = 1e-3
        for _ in range(MOST_STEPS):
            curvature, slope = self.expansion(x)
            while True:
                step = self.step(x, curvature, slope, damping)
                expected = -float(2.0 * slope @ step + step @ curvature @ step)
                if expected < WORTH:
                    return x, value, True
                trial = self.posterior.wrap(self.inside(x + step))
                found = self.value(trial)
                if found < value:
                    break
                damping = max(10.0 * damping, 1e-4)
                if damping > 1e8:
                    # No step, however short, leads higher although the slope says so: as smooth as the model is.
                    return x, value, expected < 1.0
            gained, x, value = value - found, trial, found
            # A step that gains much less than the parabola promised went too far along a curved valley.
            if gained < 0.25 * expected:
                damping = max(6.0 * damping, 1e-2)
            elif gained > 0.75 * expected:
                damping = max(0.2 * damping, 1e-7)
            if gained < 0.1 * WORTH:
                return x, value, True
        return x, value, False

    def step(self, x: FloatArray, curvature: FloatArray, slope: FloatArray, damping: float) -> FloatArray:
        """The step to the least of the damped parabola within the bounds, and not too far."""
        size = np.sqrt(np.maximum(np.diag(curvature), 1e-300))
        # In units of each parameter's own sigma the equations are as well conditioned as they can be.
        scaled = curvature / np.outer(size, size) + damping * np.eye(x.size)
        root = np.linalg.cholesky(scaled + 1e-12 * np.eye(x.size))
        target = scipy.linalg.solve_triangular(root, -slope / size, lower=True)
        free = self.posterior.periodic
        low = np.where(free, -self.most, np.maximum(self.posterior.lower - x, -self.most))
        high = np.where(free, self.most, np.minimum(self.posterior.upper - x, self.most))
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
        gap = high - low
        low, high = low - 1e-12 * gap - 1e-300, high + 1e-12 * gap + 1e-300
        found = scipy.optimize.lsq_linear(root.T, target, (low * size, high * size), method="bvls")
        return np.asarray(found.x / size)

    def inside(self, x: FloatArray) -> FloatArray:
        """Bounds are met to the last bit."""
        free = self.posterior.periodic
        return np.where(free, x, np.clip(x, self.posterior.lower, self.posterior.upper))

    def expansion(self, x: FloatArray, bent: bool = False) -> tuple[FloatArray, FloatArray]:
        """Half the curvature and half the slope of -2 log-probability, of Gauss and Newton.

        With heavy tails the curvature is that of the parabola that a step goes by, which lies above -2 log-probability;
        or, where ``bent``, of that itself: smaller, and not always positive.
        """
        posterior = self.posterior
        disc = posterior.disc_at(x)
        model = self.white.whitened(posterior.predict.model(disc))
        columns = [self.white.whitened(cube) for cube in slopes(posterior.predict.model, disc, posterior.labels)]
        self.n_evaluations += len(columns) + 1
        residual = self.data - model
        weight = None
        if isinstance(self.noise, StudentT):
            weight = self.noise.weights_at(residual)
            if bent:
                square = residual.astype(float) ** 2
                weight = weight * (self.noise.freedom - square) / (self.noise.freedom + square)
        if posterior.flux != "given":
            # The flux follows every step: what it can do for a parameter is no slope of that.
            norm = max(_dot(model, model, weight), 1e-300)
            columns = [column - np.float32(_dot(model, column, weight) / norm) * model for column in columns]
        n = len(columns)
        curvature, slope = np.zeros((n, n)), np.zeros(n)
        for begin in range(0, residual.size, BLOCK):
            part = slice(begin, begin + BLOCK)
            rows = np.array([column[part] for column in columns], dtype=float)
            weighted = rows if weight is None else rows * weight[part]
            curvature += np.einsum("ai,bi->ab", weighted, rows)
            slope -= np.einsum("ai,i->a", weighted, residual[part])
        for k, parameter in enumerate(posterior.parameters):
            if curvature[k, k] == 0.0:
                fix = "Leave it out of the free parameters, or start where the disc meets the data."
                raise InputError(parameter.name, "a parameter that changes nothing in the model", "one that does", fix)
        curvature, slope = self.share * curvature, self.share * slope
        for k, bend, push in self._priors(x):
            curvature[k, k] += bend
            slope[k] += push
        return curvature, slope

    def _priors(self, x: FloatArray) -> Iterator[tuple[int, float, float]]:
        """Half the curvature and half the slope of -2 log prior of those that are not flat, by differences."""
        for k, parameter in enumerate(self.posterior.parameters):
            low, high = parameter.prior.bounds
            h = 1e-3 * self.most[k]
            middle = float(np.clip(x[k], low + h, high - h))
            left, here, right = -parameter.prior.log_pdf([middle - h, middle, middle + h])
            if np.isfinite(left + here + right) and (left != here or right != here):
                yield k, max((left - 2.0 * here + right) / h**2, 0.0), (right - left) / (2.0 * h)

    def covariance(self, x: FloatArray) -> tuple[FloatArray, list[str]]:
        """Laplace's covariance, and what to say of it."""
        curvature, _ = self.expansion(x, bent=True)
        if np.any(np.diag(curvature) <= 0.0):
            curvature, _ = self.expansion(x)
        posterior, remarks = self.posterior, []
        for k in np.flatnonzero(~posterior.periodic & ((x <= posterior.lower) | (x >= posterior.upper))).tolist():
            # No parabola fits there: a slope remains, or vanishes as that of a dispersion does at zero.
            curvature[k, k] = max(curvature[k, k], self.reach(x, k) ** -2)
        size = np.sqrt(np.diag(curvature))
        scaled = curvature / np.outer(size, size)
        values, vectors = np.linalg.eigh(scaled)
        # A combination that the data say nothing of is as wide as its prior.
        least = 1.0 / np.sum((vectors * (size * self.most)[:, None]) ** 2, axis=0)
        covariance = np.einsum("ak,k,bk->ab", vectors, 1.0 / np.maximum(values, least), vectors)
        covariance /= np.outer(size, size)
        sigma = np.sqrt(np.diag(covariance))
        for k, parameter in enumerate(posterior.parameters):
            low, high = parameter.prior.bounds
            near = min(x[k] - low, high - x[k])
            if not posterior.periodic[k] and near < sigma[k]:
                remarks.append(f"{parameter.name} lies within 1 sigma of a bound of its prior: use a sampler.")
        return covariance, remarks

    def reach(self, x: FloatArray, k: int) -> float:
        """How far inside of its bound a parameter costs one unit of -2 log-probability, the others held."""
        here, inwards = self.value(x), 1.0 if x[k] <= self.posterior.lower[k] else -1.0
        near, far = 0.0, float(self.most[k])
        for _ in range(12):
            middle = 0.5 * (near + far)
            trial = x.copy()
            trial[k] += inwards * middle
            near, far = (near, middle) if self.value(trial) - here > 1.0 else (middle, far)
        return far


def _dot(a: FloatArray, b: FloatArray, weight: FloatArray | None) -> float:
    total = 0.0
    for begin in range(0, a.size, BLOCK):
        part = slice(begin, begin + BLOCK)
        product = a[part].astype(float) * b[part]
        total += float(np.sum(product if weight is None else product * weight[part]))
    return total


def _other_starts(posterior: DiscPosterior, most: int) -> Iterator[FloatArray]:
    """The start turned, with other velocities, and seen from other sides; those that the priors allow."""
    changes: list[dict[str, tuple[float, float]]] = [
        {"pa": (1.0, 180.0)},
        {"pa": (1.0, 90.0)},
        {"pa": (1.0, -90.0)},
        {"rotation": (1.6, 0.0)},
        {"rotation": (0.6, 0.0)},
        {"inc": (1.0, 15.0)},
        {"inc": (1.0, -15.0)},
        {"pa": (1.0, 180.0), "rotation": (1.6, 0.0)},
    ]
    for change in changes[:most]:
        x = posterior.start.copy()
        for k, name in enumerate(posterior.labels):
            law, _, field = name.partition(".")
            kind = law if law != "rotation" or field.startswith(("v_max", "velocity", "mass")) else ""
            if kind in change:
                factor, shift = change[kind]
                x[k] = factor * x[k] + shift
        x = posterior.wrap(x)
        x = np.where(posterior.periodic, x, np.clip(x, posterior.lower, posterior.upper))
        if not np.array_equal(x, posterior.start) and np.isfinite(posterior(x)):
            yield x


def _possible(posterior: DiscPosterior, x: FloatArray, drawn: FloatArray) -> FloatArray:
    """Those draws that a disc can be: a `Normal` prior, for one, allows a negative dispersion."""
    disc = posterior.predict.disc_or_none
    if not len(drawn):
        return drawn
    for k in range(x.size):
        for end in (drawn[:, k].min(), drawn[:, k].max()):
            # Where the furthest draws are discs, all are: 4000 of them are not made to find that out.
            if disc(np.where(np.arange(x.size) == k, end, x)) is None:
                return drawn[[disc(one) is not None for one in drawn]]
    return drawn


def laplace(posterior: DiscPosterior, seed: int | np.random.SeedSequence = 0, draws: int = DRAWS) -> Chains:
    """Return draws of Laplace's approximation of a posterior, cut to what its priors allow.

    Parameters
    ----------
    posterior : DiscPosterior
    seed : int or numpy.random.SeedSequence
        The same seed gives the same draws.
    draws : int
        How many.

    Returns
    -------
    Chains
        One chain of independent draws; ``covariance`` is that of the Gaussian, and ``remarks`` what `optimise` said.
    """
    root = check_seed(seed)
    best = optimise(posterior)
    values, vectors = np.linalg.eigh(best.covariance)
    width = np.sqrt(np.maximum(values, 0.0))
    rng = np.random.default_rng(root.spawn(1)[0])
    kept = np.empty((0, best.x.size))
    for _ in range(50):
        normal = rng.standard_normal((draws, best.x.size))
        drawn = best.x + np.einsum("ak,nk->na", vectors * width, normal)
        for k, parameter in enumerate(posterior.parameters):
            drawn[:, k] = parameter.prior.wrap(drawn[:, k])
            drawn = drawn[parameter.prior.log_pdf(drawn[:, k]) > -np.inf]
        drawn = _possible(posterior, best.x, drawn)
        kept = np.concatenate([kept, drawn])[:draws]
        if len(kept) == draws:
            break
    space = Space(posterior.lower, posterior.upper, posterior.periodic)
    away = np.einsum("na,ak->nk", space.offset(kept, best.x), vectors) / np.where(width > 0.0, width, np.inf)
    log_prob = best.log_prob - 0.5 * np.einsum("nk,nk->n", away, away)
    return Chains(
        values=kept[None],
        log_prob=log_prob[None],
        accepted=np.ones((1, len(kept)), dtype=bool),
        acceptance=np.array([np.nan]),
        best=best.x,
        best_log_prob=best.log_prob,
        r_hat=np.full(best.x.size, np.nan),
        burn=0,
        interrupted=False,
        n_evaluations=best.n_evaluations,
        n_nonfinite=0,
        entropy=root.entropy,  # type: ignore[arg-type]
        space=space,
        covariance=best.covariance,
        remarks=best.messages,
    )
