"""Kernels and classes that turn a cube into whitened modes, against plain numpy."""

import pickle

import dense_noise
import numpy as np
import pytest

from kinms import modes as module
from kinms.correlation import Correlation
from kinms.errors import InputError
from kinms.grid import Beam
from kinms.kernels import modes as kernels
from kinms.modes import DenseModes, FieldModes, MaskModes, _Field, choose_modes

BEAM = (5.0, 3.5, 25.0)


def correlation_of(beam=BEAM, floor=1e-3, channels="independent"):
    return Correlation.of_beam(Beam(*beam), 1.0, floor, channels)


def disc_mask(shape, radius):
    y, x = np.ogrid[: shape[1], : shape[2]]
    inside = np.hypot(y - shape[1] / 2, x - shape[2] / 2) < radius
    return np.broadcast_to(inside, shape).copy()


# -- kernels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ny", "nx", "ke", "ko"), [(7, 9, 3, 2), (8, 16, 4, 3), (31, 33, 5, 6), (40, 12, 2, 1)])
def test_projection_is_a_product_of_matrices(ny, nx, ke, ko):
    rng = np.random.default_rng(ny)
    cube = rng.normal(size=(5, ny, nx)).astype(np.float32)
    # Channels without signal, or with some on one side alone, take short cuts.
    cube[1], cube[2, : ny // 2 + 1], cube[3, ny // 2 - 1 :], cube[4, :, :3] = 0.0, 0.0, 0.0, 0.0
    tx = rng.normal(size=(nx, 16)).astype(np.float32)
    even, odd = (rng.normal(size=(k, n)).astype(np.float32) for k, n in ((ke, ny - ny // 2), (ko, ny // 2)))
    half = ny // 2
    ty = np.zeros((ke + ko, ny))
    ty[:ke, half:], ty[:ke, : ny - half] = even, even[:, ::-1]
    ty[ke:, ny - half :], ty[ke:, :half] = odd, -odd[:, ::-1]
    reach = np.zeros((ke + ko, 2, 2), dtype=np.int64)
    reach[:, 0, 1], reach[:, 1] = 8, (8, 16)
    reach[-1] = [[0, 0], [8, 8]]  # a row of which nothing is wanted
    out = np.zeros((5, ke + ko, 16), dtype=np.float32)
    kernels.project(cube, tx, even, odd, reach, out, 0, 3)
    kernels.project(cube, tx, even, odd, reach, out, 3, 5)
    wanted = np.einsum("ky,vyx,xj->vkj", ty, cube.astype(float), tx.astype(float))
    # Single precision: 6e-8 of the sum of as many terms as there are pixels.
    np.testing.assert_allclose(out[:, :-1], wanted[:, :-1], atol=1e-6 * ny * nx)


def test_combinations_and_their_sums():
    rng = np.random.default_rng(1)
    products, weight, data = (rng.normal(size=(3, n)).astype(np.float32) for n in (20, 11, 11))
    first, second = rng.integers(0, 20, (2, 11))
    sign = rng.choice([-1.0, 0.0, 1.0], 11).astype(np.float32)
    wanted = weight * (products[:, first] + sign * products[:, second]).astype(float)
    out, sums = np.zeros((3, 11), dtype=np.float32), np.zeros((3, 3))
    kernels.combine(products, first, second, weight, sign, out, 0, 3)
    np.testing.assert_allclose(out, wanted, atol=1e-6)
    kernels.compare(products, first, second, weight, sign, data, 0.5, sums, 0, 3)
    of_model = 0.5 * wanted
    expected = [((of_model - data) ** 2).sum(1), (of_model**2).sum(1), (of_model * data).sum(1)]
    np.testing.assert_allclose(sums, np.transpose(expected), rtol=1e-5, atol=1e-5)


def test_means_of_squares_of_pixels():
    cube = np.random.default_rng(2).normal(size=(3, 11, 8)).astype(np.float32)
    out = np.zeros((3, 3, 2), dtype=np.float32)
    kernels.thin(cube, 3, out, 0, 3)
    wanted = cube[:, :9, :6].reshape(3, 3, 3, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(out, wanted, atol=1e-6)


def test_rotation_of_channels():
    rng = np.random.default_rng(3)
    values, turn = rng.normal(size=(11, 23)).astype(np.float32), rng.normal(size=(11, 11)).astype(np.float32)
    out = np.zeros((11, 23), dtype=np.float32)
    kernels.rotate(values, turn, out)
    np.testing.assert_allclose(out, np.einsum("vn,vu->un", values, turn), atol=1e-5)


@pytest.mark.parametrize("used", [0, 1, 7, 8, 9, 25])
def test_picked_voxels_times_a_matrix(used):
    rng = np.random.default_rng(4)
    plane, where = np.zeros(60, dtype=np.float32), rng.permutation(60)[:25]
    plane[where[:used]] = rng.normal(size=used)
    matrix = rng.normal(size=(25, 13)).astype(np.float32)
    out = np.full(20, 7.0, dtype=np.float32)
    kernels.pick(plane, where, matrix, out, 4)
    np.testing.assert_allclose(out[4:17], plane[where] @ matrix, atol=1e-5)
    assert (out[:4] == 7.0).all()
    assert (out[17:] == 7.0).all()


def test_factorisations():
    rng = np.random.default_rng(5)
    root = rng.normal(size=(9, 12))
    matrix = root @ root.T
    lower = matrix.copy()
    assert kernels.cholesky(lower)
    np.testing.assert_allclose(lower, np.linalg.cholesky(matrix), atol=1e-12)
    b = rng.normal(size=(9, 3))
    solved = b.copy()
    kernels.forward(lower, solved)
    np.testing.assert_allclose(lower @ solved, b, atol=1e-12)
    assert not kernels.cholesky(matrix - 2.0 * np.linalg.eigvalsh(matrix).min() * np.eye(9))


def test_pivoted_factorisation_leaves_less_than_asked():
    table = correlation_of().table
    y, x = (index.ravel() for index in np.mgrid[:14, :13])
    rows = kernels.pivoted(table, y, x, 1e-3, 500)
    rest = dense_noise.shared(BEAM, y[:, None] - y, x[:, None] - x) - rows.T @ rows
    assert np.diag(rest).max() <= 1e-3
    assert np.linalg.eigvalsh(rest).min() > -1e-9
    assert len(rows) < 0.5 * len(y)
    assert kernels.pivoted(table, y, x, 0.0, 20).shape == (20, 182)


# -- which modes -------------------------------------------------------------------------------------------------


def test_which_modes_a_cube_gets():
    correlation = correlation_of()
    full = np.ones((3, 40, 40), dtype=bool)
    assert type(choose_modes(correlation, full)) is FieldModes
    assert type(choose_modes(correlation, full, exact=True)) is DenseModes
    assert type(choose_modes(correlation, np.ones((3, 30, 30), dtype=bool))) is MaskModes  # small
    assert type(choose_modes(correlation, disc_mask((3, 44, 44), 20.0))) is MaskModes
    few = full.copy()
    few[1, 20, 20] = few[2, 0, 0] = False
    assert type(choose_modes(correlation, few)) is FieldModes
    # A rectangle within the cube, in some of its channels.
    part = np.zeros((5, 60, 60), dtype=bool)
    part[1:4, 8:52, 5:47] = True
    chosen = choose_modes(correlation, part)
    assert type(chosen) is FieldModes
    cube = np.random.default_rng(1).normal(size=part.shape).astype(np.float32)
    same = choose_modes(correlation, np.ones((3, 44, 42), dtype=bool))
    np.testing.assert_array_equal(chosen.of(cube), same.of(cube[1:4, 8:52, 5:47].copy()))
    assert chosen.n == same.n


def test_a_mask_of_specks_is_refused():
    use = np.zeros((1, 120, 120), dtype=bool)
    use[0, ::2, ::2] = True  # beams of ten pixels: means over squares of three have each a voxel missing
    with pytest.raises(InputError, match="the mask is without a patch as wide as a third of the beam"):
        MaskModes(correlation_of((10.0, 10.0, 0.0)), use)


def test_patterns_that_repeat_share_a_basis():
    use = disc_mask((6, 24, 24), 9.0)
    use[3] = np.roll(use[3], 2, axis=1)
    use[5] = False
    found = MaskModes(correlation_of(), use)
    assert [basis for _, basis in found._channels] == [0, 0, 0, 1, 0]
    assert len(found._bases) == 2


def test_a_mask_too_wide_is_thinned_out(monkeypatch):
    monkeypatch.setattr(module, "MOST_MODES", 40)
    found = MaskModes(correlation_of(), disc_mask((2, 24, 24), 11.0))
    assert found.thinned
    assert found.n <= 80
    noise = correlation_of().draw((2, 24, 24), seed=1).astype(np.float32)
    projected = found.of(noise).astype(float)
    # Still exact for what is left.
    assert (projected**2).sum() == pytest.approx(found.n, abs=4.0 * np.sqrt(2.0 * found.n))


# -- what whitened modes are -------------------------------------------------------------------------------------

KINDS = {
    "field": (FieldModes, (8, 40, 41), BEAM),
    "field, thinned": (FieldModes, (8, 60, 61), (9.0, 9.0, 0.0)),
    "mask": (MaskModes, (8, 28, 28), BEAM),
    "mask, thinned": (MaskModes, (8, 60, 60), (9.0, 9.0, 0.0)),
    "dense": (DenseModes, (6, 16, 15), BEAM),
    "dense, masked": (DenseModes, (6, 16, 15), BEAM),
}


def made(name, channels="independent", floor=1e-3):
    kind, shape, beam = KINDS[name]
    use = np.ones(shape, dtype=bool)
    if "mask" in name:
        use = disc_mask(shape, 0.45 * shape[1])
        use[2] = np.roll(use[2], 1, axis=0)
    correlation = correlation_of(beam, floor, channels)
    modes = kind(correlation, _Field.of(use)) if kind is FieldModes else kind(correlation, use)
    return correlation, use, modes


@pytest.mark.parametrize("channels", ["independent", "hanning"])
@pytest.mark.parametrize("name", KINDS)
def test_chi_squared_of_noise_is_its_number(name, channels):
    correlation, use, modes = made(name, channels)
    assert type(modes) is KINDS[name][0]
    squares = []
    for seed in range(12):
        noise = np.where(use, correlation.draw(use.shape, seed=100 + seed), 0.0)
        squares.append(float((modes.of(noise.astype(np.float32)).astype(float) ** 2).sum()))
    scatter = np.std(squares, ddof=1)
    if isinstance(modes, FieldModes):
        # Its number is that of one more draw, of eight channels here.
        assert abs(np.mean(squares) - modes.n) < 5.0 * scatter * np.sqrt(1.0 + 1.0 / 12.0)
    else:
        # As many independent numbers: the mean of 12 is known to sqrt(2 n / 12).
        assert abs(np.mean(squares) - modes.n) < 4.0 * np.sqrt(2.0 * modes.n / 12.0)
        assert scatter < 2.0 * np.sqrt(2.0 * modes.n)


@pytest.mark.parametrize("channels", ["independent", "hanning"])
@pytest.mark.parametrize("name", ["mask", "dense", "dense, masked"])
def test_modes_of_noise_are_independent_and_of_unit_variance(name, channels):
    """Of single voxels come the rows of the matrix; with it the covariance of the modes is made whole."""
    kind = KINDS[name][0]
    use = np.zeros((2, 14, 15), dtype=bool)
    use[0, 2:12, 3:12] = use[1, 1:10, 4:14] = True
    use[1, 5, 5] = False
    if name == "dense":
        use[:] = True
    correlation = correlation_of(BEAM, 1e-2, channels)
    modes = kind(correlation, use)
    voxels = np.argwhere(use)
    cube, rows = np.zeros(use.shape, dtype=np.float32), []
    for voxel in voxels:
        cube[tuple(voxel)] = 1.0
        rows.append(modes.of(cube))
        cube[tuple(voxel)] = 0.0
    rows = np.array(rows, dtype=float)
    covariance = dense_noise.covariance(BEAM, 1e-2, tuple(voxels.T), channels)
    # Single precision; a basis takes what it leaves of the variance, a tenth of a floor, for white.
    tolerance = 0.05 if name == "mask" and channels == "independent" else 2e-3
    np.testing.assert_allclose(rows.T @ covariance @ rows, np.eye(modes.n), atol=tolerance)
    if kind is DenseModes:
        np.testing.assert_allclose(rows @ rows.T, np.linalg.inv(covariance), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("channels", ["independent", "hanning"])
@pytest.mark.parametrize("name", KINDS)
def test_modes_are_linear(name, channels):
    correlation, use, modes = made(name, channels)
    a, b = (np.where(use, correlation.draw(use.shape, seed=s), 0.0).astype(np.float32) for s in (1, 2))
    of_a, of_b = modes.of(a).astype(float), modes.of(b).astype(float)
    # Single precision.
    np.testing.assert_allclose(modes.of(2.0 * a - 0.5 * b), 2.0 * of_a - 0.5 * of_b, atol=1e-4 * np.abs(of_a).max())
    distance, square, product = modes.compare(a, modes.of(b), 0.5)
    assert distance == pytest.approx(float(((0.5 * of_a - of_b) ** 2).sum()), rel=1e-5)
    assert square == pytest.approx(float((0.25 * of_a**2).sum()), rel=1e-5)
    assert product == pytest.approx(float((0.5 * of_a * of_b).sum()), rel=1e-4, abs=1e-5 * square)


@pytest.mark.parametrize("channels", ["independent", "hanning"])
@pytest.mark.parametrize("name", KINDS)
def test_pickling_changes_no_bit(name, channels):
    correlation, use, modes = made(name, channels)
    cube = correlation.draw(use.shape, seed=1).astype(np.float32)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(modes)).of(cube), modes.of(cube))


def test_thinned_correlation_is_that_of_means():
    """Of means over squares of three pixels of white noise convolved with a beam, from the definition."""
    correlation = correlation_of((8.5, 6.0, 30.0), 1e-2)
    thinned, scale = module._thinned(correlation, 3)
    y, x = (index.ravel() for index in np.mgrid[:9, :9])
    covariance = dense_noise.covariance((8.5, 6.0, 30.0), 1e-2, (0 * y, y, x))
    mean = np.array([(y // 3 == i) & (x // 3 == j) for i in range(3) for j in range(3)]) / 9.0
    wanted = mean @ covariance @ mean.T
    v, u = np.divmod(np.arange(9), 3)
    found = (1.0 - thinned.floor) * thinned.matrix(v, u) + thinned.floor * np.eye(9)
    np.testing.assert_allclose(found / scale**2, wanted, atol=1e-9)
    assert module._thinned(correlation, 1) == (correlation, 1.0)


@pytest.mark.parametrize("floor", [1e-2, 1e-3])
def test_gaps_are_filled_by_the_best_prediction(floor):
    correlation = correlation_of(BEAM, floor)
    use = np.ones((3, 40, 40), dtype=bool)
    for v, y, x in ((1, 20, 20), (1, 20, 21), (2, 0, 0), (2, 39, 17)):
        use[v, y, x] = False
    modes = FieldModes(correlation, _Field.of(use))
    cube = correlation.draw(use.shape, seed=3).astype(np.float32)
    before = cube.copy()
    filled = modes._cut(cube)
    np.testing.assert_array_equal(cube, before)
    np.testing.assert_array_equal(filled[use], cube[use])
    y, x = (index.ravel() for index in np.mgrid[18:23, 19:24])
    near = ~((y == 20) & ((x == 20) | (x == 21)))
    covariance = dense_noise.covariance(BEAM, floor, (0 * y, y, x))
    weights = np.linalg.solve(covariance[np.ix_(near, near)], covariance[near][:, (y == 20) & (x == 21)][:, 0])
    assert filled[1, 20, 21] == pytest.approx(weights @ cube[1, y[near], x[near]], abs=1e-4)
    cube[~use] = 1e3
    np.testing.assert_array_equal(modes.of(cube), modes.of(before))


def test_dense_matrices_have_a_limit():
    with pytest.raises(InputError, match="exact is True for 14400 voxels in one matrix; expected at most 12000"):
        DenseModes(correlation_of(), np.ones((2, 120, 120), dtype=bool))
    use = disc_mask((2, 130, 130), 62.0)
    with pytest.raises(InputError, match="exact is True for"):
        DenseModes(correlation_of(), use)
    many = disc_mask((20, 40, 40), 18.0)
    with pytest.raises(InputError, match="exact is True for"):
        DenseModes(correlation_of(channels="hanning"), many)
