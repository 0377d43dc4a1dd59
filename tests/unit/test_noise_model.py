"""`NoiseModel.estimate` on mock cubes of known noise, what `sample` makes of it, and refusals.

Mocks come from `correlated_noise`, which `tests/unit/test_noise.py` holds to its definition, and from taps over its
channels: nothing here is drawn by what is estimated, but for `sample` itself.
"""

import numpy as np
import pytest

from kinms.correlation import Correlation
from kinms.cube import Cube
from kinms.errors import InputError
from kinms.grid import Beam, CubeGrid
from kinms.noise import NoiseModel, autocorrelation, correlated_noise

BEAM = Beam(5.0, 3.5, 20.0)
GRID = CubeGrid((16, 90, 80), cell=1.0, dv=10.0)
AREA = BEAM.pixels(1.0)  # also the pixels that a mean square counts as one
RMS = 0.02
#: 1 sigma of a mean product in units of rms^2, of the whole cube.
CHANCE = np.sqrt(2.0 * AREA / (16 * 90 * 80))
#: 1 sigma of an rms: a MAD knows it 1.65 times worse than a mean square.
RMS_CHANCE = 1.65 * 0.5 * CHANCE


def noise(seed=1, nv=16, beam=BEAM, rms=RMS):
    grid = CubeGrid((nv, 90, 80), cell=1.0, dv=10.0)
    return correlated_noise(grid, beam, rms, seed)


def cube_of(data, beam=BEAM):
    return Cube(data, CubeGrid(data.shape, cell=1.0, dv=10.0), beam)


def galaxy(peak=10.0 * RMS):
    y, x = np.mgrid[:90, :80] - 42.0
    v = np.arange(16)[:, None, None] - 8.0
    return peak * np.exp(-0.5 * ((x / 9.0) ** 2 + (y / 7.0) ** 2 + ((v - 0.2 * x) / 1.5) ** 2))


def lags(data, use=None, reach=(6, 6)):
    use = np.ones(data.shape, dtype=bool) if use is None else use
    return autocorrelation(np.where(use, data, 0.0), use, reach)[0]


# -- estimates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_galaxy", [False, True])
def test_noise_of_a_beam(with_galaxy):
    found = NoiseModel.estimate(cube_of(noise() + (galaxy() if with_galaxy else 0.0)))
    # The galaxy leaves two thirds of the voxels, and its wings below the mask a per cent of the rms.
    assert found.rms == pytest.approx(RMS, rel=4.0 * RMS_CHANCE + 0.015 * with_galaxy)
    assert found.error == found.rms  # the same in every channel
    assert found.noise_map is None
    assert found.correlation.channels.tolist() == [1.0]
    expected = Correlation.of_beam(BEAM, 1.0)
    np.testing.assert_array_equal(found.correlation.table, expected.table)
    assert found.correlation.floor < 0.02
    assert "correlation of the beam; measured it is as of one of" in found.messages[0]


def test_rms_of_each_channel():
    factors = np.linspace(0.7, 1.6, 16)
    found = NoiseModel.estimate(cube_of(noise() * factors[:, None, None]))
    of_channel = 4.0 * 4.0 * RMS_CHANCE  # a sixteenth of the voxels
    np.testing.assert_allclose(found.channel_rms, RMS * factors, rtol=of_channel)
    assert found.error.shape == (16, 1, 1)
    assert any(message.startswith("rms per channel, 0.01") for message in found.messages)
    same = NoiseModel.estimate(cube_of(noise() * factors[:, None, None]), per_channel=False)
    assert np.ptp(same.channel_rms) == 0.0
    asked = NoiseModel.estimate(cube_of(noise()), per_channel=True)
    assert np.ptp(asked.channel_rms) > 0.0
    np.testing.assert_allclose(asked.channel_rms, RMS, rtol=of_channel)


