"""A TOML file -> the same objects that a script would build, with errors that name the line and the key.

Keys and their types are those of the classes: a field added to `Disc`, to a law or to `Sampling` can be set in a file
without a word here. No data are read before `Config.read_data` is called.

With ``[data]`` the description of the disc may have gaps. Checks then are made with an outline, a disc that has
stand-ins in the gaps, and `Config.disc_for` fills them from the data.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinms.cube import Cube, Sampling
from kinms.disc import Disc
from kinms.errors import ConfigError, InputError, InputTypeError, KinmsError, KinmsWarning, UnknownNameError
from kinms.flows import FLOW, Flow
from kinms.grid import PSF, Beam, CubeGrid
from kinms.guessing import guess
from kinms.priors import PRIORS, Prior
from kinms.profiles import (
    ROTATION,
    SURFACE_BRIGHTNESS,
    BrightnessLaw,
    RotationLaw,
)
from kinms.psf import DoubleGaussian, ImagePSF, Moffat
from kinms.records import FloatArray, check_scalar
from kinms.toml_document import Document, Key, field_types, shorten

__all__ = ["Config", "DataOptions", "FitOptions", "NoiseOptions", "given", "load"]

logger = logging.getLogger(__name__)

#: Laws are tables with a ``kind``.
LAWS: dict[Any, Mapping[str, type]] = {BrightnessLaw: SURFACE_BRIGHTNESS, RotationLaw: ROTATION, Flow: FLOW}

#: Laws that can be guessed: their table in ``[disc]``, and the kinds there are.
GUESSED_LAWS: dict[str, Mapping[str, type]] = {"surface_brightness": SURFACE_BRIGHTNESS, "rotation": ROTATION}
#: Numbers of ``[disc]`` that are guessed where they are left out, with stand-ins for the time being; the centre is only
#: guessed where it is free, and else that of the data.
GUESSED = {"inc": 45.0, "pa": 0.0, "v_sys": 0.0, "sigma_gas": 1.0, "flux": 1.0}
CENTRE = {"east": 0.0, "north": 0.0}
#: Parameters of laws that no cube tells.
UNTOLD = ("distance",)
#: Radii of a table that gives none, until they are guessed.
STAND_IN_RADII = 8
#: Probability outside of which a guess is moved into its prior.
EDGE = 0.01


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """``[data]``: the cube to fit and what is taken of it.

    Parameters
    ----------
    cube : str
        FITS file, relative to the configuration.
    mask : str, optional
        FITS file of the cube's shape; voxels are used where it is not zero.
    gain : str, optional
        FITS file of the cube's shape, or of its sky axes alone: the sensitivity at each position on any scale, such as
        the primary beam, or the gain map of a mosaic. The noise goes as its inverse.
    rms : float, optional
        Noise of a voxel in the cube's unit; default measured.
    velocity_range : tuple of float, optional
        Channels whose centres lie inside are kept, km/s.
    rest_frequency : float, optional
        Hz, in place of the header's.
    centre : tuple of float, optional
        (ra, dec) in degrees from which `east` and `north` count.
    size : float, optional
        Side of the square box that is cut out round `centre`, arcsec.
    line, redshift : optional
        Name of the line, such as ``"CO(2-1)"``, and redshift of the source: see `kinms.read_cube`.
    rest_wavelength, convention, hdu : optional
        For cubes that need them, see `kinms.read_cube`.
    box : tuple of pairs of int, optional
        Channels, rows and columns that are kept, ``[[v0, v1], [y0, y1], [x0, x1]]``, 0-based, ends exclusive.
    crop_to_mask : bool, optional
        Whether only the smallest box round ``mask`` is read.
    common_beam : bool, optional
        Whether a cube with one beam per channel is brought to their smallest common one.
    variance : int, str or bool, optional
        HDU that holds the noise of each voxel; default the one that the file has. False takes none.
    flags : int, str or bool, optional
        The same of quality flags.
    lsf : tuple of pairs of float, optional
        The spectrograph's response, ``[[wavelength, FWHM], ...]`` in Angstrom: see `kinms.read_cube`.
    """

    cube: str
    mask: str | None = None
    gain: str | None = None
    rms: float | None = None
    velocity_range: tuple[float, float] | None = None
    rest_frequency: float | None = None
    centre: tuple[float, float] | None = None
    size: float | None = None
    rest_wavelength: float | None = None
    convention: str | None = None
    hdu: int | str | None = None
    line: str | None = None
    redshift: float | None = None
    box: tuple[tuple[int, int], ...] | None = None
    crop_to_mask: bool | None = None
    common_beam: bool | None = None
    variance: int | str | bool | None = None
    flags: int | str | bool | None = None
    lsf: tuple[tuple[float, float], ...] | None = None


@dataclasses.dataclass(frozen=True)
class ImageBeam:
    """``[beam]`` with ``kind = "image"``: a PSF from a file.

    Parameters
    ----------
    path : str
        FITS image, relative to the configuration.
    cell : float, optional
        Size of its pixels, arcsec, where its header does not tell.
    """

    path: str
    cell: float | None = None


#: What ``[beam]`` may be, by its ``kind``; a Gaussian where it has none.
BEAM_KINDS: dict[str, type] = {
    "gaussian": Beam,
    "moffat": Moffat,
    "double_gaussian": DoubleGaussian,
    "image": ImageBeam,
}


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """``[fit]``: what is passed on to `kinms.fit`. None stands for that function's own default.

    Parameters
    ----------
    method : str, optional
        Sampler: ``gastimator``, ``emcee`` or ``dynesty``; or ``optimise``.
    likelihood : str, optional
        ``white``, ``inflated``, ``correlated`` or ``student``.
    steps, chains : int, optional
        Steps per chain, burn-in included, and number of chains.
    burn : float, optional
        See `kinms.fit`.
    seed : int, optional
        The same seed gives the same chain.
    processes : int, optional
        Never changes the chain.
    inflate : bool, float or str, optional
        Error inflation of the likelihood ``inflated``.
    flux : str, optional
        ``given``, ``best`` or ``marginal``, see `DiscPosterior`.
    checkpoint : float, optional
        Seconds between two checkpoints, default 60.

    Raises
    ------
    InputError
        If the time between checkpoints is negative.
    """

    method: str | None = None
    likelihood: str | None = None
    steps: int | None = None
    chains: int | None = None
    burn: float | None = None
    seed: int | None = None
    processes: int | None = None
    inflate: bool | float | str | None = None
    flux: str | None = None
    checkpoint: float | None = None

    def __post_init__(self) -> None:
        if self.checkpoint is not None:
            check_scalar("checkpoint", self.checkpoint, minimum=0.0)


@dataclasses.dataclass(frozen=True)
class NoiseOptions:
    """``[noise]``: noise added to a simulation, correlated with the beam.

    Parameters
    ----------
    rms : float
        Jy/beam.
    seed : int
        The same seed gives the same noise.

    Raises
    ------
    InputError
        If either is negative.
    """

    rms: float
    seed: int = 0

    def __post_init__(self) -> None:
        check_scalar("rms", self.rms, minimum=0.0)
        check_scalar("seed", self.seed, minimum=0)


@dataclasses.dataclass(frozen=True)
class Config:
    """All that a configuration file says. Tables that it lacks are None (``free``: empty).

    Parameters
    ----------
    document : Document
        The file, for errors that name its lines.
    outline : Disc
        ``[disc]``, with stand-ins in the gaps.
    gaps : tuple of str
        What ``[disc]`` leaves to be guessed from the data: ``"inc"``, ``"rotation.velocity"``, ``"rotation"`` (all of
        it). Empty without ``[data]``.
    free : dict
        ``[free]``: dotted path -> prior.
    fit : FitOptions
        ``[fit]``.
    data, grid, beam, sampling, noise : DataOptions, CubeGrid, PSF, Sampling, NoiseOptions, optional
        The tables of the same names.
    """

    document: Document
    outline: Disc
    gaps: tuple[str, ...]
    free: dict[str, Prior]
    fit: FitOptions
    data: DataOptions | None = None
    grid: CubeGrid | None = None
    beam: PSF | None = None
    sampling: Sampling | None = None
    noise: NoiseOptions | None = None

    @property
    def disc(self) -> Disc:
        """The disc that the file gives.

        Raises
        ------
        ConfigError
            If it leaves something to be guessed: then `disc_for` gives the disc.
        """
        if self.gaps:
            raise self.document.error(("disc",), f"leaves {', '.join(self.gaps)} to be guessed from the data.")
        return self.outline

    def disc_for(self, data: Cube | None = None) -> Disc:
        """Return the disc, with what the file leaves out guessed from the data.

        A guess outside of its prior is moved inside, and what depends on it is guessed again; the log tells.

        Parameters
        ----------
        data : Cube, optional
            Default: what `read_data` returns, where it is needed.

        Raises
        ------
        ConfigError
            If a path of ``[free]`` does not suit the guess.
        InputError
            If nothing can be guessed from the data; see `kinms.guess`.
        """
        if not self.gaps:
            return self.outline
        data = self.read_data() if data is None else data
        known = self._known()
        with self.naming("disc"):
            disc = guess(data, **known)
        self._check_free(disc)
        moved = self._moved(disc)
        again = {path: value for path, value in moved.items() if path in Disc.__dataclass_fields__}
        if again:
            logger.info("Moved into the prior: %s; the rest is guessed again.", _listed(again))
            disc = guess(data, **{**known, **again})
            moved = self._moved(disc)
        if moved:
            logger.info("Moved into the prior: %s.", _listed(moved))
        return disc.with_values(moved)

    def _known(self) -> dict[str, Any]:
        """Return the arguments of `guess`: what the file gives, and the laws as far as it does."""
        default = {field.name: field.default for field in dataclasses.fields(Disc)}
        known = {name: getattr(self.outline, name) for name in default if name not in (*self.gaps, *GUESSED_LAWS)}
        for head in GUESSED_LAWS:
            law = getattr(self.outline, head)
            left = [gap.partition(".")[2] for gap in self.gaps if gap.partition(".")[0] == head]
            names = [field.name for field in dataclasses.fields(law)]
            if not left:
                known[head] = law
            elif "" not in left:
                known[head] = {"kind": type(law), **{name: getattr(law, name) for name in names if name not in left}}
        return known

    def _check_free(self, disc: Disc) -> None:
        for path in self.free:
            try:
                disc.value(path)
            except (InputError, UnknownNameError) as error:
                raise self.document.error(("free", path), str(error)) from error

    def _moved(self, disc: Disc) -> dict[str, Any]:
        """Return the guesses that their priors do not allow, moved inside."""
        moved: dict[str, Any] = {}
        for path, prior in self.free.items():
            name = path.partition("[")[0]
            if name in self.gaps or name.partition(".")[0] in self.gaps:
                value = np.asarray(prior.wrap(disc.value(path)))
                low, high = prior.bounds
                inside = value if prior.is_periodic else np.clip(value, *prior.ppf([EDGE, 1.0 - EDGE]))
                outside = (value <= low) | (value >= high)
                if np.any(outside):
                    new = np.where(outside, inside, value)
                    moved[path] = new if new.ndim else float(new)
        return moved

    def missing(self, table: str, purpose: str) -> ConfigError:
        """Return the error to raise where ``purpose`` cannot do without a table (``"free"``) that is not there."""
        return self.document.error((table,), f"the table is missing; {purpose}.")

    def inputs(self) -> list[Path]:
        """Return the files that belong to this configuration, itself included: what a run must not write over."""
        names = [] if self.data is None else [self.data.cube, self.data.mask, self.data.gain]
        names.append(self.document.tables.get("beam", {}).get("path"))
        paths = [self.document.path, *(self.document.resolve(name) for name in names if name)]
        return [path.resolve() for path in paths]

    def read_data(self) -> Cube:
        """Read ``[data]``, with the beam of ``[beam]`` where there is one.

        Raises
        ------
        ConfigError
            If there is no ``[data]``, a file is missing, or a value does not suit the cube.
        HeaderError, FileError
            If the cube cannot be understood.

        Warns
        -----
        KinmsWarning
            If ``[beam]`` takes the place of another beam in the file.
        """
        if self.data is None:
            raise self.missing("data", "it names the cube to read")
        options = self._selection()
        rms = options.pop("rms", None)
        options.pop("gain", None)
        from kinms.fits_read import read_cube  # astropy is slow to import: what is wrong above is told before

        with self.naming("data"), warnings.catch_warnings():
            if self.beam is not None:  # what the header lacks is given here
                warnings.filterwarnings("ignore", "no beam", KinmsWarning)
            cube = read_cube(options.pop("cube"), **options)
            if rms is not None:
                cube = cube.replace(rms=check_scalar("rms", rms, minimum=0.0, exclusive=True))
        if self.beam is None:
            return cube
        if cube.beam is not None and not np.allclose(self.beam.covariance(), cube.beam.covariance(), rtol=1e-6):
            said = f"{cube.beam.bmaj:.5g} x {cube.beam.bmin:.5g} arcsec at PA {cube.beam.bpa:.5g} deg"
            warnings.warn(f"[beam] replaces the beam of the file, {said}.", KinmsWarning, stacklevel=2)
        return cube.replace(beam=self.beam)

    def read_gain(self) -> FloatArray | None:
        """Read the map of the noise that ``[data]`` names, cut as the cube is; None if it names none.

        Raises
        ------
        ConfigError
            If a file is missing, or the map does not suit the cube.
        HeaderError, FileError
            If a file cannot be understood.
        """
        if self.data is None or self.data.gain is None:
            return None
        options = self._selection()
        from kinms.fits_read import read_gain

        others = ("cube", "gain", "mask", "rms", "crop_to_mask", "common_beam", "variance", "flags", "lsf")
        known = {name: value for name, value in options.items() if name not in others}
        with self.naming("data"):
            return read_gain(options["gain"], options["cube"], **known)

    def _selection(self) -> dict[str, Any]:
        """Return what ``[data]`` says, with the paths of files that are there."""
        assert self.data is not None  # for the type checker: those who ask have looked
        options = given(self.data)
        for name in ("cube", "mask", "gain"):
            if name in options:
                options[name] = self.document.file(("data", name))
        for name in ("variance", "flags"):
            if options.get(name) is False:
                options[name] = None
        return options

    @contextlib.contextmanager
    def naming(self, *tables: str) -> Iterator[None]:
        """Turn an error raised inside about an argument that is a key of these tables into one that names its line.

        Raises
        ------
        ConfigError
            In place of an `InputError`, `InputTypeError` or `UnknownNameError` whose name is a key; other errors pass.
        """
        try:
            yield
        except (InputError, InputTypeError, UnknownNameError) as error:
            for table in tables:
                options = self.outline if table == "disc" else getattr(self, table)
                names = options if isinstance(options, dict) else field_types(type(options))
                blamed = self.document.blame((table,), names, error)
                if blamed is not None:
                    raise blamed from error
            raise


def given(options: DataOptions | FitOptions) -> dict[str, Any]:
    """Return the options that are not left to their defaults, as keyword arguments."""
    return {name: value for name, value in dataclasses.asdict(options).items() if value is not None}


def load(path: str | Path) -> Config:
    """Read a configuration file.

    Parameters
    ----------
    path : str or Path
        TOML. Paths inside are relative to the file. What ``[disc]`` leaves out is guessed from ``[data]``; without
        that, laws, inc and pa are required.

    Returns
    -------
    Config
        Discs, grids, priors ... equal to those that a script would build.

    Raises
    ------
    FileError
        If the file cannot be read.
    ConfigError
        For anything in it that is unknown, missing, of the wrong type or out of bounds; names the line and the key
        and what is allowed.
    """
    document = Document.read(path, LAWS)
    document.check_keys((), document.tables, TABLES)
    for name in document.tables:
        document.table((name,))
    if "disc" not in document.tables and "data" not in document.tables:
        raise document.error(("disc",), "the table is missing; it describes the galaxy.")
    table = document.tables.get("disc", {})
    gaps: list[str] = []
    if "data" in document.tables:
        table, gaps = _outline(document, table)
    # A law is the one default of Disc that a file cannot do without: cloudlets are for scripts.
    disc = document.build(Disc, ("disc",), table, required=("rotation",))
    optional: dict[str, Any] = {
        name: _beam(document) if name == "beam" else document.build(cls, (name,), document.tables[name])
        for name, cls in OPTIONAL.items()
        if name in document.tables
    }
    data = optional.get("data")
    if data is not None and data.crop_to_mask and data.gain:
        raise document.error(("data", "crop_to_mask"), "does not cut the gain: give centre and size instead.")
    fit = optional.pop("fit", FitOptions())
    return Config(document, disc, tuple(gaps), dict(_free(document, disc)), fit, **optional)


#: Tables that may be left out, and what they become.
OPTIONAL: dict[str, type] = {
    "data": DataOptions,
    "fit": FitOptions,
    "grid": CubeGrid,
    "beam": Beam,
    "sampling": Sampling,
    "noise": NoiseOptions,
}
TABLES = ("disc", "free", *OPTIONAL)


def _beam(document: Document) -> PSF:
    """Build ``[beam]``: a Gaussian, or what its ``kind`` says."""
    table = dict(document.table(("beam",)))
    kind = table.pop("kind", "gaussian")
    if not isinstance(kind, str) or kind not in BEAM_KINDS:
        raise document.error(("beam", "kind"), str(UnknownNameError("kind", kind, BEAM_KINDS)))
    beam: Any = document.build(BEAM_KINDS[kind], ("beam",), table)
    if not isinstance(beam, ImageBeam):
        return beam
    try:
        return ImagePSF.read(document.file(("beam", "path")), beam.cell)
    except KinmsError as error:
        raise document.error(("beam", "path"), str(error)) from error


def _outline(document: Document, table: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return ``[disc]`` with stand-ins for what it leaves out, and the paths of these gaps."""
    freed = [".".join(key[1:]).partition("[")[0] for key in _freed(document)]
    wanted = {**GUESSED, **{name: value for name, value in CENTRE.items() if name in freed}}
    gaps = [name for name in wanted if name not in table]
    filled = {**table, **{name: wanted[name] for name in gaps}}
    for head, kinds in GUESSED_LAWS.items():
        law = table.get(head, {})
        if not isinstance(law, dict):
            continue  # refused when the disc is built
        names = [path.partition(".")[2] for path in freed if path.partition(".")[0] == head]
        if "kind" not in law:
            law = {"kind": _kind(document, ("disc", head), {*law, *names}, kinds), **law}
        left = _left_out(kinds, law)
        filled[head] = {**law, **left}
        # The kind of the light is a guess as well where nothing tells it.
        gaps += [head] if head not in table and not names else [f"{head}.{name}" for name in left]
    if set(gaps) <= set(CENTRE):
        # A disc that lacks nothing else has its centre where it says nothing of it: at the reference position.
        return {**table, **{name: 0.0 for name in gaps}}, []
    return filled, gaps


