"""The correlated likelihood against whole covariance matrices: exact values, and intervals of the default."""

import pickle
import types

import dense_noise
import numpy as np
import pytest
from scipy import ndimage

import kinms as km
from kinms.correlation import Correlation
from kinms.cube import Cube, Model
from kinms.errors import InputError, InputTypeError
from kinms.grid import Beam, CubeGrid
from kinms.likelihood import CorrelatedNoise, WhiteNoise
from kinms.modes import FieldModes, MaskModes, _Field, choose_modes
from kinms.posterior import DiscPosterior
from kinms.priors import Uniform

ROUND, SLANTED = (4.0, 4.0, 0.0), (4.0, 2.0, 20.0)
SMALL = (4, 12, 12)


def correlation_of(beam, floor, channels="independent"):
    return Correlation.of_beam(Beam(*beam), 1.0, floor, channels)


# -- the exact mode ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(3)
    v, y, x = np.ogrid[:4, :12, :12]
    model = 5.0 * np.exp(-0.5 * (((x - 4 - v) / 2.5) ** 2 + ((y - 6) / 2.0) ** 2))
    data = model * 1.1 + ndimage.gaussian_filter(rng.normal(size=SMALL), (0, 1.5, 1.5)) + 0.3 * rng.normal(size=SMALL)
    return types.SimpleNamespace(data=data, model=model, error=rng.uniform(0.3, 0.9, SMALL))


@pytest.mark.parametrize("beam", [ROUND, SLANTED], ids=["round", "slanted"])
@pytest.mark.parametrize("channels", ["independent", "hanning", "hanning half"])
@pytest.mark.parametrize("floor", [1e-2, 1e-3])
@pytest.mark.parametrize("masked", [False, True])
def test_exact_is_the_whole_covariance_matrix(small, beam, channels, floor, masked):
    data, use = small.data.copy(), np.ones(SMALL, dtype=bool)
    if masked:
        data[1, 3:6, 2] = np.nan
        use[:, 10:] = False
        use[3, :, :4] = False
    for error in (0.5, small.error):
        noise = CorrelatedNoise(data, error, correlation_of(beam, floor, channels), use, exact=True)
        allowed = use & np.isfinite(data)
        expected = dense_noise.log_like(small.data, error, beam, floor, small.model, allowed, channels)
        # Rounding, 1e-16 times the condition of the matrix, under 1e5.
        assert noise(small.model) == pytest.approx(expected, rel=1e-8)
        assert noise.n == noise.voxels == allowed.sum()
        nothing = dense_noise.log_like(small.data, error, beam, floor, 0.0, allowed, channels)
        assert noise.data_square == pytest.approx(-2.0 * nothing, rel=1e-8)


def test_the_slant_of_the_beam_is_that_of_the_conventions(small):
    # At position angle 20 the major axis points North and a little East, which is towards smaller x.
    noise = correlation_of(SLANTED, 1e-2)
    assert noise.at(3, -1) > 2.0 * noise.at(3, 1)
    mirrored = correlation_of((4.0, 2.0, -20.0), 1e-2)
    right, wrong = (CorrelatedNoise(small.data, 0.5, c, exact=True)(small.model) for c in (noise, mirrored))
    assert abs(right / wrong - 1.0) > 0.01


# -- intervals of the default ------------------------------------------------------------------------------------


def everything(cube):
    return np.ones(cube.shape, dtype=bool)


def near_signal(cube):
    return np.array([ndimage.binary_dilation(plane > 0.05 * cube.max(), iterations=2) for plane in cube])


def circle(cube):
    y, x = np.ogrid[: cube.shape[1], : cube.shape[2]]
    middle = 0.5 * (cube.shape[1] - 1)
    return np.broadcast_to(np.hypot(y - middle, x - middle) < middle, cube.shape)


def blank_lines(cube):
    use = everything(cube)
    use[:, 10:12] = False
    use[:, :, 25] = False
    return use


