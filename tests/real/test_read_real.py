"""Real cubes and 40 real headers: what they mean, worked out by hand from their cards, and what is wrong with them.

The table gives, for each header, either the card that an error must name, or the right answer as arithmetic on the
header's own numbers, typed in here: channel centres follow from CRVAL, CDELT, CRPIX and the conventions of Greisen
et al. (2006). Where a header leaves a choice, the line says which reading was taken and why.
"""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from kinms.errors import HeaderError
from kinms.fits_layout import read_header
from kinms.fits_read import read_cube
from kinms.fits_survey import describe, read_obspars
from kinms.fits_write import write_cube
from kinms.noise import detection_mask, estimate_rms

C = 299792.458
HI = 1.420405752e9


def radio(frequency, rest):
    return C * (1.0 - frequency / rest)


def answer(shape, cell, v_min, v_max, convention, frame, rest, beam, unit, flipped=(), told=()):
    """One row; dv follows from the ends where there are two channels or more. Beam in arcsec and deg."""
    return dict(
        zip(
            ("shape", "cell", "v_min", "v_max", "convention", "frame", "rest", "beam", "unit", "flipped", "told"),
            (shape, cell, v_min, v_max, convention, frame, rest, beam, unit, flipped, told),
            strict=True,
        )
    )


ANSWERS = {
    "ALMA_CASA330_BARY_LESS_CII": answer(
        # [CII] at z = 4.76: RESTFRQ is the redshifted one, so that velocities are near 0; VELREF 258 is radio.
        (28, 30, 31),
        3.055555555556e-5 * 3600,
        radio(3.296979371124e11 + 31 * 2.734191290857e7, 3.29828e11),
        radio(3.296979371124e11 + 4 * 2.734191290857e7, 3.29828e11),
        "radio",
        "BARYCENT",
        3.29828e11,
        (1.473340557681e-4 * 3600, 1.027703119649e-4 * 3600, 90.04441070557),
        "Jy/beam",
        ("velocity",),
    ),
    "ALMA_CASA330_TOPO_NGC7252": answer(
        (50, 45, 45),
        8.333333333333e-5 * 3600,
        radio(1.133516501562e11 + 49 * 6.8359375e6, 1.126265525e11),
        radio(1.133516501562e11, 1.126265525e11),
        "radio",
        "TOPOCENT",
        1.126265525e11,
        (5.193209648132e-4 * 3600, 3.208293517431e-4 * 3600, 78.74816131592),
        "Jy/beam",
        ("velocity",),
    ),
    "ALMA_CASA422_PC0i0j_4D_NGC3256_CO": answer(
        (50, 128, 128),
        2.777777777778e-4 * 3600,
        radio(1.138132993449e11 + 49 * 1.562603820624e7, 1.152712018e11),
        radio(1.138132993449e11, 1.152712018e11),  # 3791.65 km/s, the header's own ALTRVAL
        "radio",
        "LSRK",
        1.152712018e11,
        (1.901463667552e-3 * 3600, 1.253965960609e-3 * 3600, 52.95551681519),
        "Jy/beam",
        ("velocity",),
    ),
    "ALMA_CASA562_CASAMBM_T_noBEAMS_PiscoCII": answer(
        # One channel; CRPIX3 = 0. The reference channel is at ALTRVAL = 264754.7 km/s: radio.
        (1, 257, 257),
        1.111111111111e-5 * 3600,
        radio(2.221734217840e11 + 3.3801090233e8, 1.900975189016e12),
        radio(2.221734217840e11 + 3.3801090233e8, 1.900975189016e12),
        "radio",
        "LSRK",
        1.900975189016e12,
        (7.825855579641e-5 * 3600, 5.484622385767e-5 * 3600, -61.73586273193),
        "Jy/beam",
        ("velocity",),
        ("CASAMBM",),
    ),
    "ATCA_AIPS_omegaCen_2D": "NAXIS",
    "CARMA_GAIN_NGC4047": answer(
        (44, 128, 128),
        2.77777788364e-4 * 3600,
        2980.0,
        3840.0,
        "radio",
        "LSRK",
        1.15271204e11,
        (1.44444440957e-3 * 3600, 1.05833332054e-3 * 3600, 59.0),
        "GAIN",
        (),
        ("CUNIT3 is missing",),
    ),
    "CARMA_MIRIAD_IDL_4D_NGC4324_CO": answer(
        # MIRIAD writes VELO for the radio convention and FELO for the optical one; LSTART and LSTEP agree.
        (21, 100, 100),
        2.77777788364e-4 * 3600,
        1450.0,
        1850.0,
        "radio",
        "LSRK",
        1.15271202e11,
        (1.30075740162e-3 * 3600, 1.06973131187e-3 * 3600, 15.5410995483),
        "Jy/beam",
        (),
        ("CUNIT3 is missing", "does not declare"),
    ),
    "CARMA_MIRIAD_VRAD_4D_NGC4047_CO": answer(
        (44, 128, 128),
        2.77777788364e-4 * 3600,
        2980.0,
        3840.0,
        "radio",
        "LSRK",
        1.15271204e11,
        (7.0, 7.0, 45.0),
        "Jy/beam",
        (),
        ("CUNIT3 is missing",),
    ),
    "GIPSY_permuted_manyaxes": answer(
        # FREQ-OHEL: DRVAL1 = 9121 km/s, optical and heliocentric, belongs to the reference pixel, 5; the steps of
        # topocentric frequency grow by the ratio of the two frequencies there. 10 channels, frequency ascending.
        (10, 50, 50),
        36.0,
        C * (HI / (HI / (1 + 9121 / C) * (1 + 5 * 9.765625e-5 / 1.37835117405)) - 1),
        C * (HI / (HI / (1 + 9121 / C) * (1 - 4 * 9.765625e-5 / 1.37835117405)) - 1),
        "optical",
        "BARYCENT",
        1.420405752e9,
        None,
        "W.U.",
        ("velocity", "y"),
        ("4 planes: plane 1", "DRVAL1", "no beam"),
    ),
    "GMOS_IRAF_NGC3081_hdu0": "NAXIS",
    "GMOS_IRAF_NGC3081_hdu1": "CTYPE1",
    "IRAM_nocelestial_VLA1623": "CTYPE1",
    "KMOS_XID208_hdu0": "NAXIS",
    "KMOS_XID208_hdu1": "RESTWAV",
    "KinMS_mock_VRAD": answer(
        (25, 64, 64), 1.0, -240.0, 240.0, "radio", "BARYCENT", 2.30542e11, (4.0, 4.0, 0.0), "Jy/beam"
    ),
    "MUSE_ESO_Abell478_hdu0": "NAXIS",
    "MUSE_ESO_Abell478_hdu1": "RESTWAV",
    "MUSE_ESO_Abell478_hdu2": "RESTWAV",
    "MUSE_ESO_Abell478_hdu3": "CTYPE1",
    "MUSE_UDFmosaic_hdu0": "NAXIS",
    "MUSE_UDFmosaic_hdu1": "RESTWAV",
    "MUSE_UDFmosaic_hdu2": "RESTWAV",
    "MUSE_noSpecType_UDF_galpak_hdu1": "RESTWAV",
    "MUSE_noSpecType_UDF_galpak_hdu2": "RESTWAV",
    "MUSE_primary_J1422_OII": "RESTWAV",
    "PdBI_GILDAS_4D_IRAS2A_HDO": answer(
        (7, 4, 3),
        3.333333343121e-5 * 3600,
        7.0 - 0.1036813929677 * (7 - 77.62811279297),
        7.0 - 0.1036813929677 * (1 - 77.62811279297),
        "radio",
        "LSRK",
        2.2589672e11,
        (3.467814737101e-4 * 3600, 2.745724558939e-4 * 3600, 22.12153897146),
        "Jy/beam",
        ("velocity",),
        ("CUNIT3 is missing",),
    ),
    "SAMI_209807_red_hdu0": "RESTWAV",
    "SAMI_209807_red_hdu1": "CTYPE1",
    "SINFONI_PV_GMASS2438_BLANKnan": "NAXIS",
    "VLA_AIPS_NGC0925_THINGS": "NAXIS",
    "VLA_CASA_BEAMS_bintable_M33_hdu0": "NAXIS",
    "VLA_CASA_BEAMS_bintable_M33_hdu1": "XTENSION",
    "VLA_CASA_M33_string": answer(
        # 205 channels of 6103 km/s cannot be: CDELT3 is in m/s, while CRVAL3 is near ALTRVAL = -49.4 km/s.
        (205, 256, 256),
        4.166666666667e-4 * 3600,
        -48.1391,
        -48.1391 + 204 * 6.103165421963,
        "radio",
        "BARYCENT",
        1.42040575177e9,
        (1.755010949241e-3 * 3600, 1.572879685296e-3 * 3600, 88.67265319824),
        "Jy/beam",
        (),
        ("step read in m/s",),
    ),
    "WCSpaper3_greisen2006": answer(
        # The primary axis is a topocentric frequency and declares no convention; the alternates do, each another.
        (63, 1024, 1024),
        2.777777845e-4 * 3600,
        radio(1.37835117405e9 + 31 * 9.765625e4, HI),
        radio(1.37835117405e9 - 31 * 9.765625e4, HI),
        "radio",
        "TOPOCENT",
        HI,
        None,
        "Jy/beam",
        ("velocity",),
        ("read as radio", "no beam"),
    ),
    "WSRT_FREQ_descending_noBeam_WEIN069": answer(
        (83, 70, 134),
        1.66666670702398e-3 * 3600,
        radio(1403880960.0 - 39062.5 * (1 - 127), 1420405760.0),
        radio(1403880960.0 - 39062.5 * (83 - 127), 1420405760.0),
        "radio",
        "",
        1420405760.0,
        None,
        "Jy/beam",
        (),
        ("read as radio", "SPECSYS", "no beam", "North is"),
    ),
    "WSRT_GIPSY_NGC2903_HI_B1950": answer(
        # VELO-HEL without VELREF: WSRT's heliocentric velocities are optical ones. No rest frequency.
        (113, 89, 70),
        5.55469e-3 * 3600,
        574.0 + 4.129893038259999 * (1 - 60.9998399488),
        574.0 + 4.129893038259999 * (113 - 60.9998399488),
        "optical",
        "BARYCENT",
        None,
        (57.416298177958, 48.31532860784, 0.0),
        "Jy/beam",
        (),
        ("does not declare",),
    ),
    "WSRT_GIPSY_int16_NGC6946_HI": answer(
        # LTYPE = velocity: MIRIAD's INVERT gridded line=velocity, which its User Guide defines as radio (felocity is
        # the optical form); velocity=optbary of an earlier step is the observed velocity of one channel.
        (101, 100, 100),
        7.165998823e-3 * 3600,
        -243.0 + 4.199999809 * 21,
        -243.0 + 4.199999809 * 121,
        "radio",
        "BARYCENT",
        1.42040575837e9,
        (1.82215739042e-2 * 3600, 1.76625289023e-2 * 3600, -74.1641769409),
        "Jy/beam",
        (),
        ("does not declare",),
    ),
    "cubewcs1": answer(
        (1374, 300, 950),
        5.0,
        radio(2.18e11 + 1373 * 727836.855678687, 2.18222192e11),
        radio(2.18e11, 2.18222192e11),
        "radio",
        "LSRK",
        2.18222192e11,
        (6.45185488669461e-3 * 3600, 6.45185488669461e-3 * 3600, 0.0),
        "K",
        ("velocity",),
        ("North of GLAT",),
    ),
    "dysmalpy_mock_VOPT_CAR": answer(
        (201, 51, 51),
        0.125,
        -1000.0,
        1000.0,
        "optical",
        "",
        None,
        (1.15833333333333e-4 * 3600, 1.15833333333333e-4 * 3600, 0.0),
        "",
        ("x",),
        ("SPECSYS", "BUNIT"),
    ),
    "jybeam_spectralcube": answer(
        (200, 2606, 1884),
        5.55555561268e-4 * 3600,
        -321.214698632,
        -321.214698632 + 199 * 1.28821496879,
        "optical",
        "BARYCENT",
        1.42040571841e9,
        (1.0, 1.0, 0.0),
        "Jy/beam",
    ),
}


