"""What figures are made of: the position-velocity cut, the noise, units and steps."""

import numpy as np
import pytest
from figure_galaxy import GRID, PA, galaxy, noisy

from kinms.cube import Cube
from kinms.plot_panels import DYNAMIC_RANGE, display_unit, nice_step, position_velocity, prepare


@pytest.mark.parametrize("pa", [0.0, 60.0, 135.0, 250.0, 330.0])
def test_receding_side_is_at_positive_offsets(pa):
    offsets, intensity = position_velocity(galaxy(pa=pa), pa, (0.0, 0.0), 1.0)
    mean = (intensity * GRID.velocities[:, None]).sum(axis=0) / intensity.sum(axis=0)
    for radius in (2.0, 4.0):
        receding, approaching = mean[np.isclose(offsets, radius)], mean[np.isclose(offsets, -radius)]
        # Interpolation between pixels of 0.5 arcsec where the velocity rises by 20 km/s per arcsec at most.
        assert receding[0] - 1500.0 == pytest.approx(40.0 * np.tanh(radius / 2.0), abs=2.0)
        assert approaching[0] - 1500.0 == pytest.approx(-40.0 * np.tanh(radius / 2.0), abs=2.0)


def test_pv_of_a_point_lies_at_its_offset_from_the_centre():
    data = np.zeros(GRID.shape)
    x, y = 26 - 12, 22 + 8  # east 6, north 4
    data[13, y, x] = 1.0
    distance = np.hypot(6.0 - 1.0, 4.0 - 0.5)
    pa = np.degrees(np.arctan2(5.0, 3.5))
    offsets, intensity = position_velocity(Cube(data, GRID), pa, centre=(1.0, 0.5))
    channel, place = np.unravel_index(np.nanargmax(intensity), intensity.shape)
    assert channel == 13
    assert offsets[place] == pytest.approx(distance, abs=0.25)
    assert np.nanmax(intensity[:, offsets < 0]) == 0.0


def test_slit_is_the_mean_over_its_width():
    data = np.broadcast_to(np.abs(GRID.north)[None, :, None] < 0.6, GRID.shape).astype(float)
    narrow = position_velocity(Cube(data, GRID), 90.0, width=0.0)[1]
    wide = position_velocity(Cube(data, GRID), 90.0, width=4.0)[1]
    assert np.nanmin(narrow) == np.nanmax(narrow) == 1.0
    # 1.5 arcsec of light (three rows, interpolated) over 4 arcsec, sampled at 9 lines.
    assert np.nanmedian(wide) == pytest.approx(1.5 / 4.0, abs=0.06)


def test_an_oblique_slit_is_as_wide_across_as_along_an_axis():
    north, east = np.meshgrid(GRID.north, GRID.east, indexing="ij")
    band = np.abs(east * np.cos(np.radians(PA)) - north * np.sin(np.radians(PA))) < 0.75
    cube = Cube(np.broadcast_to(band, GRID.shape).astype(float), GRID)
    offsets, intensity = position_velocity(cube, PA, width=4.0)
    # 1.5 arcsec of light over 4, sampled at 9 lines.
    assert intensity[:, np.abs(offsets) < 5.0].mean() == pytest.approx(1.5 / 4.0, abs=0.06)


def test_pv_ignores_blank_voxels_and_ends_with_the_field():
    cube = galaxy()
    blank = cube.data.copy()
    blank[:, 22, 30] = np.nan
    blank[4] = np.nan
    offsets, intensity = position_velocity(cube.replace(data=blank), 90.0, width=3.0)
    whole = position_velocity(cube, 90.0, width=3.0)[1]
    assert offsets[0] == -12.5
    assert offsets[-1] == 13.0
    assert np.isnan(intensity[4]).all()
    other = np.arange(GRID.nv) != 4
    assert np.isfinite(intensity[other]).all()
    # One of about seven lines across is missing: the mean moves, but no blank pulls it towards zero or NaN.
    assert np.abs(intensity[other] - whole[other]).max() < 0.1


def test_noise_of_a_pure_model_is_bounded_by_the_dynamic_range():
    cube = galaxy(flux=6.0)
    view = prepare(cube, None)
    assert view.rms == pytest.approx(cube.data.max() / DYNAMIC_RANGE)
    assert prepare(cube, None, rms=0.5).rms == 0.5
    assert prepare(cube.replace(rms=0.25), None).rms == 0.25
    assert prepare(noisy(cube, 0.1), None).rms == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("unit", "peak", "expected"),
    [
        ("Jy/beam", 2.0, ("Jy/beam", 1.0)),
        ("JY/BEAM", 0.05, ("mJy/beam", 1e3)),
        ("Jy", 3e-6, ("µJy", 1e6)),
        ("Jy/beam", 3e-9, ("nJy/beam", 1e9)),
        ("Jy/beam", 0.0, ("Jy/beam", 1.0)),
        ("K", 0.001, ("K", 1.0)),
    ],
)
def test_display_unit(unit, peak, expected):
    assert display_unit(unit, peak) == expected


@pytest.mark.parametrize(("width", "step"), [(400.0, 50.0), (90.0, 10.0), (3.1, 0.5), (0.008, 0.001), (16.0, 2.0)])
def test_nice_step(width, step):
    assert nice_step(width, 8) == pytest.approx(step)
