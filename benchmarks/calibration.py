"""Are the error bars right? Mock observations of known discs, fitted, and how often the truth is where the fit says.

    python benchmarks/calibration.py                     200 mocks of either noise, all likelihoods, tables and figure
    python benchmarks/calibration.py --mocks 40          fewer, prints only
    python benchmarks/calibration.py --processes 4
    python benchmarks/calibration.py --only correlated/correlated/laplace --mocks 500      one row, better known

Discs are drawn from the priors that they are then fitted with, so that the rank of each true value among draws from its
posterior is uniform if the posterior is right (simulation-based calibration: Talts et al. 2018). Noise is white, or
white noise convolved with the beam of NGC 4047's cube, 7 arcsec on pixels of 1 arcsec. Fits know neither the rms nor
the correlation of the noise: both are measured in each mock.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.stats

import kinms as km
from kinms.optimise import laplace, optimise
from kinms.posterior import DiscPosterior, choose_likelihood
from kinms.samplers import SAMPLERS

#: Of NGC 4047's cube; a field of eight beams, and channels enough for the fastest disc.
BEAM, GRID = km.Beam(7.0), km.CubeGrid((32, 56, 56), cell=1.0, dv=20.0)
#: Signal to noise of the brightest voxel.
PEAK = 12.0
PRIORS: dict[str, km.Prior] = {
    "inc": km.Normal(55.0, 6.0),
    "pa": km.Uniform(0.0, 360.0, periodic=True),
    "v_sys": km.Normal(0.0, 15.0),
    "sigma_gas": km.TruncatedNormal(15.0, 3.0, low=4.0),
    "flux": km.Normal(30.0, 4.0),
    "east": km.Normal(0.0, 1.0),
    "north": km.Normal(0.0, 1.0),
    "surface_brightness.scale": km.TruncatedNormal(7.0, 1.0, low=3.0),
    "rotation.v_max": km.Normal(190.0, 20.0),
    "rotation.r_turn": km.TruncatedNormal(3.0, 0.7, low=0.5),
}
START = km.Disc(
    surface_brightness=km.ExponentialDisc(7.0),
    rotation=km.ArctanCurve(190.0, 3.0),
    inc=55.0, pa=0.0, sigma_gas=15.0, flux=30.0,
)  # fmt: skip
LEVELS = (0.50, 0.68, 0.95)
#: Draws of a posterior among which a true value has a rank; they make `BINS` equal bins with it.
DRAWS, BINS = 99, 10
NOISES = ("white", "correlated")
LIKELIHOODS = ("white", "inflated", "correlated")
STEPS, CHAINS = 2000, 1


def mock(number: int, noise: str) -> tuple[np.ndarray, km.Cube]:
    """Return the true parameters and the cube of a mock observation: the same number gives the same disc and seed."""
    disc_seed, noise_seed = np.random.SeedSequence((number, NOISES.index(noise))).spawn(2)
    rng = np.random.default_rng(disc_seed)
    truth = np.array([float(prior.sample(rng)) for prior in PRIORS.values()])
    disc = START.with_values(dict(zip(PRIORS, truth, strict=True)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", km.KinmsWarning)  # of flux outside the field, which mocks may have
        model = km.simulate(disc, GRID, BEAM)
    rms = float(model.data.max()) / PEAK
    added = km.correlated_noise(GRID, BEAM if noise == "correlated" else None, rms, noise_seed)
    return truth, model.replace(data=model.data + added, stats=None)


def fit(number: int, noise: str, likelihood: str, method: str) -> dict[str, Any]:
    """Return how far from the truth a fit is (in sigma), and the rank of the truth among its draws."""
    truth, data = mock(number, noise)
    known = dict(zip(PRIORS, truth, strict=True))
    # Starts are not what is tested: near the truth, but off by more than the errors.
    start = START.replace(pa=float((known["pa"] + 10.0) % 360.0), inc=58.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", km.KinmsWarning)
        posterior = DiscPosterior(start, data, PRIORS, choose_likelihood(likelihood, data))
        if method == "laplace":
            chains = laplace(posterior, seed=number)
        else:
            # A chain that begins at the most probable disc needs no long burn-in.
            disc = posterior.disc_at(optimise(posterior).x)
            posterior = DiscPosterior(disc, data, PRIORS, posterior.likelihood)
            chains = SAMPLERS[method](
                posterior, steps=STEPS, burn=STEPS // 4, chains=CHAINS, seed=number, progress=False
            )
    flat = chains.flat()
    rng = np.random.default_rng(np.random.SeedSequence((number, 99)))
    # Periodic values are brought next to the truth: what counts is on which side of it a draw lies.
    period = np.array([np.diff(p.bounds)[0] if p.is_periodic else np.inf for p in PRIORS.values()])
    with np.errstate(invalid="ignore"):
        offset = flat - truth
        offset -= np.where(np.isfinite(period), period * np.round(offset / period), 0.0)
    some = offset[rng.integers(0, len(offset), DRAWS)] if method == "laplace" else offset[_spread(len(offset))]
    quantile = (offset < 0.0).mean(axis=0)
    return {
        "quantile": quantile.tolist(),
        "rank": (some < 0.0).sum(axis=0).tolist(),
        "pull": (-offset.mean(axis=0) / offset.std(axis=0)).tolist(),
    }


def _spread(n: int) -> np.ndarray:
    """`DRAWS` places all along a chain, so that draws are as good as independent."""
    return np.linspace(0, n - 1, DRAWS).round().astype(int)


def run(cases: Iterable[tuple[int, str, str, str]], processes: int) -> list[dict[str, Any]]:
    """Fit all cases; the result does not depend on the number of processes."""
    from joblib import Parallel, delayed

    cases = list(cases)
    found = Parallel(n_jobs=processes, verbose=5 if len(cases) > 50 else 0)(delayed(fit)(*case) for case in cases)
    return list(found)


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return coverage per level and parameter, p-values of the rank histograms, and mean and scatter of the pulls."""
    quantile, rank, pull = (np.array([one[key] for one in found]) for key in ("quantile", "rank", "pull"))
    inside = {level: np.abs(quantile - 0.5) <= 0.5 * level for level in LEVELS}
    counts = [np.bincount(column * BINS // (DRAWS + 1), minlength=BINS) for column in rank.T]
    return {
        "mocks": len(found),
        "coverage": {f"{level:.2f}": hits.mean(axis=0).tolist() for level, hits in inside.items()},
        "p_ranks": [float(scipy.stats.chisquare(count).pvalue) for count in counts],
        "ranks": [count.tolist() for count in counts],
        "mean_pull": pull.mean(axis=0).tolist(),
        "std_pull": pull.std(axis=0).tolist(),
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return Markdown: a row per noise, likelihood and method."""
    lines = [
        "| noise | likelihood | errors from | mocks | 50 % | 68 % | 95 % | mean pull | scatter of pulls | least p |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for noise, likelihood, method in itertools.product(NOISES, LIKELIHOODS, ("laplace", "gastimator")):
        result = results.get(f"{noise}/{likelihood}/{method}")
        if result is None:
            continue
        of_level = [100.0 * np.array(result["coverage"][f"{level:.2f}"]) for level in LEVELS]
        cells = [f"{np.mean(c):.0f} ({np.min(c):.0f} to {np.max(c):.0f})" for c in of_level]
        pulls = np.array(result["mean_pull"])
        worst = pulls[np.argmax(np.abs(pulls))]
        lines.append(
            f"| {noise} | {likelihood} | {method} | {result['mocks']} | {' | '.join(cells)} | {worst:+.2f} at most | "
            f"{np.mean(result['std_pull']):.2f} | {min(result['p_ranks']):.2g} |"
        )
    return "\n".join(lines)


def by_parameter(result: dict[str, Any]) -> str:
    """Return Markdown: a row per parameter."""
    lines = ["| parameter | 50 % | 68 % | 95 % | mean pull | p of ranks |", "|---|---|---|---|---|---|"]
    for k, name in enumerate(PRIORS):
        covered = [f"{100.0 * result['coverage'][f'{level:.2f}'][k]:.0f}" for level in LEVELS]
        lines.append(f"| {name} | {' | '.join(covered)} | {result['mean_pull'][k]:+.2f} | {result['p_ranks'][k]:.2g} |")
    return "\n".join(lines)


def in_short(results: dict[str, dict[str, Any]]) -> str:
    """Return the README's table, Markdown."""
    takes = {
        "white": "independent from voxel to voxel",
        "inflated": "white, errors x (2N)^(1/4)",
        "correlated": "what was measured: pixels share a beam",
    }
    rows = [
        "| `likelihood` | takes the noise for | truth inside (least, most of ten parameters) |",
        "|---|---|---|",
    ]
    for likelihood, words in takes.items():
        covered = 100.0 * np.array(results[f"correlated/{likelihood}/laplace"]["coverage"]["0.68"])
        spread = f"{np.mean(covered):.0f} % ({covered.min():.0f}, {covered.max():.0f})"
        rows.append(f"| `{likelihood}` | {words} | {spread} |")
    return "\n".join(rows)


def figure(results: dict[str, dict[str, Any]]) -> Any:
    """Return a figure: coverage of each likelihood on correlated noise, and its rank histograms."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(PRIORS)
    colours = {"white": "#D55E00", "inflated": "#E69F00", "correlated": "#0072B2"}
    page = Figure(figsize=(10, 7.5), layout="constrained")
    FigureCanvasAgg(page)
    top, bottom = page.subfigures(2, 1, height_ratios=(1.1, 1.0))
    axes = top.subplots()
    n = min(result["mocks"] for result in results.values())
    low, high = scipy.stats.binom.interval(0.95, n, 0.68)
    axes.axhspan(100 * low / n, 100 * high / n, color="0.88", zorder=0, label=f"95 % of chance, {n} mocks")
    axes.axhline(68, color="0.4", lw=1)
    markers = {"laplace": "o", "gastimator": "s"}
    shift = -0.25
    for key, result in results.items():
        noise, likelihood, method = key.split("/")
        if noise != "correlated":
            continue
        covered = 100.0 * np.array(result["coverage"]["0.68"])
        axes.plot(
            np.arange(len(names)) + shift, covered, markers[method], color=colours[likelihood], ms=6,
            mfc=colours[likelihood] if method == "laplace" else "white", label=f"{likelihood}, {method}",
        )  # fmt: skip
        shift += 0.125
    axes.set_xticks(range(len(names)), [name.rpartition(".")[2] for name in names])
    axes.set_ylabel("truth inside the 68 % interval (%)")
    axes.set_ylim(0, 103)
    axes.set_title("Noise correlated by the beam: how often the truth lies inside the error bar")
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.09), frameon=False, fontsize=9)
    panels = bottom.subplots(1, 3, sharey=True)
    for panel, likelihood in zip(panels, LIKELIHOODS, strict=True):
        result = results[f"correlated/{likelihood}/laplace"]
        share = np.mean(result["ranks"], axis=0) * BINS / result["mocks"]
        panel.bar((np.arange(BINS) + 0.5) / BINS, share, 0.92 / BINS, color=colours[likelihood])
        panel.axhline(1.0, color="0.3", lw=1)
        panel.set_title(likelihood)
        panel.set_xlabel("rank of the truth among draws")
    panels[0].set_ylabel("mocks per bin / expected")
    return page


def write(results: dict[str, dict[str, Any]]) -> None:
    """Put tables and figure where they are read."""
    import report

    report.write_text("coverage", in_short(results), report.HERE.parent / "README.md")
    figure(results).savefig(report.HERE / "calibration.png", dpi=110)
    chosen = "correlated/correlated/gastimator"
    text = f"{table(results)}\n\nEach parameter: correlated noise, likelihood `correlated`, sampled:\n\n"
    report.write_text("calibration", text + by_parameter(results[chosen]) + "\n\n![coverage](calibration.png)")


def main() -> None:
    """Fit, print, and keep the results unless fewer mocks than 200 were asked for."""
    import report

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mocks", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", metavar="NOISE/LIKELIHOOD/METHOD", default="", help="cases that begin like this")
    parser.add_argument("--again", action="store_true", help="only make tables and figure of the kept results again")
    args = parser.parse_args()
    if args.again:
        write(report.load()["calibration"])
        return
    results: dict[str, dict[str, Any]] = {}
    of_all = [(noise, likelihood, "laplace") for noise in NOISES for likelihood in LIKELIHOODS]
    of_all.append(("correlated", "correlated", "gastimator"))
    of_all = [case for case in of_all if "/".join(case).startswith(args.only)]
    for case in of_all:
        found = run([(number, *case) for number in range(args.mocks)], args.processes)
        results["/".join(case)] = summary(found)
    print(table(results))
    for key, result in results.items():
        print(f"\n{key}\n{by_parameter(result)}")
    if args.mocks >= 200:
        write(report.keep("calibration", results))


if __name__ == "__main__":
    main()
