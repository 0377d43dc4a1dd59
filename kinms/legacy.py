"""`KinMS` as existing scripts call it: arguments of both upstream call styles, translated into our own objects.

Nothing is computed here that the rest of the package computes. What is checked carries upstream's argument names.
Where this and upstream's arguments differ in sign or frame (CONVENTIONS):

- x grows West: a phase centre (x, y) is (-east, north).
- Upstream's cloudlets (x, y, z) have the APPROACHING half of the major axis along +x, ours the receding one along
  +x: (x, y, z) -> (-x, -y, z). Its azimuth is ours plus pi.
- inc = -i at posAng is inc = +i at posAng + 180, with the azimuth turned by pi and the inclination's sign handed on
  to a ``radial_motion_func``. In a warp through face-on, where inc changes sign, it is abs(inc) with velocities (and
  heights) of the other sign on one side.
- A kinematic centre or position angle is one on the sky (upstream turns and shifts velocities in the disc plane).
- vSys is the disc's own velocity, vOffset how far it lies from the middle channel, whose velocity is vSys - vOffset.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kinms.cube import Cube, Sampling, SpectralAxis, simulate
from kinms.disc import Cloudlets, Disc
from kinms.engine import choose, usual_points
from kinms.errors import InputError, InputTypeError, KinmsWarning, UnknownNameError
from kinms.flows import Flow
from kinms.grid import Beam, CubeGrid
from kinms.kernels.points import invert_cumulative
from kinms.legacy_arguments import (
    GALAXY,
    KINMS2,
    TELESCOPE,
    Galaxy,
    Telescope,
    bind,
    everything_at_once,
    flag,
    per_radius,
    upstream_names,
)
from kinms.profiles import (
    G_PC,
    PC_PER_ARCSEC_MPC,
    AsymmetricDrift,
    FlatCurve,
    RotationLaw,
    TableCurve,
    TableProfile,
)
from kinms.records import FloatArray, check_array, check_radii, check_scalar

__all__ = ["KinMS", "KinMS2"]

LIGHT_SPEED = 299792.458  # km/s
#: Relative rms error of a cube above which the user is told.
ROUGH = 0.01


def _cube_data(disc: Disc, grid: CubeGrid, beam: Beam | None) -> FloatArray:
    """Return the cube of one line, shape (nv, ny, nx): the one place where effort is traded for accuracy.

    Scripts make a new object for every step of a fit, so the density of nodes follows from a rule; there is no history
    that a result could depend on. On the sky grid that rule is good to some 1e-3 and is not measured, which would take
    longer than the cube. Points (`kinms.points`) tell their error at little cost.
    """
    sampling = Sampling(estimate=False)
    if choose(disc, grid, beam) == "points":
        sampling = Sampling(accuracy=0.1, points=usual_points(disc, grid))
    cube = simulate(disc, grid, beam, sampling)
    if cube.stats is not None and cube.stats.accuracy > ROUGH:
        # One digit: in a fit by script the error changes at every step, and each new text would be shown again.
        said = (
            f"The cube is good to about {float(f'{100 * cube.stats.accuracy:.0g}'):g} % only (rms): this inc, "
            "diskThick or warp needs more points than are used here, most of all where gasSigma is far below dv "
            f"({grid.dv:g} km/s). kinms.simulate refines to the accuracy that is asked of it."
        )
        warnings.warn(said, KinmsWarning, stacklevel=5)
    # Scripts add noise in place and sum in the precision they have been used to.
    return cube.data.astype(float)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _UserFlow(Flow):
    """A script's ``f(r, theta, inc)``, called with upstream's azimuth (-pi to pi) and inclination."""

    function: Callable[..., Any]
    turned: bool
    sides: TableCurve | None = None

    def v_los(self, r: FloatArray, theta: FloatArray, inc: float | FloatArray) -> FloatArray:
        """Return what the function adds to the line-of-sight velocity, km/s."""
        r = np.asarray(r, dtype=float)
        sign = _sign(self.sides, r) * (-1.0 if self.turned else 1.0)
        azimuth = theta if self.turned else np.where(theta > 0.0, theta - np.pi, theta + np.pi)
        value = np.asarray(self.function(r.copy(), np.array(azimuth), np.full(r.shape, sign * inc)), dtype=float)
        if value.shape not in ((), r.shape) or not np.all(np.isfinite(value)):
            what = f"an array of shape {value.shape}" if value.shape not in ((), r.shape) else "not finite"
            raise InputError("the result of radial_motion_func", what, f"finite km/s, one per radius {r.shape}")
        return np.broadcast_to(value, r.shape)


def _sides(galaxy: Galaxy) -> TableCurve | None:
    """Return the sign of inc against radius if it changes: a step where inc passes through zero."""
    inc: FloatArray = galaxy.inc
    radii = _velocity_radii(galaxy)[1]
    if radii is None or np.shape(inc) != radii.shape or not (np.any(inc < 0.0) and np.any(inc > 0.0)):
        return None
    tilted = np.flatnonzero(inc)
    low, high = tilted[:-1], tilted[1:]
    change = inc[low] * inc[high] < 0.0
    low, high = low[change], high[change]
    # Between neighbours inc is linear; with zeros in between any of these will do.
    share = np.where(high == low + 1, inc[low] / (inc[low] - inc[high]), 0.0)
    zero = np.where(high == low + 1, radii[low] + share * (radii[high] - radii[low]), radii[low + 1])
    half = 1e-9 * radii[-1]  # of the step's width: nothing of the disc
    return TableCurve(np.stack([zero - half, zero + half], axis=1).ravel(), np.sign(inc[[low, high]]).T.ravel())


def _sign(sides: TableCurve | None, r: FloatArray) -> FloatArray | float:
    return 1.0 if sides is None else np.where(sides(r) < 0.0, -1.0, 1.0)


def _light(galaxy: Galaxy, sign: float) -> TableProfile | Cloudlets:
    """Return the profile, or the clouds in our frame (on the sky: West -> East; in the disc: turned by ``sign``)."""
    clouds: FloatArray | None = galaxy.inClouds
    if clouds is None:
        with upstream_names(radius="sbRad", brightness="sbProf"):
            return TableProfile(galaxy.sbRad, galaxy.sbProf)
    if clouds.ndim != 2 or clouds.shape[1] != 3:
        turn = "Transpose it." if clouds.ndim == 2 and clouds.shape[0] == 3 else "One cloud is [[x, y, z]]."
        raise InputError("the shape of inClouds", clouds.shape, "shape (n, 3): x, y, z of each cloud", turn)
    flux = None if galaxy.flux_clouds is None else np.atleast_1d(galaxy.flux_clouds)
    v_los = None if galaxy.vLOS_clouds is None else np.atleast_1d(galaxy.vLOS_clouds)
    frame: Any = (sign, sign, 1.0) if v_los is None else (-1.0, 1.0, 1.0)
    sides = None if v_los is not None else _sides(galaxy)
    if sides is not None:
        frame = np.tile(frame, (len(clouds), 1))
        frame[:, 2] *= _sign(sides, np.hypot(clouds[:, 0], clouds[:, 1]))
    with upstream_names(positions="inClouds", flux="flux_clouds", v_los="vLOS_clouds"):
        return Cloudlets(clouds * frame, flux, v_los)


def _velocity_radii(galaxy: Galaxy) -> tuple[str, FloatArray | None]:
    """Return velRad (sbRad in its absence), after which of the two it is; a single radius is as good as none."""
    name = "velRad" if galaxy.velRad is not None or galaxy.sbRad is None else "sbRad"
    radii = getattr(galaxy, name)
    return name, None if radii is None or np.size(radii) == 1 else check_radii(name, radii)


def _rotation(galaxy: Galaxy, light: TableProfile | Cloudlets) -> RotationLaw:
    """Return velProf on velRad; a single velocity holds at all radii. The gas of massDist adds its own pull."""
    name, radii = _velocity_radii(galaxy)
    if galaxy.velProf is None:
        raise InputTypeError("velProf", "missing", "velProf with velRad, or inClouds with vLOS_clouds")
    velocity: FloatArray = galaxy.velProf
    if radii is None:
        if velocity.size != 1:
            n = 0 if getattr(galaxy, name) is None else 1
            raise InputError(f"the length of {name}", n, f"{velocity.size}, as that of velProf")
        if galaxy.massDist is not None:
            raise InputTypeError("velRad", "missing", "radii, as massDist is given")
        return FlatCurve(check_scalar("velProf", velocity))
    if velocity.ndim and velocity.shape != radii.shape:
        raise InputError("the shape of velProf", velocity.shape, f"shape {radii.shape}, one velocity per {name}")
    velocity = np.broadcast_to(velocity, radii.shape)
    if galaxy.massDist is not None:
        velocity = np.copysign(np.hypot(velocity, _gas_velocity(galaxy, light, radii)), velocity)
    sides = _sides(galaxy)
    if sides is not None:
        fine = np.union1d(radii, sides.radius)
        return TableCurve(fine, np.interp(fine, radii, velocity) * _sign(sides, fine))
    return TableCurve(radii, velocity)


def _gas_velocity(galaxy: Galaxy, light: TableProfile | Cloudlets, radii: FloatArray) -> FloatArray:
    """Return sqrt(G M(<R) / R), km/s, of the gas in a sphere of radius R; zero at R = 0."""
    mass, distance = check_array("massDist", galaxy.massDist, shape=(2,), minimum=0.0)
    if distance == 0.0:
        raise InputError("massDist", galaxy.massDist, "[gas mass in Msun, distance in Mpc], the distance above zero")
    if isinstance(light, Cloudlets):
        distances = np.sort(np.linalg.norm(light.positions, axis=1))
        enclosed = np.searchsorted(distances, radii, side="right") / distances.size
    else:
        enclosed = _light_in_spheres(light, galaxy.sbRad, galaxy.diskThick, radii)
    parsec = np.where(radii > 0.0, radii, np.inf) * PC_PER_ARCSEC_MPC * distance
    return np.asarray(np.sqrt(G_PC * mass * enclosed / parsec))


#: Where and how much, on a segment from -1 to 1: eight nodes are right to a few thousandths of what is within.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


def _light_in_spheres(light: TableProfile, sb_radii: FloatArray, height: FloatArray, radii: FloatArray) -> FloatArray:
    """Return the shares of the light, of whatever sign, within spheres: of exponential height where the disc is thick.

    Of what is at the radius r of the disc, 1 - exp(-(R^2 - r^2)^(1/2) / h) is within R.
    """
    # With the velocity's radii among the table's, a sphere ends where a segment does.
    table = np.union1d(light.radius, np.clip(radii, light.radius[0], light.radius[-1]))
    steps = TableProfile(table, np.abs(light(table))).segment_light()
    if not np.any(height):
        return np.interp(radii, table, np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum())
    half = 0.5 * np.diff(table)
    r = (table[:-1] + half)[:, None] + half[:, None] * _NODES
    share = (half[:, None] * _WEIGHTS * np.abs(light(r)) * r).ravel()
    r = r.ravel()
    h = np.interp(r, sb_radii, np.broadcast_to(height, sb_radii.shape))
    enclosed = np.empty(radii.size)
    for i, radius in enumerate(radii):
        inside = np.searchsorted(r, radius)
        with np.errstate(divide="ignore"):  # where it is thin all of it is within
            within = -np.expm1(-np.sqrt(radius**2 - r[:inside] ** 2) / h[:inside])
        enclosed[i] = share[:inside] @ within
    return enclosed / share.sum()


def _orientation(galaxy: Galaxy) -> tuple[dict[str, Any], bool]:
    """Return inc, pa, sigma_gas, scale_height, pa_kin (and their radius), and whether inc < 0 turned the disc."""
    name, radii = _velocity_radii(galaxy)
    inc = per_radius("inc", galaxy.inc, name, radii, minimum=-180.0, maximum=180.0)
    sides = _sides(galaxy)
    turned = sides is None and bool(np.any(np.less(inc, 0.0)))
    half_turn = 180.0 if turned else 0.0
    values = {
        "inc": np.abs(inc),
        "pa": per_radius("posAng", galaxy.posAng, name, radii) + half_turn,
        "sigma_gas": per_radius("gasSigma", galaxy.gasSigma, name, radii, minimum=0.0),
    }
    if galaxy.vPosAng is not None:
        values["pa_kin"] = per_radius("vPosAng", galaxy.vPosAng, name, radii) + half_turn
    own: dict[str, Any] = dict.fromkeys(values, radii)
    if sides is not None and radii is not None:  # abs(inc) has a kink where inc is zero
        own["inc"] = np.union1d(radii, sides.radius)
        values["inc"] = np.abs(np.interp(own["inc"], radii, inc))
    if galaxy.inClouds is None:  # given clouds have their own heights
        sb_radii = check_radii("sbRad", galaxy.sbRad)
        values["scale_height"] = per_radius("diskThick", galaxy.diskThick, "sbRad", sb_radii, minimum=0.0)
        own["scale_height"] = sb_radii
    tables = {key: (own[key], value) for key, value in values.items() if np.ndim(value)}
    if tables:  # one common set of radii
        common = np.unique(np.concatenate([at for at, _ in tables.values()]))
        values.update({key: np.interp(common, *table) for key, table in tables.items()}, radius=common)
    return values, turned


def _disc(telescope: Telescope, galaxy: Galaxy) -> Disc:
    """Return all that the galaxy is."""
    east, north = -galaxy.phaseCent[0], galaxy.phaseCent[1]
    common = {
        "v_sys": galaxy.vSys,
        "flux": _flux(telescope, galaxy),
        "east": east,
        "north": north,
    }
    if galaxy.vLOS_clouds is not None:  # positions and velocities are taken as they are
        return Disc(surface_brightness=_light(galaxy, 1.0), inc=0.0, pa=0.0, **common)
    values, turned = _orientation(galaxy)
    light = _light(galaxy, 1.0 if turned else -1.0)
    rotation = _rotation(galaxy, light)
    if galaxy.asymmetric_drift:
        sigma = values["sigma_gas"]
        rotation = AsymmetricDrift(rotation, TableCurve(values["radius"], sigma) if np.ndim(sigma) else sigma)
    if np.any(galaxy.vPhaseCent):
        common |= {"east_kin": east - galaxy.vPhaseCent[0], "north_kin": north + galaxy.vPhaseCent[1]}
    flow = None if galaxy.radial_motion_func is None else _UserFlow(galaxy.radial_motion_func, turned, _sides(galaxy))
    with upstream_names(flux="intFlux"):
        return Disc(
            surface_brightness=light,
            rotation=rotation,
            flow=flow,
            lsf_sigma=telescope.spectral_resolution,
            **values,
            **common,
        )


def _flux(telescope: Telescope, galaxy: Galaxy) -> float:
    """Return intFlux; in its absence what makes the cube sum to flux_clouds.sum(), or to one."""
    if galaxy.intFlux:
        return float(galaxy.intFlux)
    total = 1.0 if galaxy.flux_clouds is None else galaxy.flux_clouds.sum()
    pixels = 1.0 if telescope.beam is None else telescope.beam.pixels(telescope.cellSize)
    return float(total * telescope.dv / pixels)


def _lines(telescope: Telescope, galaxy: Galaxy) -> list[tuple[float, float]]:
    """Return (velocity shift, share of the flux) of every line; the first one's velocity is the reference."""
    lams = telescope.multiple_line_lams
    shares = np.ones(lams.size)
    if galaxy.multiple_line_relflux is not None:
        shares = np.atleast_1d(galaxy.multiple_line_relflux)
        if shares.shape != lams.shape:
            raise InputError(
                "the shape of multiple_line_relflux", shares.shape, f"shape {lams.shape}, as multiple_line_lams"
            )
        if not shares.sum():
            raise InputError("multiple_line_relflux", "zero in sum", "shares whose sum is not zero")
    shifts = LIGHT_SPEED * (lams / lams[0] - 1.0)
    return list(zip(shifts.tolist(), (shares / shares.sum()).tolist(), strict=True))


