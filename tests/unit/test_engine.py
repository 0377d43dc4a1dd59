"""The engine keeps its word: stated errors, two evaluators of the same disc, fused sums, threads, odd input, memory."""

import pickle
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from arctan_disc import BEAM, DISC
from scipy import integrate, signal

import kinms as km
from kinms import engine, legacy
from kinms.cube import simulate
from kinms.engine import Model, Sampling, choose
from kinms.errors import InputError, InputTypeError, KinmsError, KinmsWarning
from kinms.flows import BisymmetricFlow, LopsidedFlow, RadialFlow
from kinms.grid import Beam, CubeGrid
from kinms.likelihood import InflatedNoise, WhiteNoise
from kinms.points import _net
from kinms.posterior import DiscPosterior
from kinms.priors import Uniform
from kinms.profiles import (
    ArctanCurve,
    ExponentialDisc,
    FlatCurve,
    GaussianRing,
    KeplerianCurve,
    SersicDisc,
    TableCurve,
    TableProfile,
    TanhCurve,
)
from kinms.sky_grid import rings_cross

GRID = CubeGrid((20, 48, 48), cell=1.0, dv=20.0)
RING = GaussianRing(9.0, 1.5)


def relative(cube, truth):
    """Rms of the difference over that of the truth."""
    cube, truth = np.asarray(cube, dtype=float), np.asarray(truth, dtype=float)
    return float(np.sqrt(np.sum((cube - truth) ** 2) / np.sum(truth**2)))


def by_points(disc, grid=GRID, beam=BEAM, sampling=None):
    """The `Sample` of a disc evaluated with points, whatever it would be given."""
    with mock.patch.object(engine, "choose", return_value="points"):
        sample = engine.sample(disc, grid, beam, sampling or Sampling())
    assert sample.kind == "points"
    return sample


# -- stated errors -------------------------------------------------------------------------------------------------

STATED = {
    "thin": {"inc": 60.0, "pa": 33.0},
    "zero dispersion": {"sigma_gas": 0.0, "inc": 60.0, "pa": 33.0},
    "ring with flow": {"surface_brightness": RING, "flow": RadialFlow(30.0), "inc": 55.0},
    "thick": {"scale_height": 0.7, "inc": 60.0, "pa": 33.0},
    "thick without dispersion": {"scale_height": 0.7, "inc": 50.0, "pa": 33.0, "sigma_gas": 0.0},
    "warp": {"radius": [0.0, 16.0], "inc": [50.0, 58.0], "pa": [240.0, 280.0]},
    "hole with edges": {"surface_brightness": TableProfile([4.0, 6.0, 12.0], [2.0, 2.0, 1.0]), "pa": 20.0},
    "two pixels wide": {"surface_brightness": ExponentialDisc(0.8), "inc": 70.0},
}


# A reference that falls short of what it was asked for says by how much, which is allowed for below.
@pytest.mark.filterwarnings("ignore:The accuracy reached:kinms.errors.KinmsWarning")
@pytest.mark.parametrize("name", STATED)
@pytest.mark.parametrize("beam", [BEAM, Beam(7.0, 3.0, 35.0)], ids=["round", "oblique"])
def test_stated_accuracy_is_an_upper_limit(name, beam):
    disc = DISC.replace(**STATED[name])
    # Nodes that are denser in all respects, with an error of their own that is far below. Those of a warp are dear.
    best = simulate(disc, GRID, beam, Sampling(accuracy=1e-4 if disc.is_warped else 1e-5))
    for asked in (1e-2, 1e-3):
        cube = simulate(disc, GRID, beam, Sampling(accuracy=asked))
        assert cube.stats.evaluator == "sky grid"
        assert cube.stats.accuracy <= asked
        assert relative(cube.data, best.data) <= cube.stats.accuracy + best.stats.accuracy, asked


