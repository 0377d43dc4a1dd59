"""The bridge: what scripts set and get, and the parts it is made of."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import gastimator_bridge
from gastimator_bridge import Chains, corner_plot, gastimator, priors, sample
from kinms.errors import (
    FileError,
    InputError,
    InputTypeError,
    KinmsWarning,
    SamplingError,
)

X = np.arange(0.0, 60.0, 0.25)
TRUTH = np.array([30.0, 5.0, 2.0])
ERROR = 0.01


def bell(values, x, offset=0.0):
    mean, width, height = values
    return height * np.exp(-0.5 * ((x - mean) / width) ** 2) + offset


def bell_data():
    return bell(TRUTH, X) + ERROR * np.random.default_rng(5).normal(size=X.size)


def script(**changes):
    """What scripts write."""
    mcmc = gastimator(bell, X)
    mcmc.labels = np.array(["mean", "width", "height"])
    mcmc.min = np.array([10.0, 0.5, 2.0])
    mcmc.max = np.array([50.0, 20.0, 2.0])
    mcmc.fixed = np.array([False, False, True])
    mcmc.precision = np.array([1.0, 1.0, 1.0])
    mcmc.guesses = np.array([36.0, 9.0, 2.0])
    mcmc.silent = True
    for name, value in changes.items():
        setattr(mcmc, name, value)
    return mcmc


# --- the package ------------------------------------------------------------------------------------------------------


def test_imports_of_scripts():
    assert isinstance(gastimator, type)
    assert gastimator_bridge.gastimator is gastimator
    assert callable(corner_plot)
    assert callable(corner_plot.corner_plot)
    assert priors.gaussian(1.0, 2.0).eval(1.0, allvalues=[1.0], ival=0) == pytest.approx(
        -np.log(2 * np.sqrt(2 * np.pi))
    )


def test_import_draws_in_no_plotting():
    code = (
        "import sys, kinms.errors; before = set(sys.modules); import gastimator_bridge; "
        "drawn = {m.split('.')[0] for m in set(sys.modules) - before}; "
        "print(sorted(drawn & {'matplotlib', 'corner', 'gastimator', 'joblib'}))"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stdout == "[]\n", done.stderr


# --- run --------------------------------------------------------------------------------------------------------------


def test_script_recovers_truth_and_gets_what_it_expects():
    mcmc = script()
    values, log_like = mcmc.run(bell_data(), ERROR, 3000, plot=False, seed=1)
    assert values.shape == (3, 2400)
    assert log_like.shape == (2400,)
    assert np.all(values[2] == 2.0)
    # Fisher matrix of a sampled bell: error of the mean ERROR / height x sqrt(2 width dx / sqrt(pi)) = 0.0059.
    width = 0.005 * np.sqrt(2 * 5.0 * 0.25 / np.sqrt(np.pi))
    assert values[0].std() == pytest.approx(width, rel=0.1)
    assert np.median(values[:2], axis=1) == pytest.approx(TRUTH[:2], abs=4 * width)
    k = np.argmax(log_like)
    assert log_like[k] == pytest.approx(-0.5 * np.sum(((bell_data() - bell(values[:, k], X)) / ERROR) ** 2), rel=1e-12)
    assert mcmc.likelihood(values[:, k]) == pytest.approx(log_like[k], rel=1e-12)


def test_second_run_with_inflated_error_as_in_the_tutorial():
    data, mcmc = bell_data(), script()
    narrow, _ = mcmc.run(data, np.array(ERROR), 3000, plot=False, seed=1)
    error = np.array(ERROR)
    error *= (2.0 * data.size) ** 0.25
    by_hand, _ = mcmc.run(data, error, 3000, plot=False, seed=1)
    assert by_hand[0].std() / narrow[0].std() == pytest.approx(480**0.25, rel=0.1)
    by_name, _ = mcmc.run(data, ERROR, 3000, plot=False, seed=1, inflate=True)
    assert np.array_equal(by_hand, by_name)
    assert mcmc.result.inflation.n == 240
    assert mcmc.result.inflation.factor == 480**0.25


def test_chains_follow_each_other_and_repeats_can_be_left_out():
    mcmc = script()
    values, log_like = mcmc.run(bell_data(), ERROR, 1000, burn=300, nchains=3, seed=2)
    assert values.shape == (3, 2100)
    chains = mcmc.result.chains
    assert isinstance(chains, Chains)
    assert np.array_equal(values[:2, 700:1400].T, chains.values[1])
    assert chains.acceptance.shape == (3,)
    assert chains.r_hat.max() < 1.1
    moved, moved_like = mcmc.run(bell_data(), ERROR, 1000, burn=300, nchains=3, seed=2, accepted_only=True)
    assert np.array_equal(moved, values[:, mcmc.lastchainaccept])
    assert np.array_equal(moved_like, log_like[mcmc.lastchainaccept])
    assert moved.shape[1] == round(chains.acceptance.sum() * 700)
    assert np.array_equal(mcmc.lastchain, values)
    assert np.array_equal(mcmc.lastchainll, log_like)


def test_processes_never_change_the_chain():
    one, _ = script(nprocesses=1).run(bell_data(), ERROR, 500, nchains=2, seed=3)
    two, _ = script(nprocesses=2, model=lambda v, x: v[2] * np.exp(-0.5 * ((x - v[0]) / v[1]) ** 2)).run(
        bell_data(), ERROR, 500, nchains=2, seed=3
    )
    assert np.array_equal(one, two)


def test_nan_data_are_left_out():
    data, mask = bell_data(), X > 40.0
    holed = np.where(mask, np.nan, data)
    mcmc = script()
    values, _ = mcmc.run(holed, ERROR, 500, seed=1, inflate=True)
    assert mcmc.result.inflation.n == np.count_nonzero(~mask)
    short = gastimator(bell, X[~mask])
    for name in ("labels", "min", "max", "fixed", "precision", "guesses", "silent"):
        setattr(short, name, getattr(mcmc, name))
    assert short.run(data[~mask], ERROR, 500, seed=1, inflate=True)[0] == pytest.approx(values, rel=1e-9)


def test_cube_in_any_memory_order_and_errors_per_voxel():
    rng = np.random.default_rng(1)
    shape = (4, 5, 6)
    pattern, sigma = rng.normal(size=shape), rng.uniform(0.5, 2.0, shape)
    data = 3.0 * pattern + sigma * rng.normal(size=shape)

    def fit(data, sigma, model):
        mcmc = gastimator(model)
        mcmc.guesses, mcmc.min, mcmc.max, mcmc.silent = [1.0], [-10.0], [10.0], True
        return mcmc.run(data, sigma, 2000, seed=1)[0]

    plain = fit(data, sigma, lambda v: v[0] * pattern)
    fortran = fit(np.asfortranarray(data), np.asfortranarray(sigma), lambda v: v[0] * np.asfortranarray(pattern))
    assert np.array_equal(plain, fortran)
    big_endian = fit(data.astype(">f8"), sigma, lambda v: v[0] * pattern)
    assert np.array_equal(plain, big_endian)
    weight = np.sum(pattern**2 / sigma**2)
    assert plain.mean() == pytest.approx(np.sum(pattern * data / sigma**2) / weight, abs=0.1 / np.sqrt(weight))
    assert plain.std() == pytest.approx(1 / np.sqrt(weight), rel=0.1)


def test_model_arguments_fargs_and_keywords():
    data = bell_data() + 1.0
    by_init = gastimator(bell, X, offset=1.0)
    later = gastimator(bell)
    later.fargs, later.kwargs = (X,), {"offset": 1.0}
    assert later.args == later.fargs == (X,)
    chains = []
    for mcmc in (by_init, later):
        mcmc.guesses, mcmc.min, mcmc.max, mcmc.silent = [36, 9, 2], [10, 1, 1], [50, 20, 3], True
        chains.append(mcmc.run(data, ERROR, 500, seed=1)[0])
    assert np.array_equal(*chains)
    with pytest.raises(InputTypeError, match=r"fargs is ndarray; expected a tuple of arguments\. One argument: "):
        later.fargs = X


def test_priors_multiply_and_see_everything():
    seen = []

    def tied(x, allvalues=None, ival=None):
        seen.append((x, tuple(allvalues), ival))
        return -0.5 * ((x - 2 * allvalues[0]) / 0.1) ** 2

    mcmc = gastimator(lambda v: np.zeros(1) * v[0])
    mcmc.guesses, mcmc.min, mcmc.max, mcmc.silent = [3.0, 5.0], [-50, -50], [50, 50], True
    mcmc.prior_func = (priors.gaussian(4.0, 1.0).eval, tied)
    values, log_like = mcmc.run([0.0], 1.0, 20_000, seed=1)
    assert values.mean(axis=1) == pytest.approx([4.0, 8.0], abs=0.1)
    assert values.std(axis=1) == pytest.approx([1.0, np.hypot(2.0, 0.1)], rel=0.05)
    assert all(x == everything[1] and i == 1 for x, everything, i in seen)
    expected = priors.gaussian(4.0, 1.0)(values[0]) - 0.5 * ((values[1] - 2 * values[0]) / 0.1) ** 2
    assert log_like == pytest.approx(expected)


def test_prior_that_forbids_spares_the_model():
    def model(values):
        assert values[0] < 1.0
        return values

    mcmc = gastimator(model)
    mcmc.guesses, mcmc.min, mcmc.max, mcmc.silent = [0.0], [-9], [9], True
    mcmc.prior_func = [lambda x, **_: 0.0 if x < 1.0 else -np.inf]
    assert mcmc.run([0.0], 1.0, 500, seed=1)[0].max() < 1.0


def test_lnlike_func_replaces_the_likelihood():
    mcmc = gastimator(lambda v: v)
    mcmc.guesses, mcmc.min, mcmc.max, mcmc.silent = [1.0], [-50], [50], True
    mcmc.lnlike_func = lambda data, model, error: -float(np.abs(model - data).sum() / error)
    values, _ = mcmc.run([3.0], 2.0, 20_000, seed=1)
    # A Laplace distribution of scale 2: standard deviation 2 sqrt(2).
    assert values.mean() == pytest.approx(3.0, abs=0.15)
    assert values.std() == pytest.approx(2 * np.sqrt(2), rel=0.07)
    assert gastimator.lnlike(np.array([1.0, np.nan]), np.array([3.0, 7.0]), 2.0) == -0.5


def test_mutating_model_changes_nothing():
    def rude(values, x):
        result = bell(values, x)
        values[:] = 0.0
        return result

    polite, _ = script().run(bell_data(), ERROR, 500, seed=1)
    mcmc = script(model=rude)
    assert np.array_equal(mcmc.run(bell_data(), ERROR, 500, seed=1)[0], polite)
    assert np.array_equal(mcmc.guesses, [36.0, 9.0, 2.0])


def test_nan_in_the_model_is_impossible_and_said():
    def fragile(values, x):
        return bell(values, x) if values[0] > 30.0 else np.full(x.shape, np.nan)

    mcmc = script(model=fragile)
    with pytest.warns(KinmsWarning, match="were not finite"):
        values, _ = mcmc.run(bell_data(), ERROR, 2000, seed=1)
    assert values[0].min() > 30.0
    assert mcmc.likelihood([29.0, 5.0, 2.0]) == -np.inf
    mcmc.guesses = [20.0, 9.0, 2.0]
    with pytest.raises(SamplingError, match="at the start, mean = 20, width = 9"):
        mcmc.run(bell_data(), ERROR, 2000, seed=1)


def test_chains_that_differ_are_warned_of():
    mcmc = gastimator(lambda v: np.abs(v) - 5.0)
    mcmc.guesses, mcmc.min, mcmc.max, mcmc.precision, mcmc.silent = [0.0], [-9], [9], [1.8], True
    with pytest.warns(KinmsWarning, match=r"The 8 chains differ \(R-hat up to"):
        mcmc.run([0.0], 0.1, 500, nchains=8, seed=1)


def test_ctrl_c():
    def model(values, x, count=[0], stop=0):  # noqa: B006 - a counter
        count[0] += 1
        if count[0] == stop:
            raise KeyboardInterrupt
        return bell(values, x)

    mcmc = script(model=model)
    mcmc.kwargs = {"count": [0], "stop": 700}
    values, log_like = mcmc.run(bell_data(), ERROR, 2000, seed=1)
    assert values.shape == (3, 298)
    assert log_like.shape == (298,)
    assert mcmc.result.chains.interrupted
    mcmc.kwargs = {"count": [0], "stop": 200}
    with pytest.raises(KeyboardInterrupt, match="during burn-in"):
        mcmc.run(bell_data(), ERROR, 2000, seed=1)


def test_says_what_it_found(capsys):
    mcmc, error = script(silent=False), 3 * ERROR
    detected = np.count_nonzero(np.abs(bell_data()) > 3 * error)
    assert detected < 120  # under half of all
    mcmc.run(bell_data(), error, 500, seed=1, inflate="auto", progress=False)
    out = capsys.readouterr().out
    factor = (2 * detected) ** 0.25
    assert f"Free: mean, width. errors x (2N)^(1/4) = {factor:.4g}, N = {detected} (detection mask)." in out
    assert "  mean: 30.0" in out
    assert "  height: 2 (fixed)" in out
    assert "R-hat at most 1.0" in out
    mcmc.run(bell_data(), error, 500, seed=1, inflate="auto", mask=X < 20.0, progress=False)
    assert "N = 80 (detection mask)" in capsys.readouterr().out
    script().run(bell_data(), ERROR, 500, seed=1)
    assert capsys.readouterr().out == ""


def test_progress_bar(capsys):
    script().run(bell_data(), ERROR, 500, seed=1, progress=True)
    bar = capsys.readouterr().err
    assert "500/500" in bar
    assert "acceptance=0." in bar
    best = -0.5 * np.sum(((bell_data() - bell(script().guesses, X)) / ERROR) ** 2)
    assert "chi2=2" in bar  # about 240 data
    assert best < -1000
    script().run(bell_data(), ERROR, 500, seed=1)
    assert capsys.readouterr().err == ""


# --- what it refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attribute", "value", "error", "message"),
    [
        ("guesses", None, InputTypeError, r"guesses is None; expected one number per parameter\. Set guesses before"),
        ("guesses", [36.0, np.nan, 2.0], InputError, "guesses of width is nan"),
        (
            "guesses",
            [60.0, 9.0, 2.0],
            InputError,
            r"guesses of mean is 60\.0; expected between its min 10\.0 and max 50\.0",
        ),
        ("guesses", "many", InputTypeError, "guesses is 'many'"),
        ("guesses", [[36.0, 9.0, 2.0]], InputError, r"guesses is of shape \(1, 3\)"),
        ("min", None, InputTypeError, "min is None"),
        ("min", [10.0, 0.5], InputError, r"min is of shape \(2,\); expected 3 numbers, as guesses"),
        ("max", None, InputTypeError, "max is None"),
        ("max", [50.0, np.inf, 2.0], InputError, "max of width is inf"),
        ("max", [50.0, 0.1, 2.0], InputError, "max of width is 0.1; expected not below its min, 0.5"),
        (
            "fixed",
            [False, False, False],
            InputError,
            r"max of height is 2\.0; expected above its min, 2\.0\. Or set",
        ),
        ("fixed", [True, True, True], InputError, "fixed is True for every parameter"),
        ("fixed", [True, False], InputError, r"fixed is of shape \(2,\)"),
        ("fixed", ["no", "no", "yes"], InputTypeError, "fixed is"),
        ("labels", ["a", "b"], InputError, "labels is 2 names; expected 3"),
        ("precision", [1.0, 0.0, 1.0], InputError, "precision of width is 0.0"),
        ("precision", [1.0], InputError, r"precision is of shape \(1,\)"),
        ("prior_func", [None, None], InputError, "prior_func is 2 entries; expected 3"),
        ("prior_func", [None, 3.0, None], InputTypeError, "prior_func of width is 3.0; expected a callable"),
        ("nprocesses", 0, InputError, "nprocesses is 0"),
        ("nprocesses", 1.5, InputTypeError, "nprocesses is 1.5; expected a whole number"),
        ("targetrate", 1.5, InputError, "targetrate is 1.5"),
        ("lnlike_func", None, InputTypeError, "lnlike_func is None"),
    ],
)
def test_attributes_are_checked(attribute, value, error, message):
    with pytest.raises(error, match=message):
        script(**{attribute: value}).run(bell_data(), ERROR, 100)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"niters": 0}, InputError, "niters is 0; expected at least 2"),
        ({"niters": True}, InputTypeError, "niters is True; expected a whole number"),
        ({"niters": "many"}, InputTypeError, "niters is 'many'"),
        ({"burn": 100}, InputError, "burn is 100; expected fewer than niters, 100"),
        ({"nchains": 0}, InputError, "nchains is 0"),
        ({"numatonce": -1}, InputError, "numatonce is -1"),
        ({"seed": -1}, InputError, "seed is -1"),
        ({"seed": "x"}, InputTypeError, "seed is 'x'"),
        ({"backend": "emcee"}, InputError, "backend is 'emcee'; expected 'metropolis' or 'gastimator'"),
        ({"inflate": "all"}, InputError, "inflate is 'all'"),
        ({"inflate": 0.0}, InputError, "inflate is 0.0"),
        ({"inflate": None}, InputTypeError, "inflate is None"),
        ({"mask": np.ones(240, bool)}, InputError, "mask is given; expected none unless inflate='auto'"),
        ({"mask": np.ones(3, bool), "inflate": "auto"}, InputError, r"mask is of shape \(3,\)"),
        ({"mask": np.ones(240), "inflate": "auto"}, InputTypeError, "mask is an array of float64"),
        ({"fdata": np.full(240, np.nan)}, InputError, "fdata is without a single finite value"),
        ({"fdata": np.full(240, "a")}, InputTypeError, "fdata is an array of"),
        ({"fdata": np.zeros(3)}, InputError, r"model\(\.\.\.\) is of shape \(240,\); expected shape \(3,\), as fdata"),
        ({"error": 0.0}, InputError, "error is not positive and finite"),
        ({"error": np.nan}, InputError, "error is not positive and finite"),
        ({"error": np.full(7, 0.1)}, InputError, r"error is of shape \(7,\); expected one number or shape \(240,\)"),
        ({"error": "small"}, InputTypeError, "error is 'small'"),
        ({"output": "chain.fits"}, InputError, "output is chain.fits; expected a name that ends in .npz"),
        ({"output": "no/such/folder/chain"}, FileError, "no/such/folder: is not a folder"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    settings = {"fdata": bell_data(), "error": ERROR, "niters": 100} | arguments
    with pytest.raises(error, match=message):
        script().run(**settings)


def test_model_must_be_callable():
    with pytest.raises(InputTypeError, match="model is 3; expected a callable"):
        gastimator(3)


def test_lists_scalars_and_defaults_do():
    mcmc = gastimator(lambda v: v[0] * np.ones(4))
    mcmc.guesses, mcmc.min, mcmc.max, mcmc.silent = 1, 0, 2, True
    mcmc.prior_func = priors.gaussian(1.0, 0.1)
    values, _ = mcmc.run([1.0, 1.0, 1.0, 1.0], 1.0, 2e3, seed=np.int64(1))
    assert values.shape == (1, 1600)
    assert mcmc.result.labels == ["parameter 0"]
    mcmc.fixed, mcmc.precision, mcmc.labels = [0], [1], ["level"]
    assert mcmc.run([1.0, 1.0, 1.0, 1.0], 1.0, 500, 50, 100, 1, False, None, 1)[0].shape == (1, 400)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"start": [[1.0]]}, InputError, r"start is an array of shape \(1, 1\)"),
        ({"start": [5.0]}, InputError, r"start of parameter 0 is 5\.0; expected a number between -1\.0 and 1\.0"),
        ({"lower": 1.0}, InputError, "upper of parameter 0 is 1.0; expected above its lower bound 1.0"),
        ({"lower": [0.0, 0.0]}, InputError, r"lower is of shape \(2,\)"),
        ({"upper": np.inf, "periodic": True}, InputError, "periodic of parameter 0 is True; expected finite bounds"),
        ({"scale": 0.0}, InputError, "scale is 0.0"),
        ({"steps": 10, "burn": 10}, InputError, "burn is 10; expected fewer than the 10 steps"),
        ({"chains": 0}, InputError, "chains is 0"),
        ({"processes": 0}, InputError, "processes is 0"),
        ({"target": 0.0}, InputError, "target is 0.0"),
        ({"labels": ["a", "b"]}, InputError, "labels is 2 names; expected 1"),
    ],
)
def test_sample_checks_its_arguments(arguments, error, message):
    settings = {"start": [0.0], "steps": 100, "lower": -1.0, "upper": 1.0, "progress": False} | arguments
    with pytest.raises(error, match=message):
        sample(lambda x: 0.0, **settings)


# --- the installed GAStimator -----------------------------------------------------------------------------------------


def test_installed_gastimator_runs_repeatably_on_this_numpy(capsys):
    pytest.importorskip("gastimator")
    mcmc = script()
    values, log_like = mcmc.run(bell_data(), ERROR, 3000, nchains=2, seed=1, backend="gastimator")
    assert capsys.readouterr() == ("", "")
    assert mcmc.result.backend.startswith("gastimator 0.5.")
    assert mcmc.result.chains is None
    assert values.shape == (3, log_like.size)
    assert np.all(values[2] == 2.0)
    assert np.all(np.any(np.diff(values[:2], axis=1) != 0.0, axis=0))  # accepted states only
    assert np.median(values[:2], axis=1) == pytest.approx(TRUTH[:2], abs=0.03)
    again, _ = mcmc.run(bell_data(), ERROR, 3000, nchains=2, seed=1, backend="gastimator")
    other, _ = mcmc.run(bell_data(), ERROR, 3000, nchains=2, seed=2, backend="gastimator")
    assert np.array_equal(values, again)
    assert not np.array_equal(values[:, :100], other[:, :100])


def test_installed_gastimator_shows_its_bar_and_messages(capsys):
    pytest.importorskip("gastimator")
    script(silent=False).run(bell_data(), ERROR, 2000, numatonce=200, burn=0, seed=1, backend="gastimator")
    said = capsys.readouterr()
    assert "Starting final chain" in said.out
    assert "  mean: 30.0" in said.out
    assert "2000" in said.err


def test_installed_gastimator_never_accepts_nan():
    pytest.importorskip("gastimator")

    def fragile(values, x):
        return bell(values, x) if values[0] > 30.0 else np.full(x.shape, np.nan)

    mcmc = script(model=fragile)
    assert mcmc.run(bell_data(), ERROR, 2000, seed=1, backend="gastimator")[0][0].min() > 30.0
    mcmc.guesses = [20.0, 9.0, 2.0]
    with pytest.raises(SamplingError, match="not finite at the start, mean = 20"):
        mcmc.run(bell_data(), ERROR, 2000, seed=1, backend="gastimator")


@pytest.mark.parametrize("folder", [f for f in os.environ.get("KINMS_GASTIMATORS", "").split(os.pathsep) if f])
def test_other_releases_give_the_same_chain(folder):
    """KINMS_GASTIMATORS lists folders into which other releases have been installed (pip install --target)."""
    installed = pytest.importorskip("gastimator")
    code = (
        "import numpy as np, sys, gastimator as engine; from gastimator_bridge import gastimator\n"
        "mcmc = gastimator(lambda v: v); mcmc.silent = True\n"
        "mcmc.guesses, mcmc.min, mcmc.max = [1.0, 2.0], [-9.0, -9.0], [9.0, 9.0]\n"
        "values, _ = mcmc.run([0.0, 0.0], 1.0, 2000, nchains=2, seed=1, backend='gastimator')\n"
        "print(engine.__file__, mcmc.result.backend, values.shape, repr(values.sum()))"
    )
    out = []
    for first in (folder, os.path.dirname(os.path.dirname(installed.__file__))):
        path = os.pathsep.join([first, *(p for p in sys.path if p)])
        command = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
        assert done.returncode == 0, done.stderr
        out.append(done.stdout.split())
    assert out[0][0].startswith(folder)
    assert out[0][3:] == out[1][3:]


def test_missing_gastimator_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "gastimator", None)
    monkeypatch.setitem(sys.modules, "gastimator.gastimator", None)
    with pytest.raises(InputError, match=r"backend is 'gastimator'; expected an installed GAStimator .* pip install"):
        script().run(bell_data(), ERROR, 100, backend="gastimator")
