"""The parts of the bridge: inflation rule, climb, space, R-hat, priors, corner plots, files."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy import integrate

from gastimator_bridge import corner_plot, gastimator, priors
from gastimator_bridge.chains import split_r_hat
from gastimator_bridge.climb import Climb
from gastimator_bridge.space import Space
from kinms.errors import InputError, OutputExistsError, UnknownNameError
from kinms.likelihood import inflation

# --- inflation --------------------------------------------------------------------------------------------------------


def test_inflation_rule():
    finite = np.ones((10, 10), bool)
    finite[0] = False
    few, many, none = (np.arange(100).reshape(10, 10) < n for n in (30, 60, 5))
    half = np.zeros((10, 10), bool)
    half.flat[10:55] = True  # 45 of 90
    cases = [
        (False, None, 90, 1.0),
        (np.False_, None, 90, 1.0),
        (True, None, 90, 180**0.25),
        (True, few, 90, 180**0.25),
        (8, None, 8, 2.0),
        (40.0, few, 40, 80**0.25),
        ("auto", few, 20, 40**0.25),
        ("auto", many, 90, 180**0.25),
        ("auto", half, 90, 180**0.25),
        ("auto", none, 90, 180**0.25),
        ("auto", None, 90, 180**0.25),
    ]
    for inflate, mask, n, factor in cases:
        found = inflation(inflate, finite, mask)
        assert (found.n, found.factor) == (n, factor)


# --- the parts --------------------------------------------------------------------------------------------------------


def free_space(n):
    return Space(np.full(n, -np.inf), np.full(n, np.inf), np.zeros(n, bool))


def climb_all(climb, log_prob):
    asked = 0
    while (point := climb.ask()) is not None:
        climb.tell(log_prob(point))
        asked += 1
    return asked


@pytest.mark.parametrize("n", [1, 2, 6])
def test_climb_is_exact_on_a_gaussian(n):
    rng = np.random.default_rng(n)
    root = rng.normal(size=(n, n))
    precision, mean = np.linalg.inv(root @ root.T), rng.normal(size=n)

    def log_prob(x):
        return -0.5 * float((x - mean) @ precision @ (x - mean))

    start = mean + 50.0
    climb = Climb(free_space(n), start, log_prob(start), np.ones(n), 500)
    asked = climb_all(climb, log_prob)
    # Three rounds of both ends of n axes and of all corners, and the steps between them.
    assert asked <= 3 * (2 * n + n * (n - 1) // 2) + 8
    assert climb.converged
    assert climb.x == pytest.approx(mean, abs=1e-6)
    assert climb.basis @ climb.basis.T == pytest.approx(root @ root.T, rel=1e-6, abs=1e-6)


def test_climb_keeps_to_the_box_and_finds_the_top_on_its_side():
    precision = np.linalg.inv(np.array([[1.0, 0.9], [0.9, 1.0]]))
    mean = np.array([-2.0, 0.0])

    def log_prob(x):
        assert x[0] >= 0.0
        return -0.5 * float((x - mean) @ precision @ (x - mean))

    box = Space(np.array([0.0, -10.0]), np.array([10.0, 10.0]), np.zeros(2, bool))
    climb = Climb(box, np.array([3.0, 3.0]), log_prob(np.array([3.0, 3.0])), np.full(2, 0.5), 100)
    climb_all(climb, log_prob)
    # At x0 = 0 the conditional mean of x1 is 0.9 x 2.
    assert climb.x == pytest.approx([0.0, 1.8], abs=1e-6)


def test_climb_stops_at_its_budget_and_survives_impossible_points():
    def log_prob(x):
        return -100.0 * (x[1] - x[0] ** 2) ** 2 - (1 - x[0]) ** 2 if x[0] < 1.5 else -np.inf

    start = np.array([-1.2, 2.0])
    climb = Climb(free_space(2), start, log_prob(start), np.full(2, 0.5), 400)
    climb_all(climb, log_prob)
    assert climb.value > -3.0  # from -32; within the bulk of the posterior
    short = Climb(free_space(2), start, log_prob(start), np.full(2, 0.5), 7)
    assert climb_all(short, log_prob) == 7
    assert not short.converged


def test_climb_pickles_between_any_two_points():
    def log_prob(x):
        return -100.0 * (x[1] - x[0] ** 2) ** 2 - (1 - x[0]) ** 2

    start = np.array([-1.2, 2.0])
    plain = Climb(free_space(2), start, log_prob(start), np.full(2, 0.5), 60)
    moved = Climb(free_space(2), start, log_prob(start), np.full(2, 0.5), 60)
    climb_all(plain, log_prob)
    while (point := moved.ask()) is not None:
        moved.tell(log_prob(point))
        moved = pickle.loads(pickle.dumps(moved))
    assert np.array_equal(plain.x, moved.x)
    assert np.array_equal(plain.basis, moved.basis)


def test_space_wraps_and_measures_the_short_way():
    space = Space(np.array([0.0, -1.0]), np.array([360.0, 1.0]), np.array([True, False]))
    assert space.wrap(np.array([-10.0, 5.0])).tolist() == [350.0, 5.0]
    assert space.wrap(np.array([[360.0, 0.0], [725.0, 0.0]])).tolist() == [[0.0, 0.0], [5.0, 0.0]]
    assert space.wrap(np.array([-1e-15, 0.0]))[0] == 0.0
    assert space.offset(np.array([350.0, 0.5]), np.array([10.0, 0.0])).tolist() == [-20.0, 0.5]
    assert space.inside(np.array([[0.0, 1.0], [0.0, 1.1]])).tolist() == [True, False]
    assert space.clip(np.array([370.0, 3.0])).tolist() == [10.0, 1.0]
    assert space.reach(np.array([350.0, 0.0]), np.array([5.0, 0.5])) == 2.0
    assert space.reach(np.array([350.0, 0.0]), np.array([5.0, 0.0])) == np.inf


def test_split_r_hat():
    rng = np.random.default_rng(1)
    same = rng.normal(size=(4, 2000, 1))
    assert split_r_hat(same)[0] == pytest.approx(1.0, abs=0.005)
    # Means one sigma apart, two each: B / n = 1/3 over eight halves is 2/7 by definition with ddof 1.
    apart = same + np.array([0.0, 0.0, 1.0, 1.0])[:, None, None]
    assert split_r_hat(apart)[0] == pytest.approx(np.sqrt(1.0 + 2 / 7), abs=0.02)
    # A drift shows within one chain.
    drift = np.linspace(0.0, 10.0, 2000)[None, :, None] + same[:1]
    assert split_r_hat(drift)[0] > 2.0
    assert split_r_hat(np.ones((2, 100, 1)))[0] == 1.0
    assert split_r_hat(np.stack([np.ones((100, 1)), np.zeros((100, 1))]))[0] == np.inf
    assert np.isnan(split_r_hat(np.ones((2, 3, 1)))[0])


def test_gaussian_prior_checks():
    with pytest.raises(InputError, match="sigma is 0"):
        priors.gaussian(1.0, 0)
    with pytest.raises(InputError, match="mu is nan"):
        priors.gaussian(np.nan, 1.0)
    prior = pickle.loads(pickle.dumps(priors.gaussian(4.0, 0.5)))
    assert repr(prior) == "gaussian(4.0, 0.5)"
    grid = np.linspace(-1.0, 9.0, 4001)
    assert integrate.trapezoid(np.exp(prior(grid)), grid) == pytest.approx(1.0, rel=1e-9)


# --- corner plots -----------------------------------------------------------------------------------------------------


@pytest.fixture
def samples():
    yield np.random.default_rng(1).normal(size=(800, 3)) * [1.0, 2.0, 3.0] + [0.0, 10.0, 100.0]
    plt.close("all")


def test_corner_plot_takes_the_keywords_of_scripts(samples, capsys):
    like = -0.5 * np.sum(((samples - samples.mean(0)) / samples.std(0)) ** 2, axis=1)
    figure = corner_plot.corner_plot(
        samples,
        like=like,
        xstry=samples + 1.0,
        labels=np.array(["a", "b", "c"]),
        extents=[(-4, 0, 85), (4, 20, 115)],
        truths=[0.0, 10.0, 100.0],
        truth_color="red",
        quantiles=[0.16, 0.5, 0.84],
        scale_hist=True,
        plot_ellipse=True,
        labels_scaling=1.5,
        fignum=7,
        alpha=0.5,
    )
    assert figure.number == 7
    panels = np.array(figure.axes).reshape(3, 3)
    assert [panel.get_xlabel() for panel in panels[2]] == ["a", "b", "c"]
    assert panels[2, 0].get_xlim() == (-4.0, 4.0)
    assert panels[2, 0].get_ylim() == (85.0, 115.0)
    points = panels[2, 1].collections[-1]
    assert len(points.get_offsets()) == 800
    assert points.get_clim() == pytest.approx((like.max() - 4.5, like.max()))
    assert "Quantiles" in capsys.readouterr().out


def test_corner_plot_is_called_either_way(samples, capsys):
    figure = corner_plot(samples, labels=["a", "b", "c"], quantiles=[0.5], verbose=False, bins=12, linewidths=2)
    assert len(figure.axes) == 9
    assert capsys.readouterr().out == ""
    assert corner_plot(samples, fig=figure, color="C1", weights=np.ones(800)) is figure
    assert len(corner_plot(samples, init=True).axes) == 9
    assert len(corner_plot(samples[:, 0]).axes) == 1


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"labels": ["a"]}, InputError, "labels is 1 names; expected 3"),
        ({"like": np.zeros(3)}, InputError, r"like is of shape \(3,\); expected shape \(800,\)"),
        ({"truths": [1.0]}, InputError, "truths is of shape"),
        ({"weights": np.ones(3)}, InputError, "weights is of shape"),
        ({"extents": [1, 2]}, InputError, "extents is of shape"),
        ({"colour": "red"}, UnknownNameError, "keyword 'colour' is not known.*Did you mean 'color'"),
    ],
)
def test_corner_plot_checks(samples, keywords, error, message):
    with pytest.raises(error, match=message):
        corner_plot(samples, **keywords)


def test_corner_plot_of_fixed_parameters_names_them(samples):
    samples[:, 1] = 3.0
    with pytest.raises(InputError, match=r"constant in column b; expected parameters that vary\. Leave out the fixed"):
        corner_plot(samples, labels=["a", "b", "c"])


# --- files -------------------------------------------------------------------------------------------------------


def test_output_is_whole_repeatable_and_never_overwritten(tmp_path):
    x = np.linspace(0.0, 10.0, 50)
    data = 1.0 + 2.0 * x
    mcmc = gastimator(lambda v: v[0] + v[1] * x + v[2])
    mcmc.guesses, mcmc.min, mcmc.max = [0.5, 1.5, 0.0], [-5.0, 0.0, 0.0], [5.0, 5.0, 0.0]
    mcmc.fixed, mcmc.labels, mcmc.silent = [False, False, True], ["level", "slope", "none"], True
    values, log_like = mcmc.run(data, 0.1, 500, output=tmp_path / "chain", seed=1, inflate=8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chain.npz", "chain_corner.png", "chain_trace.png"]
    assert plt.get_fignums() == []
    with np.load(tmp_path / "chain.npz") as saved:
        assert np.array_equal(saved["values"], values)
        assert np.array_equal(saved["log_like"], log_like)
        assert saved["labels"].tolist() == ["level", "slope", "none"]
        assert saved["fixed"].tolist() == [False, False, True]
        assert (saved["n"], saved["inflation"], saved["seed"]) == (8, 2.0, "1")
        assert mcmc.likelihood(saved["best"]) >= log_like.max()
    before = (tmp_path / "chain.npz").read_bytes()
    with pytest.raises(OutputExistsError, match=r"chain\.npz exists already"):
        mcmc.run(data, 0.1, 500, output=tmp_path / "chain.npz", seed=2)
    assert (tmp_path / "chain.npz").read_bytes() == before
    mcmc.run(data, 0.1, 500, output=tmp_path / "again.npz", plot=False, seed=1, inflate=8)
    assert (tmp_path / "again.npz").read_bytes() == before
    assert not (tmp_path / "again_trace.png").exists()
