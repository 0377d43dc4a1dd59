"""A spectrograph's response that varies along the axis: from a table in Angstrom to the widths of a model's lines."""

import numpy as np
import pytest
from fits_files import header, write

import kinms as km
from kinms.fits_spectral import response

C = 299792.458
# What MUSE has, roughly: FWHM in Angstrom (Bacon et al. 2017, A&A 608, A1, fig. 15).
MUSE = [(5000.0, 2.9), (6000.0, 2.6), (7000.0, 2.5), (9000.0, 2.5)]


def optical_cube(folder, n=400):
    """A wide band of 1.25 Angstrom round 5625 Angstrom, in vacuum, whose rest value is its middle."""
    first = 5625.0 - 1.25 * (n // 2)
    head = header(CTYPE3="WAVE", CUNIT3="Angstrom", CRVAL3=first, CDELT3=1.25, RESTFRQ=None, RESTWAV=5625e-10, NAXIS3=n)
    rng = np.random.default_rng(np.random.SeedSequence(5))
    return write(folder / "band.fits", rng.normal(size=(n, 8, 9)).astype("f4"), head)


def test_widths_are_those_of_the_table(tmp_path):
    cube = km.read_cube(optical_cube(tmp_path), lsf=MUSE)
    wavelength = 5375.0 + 1.25 * np.arange(400)
    # Optical velocities are linear in wavelength: dv = c dl / l_rest.
    fwhm = np.interp(wavelength, [5000, 6000], [2.9, 2.6])
    np.testing.assert_allclose(cube.grid.lsf_sigma, C * fwhm / 5625.0 / np.sqrt(8 * np.log(2)), rtol=1e-9)
    part = cube.subcube(velocity_range=(-500, 500))
    np.testing.assert_array_equal(
        part.grid.lsf_sigma, cube.grid.lsf_sigma[np.isin(cube.grid.velocities, part.grid.velocities)]
    )


@pytest.mark.parametrize("convention", ["radio", "optical", "relativistic"])
def test_every_convention_means_the_same_wavelengths(convention):
    # In a convention v(f / f0) the width is |dv/dl| times that in wavelength; near v = 0 all have dv/dl = c/l.
    sigma = response(np.zeros(1), convention, C * 1e3 / 5000e-10, MUSE)
    assert sigma[0] == pytest.approx(C * 2.9 / 5000.0 / np.sqrt(8 * np.log(2)), rel=1e-6)


def test_a_model_has_the_width_of_its_place(tmp_path):
    grid = km.read_cube(optical_cube(tmp_path), lsf=MUSE).grid
    disc = km.Disc(
        surface_brightness=km.ExponentialDisc(0.4), rotation=km.FlatCurve(0.0), inc=0, pa=0, sigma_gas=30.0
    )  # fmt: skip
    for v_sys in (-10000.0, 9000.0):
        cube = km.simulate(disc.replace(v_sys=v_sys), grid)
        spectrum = cube.data.sum(axis=(1, 2), dtype=float)
        mean = spectrum @ grid.velocities / spectrum.sum()
        variance = spectrum @ (grid.velocities - mean) ** 2 / spectrum.sum()
        expected = 30.0**2 + np.interp(v_sys, grid.velocities, grid.lsf_sigma) ** 2 + grid.dv**2 / 12.0
        # The response changes by 1e-3 across the line, and tails are cut at 4.6 sigma (4e-4 of the variance).
        assert variance == pytest.approx(expected, rel=2e-3)
        assert mean == pytest.approx(v_sys, abs=0.02 * grid.dv)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([(6000.0, 2.5), (5000.0, 2.5)], "ascending"),
        ([(5000.0, -2.5)], "ascending"),
        ([], "shape"),
        ([5000.0, 2.5], "shape"),
        ([(5000.0, np.nan)], "finite"),
    ],
)
def test_tables_that_are_none(tmp_path, table, words):
    with pytest.raises(km.InputError, match=f"lsf.*{words}"):
        km.read_cube(optical_cube(tmp_path, 20), lsf=table)


def test_velocities_without_a_rest_value_have_no_wavelengths(tmp_path):
    path = write(tmp_path / "v.fits", np.ones((6, 8, 9), "f4"), header(RESTFRQ=None))
    with pytest.raises(km.InputError, match=r"lsf is given; .*rest value.* line"):
        km.read_cube(path, lsf=MUSE)


def test_configuration(tmp_path):
    optical_cube(tmp_path, 20)
    text = """
        [data]
        cube = "band.fits"
        lsf = [[5000.0, 2.9], [6000, 2.6]]
        [disc]
        inc = 30.0
        pa = 10.0
        [disc.surface_brightness]
        kind = "exponential"
        scale = 2.0
        [disc.rotation]
        kind = "flat"
        v_max = 100.0
    """
    path = tmp_path / "fit.toml"
    path.write_text(text)
    from kinms.config import load

    assert load(path).read_data().grid.lsf_sigma is not None
    path.write_text(text.replace("[6000, 2.6]", "[6000]"))
    with pytest.raises(km.ConfigError, match=r"data\.lsf.*pairs of numbers"):
        load(path)
