"""Channels with edges of their own against the slow reference: lines are integrated between the true edges.

The axes are those of optical spectra (steps even in the logarithm of the wavelength), a made-up one whose channels
differ by a factor of two, and one even in frequency whose file runs backwards. The reference integrates each line in
closed form between the same edges, for every node or point by itself: it has no table, and shares no code.
"""

import json
import pickle
import warnings
from dataclasses import dataclass

import numpy as np
import physics_reference as reference
import pytest
from scipy import special

import kinms.cube
from kinms.cube import Cube
from kinms.derivatives import jacobian
from kinms.disc import Cloudlets, Disc
from kinms.engine import Model
from kinms.errors import InputError, KinmsWarning
from kinms.fitting import fit
from kinms.grid import Beam, CubeGrid
from kinms.guessing import guess
from kinms.priors import Uniform
from kinms.profiles import ArctanCurve, ExponentialDisc
from kinms.record_json import decode, encode
from kinms.sparse import blocked

C = 299792.458
BEAM = (4.0, 3.0, 20.0)
CELL, NY, NX = 1.0, 22, 24
#: What a model is asked for.
ACCURACY = 1e-3


def log_axis(nv, step, middle=0.0):
    """Steps of ``step`` km/s in ln(wavelength), optical velocities."""
    return C * np.expm1((np.arange(nv + 1) - 0.5 * nv) * step / C) + middle


