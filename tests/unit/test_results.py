"""Summaries of samples, tables, the report, and the files of a result: written, and read back to the last bit."""

import dataclasses
import hashlib
import json
import shutil
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from fits_standard import faults
from matplotlib.figure import Figure

from kinms import results
from kinms.cube import SpectralAxis, simulate
from kinms.disc import Disc
from kinms.errors import FileError, OutputExistsError
from kinms.grid import Beam, CubeGrid
from kinms.likelihood import Inflation
from kinms.priors import LogUniform, Normal, Uniform
from kinms.profiles import GaussianRing, TableCurve
from kinms.results import FitResult, check_directory, fingerprint, summarise, unwrap

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
    chain = best + rng.normal(size=(2, 200, 4)) * [2.0, 0.31, 3.1, 0.004]
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
        log_prob=-np.arange(400.0).reshape(2, 200),
        acceptance=np.array([0.25, 0.35]),
        r_hat=np.array([1.01, 1.02, np.nan, 1.0]),
        chi2=4600.0,
        n=4608,
        inflation=Inflation("detection mask", 800, 1600**0.25),
        rms=0.002,
        method="gastimator",
        likelihood="inflated",
        steps=210,
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
    assert result.samples.shape == (400, 4)
    assert np.ptp(result.samples[:, 0]) < 15.0
    np.testing.assert_array_equal(result.samples[:, 3], result.chain.reshape(-1, 4)[:, 3])


def test_degrees_of_freedom(result):
    assert result.dof == 4604
    assert result.reduced_chi2 == pytest.approx(4600.0 / 4604)
    np.testing.assert_array_equal(result.residual.data, result.data.data - result.model.data)


def test_report_fits_a_terminal(result):
    text = result.report()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "2 x 200 samples after 10 steps of burn-in, seed 7" in text
    assert "errors x (2N)^(1/4) = 6.325, N = 800 (detection mask)" in " ".join(text.split())
    assert "Accepted 30 %. Converged: R-hat at most 1.020, " in text
    row = next(line for line in text.splitlines() if line.startswith("rotation.velocity[1]")).split()
    # Two digits of the errors, and as many decimals of the values.
    assert row[4:] == ["60.00", "km/s"]
    assert row[1] == f"{result.median[1]:.2f}"
    assert row[2:4] == [f"{result.minus[1]:.2f}", f"{result.plus[1]:.2f}"]
    assert "inc = 35" in text
    assert str(result) == text
    assert repr(result).startswith("<FitResult: pa=")


def changed(result, **changes):
    """The same result with other fields, its convergence measured anew unless that is given."""
    measured = dict.fromkeys(("r_hat", "ess_bulk", "ess_tail", "tau"))
    return dataclasses.replace(result, **{**measured, **changes})


def test_verdict(result):
    assert result.converged is True
    worse = changed(result, r_hat=np.array([1.3, 1.0, 1.2, 1.05]))
    assert worse.converged is False
    # (1.3^2 - 1) / (1.05^2 - 1) = 6.7 times the 210 steps.
    which, what_to_do = worse.verdict().split("; ")
    assert which == "Not converged in pa and rotation.velocity[2]: R-hat 1.30"
    assert what_to_do == "take about 7 times as many steps (steps = 1500)."
    few = changed(result, ess_bulk=np.array([43.4, 900.0, 900.0, 400.0]))
    assert few.verdict().startswith(
        "Not converged: only 43 independent samples of pa, 100 are needed; take about 3 times"
    )
    short = changed(result, chain=result.chain[:, :9], log_prob=result.log_prob[:, :9])
    assert short.converged is None
    assert "cannot be told: 9 samples each are too few" in " ".join(short.report().split())


def test_convergence_is_measured_on_the_chain(result):
    found = changed(result)
    assert np.all(found.r_hat < 1.05)
    # Independent draws: as many as there are, give or take.
    assert np.all((found.ess_bulk > 200) & (found.ess_bulk < 700))
    assert np.all((found.tau > 0.5) & (found.tau < 2.0))
    assert dataclasses.replace(found, seed=8).ess_bulk is found.ess_bulk


