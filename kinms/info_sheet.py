"""What `kinms info` prints: the plain numbers of `kinms.fits_survey.describe` as a person wants to read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kinms.memory import in_words

__all__ = ["prefixed", "sheet"]

#: Pixels across the beam's minor axis, below which a beam is undersampled, and below which it is barely sampled.
UNDERSAMPLED, COARSE = 2.0, 3.0

#: Velocities of so many km/s are better counted from the line where it is seen.
FAR = 30_000.0

#: Ranges of line-free channels that are told.
RANGES = 5

#: A peak of so many sigma and more has no noise beside it: a model's cube.
NOISELESS = 1e6

#: Cubes above so many bytes are better cut.
LARGE = 2**31


def sheet(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield label and text of what a person reads; a label may be empty.

    Parameters
    ----------
    found : dict
        From `kinms.fits_survey.describe`.
    """
    origin = [found[name] for name in ("object", "telescope", "instrument") if found[name]]
    if origin:
        yield "cube", ", ".join(dict.fromkeys(origin))
    yield from _file(found)
    yield "line", _line(found)
    yield from _sky(found)
    yield from _velocity(found)
    yield from _beam(found)
    yield from _noise(found)
    if found["flipped"]:
        yield "flipped", f"{', '.join(found['flipped'])} (descending in the file)"
    for kind in ("assumed", "doubtful"):
        for number, text in enumerate(found[kind]):
            yield "" if number else kind, text
    for number, text in enumerate(_next(found)):
        yield "" if number else "next", text


