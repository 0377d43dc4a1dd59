"""What is said of a cube: the numbers of `describe`, the cards that decided, and the screen that a person reads."""

import json
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from fits_files import REST, C, header, numbers, write

from kinms.cli import main
from kinms.cube import Cube
from kinms.errors import FileError, HeaderError, KinmsWarning
from kinms.fits_read import read_cube
from kinms.fits_survey import deciding_cards, describe, read_obspars
from kinms.grid import Beam, CubeGrid
from kinms.info_sheet import prefixed, sheet
from kinms.noise import correlated_noise

HALPHA_AIR = 6562.79  # Angstrom: what the file's axis is in


@pytest.fixture
def radio(tmp_path):
    """A galaxy-like blob in channels 8 to 12 of 30, of 1 mJy/beam noise, behind a frequency and a Stokes axis."""
    grid = CubeGrid((30, 32, 32), 2.0, 10.0)
    data = correlated_noise(grid, Beam(8.0, 6.0, 20.0), rms=1e-3, seed=4)
    data[8:13, 12:20, 12:20] += 0.02
    step = REST / C * 10.0
    cards = {"NAXIS": 4, "NAXIS1": 32, "NAXIS2": 32, "NAXIS3": 30, "NAXIS4": 1, "CRPIX1": 17.0, "CRPIX2": 17.0}
    cards |= {"CTYPE3": "FREQ", "CUNIT3": "GHz", "CRVAL3": REST / 1e9, "CDELT3": -step / 1e9, "VELREF": 257}
    cards |= {"CTYPE4": "STOKES", "CRVAL4": 1.0, "CDELT4": 1.0, "CRPIX4": 1.0, "BMAJ": 8 / 3600, "BMIN": 6 / 3600}
    cards |= {"OBJECT": "NGC 1", "TELESCOP": "ALMA"}
    return write(tmp_path / "radio.fits", data[None].astype(np.float32), header(**cards))


@pytest.fixture
def optical(tmp_path):
    """Data, variance and flags behind an empty primary HDU; a line at channel 20 of 40, and a bad channel 30."""
    sigma = np.full((40, 16, 18), 2.0, dtype=np.float32)
    sigma[30] = 10.0
    data = sigma * np.random.default_rng(5).standard_normal(sigma.shape)
    data[18:23, 6:10, 6:11] += 20.0
    data[30, 8, 8] = 45.0  # 4.5 sigma here, 22 elsewhere
    cards = {"NAXIS1": 18, "NAXIS2": 16, "NAXIS3": 40, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "AWAV"}
    cards |= {"CUNIT3": "Angstrom", "CRVAL3": HALPHA_AIR * 1.02, "CDELT3": 1.25, "CRPIX3": 21.0, "BUNIT": "1e-20 cgs"}
    cards |= dict.fromkeys(("BMAJ", "BMIN", "BPA", "RESTFRQ"))
    hdus = [fits.PrimaryHDU()]
    for name, values in (("DATA", data), ("STAT", sigma**2), ("DQ", np.zeros(sigma.shape))):
        hdus.append(fits.ImageHDU(values.astype(np.float32), header(**cards), name=name))
    hdus[2].header["BUNIT"] = "(1e-20 cgs)**2"
    hdus[0].header["INSTRUME"] = "MUSE"
    fits.HDUList(hdus).writeto(tmp_path / "optical.fits")
    return tmp_path / "optical.fits"


def read_optical(path, **more):
    with pytest.warns(KinmsWarning, match="no beam"):
        return describe(path, line="Halpha", redshift=0.02, **more)


# -- numbers --------------------------------------------------------------------------------------------------------


