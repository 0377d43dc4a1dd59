"""`fit`: right numbers on problems with known answers, the same chain for any number of processes, and its refusals."""

import dataclasses
import json
import logging
import warnings

import numpy as np
import pytest

from gastimator_bridge.chains import Chains
from kinms import fitting
from kinms.cube import Model, Sampling, simulate
from kinms.disc import Disc
from kinms.errors import HeaderError, InputError, InputTypeError, KinmsWarning, SamplingError, UnknownNameError
from kinms.fitting import METHODS, SAMPLERS, fit
from kinms.grid import Beam, CubeGrid
from kinms.likelihood import Parameter, Posterior, WhiteNoise
from kinms.priors import Normal, Uniform
from kinms.profiles import ArctanCurve, GaussianRing, TableCurve
from kinms.results import FitResult, summarise

GRID = CubeGrid((8, 24, 24), 1.0, 30.0)
DISC = Disc(
    surface_brightness=GaussianRing(0.0, 3.2),
    rotation=TableCurve([0.0, 3.0, 12.0], [0.0, 60.0, 80.0]),
    inc=35.0,
    pa=0.3,
    flux=5.0,
    sigma_gas=12.0,
)
RMS = 1e-3


@pytest.fixture(scope="module")
def data():
    cube = simulate(DISC, GRID, Beam(3.0))
    noise = np.random.default_rng(1).normal(scale=RMS, size=GRID.shape)
    return cube.replace(data=cube.data + noise, rms=RMS, stats=None)


def quick(data, free=None, **options):
    free = {"flux": Uniform(1, 10)} if free is None else free
    return fit(DISC, data, free, **{"steps": 300, "seed": 1, "progress": False, **options})


def test_every_method_samples_a_linear_problem():
    # y = a + b t with Gaussian errors and a Gaussian prior on a: the posterior is known in closed form.
    t = np.linspace(-1.0, 1.0, 30) + 0.3
    y = 2.0 + 1.5 * t + np.random.default_rng(3).normal(scale=0.4, size=30)
    design = np.column_stack([np.ones(30), t])
    precision = design.T @ design / 0.16 + np.diag([1.0 / 0.25, 0.0])
    mean = np.linalg.solve(precision, design.T @ y / 0.16 + [1.0 / 0.25, 0.0])
    sigma = np.sqrt(np.diag(np.linalg.inv(precision)))
    parameters = [Parameter("a", Normal(1.0, 0.5), 0.0), Parameter("b", Uniform(-10, 10), 0.0)]
    posterior = Posterior(parameters, lambda x: x[0] + x[1] * t, WhiteNoise(y, 0.4))
    for sampler in SAMPLERS.values():
        chains = sampler(posterior, steps=6000, burn=1000, chains=2, seed=5, processes=1, progress=False)
        median, minus, plus = summarise(chains.values.reshape(-1, 2), [p.prior for p in parameters])
        # 10000 samples worth at least 1000: medians to 1.25 / sqrt(1000) sigma, widths to 1.48 / sqrt(1000).
        # Four times that is allowed.
        np.testing.assert_array_less(np.abs(median - mean) / sigma, 0.16)
        np.testing.assert_allclose(minus, sigma, rtol=0.19)
        np.testing.assert_allclose(plus, sigma, rtol=0.19)


@pytest.mark.parametrize("flux", ["best", "marginal"])
def test_flux_need_not_be_sampled(data, flux):
    unit = Model(DISC, GRID, data.beam)(DISC.replace(flux=1.0))
    sigma = RMS / float(np.sqrt((unit**2).sum()))
    start = DISC.replace(flux=0.1)
    free = {"sigma_gas": Uniform(5, 20)}
    result = fit(start, data, free, likelihood="white", flux=flux, steps=200, seed=1, progress=False)
    # Five sigma of the flux's own error, and the dispersion hardly moves it.
    assert result.disc.flux == pytest.approx(DISC.flux, abs=5 * sigma)
    assert float(result.model.data.sum()) == pytest.approx(float(data.data.sum()), rel=0.05)


@pytest.mark.parametrize(("options", "factor"), [({"likelihood": "white"}, 1.0), ({"inflate": True}, 9216**0.25)])
def test_flux_has_its_analytic_posterior(data, options, factor):
    # The model is linear in flux: mean d.m / m.m and sigma = error / |m| for a model m of unit flux.
    unit = Model(DISC, GRID, data.beam)(DISC.replace(flux=1.0))
    mean = float((data.data * unit).sum() / (unit**2).sum())
    sigma = RMS * factor / float(np.sqrt((unit**2).sum()))
    result = quick(data, steps=1500, **options)
    assert result.inflation.factor == factor
    # 2400 samples worth at least 600, as above.
    assert result.median[0] == pytest.approx(mean, abs=0.2 * sigma)
    assert result.minus[0] == pytest.approx(sigma, rel=0.24)
    assert result.plus[0] == pytest.approx(sigma, rel=0.24)
    # The best of so many samples is far nearer to the top than one sigma.
    assert result.best[0] == pytest.approx(mean, abs=0.05 * sigma)
    assert result.chi2 == pytest.approx(float((((data.data - result.best[0] * unit) / RMS) ** 2).sum()), rel=1e-4)
    assert (result.n, result.dof) == (4608, 4607)
    assert result.reduced_chi2 == pytest.approx(1.0, abs=4.0 * np.sqrt(2.0 / 4607))


