"""Parts of the samplers that the contract does not see: crews, what is shared between processes, sizes."""

import glob
import os
import tempfile
import threading
import time

import numpy as np
import pytest

from gastimator_bridge import crew
from gastimator_bridge.crew import Crew, crew_or_none
from kinms.ensemble import ensemble_size
from kinms.errors import InputError
from kinms.likelihood import Parameter, Posterior
from kinms.nested import live_point_count
from kinms.priors import Uniform
from kinms.samplers import SAMPLERS


class Heavy:
    """A log-probability with data in many forms, that tells where its arrays live."""

    def __init__(self):
        rng = np.random.default_rng(1)
        self.big = rng.normal(size=(40, 50, 60))
        self.turned = np.asfortranarray(rng.normal(size=(200, 300)))
        self.fixed = rng.normal(size=20_000)
        self.fixed.setflags(write=False)
        self.small = np.arange(3.0)

    def __call__(self, x):
        return float(self.big.sum() + self.turned[3, 5] + self.fixed[7] + self.small.sum() + x)


def look(heavy):
    """Write into the worker's own arrays, and say what they stand on."""
    found = {}
    for name in ("big", "turned", "fixed", "small"):
        array = base = getattr(heavy, name)
        while getattr(base, "base", None) is not None:
            base = base.base
        owner = base.obj if isinstance(base, memoryview) else base
        found[name] = type(owner).__name__, array.ctypes.data % 16, array.flags.writeable
    heavy.big[0, 0, 0] += 1.0
    return os.getpid(), found, heavy.big[0, 0, 0]


def see(log_prob):
    return look(log_prob)


def leftovers():
    return set(glob.glob(os.path.join(tempfile.gettempdir(), "kinms-*")))


def test_workers_share_one_copy_of_large_arrays():
    before, heavy = leftovers(), Heavy()
    with Crew(heavy, 2) as workers:
        assert len(leftovers() - before) == 1
        assert workers.evaluate([1.0, 2.0, 3.0]) == [heavy(1.0), heavy(2.0), heavy(3.0)]
        seen = [workers.result(workers.submit(see)) for _ in range(6)]
    assert leftovers() == before
    for _, found, _ in seen:
        # Aligned, and writable where they were: that is what kernels are compiled for.
        assert found["big"] == found["turned"] == ("mmap", 0, True)
        assert found["fixed"] == ("mmap", 0, False)
        assert found["small"][0] != "mmap"
    # What a worker writes is its own: each counts from the same number.
    counts = {}
    for pid, _, value in seen:
        counts.setdefault(pid, []).append(round(value - heavy.big[0, 0, 0]))
    assert all(sorted(steps) == list(range(1, len(steps) + 1)) for steps in counts.values())


def test_arrays_go_along_where_no_file_can_be_written(monkeypatch):
    def full(*_, **__):
        raise OSError("no space")

    heavy = Heavy()
    with monkeypatch.context() as patch:
        patch.setattr(crew.tempfile, "mkstemp", full)
        with Crew(heavy, 1) as workers:
            assert workers.evaluate([1.0]) == [heavy(1.0)]
    with monkeypatch.context() as patch:
        patch.setattr(crew, "_append", full)
        with Crew(heavy, 1) as workers:
            assert workers.evaluate([1.0]) == [heavy(1.0)]


def test_file_is_gone_after_an_error_too():
    before = leftovers()
    with pytest.raises(KeyboardInterrupt), Crew(Heavy(), 1):
        raise KeyboardInterrupt
    assert leftovers() == before


def _second_fails(_, x):
    if x == 0:
        time.sleep(0.2)  # so that the failure is known before anybody asks for it
    if x == 1:
        raise ValueError("one")
    return x


def test_a_task_given_just_before_the_end_does_not_trip_the_pool(monkeypatch):
    # loky's thread, slow to look for new tasks, is told to stop with one still untaken.
    from joblib.externals.loky import process_executor

    process = process_executor._ExecutorManagerThread.process_result_item
    tripped = []

    def process_slowly(self, item):
        process(self, item)
        time.sleep(0.05)

    monkeypatch.setattr(process_executor._ExecutorManagerThread, "process_result_item", process_slowly)
    monkeypatch.setattr(threading, "excepthook", tripped.append)
    with pytest.raises(ValueError, match="one"), Crew(abs, 2) as workers:
        workers.map(_second_fails, list(range(10)))
    assert tripped == []


def test_one_process_needs_no_crew():
    with crew_or_none(abs, 1) as workers:
        assert workers is None


def test_sizes():
    assert [ensemble_size(n) for n in (1, 7, 8, 20)] == [16, 16, 18, 42]
    assert [live_point_count(n) for n in (1, 10, 20)] == [250, 250, 500]
    assert SAMPLERS["emcee"].plan(3, 100, 20, 2) == "2 ensembles of 16 walkers, 100 steps each, 20 of them burn-in"
    assert SAMPLERS["gastimator"].plan(3, 100, 20, 2) == "2 chains of 100 steps, 20 of them burn-in"
    assert SAMPLERS["dynesty"].plan(12, 100, 20, 2) == "2 nested runs of 300 live points"


def test_ensembles_and_steps_give_the_shape():
    posterior = Posterior([Parameter("a", Uniform(-5, 5), 0.0)], lambda x: x, lambda x: -0.5 * float(x @ x))
    chains = SAMPLERS["emcee"](posterior, steps=30, burn=10, chains=3, seed=1, progress=False)
    assert chains.values.shape == (3 * 16, 20, 1)
    assert chains.acceptance.shape == (48,)
    assert chains.n_evaluations <= 3 * 16 * 31  # what lies outside of the priors is not evaluated
    moved = chains.values[:, 1:, 0] != chains.values[:, :-1, 0]
    assert np.array_equal(moved, chains.accepted[:, 1:])


def test_too_few_live_points_are_refused():
    posterior = Posterior([Parameter("a", Uniform(-5, 5), 0.0)], lambda x: x, lambda x: 0.0)
    with pytest.raises(InputError, match="live_points is 2; expected more than 2"):
        SAMPLERS["dynesty"](posterior, steps=2, burn=0, chains=1, seed=1, progress=False, live_points=2)
