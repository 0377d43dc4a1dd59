"""Figures of cubes and fits: functions that return a matplotlib `Figure`.

Nothing is shown, saved, or left in pyplot; no rcParams and no input is changed. Save with ``figure.savefig(path)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kinms.cube import Cube
from kinms.errors import InputError
from kinms.plot_chains import prior_figure, trace_figure
from kinms.plot_corner import corner_figure
from kinms.plot_panels import (
    CONTOURS,
    DATA_COLOUR,
    DATA_LINE,
    EAST,
    HIGHEST,
    LABEL_BOX,
    LOWEST,
    MODEL_COLOUR,
    MODEL_LINE,
    NORTH,
    RESIDUAL_COLOUR,
    VELOCITY_CMAP,
    Limits,
    View,
    colour_bar,
    display_unit,
    draw_beam,
    draw_contours,
    draw_map,
    draw_resolution,
    field_limits,
    frame,
    new_figure,
    nice_step,
    position_velocity,
    prepare,
    say,
)
from kinms.plot_posterior import RotationBand, predictive_figure, rotation_band, rotation_figure
from kinms.records import FloatArray

__all__ = [
    "RotationBand",
    "channel_figure",
    "corner_figure",
    "predictive_figure",
    "prior_figure",
    "rotation_band",
    "rotation_figure",
    "summary_figure",
    "trace_figure",
]


def summary_figure(
    data: Cube,
    model: Cube | None = None,
    *,
    pa: float | None = None,
    centre: tuple[float, float] = (0.0, 0.0),
    slit: float | None = None,
    v_sys: float | None = None,
    rms: float | None = None,
    mask: np.ndarray | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw moment 0, moment 1, a position-velocity diagram and the spectrum, data and model.

    Images and the filled spectrum are the data, red contours and lines the model. Moments of both are taken over the
    same voxels, and the spectra over the same pixels: those where the data hold signal.

    Parameters
    ----------
    data : Cube
        Shown as images.
    model : Cube, optional
        Shown as contours and lines, on the data's grid.
    pa : float, optional
        Of the slit, deg, towards the receding side; default the direction in which the data's moment 1 rises.
    centre : tuple of float
        (east, north) of the slit's offset zero, arcsec.
    slit : float, optional
        Its width, arcsec; default one beam (one pixel without a beam).
    v_sys : float, optional
        Centre of the velocity colours, km/s; default the mean velocity of the data's signal.
    rms : float, optional
        Noise of a voxel; default ``data.rms``, or measured.
    mask : ndarray of bool, shape (nv, ny, nx), optional
        Where the data hold signal; default `kinms.noise.detection_mask`.
    title : str, optional
        Above the panels.
    figure : Figure, optional
        An empty one to draw into, such as one of pyplot's.

    Returns
    -------
    matplotlib.figure.Figure
        Its panels carry the labels ``moment0``, ``moment1``, ``pv`` and ``spectrum``.

    Raises
    ------
    InputTypeError, InputError
        If data or model is not a Cube, the grids differ, or the mask has another shape.

    Examples
    --------
    >>> from kinms.grid import CubeGrid
    >>> figure = summary_figure(Cube(np.ones((4, 8, 8)), CubeGrid((4, 8, 8), 1.0, 10.0)))
    >>> [axes.get_label() for axes in figure.axes[:4]]
    ['moment0', 'moment1', 'pv', 'spectrum']
    """
    view = prepare(data, model, pa=pa, centre=centre, slit=slit, v_sys=v_sys, rms=rms, mask=mask)
    figure = new_figure((10.0, 8.5)) if figure is None else figure
    figure.set_layout_engine("constrained")
    axes = figure.subplot_mosaic([["moment0", "moment1"], ["pv", "spectrum"]])
    limits = field_limits(view)
    _moment0_panel(axes["moment0"], view, limits)
    _moment1_panel(axes["moment1"], view, limits)
    _pv_panel(axes["pv"], view, limits)
    _spectrum_panel(axes["spectrum"], view)
    _legend(figure, view)
    if title:
        figure.suptitle(title)
    return figure


