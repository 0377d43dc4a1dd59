"""What every prior promises."""

import itertools
import pickle

import numpy as np
import pytest
from scipy import integrate, stats

from kinms.errors import InputError, InputTypeError
from kinms.priors import (
    PRIORS,
    IsotropicInclination,
    LogUniform,
    Normal,
    Prior,
    TruncatedNormal,
    Uniform,
)

#: Prior -> the same density from another hand.
REFERENCE = {
    Uniform(-2.0, 6.0): stats.uniform(-2.0, 8.0),
    Uniform(0.0, 360.0, periodic=True): stats.uniform(0.0, 360.0),
    Normal(10.0, 2.5): stats.norm(10.0, 2.5),
    TruncatedNormal(1.0, 2.0, -1.0, 7.0): stats.truncnorm(-1.0, 3.0, 1.0, 2.0),
    TruncatedNormal(0.0, 3.0, low=0.0): stats.halfnorm(0.0, 3.0),
    TruncatedNormal(0.0, 1.0, 8.0, 9.0): stats.truncnorm(8.0, 9.0),
    TruncatedNormal(0.0, 1.0, high=-6.0): stats.truncnorm(-np.inf, -6.0),
    LogUniform(1e-2, 1e3): stats.loguniform(1e-2, 1e3),
    IsotropicInclination(): None,
    IsotropicInclination(30.0, 150.0): None,
}
priors = pytest.mark.parametrize("prior", REFERENCE, ids=str)
Q = np.linspace(0.001, 0.999, 41)


def ends(prior: Prior) -> tuple[float, float]:
    """Where the integral can begin and end: the bounds, or as good as infinity."""
    low, high = prior.bounds
    return (max(low, float(prior.ppf(1e-14))), min(high, float(prior.ppf(1.0 - 1e-14))))


@priors
def test_density_integrates_to_one(prior):
    low, high = ends(prior)
    # In pieces, so that a long tail and a narrow core are both seen.
    knots = np.unique([low, *prior.ppf(np.linspace(0.01, 0.99, 9)), high])
    total = sum(integrate.quad(lambda x: np.exp(prior.log_pdf(x)), a, b)[0] for a, b in itertools.pairwise(knots))
    assert total == pytest.approx(1.0, abs=1e-9)


@priors
def test_cdf_is_the_integral_of_the_density(prior):
    x = prior.ppf(Q)
    step = 1e-3 * np.gradient(x)
    slope = (prior.cdf(x + step) - prior.cdf(x - step)) / (2.0 * step)
    inside = (x - step > prior.bounds[0]) & (x + step < prior.bounds[1])
    # Central differences: error of second order in the step, and the rounding of the cdf.
    np.testing.assert_allclose(slope[inside], np.exp(prior.log_pdf(x))[inside], rtol=1e-3)


