"""A configuration file becomes what a script would build, or an error that names line, key and what is allowed."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import kinms.config
from kinms.config import DataOptions, FitOptions, NoiseOptions, load
from kinms.cube import Cube, Sampling, simulate
from kinms.disc import Disc
from kinms.errors import ConfigError, FileError, HeaderError, InputError, KinmsWarning
from kinms.fits_read import read_cube
from kinms.fits_write import write_cube
from kinms.fitting import fit
from kinms.flows import BisymmetricFlow, LopsidedFlow, RadialFlow
from kinms.grid import Beam, CubeGrid
from kinms.guessing import guess
from kinms.noise import correlated_noise
from kinms.priors import IsotropicInclination, Normal, TruncatedNormal, Uniform
from kinms.profiles import (
    ROTATION,
    SURFACE_BRIGHTNESS,
    ArctanCurve,
    ExponentialDisc,
    GaussianRing,
    TableCurve,
    TableProfile,
)
from kinms.psf import DoubleGaussian, ImagePSF, Moffat

# The example of the documentation; the line numbers below count from [data] = 1.
EXAMPLE = """\
[data]
cube = "NGC4047.fits.gz"         # relative to this file
[disc]
inc = 41.3                        # every scalar of Disc
pa = 283
v_sys = 3403.0
[disc.surface_brightness]
kind = "exponential"              # kind + that class's own parameters
scale = 8.0
[disc.rotation]
kind = "table"
radius = [0, 5, 10, 20, 30]
velocity = [0, 150, 200, 215, 220]
[free]                            # dotted path = prior
pa = { uniform = [0, 360], periodic = true }
"rotation.velocity" = { uniform = [0, 350] }
[fit]
method = "gastimator"
steps = 3000
chains = 2
seed = 1
processes = 1
inflate = "auto"
"""

SMALL = """\
[disc]
inc = 41.3
pa = 283
surface_brightness = { kind = "exponential", scale = 8.0 }
rotation = { kind = "arctan", v_max = 200.0, r_turn = 2.0 }
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "galaxy.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(written, text):
    with pytest.raises(ConfigError) as caught:
        load(written(text))
    return caught.value


def test_the_example_is_what_a_script_would_build(written):
    config = load(written(EXAMPLE.replace("v_sys = 3403.0", "v_sys = 3403.0\nsigma_gas = 0\nflux = 1")))
    assert config.gaps == ()
    assert config.disc == config.disc_for()
    assert config.disc == Disc(
        surface_brightness=ExponentialDisc(scale=8.0),
        rotation=TableCurve([0, 5, 10, 20, 30], [0, 150, 200, 215, 220]),
        inc=41.3,
        pa=283.0,
        v_sys=3403.0,
    )
    assert config.free == {"pa": Uniform(0, 360, periodic=True), "rotation.velocity": Uniform(0, 350)}
    assert list(config.free) == ["pa", "rotation.velocity"]
    assert config.data == DataOptions(cube="NGC4047.fits.gz")
    assert config.fit == FitOptions("gastimator", None, 3000, 2, None, 1, 1, "auto")
    assert (config.grid, config.beam, config.noise, config.sampling) == (None, None, None, None)


def test_a_simulation(written):
    telescope = """
        [grid]
        shape = [24, 32, 33]
        cell = 1
        dv = 20.0
        v_ref = 3400
        ra = 180.7
        dec = 48.6
        rest_frequency = 115.271e9
        [beam]
        bmaj = 4.0
        bmin = 3.0
        bpa = 20.0
        [noise]
        rms = 0.01
        seed = 7
        [sampling]
        accuracy = 1e-2
    """
    config = load(written(SMALL + telescope))
    assert config.grid == CubeGrid((24, 32, 33), 1.0, 20.0, 3400.0, 180.7, 48.6, 115.271e9)
    assert config.beam == Beam(4.0, 3.0, 20.0)
    assert config.noise == NoiseOptions(0.01, 7)
    assert config.sampling == Sampling(accuracy=1e-2)
    assert config.free == {}
    assert config.fit == FitOptions()


def test_every_disc_field_can_be_set(written):
    config = load(
        written(
            """
            [disc]
            inc = [60, 50, 40]
            pa = [10.0, 20.0, 30.0]
            radius = [0, 10, 20]
            v_sys = 1.0
            sigma_gas = [8, 8, 8]
            scale_height = 0.5
            flux = -3.0
            east = 1
            north = -1
            pa_kin = 25
            east_kin = 0.5
            north_kin = 0.25
            lsf_sigma = 2
            [disc.surface_brightness]
            kind = "gaussian_ring"
            radius = 12
            width = 2
            [disc.rotation]
            kind = "arctan"
            v_max = 200
            r_turn = 2
            [disc.flow]
            kind = "radial"
            velocity = { kind = "table", radius = [0, 10], velocity = [0, 30] }
            """
        )
    )
    assert config.disc == Disc(
        surface_brightness=GaussianRing(12.0, 2.0),
        rotation=ArctanCurve(200.0, 2.0),
        inc=[60, 50, 40],
        pa=[10, 20, 30],
        radius=[0, 10, 20],
        v_sys=1.0,
        sigma_gas=[8, 8, 8],
        scale_height=0.5,
        flux=-3.0,
        east=1.0,
        north=-1.0,
        pa_kin=25.0,
        east_kin=0.5,
        north_kin=0.25,
        lsf_sigma=2.0,
        flow=RadialFlow(TableCurve([0, 10], [0, 30])),
    )


