"""The corner plot of a chain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kinms.errors import InputError
from kinms.plot_panels import MODEL_COLOUR, new_figure
from kinms.records import FloatArray, check_array

__all__ = ["corner_figure"]


def corner_figure(
    samples: Any,
    labels: Sequence[str] | None = None,
    *,
    units: Sequence[str] | None = None,
    truths: Sequence[float] | None = None,
    quantiles: tuple[float, float, float] = (0.16, 0.5, 0.84),
    title: str | None = None,
) -> Figure:
    """Draw every pair of parameters of a chain, contours at 1 and 2 sigma (39 and 86 % of a 2-D Gaussian).

    Parameters
    ----------
    samples : array_like, shape (n, k), or FitResult
        One row per sample, one column per parameter. Columns that never change are listed, not drawn.
    labels : sequence of str, optional
        Of the k parameters; default the result's names, or ``parameter 0``, ...
    units : sequence of str, optional
        Likewise; empty for none.
    truths : sequence of float, optional
        Values to be marked, one per parameter; NaN for none.
    quantiles : tuple of float
        Low, middle and high: dashed lines, and the numbers above the histograms.
    title : str, optional
        Above the panels.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If samples are not 2-D, not finite, or fewer than the parameters; or labels, units, truths differ in number.

    Examples
    --------
    >>> samples = np.random.default_rng(1).normal(size=(500, 2))
    >>> len(corner_figure(samples, ["inc", "pa"], units=["deg", "deg"]).axes)
    4
    """
    given = samples
    if hasattr(given, "samples"):
        samples = given.samples
        labels = given.names if labels is None else labels
        units = given.units if units is None else units
    chain = check_array("samples", samples, shape=(-1, -1))
    n, k = chain.shape
    if n <= k and given is samples:
        raise InputError("the shape of samples", chain.shape, "more samples than parameters", "Transpose it: (n, k).")
    labels = _per_parameter("labels", labels, [f"parameter {i}" for i in range(k)])
    units = _per_parameter("units", units, [""] * k)
    marks = np.asarray(_per_parameter("truths", truths, [np.nan] * k), dtype=float)
    varies = np.ptp(chain, axis=0) > 1e-12 * np.abs(chain).max(axis=0)
    drawn = np.flatnonzero(varies) if n > k else np.array([], dtype=int)
    note = [f"{labels[i]} = {chain[0, i]:.6g} {units[i]}".rstrip() for i in np.flatnonzero(~varies)]
    note = ["constant:", *note] if note else []
    if n <= k:  # what an interrupted fit may leave
        note.append(f"too few samples ({n}) to be drawn")
    figure = _panels(chain[:, drawn], [_in_lines(labels[i], units[i]) for i in drawn], marks[drawn], quantiles, note)
    if title:
        figure.suptitle(title, x=0.02, ha="left")
    return figure


def _per_parameter(name: str, given: Any, default: list[Any]) -> list[Any]:
    values = default if given is None else list(given)
    if len(values) != len(default):
        raise InputError(f"the length of {name}", len(values), f"{len(default)}, one per parameter")
    return values


def _in_lines(label: str, unit: str) -> str:
    """Break a dotted path and its unit into lines, so that neighbours do not overlap."""
    path = label if "$" in label else re.sub(r"\.(?=[A-Za-z_])", ".\n", label)
    return f"{path}\n({unit})" if unit else path


def _panels(chain: FloatArray, names: list[str], truths: FloatArray, quantiles: Any, note: list[str]) -> Figure:
    """Draw the panels, with margins and text sizes that suit their number, and the note where there is room."""
    k = len(names)
    panel = float(np.clip(13.0 / max(k, 1), 1.2, 2.4))
    left, bottom, top = 1.0, 1.0, 0.8
    right = 2.6 if note and k < 2 else 0.25
    width = left + k * panel + right
    height = max(bottom + k * panel + top, 0.4 + 0.2 * len(note))
    figure = new_figure((width, height))
    figure.text(1.0 - 0.1 / width, 1.0 - 0.1 / height, "\n".join(note), ha="right", va="top", fontsize=9.0, gid="note")
    if k == 0:
        return figure
    _draw_corner(figure, chain, truths, quantiles)
    figure.subplots_adjust(left / width, bottom / height, 1.0 - right / width, 1.0 - top / height, 0.06, 0.06)
    size = 9.0 if k < 6 else 7.5
    axes = np.array(figure.axes).reshape(k, k)
    for i, name in enumerate(names):
        value = _value(*np.quantile(chain[:, i], quantiles))
        axes[i, i].set_title("\n".join([*(line for line in name.split("\n") if line[0] != "("), value]), fontsize=size)
        for line in axes[i, i].lines:
            line.set_linewidth(1.0)
        for j in range(i + 1):
            _round_ticks(axes[i, j].xaxis, size)
            if j < i:
                _round_ticks(axes[i, j].yaxis, size)
        _name(axes[-1, i].xaxis, name, (0.5, -0.5 / panel), size)
        if i:
            _name(axes[i, 0].yaxis, name, (-0.55 / panel, 0.5), size)
    return figure


def _draw_corner(figure: Figure, chain: FloatArray, truths: FloatArray, quantiles: Any) -> None:
    import corner  # slow to import

    low, high = np.percentile(chain, [0.1, 99.9], axis=0)
    sticks = high <= low  # nearly always at one value: show all of it
    low, high = np.where(sticks, chain.min(axis=0), low), np.where(sticks, chain.max(axis=0), high)
    margin = 0.05 * (high - low)
    many = len(chain) >= 2000
    corner.corner(
        chain,
        fig=figure,
        bins=int(np.clip(np.sqrt(len(chain)) / 3.0, 8, 25)),
        range=np.column_stack([low - margin, high + margin]).tolist(),
        quantiles=list(quantiles),
        truths=[None if np.isnan(value) else float(value) for value in truths],
        truth_color=MODEL_COLOUR,
        levels=(1.0 - np.exp(-0.5), 1.0 - np.exp(-2.0)),
        smooth=0.7 if many else None,
        plot_datapoints=not many,
        hist_kwargs={"linewidth": 1.0},
        contour_kwargs={"linewidths": 0.9},
        quiet=True,
    )


def _round_ticks(axis: Any, size: float) -> None:
    """A few round numbers, none near the ends, where they would run into the next panel's."""
    low, high = axis.get_view_interval()
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
    inner = np.abs(ticks - (low + high) / 2.0) < 0.42 * (high - low)
    axis.set_ticks(ticks[inner])
    axis.set_tick_params(labelsize=size, labelrotation=45, direction="in")


