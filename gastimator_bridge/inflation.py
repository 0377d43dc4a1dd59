"""The rule for N, the number of constraints that errors are inflated for."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from kinms.errors import InputError, InputTypeError
from kinms.likelihood import Inflation

__all__ = ["inflation"]


def inflation(inflate: Any, finite: Any, mask: Any = None) -> Inflation:
    """Return N and the factor (2N)^(1/4) that errors are multiplied with.

    It makes a change of chi^2 by its own standard deviation, sqrt(2N), a 1-sigma one (van den Bosch & van de Ven 2009,
    section 4.2; Smith et al. 2019).

    Parameters
    ----------
    inflate : bool, float or str
        False: no inflation. True: N = all finite voxels. A number: that N. ``auto``: the voxels of ``mask`` where they
        are under half of all finite ones (and not none), else as True.
    finite : array_like of bool
        True where the data are finite; others never count.
    mask : array_like of bool, optional
        Detection mask of the same shape, True = detected; without it ``auto`` is as True.

    Returns
    -------
    kinms.likelihood.Inflation
        ``n``, ``factor`` (1 without inflation) and, in words, ``mode``.

    Raises
    ------
    InputError, InputTypeError
        ``inflate`` is none of these, or ``mask`` does not fit the data.

    Examples
    --------
    >>> inflation(True, np.ones(8, bool)).factor
    2.0
    >>> print(inflation("auto", np.ones(100, bool), np.arange(100) < 8))
    errors x (2N)^(1/4) = 2, N = 8 (detection mask)
    """
    finite = np.asarray(finite, dtype=bool)
    voxels = int(np.count_nonzero(finite))
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise InputTypeError("mask", f"an array of {mask.dtype}", "an array of bool, True = detected")
        if mask.shape != finite.shape:
            raise InputError("mask", f"of shape {mask.shape}", f"shape {finite.shape}, as the data")
    if isinstance(inflate, bool | np.bool_):
        n, mode = voxels, "all voxels" if inflate else "none"
    elif isinstance(inflate, str):
        if inflate != "auto":
            raise InputError("inflate", repr(inflate), "False, True, a number or 'auto'")
        detected = 0 if mask is None else int(np.count_nonzero(mask & finite))
        n, mode = (detected, "detection mask") if 0 < detected < 0.5 * voxels else (voxels, "all voxels")
    elif isinstance(inflate, Real):
        if not 1.0 <= float(inflate) < np.inf:
            raise InputError("inflate", inflate, "a number of constraints, at least 1")
        n, mode = round(float(inflate)), "given"
    else:
        raise InputTypeError("inflate", repr(inflate), "False, True, a number or 'auto'")
    return Inflation(mode, n, 1.0 if mode == "none" else float((2.0 * n) ** 0.25))