@pytest.mark.filterwarnings("ignore:About")
@pytest.mark.parametrize(
    ("inc", "dv", "beam", "scale", "curve"),
    [
        (39.5, 8.0, 5.8, 6.3, (132.0, 2.6)),
        (31.8, 8.0, 6.9, 6.9, (175.0, 1.2)),
        (47.2, 20.0, 4.3, 6.0, (252.0, 2.6)),
        (52.9, 30.0, 6.8, 6.8, (176.0, 1.0)),
    ],
)
def test_stated_accuracy_of_wide_cells_without_dispersion_is_an_upper_limit(inc, dv, beam, scale, curve):
    # Errors differ from pixel to pixel, and the beam is wide: one pixel in eight does not stand for its neighbours.
    disc = DISC.replace(
        surface_brightness=ExponentialDisc(scale), rotation=ArctanCurve(*curve), inc=inc, pa=33.0, sigma_gas=0.0
    ).replace(east=0.3, north=-0.4, v_sys=1.3)
    grid = CubeGrid((2 * round(curve[0] / dv) + 6, 48, 48), 1.0, dv)
    best = simulate(disc, grid, Beam(beam), Sampling(accuracy=1e-4))
    cube = simulate(disc, grid, Beam(beam))
    assert relative(cube.data, best.data) <= cube.stats.accuracy + best.stats.accuracy


@pytest.mark.parametrize("sigma", [0.0, 10.0])
def test_a_thin_edge_on_disc_close_to_the_edge_of_a_pixel(sigma):
    # All of its light is in one row of pixels, 0.02 of them from the next: without a beam there are no soft edges.
    disc = DISC.replace(inc=90.0, pa=90.0, north=0.48, sigma_gas=sigma)
    beam, points = Beam(2.5), Sampling(points=1 << 21)
    sharp = simulate(disc, GRID, sampling=points)
    assert np.count_nonzero(sharp.data.any(axis=(0, 2))) == 1
    # The sampled beam, and the sum itself along both axes.
    y, x = np.mgrid[-47:48, -47:48]
    kernel = np.exp(-4.0 * np.log(2.0) * (y**2 + x**2) / 2.5**2)
    kernel *= beam.pixels(1.0) / kernel.sum()
    truth = np.array([signal.fftconvolve(channel, kernel, mode="same") for channel in sharp.data.astype(float)])
    cube = simulate(disc, GRID, beam)
    assert cube.stats.accuracy <= 1e-3
    # Twice the error of the points without a beam, as both are upper limits and the beam leaves less of it.
    assert relative(cube.data, truth) <= cube.stats.accuracy + 3e-4
    # And what a fit calls has the same edges.
    assert relative(Model(disc, GRID, beam)(disc), cube.data) < 1e-5


def test_points_are_a_net():
    # (0, m, 2) in base 2 (Niederreiter 1992, ch. 4): every box of 2^-k by 2^(k - m) holds one of the first 2^m.
    m = 7
    x, y = _net(0, 1 << m)
    for k in range(m + 1):
        box = np.floor(x * 2**k) * 2 ** (m - k) + np.floor(y * 2 ** (m - k))
        assert np.array_equal(np.sort(box), np.arange(1 << m))
    # In pieces, they are the same.
    np.testing.assert_array_equal(np.concatenate([_net(0, 50), _net(50, 128)], axis=1), (x, y))


def test_the_facade_says_where_its_points_are_too_few(monkeypatch):
    radius = np.arange(0.0, 30.0)
    made = km.KinMS(48, 48, 400, 1.0, 20.0, 4.0)
    galaxy = {
        "posAng": 20.0, "sbProf": np.exp(-radius / 5.0), "sbRad": radius, "velProf": 180.0 * np.tanh(radius / 2.0),
        "intFlux": 30.0,
    }  # fmt: skip
    warped, flaring = {"inc": np.linspace(30.0, 75.0, 30)}, {"inc": 90.0, "diskThick": 0.1 + 0.1 * radius}
    for shape in (warped, flaring):
        cube = made.model_cube(**galaxy, **shape)  # without a word: warnings are errors
        monkeypatch.setattr(legacy, "usual_points", lambda disc, grid: 1 << 22)
        best = made.model_cube(**galaxy, **shape)
        assert relative(cube, best) < 5e-3
        monkeypatch.setattr(legacy, "usual_points", lambda disc, grid: 1 << 12)
        with pytest.warns(KinmsWarning, match=r"good to about \d+ % only .* gasSigma is far below dv \(20 km/s\)"):
            rough = made.model_cube(**galaxy, **shape)
        assert relative(rough, best) > legacy.ROUGH
        monkeypatch.undo()