LIGHT = {
    "exponential": {"scale": 3.0},
    "gaussian_ring": {"radius": 5.0, "width": 1.0},
    "sersic": {"r_eff": 4.0, "n": 2.0},
    "table": {"radius": [0.0, 5.0], "brightness": [1.0, 0.0]},
}
SPEED = {
    "arctan": {"v_max": 200.0, "r_turn": 2.0},
    "tanh": {"v_max": 200.0, "r_turn": 2.0},
    "flat": {"v_max": 200.0},
    "keplerian": {"mass": 1e9, "distance": 10.0},
    "table": {"radius": [0.0, 5.0], "velocity": [0.0, 100.0]},
}
FLOWS = {
    "radial": (RadialFlow, {"velocity": 10.0}),
    "bisymmetric": (BisymmetricFlow, {"v2t": 10.0, "v2r": 5.0, "phi_b": 30.0}),
    "lopsided": (LopsidedFlow, {"v1t": 10.0, "v1r": 5.0, "phi_b": 30.0}),
}


def toml(kind, values):
    return "{ " + ", ".join([f'kind = "{kind}"', *(f"{name} = {value}" for name, value in values.items())]) + " }"


@pytest.mark.parametrize("kind", SURFACE_BRIGHTNESS)
def test_every_brightness_law_has_its_name(written, kind):
    text = SMALL.replace('{ kind = "exponential", scale = 8.0 }', toml(kind, LIGHT[kind]))
    assert load(written(text)).disc.surface_brightness == SURFACE_BRIGHTNESS[kind](**LIGHT[kind])


@pytest.mark.parametrize("kind", ROTATION)
def test_every_rotation_law_has_its_name(written, kind):
    text = SMALL.replace('{ kind = "arctan", v_max = 200.0, r_turn = 2.0 }', toml(kind, SPEED[kind]))
    assert load(written(text)).disc.rotation == ROTATION[kind](**SPEED[kind])


@pytest.mark.parametrize("kind", kinms.config.FLOW)
def test_every_flow_has_its_name(written, kind):
    cls, values = FLOWS[kind]
    assert load(written(SMALL + f"flow = {toml(kind, values)}\n")).disc.flow == cls(**values)


@pytest.mark.parametrize(
    ("line", "path", "prior"),
    [
        ("inc = { normal = [40, 5] }", "inc", Normal(40, 5)),
        ("inc = { truncated_normal = [40, 5], high = 50 }", "inc", TruncatedNormal(40, 5, high=50)),
        ("inc = { truncated_normal = [40, 5, 0, 90] }", "inc", TruncatedNormal(40, 5, 0, 90)),
        ("inc = { isotropic = [] }", "inc", IsotropicInclination()),
        ('"rotation.v_max" = { uniform = [50, 400] }', "rotation.v_max", Uniform(50, 400)),
        ("rotation.v_max = { uniform = [50, 400] }", "rotation.v_max", Uniform(50, 400)),
        ("[free.rotation]\nv_max.uniform = [50, 400]", "rotation.v_max", Uniform(50, 400)),
        ("lsf_sigma = { uniform = [0, 9] }", "lsf_sigma", Uniform(0, 9)),
        ("pa_kin = { uniform = [0, 9] }", "pa_kin", Uniform(0, 9)),
    ],
)
def test_priors(written, line, path, prior):
    assert load(written(f"{SMALL}[free]\n{line}\n")).free == {path: prior}


def test_one_element_of_an_array_is_free(written):
    config = load(written(EXAMPLE.replace('"rotation.velocity" =', '"rotation.velocity[2]" =')))
    assert config.free["rotation.velocity[2]"] == Uniform(0, 350)


