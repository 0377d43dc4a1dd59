"""`jacobian`: the derivatives of a model cube against differences of whole cubes."""

import numpy as np
import pytest

import kinms as km
from kinms.disc import Disc
from kinms.engine import Model
from kinms.errors import InputError, UnknownNameError
from kinms.grid import Beam, CubeGrid
from kinms.profiles import ArctanCurve, ExponentialDisc, GaussianRing

GRID = CubeGrid((20, 48, 48), cell=1.0, dv=20.0)
BEAM = Beam(5.0, 4.0, 25.0)
DISC = Disc(
    surface_brightness=ExponentialDisc(3.0),
    rotation=ArctanCurve(150.0, 2.0),
    inc=50.0,
    pa=263.0,
    flux=30.0,
    sigma_gas=10.0,
    v_sys=3.0,
)
PATHS = ["inc", "pa", "rotation.v_max", "rotation.r_turn"]
#: What shifts a cube along its axes. Without dispersion a difference depends on its step by 3e-3 to 1e-2 for these, and
#: which of them is the derivative cannot be told: they are left out there.
SHIFTS = ["east", "north", "v_sys"]
EXPONENTIAL = ["surface_brightness.scale"]
RING = ["surface_brightness.radius", "surface_brightness.width"]
# The warp bends only where there is no light: at a bend the brightness on the sky has a step, which nodes pass.
WARP = DISC.replace(surface_brightness=GaussianRing(10.0, 2.0), radius=[0.0, 24.0], inc=[45.0, 58.0], pa=[263.0, 245.0])
DISCS = {
    "thin": (DISC, [*PATHS, *EXPONENTIAL, *SHIFTS, "sigma_gas"]),
    "zero dispersion": (DISC.replace(sigma_gas=0.0), [*PATHS, *EXPONENTIAL]),
    "warp": (WARP, [*PATHS, *RING, *SHIFTS, "sigma_gas"]),
}
#: Half of the difference between the two discs; the error of a central difference is that of its square. Steps much
#: below it drown in single precision.
STEPS = {"deg": 0.02, "arcsec": 4e-3, "km/s": 0.08}


def by_differences(model, disc, name):
    step = STEPS[disc.unit(name)]
    above, below = (model(disc.with_values({name: disc.value(name) + s})).astype(float) for s in (step, -step))
    return (above - below) / (2.0 * step)


def relative(cube, truth):
    return float(np.sqrt(np.mean((cube - truth) ** 2) / np.mean(truth**2)))


@pytest.mark.parametrize("name", DISCS)
def test_derivatives_are_differences_of_cubes(name):
    disc, paths = DISCS[name]
    names: list[str] = []
    for path in paths:
        names += [f"{path}[{k}]" for k in range(np.size(disc.value(path)))] if np.ndim(disc.value(path)) else [path]
    slopes = km.jacobian(disc, GRID, BEAM, paths)
    assert slopes.shape == (len(names), *GRID.shape)
    assert slopes.dtype == np.float32
    model = Model(disc, GRID, BEAM)
    for slope, one in zip(slopes, names, strict=True):
        assert relative(slope, by_differences(model, disc, one)) < 3e-3, one


@pytest.mark.parametrize("name", DISCS)
@pytest.mark.parametrize("beam", [BEAM, None], ids=["beam", "no beam"])
def test_the_model_is_linear_in_its_flux(name, beam):
    disc, _ = DISCS[name]
    (slope,) = km.jacobian(disc, GRID, beam, ["flux"])
    assert relative(slope, Model(disc, GRID, beam)(disc) / disc.flux) < 1e-5
    # Without any flux as well, where there is no cube to divide.
    (slope,) = km.jacobian(disc.replace(flux=0.0), GRID, beam, ["flux"])
    assert relative(slope, Model(disc, GRID, beam)(disc) / disc.flux) < 1e-5


def test_arrays_count_element_by_element():
    disc, _ = DISCS["warp"]
    whole = km.jacobian(disc, GRID, BEAM, ["pa", "flux", "inc"])
    single = km.jacobian(disc, GRID, BEAM, ["pa[0]", "pa[1]", "flux", "inc[0]", "inc[1]"])
    np.testing.assert_array_equal(whole, single)
    # Both ends turned are the disc turned: what the elements do adds up.
    turned = Model(disc, GRID, BEAM)
    step = STEPS["deg"]
    above, below = (turned(disc.replace(pa=disc.pa + s)).astype(float) for s in (step, -step))
    assert relative(whole[0] + whole[1], (above - below) / (2.0 * step)) < 3e-3


def test_at_the_upper_end_it_steps_back():
    disc = DISC.replace(inc=180.0)
    with pytest.raises(InputError, match="inc"):
        disc.replace(inc=180.001)
    (slope,) = km.jacobian(disc, GRID, BEAM, ["inc"])
    model = Model(disc, GRID, BEAM)
    # All of the disc has one velocity here, whose place in the table of lines longer steps would leave.
    step = 5e-3
    cubes = [model(disc.replace(inc=180.0 - k * step)).astype(float) for k in range(3)]
    truth = (3.0 * cubes[0] - 4.0 * cubes[1] + cubes[2]) / (2.0 * step)
    assert relative(slope, truth) < 3e-3


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        (["incl"], UnknownNameError, "incl"),
        (["rotation.vmax"], UnknownNameError, "rotation.vmax"),
        (["inc[0]"], InputError, "an index into a scalar"),
        ([], InputError, "paths is empty"),
        (["inc", "inc"], InputError, "naming a parameter twice"),
    ],
)
def test_paths_that_are_none(paths, error, message):
    with pytest.raises(error, match=message):
        km.jacobian(DISC, GRID, BEAM, paths)
