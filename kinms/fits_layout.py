"""Where the voxels of a FITS array lie: `read_header` turns a header, without any data, into grid, beam and axes."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from kinms.cube import SpectralAxis
from kinms.errors import HeaderError, UnknownNameError
from kinms.fits_beams import BeamAxes
from kinms.fits_cards import wcs_cards
from kinms.fits_header import Tamed, tame
from kinms.fits_rest import Wanted
from kinms.fits_spectral import (
    CONVENTIONS,
    SPEED_OF_LIGHT,
    SpectralCards,
    air_to_vacuum,
    frequency_ratio,
    velocity,
)
from kinms.grid import Beam, CubeGrid
from kinms.psf import ChannelBeams
from kinms.records import FloatArray

__all__ = ["Layout", "orientation", "read_header"]

#: Pixels may be this far from square, and the axes this many degrees from North; beyond, the cube is refused.
SQUARE = 0.01
ALIGNED = 0.5

#: What helps then.
_RESAMPLE = "Resample it North up: kinms north-up IN OUT, or km.north_up"

#: More channels than this are a damaged header, not a cube.
MAX_CHANNELS = 1_000_000

#: km/s; nothing approaches faster ...
BLUEST = 30_000.0
#: ... and a galaxy whose redshift is given lies this near to it.
NEAR = 3_000.0

#: A channel may lie this far (in channels) from a regular axis and count as regular; beyond it gets exact edges.
LINEAR = 1e-4


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a FITS array becomes a cube (nv, ny, nx) with ascending velocity, x West and y North.

    Parameters
    ----------
    tamed : Tamed
        The header in the standard's form.
    axes : tuple of int
        Numpy axes of the array that are velocity, y and x.
    flipped : tuple of str
        Which of ``velocity``, ``x``, ``y`` run the other way in the file.
    velocities : ndarray, shape (nv,)
        Exact channel centres, km/s, ascending.
    grid : CubeGrid
        Regular in velocity, exact at channel ``nv // 2``, where the axis is, to 1e-4 channel; else with the exact edges
        of its channels.
    linear_error : float
        How far, in channels, a regular axis of mean width would be off at worst.
    beam : Beam, ChannelBeams or None
        None where the file tells none.
    spectral : SpectralAxis
        Convention, frame and rest value.
    celestial : astropy.wcs.WCS
        Of the two sky axes (longitude, latitude), on the file's pixels.
    swapped : bool
        Whether the longitude axis of the file runs along y.
    notes : tuple of (str, bool)
        What was assumed, and whether it changes numbers.
    """

    tamed: Tamed
    axes: tuple[int, int, int]
    flipped: tuple[str, ...]
    velocities: FloatArray
    grid: CubeGrid
    linear_error: float
    beam: Beam | ChannelBeams | None
    spectral: SpectralAxis
    celestial: WCS
    swapped: bool
    notes: tuple[tuple[str, bool], ...]

    @property
    def header(self) -> fits.Header:
        """The header in the standard's form."""
        return self.tamed.header

    @property
    def unit(self) -> str:
        """Unit of the data, ``Jy/beam`` in its one spelling."""
        return str(self.header["BUNIT"])

    @property
    def line(self) -> str:
        """Name of the line, empty if it is not a known one."""
        return self.tamed.spectral.rest.line

    @property
    def redshift(self) -> float | None:
        """Redshift that velocities were asked to count from."""
        return self.tamed.spectral.rest.redshift

    @property
    def rest_source(self) -> str:
        """Card or argument that the rest value is from, empty if there is none."""
        return self.tamed.spectral.rest.source

    @property
    def file_shape(self) -> tuple[int, ...]:
        """Shape of the array in the file, numpy order."""
        return tuple(reversed(self.tamed.lengths))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was assumed or repaired."""
        return tuple(text for text, _ in self.notes)

    def sky(self, x: float, y: float) -> tuple[float, float]:
        """ICRS right ascension and declination of a pixel of the cube, degrees."""
        return _sky(self.celestial, *self._file_pixel(x, y))

    def pixel(self, ra: float, dec: float) -> tuple[float, float]:
        """Pixel of the cube (0-based, fractional) at an ICRS position in degrees."""
        from astropy.coordinates import SkyCoord
        from astropy.wcs.utils import wcs_to_celestial_frame

        there = SkyCoord(ra, dec, unit="deg", frame="icrs").transform_to(wcs_to_celestial_frame(self.celestial))
        lon, lat = there.spherical.lon.deg, there.spherical.lat.deg
        p, q = (float(value) for value in self.celestial.wcs_world2pix(lon, lat, 0))
        return self._file_pixel(*((q, p) if self.swapped else (p, q)), inverse=True)

    def _file_pixel(self, x: float, y: float, inverse: bool = False) -> tuple[float, float]:
        """Undo the flips, and then the transposition; a flip is its own inverse."""
        x = self.grid.nx - 1 - x if "x" in self.flipped else x
        y = self.grid.ny - 1 - y if "y" in self.flipped else y
        return (y, x) if self.swapped and not inverse else (x, y)

    def box(self, v: slice, y: slice, x: slice) -> tuple[slice | int, ...]:
        """Index of the file's array that reads the cube's box; an integer along the axes that are no cube axes."""
        index: list[slice | int] = [0] * len(self.file_shape)
        for axis, plane in self.tamed.planes.items():
            index[len(index) - axis] = plane
        for name, axis, part in zip(("velocity", "y", "x"), self.axes, (v, y, x), strict=True):
            start, stop, _ = part.indices(self.file_shape[axis])
            if name in self.flipped:
                start, stop = self.file_shape[axis] - stop, self.file_shape[axis] - start
            index[axis] = slice(start, stop)
        return tuple(index)

    def to_cube(self, array: np.ndarray) -> np.ndarray:
        """Turn what `box` reads (three axes, the file's order) into (nv, ny, nx)."""
        cube = np.transpose(array, np.argsort(np.argsort(self.axes)))
        return cube[tuple(self._reversal())]

    def to_file(self, cube: np.ndarray) -> np.ndarray:
        """Turn (nv, ny, nx) into the file's order and number of axes; the inverse of `to_cube`."""
        array = np.transpose(cube[tuple(self._reversal())], np.argsort(self.axes))
        shape = [1] * len(self.file_shape)
        for axis, n in zip(self.axes, cube.shape, strict=True):
            shape[axis] = n
        return array.reshape(shape)

    def _reversal(self) -> list[slice]:
        return [slice(None, None, -1 if name in self.flipped else 1) for name in ("velocity", "y", "x")]

    def cropped(self, v: slice, y: slice, x: slice) -> Layout:
        """Layout of a box of the cube, with one plane along the axes that are no cube axes."""
        header = self.header.copy()
        lengths = list(self.tamed.lengths)
        for axis, part in enumerate(reversed(self.box(v, y, x)), start=1):
            start, stop = (part.start, part.stop) if isinstance(part, slice) else (part, part + 1)
            lengths[axis - 1] = header[f"NAXIS{axis}"] = stop - start
            header[f"CRPIX{axis}"] -= start
        beams = self.tamed.beams
        if len(beams) > 1:
            part = self.box(v, y, x)[self.axes[0]]
            beams = beams[part] if isinstance(part, slice) else beams
        tamed = dataclasses.replace(
            self.tamed,
            header=header,
            lengths=tuple(lengths),
            planes=dict.fromkeys(self.tamed.planes, 0),
            beams=beams,
        )
        return _layout(tamed, self.spectral.convention)


def read_header(
    header: fits.Header,
    shape: tuple[int, ...] | None = None,
    *,
    line: str | None = None,
    redshift: float | None = None,
    rest_frequency: float | None = None,
    rest_wavelength: float | None = None,
    convention: str | None = None,
    beams: Any = None,
) -> Layout:
    """Read a header, without any data.

    Pixels that are not square to 1 %, and images turned by more than half a degree from North, are refused: data are
    never resampled unasked.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Of a cube, of any telescope; not changed.
    shape : tuple of int, optional
        Of the array, numpy order; default from NAXISn.
    line : str, optional
        Name of the line, as `kinms.lines.find_line` knows it; comes before the header's rest value, unless that is the
        line's at a redshift of the header's choice.
    redshift : float, optional
        That velocities are to count from: the line's rest value, or the header's, is taken at f / (1 + z), so that
        v = 0 is at z and velocities are those in the galaxy's own frame. Without it velocities count from the rest
        value, and a galaxy lies near c z.
    rest_frequency : float, optional
        Hz, of a line that has no name.
    rest_wavelength : float, optional
        m, in vacuum; another way to give it.
    convention : {"radio", "optical", "relativistic"}, optional
        In which velocities are wanted. Default: what the header declares; radio for a frequency axis that declares
        none, optical for wavelengths, and the numbers as they stand for velocities.
    beams : radio_beam.Beams, optional
        From a BEAMS table; see `kinms.fits_beams` for what comes before what.

    Raises
    ------
    HeaderError
        If the header is not that of a cube, or lacks or contradicts what is needed; names the card.
    InputError
        If more than one of `line`, `rest_frequency` and `rest_wavelength` is given.
    UnknownNameError
        If there is no such line or convention.

    Examples
    --------
    >>> cards = {"NAXIS": 3, "NAXIS1": 8, "NAXIS2": 8, "NAXIS3": 5}
    >>> cards |= {"CTYPE1": "RA---SIN", "CRVAL1": 10.0, "CDELT1": -1 / 3600, "CRPIX1": 5.0}
    >>> cards |= {"CTYPE2": "DEC--SIN", "CRVAL2": 20.0, "CDELT2": 1 / 3600, "CRPIX2": 5.0}
    >>> cards |= {"CTYPE3": "VRAD", "CRVAL3": 1e6, "CDELT3": -1e4, "CRPIX3": 1.0}
    >>> layout = read_header(fits.Header(cards))
    >>> layout.flipped, layout.velocities.round(6).tolist()
    (('velocity',), [960.0, 970.0, 980.0, 990.0, 1000.0])
    """
    if convention is not None and convention not in CONVENTIONS:
        raise UnknownNameError("convention", convention, CONVENTIONS)
    wanted = Wanted.check(line, redshift, rest_frequency, rest_wavelength)
    tamed = tame(header, shape, wanted=wanted, convention=convention, beams=beams)
    layout = _layout(tamed, convention)
    doubt = _out_of_band(layout)
    if doubt is None:
        return layout
    tamed = dataclasses.replace(tamed, notes=(*tamed.notes, doubt))  # said of every box that is cut out, too
    return dataclasses.replace(layout, tamed=tamed, notes=(*layout.notes, doubt))


def _out_of_band(layout: Layout) -> tuple[str, bool] | None:
    """Return the note that the line cannot be in the band, None if it can."""
    low, high = layout.grid.velocity_edges[[0, -1]]
    if high >= -BLUEST and (layout.redshift is None or (low < NEAR and high > -NEAR)):
        return None
    about = f"the band goes from {low:.6g} to {high:.6g} km/s about the rest value"
    return f"{about}: {layout.line or 'the line'} cannot be in it", True


def _layout(tamed: Tamed, convention: str | None) -> Layout:
    notes: list[tuple[str, bool]] = []
    lon, lat, spec = tamed.axes.longitude, tamed.axes.latitude, tamed.axes.spectral
    n = tamed.lengths[spec - 1]
    if n > MAX_CHANNELS:
        raise HeaderError(f"NAXIS{spec}", f"is {n}: no cube has so many channels.", "Correct the card.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what astropy repairs in a tamed header changes no number
        try:
            wcs = WCS(wcs_cards(tamed.header), naxis=len(tamed.lengths))
            celestial, spectrum = wcs.sub([lon, lat]), wcs.sub([spec])
            # Edges and centres in turn: half a channel each.
            world = spectrum.wcs_pix2world(0.5 * np.arange(2 * n + 1) - 0.5, 0)[0]
        except (ValueError, ArithmeticError, IndexError, MemoryError, TypeError, RuntimeError) as error:  # wcslib's
            text = " ".join(str(error).split())
            raise HeaderError(f"CTYPE{lon}", f"astropy.wcs cannot use this header: {text}") from None
    convention = convention or tamed.spectral.convention
    with np.errstate(all="ignore"):  # absurd numbers are refused just below
        halves = _velocities(tamed.spectral, world, convention, spec)
    if not (np.all(np.isfinite(halves)) and (np.all(np.diff(halves) > 0) or np.all(np.diff(halves) < 0))):
        message = f"channels have no regular {convention} velocities (from {halves[0]:.6g} to {halves[-1]:.6g} km/s)."
        raise HeaderError(f"CRVAL{spec}", message, f"Check CRVAL{spec}, CDELT{spec} and the rest frequency.")
    flipped = ["velocity"] if halves[0] > halves[-1] else []
    halves = halves[:: -1 if flipped else 1]
    v, edges = halves[1::2], halves[::2]

    swapped, signs, cell = orientation(celestial, tamed, notes)
    flipped += [name for name, sign in zip(("x", "y"), signs, strict=True) if sign < 0]
    ny, nx = (tamed.lengths[(lon if swapped else lat) - 1], tamed.lengths[(lat if swapped else lon) - 1])
    ndim = len(tamed.lengths)
    axes = (ndim - spec, ndim - (lon if swapped else lat), ndim - (lat if swapped else lon))
    dv = (v[-1] - v[0]) / (n - 1) if n > 1 else edges[1] - edges[0]
    grid = CubeGrid((n, ny, nx), cell, float(dv), float(v[n // 2]), rest_frequency=tamed.spectral.rest_frequency)
    off = float(np.abs(grid.velocity_edges - edges).max() / grid.dv)
    if off > LINEAR:
        grid = grid.replace(edges=edges)
        about = f"a regular axis would be off by up to {off:.2g} channels"
        notes.append((f"channels are not equally wide in velocity: exact edges are used; {about}", False))

    beam = _beam(tamed.beams, "velocity" in flipped)
    if beam is None:
        notes.append(("no beam (BMAJ) in the header", True))
    rest = tamed.spectral.rest_frequency
    wave = tamed.spectral.is_wavelength
    spectral = SpectralAxis(
        convention=convention,
        frame=tamed.spectral.frame,
        rest_value=SPEED_OF_LIGHT / rest if wave and rest is not None else rest,
        rest_unit="m" if wave else "Hz",
        ctype=tamed.ctype,
    )
    parts: tuple[Any, ...] = (tuple(flipped), v, grid, off, beam, spectral, celestial, swapped, (*tamed.notes, *notes))
    layout = Layout(tamed, axes, *parts)
    ra, dec = layout.sky(nx // 2, ny // 2)
    return dataclasses.replace(layout, grid=grid.replace(ra=ra, dec=dec))


def _velocities(spectral: SpectralCards, world: FloatArray, convention: str, axis: int) -> FloatArray:
    """Velocities (km/s) of the axis's values, in SI units."""
    kind = spectral.ctype[:4]
    own = {"VRAD": "radio", "VOPT": "optical", "VELO": "relativistic"}.get(kind)
    if own is not None:
        speed = world / 1000.0
        return speed if own == convention else velocity(frequency_ratio(speed, own), convention)
    if kind == "ZOPT":
        return velocity(1.0 / (1.0 + world), convention)
    if kind == "BETA":
        return velocity(frequency_ratio(world * SPEED_OF_LIGHT / 1000.0, "relativistic"), convention)
    if np.any(world <= 0):
        raise HeaderError(f"CRVAL{axis}", f"the axis reaches {world.min():.6g} {spectral.cunit}.", "Correct its cards.")
    import astropy.units as u

    if kind == "AWAV":
        world = air_to_vacuum(world)
    frequency = (world * u.Unit(spectral.cunit)).to_value(u.Hz, equivalencies=u.spectral())
    return velocity(frequency / (spectral.rest_frequency or np.nan), convention)


def orientation(celestial: WCS, tamed: Tamed, notes: list[tuple[str, bool]]) -> tuple[bool, tuple[float, float], float]:
    """Return whether x is the latitude axis, +1 where x runs West and y North, and the pixel size in arcsec.

    Parameters
    ----------
    celestial : astropy.wcs.WCS
        Of the two sky axes, longitude first.
    tamed : Tamed
        The header.
    notes : list of (str, bool)
        Takes what was assumed.

    Raises
    ------
    HeaderError
        If North is not up, pixels are not square, at the reference position or in the middle of the image, or that is
        not on the sky.
    """
    matrix = celestial.pixel_scale_matrix  # rows East, North; columns the file's pixel axes; degrees
    swapped = bool(abs(matrix[0, 0]) < abs(matrix[0, 1]))
    lon, lat = tamed.axes.longitude, tamed.axes.latitude
    turned = matrix[:, ::-1] if swapped else matrix
    sides = np.hypot(turned[0], turned[1])
    if abs(sides[0] - sides[1]) > SQUARE * sides[1]:
        message = f"pixels are {3600 * sides[0]:.6g} x {3600 * sides[1]:.6g} arcsec; square ones are needed."
        raise HeaderError(f"CDELT{lon}", message, f"{_RESAMPLE}.")
    angle = _angle(turned)
    if abs(angle) > ALIGNED:
        message = f"the image is rotated by {angle:.3g} degrees from North."
        raise HeaderError(tamed.rotation_key, message, f"{_RESAMPLE}.")
    cell = 3600.0 * float(np.sqrt(abs(np.linalg.det(matrix))))

    centre = np.array([(tamed.lengths[lon - 1] - 1) / 2.0, (tamed.lengths[lat - 1] - 1) / 2.0])
    local = _local_matrix(celestial, centre, lon)[:, :: -1 if swapped else 1]
    stretch = np.hypot(local[0], local[1]) * 3600.0 / cell
    if np.any(np.abs(stretch - 1.0) > SQUARE):
        name = tamed.header[f"CTYPE{lon}"]
        message = f"{name} makes pixels of {stretch[0]:.4f} x {stretch[1]:.4f} cells in the middle of the image."
        raise HeaderError(f"CTYPE{lon}", message, f"{_RESAMPLE}, about the middle.")
    drift = _angle(local)
    if abs(drift - angle) > ALIGNED:
        notes.append((f"North is {drift:.2g} degrees off the y axis in the middle of the image", True))
    if tamed.header[f"CTYPE{lon}"][:2] != "RA":
        notes.append((f"y and position angles count from the North of {tamed.header[f'CTYPE{lat}'][:4]}", True))
    return swapped, (-float(np.sign(turned[0, 0])), float(np.sign(turned[1, 1]))), cell


def _angle(matrix: FloatArray) -> float:
    """Angle in degrees by which the pixel axes turn away from West and North, of the one that turns more."""
    x = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
    y = np.degrees(np.arctan2(-matrix[0, 1], matrix[1, 1]))
    return float(max(((angle + 90.0) % 180.0 - 90.0 for angle in (x, y)), key=abs))


def _local_matrix(celestial: WCS, centre: FloatArray, lon: int) -> FloatArray:
    """East and North (rows, degrees) per pixel along the two axes (columns), on the sphere, at a pixel."""
    steps = centre + 0.5 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    longitude, latitude = celestial.wcs_pix2world(steps[:, 0], steps[:, 1], 0)
    if not (np.all(np.isfinite(longitude)) and np.all(np.isfinite(latitude))):
        raise HeaderError(f"CRPIX{lon}", "the middle of the image is not on the sky.", "Check CRPIX and CDELT.")
    turn = (np.diff(longitude)[::2] + 180.0) % 360.0 - 180.0
    return np.array([-turn * np.cos(np.radians(latitude[::2])), -np.diff(latitude)[::2]])


def _sky(celestial: WCS, p: float, q: float) -> tuple[float, float]:
    from astropy.coordinates import SkyCoord
    from astropy.wcs.utils import wcs_to_celestial_frame

    try:
        frame = wcs_to_celestial_frame(celestial)
    except ValueError:
        raise HeaderError("CTYPE1", f"{celestial.wcs.ctype[0]} cannot be turned into ICRS.") from None
    lon, lat = (float(value) for value in celestial.wcs_pix2world(p, q, 0))
    if not (np.isfinite(lon) and np.isfinite(lat)):
        raise HeaderError("CRPIX1", "the reference pixel is not on the sky.", "Check CRPIX and CDELT.")
    icrs = SkyCoord(lon, lat, unit="deg", frame=frame).icrs
    return float(icrs.ra.deg), float(icrs.dec.deg)


def _beam(beams: tuple[BeamAxes, ...], flipped: bool) -> Beam | ChannelBeams | None:
    """Return the beam, or those of the channels with ascending velocity, or one where they are all the same."""
    if len(set(beams)) < 2:
        return Beam(*beams[0]) if beams else None
    return ChannelBeams(tuple(Beam(*beam) for beam in (reversed(beams) if flipped else beams)))