@pytest.mark.parametrize(
    ("old", "new", "key", "line", "said"),
    [
        # unknown keys, tables and kinds
        ("inc = 41.3", "incl = 41.3", "disc.incl", 4, "'incl' is not known; allowed: east, east_kin, flow, flux, inc,"),
        ("[data]", "[datum]", "datum", 1, "allowed: beam, data, disc, fit, free, grid, noise, sampling."),
        ("scale = 8.0", "scael = 8.0", "disc.surface_brightness.scael", 9, "allowed: scale. Did you mean 'scale'?"),
        (
            '"exponential"',
            '"exp"',
            "disc.surface_brightness.kind",
            8,
            "allowed: exponential, gaussian_ring, sersic, table.",
        ),
        (
            "steps =",
            "step =",
            "fit.step",
            19,
            "allowed: burn, chains, checkpoint, flux, inflate, likelihood, method, processes, seed, steps.",
        ),
        ("cube =", "path =", "data.path", 2, "allowed: box, centre, common_beam, convention, crop_to_mask, cube, "),
        ("pa = {", "pq = {", "free.pq", 15, "parameter 'pq' is not known; allowed: east, "),
        ('velocity" =', 'velocty" =', "free.rotation.velocty", 16, "Did you mean 'rotation.velocity'?"),
        ("uniform = [0, 360]", "flat = [0, 360]", "free.pa", 15, "allowed: uniform, normal, truncated_normal,"),
        ("periodic = true", "perodic = true", "free.pa.perodic", 15, "allowed: high, low, periodic."),
        # wrong types
        ("inc = 41.3", 'inc = "41.3"', "disc.inc", 4, "is '41.3'; expected a number or a list of numbers."),
        ("inc = 41.3", "inc = true", "disc.inc", 4, "is true; expected a number"),
        ("v_sys = 3403.0", "v_sys = [1, 2]", "disc.v_sys", 6, "is [1, 2]; expected a number."),
        ("v_sys = 3403.0", "v_sys = 2020-01-01", "disc.v_sys", 6, "expected a number."),
        (
            "radius = [0, 5, 10, 20, 30]",
            "radius = [0, true]",
            "disc.rotation.radius",
            12,
            "expected a list of numbers.",
        ),
        ("steps = 3000", "steps = 3000.0", "fit.steps", 19, "is 3000.0; expected an integer."),
        ("steps = 3000", "steps = true", "fit.steps", 19, "is true; expected an integer."),
        ('inflate = "auto"', "inflate = [1]", "fit.inflate", 23, "expected true or false or a number or a string."),
        ('"NGC4047.fits.gz"', "7", "data.cube", 2, "is 7; expected a string."),
        ("[data]", "[[data]]", "data", 1, "expected a table, [data]."),
        ("[fit]", "[fit.x]", "fit.x", 17, "key 'x' is not known"),
        ("periodic = true", "periodic = 1", "free.pa.periodic", 15, "is 1; expected true or false."),
        ("[0, 360]", "[0, '360']", "free.pa.high", 15, "is '360'; expected a number."),
        (
            "{ uniform = [0, 350] }",
            "350",
            "free.rotation.velocity",
            16,
            "is 350; expected one prior, such as { uniform",
        ),
        ("[0, 350]", "[0, 1, 2]", "free.rotation.velocity.uniform", 16, "expected a list: [low, high]."),
        ("[0, 350]", "[0, 1], low = 2", "free.rotation.velocity.low", 16, "is given twice"),
        ("[0, 350]", "{ low = 0 }", "free.rotation.velocity.uniform", 16, "expected a list: [low, high]."),
        ("[0, 350]", "350", "free.rotation.velocity.uniform", 16, "is 350; expected a list: [low, high]."),
        ('velocity" = {', 'velocity[5]" = {', "free.rotation.velocity[5]", 16, "out of range for 5 values"),
        # missing
        ("radius = [0, 5, 10, 20, 30]", "", "disc.rotation.radius", 10, "is missing; needed here: radius, velocity."),
        ('kind = "table"', "n = 3", "disc.rotation.kind", 10, "is missing; allowed: arctan, tanh, flat, keplerian, ta"),
        ('cube = "NGC4047.fits.gz"', "", "data.cube", 1, "is missing; needed here: cube."),
        ("[0, 350]", "[0]", "free.rotation.velocity.high", 16, "is missing; needed here: low, high."),
        # refused by the classes
        ("inc = 41.3", "inc = 341.3", "disc.inc", 4, "inc is 341.3; expected >= 0 and <= 180."),
        ("inc = 41.3", "inc = nan", "disc.inc", 4, "inc is nan; expected a finite number."),
        ("v_sys = 3403.0", "v_sys = -inf", "disc.v_sys", 6, "expected a finite number."),
        ("v_sys = 3403.0", "sigma_gas = -1", "disc.sigma_gas", 6, "expected >= 0."),
        ("v_sys = 3403.0", "sigma_gas = [1, 2]", "disc.sigma_gas", 6, "expected a scalar, as no radius is given."),
        ("scale = 8.0", "scale = 0", "disc.surface_brightness.scale", 9, "expected > 0."),
        ("[0, 5, 10, 20, 30]", "[0, 5, 4, 20, 30]", "disc.rotation.radius", 12, "strictly increasing radii."),
        ("[0, 5, 10, 20, 30]", "[-1, 5, 10, 20, 30]", "disc.rotation.radius", 12, "radii >= 0"),
        ("[0, 150, 200, 215, 220]", "[0, 150]", "disc.rotation.velocity", 13, "expected shape (5,), as radius."),
        ("[0, 350]", "[350, 0]", "free.rotation.velocity.high", 16, "expected a number above low (350)."),
        ("{ uniform = [0, 350] }", "{ normal = [0, -1] }", "free.rotation.velocity.sigma", 16, "expected > 0."),
        # not TOML
        ("inc = 41.3", "inc = ", "", 4, "not valid TOML: Invalid value, at 'inc = # every scalar of Disc'."),
        ("pa = 283", "inc = 40", "", 5, "a key or table is given twice, at 'inc = 40'."),
        ("[fit]", "[disc]", "", 17, "a key or table is given twice, at '[disc]'."),
        ('inflate = "auto"', 'inflate = "auto', "", 23, "not valid TOML"),
    ],
)
def test_errors_name_line_key_and_what_is_allowed(written, old, new, key, line, said):
    assert old in EXAMPLE
    error = refused(written, EXAMPLE.replace(old, new, 1))
    assert (error.key, error.line) == (key, line)
    assert said in str(error)
    place = f"galaxy.toml, line {line}: {key}: " if key else f"galaxy.toml, line {line}: "
    assert place in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("table", "key", "line", "said"),
    [
        ("[grid]\nshape = [8, 8]\ncell = 1\ndv = 1", "grid.shape", 7, "is [8, 8]; expected a list of three integers."),
        ("[grid]\nshape = [8, 8, 0]\ncell = 1\ndv = 1", "grid.shape", 7, "three positive integers"),
        ("[grid]\nshape = [8, 8, 8]\ncell = 0\ndv = 1", "grid.cell", 8, "cell is 0; expected > 0."),
        ("[grid]\nshape = [8, 8, 8]\ncell = 1", "grid.dv", 6, "is missing; needed here: shape, cell, dv."),
        ("[grid]\nshape = [8, 8, 8]\ncell = 1\ndv = 1\nra = 3.0", "grid.dec", 6, "both ra and dec, or neither"),
        ("[beam]\nbmaj = 0.0", "beam.bmaj", 7, "expected > 0 and <= 648000."),
        ("[beam]\nbmaj = 3.0\nbmin = 4.0", "beam.bmin", 8, "at most bmaj (3)"),
        ("[beam]\nbmin = 3.0", "beam.bmaj", 6, "is missing; needed here: bmaj."),
        ("[beam]\nkind = 'moffet'\nfwhm = 1", "beam.kind", 7, "Did you mean 'moffat'?"),
        ("[beam]\nkind = 'moffat'\nfwhm = 1", "beam.beta", 6, "is missing; needed here: fwhm, beta."),
        ("[beam]\nkind = 'moffat'\nfwhm = 1\nbeta = 0.9", "beam.beta", 9, "beta is 0.9; expected > 1"),
        ("[beam]\nkind = 'moffat'\nfwhm = 1\nbeta = 2\nbmaj = 1", "beam.bmaj", 10, "allowed: axis_ratio, beta, fwhm,"),
        (
            "[beam]\nkind = 'double_gaussian'\nfraction = 0.3\ncore = { bmaj = 0 }\nwide = { bmaj = 2 }",
            "beam.core.bmaj",
            9,
            "bmaj is 0; expected > 0 and <= 648000.",
        ),
        (
            "[beam]\nkind = 'double_gaussian'\nfraction = 0.3\ncore = 1.0\nwide = { bmaj = 2 }",
            "beam.core",
            9,
            "is 1.0; expected a table with bmaj, bmin, bpa.",
        ),
        ("[beam]\nkind = 'image'\npath = 'none.fits'", "beam.path", 8, "there is no file"),
        (
            "[data]\ncube = 'a.fits'\nmask = 'm.fits'\ngain = 'g.fits'\ncrop_to_mask = true",
            "data.crop_to_mask",
            10,
            "does not cut the gain: give centre and size instead.",
        ),
        ("[data]\ncube = 'a.fits'\nbox = [[0, 4], [0, 4.5]]", "data.box", 8, "expected a list of pairs of integers."),
        ("[data]\ncube = 'a.fits'\nline = 21", "data.line", 8, "is 21; expected a string."),
        ("[data]\ncube = 'a.fits'\nred_shift = 0.1", "data.red_shift", 8, "Did you mean 'redshift'?"),
        ("[noise]\nseed = 3", "noise.rms", 6, "is missing; needed here: rms."),
        ("[sampling]\npoint = 3", "sampling.point", 7, "Did you mean 'points'?"),
        ("[sampling]\npoints = 3.0", "sampling.points", 7, "expected an integer."),
        ("[sampling]\naccuracy = 3.0", "sampling.accuracy", 7, "accuracy is 3; expected >= 1e-06 and <= 0.1."),
        ("[disc.flow]\nkind = 'bar'", "disc.flow.kind", 7, "allowed: bisymmetric, lopsided, radial."),
        (
            "[disc.flow]\nkind = 'radial'\nvelocity = 'a'",
            "disc.flow.velocity",
            8,
            "a number or a table with kind = arctan |",
        ),
    ],
)
def test_errors_in_optional_tables(written, table, key, line, said):
    error = refused(written, SMALL + table)
    assert (error.key, error.line) == (key, line)
    assert said in str(error)


