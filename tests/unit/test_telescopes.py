"""Headers of telescopes that are not among the real ones, written as their pipelines write them, and what they mean.

Numbers follow by hand from the cards, as in ``tests/real/test_headers.py``; those of non-linear axes (F2W, F2V, LOG,
GRI) are astropy.wcs's. ``why`` names the pipeline or what decided.
"""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from header_answers import C, Refused, Right, compare, compare_error

from kinms.errors import FileError, HeaderError, InputTypeError
from kinms.fits_cards import data_unit, parse_unit
from kinms.fits_layout import read_header
from kinms.fits_read import read_cube
from kinms.fits_survey import describe

HI = 1.420405752e9
HI_CASA = 1.420405751786e9
HALPHA = 6564.614e-10  # m, in vacuum
AIR = 0.01  # km/s, by which published refractive indices of air differ


def sky(nx=40, ny=30, cell=2.0, ctype="SIN", names=("RA", "DEC"), at=(150.0, 2.0), axes=(1, 2), **more):
    """Two celestial axes, x West and y North, about the middle; ``more`` changes or adds cards, None takes out."""
    cards = {}
    for i, axis in enumerate(axes):
        cards[f"NAXIS{axis}"] = (nx, ny)[i]
        cards[f"CTYPE{axis}"] = f"{names[i]:-<5}{ctype}"
        cards[f"CRVAL{axis}"] = at[i]
        cards[f"CRPIX{axis}"] = (nx, ny)[i] // 2 + 1.0
        cards[f"CDELT{axis}"] = (-cell, cell)[i] / 3600.0
        cards[f"CUNIT{axis}"] = "deg"
    return with_cards(cards, more)


def spectral(ctype, n, crpix, crval, step, unit=None, *, axis=3, step_key="CDELT3", **more):
    cards = {f"NAXIS{axis}": n, f"CTYPE{axis}": ctype, f"CRPIX{axis}": crpix, f"CRVAL{axis}": crval, step_key: step}
    return with_cards(cards | ({f"CUNIT{axis}": unit} if unit else {}), more)


def plane(axis, ctype="STOKES", n=1, value=1.0, step=1.0):
    cards = {"NAXIS": n, "CTYPE": ctype, "CRVAL": value, "CRPIX": 1.0, "CDELT": step}
    return {f"{key}{axis}": content for key, content in cards.items()}


def beam(bmaj, bmin, bpa):
    """Axes in arcsec."""
    return {"BMAJ": bmaj / 3600.0, "BMIN": bmin / 3600.0, "BPA": bpa}


def with_cards(cards, more):
    return {key: value for key, value in (cards | more).items() if value is not None}


def header(*parts):
    """Join parts; HISTORY may be a list."""
    cards = {key: value for part in parts for key, value in part.items()}
    axes = max(int(key[5:]) for key in cards if key.startswith("NAXIS"))
    made = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", axes)])
    for key in sorted(cards, key=lambda key: not key.startswith("NAXIS")):
        if key == "HISTORY":
            for line in cards[key]:
                made.add_history(line)
        else:
            made[key] = cards[key]
    return made


JY = {"BUNIT": "Jy/beam"}
FK5 = {"RADESYS": "FK5", "EQUINOX": 2000.0}
NO_CD = {"CDELT1": None, "CDELT2": None}


