"""How noise is correlated: tables against the conventions, draws against their statistics, and refusals."""

import dense_noise
import numpy as np
import pytest

from kinms.correlation import CHANNELS, FLOOR, Correlation
from kinms.errors import InputError, InputTypeError
from kinms.grid import Beam

BEAM = (5.0, 3.0, 20.0)
FLOOR_USED = 0.02


@pytest.fixture(scope="module")
def correlation():
    return Correlation.of_beam(Beam(*BEAM), 1.0, FLOOR_USED, "hanning")


# -- tables ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beam", [(4.0, 4.0, 0.0), BEAM, (6.0, 3.0, 110.0), (3.0, 2.0, -45.0)])
@pytest.mark.parametrize("cell", [1.0, 0.5])
def test_correlation_of_a_beam_is_the_beam_with_itself(beam, cell):
    found = Correlation.of_beam(Beam(*beam), cell)
    dy, dx = np.mgrid[-12:13, -12:13]
    np.testing.assert_allclose(found.at(dy, dx), dense_noise.shared(beam, dy, dx, cell), atol=1e-9)
    assert found.floor == FLOOR
    # The kernel with itself, by brute force: sampled Gaussians convolve to Gaussians up to aliasing.
    kernel = Beam(*beam).kernel(cell)
    spectrum = np.abs(np.fft.fft2(kernel, s=(64, 64))) ** 2
    measured = np.fft.ifft2(spectrum).real
    np.testing.assert_allclose(found.at(dy, dx), measured[dy % 64, dx % 64] / measured[0, 0], atol=1e-4)


def test_widths_and_independent_pixels():
    found = Correlation.of_beam(Beam(6.0, 4.0, 0.0), 1.0)
    # North is y: FWHM x sqrt(2), to the error of interpolating a Gaussian over a pixel.
    assert found.fwhm == pytest.approx((6.0 * np.sqrt(2.0), 4.0 * np.sqrt(2.0)), rel=0.01)
    # The square of a Gaussian sqrt(2) as wide is the beam: its area.
    assert found.pixels == pytest.approx(Beam(6.0, 4.0, 0.0).pixels(1.0), rel=1e-6)
    white = Correlation(np.ones((1, 1)))
    assert (white.pixels, white.lags, white.fwhm) == (1.0, (0, 0), (2.0, 2.0))


def test_beyond_the_table_there_is_nothing(correlation):
    ly, lx = correlation.lags
    assert correlation.at(ly + 1, 0) == correlation.at(0, -lx - 1) == 0.0
    assert correlation.at(0, 0) == 1.0
    assert correlation.at([0, ly + 5], [0, 0]).tolist() == [1.0, 0.0]


def test_matrices_are_those_of_the_definition(correlation):
    v, y, x = (index.ravel() for index in np.mgrid[:3, :6, :5])
    found = (1.0 - FLOOR_USED) * correlation.matrix(y, x) * correlation.channel_matrix(v) + FLOOR_USED * np.eye(90)
    np.testing.assert_allclose(found, dense_noise.covariance(BEAM, FLOOR_USED, (v, y, x), "hanning"), atol=1e-12)


@pytest.mark.parametrize("name", CHANNELS)
def test_known_correlations_of_channels(name):
    found = Correlation(np.ones((1, 1)), channels=name).channels
    np.testing.assert_allclose(found, dense_noise.channel_correlation(name), atol=1e-15)


def test_power_is_the_transform_of_the_table(correlation):
    power = correlation.power(64, 60)
    assert power.mean() == pytest.approx(1.0, rel=1e-12)
    assert power.min() >= 0.0
    dy, dx = np.mgrid[-25:26, -25:26]
    table = np.fft.ifft2(power).real
    np.testing.assert_allclose(table[dy % 64, dx % 60], correlation.at(dy, dx), atol=1e-10)


