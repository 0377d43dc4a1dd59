"""The default of correlated noise beside whole covariance matrices: how wide its intervals are, and what it costs.

``python benchmarks/correlated.py [--quick]`` writes two tables of ``README.md`` and the section ``correlated`` of
``results.json``; with ``--quick`` it takes few rounds and only prints.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
import warnings
from typing import Any

import numpy as np
import report
import scipy.ndimage
import workloads
from workloads import WORKLOADS, Workload

import kinms as km
from kinms.correlation import Correlation
from kinms.likelihood import CorrelatedNoise, WhiteNoise
from kinms.modes import DenseModes, MaskModes, choose_modes

#: How far an interval may be from that of the exact likelihood, and how much longer than white noise a call may take.
WIDER, SLOWER = 0.02, 3.0

#: Half a step of each parameter, for its derivative.
STEPS = {"inc": 1.0, "pa": 1.0, "v_sys": 0.5, "sigma_gas": 0.5, "flux": 0.05, "east": 0.1, "north": 0.1,
         "scale": 0.1, "v_max": 2.0, "r_turn": 0.1}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Field:
    """A disc of exponential light at inclination 50, in n x n pixels of 1 arcsec, and the voxels that are used."""

    n: int
    beam: tuple[float, float, float]
    scale: float = 4.0
    east: float = 0.0
    used: str = "all"
    floor: float = 1e-3
    nv: int = 6


FIELDS = {
    "disc inside": Field(40, (5.0, 3.5, 25.0)),
    "disc inside, floor 1e-2": Field(40, (5.0, 3.5, 25.0), floor=1e-2),
    "narrow beam": Field(40, (3.0, 3.0, 0.0)),
    "disc over the edges": Field(40, (5.0, 3.5, 25.0), scale=8.0),
    "disc over the edges, wide beam": Field(40, (7.0, 7.0, 0.0), scale=8.0),
    "the same, floor 1e-2": Field(40, (7.0, 7.0, 0.0), scale=8.0, floor=1e-2),
    "off centre": Field(40, (6.0, 3.0, 20.0), scale=8.0, east=10.0),
    "centre near an edge": Field(40, (6.0, 3.0, 20.0), scale=8.0, east=17.0),
    "two to one at 45 deg": Field(40, (7.0, 3.5, 45.0), scale=5.0),
    "off centre, two to one at 45 deg": Field(40, (6.0, 3.0, 45.0), scale=8.0, east=10.0),
    "means of nine pixels": Field(48, (8.5, 8.5, 0.0), scale=8.0),
    "small field": Field(32, (5.0, 3.5, 25.0)),
    "3-D mask near the signal": Field(40, (5.0, 3.5, 25.0), used="near the signal"),
    "the same, wide beam": Field(40, (7.0, 7.0, 0.0), scale=8.0, used="near the signal"),
    "circular field of view": Field(40, (5.0, 3.5, 25.0), scale=8.0, used="a circle"),
    "two rows and a column blank": Field(40, (5.0, 3.5, 25.0), used="without lines"),
    "five single voxels missing": Field(40, (3.0, 3.0, 0.0), used="few missing"),
}

TIMED = {
    "T10": WORKLOADS["T10"],
    "G": WORKLOADS["G"],
    "G, beam 7": dataclasses.replace(WORKLOADS["G"], bmaj=7.0),
    "M": WORKLOADS["M"],
    "L": WORKLOADS["L"],
}
#: Rounds; each has one call with white and one with correlated noise.
ROUNDS = {"T10": 150, "G": 60, "G, beam 7": 60, "M": 25, "L": 7}


def slopes(f: Field) -> tuple[np.ndarray, np.ndarray]:
    """Return a cube, and its derivatives by ten parameters, shape (10, nv, n, n)."""
    grid, beam = km.CubeGrid((f.nv, f.n, f.n), 1.0, 30.0), km.Beam(*f.beam)
    start = {"inc": 50.0, "pa": 40.0, "v_sys": 3.0, "sigma_gas": 12.0, "flux": 1.0, "east": f.east, "north": 0.0,
             "scale": f.scale, "v_max": 100.0, "r_turn": 2.0}  # fmt: skip

    def model(name: str = "flux", change: float = 0.0) -> np.ndarray:
        p = dict(start)
        p[name] += change
        light, rotation = km.ExponentialDisc(p.pop("scale")), km.ArctanCurve(p.pop("v_max"), p.pop("r_turn"))
        disc = km.Disc(surface_brightness=light, rotation=rotation, **p)
        return np.asarray(km.simulate(disc, grid, beam, km.Sampling(accuracy=1e-4)).data, dtype=float)

    return model(), np.array([(model(k, h) - model(k, -h)) / (2.0 * h) for k, h in STEPS.items()])


def voxels(f: Field, cube: np.ndarray) -> np.ndarray:
    """Return which voxels are used."""
    use = np.ones(cube.shape, dtype=bool)
    if f.used == "near the signal":
        use = np.array([scipy.ndimage.binary_dilation(plane > 0.05 * cube.max(), iterations=2) for plane in cube])
    elif f.used == "a circle":
        y, x = np.ogrid[: f.n, : f.n]
        middle = 0.5 * (f.n - 1)
        use = np.broadcast_to(np.hypot(y - middle, x - middle) < 0.5 * f.n, cube.shape)
    elif f.used == "without lines":
        use[:, 10:12], use[:, :, 25] = False, False
    elif f.used == "few missing":
        use[2, 20, 17] = use[2, 24, 22] = use[2, 24, 23] = use[3, 19, 20] = use[3, 27, 14] = False
    return use


def intervals(f: Field) -> dict[str, Any]:
    """Return the ratios of claimed to exact 1 sigma and of true scatter to claimed, smallest and largest.

    The best values that a quadratic likelihood with matrix Q finds scatter with F^-1 J^T Q C Q J F^-1, where C is the
    covariance and F = J^T Q J; they are claimed to with F^-1.
    """
    cube, derivatives = slopes(f)
    use = voxels(f, cube)
    derivatives = np.where(use, derivatives, 0.0)
    correlation = Correlation.of_beam(km.Beam(*f.beam), 1.0, f.floor)
    default = choose_modes(correlation, use)

    def fisher(modes: Any) -> np.ndarray:
        projected = np.array([modes.of(slope) for slope in derivatives]).astype(float)
        return np.asarray(projected @ projected.T)

    exact = DenseModes(correlation, use)
    claimed, best = (np.sqrt(np.diag(np.linalg.inv(fisher(modes)))) for modes in (default, exact))
    true = claimed * scatter(default, correlation, use, derivatives)
    return {
        "kind": "mask" if isinstance(default, MaskModes) else "field",
        "claimed": [float((claimed / best).min()), float((claimed / best).max())],
        "true": [float((true / claimed).min()), float((true / claimed).max())],
        "n": default.n,
        "voxels": int(use.sum()),
    }


def scatter(default: Any, correlation: Correlation, use: np.ndarray, derivatives: np.ndarray) -> np.ndarray:
    """Return the true 1 sigma of each parameter over the claimed one, from the quadratic form of each channel."""
    information = spread = np.zeros((len(STEPS), len(STEPS)))
    known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    for v in np.flatnonzero(use.any(axis=(1, 2))):
        pixels = np.argwhere(use[v])
        if use[v].tobytes() not in known:
            cube, rows = np.zeros(use.shape, dtype=np.float32), []
            for y, x in pixels:
                cube[v, y, x] = 1.0
                rows.append(default.of(cube))
                cube[v, y, x] = 0.0
            response = np.array(rows, dtype=float)
            covariance = (1.0 - correlation.floor) * correlation.matrix(*pixels.T)
            known[use[v].tobytes()] = response @ response.T, covariance + correlation.floor * np.eye(len(pixels))
        form, covariance = known[use[v].tobytes()]
        of_channel = derivatives[:, v][:, use[v]]
        weighted = of_channel @ form
        information = information + weighted @ of_channel.T
        spread = spread + weighted @ covariance @ weighted.T
    claimed = np.linalg.inv(information)
    return np.asarray(np.sqrt(np.diag(claimed @ spread @ claimed) / np.diag(claimed)))


def times(w: Workload, rounds: int) -> dict[str, Any]:
    """Return the times of calls of a posterior with white and with correlated noise, taken in turns."""
    truth = km.simulate(workloads.disc(w), workloads.grid(w), workloads.beam(w))
    rms = float(truth.data.max()) / 20.0
    correlation = Correlation.of_beam(workloads.beam(w), 1.0)
    data = truth.data + rms * correlation.draw(truth.data.shape, seed=1)
    cube = truth.replace(data=data, rms=rms)
    start = time.perf_counter()
    likelihoods = {"correlated": CorrelatedNoise(data, rms, correlation), "white": WhiteNoise(data, rms)}
    made = time.perf_counter() - start
    calls = {
        name: km.DiscPosterior(workloads.disc(w), cube, workloads.free(w), likelihood)
        for name, likelihood in likelihoods.items()
    }
    vectors = workloads.vectors(calls["white"].labels, calls["white"].start, seed=2)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for k, x in enumerate(itertools.islice(vectors, rounds + 3)):
        for name in sorted(calls, reverse=bool(k % 2)):
            taken = report.clock(calls[name], x)
            if k >= 3:
                found[name].append(taken)
    ratio = float(np.median([b[0] / a[0] for a, b in zip(found["white"], found["correlated"], strict=True)]))
    return {**{name: report.medians(taken) for name, taken in found.items()}, "ratio": ratio, "made": made}


def main() -> None:
    """Measure all; write the tables unless asked for little."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, without L; prints only")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore", km.KinmsWarning)  # of flux outside of a field
    km.set_threads(1)
    timed, wide = {}, {}
    for name, w in TIMED.items():
        if quick and name == "L":
            continue
        timed[name] = result = times(w, max(5, ROUNDS[name] // 10) if quick else ROUNDS[name])
        white, correlated = (result[kind]["cpu"] for kind in ("white", "correlated"))
        print(f"{name:10s} white {white:.3g} ms, correlated {correlated:.3g} ms, {result['ratio']:.2f} x", flush=True)
    for name, f in FIELDS.items():
        wide[name] = result = intervals(f)
        claimed, true = ("{:.3f} to {:.3f}".format(*result[key]) for key in ("claimed", "true"))
        print(f"{name:34s} {result['kind']:5s} claimed / exact {claimed}, true / claimed {true}", flush=True)
    if not quick:
        report.keep("correlated", {"times": timed, "intervals": wide})
        write(timed, wide)


def write(timed: dict[str, Any], wide: dict[str, Any]) -> None:
    """Write the tables."""
    rows = []
    for name, result in timed.items():
        white, correlated = (f"{result[kind]['cpu']:.3g}" for kind in ("white", "correlated"))
        met = "yes" if result["ratio"] <= SLOWER else "**no**"
        rows.append([name, white, correlated, f"{result['ratio']:.2f}", met, f"{result['made']:.2g}"])
    header = ["", "white, ms", "correlated, ms", "ratio", f"<= {SLOWER:g}", "preparation, s"]
    report.write_text("correlated-times", report.table(header, rows))
    rows = []
    for name, result in wide.items():
        f = FIELDS[name]
        cells = ["{:.3f} to {:.3f}".format(*result[key]) for key in ("claimed", "true")]
        met = "yes" if max(abs(ratio - 1.0) for ratio in result["claimed"]) <= WIDER else "**no**"
        beam = "{:g} x {:g} at {:g}".format(*f.beam)
        rows.append([name, f"{f.n} x {f.n}", beam, f"{f.floor:g}", result["kind"], cells[0], met, cells[1]])
    header = ["", "pixels", "beam", "floor", "modes", "claimed / exact", f"within {100 * WIDER:g} %", "true / claimed"]
    report.write_text("correlated-intervals", report.table(header, rows))


if __name__ == "__main__":
    report.one_thread()
    main()
