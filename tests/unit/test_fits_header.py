"""What headers mean: velocities in every convention, beams wherever they hide, and what is refused."""

import pickle
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from fits_files import REST, C, header, numbers, write

from kinms.errors import HeaderError, KinmsWarning
from kinms.fits_layout import read_header
from kinms.fits_read import read_cube
from kinms.fits_survey import describe


def frequencies(**cards):
    """Ten channels of 50 MHz about CO(1-0) at z = 0.05."""
    return header(**{"CTYPE3": "FREQ", "CRVAL3": REST / 1.05, "CDELT3": -5e6, "CUNIT3": "Hz", **cards})


@pytest.mark.parametrize(
    ("convention", "equivalency"),
    [("radio", u.doppler_radio), ("optical", u.doppler_optical), ("relativistic", u.doppler_relativistic)],
)
def test_frequencies_in_every_convention(convention, equivalency):
    layout = read_header(frequencies(), convention=convention)
    f = (REST / 1.05 - 5e6 * np.arange(6)) * u.Hz
    truth = f.to(u.km / u.s, equivalencies=equivalency(REST * u.Hz)).value
    np.testing.assert_allclose(layout.velocities, truth, rtol=1e-12)
    assert layout.spectral.convention == convention
    assert layout.flipped == ()
    assert read_header(frequencies(CDELT3=5e6), convention=convention).flipped == ("velocity",)


@pytest.mark.parametrize(
    ("cards", "convention", "frame"),
    [
        ({"VELREF": 257, "SPECSYS": None}, "radio", "LSRK"),
        ({"VELREF": 2, "SPECSYS": None}, "optical", "BARYCENT"),
        ({"VELREF": 259, "SPECSYS": "BARYCENT"}, "radio", "BARYCENT"),
        ({"CTYPE3": "FREQ-OHEL", "SPECSYS": None}, "optical", "BARYCENT"),
        ({"CTYPE3": "FREQ-RLSR", "SPECSYS": None}, "radio", "LSRK"),
    ],
)
def test_declared_conventions_of_frequencies(cards, convention, frame):
    head = frequencies()
    for key, value in cards.items():
        if value is None:
            del head[key]
        else:
            head[key] = value
    layout = read_header(head)
    assert (layout.spectral.convention, layout.spectral.frame) == (convention, frame)
    assert not any("does not declare" in note for note in layout.warnings)


def test_undeclared_frequencies_are_radio_and_the_reader_says_so(tmp_path):
    path = write(tmp_path / "f.fits", numbers(header()), frequencies())
    with pytest.warns(KinmsWarning, match="does not declare a velocity convention for its frequencies: read as radio"):
        cube = read_cube(path)
    np.testing.assert_allclose(cube.grid.velocities[0], C * (1 - 1 / 1.05), rtol=1e-12)


@pytest.mark.parametrize(
    ("cards", "convention", "frame"),
    [
        ({"CTYPE3": "VELO-LSR"}, "radio", "LSRK"),
        ({"CTYPE3": "VELO-HEL"}, "optical", "BARYCENT"),
        ({"CTYPE3": "VELO-HEL", "VELREF": 258}, "radio", "BARYCENT"),
        ({"CTYPE3": "VELO-LSR", "VELREF": 1}, "optical", "LSRK"),
        ({"CTYPE3": "VELO"}, "radio", ""),
        ({"CTYPE3": "VELOCITY"}, "radio", ""),
        ({"CTYPE3": "VOPT"}, "optical", ""),
        ({"CTYPE3": "VELO", "VELREF": 259}, "radio", "TOPOCENT"),
    ],
)
def test_velocity_axes_keep_their_numbers(cards, convention, frame):
    layout = read_header(header(SPECSYS=None, RESTFRQ=None, **cards))
    np.testing.assert_allclose(layout.velocities, np.arange(6) * 10.0 + 1000.0, rtol=1e-12)
    assert (layout.spectral.convention, layout.spectral.frame) == (convention, frame)
    assert layout.spectral.rest_value is None


def test_a_declared_velocity_changes_convention_without_a_rest_frequency():
    v = read_header(header(RESTFRQ=None), convention="optical").velocities
    radio = np.arange(6) * 10.0 + 1000.0
    np.testing.assert_allclose(v, C * (1.0 / (1.0 - radio / C) - 1.0), rtol=1e-12)
    assert read_header(header(CTYPE3="VELO"), convention="optical").velocities[0] == pytest.approx(1000.0, rel=1e-13)