def few_gone(cube):
    """Six voxels of two channels, one on the edge and two next to each other, right where the disc is."""
    use = everything(cube)
    middle = cube.shape[1] // 2
    for y, x in ((middle, middle - 3), (middle + 4, middle + 2), (middle + 4, middle + 3), (0, 5)):
        use[2, y, x] = False
    use[3, middle - 1, middle] = use[3, middle + 7, middle - 6] = False
    return use


# Shape, beam, disc, voxels used, how they are treated; the largest error of an interval, claimed and in truth.
FIELD = (6, 40, 40)
CASES = {
    "disc inside": (FIELD, (5.0, 3.5, 25.0), {}, everything, FieldModes, 0.01, 0.02),
    "disc to the edges": (FIELD, (5.0, 3.5, 25.0), {"scale": 8.0}, everything, FieldModes, 0.01, 0.02),
    "disc off centre": (FIELD, (6.0, 3.0, 20.0), {"scale": 8.0, "east": 10.0}, everything, FieldModes, 0.01, 0.02),
    "wide beam": ((6, 40, 41), (7.0, 7.0, 0.0), {"scale": 8.0}, everything, FieldModes, 0.02, 0.02),
    "narrow beam": ((6, 39, 40), (3.0, 3.0, 0.0), {"scale": 6.0}, everything, FieldModes, 0.01, 0.01),
    # The worst for a continuation along rows and columns.
    "two to one at 45 deg": (FIELD, (7.0, 3.5, 45.0), {"scale": 5.0}, everything, FieldModes, 0.01, 0.04),
    "small field": ((6, 32, 32), (5.0, 3.5, 25.0), {}, everything, MaskModes, 0.01, 0.01),
    "small field, disc to the edges": (
        (6, 32, 33), (6.0, 3.0, 20.0), {"scale": 8.0}, everything, MaskModes, 0.01, 0.01,
    ),
    "mask near the signal": ((6, 36, 36), (5.0, 3.5, 25.0), {}, near_signal, MaskModes, 0.01, 0.01),
    "mask near the signal, wide beam": (FIELD, (7.0, 7.0, 0.0), {"scale": 8.0}, near_signal, MaskModes, 0.01, 0.015),
    "circular field": ((6, 36, 36), (5.0, 3.5, 25.0), {"scale": 6.0}, circle, MaskModes, 0.01, 0.01),
    "blank rows and column": (FIELD, (5.0, 3.5, 25.0), {}, blank_lines, MaskModes, 0.01, 0.01),
    "single voxels missing": (FIELD, (5.0, 3.5, 25.0), {}, few_gone, FieldModes, 0.01, 0.02),
    "single voxels missing, narrow beam": (FIELD, (3.0, 3.0, 0.0), {}, few_gone, FieldModes, 0.01, 0.01),
}  # fmt: skip


def fisher(kind, slopes):
    projected = np.array([kind.of(slope) for slope in slopes]).astype(float)
    return projected @ projected.T


def response(kind, use):
    """What one channel's modes make of single voxels, shape (voxels, modes)."""
    cube, rows = np.zeros((1, *use.shape), dtype=np.float32), []
    for y, x in np.argwhere(use):
        cube[0, y, x] = 1.0
        rows.append(kind.of(cube))
        cube[0, y, x] = 0.0
    return np.array(rows, dtype=float)


