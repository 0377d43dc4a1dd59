"""Cubes into files: what spectral-cube and astropy find there, what goes back unchanged, and what is said of a cube."""

import gzip
import json
import os
import pathlib
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from fits_files import BASE, REST, header, numbers, write
from fits_standard import faults

from kinms.cube import Cube, SpectralAxis
from kinms.errors import FileError, InputError, InputTypeError, KinmsWarning, OutputExistsError, UnknownNameError
from kinms.fits_layout import read_header
from kinms.fits_read import read_cube
from kinms.fits_survey import describe, read_obspars
from kinms.fits_write import provenance, write_cube, write_map
from kinms.grid import Beam, CubeGrid


def spectral_cube_world(path):
    """(velocity km/s, ra, dec) of every voxel as spectral-cube sees them, as arrays of the cube's shape."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, of imports and of Stokes axes
        import spectral_cube

        theirs = spectral_cube.SpectralCube.read(str(path))
        v, dec, ra = theirs.world[:]
        return theirs, v, ra, dec


def assert_same_world(path, cube):
    """spectral-cube finds the cube's own sky and velocities to 1e-6 pixel and 1e-6 channel, voxel by voxel."""
    from astropy.coordinates import SkyCoord
    from astropy.wcs.utils import wcs_to_celestial_frame

    theirs, v, ra, dec = spectral_cube_world(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = wcs_to_celestial_frame(theirs.wcs.celestial)
    rest = cube.grid.rest_frequency
    if not v.unit.is_equivalent(u.km / u.s):
        equivalency = {"radio": u.doppler_radio, "optical": u.doppler_optical}[cube.spectral.convention]
        v = v.to(u.Hz, u.spectral()).to(u.km / u.s, equivalency(rest * u.Hz))
    v = v.to_value(u.km / u.s)
    # Their axes may run the other way; ours ascend in velocity, go West and North.
    order = [-1 if v[-1, 0, 0] < v[0, 0, 0] else 1, -1 if dec[0, -1, 0] < dec[0, 0, 0] else 1]
    turn = ra[0, 0, -1] - ra[0, 0, 0]
    order.append(1 if (turn.to_value("deg") + 180) % 360 - 180 < 0 else -1)
    flip = tuple(slice(None, None, step) for step in order)
    v, ra, dec = v[flip], ra[flip], dec[flip]
    assert v.shape == cube.data.shape
    np.testing.assert_allclose(v[:, 0, 0], cube.grid.velocities, rtol=0, atol=1e-6 * cube.grid.dv)
    sky = SkyCoord(ra[0], dec[0], frame=frame).icrs
    x_ref, y_ref = cube.grid.x_ref, cube.grid.y_ref
    assert sky.shape == cube.data.shape[1:]
    reference = SkyCoord(cube.grid.ra or 0.0, cube.grid.dec or 0.0, unit="deg")
    if x_ref == int(x_ref) and y_ref == int(y_ref):
        assert reference.separation(sky[int(y_ref), int(x_ref)]).arcsec < 1e-6 * cube.grid.cell
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(theirs.filled_data[:].value[flip], cube.data, rtol=1e-6)
    return sky


def fresh(shape=(5, 6, 7), **grid):
    data = np.random.default_rng(0).normal(size=shape)
    grid = {"cell": 0.7, "dv": 12.5, "v_ref": 843.25, "ra": 201.3, "dec": -43.02, "rest_frequency": REST, **grid}
    return Cube(data, CubeGrid(shape, **grid), Beam(3.0, 2.0, 30.0), spectral=SpectralAxis(frame="LSRK"))


@pytest.mark.parametrize("shape", [(5, 6, 7), (4, 7, 6), (1, 5, 5)])
@pytest.mark.parametrize("convention", ["radio", "optical"])
def test_a_made_cube_as_spectral_cube_sees_it(tmp_path, shape, convention):
    cube = fresh(shape).replace(spectral=SpectralAxis(convention, "LSRK"))
    write_cube(tmp_path / "made.fits", cube)
    sky = assert_same_world(tmp_path / "made.fits", cube)
    # Offsets from the reference, on the sphere, are the grid's own east and north.
    from astropy.coordinates import SkyCoord

    east, north = SkyCoord(201.3, -43.02, unit="deg").spherical_offsets_to(sky)
    limit = 1e-6 * cube.grid.cell
    np.testing.assert_allclose(east.arcsec, np.broadcast_to(cube.grid.east, shape[1:]), atol=limit)
    np.testing.assert_allclose(north.arcsec, np.broadcast_to(cube.grid.north[:, None], shape[1:]), atol=limit)
    back = read_cube(tmp_path / "made.fits")
    np.testing.assert_allclose(back.grid.velocities, cube.grid.velocities, atol=1e-9)
    assert back.grid.dv == pytest.approx(cube.grid.dv, rel=1e-12)
    assert (back.grid.ra, back.grid.dec) == pytest.approx((201.3, -43.02), abs=1e-12)
    assert (back.beam.bmaj, back.beam.bmin, back.beam.bpa) == pytest.approx((3.0, 2.0, 30.0), rel=1e-12)
    assert back.unit == "Jy/beam"
    assert back.warnings == ()
    assert back.spectral.convention == convention
    assert fits.getdata(tmp_path / "made.fits").dtype == ">f4"


def test_an_off_centre_reference_is_written(tmp_path):
    cube = fresh(x_ref=1.25, y_ref=4.5)
    write_cube(tmp_path / "off.fits", cube)
    back = read_cube(tmp_path / "off.fits", centre=(201.3, -43.02))
    assert (back.grid.x_ref, back.grid.y_ref) == pytest.approx((1.25, 4.5), abs=1e-7)


def test_a_made_cube_without_place_frequency_or_beam(tmp_path):
    grid = CubeGrid((3, 4, 5), 1.0, 10.0)
    write_cube(tmp_path / "bare.fits", Cube(np.ones((3, 4, 5)), grid, unit="Jy/pixel"))
    head = fits.getheader(tmp_path / "bare.fits")
    assert (head["CRVAL1"], head["CRVAL2"], head["SPECSYS"]) == (0.0, 0.0, "BARYCENT")
    assert "RESTFRQ" not in head
    assert "BMAJ" not in head
    with pytest.warns(KinmsWarning, match="no beam"):
        back = read_cube(tmp_path / "bare.fits")
    assert back.grid.shape == grid.shape
    assert back.grid.cell == pytest.approx(1.0, rel=1e-12)
    np.testing.assert_array_equal(back.grid.velocities, grid.velocities)
    assert (back.unit, back.beam) == ("Jy/pixel", None)


CASES = {
    "plain": {},
    "descending frequency": {"CTYPE3": "FREQ", "CRVAL3": REST / 1.05, "CDELT3": -5e6, "CUNIT3": "Hz", "VELREF": 257},
    "frequency, optical": {"CTYPE3": "FREQ", "CRVAL3": REST / 1.05, "CDELT3": 5e3, "CUNIT3": "Hz", "VELREF": 2},
    "x to the East": {"CDELT1": 2.0 / 3600.0},
    "y to the South, km/s": {"CDELT2": -2.0 / 3600.0, "CUNIT3": "km/s", "CRVAL3": 1000.0, "CDELT3": -10.0},
    "Stokes": {"NAXIS": 4, "NAXIS4": 1, "CTYPE4": "STOKES", "CRVAL4": 1.0, "CDELT4": 1.0, "CRPIX4": 1.0},
    "nameless fourth axis": {"NAXIS": 4, "NAXIS4": 1, "CTYPE4": "", "CRVAL4": 1.0, "CDELT4": 1.0, "CRPIX4": 1.0},
    "GIPSY": {"CTYPE1": "RA---NCP", "CTYPE2": "DEC--NCP", "CUNIT1": "DEGREE", "CTYPE3": "VELO-HEL", "RADESYS": "FK4"},
    "slightly rotated": {"CROTA2": 0.3},
    "CD": {f"CD{i}_{i}": BASE[f"CDELT{i}"] for i in (1, 2, 3)},
}


@pytest.mark.parametrize("name", CASES)
def test_a_cube_that_was_read_goes_back(saved, tmp_path, name):
    head = header(**CASES[name])
    source = write(tmp_path / "source.fits", numbers(head), head)
    cube = read_cube(source)
    write_cube(tmp_path / "back.fits", cube)
    back = read_cube(tmp_path / "back.fits")
    assert back.grid == cube.grid
    assert (back.beam, back.unit, back.flipped) == (cube.beam, cube.unit, cube.flipped)
    assert (back.spectral.convention, back.spectral.frame) == (cube.spectral.convention, cube.spectral.frame)
    np.testing.assert_array_equal(back.data, cube.data)
    # The array on disk is the one that was read: order, directions, degenerate axes.
    np.testing.assert_array_equal(fits.getdata(tmp_path / "back.fits"), numbers(head))
    assert_same_world(tmp_path / "back.fits", cube)


def test_a_cut_cube_keeps_its_place(saved, tmp_path):
    path = saved(CDELT3=-1e4, CRVAL3=1.05e6, CDELT1=2.0 / 3600.0)
    whole = read_cube(path)
    cut = read_cube(path, centre=(whole.grid.ra, whole.grid.dec), size=5.0, velocity_range=(1005, 1035))
    write_cube(tmp_path / "cut.fits", cut)
    assert_same_world(tmp_path / "cut.fits", cut)
    again = read_cube(tmp_path / "cut.fits", centre=(whole.grid.ra, whole.grid.dec))
    np.testing.assert_array_equal(again.data, cut.data)
    np.testing.assert_allclose(again.grid.velocities, cut.grid.velocities, rtol=1e-12)
    np.testing.assert_allclose(again.grid.east, cut.grid.east, atol=1e-6)
    np.testing.assert_allclose(again.grid.north, cut.grid.north, atol=1e-6)


def test_model_under_the_header_of_data(saved, tmp_path):
    data = read_cube(saved(CDELT3=-1e4))
    model = data.replace(data=np.ones(data.data.shape), beam=Beam(5.0), unit="mJy/beam")
    write_cube(tmp_path / "model.fits", model, history=["configuration 1234", "a\nb"])
    head = fits.getheader(tmp_path / "model.fits")
    assert head["CDELT3"] == -1e4
    assert head["BUNIT"] == "mJy/beam"
    assert head["BMAJ"] == pytest.approx(5.0 / 3600.0)
    history = list(head["HISTORY"])
    assert history[-3].startswith("kinms ")
    assert history[-2:] == ["configuration 1234", "a b"]


def test_provenance():
    made = provenance(seed=7, configuration="[disc]\n", fit="that")
    assert made == ("configuration: sha256 cdb71c93c519", "fit: sha256 8e7fc0236af4", "seed: 7")
    assert provenance() == ()


# -- maps -----------------------------------------------------------------------------------------------------------


def ramp(cube):
    """A map whose every pixel has a value of its own."""
    ny, nx = cube.data.shape[1:]
    return np.arange(float(nx * ny)).reshape(ny, nx) - 7.5


MAPPED = {
    **CASES,
    "all flipped": {"CDELT1": 2 / 3600.0, "CDELT2": -2 / 3600.0, "CDELT3": -1e4},
    "y first": {f"{key}{axis}": BASE[f"{key}{3 - axis}"] for key in ("CTYPE", "CRVAL", "CDELT") for axis in (1, 2)},
    "oblique": {"PV2_1": 0.01, "PV2_2": -0.02, "LONPOLE": 180.0, "CRDER3": 1e3, "CNAME3": "velocity", "OBJECT": "N 1"},
}


@pytest.mark.parametrize("name", MAPPED)
def test_maps_lie_on_the_sky_of_their_cube(tmp_path, name):
    """astropy.wcs puts every pixel of the map where it puts that of the cube's first channel."""
    from astropy.wcs import WCS

    head = header(**MAPPED[name], DATE="2001-01-01")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cube = read_cube(write(tmp_path / "source.fits", numbers(head), head))
    values = ramp(cube)
    write_map(tmp_path / "map.fits", values, cube, kind="moment1", history=["more"], double=True)
    write_cube(tmp_path / "cube.fits", cube.replace(data=np.broadcast_to(values, cube.data.shape)), double=True)
    assert faults(tmp_path / "map.fits") == []
    with fits.open(tmp_path / "map.fits") as file, fits.open(tmp_path / "cube.fits") as whole:
        file.verify("exception")
        found, plane = file[0].header, whole[0].data.reshape(whole[0].data.shape[-3:])[0]
        np.testing.assert_array_equal(file[0].data, plane)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mine, theirs = WCS(found), WCS(whole[0].header).celestial
        y, x = np.indices(plane.shape)
        for one, other in zip(mine.wcs_pix2world(x, y, 0), theirs.wcs_pix2world(x, y, 0), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)
        assert mine.wcs.radesys == theirs.wcs.radesys
    assert (found["NAXIS"], found["BTYPE"], found["BUNIT"]) == (2, "Velocity", "km/s")
    for key in ("BMAJ", "BMIN", "BPA", "SPECSYS", "RESTFRQ", "OBJECT"):
        if key in (cube.header or {}):
            assert found[key] == pytest.approx(cube.header[key]) if key[0] == "B" else found[key] == cube.header[key]
    assert not {"DATE", "CTYPE3", "CRDER3", "CNAME3", "NAXIS3", "PC3_3"} & set(found)
    assert list(found["HISTORY"])[-2].startswith(f"velocities: {cube.spectral.convention} convention")
    assert list(found["HISTORY"])[-1] == "more"


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("Jy/beam", u.Jy / u.beam * u.km / u.s),
        ("mJy/beam", u.mJy / u.beam * u.km / u.s),
        ("K", u.K * u.km / u.s),
        ("", u.km / u.s),
        ("10**(-20)*erg/s/cm**2/Angstrom", 1e-20 * u.erg / u.s / u.cm**2 / u.AA * u.km / u.s),
    ],
)
def test_integrals_have_the_unit_of_the_cube_times_a_velocity(tmp_path, unit, expected):
    cube = fresh().replace(unit=unit)
    write_map(tmp_path / "m0.fits", cube.moment0(), cube, kind="moment0")
    head = fits.getheader(tmp_path / "m0.fits")
    assert u.Unit(head["BUNIT"], format="fits") == expected
    assert head["BTYPE"] == "Integrated intensity"
    np.testing.assert_allclose(fits.getdata(tmp_path / "m0.fits"), cube.moment0(), rtol=1e-6)
    assert faults(tmp_path / "m0.fits") == []


