"""Chains against the step, and posteriors against their priors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kinms.convergence import unwrap
from kinms.errors import InputError
from kinms.plot_panels import DATA_COLOUR, new_figure
from kinms.records import FloatArray

if TYPE_CHECKING:
    from kinms.results import FitResult

__all__ = ["prior_figure", "trace_figure"]

#: One per chain, told apart by the colour-blind (Okabe & Ito 2008); more chains share them.
CHAIN_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
PRIOR_COLOUR, POSTERIOR_COLOUR = "0.8", "#0072b2"
#: Points drawn of a chain, at most: more are finer than the page.
DRAWN = 1000
#: A posterior narrower than this part of its prior is shown once more, enlarged.
NARROW = 0.12


def _need_samples(result: FitResult) -> None:
    if result.log_prob.size <= len(result.names):
        raise InputError("the number of samples", result.log_prob.size, f"more than {len(result.names)}, to be drawn")


def trace_figure(result: FitResult, *, title: str | None = None) -> Figure:
    """Draw every parameter against the step, one line per chain, and its histogram beside it.

    Chains that converged look alike: each wanders over the same range, and none drifts.

    Parameters
    ----------
    result : FitResult
        Its samples after burn-in, periodic parameters unwrapped; the dashed line is the median of all.
    title : str, optional
        Above the panels.

    Returns
    -------
    matplotlib.figure.Figure
        Panels carry the parameters' names as labels, and ``log_prob``; histograms the same with ``, histogram``.

    Raises
    ------
    InputError
        If there are no more samples than parameters.
    """
    _need_samples(result)
    chains, steps = result.log_prob.shape
    columns = [unwrap(result.chain[..., k], prior) for k, prior in enumerate(result.priors)]
    names, units = [*result.names, "log_prob"], [*result.units, ""]
    rows = len(names)
    figure = new_figure((9.0, 0.9 + 1.15 * rows))
    figure.set_layout_engine("constrained", h_pad=0.03)
    axes = figure.subplots(rows, 2, sharex="col", sharey="row", width_ratios=[5.0, 1.0], squeeze=False)
    every = max(1, -(-steps // DRAWN))
    step = result.burn + np.arange(steps)[::every]
    for k, (values, name, unit) in enumerate(zip([*columns, result.log_prob], names, units, strict=True)):
        line, side = axes[k]
        line.set_label(name)
        side.set_label(f"{name}, histogram")
        for chain, row in enumerate(values):
            colour = CHAIN_COLOURS[chain % len(CHAIN_COLOURS)]
            line.plot(step, row[::every], color=colour, linewidth=0.5, alpha=0.8 if chains <= 4 else 0.5)
        _side_histogram(side, values)
        line.axhline(float(np.median(values)), color="black", linestyle="--", linewidth=0.8, gid="median")
        label = "log probability" if name == "log_prob" else _in_lines(name, unit)
        long = max(map(len, label.split("\n"))) > 14
        line.set_ylabel(label, fontsize="x-small" if long else "small")
        if k < len(result.names):
            line.set_title(_agreement(result, k), fontsize="x-small", loc="right", pad=2.0)
        for ax in (line, side):
            ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            ax.tick_params(direction="in", labelsize="small")
        side.tick_params(labelbottom=False, bottom=False)
        line.ticklabel_format(axis="y", useOffset=False)
    axes[0, 0].set_xlim(step[0], step[-1] if step.size > 1 else step[0] + 1)
    axes[-1, 0].set_xlabel("Step, burn-in included")
    axes[-1, 1].set_xlabel("Samples")
    figure.align_ylabels(axes[:, 0])
    many = "" if chains == 1 else f", {chains} chains"
    figure.suptitle(title or f"{result.method}{many}", fontsize="medium")
    return figure


def _in_lines(name: str, unit: str) -> str:
    """Break a dotted path and its unit, so that neighbours do not overlap."""
    path = name.replace(".", ".\n", 1)
    return f"{path}\n({unit})" if unit else path


def _agreement(result: FitResult, k: int) -> str:
    """R-hat and the number of independent samples, as far as they are known."""
    said = []
    if np.isfinite(result.r_hat[k]):
        said.append(rf"$\hat{{R}}$ = {result.r_hat[k]:.3f}")
    if np.isfinite(result.ess_bulk[k]):
        said.append(f"{result.ess_bulk[k]:.0f} independent samples")
    return ", ".join(said)


def _side_histogram(ax: Axes, values: FloatArray) -> None:
    """One outline per chain, or of all together where they are many."""
    edges = _edges(values, 30)
    groups = values if len(values) <= 4 else values.reshape(1, -1)
    for chain, row in enumerate(groups):
        colour = CHAIN_COLOURS[chain % len(CHAIN_COLOURS)] if len(groups) > 1 else DATA_COLOUR
        counts = np.histogram(row, edges)[0]
        ax.stairs(counts, edges, orientation="horizontal", color=colour, linewidth=1.0)
    ax.set_xlim(left=0.0)


def _edges(values: FloatArray, most: int) -> FloatArray:
    low, high = float(values.min()), float(values.max())
    if not high > low:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    return np.linspace(low, high, int(np.clip(np.sqrt(values.size), 8, most)) + 1)


def prior_figure(result: FitResult, *, title: str | None = None) -> Figure:
    """Draw each parameter's prior density and its posterior's histogram, both with their peak at one.

    A posterior much narrower than its prior appears once more, enlarged. One that fills its prior was not measured.

    Parameters
    ----------
    result : FitResult
        Its samples and priors.
    title : str, optional
        Above the panels.

    Returns
    -------
    matplotlib.figure.Figure
        Panels carry the parameters' names as labels.

    Raises
    ------
    InputError
        If there are no more samples than parameters.
    """
    _need_samples(result)
    npar = len(result.names)
    columns = min(npar, 3 if npar < 10 else 4)
    rows = -(-npar // columns)
    figure = new_figure((max(3.2 * columns, 4.5), 2.6 * rows + 0.8))
    figure.set_layout_engine("constrained", h_pad=0.06, w_pad=0.06)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[npar:]:
        ax.remove()
    for k, ax in enumerate(axes[:npar]):
        _prior_panel(ax, result, k)
    handles = [
        axes[0].fill_between([], [], color=PRIOR_COLOUR, label="prior"),
        axes[0].fill_between([], [], color=POSTERIOR_COLOUR, label="posterior"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def _prior_panel(ax: Axes, result: FitResult, k: int) -> None:
    name, unit, prior = result.names[k], result.units[k], result.priors[k]
    samples = unwrap(result.chain[..., k], prior).ravel()
    inside = np.asarray(prior.wrap(samples))
    ends = [
        end if np.isfinite(end) else float(prior.ppf(q)) for end, q in zip(prior.bounds, (1e-3, 0.999), strict=True)
    ]
    low, high = min(ends[0], float(inside.min())), max(ends[1], float(inside.max()))
    width = float(np.ptp(samples))
    narrow = width < NARROW * (high - low)
    ax.set_label(name)
    _draw_prior(ax, prior, low, high)
    # Never so narrow that it cannot be seen.
    bins = np.linspace(low, high, 81) if narrow else _edges(inside, 40)
    _draw_posterior(ax, inside, bins)
    margin = 0.02 * (high - low)
    ax.set_xlim(low - margin, high + margin)
    ax.set_ylim(0.0, 1.25)
    ax.set_yticks([])
    ax.set_xlabel(f"{name} ({unit})" if unit else name, fontsize="small")
    ax.set_title(str(prior), fontsize="small")
    _ticks(ax, 5)
    if narrow and width > 0.0:
        _enlarge(ax, samples, prior, (inside - low) / (high - low))


def _enlarge(ax: Axes, samples: FloatArray, prior: Any, places: FloatArray) -> None:
    """Show the posterior once more, where the panel is free of it; ``places`` are its parts of the panel's width."""
    left = min((0.06, 0.52, 0.29), key=lambda x: int(np.sum((places > x - 0.03) & (places < x + 0.45))))
    inset = ax.inset_axes((left, 0.32, 0.42, 0.6))
    low, high = np.quantile(samples, [0.001, 0.999])
    margin = 0.1 * (high - low)
    inside = samples[(samples >= low - margin) & (samples <= high + margin)]
    if not prior.is_periodic:
        _draw_prior(inset, prior, low - margin, high + margin)
    else:
        inset.set_facecolor(PRIOR_COLOUR)
    _draw_posterior(inset, inside, _edges(inside, 30))
    inset.set_xlim(low - margin, high + margin)
    inset.set_ylim(0.0, 1.15)
    inset.set_yticks([])
    _ticks(inset, 3)
    inset.tick_params(labelsize="x-small")


def _draw_prior(ax: Axes, prior: Any, low: float, high: float) -> None:
    x = np.linspace(low, high, 400)
    density = np.exp(prior.log_pdf(np.asarray(prior.wrap(x))))
    density[~np.isfinite(density)] = 0.0
    peak = float(density.max(initial=0.0))
    if peak > 0.0:
        ax.fill_between(x, density / peak, color=PRIOR_COLOUR, linewidth=0.0)


def _draw_posterior(ax: Axes, samples: FloatArray, edges: FloatArray) -> None:
    counts = np.histogram(samples, edges)[0] / np.diff(edges)
    ax.stairs(counts / max(float(counts.max()), 1e-300), edges, fill=True, color=POSTERIOR_COLOUR, alpha=0.75)
    ax.stairs(counts / max(float(counts.max()), 1e-300), edges, color=POSTERIOR_COLOUR, linewidth=1.0)


def _ticks(ax: Axes, number: int) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(number, steps=[1, 2, 5, 10]))
    ax.tick_params(direction="in", labelsize="small")
    ax.ticklabel_format(axis="x", useOffset=False)
