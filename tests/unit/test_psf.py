"""Every kind of PSF: its numbers, its kernel, and convolution with it, against scipy and astropy."""

import pickle
import threading

import astropy.units as u
import numpy as np
import pytest
import radio_beam
from astropy.io import fits
from astropy.modeling.functional_models import Moffat2D
from scipy import signal

from kinms.convolution import smoother
from kinms.correlation import Correlation
from kinms.cube import Cube
from kinms.errors import FileError, HeaderError, InputError, InputTypeError, KinmsError
from kinms.grid import PSF, Beam, CubeGrid
from kinms.noise import NoiseModel, correlated_noise
from kinms.plot_panels import draw_beam
from kinms.psf import ChannelBeams, DoubleGaussian, ImagePSF, Moffat, holds, smallest_common
from kinms.record_json import decode, encode
from kinms.sparse import SparseCube
from kinms.threads import set_threads

MOFFAT = Moffat(4.0, 2.5, axis_ratio=0.7, pa=20.0)
DOUBLE = DoubleGaussian(Beam(4.0, 3.0, 20.0), Beam(9.0, 7.0, 110.0), 0.3)
LOPSIDED = np.hypot(*np.mgrid[-12:13, -14:15]) ** 2


def lopsided():
    """An image of no symmetry: two displaced Gaussians, the core on a pixel's corner."""
    y, x = np.mgrid[0:34, 0:41]
    core = np.exp(-((x - 20.5) ** 2 / 4.0 + (y - 16.5) ** 2 / 6.0))
    return core + 0.1 * np.exp(-((x - 25.0) ** 2 + (y - 14.0) ** 2) / 30.0)


IMAGE = ImagePSF(lopsided(), 1.0)
CHANNELS = ChannelBeams([Beam(4.0 + 0.2 * k, 3.0 + 0.1 * k, 20.0 + 5.0 * k) for k in range(11)])
#: Passes of their own, slanted to either side or not at all, where those of `CHANNELS` would have too many taps.
SLANTED = ChannelBeams([Beam(8.0 + 0.1 * k, 6.0, 20.0 - 8.0 * k) for k in range(11)])
KINDS = [MOFFAT, Moffat(2.5, 4.765), DOUBLE, IMAGE, CHANNELS, SLANTED]
names = dict(ids=lambda psf: f"{type(psf).__name__}-{psf.bmaj:.3g}")