@pytest.mark.parametrize(
    "change",
    [{"inc": 88.0}, {"inc": 90.0, "scale_height": 0.5}, {"inc": 84.0, "sigma_gas": 0.0}, {"inc": 90.0, "pa": 20.0}],
)
def test_stated_accuracy_of_points_is_an_upper_limit(change):
    disc = DISC.replace(**change)
    best = simulate(disc, GRID, BEAM, Sampling(points=1 << 21))
    for asked in (1e-2, 2e-3):
        cube = simulate(disc, GRID, BEAM, Sampling(accuracy=asked))
        assert cube.stats.evaluator == "points"
        assert relative(cube.data, best.data) <= np.hypot(cube.stats.accuracy, best.stats.accuracy), asked


# -- two evaluators ------------------------------------------------------------------------------------------------

PAIRS = {
    "plain": {},
    "face-on": {"inc": 0.0},
    "nearly face-on": {"inc": 20.0, "pa": 33.0},
    "steep": {"inc": 80.0, "pa": 33.0},
    "turned round": {"inc": 130.0},
    "no dispersion": {"sigma_gas": 0.0},
    "no dispersion, steep": {"sigma_gas": 0.0, "inc": 76.0, "pa": 10.0},
    "dispersion under a 20th of a channel": {"sigma_gas": 0.9},
    "line spread": {"sigma_gas": 5.0, "lsf_sigma": 3.0},
    "dispersion table": {"radius": [0.0, 5.0, 20.0], "sigma_gas": [25.0, 12.0, 6.0]},
    "dispersion table to zero": {"radius": [0.0, 5.0, 20.0], "sigma_gas": [25.0, 4.0, 0.0]},
    "ring": {"surface_brightness": RING},
    "Gaussian": {"surface_brightness": GaussianRing(0.0, 2.0), "inc": 60.0},
    "Sersic": {"surface_brightness": SersicDisc(4.0, 0.7), "inc": 30.0},
    "table": {"surface_brightness": TableProfile([0, 2, 4, 9, 14], [1, 3, 2, 1, 0])},
    "hole": {"surface_brightness": TableProfile([4, 6, 12], [2, 2, 1])},
    "absorption in emission": {"surface_brightness": TableProfile([0, 2, 4, 12], [-2, -1, 1, 0])},
    "tanh": {"rotation": TanhCurve(120.0, 4.0), "pa": -71.0},
    "flat": {"rotation": FlatCurve(100.0)},
    "point mass": {"rotation": KeplerianCurve(3e9, 20.0), "surface_brightness": RING},
    "curve with a jump": {"rotation": TableCurve([0, 5, 5.001, 20], [50, 50, 120, 120]), "inc": 60.0, "pa": 20.0},
    "radial flow": {"flow": RadialFlow(40.0)},
    "bar": {"flow": BisymmetricFlow(30.0, 20.0, 25.0), "inc": 55.0},
    "lopsided": {"flow": LopsidedFlow(30.0, TableCurve([0, 10], [0, 20]), 25.0)},
    "flow without dispersion": {"surface_brightness": RING, "flow": RadialFlow(30.0), "sigma_gas": 0.0},
    "own kinematics": {"pa_kin": 240.0, "east_kin": 1.0, "north_kin": -0.7},
    "between pixels": {"east": 0.5, "north": -0.5, "v_sys": 10.0},
    "at the edge": {"east": 20.0, "north": -21.0},
    "thick": {"scale_height": 0.8},
    "thick and steep": {"scale_height": 0.4, "inc": 72.0, "pa": 20.0},
    "thick without dispersion": {"scale_height": 0.8, "inc": 53.0, "pa": 20.0, "sigma_gas": 0.0},
    "twisted": {"radius": [0.0, 16.0], "pa": [20.0, 60.0], "inc": 55.0},
    "tilted": {"radius": [0.0, 4.0, 16.0], "inc": [35.0, 40.0, 52.0]},
    "twisted and tilted": {"radius": [0.0, 16.0], "inc": [60.0, 52.0], "pa": [250.0, 282.0]},
}
PLACES = {
    "oblique beam": (GRID, Beam(6.0, 3.5, 35.0)),
    "wide beam": (GRID, Beam(14.0, 9.0, 120.0)),
    "odd and not square": (CubeGrid((13, 31, 44), 0.9, 33.0, v_ref=7.0), Beam(3.0, 2.4, -20.0)),
}


