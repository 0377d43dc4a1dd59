"""`kinms.examples.KinMS_testsuite`: what scripts call, and the galaxies that its docstrings tell of.

Positions are East and North, velocities by the receding half. The cubes are also those of `tutorials/gallery`, which
`tests/test_gallery.py` holds to rings of points.
"""

import contextlib
import functools
import http.server
import inspect
import runpy
import socket
import threading
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.io import fits
from scipy.special import ndtr

from kinms.errors import FileError, HeaderError, KinmsWarning
from kinms.examples import KinMS_testsuite as suite
from kinms.examples.irregular import image
from kinms.utils.KinMS_figures import KinMS_plotter

GALLERY = Path(__file__).resolve().parents[2] / "tutorials" / "gallery"

#: The engine's rule without an estimate: rms of the cube (Sampling).
RULE = 1e-3

#: Upstream's arguments, in their order, with their defaults.
SIGNATURES = {
    "internet": {"host": "8.8.8.8", "port": 53, "timeout": 3},
    "expdisk": {"scalerad": 10, "inc": 60, "fileName": None, "toplot": True},
    "expdisk_gasgrav": {"scalerad": 5, "inc": 45, "gasmass": 1e10, "distance": 16.5},
    "ngc4324": {},
    "use_inclouds": {},
    "inclouds_spiral": {},
    "infits": {},
    "veldisp": {},
    "diskthick": {},
    "warp": {},
    "retclouds": {},
    "run_tests": {},
}

#: Example -> script of the gallery with the same galaxy; position angle and half-width of the slit (pixels) of its
#: figure, None half a beam; shape; dv; FWHM of the beam.
EXAMPLES = {
    "expdisk": ("exponential_disc", 90.0, None, (64, 64, 140), 10.0, (4.0, 4.0)),
    "expdisk_gasgrav": ("gas_self_gravity", 270.0, None, (64, 64, 80), 10.0, (4.0, 4.0)),
    "ngc4324": ("ngc4324", 230.0, 4.0, (100, 100, 21), 20.0, (4.68, 3.85)),
    "use_inclouds": ("inclined_ring", 90.0, None, (128, 128, 140), 10.0, (4.0, 4.0)),
    "inclouds_spiral": ("spiral_clouds", 90.0, None, (128, 128, 140), 10.0, (4.0, 4.0)),
    "infits": ("flux_clouds", 170.0, None, (128, 128, 50), 10.0, (4.0, 4.0)),
    "veldisp": ("velocity_dispersion", 90.0, None, (128, 128, 140), 10.0, (2.0, 2.0)),
    "diskthick": ("thick_disc", 270.0, None, (128, 128, 140), 10.0, (2.0, 2.0)),
    # The mean direction of its table of position angles: 270 on 150 radii, 285 on the next 350, 300 on 500.
    "warp": ("warped_disc", 290.3, None, (128, 128, 140), 10.0, (2.0, 2.0)),
    "retclouds": ("retrograde_disc", 90.0, None, (64, 64, 100), 10.0, (4.0, 4.0)),
}

LOST = pytest.mark.filterwarnings("ignore:About .* of the flux lies outside:kinms.KinmsWarning")
PROBE = suite.internet


@pytest.fixture(autouse=True)
def without_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "internet", lambda: False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(GALLERY)
    yield
    assert plt.get_fignums() == []  # no figure is left behind


@contextlib.contextmanager
def recording():
    """Plotters whose figures are drawn, with the arguments of `makeplots`."""
    made, draw = [], KinMS_plotter.makeplots

    def recorded(self, **given):
        figure = draw(self, **given)
        made.append((self, given))
        return figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KinMS_plotter, "makeplots", recorded)
        yield made


@pytest.fixture
def drawn():
    with recording() as made:
        yield made


@functools.cache
def run(name):
    """Cubes, figures and warnings of an example with its defaults."""
    with recording() as figures, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = getattr(suite, name)()
    return made if isinstance(made, tuple) else (made,), figures, said