def test_a_unit_that_nobody_knows_is_kept(tmp_path):
    cube = fresh().replace(unit="W.U.")
    write_map(tmp_path / "m0.fits", cube.moment0(), cube, kind="moment0")
    assert fits.getheader(tmp_path / "m0.fits")["BUNIT"] == "(W.U.) km/s"
    write_cube(tmp_path / "micro.fits", cube.replace(unit="\N{MICRO SIGN}Jy/beam"))
    assert fits.getheader(tmp_path / "micro.fits")["BUNIT"] == "uJy/beam"
    with pytest.raises(InputError, match="unit is 'Å'; expected printable ASCII"):
        write_cube(tmp_path / "no.fits", cube.replace(unit="Å"))


def test_what_is_no_map_is_refused(tmp_path):
    cube = fresh()
    with pytest.raises(InputError, match=r"the shape of image is \(6, 6\); expected \(6, 7\)"):
        write_map(tmp_path / "no.fits", np.zeros((6, 6)), cube, kind="moment0")
    with pytest.raises(UnknownNameError, match="kind 'moment9' is not known; allowed: moment0, moment1, moment2"):
        write_map(tmp_path / "no.fits", np.zeros((6, 7)), cube, kind="moment9")
    with pytest.raises(InputTypeError, match="cube is ndarray; expected a Cube"):
        write_map(tmp_path / "no.fits", np.zeros((6, 7)), cube.data, kind="moment0")
    assert os.listdir(tmp_path) == []