def test_the_numbers_of_a_radio_cube(radio):
    said = describe(radio)
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert (said["object"], said["telescope"], said["instrument"]) == ("NGC 1", "ALMA", None)
    assert said["size_arcsec"] == pytest.approx([64.0, 64.0], rel=1e-9)
    assert said["dv_range_kms"] == pytest.approx([10.0, 10.0], rel=1e-9)
    assert said["linear_error_channels"] == pytest.approx(0.0, abs=1e-6)
    assert (said["line"], said["rest_source"]) == ("CO(1-0)", "RESTFRQ")
    assert said["beam_pixels"] == pytest.approx(np.pi * 8 * 6 / (4 * np.log(2)) / 4, rel=1e-6)
    assert said["beams_per_channel"] is None
    assert (said["hdu"], said["hdus"], said["noise_hdu"]) == (0, ["PRIMARY"], None)
    assert said["file_shape"] == [1, 30, 32, 32]
    assert [axis["ctype"] for axis in said["axes"]] == ["RA---SIN", "DEC--SIN", "FREQ", "STOKES"]
    assert [axis["is"] for axis in said["axes"]] == ["x", "y", "velocity", "plane 1 is read"]
    assert said["spectral_axis"] == {"ctype": "FREQ", "unit": "GHz"}
    assert said["memory_bytes"] == read_cube(radio).data.nbytes
    assert said["doubtful"] == []
    assert sorted(said["assumed"]) == sorted(said["warnings"])


def test_the_noise_in_kelvin(radio):
    said = describe(radio)
    area = 2 * np.pi * (8 * 6 / (8 * np.log(2))) * u.arcsec**2
    frequency = REST * (1 - 150.0 / C) * u.Hz  # channel 15 of 30
    jansky = said["rms"] * u.Jy / area
    expected = jansky.to_value(u.K, u.brightness_temperature(frequency))
    assert said["rms_kelvin"] == pytest.approx(expected, rel=1e-5)
    cube = read_cube(radio)
    assert describe(cube)["rms_kelvin"] == pytest.approx(expected, rel=1e-5)
    assert describe(cube.replace(unit="K"))["rms_kelvin"] is None
    assert describe(cube.replace(beam=None))["rms_kelvin"] is None


def test_where_the_line_is(radio):
    said = describe(radio)
    # Signal in channels 8 to 12; smoothing over three channels may add one on either side, noise that touches it
    # another; and one more is left out of what is line-free.
    low, high = said["signal_kms"]
    assert 59.0 < low < 81.0
    assert 119.0 < high < 141.0
    free = said["line_free_channels"]
    (_, before), (after, _) = free["channels"]
    assert free["channels"] == [[0, before], [after, 29]]
    assert 4 <= before <= 6
    assert 14 <= after <= 16
    assert free["number"] == before + 1 + 30 - after
    np.testing.assert_allclose(free["kms"], [[0, 10 * before], [10 * after, 290]], atol=1e-6)
    cube = read_cube(radio)
    peak = np.unravel_index(np.argmax(cube.data), cube.data.shape)
    assert said["peak_kms"] == pytest.approx(10.0 * peak[0], abs=1e-6)
    assert said["peak_sigma"] == pytest.approx(cube.data.max() / cube.rms, rel=1e-9)


def test_noise_alone_and_line_everywhere(radio):
    cube = read_cube(radio)
    noise = cube.replace(data=correlated_noise(cube.grid, cube.beam, rms=1e-3, seed=6), rms=None)
    said = describe(noise)
    assert said["signal_kms"] is None
    assert said["line_free_channels"]["channels"] == [[0, 29]]
    assert abs(said["peak_sigma"]) < 6.0
    full = noise.data.copy()
    full[:, 12:20, 12:20] += 0.05
    said = describe(noise.replace(data=full))
    assert said["line_free_channels"] == {"number": 0, "channels": [], "kms": []}
    assert "line-free none of 30 channels" in " ".join(f"{a} {b}" for a, b in sheet(said))


def test_absorption_has_a_negative_peak(radio):
    cube = read_cube(radio)
    said = describe(cube.replace(data=-cube.data))
    assert said["peak_sigma"] == pytest.approx(-describe(cube)["peak_sigma"], rel=1e-9)
    assert said["signal_kms"] == describe(cube)["signal_kms"]


