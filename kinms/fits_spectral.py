"""Spectral axes: what a CTYPE means, and velocities from frequencies and wavelengths.

All conventions are functions of the ratio r = f / f_rest alone (Greisen et al. 2006, A&A 446, 747, table 1):
radio v = c (1 - r), optical v = c (1/r - 1), relativistic v = c (1 - r^2) / (1 + r^2).
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.constants import c as SPEED_OF_LIGHT

from kinms.errors import HeaderError, InputError
from kinms.fits_cards import Cards, Notes, parse_unit
from kinms.fits_rest import SI_UNIT, RestValue, Wanted, find_rest, missing_rest
from kinms.grid import FWHM_PER_SIGMA
from kinms.records import FloatArray, check_array

if TYPE_CHECKING:
    import astropy.units
    from astropy.io import fits

__all__ = [
    "CONVENTIONS",
    "SPEED_OF_LIGHT",
    "SpectralCards",
    "air_to_vacuum",
    "frequency_ratio",
    "response",
    "spectral_kind",
    "tame_spectral",
    "velocity",
]

CONVENTIONS = ("radio", "optical", "relativistic")

#: CTYPE names by their beginning, longest first; other names are told by their unit.
_PREFIXES = (
    ("WAVELEN", "LAMBDA"),
    ("LAMBDA", "LAMBDA"),
    ("VEL", "VELO"),
    *((name, "VELO") for name in ("VLSR", "VHEL", "VBARY", "VTOPO")),
    *((kind, kind) for kind in SI_UNIT if kind not in ("LAMBDA", "VELO")),
)
_BY_PHYSICAL_TYPE = {"frequency": "FREQ", "speed": "VELO", "velocity": "VELO", "length": "LAMBDA", "energy": "ENER"}
_FRAMES = {
    "LSR": "LSRK",
    "LSRK": "LSRK",
    "LSD": "LSRD",
    "LSRD": "LSRD",
    "HEL": "BARYCENT",
    "BAR": "BARYCENT",
    "OBS": "TOPOCENT",
    "TOP": "TOPOCENT",
    "GEO": "GEOCENTR",
    "SOU": "SOURCE",
    "GAL": "GALACTOC",
}
#: AIPS VELREF: 1 LSR, 2 barycentric, 3 topocentric ...; + 256 for the radio convention.
VELREF_FRAMES = ("LSRK", "BARYCENT", "TOPOCENT", "LSRD", "GEOCENTR", "SOURCE", "GALACTOC")
#: SPECSYS by how words for it begin: LSR, Heliocentric, TOPO ... (Greisen et al. 2006, table 12).
_SYSTEMS = {
    "TOPO": "TOPOCENT",
    "GEO": "GEOCENTR",
    "BARY": "BARYCENT",
    "HELIO": "HELIOCEN",
    "LSRD": "LSRD",
    "LSR": "LSRK",
    "GALACTO": "GALACTOC",
    "LOCALGR": "LOCALGRP",
    "CMBDIP": "CMBDIPOL",
}
_SUFFIX = re.compile(rf"([OR]?)({'|'.join(sorted(_FRAMES, key=len, reverse=True))})")
_ALGORITHM = re.compile(r"[FWVA]2[FWVA]|LOG|GRI|GRA")


def velocity(ratio: FloatArray, convention: str) -> FloatArray:
    """Velocity in km/s from the ratio of observed to rest frequency.

    Examples
    --------
    >>> round(float(velocity(0.99, "radio")), 3), round(float(velocity(0.99, "optical")), 3)
    (2997.925, 3028.207)
    """
    if convention == "radio":
        v = 1.0 - ratio
    elif convention == "optical":
        v = 1.0 / ratio - 1.0
    else:
        v = (1.0 - ratio**2) / (1.0 + ratio**2)
    return np.asarray(v * SPEED_OF_LIGHT / 1000.0)


def frequency_ratio(v: FloatArray, convention: str) -> FloatArray:
    """Ratio of observed to rest frequency from a velocity in km/s; the inverse of `velocity`."""
    beta = np.asarray(v) * 1000.0 / SPEED_OF_LIGHT
    if convention == "radio":
        return 1.0 - beta
    if convention == "optical":
        return 1.0 / (1.0 + beta)
    return np.sqrt((1.0 - beta) / (1.0 + beta))


def response(velocities: FloatArray, convention: str, rest_frequency: float | None, lsf: Any) -> FloatArray:
    """Return 1 sigma (km/s) of a spectrograph's response at velocities, from its FWHM at some wavelengths.

    Parameters
    ----------
    velocities : ndarray, shape (nv,)
        km/s.
    convention : str
        Theirs.
    rest_frequency : float or None
        Hz.
    lsf : array_like, shape (n, 2)
        Wavelengths, ascending, and the FWHM there, both in Angstrom; linear between, and held beyond the ends.

    Raises
    ------
    InputError
        If wavelengths do not ascend, something is not positive, or no rest value tells the wavelengths of the channels.

    Examples
    --------
    At 6000 Angstrom 2.5 are 125 km/s:

    >>> rest = SPEED_OF_LIGHT / 6000e-10
    >>> round(2.3548 * float(response(np.zeros(1), "optical", rest, [(5000, 2.6), (7000, 2.4)])[0]), 1)
    124.9
    """
    table = check_array("lsf", lsf, shape=(-1, 2))
    if not len(table) or np.any(table <= 0.0) or np.any(np.diff(table[:, 0]) <= 0.0):
        raise InputError("lsf", table.tolist(), "pairs of wavelength, ascending, and FWHM, in Angstrom")
    if rest_frequency is None:
        raise InputError("lsf", "given", "a cube with a rest value, which tells its wavelengths", "Give line.")
    wavelength = SPEED_OF_LIGHT / (rest_frequency * frequency_ratio(velocities, convention))
    fwhm = np.interp(1e10 * wavelength, *table.T) * 1e-10
    ends = (velocity(SPEED_OF_LIGHT / (wavelength + side * fwhm) / rest_frequency, convention) for side in (0.5, -0.5))
    return np.asarray((next(ends) - next(ends)) / FWHM_PER_SIGMA)


def air_to_vacuum(wavelength: FloatArray) -> FloatArray:
    """Wavelength in vacuum from that in standard air, both in m (Ciddor 1996, Appl. Opt. 35, 1566, eq. 1).

    Line lists in air refer to 15 C, as this formula does. The one of Greisen et al. (2006, eq. 65), which wcslib
    has, refers to 0 C and would shift every velocity by 5 km/s.

    Examples
    --------
    >>> round(float(air_to_vacuum(5006.843e-10)) * 1e10, 2)
    5008.24
    """
    air = np.asarray(wavelength)
    vacuum = air
    for _ in range(2):  # the index is a function of the vacuum wavelength; it varies slowly
        square = (1e-6 / vacuum) ** 2  # 1 / micron^2
        vacuum = air * (1.0 + 0.05792105 / (238.0185 - square) + 0.00167917 / (57.362 - square))
    return np.asarray(vacuum)


def spectral_kind(cards: Cards, axis: int) -> tuple[str, str] | None:
    """Return (kind, what follows the name) of an axis, None if it is not a spectral one."""
    ctype = cards.text(f"CTYPE{axis}").upper()
    name, _, rest = ctype.partition("-")
    for prefix, kind in _PREFIXES:
        if name.startswith(prefix):
            return kind, rest.strip("- ")
    text = cards.text(f"CUNIT{axis}") or _unit_of_iraf(cards, axis)
    if name in ("", "LINEAR", "SPECTRAL", "DOPPLER") and text:
        try:
            unit = parse_unit(f"CUNIT{axis}", text)
        except HeaderError:
            return None
        for physical_type in unit.physical_type if unit is not None else ():
            if physical_type in _BY_PHYSICAL_TYPE:
                return _BY_PHYSICAL_TYPE[physical_type], rest.strip("- ")
    return None


@dataclasses.dataclass
class SpectralCards:
    """The spectral axis in the standard's terms, SI units.

    Parameters
    ----------
    ctype : str
        Standard CTYPE, such as ``FREQ``, ``VRAD``, ``VOPT-F2W``.
    crval, cdelt : float
        At the reference pixel, in the SI unit of the type.
    cunit : str
        That unit.
    convention : str
        How the file means its velocities, or how its frequencies are to become velocities.
    frame : str
        SPECSYS; empty if unknown.
    rest : RestValue
        Rest frequency, or the equivalent of the rest wavelength in vacuum.
    """

    ctype: str
    crval: float
    cdelt: float
    cunit: str
    convention: str
    frame: str
    rest: RestValue

    @property
    def rest_frequency(self) -> float | None:
        """Hz, that velocities count from."""
        return self.rest.frequency

    @property
    def is_wavelength(self) -> bool:
        """Whether the rest value is quoted as a wavelength."""
        return self.ctype[:4] in ("WAVE", "AWAV")

    def write(self, header: fits.Header, axis: int) -> None:
        """Put the cards into a header."""
        header[f"CTYPE{axis}"] = self.ctype
        header[f"CUNIT{axis}"] = self.cunit
        header[f"CRVAL{axis}"] = self.crval
        header[f"CDELT{axis}"] = self.cdelt
        if self.frame:
            header["SPECSYS"] = self.frame
        if self.rest_frequency is not None and self.is_wavelength:
            header["RESTWAV"] = SPEED_OF_LIGHT / self.rest_frequency
        elif self.rest_frequency is not None:
            header["RESTFRQ"] = self.rest_frequency
        if self.ctype in ("FREQ", "VRAD", "VOPT") and self.convention != "relativistic":
            code = VELREF_FRAMES.index(self.frame) + 1 if self.frame in VELREF_FRAMES else 0
            header["VELREF"] = code + (256 if self.convention == "radio" else 0)


def tame_spectral(
    cards: Cards,
    axis: int,
    length: int,
    step: float,
    notes: Notes,
    *,
    wanted: Wanted,
    convention: str | None,
    unit_expected: bool,
) -> SpectralCards:
    """Return what the spectral axis means.

    Parameters
    ----------
    cards : Cards
        Of the cube.
    axis, length : int
        FITS number of the axis and its number of channels.
    step : float
        CDELT or CD, in the axis's own unit.
    notes : Notes
        Takes what was assumed.
    wanted : Wanted
        What the user says of the line; comes before the header's rest value.
    convention : str or None
        Given by the user.
    unit_expected : bool
        Whether the header gives units to its other axes, so that a missing one is an oversight.
    """
    found = spectral_kind(cards, axis)
    if found is None:
        raise HeaderError(f"CTYPE{axis}", f"{cards.text(f'CTYPE{axis}')!r} is not a spectral axis.")
    kind, suffix = found
    algorithm = suffix if _ALGORITHM.fullmatch(suffix) else ""
    legacy = _SUFFIX.fullmatch(suffix)
    if suffix == "TAB":
        raise HeaderError(f"CTYPE{axis}", "tabulated axes (-TAB) are not read.", "Resample to a regular axis.")
    if suffix and not algorithm and legacy is None:
        notes.say(f"{cards.text(f'CTYPE{axis}')}: {suffix!r} is not understood and ignored")
    value = _required(cards, f"CRVAL{axis}")
    if step == 0:
        raise HeaderError(f"CDELT{axis}", "is 0: all channels lie on each other.", "Correct the card.")
    if cards.number("DC-FLAG") == 1 and algorithm != "LOG":
        value, step = _powers_of_ten(cards, axis, kind, value, step, notes)
        algorithm = "LOG"
    value, step, kind = _to_si(cards, axis, kind, value, step, length, unit_expected, notes)
    rest = find_rest(cards, kind, value, wanted, notes)
    declared = None
    if legacy is not None and kind == "FREQ":
        value, step, declared = _gipsy_frequency(cards, axis, value, step, legacy[1], rest.own, notes)
    frame = _frame(cards, legacy, notes)
    declared = declared or _declared(cards, kind, algorithm, legacy, convention, notes)
    if kind == "FELO":
        kind, algorithm = "VOPT", "F2W"
    elif kind == "VELO":
        kind = {"radio": "VRAD", "optical": "VOPT", "relativistic": "VELO"}[declared]
    if rest.frequency is None and (SI_UNIT[kind] in ("Hz", "m", "1/m", "J") or "2" in algorithm):
        raise missing_rest(kind)
    if SI_UNIT[kind] in ("Hz", "m") and rest.frequency is not None:
        is_wave = SI_UNIT[kind] == "m"
        at = SPEED_OF_LIGHT / rest.frequency if is_wave else rest.frequency
        value, step = _plausible(cards, axis, value, step, at, (_WAVES if is_wave else _HERTZ), notes)
    if rest.redshift is not None and SI_UNIT[kind] in ("m/s", ""):
        value, step = _from_redshift(axis, kind, algorithm, value, step, rest)
    if not (math.isfinite(value) and math.isfinite(step)):
        raise HeaderError(f"CRVAL{axis}", f"or its step is impossible in {SI_UNIT[kind] or kind}.", "Correct the card.")
    ctype = f"{kind}-{algorithm}" if algorithm else kind
    return SpectralCards(ctype, value, step, SI_UNIT[kind], declared, frame, rest)


def _powers_of_ten(cards: Cards, axis: int, kind: str, value: float, step: float, notes: Notes) -> tuple[float, float]:
    """IRAF's log-linear wavelengths, 10^(CRVAL + CDELT (p - CRPIX)), in the standard's form, WAVE-LOG.

    The standard has w exp((p - CRPIX) CDELT / w) with w = CRVAL (Greisen et al. 2006, eq. 5): the same, exactly.
    """
    if kind not in ("LAMBDA", "WAVE", "AWAV"):
        raise HeaderError("DC-FLAG", f"is 1 (log-linear wavelengths), and CTYPE{axis} no wavelength.", "Correct it.")
    if not -11.0 < value < 6.0:
        message = f"is 1 (log-linear wavelengths), and CRVAL{axis} = {value:g} is not the logarithm of one."
        raise HeaderError("DC-FLAG", message, "Set it to 0 if the wavelengths are linear.")
    notes.say(f"DC-FLAG = 1: CRVAL{axis} and its step are logarithms to base 10")
    start = 10.0**value
    return start, start * math.log(10.0) * step


def _from_redshift(
    axis: int, kind: str, algorithm: str, value: float, step: float, rest: RestValue
) -> tuple[float, float]:
    """Let velocities count from a redshift instead of from the header's own rest frequency: same frequencies.

    With k = own / new rest frequency radio velocities become c - k (c - v), optical ones (c + v) / k - c. Both are
    linear; for other axes the slope at the reference pixel is all that an axis with an algorithm needs.
    """
    assert rest.frequency is not None
    if rest.own is None or rest.own == rest.frequency:
        return value, step
    k = rest.own / rest.frequency
    unit = 1.0 if SI_UNIT[kind] == "" else SPEED_OF_LIGHT
    if kind == "VRAD":
        return unit - k * (unit - value), k * step
    if kind in ("VOPT", "ZOPT"):
        return (unit + value) / k - unit, step / k
    if not algorithm:
        message = f"is {kind}: relativistic velocities that count from a redshift are not regular."
        raise HeaderError(f"CTYPE{axis}", message, "Give no redshift, or resample to VRAD or VOPT.")
    beta = value / unit
    ratio = k * math.sqrt(max(1.0 - beta, 0.0) / max(1.0 + beta, 1e-300))
    new = (1.0 - ratio**2) / (1.0 + ratio**2)
    return new * unit, step * (1.0 - new**2) / max(1.0 - beta**2, 1e-300)


def _required(cards: Cards, key: str) -> float:
    number = cards.number(key)
    if number is None:
        raise HeaderError(key, "is missing.", "Add it: without it the axis has no scale.")
    return number


def _to_si(
    cards: Cards, axis: int, kind: str, value: float, step: float, length: int, unit_expected: bool, notes: Notes
) -> tuple[float, float, str]:
    """Bring CRVAL and the step to SI, and decide between air and vacuum."""
    import astropy.units as u

    key = f"CUNIT{axis}"
    unit = parse_unit(key, cards.text(key) or _unit_of_iraf(cards, axis))
    ctype = cards.text(f"CTYPE{axis}") or "blank"
    if unit is None:
        if unit_expected and SI_UNIT[kind]:
            fix = "Add it, such as 'm/s', 'km/s', 'Hz' or 'Angstrom'."
            raise HeaderError(key, f"is missing: the unit of the spectral axis ({ctype}) is not known.", fix)
        unit = _guess_unit(kind, key, value, step, notes)
    target = u.Unit(SI_UNIT[kind])
    try:
        factor = unit.to(target)
    except u.UnitConversionError:
        raise HeaderError(key, f"{unit} is not a unit of {ctype}.", f"Set it to one such as {target}.") from None
    si_value, si_step = value * factor, step * factor
    if SI_UNIT[kind] == "m/s" and not _confirmed(cards, axis, si_value, si_step):
        si_value, si_step = _plausible_speed(key, unit.to_string(), si_value, si_step, length, notes)
    if kind == "LAMBDA":
        kind = _medium(cards, axis)
        if not kind:
            kind = "AWAV" if si_value < 1e-6 else "WAVE"
            medium = "air" if kind == "AWAV" else "vacuum"
            notes.warn(f"CTYPE{axis} = {ctype}: wavelengths are taken as in {medium}, as the header does not tell")
    return si_value, si_step, kind


def _unit_of_iraf(cards: Cards, axis: int) -> str:
    """Return the unit that IRAF notes among its attributes, ``units=Angstroms``; empty if there is none."""
    found = re.search(r"units=\s*[\"']?([A-Za-z]+)", cards.text(f"WAT{axis}_001"))
    return found[1] if found is not None else ""


def _medium(cards: Cards, axis: int) -> str:
    """Return AWAV or WAVE where other cards than CTYPE tell air from vacuum, else an empty text."""
    if cards.value("VACUUM") in (True, False):
        return "WAVE" if cards.value("VACUUM") else "AWAV"
    comments = [cards.comment(f"{name}{axis}") for name in ("CTYPE", "CRVAL")]
    said = " ".join((cards.text("AIRORVAC"), cards.text(f"CNAME{axis}"), *comments)).casefold()
    told = [kind for word, kind in (("vac", "WAVE"), ("air", "AWAV")) if re.search(rf"\b{word}", said)]
    return told[0] if len(told) == 1 else ""


def _guess_unit(kind: str, key: str, value: float, step: float, notes: Notes) -> astropy.units.UnitBase:
    import astropy.units as u

    if SI_UNIT[kind] != "m":
        text = SI_UNIT[kind]
        if SI_UNIT[kind] == "m/s" and abs(step) < 50.0:
            text = "km/s"
            notes.warn(f"{key} is missing: read in km/s, as steps of {abs(step):g} m/s would be too fine")
        elif text:
            notes.say(f"{key} is missing: read in {text}, the standard's unit")
        return u.Unit(text)
    for text, low, high in (("m", 1e-8, 1e-1), ("um", 0.1, 50.0), ("nm", 200.0, 1000.0), ("Angstrom", 2000.0, 5e5)):
        if low <= value <= high:
            notes.warn(f"{key} is missing: read in {text}, told from the value {value:g}")
            return u.Unit(text)
    raise HeaderError(key, f"is missing, and {value:g} does not tell it.", "Add it, such as 'Angstrom' or 'um'.")


def _confirmed(cards: Cards, axis: int, value: float, step: float) -> bool:
    """Whether ALTRVAL, the frequency at ALTRPIX, says that these are metres per second: then no unit is wrong."""
    rest, there = cards.positive("RESTFRQ", "RESTFREQ"), cards.positive("ALTRVAL")
    here, pixel = cards.positive("ALTRPIX"), cards.number(f"CRPIX{axis}")
    if rest is None or there is None or here is None or pixel is None:
        return False
    speed, ratio = value + (here[0] - pixel) * step, np.asarray(there[0] / rest[0])
    # A tenth of m/s is what ALTRVAL still has in its digits; read in km/s, speeds would be off by 1000.
    margin = max(0.1, 0.01 * abs(speed))
    with np.errstate(all="ignore"):
        told = [1000.0 * float(velocity(ratio, convention)) for convention in ("radio", "optical")]
    return margin < 0.1 * abs(speed) and any(abs(each - speed) <= margin for each in told)


def _plausible_speed(key: str, unit: str, value: float, step: float, length: int, notes: Notes) -> tuple[float, float]:
    """Repair a unit that is wrong by 1000: nothing in a cube moves faster than light, and no line is that narrow."""
    if abs(step) * length > SPEED_OF_LIGHT:
        notes.warn(f"{key} = {unit} would make {length} channels of {abs(step) / 1000:g} km/s: step read in m/s")
        step /= 1000.0
        if abs(value) > SPEED_OF_LIGHT:
            value /= 1000.0
    elif abs(step) < 15.0:
        notes.warn(f"{key} = {unit} would make channels of {abs(step):g} m/s: read in km/s")
        value, step = value * 1000.0, step * 1000.0
    return value, step


def _gipsy_frequency(
    cards: Cards, axis: int, value: float, step: float, letter: str, line: float | None, notes: Notes
) -> tuple[float, float, str | None]:
    """GIPSY's FREQ-OHEL, FREQ-RLSR ...: topocentric frequencies, and in DRVAL the velocity at the reference pixel.

    The frequency that has this velocity in the named frame replaces CRVAL, and the step grows in proportion
    (Greisen et al. 2006, section 4.2 and their example).
    """
    declared = {"O": "optical", "R": "radio"}.get(letter)
    given = cards.number(f"DRVAL{axis}")
    if declared is None or given is None or line is None or value <= 0:
        return value, step, declared
    unit = parse_unit(f"DUNIT{axis}", cards.text(f"DUNIT{axis}"))
    try:
        speed = given * (1.0 if unit is None else float(unit.to("km/s")))
    except ValueError:  # UnitConversionError is one
        raise HeaderError(f"DUNIT{axis}", f"{unit} is not a unit of velocity.", "Set it to 'KM/S'.") from None
    if not -0.9 < speed * 1000.0 / SPEED_OF_LIGHT < {"optical": 1e3, "radio": 0.999}[declared]:
        raise HeaderError(f"DRVAL{axis}", f"is {speed:.6g} km/s: no {declared} velocity.", "Correct the card.")
    shifted = line * float(frequency_ratio(np.asarray(speed), declared))
    notes.say(f"frequencies are shifted to DRVAL{axis} = {speed:g} km/s ({declared}) at the reference pixel")
    return shifted, step * shifted / value, declared


def _frame(cards: Cards, legacy: re.Match[str] | None, notes: Notes) -> str:
    frame = cards.text("SPECSYS").upper()
    frame = next((system for word, system in _SYSTEMS.items() if frame.startswith(word)), frame)
    if frame and re.fullmatch(r"[A-Z0-9]{1,8}", frame) is None:
        notes.warn(f"SPECSYS = {frame[:20]!r} is not understood and ignored")
        frame = ""
    velref = cards.integer("VELREF") or 0
    if not frame and legacy is not None:
        frame = _FRAMES[legacy[2]]
    if not frame and 1 <= velref % 256 <= len(VELREF_FRAMES):
        frame = VELREF_FRAMES[velref % 256 - 1]
    if not frame:
        notes.say("the frame of the velocities (SPECSYS) is not given")
    if frame == "TOPOCENT":
        notes.say("velocities are topocentric (SPECSYS): not corrected for the motion of the Earth, up to 30 km/s")
    return frame


def _declared(
    cards: Cards, kind: str, algorithm: str, legacy: re.Match[str] | None, chosen: str | None, notes: Notes
) -> str:
    """Convention in which a velocity axis is written, or in which a frequency axis wants to be read."""
    fixed = {"VRAD": "radio", "VOPT": "optical", "FELO": "optical", "ZOPT": "optical", "BETA": "relativistic"}
    if kind in fixed:
        return fixed[kind]
    if kind in ("WAVE", "AWAV"):
        return "optical"
    if kind == "VELO" and algorithm:
        return "relativistic"
    velref = cards.integer("VELREF") or 0
    if velref > 0:
        return "radio" if velref >= 256 else "optical"
    if chosen is not None:
        return chosen
    if kind == "VELO":
        guess, why = "optical" if legacy is not None and legacy[2] == "HEL" else "radio", ""
        ltype = cards.text("LTYPE").casefold()
        if ltype in ("velocity", "felocity"):  # MIRIAD's names of radio and of optical velocities
            guess, why = "radio" if ltype == "velocity" else "optical", " by LTYPE"
        notes.say(f"the header does not declare its velocities' convention: called {guess}{why}, the numbers are kept")
        return guess
    notes.warn("the header does not declare a velocity convention for its frequencies: read as radio")
    return "radio"


#: Factors by which units of an axis are mistaken, which ratios to the line are not suspicious, and which ones the right
#: factor may lead to: a line is at a lower frequency than at rest, and header's rest values can be of other lines.
_HERTZ = ((1e3, 1e6, 1e9, 1e-3, 1e-6, 1e-9), (2e-3, 700.0), (0.03, 3.0))
_WAVES = (tuple(10.0**k for k in (3, 4, 6, 7, 9, 10, -3, -4, -6, -7, -9, -10)), (0.005, 100.0), (0.3, 30.0))


def _plausible(
    cards: Cards,
    axis: int,
    value: float,
    step: float,
    rest: float,
    limits: tuple[tuple[float, ...], tuple[float, float], tuple[float, float]],
    notes: Notes,
) -> tuple[float, float]:
    """Repair a unit that is wrong by powers of 10, which puts the axis that far from the line."""
    factors, (low, high), (least, most) = limits
    if value <= 0.0 or low < value / rest < high:
        return value, step
    found = [factor for factor in factors if least < value * factor / rest < most]
    if not found:
        return value, step
    factor = min(found, key=lambda factor: abs(math.log(value * factor / rest)))
    unit = "Hz" if limits is _HERTZ else "m"
    notes.warn(f"CUNIT{axis} is wrong: CRVAL{axis} = {value:g} {unit} is far from the line, multiplied by {factor:g}")
    return value * factor, step * factor
