"""Cubes out of files: axes in any order and direction, cuts, masks, and files that cannot be read."""

import gzip
import pickle
import warnings

import numpy as np
import pytest
from astropy.io import fits
from fits_files import BASE, REST, C, header, numbers, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinms.cube import SpectralAxis
from kinms.errors import (
    FileError,
    HeaderError,
    InputError,
    InputTypeError,
    KinmsError,
    KinmsWarning,
    UnknownNameError,
)
from kinms.fits_layout import read_header
from kinms.fits_read import read_cube
from kinms.fits_write import write_cube
from kinms.grid import Beam
from kinms.psf import ChannelBeams


def test_a_plain_cube(saved):
    cube = read_cube(saved())
    grid = cube.grid
    assert grid.shape == (6, 8, 9)
    assert grid.cell == pytest.approx(2.0, rel=1e-12)
    np.testing.assert_allclose(grid.velocities, np.arange(6) * 10.0 + 1000.0, rtol=1e-13)
    assert (grid.ra, grid.dec) == pytest.approx((150.0, 30.0), abs=1e-12)
    assert (grid.x_ref, grid.y_ref) == (4.0, 4.0)
    assert grid.rest_frequency == REST
    assert cube.beam == Beam(6.0, 4.0, 20.0) or cube.beam.bmaj == pytest.approx(6.0, rel=1e-12)
    assert cube.unit == "Jy/beam"
    assert cube.flipped == ()
    assert cube.warnings == ()
    assert cube.spectral == SpectralAxis("radio", "LSRK", REST, "Hz", "VRAD")
    assert cube.data.dtype == np.float64
    assert cube.data.flags.c_contiguous
    np.testing.assert_array_equal(cube.data, numbers(header()))
    assert pickle.loads(pickle.dumps(cube)) == cube


def test_descending_velocity_is_turned_round(saved):
    cube = read_cube(saved(CDELT3=-1.0e4))
    assert cube.flipped == ("velocity",)
    np.testing.assert_allclose(cube.grid.velocities, np.arange(6) * 10.0 + 950.0, rtol=1e-13)
    np.testing.assert_array_equal(cube.data, numbers(header())[::-1])


def test_x_to_the_east_and_y_to_the_south_are_turned_round(saved):
    cube = read_cube(saved(CDELT1=2.0 / 3600.0, CDELT2=-2.0 / 3600.0))
    assert cube.flipped == ("x", "y")
    np.testing.assert_array_equal(cube.data, numbers(header())[:, ::-1, ::-1])
    # Pixel n // 2 = 4 of 8 rows is row 3 of the file: one pixel of 2 arcsec North of CRPIX, as y ran South.
    assert cube.grid.dec == pytest.approx(30.0 + 2.0 / 3600.0, abs=1e-9)
    assert cube.grid.ra == pytest.approx(150.0, abs=1e-9)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("km/s", 1e-3), ("KM/S", 1e-3), ("km s-1", 1e-3), ("M/S", 1.0), ("m s-1", 1.0), ("cm/s", 100.0), ("km/sec", 1e-3)],
)
def test_units_of_velocity(unit, factor):
    grid = read_header(header(CUNIT3=unit, CRVAL3=1e6 * factor, CDELT3=1e4 * factor)).grid
    np.testing.assert_allclose(grid.velocities, np.arange(6) * 10.0 + 1000.0, rtol=1e-12)


@pytest.mark.parametrize("unit", ["DEGREE", "degrees", "arcsec", None])
def test_units_of_the_sky(unit):
    factor = 3600.0 if unit == "arcsec" else 1.0
    cards = {f"{name}{axis}": BASE[f"{name}{axis}"] * factor for name in ("CRVAL", "CDELT") for axis in (1, 2)}
    grid = read_header(header(CUNIT1=unit, CUNIT2=unit, **cards)).grid
    assert grid.cell == pytest.approx(2.0, rel=1e-12)
    assert grid.ra == pytest.approx(150.0, abs=1e-10)


