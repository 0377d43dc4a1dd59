"""Two fits to the same data: criteria against their formulae, refusals, and a table that fits a terminal."""

import dataclasses

import numpy as np
import pytest

from kinms.comparison import compare, criteria
from kinms.cube import Cube
from kinms.disc import Disc
from kinms.errors import InputError, InputTypeError
from kinms.grid import CubeGrid
from kinms.likelihood import Inflation
from kinms.priors import Normal, Uniform
from kinms.profiles import ArctanCurve, ExponentialDisc
from kinms.results import FitResult

GRID = CubeGrid((10, 10, 10), 1.0, 10.0)
DISC = Disc(surface_brightness=ExponentialDisc(3.0), rotation=ArctanCurve(100.0, 1.0), inc=40.0, pa=30.0)
PRIORS = {"inc": Normal(40.0, 5.0), "pa": Uniform(0.0, 360.0, periodic=True), "flux": Uniform(0.0, 100.0)}


def made(npar=3, shift=0.0, **changes):
    """A fit whose log-likelihood is a Gaussian with its peak at -500 + shift: everything about it is known."""
    rng = np.random.default_rng(npar)
    sigma = np.array([2.0, 3.0, 0.5])[:npar]
    middle = np.array([40.0, 180.0, 20.0])[:npar]
    priors = tuple(PRIORS.values())[:npar]
    chain = middle + sigma * rng.normal(size=(2, 4000, npar))
    log_like = -500.0 + shift - 0.5 * np.sum(((chain - middle) / sigma) ** 2, axis=2)

    def log_prior(x):
        return np.sum([prior.log_pdf(x[..., k]) for k, prior in enumerate(priors)], axis=0)

    fields = {
        "names": tuple(PRIORS)[:npar],
        "units": ("deg", "deg", "Jy km/s")[:npar],
        "priors": priors,
        "median": middle,
        "minus": sigma,
        "plus": sigma,
        "best": middle,
        "best_log_prob": float(-500.0 + shift + log_prior(middle)),
        "chain": chain,
        "log_prob": log_like + log_prior(chain),
        "acceptance": np.array([0.3, 0.3]),
        "chi2": 1000.0,
        "n": 1000,
        "inflation": Inflation("none", 1000, 1.0),
        "rms": 1e-3,
        "method": "gastimator",
        "likelihood": "white",
        "steps": 5000,
        "burn": 1000,
        "seed": 1,
        "wall_time_s": 1.0,
        "versions": {},
        "disc": DISC,
        "data": Cube(np.random.default_rng(5).normal(size=GRID.shape), GRID),
        "model": Cube(np.zeros(GRID.shape), GRID),
    }
    return FitResult(**{**fields, **changes})


def test_criteria_of_a_gaussian_posterior():
    found = criteria(made())
    assert (found.k, found.n) == (3, 1000)
    assert found.log_like == pytest.approx(-500.0, abs=1e-9)  # the prior is taken off again
    assert found.aic == pytest.approx(1006.0, abs=1e-9)
    assert found.bic == pytest.approx(1000.0 + 3.0 * np.log(1000.0), abs=1e-9)
    # D - 1000 is chi-squared of 3: mean 3, half of the variance 3. 8000 draws tell the mean to 0.03, the latter to 0.1.
    assert found.dic == pytest.approx(1006.0, abs=0.4)


def test_flux_found_at_each_call_counts():
    assert criteria(made(2)).k == 2
    assert criteria(made(2, flux="best")).k == 3


def test_n_of_the_criteria_is_that_of_the_likelihood():
    inflated = made(likelihood="inflated", inflation=Inflation("detection mask", 80, 160.0**0.25))
    assert criteria(inflated).bic == pytest.approx(1000.0 + 3.0 * np.log(80.0), abs=1e-9)


def test_best_sample_of_a_short_optimisation():
    """An optimiser's result has draws without log-probabilities: what can be said is said."""
    result = made(method="optimise", log_prob=np.full((2, 4000), np.nan))
    found = criteria(result)
    assert found.log_like == pytest.approx(-500.0, abs=1e-9)
    assert np.isnan(found.dic)
    text = str(compare(result, result))
    assert "DIC" in text
    assert "DIC hardly" not in text


