"""Rest frequencies: what the user says of the line, what the header says, and which of the two is at a redshift."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

from scipy.constants import c as SPEED_OF_LIGHT
from scipy.constants import h as PLANCK

from kinms.errors import HeaderError, InputError
from kinms.fits_cards import Cards, Notes
from kinms.lines import find_line, identify_line
from kinms.records import check_scalar

__all__ = ["SI_UNIT", "RestValue", "Wanted", "find_rest", "missing_rest"]

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

#: Hz; lines lie between.
LOWEST, HIGHEST = 1e4, 1e22

#: Two rest values that differ by less than this (900 km/s) are of one line, at one redshift.
SAME = 3e-3


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the user says of the line.

    Parameters
    ----------
    frequency : float or None
        Hz, in the laboratory.
    line : str
        Name of a known line, if that was given.
    redshift : float or None
        That velocities are to count from.
    source : str
        The argument that gave the frequency.
    """

    frequency: float | None = None
    line: str = ""
    redshift: float | None = None
    source: str = ""

    @classmethod
    def check(cls, line: Any, redshift: Any, rest_frequency: Any, rest_wavelength: Any) -> Wanted:
        """Return what the arguments of `kinms.fits_layout.read_header` mean, or refuse those that contradict."""
        given = {"line": line, "rest_frequency": rest_frequency, "rest_wavelength": rest_wavelength}
        names = [name for name, value in given.items() if value is not None]
        if len(names) > 1:
            raise InputError(names[1], given[names[1]], f"nothing, as {names[0]} is given", "Give one of them.")
        if redshift is not None:
            redshift = check_scalar("redshift", redshift, minimum=-0.1, maximum=1e3)
        if line is not None:
            found = find_line(line)
            return cls(found.rest_frequency, found.name, redshift, "line")
        if rest_frequency is not None:
            hertz = check_scalar("rest_frequency", rest_frequency, minimum=0.0, maximum=HIGHEST, exclusive=True)
            return cls(hertz, "", redshift, "rest_frequency")
        if rest_wavelength is not None:
            metres = check_scalar("rest_wavelength", rest_wavelength, minimum=0.0, maximum=1e3, exclusive=True)
            return cls(SPEED_OF_LIGHT / metres, "", redshift, "rest_wavelength")
        return cls(redshift=redshift)


@dataclasses.dataclass(frozen=True)
class RestValue:
    """The rest frequency that velocities count from.

    Parameters
    ----------
    frequency : float or None
        Hz, divided by 1 + z where velocities count from a redshift z.
    own : float or None
        Hz, that the header's own velocities count from.
    line : str
        Name of the line, empty if it is not a known one.
    redshift : float or None
        As given.
    source : str
        The card or the argument it comes from.
    """

    frequency: float | None = None
    own: float | None = None
    line: str = ""
    redshift: float | None = None
    source: str = ""


def find_rest(cards: Cards, kind: str, value: float, wanted: Wanted, notes: Notes) -> RestValue:
    """Return the rest frequency: the user's, else the header's.

    A header's rest value that is at a redshift itself, as that of many high-redshift cubes, is used as it stands.

    Parameters
    ----------
    cards : Cards
        Of the cube.
    kind : str
        Of the spectral axis, a key of `SI_UNIT`.
    value : float
        Of the axis at its reference pixel, SI.
    wanted : Wanted
        By the user.
    notes : Notes
        Takes what was assumed, and which value was used.
    """
    own, key = _of_header(cards, kind, value, notes)
    if wanted.frequency is None:
        return _header_alone(own, key, kind, value, wanted.redshift, notes)
    return _given(own, key, kind, value, wanted, notes)


def missing_rest(kind: str) -> HeaderError:
    """Return the error of an axis that gives no velocities without a rest value."""
    fix = "Give rest_frequency (Hz) or line, such as 'CO(2-1)' or 'Halpha', in Python or in [data]"
    if SI_UNIT[kind] == "m":
        message = "no rest wavelength (RESTWAV) and no rest frequency (RESTFRQ): wavelengths give no velocities."
        return HeaderError("RESTWAV", message, f"{fix}; Python takes rest_wavelength (m, in vacuum), too.")
    return HeaderError("RESTFRQ", f"no rest frequency in the header: its {kind} axis gives no velocities.", f"{fix}.")