def uneven_axis(nv, low, high):
    """Widths that differ by a factor of two, in no order."""
    widths = np.random.default_rng(3).uniform(1.0, 2.0, nv)
    widths[nv // 2] = 2.0
    return low + (high - low) * np.concatenate([[0.0], np.cumsum(widths)]) / widths.sum()


def frequency_axis(nv, low, high):
    """Even steps in frequency as a file has them, ascending: velocities (optical) descend, and are turned round."""
    edges = np.linspace(1.0 / (1.0 + high / C), 1.0 / (1.0 + low / C), nv + 1)
    return (C * (1.0 / edges - 1.0))[::-1].copy()


AXES = {
    "log": log_axis(40, 69.0, 30.0),
    "uneven": uneven_axis(27, -1100.0, 1300.0),
    "frequency": frequency_axis(30, -9000.0, 14000.0),
}


NAMES = tuple(AXES)


@dataclass(frozen=True)
class Axis(reference.Field):
    """A field of the reference whose channels have edges of their own."""

    name: str = ""

    @property
    def edges(self):
        return AXES[self.name]


def field(name):
    return Axis(AXES[name].size - 1, NY, NX, CELL, 1.0, name=name)


def grid(name, **more):
    return CubeGrid((AXES[name].size - 1, NY, NX), CELL, 1.0, edges=AXES[name], **more)


def observe(cube, name, beam=BEAM):
    """Jy km/s per voxel to the mean flux density over each channel, Jy/beam."""
    return reference.observe(cube / np.diff(AXES[name])[:, None, None], field(name), beam)


def deposit(name, east, north, v, sigma, weight):
    """Sum of points by voxel, each line integrated between the edges."""
    x = np.floor(NX // 2 - east / CELL + 0.5).astype(int)
    y = np.floor(NY // 2 + north / CELL + 0.5).astype(int)
    inside = (x >= 0) & (x < NX) & (y >= 0) & (y < NY)
    pixel, v, sigma, weight = (np.broadcast_to(a, x.shape)[inside] for a in (y * NX + x, v, sigma, weight))
    edges = AXES[name]
    cube = np.zeros((edges.size - 1, NY * NX))
    if not sigma.any():
        k = np.searchsorted(edges, v, side="right") - 1
        held = (k >= 0) & (k < edges.size - 1)
        np.add.at(cube, (k[held], pixel[held]), weight[held])
        return cube.reshape(-1, NY, NX)
    lower = special.ndtr((edges[0] - v) / sigma)
    for k, edge in enumerate(edges[1:]):
        upper = special.ndtr((edge - v) / sigma)
        cube[k] = np.bincount(pixel, weight * (upper - lower), minlength=NY * NX)
        lower = upper
    return cube.reshape(-1, NY, NX)


def point_reference(galaxy, name, log2_n, response=None):
    """Cube (Jy/beam) and its error, from independent lattices of points."""
    heights = reference.HEIGHTS if galaxy.scale_height else 1
    total, cubes = 2**log2_n // reference.LATTICES // heights, []
    for seed in np.random.SeedSequence(7).spawn(reference.LATTICES):
        shift, cube = np.random.default_rng(seed).random(2 if heights == 1 else 3), 0.0
        for start in range(0, total, reference.CHUNK):
            some = reference.lattice(start, min(start + reference.CHUNK, total), total, shift)
            east, north, v, sigma, sign = reference.points(galaxy, some)
            sigma = np.hypot(sigma, 0.0 if response is None else response(v))
            cube = cube + deposit(name, east, north, v, sigma, sign * galaxy.flux / (total * heights))
        cubes.append(observe(cube, name))
    mean = np.mean(cubes, axis=0)
    variance = np.sum((cubes - mean) ** 2, axis=0) / (reference.LATTICES * (reference.LATTICES - 1))
    return mean, reference.STANDARD_ERRORS * float(np.sqrt(np.mean(variance) / np.mean(mean**2)))


def sky_reference(galaxy, name):
    """Cube (Jy/beam) and its error, from fine midpoints."""
    fine, coarse = (observe(reference.sky_cube(galaxy, field(name), over), name) for over in (8, 4))
    correction = (fine - coarse) / 3.0
    return fine + correction, reference.relative_rms(fine, fine + correction)


#: v_max is a good part of each axis, so that the disc passes over most channels.
SPEED = {"log": 1300.0, "uneven": 1000.0, "frequency": 9000.0}
#: 1 sigma of a line that is wide, about a channel.
WIDE = {"log": 90.0, "uneven": 70.0, "frequency": 900.0}
SYSTEM = {"log": -20.0, "uneven": 60.0, "frequency": 2000.0}


def simulate(*arguments):
    """Run the model; that light falls outside a small cube is meant here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KinmsWarning)
        return kinms.cube.simulate(*arguments)


def both(name, sigma, radius=None, **more):
    """The same galaxy for the package and for the reference; ``sigma`` in units of a line that is wide."""
    values = {"inc": 50.0, "pa": 70.0, "sigma_gas": WIDE[name] * sigma, "v_sys": SYSTEM[name], "flux": 3.0} | more
    values |= {"east": 0.6, "north": -0.4}
    theirs = {key: reference.held(radius, value) if np.ndim(value) else value for key, value in values.items()}
    galaxy = reference.Galaxy(*reference.exponential(2.2), reference.arctan(SPEED[name], 1.5), **theirs)
    curve = ArctanCurve(SPEED[name], 1.5)
    return Disc(surface_brightness=ExponentialDisc(2.2), rotation=curve, radius=radius, **values), galaxy


def check(made, truth, error):
    """The model is as good as it says, which is what was asked."""
    found = reference.relative_rms(made.data, truth)
    assert made.stats.accuracy < ACCURACY
    assert found < made.stats.accuracy + error


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sigma", [1.0, 0.35, 3.0])
def test_thin_disc_with_wide_lines(name, sigma):
    disc, galaxy = both(name, sigma)
    made = simulate(disc, grid(name), Beam(*BEAM))
    assert made.stats.evaluator == "sky grid"
    check(made, *sky_reference(galaxy, name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sigma", [0.0, 0.2])
def test_thin_disc_with_narrow_lines(name, sigma):
    disc, galaxy = both(name, sigma)
    made = simulate(disc, grid(name), Beam(*BEAM))
    assert made.stats.evaluator == "sky grid"
    check(made, *point_reference(galaxy, name, 21 if sigma == 0.0 else 19))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sigma", [1.0, 0.0])
def test_edge_on_disc(name, sigma):
    disc, galaxy = both(name, sigma, inc=88.0, scale_height=0.4)
    made = simulate(disc, grid(name), Beam(*BEAM))
    assert made.stats.evaluator == "points"
    check(made, *point_reference(galaxy, name, 19 if sigma else 20))


@pytest.mark.parametrize("name", NAMES)
def test_width_that_depends_on_radius(name):
    radius = np.array([0.0, 4.0, 12.0])
    sigma_gas = WIDE[name] * np.array([1.5, 1.0, 0.6])
    disc, galaxy = both(name, 1.0, radius=radius, sigma_gas=sigma_gas)
    check(simulate(disc, grid(name), Beam(*BEAM)), *sky_reference(galaxy, name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sigma", [1.0, 0.0])
def test_warp(name, sigma):
    radius = np.array([0.0, 4.0, 12.0])
    disc, galaxy = both(name, sigma, radius=radius, pa=np.array([50.0, 60.0, 75.0]), inc=np.array([45.0, 50.0, 52.0]))
    check(simulate(disc, grid(name), Beam(*BEAM)), *point_reference(galaxy, name, 19 if sigma else 20))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sigma", [1.0, 0.0])
def test_cloudlets(name, sigma):
    rng = np.random.default_rng(11)
    n = 3000
    positions = rng.normal(size=(n, 3)) * [4.0, 4.0, 0.0]
    v_los, flux = rng.normal(0.0, 0.5 * SPEED[name], n), rng.uniform(0.5, 2.0, n)
    clouds = Cloudlets(positions, v_los=v_los, flux=flux)
    disc = Disc(surface_brightness=clouds, inc=0.0, pa=0.0, v_sys=40.0, sigma_gas=sigma * WIDE[name], flux=5.0)
    made = simulate(disc, grid(name))
    width = np.full(n, sigma * WIDE[name])
    truth = deposit(name, positions[:, 0], positions[:, 1], v_los + 40.0, width, 5.0 * flux / flux.sum())
    truth /= np.diff(AXES[name])[:, None, None]
    # Linear interpolation of the table, 2e-5 of a line at most, and single precision.
    np.testing.assert_allclose(made.data, truth, atol=2e-5 * truth.max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sigma", [1.0, 0.1])
def test_response_that_varies_along_the_axis(name, sigma):
    edges = AXES[name]
    centres = 0.5 * (edges[1:] + edges[:-1])
    lsf = WIDE[name] * np.linspace(1.2, 0.5, centres.size)
    lsf[centres.size // 2] *= 1.1  # no straight line
    disc, galaxy = both(name, sigma)
    made = simulate(disc, grid(name, lsf_sigma=lsf), Beam(*BEAM))
    truth, error = point_reference(galaxy, name, 19, lambda v: np.interp(v, centres, lsf))
    check(made, truth, error)
    widths = disc.replace(radius=[0.0, 20.0], sigma_gas=np.full(2, sigma * WIDE[name]))
    check(simulate(widths, grid(name, lsf_sigma=lsf), Beam(*BEAM)), truth, error)
    disc, galaxy = both(name, sigma, inc=88.0, scale_height=0.4)
    made = simulate(disc, grid(name, lsf_sigma=lsf), Beam(*BEAM))
    assert made.stats.evaluator == "points"
    check(made, *point_reference(galaxy, name, 19, lambda v: np.interp(v, centres, lsf)))


# -- what follows from it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("more", [{"sigma_gas": 1.0}, {"sigma_gas": 0.0}, {"inc": 89.0, "sigma_gas": 1.0}])
def test_sum_over_true_widths_is_the_flux(name, more):
    # A slow disc, all inside: 12 scale lengths to the border leave 8e-5 of the light outside.
    disc = Disc(
        surface_brightness=ExponentialDisc(0.9), rotation=ArctanCurve(0.2 * SPEED[name], 1.0), pa=20.0,
        **{"inc": 50.0, "v_sys": SYSTEM[name], "flux": 3.0} | more | {"sigma_gas": more["sigma_gas"] * WIDE[name]},
    )  # fmt: skip
    made = simulate(disc, grid(name))
    total = np.tensordot(np.diff(AXES[name]), made.data.astype(float).sum(axis=(1, 2)), 1)
    # Nodes may sum to more or less than the light by the accuracy.
    assert total == pytest.approx(3.0, rel=ACCURACY)
    assert made.stats.flux_inside == pytest.approx(total, rel=ACCURACY)
    assert made.moment0().sum() == pytest.approx(total, rel=1e-6)


def test_flux_beyond_the_channels_is_reported_lost():
    disc, _ = both("uneven", 1.0)
    made = simulate(disc.replace(v_sys=AXES["uneven"][-1], inc=0.0), grid("uneven"))
    # Face-on, one half of each line lies beyond the last edge; the field holds 22 arcsec of a scale of 2.2.
    assert made.stats.flux_inside == pytest.approx(1.5, rel=0.03)
    assert made.stats.flux_inside + made.stats.flux_outside == pytest.approx(3.0, rel=1e-12)
    gone = simulate(disc.replace(v_sys=AXES["uneven"][-1] + 1e5), grid("uneven"))
    assert not gone.data.any()
    assert gone.stats.flux_inside == 0.0


def test_moments_count_channels_by_their_width():
    edges = np.array([0.0, 10.0, 40.0, 60.0])
    data = np.array([3.0, 1.0, 2.0])[:, None, None]
    cube = Cube(data, CubeGrid((3, 1, 1), 1.0, 1.0, edges=edges), unit="Jy/pixel")
    flux = np.array([30.0, 30.0, 40.0])
    mean = (flux * [5.0, 25.0, 50.0]).sum() / 100.0
    assert cube.moment0()[0, 0] == pytest.approx(100.0)
    assert cube.moment1()[0, 0] == pytest.approx(mean)
    spread = (flux * (np.array([5.0, 25.0, 50.0]) - mean) ** 2).sum() / 100.0
    assert cube.moment2()[0, 0] == pytest.approx(np.sqrt(spread))
    np.testing.assert_array_equal(cube.spectrum(), [3.0, 1.0, 2.0])


@pytest.mark.parametrize("sigma", [10.0, 5.0, 1.0, 0.0])
@pytest.mark.parametrize("inc", [50.0, 88.0])
def test_regular_edges_are_a_regular_grid(sigma, inc):
    plain = CubeGrid((25, NY, NX), CELL, 20.0, v_ref=100.0)
    disc = Disc(
        surface_brightness=ExponentialDisc(2.0), rotation=ArctanCurve(150.0, 1.0), inc=inc, pa=33.0, v_sys=95.0,
        sigma_gas=sigma, flux=2.0,
    )  # fmt: skip
    one, other = (Model(disc, g, Beam(*BEAM))(disc) for g in (plain, plain.replace(edges=plain.velocity_edges)))
    # Both tables interpolate to 2e-5 of a line at most; otherwise the sums are the same, but for their rounding.
    assert reference.relative_rms(other.astype(float), one.astype(float)) < 3e-5
    # A constant response is a width of the lines.
    wide = Model(disc, plain, Beam(*BEAM))(disc.replace(lsf_sigma=9.0))
    own = Model(disc, plain.replace(lsf_sigma=np.full(25, 9.0)), Beam(*BEAM))(disc)
    assert reference.relative_rms(own.astype(float), wide.astype(float)) < (3e-5 if sigma > 6.0 or inc < 80.0 else 2e-3)


@pytest.mark.parametrize("sigma", [1.0, 0.05])
def test_derivatives_on_uneven_channels(sigma):
    disc, _ = both("uneven", sigma)
    paths = ["v_sys", "inc", "sigma_gas", "rotation.v_max", "flux"]
    found = jacobian(disc, grid("uneven"), Beam(*BEAM), paths)
    model = Model(disc, grid("uneven"), Beam(*BEAM))
    for slope, path, step in zip(found, paths, (1.0, 0.1, 1.0, 1.0, 0.1), strict=True):
        value = disc.value(path)
        up, down = (model(disc.with_values({path: value + s})).astype(float) for s in (step, -step))
        # One-sided against central differences: some 1e-3, and some 1e-2 for the curvature where lines are narrow.
        assert reference.relative_rms(slope, (up - down) / (2.0 * step)) < (5e-3 if sigma == 1.0 else 3e-2)


def test_fused_chi_squared_is_that_of_the_cube():
    rng = np.random.default_rng(2)
    disc, _ = both("uneven", 1.0)
    model = Model(disc, grid("uneven"), Beam(*BEAM))
    cube = model(disc).astype(float)
    data = rng.normal(size=cube.shape).astype(np.float32)
    square, product = model.products(disc, blocked(data), None)
    # float32 sums of a few hundred terms each.
    assert square == pytest.approx((cube**2).sum(), rel=1e-5)
    assert product == pytest.approx((cube * data).sum(), rel=1e-4)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again(disc), model(disc))


def test_grid_with_edges_is_a_value():
    own = grid("log", lsf_sigma=np.linspace(30.0, 40.0, 40))
    assert eval(repr(own), {"CubeGrid": CubeGrid}) == own == pickle.loads(pickle.dumps(own))
    assert decode(CubeGrid, json.loads(json.dumps(encode(own)))) == own
    assert hash(own) == hash(own.replace())
    # The edges decide, whatever else is said of the channels.
    assert own.replace(dv=3.0, v_ref=1.0) == own
    assert own.dv == pytest.approx(np.diff(AXES["log"]).mean())
    plain = own.replace(edges=None, lsf_sigma=None)
    assert plain.dv == own.dv
    assert plain != own
    np.testing.assert_array_equal(own.velocity_edges, AXES["log"])


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([0.0, 1.0, 1.0, 2.0], "edges"),
        ([3.0, 2.0, 1.0, 0.0], "edges.*ascending"),
        ([0.0, 1.0, 2.0], "shape of edges"),
        ([0.0, 1.0, np.nan, 2.0], "edges"),
        ([0.0, 1e-4, 1.0, 2.0], "edges.*0.001 of the mean"),
    ],
)
def test_bad_edges_are_named(edges, message):
    with pytest.raises(InputError, match=message):
        CubeGrid((3, 4, 4), 1.0, 1.0, edges=edges)


# -- a wide band ------------------------------------------------------------------------------------------------

# 100 channels even in frequency over 8000 km/s: in the middle, optical velocities are off a linear axis between the
# same ends by c / 8 (width / c)^2 / (1 + z) = 52 km/s or 0.65 channels.
AXES["band"] = frequency_axis(100, 3000.0, 11000.0)
SPEED["band"], WIDE["band"], SYSTEM["band"] = 260.0, 40.0, 4700.0


@pytest.fixture(scope="module")
def band():
    disc, galaxy = both("band", 1.0)
    truth, _ = sky_reference(galaxy, "band")
    rms = truth.max() / 100.0
    noise = np.random.default_rng(5).normal(scale=rms, size=truth.shape)
    return disc, Cube(truth + noise, grid("band"), Beam(*BEAM), rms=rms)


def test_a_wide_optical_band_is_fitted_with_its_own_edges_only(band):
    disc, cube = band
    centres = cube.grid.velocities
    linear = CubeGrid(cube.grid.shape, CELL, cube.grid.dv, 0.5 * (centres[0] + centres[-1]) + 0.5 * cube.grid.dv)
    assert np.abs(linear.velocities - centres).max() > 0.5 * cube.grid.dv
    truth = {"v_sys": disc.v_sys, "rotation.v_max": SPEED["band"], "sigma_gas": disc.sigma_gas}
    spans = {"v_sys": 150.0, "rotation.v_max": 100.0, "sigma_gas": 30.0}
    free = {name: Uniform(value - spans[name], value + spans[name]) for name, value in truth.items()}
    start = disc.with_values({"v_sys": disc.v_sys + 25.0, "rotation.v_max": 230.0, "sigma_gas": 30.0})
    pulls = []
    for axis in (cube.grid, linear):
        result = fit(
            start, cube.replace(grid=axis), free, likelihood="white", method="optimise", seed=1, progress=False
        )
        pulls.append((result.median - list(truth.values())) / result.minus)
    # Noise alone: 4 sigma is a chance of 6e-5.
    assert np.abs(pulls[0]).max() < 4.0
    assert abs(pulls[1][0]) > 20.0, "v_sys is off by half a channel"
    assert np.abs(pulls[1][1:]).max() > 4.0, "the linear axis is stretched as well"


def test_a_guess_from_a_wide_band(band):
    disc, cube = band
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KinmsWarning)
        found = guess(cube)
    # Half a channel; the linear axis is further off.
    assert found.v_sys == pytest.approx(disc.v_sys, abs=0.5 * cube.grid.dv)
    assert found.rotation.v_max * np.sin(np.radians(found.inc)) == pytest.approx(
        SPEED["band"] * np.sin(np.radians(disc.inc)), rel=0.1
    )
    assert found.flux == pytest.approx(disc.flux, rel=0.1)


def test_a_guess_on_channels_that_differ_by_a_factor_of_two():
    disc, _ = both("uneven", 1.0)
    disc = disc.replace(rotation=ArctanCurve(500.0, 1.5))
    made = simulate(disc, grid("uneven"), Beam(*BEAM))
    rms = made.data.max() / 100.0
    noise = np.random.default_rng(6).normal(scale=rms, size=made.data.shape)
    found = guess(made.replace(data=made.data + noise, stats=None))
    assert found.v_sys == pytest.approx(disc.v_sys, abs=10.0)
    assert found.flux == pytest.approx(disc.flux, rel=0.1)
    assert found.rotation.v_max * np.sin(np.radians(found.inc)) == pytest.approx(
        500.0 * np.sin(np.radians(disc.inc)), rel=0.1
    )