def test_numbers_in_fortran_and_in_strings():
    text = "\n".join(str(card) for card in header().cards).replace("1000000.0", "1.0D+06")
    assert "1.0D+06" in text
    assert read_header(fits.Header.fromstring(text, sep="\n")).velocities[0] == pytest.approx(1000.0)
    assert read_header(header(CRVAL3=" 1.0D+06 ")).velocities[0] == pytest.approx(1000.0)


def test_stokes_axis_anywhere(saved):
    """CASA writes RA, Dec, Stokes, frequency; AIPS the last two the other way round; SKA tools put velocity first."""
    truth = read_cube(saved()).data
    for order in [(1, 2, 3, 0), (1, 2, 0, 3), (3, 1, 2, 0), (0, 2, 1, 3), (3, 0, 2, 1)]:
        cards = {"NAXIS": 4}
        for axis, source in enumerate(order, start=1):
            for name in ("NAXIS", "CTYPE", "CRVAL", "CDELT", "CRPIX", "CUNIT"):
                stokes = {"NAXIS": 1, "CTYPE": "STOKES", "CUNIT": ""}.get(name, 1.0)
                cards[f"{name}{axis}"] = BASE[f"{name}{source}"] if source else stokes
        array = np.transpose(numbers(header())[None], [(0, 3, 2, 1)[source] for source in reversed(order)])
        cube = read_cube(write(saved(name="other.fits"), array, header(**cards)))
        np.testing.assert_array_equal(cube.data, truth)
        assert (cube.grid.ra, cube.grid.dec) == pytest.approx((150.0, 30.0), abs=1e-12)
        assert cube.flipped == ()


def test_stokes_i_is_taken_of_several(saved):
    head = header(NAXIS=4, NAXIS4=3, CTYPE4="STOKES", CRVAL4=3.0, CDELT4=-1.0, CRPIX4=1.0)
    path = write(saved(), numbers(head), head)
    with pytest.warns(KinmsWarning, match=r"axis 4 \(STOKES\) has 3 planes: plane 3 is read"):
        cube = read_cube(path)
    np.testing.assert_array_equal(cube.data, numbers(head)[2])


def test_quarter_turns_are_not_rotations(saved):
    """A PC matrix that only swaps the axes needs a transposition, no resampling."""
    cards = {"PC1_1": 0.0, "PC1_2": 1.0, "PC2_1": 1.0, "PC2_2": 0.0, "NAXIS1": 8, "NAXIS2": 9}
    turned = np.transpose(numbers(header()), (0, 2, 1))
    cube = read_cube(write(saved(), turned, header(**cards)))
    np.testing.assert_array_equal(cube.data, numbers(header()))
    assert (cube.grid.ra, cube.grid.dec) == pytest.approx((150.0, 30.0), abs=1e-12)


@pytest.mark.parametrize(
    "cards",
    [
        {"CDELT1": None, "CDELT2": None, "CDELT3": None, "CD1_1": -2 / 3600, "CD2_2": 2 / 3600, "CD3_3": 1e4},
        {"CDELT1": 1.0, "CDELT2": 1.0, "CD1_1": -2 / 3600, "CD2_2": 2 / 3600},
        {"PC001001": 1.0, "PC002002": 1.0, "PC003003": 1.0, "PC001002": 0.0},
        {"PC01_01": 1.0, "PC02_02": 1.0, "PC03_03": 1.0, "PC02_01": 0.0},
        {"CROTA1": 0.0, "CROTA2": 0.2, "CROTA3": 30.0},
    ],
    ids=["CD", "CD of the sky alone", "PC001001", "PC01_01", "CROTA"],
)
def test_forms_of_the_matrix(cards):
    grid = read_header(header(**cards)).grid
    assert grid.cell == pytest.approx(2.0, rel=1e-12)
    np.testing.assert_allclose(grid.velocities, np.arange(6) * 10.0 + 1000.0, rtol=1e-12)
    assert (grid.ra, grid.dec) == pytest.approx((150.0, 30.0), abs=1e-10)


