"""``python -m kinms.selftest``: does this installation compute what it should, on this machine? For bug reports.

Half a minute at most. Every check stands alone: one that fails, in whatever way, does not stop the others. Exit status
0 if all is well, 1 if something failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import textwrap
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["Check", "Report", "main", "selftest"]

WIDTH = 80
#: Largest difference between two ways to smooth the same cube, of its peak: both are in single precision.
AGREE = 2e-5
#: Largest shift of a pixel or channel that is written and read back, of its size: rounding of the header's numbers.
SHIFT = 1e-6
#: What the fit may be off by, in its own standard deviations; a normal number is further off once in 15000 times.
SIGMAS = 4.0
FAILED = 1

#: In an interpreter of its own: how long from nothing to a cube, and whether kernels had to be compiled for it. The
#: disc is of the kind that the checks here have: another would compile more, and the half minute would be over.
_FRESH = """
import logging, time
heard = []
handler = logging.Handler(); handler.emit = lambda record: heard.append(record.getMessage())
logger = logging.getLogger("kinms.compilation"); logger.addHandler(handler); logger.setLevel(logging.INFO)
logger.propagate = False
started = time.perf_counter()
import kinms
light, rotation = kinms.ExponentialDisc(scale=3.0), kinms.ArctanCurve(v_max=150.0, r_turn=1.0)
disc = kinms.Disc(surface_brightness=light, rotation=rotation, inc=50, pa=20, sigma_gas=12)
kinms.simulate(disc, kinms.CubeGrid((16, 32, 32), cell=1.0, dv=25.0), kinms.Beam(4.0, 3.0, 20.0))
print(int(any("ompil" in text for text in heard)), time.perf_counter() - started)
"""


@dataclasses.dataclass(frozen=True)
class Check:
    """One check: its name, what came out, whether that is right, and the seconds it took.

    ``trace`` is where in the program an unexpected failure came from.
    """

    name: str
    ok: bool
    text: str
    seconds: float
    trace: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """What a self-test found.

    Attributes
    ----------
    versions : dict of str to str
        Of Python, this package and all it depends on.
    machine : dict of str to str
        Platform, cores, threads, where compiled kernels are kept.
    checks : tuple of Check
    """

    versions: dict[str, str]
    machine: dict[str, str]
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(check.ok for check in self.checks)

    @property
    def verdict(self) -> str:
        """One sentence on it."""
        failed = [check.name for check in self.checks if not check.ok]
        if not failed:
            return f"All {len(self.checks)} checks passed: this installation works."
        return f"FAILED: {', '.join(failed)}. Please report it, with all of this output."

    def to_json(self) -> str:
        """Return all of it as one JSON object."""
        return json.dumps({"ok": self.ok, "verdict": self.verdict, **dataclasses.asdict(self)}, indent=2)

    def lines(self) -> Iterator[str]:
        """Yield the report in lines of 80 columns."""
        yield from _wrap("versions", "  ".join(f"{name} {version}" for name, version in self.versions.items()))
        for name, text in self.machine.items():
            yield from _wrap(name, text)
        for check in self.checks:
            yield from self._check_lines(check)
        yield from textwrap.wrap(self.verdict, WIDTH)

    @staticmethod
    def _check_lines(check: Check) -> Iterator[str]:
        word = "ok" if check.ok else "FAILED"
        yield from _wrap(check.name, f"{word} {check.seconds:.1f} s: {check.text}")
        for line in check.trace.splitlines():
            yield from textwrap.wrap(line, WIDTH, initial_indent="    ", subsequent_indent="    ") or [""]


def _wrap(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        f"{label:<10} {' '.join(text.split(' '))}", WIDTH, subsequent_indent=" " * 11, break_on_hyphens=False
    )


def selftest(say: Callable[[str], None] | None = None) -> Report:
    """Run all checks, and return what they found.

    Parameters
    ----------
    say : callable, optional
        Called with every line as soon as it is known.
    """
    say = say or (lambda line: None)
    report = Report(_versions(), _machine(), ())
    for line in [line for line in report.lines() if not line.startswith("All 0")]:
        say(line)
    for name, function in _CHECKS.items():
        report = dataclasses.replace(report, checks=(*report.checks, _timed(name, function)))
        for line in report._check_lines(report.checks[-1]):
            say(line)
    for line in textwrap.wrap(report.verdict, WIDTH):
        say(line)
    return report


def _timed(name: str, function: Callable[[], str]) -> Check:
    """Run one check, whatever happens."""
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text, ok, trace = function(), True, ""
    except _Wrong as error:
        text, ok, trace = str(error), False, ""
    except Exception as error:
        text, ok, trace = f"{type(error).__name__}: {error}", False, traceback.format_exc()
    return Check(name, ok, " ".join(text.split()), time.perf_counter() - started, trace)


class _Wrong(Exception):
    """A check found something wrong; the message says what."""


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("kinms", *_dependencies()):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "(not installed)"
    return found


def _dependencies() -> list[str]:
    """Return the names of what this package needs, and of what it can use."""
    try:
        lines = metadata.requires("kinms") or []
    except metadata.PackageNotFoundError:
        lines = ["numpy", "scipy", "astropy", "numba", "matplotlib"]
    own = [line for line in lines if "extra ==" not in line or "emcee" in line or "dynesty" in line]
    names = [line.split(";")[0].split("[")[0].strip() for line in own]
    return sorted({name.split(">")[0].split("=")[0].split("<")[0].strip() for name in names} | {"llvmlite"})


def _machine() -> dict[str, str]:
    found = {"system": f"{platform.platform()}, {platform.machine()}", "python": sys.executable}
    try:
        threads = _load("kinms.threads")
        found["cores"] = (
            f"{threads.cores()} for this process, of {os.cpu_count()}; {threads.limit()} threads for a model"
        )
    except Exception as error:
        found["cores"] = f"{type(error).__name__}: {error}"
    settings = {name: os.environ[name] for name in sorted(os.environ) if name.startswith(_SETTINGS)}
    if settings:
        found["settings"] = " ".join(f"{name}={value}" for name, value in settings.items())
    return found


_SETTINGS = ("KINMS_", "NUMBA_", "OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "PYFFTW_")


def _load(name: str = "kinms") -> Any:
    """Import a module of ours when a check needs it: an installation that cannot is a finding, and no traceback."""
    return importlib.import_module(name)


def _disc() -> Any:
    km = _load()

    return km.Disc(
        surface_brightness=km.ExponentialDisc(scale=4.0),
        rotation=km.ArctanCurve(v_max=180.0, r_turn=1.5),
        inc=55.0,
        pa=35.0,
        sigma_gas=12.0,
        flux=30.0,
        v_sys=1000.0,
    )


def _grid(n: int = 32) -> Any:
    km = _load()

    return km.CubeGrid((20, n, n), cell=1.0, dv=25.0, v_ref=1000.0, ra=150.0, dec=2.0)


# -- the checks ---------------------------------------------------------------------------------------------------


def _check_kernels() -> str:
    """Compile here, then see whether a fresh interpreter finds the result."""
    km, kernel = _load(), _load("kinms.compilation").kernel

    @kernel(cache=False)
    def twice(x: float) -> float:
        return x + x

    if twice(1.5) != 3.0:
        raise _Wrong("a compiled function returns nonsense")
    km.simulate(_disc(), _grid(), km.Beam(4.0, 3.0, 20.0))
    again, seconds = _fresh()
    if again:
        again, seconds = _fresh()  # its shapes may need one more signature than ours
    kept = "found again" if not again else "NOT kept: every process compiles anew; set NUMBA_CACHE_DIR"
    return f"compiled kernels work and are {kept}; a fresh process has a cube in {seconds:.1f} s"


def _fresh() -> tuple[bool, float]:
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FRESH],
        capture_output=True,
        text=True,
        timeout=120.0,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise _Wrong(f"a fresh interpreter cannot make a cube (exit status {done.returncode}): {last}")
    compiled, seconds = done.stdout.split()
    return compiled == "1", float(seconds)


def _check_fft() -> str:
    import numpy as np

    km = _load()

    cubes = [
        km.simulate(_disc(), _grid(48), km.Beam(6.0, 4.0, 20.0), km.Sampling(method=method)).data
        for method in ("direct", "fft")
    ]
    difference = float(np.abs(cubes[0] - cubes[1]).max() / cubes[0].max())
    text = f"smoothing by FFT and directly agree to {difference:.1e} of the peak"
    if not difference < AGREE:
        raise _Wrong(f"{text}; expected less than {AGREE:g}")
    return text


def _check_threads() -> str:
    km = _load()

    cubes = []
    n_large = 340  # smaller ones stay on one thread for part of the way
    try:
        for n in (1, 2, 4):
            km.set_threads(n)
            cubes.append(km.simulate(_disc(), _grid(n_large), km.Beam(6.0, 4.0, 20.0)).data.tobytes())
    finally:
        km.set_threads(None)
    if len(set(cubes)) != 1:
        raise _Wrong("1, 2 and 4 threads give different bits")
    return "1, 2 and 4 threads give the same bits"


def _check_fits() -> str:
    import numpy as np

    km = _load()

    model = km.simulate(_disc(), _grid(), km.Beam(4.0, 3.0, 20.0))
    with tempfile.TemporaryDirectory(prefix="kinms_selftest_") as folder:
        path = Path(folder) / "cube.fits"
        km.write_cube(path, model)
        back = km.read_cube(path)
        size = path.stat().st_size
    if not np.array_equal(back.data, model.data.astype(back.data.dtype)):
        raise _Wrong("a cube that was written comes back with other numbers")
    if back.grid.shape != model.grid.shape:
        raise _Wrong(f"a cube of shape {model.grid.shape} comes back with shape {back.grid.shape}")
    shift = float(np.abs(back.grid.velocities - model.grid.velocities).max())
    shift = max(shift / model.grid.dv, float(np.abs(back.grid.east - model.grid.east).max()) / model.grid.cell)
    if not shift < SHIFT:
        raise _Wrong(f"a cube that was written comes back shifted by {shift:.1e} of a pixel or channel")
    return f"a cube of {size // 1024} kB written and read, the same numbers and axes"


def _check_fit() -> str:
    """Fit a mock galaxy whose truth is known."""
    import numpy as np

    km = _load()

    truth = {"pa": 35.0, "inc": 55.0, "rotation.v_max": 180.0, "flux": 30.0}
    beam, rms_part = km.Beam(4.0, 3.0, 20.0), 0.05
    model = km.simulate(_disc(), _grid(), beam)
    rms = rms_part * float(model.data.max())
    noise = rms * np.random.default_rng(1).standard_normal(model.data.shape)
    data = model.replace(data=(model.data + noise).astype(np.float32), rms=rms)
    start = _disc().replace(pa=50.0, inc=45.0, rotation=km.ArctanCurve(v_max=140.0, r_turn=1.5), flux=22.0)
    free = {
        "pa": km.Uniform(0.0, 180.0),
        "inc": km.Uniform(10.0, 85.0),
        "rotation.v_max": km.Uniform(50.0, 400.0),
        "flux": km.Uniform(1.0, 100.0),
    }
    result = km.fit(start, data, free, likelihood="white", method="optimise", seed=1, progress=False)
    found = {row["name"]: row for row in result.table() if row["name"] in truth}
    off = {
        name: (found[name]["median"] - true) / (0.5 * (found[name]["minus"] + found[name]["plus"]))
        for name, true in truth.items()
    }
    name = max(off, key=lambda key: abs(off[key]))
    text = f"a mock galaxy of 4 parameters is recovered, the worst ({name}) {abs(off[name]):.1f} sigma off"
    if not abs(off[name]) < SIGMAS:
        raise _Wrong(f"{text}; expected less than {SIGMAS:g}")
    return text


def _check_figure() -> str:
    from matplotlib.figure import Figure

    km = _load()

    model = km.simulate(_disc(), _grid(), km.Beam(4.0, 3.0, 20.0))
    figure = km.summary_figure(model, figure=Figure(figsize=(6.0, 5.0)))
    with tempfile.TemporaryDirectory(prefix="kinms_selftest_") as folder:
        path = Path(folder) / "figure.png"
        figure.savefig(path)
        size = path.stat().st_size
    return f"a figure of {len(figure.axes)} panels drawn, {size // 1024} kB"


def _check_workers() -> str:
    import numpy as np

    from gastimator_bridge import gastimator

    x = np.linspace(0.0, 10.0, 50)
    chains = []
    for processes in (1, 2):
        line = gastimator(_Line(x))
        line.guesses, line.min, line.max = [0.5, 1.5], [-5.0, 0.0], [5.0, 5.0]
        line.silent, line.nprocesses = True, processes
        chains.append(line.run(1.0 + 2.0 * x, 0.1, 1000, nchains=2, seed=1, plot=False)[0].tobytes())
    if chains[0] != chains[1]:
        raise _Wrong("1 and 2 worker processes give different chains")
    return "1 and 2 worker processes give the same chain"


class _Line:
    """A model that workers can be sent."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __call__(self, values: Any) -> Any:
        return values[0] + values[1] * self.x


_CHECKS: dict[str, Callable[[], str]] = {
    "kernels": _check_kernels,
    "fft": _check_fft,
    "threads": _check_threads,
    "fits": _check_fits,
    "workers": _check_workers,
    "fit": _check_fit,
    "figure": _check_figure,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the self-test, print what it finds, and return the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        ``--json`` prints one JSON object instead; default those of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m kinms.selftest", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    report = selftest(None if args.json else lambda line: print(line, flush=True))
    if args.json:
        print(report.to_json())
    return 0 if report.ok else FAILED


if __name__ == "__main__":
    # Workers are sent a model of this module, which has to have its name there.
    sys.exit(_load("kinms.selftest").main())
