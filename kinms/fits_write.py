"""Writing FITS cubes and maps: what was read goes back to its file's axes, and what was made gets the standard's."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from astropy.io import fits

from kinms.cube import Cube
from kinms.errors import InputError, InputTypeError, UnknownNameError
from kinms.fits_cards import WCS_KEY
from kinms.fits_file import PathLike, write_image
from kinms.fits_layout import Layout, read_header
from kinms.fits_made import declared, made_header
from kinms.grid import Beam, CubeGrid
from kinms.psf import ChannelBeams
from kinms.records import FloatArray, check_array

__all__ = ["MAPS", "provenance", "write_cube", "write_map"]

#: Kind of a map -> BTYPE, and whether it is an integral over velocity rather than a velocity itself.
MAPS = {
    "moment0": ("Integrated intensity", True),
    "moment1": ("Velocity", False),
    "moment2": ("Velocity dispersion", False),
}

#: Lines of HISTORY from which a reader might take a beam that the cube has not.
_BEAM_LINE = re.compile(r"beam|bmaj|restoration", re.IGNORECASE)
#: Cards of one axis, by name and number, or of two of them.
_AXIS_KEY = re.compile(r"(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA|CRDER|CSYER|CNAME)(\d+)")
_MATRIX_KEY = re.compile(r"(PC|CD)(\d+)_(\d+)")
_PARAMETER_KEY = re.compile(r"(PV|PS)(\d+)(_\d+)")

#: Smallest and largest of what 32-bit numbers hold with all their digits.
_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def write_cube(
    path: PathLike, cube: Cube, *, overwrite: bool = False, history: Iterable[str] = (), double: bool = False
) -> None:
    """Write a cube as 32-bit FITS.

    A cube that was read goes back to its file's axis order, directions, degenerate axes and spectral type, cut as it
    was read; one that was made has axes RA---SIN, DEC--SIN and VRAD (VOPT, VELO) in m/s, with the reference pixel of
    its grid (RA = Dec = 0 where the grid has no position), or, where its channels are not equally wide, the axis on
    which they are regular: see `kinms.fits_made.made_header`. The file is complete or not there, and the same cube
    makes the same bytes.

    A beam per channel is written as CASA does, with CASAMBM = T and a table BEAMS; of another PSF the core's FWHM
    stands in BMAJ and BMIN and its description in HISTORY. The noise of each voxel goes to an extension STAT, as
    variance.

    Parameters
    ----------
    path : path
        A name in .gz makes a gzipped file.
    cube : Cube
        Masked voxels are written as they are; boolean data as 8-bit integers.
    overwrite : bool
        Whether an existing file may be replaced.
    history : iterable of str
        Lines for HISTORY, after the one that names this package and its version; see `provenance`.
    double : bool
        Whether to write 64-bit numbers instead, which keep every digit.

    Raises
    ------
    OutputExistsError
        If the file exists and ``overwrite`` is false.
    FileError
        If it cannot be written.
    InputError
        If the cube's header describes another grid than the cube has, there is no header and FITS has no axis for its
        channels, its unit cannot stand in a card, or 32 bits do not hold a number.

    Examples
    --------
    See `read_cube`.
    """
    if not isinstance(cube, Cube):
        raise InputTypeError("cube", type(cube).__name__, "a Cube")
    layout = _layout(cube)
    header = _header(cube, layout)
    lines: list[str] = []
    beam = cube.beam
    if beam is None:
        _drop_beam_lines(header, cube)
    elif isinstance(beam, ChannelBeams):
        header["CASAMBM"] = (True, "a beam per channel, in the table BEAMS")
    else:
        header.update(beam.to_radio_beam().to_header_keywords())
        if not isinstance(beam, Beam):
            lines.append(f"PSF, of which BMAJ and BMIN are the core: {beam!r}")
    unit = _unit(cube.unit)
    if unit:
        header["BUNIT"] = unit
    extensions: list[Any] = []
    if cube.noise is not None:
        extensions.append(_stat(layout, header, np.asarray(cube.noise), unit, double))
    if isinstance(beam, ChannelBeams):
        extensions.append(_beams_table(beam, layout is not None and "velocity" in layout.flipped, double))
    _add_history(header, "write_cube", [*lines, *history])
    data = _numbers("data", cube.data, double)
    write_image(path, _to_file(layout, data), header, overwrite=overwrite, extensions=extensions)


def write_map(
    path: PathLike,
    image: FloatArray,
    cube: Cube,
    *,
    kind: str,
    overwrite: bool = False,
    history: Iterable[str] = (),
    double: bool = False,
) -> None:
    """Write a moment map as a two-dimensional FITS image on the sky axes of its cube.

    Parameters
    ----------
    path : path
        A name in .gz makes a gzipped file.
    image : ndarray, shape (ny, nx)
        On the cube's pixels, as of `Cube.moment0` (the cube's unit x km/s), `Cube.moment1` and `Cube.moment2` (km/s);
        it is flipped back as the axes of the cube's file are.
    cube : Cube
        Which it is of: grid, beam, unit and header.
    kind : {"moment0", "moment1", "moment2"}
        Which it is, for BUNIT and BTYPE.
    overwrite, history, double
        As of `write_cube`.

    Raises
    ------
    OutputExistsError, FileError, InputError
        As of `write_cube`; for an image of another shape.

    Examples
    --------
    >>> import tempfile, os
    >>> cube = Cube(np.ones((4, 8, 8)), CubeGrid((4, 8, 8), cell=1.0, dv=10.0, v_ref=500.0), Beam(3.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_map(os.path.join(folder, "m0.fits"), cube.moment0(), cube, kind="moment0")
    ...     header = fits.getheader(os.path.join(folder, "m0.fits"))
    >>> header["BTYPE"], header["BUNIT"], header["NAXIS"]
    ('Integrated intensity', 'beam-1 Jy km s-1', 2)
    """
    if not isinstance(cube, Cube):
        raise InputTypeError("cube", type(cube).__name__, "a Cube")
    if kind not in MAPS:
        raise UnknownNameError("kind", kind, MAPS)
    values = np.asarray(image)
    if values.shape != cube.data.shape[1:]:
        raise InputError("the shape of image", values.shape, f"{cube.data.shape[1:]}, as the cube's (ny, nx)")
    layout = _layout(cube)
    pair = (1, 2) if layout is None else tuple(sorted((layout.tamed.axes.longitude, layout.tamed.axes.latitude)))
    header = _sky_header(_header(cube, layout), pair)
    lines = []
    if cube.beam is None:
        _drop_beam_lines(header, cube)
    else:
        header.update(cube.beam.typical.to_radio_beam().to_header_keywords())
        if not isinstance(cube.beam, Beam):
            lines.append(f"PSF, of which BMAJ and BMIN are the core: {cube.beam!r}")
    header["BTYPE"], integral = MAPS[kind]
    header["BUNIT"] = _integrated(_unit(cube.unit)) if integral else "km/s"
    frame = f", {cube.spectral.frame}" if cube.spectral.frame else ""
    lines.append(f"velocities: {cube.spectral.convention} convention{frame}")
    _add_history(header, "write_map", [*lines, *history])
    plane = _numbers("image", values[None], double)
    if layout is not None:
        array = layout.to_file(plane)
        plane = array.reshape([array.shape[axis] for axis in sorted(layout.axes[1:])])
    write_image(path, plane.reshape(plane.shape[-2:]), header, overwrite=overwrite)


def provenance(*, seed: int | None = None, **contents: str) -> tuple[str, ...]:
    """Return the lines of HISTORY that tell what made a file: of each content its hash, and the seed.

    Parameters
    ----------
    seed : int, optional
        Of the random numbers.
    **contents : str
        Name -> text, such as ``configuration``: the text of a configuration file.

    Examples
    --------
    >>> provenance(configuration="[disc]", seed=3)
    ('configuration: sha256 2acd54a4a24e', 'seed: 3')
    """
    hashes = {name: hashlib.sha256(text.encode()).hexdigest()[:12] for name, text in contents.items()}
    lines = [f"{name}: sha256 {value}" for name, value in hashes.items()]
    return (*lines, *(() if seed is None else (f"seed: {seed}",)))


# -- headers ------------------------------------------------------------------------------------------------------


def _layout(cube: Cube) -> Layout | None:
    """Return how the cube lay in its file, None for one that was made."""
    if cube.header is None:
        return None
    layout = read_header(cube.header, convention=cube.spectral.convention)
    _check_same_grid(layout, cube.grid)
    return layout


def _check_same_grid(layout: Layout, grid: CubeGrid) -> None:
    """Refuse to write data under a header that places them elsewhere."""
    fix = "Use cube.replace(header=None) to write the cube's own grid."
    if layout.grid.shape != grid.shape:
        raise InputError("the shape that the cube's header describes", layout.grid.shape, f"{grid.shape}", fix)
    shift = np.abs(layout.grid.velocity_edges - grid.velocity_edges).max() / grid.dv
    if shift > 1e-3:
        raise InputError("the velocity axis of the cube's header", f"{shift:.3g} channels off", "the cube's own", fix)
    if grid.ra is not None and grid.dec is not None:
        x, y = layout.pixel(grid.ra, grid.dec)
        offset = math.hypot(x - float(grid.x_ref or 0.0), y - float(grid.y_ref or 0.0))
        if offset > 1e-3 or abs(layout.grid.cell / grid.cell - 1.0) > 1e-6:
            raise InputError("the position in the cube's header", f"{offset:.3g} pixels off", "the cube's own", fix)


def _header(cube: Cube, layout: Layout | None) -> fits.Header:
    """Return the cards of the axes, and those of the file that stay true: no beam, unit or date, and no card twice."""
    if layout is None:
        return made_header(cube.grid, cube.spectral)
    header = fits.Header()
    seen = {"BMAJ", "BMIN", "BPA", "CASAMBM", "BUNIT", "DATE"}
    for card in layout.header.cards:
        if card.keyword in ("COMMENT", "HISTORY", "") or card.keyword not in seen:
            seen.add(card.keyword)
            header.append(card, end=True)
    # The convention may have been the user's word, which the cards of the file do not give.
    wanted = cube.spectral.convention
    if read_header(header).spectral.convention != wanted:
        kept, header = header, declared(header, layout.tamed.axes.spectral, wanted)
        if header is kept:
            header.add_history(f"velocities are meant in the {wanted} convention, which the axis does not declare")
    return header


def _drop_beam_lines(header: fits.Header, cube: Cube) -> None:
    """Keep a reader from finding in HISTORY the beam of the data, where the cube has none."""
    if "HISTORY" in header:
        lines = [str(line) for line in header["HISTORY"]]
        header.remove("HISTORY", remove_all=True)
        for line in lines:
            if not _BEAM_LINE.search(line):
                header.add_history(line)


def _sky_header(header: fits.Header, pair: tuple[int, ...]) -> fits.Header:
    """Return the cards that hold for the two sky axes alone, which become axes 1 and 2."""
    number = {str(old): str(new) for new, old in enumerate(pair, start=1)}
    sky = fits.Header()
    sky["WCSAXES"] = 2
    for card in header.cards:
        key = card.keyword
        if key == "WCSAXES" or re.fullmatch(r"NAXIS\d*", key):
            continue
        for pattern in (_AXIS_KEY, _MATRIX_KEY, _PARAMETER_KEY):
            found = pattern.fullmatch(key)
            if found is None:
                continue
            parts = [number.get(part, "") if part.isdigit() else part for part in found.groups()]
            if "" in parts:
                key = ""
            else:
                key = f"{parts[0]}{parts[1]}_{parts[2]}" if pattern is _MATRIX_KEY else "".join(parts)
            break
        else:
            if key == "BTYPE" or (WCS_KEY.fullmatch(key) and re.search(r"\d", key)):
                continue
        if key or not card.keyword:
            sky.append(fits.Card(key, card.value, card.comment), end=True)
    return sky


def _add_history(header: fits.Header, function: str, lines: Iterable[str]) -> None:
    try:
        release = version("kinms")
    except PackageNotFoundError:
        release = "(not installed)"
    for line in (f"kinms {release}: written by {function}", *lines):
        header.add_history(" ".join(str(line).encode("ascii", "replace").decode().split()))


def _unit(text: str) -> str:
    """Return a unit as a card can hold it."""
    found = text.replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u").strip()
    if not (found.isascii() and found.isprintable()):
        raise InputError("unit", repr(text), "printable ASCII, such as 'Jy/beam'")
    return found


def _standard_unit(unit: str, change: Callable[[Any], Any], otherwise: str) -> str:
    """Return what a unit changes to in the standard's form, or ``otherwise`` if it is none that the standard knows."""
    import astropy.units as u

    for form in ("fits", "generic"):
        try:
            return str(change(u.Unit(unit, format=form)).to_string("fits"))
        except (ValueError, TypeError):
            continue
    return otherwise


def _integrated(unit: str) -> str:
    """Return the unit times km/s."""
    import astropy.units as u

    return _standard_unit(unit, lambda known: known * u.km / u.s, f"({unit}) km/s")


# -- numbers ------------------------------------------------------------------------------------------------------


def _numbers(name: str, values: np.ndarray, double: bool) -> np.ndarray:
    """Return an array in the type that it is written in."""
    if values.dtype == bool:
        return values.astype(np.uint8)
    if double:
        return values.astype(">f8", copy=False)
    try:
        with np.errstate(over="raise", invalid="ignore"):
            return values.astype(">f4", copy=False)
    except FloatingPointError:
        fix = "Write 64-bit numbers (double=True), or choose another unit."
        raise InputError(name, "too large for 32 bits", f"numbers up to {_LARGEST:.2g}", fix) from None


def _to_file(layout: Layout | None, data: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(data if layout is None else layout.to_file(data))


def _stat(
    layout: Layout | None, header: fits.Header, noise: np.ndarray, unit: str, double: bool
) -> tuple[np.ndarray, fits.Header]:
    """Return the variance of each voxel, in the form that ESO's pipelines give it."""
    variance = np.square(noise, dtype=float)
    size = variance[np.isfinite(variance) & (variance > 0.0)]
    wide = size.size > 0 and (size.min() < _SMALLEST or size.max() > _LARGEST)  # of 1e-20 erg ... the square is tiny
    cards = fits.Header([card for card in header.cards if WCS_KEY.fullmatch(card.keyword)])
    cards["EXTNAME"] = "STAT"
    cards["HDUCLASS"], cards["HDUDOC"], cards["HDUCLAS1"] = "ESO", "DICD", "IMAGE"
    cards["HDUCLAS2"], cards["HDUCLAS3"] = "ERROR", "MSE"
    if unit:
        cards["BUNIT"] = _standard_unit(unit, lambda known: known**2, f"({unit})**2")
    return _to_file(layout, _numbers("noise", variance, double or wide)), cards


def _beams_table(beams: ChannelBeams, descending: bool, double: bool) -> fits.BinTableHDU:
    """Return CASA's table of one beam per channel, in the order of the file's channels."""
    rows = beams.beams[::-1] if descending else beams.beams
    form = "D" if double else "E"
    values = check_array("beams", [(beam.bmaj, beam.bmin, beam.bpa) for beam in rows], shape=(-1, 3)).T
    units = ("arcsec", "arcsec", "deg")
    columns = [
        fits.Column(name, form, unit=unit, array=column)
        for name, unit, column in zip(("BMAJ", "BMIN", "BPA"), units, values, strict=True)
    ]
    columns += [
        fits.Column("CHAN", "J", array=np.arange(len(rows))),
        fits.Column("POL", "J", array=np.zeros(len(rows))),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="BEAMS", ver=1)
    table.header["NCHAN"], table.header["NPOL"] = len(rows), 1
    return table