@pytest.mark.parametrize(
    ("name", "floor"),
    [(name, 1e-3) for name in CASES] + [(name, 1e-2) for name in ("disc off centre", "wide beam", "circular field")],
)
def test_intervals_of_the_default(name, floor):
    """Of ten parameters of a disc: the intervals that a fit would claim, and how far its best values scatter.

    The best values of a quadratic likelihood with the matrix Q are F^-1 J^T Q data; of data with the covariance C they
    have the covariance F^-1 J^T Q C Q J F^-1, with F = J^T Q J, which is F^-1 only if Q is C^-1.
    """
    shape, beam, disc, mask, kind, claim, truth = CASES[name]
    cube, slopes = dense_noise.derivatives(shape, beam, dv=30.0, **disc)
    use = mask(cube)
    correlation = correlation_of(beam, floor)
    default = choose_modes(correlation, use)
    assert type(default) is kind
    slopes = np.where(use, slopes, 0.0)
    exact = dense_noise.widths(dense_noise.exact_fisher(slopes, beam, floor, use))
    claimed = dense_noise.widths(fisher(default, slopes))
    # The issue allows 2 %; what is stated here is less.
    np.testing.assert_allclose(claimed / exact, 1.0, atol=claim)

    information, scatter, known = 0.0, 0.0, {}
    for v in np.flatnonzero(use.any(axis=(1, 2))):
        key = use[v].tobytes()
        if key not in known:
            y, x = np.nonzero(use[v])
            one = use[v : v + 1]
            single = MaskModes(correlation, one) if kind is MaskModes else FieldModes(correlation, _Field.of(one))
            turned = response(single, use[v])
            known[key] = turned @ turned.T, dense_noise.covariance(beam, floor, (0 * y, y, x))
        matrix, covariance = known[key]
        of_channel = slopes[:, v][:, use[v]]
        weighted = of_channel @ matrix
        information = information + weighted @ of_channel.T
        scatter = scatter + weighted @ covariance @ weighted.T
    inverse = np.linalg.inv(information)
    np.testing.assert_allclose(np.sqrt(np.diag(inverse)), claimed, rtol=1e-3)  # the same quadratic form
    true = np.sqrt(np.diag(inverse @ scatter @ inverse))
    assert (true > 0.999 * exact).all()  # nothing is better than the whole matrix
    np.testing.assert_allclose(true / claimed, 1.0, atol=truth)


@pytest.mark.parametrize("channels", ["hanning", "hanning half"])
@pytest.mark.parametrize("mask", [everything, near_signal])
def test_intervals_with_correlated_channels(channels, mask):
    beam, floor = (5.0, 3.5, 25.0), 1e-3
    shape = (4, 40, 40) if mask is everything else (4, 32, 32)
    cube, slopes = dense_noise.derivatives(shape, beam, dv=50.0)
    use = mask(cube)
    default = choose_modes(correlation_of(beam, floor, channels), use)
    assert type(default) is (FieldModes if mask is everything else MaskModes)
    slopes = np.where(use, slopes, 0.0)
    if mask is everything:
        # Channels apart, pixels apart: (1 - f) K x S + f has the eigenvectors of K x S.
        line = dense_noise.channel_correlation(channels)
        k = sum(c * (np.eye(4, k=n) + (np.eye(4, k=-n) if n else 0.0)) for n, c in enumerate(line))
        y, x = np.divmod(np.arange(shape[1] * shape[2]), shape[2])
        size, turn = np.linalg.eigh(k)
        values, vectors = np.linalg.eigh(dense_noise.covariance(beam, 0.0, (0 * y, y, x)))
        turned = np.einsum("avp,vu->aup", slopes.reshape(10, 4, -1), turn) @ vectors
        white = turned / np.sqrt((1.0 - floor) * np.outer(size, values) + floor)
        exact = dense_noise.widths(np.einsum("aup,bup->ab", white, white))
    else:
        covariance = dense_noise.covariance(beam, floor, np.nonzero(use), channels)
        of_voxels = slopes[:, use]
        exact = dense_noise.widths(of_voxels @ np.linalg.solve(covariance, of_voxels.T))
    np.testing.assert_allclose(dense_noise.widths(fisher(default, slopes)) / exact, 1.0, atol=0.01)


def test_thinning_out_of_wide_beams_widens_little():
    """Means over squares of pixels are what very wide beams leave: 2 % of an interval at most."""
    beam, floor = (9.0, 9.0, 0.0), 1e-3
    cube, slopes = dense_noise.derivatives((4, 48, 48), beam, scale=8.0, dv=50.0)
    use = everything(cube)
    default = choose_modes(correlation_of(beam, floor), use)
    assert default._step == 3
    exact = dense_noise.widths(dense_noise.exact_fisher(slopes, beam, floor, use))
    np.testing.assert_allclose(dense_noise.widths(fisher(default, slopes)) / exact, 1.0, atol=0.02)


