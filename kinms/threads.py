"""How many threads a model may use, and the few lines that run tasks on them.

The tasks are kernels that let go of Python's lock. A model is always cut into the same tasks, so that the number of
threads changes how long it takes and never a bit of it.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import parent_process
from numbers import Real
from typing import Any, TypeVar

from kinms.errors import InputError, InputTypeError

__all__ = ["cores", "limit", "run", "set_threads", "share", "spans"]

Task = TypeVar("Task")
Result = TypeVar("Result")

# Unasked, no more than this: beyond it a model gains little, and others are at work on big machines.
_MOST = 4

# The process that set it, and what it set.
_chosen: tuple[int, int] | None = None
# The process that made it, how many threads it may have, and the pool: of one that was forked only the memory is left.
_pool: tuple[int, int, ThreadPoolExecutor] | None = None


def set_threads(n: int | None) -> None:
    """Set how many threads a model of this process may use.

    Unless this is called, it is what the environment variable ``KINMS_NUM_THREADS`` says, else ``OMP_NUM_THREADS``,
    else the number of cores this process may use, but no more than 4. In a worker process (of joblib, loky or
    multiprocessing), which shares the cores with others, it is 1 unless ``KINMS_NUM_THREADS`` says otherwise.
    `kinms.fit` gives each of its workers an equal share of the cores. The number changes how long a model takes, and
    never a bit of it.

    Parameters
    ----------
    n : int or None
        At least 1; None goes back to the default.

    Raises
    ------
    InputError
        If ``n`` is below 1 or not whole.
    InputTypeError
        If ``n`` is not a number.

    Examples
    --------
    >>> import kinms as km
    >>> km.set_threads(2)
    >>> limit()
    2
    >>> km.set_threads(None)
    """
    global _chosen
    if n is None:
        _chosen = None
        return
    if isinstance(n, bool) or not isinstance(n, Real):
        raise InputTypeError("the number of threads", repr(n), "a whole number of at least 1, or None")
    _chosen = os.getpid(), _whole("the number of threads", n)


def limit() -> int:
    """Return how many threads a model may use, see `set_threads`.

    Raises
    ------
    InputError
        If ``KINMS_NUM_THREADS`` is not a whole number of at least 1. (``OMP_NUM_THREADS``, which is not ours, is left
        out if it makes no sense.)
    """
    worker = parent_process() is not None
    # A forked worker remembers what was set in its parent, where it was meant for all the cores.
    if _chosen is not None and (not worker or _chosen[0] == os.getpid()):
        return _chosen[1]
    ours = os.environ.get("KINMS_NUM_THREADS", "").strip()
    if ours:
        return _whole("KINMS_NUM_THREADS", ours)
    if worker:
        return 1
    try:
        # A list is for nested regions, "4,2": ours are the outer ones.
        return _whole("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "").split(",")[0])
    except InputError:
        return min(cores(), _MOST)


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1


def share(processes: int) -> int:
    """Return how many threads each of ``processes`` workers may use for all of them to fit on the cores."""
    return max(min(limit(), cores() // processes), 1)


def run(function: Callable[[Task], Result], tasks: Iterable[Task], n: int) -> list[Result]:
    """Call ``function(task)`` for each task, on up to ``n`` threads of which the caller's is one.

    Parameters
    ----------
    function : callable
        Worth a thread only where it lets go of Python's lock. Tasks must not write to the same place.
    tasks : iterable
        Handed out in ``n`` contiguous chunks.
    n : int
        With 1 this is a plain loop.

    Returns
    -------
    list
        What the function returned, in the order of the tasks.

    Raises
    ------
    Exception
        That of the first task, in their order, that raised one; no task is at work any more then. The rest of its chunk
        has not been done.

    Examples
    --------
    >>> run(abs, [-1, 2, -3], 2)
    [1, 2, 3]
    """
    tasks = list(tasks)
    n = min(n, len(tasks))
    if n <= 1:
        return [function(task) for task in tasks]
    chunks = deque(spans(len(tasks), n))
    results: list[Any] = [None] * len(tasks)
    errors: list[tuple[int, Exception]] = []

    def work() -> None:
        # Whoever is free takes the next chunk, the caller too: it waits for none that nobody has begun, so that many
        # callers, or one inside a task, cannot wait for each other.
        while chunks:
            try:
                i, stop = chunks.popleft()
            except IndexError:
                return
            try:
                for i in range(i, stop):  # noqa: B020  (i tells which task failed)
                    results[i] = function(tasks[i])
            except Exception as error:
                errors.append((i, error))

    others = _start(work, n - 1)
    try:
        work()
    finally:
        for other in others:
            if not other.cancel():
                other.result()
    if errors:
        raise min(errors, key=lambda pair: pair[0])[1]
    return results


def spans(size: int, n: int) -> list[tuple[int, int]]:
    """Return the (first, end) of ``n`` contiguous parts of 0 to ``size``, as even as can be, none of them empty.

    Examples
    --------
    >>> spans(5, 2), spans(1, 3)
    ([(0, 2), (2, 5)], [(0, 1)])
    """
    edges = [size * k // n for k in range(n + 1)]
    return [span for span in itertools.pairwise(edges) if span[1] > span[0]]


def _start(work: Callable[[], None], n: int) -> list[Future[None]]:
    """Ask for ``n`` more threads, and return those that could be had."""
    global _pool
    if _pool is None or _pool[0] != os.getpid() or _pool[1] < n:
        # Threads of a smaller pool end by themselves, when nobody refers to it.
        _pool = os.getpid(), n, ThreadPoolExecutor(n, thread_name_prefix="kinms")
    pool = _pool[2]
    started = []
    try:
        for _ in range(n):
            started.append(pool.submit(work))
    except RuntimeError:  # the interpreter is about to exit, or the system grants no more threads: the caller does it
        pass
    return started


def _whole(name: str, value: Any) -> int:
    """Return ``value`` as a whole number of at least 1."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (number >= 1.0 and number.is_integer()):
        raise InputError(name, repr(value), "a whole number of at least 1")
    return int(number)