def _grid(telescope: Telescope, galaxy: Galaxy) -> CubeGrid:
    with upstream_names(rest_frequency="restFreq"):
        return CubeGrid(
            telescope.shape,
            telescope.cellSize,
            telescope.dv,
            v_ref=galaxy.vSys - galaxy.vOffset,
            ra=galaxy.ra,
            dec=galaxy.dec,
            rest_frequency=galaxy.restFreq,
        )


def _sky_clouds(telescope: Telescope, galaxy: Galaxy, disc: Disc) -> tuple[FloatArray, FloatArray]:
    """Return the clouds (n, 3): x West, y North, depth, arcsec from the disc's centre; and v_los - v_sys (n,), km/s."""
    light = disc.surface_brightness
    if isinstance(light, Cloudlets) and light.v_los is not None:
        return light.positions * (-1.0, 1.0, 1.0), light.v_los.copy()
    entropy = telescope.seed if telescope.fixSeed else None
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(entropy).spawn(4)]
    if isinstance(light, Cloudlets):
        x, y, z = light.positions.T
        r = np.hypot(x, y)
    else:
        r, phi, z = _draw(disc, light.table(), telescope.nSamps, streams)
        x, y = r * np.cos(phi), r * np.sin(phi)
    east, north = disc.project(x, y, z, r)
    inc = np.radians(disc.at_radius("inc", r))
    depth = (y * np.sin(inc) + z * np.cos(inc)) * _sign(_sides(galaxy), r)
    clouds = np.stack([disc.east - east, north - disc.north, depth], axis=1)
    return clouds, disc.line_of_sight(x, y, r) + disc.line_sigma(r) * streams[3].standard_normal(r.size)


