"""Rows of the tables of headers: what a header means, or why it is refused, and the comparison with the reader."""

import dataclasses
import re

import pytest

C = 299792.458  # km/s


@dataclasses.dataclass(frozen=True)
class Right:
    """What one header means. Angles in arcsec and degrees, velocities in km/s, rest values in Hz or m.

    Where two strings are right, as for a convention that no card declares, both stand in a tuple.
    """

    shape: tuple[int, int, int]  # velocity, y (North), x (West)
    cell: float
    dv: float  # mean
    first: float  # centre of the lowest channel
    last: float  # centre of the highest
    convention: str | tuple[str, ...]
    frame: str | tuple[str, ...]
    rest: float | None
    beam: tuple[float, float, float] | None
    unit: str
    why: str
    rest_unit: str = "Hz"
    flipped: tuple[str, ...] = ()
    told: tuple[str, ...] = ()  # what must be among the warnings, each in one of them
    given: dict = dataclasses.field(default_factory=dict)
    without: str = ""  # the key that the error names if `given` is not
    tolerance: float = 1e-3  # km/s

    @property
    def dv_margin(self):
        """The mean width of channels and the mean step between centres differ where widths do: both will do."""
        n = self.shape[0]
        return 1e-6 * self.dv + (abs(self.dv - (self.last - self.first) / (n - 1)) if n > 1 else 0.0)

    def margin(self, velocity):
        """The middle of a channel and the velocity at its centre differ by dv^2 / 4c where it is not linear."""
        curved = self.dv**2 / (4.0 * C) if self.shape[0] > 1 else 0.0
        return max(self.tolerance, 1e-6 * abs(velocity), curved)


@dataclasses.dataclass(frozen=True)
class Refused:
    """Which cards the error may name, and what it has to say (a regular expression, in any case)."""

    keys: tuple[str, ...]
    why: str
    says: str = ""
    given: dict = dataclasses.field(default_factory=dict)


def one_of(value, allowed):
    return value in (allowed if isinstance(allowed, tuple) else (allowed,))


def compare(layout, row):
    """Assert that the reader found what the row says; the message lists all that it did not."""
    spectral, beam = layout.spectral, layout.beam
    pairs = {
        "shape": (layout.grid.shape, row.shape),
        "cell": (layout.grid.cell, pytest.approx(row.cell, rel=1e-6)),
        "dv": (layout.grid.dv, pytest.approx(row.dv, abs=row.dv_margin)),
        "first": (layout.velocities[0], pytest.approx(row.first, abs=row.margin(row.first))),
        "last": (layout.velocities[-1], pytest.approx(row.last, abs=row.margin(row.last))),
        "rest": (spectral.rest_value, row.rest if row.rest is None else pytest.approx(row.rest, rel=1e-12)),
        "beam": (
            None if beam is None else (beam.bmaj, beam.bmin, beam.bpa),
            row.beam if row.beam is None else pytest.approx(row.beam, abs=1e-6),
        ),
        "unit": (layout.unit, row.unit),
        "flipped": (layout.flipped, row.flipped),
    }
    wrong = [f"{name}: {found} is not {right}" for name, (found, right) in pairs.items() if found != right]
    if row.rest is not None and spectral.rest_unit != row.rest_unit:
        wrong.append(f"rest_unit: {spectral.rest_unit} is not {row.rest_unit}")
    for name in ("convention", "frame"):
        if not one_of(getattr(spectral, name), getattr(row, name)):
            wrong.append(f"{name}: {getattr(spectral, name)!r} is not {getattr(row, name)!r}")
    wrong += [f"no word of {w!r} in {layout.warnings}" for w in row.told if not any(w in t for t in layout.warnings)]
    assert not wrong, "; ".join(wrong)


def compare_error(error, row):
    """Assert that a header was refused for the row's reason."""
    assert error.key in row.keys, str(error)
    assert re.search(row.says, str(error), re.IGNORECASE), str(error)
    assert "\n" not in str(error)
