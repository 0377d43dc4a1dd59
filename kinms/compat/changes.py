"""What is different from upstream's packages, rule by rule: what to write instead, why, and by how much.

The sizes follow from numbers in the script itself, or are those of a setting in ``tests/parity/DEVIATIONS.md``
(`MEASURED`), where an independent reference has the same figures as this package.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from kinms.legacy_arguments import GALAXY, KINMS2, TELESCOPE

__all__ = [
    "ATTRIBUTES",
    "CHANGE",
    "DIFFERENT",
    "MEASURED",
    "NOTE",
    "Finding",
    "about_cube",
    "about_figure",
    "about_flow",
    "about_makeplots",
    "about_run",
    "import_finding",
    "inflation_finding",
    "python2_finding",
]

#: It does not run, or something else runs, until it is changed; it runs, and the result differs; it has no effect.
CHANGE, DIFFERENT, NOTE = "change", "different", "note"

#: Setting of DEVIATIONS.md -> (upstream's figure, ours), as they stand there.
MEASURED = {
    "beam at 20 degrees": ("1.584", "-2.781"),
    "coarse table": ("23.43", "33.7"),
    "half of the disc outside of the field": ("27.19", "9.71"),
    "kinematic angle": ("63.15", "45.01"),
    "kinematic centre": ("17.35", "0"),
    "lopsided flow": ("0.09375", "-22.56"),
    "absorbing cloud": ("4.327", "2.885"),
    "file of a clean cube": ("1.655", "30"),
    "gas mass alone": ("298.2", "297.9"),
}

Value = Callable[[ast.expr | None], Any]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing to know about one line.

    Attributes
    ----------
    level : str
        ``change``: to be changed; ``different``: runs, with another result; ``note``: makes no difference.
    what : str
        What is meant, as the script has it.
    fix : str
        What to write or do instead; empty where nothing is to be done.
    why : str
        The reason.
    size : str
        How large the difference is; empty where there is none, or none that has a size.
    line : int
        From 1 (in a notebook, of the cell).
    where : str
        The line as it is named to a reader.
    """

    level: str
    what: str
    fix: str
    why: str
    size: str = ""
    line: int = 0
    where: str = ""


def _measured(setting: str, figure: str) -> str:
    theirs, ours = MEASURED[setting]
    return f"{figure}: {theirs} there, {ours} here"


# -- imports ------------------------------------------------------------------------------------------------------

#: Where the names of other packages are now: module -> module, or (module, name) -> statement.
_MOVED = {
    "gastimator": "gastimator_bridge",
    "gastimator.gastimator": "gastimator_bridge",
    "gastimator.corner_plot": "gastimator_bridge.corner_plot",
    "gastimator.priors": "gastimator_bridge",
    "KinMS": "kinms",
    "KinMS.KinMS": "kinms",
    "KinMS.utils.KinMS_figures": "kinms.utils.KinMS_figures",
    "KinMS.utils.sauron_colormap": "kinms.utils.sauron_colormap",
    "KinMS_figures": "kinms.utils.KinMS_figures",
    "sauron_colormap": "kinms.utils.sauron_colormap",
    "makeplots": "kinms.utils.KinMS_figures",
}
_WHY_GASTIMATOR = "gastimator_bridge makes the same calls; the package gastimator stays what it is."
_WHY_KINMS1 = (
    "KinMS 1's function returned the cube; the class of KinMS 2 and 3 takes the same arguments (phaseCen is now "
    "phaseCent, vPhaseCen vPhaseCent) and returns it from .model_cube()."
)
_WHY_MAKEPLOTS = "makeplots(f, ...) is now KinMS_plotter(f, ...).makeplots(), with the same arguments."
_WHY_MOVED = "The module is now in the package kinms."
_RUN = "python -m kinms.compat run SCRIPT"


def import_finding(
    statement: str, module: str, name: str, alias: str | None, missing_from: Callable[[str, str], str | None]
) -> Finding | None:
    """Return what there is to say of one imported name (``import module`` has none), None if it stays as it is."""
    top = module.split(".")[0]
    if top == "kinms_fitter":
        fix = f"PYTHONBREAKPOINT=0 {_RUN}"
        why = (
            "kinms_fitter imports gastimator by itself, which the stand-ins replace; its release 0.5.15 has a "
            "breakpoint() in run()."
        )
        return Finding(CHANGE, statement, fix, why)
    if module in _MOVED:
        return _moved(statement, module, name, alias)
    if top in ("kinms", "KinMS", "gastimator"):
        near = missing_from(module, name)
        if near is None:
            return None
        return _gone(statement, module, name, near)
    return None


