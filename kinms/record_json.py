"""Discs, priors, grids and other records to what JSON holds, and back, equal to the last bit.

A law or a prior is an object with its ``kind``, the name by which a configuration file chooses it, and its fields;
every other record is an object of its fields. Numbers keep all their digits; JSON has no infinity, which becomes the
string ``"inf"`` or ``"-inf"``.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from kinms.disc import Cloudlets
from kinms.errors import InputError, InputTypeError, UnknownNameError
from kinms.flows import FLOW, Flow
from kinms.grid import PSF, Beam
from kinms.priors import PRIORS, Prior
from kinms.profiles import ROTATION, SURFACE_BRIGHTNESS, AsymmetricDrift, BrightnessLaw, RotationLaw
from kinms.psf import BEAMS
from kinms.records import FloatArray, Record, check_array
from kinms.toml_document import field_types

__all__ = ["RecordedPrior", "decode", "encode", "finite"]

T = TypeVar("T")

#: Probabilities at which the quantiles of a prior are kept that has no name of its own.
_GRID = np.concatenate([[0.0, 1e-4, 1e-3], np.linspace(0.005, 0.995, 199), [0.999, 0.9999, 1.0]])


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RecordedPrior(Prior):
    """A prior that a saved result holds as a table, because no name in `PRIORS` stands for it.

    Parameters
    ----------
    text : str
        As it printed itself.
    quantiles : array_like, shape (205,)
        Its values at fixed probabilities; linear between them.
    low, high : float
        Its support.
    periodic : bool
        Whether the ends are the same point.
    """

    text: str
    quantiles: FloatArray
    low: float
    high: float
    periodic: bool = False
    kind: ClassVar[str] = "recorded"

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantiles", check_array("quantiles", self.quantiles, shape=_GRID.shape))

    @classmethod
    def of(cls, prior: Prior) -> RecordedPrior:
        """Return the table of a prior."""
        low, high = prior.bounds
        quantiles = prior.ppf(np.clip(_GRID, 1e-6, 1.0 - 1e-6))
        quantiles[0] = low if np.isfinite(low) else quantiles[0]
        quantiles[-1] = high if np.isfinite(high) else quantiles[-1]
        return cls(str(prior), quantiles, float(low), float(high), bool(prior.is_periodic))

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    @property
    def is_periodic(self) -> bool:
        """As recorded."""
        return self.periodic

    def __str__(self) -> str:
        return self.text

    def _log_density(self, x: FloatArray) -> Any:
        with np.errstate(divide="ignore"):
            density = np.diff(_GRID) / np.diff(self.quantiles)
            k = np.searchsorted(self.quantiles, x, side="right") - 1
            inside = (k >= 0) & (k < density.size)
            return np.where(inside, np.log(density[np.clip(k, 0, density.size - 1)]), -np.inf)

    def _cumulative(self, x: FloatArray) -> Any:
        return np.interp(x, self.quantiles, _GRID)

    def _quantile(self, q: FloatArray) -> Any:
        return np.interp(q, _GRID, self.quantiles)


#: Base class of a field -> kind -> class. Scripts know two kinds more than configuration files.
KINDS: dict[type, Mapping[str, type]] = {
    BrightnessLaw: SURFACE_BRIGHTNESS,
    RotationLaw: {**ROTATION, "asymmetric_drift": AsymmetricDrift},
    Flow: FLOW,
    Cloudlets: {"cloudlets": Cloudlets},
    Prior: {**PRIORS, "recorded": RecordedPrior},
    PSF: BEAMS,
}
#: The kind that needs no name.
PLAIN: dict[type, type] = {PSF: Beam}


def encode(value: Any) -> Any:
    """Return a record, an array, a number, a string or None as what JSON holds.

    A law that no name stands for is kept as ``{"kind": null, "text": ...}``: it can be read by people only. Such a
    prior becomes a table of its quantiles.

    Examples
    --------
    >>> from kinms.priors import TruncatedNormal
    >>> encode(TruncatedNormal(1, 2, low=0))
    {'kind': 'truncated_normal', 'mean': 1.0, 'sigma': 2.0, 'low': 0.0, 'high': 'inf'}
    """
    if isinstance(value, Record):
        return _encode_record(value)
    if isinstance(value, np.ndarray):
        return [encode(item) for item in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def _encode_record(record: Record) -> dict[str, Any]:
    fields = {
        field.name: encode(getattr(record, field.name))
        for field in dataclasses.fields(record)  # type: ignore[arg-type]
    }
    for base, kinds in KINDS.items():
        if isinstance(record, base) and type(record) is not PLAIN.get(base):
            kind = next((name for name, cls in kinds.items() if cls is type(record)), None)
            if kind is None and isinstance(record, Prior):
                return _encode_record(RecordedPrior.of(record))
            return {"kind": None, "text": repr(record)} if kind is None else {"kind": kind, **fields}
    return fields


def finite(document: Any) -> Any:
    """Return a JSON document with all its numbers as `encode` writes them: no NaN, no infinity, no numpy scalars."""
    if isinstance(document, dict):
        return {key: finite(item) for key, item in document.items()}
    if isinstance(document, (list, tuple)):
        return [finite(item) for item in document]
    return encode(document)


def decode(cls: type[T], value: Any, name: str = "") -> T:
    """Return the record of a class, or of one of its kinds, that `encode` wrote.

    Parameters
    ----------
    cls : type
        `Disc`, `Prior`, `CubeGrid` ...
    value : dict
        As read from JSON.
    name : str
        For errors.

    Raises
    ------
    InputError, InputTypeError, UnknownNameError
        If it is not such a record.

    Examples
    --------
    >>> from kinms.priors import Uniform
    >>> decode(Prior, encode(Uniform(0, 360, periodic=True)))
    Uniform(low=0.0, high=360.0, periodic=True)
    """
    name = name or cls.__name__.lower()
    if not isinstance(value, dict):
        raise InputTypeError(name, repr(value)[:60], f"an object, the fields of {cls.__name__}")
    target: Any = cls
    fields = dict(value)
    base, kinds = next(((base, kinds) for base, kinds in KINDS.items() if issubclass(cls, base)), (None, None))
    if base in PLAIN and "kind" not in fields:
        target = PLAIN[base]
    elif kinds is not None:
        kind = fields.pop("kind", None)
        if kind is None:
            raise InputError(name, str(value.get("text", value))[:60], "one that a name stands for", "Make it anew.")
        if kind not in kinds:
            raise UnknownNameError("kind", str(kind), kinds)
        target = kinds[kind]
    types = field_types(target)
    for key in fields:
        if key not in types:
            raise UnknownNameError(f"field of {name}", key, types)
    needed = [
        field.name
        for field in dataclasses.fields(target)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    for key in needed:
        if key not in fields:
            raise InputError(f"{name}.{key}", "missing", "a value")
    return target(**{key: _value(f"{name}.{key}", item, types[key]) for key, item in fields.items()})


def _value(name: str, value: Any, types: tuple[Any, ...]) -> Any:
    if isinstance(value, dict):
        records = [hint for hint in types if isinstance(hint, type) and issubclass(hint, Record)]
        # Cloudlets stand where a brightness law may: they have a kind of their own.
        chosen = [hint for hint in records if value.get("kind") in _kinds(hint)] or records
        if not chosen:
            raise InputTypeError(name, "an object", "a number")
        return decode(chosen[0], value, name)
    if value in ("inf", "-inf") and float in types:
        return float(value)
    if isinstance(value, list) and any(isinstance(hint, type) and hint is tuple for hint in map(_origin, types)):
        inner = next((typing.get_args(hint)[:1] for hint in types if _origin(hint) is tuple), ())
        return tuple(
            _value(f"{name}[{k}]", item, inner) if isinstance(item, dict) else item for k, item in enumerate(value)
        )
    return value


def _kinds(cls: type) -> Mapping[str, type]:
    return next((kinds for base, kinds in KINDS.items() if issubclass(cls, base)), {})


def _origin(hint: Any) -> Any:
    return getattr(hint, "__origin__", hint)