def test_coordinate_systems_become_icrs():
    # M 31's nucleus: 00 40 00.1 +40 59 43 (B1950) is 00 42 44.3 +41 16 09 (J2000); NED.
    for old in ({"EPOCH": 1950.0}, {"EQUINOX": 1950.0}, {"RADECSYS": "FK4"}, {"EQUINOX": "B1950"}):
        cards = {"RADESYS": None, "CRVAL1": 10.00042, "CRVAL2": 40.99528, **old}
        layout = read_header(header(**cards))
        grid = layout.grid
        assert layout.header["RADESYS"] == "FK4"  # FK5 of equinox 1950 would be off by half an arcsec
        assert grid.ra == pytest.approx(10.68458, abs=1e-3)
        assert grid.dec == pytest.approx(41.26917, abs=1e-3)
    # The Galactic centre's direction by definition: 17 45 37.2 -28 56 10.
    with pytest.warns(KinmsWarning, match="North of GLAT"):
        warnings.warn(read_header(_galactic()).warnings[-1], KinmsWarning, stacklevel=1)
    grid = read_header(_galactic()).grid
    assert (grid.ra, grid.dec) == pytest.approx((266.405, -28.936), abs=1e-3)
    # FK5 differs from ICRS by some 20 mas, and no header says nothing at all.
    grid = read_header(header(RADESYS=None, EPOCH=2000.0)).grid
    assert 1e-8 < abs(grid.ra - 150.0) < 1e-5


def _galactic():
    return header(CTYPE1="GLON-CAR", CTYPE2="GLAT-CAR", CRVAL1=0.0, CRVAL2=0.0, RADESYS=None)


def test_ncp_is_the_projection_of_east_west_arrays():
    """Brouw (1971): x = -cos(dec) sin(dRA), y = (cos(dec0) - cos(dec) cos(dRA)) / sin(dec0), radians; x to the East."""
    layout = read_header(header(CTYPE1="RA---NCP", CTYPE2="DEC--NCP", CDELT1=-0.1, CDELT2=0.1))
    pole = np.radians(30.0)
    for x, y in [(4, 4), (0, 0), (8, 7), (0, 7)]:
        ra, dec = (np.radians(value) for value in layout.sky(x, y))
        turn = ra - np.radians(150.0)
        assert np.degrees(np.cos(dec) * np.sin(turn)) == pytest.approx(-0.1 * (x - 4), abs=1e-10)
        north = (np.cos(pole) - np.cos(dec) * np.cos(turn)) / np.sin(pole)
        assert np.degrees(north) == pytest.approx(0.1 * (y - 4), abs=1e-10)
        assert layout.pixel(np.degrees(ra), np.degrees(dec)) == pytest.approx((x, y), abs=1e-9)


def test_integers_with_blank(saved):
    counts = np.arange(6 * 8 * 9).reshape(6, 8, 9)
    scaled = np.where(counts == 7, -32768, counts).astype(">i2")
    hdu = fits.PrimaryHDU(scaled, header(BLANK=-32768))
    path = saved()
    hdu.header["BSCALE"], hdu.header["BZERO"] = 0.5, 3.0
    raw = hdu.header.tostring().encode() + scaled.tobytes()
    path.write_bytes(raw + b"\0" * (-len(raw) % 2880))
    cube = read_cube(path)
    assert np.isnan(cube.data[0, 0, 7])
    assert np.isfinite(cube.data).sum() == counts.size - 1
    np.testing.assert_allclose(cube.data[1], counts[1] * 0.5 + 3.0)


@pytest.mark.parametrize("blank", [-32768, "nan"])
def test_blank_on_floats_is_ignored(saved, blank):
    np.testing.assert_array_equal(read_cube(saved(BLANK=blank)).data, numbers(header()))


def test_gzip(saved, tmp_path):
    packed = tmp_path / "cube.fits.gz"
    packed.write_bytes(gzip.compress(saved().read_bytes()))
    np.testing.assert_array_equal(read_cube(packed).data, numbers(header()))


