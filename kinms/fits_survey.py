"""What a cube is, in plain numbers: `describe` for people, `read_obspars` for scripts, `deciding_cards` for doubts."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy.ndimage
from astropy.io import fits

from kinms.cube import Cube, SpectralAxis
from kinms.errors import HeaderError, InputTypeError
from kinms.fits_box import cut_box
from kinms.fits_cards import WCS_KEY, Cards
from kinms.fits_file import ImageFile, PathLike
from kinms.fits_layout import Layout, read_header
from kinms.fits_noise import find_noise
from kinms.fits_read import DOUBLE_VOXELS, as_floats, box_rms, open_layout, read_cube, warn_of
from kinms.fits_spectral import SPEED_OF_LIGHT, frequency_ratio
from kinms.grid import PSF, CubeGrid
from kinms.lines import find_line, identify_line
from kinms.noise import detection_mask, estimate_rms
from kinms.psf import ChannelBeams
from kinms.records import FloatArray

__all__ = ["SURVEY_VOXELS", "deciding_cards", "describe", "read_obspars"]

#: `describe` and `read_obspars` measure the noise on evenly spaced channels that make about this many voxels.
SURVEY_VOXELS = 2**23

#: A rest value is that of a known line if it is as near as this, relatively: 30 km/s.
SAME_LINE = 1e-4

#: J/K, for brightness temperatures.
BOLTZMANN = 1.380649e-23

#: Cards that nobody asks for and that say what the numbers in the file are.
_TELLING = (
    *("EXTNAME", "OBJECT", "TELESCOP", "INSTRUME", "BITPIX", "BSCALE", "BZERO", "BLANK", "BUNIT", "EPOCH"),
    *("BMAJ", "BMIN", "BPA", "CASAMBM"),
)
#: Lines of HISTORY that tell a beam.
_BEAM_LINE = re.compile(r"BMAJ|\bbeam\b|restoration:", re.IGNORECASE)


def describe(cube: Cube | PathLike, **selection: Any) -> dict[str, Any]:
    """Say what a cube is, as plain numbers and strings: the object that ``kinms info --json`` prints.

    Parameters
    ----------
    cube : Cube or path
        A file above `SURVEY_VOXELS` is not read whole: its rms is that of evenly spaced channels.
    **selection
        For a path, as `read_cube`'s, but for ``mask`` and what follows from the data alone.

    Returns
    -------
    dict
        The cube: ``shape`` [nv, ny, nx], ``cell_arcsec``, ``size_arcsec`` [along x, along y], ``ra_deg``, ``dec_deg``
        (ICRS, of the reference position), ``bunit``, ``object``, ``telescope``, ``instrument``.

        Velocities: ``dv_kms`` (mean), ``dv_range_kms`` [least, most], ``v_min_kms``, ``v_max_kms`` (exact centres of
        the first and last channel, ascending), ``linear_error_channels`` (how far a regular axis would be off),
        ``convention``, ``frame``, ``rest_value``, ``rest_unit``, ``rest_source`` (the card or argument it comes from),
        ``line`` (name of the known line at the rest value, or None).

        The beam: ``beam`` ({``bmaj_arcsec``, ``bmin_arcsec``, ``bpa_deg``} or None), ``beam_pixels``,
        ``beams_per_channel`` (None, or {``n``, ``bmaj_arcsec``: [least, most], ``bmin_arcsec``: [least, most]}).

        Noise and signal: ``rms``, ``rms_kelvin`` (None where unit, beam or frequency do not give it),
        ``line_free_channels`` ({``number``, ``channels``: [[first, last], ...], ``kms``: the same as centres}; channels
        without signal in `detection_mask`, and not next to one with), ``signal_kms`` ([low, high] of its regions with
        a tenth of the flux of the brightest or more; None if it is empty), ``peak_sigma`` and ``peak_kms`` (there). The
        last four are None where not all of the box is read.

        The file: ``hdu``, ``hdus`` (names of all), ``noise_hdu``, ``file_shape`` (numpy order), ``axes`` (of the file,
        as FITS counts them: {``ctype``, ``n``, ``is``}), ``spectral_axis`` ({``ctype``, ``unit``}), ``flipped``,
        ``memory_bytes`` (of what `read_cube` makes of it). None where a `Cube` does not know.

        What to know: ``warnings``, and the same split into ``assumed`` and ``doubtful`` (what changes numbers, or is
        missing). Of a `Cube` that is doubtful which its header, as it was repaired, still leaves so.

    Raises
    ------
    FileError, HeaderError, InputError
        As `read_cube`.
    """
    if isinstance(cube, Cube):
        if selection:
            raise InputTypeError(", ".join(selection), "given", "a path", "A Cube is described as it is.")
        survey = _of_cube(cube)
    else:
        survey = _survey(cube, **selection)
    grid = survey.grid
    return {
        "shape": list(grid.shape),
        "cell_arcsec": grid.cell,
        "dv_kms": grid.dv,
        "v_min_kms": float(survey.velocities[0]),
        "v_max_kms": float(survey.velocities[-1]),
        "convention": survey.spectral.convention,
        "frame": survey.spectral.frame,
        "rest_value": survey.spectral.rest_value,
        "rest_unit": survey.spectral.rest_unit,
        **_beam(survey),
        "bunit": survey.unit,
        "ra_deg": grid.ra,
        "dec_deg": grid.dec,
        "flipped": list(survey.flipped),
        "rms": survey.rms,
        "warnings": [text for text, _ in survey.notes],
        "assumed": [text for text, alarm in survey.notes if not alarm],
        "doubtful": [text for text, alarm in survey.notes if alarm],
        "size_arcsec": [grid.nx * grid.cell, grid.ny * grid.cell],
        "dv_range_kms": [float(grid.widths.min()), float(grid.widths.max())],
        "linear_error_channels": survey.linear_error,
        "rest_source": survey.rest_source,
        "line": survey.line,
        "rms_kelvin": _kelvin(survey),
        **_signal(survey),
        **survey.file,
    }


def read_obspars(path: PathLike, **selection: Any) -> dict[str, Any]:
    """Read the observing set-up of a cube, under the names that scripts use.

    Parameters
    ----------
    path : path
        FITS file.
    **selection
        As `describe`'s: ``line="CO(2-1)", redshift=0.01``, ``velocity_range``, ``centre``, ``size`` ...

    Returns
    -------
    dict
        ``xsize, ysize`` (arcsec), ``vsize`` (km/s), ``cellsize`` (arcsec), ``dv`` (km/s), ``beamsize`` (array of
        bmaj, bmin in arcsec and bpa in deg; None without a beam; the typical one of several), ``nx, ny, nv``, ``v_sys``
        (km/s, velocity of the centre of channel ``nv // 2``: the zero of a model cube of this size), ``edges`` (array
        of ``nv + 1`` channel edges in km/s where channels are not equally wide, else None), ``ra, dec`` (ICRS deg of
        the reference position), ``rest_freq`` (Hz or None), ``convention``, ``frame``, ``bunit``, ``rms``.

    Raises
    ------
    FileError, HeaderError, InputError
        As `read_cube`.
    """
    survey = _survey(path, **selection)
    grid, beam = survey.grid, survey.beam
    return {
        "xsize": grid.nx * grid.cell,
        "ysize": grid.ny * grid.cell,
        "vsize": grid.nv * grid.dv,
        "cellsize": grid.cell,
        "dv": grid.dv,
        "beamsize": None if beam is None else np.array([beam.bmaj, beam.bmin, beam.bpa], dtype=float),
        "nx": grid.nx,
        "ny": grid.ny,
        "nv": grid.nv,
        "v_sys": grid.v_ref,
        "edges": grid.edges,
        "ra": grid.ra,
        "dec": grid.dec,
        "rest_freq": grid.rest_frequency,
        "convention": survey.spectral.convention,
        "frame": survey.spectral.frame,
        "bunit": survey.unit,
        "rms": survey.rms,
    }


def deciding_cards(
    path: PathLike, *, hdu: int | str | None = None, **selection: Any
) -> tuple[list[str], HeaderError | None]:
    """Return the cards that reading a header asks for, as they stand in the file.

    Parameters
    ----------
    path : path
        FITS file.
    hdu : int or str, optional
        As `read_cube`'s.
    **selection
        As `read_header`'s: ``line``, ``redshift``, ``rest_frequency``, ``rest_wavelength``, ``convention``.

    Returns
    -------
    cards : list of str
        80 characters at most each, in the file's order, repairs not made: those of axes, rest value, frame, unit and
        beam, the lines of HISTORY that tell a beam, and what scales the numbers. A line ``HDU 1 (DATA)`` stands above
        those of each HDU.
    error : HeaderError or None
        Why the header cannot be read; the cards are those that were asked for until then.

    Raises
    ------
    FileError, InputError
        As `read_cube`.
    """
    with ImageFile(path, hdu) as image:
        witness = _Witness(image.header.cards)
        error = None
        try:
            read_header(witness, beams=image.beams, **selection)
        except HeaderError as found:
            error = found
        numbers = [image.index] if image.index == 0 else [image.index, 0]
        blocks = {number: image.raw_cards(number) for number in numbers}
    lines: list[str] = []
    seen: set[str] = set()
    for number, cards in blocks.items():
        # The primary header has a say where the extension has none.
        chosen = [card for card in cards if _decides(card, witness.asked) and card[:8] not in seen]
        seen |= {card[:8] for card in cards}
        if chosen:
            name = image.names[number]
            lines += [f"HDU {number} ({name})" if name else f"HDU {number}", *chosen]
    return lines, error


class _Witness(fits.Header):
    """A header that remembers which of its cards it was asked for."""

    def __init__(self, cards: Iterable[fits.Card]) -> None:
        self.asked: set[str] = set()
        super().__init__(cards)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            self.asked.add(key.upper())
        return super().__getitem__(key)


def _decides(card: str, asked: set[str]) -> bool:
    key = card[:8].strip()
    if key == "HISTORY":
        return _BEAM_LINE.search(card) is not None
    return key in asked or key in _TELLING or WCS_KEY.fullmatch(key) is not None


@dataclasses.dataclass(frozen=True)
class _Survey:
    """What is known of a cube: all but `file` of the box that is looked at; `cube` only if the whole of it was read."""

    grid: CubeGrid
    beam: PSF | None
    spectral: SpectralAxis
    unit: str
    velocities: FloatArray
    flipped: Sequence[str]
    notes: Sequence[tuple[str, bool]]
    rms: float
    linear_error: float
    rest_source: str | None
    line: str | None
    cube: Cube | None
    file: dict[str, Any]


def _of_cube(cube: Cube) -> _Survey:
    grid, header = cube.grid, cube.header
    velocities, alarms, error = grid.velocities, set(), 0.0
    if header is not None:
        layout = read_header(header, convention=cube.spectral.convention)
        velocities, error = layout.velocities, layout.linear_error
        alarms = {text for text, alarm in layout.notes if alarm}
    return _Survey(
        grid=grid,
        beam=cube.beam,
        spectral=cube.spectral,
        unit=cube.unit,
        velocities=velocities,
        flipped=cube.flipped,
        notes=[(text, text in alarms) for text in cube.warnings],
        rms=estimate_rms(cube.data, cube.valid) if cube.rms is None else cube.rms,
        linear_error=error if header is not None else _linear_error(grid),
        rest_source=None if cube.spectral.rest_value is None else "the cube",
        line=_known_line(grid.rest_frequency),
        cube=cube,
        file={
            **_origin(Cards(fits.Header() if header is None else header)),
            **dict.fromkeys(("hdu", "hdus", "noise_hdu", "file_shape", "axes")),
            "spectral_axis": {"ctype": cube.spectral.ctype, "unit": None},
            "memory_bytes": cube.data.nbytes,
        },
    )


def _survey(
    path: PathLike,
    *,
    hdu: int | str | None = None,
    line: str | None = None,
    redshift: float | None = None,
    rest_frequency: float | None = None,
    rest_wavelength: float | None = None,
    convention: str | None = None,
    variance: int | str | None = "auto",
    flags: int | str | None = "auto",
    **cuts: Any,
) -> _Survey:
    """Look at a file, reading no more than `SURVEY_VOXELS` of it."""
    given: dict[str, Any] = {"line": line, "rest_frequency": rest_frequency, "rest_wavelength": rest_wavelength}
    with ImageFile(path, hdu) as image:
        layout = open_layout(image, rest_frequency, rest_wavelength, convention, line, redshift)
        part, (v, y, x) = cut_box(layout, **cuts)
        noise = find_noise(image, variance)
        cards = Cards(image.header)
        n = math.prod(part.grid.shape)
        file = {
            **_origin(cards),
            "hdu": image.index,
            "hdus": image.names,
            "noise_hdu": None if noise is None else noise.hdu,
            "file_shape": list(layout.file_shape),
            "axes": _axes(cards, layout),
            "spectral_axis": {
                "ctype": layout.spectral.ctype,
                "unit": cards.text(f"CUNIT{layout.tamed.axes.spectral}"),
            },
            "memory_bytes": n * (4 if n > DOUBLE_VOXELS and cards.integer("BITPIX") in (-32, 16, 8) else 8),
        }
        # Evenly spaced channels of a large one, each read for itself, so that nothing else is.
        step = -(-n // SURVEY_VOXELS)
        some = [slice(k, k + 1) for k in range(v.start, v.stop, step)] if step > 1 else []
        planes = [as_floats(layout.to_cube(image.read(layout.box(k, y, x)))) for k in some]
    known = _Survey(
        grid=part.grid,
        beam=part.beam,
        spectral=part.spectral,
        unit=part.unit,
        velocities=part.velocities,
        flipped=layout.flipped,
        notes=part.notes,
        rms=box_rms(path, np.concatenate(planes)) if planes else 0.0,
        linear_error=part.linear_error,
        rest_source=_rest_source(cards, part, given, redshift),
        line=_known_line(part.grid.rest_frequency, line, redshift),
        cube=None,
        file=file,
    )
    if planes:
        warn_of(part, 4)
        return known
    with warnings.catch_warnings(record=True) as alarms:
        warnings.simplefilter("always")
        cube = read_cube(
            path, hdu=hdu, redshift=redshift, convention=convention, variance=variance, flags=flags, **given, **cuts
        )
    for alarm in alarms:
        warnings.warn(alarm.message, alarm.category, stacklevel=3)
    doubts = {str(alarm.message) for alarm in alarms}
    notes = [(text, text in doubts) for text in cube.warnings]
    return dataclasses.replace(known, notes=notes, rms=float(cube.rms or 0.0), cube=cube)


def _origin(cards: Cards) -> dict[str, str | None]:
    return {
        name: cards.text(key) or None
        for name, key in (("object", "OBJECT"), ("telescope", "TELESCOP"), ("instrument", "INSTRUME"))
    }


def _axes(cards: Cards, layout: Layout) -> list[dict[str, Any]]:
    """Say what each axis of the file is, in FITS's order."""
    roles = dict(zip(layout.axes, ("velocity", "y", "x"), strict=True))
    shape = layout.file_shape
    return [
        {
            "ctype": cards.text(f"CTYPE{axis}"),
            "n": shape[-axis],
            "is": roles.get(len(shape) - axis) or f"plane {layout.tamed.planes.get(axis, 0) + 1} is read",
        }
        for axis in range(1, len(shape) + 1)
    ]


