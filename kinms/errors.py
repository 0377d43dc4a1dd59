"""Exceptions and warnings: which one to raise when.

================== ============================= =======================================================================
class              also a                        raise it when
================== ============================= =======================================================================
InputError         ValueError                    an argument has the right type but an impossible value or shape
InputTypeError     TypeError                     an argument has the wrong type, is missing, or is given twice
UnknownNameError   ValueError                    a name (parameter path, law, keyword) is not one of those allowed
HeaderError        ValueError                    a FITS header lacks or contradicts what is needed; carries the key
ConfigError        ValueError                    a configuration file is wrong; carries the key and maybe the line
FileError          OSError                       a file is missing, truncated or not what it should be
OutputExistsError  FileExistsError               writing would overwrite something and the user did not ask for that
SamplingError      RuntimeError                  a sampler cannot go on (no finite start, dead worker); keeps its chain
================== ============================= =======================================================================

Every class is a `KinmsError`, keeps the values it reports as attributes, and survives pickling (so that it can
come back from a worker process). What is lost at run time but leaves a usable result (flux outside the field, a
beam under two pixels) is a `KinmsWarning` instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "ConfigError",
    "FileError",
    "HeaderError",
    "InputError",
    "InputTypeError",
    "KinmsError",
    "KinmsWarning",
    "OutputExistsError",
    "SamplingError",
    "UnknownNameError",
]


class KinmsWarning(UserWarning):
    """Something was lost or assumed, and the result can still be used."""


class KinmsError(Exception):
    """Base of every error this package raises on purpose.

    Keyword arguments given to a subclass become attributes, and the message is built from them once.
    """

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message)
        self.values = values

    def __getattr__(self, name: str) -> Any:
        # Only reached when normal lookup fails; `values` itself must not recurse while unpickling.
        if name != "values" and name in self.__dict__.get("values", {}):
            return self.values[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self.args[0]) if self.args else "", self.values)


def _rebuild(cls: type[KinmsError], message: str, values: dict[str, Any]) -> KinmsError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.values = values
    return error


class InputError(KinmsError, ValueError):
    """Right type, impossible value or shape: ``name`` is ``got``; expected ``expected``. ``fix``."""

    def __init__(self, name: str, got: Any, expected: str, fix: str = "") -> None:
        message = f"{name} is {got}; expected {expected}."
        super().__init__(f"{message} {fix}".rstrip(), name=name, got=got, expected=expected, fix=fix)


class InputTypeError(KinmsError, TypeError):
    """Wrong type, missing, or given twice."""

    def __init__(self, name: str, got: Any, expected: str, fix: str = "") -> None:
        message = f"{name} is {got}; expected {expected}."
        super().__init__(f"{message} {fix}".rstrip(), name=name, got=got, expected=expected, fix=fix)


class UnknownNameError(KinmsError, ValueError):
    """A name that is not one of those allowed; lists them and suggests the nearest."""

    def __init__(self, what: str, name: str, allowed: Iterable[str]) -> None:
        names = sorted(str(a) for a in allowed)
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(
            f"{what} {name!r} is not known; allowed: {', '.join(names) or 'none'}.{hint}",
            what=what,
            name=name,
            allowed=names,
        )


class HeaderError(KinmsError, ValueError):
    """A FITS header lacks or contradicts something; ``key`` names the card and ``fix`` the option that helps."""

    def __init__(self, key: str, message: str, fix: str = "") -> None:
        super().__init__(f"{key}: {message} {fix}".rstrip(), key=key, fix=fix)


class ConfigError(KinmsError, ValueError):
    """A configuration file is wrong; ``key`` is the dotted path and ``line`` the 1-based line where known."""

    def __init__(self, key: str, message: str, *, path: str = "", line: int | None = None) -> None:
        place = f"{path or 'configuration'}{f', line {line}' if line else ''}"
        subject = f" {key}:" if key else ""
        super().__init__(f"{place}:{subject} {message}", key=key, path=path, line=line)


class FileError(KinmsError, OSError):
    """A file is missing, truncated or of the wrong kind."""

    def __init__(self, path: Any, message: str, fix: str = "") -> None:
        super().__init__(f"{path}: {message} {fix}".rstrip(), path=str(path), fix=fix)

    def __str__(self) -> str:  # OSError would otherwise print only its errno fields
        return str(self.args[0])


class OutputExistsError(KinmsError, FileExistsError):
    """Writing would overwrite something."""

    def __init__(self, path: Any, fix: str) -> None:
        super().__init__(f"{path} exists already and is not overwritten unasked. {fix}", path=str(path), fix=fix)

    def __str__(self) -> str:
        return str(self.args[0])


class SamplingError(KinmsError, RuntimeError):
    """A sampler cannot go on; ``partial`` holds what it had sampled, or None."""

    def __init__(self, message: str, *, partial: Any = None) -> None:
        super().__init__(message, partial=partial)
