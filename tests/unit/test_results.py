"""Summaries of samples, tables, the report, and the files of a result."""

import json
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from matplotlib.figure import Figure

from kinms import results
from kinms.cube import simulate
from kinms.disc import Disc
from kinms.errors import FileError, OutputExistsError
from kinms.grid import Beam, CubeGrid
from kinms.likelihood import Inflation
from kinms.priors import LogUniform, Normal, Uniform
from kinms.profiles import GaussianRing, TableCurve
from kinms.results import FitResult, check_directory, summarise, unwrap

ANGLE = Uniform(0.0, 360.0, periodic=True)
GRID = CubeGrid((8, 24, 24), 1.0, 30.0)
DISC = Disc(
    surface_brightness=GaussianRing(0.0, 3.2),
    rotation=TableCurve([0.0, 3.0, 12.0], [0.0, 60.0, 80.0]),
    inc=35.0,
    pa=359.5,
    flux=5.0,
    sigma_gas=12.0,
)
NAMES = ("pa", "rotation.velocity[1]", "rotation.velocity[2]", "flux")


@pytest.fixture(scope="module")
def model():
    return simulate(DISC, GRID, Beam(3.0))


@pytest.fixture(scope="module")
def result(model):
    rng = np.random.default_rng(2)
    data = model.replace(data=model.data + rng.normal(scale=0.002, size=GRID.shape), rms=0.002, stats=None)
    best = np.array([359.5, 60.0, 80.0, 5.0])
    chain = best + rng.normal(size=(2, 50, 4)) * [2.0, 0.31, 3.1, 0.004]
    chain[..., 0] %= 360.0
    priors = (ANGLE, Uniform(0, 350), Normal(80, 20), Uniform(1, 10))
    median, minus, plus = summarise(chain.reshape(-1, 4), priors)
    return FitResult(
        names=NAMES,
        units=("deg", "km/s", "km/s", "Jy km/s"),
        priors=priors,
        median=median,
        minus=minus,
        plus=plus,
        best=best,
        best_log_prob=-7.5,
        chain=chain,
        log_prob=-np.arange(100.0).reshape(2, 50),
        acceptance=np.array([0.25, 0.35]),
        r_hat=np.array([1.01, 1.02, np.nan, 1.0]),
        chi2=4600.0,
        n=4608,
        inflation=Inflation("detection mask", 800, 1600**0.25),
        rms=0.002,
        method="gastimator",
        likelihood="inflated",
        steps=60,
        burn=10,
        seed=7,
        wall_time_s=1.25,
        versions={"kinms": "4"},
        disc=DISC,
        data=data,
        model=model,
        log=("first line", "second line"),
    )


# -- summaries -------------------------------------------------------------------------------------------------


def test_median_and_68_percent():
    q = (np.arange(20001) + 0.5) / 20001
    priors = [Normal(10.0, 2.0), Uniform(0, 1), LogUniform(1.0, 100.0)]
    median, minus, plus = summarise(np.column_stack([prior.ppf(q) for prior in priors]), priors)
    np.testing.assert_allclose(median, [10.0, 0.5, 10.0], rtol=1e-9)
    # 1 sigma of the Gaussian, 34.13 % of the uniform one; the third is skewed.
    np.testing.assert_allclose(minus, [2.0, 0.341345, 10.0 - 100.0**0.158655], rtol=1e-3)
    np.testing.assert_allclose(plus, [2.0, 0.341345, 100.0**0.841345 - 10.0], rtol=1e-3)


@pytest.mark.parametrize("centre", [0.0, 0.3, 359.8, 180.0])
def test_angles_near_the_wrap(centre):
    spread = np.linspace(-3.0, 5.0, 8001)
    median, minus, plus = summarise(((centre + spread) % 360.0)[:, None], [ANGLE])
    assert 0.0 <= median[0] < 360.0
    assert median[0] == pytest.approx((centre + 1.0) % 360.0, abs=1e-9)
    np.testing.assert_allclose([minus[0], plus[0]], 8.0 * 0.341345, rtol=1e-3)


