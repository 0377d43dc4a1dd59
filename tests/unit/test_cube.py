import pickle
import subprocess
import sys

import numpy as np
import pytest
from arctan_disc import BEAM, DISC

from kinms.cube import Cube, Model, Sampling, simulate
from kinms.disc import Cloudlets, Disc
from kinms.engine import choose
from kinms.errors import InputError, InputTypeError, KinmsWarning
from kinms.flows import Flow
from kinms.grid import Beam, CubeGrid
from kinms.profiles import ExponentialDisc, FlatCurve, GaussianRing, TableCurve, TableProfile

GRID = CubeGrid((25, 64, 64), cell=1.0, dv=20.0)


class Still(Flow):
    """A flow that adds nothing and knows no harmonics: it asks for points and changes nothing else."""

    def v_los(self, r, theta, inc):
        return np.zeros(np.shape(r))


def relative(difference, data):
    return np.sqrt(np.mean(difference**2) / np.mean(data**2))


def test_flux_and_stats():
    cube = simulate(DISC, GRID, BEAM)
    assert cube.unit == "Jy/beam"
    assert cube.stats.evaluator == "sky grid"
    assert cube.stats.accuracy < 1e-3
    assert cube.stats.flux_inside + cube.stats.flux_outside == pytest.approx(30.0, rel=1e-12)
    # 32 arcsec are 10.7 scale lengths on the major axis: (1 + 10.7) exp(-10.7) = 3e-4 lies beyond.
    assert cube.stats.flux_inside == pytest.approx(30.0, rel=5e-4)
    assert cube.spectrum().sum() * GRID.dv == pytest.approx(cube.stats.flux_inside, rel=2e-4)


def test_without_a_beam_the_cube_is_jy_per_pixel():
    cube = simulate(DISC, GRID)
    assert cube.unit == "Jy/pixel"
    # Each voxel is rounded to single precision.
    assert cube.data.sum(dtype=float) * GRID.dv == pytest.approx(cube.stats.flux_inside, rel=1e-7)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "sky grid"),
        ({"inc": 88.0}, "points"),
        ({"scale_height": 0.5}, "sky grid"),
        ({"scale_height": 4.0, "inc": 75.0}, "points"),
        ({"radius": [0.0, 20.0], "inc": [40.0, 50.0]}, "sky grid"),
        ({"radius": [0.0, 20.0], "inc": [30.0, 75.0]}, "points"),
        ({"flow": Still()}, "points"),
        ({"radius": [0.0, 20.0], "sigma_gas": [14.0, 8.0]}, "sky grid"),
        ({"surface_brightness": ExponentialDisc(0.1)}, "points"),
        ({"surface_brightness": Cloudlets(np.zeros((1, 3)))}, "cloudlets"),
    ],
)
def test_the_physics_chooses_the_evaluator(change, kind):
    disc = DISC.replace(**change)
    assert choose(disc, GRID) == kind
    cube = simulate(disc, GRID, BEAM)
    assert cube.stats.evaluator == kind
    assert cube.stats.accuracy <= 3e-3


@pytest.mark.parametrize("inc", [30.0, 60.0, 75.0])
@pytest.mark.parametrize("sigma", [0.0, 10.0])
def test_sky_grid_and_points_agree_within_their_stated_errors(inc, sigma):
    disc = DISC.replace(inc=inc, sigma_gas=sigma)
    sky = simulate(disc, GRID, BEAM)
    assert sky.stats.evaluator == "sky grid"
    points = simulate(disc.replace(flow=Still()), GRID, BEAM)
    assert points.stats.evaluator == "points"
    stated = np.hypot(sky.stats.accuracy, points.stats.accuracy)
    assert relative(sky.data - points.data, sky.data) < stated


def test_accuracy_asked_is_accuracy_got():
    best = simulate(DISC, GRID, BEAM, Sampling(accuracy=1e-6))
    for asked in (1e-2, 1e-3, 1e-4):
        cube = simulate(DISC, GRID, BEAM, Sampling(accuracy=asked))
        assert relative(cube.data - best.data, best.data) <= cube.stats.accuracy <= asked
    thick = DISC.replace(scale_height=1.0)
    best = simulate(thick, GRID, BEAM, Sampling(accuracy=1e-3))
    for asked in (3e-2, 1e-2):
        cube = simulate(thick, GRID, BEAM, Sampling(accuracy=asked))
        assert relative(cube.data - best.data, best.data) <= np.hypot(cube.stats.accuracy, best.stats.accuracy) <= asked


def test_model_of_a_fit_meets_the_accuracy_and_survives_pickling():
    for disc in (DISC, DISC.replace(sigma_gas=0.0), DISC.replace(surface_brightness=GaussianRing(12.0, 1.0))):
        model = Model(disc, GRID, BEAM)
        cube = simulate(disc, GRID, BEAM)
        assert relative(model(disc) - cube.data, cube.data) <= 3e-3
        assert pickle.loads(pickle.dumps(model))(disc).tobytes() == model(disc).tobytes()


