"""Guesses from the data: near enough to the truth for a fit to find the rest, whatever the cube looks like."""

import logging
import warnings

import numpy as np
import pytest

from kinms.cube import Cube, simulate
from kinms.disc import Disc
from kinms.errors import InputError, InputTypeError, KinmsWarning, UnknownNameError
from kinms.grid import Beam, CubeGrid
from kinms.guessing import INC, LEAST_SIGMA, guess, kinematic_pa, line_width
from kinms.noise import correlated_noise, detection_mask
from kinms.profiles import (
    ROTATION,
    SURFACE_BRIGHTNESS,
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

GRID = CubeGrid((24, 52, 47), 1.0, 20.0, v_ref=1500.0)
BEAM = Beam(4.0, 3.0, 20.0)
GALAXY = Disc(
    surface_brightness=ExponentialDisc(4.0),
    rotation=ArctanCurve(190.0, 2.0),
    inc=52.0,
    pa=63.0,
    v_sys=1507.0,
    sigma_gas=9.0,
    flux=40.0,
    east=2.0,
    north=-1.5,
)
RING = GALAXY.replace(surface_brightness=GaussianRing(9.0, 2.0))


def observed(disc, grid=GRID, beam=BEAM, signal_to_noise=30.0, seed=1):
    """A cube whose brightest voxel is so many times the rms of noise that is correlated with the beam."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KinmsWarning)  # flux outside of the cube, where that is meant
        cube = simulate(disc, grid, beam)
    rms = float(np.abs(cube.data).max()) / signal_to_noise
    return cube.replace(data=cube.data + correlated_noise(grid, beam, rms, seed))


def turned(one, other):
    """Angle between two directions, degrees."""
    return abs((one - other + 180.0) % 360.0 - 180.0)


def misses(found, truth, cube):
    """Names of the parameters that are not near the truth; see the test of the mock galaxies."""
    centre = np.hypot(found.east - truth.east, found.north - truth.north)
    near = {
        "pa": turned(found.pa, truth.pa) <= 10.0 or truth.inc < 30.0,
        "inc": abs(found.inc - truth.inc) <= 12.0,
        "v_sys": abs(found.v_sys - truth.v_sys) <= cube.grid.dv,
        "centre": centre <= max(cube.grid.cell, 0.5 * cube.beam.bmaj),
        "v_max": abs(found.rotation.v_max / truth.rotation.v_max - 1.0) <= 0.25,
        "flux": abs(found.flux / truth.flux - 1.0) <= 0.2,
        "light": type(found.surface_brightness) is type(truth.surface_brightness),
    }
    return [name for name, is_near in near.items() if not is_near]


def mock(seed):
    """Any galaxy: discs and rings, inc 25 to 80, all position angles, beams of 3 to 7 pixels, S/N 5 to 100."""
    draw = np.random.default_rng(seed)
    nv, ny, nx = (int(n) for n in draw.integers((20, 50, 50), (36, 72, 72)))
    cell, dv = float(draw.choice([0.3, 1.0, 5.0])), float(draw.choice([5.0, 10.0, 20.0]))
    bmaj, field, inc = draw.uniform(3.0, 7.0) * cell, min(nx, ny) * cell, draw.uniform(25.0, 80.0)
    if seed % 3:
        scale = draw.uniform(max(0.05 * field, 0.6 * bmaj), 0.11 * field)
        light, turn = ExponentialDisc(scale), draw.uniform(0.2, 1.0) * scale
    else:
        radius = draw.uniform(max(0.16 * field, 1.3 * bmaj), 0.27 * field)
        light, turn = GaussianRing(radius, draw.uniform(0.1, 0.3) * radius), draw.uniform(0.02, 0.2) * radius
    v_sys = draw.uniform(500.0, 5000.0)
    truth = Disc(
        surface_brightness=light,
        rotation=ArctanCurve(draw.uniform(0.25, 0.4) * nv * dv / np.sin(np.radians(inc)), turn),
        inc=inc,
        pa=draw.uniform(0.0, 360.0),
        v_sys=v_sys,
        sigma_gas=draw.uniform(0.5, 1.5) * dv,
        flux=10.0 ** draw.uniform(-1.0, 3.0),
        east=draw.uniform(-0.08, 0.08) * field,
        north=draw.uniform(-0.08, 0.08) * field,
    )
    grid = CubeGrid((nv, ny, nx), cell, dv, v_ref=v_sys + draw.uniform(-2.0, 2.0) * dv)
    beam = Beam(bmaj, bmaj * draw.uniform(0.6, 1.0), draw.uniform(0.0, 180.0))
    return truth, observed(truth, grid, beam, 10.0 ** draw.uniform(np.log10(5.0), 2.0), seed)


MOCKS = 24


def test_mock_galaxies():
    """Within 10 deg of pa, 12 deg of inc, a channel, half a beam, 25 % of v_max and 20 % of flux: the basin of a fit.

    At a peak of 5 sigma noise alone moves inc by 10 deg, and a ring may show no hole, so that not quite all pass: with
    95 % of them good, 4 failures or more in 24 have a probability of 3 %.
    """
    failed = {}
    for seed in range(MOCKS):
        truth, cube = mock(seed)
        if names := misses(guess(cube), truth, cube):
            failed[seed] = names
    assert len(failed) <= 3, failed
    # What the velocities tell is right in any case.
    assert not [seed for seed, names in failed.items() if {"pa", "centre"} & set(names)], failed


@pytest.mark.parametrize("truth", [GALAXY, RING], ids=["disc", "ring"])
@pytest.mark.parametrize("pa", range(17, 360, 45))
def test_the_receding_half_may_lie_anywhere(truth, pa):
    truth = truth.replace(pa=pa)
    found = guess(observed(truth))
    assert turned(found.pa, pa) < 3.0
    assert misses(found, truth, observed(truth)) == []


def test_without_noise():
    cube = simulate(GALAXY, GRID, BEAM)
    found = guess(cube)
    assert misses(found, GALAXY, cube) == []
    assert found.inc == pytest.approx(52.0, abs=2.0)
    assert found.flux == pytest.approx(40.0, rel=0.02)
    assert found.rotation.v_max == pytest.approx(190.0, rel=0.05)


def test_absorption():
    truth = GALAXY.replace(flux=-40.0)
    cube = observed(truth)
    found = guess(cube)
    assert found.flux == pytest.approx(-40.0, rel=0.2)
    assert misses(found, truth, cube) == []


def test_blank_voxels():
    """A masked cube, a dead corner and a lost channel."""
    cube = observed(GALAXY)
    data = np.where(simulate(GALAXY, GRID, BEAM).data > 0.005 * cube.data.max(), cube.data, np.nan)
    data[:, :20, :20] = np.nan
    data[11] = np.nan
    blank = cube.replace(data=data)
    assert misses(guess(blank), GALAXY, blank) == []
    mask = np.isfinite(data)
    masked = cube.replace(mask=mask)
    assert misses(guess(masked), GALAXY, masked) == []


def test_part_of_the_disc_lies_outside():
    truth = GALAXY.replace(east=-18.0)
    cube = observed(truth)
    found = guess(cube)
    assert turned(found.pa, truth.pa) < 10.0
    assert abs(found.v_sys - truth.v_sys) < GRID.dv


def test_without_a_beam():
    cube = simulate(GALAXY, GRID, None)
    rms = float(cube.data.max()) / 30.0
    cube = cube.replace(data=cube.data + correlated_noise(GRID, None, rms, 1))
    found = guess(cube)
    assert found.flux == pytest.approx(40.0, rel=0.2)
    assert turned(found.pa, 63.0) < 10.0
    assert found.inc == pytest.approx(52.0, abs=12.0)


def test_a_unit_that_is_not_per_beam_is_taken_as_if_it_were():
    """As a fit does: the flux is that of a model in the numbers of the cube."""
    cube = observed(GALAXY).replace(unit="K")
    assert guess(cube).flux == pytest.approx(40.0, rel=0.2)


def test_a_source_of_few_beams():
    truth = GALAXY.replace(surface_brightness=ExponentialDisc(1.5), rotation=ArctanCurve(190.0, 0.7))
    cube = observed(truth)
    found = guess(cube)
    assert turned(found.pa, truth.pa) < 10.0
    assert abs(found.v_sys - truth.v_sys) < GRID.dv
    assert found.flux == pytest.approx(truth.flux, rel=0.2)


def test_a_large_cube_is_binned():
    grid = CubeGrid((60, 150, 160), 0.4, 8.0, v_ref=1500.0)
    cube = observed(GALAXY, grid)
    assert misses(guess(cube), GALAXY, cube) == []


@pytest.mark.parametrize("rotation", [GALAXY.rotation, ArctanCurve(1e-3, 2.0)], ids=["hardly turning", "not turning"])
def test_face_on(rotation, caplog):
    truth = GALAXY.replace(inc=5.0, rotation=rotation)
    with caplog.at_level(logging.INFO, logger="kinms"):
        found = guess(observed(truth))
    assert INC[0] <= found.inc < 45.0
    assert np.isfinite(found.rotation.v_max)
    assert abs(found.v_sys - truth.v_sys) < GRID.dv
    assert "the data hardly tell inc" in caplog.text.replace("The data", "the data")


def test_what_is_guessed_is_said_in_one_line(caplog):
    with caplog.at_level(logging.INFO, logger="kinms"):
        found = guess(observed(GALAXY), inc=52.0, rotation={"kind": "arctan", "r_turn": 2.0})
    assert len(caplog.messages) == 1
    said = caplog.messages[0]
    assert said.startswith(f"Guessed from the data: pa = {found.pa:.4g} deg, v_sys = {found.v_sys:.4g} km/s, ")
    assert f"rotation.v_max = {found.rotation.v_max:.4g} km/s." in said
    for known in ("inc", "r_turn"):
        assert known not in said
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="kinms"):
        guess(observed(GALAXY), **{name: getattr(GALAXY, name) for name in Disc.__dataclass_fields__})
    assert caplog.messages == []


def test_the_same_cube_gives_the_same_bits():
    cube = observed(GALAXY)
    assert guess(cube) == guess(cube)


def test_a_dispersion_that_a_fit_can_see():
    found = guess(simulate(GALAXY.replace(sigma_gas=0.0), GRID, BEAM))
    assert found.sigma_gas == LEAST_SIGMA
    fine = CubeGrid((80, 52, 47), 1.0, 5.0, v_ref=1500.0)
    assert guess(simulate(GALAXY.replace(sigma_gas=0.0), fine, BEAM)).sigma_gas >= 2.5


# What is known


def test_what_is_known_is_kept_and_the_rest_suits_it():
    cube = observed(GALAXY)
    known = {"inc": 35.0, "pa": 60.0, "v_sys": 1500.0, "east": 0.0, "north": 0.0, "sigma_gas": 4.0, "flux": 30.0}
    found = guess(cube, **known, lsf_sigma=1.0, scale_height=0.0)
    assert {name: getattr(found, name) for name in known} == known
    assert found.lsf_sigma == 1.0
    # The width of the line fixes v_max sin i.
    product = GALAXY.rotation.v_max * np.sin(np.radians(GALAXY.inc))
    assert found.rotation.v_max * np.sin(np.radians(35.0)) == pytest.approx(product, rel=0.25)


def test_none_is_not_known():
    cube = observed(GALAXY)
    assert guess(cube, inc=None) == guess(cube)


def test_a_position_angle_of_the_approaching_half_turns_the_rotation_round():
    found = guess(observed(GALAXY), pa=63.0 + 180.0)
    assert found.pa == 243.0
    assert found.rotation.v_max == pytest.approx(-190.0, rel=0.25)


def test_a_warp_is_kept():
    radius, pa = [0.0, 10.0, 20.0], [60.0, 63.0, 70.0]
    found = guess(observed(GALAXY), radius=radius, pa=pa)
    assert found.pa.tolist() == pa
    assert found.inc == pytest.approx(52.0, abs=12.0)


def test_known_rotation_tells_the_inclination():
    found = guess(observed(GALAXY), rotation=GALAXY.rotation, surface_brightness=GALAXY.surface_brightness)
    assert (found.rotation, found.surface_brightness) == (GALAXY.rotation, GALAXY.surface_brightness)
    assert found.inc == pytest.approx(52.0, abs=3.0)


# Laws


@pytest.mark.parametrize("how", [lambda kind, cls: kind, lambda kind, cls: cls, lambda kind, cls: {"kind": kind}])
@pytest.mark.parametrize("kind", SURFACE_BRIGHTNESS)
def test_every_law_of_light_can_be_guessed(kind, how):
    cube = observed(GALAXY)
    found = guess(cube, surface_brightness=how(kind, SURFACE_BRIGHTNESS[kind]))
    assert type(found.surface_brightness) is SURFACE_BRIGHTNESS[kind]
    # Any of them holds half of the light within the half-light radius of the galaxy, 1.68 scale lengths, or so.
    law = found.surface_brightness
    assert float(law.within(np.array(1.678 * 4.0)) / law.total()) == pytest.approx(0.5, abs=0.12)
    assert turned(found.pa, 63.0) < 10.0


GIVEN = {"keplerian": {"distance": 10.0}}


@pytest.mark.parametrize("kind", ROTATION)
def test_every_law_of_rotation_can_be_guessed(kind):
    found = guess(observed(GALAXY), rotation={"kind": kind, **GIVEN.get(kind, {})})
    assert type(found.rotation) is ROTATION[kind]
    # Where most of the light is; a point mass or a flat curve are not alike elsewhere.
    at = np.array([5.0, 6.0])
    product = np.asarray(found.rotation(at)) * np.sin(np.radians(found.inc))
    np.testing.assert_allclose(product, GALAXY.rotation(at) * np.sin(np.radians(52.0)), rtol=0.25)


@pytest.mark.parametrize(
    ("truth", "given", "name", "value"),
    [
        (GALAXY, {"rotation": {"kind": "arctan", "r_turn": 2.0}}, "rotation.v_max", 190.0),
        (GALAXY, {"rotation": {"kind": "arctan", "v_max": 190.0}}, "inc", 52.0),
        (GALAXY, {"surface_brightness": {"kind": "sersic", "n": 1.0}}, "surface_brightness.r_eff", 1.678 * 4.0),
        (RING, {"surface_brightness": {"kind": "gaussian_ring", "width": 2.0}}, "surface_brightness.radius", 9.0),
        (RING, {"surface_brightness": {"kind": "gaussian_ring", "radius": 9.0}}, "surface_brightness.width", 2.0),
    ],
)
def test_only_what_is_missing_in_a_law_is_guessed(truth, given, name, value):
    found = guess(observed(truth), **given)
    for head, law in given.items():
        for key, known in law.items():
            assert key == "kind" or found.value(f"{head}.{key}") == known
    assert found.value(name) == pytest.approx(value, rel=0.25)


@pytest.mark.parametrize("truth", [GALAXY, RING], ids=["disc", "ring"])
def test_a_table_of_rotation(truth):
    radius = [0.0, 3.0, 6.0, 9.0, 12.0]
    found = guess(observed(truth), inc=52.0, rotation={"kind": "table", "radius": radius})
    assert found.rotation.radius.tolist() == radius
    lit = slice(1, None) if truth is GALAXY else slice(2, None)  # nothing tells of the hole of a ring
    np.testing.assert_allclose(found.rotation.velocity[lit], truth.rotation(radius)[lit], rtol=0.25)
    free = guess(observed(truth), rotation="table").rotation
    assert 3 <= free.radius.size <= 8
    assert free.radius[0] == 0.0
    assert np.diff(free.radius).min() >= BEAM.bmaj * (1.0 - 1e-5)


def test_a_table_of_rotation_that_falls():
    """The table follows what the law it comes from cannot."""
    table = TableCurve([0.0, 2.0, 5.0, 10.0, 16.0], [0.0, 170.0, 230.0, 170.0, 130.0])
    truth = GALAXY.replace(rotation=table)
    found = guess(observed(truth, signal_to_noise=60.0), inc=52.0, rotation={"kind": "table", "radius": table.radius})
    assert found.rotation.velocity[2] > 1.15 * found.rotation.velocity[4]
    np.testing.assert_allclose(found.rotation.velocity[2:4], table.velocity[2:4], rtol=0.15)


def test_a_table_of_light():
    radius = [0.0, 4.0, 8.0, 12.0, 16.0]
    found = guess(observed(RING), surface_brightness={"kind": "table", "radius": radius}).surface_brightness
    assert found.brightness.max() == 1.0
    assert np.argmax(found.brightness) == 2
    assert found.brightness[0] < 0.4
    free = guess(observed(RING), surface_brightness=TableProfile).surface_brightness
    assert abs(free.radius[np.argmax(free.brightness)] - 9.0) < BEAM.bmaj


def test_rotation_laws_of_the_same_cube():
    assert guess(observed(GALAXY), rotation=FlatCurve).rotation.v_max == pytest.approx(150.0, rel=0.25)
    assert guess(observed(GALAXY), rotation=TanhCurve).rotation.v_max == pytest.approx(160.0, rel=0.25)
    mass = KeplerianCurve(3e9, 10.0)
    truth = GALAXY.replace(rotation=mass)
    found = guess(observed(truth), inc=52.0, rotation={"kind": "keplerian", "distance": 10.0})
    assert found.rotation.mass == pytest.approx(3e9, rel=0.3)
    cusp = GALAXY.replace(surface_brightness=SersicDisc(6.0, 2.0))
    assert guess(observed(cusp), surface_brightness=SersicDisc).surface_brightness.n > 1.2


# Bad input


def test_cubes_without_a_galaxy():
    noise = correlated_noise(GRID, BEAM, 1.0, 3)
    with pytest.raises(InputError, match=r"the signal is nowhere above the noise.*Give inc, pa, v_sys, flux"):
        guess(Cube(noise, GRID, BEAM))
    with pytest.raises(InputError, match="the signal is nowhere"):
        guess(Cube(np.zeros(GRID.shape), GRID, BEAM))
    with pytest.raises(InputError, match="without a single usable voxel"):
        guess(Cube(np.full(GRID.shape, np.nan), GRID, BEAM))
    single = CubeGrid((1, 52, 47), 1.0, 20.0, v_ref=1500.0)
    with pytest.raises(InputError, match="the number of channels is 1; expected at least 2"):
        guess(Cube(np.ones(single.shape), single, BEAM))
    with pytest.raises(InputTypeError, match="expected a Cube"):
        guess(np.zeros((3, 3, 3)))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"incl": 3.0}, UnknownNameError, "Did you mean 'inc'"),
        ({"inc": 341.0}, InputError, "inc is 341"),
        ({"inc": "steep"}, InputTypeError, "inc is 'steep'; expected a number"),
        ({"inc": np.nan}, InputError, "inc is nan; expected a finite number"),
        ({"sigma_gas": -1.0}, InputError, "sigma_gas is -1"),
        ({"rotation": "arc"}, UnknownNameError, "allowed: arctan, flat, keplerian, table, tanh"),
        ({"rotation": 3.0}, InputTypeError, "rotation is 3.0; expected a law"),
        ({"rotation": {"kind": "arctan", "vmax": 3.0}}, UnknownNameError, "Did you mean 'v_max'"),
        ({"rotation": {"kind": "arctan", "r_turn": -3.0}}, InputError, "r_turn is -3; expected > 0"),
        ({"rotation": "keplerian"}, InputError, "distance is missing"),
        ({"rotation": {"kind": "table", "velocity": [1.0, 2.0]}}, InputError, "rotation.radius is missing"),
        ({"rotation": {"kind": "table", "radius": [2.0, 1.0]}}, InputError, "strictly increasing"),
        ({"surface_brightness": ArctanCurve}, InputTypeError, "surface_brightness is"),
    ],
)
def test_arguments_that_cannot_be(arguments, error, said):
    with pytest.raises(error, match=said):
        guess(observed(GALAXY), **arguments)


@pytest.mark.parametrize("power", [-66, -100, 83])
def test_the_unit_of_the_data_does_not_matter(power):
    # Of W/m2, say: squares of 2^-66 = 1e-20 are none that 32 bits can hold. A power of two changes no other bit.
    cube, unit = observed(GALAXY), 2.0**power
    found, scaled = guess(cube), guess(cube.replace(data=cube.data * unit))
    assert scaled.replace(flux=1.0) == found.replace(flux=1.0)
    assert scaled.flux == pytest.approx(found.flux * unit, rel=1e-5)  # six digits are kept
    assert guess(cube.replace(data=cube.data * unit), flux=3e-3 * unit).flux == 3e-3 * unit


def test_a_flux_of_the_wrong_sign_is_said():
    cube = observed(GALAXY)
    with pytest.warns(KinmsWarning, match="The flux given is negative, and the signal in the cube is emission"):
        guess(cube, flux=-40.0)
    with pytest.warns(KinmsWarning, match="The flux given is positive, and the signal in the cube is absorption"):
        guess(cube.replace(data=-cube.data), flux=40.0)


def test_a_disc_that_may_be_noise_is_said():
    # One of ten empty cubes has a region above the thresholds of the mask.
    grid = CubeGrid((16, 47, 53), 1.0, 20.0)
    beam = Beam(5.0, 3.0, 33.0)
    empty = (Cube(correlated_noise(grid, beam, 1.0, seed), grid, beam) for seed in range(1000, 1100))
    cube = next(cube for cube in empty if detection_mask(cube).any())
    with pytest.warns(KinmsWarning, match=r"The signal is [34567]\.\d sigma in all, perhaps none"):
        guess(cube)


# The parts


@pytest.mark.parametrize("pa", [0.0, 31.0, 90.0, 163.5, 270.0, 301.0])
def test_kinematic_pa_of_an_exact_field(pa):
    """Half a degree is the step; a hole, a lost corner and a lost half do not shift the angle."""
    disc = GALAXY.replace(pa=pa, v_sys=0.0)
    grid = CubeGrid((1, 61, 64), 1.0, 1.0)
    east, north = np.meshgrid(grid.east - 2.0, grid.north + 1.5)
    along = east * np.sin(np.radians(pa)) + north * np.cos(np.radians(pa))
    across = (east * np.cos(np.radians(pa)) - north * np.sin(np.radians(pa))) / np.cos(np.radians(52.0))
    radius = np.hypot(along, across)
    field = np.asarray(disc.rotation(radius)) * along / np.maximum(radius, 1e-9)
    field[radius > 20.0] = np.nan
    weight = np.exp(-radius / 8.0)
    assert turned(kinematic_pa(field, weight, grid, (2.0, -1.5)), pa) <= 1.0
    field[radius < 4.0] = np.nan
    field[:20, :20] = np.nan
    assert turned(kinematic_pa(field, weight, grid, (2.0, -1.5)), pa) <= 1.0
    field[across > 0.0] = np.nan
    assert turned(kinematic_pa(field, weight, grid, (2.0, -1.5)), pa) <= 3.0


def test_kinematic_pa_of_nothing():
    assert kinematic_pa(np.full((8, 8), np.nan), np.ones((8, 8)), CubeGrid((1, 8, 8), 1.0, 1.0)) == 0.0


def test_line_width():
    """A triangle 8 channels wide at its foot: 0.8 of that at 20 %, half at 50 %; one cut off ends with the band."""
    velocity = np.arange(20.0) * 10.0
    profile = np.maximum(4.0 - np.abs(np.arange(20.0) - 9.0), 0.0)
    middle, width = line_width(velocity, profile)
    assert middle == pytest.approx(90.0)
    assert width == pytest.approx(80.0 * 0.5 * (0.8 + 0.5))
    assert line_width(velocity[:10], np.ones(10)) == (45.0, 90.0)


def test_laws_that_are_given_whole_are_kept():
    cube = simulate(
        Disc(surface_brightness=ExponentialDisc(4.0), rotation=ArctanCurve(150.0, 2.0), inc=50, pa=120, flux=9),
        CubeGrid((24, 64, 64), 1.0, 20.0),
        Beam(4.0),
    )
    rotation = TableCurve([0.0, 5.0, 20.0], [0.0, 90.0, 140.0])
    light = TableProfile([0.0, 8.0, 20.0], [1.0, 0.3, 0.0])
    found = guess(cube, rotation=rotation, surface_brightness=light, inc=50.0)
    assert (found.rotation, found.surface_brightness, found.inc) == (rotation, light, 50.0)