def test_report_tells_what_was_not_measured(result):
    rng = np.random.default_rng(7)
    chain = result.chain.copy()
    chain[..., 2] = 110.0 - 0.5 * chain[..., 1] + rng.normal(scale=1e-3, size=(2, 200))
    chain[..., 3] = rng.uniform(1, 10, size=(2, 200))
    loose = changed(result, chain=chain)
    text = " ".join(loose.report().split())
    both = "rotation.velocity[1] and rotation.velocity[2] are degenerate (correlation -1.00)"
    assert f"{both}: only a combination of them is measured." in text
    assert "The data do not constrain flux: its posterior is as wide as its prior." in text
    assert max(map(len, loose.report().splitlines())) <= 80
    found = json.loads(loose.to_json())
    assert found["degenerate"] == [["rotation.velocity[1]", "rotation.velocity[2]", loose.degenerate()[0][2]]]
    assert found["remarks"] == loose.remarks()
    assert len(loose.remarks()) == 2
    assert result.remarks() == []


def test_two_peaks_are_told(result):
    chain = result.chain.copy()
    chain[:, ::2, 1] += 40.0
    said = changed(result, chain=chain).remarks()
    assert len(said) == 1
    assert said[0].startswith("The posterior of rotation.velocity[1] has two peaks, near 60")
    assert said[0].endswith("its median and errors describe neither.")


def test_optimum_is_not_judged_as_a_chain(result):
    found = changed(
        result, method="optimise", acceptance=np.array([np.nan]), chain=result.chain[:1], log_prob=result.log_prob[:1]
    )
    assert np.isnan(found.r_hat).all()
    assert np.isnan(found.ess_bulk).all()
    assert found.converged is None
    text = " ".join(found.report().split())
    assert "Fit with optimise: 200 draws of its Laplace approximation, seed 7, 1.2 s." in text
    assert "Errors are those of the Laplace approximation, a Gaussian at the best fit: nothing was sampled." in text
    assert "Accepted" not in text


def test_evidence_is_reported(result):
    found = changed(result, log_evidence=-1234.5678, log_evidence_error=0.123)
    assert "ln evidence = -1234.57 +/- 0.12." in found.report()
    assert "evidence" not in result.report()


def test_fingerprint_is_of_the_voxels_used(result):
    data = result.data
    assert result.fingerprint == fingerprint(data)
    assert fingerprint(data.replace(rms=1.0, unit="K")) == result.fingerprint
    other = data.data.copy()
    other[3, 4, 5] += 1e-9
    assert fingerprint(data.replace(data=other)) != result.fingerprint
    mask = np.ones(GRID.shape, dtype=bool)
    assert fingerprint(data.replace(mask=mask)) == result.fingerprint
    mask[3, 4, 5] = False
    masked = fingerprint(data.replace(mask=mask))
    assert masked != result.fingerprint
    assert fingerprint(data.replace(data=other, mask=mask)) == masked
    other[3, 4, 5] = np.nan
    assert fingerprint(data.replace(data=other)) == masked


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
    "data.fits",
    *(f"{name}_moment{k}.fits" for name in ("data", "model") for k in (0, 1, 2)),
    "moment_mask.fits",
    "predictive.png",
    "prior.png",
    "rotation.ecsv",
    "rotation.png",
    "run.log",
    "samples.nc",
    "trace.png",
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
    for name in FILES:
        assert not name.endswith("png") or (saved / name).read_bytes()[:4] == b"\x89PNG"


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
    np.testing.assert_array_equal(table["chain"], np.repeat([0, 1], 200))
    np.testing.assert_array_equal(table["step"], np.tile(np.arange(10, 210), 2))
    np.testing.assert_array_equal(table["log_prob"], result.log_prob.ravel())
    for k, name in enumerate(NAMES):
        np.testing.assert_array_equal(table[name], result.chain[..., k].ravel())
    assert table["flux"].unit == "Jy km/s"
    header = fits.getheader(saved / "chain.fits", 1)
    assert (header["SEED"], header["BURN"], header["EXTNAME"]) == (7, 10, "CHAIN")
    assert "DATE" not in header
    assert "DATE" not in fits.getheader(saved / "chain.fits", 0)


def test_saved_cubes_read_back(result, saved):
    from kinms.fits_read import read_cube

    for name, cube in {"model.fits": result.model, "residual.fits": result.residual}.items():
        again = read_cube(saved / name)
        # FITS cubes are written in single precision.
        np.testing.assert_allclose(again.data, cube.data, rtol=1e-6, atol=1e-12)
        assert again.grid.shape == GRID.shape
        assert again.beam.bmaj == pytest.approx(3.0)


