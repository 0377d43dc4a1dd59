import threading

import numpy as np
import pytest
from scipy import signal

from kinms.convolution import smoother
from kinms.grid import Beam
from kinms.sparse import SparseCube


def convolved(cube, beam, method="auto"):
    smooth = smoother(*cube.shape, beam, 1.0, method)
    sparse = SparseCube(*smooth.shape)
    for channel, y, x in np.argwhere(cube):
        row, column = y + sparse.margin, x + sparse.pad
        sparse.data[channel // 8, row, column, channel % 8] = cube[channel, y, x]
        edge = sparse.hull[channel // 8, row]
        edge[:] = min(edge[0], column), max(edge[1], column + 1)
    return smooth.dense(sparse)[0]


def direct(cube, beam):
    kernel = beam.kernel(1.0)
    ry, rx = kernel.shape[0] // 2, kernel.shape[1] // 2
    ny, nx = cube.shape[1:]
    full = [signal.convolve2d(channel, kernel)[ry : ry + ny, rx : rx + nx] for channel in cube]
    return np.array(full) * beam.pixels(1.0)


@pytest.mark.parametrize(("ny", "nx"), [(32, 32), (31, 45), (7, 9)])
@pytest.mark.parametrize("beam", [Beam(4.0), Beam(8.0, 4.0, 20.0), Beam(8.0, 4.0, 110.0)], ids=str)
def test_it_is_the_direct_sum_with_nothing_outside(ny, nx, beam):
    cube = np.random.default_rng(1).normal(size=(3, ny, nx))
    want = direct(cube, beam)
    np.testing.assert_allclose(convolved(cube, beam), want, atol=1e-5 * np.abs(want).max())


def test_channels_of_negative_flux_are_convolved_too_and_empty_ones_stay_exactly_zero():
    cube = np.zeros((3, 16, 16))
    cube[1, 8, 8] = -2.0
    got = convolved(cube, Beam(4.0))
    assert got[1].sum() / Beam(4.0).pixels(1.0) == pytest.approx(-2.0, rel=1e-3)
    assert not got[0].any()
    assert not got[2].any()


def test_the_same_bits_from_any_thread():
    cube = np.random.default_rng(2).normal(size=(4, 40, 40))
    here = convolved(cube, Beam(5.0))
    results = []
    threads = [threading.Thread(target=lambda: results.append(convolved(cube, Beam(5.0)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.tobytes() for r in results] == [here.tobytes()] * 3
