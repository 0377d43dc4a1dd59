"""Time and check our models against KinMSpy 3.0.14 and GalPaK 1.35.2, interleaved, on one thread.

``python benchmarks/vs_peers.py [--quick] [--only T10 M] [--no-peers]`` writes the tables of ``README.md`` and
``results.json``; with ``--quick`` or ``--no-peers`` it only prints. Without ``--only`` it goes on to `accuracy` and
`scaling`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
import venv
import warnings
from pathlib import Path
from typing import Any

import accuracy
import numpy as np
import reference
import report
import scaling
import workloads
from workloads import WORKLOADS, Workload

import kinms as km

HERE = Path(__file__).parent
#: What pip installs for each peer.
PEERS = {
    "kinms": ["kinms==3.0.14", "numpy<2", "scipy<1.14"],
    "galpak": ["galpak==1.35.2", "numpy<2", "scipy<1.14"],
    "gastimator": ["gastimator==0.5.2", "kinms==3.0.14", "numpy<2", "scipy<1.14"],
}
#: Ratio of CPU times to reach: (must, aim) against upstream's default call, must against its FFT.
TARGETS = {
    "posterior": {
        "T10": (200, 500, 200),
        "T0": (100, 350, 100),
        "G": (80, 220, 55),
        "M": (70, 200, 27),
        "L": (150, 400, 35),
        "W": (25, 80, 10),
        "K": (25, 80, 10),
    },
    "simulate": {
        "T10": (150, 400, 150),
        "T0": (80, 300, 80),
        "G": (55, 180, 40),
        "M": (40, 150, 15),
        "L": (80, 300, 20),
        "W": (20, 60, 8),
        "K": (20, 60, 8),
    },
}
#: Against GalPaK's convolved cube, at G.
GALPAK_TARGET = 60
#: Rms error that no workload may exceed; all are asked for this accuracy.
ACCURACY = 1e-3
#: Rounds, and our own calls in each that are timed.
ROUNDS = {"T10": 9, "T0": 9, "G": 7, "M": 5, "L": 2, "W": 5, "K": 5}
#: Seconds of calls that are not timed, before ours in each round.
SETTLE = 0.3
CALLS = {"T10": 20, "T0": 20, "G": 10, "M": 5, "L": 3, "W": 3, "K": 3}


class Peer:
    """Another program, running in an environment of its own; see `peers`."""

    def __init__(self, name: str) -> None:
        python = HERE / ".envs" / name / "bin" / "python"
        if not python.exists():
            print(f"installing {' '.join(PEERS[name])}", flush=True)
            venv.create(python.parents[1], with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS[name]], check=True)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [python, HERE / "peers.py", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )

    def __call__(self, w: Workload, variant: str, inc: float, save: Path | None = None) -> tuple[float, float]:
        """Return CPU and wall time of one model, ms."""
        reply = self.ask({"workload": w.name, "variant": variant, "inc": inc, "save": str(save) if save else None})
        return reply["cpu"], reply["wall"]

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request, and wait for the reply."""
        print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError(f"the peer stopped on {request}")
        return dict(json.loads(line))

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def galaxy(w: Workload) -> reference.Galaxy:
    """Return the workload as the reference takes it."""
    return reference.Galaxy(
        w.n,
        w.nv,
        w.dv,
        w.beam,
        ("exponential", w.scale),
        ("arctan", w.v_max, w.r_turn),
        w.inc,
        w.pa,
        w.sigma_gas,
        scale_height=w.scale_height,
        warp=w.warp,
        warp_radius=4.0 * w.scale,
        flux=workloads.FLUX,
    )


