"""To and from spectral-cube: voxels, places, velocities, beams and masks stay what they are."""

import importlib.util
import warnings

import astropy.units as u
import numpy as np
import pytest
from fits_files import header, numbers, write

from kinms.cube import Cube
from kinms.errors import InputError, InputTypeError
from kinms.fits_read import read_cube
from kinms.fits_write import write_cube
from kinms.grid import Beam, CubeGrid
from kinms.psf import ChannelBeams

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it and its friends say while they are loaded
    from spectral_cube import SpectralCube, VaryingResolutionSpectralCube

pytestmark = pytest.mark.filterwarnings("ignore")  # it warns of much that is no matter here

TURNED = {"PC1_1": 0.0, "PC1_2": 1.0, "PC2_1": 1.0, "PC2_2": 0.0, "NAXIS1": 8, "NAXIS2": 9}
HEADERS = [{}, {"CDELT3": -1e4, "CDELT1": 2.0 / 3600.0}, TURNED, {"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": 1.14e11,
           "CDELT3": -4e6, "VELREF": 257}]  # fmt: skip


def same(one, other):
    np.testing.assert_array_equal(one.data, other.data)
    # Frequencies have 16 digits: 1e-16 x c = 3e-8 km/s.
    np.testing.assert_allclose(one.grid.velocity_edges, other.grid.velocity_edges, rtol=0, atol=1e-6)
    assert one.grid.cell == pytest.approx(other.grid.cell, rel=1e-12)
    assert (one.grid.ra, one.grid.dec) == pytest.approx((other.grid.ra, other.grid.dec), abs=1e-10)
    assert one.unit == other.unit
    assert one.flipped == other.flipped
    assert one.spectral.frame == other.spectral.frame
    assert one.spectral.rest_value == pytest.approx(other.spectral.rest_value, rel=1e-12)
    assert one.spectral.convention == other.spectral.convention


@pytest.mark.parametrize("dask", [False, True])
@pytest.mark.parametrize("cards", HEADERS)
def test_there_and_back(tmp_path, cards, dask):
    head = header(**cards)
    path = write(tmp_path / "cube.fits", numbers(head), head)
    ours, theirs = read_cube(path), SpectralCube.read(path, use_dask=dask)
    same(Cube.from_spectral_cube(theirs), ours)
    back = ours.to_spectral_cube(use_dask=dask)
    assert type(back) is type(theirs)
    assert back.unit == theirs.unit == u.Jy / u.beam
    np.testing.assert_array_equal(back.unmasked_data[:].value, theirs.unmasked_data[:].value)
    width = abs((theirs.spectral_axis[1] - theirs.spectral_axis[0]).value)
    np.testing.assert_allclose(
        back.spectral_axis.to_value(theirs.spectral_axis.unit), theirs.spectral_axis.value, rtol=0, atol=1e-6 * width
    )
    assert back.beam.major.to_value("arcsec") == pytest.approx(6.0)
    for mine, its in zip(back.world[2, 3, 4][1:], theirs.world[2, 3, 4][1:], strict=True):
        assert mine.to_value("arcsec") == pytest.approx(its.to_value("arcsec"), abs=2e-6)
    same(Cube.from_spectral_cube(back), ours)


def test_the_mask_is_respected(tmp_path):
    head = header(CDELT3=-1e4, CDELT1=2.0 / 3600.0)
    data = numbers(head)
    data[2, 3, 4] = np.nan
    theirs = SpectralCube.read(write(tmp_path / "cube.fits", data, head))
    assert Cube.from_spectral_cube(theirs).mask is None  # a voxel that is not finite is never used anyhow
    masked = Cube.from_spectral_cube(theirs.with_mask(theirs > 100.0 * u.Jy / u.beam))
    np.testing.assert_array_equal(masked.mask, masked.data > 100.0)
    assert np.isfinite(masked.data).sum() == data.size - 1  # the voxels outside keep their numbers
    again = masked.to_spectral_cube()
    np.testing.assert_array_equal(Cube.from_spectral_cube(again).mask, masked.mask)
    np.testing.assert_array_equal(np.isfinite(again.filled_data[:].value), masked.mask[::-1, :, ::-1])