# -- one likelihood of many faces --------------------------------------------------------------------------------


MASKS = {"field": everything, "mask": near_signal}


def mock(shape=(5, 40, 41), beam=(5.0, 3.5, 25.0), channels="independent", mask="field", **arguments):
    """A disc's cube, its noise, and the likelihood."""
    cube, _ = dense_noise.derivatives(shape, beam, dv=40.0)
    cube = cube / cube.max() * 10.0
    correlation = correlation_of(beam, 1e-3, channels)
    data = cube + correlation.draw(shape, seed=5)
    return cube, CorrelatedNoise(data, 1.0, correlation, MASKS[mask](cube), **arguments)


@pytest.mark.parametrize("channels", ["independent", "hanning"])
@pytest.mark.parametrize("mask", MASKS)
def test_products_are_those_of_chi2(channels, mask):
    cube, noise = mock(channels=channels, mask=mask)
    square, product = noise.products(cube)
    for scale in (1.0, 0.5, -2.0, 0.0):
        expected = noise.data_square - 2.0 * scale * product + scale**2 * square
        # Modes are in single precision, and those of the model are a hundred times the residual's.
        assert noise.chi2(scale * cube) == pytest.approx(expected, rel=1e-4)
        assert noise(scale * cube) == -0.5 * noise.chi2(scale * cube)
    assert noise.chi2(np.zeros(cube.shape)) == pytest.approx(noise.data_square, rel=1e-6)


@pytest.mark.parametrize("channels", ["independent", "hanning"])
@pytest.mark.parametrize("mask", MASKS)
def test_the_number_of_threads_changes_no_bit(channels, mask, monkeypatch):
    monkeypatch.setattr("kinms.modes._WORTH", 0)
    cube, noise = mock(channels=channels, mask=mask)
    found = []
    try:
        for number in (1, 2, 4):
            km.set_threads(number)
            _, again = mock(channels=channels, mask=mask)
            found.append((noise.chi2(cube), noise.products(cube), again.chi2(cube), again.n, again.data_square))
    finally:
        km.set_threads(None)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    "arguments", [{}, {"channels": "hanning"}, {"mask": "mask"}, {"shape": (3, 12, 12), "exact": True}]
)
def test_pickling_changes_no_bit(arguments):
    cube, noise = mock(**arguments)
    again = pickle.loads(pickle.dumps(noise))
    assert again.chi2(cube) == noise.chi2(cube)
    assert again.products(cube) == noise.products(cube)
    assert (again.n, again.voxels, again.error, again.remarks) == (noise.n, noise.voxels, noise.error, noise.remarks)


def test_errors_scale_and_weigh():
    cube, noise = mock()
    rng = np.random.default_rng(2)
    error = rng.uniform(0.5, 3.0, cube.shape)
    correlation = noise.correlation
    data = cube + error * correlation.draw(cube.shape, seed=5)
    weighted = CorrelatedNoise(data, error, correlation)
    # A cube divided by its errors is one of unit error.
    same = CorrelatedNoise(data / error, 1.0, correlation)
    assert weighted.error == np.median(error)
    assert weighted.chi2(0.9 * cube) == pytest.approx(same.chi2(0.9 * cube / error), rel=1e-4)
    doubled = CorrelatedNoise(data, 2.0 * error, correlation)
    assert doubled.chi2(0.9 * cube) == pytest.approx(0.25 * weighted.chi2(0.9 * cube), rel=1e-4)