def _file(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if found["hdu"] is None:
        return
    names = [f"{k} ({name})" if name else f"{k}" for k, name in enumerate(found["hdus"])]
    axes = " x ".join(f"{axis['n']} {axis['ctype'] or '(no CTYPE)'}" for axis in found["axes"])
    others = [f"axis {k}: {axis['is']}" for k, axis in enumerate(found["axes"], 1) if axis["is"].startswith("plane")]
    long = [text for text, axis in zip(others, _planes(found), strict=True) if axis["n"] > 1]
    noise = "" if found["noise_hdu"] is None else f", noise from HDU {names[found['noise_hdu']]}"
    many = f" of {len(names)}" if len(names) > 1 else ""
    text = f"HDU {names[found['hdu']]}{many}{noise}: {axes}"
    yield "file", "; ".join([text, *long])


def _planes(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [axis for axis in found["axes"] if axis["is"].startswith("plane")]


def _line(found: dict[str, Any]) -> str:
    if found["rest_value"] is None:
        return "not known: no rest frequency or wavelength in the header"
    value = f"rest {_rest(found['rest_value'], found['rest_unit'])}"
    source = f" ({found['rest_source']})" if found["rest_source"] else ""
    return f"{found['line'] or 'no well-known one'}, {value}{source}"


def _rest(value: float, unit: str) -> str:
    """Return a frequency, or a wavelength in the unit that its field uses.

    >>> _rest(115.271202e9, "Hz"), _rest(6.564614e-7, "m"), _rest(1.5774e-4, "m")
    ('115.2712 GHz', '6564.614 Angstrom in vacuum', '157.74 micron')
    """
    if unit != "m":
        return prefixed(value, unit, 7)
    if value < 1e-6:
        return f"{value * 1e10:.7g} Angstrom in vacuum"
    return f"{value * 1e6:.7g} micron"


def _sky(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    _, ny, nx = found["shape"]
    cell = found["cell_arcsec"]
    size = " x ".join(_angle(side, max(found["size_arcsec"])) for side in found["size_arcsec"])
    yield "size", f'{nx} x {ny} pixels of {cell:.5g}": {size}'
    if found["ra_deg"] is not None:
        ra, dec = found["ra_deg"], found["dec_deg"]
        yield "centre", f"{_sexagesimal(ra, dec)} = RA {ra:.6f}, Dec {dec:+.6f} deg (ICRS)"


def _angle(arcsec: float, largest: float) -> str:
    """Return an angle in the unit that suits the larger side of a field."""
    if largest < 120.0:
        return f'{arcsec:.4g}"'
    return f"{arcsec / 60.0:.4g}'" if largest < 7200.0 else f"{arcsec / 3600.0:.4g} deg"


def _sexagesimal(ra: float, dec: float) -> str:
    """Return 12:02:50.70 +48:38:10.3.

    >>> _sexagesimal(180.71125, 48.636197), _sexagesimal(359.9999999, -0.5)
    ('12:02:50.70 +48:38:10.3', '00:00:00.00 -00:30:00.0')
    """
    hundredths = round((ra % 360.0) / 15.0 * 360000.0) % (24 * 360000)  # of a second: rounded before it is divided
    tenths = round(abs(dec) * 36000.0)
    hours = f"{hundredths // 360000:02d}:{hundredths // 6000 % 60:02d}:{hundredths % 6000 / 100:05.2f}"
    degrees = f"{tenths // 36000:02d}:{tenths // 600 % 60:02d}:{tenths % 600 / 10:04.1f}"
    return f"{hours} {'-' if dec < 0 else '+'}{degrees}"


def _velocity(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    low, high = found["dv_range_kms"]
    width = f"{found['dv_kms']:.5g}"
    if high > 1.001 * low:
        width += f" ({low:.4g} to {high:.4g})"
    nv = found["shape"][0]
    first, last = f"{found['v_min_kms']:.2f}", f"{found['v_max_kms']:.2f}"
    centres = (
        f"channel of {width} km/s at {first}" if nv == 1 else f"channels of {width} km/s, centres {first} to {last}"
    )
    yield "velocity", f"{nv} {centres} km/s"
    axis = found["spectral_axis"]
    unit = f" in {axis['unit']}" if axis["unit"] else ""
    frame = found["frame"] or "frame not known"
    yield "", f"{found['convention']} convention, {frame}; in the file {axis['ctype']}{unit}"


def _beam(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    beam, cell, many = found["beam"], found["cell_arcsec"], found["beams_per_channel"]
    if beam is None:
        yield "beam", "none: a fit needs a [beam] table in its configuration"
        return
    size = f'{beam["bmaj_arcsec"]:.4g}" x {beam["bmin_arcsec"]:.4g}" at PA {beam["bpa_deg"]:.4g} deg'
    typical = "" if many is None else "typical "
    yield "beam", f"{typical}{size}, {found['beam_pixels']:.1f} pixels per beam"
    if many is not None:
        sides = [f'{low:.4g}" to {high:.4g}"' for low, high in (many["bmaj_arcsec"], many["bmin_arcsec"])]
        yield "", f"one for each of {many['n']} channels: major axes {sides[0]}, minor {sides[1]}"
    across = beam["bmin_arcsec"] / cell
    sampled = "undersampled" if across < UNDERSAMPLED else "coarsely sampled" if across < COARSE else "well sampled"
    yield "", f"{sampled}: {across:.2g} pixels across the minor axis"


def _noise(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    kelvin = "" if found["rms_kelvin"] is None else f" ({prefixed(found['rms_kelvin'], 'K')})"
    peak = found["peak_sigma"]
    noiseless = found["rms"] == 0.0 or (peak is not None and abs(peak) > NOISELESS)
    yield "noise", "none, as of a model" if noiseless else f"rms {prefixed(found['rms'], found['bunit'])}{kelvin}"
    free, nv = found["line_free_channels"], found["shape"][0]
    if free is None:
        yield "", "the cube is large: measured on some channels, no line was looked for"
    else:
        said = "" if noiseless or peak is None else f"peak {peak:.3g} sigma at {found['peak_kms']:.5g} km/s, "
        if found["signal_kms"] is None:
            yield "signal", f"{said}none that stands out"
        else:
            low, high = found["signal_kms"]
            yield "signal", f"{said}channels {low:.5g} to {high:.5g} km/s"
        if free["number"]:
            yield "line-free", f"{free['number']} of {nv} channels: {_ranges(free['kms'])}"
        else:
            yield "line-free", f"none of {nv} channels: the noise is that beside the line, on the sky"
    yield "memory", f"{in_words(found['memory_bytes'])} once read"


def _ranges(pairs: list[list[float]]) -> str:
    """Return the widest ranges of velocity, and how many more there are."""
    widest = sorted(sorted(pairs, key=lambda pair: pair[0] - pair[1])[:RANGES])
    said = ", ".join(f"{low:.5g} to {high:.5g}" if low != high else f"{low:.5g}" for low, high in widest)
    more = len(pairs) - len(widest)
    return f"{said} km/s" + (f", and {more} more range{'s' if more > 1 else ''}" if more else "")


def _next(found: dict[str, Any]) -> Iterator[str]:
    """Say what to do about what is missing."""
    if found["beam"] is None:
        yield 'give the beam: [beam] with bmaj, bmin, bpa (or kind = "moffat" ...)'
    if found["rest_value"] is None:
        yield "name the line for frequencies, say --line HI; velocities stand without"
    elif min(abs(found["v_min_kms"]), abs(found["v_max_kms"])) > FAR:
        yield "velocities are far from the line: another --line, or a --redshift?"
    if not found["bunit"]:
        yield "find out the unit of the data (BUNIT): fluxes are in it times km/s"
    if found["memory_bytes"] > LARGE:
        yield "cut out the galaxy on reading: velocity_range, centre and size, in [data] or read_cube"


def prefixed(value: float, unit: str, digits: int = 3) -> str:
    """Return a value and its unit with the SI prefix that keeps the number readable.

    >>> prefixed(115.271e9, "Hz", 6), prefixed(0.0012, "Jy/beam"), prefixed(3.0, "K")
    ('115.271 GHz', '1.2 mJy/beam', '3 K')
    """
    prefixes = {1e9: "G", 1e6: "M", 1.0: "", 1e-3: "m", 1e-6: "u", 1e-9: "n"}
    if unit.partition("/")[0] not in ("Hz", "Jy", "K", "m") or value == 0.0:
        times = "x " if unit[:1].isdigit() else ""
        return f"{value:.{digits}g} {times}{unit}".rstrip()
    scale = next((scale for scale in prefixes if abs(value) >= scale), 1e-9)
    return f"{value / scale:.{digits}g} {prefixes[scale]}{unit}"
