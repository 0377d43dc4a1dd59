"""The notebooks run from top to bottom and find what they say; so does the script that users have."""

import json
import os
import pathlib
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import scipy.stats
from astropy.io import fits
from matplotlib.figure import Figure
from nbclient import NotebookClient

from kinms.cli import main
from kinms.results import FitResult

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATA = pathlib.Path(os.environ.get("KINMS_TEST_DATA", ROOT.parent / "shared" / "data")).resolve()
SCRIPT = DATA.parent / "tutorial" / "kinms_tutorial.py"


def execute(name, expression, tmp_path, monkeypatch):
    """Run a notebook in an empty folder and return what ``expression`` is at its end."""
    monkeypatch.setenv("KINMS_TEST_DATA", str(DATA))
    notebook = nbformat.read(ROOT / "tutorials" / f"{name}.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(f"import json; print(json.dumps({expression}))"))
    client = NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    return json.loads(notebook.cells[-1].outputs[0]["text"])


def test_stored_notebooks_are_executed():
    for path in sorted((ROOT / "tutorials").glob("*.ipynb")):
        cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        assert all(c.execution_count for c in cells), path.name
        assert not any(o.output_type == "error" for c in cells for o in c.outputs), path.name
        assert sum("image/png" in o.get("data", {}) for c in cells for o in c.outputs) >= 3, path.name


def assert_tutorial(values):
    medians = np.median(values, axis=1)
    for label, found, true, margin in zip(
        ("posAng", "inc", "VFlat", "R_turn", "scalerad"),
        medians[1:],
        (270.0, 45.0, 200.0, 2.0, 5.0),
        (1.0, 3.0, 8.0, 0.3, 0.3),
        strict=True,
    ):
        assert found == pytest.approx(true, abs=margin), label


def test_fitting_tutorial(tmp_path, monkeypatch):
    first, second = execute("01_mock_galaxy", "[values.tolist(), values2.tolist()]", tmp_path, monkeypatch)
    assert_tutorial(first)
    assert_tutorial(second)
    # Errors inflated by (2N)^(1/4) = 21 widen the posterior by about as much.
    ratio = np.std(second, axis=1)[1:] / np.std(first, axis=1)[1:]
    assert np.all((ratio > 10) & (ratio < 40))


def test_real_galaxy_tutorial(tmp_path, monkeypatch):
    if not (DATA / "cubes").is_dir():
        pytest.skip("the real cubes are absent: set KINMS_TEST_DATA")
    pa, v_sys = execute(
        "02_ngc4047", "[float(result.median[result.names.index(n)]) for n in ('pa', 'v_sys')]", tmp_path, monkeypatch
    )
    assert pa == pytest.approx(283.7, abs=3.0)
    assert v_sys == pytest.approx(3403.0, abs=6.0)


def test_error_bars_tutorial(tmp_path, monkeypatch):
    of_each = "[[r.median.tolist(), r.plus.tolist()] for r in results.values()]"
    of_bar = "[[r.median[1], r.plus[1]] for r in (fits['bar', 'correlated'], with_bar)]"
    expression = f"[true.tolist(), {of_each}, quantile.tolist(), {of_bar}]"
    found = execute("03_are_my_error_bars_right", expression, tmp_path, monkeypatch)
    true, fits, quantile, bars = map(np.array, found)
    white, _, correlated, sampled = fits
    assert np.abs((white[0] - true) / white[1]).max() > 5.0
    # Of eight numbers the worst is within 3 sigma in 98 % of all cubes.
    assert np.abs((correlated[0] - true) / correlated[1]).max() < 3.0
    # Some 400 independent samples know a median to 6 % of sigma and sigma to 4 %; that posteriors are not quite
    # Gaussian may be as much.
    assert np.abs((sampled[0] - correlated[0]) / correlated[1]).max() < 0.3
    np.testing.assert_allclose(sampled[1], correlated[1], rtol=0.2)

    inside = (np.abs(quantile - 0.5) <= 0.34).sum(axis=0)
    low, high = scipy.stats.binom.interval(0.999, len(quantile), 0.68)
    assert np.all(inside[0] < low)
    assert np.all((inside[2] >= low) & (inside[2] <= high))

    # A bar that the model lacks turns its position angle by far more than the error; a model with a bar does not.
    without, with_bar = (bars[:, 0] - true[1]) / bars[:, 1]
    assert abs(without) > 10.0
    assert abs(with_bar) < 3.0

    # The file beside the notebook is the same fit.
    name = "03_are_my_error_bars_right.toml"
    (tmp_path / name).write_text((ROOT / "tutorials" / name).read_text())
    for figure in ("summary", "channel", "corner", "prior", "predictive", "rotation"):
        monkeypatch.setattr(f"kinms.plots.{figure}_figure", lambda *_, **__: Figure())
    assert main(["fit", str(tmp_path / name), "-o", str(tmp_path / "correlated"), "--quiet"]) == 0
    np.testing.assert_array_equal(FitResult.load(tmp_path / "correlated").median, correlated[0])


def test_archive_tutorial(tmp_path, monkeypatch):
    read = "[len(radio.beam.beams), info['line'], float(np.nanmax(optical.noise)), optical.grid.rest_frequency]"
    of_disc = "[disc.pa, disc.inc, disc.v_sys, disc.rotation.v_max]"
    expression = f"[{read}, {of_disc}, float(residual.std()), cube.shape, obspars['bunit'], obspars['frame']]"
    found = execute("04_from_an_archive_to_obspars", expression, tmp_path, monkeypatch)
    (beams, line, noise, rest), disc, scatter, shape, unit, frame = found
    assert (beams, line, noise) == (40, "CO(2-1)", 40.0)
    assert rest == pytest.approx(299792458.0 / 6564.61e-10 / 1.0173, rel=2e-6)  # Halpha in vacuum, NIST
    assert (shape, unit, frame) == ([48, 48, 90], "Jy/beam", "BARYCENT")
    # Five errors of a fit to this cube, 0.11 and 0.31 degrees, 0.11 and 0.61 km/s: a guess starts no farther away.
    for value, truth, error in zip(disc, (120.0, 55.0, 1500.0, 160.0), (0.11, 0.31, 0.11, 0.61), strict=True):
        assert value == pytest.approx(truth, abs=5.0 * error)
    assert scatter == pytest.approx(2e-3, rel=0.02)  # the noise that was put in: of some 20000 beams

    # The file beside the notebook mends the same header, and its disc leaves as little.
    name = "04_from_an_archive_to_obspars.toml"
    (tmp_path / name).write_text((ROOT / "tutorials" / name).read_text())
    assert main(["simulate", str(tmp_path / name), "-o", str(tmp_path / "model.fits")]) == 0
    data, model = (fits.getdata(tmp_path / file) for file in ("broken.fits", "model.fits"))
    assert np.std(data - model) == pytest.approx(scatter, rel=0.01)


def test_the_users_script_runs_with_one_import_changed(tmp_path):
    if not SCRIPT.is_file():
        pytest.skip("the users' script is absent: it lies beside the folder KINMS_TEST_DATA names")
    old, new = "from gastimator import gastimator, corner_plot", "from gastimator_bridge import gastimator, corner_plot"
    text = SCRIPT.read_text()
    assert text.count(old) == 1
    # Both fits end in a variable of one name: keep the first under another one.
    text = text.replace(old, new).replace("bestmodel = make_model(", "first = outputvalue\nbestmodel = make_model(")
    (tmp_path / "script.py").write_text(text + "\nnp.savez('fits.npz', first=first, second=outputvalue)\n")
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, check=True, capture_output=True)
    with np.load(tmp_path / "fits.npz") as fits:
        assert fits["first"].shape[0] == fits["second"].shape[0] == 6
        assert_tutorial(fits["first"])
        assert_tutorial(fits["second"])
    assert (tmp_path / "Test_simcube.fits").is_file()
