"""The forty headers of ``headers/``: the right answer for each, and what decides it.

No number here comes from the reader under test. Velocities follow by hand from the cards: with
f = CRVAL + CDELT (k - CRPIX), k = 1 ... NAXIS, and f0 the rest frequency, radio v = c (1 - f/f0), optical
v = c (f0/f - 1), and for wavelengths c (w/w0 - 1) with both in vacuum (Greisen et al. 2006, A&A 446, 747, table 1).
`test_the_table_against_astropy` repeats them with astropy.wcs and astropy's Doppler equivalencies. Where a header
leaves a choice, ``why`` says which documented practice of the observatory or of its software decided.
"""

import math
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from header_answers import C, Refused, Right, compare, compare_error, one_of

from kinms.errors import HeaderError
from kinms.fits_layout import read_header
from kinms.fits_read import read_cube
from kinms.fits_survey import describe

#: Published refractive indices of air at 15 C (Ciddor 1996; Birch & Downs 1994 in Morton 2000; Edlen in Morton 1991)
#: differ by this much in velocity, km/s. The numbers below are Ciddor's.
AIR = 0.01

HALPHA = 6564.614e-10  # m, in vacuum
OII = 3729.875e-10

NO_SPECSYS = ("", "BARYCENT")  # the pipeline corrects to the barycentre by default and writes no SPECSYS


