"""Checkpoints: the ledger itself, content hashes, and runs that are killed, stopped, resumed and refused."""

import contextlib
import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from scipy import stats

import kinms.checkpoint
import kinms.fitting
from kinms.atomic import replacing
from kinms.checkpoint import CheckpointWarning, Ledger, clear, digest, exists, read_identity
from kinms.cli import main
from kinms.cube import Sampling, simulate
from kinms.disc import Disc
from kinms.errors import FileError, OutputExistsError
from kinms.fitting import fit
from kinms.grid import Beam, CubeGrid
from kinms.priors import Normal, Uniform
from kinms.profiles import ArctanCurve, ExponentialDisc

WHO = {"the data": digest(np.arange(3)), "steps": "10"}
VECTORS = np.random.default_rng(1).normal(size=(50, 3))


def square(x):
    return -0.5 * float(x @ x)


def never(x):
    pytest.fail("computed again")


def segments(folder):
    return sorted((folder / "checkpoint").glob("segment-*.npy"))


# -- the ledger -----------------------------------------------------------------------------------------------------


def test_values_come_back_bit_for_bit(tmp_path):
    ledger = Ledger(tmp_path, WHO, interval=3600.0)
    found = [ledger.wrap(square)(x) for x in VECTORS]
    assert segments(tmp_path) == []
    ledger.flush()
    assert len(segments(tmp_path)) == 1
    again = Ledger.open(tmp_path, WHO)
    recorded = again.wrap(never)
    assert [recorded(x) for x in VECTORS] == found == [square(x) for x in VECTORS]
    assert recorded(list(VECTORS[0])) == found[0]
    assert len(again.known) == 50


def test_each_segment_holds_only_what_is_new(tmp_path):
    ledger = Ledger(tmp_path, WHO, interval=0.0)
    recorded = ledger.wrap(square)
    for x in VECTORS:
        recorded(x)
    found = [np.load(path, allow_pickle=False) for path in segments(tmp_path)]
    assert [rows.shape for rows in found] == [(1, 4)] * 50
    assert {rows.tobytes() for rows in found} == {np.append(x, square(x)).tobytes() for x in VECTORS}


def test_values_that_are_not_finite(tmp_path):
    values = iter([np.nan, np.inf, -np.inf])
    ledger = Ledger(tmp_path, WHO, interval=0.0)
    for x in VECTORS[:3]:
        ledger.wrap(lambda x: next(values))(x)
    recorded = Ledger.open(tmp_path, WHO).wrap(never)
    assert [str(recorded(x)) for x in VECTORS[:3]] == ["nan", "inf", "-inf"]


def test_worker_knows_what_was_known_and_tells_what_it_learns(tmp_path):
    first = Ledger(tmp_path, WHO, interval=0.0)
    first.wrap(square)(VECTORS[0])
    here = Ledger.open(tmp_path, WHO, interval=0.0).wrap(square)
    there = pickle.loads(pickle.dumps(here))
    assert there(VECTORS[0]) == square(VECTORS[0])
    assert there.news() is None
    there(VECTORS[1])
    news = there.news()
    assert len(news) == 1
    assert there.news() is None
    here.heed(news)
    assert len(Ledger.open(tmp_path, WHO).known) == 2


def test_refusals(tmp_path):
    with pytest.raises(FileError, match="holds no checkpoint to go on from"):
        Ledger.open(tmp_path, WHO)
    Ledger(tmp_path, WHO)
    with pytest.raises(OutputExistsError, match=r"checkpoint exists already .* resume=True"):
        Ledger(tmp_path, WHO)
    with pytest.raises(FileError, match=r"is of another run: steps was 10 and is 20; the data differs\. Resume with"):
        Ledger.open(tmp_path, {"the data": digest(np.arange(4)), "steps": "20"})
    with pytest.raises(FileError, match="of another run: the mask differs"):
        Ledger.open(tmp_path, {**WHO, "the mask": "None"})
    (tmp_path / "checkpoint" / "identity.json").write_text("[1")
    with pytest.raises(FileError, match="cannot be read"):
        Ledger.open(tmp_path, WHO)
    (tmp_path / "checkpoint" / "identity.json").write_text("[1]")
    with pytest.raises(FileError, match="is not that of a checkpoint"):
        Ledger.open(tmp_path, WHO)


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def foreign(path):
    np.save(path, np.ones((4, 4)))