def sparse(cube, smooth):
    out = SparseCube(*smooth.shape)
    nv, ny, nx = cube.shape
    for v in range(nv):
        out.data[v // 8, out.margin : out.margin + ny, out.pad : out.pad + nx, v % 8] = cube[v]
    out.hull[:, out.margin : out.margin + ny] = out.pad, out.pad + nx
    return out


def reference(cube, psf, cell=1.0):
    """Jy/beam by scipy, channel by channel, nothing outside."""
    channels = psf.beams if isinstance(psf, ChannelBeams) else [psf] * len(cube)
    out = []
    for plane, one in zip(cube, channels, strict=True):
        kernel = one.kernel(cell)
        whole = signal.fftconvolve(plane, kernel)
        ry, rx = kernel.shape[0] // 2, kernel.shape[1] // 2
        out.append(whole[ry : ry + plane.shape[0], rx : rx + plane.shape[1]] * one.pixels(cell))
    return np.array(out)


def sources(shape, seed=1):
    """Points, among them at the edges and corners, of both signs, a channel of them empty."""
    rng = np.random.default_rng(seed)
    cube = np.where(rng.random(shape) < 0.03, rng.normal(size=shape), 0.0)
    cube[:, 0, 0], cube[:, -1, shape[2] // 2] = 1.0, 2.0
    cube[shape[0] // 2] = 0.0
    return cube


class TestKernels:
    @pytest.mark.parametrize("psf", KINDS, **names)
    @pytest.mark.parametrize("cell", [0.4, 1.0])
    def test_of_unit_sum_odd_and_of_the_stated_area(self, psf, cell):
        kernel = psf.kernel(cell)
        assert kernel.shape[0] % 2 == 1 == kernel.shape[1] % 2
        assert kernel.sum() == pytest.approx(1.0, abs=1e-12)
        if not isinstance(psf, ImagePSF):  # which is centred on its centroid, not on its peak
            # What lies beyond the cut of a Moffat function of beta 2.5 is 1.2e-4 of its light.
            assert kernel.max() * psf.pixels(cell) == pytest.approx(1.0, rel=5e-4 if psf is not KINDS[1] else 5e-3)

    @pytest.mark.parametrize("beta", [2.0, 2.5, 4.765])
    def test_a_moffat_function_is_that_of_astropy(self, beta):
        psf = Moffat(4.0, beta)
        model = Moffat2D(amplitude=1.0, gamma=1.0, alpha=beta)
        model.gamma = 4.0 / model.fwhm
        kernel = psf.kernel(0.5)
        ry, rx = kernel.shape[0] // 2, kernel.shape[1] // 2
        y, x = np.mgrid[-ry : ry + 1, -rx : rx + 1] * 0.5
        want = np.where(kernel > 0.0, model(x, y), 0.0)
        np.testing.assert_allclose(kernel, want / want.sum(), atol=1e-12)

    def test_the_major_axis_runs_from_north_through_east(self):
        # x grows West: a PSF at 20 degrees leans to the left, so that x y is negative.
        for psf in (MOFFAT, ImagePSF(MOFFAT.kernel(0.5), 0.5), Beam(4.0, 2.8, 20.0)):
            kernel = psf.kernel(0.5)
            ry, rx = kernel.shape[0] // 2, kernel.shape[1] // 2
            y, x = np.mgrid[-ry : ry + 1, -rx : rx + 1]
            near = np.hypot(y, x) < 10
            xx, yy, xy = (float((kernel * near * a).sum()) for a in (x * x, y * y, x * y))
            assert 0.5 * np.degrees(np.arctan2(-2.0 * xy, yy - xx)) == pytest.approx(20.0, abs=0.5)

    def test_wings_that_would_have_no_end_are_cut(self):
        assert Moffat(2.0, 1.1).kernel(1.0).shape == (121, 121)

    def test_two_gaussians_are_their_sum(self):
        kernel, wide = DOUBLE.kernel(1.0), DOUBLE.wide.kernel(1.0)
        core = DOUBLE.core.kernel(1.0)
        want = np.zeros(kernel.shape)
        for part, share in ((core, 0.7), (wide, 0.3)):
            dy, dx = (a - b for a, b in zip(kernel.shape, part.shape, strict=True))
            want += share * np.pad(part, ((dy // 2, dy // 2), (dx // 2, dx // 2)))
        np.testing.assert_array_equal(kernel, want)


class TestImages:
    def test_one_centred_on_a_pixel_is_itself(self):
        image = Beam(4.0, 3.0, 20.0).kernel(1.0)
        kernel = ImagePSF(7.0 * image, 1.0).kernel(1.0)
        dy, dx = ((a - b) // 2 for a, b in zip(image.shape, kernel.shape, strict=True))
        # Its edges are cut where they have faded to 1e-6 of the peak.
        np.testing.assert_allclose(np.pad(kernel, ((dy, dy), (dx, dx))), image, atol=1e-6 * image.max())

    @pytest.mark.parametrize("truth", [Beam(4.0, 3.0, 20.0), Moffat(4.0, 2.5, 0.8, 160.0)], **names)
    def test_widths_at_half_maximum(self, truth):
        found = ImagePSF(truth.kernel(0.5), 0.5)
        # An edge found on a raster of 1/8 pixel.
        np.testing.assert_allclose([found.bmaj, found.bmin], [truth.bmaj, truth.bmin], rtol=0.01)
        assert found.bpa == pytest.approx(truth.bpa, abs=1.0)
        assert found.area == pytest.approx(truth.area, rel=1e-3)

    @pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, 0.5), (0.3, -0.4)])
    def test_it_is_centred_wherever_it_lies_between_the_pixels(self, shift):
        y, x = np.mgrid[0:40, 0:44]
        image = np.exp(-((x - 21.0 - shift[1]) ** 2 + (y - 19.0 - shift[0]) ** 2) / (2.0 * 3.0**2))
        kernel = ImagePSF(image, 0.2).kernel(0.3)
        ry, rx = kernel.shape[0] // 2, kernel.shape[1] // 2
        y, x = np.mgrid[-ry : ry + 1, -rx : rx + 1]
        want = np.exp(-(x**2 + y**2) / (2.0 * 2.0**2))
        # What a cubic spline makes of a Gaussian of 3 pixels, and its centroid on the raster.
        assert np.abs(kernel / kernel.max() - want).max() < 2e-3

    def test_a_wing_stays_on_its_side(self):
        kernel = IMAGE.kernel(1.0)
        ry, rx = kernel.shape[0] // 2, kernel.shape[1] // 2
        assert kernel[ry - 2, rx + 6] > 5.0 * kernel[ry + 2, rx - 6]

    def test_negative_lobes_stay(self):
        y, x = np.mgrid[-15:16, -15:16]
        r2 = x**2 + y**2
        kernel = ImagePSF(np.exp(-r2 / 8.0) - 0.1 * np.exp(-r2 / 60.0), 1.0).kernel(1.0)
        assert kernel.min() < 0.0 < kernel.sum()

    @pytest.mark.parametrize(
        ("image", "message"),
        [
            (np.where(LOPSIDED == 0, np.nan, np.exp(-LOPSIDED)), "not finite"),
            (-np.exp(-LOPSIDED), "both above 0"),
            (np.exp(-LOPSIDED) - 0.9, "both above 0"),
            (np.exp(-LOPSIDED)[13:], "edge"),
            (np.ones((2, 2)), "3 x 3"),
            (np.ones(5), "shape"),
            (np.ones((7, 7)), "edge"),
        ],
    )
    def test_what_is_no_psf_is_refused(self, image, message):
        with pytest.raises(InputError, match=message):
            ImagePSF(image, 1.0)

    def header(self, cell=0.2, **cards):
        header = fits.Header()
        header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0})
        header.update({"CDELT1": -cell / 3600.0, "CDELT2": cell / 3600.0, "CUNIT1": "deg", "CUNIT2": "deg"})
        header.update(cards)
        return header

    def test_read_from_a_file_whatever_its_directions(self, tmp_path):
        image = lopsided()
        fits.writeto(tmp_path / "a.fits", image[None], self.header())
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image[:, ::-1], self.header(CDELT1=0.2 / 3600.0))]).writeto(
            tmp_path / "b.fits"
        )
        fits.writeto(tmp_path / "c.fits", image)
        want = ImagePSF(image, 0.2)
        for name, options in (("a", {}), ("b", {}), ("c", {"cell": 0.2})):
            found = ImagePSF.read(tmp_path / f"{name}.fits", **options)
            assert found.cell == pytest.approx(0.2, rel=1e-9)
            np.testing.assert_allclose(found.kernel(0.2), want.kernel(0.2), atol=1e-9)

    def test_files_that_hold_none(self, tmp_path):
        def write(name, *args):
            fits.writeto(tmp_path / name, *args)
            return tmp_path / name

        cases = [
            (tmp_path / "missing.fits", FileError, "does not exist"),
            (write("plain.fits", lopsided()), HeaderError, "cell"),
            (write("planes.fits", np.ones((3, 9, 9)), self.header()), InputError, "two axes"),
            (write("long.fits", lopsided(), self.header(CDELT2=0.4 / 3600.0)), HeaderError, "square"),
            (write("turned.fits", lopsided(), self.header(CROTA2=30.0)), HeaderError, "North"),
            (write("line.fits", np.ones(9)), FileError, "no image"),
        ]
        (tmp_path / "page.fits").write_text("<html>")
        cases.append((tmp_path / "page.fits", FileError, "cannot be read"))
        (tmp_path / "cut.fits").write_bytes((tmp_path / "long.fits").read_bytes()[:5000])
        cases.append((tmp_path / "cut.fits", FileError, "cannot be read"))
        for path, error, message in cases:
            with pytest.raises(error, match=message):
                ImagePSF.read(path)