def _linear_error(grid: CubeGrid) -> float:
    """How far, in channels, the centres are from a regular axis of the mean width."""
    return float(np.abs(grid.velocities - grid.replace(edges=None).velocities).max() / grid.dv)


def _rest_source(cards: Cards, layout: Layout, given: dict[str, Any], redshift: float | None) -> str | None:
    """Return the card or the argument that the rest value comes from."""
    if layout.spectral.rest_value is None:
        return None
    at = "" if redshift is None else f" at redshift {redshift:g}"
    for name, value in given.items():
        if value is not None:
            return f"{name} {value}{at}" if name == "line" else f"{name}{at}"
    waves, frequencies = ("RESTWAV", "RESTWAVE"), ("RESTFRQ", "RESTFREQ", "FREQ0")
    found = cards.positive(*((*waves, *frequencies) if layout.spectral.rest_unit == "m" else (*frequencies, *waves)))
    return None if found is None else f"{found[1]}{at}"


def _known_line(frequency: float | None, name: str | None = None, redshift: float | None = None) -> str | None:
    """Return the name of the line that is meant: the one asked for, else the nearest one that is near enough."""
    if name is not None:
        return find_line(name).name
    if frequency is None:
        return None
    found = identify_line(frequency * (1.0 + (redshift or 0.0)), SAME_LINE)
    return None if found is None else found.name