def pickled(path):
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize("damage", [cut, flip, empty, foreign, pickled])
def test_damaged_segments_are_left_out(tmp_path, damage):
    ledger = Ledger(tmp_path, WHO, interval=0.0)
    for x in VECTORS[:3]:
        ledger.wrap(square)(x)
    damage(segments(tmp_path)[1])
    with pytest.warns(CheckpointWarning, match=r"segment-\w+\.npy is left out of the checkpoint") as said:
        again = Ledger.open(tmp_path, WHO)
    assert len(said) == 1
    assert len(again.known) == 2


def test_segments_of_another_run_are_left_out(tmp_path):
    (tmp_path / "a").mkdir()
    for folder, who in ((tmp_path / "a", {"steps": "1"}), (tmp_path, WHO)):
        Ledger(folder, who, interval=0.0).wrap(square)(VECTORS[0])
    other = segments(tmp_path / "a")[0]
    other.rename(tmp_path / "checkpoint" / other.name)
    with pytest.warns(CheckpointWarning, match="of another run"):
        assert len(Ledger.open(tmp_path, WHO).known) == 1


def test_clear_takes_away_only_its_own(tmp_path):
    clear(tmp_path)
    Ledger(tmp_path, WHO, interval=0.0).wrap(square)(VECTORS[0])
    (tmp_path / "checkpoint" / ".partial-1").touch()
    (tmp_path / "checkpoint" / "mine.txt").touch()
    clear(tmp_path)
    assert os.listdir(tmp_path / "checkpoint") == ["mine.txt"]
    assert not exists(tmp_path)
    Ledger(tmp_path, WHO)
    (tmp_path / "checkpoint" / "mine.txt").unlink()
    clear(tmp_path)
    assert os.listdir(tmp_path) == []


def test_folder_that_vanishes_comes_back(tmp_path):
    ledger = Ledger(tmp_path, WHO, interval=0.0)
    ledger.wrap(square)(VECTORS[0])
    clear(tmp_path)
    ledger.wrap(square)(VECTORS[1])
    assert len(Ledger.open(tmp_path, WHO).known) == 1


def full_disk(monkeypatch, when=lambda: True):
    """A disk that takes half of what is written to the checkpoint, and then no more."""

    @contextlib.contextmanager
    def fail(path):
        with replacing(path) as part:
            yield part
            if when():
                os.truncate(part, os.path.getsize(part) // 2)
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kinms.checkpoint, "replacing", fail)


def test_full_disk_is_said_once_and_nothing_is_lost(tmp_path, monkeypatch):
    full = [True]
    ledger = Ledger(tmp_path, WHO, interval=0.0)
    full_disk(monkeypatch, lambda: full[0])
    recorded = ledger.wrap(square)
    with pytest.warns(CheckpointWarning, match=r"cannot be written to .*checkpoint \(No space left on") as said:
        found = [recorded(x) for x in VECTORS[:9]]
    assert found == [square(x) for x in VECTORS[:9]]
    assert len(said) == 1
    assert os.listdir(tmp_path / "checkpoint") == ["identity.json"]
    full[0] = False
    recorded(VECTORS[9])
    assert len(Ledger.open(tmp_path, WHO).known) == 10
    assert "No space left" in ledger.trouble


def test_disk_full_from_the_start(tmp_path, monkeypatch):
    full_disk(monkeypatch)
    with pytest.warns(CheckpointWarning, match="cannot be written"):
        ledger = Ledger(tmp_path, WHO, interval=0.0)
    assert ledger.wrap(square)(VECTORS[0]) == square(VECTORS[0])
    assert not exists(tmp_path)


# -- content --------------------------------------------------------------------------------------------------------


def user_law(x, power=2.0):
    return np.abs(x) ** power


def scaled(by):
    return lambda x: by * x


DISC = Disc(surface_brightness=ExponentialDisc(1.5), rotation=ArctanCurve(80.0, 1.0), inc=40, pa=30, flux=5)
DIFFERENT = [
    None,
    0,
    0.0,
    False,
    "",
    1.0,
    np.nextafter(1.0, 2.0),
    -0.0,
    np.inf,
    "1.0",
    b"1.0",
    [],
    [1.0],
    [[1.0]],
    [1.0, [2.0]],
    [[1.0], 2.0],
    {"a": 1},
    {"a": 2},
    {"b": 1, "a": 1},
    {"a": 1, "b": 1},
    {1.0},
    np.arange(3),
    np.arange(3.0),
    np.arange(3).reshape(3, 1),
    np.array([0, 1, 3]),
    np.array([np.nan]),
    np.array([{}, 1], dtype=object),
    Normal(0.0, 1.0),
    Normal(0.0, 2.0),
    Uniform(0.0, 1.0),
    Uniform(0.0, 1.0, periodic=True),
    DISC,
    DISC.replace(inc=40.5),
    Sampling(points=100),
    Beam(3.0),
    user_law,
    scaled(1.0),
    scaled(2.0),
    square,
    np.sqrt,
    len,
    stats.norm(0, 1),
    stats.norm(0, 2),
    stats.gamma(2),
]


