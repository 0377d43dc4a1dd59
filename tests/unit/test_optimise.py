"""The optimiser: exact where the answer is known, errors that are the curvature, and what it says when they are not."""

import dataclasses
import re
import warnings

import numpy as np
import pytest

import kinms as km
from kinms.optimise import laplace, optimise
from kinms.posterior import DiscPosterior, choose_likelihood

GRID, BEAM = km.CubeGrid((24, 48, 48), 1.0, 20.0), km.Beam(4.0, 3.0, 20.0)
TRUTH = km.Disc(
    surface_brightness=km.ExponentialDisc(3.5),
    rotation=km.ArctanCurve(180.0, 3.0),
    inc=50.0,
    pa=110.0,
    v_sys=12.0,
    flux=20.0,
    sigma_gas=12.0,
)
FREE = {
    "inc": km.Uniform(5, 85),
    "pa": km.Uniform(0, 360, periodic=True),
    "v_sys": km.Uniform(-100, 100),
    "sigma_gas": km.Uniform(1, 40),
    "flux": km.Uniform(1, 100),
    "surface_brightness.scale": km.Uniform(1, 20),
    "rotation.v_max": km.Uniform(30, 400),
    "rotation.r_turn": km.Uniform(0.3, 10),
}
VALUES = np.array([float(TRUTH.value(name)) for name in FREE])
#: 16 to 18 degrees and 30 % off.
OFF = TRUTH.with_values(
    {
        "inc": 66.0,
        "pa": 92.0,
        "v_sys": 30.0,
        "sigma_gas": 16.0,
        "flux": 26.0,
        "surface_brightness.scale": 2.45,
        "rotation.v_max": 126.0,
        "rotation.r_turn": 3.9,
    }
)


