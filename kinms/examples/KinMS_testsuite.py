"""Ten galaxies by the arguments of `KinMS`, by the names under which existing scripts call them.

``from kinms.examples.KinMS_testsuite import *``, then `run_tests()` for all of them. Every example draws its figure
with `KinMS_plotter`, which opens a window where there is a window system, and returns its cube: Jy/beam, shape (nx, ny,
nv), x growing West, y North, velocity ascending. Gas turns by one rotation curve, of 210 km/s from 3 arcsec on, if
nothing else is said. What of the flux lies outside the field is lost, with a warning.
"""

from __future__ import annotations

import http.client
import os
import socket
import tempfile
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from scipy import interpolate

from kinms.errors import FileError, HeaderError, KinmsError, KinmsWarning
from kinms.examples import irregular
from kinms.fits_file import ImageFile
from kinms.legacy import KinMS
from kinms.records import FloatArray
from kinms.utils.KinMS_figures import KinMS_plotter

__all__ = [
    "KinMS",
    "KinMS_plotter",
    "diskthick",
    "expdisk",
    "expdisk_gasgrav",
    "fits",  # a star has always brought these modules along
    "inclouds_spiral",
    "infits",
    "internet",
    "interpolate",
    "ngc4324",
    "np",
    "retclouds",
    "run_tests",
    "socket",
    "use_inclouds",
    "veldisp",
    "warnings",
    "warp",
]

#: Where the observations are that two examples look at, and how long to wait for them, s.
_SERVER, _PATIENCE = "http://www.astro.cardiff.ac.uk/pub/Tim.Davis/", 10.0

_SMALL = (64, 64, 1400, 1, 10, [4, 4, 0])  # xs, ys, vs, cellSize, dv, beamSize
_LARGE = (128, 128, 1400, 1, 10, [4, 4, 0])
_SHARP = (128, 128, 1400, 1, 10, 2)

_RADII = np.arange(0, 100, 0.1)  # arcsec
_SPEEDS = np.interp(_RADII, [0, 0.5, 1, 3, 500], [0, 50, 100, 210, 210])  # km/s


def internet(host: str = "8.8.8.8", port: int = 53, timeout: float | None = 3) -> bool:
    """Return whether a TCP connection can be made; what is in its way is printed.

    Parameters
    ----------
    host : str
        Name or number; by default a public name server.
    port : int
        By default that of name servers.
    timeout : float, optional
        Seconds to wait, of this one connection; None waits as long as the system does.
    """
    try:
        with socket.create_connection((host, port), timeout):
            return True
    except OSError as error:
        print(error)
        return False


def expdisk(
    scalerad: float = 10, inc: float = 60, fileName: str | os.PathLike[str] | None = None, toplot: bool = True
) -> FloatArray:
    """Exponential disc of 30 Jy km/s whose receding half points East.

    Parameters
    ----------
    scalerad : float
        Scale length, arcsec.
    inc : float
        Inclination, degrees.
    fileName : path, optional
        Write ``<fileName>_simcube.fits``, at RA 12 and Dec 10 degrees.
    toplot : bool
        Draw the figure.

    Returns
    -------
    ndarray, shape (64, 64, 140)
    """
    return KinMS(*_SMALL).model_cube(
        inc, 90, sbProf=np.exp(-_RADII / scalerad), sbRad=_RADII, velProf=_SPEEDS, gasSigma=10, intFlux=30,
        toplot=toplot, fileName=fileName, ra=12, dec=10,
    )  # fmt: skip


def expdisk_gasgrav(
    scalerad: float = 5, inc: float = 45, gasmass: float = 1e10, distance: float = 16.5
) -> tuple[FloatArray, FloatArray]:
    """Exponential disc without and with the pull of its own gas; its receding half points West.

    The figure has both: the disc without in colours, with the pull in contours.

    Parameters
    ----------
    scalerad : float
        Scale length, arcsec.
    inc : float
        Inclination, degrees.
    gasmass : float
        Of all of the gas, solar masses.
    distance : float
        Mpc.

    Returns
    -------
    without, with_gas : ndarray, shape (64, 64, 80)
        Both of 30 Jy km/s; velocities of the second are sqrt(v^2 + G M(<R) / R).
    """
    scope = (64, 64, 800, 1, 10, [4, 4, 0])
    maker = KinMS(*scope)
    without, with_gas = (
        maker.model_cube(
            inc, 270, sbProf=np.exp(-_RADII / scalerad), sbRad=_RADII, velProf=_SPEEDS, gasSigma=10, intFlux=30,
            massDist=mass,
        )
        for mass in ((), (gasmass, distance))
    )  # fmt: skip
    KinMS_plotter(without, *scope, posang=270, overcube=with_gas).makeplots()
    return without, with_gas