def _moved(statement: str, module: str, name: str, alias: str | None) -> Finding:
    target = _MOVED[module]
    why = _WHY_GASTIMATOR if module.startswith("gastimator") else _WHY_MOVED
    if module in ("KinMS", "KinMS.KinMS"):
        why = _WHY_KINMS1
    if module == "makeplots":
        name, why = ("KinMS_plotter" if name else name), _WHY_MAKEPLOTS
    if not name:
        call = f"import {target} as {alias or module.split('.')[-1]}"
        return Finding(CHANGE, statement, call, why)
    if name == "*":
        name = {"kinms": "KinMS", "gastimator_bridge": "gastimator, corner_plot, priors"}.get(target, "KinMS_plotter")
    if target == "kinms.utils.KinMS_figures":
        name = "KinMS_plotter"
    return Finding(CHANGE, statement, f"from {target} import {name}{f' as {alias}' if alias else ''}", why)


def _gone(statement: str, module: str, name: str, near: str) -> Finding:
    what = f"{module}.{name}" if name else module
    fix = f"{near}?" if near else ""
    return Finding(CHANGE, statement, fix, f"There is no {what}.")


# -- cubes --------------------------------------------------------------------------------------------------------

_RENAMED = {
    "phaseCen": "phaseCent",
    "phasecen": "phaseCent",
    "vPhaseCen": "vPhaseCent",
    "gasGrav": "massDist",
    "vRadial": "radial_motion_func=radial_motion.pure_radial(velRad, vRadial)",
}
_REMOVED = {
    "sbMode": "inClouds or sbProf tells it",
    "samplerMode": "inClouds or sbProf tells it",
}


def about_cube(
    given: Mapping[str, ast.expr],
    value: Value,
    allowed: Collection[str],
    *,
    constructor: bool,
    telescope: Mapping[str, ast.expr] | None = None,
    first: bool = False,
) -> Iterator[Finding]:
    """Yield what there is to say of a call of `KinMS` or of its `model_cube`.

    Parameters
    ----------
    given : mapping of str to expression
        The arguments by name.
    value : callable
        Returns the number that an expression is known to be, or None.
    allowed : collection of str
        Names that the call takes; empty if others are the figure's.
    constructor : bool
        Whether it is the constructor.
    telescope : mapping, optional
        The constructor's arguments, for a `model_cube`.
    first : bool
        Whether it is KinMS 1's function.
    """
    for name in given:
        if (name in _RENAMED or name in _REMOVED or allowed) and name not in allowed:
            yield _unknown(name, allowed or (*KINMS2, *TELESCOPE, *GALAXY))
    if first:
        return
    if constructor:
        yield from _about_sizes(given, value)
        yield from _about_beam(given, value)
    yield from _about_effects(given, value)
    if telescope is not None or "sbProf" in given or "inClouds" in given:
        yield from _about_lines({**(telescope or {}), **given}, given, value)
    yield from _about_galaxy(given, value, telescope if telescope else given)


def _about_lines(telescope: Mapping[str, ast.expr], given: Mapping[str, ast.expr], value: Value) -> Iterator[Finding]:
    if _is_given(telescope, "multiple_line_lams", value) and not _is_given(given, "multiple_line_relflux", value):
        why = "All lines are there, with equal fluxes; upstream draws the first one only where no fluxes are given."
        fix = "multiple_line_relflux=[...]"
        yield Finding(DIFFERENT, "multiple_line_lams without multiple_line_relflux", fix, why, "the other lines")


def _unknown(name: str, allowed: Collection[str]) -> Finding:
    if name in _RENAMED:
        fix = _RENAMED[name]
        return Finding(CHANGE, f"{name}=", fix if "=" in fix else f"{fix}=", "The argument has another name.")
    if name in _REMOVED:
        return Finding(CHANGE, f"{name}=", "leave it out", f"There is no such argument: {_REMOVED[name]}.")
    if name in TELESCOPE:
        return Finding(CHANGE, f"{name}=", f"KinMS(..., {name}=...)", "It is an argument of the constructor.")
    near = difflib.get_close_matches(name, list(allowed), 1)
    fix = f"{near[0]}=?" if near else "leave it out"
    return Finding(CHANGE, f"{name}=", fix, "There is no such argument: it raises, where upstream may have ignored it.")


