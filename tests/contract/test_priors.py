"""What every prior promises."""

import itertools
import math
import pickle

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import integrate, stats

import kinms as km
from kinms.errors import InputError, InputTypeError
from kinms.priors import (
    PRIORS,
    FunctionPrior,
    IsotropicInclination,
    LogUniform,
    Normal,
    Prior,
    ScipyPrior,
    TablePrior,
    TruncatedNormal,
    Uniform,
    as_prior,
)


def bell(x):
    """A Gaussian, not normalised, for one number or many."""
    return -0.5 * ((x - 3.0) / 0.1) ** 2 + 7.0


def two_sided(x):
    """An exponential either way, with a kink; only for one number."""
    return -abs(x - 0.3) if x > -5.0 else -math.inf


def square_root(x):
    """Falls to zero as a square root at 0, for one number."""
    return 0.5 * math.log(x) if x > 0.0 else -math.inf


def step(x):
    """Twice as dense above one third."""
    return np.where(x < 1.0 / 3.0, 0.0, np.log(2.0))


class Ramp(stats.rv_continuous):
    """A distribution that is not one of scipy's own: p(x) = 2x, quantiles by its generic method."""

    def _pdf(self, x):
        return 2.0 * x

    def _cdf(self, x):
        return x**2


HISTOGRAM = stats.rv_histogram((np.array([1.0, 0.0, 3.0]), np.array([0.0, 1.0, 2.0, 4.0])), density=False)

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
    TablePrior([0.0, 2.0, 6.0], [0.0, 5.0, 0.0]): stats.triang(1.0 / 3.0, 0.0, 6.0),
    TablePrior([-1.0, 0.0, 1.0, 4.0], [0.0, 0.0, 3.0, 3.0]): stats.trapezoid(0.25, 1.0, 0.0, 4.0),
    TablePrior([0.0, 90.0, 360.0], [1.0, 1.0, 1.0], periodic=True): stats.uniform(0.0, 360.0),
    TablePrior([0.0, 1.0, 3.0], [1.0, 4.0, 2.0]): None,
    ScipyPrior(stats.gamma(3, scale=2)): stats.gamma(3, scale=2),
    ScipyPrior(stats.t(4.0, 50.0, 5.0)): stats.t(4.0, 50.0, 5.0),
    ScipyPrior(stats.gamma(a=0.5)): stats.chi2(1.0, 0.0, 0.5),
    ScipyPrior(Ramp(name="ramp", a=0.0, b=1.0)()): stats.beta(2.0, 1.0),
    FunctionPrior(bell, 0.0, 1000.0): stats.truncnorm(-30.0, 9970.0, 3.0, 0.1),
    FunctionPrior(bell, 2.0, 4.0, vectorised=True): stats.truncnorm(-10.0, 10.0, 3.0, 0.1),
    FunctionPrior(two_sided, -40.0, 40.0): None,
    FunctionPrior(square_root, 0.0, 9.0): stats.beta(1.5, 1.0, 0.0, 9.0),
    FunctionPrior(step, 0.0, 1.0, vectorised=True, periodic=True): None,
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
    # In pieces, so that a long tail and a narrow core are both seen, cut where the density has a kink, a step or an
    # infinite end.
    kinks = [x for x in (*getattr(prior, "x", ()), 0.3, 1.0 / 3.0, -5.0) if low < x < high]
    knots = np.unique([low, *prior.ppf(np.geomspace(1e-12, 0.01, 6)), *prior.ppf(np.linspace(0.02, 0.98, 9)), *kinks,
                       *prior.ppf(1.0 - np.geomspace(0.01, 1e-12, 6)), high])  # fmt: skip
    total = sum(
        integrate.quad(lambda x: np.exp(prior.log_pdf(x)), a, b, epsabs=1e-11, limit=200)[0]
        for a, b in itertools.pairwise(knots)
    )
    assert total == pytest.approx(1.0, abs=1e-8)