def test_saved_maps_are_moments_of_the_signal(result, saved):
    with fits.open(saved / "moment_mask.fits") as file:
        assert file[0].header["BITPIX"] == 8
        keep = file[0].data.astype(bool)
    assert 0 < keep.sum() < keep.size
    shown = keep.any(axis=0)
    for name, cube in {"data": result.data, "model": result.model}.items():
        maps = {k: fits.getdata(saved / f"{name}_moment{k}.fits") for k in (0, 1, 2)}
        light = np.where(keep, cube.data, 0.0)
        np.testing.assert_allclose(maps[0][shown], (light.sum(axis=0) * GRID.dv)[shown], rtol=1e-6)
        assert np.isnan(maps[0][~shown]).all()
        good = light.sum(axis=0) > 0.0
        mean = np.einsum("vyx,v->yx", light, GRID.velocities)[good] / light.sum(axis=0)[good]
        inside = np.abs(mean - GRID.v_ref) < 0.5 * GRID.nv * GRID.dv
        np.testing.assert_allclose(maps[1][good][inside], mean[inside], rtol=0, atol=1e-4)  # 32 bits of some 1000 km/s
        assert np.all(maps[2][good][inside] >= 0.0)
        assert [fits.getheader(saved / f"{name}_moment{k}.fits")["BTYPE"] for k in (0, 1, 2)] == [
            "Integrated intensity",
            "Velocity",
            "Velocity dispersion",
        ]


def test_every_fits_file_tells_where_it_comes_from(result, saved, tmp_path, monkeypatch):
    monkeypatch.setattr(FitResult, "_pictures", lambda _: {})  # they take their time
    text = "[disc]\ninc = 50\n"
    configuration = f"configuration: sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]}"
    again = result.save(tmp_path / "again")
    said = set()
    for path in saved.glob("*.fits"):
        with fits.open(path) as file:
            history = list(file["CHAIN" if path.name == "chain.fits" else 0].header["HISTORY"])
        assert any(line.startswith("kinms ") for line in history), path
        assert "seed: 7" in history
        assert (configuration in history) == (path.name != "chain.fits")
        said |= {line for line in history if line.startswith("fit: sha256 ")}
        assert faults(path) == []
        # Without the configuration the bytes differ by its line alone.
        assert (again / path.name).stat().st_size == path.stat().st_size
    assert len(said) == 1
    assert result.save(tmp_path / "twice").joinpath("model.fits").read_bytes() == (again / "model.fits").read_bytes()


def test_noise_of_the_data_comes_back(result, tmp_path, monkeypatch):
    monkeypatch.setattr(FitResult, "_pictures", lambda _: {})
    noise = np.random.default_rng(0).uniform(0.001, 0.003, GRID.shape)
    noise[0, 0, 0] = np.nan
    noisy = dataclasses.replace(result, data=result.data.replace(noise=noise))
    back = FitResult.load(noisy.save(tmp_path / "out"))
    np.testing.assert_array_equal(back.data.noise, noise)
    assert back.model.noise is None


def test_a_file_that_cannot_be_written_is_named(result, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FitResult, "_write_chain", full)
    with pytest.raises(FileError, match=r"chain\.fits: cannot be written \(No space left on device\)"):
        result.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"parameters.ecsv", "result.json"}


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
        "chain": np.empty((2, 0, 4)),
        "log_prob": np.empty((2, 0)),
        "minus": np.full(4, np.nan),
        "plus": np.full(4, np.nan),
        "acceptance": np.zeros(2),
        "interrupted": True,
    }
    empty = changed(result, **nothing)
    empty.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"corner.png", "trace.png", "prior.png", "samples.nc"}
    check_equal(FitResult.load(tmp_path), empty)
    assert len(Table.read(tmp_path / "chain.fits")) == 0
    assert json.loads((tmp_path / "result.json").read_text())["parameters"][0]["plus"] is None
    assert "Interrupted fit" in empty.report()


# -- reading back ----------------------------------------------------------------------------------------------