def test_masks_are_8_bit_and_large_numbers_want_64(tmp_path):
    cube = fresh()
    mask = cube.replace(data=cube.data > 0, unit="")
    write_cube(tmp_path / "mask.fits", mask)
    assert fits.getheader(tmp_path / "mask.fits")["BITPIX"] == 8
    assert "BUNIT" not in fits.getheader(tmp_path / "mask.fits")
    np.testing.assert_array_equal(fits.getdata(tmp_path / "mask.fits"), cube.data > 0)
    with pytest.raises(InputError, match=r"data is too large for 32 bits; .*double=True"):
        write_cube(tmp_path / "no.fits", cube.replace(data=1e39 * cube.data))
    write_cube(tmp_path / "wide.fits", cube.replace(data=1e39 * cube.data), double=True)
    np.testing.assert_array_equal(fits.getdata(tmp_path / "wide.fits"), 1e39 * cube.data)


def test_a_card_that_stands_twice_is_written_once(saved, tmp_path):
    cube = read_cube(saved())
    twice = cube.header.copy()
    twice.append(("OBJECT", "one"), end=True)
    twice.append(("OBJECT", "two"), end=True)
    twice["DATE"] = "2001-01-01"
    write_cube(tmp_path / "once.fits", cube.replace(header=twice))
    assert faults(tmp_path / "once.fits") == []
    assert fits.getheader(tmp_path / "once.fits")["OBJECT"] == "one"


