"""What a posterior says of the galaxy: the rotation curve and the moment maps of discs drawn from it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kinms.cube import Cube, Model, Sampling
from kinms.disc import Disc
from kinms.errors import InputError
from kinms.plot_panels import (
    EAST,
    NORTH,
    VELOCITY_CMAP,
    Limits,
    View,
    colour_bar,
    display_unit,
    draw_beam,
    draw_map,
    field_limits,
    frame,
    new_figure,
    prepare,
    say,
)
from kinms.profiles import TableCurve
from kinms.records import FloatArray

if TYPE_CHECKING:
    from kinms.results import FitResult

__all__ = ["RotationBand", "predictive_figure", "rotation_band", "rotation_figure"]

CURVE_COLOUR = "#0072b2"
SCATTER_CMAP = "magma"
#: Draws of the posterior: a curve costs nothing, a map a model call.
CURVES, MAPS = 1000, 30
#: Voxels that all models of one figure have together, at most, but for the fewest that tell a scatter.
MOST_VOXELS, FEWEST_MAPS = 2e8, 8
#: Central 68 and 95 %, as one and two sigma of a Gaussian.
QUANTILES = (0.022750131948179195, 0.15865525393145708, 0.5, 0.8413447460685429, 0.9772498680518208)


def _draws(result: FitResult, number: int) -> list[Disc]:
    """Discs of the posterior, evenly spaced along all chains; the best one alone where nothing was sampled."""
    flat = result.chain.reshape(-1, len(result.names))
    discs = []
    for k in np.unique(np.linspace(0, len(flat) - 1, min(number, len(flat))).astype(int)) if len(flat) else []:
        try:
            discs.append(result.disc.with_values(dict(zip(result.names, flat[k], strict=True))))
        except InputError:  # a Gaussian's tail may reach where no disc is
            continue
    return discs or [result.disc]


@dataclasses.dataclass(frozen=True, eq=False)
class RotationBand:
    """A rotation curve and its uncertainty.

    Parameters
    ----------
    radius : ndarray, shape (n,)
        arcsec.
    quantiles : ndarray, shape (5, n)
        km/s, in the order of `NAMES`: both ends of the central 95 %, of the central 68 %, and the median.
    extent : float
        Radius out to which the data hold signal, arcsec.
    """

    radius: FloatArray
    quantiles: FloatArray
    extent: float
    NAMES: ClassVar[tuple[str, ...]] = ("low_95", "low_68", "median", "high_68", "high_95")


def rotation_band(result: FitResult, n_radii: int = 200) -> RotationBand:
    """Return the rotation curves of the posterior as quantiles at each radius.

    Parameters
    ----------
    result : FitResult
        Its draws go through ``disc.rotation``.
    n_radii : int
        From the centre to a fifth beyond the signal; the radii of a table come on top.

    Raises
    ------
    InputError
        If the disc has no rotation curve.
    """
    rotation = result.disc.rotation
    if rotation is None:
        raise InputError("disc.rotation", "None", "a rotation law", "The cloudlets carry their own velocities.")
    extent = _extent(result)
    radius = np.linspace(0.0, 1.2 * extent, n_radii)
    if isinstance(rotation, TableCurve):
        radius = np.unique(np.concatenate([radius, rotation.radius[rotation.radius <= radius[-1]]]))
    free = any(name.partition(".")[0] == "rotation" for name in result.names)
    discs = _draws(result, CURVES) if free else [result.disc]
    curves = np.array([disc.rotation(radius) for disc in discs if disc.rotation is not None])
    return RotationBand(radius, np.quantile(curves, QUANTILES, axis=0), extent)


def _extent(result: FitResult) -> float:
    """Distance along the major axis, where tilt stretches nothing, within which nearly all signal lies, arcsec."""
    disc, view = result.disc, _view(result)
    shown = view.keep.any(axis=0)
    grid = view.data.grid
    if not shown.any():
        return float(min(np.ptp(grid.east), np.ptp(grid.north)) / 2.0) or grid.cell
    north, east = np.meshgrid(grid.north, grid.east, indexing="ij")
    pa = np.radians(np.mean(disc.pa if disc.pa_kin is None else disc.pa_kin))
    from_east = east - (disc.east if disc.east_kin is None else disc.east_kin)
    from_north = north - (disc.north if disc.north_kin is None else disc.north_kin)
    along = np.abs(from_east * np.sin(pa) + from_north * np.cos(pa))
    return float(np.percentile(along[shown], 98.0)) + 0.5 * grid.cell  # the rest may be a blob of noise


def _view(result: FitResult) -> View:
    return prepare(result.data, result.model, pa=0.0, v_sys=result.disc.v_sys, rms=result.rms)


def rotation_figure(result: FitResult, *, title: str | None = None) -> Figure:
    """Draw the rotation curve with its 68 and 95 % bands.

    Where the data hold no signal the curve is the law's, not the data's: that part is shaded. The bar is as long as
    the beam's major axis. Of a table, the values at its radii are marked with their 68 % errors.

    Parameters
    ----------
    result : FitResult
        With or without a free rotation curve: a kept one is a line.
    title : str, optional
        Above the panel.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the disc has no rotation curve.
    """
    band = rotation_band(result)
    low_95, low_68, median, high_68, high_95 = band.quantiles
    rotation, radius = result.disc.rotation, band.radius
    figure = new_figure((7.0, 4.6))
    figure.set_layout_engine("constrained")
    ax = figure.subplots()
    ax.set_label("rotation")
    free = bool(np.any(high_95 > low_95))
    if free:
        ax.fill_between(radius, low_95, high_95, color=CURVE_COLOUR, alpha=0.2, linewidth=0.0, label="95 %")
        ax.fill_between(radius, low_68, high_68, color=CURVE_COLOUR, alpha=0.4, linewidth=0.0, label="68 %")
    name = type(rotation).__name__
    ax.plot(radius, median, color=CURVE_COLOUR, linewidth=1.5, label=f"median, {name}" if free else f"{name}, kept")
    if isinstance(rotation, TableCurve):
        at = np.searchsorted(radius, rotation.radius[rotation.radius <= radius[-1]])
        errors = np.array([median[at] - low_68[at], high_68[at] - median[at]])
        style: dict[str, Any] = {
            "marker": "o",
            "markersize": 4.0,
            "linestyle": "none",
            "color": "black",
            "capsize": 2.0,
        }
        ax.errorbar(radius[at], median[at], np.maximum(errors, 0.0), linewidth=1.0, label="table", **style)
    _finish_rotation(ax, result, band)
    ax.legend(frameon=False, fontsize="small", loc="best")
    if title:
        figure.suptitle(title, fontsize="medium")
    return figure


def _finish_rotation(ax: Axes, result: FitResult, band: RotationBand) -> None:
    end = float(band.radius[-1])
    ax.axvspan(band.extent, end, color="0.93", linewidth=0.0, zorder=0, label="beyond the signal", gid="beyond")
    ax.set_xlim(0.0, end)
    values = band.quantiles
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if isinstance(result.disc.rotation, TableCurve) or not _is_singular(band):
        span = (high - low) or 1.0
    else:  # a point mass: its centre would flatten all the rest
        outer = values[:, band.radius > 0.05 * band.extent]
        low, high = min(0.0, float(outer.min())), max(0.0, float(outer.max()))
        span = (high - low) or 1.0
    ax.set_ylim(low - (0.05 * span if low < 0.0 else 0.0), high + 0.08 * span)
    frame(ax)
    ax.set_xlabel("Radius (arcsec)")
    ax.set_ylabel("Rotation velocity (km/s)")
    beam = result.data.beam
    if beam is not None and beam.bmaj < 0.9 * end:
        right, y = 0.97 * end, low + 0.05 * span
        ax.plot([right - beam.bmaj, right], [y, y], color="black", linewidth=2.0, solid_capstyle="butt", gid="beam")
        ax.annotate("beam", (right - beam.bmaj / 2.0, y), (0.0, 3.0), textcoords="offset points", ha="center")


def _is_singular(band: RotationBand) -> bool:
    median = np.abs(band.quantiles[2])
    return bool(median[0] > 5.0 * np.median(median))


def predictive_figure(result: FitResult, *, draws: int | None = None, title: str | None = None) -> Figure:
    """Draw moments 0 and 1 of the data, and of models of the posterior: median, difference from the data, scatter.

    All moments are taken over the voxels in which the data hold signal.

    Parameters
    ----------
    result : FitResult
        Its draws, evenly spaced along the chains, are simulated.
    draws : int, optional
        Number of models; default 30, fewer for large cubes.
    title : str, optional
        Above the panels.

    Returns
    -------
    matplotlib.figure.Figure
        Panels carry the labels ``moment0 data``, ``moment0 model``, ``moment0 residual``, ``moment0 scatter``, and
        the same for ``moment1``.
    """
    view = _view(result)
    voxels = result.data.data.size
    number = draws or int(np.clip(MOST_VOXELS // voxels, FEWEST_MAPS, MAPS))
    discs = _draws(result, number)
    limits = field_limits(view)
    data = np.array([view.moment0(view.data), view.moment1(view.data)])
    models = np.array([_moments(view, cube) for cube in _simulate(result, discs)]) if view.keep.any() else data[None]
    width = (limits[0] - limits[1]) / (limits[3] - limits[2])
    figure = new_figure((float(np.clip(11.0 * width, 11.0, 15.0)) + 1.0, 5.2))
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06)
    axes = figure.subplots(2, 4, sharex=True, sharey=True)
    for row, name in enumerate(("moment0", "moment1")):
        for ax, what in zip(axes[row], ("data", "model", "residual", "scatter"), strict=True):
            ax.set_label(f"{name} {what}")
        _map_row(axes[row], view, limits, data[row], models[:, row], moment=row)
    for ax, heading in zip(axes[0], ("Data", "Model, median", "Data − model", "Model, scatter (1σ)"), strict=True):
        ax.set_title(heading, fontsize="medium")
    for ax in axes[:, 0]:
        ax.set_ylabel(NORTH)
    for ax in axes[1]:
        ax.set_xlabel(EAST)
    draw_beam(axes[0, 0], result.data.beam)
    note = f"{len(discs)} draws of the posterior" if len(discs) > 1 else "the best disc: nothing was sampled"
    figure.suptitle(title or note, fontsize="medium")
    return figure


def _simulate(result: FitResult, discs: list[Disc]) -> Any:
    """Yield the models of these discs, at the flux that suits the data best where the fit took it so."""
    model = Model(result.disc, result.data.grid, result.data.beam, Sampling(estimate=False))
    valid = result.data.valid
    data = np.where(valid, result.data.data, 0.0)
    for disc in discs:
        values = np.asarray(model(disc))
        if result.flux != "given":
            square = float(np.einsum("ijk,ijk->", values * valid, values, dtype=float))
            values = values * (float(np.einsum("ijk,ijk->", values, data, dtype=float)) / square if square > 0 else 1.0)
        yield result.model.replace(data=values, stats=None)


def _moments(view: View, cube: Cube) -> FloatArray:
    return np.array([view.moment0(cube), view.moment1(cube)])


def _map_row(axes: Any, view: View, limits: Limits, data: FloatArray, models: FloatArray, moment: int) -> None:
    """Draw data, median, difference and scatter of one moment."""
    known = np.isfinite(data)
    if not known.any():
        for ax in axes:
            ax.set_aspect("equal")
            frame(ax, limits, ticks=4)
            say(ax, "no signal above the noise")
        return
    middle, scatter = _middle_and_scatter(models)
    if moment == 0:
        unit, factor = display_unit(view.data.unit, float(np.max(np.abs(data[known]))))
        label, unit = "Intensity", f"{unit} km/s"
        low, high = sorted((0.0, view.sign * factor * float(np.max(view.sign * data[known]))))
        style: dict[str, Any] = {"cmap": view.cmap, "vmin": low, "vmax": high}
    else:
        unit, factor, label = "km/s", 1.0, "Mean velocity"
        # The model's range: at the rim the data's means are noise.
        span = max(_reach(middle - view.v_sys, 98.0), view.data.grid.dv)
        style = {"cmap": VELOCITY_CMAP, "vmin": view.v_sys - span, "vmax": view.v_sys + span}
    residual = factor * (data - middle)
    reach, wide = _reach(residual, 95.0), _reach(factor * scatter, 99.0)
    panels = (
        (factor * data, style, f"{label} ({unit})"),
        (factor * middle, style, f"{label} ({unit})"),
        (residual, {"cmap": VELOCITY_CMAP, "vmin": -reach, "vmax": reach}, f"Difference ({unit})"),
        (factor * scatter, {"cmap": SCATTER_CMAP, "vmin": 0.0, "vmax": wide}, f"Scatter ({unit})"),
    )
    for ax, (image, how, text) in zip(axes, panels, strict=True):
        shown = draw_map(ax, view, image, **how)
        colour_bar(ax, shown, text)
        frame(ax, limits, ticks=4)


def _middle_and_scatter(models: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Median and half of the central 68 % over draws; NaN where any draw has none."""
    ends = np.quantile(models, [QUANTILES[1], QUANTILES[3]], axis=0)
    return np.asarray(np.median(models, axis=0)), 0.5 * (ends[1] - ends[0])


def _reach(values: FloatArray, percent: float) -> float:
    """What a colour scale has to span: so many of the magnitudes, and never nothing."""
    known = np.abs(values[np.isfinite(values)])
    return max(float(np.percentile(known, percent)), 1e-30) if known.size else 1.0