def check_equal(again, result):
    """All fields, to the last bit; NaN equals NaN."""
    for field in dataclasses.fields(FitResult):
        new, old = getattr(again, field.name), getattr(result, field.name)
        if field.name in ("data", "model"):
            for inner in dataclasses.fields(old):
                mine, other = getattr(new, inner.name), getattr(old, inner.name)
                if inner.name in ("data", "mask"):
                    np.testing.assert_array_equal(mine, other)
                    assert (mine is None) == (other is None)
                    assert mine is None or mine.dtype == other.dtype
                elif inner.name == "header":
                    assert (mine is None) == (other is None)
                else:
                    assert mine == other, f"{field.name}.{inner.name}"
        elif isinstance(old, np.ndarray):
            np.testing.assert_array_equal(new, old, err_msg=field.name)
            assert new.shape == old.shape
        else:
            assert new == old, field.name
    np.testing.assert_array_equal(again.samples, result.samples)
    assert again.report() == result.report()
    assert str(again.table()) == str(result.table())
    assert again.to_json() == result.to_json()


def test_round_trip(result, saved):
    again = FitResult.load(saved)
    check_equal(again, result)
    assert again.disc == result.disc
    assert again.priors == result.priors
    np.testing.assert_array_equal(again.residual.data, result.residual.data)


def awkward(result):
    """A result with a mask, NaN, infinities, a frequency axis that ran the other way, evidence, a prior of scipy's."""
    from scipy import stats

    from kinms.priors import ScipyPrior, TruncatedNormal

    values = result.data.data.astype(np.float32)
    values[2, 3, 4] = np.nan
    mask = np.ones(GRID.shape, dtype=bool)
    mask[:, :3] = False
    spectral = SpectralAxis("optical", "LSRK", 1.15e11, "Hz", "FREQ")
    data = result.data.replace(
        data=values, mask=mask, spectral=spectral, flipped=("velocity",), warnings=("assumed this",), unit="Jy/beam"
    )
    priors = (ANGLE, TruncatedNormal(60.0, 20.0, low=0.0), ScipyPrior(stats.gamma(3, scale=30)), Uniform(1, 10))
    return changed(
        result,
        data=data,
        priors=priors,
        r_hat=np.array([np.inf, np.nan, 1.0, 1.0]),
        log_evidence=-12.25,
        log_evidence_error=0.5,
        interrupted=True,
        flux="best",
        acceptance=np.array([0.1, np.nan]),
    )


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr(FitResult, "_pictures", lambda self: {})


@pytest.mark.usefixtures("no_pictures")
def test_round_trip_of_an_awkward_one(result, tmp_path):
    awful = awkward(result)
    awful.save(tmp_path)
    again = FitResult.load(tmp_path)
    assert (tmp_path / "mask.fits").is_file()
    # A prior that no name stands for comes back as a table that prints the same and gives the same quantiles.
    recorded = again.priors[2]
    assert str(recorded) == str(awful.priors[2])
    q = np.array([0.01, 0.16, 0.5, 0.84, 0.99])
    exact = awful.priors[2]
    np.testing.assert_allclose(recorded.ppf(q), exact.ppf(q), rtol=2e-3)
    np.testing.assert_allclose(recorded.cdf(exact.ppf(q)), q, rtol=2e-3)
    # Steps of half a per cent: in the bulk the density changes by a few per cent from one to the next.
    np.testing.assert_allclose(recorded.log_pdf(exact.ppf(q[1:4])), exact.log_pdf(exact.ppf(q[1:4])), atol=0.05)
    assert recorded.log_pdf(-1.0) == -np.inf
    check_equal(again, dataclasses.replace(awful, priors=again.priors))


@pytest.mark.usefixtures("no_pictures")
def test_round_trip_of_a_cube_from_a_file(result, tmp_path):
    from kinms.fits_read import read_cube
    from kinms.fits_write import write_cube

    write_cube(tmp_path / "cube.fits", result.data)
    data = read_cube(tmp_path / "cube.fits")
    fitted = changed(result, data=data, model=data.replace(data=result.model.data, rms=None))
    fitted.save(tmp_path / "out")
    again = FitResult.load(tmp_path / "out")
    check_equal(again, fitted)
    assert again.data.header["CTYPE3"] == data.header["CTYPE3"]
    again.save(tmp_path / "again")  # what was read can be written
    check_equal(FitResult.load(tmp_path / "again"), fitted)


def test_samples_are_there_for_arviz(result, saved):
    import xarray

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = xarray.open_datatree(saved / "samples.nc", engine="h5netcdf")
    with tree:
        for k, name in enumerate(NAMES):
            np.testing.assert_array_equal(tree["posterior"][name].values, result.chain[..., k])
        assert tree["posterior"][NAMES[1]].attrs["units"] == "km/s"
        assert tree["posterior"][NAMES[1]].dims == ("chain", "draw")
        np.testing.assert_array_equal(tree["sample_stats"]["lp"].values, result.log_prob)
        assert tree.attrs["inference_library"] == "kinms"
        assert tree.attrs["seed"] == "7"


