"""Figures of cubes and chains: what they show, where, and in which units."""

import dataclasses

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.contour import ContourSet
from matplotlib.image import AxesImage
from matplotlib.patches import Ellipse, StepPatch

from kinms.cube import Cube
from kinms.errors import InputError, InputTypeError
from kinms.grid import Beam, CubeGrid
from kinms.plot_panels import (
    DATA_COLOUR,
    DYNAMIC_RANGE,
    MODEL_COLOUR,
    RESIDUAL_COLOUR,
    display_unit,
    nice_step,
    position_velocity,
    prepare,
)
from kinms.plots import channel_figure, corner_figure, summary_figure

GRID = CubeGrid((21, 45, 52), cell=0.5, dv=10.0, v_ref=1500.0)
BEAM = Beam(2.4, 1.2, bpa=20.0)
PA = 60.0


def galaxy(pa=PA, flux=1.0, grid=GRID, beam=BEAM, v_sys=1500.0, **fields):
    """A rotating Gaussian blob: every pixel holds a line of sigma 12 km/s at its own velocity."""
    north, east = np.meshgrid(grid.north, grid.east, indexing="ij")
    along = east * np.sin(np.radians(pa)) + north * np.cos(np.radians(pa))
    across = east * np.cos(np.radians(pa)) - north * np.sin(np.radians(pa))
    light = flux * np.exp(-0.5 * (along**2 / 9.0 + across**2 / 4.0))
    offset = grid.velocities[:, None, None] - v_sys - 40.0 * np.tanh(along / 2.0)
    return Cube(light * np.exp(-0.5 * (offset / 12.0) ** 2), grid, beam, **fields)


def noisy(cube, rms=0.02):
    noise = np.random.default_rng(20240501).normal(0.0, rms, cube.data.shape)
    return cube.replace(data=cube.data + noise)


def panels(figure):
    return {str(ax.get_label()): ax for ax in figure.axes}


def image_of(ax):
    (image,) = (child for child in ax.images if isinstance(child, AxesImage))
    return image


def contours_of(ax, colour):
    wanted = matplotlib.colors.to_rgba(colour)
    return [c for c in ax.collections if isinstance(c, ContourSet) and np.allclose(c.get_edgecolor()[0], wanted)]


def steps_of(ax, colour):
    wanted = matplotlib.colors.to_rgba(colour)
    steps = [p for p in ax.patches if isinstance(p, StepPatch) and not p.get_fill()]
    return [p.get_data().values for p in steps if np.allclose(p.get_edgecolor(), wanted)]


def colour_bar_label(ax):
    (bar,) = ax.child_axes
    return bar.get_ylabel()


@pytest.fixture(scope="module")
def summary():
    return summary_figure(noisy(galaxy()), galaxy(pa=PA + 10.0), pa=PA, v_sys=1500.0, title="Mock")


# -- the summary ----------------------------------------------------------------------------------------------------


def test_summary_has_four_labelled_panels_with_units(summary):
    axes = panels(summary)
    assert list(axes) == ["moment0", "moment1", "pv", "spectrum"]
    for name in ("moment0", "moment1"):
        assert axes[name].get_xlabel() == "East offset (arcsec)"
        assert axes[name].get_ylabel() == "North offset (arcsec)"
    assert axes["pv"].get_xlabel() == "Offset along the slit (arcsec), + receding side"
    assert axes["pv"].get_ylabel() == axes["spectrum"].get_xlabel() == "Velocity (km/s)"
    assert axes["spectrum"].get_ylabel() == "Flux density (Jy)"
    assert colour_bar_label(axes["moment0"]) == "Integrated intensity (Jy/beam km/s)"
    assert colour_bar_label(axes["moment1"]) == "Mean velocity (km/s)"
    assert colour_bar_label(axes["pv"]) == "Intensity (Jy/beam)"
    assert summary.get_suptitle() == "Mock"
    legend = [text.get_text() for text in summary.legends[0].get_texts()]
    assert legend == ["data (images, filled spectrum)", "data, contours", "model, at the same levels", "data − model"]


def test_east_is_left_and_pixels_are_where_the_grid_says(summary):
    for name in ("moment0", "moment1"):
        ax = panels(summary)[name]
        left, right = ax.get_xlim()
        low, high = ax.get_ylim()
        assert left > 0 > right
        assert low < 0 < high
        extent = image_of(ax).get_extent()
        # The outer edges of the outermost pixels: half a pixel beyond their centres.
        assert extent == pytest.approx((13.25, -12.75, -11.25, 11.25))
        assert image_of(ax).origin == "lower"
        assert ax.get_aspect() == 1.0