@pytest.mark.parametrize(
    ("old", "key", "line", "said"),
    [
        ("inc = 41.3", "disc.inc", 1, "is missing; needed here: surface_brightness, rotation, inc, pa."),
        (", scale = 8.0", "disc.surface_brightness.scale", 4, "is missing; needed here: scale."),
        ("scale = 8.0", "disc.surface_brightness", 4, ""),
        (", r_turn = 2.0", "disc.rotation.r_turn", 5, "is missing; needed here: v_max, r_turn."),
        ('kind = "arctan", ', "disc.rotation.kind", 5, "is missing; allowed: arctan, tanh, flat, keplerian, table."),
    ],
)
def test_without_data_nothing_may_be_left_out(written, old, key, line, said):
    text = SMALL.replace(old, "") if said else SMALL.replace('{ kind = "exponential", scale = 8.0 }', "3")
    error = refused(written, text)
    assert (error.key, error.line) == (key, line)
    assert said in str(error)


def test_a_file_without_disc(written):
    error = refused(written, "")
    assert (error.key, error.line) == ("disc", None)
    assert str(error).endswith("galaxy.toml: disc: the table is missing; it describes the galaxy.")


def test_a_disc_without_rotation(written):
    error = refused(written, SMALL[: SMALL.index("rotation")])
    assert (error.key, error.line) == ("disc.rotation", 1)


def test_a_key_is_found_in_its_own_table(written):
    error = refused(written, EXAMPLE.replace("velocity = [0, 150, 200, 215, 220]", "velocity = 3"))
    assert (error.key, error.line) == ("disc.rotation.velocity", 13)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_files_of_other_editors(tmp_path, line_end):
    path = tmp_path / "galaxy.toml"
    path.write_bytes(b"\xef\xbb\xbf" + EXAMPLE.replace("inc = 41.3", "inc = 341.3").replace("\n", line_end).encode())
    with pytest.raises(ConfigError, match=r"line 4: disc\.inc"):
        load(path)


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "galaxy.toml"
    path.write_bytes(b"SIMPLE\xff")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match=r"none\.toml: cannot be read \(No such file or directory\)"):
        load(tmp_path / "none.toml")
    with pytest.raises(FileError, match=r"Is a directory"):
        load(tmp_path)


