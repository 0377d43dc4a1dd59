import pickle

import numpy as np
import pytest
import radio_beam
from astropy import units as u
from astropy.table import Column
from hypothesis import given
from hypothesis import strategies as st

from kinms.cube import simulate
from kinms.disc import Disc
from kinms.errors import InputError, InputTypeError, KinmsError, UnknownNameError
from kinms.grid import Beam, CubeGrid
from kinms.noise import correlated_noise
from kinms.profiles import ExponentialDisc, FlatCurve, TableCurve
from kinms.records import check_seed


@pytest.mark.parametrize("n", [63, 64])
def test_reference_is_the_centre_of_pixel_n_over_2_for_odd_and_even(n):
    grid = CubeGrid((n, n, n), cell=0.5, dv=10.0, v_ref=1500.0)
    assert grid.velocities[n // 2] == 1500.0
    assert grid.east[n // 2] == grid.north[n // 2] == 0.0
    assert grid.east[0] > 0 > grid.east[-1], "x grows towards West"
    assert grid.north[0] < 0 < grid.north[-1]
    np.testing.assert_allclose(np.diff(grid.velocity_edges), 10.0)
    assert grid.velocity_edges[n // 2] == 1495.0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"cell": 0.0}, "cell"),
        ({"cell": np.nan}, "cell"),
        ({"dv": -1.0}, "dv"),
        ({"dv": "20"}, "dv"),
        ({"shape": (25, 64)}, "shape"),
        ({"shape": (25, 64, 0)}, "shape"),
        ({"shape": 3}, "shape"),
        ({"ra": 10.0}, "dec"),
        ({"ra": 10.0, "dec": 100.0}, "dec"),
        ({"rest_frequency": 0.0}, "rest_frequency"),
    ],
)
def test_bad_grid_names_the_argument(change, name):
    with pytest.raises((InputError, InputTypeError), match=name):
        CubeGrid(**{"shape": (25, 64, 64), "cell": 1.0, "dv": 20.0, **change})


@pytest.mark.parametrize("bad", [0.0, -4.0, np.inf, None])
def test_zero_beam_is_refused(bad):
    with pytest.raises(KinmsError, match="bmaj"):
        Beam(bad)


def test_swapped_axes_are_refused_with_the_fix():
    with pytest.raises(InputError, match="add 90 to bpa"):
        Beam(2.0, 4.0)


@pytest.mark.parametrize("bpa", [0.0, 20.0, 110.0, -35.0, 190.0])
def test_kernel_is_radio_beams_and_has_the_right_handedness(bpa):
    beam = Beam(8.0, 4.0, bpa)
    kernel = beam.kernel(1.0)
    ny, nx = kernel.shape
    theirs = radio_beam.Beam(8 * u.arcsec, 4 * u.arcsec, bpa * u.deg).as_kernel(1 * u.arcsec, x_size=nx, y_size=ny)
    # Theirs is cut at the array's edge, ours at 5.5 sigma: exp(-15) = 3e-7.
    np.testing.assert_allclose(kernel / kernel.max(), theirs.array / theirs.array.max(), atol=4e-7)
    assert kernel.sum() == pytest.approx(1.0, abs=1e-14)


def test_beam_area_is_that_of_the_kernel():
    beam = Beam(6.0, 5.0, 30.0)
    assert beam.pixels(0.5) == pytest.approx(1.0 / beam.kernel(0.5).max(), rel=1e-6)
    assert beam.area == pytest.approx(beam.to_radio_beam().sr.to_value(u.arcsec**2), rel=1e-12)
    assert Beam.from_radio_beam(beam.to_radio_beam()).bmaj == pytest.approx(6.0)


@given(st.floats(2.0, 20.0), st.floats(0.2, 1.0), st.floats(-360.0, 360.0))
def test_kernel_covariance(bmaj, ratio, bpa):
    bmin = max(bmaj * ratio, 2.0)
    kernel = Beam(max(bmaj, bmin), bmin, bpa).kernel(1.0)
    ny, nx = kernel.shape
    y, x = np.mgrid[:ny, :nx] - np.array([ny // 2, nx // 2])[:, None, None]
    got = np.array([[(kernel * x * x).sum(), (kernel * x * y).sum()], [0.0, (kernel * y * y).sum()]])
    want = Beam(max(bmaj, bmin), bmin, bpa).covariance(1.0)
    # A Gaussian of sigma 0.85 pixels sampled on the grid has its variance to 2 exp(-2 pi^2 sigma^2) ~ 1e-6.
    np.testing.assert_allclose(got[np.triu_indices(2)], want[np.triu_indices(2)], rtol=1e-4, atol=1e-4)


def test_records_are_values():
    grid = CubeGrid((25, 64, 64), 1.0, 20.0, ra=1.0, dec=2.0)
    assert eval(repr(grid)) == grid == pickle.loads(pickle.dumps(grid))
    assert hash(grid) == hash(grid.replace())
    assert grid != grid.replace(dv=10.0)
    with pytest.raises(UnknownNameError, match=r"cell_size.*Did you mean 'cell'"):
        grid.replace(cell_size=2.0)
    with pytest.raises(AttributeError):
        grid.cell = 2.0


# What numpy would strip without a word


@pytest.mark.parametrize(
    ("make", "name", "unit"),
    [
        (lambda: CubeGrid((4, 8, 8), cell=1.0 * u.arcmin, dv=1.0), "cell", "arcmin"),
        (lambda: CubeGrid((4, 8, 8), cell=1.0, dv=1.0, rest_frequency=115.0 * u.GHz), "rest_frequency", "GHz"),
        (lambda: Beam([4.0] * u.arcmin), "bmaj", "arcmin"),
        (lambda: TableCurve([0.0, 1.0] * u.kpc, [1.0, 2.0]), "radius", "kpc"),
        (lambda: TableCurve([0.0, 1.0], Column([1.0, 2.0], unit="m/s")), "velocity", "m / s"),
    ],
)
def test_units_are_refused(make, name, unit):
    with pytest.raises(InputError, match=rf"{name} is in {unit}; expected plain numbers\. .*to_value\(unit\)"):
        make()


def test_what_has_no_unit_is_a_number():
    assert Beam(4.0 * u.dimensionless_unscaled) == Beam(4.0)
    nothing_masked = np.ma.masked_array([0.0, 1.0], [False, False])
    assert TableCurve(nothing_masked, Column([1.0, 2.0])) == TableCurve([0.0, 1.0], [1.0, 2.0])


def test_masked_values_are_refused():
    with pytest.raises(InputError, match=r"velocity is masked in 1 of 2 places"):
        TableCurve([0.0, 1.0], np.ma.masked_array([1.0, 2.0], [False, True]))


def test_dates_are_no_numbers():
    with pytest.raises(InputTypeError, match="bmaj is a date or a time"):
        Beam(np.datetime64("2020-01-01"))
    with pytest.raises(InputTypeError, match="radius is a date or a time"):
        TableCurve(np.array([0, 1], "m8[s]"), [1.0, 2.0])


def test_sizes_that_nothing_holds_are_refused(monkeypatch):
    with pytest.raises(InputError, match=r"shape is \('4', '8', '1e\+10'\); expected at most 2147483647 along an axis"):
        CubeGrid((4, 8, 10**10), 1.0, 1.0)
    with pytest.raises(InputError, match=r"bmaj is 1e\+06; expected > 0 and <= 648000"):
        Beam(1e6)
    # However much there is: half of it is taken.
    monkeypatch.setattr("kinms.memory.available_memory", lambda: 2**31)
    disc = Disc(surface_brightness=ExponentialDisc(3.0), rotation=FlatCurve(100.0), inc=40, pa=30)
    with pytest.raises(InputError, match=r"the grid is such that 3.7 GiB of memory are needed; .* 2.0 GiB .* smaller"):
        simulate(disc, CubeGrid((10, 10_000, 10_000), 1.0, 10.0))
    # 2 x 5.5 sigma of 10000 pixels to a side, five arrays of 8 bytes.
    with pytest.raises(InputError, match=r"the beam is such that 81 GiB of memory are needed"):
        simulate(disc, CubeGrid((4, 16, 16), 1.0, 10.0), Beam(10_000.0))


# Seeds


def test_a_seed_draws_the_same_however_often():
    root = np.random.SeedSequence(3, spawn_key=(1,))
    first, second = (check_seed(root).spawn(2)[1].generate_state(2) for _ in range(2))
    assert np.array_equal(first, second)
    assert root.n_children_spawned == 0
    for three in 3, np.int32(3), 3.0:
        assert np.array_equal(check_seed(three).generate_state(2), np.random.SeedSequence(3).generate_state(2))
    noise = [correlated_noise(CubeGrid((2, 16, 16), 1.0, 10.0), Beam(4.0), 1.0, root) for _ in range(2)]
    assert np.array_equal(*noise)


@pytest.mark.parametrize(
    ("seed", "error", "text"),
    [
        (-1, InputError, "seed is -1; expected at least 0"),
        (1.5, InputTypeError, "seed is 1.5; expected a whole number"),
        (True, InputTypeError, "seed is True"),
        ("7", InputTypeError, "seed is '7'"),
    ],
)
def test_what_is_no_seed(seed, error, text):
    with pytest.raises(error, match=text):
        correlated_noise(CubeGrid((2, 16, 16), 1.0, 10.0), Beam(4.0), 1.0, seed)