def _header_alone(
    own: float | None, key: str, kind: str, value: float, redshift: float | None, notes: Notes
) -> RestValue:
    if own is None:
        if redshift is not None and SI_UNIT[kind] == "m/s":
            message = "no rest frequency in the header: its velocities cannot count from a redshift."
            raise HeaderError("RESTFRQ", message, "Give line or rest_frequency together with redshift.")
        return RestValue(redshift=redshift)
    known = identify_line(own)
    if redshift is None:
        return RestValue(own, own, known.name if known else "", None, key)
    if known is None and _nearer(kind, value, own, own / (1.0 + redshift)):
        line = identify_line(own * (1.0 + redshift), SAME)
        name = f" ({line.name})" if line else ""
        notes.say(f"{key} = {_text(kind, own)} is at z = {redshift:g} already{name}: used as it stands")
        return RestValue(own, own, line.name if line else "", redshift, key)
    rest = RestValue(own, own, known.name if known else "", redshift, key)
    return _shifted(rest, kind, f"{key} ({known.name if known else 'no known line'}), {_text(kind, own)}", notes)


def _given(own: float | None, key: str, kind: str, value: float, wanted: Wanted, notes: Notes) -> RestValue:
    assert wanted.frequency is not None
    known = None if wanted.line else identify_line(wanted.frequency)
    line = wanted.line or (known.name if known else "")
    name = f"{line}, {_text(kind, wanted.frequency)}" if line else _text(kind, wanted.frequency)
    replaces = f"the rest value given ({name}) replaces the header's ({key}, {_text(kind, own or math.nan)})"
    if wanted.redshift is not None:
        if own is None and SI_UNIT[kind] == "m/s":
            notes.say(f"the header's velocities are taken to count from {name}, as it has no rest frequency")
        elif own is not None and min(abs(own / f - 1.0) for f in _both(wanted)) > SAME:
            notes.warn(replaces)
        rest = RestValue(wanted.frequency, own or wanted.frequency, line, wanted.redshift, wanted.source)
        return _shifted(rest, kind, name, notes)
    if own is None:
        notes.say(f"rest value, as given: {name}")
    elif abs(own / wanted.frequency - 1.0) > SAME:
        at_redshift = own < wanted.frequency and _nearer(kind, value, own, wanted.frequency)
        if wanted.line and at_redshift and identify_line(own) is None:
            z = wanted.frequency / own - 1.0
            notes.say(f"{key} = {_text(kind, own)} is that of {line} at z = {z:.6g}: used as it stands")
            return RestValue(own, own, line, None, key)
        notes.warn(replaces)
    elif abs(own / wanted.frequency - 1.0) > 1e-6:
        notes.say(replaces)
    return RestValue(wanted.frequency, own, line, None, wanted.source)


def _both(wanted: Wanted) -> tuple[float, float]:
    """Rest frequency in the laboratory and at the redshift."""
    frequency = wanted.frequency or math.nan
    return frequency, frequency / (1.0 + (wanted.redshift or 0.0))


def _shifted(rest: RestValue, kind: str, name: str, notes: Notes) -> RestValue:
    """Return a rest value as it is at the redshift."""
    assert rest.frequency is not None
    assert rest.redshift is not None
    shifted = rest.frequency / (1.0 + rest.redshift)
    there = _text(kind, shifted)
    notes.say(f"velocities count from z = {rest.redshift:g}: rest value {name}, which is {there} there")
    return dataclasses.replace(rest, frequency=shifted)


def _text(kind: str, hertz: float) -> str:
    """Write a rest value in the unit that its axis suggests."""
    if SI_UNIT[kind] != "m":
        return f"{hertz / 1e9:.9g} GHz"
    micron = 1e6 * SPEED_OF_LIGHT / hertz
    return f"{micron * 1e4:.8g} Angstrom" if micron < 2.0 else f"{micron:.8g} um"