def check_pair(disc, grid, beam):
    cube, points = simulate(disc, grid, beam), by_points(disc, grid, beam)
    assert cube.stats.evaluator == "sky grid"
    assert max(cube.stats.accuracy, points.accuracy) <= 1e-3
    # Both errors are upper limits, and so is their sum; that of their squares is one only for many independent pixels.
    assert relative(cube.data, points.data) < cube.stats.accuracy + points.accuracy


@pytest.mark.filterwarnings("ignore:About")
@pytest.mark.parametrize("name", PAIRS)
def test_sky_grid_and_points_agree_within_their_stated_errors(name):
    check_pair(DISC.replace(**PAIRS[name]), GRID, BEAM)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("sigma", [0.0, 10.0])
def test_they_agree_for_other_grids_and_beams(place, sigma):
    check_pair(DISC.replace(sigma_gas=sigma), *PLACES[place])


@pytest.mark.parametrize(
    ("change", "crossing"),
    [
        ({"inc": [50.0, 56.0]}, False),
        ({"inc": [30.0, 75.0]}, True),
        ({"inc": 50.0, "pa": [0.0, 60.0]}, False),
        ({"inc": 50.0, "pa": [0.0, 180.0]}, True),
        ({"inc": 0.0, "pa": [0.0, 3000.0]}, False),
    ],
)
def test_warps_whose_rings_cross_need_points(change, crossing):
    disc = DISC.replace(radius=[0.0, 20.0], **change)
    assert rings_cross(disc) is crossing
    assert choose(disc, GRID, BEAM) == ("points" if crossing else "sky grid")
    # Rings cross where the light of a ring further out appears further in: the in-plane radius, in the plane of
    # ring R, of where ring R + dR is seen falls below R.
    theta, r, step = np.linspace(0.0, 2.0 * np.pi, 181), np.linspace(0.5, 19.5, 77)[:, None], 1e-4
    east, north = disc.project((r + step) * np.cos(theta), (r + step) * np.sin(theta), 0.0, r + step)
    pa, cos_i = np.radians(disc.at_radius("pa", r)), np.cos(np.radians(disc.at_radius("inc", r)))
    x, y = east * np.sin(pa) + north * np.cos(pa), (east * np.cos(pa) - north * np.sin(pa)) / cos_i
    assert ((np.hypot(x, y) < r).any()) == crossing


# -- pixels or the sky ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"inc": 60.0, "pa": 33.0},
        {"surface_brightness": RING, "sigma_gas": 4.0, "flow": RadialFlow(30.0)},
        {"inc": 87.0, "pa": 10.0, "scale_height": 0.5},
    ],
    ids=["disc", "ring", "edge-on"],
)
def test_the_sky_at_the_centres_of_pixels(change):
    disc, beam = DISC.replace(**change), Beam(4.0, 3.0, 25.0)
    pixel = simulate(disc, GRID, beam)
    sky = simulate(disc, GRID, beam, Sampling(reference="sky"))
    # Brute force: pixels a fifth as wide, every fifth of which has the centre of one of ours. Their own size still
    # makes 1/25 of the difference.
    middle = 5 * 24 + 2
    fine = CubeGrid((20, 240, 240), cell=0.2, dv=20.0, x_ref=middle, y_ref=middle)
    dense = simulate(disc, fine, beam, Sampling(accuracy=2e-3))
    truth = dense.data[:, 2::5, 2::5]
    difference = relative(pixel.data, truth)
    assert difference > 5e-3
    assert relative(sky.data, truth) < 2e-3
    assert 0.5 < pixel.stats.reference_difference / difference < 2.0
    assert "Pixels are summed before the beam" in pixel.stats.messages[-1]
    assert "Sampling(reference='sky')" in pixel.stats.messages[-1]
    assert not sky.stats.messages


