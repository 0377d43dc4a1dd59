"""Who does the work: this process, or a few worker processes. Either way the same is computed.

A `Crew` is a pool of workers that each hold one log-probability. It is pickled once; its large arrays travel by way of
one file that all workers map into their memory, so that they share one copy of the data.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Self

from gastimator_bridge.walk import Batch, LogProb, Walker
from kinms.errors import InputTypeError, SamplingError
from kinms.threads import set_threads, share

__all__ = ["Crew", "crew_or_none", "held", "map_vectors", "run_here", "run_in_workers"]

# Chains report about this often, in seconds; a worker that is interrupted loses no more than that.
_TURN = 0.25
# A worker is one chain: libraries that take a thread per core in each would only fight over the same cores.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "PYFFTW_NUM_THREADS"), "1"
)
# Arrays of fewer bytes are not worth sharing.
_LARGE = 1 << 16
# Arrays begin at multiples of this many bytes, as numpy's own do at least.
_ALIGNED = 64
# A task is taken over by loky within milliseconds; one that is not after this many seconds never will be.
_PATIENCE = 5.0
# A worker looks this often, in seconds, whether the process that it works for is still there.
_WATCH = 1.0

_parcel: _Parcel | None = None
_log_prob: LogProb | None = None


def run_here(log_prob: LogProb, walkers: list[Walker], report: Callable[[], None]) -> bool:
    """Advance all ``walkers`` in turns in this process; return whether Ctrl-C stopped them before their end."""
    try:
        while not all(walker.over for walker in walkers):
            for walker in walkers:
                if not walker.over:
                    walker.advance(log_prob, _TURN)
                    report()
    except KeyboardInterrupt:
        return True
    return False


def run_in_workers(
    log_prob: LogProb, walkers: list[Walker], kept: list[list[Batch]], processes: int, report: Callable[[], None]
) -> bool:
    """Advance the ``walkers`` in worker processes; return whether Ctrl-C stopped them before their end.

    Each entry of ``walkers`` is replaced by what comes back, and its samples move to ``kept``: a chain travels light.

    Raises
    ------
    InputTypeError
        ``log_prob`` cannot be pickled.
    SamplingError
        A worker died; ``walkers`` and ``kept`` then hold what had come back.
    """
    try:
        with Crew(log_prob, processes) as crew:
            waiting = deque(range(len(walkers)))
            at_work: dict[Future[Any], int] = {}
            while waiting or at_work:
                while waiting and len(at_work) < crew.at_once:
                    i = waiting.popleft()
                    at_work[crew.submit(_take_turn, walkers[i])] = i
                back, _ = wait(at_work, return_when=FIRST_COMPLETED)
                for future in sorted(back, key=at_work.__getitem__):
                    i = at_work.pop(future)
                    walkers[i] = crew.result(future)
                    kept[i] += walkers[i].take_finished()
                    if not walkers[i].over:
                        waiting.append(i)
                    report()
    except KeyboardInterrupt:
        return True
    return False


def _take_turn(log_prob: LogProb, walker: Walker) -> Walker:
    walker.advance(log_prob, _TURN)
    return walker


class Crew:
    """Worker processes that each hold one log-probability; a context, at whose end they are gone.

    What a worker learns besides results, it can tell: if the log-probability has a method ``news``, that is called in
    the worker after each task, and what it returns, unless None, goes to the method ``heed`` of the one in this
    process.

    Parameters
    ----------
    log_prob : callable
        Pickled once, and unpickled once per worker.
    processes : int
        Number of workers.

    Raises
    ------
    InputTypeError
        On entering, if ``log_prob`` cannot be pickled.

    Examples
    --------
    >>> with Crew(abs, 1) as crew:
    ...     crew.result(crew.submit(map_vectors, [-1.0, -2.0]))
    [1.0, 2.0]
    """

    def __init__(self, log_prob: LogProb, processes: int) -> None:
        self.log_prob, self.processes = log_prob, processes
        self.at_once = processes + 1  # one more than can be done, so that nobody waits
        self._shared = contextlib.ExitStack()
        self._pool: Any = None
        self._given: set[Future[Any]] = set()

    def __enter__(self) -> Self:
        from joblib.externals import loky

        try:
            data, buffers = _pickle(self.log_prob)
        except Exception as error:
            raise InputTypeError(
                "log_prob",
                f"impossible to pickle ({error})",
                "something that can be sent to a worker",
                "Use one process.",
            ) from error
        parcel = self._shared.enter_context(_Parcel.of(data, buffers))
        self._pool = loky.ProcessPoolExecutor(
            self.processes,
            initializer=_begin_work,
            initargs=(parcel, share(self.processes), os.getpid()),
            env=_ONE_THREAD,
        )
        try:
            with _ctrl_c_ignored():
                self._give(_nothing)  # workers are started with the first task
        except BaseException:
            self.__exit__(KeyboardInterrupt)
            raise
        return self

    def __exit__(self, kind: object = None, *_: object) -> None:
        try:
            if kind is not None:
                self._let_take_over()
            self._pool.shutdown(wait=True, kill_workers=kind is not None)
        finally:
            self._shared.close()

    def submit(self, task: Callable[..., Any], *args: Any) -> Future[Any]:
        """Let a worker call ``task(log_prob, *args)``.

        Raises
        ------
        SamplingError
            If a worker has died.
        """
        try:
            return self._give(_work, task, *args)
        except BrokenProcessPool as error:
            raise _dead() from error

    def _give(self, task: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = self._pool.submit(task, *args)
        self._given.add(future)
        future.add_done_callback(self._given.discard)
        return future

    def _let_take_over(self) -> None:
        """Wait until loky's own thread has every task in hand: killed earlier, it looks for those that it dropped."""
        end = time.monotonic() + _PATIENCE
        while not all(future.running() or future.done() for future in tuple(self._given)) and time.monotonic() < end:
            time.sleep(0.001)

    def result(self, future: Future[Any]) -> Any:
        """Return what the task returned, or raise what it raised.

        Raises
        ------
        SamplingError
            If a worker has died.
        """
        try:
            value, news = future.result()
        except BrokenProcessPool as error:
            raise _dead() from error
        if news is not None:
            self.log_prob.heed(news)  # type: ignore[attr-defined]
        return value

    def map(self, task: Callable[..., Any], things: Sequence[Any]) -> list[Any]:
        """Return what ``task(log_prob, thing)`` returns for each thing, in their order."""
        waiting, at_work = deque(things), deque[Future[Any]]()
        found = []
        while waiting or at_work:
            while waiting and len(at_work) < self.at_once:
                at_work.append(self.submit(task, waiting.popleft()))
            found.append(self.result(at_work.popleft()))
        return found

    def evaluate(self, vectors: Sequence[Any]) -> list[float]:
        """Return the log-probabilities of vectors, in their order; each worker takes its part of them."""
        size = -(-len(vectors) // self.processes)
        parts = [vectors[k : k + size] for k in range(0, len(vectors), size)]
        return [value for part in self.map(map_vectors, parts) for value in part]


@contextlib.contextmanager
def crew_or_none(log_prob: LogProb, processes: int) -> Iterator[Crew | None]:
    """Give a `Crew`, or None where this process is to do it all itself."""
    if processes == 1:
        yield None
    else:
        with Crew(log_prob, processes) as crew:
            yield crew


def map_vectors(log_prob: LogProb, vectors: Sequence[Any]) -> list[float]:
    """Return the log-probability of each vector."""
    return [float(log_prob(x)) for x in vectors]


def held() -> LogProb:
    """Return the log-probability that this process, a worker of a `Crew`, holds."""
    global _parcel, _log_prob

    if _log_prob is None:
        assert _parcel is not None  # what asks is a task of a crew
        _log_prob, _parcel = _parcel.open(), None
    return _log_prob


def _dead() -> SamplingError:
    return SamplingError(
        "a worker process died while it evaluated the model (killed, out of memory, or a crash in compiled code). "
        "One process shows where."
    )


@contextlib.contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Ignore Ctrl-C while workers are started: they inherit that, and none dies of it before it can look away.

    It takes a moment, and who pressed Ctrl-C in it will press again.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone may say what signals do
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)