def upstream_errors(w: Workload, upstream: Peer, converged: np.ndarray) -> dict[str, float]:
    """Return upstream's errors, one amplitude free: with a beam as asked for, and with the one it made."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cube.npy"
        upstream(w, "fft", w.inc, path)
        cube, psf = np.load(path, mmap_mode="r"), np.load(path.with_suffix(".psf.npy"))
        own = reference.convolve(reference.intrinsic(galaxy(w))[0], psf)
        return {
            "upstream": reference.relative_rms(cube, own, free_amplitude=True),
            "upstream, beam as asked": reference.relative_rms(cube, converged, free_amplitude=True),
        }


def measure(w: Workload, peers: dict[str, Peer], quick: bool) -> dict[str, Any]:
    """Return times and errors of one workload."""
    sampling = km.Sampling(accuracy=ACCURACY)
    converged, own_error = reference.observed(galaxy(w))
    rms = 0.02 * float(converged.max())
    noise = np.random.default_rng(1).standard_normal(converged.shape, dtype=np.float32)
    fit = workloads.posterior(w, converged + np.float32(rms) * noise, rms, sampling)
    del noise
    x = workloads.vectors(fit.labels, fit.start, seed=2)
    disc, grid, beam = workloads.disc(w), workloads.grid(w), workloads.beam(w)
    flux = iter(np.linspace(30.0, 31.0, 10_000))

    variants = {"kinms": ("default", "fft"), "galpak": ("clean", "convolved") if w.name == "G" else ()}
    calls = {f"{name} {v}": (peer, v) for name, peer in peers.items() for v in variants[name]}
    for key, (peer, variant) in calls.items():
        if not (w.name == "L" and key == "kinms default"):  # too slow for a call that is not timed
            peer(w, variant, w.inc)
    for _ in range(2):  # compile, and fill caches
        fit(next(x))
        km.simulate(disc, grid, beam, sampling)

    times: dict[str, list[tuple[float, float]]] = {key: [] for key in (*calls, "posterior", "simulate")}
    for k in range(min(2, ROUNDS[w.name]) if quick else ROUNDS[w.name]):
        for key, (peer, variant) in list(calls.items())[:: 1 if k % 2 else -1]:  # to and fro
            times[key].append(peer(w, variant, w.inc + 0.01 * k))
        # A fit makes thousands of calls in a row: what a peer left in the caches does not belong to one of them.
        settle = time.perf_counter() + SETTLE
        while time.perf_counter() < settle:
            fit(next(x))
        for _ in range(CALLS[w.name]):
            times["posterior"].append(report.clock(fit, next(x)))
        for _ in range(CALLS[w.name]):
            changed = disc.replace(flux=next(flux), v_sys=next(flux) - 30.0)
            times["simulate"].append(report.clock(km.simulate, changed, grid, beam, sampling))
    del fit  # with its data, before the next is made

    cube = km.simulate(disc, grid, beam, sampling)
    exact = workloads.posterior(w, converged, rms, sampling)
    chi2 = -2.0 * (exact(exact.start) - exact.log_prior(exact.start))
    errors = {
        "reference": own_error,
        "simulate": reference.relative_rms(cube.data, converged),
        "stated": cube.stats.accuracy,
        # Data without noise: chi^2 is the squared error of the model that the posterior made.
        "posterior": rms * float(np.sqrt(max(chi2, 0.0) / np.sum(converged.astype(float) ** 2))),
    }
    if "kinms" in peers:
        errors |= upstream_errors(w, peers["kinms"], converged)
    return {"times": {key: report.medians(value) for key, value in times.items()}, "errors": errors}


def ratios(name: str, result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the table of targets of one workload."""
    cpu = {key: value["cpu"] for key, value in result["times"].items()}
    rows = []
    for ours in ("posterior", "simulate"):
        must, aim, must_fft = TARGETS[ours][name]
        error, theirs = result["errors"][ours], result["errors"]["upstream"]
        good = error <= ACCURACY and error < theirs
        default, fft = cpu["kinms default"] / cpu[ours], cpu["kinms fft"] / cpu[ours]
        met = good and default >= must and fft >= must_fft
        verdict = "aim" if met and default >= aim else "must" if met else "**no**" if good else "**no: error**"
        what = "`posterior(x)`" if ours == "posterior" else "`km.simulate`"
        rows.append([name, what, f"{default:.0f}", f"{must} ({aim})", f"{fft:.0f}", must_fft, f"{error:.1e}", verdict])
    return rows


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value >= 100.0 else f"{value:.2g} ms"