def test_no_remark_where_it_makes_no_difference():
    # A beam of 20 pixels and a scale of more than 3 of them.
    large = DISC.replace(surface_brightness=ExponentialDisc(5.0))
    grid = CubeGrid((20, 48, 48), cell=1.5, dv=20.0)
    cube = simulate(large, grid, Beam(30.0))
    assert cube.stats.reference_difference < 1e-3
    assert cube.stats.messages == ()
    assert np.isnan(simulate(DISC, GRID, BEAM, Sampling(estimate=False)).stats.reference_difference)
    assert np.isnan(simulate(DISC, GRID).stats.reference_difference)


# -- chi-squared ---------------------------------------------------------------------------------------------------

RMS = 2e-3


@pytest.fixture(scope="module")
def data():
    cube = simulate(DISC, GRID, BEAM)
    noise = np.random.default_rng(3).normal(scale=RMS, size=GRID.shape)
    return cube.replace(data=cube.data + noise, rms=RMS, stats=None)


def noises(data):
    """Every kind of white noise, by name."""
    rng = np.random.default_rng(5)
    mask = rng.random(GRID.shape) < 0.3
    blank = data.data.copy()
    blank[rng.random(GRID.shape) < 0.1] = np.nan
    errors = RMS * rng.uniform(0.5, 2.0, GRID.shape)
    errors[3] = np.nan
    return {
        "white": WhiteNoise(data.data, RMS),
        "single precision": WhiteNoise(data.data.astype(np.float32), RMS),
        "masked": WhiteNoise(data.data, RMS, mask),
        "blank": WhiteNoise(blank, RMS),
        "an error per voxel": WhiteNoise(data.data, errors),
        "all of these": WhiteNoise(blank, errors, mask),
        "inflated": InflatedNoise(data.data, RMS, mask, 500),
    }