def test_a_table_no_noise_can_have_is_mended():
    box = np.ones((3, 3))  # the transform of a box is negative in places
    found = Correlation(box)
    assert found.power(32, 32).min() >= 0.0
    assert found.table[1, 1] == 1.0
    np.testing.assert_array_equal(found.table, found.table[::-1, ::-1])
    assert 0.3 < found.at(0, 1) < 1.0


def test_a_record_of_frozen_arrays(correlation):
    assert correlation == Correlation.of_beam(Beam(*BEAM), 1.0, FLOOR_USED, [1.0, 2.0 / 3.0, 1.0 / 6.0])
    assert correlation != correlation.replace(floor=0.5)
    for array in (correlation.table, correlation.channels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


# -- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"table": np.ones((2, 3))}, InputError, r"table is of shape \(2, 3\), .* expected odd axes, 1 at lag 0"),
        ({"table": 0.5 * np.ones((1, 1))}, InputError, "largest value 0.5; expected odd axes, 1 at lag 0"),
        ({"table": [[0.1, 1.0, 0.9]]}, InputError, "table is not symmetric about its middle"),
        ({"table": [[1.0, 0.5, 1.0]]}, InputError, "table is not symmetric about its middle"),
        ({"table": [[np.nan]]}, InputError, "table"),
        ({"table": [[2.0]]}, InputError, "table"),
        ({"floor": 0.0}, InputError, "floor is 0"),
        ({"floor": -0.1}, InputError, "floor is -0.1"),
        ({"floor": 1.5}, InputError, "floor is 1.5"),
        ({"floor": np.nan}, InputError, "floor is nan; expected a finite number"),
        ({"channels": "boxcar"}, InputError, "channels is 'boxcar'; expected numbers, or one of independent, hanning"),
        ({"channels": [0.5, 0.1]}, InputError, r"channels is \[0.5, 0.1\]; expected 1 for the channel itself"),
        ({"channels": []}, InputError, r"channels is \[\]; expected 1 for the channel itself"),
        ({"channels": [1.0, 0.8]}, InputError, "a correlation that noise can have. Hanning smoothing gives 2/3 and"),
        ({"channels": [1.0, 2.0]}, InputError, "channels"),
    ],
)
def test_bad_correlations(arguments, error, message):
    with pytest.raises(error, match=message):
        Correlation(**{"table": np.ones((1, 1)), **arguments})


def test_numbers_must_be_numbers():
    with pytest.raises((InputError, InputTypeError), match="floor"):
        Correlation(np.ones((1, 1)), floor="little")


# -- draws -------------------------------------------------------------------------------------------------------

SHAPE = (40, 61, 74)


@pytest.fixture(scope="module")
def drawn(correlation):
    return correlation.draw(SHAPE, seed=11)


def independent_channels(correlation):
    """As many independent channels as these: the variance of a mean square is that of n / sum of squares."""
    both = np.concatenate([correlation.channels, correlation.channels[1:]])
    return SHAPE[0] / float((both**2).sum())


def error_of_products(correlation):
    """1 sigma of a mean product of two unit Gaussians over the cube: at most sqrt(2 / independent ones)."""
    return np.sqrt(2.0 * correlation.pixels / (SHAPE[1] * SHAPE[2] * independent_channels(correlation)))


def test_noise_has_unit_variance_and_no_mean(correlation, drawn):
    assert drawn.shape == SHAPE
    assert (drawn**2).mean() == pytest.approx(1.0, abs=4.0 * error_of_products(correlation))
    # The mean of correlated pixels: the sum of the table takes the place of that of its square, twice as much.
    assert abs(drawn.mean()) < 4.0 * error_of_products(correlation) * np.sqrt(2.0)


def test_noise_is_as_strong_at_the_edge_as_inside(correlation, drawn):
    for edge in (drawn[:, 0], drawn[:, -1], drawn[:, :, 0], drawn[:, :, -1]):
        along = correlation.fwhm[0 if edge.shape[1] == SHAPE[1] else 1]
        n = edge.shape[1] / along * independent_channels(correlation)
        assert (edge**2).mean() == pytest.approx(1.0, abs=4.0 * np.sqrt(2.0 / n))