def test_rotation_table(result, saved):
    table = Table.read(saved / "rotation.ecsv", format="ascii.ecsv")
    assert table.colnames == ["radius", "low_95", "low_68", "median", "high_68", "high_95"]
    assert (table["radius"].unit, table["median"].unit) == ("arcsec", "km/s")
    (row,) = table[table["radius"] == 3.0]
    # At a radius of the table the curve is the parameter itself.
    low, middle, high = np.percentile(result.samples[:, 1], [15.8655, 50.0, 84.1345])
    np.testing.assert_allclose([row["low_68"], row["median"], row["high_68"]], [low, middle, high], rtol=1e-6)


def damage_json(folder):
    path = folder / "result.json"
    path.write_text(path.read_text()[:-100])


def other_version(folder):
    path = folder / "result.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))


def lacks_disc(folder):
    document = json.loads((folder / "result.json").read_text())
    del document["disc"]
    (folder / "result.json").write_text(json.dumps(document))


def unknown_law(folder):
    path = folder / "result.json"
    path.write_text(path.read_text().replace('"kind": "gaussian_ring"', '"kind": "spiral"'))


def law_of_a_script(folder):
    path = folder / "result.json"
    path.write_text(path.read_text().replace('"kind": "gaussian_ring"', '"kind": null'))


def half(name):
    def damage(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def other_chain(folder):
    table = Table.read(folder / "chain.fits")
    table[:-3].write(folder / "chain.fits", overwrite=True)
    with fits.open(folder / "chain.fits", mode="update") as file:
        file[1].name = "CHAIN"


def renamed_column(folder):
    with fits.open(folder / "chain.fits", mode="update") as file:
        file[1].columns["pa"].name = "inc"


def other_data(folder):
    with fits.open(folder / "data.fits", mode="update") as file:
        file[0].data[1, 1, 1] += 1.0


def other_shape(folder):
    with fits.open(folder / "model.fits") as file:
        fits.writeto(folder / "model.fits", file[0].data[:, 1:], file[0].header, overwrite=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "result.json").unlink(), r"result\.json: does not exist\. Give the folder that"),
        (damage_json, r"result\.json: is truncated or damaged: not valid JSON .* Copy it again"),
        (lambda folder: (folder / "result.json").write_text("[1]"), r"result\.json: is not the record of a fit"),
        (other_version, r"result\.json: was written by another version of kinms \(format 2; this one reads 1\)"),
        (lacks_disc, r"result\.json: lacks 'disc'\. Run the fit again"),
        (unknown_law, r"result\.json: is damaged: kind 'spiral' is not known; allowed: exponential"),
        (law_of_a_script, r"result\.json: is damaged: .*surface_brightness is .*expected one that a name stands for"),
        (lambda folder: (folder / "chain.fits").unlink(), r"chain\.fits: does not exist"),
        (half("chain.fits"), r"chain\.fits: is truncated or damaged"),
        (other_chain, r"chain\.fits: does not hold 2 whole chains after 10 steps, as result\.json says"),
        (renamed_column, r"chain\.fits: holds inc, .*, not pa, rotation.* as result\.json"),
        (lambda folder: (folder / "data.fits").unlink(), r"data\.fits: does not exist"),
        (half("data.fits"), r"data\.fits: is truncated"),
        (other_data, r"data\.fits: is not the cube that was fitted"),
        (lambda folder: (folder / "model.fits").unlink(), r"model\.fits: does not exist"),
        (other_shape, r"model\.fits: has \(8, 23, 24\) voxels, not \(8, 24, 24\) as the result"),
    ],
)
def test_what_cannot_be_read_back_is_named(saved, tmp_path, spoil, message):
    folder = shutil.copytree(saved, tmp_path / "copy")
    spoil(folder)
    with pytest.raises(FileError, match=message):
        FitResult.load(folder)


def test_no_folder_of_a_result(tmp_path):
    with pytest.raises(FileError, match=r"nowhere: does not exist\. Give the folder that FitResult\.save"):
        FitResult.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file: is a file"):
        FitResult.load(tmp_path / "file")
