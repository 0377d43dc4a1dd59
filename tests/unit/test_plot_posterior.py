"""Figures of a fit: traces, priors, rotation curve, moments of the posterior's models."""

import dataclasses

import matplotlib
import numpy as np
import pytest
from astropy.table import Table

from kinms.cube import simulate
from kinms.disc import Cloudlets, Disc
from kinms.errors import InputError
from kinms.grid import Beam, CubeGrid
from kinms.likelihood import Inflation
from kinms.plots import predictive_figure, prior_figure, rotation_band, rotation_figure, trace_figure
from kinms.priors import IsotropicInclination, LogUniform, Normal, Uniform
from kinms.profiles import ArctanCurve, GaussianRing, KeplerianCurve, TableCurve
from kinms.results import FitResult, summarise

GRID = CubeGrid((24, 40, 42), 1.0, 15.0, v_ref=1500.0)
BEAM = Beam(4.0, 3.0, 20.0)
DISC = Disc(
    surface_brightness=GaussianRing(0.0, 4.0),
    rotation=ArctanCurve(120.0, 1.5),
    inc=50.0,
    pa=0.5,
    flux=20.0,
    sigma_gas=10.0,
    v_sys=1500.0,
)
FREE = {
    "inc": (IsotropicInclination(10.0, 80.0), 2.0, "deg"),
    "pa": (Uniform(0.0, 360.0, periodic=True), 2.0, "deg"),
    "flux": (LogUniform(1.0, 100.0), 0.3, "Jy km/s"),
    "rotation.v_max": (Normal(150.0, 40.0), 5.0, "km/s"),
}


def made(disc=DISC, free=FREE, steps=300, chains=2, **changes):
    """A result whose chain is independent draws about a disc."""
    rng = np.random.default_rng(3)
    clean = simulate(disc, GRID, BEAM)
    rms = float(clean.data.max()) / 30.0
    data = clean.replace(data=clean.data + rng.normal(0.0, rms, GRID.shape), rms=rms, stats=None)
    best = np.array([disc.value(name) for name in free], dtype=float)
    priors = tuple(prior for prior, _, _ in free.values())
    chain = best + rng.normal(size=(chains, steps, len(free))) * [sigma for _, sigma, _ in free.values()]
    for k, prior in enumerate(priors):
        chain[..., k] = prior.wrap(chain[..., k])
    median, minus, plus = summarise(chain.reshape(-1, len(free)), priors)
    fields = {
        "names": tuple(free),
        "units": tuple(unit for _, _, unit in free.values()),
        "priors": priors,
        "median": median,
        "minus": minus,
        "plus": plus,
        "best": best,
        "best_log_prob": 0.0,
        "chain": chain,
        "log_prob": rng.normal(size=(chains, steps)),
        "acceptance": np.full(chains, 0.3),
        "chi2": 1.0,
        "n": GRID.nv * GRID.ny * GRID.nx,
        "inflation": Inflation("none", 1, 1.0),
        "rms": rms,
        "method": "gastimator",
        "likelihood": "white",
        "steps": steps + 100,
        "burn": 100,
        "seed": 1,
        "wall_time_s": 1.0,
        "versions": {},
        "disc": disc,
        "data": data,
        "model": clean,
    }
    return FitResult(**{**fields, **changes})


@pytest.fixture(scope="module")
def result():
    return made()


def panels(figure):
    return {str(ax.get_label()): ax for ax in figure.axes if not str(ax.get_label()).startswith("_")}


def check_text(figure):
    """Titles and labels of panels lie on the page, and none runs into another."""
    figure.draw_without_rendering()
    texts = [text for ax in figure.axes for text in (ax.title, ax.xaxis.label, ax.yaxis.label)]
    texts += [text for ax in figure.axes for text in (ax._left_title, ax._right_title)]
    boxes = [text.get_window_extent() for text in texts if text.get_text() and text.get_visible()]
    page = figure.bbox
    for k, box in enumerate(boxes):
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
        assert not any(box.overlaps(other) for other in boxes[k + 1 :])


# -- traces --------------------------------------------------------------------------------------------------------


