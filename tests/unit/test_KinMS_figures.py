"""The import path and the call of existing scripts, drawn by `kinms.plots`."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.contour import ContourSet
from matplotlib.patches import Ellipse
from matplotlib.text import Text

from kinms.errors import FileError, InputError, InputTypeError, UnknownNameError
from kinms.utils import KinMS_figures
from kinms.utils.KinMS_figures import KinMS_plotter
from kinms.utils.sauron_colormap import sauron, sauron_r

SIZES = (32.0, 24.0, 200.0, 1.0, 10.0)  # xsize, ysize, vsize, cellsize, dv
BEAM = np.array([4.0, 2.0, 20.0])


def upstream_cube(shift=0.0):
    """Axes [x, y, v], x growing West: the western half recedes, so that posang is 270."""
    x = np.arange(32)[:, None, None] - 16.0
    y = np.arange(24)[None, :, None] - 12.0
    v = (np.arange(20)[None, None, :] - 10.0) * 10.0
    light = np.exp(-0.5 * (x**2 / 16.0 + y**2 / 9.0))
    return light * np.exp(-0.5 * ((v - shift - 40.0 * np.tanh(x / 3.0)) / 12.0) ** 2)


def plotter(cube=None, sizes=SIZES, beam=BEAM, **options):
    return KinMS_plotter(upstream_cube() if cube is None else cube, *sizes, beam, **{"posang": 270.0, **options})


def draw(*args, **options):
    return plotter(*args, **options).makeplots(plot2screen=False)


def panels(figure):
    return {str(ax.get_label()): ax for ax in figure.axes}


def contour_colours(ax):
    return {matplotlib.colors.to_hex(c.get_edgecolor()[0]) for c in ax.collections if isinstance(c, ContourSet)}


def test_the_call_of_the_tutorial_draws_four_panels_with_overlay():
    data = upstream_cube()
    figure = KinMS_plotter(
        data, *SIZES, BEAM, posang=np.float64(270.0), overcube=upstream_cube(20.0), rms=np.array(1e-3)
    ).makeplots()
    axes = panels(figure)
    assert list(axes) == ["moment0", "moment1", "pv", "spectrum"]
    for name in ("moment0", "moment1", "pv"):
        assert len(contour_colours(axes[name])) == 2
    assert "PA 270.0°" in axes["pv"].get_title()
    (ellipse,) = axes["moment0"].findobj(Ellipse)
    assert (ellipse.width, ellipse.height, ellipse.angle) == (2.0, 4.0, -20.0)
    assert plt.get_fignums() == []


def test_pixels_are_those_of_the_cube_and_west_is_right():
    data = np.zeros((32, 24, 20))
    data[20:23, 15:18, 8:12] = 1.0  # x = 21 is 5 arcsec West of pixel 16, y = 16 is 4 arcsec North of pixel 12
    ax = panels(draw(data, beam=1.0))["moment0"]
    (image,) = ax.images
    bright = np.argwhere(image.get_array().filled(0.0) == image.get_array().max())
    left, right, low, high = image.get_extent()
    east = left + (bright[:, 1] + 0.5) * (right - left) / 32
    north = low + (bright[:, 0] + 0.5) * (high - low) / 24
    assert (east.mean(), north.mean()) == pytest.approx((-5.0, 4.0))
    assert ax.get_xlim()[0] > ax.get_xlim()[1]


def test_receding_side_is_right_in_the_position_velocity_diagram():
    ax = panels(draw())["pv"]
    (image,) = ax.images
    left, right, low, high = image.get_extent()
    brightness = image.get_array()
    offset = left + (np.arange(brightness.shape[1]) + 0.5) * (right - left) / brightness.shape[1]
    velocity = low + (np.arange(brightness.shape[0]) + 0.5) * (high - low) / brightness.shape[0]
    peak = velocity[np.asarray(brightness).argmax(axis=0)]
    assert peak[np.isclose(offset, 8.0)] == 40.0
    assert peak[np.isclose(offset, -8.0)] == -40.0


def test_rms_times_rmsfac_clips_the_smoothed_cube():
    data = np.zeros((32, 24, 20))
    data[4:14, 4:20, 5:15] = 1.0
    data[18:28, 4:20, 5:15] = 0.2
    shown = [panels(draw(data, rms=rms))["moment0"].images[0].get_array() for rms in (0.1, 0.15)]
    faint = np.zeros((24, 32), dtype=bool)
    faint[8:16, 21:25] = True  # well inside the block, where the box of 1.5 beams sees nothing else
    assert not np.ma.getmaskarray(shown[0])[faint].any()  # 0.2 > 1.5 * 0.1
    assert np.ma.getmaskarray(shown[1])[faint].all()  # 0.2 < 1.5 * 0.15
    assert not np.ma.getmaskarray(shown[1])[8:16, 7:11].any()


def test_inputs_and_rcparams_are_left_alone():
    matplotlib.use("agg")  # showing resolves the backend, as any use of pyplot does
    before = dict(matplotlib.rcParams)
    data, model, beam = upstream_cube(), upstream_cube(20.0), BEAM.copy()
    data[3, 3, 3] = np.nan
    contents = [array.tobytes() for array in (data, model, beam)]
    draw(data, beam=beam, overcube=model).draw_without_rendering()
    plotter(data, overcube=model).makeplots(fontsize=20)
    assert contents == [array.tobytes() for array in (data, model, beam)]
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("options", "name", "magic"),
    [
        ({}, "KinMS_plots.pdf", b"%PDF-"),
        ({"pdf": False}, "KinMS_plots.png", b"\x89PNG\r\n\x1a\n"),
        ({"savename": "mine", "pdf": False}, "mine.png", b"\x89PNG\r\n\x1a\n"),
        ({"savename": "mine.pdf"}, "mine.pdf", b"%PDF-"),
    ],
)
def test_saves_where_asked(tmp_path, options, name, magic):
    plotter(savepath=str(tmp_path), **options).makeplots(plot2screen=False)
    (written,) = tmp_path.iterdir()
    assert written.name == name
    assert written.read_bytes().startswith(magic)


def test_ranges_cut_the_same_sky_as_they_did():
    figure = plotter().makeplots(plot2screen=False, xrange=[-6, 12], yrange=[-8, 9], vrange=[-50, 70])
    axes = panels(figure)
    for name in ("moment0", "moment1"):
        assert axes[name].get_xlim() == (6.0, -12.0)
        assert axes[name].get_ylim() == (-8.0, 9.0)
    assert axes["pv"].get_xlim() == (-12.0, 6.0)
    assert axes["pv"].get_ylim() == axes["spectrum"].get_xlim() == (-50.0, 70.0)


def test_fontsize_reaches_all_text():
    figure = plotter(title="A galaxy").makeplots(plot2screen=False, fontsize=13)
    figure.draw_without_rendering()
    assert {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()} == {13.0}
    assert figure.get_suptitle() == "A galaxy"


def test_rotation_curve_lies_on_both_sides():
    radius, velocity = np.array([2.0, 4.0, 6.0]), np.array([20.0, 30.0, 40.0])
    figure = plotter().makeplots(plot2screen=False, overrad=radius, overvrad=velocity)
    points = [line.get_data() for line in panels(figure)["pv"].lines if line.get_marker() == "o"]
    assert [(list(x), list(y)) for x, y in points] == [
        ([2.0, 4.0, 6.0], [20.0, 30.0, 40.0]),
        ([-2.0, -4.0, -6.0], [-20.0, -30.0, -40.0]),
    ]


@pytest.mark.parametrize(
    ("beam", "expected"),
    [
        (3.0, (3.0, 3.0, 0.0)),
        ([4.0, 3.0], (4.0, 3.0, 0.0)),
        ([3.0, 4.0, 30.0], (4.0, 3.0, 30.0)),
        ((4,), (4.0, 4.0, 0.0)),
    ],
)
def test_beam_of_one_two_or_three_numbers(beam, expected):
    made = plotter(beam=beam).beamsize
    assert (made.bmaj, made.bmin, made.bpa) == expected


def test_position_angle_per_radius_is_averaged_round_the_circle():
    assert plotter(posang=np.array([350.0, 30.0])).posang == pytest.approx(10.0)
    assert plotter(posang=None).posang == 0.0


def test_pvdthick_is_half_of_the_slit_in_pixels():
    data = np.zeros((32, 24, 20))
    data[:, 8:17, 5:15] = 1.0  # rows up to 4 arcsec from the axis
    bright = [panels(draw(data, beam=1.0, pvdthick=thick))["pv"].images[0].get_array().max() for thick in (2, 8)]
    assert bright[0] == 1.0
    # 16 arcsec wide: 9 rows of light with edges interpolated over one pixel.
    assert bright[1] == pytest.approx(9.0 / 16.0, abs=0.07)


@pytest.mark.parametrize(("fill", "message"), [(0.0, "no signal"), (np.nan, "no finite data")])
def test_empty_cubes_say_so(fill, message):
    figure = draw(np.full((32, 24, 20), fill), overcube=np.zeros((32, 24, 20)))
    assert message in {text.get_text() for text in figure.findobj(Text)}


def test_headless_shows_nothing_and_warns_of_nothing(monkeypatch):
    matplotlib.use("agg")
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: pytest.fail("shown without a window system"))
    plotter().makeplots(block=True)
    plotter().makeplots(block=False)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("block", [True, False])
def test_with_a_window_system_pyplot_shows_the_figure(monkeypatch, block):
    calls = []
    monkeypatch.setattr(KinMS_figures, "_has_windows", lambda: True)
    monkeypatch.setattr(plt, "show", lambda: calls.append("show"))
    monkeypatch.setattr(plt, "pause", lambda seconds: calls.append("pause"))
    try:
        figure = plotter().makeplots(block=block)
        assert plt.gcf() is figure
        assert calls == (["show"] if block else ["pause"])
    finally:
        plt.close("all")


def test_wrong_arguments_are_named_as_the_caller_names_them(tmp_path):
    cube = upstream_cube()
    with pytest.raises(UnknownNameError, match=r"makeplots keyword 'vrnge' is not known.*Did you mean 'vrange'"):
        plotter().makeplots(plot2screen=False, vrnge=[-1, 1])
    with pytest.raises(InputError, match=r"shape of f is \(32, 24\); expected \(nx, ny, nv\)"):
        plotter(cube[..., 0])
    with pytest.raises(InputError, match=r"shape of overcube is \(20, 24, 32\); expected \(32, 24, 20\), as f"):
        plotter(overcube=cube.T)
    with pytest.raises(InputError, match=r"xsize is 40; expected 32: 32 times 1, as the cube's shape"):
        plotter(sizes=(40.0, *SIZES[1:]))
    with pytest.raises(InputError, match="vsize is 100; expected 200"):
        plotter(sizes=(32.0, 24.0, 100.0, 1.0, 10.0))
    with pytest.raises(InputError, match="cellsize is 0; expected > 0"):
        plotter(sizes=(32.0, 24.0, 200.0, 0.0, 10.0))
    with pytest.raises(InputError, match="dv is -10; expected > 0"):
        plotter(sizes=(32.0, 24.0, 200.0, 1.0, -10.0))
    with pytest.raises(InputError, match="beamSize is"):
        plotter(beam=[4.0, 0.0, 0.0])
    with pytest.raises(InputError, match="length of beamSize is 4"):
        plotter(beam=[4.0, 3.0, 0.0, 1.0])
    with pytest.raises(InputTypeError, match="rms is 'low'"):
        plotter(rms="low")
    with pytest.raises(InputError, match="shape of overvrad"):
        plotter().makeplots(plot2screen=False, overrad=[1.0, 2.0], overvrad=[1.0])
    with pytest.raises(InputError, match="shape of xrange"):
        plotter().makeplots(plot2screen=False, xrange=3)
    missing = tmp_path / "nowhere"
    with pytest.raises(FileError, match="nowhere: is not a directory"):
        plotter(savepath=missing).makeplots(plot2screen=False)


def test_sauron_is_a_diverging_map_whose_ends_differ_in_blue_and_red():
    assert (sauron.name, sauron_r.name) == ("sauron", "sauron_r")
    low, middle, high = (np.array(sauron(value)) for value in (0.0, 0.5, 1.0))
    assert low[2] > low[0]
    assert high[0] > high[2]
    assert middle[:3].min() > 0.9
    assert np.allclose(sauron_r(0.0), high)
    assert "sauron" not in matplotlib.colormaps
