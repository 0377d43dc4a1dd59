"""Files that are complete or not there: written beside their place, brought to the disk, and moved."""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from kinms.errors import OutputExistsError

__all__ = ["PARTIAL", "replacing"]

#: How the names of unfinished files begin.
PARTIAL = ".partial-"

#: Makes names that no other thread of this process has.
_count = itertools.count()


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[Path]:
    """Give a name beside ``path`` to write to; what is there at the end takes the name ``path``.

    Whatever happens in between, even ``kill -9`` or a full disk, ``path`` is as it was before or complete: what was
    written is on the disk before it gets its name. A symbolic link stays one, and its target is replaced; a file that
    is replaced hands on its permissions. What killed processes left behind of the same file is removed.

    Parameters
    ----------
    path : path
        In a folder that exists.
    overwrite : bool
        Whether a file may be replaced that is there, or that has appeared meanwhile.

    Yields
    ------
    pathlib.Path
        With the suffix of ``path``; not there yet.

    Raises
    ------
    OutputExistsError
        If the file is there and ``overwrite`` is false.
    OSError
        If it cannot be written, may not be changed, or is no plain file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "note.txt")) as part:
    ...         _ = part.write_text("whole")
    ...     [(found.name, found.read_text()) for found in Path(folder).iterdir()]
    [('note.txt', 'whole')]
    """
    target = Path(os.path.realpath(path))
    mode = _check(target, path, overwrite)
    tail = target.name[-40:]  # of at most 160 bytes: names may have 255
    part = target.with_name(f"{PARTIAL}{_machine():08x}-{os.getpid()}-{next(_count)}-{tail}")
    try:
        yield part
        _sync(part)
        _check(target, path, overwrite)
        if mode is not None:
            os.chmod(part, mode)
        os.replace(part, target)
        _remove_leftovers(target.parent, tail)
        if os.name == "posix":  # elsewhere folders cannot be opened
            with contextlib.suppress(OSError):  # some file systems know no such thing; the file is whole all the same
                _sync(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _check(target: Path, path: str | os.PathLike[str], overwrite: bool) -> int | None:
    """Return the permissions of the file that is there, or refuse to replace it."""
    try:
        found = target.stat().st_mode
    except FileNotFoundError:
        return None
    if not overwrite:
        raise OutputExistsError(path, "Choose another name, or allow overwriting.")
    if stat.S_ISDIR(found):
        raise IsADirectoryError(21, "it is a directory", str(path))
    if not stat.S_ISREG(found):
        raise OSError(22, "it is a device or a pipe", str(path))
    if not os.access(target, os.W_OK):  # a move would not ask
        raise PermissionError(13, "Permission denied", str(path))
    return stat.S_IMODE(found)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _machine() -> int:
    return zlib.crc32(platform.node().encode())


def _remove_leftovers(folder: Path, tail: str) -> None:
    """Remove unfinished files of the same name whose process, of this machine, is no more."""
    pattern = re.compile(rf"{re.escape(PARTIAL)}{_machine():08x}-(\d+)-\d+-{re.escape(tail)}")
    with contextlib.suppress(OSError):  # tidiness is no reason to fail
        for name in os.listdir(folder):
            found = pattern.fullmatch(name)
            if found is not None and _is_gone(int(found[1])):
                (folder / name).unlink(missing_ok=True)


def _is_gone(process: int) -> bool:
    if os.name != "posix":  # signal 0 would end it
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