def test_the_better_model_is_named():
    # One parameter less, and 4.2 less in ln L: AIC differs by 8.4 - 2 = 6.4, BIC by 8.4 - ln 1000 = 1.5.
    found = compare(made(3), made(2, shift=-4.2), ("warped", "flat"))
    assert found.second.aic - found.first.aic == pytest.approx(6.4)
    said = found.verdicts()
    assert said[0] == "AIC strongly prefers warped."
    assert said[1] == "BIC hardly prefers warped."
    assert said[3] == "No evidence was computed for both: a nested sampler (dynesty) does."
    assert found.evidence is None
    assert compare(made(2), made(3), ("flat", "warped")).verdicts()[1] == "BIC strongly prefers flat."


def test_evidence_with_its_error():
    one, two = (
        made(method="dynesty", log_evidence=value, log_evidence_error=error)
        for value, error in ((-510.0, 0.3), (-513.5, 0.4))
    )
    found = compare(one, two, ("a", "b"))
    assert found.evidence == pytest.approx((3.5, 0.5))
    assert found.verdicts()[3] == "The evidence strongly prefers a."
    assert "-510.00 +/- 0.30" in found.report()
    assert "+3.50 +/- 0.50" in found.report()
    close = compare(one, dataclasses.replace(two, log_evidence=-510.8), ("a", "b"))
    assert close.verdicts()[3].startswith("The evidence does not tell them apart")


def test_report_fits_a_terminal():
    names = ("results/of/a/very/long/name/warped", "results/of/a/very/long/name/flat")
    fields = {"method": "dynesty", "log_evidence": -123456.0, "log_evidence_error": 12.0}
    text = compare(made(3, **fields), made(2, **fields), names).report()
    assert max(map(len, text.splitlines())) <= 80
    assert "...ong/name/warped" in text
    assert "no error inflation (N = 1000)" in text
    assert "Noise that neighbouring pixels share is not accounted for" in " ".join(text.split())
    rows = [line.split()[0] for line in text.splitlines() if line[:1].isalpha()]
    assert {"parameters", "ln", "AIC", "BIC", "DIC"} <= set(rows)


def test_a_fit_beside_itself():
    found = compare(made(), made(), ("thin", "thin"))
    assert found.verdicts()[:3] == [f"{name} is the same of both." for name in ("AIC", "BIC", "DIC")]
    assert len(found.remarks) == len(set(found.remarks))


def test_what_limits_it_is_said():
    inflation = Inflation("detection mask", 80, 160.0**0.25)
    one = made(likelihood="inflated", inflation=inflation)
    two = dataclasses.replace(one, r_hat=np.array([1.0, 1.4, 1.0]))
    text = " ".join(compare(one, two, ("a", "b")).report().split())
    assert "b did not converge: its numbers are not final." in text
    assert "a did not converge" not in text
    assert "Errors are 3.56 times the noise" in text


def other_data(result):
    data = result.data.data.copy()
    data[0, 0, 0] += 1.0
    return {"data": result.data.replace(data=data)}


def other_mask(result):
    return {"data": result.data.replace(mask=np.arange(1000).reshape(GRID.shape) > 3)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_data, "the data or mask of b is others; expected those of a. Fit both models to the same cube"),
        (other_mask, "the data or mask of b is others"),
        (lambda r: {"data": r.data.replace(grid=GRID.replace(dv=12.0))}, "the grid's dv of b is 12.0; expected 10.0"),
        (lambda r: {"likelihood": "inflated"}, "the likelihood of b is 'inflated'; expected 'white'"),
        (lambda r: {"rms": 2e-3}, "the rms of b is 0.002; expected 0.001, as a"),
        (lambda r: {"inflation": Inflation("given", 10, 20.0**0.25)}, r"the noise of b is errors x \(2N\)\^\(1/4\)"),
        (lambda r: {"n": 999}, "the noise of b is"),
    ],
)
def test_fits_to_something_else_are_refused(change, message):
    result = made()
    with pytest.raises(InputError, match=message):
        compare(result, dataclasses.replace(result, **change(result)), ("a", "b"))


def test_other_things_than_results_are_refused():
    with pytest.raises(InputTypeError, match=r"second is str; expected a FitResult\. FitResult\.load"):
        compare(made(), "folder")