@priors
def test_cdf_is_the_integral_of_the_density(prior):
    x = prior.ppf(Q)
    step = 1e-3 * np.minimum(np.gradient(x), np.minimum(x - prior.bounds[0], prior.bounds[1] - x))
    slope = (prior.cdf(x + step) - prior.cdf(x - step)) / (2.0 * step)
    inside = np.ones(x.size, dtype=bool)
    for kink in (*getattr(prior, "x", ()), 0.3, 1.0 / 3.0):
        inside &= np.abs(x - kink) > step
    # Central differences: error of second order in the step, and the rounding of the cdf.
    np.testing.assert_allclose(slope[inside], np.exp(prior.log_pdf(x))[inside], rtol=1e-3)


@priors
def test_ppf_inverts_cdf(prior):
    np.testing.assert_allclose(prior.cdf(prior.ppf(Q)), Q, atol=1e-12)
    np.testing.assert_allclose(prior.cdf(prior.bounds), [0.0, 1.0], atol=1e-14)
    np.testing.assert_allclose(prior.cdf([-np.inf, np.inf]), [0.0, 1.0], atol=1e-14)
    assert np.isnan(prior.cdf(np.nan))


@priors
def test_ppf_of_the_corners_of_the_unit_cube(prior):
    q = np.array([0.0, 5e-324, 1e-300, 1e-20, 1e-12, *Q, 1.0 - 1e-12, np.nextafter(1.0, 0.0), 1.0])
    x = prior.ppf(q)
    assert np.all(np.isfinite(x))
    # Nowhere falling; scipy's and our numerical inverses know a quantile to a few rounding errors.
    assert np.all(np.diff(x) >= -1e-13 * np.abs(x[1:]))
    for end, reached in zip(prior.bounds, (x[0], x[-1]), strict=True):
        if np.isfinite(end):
            assert reached == end
    np.testing.assert_allclose(prior.cdf(x[[0, -1]]), [0.0, 1.0], atol=1e-14)
    assert np.all(prior.log_pdf(x) < np.inf)


@priors
def test_shapes(prior):
    for method, value in ((prior.log_pdf, float(prior.ppf(0.4))), (prior.cdf, float(prior.ppf(0.4))), (prior.ppf, 0.4)):
        one = method(value)
        assert one.shape == ()
        assert one.dtype == float
        for shape in ((0,), (1,), (2, 3)):
            many = method(np.full(shape, value))
            assert many.shape == shape
            np.testing.assert_array_equal(many, one)
    assert prior.sample(np.random.default_rng(1)).shape == ()
    assert prior.sample(np.random.default_rng(1), (2, 3)).shape == (2, 3)
    assert prior.wrap([1.0, 2.0]).shape == (2,)
    assert type(prior.first_step(float(prior.ppf(0.4)))) is float


@priors
@pytest.mark.parametrize("q", [-0.1, 1.1, np.nan])
def test_ppf_refuses_what_is_no_probability(prior, q):
    with pytest.raises(InputError, match="q is outside 0 to 1"):
        prior.ppf([0.5, q])


@pytest.mark.parametrize("low", [0.0, 30.0])
def test_isotropic_inclination_is_flat_in_the_cosine(low):
    prior = IsotropicInclination(low, 150.0)
    first, last = np.cos(np.radians(prior.bounds))
    x = prior.ppf(Q)
    density = np.sin(np.radians(x)) / (first - last) * np.pi / 180.0
    np.testing.assert_allclose(np.exp(prior.log_pdf(x)), density, rtol=1e-12)
    np.testing.assert_allclose(np.cos(np.radians(x)), first - Q * (first - last), atol=1e-12)