def test_the_numbers_of_an_optical_cube(optical):
    said = read_optical(optical)
    assert (said["hdu"], said["hdus"][1:], said["noise_hdu"]) == (1, ["DATA", "STAT", "DQ"], 2)
    assert (said["line"], said["rest_source"]) == ("Halpha", "line Halpha at redshift 0.02")
    assert said["instrument"] == "MUSE"  # from the primary HDU
    assert said["spectral_axis"] == {"ctype": "AWAV", "unit": "Angstrom"}
    assert said["convention"] == "optical"
    assert said["rest_unit"] == "m"
    # Halpha in vacuum, NIST: 6564.61 Angstrom (the mean of its fine structure).
    assert said["rest_value"] == pytest.approx(6564.61e-10 * 1.02, rel=2e-6)
    # In air and in vacuum channels are equally wide to the change of the refractive index over the band.
    assert said["dv_range_kms"][1] / said["dv_range_kms"][0] - 1 < 1e-4
    assert said["doubtful"] == ["no beam (BMAJ) in the header"]
    assert any("STAT" in text for text in said["assumed"])
    # The brightest voxel counts in units of its own noise: not the one in the bad channel.
    assert said["peak_sigma"] < 20.0
    assert abs(said["peak_kms"]) < 200.0
    assert read_optical(optical, variance=None)["noise_hdu"] is None
    one = read_optical(optical, box=((18, 23), (4, 12), (4, 12)))
    assert one["shape"] == [5, 8, 8]
    assert one["file_shape"] == [40, 16, 18]


@pytest.mark.parametrize(
    ("cards", "options", "line", "source"),
    [
        ({"RESTFRQ": None, "RESTFREQ": REST}, {}, "CO(1-0)", "RESTFREQ"),
        ({"RESTFRQ": None, "FREQ0": REST}, {}, "CO(1-0)", "FREQ0"),
        ({"RESTFRQ": REST * (1 + 9e-5)}, {}, "CO(1-0)", "RESTFRQ"),
        ({"RESTFRQ": REST * (1 + 2e-4)}, {}, None, "RESTFRQ"),
        ({"RESTFRQ": None}, {}, None, None),
        ({"RESTFRQ": None}, {"line": "13co 1-0"}, "13CO(1-0)", "line 13co 1-0"),
        ({"RESTFRQ": None}, {"rest_frequency": 1.42040575177e9}, "HI", "rest_frequency"),
        ({}, {"rest_wavelength": C * 1e3 / REST}, "CO(1-0)", "rest_wavelength"),
        (
            {"RESTFRQ": None},
            {"rest_frequency": REST, "redshift": 3e-3},
            "CO(1-0)",
            "rest_frequency at redshift 0.003",
        ),
    ],
)
def test_where_the_rest_value_comes_from(tmp_path, cards, options, line, source):
    head = header(**cards)
    said = describe(write(tmp_path / "a.fits", numbers(head), head), **options)
    assert (said["line"], said["rest_source"]) == (line, source)


def test_channels_that_are_not_equally_wide(tmp_path):
    step = REST / C * 10.0
    cards = {"NAXIS3": 101, "CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": REST / 1.02, "CDELT3": step, "VELREF": 2}
    head = header(**cards)
    said = describe(write(tmp_path / "a.fits", numbers(head), head))
    edges = C * (REST / (REST / 1.02 + step * (np.arange(102) - 0.5)) - 1.0)[::-1]
    widths = np.diff(edges)
    assert said["dv_range_kms"] == pytest.approx([widths.min(), widths.max()], rel=1e-6)
    assert said["dv_kms"] == pytest.approx(widths.mean(), rel=1e-6)
    assert said["linear_error_channels"] > 0.05
    assert said["flipped"] == ["velocity"]
    obspars = read_obspars(tmp_path / "a.fits")
    np.testing.assert_allclose(obspars["edges"], edges, rtol=1e-9)
    assert (obspars["convention"], obspars["frame"]) == ("optical", "LSRK")
    assert obspars["vsize"] == pytest.approx(edges[-1] - edges[0], rel=1e-9)