def test_gain_map():
    y, x = np.mgrid[:90, :80]
    gain = 1.0 + 1.5 * (np.hypot(y - 45, x - 40) / 60.0) ** 2
    gain[:3] = np.nan
    data = noise() * gain
    found = NoiseModel.estimate(cube_of(data), gain=7.0 / gain)
    scale = np.nanmedian(gain)
    np.testing.assert_allclose(found.noise_map, gain / scale, rtol=1e-12)  # any scale; NaN where there is none
    np.testing.assert_allclose(found.channel_rms, RMS * scale, rtol=4.0 * RMS_CHANCE)
    assert found.rms == pytest.approx(RMS * scale, rel=4.0 * RMS_CHANCE)
    np.testing.assert_allclose(found.error[0], RMS * gain, rtol=4.0 * RMS_CHANCE)
    whole = NoiseModel.estimate(cube_of(data), gain=np.broadcast_to(1.0 / gain, data.shape))
    np.testing.assert_allclose(whole.noise_map, found.noise_map)
    sample = found.sample(seed=3)
    assert sample.shape == data.shape
    assert np.isnan(sample[:, :3]).all()
    for part in (np.s_[:, 35:55, 30:50], np.s_[:, 3:20, :]):
        n = data[part].size / AREA
        assert sample[part].std() == pytest.approx(data[part].std(), rel=4.0 / np.sqrt(n))


@pytest.mark.parametrize(
    ("taps", "expected"), [([0.25, 0.5, 0.25], [1.0, 2.0 / 3.0, 1.0 / 6.0]), ([0.5, 0.5], [1.0, 0.5])]
)
def test_channels_that_were_smoothed(taps, expected):
    raw = noise(nv=16 + len(taps) - 1)
    data = sum(tap * raw[k : k + 16] for k, tap in enumerate(taps)) / np.linalg.norm(taps)
    found = NoiseModel.estimate(cube_of(data)).correlation.channels
    # Fewer independent channels: twice the error.
    np.testing.assert_allclose(found, expected, atol=4.0 * 2.0 * CHANCE)
    given = NoiseModel.estimate(cube_of(data), channels="hanning").correlation.channels
    np.testing.assert_allclose(given, [1.0, 2.0 / 3.0, 1.0 / 6.0])


def test_noise_narrower_than_the_beam():
    true = Beam(3.2, 2.6, 50.0)
    found = NoiseModel.estimate(cube_of(noise(beam=true)))
    assert "not that of the header" in found.messages[0]
    dy, dx = np.mgrid[-2:3, -2:3]
    # Of the core above 0.3; each of its values is known to CHANCE.
    wanted = Correlation.of_beam(true, 1.0).at(dy, dx)
    np.testing.assert_allclose(found.correlation.at(dy, dx), wanted, atol=0.03)
    beam = NoiseModel.estimate(cube_of(noise(beam=true)), spatial="beam")
    np.testing.assert_array_equal(beam.correlation.table, Correlation.of_beam(BEAM, 1.0).table)


def test_noise_as_large_as_the_beam_but_turned():
    found = NoiseModel.estimate(cube_of(noise(beam=Beam(5.0, 3.5, 110.0))))
    assert "not that of the header" in found.messages[0]
    assert found.correlation.at(0, 3) > found.correlation.at(3, 0)


def test_a_correlation_that_is_measured_though_it_is_the_beam():
    found = NoiseModel.estimate(cube_of(noise()), spatial="measured")
    dy, dx = np.mgrid[-3:4, -3:4]
    np.testing.assert_allclose(found.correlation.at(dy, dx), Correlation.of_beam(BEAM, 1.0).at(dy, dx), atol=0.03)


def test_noise_of_a_cube_without_a_beam():
    found = NoiseModel.estimate(cube_of(noise(), beam=None))
    assert found.messages[0].startswith("correlation measured, as of a beam of")
    assert found.correlation.at(3, 0) == pytest.approx(Correlation.of_beam(BEAM, 1.0).at(3, 0), abs=0.04)
    white = NoiseModel.estimate(cube_of(np.random.default_rng(1).normal(0.0, RMS, GRID.shape), beam=None))
    assert white.rms == pytest.approx(RMS, rel=0.02)
    assert white.correlation.at(0, 1) < 0.02


def test_white_part_of_the_variance():
    white = np.random.default_rng(5).normal(0.0, RMS, GRID.shape)
    data = np.sqrt(0.9) * noise() + np.sqrt(0.1) * white
    found = NoiseModel.estimate(cube_of(data))
    assert found.rms == pytest.approx(RMS, rel=4.0 * RMS_CHANCE)
    # Extrapolated from lags 1 and 2, whose errors it has a few times.
    assert found.correlation.floor == pytest.approx(0.1, abs=4.0 * CHANCE)
    assert NoiseModel.estimate(cube_of(data), floor=0.3).correlation.floor == 0.3


