"""The tutorial's whole fit, through ours and through KinMSpy 3.0.14 with GAStimator 0.5.2, on one thread.

``python benchmarks/tutorial_fit.py [--steps N] [--no-peers]`` writes the tables of a fit in ``README.md`` and the
section ``fit`` of ``results.json``; with another number of steps or without peers it only prints.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import reference
import report
import workloads
from vs_peers import Peer, galaxy
from workloads import TUTORIAL, WORKLOADS

import kinms as km
from gastimator_bridge import gastimator

#: Ours run this often before upstream and again after it; upstream takes many minutes and runs once.
ROUNDS = 2
#: Seconds that ours may take, and how many times faster it is to be.
SECONDS, RATIO = 10.0, 30.0
#: What `km.fit` calls the tutorial's parameters after the flux.
PATHS = ("pa", "inc", "rotation.v_max", "rotation.r_turn", "surface_brightness.scale")


def data() -> np.ndarray:
    """Return the observed cube, shape (nv, ny, nx)."""
    cube, _ = reference.observed(galaxy(WORKLOADS["T0"]))
    return np.asarray(cube + TUTORIAL["rms"] * np.random.default_rng(1).standard_normal(cube.shape))


def by_script(cube: np.ndarray, error: float, steps: int, seed: int) -> dict[str, Any]:
    """Fit with the tutorial's own calls."""
    w = WORKLOADS["T0"]

    def model(values: np.ndarray) -> np.ndarray:
        flux, pa, inc = values[:3]
        shape = (w.n, w.n, w.nv * w.dv, 1.0, w.dv, np.array(w.beam))
        profiles = workloads.tutorial_profiles(values)
        return km.KinMS(*shape, inc, intFlux=flux, posAng=pa, fixSeed=True, **profiles).model_cube(toplot=False)

    sampler = workloads.gastimator_fit(gastimator(model))
    model(np.array(TUTORIAL["truth"]))
    values, _ = sampler.run(cube.T, error, steps, plot=False, seed=seed)
    return {"kept": values.shape[1], "models": steps, "quantiles": quantiles(values)}


def by_fit(cube: np.ndarray, error: float, steps: int, seed: int, chains: int) -> dict[str, Any]:
    """Fit with `km.fit`."""
    w = WORKLOADS["T0"]
    flux, pa, inc, v_max, r_turn, scale = TUTORIAL["guesses"]
    light, rotation = km.ExponentialDisc(scale), km.ArctanCurve(v_max, r_turn)
    disc = km.Disc(surface_brightness=light, rotation=rotation, inc=inc, pa=pa, flux=flux)
    bounds = list(zip(TUTORIAL["min"], TUTORIAL["max"], strict=True))[1:]
    free = {path: km.Uniform(low, high) for path, (low, high) in zip(PATHS, bounds, strict=True)}
    observed = km.Cube(cube, workloads.grid(w), workloads.beam(w), rms=TUTORIAL["rms"])
    options = {"steps": steps, "chains": chains, "seed": seed, "inflate": True, "progress": False}
    samples = km.fit(disc, observed, free, **options).samples
    values = np.vstack([np.full(samples.shape[0], flux), samples.T])
    return {"kept": values.shape[1], "models": chains * steps, "quantiles": quantiles(values)}


def quantiles(values: np.ndarray) -> list[list[float]]:
    """Return 16th, 50th and 84th percentile of each row."""
    return np.percentile(values, [15.87, 50.0, 84.13], axis=1).T.tolist()


def timed(call: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Add CPU and wall time, seconds, to what a fit returns."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call(*arguments)
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, **result}


OURS: dict[str, tuple[Callable[..., dict[str, Any]], tuple[int, ...]]] = {
    "the script as it is": (by_script, ()),
    "`km.fit`, one chain": (by_fit, (1,)),
    "`km.fit`, two chains": (by_fit, (2,)),
}
UPSTREAM = "upstream"


