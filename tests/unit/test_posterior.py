"""The posterior of a disc: names, starts, refusals, and the disc of a vector."""

import pickle
import warnings

import numpy as np
import pytest

from kinms.correlation import Correlation
from kinms.cube import Cube, Model, Sampling, simulate
from kinms.disc import Disc
from kinms.errors import HeaderError, InputError, InputTypeError, KinmsWarning, UnknownNameError
from kinms.grid import Beam, CubeGrid
from kinms.likelihood import CorrelatedNoise, InflatedNoise, StudentT, WhiteNoise
from kinms.modes import FieldModes, MaskModes
from kinms.noise import NoiseModel, correlated_noise, detection_mask
from kinms.posterior import DiscPosterior, choose_likelihood
from kinms.priors import LogUniform, Normal, Uniform
from kinms.profiles import ArctanCurve, GaussianRing, TableCurve

GRID = CubeGrid((8, 24, 24), 1.0, 30.0)
DISC = Disc(
    surface_brightness=GaussianRing(0.0, 3.2),
    rotation=TableCurve([0.0, 2.0, 4.0, 12.0], [0.0, 50.0, 70.0, 80.0]),
    inc=35.0,
    pa=30.0,
    flux=5.0,
    sigma_gas=12.0,
)
RMS = 2e-3


@pytest.fixture(scope="module")
def data():
    cube = simulate(DISC, GRID, Beam(3.0))
    noise = np.random.default_rng(1).normal(scale=RMS, size=GRID.shape)
    return cube.replace(data=cube.data + noise, rms=RMS)


def posterior_of(data, free, disc=DISC):
    return DiscPosterior(disc, data, free, WhiteNoise(data.data, RMS))


# -- names and starts ------------------------------------------------------------------------------------------


def test_scalars_and_whole_arrays_and_elements(data):
    free = {
        "rotation.velocity": Uniform(0, 350),
        "inc": Uniform(10, 80),
    }
    posterior = posterior_of(data, free)
    assert posterior.labels == [f"rotation.velocity[{k}]" for k in range(4)] + ["inc"]
    assert posterior.units == ["km/s"] * 4 + ["deg"]
    np.testing.assert_array_equal(posterior.start, [0.0, 50.0, 70.0, 80.0, 35.0])
    one = posterior_of(data, {"rotation.velocity[2]": Uniform(0, 350)})
    assert (one.labels, one.start.tolist()) == (["rotation.velocity[2]"], [70.0])


def test_a_prior_per_element(data):
    priors = [Uniform(-1, 1), Uniform(40, 60), Uniform(60, 80), Normal(80, 5)]
    posterior = posterior_of(data, {"rotation.velocity": priors})
    np.testing.assert_array_equal(posterior.lower, [-1, 40, 60, -np.inf])
    np.testing.assert_array_equal(posterior.upper, [1, 60, 80, np.inf])
    message = "the number of priors of rotation.velocity is 2; expected 4, one per value"
    with pytest.raises(InputError, match=message):
        posterior_of(data, {"rotation.velocity": priors[:2]})
    with pytest.raises(InputError, match="the number of priors of inc is 2; expected 1"):
        posterior_of(data, {"inc": [Uniform(0, 80), Uniform(0, 80)]})


def test_disc_of_a_vector(data):
    posterior = posterior_of(data, {"pa": Uniform(0, 360, periodic=True), "rotation.velocity": Uniform(0, 350)})
    disc = posterior.disc_at([400.0, 1.0, 2.0, 3.0, 4.0])
    assert disc == DISC.replace(pa=40.0, rotation=TableCurve([0, 2, 4, 12], [1, 2, 3, 4]))
    elements = posterior_of(data, {"rotation.velocity[3]": Uniform(0, 350), "rotation.velocity[1]": Uniform(0, 350)})
    np.testing.assert_array_equal(elements.disc_at([9.0, 7.0]).rotation.velocity, [0.0, 7.0, 70.0, 9.0])


def test_warp_can_be_freed(data):
    warped = DISC.replace(radius=[0.0, 5.0, 10.0], inc=[50.0, 55.0, 60.0])
    model = Sampling(accuracy=0.1)
    posterior = DiscPosterior(warped, data, {"inc": Uniform(10, 80)}, WhiteNoise(data.data, RMS), model)
    assert posterior.labels == ["inc[0]", "inc[1]", "inc[2]"]
    np.testing.assert_array_equal(posterior.disc_at([20, 30, 40]).inc, [20, 30, 40])


