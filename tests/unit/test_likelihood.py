"""Likelihoods and the generic posterior: numbers, what counts in N, and when a log-probability is -inf."""

import pickle

import numpy as np
import pytest
import scipy.stats

from kinms.errors import InputError, InputTypeError
from kinms.likelihood import (
    InflatedNoise,
    LogUniform,
    Normal,
    Parameter,
    Posterior,
    StudentT,
    Uniform,
    WhiteNoise,
)

SHAPE = (3, 4, 5)


@pytest.fixture
def data():
    return np.random.default_rng(5).normal(size=SHAPE)


@pytest.fixture
def model(data):
    return data + np.random.default_rng(6).normal(size=SHAPE)


# -- noise -----------------------------------------------------------------------------------------------------


def test_chi2_of_one_error(data, model):
    noise = WhiteNoise(data, 0.4)
    expected = float((((model - data) / 0.4) ** 2).sum())
    assert noise.chi2(model) == pytest.approx(expected, rel=1e-13)
    assert noise(model) == pytest.approx(-0.5 * expected, rel=1e-13)
    assert (noise.n, noise.error) == (60, 0.4)


def test_chi2_of_an_error_per_voxel(data, model):
    error = np.random.default_rng(7).uniform(0.5, 2.0, SHAPE)
    noise = WhiteNoise(data, error)
    assert noise.chi2(model) == pytest.approx(float((((model - data) / error) ** 2).sum()), rel=1e-13)
    assert noise.error == np.median(error)


def test_chi2_of_more_voxels_than_a_block():
    big = np.random.default_rng(8).normal(size=(5, 200, 201))
    assert WhiteNoise(big, 2.0).chi2(np.zeros(big.shape)) == pytest.approx(float((big**2).sum()) / 4.0, rel=1e-12)


def test_single_precision_data_lose_nothing_more(data, model):
    single = data.astype(np.float32)
    expected = float(((model - single.astype(float)) ** 2).sum())
    assert WhiteNoise(single, 1.0).chi2(model) == pytest.approx(expected, rel=1e-13)
    assert WhiteNoise(single.astype(">f4"), 1.0).chi2(model) == pytest.approx(expected, rel=1e-13)


def test_integer_data_are_taken():
    assert WhiteNoise([1, 2, 3], 1).chi2([0, 0, 0]) == 14.0


def test_blank_and_masked_voxels_do_not_count(data, model):
    mask = np.ones(SHAPE, dtype=bool)
    mask[0] = False
    blanked = data.copy()
    blanked[1, 0, :3] = [np.nan, np.inf, -np.inf]
    blanked[0, 0, 0] = np.nan  # masked as well: counted out once
    noise = WhiteNoise(blanked, 0.5, mask)
    used = mask & np.isfinite(blanked)
    assert noise.n == used.sum() == 60 - 20 - 3
    assert noise.chi2(model) == pytest.approx(float((((model - data)[used]) ** 2).sum()) / 0.25, rel=1e-13)
    assert InflatedNoise(blanked, 0.5, mask).inflation.n == 37


def test_voxels_of_unknown_error_do_not_count(data, model):
    error = np.full(SHAPE, 0.5)
    error[0, 0, 0], error[1, 1, 1] = np.nan, np.inf
    noise = WhiteNoise(data, error)
    used = np.isfinite(error)
    assert noise.n == 58
    assert noise.chi2(model) == pytest.approx(float(((model - data)[used] ** 2).sum()) / 0.25, rel=1e-13)


def test_inflation_is_the_fourth_root_of_2n(data, model):
    white, inflated = WhiteNoise(data, 0.3), InflatedNoise(data, 0.3)
    assert inflated.inflation.factor == (2 * 60) ** 0.25
    assert (inflated.inflation.mode, inflated.inflation.n) == ("all voxels", 60)
    assert inflated(model) == pytest.approx(white(model) / np.sqrt(2 * 60), rel=1e-13)
    assert inflated.chi2(model) == white.chi2(model)
    assert (white.inflation.mode, white.inflation.factor) == ("none", 1.0)


def test_inflation_with_a_given_number(data):
    given = InflatedNoise(data, 1.0, n_constraints=8)
    assert (given.inflation.n, given.inflation.factor, given.inflation.mode) == (8, 2.0, "given")
    assert given.n == 60
    assert str(given.inflation) == "errors x (2N)^(1/4) = 2, N = 8 (given)"
    assert str(WhiteNoise(data, 1.0).inflation) == "no error inflation (N = 60)"


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
@pytest.mark.parametrize("kind", [WhiteNoise, InflatedNoise])
def test_model_that_is_not_finite_is_impossible(kind, data, model, bad):
    model[1, 2, 3] = bad
    assert kind(data, 1.0)(model) == -np.inf
    masked = np.ones(SHAPE, dtype=bool)
    masked[1, 2, 3] = False
    if not np.isfinite(bad):  # even where no data are: such a model is wrong
        assert kind(data, 1.0, masked)(model) == -np.inf