# --- in a worker ------------------------------------------------------------------------------------------------------


def _begin_work(parcel: _Parcel, n_threads: int, master: int) -> None:
    global _parcel
    # Ctrl-C reaches every process of the terminal; what to do about it is decided in the one that was asked.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_threads(n_threads)
    if os.name == "posix":  # elsewhere a process keeps the number of a parent that is gone
        threading.Thread(target=_leave_with, args=(master,), daemon=True).start()
    _parcel = parcel


def _leave_with(master: int) -> None:
    """End this process when that which it works for was killed, and could not tell it to."""
    while os.getppid() == master:
        time.sleep(_WATCH)
    os._exit(1)


def _nothing() -> None:
    """Do nothing, in a worker that has started."""


def _work(task: Callable[..., Any], *args: Any) -> tuple[Any, Any]:
    try:
        # Unpickled here and not at the start of the worker, so that a failure reaches the user as what it is.
        log_prob = held()
        value = task(log_prob, *args)
    except Exception as error:
        raise _portable(error) from error
    news = getattr(log_prob, "news", None)
    return value, news() if news is not None else None


def _portable(error: Exception) -> Exception:
    """The error itself if it survives the way back, else a SamplingError that says what it was."""
    try:
        data, buffers = _pickle(error)
        pickle.loads(data, buffers=buffers)
    except Exception:
        return SamplingError(f"the log-probability raised {type(error).__name__}: {error}")
    return error


