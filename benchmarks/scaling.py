"""How cost grows with pixels, channels, beam and accuracy, from a disc like workload M; draws ``scaling.png``."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
import report
import workloads
from workloads import WORKLOADS, Workload

import kinms as km

#: The disc grows with the field, the velocity range stays with the channels.
_BASE = dataclasses.replace(WORKLOADS["M"], n=192, scale=19.0, r_turn=7.5)


def _sizes(n: int) -> Workload:
    return dataclasses.replace(_BASE, n=n, scale=0.1 * n, r_turn=0.04 * n)


def _channels(nv: int) -> Workload:
    return dataclasses.replace(_BASE, nv=nv, dv=640.0 / nv)


def _beams(pixels: float) -> Workload:
    return dataclasses.replace(_BASE, bmaj=pixels)


#: Axis -> (label, values, workload of a value, accuracy of a value).
AXES: dict[str, tuple[str, list[Any], Any, Any]] = {
    "pixels": ("pixels along a side", [64, 96, 128, 192, 256, 384], _sizes, lambda _: 1e-3),
    "channels": ("channels (same velocity range)", [16, 32, 64, 128, 256], _channels, lambda _: 1e-3),
    "beam": ("beam FWHM (pixels)", [2.5, 4.0, 6.0, 10.0, 16.0, 24.0], _beams, lambda _: 1e-3),
    "accuracy": ("accuracy asked for", [1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5], lambda _: _BASE, lambda a: a),
}


def calls(w: Workload, accuracy: float) -> dict[str, Callable[[], Any]]:
    """Return what is timed: one posterior call, at another vector every time, and one simulated cube."""
    sampling = km.Sampling(accuracy=accuracy)
    arguments = workloads.disc(w), workloads.grid(w), workloads.beam(w), sampling
    data = km.simulate(*arguments).data
    fit = workloads.posterior(w, data, 0.02 * float(data.max()), sampling)
    x = workloads.vectors(fit.labels, fit.start, seed=3)
    fit(next(x))
    return {"posterior": lambda: fit(next(x)), "simulate": lambda: km.simulate(*arguments)}


def costs(models: list[dict[str, Callable[[], Any]]], rounds: int) -> dict[str, list[float]]:
    """Return median CPU times (ms) of each model, which take turns: a machine that slows down does so for all."""
    times: dict[str, list[list[tuple[float, float]]]] = {what: [[] for _ in models] for what in models[0]}
    for _ in range(rounds):
        for k, model in enumerate(models):
            for what, call in model.items():
                times[what][k].append(report.clock(call))
    return {what: [report.medians(t)["cpu"] for t in each] for what, each in times.items()}


def exponent(values: list[float], cost: list[float]) -> float:
    """Return the power of the value that the cost follows, fitted to the upper half of the range."""
    half = len(values) // 2 if values[0] < values[-1] else 0
    return float(np.polyfit(np.log(values[half:]), np.log(cost[half:]), 1)[0])


def draw(results: dict[str, Any]) -> None:
    """Draw cost against each axis."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(2, 2, figsize=(9, 7), sharey=True, layout="constrained")
    styles = {"posterior": ("#0072B2", "o", "-"), "simulate": ("#D55E00", "s", "--")}  # Okabe & Ito's colours
    for panel, (axis, result) in zip(panels.flat, results.items(), strict=True):
        for what, (colour, marker, line) in styles.items():
            label = "posterior(x)" if what == "posterior" else "km.simulate"
            label += f": power {result['exponent'][what]:.2f}"
            panel.loglog(result["values"], result[what], color=colour, marker=marker, ls=line, label=label)
        ticks = result["values"]
        panel.set_xticks(ticks, [f"{t:g}" for t in ticks])
        panel.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.minorticks_off()
        panel.set_xlabel(AXES[axis][0])
        if axis == "accuracy":
            panel.invert_xaxis()
        panel.grid(alpha=0.3)
        panel.legend(frameon=False)
    for panel in panels[:, 0]:
        panel.set_ylabel("CPU time (ms)")
    figure.suptitle(f"Cost of one model: {_BASE.n} x {_BASE.n} pixels, {_BASE.nv} channels, beam {_BASE.bmaj:g} pixels")
    figure.savefig(report.HERE / "scaling.png", dpi=120)
    plt.close(figure)


def main(quick: bool = False) -> None:
    """Measure all axes; write table and figure unless ``quick``."""
    warnings.simplefilter("ignore", km.KinmsWarning)
    results: dict[str, Any] = {}
    for axis, (_, values, make, accuracy) in AXES.items():
        cost = costs([calls(make(v), accuracy(v)) for v in values], 2 if quick else 9)
        powers = {what: exponent(values, each) for what, each in cost.items()}
        results[axis] = {"values": values, **cost, "exponent": powers}
        print(axis, results[axis], flush=True)
    if quick:
        return
    report.keep("scaling", results)
    draw(results)
    rows = [
        [AXES[axis][0], f"{r['values'][0]:g} to {r['values'][-1]:g}", *(f"{p:.2f}" for p in r["exponent"].values())]
        for axis, r in results.items()
    ]
    report.write_text("scaling", report.table(["", "range", "`posterior(x)`", "`km.simulate`"], rows))


if __name__ == "__main__":
    report.one_thread()
    main()
