"""One contract for every sampler: its statistics are those of the target, and nothing but the seed counts."""

from __future__ import annotations

import importlib.util
from itertools import pairwise

import numpy as np
import pytest
from targets import CENTRE, CORRELATED, HALF_QUANTILES, correlated, gaussian, half_normal

from kinms.checkpoint import Ledger
from kinms.errors import InputError, KinmsWarning, SamplingError
from kinms.likelihood import Parameter, Posterior
from kinms.priors import Normal, Uniform
from kinms.samplers import SAMPLERS


def as_it_is(x):
    return x


def posterior_of(log_like, start, priors):
    """A posterior whose likelihood is a function of the vector itself."""
    names = [f"p{k}" for k in range(len(start))]
    parameters = [Parameter(*each) for each in zip(names, priors, start, strict=True)]
    return Posterior(parameters, as_it_is, log_like)


def box(log_like, start, low, high):
    return posterior_of(log_like, start, [Uniform(low, high)] * len(start))


def banana(x):
    return -0.5 * (x[0] ** 2 + 2.0 * (x[1] - x[0] ** 2) ** 2)


# Of a banana: x0 is normal; x1 - x0^2 is normal with variance 0.5, and x0^2 has mean 1 and variance 2.
SHAPES = {
    "gaussian": (box(gaussian, [9.0], -40.0, 40.0), [3.0], [2.0]),
    "correlated": (box(correlated(), CENTRE + 4.0, -40.0, 40.0), CENTRE, np.sqrt(np.diag(CORRELATED))),
    "banana": (box(banana, [2.0, 1.0], -10.0, 30.0), [0.0, 1.0], [1.0, np.sqrt(2.5)]),
    "half-normal": (box(half_normal, [3.0], 0.0, 40.0), [np.sqrt(2 / np.pi)], [np.sqrt(1 - 2 / np.pi)]),
}
# Enough for 1500 independent samples: autocorrelation times, measured, are up to 42 (gastimator, banana) and 30
# (emcee), of which a run has 76000 and 57600 states. The samples of dynesty are independent.
LENGTHS = {
    "gastimator": {"steps": 40_000, "burn": 2000, "chains": 2},
    "emcee": {"steps": 2000, "burn": 200, "chains": 2},
    "dynesty": {"steps": 2, "burn": 0, "chains": 2, "live_points": 150},
}
SHORT = {
    "gastimator": {"steps": 300, "burn": 100, "chains": 2},
    "emcee": {"steps": 40, "burn": 10, "chains": 2},
    "dynesty": {"steps": 2, "burn": 0, "chains": 1, "live_points": 40},
}
FIELDS = ("values", "log_prob", "accepted", "acceptance", "best", "r_hat")


@pytest.fixture(params=SAMPLERS)
def name(request):
    return request.param


def run(name, posterior, lengths=SHORT, **options):
    return SAMPLERS[name](posterior, **{**lengths[name], "seed": 3, "progress": False, **options})


def assert_same_bits(one, other):
    for field in FIELDS:
        assert getattr(one, field).tobytes() == getattr(other, field).tobytes(), field
    for field in ("best_log_prob", "n_evaluations", "n_nonfinite", "log_evidence", "log_evidence_error"):
        assert getattr(one, field) == getattr(other, field), field


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(name, shape):
    posterior, mean, sd = SHAPES[shape]
    chains = run(name, posterior, LENGTHS)
    # Errors of the mean sigma / sqrt(n), of sigma (of a banana's, with its tail, twice) / sqrt(2 n); four of them.
    flat = chains.flat()
    n = min(1500, len(flat))
    assert n > 500
    assert np.abs((flat.mean(axis=0) - mean) / sd).max() < 4 / np.sqrt(n)
    assert np.abs(flat.std(axis=0) / sd - 1.0).max() < (2 if shape == "banana" else 1) * 4 / np.sqrt(2 * n)
    assert chains.values.shape[1:] == (chains.kept, len(mean))
    assert not chains.interrupted
    # Log-probabilities are those of the samples, and the best is the best.
    some = [(k, j) for k in (0, len(chains.values) - 1) for j in (0, chains.kept - 1)]
    found = [posterior(chains.values[k]) for k in some]
    assert [chains.log_prob[k] for k in some] == pytest.approx(found, rel=1e-9, abs=1e-9)
    assert chains.best_log_prob == pytest.approx(posterior(chains.best), abs=1e-9)
    assert chains.best_log_prob >= chains.log_prob.max() - 1e-9
    if shape == "half-normal":
        assert flat.min() >= 0.0
        assert np.abs((np.quantile(flat, [0.16, 0.5, 0.84]) - HALF_QUANTILES) / sd).max() < 4 * 1.51 / np.sqrt(n)
    if shape == "correlated" and chains.log_evidence is not None:
        truth = 0.5 * np.linalg.slogdet(2 * np.pi * CORRELATED)[1] - 5 * np.log(80.0)
        assert abs(chains.log_evidence - truth) < 4 * chains.log_evidence_error < 2.0


