"""Spectral axes: what a CTYPE means, and velocities from frequencies and wavelengths.

All conventions are functions of the ratio r = f / f_rest alone (Greisen et al. 2006, A&A 446, 747, table 1):
radio v = c (1 - r), optical v = c (1/r - 1), relativistic v = c (1 - r^2) / (1 + r^2).
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import numpy as np
from scipy.constants import c as SPEED_OF_LIGHT
from scipy.constants import h as PLANCK

from kinms.errors import HeaderError
from kinms.fits_cards import Cards, Notes, parse_unit
from kinms.records import FloatArray

if TYPE_CHECKING:
    import astropy.units
    from astropy.io import fits

__all__ = [
    "CONVENTIONS",
    "SPEED_OF_LIGHT",
    "SpectralCards",
    "air_to_vacuum",
    "frequency_ratio",
    "spectral_kind",
    "tame_spectral",
    "velocity",
]

CONVENTIONS = ("radio", "optical", "relativistic")

#: SI unit of each kind of axis; LAMBDA is a wavelength of which the header does not say whether in air or vacuum.
SI_UNIT = {
    "FREQ": "Hz",
    "VRAD": "m/s",
    "VOPT": "m/s",
    "VELO": "m/s",
    "FELO": "m/s",
    "WAVE": "m",
    "AWAV": "m",
    "LAMBDA": "m",
    "ZOPT": "",
    "BETA": "",
    "WAVN": "1/m",
    "ENER": "J",
}
#: CTYPE names by their beginning, longest first; other names are told by their unit.
_PREFIXES = (
    ("WAVELEN", "LAMBDA"),
    ("LAMBDA", "LAMBDA"),
    ("VEL", "VELO"),
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
    if name in ("", "LINEAR", "SPECTRAL", "DOPPLER") and cards.text(f"CUNIT{axis}"):
        try:
            unit = parse_unit(f"CUNIT{axis}", cards.text(f"CUNIT{axis}"))
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
    rest_frequency : float or None
        Hz; or the equivalent of the rest wavelength in vacuum.
    """

    ctype: str
    crval: float
    cdelt: float
    cunit: str
    convention: str
    frame: str
    rest_frequency: float | None

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
    rest_frequency: float | None,
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
    rest_frequency : float or None
        Hz, given by the user; comes before the header's.
    convention : str or None
        Given by the user.
    unit_expected : bool
        Whether the header gives units to its other axes, so that a missing one is an oversight.
    """
    found = spectral_kind(cards, axis)
    if found is None:
        raise HeaderError(f"CTYPE{axis}", f"{cards.text(f'CTYPE{axis}')!r} is not a spectral axis.")
    if cards.number("DC-FLAG") == 1:
        raise HeaderError("DC-FLAG", "is 1: IRAF's log-linear wavelengths are not read.", "Resample with dispcor.")
    kind, suffix = found
    value = _required(cards, f"CRVAL{axis}")
    value, step, kind = _to_si(cards, axis, kind, value, step, length, unit_expected, notes)
    if step == 0:
        raise HeaderError(f"CDELT{axis}", "is 0: all channels lie on each other.", "Correct the card.")

    algorithm = suffix if _ALGORITHM.fullmatch(suffix) else ""
    legacy = _SUFFIX.fullmatch(suffix)
    if suffix and not algorithm and legacy is None:
        if suffix == "TAB":
            raise HeaderError(f"CTYPE{axis}", "tabulated axes (-TAB) are not read.", "Resample to a regular axis.")
        notes.say(f"{cards.text(f'CTYPE{axis}')}: {suffix!r} is not understood and ignored")
    if legacy is not None and kind == "FREQ":
        value, step, declared = _gipsy_frequency(cards, axis, value, step, legacy[1], rest_frequency, notes)
    else:
        declared = None
    frame = _frame(cards, legacy, notes)
    declared = declared or _declared(cards, kind, algorithm, legacy, convention, notes)
    if kind == "FELO":
        kind, algorithm = "VOPT", "F2W"
    elif kind == "VELO":
        kind = {"radio": "VRAD", "optical": "VOPT", "relativistic": "VELO"}[declared]
    rest = _rest_frequency(cards, kind, value, rest_frequency, notes)
    if rest is None and (SI_UNIT[kind] in ("Hz", "m", "1/m", "J") or "2" in algorithm):
        raise _no_rest(kind)
    if kind == "FREQ":
        value, step = _plausible_frequency(cards, axis, value, step, rest, notes)
    ctype = f"{kind}-{algorithm}" if algorithm else kind
    return SpectralCards(ctype, value, step, SI_UNIT[kind], declared, frame, rest)


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
    unit = parse_unit(key, cards.text(key))
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
    if SI_UNIT[kind] == "m/s":
        si_value, si_step = _plausible_speed(key, unit.to_string(), si_value, si_step, length, notes)
    if kind == "LAMBDA":
        kind = "AWAV" if si_value < 1e-6 else "WAVE"
        medium = "air" if kind == "AWAV" else "vacuum"
        notes.warn(f"CTYPE{axis} = {ctype}: wavelengths are taken as in {medium}, as the header does not tell")
    return si_value, si_step, kind


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
    cards: Cards, axis: int, value: float, step: float, letter: str, rest: float | None, notes: Notes
) -> tuple[float, float, str | None]:
    """GIPSY's FREQ-OHEL, FREQ-RLSR ...: topocentric frequencies, and in DRVAL the velocity at the reference pixel.

    The frequency that has this velocity in the named frame replaces CRVAL, and the step grows in proportion
    (Greisen et al. 2006, section 4.2 and their example).
    """
    declared = {"O": "optical", "R": "radio"}.get(letter)
    given = cards.number(f"DRVAL{axis}")
    line = rest or _rest_frequency(cards, "FREQ", value, None, Notes())
    if declared is None or given is None or line is None:
        return value, step, declared
    unit = parse_unit(f"DUNIT{axis}", cards.text(f"DUNIT{axis}"))
    speed = given * (1.0 if unit is None else float(unit.to("km/s")))
    shifted = line * float(frequency_ratio(np.asarray(speed), declared))
    notes.say(f"frequencies are shifted to DRVAL{axis} = {speed:g} km/s ({declared}) at the reference pixel")
    return shifted, step * shifted / value, declared


def _frame(cards: Cards, legacy: re.Match[str] | None, notes: Notes) -> str:
    frame = cards.text("SPECSYS").upper()
    velref = cards.integer("VELREF") or 0
    if not frame and legacy is not None:
        frame = _FRAMES[legacy[2]]
    if not frame and 1 <= velref % 256 <= len(VELREF_FRAMES):
        frame = VELREF_FRAMES[velref % 256 - 1]
    if not frame:
        notes.say("the frame of the velocities (SPECSYS) is not given")
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
        return "radio" if velref > 256 else "optical"
    if chosen is not None:
        return chosen
    if kind == "VELO":
        guess = "optical" if legacy is not None and legacy[2] == "HEL" else "radio"
        notes.say(f"the header does not declare its velocities' convention: called {guess}, the numbers are kept")
        return guess
    notes.warn("the header does not declare a velocity convention for its frequencies: read as radio")
    return "radio"


def _rest_frequency(cards: Cards, kind: str, value: float, given: float | None, notes: Notes) -> float | None:
    """Rest frequency in Hz: the user's, else the header's, with a wrong power of 1000 put right."""
    frequency = cards.positive("RESTFRQ", "RESTFREQ", "FREQ0")
    wavelength = cards.positive("RESTWAV", "RESTWAVE")
    if SI_UNIT[kind] == "m" and wavelength is not None:
        frequency = None
    found = None
    if frequency is not None:
        found = _rescale(frequency[0], _as_frequency(kind, value), frequency[1], "Hz", (1e3, 1e6, 1e9), notes)
    elif wavelength is not None:
        found = SPEED_OF_LIGHT / _rescale(
            wavelength[0], SPEED_OF_LIGHT / _as_frequency(kind, value), wavelength[1], "m", (1e-10, 1e-9, 1e-6), notes
        )
    if given is None:
        return found
    if found is not None and abs(found / given - 1.0) > 1e-6:
        notes.say(f"the rest frequency given ({given:.10g} Hz) replaces the header's ({found:.10g} Hz)")
    return given


def _as_frequency(kind: str, value: float) -> float:
    """Frequency of an axis value, Hz; a typical one for a velocity axis, which has none."""
    if value > 0:
        if SI_UNIT[kind] == "Hz":
            return value
        if SI_UNIT[kind] == "m":
            return SPEED_OF_LIGHT / value
        if kind == "WAVN":
            return SPEED_OF_LIGHT * value
        if kind == "ENER":
            return value / PLANCK
    return 1e10


def _rescale(number: float, reference: float, key: str, unit: str, factors: tuple[float, ...], notes: Notes) -> float:
    """Multiply by the factor that brings a rest value near the axis, if it is off by orders of magnitude."""
    if 1e-3 < number / reference < 1e3:
        return number
    for factor in factors:
        if 0.1 < number * factor / reference < 200.0:
            notes.warn(f"{key} = {number:g} cannot be in {unit}: multiplied by {factor:g}")
            return number * factor
    return number


def _plausible_frequency(
    cards: Cards, axis: int, value: float, step: float, rest: float | None, notes: Notes
) -> tuple[float, float]:
    if rest is None or 1e-3 < value / rest < 1e3:
        return value, step
    factor = next((f for f in (1e3, 1e6, 1e9) if 0.03 < value * f / rest < 3.0), 1.0)
    if factor != 1.0:
        notes.warn(f"CUNIT{axis} is wrong: CRVAL{axis} = {value:g} Hz is far from the line, multiplied by {factor:g}")
    return value * factor, step * factor


def _no_rest(kind: str) -> HeaderError:
    fix = "Give rest_frequency (Hz), in Python or in [data]"
    if SI_UNIT[kind] == "m":
        message = "no rest wavelength (RESTWAV) and no rest frequency (RESTFRQ): wavelengths give no velocities."
        return HeaderError("RESTWAV", message, f"{fix}; Python takes rest_wavelength (m, in vacuum), too.")
    return HeaderError("RESTFRQ", f"no rest frequency in the header: its {kind} axis gives no velocities.", f"{fix}.")
