"""What stands beside the data in a FITS file: their noise (STAT, VARIANCE, IVAR, ERR ...) and quality flags (DQ, MASK).

Which extension belongs to which, in this order:

1. the data's cards ERRDATA and QUALDATA (ESO) name them;
2. else an extension of the same shape and EXTVER whose name is one of `KINDS` or `FLAGS`, after the same first part
   where names have two: ``AGN6.NOISE`` belongs to ``AGN6.DATA`` (KMOS).

What an extension means says its HDUCLAS3 (MSE, RMSE, INVMSE, INVRMSE), else its name: STAT (MUSE), VAR and VARIANCE
(SAMI, Gemini) hold variances, IVAR (MaNGA) their inverse, ERR (JWST), ERROR (CALIFA), NOISE (KMOS) and SIGMA 1 sigma.
BUNIT does not decide, as it is often a copy of the data's; where it is a multiple of the unit expected, the factor is
applied.

A flag that is not zero makes a voxel bad, but for two telescopes whose lesser flags are remarks: of MaNGA (MASK beside
IVAR and FLUX) only the bit DONOTUSE = 1024 does, of JWST the bit DO_NOT_USE = 1. An extension MASK is taken for flags
only where a noise extension stands beside it: elsewhere a mask may be one of signal. Flags whose HDUCLAS3 is MASKZERO
are left aside.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from kinms.errors import InputError
from kinms.fits_cards import Cards
from kinms.fits_file import ImageFile
from kinms.records import FloatArray

__all__ = ["Companion", "find_flags", "find_noise"]

#: Meaning of a noise extension by its name.
KINDS = {
    "STAT": "variance",
    "VARIANCE": "variance",
    "VAR": "variance",
    "IVAR": "inverse variance",
    "ERR": "sigma",
    "ERROR": "sigma",
    "NOISE": "sigma",
    "SIGMA": "sigma",
}
#: And by HDUCLAS3.
_CLASSES = {"MSE": "variance", "RMSE": "sigma", "INVMSE": "inverse variance", "INVRMSE": "inverse sigma"}
#: 1 sigma goes as this power of the numbers.
_POWERS = {"variance": 0.5, "sigma": 1.0, "inverse variance": -0.5, "inverse sigma": -1.0}

#: Names of quality flags.
FLAGS = ("DQ", "QUALITY", "BADPIX", "MASK")

#: MaNGA's DONOTUSE (bit 10 of DRP3PIXMASK), and JWST's DO_NOT_USE.
_MANGA, _JWST = 1 << 10, 1


@dataclasses.dataclass(frozen=True)
class Companion:
    """An extension that belongs to the data.

    Parameters
    ----------
    hdu : int
        Its number.
    name : str
        Its EXTNAME, or ``HDU n``.
    kind : str
        ``variance``, ``sigma``, ``inverse variance`` or ``inverse sigma``; ``flags``.
    factor : float
        What 1 sigma has to be multiplied with to be in the data's unit.
    bits : int
        Flags that make a voxel bad; 0 for all.
    remark : str
        What is doubtful about it.
    """

    hdu: int
    name: str
    kind: str
    factor: float = 1.0
    bits: int = 0
    remark: str = ""

    def __str__(self) -> str:
        return f"HDU {self.hdu} ({self.name})" if self.name else f"HDU {self.hdu}"

    def sigma(self, values: np.ndarray) -> FloatArray:
        """Return 1 sigma in the data's unit; NaN where a voxel has none: weight 0, no or a negative variance."""
        with np.errstate(all="ignore"):
            sigma = np.asarray(values, dtype=values.dtype.newbyteorder("=") if values.dtype.kind == "f" else float)
            sigma = np.where(sigma > 0.0, sigma, np.nan) ** sigma.dtype.type(_POWERS[self.kind])
            sigma *= sigma.dtype.type(self.factor)
        sigma[~(np.isfinite(sigma) & (sigma > 0.0))] = np.nan
        return np.asarray(sigma)

    def good(self, values: np.ndarray) -> np.ndarray:
        """Return where flags allow a voxel to be used."""
        if values.dtype.kind == "f":
            values = np.where(np.isfinite(values), values, -1.0).astype(np.int64)
        return np.asarray((values & self.bits) == 0 if self.bits else values == 0)