@functools.cache
def old(script):
    """The gallery's cube (of gas with a pull of its own also that without it, before it), and what was said of it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = runpy.run_path(str(GALLERY / f"{script}.py"))["old"]
        cubes = (made(()), made()) if script == "gas_self_gravity" else (made(),)
    return cubes, [str(one.message) for one in said]


class Seen:
    """A cube with its axes, arcsec East and North, km/s; and its light, Jy km/s of each voxel."""

    def __init__(self, name, cube):
        _, _, _, shape, dv, (bmaj, bmin) = EXAMPLES[name]
        assert cube.shape == shape
        assert np.all(np.isfinite(cube))
        nx, ny, nv = shape
        self.dv = dv
        self.east, self.north = (nx // 2 - np.arange(nx))[:, None], np.arange(ny)[None, :] - ny // 2
        self.v = (np.arange(nv) - nv // 2) * dv
        self.light = cube * dv / (np.pi * bmaj * bmin / (4.0 * np.log(2.0)))
        self.flux = self.light.sum()
        self.map = self.light.sum(axis=2)
        self.momentum = self.light @ self.v

    def pa(self, where=True):
        """Direction in which velocities rise, degrees: of an even disc the receding half's."""
        east, north = (np.sum(self.momentum * where * at) for at in (self.east, self.north))
        return np.degrees(np.arctan2(east, north)) % 360.0

    def mean(self, of, where=True):
        return np.sum(self.map * where * of) / np.sum(self.map * where)

    def velocity(self, east, north):
        """Mean and dispersion of the line in one pixel."""
        line = self.light[self.map.shape[0] // 2 - east, self.map.shape[1] // 2 + north]
        mean = line @ self.v / line.sum()
        return mean, np.sqrt(line @ (self.v - mean) ** 2 / line.sum())

    def edges(self, where=True):
        """Outer half-power points of the spectrum, km/s."""
        spectrum = np.sum(self.light * np.broadcast_to(where, self.map.shape)[:, :, None], axis=(0, 1))
        bright = self.v[spectrum > 0.5 * spectrum.max()]
        return bright.min() - 0.5 * self.dv, bright.max() + 0.5 * self.dv


def seen(name):
    return tuple(Seen(name, cube) for cube in run(name)[0])


def held(scale, inc, pa, half, beam, r_max=100.0, r_min=0.0):
    """Share of a thin exponential disc that a field of 2 * half arcsec holds after the beam, by a sum over the sky."""
    step = 0.25
    axis = np.arange(-r_max - 0.5 * step, r_max + step, step)
    east, north = axis[:, None], axis[None, :]
    sin, cos = np.sin(np.radians(pa)), np.cos(np.radians(pa))
    r = np.hypot(east * sin + north * cos, (east * cos - north * sin) / np.cos(np.radians(inc)))
    light = np.where((r < r_max) & (r >= r_min), np.exp(-r / scale), 0.0)
    sigma = beam / np.sqrt(8.0 * np.log(2.0))
    # What is outside of the field does not come in. Its first pixel is the easternmost and the southernmost one.
    parts = [
        np.where((at > low) & (at < high), ndtr((high - at) / sigma) - ndtr((low - at) / sigma), 0.0)
        for at, low, high in ((axis, 0.5 - half, half + 0.5), (axis, -half - 0.5, half - 0.5))
    ]
    return parts[0] @ light @ parts[1] / light.sum()


# -- what scripts rely on ------------------------------------------------------------------------------------------


def test_names_arguments_and_defaults_are_those_of_old():
    for name, expected in SIGNATURES.items():
        function = PROBE if name == "internet" else getattr(suite, name)
        parameters = list(inspect.signature(function).parameters.values())
        assert {p.name: p.default for p in parameters} == expected, name
        assert [p.name for p in parameters] == list(expected), name
        assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters), name
    own = {n for n in suite.__all__ if inspect.isfunction(getattr(suite, n))}
    assert own == set(SIGNATURES)


