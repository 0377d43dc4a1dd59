"""Frozen value objects, and the checks that their fields go through.

Grids, beams, laws and discs are small immutable records: two are equal when their fields are, they can be hashed,
pickled and printed back (``eval(repr(x)) == x``), and ``x.replace(name=value)`` gives a new one.
"""

from __future__ import annotations

import dataclasses
import math
from numbers import Real
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from kinms.errors import InputError, InputTypeError, UnknownNameError

__all__ = ["FloatArray", "Record", "check_array", "check_radii", "check_scalar", "check_scalar_or_array"]

FloatArray = npt.NDArray[Any]


class Record:
    """Base of the frozen dataclasses: equality, hash and repr that know arrays, and `replace`."""

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed.

        Raises
        ------
        UnknownNameError
            If a name is not a field.
        """
        fields = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        for name in changes:
            if name not in fields:
                raise UnknownNameError(f"{type(self).__name__} field", name, fields)
        return type(self)(**{**{name: getattr(self, name) for name in fields}, **changes})

    def _key(self) -> tuple[Any, ...]:
        values = (getattr(self, f.name) for f in dataclasses.fields(self))  # type: ignore[arg-type]
        return tuple((v.shape, v.tobytes()) if isinstance(v, np.ndarray) else v for v in values)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __repr__(self) -> str:
        parts = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            parts.append(f"{field.name}={value.tolist() if isinstance(value, np.ndarray) else value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


def check_scalar(
    name: str,
    value: Any,
    *,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    exclusive: bool = False,
) -> float:
    """Return ``value`` as a finite float inside the bounds, or say which argument is wrong and why.

    Parameters
    ----------
    name : str
        What the user calls it.
    value : object
        Number, 0-d array or 1-element array.
    minimum, maximum : float
        Bounds, inclusive unless ``exclusive`` (which concerns the minimum).
    """
    if type(value) is float or isinstance(value, np.float64):
        number = float(value)  # by far the most common
    else:
        number = _as_number(name, value)
    if not math.isfinite(number):
        raise InputError(name, number, "a finite number")
    if number < minimum or (exclusive and number == minimum) or number > maximum:
        low = f"{'> ' if exclusive else '>= '}{minimum:g}" if np.isfinite(minimum) else ""
        high = f"<= {maximum:g}" if np.isfinite(maximum) else ""
        raise InputError(name, f"{number:g}", " and ".join(x for x in (low, high) if x))
    return number


def _as_number(name: str, value: Any) -> float:
    """Return a number, a 0-d or a 1-element array as a float."""
    if isinstance(value, (str, bytes)) or value is None:
        raise InputTypeError(name, repr(value), "a number")
    _check_plain(name, value)
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise InputTypeError(name, repr(value), "a number") from None
    if array.size != 1:
        raise InputError(f"the shape of {name}", array.shape, "one number")
    return float(array.reshape(-1)[0])


def _check_plain(name: str, value: Any) -> None:
    """Refuse what numpy would strip of its unit or its mask without a word."""
    unit = getattr(value, "unit", None)
    if unit is not None and str(unit) != "":
        fix = "Give it in the unit of the documentation: .to_value(unit), of a column .quantity.to_value(unit)."
        raise InputError(name, f"in {unit}", "plain numbers", fix)
    if getattr(getattr(value, "dtype", None), "kind", "f") in "mM":
        raise InputTypeError(name, f"a date or a time ({value})", "plain numbers")
    check_unmasked(name, value)


def check_unmasked(name: str, value: Any) -> None:
    """Refuse an array with masked elements, whose values mean nothing."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        n = int(np.ma.count_masked(value))
        raise InputError(name, f"masked in {n} of {value.size} places", "numbers in all places", "Leave these out.")


def check_array(
    name: str, value: Any, *, shape: tuple[int, ...] | None = None, minimum: float = -np.inf, maximum: float = np.inf
) -> FloatArray:
    """Return ``value`` as a finite, read-only float array, of ``shape`` if given (-1 there means any length)."""
    if value is None or isinstance(value, (str, bytes)):
        raise InputTypeError(name, repr(value), "an array of numbers")
    _check_plain(name, value)
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError):
        raise InputTypeError(name, type(value).__name__, "an array of numbers") from None
    if shape is not None:
        fits = array.ndim == len(shape) and all(n in (-1, m) for n, m in zip(shape, array.shape, strict=True))
        if not fits:
            wanted = "(" + ", ".join("n" if n == -1 else str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
            raise InputError(f"the shape of {name}", array.shape, f"shape {wanted}")
    if not np.all(np.isfinite(array)):
        bad = np.flatnonzero(~np.isfinite(array.ravel()))
        raise InputError(name, f"not finite at index {bad[0]} ({bad.size} in all)", "finite numbers")
    if array.size and (array.min() < minimum or array.max() > maximum):
        bad_value = array.min() if array.min() < minimum else array.max()
        raise InputError(name, f"{bad_value:g} at its extreme", f"values from {minimum:g} to {maximum:g}")
    array.setflags(write=False)
    return array


def check_radii(name: str, value: Any) -> FloatArray:
    """Return radii as a read-only array: 1-D, at least two, none negative, strictly increasing."""
    radii = check_array(name, value, shape=(-1,))
    if radii.size < 2:
        raise InputError(f"the length of {name}", radii.size, "at least 2 radii")
    if radii[0] < 0:
        raise InputError(name, f"negative ({radii.min():g})", "radii >= 0 in arcsec")
    if np.any(np.diff(radii) <= 0):
        k = int(np.flatnonzero(np.diff(radii) <= 0)[0])
        raise InputError(
            name, f"not increasing at index {k + 1}", "strictly increasing radii", "Sort it together with its values."
        )
    return radii


def check_seed(seed: Any) -> np.random.SeedSequence:
    """Return the seed as a SeedSequence that nobody else spawns from: the same seed draws the same, however often.

    Parameters
    ----------
    seed : int, numpy.random.SeedSequence or None
        None is a new one every time.
    """
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key, pool_size=seed.pool_size)
    if seed is None:
        return np.random.SeedSequence()
    return np.random.SeedSequence(check_whole("seed", seed, 0))


def check_whole(name: str, value: Any, least: int) -> int:
    """Return ``value`` as an int; it must be a whole number of at least ``least`` (3e3 is one, True is not)."""
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not number.is_integer():
        raise InputTypeError(name, repr(value), "a whole number")
    if number < least:
        raise InputError(name, value, f"at least {least}")
    return int(value)


def check_scalar_or_array(
    name: str, value: Any, length: int | None, *, minimum: float = -np.inf, maximum: float = np.inf
) -> float | FloatArray:
    """Return a float, or a read-only array of ``length`` values: one per radius.

    Raises
    ------
    InputError
        If an array comes without radii (``length`` None) or with another length than they have.
    """
    if np.ndim(value) == 0:
        return check_scalar(name, value, minimum=minimum, maximum=maximum)
    array = check_array(name, value, minimum=minimum, maximum=maximum)
    if length is None:
        raise InputError(
            f"the shape of {name}", array.shape, "a scalar, as no radius is given", "Give radius with one per value."
        )
    if array.shape != (length,):
        raise InputError(
            f"the shape of {name}",
            array.shape,
            f"a scalar or shape ({length},), one per radius",
            f"Interpolate {name} onto radius first.",
        )
    return array
