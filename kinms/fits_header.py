"""A telescope's header made standard.

`tame` takes the header of a cube as its pipeline left it and returns a copy in which the axes, units, matrix, rest
frequency, frame and beam stand in the standard's own cards, together with what had to be assumed. Everything after
that (`kinms.fits_layout`) reads the standard form alone, through `astropy.wcs`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from kinms.errors import HeaderError
from kinms.fits_beams import BeamAxes, find_beams, typical
from kinms.fits_cards import Cards, Notes, copy_cards, data_unit, parse_unit
from kinms.fits_rest import Wanted
from kinms.fits_spectral import SpectralCards, spectral_kind, tame_spectral
from kinms.records import FloatArray

if TYPE_CHECKING:
    import radio_beam

__all__ = ["Axes", "Tamed", "tame"]

_CELESTIAL = re.compile(r"(RA|DEC|GLON|GLAT|ELON|ELAT)(-+([A-Z0-9]{3})(-SIP)?)?")
_LONGITUDES = {"RA": "DEC", "GLON": "GLAT", "ELON": "ELAT"}
#: A speed in a unit: km/s, m.s-1, km s^-1.
_SPEED = re.compile(r"(?<![a-z])k?m ?(/ ?s(ec)?|[.*]?s(\^|\*\*)?-1)")
_STOKES = ("STOKES", "POL", "POLARIZATION", "POLARISATION")
_RADESYS = {"ICRS": "ICRS", "FK5": "FK5", "J2000": "FK5", "FK4": "FK4", "B1950": "FK4", "FK4-NO-E": "FK4-NO-E"}

#: Off-diagonal terms may move a pixel by this much across the cube before an axis counts as coupled to another.
COUPLING = 1e-3

#: pixels; a distortion that is left aside is warned of if it exceeds this.
DISTORTED = 0.1

#: degrees; pixels are larger and smaller than this.
SMALLEST, LARGEST = 1e-12, 90.0
#: degrees; angles are nearer to 0 than this, full turns included.
FARTHEST = 3600.0

#: More axes than this are a damaged header.
MAX_AXES = 32


@dataclasses.dataclass(frozen=True)
class Axes:
    """FITS numbers of the axes that make the cube, and of the others, which hold one plane each."""

    longitude: int
    latitude: int
    spectral: int
    others: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Tamed:
    """A header in the standard's form.

    Parameters
    ----------
    header : astropy.io.fits.Header
        WCS, beam and unit cards written anew, and the other cards that were legal.
    axes : Axes
        Which axis is which.
    lengths : tuple of int
        NAXIS1, NAXIS2, ...
    planes : dict
        0-based plane to take along each of the other axes, by axis number.
    spectral : SpectralCards
        The spectral axis.
    ctype : str
        CTYPE of the spectral axis as found.
    rotation_key : str
        Card that would hold a rotation in this header.
    beams : tuple of BeamAxes
        None, one, or one per channel in the file's order; `header` has the typical one.
    notes : tuple of (str, bool)
        What was assumed; see `kinms.fits_cards.Notes`.
    """

    header: fits.Header
    axes: Axes
    lengths: tuple[int, ...]
    planes: dict[int, int]
    spectral: SpectralCards
    ctype: str
    rotation_key: str
    beams: tuple[BeamAxes, ...]
    notes: tuple[tuple[str, bool], ...]


def tame(
    header: fits.Header,
    shape: tuple[int, ...] | None = None,
    *,
    wanted: Wanted | None = None,
    convention: str | None = None,
    beams: radio_beam.Beams | None = None,
) -> Tamed:
    """Bring a header to the standard's form.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Not changed.
    shape : tuple of int, optional
        Of the array, numpy order; default from NAXISn.
    wanted : Wanted, optional
        What the user says of the line.
    convention : str, optional
        For frequency and undeclared velocity axes; see `kinms.fits_spectral.CONVENTIONS`.
    beams : radio_beam.Beams, optional
        From a BEAMS table.

    Raises
    ------
    HeaderError
        If the header is not that of a cube, or a card that is needed is missing or impossible.
    """
    cards = Cards(header)
    notes = Notes()
    lengths = _lengths(cards, shape)
    axes = _find_axes(cards, lengths)
    planes = {axis: _plane(cards, axis, lengths[axis - 1], notes) for axis in axes.others}
    matrix, rotation_key = _matrix(cards, axes, len(lengths))
    k = axes.spectral - 1
    spectral = tame_spectral(
        cards,
        axes.spectral,
        lengths[k],
        float(matrix[k, k]),
        notes,
        wanted=wanted or Wanted(),
        convention=convention,
        unit_expected=any(cards.text(f"CUNIT{axis}") for axis in (axes.longitude, axes.latitude)),
    )
    _check_coupling(matrix, axes, lengths, rotation_key)

    tamed = fits.Header()
    tamed["NAXIS"] = len(lengths)
    for axis, length in enumerate(lengths, start=1):
        tamed[f"NAXIS{axis}"] = length
    tamed["WCSAXES"] = len(lengths)
    _write_celestial(tamed, cards, axes, matrix, notes)
    spectral.write(tamed, axes.spectral)
    tamed[f"CRPIX{axes.spectral}"] = _needed(cards, f"CRPIX{axes.spectral}")
    for axis in axes.others:
        _write_other(tamed, cards, axis)
    _write_frame(tamed, cards, axes, notes)
    _note_distortion(cards, axes, lengths, notes)
    for m in range(10):
        for axis in (axes.longitude, axes.latitude, axes.spectral):
            parameter = cards.number(f"PV{axis}_{m}")
            if parameter is not None and f"PV{axis}_{m}" not in tamed:
                tamed[f"PV{axis}_{m}"] = parameter

    cell = 3600.0 * abs(float(tamed[f"CDELT{axes.latitude}"]))
    width = max(lengths[axes.longitude - 1], lengths[axes.latitude - 1])
    plane = next((planes[axis] for axis in axes.others if cards.text(f"CTYPE{axis}").upper() in _STOKES), 0)
    found = find_beams(cards, beams, lengths[k], plane, cell, width, notes)
    if found:
        one = typical(found)
        tamed["BMAJ"], tamed["BMIN"], tamed["BPA"] = one.bmaj / 3600.0, one.bmin / 3600.0, one.bpa
    tamed["BUNIT"] = _printable(data_unit(cards.text("BUNIT")))
    if not cards.text("BUNIT"):
        notes.say("BUNIT is missing: the unit of the data is not known")
    for card in copy_cards(header).cards:
        tamed.append(card, end=True)
    ctype = cards.text(f"CTYPE{axes.spectral}")
    return Tamed(tamed, axes, lengths, planes, spectral, ctype, rotation_key, found, tuple(notes))


def _printable(text: str) -> str:
    """Return what a card can hold of a text."""
    return re.sub(r"[^ -~]", "?", text)[:60]


def _needed(cards: Cards, key: str) -> float:
    number = cards.number(key)
    if number is None:
        raise HeaderError(key, "is missing.", "Add it: without it pixels have no place.")
    return number


def _lengths(cards: Cards, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if cards.text("XTENSION") in ("BINTABLE", "TABLE", "A3DTABLE"):
        raise HeaderError("XTENSION", f"is {cards.text('XTENSION')}: a table, not a cube.", "Give the image's hdu.")
    if shape is not None:
        lengths = tuple(int(n) for n in reversed(shape))
    else:
        naxis = cards.integer("NAXIS")
        if naxis is None or not 0 <= naxis <= MAX_AXES:
            got = "missing" if naxis is None else f"{naxis}, which no cube has"
            raise HeaderError("NAXIS", f"is {got}.", "Is this the header of a FITS image?")
        sizes = [cards.integer(f"NAXIS{axis}") for axis in range(1, naxis + 1)]
        for axis, size in enumerate(sizes, start=1):
            if size is None or size < 1:
                raise HeaderError(f"NAXIS{axis}", f"is {size}; a length of at least 1 is needed.", "Correct the card.")
        lengths = tuple(size for size in sizes if size is not None)
    if not lengths:
        message = f"is 0: there is no image in this HDU{_looks(cards, lengths)}."
        raise HeaderError("NAXIS", message, "Give the hdu that holds the cube.")
    if len(lengths) < 3:
        kind = f"{len(lengths)}-D image ({cards.text('CTYPE1') or '?'}, {cards.text('CTYPE2') or '?'})"
        message = f"is {len(lengths)}: a {kind}, not a cube{_looks(cards, lengths)}."
        raise HeaderError("NAXIS", message, "Give a cube of sky and velocity.")
    return lengths


def _looks(cards: Cards, lengths: tuple[int, ...]) -> str:
    """Say what an image that is no cube looks like, in words that continue a sentence; empty if that is not plain."""
    unit = " ".join(cards.text("BUNIT").casefold().split())
    if _SPEED.fullmatch(unit):
        return "; by its BUNIT it is a moment-1 map (velocities) or a moment-2 one (widths)"
    if _SPEED.search(unit):
        return "; by its BUNIT it is a moment-0 map (integrated over velocity)"
    n = max(len(lengths), 2)
    names = [_CELESTIAL.fullmatch(cards.text(f"CTYPE{axis}").upper()) for axis in range(1, n + 1)]
    spectra = [spectral_kind(cards, axis) for axis in range(1, n + 1) if axis > len(lengths) or lengths[axis - 1] > 1]
    if any(spectra) and sum(name is not None for name in names) < 2:
        return "; by its CTYPEs it is a position-velocity diagram or a long-slit spectrum"
    return ""


def _find_axes(cards: Cards, lengths: tuple[int, ...]) -> Axes:
    names: dict[str, int] = {}
    spectra = []
    for axis in range(1, len(lengths) + 1):
        found = _CELESTIAL.fullmatch(cards.text(f"CTYPE{axis}").upper())
        if found is not None:
            names.setdefault(found[1], axis)
        elif spectral_kind(cards, axis) is not None:
            spectra.append(axis)
    pair = next(((lon, lat) for lon, lat in _LONGITUDES.items() if lon in names and lat in names), None)
    ctypes = ", ".join(f"CTYPE{i} = {cards.text(f'CTYPE{i}')!r}" for i in range(1, len(lengths) + 1))
    if pair is None:
        fix = "Set two axes to a pair such as 'RA---SIN', 'DEC--SIN'."
        looks = _looks(cards, lengths) if sum(n > 1 for n in lengths) < 3 else ""
        raise HeaderError(
            _blame(cards, names, spectra, lengths), f"there are no celestial axes ({ctypes}){looks}.", fix
        )
    lon, lat = names[pair[0]], names[pair[1]]
    if not spectra:
        left = [axis for axis in range(1, len(lengths) + 1) if axis not in (lon, lat)]
        blame = max(left, key=lambda axis: (cards.text(f"CTYPE{axis}") not in _STOKES, lengths[axis - 1], -axis))
        fix = "Set it to FREQ, VRAD, VOPT, WAVE or AWAV, with its unit in CUNIT."
        looks = _looks(cards, lengths) if sum(n > 1 for n in lengths) < 3 else ""
        raise HeaderError(f"CTYPE{blame}", f"there is no spectral axis ({ctypes}){looks}.", fix)
    spectral = max(spectra, key=lambda axis: (lengths[axis - 1], -axis))
    looks = _looks(cards, lengths) if lengths[spectral - 1] == 1 else ""
    if looks:
        message = f"is {cards.text('BUNIT')!r}, and the spectral axis has one channel{looks}."
        raise HeaderError("BUNIT", message, "Give the cube that it was made of.")
    others = tuple(axis for axis in range(1, len(lengths) + 1) if axis not in (lon, lat, spectral))
    return Axes(lon, lat, spectral, others)


def _blame(cards: Cards, names: dict[str, int], spectra: list[int], lengths: tuple[int, ...]) -> str:
    """Name the first card that keeps a header without a sky from having one."""
    taken = {*names.values(), *spectra}
    return f"CTYPE{next((axis for axis in range(1, len(lengths) + 1) if axis not in taken), 1)}"


def _plane(cards: Cards, axis: int, length: int, notes: Notes) -> int:
    """Return the plane to read along an axis that is neither sky nor velocity."""
    if length == 1:
        return 0
    ctype = cards.text(f"CTYPE{axis}")
    if ctype.upper() not in _STOKES:
        message = f"is {length} along {ctype or 'an axis without CTYPE'}: a cube has two sky axes and a spectral one."
        raise HeaderError(f"NAXIS{axis}", message, "Cut out one plane of it.")
    value, pixel, step = (cards.number(f"{name}{axis}") for name in ("CRVAL", "CRPIX", "CDELT"))
    plane = 0
    if ctype.upper() == "STOKES" and value is not None and pixel is not None and step:
        intensity = pixel - 1.0 + (1.0 - value) / step  # Stokes I has the value 1
        if abs(intensity - round(intensity)) < 1e-3 and 0 <= round(intensity) < length:
            plane = round(intensity)
    notes.warn(f"axis {axis} ({ctype}) has {length} planes: plane {plane + 1} is read")
    return plane


def _matrix(cards: Cards, axes: Axes, n: int) -> tuple[FloatArray, str]:
    """Return CD, or CDELT x PC, or CDELT rotated by CROTA, shape (n, n), and the card that would hold a rotation."""
    used = (axes.longitude, axes.latitude, axes.spectral)
    matrix = np.eye(n)
    lon, lat = axes.longitude, axes.latitude
    for kind in ("CD", "PC"):
        elements = {(i, j): cards.element(kind, i, j) for i in used for j in range(1, n + 1)}
        if all(value is None for value in elements.values()):
            continue
        for i in used:
            lone = not any(elements[i, j] for j in range(1, n + 1))
            if kind == "CD" and lone:  # CDELT fills the axes that a partial CD matrix leaves out
                matrix[i - 1] = 0.0
                matrix[i - 1, i - 1] = _needed(cards, f"CDELT{i}")
                continue
            for j in range(1, n + 1):
                value = elements[i, j]
                matrix[i - 1, j - 1] = value if value is not None else (kind == "PC" and i == j)
            if kind == "PC":
                # The standard's CDELT is 1, but only PC elements that are steps themselves show that it is meant.
                steps = any(abs(value or 0.0) not in (0.0, 1.0) for (row, _), value in elements.items() if row == i)
                with np.errstate(over="ignore"):
                    matrix[i - 1] *= _needed(cards, f"CDELT{i}") if not steps else _step(cards, i)
                if not np.isfinite(matrix[i - 1]).all():
                    raise HeaderError(f"CDELT{i}", "times PC is too large for a number.", "Correct the cards.")
        key = f"{kind}{lon}_{lat}"
        break
    else:
        for i in used:
            matrix[i - 1, i - 1] = _needed(cards, f"CDELT{i}")
        angle = math.radians(cards.number(f"CROTA{lat}") or 0.0)
        a, b = matrix[lon - 1, lon - 1], matrix[lat - 1, lat - 1]
        matrix[lon - 1, lon - 1], matrix[lon - 1, lat - 1] = a * math.cos(angle), -b * math.sin(angle)
        matrix[lat - 1, lon - 1], matrix[lat - 1, lat - 1] = a * math.sin(angle), b * math.cos(angle)
        key = f"CROTA{lat}"
    for i in used:
        if not np.any(matrix[i - 1]):
            raise HeaderError(f"CDELT{i}", "is 0: all pixels lie on each other.", "Correct the card.")
    return matrix, key


def _step(cards: Cards, axis: int) -> float:
    step = cards.number(f"CDELT{axis}")
    return 1.0 if step is None else step


def _check_coupling(matrix: FloatArray, axes: Axes, lengths: tuple[int, ...], key: str) -> None:
    """Refuse a spectral axis that depends on the position on the sky, or the reverse."""
    k = axes.spectral - 1
    for axis in (axes.longitude, axes.latitude, *axes.others):
        j = axis - 1
        shift = abs(matrix[k, j]) * lengths[j] / max(abs(matrix[k, k]), 1e-300)
        if axis not in axes.others:
            shift = max(shift, abs(matrix[j, k]) * lengths[k] / np.abs(matrix[j]).max())
        if shift > COUPLING:
            message = f"couples the spectral axis with axis {axis}: channels are not at one velocity."
            raise HeaderError(f"{key[:2]}{axes.spectral}_{axis}", message, "Resample the cube.")


def _write_celestial(tamed: fits.Header, cards: Cards, axes: Axes, matrix: FloatArray, notes: Notes) -> None:
    """Write the celestial axes in degrees: CDELT with the sign of the diagonal, PC where it is not the identity."""
    pair = (axes.longitude, axes.latitude)
    for axis in pair:
        unit = parse_unit(f"CUNIT{axis}", cards.text(f"CUNIT{axis}"))
        try:
            factor = 1.0 if unit is None else float(unit.to("deg"))
        except ValueError:  # UnitConversionError is one
            raise HeaderError(f"CUNIT{axis}", f"{unit} is not an angle.", "Set it to 'deg'.") from None
        found = _CELESTIAL.fullmatch(cards.text(f"CTYPE{axis}").upper())
        name, projection = (found[1], found[3]) if found is not None else ("", None)
        if projection is None:
            notes.say(f"CTYPE{axis} = {name} names no projection: taken as TAN")
        projection = projection or "TAN"
        row = matrix[axis - 1] * factor
        diagonal = row[axis - 1]
        step = float(np.hypot(row[pair[0] - 1], row[pair[1] - 1])) * (-1.0 if diagonal < 0 else 1.0)
        if not SMALLEST < abs(step) < LARGEST:
            key = f"CDELT{axis}" if cards.element("CD", axis, axis) is None else f"CD{axis}_{axis}"
            raise HeaderError(key, f"makes pixels of {abs(step):.3g} degrees.", "Correct the card, or its unit.")
        value = _needed(cards, f"CRVAL{axis}") * factor
        if not abs(value) < FARTHEST:
            raise HeaderError(f"CRVAL{axis}", f"is {value:.6g} degrees.", "Correct the card, or its unit.")
        if projection == "NCP":  # a SIN projection in disguise (Calabretta & Greisen 2002, section 5.1.5)
            projection = "SIN"
            if axis == axes.latitude:
                if abs(value) < SMALLEST:
                    raise HeaderError(f"CRVAL{axis}", "is 0, where the NCP projection does not exist.")
                tamed[f"PV{axis}_1"] = 0.0
                tamed[f"PV{axis}_2"] = 1.0 / math.tan(math.radians(value))
        tamed[f"CTYPE{axis}"] = f"{name}{'-' * (5 - len(name))}{projection}"
        tamed[f"CUNIT{axis}"] = "deg"
        tamed[f"CRVAL{axis}"] = value
        tamed[f"CDELT{axis}"] = step
        tamed[f"CRPIX{axis}"] = _needed(cards, f"CRPIX{axis}")
        for other in pair:
            element = float(row[other - 1]) / step
            if element != float(other == axis):
                tamed[f"PC{axis}_{other}"] = element


def _note_distortion(cards: Cards, axes: Axes, lengths: tuple[int, ...], notes: Notes) -> None:
    """Say by how much positions are off that leave aside the distortion of the optics (CTYPE -SIP)."""
    if not cards.text(f"CTYPE{axes.longitude}").upper().endswith("-SIP"):
        return
    edges = [
        np.linspace(1.0, lengths[axis - 1], 9) - (cards.number(f"CRPIX{axis}") or 0.0)
        for axis in (axes.longitude, axes.latitude)
    ]
    u, v = np.meshgrid(*edges)
    shifts = []
    with np.errstate(over="ignore", invalid="ignore"):
        for name in "AB":
            order = min(cards.integer(f"{name}_ORDER") or 0, 9)
            powers = ((p, q) for p in range(order + 1) for q in range(order + 1 - p))
            terms = [(cards.number(f"{name}_{p}_{q}") or 0.0) * u**p * v**q for p, q in powers]
            shifts.append(np.sum(terms, axis=0) if terms else np.zeros_like(u))
        most = float(np.hypot(*shifts).max())
    text = f"the distortion of the optics (-SIP) is left aside: positions are off by up to {most:.2g} pixels"
    (notes.warn if not most < DISTORTED else notes.say)(text)


def _write_other(tamed: fits.Header, cards: Cards, axis: int) -> None:
    tamed[f"CTYPE{axis}"] = _printable(cards.text(f"CTYPE{axis}"))
    for name in ("CRVAL", "CRPIX"):
        tamed[f"{name}{axis}"] = cards.number(f"{name}{axis}") or 0.0
    tamed[f"CDELT{axis}"] = cards.number(f"CDELT{axis}") or 1.0  # 0 would make the whole matrix singular


def _write_frame(tamed: fits.Header, cards: Cards, axes: Axes, notes: Notes) -> None:
    """Write RADESYS and EQUINOX, from their obsolete names if need be."""
    for key in ("LONPOLE", "LATPOLE"):
        number = cards.number(key)
        if number is not None:
            tamed[key] = number
    if tamed[f"CTYPE{axes.longitude}"][:2] != "RA":
        return
    given = (cards.text("RADESYS") or cards.text("RADECSYS")).upper()
    equinox = _equinox(cards)
    system = _RADESYS.get(given)
    if system is None and given:
        notes.warn(f"RADESYS = {given!r} is not understood and ignored")
    if system is None and equinox is None:
        notes.say("neither RADESYS nor EQUINOX is given: coordinates are taken as ICRS")
        system = "ICRS"
    elif system is None:
        system = "FK4" if equinox is not None and equinox < 1984.0 else "FK5"
    tamed["RADESYS"] = system
    if system != "ICRS":
        tamed["EQUINOX"] = equinox if equinox is not None else (2000.0 if system == "FK5" else 1950.0)


def _equinox(cards: Cards) -> float | None:
    for key in ("EQUINOX", "EPOCH"):
        text = cards.text(key).upper().lstrip("JB")
        try:
            equinox = float(text)
        except ValueError:
            continue
        if 1800.0 < equinox < 2200.0:
            return equinox
    return None
