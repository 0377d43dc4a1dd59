"""A ledger of what has been computed, from which a run that was stopped goes on to the same result, bit for bit.

A sampler is a function of the log-probability and of a seed, and nothing else. It is therefore enough to keep each
vector that was evaluated with its value: started again, the sampler asks the same questions, and those it had asked
before are answered at once. The sampler itself needs to know nothing of it.

The folder ``checkpoint`` holds ``identity.json``, which tells whose run it is, and segments: files with the pairs that
were computed since the segment before. A segment is named after its content and its run, so that one that is cut
short, damaged or from elsewhere is told and left out; it appears complete or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import time
import types
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinms.atomic import PARTIAL, replacing
from kinms.errors import FileError, KinmsWarning, OutputExistsError
from kinms.records import FloatArray

__all__ = ["CheckpointWarning", "Ledger", "Recorded", "clear", "digest", "exists", "read_identity"]

#: Inside the folder of the results.
FOLDER = "checkpoint"
IDENTITY = "identity.json"
#: Seconds between segments.
INTERVAL = 60.0
#: How values of an identity begin that only a computer can read.
HASHED = "sha256:"


class CheckpointWarning(KinmsWarning):
    """A checkpoint could not be written, or not be read; the run goes on."""


class Ledger:
    """Vectors and their log-probabilities, written to a folder as they come.

    Parameters
    ----------
    folder : path
        Of the results; the ledger is in its folder ``checkpoint``.
    identity : mapping of str to str
        What the values depend on: name, as it is shown to people -> content, or its `digest`.
    interval : float
        Seconds between one segment and the next; this much is lost at most if the process is killed.

    Attributes
    ----------
    known : dict of bytes to float
        What earlier runs have computed.
    trouble : str
        Why the ledger could not be written the first time that it could not, else empty.

    Raises
    ------
    OutputExistsError
        If there is a checkpoint already.

    Warns
    -----
    CheckpointWarning
        Once, if it cannot be written. The pairs are kept in memory, and written when that is possible again.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ledger = Ledger(folder, {"the data": digest(np.arange(3.0))}, interval=0.0)
    ...     value = ledger.wrap(lambda x: -float(x @ x))(np.array([1.0, 2.0]))
    ...     Ledger.open(folder, {"the data": digest(np.arange(3.0))}).wrap(None)(np.array([1.0, 2.0]))
    -5.0
    """

    def __init__(self, folder: str | os.PathLike[str], identity: Mapping[str, str], interval: float = INTERVAL) -> None:
        if exists(folder):
            fix = "Continue it with resume=True, or remove the folder."
            raise OutputExistsError(Path(folder) / FOLDER, fix)
        self._begin(folder, identity, interval)
        self.flush()

    @classmethod
    def open(cls, folder: str | os.PathLike[str], identity: Mapping[str, str], interval: float = INTERVAL) -> Ledger:
        """Return the ledger that is there already, to go on with.

        Raises
        ------
        FileError
            If there is none, or it belongs to another run; says in what they differ.

        Warns
        -----
        CheckpointWarning
            For each segment that cannot be used.
        """
        found = read_identity(folder)
        differences = _differences(found, dict(identity))
        if differences:
            fix = "Resume with what it was begun with, or start again without it."
            message = f"is of another run: {'; '.join(differences)}."
            raise FileError(Path(folder) / FOLDER, message, fix)
        ledger = cls.__new__(cls)
        ledger._begin(folder, identity, interval)
        for path in sorted(ledger.place.glob("segment-*.npy")):
            ledger._read(path)
        return ledger

    def _begin(self, folder: str | os.PathLike[str], identity: Mapping[str, str], interval: float) -> None:
        self.place, self.interval = Path(folder) / FOLDER, interval
        self.known: dict[bytes, float] = {}
        self.trouble = ""
        self._identity = json.dumps(dict(identity), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        self._pending: list[tuple[bytes, float]] = []
        self._due = time.monotonic() + interval

    def wrap(self, log_prob: Callable[[FloatArray], float]) -> Recorded:
        """Return a log-probability that looks into this ledger first, and notes there what it computes."""
        return Recorded(log_prob, self)

    def add(self, key: bytes, value: float) -> None:
        """Note the value of a vector, given as its bytes."""
        self._pending.append((key, value))
        if time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Write what has not been written."""
        try:
            self.place.mkdir(parents=True, exist_ok=True)
            if not (self.place / IDENTITY).is_file():
                _write(self.place / IDENTITY, self._identity.encode())
            if self._pending:
                content = _as_file(_as_rows(dict(self._pending)))
                _write(self.place / self._name(content), content)
                self._pending = []
        except OSError as error:
            self._complain(error)
        self._due = time.monotonic() + self.interval

    def _name(self, content: bytes) -> str:
        return f"segment-{hashlib.sha256(self._identity.encode() + content).hexdigest()[:32]}.npy"

    def _complain(self, error: OSError) -> None:
        if self.trouble:
            return
        reason = error.strerror or str(error)
        self.trouble = (
            f"The checkpoint cannot be written to {self.place} ({reason}). The run goes on and tries again; if it is "
            "killed, what it computed since is lost."
        )
        warnings.warn(self.trouble, CheckpointWarning, stacklevel=2)

    def _read(self, path: Path) -> None:
        try:
            content = path.read_bytes()
            if path.name != self._name(content):
                raise ValueError("it is cut short, damaged, or of another run")
            rows = np.load(io.BytesIO(content), allow_pickle=False)
        except (OSError, ValueError) as error:
            message = f"{path} is left out of the checkpoint: {error}. What it held is computed again."
            warnings.warn(message, CheckpointWarning, stacklevel=4)
            return
        self.known.update(_as_pairs(rows))