KINDS = ["white", "single precision", "masked", "blank", "an error per voxel", "all of these", "inflated"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beam", [BEAM, Beam(6.0, 3.5, 35.0), Beam(30.0, 20.0, 10.0)], ids=["round", "oblique", "fft"])
def test_fused_chi_squared_is_that_of_the_cube(data, kind, beam):
    noise = noises(data)[kind]
    free = {"inc": Uniform(10, 89.9), "sigma_gas": Uniform(0, 30)}
    posterior = DiscPosterior(DISC, data.replace(beam=beam), free, noise)
    model = Model(DISC, GRID, beam)
    for vector in ([45.0, 10.0], [52.0, 0.0], [87.0, 12.0]):
        disc = posterior.disc_at(vector)
        dense = noise.chi2(model(disc))
        fused = -2.0 * noise.inflation.factor**2 * posterior.log_like(vector)
        # Sums of single-precision voxels in another order; their difference counts against chi-squared itself.
        assert fused == pytest.approx(dense, rel=1e-6)
    at_start = -2.0 * noise.inflation.factor**2 * posterior.log_like([45.0, 10.0])
    assert at_start == pytest.approx(noise.chi2(simulate(DISC, GRID, beam).data), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_best_and_marginal_flux(data, kind):
    noise, vector = noises(data)[kind], [48.0]
    free = {"inc": Uniform(10, 80)}
    given, best, marginal = (
        DiscPosterior(DISC, data, free, noise, flux=flux) for flux in ("given", "best", "marginal")
    )
    # Closed form: with the model f m, flux f = sum w d m / sum w m^2 and its variance is 1 / sum w m^2.
    m = Model(DISC, GRID, BEAM)(DISC.replace(inc=48.0, flux=1.0)).astype(float)
    weight = np.full(GRID.shape, 1.0) if noise.weights is None else noise.weights
    weight = weight / noise.error**2 / noise.inflation.factor**2
    flux, error = np.sum(weight * noise.data * m) / np.sum(weight * m**2), np.sum(weight * m**2) ** -0.5
    assert best.best_flux(vector) == pytest.approx((flux, error), rel=1e-6)
    assert best.disc_at(vector).flux == pytest.approx(flux, rel=1e-6)
    # The likelihood at other fluxes, from whole cubes.
    peak = noise(flux * m)
    assert best.log_like(vector) == pytest.approx(peak, rel=1e-6)
    assert given.log_like(vector) < best.log_like(vector)
    area, _ = integrate.quad(
        lambda f: np.exp(noise(f * m) - peak), flux - 9.0 * error, flux + 9.0 * error, epsabs=0.0, epsrel=1e-7, limit=20
    )
    assert marginal.log_like(vector) == pytest.approx(peak + np.log(area), rel=1e-6)
    # Whatever flux the disc comes with.
    other = DiscPosterior(DISC.replace(flux=-1.0), data, free, noise, flux="best")
    assert other.log_like(vector) == pytest.approx(peak, rel=1e-6)


def test_flux_of_a_disc_that_is_not_there(data):
    for flux in ("best", "marginal"):
        posterior = DiscPosterior(DISC, data, {"v_sys": Uniform(-1e5, 1e5)}, WhiteNoise(data.data, RMS), flux=flux)
        assert posterior.log_like([9e4]) == -np.inf
    with pytest.raises(InputError, match="flux is 'best' and free as well"):
        DiscPosterior(DISC, data, {"flux": Uniform(1, 90)}, flux="best")
    with pytest.raises(InputError, match="flux is 'beast'"):
        DiscPosterior(DISC, data, {"inc": Uniform(1, 80)}, flux="beast")
    with pytest.raises(InputError, match="'given' where the noise is not Gaussian"):
        DiscPosterior(DISC, data, {"inc": Uniform(1, 80)}, lambda model: 0.0, flux="marginal")


# -- bits ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def threads():
    yield km.set_threads
    km.set_threads(None)


@pytest.mark.parametrize(
    ("beam", "method"),
    [(Beam(5.0), "auto"), (Beam(7.0, 4.0, 30.0), "direct"), (Beam(7.0, 4.0, 30.0), "fft")],
    ids=["round", "oblique", "fft"],
)
def test_the_number_of_threads_changes_no_bit(threads, beam, method):
    grid = CubeGrid((27, 290, 280), 0.5, 15.0)
    assert np.prod(grid.shape) > 2_000_000
    disc = DISC.replace(surface_brightness=ExponentialDisc(12.0), inc=60.0, pa=33.0)
    made, sampling = set(), Sampling(method=method)
    data = noise = None
    for n in (1, 2, 4):
        threads(n)
        cube = simulate(disc, grid, beam, sampling)
        assert cube.stats.n_samples > 300_000
        if data is None:
            data = cube.replace(rms=1e-3)
            noise = WhiteNoise(data.data, 1e-3)
        posterior = DiscPosterior(disc, data, {"inc": Uniform(10, 80)}, noise, sampling)
        made.add((cube.data.tobytes(), repr(cube.stats), posterior.log_like([61.0])))
    assert len(made) == 1


def test_models_and_posteriors_survive_pickling(data):
    for change in ({}, {"sigma_gas": 0.0}, {"inc": 87.0}, {"radius": [0.0, 16.0], "inc": [50.0, 58.0]}):
        disc = DISC.replace(**change)
        model = Model(disc, GRID, BEAM)
        expected = model(disc).tobytes()
        assert pickle.loads(pickle.dumps(model))(disc).tobytes() == expected
        assert model(disc).tobytes() == expected
        for flux in ("given", "marginal"):
            noise = noises(data)["all of these"]
            posterior = DiscPosterior(disc, data, {"v_sys": Uniform(-50, 50)}, noise, flux=flux)
            before = posterior([3.0])
            assert pickle.loads(pickle.dumps(posterior))([3.0]) == before == posterior([3.0])


# -- odd and bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"accuracy": 9e-7}, InputError),
        ({"accuracy": 0.11}, InputError),
        ({"accuracy": -1e-3}, InputError),
        ({"accuracy": np.nan}, InputError),
        ({"accuracy": "high"}, InputTypeError),
        ({"points": 1}, InputError),
        ({"points": np.inf}, InputError),
        ({"estimate": 1}, InputTypeError),
        ({"reference": "uv"}, InputError),
        ({"method": "slow"}, InputError),
    ],
)
def test_bad_sampling_is_named(bad, error):
    with pytest.raises(error, match=next(iter(bad))):
        Sampling(**bad)


