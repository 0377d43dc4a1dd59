"""Cards for a grid that comes from no file: the sky in the SIN projection, and the axis that its channels lie on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from astropy.io import fits

from kinms.cube import SpectralAxis
from kinms.errors import InputError
from kinms.fits_spectral import SPEED_OF_LIGHT, VELREF_FRAMES, air_to_vacuum, frequency_ratio, velocity
from kinms.grid import CubeGrid
from kinms.records import FloatArray

__all__ = ["DEFAULT_FRAME", "declared", "made_header"]

#: SPECSYS of a cube made here, whose maker names no frame.
DEFAULT_FRAME = "BARYCENT"

#: A channel's edge may lie this far, in channels, from where the written axis puts it.
EXACT = 1e-6

#: What a type is regular in: frequency, wavelength or relativistic velocity.
_REGULAR_IN = {"FREQ": "F", "VRAD": "F", "WAVE": "W", "VOPT": "W", "VELO": "V"}
#: Axes regular in one of them, speeds by whatever way.
_REGULAR = re.compile(r"FREQ|WAVE|(VRAD|VOPT|VELO)(-[FWV]2[FWV])?")
_SPEEDS = {"radio": "VRAD", "optical": "VOPT", "relativistic": "VELO"}


class _Axis(NamedTuple):
    """A spectral axis of the standard: type, SI unit, value at the reference pixel and step there."""

    ctype: str
    unit: str
    value: float
    step: float


def made_header(grid: CubeGrid, spectral: SpectralAxis) -> fits.Header:
    """Return the cards of a grid: axes RA---SIN and DEC--SIN about its position, and a spectral one.

    The spectral axis is VRAD, VOPT or VELO in m/s. Channels that are not equally wide (`CubeGrid.edges`) go to the
    first axis on which they are regular: frequencies, wavelengths in vacuum or air, or their logarithms, in the form
    that declares the convention of the velocities, too.

    Parameters
    ----------
    grid : CubeGrid
        Without a position it is put at RA = Dec = 0.
    spectral : SpectralAxis
        Convention and frame.

    Raises
    ------
    InputError
        If no axis that FITS has puts the edges of the channels within 1e-6 channel of the grid's, or the one that
        might needs a rest frequency that the grid does not have.
    """
    frame = spectral.frame or DEFAULT_FRAME
    axis = _spectral_axis(grid, spectral.convention, frame)
    x_ref, y_ref = (float(value) for value in (grid.x_ref, grid.y_ref) if value is not None)
    axes = (
        ("RA---SIN", "deg", grid.ra or 0.0, -grid.cell / 3600.0, x_ref + 1.0),
        ("DEC--SIN", "deg", grid.dec or 0.0, grid.cell / 3600.0, y_ref + 1.0),
        (*axis, grid.nv // 2 + 1.0),
    )
    header = fits.Header()
    header["WCSAXES"] = 3
    for number, values in enumerate(axes, start=1):
        for name, value in zip(("CTYPE", "CUNIT", "CRVAL", "CDELT", "CRPIX"), values, strict=True):
            header[f"{name}{number}"] = value
    header["RADESYS"] = "ICRS"
    header["SPECSYS"] = frame
    if grid.rest_frequency is not None and axis.ctype[:4] in ("WAVE", "AWAV"):
        header["RESTWAV"] = SPEED_OF_LIGHT / grid.rest_frequency
    elif grid.rest_frequency is not None:
        header["RESTFRQ"] = grid.rest_frequency
    if axis.ctype == "FREQ":  # beside FREQ-LOG, wcslib would take it for AIPS's and the axis for a linear one
        header["VELREF"] = VELREF_FRAMES.index(frame) + 1 + (256 if spectral.convention == "radio" else 0)
    return header


def declared(header: fits.Header, axis: int, convention: str) -> fits.Header:
    """Return a header whose spectral axis declares a convention of velocities by its type, and keeps its channels.

    An axis regular in frequency becomes VRAD, VOPT-F2W or VELO-F2V, one in wavelength VRAD-W2F, VOPT or VELO-W2V, and
    one in relativistic velocity VRAD-V2F, VOPT-V2W or VELO. Others, of wavelengths in air or of logarithms, cannot
    declare another convention than their own: they stay.

    Parameters
    ----------
    header : astropy.io.fits.Header
        In the standard's form; not changed.
    axis : int
        FITS number of the spectral axis.
    convention : str
        The one that is wanted.
    """
    ctype = str(header[f"CTYPE{axis}"])
    found = _REGULAR.fullmatch(ctype)
    rest = header.get("RESTFRQ") or (SPEED_OF_LIGHT / header["RESTWAV"] if "RESTWAV" in header else None)
    if found is None or (rest is None and ctype in ("FREQ", "WAVE")):
        return header
    made = _declared(ctype, float(header[f"CRVAL{axis}"]), float(header[f"CDELT{axis}"]), rest or 1.0, convention)
    changed = header.copy()
    for name, value in zip(("CTYPE", "CUNIT", "CRVAL", "CDELT"), made, strict=True):
        changed[f"{name}{axis}"] = value
    changed.remove("VELREF", ignore_missing=True)
    return changed


def _declared(ctype: str, value: float, step: float, rest: float, convention: str) -> _Axis:
    """Return the axis of velocities of a convention that is regular in what ``ctype`` is regular in."""
    beta = value / SPEED_OF_LIGHT
    kind, _, algorithm = ctype.partition("-")
    ratio, slope = {  # of the frequency to that at rest, and its derivative by the axis
        "FREQ": lambda: (value / rest, 1.0 / rest),
        "WAVE": lambda: (SPEED_OF_LIGHT / (rest * value), -SPEED_OF_LIGHT / (rest * value**2)),
        "VRAD": lambda: (1.0 - beta, -1.0 / SPEED_OF_LIGHT),
        "VOPT": lambda: (1.0 / (1.0 + beta), -1.0 / (1.0 + beta) ** 2 / SPEED_OF_LIGHT),
        "VELO": lambda: (
            math.sqrt((1.0 - beta) / (1.0 + beta)),
            -1.0 / (math.sqrt(1.0 - beta**2) * (1.0 + beta)) / SPEED_OF_LIGHT,
        ),
    }[kind]()
    by_ratio = {"radio": -1.0, "optical": -1.0 / ratio**2, "relativistic": -4.0 * ratio / (1.0 + ratio**2) ** 2}
    letter, own = algorithm[:1] or _REGULAR_IN[kind], _REGULAR_IN[_SPEEDS[convention]]
    name = _SPEEDS[convention] if letter == own else f"{_SPEEDS[convention]}-{letter}2{own}"
    speed = 1000.0 * float(velocity(np.asarray(ratio), convention))
    return _Axis(name, "m/s", speed, SPEED_OF_LIGHT * by_ratio[convention] * slope * step)


def _spectral_axis(grid: CubeGrid, convention: str, frame: str) -> _Axis:
    own = _SPEEDS.get(convention, "VRAD")
    if grid.edges is None:
        return _Axis(own, "m/s", 1000.0 * grid.v_ref, 1000.0 * grid.dv)
    fix = (
        "Write it under the header that it was read with (cube.replace(header=..., spectral=...)), or rebin it to "
        "channels of one width."
    )
    for axis in _candidates(grid, own, convention, frame):
        if axis is not None:
            return axis
    if grid.rest_frequency is None:
        got = "without rest_frequency, and its channels are not equally wide"
        raise InputError("the grid", got, "a rest frequency (Hz), to write frequencies or wavelengths", fix)
    got = "such that its channels are regular on no axis that FITS has"
    wanted = f"channels regular in velocity, frequency or wavelength or its logarithm, in the {convention} convention"
    raise InputError("the grid", got, wanted, fix)


def _candidates(grid: CubeGrid, own: str, convention: str, frame: str) -> Iterator[_Axis | None]:
    """Yield the axes that declare the convention, simplest first; None where the channels are not regular on one."""
    middle = grid.nv // 2 + 0.5
    yield _plain(own, "m/s", 1000.0 * grid.velocity_edges, middle)
    rest = grid.rest_frequency
    if rest is None:
        return
    ratio = frequency_ratio(grid.velocity_edges, convention)
    if not np.all(np.isfinite(ratio) & (ratio > 0.0)):
        return
    frequency = rest * ratio
    wave = SPEED_OF_LIGHT / frequency
    for axis in (_plain("FREQ", "Hz", frequency, middle), _plain("WAVE", "m", wave, middle)):
        if axis is not None:
            known = convention == "optical" and axis.ctype == "FREQ" and frame in VELREF_FRAMES
            yield axis if known else _declared(axis.ctype, axis.value, axis.step, rest, convention)
    if convention == "optical":
        air = _vacuum_to_air(wave)
        yield _plain("AWAV", "m", air, middle)
        yield _logarithmic("WAVE-LOG", "m", wave, middle)
        yield _logarithmic("AWAV-LOG", "m", air, middle)
    elif convention == "radio":
        yield _logarithmic("FREQ-LOG", "Hz", frequency, middle)


def _plain(ctype: str, unit: str, edges: FloatArray, middle: float) -> _Axis | None:
    """Return the axis on which these edges are regular, with its reference ``middle`` channels from the first."""
    step = float(edges[-1] - edges[0]) / (len(edges) - 1)
    if np.abs(edges - edges[0] - step * np.arange(len(edges))).max() > EXACT * abs(step):
        return None
    return _Axis(ctype, unit, float(edges[0]) + step * middle, step)


def _logarithmic(ctype: str, unit: str, edges: FloatArray, middle: float) -> _Axis | None:
    """Return the axis on which the logarithms are regular: X = X_ref exp(w / X_ref) (Greisen et al. 2006, eq. 5)."""
    line = _plain(ctype, unit, np.log(edges), middle)
    if line is None:
        return None
    reference = math.exp(line.value)
    return _Axis(ctype, unit, reference, line.step * reference)


def _vacuum_to_air(wave: FloatArray) -> FloatArray:
    """Invert `air_to_vacuum`; the ratio of the two hardly varies, so that three rounds reach the last digit."""
    air = wave
    for _ in range(3):
        air = air * wave / air_to_vacuum(air)
    return air
