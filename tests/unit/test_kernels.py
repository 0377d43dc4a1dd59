import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from kinms.kernels import deposit, invert_cumulative
from kinms.profiles import TableProfile


def line(u, sigma, a=0.0, b=0.0, nv=12, weight=1.0):
    cube = np.zeros((1, nv))
    one = np.ones(1)
    widths = (a * one, b * one) if a or b else None
    deposit(cube, np.zeros(1, dtype=np.int64), u * one, sigma * one, weight * one, widths)
    return cube[0]


@settings(deadline=None)
@given(st.floats(-3.0, 15.0), st.floats(1e-3, 5.0))
def test_gaussian_line_is_integrated_over_the_channel(u, sigma):
    # The table is good to 3e-9 and cut at 5.6 sigma, which leaves 1e-8.
    np.testing.assert_allclose(line(u, sigma), np.diff(stats.norm.cdf(np.arange(13), u, sigma)), atol=3e-8)


def test_zero_width_puts_all_in_one_channel():
    np.testing.assert_array_equal(line(3.0, 0.0), np.eye(12)[3])
    np.testing.assert_array_equal(line(3.999, 0.0), np.eye(12)[3])
    assert not line(-0.1, 0.0).any()
    assert not line(12.0, 0.0).any()


@settings(deadline=None, max_examples=60)
@given(
    st.floats(2.0, 10.0),
    st.one_of(st.just(0.0), st.floats(0.01, 1.0)),
    st.one_of(st.just(0.0), st.floats(0.01, 4.0)),
    st.floats(0.0, 1.0),
)
def test_line_spread_over_two_boxes(u, sigma, a, ratio):
    b = a * ratio
    got = line(u, sigma, a, b)
    # Brute force: 400 x 400 midpoints inside the boxes, each a Gaussian (or a point).
    t = (np.arange(400) + 0.5) / 400 - 0.5
    centre = (u + a * t[:, None] + b * t[None, :]).ravel()
    edges = np.arange(13.0)
    if sigma > 0:
        cdf = np.array([stats.norm.cdf((e - centre) / sigma).mean() for e in edges])
    else:
        cdf = np.array([(centre < e).mean() for e in edges])
    # Midpoints of a step are good to a/400 of a channel; narrow boxes enter by their variance, good to 1e-4.
    np.testing.assert_allclose(got, np.diff(cdf), atol=4e-3 if sigma < 0.05 else 2e-4)


def test_box_width_crosses_smoothly_into_the_gaussian_limit():
    below, above = line(5.3, 1.0, 0.2999, 0.2), line(5.3, 1.0, 0.3001, 0.2)
    np.testing.assert_allclose(below, above, atol=2e-5)


@settings(deadline=None)
@given(st.floats(-20.0, 40.0), st.floats(0.0, 3.0), st.floats(0.0, 5.0))
def test_flux_is_conserved_and_sign_kept(u, sigma, a):
    total = line(u + 60, sigma, a, a / 2, nv=200, weight=-2.0).sum()
    assert total == pytest.approx(-2.0, abs=1e-9)


TABLES = [
    ([0.0, 10.0], [1.0, 1.0]),
    ([0.0, 1.0, 4.0, 9.0], [3.0, 1.0, 0.0, 2.0]),
    ([2.0, 5.0, 5.5], [0.0, 1.0, 0.0]),
    ([0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 0.0, 1.0]),
]


@pytest.mark.parametrize(("radius", "brightness"), TABLES)
def test_inverse_of_the_cumulative_light_is_exact(radius, brightness):
    law = TableProfile(radius, brightness)
    cumulative = np.concatenate([[0.0], np.cumsum(law.segment_light())])
    share = np.linspace(0.001, 0.999, 37)
    r = invert_cumulative(share * cumulative[-1], cumulative, law.radius, law.brightness)
    for p, x in zip(share, r, strict=True):
        knots = [k for k in radius if k < x]
        light, _ = integrate.quad(lambda q: float(law(q)) * 2 * np.pi * q, 0, x, points=knots or None, limit=200)
        assert light / law.total() == pytest.approx(p, abs=1e-9)


def test_half_of_a_uniform_disc_lies_within_its_radius_over_root_two():
    law = TableProfile([0.0, 10.0], [1.0, 1.0])
    cumulative = np.array([0.0, law.total()])
    r = invert_cumulative(np.array([0.5 * law.total()]), cumulative, law.radius, law.brightness)
    assert r[0] == pytest.approx(10.0 / np.sqrt(2.0), rel=1e-12)