def test_recovers_a_disc():
    grid = CubeGrid((16, 32, 32), 1.0, 20.0)
    truth = Disc(
        surface_brightness=GaussianRing(0.0, 5.0),
        rotation=ArctanCurve(120.0, 1.5),
        inc=50.0,
        pa=1.0,
        flux=20.0,
        sigma_gas=10.0,
        v_sys=5.0,
    )
    clean = simulate(truth, grid, Beam(4.0, 3.0, 20.0))
    rms = float(clean.data.max()) / 50.0
    noisy = clean.data + np.random.default_rng(4).normal(scale=rms, size=grid.shape)
    start = truth.replace(inc=60.0, pa=345.0, flux=25.0, v_sys=-10.0).with_values({"rotation.v_max": 145.0})
    free = {
        "inc": Uniform(10, 80),
        "pa": Uniform(0, 360, periodic=True),
        "flux": Uniform(1, 100),
        "v_sys": Uniform(-50, 50),
        "rotation.v_max": Uniform(20, 300),
    }
    options = {"likelihood": "white", "steps": 900, "burn": 300, "seed": 2, "progress": False}
    result = fit(start, clean.replace(data=noisy, rms=rms), free, **options)
    truths = np.array([truth.value(name) for name in free], dtype=float)
    offset = result.median - truths
    offset[1] = (offset[1] + 180.0) % 360.0 - 180.0
    np.testing.assert_array_less(np.abs(offset) / np.maximum(result.minus, result.plus), 5.0)
    # The errors themselves are what a peak of 50 sigma allows: degrees, Jy km/s, km/s.
    np.testing.assert_array_less(np.maximum(result.minus, result.plus), [0.4, 0.2, 0.1, 0.15, 0.8])
    assert np.all(result.r_hat < 1.1)
    assert result.reduced_chi2 == pytest.approx(1.0, abs=4.0 * np.sqrt(2.0 / result.dof))
    assert result.disc == start.with_values(dict(zip(free, result.best, strict=True)))
    assert result.model.stats.accuracy < 1e-2


def test_same_seed_same_bytes_for_any_number_of_processes(data, tmp_path):
    free = {"flux": Uniform(1, 10), "pa": Uniform(0, 360, periodic=True)}
    one, two = (quick(data, free, processes=n) for n in (1, 2))
    files = [(result.save(tmp_path / str(id(result))) / "chain.fits").read_bytes() for result in (one, two)]
    assert files[0] == files[1]
    assert len(set(one.chain[0, :, 0])) > 20  # it does move
    assert not np.array_equal(one.chain[0], one.chain[1])
    assert not np.array_equal(one.chain, quick(data, free, seed=2).chain)


def test_result_tells_how_it_came_about(data, caplog):
    with caplog.at_level(logging.INFO, logger="kinms.fitting"):
        result = quick(data, {"rotation.velocity": Uniform(0, 350)}, steps=800, burn=0.4, inflate=100, chains=3)
    assert result.names == ("rotation.velocity[0]", "rotation.velocity[1]", "rotation.velocity[2]")
    assert result.units == ("km/s",) * 3
    assert result.chain.shape == (3, 480, 3)
    assert result.log_prob.shape == (3, 480)
    assert result.acceptance.shape == (3,)
    assert (result.steps, result.burn, result.seed, result.interrupted) == (800, 320, 1, False)
    assert (result.method, result.likelihood, result.rms) == ("gastimator", "inflated", RMS)
    assert (result.inflation.mode, result.inflation.n) == ("given", 100)
    assert 0.0 < result.wall_time_s < 60.0
    np.testing.assert_array_equal(result.disc.rotation.velocity, result.best)
    assert result.best_log_prob >= result.log_prob.max()
    posterior_log_prob = -0.5 * result.chi2 / np.sqrt(200.0) - 3.0 * np.log(350.0)
    assert result.best_log_prob == pytest.approx(posterior_log_prob, rel=1e-3)
    spoken = " ".join(result.log)
    assert "rotation.velocity[1] ~ uniform(0, 350) from 60" in spoken
    assert "errors x (2N)^(1/4) = 3.761, N = 100 (given)" in spoken
    assert "3 chains of 800 steps, 320 of them burn-in, seed 1" in spoken
    # What is said of the best model is for the record of the result alone.
    remarks = [line for line in result.log if line.startswith("Best model: ")]
    assert remarks == [f"Best model: {message}" for message in result.model.stats.messages]
    assert "Best model: Pixels are summed before the beam" in spoken
    assert [line for line in result.log if line not in remarks] == [r.getMessage() for r in caplog.records]