class TestConvolution:
    @pytest.mark.parametrize("psf", KINDS, **names)
    @pytest.mark.parametrize("method", ["auto", "direct", "fft"])
    @pytest.mark.parametrize(("ny", "nx"), [(31, 45), (7, 9), (64, 64), (3, 40)])
    def test_it_is_that_of_scipy_up_to_the_edges(self, psf, method, ny, nx):
        cube = sources((11, ny, nx))
        smooth = smoother(*cube.shape, psf, 1.0, method)
        got, square = smooth.dense(sparse(cube, smooth))
        want = reference(cube, psf)
        assert np.abs(got - want).max() <= 2e-6 * np.abs(want).max()
        assert square == pytest.approx((want**2).sum(), rel=1e-5)
        assert not got[5].any()

    @pytest.mark.parametrize("psf", KINDS, **names)
    def test_sums_are_those_of_the_dense_cube(self, psf):
        cube = sources((11, 31, 45))
        smooth = smoother(*cube.shape, psf, 1.0, "auto")
        want = reference(cube, psf)
        rng = np.random.default_rng(3)
        data, weights = rng.normal(size=(2, 2, 31, 45, 8)).astype(np.float32)
        weights **= 2
        by_channel = [np.moveaxis(a, 3, 1).reshape(-1, 31, 45)[:11] for a in (data, weights)]
        mm, md = smooth.products(sparse(cube, smooth), data, weights)
        assert mm == pytest.approx((by_channel[1] * want**2).sum(), rel=1e-5)
        assert md == pytest.approx((by_channel[0] * want).sum(), abs=1e-5 * np.sqrt((want**2).sum()) * 50)

    @pytest.mark.parametrize("psf", KINDS, **names)
    def test_some_rows_stand_for_all_and_white_noise_grows_as_stated(self, psf):
        cube = np.zeros((11, 160, 160))
        cube[:, 16:144, 16:144] = np.random.default_rng(4).normal(size=(11, 128, 128))
        smooth = smoother(*cube.shape, psf, 1.0, "auto")
        filled = sparse(cube, smooth)
        whole = smooth.dense(filled)[1]
        # 128^2 x 11 voxels of noise in patches of 100 at most: 3 per cent, and what is between the rows is less.
        assert smooth.square(filled) == pytest.approx(whole, rel=0.04)
        assert smooth.uncorrelated(filled) == pytest.approx(whole, rel=0.09)

    @pytest.mark.parametrize("psf", [MOFFAT, DOUBLE, CHANNELS, SLANTED], **names)
    @pytest.mark.parametrize(("width", "box"), [(0.08, False), (2.0, True)])
    def test_an_assignment_is_taken_out_again(self, psf, width, box):
        cube = np.zeros((11, 40, 44))
        rng = np.random.default_rng(5)
        cube[:, 10:30, 12:32] = rng.normal(size=(11, 20, 20))
        smooth = smoother(*cube.shape, psf, 1.0, "fft" if psf is MOFFAT else "auto", width, box)
        got = smooth.dense(sparse(cube, smooth))[0]
        f = np.fft.fftfreq(512)
        blunt = np.sinc(0.5 * width * f) ** 2 * (np.sinc(f) if box else 1.0)
        blunt = blunt[:, None] * blunt[None]
        # The same assignment once more brings back the convolution without it.
        again = np.fft.ifft2(np.fft.fft2(got, (512, 512)) * blunt).real[:, :40, :44]
        want = reference(cube, psf)
        inner = (slice(None), slice(8, -8), slice(8, -8))  # near the edges what is beyond them is missing
        assert np.abs(again - want)[inner].max() < 2e-3 * np.abs(want).max()

    @pytest.mark.parametrize("psf", [MOFFAT, CHANNELS, SLANTED], **names)
    def test_threads_give_the_same_bits(self, psf, monkeypatch):
        monkeypatch.setattr("kinms.convolution.SMALL", 0)
        cube = sources((11, 40, 40))
        results = []

        def work():
            smooth = smoother(*cube.shape, psf, 1.0, "auto")
            results.append(smooth.dense(sparse(cube, smooth))[0].tobytes())

        work()
        set_threads(3)
        try:
            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            set_threads(None)
        assert len(set(results)) == 1
        assert len(results) == 4

    def test_transfer_functions_beyond_the_memory_are_made_again(self, monkeypatch):
        monkeypatch.setattr("kinms.convolution.KEEP", 1)
        cube = sources((11, 21, 23))
        smooth = smoother(11, 21, 23, CHANNELS, 1.0, "fft")
        got = smooth.dense(sparse(cube, smooth))[0]
        assert len(smooth.transfers._kept) == 1
        assert np.abs(got - reference(cube, CHANNELS)).max() <= 2e-6 * np.abs(got).max()
        smoother.cache_clear()

    def test_which_of_them_go_through_passes(self):
        assert smoother(11, 64, 64, SLANTED, 1.0, "auto").transfers is None
        assert smoother(11, 64, 64, CHANNELS, 1.0, "auto").transfers is not None
        assert {one.slant[0] for one in smoother(11, 64, 64, SLANTED, 1.0, "auto").channels} >= {-1, 1}

    def test_equal_beams_are_one(self):
        cube = sources((3, 21, 23))
        one, many = (
            smoother(3, 21, 23, beam, 1.0, "auto")
            for beam in (Beam(4.0, 3.0, 20.0), ChannelBeams([Beam(4.0, 3.0, 20.0)] * 3))
        )
        assert one.dense(sparse(cube, one))[0].tobytes() == many.dense(sparse(cube, many))[0].tobytes()

    def test_a_gaussian_by_another_name_is_the_same(self):
        cube, beam = sources((2, 30, 30)), Beam(5.0, 3.0, 20.0)
        want = reference(cube, beam)
        for psf in (DoubleGaussian(beam, Beam(9.0), 0.0), ImagePSF(beam.kernel(1.0), 1.0)):
            smooth = smoother(2, 30, 30, psf, 1.0, "auto")
            got = smooth.dense(sparse(cube, smooth))[0]
            # An image knows its peak to the spline, and with it the size of a beam.
            np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())

    def test_the_number_of_beams_is_that_of_the_channels(self):
        grid = CubeGrid((10, 8, 8), 1.0, 10.0)
        with pytest.raises(InputError, match="the number of beams is 11; expected 10"):
            smoother(10, 8, 8, CHANNELS, 1.0, "auto")
        with pytest.raises(InputError, match="one per channel"):
            Cube(np.zeros(grid.shape), grid, CHANNELS)
        assert Cube(np.zeros(grid.shape), grid, CHANNELS.select(slice(1, None))).pixels_per_beam.shape == (10,)