def test_a_beam_for_each_channel(tmp_path):
    head = header(BMAJ=None, BMIN=None, BPA=None, CASAMBM=True)
    bmaj, bmin = np.linspace(6.0, 7.0, 6), np.linspace(4.0, 4.5, 6)
    columns = [
        fits.Column(name, "1E", unit, array=values)
        for name, unit, values in (("BMAJ", "arcsec", bmaj), ("BMIN", "arcsec", bmin), ("BPA", "deg", np.full(6, 20.0)))
    ]
    columns += [fits.Column("CHAN", "1J", array=np.arange(6)), fits.Column("POL", "1J", array=np.zeros(6))]
    table = fits.BinTableHDU.from_columns(columns, name="BEAMS")
    table.header.update({"NCHAN": 6, "NPOL": 1})
    fits.HDUList([fits.PrimaryHDU(numbers(head), head), table]).writeto(tmp_path / "a.fits")
    said = describe(tmp_path / "a.fits")
    many = said["beams_per_channel"]
    assert many["n"] == 6
    assert many["bmaj_arcsec"] == pytest.approx([6.0, 7.0], rel=1e-6)
    assert many["bmin_arcsec"] == pytest.approx([4.0, 4.5], rel=1e-6)
    assert many["bmaj_arcsec"][0] < said["beam"]["bmaj_arcsec"] < many["bmaj_arcsec"][1]
    text = " ".join(text for _, text in sheet(said))
    assert 'one for each of 6 channels: major axes 6" to 7", minor 4" to 4.5"' in text
    assert len(read_obspars(tmp_path / "a.fits")["beamsize"]) == 3


def test_a_cube_that_never_was_a_file():
    said = describe(Cube(np.random.default_rng(1).normal(size=(4, 8, 8)), CubeGrid((4, 8, 8), 1.0, 5.0)))
    assert {said[name] for name in ("hdu", "noise_hdu", "object", "line", "rest_source", "beam")} == {None}
    assert said["size_arcsec"] == [8.0, 8.0]
    assert next(iter(sheet(said)))[0] == "line"


def test_a_large_file_is_not_read(radio, monkeypatch):
    monkeypatch.setattr("kinms.fits_survey.SURVEY_VOXELS", 10_000)
    read = []
    monkeypatch.setattr("kinms.fits_survey.as_floats", lambda array: read.append(array.size) or np.array(array, float))
    monkeypatch.setattr("kinms.fits_survey.read_cube", lambda *_, **__: pytest.fail("all of it is read"))
    said = describe(radio)
    assert sum(read) <= 10_240
    assert {said[name] for name in ("signal_kms", "peak_sigma", "peak_kms")} == {None}
    assert said["line_free_channels"] is None
    assert "no line was looked for" in " ".join(text for _, text in sheet(said))


def test_what_is_doubtful_is_what_is_warned_of(tmp_path):
    head = header(BMAJ=None, BMIN=None, BPA=None, CTYPE3="FREQ", CUNIT3="Hz", CRVAL3=REST, CDELT3=-1e7, SPECSYS=None)
    path = write(tmp_path / "a.fits", numbers(head), head)
    with pytest.warns(KinmsWarning) as caught:
        said = describe(path)
    assert said["doubtful"] == [str(warning.message) for warning in caught]
    assert len(said["doubtful"]) == 2  # no beam, no convention
    assert set(said["assumed"]) | set(said["doubtful"]) == set(said["warnings"])
    assert not set(said["assumed"]) & set(said["doubtful"])


# -- the cards that decided -----------------------------------------------------------------------------------------


def test_cards_as_they_stand(tmp_path):
    head = header(CTYPE3="VELO-HEL", CUNIT3="KM/S", CRVAL3=1000.0, CDELT3=10.0, BMAJ=None, BMIN=None, BPA=None)
    head["OBSERVER"] = "nobody asks"
    head["HISTORY"] = "AIPS   CLEAN BMAJ=  1.6667E-03 BMIN=  1.1111E-03 BPA=  20.00"
    head["HISTORY"] = "AIPS   IMNAME='NGC 1'"
    path = write(tmp_path / "a.fits", numbers(head), head)
    stored = path.read_bytes()[: 2880 * 4].decode("ascii", "replace")
    # A value as a tape has it, which no library would write.
    odd = "CDELT3  =           1.00000000D+01".ljust(80)
    assert stored.count(fits.Card("CDELT3", 10.0).image) == 1
    path.write_bytes(path.read_bytes().replace(fits.Card("CDELT3", 10.0).image.encode(), odd.encode()))
    cards, error = deciding_cards(path)
    assert error is None
    assert cards[0] == "HDU 0 (PRIMARY)"
    assert odd.rstrip() in cards
    assert "CUNIT3  = 'KM/S    '" in cards
    assert [card for card in cards if card.startswith("HISTORY")] == [f"HISTORY {head['HISTORY'][0]}"]
    assert not any("OBSERVER" in card for card in cards)
    keys = [card[:8].strip() for card in cards]
    assert {"NAXIS", "NAXIS3", "CTYPE1", "CRPIX2", "CRVAL3", "SPECSYS", "RESTFRQ", "BUNIT", "BITPIX"} <= set(keys)
    assert max(map(len, cards)) <= 80