def ngc4324() -> FloatArray:
    """Ring of molecular gas of NGC 4324, with the one that CARMA observed as contours (Alatalo et al. 2013).

    The ring has a radius of 20 arcsec, a width (1 sigma) of 2, a scale height of 1, turns with 175 km/s at an
    inclination of 65 degrees, recedes at a position angle of 230, and has 27.2 Jy km/s; its centre is 1 arcsec East and
    South of the field's. Its cube is written to ``NGC4234_test_simcube.fits`` in the working directory (the digits are
    swapped, as scripts expect them).

    Returns
    -------
    ndarray, shape (100, 100, 21)

    Raises
    ------
    FileError
        If the file in the working directory cannot be read.

    Warns
    -----
    KinmsWarning
        If the observed cube, ``NGC4324.fits``, is neither in the working directory nor to be had from the network, or
        is of another shape: the figure is that of the model alone.
    """
    scope = (100, 100, 420, 1, 20, [4.68, 3.85, 15.54])
    rad = np.arange(0, 64)
    cube = KinMS(*scope).model_cube(
        65, 230, sbProf=np.exp(-0.5 * ((rad - 20) / 2) ** 2), sbRad=rad, gasSigma=10, diskThick=1, intFlux=27.2,
        velProf=np.interp(rad, [0, 1, 3, 5], [0, 50, 100, 175]), phaseCent=[-1, -1], fileName="NGC4234_test",
    )  # fmt: skip
    found = _observed("NGC4324.fits", "The figure shows the model alone.")
    observed = None if found is None else _clipped(found[0], cube.shape)
    plotter = KinMS_plotter(cube, *scope, posang=230, overcube=observed, pvdthick=4)
    plotter.makeplots(xrange=[-28, 28], yrange=[-28, 28])
    return cube


def use_inclouds() -> FloatArray:
    """Ring of 40 clouds of equal flux at 40 arcsec, with two eyes and a mouth in it to tell its sides.

    All 52 together have 30 Jy km/s. The inclination is 35 degrees, and the receding half points East.

    Returns
    -------
    ndarray, shape (128, 128, 140)
    """
    ring, mouth = np.radians(np.arange(0, 360, 9)), np.radians(np.linspace(187.0, 355.3, 10))
    radius = np.concatenate([np.full(ring.size, 40.0), np.full(2, np.hypot(15, 15)), np.full(mouth.size, 20.0)])
    azimuth = np.concatenate([ring, np.radians([45, 135]), mouth])
    clouds = np.column_stack([radius * np.cos(azimuth), radius * np.sin(azimuth), np.zeros(radius.size)])
    return KinMS(*_LARGE).model_cube(35, 90, inClouds=clouds, velRad=_RADII, velProf=_SPEEDS, intFlux=30, toplot=True)


def inclouds_spiral() -> FloatArray:
    """Two logarithmic spiral arms as clouds of equal flux: R = 0.006 arcsec exp(phi / 2), and its mirror image.

    The inclination is 55 degrees, and the receding half points East. Of 30 Jy km/s over a fifth is outside the field.

    Returns
    -------
    ndarray, shape (128, 128, 140)
    """
    turned = np.arange(-20, 20, 0.01)
    radius = 0.006 * np.exp(0.5 * turned)
    arm = np.column_stack([radius * np.cos(turned), radius * np.sin(turned), np.zeros(turned.size)])
    clouds = np.concatenate([arm, -arm])
    clouds = clouds[np.all(np.abs(clouds[:, :2]) > 2, axis=1)]  # none within 2 arcsec of either axis
    # The radii of this curve are whole arcsec, and go as far as the arms.
    rad = np.arange(0, 5000)
    speeds = np.interp(rad, [0, 1, 3], [0, 100, 210])
    return KinMS(*_LARGE).model_cube(55, 90, inClouds=clouds, velRad=rad, velProf=speeds, intFlux=30, toplot=True)


