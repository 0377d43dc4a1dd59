"""`guess`: from a cube alone to a disc that lies in the basin of the best one, as the start of a fit.

First moments: total flux, centre of the light, middle and width of the line, kinematic position angle, axis ratio.
Moments of noisy data smeared by a beam are biased, so a few damped Gauss-Newton steps of the model itself follow, with
everything held that is known. Nothing is random.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import logging
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy  # loads its parts when they are first asked for

from kinms.cube import Cube, Model, Sampling
from kinms.derivatives import slopes
from kinms.disc import UNITS, Cloudlets, Disc
from kinms.errors import InputError, InputTypeError, KinmsWarning, UnknownNameError
from kinms.grid import FWHM_PER_SIGMA, Beam, CubeGrid
from kinms.noise import detection_mask, estimate_rms
from kinms.profiles import (
    G_PC,
    PC_PER_ARCSEC_MPC,
    ROTATION,
    SURFACE_BRIGHTNESS,
    ArctanCurve,
    BrightnessLaw,
    ExponentialDisc,
    FlatCurve,
    GaussianRing,
    KeplerianCurve,
    RotationLaw,
    SersicDisc,
    TableCurve,
    TableProfile,
)
from kinms.records import FloatArray, check_radii

__all__ = ["guess", "kinematic_pa"]

logger = logging.getLogger(__name__)

#: Inclinations that are guessed, degrees: beyond them a disc's shape says nothing more.
INC = (15.0, 82.0)
#: A mask whose mean signal is below this (in rms) misses much: the search is repeated with a beam wider by this factor.
FAINT, WIDER = 4.0, 2.0
#: Sigma above which that counts: fewer and wider independent voxels have rougher tails.
SURE = 5.0
#: Regions of the mask with less than this part of the brightest one's light are noise, or another galaxy.
BODY = 0.1
#: A ring is a ring where its centre is fainter than this part of its ridge.
EMPTY = 0.4
#: Numbers of radii of a table.
FEWEST, MOST = 3, 8
#: Voxels above which a cube whose beam has pixels enough is binned, and channels that are left at least.
MANY, FEW, CHANNELS = 200_000, 20_000, 24
#: By how much the cube is blurred for the first steps: FWHM in rms extents of the light, sigma in widths of the line.
BLUR, BLUR_LINE = 0.7, 0.08
#: Steps of the refinement, at most; those before a disc is compared with a ring; the gain, relative to chi-squared,
#: at which it ends (as it does where the gain is less than one independent datum is worth).
STEPS, FIRST_STEPS, GAIN = 12, 4, 1e-3
#: Difference in chi-squared (per datum that is independent) at which a disc or a ring is given up early.
CLEAR = 60.0
#: Rings on which a velocity field is mirrored, at most.
RINGS = 32
#: Significance of a disc, in sigma, below which it may be noise: 4 to 6 is what the highest peaks of empty cubes reach,
#: one in ten of which has a region above the thresholds of the mask.
FAINT_DISC = 7.0
#: Inclinations are called poorly known above this error, degrees.
POOR = 10.0


def guess(cube: Cube, *, surface_brightness: Any = None, rotation: Any = None, **known: Any) -> Disc:
    """Find a disc that resembles a cube well enough to start a fit from.

    Parameters
    ----------
    cube : Cube
        Emission or absorption, with noise or without, of two channels or more; with a beam or not.
    surface_brightness : BrightnessLaw, Cloudlets, type, str or mapping, optional
        A law, kept as it is; or a class or its name in a configuration, whose parameters are guessed; or a mapping of
        ``kind`` and the parameters that are known. Default: a `GaussianRing` where the centre is empty, else an
        `ExponentialDisc`.
    rotation : RotationLaw, type, str or mapping, optional
        Likewise; default an `ArctanCurve`. A table lacks velocities, or radii as well, which then are a beam or more
        apart.
    **known
        Parameters of `Disc` that are known. They are kept, and the others suit them: with ``inc`` given, ``v_max`` is
        that of this inclination. What is not given is guessed: inc, pa, v_sys, sigma_gas, flux, east, north; the rest
        keeps its default.

    Returns
    -------
    Disc
        Inclinations are between 15 and 82 degrees; `sigma_gas` is at least half a channel, or 10 km/s where that is
        less, so that it can be told from zero.

    Raises
    ------
    InputError
        If the cube has one channel, no finite voxel or no signal; if a parameter cannot be guessed (a distance), or one
        that is known is impossible.
    InputTypeError, UnknownNameError
        If a name or a type is not what it should be.

    Warns
    -----
    KinmsWarning
        If the signal is so faint that it may be noise (not looked at where the cube brings the noise of each voxel, or
        the flux is known); if `flux` is given with the wrong sign.

    Notes
    -----
    The position angle is that of the velocity field that is most like itself mirrored (Krajnovic et al. 2006,
    appendix C). What was guessed is logged in one line, with a note where the data do not tell inclination and
    velocity apart.

    Examples
    --------
    >>> from kinms.cube import simulate
    >>> from kinms.grid import Beam
    >>> truth = Disc(surface_brightness=ExponentialDisc(4.0), rotation=ArctanCurve(150.0, 2.0), inc=50, pa=120, flux=9)
    >>> found = guess(simulate(truth, CubeGrid((24, 64, 64), 1.0, 20.0), Beam(4.0)))
    >>> round(found.pa), round(found.flux)
    (120, 9)
    """
    known = {name: value for name, value in known.items() if value is not None}
    for name in known:
        if name not in Disc.__dataclass_fields__:
            raise UnknownNameError("parameter", name, Disc.__dataclass_fields__)
    light = _Wanted.of("surface_brightness", surface_brightness, SURFACE_BRIGHTNESS, (BrightnessLaw, Cloudlets))
    speed = _Wanted.of("rotation", rotation, ROTATION, (RotationLaw,))
    if speed.cls is KeplerianCurve and "distance" not in speed.given:
        raise InputError("distance", "missing", "a distance in Mpc: a cube does not tell it")
    _check_known(known)
    view = _View.of(cube)
    if "flux" in known:
        known["flux"] = known["flux"] / view.unit
        if known["flux"] * view.sign < 0.0:
            seen, other = ("emission", "negative") if view.sign > 0.0 else ("absorption", "positive")
            message = f"The flux given is {other}, and the signal in the cube is {seen}: what is guessed suits neither."
            warnings.warn(message, KinmsWarning, stacklevel=2)
    moments = _Moments(view, known)
    blurred = view.blurred(max(view.fwhm, BLUR * moments.major), max(cube.grid.dv, BLUR_LINE * moments.width))
    rivals = [_best_start(blurred, moments, law, speed, known) for law in light.candidates()]
    for there, steps in ((blurred, STEPS), (view, FIRST_STEPS), (view, STEPS)):
        rivals = [rival.seen_in(there) for rival in rivals]
        for rival in rivals:
            rival.run(steps)
        rivals = _without_loser(rivals)
    best = rivals[-1] if len(rivals) == 2 and _is_ring(rivals[1], rivals[0]) else rivals[0]
    disc = best.disc
    if speed.cls is TableCurve and speed.whole is None:
        disc = disc.replace(rotation=_velocity_table(view, disc, speed.given))
    if light.cls is TableProfile and light.whole is None:
        disc = disc.replace(surface_brightness=_brightness_table(view, disc, light.given))
    disc = _finish(disc, cube, view.sign * view.unit, known, light, speed)
    # Where the noise differs from voxel to voxel one number for all does not tell how faint a signal is.
    if "flux" not in known and cube.noise is None and best.significance < FAINT_DISC:
        message = f"The signal is {best.significance:.1f} sigma in all, perhaps none: the disc guessed may be of noise."
        warnings.warn(message, KinmsWarning, stacklevel=2)
    _tell(disc, known, light, speed, best)
    return disc


#: Accuracy of the models.
COARSE = Sampling(accuracy=1e-2)
#: A guessed dispersion is not below this, or half a channel, km/s: a fit needs to see what a change of it does.
LEAST_SIGMA = 10.0


def _check_known(known: Mapping[str, Any]) -> None:
    """Refuse what no disc can have before anything is made of it."""
    others = {"surface_brightness": ExponentialDisc(1.0), "rotation": FlatCurve(1.0), "inc": 45.0, "pa": 0.0}
    Disc(**{**others, **known})


def _finish(disc: Disc, cube: Cube, unit: float, known: Mapping[str, Any], light: _Wanted, speed: _Wanted) -> Disc:
    """Return the disc as the caller wants it: the sign and unit of its flux, a dispersion that shows, a few digits."""
    found: dict[str, Any] = {
        "flux": unit * disc.flux,
        "sigma_gas": max(float(np.median(disc.sigma_gas)), min(0.5 * cube.grid.dv, LEAST_SIGMA)),
        "pa": float(np.median(disc.pa)) % 360.0,
        **{name: getattr(disc, name) for name in ("inc", "v_sys", "east", "north")},
    }
    # The last digits mean nothing, and may depend on the machine.
    changes = {name: _rounded(value) for name, value in found.items() if name not in known}
    for head, wanted in (("surface_brightness", light), ("rotation", speed)):
        law = getattr(disc, head)
        if wanted.whole is None:
            names = [field.name for field in dataclasses.fields(law) if field.name not in wanted.given]
            changes[head] = law.replace(**{name: _rounded(getattr(law, name)) for name in names})
    return disc.replace(**{**changes, **({"flux": abs(unit) * known["flux"]} if "flux" in known else {})})


def _rounded(value: Any) -> Any:
    """Return numbers with six significant digits."""
    rounded = np.array([float(f"{number:.5e}") for number in np.ravel(value)])
    return rounded if np.ndim(value) else float(rounded[0])


# -- what is asked for --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """A law as the caller wants it: whole, or its class (None: any) and what is known of it."""

    cls: type | None = None
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    whole: Any = None

    @classmethod
    def of(cls, name: str, value: Any, kinds: Mapping[str, type], bases: tuple[type, ...]) -> _Wanted:
        if value is None:
            return cls()
        if isinstance(value, bases):
            return cls(type(value), {}, value)
        values = dict(value) if isinstance(value, Mapping) else {"kind": value}
        kind = values.pop("kind", None)
        if isinstance(kind, str):
            if kind not in kinds:
                raise UnknownNameError("kind", kind, kinds)
            kind = kinds[kind]
        if kind not in kinds.values():
            allowed = ", ".join(law.__name__ for law in kinds.values())
            raise InputTypeError(name, repr(value), f"a law, or a class or mapping of a kind among {allowed}")
        fields = [field.name for field in dataclasses.fields(kind)]
        for key in values:
            if key not in fields:
                raise UnknownNameError(f"{name} parameter", key, fields)
        given = {key: item for key, item in values.items() if item is not None}
        if "radius" in given and "radius" in fields and kind in (TableProfile, TableCurve):
            given["radius"] = check_radii("radius", given["radius"])
        elif given and kind in (TableProfile, TableCurve):
            raise InputError(f"{name}.radius", "missing", f"radii for the {next(iter(given))} given")
        if len(given) == len(fields):
            return cls(kind, given, kind(**given))
        return cls(kind, given)

    def candidates(self) -> list[_Wanted]:
        """Return the laws of light to try: one, or a disc and a ring where nothing, or a table, is asked for."""
        if self.whole is not None or self.cls not in (None, TableProfile):
            return [self]
        return [_Wanted(ExponentialDisc), _Wanted(GaussianRing)]

    def missing(self) -> list[str]:
        """Return the parameters that are to be guessed."""
        if self.whole is not None or self.cls is None:
            return []
        return [field.name for field in dataclasses.fields(self.cls) if field.name not in self.given]


# -- what is seen -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _View:
    """The part of a cube that holds signal, made positive, with zeros where a voxel does not count."""

    cube: Cube
    data: FloatArray
    mask: np.ndarray
    use: np.ndarray
    sign: float
    #: What a sum of voxels is divided by to give a flux.
    beam_pixels: float
    #: What ``data`` are in, a power of two near the brightest voxel: 32 bits cannot hold squares of 1e-20 W/m2.
    unit: float
    #: Width by which the spectra were smoothed, 1 sigma, km/s.
    lsf_sigma: float = 0.0

    @classmethod
    def of(cls, cube: Any) -> _View:
        if not isinstance(cube, Cube):
            raise InputTypeError("cube", repr(cube), "a Cube", "Read it with read_cube.")
        if cube.grid.nv < 2:
            raise InputError("the number of channels", 1, "at least 2: a single one shows no velocities")
        if not cube.valid.any():
            raise InputError("cube", "without a single usable voxel", "a cube with finite voxels")
        cube = _with_one_beam(cube)
        mask = _main_body(_detect(cube), cube.data)
        cube, mask = _crop(cube, mask)
        cube, mask = _bin(cube, mask, MANY)
        use = cube.valid
        peak = float(np.abs(cube.data[use]).max())
        unit = 2.0 ** round(np.log2(peak))
        data = np.where(use, cube.data / unit, 0.0).astype(np.float32)
        sign = 1.0 if data[mask].sum() >= 0 else -1.0
        pixels = 1.0 if cube.beam is None else cube.beam.pixels(cube.grid.cell)
        return cls(cube, sign * data, mask, use, sign, pixels, unit)

    def blurred(self, fwhm: float, sigma: float) -> _View:
        """Return the same, smoothed by so much more on the sky (arcsec) and along velocity (km/s, 1 sigma).

        Discs that are far from each other overlap in it, so that steps lead from one to the other.
        """
        grid, pixel = self.grid, fwhm / FWHM_PER_SIGMA / self.grid.cell
        amount = _smoothed(self.use.astype(np.float32), grid, sigma, pixel)
        whole = _smoothed(np.ones(grid.shape, dtype=np.float32), grid, sigma, pixel)
        smooth = _smoothed(self.data, grid, sigma, pixel)
        share = amount / whole  # of the light around a voxel, how much was seen
        use = share > 0.5
        beam = Beam(fwhm)
        if self.cube.beam is not None:
            old = self.cube.beam
            beam = Beam(float(np.hypot(old.bmaj, fwhm)), float(np.hypot(old.bmin or 0.0, fwhm)), old.bpa)
        smooth *= beam.pixels(grid.cell) / self.beam_pixels
        data = np.where(use, smooth / np.where(use, share, 1.0), np.nan)
        cube, mask = _bin(Cube(data, grid, beam), self.mask, FEW)
        valid = cube.valid
        data = np.where(valid, cube.data, 0.0).astype(np.float32)
        return _View(cube, data, mask, valid, self.sign, beam.pixels(cube.grid.cell), self.unit, sigma)

    @property
    def grid(self) -> CubeGrid:
        return self.cube.grid

    @functools.cached_property
    def fwhm(self) -> float:
        """Resolution, arcsec: the beam's major axis, or two pixels."""
        return 2.0 * self.grid.cell if self.cube.beam is None else self.cube.beam.bmaj

    @functools.cached_property
    def light(self) -> FloatArray:
        """Integrated intensity inside the mask, never negative, shape (ny, nx)."""
        return np.maximum(_integral(np.where(self.mask, self.data, 0.0), self.grid), 0.0)

    def seen(self, disc: Disc) -> Disc:
        """Return a disc with lines as wide as they are here."""
        return disc.replace(lsf_sigma=np.hypot(disc.lsf_sigma, self.lsf_sigma)) if self.lsf_sigma else disc

    def mean_velocity(self, data: FloatArray) -> FloatArray:
        """Intensity-weighted velocity of a cube inside the mask, shape (ny, nx); NaN without light."""
        inside = np.where(self.mask, data, 0.0)
        if self.grid.edges is not None:
            inside *= (self.grid.widths / self.grid.dv)[:, None, None]
        total = inside.sum(axis=0)
        found = np.full(total.shape, np.nan)
        lit = total > 0.0
        found[lit] = np.einsum("k,kyx->yx", self.grid.velocities, inside)[lit] / total[lit]
        # A sum that noise has brought close to zero gives velocities that are nowhere in the line.
        inside_range = (found > self.grid.velocities[0]) & (found < self.grid.velocities[-1])
        return np.where(inside_range, found, np.nan)