def test_fit_options_are_arguments_of_fit_with_defaults():
    parameters = inspect.signature(fit).parameters
    for name in FitOptions.__dataclass_fields__:
        assert parameters[name].default is not inspect.Parameter.empty


def test_data_options_are_arguments_of_read_cube():
    parameters = inspect.signature(read_cube).parameters
    assert set(DataOptions.__dataclass_fields__) - {"cube", "gain", "rms"} <= set(parameters)


def test_the_demo_can_find_its_galaxy():
    data = Path(__file__).parents[2] / "data"
    truth, start = load(data / "mock_galaxy.toml"), load(data / "fit_mock_galaxy.toml")
    assert truth.noise is not None
    for path, prior in start.free.items():
        assert np.isfinite(prior.log_pdf(truth.disc.value(path))), path
        assert start.disc.value(path) != truth.disc.value(path), path
    same = {path: truth.disc.value(path) for path in start.free}
    assert start.disc.with_values(same) == truth.disc


# -- reading the data ---------------------------------------------------------------------------------------------


@pytest.fixture
def mock_cube(tmp_path):
    grid = CubeGrid((12, 16, 18), 1.0, 10.0, v_ref=100.0, ra=150.0, dec=2.0, rest_frequency=115.271e9)
    data = np.random.default_rng(1).normal(0.0, 0.1, grid.shape)
    cube = Cube(data, grid, Beam(4.0, 3.0, 20.0))
    write_cube(tmp_path / "mock.fits", cube)
    return cube


def with_data(*lines):
    return "\n".join([SMALL, "[data]", *lines])


def test_read_data_is_relative_to_the_file(written, mock_cube, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path.parent)
    cube = load(written(with_data('cube = "mock.fits"'))).read_data()
    np.testing.assert_array_equal(cube.data, read_cube(tmp_path / "mock.fits").data)


def test_read_data_passes_the_options_on(written, mock_cube, tmp_path):
    lines = ['cube = "mock.fits"', "rms = 0.25", "velocity_range = [80, 120]", "centre = [150.0, 2.0]", "size = 8"]
    cube = load(written(with_data(*lines))).read_data()
    same = read_cube(tmp_path / "mock.fits", velocity_range=(80, 120), centre=(150.0, 2.0), size=8)
    assert cube.rms == 0.25
    assert cube.grid == same.grid
    assert cube.grid.nv == 5
    np.testing.assert_array_equal(cube.data, same.data)


def test_a_missing_cube_or_mask(written, mock_cube):
    config = load(written(with_data('cube = "none.fits"')))
    with pytest.raises(ConfigError, match=r"line 8: data\.cube: there is no file .*none\.fits\. Paths are relative"):
        config.read_data()
    config = load(written(with_data('cube = "mock.fits"', 'mask = "none.fits"')))
    with pytest.raises(ConfigError, match=r"line 9: data\.mask: there is no file"):
        config.read_data()


@pytest.fixture
def noise_map(mock_cube, tmp_path):
    """Maps of the noise beside the mock cube: of the sky, of the cube's shape, and one that does not fit."""
    gain = np.random.default_rng(2).uniform(1.0, 2.0, (16, 18))
    fits.writeto(tmp_path / "flat.fits", gain)
    fits.writeto(tmp_path / "cube.fits", np.broadcast_to(gain, (12, 16, 18)).copy())
    fits.writeto(tmp_path / "other.fits", gain[:, :-1])
    fits.writeto(tmp_path / "zero.fits", 0.0 * gain)
    return gain


@pytest.mark.parametrize("name", ["flat", "cube"])
def test_gain_is_cut_as_the_cube_is(written, noise_map, name):
    lines = ['cube = "mock.fits"', f'gain = "{name}.fits"', "velocity_range = [80, 120]", "size = 8"]
    config = load(written(with_data(*lines)))
    gain, data = config.read_gain(), config.read_data()
    assert gain.shape == (data.grid.shape if name == "cube" else data.grid.shape[1:])
    # A box of 8 arcsec round pixel (8, 9): the nine pixels whose centres lie inside.
    np.testing.assert_array_equal(gain if gain.ndim == 2 else gain[0], noise_map[4:13, 5:14])
    assert config.document.path.with_name(f"{name}.fits").resolve() in config.inputs()


def test_gain_follows_the_axes_of_the_cube(written, mock_cube, noise_map, tmp_path):
    header = fits.getheader(tmp_path / "mock.fits")
    header["CDELT1"] *= -1.0
    header["CRPIX1"] = 19.0 - header["CRPIX1"]
    fits.writeto(tmp_path / "east.fits", mock_cube.data[:, :, ::-1], header)
    fits.writeto(tmp_path / "map.fits", noise_map[:, ::-1])
    config = load(written(with_data('cube = "east.fits"', 'gain = "map.fits"')))
    np.testing.assert_array_equal(config.read_gain(), noise_map)
    np.testing.assert_allclose(config.read_data().data, mock_cube.data)
    west = fits.Header({"CTYPE1": "RA---SIN", "CDELT1": -1.0 / 3600.0})
    fits.writeto(tmp_path / "map.fits", noise_map, west, overwrite=True)
    with pytest.raises(HeaderError, match=r"CDELT1: is -0.000277778 in the gain, of the other sign"):
        config.read_gain()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "there is no file .*none\\.fits\\. Paths are relative"),
        ("other", r"the shape of gain is \(16, 17\); expected \(12, 16, 18\), .* or its sky axes alone"),
        ("zero", "gain is positive nowhere in the box that is read; expected the sensitivity at each position"),
    ],
)
def test_a_gain_that_does_not_fit(written, noise_map, name, said):
    config = load(written(with_data('cube = "mock.fits"', f'gain = "{name}.fits"')))
    with pytest.raises(ConfigError, match=rf"line 9: data\.gain: {said}"):
        config.read_gain()


