"""Who advances the chains: this process, or a few worker processes. Either way every chain takes the same steps."""

from __future__ import annotations

import contextlib
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool

from gastimator_bridge.walk import Batch, LogProb, Walker
from kinms.errors import InputTypeError, SamplingError
from kinms.threads import set_threads, share

__all__ = ["run_here", "run_in_workers"]

# Chains report about this often, in seconds; a worker that is interrupted loses no more than that.
_TURN = 0.25
# A worker is one chain: libraries that take a thread per core in each would only fight over the same cores.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "PYFFTW_NUM_THREADS"), "1"
)

_payload: bytes = b""
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
    The log-probability is pickled once, and unpickled once per worker.

    Raises
    ------
    InputTypeError
        ``log_prob`` cannot be pickled.
    SamplingError
        A worker died; ``walkers`` and ``kept`` then hold what had come back.
    """
    from joblib.externals import loky

    try:
        payload = _pickle(log_prob)
    except Exception as error:
        raise InputTypeError(
            "log_prob", f"impossible to pickle ({error})", "something that can be sent to a worker", "Use one process."
        ) from error
    pool = loky.ProcessPoolExecutor(
        processes, initializer=_begin_work, initargs=(payload, share(processes)), env=_ONE_THREAD
    )
    finished = False
    try:
        with _ctrl_c_ignored():
            at_work = {pool.submit(_take_turn, walker): i for i, walker in enumerate(walkers)}
        while at_work:
            back, _ = wait(at_work, return_when=FIRST_COMPLETED)
            for future in sorted(back, key=at_work.__getitem__):
                i = at_work.pop(future)
                walkers[i] = future.result()
                kept[i] += walkers[i].take_finished()
                if not walkers[i].over:
                    at_work[pool.submit(_take_turn, walkers[i])] = i
                report()
        finished = True
    except KeyboardInterrupt:
        return True
    except BrokenProcessPool as error:
        raise SamplingError(
            "a worker process died while it evaluated the model (killed, out of memory, or a crash in compiled code). "
            "One process shows where."
        ) from error
    finally:
        pool.shutdown(wait=True, kill_workers=not finished)
    return False


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


def _begin_work(payload: bytes, n_threads: int) -> None:
    global _payload
    # Ctrl-C reaches every process of the terminal; what to do about it is decided in the one that was asked.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_threads(n_threads)
    _payload = payload


def _take_turn(walker: Walker) -> Walker:
    global _payload, _log_prob

    if _log_prob is None:
        # Here and not at the start of the worker, so that a failure reaches the user as what it is.
        _log_prob, _payload = pickle.loads(_payload), b""
    try:
        walker.advance(_log_prob, _TURN)
    except Exception as error:
        raise _portable(error) from error
    return walker


def _portable(error: Exception) -> Exception:
    """The error itself if it survives the way back, else a SamplingError that says what it was."""
    try:
        pickle.loads(_pickle(error))
    except Exception:
        return SamplingError(f"the log-probability raised {type(error).__name__}: {error}")
    return error


def _pickle(thing: object) -> bytes:
    """Pickle as joblib does: functions of a script or a notebook go by value."""
    from joblib.externals.loky.backend.reduction import dumps

    return bytes(dumps(thing))