def test_a_star_brings_what_it_always_brought():
    names = {}
    exec("from kinms.examples.KinMS_testsuite import *", names)
    assert set(SIGNATURES) | {"KinMS", "KinMS_plotter", "np", "fits", "interpolate", "socket", "warnings"} <= set(names)
    assert names["KinMS"] is __import__("kinms").KinMS


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_galaxy_is_the_gallery_s_and_is_drawn_once(name):
    script, pa, pvdthick, *_ = EXAMPLES[name]
    cubes, figures, said = run(name)
    gallery_s, said_there = old(script)
    for cube, expected in zip(cubes, gallery_s, strict=True):
        assert type(cube) is np.ndarray
        # The same disc, its curve and light as a finer or a coarser table of the same lines.
        np.testing.assert_allclose(cube, expected, rtol=0.0, atol=RULE * expected.max())

    ((plotter, ranges),) = figures
    np.testing.assert_array_equal(plotter.f, cubes[0])
    assert plotter.posang == pytest.approx(pa, abs=0.1)
    assert plotter.pvdthick == pvdthick
    assert ranges == ({"xrange": [-28, 28], "yrange": [-28, 28]} if name == "ngc4324" else {})
    if name == "expdisk_gasgrav":
        np.testing.assert_array_equal(plotter.overcube, cubes[1])
    else:
        assert plotter.overcube is None

    # What a disc loses is said of both; and what was not to be had.
    assert all(one.category is KinmsWarning for one in said)
    others = [text for one in said if (text := str(one.message)) not in said_there]
    assert len(said) - len(others) == len(said_there)
    missing = {"ngc4324": "The figure shows the model alone.", "infits": "A galaxy that is drawn from a fixed seed"}
    assert len(others) == (name in missing)
    assert not others or missing[name] in others[0]


@LOST
def test_run_tests_says_what_it_runs(monkeypatch, capsys):
    ran = []
    order = [
        *("ngc4324", "expdisk", "use_inclouds", "inclouds_spiral", "infits", "veldisp", "diskthick", "warp"),
        *("retclouds", "expdisk_gasgrav"),
    ]
    for name in order:
        original = getattr(suite, name)
        stand_in = functools.wraps(original)(lambda name=name: ran.append(name))
        monkeypatch.setattr(suite, name, stand_in)
    assert suite.run_tests() is None
    assert ran == order
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.partition(":")[0] for line in lines] == order
    for line, word in zip(
        lines,
        (
            "NGC 4324",
            "Exponential",
            "Ring of 40",
            "spiral",
            "image",
            "dispersion",
            "edge-on",
            "Warped",
            "turns against",
            "pull",
        ),
        strict=True,
    ):
        assert word in line


def test_run_tests_needs_no_network(capsys, recwarn):
    # The others are run by the tests of each.
    with pytest.MonkeyPatch.context() as patch:
        for name in set(EXAMPLES) - {"ngc4324", "infits"}:
            patch.setattr(suite, name, functools.wraps(getattr(suite, name))(lambda: None))
        suite.run_tests()
    said = [str(one.message) for one in recwarn]
    assert [text.split()[0] for text in said] == ["NGC4324.fits", "NGC1437A_FUV.fits"]
    assert all("is not in the working directory, and there is no network" in text for text in said)
    assert all(Path(one.filename) == Path(suite.__file__) for one in recwarn)


# -- discs ---------------------------------------------------------------------------------------------------------


