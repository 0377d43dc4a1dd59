"""The hot loops against closed forms: lines shared among channels, points among pixels, radii from light."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from kinms.compilation import kernel
from kinms.grid import CubeGrid
from kinms.kernels import line as lines
from kinms.kernels.line import CUT, LANES, NORMAL, PHASES, lanes_for, line_rows, line_table
from kinms.kernels.points import invert_cumulative, scatter
from kinms.points import COPIES, ROWS, RingPoints, _chunk, _net
from kinms.profiles import TableProfile
from kinms.radial import Channels
from kinms.sparse import SparseCube

# Parts of kernels, and what is made from one.
add_line, add_line_between, channel_at, response_at = (
    kernel(cache=False)(f.py_func)
    for f in (lines.add_line, lines.add_line_between, lines.channel_at, lines.response_at)
)


@kernel(cache=False)
def add_lines(cube, at, table, step, lanes, channel, row, first, a, b, start, stop):
    lines.add_lines(cube, at, table, step, lanes, channel, row, first, a, b, start, stop)


#: float32 rounds each number to 6e-8 of itself.
SINGLE = 6e-8
#: Channels that are equally wide, and no table of a line.
REGULAR = tuple(Channels.of(CubeGrid((4, 8, 8), 1.0, 2.0)))
NO_TABLE = (np.zeros(0, np.float32), LANES, 0, np.zeros(0, np.int32), 0, PHASES)


def cdf(x):
    return 0.5 * special.erfc(-np.asarray(x, dtype=float) / np.sqrt(2.0))


def parts(u, sigma, nv):
    """What channels [k, k + 1] hold of a Gaussian line."""
    return np.diff(cdf((np.arange(nv + 1) - u) / sigma))


# -- one line by differences of its distribution function -------------------------------------------------------


def line(u, sigma, a=0.0, b=0.0, nv=12, weight=1.0):
    """One line in the second of three pixels; the others must stay empty."""
    blocks = -(-nv // LANES)
    cube = np.zeros((blocks, 3, LANES), np.float32)
    first, last = add_line(cube.reshape(-1), LANES, 3 * LANES, nv, u, sigma, a, b, weight, NORMAL)
    assert not cube[:, [0, 2]].any()
    spectrum = cube[:, 1].reshape(-1)
    assert not spectrum[nv:].any()
    held = np.flatnonzero(spectrum)
    if held.size:
        assert 0 <= first <= held[0]
        assert held[-1] <= last < nv
    return spectrum[:nv].astype(float)


@settings(max_examples=200)
@given(st.floats(-30.0, 40.0), st.floats(1e-3, 20.0), st.sampled_from([1, 7, 8, 9, 12]))
@example(0.0, 1e-3, 12)
@example(12.0, 1.0, 12)
@example(-5.6, 1.0, 12)
def test_gaussian_line_is_integrated_over_the_channel(u, sigma, nv):
    # The table is good to 3e-9 and cut at 5.6 sigma, which leaves 1e-8; the result is rounded to single precision.
    np.testing.assert_allclose(line(u, sigma, nv=nv), parts(u, sigma, nv), atol=3e-8 + SINGLE)


# -- channels with edges of their own ----------------------------------------------------------------------------


def own_channels(widths, lsf=None):
    """What the kernels need, and the edges in mean channels from the first."""
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    grid = CubeGrid((len(widths), 4, 4), 1.0, 1.0, edges=300.0 + 7.0 * edges, lsf_sigma=lsf)
    return tuple(Channels.of(grid)), edges * len(widths) / edges[-1]


widths_of_channels = st.lists(
    st.one_of(st.floats(0.05, 3.0), st.just(1.0), st.floats(0.003, 0.01)), min_size=1, max_size=20
)


@given(widths_of_channels, st.floats(-3.0, 25.0))
@example([1.0, 2.0, 1.0], 3.0)
def test_each_velocity_has_its_channel(widths, u):
    (held, places, _, _), edges = own_channels(widths)
    nv = len(widths)
    found = channel_at(u, held, places)
    want = np.searchsorted(edges, u, side="right") - 1 if 0.0 <= u < nv else int(np.floor(u))
    # On an edge, rounding decides.
    assert found == want or np.abs(edges - u).min() < 1e-9
    for k in range(nv):
        assert channel_at(0.5 * (held[k] + held[k + 1]), held, places) == k


@settings(max_examples=150)
@given(widths_of_channels, st.floats(-8.0, 28.0), st.floats(1e-3, 8.0))
def test_a_line_is_integrated_between_the_edges(widths, u, sigma):
    (held, places, gains, _), edges = own_channels(widths)
    nv = len(widths)
    cube = np.zeros((-(-nv // LANES), LANES), np.float32)
    add_line_between(cube.reshape(-1), 0, LANES, u, sigma, 0.0, 0.0, 1.0, NORMAL, held, places, gains)
    spectrum = cube.reshape(-1).astype(float)
    assert not spectrum[nv:].any()
    # A mean over the channel: errors of the part that falls in it, as for regular channels, over its width.
    want = np.diff(cdf((edges - u) / sigma)) / np.diff(edges)
    error = (3e-8 + SINGLE) / np.diff(edges) + 1e-9 / sigma / np.diff(edges)
    np.testing.assert_array_less(np.abs(spectrum[:nv] - want), error + 1e-12)


def test_a_sharp_line_between_the_edges_lies_in_one_channel_and_a_box_in_several():
    (held, places, gains, _), edges = own_channels([1.0, 2.0, 0.5, 0.5])
    for s, a, b in ((0.0, 0.0, 0.0), (0.0, 1.5, 0.7)):
        for u in np.linspace(-1.0, 5.0, 61):
            cube = np.zeros(LANES, np.float32)
            add_line_between(cube, 0, LANES, u + 1e-7, s, a, b, 1.0, NORMAL, held, places, gains)
            # Midpoints of the two boxes, one after the other.
            t = (np.arange(400) + 0.5) / 400 - 0.5
            v = (u + 1e-7 + a * t[:, None] + b * t).ravel()
            want = np.histogram(v, edges)[0] / v.size / np.diff(edges)
            np.testing.assert_allclose(cube[:4], want, atol=0.01 if a else 1e-6)


@pytest.mark.parametrize("lsf", [None, "varying"])
@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.3])
@pytest.mark.parametrize("span", [(2.0, 9.0), (-np.inf, np.inf), (40.0, 50.0), (-60.0, -50.0), (5.25, 5.25)])
def test_table_of_places_holds_every_line(span, sigma, lsf):
    widths = np.random.default_rng(4).uniform(1.0, 2.5, 13)
    lsf = None if lsf is None else np.linspace(3.0, 9.0, 13)
    own, edges = own_channels(widths, lsf)
    table, lanes, bases, first_cell, phases = line_rows(*span, sigma, own, NORMAL)
    table = table.reshape(-1, lanes + 2 * LANES)
    assert not table[:, :LANES].any()
    assert not table[:, LANES + lanes :].any()
    for cell in range(bases.size):
        for p in (0, phases // 3, phases):
            centre = first_cell + cell + p / phases
            s = sigma if lsf is None else np.hypot(sigma, response_at(centre, own[0], own[1], own[3]))
            want = np.diff(cdf((edges - centre) / s)) / np.diff(edges)
            row = np.zeros(13)
            for lane in range(lanes):
                if 0 <= bases[cell] + lane < 13:
                    row[bases[cell] + lane] = table[cell * (phases + 1) + p, LANES + lane]
                else:
                    assert table[cell * (phases + 1) + p, LANES + lane] == 0.0
            # The cut at CUT sigma on either side, over the width of the narrowest channel.
            np.testing.assert_allclose(row, want, atol=(3.0 * cdf(-CUT) + SINGLE) / np.diff(edges).min())


def test_response_is_linear_between_the_middles_of_channels():
    lsf = np.array([3.0, 5.0, 4.0, 9.0])
    (held, places, _, response), edges = own_channels([1.0, 2.0, 0.5, 0.5], lsf)
    dv = 7.0 * 4.0 / 4.0
    middles = 0.5 * (edges[1:] + edges[:-1])
    for u in np.linspace(-2.0, 6.0, 83):
        assert response_at(u, held, places, response) == pytest.approx(np.interp(u, middles, lsf) / dv, rel=1e-12)


# -- lines of no width -------------------------------------------------------------------------------------------


def test_zero_width_puts_all_in_one_channel():
    np.testing.assert_array_equal(line(3.0, 0.0), np.eye(12)[3])
    np.testing.assert_array_equal(line(3.999, 0.0), np.eye(12)[3])
    np.testing.assert_array_equal(line(0.0, 0.0), np.eye(12)[0])
    np.testing.assert_array_equal(line(np.nextafter(12.0, 0.0), 0.0), np.eye(12)[11])
    assert not line(-0.1, 0.0).any()
    assert not line(12.0, 0.0).any()


@pytest.mark.parametrize("sigma", [0.0, 1e-7, 0.05, 0.7, 4.0])
@pytest.mark.parametrize("a", [1e-7, 0.02, 0.4, 3.0, 30.0])
def test_line_spread_over_one_box_is_a_difference_of_integrals(sigma, a):
    # The integral of the distribution function of N(0, s) up to x is x Phi(x/s) + s phi(x/s) (a ramp for s = 0).
    def ramp(x):
        if sigma == 0.0:
            return np.maximum(x, 0.0)
        return x * cdf(x / sigma) + sigma * stats.norm.pdf(x / sigma)

    edges = np.arange(13.0)
    for u in (0.3, 6.1, 11.7, 14.0):
        want = np.diff((ramp(edges - u + 0.5 * a) - ramp(edges - u - 0.5 * a)) / a)
        # Narrow boxes enter by their variance: good to 1e-5 (the kernel's own statement). Else the table's 3e-9, times
        # the widths that it is divided by. A width below 1e-6 is none: no edge is that close to a line here, so that
        # only the difference above loses digits, 1e-16 over 1e-7 of them.
        tolerance = 1e-5 if a < 0.3 * sigma else 2e-7
        np.testing.assert_allclose(line(u, sigma, a), want, atol=tolerance + SINGLE, err_msg=str(u))


def line_by_midpoints(u, sigma, a, b, n=400):
    """Brute force: n x n midpoints inside the boxes, each a Gaussian, or a point."""
    t = (np.arange(n) + 0.5) / n - 0.5
    centre = (u + a * t[:, None] + b * t[None, :]).ravel()
    edges = np.arange(13.0)[:, None]
    below = cdf((edges - centre) / sigma) if sigma > 0 else (centre < edges)
    return np.diff(below.mean(axis=1))


@settings(max_examples=50)
@given(
    st.floats(2.0, 10.0),
    st.one_of(st.just(0.0), st.floats(0.01, 1.0)),
    st.floats(0.01, 4.0),
    st.floats(0.0, 1.0),
)
def test_line_spread_over_two_boxes(u, sigma, a, ratio):
    # Midpoints of a step are good to 1/400 of the narrower box's share, of a Gaussian of 0.05 to (a/400/sigma)^2 / 24.
    tolerance = 4e-3 if sigma < 0.05 else 2e-4
    got = line(u, sigma, a, a * ratio)
    np.testing.assert_allclose(got, line_by_midpoints(u, sigma, a, a * ratio), atol=tolerance)
    np.testing.assert_array_equal(line(u, sigma, a * ratio, a), got)


@pytest.mark.parametrize(
    ("below", "above"),
    [((1.0, 0.2999, 0.2), (1.0, 0.3001, 0.2)), ((0.0, 0.5, 4.9e-4), (0.0, 0.5, 5.1e-4)), ((0.0, 9e-7), (0.0, 2e-6))],
)
def test_widths_cross_smoothly_from_one_formula_to_the_next(below, above):
    # A box of 0.3 sigma is its variance to 1e-5; one of 1e-3 of the other is none to (1e-3 / 2)^2 / 6.
    np.testing.assert_allclose(line(5.3, *below), line(5.3, *above), atol=2e-5)


@settings(max_examples=100)
@given(st.floats(-20.0, 40.0), st.floats(0.0, 3.0), st.floats(0.0, 5.0))
def test_flux_is_conserved_and_sign_kept(u, sigma, a):
    spectrum = line(u + 60, sigma, a, a / 2, nv=200, weight=-2.0)
    # A hundred single-precision numbers.
    assert spectrum.sum() == pytest.approx(-2.0, abs=1e-6)
    # Differences of parabolas: four times 3e-9 of the table, times (5.6 sigma)^2 / 2, over a product of widths of at
    # least 0.3 x 0.15 sigma^2 (narrower boxes are a variance); times the weight.
    assert spectrum.max() <= 2.0 * 4.0 * 3e-9 * 16.0 / 0.045


# -- tabulated lines ---------------------------------------------------------------------------------------------


def table_of(sigma):
    lanes = lanes_for(sigma)
    table = np.zeros((PHASES + 1, lanes + 2 * LANES), np.float32)
    line_table(table, sigma, NORMAL)
    return table, lanes


@pytest.mark.parametrize("sigma", [0.25, 0.3, 0.5, 1.0, 2.2, 7.0])
def test_line_table_holds_differences_of_the_distribution_function(sigma):
    table, lanes = table_of(sigma)
    assert lanes % LANES == 0
    assert not table[:, :LANES].any()
    assert not table[:, -LANES:].any()
    # Up to 192 single-precision numbers with unit sum.
    np.testing.assert_allclose(table.sum(axis=1, dtype=float), 1.0, atol=2e-7)
    cut = cdf(-CUT)  # 2e-6 on either side goes, and what is left is brought back to unit sum
    for p in range(PHASES + 1):
        want = parts(lanes // 2 - 0.5 + p / PHASES, sigma, lanes)
        np.testing.assert_allclose(table[p, LANES:-LANES], want, atol=2.0 * cut + SINGLE)
    # The last row is the first one, a channel further: a line that drifts across an edge never jumps.
    np.testing.assert_array_equal(table[PHASES, 1:], table[0, :-1])


def tabulated(lines, sigma, nv):
    """Lines (u, weight) added to one pixel with `nv` channels through the table, block by block."""
    table, lanes = table_of(sigma)
    u, weight = np.array(lines, dtype=float).T
    whole = np.floor(u - 0.5).astype(int)
    phase = (u - 0.5 - whole) * PHASES
    p = np.floor(phase).astype(int)
    row = (p * (lanes + 2 * LANES) + LANES).astype(np.int32)
    first = (whole - (lanes // 2 - 1)).astype(np.int32)
    b = (weight * (phase - p)).astype(np.float32)
    a = (weight * (1.0 - (phase - p))).astype(np.float32)
    cube = np.zeros(LANES * (-(-nv // LANES) + 2), np.float32)
    for block in range(-(-nv // LANES)):
        at = (block + 1) * LANES
        step = lanes + 2 * LANES
        add_lines(cube, at, table.reshape(-1), step, lanes, block * LANES, row, first, a, b, 0, u.size)
    assert not cube[:LANES].any()
    assert not cube[-LANES:].any()
    return cube[LANES:-LANES].astype(float)


@settings(max_examples=60)
@given(
    st.sampled_from([0.25, 0.3, 0.6, 1.0, 3.0]),
    st.lists(st.tuples(st.floats(-40.0, 60.0), st.floats(-1.0, 1.0)), min_size=1, max_size=9),
    st.sampled_from([1, 8, 13, 24]),
)
@example(0.3, [(0.0, 1.0), (13.0, 1.0), (-0.5, 1.0), (13.5, -1.0)], 13)
@example(1.0, [(0.5, 1.0), (1.0 / 256, 1.0), (-1.0 / 256, 1.0)], 8)
def test_tabulated_lines_are_integrated_over_the_channel(sigma, lines, nv):
    whole = LANES * -(-nv // LANES)
    want = sum(w * parts(u, sigma, whole) for u, w in lines)
    # Between two phases the table errs by (1/128)^2 / 8 of the second derivative of the difference of two normal
    # distribution functions, which is at most 2 x 0.242 / sigma^2; and by the cut at 4.6 sigma.
    error = 2.0 * 0.242 / sigma**2 / PHASES**2 / 8.0 + 2.0 * cdf(-CUT)
    np.testing.assert_allclose(tabulated(lines, sigma, nv), want, atol=len(lines) * (error + 2 * SINGLE))


def test_tabulated_line_keeps_its_mean_and_its_flux():
    sigma, nv = 1.3, 32
    k = np.arange(nv) + 0.5
    for u in np.linspace(14.0, 16.0, 33):
        spectrum = tabulated([(u, 1.0)], sigma, nv)
        assert spectrum.sum() == pytest.approx(1.0, abs=3e-7)
        # Rows at p/128 and (p + 1)/128 have their means there, and so has the mixture; the cut is symmetric to 2e-6
        # of the light, 6 channels away.
        assert (spectrum * k).sum() == pytest.approx(u, abs=2.0 * cdf(-CUT) * 7.0 + 16 * SINGLE * 10)


# -- points ------------------------------------------------------------------------------------------------------


def test_points_are_a_net():
    m = 8
    n = 2**m
    x, y = _net(0, n)
    third = np.arange(n) / n
    # (0, m, 2) in the first two coordinates and, with n's own share as a third one, (0, m, 3): every box of 2^-i x 2^-j
    # x 2^-k with i + j + k = m holds one point.
    for i in range(m + 1):
        for j in range(m + 1 - i):
            k = m - i - j
            cells = set(zip((x * 2**i).astype(int), (y * 2**j).astype(int), (third * 2**k).astype(int), strict=True))
            assert len(cells) == n, (i, j, k)


def test_any_stretch_of_the_net_is_the_same_whoever_asks_for_it():
    x, y = _net(0, 1024)
    for first, stop in ((0, 1), (1, 2), (500, 777), (1000, 1024)):
        some = _net(first, stop)
        np.testing.assert_array_equal(some[0], x[first:stop])
        np.testing.assert_array_equal(some[1], y[first:stop])


@pytest.mark.parametrize("copy", range(COPIES))
def test_points_spread_evenly_over_azimuth_and_height(copy):
    n = 4096
    s, c, d, z = _chunk(copy, n, 0, n)
    np.testing.assert_allclose(c**2 + d**2, 1.0, atol=1e-14)
    # A net with one point in each of 64 slices errs by less than a slice, and the symmetric ones by far less.
    assert abs(c.mean()) < 1.0 / 64
    assert abs(d.mean()) < 1.0 / 64
    # Quantiles of exp(-|z|) / 2: zero mean, E|z| = 1.
    assert z.mean() == pytest.approx(0.0, abs=0.02)
    assert np.abs(z).mean() == pytest.approx(1.0, abs=0.02)
    share = np.sort(np.where(z < 0, 0.5 * np.exp(-np.abs(z)), 1.0 - 0.5 * np.exp(-np.abs(z))))
    np.testing.assert_allclose(share, (np.arange(n) + 0.5) / n, atol=1.0 / n)
    # Rows of the table: u = t^2 (3 - 2 t).
    t = s / (ROWS - 1)
    assert np.all(np.diff(s) > 0)
    np.testing.assert_allclose(np.diff(t**2 * (3 - 2 * t)), 1.0 / n, rtol=2e-3)


def scattered(x, y, u, width, nv=5, ny=7, nx=6, sigma=None, weight=None, margin=2):
    cube = SparseCube(nv, ny, nx, margin, margin)
    n = np.size(x)
    x, y, u = (np.broadcast_to(np.asarray(v, dtype=float), n).copy() for v in (x, y, u))
    sigma = np.full(n, 0.0) if sigma is None else np.full(n, sigma)
    weight = np.ones(n) if weight is None else np.asarray(weight, dtype=float)
    scatter(
        cube.flat, cube.hull, cube.shape, *cube.field, nv, x, y, u, sigma, weight, width,
        *NO_TABLE, NORMAL, REGULAR,
    )  # fmt: skip
    # Nothing lies outside of the hull.
    for block, row in np.ndindex(*cube.shape[:2]):
        low, high = cube.hull[block, row]
        assert not cube.data[block, row, : max(low, 0)].any()
        assert not cube.data[block, row, max(high, 0) :].any()
    return cube


@settings(max_examples=80)
@given(st.floats(0.6, 4.4), st.floats(0.6, 5.4), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_soft_edges_conserve_the_flux_and_wide_ones_the_centroid(x, y, width):
    cube = scattered([x], [y], 2.5, width)
    image = cube.channels()[2].astype(float)
    assert image.sum() == pytest.approx(1.0, abs=5 * SINGLE)
    rows, columns = np.mgrid[:7, :6]
    mean_x, mean_y = (image * columns).sum(), (image * rows).sum()
    if width == 2.0:
        # The triangular-shaped cloud has the point's own centroid.
        assert mean_x == pytest.approx(x, abs=1e-5)
        assert mean_y == pytest.approx(y, abs=1e-5)
    else:
        assert abs(mean_x - x) <= 0.5 * (1.0 - 0.5 * width) + 1e-6
        assert abs(mean_y - y) <= 0.5 * (1.0 - 0.5 * width) + 1e-6
    if width == 0.0 and (x + 0.5) % 1.0 != 0.0 and (y + 0.5) % 1.0 != 0.0:
        assert image[int(np.floor(y + 0.5)), int(np.floor(x + 0.5))] == 1.0


@pytest.mark.parametrize("width", [0.5, 2.0])
def test_soft_edges_are_the_share_of_a_hat(width):
    # A hat-shaped spot `width` wide, integrated over the pixels.
    for x in np.linspace(2.0, 3.0, 21):
        image = scattered([x], [3.0], 0.5, width).channels()[0]
        edges = (np.arange(7) - 0.5 - x) / (0.5 * width)
        hat = np.where(edges < 0, 0.5 * (1 + np.clip(edges, -1, 0)) ** 2, 1 - 0.5 * (1 - np.clip(edges, 0, 1)) ** 2)
        np.testing.assert_allclose(image.sum(axis=0), np.diff(hat), atol=3 * SINGLE)


def test_points_outside_of_the_field_are_left_out_and_those_on_its_border_are_not():
    inside = scattered([-0.49, 5.49, 2.0, 2.0], [3.0, 3.0, -0.49, 6.49], 0.5, 0.0)
    assert inside.channels().sum() == 4.0
    outside = scattered([-0.51, 5.5, 2.0, 2.0, 1e9, -1e9, 2.0], [3.0, 3.0, -0.51, 6.5, 3.0, 3.0, 1e9], 0.5, 0.0)
    assert not outside.data.any()
    assert scattered([2.0, 2.0], [2.0, 2.0], [-0.01, 5.0], 0.5).data.sum() == 0.0


@pytest.mark.parametrize(("x", "y"), [(-0.5, 3.0), (5.5, 3.0)])
def test_a_point_on_the_very_border_lights_nothing_at_the_other_end(x, y):
    # Without margins, as for points that go to the nearest pixel.
    cube = scattered([x], [y], 0.5, 0.0, margin=0)
    image = cube.channels()[0]
    image[3, 0 if x < 0 else 5] = 0.0
    assert not image.any()
    assert cube.hull[..., 0].min() >= 0


def test_signs_of_points_add_up():
    cube = scattered([2.0, 2.0, 4.0], [2.0, 2.0, 1.0], [1.5, 1.5, 3.2], 0.0, weight=[1.0, -3.0, 0.0])
    assert cube.channels()[1, 2, 2] == -2.0
    assert np.count_nonzero(cube.data) == 1


@pytest.mark.parametrize("width", [0.0, 0.5, 2.0])
def test_scatter_of_tabulated_lines_is_that_of_exact_ones(width):
    rng = np.random.default_rng(5)
    n, nv, sigma = 300, 13, 0.8
    x, y, u, w = rng.uniform(-2, 8, n), rng.uniform(-2, 9, n), rng.uniform(-9, 22, n), rng.normal(size=n)
    exact = scattered(x, y, u, width, nv=nv, sigma=sigma, weight=w)
    table, lanes = table_of(sigma)
    cube = SparseCube(nv, 7, 6, 2, 2)
    reach = int(np.ceil(CUT * sigma + 0.5))
    scatter(
        cube.flat, cube.hull, cube.shape, *cube.field, nv, x, y, u, np.full(n, sigma), w, width,
        table.reshape(-1), lanes, reach, *NO_TABLE[3:], NORMAL, REGULAR,
    )  # fmt: skip
    # The error of the table for each of the few points that share a pixel.
    error = 2.0 * 0.242 / sigma**2 / PHASES**2 / 8.0 + 2.0 * cdf(-CUT) + SINGLE
    count = scattered(x, y, 0.5, width, sigma=0.0, weight=np.abs(w)).channels().sum(axis=0).max()
    np.testing.assert_allclose(cube.channels(), exact.channels(), atol=error * count)


def test_weights_of_ring_points_follow_the_light():
    # The radial table of points: what lies between two of its rows is the light between their radii.
    from kinms.disc import Disc
    from kinms.grid import CubeGrid
    from kinms.profiles import FlatCurve

    law = TableProfile([1.0, 3.0, 6.0], [2.0, 0.5, 1.0])
    disc = Disc(surface_brightness=law, rotation=FlatCurve(1.0), inc=10, pa=0, flux=3.0)
    r, flux = RingPoints(CubeGrid((4, 8, 8), 1.0, 2.0), 64, 0.0)._radii(disc)
    t = np.linspace(0.0, 1.0, r.size)
    np.testing.assert_allclose(law.within(r) / law.total(), t**2 * (3 - 2 * t), atol=1e-11)
    np.testing.assert_allclose(flux, 3.0 / 2.0, rtol=1e-12)


# -- radii from light --------------------------------------------------------------------------------------------

TABLES = [
    ([0.0, 10.0], [1.0, 1.0]),
    ([0.0, 1.0, 4.0, 9.0], [3.0, 1.0, 0.0, 2.0]),
    ([2.0, 5.0, 5.5], [0.0, 1.0, 0.0]),
    ([0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 0.0, 1.0]),
    ([0.0, 1e-6, 1.0, 1.0 + 1e-9, 30.0], [1e6, 1.0, 1.0, 0.0, 1e-3]),
]


@pytest.mark.parametrize(("radius", "brightness"), TABLES)
def test_inverse_of_the_cumulative_light_is_exact(radius, brightness):
    law = TableProfile(radius, brightness)
    cumulative = np.concatenate([[0.0], np.cumsum(law.segment_light())])
    share = np.concatenate([[0.0, 1e-9], np.linspace(0.001, 0.999, 37), [1.0 - 1e-9, 1.0]])
    r = invert_cumulative(share * cumulative[-1], cumulative, law.radius, law.brightness)
    assert np.all(np.diff(r) >= 0)
    assert law.radius[0] <= r[0]
    assert r[-1] <= law.radius[-1]
    for p, x in zip(share, r, strict=True):
        knots = [k for k in radius if 0 < k < x]
        light, _ = integrate.quad(lambda q: float(law(q)) * 2 * np.pi * q, 0, x, points=knots or None, limit=200)
        # Newton's steps end at 1e-12 of a segment; quad itself is good to 1e-8 of each.
        assert light / law.total() == pytest.approx(p, abs=2e-8)


def test_half_of_a_uniform_disc_lies_within_its_radius_over_root_two():
    law = TableProfile([0.0, 10.0], [1.0, 1.0])
    cumulative = np.array([0.0, law.total()])
    r = invert_cumulative(np.array([0.5 * law.total()]), cumulative, law.radius, law.brightness)
    assert r[0] == pytest.approx(10.0 / np.sqrt(2.0), rel=1e-12)
