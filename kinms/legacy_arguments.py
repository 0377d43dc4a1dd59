"""The arguments of upstream's `KinMS` calls: their names, order, defaults and checks, in both call styles."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kinms.errors import InputError, InputTypeError, UnknownNameError
from kinms.grid import HALF_SKY, MOST, Beam
from kinms.records import FloatArray, check_array, check_scalar, check_scalar_or_array, check_unmasked

__all__ = [
    "GALAXY",
    "KINMS2",
    "TELESCOPE",
    "Galaxy",
    "Telescope",
    "bind",
    "everything_at_once",
    "flag",
    "per_radius",
    "upstream_names",
]

REST_FREQUENCY = 230.542e9  # Hz, upstream's default
CLOUDLETS = 500_000  # upstream's default
SEED = 100


@contextlib.contextmanager
def upstream_names(**names: str) -> Iterator[None]:
    """Raise what the core finds wrong again, under the name the script knows."""
    try:
        yield
    except (InputError, InputTypeError) as error:

        def rename(text: str) -> str:
            return re.sub(r"\b[A-Za-z_]+\b", lambda word: names.get(word[0], word[0]), text)

        v = error.values
        raise type(error)(rename(v["name"]), v["got"], rename(v["expected"]), rename(v["fix"])) from None


_ARCSEC, _SPEED, _ANY = "arcsec", "km / s", ""
#: Units of what may come as a quantity or a column of a table; fluxes of profiles and clouds are on any scale.
_UNITS = {
    **dict.fromkeys(("xs", "ys", "cellSize", "beamSize", "diskThick", "sbRad", "velRad", "inClouds"), _ARCSEC),
    **dict.fromkeys(("phaseCent", "vPhaseCent"), _ARCSEC),
    **dict.fromkeys(
        ("vs", "dv", "spectral_resolution", "gasSigma", "velProf", "vLOS_clouds", "vOffset", "vSys"), _SPEED
    ),
    **dict.fromkeys(("inc", "posAng", "vPosAng", "ra", "dec"), "deg"),
    **dict.fromkeys(("sbProf", "flux_clouds", "multiple_line_lams", "multiple_line_relflux"), _ANY),
    **{"restFreq": "Hz", "intFlux": "Jy km / s"},
}


def _number(name: str, value: Any) -> Any:
    """Return what has a unit in ours, as a plain number or array; refuse what is masked, whose values mean nothing."""
    check_unmasked(name, value)
    unit = getattr(value, "unit", None)
    if unit is None or (wanted := _UNITS.get(name)) is None:
        return value
    if wanted == _ANY or str(unit) == "":
        return np.asarray(value)
    from astropy.units import Quantity, UnitsError

    if name == "beamSize" and np.size(value) > 2:
        raise InputError(name, f"in {unit}", "plain numbers: [bmaj, bmin] in arcsec, bpa in degrees")
    try:
        return Quantity(value).to_value(wanted)
    except (UnitsError, TypeError):
        raise InputError(name, f"in {unit}", f"a number, or a quantity in {wanted}") from None


def _without_units(record: Any) -> None:
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):  # so are quantities, columns and masked arrays
            object.__setattr__(record, field.name, _number(field.name, value))


def _given(name: str, value: Any) -> FloatArray | None:
    """Return a copy as an array, or None for what upstream takes as absent: None, False, an empty list."""
    if value is None or value is False:
        return None
    array = check_array(name, value)
    return array if array.size else None


def flag(name: str, value: Any) -> bool:
    """Return a switch as a bool; anything but True, False, 1 and 0 is a misplaced argument."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise InputTypeError(name, repr(value), "True or False")


def _pair(name: str, value: Any) -> FloatArray:
    return check_array(name, (0.0, 0.0) if value is None else value, shape=(2,))


def _optional(name: str, value: Any, default: float) -> float:
    return default if value is None else check_scalar(name, value)


def per_radius(
    name: str,
    value: Any,
    radii_name: str,
    radii: FloatArray | None,
    *,
    minimum: float = -np.inf,
    maximum: float = np.inf,
) -> Any:
    """Return a number (one-element arrays included), or an array with one value per radius."""
    if np.size(value) == 1:
        return check_scalar(name, value, minimum=minimum, maximum=maximum)
    length = None if radii is None else radii.size
    with upstream_names(radius=radii_name):
        return check_scalar_or_array(name, value, length, minimum=minimum, maximum=maximum)


