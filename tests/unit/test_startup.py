"""What a fresh interpreter loads, and what compiling the kernels does to it."""

import importlib
import os
import pathlib
import pickle
import pkgutil
import shutil
import subprocess
import sys
import textwrap

import numba
import pytest

import kinms
import kinms.kernels
from kinms.compilation import kernel, part

PACKAGE = pathlib.Path(kinms.__file__).parent
# Plotting, files, samplers and statistics: nothing that a model needs.
HEAVY = {
    "arviz_base",
    "arviz_stats",
    "astropy.io.fits",
    "astropy.table",
    "astropy.units",
    "astropy.wcs",
    "corner",
    "dask",
    "gastimator",
    "gastimator_bridge",
    "h5netcdf",
    "joblib",
    "matplotlib",
    "radio_beam",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.signal",
    "scipy.stats",
    "spectral_cube",
    "tqdm",
    "xarray",
}
NAMES = """
kinms.simulate, kinms.Cube, kinms.Disc, kinms.DiscPosterior, kinms.Posterior, kinms.Sampling, kinms.SersicDisc
kinms.Beam, kinms.CubeGrid, kinms.RadialFlow, kinms.radial_motion, kinms.Normal, kinms.InflatedNoise
"""
MODEL = """
light, rotation = kinms.ExponentialDisc(scale=1.5), kinms.ArctanCurve(v_max=100.0, r_turn=1.0)
disc = kinms.Disc(surface_brightness=light, rotation=rotation, inc=40, pa=30)
kinms.simulate(disc, kinms.CubeGrid((8, 24, 24), cell=1.0, dv=40.0), kinms.Beam(4.0))
"""


def run(code, path=(), **environment):
    """What a fresh interpreter prints; it must not complain."""
    environment = {"PYTHONPATH": os.pathsep.join(map(str, (*path, *filter(None, sys.path)))), **environment}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "KINMS_"))}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**kept, **environment},
        cwd=path[0] if path else None,  # where a new interpreter looks first
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


# What is loaded


@pytest.mark.parametrize("code", ["", NAMES, MODEL], ids=["import", "names", "model"])
def test_models_load_nothing_that_they_need_not(code):
    loaded = run(f"import sys, kinms\n{code}\nprint(*sys.modules)")[0].split()
    assert "numpy" in loaded
    assert HEAVY.intersection(loaded) == set()


def test_import_loads_no_compiler():
    """`kinms --help` and a mistyped name come at once."""
    assert "numba" not in run("import sys, kinms, kinms.cli\nprint(*sys.modules)")[0].split()


def test_every_public_name_is_found_where_it_is_said_to_be():
    assert sorted({*kinms._LAZY, "radial_motion"}) == sorted(kinms.__all__) == sorted(set(kinms.__all__))
    for name in kinms.__all__:
        assert getattr(kinms, name).__name__ == name
        assert name in dir(kinms)
    with pytest.raises(AttributeError, match="module 'kinms' has no attribute 'Simulate'"):
        kinms.Simulate  # noqa: B018


# Compilation

KERNELS = """
import logging
from kinms.compilation import kernel
from constants import FACTOR

@kernel
def double(x):
    return FACTOR * x

@kernel(fastmath=False)
def quadruple(x):
    return double(double(x))
"""
USE = "import {handler}kernels; print(kernels.quadruple(1.5), kernels.quadruple(2.5), kernels.double(2))"
HANDLER = "logging; logging.basicConfig(level=logging.INFO, format='%(name)s %(levelname)s %(message)s'); import "
LOUD = USE.format(handler=HANDLER)
FIRST_TIME = "Compiling the kernels, this first time only: it can take half a minute."
EVERY_TIME = (
    "Compiling the kernels, which can take half a minute in every process: no folder to keep them in can be written "
    "to. Set NUMBA_CACHE_DIR to one that can."
)


