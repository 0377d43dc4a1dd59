"""Noise and quality flags that stand beside the data, and what fits make of the noise of each voxel."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from fits_files import header

import kinms as km
from kinms.cube import Cube
from kinms.errors import InputError, KinmsWarning
from kinms.fits_read import read_cube
from kinms.likelihood import CorrelatedNoise, InflatedNoise, StudentT
from kinms.noise import NoiseModel, detection_mask
from kinms.posterior import choose_likelihood

SHAPE = (20, 24, 26)
UNIT = "10**(-20)*erg/s/cm**2/Angstrom"


def noise_like(seed=1):
    """1 sigma of each voxel: brighter sky lines in some channels, an edge that was seen for less long."""
    sigma = np.ones(SHAPE)
    sigma[[4, 9, 10, 15]] = 4.0
    sigma[:, :, :6] *= 2.0
    return sigma, np.random.default_rng(seed).normal(0.0, 1.0, SHAPE) * sigma


def save(tmp_path, entries, data, primary=None, **cards):
    """A file whose extensions are (name, array, cards), the data among them as None."""
    head = {"NAXIS1": SHAPE[2], "NAXIS2": SHAPE[1], "NAXIS3": SHAPE[0], "BUNIT": UNIT, **cards}
    hdus = [fits.PrimaryHDU(header=fits.Header(primary or {}))]
    for name, array, extra in entries:
        own = header(**head) if array is None else fits.Header()
        own.update(extra)
        hdus.append(fits.ImageHDU(data.astype("f4") if array is None else array, own, name=name))
    path = tmp_path / "cube.fits"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.HDUList(hdus).writeto(path, overwrite=True, output_verify="ignore")
    return path


@pytest.mark.parametrize(
    ("name", "power", "data_name", "extra"),
    [
        ("STAT", 2.0, "DATA", {}),  # MUSE
        ("STAT", 2.0, "DATA", {"BUNIT": f"({UNIT})**2"}),
        ("VARIANCE", 2.0, "", {}),  # SAMI
        ("VAR", 2.0, "SCI", {}),  # Gemini
        ("IVAR", -2.0, "FLUX", {}),  # MaNGA
        ("ERR", 1.0, "SCI", {}),  # JWST
        ("ERROR", 1.0, "", {}),  # CALIFA
        ("AGN6.NOISE", 1.0, "AGN6.DATA", {}),  # KMOS
        ("ODD", 2.0, "DATA", {"HDUCLAS3": "MSE"}),
        ("STAT", 1.0, "DATA", {"HDUCLAS3": "RMSE"}),
        ("ODD", -2.0, "DATA", {"HDUCLAS3": "INVMSE"}),
    ],
)
def test_every_kind(tmp_path, name, power, data_name, extra):
    sigma, data = noise_like()
    cards = {"ERRDATA": "ODD"} if name == "ODD" else {}
    path = save(tmp_path, [(data_name, None, cards), (name, (sigma**power).astype("f8"), extra)], data)
    cube = read_cube(path)
    np.testing.assert_allclose(cube.noise, sigma, rtol=1e-12)
    assert cube.mask is None
    assert any(f"noise of each voxel from HDU 2 ({name})" in text for text in cube.warnings)
    # Line-free voxels scatter as stated: nothing to say.
    assert not any("scatter" in text for text in cube.warnings)
    assert read_cube(path, variance=None).noise is None
    part = read_cube(path, box=((3, 9), (2, 20), (4, 9)))
    np.testing.assert_allclose(part.noise, sigma[3:9, 2:20, 4:9], rtol=1e-12)


def test_what_stands_beside_other_data_is_left_alone(tmp_path):
    sigma, data = noise_like()
    path = save(tmp_path, [("DATA", sigma, {}), ("STAT", None, {})], data)
    assert read_cube(path, hdu="STAT").noise is None
    entries = [
        ("A.DATA", None, {}), ("A.NOISE", np.ones((5, 6, 7)), {}), ("B.DATA", None, {}), ("B.NOISE", sigma, {}),
        ("STAT", sigma, {}), ("STRANGE", 2.0 * sigma**2, {}),
    ]  # fmt: skip
    path = save(tmp_path, entries, data)
    assert read_cube(path, hdu="A.DATA").noise is None
    np.testing.assert_allclose(read_cube(path, hdu="B.DATA").noise, sigma)
    # What is asked for by name is taken, for a variance if its name does not tell.
    np.testing.assert_allclose(read_cube(path, hdu="A.DATA", variance="STRANGE").noise, np.sqrt(2.0) * sigma)
    np.testing.assert_allclose(read_cube(path, hdu="A.DATA", variance=4).noise, sigma)
    for wrong in ("A.NOISE", "A.DATA"):
        with pytest.raises(
            InputError, match=r"variance is .* expected an HDU beside the data, of their shape \(20, 24"
        ):
            read_cube(path, hdu="A.DATA", variance=wrong)
    with pytest.raises(InputError, match="hdu is 'NONE'; expected one of 0"):
        read_cube(path, variance="NONE")


def test_flipped_axes_take_their_noise_along(tmp_path):
    sigma, data = noise_like()
    cards = {"CDELT3": -1e4, "CRVAL3": 2e6, "CDELT1": 2 / 3600, "CDELT2": -2 / 3600}
    flags = np.zeros(SHAPE, "i4")
    flags[3, 4, 5] = 8
    cube = read_cube(save(tmp_path, [("DATA", None, {}), ("STAT", sigma**2, {}), ("DQ", flags, {})], data, **cards))
    truth = sigma[::-1, ::-1, ::-1].copy()
    np.testing.assert_allclose(cube.noise[cube.mask], truth[cube.mask])
    assert list(zip(*np.nonzero(~cube.mask), strict=True)) == [(16, 19, 20)]
    assert np.isnan(cube.noise[16, 19, 20])


@pytest.mark.parametrize(
    ("name", "others", "primary", "bad"),
    [
        ("DQ", "STAT", {}, {1, 2, 1024, 3}),
        ("QUALITY", "VARIANCE", {}, {1, 2, 1024, 3}),
        ("MASK", "IVAR", {}, {1024}),  # MaNGA: DONOTUSE alone
        ("DQ", "ERR", {"TELESCOP": "JWST"}, {1, 3}),  # DO_NOT_USE alone
        ("MASK", None, {}, set()),  # may be one of signal
        ("DQ", None, {}, {1, 2, 1024, 3}),
    ],
)
def test_flags(tmp_path, name, others, primary, bad):
    sigma, data = noise_like()
    flags = np.zeros(SHAPE, "i4")
    for k, value in enumerate((1, 2, 1024, 3)):
        flags[k, 2, 2] = value
    entries = [("FLUX", None, {}), (name, flags, {})]
    if others is not None:
        entries.append((others, sigma ** {"IVAR": -2.0, "ERR": 1.0}.get(others, 2.0), {}))
    path = save(tmp_path, entries, data, primary)
    cube = read_cube(path)
    found = set() if cube.mask is None else set(flags[~cube.mask].tolist())
    assert found == bad
    if bad:
        assert f"flags from HDU 2 ({name}): {len(bad)} of {data.size} voxels are not used" in cube.warnings
        assert read_cube(path, flags=None).mask is None


def test_voxels_without_noise_are_masked(tmp_path):
    sigma, data = noise_like()
    weights = sigma**-2.0
    weights[0], weights[1, 0], weights[2, 0, 0], weights[2, 0, 1] = 0.0, -1.0, np.nan, np.inf
    cube = read_cube(save(tmp_path, [("FLUX", None, {}), ("IVAR", weights, {})], data))
    assert not cube.mask[0].any()
    assert not cube.mask[1, 0].any()
    assert not cube.mask[2, 0, :2].any()
    assert cube.mask.sum() == data.size - data[0].size - SHAPE[2] - 2
    assert np.isnan(cube.noise[~cube.mask]).all()
    # The noise of a user's own mask is known all the same.
    mask = np.zeros(SHAPE, "u1")
    mask[0:4] = 1
    fits.writeto(tmp_path / "mask.fits", mask)
    both = read_cube(tmp_path / "cube.fits", mask=tmp_path / "mask.fits")
    np.testing.assert_array_equal(both.mask, cube.mask & (mask > 0))
    np.testing.assert_array_equal(np.isnan(both.noise), np.isnan(cube.noise))


def test_noise_that_says_nothing_is_left_aside(tmp_path):
    sigma, data = noise_like()
    path = save(tmp_path, [("DATA", None, {}), ("STAT", np.zeros(SHAPE), {})], data)
    with pytest.warns(KinmsWarning, match=r"HDU 2 \(STAT\) has no positive noise in what was read and is left aside"):
        cube = read_cube(path)
    assert cube.noise is None
    assert cube.mask is None
    path = save(tmp_path, [("DATA", None, {}), ("DQ", np.ones(SHAPE, "u1"), {}), ("STAT", sigma**2, {})], data)
    with pytest.warns(KinmsWarning, match=r"HDU 2 \(DQ\) flags every voxel that was read and is left aside"):
        cube = read_cube(path)
    assert cube.mask is None
    np.testing.assert_allclose(cube.noise, sigma)


def test_a_scatter_other_than_stated_is_said(tmp_path):
    sigma, data = noise_like()
    cube = read_cube(save(tmp_path, [("DATA", None, {}), ("STAT", (sigma / 1.5) ** 2, {})], data))
    said = next(text for text in cube.warnings if "scatter" in text)
    # 12480 voxels: 1.65 / sqrt(2 x 12480) = 1 %, and the median of channels of 624 is worse by sqrt(pi / 2).
    assert float(said.split("scatter ")[1].split()[0]) == pytest.approx(1.5, rel=0.04)
    assert said.endswith("times as much as HDU 2 (STAT) states: fits scale it by that")
    path = save(tmp_path, [("DATA", None, {}), ("STAT", 1e-4 * sigma**2, {})], data)
    with pytest.warns(
        KinmsWarning, match=r"scatter \S+ times as much as HDU 2 \(STAT\) states: does it mean something"
    ):
        read_cube(path)
    # A unit that is off by a factor is heeded; one that makes no sense is remarked on.
    micro = save(tmp_path, [("DATA", None, {}), ("ERR", 1e6 * sigma, {"BUNIT": "uJy"})], data, BUNIT="Jy")
    np.testing.assert_allclose(read_cube(micro).noise, sigma, rtol=1e-12)
    odd = save(tmp_path, [("DATA", None, {}), ("STAT", sigma**2, {"BUNIT": "Jy"})], data, BUNIT="Jy")
    assert any("its unit Jy is not that of variance of Jy" in text for text in read_cube(odd).warnings)


# -- fits ---------------------------------------------------------------------------------------------------------


def cube_with_noise(factor=1.0, seed=1):
    sigma, data = noise_like(seed)
    grid = km.CubeGrid(SHAPE, 1.0, 10.0)
    return Cube(data * factor, grid, km.Beam(1.0), unit="Jy/beam", noise=sigma), sigma


@pytest.mark.parametrize("kind", ["white", "inflated", "student"])
def test_each_voxel_counts_by_its_noise(kind):
    cube, sigma = cube_with_noise(factor=1.3)
    likelihood = choose_likelihood(kind, cube)
    white = likelihood.white if isinstance(likelihood, StudentT) else likelihood
    # The shape as stated, the size as measured: 12480 voxels know it to 1 %.
    np.testing.assert_allclose(white.error / np.sqrt(white.weights), 1.3 * sigma, rtol=0.03)
    assert white.chi2(np.zeros(SHAPE)) == pytest.approx(cube.data.size, rel=0.05)
    assert likelihood.remarks[0].startswith("that of each voxel as the file states, times 1.")
    given = choose_likelihood(kind, cube, rms=2.0 * float(np.median(sigma)))
    white = given.white if isinstance(given, StudentT) else given
    np.testing.assert_allclose(white.error / np.sqrt(white.weights), 2.0 * sigma, rtol=1e-6)
    assert isinstance(choose_likelihood("inflated", cube), InflatedNoise)


def test_voxels_of_unknown_noise_do_not_count():
    cube, sigma = cube_with_noise()
    sigma[:5] = np.nan
    sigma[5, 0] = 0.0
    white = choose_likelihood("white", cube.replace(noise=sigma))
    assert white.n == cube.data.size - 5 * cube.data[0].size - SHAPE[2]
    with pytest.raises(InputError, match="noise of the cube is not known in any voxel"):
        choose_likelihood("white", cube.replace(noise=np.full(SHAPE, np.nan)))


def test_correlated_noise_of_each_voxel():
    sigma, _ = noise_like()
    grid = km.CubeGrid(SHAPE, 1.0, 10.0)
    beam = km.Beam(3.0)
    data = km.correlated_noise(grid, beam, rms=0.7, seed=5) * sigma
    cube = Cube(data, grid, beam, noise=sigma)
    model = NoiseModel.estimate(cube)
    error = np.broadcast_to(model.error, SHAPE)
    # Some 12480 voxels over a beam of 10 pixels, known to 1.65 / sqrt(2 x 1200) = 3 %; three times that.
    assert np.median(error / sigma) == pytest.approx(0.7, rel=0.1)
    assert np.ptp(np.log(error / sigma)) < 0.3
    assert any(text.startswith("noise of each voxel as the file states, times 0.") for text in model.messages)
    assert model.sample(seed=1).shape == SHAPE
    likelihood = choose_likelihood("correlated", cube)
    assert isinstance(likelihood, CorrelatedNoise)
    # The same noise without its sky lines and edge is as likely, but for the 3 % that either rms is known to, squared.
    flat = choose_likelihood("correlated", Cube(data / sigma, grid, beam))
    assert likelihood.n == flat.n
    assert likelihood.chi2(np.zeros(SHAPE)) == pytest.approx(flat.chi2(np.zeros(SHAPE)), rel=0.1)
    assert np.isfinite(likelihood(np.zeros(SHAPE)))
    # A gain that is given comes first.
    gained = NoiseModel.estimate(cube, gain=np.ones(SHAPE[1:]))
    assert gained.noise_map.shape == SHAPE[1:]


def test_sky_lines_are_no_signal():
    cube, _ = cube_with_noise()
    data = cube.data.copy()
    data[6:9, 8:14, 12:18] += 4.0
    found = detection_mask(cube.replace(data=data))
    assert found[7, 10, 14]
    assert not found[[4, 9, 10, 15]].any() or found[9:11].sum() <= 2 * 36
    assert found.sum() < 3 * 100


def test_a_model_without_noise_keeps_what_is_stated():
    sigma, _ = noise_like()
    cube = Cube(np.zeros(SHAPE) + 1e-9, km.CubeGrid(SHAPE, 1.0, 10.0), km.Beam(3.0), noise=sigma)
    white = choose_likelihood("white", cube)
    np.testing.assert_allclose(white.error / np.sqrt(white.weights), sigma, rtol=1e-6)
    assert "no noise is found" in white.remarks[0]


def test_fit_and_guess_with_noise_of_each_voxel():
    """Of a galaxy with half of its field four times as noisy, the good half decides: errors shrink as they should."""
    disc = km.Disc(surface_brightness=km.ExponentialDisc(2.0), rotation=km.ArctanCurve(90.0, 1.0), inc=50, pa=30,
                   flux=20.0, sigma_gas=12.0)  # fmt: skip
    grid, beam = km.CubeGrid((24, 32, 32), 1.0, 12.0), km.Beam(3.0)
    sigma = np.where(np.arange(32) < 14, 0.2, 0.02) * np.ones(grid.shape)
    rng = np.random.default_rng(4)
    data = km.simulate(disc, grid, beam).data + rng.normal(size=grid.shape) * sigma
    free = {"pa": km.Uniform(0, 360, periodic=True), "v_sys": km.Uniform(-100, 100)}
    cube = Cube(data, grid, beam, noise=sigma)
    even = km.fit(disc, cube.replace(noise=None), free, likelihood="white", method="optimise", seed=1, progress=False)
    each = km.fit(disc, cube, free, likelihood="white", method="optimise", seed=1, progress=False)
    assert any("Noise: that of each voxel as the file states, times" in line for line in each.log)
    truth, errors = np.array([30.0, 0.0]), each.samples.std(axis=0)
    assert np.all(np.abs(each.median - truth) < 4.0 * errors)
    # Independent of the fit: 1 sigma of v_sys from the derivative of the model, each voxel by its own noise.
    slope = (
        km.simulate(disc.replace(v_sys=0.5), grid, beam).data - km.simulate(disc.replace(v_sys=-0.5), grid, beam).data
    )
    assert errors[1] == pytest.approx(1.0 / np.sqrt((slope**2 / sigma**2).sum()), rel=0.15)
    assert errors[1] < 0.7 * even.samples[:, 1].std()
    found = km.guess(cube)
    # The estimate takes one rms for the whole cube: it is a start, no more.
    assert found.pa == pytest.approx(30.0, abs=30.0)
