import threading

import numpy as np
import pytest
from scipy import signal

from kinms.convolution import convolve
from kinms.grid import Beam


@pytest.mark.parametrize(("ny", "nx"), [(32, 32), (31, 45), (7, 9)])
@pytest.mark.parametrize("beam", [Beam(4.0), Beam(8.0, 4.0, 20.0), Beam(8.0, 4.0, 110.0)], ids=str)
def test_it_is_the_direct_sum_with_nothing_outside(ny, nx, beam):
    rng = np.random.default_rng(1)
    spectra = rng.normal(size=(ny, nx, 3))
    got = convolve(spectra, beam, 1.0)
    for k in range(3):
        full = signal.convolve2d(spectra[:, :, k], beam.kernel(1.0))
        ry, rx = beam.kernel(1.0).shape[0] // 2, beam.kernel(1.0).shape[1] // 2
        np.testing.assert_allclose(got[k], full[ry : ry + ny, rx : rx + nx], atol=1e-13)


def test_channels_of_negative_flux_are_convolved_too_and_empty_ones_stay_exactly_zero():
    spectra = np.zeros((16, 16, 3))
    spectra[8, 8, 1] = -2.0
    got = convolve(spectra, Beam(4.0), 1.0)
    assert got[1].sum() == pytest.approx(-2.0, rel=1e-3)  # the beam reaches past the edge of 16 pixels
    assert got[1].min() == pytest.approx(-2.0 * Beam(4.0).kernel(1.0).max(), rel=1e-12)
    assert not got[0].any()
    assert not got[2].any()


def test_the_same_bits_from_any_thread():
    spectra = np.random.default_rng(2).normal(size=(40, 40, 4))
    here = convolve(spectra, Beam(5.0), 1.0)
    results = []
    threads = [threading.Thread(target=lambda: results.append(convolve(spectra, Beam(5.0), 1.0))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.tobytes() for r in results] == [here.tobytes()] * 3