def test_greisen_2006_example():
    """The worked example of Greisen et al. (2006), table 6: one axis in five ways, all with the same velocities."""
    shared = {"CRPIX3": 32.0, "NAXIS3": 63, "RESTFRQ": 1.420405752e9, "SPECSYS": "BARYCENT"}
    ways = {
        "FREQ": (1.37847121643e9, 9.7664755e4, "Hz"),
        "VOPT-F2W": (9.120002206e6, -2.1886463e4, "m/s"),
        "WAVE-F2W": (0.217481841062, -1.5408599e-5, "m"),
        "VRAD": (8.85075090419e6, -2.0613235e4, "m/s"),
        "VELO-F2V": (8.98134229811e6, -2.1221247e4, "m/s"),
    }
    for convention in ("radio", "optical", "relativistic"):
        found = {}
        for ctype, (value, step, unit) in ways.items():
            head = header(CTYPE3=ctype, CRVAL3=value, CDELT3=step, CUNIT3=unit, **shared)
            found[ctype] = read_header(head, convention=convention).velocities
        for ctype, v in found.items():
            # Their steps have eight digits (31 channels of 21 km/s to 5e-8), and their rest wavelength,
            # 0.211061139 m, differs from their rest frequency by 7.5e-9: 2.2 m/s in all.
            np.testing.assert_allclose(v, found["FREQ"], rtol=0, atol=2.5e-3, err_msg=ctype)
    assert found["VELO-F2V"][31] == pytest.approx(8981.34229811, rel=1e-9)


def test_gipsy_topocentric_frequencies_with_a_heliocentric_velocity():
    """The same example as GIPSY writes it: topocentric frequencies, DRVAL3 the barycentric optical velocity."""
    cards = {"CTYPE3": "FREQ-OHEL", "CRVAL3": 1.37835117405, "CDELT3": 9.765625e-5, "CUNIT3": "GHZ", "CRPIX3": 32.0}
    head = header(NAXIS3=63, RESTFRQ=None, FREQ0=1.420405752e9, DRVAL3=9120.002206, DUNIT3="KM/S", **cards)
    layout = read_header(head)
    assert layout.velocities[::-1][31] == pytest.approx(9120.002206, abs=1e-6)
    # Greisen's barycentric step, 97664.755 Hz.
    step = 1.420405752e9 / (1 + layout.velocities[::-1][32] / C) - 1.420405752e9 / (1 + 9120.002206 / C)
    assert step == pytest.approx(97664.755, abs=0.05)


def test_felo_is_regular_in_frequency():
    head = header(CTYPE3="FELO-HEL", CRVAL3=5.0e6, CDELT3=2.0e5, SPECSYS=None)
    layout = read_header(head)
    assert layout.spectral.convention == "optical"
    ratio = 1.0 / (1.0 + layout.velocities / C)
    np.testing.assert_allclose(np.diff(ratio, 2), 0.0, atol=1e-12)
    assert layout.velocities[0] == pytest.approx(5000.0, rel=1e-12)


def wavelengths(**cards):
    cards = {"CRVAL3": 6600.0, "CDELT3": 1.25, "CUNIT3": "Angstrom", "RESTFRQ": None, "SPECSYS": None, **cards}
    return header(**{"CTYPE3": "WAVE", **cards})


@pytest.mark.parametrize("unit", ["Angstrom", "ANGSTROM", "A", "nm", "um", "micron", "m"])
def test_vacuum_wavelengths(unit):
    factor = {"nm": 0.1, "um": 1e-4, "micron": 1e-4, "m": 1e-10}.get(unit, 1.0)
    head = wavelengths(CRVAL3=6600.0 * factor, CDELT3=1.25 * factor, CUNIT3=unit)
    layout = read_header(head, rest_wavelength=6564.61e-10)
    np.testing.assert_allclose(layout.velocities, C * ((6600.0 + 1.25 * np.arange(6)) / 6564.61 - 1), rtol=1e-10)
    assert (layout.spectral.convention, layout.spectral.rest_unit) == ("optical", "m")
    assert layout.spectral.rest_value == pytest.approx(6564.61e-10, rel=1e-12)


