"""`KinMS` where it was before KinMS 2 was released: a module of that name, whose function returned the cube itself.

The first class of that name was imported from here as well. What is returned is therefore an array that has a method
``model_cube``, which returns it.
"""

import importlib
from typing import Any

import numpy as np
from scipy import interpolate

from kinms import KinMS as _KinMS
from kinms.errors import InputError, InputTypeError

#: A star brought numpy and interpolate along, and scripts count on it.
__all__ = ["KinMS", "interpolate", "np"]

#: Positional order of KinMS 1's function, as scripts call it.
_ORDER = (
    *("xs", "ys", "vs", "cellSize", "dv", "beamSize", "inc", "gasSigma", "sbProf", "sbRad", "velRad", "velProf"),
    *("fileName", "diskThick", "cleanOut", "ra", "dec", "nSamps", "posAng", "intFlux", "inClouds", "vLOS_clouds"),
    *("flux_clouds", "vSys", "restFreq", "phaseCen", "vOffset", "fixSeed", "vRadial", "vPosAng", "vPhaseCen"),
    *("returnClouds", "gasGrav"),
)
#: The class before its release had posAng behind inc: a number there, where the function has a profile.
_CLASS_ORDER = (*_ORDER[:7], "posAng", "gasSigma", "diskThick", "flux_clouds", "sbProf", "sbRad", "velRad", "velProf")
#: Early scripts have all names in small letters.
_SPELT = {name.lower(): name for name in (*_ORDER, "phaseCent", "vPhaseCent", "massDist", "seed")}
_FIRST_REST_FREQUENCY = 115.271e9  # Hz, the default then


class _Cube(np.ndarray):
    """The cube, for both who take the call's result for it and who call ``model_cube`` first."""

    drawn: Any = None

    def model_cube(self, toplot: bool = False, **plot: Any) -> np.ndarray:
        cube = self.view(np.ndarray)
        if toplot and self.drawn is not None:
            self.drawn(**plot)
        return cube


def KinMS(*args: Any, **kwargs: Any) -> Any:
    """Return the cube for the arguments of KinMS 1, or of the class before its release."""
    if len(args) > len(_ORDER):
        raise InputTypeError("the number of arguments of KinMS", len(args), f"at most {len(_ORDER)} by position")
    order = _CLASS_ORDER if len(args) > 9 and np.size(args[8]) == 1 else _ORDER
    given = dict(zip(order, args, strict=False))
    for key, value in kwargs.items():
        name = _SPELT.get(key.lower(), key)
        if name in given:
            raise InputTypeError(name, "given twice", "one value, by position or by name")
        given[name] = value
    if np.any(given.pop("vRadial", 0.0)):
        fix = "Give radial_motion_func=radial_motion.pure_radial(velRad, vRadial), from kinms.radial_motion."
        raise InputError("vRadial", "given", "no such argument since KinMS 3", fix)
    centre = np.asarray(given.pop("phaseCen", (0.0, 0.0)), dtype=float)
    if "vPhaseCen" in given:  # it counted from where phaseCen counts from, vPhaseCent counts from phaseCent
        given["vPhaseCent"] = np.asarray(given.pop("vPhaseCen"), dtype=float) - centre
    given.setdefault("phaseCent", centre)
    if gravity := given.pop("gasGrav", False):
        given["massDist"] = gravity
    if not np.any(given.get("vPosAng", 0.0)):
        given.pop("vPosAng", None)  # it meant: as posAng
    # Zero and False stood for "not given".
    for name in ("flux_clouds", "inClouds", "vLOS_clouds", "fileName"):
        if name in given and np.size(given[name]) <= 1 and not np.any(np.asarray(given[name], dtype=object)):
            given.pop(name)
    given.setdefault("posAng", 0.0)
    given.setdefault("restFreq", _FIRST_REST_FREQUENCY)
    model = _KinMS(**given)
    result = model.model_cube()
    if isinstance(result, tuple):
        return result
    cube = result.view(_Cube)
    cube.drawn = lambda **plot: model.model_cube(toplot=True, **plot)
    return cube


# A module that is imported later would take the function's place here.
_function = KinMS
importlib.import_module(f"{__name__}.KinMS")
KinMS = _function
