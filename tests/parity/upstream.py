"""Runs the settings with upstream, inside upstream's own environment: summaries as JSON on the standard output.

``python upstream.py SEEDS [NAME ...]``. Only figures leave it: of an exception, its class.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import tempfile
import warnings
from typing import Any

os.environ["MPLBACKEND"] = "Agg"

import numpy as np
from astropy.io import fits
from settings import AGREEING, SETTINGS, Setting, run
from summaries import bright_blocks, summarise, summarise_clouds

import kinms
from kinms.utils.KinMS_figures import KinMS_plotter

#: Seeds where the difference is a plain one.
FEW = 6
#: Cards of a file that say where the cube is, in which units.
CARDS = (
    *("CTYPE1", "CRPIX1", "CRVAL1", "CDELT1", "CUNIT1", "CTYPE2", "CRPIX2", "CRVAL2", "CDELT2", "CUNIT2"),
    *("CTYPE3", "CRPIX3", "CRVAL3", "CDELT3", "CUNIT3", "BMAJ", "BMIN", "BPA", "BUNIT", "RESTFRQ"),
    *("SPECSYS", "RADESYS", "EQUINOX"),
)


def signatures() -> dict[str, list[list[Any]]]:
    """[name, default] of every argument of what scripts call, in order; required ones: [name]."""
    functions = {
        "KinMS": kinms.KinMS.__init__,
        "model_cube": kinms.KinMS.model_cube,
        "KinMS2": kinms.KinMS2.__init__,
        "KinMS2.model_cube": kinms.KinMS2.model_cube,
        "KinMS_plotter": KinMS_plotter.__init__,
        "makeplots": KinMS_plotter.makeplots,
        "pure_radial": kinms.radial_motion.pure_radial.__init__,
        "bisymmetric_flow": kinms.radial_motion.bisymmetric_flow.__init__,
        "lopsided_flow": kinms.radial_motion.lopsided_flow.__init__,
    }
    found = {}
    for name, function in functions.items():
        arguments = list(inspect.signature(function).parameters.values())[1:]
        found[name] = [
            [a.name] if a.default is a.empty else [a.name, a.default] for a in arguments if a.kind is not a.VAR_KEYWORD
        ]
    return found


def digits(array: np.ndarray, n: int) -> list[float | None]:
    """Return numbers rounded to significant digits; what is not finite becomes None."""
    return [float(f"{x:.{n}g}") if np.isfinite(x) else None for x in np.asarray(array, dtype=float).ravel()]


def golden(setting: Setting, orders: dict[str, list[str]], seeds: int) -> dict[str, Any]:
    """Return the means and scatters over seeds, or the class of the exception."""
    cubes, clouds, cards = [], [], None
    agreeing = any(setting is one for one in AGREEING)
    for seed in range(1, (seeds if agreeing else min(seeds, FEW)) + 1):
        try:
            found = run(setting, kinms, orders, seed)
        except Exception as error:
            return {"raises": type(error).__name__}
        cubes.append(found["cube"].copy())
        if "clouds" in found:
            clouds.append(summarise_clouds(found["clouds"]))
        if "file" in found:
            header = fits.getheader(found["file"])
            cards = {key: header[key] for key in CARDS if key in header}
            assert np.array_equal(fits.getdata(found["file"]), found["cube"].T)
        if len(cubes) == 2 and np.array_equal(cubes[0], cubes[1], equal_nan=True):
            break  # nothing random in it
    scope = setting.scope
    step = scope["cellSize"], scope["dv"]
    if not all(np.isfinite(cube).all() for cube in cubes):
        return {"finite": False}
    bright = bright_blocks(np.array([summarise(cube, *step)["moment0"] for cube in cubes]))
    each = [summarise(cube, *step, bright) for cube in cubes]
    kept = each[0] if agreeing else ("total", "centre", "widths", "moment0", "spectrum")
    summary = {name: spread(np.array([one[name] for one in each])) for name in kept}
    if clouds:
        summary["clouds"] = spread(np.array(clouds))
    result: dict[str, Any] = {"seeds": len(cubes), "bright": bright.tolist(), "summary": summary}
    return result if cards is None else result | {"header": cards}


def spread(values: np.ndarray) -> dict[str, Any]:
    """Mean and standard deviation over seeds (first axis), and the effective number of elements.

    The squared distance of a seed from the mean, summed over elements, scatters among the seeds like a chi-squared
    variable of ``dof`` degrees of freedom: with a variance of 2 mean^2 / dof. Neighbours are correlated by the beam
    and by the total flux, so that these are fewer than the elements.
    """
    n = len(values)
    mean, std = values.mean(axis=0), values.std(axis=0, ddof=1)
    if n < 3 or not std.any():
        return {"mean": digits(mean, 5), "std": [0.0], "dof": 1.0}
    squares = ((values - mean) ** 2).sum(axis=1)
    dof = 2.0 * squares.mean() ** 2 / squares.var(ddof=1)
    return {"mean": digits(mean, 5), "std": digits(std, 2), "dof": float(f"{dof:.3g}")}


def main() -> None:
    """Write all of it as one JSON object."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever upstream prints
    warnings.simplefilter("ignore")
    seeds, names = int(sys.argv[1]), sys.argv[2:] or list(SETTINGS)
    found = signatures()
    orders = {name: [argument[0] for argument in arguments] for name, arguments in found.items()}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        settings = {}
        for name in names:
            settings[name] = golden(SETTINGS[name], orders, seeds)
            print(name, settings[name].get("raises", ""), file=sys.stderr, flush=True)
    import astropy
    import scipy

    versions = {"numpy": np.__version__, "scipy": scipy.__version__, "astropy": astropy.__version__}
    json.dump({"kinms": "3.0.14", **versions, "signatures": found, "settings": settings}, replies)


if __name__ == "__main__":
    main()
