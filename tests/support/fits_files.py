"""Small FITS cubes whose header is plain but for the cards under test."""

import warnings

import numpy as np
from astropy.io import fits

C = 299792.458
REST = 115.2712018e9

BASE = {
    "NAXIS": 3,
    "NAXIS1": 9,
    "NAXIS2": 8,
    "NAXIS3": 6,
    "CTYPE1": "RA---SIN",
    "CRVAL1": 150.0,
    "CDELT1": -2.0 / 3600.0,
    "CRPIX1": 5.0,
    "CUNIT1": "deg",
    "CTYPE2": "DEC--SIN",
    "CRVAL2": 30.0,
    "CDELT2": 2.0 / 3600.0,
    "CRPIX2": 5.0,
    "CUNIT2": "deg",
    "CTYPE3": "VRAD",
    "CRVAL3": 1.0e6,
    "CDELT3": 1.0e4,
    "CRPIX3": 1.0,
    "CUNIT3": "m/s",
    "BMAJ": 6.0 / 3600.0,
    "BMIN": 4.0 / 3600.0,
    "BPA": 20.0,
    "BUNIT": "JY/BEAM",
    "RADESYS": "ICRS",
    "SPECSYS": "LSRK",
    "RESTFRQ": REST,
}


def header(**cards):
    """A plain header with some cards changed, or taken out by None."""
    merged = {**BASE, **cards}
    return fits.Header({key: value for key, value in merged.items() if value is not None})


def numbers(head):
    """An array whose every voxel has a value of its own."""
    shape = tuple(head[f"NAXIS{axis}"] for axis in range(head["NAXIS"], 0, -1))
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) - 100.0


def write(path, data, head):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.PrimaryHDU(data, head).writeto(path, output_verify="ignore", overwrite=True)
    return path