def test_two_modes(name):
    if not SAMPLERS[name].multimodal:
        assert name in ("gastimator", "emcee")  # which do not claim to find them
        return

    def log_like(x):
        there, here = ((x + 5.0) ** 2).sum(), ((x - 5.0) ** 2).sum()
        return float(np.logaddexp(np.log(0.7) - 2.0 * there, np.log(0.3) - 2.0 * here)) + np.log(2 / np.pi)

    chains = run(name, box(log_like, [5.0, 5.0], -10.0, 10.0), LENGTHS)
    # Each mode takes e^-H of the volume, H = 4.5 nats, found to sqrt(H / 150 points): 17 % of 0.3, three times.
    assert np.mean(chains.flat()[:, 0] > 0.0) == pytest.approx(0.3, abs=3 * 0.17 * 0.3)
    assert chains.log_evidence == pytest.approx(-np.log(400.0), abs=4 * chains.log_evidence_error)


def test_angle_across_its_wrap(name):
    """A von Mises density of concentration 1 round 2 degrees, from a start far away."""
    angle = Uniform(0, 360, periodic=True)
    posterior = posterior_of(lambda x: float(np.cos(np.radians(x[0] - 2.0))), [300.0], [angle])
    chains = run(name, posterior, LENGTHS)
    values = chains.flat()[:, 0]
    assert 0.0 <= values.min() < values.max() < 360.0
    # Mean resultant I1(1) / I0(1) = 0.446; each component scatters by less than 0.75, 300 times independently.
    assert np.mean(np.exp(1j * np.radians(values))) == pytest.approx(
        0.44639 * np.exp(1j * np.radians(2)), abs=4 * 0.75 / np.sqrt(300)
    )
    around = (values - 2.0 + 180.0) % 360.0 - 180.0
    density, edges = np.histogram(around, bins=6, range=(-180, 180), density=True)
    expected = np.array([np.exp(np.cos(np.radians(np.linspace(*ends, 50)))).mean() for ends in pairwise(edges)])
    # The emptiest sixth has 6 % of 300 samples: to 24 %, three times.
    assert density == pytest.approx(expected / (360.0 * 1.26607), rel=0.72)


def curved_and_forbidden(x):
    """A banana beyond an edge of NaN, on an angle: all that could make processes differ."""
    turned = (x[1] + 180.0) % 360.0 - 180.0
    return -0.5 * (x[0] ** 2 + (turned / 20.0 - x[0] ** 2) ** 2) if x[0] < 2.0 else np.nan


def awkward():
    return posterior_of(curved_and_forbidden, [1.0, 10.0], [Normal(0.5, 3.0), Uniform(0, 360, periodic=True)])


def test_seed_alone_counts(name):
    one, two = run(name, awkward()), run(name, awkward(), processes=2)
    assert_same_bits(one, two)
    assert one.n_evaluations > 100
    assert not np.array_equal(one.values, run(name, awkward(), seed=4).values)
    assert one.entropy == 3


