"""Whole models under beams that are no single Gaussian."""

import numpy as np
import pytest
from scipy import signal

import kinms as km
from kinms.derivatives import jacobian

GRID = km.CubeGrid((12, 41, 48), 1.0, 20.0)
DISC = km.Disc(
    surface_brightness=km.ExponentialDisc(3.0),
    rotation=km.ArctanCurve(90.0, 2.0),
    inc=50.0,
    pa=20.0,
    sigma_gas=12.0,
    flux=7.0,
)
BEAMS = km.ChannelBeams([km.Beam(4.0 + 0.15 * k, 3.0 + 0.1 * k, 20.0 + 3.0 * k) for k in range(12)])
DOUBLE = km.DoubleGaussian(km.Beam(3.0), km.Beam(7.0, 6.0, 20.0), 0.3)


def image():
    y, x = np.mgrid[-20:21, -20:21] * 0.5
    return np.exp(-(x**2 + y**2) / 4.0) + 0.1 * np.exp(-((x - 2.0) ** 2 + (y + 1.0) ** 2) / 10.0)


@pytest.mark.parametrize("disc", [DISC, DISC.replace(inc=88.0)], ids=["sky grid", "points"])
def test_with_a_beam_per_channel_each_channel_is_that_of_its_beam_alone(disc):
    cube = km.simulate(disc, GRID, BEAMS)
    assert cube.beam == BEAMS
    sampling = km.Sampling(points=cube.stats.n_samples) if cube.stats.evaluator == "points" else None
    for v in (0, 5, 11):
        alone = km.simulate(disc, GRID, BEAMS.beams[v], sampling)
        # Nodes differ where the accuracy of the estimate does: both are asked for 1e-3.
        error = 2e-3 * np.sqrt((alone.data**2).mean())
        assert np.sqrt(((cube.data[v] - alone.data[v]) ** 2).mean()) < error
    # Each channel in Jy per its own beam: their spectrum, in Jy, knows nothing of the beams.
    sky = km.simulate(disc, GRID)
    inner = np.abs(cube.grid.velocities) < 200.0
    np.testing.assert_allclose(cube.spectrum()[inner], sky.spectrum()[inner], atol=0.02 * sky.spectrum().max())


def test_nothing_but_the_beam_is_in_the_difference_from_the_typical_one():
    many, one = (km.simulate(DISC, GRID, beam) for beam in (BEAMS, BEAMS.typical))
    difference = [np.abs(a - b).max() / b.max() for a, b in zip(many.data[2:10], one.data[2:10], strict=True)]
    assert difference[4] < 1e-3  # channel 6 has the typical one
    assert min(difference[0], difference[-1]) > 0.1


@pytest.mark.parametrize(
    "psf", [km.Moffat(4.0, 2.5, 0.8, 20.0), DOUBLE, km.ImagePSF(image(), 0.5)], ids=lambda p: type(p).__name__
)
def test_models_are_the_sky_convolved_with_the_kernel(psf):
    cube, sky = km.simulate(DISC, GRID, psf), km.simulate(DISC, GRID)
    kernel = psf.kernel(1.0)
    ry, rx = kernel.shape[0] // 2, kernel.shape[1] // 2
    want = [signal.fftconvolve(plane, kernel)[ry : ry + 41, rx : rx + 48] for plane in sky.data]
    # Both are accurate to 1e-3 of their rms, in places of their own.
    error = np.sqrt(np.mean((cube.data - np.array(want) * psf.pixels(1.0)) ** 2)) / np.sqrt((cube.data**2).mean())
    assert error < 1e-3
    assert cube.stats.accuracy < 1e-3


def test_the_estimated_accuracy_holds_with_a_beam_per_channel():
    coarse, fine = (km.simulate(DISC, GRID, BEAMS, km.Sampling(accuracy=a)) for a in (1e-2, 1e-5))
    error = np.sqrt(((coarse.data - fine.data) ** 2).sum() / (fine.data**2).sum())
    assert error < coarse.stats.accuracy < 1e-2


@pytest.mark.parametrize("psf", [BEAMS, DOUBLE], ids=lambda p: type(p).__name__)
def test_slopes_are_differences_of_models(psf):
    slopes = jacobian(DISC, GRID, psf, ["flux", "inc"])
    model = km.Model(DISC, GRID, psf)
    for slope, name, step in zip(slopes, ("flux", "inc"), (0.5, 0.5), strict=True):
        low, high = (model(DISC.with_values({name: DISC.value(name) + s})) for s in (-step, step))
        want = (high - low) / (2.0 * step)
        assert np.abs(slope - want).max() < 2e-2 * np.abs(want).max()


def fit(data, psf):
    free = {"inc": km.Uniform(20, 80), "rotation.r_turn": km.Uniform(0.1, 8), "sigma_gas": km.Uniform(1, 60)}
    free |= {
        "rotation.v_max": km.Uniform(20, 300),
        "surface_brightness.scale": km.Uniform(1, 10),
        "flux": km.Uniform(1, 20),
    }
    return km.fit(DISC, data.replace(beam=psf), free, method="optimise", seed=1, progress=False)


def test_a_fit_with_the_true_wings_finds_what_one_with_a_gaussian_misses():
    psf = km.Moffat(4.0, 2.0)
    model = km.simulate(DISC, GRID, psf)
    rms = float(model.data.max()) / 100.0
    data = model.replace(data=model.data + km.correlated_noise(GRID, psf, rms, 1), rms=rms)
    truth = {"inc": 50.0, "surface_brightness.scale": 3.0, "flux": 7.0, "sigma_gas": 12.0}
    right, wrong = fit(data, psf), fit(data, km.Beam(4.0))
    pulls = {}
    for name, result in (("right", right), ("wrong", wrong)):
        k = [result.names.index(n) for n in truth]
        error = 0.5 * (result.plus[k] + result.minus[k])
        pulls[name] = np.abs(result.best[k] - list(truth.values())) / error
    assert pulls["right"].max() < 4.0
    assert pulls["wrong"].max() > 10.0
    assert wrong.chi2 > right.chi2 + 100.0


def test_a_fit_with_a_beam_per_channel_is_saved_and_read_back(tmp_path):
    model = km.simulate(DISC, GRID, BEAMS)
    rms = float(model.data.max()) / 50.0
    data = model.replace(data=model.data + km.correlated_noise(GRID, BEAMS, rms, 1), rms=rms)
    result = km.fit(
        DISC, data, {"inc": km.Uniform(20, 80), "pa": km.Uniform(0, 90)}, method="optimise", seed=1, progress=False
    )
    # Noise is taken as correlated by the typical beam.
    np.testing.assert_allclose(result.best, [50.0, 20.0], atol=1.0)
    result.save(tmp_path / "fit")
    assert km.FitResult.load(tmp_path / "fit").data.beam == BEAMS


def test_a_guess_copes_with_every_kind():
    for psf in (BEAMS, km.Moffat(4.0, 2.5), DOUBLE):
        found = km.guess(km.simulate(DISC, GRID, psf))
        assert found.pa == pytest.approx(20.0, abs=3.0)
        assert found.flux == pytest.approx(7.0, rel=0.25)