def test_seed_is_drawn_and_kept_when_none_is_given(data):
    first, second = quick(data, seed=None), quick(data, seed=None)
    assert first.seed != second.seed
    np.testing.assert_array_equal(quick(data, seed=first.seed).chain, first.chain)


def test_mask_and_rms_are_heeded(data):
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[2:6] = True
    blank = data.data.copy()
    blank[3, 0, :5] = np.nan
    result = quick(data.replace(data=blank), mask=mask, rms=0.002, inflate=True)
    assert (result.n, result.inflation.n, result.rms) == (4 * 576 - 5, 4 * 576 - 5, 0.002)
    np.testing.assert_array_equal(result.data.valid, mask & np.isfinite(blank))
    assert np.isfinite(result.residual.data[0]).all()
    assert np.isnan(result.residual.data[3, 0, :5]).all()


# -- what goes wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"likelihood": "poisson"}, InputError, "likelihood is 'poisson'; expected"),
        ({"likelihood": "white", "inflate": "auto"}, InputError, "inflate is 'auto'; expected nothing beside"),
        ({"method": "zeus"}, InputError, "method is 'zeus'; expected one of 'gastimator', 'emcee', 'dynesty'"),
        ({"resume": True}, InputError, "resume is True without a checkpoint; expected the folder of one"),
        ({"checkpoint_interval": -1.0}, InputError, "checkpoint_interval is -1; expected >= 0"),
        ({"steps": 0}, InputError, "steps is 0; expected >= 2"),
        ({"steps": 100.5}, InputError, "steps is 100.5; expected a whole number"),
        ({"steps": "many"}, InputTypeError, "steps is 'many'; expected a number"),
        ({"chains": 0}, InputError, "chains is 0; expected >= 1"),
        ({"processes": 0}, InputError, "processes is 0; expected >= 1"),
        ({"burn": 300}, InputError, r"burn is 300; expected fewer than steps \(300\)"),
        ({"burn": -1}, InputError, "burn is -1; expected >= 0"),
        ({"burn": True}, InputTypeError, "burn is True"),
        ({"seed": -1}, InputError, "seed is -1; expected >= 0"),
        ({"rms": 0.0}, InputError, "rms is 0; expected > 0"),
        ({"free": {}}, InputError, "free is empty"),
        ({"free": {"v_max": Uniform(0, 1)}}, UnknownNameError, "parameter 'v_max' is not known"),
        ({"mask": np.zeros(GRID.shape, bool)}, InputError, "the mask is without a single usable voxel"),
    ],
)
def test_bad_options_are_refused_before_sampling(data, monkeypatch, options, error, message):
    replace_sampler(monkeypatch, lambda *_, **__: pytest.fail("sampled"))
    with pytest.raises(error, match=message):
        quick(data, **options)


@pytest.mark.parametrize("kind", [int, float])
def test_a_mask_of_numbers_is_one_of_truths(data, kind):
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[2:6] = True
    true = quick(data, mask=mask)
    numbers = quick(data, mask=np.where(mask, 2, 0).astype(kind))
    np.testing.assert_array_equal(numbers.chain, true.chain)
    assert numbers.fingerprint == true.fingerprint
    np.testing.assert_array_equal(numbers.data.mask, mask)


@pytest.mark.parametrize("value", ["-3 sigma", None])
def test_likelihood_of_ones_own_that_returns_no_number(data, value):
    with pytest.raises(InputTypeError, match=r"what the likelihood returns is .*; expected one number, the log-prob"):
        quick(data, likelihood=lambda model: value)


def test_cube_without_a_beam_names_bmaj(data):
    with pytest.raises(HeaderError, match="BMAJ"):
        quick(data.replace(beam=None))


def test_start_without_a_finite_model_is_refused(data, monkeypatch):
    monkeypatch.setattr(Model, "__call__", lambda self, disc: np.full(GRID.shape, np.nan))
    with pytest.raises(
        InputError, match=r"the log-probability at the start is not finite \(flux = 5\); .*simulate\(\)"
    ):
        quick(data)


def test_start_outside_the_field_is_said(data):
    with pytest.warns(KinmsWarning) as said:
        fit(DISC.replace(v_sys=9000.0), data, {"flux": Uniform(1, 10)}, steps=20, seed=1, progress=False)
    assert any("lies wholly outside the cube: its model is zero everywhere" in str(w.message) for w in said)