def test_moment0_shows_the_integrated_intensity_of_the_kept_voxels():
    cube = galaxy()
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[5:16, 20:25, 24:30] = True
    shown = image_of(panels(summary_figure(cube, mask=mask))["moment0"]).get_array()
    expected = (cube.data * mask).sum(axis=0) * GRID.dv
    assert np.array_equal(np.ma.getmaskarray(shown), ~mask.any(axis=0))
    np.testing.assert_allclose(shown.compressed(), expected[mask.any(axis=0)], rtol=1e-12)


def test_velocity_colours_are_symmetric_about_v_sys():
    image = image_of(panels(summary_figure(galaxy(), v_sys=1500.0))["moment1"])
    low, high = image.get_clim()
    assert (low + high) / 2.0 == pytest.approx(1500.0)
    assert image.get_cmap().name == "RdBu_r"
    # The rotation reaches 40 km/s; clipped line wings move a mean by less than the channel width.
    assert 30.0 < (high - low) / 2.0 < 50.0
    # Red recedes: the pixel at +3 arcsec along the receding side.
    y, x = round(22 + 3.0 * np.cos(np.radians(PA)) / 0.5), round(26 - 3.0 * np.sin(np.radians(PA)) / 0.5)
    red, _, blue, _ = image.cmap(image.norm(image.get_array()[y, x]))
    assert red > blue


def test_v_sys_defaults_to_the_mean_velocity_of_the_signal():
    low, high = image_of(panels(summary_figure(galaxy(v_sys=1523.0)))["moment1"]).get_clim()
    assert (low + high) / 2.0 == pytest.approx(1523.0, abs=1.0)


@pytest.mark.parametrize("beam", [BEAM, Beam(2.0), Beam(3.0, 1.0, bpa=110.0)])
def test_beam_ellipse_has_the_size_and_angle_of_the_beam_on_the_sky(beam):
    figure = summary_figure(galaxy(beam=beam))
    figure.draw_without_rendering()
    for name in ("moment0", "moment1"):
        ax = panels(figure)[name]
        (ellipse,) = ax.findobj(lambda artist: isinstance(artist, Ellipse) and artist.get_gid() == "beam")
        assert (ellipse.width, ellipse.height) == pytest.approx((beam.bmin, beam.bmaj))
        # As drawn: pixels on the page, x to the right. East is left, so bpa leans to the left of up.
        outline = ellipse.get_transform().transform_path(ellipse.get_path()).to_polygons()[0]
        outline = outline - (outline.min(axis=0) + outline.max(axis=0)) / 2.0
        scale = np.hypot(*ax.transData.transform((0.0, 1.0)) - ax.transData.transform((0.0, 0.0)))
        radius = np.hypot(*outline.T)
        assert 2.0 * radius.max() / scale == pytest.approx(beam.bmaj, rel=0.01)
        if beam.bmin < beam.bmaj:
            right, up = outline[radius.argmax()]
            assert np.degrees(np.arctan2(-right, up)) % 180.0 == pytest.approx(beam.bpa, abs=1.0)


def test_beam_stays_in_the_corner_when_the_limits_move():
    figure = summary_figure(galaxy())
    ax = panels(figure)["moment0"]
    ax.set_xlim(-2.0, -9.0)
    ax.set_ylim(3.0, 10.0)
    figure.draw_without_rendering()
    (ellipse,) = ax.findobj(Ellipse)
    middle = ellipse.get_window_extent().get_points().mean(axis=0)
    east, north = ax.transData.inverted().transform(middle)
    assert -9.0 < -5.5 < east < -2.0
    assert 3.0 < north < 6.5


def test_a_beam_larger_than_the_panel_does_not_squeeze_it():
    figure = summary_figure(galaxy())
    figure.draw_without_rendering()
    ax = panels(figure)["moment0"]
    width = ax.bbox.width
    ax.set_xlim(0.4, -0.4)
    ax.set_ylim(-0.4, 0.4)
    figure.draw_without_rendering()
    assert ax.bbox.width > 0.8 * width


def test_no_beam_no_ellipse():
    cube = galaxy(beam=None, unit="Jy/pixel")
    figure = summary_figure(cube)
    assert not figure.findobj(Ellipse)
    assert panels(figure)["spectrum"].get_ylabel() == "Flux density (Jy)"