def test_the_data_extension_is_found(tmp_path):
    blank = {"NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "BUNIT", "BMAJ", "BMIN", "BPA"}
    bare = header(**dict.fromkeys(("BUNIT", "BMAJ", "BMIN", "BPA")))
    primary = fits.PrimaryHDU(header=fits.Header({k: v for k, v in BASE.items() if k in ("BUNIT", "BMAJ", "BMIN")}))
    # The variance of these numbers, which go from -100 to 331.
    variance = fits.ImageHDU(np.full((6, 8, 9), 431.0**2 / 12.0), bare, name="STAT")
    data = fits.ImageHDU(numbers(header()), bare, name="DATA")
    path = tmp_path / "optical.fits"
    fits.HDUList([primary, variance, data]).writeto(path)
    assert "BUNIT" in blank
    with pytest.warns(KinmsWarning, match="BPA is missing"):
        cube = read_cube(path)
    np.testing.assert_array_equal(cube.data, numbers(header()))
    assert cube.unit == "Jy/beam"
    with pytest.warns(KinmsWarning, match="BPA is missing"):
        assert read_cube(path, hdu="stat").data.max() == 431.0**2 / 12.0
    for wrong in (7, "SCI", -1):
        with pytest.raises(InputError, match=r"expected one of 0 \(PRIMARY\), 1 \(STAT\), 2 \(DATA\)"):
            read_cube(path, hdu=wrong)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_velocity_range_keeps_centres_inside(saved, sign):
    whole = read_cube(saved(CDELT3=sign * 1e4, CRVAL3=1e6 if sign > 0 else 1.05e6))
    cut = read_cube(saved(CDELT3=sign * 1e4, CRVAL3=1e6 if sign > 0 else 1.05e6), velocity_range=(1010, 1034.9))
    np.testing.assert_allclose(cut.grid.velocities, [1010.0, 1020.0, 1030.0], rtol=1e-12)
    np.testing.assert_array_equal(cut.data, whole.data[1:4])
    assert cut.flipped == whole.flipped


@pytest.mark.parametrize("value", [(1034, 1010), (2000, 2100), (1000,), (1000, np.nan), (1011, 1019)])
def test_velocity_range_that_leaves_nothing(saved, value):
    with pytest.raises(KinmsError, match="velocity_range"):
        read_cube(saved(), velocity_range=value)


@pytest.mark.parametrize("cards", [{}, {"CDELT1": 2.0 / 3600.0}, {"CDELT2": -2.0 / 3600.0}])
def test_centre_and_size(saved, cards):
    path = saved(**cards)
    whole = read_cube(path)
    ra, dec = 150.0 - 1.7 * 2.0 / 3600.0 / np.cos(np.radians(30.0)), 30.0 + 0.4 * 2.0 / 3600.0
    cube = read_cube(path, centre=(ra, dec))
    assert cube.data.shape == whole.data.shape
    assert (cube.grid.ra, cube.grid.dec) == (ra, dec)
    # 1.7 pixels West and 0.4 North of the whole cube's own reference, but for where flips put pixel n // 2.
    shift = (cube.grid.x_ref - whole.grid.x_ref, cube.grid.y_ref - whole.grid.y_ref)
    north = 0.4 - (whole.grid.dec - 30.0) * 1800.0
    assert shift == pytest.approx((1.7, north), abs=1e-4)
    box = read_cube(path, centre=(ra, dec), size=8.0)
    x, y = cube.grid.x_ref, cube.grid.y_ref
    columns = [i for i in range(9) if abs(i - x) <= 2.0]
    rows = [i for i in range(8) if abs(i - y) <= 2.0]
    np.testing.assert_array_equal(box.data, whole.data[:, rows][:, :, columns])
    assert box.grid.east[0] == pytest.approx(cube.grid.east[columns[0]], abs=1e-9)
    assert box.grid.north[0] == pytest.approx(cube.grid.north[rows[0]], abs=1e-9)


def test_size_alone_keeps_the_reference(saved):
    cube = read_cube(saved(), size=8.0)
    assert cube.data.shape == (6, 5, 5)
    assert (cube.grid.ra, cube.grid.dec) == pytest.approx((150.0, 30.0), abs=1e-12)
    assert (cube.grid.x_ref, cube.grid.y_ref) == (2.0, 2.0)
    np.testing.assert_array_equal(cube.data, numbers(header())[:, 2:7, 2:7])


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"centre": (10.0, 30.0)}, "centre"),
        ({"centre": (150.0, -60.0)}, "centre"),
        ({"centre": (150.0,)}, "centre"),
        ({"centre": (150.0, 99.0)}, "centre"),
        ({"size": -3.0}, "size"),
        ({"size": "big"}, "size"),
        ({"convention": "redshift"}, "convention"),
        ({"rest_frequency": -1.0}, "rest_frequency"),
        ({"rest_frequency": 1e9, "rest_wavelength": 0.3}, "rest_wavelength"),
    ],
)
def test_options_that_make_no_sense(saved, options, name):
    with pytest.raises((InputError, InputTypeError, UnknownNameError), match=name):
        read_cube(saved(), **options)


