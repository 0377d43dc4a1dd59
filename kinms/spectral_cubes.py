"""To and from spectral-cube (`spectral_cube.SpectralCube`), the package that many cubes are cut and smoothed with.

It is optional: ``pip install "kinms[spectral-cube]"``.
"""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from kinms.cube import Cube
from kinms.errors import InputError, InputTypeError
from kinms.fits_layout import read_header
from kinms.fits_read import as_floats, box_rms, warn_of
from kinms.fits_write import write_cube

__all__ = ["from_spectral_cube", "to_spectral_cube"]


def from_spectral_cube(cube: Any) -> Cube:
    """Return what a `spectral_cube.SpectralCube` holds: see `Cube.from_spectral_cube`."""
    _check_installed()
    from spectral_cube.base_class import BaseNDClass, SpectralAxisMixinClass

    if not (isinstance(cube, BaseNDClass) and isinstance(cube, SpectralAxisMixinClass) and len(cube.shape) == 3):
        fix = "Of polarised ones take one plane, such as cube.I."
        raise InputTypeError("cube", type(cube).__name__, "a spectral_cube.SpectralCube", fix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters of its header is said below
        header = fits.Header(cube.header, copy=True)
        beams = getattr(cube, "unmasked_beams", None)
        beam = None if beams is not None else getattr(cube, "_beam", None)
        if beam is not None:
            header.update(beam.to_header_keywords())
        data = np.asarray(cube.unmasked_data[:].value)
        # None where nothing is masked, whatever is finite.
        included = None if cube.mask is None else np.asarray(cube.mask.include())
    layout = read_header(header, data.shape, beams=beams)
    values = as_floats(layout.to_cube(data))
    use = None if included is None else np.ascontiguousarray(layout.to_cube(included))
    if use is not None and use[np.isfinite(values)].all():
        use = None
    grid = layout.grid
    rms = box_rms("the spectral cube", values)
    warn_of(layout, 4)
    return Cube(
        values,
        grid,
        layout.beam,
        unit=layout.unit,
        mask=use,
        rms=rms,
        spectral=layout.spectral,
        header=layout.cropped(*(slice(0, n) for n in grid.shape)).header,
        flipped=layout.flipped,
        warnings=layout.warnings,
    )


def to_spectral_cube(cube: Cube, *, use_dask: bool = False) -> Any:
    """Return a cube as a `spectral_cube.SpectralCube`: see `Cube.to_spectral_cube`.

    It gets the file that `write_cube` makes, so that its axes are those of the cube's own file.
    """
    _check_installed()
    from spectral_cube import SpectralCube

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = cube.replace(noise=None, mask=None)
        hdus = _as_hdus(plain, Path(folder) / "data.fits")
        try:
            made = SpectralCube.read(hdus, format="fits", use_dask=use_dask)
        except ValueError as error:  # of units that astropy knows and FITS does not
            expected = f"one that spectral-cube takes ({' '.join(str(error).split())})"
            raise InputError("the unit of the cube", repr(cube.unit), expected, "Set another: unit=.") from None
        if cube.mask is None:
            return made
        # On the axes of the file too, which need not be those of the cube.
        mask = _as_hdus(plain.replace(data=cube.mask.astype(np.float32)), Path(folder) / "mask.fits")
        flags = SpectralCube.read(mask, format="fits")
        return made.with_mask(np.asarray(flags.unmasked_data[:].value) > 0.5)


def _as_hdus(cube: Cube, path: Path) -> fits.HDUList:
    write_cube(path, cube, double=cube.data.dtype.itemsize > 4)
    with fits.open(path, memmap=False) as file:
        hdus = fits.HDUList([hdu.copy() for hdu in file])
    path.unlink()
    return hdus


def _check_installed() -> None:
    if importlib.util.find_spec("spectral_cube") is None:
        fix = 'Install it with: pip install "kinms[spectral-cube]"'
        raise InputError("the package spectral-cube", "not installed", "it installed", fix)
