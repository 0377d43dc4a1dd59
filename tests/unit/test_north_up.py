"""Cubes that are turned, mirrored or oblong, resampled to North up: a sky of Gaussians is the truth."""

import math
import re
import warnings

import numpy as np
import pytest
from astropy.io import fits
from fits_files import header, write

import kinms as km
from kinms.cli import main
from kinms.errors import FileError, HeaderError, InputError, KinmsWarning, OutputExistsError
from kinms.fits_layout import read_header
from kinms.fits_north_up import north_up

#: Position angle of the y axis, and the sides of pixels along the file's axes (East counts positive), arcsec.
TURNED = {
    "turned": (37.0, -0.2, 0.2),
    "turned far": (-128.0, -0.2, 0.2),
    "mirrored": (37.0, 0.2, 0.2),
    "oblong": (0.0, -0.2, 0.3),
    "oblong and turned": (37.0, -0.2, 0.3),
    "slicer": (15.0, -0.15, 0.6),
}
RA, DEC = 150.0, -30.0
#: East and North of the reference position (arcsec), height, and 1 sigma (arcsec): over two pixels of the widest.
BLOBS = ((0.0, 0.0, 1.0, 1.3), (3.1, -1.7, 0.6, 1.3), (-2.2, 4.3, 0.8, 1.4))


def matrix(turn, sx, sy):
    """East and North (rows) per pixel along x and y (columns), arcsec."""
    t = math.radians(turn)
    return np.array([[math.cos(t), math.sin(t)], [-math.sin(t), math.cos(t)]]) @ np.diag([sx, sy])


def cards(turn, sx, sy, n=3, side=30.0, **more):
    """A header with a field of `side` arcsec round the reference position, and its matrix."""
    m = matrix(turn, sx, sy)
    nx, ny = round(side / abs(sx)) + 1, round(side / abs(sy))
    found = {f"CD{i}_{j}": m[i - 1, j - 1] / 3600.0 for i in (1, 2) for j in (1, 2)}
    found |= {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": RA, "CRVAL2": DEC, "CDELT1": None, "CDELT2": None}
    found |= {"NAXIS1": nx, "NAXIS2": ny, "NAXIS3": n, "CRPIX1": nx / 2 + 0.3, "CRPIX2": ny / 2 + 1.1}
    found |= {"CDELT3": None, "CD3_3": 1e4}
    return header(**(found | more))


def offsets(head):
    """East and North of every pixel in the tangent plane, arcsec, from the cards alone."""
    y, x = np.mgrid[: head["NAXIS2"], : head["NAXIS1"]]
    p, q = x + 1 - head["CRPIX1"], y + 1 - head["CRPIX2"]
    return tuple(3600.0 * (head[f"CD{i}_1"] * p + head[f"CD{i}_2"] * q) for i in (1, 2))


def blobs(head):
    """One blob per channel."""
    east, north = offsets(head)
    return np.array(
        [a * np.exp(-0.5 * ((east - e) ** 2 + (north - n) ** 2) / s**2) for e, n, a, s in BLOBS], dtype="f4"
    )


def position(e, n):
    """RA and Dec (degrees) of a point of the tangent plane (Calabretta & Greisen 2002, section 5.1.3)."""
    xi, eta, dec = math.radians(e / 3600), math.radians(n / 3600), math.radians(DEC)
    ra = math.atan2(xi, math.cos(dec) - eta * math.sin(dec))
    lat = math.atan2(math.cos(ra) * (eta * math.cos(dec) + math.sin(dec)), math.cos(dec) - eta * math.sin(dec))
    return RA + math.degrees(ra), math.degrees(lat)


def resample(tmp_path, data, head, extensions=(), **options):
    """The files before and after."""
    old, new = tmp_path / "old.fits", tmp_path / "new.fits"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdus = [fits.PrimaryHDU(data, head), *extensions]
        fits.HDUList(hdus).writeto(old, output_verify="ignore", overwrite=True)
    with pytest.raises(HeaderError, match=r"Resample it North up: kinms north-up IN OUT, or km\.north_up"):
        km.read_cube(old, line="CO(1-0)" if head["CTYPE3"] in ("VRAD", "FREQ") else "Halpha")
    return old, new, north_up(old, new, **options)


@pytest.mark.parametrize("name", TURNED)
def test_blobs_stay_where_they_are_and_keep_their_flux(tmp_path, name):
    turn, sx, sy = TURNED[name]
    head = cards(turn, sx, sy)
    _, new, lines = resample(tmp_path, blobs(head), head)
    cube = km.read_cube(new)
    layout = read_header(fits.getheader(new))
    assert cube.flipped == ()
    assert cube.grid.cell == pytest.approx(math.sqrt(abs(sx * sy)), rel=1e-9)
    assert cube.unit == "Jy/beam"
    y, x = np.mgrid[: cube.grid.ny, : cube.grid.nx]
    for plane, (e, n, height, s) in zip(np.nan_to_num(cube.data), BLOBS, strict=True):
        total = plane.sum()
        wanted = layout.pixel(*position(e, n))
        centre = (plane * x).sum() / total, (plane * y).sum() / total
        assert math.dist(centre, wanted) < 0.01  # of a pixel
        # The sums over pixels of Gaussians this wide are their integrals to 1e-6; the window ripples by 1e-3.
        assert total * cube.grid.cell**2 == pytest.approx(2 * math.pi * s**2 * height, rel=3e-3)
        # The window adds its variance, which is 1/3 - 2/pi^2 = 0.131 pixel^2, more of oblong pixels.
        wider = 0.5 * (plane * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2)).sum() / total - (s / cube.grid.cell) ** 2
        assert 0.12 < wider < (0.15 if abs(sx) == abs(sy) else 0.2 if abs(sy) < 0.5 else 0.4)
    assert f"position angle {turn:g} deg" in lines[1]
    assert ("mirrored" in lines[1]) == (sx > 0)
    history = " ".join(str(line) for line in fits.getheader(new)["HISTORY"])
    assert re.search(r"kinms \S+: resampled by north_up with reproject \d", history)


