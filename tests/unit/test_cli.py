"""The command line: what it prints, writes and refuses, and its exit status."""

import json
import os
import re
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from matplotlib.figure import Figure

import kinms.fitting
from kinms.cli import main
from kinms.config import load
from kinms.cube import simulate
from kinms.errors import KinmsWarning, SamplingError
from kinms.fits_read import read_cube
from kinms.fits_write import write_cube
from kinms.grid import Beam
from kinms.noise import correlated_noise

GALAXY = """\
[disc]
inc = 52.0
pa = 63.0
v_sys = 1500.0
sigma_gas = 10.0
flux = 10.0
[disc.surface_brightness]
kind = "exponential"
scale = 2.0
[disc.rotation]
kind = "arctan"
v_max = 120.0
r_turn = 1.0
"""
TELESCOPE = """\
[grid]
shape = [16, 24, 25]
cell = 1.0
dv = 20.0
v_ref = 1500.0
ra = 150.0
dec = 2.0
rest_frequency = 115.271202e9
[beam]
bmaj = 4.0
bmin = 3.0
bpa = 20.0
[noise]
rms = 0.002
seed = 3
"""
FIT = """\
[data]
cube = "mock.fits"
[free]
pa = { uniform = [0, 360], periodic = true }
"rotation.v_max" = { uniform = [50, 300] }
[fit]
steps = 40
chains = 2
seed = 1
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with a configuration to simulate from and one to fit with."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "galaxy.toml").write_text(GALAXY + TELESCOPE, encoding="utf-8")
    (tmp_path / "fit.toml").write_text(GALAXY + FIT, encoding="utf-8")
    return tmp_path


@pytest.fixture
def mock(here, capsys):
    """The same folder, with the mock cube."""
    assert main(["simulate", "galaxy.toml", "-o", "mock.fits"]) == 0
    capsys.readouterr()
    return here


@pytest.fixture
def plain_figures(monkeypatch):
    """Empty figures, where a test is about something else: drawing takes longer than these fits."""
    for name in ("summary_figure", "channel_figure", "corner_figure"):
        monkeypatch.setattr(f"kinms.plots.{name}", lambda *_, **__: Figure())


def one_line(capsys):
    """The only line on stderr; nothing on stdout."""
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err.rstrip("\n")


# -- the program ----------------------------------------------------------------------------------------------------


def test_help_and_version(capsys):
    assert main(["--help"]) == 0
    assert {"info", "simulate", "fit", "compare"} <= set(capsys.readouterr().out.split())
    assert main(["--version"]) == 0
    assert re.fullmatch(r"kinms \S.*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "kinms: the following arguments are required: COMMAND (see kinms --help)"),
        (["fly"], "kinms: argument COMMAND: invalid choice: 'fly'"),
        (["info"], "kinms info: the following arguments are required: CUBE.fits (see kinms info --help)"),
        (["fit", "a.toml"], "kinms fit: the following arguments are required: -o/--output (see kinms fit --help)"),
        (
            ["fit", "a.toml", "-o", "x", "--processes", "0"],
            "argument --processes: is '0'; expected a whole number, 1 or",
        ),
        (["info", "a.fits", "--jsn"], "kinms: unrecognized arguments: --jsn"),
    ],
)
def test_wrong_arguments(argv, said, capsys):
    assert main(argv) == 2
    assert said in one_line(capsys)


def test_module_and_exit_status(here):
    done = subprocess.run([sys.executable, "-m", "kinms", "info", "none.fits"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"kinms: none\.fits: .*\n", done.stderr)


def test_ctrl_c_anywhere(here, capsys, monkeypatch):
    def stop(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("kinms.config.load", stop)
    assert main(["simulate", "galaxy.toml", "-o", "model.fits"]) == 130
    assert capsys.readouterr().err == "\nkinms: interrupted\n"


# -- bad configurations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("inc =", "incl =", "bad.toml, line 2: disc.incl: key 'incl' is not known; allowed: east, "),
        ("inc = 52.0", 'inc = "x"', "bad.toml, line 2: disc.inc: is 'x'; expected a number"),
        ("inc = 52.0", "inc = -52.0", "bad.toml, line 2: disc.inc: inc is -52; expected >= 0 and <= 180."),
        ("inc = 52.0", "inc = ", "bad.toml, line 2: not valid TOML: Invalid value"),
        ("exponential", "exp", "bad.toml, line 8: disc.surface_brightness.kind: kind 'exp' is not known; allowed: exp"),
        ("mock.fits", "none.fits", "bad.toml, line 15: data.cube: there is no file none.fits. Paths are relative"),
        ("steps = 40", "steps = 1", "bad.toml, line 20: fit.steps: steps is 1; expected >= 2."),
        (
            "steps = 40",
            'method = "magic"',
            "bad.toml, line 20: fit.method: method is 'magic'; expected one of 'gastimator', 'emcee', 'dynesty'",
        ),
        ("steps = 40", "burn = 4000", "bad.toml, line 20: fit.burn: burn is 4000; expected fewer than steps (3000)."),
        ("steps = 40", "inflate = 'all'", "bad.toml, line 20: fit.inflate: inflate is 'all'; expected False, True"),
        ("steps = 40", "likelihood = 'poisson'", "line 20: fit.likelihood: likelihood is 'poisson'; expected"),
        (
            "steps = 40",
            "inflate = true\nlikelihood = 'white'",
            "bad.toml, line 20: fit.inflate: inflate is True; expec",
        ),
        (
            "360], periodic = true",
            "30]",
            "line 17: free.pa: the start of pa is 63; expected a value allowed by uniform(0, 30)",
        ),
        ("[50, 300]", "[200, 300]", "line 18: free.rotation.v_max: the start of rotation.v_max is 120; expected"),
    ],
)
def test_a_bad_configuration(mock, capsys, old, new, said):
    text = (GALAXY + FIT).replace(old, new, 1)
    assert text != GALAXY + FIT
    (mock / "bad.toml").write_text(text, encoding="utf-8")
    assert main(["fit", "bad.toml", "-o", "results", "--quiet"]) == 2
    line = one_line(capsys)
    assert line.startswith("kinms: bad.toml")
    assert said in line
    assert not (mock / "results").exists()


def test_tables_that_a_command_needs(here, capsys):
    (here / "bare.toml").write_text(GALAXY, encoding="utf-8")
    assert main(["simulate", "bare.toml", "-o", "model.fits"]) == 2
    assert one_line(capsys).startswith("kinms: bare.toml: grid: the table is missing; simulate needs it, or [data]")
    assert main(["fit", "bare.toml", "-o", "results"]) == 2
    assert one_line(capsys).startswith("kinms: bare.toml: free: the table is missing; fit needs it")
    (here / "bare.toml").write_text(GALAXY + FIT[FIT.index("[free]") :], encoding="utf-8")
    assert main(["fit", "bare.toml", "-o", "results"]) == 2
    assert one_line(capsys).startswith("kinms: bare.toml: data: the table is missing; it names the cube")
    assert sorted(path.name for path in here.iterdir()) == ["bare.toml", "fit.toml", "galaxy.toml"]


def test_a_configuration_that_is_not_there(here, capsys):
    assert main(["fit", "none.toml", "-o", "results"]) == 2
    assert one_line(capsys) == (
        "kinms: none.toml: cannot be read (No such file or directory). Give the path of a TOML file."
    )


def test_debug_shows_the_traceback(here, capsys):
    assert main(["fit", "none.toml", "-o", "results", "--debug"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):")
    assert said.splitlines()[-1].startswith("kinms: none.toml: cannot be read")


# -- kinms info -----------------------------------------------------------------------------------------------------

KEYS = {
    "shape",
    "cell_arcsec",
    "dv_kms",
    "v_min_kms",
    "v_max_kms",
    "convention",
    "frame",
    "rest_value",
    "rest_unit",
    "beam",
    "bunit",
    "ra_deg",
    "dec_deg",
    "flipped",
    "rms",
    "warnings",
}
MORE_KEYS = {
    *(
        "size_arcsec",
        "dv_range_kms",
        "linear_error_channels",
        "rest_source",
        "line",
        "beam_pixels",
        "beams_per_channel",
    ),
    *("rms_kelvin", "line_free_channels", "signal_kms", "peak_sigma", "peak_kms", "object", "telescope", "instrument"),
    *("hdu", "hdus", "noise_hdu", "file_shape", "axes", "spectral_axis", "memory_bytes", "assumed", "doubtful"),
}


def test_info_json(mock, capsys):
    assert main(["info", "mock.fits", "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.err == ""
    assert set(found) == KEYS | MORE_KEYS
    assert found["shape"] == [16, 24, 25]
    assert found["cell_arcsec"] == pytest.approx(1.0, rel=1e-9)
    assert found["dv_kms"] == pytest.approx(20.0, rel=1e-9)
    assert (found["v_min_kms"], found["v_max_kms"]) == pytest.approx((1340.0, 1640.0), rel=1e-9)
    assert (found["rest_value"], found["rest_unit"]) == (pytest.approx(115.271202e9, rel=1e-12), "Hz")
    beam = {"bmaj_arcsec": 4.0, "bmin_arcsec": 3.0, "bpa_deg": 20.0}
    assert found["beam"] == pytest.approx(beam, rel=1e-9)
    assert (found["ra_deg"], found["dec_deg"]) == pytest.approx((150.0, 2.0), abs=1e-9)
    assert found["rms"] == pytest.approx(0.002, rel=0.1)


def test_info_screen(mock, capsys):
    assert main(["info", "mock.fits"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert max(map(len, said.out.splitlines())) <= 80
    for text in (
        '25 x 24 pixels of 1": 25" x 24"',
        "10:00:00.00 +02:00:00.0 = RA 150.000000, Dec +2.000000 deg (ICRS)",
        "16 channels of 20 km/s, centres 1340.00 to 1640.00 km/s",
        "radio convention",
        "rest 115.2712 GHz",
        '4" x 3" at PA 20 deg, 13.6 pixels per beam',
        "mJy/beam",
    ):
        assert text in said.out


def test_info_without_a_beam_says_what_to_do(mock, capsys):
    write_cube("nobeam.fits", read_cube("mock.fits").replace(beam=None, unit="Jy/pixel"))
    assert main(["info", "nobeam.fits"]) == 0
    said = capsys.readouterr()
    assert "none: a fit needs a [beam] table" in said.out
    assert said.err == ""
    assert main(["info", "nobeam.fits", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["beam"] is None
    assert any("beam" in warning for warning in found["warnings"])


def truncated(path):
    whole = (path / "mock.fits").read_bytes()
    (path / "bad.fits").write_bytes(whole[: len(whole) // 2])


def not_fits(path):
    (path / "bad.fits").write_text("no cube", encoding="utf-8")


def an_image(path):
    fits.PrimaryHDU(np.ones((8, 8)), fits.getheader(path / "mock.fits")).writeto(path / "bad.fits")


def no_wcs(path):
    fits.PrimaryHDU(np.ones((4, 8, 8))).writeto(path / "bad.fits")


@pytest.mark.parametrize("damage", [truncated, not_fits, an_image, no_wcs])
def test_bad_cubes(mock, capsys, damage):
    damage(mock)
    assert main(["info", "bad.fits"]) == 2
    assert one_line(capsys).startswith("kinms: ")
    (mock / "bad.toml").write_text((GALAXY + FIT).replace("mock.fits", "bad.fits"), encoding="utf-8")
    assert main(["fit", "bad.toml", "-o", "results"]) == 2
    assert one_line(capsys).startswith("kinms: ")
    assert not (mock / "results").exists()


# -- kinms simulate -------------------------------------------------------------------------------------------------


def test_simulate_is_what_a_script_makes(here, capsys):
    assert main(["simulate", "galaxy.toml", "-o", "model.fits"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines()[-1] == "Written to model.fits"
    assert max(map(len, said.out.splitlines())) <= 80
    config = load("galaxy.toml")
    cube = simulate(config.disc, config.grid, config.beam)
    cube = cube.replace(data=cube.data + correlated_noise(config.grid, config.beam, 0.002, 3))
    write_cube("script.fits", cube)
    with fits.open("model.fits") as one, fits.open("script.fits") as other:
        assert one[0].data.tobytes() == other[0].data.tobytes()
        assert one[0].data.std() > 0


def test_simulate_on_the_grid_of_data(mock, capsys):
    assert main(["simulate", "fit.toml", "-o", "model.fits"]) == 0
    data, model = read_cube("mock.fits"), read_cube("model.fits")
    assert (model.grid, model.beam) == (data.grid, data.beam)
    np.testing.assert_allclose(
        model.data, simulate(load("fit.toml").disc, data.grid, data.beam).data, rtol=1e-6, atol=1e-9
    )


def test_simulate_warns_in_one_line(here, capsys):
    text = (GALAXY + TELESCOPE).replace("flux = 10.0", "flux = 10.0\neast = 500.0")
    (here / "galaxy.toml").write_text(text, encoding="utf-8")
    assert main(["simulate", "galaxy.toml", "-o", "model.fits"]) == 0
    assert capsys.readouterr().err == (
        "warning: The disc lies wholly outside the field or the velocity range: the cube is zero everywhere.\n"
    )


def test_simulate_does_not_overwrite(mock, capsys):
    before = (mock / "mock.fits").read_bytes()
    assert main(["simulate", "galaxy.toml", "-o", "mock.fits"]) == 2
    assert one_line(capsys) == (
        "kinms: mock.fits exists already and is not overwritten unasked. Choose another name, or give --overwrite."
    )
    assert (mock / "mock.fits").read_bytes() == before
    text = (GALAXY + TELESCOPE).replace("inc = 52.0", "inc = 10.0")
    (mock / "galaxy.toml").write_text(text, encoding="utf-8")
    assert main(["simulate", "galaxy.toml", "-o", "mock.fits", "--overwrite"]) == 0
    assert (mock / "mock.fits").read_bytes() != before


@pytest.mark.parametrize("name", ["mock.fits", "fit.toml", "../{folder}/mock.fits"])
def test_simulate_never_overwrites_its_inputs(mock, capsys, name):
    name = name.format(folder=mock.name)
    before = (mock / name).read_bytes()
    assert main(["simulate", "fit.toml", "-o", name, "--overwrite"]) == 2
    assert "is an input of this run" in one_line(capsys).lower()
    assert (mock / name).read_bytes() == before


def test_simulate_into_a_folder_that_is_not_there(here, capsys):
    assert main(["simulate", "galaxy.toml", "-o", "none/model.fits"]) == 2
    assert "none/model.fits: cannot be written. Give the name of a file in a folder that exists." in one_line(capsys)
    assert main(["simulate", "galaxy.toml", "-o", "."]) == 2
    assert ".: cannot be written." in one_line(capsys)


# -- kinms fit ------------------------------------------------------------------------------------------------------

FILES = [
    "chain.fits",
    "channels.png",
    "config.toml",
    "corner.png",
    "data.fits",
    *(f"data_moment{k}.fits" for k in (0, 1, 2)),
    "model.fits",
    *(f"model_moment{k}.fits" for k in (0, 1, 2)),
    "moment_mask.fits",
    "parameters.ecsv",
    "predictive.png",
    "prior.png",
    "residual.fits",
    "result.json",
    "rotation.ecsv",
    "rotation.png",
    "run.log",
    "samples.nc",
    "summary.png",
    "trace.png",
]


# So few steps do not converge, and are not meant to.
def ignore_convergence(lines):
    return [line for line in lines if "R-hat" not in line and "onverged" not in line]


def test_fit(mock, capsys):
    assert main(["fit", "fit.toml", "-o", "new/results"]) == 0
    said = capsys.readouterr()
    results = mock / "new" / "results"
    assert sorted(path.name for path in results.iterdir()) == FILES
    found = json.loads((results / "result.json").read_text())
    inflation = found["inflation"]
    assert f"N = {inflation['n']}" in said.out
    assert f"{inflation['factor']:.4g}" in said.out
    assert said.out.splitlines()[-1] == "Results in new/results"
    assert max(map(len, said.out.splitlines())) <= 80
    table = Table.read(results / "parameters.ecsv")
    assert table.colnames == ["name", "unit", "best", "median", "minus", "plus", "prior", "fixed"]
    assert list(table["name"][~table["fixed"].astype(bool)]) == ["pa", "rotation.v_max"]
    assert (results / "config.toml").read_text() == GALAXY + FIT
    log = (results / "run.log").read_text()
    assert log.startswith(f"kinms fit fit.toml -o new/results\nConfiguration {mock}/fit.toml\n")
    assert '\nData: 25 x 24 pixels of 1", 16 channels of 20 km/s.\n' in log
    assert "\nMethod gastimator: 2 chains of 40 steps" in log


def test_fit_is_what_a_script_fits(mock, plain_figures, capsys):
    config = load("fit.toml")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KinmsWarning)
        result = kinms.fitting.fit(
            config.disc, config.read_data(), config.free, steps=40, chains=2, seed=1, progress=False
        )
    assert main(["fit", "fit.toml", "-o", "results", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert ignore_convergence(said.err.splitlines()) == []
    chain = fits.getdata("results/chain.fits")
    np.testing.assert_array_equal(chain["pa"], result.chain[:, :, 0].ravel())


def test_what_was_guessed_stands_in_the_log(mock, monkeypatch, capsys):
    monkeypatch.setattr("kinms.results.FitResult._pictures", lambda self: {})
    text = FIT.replace("steps = 40", 'method = "optimise"') + '[disc.rotation]\nkind = "arctan"\n'
    (mock / "bare.toml").write_text(text, encoding="utf-8")
    assert main(["fit", "bare.toml", "-o", "results", "--quiet"]) == 0
    log = (mock / "results" / "run.log").read_text(encoding="utf-8").splitlines()
    assert [line.partition(":")[0] for line in log[2:5]] == ["Data", "Guessed from the data", "Free"]
    assert "inc" in log[3]
    assert log.count(log[3]) == 1


def test_fit_takes_the_gain(mock, plain_figures, capsys):
    gain = np.broadcast_to(np.linspace(1.0, 3.0, 25), (24, 25))
    fits.writeto("gain.fits", gain)
    text = (GALAXY + FIT).replace('"mock.fits"\n', '"mock.fits"\ngain = "gain.fits"\n')
    (mock / "gain.toml").write_text(text, encoding="utf-8")
    config = load("gain.toml")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KinmsWarning)
        known = {"steps": 40, "chains": 2, "seed": 1, "progress": False}
        result = kinms.fitting.fit(config.disc, config.read_data(), config.free, gain=gain, **known)
        without = kinms.fitting.fit(config.disc, config.read_data(), config.free, **known)
    assert main(["fit", "gain.toml", "-o", "results", "--quiet"]) == 0
    chain = fits.getdata("results/chain.fits")["pa"]
    np.testing.assert_array_equal(chain, result.chain[:, :, 0].ravel())
    assert not np.array_equal(chain, without.chain[:, :, 0].ravel())
    fits.writeto("gain.fits", gain[1:], overwrite=True)
    capsys.readouterr()
    assert main(["fit", "gain.toml", "-o", "bad"]) == 2
    said = one_line(capsys)
    assert said.startswith("kinms: gain.toml, line 16: data.gain: the shape of gain is (23, 25); expected (16, 24, 25)")


def test_processes_never_change_the_chain(mock, plain_figures, capsys):
    assert main(["fit", "fit.toml", "-o", "one", "--quiet"]) == 0
    assert main(["fit", "fit.toml", "-o", "two", "--quiet", "--processes", "2"]) == 0
    assert (mock / "one" / "chain.fits").read_bytes() == (mock / "two" / "chain.fits").read_bytes()


def test_fit_refuses_a_folder_before_it_starts(mock, plain_figures, capsys, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the fit began")

    (mock / "results").mkdir()
    (mock / "results" / "precious.txt").write_text("mine", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(kinms.fitting, "fit", never)
        assert main(["fit", "fit.toml", "-o", "results"]) == 2
        assert one_line(capsys).startswith("kinms: results exists already and is not overwritten unasked.")
        assert main(["fit", "fit.toml", "-o", "fit.toml"]) == 2
        assert one_line(capsys).startswith("kinms: fit.toml: is a file.")
        assert main(["fit", "fit.toml", "-o", "fit.toml/results"]) == 2
        assert one_line(capsys).startswith("kinms: fit.toml/results: cannot be made: ")
        assert main(["fit", "fit.toml", "-o", ".", "--overwrite"]) == 2
        assert one_line(capsys).startswith("kinms: . exists already")
    assert os.listdir(mock / "results") == ["precious.txt"]
    assert main(["fit", "fit.toml", "-o", "results", "--overwrite", "--quiet"]) == 0
    assert sorted(os.listdir(mock / "results")) == sorted([*FILES, "precious.txt"])
    assert (mock / "results" / "precious.txt").read_text() == "mine"


def test_fit_into_an_empty_folder(mock, plain_figures, capsys):
    (mock / "results").mkdir()
    assert main(["fit", "fit.toml", "-o", "results", "--quiet"]) == 0


def test_fit_needs_a_beam(mock, plain_figures, capsys):
    write_cube("nobeam.fits", read_cube("mock.fits").replace(beam=None))
    text = (GALAXY + FIT).replace("mock.fits", "nobeam.fits")
    (mock / "fit.toml").write_text(text, encoding="utf-8")
    assert main(["fit", "fit.toml", "-o", "results", "--quiet"]) == 2
    assert one_line(capsys) == (
        "kinms: fit.toml: beam: the table is missing; the cube has no beam (BMAJ), and fit needs one: bmaj, bmin, bpa."
    )
    (mock / "fit.toml").write_text(f"{text}[beam]\nbmaj = 4.0\nbmin = 3.0\nbpa = 20.0\n", encoding="utf-8")
    assert main(["fit", "fit.toml", "-o", "results", "--quiet"]) == 0
    beam = read_cube("results/model.fits").beam
    np.testing.assert_allclose(beam.covariance(), Beam(4.0, 3.0, 20.0).covariance(), rtol=1e-9)


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to send")
def test_ctrl_c_saves_what_was_sampled(mock):
    text = (GALAXY + FIT).replace("steps = 40", "burn = 0\nsteps = 1000000")
    (mock / "long.toml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "kinms", "fit", "long.toml", "-o", "results"]
    # A test run in the background of a shell ignores Ctrl-C, and its children would too.
    hearing = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, **hearing) as process:
        seen = b""
        while seen.count(b"acceptance") < 5:
            seen += process.stderr.read(1)
            assert process.poll() is None, seen
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    # What to go on from stays with what there is.
    assert sorted(path.name for path in (mock / "results").iterdir()) == sorted([*FILES, "checkpoint"])
    assert json.loads((mock / "results" / "result.json").read_text())["interrupted"] is True
    assert b"Interrupted fit" in out


def test_what_a_broken_sampler_had_is_saved(mock, plain_figures, capsys, monkeypatch):
    config = load("fit.toml")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KinmsWarning)
        partial = kinms.fitting.fit(config.disc, config.read_data(), config.free, steps=20, seed=1, progress=False)

    def die(*_, **__):
        raise SamplingError("a worker process died.", partial=partial)

    monkeypatch.setattr(kinms.fitting, "fit", die)
    assert main(["fit", "fit.toml", "-o", "results", "--quiet"]) == 1
    assert one_line(capsys) == "kinms: a worker process died. What had been sampled is in results."
    assert sorted(os.listdir("results")) == FILES


# -- kinms compare --------------------------------------------------------------------------------------------------


@pytest.fixture
def two_fits(mock, monkeypatch, capsys):
    """Folders one/ and two/: a mock with two parameters free; and with three, but of a disc that is too faint."""
    monkeypatch.setattr("kinms.results.FitResult._pictures", lambda self: {})
    text = (GALAXY + FIT).replace("steps = 40", 'method = "optimise"\nlikelihood = "white"')
    (mock / "one.toml").write_text(text, encoding="utf-8")
    more = text.replace("[free]", "[free]\nsigma_gas = { uniform = [1, 40] }").replace("flux = 10.0", "flux = 7.0")
    (mock / "two.toml").write_text(more, encoding="utf-8")
    for name in ("one", "two"):
        assert main(["fit", f"{name}.toml", "-o", name, "--quiet"]) == 0
    capsys.readouterr()
    return mock


def test_compare(two_fits, capsys):
    assert main(["compare", "one", "two"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 80
    table = {line[:18].strip(): line[18:].split() for line in lines}
    assert table["parameters"] == ["2", "3", "-1"]
    found = [json.loads((two_fits / name / "result.json").read_text()) for name in ("one", "two")]
    # Written with two digits behind the point; the priors' densities are constants.
    likes = [-0.5 * each["chi2"] for each in found]
    assert [float(number) for number in table["ln L, highest"][:2]] == pytest.approx(likes, rel=1e-5)
    assert float(table["AIC"][2]) == pytest.approx(2.0 * (likes[1] - likes[0]) - 2.0, abs=0.05)
    assert float(table["BIC"][2]) == pytest.approx(2.0 * (likes[1] - likes[0]) - np.log(found[0]["n"]), abs=0.05)
    assert {"AIC very strongly prefers one.", "BIC very strongly prefers one."} <= set(lines)
    assert "No evidence was computed for both: a nested sampler (dynesty) does." in " ".join(lines)


def test_compare_refuses_other_data(two_fits, capsys):
    config = two_fits / "galaxy.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("seed = 3", "seed = 4"), encoding="utf-8")
    assert main(["simulate", "galaxy.toml", "-o", "mock.fits", "--overwrite"]) == 0
    assert main(["fit", "one.toml", "-o", "other", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["compare", "one", "other"]) == 2
    assert one_line(capsys).startswith("kinms: the data or mask of other is others; expected those of one. Fit both")
    assert main(["compare", "one", "nowhere"]) == 2
    assert "nowhere" in one_line(capsys)
    assert main(["compare", "one"]) == 2
    assert "arguments are required: DIR" in one_line(capsys)