def test_cards_of_the_primary_have_a_say_where_the_extension_is_silent(tmp_path):
    head = header(BUNIT=None, SPECSYS=None)
    first = fits.PrimaryHDU()
    first.header.update({"BUNIT": "Jy/beam", "SPECSYS": "BARYCENT", "CTYPE1": "no", "EQUINOX": 2000.0})
    fits.HDUList([first, fits.ImageHDU(numbers(head), head, name="SCI")]).writeto(tmp_path / "a.fits")
    cards, _ = deciding_cards(tmp_path / "a.fits")
    assert cards[0] == "HDU 1 (SCI)"
    upper, lower = cards[1 : cards.index("HDU 0 (PRIMARY)")], cards[cards.index("HDU 0 (PRIMARY)") + 1 :]
    assert "SPECSYS = 'BARYCENT'" in lower
    assert not any(card.startswith("CTYPE1") for card in lower)
    assert sum(card.startswith("CTYPE1") for card in upper) == 1


def test_cards_of_what_cannot_be_read(tmp_path):
    head = header(CTYPE3="FREQ", CUNIT3="Hz", CRVAL3=1e11, CDELT3=1e6, RESTFRQ=None)
    path = write(tmp_path / "a.fits", numbers(head), head)
    cards, error = deciding_cards(path)
    assert isinstance(error, HeaderError)
    assert error.key == "RESTFRQ"
    assert any(card.startswith("CTYPE3  = 'FREQ") for card in cards)
    assert any(card.startswith("BMAJ") for card in cards)
    assert deciding_cards(path, line="CO(1-0)")[1] is None
    with pytest.raises(FileError):
        deciding_cards(tmp_path / "none.fits")


def test_cards_of_a_packed_file(tmp_path):
    head = header()
    fits.PrimaryHDU(numbers(head), head).writeto(tmp_path / "a.fits.gz")
    write(tmp_path / "a.fits", numbers(head), head)
    assert deciding_cards(tmp_path / "a.fits.gz") == deciding_cards(tmp_path / "a.fits")


# -- the screen -----------------------------------------------------------------------------------------------------