def test_a_header_of_another_grid_is_refused(saved, tmp_path):
    cube = read_cube(saved())
    for change, says in (
        ({"shape": (6, 8, 8)}, "the shape that the cube's header describes"),
        ({"v_ref": 900.0}, "the velocity axis of the cube's header"),
        ({"dec": 30.001}, "the position in the cube's header"),
    ):
        grid = cube.grid.replace(**change)
        other = Cube(np.zeros(grid.shape), grid, cube.beam, header=cube.header)
        with pytest.raises(InputError, match=says):
            write_cube(tmp_path / "no.fits", other)
        assert not (tmp_path / "no.fits").exists()
        write_cube(tmp_path / "yes.fits", other.replace(header=None), overwrite=True)


def test_nothing_is_overwritten_unasked(tmp_path):
    path = tmp_path / "cube.fits"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"cube\.fits exists already"):
        write_cube(path, fresh())
    assert path.read_text() == "mine"
    write_cube(path, fresh(), overwrite=True)
    assert read_cube(path).grid.shape == (5, 6, 7)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "cube.fits"
    path.write_text("mine")

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kinms.fits_file._write", fail)
    with pytest.raises(FileError, match="cannot be written \\(No space left on device\\)"):
        write_cube(path, fresh(), overwrite=True)
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["cube.fits"]
    with pytest.raises(FileError, match="cannot be written"):
        write_cube(tmp_path / "nowhere" / "cube.fits", fresh())