def _kind(document: Document, key: Key, names: set[str], kinds: Mapping[str, type]) -> str:
    """Return the first kind of law that has all these parameters."""
    for kind, cls in kinds.items():
        if names <= field_types(cls).keys():
            return kind
    raise document.error((*key, "kind"), f"is missing; allowed: {', '.join(kinds)}.")


def _left_out(kinds: Mapping[str, type], law: Mapping[str, Any]) -> dict[str, Any]:
    """Return stand-ins for the parameters that a law's table lacks."""
    cls = kinds.get(law["kind"]) if isinstance(law["kind"], str) else None
    if cls is None:
        return {}  # refused when the disc is built
    types_of = field_types(cls)
    left = [name for name in types_of if name not in law and name not in UNTOLD]
    if all(FloatArray in types_of[name] for name in types_of):
        if "radius" in left and len(left) < len(types_of):
            return {}  # values without radii cannot be placed: refused when the disc is built
        radii = law.get("radius", [float(k) for k in range(STAND_IN_RADII)])
        size = len(radii) if isinstance(radii, list) else 2
        return {name: radii if name == "radius" else [1.0] * size for name in left}
    return dict.fromkeys(left, 1.0)


def _listed(values: Mapping[str, Any]) -> str:
    """Return ``inc = 41.2, rotation.velocity = 1 2 3``."""
    return ", ".join(f"{path} = {' '.join(f'{x:.4g}' for x in np.ravel(value))}" for path, value in values.items())