class Raw:
    """A log-probability that knows no prior but what it was given, and is not finite here and there."""

    def __init__(self, posterior, value):
        self.posterior, self.value = posterior, value

    def __call__(self, x):
        assert np.isfinite(x).all()
        assert self.posterior.log_prior(x) > -np.inf  # nothing forbidden is evaluated
        return self.posterior(x) if x[0] < 1.0 else self.value


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_not_finite_is_impossible_counted_and_said_once(name, value, processes):
    posterior = box(half_normal, [0.5], -3.0, 3.0)
    with pytest.warns(KinmsWarning, match="evaluations of the log-probability were not finite") as said:
        chains = run(name, posterior, log_prob=Raw(posterior, value), processes=processes)
    assert len(said) == 1
    assert chains.n_nonfinite > 5
    assert f"{chains.n_nonfinite} of {chains.n_evaluations}" in str(said[0].message)
    assert chains.flat().max() < 1.0
    assert np.isfinite(chains.log_prob).all()


def test_nowhere_finite(name):
    posterior = box(half_normal, [0.5], -3.0, 3.0)
    with pytest.raises(SamplingError, match="finite"):
        run(name, posterior, log_prob=lambda x: -np.inf)


def after(calls, what):
    count = [0]

    def log_like(x):
        count[0] += 1
        if count[0] == calls:
            raise what
        return -0.5 * float(x @ x)

    return log_like


@pytest.mark.parametrize("calls", [700, 20])
def test_ctrl_c_returns_what_was_sampled(name, calls, capfd):
    posterior = box(lambda x: -0.5 * float(x @ x), [0.5, 0.5], -9.0, 9.0)
    lengths = {"gastimator": {"steps": 2000, "burn": 100}, "emcee": {"steps": 2000, "burn": 5}}
    # Chains of gastimator take turns of a quarter of a second: the second would have none yet.
    options = {**lengths.get(name, {}), "chains": 1 if name == "gastimator" else 2}
    chains = run(name, posterior, log_prob=after(calls, KeyboardInterrupt()), **options)
    assert chains.interrupted
    assert np.isfinite(chains.flat()).all()
    assert (chains.kept > 0) == (calls == 700)
    assert np.isfinite(chains.best).all()
    if name != "dynesty":
        whole = run(name, posterior, log_prob=after(0, None), **options)
        assert np.array_equal(chains.values, whole.values[:, : chains.kept])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("processes", [1, 2])
def test_errors_of_the_model_come_through_and_nothing_is_printed(name, processes, capfd):
    posterior = box(after(150, ZeroDivisionError("at 150")), [0.5, 0.5], -9.0, 9.0)
    with pytest.raises(ZeroDivisionError, match="at 150"):
        run(name, posterior, processes=processes)
    assert capfd.readouterr() == ("", "")


def test_missing_package_names_the_line_that_installs_it(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    if name == "gastimator":
        run(name, awkward())
        return
    with pytest.raises(InputError, match=rf"method is '{name}', and .* pip install \"kinms\[{name}\]\""):
        run(name, awkward())


@pytest.mark.parametrize("processes", [1, 2])
def test_ledger_replays_a_run(name, processes, tmp_path):
    """Half of what was evaluated is known, then all of it: the same bits, and nothing is computed twice."""
    posterior = awkward()
    whole = run(name, posterior)
    first = Ledger(tmp_path, {}, interval=0.02)
    assert_same_bits(whole, run(name, posterior, log_prob=first.wrap(posterior), processes=processes))
    first.flush()
    # Into a folder of their own, and not by half of the files: how many there are depends on how busy the machine is.
    evaluated = Ledger.open(tmp_path, {}).known
    part = Ledger(tmp_path / "half", {})
    for key, value in list(evaluated.items())[::2]:
        part.add(key, value)
    part.flush()
    half = Ledger.open(tmp_path / "half", {}, interval=0.02)
    assert 20 < len(half.known) == (len(evaluated) + 1) // 2
    assert_same_bits(whole, run(name, posterior, log_prob=half.wrap(posterior), processes=processes))
    half.flush()
    everything = Ledger.open(tmp_path / "half", {}, interval=0.02)
    assert everything.known == evaluated
    replayed = run(name, posterior, log_prob=everything.wrap(lambda x: pytest.fail("computed")), processes=processes)
    assert_same_bits(whole, replayed)