def test_the_whole_field_fits(tmp_path):
    head = cards(*TURNED["oblong and turned"])
    _, new, _ = resample(tmp_path, np.ones((3, head["NAXIS2"], head["NAXIS1"]), "f4"), head)
    cube = km.read_cube(new)
    assert np.nanmin(cube.data) == pytest.approx(1.0, abs=1e-6)
    assert np.nanmax(cube.data) == pytest.approx(1.0, abs=1e-6)
    # What is lost are new pixels that reach over the edge: one along each side, two at most.
    rows, columns = head["NAXIS2"], head["NAXIS1"]
    lost = rows * columns - np.isfinite(cube.data[0]).sum()
    assert 0 < lost < 2 * 2 * 1.3 * (rows + columns)
    corners = np.array([[0.5, 0.5], [columns + 0.5, 0.5], [0.5, rows + 0.5], [columns + 0.5, rows + 0.5]])
    sky = (corners - [head["CRPIX1"], head["CRPIX2"]]) @ matrix(*TURNED["oblong and turned"]).T
    made = fits.getheader(new)
    there = sky / cube.grid.cell * [-1, 1] + [made["CRPIX1"], made["CRPIX2"]] - 0.5
    assert there.min() > -1e-3
    assert np.all(there < np.array([made["NAXIS1"], made["NAXIS2"]]) + 1e-3)


