"""Beam convolution: real FFTs, one cached plan per shape, channel by channel."""

from __future__ import annotations

import functools
import threading

import numpy as np
import pyfftw

from kinms.grid import Beam
from kinms.records import FloatArray

__all__ = ["convolve"]


class _Convolver:
    """Convolution of (ny, nx) images with one kernel; what is outside the field is empty."""

    def __init__(self, ny: int, nx: int, kernel: FloatArray) -> None:
        ry, rx = kernel.shape[0] // 2, kernel.shape[1] // 2
        # Room for one kernel radius beyond the field is enough: what wraps round lands in that margin.
        shape = (pyfftw.next_fast_len(ny + ry), pyfftw.next_fast_len(nx + rx))
        shape = (max(shape[0], kernel.shape[0]), max(shape[1], kernel.shape[1]))
        self.field = (ny, nx)
        self.image = pyfftw.zeros_aligned(shape, dtype="float64")
        self.spectrum = pyfftw.zeros_aligned((shape[0], shape[1] // 2 + 1), dtype="complex128")
        # FFTW_ESTIMATE plans depend on the shape alone: measured ones would differ from run to run in the last bit.
        self.forward = pyfftw.FFTW(self.image, self.spectrum, axes=(0, 1), flags=("FFTW_ESTIMATE",))
        self.inverse = pyfftw.FFTW(
            self.spectrum,
            self.image,
            axes=(0, 1),
            direction="FFTW_BACKWARD",
            flags=("FFTW_ESTIMATE", "FFTW_DESTROY_INPUT"),
        )
        self.image[: kernel.shape[0], : kernel.shape[1]] = kernel
        self.image[:] = np.roll(self.image, (-ry, -rx), axis=(0, 1))
        self.forward()
        self.transfer = self.spectrum / (shape[0] * shape[1])
        self.image[:] = 0.0

    def __call__(self, image: FloatArray, out: FloatArray) -> None:
        ny, nx = self.field
        self.image[:ny, :nx] = image
        self.image[ny:] = 0.0
        self.image[:ny, nx:] = 0.0
        self.forward.execute()
        self.spectrum *= self.transfer
        self.inverse.execute()
        out[:] = self.image[:ny, :nx]


_LOCAL = threading.local()  # plans own their buffers, so each thread has its own


def _convolver(ny: int, nx: int, beam: Beam, cell: float) -> _Convolver:
    if not hasattr(_LOCAL, "build"):

        @functools.lru_cache(maxsize=16)
        def build(ny: int, nx: int, beam: Beam, cell: float) -> _Convolver:
            return _Convolver(ny, nx, beam.kernel(cell))

        _LOCAL.build = build
    result: _Convolver = _LOCAL.build(ny, nx, beam, cell)
    return result


def convolve(spectra: FloatArray, beam: Beam, cell: float) -> FloatArray:
    """Convolve every channel that holds signal (of either sign) with the unit-sum beam.

    Parameters
    ----------
    spectra : ndarray, shape (ny, nx, nv)
        Flux per pixel.
    beam : Beam
        Sampled at pixel centres, see `Beam.kernel`.
    cell : float
        Pixel size, arcsec.

    Returns
    -------
    ndarray, shape (nv, ny, nx)
        Same unit.
    """
    ny, nx, nv = spectra.shape
    run = _convolver(ny, nx, beam, cell)
    out = np.zeros((nv, ny, nx))
    for k in np.flatnonzero(spectra.any(axis=(0, 1))):
        run(spectra[:, :, k], out[k])
    return out