def _with_one_beam(cube: Cube) -> Cube:
    """Return a cube of beams per channel as if all had the typical one: near enough for a guess, and easy to bin."""
    if cube.beam is None or cube.beam.typical is cube.beam:
        return cube
    beam = cube.beam.typical
    share = beam.pixels(cube.grid.cell) / np.atleast_1d(cube.pixels_per_beam)
    per_beam = "beam" in cube.unit.lower()
    return cube.replace(data=cube.data * share[:, None, None] if per_beam else cube.data, beam=beam)


def _integral(data: FloatArray, grid: CubeGrid) -> FloatArray:
    """Integral over velocity, shape (ny, nx)."""
    return np.asarray(data.sum(axis=0) * grid.dv if grid.edges is None else np.tensordot(grid.widths, data, 1))


def _smoothed(data: FloatArray, grid: CubeGrid, sigma: float, pixels: float) -> FloatArray:
    """Return a cube smoothed by Gaussians, ``sigma`` km/s and ``pixels`` wide; beyond its ends there is nothing."""
    along = 0.0 if grid.edges is not None else sigma / grid.dv
    smooth = scipy.ndimage.gaussian_filter(data, (along, pixels, pixels), mode="constant")
    if grid.edges is None:
        return np.asarray(smooth)
    # What a Gaussian carries from channel j to channel k: differences of the integral of its distribution function.
    x = (grid.velocity_edges[:, None] - grid.velocity_edges) / sigma
    ramp = sigma * (x * scipy.special.ndtr(x) + np.exp(-0.5 * x**2) / np.sqrt(2.0 * np.pi))
    shares = -np.diff(np.diff(ramp, axis=0), axis=1) / grid.widths[:, None]
    return np.tensordot(shares.astype(np.float32), smooth, 1)


