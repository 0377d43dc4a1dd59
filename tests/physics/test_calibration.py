"""Error bars: how often the truth lies inside of them. The smaller sister of `benchmarks/calibration.py`."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

MOCKS = 40
#: A chance this small, each way, is taken for a fault. Some sixty numbers are looked at.
CHANCE = 1e-4


@pytest.fixture(scope="module")
def calibration():
    path = Path(__file__).parents[2] / "benchmarks" / "calibration.py"
    spec = importlib.util.spec_from_file_location("calibration_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fits(calibration, likelihood):
    """Laplace's approximation of mocks 0 to 39, whose noise is correlated by the beam."""
    return [calibration.fit(number, "correlated", likelihood, "laplace") for number in range(MOCKS)]


def covered(found, level):
    """Whether each parameter of each mock lies inside of its interval, shape (mocks, parameters)."""
    return np.abs(np.array([one["quantile"] for one in found]) - 0.5) <= 0.5 * level


def pooled(hits):
    """Coverage of all parameters, and its error from the scatter of mocks: parameters of one mock are not independent.

    The error is at least that of independent parameters.
    """
    of_mock = hits.mean(axis=1)
    share = float(of_mock.mean())
    least = np.sqrt(share * (1.0 - share) / hits.size)
    return share, max(float(of_mock.std(ddof=1)) / np.sqrt(len(hits)), least)


def test_correlated_errors_are_right(calibration):
    found = fits(calibration, "correlated")
    for level in (0.68, 0.95):
        hits = covered(found, level)
        low, high = scipy.stats.binom.interval(1.0 - 2.0 * CHANCE, MOCKS, level)
        count = dict(zip(calibration.PRIORS, hits.sum(axis=0), strict=True))
        assert all(low <= number <= high for number in count.values()), (level, low, high, count)
        share, error = pooled(hits)
        # 3.7 sigma is a chance of 1e-4 each way.
        assert share == pytest.approx(level, abs=3.7 * error)
    p_ranks = calibration.summary(found)["p_ranks"]
    assert min(p_ranks) > CHANCE, p_ranks
    # Pulls of mean zero and scatter one, within as many sigma: 1 / sqrt(40), and 1 / sqrt(80).
    pulls = np.array([one["pull"] for one in found])
    assert np.abs(pulls.mean(axis=0)).max() < 3.7 / np.sqrt(MOCKS)
    assert np.abs(pulls.std(axis=0) - 1.0).max() < 3.7 / np.sqrt(2 * MOCKS)


def test_white_errors_are_too_small(calibration):
    found = fits(calibration, "white")
    share, error = pooled(covered(found, 0.68))
    assert share + 3.7 * error < 0.40
    assert max(calibration.summary(found)["p_ranks"]) < CHANCE


def test_inflated_errors_are_too_large(calibration):
    found = fits(calibration, "inflated")
    share, error = pooled(covered(found, 0.68))
    assert share - 3.7 * error > 0.68
    assert covered(found, 0.95).mean() > 0.95