def test_a_disc_turns_with_the_sky(tmp_path):
    # North up in the file's own pixels it has 26 degrees; pixels are turned by 37.
    disc = km.Disc(
        surface_brightness=km.ExponentialDisc(scale=2.0),
        rotation=km.ArctanCurve(v_max=150.0, r_turn=1.0),
        inc=50,
        pa=26,
        v_sys=1000.0,
        sigma_gas=10.0,
        flux=10.0,
    )
    grid = km.CubeGrid((24, 64, 64), cell=0.5, dv=20.0, v_ref=1000.0)
    model = km.simulate(disc, grid, km.Beam(2.0))
    rms = 0.02 * float(model.data.max())
    data = model.data + np.random.default_rng(np.random.SeedSequence(5)).normal(0.0, rms, model.data.shape)
    m = matrix(37.0, -0.5, 0.5) / 3600.0
    head = header(
        **{f"CD{i}_{j}": m[i - 1, j - 1] for i in (1, 2) for j in (1, 2)},
        **{"CDELT1": None, "CDELT2": None, "CRPIX1": 33.0, "CRPIX2": 33.0, "BMAJ": 2.0 / 3600, "BMIN": 2.0 / 3600},
        **{"CRVAL3": 1e3 * grid.velocities[0], "CDELT3": 2e4, "NAXIS1": 64, "NAXIS2": 64, "NAXIS3": 24},
    )
    _, new, _ = resample(tmp_path, data.astype("f4"), head)
    cube = km.read_cube(new, size=30.0, centre=(150.0, 30.0))
    np.testing.assert_allclose(cube.grid.velocities, grid.velocities, rtol=0, atol=1e-9)
    cube = cube.replace(data=np.nan_to_num(cube.data))
    start = disc.replace(pa=58.0, v_sys=1005.0)
    found = km.fit(start, cube, {"pa": km.Uniform(30, 90), "v_sys": km.Uniform(950, 1050)}, method="optimise")
    # The noise alone, as if white, leaves 0.05 degrees and 0.04 km/s.
    assert found.disc.pa == pytest.approx(63.0, abs=0.25)
    assert found.disc.v_sys == pytest.approx(1000.0, abs=0.2)


SPECTRA = {
    "VRAD": {},
    "descending FREQ": {"CTYPE3": "FREQ", "CUNIT3": "GHz", "CRVAL3": 114.8, "CD3_3": 0.004, "RESTFRQ": 115.2712018e9},
    "low FREQ, no line": {"CTYPE3": "FREQ", "CUNIT3": "MHz", "CRVAL3": 50.0, "CD3_3": 0.004, "RESTFRQ": None},
    "AWAV, no line": {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 6600.0, "CD3_3": 1.25, "RESTFRQ": None},
    "WAVE-LOG": {"CTYPE3": "WAVE-LOG", "CUNIT3": "nm", "CRVAL3": 656.0, "CD3_3": 0.3, "RESTFRQ": 4.5657e14},
    "optical": {"CTYPE3": "VOPT-F2W", "CRVAL3": 1e6, "CD3_3": 1e5},
}