@pytest.fixture
def kernels(tmp_path):
    """A module with kernels, whose own folder cannot hold what is compiled; nor can a home.

    A file stands where each folder would be, which even root cannot write into.
    """
    (tmp_path / "kernels.py").write_text(KERNELS)
    (tmp_path / "constants.py").write_text("FACTOR = 2.0\n")
    (tmp_path / "__pycache__").touch()
    (tmp_path / "file").touch()
    blocked = str(tmp_path / "file")

    def use(code=LOUD, **environment):
        places = {"HOME": blocked, "XDG_CACHE_HOME": blocked, "LOCALAPPDATA": blocked, "PYTHONDONTWRITEBYTECODE": "1"}
        return run(code, path=[tmp_path], **{**places, **environment})

    use.folder = tmp_path
    return use


def heard(text):
    return f"kinms.compilation INFO {text}\n"


def test_message_comes_once_and_only_when_something_is_compiled(kernels):
    cache = kernels.folder / "not" / "yet"
    said = [kernels(NUMBA_CACHE_DIR=str(cache)) for _ in range(3)]
    assert [out for out, _ in said] == ["6.0 10.0 4.0\n"] * 3
    assert [err for _, err in said] == [heard(FIRST_TIME), "", ""]
    assert list(cache.rglob("*.nbc"))


@pytest.mark.parametrize("where", [None, "file", "file/below"])
def test_kernels_run_where_nothing_can_be_kept(kernels, where):
    environment = {} if where is None else {"NUMBA_CACHE_DIR": str(kernels.folder / where)}
    for _ in range(2):
        assert kernels(**environment) == ("6.0 10.0 4.0\n", heard(EVERY_TIME))


def test_an_unwritable_choice_falls_back_on_the_users_cache(kernels):
    places = {"NUMBA_CACHE_DIR": str(kernels.folder / "file"), "XDG_CACHE_HOME": str(kernels.folder / "cache")}
    places |= {"HOME": str(kernels.folder), "LOCALAPPDATA": str(kernels.folder)}
    assert [kernels(**places)[1] for _ in range(2)] == [heard(FIRST_TIME), ""]


def test_a_disk_that_fills_up_is_no_error(kernels):
    code = """
    import errno, logging, numba.core.caching as caching
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")
    caching.IndexDataCacheFile._save_data = full
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    import kernels
    print(kernels.double(2.0), kernels.double(3.0))
    """
    out, err = kernels(code, NUMBA_CACHE_DIR=str(kernels.folder / "cache"))
    assert out == "4.0 6.0\n"
    assert err.startswith(f"{FIRST_TIME}\nThe compiled kernel double cannot be kept: OSError(28, 'No space left")
    assert err.count("\n") == 2


@pytest.mark.parametrize(("suffix", "keep"), [(".nbi", 40), (".nbc", 0)])
def test_damaged_files_are_compiled_anew(kernels, suffix, keep):
    cache = kernels.folder / "cache"
    kernels(NUMBA_CACHE_DIR=str(cache))
    for path in cache.rglob(f"*{suffix}"):
        path.write_bytes(path.read_bytes()[:keep])
    out, err = kernels(NUMBA_CACHE_DIR=str(cache))
    assert out == "6.0 10.0 4.0\n"
    assert FIRST_TIME in err
    assert "cannot be read" in err
    assert kernels(NUMBA_CACHE_DIR=str(cache)) == ("6.0 10.0 4.0\n", "")


def test_code_of_another_signature_is_not_run(kernels):
    """Two processes that save at once can give the files of two signatures one name; numba would read the array of one
    as if it were of the other's type."""
    cache = kernels.folder / "cache"
    total = "import kernels, numpy; print(kernels.double(numpy.ones(2, 'float32'))[1])"
    kernels(total.replace("float32", "float64"), NUMBA_CACHE_DIR=str(cache))
    (index,) = cache.rglob("*double*.nbi")
    swap = f"""
    import numba, pathlib, pickle
    index = pathlib.Path({str(index)!r})
    with index.open("rb") as file:
        version = pickle.load(file)
        stamp, names = pickle.load(file)
    ((((array,), fingerprint), *rest), name), = names.items()
    with index.open("wb") as file:
        pickle.dump(version, file)
        pickle.dump((stamp, {{(((array.copy(dtype=numba.types.float32),), fingerprint), *rest): name}}), file)
    """
    kernels(swap)
    assert kernels(total, NUMBA_CACHE_DIR=str(cache))[0] == "2.0\n"