def replace_sampler(monkeypatch, run):
    def ignore_target(posterior, log_prob, **options):
        return run(posterior, **options)

    changed = dataclasses.replace(METHODS["gastimator"], run=ignore_target)
    monkeypatch.setitem(METHODS, "gastimator", changed)


def _chains(posterior, values, **changes):
    npar = len(posterior.labels)
    fields = {
        "values": values,
        "log_prob": np.zeros(values.shape[:2]),
        "accepted": np.ones(values.shape[:2], bool),
        "acceptance": np.full(len(values), 0.3),
        "best": posterior.start,
        "best_log_prob": 0.0,
        "r_hat": np.ones(npar),
        "burn": 10,
        "interrupted": False,
        "n_evaluations": 100,
        "n_nonfinite": 0,
        "entropy": 1,
        "space": None,
        **changes,
    }
    return Chains(**fields)


def test_interrupted_run_is_a_result(data, monkeypatch):
    replace_sampler(monkeypatch, lambda p, **_: _chains(p, np.full((2, 7, 1), 5.0), interrupted=True))
    result = quick(data)
    assert result.interrupted
    assert result.chain.shape == (2, 7, 1)
    assert result.median[0] == 5.0


def test_run_interrupted_in_burn_in_still_has_a_best_disc(data, monkeypatch):
    nothing = {"interrupted": True, "r_hat": np.array([np.nan]), "best": np.array([4.5])}
    replace_sampler(monkeypatch, lambda p, **_: _chains(p, np.empty((2, 0, 1)), **nothing))
    with pytest.warns(KinmsWarning, match="No step was taken beyond the burn-in"):
        result = quick(data)
    assert result.median[0] == result.best[0] == result.disc.flux == 4.5
    assert np.isnan(result.minus[0])
    assert np.isnan(result.plus[0])


def test_worker_that_dies_leaves_what_was_sampled(data, monkeypatch):
    def dies(posterior, **_):
        raise SamplingError("a worker process died", partial=_chains(posterior, np.full((2, 9, 1), 5.0)))

    replace_sampler(monkeypatch, dies)
    with pytest.raises(SamplingError, match="a worker process died") as caught:
        quick(data)
    assert isinstance(caught.value.partial, FitResult)
    assert caught.value.partial.chain.shape == (2, 9, 1)
    assert "Stopped: a worker process died" in caught.value.partial.log

    def dies_at_once(posterior, **_):
        raise SamplingError("no finite start")

    replace_sampler(monkeypatch, dies_at_once)
    with pytest.raises(SamplingError, match="no finite start") as caught:
        quick(data)
    assert caught.value.partial is None


def test_chains_that_disagree_are_said(data, monkeypatch):
    free = {"flux": Uniform(1, 10), "inc": Uniform(10, 80)}
    values = np.random.default_rng(3).normal([5.0, 50.0], [0.1, 1.0], (2, 400, 2))
    values[1, :, 1] += 1.0
    replace_sampler(monkeypatch, lambda p, **_: _chains(p, values))
    with pytest.warns(KinmsWarning, match=r"Not converged in inc: R-hat 1\.\d\d; take about \d+ times as many steps"):
        result = quick(data, free)
    assert any("Not converged" in line for line in result.log)


def test_inaccurate_model_is_said(data):
    # Edge-on needs points, and 200 of them are not enough.
    edge_on = DISC.replace(inc=87.0)
    with pytest.warns(KinmsWarning) as said:
        result = fit(
            edge_on, data, {"flux": Uniform(1, 10)}, steps=20, seed=1, progress=False, sampling=Sampling(points=200)
        )
    assert result.model.stats.evaluator == "points"
    assert result.model.stats.accuracy > 1e-2
    assert any("The best model is only accurate to" in str(w.message) for w in said)
    assert any("only accurate to" in line for line in result.log)


def test_angle_across_the_wrap_has_a_sane_median(data):
    result = quick(data, {"pa": Uniform(0, 360, periodic=True)}, steps=600, likelihood="white")
    distance = (result.median[0] - DISC.pa + 180.0) % 360.0 - 180.0
    assert 0.0 <= result.median[0] < 360.0
    assert abs(distance) < 5.0 * result.plus[0]
    assert result.minus[0] + result.plus[0] < 20.0


def test_saved_numbers_are_those_of_the_result(data, tmp_path):
    result = quick(data)
    found = json.loads((result.save(tmp_path / "out") / "result.json").read_text())
    assert found["parameters"][0]["median"] == result.median[0]
    assert found["n"] == 4608


def test_nothing_is_said_when_all_is_well(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(data)
    assert fitting.logger.name == "kinms.fitting"