@pytest.mark.parametrize("name", SPECTRA)
def test_channels_stay_what_they_are(tmp_path, name):
    head = cards(*TURNED["turned"], n=6, side=6.0, **SPECTRA[name])
    data = np.ones((6, head["NAXIS2"], head["NAXIS1"]), "f4") * np.arange(1, 7)[:, None, None]
    rest = {"rest_frequency": 51e6} if "MHz" in head["CUNIT3"] else {"line": "Halpha"} if "AWAV" in name else {}
    old, new = write(tmp_path / "old.fits", data, head), tmp_path / "new.fits"
    north_up(old, new)
    made = fits.getheader(new)
    if rest:
        assert not {"RESTFRQ", "RESTWAV"} & set(made)
        with pytest.raises(HeaderError, match="rest"):
            read_header(made)
    straight = cards(0.0, -0.2, 0.2, n=6, side=6.0, **SPECTRA[name])
    truth, layout = read_header(straight, **rest), read_header(made, **rest)
    np.testing.assert_allclose(layout.grid.velocity_edges, truth.grid.velocity_edges, rtol=1e-12, atol=1e-8)
    assert (layout.spectral.convention, layout.spectral.frame) == (truth.spectral.convention, truth.spectral.frame)
    assert {text for text, alarm in layout.notes if alarm} == {text for text, alarm in truth.notes if alarm}
    middle = fits.getdata(new)[:, made["NAXIS2"] // 2, made["NAXIS1"] // 2]
    np.testing.assert_allclose(middle, np.arange(1, 7), rtol=1e-6)


def test_axes_in_any_order_and_one_plane_of_stokes(tmp_path):
    head = cards(*TURNED["oblong and turned"])
    _, plain, _ = resample(tmp_path, blobs(head), head)
    other = head.copy()
    order = {"1": "3", "2": "2", "3": "4"}  # velocity last, Stokes first, Dec second
    for key in [key for key in head if re.search(r"\d", key)]:
        del other[key]
    for key in head:
        if re.search(r"\d", key) and not key.startswith("NAXIS"):
            other[re.sub(r"\d", lambda digit: order[digit[0]], key)] = head[key]
    other.update({"CTYPE1": "STOKES", "CRVAL1": 2.0, "CRPIX1": 1.0, "CDELT1": -1.0, "NAXIS": 4})
    data = np.swapaxes(blobs(head), 1, 2)[..., None]  # (velocity, RA, Dec, Stokes), Q before I
    data = np.concatenate([0.0 * data - 7.0, data], axis=-1)
    second = tmp_path / "second.fits"
    north_up(write(tmp_path / "stokes.fits", data, other), second)
    np.testing.assert_array_equal(fits.getdata(second), fits.getdata(plain))


def test_a_projection_that_stretches_the_field_is_left(tmp_path):
    # Plate carree, 60 degrees from its equator: pixels are twice as high as they are wide.
    sides = {"NAXIS1": 61, "NAXIS2": 61, "NAXIS3": 3, "CRPIX1": 31.0, "CRPIX2": 31.0 - 60 * 1800}
    head = header(CTYPE1="RA---CAR", CTYPE2="DEC--CAR", CRVAL2=0.0, **sides)
    y, x = np.mgrid[:61, :61]
    blob = np.exp(-0.5 * ((x - 30) ** 2 / 4**2 + (y - 30) ** 2 / 2**2))  # 4" x 4" on the sky
    _, new, lines = resample(tmp_path, np.array([blob] * 3, "f4"), head)
    cube = km.read_cube(new, centre=(150.0, 60.0), size=60.0)
    assert "TAN" in lines[2]
    assert cube.grid.cell == pytest.approx(math.sqrt(2.0), rel=1e-3)
    plane = np.nan_to_num(cube.data[0])
    assert plane.sum() * cube.grid.cell**2 == pytest.approx(2 * math.pi * 16.0, rel=3e-3)
    x, y = read_header(fits.getheader(new)).pixel(150.0, 60.0)
    made = fits.getdata(new)[0]
    made = np.where(np.isfinite(made), made, 0.0)
    rows, columns = np.mgrid[: made.shape[0], : made.shape[1]]
    # 4 arcsec, 1 sigma, and the window: 0.13 pixel^2 of pixels that are square, here up to twice that.
    for offset in (columns - x, rows - y):
        assert (made * offset).sum() / made.sum() == pytest.approx(0.0, abs=0.02)
        assert 8.1 < (made * offset**2).sum() / made.sum() < 8.3


def test_nan_noise_and_flags(tmp_path):
    head = cards(*TURNED["turned"])
    shape = (3, head["NAXIS2"], head["NAXIS1"])
    ny, nx = shape[1:]
    data = np.random.default_rng(np.random.SeedSequence(8)).normal(0.0, 3.0, shape).astype("f4")
    variance = np.full(shape, 9.0, "f4")
    flags = np.zeros(shape, np.int32)
    at = {0: (ny // 2, nx // 2), 1: (ny // 2 + 9, nx // 2 - 7), 2: (ny // 2 - 11, nx // 2 + 5)}
    data[0][at[0]] = np.nan
    data[1][at[1]], flags[1][at[1]] = 1e6, 4
    data[2][at[2]], variance[2][at[2]] = 1e6, 0.0
    noise = fits.ImageHDU(variance, name="STAT")
    _, new, lines = resample(tmp_path, data, head, [noise, fits.ImageHDU(flags, name="DQ")])
    cube = km.read_cube(new)
    assert np.nanmax(np.abs(cube.data)) < 30.0  # what is bad leaks into nothing
    made = fits.getheader(new)
    scale = cube.grid.cell
    for k, (row, column) in at.items():
        sky = matrix(*TURNED["turned"]) @ [column + 1 - head["CRPIX1"], row + 1 - head["CRPIX2"]]
        x, y = round(made["CRPIX1"] - 1 - sky[0] / scale), round(made["CRPIX2"] - 1 + sky[1] / scale)
        hole = np.isnan(cube.data[k, y - 4 : y + 5, x - 4 : x + 5])
        assert hole[4, 4]
        assert 1 <= hole.sum() <= 9
        for other in set(at) - {k}:
            assert np.isfinite(cube.data[other, y, x])
    with fits.open(new) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "ERR", "DQ"]
        sigma, dq = hdus["ERR"].data, hdus["DQ"].data
        hdus.verify("exception")
    np.testing.assert_allclose(sigma[np.isfinite(cube.data)], 3.0, rtol=1e-6)
    inside = np.isfinite(cube.data).all(axis=0)
    assert dq[1].sum() == dq[0].sum() + 1  # the flagged voxel has one nearest neighbour here
    assert not dq[0][inside].any()
    assert cube.noise is not None
    # 3 x 15 000 voxels, correlated: the measured ratio is good to 2 %.
    factor = float(re.search(r"scatters (\S+) times as much", lines[-1])[1])
    assert np.nanstd(cube.data) / 3.0 == pytest.approx(factor, abs=0.02)
    assert 0.6 < factor < 0.8


def test_flags_that_leave_nothing_are_left_aside(tmp_path):
    head = cards(*TURNED["turned"])
    data = blobs(head)
    extensions = [fits.ImageHDU(np.ones(data.shape, np.uint8), name="DQ")]
    with pytest.warns(KinmsWarning, match=r"no voxel is left by HDU 1 \(DQ\), which is left aside"):
        _, new, _ = resample(tmp_path, data, head, extensions)
    assert len(fits.info(new, output=False)) == 1
    assert km.read_cube(new).mask is None


def test_a_beam_per_channel_stays_with_its_channel(tmp_path):
    beams = [(6.0, 4.0, 20.0), (5.5, 4.0, 25.0), (5.0, 3.5, 30.0)]
    columns = [
        fits.Column(name, "E", unit=unit, array=column)
        for name, unit, column in zip(
            ("BMAJ", "BMIN", "BPA"), ("arcsec", "arcsec", "deg"), np.transpose(beams), strict=True
        )
    ]
    columns += [fits.Column("CHAN", "J", array=np.arange(3)), fits.Column("POL", "J", array=np.zeros(3))]
    table = fits.BinTableHDU.from_columns(columns, name="BEAMS")
    table.header["NCHAN"], table.header["NPOL"] = 3, 1
    head = cards(*TURNED["turned"], CD3_3=-1e4, CASAMBM=True, BMAJ=None, BMIN=None, BPA=None)
    _, new, _ = resample(tmp_path, blobs(head), head, [table])
    cube = km.read_cube(new)
    assert cube.flipped == ("velocity",)
    found = [(beam.bmaj, beam.bmin, beam.bpa) for beam in reversed(cube.beam.beams)]
    np.testing.assert_allclose(found, beams, rtol=1e-6)


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.fixture
def turned(tmp_path):
    head = cards(*TURNED["turned"], side=6.0)
    return write(tmp_path / "turned.fits", blobs(head), head)


@pytest.mark.parametrize("more", [{}, {"CDELT1": 2.0 / 3600.0}, {"CROTA2": 0.3}])
def test_what_the_reader_takes_is_left_alone(tmp_path, more):
    head = header(**more)
    plain = write(tmp_path / "plain.fits", np.ones((6, 8, 9), "f4"), head)
    with pytest.raises(InputError, match=r"North up with square pixels already.*There is nothing to do"):
        north_up(plain, tmp_path / "new.fits")
    assert not (tmp_path / "new.fits").exists()


def test_nothing_is_overwritten_unasked(tmp_path, turned):
    new = tmp_path / "new.fits"
    new.write_text("mine")
    with pytest.raises(OutputExistsError):
        north_up(turned, new)
    assert new.read_text() == "mine"
    north_up(turned, new, overwrite=True)
    assert km.read_cube(new).data.shape[0] == 3
    before = turned.read_bytes()
    with pytest.raises(InputError, match="another file"):
        north_up(turned, turned, overwrite=True)
    assert turned.read_bytes() == before
    with pytest.raises(FileError, match="folder that exists"):
        north_up(turned, tmp_path / "nowhere" / "new.fits")


def test_what_cannot_be_resampled(tmp_path, turned, monkeypatch):
    new = tmp_path / "new.fits"
    coupled = write(tmp_path / "coupled.fits", np.ones((3, 30, 31), "f4"), cards(*TURNED["turned"], 3, 6.0, CD3_1=1e3))
    with pytest.raises(HeaderError, match="couples the spectral axis") as caught:
        north_up(coupled, new)
    assert caught.value.key == "CD3_1"
    singular = {f"CD{i}_{j}": 1e-4 for i in (1, 2) for j in (1, 2)}
    unknown = {"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}
    beyond = {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRPIX1": 1e9}
    for more in (singular, unknown, beyond):
        odd = write(tmp_path / "odd.fits", np.ones((3, 30, 31), "f4"), cards(*TURNED["turned"], 3, 6.0, **more))
        with pytest.raises(HeaderError, match=r"astropy\.wcs cannot use|not on the sky"):
            north_up(odd, new)
    empty = write(tmp_path / "empty.fits", np.full((3, 30, 31), np.nan, "f4"), fits.getheader(turned))
    with pytest.raises(FileError, match="no finite voxel"):
        north_up(empty, new)
    with monkeypatch.context() as patch:
        patch.setattr("kinms.fits_north_up.available_memory", lambda: 10_000)
        with pytest.raises(FileError, match=r"too large to be resampled: 3 x \d+ x \d+ voxels take .* free"):
            north_up(turned, new)
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(InputError, match=r'reproject is not installed.*pip install "kinms\[north-up\]"'):
            north_up(turned, new)
    assert not new.exists()


def test_the_command(tmp_path, turned, capsys):
    new = str(tmp_path / "new.fits")
    assert main(["north-up", str(turned), new, "--hdu", "0"]) == 0
    said = capsys.readouterr()
    assert "position angle 37 deg" in said.out
    assert f"Written to {new}" in said.out
    assert said.err == ""
    assert main(["north-up", str(turned), new]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["north-up", str(turned), new, "--overwrite"]) == 0
    assert main(["north-up", new, str(tmp_path / "again.fits")]) == 2
    assert "There is nothing to do" in capsys.readouterr().err


def test_planes_are_the_same_however_many_go_at_once(tmp_path, turned, monkeypatch):
    north_up(turned, tmp_path / "a.fits")
    monkeypatch.setattr("kinms.fits_north_up.CHUNK", 1)
    north_up(turned, tmp_path / "b.fits")
    np.testing.assert_array_equal(fits.getdata(tmp_path / "a.fits"), fits.getdata(tmp_path / "b.fits"))
