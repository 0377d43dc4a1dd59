"""`makeplots`, the figure of KinMS 1's scripts."""

from typing import Any

from kinms.utils.KinMS_figures import KinMS_plotter

__all__ = ["makeplots"]


def makeplots(
    f: Any,
    xsize: float,
    ysize: float,
    vsize: float,
    cellsize: float,
    dv: float,
    beamsize: Any,
    posang: Any = 0,
    overcube: Any = False,
    pvdthick: float | None = None,
    rms: Any = 0,
    nconts: Any = None,
    **kwargs: Any,
) -> Any:
    """Draw a cube, and a second one over it, as `kinms.utils.KinMS_figures.KinMS_plotter` does; return the figure.

    ``nconts`` has no effect. ``rms`` was in units of its own (default 1); give the cube's, or leave it out.
    """
    over = None if overcube is False or overcube is None else overcube
    title = kwargs.pop("title", False)
    plotter = KinMS_plotter(
        f, xsize, ysize, vsize, cellsize, dv, beamsize, posang, pvdthick, overcube=over, rms=rms, title=title
    )
    return plotter.makeplots(**kwargs)
