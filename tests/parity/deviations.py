"""Where upstream 3.0.14 and this package differ, and what the independent reference says; it renders DEVIATIONS.md.

A row is a setting and one figure of its cube. Upstream's comes from goldens.json, ours from the package, and the
reference's from tests/physics/reference.py, for which the arguments of the call are read a second time, here, with
nothing of the package.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from settings import SETTINGS, Flow, Setting, run
from summaries import scales, summarise

HERE = Path(__file__).resolve().parent
GOLDENS = HERE / "goldens.json"
TABLE = HERE / "DEVIATIONS.md"


def _load_reference() -> Any:
    name = "physics_reference"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE.parent / "physics" / "reference.py")
        assert spec is not None and spec.loader is not None  # noqa: PT018
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


ref = _load_reference()

#: What bounds the error of our cubes without an estimate: Sampling's rule of nodes.
RULE = 1e-3
#: Points of one lattice; there are four, for the error of their mean.
POINTS = 2**16
LATTICES = 4


@dataclass(frozen=True)
class Found:
    """What there is of a cube: its summaries (and their standard deviation over seeds), and the cards of its file."""

    summary: dict[str, np.ndarray]
    header: dict[str, Any] | None = None
    std: dict[str, np.ndarray] | None = None


@dataclass(frozen=True)
class Deviation:
    """One row: which setting, which figure of it, and why upstream's is not ours."""

    setting: str
    figure: str
    of: Callable[[Found, Setting], float]
    reason: str
    #: Of what the figure's error is a thousandth: a key of `scales` and an index (or ``dv``, ``angle``).
    scale: tuple[str, int] = ("total", 0)


# -- the reference, from the arguments of a call ---------------------------------------------------------------------


def field_of(setting: Setting) -> Any:
    """The pixels and channels; velocities count from the disc's own."""
    nx, ny, nv = setting.shape
    scope = setting.scope
    return ref.Field(nv, ny, nx, scope["cellSize"], scope["dv"], v_ref=-setting.disc.get("vOffset", 0.0))


def beam_of(setting: Setting) -> tuple[float, float, float] | None:
    """(bmaj, bmin, bpa), None for a clean cube."""
    if setting.scope.get("cleanOut"):
        return None
    beam = np.atleast_1d(setting.scope["beamSize"]).tolist()
    bmaj, bmin, bpa = {1: lambda b: (b[0], b[0], 0.0), 2: lambda b: (*b, 0.0), 3: tuple}[len(beam)](beam)
    return bmaj, bmin, bpa


def table(radii: Any, values: Any) -> Callable[[np.ndarray], np.ndarray] | float:
    """A number, or a table whose end values are held."""
    return float(np.ravel(values)[0]) if np.size(values) == 1 else ref.held(radii, values)


def gas_speed_squared(mass: float, distance: float, enclosed: Callable[[np.ndarray], np.ndarray]) -> Any:
    """G M(<R) / R in (km/s)^2, as for a sphere: that of a point mass, times what lies within R."""
    point = ref.keplerian(mass, distance)
    return lambda r: point(r) ** 2 * enclosed(r)