def _beam(survey: _Survey) -> dict[str, Any]:
    beam = survey.beam
    if beam is None:
        return {"beam": None, "beam_pixels": None, "beams_per_channel": None}
    beams = beam.beams if isinstance(beam, ChannelBeams) else None
    return {
        "beam": {"bmaj_arcsec": beam.bmaj, "bmin_arcsec": beam.bmin, "bpa_deg": beam.bpa},
        "beam_pixels": beam.pixels(survey.grid.cell),
        "beams_per_channel": None
        if beams is None
        else {
            "n": len(beams),
            **{
                f"{name}_arcsec": [min(sizes), max(sizes)]
                for name in ("bmaj", "bmin")
                for sizes in [[getattr(each, name) for each in beams]]
            },
        },
    }


def _kelvin(survey: _Survey) -> float | None:
    """Brightness temperature of the rms, of a radio cube whose beam and frequency are known (Rayleigh-Jeans)."""
    prefix = {"Jy/beam": 1.0, "mJy/beam": 1e-3, "uJy/beam": 1e-6}.get(survey.unit)
    rest, beam = survey.grid.rest_frequency, survey.beam
    if prefix is None or rest is None or beam is None or survey.spectral.rest_unit != "Hz":
        return None
    frequency = rest * float(frequency_ratio(np.asarray(survey.grid.v_ref), survey.spectral.convention))
    flux = survey.rms * prefix * 1e-26  # W m^-2 Hz^-1
    solid_angle = beam.area * (math.pi / 648000.0) ** 2
    return flux * (SPEED_OF_LIGHT / frequency) ** 2 / (2.0 * BOLTZMANN * solid_angle)


