"""Corner plots with the keywords that scripts use; drawn by the `corner` package (Foreman-Mackey 2016).

Both ``corner_plot.corner_plot(chain.T, ...)`` and ``corner_plot(chain.T, ...)`` work. Matplotlib is only imported when
something is drawn.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from kinms.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["corner_plot"]

# Points are coloured down to this far below the most likely one: 3 sigma.
_SHOWN = 4.5


def corner_plot(
    xs: ArrayLike,
    like: ArrayLike | None = None,
    xstry: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    labels: Iterable[str] | None = None,
    extents: Any = None,
    truths: Sequence[float] | None = None,
    truth_color: str = "steelblue",
    fignum: int | str | None = None,
    scale_hist: bool = False,
    quantiles: Sequence[float] = (),
    verbose: bool = True,
    init: bool = False,
    plot_contours: bool = True,
    plot_datapoints: bool = True,
    fig: Figure | None = None,
    labels_scaling: float = 1.0,
    rasterized: bool | None = None,
    **kwargs: Any,
) -> Figure:
    """Draw histograms of all parameters and of all pairs of them.

    Parameters
    ----------
    xs : array_like, shape (nsamples, ndim)
        Samples: the transpose of what ``gastimator.run`` returns, without the fixed parameters. One dimension is one
        parameter.
    like : array_like, shape (nsamples,), optional
        Log-likelihoods; the pairs are then points coloured by them, dark 4.5 or more below the best.
    xstry : array_like, shape (ntried, ndim), optional
        Further points, drawn as dots below everything.
    weights : array_like, shape (nsamples,), optional
        Of the samples.
    labels : iterable of str, optional
        One per parameter.
    extents : pair of array_like, shape (2, ndim), optional
        Lower and upper ends of the axes.
    truths : sequence of float, optional
        Values to mark, in ``truth_color``.
    fignum : int or str, optional
        Number of the pyplot figure to draw in.
    scale_hist : bool
        Show the zero line of the histograms.
    quantiles : sequence of float
        To mark in the histograms; ``verbose`` prints them.
    init : bool
        Only lay out the panels.
    plot_contours, plot_datapoints : bool
        What pairs show, without ``like``.
    fig : matplotlib.figure.Figure, optional
        Figure to draw in, empty or with ndim x ndim axes.
    labels_scaling : float
        Size of the axis labels, relative to the default.
    rasterized : bool, optional
        Whether points are; by default where there are many.
    **kwargs
        Further keywords of `corner.corner` (``bins``, ``color``, ``smooth``, ...), ``linewidths`` of the contours,
        ``plot_ellipse`` for the 1-sigma ellipse of the covariance, and with ``like`` those of
        `matplotlib.axes.Axes.scatter`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        Shapes that do not match, or a parameter that never changes.
    UnknownNameError
        A keyword that neither this nor `corner.corner` knows.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> figure = corner_plot(rng.normal(size=(500, 2)), labels=["a", "b"])
    >>> len(figure.axes)
    4
    """
    import corner
    from matplotlib import pyplot as plt

    samples = np.asarray(xs, dtype=float)
    samples = samples[:, None] if samples.ndim == 1 else samples
    names = None if labels is None else [str(label) for label in labels]
    low, high = _check(samples, like, weights, names, extents, truths)
    n = samples.shape[1]
    if fig is None:
        fig = plt.figure(num=fignum, figsize=(1.2 + 2.1 * n, 1.2 + 2.1 * n))
    if init:
        fig.subplots(n, n, squeeze=False)
        return fig

    for_corner, for_points, ellipse = _sort(kwargs, corner, like is not None)
    for_corner.setdefault("label_kwargs", {"fontsize": plt.rcParams["font.size"] * labels_scaling})
    corner.corner(
        samples,
        weights=None if weights is None else np.asarray(weights, dtype=float),
        labels=names,
        range=list(zip(low, high, strict=True)),
        truths=None if truths is None else list(truths),
        truth_color=truth_color,
        scale_hist=scale_hist,
        quantiles=list(quantiles),
        verbose=verbose and len(quantiles) > 0,
        plot_contours=plot_contours and like is None,
        plot_density=plot_contours and like is None,
        plot_datapoints=plot_datapoints and like is None,
        fig=fig,
        **for_corner,
    )
    panels = np.array(fig.axes).reshape(n, n)
    if rasterized is None:
        rasterized = samples.size > 10_000
    if like is not None:
        _draw_points(panels, samples, np.asarray(like, dtype=float), {"rasterized": rasterized, **for_points})
    for i in range(n):
        for j in range(i):
            if xstry is not None:
                tried = np.asarray(xstry, dtype=float)
                panels[i, j].plot(tried[:, j], tried[:, i], ",m", rasterized=rasterized, zorder=0)
            if ellipse:
                _draw_ellipse(panels[i, j], samples[:, [j, i]])
    return fig


def _check(
    samples: np.ndarray, like: Any, weights: Any, labels: list[str] | None, extents: Any, truths: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Check shapes; return the ends of the axes."""
    if samples.ndim != 2 or samples.shape[0] == 0:
        raise InputError("xs", f"of shape {samples.shape}", "shape (nsamples, ndim)", "Transpose the chain.")
    count, n = samples.shape
    for name, value, size in (("like", like, count), ("weights", weights, count), ("truths", truths, n)):
        if value is not None and np.shape(value) != (size,):
            raise InputError(name, f"of shape {np.shape(value)}", f"shape ({size},)")
    if labels is not None and len(labels) != n:
        raise InputError("labels", f"{len(labels)} names", f"{n}, one per column of xs")
    if not np.isfinite(samples).all():
        raise InputError("xs", "not finite everywhere", "finite samples")
    if extents is not None:
        if np.shape(extents) != (2, n):
            raise InputError("extents", f"of shape {np.shape(extents)}", f"shape (2, {n}): lower ends, upper ends")
        return np.asarray(extents[0], dtype=float), np.asarray(extents[1], dtype=float)
    low, high = samples.min(axis=0), samples.max(axis=0)
    still = np.flatnonzero(low == high)
    if still.size:
        which = ", ".join(str(i) if labels is None else labels[i] for i in still)
        raise InputError("xs", f"constant in column {which}", "parameters that vary", "Leave out the fixed ones.")
    return low, high