def find_noise(image: ImageFile, wanted: int | str | None = "auto") -> Companion | None:
    """Return the extension that holds the noise of the image, None if there is none.

    Parameters
    ----------
    image : ImageFile
    wanted : int or str or None
        ``auto``: as the module says. None: none. Else the number or name of the HDU: what its name does not tell is
        taken for variances.

    Raises
    ------
    InputError
        If the HDU that is wanted is not there, or not of the data's shape.
    """
    if wanted is None:
        return None
    if wanted != "auto":
        hdu = _wanted("variance", image, wanted)
        return _noise(image, hdu, _kind(image, hdu) or "variance")
    if _last(image.names[image.index]) in (*KINDS, *FLAGS):
        return None
    for hdu in _candidates(image, "ERRDATA", tuple(KINDS)):
        kind = _kind(image, hdu)
        if kind is not None:
            return _noise(image, hdu, kind)
    return None


def find_flags(image: ImageFile, wanted: int | str | None = "auto") -> Companion | None:
    """Return the extension that holds the quality flags of the image, None if there is none.

    Parameters
    ----------
    image : ImageFile
    wanted : int or str or None
        As of `find_noise`.

    Raises
    ------
    InputError
        As `find_noise`.
    """
    if wanted is None:
        return None
    if wanted != "auto":
        hdu = _wanted("flags", image, wanted)
        return Companion(hdu, image.names[hdu], "flags", bits=_bits(image, hdu))
    if _last(image.names[image.index]) in (*KINDS, *FLAGS):
        return None
    for hdu in _candidates(image, "QUALDATA", FLAGS):
        cards = Cards(image.headers[hdu])
        if cards.text("HDUCLAS3").upper() == "MASKZERO":
            continue
        if _last(image.names[hdu]) == "MASK" and find_noise(image) is None:
            continue
        return Companion(hdu, image.names[hdu], "flags", bits=_bits(image, hdu))
    return None


def _bits(image: ImageFile, hdu: int) -> int:
    if image.names[hdu] == "MASK" and "IVAR" in image.names and "FLUX" in image.names:
        return _MANGA
    return _JWST if Cards(image.headers[0]).text("TELESCOP").upper() == "JWST" else 0


def _wanted(name: str, image: ImageFile, wanted: int | str) -> int:
    hdu = image.find(wanted)
    if hdu == image.index or image.shape(hdu) != image.shape():
        got = f"{wanted!r}, of shape {image.shape(hdu)}"
        raise InputError(name, got, f"an HDU beside the data, of their shape {image.shape()}")
    return hdu


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _candidates(image: ImageFile, pointer: str, names: tuple[str, ...]) -> list[int]:
    """Return the HDUs of the data's shape that the card points to, else those whose names fit, best first."""
    data = image.headers[image.index]
    fitting = [k for k in range(len(image.names)) if k != image.index and image.shape(k) == image.shape() != ()]
    named = Cards(data).text(pointer).upper()
    pointed = [k for k in fitting if named and image.names[k] == named]
    if pointed:
        return pointed
    stem = image.names[image.index].rpartition(".")[0]
    version = data.get("EXTVER", 1)
    found = []
    for name in names:
        full = f"{stem}.{name}" if stem else name
        found += [k for k in fitting if image.names[k] == full and image.headers[k].get("EXTVER", 1) == version]
    return found


def _kind(image: ImageFile, hdu: int) -> str | None:
    said = Cards(image.headers[hdu]).text("HDUCLAS3").upper()
    return _CLASSES.get(said) or KINDS.get(_last(image.names[hdu]))


def _noise(image: ImageFile, hdu: int, kind: str) -> Companion:
    units = [Cards(image.headers[k]).text("BUNIT") for k in (image.index, hdu)]
    factor, remark = _unit_factor(units[0], units[1], kind) if all(units) else (1.0, "")
    return Companion(hdu, image.names[hdu], kind, factor, remark=remark)


def _unit_factor(data: str, noise: str, kind: str) -> tuple[float, str]:
    """Return the factor from the unit of 1 sigma to the data's, and a remark where the units do not go together."""
    import astropy.units as u

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wanted, stated = u.Unit(data), u.Unit(noise)
        except (ValueError, TypeError, AttributeError):
            return 1.0, ""  # units that cannot be read are not compared
        try:
            return float((stated ** _POWERS[kind]).to(wanted)), ""
        except (u.UnitConversionError, OverflowError):
            return 1.0, f"its unit {noise} is not that of {kind} of {data}: its numbers are taken as they stand"