def test_model_is_overlaid_everywhere_at_the_levels_of_the_data(summary):
    axes = panels(summary)
    for name in ("moment0", "moment1", "pv"):
        (model,) = contours_of(axes[name], MODEL_COLOUR)
        (data,) = contours_of(axes[name], "white")
        assert set(model.levels) & set(data.levels)
        assert len(model.levels) >= 3
    assert len(steps_of(axes["spectrum"], MODEL_COLOUR)) == 1


def test_moment0_contours_are_fractions_of_the_data_peak(summary):
    ax = panels(summary)["moment0"]
    (data,) = contours_of(ax, "white")
    np.testing.assert_allclose(data.levels, np.array([0.1, 0.3, 0.5, 0.7, 0.9]) * image_of(ax).get_array().max())


def test_pv_contours_do_not_go_below_three_times_the_noise():
    data, model = noisy(galaxy(), rms=0.1), galaxy()
    (contour,) = contours_of(panels(summary_figure(data, model, pa=PA, rms=0.1))["pv"], MODEL_COLOUR)
    assert contour.levels[0] == pytest.approx(0.3)


def test_without_a_model_nothing_is_red():
    figure = summary_figure(galaxy(), pa=PA)
    for ax in figure.axes:
        assert not contours_of(ax, MODEL_COLOUR)
        assert not steps_of(ax, MODEL_COLOUR)
    assert not figure.legends


def test_spectrum_is_flux_density_over_the_same_pixels(summary):
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[10, 15:30, 18:34] = True
    data, model = noisy(galaxy()), galaxy(flux=0.9)
    data.data[11, 22, 26] = np.nan  # where both are bright
    ax = panels(summary_figure(data, model, mask=mask))["spectrum"]
    (drawn,), (over,), (rest,) = (steps_of(ax, c) for c in (DATA_COLOUR, MODEL_COLOUR, RESIDUAL_COLOUR))
    region = np.zeros(GRID.shape, dtype=bool)
    region[:, 15:30, 18:34] = True
    region[11, 22, 26] = False
    expected = [np.where(region, cube.data, 0.0).sum(axis=(1, 2)) / BEAM.pixels(0.5) for cube in (data, model)]
    np.testing.assert_allclose(drawn, expected[0], rtol=1e-9)
    np.testing.assert_allclose(over, expected[1], rtol=1e-9)
    np.testing.assert_allclose(rest, drawn - over, atol=1e-12)
    assert ax.get_xlim() == (1395.0, 1605.0)


# -- the position-velocity diagram ----------------------------------------------------------------------------------


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


def test_summary_draws_the_slit_through_the_centre_along_pa():
    figure = summary_figure(galaxy(), pa=PA, centre=(1.0, -0.5))
    lines = {line.get_gid(): line for line in panels(figure)["moment1"].lines}
    (e0, e1), (n0, n1) = lines["slit"].get_data()
    assert np.degrees(np.arctan2(e1 - e0, n1 - n0)) == pytest.approx(PA)
    assert ((e0 + e1) / 2, (n0 + n1) / 2) == pytest.approx((1.0, -0.5))
    assert lines["centre"].get_data() == ([1.0], [-0.5])


@pytest.mark.parametrize("pa", [20.0, 130.0, 283.0])
def test_pa_defaults_to_the_velocity_gradient_and_the_title_says_so(pa):
    title = panels(summary_figure(galaxy(pa=pa)))["pv"].get_title()
    assert title.endswith("(gradient)")
    measured = float(title.split("PA ")[1].split("°")[0])
    assert (measured - pa + 180.0) % 360.0 - 180.0 == pytest.approx(0.0, abs=3.0)


# -- absorption, noise, blanks --------------------------------------------------------------------------------------


def test_absorption_shows_the_same_velocities_as_emission():
    emission = image_of(panels(summary_figure(galaxy()))["moment1"]).get_array()
    axes = panels(summary_figure(galaxy(flux=-1.0), galaxy(flux=-1.0)))
    np.testing.assert_allclose(image_of(axes["moment1"]).get_array(), emission)
    low, high = image_of(axes["moment0"]).get_clim()
    assert low < 0.0
    assert high == 0.0
    assert image_of(axes["moment0"]).get_cmap().name == "viridis_r"
    for name in ("moment0", "pv"):
        assert all(level < 0 for level in contours_of(axes[name], MODEL_COLOUR)[0].levels)


