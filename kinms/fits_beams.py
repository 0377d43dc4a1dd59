"""The beam, or the beams, that a FITS file tells of.

They come from, in this order of precedence:

1. a BEAMS table (CASA), one beam per channel, in arcsec and degrees where its columns have no unit;
2. the cards BMAJ, BMIN, BPA, in degrees;
3. GIPSY's BMMAJ, BMMIN, BMPA, in arcsec;
4. the last line of HISTORY that AIPS (``CLEAN BMAJ=``), MIRIAD (``Beam = ... arcsec``) or CASA (``restoration:``) left.

Where two of them differ by more than 1 % the user is warned, with both numbers; of a HISTORY that goes on to tell of a
convolution the beam is known to be out of date, and that is only noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kinms.errors import HeaderError
from kinms.fits_cards import Cards, Notes
from kinms.grid import HALF_SKY
from kinms.records import FloatArray

if TYPE_CHECKING:
    import radio_beam

__all__ = ["BeamAxes", "find_beams", "typical"]

#: Two sources may tell beams that differ by this much before the user is warned ...
DIFFERENT = 0.01
#: ... and the beams of a table by this much and still be one.
EQUAL = 1e-6
#: pixels; no beam is sampled by so many.
WIDEST = 900

#: What HISTORY says of tasks that change the beam.
_SMOOTHED = re.compile(r"convol|convl|smooth|smo\b", re.IGNORECASE)

_NUMBER = r"([-+]?\d*\.?\d+(?:[eEdD][-+]?\d+)?)"
#: What CLEAN leaves in HISTORY: the pattern, and arcsec per unit of its axes.
_HISTORY = (
    (re.compile(rf"BMAJ\s*=\s*{_NUMBER}\s+BMIN\s*=\s*{_NUMBER}\s+BPA\s*=\s*{_NUMBER}"), 3600.0),  # AIPS
    (re.compile(rf"Beam\s*=\s*{_NUMBER}\s*x\s*{_NUMBER}\s*arcsec,\s*pa\s*=\s*{_NUMBER}"), 1.0),  # MIRIAD restor
    (re.compile(rf"restoration:\s*{_NUMBER}\s+by\s+{_NUMBER}\s+\(arcsec\)\s+at\s+pa\s+{_NUMBER}"), 1.0),  # CASA clean
)


class BeamAxes(NamedTuple):
    """FWHM of the axes in arcsec, and the position angle in degrees."""

    bmaj: float
    bmin: float
    bpa: float

    def __str__(self) -> str:
        return f"{self.bmaj:.4g} x {self.bmin:.4g} arcsec"


def find_beams(
    cards: Cards,
    table: radio_beam.Beams | None,
    channels: int,
    plane: int,
    cell: float,
    width: int,
    notes: Notes,
) -> tuple[BeamAxes, ...]:
    """Return the beam: none, one, or one per channel in the order of the file.

    Parameters
    ----------
    cards : Cards
        Of the cube.
    table : radio_beam.Beams or None
        Of the BEAMS table, with CHAN and POL in its ``meta``.
    channels : int
        Length of the spectral axis.
    plane : int
        0-based plane of polarisation that is read.
    cell : float
        Pixel size, arcsec.
    width : int
        Pixels of the longer side of the field.
    notes : Notes
        Takes what was assumed.

    Raises
    ------
    HeaderError
        If the table does not have one row per channel (BEAMS), or a card is impossible.
    """
    sources = list(_sources(cards, table, channels, plane, cell, width, notes))
    if table is None and cards.value("CASAMBM") is True:
        notes.warn("CASAMBM announces one beam per channel, and the file has no BEAMS table")
    if not sources:
        return ()
    where, beams = sources[0]
    for other, told in sources[1:]:
        first, second = typical(beams), typical(told)
        if max(abs(first.bmaj / second.bmaj - 1.0), abs(first.bmin / second.bmin - 1.0)) > DIFFERENT:
            smoothed = other == "HISTORY" and _of_history(cards)[1]
            text = f"beams differ: {first} in {where}, {second} in {other}"
            if smoothed:
                notes.say(f"{text}, which tells of a convolution after it; that in {where} is used")
            else:
                notes.warn(f"{text}; that in {where} is used")
    if where == "HISTORY":
        notes.say("the beam comes from HISTORY, as there is no BMAJ")
    return beams


def typical(beams: tuple[BeamAxes, ...]) -> BeamAxes:
    """Return the beam of median area."""
    return sorted(beams, key=lambda beam: beam.bmaj * beam.bmin)[len(beams) // 2]


def _sources(
    cards: Cards,
    table: radio_beam.Beams | None,
    channels: int,
    plane: int,
    cell: float,
    width: int,
    notes: Notes,
) -> Iterator[tuple[str, tuple[BeamAxes, ...]]]:
    """Give what each source tells, the most trustworthy first."""
    if table is not None:
        beams = _of_table(table, channels, plane, notes)
        if beams:
            yield "the BEAMS table", beams
    for key, scale in (("BMAJ", 3600.0), ("BMMAJ", 1.0)):
        one = _of_cards(cards, key, scale, cell, width, notes)
        if one is not None:
            yield key, (one,)
    last, _ = _of_history(cards)
    if last is not None:
        yield "HISTORY", (last,)


def _of_cards(cards: Cards, key: str, scale: float, cell: float, width: int, notes: Notes) -> BeamAxes | None:
    """Return the beam of three cards; they are read in arcsec where degrees would be absurd."""
    minor_key, angle_key = key.replace("MAJ", "MIN"), key.replace("MAJ", "PA")
    major = cards.positive(key)
    if major is None:
        return None
    widest = 2.0 * min(width, WIDEST) * cell
    if scale > 1 and major[0] * scale > widest and 0.5 * cell < major[0] < width * cell:
        than = "the field" if width <= WIDEST else f"{2 * WIDEST} pixels"
        notes.warn(f"{key} = {major[0]:g} would be wider than {than} in degrees: read in arcsec")
        scale = 1.0
    minor = cards.positive(minor_key)
    angle = cards.number(angle_key)
    if minor is None:
        notes.warn(f"{minor_key} is missing: the beam is taken as round")
    elif angle is None and minor[0] != major[0]:
        notes.warn(f"{angle_key} is missing: the beam's position angle is taken as 0")
    bmaj, bmin = major[0] * scale, (minor or major)[0] * scale
    if max(bmaj, bmin) > HALF_SKY:
        raise HeaderError(key, f"is {major[0]:g}: a beam of {bmaj:.3g} arcsec.", "Correct the card.")
    if min(bmaj, bmin) < 1e-3 * cell or max(bmaj, bmin) > 10.0 * width * cell:
        notes.warn(f"the beam, {bmaj:.3g} x {bmin:.3g} arcsec, does not suit pixels of {cell:.3g} arcsec, {width} wide")
    if bmin > bmaj:
        notes.say(f"{minor_key} ({bmin:.4g} arcsec) exceeds {key} ({bmaj:.4g}): axes swapped")
    return _ordered(bmaj, bmin, angle or 0.0)


def _of_history(cards: Cards) -> tuple[BeamAxes | None, bool]:
    """Return the last beam that HISTORY tells, and whether something was smoothed after that."""
    smoothed = False
    for line in reversed(cards.history()):
        for pattern, scale in _HISTORY:
            found = pattern.search(line)
            if found is None:
                continue
            bmaj, bmin, bpa = (float(text.replace("D", "E").replace("d", "e")) for text in found.groups())
            if 0.0 < bmaj * scale < HALF_SKY and 0.0 < bmin * scale < HALF_SKY and abs(bpa) < 1e4:
                return _ordered(bmaj * scale, bmin * scale, bpa), smoothed
        smoothed = smoothed or _SMOOTHED.search(line) is not None
    return None, smoothed


def _ordered(bmaj: float, bmin: float, bpa: float) -> BeamAxes:
    return BeamAxes(bmaj, bmin, bpa) if bmin <= bmaj else BeamAxes(bmin, bmaj, bpa + 90.0)


def _of_table(table: radio_beam.Beams, channels: int, plane: int, notes: Notes) -> tuple[BeamAxes, ...]:
    """Return the beam of each channel of one polarisation; flagged channels take that of the nearest good one."""
    import astropy.units as u

    with np.errstate(all="ignore"):  # of garbled rows, which are left out below
        sides = [table.major.to_value(u.arcsec), table.minor.to_value(u.arcsec), table.pa.to_value(u.deg)]
        rows = np.stack(sides, axis=-1).astype(float)
    rows = _by_channel(rows, list(getattr(table, "meta", None) or ()), channels, plane)
    with np.errstate(invalid="ignore"):
        good = np.flatnonzero(np.isfinite(rows).all(axis=1) & (rows[:, :2] > 0).all(axis=1) & (rows[:, 0] < HALF_SKY))
    if good.size == 0:
        notes.warn("the BEAMS table holds no usable beam")
        return ()
    if good.size < len(rows):
        notes.say(
            f"BEAMS: {len(rows) - good.size} channels without a beam take that of the nearest channel that has one"
        )
        after = np.clip(np.searchsorted(good, np.arange(len(rows))), 0, good.size - 1)
        before = np.clip(after - 1, 0, None)
        k = np.arange(len(rows))
        rows = rows[np.where(np.abs(good[before] - k) < np.abs(good[after] - k), good[before], good[after])]
    if len(rows) == 1 or np.all(np.abs(rows - rows[0]) <= EQUAL * np.abs(rows[0])):
        rows = rows[:1]
    beams = tuple(_ordered(*(float(x) for x in row)) for row in rows)
    areas = np.array([beam.bmaj * beam.bmin for beam in beams])
    if len(beams) > 1:
        spread = 100.0 * (areas.max() / areas.min() - 1.0)
        notes.say(f"each channel has a beam of its own (BEAMS); their areas differ by {spread:.2g} %")
    return beams


def _by_channel(rows: FloatArray, meta: list[dict[str, int]], channels: int, plane: int) -> FloatArray:
    """Return the rows of one polarisation, in the order of the channels."""
    if len(rows) == 1:
        return rows
    if len(meta) == len(rows) and all("POL" in row for row in meta):
        polarisations = np.array([int(row["POL"]) for row in meta])
        if len(set(polarisations.tolist())) > 1:
            chosen = np.flatnonzero(polarisations == plane)
            rows, meta = rows[chosen], [meta[k] for k in chosen]
    if len(rows) != channels:
        message = f"the table has {len(rows)} rows, and the spectral axis {channels} channels."
        raise HeaderError("BEAMS", message, "Cut the table as the cube was cut, or remove it to use BMAJ.")
    if len(meta) == len(rows) and all("CHAN" in row for row in meta):
        number = np.array([int(row["CHAN"]) for row in meta])
        order = np.argsort(number, kind="stable")
        # Tables of a cube that was cut out of a longer one count from where it began.
        if np.all(np.diff(number[order]) == 1):
            rows = rows[order]
    return rows
