"""Whether chains converged: against chains of known correlation, and in words that say what to do."""

import re
import subprocess
import sys

import numpy as np
import pytest

from kinms.convergence import (
    ESS_LIMIT,
    R_HAT_LIMIT,
    Diagnostics,
    degenerate_pairs,
    diagnose,
    judge,
    peaks,
    unconstrained,
    unwrap,
)
from kinms.priors import LogUniform, Normal, Uniform

ANGLE = Uniform(0.0, 360.0, periodic=True)
WIDE = Normal(0.0, 100.0)


def autoregressive(rho, chains, steps, seed=1):
    """Unit Gaussians with the autocorrelation rho^k: tau = (1 + rho) / (1 - rho) exactly."""
    rng = np.random.default_rng(seed)
    values = np.empty((chains, steps))
    values[:, 0] = rng.normal(size=chains)
    for k in range(1, steps):
        values[:, k] = rho * values[:, k - 1] + np.sqrt(1.0 - rho**2) * rng.normal(size=chains)
    return values[..., None]


def verdict(chain, priors=None, names=None, burn=0):
    npar = chain.shape[2]
    priors = priors or [WIDE] * npar
    names = names or [f"p{k}" for k in range(npar)]
    return judge(names, chain, priors, diagnose(chain, priors), burn)


# -- numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_autocorrelation_time_and_sample_size_of_a_known_process(rho):
    steps = 20000
    found = diagnose(autoregressive(rho, 2, steps), [WIDE])
    tau = (1.0 + rho) / (1.0 - rho)
    # 2 x 20000 / 19 independent samples at worst: the estimate of tau is good to some 5 %; 4 sigma.
    assert found.tau[0] == pytest.approx(tau, rel=0.2)
    assert found.ess_bulk[0] == pytest.approx(2 * steps / tau, rel=0.2)
    assert 0.3 * found.ess_bulk[0] < found.ess_tail[0] < 2.5 * found.ess_bulk[0]
    assert found.r_hat[0] < 1.01


def test_r_hat_of_chains_apart_by_a_known_distance():
    rng = np.random.default_rng(5)
    chain = rng.normal(size=(2, 20000, 1))
    chain[1] += 1.0
    # Halves at 0, 0, 1, 1: their means have the variance 1/3. Ranks of the mixture are normalised to unit variance:
    # the split is then that of variance 1/3 to 1 and a little less in the tails.
    assert diagnose(chain, [WIDE]).r_hat[0] == pytest.approx(np.sqrt(1.0 + 1.0 / 3.0), abs=0.02)


def test_r_hat_sees_chains_of_another_width():
    chain = np.random.default_rng(6).normal(size=(2, 2000, 1)) * np.array([1.0, 4.0])[:, None, None]
    assert diagnose(chain, [WIDE]).r_hat[0] > 1.2  # the same mean: only the folded one tells


def test_heavy_tails_do_not_matter():
    chain = np.random.default_rng(7).standard_cauchy(size=(4, 2000, 1))
    assert diagnose(chain, [WIDE]).r_hat[0] < 1.02


def test_a_drifting_chain_alone_is_told():
    chain = np.linspace(0.0, 5.0, 500)[None, :, None] + np.random.default_rng(8).normal(size=(1, 500, 1))
    assert diagnose(chain, [WIDE]).r_hat[0] > 1.5


def test_angles_are_unwrapped_first():
    values = autoregressive(0.0, 2, 1000)
    at_the_wrap = diagnose(values % 360.0, [ANGLE])
    elsewhere = diagnose(values + 180.0, [ANGLE])
    for name in ("r_hat", "ess_bulk", "ess_tail", "tau"):
        np.testing.assert_allclose(getattr(at_the_wrap, name), getattr(elsewhere, name), rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 0, 3), (2, 19, 3), (0, 100, 3)])
def test_too_little_is_nan(shape):
    found = diagnose(np.random.default_rng(1).normal(size=shape), [WIDE] * 3)
    for name in ("r_hat", "ess_bulk", "ess_tail", "tau"):
        assert np.isnan(getattr(found, name)).all()
        assert getattr(found, name).shape == (3,)


def test_chains_at_rest():
    still = np.full((2, 50, 1), 3.0)
    assert np.isnan(diagnose(still, [WIDE]).r_hat[0])
    still[1] = 4.0
    assert diagnose(still, [WIDE]).r_hat[0] == np.inf