def test_function_with_a_kink_and_a_step():
    """p = exp(-|x - 0.3|) above -5, cut at 40: its integrals by hand."""
    prior = FunctionPrior(two_sided, -40.0, 40.0)
    below, above = 1.0 - np.exp(-5.3), 1.0 - np.exp(-39.7)
    assert prior.log_pdf(0.3) == pytest.approx(-np.log(below + above), abs=1e-11)
    assert prior.cdf(0.3) == pytest.approx(below / (below + above), abs=1e-11)
    assert prior.cdf(1.3) == pytest.approx((below + 1.0 - np.exp(-1.0)) / (below + above), abs=1e-11)
    assert prior.log_pdf(-5.1) == -np.inf
    prior = FunctionPrior(step, 0.0, 1.0, vectorised=True)
    np.testing.assert_allclose(prior.cdf([1.0 / 6.0, 1.0 / 3.0, 2.0 / 3.0]), [0.1, 0.2, 0.6], atol=1e-12)
    np.testing.assert_allclose(prior.ppf([0.1, 0.2, 0.6]), [1.0 / 6.0, 1.0 / 3.0, 2.0 / 3.0], atol=1e-12)


PLACES = [(0.0, 0), (1.0, 0), (31.25, 0), (31.25, 1), (62.5, -2), (100.0 / 3.0, 0), (77.7, 0)]


@pytest.mark.parametrize("width", [1e-2, 1e-6])
@pytest.mark.parametrize(("edge", "beside"), PLACES)
def test_function_with_a_narrow_peak(edge, beside, width):
    """On the edge of two cells, partly beside it, or inside: 1000 / 32 is the width of the first cells."""
    place = edge + beside * width
    prior = FunctionPrior(lambda x: -0.5 * ((x - place) / width) ** 2, 0.0, 1000.0)
    mass = np.sqrt(2.0 * np.pi) * width * (0.5 if place == 0.0 else 1.0)
    # The rounding of x - place over the width, squared into the exponent, is not the prior's own error.
    assert prior.log_pdf(place) == pytest.approx(-np.log(mass), abs=1e-9 + 10.0 * np.spacing(place) / width)


def test_function_that_rises_to_infinity_at_zero():
    prior = FunctionPrior(lambda x: -0.5 * np.log(x), 0.0, 4.0, vectorised=True)
    np.testing.assert_allclose(prior.ppf(Q), 4.0 * Q**2, rtol=1e-8)
    assert prior.log_pdf(1.0) == pytest.approx(np.log(0.25), abs=1e-9)


@pytest.mark.parametrize("gap", [TablePrior([0, 1, 2, 3, 4], [1, 0, 0, 0, 1]), ScipyPrior(HISTOGRAM())], ids=str)
def test_density_with_a_gap(gap):
    low, high = (1.0, 3.0) if isinstance(gap, TablePrior) else (1.0, 2.0)
    assert gap.log_pdf(0.5 * (low + high)) == -np.inf
    x = gap.ppf(np.linspace(0.0, 1.0, 301))
    assert not np.any((x > low + 1e-6) & (x < high - 1e-6))
    np.testing.assert_allclose(gap.cdf(x), np.linspace(0.0, 1.0, 301), atol=1e-12)


def test_table_that_begins_and_ends_with_zeros_ends_where_they_do():
    table = TablePrior([0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 0, 0])
    assert table.bounds == (1.0, 4.0)
    assert table.replace(periodic=True).bounds == (0.0, 5.0)
    assert table.replace(periodic=True).wrap(5.5) == 0.5


def test_tables_are_equal_by_their_numbers():
    table = TablePrior([0, 1], [1, 2])
    assert table == TablePrior(np.array([0.0, 1.0]), (1, 2))
    assert table != TablePrior([0, 1], [1, 3])
    assert table != table.replace(periodic=True)
    with pytest.raises(ValueError, match="read-only"):
        table.x[0] = 5.0


def test_scipy_priors_are_equal_by_their_numbers():
    assert ScipyPrior(stats.norm(0, 2)) == ScipyPrior(stats.norm(loc=0.0, scale=2.0)) != Normal(0, 2)
    assert hash(ScipyPrior(stats.norm(0, 2))) == hash(ScipyPrior(stats.norm(scale=2)))
    assert ScipyPrior(stats.gamma(2)) != ScipyPrior(stats.gamma(3))
    assert ScipyPrior(stats.gamma(2)) != ScipyPrior(stats.chi(2))
    other = stats.rv_histogram((np.array([1.0, 0.0, 2.0]), np.array([0.0, 1.0, 2.0, 4.0])), density=False)
    assert ScipyPrior(HISTOGRAM()) == ScipyPrior(HISTOGRAM()) != ScipyPrior(other())