def test_digest_tells_contents_apart():
    found = [digest(thing) for thing in DIFFERENT]
    assert len(set(found)) == len(found)
    assert all(text.startswith("sha256:") for text in found)


@pytest.mark.parametrize("thing", DIFFERENT, ids=range(len(DIFFERENT)))
def test_digest_does_not_depend_on_where_things_are(thing):
    if getattr(thing, "__name__", "") == "<lambda>":
        copy = scaled(thing.__closure__[0].cell_contents)
    else:
        copy = pickle.loads(pickle.dumps(thing))
    assert digest(copy) == digest(thing)


def test_digest_of_views_and_cycles():
    table = np.arange(12.0).reshape(3, 4)
    assert digest(table.T) == digest(table.T.copy()) != digest(table)
    assert digest(np.float64(2.5)) == digest(2.5)
    ring = [1.0]
    ring.append(ring)
    assert digest(ring) == digest(ring) != digest([1.0, [1.0]])


def test_digest_is_the_same_in_another_process():
    code = "from kinms.checkpoint import digest; from scipy import stats; print(digest([{'a', 'b'}, stats.norm(1)]))"
    done = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        for seed in ("1", "2")
    ]
    assert [run.stdout for run in done] == [f"{digest([{'a', 'b'}, stats.norm(1)])}\n"] * 2, done[0].stderr


# -- fit ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    cube = simulate(DISC, CubeGrid((8, 20, 20), 1.0, 30.0), Beam(3.0))
    noise = np.random.default_rng(1).normal(scale=1e-3, size=cube.data.shape)
    return cube.replace(data=cube.data + noise, rms=1e-3, stats=None)