def rotation_of(disc: dict[str, Any], sigma_gas: Any, enclosed: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Circular velocity with the gas's own pull and the pressure's."""
    radii = disc.get("velRad", disc.get("sbRad", [0.0, 1.0]))
    speed = table(radii, disc["velProf"])
    curve = speed if callable(speed) else ref.flat(speed)
    if "massDist" in disc:
        gas = gas_speed_squared(*disc["massDist"], enclosed)
        at_radii = np.array([0.0 if r == 0.0 else float(gas(np.array(r))) for r in radii])
        own = curve(np.asarray(radii, dtype=float))
        curve = ref.held(radii, np.where(own < 0.0, -1.0, 1.0) * np.sqrt(own**2 + at_radii))
    if not disc.get("asymmetric_drift"):
        return curve
    full = curve
    return lambda r: np.sign(full(r)) * np.sqrt(np.maximum(full(r) ** 2 - ref.at(sigma_gas, r) ** 2, 0.0))


def galaxy_of(setting: Setting) -> Any:
    """The disc as the reference takes it."""
    disc = setting.disc
    order = np.argsort(disc["sbRad"])
    sigma, r_table = ref.table(np.asarray(disc["sbRad"], float)[order], np.asarray(disc["sbProf"], float)[order])
    radii = disc.get("velRad", np.asarray(disc["sbRad"], float)[order])
    sigma_gas = table(radii, disc.get("gasSigma", disc.get("gasSgma", 0.0)))  # one setting misspells it
    east, north = -disc.get("phaseCent", [0.0, 0.0])[0], disc.get("phaseCent", [0.0, 0.0])[1]
    kinematic: dict[str, Any] = {}
    if "vPosAng" in disc:
        kinematic["pa_kin"] = disc["vPosAng"]
    if "vPhaseCent" in disc:
        kinematic |= {"east_kin": east - disc["vPhaseCent"][0], "north_kin": north + disc["vPhaseCent"][1]}
    flow = disc.get("radial_motion_func")
    if isinstance(flow, Flow):
        assert flow.name == "lopsided_flow"
        _, v_t, v_r, phi = flow.arguments
        kinematic["harmonic"] = (1, float(v_t[0]), float(v_r[0]), phi)
    light = ref.Galaxy(sigma, r_table, ref.flat(0.0), 0.0, 0.0).light
    return ref.Galaxy(
        sigma=sigma,
        r_table=r_table,
        v_circ=rotation_of(disc, sigma_gas, lambda r: np.interp(r, r_table, light / light[-1])),
        inc=table(radii, disc["inc"]),
        pa=table(radii, disc["posAng"]),
        sigma_gas=sigma_gas,
        flux=disc.get("intFlux", 1.0),
        east=east,
        north=north,
        **kinematic,
    )


def cloud_cube(setting: Setting) -> np.ndarray:
    """Flux of given clouds by voxel: upstream's +x is the approaching half of the major axis."""
    disc, field = setting.disc, field_of(setting)
    x, y, z = np.asarray(disc["inClouds"], dtype=float).T
    weight = np.asarray(disc.get("flux_clouds", np.ones(x.size)), dtype=float)
    weight = weight / weight.sum() * disc["intFlux"]
    if "vLOS_clouds" in disc:
        v, sigma = np.asarray(disc["vLOS_clouds"], dtype=float), np.zeros(x.size)
        return ref.deposit(field, -x, y, v, sigma, weight)
    r = np.hypot(x, y)
    radii = disc["velRad"]
    inc, pa = (np.radians(ref.at(table(radii, disc[name]), r)) for name in ("inc", "posAng"))
    u_maj, u_min = ref.axes(pa)
    across = -y * np.cos(inc) - z * np.sin(inc)
    sigma_gas = table(radii, disc["gasSigma"])
    within = np.sort(np.sqrt(x**2 + y**2 + z**2))
    curve = rotation_of(disc, sigma_gas, lambda r: np.searchsorted(within, r, side="right") / within.size)
    v = np.sin(inc) * curve(r) * np.divide(-x, r, out=0 * r, where=r > 0)
    sigma = np.broadcast_to(ref.at(sigma_gas, r), r.shape)
    return ref.deposit(field, -x * u_maj[0] + across * u_min[0], -x * u_maj[1] + across * u_min[1], v, sigma, weight)


def reference_cubes(setting: Setting) -> list[np.ndarray]:
    """Independent cubes [x, y, v] in the unit of the call: one of clouds, else one per lattice."""
    field, beam = field_of(setting), beam_of(setting)
    if "inClouds" in setting.disc:
        cubes = [cloud_cube(setting)]
    else:
        galaxy = galaxy_of(setting)
        seeds = np.random.SeedSequence(2).spawn(LATTICES)
        with np.errstate(invalid="ignore"):  # of NaN in a table
            cubes = [ref.point_cube(galaxy, field, POINTS, seed) for seed in seeds]
        lams = setting.scope.get("multiple_line_lams")
        if lams is not None:
            shifts = 299792.458 * (np.asarray(lams) / lams[0] - 1.0)
            moved = [replace(galaxy, v_sys=float(s), flux=galaxy.flux / len(shifts)) for s in shifts]
            cubes = [sum(ref.point_cube(g, field, POINTS, seed) for g in moved) for seed in seeds]
    return [ref.observe(cube, field, beam).T for cube in cubes]


# -- the three sides ---------------------------------------------------------------------------------------------------


def load_goldens() -> dict[str, Any]:
    """Everything upstream said."""
    return json.loads(GOLDENS.read_text())


def numbers(values: list[float | None] | float) -> np.ndarray:
    """A golden's list as an array, None as NaN."""
    return np.array([np.nan if v is None else v for v in np.atleast_1d(np.asarray(values, dtype=object))], dtype=float)


def upstream(golden: dict[str, Any]) -> Found | str:
    """Upstream's figures, or the class of its exception."""
    if "raises" in golden:
        return str(golden["raises"])
    if "summary" not in golden:
        return "NaN"
    summary = {name: numbers(one["mean"]) for name, one in golden["summary"].items()}
    scatter = {name: numbers(one["std"]) / np.sqrt(golden["seeds"]) for name, one in golden["summary"].items()}
    return Found(summary, golden.get("header"), scatter)


def ours(setting: Setting, orders: dict[str, list[str]], bright: np.ndarray | None = None) -> Found | str:
    """Our figures, or the class of our exception."""
    from astropy.io import fits

    import kinms

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", kinms.KinmsWarning)
        os.chdir(folder)
        try:
            found = run(setting, kinms, orders)
            header = dict(fits.getheader(found["file"])) if "file" in found else None
        except kinms.KinmsError as error:
            return type(error).__name__
        finally:
            os.chdir(before)
    step = setting.scope["cellSize"], setting.scope["dv"]
    return Found(summarise(found["cube"], *step, bright), header)


def reference(setting: Setting) -> Found:
    """The reference's figures, and twice the standard error of the mean over its lattices."""
    step = setting.scope["cellSize"], setting.scope["dv"]
    each = [summarise(cube, *step, np.zeros(0, int)) for cube in reference_cubes(setting)]
    summary = {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}
    error = {
        name: 2.0 * np.std([one[name] for one in each], axis=0) / np.sqrt(max(len(each) - 1, 1)) for name in each[0]
    }
    return Found(summary, None, error)


# -- figures -----------------------------------------------------------------------------------------------------------


def part(name: str, index: int = 0) -> Callable[[Found, Setting], float]:
    """One number of a summary."""
    return lambda found, setting: float(found.summary[name][index])


def excess(found: Found, setting: Setting) -> float:
    """Flux of a cube in Jy/beam over intFlux, less one, per mille."""
    bmaj, bmin, _ = beam_of(setting) or (0.0, 0.0, 0.0)
    pixels = np.pi * bmaj * bmin / (4.0 * np.log(2.0)) / setting.scope["cellSize"] ** 2
    flux = found.summary["total"][0] * setting.scope["dv"] / pixels
    return 1e3 * float(flux / setting.disc["intFlux"] - 1.0)


def velocity(found: Found, setting: Setting) -> float:
    """Mean velocity in the plane of the disc, km/s, of clouds on its receding major axis."""
    offset = float(found.summary["centre"][2]) - setting.disc["vOffset"]
    return offset / float(np.sin(np.radians(setting.disc["inc"])))


def gradient_angle(found: Found, setting: Setting) -> float:
    """Direction on the sky in which velocities grow, degrees from North through East, of a clean cube."""
    ww, wn, nn, _, wv, nv = found.summary["widths"]
    west, north = np.linalg.solve([[ww, wn], [wn, nn]], [wv, nv])
    return float(np.degrees(np.arctan2(-west, north)))


def file_flux(found: Found, setting: Setting) -> float:
    """Jy km/s that a reader of the file finds, going by its unit; of the reference, that of the disc."""
    header = found.header or {"BUNIT": "Jy/pixel"}
    scope = setting.scope
    beam = np.pi * header["BMAJ"] * header["BMIN"] * 3600.0**2 / (4.0 * np.log(2.0)) if "BMAJ" in header else 1.0
    pixels = beam / scope["cellSize"] ** 2 if header["BUNIT"] == "Jy/beam" else 1.0
    return float(found.summary["total"][0] * scope["dv"] / pixels)


def file_velocity(found: Found, setting: Setting) -> float:
    """Mean velocity, km/s, that a reader of the file finds; of the reference, that of a disc at vSys."""
    n = setting.shape[2] // 2
    dv = setting.scope["dv"]
    header = found.header or {"CRVAL3": 1e3 * setting.disc["vSys"], "CRPIX3": n + 1, "CDELT3": 1e3 * dv}
    channel = n + found.summary["centre"][2] / dv
    return float(header["CRVAL3"] + (channel + 1 - header["CRPIX3"]) * header["CDELT3"]) / 1e3


TOTAL, WEST, V = part("total"), part("centre", 0), part("centre", 2)
WW, WN, NN, VV, NV = (part("widths", i) for i in (0, 1, 2, 3, 5))

MIRROR = (
    "The cross term of upstream's Gaussian has the sign of a position angle from North through West, and sin^2(2 bpa) "
    "in place of sin(2 bpa)."
)
ROUND = "Positions are rounded about n / 2, which for odd n is an edge, and the beam is centred on that edge."
STATE = "Nothing but its class can be compared: upstream raises on a call that is meaningful."

ROWS = [
    Deviation("beam at 45 degrees", "West-North second moment, arcsec^2", WN, MIRROR, ("widths", 1)),
    Deviation("beam at 20 degrees", "West-North second moment, arcsec^2", WN, MIRROR, ("widths", 1)),
    Deviation("beam at 160 degrees", "West-North second moment, arcsec^2", WN, MIRROR, ("widths", 1)),
    Deviation("area of the beam", "excess of the flux, per mille", excess,
              "Upstream takes a FWHM of 2.355 sigma; it is (8 ln 2)^(1/2) = 2.35482.", ("digits", 0)),
    Deviation("beam of one pixel", "sum of the cube, Jy/beam", TOTAL,
              "Upstream takes the sum of the Gaussian at the pixels' centres for the area of the beam."),
    Deviation("beam wider than the field", "sum of the cube, Jy/beam", TOTAL,
              "Upstream cuts its kernel to the field and puts the flux that the beam carries out back inside."),
    Deviation("odd field", "mean position, arcsec West", WEST, ROUND, ("centre", 0)),
    Deviation("odd field, cleanOut", "mean position, arcsec West", WEST, ROUND, ("centre", 0)),
    Deviation("odd number of channels", "mean velocity, km/s", V, ROUND, ("centre", 2)),
    Deviation("half of the disc outside of the field", "sum of the cube, Jy/beam", TOTAL,
              "intFlux is that of the whole disc; upstream gives all of it to the part inside."),
    Deviation("half of the disc outside of the channels", "sum of the cube, Jy/beam", TOTAL,
              "intFlux is that of the whole line; upstream gives all of it to the part inside."),
    Deviation("wholly outside", "sum of the cube, Jy/beam", TOTAL,
              "Upstream divides by the flux inside, which is zero; the cube is NaN without a word."),
    Deviation("coarse table", "North-North second moment, arcsec^2", NN,
              "Upstream interpolates the cumulative light linearly: half of a uniform disc within half of its radius.",
              ("widths", 2)),
    Deviation("light of both signs", "North-North second moment, arcsec^2", NN,
              "Upstream inverts a cumulative light that is not monotonic; absorption is lost.", ("widths", 2)),
    Deviation("seed zero", "mean position, arcsec West", WEST,
              "Upstream multiplies its four seeds by seed: of zero, radius and azimuth come from the same numbers, "
              "and the disc is a spiral.", ("centre", 0)),
    Deviation("lopsided flow", "mean velocity, km/s", V,
              "Upstream's lopsided_flow is its bisymmetric one, m = 2 in place of 1.", ("centre", 2)),
    Deviation("kinematic angle", "direction of the velocity gradient, degrees", gradient_angle,
              "vPosAng is documented as an angle on the sky; upstream turns velocities by it in the plane of the disc.",
              ("angle", 0)),
    Deviation("kinematic centre", "mean velocity, km/s", V,
              "vPhaseCent is documented in x and y of the cube; upstream moves velocities in the plane of the disc, "
              "where x is the major axis.", ("centre", 2)),
    Deviation("counter-rotation with drift", "North-velocity second moment, arcsec km/s", NV,
              "Upstream takes the root of velProf^2 - gasSigma^2 and loses the sign.", ("widths", 5)),
    Deviation("counter-rotation with gas mass", "North-velocity second moment, arcsec km/s", NV,
              "Upstream takes the root of velProf^2 + G M / R and loses the sign.", ("widths", 5)),
    Deviation("gas mass alone", "velocity on a circle of 10 arcsec, km/s", velocity,
              "Upstream has 4.84 pc to the arcsec at 1 Mpc; it is 4.8481.", ("dv", 0)),
    Deviation("lines without multiple_line_relflux", "mean velocity, km/s", V,
              "Upstream draws as many lines as multiple_line_relflux has fluxes, by default one; here all are equal.",
              ("centre", 2)),
    Deviation("absorbing cloud", "West-West second moment, arcsec^2", WW,
              "Upstream convolves only channels whose sum is positive.", ("widths", 0)),
    Deviation("intFlux below zero", "sum of the cube, Jy/beam", TOTAL,
              "Upstream takes a flux below zero for none and makes the cube sum to one."),
    Deviation("file of a clean cube", "flux of the file by its unit, Jy km/s", file_flux,
              "Upstream writes Jy/beam and a beam into the header of a cube in Jy/pixel."),
    Deviation("velocity of a file", "mean velocity of the file, km/s", file_velocity,
              "Upstream's CRVAL3 is that of the first channel's upper edge, not of its centre.", ("centre", 2)),
    Deviation("NaN in a table", "sum of the cube, Jy/beam", TOTAL,
              "Upstream drops the clouds that have no velocity and gives their flux to others; here it is refused."),
    Deviation("radii out of order", "sum of the cube, Jy/beam", TOTAL,
              "Upstream integrates and interpolates a table that it takes for sorted; here it is refused."),
    Deviation("misspelt keyword", "velocity second moment, (km/s)^2", VV,
              "Upstream passes unknown keywords to a plot that is not made; here they are refused, with the nearest "
              "name.", ("widths", 3)),
    Deviation("two clouds with fluxes", "mean position, arcsec West", WEST,
              "Upstream compares the number of fluxes with max(inClouds.shape), which is 3 for two clouds.",
              ("centre", 0)),
    Deviation("more clouds than nSamps", "velocity second moment, (km/s)^2", VV,
              "Upstream has drawn nSamps velocities and lacks the others.", ("widths", 3)),
    Deviation("profile after clouds", "North-North second moment, arcsec^2", NN,
              "Upstream's object keeps the number of the last call's clouds.", ("widths", 2)),
    Deviation("clouds in a warp without a profile", "West-West second moment, arcsec^2", WW,
              "Upstream wants sbRad of the length of velRad for a warp, though there is no profile.", ("widths", 0)),
    Deviation("warp on velRad of another length", "West-North second moment, arcsec^2", WN,
              "Upstream wants sbRad of the length of velRad for a warp, though warps go by velRad.", ("widths", 1)),
    Deviation("one velocity", "velocity second moment, (km/s)^2", VV,
              "Upstream takes one number for velProf and then wants one per radius.", ("widths", 3)),
    Deviation("one beam axis in a file", "sum of the cube, Jy/beam", TOTAL,
              "Upstream takes one number for beamSize and then wants three for the header."),
]  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """The three figures of a row (text where there is no number) and what they may err by."""

    upstream: float | str
    ours: float | str
    reference: float
    tolerance: float
    upstream_error: float


def figures(row: Deviation, goldens: dict[str, Any]) -> Figures:
    """Compute a row."""
    setting = SETTINGS[row.setting]
    orders = {name: [argument[0] for argument in arguments] for name, arguments in goldens["signatures"].items()}
    theirs, mine = upstream(goldens["settings"][row.setting]), ours(setting, orders)
    true = reference(setting)
    value = row.of(true, setting)
    assert true.std is not None
    name, index = row.scale
    if name == "dv":  # not random; without dispersion clouds have the velocity of their channel's centre, on both sides
        tolerance, theirs_error = setting.scope["dv"] / float(np.sin(np.radians(setting.disc["inc"]))), 0.0
    elif name == "digits":  # nothing is random, and clouds are exact here; five digits are kept of upstream's
        tolerance, theirs_error = 0.05, 0.0
    elif name == "angle":  # a thousandth of a gradient turns it by as much; upstream's noise in it is that of WV, NV
        tolerance = float(np.degrees(2e-3))
        theirs_error = float(np.degrees(np.hypot(*theirs.std["widths"][4:]) / np.hypot(*theirs.summary["widths"][4:])))
    else:
        tolerance = RULE * float(np.atleast_1d(scales(true.summary)[name])[index]) + float(true.std[name][index])
        scatter = theirs.std[name] if isinstance(theirs, Found) else np.zeros(1)
        theirs_error = float(np.broadcast_to(scatter, max(scatter.size, index + 1))[index])
    return Figures(
        theirs if isinstance(theirs, str) else row.of(theirs, setting),
        mine if isinstance(mine, str) else row.of(mine, setting),
        value,
        tolerance,
        theirs_error,
    )


def text(value: float | str) -> str:
    """A figure as it stands in the table."""
    if isinstance(value, str):
        return value if value == "NaN" else f"raises {value}"
    return "NaN" if np.isnan(value) else f"{value:.4g}" if abs(value) > 5e-4 else "0"


HEAD = """# Where results differ from kinms 3.0.14

Made by `make goldens`, from the rows of `deviations.py`; `test_parity.py` has a test for each, in which the
independent reference (`tests/physics/reference.py`) sides with us and not with upstream. Settings are those of
`settings.py`; all others of its settings agree with upstream within its own sampling noise.

| setting | figure | upstream | ours | reference | reason |
|---|---|---|---|---|---|
"""


def render(goldens: dict[str, Any]) -> str:
    """Return DEVIATIONS.md."""
    lines = []
    for row in ROWS:
        found = figures(row, goldens)
        cells = (row.setting, row.figure, text(found.upstream), text(found.ours), text(found.reference), row.reason)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return HEAD + "".join(lines)


if __name__ == "__main__":
    TABLE.write_text(render(load_goldens()))