def _draw(
    disc: Disc, table: TableProfile, n: int, streams: Sequence[np.random.Generator]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw radii (where there is light, of either sign), azimuths and heights."""
    brightness = np.abs(table.brightness)
    cumulative = np.concatenate([[0.0], np.cumsum(TableProfile(table.radius, brightness).segment_light())])
    r = invert_cumulative(streams[0].random(n) * cumulative[-1], cumulative, table.radius, brightness)
    phi = 2.0 * np.pi * streams[1].random(n)
    return r, phi, disc.at_radius("scale_height", r) * streams[2].laplace(size=n)


class KinMS:
    """Mock datacubes by the arguments of KinMS 2 and KinMS 3, in either call style.

    KinMS 3: ``KinMS(xs, ys, vs, cellSize, dv, beamSize, ...)``, then ``.model_cube(inc, posAng, ...)``.
    KinMS 2: everything in the constructor, told by posAng or a profile there, then ``.model_cube(toplot=False)``.
    Positional arguments have upstream's order in each. An object can be used again and again; no call leaves a trace.
    Quantities and columns of astropy count in their own units, plain numbers in those below.

    Parameters
    ----------
    xs, ys, vs : float
        Size of the cube, arcsec, arcsec, km/s; rounded to whole pixels and channels.
    cellSize, dv : float
        Pixel, arcsec; channel, km/s.
    beamSize : float or array_like
        FWHM, arcsec: one number, [bmaj, bmin] or [bmaj, bmin, bpa], bpa in degrees from North through East.
    nSamps : int, default 500000
        How many clouds `returnClouds` draws. The cube itself is not made of random clouds.
    seed : int, optional
    fixSeed : bool, default True (False in the KinMS 2 style)
        Seed of the clouds of `returnClouds`; with fixSeed False each call draws others. The cube never depends on it.
    cleanOut : bool, default False
        Leave out the beam: the cube is in Jy per pixel.
    huge_beam : bool, default False
        Accepted, without effect: all convolutions are fast ones. So is KinMS 2's `skySampler`.
    verbose : bool, default False
        Write a line on every cube to the standard output.
    multiple_line_lams : array_like, optional
        Wavelengths of several lines, any unit; the first one is the line whose velocity is vSys.
    spectral_resolution : float, default 0
        1 sigma of the instrument's response, km/s; adds in quadrature to gasSigma.

    Attributes
    ----------
    xs, ys, ... : float
        The arguments of the constructor, under their names; to change one, make a new object.
    specsys, radesys : str
        Frames of velocities and positions for the headers of files, default BARYCENT and FK5; may be set.
    equinox : float
        Of the positions, years; may be set.

    Raises
    ------
    InputError, InputTypeError, UnknownNameError
        Naming upstream's argument; see `model_cube` for the others.

    Examples
    --------
    >>> import numpy as np
    >>> rad = np.arange(0.0, 40.0)
    >>> kinms = KinMS(64, 64, 500, 1.0, 20.0, [4.0, 4.0, 0.0])
    >>> cube = kinms.model_cube(45, 270, sbProf=np.exp(-rad / 4), sbRad=rad, velProf=200 * np.tanh(rad), intFlux=30)
    >>> cube.shape
    (64, 64, 25)
    """

    specsys = "BARYCENT"
    radesys = "FK5"
    equinox = 2000.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._galaxy: Galaxy | None = None
        if everything_at_once(args, kwargs):
            self._take_everything(args, kwargs)
        else:
            self._telescope = _telescope(bind("KinMS", TELESCOPE, args, kwargs))

    def _take_everything(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Keep telescope and galaxy of KinMS 2's style."""
        everything = [name for name in (*TELESCOPE, *GALAXY) if name != "toplot" and name not in KINMS2]
        given = {"fixSeed": False, **bind("KinMS", KINMS2, args, kwargs, everything)}
        flag("skySampler", given.pop("skySampler", False))
        self._telescope = _telescope({name: value for name, value in given.items() if name in TELESCOPE})
        self._galaxy = Galaxy(**{name: value for name, value in given.items() if name in GALAXY})
        self._disc = _disc(self._telescope, self._galaxy)

    def __getattr__(self, name: str) -> Any:
        """Return an argument of the constructor, under its name: ``kinms.cellSize``."""
        if name in TELESCOPE:
            return getattr(self._telescope, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, with a word on those that were read by upstream's next call."""
        if name in TELESCOPE or (name in GALAXY and self.__dict__.get("_galaxy") is not None):
            said = f"{name} has no effect where it is set after the call: make a new object, KinMS(..., {name}=...)."
            warnings.warn(said, KinmsWarning, stacklevel=2)
        object.__setattr__(self, name, value)

    def model_cube(self, *args: Any, **kwargs: Any) -> Any:
        """Return the cube; in the KinMS 2 style only `toplot` and keywords of the plot are left to give here.

        Parameters
        ----------
        inc, posAng : float or array_like
            Inclination, -180 to 180, and position angle of the receding half, degrees; arrays on velRad make a warp.
            Not needed with vLOS_clouds.
        gasSigma : float or array_like, default 0
            Velocity dispersion, km/s; an array on velRad.
        diskThick : float or array_like, default 0
            Exponential scale height, arcsec; an array on sbRad.
        flux_clouds : array_like, shape (n,), optional
            Fluxes of inClouds; relative ones if intFlux is given, else the cube sums to their sum.
        sbProf, sbRad : array_like, shape (m,)
            Surface brightness on any scale, at radii in arcsec.
        velRad, velProf : array_like, shape (k,)
            Circular velocity, km/s, at radii in arcsec, default sbRad. One number is a flat curve.
        inClouds : array_like, shape (n, 3), optional
            In place of a profile: clouds face-on, arcsec, the approaching half of the major axis along +x.
        vLOS_clouds : array_like, shape (n,), optional
            Velocities of the clouds, km/s; their positions are then on the sky (x West, y North, depth), and inc,
            posAng, gasSigma are not used.
        massDist : [float, float], optional
            Gas mass (Msun) and distance (Mpc): its pull, G M(<R) / R of what is within a sphere, is added in quadrature
            to velProf.
        radial_motion_func : callable, optional
            ``f(r, theta, inc)`` -> km/s to add to the line-of-sight velocity; see `kinms.radial_motion`.
        intFlux : float, optional
            Total flux, Jy km/s, negative for absorption. Without it a disc inside the field sums to one.
        phaseCent : [float, float], default (0, 0)
            Centre, arcsec towards West and North of pixel n // 2.
        vOffset, vSys : float, default 0
            The disc's velocity from the middle channel nv // 2, and its velocity itself, which a file's axis goes by,
            km/s: that channel has vSys - vOffset.
        vPosAng : float or array_like, optional
            Kinematic position angle, degrees, an array on velRad; default posAng.
        vPhaseCent : [float, float], default (0, 0)
            Kinematic centre on the sky, arcsec towards West and North of the photometric one.
        returnClouds : bool, default False
            Return (cube, clouds, velocities).
        toplot : bool, default False
            Draw the four-panel figure; other keywords go to `kinms.utils.KinMS_figures.KinMS_plotter`.
        fileName : str, optional
            Write ``<fileName>_simcube.fits``, overwriting it.
        bunit, ra, dec, restFreq : str, float, float, float
            For its header: unit (default Jy/beam; Jy/pixel with cleanOut), position in degrees (of pixel n // 2; in
            the KinMS 2 style of phaseCent), rest frequency in Hz (default 230.542e9).
        multiple_line_relflux : array_like, optional
            Relative fluxes of multiple_line_lams, default equal ones; all lines together have intFlux.
        asymmetric_drift : bool, default False
            Slow the rotation to sqrt(velProf^2 - gasSigma^2).

        Returns
        -------
        ndarray, shape (nx, ny, nv)
            Jy/beam (Jy/pixel with cleanOut), x growing West, y North, velocity ascending. With returnClouds also the
            clouds (n, 3), arcsec West and North of the disc's centre and in depth, and their velocities (n,), km/s
            from the disc's own.

        Raises
        ------
        InputError, InputTypeError, UnknownNameError
            Naming the argument.

        Warns
        -----
        KinmsWarning
            If flux is lost outside the cube, or the beam is under two pixels or larger than the field; for ``nSamps``,
            ``seed``, ``fixSeed``, ``verbose`` or ``huge_beam`` given here, which only the constructor heeds.
        """
        names = (*GALAXY, *TELESCOPE)
        plot = {name: kwargs.pop(name) for name in list(kwargs) if name not in names}
        for name in [name for name in kwargs if name in EFFORT]:
            del kwargs[name]
            said = (
                f"{name} has no effect in model_cube, as upstream: give it to the constructor, KinMS(..., {name}=...)."
            )
            warnings.warn(said, KinmsWarning, stacklevel=2)
        for name in kwargs:
            if name in TELESCOPE:
                raise InputTypeError(name, "given to model_cube", f"{name} in the constructor, KinMS(..., {name}=...)")
        if plot:  # first, for what is misspelt is missing under its name
            _check_plot_keywords(plot)
        if self._galaxy is not None:
            again = [name for name in kwargs if name != "toplot"] or (["inc"] if len(args) > 1 else [])
            if again:
                raise InputTypeError(again[0], "given to model_cube, after the disc", "it in the constructor only")
            toplot = flag("toplot", bind("model_cube", ("toplot",), args, kwargs).get("toplot", False))
            galaxy, disc = self._galaxy, self._disc
        else:
            galaxy = Galaxy(**bind("model_cube", GALAXY, args, kwargs))
            toplot, disc = galaxy.toplot, _disc(self._telescope, galaxy)
        return self._make(galaxy, disc, plot if toplot else None)

    def _make(self, galaxy: Galaxy, disc: Disc, plot: Mapping[str, Any] | None) -> Any:
        telescope, grid = self._telescope, _grid(self._telescope, galaxy)
        lines = (
            _cube_data(disc.replace(v_sys=disc.v_sys + shift, flux=disc.flux * share), grid, telescope.beam)
            for shift, share in _lines(telescope, galaxy)
        )
        cube: FloatArray = functools.reduce(np.add, lines).T
        if galaxy.fileName:
            self._write(galaxy, cube, grid)
        if telescope.verbose:
            nv, ny, nx = grid.shape
            sys.stdout.write(
                f"KinMS: {nx} x {ny} pixels of {grid.cell:g} arcsec, {nv} channels of {grid.dv:g} km/s, "
                f"beam {'none' if telescope.beam is None else telescope.beamSize}, sum {cube.sum():.6g}\n"
            )
        if plot is not None:
            _plot(telescope, galaxy, cube, plot)
        return (cube, *_sky_clouds(telescope, galaxy, disc)) if galaxy.returnClouds else cube

    def _write(self, galaxy: Galaxy, cube: FloatArray, grid: CubeGrid) -> None:
        from kinms.fits_made import made_header
        from kinms.fits_write import write_cube

        beam = self._telescope.beam
        if self._galaxy is not None and galaxy.ra is not None:  # the position is the disc's in this style
            shift = galaxy.phaseCent / grid.cell
            grid = grid.replace(x_ref=grid.shape[2] // 2 + shift[0], y_ref=grid.shape[1] // 2 + shift[1])
        spectral = SpectralAxis(frame=str(self.specsys))
        header = made_header(grid, spectral)
        header.update({"NAXIS": 3, **{f"NAXIS{axis}": n for axis, n in enumerate(cube.shape, start=1)}})
        header["RADESYS"] = str(self.radesys)
        if header["RADESYS"] != "ICRS":
            header["EQUINOX"] = check_scalar("equinox", self.equinox)
        unit = "Jy/pixel" if beam is None and galaxy.bunit == "Jy/beam" else galaxy.bunit
        # ra and dec are in the frame that the header names, those of a grid in ICRS.
        made = Cube(cube.T, grid.replace(ra=None, dec=None), beam, unit, spectral=spectral, header=header)
        write_cube(f"{os.fspath(galaxy.fileName)}_simcube.fits", made, overwrite=True)


class KinMS2(KinMS):
    """`KinMS` in the style of KinMS 2 alone: everything in the constructor, inc and posAng among it.

    ``from kinms import KinMS2`` is what upstream keeps for scripts of that style; `KinMS` tells the styles apart by
    itself. Positional arguments, units and errors are those of that style of `KinMS`.

    Examples
    --------
    >>> import numpy as np
    >>> rad = np.arange(0.0, 40.0)
    >>> made = KinMS2(64, 64, 500, 1.0, 20.0, 4.0, 45, 270, sbProf=np.exp(-rad / 4), sbRad=rad, velProf=20 * rad**0.5)
    >>> made.model_cube().shape
    (64, 64, 25)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._take_everything(args, kwargs)


def _telescope(given: Mapping[str, Any]) -> Telescope:
    for name in ("xs", "ys", "vs", "cellSize", "dv", "beamSize"):
        if name not in given:
            raise InputTypeError(name, "missing", "xs, ys, vs, cellSize, dv and beamSize in the constructor")
    return Telescope(**given)


def plot_keywords() -> list[str]:
    """Return the keywords of `KinMS.model_cube` that are handed on to the plotter."""
    from kinms.utils.KinMS_figures import KinMS_plotter

    return [name for name in inspect.signature(KinMS_plotter).parameters if name.lower() not in _PLOTTER_OWN]


def _check_plot_keywords(plot: Mapping[str, Any]) -> None:
    known = plot_keywords()
    for name in plot:
        if name not in known:
            raise UnknownNameError("argument of model_cube", name, [*GALAXY, *known])


#: Arguments of the constructor that scripts hand to `KinMS.model_cube`, where upstream drops them without a word.
EFFORT = ("nSamps", "seed", "fixSeed", "verbose", "huge_beam")

#: What the façade itself tells the plotter.
_PLOTTER_OWN = ("f", "xsize", "ysize", "vsize", "cellsize", "dv", "beamsize", "posang")


def _plot(telescope: Telescope, galaxy: Galaxy, cube: FloatArray, plot: Mapping[str, Any]) -> None:
    from kinms.utils.KinMS_figures import KinMS_plotter

    t = telescope
    KinMS_plotter(cube, t.xs, t.ys, t.vs, t.cellSize, t.dv, t.beamSize, posang=galaxy.posAng, **plot).makeplots()