@pytest.mark.parametrize(("air", "vacuum"), [(5006.843, 5008.240), (5889.950, 5891.583), (10830.340, 10833.307)])
def test_air_wavelengths(air, vacuum):
    """[O III], Na D2 and He I in air and in vacuum (Morton 2000; NIST), to their last digit."""
    head = wavelengths(CTYPE3="AWAV", CRVAL3=air, CDELT3=1.25)
    layout = read_header(head, rest_wavelength=vacuum * 1e-10)
    assert layout.velocities[0] == pytest.approx(0.0, abs=0.001 / vacuum * C)


def test_wavelengths_of_unknown_medium_are_told(tmp_path):
    path = write(tmp_path / "muse.fits", numbers(header()), wavelengths(CTYPE3="LINEAR", RESTWAV=6564.61e-10))
    with pytest.warns(KinmsWarning, match="CTYPE3 = LINEAR: wavelengths are taken as in air"):
        cube = read_cube(path)
    assert cube.spectral.rest_value == pytest.approx(6564.61e-10, rel=1e-12)
    for cards in ({"CTYPE3": None}, {"CTYPE3": "LAMBDA"}, {"CTYPE3": "WAVELENGTH"}):
        same = read_header(wavelengths(RESTWAV=6564.61e-10, **cards))
        np.testing.assert_allclose(same.velocities, cube.grid.velocities, rtol=1e-6)


def test_logarithmic_wavelengths():
    """MaNGA: WAVE-LOG, which makes channels of one velocity width."""
    head = wavelengths(CTYPE3="WAVE-LOG", CRVAL3=6600.0, CDELT3=6600.0 * 2.302585e-4)
    layout = read_header(head, rest_wavelength=6564.61e-10)
    np.testing.assert_allclose(np.diff(np.log(1.0 + layout.velocities / C)), 2.302585e-4, rtol=1e-9)


