"""The FITS file itself: finding the image in it, reading part of it, and writing one that is never half there.

A plain file is mapped, and only the pages that hold what is asked for are ever read: a cube of any size costs what is
cut out of it. A packed one (gzip, bzip2, xz) has to be unpacked whole first, up to `IN_MEMORY` in memory and beyond
that into a temporary file.
"""

from __future__ import annotations

import errno
import gzip
import io
import mmap
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from astropy.io import fits

from kinms.atomic import replacing
from kinms.errors import FileError, HeaderError, InputError, InputTypeError, KinmsError
from kinms.fits_stream import GARBLED, one_line, open_stream

__all__ = ["COMPANIONS", "ImageFile", "PathLike", "write_image"]

PathLike = str | os.PathLike[str]

#: Extensions that stand beside the data: variances, quality flags, masks.
COMPANIONS = (
    *("STAT", "DQ", "VARIANCE", "VAR", "ERR", "ERROR", "NOISE", "SIGMA", "IVAR", "MASK", "QUALITY", "BADPIX"),
    *("WEIGHT", "ERRWEIGHT", "WMAP", "EXPOSURE", "COVAR"),
)

#: Cards of the primary header that hold for an image extension which lacks them.
_INHERITED = (
    *("BUNIT", "BMAJ", "BMIN", "BPA", "RESTFRQ", "RESTFREQ", "RESTWAV", "SPECSYS", "VELREF"),
    *("RADESYS", "RADECSYS", "EQUINOX", "EPOCH", "OBJECT", "TELESCOP", "INSTRUME"),
)
#: A box that is less than one in so many of the voxels it spans in the file is read page by page.
SPARSE = 4


