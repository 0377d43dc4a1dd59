"""What headers mean: velocities in every convention, beams wherever they hide, and what is refused."""

import pickle
import re
import warnings

import numpy as np
import pytest
import radio_beam
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from fits_files import REST, C, header, numbers, write

from kinms.errors import HeaderError, InputError, InputTypeError, KinmsWarning, UnknownNameError
from kinms.fits_layout import read_header
from kinms.fits_read import read_cube
from kinms.fits_spectral import frequency_ratio
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
        ({"CTYPE3": "VELO-HEL", "LTYPE": "velocity"}, "radio", "BARYCENT"),
        ({"CTYPE3": "VELO-LSR", "LTYPE": "felocity"}, "optical", "LSRK"),
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


def test_a_wide_band_gets_exact_edges(tmp_path):
    head = frequencies(NAXIS3=201, CDELT3=-5e7, VELREF=1)
    path = write(tmp_path / "wide.fits", np.zeros((201, 8, 9), dtype=np.float32), head)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cube = read_cube(path)
    f = REST / 1.05 - 5e7 * (np.arange(202) - 0.5)
    edges = C * (REST / f - 1.0)
    np.testing.assert_allclose(cube.grid.edges, edges, rtol=1e-12)
    layout = read_header(head)
    v = C * (REST / (REST / 1.05 - 5e7 * np.arange(201)) - 1.0)
    np.testing.assert_allclose(layout.velocities, v, rtol=1e-12)
    regular = v[100] + (np.arange(202) - 100.5) * (v[-1] - v[0]) / 200
    off = np.abs(regular - edges).max() / ((v[-1] - v[0]) / 200)
    assert off > 2
    assert layout.linear_error == pytest.approx(off, rel=1e-6)
    note = f"exact edges are used; a regular axis would be off by up to {off:.2g} channels"
    assert any(note in text for text in cube.warnings)
    said = describe(cube)
    assert (said["v_min_kms"], said["v_max_kms"]) == pytest.approx((v[0], v[-1]), rel=1e-12)


def test_a_regular_axis_has_no_edges():
    """Frequencies in the radio convention, velocities as they stand, and a cut so short that the curvature is lost."""
    for head in (frequencies(VELREF=257, NAXIS3=2000), header(), header(CTYPE3="VOPT", NAXIS3=5000)):
        layout = read_header(head)
        assert layout.grid.edges is None
        assert layout.linear_error < 1e-8
    wide = read_header(frequencies(NAXIS3=201, CDELT3=-5e5, VELREF=1))
    assert wide.grid.edges is not None
    short = wide.cropped(slice(50, 53), slice(0, 8), slice(0, 9))
    assert short.grid.edges is None
    assert 0 < short.linear_error < 1e-4
    np.testing.assert_allclose(short.grid.velocity_edges, wide.grid.edges[50:54], atol=1e-4 * short.grid.dv)


@pytest.mark.parametrize("ctype", ["WAVE-F2W", "WAVE-LOG", "AWAV-LOG", "FREQ-LOG", "VOPT-F2W", "VRAD-W2F", "AWAV"])
def test_edges_lie_half_way_on_the_axis_that_is_regular(ctype):
    """Edges p - 1/2 against astropy's own world coordinates, and each channel's two edges about its centre."""
    kind = ctype[:4]
    value, step, unit = {"WAVE": (660.0, 0.5, "nm"), "AWAV": (475.0, 0.125, "nm"), "FREQ": (4.5e14, -3e11, "Hz")}.get(
        kind, (1.5e6, 2e5, "m/s")
    )
    n = 3000 if kind == "AWAV" else 60  # air bends wavelengths so little that a short axis counts as regular
    head = header(CTYPE3=ctype, CRVAL3=value, CDELT3=step, CUNIT3=unit, RESTFRQ=None, RESTWAV=6.56461e-7, NAXIS3=n)
    layout = read_header(head, convention="radio" if kind == "VRAD" else "optical")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world = WCS(head).sub(["spectral"]).wcs_pix2world(np.arange(n + 1) - 0.5, 0)[0]
    if kind == "AWAV":  # wcslib gives air back; NIST's refraction at 15 C, Ciddor's equation, by a fixed point
        vacuum = world
        for _ in range(6):
            s2 = (1e-6 / vacuum) ** 2
            vacuum = world * (1 + 0.05792105 / (238.0185 - s2) + 0.00167917 / (57.362 - s2))
        world = vacuum
    wave = {"WAVE": world, "AWAV": world, "FREQ": C * 1e3 / world}.get(kind)
    v = world / 1e3 if wave is None else C * (wave / 6.56461e-7 - 1)
    np.testing.assert_allclose(layout.grid.velocity_edges, np.sort(v), rtol=1e-9, atol=1e-9)
    assert layout.grid.edges is not None
    assert np.all(layout.grid.velocity_edges[:-1] < layout.velocities)
    assert np.all(layout.velocities < layout.grid.velocity_edges[1:])


