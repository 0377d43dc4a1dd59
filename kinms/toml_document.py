"""A TOML file as its tables and lines: what turns a wrong value into an error that names the line and the key.

Nothing here knows a galaxy. `Document.build` makes a dataclass from a table: the allowed keys and their types are the
fields of the class, so that they are written down once.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from kinms.errors import ConfigError, FileError, InputError, InputTypeError, KinmsError, UnknownNameError
from kinms.records import FloatArray

__all__ = ["Document", "Key", "field_types", "shorten"]

T = TypeVar("T")

#: Path of a key: the names of its tables and its own.
Key = tuple[str, ...]

_NAME = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_LINE = re.compile(rf"\s*(?:\[\[?\s*(?P<table>{_DOTTED})\s*\]|(?P<key>{_DOTTED})\s*=)")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list_of(check: Callable[[Any], bool], length: int | None = None) -> Callable[[Any], bool]:
    def is_list(value: Any) -> bool:
        return isinstance(value, list) and all(map(check, value)) and length in (None, len(value))

    return is_list


#: Type of a field -> its name in TOML, and whether a value is one.
_TYPES: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    float: ("a number", _is_number),
    int: ("an integer", _is_integer),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    str: ("a string", lambda value: isinstance(value, str)),
    FloatArray: ("a list of numbers", _list_of(_is_number)),
    tuple[float, float]: ("a list of two numbers", _list_of(_is_number, 2)),
    tuple[int, int, int]: ("a list of three integers", _list_of(_is_integer, 3)),
    tuple[tuple[float, float], ...]: ("a list of pairs of numbers", _list_of(_list_of(_is_number, 2))),
    tuple[tuple[int, int], ...]: ("a list of pairs of integers", _list_of(_list_of(_is_integer, 2))),
}


def field_types(cls: type) -> Mapping[str, tuple[Any, ...]]:
    """Return the types that each field of a dataclass may have: ``float | None`` is (float, NoneType)."""
    hints = typing.get_type_hints(cls)
    result = {}
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        result[field.name] = typing.get_args(hint) if is_union else (hint,)
    return result


def shorten(value: Any) -> str:
    """Return a value as it looks in TOML, roughly, and never longer than a line can bear."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 40 else f"{text[:36]} ..."