class ImageFile:
    """One image of a FITS file, open for reading; a context manager.

    Parameters
    ----------
    path : path
        Plain FITS, or packed by gzip, bzip2 or xz.
    hdu : int or str, optional
        Number or EXTNAME; default the first image of three or more axes that is not a variance or quality array.

    Attributes
    ----------
    header : astropy.io.fits.Header
        Of the image, with what it inherits from the primary HDU.
    index : int
        Number of its HDU.
    notes : tuple of (str, bool)
        What is worth saying of the file, and whether it is a warning.

    Raises
    ------
    FileError
        If the file is missing, no FITS, or shorter than its header says.
    InputError
        If there is no such HDU.
    """

    def __init__(self, path: PathLike, hdu: int | str | None = None) -> None:
        try:
            self.path = Path(path)
        except TypeError:
            raise InputTypeError("path", repr(path), "the path of a FITS file") from None
        self.notes: tuple[tuple[str, bool], ...] = ()
        self._bytes: np.ndarray | None = None
        # Our own stream, so that it is closed whatever astropy makes of a garbled file.
        self._stream, about = open_stream(self.path)
        if about:
            self.notes += ((about, False),)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what matters of astropy's warnings is checked below
                self._file = fits.open(self._stream, memmap=False)
                len(self._file)  # looks at every HDU, so that what is wrong with any is known now
                self.index = self._choose(hdu)
                self.header = self._merged(self.index)
                self._check_length(self.index)
        except BaseException as error:
            self._stream.close()
            if isinstance(error, GARBLED) and not isinstance(error, KinmsError):
                message = f"cannot be read as FITS ({one_line(error)})."
                if isinstance(error, OSError) and error.errno == errno.EINVAL:  # sought beyond what any file can be
                    message = "is truncated, or its header wrong: by that it is larger than a file can be (see NAXIS)."
                raise FileError(path, message, "Copy it again.") from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._stream.close()
        self._bytes = None

    @property
    def beams(self) -> Any:
        """CASA's table of one beam per channel as `radio_beam.Beams`, None if there is none."""
        for hdu in self._file:
            if isinstance(hdu, fits.BinTableHDU) and hdu.name == "BEAMS":
                import radio_beam

                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # of garbled columns; what they make of the beams is checked
                        return radio_beam.Beams.from_fits_bintable(_with_units(hdu))
                except (*GARBLED, NameError) as error:  # a misspelt name is what radio_beam makes of odd units
                    raise HeaderError("BEAMS", f"the table of beams cannot be read ({one_line(error)}).") from None
        return None

    @property
    def headers(self) -> list[fits.Header]:
        """Headers of all HDUs, as they stand."""
        return [entry.header for entry in self._file]

    @property
    def names(self) -> list[str]:
        """EXTNAME of all HDUs, in capitals, empty where there is none."""
        return [entry.name.upper() for entry in self._file]

    def raw_cards(self, hdu: int) -> list[str]:
        """Return the cards of an HDU as they stand in the file, not repaired and without the blanks at their ends."""
        info = self._file[hdu].fileinfo()
        self._stream.seek(info["hdrLoc"])
        text = self._stream.read(info["datLoc"] - info["hdrLoc"]).decode("ascii", "replace")
        cards = [text[start : start + 80].rstrip() for start in range(0, len(text), 80)]
        return cards[: cards.index("END")] if "END" in cards else cards

    def shape(self, hdu: int | None = None) -> tuple[int, ...]:
        """Shape of an image of the file, numpy order; empty where an HDU holds none."""
        entry = self._file[self.index if hdu is None else hdu]
        if not entry.is_image:
            return ()
        sizes = [entry.header.get(f"NAXIS{i}") for i in range(entry.header.get("NAXIS", 0), 0, -1)]
        return tuple(sizes) if all(isinstance(n, int) and n > 0 for n in sizes) else ()

    def read(self, index: tuple[slice | int, ...], hdu: int | None = None) -> np.ndarray:
        """Read part of an image, scaled, with blank voxels as NaN; integers in the index drop their axis.

        Of a plain file with nothing to scale it is a view of the mapped file, in the file's own byte order: what is
        not looked at is never read.
        """
        number = self.index if hdu is None else hdu
        if number != self.index:
            self._check_length(number)
        # astropy's sections do not drop all axes that an integer indexes.
        whole = tuple(part if isinstance(part, slice) else slice(part, part + 1) for part in index)
        entry: Any = self._file[number]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                mapped = None if isinstance(entry, fits.CompImageHDU) else self._mapped(entry)
                if mapped is not None and isinstance(self._bytes, np.memmap):
                    _advise(self._bytes, mapped.shape, whole)
                array = np.asarray(entry.section[whole]) if mapped is None else _scaled(mapped[whole], entry.header)
            except GARBLED as error:
                if isinstance(error, KinmsError):
                    raise
                message = f"is truncated or damaged: its data cannot be read ({one_line(error)})."
                raise FileError(self.path, message, "Copy it again.") from None
        return array[tuple(slice(None) if isinstance(part, slice) else 0 for part in index)]

    def find(self, hdu: int | str) -> int:
        """Return the number of an HDU.

        Raises
        ------
        InputError
            If there is none of this number or name.
        """
        names = self.names
        wanted = hdu.upper() if isinstance(hdu, str) else hdu
        if isinstance(wanted, str) and wanted in names:
            return names.index(wanted)
        if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < len(names):
            return wanted
        listed = ", ".join(f"{i} ({name or 'unnamed'})" for i, name in enumerate(names))
        raise InputError("hdu", repr(hdu), f"one of {listed}")

    def _mapped(self, entry: Any) -> np.ndarray | None:
        """Return an image as it lies in the file, without reading it; None where files cannot be mapped."""
        header = entry.header
        kind = _NUMBERS.get(header.get("BITPIX"))
        if kind is None:
            raise HeaderError("BITPIX", f"is {header.get('BITPIX')!r}; FITS has {sorted(_NUMBERS)}.")
        if self._bytes is None:
            if isinstance(self._stream.raw, io.BytesIO):
                self._bytes = np.frombuffer(self._stream.raw.getvalue(), dtype=np.uint8)
            else:
                try:
                    self._bytes = np.memmap(self._stream, dtype=np.uint8, mode="r")
                except OSError:  # some file systems cannot, and a limit on addresses forbids it
                    return None
        sizes = [header[f"NAXIS{i}"] for i in range(header["NAXIS"], 0, -1)]
        return np.ndarray(tuple(sizes), kind, self._bytes, entry.fileinfo()["datLoc"])

    def _choose(self, hdu: int | str | None) -> int:
        if hdu is not None:
            return self.find(hdu)
        names = self.names
        images = [i for i, entry in enumerate(self._file) if entry.is_image and entry.header.get("NAXIS")]
        cubes = [i for i in images if self._file[i].header["NAXIS"] >= 3]
        main = [i for i in cubes if names[i].rpartition(".")[2] not in COMPANIONS]
        return next(iter(main or cubes or images), 0)

    def _merged(self, index: int) -> fits.Header:
        header = self._file[index].header
        primary = self._file[0].header
        if index == 0 or primary.get("NAXIS"):
            return header
        merged = header.copy()
        for key in _INHERITED:
            if key in primary and key not in merged:
                merged[key] = primary[key]
        return merged

    def _check_length(self, index: int) -> None:
        """Compare the size of the file with what the header promises."""
        entry = self._file[index]
        info = entry.fileinfo()
        if info is None or isinstance(entry, fits.CompImageHDU):
            return
        header = entry.header
        sizes = [header.get(f"NAXIS{i}", 0) for i in range(1, header.get("NAXIS", 0) + 1)]
        if not sizes or not all(isinstance(n, int) for n in sizes):
            return
        needed = info["datLoc"] + abs(header["BITPIX"]) // 8 * int(np.prod(sizes, dtype=object))
        at = self._stream.tell()
        actual = self._stream.seek(0, os.SEEK_END)
        self._stream.seek(at)
        if needed > actual:
            message = f"is truncated: {actual} bytes, and its header asks for {needed}."
            raise FileError(self.path, message, "Copy it again.")