@LOST
@pytest.mark.parametrize(("scalerad", "inc"), [(10, 60), (5, 30)])
def test_exponential_disc(scalerad, inc, drawn):
    disc = Seen("expdisk", suite.expdisk(scalerad, inc, toplot=False))
    assert drawn == []
    assert disc.flux == pytest.approx(30.0 * held(scalerad, inc, 90.0, 32.0, 4.0), rel=2.0 * RULE)
    assert disc.pa() == pytest.approx(90.0, abs=0.5)
    assert disc.mean(disc.north) == pytest.approx(0.0, abs=0.1)
    # 210 km/s projected; half of the peak is within a channel of the horn.
    projected = 210.0 * np.sin(np.radians(inc))
    assert disc.edges() == (pytest.approx(-projected, abs=12.0), pytest.approx(projected, abs=12.0))


@LOST
def test_exponential_disc_is_written_where_it_is_said(tmp_path):
    cube = suite.expdisk(5, 30, "mine", False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine_simcube.fits"]
    with fits.open(tmp_path / "mine_simcube.fits") as file:
        np.testing.assert_allclose(file[0].data.T, cube, rtol=0.0, atol=1e-6 * cube.max())
        assert (file[0].header["CRVAL1"], file[0].header["CRVAL2"]) == (12.0, 10.0)


@LOST
def test_gas_turns_by_its_own_pull():
    without, with_gas = seen("expdisk_gasgrav")
    for disc in (without, with_gas):
        assert disc.flux == pytest.approx(30.0 * held(5.0, 45.0, 270.0, 32.0, 4.0), rel=2.0 * RULE)
        assert disc.pa() == pytest.approx(270.0, abs=0.5)
    np.testing.assert_allclose(with_gas.map, without.map, rtol=0.0, atol=2.0 * RULE * without.map.max())
    # At 12 arcsec on the major axis; G in pc (km/s)^2 / Msun.
    inside = 1.0 - (1.0 + 12.0 / 5.0) * np.exp(-12.0 / 5.0)
    pull = np.sqrt(4.30091e-3 * 1e10 * inside / (12.0 * 16.5e6 * np.pi / 648000.0))
    fast, slow = with_gas.velocity(-12, 0)[0], without.velocity(-12, 0)[0]
    # The beam lowers both alike: by up to a tenth.
    assert fast / slow == pytest.approx(np.hypot(210.0, pull) / 210.0, rel=0.01)
    assert 0.9 < slow / (210.0 * np.sin(np.radians(45.0))) < 1.0


@LOST
def test_pull_grows_with_the_gas_and_falls_with_the_distance():
    def width(**given):
        low, high = Seen("expdisk_gasgrav", suite.expdisk_gasgrav(**given)[1]).edges()
        return high - low

    assert width(gasmass=4e10) > width() + 40.0 > width(gasmass=4e10, distance=66.0) + 20.0
    # Four times the mass at four times the distance is the same pull in km/s.
    assert width(gasmass=4e10, distance=66.0) == width()


@LOST
def test_dispersion_falls_with_radius():
    (disc,) = seen("veldisp")
    assert disc.flux == pytest.approx(30.0 * held(20.0, 30.0, 90.0, 64.0, 2.0), rel=2.0 * RULE)
    assert disc.pa() == pytest.approx(90.0, abs=0.5)
    projected = 210.0 * 0.5
    beam = 2.0 / np.sqrt(8.0 * np.log(2.0))
    for north in (-35, -20, -12, 12, 20, 35):  # on the minor axis, where velocities change along the other axis only
        r = abs(north) / np.cos(np.radians(30.0))
        sigma = np.interp(r, [0.0, 20.0], [50.0, 8.0])
        # And what the beam, the pixel and the channel add.
        smeared = projected / r * np.hypot(beam, 1.0 / np.sqrt(12.0))
        mean, width = disc.velocity(0, north)
        assert mean == pytest.approx(0.0, abs=0.5)
        assert width == pytest.approx(np.sqrt(sigma**2 + smeared**2 + 100.0 / 12.0), rel=0.03)


@LOST
def test_disc_flares():
    (disc,) = seen("diskthick")
    assert disc.pa() == pytest.approx(270.0, abs=0.5)
    assert disc.edges() == (pytest.approx(-210.0, abs=10.0), pytest.approx(210.0, abs=10.0))
    # 3.7 % lie outside in projection onto the major axis, and some above and below.
    assert 0.90 * 30.0 < disc.flux < 0.963 * 30.0
    # At 40 arcsec all is beyond 20: an exponential of 15 arcsec, e times as faint every 15.
    outer = np.abs(disc.east) == 40
    layer = [np.sum(disc.map * outer * (np.abs(disc.north) == z)) for z in (10, 40)]
    assert np.log(layer[0] / layer[1]) == pytest.approx(30.0 / 15.0, abs=0.15)
    # In the middle the thin part is before and behind the thick one, and adds a peak 1 arcsec high.
    middle = disc.map * (np.abs(disc.east) <= 2)
    assert np.sum(middle * (disc.north == 0)) > 3.0 * np.sum(middle * (disc.north == 6))


@LOST
def test_warp_turns_its_receding_half():
    (disc,) = seen("warp")

    def radius(pa):
        sin, cos = np.sin(np.radians(pa)), np.cos(np.radians(pa))
        return np.hypot(disc.east * sin + disc.north * cos, 2.0 * (disc.east * cos - disc.north * sin))

    # Beam and neighbouring rings: a degree.
    assert disc.pa(radius(270.0) < 13.0) == pytest.approx(270.0, abs=1.0)
    assert disc.pa((radius(300.0) > 52.0) & (radius(300.0) < 62.0)) == pytest.approx(300.0, abs=1.0)
    low, high = disc.edges()
    projected = 210.0 * np.sin(np.radians(60.0))
    assert (low, high) == (pytest.approx(-projected, abs=10.0), pytest.approx(projected, abs=10.0))
    assert 30.0 * 0.95 < disc.flux < 30.0 * 0.98  # about 3 % lie outside


@LOST
def test_inner_disc_turns_against_the_outer_one():
    (both,) = seen("retclouds")
    outer = held(15.0, 35.0, 90.0, 32.0, 4.0, r_min=10.0)
    assert both.flux == pytest.approx(30.0 * (1.0 + 20.0 * outer) / 21.0, rel=4.0 / np.sqrt(1.05e6) + 2.0 * RULE)
    assert both.velocity(3, 0)[0] < -50.0 < 50.0 < both.velocity(-3, 0)[0]
    projected = 210.0 * np.sin(np.radians(35.0))
    for side in (-1, 1):
        assert 0.9 * projected < side * both.velocity(20 * side, 0)[0] < projected
    # All of the inner disc is within the hole: at most 5 arcsec from the centre, and 1.5 along its minor axis.
    hole = (np.abs(both.east) <= 9) & (np.abs(both.north) <= 4)
    assert both.pa(hole) == pytest.approx(270.0, abs=5.0)
    # A twenty-first: and what the beam, 4 arcsec across, moves over the edge of the hole.
    assert np.sum(both.map * hole) == pytest.approx(30.0 / 21.0, rel=0.25)


def test_ring_of_ngc_4324():
    (ring,) = seen("ngc4324")
    assert ring.flux == pytest.approx(27.2, rel=2.0 * RULE)
    assert ring.mean(ring.east) == pytest.approx(1.0, abs=0.05)
    assert ring.mean(ring.north) == pytest.approx(-1.0, abs=0.05)
    pa = np.radians(230.0)
    # About its centre, for the mean velocity is zero.
    assert ring.pa() == pytest.approx(230.0, abs=0.5)
    along = (ring.east - 1.0) * np.sin(pa) + (ring.north + 1.0) * np.cos(pa)
    # <x^2> of light r dr exp(-(r - 20)^2 / (2 2^2)) is <r^2> / 2 = (20^2 + 3 2^2) / 2; the beam is within these axes.
    beam = np.array([3.85, 4.68]) ** 2 / (8.0 * np.log(2.0)) + 1.0 / 12.0
    low, high = 206.0 + beam
    assert 0.99 * low < ring.mean(along**2) < 1.01 * high
    projected = 175.0 * np.sin(np.radians(65.0))
    # Channels of 20 km/s.
    assert ring.edges() == (pytest.approx(-projected, abs=20.0), pytest.approx(projected, abs=20.0))


# -- clouds --------------------------------------------------------------------------------------------------------


def test_ring_of_clouds():
    (ring,) = seen("use_inclouds")
    assert ring.flux == pytest.approx(30.0, rel=RULE)
    r = np.hypot(ring.east, ring.north / np.cos(np.radians(35.0)))
    # The beam, 4 arcsec across and a little wider along the tilted axis, stays within 10.
    assert np.sum(ring.map * (np.abs(r - 40.0) < 10.0)) == pytest.approx(30.0 * 40.0 / 52.0, rel=2.0 * RULE)
    assert ring.mean(r, np.abs(r - 40.0) < 10.0) == pytest.approx(40.0, abs=0.2)
    assert np.sum(ring.map * (r > 50.0)) < RULE * 30.0
    # Eyes 12.3 arcsec North; the mouth ends 1.3 South, three sigma of the beam below 4.
    face = ring.map * (r < 30.0)
    assert np.sum(face * (ring.north >= 4)) == pytest.approx(30.0 * 2.0 / 52.0, rel=0.01)
    assert np.sum(face * (ring.north < 4)) == pytest.approx(30.0 * 10.0 / 52.0, rel=0.01)
    # The beam takes in neighbours, 6 arcsec away, which are slower by a hundredth; channels are of 10 km/s.
    projected = 210.0 * np.sin(np.radians(35.0))
    for side in (-1, 1):
        assert side * ring.velocity(40 * side, 0)[0] == pytest.approx(projected, abs=5.0)


@LOST
def test_spiral_of_clouds():
    (spiral,) = seen("inclouds_spiral")
    # Nine tenths of a turn per factor of e^2.8: where the arms cross the field's diagonals, and how many are inside.
    phi = np.arange(-20.0, 20.0, 0.01)
    arm = 0.006 * np.exp(0.5 * phi + 1j * phi)
    arm = arm[(np.abs(arm.real) > 2.0) & (np.abs(arm.imag) > 2.0)]
    north = arm.imag * np.cos(np.radians(55.0))
    share = np.mean((np.abs(arm.real) < 64.0) & (np.abs(north) < 64.0))
    assert 0.7 < share < 0.85
    # One cloud in a hundred is within a pixel of the edge, and the beam takes half of what is there.
    assert spiral.flux == pytest.approx(30.0 * share, rel=0.03)
    # Two arms: the same again on the other side, receding where it approaches. Not at the edges: there is no pixel 128
    # whose clouds the beam could spread as far as those of pixel 0.
    inner = spiral.light[7:-6, 7:-6, 1:]
    np.testing.assert_allclose(inner, inner[::-1, ::-1, ::-1], rtol=0.0, atol=0.02 * spiral.light.max())
    # A pixel holds light where there is a cloud, and none a beam and a half away from all of them.
    # x of a cloud is the approaching half's, so West; y is North.
    inside = np.abs(arm.real) < 60.0
    columns = [np.round(sign * np.stack([-arm.real[inside], north[inside]])).astype(int) for sign in (-1, 1)]
    near = np.zeros(spiral.map.shape, dtype=bool)
    for east, at in np.concatenate(columns, axis=1).T:
        if abs(at) < 60:
            near[64 - east - 6 : 64 - east + 7, 64 + at - 6 : 64 + at + 7] = True
    middle = (np.abs(spiral.east) < 58) & (np.abs(spiral.north) < 58)
    assert np.sum(spiral.map * ~near * middle) < 0.005 * spiral.flux
    assert 0.2 < np.mean(near[middle]) < 0.8
    fastest = 210.0 * np.sin(np.radians(55.0))
    assert np.all(spiral.light[:, :, np.abs(spiral.v) > fastest + 10.0] < RULE * spiral.light.max())
    assert 45.0 < spiral.pa() < 135.0


def gradient(cube):
    """Direction and slope, km/s per arcsec, of the velocities by least squares over the light."""
    east, north = (
        np.broadcast_to(at, cube.map.shape)[cube.map > 0.05 * cube.map.max()] for at in (cube.east, cube.north)
    )
    bright = cube.map > 0.05 * cube.map.max()
    v = cube.momentum[bright] / cube.map[bright]
    slope = np.linalg.lstsq(np.column_stack([east, north]), v, rcond=None)[0]
    return np.degrees(np.arctan2(*slope)) % 360.0, np.hypot(*slope)


def test_image_that_is_drawn():
    (galaxy,) = seen("infits")
    positions, flux = image()
    assert galaxy.flux == pytest.approx(30.0, rel=2.0 * RULE)
    west, north = flux @ positions / flux.sum()
    assert galaxy.mean(galaxy.east) == pytest.approx(-west, abs=0.1)
    assert galaxy.mean(galaxy.north) == pytest.approx(north, abs=0.1)
    direction, slope = gradient(galaxy)
    # The beam makes slopes less steep where the light ends, and channels are of 10 km/s.
    assert direction == pytest.approx(170.0, abs=2.0)
    assert slope == pytest.approx(400.0 / 130.0, rel=0.1)


# -- observations --------------------------------------------------------------------------------------------------


def ultraviolet(path, **cards):
    """An image of 170 by 120 pixels: a bright blob East and North of pixel (88, 61), and noise too faint to count."""
    plane = np.random.default_rng(1).uniform(0.0, 0.0019, (120, 170))
    plane[70:76, 70:80] = 0.01
    plane[0, 0] = np.nan
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1.5 / 3600, "CDELT2": 1.5 / 3600})
    header.update(cards)
    fits.writeto(path, plane, header)