def test_signal_may_be_given():
    data, mask = noise() + galaxy(), galaxy() > 0.2 * RMS
    found = NoiseModel.estimate(cube_of(data), mask=mask)
    assert found.rms == pytest.approx(RMS, rel=4.0 * RMS_CHANCE * 1.3)
    # A mask of nothing: the galaxy then counts as noise, of which the median thinks little.
    nothing = NoiseModel.estimate(cube_of(data), mask=np.zeros(data.shape, dtype=bool))
    assert nothing.rms > found.rms


def test_blanks_and_artefacts_do_not_decide():
    data = noise()
    data[3, 10:14, 20:24] = 100.0 * RMS
    data[:, 60:] = np.nan
    found = NoiseModel.estimate(cube_of(data), mask=np.zeros(data.shape, dtype=bool))
    assert found.rms == pytest.approx(RMS, rel=4.0 * RMS_CHANCE * 1.3)
    assert found.correlation.floor < 0.02


def test_a_cube_full_of_signal():
    mask = np.ones((16, 90, 80), dtype=bool)
    mask[:, :6, :6] = False
    found = NoiseModel.estimate(cube_of(noise()), mask=mask)
    assert found.messages == ("too few voxels without signal to measure how the noise is correlated",)
    assert found.rms == pytest.approx(RMS, rel=0.05)
    np.testing.assert_array_equal(found.correlation.table, Correlation.of_beam(BEAM, 1.0).table)


# -- samples -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    correlation = Correlation.of_beam(BEAM, 1.0, 0.01, "hanning half")
    y, x = np.mgrid[:90, :80]
    return NoiseModel(np.linspace(1.0, 2.0, 30), correlation, 1.0 + 0.01 * x + 0.0 * y)


def test_a_sample_has_the_statistics_of_its_model(model):
    sample = model.sample(seed=8)
    assert sample.shape == (30, 90, 80)
    unit = sample / model.error
    chance = np.sqrt(2.0 * AREA / unit.size)
    of_channel = (unit**2).mean(axis=(1, 2))
    np.testing.assert_allclose(of_channel, 1.0, atol=4.5 * np.sqrt(30.0) * chance)
    assert (unit**2).mean() == pytest.approx(1.0, abs=4.0 * chance)
    dy, dx = np.mgrid[-6:7, -6:7]
    expected = 0.99 * model.correlation.at(dy, dx)
    expected[6, 6] = 1.0
    np.testing.assert_allclose(lags(unit), expected, atol=4.5 * chance)
    for apart, value in ((1, 0.99 / 6.0), (2, 0.0)):
        assert (unit[apart:] * unit[:-apart]).mean() == pytest.approx(value, abs=4.0 * chance)


def test_a_sample_is_estimated_as_what_it_was_drawn_from(model):
    found = NoiseModel.estimate(cube_of(model.sample(seed=9)), gain=1.0 / model.noise_map)
    # The median gain is one in what is estimated.
    np.testing.assert_allclose(found.error, model.error, rtol=4.5 * 1.65 * 0.5 * np.sqrt(2.0 * AREA / (90 * 80)))
    assert found.correlation.channels[1] == pytest.approx(0.99 / 6.0, abs=4.0 * CHANCE)
    np.testing.assert_array_equal(found.correlation.table, model.correlation.table)


def test_samples_follow_their_seed(model):
    np.testing.assert_array_equal(model.sample(seed=1), model.sample(seed=np.random.SeedSequence(1)))
    assert not np.array_equal(model.sample(seed=1), model.sample(seed=2))
    flat = model.replace(noise_map=None)
    assert flat.sample(seed=1).shape == (30, 64, 64)
    assert flat.sample(seed=1, shape=(7, 5)).shape == (30, 7, 5)
    with pytest.raises(InputError, match=r"shape is \(7, 5\); expected \(2, 3\), as the noise_map"):
        flat.replace(noise_map=np.ones((2, 3))).sample(seed=1, shape=(7, 5))


