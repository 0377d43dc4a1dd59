"""Single cards of a FITS header: reading them when they are not what the standard says, and copying the good ones."""

from __future__ import annotations

import math
import re
import warnings
from typing import TYPE_CHECKING, Any

from astropy.io import fits

from kinms.errors import HeaderError

if TYPE_CHECKING:
    import astropy.units

__all__ = ["Cards", "Notes", "copy_cards", "data_unit", "parse_unit", "wcs_cards"]

#: Cards that say where pixels are; they are written anew, in the standard's form, and never copied.
WCS_KEY = re.compile(
    r"(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)\d+|(CD|PC)(\d{6}|\d+_\d+)|P[VS]\d+_\d+|WCSAXES|RADESYS|EQUINOX"
    r"|LONPOLE|LATPOLE|SPECSYS|RESTFRQ|RESTWAV|VELREF"
)
#: Other cards that describe the array on disk, an obsolete or alternate WCS, or the beam: not copied either.
STALE_KEY = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|BLOCKED|INHERIT|EXTNAME|EXTVER|EXTLEVEL|END"
    r"|BSCALE|BZERO|BLANK|DATAMIN|DATAMAX|CHECKSUM|DATASUM|BUNIT|BMAJ|BMIN|BPA|BMMAJ|BMMIN|BMPA|CASAMBM"
    r"|(DTYPE|DUNIT|DRVAL|DRPIX|DDELT|CNAME)\d+|EPOCH|RADECSYS|RESTFREQ|FREQ0|ALTRVAL|ALTRPIX|WCSDIM|DC-FLAG"
    r"|(A|B|AP|BP)_(ORDER|DMAX|\d_\d)|LTM\d_\d|LTV\d|WAT\d_\d+|HDUCLAS\d|HDUCLASS|ERRDATA|QUALDATA|SCIDATA"
    r"|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CNAME|CRDER|CSYER)\d+[A-Z]|(CD|PC|PV|PS)\d+_\d+[A-Z]"
    r"|(WCSAXES|WCSNAME|RADESYS|EQUINOX|LONPOLE|LATPOLE|RESTFRQ|RESTWAV|SPECSYS|SSYSOBS|SSYSSRC|VELOSYS|ZSOURCE)[A-Z]"
)

#: Spellings of units that pipelines write, by their lower-case form.
UNITS = {
    "degree": "deg",
    "degrees": "deg",
    "arcseconds": "arcsec",
    "hz": "Hz",
    "hertz": "Hz",
    "khz": "kHz",
    "mhz": "MHz",
    "ghz": "GHz",
    "m/s": "m/s",
    "km/s": "km/s",
    "kms-1": "km/s",
    "kms^-1": "km/s",
    "kms": "km/s",
    "kmps": "km/s",
    "m": "m",
    "a": "Angstrom",
    "ang": "Angstrom",
    "angstrom": "Angstrom",
    "angstroms": "Angstrom",
    "angstroem": "Angstrom",
    "0.1 nm": "Angstrom",
    "nm": "nm",
    "um": "um",
    "micron": "um",
    "microns": "um",
}
#: Words in units: metres and seconds written out, in either spelling and number.
_METRES = re.compile(r"(kilo|milli|micro|nano|)met(?:er|re)s?")
_PREFIX = {"kilo": "k", "milli": "m", "micro": "u", "nano": "n", "": ""}
_SECONDS = re.compile(r"\bsec(?:ond)?s?\b")

_JANSKY = r"(?P<prefix>milli|micro|nano|[munµ]?)(jy|janskys?)"
_PER_BEAM = re.compile(
    rf"{_JANSKY}(\s*/\s*|\s*[.*]\s*|\s+per\s+|\s+)\(?(beam|bm|b)\)?(\s*(\^|\*\*)?\(?-1\)?)?", re.IGNORECASE
)
#: The same the other way round, as astropy writes it.
_BEAM_FIRST = re.compile(rf"(beam|bm)\s*(\^|\*\*)?\(?-1\)?(\s*[.*]\s*|\s+){_JANSKY}", re.IGNORECASE)
#: What astropy raises for a card that is no FITS.
_ILLEGAL = (KeyError, ValueError, TypeError, AttributeError, IndexError, ArithmeticError, fits.VerifyError)


class Notes(list[tuple[str, bool]]):
    """What was assumed or repaired; the flag marks what changes numbers, so that the user is warned of it."""

    def say(self, text: str) -> None:
        """Note an assumption that changes no number."""
        self.append((text, False))

    def warn(self, text: str) -> None:
        """Note something that changes numbers, or that is missing."""
        self.append((text, True))