def test_infinite_density_at_an_end_is_that_of_its_neighbour():
    prior = ScipyPrior(stats.beta(0.5, 0.5))
    assert np.all(np.isfinite(prior.log_pdf([0.0, 1.0])))
    assert prior.log_pdf(0.0) == prior.log_pdf(np.nextafter(0.0, 1.0))


def test_distributions_of_scipy_are_priors_as_they_are():
    assert as_prior(stats.norm(3, 1)) == ScipyPrior(stats.norm(3, 1))
    uniform = Uniform(0, 1)
    assert as_prior(uniform) is uniform
    light, rotation = km.ExponentialDisc(scale=3.0), km.ArctanCurve(v_max=100.0, r_turn=1.0)
    disc = km.Disc(surface_brightness=light, rotation=rotation, inc=40, pa=30)
    cube = km.simulate(disc, km.CubeGrid((16, 48, 48), cell=1.0, dv=20.0), km.Beam(4.0))
    posterior = km.DiscPosterior(disc, cube, {"inc": stats.norm(45, 5)}, likelihood=km.WhiteNoise(cube.data, 0.01))
    assert posterior.log_prior([43.0]) == pytest.approx(stats.norm(45, 5).logpdf(43.0))
    for wrong, message in (
        (stats.norm, "the prior of inc is norm without its numbers; expected a frozen continuous distribution"),
        (bell, r"the prior of inc is <function .*; expected one of Uniform, .*: FunctionPrior\(function, low"),
        (3.0, r"the prior of inc is 3.0; expected one of Uniform, .*, ScipyPrior, FunctionPrior\."),
    ):
        with pytest.raises(InputTypeError, match=message):
            km.DiscPosterior(disc, cube, {"inc": wrong}, likelihood=km.WhiteNoise(cube.data, 0.01))
    with pytest.raises(
        InputError, match=r"the start of inc is 40; expected a value allowed by scipy.uniform\(50, 10\)"
    ):
        km.DiscPosterior(disc, cube, {"inc": stats.uniform(50, 10)}, likelihood=km.WhiteNoise(cube.data, 0.01))


@pytest.mark.parametrize("prior", [p for p in REFERENCE if REFERENCE[p] is not None], ids=str)
def test_agrees_with_scipy(prior):
    reference = REFERENCE[prior]
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
    if "ramp" not in repr(prior):  # scipy knows only its own by name
        again = eval(repr(prior), {**globals(), "inf": np.inf})
        assert again == prior
        assert hash(again) == hash(prior)
    assert pickle.loads(pickle.dumps(prior)) == prior
    assert prior.replace() == prior
    assert prior != Uniform(-1e9, 1e9)


def test_names_in_a_configuration():
    assert list(PRIORS) == ["uniform", "normal", "truncated_normal", "log_uniform", "isotropic", "table"]
    assert PRIORS["uniform"](0, 360, periodic=True) == Uniform(0.0, 360.0, periodic=True)
    assert PRIORS["isotropic"](10, 80) == IsotropicInclination(10.0, 80.0)


CONFIG = """
[disc]
inc = 45
pa = 270
surface_brightness = { kind = "exponential", scale = 5 }
rotation = { kind = "arctan", v_max = 200, r_turn = 2 }

[free]
"""


def test_table_in_a_configuration(tmp_path):
    from kinms.config import load

    file = tmp_path / "fit.toml"
    file.write_text(
        CONFIG
        + "inc = { table = [[20, 50, 80], [0, 2, 1]] }\npa = { table = [[0, 90, 360], [1, 2, 1]], periodic = true }\n"
    )
    free = load(file).free
    assert free["inc"] == TablePrior([20, 50, 80], [0, 2, 1])
    assert free["pa"] == TablePrior([0, 90, 360], [1, 2, 1], periodic=True)
    for given, message in (
        ("{ table = [[20, 50], [0, 1, 2]] }", r"line 9: free.inc.density: the shape of density is \(3,\)"),
        ("{ table = [20, 50] }", "line 9: free.inc.x: is 20; expected a list of numbers"),
        ("{ table = [[20, 50]] }", "line 9: free.inc.density: is missing"),
        ("{ table = [[50, 20], [1, 1]] }", "line 9: free.inc.x: x is not increasing at index 1"),
    ):
        file.write_text(CONFIG + f"inc = {given}\n")
        with pytest.raises(km.ConfigError, match=message):
            load(file)


