"""Figures of cubes and chains: what they show, where, and in which units."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from figure_galaxy import BEAM, GRID, PA, galaxy, noisy
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet
from matplotlib.image import AxesImage
from matplotlib.patches import Ellipse, StepPatch

from kinms.cube import Cube
from kinms.errors import InputError, InputTypeError
from kinms.grid import Beam, CubeGrid
from kinms.plot_panels import (
    DATA_COLOUR,
    MODEL_COLOUR,
    RESIDUAL_COLOUR,
)
from kinms.plots import channel_figure, corner_figure, summary_figure


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


def test_channels_with_edges_of_their_own_are_drawn_between_them():
    data, model = noisy(galaxy()), galaxy()
    edges = GRID.velocity_edges + 30.0 * np.linspace(-1.0, 1.0, GRID.nv + 1) ** 2
    own = GRID.replace(edges=edges)
    ax = panels(summary_figure(data.replace(grid=own), model.replace(grid=own), pa=PA, v_sys=1500.0))["pv"]
    (mesh,) = (child for child in ax.collections if isinstance(child, QuadMesh))
    corners = np.asarray(mesh.get_coordinates())
    np.testing.assert_allclose(corners[:, 0, 1], edges)
    regular = image_of(panels(summary_figure(data, model, pa=PA, v_sys=1500.0))["pv"])
    np.testing.assert_allclose(corners[0, [0, -1], 0], regular.get_extent()[:2])
    np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), np.nan), np.ma.filled(regular.get_array(), np.nan))
    assert ax.get_ylim() == pytest.approx((edges[0], edges[-1]))


def test_pv_is_shown_as_far_as_there_are_data():
    data = galaxy(pa=90.0).data.copy()
    data[:, :, :16] = np.nan  # everything beyond 5 arcsec East
    ax = panels(summary_figure(Cube(data, GRID, BEAM), galaxy(pa=90.0), pa=90.0))["pv"]
    low, high = ax.get_xlim()
    assert -13.0 < low < -5.0
    assert high == 5.25


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


# -- nothing is left behind -----------------------------------------------------------------------------------------


def test_inputs_rcparams_and_pyplot_are_left_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    data, model, chain = noisy(galaxy()), galaxy(pa=80.0), np.random.default_rng(7).normal(size=(500, 2))
    data.data[2, 5] = np.nan
    mask = np.abs(data.data) > 0.1
    contents = [array.tobytes() for array in (data.data, model.data, mask, chain)]
    for array in (data.data, model.data, mask, chain):
        array.setflags(write=False)
    figures = {
        "summary": summary_figure(data, model, mask=mask),
        "channels": channel_figure(data, model, mask=mask),
        "corner": corner_figure(chain, ["inc", "pa"]),
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
