"""Files that are larger than the memory, and files that are none: what is read of them, and what is said."""

import bz2
import errno
import gzip
import io
import json
import lzma
import os
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from astropy.io import fits
from fits_files import header, numbers, write

import kinms.fits_file as fits_file
import kinms.fits_read as fits_read
import kinms.fits_stream as fits_stream
from kinms.errors import FileError, HeaderError, InputError, KinmsError
from kinms.fits_read import read_cube, read_gain
from kinms.memory import available_memory, in_words

GIB = 2**30

# The script that a user would write: what it needs of memory and time is measured around it.
SCRIPT = """
import json, resource, sys, time
import numpy as np
import kinms as km

def rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

path = sys.argv[1]
km.read_cube(sys.argv[2])                      # loads all that reading needs
before, began = rss(), time.perf_counter()
cube = km.read_cube(path, centre=(150.0, 30.0), size=96.0, velocity_range=(5900.0, 6080.0))
read, opened = time.perf_counter() - began, rss() - before
free = {"pa": km.Uniform(0.0, 360.0, periodic=True), "v_sys": km.Uniform(5900.0, 6080.0)}
result = km.fit(None, cube, free, method="optimise", seed=1, progress=False)
pa, v_sys = (float(value) for value in result.median)
print(json.dumps({"shape": cube.data.shape, "rms": cube.rms, "pa": pa, "v_sys": v_sys, "seconds": read,
                  "took": opened, "peak": float(cube.data.max())}))
"""


def sparse(path, nx, ny, nv, **cards):
    """A cube of any size that takes no room: what is not written is a hole, which reads as zeros."""
    head = fits.Header([("SIMPLE", True), ("BITPIX", -32)])
    for card in header(NAXIS1=nx, NAXIS2=ny, NAXIS3=nv, **cards).cards:
        head.append(card, end=True)
    text = head.tostring().encode()
    path.write_bytes(text)
    size = len(text) + 4 * nx * ny * nv
    os.truncate(path, size + -size % 2880)
    return np.memmap(path, ">f4", "r+", len(text), (nv, ny, nx))


def test_a_galaxy_out_of_a_cube_of_20_gib(tmp_path, saved):
    """It is opened, cut and fitted, and next to nothing of the rest is read."""
    import kinms as km

    disc = km.Disc(
        surface_brightness=km.ExponentialDisc(8.0), rotation=km.ArctanCurve(60.0, 2.0), inc=50.0, pa=30.0, flux=40.0,
        sigma_gas=8.0, v_sys=5990.0,
    )  # fmt: skip
    path = tmp_path / "mosaic.fits"
    voxels = sparse(path, 2048, 2048, 1280, CRPIX1=1000.0, CRPIX2=1000.0, CRPIX3=1.0)
    grid = km.CubeGrid((40, 64, 64), 2.0, 10.0, v_ref=5990.0)
    noise = km.correlated_noise(grid, km.Beam(6.0, 4.0, 20.0), rms=0.01, seed=1)
    model = km.simulate(disc, grid, km.Beam(6.0, 4.0, 20.0)).data
    # Channel k of the file is at 1000 + 10 k km/s, and pixel 999 of it (from 0) at (150, 30).
    voxels[479:519, 967:1031, 967:1031] = noise + model
    voxels.flush()
    del voxels
    assert path.stat().st_size > 20 * GIB
    room = path.stat().st_blocks * 512
    assert room < 200e6, "the test wants a file system that knows holes"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(path), str(saved())],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    found = json.loads(run.stdout)
    assert found["shape"] == [19, 49, 49]
    assert found["rms"] == pytest.approx(0.01, rel=0.05)
    assert found["peak"] == pytest.approx(np.nanmax((noise + model)[10:29, 8:57, 8:57]), rel=1e-6)
    # Signal to noise is 7 per beam and channel, over some 40 beams: a tenth of a channel and some degrees.
    assert found["v_sys"] == pytest.approx(5990.0, abs=2.0)
    assert found["pa"] == pytest.approx(30.0, abs=3.0)
    # The box is 45e3 voxels (0.4 MB); each of its rows brings a page or some of the file's: 931 rows x 64 KiB = 61 MB.
    assert found["took"] < 150e6