def _with_units(table: fits.BinTableHDU) -> fits.BinTableHDU:
    """Return a table of beams in which columns without a unit have CASA's, arcsec and degrees."""
    given = {"BMAJ": "arcsec", "BMIN": "arcsec", "BPA": "deg"}
    lacking = {
        f"TUNIT{k}": given[name]
        for k, name in enumerate(table.columns.names, start=1)
        if name in given and f"TUNIT{k}" not in table.header
    }
    if lacking:
        table = table.copy()
        table.header.update(lacking)
    return table


def _advise(mapped: np.memmap, shape: tuple[int, ...], index: tuple[slice, ...]) -> None:
    """Keep the system from reading ahead where most of what lies between the first and the last voxel is not wanted.

    Of a small box in each of a thousand channels it would read a hundred times as much.
    """
    parts = [part.indices(n)[:2] for part, n in zip(index, shape, strict=True)]
    span, wanted = 1, 1
    for (start, stop), n in zip(parts, shape, strict=True):
        span, wanted = span * n - n + max(stop - start, 0), wanted * max(stop - start, 0)
    if isinstance(mapped.base, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
        mapped.base.madvise(mmap.MADV_RANDOM if SPARSE * wanted < span else mmap.MADV_NORMAL)


#: Numbers of an image, by BITPIX.
_NUMBERS = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


def _scaled(raw: np.ndarray, header: fits.Header) -> np.ndarray:
    """Return the physical values: BZERO + BSCALE x what the file holds, NaN where that is BLANK."""
    scale, zero = (_card(header, key, default) for key, default in (("BSCALE", 1.0), ("BZERO", 0.0)))
    blank = header.get("BLANK") if raw.dtype.kind in "iu" else None  # BLANK means nothing for floats
    if not isinstance(blank, int) or isinstance(blank, bool):
        blank = None
    if scale == 1.0 and zero == 0.0 and blank is None:
        return raw
    # 32 bits hold 16 with every digit.
    values: Any = raw.astype(np.float32 if raw.dtype.kind in "iu" and raw.dtype.itemsize <= 2 else np.float64)
    if scale != 1.0:
        values *= scale
    if zero != 0.0:
        values += zero
    if blank is not None:
        values[raw == blank] = np.nan
    return np.asarray(values)


def _card(header: fits.Header, key: str, default: float) -> float:
    try:
        value = float(header.get(key, default))
    except (TypeError, ValueError, fits.VerifyError):
        value = np.nan
    if not np.isfinite(value) or (key == "BSCALE" and value == 0.0):
        raise HeaderError(key, f"is {header.get(key)!r}: the data cannot be scaled.", "Correct the card.")
    return value


def write_image(
    path: PathLike,
    data: np.ndarray,
    header: fits.Header,
    *,
    overwrite: bool,
    extensions: Sequence[tuple[np.ndarray, fits.Header] | fits.BinTableHDU] = (),
) -> None:
    """Write an image so that the file is either complete or not there; gzipped if its name ends in .gz.

    Parameters
    ----------
    path : path
        See `kinms.atomic.replacing`.
    data, header : ndarray, astropy.io.fits.Header
        Of the primary HDU.
    overwrite : bool
        Whether an existing file may be replaced.
    extensions : sequence
        Images, as (data, header), and tables that follow.

    Raises
    ------
    OutputExistsError
        If the file exists and may not be overwritten.
    FileError
        If it cannot be written.
    """
    hdus = fits.HDUList([fits.PrimaryHDU(data, header)])
    hdus.extend(fits.ImageHDU(*more) if isinstance(more, tuple) else more for more in extensions)
    hdus.update_extend()
    try:
        with replacing(path, overwrite=overwrite) as part, open(part, "wb") as stream:
            if part.suffix == ".gz":
                # No file name and no time in the gzip header: the same cube makes the same bytes.
                with gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as packed:
                    _write(hdus, packed)
            else:
                _write(hdus, stream)
    except KinmsError:
        raise
    except OSError as error:
        raise FileError(path, f"cannot be written ({error.strerror or error}).", "Check the folder.") from None


def _write(hdus: fits.HDUList, stream: IO[bytes] | gzip.GzipFile) -> None:
    hdus.writeto(stream, output_verify="exception")