def test_log_linear_wavelengths_of_iraf():
    """DC-FLAG = 1: wavelengths are 10^(CRVAL + CDELT (p - CRPIX)), in the unit that WAT tells."""
    head = wavelengths(CTYPE3="LINEAR", CRVAL3=3.82, CDELT3=1e-4, CUNIT3=None, CUNIT1=None, CUNIT2=None, CRPIX3=3.0)
    head["DC-FLAG"] = 1
    head["WAT3_001"] = "wtype=linear label=Wavelength units=Angstroms"
    head["VACUUM"] = True
    layout = read_header(head, rest_wavelength=6564.61e-10)
    wave = 10.0 ** (3.82 + 1e-4 * (np.arange(6) - 2))
    np.testing.assert_allclose(layout.velocities, C * (wave / 6564.61 - 1), rtol=1e-10)
    assert layout.header["CTYPE3"] == "WAVE-LOG"
    assert not any("taken as in" in text for text in layout.warnings)


@pytest.mark.parametrize(
    ("cards", "kind"),
    [
        ({"VACUUM": True}, "WAVE"),
        ({"VACUUM": False}, "AWAV"),
        ({"AIRORVAC": "vac"}, "WAVE"),
        ({"CNAME3": "air wavelength"}, "AWAV"),
    ],
)
def test_air_or_vacuum_told_by_other_cards(cards, kind):
    layout = read_header(wavelengths(CTYPE3="LINEAR", RESTWAV=6564.61e-10, **cards))
    assert layout.header["CTYPE3"] == kind
    assert not any("taken as in" in text for text in layout.warnings)


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


def beam_table(bmaj, bmin=None, bpa=30.0, pol=None, chan=None):
    """A table as CASA writes it."""
    bmaj = np.asarray(bmaj, dtype=np.float32)
    n = bmaj.size
    columns = [
        fits.Column("BMAJ", "E", "arcsec", array=bmaj),
        fits.Column("BMIN", "E", "arcsec", array=0.5 * bmaj if bmin is None else bmin),
        fits.Column("BPA", "E", "deg", array=np.full(n, bpa)),
        fits.Column("CHAN", "J", array=np.arange(n) if chan is None else chan),
        fits.Column("POL", "J", array=np.zeros(n) if pol is None else pol),
    ]
    return fits.BinTableHDU.from_columns(columns, name="BEAMS")


def read_beams(table, head=None):
    beams = radio_beam.Beams.from_fits_bintable(table)
    return read_header(header(CASAMBM=True, **NO_BEAM) if head is None else head, beams=beams)