def infits() -> FloatArray:
    """Pixels of an image as clouds: a far-ultraviolet one of NGC 1437A, brighter than 0.002, with 30 Jy km/s.

    Velocities rise by 400 km/s in 130 arcsec towards a position angle of 170 degrees, and are zero at the field's
    centre, which is pixel (88, 61) of the image, counted from 0.

    Returns
    -------
    ndarray, shape (128, 128, 50)

    Raises
    ------
    FileError, HeaderError
        If the file in the working directory cannot be read, or does not say how large its pixels are.

    Warns
    -----
    KinmsWarning
        If the image, ``NGC1437A_FUV.fits``, is neither in the working directory nor to be had from the network: the
        image of `kinms.examples.irregular` takes its place.

    Notes
    -----
    East and West are those of the image's header, and the gradient's direction is that of `posAng`. KinMS 3.0.14 has
    the image mirrored, and velocities that fall towards 170 degrees.
    """
    found = _observed("NGC1437A_FUV.fits", "A galaxy that is drawn from a fixed seed takes its place.")
    positions, flux = irregular.image() if found is None else _bright_pixels(*found)
    angle = np.radians(170)
    velocities = 400 / 130 * (positions @ [-np.sin(angle), np.cos(angle)])  # x grows towards West
    clouds = np.column_stack([positions, np.zeros(flux.size)])
    return KinMS(128, 128, 500, 1, 10, 4).model_cube(
        0, 170, inClouds=clouds, flux_clouds=flux, vLOS_clouds=velocities, intFlux=30, toplot=True
    )


def veldisp() -> FloatArray:
    """Exponential disc whose velocity dispersion falls from 50 km/s in the centre to 8 at 20 arcsec and beyond.

    Scale length 20 arcsec, inclination 30 degrees, 30 Jy km/s; the receding half points East.

    Returns
    -------
    ndarray, shape (128, 128, 140)
    """
    return _wide_disc(30, 90, gasSigma=np.interp(_RADII, [0, 20], [50, 8]))


def diskthick() -> FloatArray:
    """Exponential disc, edge-on, whose scale height grows from 1 arcsec within 10 to 15 at 20 arcsec and beyond.

    Scale length 20 arcsec, 30 Jy km/s; the receding half points West.

    Returns
    -------
    ndarray, shape (128, 128, 140)
    """
    return _wide_disc(90, 270, diskThick=np.interp(_RADII, [0, 10, 15, 20], [1, 1, 5, 15]))


def warp() -> FloatArray:
    """Warped exponential disc: its position angle turns from 270 degrees within 15 arcsec to 300 at 50 and beyond.

    Scale length 20 arcsec, inclination 60 degrees, 30 Jy km/s.

    Returns
    -------
    ndarray, shape (128, 128, 140)
    """
    return _wide_disc(60, np.interp(_RADII, [0, 15, 50], [270, 270, 300]))


def retclouds() -> FloatArray:
    """Inner disc that turns against the outer one: clouds of two cubes, by `returnClouds`, make a third one.

    The inner disc (inclination 75 degrees, scale length 4 arcsec, none beyond 5) recedes in the West, the outer one (35
    degrees, 15 arcsec, none within 10) in the East. Of their clouds, 50000 and a million, all have the same flux: the
    inner disc has a twenty-first of the 30 Jy km/s.

    Returns
    -------
    ndarray, shape (64, 64, 100)

    Notes
    -----
    KinMS 3.0.14 loses these numbers on their way to its clouds, so that both of its discs have half of the flux.
    """
    scope = (64, 64, 1000, 1, 10, [4, 4, 0])
    inner = 75, 270, np.where(_RADII > 5, 0, np.exp(-_RADII / 4)), 50_000
    outer = 35, 90, np.where(_RADII < 10, 0, np.exp(-_RADII / 15)), 1_000_000
    positions, velocities = [], []
    for inc, pa, light, n in (inner, outer):
        _, at, speed = KinMS(*scope, nSamps=n).model_cube(
            inc, pa, sbProf=light, sbRad=_RADII, velProf=_SPEEDS, gasSigma=10, returnClouds=True
        )
        positions.append(at)
        velocities.append(speed)
    return KinMS(*scope).model_cube(
        75, 90, inClouds=np.concatenate(positions), vLOS_clouds=np.concatenate(velocities), intFlux=30, toplot=True
    )


