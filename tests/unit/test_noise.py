"""Noise: its size with and without signal, where signal is found, and mock noise with a beam's correlation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinms.cube import Cube
from kinms.errors import InputError
from kinms.grid import Beam, CubeGrid
from kinms.noise import correlated_noise, detection_mask, estimate_rms

SHAPE = (24, 48, 48)
#: The MAD of N Gaussian numbers scatters by 1.17 / sqrt(2 N); N here is one channel's, 2304.
SCATTER = 1.17 / np.sqrt(2 * 48 * 48)


@pytest.fixture
def white():
    return np.random.default_rng(11).normal(0.0, 0.7, SHAPE)


def disc(peak, channels=slice(None), radius=14.0):
    y, x = np.mgrid[:48, :48] - 24.0
    signal = np.zeros(SHAPE)
    signal[channels] = peak * np.exp(-0.5 * (x**2 + y**2) / (radius / 2.0) ** 2)
    return signal


def test_rms_of_white_noise(white):
    assert estimate_rms(white) == pytest.approx(0.7, rel=3 * SCATTER)


def test_rms_ignores_channels_with_a_line(white):
    clean = estimate_rms(white)
    assert estimate_rms(white + disc(20.0, slice(4, 20))) == pytest.approx(clean, rel=3 * SCATTER)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_rms_when_every_channel_holds_signal(white, sign):
    # Faint signal under the noise takes the tail of the mirrored side away: about 4 % low at most.
    assert estimate_rms(sign * (white + disc(20.0, radius=24.0))) == pytest.approx(0.7, rel=0.06)


def test_rms_over_a_continuum(white):
    assert estimate_rms(white + 50.0) == pytest.approx(0.7, rel=3 * SCATTER)


def test_rms_over_a_continuum_of_one_channel(white):
    assert estimate_rms(white[:1] + 50.0) == pytest.approx(0.7, rel=6 * SCATTER)


def test_rms_leaves_blanks_out(white):
    clean = estimate_rms(white)
    keep = np.zeros(SHAPE, dtype=bool)
    keep[:, 12:36, 8:40] = True
    for blank in (np.nan, 0.0, np.inf):
        assert estimate_rms(np.where(keep, white, blank)) == pytest.approx(clean, rel=6 * SCATTER)
    assert estimate_rms(np.where(keep, white, 99.0), keep) == estimate_rms(np.where(keep, white, np.nan))


def test_rms_of_single_precision_and_foreign_byte_order(white):
    assert estimate_rms(white.astype(">f4")) == pytest.approx(estimate_rms(white), rel=1e-6)


def test_rms_of_nothing():
    assert estimate_rms(np.zeros(SHAPE)) == 0.0
    assert estimate_rms(np.full(SHAPE, 3.0)) == 0.0
    with pytest.raises(InputError, match="data is without any finite voxel"):
        estimate_rms(np.full(SHAPE, np.nan))
    with pytest.raises(InputError, match=r"shape of data is \(48, 48\)"):
        estimate_rms(np.zeros((48, 48)))
    with pytest.raises(InputError, match="shape of valid"):
        estimate_rms(np.zeros(SHAPE), np.ones((48, 48), dtype=bool))


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))
def test_rms_scales_with_the_data(scale, seed):
    data = np.random.default_rng(seed).normal(size=(5, 12, 12))
    assert estimate_rms(scale * data) == pytest.approx(scale * estimate_rms(data), rel=1e-9)


GRID = CubeGrid((60, 90, 80), cell=1.0, dv=10.0)
BEAM = Beam(6.0, 3.0, bpa=20.0)


@pytest.fixture(scope="module")
def mock():
    return correlated_noise(GRID, BEAM, rms=0.02, seed=3)


def test_mock_noise_has_the_rms(mock):
    # About one independent number per 2 beam areas: 60 * 90 * 80 / (2 * 20) of them.
    independent = mock.size / (2 * BEAM.pixels(1.0))
    assert mock.std() == pytest.approx(0.02, rel=3 / np.sqrt(2 * independent))
    assert abs(mock.mean()) < 4 * 0.02 * np.sqrt(2 * BEAM.pixels(1.0) / mock.size)


def test_mock_noise_is_as_strong_at_the_edge(mock):
    edge = np.concatenate(
        [mock[:, 0, :].ravel(), mock[:, -1, :].ravel(), mock[:, :, 0].ravel(), mock[:, :, -1].ravel()]
    )
    independent = edge.size / (2 * BEAM.bmaj)
    assert edge.std() == pytest.approx(0.02, rel=3 / np.sqrt(2 * independent))


@pytest.mark.parametrize("lag", [(0, 1), (2, 0), (3, -1), (3, 1), (0, 8)])
def test_mock_noise_correlates_as_the_beam_with_itself(mock, lag):
    dy, dx = lag
    a = mock[:, : 90 - dy, max(0, -dx) : 80 - max(0, dx)]
    b = mock[:, dy:, max(0, dx) : 80 + min(0, dx)]
    # The beam convolved with itself: the same Gaussian with twice the covariance.
    step = np.array([dx, dy])
    expected = np.exp(-0.25 * step @ np.linalg.inv(BEAM.covariance(1.0)) @ step)
    assert (a * b).mean() / 0.02**2 == pytest.approx(expected, abs=4 / np.sqrt(mock.size / (2 * BEAM.pixels(1.0))))


def test_mock_noise_follows_its_seed(mock):
    assert np.array_equal(mock, correlated_noise(GRID, BEAM, rms=0.02, seed=3))
    assert np.array_equal(mock, correlated_noise(GRID, BEAM, rms=0.02, seed=np.random.SeedSequence(3)))
    other = correlated_noise(GRID, BEAM, rms=0.02, seed=4)
    assert abs((mock * other).mean()) < 4 * 0.02**2 * np.sqrt(2 * BEAM.pixels(1.0) / mock.size)


def test_mock_noise_of_channels_is_independent(mock):
    product = (mock[1:] * mock[:-1]).mean()
    assert abs(product) < 4 * 0.02**2 * np.sqrt(2 * BEAM.pixels(1.0) / mock.size)


def test_mock_noise_without_a_beam_is_white():
    cube = correlated_noise(GRID, None, rms=2.0, seed=5)
    assert cube.std() == pytest.approx(2.0, rel=3 / np.sqrt(2 * cube.size))
    assert abs((cube[:, :, 1:] * cube[:, :, :-1]).mean()) < 4 * 4.0 / np.sqrt(cube.size)
    with pytest.raises(InputError, match="rms is -1"):
        correlated_noise(GRID, None, rms=-1.0, seed=5)


GALAXY = CubeGrid((20, 64, 64), cell=1.0, dv=10.0)


def galaxy(rms=1.0, seed=2, sign=1.0, noise_map=1.0):
    """A rotating blob, 8 sigma at its peak, and the cube that holds it."""
    y, x = np.mgrid[:64, :64] - 32.0
    v = np.arange(20)[:, None, None] - 10.0
    signal = 8.0 * rms * np.exp(-0.5 * ((x / 8.0) ** 2 + (y / 6.0) ** 2 + ((v - 0.4 * x) / 1.5) ** 2))
    noise = correlated_noise(GALAXY, Beam(4.0), rms, seed) * noise_map
    return signal, Cube(sign * signal + noise, GALAXY, Beam(4.0))


def test_mask_covers_what_is_bright_and_little_else():
    signal, cube = galaxy()
    mask = detection_mask(cube)
    assert mask[signal > 4.0].mean() > 0.98
    assert mask[signal < 0.05].mean() < 0.01
    assert mask.shape == GALAXY.shape
    assert mask.dtype == bool


def test_mask_of_pure_noise_is_empty_but_for_chance():
    found = [
        detection_mask(Cube(correlated_noise(GALAXY, Beam(4.0), 1.0, seed), GALAXY, Beam(4.0))) for seed in range(5)
    ]
    assert np.mean(found) < 2e-3


def test_mask_of_absorption_mirrors_that_of_emission():
    _, cube = galaxy()
    assert np.array_equal(detection_mask(cube), detection_mask(cube.replace(data=-cube.data)))


def test_mask_keeps_noisy_edges_out():
    ramp = np.ones((64, 64))
    ramp[:, :12] = 4.0
    signal, cube = galaxy(noise_map=ramp)
    faint = signal < 0.05
    local, flat = detection_mask(cube), detection_mask(cube, rms=1.0)
    assert local[faint].mean() < 0.2 * flat[faint].mean()
    assert local[signal > 5.0].mean() > 0.95
    given = detection_mask(cube, rms=ramp)
    assert given[faint].mean() < 0.2 * flat[faint].mean()


def test_mask_without_noise_is_the_signal():
    signal, cube = galaxy()
    mask = detection_mask(cube.replace(data=np.where(signal > 0.5, signal, 0.0)))
    assert mask[signal > 0.5].all()


def test_mask_stays_inside_what_is_valid():
    signal, cube = galaxy()
    holes = cube.data.copy()
    holes[:, 30:34, 30:34] = np.nan
    use = np.ones(GALAXY.shape, dtype=bool)
    use[12:] = False
    mask = detection_mask(cube.replace(data=holes, mask=use))
    assert not mask[np.isnan(holes)].any()
    assert not mask[~use].any()
    assert mask[:12][(signal > 5.0)[:12] & np.isfinite(holes[:12])].mean() > 0.9
    assert not detection_mask(cube.replace(mask=np.zeros(GALAXY.shape, dtype=bool))).any()


def test_mask_of_one_channel_and_no_beam():
    signal, cube = galaxy()
    grid = CubeGrid((1, 64, 64), 1.0, 10.0)
    mask = detection_mask(Cube(cube.data[10:11], grid, None))
    assert mask[0][signal[10] > 6.0].mean() > 0.9


def test_mask_says_what_is_wrong_with_rms():
    _, cube = galaxy()
    with pytest.raises(InputError, match=r"shape of rms is \(3,\)"):
        detection_mask(cube, rms=np.ones(3))
    with pytest.raises(InputError, match="core is 1"):
        detection_mask(cube, core=1.0, edge=2.0)
