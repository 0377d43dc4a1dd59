"""The FITS file itself: finding the image in it, reading part of it, and writing one that is never half there."""

from __future__ import annotations

import gzip
import os
import warnings
import zlib
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from astropy.io import fits

from kinms.errors import FileError, HeaderError, InputError, KinmsError, OutputExistsError

__all__ = ["ImageFile", "PathLike", "write_image"]

PathLike = str | os.PathLike[str]

#: Extensions that stand beside the data: variances, quality flags, masks.
_COMPANIONS = ("STAT", "DQ", "VARIANCE", "VAR", "ERR", "ERROR", "NOISE", "IVAR", "MASK", "QUALITY", "WEIGHT", "COVAR")

#: Cards of the primary header that hold for an image extension which lacks them.
_INHERITED = (
    *("BUNIT", "BMAJ", "BMIN", "BPA", "RESTFRQ", "RESTFREQ", "RESTWAV", "SPECSYS", "VELREF"),
    *("RADESYS", "RADECSYS", "EQUINOX", "EPOCH"),
)
#: What astropy raises for files that are cut short or garbled.
_GARBLED = (OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, zlib.error, fits.VerifyError)


class ImageFile:
    """One image of a FITS file, open for reading; a context manager.

    Parameters
    ----------
    path : path
        Plain, gzipped or bzipped FITS.
    hdu : int or str, optional
        Number or EXTNAME; default the first image of three or more axes that is not a variance or quality array.

    Raises
    ------
    FileError
        If the file is missing, no FITS, or shorter than its header says.
    InputError
        If there is no such HDU.
    """

    def __init__(self, path: PathLike, hdu: int | str | None = None) -> None:
        self.path = Path(path)
        self._packed = _check_readable(self.path)
        # Our own stream, so that it is closed whatever astropy makes of a garbled file.
        self._stream = open(self.path, "rb")  # noqa: SIM115
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what matters of astropy's warnings is checked below
                self._file = fits.open(self._stream, memmap=False)
                len(self._file)  # looks at every HDU, so that what is wrong with any is known now
                index = self._choose(hdu)
                self._hdu: Any = self._file[index]
                self.header = self._merged(index)
                self._check_length()
        except BaseException as error:
            self._stream.close()
            if isinstance(error, _GARBLED) and not isinstance(error, KinmsError):
                message = f"cannot be read as FITS ({_one_line(error)})."
                raise FileError(path, message, "Copy it again.") from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._stream.close()

    @property
    def beams(self) -> Any:
        """CASA's table of one beam per channel as `radio_beam.Beams`, None if there is none."""
        for hdu in self._file:
            if isinstance(hdu, fits.BinTableHDU) and hdu.name == "BEAMS":
                import radio_beam

                try:
                    return radio_beam.Beams.from_fits_bintable(hdu)
                except (KeyError, IndexError, ValueError, TypeError) as error:
                    raise HeaderError("BEAMS", f"the table of beams cannot be read ({_one_line(error)}).") from None
        return None

    def read(self, index: tuple[slice | int, ...]) -> np.ndarray:
        """Read part of the image, scaled, with blank voxels as NaN; integers in the index drop their axis."""
        # astropy's sections do not drop all axes that an integer indexes.
        whole = tuple(part if isinstance(part, slice) else slice(part, part + 1) for part in index)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                array = np.asarray(self._hdu.section[whole])
            except _GARBLED as error:
                message = f"is truncated or damaged: its data cannot be read ({_one_line(error)})."
                raise FileError(self.path, message, "Copy it again.") from None
        return array[tuple(slice(None) if isinstance(part, slice) else 0 for part in index)]

    def _choose(self, hdu: int | str | None) -> int:
        names = [entry.name.upper() for entry in self._file]
        if hdu is not None:
            wanted = hdu.upper() if isinstance(hdu, str) else hdu
            if isinstance(wanted, str) and wanted in names:
                return names.index(wanted)
            if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < len(names):
                return wanted
            listed = ", ".join(f"{i} ({name or 'unnamed'})" for i, name in enumerate(names))
            raise InputError("hdu", repr(hdu), f"one of {listed}")
        images = [i for i, entry in enumerate(self._file) if entry.is_image and entry.header.get("NAXIS")]
        cubes = [i for i in images if self._file[i].header["NAXIS"] >= 3]
        main = [i for i in cubes if names[i].rpartition(".")[2] not in _COMPANIONS]
        return next(iter(main or cubes or images), 0)

    def _merged(self, index: int) -> fits.Header:
        header = self._hdu.header
        primary = self._file[0].header
        if index == 0 or primary.get("NAXIS"):
            return header
        merged = header.copy()
        for key in _INHERITED:
            if key in primary and key not in merged:
                merged[key] = primary[key]
        return merged

    def _check_length(self) -> None:
        """Compare the size of an uncompressed file with what the header promises."""
        info = self._hdu.fileinfo()
        if info is None or self._packed or isinstance(self._hdu, fits.CompImageHDU):
            return
        header = self._hdu.header
        sizes = [header.get(f"NAXIS{i}", 0) for i in range(1, header.get("NAXIS", 0) + 1)]
        if not sizes or not all(isinstance(n, int) for n in sizes):
            return
        needed = info["datLoc"] + abs(header["BITPIX"]) // 8 * int(np.prod(sizes, dtype=object))
        actual = self.path.stat().st_size
        if needed > actual:
            message = f"is truncated: {actual} bytes, and its header asks for {needed}."
            raise FileError(self.path, message, "Copy it again.")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _check_readable(path: Path) -> bool:
    """Return whether the file is compressed, or say why it cannot be one of ours."""
    if path.is_dir():
        raise FileError(path, "is a directory, not a FITS file.", "Give the file in it.")
    try:
        with open(path, "rb") as stream:
            start = stream.read(16)
    except FileNotFoundError:
        raise FileError(path, "does not exist.", "Check the path.") from None
    except OSError as error:
        raise FileError(path, f"cannot be opened ({error.strerror}).", "Check its permissions.") from None
    if not start:
        raise FileError(path, "is empty.", "Copy it again.")
    if not start.startswith((b"SIMPLE", b"\x1f\x8b", b"BZh", b"PK\x03\x04", b"\x1f\x9d", b"\xfd7zXZ")):
        raise FileError(path, f"is not a FITS file (it starts with {start[:12]!r}).", "Check the path.")
    return not start.startswith(b"SIMPLE")


def write_image(path: PathLike, data: np.ndarray, header: fits.Header, *, overwrite: bool) -> None:
    """Write one image so that the file is either complete or not there; gzipped if its name ends in .gz.

    Raises
    ------
    OutputExistsError
        If the file exists and may not be overwritten.
    FileError
        If it cannot be written.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise OutputExistsError(target, "Choose another name, or allow overwriting.")
    hdu = fits.PrimaryHDU(data, header)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as stream:
            if target.suffix == ".gz":
                # No file name and no time in the gzip header: the same cube makes the same bytes.
                with gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as packed:
                    _write(hdu, packed)
            else:
                _write(hdu, stream)
        os.replace(part, target)
    except OSError as error:
        raise FileError(target, f"cannot be written ({error.strerror or error}).", "Check the folder.") from None
    finally:
        part.unlink(missing_ok=True)


def _write(hdu: fits.PrimaryHDU, stream: IO[bytes] | gzip.GzipFile) -> None:
    hdu.writeto(stream, output_verify="exception")
