"""`Cube.convolve_to`: Gaussians whose result is known in closed form, spectral-cube, blank voxels and refusals."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from kinms.cube import Cube
from kinms.errors import InputError, InputTypeError, KinmsWarning
from kinms.grid import Beam, CubeGrid
from kinms.noise import correlated_noise, estimate_rms
from kinms.psf import ChannelBeams, Moffat

GRID = CubeGrid((3, 61, 72), 1.0, 10.0)
TARGET = Beam(7.0, 6.0, 20.0)


def points(beams, grid=GRID, unit="Jy/beam"):
    """One source of 1 Jy in each channel, the Gaussian of its beam: in Jy/beam it peaks at 1."""
    data = np.zeros(grid.shape)
    for v, beam in enumerate(beams):
        inverse = np.linalg.inv(beam.covariance(grid.cell))
        y, x = np.mgrid[: grid.ny, : grid.nx] - np.array([30, 33])[:, None, None]
        q = inverse[0, 0] * x**2 + 2.0 * inverse[0, 1] * x * y + inverse[1, 1] * y**2
        data[v] = np.exp(-0.5 * q)
    beam = beams[0] if len(set(beams)) == 1 else ChannelBeams(beams)
    return Cube(data, grid, beam, unit)


@pytest.mark.parametrize(
    "beams",
    [
        [Beam(4.0)] * 3,
        [Beam(5.0, 3.0, 110.0)] * 3,
        [Beam(4.0), Beam(5.0, 4.0, 20.0), Beam(6.5, 5.9, 20.0)],
        [Beam(6.99, 5.99, 20.0), TARGET, Beam(4.0)],
    ],
)
def test_a_point_becomes_a_point_of_the_new_beam(beams):
    # Beams of four pixels and more are sampled to 1e-4 and better by single pixels.
    found = points(beams).convolve_to(TARGET)
    np.testing.assert_allclose(found.data, points([TARGET] * 3).data, atol=1e-4)
    assert found.beam == TARGET
    np.testing.assert_allclose(found.spectrum(), 1.0, rtol=1e-3)


def test_kelvin_are_not_scaled():
    found = points([Beam(4.0)] * 3, unit="K").convolve_to(TARGET)
    assert found.data.max() == pytest.approx(Beam(4.0).area / TARGET.area, rel=1e-3)


@pytest.mark.filterwarnings("ignore")  # its own, on import
def test_as_spectral_cube_does_it():
    from spectral_cube import BooleanArrayMask, SpectralCube

    beam, target = Beam(4.0, 3.0, 20.0), Beam(8.0, 7.0, 50.0)
    rng = np.random.default_rng(1)
    noise = correlated_noise(GRID, beam, 1.0, 2)
    noise[1, 20:25, 30:36] = np.nan
    noise[2, rng.random(noise.shape[1:]) < 0.01] = np.nan
    header = fits.Header()
    for k, (ctype, unit, step) in enumerate(
        (("RA---SIN", "deg", -1 / 3600), ("DEC--SIN", "deg", 1 / 3600), ("VRAD", "m/s", 1e4))
    ):
        header.update(
            {
                f"CTYPE{k + 1}": ctype,
                f"CUNIT{k + 1}": unit,
                f"CDELT{k + 1}": step,
                f"CRPIX{k + 1}": 1.0,
                f"CRVAL{k + 1}": 0.0,
            }
        )
    theirs = SpectralCube(noise * u.Jy / u.beam, WCS(header), beam=beam.to_radio_beam(), header=header)
    theirs = theirs.with_mask(BooleanArrayMask(np.isfinite(noise), WCS(header)))
    want = theirs.convolve_to(target.to_radio_beam()).unmasked_data[:].value
    found = Cube(noise, GRID, beam).convolve_to(target).data
    known = np.isfinite(noise)
    assert np.array_equal(np.isfinite(found), known)
    # It cuts its kernel at 4 sigma, and samples it.
    np.testing.assert_allclose(found[known], want[known], atol=0.01 * np.nanstd(want))


def test_blank_voxels_take_nothing_from_their_neighbours():
    data = np.full(GRID.shape, 5.0)
    data[:, 25:32, 30:40] = np.nan
    data[1] = np.nan
    mask = np.ones(GRID.shape, bool)
    mask[0, 0] = False
    found = Cube(data, GRID, Beam(4.0), "K", mask=mask).convolve_to(TARGET)
    inner = found.data[0, 15:-15, 15:-15]
    np.testing.assert_allclose(inner[np.isfinite(inner)], 5.0, rtol=1e-9)
    assert np.array_equal(np.isfinite(found.data), np.isfinite(data))
    assert found.mask is not None
    assert np.array_equal(found.mask, mask)


def test_to_the_same_beam_nothing_changes():
    cube = points([TARGET] * 3)
    assert np.array_equal(cube.convolve_to(TARGET).data, cube.data)


def test_the_common_beam():
    beams = [Beam(4.0, 3.0, 20.0), Beam(4.2, 3.1, 30.0), Beam(4.4, 3.3, 40.0)]
    found = points(beams).to_common_beam()
    assert found.beam == ChannelBeams(beams).common()
    np.testing.assert_allclose(found.data, points([found.beam] * 3).data, atol=2e-3)
    again = found.to_common_beam()
    assert again is found


def test_noise_and_header_follow():
    header = fits.Header({"BMAJ": 1.0, "BMIN": 1.0, "BPA": 0.0, "CASAMBM": True})
    data = correlated_noise(GRID, Beam(4.0), 2.0, 1)
    cube = Cube(data, GRID, Beam(4.0), header=header, rms=2.0, noise=np.full(GRID.shape, 2.0))
    found, cube_rms = cube.convolve_to(TARGET), estimate_rms(data)
    # Noise of the beam's own shape goes as the root of its area in Jy/beam; some 50 independent patches a channel.
    assert found.rms == pytest.approx(2.0 * np.sqrt(TARGET.area / Beam(4.0).area), rel=0.15)
    # By the scatter of the whole field, whose margin, with the empty sky in its kernels, is quieter.
    assert found.noise[:, 6:-6, 6:-6] == pytest.approx(2.0 * found.rms / cube_rms, rel=0.1)
    assert "noise of each voxel" in found.warnings[-1]
    assert "CASAMBM" not in found.header
    assert (found.header["BMAJ"], found.header["BMIN"], found.header["BPA"]) == (7.0 / 3600.0, 6.0 / 3600.0, 20.0)
    assert cube.header["BMAJ"] == 1.0
    assert cube.replace(rms=None).convolve_to(TARGET).rms is None
    assert cube.replace(data=data.astype(np.float32)).convolve_to(TARGET).data.dtype == np.float32


@pytest.mark.parametrize("shared", ["by nobody", "as the beam has it", "as the beam of each channel has it"])
@pytest.mark.parametrize("unit", ["Jy/beam", "K"])
def test_noise_of_each_voxel_is_what_data_scatter_by(shared, unit):
    """Stated 1.3 times too large, it stays so: 30 draws, whose scatter each voxel tells to 1 / sqrt(60)."""
    grid = CubeGrid((3, 50, 56), 1.0, 10.0)
    y, x = np.mgrid[:50, :56]
    sigma = (1.0 + 2.0 * np.exp(-((x - 20) ** 2 + (y - 25) ** 2) / 450.0)) * (1.0 + x / 50.0)
    sigma = sigma * np.array([1.0, 1.5, 2.0])[:, None, None]
    own = [Beam(4.0), Beam(4.5, 4.0, 20.0), Beam(5.0)] if "each" in shared else [Beam(4.0, 3.0, 20.0)] * 3
    beam = ChannelBeams(own) if "each" in shared else own[0]
    plane = grid.replace(shape=(1, 50, 56))
    hole = (slice(None), slice(30, 36), slice(30, 40))
    drawn, told = [], []
    for seed in range(30):
        if shared == "by nobody":
            noise = np.random.default_rng(seed).normal(size=grid.shape)
        else:
            noise = np.concatenate([correlated_noise(plane, one, 1.0, 10 * seed + v) for v, one in enumerate(own)])
        data = sigma * noise
        data[hole] = np.nan
        found = Cube(data, grid, beam, unit, noise=1.3 * sigma).convolve_to(TARGET)
        drawn.append(found.data)
        told.append(found.noise)
    assert np.isnan(told[0][hole]).all()
    ratio = np.mean(told, axis=0) / np.std(drawn, axis=0)
    inner = np.ones((50, 56), bool)
    inner[24:42, 24:46] = False  # a beam round what is blank, and the margins below: a third too large at most
    inner[:6] = inner[-6:] = False
    inner[:, :6] = inner[:, -6:] = False
    for part in (inner & (x < 20), inner & (x >= 20) & (x < 38), inner & (x >= 38)):
        beams = part.sum() / TARGET.pixels(1.0)
        three_sigma = 3.0 / np.sqrt(2.0 * 30.0 * beams)  # of the scatter of 30 draws
        assert np.median(ratio[:, part], axis=1) == pytest.approx([1.3] * 3, rel=three_sigma)
    assert np.nanmedian(ratio[:, ~inner]) == pytest.approx(1.3, rel=0.2)


def test_noise_that_is_not_told_somewhere():
    noise = np.full(GRID.shape, 2.0)
    noise[:, 10:20, 10:20] = np.nan
    found = Cube(correlated_noise(GRID, Beam(4.0), 2.0, 1), GRID, Beam(4.0), noise=noise).convolve_to(TARGET)
    assert np.array_equal(np.isnan(found.noise), np.isnan(noise))
    known = found.noise[:, 8:-8, 8:-8][np.isfinite(noise[:, 8:-8, 8:-8])]
    assert known == pytest.approx(np.median(known), rel=0.01)


def test_noise_without_scatter_is_dropped_with_a_warning():
    cube = points([Beam(4.0)] * 3)
    silent = cube.replace(data=np.zeros(GRID.shape), noise=np.ones(GRID.shape))
    with pytest.warns(KinmsWarning, match="noise of each voxel is dropped"):
        assert silent.convolve_to(TARGET).noise is None


def test_smaller_beams_are_refused_with_the_smallest_that_would_do():
    with pytest.raises(InputError, match=r"beam is 6 x 3 arcsec at PA 20; .*the cube's, 4 x 4 arcsec.*") as info:
        points([Beam(4.0)] * 3).convolve_to(Beam(6.0, 3.0, 20.0))
    assert "The smallest that also holds this one is 6 x 4 arcsec at PA 20" in str(info.value)
    with pytest.raises(InputError, match="that of channel 2, 5 x 5"):
        points([Beam(3.0), Beam(4.0), Beam(5.0)]).convolve_to(Beam(4.5))
    with pytest.raises(InputTypeError, match="beam"):
        points([Beam(4.0)] * 3).convolve_to(5.0)
    for beam in (Moffat(3.0, 2.5), None):
        with pytest.raises(InputError, match="the beam of the cube"):
            points([Beam(4.0)] * 3).replace(beam=beam).convolve_to(TARGET)
