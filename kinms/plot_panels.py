"""What the figures of `kinms.plots` share: the signal that they show, and the panels that they are made of.

Everything here is for display. Maps have East to the left and North up, offsets are in arcsec from the grid's
reference position, and position angles run from North through East to the receding side.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, AuxTransformBox
from matplotlib.patches import Ellipse, Patch, Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from scipy import ndimage

from kinms.cube import Cube
from kinms.errors import InputError, InputTypeError
from kinms.grid import PSF
from kinms.noise import detection_mask, estimate_rms
from kinms.records import FloatArray, check_array, check_scalar

__all__ = ["View", "display_unit", "position_velocity", "prepare"]

DPI = 150

INTENSITY_CMAP = "viridis"
VELOCITY_CMAP = "RdBu_r"
#: East of the left and right edge, North of the lower and upper edge, arcsec.
Limits = tuple[float, float, float, float]

EAST, NORTH = "East offset (arcsec)", "North offset (arcsec)"
DATA_COLOUR = "0.25"
MODEL_COLOUR = "#e6360f"
RESIDUAL_COLOUR = "0.6"
#: Lines over images: the data's white with a dark rim, to be seen on dark, bright and paper alike.
DATA_LINE = {"colors": "white", "linewidths": 0.7, "path_effects": [Stroke(linewidth=1.7, foreground="0.2"), Normal()]}
#: Behind text that may lie over something.
LABEL_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
MODEL_LINE = {"colors": MODEL_COLOUR, "linewidths": 1.3}

#: What the detection mask takes in: from voxels above CORE out to those above EDGE times the smoothed noise.
CORE, EDGE = 4.0, 3.0

#: Noise below the peak divided by this is not told apart: it bounds what a model without noise shows.
DYNAMIC_RANGE = 300.0

#: Longer to shorter side of a map, at most: a strip of sky gets empty margins, as does one that a beam fills.
SLIMMEST = 3.0

#: Lowest and highest contour of an overlay in units of the data's peak, and how many there are.
LOWEST, HIGHEST, CONTOURS = 0.1, 0.9, 5


@dataclasses.dataclass(frozen=True)
class View:
    """What all panels of one figure agree on.

    Parameters
    ----------
    data, model : Cube
        As given; ``model`` may be None.
    keep : ndarray of bool, shape (nv, ny, nx)
        The voxels that moments are made of.
    rms : float
        Noise of a voxel, in the data's unit.
    sign : float
        1 for emission, -1 where absorption prevails.
    centre : tuple of float
        (east, north), arcsec.
    slit : float
        Width of the position-velocity slit, arcsec.
    pa, v_sys : float
        deg, km/s.
    pa_note : str
        How the position angle came about, empty if it was given.
    """

    data: Cube
    model: Cube | None
    keep: np.ndarray
    rms: float
    sign: float
    centre: tuple[float, float]
    slit: float
    pa: float
    v_sys: float
    pa_note: str = ""

    @property
    def cubes(self) -> tuple[Cube, ...]:
        """The data, and the model if there is one."""
        return (self.data,) if self.model is None else (self.data, self.model)

    @property
    def peak(self) -> float:
        """The data's brightest voxel, or deepest in absorption, as a magnitude."""
        values = self.sign * np.asarray(self.data.data)[self.data.valid]
        return max(float(values.max(initial=0.0)), 0.0)

    @property
    def cmap(self) -> Colormap:
        """Colour map of intensities: the signal is bright, in absorption too."""
        return matplotlib.colormaps[INTENSITY_CMAP if self.sign > 0 else f"{INTENSITY_CMAP}_r"]

    def moment0(self, cube: Cube) -> FloatArray:
        """Integrated intensity over the kept voxels, shape (ny, nx); NaN where there are none."""
        return np.where(self.keep.any(axis=0), cube.moment0(self.keep), np.nan)

    def moment1(self, cube: Cube) -> FloatArray:
        """Mean velocity over the kept voxels, shape (ny, nx), km/s; NaN where undefined or outside the channels."""
        mean = cube.replace(data=self.sign * np.asarray(cube.data)).moment1(self.keep)
        edges = cube.grid.velocity_edges
        return np.where((mean >= edges[0]) & (mean <= edges[-1]), mean, np.nan)


def _peak(values: FloatArray) -> float:
    return float(np.abs(values).max(initial=0.0))