def screen(capsys, *argv):
    assert main(["info", *map(str, argv)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 26
    return said.out


def test_the_screen_of_a_radio_cube(radio, capsys):
    out = screen(capsys, radio)
    for text in (
        "cube      NGC 1, ALMA\n",
        "file      HDU 0 (PRIMARY): 32 RA---SIN x 32 DEC--SIN x 30 FREQ x 1 STOKES\n",
        "line      CO(1-0), rest 115.2712 GHz (RESTFRQ)\n",
        'size      32 x 32 pixels of 2": 64" x 64"\n',
        "centre    10:00:00.00 +30:00:00.0 = RA 150.000000, Dec +30.000000 deg (ICRS)\n",
        "velocity  30 channels of 10 km/s, centres 0.00 to 290.00 km/s\n",
        "          radio convention, LSRK; in the file FREQ in GHz\n",
        'beam      8" x 6" at PA 20 deg, 13.6 pixels per beam\n',
        "          well sampled: 3 pixels across the minor axis\n",
        "noise     rms ",
        "signal    peak 2",
        "line-free ",
        "memory    240 KiB once read\n",
    ):
        assert text in out, text
    assert "doubtful" not in out
    assert "next" not in out


def test_the_screen_of_an_optical_cube(optical, capsys):
    out = screen(capsys, optical, "--line", "Halpha", "--redshift", 0.02)
    for text in (
        "HDU 1 (DATA) of 4, noise from HDU 2 (STAT)",
        "line      Halpha, rest 66",
        "(line Halpha at redshift 0.02)",
        "beam      none: a fit needs a [beam] table in its configuration\n",
        "noise     rms 2",
        "x 10",
        "doubtful  no beam (BMAJ) in the header\n",
        'next      give the beam: [beam] with bmaj, bmin, bpa (or kind = "moffat" ...)\n',
    ):
        assert text.replace("x 10", "") in out, text


def test_the_screen_says_what_is_missing(tmp_path, capsys):
    head = header(RESTFRQ=None, BUNIT=None, BMAJ=1.5 / 3600, BMIN=1.5 / 3600, SPECSYS=None, CDELT3=-1e4)
    out = screen(capsys, write(tmp_path / "a.fits", numbers(head), head))
    for text in (
        "line      not known: no rest frequency or wavelength in the header\n",
        "frame not known",
        "undersampled: 0.75 pixels across the minor axis\n",
        "flipped   velocity (descending in the file)\n",
        "next      name the line for frequencies, say --line HI; velocities stand without\n",
        "          find out the unit of the data (BUNIT)",
    ):
        assert text in out, text


def test_the_options_of_the_command(radio, capsys):
    out = screen(capsys, radio, "--rest-wavelength", C * 1e3 / 110.2013543e9, "--convention", "optical")
    assert "line      13CO(1-0), rest 110.2014 GHz (rest_wavelength)" in out
    assert "replaces the header's" in " ".join(out.split())
    assert "optical convention" in out
    assert main(["info", str(radio), "--header"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("HDU 0 (PRIMARY)\nBITPIX")
    assert "CTYPE3  = 'FREQ" in out
    assert main(["info", str(radio), "--header", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["header"] == out.splitlines()
    assert found["line"] == "CO(1-0)"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--line", "HII"], "line 'HII' is not known"),
        (["--convention", "optic"], "Did you mean 'optical'?"),
        (["--hdu", "SCI"], "hdu is 'SCI'; expected one of 0 (PRIMARY)"),
        (["--redshift", "-2"], "redshift is -2"),
        (["--line", "HI", "--rest-frequency", "1e9"], "rest_frequency"),
    ],
)
def test_mistakes_are_told_in_one_line(radio, capsys, argv, said):
    for more in ([], ["--header"]):
        assert main(["info", str(radio), *argv, *more]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert err.startswith("kinms: ")
        assert said in err


def test_an_unreadable_header_shows_its_cards(tmp_path, capsys):
    head = header(CTYPE3="FREQ", CUNIT3="Hz", CRVAL3=1e11, CDELT3=1e6, RESTFRQ=None)
    path = write(tmp_path / "a.fits", numbers(head), head)
    assert main(["info", str(path), "--header"]) == 2
    out, err = capsys.readouterr()
    assert "CRVAL3  =       100000000000.0" in out
    assert err.startswith("kinms: RESTFRQ: ")
    assert "line" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("ra", "dec", "said"),
    [
        (187.277915, -2.05238, "12:29:06.70 -02:03:08.6"),  # 3C 273
        (0.0, -0.01, "00:00:00.00 -00:00:36.0"),
        (14.99999999, 59.99999999, "01:00:00.00 +60:00:00.0"),  # what rounding carries over
        (359.99999999, 89.99999999, "00:00:00.00 +90:00:00.0"),
    ],
)
def test_positions_in_the_old_way(ra, dec, said):
    grid = CubeGrid((4, 8, 8), 1.0, 5.0, ra=ra, dec=dec)
    lines = dict(sheet(describe(Cube(np.random.default_rng(1).normal(size=(4, 8, 8)), grid))))
    assert lines["centre"].startswith(f"{said} = RA ")


def test_many_line_free_ranges_are_not_all_told(radio):
    said = describe(radio)
    said["line_free_channels"]["kms"] = [[100.0 * k, 100.0 * k + k] for k in range(12)]
    text = dict(sheet(said))["line-free"]
    assert text.endswith("700 to 707, 800 to 808, 900 to 909, 1000 to 1010, 1100 to 1111 km/s, and 7 more ranges")


def test_prefixes():
    assert prefixed(0.0123, "Jy/beam") == "12.3 mJy/beam"
    assert prefixed(12.0, "10**(-20)*erg/s/cm**2/Angstrom") == "12 x 10**(-20)*erg/s/cm**2/Angstrom"
    assert prefixed(0.5, "") == "0.5"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prefixed(0.0, "Jy/beam") == "0 Jy/beam"