ANSWERS = {
    # ------------------------------------------------------------------------------------------------ interferometers
    "ALMA_CASA330_BARY_LESS_CII": Right(
        (28, 30, 31), 0.11, 24.8520419, -652.19449, 18.81064, "radio", "BARYCENT", 3.29828e11,
        (0.530403, 0.369973, 90.04441070557), "Jy/beam",
        "RESTFRQ is [CII] as redshifted (1900.54 / 329.828 GHz: z = 4.762), so that velocities lie about 0; VELREF "
        "258 is radio, barycentric. At CRPIX3 = -3 the radio velocity is 118.22 km/s, the header's ALTRVAL. PC001001 "
        "style with 4 rows for 3 axes.",
        flipped=("velocity",),
    ),
    "ALMA_CASA330_TOPO_NGC7252": Right(
        (50, 45, 45), 0.3, 18.1960866, -2821.69315, -1930.08490, "radio", "TOPOCENT", 1.126265525e11,
        (1.869555, 1.154986, 78.74816131592), "Jy/beam",
        "VELREF 259 is radio, observatory; the first channel is at ALTRVAL = -1930.08 km/s. RESTFRQ is that "
        "of no line at rest: the numbers stand as they are.",
        flipped=("velocity",),
    ),
    "ALMA_CASA422_PC0i0j_4D_NGC3256_CO": Right(
        (50, 128, 128), 1.0, 40.6395381, 1800.31357, 3791.65094, "radio", "LSRK", 1.152712018e11,
        (6.845269, 4.514277, 52.95551681519), "Jy/beam",
        "VELREF 257; the first channel is at ALTRVAL = 3791.65 km/s. PC01_01 style, Stokes last.",
        flipped=("velocity",),
    ),
    "ALMA_CASA562_CASAMBM_T_noBEAMS_PiscoCII": Right(
        (1, 257, 257), 0.04, 53.3058610, 264701.39015, 264701.39015, "radio", "LSRK", 1.900975189016e12,
        (0.281731, 0.197446, -61.73586273193), "Jy/beam",
        "One channel; CRPIX3 = 0, where the velocity is ALTRVAL = 264754.70 km/s. RESTFRQ is not redshifted (z = "
        "7.5). CASAMBM = T promises a BEAMS table that is absent: BMAJ holds, and that is said.",
        flipped=("velocity",), told=("CASAMBM",),
    ),
    "ATCA_AIPS_omegaCen_2D": Refused(("NAXIS",), "A continuum image of two axes (and a tab in ORIGIN).", "2"),
    "CARMA_GAIN_NGC4047": Right(
        (44, 128, 128), 1.0, 20.0, 2980.0, 3840.0, "radio", "LSRK", 1.15271204e11,
        (5.2, 3.81, 59.0), "GAIN",
        "CUNIT3 absent: m/s is the unit of the standard, and LSTART = 2980, LSTEP = 20 km/s agree. RESTFREQ is the "
        "old name.",
        told=("CUNIT3",),
    ),
    "CARMA_MIRIAD_IDL_4D_NGC4324_CO": Right(
        (21, 100, 100), 1.0, 20.0, 1450.0, 1850.0, "radio", "LSRK", 1.15271202e11,
        (4.682727, 3.851033, 15.5410995483), "Jy/beam",
        "VELO-LSR without VELREF keeps its numbers (LSTART = 1450, LSTEP = 20). MIRIAD's VELO is the radio velocity, "
        "its optical one is FELO (task velsw; User Guide, 'Velocity Linetype'), and LTYPE is velocity, not felocity.",
        told=("CUNIT3",),
    ),
    "CARMA_MIRIAD_VRAD_4D_NGC4047_CO": Right(
        (44, 128, 128), 1.0, 20.0, 2980.0, 3840.0, "radio", "LSRK", 1.15271204e11,
        (7.0, 7.0, 45.0), "Jy/beam",
        "As the gain map of the same galaxy; smoothed to a round beam.",
        told=("CUNIT3",),
    ),
    "PdBI_GILDAS_4D_IRAS2A_HDO": Right(
        (7, 4, 3), 0.12, 0.1036813930, 14.32282, 14.94491, "radio", "LSRK", 2.2589672e11,
        (1.248413, 0.988461, 22.12153897146), "Jy/beam",
        "CUNIT3 absent: GILDAS writes m/s, and VELO-LSR = 7000 with LINE = HDO is 7 km/s, the velocity of IRAS 2A. "
        "VELREF 257; CRPIX3 = 77.6 lies beyond the cut cube. The fourth axis has no name and one plane.",
        flipped=("velocity",),
    ),
    "VLA_AIPS_NGC0925_THINGS": Refused(
        ("NAXIS",), "The header of a moment map (JY/B*M/S) whose data are gone: NAXIS = 0.", "0"
    ),
    "VLA_CASA_BEAMS_bintable_M33_hdu0": Refused(("NAXIS",), "No data in the primary HDU.", "0"),
    "VLA_CASA_BEAMS_bintable_M33_hdu1": Refused(("XTENSION",), "The BEAMS table itself.", "table"),
    "VLA_CASA_M33_string": Right(
        (205, 256, 256), 1.5, 6.103165421963, -48.1391, 1196.90665, "radio", "BARYCENT", 1.42040575177e9,
        (6.318039, 5.662367, 88.67265319824), "Jy/beam",
        "CUNIT3 = km/s holds for CRVAL3 = -48.1391 (ALTRVAL = -49427 m/s), but not for CDELT3 = 6103: 205 channels of "
        "6103 km/s are faster than light, so that the step is read as m/s, and that is said. (6103.17 may as well be "
        "Hz, the VLA's 25 MHz / 4096: 1.288 km/s, and then descending, would span just M33; no card says so.) SPECSYS "
        "and VELREF 258, both barycentric, outweigh the -LSR of the name.",
        told=("m/s",),
    ),
    # ------------------------------------------------------------------------------------------------ WSRT and GIPSY
    "GIPSY_permuted_manyaxes": Right(
        (10, 50, 50), 36.0, 21.8849862, 9011.60608, 9208.57095, "optical", "BARYCENT", 1.420405752e9,
        None, "W.U.",
        "FREQ-OHEL is GIPSY's: topocentric frequencies, whose reference pixel has the heliocentric optical velocity "
        "DRVAL1 = 9121 km/s (GIPSY Programmers Guide, 'Coordinates'; Kapteyn package, 'Legacy headers'). f_ref = f0 / "
        "(1 + 9121/c) = 1378.46675 MHz; frequencies of the two frames are proportional, so that the step grows by "
        "f_ref / CRVAL1 (erratum to Greisen et al. 2006, section 10.1; a step left alone would be off by 0.009 km/s "
        "here). Axes FREQ, DEC, RA, POL: declination runs South (CDELT2 < 0).",
        flipped=("velocity", "y"), told=("4 planes", "DRVAL1", "no beam"),
    ),
    "WSRT_FREQ_descending_noBeam_WEIN069": Right(
        (83, 70, 134), 6.00000014529, 8.2445758, 2448.92657, 3124.98178, "radio", "", 1420405760.0,
        None, "Jy/beam",
        "A plain FREQ axis that declares neither convention nor frame: radio, and the frame unknown. (DRVAL3 = 3515.4 "
        "km/s is 27.7 km/s above the radio velocity of CRVAL3, 3487.74, as Earth moved by 27.4 km/s that day: the "
        "frequencies are topocentric, but no card says so and GIPSY shifts only FREQ-OHEL, -RHEL, -OLSR, -RLSR.) BMAJ "
        "= -1 is none.",
        told=("read as radio", "SPECSYS", "no beam"),
    ),
    "WSRT_GIPSY_NGC2903_HI_B1950": Right(
        (113, 89, 70), 19.996884, 4.1298930, 326.20708, 788.75510, "optical", "BARYCENT", None,
        (57.416298, 48.315329, 0.0), "Jy/beam",
        "VELO-HEL without VELREF keeps its numbers; wcslib calls it VOPT, BARYCENT, and the WSRT observes in "
        "heliocentric optical velocities. No rest frequency (FREQR is that of the band). BMMAJ in arcsec agrees with "
        "BMAJ in degrees; BMMAJ has a Fortran exponent. RA---NCP, B1950.",
    ),
    "WSRT_GIPSY_int16_NGC6946_HI": Right(
        (101, 100, 100), 25.7975957628, 4.199999809, -154.8, 265.19998, "radio", "BARYCENT", 1.42040575837e9,
        (65.597666, 63.585104, -74.1641769409), "Jy/beam",
        "VELO-HEL without VELREF keeps its numbers. They are radio ones: MIRIAD's INVERT gridded "
        "line=velocity,160,-243,4.2 (HISTORY; LTYPE = velocity), which the User Guide defines as radio, felocity "
        "being the optical form. The velocity=optbary,48,257 of an earlier step is the observed velocity of one "
        "channel. CRPIX3 = -20: the first channel is 21 steps up. RA = -51.28 deg.",
    ),
    # ---------------------------------------------------------------------------------------------- integral fields
    "MUSE_noSpecType_UDF_galpak_hdu1": Right(
        (20, 30, 30), 0.2, 55.6154067, -311.16832, 745.52440, "optical", NO_SPECSYS, OII * 1.807,
        None, "10**(-20)*erg/s/cm**2/Angstrom",
        "CTYPE3 = LINEAR in Angstrom: a wavelength of which the header does not say whether in air; MUSE's pipeline "
        "gives air (its later cubes say AWAV). CD1/CD2 and CDELT3 mixed. [OII] 3729.875 at z = 0.807, in vacuum.",
        rest_unit="m", given={"rest_wavelength": OII * 1.807}, without="RESTWAV", told=("air",), tolerance=AIR,
    ),
    "MUSE_noSpecType_UDF_galpak_hdu2": Right(
        (20, 30, 30), 0.2, 55.6154067, -311.16832, 745.52440, "optical", NO_SPECSYS, OII * 1.807,
        None, "",
        "STAT of the same cube: no CTYPE3 at all, but CUNIT3 = Angstrom tells; no BUNIT.",
        rest_unit="m", given={"rest_wavelength": OII * 1.807}, without="RESTWAV", told=("air", "BUNIT"), tolerance=AIR,
    ),
    "MUSE_primary_J1422_OII": Right(
        (26, 30, 30), 0.2, 52.6162716, -719.69547, 595.71132, "optical", NO_SPECSYS, OII * 1.91,
        None, "10**(-20)*erg/s/cm**2/Angstrom",
        "As galpak's, in the primary HDU; CRPIX3 = -83: the first channel is at 7105.0 Angstrom. [OII] 3729.875 at z "
        "= 0.91.",
        rest_unit="m", given={"rest_wavelength": OII * 1.91}, without="RESTWAV", told=("air",), tolerance=AIR,
    ),
    "MUSE_ESO_Abell478_hdu0": Refused(("NAXIS",), "The primary HDU of ESO's files holds no data.", "0"),
    "MUSE_ESO_Abell478_hdu1": Right(
        (3681, 40, 40), 0.2, 52.4770588, -100382.08056, 92733.49601, "optical", NO_SPECSYS, HALPHA * 1.0881,
        None, "10**(-20)*erg/s/cm**2/Angstrom",
        "AWAV in Angstrom. CD holds, and CDELT1 = 1.0 beside it means nothing (the standard lets CD decide). "
        "Barycentric by PRO REC2 PARAM22 (rvcorr = bary, the default) of the primary header. Halpha at z = 0.0881.",
        rest_unit="m", given={"rest_wavelength": HALPHA * 1.0881}, without="RESTWAV", tolerance=AIR,
    ),
    "MUSE_ESO_Abell478_hdu2": Right(
        (3681, 40, 40), 0.2, 52.4770588, -100382.08056, 92733.49601, "optical", NO_SPECSYS, HALPHA * 1.0881,
        None, "10**(-20)*erg/s/cm**2/Angstrom**2",
        "STAT, the variance, on the same axes; its unit is mistyped by the pipeline and kept.",
        rest_unit="m", given={"rest_wavelength": HALPHA * 1.0881}, without="RESTWAV", tolerance=AIR,
    ),
    "MUSE_ESO_Abell478_hdu3": Refused(("CTYPE1",), "DQ: flags without any axes of their own."),
    "MUSE_UDFmosaic_hdu0": Refused(("NAXIS",), "The primary HDU of ESO's files holds no data.", "0"),
    "MUSE_UDFmosaic_hdu1": Refused(
        ("CD1_2", "CD2_1"), "North is 42 degrees off the y axis (CD1_2 = 3.7e-5, CD2_2 = 4.1e-5).", "resample",
        given={"rest_wavelength": HALPHA},
    ),
    "MUSE_UDFmosaic_hdu2": Refused(
        ("CD1_2", "CD2_1"), "The variance of the same mosaic.", "resample", given={"rest_wavelength": HALPHA}
    ),
    "KMOS_XID208_hdu0": Refused(("NAXIS",), "The primary HDU of ESO's files holds no data.", "0"),
    "KMOS_XID208_hdu1": Right(
        (2048, 14, 14), 0.2, 42.1329982, -59434.83117, 26811.41607, "optical", "", HALPHA * 1.9,
        None, "",
        "WAVE in um: in vacuum, by the standard and by KMOS's list of arc lines. CD and CDELT agree. Halpha at z = "
        "0.9.",
        rest_unit="m", given={"rest_wavelength": HALPHA * 1.9}, without="RESTWAV", told=("BUNIT",),
    ),
    "SAMI_209807_red_hdu0": Right(
        (2048, 50, 50), 0.5, 25.8337495, -29313.61117, 23568.07411, "optical", "", HALPHA * 1.05386,
        None, "10**(-16) erg /s /cm**2 /angstrom /pixel",
        "AWAV with its reference pixel in the middle, 1024; the comment '[m]' on CDELT3 is wrong, CUNIT3 = Angstrom "
        "holds. Halpha at the header's own Z_SPEC = 0.05386.",
        rest_unit="m", given={"rest_wavelength": HALPHA * 1.05386}, without="RESTWAV", tolerance=AIR,
    ),
    "SAMI_209807_red_hdu1": Refused(("CTYPE1",), "VARIANCE: no axes of its own."),
    "SINFONI_PV_GMASS2438_BLANKnan": Refused(
        ("NAXIS",), "A wavelength axis and a position: a spectrum along a slit, two axes.", "2"
    ),
    "GMOS_IRAF_NGC3081_hdu0": Refused(("NAXIS",), "The primary HDU holds no data.", "0"),
    "GMOS_IRAF_NGC3081_hdu1": Refused(
        ("CTYPE1",),
        "CTYPE1 = CTYPE2 = LINEAR, CRVAL1 = 6.7 (arcsec on the field, whatever the comment says): not on the sky.",
        "celestial",
    ),
    # ------------------------------------------------------------------------------------- single dishes, mocks, papers
    "IRAM_nocelestial_VLA1623": Refused(("CTYPE1",), "Two spectra by two without any sky axes.", "celestial"),
    "KinMS_mock_VRAD": Right(
        (25, 64, 64), 1.0, 20.0, -240.0, 240.0, "radio", "BARYCENT", 2.30542e11, (4.0, 4.0, 0.0), "Jy/beam",
        "As KinMS's writer makes them; the CDELT1 of 14 digits is 1 arcsec.",
    ),
    "dysmalpy_mock_VOPT_CAR": Right(
        (201, 51, 51), 0.125, 10.0, -1000.0, 1000.0, "optical", "", None, (0.417, 0.417, 0.0), "",
        "VOPT in 'km s-1' (the comment '[m/s]' is wrong); CDELT1 > 0: x runs East and is turned. CAR about (0, 0): "
        "square.",
        flipped=("x",), told=("SPECSYS", "BUNIT"),
    ),
    "jybeam_spectralcube": Right(
        (200, 2606, 1884), 2.00000002, 1.2882150, -321.21470, -64.85992, "optical", "BARYCENT", 1.42040571841e9,
        (1.0, 1.0, 0.0), "Jy/beam",
        "VOPT in km/s, linear in velocity; RESTFREQ and EPOCH are the old names; Stokes last.",
    ),
    "WCSpaper3_greisen2006": Right(
        (63, 1024, 1024), 1.0000000242, 20.6114395, 8237.13256, 9515.04181, "radio", "TOPOCENT", 1.420405752e9,
        None, "Jy/beam",
        "The primary description is a topocentric frequency and declares no convention: radio. Its alternates (Z "
        "optical, R radio, V relativistic, all barycentric) are other descriptions, and two cards of each stand "
        "twice.",
        flipped=("velocity",), told=("read as radio", "no beam"),
    ),
    "cubewcs1": Right(
        (1374, 300, 950), 5.0, 0.9998983, -1067.61421, 305.24616, "radio", "LSRK", 2.18222192e11,
        (23.226678, 23.226678, 0.0), "K",
        "Galactic, plate carree about latitude 0: square pixels. VELREF 257; BPA absent for a round beam.",
        flipped=("velocity",), told=("GLAT",),
    ),
}  # fmt: skip