def test_a_wide_band_reports_how_far_it_is_from_regular(tmp_path):
    head = frequencies(NAXIS3=201, CDELT3=-5e7, VELREF=1)
    path = write(tmp_path / "wide.fits", np.zeros((201, 8, 9), dtype=np.float32), head)
    with pytest.warns(
        KinmsWarning, match=r"channels are not equally wide in velocity: up to \S+ channels off"
    ) as caught:
        cube = read_cube(path)
    f = REST / 1.05 - 5e7 * np.arange(201)
    v = C * (REST / f - 1.0)
    assert cube.grid.v_ref == pytest.approx(v[100], rel=1e-12)
    assert cube.grid.dv == pytest.approx((v[-1] - v[0]) / 200, rel=1e-12)
    off = np.abs(cube.grid.velocities - v).max() / cube.grid.dv
    told = float(str(caught[0].message).split("up to ")[1].split()[0])
    assert told == pytest.approx(off, rel=0.05)
    said = describe(cube)
    assert (said["v_min_kms"], said["v_max_kms"]) == pytest.approx((v[0], v[-1]), rel=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        narrow = read_cube(path, velocity_range=(v[60] - 1, v[66] + 1))
    np.testing.assert_allclose(narrow.grid.velocities, v[60:67], atol=0.1 * narrow.grid.dv)


@pytest.mark.parametrize(
    ("cards", "first", "step", "told"),
    [
        # CUNIT3 says km/s: 205 channels of 6103 km/s would be four times the speed of light.
        ({"CUNIT3": "km/s", "CRVAL3": -48.1, "CDELT3": 6103.2, "NAXIS3": 205}, -48.1, 6.1032, "step read in m/s"),
        ({"CUNIT3": "km/s", "CRVAL3": 1.4e6, "CDELT3": 2e4, "NAXIS3": 40}, 1400.0, 20.0, "step read in m/s"),
        ({"CUNIT3": "m/s", "CRVAL3": 1400.0, "CDELT3": 4.2}, 1400.0, 4.2, "read in km/s"),
    ],
)
def test_a_unit_wrong_by_1000_is_seen_from_the_numbers(cards, first, step, told):
    layout = read_header(header(**cards))
    assert layout.velocities[0] == pytest.approx(first)
    assert layout.grid.dv == pytest.approx(step)
    assert any(told in text and alarm for text, alarm in layout.notes)


@pytest.mark.parametrize(("value", "key"), [(115.2712018, "RESTFREQ"), (115271.2018, "RESTFRQ"), (REST, "FREQ0")])
def test_spellings_of_the_rest_frequency(value, key):
    layout = read_header(frequencies(**{"RESTFRQ": None, key: value, "VELREF": 257}))
    assert layout.spectral.rest_value == pytest.approx(REST, rel=1e-12)
    assert any("multiplied" in text for text in layout.warnings) == (value != REST)


def test_the_rest_frequency_given_comes_first():
    layout = read_header(frequencies(VELREF=257), rest_frequency=110.201354e9)
    assert layout.spectral.rest_value == 110.201354e9
    assert any("replaces the header's" in text for text in layout.warnings)
    same = read_header(frequencies(VELREF=257, RESTFRQ=None), rest_wavelength=C * 1e3 / REST)
    assert same.spectral.rest_value == pytest.approx(REST, rel=1e-14)


NO_BEAM = {"BMAJ": None, "BMIN": None, "BPA": None}


@pytest.mark.parametrize(
    ("cards", "history", "beam"),
    [
        ({"BMAJ": None, "BMMAJ": 6.0, "BMMIN": 4.0, "BMPA": 20.0}, "", (6.0, 4.0, 20.0)),
        ({}, "AIPS   CLEAN BMAJ=  1.6489E-03 BMIN=  1.5866E-03 BPA=  30.58", (5.93604, 5.71176, 30.58)),
        ({}, "RESTOR: Beam =  6.560E+01 x  6.359E+01 arcsec, pa = -7.416E+01 degrees", (65.60, 63.59, -74.16)),
        ({}, "restoration: 1.34841 by 0.830715 (arcsec) at pa 82.8827 (deg)", (1.34841, 0.830715, 82.8827)),
        ({"BMAJ": 4.0, "BMIN": 3.0, "BPA": 10.0}, "", (4.0, 3.0, 10.0)),
        ({"BMAJ": 4 / 3600, "BMIN": 6 / 3600, "BPA": 10.0}, "", (6.0, 4.0, 100.0)),
        ({"BMAJ": 6 / 3600, "BMIN": None, "BPA": None}, "", (6.0, 6.0, 0.0)),
    ],
    ids=["GIPSY", "AIPS", "MIRIAD", "CASA", "arcsec in BMAJ", "axes swapped", "round"],
)
def test_where_beams_hide(cards, history, beam):
    head = header(**{**NO_BEAM, **cards})
    if history:
        head.add_history("AIPS   CLEAN BMAJ=  9.0000E-03 BMIN=  9.0000E-03 BPA=   0.00")
        head.add_history(history)
    found = read_header(head).beam
    assert (found.bmaj, found.bmin, found.bpa) == pytest.approx(beam, rel=1e-9)


@pytest.mark.parametrize("cards", [NO_BEAM, {"BMAJ": -1.0, "BMIN": -1.0}, {"BMAJ": 0.0}, {"BMAJ": "none"}])
def test_no_beam_is_told(saved, cards):
    with pytest.warns(KinmsWarning, match=r"no beam \(BMAJ\) in the header"):
        cube = read_cube(saved(**cards))
    assert cube.beam is None


def test_a_table_of_beams(tmp_path):
    major = np.array([6.0, 6.2, 6.4, 6.1, 6.3, 0.0], dtype=np.float32)
    columns = [
        fits.Column("BMAJ", "E", "arcsec", array=major),
        fits.Column("BMIN", "E", "arcsec", array=0.5 * major),
        fits.Column("BPA", "E", "deg", array=np.full(6, 30.0)),
        fits.Column("CHAN", "J", array=np.arange(6)),
        fits.Column("POL", "J", array=np.zeros(6)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="BEAMS")
    path = tmp_path / "casa.fits"
    fits.HDUList([fits.PrimaryHDU(numbers(header()), header(CASAMBM=True, **NO_BEAM)), table]).writeto(path)
    with pytest.warns(KinmsWarning, match="the beam differs from channel to channel"):
        beam = read_cube(path).beam
    assert (beam.bmaj, beam.bmin, beam.bpa) == pytest.approx((6.2, 3.1, 30.0), rel=1e-6)


def test_casambm_without_a_table():
    layout = read_header(header(CASAMBM=True))
    assert ("CASAMBM announces one beam per channel, and the file has no BEAMS table", True) in layout.notes
    assert layout.beam.bmaj == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("JY/BEAM", "Jy/beam"), ("Jy beam-1", "Jy/beam"), ("Jy/B", "Jy/beam"), ("mJy/Beam", "mJy/beam"), ("K", "K")],
)
def test_units_of_the_data(text, unit):
    assert read_header(header(BUNIT=text)).unit == unit