@pytest.mark.parametrize("axes", [(0.0,), (-1.0,), (4.0, 0.0), (np.nan,), (np.inf,), (3.0, 4.0)])
def test_a_beam_that_is_none_is_refused(axes):
    with pytest.raises(KinmsError, match=r"bmaj|bmin"):
        Beam(*axes)


@pytest.mark.filterwarnings("ignore:The beam:kinms.errors.KinmsWarning")
@pytest.mark.parametrize("beam", [Beam(30.0), Beam(40.0, 26.0, 60.0), Beam(90.0, 50.0, 20.0)])
def test_a_beam_wider_than_half_of_the_field(beam):
    disc = DISC.replace(east=6.0, north=-9.0, sigma_gas=30.0)
    bare, cube = simulate(disc, GRID), simulate(disc, GRID, beam)
    # The sampled beam and the sum itself, nothing outside of the field.
    kernel = beam.kernel(1.0)
    wide = np.zeros((2 * 47 + 1, 2 * 47 + 1))
    half = [(size - 1) // 2 for size in kernel.shape]
    y, x = (min(h, 47) for h in half)
    wide[47 - y : 48 + y, 47 - x : 48 + x] = kernel[half[0] - y : half[0] + y + 1, half[1] - x : half[1] + x + 1]
    for k in (8, 10, 13):
        truth = signal.convolve(bare.data[k].astype(float), wide, mode="same", method="direct") * beam.pixels(1.0)
        error = 1e-5 + np.hypot(bare.stats.accuracy, cube.stats.accuracy)
        assert np.abs(cube.data[k] - truth).max() < error * truth.max()


def test_dispersion_tends_to_zero_without_a_step():
    # Below a millionth of a channel there is no width; above it the cube changes with its square.
    steep = DISC.replace(inc=60.0, pa=20.0)
    none = simulate(steep.replace(sigma_gas=0.0), GRID, BEAM, Sampling(accuracy=1e-4))
    for channels, most in ((1e-9, 1e-5), (1e-4, 2e-5), (1e-2, 3e-4), (0.05, 5e-3)):
        cube = simulate(steep.replace(sigma_gas=20.0 * channels), GRID, BEAM, Sampling(accuracy=1e-4))
        assert relative(cube.data, none.data) < most, channels
    # And no comb: the light of each pixel is what it is with broad lines.
    broad = simulate(steep.replace(sigma_gas=20.0), GRID, BEAM, Sampling(accuracy=1e-4))
    error = np.hypot(none.stats.accuracy, broad.stats.accuracy)
    assert relative(none.moment0(), broad.moment0()) < error


def test_inclinations_of_exactly_0_and_90():
    for inc, close in ((0.0, 1e-4), (90.0, 89.9999), (180.0, 179.9999)):
        for sigma in (0.0, 10.0):
            disc = DISC.replace(inc=inc, sigma_gas=sigma, v_sys=3.0)
            cube, near = simulate(disc, GRID, BEAM), simulate(disc.replace(inc=close), GRID, BEAM)
            assert np.isfinite(cube.data).all()
            assert cube.stats.flux_inside == pytest.approx(30.0, rel=3e-3)
            assert relative(cube.data, near.data) < np.hypot(cube.stats.accuracy, near.stats.accuracy), (inc, sigma)


def test_one_channel_one_pixel_and_a_strip():
    whole = simulate(DISC, GRID, BEAM)
    channel = simulate(DISC, CubeGrid((1, 48, 48), 1.0, 400.0, v_ref=-10.0), BEAM)
    # The grid's 20 channels cover the same velocities.
    stated = np.hypot(channel.stats.accuracy, whole.stats.accuracy)
    assert relative(channel.data[0] * 20.0, whole.data.sum(axis=0)) < stated + 1e-6
    bare = simulate(DISC, GRID)
    for ny, nx in ((1, 1), (1, 48), (48, 1), (3, 30)):
        with pytest.warns(KinmsWarning, match="of the flux lies outside"):
            part = simulate(DISC, CubeGrid((20, ny, nx), 1.0, 20.0))
        top, left = 24 - ny // 2, 24 - nx // 2
        inside = bare.data[:, top : top + ny, left : left + nx]
        # The error is that of the whole field, and this part has less light.
        share = np.sqrt(np.sum(bare.data.astype(float) ** 2) / np.sum(inside.astype(float) ** 2))
        assert relative(part.data, inside) < bare.stats.accuracy * share + part.stats.accuracy
        with pytest.warns(KinmsWarning, match=r"lies outside|is larger than the field"):
            assert np.isfinite(simulate(DISC, part.grid, BEAM).data).all()


@pytest.mark.parametrize("change", [{}, {"sigma_gas": 0.0}, {"inc": 88.0}, {"scale_height": 0.5}])
def test_a_disc_that_leaves_the_field_is_never_nan(change):
    disc = DISC.replace(**change)
    model = Model(disc, GRID, BEAM)
    last = np.inf
    for east in (0.5, 23.5, 24.5, 30.0, 60.0, 1e4):
        cube = model(disc.replace(east=east))
        assert np.isfinite(cube).all()
        inside = cube.sum(dtype=float)
        assert 0.0 <= inside < last
        last = inside or 1e-30
    assert not cube.any()
    # One pixel to the side is one pixel to the side.
    moved = model(disc.replace(east=2.0, north=-2.0))[:, :-2, :-2]
    there = model(disc)[:, 2:, 2:]
    assert relative(moved[:, 4:40, 4:40], there[:, 4:40, 4:40]) < 2e-3


# -- memory --------------------------------------------------------------------------------------------------------

HEAD = """
import resource, sys
import numpy as np
import kinms as km
from kinms.engine import Model
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
"""
LARGE = """
disc = km.Disc(surface_brightness=km.ExponentialDisc(50.0), rotation=km.ArctanCurve(220.0, 20.0), inc=60, pa=30,
    sigma_gas=8.0, flux=100.0)
grid, beam = km.CubeGrid((128, 512, 512), 1.0, 5.0), km.Beam(8.0, 6.0, 30.0)
km.simulate(disc.replace(surface_brightness=km.ExponentialDisc(3.0)), km.CubeGrid((8, 32, 32), 1.0, 80.0), beam)
before = peak()
cube = km.simulate(disc, grid, beam)
print(peak() - before, np.isfinite(cube.data).all())
"""
CLOUDS = """
rng = np.random.default_rng(1)
clouds = km.Cloudlets(rng.normal(scale=8.0, size=(2_000_000, 3)), v_los=rng.normal(scale=60.0, size=2_000_000))
disc = km.Disc(surface_brightness=clouds, inc=0.0, pa=0.0, flux=3.0, sigma_gas=5.0)
grid, beam = km.CubeGrid((20, 48, 48), 1.0, 20.0), km.Beam(4.0)
one = km.Disc(surface_brightness=km.Cloudlets(clouds.positions[:10], v_los=clouds.v_los[:10]), inc=0.0, pa=0.0,
    sigma_gas=5.0)
km.simulate(one, grid, beam)
before = peak()
cube = km.simulate(disc, grid, beam)
print(peak() - before, np.isfinite(cube.data).all())
"""


# The large cube itself takes 128 MiB, and so may the sparse one that it comes from; the 2 million cloudlets take 61 MiB
# and stay where they are.
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource module")
@pytest.mark.parametrize(("program", "most"), [(LARGE, 400.0), (CLOUDS, 60.0)], ids=["a large cube", "cloudlets"])
def test_memory_is_bounded(program, most):
    run = subprocess.run([sys.executable, "-c", HEAD + program], capture_output=True, text=True, check=True)
    extra, finite = run.stdout.split()
    assert finite == "True"
    assert float(extra) < most
