"""The corner plot: labels, numbers, and text that can be read."""

import dataclasses

import numpy as np
import pytest

from kinms.errors import InputError
from kinms.plots import corner_figure

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


def test_wrong_samples_are_named():
    with pytest.raises(InputError, match=r"shape of samples is \(4, 3000\).*Transpose it"):
        corner_figure(CHAIN.T)
    with pytest.raises(InputError, match="length of labels is 3; expected 4, one per parameter"):
        corner_figure(CHAIN, NAMES[:3])
    with pytest.raises(InputError, match="samples is not finite"):
        corner_figure(np.where(CHAIN > 1e8, np.nan, CHAIN))