def test_import_does_not_load_arviz():
    code = "import sys, kinms.results; print([n for n in ('arviz_stats', 'arviz_base', 'xarray') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- words ---------------------------------------------------------------------------------------------------------


def test_converged():
    found = verdict(autoregressive(0.5, 2, 2000))
    assert found.converged is True
    assert re.fullmatch(
        r"Converged: R-hat at most 1\.00\d, \d{3,4} or more independent samples of each parameter\.", found.text
    )
    alone = verdict(autoregressive(0.5, 1, 4000))
    assert alone.converged is True
    assert alone.text.endswith("(one chain alone: more would tell better).")


def test_few_independent_samples_ask_for_more_steps():
    # tau = 66: 2 x 2000 steps hold about 60 independent samples. Steps advised count the burn-in.
    chain = np.concatenate([autoregressive(0.97, 2, 2000, seed=3), autoregressive(0.0, 2, 2000)], axis=2)
    diagnostics = diagnose(chain, [WIDE] * 2)
    assert diagnostics.r_hat.max() < R_HAT_LIMIT
    found = judge(["inc", "pa"], chain, [WIDE] * 2, diagnostics, burn=500)
    assert found.converged is False
    match = re.fullmatch(
        r"Not converged: only (\d+) independent samples of inc, 100 are needed; "
        r"take about ([\d.]+) times as many steps \(steps = (\d+)\)\.",
        found.text,
    )
    least, times, steps = float(match[1]), float(match[2]), int(match[3])
    assert 10 < least < ESS_LIMIT
    assert times >= 0.95 * ESS_LIMIT / diagnostics.ess_bulk[0]
    assert 2500 * times <= steps <= 1.1 * 2500 * times


def test_the_advice_holds():
    """As many steps as advised would have been enough, for a process whose correlation is known."""
    long = autoregressive(0.97, 2, 40000, seed=11)
    steps = 500
    for _ in range(5):
        found = verdict(long[:, :steps])
        if found.converged:
            break
        steps = int(re.search(r"steps = (\d+)", found.text)[1])
    assert found.converged
    # 100 independent samples take 65.7 x 100 / 2 = 3300 steps per chain; advice from few samples is rough.
    assert 1500 < steps < 12000


def test_bad_parameters_are_named_the_worst_first():
    chain = np.random.default_rng(2).normal(size=(2, 1000, 6))
    chain[1] += [0.9, 0.0, 1.2, 0.0, 1.0, 1.1]
    found = verdict(chain, names=["inc", "pa", "flux", "v_sys", "east", "north"])
    assert found.converged is False
    assert found.text.startswith("Not converged in flux, north, east and 1 more: R-hat 1.")
    assert "times as many steps (steps = " in found.text


def test_hopeless_chains_get_other_advice_than_steps():
    found = verdict(
        np.cumsum(np.random.default_rng(4).normal(size=(2, 300, 1)), axis=1) + 5000.0 * np.arange(2)[:, None, None]
    )
    assert found.converged is False
    assert "start closer to the data, free fewer parameters, or take far more steps" in found.text


def test_stuck_chain_is_named():
    chain = np.random.default_rng(2).normal(size=(3, 200, 2))
    chain[1] = 0.5
    found = verdict(chain)
    assert found.converged is False
    assert found.text == "Not converged: chain 2 of 3 never moved. Start elsewhere, or take more steps."
    assert verdict(np.full((2, 50, 1), 1.0)).text.startswith("Not converged: the chains never moved.")
    chain = np.random.default_rng(2).normal(size=(2, 200, 2))
    chain[..., 1] = 7.0
    assert verdict(chain, names=["inc", "pa"]).text.startswith("Not converged: pa never moved.")


def test_chains_in_different_places_are_called_several_peaks():
    chain = np.random.default_rng(2).normal(40.0, 1.0, size=(3, 500, 1))
    chain[2] += 100.0
    found = verdict(chain, names=["inc"])
    assert found.converged is False
    low, high = re.search(r"rest in different places \(inc near (\S+) and near (\S+)\)", found.text).groups()
    assert (float(low), float(high)) == pytest.approx((40.0, 140.0), abs=0.2)
    assert "several peaks" in found.text
    # Angles a little apart across the wrap are one place.
    angle = (np.random.default_rng(2).normal(0.0, 2.0, size=(2, 500, 1))) % 360.0
    assert verdict(angle, [ANGLE]).converged is True


