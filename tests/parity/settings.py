"""The calls that upstream and this package are compared in: plain data, read by both sides.

A `Setting` is what a script would write: arguments of the constructor, arguments of ``model_cube``, in KinMS 3's style
or (``style=2``) all of them in KinMS 2's constructor. Both sides run it through `run`.
"""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CELL, DV = 1.0, 20.0
#: A field that holds the disc and the wings of its beam: what is lost is upstream's to renormalise (DEVIATIONS.md).
SCOPE = {"xs": 48.0, "ys": 48.0, "vs": 520.0, "cellSize": CELL, "dv": DV, "beamSize": [4.0, 4.0, 0.0]}
#: Tables fine enough for upstream's linear interpolation of the cumulative light.
RAD = np.arange(0.0, 15.0001, 0.05)
LIGHT = np.exp(-RAD / 3.0)
SPEED = 400.0 / np.pi * np.arctan(RAD / 2.0)
PROFILE = {"sbProf": LIGHT, "sbRad": RAD, "velRad": RAD, "velProf": SPEED}
DISC = {"inc": 50.0, "posAng": 30.0, "gasSigma": 12.0, "intFlux": 30.0, **PROFILE}
LIGHT_SPEED = 299792.458  # km/s
#: The other lines' wavelengths are those of the first one shifted by so many km/s.
LINE = 1300.4


@dataclass(frozen=True)
class Flow:
    """A class of `kinms.radial_motion.radial_motion` and its arguments."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Setting:
    """One call. ``without`` leaves out arguments of `DISC`; ``before`` are calls of the same object before it."""

    name: str
    telescope: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    style: int = 3
    positional: bool = False
    before: tuple[dict[str, Any], ...] = ()

    @property
    def scope(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**SCOPE, **self.telescope}

    @property
    def disc(self) -> dict[str, Any]:
        """Arguments of model_cube."""
        return {name: value for name, value in {**DISC, **self.model}.items() if name not in self.without}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(nx, ny, nv)."""
        s = self.scope
        nx, ny, nv = (round(s[size] / s[step]) for size, step in (("xs", "cellSize"), ("ys", "cellSize"), ("vs", "dv")))
        return nx, ny, nv


def cloudlets(n: int = 20_000) -> dict[str, Any]:
    """A lopsided cloud of points, the same on every machine, with fluxes and velocities of their own."""
    draw = np.random.RandomState(42)
    r, phi = 10.0 * np.sqrt(draw.random_sample(n)), 1.5 * np.pi * draw.random_sample(n)
    positions = np.stack([r * np.cos(phi), r * np.sin(phi), 0.5 * draw.standard_normal(n)], axis=1)
    return {"inClouds": positions, "flux_clouds": draw.random_sample(n), "vLOS_clouds": 150.0 * np.sin(phi)}


CLOUDS = cloudlets()
NO_PROFILE = ("sbProf", "sbRad")
NO_ROTATION = (*NO_PROFILE, "velRad", "velProf")


def swirl(r: np.ndarray, theta: np.ndarray, inc: np.ndarray) -> np.ndarray:
    """A script's own radial_motion_func; degrees and radians as upstream hands them over."""
    return 3.0 * r * np.sin(2.0 * theta) * np.sin(np.radians(inc))


WIDE_CHANNELS = {"vs": 800.0}
LINES = LINE * (1.0 + np.array([0.0, 200.0, -200.0]) / LIGHT_SPEED)
SLOW = {"inc": 2.0, "velProf": SPEED * 20.0, "posAng": 90.0}  # an almost face-on disc: plane and sky are the same
HEADER = {"ra": 150.25, "dec": -12.5, "restFreq": 345.796e9, "bunit": "K", "vSys": 1500.0}