class Recorded:
    """A log-probability with a memory; made by `Ledger.wrap`.

    It can be sent to worker processes, with all that was known when it was sent. What it computes there it hands over
    to `news`, which goes back to `heed`: one process alone writes.

    Parameters
    ----------
    log_prob : callable
        Of a vector.
    ledger : Ledger
        Where values are looked up and noted.
    """

    def __init__(self, log_prob: Callable[[FloatArray], float], ledger: Ledger) -> None:
        self.log_prob = log_prob
        self._known = ledger.known
        self._ledger: Ledger | None = ledger
        self._news: list[tuple[bytes, float]] = []

    def __call__(self, vector: Any) -> float:
        """Return the log-probability, computed only if it is not known."""
        x = np.ascontiguousarray(vector, dtype=float)
        key = x.tobytes()
        value = self._known.get(key)
        if value is None:
            value = float(self.log_prob(x))
            if self._ledger is None:
                self._news.append((key, value))
            else:
                self._ledger.add(key, value)
        return value

    def news(self) -> list[tuple[bytes, float]] | None:
        """Return what was computed in this worker since the last call, or None."""
        news, self._news = self._news, []
        return news or None

    def heed(self, news: list[tuple[bytes, float]]) -> None:
        """Note what a worker computed."""
        if self._ledger is not None:
            for key, value in news:
                self._ledger.add(key, value)

    def __getstate__(self) -> dict[str, Any]:
        return {"log_prob": self.log_prob, "rows": _as_rows(self._known)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.log_prob = state["log_prob"]
        self._known, self._ledger, self._news = dict(_as_pairs(state["rows"])), None, []


def exists(folder: str | os.PathLike[str]) -> bool:
    """Return whether there is a checkpoint in a folder of results."""
    return (Path(folder) / FOLDER / IDENTITY).is_file()


def clear(folder: str | os.PathLike[str]) -> None:
    """Remove the checkpoint from a folder of results, if there is one: they are complete, or begun anew."""
    place = Path(folder) / FOLDER
    if exists(folder):
        # Last, as it is what makes a checkpoint of the folder.
        for path in [*place.glob("segment-*.npy"), *place.glob(f"{PARTIAL}*"), place / IDENTITY]:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds something that is not ours
            place.rmdir()


def read_identity(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Return the identity of the checkpoint in a folder of results.

    Raises
    ------
    FileError
        If there is no checkpoint, or its identity cannot be read.
    """
    path = Path(folder) / FOLDER / IDENTITY
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(folder, "holds no checkpoint to go on from.", "Start the run without resuming.") from None
    except (OSError, ValueError) as error:
        raise FileError(path, f"cannot be read ({error}).", "Start the run again.") from error
    if not isinstance(found, dict):
        raise FileError(path, "is not that of a checkpoint.", "Start the run again.")
    return {str(name): str(value) for name, value in found.items()}


def _differences(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Name, one by one, what differs between two identities; values that people can read are shown."""
    said = []
    for name in [*found, *(name for name in wanted if name not in found)]:
        before, now = found.get(name), wanted.get(name)
        if before == now:
            continue
        if any(value is None or value.startswith(HASHED) for value in (before, now)):
            said.append(f"{name} differs")
        else:
            said.append(f"{name} was {before} and is {now}")
    return said


def _as_rows(pairs: dict[bytes, float]) -> FloatArray:
    """Return pairs as an array of shape (n, npar + 1), the values in the last column."""
    if not pairs:
        return np.empty((0, 1))
    vectors = np.frombuffer(b"".join(pairs), dtype=float).reshape(len(pairs), -1)
    return np.column_stack([vectors, list(pairs.values())])


def _as_pairs(rows: FloatArray) -> list[tuple[bytes, float]]:
    vectors = np.ascontiguousarray(rows[:, :-1])
    return [(vector.tobytes(), value) for vector, value in zip(vectors, rows[:, -1].tolist(), strict=True)]


def _as_file(rows: FloatArray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, rows, allow_pickle=False)
    return stream.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file that is complete, and on the disk, before it has its name."""
    with replacing(path) as part:
        part.write_bytes(content)


# --- content hashes ---------------------------------------------------------------------------------------------------


def digest(thing: Any) -> str:
    """Return a hash of the content of something: numbers, arrays, records, functions, and what is made of them.

    It is the same in every process, and does not depend on where in memory things are.

    Examples
    --------
    >>> digest([1.0, np.arange(2)]) == digest([1.0, np.arange(2)]), digest(1.0) == digest(2.0)
    (True, False)
    """
    content = hashlib.sha256()
    _feed(content.update, thing, ())
    return HASHED + content.hexdigest()


def _feed(put: Callable[[bytes], Any], thing: Any, above: tuple[int, ...]) -> None:
    """Put all that makes a thing into a hash, parts after each other, each with its kind and its size."""

    def parts(kind: str, *things: Any) -> None:
        put(f"<{kind} {len(things)}>".encode())
        for part in things:
            _feed(put, part, (*above, id(thing)))

    if id(thing) in above:
        put(f"<again {above[::-1].index(id(thing))}>".encode())
    elif isinstance(thing, np.ndarray) and not thing.dtype.hasobject:
        put(f"<array {thing.dtype.descr} {thing.shape}>".encode())
        put(np.ascontiguousarray(thing).tobytes())
    elif isinstance(thing, np.generic):
        _feed(put, thing.item(), above)
    elif thing is None or isinstance(thing, (bool, int, float, complex, str, bytes)):
        text = repr(thing).encode()
        put(f"<{type(thing).__name__} {len(text)}>".encode() + text)
    elif isinstance(thing, (tuple, list)):
        parts("list", *thing)
    elif isinstance(thing, (set, frozenset)):
        parts("set", *sorted(map(digest, thing)))
    elif isinstance(thing, Mapping):
        parts("mapping", *(part for pair in thing.items() for part in pair))
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        values = [getattr(thing, field.name) for field in dataclasses.fields(thing)]
        parts(f"record {_full_name(type(thing))}", *values)
    elif isinstance(thing, types.FunctionType):
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        parts(f"function {_full_name(thing)}", thing.__code__, thing.__defaults__, thing.__kwdefaults__, cells)
    elif isinstance(thing, types.CodeType):
        parts("code", thing.co_code, thing.co_names, thing.co_varnames, list(thing.co_consts))
    elif isinstance(thing, (type, types.BuiltinFunctionType, types.ModuleType, np.ufunc)):
        parts(f"name {_full_name(thing)}")
    elif isinstance(thing, (np.random.RandomState, np.random.Generator)):
        parts("random numbers")  # scipy's distributions carry one, which is new in every process
    else:
        _feed_other(parts, thing)


def _feed_other(parts: Callable[..., None], thing: Any) -> None:
    """Take anything else by what pickle would make it from."""
    kind = f"object {_full_name(type(thing))}"
    try:
        made = thing.__reduce_ex__(4)
    except Exception:  # what cannot be pickled has no content that could be told
        parts(kind)
        return
    if isinstance(made, str):
        parts(kind, made)
        return
    maker, arguments, state, items, pairs = (*made, None, None, None)[:5]
    parts(kind, maker, arguments, state, list(items or ()), list(pairs or ()))


def _full_name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', getattr(thing, '__name__', ''))}"