@dataclasses.dataclass(frozen=True)
class Telescope:
    """What KinMS 3 takes in its constructor, in its order; checked."""

    xs: Any
    ys: Any
    vs: Any
    cellSize: Any
    dv: Any
    beamSize: Any
    nSamps: Any = None
    seed: Any = None
    fixSeed: Any = True
    cleanOut: Any = False
    huge_beam: Any = False
    verbose: Any = False
    multiple_line_lams: Any = False
    spectral_resolution: Any = 0.0

    def __post_init__(self) -> None:
        _without_units(self)
        put = functools.partial(object.__setattr__, self)
        for name in ("xs", "ys", "vs", "cellSize", "dv"):
            put(name, check_scalar(name, getattr(self, name), minimum=0.0, exclusive=True))
        put("beamSize", _beam_axes(self.beamSize))
        for name in ("fixSeed", "cleanOut", "huge_beam", "verbose"):
            put(name, flag(name, getattr(self, name)))
        put("nSamps", CLOUDLETS if self.nSamps is None else int(check_scalar("nSamps", self.nSamps, minimum=1.0)))
        seed = check_array("seed", SEED if self.seed is None else self.seed, minimum=0.0, maximum=2.0**53)
        if np.any(seed % 1.0):
            raise InputError("seed", self.seed, "a whole number, or several")
        put("seed", [int(s) for s in seed.ravel()])
        put("spectral_resolution", check_scalar("spectral_resolution", self.spectral_resolution, minimum=0.0))
        lams = _given("multiple_line_lams", self.multiple_line_lams)
        lams = np.ones(1) if lams is None else check_array("multiple_line_lams", lams, shape=(-1,))
        if lams.min() <= 0.0:
            raise InputError("multiple_line_lams", f"{lams.min():g} at its smallest", "wavelengths > 0")
        put("multiple_line_lams", lams)
        for name, step in (("xs", "cellSize"), ("ys", "cellSize"), ("vs", "dv")):
            size, unit = getattr(self, name), getattr(self, step)
            if not 0.5 < size / unit < MOST:
                few = size < unit
                wanted = f"at least one {step} ({unit:g})" if few else f"at most {MOST} times {step} ({unit:g})"
                raise InputError(name, f"{size:g}", wanted)

    def _count(self, name: str, step: str) -> int:
        return round(getattr(self, name) / getattr(self, step))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(nv, ny, nx): the sizes, rounded to whole channels and pixels."""
        return self._count("vs", "dv"), self._count("ys", "cellSize"), self._count("xs", "cellSize")

    @property
    def beam(self) -> Beam | None:
        """The beam, None for a clean cube."""
        return None if self.cleanOut else Beam(*self.beamSize)


def _beam_axes(value: Any) -> FloatArray:
    """Return beamSize as [bmaj, bmin, bpa]: axes in either order, bpa from 0 to 180."""
    axes = np.atleast_1d(check_array("beamSize", value))
    if axes.ndim != 1 or not 1 <= axes.size <= 3:
        raise InputError("the shape of beamSize", axes.shape, "one number, [bmaj, bmin] or [bmaj, bmin, bpa]")
    bmaj, bmin, bpa = {1: (axes[0], axes[0], 0.0), 2: (*axes, 0.0), 3: tuple(axes)}[axes.size]
    if min(bmaj, bmin) <= 0.0:
        raise InputError("beamSize", f"{min(bmaj, bmin):g}", "axes > 0 in arcsec")
    if max(bmaj, bmin) > HALF_SKY:
        raise InputError("beamSize", f"{max(bmaj, bmin):g}", f"axes <= {HALF_SKY:g} arcsec")
    return np.array([max(bmaj, bmin), min(bmaj, bmin), bpa % 180.0])


@dataclasses.dataclass(frozen=True)
class Galaxy:
    """What KinMS 3 takes in model_cube, in its order."""

    inc: Any = None
    posAng: Any = None
    gasSigma: Any = 0
    diskThick: Any = 0
    flux_clouds: Any = None
    sbProf: Any = None
    sbRad: Any = None
    velRad: Any = None
    velProf: Any = None
    inClouds: Any = None
    vLOS_clouds: Any = None
    massDist: Any = None
    radial_motion_func: Any = None
    intFlux: Any = None
    phaseCent: Any = (0, 0)
    vOffset: Any = 0
    vPosAng: Any = None
    vPhaseCent: Any = (0, 0)
    returnClouds: Any = False
    toplot: Any = False
    fileName: Any = ""
    vSys: Any = 0
    bunit: Any = "Jy/beam"
    ra: Any = None
    dec: Any = None
    restFreq: Any = None
    multiple_line_relflux: Any = False
    asymmetric_drift: Any = False

    def __post_init__(self) -> None:
        _without_units(self)
        put = functools.partial(object.__setattr__, self)
        for name in _ARRAYS:
            put(name, _given(name, getattr(self, name)))
        for name in ("gasSigma", "diskThick"):
            put(name, check_array(name, getattr(self, name)))
        for name in ("inc", "posAng"):
            if getattr(self, name) is None and self.vLOS_clouds is None:
                raise InputTypeError(name, "missing", "an angle in degrees, or one per velRad")
        for name in ("phaseCent", "vPhaseCent"):
            put(name, _pair(name, getattr(self, name)))
        for name in ("vOffset", "vSys", "intFlux"):
            put(name, _optional(name, getattr(self, name), 0.0))
        put("restFreq", _optional("restFreq", self.restFreq, REST_FREQUENCY))
        for name in ("returnClouds", "toplot", "asymmetric_drift"):
            put(name, flag(name, getattr(self, name)))
        if self.radial_motion_func is False:
            put("radial_motion_func", None)
        if self.radial_motion_func is not None and not callable(self.radial_motion_func):
            raise InputTypeError("radial_motion_func", repr(self.radial_motion_func), "a callable f(r, theta, inc)")
        if not isinstance(self.bunit, str):
            raise InputTypeError("bunit", repr(self.bunit), "a unit as text")
        if self.fileName is not None and not isinstance(self.fileName, (str, os.PathLike)):
            raise InputTypeError("fileName", repr(self.fileName), "a path without its _simcube.fits, or None")
        if self.inClouds is None:
            for name in ("flux_clouds", "vLOS_clouds"):
                if getattr(self, name) is not None:
                    raise InputTypeError(name, "given without inClouds", "inClouds with it")
            for name in ("sbProf", "sbRad"):
                if getattr(self, name) is None:
                    raise InputTypeError(name, "missing", "sbProf with sbRad, or inClouds")


#: Arguments that may be arrays, or absent.
_ARRAYS = (
    *("inc", "posAng", "flux_clouds", "sbProf", "sbRad", "velRad", "velProf", "inClouds", "vLOS_clouds", "massDist"),
    *("vPosAng", "multiple_line_relflux"),
)
TELESCOPE = tuple(f.name for f in dataclasses.fields(Telescope))
GALAXY = tuple(f.name for f in dataclasses.fields(Galaxy))
#: Positional order of the KinMS 2 constructor.
KINMS2 = (
    *("xs", "ys", "vs", "cellSize", "dv", "beamSize", "inc", "posAng", "gasSigma", "diskThick", "flux_clouds"),
    *("sbProf", "sbRad", "velRad", "velProf", "inClouds", "vLOS_clouds", "massDist", "radial_motion_func"),
    *("ra", "dec", "nSamps", "seed", "intFlux", "vSys", "phaseCent", "vOffset", "vPosAng", "vPhaseCent", "restFreq"),
    *("fileName", "fixSeed", "cleanOut", "returnClouds", "huge_beam", "verbose", "skySampler", "bunit"),
)
#: Any of these in the constructor tells KinMS 2's style.
_TELLING = ("posAng", "sbProf", "sbRad", "velRad", "velProf", "inClouds", "vLOS_clouds")


def everything_at_once(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a constructor call is of KinMS 2's style: geometry and all."""
    profile = KINMS2.index("sbProf")  # there KinMS 3 has `verbose`
    if any(name in kwargs for name in _TELLING) or len(args) > len(TELESCOPE):
        return True
    if len(args) > profile and not np.isscalar(args[profile]):
        return True
    early = [name for name in kwargs if name in GALAXY]
    if early:
        raise InputTypeError(
            early[0],
            "given to the constructor without posAng or a profile",
            "all of the disc in the constructor (KinMS 2), or all of it in model_cube (KinMS 3)",
        )
    return False


def bind(
    where: str, order: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any], more: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the arguments by name; ``order`` is that of the positional ones, ``more`` may be given by name only."""
    if len(args) > len(order):
        raise InputTypeError(f"the number of arguments of {where}", len(args), f"at most {len(order)} by position")
    bound = dict(zip(order, args, strict=False))
    for name, value in kwargs.items():
        if name not in order and name not in more:
            raise UnknownNameError(f"argument of {where}", name, [*order, *more])
        if name in bound:
            raise InputTypeError(name, "given twice", "one value, by position or by name")
        bound[name] = value
    return bound
