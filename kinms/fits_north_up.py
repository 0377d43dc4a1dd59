"""Turned images and oblong pixels: `north_up` resamples a cube to North up and square pixels, as the reader wants.

Each plane goes through reproject's adaptive resampling (DeForest 2004, Sol. Phys. 219, 3) with a Hann window, not
through interpolation: pixels that are oblong by a factor of two and more would be skipped by that, while the window
covers all that a new pixel lies on, and it blurs less than bilinear interpolation does (of pixels that are square
already: 0.36 pixels, 1 sigma, against 0.41). The package is optional: ``pip install "kinms[north-up]"``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from kinms.errors import FileError, HeaderError, InputError, KinmsWarning, OutputExistsError
from kinms.fits_cards import wcs_cards
from kinms.fits_file import ImageFile, PathLike, write_image
from kinms.fits_header import Tamed, tame
from kinms.fits_layout import orientation
from kinms.fits_noise import Companion, find_flags, find_noise
from kinms.fits_rest import Wanted
from kinms.memory import available_memory, in_words
from kinms.records import FloatArray

__all__ = ["north_up"]

#: So many voxels of a file are resampled at a time (64-bit: 32 MiB), and never less than a plane.
CHUNK = 2**22

#: Hz; stand-ins for a line that the header does not tell, which keep their own scale where one of the two is near.
_STAND_INS = (1e9, 1e13)

#: Cards of one axis by name and number, and the parameters of its projection.
_AXIS_KEY = re.compile(r"(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CRDER|CSYER|CNAME|PV)(\d+)(_\d+)?")
#: Cards of the old grid, for which new ones are made.
_OLD_KEY = re.compile(r"NAXIS\d*|WCSAXES|(PC|CD)\d+_\d+|CROTA\d+|CASAMBM")


def north_up(
    path: PathLike, output: PathLike, *, hdu: int | str | None = None, overwrite: bool = False
) -> tuple[str, ...]:
    """Resample a cube to North up and square pixels, and write it.

    The new grid has the projection, reference position and frame of the old one (TAN about the middle of the image, if
    the old projection stretches pixels there), square pixels of the old area, and room for all of the old field.
    Channels are those of the file, to the digit, whatever its spectral axis. Numbers are surface brightness, as also
    "per beam" and, as the area is kept, "per pixel" are: they keep their unit, and flux is kept.

    - Voxels that touch the edge of the field, or a NaN, a flagged voxel or one without noise, are NaN.
    - The window blurs: by 0.37 new pixels (1 sigma, in quadrature) if the old ones were square, 0.4 if 2 : 3, 0.6 if
      1 : 4. BMAJ and BEAMS stay what they are, angles on the sky: give a wider beam if it has fewer than four pixels.
    - Noise (STAT, ERR, IVAR ...) is resampled as variance and written as 1 sigma, ERR. New pixels share old ones, so
      that their noise is correlated, and each alone scatters less than ERR states; HISTORY says by how much. In a fit,
      `CorrelatedNoise` takes account of it.
    - Flags are taken from the nearest voxel: 1 where it must not be used, or is outside of the field, in DQ.
    - Of Stokes planes the one is kept that the reader takes. Axes are RA, Dec and the spectral one, in this order.

    Parameters
    ----------
    path : path
        FITS file, plain or packed.
    output : path
        Another file, complete or not there; a name in .gz makes a gzipped one.
    hdu : int or str, optional
        As of `read_cube`.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    tuple of str
        What was done, as it stands in HISTORY.

    Raises
    ------
    InputError
        If there is nothing to do, ``output`` is ``path``, or reproject is not installed.
    HeaderError
        If the header is not a cube's, or its spectral axis depends on the position.
    FileError
        If a file cannot be read or written, holds nothing, or the result does not fit into memory.
    OutputExistsError
        If the file exists and ``overwrite`` is false.

    Warns
    -----
    KinmsWarning
        If flags and noise leave nothing: they are then left aside, as the reader does.

    Examples
    --------
    >>> import kinms as km
    >>> km.north_up("kcwi.fits", "north_up.fits")  # doctest: +SKIP
    >>> cube = km.read_cube("north_up.fits", line="[OII]3726")  # doctest: +SKIP
    """
    _check_installed()
    target = _new_file(path, output, overwrite)
    with ImageFile(path, hdu) as image:
        tamed = _tamed(image)
        old = _celestial(tamed)
        fault = _fault(old, tamed)
        if fault is None:
            expected = "one that is turned from North, or whose pixels are not square"
            raise InputError(str(path), "North up with square pixels already", expected, "There is nothing to do.")
        new, shape = _new_grid(old, tamed, about_middle=False)
        header = _header(tamed, new, about_middle=False)
        lengths = (tamed.lengths[tamed.axes.spectral - 1], *shape)
        if _fault(new, tame(header, lengths, wanted=Wanted(_STAND_INS[0]))):  # the projection stretches the field
            new, shape = _new_grid(old, tamed, about_middle=True)
            header = _header(tamed, new, about_middle=True)
        noise, flags = find_noise(image), find_flags(image)
        planes = _Planes(image, tamed, old, new, shape)
        data, sigma, bad = planes.resample(noise, flags)
        if (noise or flags) and not np.isfinite(data).any():
            beside = " and ".join(str(one) for one in (noise, flags) if one)
            noise = flags = None
            data, sigma, bad = planes.resample(noise, flags)
            if np.isfinite(data).any():
                warnings.warn(f"no voxel is left by {beside}, which is left aside", KinmsWarning, stacklevel=2)
    if not np.isfinite(data).any():
        message = "has no finite voxel whose neighbours are finite: nothing is left to resample."
        raise FileError(path, message, "Check its data.")
    lines = _lines(old, tamed, new, shape)
    if sigma is not None:
        lines.append(f"each voxel alone scatters {planes.scatter():.2f} times as much as ERR states (white noise)")
    for line in lines:
        header.add_history(line)
    extensions = _extensions(header, tamed, sigma, bad)
    write_image(target, data, header, overwrite=overwrite, extensions=extensions)
    return tuple(lines)


class _Planes:
    """The planes of an image, on their way to the new grid."""

    def __init__(self, image: ImageFile, tamed: Tamed, old: WCS, new: WCS, shape: tuple[int, int]) -> None:
        self.image, self.tamed, self.old, self.new, self.shape = image, tamed, old, new, shape
        self.n = tamed.lengths[tamed.axes.spectral - 1]

    def resample(
        self, noise: Companion | None, flags: Companion | None
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return data, 1 sigma and flags, big-endian as they are written; None for what there is not."""
        bits = int(self.image.header.get("BITPIX", -32))
        kind = ">f4" if bits in (-32, 8, 16) else ">f8"
        cube = (self.n, *self.shape)
        self._check_memory(np.dtype(kind).itemsize * (1 + (noise is not None)) + (flags is not None))
        data = np.empty(cube, kind)
        sigma = None if noise is None else np.empty(cube, kind)
        bad = None if flags is None else np.empty(cube, np.uint8)
        step = max(1, CHUNK // max(math.prod(self.shape), self._old_size))
        for start in range(0, self.n, step):
            part = slice(start, min(start + step, self.n))
            values = np.array(self._read(part), dtype=float)
            values[~np.isfinite(values)] = np.nan
            if flags is not None and bad is not None:
                good = flags.good(self._read(part, flags.hdu))
                values[~good] = np.nan
                bad[part] = self._nearest(~good)
            if noise is not None and sigma is not None:
                one = np.asarray(noise.sigma(self._read(part, noise.hdu)), dtype=float)
                values[~np.isfinite(one)] = np.nan
                with np.errstate(over="ignore"):
                    sigma[part] = np.sqrt(self._spread(one**2))
            with np.errstate(over="ignore"):
                data[part] = self._spread(values)
        return data, sigma, bad

    def scatter(self) -> float:
        """Return the standard deviation that white noise of 1 has on the new grid."""
        noise = np.random.default_rng(np.random.SeedSequence(0)).standard_normal(self._old_shape)
        return float(np.nanstd(self._spread(noise[None])))

    @property
    def _old_shape(self) -> tuple[int, int]:
        axes, lengths = self.tamed.axes, self.tamed.lengths
        return lengths[axes.latitude - 1], lengths[axes.longitude - 1]

    @property
    def _old_size(self) -> int:
        return math.prod(self._old_shape)

    def _read(self, part: slice, hdu: int | None = None) -> np.ndarray:
        """Read channels as (channel, latitude, longitude)."""
        axes, n = self.tamed.axes, len(self.tamed.lengths)
        index: list[slice | int] = [slice(0, length) for length in reversed(self.tamed.lengths)]
        for axis in axes.others:
            index[n - axis] = self.tamed.planes[axis]
        wanted = [n - axis for axis in (axes.spectral, axes.latitude, axes.longitude)]
        index[wanted[0]] = part
        return np.transpose(self.image.read(tuple(index), hdu), [sorted(wanted).index(k) for k in wanted])

    def _spread(self, planes: FloatArray) -> FloatArray:
        from reproject import reproject_adaptive

        found = reproject_adaptive(
            (planes, self.old),
            self.new,
            shape_out=self.shape,
            kernel="hann",
            conserve_flux=False,  # surface brightness
            boundary_mode="strict",
            bad_value_mode="strict",
            roundtrip_coords=False,  # one field of one projection: there is no other way round
            return_footprint=False,
        )
        return np.asarray(found, dtype=float)

    def _nearest(self, bad: np.ndarray) -> np.ndarray:
        """Return flags of the nearest old pixel, 1 outside of the field."""
        y, x = np.mgrid[: self.shape[0], : self.shape[1]]
        world = self.new.wcs_pix2world(x.ravel(), y.ravel(), 0)
        p, q = (np.rint(np.nan_to_num(at, nan=-1.0)).astype(int) for at in self.old.wcs_world2pix(*world, 0))
        ny, nx = self._old_shape
        inside = (p >= 0) & (p < nx) & (q >= 0) & (q < ny)
        found = np.ones((len(bad), inside.size), np.uint8)
        found[:, inside] = bad[:, q[inside], p[inside]]
        return found.reshape(-1, *self.shape)

    def _check_memory(self, per_voxel: int) -> None:
        # Beside the result: a chunk of the old and of the new planes, and the coordinates of one.
        size = max(math.prod(self.shape), self._old_size)
        needed = per_voxel * self.n * math.prod(self.shape) + 8 * (3 * max(CHUNK, size) + 6 * size)
        free = available_memory()
        if free is not None and needed > free:
            cube = " x ".join(str(n) for n in (self.n, *self.shape))
            message = (
                f"is too large to be resampled: {cube} voxels take {in_words(needed)}, and {in_words(free)} are free."
            )
            raise FileError(self.image.path, message, "Cut out the galaxy first, or use a larger machine.")


# -- the two grids ------------------------------------------------------------------------------------------------


def _tamed(image: ImageFile) -> Tamed:
    """Return the header in the standard's form; one that tells no line needs none, as channels stay as they are."""
    try:
        return _declared(tame(image.header, beams=image.beams))
    except HeaderError as error:
        if error.key not in ("RESTFRQ", "RESTWAV"):
            raise
    for hertz in _STAND_INS:
        tamed = tame(image.header, wanted=Wanted(frequency=hertz), beams=image.beams)
        if not any(text.startswith(f"CUNIT{tamed.axes.spectral} is wrong") for text, _ in tamed.notes):
            break
    for key in ("RESTFRQ", "RESTWAV"):
        tamed.header.remove(key, ignore_missing=True)
    return _declared(tamed)


def _declared(tamed: Tamed) -> Tamed:
    """Keep what the reader assumes of the convention from being written down as if the file had said so."""
    if any("does not declare a velocity convention" in text for text, _ in tamed.notes):
        tamed.header.remove("VELREF", ignore_missing=True)
    return tamed


def _celestial(tamed: Tamed) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what astropy repairs in a tamed header changes no number
        try:
            wcs = WCS(wcs_cards(tamed.header), naxis=len(tamed.lengths))
            celestial = wcs.sub([tamed.axes.longitude, tamed.axes.latitude])
            celestial.wcs.set()
        except (ValueError, ArithmeticError, IndexError, MemoryError, TypeError) as error:  # wcslib's are ValueErrors
            text = " ".join(str(error).split())
            message = f"astropy.wcs cannot use this header: {text}"
            raise HeaderError(f"CTYPE{tamed.axes.longitude}", message) from None
    return celestial


def _fault(celestial: WCS, tamed: Tamed) -> HeaderError | None:
    """Return why the reader refuses the orientation; None if it does not."""
    try:
        orientation(celestial, tamed, [])
    except HeaderError as error:
        return error
    return None


def _new_grid(old: WCS, tamed: Tamed, *, about_middle: bool) -> tuple[WCS, tuple[int, int]]:
    """Return the North-up WCS, and (rows, columns)."""
    nx, ny = (tamed.lengths[axis - 1] for axis in (tamed.axes.longitude, tamed.axes.latitude))
    middle = np.array([(nx - 1) / 2.0, (ny - 1) / 2.0])
    there = [float(value) for value in old.wcs_pix2world(*middle, 0)]
    key = f"CRPIX{tamed.axes.longitude}"
    if not np.isfinite(there).all():
        raise HeaderError(key, "the middle of the image is not on the sky.", "Check CRPIX and CDELT.")
    new = old.deepcopy()
    new.wcs.pc, new.wcs.cdelt, new.wcs.crpix = np.eye(2), (-1.0, 1.0), (1.0, 1.0)
    if about_middle:
        new.wcs.ctype = [f"{name[:5]}TAN" for name in old.wcs.ctype]
        new.wcs.crval, new.wcs.lonpole, new.wcs.latpole = there, math.nan, math.nan
        new.wcs.set_pv([])
    new.wcs.set()

    def plane(pixels: FloatArray) -> FloatArray:
        """Degrees West and North in the new projection, from pixels of the old one."""
        world = old.wcs_pix2world(pixels, 0)
        return np.asarray(new.wcs_world2pix(world, 0))

    half = 0.5 * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    steps = plane(middle + half)
    cell = math.sqrt(abs(float(np.linalg.det(steps[::2] - steps[1::2]))))
    x, y = np.arange(nx + 1) - 0.5, np.arange(ny + 1) - 0.5
    border = [np.stack([x, np.full_like(x, at)], axis=1) for at in (-0.5, ny - 0.5)]
    border += [np.stack([np.full_like(y, at), y], axis=1) for at in (-0.5, nx - 0.5)]
    at = plane(np.concatenate(border))
    at = at[np.isfinite(at).all(axis=1)]
    if not (len(at) and cell > 0.0 and math.isfinite(cell)):
        raise HeaderError(key, "the image is not on the sky.", "Check CRPIX and CDELT.")
    low, high = at.min(axis=0) / cell, at.max(axis=0) / cell
    n = np.maximum(np.ceil(high - low - 1e-6), 1.0)
    new.wcs.cdelt = (-cell, cell)
    new.wcs.crpix = 0.5 * (n + 1.0) - 0.5 * (low + high)
    new.wcs.set()
    return new, (int(n[1]), int(n[0]))


def _header(tamed: Tamed, new: WCS, *, about_middle: bool) -> fits.Header:
    """Return the cards of the new grid, and those of the old file that stay true."""
    axes = tamed.axes
    number = {axes.longitude: 1, axes.latitude: 2, axes.spectral: 3}
    header = fits.Header()
    header["WCSAXES"] = 3
    for card in tamed.header.cards:
        key = card.keyword
        found = _AXIS_KEY.fullmatch(key)
        if _OLD_KEY.fullmatch(key) or (about_middle and key in ("LONPOLE", "LATPOLE")):
            continue
        if found is not None:
            axis = number.get(int(found[2]))
            if axis is None or (found[1] == "PV" and about_middle and axis < 3):
                continue
            key = f"{found[1]}{axis}{found[3] or ''}"
        header.append(fits.Card(key, card.value, card.comment), end=True)
    for i in (0, 1):
        header[f"CTYPE{i + 1}"], header[f"CRPIX{i + 1}"] = str(new.wcs.ctype[i]), float(new.wcs.crpix[i])
        header[f"CDELT{i + 1}"] = float(new.wcs.cdelt[i])
        if about_middle:
            header[f"CRVAL{i + 1}"] = float(new.wcs.crval[i])
    if len(tamed.beams) > 1:
        header["CASAMBM"] = (True, "a beam per channel, in the table BEAMS")
    if not header["BUNIT"]:
        del header["BUNIT"]
    return header


# -- what is written ----------------------------------------------------------------------------------------------


def _lines(old: WCS, tamed: Tamed, new: WCS, shape: tuple[int, int]) -> list[str]:
    matrix = old.pixel_scale_matrix  # rows East, North; columns the old pixel axes
    sides = 3600.0 * np.hypot(matrix[0], matrix[1])
    turn = math.degrees(math.atan2(matrix[0, 1], matrix[1, 1]))
    hand = "" if np.linalg.det(matrix) < 0 else ", mirrored"
    nx, ny = (tamed.lengths[axis - 1] for axis in (tamed.axes.longitude, tamed.axes.latitude))
    cell, projection = 3600.0 * float(new.wcs.cdelt[1]), str(new.wcs.ctype[0])[5:]
    was = f'{nx} x {ny} pixels of {sides[0]:.6g}" x {sides[1]:.6g}"'
    return [
        f"{_release('kinms')}: resampled by north_up with {_release('reproject')}, adaptive, Hann window",
        f"was: {was}, y axis at position angle {turn:.6g} deg{hand}",
        f'is: {shape[1]} x {shape[0]} pixels of {cell:.6g}", North up, {projection}; neighbours are correlated',
    ]


def _release(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} (not installed)"


def _extensions(
    header: fits.Header, tamed: Tamed, sigma: np.ndarray | None, bad: np.ndarray | None
) -> list[tuple[np.ndarray, fits.Header] | fits.BinTableHDU]:
    """Return noise and flags in the form of ESO's pipelines, and CASA's table of beams."""
    found: list[Any] = []
    kinds = (("ERR", sigma, "ERROR", "RMSE"), ("DQ", bad, "QUALITY", "MASKONE"))
    for name, values, group, meaning in kinds:
        if values is None:
            continue
        cards = wcs_cards(header)
        cards["EXTNAME"] = name
        cards["HDUCLASS"], cards["HDUDOC"], cards["HDUCLAS1"] = "ESO", "DICD", "IMAGE"
        cards["HDUCLAS2"], cards["HDUCLAS3"] = group, meaning
        if name == "ERR" and "BUNIT" in header:
            cards["BUNIT"] = header["BUNIT"]
        found.append((values, cards))
    if len(tamed.beams) > 1:
        units = ("arcsec", "arcsec", "deg")
        columns = [
            fits.Column(name, "D", unit=unit, array=np.array(values))
            for name, unit, values in zip(("BMAJ", "BMIN", "BPA"), units, zip(*tamed.beams, strict=True), strict=True)
        ]
        columns += [
            fits.Column("CHAN", "J", array=np.arange(len(tamed.beams))),
            fits.Column("POL", "J", array=np.zeros(len(tamed.beams))),
        ]
        table = fits.BinTableHDU.from_columns(columns, name="BEAMS", ver=1)
        table.header["NCHAN"], table.header["NPOL"] = len(tamed.beams), 1
        found.append(table)
    return found


def _new_file(path: PathLike, output: PathLike, overwrite: bool) -> Path:
    """Return the path of a file that may be written, before anything is computed."""
    target = Path(output)
    if target.exists() and Path(path).exists() and os.path.samefile(path, target):
        raise InputError("output", str(output), "another file than the one that is read")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise FileError(target, "cannot be written.", "Give the name of a file in a folder that exists.")
    if target.exists() and not overwrite:
        raise OutputExistsError(target, "Choose another name, or allow overwriting.")
    return target


def _check_installed() -> None:
    if importlib.util.find_spec("reproject") is None:
        fix = 'Install it with: pip install "kinms[north-up]"'
        raise InputError("the package reproject", "not installed", "it installed", fix)