def test_line_and_redshift_are_passed_on(saved):
    """v = 0 is at z: of CO(1-0) at z = 0.0033, on a frequency axis."""
    cards = {"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": REST / 1.0033, "CDELT3": -4e6, "VELREF": 257, "RESTFRQ": None}
    path = saved(**cards)
    with pytest.raises(HeaderError, match="RESTFRQ"):
        read_cube(path)
    cube = read_cube(path, line="CO(1-0)", redshift=0.0033)
    assert cube.grid.velocities[0] == pytest.approx(0.0, abs=1e-6)
    assert cube.grid.velocities[1] == pytest.approx(C * 4e6 / (REST / 1.0033), rel=1e-9)
    assert read_cube(path, line="CO(1-0)").grid.velocities[0] == pytest.approx(C * (1 - 1 / 1.0033), rel=1e-9)


@pytest.mark.parametrize("cards", [{}, {"CDELT1": 2.0 / 3600.0}, {"CDELT3": -1e4, "CRVAL3": 1.05e6}])
def test_a_beam_per_channel_and_one_for_all(saved, cards):
    beams = [Beam(5.0 + 0.1 * k, 4.0, 20.0) for k in range(6)]
    path = saved().with_name("beams.fits")
    write_cube(path, read_cube(saved(**cards)).replace(beam=ChannelBeams(beams)))
    cube = read_cube(path)
    assert [beam.bmaj for beam in cube.beam.beams] == pytest.approx([5.0, 5.1, 5.2, 5.3, 5.4, 5.5])
    part = read_cube(path, velocity_range=(1015.0, 1035.0))
    assert [beam.bmaj for beam in part.beam.beams] == pytest.approx([5.2, 5.3])
    common = read_cube(path, common_beam=True)
    assert isinstance(common.beam, Beam)
    assert common.beam.bmaj == pytest.approx(5.5, rel=1e-3)
    assert read_cube(saved(), common_beam=True) == read_cube(saved())


def test_mask_follows_flips_and_cuts(saved):
    flags = np.zeros((6, 8, 9), dtype=np.int16)
    flags[4, 2, 7] = 1
    flags[1, 3, 3] = 5
    cards = {"CDELT3": -1e4, "CRVAL3": 1.05e6, "CDELT1": 2 / 3600}
    path, mask = saved(**cards), saved(flags, name="mask.fits", **cards)
    cube = read_cube(path, mask=mask)
    assert sorted(zip(*np.nonzero(cube.mask), strict=True)) == [(1, 2, 1), (4, 3, 5)]
    cut = read_cube(path, mask=mask, velocity_range=(1005, 1025))
    assert list(zip(*np.nonzero(cut.mask), strict=True)) == [(0, 2, 1)]
    assert cut.rms == pytest.approx(read_cube(path, velocity_range=(1005, 1025)).rms)


def test_mask_without_wcs_or_with_stokes(saved, tmp_path):
    flags = np.ones((6, 8, 9))
    flags[0] = np.nan
    fits.writeto(tmp_path / "bare.fits", flags)
    fits.writeto(tmp_path / "stokes.fits", flags[None])
    for name in ("bare.fits", "stokes.fits"):
        mask = read_cube(saved(), mask=tmp_path / name).mask
        assert mask[1:].all()
        assert not mask[0].any()