def test_inputs_are_left_alone(data, model):
    before, model_before = data.copy(), model.copy()
    noise = WhiteNoise(data, 1.0)
    noise(model)
    np.testing.assert_array_equal(data, before)
    np.testing.assert_array_equal(model, model_before)
    data[:] = 0.0
    assert noise.chi2(np.zeros(SHAPE)) == pytest.approx(float((before**2).sum()), rel=1e-13)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"error": 0.0}, InputError, "the error is 0; expected > 0"),
        ({"error": -1.0}, InputError, "the error is -1; expected > 0"),
        ({"error": np.nan}, InputError, "the error is nan; expected a finite number"),
        (
            {"error": np.ones(4)},
            InputError,
            r"shape of the error is \(4,\); expected one number or shape \(3, 4, 5\)",
        ),
        ({"error": -np.ones(SHAPE)}, InputError, "the error is zero or negative in some voxels"),
        ({"mask": np.ones(4, dtype=bool)}, InputError, r"the shape of the mask is \(4,\); expected \(3, 4, 5\)"),
        ({"mask": np.ones(SHAPE)}, InputTypeError, "the mask is an array of float64; expected an array of bool"),
        ({"mask": np.zeros(SHAPE, dtype=bool)}, InputError, "the mask is without a single usable voxel"),
        ({"data": np.full(SHAPE, np.nan)}, InputError, "data is without a single finite voxel"),
    ],
)
def test_bad_noise(data, arguments, error, message):
    with pytest.raises(error, match=message):
        WhiteNoise(**{"data": data, "error": 1.0, **arguments})


def test_model_of_another_shape(data):
    with pytest.raises(InputError, match=r"the shape of the model is \(3, 4\); expected \(3, 4, 5\), as the data"):
        WhiteNoise(data, 1.0)(np.zeros((3, 4)))


@pytest.mark.parametrize("n", [0, -3, np.nan])
def test_number_of_constraints_must_be_positive(data, n):
    with pytest.raises(InputError, match="the number of constraints"):
        InflatedNoise(data, 1.0, n_constraints=n)


# -- posterior -------------------------------------------------------------------------------------------------