def _signal(survey: _Survey) -> dict[str, Any]:
    """Say where there is a line and where none, and how bright it is."""
    cube, velocities = survey.cube, survey.velocities
    if cube is None:
        return dict.fromkeys(("line_free_channels", "signal_kms", "peak_sigma", "peak_kms"))
    mask = detection_mask(cube)
    inside = np.asarray(mask.any(axis=(1, 2)))
    # A channel on either side of signal may hold its wings: the noise is not measured there either.
    near = inside | np.append(inside[1:], False) | np.append(False, inside[:-1])
    free = np.flatnonzero(cube.valid.any(axis=(1, 2)) & ~near)
    runs = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1) if free.size else []
    main = _main_part(mask, cube.data)
    signal = np.flatnonzero(main.any(axis=(1, 2)))
    height = np.where(main if signal.size else cube.valid, cube.data, 0.0)
    if cube.noise is not None:
        height = height * (survey.rms / np.where(cube.noise > 0.0, cube.noise, np.inf))
    at = np.unravel_index(int(np.argmax(np.abs(height))), height.shape)
    return {
        "line_free_channels": {
            "number": len(free),
            "channels": [[int(run[0]), int(run[-1])] for run in runs],
            "kms": [[float(velocities[run[0]]), float(velocities[run[-1]])] for run in runs],
        },
        "signal_kms": [float(velocities[signal[0]]), float(velocities[signal[-1]])] if signal.size else None,
        "peak_sigma": float(height[at] / survey.rms) if survey.rms > 0.0 else None,
        "peak_kms": float(velocities[at[0]]),
    }


def _main_part(mask: np.ndarray, data: FloatArray) -> np.ndarray:
    """Return the mask without regions of under a tenth of the flux of the brightest: noise, in large cubes."""
    labels, count = scipy.ndimage.label(mask)
    if count < 2:
        return mask
    flux = np.abs(np.bincount(labels[mask], weights=data[mask], minlength=count + 1))
    bright = np.flatnonzero(flux >= 0.1 * flux.max())
    return np.asarray(np.isin(labels, bright) & mask)