def _sort(kwargs: dict[str, Any], corner: ModuleType, points: bool) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Split further keywords into those of `corner.corner` and those of the points, and whether to draw ellipses."""
    rest = dict(kwargs)
    ellipse = bool(rest.pop("plot_ellipse", False))
    known = {*inspect.signature(corner.corner).parameters, *inspect.signature(corner.hist2d).parameters}
    for_corner = {name: rest.pop(name) for name in list(rest) if name in known}
    if not points:
        if "linewidths" in rest:
            for_corner["contour_kwargs"] = {"linewidths": rest.pop("linewidths")}
        if rest:
            raise UnknownNameError("keyword", next(iter(rest)), {*known, "linewidths", "plot_ellipse"})
    return for_corner, rest, ellipse


def _draw_points(panels: np.ndarray, samples: np.ndarray, like: np.ndarray, options: dict[str, Any]) -> None:
    """Scatter each distinct sample once, the most likely on top."""
    like, first = np.unique(like, return_index=True)
    samples = samples[first]
    options = {"s": 4, "edgecolors": "none", "vmin": like[-1] - _SHOWN, "vmax": like[-1], **options}
    for i in range(len(panels)):
        for j in range(i):
            panels[i, j].scatter(samples[:, j], samples[:, i], c=like, **options)


def _draw_ellipse(panel: Any, pair: np.ndarray) -> None:
    turn = np.linspace(0.0, 2.0 * np.pi, 100)
    root = np.linalg.cholesky(np.cov(pair.T))
    panel.plot(*(pair.mean(axis=0)[:, None] + root @ [np.cos(turn), np.sin(turn)]), "r--")


class _CallableModule(ModuleType):
    """Scripts call the function through the module, or the module itself."""

    def __call__(self, *args: Any, **kwargs: Any) -> Figure:
        return corner_plot(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