def test_kinematic_angle_starts_from_the_photometric_one(data):
    posterior = posterior_of(data, {"pa_kin": Uniform(0, 360, periodic=True)})
    np.testing.assert_array_equal(posterior.start, [30.0])
    assert posterior.disc_at([45.0]) == DISC.replace(pa_kin=45.0)


def test_negative_angle_is_brought_into_the_range_of_its_prior(data):
    posterior = posterior_of(data, {"pa": Uniform(0, 360, periodic=True)}, DISC.replace(pa=-30.0))
    np.testing.assert_array_equal(posterior.start, [330.0])


def test_log_probability_is_that_of_the_model(data):
    posterior = posterior_of(data, {"flux": Uniform(1, 10), "inc": Uniform(10, 80)})
    disc = DISC.replace(flux=6.0, inc=52.0)
    cube = Model(DISC, GRID, data.beam)(disc)
    expected = -0.5 * float((((cube - data.data) / RMS) ** 2).sum()) - np.log(9.0) - np.log(70.0)
    # Chi-squared comes from sums over single-precision voxels, in another order.
    assert posterior([6.0, 52.0]) == pytest.approx(expected, rel=1e-6)
    assert posterior([6.0, 81.0]) == -np.inf


def test_impossible_disc_in_an_open_prior_has_no_probability(data):
    posterior = posterior_of(data, {"sigma_gas": Normal(12.0, 10.0)})
    assert np.isfinite(posterior([1.0]))
    assert posterior([-1.0]) == -np.inf


def test_pickle_is_small_and_exact(data):
    posterior = posterior_of(data, {"inc": Uniform(10, 80), "flux": LogUniform(1, 10)})
    expected = posterior([47.0, 4.0])
    frozen = pickle.dumps(posterior)
    assert len(frozen) < data.data.nbytes + 20_000
    assert pickle.loads(frozen)([47.0, 4.0]) == expected


# -- refusals --------------------------------------------------------------------------------------------------


def test_cube_without_a_beam(data):
    message = r"BMAJ: the cube has no beam.* Give one with data.replace\(beam=Beam\(.*a \[beam\] table"
    with pytest.raises(HeaderError, match=message) as caught:
        posterior_of(data.replace(beam=None), {"inc": Uniform(10, 80)})
    assert caught.value.key == "BMAJ"


