"""Real cubes, read whole and in part, written and read back."""

import warnings

import numpy as np
import pytest
from astropy.io import fits

from kinms.fits_layout import read_header
from kinms.fits_read import read_cube
from kinms.fits_survey import describe, read_obspars
from kinms.fits_write import write_cube
from kinms.noise import detection_mask, estimate_rms

CUBES = {
    # name: (rms, its tolerance); NGC 4047's noise grows towards the edge of the mosaic, and that is its typical value.
    "NGC4324_CO_KinMS_MCMC.fits": (0.0040, 0.0002),
    "NGC2903_HI_pyFAT.fits": (0.0034, 0.0002),
    "NGC4047_CO_smo7msk.fits.gz": (0.019, 0.001),
}


@pytest.mark.parametrize("name", CUBES)
def test_cube(real_data, name):
    cube = read_cube(real_data / "cubes" / name)
    raw = np.squeeze(fits.getdata(real_data / "cubes" / name, ignore_blank=True))
    np.testing.assert_array_equal(cube.data, raw.astype(float))
    rms, tolerance = CUBES[name]
    assert cube.rms == pytest.approx(rms, abs=tolerance)
    assert cube.rms == estimate_rms(cube.data)
    assert cube.unit == "Jy/beam"
    assert cube.beam is not None
    mask = detection_mask(cube)
    # Signal fills a small part of each; it makes most of the flux.
    assert 0.005 < mask.mean() < 0.1
    found = cube.spectrum(mask).sum() * cube.grid.dv
    published = {"NGC4324_CO_KinMS_MCMC.fits": 26.9, "NGC4047_CO_smo7msk.fits.gz": 195.0}.get(name)
    if published is not None:
        assert 0.8 * published < found < 1.5 * published


@pytest.mark.parametrize("name", CUBES)
def test_cube_there_and_back(real_data, tmp_path, name):
    cube = read_cube(real_data / "cubes" / name)
    write_cube(tmp_path / "copy.fits", cube)
    back = read_cube(tmp_path / "copy.fits")
    assert (back.grid, back.beam, back.flipped, back.rms) == (cube.grid, cube.beam, cube.flipped, cube.rms)
    np.testing.assert_array_equal(back.data, cube.data)
    assert_spectral_cube_agrees(tmp_path / "copy.fits", cube)


def assert_spectral_cube_agrees(path, cube):
    """spectral-cube puts the corners of the cube where astropy puts those of the grid, to 1e-6 pixel and channel."""
    from astropy.coordinates import SkyCoord
    from astropy.wcs.utils import wcs_to_celestial_frame

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, of imports and of Stokes axes
        from spectral_cube import SpectralCube

        theirs = SpectralCube.read(str(path))
        v = theirs.spectral_axis.to_value("km/s")
        frame = wcs_to_celestial_frame(theirs.wcs.celestial)
        corners = np.array([[0, 0], [cube.grid.nx - 1, 0], [0, cube.grid.ny - 1], [cube.grid.nx - 1, cube.grid.ny - 1]])
        sky = SkyCoord(*theirs.wcs.celestial.wcs_pix2world(corners, 0).T, unit="deg", frame=frame).icrs
    np.testing.assert_allclose(v, cube.grid.velocities, rtol=0, atol=1e-6 * cube.grid.dv)
    layout = read_header(cube.header)
    for (x, y), there in zip(corners, sky, strict=True):
        assert layout.pixel(there.ra.deg, there.dec.deg) == pytest.approx((x, y), abs=1e-6)


def test_ngc4324_by_hand(real_data):
    path = real_data / "cubes" / "NGC4324_CO_KinMS_MCMC.fits"
    found = read_obspars(path)
    assert (found["nx"], found["ny"], found["nv"]) == (100, 100, 21)
    assert (found["xsize"], found["vsize"], found["dv"]) == pytest.approx((100.0, 420.0, 20.0), rel=1e-6)
    assert found["v_sys"] == pytest.approx(1650.0)
    np.testing.assert_allclose(found["beamsize"], [4.6827, 3.8510, 15.541], rtol=1e-4)
    # CRPIX is pixel 50 of 100, and FK5 is ICRS to 0.03 arcsec.
    assert (found["ra"], found["dec"]) == pytest.approx((185.77575, 5.2505), abs=1e-5)
    said = describe(path)
    assert (said["v_min_kms"], said["v_max_kms"]) == pytest.approx((1450.0, 1850.0))


def test_a_box_of_ngc2903(real_data):
    """B1950 header, ICRS centre (NED 143.04212, 21.50083), cut in velocity: back at the same place."""
    path = real_data / "cubes" / "NGC2903_HI_pyFAT.fits"
    whole = read_cube(path)
    box = read_cube(path, centre=(143.04212, 21.50083), size=600.0, velocity_range=(450, 650))
    assert (box.grid.ra, box.grid.dec) == (143.04212, 21.50083)
    assert box.grid.nx in (30, 31)
    assert box.grid.velocities[0] >= 450.0 > box.grid.velocities[0] - box.grid.dv
    assert box.grid.velocities[-1] <= 650.0 < box.grid.velocities[-1] + box.grid.dv
    k = int(np.argmin(np.abs(whole.grid.velocities - box.grid.velocities[0])))
    # The peak of the box is the same voxel, at the same sky offset, of the whole cube.
    peak = np.unravel_index(np.argmax(box.data), box.data.shape)
    layout_whole, layout_box = read_header(whole.header), read_header(box.header)
    x, y = layout_whole.pixel(*layout_box.sky(peak[2], peak[1]))
    assert (x, y) == pytest.approx((round(x), round(y)), abs=1e-6)
    assert whole.data[k + peak[0], round(y), round(x)] == box.data[peak]