def prepare(
    data: Cube,
    model: Cube | None,
    *,
    pa: float | None = None,
    centre: Any = (0.0, 0.0),
    slit: float | None = None,
    v_sys: float | None = None,
    rms: float | None = None,
    mask: Any = None,
) -> View:
    """Check the arguments of a figure and fill in what was not given.

    Raises
    ------
    InputTypeError, InputError
        If something is not a Cube, the model has another grid than the data, or the mask another shape.
    """
    for name, cube in (("data", data), ("model", model)):
        if not isinstance(cube, Cube) and not (name == "model" and cube is None):
            raise InputTypeError(name, type(cube).__name__, "a Cube", "Wrap the array: Cube(array, grid, beam).")
    if model is not None:
        _check_same_grid(data, model)
    east, north = check_array("centre", centre, shape=(2,))
    if slit is None:
        slit = data.grid.cell if data.beam is None else data.beam.bmaj
    noise, keep = _signal(data, rms, mask)
    kept = np.where(keep, data.data, 0.0)
    spectrum = np.abs(kept.sum(axis=(1, 2)))
    if v_sys is None:
        known = spectrum.sum() > 0
        v_sys = float(np.average(data.grid.velocities, weights=spectrum)) if known else data.grid.v_ref
    view = View(
        data=data,
        model=model,
        keep=keep,
        rms=noise,
        sign=-1.0 if kept.sum() < 0 else 1.0,
        centre=(float(east), float(north)),
        slit=check_scalar("slit", slit, minimum=0.0),
        pa=0.0 if pa is None else check_scalar("pa", pa),
        v_sys=check_scalar("v_sys", v_sys),
        pa_note="gradient" if pa is None else "",
    )
    return view if pa is not None else dataclasses.replace(view, pa=_gradient_angle(view))


def _signal(data: Cube, rms: float | None, mask: Any) -> tuple[float, np.ndarray]:
    """The noise of a voxel, and where the signal is, both told no finer than the dynamic range."""
    values = np.asarray(data.data)[data.valid]
    floor = _peak(values) / DYNAMIC_RANGE
    given = data.rms if rms is None else check_scalar("rms", rms, minimum=0.0)
    measured = estimate_rms(data.data, data.valid) if values.size else 0.0
    if mask is None:
        keep = detection_mask(data, core=CORE, edge=EDGE)
        if measured < floor:  # without noise the mask takes in every wing
            keep &= np.abs(np.where(data.valid, data.data, 0.0)) > EDGE * floor
    elif np.shape(mask) == data.data.shape:
        keep = np.asarray(mask, dtype=bool) & data.valid
    else:
        raise InputError("the shape of mask", np.shape(mask), f"{data.data.shape}, as data")
    return max(measured if given is None else float(given), floor), keep


def _check_same_grid(data: Cube, model: Cube) -> None:
    for name in ("shape", "cell", "dv", "v_ref", "x_ref", "y_ref"):
        mine, other = getattr(data.grid, name), getattr(model.grid, name)
        if not np.allclose(mine, other, rtol=1e-6, atol=1e-6):
            raise InputError(f"the {name} of model.grid", other, f"{mine}, as the data's", "Simulate on data.grid.")


def _gradient_angle(view: View) -> float:
    """Direction in which moment 1 rises most steeply, deg from North through East: a plane fitted to the map."""
    mean = view.moment1(view.data)
    known = np.isfinite(mean)
    if known.sum() < 3:
        return 0.0
    north, east = np.meshgrid(view.data.grid.north, view.data.grid.east, indexing="ij")
    plane = np.column_stack([east[known], north[known], np.ones(known.sum())])
    slope_east, slope_north, _ = np.linalg.lstsq(plane, mean[known], rcond=None)[0]
    return float(np.degrees(np.arctan2(slope_east, slope_north)) % 360.0)