def write(results: dict[str, Any]) -> None:
    """Write the tables of all workloads measured so far."""
    done = {name: results[name] for name in WORKLOADS if name in results}

    def ms(times: dict[str, Any], key: str) -> str:
        if key not in times:
            return ""
        return f"{times[key]['cpu']:.3g} ({times[key]['wall']:.3g})"

    columns = ["kinms default", "kinms fft", "galpak clean", "galpak convolved", "posterior", "simulate"]
    header = ["", "KinMSpy", "KinMSpy, FFT", "GalPaK, clean", "GalPaK", "`posterior(x)`", "`km.simulate`"]
    rows = [[name, *(ms(r["times"], key) for key in columns)] for name, r in done.items()]
    report.write_text("times", report.table(header, rows))

    header = ["", "", "x KinMSpy", "must (aim)", "x KinMSpy FFT", "must", "rms error", "met"]
    rows = [row for name, r in done.items() for row in ratios(name, r)]
    if "galpak convolved" in done.get("G", {}).get("times", {}):
        cpu = {key: value["cpu"] for key, value in done["G"]["times"].items()}
        ratio = cpu["galpak convolved"] / cpu["posterior"]
        verdict = "must" if ratio >= GALPAK_TARGET else "**no**"
        rows.append(["G", "`posterior(x)`", f"{ratio:.0f} x GalPaK", GALPAK_TARGET, "", "", "", verdict])
    report.write_text("targets", report.table(header, rows))

    header = ["cube", "KinMSpy", "KinMSpy, FFT", "`posterior(x)`", "`km.simulate`", "error", "error of KinMSpy"]
    rows = []
    for name, r in done.items():
        cpu, errors, shape = r["times"], r["errors"], WORKLOADS[name]
        times = [_ms(cpu[key]["cpu"]) for key in ("kinms default", "kinms fft", "posterior", "simulate")]
        label = f"{name}: {shape.n} x {shape.n} x {shape.nv}"
        rows.append([label, *times, f"{errors['simulate']:.0e}", f"{errors['upstream']:.0e}"])
    report.write_text("summary", report.table(header, rows), report.HERE.parent / "README.md")

    columns = ["reference", "upstream", "upstream, beam as asked", "posterior", "simulate", "stated"]
    header = ["", "reference", "KinMSpy", "KinMSpy, beam as asked", "`posterior(x)`", "`km.simulate`", "stated by it"]
    rows = [[name, *(f"{r['errors'][key]:.1e}" for key in columns)] for name, r in done.items()]
    report.write_text("errors", report.table(header, rows))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds, without L; nothing is written")
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), help="these workloads, and nothing else")
    parser.add_argument("--no-peers", action="store_true", help="ours alone; nothing is written")
    options = parser.parse_args()
    warnings.simplefilter("ignore", km.KinmsWarning)  # the light beyond the field

    peers = {} if options.no_peers else {name: Peer(name) for name in ("kinms", "galpak")}
    for name in options.only or [name for name in WORKLOADS if not (options.quick and name == "L")]:
        result = measure(WORKLOADS[name], peers, options.quick)
        for key, value in result["times"].items():
            print(f"{name:4s} {key:17s} CPU {value['cpu']:9.3f} ms, wall {value['wall']:9.3f} ms", flush=True)
        print(f"{name:4s} errors:", {key: f"{value:.1e}" for key, value in result["errors"].items()})
        if peers:
            for row in ratios(name, result):
                print("    ", *row)
        if peers and not options.quick:
            write(report.keep("workloads", {name: result}))
    for peer in peers.values():
        peer.close()
    if not options.only:
        accuracy.main(options.quick)
        scaling.main(options.quick)


if __name__ == "__main__":
    report.one_thread()
    main()