@pytest.mark.parametrize("mirrored", [False, True])
def test_image_of_the_working_directory(tmp_path, mirrored):
    ultraviolet(tmp_path / "NGC1437A_FUV.fits", CDELT1=(1.5 if mirrored else -1.5) / 3600)
    galaxy = Seen("infits", suite.infits())
    # Columns 70 to 79 are 13.5 pixels East of column 88 where RA falls with them; rows 70 to 75 are 11.5 North of 61.
    east, north = 13.5 * 1.5 * (-1.0 if mirrored else 1.0), 11.5 * 1.5
    assert galaxy.flux == pytest.approx(30.0, rel=RULE)
    # A cloud is in one pixel as a whole: a few tenths of one, of so few.
    assert galaxy.mean(galaxy.east) == pytest.approx(east, abs=0.3)
    assert galaxy.mean(galaxy.north) == pytest.approx(north, abs=0.3)
    angle = np.radians(170.0)
    expected = 400.0 / 130.0 * (east * np.sin(angle) + north * np.cos(angle))
    assert galaxy.momentum.sum() / galaxy.flux == pytest.approx(expected, abs=2.0)


def test_a_file_that_is_there_and_cannot_be_used_is_named(tmp_path):
    path = tmp_path / "NGC1437A_FUV.fits"
    path.write_bytes(b"<html>moved</html>")
    with pytest.raises(FileError, match=r"NGC1437A_FUV\.fits"):
        suite.infits()
    path.unlink()
    fits.writeto(path, np.ones((8, 8)))
    with pytest.raises(HeaderError, match="CDELT1"):
        suite.infits()
    path.unlink()
    fits.writeto(path, np.ones((3, 8, 8)), fits.Header({"CDELT1": 0.1, "CDELT2": 0.1}))
    with pytest.raises(HeaderError, match="shape"):
        suite.infits()