@pytest.mark.parametrize(
    ("prior", "text"),
    [
        (Uniform(0, 350), "uniform(0, 350)"),
        (Uniform(0, 360, periodic=True), "uniform(0, 360), periodic"),
        (Normal(3403, 6.5), "normal(3403, 6.5)"),
        (TruncatedNormal(10, 2, 0), "truncated_normal(10, 2, 0, inf)"),
        (LogUniform(1e6, 1e10), "log_uniform(1e+06, 1e+10)"),
        (IsotropicInclination(10, 80), "isotropic(10, 80)"),
        (TablePrior([0, 90, 360], [1, 2, 1], periodic=True), "table(3 points, 0 to 360), periodic"),
        (ScipyPrior(stats.gamma(3, scale=np.float64(2))), "scipy.gamma(3, scale=2)"),
        (FunctionPrior(bell, 2, 4, periodic=True), "function(bell, 2, 4), periodic"),
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
        (lambda: Uniform(-1e308, 1e308), InputError, "high is 1e.308; expected a number whose distance"),
        (lambda: TablePrior([0, 1], [1, -1]), InputError, "density is -1 at its extreme"),
        (lambda: TablePrior([0, 1], [0, 0]), InputError, "density is zero everywhere"),
        (lambda: TablePrior([0, 1, 1], [1, 1, 1]), InputError, "x is not increasing at index 2"),
        (lambda: TablePrior([0], [1]), InputError, "the length of x is 1"),
        (lambda: TablePrior([0, 1], [1, 1, 1]), InputError, r"the shape of density is \(3,\)"),
        (lambda: TablePrior([0, np.nan], [1, 1]), InputError, "x is not finite at index 1"),
        (lambda: TablePrior("ab", [1, 1]), InputTypeError, "x is 'ab'; expected an array"),
        (lambda: TablePrior([0, 1], [1, 1], periodic=1), InputTypeError, "periodic is 1; expected True or False"),
        (lambda: TablePrior([-1e308, 1e308], [1, 1]), InputError, "x is 1e.308; expected a number whose distance"),
        (lambda: TablePrior([0, 5e-324], [1, 1]), InputError, "x is from 0 to 4.94066e-324; expected an interval"),
        (lambda: ScipyPrior(stats.norm), InputTypeError, "distribution is norm without its numbers"),
        (lambda: ScipyPrior(stats.poisson(3)), InputTypeError, "distribution is poisson, which is discrete"),
        (lambda: ScipyPrior(stats.poisson), InputTypeError, "distribution is poisson without its numbers"),
        (lambda: ScipyPrior(stats.multivariate_normal([0, 0])), InputTypeError, "expected a frozen continuous"),
        (lambda: ScipyPrior(3), InputTypeError, "distribution is 3; expected a frozen continuous"),
        (lambda: ScipyPrior(stats.norm([0, 1], 2)), InputError, r"loc of distribution is of shape \(2,\)"),
        (lambda: ScipyPrior(stats.norm(0, -1)), InputError, r"distribution is scipy.norm\(0, -1\), without finite"),
        (lambda: ScipyPrior(stats.gamma(np.nan)), InputError, r"distribution is scipy.gamma\(nan\), without finite"),
        (lambda: FunctionPrior(3, 0, 1), InputTypeError, "log_density is 3; expected a function"),
        (lambda: FunctionPrior(bell, 0, np.inf), InputError, "high is inf; expected a finite number"),
        (lambda: FunctionPrior(bell, 1, 0), InputError, "high is 0; expected a number above low"),
        (lambda: FunctionPrior(bell, 0, 1, vectorised="yes"), InputTypeError, "vectorised is 'yes'"),
        (lambda: FunctionPrior(np.log, -1, 1), InputError, "log_density is nan at -"),
        (lambda: FunctionPrior(lambda x: math.inf, -1, 1), InputError, "log_density is inf at -"),
        (lambda: FunctionPrior(lambda x: -math.inf, -1, 1), InputError, "log_density is -inf from -1 to 1"),
        (lambda: FunctionPrior(lambda x: None, 0, 1), InputError, "log_density is nan at 0"),
        (lambda: FunctionPrior(lambda x: "a", 0, 1), InputTypeError, "what log_density returns is "),
        (lambda: FunctionPrior(lambda x: [x, x], 0, 1), InputError, r"what log_density returns is of shape \(2,\)"),
        (lambda: FunctionPrior(np.sum, 0, 1, vectorised=True), InputError, r"of shape \(\); .* Give vectorised=False"),
        (
            lambda: FunctionPrior(lambda x: -math.log(x), 0, 1),
            InputError,
            "log_density is too steep or too rough near 0",
        ),
        (
            lambda: FunctionPrior(lambda x: np.sin(1e9 * x), 0, 1, vectorised=True),
            InputError,
            "log_density is too steep or too rough near",
        ),
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


anything = st.floats(allow_nan=True, allow_infinity=True)
sensible = st.floats(-1e6, 1e6)
number = anything | sensible


def slope(rise):
    """A straight line in the logarithm; a closure of a wild number."""
    return lambda x: rise * x


WILD = {
    "uniform": st.builds(lambda a, b: lambda: Uniform(a, b), number, number),
    "normal": st.builds(lambda a, b: lambda: Normal(a, b), number, number),
    "truncated_normal": st.builds(
        lambda a, b, c, d: lambda: TruncatedNormal(a, b, c, d), number, number, number, number
    ),
    "log_uniform": st.builds(lambda a, b: lambda: LogUniform(a, b), number, number),
    "isotropic": st.builds(lambda a, b: lambda: IsotropicInclination(a, b), *2 * [number | st.floats(0, 180)]),
    "table": st.builds(
        lambda rows: lambda: TablePrior([x for x, _ in sorted(rows)], [abs(y) for _, y in sorted(rows)]),
        st.lists(st.tuples(number, number), max_size=6),
    ),
    "scipy": st.builds(lambda a, b: lambda: ScipyPrior(stats.norm(a, b)), number, number),
    "function": st.builds(lambda a, b, c: lambda: FunctionPrior(slope(a), b, c, vectorised=True), *3 * [number]),
}


@pytest.mark.parametrize("kind", WILD)
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
def test_wild_arguments_are_refused_or_right(kind, data):
    try:
        prior = data.draw(WILD[kind])()
    except InputError:
        return
    low, high = prior.bounds
    q = np.array([0.0, 1e-9, 0.1, 0.5, 0.9, 1.0])
    x = prior.ppf(q)
    assert np.all(np.isfinite(x) & (x >= low) & (x <= high))
    eighth = 0.125 * x  # differences of the largest floats overflow
    assert np.all(np.diff(eighth) >= -1e-15 * np.abs(eighth[1:]) - 5e-324)
    density = prior.log_pdf(x)
    assert np.all(density < np.inf)
    assert not np.any(np.isnan(density))
    # As near as the spacing of floats allows at this density; a float from 2 to 1 rounds twice within the prior.
    place = np.maximum(np.abs(x), max(abs(getattr(prior, "mean", 0.0)), 1e-307))
    with np.errstate(over="ignore", divide="ignore"):
        grain = np.exp(density + np.log(place)) * np.finfo(float).eps
    told = np.abs(x) < np.finfo(float).max  # not where a quantile is beyond the largest float
    told[[0, -1]] = False
    assert np.all(np.abs(prior.cdf(x) - q)[told] <= 1e-9 + 8.0 * grain[told])
    assert prior.first_step(float(x[3])) >= 0.0
    assert pickle.loads(pickle.dumps(prior)) == prior if kind != "function" else prior.replace() == prior