def test_what_is_read_is_the_box_alone(tmp_path, monkeypatch):
    """Mask, noise and flags of a cube too large for the memory are cut as it is."""
    monkeypatch.setattr(fits_read, "available_memory", lambda: 2**20)
    path = tmp_path / "cube.fits"
    data = numbers(header(NAXIS1=60, NAXIS2=50, NAXIS3=40))
    head = header(NAXIS1=60, NAXIS2=50, NAXIS3=40, CRPIX1=31.0, CRPIX2=26.0)
    hdus = [fits.PrimaryHDU(data, head), fits.ImageHDU(np.full(data.shape, 1e8, "f4"), name="STAT")]
    fits.HDUList(hdus).writeto(path)
    mask = np.zeros(data.shape, "u1")
    mask[7, 20, 30] = mask[9, 22, 33] = 1
    fits.writeto(tmp_path / "mask.fits", mask)
    # 40 x 50 x 60 voxels of 64 bits, four times with the noise.
    message = (
        r"cube\.fits: is too large to be read: 40 x 50 x 60 voxels of 64 bits, 4 times as its noise is read too, take "
        r"3\.7 MiB, and 1\.0 MiB of memory are free\. Read a part of it, with velocity_range=, with centre= and size=, "
        r"or with box=; parts can be thinned with downsample and rebin\."
    )
    with pytest.raises(FileError, match=message):
        read_cube(path)
    cut = read_cube(path, mask=tmp_path / "mask.fits", crop_to_mask=True)
    # A channel round it, and a beam of 6 arcsec: 3 pixels.
    box = np.s_[6:11, 17:26, 27:37]
    np.testing.assert_array_equal(cut.data, data[box])
    np.testing.assert_array_equal(cut.mask, mask[box] > 0)
    np.testing.assert_array_equal(cut.noise, 1e4)
    whole = read_cube(path, variance=None, box=((6, 11), None, None))
    np.testing.assert_array_equal(whole.data, data[6:11])
    # What is off the middle lies where it lay.
    assert cut.grid.velocities[0] == pytest.approx(1060.0)
    there = read_cube(path, variance=None, box=((6, 7), None, None)).grid
    east = (cut.grid.ra - there.ra) * np.cos(np.radians(30.0)) * 3600.0
    assert east == pytest.approx(-2.0 * (27 + 5 - 30), rel=1e-4)


def test_too_large_is_said_of_any_size(tmp_path):
    """NAXIS beyond all memory, of a file that has it."""
    path = tmp_path / "huge.fits"
    sparse(path, 2**14, 2**14, 2**10, CRPIX1=8192.0, CRPIX2=8192.0, CDELT1=-0.2 / 3600, CDELT2=0.2 / 3600)
    free = available_memory()
    assert free is None or free < 2**40
    with pytest.raises(FileError, match=r"1024 x 16384 x 16384 voxels of 32 bits take 1\.0 TiB, and .* are free\."):
        read_cube(path)
    cube = read_cube(path, box=((0, 2), (5, 7), (16383, 16384)), variance="auto")
    assert cube.data.shape == (2, 2, 1)


@pytest.mark.parametrize("box", [((0, 2), (0, 2)), ((0, 2), (0, 9), (0, 2)), ((2, 2), None, None), 7, "all", ((0, 1.5),
                         None, None), ((-1, 2), None, None), (("a", "b"), None, None)])  # fmt: skip
def test_boxes_that_are_none(saved, box):
    with pytest.raises(InputError, match=r"box is .*within the shape \(6, 8, 9\)"):
        read_cube(saved(), box=box)