@priors
def test_ppf_inverts_cdf(prior):
    np.testing.assert_allclose(prior.cdf(prior.ppf(Q)), Q, atol=1e-12)
    np.testing.assert_allclose(prior.ppf([0.0, 1.0]), prior.bounds, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(prior.cdf(prior.bounds), [0.0, 1.0], atol=1e-14)


@priors
@pytest.mark.parametrize("q", [-0.1, 1.1, np.nan])
def test_ppf_refuses_what_is_no_probability(prior, q):
    with pytest.raises(InputError, match="q is outside 0 to 1"):
        prior.ppf([0.5, q])


@priors
def test_agrees_with_scipy(prior):
    reference = REFERENCE[prior]
    if reference is None:  # isotropic: density sin(i), seen from cos(i)
        low, high = np.radians(prior.bounds)
        x = prior.ppf(Q)
        density = np.sin(np.radians(x)) / (np.cos(low) - np.cos(high)) * np.pi / 180.0
        np.testing.assert_allclose(np.exp(prior.log_pdf(x)), density, rtol=1e-12)
        np.testing.assert_allclose(np.cos(np.radians(x)), np.cos(low) - Q * (np.cos(low) - np.cos(high)), atol=1e-12)
        return
    x = reference.ppf(Q)
    np.testing.assert_allclose(prior.ppf(Q), x, rtol=1e-8)
    np.testing.assert_allclose(prior.cdf(x), Q, atol=1e-8)
    np.testing.assert_allclose(prior.log_pdf(x), reference.logpdf(x), rtol=1e-8, atol=1e-8)


@priors
def test_samples_follow_the_density(prior):
    n = 4000
    draws = prior.sample(np.random.default_rng(1), n)
    low, high = prior.bounds
    assert draws.shape == (n,)
    assert np.all((draws >= low) & (draws <= high))
    distance = np.abs(prior.cdf(np.sort(draws)) - (np.arange(n) + 0.5) / n).max()
    assert distance < 2.69 / np.sqrt(n)  # Kolmogorov: exceeded once in 1e6
    np.testing.assert_array_equal(draws, prior.sample(np.random.default_rng(1), n))


@priors
def test_is_impossible_outside_and_for_nan(prior):
    low, high = prior.bounds
    outside = [x for x in (low - 1e-3, high + 1e-3) if np.isfinite(x)]
    assert np.all(prior.log_pdf([*outside, np.nan]) == -np.inf)
    assert np.isfinite(prior.log_pdf(prior.ppf(0.5)))
    assert prior.log_pdf(prior.ppf(0.5)).shape == ()


@priors
def test_first_step_is_a_small_part_of_the_prior(prior):
    start = float(prior.ppf(0.5))
    width = float(prior.ppf(0.95) - prior.ppf(0.05))
    assert 0.0 < prior.first_step(start) < 0.2 * width


@priors
def test_is_a_record(prior):
    again = eval(repr(prior), {**globals(), "inf": np.inf})
    assert again == prior
    assert pickle.loads(pickle.dumps(prior)) == prior
    assert hash(again) == hash(prior)


def test_names_in_a_configuration():
    assert list(PRIORS) == ["uniform", "normal", "truncated_normal", "log_uniform", "isotropic"]
    assert PRIORS["uniform"](0, 360, periodic=True) == Uniform(0.0, 360.0, periodic=True)
    assert PRIORS["isotropic"](10, 80) == IsotropicInclination(10.0, 80.0)


@pytest.mark.parametrize(
    ("prior", "text"),
    [
        (Uniform(0, 350), "uniform(0, 350)"),
        (Uniform(0, 360, periodic=True), "uniform(0, 360), periodic"),
        (Normal(3403, 6.5), "normal(3403, 6.5)"),
        (TruncatedNormal(10, 2, 0), "truncated_normal(10, 2, 0, inf)"),
        (LogUniform(1e6, 1e10), "log_uniform(1e+06, 1e+10)"),
        (IsotropicInclination(10, 80), "isotropic(10, 80)"),
    ],
)
def test_text_for_tables(prior, text):
    assert str(prior) == text


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Uniform(3, 3), InputError, "high is 3; expected a number above low"),
        (lambda: Uniform(0, np.inf), InputError, "high is inf; expected a finite number"),
        (lambda: Uniform("a", 1), InputTypeError, "low is 'a'; expected a number"),
        (lambda: Uniform(0, 1, periodic=360), InputTypeError, "periodic is 360; expected True or False"),
        (lambda: Normal(np.nan, 1), InputError, "mean is nan"),
        (lambda: Normal(0, 0), InputError, "sigma is 0; expected > 0"),
        (lambda: TruncatedNormal(0, 1, 2, 1), InputError, "high is 1; expected a number above low"),
        (lambda: TruncatedNormal(0, 1, np.nan, 1), InputError, "low is nan"),
        (lambda: TruncatedNormal(0, 1, 50, 60), InputError, "the bounds is 50 to 60; expected an interval"),
        (lambda: LogUniform(0, 1), InputError, "low is 0; expected > 0"),
        (lambda: IsotropicInclination(-5, 80), InputError, "low is -5; expected >= 0"),
        (lambda: IsotropicInclination(0, 200), InputError, "high is 200; expected >= 0 and <= 180"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_periodic_prior_brings_values_into_range():
    prior = Uniform(-180.0, 180.0, periodic=True)
    np.testing.assert_allclose(prior.wrap([190.0, -540.0, 0.0, 180.0]), [-170.0, -180.0, 0.0, -180.0], atol=1e-12)
    assert prior.wrap(np.nextafter(-180.0, -181.0)) == -180.0
    assert Uniform(-180.0, 180.0).wrap(190.0) == 190.0
