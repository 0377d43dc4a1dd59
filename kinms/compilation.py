"""How the hot loops become machine code: `kernel` and `part`, decorators for functions of plain arrays and numbers.

numba compiles a kernel when it is first called with arguments of new types, which takes seconds, and keeps the result
in a folder, from which every later process loads it at once: ``NUMBA_CACHE_DIR`` where that is set, else
``__pycache__`` beside the module, else the user's own cache. Here is what numba leaves to be done:

- Where none of these can be written to (a shared installation, a full disk, a container), or where a file in them is
  damaged, the kernels are compiled in every process; nothing else goes wrong.
- Machine code is also taken for stale when the options, the file of a kernel that is called, or a constant that comes
  from another file have changed; numba itself looks at the file of the kernel alone.
- The last bit of a result must not depend on what a process did before. Machine code of a kernel brings its own copies
  of the kernels that it calls, made to fit it, and the system's linker takes for each whichever copy was loaded first.
  So a kernel that others call is a `part`, of which nothing is left to be linked.
- Of processes that meet a new kernel at the same time one compiles, and the others wait and load what it made.
- A process that has to compile says so, once: silence for so long looks like a program that hangs. A library should
  log rather than print, so this goes to the logger ``kinms.compilation`` at level INFO. Most who work at a terminal or
  in a notebook have never set up logging; where nobody hears the logger they get one line on stderr instead. Batch jobs
  and worker processes, where nobody waits, get none.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import logging
import os
import sys
import time
from collections.abc import Callable
from multiprocessing import parent_process
from typing import Any

import numpy as np
from numba import njit

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["kernel", "part"]

# Products may be fused with sums (fma), which only rounds less; nothing that changes the meaning of NaN or of order.
# No C code calls any of these.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
    "no_cfunc_wrapper": True,
}

#: Seconds to wait for another process that compiles: it may have stopped in the middle.
_PATIENCE = 180.0

logger = logging.getLogger(__name__)
_announced = False


def kernel(function: Callable[..., Any] | None = None, *, cache: bool = True, **options: Any) -> Any:
    """Compile a function with numba, outside of Python's lock, and keep the result on disk where there is a place.

    Parameters
    ----------
    function : callable
        Of arrays and numbers; all it calls are parts or what numba knows.
    cache : bool
        Whether to keep the machine code for later processes.
    **options
        Of `numba.njit`; they come before this package's own (``nogil=True``, ``error_model="numpy"``,
        ``fastmath={"contract"}``, ``no_cfunc_wrapper=True``).

    Returns
    -------
    numba dispatcher
        The thing itself and no wrapper: a call costs no more than numba's.

    Examples
    --------
    >>> @kernel(cache=False)
    ... def double(x):
    ...     return x + x
    >>> double(2.0)
    4.0
    """
    if function is None:
        return functools.partial(kernel, cache=cache, **options)
    options = {**_OPTIONS, **options}
    try:
        dispatcher = njit(cache=cache, **options)(function)
    except (RuntimeError, OSError):
        # numba raises while the module is imported if no folder can be written to.
        dispatcher = njit(**options)(function)
    # The only use of what numba does not document: without it, or with NUMBA_DISABLE_JIT, all but the message works.
    if cache and hasattr(dispatcher, "_cache"):
        dispatcher._cache = _Shelf(dispatcher._cache, function, options)
        dispatcher._compiler.compile = _giving_back(dispatcher._compiler.compile)
    return dispatcher


def part(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function that kernels call: it becomes a piece of each of them, see the top of this module.

    Parameters
    ----------
    function, **options : as for `kernel`

    Returns
    -------
    numba dispatcher
        Python itself cannot call it, which saves a sixth of the time that it takes to compile all kernels.

    Examples
    --------
    >>> @part(cache=False)
    ... def double(x):
    ...     return x + x
    >>> @kernel(cache=False)
    ... def quadruple(x):
    ...     return double(double(x))
    >>> quadruple(2.0)
    8.0
    """
    if function is None:
        return functools.partial(part, **options)
    dispatcher = kernel(function, forceinline=True, no_cpython_wrapper=True, **options)
    if hasattr(dispatcher, "_insert"):
        # numba would call what is not there, and end the process.
        dispatcher._insert = lambda *_, **__: None
        dispatcher._compile_for_args = functools.partial(_refuse, function.__name__)
    return dispatcher


def _refuse(name: str, *_: Any, **__: Any) -> None:
    raise TypeError(f"{name} is a part of kernels, which Python cannot call: call kernel({name}.py_func) instead.")