def position_velocity(
    cube: Cube, pa: float, centre: tuple[float, float] = (0.0, 0.0), width: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Cut a cube along a slit.

    Parameters
    ----------
    cube : Cube
        Voxels that are not valid carry no weight.
    pa : float
        Direction of positive offsets, deg from North through East.
    centre : tuple of float
        (east, north) of offset zero, arcsec.
    width : float
        Of the slit, arcsec; the mean over it is taken.

    Returns
    -------
    offsets : ndarray, shape (n,), arcsec
        One per pixel, ascending, as far as the middle of the slit is in the field.
    intensity : ndarray, shape (nv, n), unit of the cube
        NaN where less than half of the slit's width that is in the field is valid.

    Examples
    --------
    >>> from kinms.grid import CubeGrid
    >>> cube = Cube(np.ones((3, 9, 9)), CubeGrid((3, 9, 9), 1.0, 10.0))
    >>> offsets, intensity = position_velocity(cube, pa=90.0)
    >>> offsets.tolist() == list(range(-4, 5)) and bool((intensity == 1).all())
    True
    """
    grid = cube.grid
    reach = int(np.ceil(np.hypot(grid.nx, grid.ny) + np.hypot(*centre) / grid.cell))
    along = np.arange(-reach, reach + 1) * grid.cell
    n_across = 2 * int(np.ceil(width / grid.cell / 2.0)) + 1  # odd: the middle is always among them
    across = ((np.arange(n_across) + 0.5) / n_across - 0.5)[:, None] * width
    sin, cos = np.sin(np.radians(pa)), np.cos(np.radians(pa))
    x = float(grid.x_ref or 0.0) - (centre[0] + along * sin + across * cos) / grid.cell
    y = float(grid.y_ref or 0.0) + (centre[1] + along * cos - across * sin) / grid.cell
    # A hair beyond the outermost pixel centres is rounding, not outside.
    inside = (x > -1e-6) & (x < grid.nx - 1 + 1e-6) & (y > -1e-6) & (y < grid.ny - 1 + 1e-6)
    used = inside[n_across // 2]
    points, inside = np.array([y[:, used], x[:, used]]), inside[:, used]
    intensity = np.full((grid.nv, int(used.sum())), np.nan)
    for k in range(grid.nv):
        valid = cube.valid[k]
        light = ndimage.map_coordinates(np.where(valid, cube.data[k], 0.0), points, order=1, mode="nearest")
        weight = ndimage.map_coordinates(valid.astype(float), points, order=1, mode="nearest") * inside
        total = weight.sum(axis=0)
        np.divide((light * inside).sum(axis=0), total, out=intensity[k], where=total > 0.5 * inside.sum(axis=0))
    return along[used], intensity


def display_unit(unit: str, peak: float) -> tuple[str, float]:
    """Return the unit to print and what to multiply by, so that a small number of Jy reads as mJy or uJy.

    >>> display_unit("Jy/beam", 0.02)
    ('mJy/beam', 1000.0)
    """
    name = unit.strip()
    if name[:2].lower() != "jy":
        return name, 1.0
    name = "Jy" + name[2:].lower()
    for prefix, factor in (("", 1.0), ("m", 1e3), ("µ", 1e6)):
        if not 0.0 < peak * factor < 0.1:
            return prefix + name, factor
    return f"n{name}", 1e9


def nice_step(width: float, number: int) -> float:
    """Return 1, 2 or 5 times a power of ten that divides ``width`` into about ``number`` steps."""
    raw = width / number
    power = 10.0 ** np.floor(np.log10(raw))
    return float(power * min((1.0, 2.0, 5.0, 10.0), key=lambda factor: abs(np.log(factor * power / raw))))


def field_limits(view: View) -> Limits:
    """Return (east of the left edge, of the right edge, north of the lower, of the upper) round what is shown."""
    grid = view.data.grid
    shown = view.keep.any(axis=0)
    if view.model is not None:
        model = view.model.moment0()
        shown = shown | (np.abs(model) > 0.05 * _peak(model))
    rows, columns = (np.flatnonzero(np.any(shown, axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        rows, columns = np.arange(grid.ny), np.arange(grid.nx)
    margin = 3.0 if view.data.beam is None else 1.5 * view.data.beam.bmaj / grid.cell
    half = max(np.ptp(rows), np.ptp(columns)) / 2.0 + margin + 0.5
    limits = []
    for pixels, n in ((columns, grid.nx), (rows, grid.ny)):
        middle = (pixels[0] + pixels[-1]) / 2.0
        limits.append((max(middle - half, -0.5), min(middle + half, n - 0.5)))
    (x0, x1), (y0, y1) = limits
    x_ref, y_ref, cell = float(grid.x_ref or 0.0), float(grid.y_ref or 0.0), grid.cell
    side = max((x1 - x0) / SLIMMEST, (y1 - y0) / SLIMMEST, margin)
    for_x, for_y = max(side - (x1 - x0), 0.0) / 2.0, max(side - (y1 - y0), 0.0) / 2.0
    x0, x1, y0, y1 = x0 - for_x, x1 + for_x, y0 - for_y, y1 + for_y
    return (x_ref - x0) * cell, (x_ref - x1) * cell, (y0 - y_ref) * cell, (y1 - y_ref) * cell


def new_figure(size: tuple[float, float]) -> Figure:
    """Return an empty figure of (width, height) inches that pyplot knows nothing of."""
    figure = Figure(figsize=size, dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def draw_map(ax: Axes, view: View, image: FloatArray, **style: Any) -> Any:
    """Draw an image [y, x] with East to the left, over the whole grid."""
    grid = view.data.grid
    half = grid.cell / 2.0
    extent = (grid.east[0] + half, grid.east[-1] - half, grid.north[0] - half, grid.north[-1] + half)
    return ax.imshow(image, origin="lower", extent=extent, interpolation="nearest", aspect="equal", **style)


def draw_contours(ax: Axes, x: FloatArray, y: FloatArray, image: FloatArray, levels: Any, **style: Any) -> Any:
    """Draw the levels that the image crosses, negative ones dashed; return None where there are none."""
    known = image[np.isfinite(image)]
    if min(image.shape) < 2 or known.size == 0:
        return None
    crossed = sorted({float(level) for level in levels if known.min() < level < known.max()})
    if not crossed:
        return None
    effects = style.pop("path_effects", None)
    style.setdefault("linestyles", ["dashed" if level < 0 else "solid" for level in crossed])
    contours = ax.contour(x, y, image, levels=crossed, **style)
    contours.set_path_effects(effects)
    return contours


def _anchor(ax: Axes, patch: Patch) -> None:
    """Put a patch of the data's scale and orientation into the lower left corner, wherever the limits move."""
    box = AuxTransformBox(ax.transData)
    box.add_artist(patch)
    corner = AnchoredOffsetbox("lower left", child=box, pad=0.2, borderpad=0.5, frameon=False)
    corner.set_in_layout(False)  # a beam larger than the field must not squeeze the panel
    ax.add_artist(corner)


def draw_beam(ax: Axes, beam: PSF | None) -> None:
    """Draw the FWHM ellipse of the beam, of a PSF's core, or of the typical channel in the lower left corner."""
    if beam is None:
        return
    ellipse = Ellipse(
        (0.0, 0.0),
        width=float(beam.bmin or beam.bmaj),
        height=beam.bmaj,
        angle=-beam.bpa,  # matplotlib turns from North towards negative East
        facecolor="0.75",
        edgecolor="black",
        hatch="/////",
        linewidth=0.8,
        gid="beam",
    )
    _anchor(ax, ellipse)


def draw_resolution(ax: Axes, view: View) -> None:
    """Draw a box of one beam by one channel in a corner of a position-velocity diagram that is larger than it."""
    beam, grid = view.data.beam, view.data.grid
    if beam is not None and grid.nv > 3 and 2.0 * beam.bmaj < float(np.ptp(ax.get_xlim())):
        box = Rectangle((0.0, 0.0), beam.bmaj, grid.dv, facecolor="0.75", edgecolor="black", linewidth=0.8)
        box.set_gid("resolution")
        _anchor(ax, box)


def frame(ax: Axes, limits: Limits | None = None, ticks: int = 6) -> None:
    """Set the limits of a map, and round ticks on all four sides of any panel."""
    if limits is not None:
        ax.set_xlim(limits[0], limits[1])
        ax.set_ylim(limits[2], limits[3])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    ax.tick_params(direction="in", top=True, right=True)


def colour_bar(ax: Axes, image: Any, label: str) -> None:
    """Draw a colour bar as tall as the panel, whatever its aspect."""
    cax = ax.inset_axes((1.02, 0.0, 0.045, 1.0))
    bar = ax.figure.colorbar(image, cax=cax)
    bar.set_label(label)
    cax.tick_params(direction="in")


def say(ax: Axes, message: str) -> None:
    """Write a message in the middle of a panel that has nothing else to show."""
    ax.text(
        0.5, 0.5, message, transform=ax.transAxes, ha="center", va="center", zorder=10, bbox=LABEL_BOX, gid="message"
    )
