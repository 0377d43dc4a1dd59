"""Mock noise beside that of three real cubes, in the channels that hold no line."""

import itertools

import numpy as np
import pytest
import scipy.ndimage

from kinms.errors import KinmsWarning
from kinms.fits_read import read_cube
from kinms.noise import NoiseModel, autocorrelation, detection_mask

#: Largest lag that is compared, pixels: about a beam.
LAGS = 6
# File; how far, beyond chance, the noise of a channel, the autocorrelation and the correlation of neighbouring
# channels may be from those of the model. The model has one rms where channels differ by under 5 % or chance, one
# Gaussian for all lags and no negative side lobes: NGC 2903's noise has some, -0.1 beyond a beam, and line-free
# channels only at the ends of its band, where it is a fifth weaker. NGC 4047 is a mosaic whose noise doubles
# towards its rim; here its gain map is not used.
CUBES = {
    "NGC4047_CO_smo7msk.fits.gz": (0.05, 0.02, 0.02),
    "NGC4324_CO_KinMS_MCMC.fits": (0.05, 0.02, 0.02),
    "NGC2903_HI_pyFAT.fits": (0.25, 0.10, 0.02),
}


def rms(data, use):
    return np.array([1.4826 * np.median(np.abs(plane[known])) for plane, known in zip(data, use, strict=True)])


@pytest.mark.parametrize("name", CUBES)
def test_mock_noise_is_like_that_of_line_free_channels(real_data, name):
    of_rms, of_lags, of_channels = CUBES[name]
    cube = read_cube(real_data / "cubes" / name)
    model = NoiseModel.estimate(cube)
    signal, valid = detection_mask(cube), cube.valid
    free = [v for v in range(cube.grid.nv) if not signal[v].any() and valid[v].mean() > 0.1]
    assert len(free) >= 2
    use = valid[free]
    data = np.where(use, cube.data[free], 0.0)
    mock = np.where(use, model.sample(7, cube.data.shape[1:])[free], 0.0)
    pixels = model.correlation.pixels
    chance = np.sqrt(2.0 * pixels / use.sum())

    # Both are measured: their errors add up, and a MAD knows an rms 1.65 times worse than a mean square does.
    of_plane = 1.65 * np.sqrt(2.0) * np.sqrt(pixels / use.sum(axis=(1, 2)))
    ratio = rms(data, use) / rms(mock, use)
    assert (np.abs(ratio - 1.0) < of_rms + 4.0 * of_plane).all()
    assert np.median(ratio) == pytest.approx(1.0, abs=of_rms)

    # Beyond 5 sigma there is no noise: single artefacts.
    quiet = use & (np.abs(data) < 5.0 * np.broadcast_to(model.error, cube.data.shape)[free])
    found, _ = autocorrelation(np.where(quiet, data, 0.0), quiet, (LAGS, LAGS))
    drawn, _ = autocorrelation(np.where(quiet, mock, 0.0), quiet, (LAGS, LAGS))
    np.testing.assert_allclose(drawn, found, atol=of_lags + 4.0 * np.sqrt(2.0) * chance)

    # Of channels apart: all voxels without signal, as two pairs of channels at the ends of a band are no measure.
    near = scipy.ndimage.binary_dilation(signal, np.ones((3, 9, 9), dtype=bool))
    everywhere = np.where(valid, cube.data, 0.0) / model.error
    quiet = valid & ~near & (np.abs(everywhere) < 5.0)
    drawn = model.sample(8, cube.data.shape[1:]) / model.error

    def apart(noise, k):
        return (noise[k:] * noise[:-k])[quiet[k:] & quiet[:-k]].mean() / (noise[quiet] ** 2).mean()

    chance = np.sqrt(2.0 * pixels / quiet.sum())
    for k in (1, 2):
        assert apart(drawn, k) == pytest.approx(apart(everywhere, k), abs=of_channels + 4.0 * np.sqrt(2.0) * chance)


def test_gain_of_a_mosaic_is_followed(real_data):
    """NGC 4047 has a map of its sensitivity: with it the noise is the same in the middle and at the rim."""
    folder = real_data / "cubes"
    cube = read_cube(folder / "NGC4047_CO_smo7msk.fits.gz")
    gain = read_cube(folder / "NGC4047_CO_smo7gain.fits.gz").data
    flat, mapped = NoiseModel.estimate(cube), NoiseModel.estimate(cube, gain=gain)
    with pytest.warns(KinmsWarning, match="makes the noise less even, not more: is it a map of the noise"):
        NoiseModel.estimate(cube, gain=np.where(gain > 0.0, 1.0 / np.maximum(gain, 1e-3), np.nan))
    signal = detection_mask(cube)
    free = [v for v in range(cube.grid.nv) if not signal[v].any()]

    def spread(model):
        """How far the noise of quarters of the field, by their gain, is from the model's."""
        ratio = model.signal_to_noise(cube)[free]
        known = np.isfinite(ratio[0]) & np.isfinite(mapped.noise_map)
        edges = np.nanquantile(mapped.noise_map[known], [0.0, 0.25, 0.5, 0.75, 1.0])
        parts = [known & (mapped.noise_map >= a) & (mapped.noise_map <= b) for a, b in itertools.pairwise(edges)]
        return np.array([1.4826 * np.nanmedian(np.abs(ratio[:, part])) for part in parts])

    # Each quarter is known to 2 %; the map is the observers' own.
    assert np.ptp(spread(mapped)) < 0.12
    assert np.ptp(spread(mapped)) < np.ptp(spread(flat))