@pytest.mark.parametrize("lag", [(0, 0), (0, 1), (1, 0), (2, 1), (2, -1), (4, -2), (0, 15), (30, 30)])
@pytest.mark.parametrize("apart", [0, 1, 2, 3])
def test_noise_is_correlated_as_asked(correlation, drawn, lag, apart):
    dy, dx = lag
    first = drawn[: SHAPE[0] - apart, : SHAPE[1] - dy, max(0, -dx) : SHAPE[2] - max(0, dx)]
    second = drawn[apart:, dy:, max(0, dx) : SHAPE[2] + min(0, dx)]
    spectral = np.append(dense_noise.channel_correlation("hanning"), 0.0)[apart]
    expected = (1.0 - FLOOR_USED) * spectral * dense_noise.shared(BEAM, dy, dx)
    if lag == (0, 0) and apart == 0:
        expected = 1.0
    share = np.sqrt(drawn.size / first.size)
    assert (first * second).mean() == pytest.approx(expected, abs=4.0 * error_of_products(correlation) * share)


def test_opposite_edges_know_nothing_of_each_other(correlation, drawn):
    for first, second in ((drawn[:, 0], drawn[:, -1]), (drawn[:, :, 0], drawn[:, :, -1])):
        n = first.shape[1] / 5.0 * independent_channels(correlation)
        assert abs((first * second).mean()) < 4.0 / np.sqrt(n)


def test_channels_of_the_ends_are_no_exception(correlation):
    # Of many short cubes: all variances and products of four channels, where each is made of those before it.
    cubes = np.array([correlation.draw((4, 31, 32), seed=s) for s in range(20)])
    found = np.einsum("svyx,suyx->vu", cubes, cubes) / cubes[:, 0].size
    line = np.append(dense_noise.channel_correlation("hanning"), 0.0)
    apart = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    expected = (1.0 - FLOOR_USED) * line[apart] + FLOOR_USED * np.eye(4)
    error = np.sqrt(2.0 * correlation.pixels / cubes[:, 0].size)
    np.testing.assert_allclose(found, expected, atol=4.0 * error)


def test_the_same_seed_gives_the_same_bits(correlation):
    first = correlation.draw((3, 17, 20), seed=4)
    np.testing.assert_array_equal(first, correlation.draw((3, 17, 20), seed=4))
    np.testing.assert_array_equal(first, correlation.draw((3, 17, 20), seed=np.random.SeedSequence(4)))
    assert not np.array_equal(first, correlation.draw((3, 17, 20), seed=5))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 5), (2, 1, 9), (3, 33, 2)])
def test_any_shape(correlation, shape):
    assert correlation.draw(shape, seed=1).shape == shape
    assert np.isfinite(correlation.draw(shape, seed=1)).all()


def test_white_noise_is_white():
    cube = Correlation(np.ones((1, 1))).draw((4, 50, 51), seed=3)
    assert (cube**2).mean() == pytest.approx(1.0, abs=4.0 * np.sqrt(2.0 / cube.size))
    assert abs((cube[:, 1:] * cube[:, :-1]).mean()) < 4.0 / np.sqrt(cube.size)


def test_the_floor_is_part_of_the_variance():
    correlation = Correlation.of_beam(Beam(*BEAM), 1.0, floor=0.4)
    cube = correlation.draw(SHAPE, seed=12)
    error = np.sqrt(2.0 * correlation.pixels / cube.size)
    assert (cube**2).mean() == pytest.approx(1.0, abs=4.0 * error)
    beside = (cube[:, 1:] * cube[:, :-1]).mean()
    assert beside == pytest.approx(0.6 * dense_noise.shared(BEAM, 1, 0), abs=4.0 * error)
