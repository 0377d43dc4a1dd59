"""`KinMS_plotter`, where existing scripts import it from: their arguments, translated for `kinms.plots`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import ndimage

from kinms.cube import Cube
from kinms.errors import FileError, InputError, UnknownNameError
from kinms.grid import Beam, CubeGrid
from kinms.plots import summary_figure
from kinms.records import FloatArray, check_array, check_scalar

__all__ = ["KinMS_plotter"]

KEYWORDS = ("fontsize", "vrange", "xrange", "yrange")

#: The mask of `rmsfac` smooths with a box of this many beams and this many channels.
MASK_BEAMS, MASK_CHANNELS = 1.5, 4

#: Noise taken for the mask where none is given, in units of the cube's peak.
USUAL_RMS = 0.05


class KinMS_plotter:
    """Moment 0, moment 1, position-velocity diagram and spectrum of a cube, and of a second one over it.

    Parameters
    ----------
    f : array_like, shape (nx, ny, nv)
        The cube, x growing West, y North, velocity ascending.
    xsize, ysize : float
        Of the field, arcsec.
    vsize : float
        Of the velocity axis, km/s; its zero is the centre of channel nv // 2.
    cellsize : float
        Of a pixel, arcsec.
    dv : float
        Of a channel, km/s.
    beamSize : float or array_like
        FWHM, arcsec: one number, ``[bmaj, bmin]`` or ``[bmaj, bmin, bpa]``, the last in degrees from North to East.
    posang : float or array_like, optional
        Position angle of the receding side, degrees, along which the position-velocity diagram is cut; of an array
        the mean direction. Default 0.
    pvdthick : float, optional
        Half of the width of that cut, pixels; default half a beam.
    savepath, savename : str, optional
        Directory and file name (default ``KinMS_plots``) to save to; nothing is saved without a directory.
    pdf : bool
        Save a PDF, else a PNG.
    overcube : array_like, shape (nx, ny, nv), optional
        A model, shown as contours and lines.
    title : str, optional
        Above the panels.
    rms : float
        Noise of a voxel; 0 takes a twentieth of the peak for the mask, and measures it for the contours.
    rmsfac : float
        Moments are made of voxels that exceed ``rmsfac * rms`` after smoothing.

    Raises
    ------
    InputError, InputTypeError
        If a cube is not 3-D, the sizes do not match its shape, or a number is impossible.

    Examples
    --------
    >>> cube = np.zeros((16, 16, 8))
    >>> cube[6:10, 6:10, 2:6] = 1.0
    >>> plotter = KinMS_plotter(cube, 16, 16, 80, 1, 10, [3, 3, 0], posang=270)
    >>> [axes.get_label() for axes in plotter.makeplots(plot2screen=False).axes]
    ['moment0', 'moment1', 'pv', 'spectrum']
    """

    def __init__(
        self,
        f: Any,
        xsize: float,
        ysize: float,
        vsize: float,
        cellsize: float,
        dv: float,
        beamSize: Any,
        posang: Any = None,
        pvdthick: float | None = None,
        savepath: str | os.PathLike[str] | None = None,
        savename: str | None = None,
        pdf: bool = True,
        overcube: Any = None,
        title: Any = False,
        rms: Any = 0,
        rmsfac: float = 1.5,
    ) -> None:
        self.f = _cube_array("f", f)
        self.overcube = None if overcube is None else _cube_array("overcube", overcube, self.f.shape)
        self.cellsize = check_scalar("cellsize", cellsize, minimum=0.0, exclusive=True)
        self.dv = check_scalar("dv", dv, minimum=0.0, exclusive=True)
        self.xsize, self.ysize, self.vsize = xsize, ysize, vsize
        sizes = (("xsize", xsize, self.cellsize), ("ysize", ysize, self.cellsize), ("vsize", vsize, self.dv))
        for (name, size, step), n in zip(sizes, self.f.shape, strict=True):
            if abs(check_scalar(name, size) / step - n) > 0.5:
                raise InputError(name, f"{float(size):g}", f"{n * step:g}: {n} times {step:g}, as the cube's shape")
        self.beamsize = _beam(beamSize)
        self.posang = _mean_angle(posang)
        self.pvdthick = None if pvdthick is None else check_scalar("pvdthick", pvdthick, minimum=0.0)
        self.savepath, self.savename, self.pdf = savepath, savename, pdf
        self.title = title
        self.rms = check_scalar("rms", rms, minimum=0.0)
        self.rmsfac = check_scalar("rmsfac", rmsfac, minimum=0.0)
        self.figure: Figure | None = None
        self.mask: np.ndarray | None = None  # of f, as makeplots used it: fitters count the detected voxels with it

    def makeplots(
        self, block: bool = True, plot2screen: bool = True, overrad: Any = None, overvrad: Any = None, **kwargs: Any
    ) -> Figure:
        """Draw the figure, save it if a directory was given, and show it where there is a window system.

        Parameters
        ----------
        block : bool
            Wait until the window is closed.
        plot2screen : bool
            Show the figure, if matplotlib's backend can. A notebook shows the figure that is returned.
        overrad, overvrad : array_like, optional
            A rotation curve, arcsec and km/s along the line of sight, for the position-velocity diagram.
        **kwargs
            ``xrange``, ``yrange`` (arcsec, x growing West as in the cube), ``vrange`` (km/s), ``fontsize`` (points).

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        UnknownNameError
            If a keyword is none of these.
        FileError
            If the directory does not exist.
        """
        for name in kwargs:
            if name not in KEYWORDS:
                raise UnknownNameError("makeplots keyword", name, KEYWORDS)
        path = self._path()
        shown = plot2screen and _has_windows()
        figure = _pyplot_figure() if shown else None
        figure = self.figure = self._draw(figure)
        axes = {str(ax.get_label()): ax for ax in figure.axes}
        if overrad is not None:
            _draw_rotation_curve(axes["pv"], overrad, overvrad)
        _set_ranges(axes, kwargs)
        if "fontsize" in kwargs:
            _set_fontsize(figure, check_scalar("fontsize", kwargs["fontsize"], minimum=0.0, exclusive=True))
        if path is not None:
            figure.savefig(path)
        if shown:
            _show(block)
        return figure

    def _draw(self, figure: Figure | None) -> Figure:
        nx, ny, nv = self.f.shape
        grid = CubeGrid((nv, ny, nx), self.cellsize, self.dv)
        data = Cube(self.f.T, grid, self.beamsize)
        mask = self._mask(data)
        self.mask = mask.T
        return summary_figure(
            data,
            None if self.overcube is None else data.replace(data=self.overcube.T),
            pa=self.posang,
            slit=None if self.pvdthick is None else 2.0 * self.pvdthick * self.cellsize,
            rms=self.rms or None,
            mask=mask,
            title=self.title if isinstance(self.title, str) else None,
            figure=figure,
        )

    def _mask(self, data: Cube) -> np.ndarray:
        """Smooth with a box and clip, as `rmsfac` means it; `kinms.noise.detection_mask` knows no such threshold."""
        clean = np.where(data.valid, data.data, 0.0)
        rms = self.rms or USUAL_RMS * float(np.abs(clean).max())
        pixels = max(round(MASK_BEAMS * self.beamsize.bmaj / self.cellsize), 1)
        smooth = ndimage.uniform_filter(clean, (MASK_CHANNELS, pixels, pixels), mode="constant")
        return np.abs(smooth) > self.rmsfac * rms

    def _path(self) -> Path | None:
        if not self.savepath:
            return None
        directory = Path(self.savepath)
        if not directory.is_dir():
            raise FileError(directory, "is not a directory.", "savepath must exist.")
        ending = ".pdf" if self.pdf else ".png"
        name = self.savename or "KinMS_plots"
        return directory / (name if name.endswith(ending) else name + ending)


def _cube_array(name: str, value: Any, shape: tuple[int, ...] | None = None) -> FloatArray:
    array = np.asarray(value)
    if array.ndim != 3:
        raise InputError(f"the shape of {name}", array.shape, "(nx, ny, nv)")
    if shape is not None and array.shape != shape:
        raise InputError(f"the shape of {name}", array.shape, f"{shape}, as f")
    return array


def _beam(value: Any) -> Beam:
    sizes = check_array("beamSize", np.atleast_1d(value), shape=(-1,))
    if not 1 <= sizes.size <= 3:
        raise InputError("the length of beamSize", sizes.size, "1 to 3: bmaj, bmin, bpa")
    bmaj, bmin, bpa = (*sizes, *(sizes[0], 0.0)[sizes.size - 1 :])[:3]
    if min(bmaj, bmin) <= 0:
        raise InputError("beamSize", sizes.tolist(), "axes > 0")
    return Beam(max(bmaj, bmin), min(bmaj, bmin), bpa)


def _mean_angle(posang: Any) -> float:
    if posang is None:
        return 0.0
    angles = np.radians(check_array("posang", np.atleast_1d(posang), shape=(-1,)))
    return float(np.degrees(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean())) % 360.0)


def _draw_rotation_curve(ax: Axes, overrad: Any, overvrad: Any) -> None:
    radius = check_array("overrad", overrad, shape=(-1,))
    velocity = check_array("overvrad", overvrad, shape=radius.shape)
    half = 0.5 * float(np.median(np.diff(radius))) if radius.size > 1 else 0.0
    for side in (1.0, -1.0):
        ax.errorbar(side * radius, side * velocity, xerr=half, fmt="o", color="#ff7f00", markersize=4)


def _set_ranges(axes: dict[str, Axes], ranges: dict[str, Any]) -> None:
    limits = {name: check_array(name, ranges[name], shape=(2,)) for name in KEYWORDS[1:] if name in ranges}
    if "xrange" in limits:
        low, high = -limits["xrange"]  # East and the receding side count against the cube's x
        for name in ("moment0", "moment1"):
            axes[name].set_xlim(low, high)
        axes["pv"].set_xlim(high, low)
    if "yrange" in limits:
        for name in ("moment0", "moment1"):
            axes[name].set_ylim(*limits["yrange"])
    if "vrange" in limits:
        axes["pv"].set_ylim(*limits["vrange"])
        axes["spectrum"].set_xlim(*limits["vrange"])


def _set_fontsize(figure: Figure, size: float) -> None:
    for text in figure.findobj(Text):
        text.set_fontsize(size)
    for ax in figure.findobj(Axes):
        ax.tick_params(labelsize=size)


def _has_windows() -> bool:
    from matplotlib.backends import backend_registry

    return backend_registry.resolve_backend(matplotlib.get_backend())[1] is not None


def _pyplot_figure() -> Figure:
    import matplotlib.pyplot as plt  # only where there is a window to show

    return plt.figure(figsize=(10.0, 8.5))


def _show(block: bool) -> None:
    import matplotlib.pyplot as plt

    if block:
        plt.show()
    else:
        plt.pause(0.001)
