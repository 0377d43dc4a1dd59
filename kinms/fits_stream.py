"""Opening what may be a FITS file: plain, or packed, or something else that is told by name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from astropy.io import fits

from kinms.errors import FileError, KinmsError
from kinms.memory import in_words

__all__ = ["GARBLED", "HeaderStream", "one_line", "open_stream"]

#: What astropy raises for files that are cut short or garbled.
GARBLED = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError),
    *(MemoryError, zlib.error, fits.VerifyError),
)

#: Packed files that are unpacked on the way, by how they start.
_PACKED: dict[bytes, tuple[str, Callable[..., Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ": ("xz", lzma.open),
}
#: What else is mistaken for a FITS file, by how it starts, and what helps.
_OTHERS = {
    b"PK\x03\x04": ("a zip archive", "Unpack it, and give the FITS file in it."),
    b"7z\xbc\xaf": ("a 7z archive", "Unpack it, and give the FITS file in it."),
    b"Rar!": ("a rar archive", "Unpack it, and give the FITS file in it."),
    b"\x1f\x9d": ("packed by compress", "Unpack it with uncompress."),
    b"\x28\xb5\x2f\xfd": ("packed by zstd", "Unpack it with zstd -d."),
    b"\x89HDF": ("an HDF5 file", "Export it as FITS."),
    b"%PDF": ("a PDF", "Check the path."),
    b"\x89PNG": ("a picture", "Check the path."),
    b"\xff\xd8\xff": ("a picture", "Check the path."),
    b"version https://git-lfs": ("a pointer to a file in git-lfs", "Fetch it with git lfs pull."),
}

#: FITS comes in blocks of so many bytes; a header of more than the second number is none.
BLOCK, LONGEST_HEADER = 2880, 2**23
#: Most axes that the standard allows; cards that give sizes, and their value.
MOST_AXES = 999
_SIZES = re.compile(rb"(NAXIS\d{0,3}|PCOUNT|GCOUNT)\s*")

#: Unpacked files up to this many bytes stay in memory; of the disk this much is left free.
IN_MEMORY = 2**27
LEAVE_FREE = 2**30


_TEXT = frozenset(b"\t\r\n" + bytes(range(32, 127)))


def open_stream(path: Path) -> tuple[HeaderStream, str]:
    """Open a file, unpacked if need be, and say what is worth knowing of that.

    Raises
    ------
    FileError
        If it is no FITS file, plain or packed; says what it is instead.
    """
    start = _check_readable(path)
    stream = HeaderStream(open(path, "rb", buffering=0))  # noqa: SIM115
    for magic, (name, unpack) in _PACKED.items():
        if start.startswith(magic):
            with stream:
                unpacked = _unpack(path, name, unpack(stream))
            size = unpacked.seek(0, os.SEEK_END)
            unpacked.seek(0)
            about = f"the file was unpacked ({name}) to {in_words(size)}: unpacked for good it is read at once"
            # What lies in memory, or the temporary file below its buffer.
            raw = unpacked if isinstance(unpacked, io.BytesIO) else unpacked.detach()
            return HeaderStream(raw), about if size > IN_MEMORY else ""
    return stream, ""


def one_line(error: BaseException) -> str:
    """Return what an error says, as part of a line."""
    return " ".join(str(error).split())[:120] or type(error).__name__


class HeaderStream(io.BufferedReader):
    """A file in which no header keeps astropy busy for ever.

    Where a size is damaged, data would be read for a header up to the end, the same header again and again, or a
    milliard of axes be counted. Headers are read by blocks, one after the other.
    """

    _so_far = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go elsewhere: another header begins."""
        self._so_far = 0
        return super().seek(offset, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes; whole blocks are headers.

        Raises
        ------
        OSError
            If a header is too long, or a size in it impossible.
        """
        self._so_far = self._so_far + BLOCK if size == BLOCK else 0
        if self._so_far > LONGEST_HEADER:
            raise OSError(f"no END within {in_words(LONGEST_HEADER)} of header")
        found = super().read(size)
        if size == BLOCK:
            _check_sizes(found)
        return found


def _check_sizes(block: bytes) -> None:
    """Refuse sizes with which astropy would count for ever, or ask for all the memory there is."""
    for start in range(0, len(block), 80):
        card = block[start : start + 80]
        if _SIZES.fullmatch(card[:8]) and card[8:9] == b"=":
            key, text = card[:8].decode().strip(), card[9:].partition(b"/")[0].decode("ascii", "replace").strip()
            try:
                value = int(text)
            except ValueError:
                raise OSError(f"{key} is {text[:20] or 'blank'}") from None
            if value < 0 or (key == "NAXIS" and value > MOST_AXES):
                raise OSError(f"{key} is {value}")


def _check_readable(path: Path) -> bytes:
    """Return how the file starts, or say why it cannot be one of ours."""
    try:
        if path.is_dir():
            if (path / "table.dat").exists():
                raise FileError(path, "is a CASA image, not a FITS file.", "Export it with CASA's exportfits.")
            raise FileError(path, "is a directory, not a FITS file.", "Give the file in it.")
        if path.exists() and not path.is_file():
            raise FileError(path, "is neither a file nor a link to one.", "Check the path.")
        with open(path, "rb") as stream:
            start = stream.read(4096)
    except FileNotFoundError:
        raise FileError(path, "does not exist.", "Check the path.") from None
    except FileError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = getattr(error, "strerror", None) or error
        raise FileError(path, f"cannot be opened ({why}).", "Check its permissions.") from None
    if not start.startswith((b"SIMPLE", *_PACKED)):
        raise _not_fits(path, start)
    return start


def _not_fits(path: Path, start: bytes, packed: str = "") -> FileError:
    """Return what to say of a file that is no FITS, by how it starts."""
    within = f"packed by {packed}, and in it is " if packed else "is "
    if not start:
        return FileError(path, f"{within}{'nothing' if packed else 'empty'}.", "Copy it again.")
    for magic, (what, fix) in _OTHERS.items():
        if start.startswith(magic):
            return FileError(path, f"{within}{what}, not a FITS file.", fix)
    if start[257:262] == b"ustar":
        return FileError(path, f"{within}a tar archive, not a FITS file.", "Unpack it, and give the FITS file in it.")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in text[:1024]:
        title = re.search(rb"<title[^>]*>([^<]{1,80})", start, re.IGNORECASE)
        said = f" ({' '.join(title[1].decode('utf-8', 'replace').split())!r})" if title else ""
        fix = "The server answered with it instead of the file, for want of a login, say: fetch it again."
        return FileError(path, f"{within}a web page{said}, not a FITS file.", fix)
    if text.startswith((b"<?xml", b"{", b"[")):
        return FileError(path, f"{within}XML or JSON, not a FITS file.", "Is it a server's answer? Fetch it again.")
    begins = f"it starts with {start[:12]!r}"
    if not packed and all(byte in _TEXT for byte in start[:512]):
        return FileError(path, f"is text, not a FITS file ({begins}).", "Check the path.")
    return FileError(path, f"{within}not a FITS file ({begins}).", "Check the path.")


def _unpack(path: Path, name: str, packed: IO[bytes]) -> io.BytesIO | io.BufferedReader:
    """Return what a packed file holds, in memory or, above `IN_MEMORY`, in a temporary file that goes with it."""
    out: IO[bytes] = io.BytesIO()
    folder = tempfile.gettempdir()
    limit = max(shutil.disk_usage(folder).free - LEAVE_FREE, IN_MEMORY)
    size = 0
    try:
        while chunk := packed.read(2**20):
            if not size and not chunk.startswith(b"SIMPLE"):
                raise _not_fits(path, chunk, name)
            size += len(chunk)
            if size > limit:
                message = f"holds more than the {in_words(limit)} that unpacking it may take in {folder}."
                raise FileError(path, message, f"Unpack it with {name} -d where there is room.")
            if size > IN_MEMORY and isinstance(out, io.BytesIO):
                held, out = out.getvalue(), tempfile.TemporaryFile()  # noqa: SIM115
                out.write(held)
            out.write(chunk)
        if not size:
            raise _not_fits(path, b"", name)
    except BaseException as error:
        out.close()
        if isinstance(error, (*GARBLED, lzma.LZMAError)) and not isinstance(error, KinmsError):
            message = f"is truncated or damaged: it cannot be unpacked ({one_line(error)})."
            raise FileError(path, message, "Copy it again.") from None
        raise
    out.seek(0)
    if isinstance(out, io.BytesIO):
        return out
    with out:  # astropy wants a file that is for reading alone
        return io.BufferedReader(io.FileIO(os.dup(out.fileno()), "rb"))