def load(real_data, name):
    text = (real_data / "headers" / f"{name}.hdr").read_bytes().decode("latin-1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these cards violate the standard: that is the point
        return fits.Header.fromstring(text, sep="\n")


def test_the_table_names_every_header(real_data):
    assert {path.stem for path in (real_data / "headers").glob("*.hdr")} == set(ANSWERS)


@pytest.mark.parametrize("name", [name for name in ANSWERS if isinstance(ANSWERS[name], dict)])
def test_header(real_data, name):
    truth = ANSWERS[name]
    header = load(real_data, name)
    before = header.tostring(padding=False) if name != "ATCA_AIPS_omegaCen_2D" else ""
    layout = read_header(header)
    grid = layout.grid
    assert grid.shape == truth["shape"]
    assert grid.cell == pytest.approx(truth["cell"], rel=1e-9)
    scale = max(grid.dv, 1e-6)
    assert layout.velocities[0] == pytest.approx(truth["v_min"], abs=1e-6 * scale)
    assert layout.velocities[-1] == pytest.approx(truth["v_max"], abs=1e-6 * scale)
    if grid.nv > 1:
        # The mean width between edges, which on a curved axis is not quite that between centres.
        assert grid.dv == pytest.approx((truth["v_max"] - truth["v_min"]) / (grid.nv - 1), rel=1e-7)
    spectral = layout.spectral
    assert (spectral.convention, spectral.frame, spectral.rest_value) == (
        truth["convention"],
        truth["frame"],
        truth["rest"],
    )
    if truth["beam"] is None:
        assert layout.beam is None
    else:
        assert (layout.beam.bmaj, layout.beam.bmin, layout.beam.bpa) == pytest.approx(truth["beam"], rel=1e-6)
    assert layout.unit == truth["unit"]
    assert layout.flipped == truth["flipped"]
    assert len(layout.warnings) >= len(truth["told"])
    for words in truth["told"]:
        assert any(words in text for text in layout.warnings), words
    assert header.tostring(padding=False) == before  # never changed


@pytest.mark.parametrize("name", [name for name in ANSWERS if isinstance(ANSWERS[name], str)])
def test_header_that_is_refused(real_data, name):
    with pytest.raises(HeaderError) as caught:
        read_header(load(real_data, name))
    assert caught.value.key == ANSWERS[name]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in ANSWERS if isinstance(ANSWERS[name], dict)])