def test_a_table_of_beams(tmp_path):
    table = beam_table([6.0, 6.2, 6.4, 6.1, 6.3, 0.0])
    path = tmp_path / "casa.fits"
    fits.HDUList([fits.PrimaryHDU(numbers(header()), header(CASAMBM=True, **NO_BEAM)), table]).writeto(path)
    cube = read_cube(path)
    beams = cube.beam.beams
    # The last channel is flagged: it takes its neighbour's.
    assert [beam.bmaj for beam in beams] == pytest.approx([6.0, 6.2, 6.4, 6.1, 6.3, 6.3], rel=1e-6)
    assert all((beam.bmin, beam.bpa) == pytest.approx((0.5 * beam.bmaj, 30.0), rel=1e-6) for beam in beams)
    assert any("1 channels without a beam" in text for text in cube.warnings)
    assert any("each channel has a beam of its own" in text for text in cube.warnings)


def test_beams_keep_to_their_channels_when_flipped_and_cut():
    layout = read_beams(beam_table([6.0, 6.1, 6.2, 6.3, 6.4, 6.5]), header(CDELT3=-1e4, **NO_BEAM))
    assert layout.flipped == ("velocity",)
    assert [beam.bmaj for beam in layout.beam.beams] == pytest.approx([6.5, 6.4, 6.3, 6.2, 6.1, 6.0], rel=1e-6)
    # Ascending channels 1 to 3 are the file's 4 to 2.
    part = layout.cropped(slice(1, 4), slice(0, 8), slice(0, 9))
    assert [beam.bmaj for beam in part.beam.beams] == pytest.approx([6.4, 6.3, 6.2], rel=1e-6)
    again = part.cropped(slice(2, 3), slice(0, 8), slice(0, 9))
    assert again.beam == layout.beam.beams[3]


@pytest.mark.parametrize("bmaj", [[6.0], [6.0] * 6, [6.0, np.nan, 6.0, 6.0, 0.0, 6.0]])
def test_beams_that_are_all_the_same_are_one(bmaj):
    beam = read_beams(beam_table(bmaj)).beam
    assert (beam.bmaj, beam.bmin, beam.bpa) == pytest.approx((6.0, 3.0, 30.0), rel=1e-6)


def test_rows_of_a_table_are_told_by_their_numbers():
    bmaj = [6.0, 6.1, 6.2, 6.3, 6.4, 6.5]
    shuffled = [3, 1, 5, 0, 2, 4]
    layout = read_beams(beam_table(np.array(bmaj)[shuffled], chan=shuffled))
    assert [beam.bmaj for beam in layout.beam.beams] == pytest.approx(bmaj, rel=1e-6)
    # Stokes Q and I, channel by channel: I is the second plane, as CRVAL4 says.
    stokes = {"NAXIS": 4, "NAXIS4": 2, "CTYPE4": "STOKES", "CRVAL4": 2.0, "CDELT4": -1.0, "CRPIX4": 1.0}
    table = beam_table(np.repeat(bmaj, 2) + [0, 1] * 6, pol=[0, 1] * 6, chan=np.repeat(np.arange(6), 2))
    layout = read_beams(table, header(**NO_BEAM, **stokes))
    assert [beam.bmaj for beam in layout.beam.beams] == pytest.approx(np.array(bmaj) + 1, rel=1e-6)


def test_a_table_of_another_length_is_refused():
    with pytest.raises(HeaderError, match="BEAMS: the table has 5 rows, and the spectral axis 6 channels"):
        read_beams(beam_table([6.0, 6.1, 6.2, 6.3, 6.4]))


def test_a_table_without_a_usable_beam_leaves_the_cards():
    layout = read_beams(beam_table([0.0] * 6), header())
    assert (layout.beam.bmaj, layout.beam.bmin) == pytest.approx((6.0, 4.0))
    assert ("the BEAMS table holds no usable beam", True) in layout.notes