def test_values_that_do_not_suit_the_cube(written, mock_cube):
    config = load(written(with_data('cube = "mock.fits"', "velocity_range = [9000, 9010]")))
    with pytest.raises(ConfigError, match=r"line 9: data\.velocity_range: "):
        config.read_data()
    config = load(written(with_data('cube = "mock.fits"', "rms = 0.0")))
    with pytest.raises(ConfigError, match=r"line 9: data\.rms: rms is 0; expected > 0"):
        config.read_data()


def test_no_data_table(written):
    with pytest.raises(ConfigError, match=r"galaxy\.toml: data: the table is missing"):
        load(written(SMALL)).read_data()


def test_beam_is_supplied_or_replaced(written, mock_cube, tmp_path):
    write_cube(tmp_path / "nobeam.fits", mock_cube.replace(beam=None, unit="Jy/pixel"))
    config = load(written(with_data('cube = "nobeam.fits"', "[beam]", "bmaj = 5.0")))
    assert config.read_data().beam == Beam(5.0)  # without a warning that there is none
    with pytest.warns(KinmsWarning, match="no beam"):
        load(written(with_data('cube = "nobeam.fits"'))).read_data()
    config = load(written(with_data('cube = "mock.fits"', "[beam]", "bmaj = 5.0")))
    said = r"\[beam\] replaces the beam of the file, 4 x 3 arcsec at PA 20 deg\."
    with pytest.warns(KinmsWarning, match=said):
        assert config.read_data().beam == Beam(5.0)
    config = load(written(with_data('cube = "mock.fits"', "[beam]", "bmaj = 4.0", "bmin = 3.0", "bpa = 200.0")))
    assert config.read_data().beam == Beam(4.0, 3.0, 200.0)


def test_beams_that_are_no_gaussian(written, mock_cube, tmp_path):
    tables = {
        Moffat(
            0.8, 2.6, axis_ratio=0.9, pa=20.0
        ): "kind = 'moffat'\nfwhm = 0.8\nbeta = 2.6\naxis_ratio = 0.9\npa = 20.0",
        DoubleGaussian(Beam(3.0, 2.0, 10.0), Beam(6.0), 0.25): (
            "kind = 'double_gaussian'\nfraction = 0.25\ncore = { bmaj = 3.0, bmin = 2.0, bpa = 10.0 }\n"
            "[beam.wide]\nbmaj = 6.0"
        ),
        Beam(4.0, 3.0, 20.0): "kind = 'gaussian'\nbmaj = 4.0\nbmin = 3.0\nbpa = 20.0",
    }
    for beam, table in tables.items():
        config = load(written(with_data('cube = "mock.fits"', "[beam]", table)))
        assert config.beam == beam
    image = np.zeros((15, 15))
    image[6:9, 6:9] = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    fits.writeto(tmp_path / "psf.fits", image)
    config = load(written(with_data('cube = "mock.fits"', "[beam]", "kind = 'image'\npath = 'psf.fits'\ncell = 0.5")))
    assert config.beam == ImagePSF(image, 0.5)
    assert (tmp_path / "psf.fits").resolve() in config.inputs()
    with pytest.warns(KinmsWarning, match=r"\[beam\] replaces the beam of the file"):
        assert config.read_data().beam == config.beam
    with pytest.raises(ConfigError, match=r"line 11: beam\.path: CDELT\S*: "):
        load(written(with_data('cube = "mock.fits"', "[beam]", "kind = 'image'\npath = 'psf.fits'")))


def test_the_line_is_named(written, mock_cube, tmp_path):
    """A frequency axis without a rest value: HI seen at 1.4 GHz, whose velocities count from its redshift."""
    header = fits.getheader(tmp_path / "mock.fits")
    del header["RESTFRQ"]
    hertz = 1420405751.77 / 1.0145
    header.update({"CTYPE3": "FREQ", "CUNIT3": "Hz", "CRVAL3": hertz, "CDELT3": -5e4, "CRPIX3": 7.0, "VELREF": 258})
    fits.writeto(tmp_path / "hi.fits", mock_cube.data, header)
    config = load(written(with_data('cube = "hi.fits"')))
    with pytest.raises(HeaderError, match="RESTFRQ"):
        config.read_data()
    lines = [
        'cube = "hi.fits"',
        'line = "HI"',
        "redshift = 0.0145",
        'convention = "optical"',
        "box = [[2, 9], [0, 16], [3, 12]]",
    ]
    cube = load(written(with_data(*lines))).read_data()
    assert cube.grid.shape == (7, 16, 9)
    # The seventh channel of the file has the line at this redshift: channel 4 of those kept.
    assert cube.grid.velocities[4] == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_array_equal(cube.data, mock_cube.data[2:9, :, 3:12])
    config = load(written(with_data('cube = "hi.fits"', 'line = "HII"')))
    with pytest.raises(ConfigError, match=r"line 9: data\.line: line 'HII' is not known"):
        config.read_data()