def _freed(document: Document) -> Iterator[Key]:
    """Yield the keys of ``[free]`` that hold priors; ``rotation.v_max`` may be quoted, dotted or a table of its own."""
    pending: list[Key] = [("free", name) for name in reversed(document.tables.get("free", {}))]
    while pending:
        key = pending.pop()
        value = document.value(key)
        if _is_group(value):
            pending += [(*key, name) for name in reversed(value)]
        else:
            yield key


def _free(document: Document, disc: Disc) -> Iterator[tuple[str, Prior]]:
    """Yield (path, prior) of ``[free]``."""
    for key in _freed(document):
        path = ".".join(key[1:])
        try:
            disc.value(path)
        except (InputError, UnknownNameError) as error:
            raise document.error(key, str(error)) from error
        yield path, _prior(document, key, document.value(key))


def _is_group(value: Any) -> bool:
    """Whether a value of ``[free]`` is a table of more parameters, not yet a prior."""
    is_table = isinstance(value, dict) and bool(value) and PRIORS.keys().isdisjoint(value)
    return is_table and all(isinstance(inner, dict) for inner in value.values())


def _prior(document: Document, key: Key, value: Any) -> Prior:
    """Build ``{ uniform = [0, 360], periodic = true }``: the numbers by position, the rest by name."""
    kinds = [name for name in value if name in PRIORS] if isinstance(value, dict) else []
    if len(kinds) != 1:
        example = "{ uniform = [0, 360] }"
        raise document.error(
            key, f"is {shorten(value)}; expected one prior, such as {example}; allowed: {', '.join(PRIORS)}."
        )
    kind = kinds[0]
    numbers = [name for name, types in field_types(PRIORS[kind]).items() if {float, FloatArray}.intersection(types)]
    listed = value[kind]
    if not isinstance(listed, list) or len(listed) > len(numbers):
        raise document.error((*key, kind), f"is {shorten(listed)}; expected a list: [{', '.join(numbers)}].")
    named = {name: item for name, item in value.items() if name != kind}
    by_position = dict(zip(numbers, listed, strict=False))
    for name in named:
        if name in by_position:
            raise document.error((*key, name), f"is given twice, the first time in {kind} = {shorten(listed)}.")
    return document.build(PRIORS[kind], key, {**by_position, **named})