@pytest.mark.parametrize(
    ("cards", "history", "table", "used", "said"),
    [
        ({}, "AIPS   CLEAN BMAJ=  2.0E-03 BMIN=  1.2E-03 BPA=  20.00", None, 6.0, "6 x 4 arcsec in BMAJ, 7.2 x 4.32"),
        ({}, "AIPS   CLEAN BMAJ=  1.0E-03 BMIN=  1.0E-03 BPA=  20.00\nCONVL", None, 6.0, ""),
        ({"BMMAJ": 7.0, "BMMIN": 4.0, "BMPA": 20.0}, "", None, 6.0, "6 x 4 arcsec in BMAJ, 7 x 4 arcsec in BMMAJ"),
        ({}, "", [7.0] * 6, 7.0, "7 x 3.5 arcsec in the BEAMS table, 6 x 4 arcsec in BMAJ"),
        ({"BMMAJ": 6.03, "BMMIN": 4.0, "BMPA": 20.0}, "", None, 6.0, ""),
    ],
)
def test_beams_that_contradict_each_other(cards, history, table, used, said):
    head = header(**cards)
    for line in history.splitlines():
        head.add_history(line)
    layout = read_beams(beam_table(table), head) if table else read_header(head)
    assert layout.beam.bmaj == pytest.approx(used, rel=1e-6)
    told = [text for text, alarm in layout.notes if alarm and text.startswith("beams differ")]
    assert (said in told[0]) if said else not told


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
        ({"CTYPE3": "WAVE", "CUNIT3": "nm", "CRVAL3": 660.0, "CDELT3": 1e-3, "DC-FLAG": 1}, "DC-FLAG", "log-linear"),
        ({"DC-FLAG": 1}, "DC-FLAG", "no wavelength"),
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


def test_a_line_by_name(saved):
    layout = read_header(frequencies(VELREF=257, RESTFRQ=None), line="CO(1-0)")
    assert layout.spectral.rest_value == REST
    assert (layout.line, layout.redshift, layout.rest_source) == ("CO(1-0)", None, "line")
    np.testing.assert_allclose(layout.velocities[0], C * (1 - 1 / 1.05), rtol=1e-12)
    assert "rest value, as given: CO(1-0), 115.271202 GHz" in layout.warnings
    wave = read_header(wavelengths(CTYPE3="AWAV"), line="Halpha")
    assert wave.spectral.rest_value == pytest.approx(6564.608e-10, rel=1e-12)
    assert "rest value, as given: Halpha, 6564.608 Angstrom" in wave.warnings


def test_the_line_of_the_header_is_named():
    layout = read_header(frequencies(VELREF=257))
    assert (layout.line, layout.rest_source) == ("CO(1-0)", "RESTFRQ")
    assert layout.warnings == ()
    assert read_header(frequencies(VELREF=257, RESTFRQ=1.1525e11)).line == ""


@pytest.mark.parametrize("given", [{}, {"line": "co10"}, {"rest_frequency": REST}, {"rest_wavelength": C * 1e3 / REST}])
@pytest.mark.parametrize("convention", ["radio", "optical", "relativistic"])
def test_velocities_count_from_a_redshift(given, convention):
    """v = 0 where the line lies at z, whatever the convention, and a shift of 1e-4 in frequency is 30 km/s there."""
    head = frequencies()
    layout = read_header(head, redshift=0.05, convention=convention, **given)
    assert layout.velocities[0] == pytest.approx(0.0, abs=1e-8)
    assert layout.redshift == 0.05
    assert layout.line == "CO(1-0)"
    assert layout.spectral.rest_value == pytest.approx(REST / 1.05, rel=1e-12)
    assert layout.velocities[1] == pytest.approx(C * 5e6 / (REST / 1.05), rel=1e-4)
    assert any("velocities count from z = 0.05" in text and "CO(1-0)" in text for text in layout.warnings)
    # What is written can be read again without any of the arguments.
    np.testing.assert_allclose(read_header(layout.header, convention=convention).velocities, layout.velocities)