def test_the_variance_is_wanted_or_not(written, mock_cube, tmp_path):
    header = fits.getheader(tmp_path / "mock.fits")
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(mock_cube.data, header, name="DATA")]
    hdus.append(fits.ImageHDU(np.full(mock_cube.data.shape, 0.01), header, name="STAT"))
    hdus[2].header["BUNIT"] = "(Jy/beam)**2"
    fits.HDUList(hdus).writeto(tmp_path / "ifu.fits")
    for line, expected in (("hdu = 1", 0.1), ("variance = 2", 0.1), ("variance = false", None)):
        cube = load(written(with_data('cube = "ifu.fits"', line))).read_data()
        if expected is None:
            assert cube.noise is None
        else:
            np.testing.assert_allclose(cube.noise, expected)


def test_naming_leaves_other_errors_alone(written):
    config = load(written(EXAMPLE))
    with pytest.raises(InputError, match=r"^data is"), config.naming("fit", "free"):
        raise InputError("data", "all NaN", "something else")
    with pytest.raises(ConfigError, match=r"line 19: fit\.steps: steps is 0"), config.naming("fit", "free"):
        raise InputError("steps", 0, "at least 1")
    said = r"line 16: free\.rotation\.velocity: the start of rotation"
    with pytest.raises(ConfigError, match=said), config.naming("fit", "free"):
        raise InputError("the start of rotation.velocity[3]", 400, "a value allowed")


# -- what is left to the data -------------------------------------------------------------------------------------

TRUTH = Disc(
    surface_brightness=ExponentialDisc(3.0),
    rotation=ArctanCurve(120.0, 1.0),
    inc=50.0,
    pa=120.0,
    v_sys=1500.0,
    sigma_gas=10.0,
    flux=20.0,
    east=1.0,
)
CUBE = '[data]\ncube = "galaxy.fits"\n'


@pytest.fixture(scope="module")
def galaxy():
    cube = simulate(TRUTH, CubeGrid((20, 36, 34), 1.0, 20.0, 1500.0, 150.0, 2.0, 115.271e9), Beam(4.0, 3.0, 20.0))
    noise = correlated_noise(cube.grid, cube.beam, 0.02 * float(cube.data.max()), 1)
    return cube.replace(data=cube.data + noise)


@pytest.mark.parametrize("table", ["", "[disc]\n"])
def test_a_whole_disc_is_guessed(written, galaxy, table):
    config = load(written(CUBE + table))
    assert config.gaps == ("inc", "pa", "v_sys", "sigma_gas", "flux", "surface_brightness", "rotation")
    with pytest.raises(ConfigError, match=r"disc: leaves inc, pa, v_sys, .* to be guessed from the data\."):
        config.disc  # noqa: B018
    disc = config.disc_for(galaxy)
    # The centre stays that of the data unless it is free.
    assert disc == guess(galaxy, east=0.0, north=0.0)
    assert disc.pa == pytest.approx(120.0, abs=10.0)


def test_the_data_are_read_where_they_are_not_given(written, galaxy, tmp_path):
    write_cube(tmp_path / "galaxy.fits", galaxy)
    config = load(written(CUBE))
    assert config.disc_for() == config.disc_for(config.read_data())


def test_only_gaps_are_guessed(written, galaxy):
    text = """
        [disc]
        inc = 50
        flux = 20
        [disc.surface_brightness]
        kind = "exponential"
        [disc.rotation]
        kind = "arctan"
        r_turn = 1.0
        [free]
        east = { uniform = [-5, 5] }
        "rotation.v_max" = { uniform = [10, 500] }
    """
    config = load(written(CUBE + text))
    assert config.gaps == ("pa", "v_sys", "sigma_gas", "east", "surface_brightness.scale", "rotation.v_max")
    disc = config.disc_for(galaxy)
    assert (disc.inc, disc.flux, disc.north, disc.rotation.r_turn) == (50.0, 20.0, 0.0, 1.0)
    assert disc.east == pytest.approx(1.0, abs=1.0)
    assert disc.rotation.v_max == pytest.approx(120.0, rel=0.25)
    assert disc.surface_brightness.scale == pytest.approx(3.0, rel=0.25)


@pytest.mark.parametrize(
    ("free", "light", "speed"),
    [
        ('"surface_brightness.scale" = { uniform = [0.5, 9] }', ExponentialDisc, ArctanCurve),
        ('"surface_brightness.width" = { uniform = [0.5, 9] }', GaussianRing, ArctanCurve),
        ('"surface_brightness.brightness" = { uniform = [0, 9] }', TableProfile, ArctanCurve),
        ('"rotation.velocity" = { uniform = [-9, 900] }', ExponentialDisc, TableCurve),
        ('"rotation.velocity[2]" = { uniform = [0, 900] }', ExponentialDisc, TableCurve),
        ('"rotation.v_max" = { uniform = [0, 900] }', ExponentialDisc, ArctanCurve),
    ],
)
def test_what_is_free_tells_the_kind(written, galaxy, free, light, speed):
    disc = load(written(f"{CUBE}[free]\n{free}\n")).disc_for(galaxy)
    assert (type(disc.surface_brightness), type(disc.rotation)) == (light, speed)