def test_sky_of_header(real_data, name):
    """The reference position is where astropy.wcs, given the header as it is, has pixel n // 2."""
    header = load(real_data, name)
    layout = read_header(header)
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


@pytest.mark.parametrize("hdu", [1, 2])
def test_optical_headers_with_a_rest_wavelength(real_data, hdu):
    """MUSE's Abell 478: AWAV from 4749.890625 in steps of 1.25 Angstrom; [N II] 6583.45 in air, 6585.27 in vacuum."""
    layout = read_header(load(real_data, f"MUSE_ESO_Abell478_hdu{hdu}"), rest_wavelength=6585.27e-10)
    channel = round((6583.45 - 4749.890625) / 1.25)
    expected = C * ((4749.890625 + 1.25 * channel) / 6583.45 - 1.0)
    assert layout.velocities[channel] == pytest.approx(expected, abs=0.5)
    assert layout.grid.cell == pytest.approx(0.2, rel=1e-9)
    assert (layout.spectral.convention, layout.spectral.rest_unit) == ("optical", "m")


@pytest.mark.parametrize("name", ["MUSE_UDFmosaic_hdu1", "MUSE_UDFmosaic_hdu2"])
def test_a_rotated_mosaic_is_refused(real_data, name):
    with pytest.raises(HeaderError, match=r"CD1_2: the image is rotated by -42 degrees from North\. Resample"):
        read_header(load(real_data, name), rest_wavelength=6585.27e-10)


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