@dataclasses.dataclass(frozen=True)
class Document:
    """A parsed TOML file.

    Parameters
    ----------
    path : Path
        Of the file.
    text : str
        As it was read.
    tables : dict
        What `tomllib` made of it.
    lines : dict
        Dotted key -> 1-based line on which it is given, for tables and for keys outside inline tables.
    laws : mapping
        Type of a field -> kind -> class, for the fields whose value is a table with a ``kind``.
    """

    path: Path
    text: str
    tables: dict[str, Any]
    lines: dict[str, int]
    laws: Mapping[Any, Mapping[str, type]] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path, laws: Mapping[Any, Mapping[str, type]] | None = None) -> Document:
        """Read and parse a file.

        Raises
        ------
        FileError
            If it cannot be read.
        ConfigError
            If it is not TOML; names the line.
        """
        path = Path(path)
        try:
            text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        except OSError as error:
            raise FileError(path, f"cannot be read ({error.strerror}).", "Give the path of a TOML file.") from None
        except UnicodeDecodeError:
            raise ConfigError("", "is not UTF-8 text, as TOML must be.", path=str(path)) from None
        try:
            return cls(path, text, tomllib.loads(text), _index(text), laws or {})
        except tomllib.TOMLDecodeError as error:
            place = re.search(r"\s*\(at (?:line (\d+), column \d+|end of document)\)", str(error))
            number = int(place[1]) if place and place[1] else len(text.rstrip().split("\n"))
            reason = str(error)[: place.start()] if place else str(error)
            if reason.startswith("Cannot"):  # overwrite a value, declare a table twice, ...
                reason += "; a key or table is given twice"
            near = " ".join(text.split("\n")[number - 1].split())
            raise ConfigError("", f"not valid TOML: {reason}, at {near!r}.", path=str(path), line=number) from None

    def error(self, key: Key, message: str) -> ConfigError:
        """Return an error about a key, with its line or that of the nearest table that holds it."""
        nearest = (self.lines.get(".".join(key[:n])) for n in range(len(key), 0, -1))
        line = next((number for number in nearest if number is not None), None)
        return ConfigError(".".join(key), message, path=str(self.path), line=line)

    def value(self, key: Key) -> Any:
        """Return what the file gives for a key that it has."""
        return functools.reduce(lambda table, name: table[name], key, self.tables)

    def resolve(self, name: str) -> Path:
        """Return the path of a file named in the document: relative to it."""
        return self.path.parent / Path(name).expanduser()

    def file(self, key: Key) -> Path:
        """Return the path of the file that a key names.

        Raises
        ------
        ConfigError
            If there is no such file.
        """
        path = self.resolve(self.value(key))
        if not path.is_file():
            raise self.error(key, f"there is no file {path}. Paths are relative to the configuration file.")
        return path

    def check_keys(self, key: Key, names: Iterable[str], allowed: Iterable[str]) -> None:
        """Raise `ConfigError` for the first name that is not allowed in the table ``key``."""
        allowed = list(allowed)
        for name in names:
            if name not in allowed:
                what = "key" if key else "table"
                raise self.error((*key, name), str(UnknownNameError(what, name, allowed)))

    def table(self, key: Key) -> dict[str, Any]:
        """Return a table; raise `ConfigError` if the key holds anything else."""
        value = self.value(key)
        if not isinstance(value, dict):
            raise self.error(key, f"is {shorten(value)}; expected a table, [{'.'.join(key)}].")
        return value

    def build(self, cls: type[T], key: Key, table: Mapping[str, Any], required: Iterable[str] = ()) -> T:
        """Make a dataclass from a table.

        Parameters
        ----------
        cls : type
            Its fields are the keys allowed; those without a default are required.
        key : tuple of str
            Of the table.
        table : mapping
            Its values.
        required : iterable of str
            Fields that are required although the class has a default.

        Raises
        ------
        ConfigError
            If a key is unknown or missing, or a value has the wrong type or is refused by the class.
        """
        types_of = field_types(cls)
        self.check_keys(key, table, types_of)
        needed = [f.name for f in dataclasses.fields(cls) if _has_no_default(f) or f.name in required]  # type: ignore[arg-type]
        for name in needed:
            if name not in table:
                raise self.error((*key, name), f"is missing; needed here: {', '.join(needed)}.")
        values = {name: self._convert((*key, name), value, types_of[name]) for name, value in table.items()}
        try:
            return cls(**values)
        except (InputError, InputTypeError, UnknownNameError) as error:
            raise (self.blame(key, types_of, error) or self.error(key, str(error))) from error

    def blame(self, key: Key, names: Iterable[str], error: KinmsError) -> ConfigError | None:
        """Return an error that names the key of the table ``key`` that another error is about; None if it is none."""
        names = list(names)
        for about in (error.values.get("what", ""), error.values.get("name", "")):
            # "the shape of velocity", "the start of rotation.velocity[2]"
            guilty = [name for name in names if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", str(about))]
            if guilty:
                return self.error((*key, guilty[-1]), str(error))
        return None

    def _convert(self, key: Key, value: Any, allowed: tuple[Any, ...]) -> Any:
        """Check the type of a value; a table becomes a law if it has a ``kind``, else the record that is wanted."""
        kinds = next((self.laws[hint] for hint in allowed if hint in self.laws), None)
        if kinds is not None and isinstance(value, dict):
            return self._law(key, value, kinds)
        record: Any = next((hint for hint in allowed if dataclasses.is_dataclass(hint)), None)
        if record is not None and isinstance(value, dict):
            return self.build(record, key, value)
        known = [_TYPES[hint] for hint in allowed if hint in _TYPES]
        if any(check(value) for _, check in known):
            return value
        expected = [name for name, _ in known]
        if kinds is not None:
            expected.append(f"a table with kind = {' | '.join(kinds)}")
        if record is not None:
            expected.append(f"a table with {', '.join(field_types(record))}")
        raise self.error(key, f"is {shorten(value)}; expected {' or '.join(expected)}.")

    def _law(self, key: Key, table: Mapping[str, Any], kinds: Mapping[str, type]) -> Any:
        if "kind" not in table:
            raise self.error((*key, "kind"), f"is missing; allowed: {', '.join(kinds)}.")
        kind = table["kind"]
        if not isinstance(kind, str) or kind not in kinds:
            raise self.error((*key, "kind"), str(UnknownNameError("kind", kind, kinds)))
        return self.build(kinds[kind], key, {name: value for name, value in table.items() if name != "kind"})


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _index(text: str) -> dict[str, int]:
    """Return the line on which each table and key first appears; keys inside inline tables go with their table."""
    lines: dict[str, int] = {}
    table: Key = ()
    for number, line in enumerate(text.split("\n"), start=1):
        match = _LINE.match(line)
        if match is None:
            continue
        key = tuple(name.strip("\"'") for name in re.findall(_NAME, match["table"] or match["key"]))
        if match["table"]:
            table = key
        else:
            key = (*table, *key)
        for n in range(1, len(key) + 1):
            lines.setdefault(".".join(key[:n]), number)
    return lines
