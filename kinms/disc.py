"""All that the galaxy is: `Disc` and given `Cloudlets`; geometry and signs.

CONVENTIONS in short: theta is the azimuth in the disc plane from the receding major axis,

    (east, north) = R cos(theta) u_maj + (R sin(theta) cos i - z sin i) u_min
    u_maj = (sin pa, cos pa),  u_min = (cos pa, -sin pa)
    v_los = v_sys + sin i [v_circ(R) cos(theta) + v_rad(R) sin(theta)]
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from kinms.errors import InputError, InputTypeError, UnknownNameError
from kinms.flows import Flow
from kinms.profiles import BrightnessLaw, RotationLaw
from kinms.records import FloatArray, Record, check_array, check_radii, check_scalar, check_scalar_or_array

__all__ = ["Cloudlets", "Disc", "sky_axes"]


def sky_axes(pa: float | FloatArray) -> tuple[Any, Any]:
    """Return (sin pa, cos pa): u_maj = (sin, cos) and u_min = (cos, -sin) in (east, north)."""
    if isinstance(pa, float):
        return math.sin(math.radians(pa)), math.cos(math.radians(pa))
    angle = np.radians(pa)
    return np.sin(angle), np.cos(angle)


#: A parameter's path taken apart: field of the disc, field of that or "", index or None.
Parts = tuple[str, str, int | None]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Cloudlets(Record):
    """Point sources in place of a surface brightness law: light without any symmetry.

    Parameters
    ----------
    positions : array_like, shape (n, 3)
        arcsec. Without `v_los`: in the disc, along the receding major axis, along the in-plane axis that u_min
        projects, and height z; they are then projected like the rest of the disc. With `v_los`: on the sky,
        (east, north, depth) from the disc's centre, whatever its inclination and position angle.
    flux : array_like, shape (n,), optional
        Relative fluxes, negative for absorption; default equal. The disc's `flux` scales their sum.
    v_los : array_like, shape (n,), optional
        Line-of-sight velocities relative to the disc's `v_sys`, km/s.

    Raises
    ------
    InputError
        If the shapes do not match, or the fluxes sum to zero.
    """

    positions: FloatArray
    flux: FloatArray | None = None
    v_los: FloatArray | None = None

    def __post_init__(self) -> None:
        positions = check_array("positions", self.positions, shape=(-1, 3))
        if positions.shape[0] == 0:
            raise InputError("positions", "empty", "at least one cloudlet")
        object.__setattr__(self, "positions", positions)
        for name in ("flux", "v_los"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check_array(name, value, shape=(positions.shape[0],)))
        if self.flux is not None and abs(self.flux.sum()) <= 1e-12 * np.abs(self.flux).sum():
            raise InputError("flux", "zero in sum", "cloudlet fluxes whose sum is not zero")

    def __repr__(self) -> str:
        return f"<Cloudlets: {self.positions.shape[0]}{', with v_los' if self.v_los is not None else ''}>"


#: Fields of a disc that may depend on radius, with their bounds.
RADIAL = {"inc": (0.0, 180.0), "pa": (-np.inf, np.inf), "sigma_gas": (0.0, np.inf), "scale_height": (0.0, np.inf)}
#: Model cubes are in single precision, whose numbers end at 3e38.
MOST_FLUX = 1e30
UNITS = {
    "inc": "deg",
    "pa": "deg",
    "pa_kin": "deg",
    "v_sys": "km/s",
    "sigma_gas": "km/s",
    "lsf_sigma": "km/s",
    "scale_height": "arcsec",
    "flux": "Jy km/s",
    "east": "arcsec",
    "north": "arcsec",
    "east_kin": "arcsec",
    "north_kin": "arcsec",
    "radius": "arcsec",
    "scale": "arcsec",
    "width": "arcsec",
    "r_eff": "arcsec",
    "r_turn": "arcsec",
    "v_max": "km/s",
    "velocity": "km/s",
    "v2t": "km/s",
    "v2r": "km/s",
    "v1t": "km/s",
    "v1r": "km/s",
    "phi_b": "deg",
    "mass": "Msun",
    "distance": "Mpc",
    "sigma": "km/s",
}
_PATH = re.compile(r"(?P<path>[A-Za-z_][\w.]*)(?:\[(?P<index>\d+)\])?\Z")


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Disc(Record):
    """A rotating disc: light, rotation and orientation.

    Parameters
    ----------
    surface_brightness : BrightnessLaw or Cloudlets
        Where the light is.
    rotation : RotationLaw, optional
        Circular velocity; may be left out only when cloudlets carry their own velocities.
    inc : float or array_like
        Inclination, degrees, 0 (face-on) to 180; above 90 the disc turns the other way round on the sky.
    pa : float or array_like
        Position angle of the receding half of the major axis, degrees, from North through East.
    v_sys : float
        Systemic velocity, km/s.
    sigma_gas : float or array_like
        Velocity dispersion, 1 sigma, km/s.
    scale_height : float or array_like
        Of the two-sided exponential exp(-abs(z) / h), arcsec.
    flux : float
        Total flux, Jy km/s, inside the field or not; negative for absorption.
    east, north : float
        Centre, arcsec from the grid's reference position.
    radius : array_like, shape (n,), optional
        Radii (arcsec) of the parameters given as arrays: a warp. They interpolate linearly, end values held.
    pa_kin : float or array_like, optional
        Kinematic position angle, where it is not the photometric one.
    east_kin, north_kin : float, optional
        Kinematic centre on the sky, where it is not the photometric one.
    flow : Flow, optional
        Non-circular motion.
    lsf_sigma : float
        Spectral response of the instrument, 1 sigma, km/s; adds in quadrature to `sigma_gas`.

    Raises
    ------
    InputError, InputTypeError
        At construction, for any value that is not finite, out of bounds or of the wrong shape.

    Notes
    -----
    With a kinematic centre or position angle of their own, velocities are those of a disc with the same inclination
    and rotation curve, with that centre and position angle on the sky.

    Examples
    --------
    >>> from kinms.profiles import ArctanCurve, ExponentialDisc
    >>> disc = Disc(surface_brightness=ExponentialDisc(5.0), rotation=ArctanCurve(200.0, 2.0), inc=45, pa=270)
    >>> disc.replace(inc=60).inc, disc.with_values({"rotation.v_max": 210}).value("rotation.v_max")
    (60.0, 210.0)
    """

    surface_brightness: BrightnessLaw | Cloudlets
    rotation: RotationLaw | None = None
    inc: float | FloatArray
    pa: float | FloatArray
    v_sys: float = 0.0
    sigma_gas: float | FloatArray = 0.0
    scale_height: float | FloatArray = 0.0
    flux: float = 1.0
    east: float = 0.0
    north: float = 0.0
    radius: FloatArray | None = None
    pa_kin: float | FloatArray | None = None
    east_kin: float | None = None
    north_kin: float | None = None
    flow: Flow | None = None
    lsf_sigma: float = 0.0

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        light = self.surface_brightness
        if not isinstance(light, (BrightnessLaw, Cloudlets)):
            raise InputTypeError("surface_brightness", repr(light), "a brightness law or Cloudlets")
        given_velocities = isinstance(light, Cloudlets) and light.v_los is not None
        if not isinstance(self.rotation, RotationLaw) and not (self.rotation is None and given_velocities):
            raise InputTypeError("rotation", repr(self.rotation), "a rotation law", "For instance ArctanCurve.")
        if self.flow is not None and not isinstance(self.flow, Flow):
            raise InputTypeError("flow", repr(self.flow), "a Flow or None", "For instance RadialFlow.")
        if self.radius is not None:
            set_field(self, "radius", check_radii("radius", self.radius))
        length = None if self.radius is None else self.radius.size
        for name, (low, high) in RADIAL.items():
            value = check_scalar_or_array(name, getattr(self, name), length, minimum=low, maximum=high)
            set_field(self, name, value)
        if self.pa_kin is not None:
            set_field(self, "pa_kin", check_scalar_or_array("pa_kin", self.pa_kin, length))
        for name in ("v_sys", "east", "north"):
            set_field(self, name, check_scalar(name, getattr(self, name)))
        set_field(self, "flux", check_scalar("flux", self.flux, minimum=-MOST_FLUX, maximum=MOST_FLUX))
        for name in ("east_kin", "north_kin"):
            if getattr(self, name) is not None:
                set_field(self, name, check_scalar(name, getattr(self, name)))
        set_field(self, "lsf_sigma", check_scalar("lsf_sigma", self.lsf_sigma, minimum=0.0))

    # -- values at a radius ------------------------------------------------------------------------------------

    def at_radius(self, name: str, r: FloatArray) -> float | FloatArray:
        """Return the field ``name`` at radii ``r``: the scalar itself, or the table interpolated (end values held)."""
        value = getattr(self, name)
        if self.radius is None or not np.ndim(value):
            return value
        return np.asarray(np.interp(r, self.radius, value))

    def line_sigma(self, r: FloatArray) -> FloatArray:
        """Return the width of the line (km/s) at radii ``r``: gas dispersion and spectral response in quadrature."""
        sigma = np.hypot(self.at_radius("sigma_gas", r), self.lsf_sigma)
        return np.asarray(np.broadcast_to(sigma, np.shape(r)), dtype=float)

    @property
    def is_warped(self) -> bool:
        """Whether the orientation depends on radius."""
        return not (isinstance(self.inc, float) and isinstance(self.pa, float))

    @property
    def is_thick(self) -> bool:
        """Whether any radius has a height."""
        h = self.scale_height
        return h > 0.0 if isinstance(h, float) else bool(np.any(h > 0.0))

    def project(
        self, x: FloatArray, y: FloatArray, z: FloatArray | float, r: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Project disc coordinates (R cos theta, R sin theta, z), arcsec, to (east, north) on the sky."""
        sin_i, cos_i = sky_axes(self.at_radius("inc", r))
        sin_pa, cos_pa = sky_axes(self.at_radius("pa", r))
        minor = y * cos_i - z * sin_i
        return self.east + x * sin_pa + minor * cos_pa, self.north + x * cos_pa - minor * sin_pa

    def line_of_sight(self, x: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
        """Return v_los - v_sys (km/s) at disc coordinates (R cos theta, R sin theta) with R = ``r``, arcsec."""
        if self.rotation is None:
            raise InputTypeError("rotation", "None", "a rotation law")
        inc = self.at_radius("inc", r)
        if self.own_kinematics:
            x, y, r = self._kinematic_plane(x, y, r)
        safe = np.maximum(r, 1e-12)
        v = self.rotation(r) * (x / safe) * np.sin(np.radians(inc))
        if self.flow is not None:
            v = v + self.flow.v_los(r, np.arctan2(y, x), inc)
        return np.asarray(v, dtype=float)

    @property
    def own_kinematics(self) -> bool:
        """Whether velocities have a centre or a position angle of their own."""
        return self.pa_kin is not None or self.east_kin is not None or self.north_kin is not None

    def _kinematic_plane(
        self, x: FloatArray, y: FloatArray, r: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Disc coordinates of the same midplane sky position, seen from the kinematic centre and position angle."""
        east, north = self.project(x, y, 0.0, r)
        east = east - (self.east if self.east_kin is None else self.east_kin)
        north = north - (self.north if self.north_kin is None else self.north_kin)
        sin_pa, cos_pa = sky_axes(self.at_radius("pa" if self.pa_kin is None else "pa_kin", r))
        cos_i = np.cos(np.radians(self.at_radius("inc", r)))
        cos_i = np.where(np.abs(cos_i) < 1e-6, 1e-6, cos_i)
        x_k = east * sin_pa + north * cos_pa
        y_k = (east * cos_pa - north * sin_pa) / cos_i
        return x_k, y_k, np.hypot(x_k, y_k)

    # -- parameters by path ------------------------------------------------------------------------------------

    def parameter_names(self) -> list[str]:
        """Return the dotted paths of all numeric parameters, such as ``inc`` and ``rotation.v_max``."""
        names = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Record) and not isinstance(value, Cloudlets):
                names += [
                    f"{field.name}.{inner.name}"
                    for inner in dataclasses.fields(value)  # type: ignore[arg-type]
                    if isinstance(getattr(value, inner.name), (float, np.ndarray))
                ]
            elif not isinstance(value, Cloudlets) and (value is not None or field.name.endswith("_kin")):
                names.append(field.name)
        return names

    def value(self, path: str) -> float | FloatArray:
        """Return a parameter: ``"inc"``, ``"rotation.v_max"``, ``"rotation.velocity[2]"``.

        Raises
        ------
        UnknownNameError
            If there is no such parameter; lists those there are.
        """
        head, tail, index = self._split(path)
        value: Any = getattr(getattr(self, head), tail) if tail else getattr(self, head)
        if value is None:  # kinematic values default to the photometric ones
            value = getattr(self, head.removesuffix("_kin"))
        if index is None:
            return value
        if np.ndim(value) == 0:
            raise InputError(path, "an index into a scalar", "the name alone, or an array parameter")
        if index >= np.size(value):
            raise InputError(path, f"out of range for {np.size(value)} values", f"an index below {np.size(value)}")
        return float(value[index])

    def with_values(self, values: Mapping[str, Any]) -> Disc:
        """Return a disc with the parameters at these paths changed; all of them are checked together."""
        return self.with_parts({self._split(path): new for path, new in values.items()})

    def parts(self, path: str) -> Parts:
        """Return a path taken apart, checked, for `with_parts`: (field, field of that or "", index or None).

        Raises
        ------
        UnknownNameError, InputError
            If there is no such parameter.
        """
        if self._split(path)[2] is not None:
            self.value(path)  # checks the index
        return self._split(path)

    def with_parts(self, values: Mapping[Parts, Any]) -> Disc:
        """Return a disc with some parameters changed, as `with_values` does, for thousands of calls."""
        changes: dict[str, Any] = {}
        inner: dict[str, dict[str, Any]] = {}
        for (head, tail, index), new in values.items():
            target, key = (inner.setdefault(head, {}), tail) if tail else (changes, head)
            if index is not None:
                name = f"{head}.{tail}" if tail else head
                self.value(f"{name}[{index}]")  # checks the index
                array = np.array(target.get(key, self.value(name)), dtype=float)
                array[index] = check_scalar(f"{name}[{index}]", new)
                new = array
            target[key] = new
        for head, fields in inner.items():
            changes[head] = getattr(self, head).replace(**fields)
        return self.replace(**changes)

    @staticmethod
    def unit(path: str) -> str:
        """Return the unit of the parameter at ``path``, an empty string where it has none."""
        return UNITS.get(path.partition("[")[0].rpartition(".")[2], "")

    def _has(self, head: str, tail: str) -> bool:
        """Whether there is such a parameter, without listing all of them."""
        value = getattr(self, head) if head in self.__dataclass_fields__ else None
        if isinstance(value, Cloudlets):
            return False
        if isinstance(value, Record):
            names = [field.name for field in dataclasses.fields(value)]  # type: ignore[arg-type]
            return tail in names and isinstance(getattr(value, tail), (float, np.ndarray))
        return not tail and head in self.__dataclass_fields__ and (value is not None or head.endswith("_kin"))

    def _split(self, path: str) -> Parts:
        match = _PATH.match(path)
        head, _, tail = match["path"].partition(".") if match else ("", "", "")
        if match is None or not self._has(head, tail):
            raise UnknownNameError("parameter", path, self.parameter_names())
        return head, tail, None if match["index"] is None else int(match["index"])