@pytest.mark.parametrize(
    ("fill", "message"), [(0.0, "no signal"), (np.nan, "no finite data"), ("noise", "no signal above the noise")]
)
def test_nothing_to_show_is_said(fill, message):
    data = np.random.default_rng(3).normal(size=GRID.shape) if fill == "noise" else np.full(GRID.shape, fill)
    cube = Cube(data, GRID, BEAM)
    for figure in (summary_figure(cube, galaxy()), channel_figure(cube, galaxy())):
        said = {text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_gid() == "message"}
        assert said == {message}


def test_a_slit_outside_the_field_is_said():
    figure = summary_figure(galaxy(), pa=0.0, centre=(500.0, 0.0))
    (text,) = (t.get_text() for t in panels(figure)["pv"].texts)
    assert text == "the slit is outside the field"


@pytest.mark.parametrize("shape", [(1, 20, 20), (9, 1, 20), (1, 1, 1)])
def test_small_and_flat_cubes_are_drawn(shape):
    grid = CubeGrid(shape, cell=1.0, dv=10.0)
    cube = Cube(np.ones(shape), grid, Beam(3.0))
    for figure in (summary_figure(cube, cube), channel_figure(cube, cube)):
        figure.draw_without_rendering()
        assert len(figure.axes) >= 2


def test_noise_of_a_pure_model_is_bounded_by_the_dynamic_range():
    cube = galaxy(flux=6.0)
    view = prepare(cube, None)
    assert view.rms == pytest.approx(cube.data.max() / DYNAMIC_RANGE)
    assert prepare(cube, None, rms=0.5).rms == 0.5
    assert prepare(cube.replace(rms=0.25), None).rms == 0.25
    assert prepare(noisy(cube, 0.1), None).rms == pytest.approx(0.1, rel=0.05)


# -- channel maps ---------------------------------------------------------------------------------------------------


def test_channels_are_those_with_signal_and_say_their_velocity():
    figure = channel_figure(noisy(galaxy()), galaxy())
    axes = [ax for ax in figure.axes if ax.get_label().startswith("channel")]
    shown = [int(ax.get_label().split()[1]) for ax in axes]
    assert shown == sorted(shown)
    # The rotation spans 1460 to 1540 km/s, channels 6 to 14; at 1420 and 1580 the line has fallen by 3.3 sigma, and
    # the mask smooths by a channel.
    assert set(range(6, 15)) <= set(shown) <= set(range(2, 19))
    velocities = [next(t for t in ax.texts if t.get_gid() == "velocity").get_text() for ax in axes]
    assert velocities == [f"{GRID.velocities[k]:.1f} km/s" for k in shown]
    assert len({image_of(ax).get_clim() for ax in axes}) == 1
    assert all(ax.get_xlim()[0] > ax.get_xlim()[1] for ax in axes)
    assert figure.get_supxlabel() == "East offset (arcsec)"
    assert figure.get_supylabel() == "North offset (arcsec)"
    bars = [ax.get_ylabel() for ax in figure.axes if ax not in axes]
    assert bars == ["Intensity (Jy/beam)"]
    assert len(figure.findobj(Ellipse)) == 1


def test_channel_contours_double_from_three_times_the_noise_negative_ones_dashed():
    model = galaxy()
    both = model.replace(data=model.data - 0.3 * np.roll(model.data, 12, axis=2))
    figure = channel_figure(model, both, rms=0.02, channels=[10])
    (contour,) = contours_of(figure.axes[0], MODEL_COLOUR)
    assert set(contour.levels) <= {sign * 0.06 * 2.0**k for sign in (1, -1) for k in range(9)}
    assert contour.levels[0] < 0 < contour.levels[-1]
    solid = [offset_and_dashes[1] is None for offset_and_dashes in contour.get_linestyle()]
    assert solid == [bool(level > 0) for level in contour.levels]
    assert "times 20 mJy/beam" in figure.get_suptitle()


def test_at_most_max_panels_evenly_spread():
    figure = channel_figure(galaxy(), max_panels=5)
    shown = [int(ax.get_label().split()[1]) for ax in figure.axes if ax.get_label().startswith("channel")]
    assert len(shown) == 5
    assert np.ptp(np.diff(shown)) <= 1