def test_unwrapped_samples_differ_by_whole_periods():
    samples = np.array([359.0, 1.0, 2.0, 358.0])
    moved = unwrap(samples, ANGLE)
    assert np.ptp(moved) == pytest.approx(4.0)
    np.testing.assert_allclose((moved - samples) / 360.0, np.round((moved - samples) / 360.0), atol=1e-12)
    np.testing.assert_array_equal(unwrap(samples, Uniform(0, 360)), samples)
    np.testing.assert_allclose(unwrap(np.array([285.0, 287.0]), ANGLE), [285.0, 287.0], rtol=1e-14)
    half = unwrap(np.array([89.0, -89.0]), Uniform(-90.0, 90.0, periodic=True))
    assert np.ptp(half) == pytest.approx(2.0)


# -- tables ----------------------------------------------------------------------------------------------------


def test_table_has_free_and_fixed_rows(result):
    table = result.table()
    assert table.colnames == ["name", "unit", "best", "median", "minus", "plus", "prior", "fixed"]
    free = table[~table["fixed"]]
    assert tuple(free["name"]) == NAMES
    assert list(free["prior"]) == ["uniform(0, 360), periodic", "uniform(0, 350)", "normal(80, 20)", "uniform(1, 10)"]
    np.testing.assert_array_equal(free["median"], result.median)
    np.testing.assert_array_equal(free["plus"], result.plus)
    fixed = {row["name"]: row for row in table[table["fixed"]]}
    # The element of the freed array that was kept has a row; arrays that were kept altogether have none.
    assert set(fixed) == {
        "surface_brightness.radius",
        "surface_brightness.width",
        "rotation.velocity[0]",
        "inc",
        "v_sys",
        "sigma_gas",
        "scale_height",
        "east",
        "north",
        "lsf_sigma",
    }
    assert fixed["inc"]["best"] == fixed["inc"]["median"] == 35.0
    assert (fixed["inc"]["unit"], fixed["inc"]["minus"], fixed["inc"]["prior"]) == ("deg", 0.0, "")


def test_samples_are_unwrapped(result):
    assert result.samples.shape == (100, 4)
    assert np.ptp(result.samples[:, 0]) < 15.0
    np.testing.assert_array_equal(result.samples[:, 3], result.chain.reshape(-1, 4)[:, 3])


def test_degrees_of_freedom(result):
    assert result.dof == 4604
    assert result.reduced_chi2 == pytest.approx(4600.0 / 4604)
    np.testing.assert_array_equal(result.residual.data, result.data.data - result.model.data)


def test_report_fits_a_terminal(result):
    text = result.report()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "2 x 50 samples after 10 steps of burn-in, seed 7" in text
    assert "errors x (2N)^(1/4) = 6.325, N = 800 (detection mask)" in " ".join(text.split())
    assert "Accepted 30 %. Converged: R-hat at most 1.020." in text
    row = next(line for line in text.splitlines() if line.startswith("rotation.velocity[1]")).split()
    # Two digits of the errors, and as many decimals of the values.
    assert row[4:] == ["60.00", "km/s"]
    assert row[1] == f"{result.median[1]:.2f}"
    assert row[2:4] == [f"{result.minus[1]:.2f}", f"{result.plus[1]:.2f}"]
    assert "inc = 35" in text
    assert str(result) == text
    assert repr(result).startswith("<FitResult: pa=")


def test_verdict(result):
    worse = {**vars(result), "r_hat": np.array([1.3, 1.0, np.inf, 1.05])}
    text = FitResult(**worse).verdict()
    assert text == "Not converged (R-hat above 1.1) in pa, rotation.velocity[2]: take more steps."
    unknown = {**vars(result), "r_hat": np.full(4, np.nan)}
    assert FitResult(**unknown).verdict().startswith("R-hat is not known")


def test_json_is_complete_and_has_no_nan(result):
    found = json.loads(result.to_json())
    assert found["chi2"] == 4600.0
    assert (found["n"], found["dof"], found["reduced_chi2"]) == (4608, 4604, result.reduced_chi2)
    assert found["inflation"] == {"mode": "detection mask", "n": 800, "factor": 1600**0.25}
    assert (found["seed"], found["wall_time_s"], found["versions"]) == (7, 1.25, {"kinms": "4"})
    assert found["r_hat"] == {NAMES[0]: 1.01, NAMES[1]: 1.02, NAMES[2]: None, NAMES[3]: 1.0}
    assert [p["name"] for p in found["parameters"]] == list(result.table()["name"])
    assert found["parameters"][0] == {
        "name": "pa",
        "unit": "deg",
        "best": 359.5,
        "median": result.median[0],
        "minus": result.minus[0],
        "plus": result.plus[0],
        "prior": "uniform(0, 360), periodic",
        "fixed": False,
    }