def test_the_same_cube_makes_the_same_bytes(tmp_path):
    for suffix in ("fits", "fits.gz"):
        write_cube(tmp_path / f"a.{suffix}", fresh())
        write_cube(tmp_path / f"b.{suffix}", fresh())
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert (tmp_path / "a.fits.gz").read_bytes()[4:8] == bytes(4)  # no time
    assert gzip.decompress((tmp_path / "a.fits.gz").read_bytes()) == (tmp_path / "a.fits").read_bytes()


def test_what_is_written_is_standard(saved, tmp_path):
    text = "\n".join(str(card) for card in header().cards)
    text += "\nORIGIN  = 'AIPS \t    31DEC14'\nESO DET CHIP = 1.800e-05 / bad\nHISTORY AIPS one\nOBJECT  = 'NGC 1'"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layout = read_header(fits.Header.fromstring(text, sep="\n"))
    grid = layout.grid
    write_cube(tmp_path / "clean.fits", Cube(np.ones(grid.shape), grid, layout.beam, header=layout.header))
    with fits.open(tmp_path / "clean.fits") as written:
        written.verify("exception")
        assert written[0].header["OBJECT"] == "NGC 1"
        assert "AIPS one" in list(written[0].header["HISTORY"])
        assert "ORIGIN" not in written[0].header