def test_channels_as_asked_in_that_order():
    figure = channel_figure(galaxy(), channels=[12, 7], title="Two")
    assert [ax.get_label() for ax in figure.axes[:2]] == ["channel 12", "channel 7"]
    assert figure.get_suptitle().startswith("Two\n")


def test_tick_labels_are_at_the_outer_panels_only():
    figure = channel_figure(galaxy(), channels=[6, 8, 9, 10, 11, 12, 14])  # three columns, the last row has one
    axes = figure.axes[:7]
    below = [ax.xaxis.get_tick_params()["labelbottom"] for ax in axes]
    left = [ax.yaxis.get_tick_params().get("labelleft", True) for ax in axes]
    assert below == [False, False, False, False, True, True, True]
    assert left == [True, False, False, True, False, False, True]


def test_neighbouring_labels_do_not_overlap():
    for figure in (channel_figure(galaxy(), max_panels=5), summary_figure(galaxy(), galaxy())):
        figure.draw_without_rendering()
        for ax in figure.axes:
            for axis in (ax.xaxis, ax.yaxis):
                boxes = [t.get_window_extent() for t in axis.get_ticklabels() if t.get_visible() and t.get_text()]
                assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


# -- the corner plot ------------------------------------------------------------------------------------------------

CHAIN = np.random.default_rng(5).normal([45.0, 283.7, 3403.0, 2e9], [1.0, 0.5, 0.02, 1e8], size=(3000, 4))
NAMES = ["inc", "pa", "rotation.v_max", "rotation.mass"]
UNITS = ["deg", "deg", "km/s", "Msun"]


def test_corner_labels_units_and_quantiles():
    figure = corner_figure(CHAIN, NAMES, units=UNITS, truths=[45.0, np.nan, 3403.0, 2e9], title="Fit")
    axes = np.array(figure.axes).reshape(4, 4)
    labels = [ax.get_xlabel() for ax in axes[-1]]
    assert labels == ["inc\n(deg)", "pa\n(deg)", "rotation.\nv_max\n(km/s)", "rotation.\nmass\n(Msun)"]
    assert [ax.get_ylabel() for ax in axes[1:, 0]] == labels[1:]
    low, middle, high = np.quantile(CHAIN[:, 0], [0.16, 0.5, 0.84])
    assert axes[0, 0].get_title() == f"inc\n${middle:.2f}_{{-{middle - low:.2f}}}^{{+{high - middle:.2f}}}$"
    assert r"\times 10^{9}$" in axes[3, 3].get_title()
    marks = {round(float(line.get_xdata()[0]), 6) for line in axes[0, 0].lines}
    assert {round(float(q), 6) for q in (low, middle, high)} | {45.0} == marks
    assert len(axes[1, 1].lines) == 3  # no truth there
    assert figure.get_suptitle() == "Fit"


def test_corner_leaves_out_what_is_constant_and_lists_it():
    chain = CHAIN.copy()
    chain[:, 1] = 283.7
    figure = corner_figure(chain, NAMES, units=UNITS)
    assert len(figure.axes) == 9
    (note,) = (text.get_text() for text in figure.texts if text.get_gid() == "note")
    assert note == "constant:\npa = 283.7 deg"


def test_corner_of_one_and_of_no_moving_parameter():
    assert len(corner_figure(CHAIN[:, :1], NAMES[:1]).axes) == 1
    still = corner_figure(np.full((50, 2), 3.0))
    assert not still.axes
    assert still.texts[0].get_text() == "constant:\nparameter 0 = 3\nparameter 1 = 3"


def test_corner_of_twelve_parameters_has_legible_text_that_does_not_overlap():
    rng = np.random.default_rng(8)
    names = [f"rotation.velocity[{k}]" for k in range(11)] + ["surface_brightness.scale"]
    chain = rng.normal(200.0, 3.0, size=(300, 12)) + np.arange(12)
    figure = corner_figure(chain, names, units=["km/s"] * 11 + ["arcsec"])
    figure.draw_without_rendering()
    axes = np.array(figure.axes).reshape(12, 12)
    texts = [ax.xaxis.label for ax in axes[-1]] + [ax.title for ax in np.diag(axes)]
    texts += [ax.yaxis.label for ax in axes[1:, 0]]
    assert min(text.get_fontsize() for text in texts) >= 7.0
    page = figure.bbox
    boxes = [text.get_window_extent() for text in texts]
    for i, box in enumerate(boxes):
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
    ticks = [t.get_window_extent() for ax in axes[-1] for t in ax.get_xticklabels() if t.get_text()]
    labels = [ax.xaxis.label.get_window_extent() for ax in axes[-1]]
    assert len(ticks) >= 12
    assert not any(tick.overlaps(label) for tick in ticks for label in labels)