def test_unit_that_is_not_per_beam_is_said(data):
    with pytest.warns(KinmsWarning, match="The cube is in K, not per beam: its numbers are taken as Jy/beam"):
        posterior_of(data.replace(unit="K"), {"inc": Uniform(10, 80)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior_of(data.replace(unit="mJy BEAM-1"), {"inc": Uniform(10, 80)})


@pytest.mark.parametrize(
    ("free", "error", "message"),
    [
        ({}, InputError, r'free is empty; expected at least one parameter. For instance \{"inc": Uniform'),
        ([("inc", 3)], InputTypeError, "free is .* expected a mapping of parameter path to prior"),
        ({"inc": 45.0}, InputTypeError, "the prior of inc is 45.0; expected one of Uniform"),
        ({"incl": Uniform(0, 80)}, UnknownNameError, "parameter 'incl' is not known.*Did you mean 'inc'"),
        ({"rotation.v_max": Uniform(0, 80)}, UnknownNameError, "allowed: .*rotation.velocity"),
        ({"rotation.velocity[7]": Uniform(0, 80)}, InputError, r"velocity\[7\] is out of range for 4 values"),
        ({"inc[0]": Uniform(0, 80)}, InputError, r"inc\[0\] is an index into a scalar"),
        (
            {"rotation.velocity": Uniform(0, 350), "rotation.velocity[2]": Uniform(0, 350)},
            InputError,
            r"free is naming rotation.velocity\[2\] twice; .* Free the whole of rotation.velocity, or single elements",
        ),
        (
            {"inc": Uniform(60, 80)},
            InputError,
            r"start of inc is 35; expected a value allowed by uniform\(60, 80\)",
        ),
        (
            {"sigma_gas": Uniform(-5, 30)},
            InputError,
            r"the prior of sigma_gas is uniform\(-5, 30\), which allows -4.99997; .* sigma_gas is -4.99997; .*>= 0",
        ),
        (
            {"surface_brightness.width": Uniform(-1, 30)},
            InputError,
            r"the prior of surface_brightness.width is uniform\(-1, 30\).* expected > 0",
        ),
        ({"inc": Uniform(10, 270)}, InputError, r"the prior of inc is uniform\(10, 270\), which allows 270; .*<= 180"),
    ],
)
def test_bad_free_parameters(data, free, error, message):
    with pytest.raises(error, match=message):
        posterior_of(data, free)


def test_open_end_at_an_impossible_value_is_allowed(data):
    # A scale may tend to zero, though it cannot be zero.
    posterior = posterior_of(data, {"surface_brightness.width": Uniform(0, 30)})
    assert posterior([0.0]) == -np.inf


def test_fewer_voxels_than_parameters(data):
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[4, 12, 12:14] = True
    free = {"rotation.velocity": Uniform(0, 350)}
    with pytest.raises(InputError, match="the number of voxels used is 2; expected at least 4, one per parameter"):
        DiscPosterior(DISC, data, free, WhiteNoise(data.data, RMS, mask))


@pytest.mark.parametrize(("disc", "name"), [(None, "disc"), (DISC, "data")])
def test_arguments_of_the_wrong_kind(disc, name):
    with pytest.raises(InputTypeError, match=f"^{name} is None"):
        DiscPosterior(disc, None, {"inc": Uniform(10, 80)})


# -- which likelihood ------------------------------------------------------------------------------------------


def test_white_noise_is_not_inflated(data):
    noise = choose_likelihood("white", data)
    assert type(noise) is WhiteNoise
    assert (noise.n, noise.error) == (8 * 24 * 24, RMS)
    with pytest.raises(InputError, match="inflate is 'auto'; expected nothing beside likelihood 'white'"):
        choose_likelihood("white", data, inflate="auto")
    with pytest.raises(InputError, match="inflate is False; expected nothing beside"):
        choose_likelihood("white", data, inflate=False)


@pytest.mark.parametrize(
    ("inflate", "mode", "n"), [(False, "none", 4608), (True, "all voxels", 4608), (500, "given", 500)]
)
def test_inflation_as_asked(data, inflate, mode, n):
    inflation = choose_likelihood("inflated", data, inflate=inflate).inflation
    assert (inflation.mode, inflation.n) == (mode, n)
    assert inflation.factor == (1.0 if inflate is False else (2 * n) ** 0.25)


@pytest.mark.parametrize("inflate", [None, "auto"])
def test_automatic_inflation_counts_the_detection_mask(data, monkeypatch, inflate):
    detected = np.zeros(GRID.shape, dtype=bool)
    detected[2:5, 8:16, 8:16] = True
    monkeypatch.setattr("kinms.posterior.detection_mask", lambda cube, rms: detected)
    few = choose_likelihood("inflated", data, inflate=inflate)
    assert (few.inflation.mode, few.inflation.n, few.n) == ("detection mask", 192, 4608)
    assert few.inflation.factor == 384**0.25
    # Under half of the voxels that are used: here it is just half of them.
    mask = detected.copy()
    mask[5:8, 8:16, 8:16] = True
    half = choose_likelihood("inflated", data, inflate=inflate, mask=mask)
    assert (half.inflation.mode, half.inflation.n) == ("all voxels", 384)
    detected[:] = False
    none = choose_likelihood("inflated", data, inflate=inflate)
    assert (none.inflation.mode, none.inflation.n) == ("all voxels", 4608)


def test_mask_and_cube_mask_both_count(data):
    own, given = np.ones(GRID.shape, dtype=bool), np.ones(GRID.shape, dtype=bool)
    own[0], given[1] = False, False
    blank = data.data.copy()
    blank[2] = np.nan
    noise = choose_likelihood("white", data.replace(mask=own, data=blank), mask=given)
    assert noise.n == 5 * 24 * 24


def test_rms_is_given_or_of_the_cube_or_measured(data):
    assert choose_likelihood("white", data, rms=0.5).error == 0.5
    assert choose_likelihood("white", data).error == RMS
    # Measured from 4608 voxels: known to 2 %.
    assert choose_likelihood("white", data.replace(rms=None)).error == pytest.approx(RMS, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kind": "gaussian"}, InputError, "likelihood is 'gaussian'; expected 'white', 'inflated', 'correlated' or "),
        ({"kind": None}, InputTypeError, "likelihood is None; expected 'white'.*or a likelihood"),
        ({"kind": "correlated", "inflate": True}, InputError, "inflate is True; expected nothing beside"),
        ({"inflate": "yes"}, InputError, "inflate is 'yes'; expected False, True, a number or 'auto'"),
        ({"inflate": -3}, InputError, "inflate is -3"),
        ({"rms": 0.0}, InputError, "rms is 0; expected > 0"),
        ({"rms": -1.0}, InputError, "rms is -1; expected > 0"),
        ({"rms": np.nan}, InputError, "rms is nan; expected a finite number"),
        ({"mask": np.ones((2, 2), dtype=bool)}, InputError, r"the shape of mask is \(2, 2\)"),
        ({"mask": np.zeros(GRID.shape, dtype=bool)}, InputError, "the mask is without a single usable voxel"),
        ({"data": None}, InputTypeError, "data is None; expected a Cube"),
    ],
)
def test_bad_likelihood(data, arguments, error, message):
    with pytest.raises(error, match=message):
        choose_likelihood(**{"kind": "inflated", "data": data, **arguments})


def test_cube_without_noise_or_without_data(data):
    constant = data.replace(data=np.zeros(GRID.shape), rms=None)
    with pytest.raises(InputError, match=r"the measured rms is 0; .* Give the error of a voxel as rms"):
        choose_likelihood("white", constant)
    with pytest.raises(InputError, match="data is without a single finite voxel"):
        choose_likelihood("white", data.replace(data=np.full(GRID.shape, np.nan), rms=None))


@pytest.fixture(scope="module")
def correlated():
    """The disc in a field of 60 x 56 pixels, with the noise of its beam."""
    grid, beam = CubeGrid((8, 60, 56), 1.0, 30.0), Beam(4.0, 3.0, 20.0)
    cube = simulate(DISC, grid, beam)
    rms = float(cube.data.max()) / 15.0
    return cube.replace(data=cube.data + correlated_noise(grid, beam, rms, seed=4)), rms


def test_correlated_noise_is_measured(correlated):
    cube, rms = correlated
    noise = choose_likelihood("correlated", cube)
    assert type(noise) is CorrelatedNoise
    # Known to 1.65 / sqrt(2 x 27000 voxels / 14 pixels) = 3 %.
    assert noise.error == pytest.approx(rms, rel=0.1)
    assert noise.voxels == cube.data.size
    expected = Correlation.of_beam(cube.beam, 1.0)
    np.testing.assert_array_equal(noise.correlation.table, expected.table)
    # The floor is what a model of 1e-3 of its peak can be wrong by, at least: a voxel is 15 sigma here.
    assert noise.correlation.floor >= (1e-3 * 14.0) ** 2
    assert any("correlation of the beam" in remark for remark in noise.remarks)
    assert any(remark.endswith("% of the variance taken for white") for remark in noise.remarks)
    truth = simulate(DISC, cube.grid, cube.beam).data
    assert noise.chi2(truth) == pytest.approx(noise.n, rel=0.3)


def test_rms_of_correlated_noise_may_be_given(correlated):
    cube, rms = correlated
    assert choose_likelihood("correlated", cube, rms=3.0 * rms).error == pytest.approx(3.0 * rms)
    assert choose_likelihood("correlated", cube.replace(rms=2.0 * rms)).error == pytest.approx(2.0 * rms)
    model = NoiseModel(np.full(8, rms), Correlation.of_beam(Beam(2.0), 1.0, floor=0.05, channels="hanning"))
    noise = choose_likelihood("correlated", cube, noise=model)
    assert noise.error == pytest.approx(rms)
    np.testing.assert_array_equal(noise.correlation.table, model.correlation.table)
    assert noise.correlation.channels.size == 3
    for bad, message in ((0.0, "rms is 0; expected > 0"), (-1.0, "rms is -1"), (np.nan, "rms is nan")):
        with pytest.raises(InputError, match=message):
            choose_likelihood("correlated", cube, rms=bad)


def test_noise_is_measured_beside_a_mask_that_selects_the_signal(correlated):
    cube, rms = correlated
    use = detection_mask(cube)
    noise = choose_likelihood("correlated", cube, mask=use)
    assert noise.voxels == use.sum()
    assert noise.error == pytest.approx(rms, rel=0.1)
    with pytest.raises(InputError, match="the mask is without a single usable voxel"):
        choose_likelihood("correlated", cube, mask=np.zeros(cube.data.shape, dtype=bool))


def test_a_frame_of_blanks_leaves_a_rectangle(correlated):
    cube, _ = correlated
    data = cube.data.copy()
    data[:, :3], data[:, :, 53:], data[:, 3:6, :4] = np.nan, np.nan, np.nan
    noise = choose_likelihood("correlated", cube.replace(data=data))
    assert any(remark == "used are pixels 4 to 52 in x and 3 to 59 in y" for remark in noise.remarks)
    assert noise.voxels == 8 * 57 * 49
    assert isinstance(noise.modes, FieldModes)


def test_a_wide_mask_is_cut_to_what_is_near_the_signal(correlated):
    cube, _ = correlated
    y, x = np.ogrid[:60, :56]
    holes = np.broadcast_to(np.hypot(y - 30, x - 28) < 18, cube.data.shape).copy()
    holes[:, ::7, ::7] = False  # no rectangle round the signal is without gaps
    few = choose_likelihood("correlated", cube, mask=holes)
    assert few.voxels == holes.sum()  # 1000 in a channel are not many
    grid, beam = CubeGrid((6, 80, 80), 1.0, 30.0), Beam(4.0)
    truth = simulate(DISC, grid, beam).data
    data = truth + correlated_noise(grid, beam, float(truth.max()) / 15.0, seed=4)
    holes = np.ones(grid.shape, dtype=bool)
    holes[:, ::7, ::7] = False
    many = choose_likelihood("correlated", Cube(data, grid, beam), mask=holes)
    assert "used are the positions within two beams of signal" in many.remarks
    assert many.voxels < 0.5 * holes.sum()
    assert isinstance(many.modes, MaskModes)


def test_gain_makes_an_error_for_each_voxel(correlated):
    cube, rms = correlated
    gain = np.tile(np.linspace(1.0, 3.0, 56), (60, 1))
    truth = simulate(DISC, cube.grid, cube.beam).data
    cube = cube.replace(data=truth + (cube.data - truth) * gain)
    gain[0, 0] = np.nan
    for kind, law in (("white", WhiteNoise), ("correlated", CorrelatedNoise), ("student", StudentT)):
        noise = choose_likelihood(kind, cube, gain=10.0 / gain)
        assert type(noise) is law
        assert noise.error == pytest.approx(2.0 * rms, rel=0.1)  # at the typical place
    white = choose_likelihood("white", cube, gain=1.0 / gain, rms=2.0 * rms)
    assert white.n == cube.data.size - 8
    assert white.chi2(truth) == pytest.approx(white.n, rel=0.1)
    inflated = choose_likelihood("inflated", cube, gain=1.0 / gain, inflate=True)
    assert inflated.inflation.n == cube.data.size - 8


def test_heavy_tails_and_likelihoods_of_ones_own(data):
    noise = choose_likelihood("student", data)
    assert type(noise) is StudentT
    assert (noise.n, noise.error) == (8 * 24 * 24, RMS)

    def own(model):
        return -float(np.abs(model - data.data).sum())

    assert choose_likelihood(own, data) is own
    posterior = DiscPosterior(DISC, data, {"inc": Uniform(10, 80)}, own)
    assert posterior([35.0]) == pytest.approx(own(posterior.predict(np.array([35.0]))) - np.log(70.0))
    for kind in (own, noise):
        with pytest.raises(InputError, match="flux is 'best'; expected 'given' where the noise is not Gaussian"):
            DiscPosterior(DISC, data, {"inc": Uniform(10, 80)}, kind, flux="best")
        with pytest.raises(InputError, match="expected one of Gaussian noise"):
            DiscPosterior(DISC, data, {"inc": Uniform(10, 80)}, kind).best_flux([35.0])


def test_correlation_wider_than_the_field():
    grid, beam = CubeGrid((8, 24, 24), 1.0, 30.0), Beam(20.0)
    cube = Cube(np.random.default_rng(1).normal(size=grid.shape), grid, beam)
    with pytest.raises(InputError, match=r"the correlation is 28.3 pixels wide in y; expected at most the field, 24"):
        choose_likelihood("correlated", cube, noise=NoiseModel(np.ones(8), Correlation.of_beam(beam, 1.0)))


def test_cube_without_noise_has_no_correlation(data):
    with pytest.raises(InputError, match="the measured rms is 0"):
        choose_likelihood("correlated", data.replace(data=np.zeros(GRID.shape), rms=None))


def test_flux_is_free_or_found_or_given(data):
    noise = WhiteNoise(data.data, RMS)
    with pytest.raises(InputError, match="flux is 'most'; expected 'given', 'best' or 'marginal'"):
        DiscPosterior(DISC, data, {"inc": Uniform(10, 80)}, noise, flux="most")
    with pytest.raises(InputError, match="flux is 'best' and free as well; expected one of the two"):
        DiscPosterior(DISC, data, {"inc": Uniform(10, 80), "flux": Uniform(1, 10)}, noise, flux="best")


@pytest.mark.parametrize("kind", [WhiteNoise, InflatedNoise])
def test_flux_of_white_noise_by_brute_force(data, kind):
    noise = kind(data.data, RMS)
    best, marginal = (DiscPosterior(DISC, data, {"inc": Uniform(10, 80)}, noise, flux=f) for f in ("best", "marginal"))
    given = DiscPosterior(DISC, data, {"inc": Uniform(10, 80), "flux": Uniform(-100, 100)}, noise)
    sigmas = np.linspace(-6.0, 6.0, 61)
    for inc in (33.0, 40.0):
        flux, error = best.best_flux([inc])
        fluxes = flux + error * sigmas
        values = np.array([given([inc, value]) for value in fluxes]) + np.log(200.0)
        # Chi-squared is a parabola in the flux: 1 sigma away it is one more, inflated or not.
        np.testing.assert_allclose(values, values.max() - 0.5 * sigmas**2, atol=2e-3)
        assert best([inc]) == pytest.approx(values.max(), abs=2e-3)
        integral = np.log(np.trapezoid(np.exp(values - values.max()), fluxes)) + values.max()
        assert marginal([inc]) == pytest.approx(integral, abs=2e-3)


@pytest.mark.parametrize("kind", ["white", "inflated", "correlated"])
def test_a_name_does_what_its_likelihood_does(correlated, kind):
    cube, _ = correlated
    free, chosen = {"inc": Uniform(10, 80)}, choose_likelihood(kind, cube)
    named = DiscPosterior(DISC, cube, free, kind)
    assert named([37.0]) == DiscPosterior(DISC, cube, free, chosen)([37.0])
    assert named.best_flux([37.0]) == DiscPosterior(DISC, cube, free, chosen).best_flux([37.0])
    marginal = [DiscPosterior(DISC, cube, free, noise, flux="marginal")([37.0]) for noise in (kind, chosen)]
    assert marginal[0] == marginal[1] != named([37.0])


@pytest.mark.parametrize("name", ["rms", "mask", "inflate", "noise", "gain"])
def test_a_likelihood_of_ones_own_has_its_noise(data, name):
    values = {"rms": 2.0, "mask": np.ones(GRID.shape, dtype=bool), "inflate": False, "noise": None, "gain": None}
    values |= {"noise": NoiseModel.estimate(data), "gain": np.ones(GRID.shape[1:])}
    with pytest.raises(InputError, match=f"{name} is given; expected nothing beside a likelihood of your own"):
        choose_likelihood(WhiteNoise(data.data, RMS), data, **{name: values[name]})


def test_noise_that_does_not_suit_the_cube(data):
    noise = NoiseModel.estimate(data)
    other = noise.replace(channel_rms=RMS * np.arange(1, 5))
    with pytest.raises(InputError, match="noise is of 4 channels; expected 8 channels of 24 x 24, as the data"):
        choose_likelihood("white", data, noise=other)
    other = noise.replace(noise_map=np.ones((9, 24)))
    with pytest.raises(InputError, match="noise is of 8 channels of 9 x 24; expected 8 channels of 24 x 24"):
        choose_likelihood("correlated", data, noise=other)
    # One rms everywhere suits any number of channels.
    fewer = noise.replace(channel_rms=np.full(4, RMS))
    assert choose_likelihood("white", data, noise=fewer).error == RMS
    with pytest.raises(InputTypeError, match=r"noise is 0.1; expected a NoiseModel\. Give a number as rms"):
        choose_likelihood("white", data, noise=0.1)
    with pytest.raises(InputError, match="gain is given; expected nothing beside noise"):
        choose_likelihood("white", data, noise=noise, gain=np.ones((24, 24)))
    with pytest.raises(InputTypeError, match=r"gain is 'pb\.fits'; expected numbers"):
        choose_likelihood("white", data, gain="pb.fits")


def test_default_likelihood_is_inflated(data):
    posterior = DiscPosterior(DISC.replace(rotation=ArctanCurve(80.0, 1.0)), data, {"inc": Uniform(10, 80)})
    assert posterior.likelihood.inflation.factor > 1.0