def test_what_is_given_tells_the_kind(written, galaxy):
    text = "[disc]\nrotation = { radius = [0, 4, 8] }\nsurface_brightness = { n = 1.0 }\n"
    disc = load(written(CUBE + text)).disc_for(galaxy)
    assert disc.rotation.radius.tolist() == [0, 4, 8]
    np.testing.assert_allclose(disc.rotation.velocity[1:], TRUTH.rotation([4, 8]), rtol=0.25)
    assert disc.surface_brightness.n == 1.0


def test_keplerian_needs_a_distance(written):
    error = refused(written, CUBE + '[disc]\nrotation = { kind = "keplerian" }\n')
    assert error.key == "disc.rotation.distance"
    assert "is missing" in str(error)


@pytest.mark.parametrize(
    ("text", "key", "line", "said"),
    [
        ("[disc]\nincl = 3", "disc.incl", 4, "Did you mean 'inc'"),
        ("[disc]\ninc = 341", "disc.inc", 4, "inc is 341"),
        ("[disc.rotation]\nv_max = -1\nr_turn = -1", "disc.rotation.r_turn", 5, "expected > 0"),
        ("[disc.rotation]\nkind = 'atan'", "disc.rotation.kind", 4, "allowed: arctan, flat"),
        ("[disc]\nrotation = 3", "disc.rotation", 4, "expected a table with kind"),
        ("[disc]\nrotation = 3\n[free]\npa = 4", "disc.rotation", 4, "expected a table with kind"),
        ("[free]\npq = { uniform = [0, 1] }", "free.pq", 4, "parameter 'pq' is not known"),
        ("[free]\nrotation.vmax = { uniform = [0, 1] }", "disc.rotation.kind", None, "is missing; allowed: arctan"),
        (
            "[disc.rotation]\nradius = [0, 4, 8]\n[free]\n'rotation.velocity[3]' = { uniform = [0, 1] }",
            "free.rotation.velocity[3]",
            6,
            "out of range for 3 values",
        ),
    ],
)
def test_gaps_do_not_hide_mistakes(written, text, key, line, said):
    error = refused(written, CUBE + text)
    assert (error.key, error.line) == (key, line)
    assert said in str(error)


def test_a_path_is_checked_again_when_the_table_is_known(written, galaxy):
    config = load(written(CUBE + "[free]\n'rotation.velocity[7]' = { uniform = [0, 900] }\n"))
    with pytest.raises(ConfigError, match=r"line 4: free\.rotation\.velocity\[7\]: .*out of range for \d values"):
        config.disc_for(galaxy)


def test_a_guess_is_moved_into_its_prior(written, galaxy, caplog):
    free = "[free]\ninc = { uniform = [70, 80] }\npa = { uniform = [0, 360], periodic = true }\n"
    free += "surface_brightness.scale = { uniform = [5, 15] }\nflux = { normal = [20, 1] }\n"
    config = load(written(CUBE + free))
    with caplog.at_level("INFO", logger="kinms"):
        disc = config.disc_for(galaxy)
    assert disc.inc == pytest.approx(70.1)
    assert disc.surface_brightness.scale == pytest.approx(5.1)
    # v_max is that of the inclination allowed.
    product = TRUTH.rotation.v_max * np.sin(np.radians(TRUTH.inc))
    assert disc.rotation.v_max * np.sin(np.radians(70.1)) == pytest.approx(product, rel=0.25)
    assert "Moved into the prior: inc = 70.1; the rest is guessed again." in caplog.text
    assert "Moved into the prior: surface_brightness.scale = 5.1." in caplog.text
    for path, prior in config.free.items():
        assert np.all(np.isfinite(prior.log_pdf(disc.value(path)))), path


def test_elements_of_a_table_are_moved_one_by_one(written, galaxy):
    text = "[disc.rotation]\nradius = [0, 4, 8]\n[free]\nrotation.velocity = { uniform = [10, 400] }\n"
    velocity = load(written(CUBE + text)).disc_for(galaxy).rotation.velocity
    assert velocity[0] == pytest.approx(13.9)
    assert velocity[1] > 50


def test_what_the_file_gives_is_never_moved(written, galaxy):
    config = load(written(CUBE + "[disc]\ninc = 50\n[free]\ninc = { uniform = [70, 80] }\n"))
    assert config.disc_for(galaxy).inc == 50.0


def test_the_signal_must_be_there(written, galaxy):
    noise = galaxy.replace(data=correlated_noise(galaxy.grid, galaxy.beam, 1.0, 1))
    with pytest.raises(InputError, match="the signal is nowhere above the noise"):
        load(written(CUBE)).disc_for(noise)


def test_a_whole_disc_keeps_its_centre(written, galaxy):
    """East and north are 0 where a file that lacks nothing else does not give them, free or not."""
    config = load(
        written(
            f"""{CUBE}[disc]
            inc = 50
            pa = 120
            v_sys = 1500
            sigma_gas = 12
            flux = 9
            [disc.surface_brightness]
            kind = "exponential"
            scale = 4
            [disc.rotation]
            kind = "table"
            radius = [0, 10, 20]
            velocity = [0, 90, 100]
            [free]
            east = {{ uniform = [-5, 5] }}
            north = {{ uniform = [-5, 5] }}
            """
        )
    )
    assert config.gaps == ()
    assert config.disc_for(galaxy) == config.disc
    assert (config.disc.east, config.disc.north) == (0.0, 0.0)