def mock(disc=TRUTH, grid=GRID, beam=BEAM, peak=25.0, seed=0, correlated=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", km.KinmsWarning)  # of a few per cent of the flux outside of the field
        clean = km.simulate(disc, grid, beam)
    rms = float(clean.data.max()) / peak
    noise = km.correlated_noise(grid, beam if correlated else None, rms, seed)
    return clean.replace(data=clean.data + noise, rms=rms, stats=None)


@pytest.fixture(scope="module")
def data():
    return mock()


@pytest.fixture(scope="module")
def smooth():
    """Noise all but nil: residuals bend nothing, so that Gauss and Newton's curvature is the whole of it."""
    quiet = mock(peak=2e4)
    return quiet.replace(rms=quiet.rms * 1e3)


def posterior(data, start=OFF, free=FREE, kind="white", **options):
    return DiscPosterior(start, data, free, choose_likelihood(kind, data), **options)


def distance(x, truth=VALUES, names=tuple(FREE)):
    """With the position angle the short way round."""
    away = np.array(x - truth)
    for k, name in enumerate(names):
        if name == "pa":
            away[k] = (away[k] + 180.0) % 360.0 - 180.0
    return away


# -- where the answer is known --------------------------------------------------------------------------------------


def linear(data):
    """Unit-flux model, best flux and its error: m.d / m.m and rms / |m|."""
    unit = km.engine.Model(TRUTH, data.grid, data.beam)(TRUTH.replace(flux=1.0)).astype(float)
    square = float((unit**2).sum())
    return float((unit * data.data).sum()) / square, data.rms / np.sqrt(square)


def test_flux_alone_is_exact(data):
    mean, sigma = linear(data)
    found = optimise(posterior(data, TRUTH.replace(flux=90.0), {"flux": km.Uniform(1, 100)}))
    assert found.converged
    # It may stop where no step is worth a thirtieth of a sigma.
    assert found.x[0] == pytest.approx(mean, abs=sigma / 30.0)
    # Models are in single precision.
    assert found.sigma[0] == pytest.approx(sigma, rel=1e-4)
    assert found.log_prob == posterior(data, TRUTH, {"flux": km.Uniform(1, 100)})(found.x)


@pytest.mark.parametrize("width", [0.5, 1.0, 3.0])
def test_a_normal_prior_tightens(data, width):
    mean, sigma = linear(data)
    prior = km.Normal(mean + 2.0 * sigma, width * sigma)
    found = optimise(posterior(data, TRUTH.replace(flux=mean + sigma), {"flux": prior}))
    both = (1.0 / sigma**2 + 1.0 / (width * sigma) ** 2) ** -0.5
    # The prior's curvature is a difference, of 1e-3 of its width and in double precision.
    assert found.sigma[0] == pytest.approx(both, rel=1e-3)
    expected = both**2 * (mean / sigma**2 + (mean + 2.0 * sigma) / (width * sigma) ** 2)
    assert found.x[0] == pytest.approx(expected, abs=both / 30.0)


@pytest.mark.parametrize("kind", ["white", "correlated", "student"])
@pytest.mark.parametrize("turn", [0.0, 180.0])
def test_recovers_eight_parameters(data, kind, turn):
    start = OFF.replace(pa=(OFF.pa + turn) % 360.0)
    found = optimise(posterior(data, start, kind=kind))
    assert found.converged
    np.testing.assert_array_less(np.abs(distance(found.x)) / found.sigma, 4.0)
    # What a peak of 25 sigma allows, in the units of each.
    np.testing.assert_array_less(found.sigma, [1.0, 1.0, 2.0, 1.0, 1.0, 0.2, 5.0, 0.5])
    assert re.match(r"Converged after \d+ models.*; the disc explains (99|100) % of the signal\.", found.messages[0])
    # Nowhere near is any higher.
    function = posterior(data, start, kind=kind)
    rng = np.random.default_rng(1)
    for _ in range(30):
        step = found.sigma * rng.normal(scale=0.3, size=8)
        # Where it stops, what is left to gain is 1e-3 of -2 log-probability, and so in log-probability under 1e-2.
        assert function(function.wrap(found.x + step)) < found.log_prob + 1e-2


def test_other_starts_are_tried_when_the_first_leads_nowhere():
    # Lines this narrow hardly overlap with those of a disc that turns the other way.
    steep = TRUTH.replace(rotation=km.ArctanCurve(230.0, 1.0), sigma_gas=6.0)
    free = {name: FREE[name] for name in ("pa", "v_sys", "rotation.v_max")}
    truth = np.array([steep.value(name) for name in free], dtype=float)
    function = posterior(mock(steep), steep.replace(pa=(steep.pa + 180.0) % 360.0), free)
    alone = optimise(function, starts=0)
    assert abs(distance(alone.x, truth, tuple(free))[0]) > 90.0
    assert "starts" not in alone.messages[0]
    found = optimise(function)
    assert found.log_prob > alone.log_prob + 1000.0
    assert np.abs(distance(found.x, truth, tuple(free)) / found.sigma).max() < 4.0
    assert re.search(r" models from \d starts; the disc explains 100 % of the signal", found.messages[0])


def test_other_starts_are_left_untried_when_the_first_leads_home(data):
    assert "starts" not in optimise(posterior(data)).messages[0]


# -- errors are the curvature ---------------------------------------------------------------------------------------


def curvature(function, found, part):
    """Second differences of -log posterior, over a part of each parameter's sigma with all others held."""
    x, n = found.x, found.x.size
    h = part / np.sqrt(np.diag(np.linalg.inv(found.covariance)))
    here, unit = function(x), np.diag(h)
    bent = np.empty((n, n))
    for a in range(n):
        bent[a, a] = function(x + unit[a]) + function(x - unit[a]) - 2.0 * here
        for b in range(a):
            corners = [one * two * function(x + one * unit[a] + two * unit[b]) for one in (1, -1) for two in (1, -1)]
            bent[a, b] = bent[b, a] = 0.25 * sum(corners)
    return -bent / np.outer(h, h)


@pytest.mark.parametrize("kind", ["white", "inflated", "correlated", "student"])
def test_covariance_is_the_inverse_curvature(smooth, kind):
    found = optimise(posterior(smooth, kind=kind))
    expected = np.linalg.inv(curvature(posterior(smooth, kind=kind), found, 0.2))
    sigma = np.sqrt(np.diag(expected))
    # Slopes are good to some 1e-3; those of inc and v_max are so alike that it counts tenfold.
    np.testing.assert_allclose(found.covariance / np.outer(sigma, sigma), expected / np.outer(sigma, sigma), atol=0.02)


@pytest.mark.parametrize("kind", ["white", "inflated", "correlated", "student"])
def test_covariance_with_noise_is_nearly_so(data, kind):
    # Residuals bend the posterior too: by 1 / (signal to noise of the whole disc), some 1e-3, which Gauss and Newton
    # leave out, and which again counts tenfold. Student's t makes it 14 % wider; that is not left out.
    found = optimise(posterior(data, kind=kind))
    expected = np.linalg.inv(curvature(posterior(data, kind=kind), found, 0.5))
    np.testing.assert_allclose(found.sigma, np.sqrt(np.diag(expected)), rtol=0.03)


def test_inflation_scales_the_errors(data):
    white, inflated = (optimise(posterior(data, kind=kind)) for kind in ("white", "inflated"))
    factor = choose_likelihood("inflated", data).inflation.factor
    assert factor > 5.0
    # Both stop within a thirtieth of their sigma of the same place.
    both = np.outer(white.sigma, white.sigma)
    np.testing.assert_allclose(inflated.covariance / both / factor**2, white.covariance / both, atol=0.02)
    assert np.abs(distance(inflated.x, white.x) / inflated.sigma).max() < 0.1


def test_correlated_noise_has_wider_errors():
    rough = mock(correlated=True)
    white, correlated = (optimise(posterior(rough, kind=kind)) for kind in ("white", "correlated"))
    # Pixels of a 4 x 3 arcsec beam are worth 1 / 13.6 each; the disc is wider than the beam, so errors grow by less
    # than the root of that.
    ratio = correlated.sigma / white.sigma
    assert np.all((ratio > 1.5) & (ratio < 13.6**0.5 * 1.1))
    np.testing.assert_array_less(np.abs(distance(correlated.x)) / correlated.sigma, 4.0)


# -- at the edges of what can be known ------------------------------------------------------------------------------


def test_optimum_at_a_bound_stays_inside_and_is_said(data):
    free = {**FREE, "inc": km.Uniform(55, 80)}
    found = optimise(posterior(data, OFF, free))
    assert found.x[0] == 55.0
    assert "inc lies within 1 sigma of a bound of its prior: use a sampler." in found.messages
    assert not any("pa" in message for message in found.messages)
    draws = laplace(posterior(data, OFF, free), seed=1).flat()
    assert draws[:, 0].min() >= 55.0
    assert not any("bound" in message for message in optimise(posterior(data)).messages)


def test_no_dispersion_is_a_bound_like_any_other():
    # The model changes with the square of the dispersion, so that its slope vanishes there.
    free = {"sigma_gas": km.Uniform(0, 40), "flux": km.Uniform(1, 100), "v_sys": km.Uniform(-100, 100)}
    function = posterior(mock(TRUTH.replace(sigma_gas=0.0)), TRUTH, free)
    found = optimise(function)
    assert found.x[0] == 0.0
    assert "sigma_gas lies within 1 sigma of a bound of its prior: use a sampler." in found.messages
    # Its error is how far from zero it may be: the place where the log-probability is lower by half.
    assert found.log_prob - function([found.sigma[0], *found.x[1:]]) == pytest.approx(0.5, abs=0.1)
    assert 0.3 < found.sigma[0] < 4.0


def test_draws_are_discs():
    # The prior allows dispersions below zero, where there is no disc; near zero they would be a quarter of all draws.
    free = {"sigma_gas": km.Normal(0.5, 3.0), "flux": km.Uniform(1, 100)}
    faint = TRUTH.replace(sigma_gas=0.5)
    draws = laplace(posterior(mock(faint), faint, free), seed=1).flat()
    assert len(draws) == 4000
    assert 0.0 <= draws[:, 0].min() < 0.1


def test_parameter_that_changes_nothing_is_named(data):
    table = km.TableCurve([0.0, 5.0, 30.0, 200.0, 300.0], [0.0, 130.0, 170.0, 170.0, 170.0])
    free = {"flux": km.Uniform(1, 100), "rotation.velocity[4]": km.Uniform(0, 400)}
    with pytest.raises(km.InputError, match=r"rotation\.velocity\[4\] is a parameter that changes nothing"):
        optimise(posterior(data, TRUTH.replace(rotation=table), free))
    with pytest.raises(km.InputError, match=r"flux is a parameter that changes nothing in the model.* meets the data"):
        optimise(posterior(data, TRUTH.replace(v_sys=9000.0), {"flux": km.Uniform(1, 100)}))


def test_likelihood_of_ones_own_needs_a_sampler(data):
    with pytest.raises(km.InputError, match=r"the likelihood is function; expected WhiteNoise.*Use a sampler"):
        optimise(DiscPosterior(TRUTH, data, FREE, lambda model: -0.5 * float(((model - data.data) ** 2).sum())))


def test_start_of_no_probability(data, monkeypatch):
    function = posterior(data)
    monkeypatch.setattr(DiscPosterior, "__call__", lambda self, x: -np.inf)
    with pytest.raises(km.SamplingError, match="not finite at the start"):
        optimise(function)


# -- a flux that is found at each call ------------------------------------------------------------------------------


@pytest.mark.parametrize("flux", ["best", "marginal"])
def test_flux_need_not_be_a_parameter(data, flux):
    free = {name: prior for name, prior in FREE.items() if name != "flux"}
    whole, less = optimise(posterior(data)), optimise(posterior(data, free=free, flux=flux))
    kept = [k for k, name in enumerate(FREE) if name != "flux"]
    assert less.converged
    # The same parameters, with the flux's freedom in their errors. Both stop within a thirtieth of a sigma, and the
    # marginal likelihood leans by a sigma^2 over the scale of the light: a tenth of a sigma.
    away = distance(less.x, whole.x[kept], tuple(free)) / less.sigma
    assert np.abs(away).max() < (0.1 if flux == "best" else 0.2)
    np.testing.assert_allclose(less.covariance, whole.covariance[np.ix_(kept, kept)], rtol=0.05, atol=1e-3)
    assert posterior(data, free=free, flux=flux).disc_at(less.x).flux == pytest.approx(whole.x[4], abs=whole.sigma[4])


# -- always the same ------------------------------------------------------------------------------------------------


def test_threads_change_no_bit(data):
    found = {}
    for threads in (1, 2):
        km.set_threads(threads)
        try:
            found[threads] = [optimise(posterior(data, kind=kind)) for kind in ("white", "correlated")]
        finally:
            km.set_threads(1)
    for one, two in zip(found[1], found[2], strict=True):
        np.testing.assert_array_equal(one.x, two.x)
        np.testing.assert_array_equal(one.covariance, two.covariance)
        assert dataclasses.replace(one, x=0, covariance=0) == dataclasses.replace(two, x=0, covariance=0)


# -- km.fit(method="optimise") --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(data):
    return km.fit(OFF, data, FREE, method="optimise", likelihood="white", seed=3, progress=False)


def test_fit_gives_the_gaussian(data, result):
    found = optimise(posterior(data))
    np.testing.assert_array_equal(result.best, found.x)
    np.testing.assert_array_equal(result.median, result.best)
    np.testing.assert_array_equal(result.minus, found.sigma)
    np.testing.assert_array_equal(result.plus, found.sigma)
    assert result.best_log_prob == found.log_prob
    assert result.disc == OFF.with_values(dict(zip(FREE, result.best, strict=True)))
    assert result.chain.shape == (1, 4000, 8)
    # In units in which the covariance is one: 4000 draws know variances to sqrt(2 / 4000), and products to
    # sqrt(1 / 4000); four times that. Log-probabilities fall by half a chi-squared of 8.
    away = np.array([distance(x, found.x) for x in result.chain[0]])
    units = np.linalg.solve(np.linalg.cholesky(found.covariance), away.T)
    np.testing.assert_allclose(np.cov(units), np.eye(8), atol=4.0 * np.sqrt(2.0 / 4000))
    np.testing.assert_allclose(units.mean(axis=1), 0.0, atol=4.0 / np.sqrt(4000))
    fall = result.best_log_prob - result.log_prob[0]
    np.testing.assert_allclose(fall, 0.5 * np.einsum("kn,kn->n", units, units), rtol=1e-6, atol=1e-6)


def test_fit_is_reproducible(data, result):
    again, other = (
        km.fit(OFF, data, FREE, method="optimise", likelihood="white", seed=seed, progress=False) for seed in (3, 4)
    )
    np.testing.assert_array_equal(again.chain, result.chain)
    np.testing.assert_array_equal(other.best, result.best)
    assert not np.array_equal(other.chain, result.chain)


def test_fit_says_what_it_did(result):
    report = result.report()
    assert max(map(len, report.splitlines())) <= 80
    assert report.startswith("Fit with optimise: 4000 draws of its Laplace approximation, seed 3")
    assert "nothing was sampled" in report
    assert "Accepted" not in report
    assert result.converged is None
    log = " ".join(result.log)
    assert "Method optimise: the most probable disc and the curvature there, seed 3." in log
    assert re.search(r"Converged after \d+ models; the disc explains \d+ % of the signal", log)


def test_fit_survives_a_disk(result, tmp_path, monkeypatch):
    monkeypatch.setattr(km.FitResult, "_pictures", lambda self: {})
    back = km.FitResult.load(result.save(tmp_path / "out"))
    for name in ("median", "minus", "plus", "best", "chain", "log_prob"):
        np.testing.assert_array_equal(getattr(back, name), getattr(result, name), err_msg=name)
    assert (back.method, back.seed, back.names, back.disc) == ("optimise", 3, result.names, result.disc)
    assert back.report() == result.report()


def test_fit_guesses_a_disc_that_is_not_given(data):
    result = km.fit(None, data, FREE, method="optimise", likelihood="white", seed=1, progress=False)
    assert result.log[0].startswith("Guessed from the data: Disc(")
    np.testing.assert_array_less(np.abs(distance(result.best)) / result.plus, 4.0)


def test_bound_is_said_in_the_log(data):
    free = {**FREE, "inc": km.Uniform(55, 80)}
    result = km.fit(OFF, data, free, method="optimise", likelihood="white", seed=1, progress=False)
    assert any("inc lies within 1 sigma of a bound" in line for line in result.log)


def test_face_on_disc_is_called_degenerate():
    # Lines of sight move with v_max sin(inc), and the axis ratio cos(inc) hardly changes.
    face_on = TRUTH.replace(inc=15.0)
    free = {"inc": km.Uniform(1, 60), "rotation.v_max": km.Uniform(30, 800), "v_sys": FREE["v_sys"]}
    result = km.fit(face_on, mock(face_on), free, method="optimise", likelihood="white", seed=1, progress=False)
    remark = "inc and rotation.v_max are degenerate (correlation -"
    assert any(remark in text for text in result.remarks())
    assert remark in " ".join(result.report().split())
    product = np.sin(np.radians(result.best[0])) * result.best[1]
    assert product == pytest.approx(180.0 * np.sin(np.radians(15.0)), rel=0.02)
    assert result.plus[1] > 5.0


def test_fit_takes_noise_of_ones_own(data):
    options = {"method": "optimise", "seed": 1, "progress": False}
    white = km.fit(OFF, data, FREE, likelihood="white", **options)
    own = km.fit(OFF, data, FREE, likelihood=km.WhiteNoise(data.data, data.rms), **options)
    np.testing.assert_array_equal(own.best, white.best)
    assert own.likelihood == "WhiteNoise"
    # A model of the noise with twice the rms, and a map of the noise that is flat.
    louder = km.NoiseModel.estimate(data).replace()
    louder = louder.replace(channel_rms=louder.channel_rms * (2.0 * data.rms / louder.rms))
    twice = km.fit(OFF, data, FREE, likelihood="white", noise=louder, **options)
    # Channels have an rms each, measured to 1 / sqrt(2 x 2304 / 1.4) or so.
    np.testing.assert_allclose(twice.plus, 2.0 * white.plus, rtol=0.1)
    flat = km.fit(OFF, data, FREE, likelihood="white", gain=np.ones(GRID.shape[1:]), **options)
    np.testing.assert_allclose(flat.plus, white.plus, rtol=0.1)
    with pytest.raises(km.InputError, match="Use a sampler"):
        km.fit(OFF, data, FREE, likelihood=lambda model: -float(np.sum((model - data.data) ** 2)), **options)