def test_trace_has_a_line_per_chain_and_says_how_well_they_agree(result):
    axes = panels(trace_figure(result))
    assert [name for name in axes if "histogram" not in name] == [*FREE, "log_prob"]
    for k, name in enumerate(FREE):
        lines = [line for line in axes[name].lines if line.get_gid() != "median"]
        assert len(lines) == 2
        np.testing.assert_array_equal(lines[0].get_xdata(), 100 + np.arange(300))
        (median,) = (line for line in axes[name].lines if line.get_gid() == "median")
        # 1.7 sigma of a median of 600 draws: the wrapped one and the unwrapped one differ by whole turns at most.
        turns = (median.get_ydata()[0] - result.median[k]) / 360.0
        assert turns == pytest.approx(round(turns), abs=1e-9)
    assert axes["inc"].get_ylabel() == "inc\n(deg)"
    assert axes["rotation.v_max"].get_ylabel() == "rotation.\nv_max\n(km/s)"
    title = axes["inc"].get_title(loc="right")
    assert title == rf"$\hat{{R}}$ = {result.r_hat[0]:.3f}, {result.ess_bulk[0]:.0f} independent samples"
    assert axes["log_prob"].get_xlabel() == "Step, burn-in included"


def test_trace_unwraps_angles(result):
    line = panels(trace_figure(result))["pa"].lines[0]
    assert np.ptp(line.get_ydata()) < 30.0


def test_text_of_a_trace_can_be_read(result):
    check_text(trace_figure(result))
    velocities = {f"rotation.velocity[{k}]": (Uniform(-50, 300), 5.0, "km/s") for k in range(8)}
    curve = TableCurve(np.arange(8.0) * 2.0, np.linspace(0.0, 120.0, 8))
    many = made(
        DISC.replace(rotation=curve), {**velocities, "surface_brightness.width": (Uniform(0.1, 10), 0.1, "arcsec")}
    )
    check_text(trace_figure(many))
    check_text(prior_figure(many))


def test_trace_of_many_walkers_and_of_a_chain_that_never_moved():
    walkers = made(chains=24, steps=40)
    axes = panels(trace_figure(walkers))
    assert len(axes["inc"].lines) == 25
    assert len(axes["inc, histogram"].patches) == 1
    still = made()
    still = dataclasses.replace(still, chain=np.broadcast_to(still.best, still.chain.shape).copy(), r_hat=None)
    trace_figure(still).draw_without_rendering()
    prior_figure(still).draw_without_rendering()


@pytest.mark.parametrize("draw", [trace_figure, prior_figure])
def test_too_few_samples_are_not_drawn(draw):
    with pytest.raises(InputError, match="number of samples is 4; expected more than 4"):
        draw(made(steps=2))


# -- priors --------------------------------------------------------------------------------------------------------


def test_prior_panels_show_density_and_histogram(result):
    axes = panels(prior_figure(result, title="Priors"))
    assert list(axes) == list(FREE)
    assert [ax.get_title() for ax in axes.values()] == [str(prior) for prior in result.priors]
    assert axes["flux"].get_xlabel() == "flux (Jy km/s)"
    for k, ax in enumerate(axes.values()):
        low, high = ax.get_xlim()
        ends = [end for end in result.priors[k].bounds if np.isfinite(end)]
        assert all(low <= end <= high for end in ends)
        # The prior's shape, its peak at one.
        shape = ax.collections[0].get_paths()[0].vertices
        x = shape[(shape[:, 1] > 0) & (np.abs(shape[:, 1] - 1.0) > 1e-9)]
        density = np.exp(result.priors[k].log_pdf(x[:, 0]))
        if len(x):
            np.testing.assert_allclose(density / density.max(), x[:, 1] / x[:, 1].max(), rtol=1e-6)
        assert shape[:, 1].max() == pytest.approx(1.0)
        steps = ax.patches[0].get_data()
        assert steps.values.max() == pytest.approx(1.0)


def test_narrow_posterior_is_enlarged_where_the_panel_is_free(result):
    axes = panels(prior_figure(result))
    assert not axes["inc"].child_axes
    (inset,) = axes["flux"].child_axes
    low, high = inset.get_xlim()
    assert 18.0 < low < 20.0 < high < 22.0
    # The angle lies at both ends of its range; enlarged, on one piece.
    (inset,) = axes["pa"].child_axes
    assert np.ptp(inset.get_xlim()) < 30.0


