"""Samplers behind one protocol: a posterior and a seed in, `Chains` out.

`SAMPLERS` has them by name. Each is a thin adapter over a library that is maintained elsewhere, but for ``gastimator``,
which is our own. All of them promise, and ``tests/contract/test_samplers.py`` tests:

- the same seed gives the same chains, bit for bit, for any number of processes;
- nothing is evaluated that the priors forbid, and no NaN or infinity reaches a library;
- worker processes share one copy of the data;
- Ctrl-C returns what was sampled.

zeus (no release since January 2023), pocomc (needs torch) and nautilus (scikit-learn) find what these three find: none
earns its place.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from gastimator_bridge.chains import Chains
from gastimator_bridge.metropolis import sample
from kinms.ensemble import plan_ensembles, sample_ensembles
from kinms.errors import InputError
from kinms.likelihood import Posterior
from kinms.nested import plan_runs, sample_nested
from kinms.records import FloatArray

__all__ = ["SAMPLERS", "Sampler"]

LogProb = Callable[[FloatArray], float]


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A way to sample a posterior, called as a function.

    Parameters
    ----------
    name : str
        As in ``fit(method=...)``.
    run : callable
        Does it.
    plan : callable
        Of number of parameters, steps, burn-in and chains: what will be done, in words.
    package : str
        What has to be installed, besides what kinms itself needs.
    multimodal : bool
        Whether it finds modes that are far apart, and their shares.
    """

    name: str
    run: Callable[..., Chains]
    plan: Callable[[int, int, int, int], str]
    package: str = ""
    multimodal: bool = False

    def check(self) -> None:
        """Raise InputError, with the line that installs it, if the package is not there."""
        if self.package and importlib.util.find_spec(self.package) is None:
            others = " or ".join(repr(sampler.name) for sampler in SAMPLERS.values() if not sampler.package)
            raise InputError(
                "method",
                f"{self.name!r}, and the package {self.package} is not installed",
                f"{others}, or {self.package} installed",
                f'Install it with: pip install "kinms[{self.package}]"',
            )

    def __call__(
        self,
        posterior: Posterior,
        *,
        steps: int,
        burn: int,
        chains: int,
        seed: int | np.random.SeedSequence,
        processes: int = 1,
        progress: bool = True,
        log_prob: LogProb | None = None,
        **options: Any,
    ) -> Chains:
        """Sample a posterior.

        Parameters
        ----------
        posterior : Posterior
            Its priors, start and bounds.
        steps, burn : int
            Steps per chain (or walker), burn-in included, and those of burn-in, where the sampler knows such.
        chains : int
            Independent repetitions; what one consists of is for the sampler to say.
        seed : int or numpy.random.SeedSequence
            The same seed gives the same bits.
        processes : int
            Worker processes; never changes the result.
        progress : bool
            Whether to show a progress bar.
        log_prob : callable, optional
            Evaluated in place of the posterior, of which it must have the values (`kinms.checkpoint.Recorded`).
        **options
            Of this sampler alone.

        Raises
        ------
        InputError
            If the sampler's package is not installed.
        SamplingError
            If it cannot go on; ``partial`` may hold `Chains`.
        """
        self.check()
        work = {"steps": steps, "burn": burn, "chains": chains, "seed": seed, "processes": processes}
        target = posterior if log_prob is None else log_prob
        return self.run(posterior, target, **work, progress=progress, **options)


def _gastimator(posterior: Posterior, log_prob: LogProb, **options: Any) -> Chains:
    """Adaptive Metropolis, see `gastimator_bridge.sample`: independent chains; the first begins at the start."""
    return sample(
        log_prob,
        posterior.start,
        lower=posterior.lower,
        upper=posterior.upper,
        scale=posterior.scale,
        periodic=posterior.periodic,
        labels=posterior.labels,
        **options,
    )


def _plan_chains(npar: int, steps: int, burn: int, chains: int) -> str:
    return f"{chains} chains of {steps} steps, {burn} of them burn-in"


#: Name -> sampler.
SAMPLERS: dict[str, Sampler] = {
    sampler.name: sampler
    for sampler in (
        Sampler("gastimator", _gastimator, _plan_chains),
        Sampler("emcee", sample_ensembles, plan_ensembles, package="emcee"),
        Sampler("dynesty", sample_nested, plan_runs, package="dynesty", multimodal=True),
    )
}
