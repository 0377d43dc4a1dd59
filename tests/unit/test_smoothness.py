"""Chi-squared is a smooth function of every parameter: what samplers and minimisers take for granted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinms.cube import simulate
from kinms.disc import Disc
from kinms.flows import RadialFlow
from kinms.grid import Beam, CubeGrid
from kinms.likelihood import WhiteNoise
from kinms.posterior import DiscPosterior
from kinms.priors import Uniform
from kinms.profiles import ArctanCurve, ExponentialDisc, GaussianRing

GRID = CubeGrid((25, 64, 64), cell=1.0, dv=20.0)
BEAM = Beam(4.0)
THIN = Disc(
    surface_brightness=ExponentialDisc(5.0),
    rotation=ArctanCurve(200.0, 2.0),
    inc=45.0,
    pa=270.0,
    flux=30.0,
    sigma_gas=10.0,
)
SMALL = ExponentialDisc(3.0)
MODELS = {
    "thin": (THIN, BEAM),
    "zero dispersion": (THIN.replace(sigma_gas=0.0), BEAM),
    "thick, zero dispersion": (THIN.replace(sigma_gas=0.0, scale_height=0.6), BEAM),
    "oblique beam, off-centre": (
        THIN.replace(surface_brightness=SMALL, east=6.3, north=-4.2, pa=263.0, v_sys=7.0),
        Beam(5.0, 3.5, 20.0),
    ),
    "ring with a flow": (
        THIN.replace(surface_brightness=GaussianRing(12.0, 3.0), flow=RadialFlow(30.0), inc=55.0, pa=33.0),
        BEAM,
    ),
    # Bends only where there is no light: at a bend the brightness on the sky has a step, which nodes pass.
    "warp": (
        THIN.replace(
            surface_brightness=GaussianRing(16.0, 2.5), radius=[0.0, 32.0], inc=[40.0, 58.0], pa=[263.0, 240.0]
        ),
        BEAM,
    ),
}
#: How far from the optimum the slopes are measured, one parameter at a time: all at once they could cancel. Chi-squared
#: is steep there, which the shortest step needs: single precision gives it a noise of some 1e-3.
AWAY = {
    "inc": 6.0,
    "pa": 9.0,
    "flux": 3.0,
    "sigma_gas": 8.0,
    "v_sys": 11.0,
    "east": 1.1,
    "north": -0.8,
    "surface_brightness.scale": 0.5,
    "surface_brightness.radius": 1.0,
    "surface_brightness.width": 0.5,
    "rotation.v_max": 17.0,
    "rotation.r_turn": 0.4,
    "flow.velocity": 9.0,
    "lsf_sigma": 14.0,
    "pa_kin": 9.0,
    "east_kin": 1.1,
    "north_kin": -0.8,
}
#: Degrees, arcsec, km/s or Jy km/s; the last for one-sided differences, which tell of steps in chi-squared.
STEPS, TINY = (1e-4, 1e-3, 1e-2), 1e-5


def free_parameters(disc):
    """Names of the parameters that are fitted, arrays element by element."""
    names = []
    for name in disc.parameter_names():
        if name not in AWAY or (name.endswith("_kin") and disc.is_warped):  # which would need points
            continue
        value = disc.value(name)
        names += [f"{name}[{k}]" for k in range(np.size(value))] if np.ndim(value) else [name]
    return names


def observe(disc, beam):
    """Return the cube of a disc with noise of 2 % of its peak."""
    cube = simulate(disc, GRID, beam)
    assert cube.stats.evaluator == "sky grid"
    rms = 0.02 * float(cube.data.max())
    noise = np.random.default_rng(3).normal(scale=rms, size=GRID.shape)
    return cube.replace(data=cube.data + noise, rms=rms, stats=None)


def check_slopes(disc, data, name):
    """Chi-squared, as a function of one parameter that is far from its best value, has one slope for all steps."""
    value = float(disc.value(name))
    x = value + AWAY[name.partition("[")[0]]
    prior = Uniform(min(value, x - 1.0), max(value, x) + 1.0)
    posterior = DiscPosterior(disc, data, {name: prior}, WhiteNoise(data.data, data.rms))

    def rise(low, high):
        return -2.0 * (posterior.log_like([high]) - posterior.log_like([low])) / (high - low)

    slopes = [rise(x - h, x + h) for h in STEPS]
    assert np.ptp(slopes) < 0.01 * abs(slopes[1]), (name, slopes)
    for end in (x + TINY, x - TINY):
        assert rise(x, end) == pytest.approx(slopes[1], rel=0.1), name


@pytest.fixture(scope="module")
def observed():
    return {name: observe(*model) for name, model in MODELS.items()}


CASES = [(model, name) for model, (disc, _) in MODELS.items() for name in free_parameters(disc)]


@pytest.mark.parametrize(("model", "name"), CASES, ids=[f"{model}: {name}" for model, name in CASES])
def test_slopes_do_not_depend_on_the_step(observed, model, name):
    check_slopes(MODELS[model][0], observed[model], name)


@settings(max_examples=10)
# Where the slopes are steep enough for the shortest step: see `AWAY`.
@given(inc=st.floats(40.0, 65.0), pa=st.floats(0.0, 360.0), v_max=st.floats(100.0, 250.0), scale=st.floats(3.5, 5.0))
def test_slopes_are_as_smooth_for_any_disc(inc, pa, v_max, scale):
    disc = THIN.with_values({"inc": inc, "pa": pa, "rotation.v_max": v_max, "surface_brightness.scale": scale})
    data = observe(disc, BEAM)
    for name in ("inc", "pa", "rotation.v_max", "surface_brightness.scale"):
        check_slopes(disc, data, name)