def cd(cell):
    return {"CD1_1": -cell / 3600.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": cell / 3600.0}


HEADERS = {
    # ------------------------------------------------------------------------------------------------ interferometers
    "ASKAP WALLABY": (
        header(
            sky(ctype="SIN", cell=6.0, **FK5), plane(3), beam(30.0, 30.0, 0.0), JY,
            spectral("FREQ", 144, 1.0, 1414518518.5, 18518.5185, "Hz", axis=4, step_key="CDELT4"),
            {"RESTFRQ": HI_CASA, "SPECSYS": "BARYCENT"},
        ),
        Right(
            (144, 30, 40), 6.0, 3.9085396, 683.64500, 1242.56617, "radio", "BARYCENT", HI_CASA, (30.0, 30.0, 0.0),
            "Jy/beam", "ASKAPsoft: RA, DEC, STOKES, FREQ; barycentric; no VELREF, so radio by our rule.",
            flipped=("velocity",), told=("read as radio",),
        ),
    ),
    "MeerKAT wsclean": (
        header(
            sky(cell=3.0, EQUINOX=2000.0), plane(4), beam(11.0, 8.0, 160.0), {"BUNIT": "JY/BEAM"},
            spectral("FREQ", 64, 1.0, 1.4105e9, 26123.046875, "Hz", CROTA3=0.0),
            {"SPECSYS": "TOPOCENT", "WSCDATAC": "DATA", "OBJECT": "J1939"},
        ),
        Right(
            (64, 30, 40), 3.0, 5.5135601, 1743.36499, 2090.71927, "radio", "TOPOCENT", HI_CASA, (11.0, 8.0, 160.0),
            "Jy/beam", "wsclean (as CARACal calls it) writes frequencies and no rest frequency.",
            flipped=("velocity",), given={"rest_frequency": HI_CASA}, without="RESTFRQ",
        ),
    ),
    "MeerKAT MHONGOOSE, wanted in optical velocity": (
        header(
            sky(cell=5.0, **FK5), beam(26.0, 18.0, 130.0), JY,
            spectral("VRAD", 50, 1.0, 1.0699e6, -1.4e3, "m/s"), {"RESTFRQ": HI_CASA, "SPECSYS": "BARYCENT"},
        ),
        Right(
            (50, 30, 40), 5.0, 1.4097227, 1004.65553, 1073.73194, "optical", "BARYCENT", HI_CASA, (26.0, 18.0, 130.0),
            "Jy/beam", "From 1001.3 to 1069.9 km/s in the radio convention; optical ones are v / (1 - v/c).",
            flipped=("velocity",), given={"convention": "optical"},
        ),
    ),
    "Apertif": (
        header(
            sky(ctype="NCP", at=(150.0, 42.0), cell=6.0, EPOCH=2000.0), plane(4), beam(25.0, 15.0, 0.0),
            {"BUNIT": "JY/BEAM"}, spectral("FREQ", 50, 1.0, 1.4092e9, 36621.09375),
            {"RESTFREQ": HI, "SPECSYS": "TOPOCENT", "VOBS": -12.0, "LTYPE": "channel", "CUNIT1": None, "CUNIT2": None},
        ),
        Right(
            (50, 30, 40), 6.0, 7.7292898, 1986.36360, 2365.09880, "radio", "TOPOCENT", HI, (25.0, 15.0, 0.0),
            "Jy/beam", "MIRIAD writes no CUNIT and the old RESTFREQ; an East-West array, so NCP.",
            flipped=("velocity",), told=("read as radio",),
        ),
    ),
    "NOEMA, GILDAS": (
        header(
            spectral("VRAD", 60, 30.0, 5.0e5, -5.0e3, axis=1, step_key="CDELT1", CROTA1=0.0),
            sky(axes=(2, 3), cell=0.2, EQUINOX=2000.0, CUNIT2=None, CUNIT3=None), {"CROTA2": 0.0, "CROTA3": 0.0},
            plane(4, ctype=""), beam(1.2, 0.9, 25.0),
            {"BUNIT": "Jy/beam", "LINE": "CO(2-1)", "RESTFREQ": 2.30538e11, "VELO-LSR": 5.0e5, "SPECSYS": "LSRK"},
        ),
        Right(
            (60, 30, 40), 0.2, 5.0, 350.0, 645.0, "radio", "LSRK", 2.30538e11, (1.2, 0.9, 25.0), "Jy/beam",
            "A .vlm file: velocity first; blank CTYPE4; no CUNIT, m/s.", flipped=("velocity",),
        ),
    ),
    "VLA AIPS, B1950": (
        header(
            sky(ctype="SIN", cell=15.0, at=(148.0, 69.3), EPOCH=1950.0, CUNIT1=None, CUNIT2=None), plane(4),
            spectral("FELO-HEL", 63, 32.0, 5.0e5, -2.08e4), {"BUNIT": "JY/BEAM", "RESTFREQ": HI, "VELREF": 2},
            {"CROTA1": 0.0, "CROTA2": 0.0, "CROTA3": 0.0, "ALTRVAL": 1.418e9, "ALTRPIX": 32.0},
            {"HISTORY": [
                "AIPS   CLEAN BMAJ=  2.0000E-02 BMIN=  2.0000E-02 BPA=   0.00",
                "AIPS   CLEAN NITER=     5000 PRODUCT=1   / NORMAL",
                "AIPS   CLEAN BMAJ=  1.7361E-02 BMIN=  1.5278E-02 BPA=  12.00",
            ]},
        ),
        Right(
            (63, 30, 40), 15.0, 20.8000990, -143.41843, 1146.18752, "optical", "BARYCENT", HI,
            (62.4996, 55.0008, 12.0), "Jy/beam",
            "FELO is optical velocity on channels regular in frequency: VOPT-F2W (wcslib). The last CLEAN in HISTORY "
            "holds.",
            flipped=("velocity",), told=("HISTORY",),
        ),
    ),
    "VLA AIPS, optical by VELREF": (
        header(
            sky(EPOCH=2000.0, CUNIT1=None, CUNIT2=None), spectral("VELO-HEL", 60, 30.0, 1.5e6, -1.0e4), JY,
            beam(6.0, 6.0, 0.0), {"VELREF": 2, "RESTFREQ": HI},
        ),
        Right(
            (60, 30, 40), 2.0, 10.0, 1200.0, 1790.0, "optical", "BARYCENT", HI, (6.0, 6.0, 0.0), "Jy/beam",
            "VELREF = 2 is heliocentric, and optical as it is below 256 (AIPS Memo 27).", flipped=("velocity",),
        ),
    ),
    "VLA AIPS, frequencies in LSR": (
        header(
            sky(EPOCH=2000.0, CUNIT1=None, CUNIT2=None), plane(4), JY, beam(6.0, 5.0, -30.0),
            spectral("FREQ-LSR", 32, 16.0, 1.4190e9, -2.441e4),
            {"VELREF": 257, "RESTFREQ": HI},
        ),
        Right(
            (32, 30, 40), 2.0, 5.1520024, 219.41958, 379.13166, "radio", "LSRK", HI, (6.0, 5.0, -30.0), "Jy/beam",
            "FREQ-LSR is FREQ, LSRK (wcslib spcaips); velocities ascend as frequencies descend.",
        ),
    ),
    "CASA, optical": (
        header(
            sky(**FK5), plane(3), JY, beam(6.0, 5.0, -30.0),
            spectral("FREQ", 40, 1.0, 1.3784e9, 9.765625e4, "Hz", axis=4, step_key="CDELT4"),
            {"VELREF": 2, "SPECSYS": "BARYCENT", "RESTFRQ": HI, "PC1_1": 1.0, "PC4_4": 1.0},
        ),
        Right(
            (40, 30, 40), 2.0, 21.8265130, 8284.72635, 9135.96027, "optical", "BARYCENT", HI, (6.0, 5.0, -30.0),
            "Jy/beam", "VELREF = 2: optical velocities are wanted of these frequencies; not linear.",
            flipped=("velocity",),
        ),
    ),
    "CASA, asked for relativistic": (
        header(
            sky(**FK5), JY, beam(6.0, 5.0, -30.0), spectral("FREQ", 40, 1.0, 1.3784e9, 9.765625e4, "Hz"),
            {"SPECSYS": "BARYCENT", "RESTFRQ": HI},
        ),
        Right(
            (40, 30, 40), 2.0, 21.1928681, 8170.29519, 8996.81705, "relativistic", "BARYCENT", HI, (6.0, 5.0, -30.0),
            "Jy/beam", "v = c (f0^2 - f^2) / (f0^2 + f^2).",
            flipped=("velocity",), given={"convention": "relativistic"},
        ),
    ),
    "five axes, velocity first": (
        header(
            spectral("VOPT", 20, 1.0, 3.0e6, -2.0e4, "m/s", axis=1, step_key="CDELT1"), plane(2, "STOKES"),
            sky(axes=(4, 3), **FK5), plane(5, "BEAM"), JY, beam(6.0, 5.0, 0.0), {"SPECSYS": "BARYCENT"},
        ),
        Right(
            (20, 30, 40), 2.0, 20.0, 2620.0, 3000.0, "optical", "BARYCENT", None, (6.0, 5.0, 0.0), "Jy/beam",
            "VOPT, STOKES, DEC, RA, BEAM; VOPT descending.", flipped=("velocity",),
        ),
    ),
    "Stokes V to I": (
        header(sky(**FK5), spectral("VRAD", 20, 1.0, 1.0e6, 2.0e4, "m/s"), plane(4, n=4, value=4.0, step=-1.0), JY),
        Right(
            (20, 30, 40), 2.0, 20.0, 1000.0, 1380.0, "radio", "", None, None, "Jy/beam",
            "Stokes 4, 3, 2, 1: I, whose code is 1, is the fourth plane.", told=("plane 4",),
        ),
    ),
    "PC and CROTA, both without a rotation": (
        header(
            sky(CROTA1=0.0, CROTA2=0.0, PC1_1=1.0, PC1_2=0.0, PC2_1=0.0, PC2_2=1.0, PC3_3=1.0, **FK5),
            spectral("VRAD", 20, 1.0, 1.0e6, 2.0e4, "M/S", CROTA3=0.0), {"BUNIT": "JY/BEAM", "SPECSYS": "LSRK"},
        ),
        Right(
            (20, 30, 40), 2.0, 20.0, 1000.0, 1380.0, "radio", "LSRK", None, None, "Jy/beam",
            "Old and new rotation side by side, both none; units in capitals.",
        ),
    ),
    "half a turn": (
        header(sky(CROTA2=180.0, **FK5), spectral("VRAD", 20, 1.0, 1.0e6, 2.0e4, "m/s"), JY),
        Right(
            (20, 30, 40), 2.0, 20.0, 1000.0, 1380.0, "radio", "", None, None, "Jy/beam",
            "CROTA2 = 180: x runs East and y South, and both are turned.", flipped=("x", "y"),
        ),
    ),
    # ------------------------------------------------------------------------------------------------- single dishes
    "GBT": (
        header(
            sky(ctype="TAN", cell=102.0, **FK5), plane(4), {"BUNIT": "K"}, beam(552.0, 552.0, 0.0),
            spectral("FREQ", 128, 64.0, 1.4154e9, -6103.515625, "Hz"),
            {"RESTFRQ": HI_CASA, "SPECSYS": "LSRK", "VELREF": 257, "TELESCOP": "NRAO_GBT"},
        ),
        Right(
            (128, 30, 40), 102.0, 1.2882150, 975.36214, 1138.96544, "radio", "LSRK", HI_CASA, (552.0, 552.0, 0.0),
            "K", "gbtgridder: frequency descends, radio LSRK.",
        ),
    ),
    "GASKAP, Galactic plane": (
        header(
            sky(ctype="SFL", names=("GLON", "GLAT"), at=(330.0, 0.0), cell=10.0), {"BUNIT": "K"},
            spectral("VELO-LSR", 50, 25.0, 0.0, 0.97, "km/s"), {"RESTFRQ": HI}, beam(30.0, 30.0, 0.0),
        ),
        Right(
            (50, 30, 40), 10.0, 0.97, -23.28, 24.25, ("radio", "optical"), "LSRK", HI, (30.0, 30.0, 0.0), "K",
            "Galactic coordinates; VELO-LSR keeps its numbers.", told=("GLAT",),
        ),
    ),
    "HI4PI, far from the plane": (
        header(
            sky(40, 30, 300.0, "CAR", ("GLON", "GLAT"), at=(120.0, 0.0), CRPIX2=-344.0), {"BUNIT": "K"},
            spectral("VRAD", 50, 1.0, -5.0e4, 1288.0, "m/s"), {"SPECSYS": "LSRK", "RESTFRQ": HI},
        ),
        Refused(
            ("CTYPE1", "CDELT1"), "CAR about the equator: at latitude 30 pixels are 300 cos 30 = 260 arcsec wide.",
            "resample",
        ),
    ),
    # ------------------------------------------------------------------------------------------- integral fields
    "MaNGA LOGCUBE": (
        header(
            sky(ctype="TAN", cell=0.5, **NO_CD), cd(0.5), {"CD3_3": 0.83390331284887},
            spectral("WAVE-LOG", 4563, 1.0, 3621.59598486, 0.83390331284887, "Angstrom", step_key="CD3_3"),
            {"BUNIT": "1E-17 erg/s/cm^2/Ang/spaxel", "EXTNAME": "FLUX"},
        ),
        Right(
            (4563, 30, 40), 0.5, 65.4312530, -139218.80646, 159272.66041, "optical", "", HALPHA * 1.03, None,
            "1E-17 erg/s/cm^2/Ang/spaxel",
            "WAVE-LOG: w = CRVAL exp(CD3_3 (k - 1) / CRVAL), in vacuum (MaNGA data model): the last is at 10353.8 "
            "Angstrom.",
            rest_unit="m", given={"rest_wavelength": HALPHA * 1.03}, without="RESTWAV",
        ),
    ),
    "CALIFA": (
        header(
            sky(ctype="TAN", cell=1.0, **FK5), spectral("WAVELENGTH", 1877, 1.0, 3749.0, 2.0, "Angstrom"),
            {"BUNIT": "10^-16 erg/s/cm^2"},
        ),
        Right(
            (1877, 30, 40), 1.0, 90.0100897, -131065.55312, 37793.37536, "optical", "", HALPHA * 1.015, None,
            "10^-16 erg/s/cm^2",
            "A wavelength whose name does not say whether in air: CALIFA's are (Sanchez et al. 2012).",
            rest_unit="m", given={"rest_wavelength": HALPHA * 1.015}, without="RESTWAV", told=("air",), tolerance=AIR,
        ),
    ),
    "WiFeS": (
        header(
            sky(ctype="TAN", cell=1.0, EQUINOX=2000.0), spectral("wavelength", 3645, 1.0, 5400.0, 0.44, "angstrom"),
            {"BUNIT": "erg/s/cm2/A"},
        ),
        Right(
            (3645, 30, 40), 1.0, 19.9002853, -55559.29893, 16957.34074, "optical", "", HALPHA * 1.01, None,
            "erg/s/cm2/A", "PyWiFeS writes names and units in lower case; air.",
            rest_unit="m", given={"rest_wavelength": HALPHA * 1.01}, without="RESTWAV", told=("air",), tolerance=AIR,
        ),
    ),
    "SINFONI": (
        header(
            sky(ctype="TAN", cell=0.125, CUNIT1="DEGREE", CUNIT2="DEGREE"), cd(0.125),
            spectral("WAVE", 2203, 1102.0, 2.2, 0.000245, "MICRON"), {"CD3_3": 0.000245, "BUNIT": ""},
        ),
        Right(
            (2203, 30, 40), 0.125, 48.6462936, 83471.83368, 190590.97220, "optical", "", HALPHA * 2.3, None, "",
            "Its pipeline writes MICRON and DEGREE, and CD beside CDELT. Halpha at z = 1.3.",
            rest_unit="m", given={"rest_wavelength": HALPHA * 2.3}, without="RESTWAV",
        ),
    ),
    "JWST NIRSpec": (
        header(
            sky(ctype="TAN", cell=0.1, CDELT1=0.1 / 3600.0, PC1_1=-1.0, PC1_2=0.0, PC2_1=0.0, PC2_2=1.0, PC3_3=1.0),
            spectral("WAVE", 1000, 1.0, 1.66019805, 0.000396, "um"),
            {"RADESYS": "ICRS", "SPECSYS": "BARYCENT", "BUNIT": "MJy/sr", "PC1_3": 0.0, "PC2_3": 0.0, "EXTNAME": "SCI"},
        ),
        Right(
            (1000, 30, 40), 0.1, 90.4225392, 79296.74220, 169628.85887, "optical", "BARYCENT", HALPHA * 2.0, None,
            "MJy/sr", "cube_build: CDELT1 > 0 with PC1_1 = -1, so that x runs West; um in vacuum.",
            rest_unit="m", given={"rest_wavelength": HALPHA * 2.0}, without="RESTWAV",
        ),
    ),
    "SITELLE": (
        header(
            sky(ctype="TAN", cell=0.32), spectral("WAVN", 400, 1.0, 14800.0, 1.5, "cm-1"), {"BUNIT": "erg/cm2/s/A"},
        ),
        Right(
            (400, 30, 40), 0.32, 30.0582361, -3218.44691, 8774.76564, "optical", "", 299792458.0 / HALPHA, None,
            "erg/cm2/s/A",
            "Wavenumbers of a Fourier spectrometer, in vacuum: w = 1e8 / wavenumber Angstrom.",
            flipped=("velocity",), given={"rest_wavelength": HALPHA, "convention": "optical"},
        ),
    ),
    "wavelengths without a unit": (
        header(
            sky(ctype="TAN", cell=0.2, CUNIT1=None, CUNIT2=None), spectral("WAVE", 100, 1.0, 6500.0, 1.0),
            {"BUNIT": "erg/s/cm2/A"},
        ),
        Right(
            (100, 30, 40), 0.2, 45.6679491, -2950.78886, 1570.33810, "optical", "", HALPHA, None,
            "erg/s/cm2/A", "6500 can be Angstrom alone.",
            rest_unit="m", given={"rest_wavelength": HALPHA}, told=("CUNIT3",),
        ),
    ),
    # --------------------------------------------------------------------------------- Greisen et al. (2006) and units
    "VOPT-F2W": (
        header(
            sky(**FK5), spectral("VOPT-F2W", 63, 32.0, 9120.002206, -21.886463, "km/s"), JY,
            {"RESTFRQ": HI, "SPECSYS": "BARYCENT"},
        ),
        Right(
            (63, 30, 40), 2.0, 21.8865720, 8443.00877, 9799.97602, "optical", "BARYCENT", HI, None, "Jy/beam",
            "Section 10.1 with its erratum, description Z.", flipped=("velocity",),
        ),
    ),
    "VELO-F2V": (
        header(
            sky(**FK5), spectral("VELO-F2V", 63, 32.0, 8.98134229811e6, -2.1221247e4, "m/s"), JY,
            {"RESTFRQ": HI, "SPECSYS": "BARYCENT"},
        ),
        Right(
            (63, 30, 40), 2.0, 21.2212439, 8324.16289, 9639.88002, "relativistic", "BARYCENT", HI, None, "Jy/beam",
            "Description V: the apparent radial velocity.", flipped=("velocity",),
        ),
    ),
    "WAVE-F2W": (
        header(
            sky(**FK5), spectral("WAVE-F2W", 63, 32.0, 0.217481841062, -1.5408599e-5, "m"), JY,
            {"RESTFRQ": HI, "SPECSYS": "BARYCENT"},
        ),
        Right(
            (63, 30, 40), 2.0, 21.8865717, 8443.00657, 9799.97380, "optical", "BARYCENT", 299792458.0 / HI, None,
            "Jy/beam", "Description W; RESTFRQ tells the rest wavelength.", rest_unit="m", flipped=("velocity",),
        ),
    ),
    "grism": (
        header(
            sky(ctype="TAN", cell=0.1),
            spectral("WAVE-GRI", 100, 50.0, 1.3, 0.001, "um",
                     PV3_0=45e3, PV3_1=1.0, PV3_2=27.0, PV3_3=1.765, PV3_4=-1.077e6),
            {"BUNIT": "Jy"},
        ),
        Right(
            (100, 30, 40), 0.1, 228.2591477, -13888.64131, 8709.37159, "optical", "", HALPHA * 2.0, None, "Jy",
            "A grism in vacuum (section 5): wcslib knows it.", rest_unit="m", given={"rest_wavelength": HALPHA * 2.0},
        ),
    ),
    "ZOPT": (
        header(sky(**FK5), spectral("ZOPT", 50, 25.0, 0.02, 2e-5), JY, {"SPECSYS": "BARYCENT"}),
        Right(
            (50, 30, 40), 2.0, 5.9958492, 5851.94878, 6145.74539, "optical", "BARYCENT", None, None, "Jy/beam",
            "Redshifts: v = c z.",
        ),
    ),
    "BETA": (
        header(sky(**FK5), spectral("BETA", 50, 25.0, 0.02, 2e-5), JY, {"SPECSYS": "BARYCENT"}),
        Right(
            (50, 30, 40), 2.0, 5.9958492, 5851.94878, 6145.74539, "relativistic", "BARYCENT", None, None, "Jy/beam",
            "v / c.",
        ),
    ),
    "GHz as it should be": (
        header(
            sky(CUNIT1="DEGREES", **FK5), spectral("FREQ", 30, 1.0, 114.5, 0.005, "GHZ"), {"BUNIT": "mJy beam-1"},
            {"RESTFRQ": 1.152712018e11, "VELREF": 257},
        ),
        Right(
            (30, 30, 40), 2.0, 13.0037882, 1628.59911, 2005.70897, "radio", "LSRK", 1.152712018e11, None, "mJy/beam",
            "Units in capitals; the frame from VELREF alone.", flipped=("velocity",),
        ),
    ),
    "rest frequency in GHz": (
        header(
            sky(**FK5), spectral("FREQ", 30, 1.0, 1.145e11, 5e6, "Hz"), JY, {"RESTFRQ": 115.2712018, "VELREF": 257},
        ),
        Right(
            (30, 30, 40), 2.0, 13.0037882, 1628.59911, 2005.70897, "radio", "LSRK", 1.152712018e11, None, "Jy/beam",
            "RESTFRQ is in Hz by the standard, and 115 Hz it cannot be.", flipped=("velocity",), told=("RESTFRQ",),
        ),
    ),
    "Hz that are MHz": (
        header(sky(**FK5), spectral("FREQ", 30, 1.0, 1415.0, 0.05, "Hz"), JY, {"RESTFRQ": HI, "VELREF": 258}),
        Right(
            (30, 30, 40), 2.0, 10.5530570, 834.90553, 1140.94418, "radio", "BARYCENT", HI, None, "Jy/beam",
            "1415 Hz is not near a line at 1420 MHz.", flipped=("velocity",), told=("CUNIT3",),
        ),
    ),
    "m/s that are km/s": (
        header(sky(**FK5), spectral("VRAD", 20, 1.0, 1500.0, 10.0, "m/s"), JY),
        Right(
            (20, 30, 40), 2.0, 10.0, 1500.0, 1690.0, "radio", "", None, None, "Jy/beam",
            "Channels of 10 m/s at 1.5 km/s: km/s.", told=("km/s",),
        ),
    ),
    "km/s that are m/s": (
        header(sky(**FK5), spectral("VRAD", 40, 1.0, 1.5e6, 1.0e4, "km/s"), JY),
        Right(
            (40, 30, 40), 2.0, 10.0, 1500.0, 1890.0, "radio", "", None, None, "Jy/beam",
            "1.5 million km/s is faster than light.", told=("m/s",),
        ),
    ),
    "beam in arcsec": (
        header(sky(**FK5), spectral("VRAD", 20, 1.0, 1.0e6, 2.0e4, "m/s"), JY, {"BMAJ": 6.0, "BMIN": 5.0, "BPA": 30.0}),
        Right(
            (20, 30, 40), 2.0, 20.0, 1000.0, 1380.0, "radio", "", None, (6.0, 5.0, 30.0), "Jy/beam",
            "6 degrees in a field of 80 arcsec: arcsec.", told=("arcsec",),
        ),
    ),
    "GHz that are Hz": (
        header(sky(**FK5), spectral("FREQ", 32, 1.0, 1.41e9, 5e4, "GHz"), JY, {"RESTFRQ": HI, "VELREF": 257}),
        Right(
            (32, 30, 40), 2.0, 10.5530570, 1869.10512, 2196.24988, "radio", "LSRK", HI, None, "Jy/beam",
            "1.41e9 GHz are X-rays, and the rest value is that of HI: the unit of the axis is wrong, not RESTFRQ.",
            flipped=("velocity",), told=("CUNIT3",),
        ),
    ),
    "GHz that are MHz": (
        header(sky(**FK5), spectral("FREQ", 32, 1.0, 1410.0, 0.05, "GHz"), JY, {"RESTFRQ": HI, "VELREF": 257}),
        Right(
            (32, 30, 40), 2.0, 10.5530570, 1869.10512, 2196.24988, "radio", "LSRK", HI, None, "Jy/beam",
            "Wrong by 1000 to the other side.", flipped=("velocity",), told=("CUNIT3",),
        ),
    ),
    "axis and rest value both in MHz": (
        header(sky(**FK5), spectral("FREQ", 30, 1.0, 1415.0, 0.05, "Hz"), JY, {"RESTFRQ": HI / 1e6, "VELREF": 258}),
        Right(
            (30, 30, 40), 2.0, 10.5530570, 834.90553, 1140.94418, "radio", "BARYCENT", HI, None, "Jy/beam",
            "They agree with each other and with no line; times 1e6 the rest value is that of HI.",
            flipped=("velocity",), told=("CUNIT3", "RESTFRQ"),
        ),
    ),
    "Angstrom that are m": (
        header(sky(**FK5), spectral("WAVE", 32, 1.0, 6.6e-7, 1e-10, "Angstrom"), {"BUNIT": "Jy"}),
        Right(
            (32, 30, 40), 2.0, 45.6679491, 1616.00605, 3031.71247, "optical", "", HALPHA, None, "Jy",
            "The unit was changed, the numbers were not.",
            rest_unit="m", given={"rest_wavelength": HALPHA}, told=("CUNIT3",),
        ),
    ),
    "m that are Angstrom, RESTWAV too": (
        header(sky(**FK5), spectral("WAVE", 32, 1.0, 6600.0, 1.0, "m"), {"BUNIT": "Jy", "RESTWAV": 6564.608}),
        Right(
            (32, 30, 40), 2.0, 45.6679907, 1616.28006, 3031.98778, "optical", "", 6564.608e-10, None, "Jy",
            "Both in Angstrom: RESTWAV is Halpha then, and no line else.",
            rest_unit="m", told=("CUNIT3", "RESTWAV"),
        ),
    ),
    "nm that are um": (
        header(sky(**FK5), spectral("WAVE", 32, 1.0, 2.2, 2e-4, "nm"), {"BUNIT": "Jy"}),
        Right(
            (32, 30, 40), 2.0, 27.6801339, 4689.01468, 5547.09883, "optical", "", 2.16612e-6, None, "Jy",
            "Brackett gamma is not in soft X-rays.",
            rest_unit="m", given={"rest_wavelength": 2.16612e-6}, told=("CUNIT3",),
        ),
    ),
    "[CII] in GHz": (
        header(
            sky(cell=6.0, ctype="TAN", **FK5), spectral("VRAD", 20, 1.0, 1.0e5, 2.5e4, "m/s"), {"BUNIT": "K (Tmb)"},
            {"RESTFRQ": 1900.5369, "SPECSYS": "LSR"},
        ),
        Right(
            (20, 30, 40), 6.0, 25.0, 100.0, 575.0, "radio", "LSRK", 1.9005369e12, None, "K (Tmb)",
            "1900.5 MHz is no line, 1900.5 GHz is [CII]. LSR is LSRK, as everywhere.", told=("RESTFRQ",),
        ),
    ),
    "rest wavelength in Angstrom beside velocities": (
        header(
            sky(ctype="TAN", cell=0.2), spectral("VOPT", 20, 1.0, 1.0e6, 2.5e4, "m/s"),
            {"BUNIT": "Jy", "RESTWAV": 6564.608, "SPECSYS": "heliocentric"},
        ),
        Right(
            (20, 30, 40), 0.2, 25.0, 1000.0, 1475.0, "optical", "HELIOCEN", 299792458.0 / 6564.608e-10, None, "Jy",
            "Metres it cannot be. HELIOCEN is the standard's word (Greisen et al. 2006, table 12).",
            told=("RESTWAV",),
        ),
    ),
    "ALMA, a disc at the finest resolution": (
        header(
            sky(cell=0.03, RADESYS="ICRS"), plane(4), beam(0.15, 0.12, 30.0), JY,
            spectral("VRAD", 100, 1.0, 4200.0, 13.2, "m/s"),
            {"RESTFRQ": 345.7959899e9, "SPECSYS": "LSRK", "VELREF": 257, "ALTRVAL": 3.457911454e11, "ALTRPIX": 1.0},
        ),
        Right(
            (100, 30, 40), 0.03, 0.0132, 4.2, 5.5068, "radio", "LSRK", 345.7959899e9, (0.15, 0.12, 30.0), "Jy/beam",
            "Channels of 13 m/s are 15 kHz, which ALMA has; ALTRVAL = f0 (1 - 4.2 km/s / c) says that it is no slip.",
        ),
    ),
    "a beam in arcsec in a wide field": (
        header(
            sky(nx=9600, ny=9600, cell=1.5, **FK5), spectral("VRAD", 20, 1.0, 1.0e6, 2.0e4, "m/s"), JY,
            {"BMAJ": 6.0, "BMIN": 5.0, "BPA": 30.0},
        ),
        Right(
            (20, 9600, 9600), 1.5, 20.0, 1000.0, 1380.0, "radio", "", None, (6.0, 5.0, 30.0), "Jy/beam",
            "6 degrees are 14400 pixels.", told=("arcsec",),
        ),
    ),
    "SITELLE, with the distortion of its optics": (
        header(
            sky(ctype="TAN-SIP", cell=0.32, **NO_CD), cd(0.32), spectral("WAVN", 400, 1.0, 14800.0, 1.5, "cm-1"),
            {"A_ORDER": 2, "A_2_0": 1e-3, "A_1_1": 0.0, "B_ORDER": 2, "B_0_2": -2e-6, "BUNIT": "erg/cm2/s/A"},
            {"CDELT3": None, "CD3_3": 1.5},
        ),
        Right(
            (400, 30, 40), 0.32, 30.0582361, -3218.44691, 8774.76564, "optical", "", 299792458.0 / HALPHA, None,
            "erg/cm2/s/A",
            "ORCS fits SIP. At the left edge, 20 pixels from CRPIX, A is 1e-3 x 20^2 = 0.4 pixels: said, not refused.",
            flipped=("velocity",), given={"rest_wavelength": HALPHA, "convention": "optical"}, told=("0.4 pixels",),
        ),
    ),
    "PC as steps, no CDELT": (
        header(
            sky(ctype="TAN", PC1_1=-2.0 / 3600.0, PC1_2=0.0, PC2_1=0.0, PC2_2=2.0 / 3600.0, **NO_CD, **FK5), JY,
            spectral("VRAD", 20, 1.0, 1.0e6, 2.0e4, "m/s", PC3_3=1.0),
        ),
        Right(
            (20, 30, 40), 2.0, 20.0, 1000.0, 1380.0, "radio", "", None, None, "Jy/beam",
            "CDELT is 1 by default (Greisen & Calabretta 2002, section 2.1.2).",
        ),
    ),
    "JCMT ACSIS": (
        header(
            sky(ctype="TAN", cell=7.27, **FK5), spectral("VRAD", 64, 32.0, 12.0, 0.42, "km s^-1"), {"BUNIT": "K"},
            {"RESTFRQ": 3.4579599e11, "SPECSYS": "LSRK", "SSYSOBS": "TOPOCENT", "VELOSYS": 1200.0, "ZSOURCE": 0.0},
        ),
        Right(
            (64, 30, 40), 7.27, 0.42, -1.02, 25.44, "radio", "LSRK", 3.4579599e11, None, "K",
            "ndf2fits: SSYSOBS tells where the telescope was, not what velocities count from.",
        ),
    ),
    "OSIRIS": (
        header(
            spectral("WAVE", 64, 1.0, 1965.0, 0.25, "nanometers", axis=1, step_key="CDELT1"),
            sky(axes=(3, 2), cell=0.1, ctype="TAN"), {"PC1_1": 1.0, "PC2_2": 1.0, "PC3_3": 1.0, "PC2_3": 0.0},
            {"BUNIT": "beam-1 mJy"},
        ),
        Right(
            (64, 30, 40), 0.1, 39.9593276, 14287.85719, 16805.29483, "optical", "", 1.87561e-6, None, "mJy/beam",
            "Wavelength first, then Dec, RA; units written out. BUNIT as astropy writes it.",
            rest_unit="m", given={"rest_wavelength": 1.87561e-6},
        ),
    ),
    # ------------------------------------------------------------------------------------------------- what is no cube
    "tabulated wavelengths": (
        header(sky(), spectral("WAVE-TAB", 100, 1.0, 1.0, 1.0, "um", PS3_0="WCS-TABLE", PS3_1="WAVELENGTH")),
        Refused(("CTYPE3",), "The table is another HDU's.", "TAB"),
    ),
    "CASA moment map": (
        header(
            sky(**FK5), plane(3), spectral("FREQ", 1, 1.0, 1.415e9, 1e5, "Hz", axis=4, step_key="CDELT4"),
            {"BUNIT": "Jy/beam.km/s", "RESTFRQ": HI, "SPECSYS": "LSRK", "VELREF": 257}, beam(6.0, 5.0, 0.0),
        ),
        Refused(("BUNIT", "NAXIS4"), "CASA keeps the axes of the cube, one long; the unit tells a moment.", "moment"),
    ),
    "two-axis moment map": (
        header(sky(**FK5), {"BUNIT": "JY/B*M/S", "BTYPE": "MOMENT0"}),
        Refused(("NAXIS",), "Two sky axes.", "map|image"),
    ),
    "position-velocity diagram": (
        header(
            {"NAXIS1": 80, "CTYPE1": "OFFSET", "CRVAL1": 0.0, "CDELT1": 2.0, "CRPIX1": 40.0, "CUNIT1": "arcsec"},
            {"NAXIS2": 50, "CTYPE2": "VRAD", "CRVAL2": 1e6, "CDELT2": 1e4, "CRPIX2": 1.0, "CUNIT2": "m/s"},
        ),
        Refused(("NAXIS",), "pvextractor's and impv's.", "position-velocity|PV"),
    ),
    "position-velocity diagram with Stokes": (
        header(
            {"NAXIS1": 80, "CTYPE1": "OFFSET", "CRVAL1": 0.0, "CDELT1": 2.0, "CRPIX1": 40.0, "CUNIT1": "arcsec"},
            {"NAXIS2": 50, "CTYPE2": "FREQ", "CRVAL2": 1.415e9, "CDELT2": 1e5, "CRPIX2": 1.0, "CUNIT2": "Hz"},
            plane(3), {"RESTFRQ": HI},
        ),
        Refused(("CTYPE1",), "CASA's impv keeps the Stokes axis: three axes, and no sky.", "position-velocity|PV"),
    ),
    "oblong pixels": (
        header(sky(ctype="TAN", cell=0.125, CDELT2=0.25 / 3600.0), spectral("VRAD", 20, 1.0, 1e6, 2e4, "m/s")),
        Refused(("CDELT1", "CDELT2"), "SINFONI's raw slices, 0.125 x 0.25 arcsec.", "resample"),
    ),
    "turned by 30 degrees": (
        header(sky(CROTA2=30.0), spectral("VRAD", 20, 1.0, 1e6, 2e4, "m/s")),
        Refused(("CROTA2",), "AIPS's way to say it.", "30.*resample"),
    ),
    "KCWI": (
        header(
            sky(ctype="TAN", **NO_CD), spectral("AWAV", 100, 1.0, 4800.0, 0.5, "Angstrom", step_key="CD3_3"),
            {"CD1_1": -8.1e-5, "CD2_1": 0.0, "CD1_2": 0.0, "CD2_2": 1.9e-4},
        ),
        Refused(("CD1_1", "CD2_2", "CDELT1", "CDELT2"), "Slices of 0.69 arcsec in pixels of 0.29.", "resample",
                given={"rest_wavelength": HALPHA}),
    ),
    "TPV without its polynomial": (
        header(sky(ctype="TPV"), spectral("VRAD", 20, 1.0, 1e6, 2e4, "m/s")),
        Refused(("CTYPE1",), "wcslib gives up with an error of its own.", "astropy.wcs"),
    ),
}  # fmt: skip

READ = [name for name, (_, row) in HEADERS.items() if isinstance(row, Right)]
REFUSED = [name for name, (_, row) in HEADERS.items() if isinstance(row, Refused)]


@pytest.mark.parametrize("name", READ)
def test_header(name):
    head, row = HEADERS[name]
    before = head.tostring()
    compare(read_header(head, **row.given), row)
    assert head.tostring() == before


@pytest.mark.parametrize("name", [name for name in READ if HEADERS[name][1].without])
def test_header_without_a_rest_value(name):
    head, row = HEADERS[name]
    with pytest.raises(HeaderError) as caught:
        read_header(head)
    assert caught.value.key == row.without


@pytest.mark.parametrize("name", REFUSED)
def test_header_that_is_refused(name):
    head, row = HEADERS[name]
    with pytest.raises(HeaderError) as caught:
        read_header(head, **row.given)
    compare_error(caught.value, row)


def test_casa_beams(tmp_path):
    """ALMA since CASA 4.2: CASAMBM = T, no BMAJ, and a table with a beam per channel and polarisation."""
    channels = 6
    head = header(
        sky(12, 10, 0.5, **FK5),
        spectral("FREQ", channels, 1.0, 3.45e11, 1.0e7, "Hz"),
        plane(4),
        JY,
        {"RESTFRQ": 3.457959899e11, "SPECSYS": "LSRK", "VELREF": 257, "CASAMBM": True},
    )
    data = np.random.default_rng(1).normal(size=(1, channels, 10, 12)).astype(np.float32)
    bmaj = np.linspace(2.0, 1.9, channels)
    columns = [
        fits.Column("BMAJ", "1E", "arcsec", array=bmaj),
        fits.Column("BMIN", "1E", "arcsec", array=0.75 * bmaj),
        fits.Column("BPA", "1E", "deg", array=np.full(channels, -20.0)),
        fits.Column("CHAN", "1J", array=np.arange(channels)),
        fits.Column("POL", "1J", array=np.zeros(channels, int)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="BEAMS")
    table.header["NCHAN"], table.header["NPOL"] = channels, 1
    fits.HDUList([fits.PrimaryHDU(data, head), table]).writeto(tmp_path / "cube.fits")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = describe(tmp_path / "cube.fits")
    assert said["shape"] == [channels, 10, 12]
    assert said["beam"]["bpa_deg"] == pytest.approx(-20.0)
    assert 1.9 - 1e-6 <= said["beam"]["bmaj_arcsec"] <= 2.0 + 1e-6
    assert said["beams_per_channel"]["n"] == channels
    assert said["beams_per_channel"]["bmaj_arcsec"] == pytest.approx([1.9, 2.0], rel=1e-6)
    first = C * (1.0 - (3.45e11 + 5.0e7) / 3.457959899e11)
    assert said["v_min_kms"] == pytest.approx(first, abs=1e-3)


@pytest.mark.parametrize(
    ("key", "texts"),
    {
        "km/s": ("KM/S", "km s-1", "km.s-1", "km s^-1", "KM S-1", "km/sec", "kilometers/s", "Kilometre/second"),
        "m/s": ("M/S", "m s**-1", "m.s-1", "METER/SEC", "metres/s", "meters/sec"),
        "nm": ("nm", "NM", "nanometers", "NANOMETER", "nanometres"),
        "um": ("um", "MICRON", "microns", "micrometers", "MICROMETER"),
        "Angstrom": ("A", "AA", "ANGSTROM", "Angstroms", "angstroem", "0.1 nm", "10**-10 m"),
        "GHz": ("GHZ", "Ghz", "gigahertz"),
    }.items(),
)
def test_spellings_of_units(key, texts):
    for text in texts:
        assert parse_unit("CUNIT3", text).to(u.Unit(key)) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    ["JY/BEAM", "Jy beam^-1", "Jy.beam-1", "Jy*beam-1", "beam-1 Jy", "beam**-1 Jy", "Jy/(beam)", "Jy per beam"],
)
def test_spellings_of_jansky_per_beam(text):
    assert data_unit(text) == "Jy/beam"
    assert data_unit(text.replace("J", "micro J".replace(" ", ""))) == "uJy/beam"
    assert data_unit("MJy/beam") == "MJy/beam"  # not milli


@pytest.mark.parametrize(
    ("text", "frame"),
    {"TOPO": "TOPOCENT", "lsr": "LSRK", "LSRD": "LSRD", "Barycentric": "BARYCENT", "HELIO": "HELIOCEN"}.items(),
)
def test_words_for_frames(text, frame):
    head = header(sky(), spectral("VRAD", 20, 1.0, 1e6, 2e4, "m/s"), JY, {"SPECSYS": text})
    assert read_header(head).spectral.frame == frame


def test_small_distortions_are_said_and_not_warned_of():
    head = header(sky(ctype="TAN-SIP", A_ORDER=2, A_2_0=1e-6), spectral("VRAD", 20, 1.0, 1e6, 2e4, "m/s"), JY)
    notes = dict(read_header(head).notes)
    assert [alarm for text, alarm in notes.items() if "SIP" in text] == [False]
    assert "A_ORDER" not in read_header(head).header  # astropy would apply it to the axes without -SIP


def test_columns_of_beams_without_a_unit(tmp_path):
    """In arcsec and degrees, as CASA's."""
    head = header(sky(12, 10, 0.5), spectral("VRAD", 3, 1.0, 1e6, 2e4, "m/s"), JY, {"CASAMBM": True})
    columns = [
        fits.Column(name, "1D", array=np.array(values))
        for name, values in {"BMAJ": [2.0, 1.9, 1.8], "BMIN": [1.5, 1.4, 1.3], "BPA": [-20.0] * 3}.items()
    ]
    data = np.random.default_rng(1).normal(size=(3, 10, 12))
    table = fits.BinTableHDU.from_columns(columns, name="BEAMS")
    fits.HDUList([fits.PrimaryHDU(data, head), table]).writeto(tmp_path / "cube.fits")
    assert [beam.bmaj for beam in read_cube(tmp_path / "cube.fits").beam.beams] == pytest.approx([2.0, 1.9, 1.8])


def test_paths_that_are_none():
    with pytest.raises(InputTypeError, match="path"):
        read_cube(None)


def test_a_header_that_asks_for_more_than_a_file_can_be(tmp_path):
    head = header(sky(40000, 40000), spectral("VRAD", 2000000, 1.0, 1e6, 2e4, "m/s"), JY)
    (tmp_path / "cube.fits").write_bytes(head.tostring().encode())
    with pytest.raises(FileError, match="truncated"):
        read_cube(tmp_path / "cube.fits")