def _about_sizes(given: Mapping[str, ast.expr], value: Value) -> Iterator[Finding]:
    for size, step, unit in (("xs", "cellSize", "arcsec"), ("ys", "cellSize", "arcsec"), ("vs", "dv", "km/s")):
        total, one = value(given.get(size)), value(given.get(step))
        if not (_is_number(total) and _is_number(one) and one > 0):
            continue
        n = round(total / one)
        if n % 2:
            if size == "vs":
                why = "Zero velocity is the centre of channel n // 2; upstream's is half a channel off where n is odd."
                shift = f"{one / 2:g} km/s: vOffset larger by that gives upstream's cube, and a fit's is smaller"
            else:
                why = (
                    "The centre is that of pixel n // 2; upstream's is a pixel off where n is odd, half with cleanOut."
                )
                shift = f"{one:g} {unit}: phaseCent larger by that gives upstream's cube, and a fit's is smaller"
            yield Finding(DIFFERENT, f"{size} / {step} = {n}, which is odd", "", why, shift)


def _about_beam(given: Mapping[str, ast.expr], value: Value) -> Iterator[Finding]:
    beam = given.get("beamSize")
    sizes = value(beam)
    if _is_true(value(given.get("cleanOut"))) or _is_number(sizes):
        return
    why = "Upstream mirrors the position angle of an oblique beam and distorts its axes; here it is that of radio_beam."
    size = _measured("beam at 20 degrees", "West-North second moment of 8 x 4 arcsec at 20 degrees, arcsec^2")
    if isinstance(sizes, list) and all(_is_number(part) for part in sizes):
        if len(sizes) == 3 and sizes[2] % 90 and sizes[0] != sizes[1]:
            yield Finding(DIFFERENT, f"beamSize with a position angle of {sizes[2]:g} degrees", "", why, size)
    elif beam is not None:
        yield Finding(NOTE, "beamSize, if its position angle is not a multiple of 90 degrees", "", why, size)


_NO_EFFECT = {
    "nSamps": "The cube is not made of random clouds; it is how many returnClouds draws.",
    "fixSeed": "The cube has no random numbers in it; it is of the clouds that returnClouds draws.",
    "seed": "The cube has no random numbers in it; it is of the clouds that returnClouds draws.",
    "huge_beam": "All convolutions are fast ones.",
    "skySampler": "Clouds are clouds: inClouds alone tells it.",
}


def _about_effects(given: Mapping[str, ast.expr], value: Value) -> Iterator[Finding]:
    for name, why in _NO_EFFECT.items():
        if name in given:
            yield Finding(NOTE, f"{name}=", "", why)
    if "seed" in given and value(given["seed"]) == 0:
        why = "Upstream draws radius and azimuth from the same numbers where the seed is 0: its disc is a spiral."
        yield Finding(DIFFERENT, "seed=0", "", why, "the whole image")