class Line:
    """A straight line that counts how often it is asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return x[0] + x[1] * np.arange(4.0)


@pytest.fixture
def line():
    parameters = [Parameter("level", Normal(1.0, 2.0), 0.5, "Jy"), Parameter("slope", Uniform(-5.0, 5.0), 1.0)]
    return Posterior(parameters, Line(), WhiteNoise([1.0, 3.0, 5.0, 7.0], 0.5))


def test_posterior_is_prior_times_likelihood(line):
    x = [0.5, 1.5]
    chi2 = float(np.sum(((0.5 + 1.5 * np.arange(4)) - [1, 3, 5, 7]) ** 2) / 0.25)
    log_prior = -0.5 * (0.25) ** 2 - np.log(2.0 * np.sqrt(2.0 * np.pi)) - np.log(10.0)
    assert line.log_prior(x) == pytest.approx(log_prior, rel=1e-13)
    assert line.log_like(x) == pytest.approx(-0.5 * chi2, rel=1e-13)
    assert line(x) == pytest.approx(log_prior - 0.5 * chi2, rel=1e-13)


def test_posterior_describes_its_parameters(line):
    assert line.labels == ["level", "slope"]
    assert line.units == ["Jy", ""]
    np.testing.assert_array_equal(line.start, [0.5, 1.0])
    np.testing.assert_array_equal(line.lower, [-np.inf, -5.0])
    np.testing.assert_array_equal(line.upper, [np.inf, 5.0])
    np.testing.assert_array_equal(line.periodic, [False, False])
    # 15 % of the half-width of the central 68 %: of sigma, and of 0.683 x 5.
    np.testing.assert_allclose(line.scale, [0.15 * 2.0, 0.15 * 0.6827 * 5.0], rtol=1e-4)


def test_model_is_not_asked_where_the_prior_forbids(line):
    for x in ([0.0, 5.1], [0.0, -np.inf], [np.nan, 0.0], [0.0, np.nan], [np.inf, 0.0]):
        assert line(x) == -np.inf
    assert line.predict.calls == 0
    assert np.isfinite(line([0.0, 5.0]))
    assert line.predict.calls == 1


@pytest.mark.parametrize("answer", [None, np.full(4, np.nan), np.full(4, np.inf)])
def test_impossible_predictions_are_minus_infinity(answer):
    posterior = Posterior([Parameter("a", Uniform(0, 1), 0.5)], lambda x: answer, WhiteNoise(np.zeros(4), 1.0))
    assert posterior([0.5]) == -np.inf


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_likelihood_that_is_not_finite_is_minus_infinity(value):
    posterior = Posterior([Parameter("a", Uniform(0, 1), 0.5)], lambda x: x, lambda model: value)
    assert posterior([0.5]) == -np.inf


def test_periodic_elements_are_brought_into_range():
    parameters = [Parameter("pa", Uniform(0, 360, periodic=True), 370.0), Parameter("b", Uniform(0, 400), 370.0)]
    seen = []
    posterior = Posterior(parameters, lambda x: seen.append(x) or np.zeros(1), WhiteNoise([0.0], 1.0))
    np.testing.assert_array_equal(posterior.start, [10.0, 370.0])
    np.testing.assert_array_equal(posterior.periodic, [True, False])
    vector = np.array([-1.0, 370.0])
    assert posterior(vector) == posterior([359.0, 370.0]) == posterior([719.0, 370.0])
    np.testing.assert_array_equal(seen, [[359.0, 370.0]] * 3)
    np.testing.assert_array_equal(vector, [-1.0, 370.0])


def test_posterior_survives_pickling(line):
    again = pickle.loads(pickle.dumps(line))
    assert again([0.3, 1.7]) == line([0.3, 1.7])
    assert again.labels == line.labels


def test_vector_of_another_length(line):
    message = r"the shape of the vector is \(3,\); expected \(2,\), one element per free parameter"
    with pytest.raises(InputError, match=message):
        line([1.0, 2.0, 3.0])


def test_start_must_lie_inside_its_prior():
    message = r"the start of inc is 85; expected a value allowed by uniform\(10, 80\). Move the start inside, or widen"
    with pytest.raises(InputError, match=message):
        Parameter("inc", Uniform(10, 80), 85.0)
    with pytest.raises(InputError, match="the start of a is nan"):
        Parameter("a", LogUniform(1, 2), np.nan)


def test_prior_must_be_one():
    with pytest.raises(InputTypeError, match=r"the prior of inc is \(10, 80\); expected one of Uniform, Normal"):
        Parameter("inc", (10, 80), 45.0)


# -- heavy tails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [1.0, 4.0, 30.0])
def test_student_is_that_of_scipy_up_to_a_constant(data, model, freedom):
    error = np.random.default_rng(7).uniform(0.5, 2.0, SHAPE)
    mask = np.random.default_rng(8).random(SHAPE) < 0.7
    blanked = data.copy()
    blanked[0, 0, 0] = np.nan
    use = mask & np.isfinite(blanked)
    for scale in (0.4, error):
        noise = StudentT(blanked, scale, mask, freedom)
        law = scipy.stats.t(freedom, loc=data, scale=np.broadcast_to(scale, SHAPE))
        constant = law.logpdf(data)[use].sum()
        assert noise(model) == pytest.approx(law.logpdf(model)[use].sum() - constant, rel=1e-12)
        assert noise.n == use.sum()
        assert noise.chi2(model) == pytest.approx(WhiteNoise(blanked, scale, mask).chi2(model), rel=1e-13)
    assert noise.error == np.median(error[use])


def test_student_of_great_freedom_is_gaussian(data, model):
    assert StudentT(data, 0.5, freedom=1e9)(model) == pytest.approx(WhiteNoise(data, 0.5)(model), rel=1e-6)


def test_outliers_count_with_their_logarithm():
    rng = np.random.default_rng(9)
    data = rng.normal(size=400)
    data[:8] = 50.0

    def best(kind):
        levels = np.linspace(-1.0, 2.0, 601)
        return levels[np.argmax([kind(np.full(400, level)) for level in levels])]

    # 2 % of the voxels pull a Gaussian mean by 1; the median of the rest is known to 1.25 / sqrt(392).
    assert best(WhiteNoise(data, 1.0)) == pytest.approx(data.mean(), abs=0.005)
    assert abs(best(StudentT(data, 1.0))) < 4 * 1.25 / np.sqrt(392)
    noise = StudentT(np.zeros(1), 1.0)
    ratio = (noise([1e6]) - noise([1e3])) / (noise([1e3]) - noise([1.0]))
    assert ratio == pytest.approx(1.0, abs=0.2)  # each thousand times as far away costs about the same


def test_student_says_what_is_wrong(data, model):
    for freedom in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="freedom is"):
            StudentT(data, 1.0, freedom=freedom)
    with pytest.raises(InputError, match="the error is 0"):
        StudentT(data, 0.0)
    with pytest.raises(InputError, match=r"the shape of the model is \(3,\)"):
        StudentT(data, 1.0)(np.zeros(3))
    for bad in (np.nan, np.inf, -np.inf):
        model[0, 0, 0] = bad
        assert StudentT(data, 1.0)(model) == -np.inf


def test_student_survives_pickling(data, model):
    noise = StudentT(data, 0.5, freedom=3.0)
    assert pickle.loads(pickle.dumps(noise))(model) == noise(model)