def _detect(cube: Cube) -> np.ndarray:
    """Return where the signal is; what is faint is looked for with a wider beam as well."""
    mask = detection_mask(cube)
    rms = estimate_rms(cube.data, cube.valid)
    if mask.any() and np.abs(cube.data[mask]).mean() > FAINT * rms:
        return mask
    wider = Beam(WIDER * (3.0 * cube.grid.cell if cube.beam is None else cube.beam.bmaj))
    mask |= detection_mask(cube.replace(beam=wider), core=SURE)
    if not mask.any():
        fix = "Give inc, pa, v_sys, flux, a surface_brightness and a rotation with all their parameters yourself."
        raise InputError("the signal", "nowhere above the noise", "a detection to guess a disc from", fix)
    return mask


def _main_body(mask: np.ndarray, data: FloatArray) -> np.ndarray:
    """Keep the brightest connected region of a mask and those that are not much fainter: the two halves of a disc."""
    labels, count = scipy.ndimage.label(mask, np.ones((3, 3, 3)))
    light = np.abs(scipy.ndimage.sum_labels(np.where(mask, data, 0.0), labels, np.arange(1, count + 1)))
    keep = np.concatenate([[False], light > BODY * light.max()])
    return np.asarray(keep[labels])


def _crop(cube: Cube, mask: np.ndarray) -> tuple[Cube, np.ndarray]:
    """Cut out the box that holds the mask, with a margin: faint light around it counts too."""
    grid = cube.grid
    margin = (2.0 * grid.cell if cube.beam is None else cube.beam.bmaj) / grid.cell
    box = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        extent = found[-1] - found[0] + 1
        extra = int(np.ceil(max(2.0, 0.15 * extent) if axis == 0 else margin + 0.25 * extent))
        box.append(slice(max(int(found[0]) - extra, 0), min(int(found[-1]) + extra + 1, mask.shape[axis])))
    cut = tuple(box)
    data = cube.data[cut]
    smaller = CubeGrid(
        data.shape,
        grid.cell,
        grid.dv,
        float(grid.velocities[box[0].start + data.shape[0] // 2]),
        x_ref=float(grid.x_ref or 0.0) - box[2].start,
        y_ref=float(grid.y_ref or 0.0) - box[1].start,
        edges=None if grid.edges is None else grid.edges[box[0].start : box[0].stop + 1],
        lsf_sigma=None if grid.lsf_sigma is None else grid.lsf_sigma[box[0]],
    )
    return Cube(data, smaller, cube.beam, cube.unit, None if cube.mask is None else cube.mask[cut]), mask[cut]


def _bin(cube: Cube, mask: np.ndarray, many: int) -> tuple[Cube, np.ndarray]:
    """Average pixels and channels of a large cube, as long as three pixels are left to the beam and some channels."""
    grid = cube.grid
    m = max(1, grid.nv // CHANNELS)
    n = 1 if cube.beam is None else max(1, int(float(cube.beam.bmin or 0.0) / (3.0 * grid.cell)))
    n = min(n, int(np.ceil(np.sqrt(cube.data.size / m / many))))
    if m * n == 1:
        return cube, mask
    nv, ny, nx = grid.nv // m, grid.ny // n, grid.nx // n

    def blocks(values: FloatArray) -> FloatArray:
        return values[: nv * m, : ny * n, : nx * n].reshape(nv, m, ny, n, nx, n)

    valid = blocks(cube.valid)
    if grid.edges is None:
        count = valid.sum(axis=(1, 3, 5))
        total = np.where(valid, blocks(cube.data), 0.0).sum(axis=(1, 3, 5))
    else:
        share = (grid.widths[: nv * m] / grid.dv).reshape(nv, m, 1, 1, 1, 1)
        count = (valid * share).sum(axis=(1, 3, 5))
        total = (np.where(valid, blocks(cube.data), 0.0) * share).sum(axis=(1, 3, 5))
    data = np.where(count > 0, total / np.where(count > 0, count, 1), np.nan)
    x_ref, y_ref = ((float(ref or 0.0) - 0.5 * (n - 1)) / n for ref in (grid.x_ref, grid.y_ref))
    v_ref = float(grid.velocities[: nv * m].reshape(nv, m)[nv // 2].mean())
    coarse = CubeGrid(
        (nv, ny, nx),
        n * grid.cell,
        m * grid.dv,
        v_ref,
        x_ref=x_ref,
        y_ref=y_ref,
        edges=None if grid.edges is None else grid.edges[: nv * m + 1 : m],
        lsf_sigma=None if grid.lsf_sigma is None else grid.lsf_sigma[: nv * m].reshape(nv, m).mean(axis=1),
    )
    # Half of a block is enough: a mask that loses its edges loses its light.
    inside = blocks(mask).sum(axis=(1, 3, 5)) >= 0.5 * m * n * n
    return Cube(data, coarse, cube.beam, cube.unit), inside & (count > 0)


# -- moments ------------------------------------------------------------------------------------------------------


class _Moments:
    """First estimates, each made with what is known."""

    def __init__(self, view: _View, known: Mapping[str, Any]) -> None:
        grid, light = view.grid, view.light
        self.flux = float(light.sum() / view.beam_pixels)
        east, north = np.meshgrid(grid.east, grid.north)
        weight = light / light.sum()
        self.east = float(known.get("east", (weight * east).sum()))
        self.north = float(known.get("north", (weight * north).sum()))
        profile = np.where(view.mask, view.data, 0.0).sum(axis=(1, 2))
        middle, self.width = line_width(grid.velocities, profile)
        self.v_sys = float(known.get("v_sys", middle))
        field = view.mean_velocity(view.data)
        east, north = east - self.east, north - self.north
        self.other_pa = None
        if "pa" in known:
            self.pa = float(np.median(known["pa"]))
            along = east * np.sin(np.radians(self.pa)) + north * np.cos(np.radians(self.pa))
            seen = np.isfinite(field)
            self.turns = np.sign(np.sum((light * along * (field - self.v_sys))[seen])) or 1.0
        else:
            self.pa, self.turns = kinematic_pa(field - self.v_sys, light, grid, (self.east, self.north)), 1.0
            # In a disc velocity times position averages to a vector along the major axis, whatever beam and
            # inclination: a second opinion, better where the field is noisy and worse where it is one-sided.
            turn = np.nan_to_num(light * (field - self.v_sys))
            self.other_pa = float(np.degrees(np.arctan2((turn * east).sum(), (turn * north).sum())))
        major, minor = self._spreads(view, east, north, weight)
        self.major = major
        ratio = minor / major
        self.inc = float(np.median(known["inc"])) if "inc" in known else float(np.degrees(np.arccos(min(ratio, 1.0))))

    def turned(self) -> _Moments:
        """Return the same with the other position angle."""
        other = copy.copy(self)
        other.pa = other.other_pa if other.other_pa is not None else other.pa
        return other

    def _spreads(self, view: _View, east: FloatArray, north: FloatArray, weight: FloatArray) -> tuple[float, float]:
        """Rms extents along the kinematic axes, less the beam's, arcsec."""
        sin, cos = np.sin(np.radians(self.pa)), np.cos(np.radians(self.pa))
        beam = np.zeros((2, 2)) if view.cube.beam is None else view.cube.beam.covariance()
        spreads = []
        for across, up in ((sin, cos), (cos, -sin)):
            variance = float((weight * (across * east + up * north) ** 2).sum())
            axis = np.array([-across, up])  # (x West, y North), as the covariance has it
            spreads.append(variance - float(axis @ beam @ axis))
        # A source hardly larger than the beam keeps a tenth of it.
        least = (0.1 * view.fwhm) ** 2
        return float(np.sqrt(max(spreads[0], least))), float(np.sqrt(max(spreads[1], least)))


def line_width(velocities: FloatArray, profile: FloatArray) -> tuple[float, float]:
    """Return the middle and the full width (km/s) of a line at 20 and 50 % of its peak, both averaged.

    Parameters
    ----------
    velocities, profile : ndarray, shape (nv,)
        Ascending velocities of the channels, km/s, and the line, emission.
    """
    ends = []
    for level in (0.2 * profile.max(), 0.5 * profile.max()):
        above = np.flatnonzero(profile >= level)
        pair = []
        for k, step in ((above[0], -1), (above[-1], 1)):
            outside = k + step
            if 0 <= outside < profile.size:
                part = (profile[k] - level) / (profile[k] - profile[outside])
                pair.append(velocities[k] + part * (velocities[outside] - velocities[k]))
            else:
                pair.append(velocities[k])
        ends.append(pair)
    low, high = np.mean(ends, axis=0)
    return float(0.5 * (low + high)), float(high - low)


def kinematic_pa(
    field: FloatArray, weight: FloatArray, grid: CubeGrid, centre: tuple[float, float] = (0.0, 0.0)
) -> float:
    """Position angle of the receding half of a velocity field's major axis (Krajnovic et al. 2006, appendix C).

    For each trial angle the field is averaged with its mirror images, odd along and even across that axis; the
    angle is the one whose average differs least from the field.

    Parameters
    ----------
    field : ndarray, shape (ny, nx)
        Velocities relative to the systemic one, km/s; NaN where there is none.
    weight : ndarray, shape (ny, nx)
        Of each pixel, such as the integrated intensity.
    grid : CubeGrid
        Pixels.
    centre : tuple of float
        (east, north), arcsec.

    Returns
    -------
    float
        Degrees, 0 to 360; steps of half a degree.
    """
    seen = np.isfinite(field) & (weight > 0.0)
    if not seen.any():
        return 0.0
    x0, y0 = float(grid.x_ref or 0.0) - centre[0] / grid.cell, float(grid.y_ref or 0.0) + centre[1] / grid.cell
    y, x = np.nonzero(seen)
    end = float(np.hypot(x - x0, y - y0).max()) + 1.0
    radii = np.arange(0.5, end, max(1.0, end / RINGS))
    theta = np.radians(np.arange(360))
    # On rings round the centre a mirror is a shift and a reversal of the azimuths.
    at = np.array([y0 + np.outer(radii, np.cos(theta)), x0 - np.outer(radii, np.sin(theta))])
    smooth = scipy.ndimage.map_coordinates(np.where(seen, weight * field, 0.0), at, order=1)
    amount = scipy.ndimage.map_coordinates(np.where(seen, weight, 0.0), at, order=1)
    present = amount > 1e-3 * amount.max()
    velocity = np.where(present, smooth / np.where(present, amount, 1.0), 0.0)
    mass = np.where(present, np.sqrt(np.maximum(amount, 0.0)), 0.0) * radii[:, None]
    k = np.arange(360)

    def misfit(twice: int) -> float:
        """Of twice the trial angle."""
        images = ((1.0, (twice - k) % 360), (-1.0, (twice + 180 - k) % 360), (-1.0, (k + 180) % 360))
        total, count = velocity * present, present.astype(float)
        for parity, index in images:
            total = total + parity * velocity[:, index]
            count = count + present[:, index]
        shared = count > 1.0
        mean = total / np.maximum(count, 1.0)
        # With fewer images the field lies closer to their average: n / (n - 1) makes up for it.
        excess = np.where(shared, count / np.maximum(count - 1.0, 1.0), 0.0)
        return float(np.sum(mass * shared * excess * (velocity - mean) ** 2) / max(np.sum(mass * shared), 1e-300))

    # Every two degrees, then every half round the best of them: the misfit is smooth.
    best = min(range(0, 360, 4), key=misfit)
    pa = 0.5 * min((twice % 360 for twice in range(best - 4, best + 5)), key=misfit)
    along = np.cos(theta - np.radians(pa))
    return pa if np.sum(mass * velocity * along) >= 0.0 else pa + 180.0


# -- the model, a few steps ---------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Variable:
    """A parameter of the refinement.

    Lengths, velocities and dispersions move by their logarithm; the variable of ``rotation.v_max`` is v_max sin i,
    which a line's width fixes whatever the inclination. A weak prior keeps what the data do not tell where it began.
    """

    path: str
    low: float
    high: float
    step: float
    log: bool = False
    centre: float = 0.0
    width: float = np.inf


def _without_loser(rivals: list[_Steps]) -> list[_Steps]:
    """Give up the disc or the ring where it is clear which of them it is."""
    if len(rivals) == 1:
        return rivals
    disc, ring = rivals
    if abs(disc.chi2 - ring.chi2) * disc.n <= CLEAR * min(disc.chi2, ring.chi2):
        return rivals
    return [ring] if _is_ring(ring, disc) else [disc]


def _is_ring(ring: _Steps, other: _Steps) -> bool:
    """Whether the centre is empty, and that shows."""
    law = ring.disc.surface_brightness
    empty = isinstance(law, GaussianRing) and law.radius > 0.0 and float(law(0.0)) < EMPTY
    return empty and (other.chi2 - ring.chi2) * ring.n > 9.0 * ring.chi2


def _best_start(view: _View, moments: _Moments, light: _Wanted, speed: _Wanted, known: Mapping[str, Any]) -> _Steps:
    """Return the best of some inclinations to start from."""
    widths = (0.15, 0.4) if light.cls is GaussianRing and light.whole is None else (1.0,)
    incs = _inclinations(moments, known)
    first, variables = _start(view, moments, light, speed, known, incs[len(incs) // 2], widths[-1])
    model = Model(view.seen(first), view.grid, view.cube.beam, COARSE)
    if moments.other_pa is not None:
        other = _Steps(view, model, first.replace(pa=moments.other_pa), variables)
        if other.chi2 < _Steps(view, model, first, variables).chi2:
            moments = moments.turned()
    starts = [_start(view, moments, light, speed, known, inc, width) for inc in incs for width in widths]
    return min((_Steps(view, model, disc, variables) for disc, variables in starts), key=lambda steps: steps.chi2)


def _inclinations(moments: _Moments, known: Mapping[str, Any]) -> list[float]:
    if "inc" in known:
        return [moments.inc]
    return sorted({float(np.clip(moments.inc, 25.0, 75.0)), 30.0, 45.0, 60.0, 75.0})


def _start(
    view: _View, moments: _Moments, light: _Wanted, speed: _Wanted, known: Mapping[str, Any], inc: float, width: float
) -> tuple[Disc, list[_Variable]]:
    grid = view.grid
    extent = max(4.0 * moments.major, view.fwhm)
    sin_i = max(float(np.sin(np.radians(inc))), 0.1)
    v_max = moments.turns * 0.5 * max(moments.width, 0.5 * grid.dv) / sin_i
    scale = moments.major / np.sqrt(3.0)  # of an exponential disc: <R^2> = 6 scale^2, half of it along either axis
    ring = moments.major * np.sqrt(2.0)
    law, light_moves = _light_start(light, scale, ring, width, extent, view)
    turn = 0.1 * ring if isinstance(law, GaussianRing) else 0.5 * scale
    # A ring shows no rotation inside of it: its turnover stays where such turnovers are.
    hold = 0.5 if isinstance(law, GaussianRing) else 1.0
    curve, speed_moves = _speed_start(speed, v_max, turn, hold, extent, moments.major, view)
    values: dict[str, Any] = {
        "inc": inc,
        "pa": moments.pa,
        "v_sys": moments.v_sys,
        "sigma_gas": max(LEAST_SIGMA, 0.5 * grid.dv),
        "flux": moments.flux,
        "east": moments.east,
        "north": moments.north,
    }
    far = 1e9
    moves = [
        _Variable("flux", 1e-3 * moments.flux, 1e3 * moments.flux, 1.0, log=True),
        _Variable("inc", *INC, 10.0),
        _Variable("pa", -far, far, 15.0),
        _Variable("v_sys", grid.velocities[0], grid.velocities[-1], max(0.15 * moments.width, grid.dv)),
        _Variable("sigma_gas", 0.05 * grid.dv, 3.0 * moments.width + grid.dv, 0.5, log=True),
        _Variable("east", -far, far, view.fwhm),
        _Variable("north", -far, far, view.fwhm),
    ]
    variables = [move for move in moves if move.path not in known] + light_moves + speed_moves
    whole = {**values, **known, "surface_brightness": law, "rotation": curve}
    if "flux" in known:
        whole["flux"] = view.sign * float(known["flux"])
    return Disc(**whole), variables


def _light_start(
    wanted: _Wanted, scale: float, ring: float, width: float, extent: float, view: _View
) -> tuple[Any, list[_Variable]]:
    if wanted.whole is not None:
        return wanted.whole, []
    cls = wanted.cls or ExponentialDisc
    first = {
        ExponentialDisc: {"scale": scale},
        GaussianRing: {"radius": ring, "width": width * ring},
        SersicDisc: {"r_eff": 1.678 * scale, "n": 1.0},
    }[cls]
    least = 0.02 * view.fwhm
    moves = {
        "scale": _Variable("", least, extent, 0.4, log=True),
        "radius": _Variable("", least, min(1.7 * ring, extent), 0.3, log=True),
        "width": _Variable("", least, extent, 0.4, log=True),
        "r_eff": _Variable("", least, extent, 0.4, log=True),
        "n": _Variable("", 0.3, 6.0, 0.3, log=True, width=0.7),
    }
    return cls(**{**first, **wanted.given}), _named("surface_brightness", moves, first, wanted)


def _speed_start(
    wanted: _Wanted, v_max: float, turn: float, hold: float, extent: float, radius: float, view: _View
) -> tuple[Any, list[_Variable]]:
    if wanted.whole is not None:
        return wanted.whole, []
    cls, given = (ArctanCurve, {}) if wanted.cls in (None, TableCurve) else (wanted.cls, wanted.given)
    above = 1.2 if cls is ArctanCurve else 1.0  # what an arctan tends to is not reached within the light
    if cls is KeplerianCurve:
        pc = radius * PC_PER_ARCSEC_MPC * float(given["distance"])
        first = {"mass": max(v_max**2 * pc / G_PC, 1.0)}
    else:
        first = {"v_max": above * v_max, **({} if cls is FlatCurve else {"r_turn": turn})}
    amount = abs(v_max)
    moves = {
        "v_max": _Variable("", 0.02 * amount, 8.0 * amount, 0.3, log=True, width=2.0),
        "mass": _Variable("", 1e-4 * first.get("mass", 1.0), 1e4 * first.get("mass", 1.0), 0.6, log=True),
        "r_turn": _Variable("", 0.05 * view.fwhm, extent, 0.5, log=True, width=hold),
    }
    return cls(**{**first, **given}), _named("rotation", moves, first, _Wanted(cls, given))


def _named(head: str, moves: Mapping[str, _Variable], first: Mapping[str, float], wanted: _Wanted) -> list[_Variable]:
    free = [name for name in first if name not in wanted.given]
    return [dataclasses.replace(moves[name], path=f"{head}.{name}") for name in free]


class _Steps:
    """Damped Gauss-Newton steps (Levenberg 1944, Marquardt 1963) from a disc to a better one."""

    def __init__(self, view: _View, model: Model, disc: Disc, variables: list[_Variable]) -> None:
        self.view, self.model, self.disc, self.variables = view, model, disc, variables
        self.paths = [variable.path for variable in variables]
        self.n = max(float(view.use.sum()) / view.beam_pixels, 1.0)
        self.q = np.array([self._of_disc(variable) for variable in variables])
        self.q0 = self.q.copy()
        if "flux" in self.paths:
            self._best_flux()
        self.chi2 = self._chi2(self.disc)

    def seen_in(self, view: _View) -> _Steps:
        """Return the same disc before other data."""
        if view is self.view:
            return self
        return _Steps(view, Model(view.seen(self.disc), view.grid, view.cube.beam, COARSE), self.disc, self.variables)

    def run(self, steps: int) -> None:
        """Move until chi-squared falls no more."""
        damping = 1e-2
        for _ in range(steps if self.variables else 0):
            if not self.chi2 > 0.0:
                return
            curvature, slope = self._normal()
            scale, before = self.chi2 / self.n, self._total(self.disc, self.q, self.chi2)
            while damping < 1e6:
                q = self._move(curvature, slope, damping)
                disc = self._disc(q)
                chi2 = self._chi2(disc)
                after = self._total(disc, q, chi2, scale)
                if after < before:
                    break
                damping *= 5.0
            else:
                return
            self.q, self.disc, self.chi2, damping = q, disc, chi2, max(damping / 10.0, 1e-6)
            if before - after < max(GAIN * before, scale):
                return

    @property
    def significance(self) -> float:
        """By how many sigma chi-squared falls with the disc, of data that are independent."""
        without = _product(self.view.data * self.view.use, self.view.data)
        return float(np.sqrt(max(without - self.chi2, 0.0) * self.n / max(self.chi2, 1e-300)))

    @property
    def inc_error(self) -> float:
        """Error of inc, degrees, by the linearised model; 0 where inc is known."""
        if "inc" not in self.paths:
            return 0.0
        k = self.paths.index("inc")
        covariance = np.linalg.pinv(self._normal()[0], hermitian=True) * self.chi2 / self.n
        return float(np.sqrt(max(covariance[k, k], 0.0)))

    def _move(self, curvature: FloatArray, slope: FloatArray, damping: float) -> FloatArray:
        free = np.ones(len(self.q), dtype=bool)
        low, high, most = (np.array([getattr(v, name) for v in self.variables]) for name in ("low", "high", "step"))
        for k, variable in enumerate(self.variables):
            if variable.log:
                low[k], high[k] = np.log(low[k]), np.log(high[k])
        while True:  # what would leave its bounds stays there, and the others move without it
            held = curvature[np.ix_(free, free)]
            diagonal = np.diag(held)
            held = held + np.diag(damping * diagonal + 1e-12 * max(diagonal.max(initial=0.0), 1e-300))
            step = np.zeros(len(self.q))
            step[free] = np.linalg.solve(held, slope[free])
            step /= max(1.0, float(np.max(np.abs(step) / most)))
            stuck = free & (((self.q <= low) & (step < 0.0)) | ((self.q >= high) & (step > 0.0)))
            if not stuck.any():
                return np.clip(self.q + step, low, high)
            free &= ~stuck
            if not free.any():
                return self.q.copy()

    def _normal(self) -> tuple[FloatArray, FloatArray]:
        """Return half the second derivatives and minus half the slope of the total, per moved variable."""
        changes = slopes(self.model, self.view.seen(self.disc), self.paths)
        factors = {path: float(self.disc.value(path)) for path in self.paths}
        if "inc" in self.paths and "rotation.v_max" in self.paths:
            k, v = self.paths.index("inc"), self.paths.index("rotation.v_max")
            cot = np.radians(1.0) / np.tan(np.radians(float(self.disc.inc)))
            changes[k] -= changes[v] * np.float32(factors["rotation.v_max"] * cot)
        for k, variable in enumerate(self.variables):
            if variable.log:
                changes[k] *= np.float32(factors[variable.path])
        changes *= self.view.use
        rest = self._rest(self.disc)
        size = len(self.q)
        curvature, slope = np.empty((size, size)), np.empty(size)
        for k in range(size):
            slope[k] = _product(changes[k], rest)
            for m in range(k + 1):
                curvature[k, m] = curvature[m, k] = _product(changes[k], changes[m])
        weight = self.chi2 / self.n / np.array([v.width for v in self.variables]) ** 2
        return curvature + np.diag(weight), slope - weight * (self.q - self.q0)

    def _total(self, disc: Disc, q: FloatArray, chi2: float, scale: float | None = None) -> float:
        width = np.array([v.width for v in self.variables])
        return chi2 + (self.chi2 / self.n if scale is None else scale) * float((((q - self.q0) / width) ** 2).sum())

    def _rest(self, disc: Disc) -> FloatArray:
        """Return the data less the model, zero where a voxel does not count."""
        rest = self.view.data - self.model(self.view.seen(disc))
        rest *= self.view.use
        return rest

    def _chi2(self, disc: Disc) -> float:
        rest = self._rest(disc)
        return _product(rest, rest)

    def _best_flux(self) -> None:
        model = self.model(self.view.seen(self.disc)) * self.view.use
        square, product = _product(model, model), _product(model, self.view.data)
        k = self.paths.index("flux")
        if product > 0.0:
            flux = float(np.clip(self.disc.flux * product / square, self.variables[k].low, self.variables[k].high))
            self.disc = self.disc.replace(flux=flux)
            self.q[k] = self.q0[k] = np.log(flux)

    def _sin_i(self, inc: Any) -> float:
        return max(float(np.sin(np.radians(np.median(inc)))), 1e-3)

    def _of_disc(self, variable: _Variable) -> float:
        value = float(self.disc.value(variable.path))
        if variable.path == "rotation.v_max":
            value = abs(value) * self._sin_i(self.disc.inc)
        return float(np.log(value)) if variable.log else value

    def _disc(self, q: FloatArray) -> Disc:
        values = {v.path: float(np.exp(x)) if v.log else float(x) for v, x in zip(self.variables, q, strict=True)}
        if "rotation.v_max" in values:
            sign = np.sign(float(self.disc.value("rotation.v_max")))
            values["rotation.v_max"] *= sign / self._sin_i(values.get("inc", self.disc.inc))
        return self.disc.with_values(values)


def _product(first: FloatArray, second: FloatArray) -> float:
    """Sum of products; not a BLAS dot product, whose last bits depend on the number of threads."""
    return float(np.einsum("i,i->", first.ravel(), second.ravel()))


# -- tables -------------------------------------------------------------------------------------------------------


def _plane(view: _View, disc: Disc) -> tuple[FloatArray, FloatArray]:
    """Return radius (arcsec) in the disc and cosine of the azimuth from the receding major axis, per pixel."""
    inc, pa = np.radians(float(np.median(disc.inc))), np.radians(float(np.median(disc.pa)))
    east, north = np.meshgrid(view.grid.east - disc.east, view.grid.north - disc.north)
    along = east * np.sin(pa) + north * np.cos(pa)
    across = (east * np.cos(pa) - north * np.sin(pa)) / max(np.cos(inc), np.cos(np.radians(INC[1])))
    radius = np.hypot(along, across)
    return radius, along / np.maximum(radius, 1e-9)


def _radii(view: _View, disc: Disc) -> FloatArray:
    """Radii from the centre to where the signal ends on the major axis, a beam apart at least."""
    radius, cosine = _plane(view, disc)
    light = np.where(np.abs(cosine) > np.cos(np.radians(30.0)), view.light, 0.0).ravel()
    order = np.argsort(radius, axis=None, kind="stable")
    within = np.cumsum(light[order])
    # The last two percent of the light are noise around the galaxy as well as its edge.
    end = max(float(radius.ravel()[order][np.searchsorted(within, 0.98 * within[-1])]), view.fwhm)
    count = int(np.clip(end // view.fwhm + 1, FEWEST, MOST))
    return np.asarray(np.linspace(0.0, end, count))


def _tents(radii: FloatArray, radius: FloatArray) -> FloatArray:
    """Linear interpolation between radii as a sum of tents, shape (n, ...): end values are held."""
    return np.array([np.interp(radius, radii, unit) for unit in np.eye(radii.size)])


def _velocity_table(view: _View, disc: Disc, given: Mapping[str, Any]) -> TableCurve:
    """Rotation at some radii: the law's, corrected by what the velocity field has beyond that of its model.

    Both fields see the same beam and the same mask, so that the beam's smearing drops out of their difference.
    """
    radii = given.get("radius")
    radii = _radii(view, disc) if radii is None else radii
    law = disc.rotation(radii)  # type: ignore[misc]
    sin_i = max(float(np.sin(np.radians(np.median(disc.inc)))), np.sin(np.radians(INC[0])))
    model = Model(disc, view.grid, view.cube.beam, COARSE)(disc)
    excess = view.mean_velocity(view.data) - view.mean_velocity(model)
    radius, cosine = _plane(view, disc)
    seen = np.isfinite(excess) & (view.light > 0.0) & (radius <= radii[-1] + view.fwhm)
    if not seen.any():
        return TableCurve(radii, law)
    waves = (_tents(radii, radius) * cosine * sin_i)[:, seen]
    weight = view.light[seen] * np.abs(cosine[seen])
    normal = np.einsum("ip,jp->ij", waves * weight, waves)
    # Radii that hardly any pixel tells of stay with the law.
    normal += 0.1 * np.diag(np.full(radii.size, np.trace(normal) / radii.size))
    excess_law = np.linalg.solve(normal, np.einsum("ip,p->i", waves * weight, excess[seen]))
    limit = 0.5 * np.abs(law).max()
    found = law + np.clip(excess_law, -limit, limit)
    sense = -1.0 if law.sum() < 0.0 else 1.0
    return TableCurve(radii, np.where(radii == 0.0, law, sense * np.maximum(sense * found, 0.0)))


def _brightness_table(view: _View, disc: Disc, given: Mapping[str, Any]) -> TableProfile:
    """Brightness at some radii, its peak 1: the law's, times the ratio of the light to that of its model."""
    radii = given.get("radius")
    radii = _radii(view, disc) if radii is None else radii
    law = np.asarray(disc.surface_brightness(radii))  # type: ignore[operator]
    model = Model(disc, view.grid, view.cube.beam, COARSE)(disc)
    expected = _integral(np.where(view.mask, model, 0.0), view.grid)
    radius, _ = _plane(view, disc)
    tents = _tents(radii, radius) * (radius <= radii[-1])
    light, ours = (np.einsum("iyx,yx->i", tents, field) for field in (view.light, expected))
    ratio = np.where(ours > 0.01 * ours.max(), light / np.where(ours > 0.0, ours, 1.0), 1.0)
    found = law * np.clip(ratio, 0.2, 5.0)
    return TableProfile(radii, found / found.max() if found.max() > 0.0 else np.ones(radii.size))


# -- what is said -------------------------------------------------------------------------------------------------


def _tell(disc: Disc, known: Mapping[str, Any], light: _Wanted, speed: _Wanted, fit: _Steps) -> None:
    paths = [path for path in ("inc", "pa", "v_sys", "sigma_gas", "flux", "east", "north") if path not in known]
    for head, wanted in (("surface_brightness", light), ("rotation", speed)):
        law = getattr(disc, head)
        if wanted.whole is None:
            fields = [field.name for field in dataclasses.fields(law)]
            paths += [f"{head}.{name}" for name in fields if name not in wanted.given]
    if not paths:
        return
    told = ", ".join(
        f"{path} = {_text(disc.value(path))} {UNITS.get(path.rpartition('.')[2], '')}".rstrip() for path in paths
    )
    note = ""
    if "inc" in paths and any(path.startswith("rotation.") for path in paths):
        error = fit.inc_error
        if disc.inc <= INC[0]:
            note = " Nearly face-on: the data hardly tell inc and the rotation apart."
        elif error > POOR:
            note = f" The data hardly tell inc (+- {min(error, 90.0):.0f} deg) and the rotation apart."
    logger.info("Guessed from the data: %s.%s", told, note)


def _text(value: float | FloatArray) -> str:
    return " ".join(f"{number:.4g}" for number in np.ravel(value))