def test_a_box_in_any_direction(saved):
    for cards in ({}, {"CDELT3": -1e4, "CRVAL3": 1.05e6}, {"CDELT1": 2 / 3600}, {"CDELT2": -2 / 3600}):
        path = saved(**cards)
        whole, part = read_cube(path), read_cube(path, box=((1, 4), (2, 7), None))
        np.testing.assert_array_equal(part.data, whole.data[1:4, 2:7])
        np.testing.assert_allclose(part.grid.velocities, whole.grid.velocities[1:4])
        # The reference is the middle of the box, and its position that of the pixel.
        assert (part.grid.x_ref, part.grid.y_ref) == (4.0, 2.0)
        assert part.grid.dec == pytest.approx(whole.grid.dec + 0.0 * whole.grid.cell / 3600.0, abs=1e-9)
        both = read_cube(path, box=((1, 4), (2, 7), None), velocity_range=(1005.0, 1025.0), size=8.0)
        np.testing.assert_array_equal(both.data, whole.data[1:3, 2:7, 2:7])
        placed = read_cube(path, box=((1, 4), (2, 7), None), centre=(150.0, 30.0))
        x, y = placed.grid.x_ref, placed.grid.y_ref
        np.testing.assert_array_equal(placed.data, part.data)
        at = read_cube(path, centre=(150.0, 30.0)).grid
        assert (x, y) == pytest.approx((at.x_ref, at.y_ref - 2.0))
    with pytest.raises(InputError, match="velocity_range and box is pixels 4 to 6 and 0 to 2; expected two that"):
        read_cube(saved(), box=((4, 6), None, None), velocity_range=(995.0, 1015.0))
    with pytest.raises(KinmsError, match="crop_to_mask is True; expected a mask beside it"):
        read_cube(saved(), crop_to_mask=True)


def test_the_gain_is_cut_as_the_cube(saved):
    path = saved()
    gain = read_gain(saved(name="gain.fits"), path, box=((1, 4), (2, 7), None))
    np.testing.assert_array_equal(gain, read_cube(path, box=((1, 4), (2, 7), None)).data)


def test_integers_of_a_mapped_file(tmp_path):
    """BSCALE, BZERO and BLANK on a part; 16 bits in any order of axes."""
    counts = np.arange(6 * 8 * 9).reshape(6, 8, 9).astype(">i2")
    counts[2, 3, 4] = -999
    cards = fits.Header([("SIMPLE", True), ("BITPIX", 16)])
    for card in header().cards:
        cards.append(card, end=True)
    cards["BSCALE"], cards["BZERO"], cards["BLANK"] = 0.25, -3.0, -999
    raw = cards.tostring().encode() + counts.tobytes()
    path = tmp_path / "int16.fits"
    path.write_bytes(raw + b"\0" * (-len(raw) % 2880))
    cube = read_cube(path, box=((2, 3), (3, 5), (2, 6)))
    truth = counts[2:3, 3:5, 2:6] * 0.25 - 3.0
    truth[0, 0, 2] = np.nan
    np.testing.assert_array_equal(cube.data, truth)
    for key, value in (("BSCALE", 0.0), ("BSCALE", "none"), ("BZERO", "x")):
        cards[key] = value
        raw = cards.tostring().encode() + counts.tobytes()
        path.write_bytes(raw + b"\0" * (-len(raw) % 2880))
        with pytest.raises(HeaderError, match=f"{key}: is .*: the data cannot be scaled"):
            read_cube(path)
        cards["BSCALE"], cards["BZERO"] = 0.25, -3.0


def test_compressed_images(tmp_path):
    """Tiles of a .fits.fz are read one by one by astropy."""
    data = numbers(header())
    path = tmp_path / "tiles.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, header(), compression_type="GZIP_2")]).writeto(path)
    cube = read_cube(path, box=((1, 4), (2, 7), None))
    np.testing.assert_array_equal(cube.data, data[1:4, 2:7])