class TestRecords:
    @pytest.mark.parametrize("psf", [*KINDS, Beam(4.0, 3.0, 20.0)], **names)
    def test_equal_hashed_pickled_and_kept_in_json(self, psf):
        again = pickle.loads(pickle.dumps(psf))
        assert again == psf
        assert hash(again) == hash(psf)
        assert decode(PSF, encode(psf)) == psf
        assert psf.replace() == psf

    def test_a_beam_in_json_is_what_it_was(self):
        assert encode(Beam(4.0, 3.0, 20.0)) == {"bmaj": 4.0, "bmin": 3.0, "bpa": 20.0}

    @pytest.mark.parametrize("psf", [MOFFAT, DOUBLE], **names)
    def test_small_ones_print_themselves(self, psf):
        assert eval(repr(psf)) == psf

    @pytest.mark.parametrize("psf", KINDS, **names)
    def test_figures_draw_the_core(self, psf):
        from matplotlib.figure import Figure
        from matplotlib.patches import Ellipse

        ax = Figure().subplots()
        draw_beam(ax, psf)
        (ellipse,) = ax.findobj(lambda artist: isinstance(artist, Ellipse) and artist.get_gid() == "beam")
        assert (ellipse.height, ellipse.width, ellipse.angle) == (psf.bmaj, psf.bmin, -psf.bpa)

    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda: Moffat(0.0, 2.5), InputError, "fwhm"),
            (lambda: Moffat(1.0, 1.0), InputError, "beta"),
            (lambda: Moffat(1.0, 2.5, axis_ratio=1.2), InputError, "axis_ratio"),
            (lambda: DoubleGaussian(4.0, Beam(5.0), 0.1), InputTypeError, "core"),
            (lambda: DoubleGaussian(Beam(6.0), Beam(5.0), 0.1), InputError, "wide"),
            (lambda: DoubleGaussian(Beam(4.0), Beam(5.0), 1.0), InputError, "fraction"),
            (lambda: DoubleGaussian(MOFFAT, Beam(5.0), 0.1), InputTypeError, "core"),
            (lambda: ChannelBeams([]), InputError, "empty"),
            (lambda: ChannelBeams(Beam(3.0)), InputTypeError, "sequence"),
            (lambda: ChannelBeams([Beam(3.0), 4.0]), InputTypeError, r"beams\[1\]"),
        ],
    )
    def test_impossible_values(self, make, error, message):
        with pytest.raises(error, match=message):
            make()