def test_versions_name_what_matters():
    found = results.versions()
    assert found["numpy"] == np.__version__
    assert {"python", "kinms", "scipy", "astropy", "numba", "pyfftw", "gastimator"} <= set(found)


def test_corner_has_a_panel_per_pair(result):
    figure = result.corner()
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 16


# -- files -----------------------------------------------------------------------------------------------------

FILES = {
    "parameters.ecsv",
    "result.json",
    "chain.fits",
    "model.fits",
    "residual.fits",
    "summary.png",
    "channels.png",
    "corner.png",
    "run.log",
}


@pytest.fixture(scope="module")
def saved(result, tmp_path_factory):
    return result.save(tmp_path_factory.mktemp("fit") / "deep" / "out", config_text="[disc]\ninc = 50\n")


def test_save_writes_everything(result, saved):
    assert {path.name for path in saved.iterdir()} == FILES | {"config.toml"}
    assert (saved / "config.toml").read_text() == "[disc]\ninc = 50\n"
    log = (saved / "run.log").read_text()
    assert log.startswith("first line\nsecond line\n")
    assert result.report() in log
    assert json.loads((saved / "result.json").read_text()) == json.loads(result.to_json())
    for name in ("summary.png", "channels.png", "corner.png"):
        assert (saved / name).read_bytes()[:4] == b"\x89PNG"


def test_saved_table_reads_back(result, saved):
    again = Table.read(saved / "parameters.ecsv", format="ascii.ecsv")
    assert again.colnames == result.table().colnames
    for column in again.colnames:
        np.testing.assert_array_equal(again[column], result.table()[column])


def test_saved_chain_reads_back(result, saved):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = Table.read(saved / "chain.fits")
    assert table.colnames == ["chain", "step", "log_prob", *NAMES]
    np.testing.assert_array_equal(table["chain"], np.repeat([0, 1], 50))
    np.testing.assert_array_equal(table["step"], np.tile(np.arange(10, 60), 2))
    np.testing.assert_array_equal(table["log_prob"], result.log_prob.ravel())
    for k, name in enumerate(NAMES):
        np.testing.assert_array_equal(table[name], result.chain[..., k].ravel())
    assert table["flux"].unit == "Jy km/s"
    header = fits.getheader(saved / "chain.fits", 1)
    assert (header["SEED"], header["BURN"], header["EXTNAME"]) == (7, 10, "CHAIN")
    assert "DATE" not in header
    assert "DATE" not in fits.getheader(saved / "chain.fits", 0)


def test_saved_cubes_read_back(result, saved):
    from kinms.fits_io import read_cube

    for name, cube in {"model.fits": result.model, "residual.fits": result.residual}.items():
        again = read_cube(saved / name)
        # FITS cubes are written in single precision.
        np.testing.assert_allclose(again.data, cube.data, rtol=1e-6, atol=1e-12)
        assert again.grid.shape == GRID.shape
        assert again.beam.bmaj == pytest.approx(3.0)


def test_full_directory_is_refused(result, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"exists already.*overwrite=True, --overwrite"):
        result.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    result.save(tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"notes.txt"}
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_where_results_may_go(tmp_path):
    assert check_directory(tmp_path) == tmp_path
    assert check_directory(tmp_path / "new") == tmp_path / "new"
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"is a file\. Give the name of a directory"):
        check_directory(tmp_path / "file", overwrite=True)


def test_failure_leaves_whole_files_only(result, tmp_path, monkeypatch):
    def half(self, path):
        path.write_text("half of a pict")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError, match="No space left"):
        result.save(tmp_path)
    # The numbers came first and are complete; nothing of the picture is there.
    assert {path.name for path in tmp_path.iterdir()} == {name for name in FILES if not name.endswith("png")}


def test_result_without_samples_is_saved_without_a_corner_plot(result, tmp_path):
    nothing = {
        **vars(result),
        "chain": np.empty((2, 0, 4)),
        "log_prob": np.empty((2, 0)),
        "minus": np.full(4, np.nan),
        "plus": np.full(4, np.nan),
        "r_hat": np.full(4, np.nan),
        "acceptance": np.zeros(2),
        "interrupted": True,
    }
    empty = FitResult(**nothing)
    empty.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"corner.png"}
    assert len(Table.read(tmp_path / "chain.fits")) == 0
    assert json.loads((tmp_path / "result.json").read_text())["parameters"][0]["plus"] is None
    assert "Interrupted fit" in empty.report()