#: Where upstream is right: the cubes agree within its sampling noise.
AGREEING = [
    Setting("plain"),
    Setting("one beam axis", {"beamSize": 5.0}),
    Setting("two beam axes", {"beamSize": [6.0, 3.0]}),
    Setting("beam towards North", {"beamSize": [6.0, 3.0, 0.0]}),
    Setting("beam towards East", {"beamSize": [6.0, 3.0, 90.0]}),
    Setting("beam axes the other way round", {"beamSize": [3.0, 6.0, 0.0]}),
    Setting("beam angle beyond 180", {"beamSize": np.array([6.0, 3.0, 270.0])}),
    Setting("huge_beam", {"huge_beam": True}),
    Setting("cleanOut", {"cleanOut": True}),
    Setting("pixels of 2 arcsec, field not square", {"xs": 64.0, "ys": 52.0, "cellSize": 2.0, "beamSize": 6.0}),
    Setting("sizes to be rounded", {"xs": 48.4, "ys": 46.4, "vs": 515.0}),
    Setting("narrow channels, spectral_resolution", {"dv": 10.0, "spectral_resolution": 15.0}),
    Setting("another nSamps", {"nSamps": 1e5}),
    Setting("no fixSeed", {"fixSeed": False}),
    Setting("verbose", {"verbose": True}),
    Setting("no dispersion", model={"gasSigma": 0}),
    Setting("inc below zero", model={"inc": -50.0}),
    Setting("inc beyond 90", model={"inc": 120.0}),
    Setting("face-on", model={"inc": 0.0}),
    Setting("edge-on", model={"inc": 90.0, "diskThick": 1.0}),
    Setting("posAng 200", model={"posAng": 200.0}),
    Setting("warp", model={"inc": np.linspace(35.0, 70.0, RAD.size), "posAng": np.linspace(10.0, 80.0, RAD.size)}),
    Setting("warp through face-on", model={"inc": np.linspace(-40.0, 60.0, RAD.size), "diskThick": 1.0}),
    Setting(
        "clouds in a warp through face-on",
        model={"inClouds": CLOUDS["inClouds"], "inc": np.linspace(-40.0, 60.0, RAD.size), "returnClouds": True},
    ),
    Setting("dispersion table", model={"gasSigma": np.linspace(30.0, 8.0, RAD.size)}),
    Setting(
        "dispersion table, spectral_resolution", {"spectral_resolution": 15.0},
        {"gasSigma": np.linspace(30, 8, RAD.size)},
    ),
    Setting("thick disc", model={"diskThick": 1.5}),
    Setting("flaring disc", model={"diskThick": np.linspace(0.2, 3.0, RAD.size)}),
    Setting("ring", model={"sbRad": RAD + 3.0, "sbProf": np.exp(-0.5 * ((RAD - 4.0) / 1.5) ** 2)}),
    Setting("velRad of its own", model={"velRad": np.linspace(0.0, 20.0, 41), "velProf": np.linspace(30.0, 190.0, 41)}),
    Setting("no velRad", without=("velRad",)),
    Setting("flat rotation", model={"velRad": [0.0, 20.0], "velProf": [150.0, 150.0]}),
    Setting("clouds", model={"inClouds": CLOUDS["inClouds"]}, without=NO_PROFILE),
    Setting(
        "clouds with fluxes", model={k: CLOUDS[k] for k in ("inClouds", "flux_clouds")} | {"posAng": 250.0},
        without=NO_PROFILE,
    ),
    Setting(
        "clouds with fluxes, no intFlux", model={k: CLOUDS[k] for k in ("inClouds", "flux_clouds")},
        without=(*NO_PROFILE, "intFlux"),
    ),
    Setting("clouds with velocities", model={**CLOUDS, "inc": 0.0, "posAng": 0.0}, without=NO_ROTATION),
    Setting("clouds with a warp", model={"inClouds": CLOUDS["inClouds"], "posAng": np.linspace(10.0, 80.0, RAD.size)}),
    Setting("radial flow", model={"radial_motion_func": Flow("pure_radial", (RAD, 40.0 + RAD))}),
    Setting(
        "bisymmetric flow",
        model={"radial_motion_func": Flow("bisymmetric_flow", (RAD, 40.0 + 0.0 * RAD, 3.0 * RAD, 25.0))},
    ),
    Setting("a function of one's own", model={"radial_motion_func": swirl}),
    Setting("radial flow in a warp", model={
        "radial_motion_func": Flow("pure_radial", (RAD, 40.0 + RAD)), "posAng": np.linspace(10.0, 80.0, RAD.size)}),
    Setting("no intFlux", without=("intFlux",)),
    Setting("off centre", model={"phaseCent": [2.5, -3.25], "vOffset": 33.0, "vSys": 900.0}),
    Setting("kinematic angle, face-on", model={**SLOW, "vPosAng": 160.0}),
    Setting("kinematic angle table, face-on", model={**SLOW, "vPosAng": np.linspace(90.0, 150.0, RAD.size)}),
    Setting("kinematic centre, face-on", model={**SLOW, "vPhaseCent": [2.0, 3.0]}),
    Setting("asymmetric drift", model={"gasSigma": 35.0, "asymmetric_drift": True}),
    Setting("asymmetric drift of a table", model={"gasSigma": np.linspace(50, 20, RAD.size), "asymmetric_drift": True}),
    Setting("gas mass", model={"massDist": [2e9, 20.0]}),
    Setting("gas mass of a flaring disc", model={"massDist": [1e10, 20.0], "diskThick": np.linspace(0.2, 6, RAD.size)}),
    Setting("returnClouds of a flow and a warp through face-on", model={
        "inc": np.linspace(-40.0, 60.0, RAD.size), "returnClouds": True,
        "radial_motion_func": Flow("bisymmetric_flow", (RAD, 40.0 + 0.0 * RAD, 3.0 * RAD, 25.0))}),
    Setting("two lines", {**WIDE_CHANNELS, "multiple_line_lams": LINES[:2]}, {"multiple_line_relflux": [1.0, 0.4]}),
    Setting(
        "three lines", {**WIDE_CHANNELS, "multiple_line_lams": LINES},
        {"multiple_line_relflux": [1.0, 0.4, 0.7]},
    ),
    Setting("returnClouds", model={"returnClouds": True, "diskThick": 1.0}),
    Setting("returnClouds of clouds", model={"returnClouds": True, "inClouds": CLOUDS["inClouds"]}, without=NO_PROFILE),
    Setting("toplot", model={"toplot": True}),
    Setting("toplot with keywords of the plot", model={"toplot": True, "title": "disc", "rms": 0.01, "rmsfac": 2.0}),
    Setting("file", model={"fileName": "model", **HEADER}),
    Setting("file, off centre", model={"fileName": "model", **HEADER, "vOffset": 50.0, "phaseCent": [3.0, 1.0]}),
    Setting("KinMS 2 by name", {"fixSeed": True}, style=2),
    Setting("KinMS 2 by position", {"fixSeed": True}, {"diskThick": 1.0, "vOffset": 20.0}, style=2, positional=True),
    Setting("KinMS 2, skySampler and default seeds", {"skySampler": True}, {"phaseCent": [2.0, -1.0]}, style=2),
    Setting("KinMS 2, file", {"fixSeed": True}, {"fileName": "model", **HEADER, "phaseCent": [3.0, 1.0]}, style=2),
    Setting("KinMS 3 by position", {"nSamps": 5e5, "seed": 1}, {"diskThick": 1.0, "vOffset": 20.0}, positional=True),
]  # fmt: skip