def test_what_was_done_with_it_comes_along(tmp_path):
    theirs = SpectralCube.read(write(tmp_path / "cube.fits", numbers(header()), header()))
    slab = theirs.with_spectral_unit(u.km / u.s).spectral_slab(1008 * u.km / u.s, 1032 * u.km / u.s)[:, 2:6, 1:7]
    ours = Cube.from_spectral_cube(slab)
    np.testing.assert_allclose(ours.grid.velocities, [1010.0, 1020.0, 1030.0], rtol=1e-12)
    np.testing.assert_array_equal(ours.data, numbers(header())[1:4, 2:6, 1:7])
    optical = Cube.from_spectral_cube(theirs.with_spectral_unit(u.km / u.s, velocity_convention="optical"))
    assert optical.spectral.convention == "optical"
    # By hand: f = f0 (1 - v / c), and c (f0 / f - 1).
    radio = np.arange(6) * 10.0 + 1000.0
    c = 299792.458
    np.testing.assert_allclose(optical.grid.velocities, c * (1.0 / (1.0 - radio / c) - 1.0), rtol=0, atol=1e-3)
    write_cube(tmp_path / "out.fits", ours)
    np.testing.assert_array_equal(read_cube(tmp_path / "out.fits").data, ours.data)
    kelvin = Cube.from_spectral_cube(theirs.to(u.K))
    assert kelvin.unit == "K"


@pytest.mark.parametrize("dask", [False, True])
def test_a_beam_per_channel(tmp_path, dask):
    beams = ChannelBeams([Beam(4.0 + 0.1 * k, 3.0, 20.0) for k in range(6)])
    ours = read_cube(write(tmp_path / "cube.fits", numbers(header()), header(CDELT3=-1e4))).replace(beam=beams)
    theirs = ours.to_spectral_cube(use_dask=dask)
    assert "VaryingResolution" in type(theirs).__name__
    if not dask:
        assert isinstance(theirs, VaryingResolutionSpectralCube)
    # Its channels are those of the file, velocities descending.
    np.testing.assert_allclose(theirs.beams.major.to_value("arcsec"), [4.5, 4.4, 4.3, 4.2, 4.1, 4.0], rtol=1e-6)
    back = Cube.from_spectral_cube(theirs)
    assert [beam.bmaj for beam in back.beam.beams] == pytest.approx([4.0, 4.1, 4.2, 4.3, 4.4, 4.5], rel=1e-6)
    np.testing.assert_array_equal(back.data, ours.data)


def test_a_cube_that_was_made():
    grid = CubeGrid((4, 8, 8), 1.0, 10.0, v_ref=500.0, ra=40.0, dec=-20.0, rest_frequency=1.4204e9)
    cube = Cube(np.arange(256.0).reshape(grid.shape), grid, Beam(3.0), noise=np.ones(grid.shape))
    theirs = cube.to_spectral_cube()
    np.testing.assert_array_equal(theirs.unmasked_data[:].value, cube.data)
    np.testing.assert_allclose(theirs.spectral_axis.to_value(u.km / u.s), grid.velocities)


def test_a_unit_that_spectral_cube_does_not_take():
    counts = Cube(np.ones((2, 8, 8)), CubeGrid((2, 8, 8), 1.0, 10.0), Beam(3.0), "DN/s")
    with pytest.raises(InputError, match="unit of the cube is 'DN/s'"):
        counts.to_spectral_cube()


def test_what_is_none(monkeypatch):
    with pytest.raises(InputTypeError, match=r"cube is ndarray; expected a spectral_cube\.SpectralCube"):
        Cube.from_spectral_cube(np.ones((2, 2, 2)))
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "spectral_cube" else found(name))
    cube = Cube(np.ones((1, 2, 2)), CubeGrid((1, 2, 2), 1.0, 1.0))
    for call in (cube.to_spectral_cube, lambda: Cube.from_spectral_cube(cube)):
        with pytest.raises(InputError, match=r'spectral-cube is not installed.*pip install "kinms\[spectral-cube\]"'):
            call()