@pytest.mark.parametrize(
    ("ctype", "convention", "shift"),
    [
        # Frequencies f = f0 (1 - v/c) or f0 / (1 + v/c) of the header, counted from f0 / 1.003.
        ("VRAD", "radio", lambda v: C * (1 - 1.003 * (1 - v / C))),
        ("VOPT", "optical", lambda v: C * ((1 + v / C) / 1.003 - 1)),
        ("VELO-LSR", "radio", lambda v: C * (1 - 1.003 * (1 - v / C))),
        ("FELO-HEL", "optical", None),
        ("VOPT-F2W", "optical", None),
        ("VELO-F2V", "relativistic", None),
    ],
)
def test_velocity_axes_count_from_a_redshift(ctype, convention, shift):
    head = header(CTYPE3=ctype, CDELT3=2e5)
    rest, moved = read_header(head), read_header(head, redshift=0.003)
    if shift is not None:
        np.testing.assert_allclose(moved.velocities, shift(rest.velocities), rtol=1e-12)
    # The same frequencies, by either rest value.
    for name in ("velocities", "velocity_edges"):
        one, other = getattr(rest.grid, name), getattr(moved.grid, name)
        f, g = frequency_ratio(one, convention) * REST, frequency_ratio(other, convention) * REST / 1.003
        np.testing.assert_allclose(f, g, rtol=3e-8)  # 1e-4 of a channel, where edges count as regular
    np.testing.assert_allclose(read_header(moved.header).velocities, moved.velocities, rtol=1e-9)


def test_a_rest_frequency_that_is_at_the_redshift_already():
    """High-redshift cubes often have RESTFRQ at z, and velocities near 0: [CII] at z = 4.7622 is at 329.828 GHz."""
    cards = {"CRVAL3": 3.297e11, "CDELT3": 2.7e7, "RESTFRQ": 3.29828e11, "VELREF": 258}
    plain = read_header(frequencies(**cards))
    for given in ({"line": "[CII]"}, {"redshift": 4.762}, {"line": "[CII]", "redshift": 1900.5369e9 / 3.29828e11 - 1}):
        layout = read_header(frequencies(**cards), **given)
        np.testing.assert_allclose(layout.velocities, plain.velocities, atol=1e-6)
        assert layout.line == "[CII]158"
    assert "used as it stands" in str(read_header(frequencies(**cards), line="[CII]").warnings)
    assert "at z = 4.762 already ([CII]158)" in str(read_header(frequencies(**cards), redshift=4.762).warnings)


def test_a_line_that_is_not_the_header_s():
    """A header of CO(1-0), and a user who says CO(2-1): the user's line counts, with a warning."""
    layout = read_header(frequencies(VELREF=257, CRVAL3=2.2e11), line="CO(2-1)")
    assert layout.spectral.rest_value == 230.538e9
    assert any(alarm and "replaces the header's (RESTFRQ" in text for text, alarm in layout.notes)


def test_a_line_that_cannot_be_in_the_band():
    layout = read_header(frequencies(VELREF=257, CRVAL3=2.3e11), line="CO(1-0)")
    assert any(alarm and "CO(1-0) cannot be in it" in text for text, alarm in layout.notes)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"line": "CO(2-1)", "rest_frequency": 2e11}, InputError, "rest_frequency is 200000000000.0; expected nothing"),
        ({"line": "CO(2-1)", "rest_wavelength": 1e-3}, InputError, "as line is given"),
        ({"rest_frequency": 1e11, "rest_wavelength": 3e-3}, InputError, "as rest_frequency is given"),
        ({"line": "CO(2-3)"}, UnknownNameError, "CO(2-1)"),
        ({"line": 3}, InputTypeError, "a name such as"),
        ({"redshift": "far"}, InputTypeError, "redshift"),
        ({"redshift": -2.0}, InputError, "redshift"),
        ({"redshift": np.nan}, InputError, "redshift"),
    ],
)
def test_contradictory_lines(given, error, says):
    with pytest.raises(error, match=re.escape(says)):
        read_header(frequencies(), **given)