@pytest.mark.parametrize(
    ("cards", "key", "says"),
    [
        ({"NAXIS": 2, "NAXIS3": None}, "NAXIS", "2-D image"),
        (
            {f"{n}{i}": None for n in ("CTYPE", "CRVAL", "CDELT", "CRPIX", "CUNIT") for i in (1, 2, 3)},
            "CTYPE1",
            "no celes",
        ),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, "CTYPE1", "no celestial axes"),
        ({"CTYPE3": None, "CUNIT3": None}, "CTYPE3", "no spectral axis"),
        ({"CTYPE3": "STOKES", "CUNIT3": None}, "CTYPE3", "no spectral axis"),
        ({"CUNIT3": None}, "CUNIT3", "is missing: the unit of the spectral axis (VRAD) is not known"),
        ({"CUNIT3": "furlong"}, "CUNIT3", "'furlong' is not a unit"),
        ({"CUNIT3": "Hz"}, "CUNIT3", "Hz is not a unit of VRAD"),
        ({"CUNIT1": "Jy", "CUNIT2": "deg"}, "CUNIT1", "not an angle"),
        ({"CDELT3": 0.0}, "CDELT3", "is 0"),
        ({"CDELT1": 0.0}, "CDELT1", "is 0"),
        ({"CDELT3": None}, "CDELT3", "is missing"),
        ({"CRVAL3": None}, "CRVAL3", "is missing"),
        ({"CRVAL1": None}, "CRVAL1", "is missing"),
        ({"CRPIX2": None}, "CRPIX2", "is missing"),
        ({"CRVAL3": "abc"}, "CRVAL3", "'abc'"),
        ({"CRPIX1": "nan"}, "CRPIX1", "'nan'"),
        ({"CRPIX1": True}, "CRPIX1", "True"),
        ({"CDELT1": -2.5 / 3600}, "CDELT1", "pixels are 2.5 x 2 arcsec"),
        ({"CROTA2": 30.0}, "CROTA2", "rotated by"),
        ({"PC1_2": 0.3, "PC2_1": -0.3}, "PC1_2", "rotated by"),
        (
            {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRVAL2": 0.0, "CRPIX2": -1.0e5},
            "CTYPE1",
            "cells in the middle",
        ),
        ({"CRPIX1": 1e7}, "CRPIX1", "not on the sky"),
        ({"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}, "CTYPE1", "astropy.wcs cannot use this header"),
        ({"PC3_1": 0.1}, "PC3_1", "couples the spectral axis"),
        ({"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": 1e11, "RESTFRQ": None}, "RESTFRQ", "Give rest_frequency"),
        ({"CTYPE3": "WAVE", "CUNIT3": "nm", "CRVAL3": 650.0, "CDELT3": 0.1, "RESTFRQ": None}, "RESTWAV", "RESTFRQ"),
        ({"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": -1e4, "CDELT3": 1e3}, "CRVAL3", "the axis reaches"),
        ({"CTYPE3": "WAVE-TAB", "CUNIT3": "um", "CRVAL3": 1.0, "CDELT3": 1e-3}, "CTYPE3", "tabulated"),
        ({"CTYPE3": "WAVE", "CUNIT3": "um", "CRVAL3": 1.0, "CDELT3": 1e-3, "DC-FLAG": 1}, "DC-FLAG", "log-linear"),
        ({"NAXIS": 4, "NAXIS4": 5, "CTYPE4": "TIME"}, "NAXIS4", "is 5 along TIME"),
    ],
)
def test_headers_that_are_refused(tmp_path, cards, key, says):
    head = header(**cards)
    with pytest.raises(HeaderError) as caught:
        read_header(head)
    assert caught.value.key == key
    assert str(caught.value).startswith(f"{key}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).key == key
