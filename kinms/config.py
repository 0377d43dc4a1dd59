"""A TOML file -> the same objects that a script would build, with errors that name the line and the key.

Keys and their types are those of the classes: a field added to `Disc`, to a law or to `Sampling` can be set in a file
without a word here. No data are read before `Config.read_data` is called.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinms.cube import Cube, Sampling
from kinms.disc import Disc
from kinms.errors import ConfigError, InputError, InputTypeError, KinmsWarning, UnknownNameError
from kinms.flows import FLOW, Flow
from kinms.grid import Beam, CubeGrid
from kinms.priors import PRIORS, Prior
from kinms.profiles import (
    ROTATION,
    SURFACE_BRIGHTNESS,
    BrightnessLaw,
    RotationLaw,
)
from kinms.records import check_scalar
from kinms.toml_document import Document, Key, field_types, shorten

__all__ = ["Config", "DataOptions", "FitOptions", "NoiseOptions", "given", "load"]

#: Laws are tables with a ``kind``.
LAWS: dict[Any, Mapping[str, type]] = {BrightnessLaw: SURFACE_BRIGHTNESS, RotationLaw: ROTATION, Flow: FLOW}


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """``[data]``: the cube to fit and what is taken of it.

    Parameters
    ----------
    cube : str
        FITS file, relative to the configuration.
    mask : str, optional
        FITS file of the cube's shape; voxels are used where it is not zero.
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
    rest_wavelength, convention, hdu : optional
        For cubes that need them, see `kinms.read_cube`.
    """

    cube: str
    mask: str | None = None
    rms: float | None = None
    velocity_range: tuple[float, float] | None = None
    rest_frequency: float | None = None
    centre: tuple[float, float] | None = None
    size: float | None = None
    rest_wavelength: float | None = None
    convention: str | None = None
    hdu: int | str | None = None


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """``[fit]``: what is passed on to `kinms.fit`. None stands for that function's own default.

    Parameters
    ----------
    method : str, optional
        Sampler.
    likelihood : str, optional
        ``white``, ``inflated`` or ``correlated``.
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
    """

    method: str | None = None
    likelihood: str | None = None
    steps: int | None = None
    chains: int | None = None
    burn: float | None = None
    seed: int | None = None
    processes: int | None = None
    inflate: bool | float | str | None = None


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
    disc : Disc
        ``[disc]``.
    free : dict
        ``[free]``: dotted path -> prior.
    fit : FitOptions
        ``[fit]``.
    data, grid, beam, sampling, noise : DataOptions, CubeGrid, Beam, Sampling, NoiseOptions, optional
        The tables of the same names.
    """

    document: Document
    disc: Disc
    free: dict[str, Prior]
    fit: FitOptions
    data: DataOptions | None = None
    grid: CubeGrid | None = None
    beam: Beam | None = None
    sampling: Sampling | None = None
    noise: NoiseOptions | None = None

    def missing(self, table: str, purpose: str) -> ConfigError:
        """Return the error to raise where ``purpose`` cannot do without a table (``"free"``) that is not there."""
        return self.document.error((table,), f"the table is missing; {purpose}.")

    def inputs(self) -> list[Path]:
        """Return the files that belong to this configuration, itself included: what a run must not write over."""
        names = [] if self.data is None else [self.data.cube, self.data.mask]
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
        options = given(self.data)
        rms = options.pop("rms", None)
        for name in ("cube", "mask"):
            if name in options:
                options[name] = self.document.file(("data", name))
        from kinms.fits_io import read_cube  # astropy is slow to import: what is wrong above is told before

        with self.naming("data"):
            cube = read_cube(options.pop("cube"), **options)
            if rms is not None:
                cube = cube.replace(rms=check_scalar("rms", rms, minimum=0.0, exclusive=True))
        if self.beam is None:
            return cube
        if cube.beam is not None and not np.allclose(self.beam.covariance(), cube.beam.covariance(), rtol=1e-6):
            said = f"{cube.beam.bmaj:.5g} x {cube.beam.bmin:.5g} arcsec at PA {cube.beam.bpa:.5g} deg"
            warnings.warn(f"[beam] replaces the beam of the file, {said}.", KinmsWarning, stacklevel=2)
        return cube.replace(beam=self.beam)

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
                options = getattr(self, table)
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
        TOML. ``[disc]`` is required; paths inside are relative to the file.

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
    if "disc" not in document.tables:
        raise document.error(("disc",), "the table is missing; it describes the galaxy.")
    # A law is the one default of Disc that a file cannot do without: cloudlets are for scripts.
    disc = document.build(Disc, ("disc",), document.tables["disc"], required=("rotation",))
    optional: dict[str, Any] = {
        name: document.build(cls, (name,), document.tables[name])
        for name, cls in OPTIONAL.items()
        if name in document.tables
    }
    fit = optional.pop("fit", FitOptions())
    return Config(document, disc, dict(_free(document, disc)), fit, **optional)


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


def _free(document: Document, disc: Disc) -> Iterator[tuple[str, Prior]]:
    """Yield (path, prior) of ``[free]``; ``rotation.v_max`` may be quoted, dotted or a table of its own."""
    pending: list[Key] = [("free", name) for name in reversed(document.tables.get("free", {}))]
    while pending:
        key = pending.pop()
        value = document.value(key)
        if _is_group(value):
            pending += [(*key, name) for name in reversed(value)]
            continue
        path = ".".join(key[1:])
        try:
            disc.value(path)
        except (InputError, UnknownNameError) as error:
            raise document.error(key, str(error)) from error
        yield path, _prior(document, key, value)


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
    numbers = [name for name, types in field_types(PRIORS[kind]).items() if float in types]
    listed = value[kind]
    if not isinstance(listed, list) or len(listed) > len(numbers):
        raise document.error((*key, kind), f"is {shorten(listed)}; expected a list: [{', '.join(numbers)}].")
    named = {name: item for name, item in value.items() if name != kind}
    by_position = dict(zip(numbers, listed, strict=False))
    for name in named:
        if name in by_position:
            raise document.error((*key, name), f"is given twice, the first time in {kind} = {shorten(listed)}.")
    return document.build(PRIORS[kind], key, {**by_position, **named})