def observed(path, shape):
    """Noise, and a line far above it in ten channels; the first channels are free of it."""
    cube = np.random.default_rng(2).normal(0.0, 0.01, shape)
    cube[..., 5:15, 40:60, 30:50] += 1.0
    cube[..., 19, 0, 0] = np.nan
    fits.writeto(path, cube)
    return cube.reshape(shape[-3:]).T


@pytest.mark.parametrize("shape", [(1, 21, 100, 100), (21, 100, 100)])
def test_observed_ring_is_drawn_over_the_model(tmp_path, drawn, shape):
    cube = observed(tmp_path / "NGC4324.fits", shape)
    made = suite.ngc4324()
    ((plotter, _),) = drawn
    np.testing.assert_array_equal(plotter.f, made)
    assert np.all(np.isfinite(plotter.overcube))
    line = np.nan_to_num(cube) > 0.5
    np.testing.assert_array_equal(plotter.overcube[line], cube[line])
    # Of noise one voxel in 30000 is above four standard deviations.
    assert np.mean(plotter.overcube[~line] != 0.0) < 1e-3
    # The model is written by the name that scripts expect.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["NGC4234_test_simcube.fits", "NGC4324.fits"]


def test_observed_ring_of_another_shape_is_left_out(tmp_path, drawn):
    observed(tmp_path / "NGC4324.fits", (20, 100, 90))
    with pytest.warns(KinmsWarning, match=r"\(90, 100, 20\), not \(100, 100, 21\)") as said:
        suite.ngc4324()
    assert said[0].filename == __file__
    assert drawn[0][0].overcube is None


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder that is served in place of the observers' own."""
    folder = tmp_path / "served"
    folder.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setattr(suite, "_SERVER", f"http://127.0.0.1:{serving.server_port}/")
        monkeypatch.setattr(suite, "internet", lambda: True)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield folder
        serving.shutdown()
        thread.join()