def test_too_few_steps_cannot_be_told():
    found = verdict(np.random.default_rng(1).normal(size=(2, 15, 2)))
    assert found.converged is None
    assert found.text == "Whether the chains converged cannot be told: 15 samples each are too few."
    assert judge(["inc"], np.empty((2, 0, 1)), [WIDE], Diagnostics.unknown(1)).converged is None


# -- degenerate, unconstrained, several peaks ----------------------------------------------------------------------


def test_degenerate_pairs_are_found_by_rank():
    rng = np.random.default_rng(1)
    inc = rng.normal(15.0, 3.0, 2000).clip(5.0)
    v_max = 100.0 / np.sin(np.radians(inc)) * (1.0 + rng.normal(0.0, 0.002, 2000))
    samples = np.column_stack([inc, rng.normal(size=2000), v_max, np.full(2000, 3.0)])
    ((first, second, value),) = degenerate_pairs(samples, ["inc", "pa", "rotation.v_max", "flux"])
    assert (first, second) == ("inc", "rotation.v_max")
    assert -1.0 <= value < -0.99
    assert degenerate_pairs(samples[:, [0, 1]], ["inc", "pa"]) == []
    assert degenerate_pairs(samples[:4], ["inc", "pa", "rotation.v_max", "flux"]) == []


def test_rank_correlation_of_known_size():
    # Gaussian rho = 0.97: Spearman's is (6 / pi) arcsin(rho / 2) = 0.9672; 20000 draws tell it to 0.0005.
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 20000))
    ((_, _, value),) = degenerate_pairs(np.column_stack([x, 0.97 * x + np.sqrt(1 - 0.97**2) * y]), ["a", "b"])
    assert value == pytest.approx(6.0 / np.pi * np.arcsin(0.97 / 2.0), abs=0.002)


def test_posterior_as_wide_as_the_prior():
    rng = np.random.default_rng(3)
    priors = [Uniform(10, 80), ANGLE, LogUniform(1, 100), Normal(5, 2)]
    draws = np.column_stack([prior.sample(rng, 3000) for prior in priors])
    assert unconstrained(draws, list("abcd"), priors) == list("abcd")
    draws[:, 0] = 40.0 + 0.1 * draws[:, 0]
    draws[:, 3] = 5.0 + 0.5 * (draws[:, 3] - 5.0)
    assert unconstrained(draws, list("abcd"), priors) == ["b", "c"]
    assert unconstrained(draws[:10], list("abcd"), priors) == []


@pytest.mark.parametrize("seed", range(5))
def test_one_peak_is_one(seed):
    rng = np.random.default_rng(seed)
    for draws in (
        rng.normal(size=400),
        rng.uniform(size=400),
        rng.exponential(size=400),
        rng.standard_t(3, size=400),
        np.repeat(rng.normal(size=150), rng.integers(1, 9, 150)),  # a chain with rejected steps
    ):
        assert peaks(draws, 150) is None


@pytest.mark.parametrize(("part", "found"), [(0.5, True), (0.2, True), (0.03, False)])
def test_two_peaks_are_two(part, found):
    rng = np.random.default_rng(9)
    draws = np.where(rng.random(5000) < part, rng.normal(140.0, 2.0, 5000), rng.normal(40.0, 2.0, 5000))
    two = peaks(draws, 500)
    assert (two is not None) is found
    if found:
        assert two == pytest.approx((40.0, 140.0), abs=3.0)
    assert peaks(draws, 50) is None  # too few to say so
    assert peaks(np.full(500, 2.0), 500) is None


def test_unwrap_keeps_the_numbers_of_the_prior():
    np.testing.assert_allclose(unwrap(np.array([285.0, 287.0]), ANGLE), [285.0, 287.0], rtol=1e-14)


def test_nested_sampling_is_advised_more_runs():
    chain = autoregressive(0.97, 2, 2000, seed=3)
    found = judge(["inc"], chain, [WIDE], diagnose(chain, [WIDE]), nested=True)
    assert re.search(r"take about [\d.]+ times as many chains \(chains = [3-9]\)\.", found.text)