# --- on the way -------------------------------------------------------------------------------------------------------


def _pickle(thing: object) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Pickle as joblib does (functions of a script or a notebook go by value), large arrays apart."""
    try:
        import cloudpickle
    except ModuleNotFoundError:  # older joblibs bring their own
        from joblib.externals import cloudpickle

    apart: list[pickle.PickleBuffer] = []

    def stays(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < _LARGE:
            return True
        apart.append(buffer)
        return False

    return cloudpickle.dumps(thing, protocol=5, buffer_callback=stays), apart


@dataclass(frozen=True)
class _Parcel:
    """Something pickled; its large arrays lie in a file, or go along where none can be written."""

    data: bytes
    path: str = ""
    places: tuple[tuple[int, int], ...] = ()  # first byte and number of bytes of each array in the file
    arrays: tuple[bytearray, ...] = ()

    @classmethod
    @contextlib.contextmanager
    def of(cls, data: bytes, buffers: list[pickle.PickleBuffer]) -> Iterator[_Parcel]:
        """Make a parcel whose file is there until the end of the context."""
        from joblib.externals.loky.backend import resource_tracker

        if not buffers:
            yield cls(data)
            return
        try:
            number, path = tempfile.mkstemp(prefix="kinms-")
        except OSError:
            yield cls(data, arrays=tuple(bytearray(buffer.raw()) for buffer in buffers))
            return
        # The tracker is a process that removes the file should this one be killed.
        resource_tracker.register(path, "file")
        try:
            try:
                with open(number, "wb") as stream:
                    places = tuple(_append(stream, buffer) for buffer in buffers)
                parcel = cls(data, path, places)
            except OSError:
                parcel = cls(data, arrays=tuple(bytearray(buffer.raw()) for buffer in buffers))
            yield parcel
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path)
            resource_tracker.unregister(path, "file")

    def open(self) -> Any:
        """Return the thing itself; arrays in the file can be written to, but what is written stays in this process."""
        if not self.path:
            return pickle.loads(self.data, buffers=self.arrays)
        with open(self.path, "rb") as stream:
            whole = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY))
        return pickle.loads(self.data, buffers=[whole[first : first + size] for first, size in self.places])


def _append(stream: Any, buffer: pickle.PickleBuffer) -> tuple[int, int]:
    stream.write(b"\0" * (-stream.tell() % _ALIGNED))
    with buffer.raw() as raw:
        first = stream.tell()
        stream.write(raw)
        return first, raw.nbytes