def measure(steps: int, with_peer: bool) -> dict[str, list[dict[str, Any]]]:
    """Return every run of every program: ours, upstream, and ours again."""
    cube = data()
    error = TUTORIAL["rms"] * (2.0 * cube.size) ** 0.25
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in OURS}

    def ours(first_seed: int) -> None:
        for seed in range(first_seed, first_seed + ROUNDS):
            for name, (call, arguments) in OURS.items():
                runs[name].append(timed(call, cube, error, steps, seed, *arguments))
                print(describe(name, runs[name][-1]), flush=True)

    for call, arguments in OURS.values():  # compile and import
        call(cube, error, 200, 0, *arguments)
    ours(1)
    if with_peer:
        peer = Peer("gastimator")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cube.npy"
            np.save(path, cube)
            runs[UPSTREAM] = [peer.ask({"data": str(path), "error": error, "steps": steps})]
        peer.close()
        print(describe(UPSTREAM, runs[UPSTREAM][0]), flush=True)
        ours(1 + ROUNDS)
    return runs


def describe(name: str, run: dict[str, Any]) -> str:
    """Return one line about a run."""
    values = ", ".join(f"{m:.4g} +- {0.5 * (b - a):.2g}" for a, m, b in run["quantiles"][1:])
    cost = f"wall {run['wall']:.2f} s, CPU {run['cpu']:.2f} s, {run['models']} models, {run['kept']} kept"
    return f"{name}: {cost}: {values}"


def write(runs: dict[str, Any]) -> None:
    """Write the tables."""
    names = {UPSTREAM: "KinMSpy 3.0.14, GAStimator 0.5.2", **{name: name for name in OURS}}
    theirs, theirs_cpu = (float(np.median([run[clock] for run in runs[UPSTREAM]])) for clock in ("wall", "cpu"))
    rows, found = [], []
    for key, name in names.items():
        walls = [run["wall"] for run in runs[key]]
        wall = float(np.median(walls))
        spread = f"{min(walls):.3g} to {max(walls):.3g}" if len(walls) > 1 else ""
        cpu = float(np.median([run["cpu"] for run in runs[key]]))
        met = "" if key == UPSTREAM else "yes" if wall < SECONDS and theirs / wall >= RATIO else "**no**"
        ratio = "" if key == UPSTREAM else f"{theirs / wall:.0f} ({theirs_cpu / cpu:.0f})"
        rows.append([name, len(walls), f"{wall:.3g}", spread, f"{cpu:.3g}", runs[key][0]["models"], ratio, met])
        last = runs[key][0]
        cells = [f"{m:.5g} ± {0.5 * (b - a):.2g}" for a, m, b in last["quantiles"][1:]]
        found.append([name, *cells, last["kept"]])
    header = ["", "runs", "wall time, s", "range", "CPU time, s", "models"]
    goal = f"< {SECONDS:.0f} s and >= {RATIO:.0f} x"
    table = report.table([*header, "x upstream (by CPU time)", goal], rows)
    load, cores = runs["load average at the end"], runs["cores"]
    busy = f"Load average at the end, from everything that ran on these {cores} cores: {load}."
    report.write_text("fit", f"{table}\n\n{busy}")
    truth = ["truth", *(f"{value:g}" for value in TUTORIAL["truth"][1:]), ""]
    report.write_text("fit-values", report.table(["", *TUTORIAL["labels"][1:], "states"], [truth, *found]))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=TUTORIAL["steps"], help="another number; nothing is written")
    parser.add_argument("--no-peers", action="store_true", help="ours alone; nothing is written")
    options = parser.parse_args()
    warnings.simplefilter("ignore", km.KinmsWarning)  # one chain cannot tell whether it converged
    runs = measure(options.steps, not options.no_peers)
    if options.steps == TUTORIAL["steps"] and not options.no_peers:
        # At another time than the other benchmarks, as a rule: it says itself how busy the machine was.
        load = {"load average at the end": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
        write(report.keep("fit", {**runs, **load}, stamp=False))


if __name__ == "__main__":
    report.one_thread()
    main()