def test_a_model_keeps_its_promise_far_from_the_disc_it_was_planned_for():
    model = Model(DISC, GRID, BEAM)
    for change in ({"sigma_gas": 0.0}, {"sigma_gas": 3.0}, {"inc": 82.0}, {"inc": 75.0, "sigma_gas": 0.0}):
        disc = DISC.replace(**change)
        cube = simulate(disc, GRID, BEAM, Sampling(accuracy=3e-4))
        assert relative(model(disc) - cube.data, cube.data) < 1e-2, change


def test_a_model_remembers_nothing():
    model = Model(DISC, GRID, BEAM)
    first = model(DISC).tobytes()
    model(DISC.replace(inc=89.0))
    model(DISC.replace(pa=10.0, east=5.0))
    assert model(DISC).tobytes() == first
    # Nor does a first steep disc decide how later steep ones are sampled.
    steep, other = Model(DISC, GRID, BEAM), Model(DISC, GRID, BEAM)
    other(DISC.replace(inc=89.0, surface_brightness=ExponentialDisc(0.3)))
    edge_on = DISC.replace(inc=87.0)
    assert steep(edge_on).tobytes() == other(edge_on).tobytes()


def test_a_model_that_starts_edge_on_can_lean_back():
    model = Model(DISC.replace(inc=88.0), GRID, BEAM)
    for inc in (70.0, 84.0):
        cube = simulate(DISC.replace(inc=inc), GRID, BEAM)
        assert relative(model(DISC.replace(inc=inc)) - cube.data, cube.data) < 2e-3


PROGRAM = """
import hashlib
import kinms as km
disc = km.Disc(
    surface_brightness=km.ExponentialDisc(3.0), rotation=km.ArctanCurve(150.0, 2.0), inc=45.0, pa=270.0, flux=30.0,
    sigma_gas=10.0, scale_height=1.0,
)
cube = km.simulate(disc, km.CubeGrid((25, 32, 32), 1.0, 20.0), km.Beam(4.0, 3.0, 20.0), km.Sampling(points=20000))
print(hashlib.sha256(cube.data.tobytes()).hexdigest())
"""