@pytest.mark.parametrize(("name", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_packed_files(saved, tmp_path, monkeypatch, name, pack):
    whole = saved().read_bytes()
    path = tmp_path / f"cube.fits.{name}"
    path.write_bytes(pack(whole))
    np.testing.assert_array_equal(read_cube(path).data, numbers(header()))
    # One that is too large for memory goes through a temporary file, and that is said.
    monkeypatch.setattr(fits_stream, "IN_MEMORY", 3000)
    cube = read_cube(path)
    np.testing.assert_array_equal(cube.data, numbers(header()))
    assert any("unpacked" in text and "to 5.6 KiB" in text for text in cube.warnings)
    # And one for which there is no room is refused before the disk is full.
    monkeypatch.setattr(fits_stream, "LEAVE_FREE", 2**62)
    with pytest.raises(FileError, match=r"holds more than the 2\.9 KiB that unpacking it may take in .* -d where"):
        read_cube(path)
    path.write_bytes(pack(whole)[:-30])
    with pytest.raises(FileError, match=r"is truncated or damaged"):
        read_cube(path)
    path.write_bytes(pack(b"no FITS"))
    with pytest.raises(FileError, match=r"packed by \w+, and in it is not a FITS file"):
        read_cube(path)
    path.write_bytes(pack(b""))
    with pytest.raises(FileError, match=r"packed by \w+, and in it is nothing"):
        read_cube(path)


def _archive(kind, inside):
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("cube.fits", inside)
    else:
        with tarfile.open(fileobj=out, mode="w") as archive:
            entry = tarfile.TarInfo("cube.fits")
            entry.size = len(inside)
            archive.addfile(entry, io.BytesIO(inside))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>\n<html><head><title>Archive:\n login</title>", r"is a web page \('Archive: login'\), not"),
        (b"\n  <HTML><body>404", "is a web page, not a FITS file. The server answered with it instead of the file"),
        (b'{"detail": "not found"}', "is XML or JSON"),
        (b"<?xml version='1.0'?><VOTABLE>", "is XML or JSON"),
        (b"x y z\n1 2 3\n", r"is text, not a FITS file \(it starts with b'x y z\\n1 2 3"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer to a file in git-lfs.*git lfs pull"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "is an HDF5 file"),
        (b"%PDF-1.4", "is a PDF"),
        (b"\x89PNG\r\n", "is a picture"),
        (_archive("zip", b"SIMPLE"), "is a zip archive, not a FITS file. Unpack it"),
        (_archive("tar", b"SIMPLE"), "is a tar archive, not a FITS file. Unpack it"),
        (gzip.compress(_archive("tar", b"SIMPLE")), "packed by gzip, and in it is a tar archive"),
        (b"\x1f\x9d\x90", "packed by compress"),
        (bytes(range(40, 200)), "is not a FITS file"),
    ],
)  # fmt: skip
def test_what_is_no_fits_file(tmp_path, content, message):
    path = tmp_path / "cube.fits"
    path.write_bytes(content)
    with pytest.raises(FileError, match=rf"cube\.fits: .*{message}"):
        read_cube(path)


def test_what_is_no_file(tmp_path, monkeypatch):
    with pytest.raises(FileError, match="is a directory, not a FITS file"):
        read_cube(tmp_path)
    (tmp_path / "table.dat").write_bytes(b"casa")
    with pytest.raises(FileError, match=r"is a CASA image, not a FITS file. Export it with CASA's exportfits"):
        read_cube(tmp_path)
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    with pytest.raises(FileError, match="is neither a file nor a link to one"):
        read_cube(tmp_path / "pipe")
    with pytest.raises(FileError, match="cannot be opened"):
        read_cube("a\0b")
    (tmp_path / "mine.fits").write_bytes(b"SIMPLE")

    def refuse(*_args, **_keywords):  # who runs the tests may be allowed everything
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(fits_stream, "open", refuse, raising=False)
    with pytest.raises(FileError, match=r"mine\.fits: cannot be opened \(Permission denied\)\. Check its permissions"):
        read_cube(tmp_path / "mine.fits")


def test_nothing_is_read_ahead_between_small_parts(tmp_path):
    """Of a spectrum through a thousand channels a page each is read, not the 128 KiB that systems like to."""
    import mmap

    said = []
    path = tmp_path / "tall.fits"
    sparse(path, 512, 512, 200)

    class Told(mmap.mmap):
        def madvise(self, advice, *args):
            said.append(advice)
            return super().madvise(advice, *args)

    with open(path, "rb") as stream:
        size = path.stat().st_size
        mapped = np.ndarray.__new__(np.memmap, (size,), np.uint8, Told(stream.fileno(), 0, prot=mmap.PROT_READ))
        for index in ((slice(0, 200), slice(5, 9), slice(5, 9)), (slice(3, 5), slice(0, 512), slice(0, 512))):
            fits_file._advise(mapped, (200, 512, 512), index)
    assert said == [mmap.MADV_RANDOM, mmap.MADV_NORMAL]


def test_a_file_that_cannot_be_mapped_is_read_all_the_same(saved, monkeypatch):
    def refuse(*_args, **_keywords):
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(fits_file.np, "memmap", refuse)
    np.testing.assert_array_equal(read_cube(saved(), box=((1, 4), None, (2, 5))).data, numbers(header())[1:4, :, 2:5])


def test_truncated_in_its_noise(tmp_path):
    path = tmp_path / "cube.fits"
    data = numbers(header())
    fits.HDUList([fits.PrimaryHDU(data, header()), fits.ImageHDU(data**2, name="STAT")]).writeto(path)
    path.write_bytes(path.read_bytes()[:-2880])
    with pytest.raises(FileError, match=r"cube\.fits: is truncated"):
        read_cube(path)
    assert read_cube(path, variance=None).data.shape == data.shape


def test_a_header_without_an_end(tmp_path, saved):
    """Data are not read for a header to the end of the file, 20 GiB say, where a card that gives a size is damaged."""
    path = saved()
    os.truncate(path, 2 * GIB)
    with open(path, "rb") as stream:
        start = stream.read(2880)
    text = start.replace(b"NAXIS   =                    3", b"NAXIS   =                    0")
    with open(path, "r+b") as stream:
        stream.write(text)
    with pytest.raises(FileError, match=r"cannot be read as FITS \(no END within 8\.0 MiB of header\)"):
        read_cube(path)


def test_memory_is_told_in_words(monkeypatch, tmp_path):
    assert [in_words(n) for n in (0, 1023, 10_240, 3 * 2**30, 2**50)] == [
        "0 bytes", "1023 bytes", "10 KiB", "3.0 GiB", "1024 TiB",
    ]  # fmt: skip
    free = available_memory()
    assert free is None or 2**20 < free < 2**50
    import kinms.memory as memory

    limit, used, stat = (tmp_path / name for name in ("limit", "used", "stat"))
    limit.write_text("1000000\n")
    used.write_text("900000\n")
    stat.write_text("anon 500000\ninactive_file 300000\nactive_file 50000\n")
    monkeypatch.setattr(memory, "_GROUPS", ((str(limit), str(used), str(stat)),))
    # Pages of files are given back: 1000000 - 900000 + 350000.
    assert available_memory() == 450_000
    monkeypatch.setattr(memory, "_MEMINFO", pathlib.Path("/nothing"))
    limit.write_text("max\n")
    assert available_memory() is None or available_memory() > 2**20


def test_saved_is_plain(saved):
    """The fixture writes what these tests take for granted."""
    assert write(saved(), numbers(header()), header()).read_bytes().startswith(b"SIMPLE")