def _nearer(kind: str, value: float, first: float, second: float) -> bool:
    """Whether the axis lies nearer to the first of two rest frequencies; velocities count from the first."""
    at = _axis_frequency(kind, value)
    if at is None:
        ratio = 1.0 - value / SPEED_OF_LIGHT if SI_UNIT[kind] == "m/s" else 1.0 - value
        at = first * max(ratio, 1e-3)
    return abs(math.log(at / first)) < abs(math.log(at / second))


def _of_header(cards: Cards, kind: str, value: float, notes: Notes) -> tuple[float | None, str]:
    """Rest frequency in Hz and its card, with a wrong power of 1000 put right."""
    frequency = cards.positive("RESTFRQ", "RESTFREQ", "FREQ0")
    wavelength = cards.positive("RESTWAV", "RESTWAVE")
    if SI_UNIT[kind] == "m" and wavelength is not None:
        frequency = None
    at = _axis_frequency(kind, value)
    found, key = None, ""
    if frequency is not None:
        found, key = _rescale(*frequency, _FREQUENCY, at, notes), frequency[1]
    elif wavelength is not None:
        metres = _rescale(*wavelength, _WAVELENGTH, None if at is None else SPEED_OF_LIGHT / at, notes)
        found, key = SPEED_OF_LIGHT / max(metres, 1e-300), wavelength[1]
    if found is not None and not LOWEST < found < HIGHEST:
        notes.warn(f"{key} means a rest frequency of {found:g} Hz, which no line has: ignored")
        return None, ""
    return found, key


def _axis_frequency(kind: str, value: float) -> float | None:
    """Frequency of an axis value, Hz; None for a velocity axis, which has none."""
    if not 1e-200 < value < 1e200:
        return None
    unit = SI_UNIT[kind]
    return {"Hz": value, "m": SPEED_OF_LIGHT / value, "1/m": SPEED_OF_LIGHT * value, "J": value / PLANCK}.get(unit)


class _Quantity(NamedTuple):
    """How rest values are mistaken: the unit, what they are multiplied with, and where lines are that cubes are of."""

    unit: str
    factors: tuple[float, ...]
    low: float
    high: float


_FREQUENCY = _Quantity("Hz", (1e3, 1e6, 1e9), 1e7, 1e16)
_WAVELENGTH = _Quantity("m", (1e-10, 1e-9, 1e-6), 1e-8, 0.1)


def _rescale(number: float, key: str, quantity: _Quantity, reference: float | None, notes: Notes) -> float:
    """Multiply by the power of 10 that makes a rest value that of a line, or brings it near the axis, if it is neither.

    `reference` is the value of the axis, None for one of velocities.
    """

    def known(value: float) -> bool:
        return identify_line(value if quantity is _FREQUENCY else SPEED_OF_LIGHT / value) is not None

    def plausible(value: float) -> bool:
        return quantity.low < value < quantity.high

    factor = 1.0
    if not 1e-200 < number < 1e200 or known(number):
        return number
    if not plausible(number):
        factor = next((f for f in quantity.factors if known(number * f)), 1.0)
    if factor == 1.0 and reference is None and not plausible(number):
        # Of an unknown line the first unit that makes one; wavelengths count from 2000 in Angstrom and from 50 in nm.
        units = ((2e3, 1e5, 1e-10), (50.0, 2e3, 1e-9), (0.1, 50.0, 1e-6))
        if quantity is _FREQUENCY:
            factor = next((f for f in quantity.factors if 1e9 < number * f < 2e12), 1.0)
        else:
            factor = next((f for low, high, f in units if low <= number < high), 1.0)
    elif factor == 1.0 and reference is not None and not 2e-3 < number / reference < 500.0:
        among = plausible(reference) or not plausible(number)  # else the axis is wrong: the rest value is among lines
        factor = next((f for f in quantity.factors if 0.1 < number * f / reference < 200.0 and among), 1.0)
    if factor != 1.0:
        notes.warn(f"{key} = {number:g} cannot be in {quantity.unit}: multiplied by {factor:g}")
    return number * factor