def test_image_of_the_network(server):
    ultraviolet(server / "NGC1437A_FUV.fits")
    galaxy = Seen("infits", suite.infits())
    assert galaxy.mean(galaxy.east) == pytest.approx(13.5 * 1.5, abs=0.3)
    assert list(Path.cwd().iterdir()) == []  # nothing is kept


@pytest.mark.parametrize("answer", [None, b"<html>This page has moved.</html>", b""])
def test_a_server_without_the_image_is_said(server, answer):
    if answer is not None:
        (server / "NGC1437A_FUV.fits").write_bytes(answer)
    with pytest.warns(KinmsWarning, match=r"cannot be read \((HTTPError|FileError)\)\. A galaxy that is drawn") as said:
        galaxy = Seen("infits", suite.infits())
    assert said[0].filename == __file__
    np.testing.assert_array_equal(galaxy.light, seen("infits")[0].light)


# -- the network ---------------------------------------------------------------------------------------------------


def test_a_connection_that_can_be_made_is_closed_again(capsys):
    before = socket.getdefaulttimeout()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10.0)
        assert PROBE("127.0.0.1", listening.getsockname()[1], 2) is True
        other, _ = listening.accept()
        with other:
            other.settimeout(10.0)
            assert other.recv(1) == b""  # the end: it was closed
    assert socket.getdefaulttimeout() == before
    assert capsys.readouterr().out == ""


def test_a_connection_that_cannot_be_made_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert PROBE(host="127.0.0.1", port=port, timeout=2) is False
    assert "refused" in capsys.readouterr().out.lower()
    assert PROBE("no such host", 53, 1) is False


def test_the_timeout_is_that_of_this_connection(monkeypatch):
    asked = []

    def never(address, timeout):
        asked.append((address, timeout, socket.getdefaulttimeout()))
        raise TimeoutError("timed out")

    before = socket.getdefaulttimeout()
    monkeypatch.setattr(socket, "create_connection", never)
    assert PROBE() is False
    assert PROBE(timeout=0.5) is False
    assert asked == [(("8.8.8.8", 53), 3, before), (("8.8.8.8", 53), 0.5, before)]
    assert socket.getdefaulttimeout() == before
