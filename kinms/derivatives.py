"""`jacobian`: how a model changes with its parameters.

All derivatives of a call use one layout of nodes, so that what they are differences of is smooth. The differences are
formed before the beam, which each goes through once; the flux, in which a model is linear, costs nothing. Parameters
are shared out among the threads there are (`kinms.set_threads`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinms.convolution import Smoother
from kinms.disc import Disc
from kinms.engine import Evaluator, Model, Sampling
from kinms.errors import InputError
from kinms.grid import PSF, CubeGrid
from kinms.kernels.beam import add_and_subtract
from kinms.records import FloatArray
from kinms.sparse import SparseCube, workspace
from kinms.threads import limit, run

__all__ = ["jacobian", "slopes"]

#: Steps by unit, in degrees, pixels and channels; for other units relative to the value. The error of a one-sided
#: difference rises with the step, that of single precision falls.
DEGREES, PIXELS, CHANNELS, RELATIVE = 5e-3, 1e-3, 2e-3, 2e-4


def jacobian(
    disc: Disc, grid: CubeGrid, beam: PSF | None, paths: Sequence[str], sampling: Sampling | None = None
) -> FloatArray:
    """Return the derivatives of a model cube with respect to some of its parameters.

    Parameters
    ----------
    disc : Disc
        Where.
    grid : CubeGrid
        Pixels and channels.
    beam : Beam, PSF or None
        None: of the unconvolved cube, in Jy per pixel.
    paths : sequence of str
        Parameters, such as ``"inc"`` or ``"rotation.v_max"``; an array counts element by element.
    sampling : Sampling, optional
        Accuracy of the model. The layout of nodes is that of `Model`.

    Returns
    -------
    ndarray of float32, shape (n, nv, ny, nx)
        Jy/beam per unit of the parameter. One-sided differences, good to about 1e-3 of their rms; to some 1e-3 where
        lines are narrow, and a few 1e-2 where the orientation of a warp bends inside of the light.

    Raises
    ------
    InputError, UnknownNameError
        If a path is not known, given twice, or not a parameter that can be varied.

    Examples
    --------
    >>> from kinms.grid import Beam
    >>> from kinms.profiles import ArctanCurve, ExponentialDisc
    >>> disc = Disc(surface_brightness=ExponentialDisc(3.0), rotation=ArctanCurve(100.0, 1.0), inc=40, pa=30, flux=2)
    >>> slopes = jacobian(disc, CubeGrid((16, 32, 32), 1.0, 20.0), Beam(4.0), ["flux", "inc", "rotation.v_max"])
    >>> slopes.shape
    (3, 16, 32, 32)
    """
    return slopes(Model(disc, grid, beam, sampling), disc, _expand(disc, paths))


def slopes(model: Model, disc: Disc, names: Sequence[str]) -> FloatArray:
    """Return the derivatives of a model with a given layout, see `jacobian`, with respect to these single numbers."""
    grid = model.grid
    evaluator, smooth = model.evaluator(disc)
    base = SparseCube(*smooth.shape)
    evaluator.deposit(disc, base)
    out = np.zeros((len(names), *grid.shape), dtype=np.float32)

    def fill(k: int) -> None:
        if names[k] == "flux" and disc.flux != 0.0:
            smooth.dense(base, out[k], 1.0 / disc.flux)
        else:
            _difference(names[k], disc, grid, evaluator, smooth, base, out[k])

    run(fill, range(len(names)), limit())
    return out


def _difference(
    name: str, disc: Disc, grid: CubeGrid, evaluator: Evaluator, smooth: Smoother, base: SparseCube, out: FloatArray
) -> None:
    value, step = float(disc.value(name)), _step(name, disc, grid)
    try:
        moved = disc.with_values({name: value + step})
    except InputError:
        step = -step  # at the upper end of what the parameter can be
        moved = disc.with_values({name: value + step})
    cube = workspace(*smooth.shape)
    evaluator.deposit(moved, cube)
    add_and_subtract(cube.flat, cube.hull, base.flat, base.hull, cube.shape, -1.0)
    # What a floating-point number makes of the step.
    smooth.dense(cube, out, 1.0 / (float(moved.value(name)) - value))


def _step(name: str, disc: Disc, grid: CubeGrid) -> float:
    unit = disc.unit(name)
    sizes = {"deg": DEGREES, "arcsec": PIXELS * grid.cell, "km/s": CHANNELS * grid.dv}
    return sizes.get(unit, RELATIVE * max(abs(float(disc.value(name))), 1e-3))


def _expand(disc: Disc, paths: Sequence[str]) -> list[str]:
    """Names of single numbers, arrays element by element."""
    names: list[str] = []
    for path in paths:
        size = np.size(disc.value(path))
        names += [f"{path}[{k}]" for k in range(size)] if np.ndim(disc.value(path)) else [path]
    if not names:
        raise InputError("paths", "empty", "at least one parameter")
    if len(set(names)) < len(names):
        raise InputError("paths", "naming a parameter twice", "each parameter once")
    return names