def test_constants_and_callees_of_other_files_count(kernels):
    """numba alone would go on with the machine code of the old ones."""
    cache = str(kernels.folder / "cache")
    more = (
        "from kinms.compilation import kernel\nfrom kernels import double\n@kernel\ndef add(x): return double(x) + 1\n"
    )
    (kernels.folder / "more.py").write_text(more)
    code = "import more; print(more.add(1.0))"
    assert kernels(code, NUMBA_CACHE_DIR=cache)[0] == "3.0\n"
    (kernels.folder / "constants.py").write_text("FACTOR = 3.0\n")
    assert kernels(code, NUMBA_CACHE_DIR=cache)[0] == "4.0\n"
    (kernels.folder / "kernels.py").write_text(KERNELS.replace("FACTOR * x", "FACTOR * x * x"))
    assert kernels("import more; print(more.add(2.0))", NUMBA_CACHE_DIR=cache)[0] == "13.0\n"


@pytest.mark.skipif(os.name != "posix", reason="opens a POSIX terminal")
@pytest.mark.parametrize(
    ("before", "spoken"),
    [
        ("", True),
        ("import logging; logging.basicConfig(); ", True),
        ("import logging; logging.getLogger('kinms').addHandler(logging.NullHandler()); ", True),
        ("import logging; logging.basicConfig(level='INFO', filename='log'); ", False),
    ],
)
def test_one_who_waits_at_a_terminal_is_told(kernels, before, spoken):
    """And by one voice: where logging is set up to be heard, it is that."""
    code = f"""
    import os, pty, subprocess, sys
    ours, theirs = pty.openpty()
    done = subprocess.run([sys.executable, "-c", {before + USE.format(handler="")!r}], stderr=theirs, check=True)
    os.close(theirs)
    try:
        print(os.read(ours, 1000))
    except OSError:
        print("nothing")
    """
    expected = f"kinms: {EVERY_TIME}\r\n".encode() if spoken else "nothing"
    assert kernels(code) == (f"6.0 10.0 4.0\n{expected}\n", "")


def test_one_who_waits_in_a_notebook_is_told(kernels):
    assert kernels("import sys; sys.ps1 = 'In : '\n" + USE.format(handler=""))[1] == f"kinms: {EVERY_TIME}\n"
    assert kernels(USE.format(handler=""))[1] == ""


def test_kernels_without_compilation(kernels):
    assert kernels(NUMBA_DISABLE_JIT="1") == ("6.0 10.0 4.0\n", "")


def test_kernels_are_numbas_own():
    """A call costs what numba's costs; no option of ours is lost, none of the caller's is overruled."""
    plain = kernel(abs_of)
    assert type(plain) is type(numba.njit(abs_of))
    ours = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    assert ours.items() <= plain.targetoptions.items()
    precise = kernel(fastmath=False, boundscheck=True)(abs_of)
    assert precise.targetoptions == {**plain.targetoptions, "fastmath": False, "boundscheck": True}
    assert pickle.loads(pickle.dumps(plain)) is plain
    assert plain(-3.0) == 3.0


def abs_of(x):
    return abs(x)