READ = [name for name, row in ANSWERS.items() if isinstance(row, Right)]
REFUSED = [name for name, row in ANSWERS.items() if isinstance(row, Refused)]


def text_of(real_data, name):
    return (real_data / "headers" / f"{name}.hdr").read_bytes().decode("latin-1")


def load(real_data, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these cards violate the standard: that is the point
        return fits.Header.fromstring(text_of(real_data, name), sep="\n")


def test_the_table_names_every_header(real_data):
    assert {path.stem for path in (real_data / "headers").glob("*.hdr")} == set(ANSWERS)


@pytest.mark.parametrize("name", READ)
def test_header(real_data, name):
    row = ANSWERS[name]
    compare(read_header(load(real_data, name), **row.given), row)


@pytest.mark.parametrize("name", READ)
def test_sky_of_header(real_data, name):
    """The reference position is where astropy.wcs, given the header as it is, has pixel n // 2."""
    header = load(real_data, name)
    before = header.tostring(padding=False)
    layout = read_header(header, **ANSWERS[name].given)
    assert header.tostring(padding=False) == before  # never changed
    if name == "GIPSY_permuted_manyaxes":  # astropy does not know FREQ-OHEL
        header["CTYPE1"] = "FREQ"
    lengths = (layout.grid.nx, layout.grid.ny)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(header).sub(["longitude", "latitude"])
        x, y = (n - 1 - n // 2 if f in layout.flipped else n // 2 for n, f in zip(lengths, "xy", strict=True))
        sky = wcs.pixel_to_world(x, y).icrs
    assert (layout.grid.ra, layout.grid.dec) == pytest.approx(
        (sky.ra.deg, sky.dec.deg), abs=1e-6 * layout.grid.cell / 3600
    )


@pytest.mark.parametrize("name", [name for name in READ if ANSWERS[name].without])
def test_header_without_a_rest_value(real_data, name):
    with pytest.raises(HeaderError) as caught:
        read_header(load(real_data, name))
    assert caught.value.key == ANSWERS[name].without
    assert "rest_wavelength" in str(caught.value)


@pytest.mark.parametrize("name", REFUSED)
def test_header_that_is_refused(real_data, name):
    row = ANSWERS[name]
    with pytest.raises(HeaderError) as caught:
        read_header(load(real_data, name), **row.given)
    compare_error(caught.value, row)


def vacuum(air):
    """Wavelength in vacuum from that in air of 15 C, in Angstrom (Birch & Downs 1994; Morton 2000, ApJS 130, 403)."""
    wavelength = air
    for _ in range(10):
        square = (1e4 / wavelength) ** 2
        wavelength = air * (1.0 + 8.34254e-5 + 2.406147e-2 / (130.0 - square) + 1.5998e-4 / (38.9 - square))
    return wavelength


@pytest.mark.parametrize("name", READ)
def test_the_table_against_astropy(real_data, name):
    """The table itself: astropy.wcs and astropy.units give its velocities from the same header."""
    row, whole = ANSWERS[name], load(real_data, name)
    axis = next(i for i in range(1, 5) if whole.get(f"NAXIS{i}") == row.shape[0])
    step = whole.get(f"CD{axis}_{axis}") or whole[f"CDELT{axis}"]
    alone = {f"{key}1": whole.get(f"{key}{axis}", "") for key in ("CTYPE", "CRVAL", "CRPIX", "CUNIT")}
    alone |= {"NAXIS": 1, "CDELT1": step, "VELREF": whole.get("VELREF", 0)}
    alone["CUNIT1"] = {"GHZ": "GHz", "HZ": "Hz"}.get(alone["CUNIT1"], alone["CUNIT1"])
    # What astropy cannot know: GIPSY's shift to DRVAL1, a unit that holds for CRVAL3 alone, wavelengths unnamed.
    if name == "GIPSY_permuted_manyaxes":
        shifted = 1.420405752 / (1.0 + 9121.0 / C)
        alone |= {"CTYPE1": "FREQ", "CDELT1": step * shifted / alone["CRVAL1"], "CRVAL1": shifted}
    elif name == "VLA_CASA_M33_string":
        alone["CDELT1"] /= 1000.0
    elif alone["CTYPE1"] in ("", "LINEAR"):
        alone["CTYPE1"] = "AWAV"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spectral = WCS(fits.Header(alone))
        ends = spectral.wcs_pix2world(np.array([-0.5, 0.0, row.shape[0] - 1.0, row.shape[0] - 0.5]), 0)[0]
    kind, unit = spectral.wcs.ctype[0][:4], u.Unit(str(spectral.wcs.cunit[0]))
    if kind in ("VRAD", "VOPT", "VELO"):
        v = (ends * (u.m / u.s if unit == u.one else unit)).to_value(u.km / u.s)
    else:
        values = ends * unit
        if kind == "AWAV":
            values = vacuum(values.to_value(u.AA)) * u.AA
        rest = row.rest * u.Unit(row.rest_unit)
        v = values.to_value(u.km / u.s, equivalencies=getattr(u, f"doppler_{row.convention}")(rest))
    v = np.sort(v)
    assert (row.first, row.last) == pytest.approx((v[1], v[2]), abs=max(2e-5, row.tolerance if kind == "AWAV" else 0.0))
    assert row.dv == pytest.approx((v[3] - v[0]) / row.shape[0], rel=1e-6)


# ------------------------------------------------------------------------------------------------------ whole files


def as_file(path, *texts, sky=4):
    """Write headers as they are, but for sky axes cut to a few pixels in the middle, each with noise for data."""
    rng = np.random.default_rng(7)
    with path.open("wb") as out:
        for number, text in enumerate(texts):
            cards = [line.ljust(80)[:80] for line in text.split("\n") if line.strip() and line.strip() != "END"]
            if number and cards[0].startswith("SIMPLE"):
                cards[0] = "XTENSION= 'IMAGE   '".ljust(80)
            values = {card[:8].strip(): card[10:].split("/")[0].strip(" '") for card in cards if card[8:10] == "= "}
            lengths = [int(values[f"NAXIS{i}"]) for i in range(1, int(values["NAXIS"]) + 1)]
            for i, length in enumerate(lengths):
                ctype = values.get(f"CTYPE{i + 1}", "")
                if ctype[:4] in ("RA--", "DEC-", "GLON", "GLAT") or (not values.get("CTYPE1") and i < 2):
                    lengths[i] = min(length, sky)
                    for k, card in enumerate(cards):
                        if card.startswith(f"NAXIS{i + 1} "):
                            cards[k] = f"NAXIS{i + 1}  = {lengths[i]:20d}".ljust(80)
                        elif card.startswith(f"CRPIX{i + 1} "):  # the middle of the image
                            pixel = float(values[f"CRPIX{i + 1}"]) - (length - lengths[i]) // 2
                            cards[k] = f"CRPIX{i + 1}  = {pixel:20.12f}".ljust(80)
            block = "".join(cards) + "END".ljust(80)
            out.write(block.ljust(-(-len(block) // 2880) * 2880).encode("latin-1"))
            if lengths:
                kind = {8: "u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}[int(values["BITPIX"])]
                data = rng.normal(0.0, 1.0, math.prod(lengths))
                if values.get("EXTNAME") in ("STAT", "VARIANCE"):
                    data = 1.0 + np.abs(data)
                elif kind[-2] in "iu":
                    data = np.zeros_like(data) if kind == "u1" else data * 1000.0
                raw = data.astype(kind).tobytes()
                out.write(raw.ljust(-(-len(raw) // 2880) * 2880, b"\0"))
    return path


def quietly(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **options)


@pytest.mark.parametrize("name", [name for name in READ if not name.endswith(("hdu1", "hdu2"))])
def test_describe_a_file(real_data, tmp_path, name):
    row = ANSWERS[name]
    said = quietly(describe, as_file(tmp_path / "cube.fits", text_of(real_data, name)), **row.given)
    assert said["shape"] == [row.shape[0], min(row.shape[1], 4), min(row.shape[2], 4)]
    assert said["cell_arcsec"] == pytest.approx(row.cell, rel=1e-6)
    assert said["dv_kms"] == pytest.approx(row.dv, abs=row.dv_margin)
    assert said["v_min_kms"] == pytest.approx(row.first, abs=row.margin(row.first))
    assert said["v_max_kms"] == pytest.approx(row.last, abs=row.margin(row.last))
    assert said["convention"] == row.convention
    assert one_of(said["frame"], row.frame)
    assert said["bunit"] == row.unit
    assert (said["beam"] is None) == (row.beam is None)
    assert said["rms"] > 0.0


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (["MUSE_ESO_Abell478_hdu0", "MUSE_ESO_Abell478_hdu1", "MUSE_ESO_Abell478_hdu2", "MUSE_ESO_Abell478_hdu3"], 1),
        (["MUSE_ESO_Abell478_hdu0", "MUSE_ESO_Abell478_hdu2", "MUSE_ESO_Abell478_hdu1"], 2),  # the variance comes first
        (["KMOS_XID208_hdu0", "KMOS_XID208_hdu1"], 1),
        (["SAMI_209807_red_hdu0", "SAMI_209807_red_hdu1"], 0),
        (["MUSE_UDFmosaic_hdu0", "MUSE_noSpecType_UDF_galpak_hdu1", "MUSE_noSpecType_UDF_galpak_hdu2"], 1),
    ],
    ids=["MUSE", "MUSE with STAT first", "KMOS", "SAMI", "galpak"],
)
def test_the_data_of_a_file_of_several_parts(real_data, tmp_path, names, answer):
    """The data are found beside a primary HDU without any, a variance and flags."""
    path = as_file(tmp_path / "cube.fits", *(text_of(real_data, name) for name in names))
    row = ANSWERS[names[answer]]
    cube = quietly(read_cube, path, **row.given)
    assert cube.grid.shape == (row.shape[0], 4, 4)
    assert cube.unit == row.unit
    assert cube.grid.velocities[0] == pytest.approx(row.first, abs=row.margin(row.first))
    with fits.open(path, output_verify="ignore") as hdus:
        np.testing.assert_array_equal(cube.data, hdus[answer].data.astype(float))


@pytest.mark.parametrize(
    ("names", "variance"),
    [
        (["MUSE_ESO_Abell478_hdu0", "MUSE_ESO_Abell478_hdu1", "MUSE_ESO_Abell478_hdu2"], 2),
        (["SAMI_209807_red_hdu0", "SAMI_209807_red_hdu1"], 1),
    ],
    ids=["STAT", "VARIANCE"],
)
def test_the_variance_becomes_the_noise(real_data, tmp_path, names, variance):
    """STAT of MUSE and VARIANCE of SAMI are variances (their manuals); the latter's HDU has no axes of its own."""
    path = as_file(tmp_path / "cube.fits", *(text_of(real_data, name) for name in names))
    cube = quietly(read_cube, path, rest_wavelength=HALPHA)
    with fits.open(path, output_verify="ignore") as hdus:
        np.testing.assert_allclose(cube.noise, np.sqrt(hdus[variance].data), rtol=1e-6)


@pytest.mark.parametrize(
    ("line", "inside"), [("Halpha", True), ("[OIII]5007", True), ("Brgamma", False)]
)  # 7143, 5449 and 23570 Angstrom; the band is 4750 to 9350
def test_a_line_is_looked_for_in_the_whole_band(real_data, tmp_path, line, inside):
    path = as_file(tmp_path / "cube.fits", *(text_of(real_data, f"MUSE_ESO_Abell478_hdu{hdu}") for hdu in range(4)))
    said = quietly(describe, path, line=line, redshift=0.0881)
    assert (said["v_min_kms"] < 0.0 < said["v_max_kms"]) == inside
    assert any("cannot be in it" in text for text in said["doubtful"]) != inside
    if line == "Halpha":  # the tables' wavelengths in vacuum differ by 0.02 Angstrom
        assert said["rest_value"] == pytest.approx(HALPHA * 1.0881, rel=4e-6)