def _about_galaxy(given: Mapping[str, ast.expr], value: Value, telescope: Mapping[str, ast.expr]) -> Iterator[Finding]:
    if _is_given(given, "fileName", value):
        dv = value(telescope.get("dv"))
        size = f"{dv / 2:g} km/s" if _is_number(dv) else "dv / 2"
        why = "CRVAL3 is the velocity of a channel's centre; upstream's is that of the upper edge of the first one."
        yield Finding(DIFFERENT, "fileName=: the velocities of the file", "", why, size)
        if _is_true(value(telescope.get("cleanOut"))):
            why = "The file of a clean cube says Jy/pixel; upstream's says Jy/beam, with a beam."
            yield Finding(
                DIFFERENT, "fileName= with cleanOut: the unit of the file", "", why, "the beam's area in pixels"
            )
    flux = value(given.get("intFlux"))
    if _is_number(flux) and flux < 0:
        why = "A flux below zero is absorption; upstream takes it for none and makes the cube sum to one."
        yield Finding(DIFFERENT, "intFlux= below zero", "", why, "all of the flux")
    elif _is_given(given, "intFlux", value):
        why = (
            "intFlux is the whole disc's, inside the cube or not; what lies outside is lost and warned of. Upstream "
            "gives all of it to the part inside."
        )
        yield Finding(NOTE, "intFlux=, if the disc reaches over the edges", "", why, SPILT)
    if _is_given(given, "vPhaseCent", value):
        why = "The kinematic centre is one on the sky, in x and y of the cube; upstream shifts it in the disc's plane."
        yield Finding(DIFFERENT, "vPhaseCent=", "", why, VPHASECENT)
    if _is_given(given, "vPosAng", value):
        why = "The kinematic position angle is one on the sky; upstream turns velocities by it in the disc's plane."
        yield Finding(DIFFERENT, "vPosAng=", "", why, VPOSANG)
    if _is_given(given, "sbProf", value) and not _is_given(given, "inClouds", value):
        why = "Radii follow the table exactly; upstream interpolates its cumulative light linearly between radii."
        size = _measured("coarse table", "second moment of the image of a table of few radii, arcsec^2")
        yield Finding(NOTE, "sbProf=, if sbRad has steps wider than the beam", "", why, size)
    if _is_given(given, "massDist", value):
        why = "An arcsec at 1 Mpc is 4.8481 pc; upstream has 4.84, and loses the sign of a velProf below zero."
        yield Finding(NOTE, "massDist=", "", why, _measured("gas mass alone", "km/s of gas alone"))
    if _is_true(value(given.get("asymmetric_drift"))):
        why = "The sign of velProf is kept; upstream loses it."
        yield Finding(NOTE, "asymmetric_drift=, if velProf is below zero", "", why, "the direction of rotation")
    if _is_given(given, "flux_clouds", value):
        why = (
            "Channels and clouds of negative flux are convolved like others, and one flux per cloud is what is asked "
            "for; upstream convolves channels of positive sum only, and refuses fluxes of one or two clouds."
        )
        yield Finding(
            NOTE,
            "flux_clouds=, if some are below zero or there are two clouds",
            "",
            why,
            _measured("absorbing cloud", "arcsec^2 across"),
        )
    if _is_given(given, "inClouds", value) and _is_given(given, "gasSigma", value):
        why = "Each cloud has the whole line profile of gasSigma; upstream draws one velocity for each of nSamps."
        yield Finding(NOTE, "inClouds= with gasSigma=", "", why, "upstream's sampling noise")


SPILT = _measured("half of the disc outside of the field", "sum of a cube with half of the disc outside")
VPOSANG = _measured("kinematic angle", "direction of the velocity gradient for vPosAng = posAng + 45 at inc 60")
VPHASECENT = _measured("kinematic centre", "km/s in the mean for 2 arcsec along the minor axis at inc 60")


def about_flow(name: str) -> Finding | None:
    """Return what there is to say of a ``radial_motion`` class."""
    if name == "lopsided_flow":
        why = "It is the m = 1 flow of Spekkens & Sellwood (2007); upstream computes the m = 2 flow under this name."
        fix = "for upstream's result: radial_motion.bisymmetric_flow"
        return Finding(
            DIFFERENT, "radial_motion.lopsided_flow", fix, why, _measured("lopsided flow", "mean velocity, km/s")
        )
    return None


def about_figure(given: Mapping[str, ast.expr]) -> Iterator[Finding]:
    """Yield what there is to say of a call of `KinMS_plotter` or ``makeplots``."""
    if "pvdthick" in given:
        why = "Half the width of the cut, in pixels; default half a beam."
        yield Finding(NOTE, "pvdthick=", "", why)


MAKEPLOTS = ("block", "plot2screen", "overrad", "overvrad", "fontsize", "vrange", "xrange", "yrange")


def about_makeplots(given: Mapping[str, ast.expr]) -> Iterator[Finding]:
    """Yield what there is to say of a call of ``KinMS_plotter(...).makeplots``."""
    for name in given:
        if name not in MAKEPLOTS:
            yield _unknown(name, MAKEPLOTS)


# -- fits ---------------------------------------------------------------------------------------------------------