def test_a_package_that_cannot_be_written_to(tmp_path):
    """A copy of it on a disk without a writable place still makes a model."""
    shutil.copytree(PACKAGE, tmp_path / "kinms", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in {path.parent for path in tmp_path.rglob("*.py")}:
        (folder / "__pycache__").touch()
    blocked = str(tmp_path / "kinms" / "__pycache__")
    places = {"NUMBA_CACHE_DIR": blocked, "HOME": blocked, "XDG_CACHE_HOME": blocked, "LOCALAPPDATA": blocked}
    code = f"import {HANDLER}kinms.cube; print(kinms.__file__)\n{MODEL}"
    out, err = run(code, path=[tmp_path], PYTHONDONTWRITEBYTECODE="1", **places)
    assert out == f"{tmp_path / 'kinms' / '__init__.py'}\n"
    assert err == heard(EVERY_TIME)


def test_functions_of_a_notebook_that_use_the_package_reach_workers():
    # Functions of no module travel by value, and what they use with them.
    code = (
        "import joblib, kinms as km\n"
        "def area(x):\n    return km.Beam(x).area\n"
        "print(joblib.Parallel(n_jobs=2)(joblib.delayed(area)(x) for x in (1.0, 2.0)) == [area(1.0), area(2.0)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "True\n", done.stderr


def test_what_kernels_call_are_parts():
    """Of others whichever copy a process loads first is called: the last bit depends on what was done before."""
    found = {}
    for module in pkgutil.iter_modules(kinms.kernels.__path__, "kinms.kernels."):
        things = vars(importlib.import_module(module.name)).values()
        found |= {thing.py_func: thing for thing in things if hasattr(thing, "py_func")}
    called = {f.__globals__.get(name) for f in found for name in f.__code__.co_names}
    inside = {f.__name__ for f, thing in found.items() if thing in called}
    assert {"taps", "add_line", "find_rows"} <= inside
    assert inside == {f.__name__ for f, thing in found.items() if thing.targetoptions.get("forceinline")}


@pytest.mark.parametrize("compiled", [False, True])
def test_a_part_is_not_called_from_python(compiled):
    """numba would end the process."""
    piece = part(cache=False)(abs_of)
    if compiled:
        whole = kernel(cache=False)(lambda x: piece(x) + 1.0)
        assert whole(-3.0) == 4.0
    with pytest.raises(TypeError, match=r"abs_of is a part of kernels, .* call kernel\(abs_of\.py_func\) instead"):
        piece(-3.0)


SAME_KERNELS = """
import hashlib, warnings
import numpy as np
warnings.simplefilter("ignore")
import kinms as km
light, rotation = km.ExponentialDisc(scale=7.0), km.ArctanCurve(v_max=190.0, r_turn=3.0)
disc = km.Disc(surface_brightness=light, rotation=rotation, inc=53, pa=120, flux=30)
grid, free = km.CubeGrid((32, 56, 56), cell=1.0, dv=20.0), {"inc": km.Uniform(0, 90)}
radius = np.linspace(0.0, 60.0, 5)
warped = disc.replace(radius=radius, pa=120 + radius, sigma_gas=12 - 0.1 * radius)
found = hashlib.sha256()
for beam in km.Beam(7.0), km.Beam(7.0, 5.0, 20.0):
    for one in disc, disc.replace(sigma_gas=15), disc.replace(scale_height=0.5), warped:
        cube = km.simulate(one, grid, beam)
        found.update(cube.data.tobytes())
    noise = km.correlated_noise(grid, beam, rms=cube.data.max() / 12, seed=1)
    for mask in None, cube.data > 0.1 * cube.data.max():
        data = cube.replace(data=cube.data + noise, stats=None, mask=mask)
        posterior = km.DiscPosterior(disc, data, free, likelihood="correlated")
        found.update(np.float64(posterior([53.1])).tobytes())
print(found.hexdigest())
"""


def test_processes_that_start_at_once_on_an_empty_cache_have_the_same_bits(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", SAME_KERNELS]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = [process.communicate(timeout=600)[0] for process in both]
    # One that compiles has seen the parts of each kernel first, one that loads has not.
    found.append(subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300).stdout)
    assert len(found[0]) == 65
    assert found[0] == found[1] == found[2]


def test_a_kernel_that_does_not_compile_leaves_the_turn_to_others(tmp_path, monkeypatch):
    from kinms import compilation

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    @kernel
    def wrong(x):
        return x.nothing_like_this

    for _ in range(2):
        with pytest.raises(numba.TypingError):
            wrong(1.0)
        assert compilation._turn._depth == 0


@pytest.mark.skipif(os.name != "posix", reason="locks a file")
def test_who_stops_waiting_for_its_turn_has_none(tmp_path, monkeypatch):
    import fcntl

    from kinms import compilation

    def stop(_):
        raise KeyboardInterrupt

    turn = compilation._Turn()
    monkeypatch.setattr(compilation.time, "sleep", stop)
    with open(tmp_path / ".kinms-compiling", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(KeyboardInterrupt):
            turn.take(str(tmp_path))
    assert (turn._depth, turn._file) == (0, -1)
    turn.take(str(tmp_path))
    assert turn._depth == 1
    assert turn._file >= 0
    turn.give_back()