def test_signal_to_noise(model):
    cube = cube_of(np.full((30, 90, 80), 3.0))
    blanked = cube.data.copy()
    blanked[0, 0, 0] = np.nan
    mask = np.ones(cube.data.shape, dtype=bool)
    mask[1] = False
    found = model.signal_to_noise(cube.replace(data=blanked, mask=mask))
    assert np.isnan(found[0, 0, 0])
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[2:], np.broadcast_to(3.0 / model.error, cube.data.shape)[2:])
    assert np.nanstd(model.signal_to_noise(cube_of(model.sample(seed=1)))) == pytest.approx(1.0, abs=0.02)


def test_autocorrelation_is_the_mean_product_at_each_lag():
    rng = np.random.default_rng(3)
    data, use = rng.normal(size=(3, 9, 8)), rng.random((3, 9, 8)) < 0.8
    table, count = autocorrelation(np.where(use, data, 0.0), use, (2, 20))
    assert table.shape == count.shape == (5, 15)  # no lag is longer than the field
    for dy, dx in ((0, 0), (1, 0), (2, -3), (-2, 3), (0, 7)):
        pairs = [
            data[v, y, x] * data[v, y + dy, x + dx]
            for v, y, x in np.argwhere(use)
            if 0 <= y + dy < 9 and 0 <= x + dx < 8 and use[v, y + dy, x + dx]
        ]
        assert count[2 + dy, 7 + dx] == len(pairs)
        assert table[2 + dy, 7 + dx] == pytest.approx(np.mean(pairs) / (data[use] ** 2).mean(), abs=1e-12)


# -- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": np.ones((16, 90, 80), dtype=bool)}, "the mask is of signal everywhere; .* leaves voxels with noise"),
        ({"mask": np.ones((16, 90, 80))}, r"mask is an array of float64, shape \(16, 90, 80\); expected bool"),
        ({"mask": np.zeros((2, 2), dtype=bool)}, r"expected bool, shape \(16, 90, 80\)"),
        ({"gain": np.ones((2, 2))}, r"the shape of gain is \(2, 2\); expected \(90, 80\) or \(16, 90, 80\)"),
        ({"gain": np.zeros((90, 80))}, "gain is without any positive number; expected the sensitivity at"),
        ({"gain": np.full((90, 80), np.nan)}, "gain is without any positive number"),
        ({"gain": np.full((16, 90, 80), np.nan)}, "gain is without any positive number"),
        ({"spatial": "guess"}, "spatial is 'guess'; expected 'auto', 'beam' or 'measured'"),
        ({"floor": 2.0}, "floor is 2"),
        ({"channels": "boxcar"}, "channels is 'boxcar'"),
    ],
)
def test_bad_estimates(arguments, message):
    with pytest.raises(InputError, match=message):
        NoiseModel.estimate(cube_of(noise()), **arguments)


def test_cubes_without_noise_or_data():
    with pytest.raises(InputError, match=r"the measured rms is 0; expected noise in the data\. Give the error"):
        NoiseModel.estimate(cube_of(np.zeros((4, 60, 60))))
    with pytest.raises(InputError, match="the measured rms is 0"):
        NoiseModel.estimate(cube_of(np.zeros((1, 6, 6))))
    with pytest.raises(InputError, match="data is without any finite voxel"):
        NoiseModel.estimate(cube_of(np.full((4, 60, 60), np.nan)))
    with pytest.raises(InputError, match="data is without any finite voxel"):
        NoiseModel.estimate(cube_of(noise()).replace(mask=np.zeros((16, 90, 80), dtype=bool)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel_rms": [1.0, 0.0]}, r"channel_rms is \[1.0, 0.0\]; expected positive numbers, one per channel"),
        ({"channel_rms": [1.0, -1.0]}, "channel_rms"),
        ({"channel_rms": [1.0, np.nan]}, "channel_rms"),
        ({"channel_rms": []}, r"channel_rms is \[\]; expected positive numbers"),
        ({"noise_map": np.zeros((4, 4))}, r"noise_map is of shape \(4, 4\); expected a map of positive numbers"),
        ({"noise_map": -np.ones((4, 4))}, "expected a map of positive numbers"),
        ({"noise_map": np.full((4, 4), np.nan)}, "expected a map of positive numbers"),
        ({"noise_map": np.ones(4)}, r"noise_map is of shape \(4,\); expected a map"),
    ],
)
def test_bad_models(arguments, message):
    with pytest.raises(InputError, match=message):
        NoiseModel(**{"channel_rms": [1.0, 2.0], "correlation": Correlation(np.ones((1, 1))), **arguments})