def about_run(given: Mapping[str, ast.expr], value: Value) -> Iterator[Finding]:
    """Yield what there is to say of ``gastimator.run``."""
    why = (
        "All states after burn-in are returned, repeats included; upstream returns accepted states only, whose spread "
        "is not the posterior's. accepted_only=True gives those, for plots."
    )
    size = "upstream's errors are 3 % too large where half of the steps are accepted, 11 % where 30 % are"
    yield Finding(DIFFERENT, "run(): the chain it returns", "", why, size)
    if "seed" in given:
        yield Finding(NOTE, "seed=", "", "The same seed gives the same chain, bit for bit; upstream's has no effect.")
    else:
        yield Finding(NOTE, "run() without a seed", "seed=1", "With a seed the chain can be repeated, bit for bit.")
    if "numatonce" in given:
        yield Finding(NOTE, "numatonce=", "", "It has no effect: the walk is tuned all through its burn-in.")
    chains = value(given.get("nchains"))
    if "nchains" in given and not (_is_number(chains) and chains == 1):
        why = "Every chain is returned, one after the other; upstream keeps the best and starts a last one from it."
        yield Finding(DIFFERENT, "nchains=", "", why, "as many times niters states")
    if "plot" not in given or _is_true(value(given.get("plot"))):
        why = "Nothing is shown while it runs; with output= a trace and a corner plot are drawn to files."
        yield Finding(NOTE, "plot=", "", why)
    if "output" in given:
        why = "A .npz file with named arrays, never over a file that exists."
        yield Finding(DIFFERENT, "output=", "numpy.load(output)['values']", why)


def inflation_finding(expression: str) -> Finding:
    """Return what there is to say of errors that are multiplied with (2 N)^(1/4)."""
    why = "N is the number of voxels that constrain the fit. All of a cube that is mostly empty inflates the errors."
    fix = "run(..., inflate='auto'), with errors as they are: N of detected voxels where these are few"
    size = "(N of all / N detected)^(1/4) in every error bar: 1.8 where a tenth is detected"
    return Finding(NOTE, expression, fix, why, size)


_SAMPLER_IDLE = {
    "rng": "It has no effect: run(seed=...) decides.",
    "inc": "It has no effect: the walk tunes itself.",
    "dec": "It has no effect: the walk tunes itself.",
    "nprocesses": "It never changes a result; upstream shares niters out to that many chains.",
    "precision": "It only sets the first steps; it may be left out.",
    "nchains": "It is an argument of run(), not an attribute (upstream's neither).",
}


#: Attributes of a cube maker that its files go by.
HEADER = ("specsys", "radesys", "equinox")


@dataclasses.dataclass(frozen=True)
class _Attributes:
    """Attributes of the objects that scripts have: which of them are there."""

    def find(self, kind: str, name: str, stored: bool, text: str) -> Finding | None:
        """Return what there is to say of ``object.name``."""
        if name.startswith("__"):
            return None
        if kind == "sampler":
            return self._sampler(name, stored, text)
        if kind == "cube maker":
            return self._maker(name, stored, text)
        return None

    def _sampler(self, name: str, stored: bool, text: str) -> Finding | None:
        if name in _SAMPLER_IDLE and stored:
            return Finding(NOTE, text, "", _SAMPLER_IDLE[name])
        from gastimator_bridge import gastimator

        known = sorted({*dir(gastimator), *vars(gastimator(len))})
        if name in known:
            return None
        near = difflib.get_close_matches(name, [k for k in known if not k.startswith("_")], 1)
        why = "Nothing reads it." if stored else "There is no such attribute."
        return Finding(NOTE if stored else CHANGE, text, f"{near[0]}?" if near else "", why)

    def _maker(self, name: str, stored: bool, text: str) -> Finding | None:
        if name in ("model_cube", *HEADER) or (name in TELESCOPE and not stored):
            return None
        if stored:
            why = "Nothing reads it: an object keeps no state, and what is given to a call is used in that call."
            return Finding(NOTE if name not in (*GALAXY, *TELESCOPE) else CHANGE, text, "an argument of the call", why)
        why = "An object has no other attributes than its arguments of the call: intermediate arrays are not kept."
        return Finding(CHANGE, text, "returnClouds=True for clouds and velocities", why)


ATTRIBUTES = _Attributes()


def python2_finding(line: str, mended: str) -> Finding:
    """Return what there is to say of a statement of Python 2."""
    return Finding(CHANGE, line, mended, "Python 3 has no such statement.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_true(value: Any) -> bool:
    return isinstance(value, bool | int) and bool(value)


def _is_given(given: Mapping[str, ast.expr], name: str, value: Value) -> bool:
    """Whether an argument is there, and not one of those that mean "not given"."""
    if name not in given:
        return False
    node = given[name]
    known = value(node)
    empty = known in (False, 0, "", [], [0, 0], [0.0, 0.0]) and known is not None
    return not empty and not (isinstance(node, ast.Constant) and node.value is None)