def test_voxels_without_data_or_error_or_mask_do_not_count():
    cube, noise = mock(shape=(4, 30, 31))
    data = noise.correlation.draw(cube.shape, seed=6)
    mask, blanked, error = np.ones(cube.shape, dtype=bool), data.copy(), np.ones(cube.shape)
    mask[0], blanked[1, :, 20:], error[2, 10:] = False, np.nan, np.inf
    whole = CorrelatedNoise(blanked, error, noise.correlation, mask)
    use = mask & np.isfinite(blanked) & np.isfinite(error)
    assert whole.voxels == use.sum()
    plain = CorrelatedNoise(data, 1.0, noise.correlation, use)
    assert whole.chi2(cube) == pytest.approx(plain.chi2(cube), rel=1e-6)
    beyond = np.where(use, cube, 1e3)
    assert whole.chi2(beyond) == pytest.approx(whole.chi2(cube), rel=1e-6)


def test_inputs_are_left_alone():
    cube, noise = mock()
    use = few_gone(cube)
    data = noise.correlation.draw(cube.shape, seed=6).astype(np.float32)
    before, model = data.copy(), cube.astype(np.float32)
    model_before = model.copy()
    likelihood = CorrelatedNoise(data, 1.0, noise.correlation, use)
    assert isinstance(likelihood.modes, FieldModes)
    likelihood(model)
    np.testing.assert_array_equal(data, before)
    np.testing.assert_array_equal(model, model_before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_model_that_is_not_finite_is_impossible(bad):
    for arguments in ({}, {"mask": "mask"}, {"shape": (3, 12, 12), "exact": True}):
        cube, noise = mock(**arguments)
        cube = cube.copy()
        cube[2, cube.shape[1] // 2, cube.shape[2] // 2] = bad
        with np.errstate(invalid="ignore", over="ignore"):
            assert noise(cube) == -np.inf


def test_smooth_offsets_are_little_evidence_and_rough_ones_much():
    noise = CorrelatedNoise(np.zeros((2, 40, 40)), 1.0, correlation_of(ROUND, 1e-3))
    white = WhiteNoise(np.zeros((2, 40, 40)), 1.0)
    smooth = np.full((2, 40, 40), 0.3)
    assert noise.chi2(smooth) < 0.1 * white.chi2(smooth)
    wave = np.sin(2.0 * np.pi / 4.0 * np.arange(40)) * smooth
    assert noise.chi2(wave) > 10.0 * white.chi2(wave)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"error": 0.0}, InputError, "the error is 0; expected > 0"),
        ({"error": -1.0}, InputError, "the error is -1; expected > 0"),
        ({"error": np.nan}, InputError, "the error is nan; expected a finite number"),
        ({"error": np.zeros((2, 12, 12))}, InputError, "the error is zero or negative in some voxels"),
        ({"mask": np.zeros((2, 12, 12), dtype=bool)}, InputError, "the mask is without a single usable voxel"),
        ({"data": np.full((2, 12, 12), np.nan)}, InputError, "data is without a single finite voxel"),
        ({"data": np.zeros((12, 12))}, InputError, r"the shape of data is \(12, 12\); expected \(nv, ny, nx\)"),
        ({"correlation": Beam(4.0)}, InputTypeError, r"correlation is Beam.* expected a Correlation.*of_beam"),
        (
            {"correlation": Correlation.of_beam(Beam(10.0, 4.0, 0.0), 1.0)},
            InputError,
            "the correlation is 14.1 pixels wide in y; expected at most the field, 12.* or the likelihood 'inflated'",
        ),
        (
            {"correlation": Correlation.of_beam(Beam(10.0, 4.0, 90.0), 1.0)},
            InputError,
            "the correlation is 14.1 pixels wide in x",
        ),
    ],
)
def test_bad_noise(arguments, error, message):
    given = {"data": np.zeros((2, 12, 12)), "error": 1.0, "correlation": Correlation.of_beam(Beam(4.0), 1.0)}
    with pytest.raises(error, match=message):
        CorrelatedNoise(**{**given, **arguments})