def test_write_cube_takes_cubes():
    with pytest.raises(InputTypeError, match="cube is ndarray; expected a Cube"):
        write_cube("x.fits", np.zeros((2, 2, 2)))
    assert not pathlib.Path("x.fits").exists()


def test_describe_is_json(saved):
    said = describe(saved(CDELT3=-1e4))
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    expected = {
        "shape": [6, 8, 9],
        "cell_arcsec": pytest.approx(2.0, rel=1e-12),
        "dv_kms": pytest.approx(10.0, rel=1e-12),
        "v_min_kms": pytest.approx(950.0, rel=1e-12),
        "v_max_kms": pytest.approx(1000.0, rel=1e-12),
        "convention": "radio",
        "frame": "LSRK",
        "rest_value": REST,
        "rest_unit": "Hz",
        "beam": {
            "bmaj_arcsec": pytest.approx(6.0, rel=1e-12),
            "bmin_arcsec": pytest.approx(4.0, rel=1e-12),
            "bpa_deg": pytest.approx(20.0, rel=1e-12),
        },
        "bunit": "Jy/beam",
        "ra_deg": pytest.approx(150.0, abs=1e-12),
        "dec_deg": pytest.approx(30.0, abs=1e-12),
        "flipped": ["velocity"],
        "rms": read_cube(saved(CDELT3=-1e4)).rms,
        "doubtful": [],
    }
    assert {key: said[key] for key in expected} == expected
    again = describe(read_cube(saved(CDELT3=-1e4)))
    assert {key: again[key] for key in expected} == expected
    with pytest.warns(KinmsWarning, match="no beam"):
        assert describe(saved(BMAJ=None, BMIN=None, BPA=None))["beam"] is None
    assert describe(fresh())["rms"] > 0
    with pytest.raises(InputTypeError, match="size is given"):
        describe(fresh(), size=3)


def test_describe_reads_only_part_of_a_large_file(saved, monkeypatch):
    whole = describe(saved(np.random.default_rng(1).normal(size=(6, 8, 9))))
    monkeypatch.setattr("kinms.fits_survey.SURVEY_VOXELS", 150)
    monkeypatch.setattr("kinms.fits_read.DOUBLE_VOXELS", 150)
    part = describe(saved(np.random.default_rng(1).normal(size=(6, 8, 9))))
    measured = ("rms", "rms_kelvin", "line_free_channels", "signal_kms", "peak_sigma", "peak_kms", "memory_bytes")
    assert {**part, **dict.fromkeys(measured)} == {**whole, **dict.fromkeys(measured)}
    assert part["rms"] == pytest.approx(whole["rms"], rel=0.3)
    assert part["rms"] != whole["rms"]
    assert read_cube(saved()).data.dtype == np.float32


def test_obspars(saved):
    found = read_obspars(saved(CDELT3=-1e4))
    beam = found.pop("beamsize")
    assert isinstance(beam, np.ndarray)
    np.testing.assert_allclose(beam, [6.0, 4.0, 20.0], rtol=1e-12)
    assert found == {
        "xsize": pytest.approx(18.0),
        "ysize": pytest.approx(16.0),
        "vsize": pytest.approx(60.0),
        "cellsize": pytest.approx(2.0),
        "dv": pytest.approx(10.0),
        "nx": 9,
        "ny": 8,
        "nv": 6,
        "v_sys": pytest.approx(980.0),  # channel 3 of 950, 960, ... 1000
        "ra": pytest.approx(150.0),
        "dec": pytest.approx(30.0),
        "rest_freq": REST,
        "bunit": "Jy/beam",
        "rms": read_cube(saved(CDELT3=-1e4)).rms,
        "convention": "radio",
        "frame": "LSRK",
        "edges": None,
    }
    assert read_obspars(saved(), velocity_range=(1010, 1020))["nv"] == 2
    with pytest.warns(KinmsWarning, match="no beam"):
        assert read_obspars(saved(BMAJ=None, BMIN=None, BPA=None))["beamsize"] is None
    with pytest.raises(TypeError, match="rest_freq"):
        read_obspars(saved(), rest_freq=1e9)