class TestChannelBeams:
    def test_the_typical_one_has_the_median_area(self):
        assert CHANNELS.typical == CHANNELS.beams[5]
        assert (CHANNELS.bmaj, CHANNELS.finest) == (5.0, 3.0)

    @pytest.mark.parametrize("channels", [slice(2, 5), np.arange(11) % 2 == 0, slice(None, None, -1), slice(3, 4)])
    def test_selected_as_an_array_is(self, channels):
        assert CHANNELS.select(channels).beams == tuple(np.array(CHANNELS.beams, dtype=object)[channels])

    def test_to_radio_beam_and_back_blank_channels_filled(self):
        beams = CHANNELS.to_radio_beams()
        again = ChannelBeams.from_radio_beams(beams)
        np.testing.assert_allclose([b.bmaj for b in again.beams], [b.bmaj for b in CHANNELS.beams], rtol=1e-12)
        major = [0.0, 4.0, np.nan, 5.0, 5.0]
        made = radio_beam.Beams(major * u.arcsec, np.array(major) * u.arcsec, np.zeros(5) * u.deg)
        assert [beam.bmaj for beam in ChannelBeams.from_radio_beams(made).beams] == [4.0, 4.0, 4.0, 5.0, 5.0]

    @pytest.mark.parametrize(
        "beams",
        [
            CHANNELS.beams,
            (Beam(4.0, 2.0, 20.0), Beam(4.0, 2.0, 110.0)),
            (Beam(4.0, 2.0, 20.0), Beam(4.0, 2.0, 60.0), Beam(3.5, 3.0, 120.0)),
            (Beam(4.0, 2.0, 20.0), Beam(5.0, 3.0, 25.0)),
            tuple(Beam(4.0 * s, 3.0 * s, 20.0) for s in np.linspace(1.0, 1.1, 40)),
        ],
    )
    def test_the_common_beam_holds_all_and_is_hardly_larger_than_it_must_be(self, beams):
        common = smallest_common(beams)
        assert all(holds(common, beam) for beam in beams)
        assert common.area >= max(beam.area for beam in beams)
        # One per cent smaller in size holds some of them no more.
        less = Beam(0.99 * common.bmaj, 0.99 * common.bmin, common.bpa)
        assert not all(holds(less, beam) for beam in beams)

    def test_a_common_beam_that_is_not_found_is_said(self, monkeypatch):
        def fail(self, **options):
            raise radio_beam.utils.BeamError("no way")

        monkeypatch.setattr(radio_beam.Beams, "common_beam", fail)
        with pytest.raises(KinmsError, match=r"no way.*Give a beam yourself"):
            smallest_common((Beam(4.0, 2.0, 20.0), Beam(4.0, 2.0, 110.0)))


