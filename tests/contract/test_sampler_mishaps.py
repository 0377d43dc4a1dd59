"""What a sampler does when something happens: Ctrl-C, NaN, errors, dead workers; and how work reaches the workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from gastimator_bridge import sample
from kinms.errors import InputTypeError, KinmsWarning, SamplingError


def test_functions_of_a_script_reach_workers(tmp_path):
    """A function in ``__main__``, with a global of its own, and no guard around the call."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        from gastimator_bridge import sample
        WIDTH = 2.0
        def log_prob(x):
            return -0.5 * (x[0] / WIDTH) ** 2
        chains = [sample(log_prob, [1.0], steps=300, chains=2, seed=1, processes=p, progress=False) for p in (1, 2)]
        print((chains[0].values == chains[1].values).all())
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, env=with_path())
    assert done.stdout == "True\n", done.stderr


def with_path():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def interrupting(at, kind):
    count = [0]

    def log_prob(x):
        count[0] += 1
        if count[0] == at:
            raise kind
        return -0.5 * float(x @ x)

    return log_prob


def test_ctrl_c_keeps_what_has_been_sampled():
    # The start, then 799 complete steps of which 400 are burn-in.
    chains = sample(interrupting(801, KeyboardInterrupt), [1.0], steps=2000, seed=1, progress=False)
    assert chains.interrupted
    assert chains.values.shape == (1, 399, 1)
    whole = sample(interrupting(0, KeyboardInterrupt), [1.0], steps=2000, seed=1, progress=False)
    assert not whole.interrupted
    assert np.array_equal(chains.values, whole.values[:, :399])


def test_ctrl_c_in_burn_in_gives_no_samples():
    chains = sample(interrupting(100, KeyboardInterrupt), [1.0], steps=2000, chains=2, seed=1, progress=False)
    assert chains.interrupted
    assert chains.values.shape == (2, 0, 1)
    assert np.isnan(chains.r_hat).all()
    assert np.isfinite(chains.best_log_prob)


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal to a process group")
def test_ctrl_c_reaches_a_run_with_workers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import os, time
        from gastimator_bridge import sample
        CALLS = [0]
        def log_prob(x):
            time.sleep(1e-3)
            CALLS[0] += 1
            if CALLS[0] == 400:  # of which 100 are burn-in: this worker has samples
                open({str(tmp_path)!r} + f"/busy-{{os.getpid()}}", "w").close()
            return -0.5 * float(x @ x)
        chains = sample(log_prob, [1.0], steps=10**6, burn=100, chains=2, seed=1, processes=2, progress=False)
        print(chains.interrupted, chains.kept > 0)
        """)
    )
    out, err, status = interrupt(script, lambda: len(list(tmp_path.glob("busy-*"))) == 2, patience=2.0)
    assert (out, err, status) == ("True True\n", "", 0)


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal to a process group")
def test_ctrl_c_while_workers_start(tmp_path):
    """Whenever it comes, before a worker has learned to ignore it or after, no worker dies of it with a traceback."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        from gastimator_bridge import crew, sample
        take = crew._pickle
        def pickle(thing):  # the last thing before workers are started
            open({str(tmp_path / "now")!r}, "w").close()
            return take(thing)
        crew._pickle = pickle
        chains = sample(lambda x: -0.5 * float(x @ x), [1.0], steps=10**8, chains=2, processes=2, progress=False)
        print(chains.interrupted)
        """)
    )
    for patience in (0.05, 0.4):
        (tmp_path / "now").unlink(missing_ok=True)
        out, err, status = interrupt(script, (tmp_path / "now").exists, patience)
        assert (out, err, status) == ("True\n", "", 0)


def interrupt(script, ready, patience):
    """Start a script, send it and its workers Ctrl-C ``patience`` seconds after it is ready, and again as a person
    would who sees it going on; return what it said."""
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=with_path(),
        start_new_session=True,
        # A test run in the background of a shell ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as run:
        try:
            deadline = time.monotonic() + 120.0
            while not ready() and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(patience)
            os.killpg(run.pid, signal.SIGINT)
            for _ in range(12):
                try:
                    out, err = run.communicate(timeout=10)
                    break
                except subprocess.TimeoutExpired:
                    os.killpg(run.pid, signal.SIGINT)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
    # joblib's own process that keeps track of semaphores hears Ctrl-C too, and may say that it has cleaned up.
    others = [line for line in err.splitlines(True) if "resource_tracker" in line or line == "  warnings.warn(\n"]
    return out, "".join(line for line in err.splitlines(True) if line not in others), run.returncode


def test_dead_worker_says_so_and_keeps_the_rest():
    began = []

    def log_prob(x):
        began.append(time.monotonic())
        if began[-1] > began[0] + 1.5:
            os._exit(1)
        return -0.5 * float(x @ x)

    with pytest.raises(SamplingError, match="worker process died") as caught:
        sample(log_prob, [1.0], steps=10**8, burn=1000, chains=2, seed=1, processes=2, progress=False)
    assert caught.value.partial.interrupted
    assert caught.value.partial.kept > 1000
    assert abs(caught.value.partial.flat().std() - 1.0) < 0.2


@pytest.mark.parametrize("processes", [1, 2])
def test_errors_of_the_model_come_through(processes):
    with pytest.raises(ZeroDivisionError, match="at 50"):
        sample(
            interrupting(50, ZeroDivisionError("at 50")),
            [1.0],
            steps=500,
            chains=2,
            seed=1,
            processes=processes,
            progress=False,
        )


def test_error_that_cannot_travel_is_described():
    class Awkward(Exception):
        def __init__(self, a, b):
            super().__init__(f"{a} and {b}")

    def log_prob(x):
        raise Awkward("this", "that")

    with pytest.raises(SamplingError, match="Awkward: this and that"):
        sample(log_prob, [1.0], steps=500, chains=2, seed=1, processes=2, progress=False)


def test_log_prob_that_cannot_be_pickled():
    stream = sys.stdout
    generator = (i for i in range(3))
    with pytest.raises(InputTypeError, match=r"log_prob is impossible to pickle .* Use one process"):
        sample(lambda x: float(stream is generator), [1.0], steps=50, chains=2, processes=2, progress=False)


@pytest.mark.parametrize(
    ("value", "said"),
    [(np.nan, r"not finite \(NaN or \+inf\)"), (np.inf, "not finite .*"), (-np.inf, r"-inf \(impossible\)")],
)
def test_impossible_start_names_the_values(value, said):
    with pytest.raises(SamplingError, match=rf"{said} at the start, inc = 45, pa = 270\. Start where"):
        sample(lambda x: value, [45.0, 270.0], steps=100, labels=["inc", "pa"], progress=False)


def test_nan_later_is_impossible_counted_and_said_once():
    def log_prob(x):
        return -0.5 * x[0] ** 2 if x[0] < 1.0 else np.nan

    with pytest.warns(KinmsWarning, match="evaluations of the log-probability were not finite") as caught:
        chains = sample(log_prob, [0.0], steps=3000, seed=1, progress=False)
    assert len(caught) == 1
    assert chains.n_nonfinite > 100
    assert chains.flat().max() < 1.0
    assert f"{chains.n_nonfinite} of {chains.n_evaluations}" in str(caught[0].message)