def _giving_back(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """Compile as before, and end this process's turn if that fails, or Ctrl-C stops it: nothing is saved then."""

    def compile_or_give_back(*args: Any) -> Any:
        try:
            return compile_(*args)
        except BaseException:
            _turn.give_back()
            raise

    return compile_or_give_back


class _Shelf:
    """Where numba keeps a kernel's machine code: what goes wrong with files costs time, never the run.

    Parameters
    ----------
    cache : numba.core.caching._Cache
        That it stands before.
    function : callable
    options : dict
        Of the compilation.
    """

    def __init__(self, cache: Any, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self._cache = cache
        self._function = function
        self._options = options

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = self._load(sig, target_context)
        if found is None:
            # numba compiles next, and then saves; until then other processes wait.
            _turn.take(self._cache.cache_path)
            found = self._load(sig, target_context)
            if found is not None:
                _turn.give_back()
        if found is None:
            _announce(kept=self._cache.cache_path is not None)
        return found

    def _load(self, sig: Any, target_context: Any) -> Any:
        try:
            found = self._cache.load_overload(self._key(sig), target_context)
        except Exception as error:  # whatever unpickling half a file comes up with
            found = None
            self._fail("read", error)
            self.flush()
        # Two processes that save different signatures at once may give the files of both the same name.
        if found is not None and tuple(found.signature.args) != tuple(getattr(sig, "args", sig)):
            found = None
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            self._cache.save_overload(self._key(sig), data)
        except Exception as error:  # a full disk, a quota, an index that is no pickle
            self._fail("kept", error)
        finally:
            _turn.give_back()

    def flush(self) -> None:
        try:
            self._cache.flush()
        except Exception as error:
            self._fail("cleared", error)

    def _key(self, sig: Any) -> Any:
        return sig, _fingerprint(self._function, self._options)

    def _fail(self, what: str, error: Exception) -> None:
        logger.info("The compiled kernel %s cannot be %s: %r.", self._function.__name__, what, error)


class _Turn:
    """This process's turn to compile: a lock on a file among the kernels, where there is one and the system has locks.

    Kernels call kernels, so that it is taken again while it is held. Only what numba's own lock guards comes here.
    """

    def __init__(self) -> None:
        self._depth, self._file = 0, -1

    def take(self, folder: str | None) -> None:
        self._depth += 1
        if self._depth > 1 or folder is None or fcntl is None:
            return
        try:
            self._file = os.open(os.path.join(folder, ".kinms-compiling"), os.O_CREAT | os.O_RDWR, 0o666)
        except OSError:  # a folder that cannot be written to
            return
        try:
            self._wait()
        except BaseException:  # Ctrl-C
            self.give_back()
            raise

    def _wait(self) -> None:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:  # a file system without locks
                return

    def give_back(self) -> None:
        self._depth = max(self._depth - 1, 0)
        if self._depth == 0 and self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)  # which unlocks it
            self._file = -1


_turn = _Turn()


def _fingerprint(function: Callable[..., Any], options: dict[str, Any]) -> str:
    """What the machine code depends on besides the kernel's own file and the types of its arguments."""
    parts = [_spell(options)]
    seen: set[Callable[..., Any]] = set()
    waiting = [function]
    while waiting:
        f = waiting.pop()
        if f in seen:
            continue
        seen.add(f)
        parts.append(_digest(inspect.getfile(f)))
        for name in f.__code__.co_names:
            value: Any = f.__globals__.get(name)
            if hasattr(value, "py_func"):
                parts.append(_spell(value.targetoptions))
                waiting.append(value.py_func)
            elif isinstance(value, np.ndarray):
                parts.append(f"{name}={value.dtype}{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}")
            elif isinstance(value, bool | int | float | complex | str | tuple):
                parts.append(f"{name}={value!r}")
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def _spell(options: dict[str, Any]) -> str:
    return repr(sorted((name, sorted(value) if isinstance(value, set) else value) for name, value in options.items()))


@functools.cache
def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:  # typed at a prompt, or shipped without sources
        return path


def _announce(kept: bool) -> None:
    """Say, once in a process, why there will be a pause."""
    global _announced
    if _announced:
        return
    _announced = True
    text = "Compiling the kernels, this first time only: it can take half a minute."
    if not kept:
        text = (
            "Compiling the kernels, which can take half a minute in every process: no folder to keep them in can be "
            "written to. Set NUMBA_CACHE_DIR to one that can."
        )
    if logger.isEnabledFor(logging.INFO) and logger.hasHandlers():
        logger.info(text)
    elif parent_process() is None and sys.stderr is not None and (sys.stderr.isatty() or hasattr(sys, "ps1")):
        # A prompt (ps1) is IPython's too, whose notebooks are no terminal.
        print(f"kinms: {text}", file=sys.stderr, flush=True)