def run_tests() -> None:
    """Run all examples one after the other, each announced by its name and first sentence."""
    print("Each example draws a figure; where it opens a window, close it to go on.")
    for example in (
        ngc4324, expdisk, use_inclouds, inclouds_spiral, infits, veldisp, diskthick, warp, retclouds, expdisk_gasgrav
    ):  # fmt: skip
        print(f"{example.__name__}: {(example.__doc__ or '').splitlines()[0]}", flush=True)
        example()


def _wide_disc(inc: float, pa: Any, **more: Any) -> FloatArray:
    """Draw, and return the cube of, the exponential disc that three examples have in common."""
    return KinMS(*_SHARP).model_cube(
        inc, pa, sbProf=np.exp(-_RADII / 20), sbRad=_RADII, velProf=_SPEEDS, intFlux=30, toplot=True, **more
    )


def _observed(name: str, otherwise: str) -> tuple[FloatArray, Any] | None:
    """Return the image of a file of the working directory, else of the server, and its header; None without either."""
    if Path(name).exists():
        return _read(Path(name))
    reason = "there is no network"
    if internet():
        try:
            with urllib.request.urlopen(_SERVER + name, timeout=_PATIENCE) as answer:
                received = answer.read()
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory, name)
                path.write_bytes(received)
                return _read(path)
        except (OSError, http.client.HTTPException, KinmsError) as error:  # what was sent may be anything
            reason = f"{_SERVER + name} cannot be read ({type(error).__name__})"
    said = f"{name} is not in the working directory, and {reason}. {otherwise}"
    warnings.warn(said, KinmsWarning, stacklevel=3)
    return None


def _read(path: Path) -> tuple[FloatArray, Any]:
    """Return the image of a FITS file, its axes in the order of the header, x first, and the header."""
    with ImageFile(path) as image:
        if not image.shape():
            raise FileError(path, "holds no image.")
        return np.array(image.read((slice(None),) * len(image.shape())), dtype=float).T, image.header


def _clipped(observed: FloatArray, shape: tuple[int, ...]) -> FloatArray | None:
    """Return the voxels of an observed cube above four standard deviations of its first channel, zero elsewhere."""
    if observed.shape[:3] != shape or observed.size != np.prod(shape):  # there may be an axis of Stokes
        said = f"NGC4324.fits has the shape {observed.shape}, not {shape}: the figure shows the model alone."
        warnings.warn(said, KinmsWarning, stacklevel=3)
        return None
    voxels = observed.reshape(shape)
    with np.errstate(invalid="ignore"):
        bright = voxels >= 4 * np.nanstd(voxels[:, :, 0])
    return np.where(bright, voxels, 0.0)


def _bright_pixels(image: FloatArray, header: Any) -> tuple[FloatArray, FloatArray]:
    """Return where the bright pixels are, arcsec West and North of the centre, shape (n, 2), and their values."""
    steps = header.get("CDELT1"), header.get("CDELT2")
    if not all(isinstance(step, int | float) and step for step in steps):
        raise HeaderError("CDELT1, CDELT2", f"are {steps[0]}, {steps[1]}.", "Set the size of a pixel, degrees.")
    if image.ndim < 2 or image.size != np.prod(image.shape[:2]):
        raise HeaderError("NAXIS", f"tells of an image of shape {image.shape}.", "Give one of two axes.")
    plane = image.reshape(image.shape[:2])
    i, j = np.nonzero(np.nan_to_num(plane) > 0.002)
    west, north = (i - 88) * -3600 * steps[0], (j - 61) * 3600 * steps[1]  # axis 1 grows East by CDELT1
    return np.column_stack([west, north]), plane[i, j]