def test_masks_that_do_not_fit(saved):
    path = saved()
    with pytest.raises(InputError, match=r"shape of mask is \(6, 8, 8\); expected \(6, 8, 9\)"):
        read_cube(path, mask=saved(np.ones((6, 8, 8)), name="m.fits", NAXIS1=8))
    with pytest.raises(InputError, match="mask is zero everywhere"):
        read_cube(path, mask=saved(np.zeros((6, 8, 9)), name="m.fits"))
    with pytest.raises(HeaderError, match=r"CDELT3: is -10000 in the mask"):
        read_cube(path, mask=saved(np.ones((6, 8, 9)), name="m.fits", CDELT3=-1e4))
    with pytest.raises(FileError, match=r"nothing\.fits: does not exist"):
        read_cube(path, mask=path.with_name("nothing.fits"))


def test_read_cube_refuses_in_the_same_words(saved, tmp_path):
    image = tmp_path / "image.fits"
    fits.writeto(image, np.zeros((8, 9)))
    with pytest.raises(HeaderError, match="NAXIS: is 2: a 2-D image"):
        read_cube(image)
    bare = tmp_path / "bare.fits"
    fits.writeto(bare, np.zeros((6, 8, 9)))
    with pytest.raises(HeaderError, match="CTYPE1: there are no celestial axes"):
        read_cube(bare)
    empty = tmp_path / "empty.fits"
    fits.PrimaryHDU().writeto(empty)
    with pytest.raises(HeaderError, match="NAXIS: is 0"):
        read_cube(empty)
    with pytest.raises(FileError, match="holds no finite voxel in what was read: all are NaN"):
        read_cube(saved(np.full((6, 8, 9), np.nan)))


def test_files_that_cannot_be_read(saved, tmp_path):
    with pytest.raises(FileError, match=r"nothing\.fits: does not exist"):
        read_cube(tmp_path / "nothing.fits")
    with pytest.raises(FileError, match="is a directory"):
        read_cube(tmp_path)
    wrong = tmp_path / "page.fits"
    wrong.write_text("<html>not found</html>")
    with pytest.raises(FileError, match=r"is a web page, not a FITS file"):
        read_cube(wrong)
    wrong.write_bytes(b"")
    with pytest.raises(FileError, match="is empty"):
        read_cube(wrong)
    wrong.write_bytes(b"SIMPLE  =                    T" + b" " * 50)
    with pytest.raises(FileError):
        read_cube(wrong)