def _name(axis: Any, name: str, place: tuple[float, float], size: float) -> None:
    span = float(np.ptp(axis.get_view_interval()))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, span)))
    axis.set_label_text(name, fontsize=size)
    axis.set_label_coords(*place)


def _tick(value: float, span: float) -> str:
    """A number with the decimals that tell it from one a twentieth of ``span`` away."""
    if abs(value) >= 1e5:
        digits = max(int(np.floor(np.log10(abs(value))) - np.floor(np.log10(span))) + 1, 0)
        return f"{value:.{digits}e}".replace("e+0", "e").replace("e+", "e")
    decimals = max(int(np.ceil(-np.log10(span))) + 1, 0)
    return f"{value:.{decimals}f}"


def _value(low: float, middle: float, high: float) -> str:
    """The middle with its distances to low and high, to two digits of the smaller, as mathtext."""
    minus, plus = middle - low, high - middle
    error = min((e for e in (minus, plus) if e > 0), default=abs(middle) or 1.0)
    power = int(np.floor(np.log10(abs(middle)))) if abs(middle) >= 1e5 else 0
    decimals = max(1 - int(np.floor(np.log10(error))) + power, 0)
    middle, minus, plus = (x / 10.0**power for x in (middle, minus, plus))
    number = f"{middle:.{decimals}f}_{{-{minus:.{decimals}f}}}^{{+{plus:.{decimals}f}}}"
    return rf"$({number})\times 10^{{{power}}}$" if power else f"${number}$"