COARSE = {"sbRad": [0.0, 12.0], "sbProf": [1.0, 1.0], "velRad": RAD, "velProf": SPEED}
SOLID = {"velRad": [0.0, 20.0], "velProf": [0.0, 200.0]}
POINT = {"inc": 0.0, "posAng": 0.0, "inClouds": np.array([[0.0, 0.0, 0.0]] * 4)}
LAMS = {"multiple_line_lams": LINES[:2]}

#: Where upstream is not, or where it stops: each has a row in DEVIATIONS.md (`deviations.py`).
DEVIATING = [
    Setting("beam at 45 degrees", {"beamSize": [8.0, 4.0, 45.0]}, {"inc": 0.0}),
    Setting("beam at 20 degrees", {"beamSize": [8.0, 4.0, 20.0]}, {"inc": 0.0}),
    Setting("beam at 160 degrees", {"beamSize": [8.0, 4.0, 160.0]}, {"inc": 0.0}),
    Setting("area of the beam", {"beamSize": [6.0, 4.0, 0.0]}, {**POINT, "vLOS_clouds": [0.0] * 4}, NO_ROTATION),
    Setting("beam of one pixel", {"beamSize": 1.0}),
    Setting("beam wider than the field", {"beamSize": [40.0, 40.0, 0.0]}),
    Setting("odd field", {"xs": 49.0, "ys": 49.0}),
    Setting("odd field, cleanOut", {"xs": 49.0, "ys": 49.0, "cleanOut": True}),
    Setting("odd number of channels", {"vs": 540.0}),
    Setting("half of the disc outside of the field", model={"phaseCent": [24.0, 0.0]}),
    Setting("half of the disc outside of the channels", model={"vOffset": 260.0}),
    Setting("wholly outside", model={"phaseCent": [100.0, 0.0]}),
    Setting("coarse table", model=COARSE),
    Setting("light of both signs", model={"sbProf": LIGHT * np.cos(RAD / 2.5)}),
    Setting("seed zero", {"seed": 0}, {"inc": 0.0}),
    Setting(
        "lopsided flow",
        model={"radial_motion_func": Flow("lopsided_flow", (RAD, 0.0 * RAD + 40.0, 0.0 * RAD + 25.0, 25.0))},
    ),
    Setting("kinematic angle", {"cleanOut": True}, {**SOLID, "inc": 60.0, "posAng": 0.0, "vPosAng": 45.0}),
    Setting("kinematic centre", {"cleanOut": True}, {**SOLID, "inc": 60.0, "posAng": 0.0, "vPhaseCent": [2.0, 0.0]}),
    Setting("counter-rotation with drift", model={"velProf": -SPEED, "asymmetric_drift": True}),
    Setting("counter-rotation with gas mass", model={"velProf": -SPEED, "massDist": [2e9, 20.0]}),
    Setting("gas mass alone", {"dv": 0.1, "vs": 20.0}, {
        "inClouds": np.array([[-10.0, 0.0, 0.0]] * 4), "velRad": [0.0, 10.0, 20.0], "velProf": [0.0, 0.0, 0.0],
        "massDist": [2e10, 20.0], "gasSigma": 0.0, "vOffset": -228.0}, without=NO_PROFILE),
    Setting("lines without multiple_line_relflux", {**WIDE_CHANNELS, **LAMS}),
    Setting(
        "absorbing cloud",
        model={**POINT, "vLOS_clouds": [0.0, 0.0, 0.0, 100.0], "flux_clouds": [1.0, 1.0, 1.0, -1.0]},
        without=NO_ROTATION,
    ),
    Setting("intFlux below zero", model={"intFlux": -30.0}),
    Setting("file of a clean cube", {"cleanOut": True}, {"fileName": "model", "intFlux": 30.0}),
    Setting("velocity of a file", model={"fileName": "model", "vSys": 1500.0}),
    Setting("NaN in a table", model={"velProf": np.where(RAD > 3.0, SPEED, np.nan)}),
    Setting("radii out of order", model={"sbRad": RAD[::-1].copy(), "sbProf": LIGHT[::-1].copy()}),
    Setting("misspelt keyword", model={"gasSgma": 12.0}, without=("gasSigma",)),
    Setting("two clouds with fluxes",
            model={"inClouds": CLOUDS["inClouds"][:2], "flux_clouds": [1.0, 3.0], "gasSigma": 0.0}, without=NO_PROFILE),
    Setting("more clouds than nSamps", {"nSamps": 100}, {"inClouds": CLOUDS["inClouds"]}, without=NO_PROFILE),
    Setting("profile after clouds", before=({**DISC, "inClouds": CLOUDS["inClouds"]},)),
    Setting("clouds in a warp without a profile", without=NO_PROFILE,
            model={"inClouds": CLOUDS["inClouds"], "posAng": np.linspace(10.0, 80.0, RAD.size)}),
    Setting("warp on velRad of another length", model={
        "velRad": [0.0, 5.0, 15.0], "velProf": [0.0, 120.0, 170.0], "posAng": [10.0, 30.0, 80.0]}),
    Setting("one velocity", model={"velProf": 150.0}, without=("velRad",)),
    Setting("one beam axis in a file", {"beamSize": 4.0}, {"fileName": "model"}),
]  # fmt: skip

