"""Cubes cut, binned and rebinned: flux, place, noise, and headers that still say where it is."""

import numpy as np
import pytest
from fits_files import header, numbers, write

from kinms.cube import Cube
from kinms.errors import InputError, InputTypeError, KinmsError, KinmsWarning
from kinms.fits_layout import read_header
from kinms.fits_read import read_cube
from kinms.fits_write import write_cube
from kinms.grid import Beam, CubeGrid
from kinms.psf import ChannelBeams
from kinms.resampling import is_per_pixel

C = 299792.458

# Frequency descending and ascending, wavelength, its logarithm, and a wide optical band: none regular in velocity.
AXES = {
    "VRAD": {},
    "VRAD-": {"CDELT3": -1e4},
    "FREQ": {"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": 1.15e11, "CDELT3": -4e7, "VELREF": 1},
    "FREQ+": {"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": 1.12e11, "CDELT3": 4e7, "VELREF": 1},
    "WAVE": {"CTYPE3": "WAVE", "CUNIT3": "m", "CRVAL3": 6.6e-7, "CDELT3": 1e-9, "RESTFRQ": None, "RESTWAV": 6.5646e-7},
    "AWAV": {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 6600.0, "CDELT3": 9.0, "RESTFRQ": None,
             "RESTWAV": 6.5646e-7},
}  # fmt: skip
SKIES = [{}, {"CDELT1": 2.0 / 3600.0}, {"CDELT2": -2.0 / 3600.0}, {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR"}]


def cube_of(tmp_path, nv=12, ny=9, nx=11, **cards):
    head = header(NAXIS1=nx, NAXIS2=ny, NAXIS3=nv, **cards)
    rng = np.random.default_rng(3)
    path = write(tmp_path / "in.fits", rng.normal(2.0, 1.0, (nv, ny, nx)).astype("f4"), head)
    return read_cube(path)


def same_place(cube, tmp_path):
    """What the header says is what the grid says, also after writing and reading."""
    for layout in (
        read_header(cube.header, convention=cube.spectral.convention),
        read_header(_written(cube, tmp_path).header, convention=cube.spectral.convention),
    ):
        assert layout.grid.shape == cube.grid.shape
        assert layout.flipped == cube.flipped
        edges = cube.grid.velocity_edges
        # Frequencies have 16 digits, velocities are differences of them: 1e-16 x c.
        np.testing.assert_allclose(layout.grid.velocity_edges, edges, rtol=0, atol=1e-6 * cube.grid.dv)
        assert layout.grid.cell == pytest.approx(cube.grid.cell, rel=1e-9)
        at = layout.pixel(cube.grid.ra, cube.grid.dec)
        assert at == pytest.approx((cube.grid.x_ref, cube.grid.y_ref), abs=1e-6)


def _written(cube, tmp_path):
    write_cube(tmp_path / "out.fits", cube, overwrite=True, double=True)
    back = read_cube(tmp_path / "out.fits", convention=cube.spectral.convention)
    np.testing.assert_array_equal(back.data, cube.data)
    return back


@pytest.mark.filterwarnings("ignore::kinms.errors.KinmsWarning")
@pytest.mark.parametrize(("axis", "sky"), [*((axis, k % 4) for k, axis in enumerate(AXES)), ("VRAD-", 3), ("FREQ", 1)])
def test_flux_and_place(tmp_path, axis, sky):
    cube = cube_of(tmp_path, **AXES[axis], **SKIES[sky])
    flux = np.tensordot(cube.grid.widths, cube.data, 1)

    part = cube.subcube(box=((1, 11), (2, 9), (1, 10)))
    np.testing.assert_array_equal(part.data, cube.data[1:11, 2:9, 1:10])
    np.testing.assert_allclose(part.grid.velocity_edges, cube.grid.velocity_edges[1:12], rtol=1e-12)
    assert (part.grid.ra, part.grid.dec) == (cube.grid.ra, cube.grid.dec)
    assert part.grid.x_ref == cube.grid.x_ref - 1
    same_place(part, tmp_path)

    small = cube.downsample(2)
    assert small.data.shape == (12, 4, 5)
    np.testing.assert_allclose(small.data[3, 1, 2], cube.data[3, 2:4, 4:6].mean(), rtol=1e-14)
    np.testing.assert_allclose(small.data.sum() * 4, cube.data[:, :8, :10].sum(), rtol=1e-12)
    # The middle of a bin is between its pixels.
    np.testing.assert_allclose(small.grid.east[1], cube.grid.east[2:4].mean(), atol=1e-9)
    np.testing.assert_allclose(small.grid.north[3], cube.grid.north[6:8].mean(), atol=1e-9)
    same_place(small, tmp_path)

    for n in (2, 3, 5):
        wide = cube.rebin(n)
        kept = 12 // n * n
        np.testing.assert_allclose(
            np.tensordot(wide.grid.widths, wide.data, 1), np.tensordot(cube.grid.widths[:kept], cube.data[:kept], 1),
            rtol=1e-12,
        )  # fmt: skip
        np.testing.assert_allclose(wide.grid.velocity_edges, cube.grid.velocity_edges[: kept + 1 : n], rtol=1e-11)
        same_place(wide, tmp_path)

    dv = float(cube.grid.velocity_edges[-1] - cube.grid.velocity_edges[0]) / 5.0
    even = cube.rebin(dv=dv)
    assert even.grid.edges is None
    assert even.grid.nv == 5
    np.testing.assert_allclose(even.data.sum(axis=0) * dv, flux, rtol=1e-12)
    same_place(even, tmp_path)


def test_overlaps_are_exact():
    """By hand: channels 10, 20 and 30 km/s wide, of 1, 2 and 3, on channels of 25."""
    grid = CubeGrid((3, 1, 1), 1.0, 1.0, edges=[0.0, 10.0, 30.0, 60.0])
    cube = Cube(np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1), grid, noise=np.array([1.0, 2.0, 4.0]).reshape(3, 1, 1))
    with pytest.warns(KinmsWarning, match=r"The last 10 km/s do not fill a channel and are left out\."):
        wide = cube.rebin(dv=25.0)
    np.testing.assert_allclose(wide.grid.velocity_edges, [0.0, 25.0, 50.0])
    np.testing.assert_allclose(wide.data.ravel(), [(10 * 1 + 15 * 2) / 25, (5 * 2 + 20 * 3) / 25])
    noise = [np.hypot(10 * 1, 15 * 2) / 25, np.hypot(5 * 2, 20 * 4) / 25]
    np.testing.assert_allclose(wide.noise.ravel(), noise)
    assert wide.warnings == ("the last 10 km/s do not fill a channel and are left out",)
    # As weights by width, channel by channel.
    pair = cube.subcube(box=((0, 2), None, None)).rebin(2)
    np.testing.assert_allclose(pair.data.ravel(), [(10 * 1 + 20 * 2) / 30])
    np.testing.assert_allclose(pair.noise.ravel(), [np.hypot(10 * 1, 20 * 2) / 30])


def test_a_model_of_wide_channels_is_the_model_rebinned():
    """What a model predicts for the coarse grid is what becomes of the fine one: edges, cells and reference agree."""
    import kinms as km

    disc = km.Disc(surface_brightness=km.ExponentialDisc(4.0), rotation=km.ArctanCurve(90.0, 1.0), inc=50, pa=30,
                   flux=5.0, sigma_gas=12.0, east=1.3, north=-0.7)  # fmt: skip
    grid = CubeGrid((36, 48, 48), 1.0, 10.0, x_ref=23.2, y_ref=24.9)
    fine = km.simulate(disc, grid, km.Beam(6.0, 4.0, 20.0))
    wide = fine.rebin(3)
    direct = km.simulate(disc, wide.grid, km.Beam(6.0, 4.0, 20.0))
    # Both are right to the accuracy of a model, 1e-3 of its size.
    assert np.abs(wide.data - direct.data).max() < 2e-3 * direct.data.max()
    small = fine.downsample(2)
    direct = km.simulate(disc, small.grid, km.Beam(6.0, 4.0, 20.0))
    # Pixels are averaged after the beam here, and the disc is averaged before it there: a third of a beam either way.
    assert np.abs(small.data - direct.data).max() < 0.1 * direct.data.max()
    keep = small.moment0() > 0.2 * small.moment0().max()
    np.testing.assert_allclose(small.moment1()[keep], direct.moment1()[keep], atol=2.0)
    assert small.spectrum().sum() == pytest.approx(direct.spectrum().sum(), rel=2e-3)


def test_blank_voxels_carry_no_weight():
    data = np.arange(32.0).reshape(2, 4, 4)
    data[0, 0, 0] = data[0, 2, 2] = data[0, 2, 3] = data[0, 3, 2] = np.nan
    noise = np.ones(data.shape)
    noise[1, 0, 0] = np.nan
    mask = np.ones(data.shape, bool)
    mask[0, 0, 2:] = mask[0, 1, 2] = False
    cube = Cube(data, CubeGrid((2, 4, 4), 1.0, 10.0), unit="Jy/beam", noise=noise, mask=mask, rms=1.0)
    small = cube.downsample(2)
    assert small.data[0, 0, 0] == pytest.approx((1.0 + 4.0 + 5.0) / 3.0)
    assert small.noise[0, 0, 0] == pytest.approx(np.sqrt(3.0) / 3.0)
    assert np.isnan(small.data[0, 1, 1])  # one of four is known
    assert not small.mask[0, 1, 1]
    assert not small.mask[0, 0, 1]  # one of four may be used
    assert small.data[0, 0, 1] == pytest.approx((2.0 + 3.0 + 6.0 + 7.0) / 4.0)
    assert small.data[1, 0, 0] == pytest.approx((17.0 + 20.0 + 21.0) / 3.0)  # 16 is of unknown noise
    assert small.noise[1, 1, 1] == pytest.approx(0.5)
    wide = cube.rebin(2)
    assert wide.data[0, 1, 1] == pytest.approx((5.0 + 21.0) / 2.0)
    assert wide.data[0, 0, 0] is not None
    assert np.isnan(wide.data[0, 0, 0])  # neither of its two
    assert wide.data[0, 2, 2] == pytest.approx(26.0)
    assert wide.mask[0, 0, 2]  # one of two may be used


@pytest.mark.parametrize(
    ("unit", "per_pixel"),
    [
        ("Jy/beam", False), ("mJy beam-1", False), ("K", False), ("MJy/sr", False), ("Jy/arcsec2", False), ("", False),
        ("Jy/pixel", True), ("Jy", True), ("10**(-20)*erg/s/cm**2/Angstrom", True), ("adu", True),
        ("1E-17 erg/s/cm^2/Ang/spaxel", True), ("W m-2 um-1", True), ("what", False),
    ],
)  # fmt: skip
def test_what_adds_up(unit, per_pixel):
    assert is_per_pixel(unit) is per_pixel
    cube = Cube(np.ones((1, 4, 6)), CubeGrid((1, 4, 6), 1.0, 10.0), unit=unit, noise=np.full((1, 4, 6), 3.0))
    small = cube.downsample(2)
    assert np.all(small.data == (4.0 if per_pixel else 1.0))
    assert np.all(small.noise == (6.0 if per_pixel else 1.5))


def test_noise_goes_down_as_it_does(tmp_path):
    cube = cube_of(tmp_path, nv=8, ny=64, nx=64)
    cube = cube.replace(data=cube.data - 2.0, noise=np.ones(cube.data.shape), rms=1.0)
    # White noise: of 4 voxels half, of 2 channels 1 / sqrt(2). 4096 voxels know their rms to 2 %.
    small, wide = cube.downsample(2), cube.rebin(2)
    assert small.rms == pytest.approx(0.5, rel=0.05)
    assert wide.rms == pytest.approx(np.sqrt(0.5), rel=0.05)
    np.testing.assert_allclose(small.noise, 0.5)
    np.testing.assert_allclose(wide.noise, np.sqrt(0.5))


def test_left_over(tmp_path):
    cube = cube_of(tmp_path)
    with pytest.warns(KinmsWarning, match=r"The last 1 row, 1 column would not fill a bin: left out\."):
        small = cube.downsample(2)
    assert small.warnings[-1] == "the last 1 row, 1 column would not fill a bin: left out"
    with pytest.warns(KinmsWarning, match=r"The last 2 channels would not fill a bin"):
        assert cube.rebin(5).grid.nv == 2


def test_a_beam_and_a_response_per_channel():
    beams = [Beam(4.0 + 0.001 * k, 3.0, 20.0) for k in range(4)]
    grid = CubeGrid((4, 8, 8), 1.0, 10.0, lsf_sigma=[3.0, 4.0, 5.0, 6.0])
    cube = Cube(np.ones(grid.shape), grid, ChannelBeams(beams))
    part = cube.subcube(velocity_range=(-5.0, 15.0))
    assert part.beam.beams == tuple(beams[2:4])
    assert part.grid.lsf_sigma.tolist() == [5.0, 6.0]
    wide = cube.rebin(2)
    assert len(wide.beam.beams) == 2
    np.testing.assert_allclose(wide.grid.lsf_sigma, [np.sqrt(12.5), np.sqrt(30.5)])
    assert len(cube.downsample(2).beam.beams) == 4
    other = cube.replace(beam=ChannelBeams([Beam(4.0), Beam(4.0), Beam(4.0), Beam(5.0)]))
    with pytest.raises(InputError, match=r"the beams is different in channels that .* cube\.to_common_beam\(\) first"):
        other.rebin(2)


def test_subcubes_of_any_cut(tmp_path):
    cube = cube_of(tmp_path).replace(header=None)
    there = (150.0 - 4.0 / 3600.0 / np.cos(np.radians(30.0)), 30.0 + 2.0 / 3600.0)
    part = cube.subcube(centre=there, size=6.0, velocity_range=(1015.0, 1055.0))
    with_header = cube_of(tmp_path).subcube(centre=there, size=6.0, velocity_range=(1015.0, 1055.0))
    np.testing.assert_array_equal(part.data, with_header.data)
    # Without a header the projection is about the reference, with it about CRPIX, 2 arcsec off: 1e-5 in 4 arcsec.
    assert part.grid.x_ref == pytest.approx(with_header.grid.x_ref, abs=1e-4)
    assert part.grid.y_ref == pytest.approx(with_header.grid.y_ref, abs=1e-4)
    assert (part.grid.ra, part.grid.dec) == there
    mask = np.zeros(cube.data.shape, bool)
    mask[5, 4, 5] = True
    near = cube.replace(beam=Beam(2.0)).subcube(mask=mask)
    np.testing.assert_array_equal(near.data, cube.data[4:7, 3:6, 4:7])
    assert near.rms == pytest.approx(near.data.std(), rel=1.0)
    bare = Cube(np.ones((2, 4, 4)), CubeGrid((2, 4, 4), 1.0, 10.0))
    with pytest.raises(InputError, match=r"centre is .* expected none, as the grid has no position"):
        bare.subcube(centre=(10.0, 10.0))
    with pytest.raises(InputError, match="expected a position on the cube"):
        cube.subcube(centre=(330.0, -30.0))
    with pytest.raises(InputError, match="mask is False everywhere"):
        cube.subcube(mask=np.zeros(cube.data.shape, bool))
    with pytest.raises(InputError, match="mask is an array of int64"):
        cube.subcube(mask=np.zeros(cube.data.shape, int))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c: c.downsample(0), InputError, "n is 0; expected >= 1"),
        (lambda c: c.downsample(2.5), InputError, "n is 2.5; expected a whole number from 1 to 8"),
        (lambda c: c.downsample(99), InputError, "from 1 to 8"),
        (lambda c: c.rebin(7), InputError, "from 1 to 6"),
        (lambda c: c.rebin(), InputTypeError, "n and dv is both missing; expected one of the two"),
        (lambda c: c.rebin(2, dv=30.0), InputTypeError, "n and dv is both given"),
        (lambda c: c.rebin(dv=3.0), InputError, "dv is 3; expected at least the width of a channel, 10 km/s"),
        (lambda c: c.rebin(dv=1e4), InputError, "at most the whole range, 60 km/s"),
        (lambda c: c.rebin(dv="wide"), KinmsError, "dv"),
    ],
)
def test_what_makes_no_sense(saved, call, error, message):
    with pytest.raises(error, match=message):
        call(read_cube(saved(numbers(header()))))
