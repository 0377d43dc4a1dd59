"""The number of threads, and what runs on them."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from joblib import Parallel, delayed

import kinms as km
from gastimator_bridge import sample
from kinms import threads
from kinms.errors import InputError, InputTypeError


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    monkeypatch.delenv("KINMS_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_chosen", None)


def available():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def limit_of_worker(_):
    return os.getpid(), threads.limit()


# The limit


def test_limit_is_the_first_that_anybody_gave(monkeypatch):
    assert threads.limit() == min(available(), 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads.limit() == 5
    monkeypatch.setenv("KINMS_NUM_THREADS", " 6 ")
    assert threads.limit() == 6
    km.set_threads(7)
    assert threads.limit() == 7
    km.set_threads(None)
    assert threads.limit() == 6
    monkeypatch.setenv("KINMS_NUM_THREADS", "")
    assert threads.limit() == 5


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (3, 3), (64, 4)])
def test_limit_unasked_is_the_cores_up_to_four(monkeypatch, cores, expected):
    monkeypatch.setattr(threads, "cores", lambda: cores)
    assert threads.limit() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_limit_knows_to_which_cores_the_process_is_bound():
    code = "import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1]); from kinms import threads; "
    done = subprocess.run([sys.executable, "-c", code + "print(threads.limit())"], capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr


@pytest.mark.parametrize(("text", "expected"), [("3,2", 3), ("many", None), ("0", None), ("-1", None), ("", None)])
def test_odd_omp_num_threads(monkeypatch, text, expected):
    """It is not ours to complain about."""
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads.limit() == (expected or min(available(), 4))


@pytest.mark.parametrize("text", ["0", "-2", "1.5", "four", "nan", "inf", "2,2"])
def test_bad_environment(monkeypatch, text):
    monkeypatch.setenv("KINMS_NUM_THREADS", text)
    with pytest.raises(InputError, match="expected a whole number of at least 1") as caught:
        threads.limit()
    assert (caught.value.name, caught.value.got) == ("KINMS_NUM_THREADS", repr(text))


@pytest.mark.parametrize("n", [0, -1, 1.5, float("nan"), float("inf")])
def test_bad_numbers(n):
    with pytest.raises(InputError, match=f"the number of threads is {n}; expected a whole number of at least 1") as e:
        km.set_threads(n)
    assert e.value.got == repr(n)
    assert threads._chosen is None


@pytest.mark.parametrize("n", ["2", True, [2], 2j])
def test_bad_types(n):
    with pytest.raises(InputTypeError, match="a whole number of at least 1, or None"):
        km.set_threads(n)


# Worker processes


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_workers_of_joblib_use_one_thread(backend):
    km.set_threads(3)  # for this process, and not for each of its workers
    found = Parallel(n_jobs=2, backend=backend)(delayed(limit_of_worker)(i) for i in range(4))
    assert {n for _, n in found} == {1}
    assert os.getpid() not in {pid for pid, _ in found}


def test_workers_use_what_the_environment_tells_them(monkeypatch):
    monkeypatch.setenv("KINMS_NUM_THREADS", "3")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(limit_of_worker, (0,))[1] == 3


@pytest.mark.parametrize(
    ("asked", "cores", "processes", "each"), [(4, 16, 4, 4), (4, 6, 2, 3), (4, 2, 2, 1), (1, 9, 2, 1)]
)
def test_workers_share_the_cores(monkeypatch, asked, cores, processes, each):
    monkeypatch.setattr(threads, "cores", lambda: cores)
    km.set_threads(asked)
    assert threads.share(processes) == each


def test_workers_of_a_fit_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.setenv("KINMS_NUM_THREADS", "3")  # the workers see it too, and must not all take it

    def log_prob(x):
        (tmp_path / str(os.getpid())).write_text(str(threads.limit()))
        return -0.5 * float(x @ x)

    sample(log_prob, [1.0], steps=50, chains=2, seed=1, processes=2, progress=False)
    assert {int(path.read_text()) for path in tmp_path.iterdir()} == {max(min(3, available() // 2), 1)}
    assert str(os.getpid()) not in {path.name for path in tmp_path.iterdir()}


# The pool


@pytest.mark.parametrize("n", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("tasks", [0, 1, 2, 5, 23])
def test_results_come_in_the_order_of_the_tasks(n, tasks):
    assert threads.run(lambda task: task**2, range(tasks), n) == [task**2 for task in range(tasks)]


def test_chunks_are_contiguous_and_threads_are_as_many_as_asked():
    """Three tasks that wait for each other, each first in its chunk, need three threads."""
    meeting = threading.Barrier(3, timeout=60.0)

    def thread_of(task):
        if task in (0, 2, 4):
            meeting.wait()
        return threading.get_ident()

    idents = threads.run(thread_of, range(6), 3)
    assert idents[0::2] == idents[1::2]
    assert len(set(idents)) == 3
    assert threading.get_ident() in idents


def test_one_thread_is_the_callers(monkeypatch):
    monkeypatch.setattr(threads, "_start", None)
    assert set(threads.run(lambda _: threading.get_ident(), range(5), 1)) == {threading.get_ident()}


@pytest.mark.parametrize("n", [1, 2, 3, 12])
def test_the_first_error_is_the_one_that_is_raised(n):
    done = set()

    def fail(task):
        if task in (2, 5, 11):
            raise ValueError(task)
        done.add(task)

    for _ in range(20):
        with pytest.raises(ValueError, match=r"^2$"):
            threads.run(fail, range(12), n)
        assert {0, 1} <= done
    assert threads.run(str, range(3), n) == ["0", "1", "2"]


def test_interrupted_caller_waits_for_the_others():
    began, ended = threading.Event(), []

    def work(task):
        if threading.current_thread() is threading.main_thread():
            began.wait(60.0)
            raise KeyboardInterrupt
        began.set()
        time.sleep(0.05)
        ended.append(task)

    with pytest.raises(KeyboardInterrupt):
        threads.run(work, range(2), 2)
    assert len(ended) == 1


def test_tasks_may_run_tasks():
    """With more of them than threads: nobody waits for what nobody does."""

    def inner(task):
        return sum(threads.run(lambda x: x * task, range(5), 3))

    assert threads.run(inner, range(8), 4) == [10 * task for task in range(8)]


def test_a_system_without_threads_to_spare(monkeypatch):
    class Full:
        def __init__(self, *_, **__):
            pass

        def submit(self, _):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_pool", None)
    monkeypatch.setattr(threads, "ThreadPoolExecutor", Full)
    assert threads.run(str, range(5), 3) == ["0", "1", "2", "3", "4"]


def test_pool_is_kept_and_grows(monkeypatch):
    monkeypatch.setattr(threads, "_pool", None)
    threads.run(str, range(4), 3)
    pool = threads._pool
    threads.run(str, range(4), 2)
    assert threads._pool is pool
    threads.run(str, range(4), 4)
    assert (pool[1], threads._pool[1]) == (2, 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forks_and_the_end_of_the_interpreter():
    """A forked process makes a pool of its own; an exit handler, after the last thread, still gets its work done."""
    script = textwrap.dedent("""
        import atexit, os, warnings
        from kinms import threads
        def three():
            return threads.run(abs, [-1, 2, -3], 3)
        atexit.register(lambda: print(os.getpid() == parent, three(), flush=True))
        parent = os.getpid()
        three()
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads, which is the point here
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        print(three(), flush=True)
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout == "[1, 2, 3]\nFalse [1, 2, 3]\n[1, 2, 3]\nTrue [1, 2, 3]\n"