SETTINGS = {setting.name: setting for setting in (*AGREEING, *DEVIATING)}


def ready(arguments: dict[str, Any], motions: Any) -> dict[str, Any]:
    """Return arguments with the flows made, of the package that has these ``motions``."""
    return {
        name: getattr(motions, value.name)(*value.arguments) if isinstance(value, Flow) else value
        for name, value in arguments.items()
    }


def run(setting: Setting, kinms: Any, orders: dict[str, list[str]], seed: int | None = None) -> dict[str, Any]:
    """Make the cube with `kinms` (upstream's package or this one), in the current directory.

    Parameters
    ----------
    orders
        Names of the positional arguments: ``KinMS``, ``model_cube``, ``KinMS2``.
    seed
        In place of the setting's own.

    Returns
    -------
    dict
        ``cube`` [x, y, v]; ``clouds`` (n, 4) with returnClouds; ``file``, its path, with fileName.
    """
    motions = kinms.radial_motion
    scope, disc = dict(setting.scope), ready(setting.disc, motions)
    if seed is not None and scope.get("seed") != 0:
        np.random.seed(seed)  # noqa: NPY002  # what upstream draws its seeds from without fixSeed
        if scope.get("fixSeed", setting.style == 3):
            scope["seed"] = seed
    with contextlib.redirect_stdout(io.StringIO()):
        if setting.style == 2:
            args, kwargs = _split({**scope, **disc}, orders["KinMS2"], setting.positional)
            result = kinms.KinMS2(*args, **kwargs).model_cube()
        else:
            args, kwargs = _split(scope, orders["KinMS"], setting.positional)
            model = kinms.KinMS(*args, **kwargs)
            for arguments in setting.before:
                model.model_cube(**ready(arguments, motions))
            args, kwargs = _split(disc, orders["model_cube"], setting.positional)
            result = model.model_cube(*args, **kwargs)
    found: dict[str, Any] = {"cube": result}
    if setting.disc.get("returnClouds"):
        cube, positions, velocities = result
        found = {"cube": cube, "clouds": np.column_stack([positions, velocities])}
    if setting.disc.get("fileName"):
        found["file"] = os.path.abspath(f"{setting.disc['fileName']}_simcube.fits")
    return found


def _split(arguments: dict[str, Any], order: list[str], positional: bool) -> tuple[list[Any], dict[str, Any]]:
    """Hand the leading arguments over by position, as far as they follow upstream's order."""
    args: list[Any] = []
    rest = dict(arguments)
    for name in order if positional else ():
        if name not in rest:
            break
        args.append(rest.pop(name))
    return args, rest