def _legend(figure: Any, view: View) -> None:
    if view.model is None:
        return
    handles: list[Any] = [
        Patch(facecolor="0.85", edgecolor=DATA_COLOUR, label="data (images, filled spectrum)"),
        Line2D([], [], color="white", path_effects=DATA_LINE["path_effects"], linewidth=0.7, label="data, contours"),
        Line2D([], [], color=MODEL_COLOUR, label="model, at the same levels"),
        Line2D([], [], color=RESIDUAL_COLOUR, label="data − model"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize="small")


def _overlay(ax: Axes, view: View, x: FloatArray, y: FloatArray, images: Sequence[FloatArray], levels: Any) -> None:
    """Contour the data, and the model on top, at the same levels."""
    for image, style in zip(images, (DATA_LINE, MODEL_LINE), strict=False):
        draw_contours(ax, x, y, image, levels, linestyles="solid", **style)


def _levels(view: View, peak: float, noise: float = 0.0) -> FloatArray:
    """Evenly spaced contours, the lowest not below three times the noise."""
    return view.sign * np.linspace(min(max(LOWEST * peak, 3.0 * noise), HIGHEST * peak), HIGHEST * peak, CONTOURS)


def _moment0_panel(ax: Axes, view: View, limits: Limits) -> None:
    maps = [view.moment0(cube) for cube in view.cubes]
    peak = float(np.nanmax(view.sign * maps[0])) if view.keep.any() else 0.0
    unit, factor = display_unit(view.data.unit, peak)
    ax.set_title("Moment 0")
    if peak > 0:
        shown = [factor * image for image in maps]
        low, high = sorted((0.0, view.sign * peak * factor))
        image = draw_map(ax, view, shown[0], cmap=view.cmap, vmin=low, vmax=high)
        colour_bar(ax, image, f"Integrated intensity ({unit} km/s)")
        if view.model is not None:
            filled = [np.nan_to_num(each) for each in shown]
            _overlay(ax, view, view.data.grid.east, view.data.grid.north, filled, factor * _levels(view, peak))
    else:
        ax.set_aspect("equal")
        say(ax, _nothing(view))
    _finish_map(ax, view, limits)


def _finish_map(ax: Axes, view: View, limits: Limits) -> None:
    frame(ax, limits)
    ax.set_xlabel(EAST)
    ax.set_ylabel(NORTH)
    draw_beam(ax, view.data.beam)


def _nothing(view: View) -> str:
    if not view.data.valid.any():
        return "no finite data"
    return "no signal" if not view.data.data[view.data.valid].any() else "no signal above the noise"


def _moment1_panel(ax: Axes, view: View, limits: Limits) -> None:
    maps = [view.moment1(cube) for cube in view.cubes]
    known = maps[0][np.isfinite(maps[0])]
    ax.set_title(rf"Moment 1, $v_\mathrm{{sys}}$ = {round(view.v_sys, 1) + 0.0:.1f} km/s")
    if known.size:
        grid = view.data.grid
        span = max(float(np.percentile(np.abs(known - view.v_sys), 98.0)), grid.dv)
        image = draw_map(ax, view, maps[0], cmap=VELOCITY_CMAP, vmin=view.v_sys - span, vmax=view.v_sys + span)
        colour_bar(ax, image, "Mean velocity (km/s)")
        step = nice_step(2.0 * span, 8)
        levels = view.v_sys + step * np.arange(-20, 21)
        _overlay(ax, view, grid.east, grid.north, maps, levels)
    else:
        ax.set_aspect("equal")
        say(ax, _nothing(view))
    _finish_map(ax, view, limits)
    _draw_slit(ax, view)


def _draw_slit(ax: Axes, view: View) -> None:
    east, north = view.centre
    sin, cos = np.sin(np.radians(view.pa)), np.cos(np.radians(view.pa))
    reach = float(np.hypot(*np.diff([ax.get_xlim(), ax.get_ylim()])[:, 0]))
    ends = np.array([-reach, reach])
    ax.plot(east + ends * sin, north + ends * cos, color="black", linestyle=(0, (4, 4)), linewidth=0.8, gid="slit")
    ax.plot([east], [north], marker="+", color="black", markersize=9, gid="centre")


def _pv_panel(ax: Axes, view: View, limits: Limits) -> None:
    grid = view.data.grid
    cuts = [position_velocity(cube, view.pa, view.centre, view.slit) for cube in view.cubes]
    offsets, image = cuts[0]
    ax.set_title(f"Position–velocity, PA {view.pa:.1f}°" + (f" ({view.pa_note})" if view.pa_note else ""))
    ax.set_xlabel("Offset along the slit (arcsec), + receding side")
    ax.set_ylabel("Velocity (km/s)")
    peak = float(np.nanmax(view.sign * image)) if np.isfinite(image).any() else 0.0
    half = grid.cell / 2.0
    extent = (*_reach(offsets, half), grid.velocity_edges[0], grid.velocity_edges[-1])
    covered = _reach(offsets[np.isfinite(image).any(axis=0)], half)
    if peak > 0:
        unit, factor = display_unit(view.data.unit, peak)
        low, high = sorted((-view.sign * min(3.0 * view.rms, peak) * factor, view.sign * peak * factor))
        colours: dict[str, Any] = {"cmap": view.cmap, "vmin": low, "vmax": high}
        shown: Any
        if grid.edges is None:
            shown = ax.imshow(
                image * factor, origin="lower", extent=extent, aspect="auto", interpolation="nearest", **colours
            )
        else:
            columns = np.linspace(*extent[:2], offsets.size + 1)
            shown = ax.pcolormesh(columns, grid.edges, image * factor, rasterized=True, **colours)
        colour_bar(ax, shown, f"Intensity ({unit})")
        if view.model is not None:
            levels = factor * _levels(view, peak, view.rms)
            _overlay(ax, view, offsets, grid.velocities, [factor * cut for _, cut in cuts], levels)
        ax.axhline(view.v_sys, color="white", linestyle=":", linewidth=0.8)
        ax.axvline(0.0, color="white", linestyle=":", linewidth=0.8)
        draw_resolution(ax, view)
    else:
        say(ax, _nothing(view) if offsets.size else "the slit is outside the field")
    ax.set_xlim(*_along_slit(view, limits, covered))
    ax.set_ylim(extent[2:])
    frame(ax)


def _reach(offsets: FloatArray, half: float) -> tuple[float, float]:
    return (offsets[0] - half, offsets[-1] + half) if offsets.size else (-half, half)


def _along_slit(view: View, limits: Limits, covered: tuple[float, float]) -> tuple[float, float]:
    """The offsets at which the slit leaves what the maps show, or its data end."""
    angle = np.radians(view.pa)
    east, north = np.meshgrid(limits[:2], limits[2:])
    corners = (east - view.centre[0]) * np.sin(angle) + (north - view.centre[1]) * np.cos(angle)
    low, high = max(covered[0], float(corners.min())), min(covered[1], float(corners.max()))
    return (low, high) if low < high else covered


def _spectrum_panel(ax: Axes, view: View) -> None:
    grid = view.data.grid
    pixels = view.keep.any(axis=0) & view.data.valid
    spectra = [cube.replace(unit=view.data.unit, beam=view.data.beam).spectrum(pixels) for cube in view.cubes]
    per_beam = "beam" in view.data.unit.lower() and view.data.beam is not None
    summed = per_beam or "/pix" in view.data.unit.lower()
    unit = view.data.unit.split("/")[0] if summed else f"{view.data.unit} x pixels"
    unit, factor = display_unit(unit, max(float(np.abs(spectrum).max()) for spectrum in spectra))
    edges = grid.velocity_edges
    ax.set_title("Spectrum")
    ax.stairs(factor * spectra[0], edges, fill=True, color="0.85")
    ax.stairs(factor * spectra[0], edges, color=DATA_COLOUR, linewidth=1.0, label="data", baseline=None)
    if len(spectra) == 2:
        ax.stairs(factor * (spectra[0] - spectra[1]), edges, color=RESIDUAL_COLOUR, label="data − model", baseline=None)
        ax.stairs(factor * spectra[1], edges, color=MODEL_COLOUR, linewidth=1.3, label="model", baseline=None)
    if not view.keep.any():
        say(ax, _nothing(view))
    ax.axhline(0.0, color="black", linewidth=0.6)
    ax.axvline(view.v_sys, color="black", linestyle=":", linewidth=0.8)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xlabel("Velocity (km/s)")
    ax.set_ylabel(f"Flux density ({unit})")
    frame(ax)


def channel_figure(
    data: Cube,
    model: Cube | None = None,
    *,
    channels: Sequence[int] | None = None,
    max_panels: int = 20,
    rms: float | None = None,
    mask: np.ndarray | None = None,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw channel maps: data as images, data and model as contours.

    Contours are at 3, 6, 12, ... times the noise, negative ones dashed.

    Parameters
    ----------
    data : Cube
        Shown as images and white contours.
    model : Cube, optional
        Shown as red contours, on the data's grid.
    channels : sequence of int, optional
        0-based channels, in the order to be shown; default those where data or model hold signal, thinned out evenly
        to ``max_panels``.
    max_panels : int
        At most so many, unless ``channels`` is given.
    rms, mask, title, figure
        As for `summary_figure`.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per channel, labelled ``channel k``.

    Raises
    ------
    InputTypeError, InputError
        As `summary_figure`, and if a channel is not one of the cube's or max_panels is under 1.

    Examples
    --------
    >>> from kinms.grid import CubeGrid
    >>> cube = Cube(np.ones((4, 8, 8)), CubeGrid((4, 8, 8), 1.0, 10.0))
    >>> [axes.get_label() for axes in channel_figure(cube, channels=[1, 2]).axes[:2]]
    ['channel 1', 'channel 2']
    """
    view = prepare(data, model, pa=0.0, rms=rms, mask=mask)
    shown = _shown_channels(view, channels, max_panels)
    limits = field_limits(view)
    figure, panels = _channel_axes(len(shown), limits, figure)
    unit, factor = display_unit(data.unit, view.peak)
    low, high = sorted((-3.0 * view.sign * view.rms * factor, view.sign * max(view.peak, view.rms) * factor))
    for ax, k in zip(panels, shown, strict=True):
        image = _channel_panel(ax, view, k, factor, vmin=low, vmax=high)
        frame(ax, limits, ticks=4)
    if not view.keep.any():
        say(panels[0], _nothing(view))
    draw_beam(panels[0], data.beam)
    figure.colorbar(image, ax=panels, pad=0.02, aspect=35).set_label(f"Intensity ({unit})")
    which = "data" if model is None else "data white, model red"
    noise_unit, noise_factor = display_unit(data.unit, view.rms)
    note = f"contours ({which}) at ±3, 6, 12, ... times {view.rms * noise_factor:.3g} {noise_unit}"
    figure.suptitle(f"{title}\n{note}" if title else note, fontsize="medium")
    return figure


def _channel_axes(number: int, limits: Limits, figure: Figure | None) -> tuple[Figure, list[Axes]]:
    """A figure that suits so many panels, if none is given, and the panels, labelled at the outer edges."""
    n_columns = min(number, max(3, int(np.ceil(np.sqrt(1.2 * number)))))
    n_rows = -(-number // n_columns)
    if figure is None:
        panel = min(8.4 / n_columns, 3.5)
        height = panel * (limits[3] - limits[2]) / (limits[0] - limits[1])
        figure = new_figure((panel * n_columns + 1.6, height * n_rows + 1.3))
    figure.set_layout_engine("compressed", w_pad=0.03, h_pad=0.03, wspace=0.0, hspace=0.0)
    axes = list(figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).flat)
    for place, ax in enumerate(axes):
        ax.tick_params(labelbottom=place + n_columns >= number)
        if place >= number:
            ax.remove()
    figure.supxlabel(EAST, fontsize="medium")
    figure.supylabel(NORTH, fontsize="medium")
    return figure, axes[:number]


def _shown_channels(view: View, channels: Sequence[int] | None, max_panels: int) -> list[int]:
    """The channels asked for, or those with signal, evenly thinned to ``max_panels``."""
    nv = view.data.grid.nv
    if channels is not None:
        chosen = [int(k) for k in np.atleast_1d(channels)]
        for k in chosen:
            if not 0 <= k < nv:
                raise InputError("a channel", k, f"one of 0 to {nv - 1}")
        if not chosen:
            raise InputError("channels", "empty", "at least one channel")
        return chosen
    if max_panels < 1:
        raise InputError("max_panels", max_panels, "at least 1")
    lit = view.keep.any(axis=(1, 2))
    if view.model is not None:
        lit = lit | (np.nanmax(np.abs(view.model.data), axis=(1, 2), initial=0.0) > 3.0 * view.rms)
    found = np.flatnonzero(lit)
    if found.size == 0:
        return [nv // 2]
    places = np.linspace(0, found.size - 1, min(max_panels, found.size))
    return [int(k) for k in found[np.round(places).astype(int)]]


def _channel_panel(ax: Axes, view: View, channel: int, factor: float, **style: Any) -> Any:
    """Draw one channel, its intensities times ``factor``, and return the image."""
    grid = view.data.grid
    powers = 3.0 * view.rms * 2.0 ** np.arange(9)
    shown = np.where(view.data.valid[channel], view.data.data[channel], np.nan)
    image = draw_map(ax, view, factor * shown, cmap=view.cmap, **style)
    for cube, line in zip(view.cubes, (DATA_LINE, MODEL_LINE), strict=False):
        clean = np.where(cube.valid[channel], cube.data[channel], 0.0)
        draw_contours(ax, grid.east, grid.north, clean, [*-powers, *powers], **line)
    ax.text(
        0.04,
        0.96,
        f"{round(grid.velocities[channel], 1) + 0.0:.1f} km/s",
        transform=ax.transAxes,
        va="top",
        fontsize="small",
        bbox=LABEL_BOX,
        gid="velocity",
    )
    ax.set_label(f"channel {channel}")
    return image