def short(data, **options):
    free = {"flux": Uniform(1, 10), "pa": Uniform(0, 360, periodic=True)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*onverge")
        return fit(DISC, data, **{"free": free, "steps": 40, "seed": 1, "progress": False, **options})


METHODS = {"gastimator": {}, "emcee": {"steps": 12, "chains": 1}}


@pytest.mark.parametrize("method", METHODS)
def test_resumed_fit_is_the_fit(data, tmp_path, method):
    options = {"method": method, **METHODS[method]}
    whole = short(data, **options)
    first = short(data, checkpoint=tmp_path, checkpoint_interval=0.0, **options)
    for path in segments(tmp_path)[::3]:
        path.unlink()
    again = short(data, checkpoint=tmp_path, resume=True, processes=2, **options)
    for result in (first, again):
        assert result.chain.tobytes() == whole.chain.tobytes()
        assert result.log_prob.tobytes() == whole.log_prob.tobytes()
    assert any("evaluations are known" in line for line in again.log)
    assert exists(tmp_path)


def test_seed_that_was_drawn_is_kept(data, tmp_path):
    first = short(data, seed=None, checkpoint=tmp_path)
    again = short(data, seed=None, checkpoint=tmp_path, resume=True)
    assert again.seed == first.seed == int(read_identity(tmp_path)["seed"])
    assert again.chain.tobytes() == first.chain.tobytes()


def blank(data):
    values = data.data.copy()
    values[3, 4, 5] += 1e-9
    return data.replace(data=values)


CHANGES = {
    "the data differs": lambda data: {"data": blank(data)},
    "the mask differs": lambda data: {"mask": data.data > -1.0},
    "the disc differs": lambda data: {"disc": DISC.replace(v_sys=0.1)},
    "the priors differs": lambda data: {"free": {"flux": Uniform(1, 11), "pa": Uniform(0, 360, periodic=True)}},
    "the sampling differs": lambda data: {"sampling": Sampling(accuracy=1e-2)},
    "rms was 0.001 and is 0.002": lambda data: {"rms": 0.002},
    "likelihood was inflated and is white": lambda data: {"likelihood": "white"},
    "inflate was None and is 100": lambda data: {"inflate": 100},
    "flux was given and is best": lambda data: {"flux": "best", "free": {"pa": Uniform(0, 360, periodic=True)}},
    "steps was 40 and is 41": lambda data: {"steps": 41},
    "burn was 8 and is 9": lambda data: {"burn": 9},
    "chains was 2 and is 3": lambda data: {"chains": 3},
    "seed was 1 and is 2": lambda data: {"seed": 2},
    "method was gastimator and is emcee": lambda data: {"method": "emcee"},
}


@pytest.fixture(scope="module")
def begun(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun")
    short(data, checkpoint=folder)
    return folder


@pytest.mark.parametrize("said", CHANGES)
def test_another_run_is_refused_and_the_difference_named(data, begun, said):
    options = {"disc": DISC, "data": data, **CHANGES[said](data)}
    free = {"flux": Uniform(1, 10), "pa": Uniform(0, 360, periodic=True)}
    given = {"free": free, "steps": 40, "seed": 1, "progress": False, **options}
    with pytest.raises(FileError, match="is of another run") as caught:
        fit(checkpoint=begun, resume=True, **given)
    assert said in str(caught.value)


def test_another_version_is_refused(data, begun, monkeypatch):
    found = kinms.fitting.versions()
    monkeypatch.setattr(kinms.fitting, "versions", lambda: {**found, "numpy": "0.1"})
    with pytest.raises(FileError, match=f"the version of numpy was {np.__version__} and is 0.1"):
        short(data, checkpoint=begun, resume=True)


def test_fit_goes_on_with_a_full_disk(data, tmp_path, monkeypatch):
    whole = short(data)
    full_disk(monkeypatch)
    with pytest.warns(CheckpointWarning) as said:
        result = short(data, checkpoint=tmp_path, checkpoint_interval=0.0, processes=2)
    assert len([w for w in said if w.category is CheckpointWarning]) == 1
    assert result.chain.tobytes() == whole.chain.tobytes()
    assert any(line.startswith("Warning: The checkpoint cannot be written") for line in result.log)


# -- the command line -----------------------------------------------------------------------------------------------

CONFIG = """\
[disc]
inc = 40.0
pa = 30.0
flux = 5.0
v_sys = 0.0
sigma_gas = 10.0
[disc.surface_brightness]
kind = "exponential"
scale = 1.5
[disc.rotation]
kind = "arctan"
v_max = 80.0
r_turn = 1.0
[grid]
shape = [8, 20, 20]
cell = 1.0
dv = 30.0
[beam]
bmaj = 3.0
[noise]
rms = 0.001
"""
FIT = """\
[data]
cube = "mock.fits"
[free]
pa = { uniform = [0, 360], periodic = true }
flux = { uniform = [1, 10] }
[fit]
checkpoint = 0.1
"""


@pytest.fixture
def mock(tmp_path, monkeypatch, capsys):
    """A folder with a mock cube and a configuration to fit it with, without pictures: they take longest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kinms.results.FitResult._pictures", lambda _: {})
    (tmp_path / "mock.toml").write_text(CONFIG, encoding="utf-8")
    assert main(["simulate", "mock.toml", "-o", "mock.fits"]) == 0
    table = CONFIG[: CONFIG.index("[grid]")] + FIT
    (tmp_path / "fit.toml").write_text(f"{table}steps = 60\nseed = 1\n", encoding="utf-8")
    (tmp_path / "drawn.toml").write_text(f"{table}steps = 500\n", encoding="utf-8")
    capsys.readouterr()
    return tmp_path


def started(*arguments):
    """``kinms fit`` as a group of processes of its own, which hears Ctrl-C although a shell's job would not."""
    return subprocess.Popen(
        [sys.executable, "-m", "kinms", "fit", *arguments, "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition, run=None):
    deadline = time.monotonic() + 120.0
    while not condition():
        assert run is None or run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def group_is_gone(number):
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return True
    return False


def run_whole(folder, seed):
    text = (folder / "drawn.toml").read_text() + f"seed = {seed}\n"
    (folder / "whole.toml").write_text(text, encoding="utf-8")
    assert main(["fit", "whole.toml", "-o", "whole", "--quiet"]) == 0
    return (folder / "whole" / "chain.fits").read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL to send")
@pytest.mark.parametrize(("before", "after"), [("1", "2"), ("2", "1")])
def test_killed_run_resumes_to_the_same_bytes(mock, capsys, before, after):
    """`kill -9` in the midst of a run whose seed was drawn; then one of that seed that nobody kills."""
    with started("drawn.toml", "-o", "out", "--processes", before) as run:
        wait_for(lambda: len(segments(mock / "out")) >= 3, run)
        run.kill()
        run.communicate()
    assert run.returncode == -signal.SIGKILL
    assert os.listdir(mock / "out") == ["checkpoint"]
    wait_for(lambda: group_is_gone(run.pid))  # workers do not stay behind
    computed = sum(len(np.load(path)) for path in segments(mock / "out"))

    assert main(["fit", "drawn.toml", "-o", "out", "--quiet"]) == 2
    assert capsys.readouterr().err == (
        "kinms: out exists already and is not overwritten unasked. It holds the checkpoint of a run that was stopped: "
        "go on with --resume, or begin anew with --overwrite.\n"
    )
    seed = read_identity(mock / "out")["seed"]
    assert main(["fit", "drawn.toml", "-o", "out", "--resume", "--quiet", "--processes", after]) == 0
    assert f"{computed} evaluations are known" in (mock / "out" / "run.log").read_text()
    assert not (mock / "out" / "checkpoint").exists()
    assert (mock / "out" / "chain.fits").read_bytes() == run_whole(mock, seed)


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to send")
def test_stopped_run_resumes_to_the_same_bytes(mock, capsys):
    """Ctrl-C leaves what there is, and the checkpoint; --resume writes over it."""
    with started("drawn.toml", "-o", "out") as run:
        wait_for(lambda: len(segments(mock / "out")) >= 3, run)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=120)
    assert run.returncode == 130, err
    assert json.loads((mock / "out" / "result.json").read_text())["interrupted"] is True
    identity = read_identity(mock / "out")
    assert main(["fit", "drawn.toml", "-o", "out", "--resume", "--quiet"]) == 0
    assert json.loads((mock / "out" / "result.json").read_text())["interrupted"] is False
    assert not (mock / "out" / "checkpoint").exists()
    assert (mock / "out" / "chain.fits").read_bytes() == run_whole(mock, identity["seed"])


def unconverged(text):
    return [line for line in text.splitlines() if "onverged" not in line]


def test_resume_needs_a_checkpoint(mock, capsys):
    assert main(["fit", "fit.toml", "-o", "none", "--resume"]) == 2
    said = "kinms: none: holds no checkpoint to resume from. Start without --resume.\n"
    assert capsys.readouterr().err == said
    assert not (mock / "none").exists()
    assert main(["fit", "fit.toml", "-o", "out", "--quiet"]) == 0
    assert not (mock / "out" / "checkpoint").exists()
    capsys.readouterr()
    assert main(["fit", "fit.toml", "-o", "out", "--resume"]) == 2
    assert capsys.readouterr().err == (
        "kinms: out: holds results that are complete, and no checkpoint to resume from. Nothing is left to do; "
        "--overwrite begins anew.\n"
    )
    assert main(["fit", "fit.toml", "-o", "out", "--resume", "--overwrite"]) == 2
    assert "not allowed with" in capsys.readouterr().err


def test_overwrite_begins_anew(mock, capsys):
    Ledger(mock / "out", {"steps": "7"}, interval=0.0).wrap(square)(VECTORS[0])
    assert main(["fit", "fit.toml", "-o", "out", "--resume", "--quiet"]) == 2
    assert "out/checkpoint: is of another run: steps was 7 and is 60" in capsys.readouterr().err
    assert exists(mock / "out")
    assert main(["fit", "fit.toml", "-o", "out", "--overwrite", "--quiet"]) == 0
    assert not (mock / "out" / "checkpoint").exists()


def test_full_disk_shows_in_the_exit_status(mock, capsys, monkeypatch):
    full_disk(monkeypatch)
    (mock / "fit.toml").write_text((mock / "fit.toml").read_text().replace("= 0.1", "= 0.0"), encoding="utf-8")
    assert main(["fit", "fit.toml", "-o", "out", "--quiet"]) == 1
    said = unconverged(capsys.readouterr().err)
    assert len(said) == 1
    assert said[0].startswith("warning: The checkpoint cannot be written to out/checkpoint (No space left on device)")
    assert (mock / "out" / "chain.fits").exists()
    assert "The checkpoint cannot be written" in (mock / "out" / "run.log").read_text()
    assert not exists(mock / "out")


def test_interval_has_to_be_a_time(mock, capsys):
    (mock / "fit.toml").write_text((mock / "fit.toml").read_text().replace("= 0.1", "= -1"), encoding="utf-8")
    assert main(["fit", "fit.toml", "-o", "out"]) == 2
    assert "checkpoint" in capsys.readouterr().err