def test_too_many_voxels_to_be_exact():
    with pytest.raises(InputError, match=r"exact is True for 14400 voxels in one matrix.* Leave out exact=True"):
        CorrelatedNoise(np.zeros((1, 120, 120)), 1.0, Correlation.of_beam(Beam(4.0), 1.0), exact=True)


def test_model_of_another_shape():
    _, noise = mock()
    with pytest.raises(InputError, match=r"the shape of the model is \(2, 2\); expected \(5, 40, 41\), as the data"):
        noise(np.zeros((2, 2)))


# -- a disc's posterior ------------------------------------------------------------------------------------------


BRUTE = CubeGrid(SMALL, 1.0, 40.0)


@pytest.fixture(scope="module")
def disc():
    light, rotation = km.ExponentialDisc(1.5), km.ArctanCurve(60.0, 1.0)
    return km.Disc(surface_brightness=light, rotation=rotation, inc=45.0, pa=30.0, flux=5.0, sigma_gas=15.0)


@pytest.mark.parametrize("flux", ["given", "best", "marginal"])
@pytest.mark.parametrize(
    ("exact", "tolerance"), [(True, 1e-5), (False, 2e-2)], ids=["exact", "default"]
)  # rounding of single precision; half of what the interval's 1 % makes of chi-squared
def test_posterior_of_a_disc_is_that_of_brute_force(disc, flux, exact, tolerance):
    beam, floor, rms = (4.0, 3.0, 20.0), 1e-2, 0.02
    model = Model(disc, BRUTE, Beam(*beam))
    noise = correlation_of(beam, floor, "hanning")
    data = np.asarray(model(disc)) + rms * noise.draw(SMALL, seed=9)
    likelihood = CorrelatedNoise(data, rms, noise, exact=exact)
    cube = Cube(data, BRUTE, Beam(*beam))
    free = {"inc": Uniform(10.0, 80.0), "rotation.v_max": Uniform(20.0, 120.0)}
    posterior = DiscPosterior(disc, cube, free, likelihood, flux=flux)
    inverse = np.linalg.inv(rms**2 * dense_noise.covariance(beam, floor, np.nonzero(data < np.inf), "hanning"))

    def brute(vector):
        m = np.asarray(model(disc.replace(inc=vector[0], rotation=km.ArctanCurve(vector[1], 1.0))), float).ravel()
        d = data.ravel()
        if flux == "given":
            return -0.5 * (m - d) @ inverse @ (m - d)
        # Over a fine grid of fluxes, in units of the disc's.
        scale = np.linspace(-5.0, 7.0, 400_001)
        chi2 = d @ inverse @ d - 2.0 * scale * (m @ inverse @ d) + scale**2 * (m @ inverse @ m)
        if flux == "best":
            return -0.5 * chi2.min()
        least = chi2.min()
        return -0.5 * least + np.log(np.trapezoid(np.exp(-0.5 * (chi2 - least)), scale * disc.flux))

    start = np.array([45.0, 60.0])
    prior = -np.log(70.0) - np.log(100.0)
    if exact:
        assert posterior(start) == pytest.approx(brute(start) + prior, rel=tolerance)
    for other in ([50.0, 55.0], [38.0, 75.0]):
        expected, found = brute(other) - brute(start), posterior(other) - posterior(start)
        assert found == pytest.approx(expected, rel=tolerance, abs=2.0 * tolerance)
    best, error = posterior.best_flux(start)
    m, d = np.asarray(model(disc), float).ravel(), data.ravel()
    square = m @ inverse @ m
    assert error == pytest.approx(disc.flux / np.sqrt(square), rel=max(tolerance, 1e-5))
    assert abs(best - disc.flux * (m @ inverse @ d) / square) < max(0.2 * (not exact), 1e-3) * error
    # Of a disc that has its best flux already, in single precision.
    assert posterior.disc_at(start).flux == pytest.approx(disc.flux if flux == "given" else best, rel=1e-5)
    assert pickle.loads(pickle.dumps(posterior))([50.0, 55.0]) == posterior([50.0, 55.0])