def test_text_of_the_priors_can_be_read(result):
    check_text(prior_figure(result))


# -- rotation ------------------------------------------------------------------------------------------------------


def test_rotation_band_holds_so_many_of_the_curves(result):
    band = rotation_band(result)
    low_95, low_68, median, high_68, high_95 = band.quantiles
    curves = np.array([ArctanCurve(v, 1.5)(band.radius) for v in result.samples[:, 3]])
    at = 100
    inside = np.mean((curves[:, at] > low_68[at]) & (curves[:, at] < high_68[at]))
    assert inside == pytest.approx(0.6827, abs=0.005)
    inside = np.mean((curves[:, at] > low_95[at]) & (curves[:, at] < high_95[at]))
    assert inside == pytest.approx(0.9545, abs=0.005)
    np.testing.assert_allclose(median, ArctanCurve(np.median(result.samples[:, 3]), 1.5)(band.radius), rtol=1e-9)


def test_rotation_extent_is_that_of_the_signal(result):
    # A Gaussian of sigma 4" at a peak of 30 rms in a channel, smoothed by the beam, is lost in noise near 2.5 sigma.
    extent = rotation_band(result).extent
    assert 7.0 < extent < 15.0
    # Along the major axis: the tilt does not stretch it.
    turned = made(DISC.replace(inc=80.0), {"flux": FREE["flux"]})
    assert 7.0 < rotation_band(turned).extent < 15.0


def test_rotation_figure_marks_signal_and_beam(result):
    (ax,) = rotation_figure(result).axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Radius (arcsec)", "Rotation velocity (km/s)")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "95 %",
        "68 %",
        "median, ArctanCurve",
        "beyond the signal",
    ]
    (beam,) = (line for line in ax.lines if line.get_gid() == "beam")
    assert np.ptp(beam.get_xdata()) == pytest.approx(BEAM.bmaj)
    (beyond,) = (patch for patch in ax.patches if patch.get_gid() == "beyond")
    assert beyond.get_x() == pytest.approx(rotation_band(result).extent)


def test_rotation_that_was_kept_is_a_line():
    kept = made(free={"flux": FREE["flux"]})
    band = rotation_band(kept)
    np.testing.assert_array_equal(band.quantiles, np.broadcast_to(ArctanCurve(120.0, 1.5)(band.radius), (5, 200)))
    (ax,) = rotation_figure(kept).axes
    assert "ArctanCurve, kept" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert not ax.collections


def test_table_is_marked_at_its_radii():
    curve = TableCurve([0.0, 3.0, 7.0, 60.0], [0.0, 80.0, 110.0, 120.0])
    free = {f"rotation.velocity[{k}]": (Uniform(-50, 300), 5.0, "km/s") for k in (1, 2)}
    table = made(DISC.replace(rotation=curve), free)
    (ax,) = rotation_figure(table).axes
    (container,) = ax.containers
    x, y = container.lines[0].get_data()
    np.testing.assert_allclose(x, [0.0, 3.0, 7.0])  # what lies beyond the panel is left out
    np.testing.assert_allclose(y[1:], np.median(table.samples, axis=0), rtol=1e-6)
    assert y[0] == 0.0


def test_point_mass_does_not_flatten_the_panel():
    keplerian = made(
        DISC.replace(rotation=KeplerianCurve(1e8, 10.0)), {"rotation.mass": (Uniform(1e7, 1e9), 1e6, "Msun")}
    )
    (ax,) = rotation_figure(keplerian).axes
    at_the_rim = float(keplerian.disc.rotation(5.0))
    assert at_the_rim < ax.get_ylim()[1] < 10.0 * at_the_rim


def test_draws_that_no_disc_allows_are_left_out(result):
    chain = result.chain.copy()
    chain[0, :30, 0] = -5.0  # a Gaussian's tail: no inclination
    band = rotation_band(dataclasses.replace(result, chain=chain))
    assert np.isfinite(band.quantiles).all()