@pytest.mark.parametrize("keep", [100, 2880, 3000, 4000])
def test_truncated_files(saved, tmp_path, keep):
    whole = saved().read_bytes()
    assert len(whole) == 2880 * 2
    cut = tmp_path / "cut.fits"
    cut.write_bytes(whole[:keep])
    with pytest.raises(FileError, match=r"cut\.fits"):
        read_cube(cut)
    packed = tmp_path / "cut.fits.gz"
    packed.write_bytes(gzip.compress(whole)[: keep // 10])
    with pytest.raises(FileError, match=r"cut\.fits\.gz"):
        read_cube(packed)
    packed.write_bytes(gzip.compress(whole[:keep]))
    with pytest.raises(FileError, match=r"cut\.fits\.gz"):
        read_cube(packed)


def test_a_file_without_its_last_padding_is_whole(saved, tmp_path):
    whole = saved().read_bytes()
    (tmp_path / "tight.fits").write_bytes(whole[: 2880 + 4 * 6 * 8 * 9])
    np.testing.assert_array_equal(read_cube(tmp_path / "tight.fits").data, numbers(header()))


@pytest.mark.parametrize("length", ["     9999999", "999999999999"])
def test_a_header_larger_than_its_file_asks_for_no_memory(saved, tmp_path, length):
    text = saved().read_bytes().replace(b"NAXIS1  =                    9", f"NAXIS1  =         {length}".encode())
    (tmp_path / "huge.fits").write_bytes(text)
    with pytest.raises(FileError, match=r"huge\.fits: is truncated(: 5760 bytes|, or its header wrong)"):
        read_cube(tmp_path / "huge.fits")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations([1, 2, 3, 4, 5]),
    signs=st.tuples(*[st.sampled_from([1.0, -1.0])] * 3),
    spectral=st.sampled_from(["m/s", "km/s", "Hz", "GHz"]),
    degrees=st.booleans(),
    matrix=st.sampled_from(["CDELT", "PC", "CD"]),
)
def test_any_axis_order_direction_and_unit(tmp_path, order, signs, spectral, degrees, matrix):
    """The same voxels, velocities and sky, however the file puts them."""
    sizes = {1: 5, 2: 4, 3: 3, 4: 1, 5: 1}
    truth = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    cards = {"NAXIS": 5, **{f"{n}{i}": None for n in ("CTYPE", "CRVAL", "CDELT", "CRPIX", "CUNIT") for i in range(6)}}
    angle = 1.0 if degrees else 3600.0
    frequency = not spectral.endswith("/s")
    scale = {"m/s": 1e3, "km/s": 1.0, "Hz": 1.0, "GHz": 1e-9}[spectral]
    # 1000, 1010, 1020 km/s; frequencies fall as velocities rise.
    value, step = (REST * (1 - 1000 / C), -REST * 10 / C) if frequency else (1000.0, 10.0)
    world = {
        1: ("RA---TAN", 40.0 * angle, -3.0 / 3600 * angle, "deg" if degrees else "arcsec"),
        2: ("DEC--TAN", -20.0 * angle, 3.0 / 3600 * angle, "deg" if degrees else "arcsec"),
        3: ("FREQ" if frequency else "VRAD", value * scale, step * scale, spectral),
        4: ("STOKES", 1.0, 1.0, ""),
        5: ("", 0.0, 1.0, ""),
    }
    array = truth.reshape(1, 1, 3, 4, 5)
    for source, sign in enumerate(signs, start=1):
        if sign < 0:
            array = np.flip(array, 5 - source)
    for axis, source in enumerate(order, start=1):
        ctype, crval, cdelt, cunit = world[source]
        sign = signs[source - 1] if source <= 3 else 1.0
        reference = {1: 3.0, 2: 2.0, 3: 1.0}.get(source, 1.0)
        cards[f"NAXIS{axis}"] = sizes[source]
        cards[f"CTYPE{axis}"], cards[f"CRVAL{axis}"], cards[f"CUNIT{axis}"] = ctype, crval, cunit
        cards[f"CRPIX{axis}"] = reference if sign > 0 else sizes[source] + 1 - reference
        cards[f"CD{axis}_{axis}" if matrix == "CD" else f"CDELT{axis}"] = cdelt * sign
        if matrix == "PC":
            cards[f"PC{axis}_{axis}"] = 1.0
    head = header(**cards, VELREF=257)
    array = np.transpose(array, [5 - source for source in reversed(order)])
    cube = read_cube(write(tmp_path / "any.fits", array, head))
    np.testing.assert_array_equal(cube.data, truth)
    np.testing.assert_allclose(cube.grid.velocities, [1000.0, 1010.0, 1020.0], rtol=0, atol=1e-7)
    assert cube.grid.cell == pytest.approx(3.0, rel=1e-12)
    # Pixel (2, 2) is CRPIX in x, and one pixel North of it in y.
    assert (cube.grid.ra, cube.grid.dec) == pytest.approx((40.0, -20.0 + 3.0 / 3600), abs=1e-9)
    flips = {name for name, sign in zip(("x", "y", "velocity"), signs, strict=True) if sign < 0}
    assert set(cube.flipped) == flips
    write_cube(tmp_path / "back.fits", cube, overwrite=True)
    np.testing.assert_array_equal(fits.getdata(tmp_path / "back.fits"), array)
    assert read_cube(tmp_path / "back.fits").grid == cube.grid