class TestNoise:
    GRID = CubeGrid((11, 64, 64), 1.0, 10.0)

    @pytest.mark.parametrize("psf", [MOFFAT, DOUBLE, IMAGE], **names)
    def test_optics_correlate_no_noise(self, psf):
        cube = Cube(correlated_noise(self.GRID, psf, 1.0, 1), self.GRID, psf)
        noise = NoiseModel.estimate(cube)
        assert noise.rms == pytest.approx(1.0, rel=0.02)
        assert abs(float(noise.correlation.at(0, 1))) < 0.02
        # On request, or where the data say so, there is some.
        assert float(NoiseModel.estimate(cube, spatial="beam").correlation.at(0, 1)) > 0.5
        coarse = cube.replace(data=correlated_noise(self.GRID, Beam(3.0), 1.0, 2))
        assert NoiseModel.estimate(coarse).correlation.fwhm[0] == pytest.approx(3.0 * np.sqrt(2.0), rel=0.1)

    def test_too_few_voxels_leave_it_white(self):
        grid = CubeGrid((3, 6, 6), 1.0, 10.0)
        noise = NoiseModel.estimate(Cube(np.random.default_rng(1).normal(size=grid.shape), grid, MOFFAT))
        assert noise.correlation.table.shape == (1, 1)

    def test_every_spaxel_counts(self):
        # 3888 of them: of a beam of 23 pixels or more, which shares its noise among them, too few to measure anything.
        grid = CubeGrid((3, 36, 36), 1.0, 10.0)
        data = np.random.default_rng(1).normal(size=grid.shape)
        noise = [NoiseModel.estimate(Cube(data, grid, beam)) for beam in (Moffat(5.0, 2.5), Beam(5.0, 4.0))]
        assert ["too few" in " ".join(one.messages) for one in noise] == [False, True]

    def test_the_correlation_of_a_kernel_is_that_of_noise_convolved_with_it(self):
        table = Correlation.of_beam(DOUBLE, 1.0)
        kernel = DOUBLE.kernel(1.0)
        for dy, dx in ((0, 1), (2, -1), (3, 3)):
            shifted = np.roll(np.pad(kernel, 5), (dy, dx), axis=(0, 1))
            want = float((np.pad(kernel, 5) * shifted).sum() / (kernel**2).sum())
            assert float(table.at(dy, dx)) == pytest.approx(want, abs=1e-9)

    def test_each_channel_has_the_noise_of_its_beam(self):
        beams = ChannelBeams([Beam(2.0)] * 5 + [Beam(6.0)] * 6)
        cube = correlated_noise(self.GRID, beams, 1.0, 1)
        for channels, fwhm in ((slice(0, 5), 2.0), (slice(5, 11), 6.0)):
            want = np.exp(-4.0 * np.log(2.0) * 4.0 / (2.0 * fwhm**2))  # two pixels apart
            part = cube[channels]
            assert (part[:, :, 2:] * part[:, :, :-2]).mean() / (part**2).mean() == pytest.approx(want, abs=0.06)
        one = ChannelBeams([Beam(4.0)] * 11)
        assert np.array_equal(correlated_noise(self.GRID, one, 1.0, 1), correlated_noise(self.GRID, Beam(4.0), 1.0, 1))

    def test_beams_per_channel_correlate_as_the_typical_one(self):
        cube = Cube(correlated_noise(self.GRID, CHANNELS, 1.0, 1), self.GRID, CHANNELS)
        noise = NoiseModel.estimate(cube, spatial="beam", floor=1e-3)
        np.testing.assert_array_equal(noise.correlation.table, Correlation.of_beam(CHANNELS.typical, 1.0).table)