def test_cloudlets_of_their_own_have_no_curve():
    positions = np.random.default_rng(1).normal(0.0, 3.0, size=(200, 3))
    disc = DISC.replace(surface_brightness=Cloudlets(positions, v_los=positions[:, 0]), rotation=None)
    result = made(disc, {"flux": FREE["flux"]})
    with pytest.raises(InputError, match=r"disc\.rotation is None; expected a rotation law"):
        rotation_figure(result)
    assert "rotation.png" not in result._pictures()
    assert "rotation.ecsv" not in result._numbers(None)


# -- moments -------------------------------------------------------------------------------------------------------


def image_of(ax):
    (image,) = ax.images
    return np.ma.filled(image.get_array(), np.nan)


def test_predictive_maps(result):
    figure = predictive_figure(result, draws=5)
    axes = panels(figure)
    whats = ("data", "model", "residual", "scatter")
    assert list(axes) == [f"{moment} {what}" for moment in ("moment0", "moment1") for what in whats]
    for moment in ("moment0", "moment1"):
        data, model, residual, scatter = (image_of(axes[f"{moment} {what}"]) for what in whats)
        known = np.isfinite(residual)
        assert known.sum() > 50
        np.testing.assert_allclose(residual[known], (data - model)[known], rtol=1e-6, atol=1e-9)
        assert np.all(scatter[np.isfinite(scatter)] >= 0.0)
    # The residual is noise: the rms of n channels added, times their width.
    residual, kept = image_of(axes["moment0 residual"]), np.isfinite(image_of(axes["moment0 residual"]))
    assert np.std(residual[kept]) < 3.0 * result.rms * np.sqrt(GRID.nv) * GRID.dv
    assert axes["moment1 data"].child_axes[0].get_ylabel() == "Mean velocity (km/s)"
    assert axes["moment0 scatter"].child_axes[0].get_ylabel() == "Scatter (Jy/beam km/s)"
    assert figure.get_suptitle() == "5 draws of the posterior"
    check_text(figure)


def test_scatter_is_that_of_the_posterior():
    # Only the flux is free, by 1.5 %: every pixel of moment 0 scatters by that, moment 1 not at all.
    only = made(free={"flux": FREE["flux"]}, steps=600)
    axes = panels(predictive_figure(only, draws=200))
    model, scatter = image_of(axes["moment0 model"]), image_of(axes["moment0 scatter"])
    known = model > 0.1 * np.nanmax(model)
    # 200 draws tell a width to 6 %; 4 sigma.
    np.testing.assert_allclose((scatter / model)[known], 0.3 / 20.0, rtol=0.25)
    still = image_of(axes["moment1 scatter"])
    assert np.nanmax(still) < 1e-3


def test_flux_found_by_the_fit_is_found_again():
    wrong = made(DISC, {"inc": FREE["inc"]}, steps=50)
    wrong = dataclasses.replace(wrong, disc=DISC.replace(flux=1.0), flux="best")
    axes = panels(predictive_figure(wrong, draws=4))
    model, data = image_of(axes["moment0 model"]), image_of(axes["moment0 data"])
    # Noise in the sum over some 300 pixels, and the degrees by which the draws differ, make a few per cent.
    assert np.nansum(model) == pytest.approx(np.nansum(data), rel=0.05)


def test_no_samples_and_no_signal(result):
    empty = dataclasses.replace(result, chain=np.empty((2, 0, 4)), log_prob=np.empty((2, 0)))
    assert predictive_figure(empty).get_suptitle() == "the best disc: nothing was sampled"
    noise = np.random.default_rng(2).normal(0.0, result.rms, GRID.shape)
    blank = dataclasses.replace(result, data=result.data.replace(data=noise))
    maps, curve = predictive_figure(blank, draws=2), rotation_figure(blank)
    check_text(maps)
    check_text(curve)
    assert not any(ax.images for ax in maps.axes)
    said = [text.get_text() for ax in maps.axes for text in ax.texts if text.get_gid() == "message"]
    assert said == ["no signal above the noise"] * 8


def test_nothing_is_left_in_pyplot(result):
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    for draw in (result.trace, result.prior_posterior, result.rotation_curve, result.predictive):
        draw()
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before
    assert isinstance(result.rotation_table(), Table)