def test_a_redshift_of_nothing():
    with pytest.raises(HeaderError, match="RESTFRQ: no rest frequency in the header: its FREQ axis"):
        read_header(frequencies(RESTFRQ=None), redshift=1.0)
    with pytest.raises(HeaderError, match=r"RESTFRQ: .* cannot count from a redshift\. Give line"):
        read_header(header(RESTFRQ=None), redshift=0.1)
    with pytest.raises(HeaderError, match="CTYPE3: is VELO: relativistic"):
        read_header(header(CTYPE3="VELO", VELREF=None), redshift=0.1, convention="relativistic")


MAP = {"NAXIS": 2, "NAXIS3": None}
ONE = {"NAXIS3": 1}


@pytest.mark.parametrize(
    ("cards", "key", "says"),
    [
        ({**MAP, "BUNIT": "km/s"}, "NAXIS", "moment-1 map"),
        ({**MAP, "BUNIT": "Jy/beam km/s"}, "NAXIS", "moment-0 map"),
        ({**MAP, "BUNIT": "JY/BEAM.KM/S"}, "NAXIS", "moment-0 map"),
        ({**MAP, "BUNIT": "K km s-1"}, "NAXIS", "moment-0 map"),
        ({**ONE, "BUNIT": "JY/B*M/S"}, "BUNIT", "moment-0 map"),
        ({**ONE, "BUNIT": "M/S"}, "BUNIT", "moment-1 map"),
        ({**MAP, "CTYPE1": "OFFSET", "CTYPE2": "VRAD"}, "NAXIS", "position-velocity diagram"),
        ({**ONE, "CTYPE1": "ANGLE", "CTYPE2": "VRAD", "CUNIT2": "m/s", "CTYPE3": ""}, "CTYPE1", "position-velocity"),
        ({**ONE, "CTYPE3": "STOKES", "BUNIT": "m/s"}, "CTYPE3", "moment-1 map"),
    ],
)
def test_maps_given_as_cubes(cards, key, says):
    with pytest.raises(HeaderError) as caught:
        read_header(header(**cards))
    assert caught.value.key == key
    assert says in str(caught.value)


@pytest.mark.parametrize("unit", ["Jy/beam", "mJy/beam", "K", "erg/s/cm2/Angstrom", "10**(-20)*erg/s/cm**2/Angstrom"])
def test_one_channel_is_no_map(unit):
    assert read_header(header(**ONE, BUNIT=unit)).grid.nv == 1


def test_topocentric_velocities_are_remarked_on():
    layout = read_header(header(SPECSYS="TOPOCENT"))
    assert any("not corrected for the motion of the Earth" in text for text in layout.warnings)


@pytest.mark.parametrize("text", ["NaN", "Inf", "1.0E0.5", "0x10"])
@pytest.mark.parametrize("key", ["CRVAL3", "CDELT1", "CRPIX2", "CROTA2"])
def test_a_card_that_is_no_fits(key, text):
    head = header(CROTA2=0.0)
    at = list(head.keys()).index(key)
    lines = [str(card) for card in head.cards]
    lines[at] = f"{key:<8}= {text:>20}".ljust(80)
    broken = fits.Header.fromstring("".join(lines))
    with pytest.raises(HeaderError) as caught:
        read_header(broken)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("cards", "key"),
    [
        ({"NAXIS": 500}, "NAXIS"),
        ({"NAXIS3": 10**9}, "NAXIS3"),
        ({"CRVAL3": 1e308}, "CRVAL3"),
        ({"CDELT3": 1e-300}, "CRVAL3"),
        ({"CDELT1": 1e300, "CDELT2": 1e300}, "CDELT1"),
        ({"BMAJ": 1e300}, "BMAJ"),
        ({"EQUINOX": 1850.0, "RADESYS": "FK4"}, None),
        ({"SPECSYS": "the moon and the stars"}, None),
        ({"RESTFRQ": 1e-300}, None),
    ],
)
def test_absurd_cards_end_in_an_error_that_names_them(cards, key):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if key is None:
            assert read_header(header(**cards)).grid.nv == 6
            return
        with pytest.raises(HeaderError) as caught:
            read_header(header(**cards))
    assert caught.value.key == key