def test_same_arguments_same_bits_in_another_process():
    runs = {subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(runs) == 1
    assert len(runs.pop()) == 65


def test_a_disc_outside_the_field_gives_zeros_and_a_warning():
    for change in ({"east": 500.0}, {"v_sys": 5000.0}):
        with pytest.warns(KinmsWarning, match="wholly outside"):
            cube = simulate(DISC.replace(**change), GRID, BEAM)
        assert not cube.data.any()
        assert cube.stats.flux_outside == 30.0
        assert np.all(np.isfinite(cube.data))


def test_what_is_lost_is_said_and_never_put_back():
    with pytest.warns(KinmsWarning, match="% of the flux lies outside the cube"):
        half = simulate(DISC.replace(east=32.0, surface_brightness=ExponentialDisc(2.0)), GRID, BEAM)
    # The field reaches 32.5 arcsec East of its reference pixel: a little more than half of the disc is inside.
    assert 15.0 < half.stats.flux_inside < 20.0
    assert "outside the cube" in half.stats.messages[0]


def test_small_and_large_beams_are_named():
    with pytest.warns(KinmsWarning, match=r"beam \(1.5 x 1.5 arcsec\) is under two pixels"):
        simulate(DISC, GRID, Beam(1.5))
    with pytest.warns(KinmsWarning, match="larger than the field"):
        simulate(DISC, GRID, Beam(70.0))


def test_absorption_is_the_mirror_image_of_emission():
    emission = simulate(DISC, GRID, BEAM).data
    np.testing.assert_array_equal(simulate(DISC.replace(flux=-30.0), GRID, BEAM).data, -emission)
    profile = TableProfile([0.0, 2.0, 4.0, 12.0], [-2.0, -1.0, 1.0, 0.0])
    thin = simulate(DISC.replace(surface_brightness=profile), GRID, BEAM)
    thick = simulate(DISC.replace(surface_brightness=profile, scale_height=1e-6), GRID, BEAM)
    assert thin.data.min() < 0 < thin.data.max()
    assert thin.stats.flux_inside == pytest.approx(30.0, rel=1e-3)
    assert relative(thin.data - thick.data, thin.data) < np.hypot(thin.stats.accuracy, thick.stats.accuracy)


def test_cloudlets_land_where_they_are_put():
    clouds = Cloudlets([[3.0, -2.0, 0.0], [0.4, 0.4, 0.0]], flux=[1.0, 3.0], v_los=[40.0, -21.0])
    disc = Disc(surface_brightness=clouds, inc=0.0, pa=0.0, flux=8.0, v_sys=0.0)
    cube = simulate(disc, GRID)
    assert cube.data[14, 30, 29] == pytest.approx(2.0 / 20.0)  # East 3: three pixels towards smaller x
    assert cube.data[11, 32, 32] == pytest.approx(6.0 / 20.0)
    assert np.count_nonzero(cube.data) == 2
    assert cube.stats.accuracy == 0.0


def test_moments():
    disc = DISC.replace(v_sys=30.0, flux=10.0)
    cube = simulate(disc, GRID, BEAM)
    keep = np.broadcast_to(cube.data.sum(axis=0) > 0.02 * cube.data.sum(axis=0).max(), cube.data.shape)
    assert cube.moment0().sum() / BEAM.pixels(1.0) == pytest.approx(10.0, rel=1e-3)
    mean = cube.moment1(keep)
    assert mean[32, 32] == pytest.approx(30.0, abs=0.5)
    assert mean[32, 42] > 100.0 > -40.0 > mean[32, 22], "pa 270: the West half recedes"
    narrow = simulate(DISC.replace(inc=0.0, sigma_gas=30.0), GRID, BEAM)
    # Channel averaging adds dv^2 / 12 to the variance.
    assert narrow.moment2()[32, 32] == pytest.approx(np.sqrt(30.0**2 + 20.0**2 / 12.0), rel=1e-3)


def test_a_line_between_two_channels_is_shared():
    disc = DISC.replace(inc=0.0, sigma_gas=0.0, v_sys=5.0)
    spectrum = simulate(disc, GRID, BEAM).spectrum()
    np.testing.assert_allclose(spectrum[12], spectrum.sum(), rtol=1e-9)
    # Without any width: all of it in one channel, next to an edge too, and on the edge half in each.
    for v_sys, share in ((10.0 - 1e-5, [1.0, 0.0]), (10.0, [0.5, 0.5]), (10.0 + 1e-5, [0.0, 1.0])):
        found = simulate(disc.replace(v_sys=v_sys), GRID, BEAM).spectrum()[12:14]
        np.testing.assert_allclose(found, np.multiply(share, spectrum[12]), rtol=1e-6)


def test_mask_and_nan_do_not_count():
    data = np.ones((2, 3, 3))
    data[0, 0, 0] = np.nan
    mask = np.ones((2, 3, 3), dtype=bool)
    mask[1, 2, 2] = False
    cube = Cube(data, CubeGrid((2, 3, 3), 1.0, 10.0), mask=mask)
    assert cube.valid.sum() == 16
    assert cube.moment0()[0, 0] == 10.0
    assert cube.replace(unit="K").pixels_per_beam == 1.0
    assert cube == pickle.loads(pickle.dumps(cube))
    with pytest.raises(InputError, match=r"shape of data is \(3, 3, 3\)"):
        cube.replace(data=np.zeros((3, 3, 3)))
    with pytest.raises(InputError, match="shape of mask"):
        cube.replace(mask=np.ones((3, 3), dtype=bool))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((1, GRID, BEAM), "disc"), ((DISC, 1, BEAM), "grid"), ((DISC, GRID, 4.0), "beam")],
)
def test_wrong_types_are_named(arguments, name):
    with pytest.raises(InputTypeError, match=name):
        simulate(*arguments)


@pytest.mark.parametrize("bad", [{"accuracy": 0.0}, {"accuracy": 1.0}, {"points": 0}])
def test_bad_sampling(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        Sampling(**bad)


def test_points_can_be_set():
    disc = DISC.replace(inc=88.0)
    with pytest.warns(KinmsWarning, match="accuracy reached"):
        cube = simulate(disc, GRID, BEAM, Sampling(points=4096))
    assert cube.stats.n_samples == 4096


def test_velocity_field_with_table_and_offset_kinematics():
    disc = DISC.replace(rotation=TableCurve([0.0, 5.0, 20.0], [0.0, 120.0, 150.0]), pa=0.0, pa_kin=90.0)
    cube = simulate(disc, GRID, BEAM)
    mean = cube.moment1(cube.data > 1e-3 * cube.data.max())
    assert mean[32, 24] > 60.0, "the kinematic major axis points East"
    assert mean[40, 32] == pytest.approx(0.0, abs=3.0)
    even = DISC.replace(rotation=FlatCurve(100.0), east_kin=4.0, surface_brightness=TableProfile([0, 20], [1, 1]))
    mean = simulate(even, GRID, BEAM).moment1()
    # By symmetry: even light round the kinematic centre, which lies on the line between two halves of pixels.
    assert mean[32, 28] == pytest.approx(0.0, abs=0.5)