class Cards:
    """Values of a header, whatever state its cards are in.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Never changed.
    """

    def __init__(self, header: fits.Header) -> None:
        self.header = header

    def value(self, key: str) -> Any:
        """Value of a card; None if it is missing, empty or cannot be parsed."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                value = self.header[key]
            except _ILLEGAL:
                return None
        return None if isinstance(value, fits.card.Undefined) else value

    def is_illegal(self, key: str) -> bool:
        """Whether a card is there whose value cannot be parsed, such as a bare NaN."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if key not in self.header:
                    return False
                _ = self.header[key]
            except _ILLEGAL:
                return True
        return False

    def comment(self, key: str) -> str:
        """Comment of a card, empty if there is none."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return str(self.header.comments[key])
            except _ILLEGAL:
                return ""

    def text(self, key: str) -> str:
        """Value as a stripped string, empty if missing."""
        value = self.value(key)
        return "" if value is None else str(value).strip()

    def number(self, key: str) -> float | None:
        """Value as a float, None if missing.

        Raises
        ------
        HeaderError
            If the card is there and is not a finite number.
        """
        value = self.value(key)
        if value is None or (isinstance(value, str) and not value.strip()):
            if value is None and self.is_illegal(key):
                raise HeaderError(key, "has a value that FITS does not allow; a number is needed.", "Correct the card.")
            return None
        try:
            number = float(value.replace("D", "E").replace("d", "e") if isinstance(value, str) else value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if isinstance(value, bool) or not math.isfinite(number):
            text = repr(value)
            text = text if len(text) < 40 else f"{text[:36]} ..."
            raise HeaderError(key, f"is {text}; a finite number is needed.", "Correct the card.")
        return number

    def positive(self, *keys: str) -> tuple[float, str] | None:
        """First of the cards that holds a positive number, with its key."""
        for key in keys:
            try:
                number = self.number(key)
            except HeaderError:
                continue
            if number is not None and number > 0:
                return number, key
        return None

    def integer(self, key: str) -> int | None:
        """Value as an integer, None if missing."""
        number = self.number(key)
        if number is None:
            return None
        if number != int(number):
            raise HeaderError(key, f"is {number:g}; an integer is needed.", "Correct the card.")
        return int(number)

    def element(self, kind: str, i: int, j: int) -> float | None:
        """Element of the matrix CD or PC in any of its forms (``PC1_2``, ``PC01_02``, ``PC001002``)."""
        for key in (f"{kind}{i}_{j}", f"{kind}{i:02d}_{j:02d}", f"{kind}{i:03d}{j:03d}"):
            number = self.number(key)
            if number is not None:
                return number
        return None

    def history(self) -> list[str]:
        """Lines of HISTORY."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return [str(line) for line in self.header["HISTORY"]]
            except _ILLEGAL:
                return []


def parse_unit(key: str, text: str) -> astropy.units.UnitBase | None:
    """Return the unit that a CUNIT card means, None for a blank one.

    Raises
    ------
    HeaderError
        If astropy knows no such unit.
    """
    import astropy.units as u

    if not text:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = _METRES.sub(lambda found: f"{_PREFIX[found[1]]}m", text.casefold().strip("[] "))
        plain = _SECONDS.sub("s", plain)
        for spelling in (UNITS.get(plain, text), plain):
            for form in ("fits", "generic"):
                try:
                    unit = u.Unit(spelling, format=form)
                except (*_ILLEGAL, RecursionError):
                    continue
                if isinstance(unit, u.UnitBase):  # not several at once, and no magnitude
                    return unit
    raise HeaderError(
        key, f"{text!r} is not a unit.", "Set it to one such as 'm/s', 'km/s', 'Hz', 'Angstrom' or 'deg'."
    )


def data_unit(text: str) -> str:
    """Return BUNIT with the many spellings of Jy/beam made one; other units stay as they are.

    Examples
    --------
    >>> data_unit("JY/BEAM"), data_unit("beam-1 mJy"), data_unit("K")
    ('Jy/beam', 'mJy/beam', 'K')
    """
    found = _PER_BEAM.fullmatch(text.strip()) or _BEAM_FIRST.fullmatch(text.strip())
    if found is None or "MJy" in text:
        return text.strip()
    prefix = found["prefix"].lower()
    return f"{_PREFIX.get(prefix, prefix)}Jy/beam"


def copy_cards(header: fits.Header) -> fits.Header:
    """Copy the cards that stay true of any array on the same sky, leaving out those that the standard forbids."""
    kept = fits.Header()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for card in header.cards:
            try:
                key, value = card.keyword, card.value
                if WCS_KEY.fullmatch(key) or STALE_KEY.fullmatch(key) or isinstance(value, fits.card.Undefined):
                    continue
                if not key.strip() and not str(value).strip():
                    continue
                if key in ("DATE-OBS", "DATE-END", "DATE") and not isinstance(value, str):
                    continue
                fresh = fits.Card(key, value, card.comment)
                str(fresh)
            except _ILLEGAL:
                continue  # an illegal card, kept only in the file it came from
            kept.append(fresh, end=True)
    return kept


def wcs_cards(header: fits.Header) -> fits.Header:
    """Return the WCS cards alone, which is all that `astropy.wcs.WCS` needs."""
    return fits.Header([card for card in header.cards if WCS_KEY.fullmatch(card.keyword)])