@dataclasses.dataclass
class Result:
    """What of a FitResult the corner plot reads."""

    samples: np.ndarray
    names: tuple = ("inc", "pa")
    units: tuple = ("deg", "deg")


def test_corner_takes_names_and_units_from_a_result():
    figure = corner_figure(Result(CHAIN[:, :2]))
    assert figure.axes[2].get_xlabel() == "inc\n(deg)"


def test_corner_of_an_interrupted_fit_says_that_samples_are_few():
    figure = corner_figure(Result(CHAIN[:2, :2]))
    assert not figure.axes
    assert figure.texts[0].get_text() == "too few samples (2) to be drawn"


# -- errors ---------------------------------------------------------------------------------------------------------


def test_wrong_input_is_named():
    cube = galaxy()
    with pytest.raises(InputTypeError, match=r"data is ndarray; expected a Cube\. Wrap the array"):
        summary_figure(cube.data)
    with pytest.raises(InputTypeError, match="model is ndarray"):
        channel_figure(cube, cube.data)
    other = galaxy(grid=GRID.replace(cell=0.6))
    with pytest.raises(InputError, match=r"cell of model\.grid is 0\.6; expected 0\.5, as the data's"):
        summary_figure(cube, other)
    with pytest.raises(InputError, match=r"shape of mask is \(45, 52\); expected \(21, 45, 52\)"):
        summary_figure(cube, mask=np.ones((45, 52)))
    with pytest.raises(InputError, match="shape of centre"):
        summary_figure(cube, centre=(0, 0, 0))
    with pytest.raises(InputError, match="pa is nan"):
        summary_figure(cube, pa=np.nan)
    with pytest.raises(InputError, match="rms is -1; expected >= 0"):
        summary_figure(cube, rms=-1)
    with pytest.raises(InputError, match="a channel is 21; expected one of 0 to 20"):
        channel_figure(cube, channels=[3, 21])
    with pytest.raises(InputError, match="channels is empty"):
        channel_figure(cube, channels=[])
    with pytest.raises(InputError, match="max_panels is 0"):
        channel_figure(cube, max_panels=0)


def test_wrong_samples_are_named():
    with pytest.raises(InputError, match=r"shape of samples is \(4, 3000\).*Transpose it"):
        corner_figure(CHAIN.T)
    with pytest.raises(InputError, match="length of labels is 3; expected 4, one per parameter"):
        corner_figure(CHAIN, NAMES[:3])
    with pytest.raises(InputError, match="samples is not finite"):
        corner_figure(np.where(CHAIN > 1e8, np.nan, CHAIN))


# -- nothing is left behind -----------------------------------------------------------------------------------------


def test_inputs_rcparams_and_pyplot_are_left_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    data, model, chain = noisy(galaxy()), galaxy(pa=80.0), CHAIN[:500, :2].copy()
    data.data[2, 5] = np.nan
    mask = np.abs(data.data) > 0.1
    contents = [array.tobytes() for array in (data.data, model.data, mask, chain)]
    for array in (data.data, model.data, mask, chain):
        array.setflags(write=False)
    figures = {
        "summary": summary_figure(data, model, mask=mask),
        "channels": channel_figure(data, model, mask=mask),
        "corner": corner_figure(chain, NAMES[:2]),
    }
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert contents == [array.tobytes() for array in (data.data, model.data, mask, chain)]
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []


def test_a_figure_given_is_drawn_into():
    mine = matplotlib.figure.Figure(figsize=(12, 10))
    assert summary_figure(galaxy(), figure=mine) is mine
    assert len(mine.axes) == 4


def test_figures_are_legible_in_print():
    figure = summary_figure(galaxy())
    assert tuple(figure.get_size_inches()) == (10.0, 8.5)
    assert figure.dpi == 150


def test_big_endian_cubes_are_read_as_they_come():
    cube = galaxy()
    swapped = cube.replace(data=cube.data.astype(">f4"))
    shown = [image_of(panels(summary_figure(c))["moment0"]).get_array() for c in (cube, swapped)]
    np.testing.assert_allclose(shown[0], shown[1], rtol=1e-5)


# -- small things ---------------------------------------------------------------------------------------------------


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
