"""Cubes, files and clouds beside those of kinms 3.0.14, from the stored figures; and every difference that is known.

Upstream draws clouds: its cube is one sample of what it means. The goldens hold the mean and scatter of each figure
over seeds, with the default number of clouds. Agreement is asked with the mean, by two tests of each summary (a map, a
spectrum, ...), for which FALSE_ALARM is the chance that any of them fails with nothing wrong.

- The largest deviation of an element, in standard errors of its mean: Student's t with seeds - 1 degrees of freedom,
  Bonferroni-corrected for the number of elements.
- For maps and spectra the sum of the squared deviations, which finds small ones of many elements: chi-squared about
  the sum of the squared standard errors, with the degrees of freedom that the seeds themselves show
  (`upstream.spread`), Bonferroni-corrected for the number of summaries.

Our own cubes err, too: without an estimate by up to RULE, a thousandth (`kinms.Sampling`). So does upstream's beam.
"""

import dataclasses
import inspect
import re
import subprocess
import sys
import textwrap

import matplotlib
import numpy as np
import pytest
from astropy.io import fits
from deviations import ROWS, RULE, TABLE, Found, figures, load_goldens, numbers, ours, text
from scipy import stats
from settings import AGREEING, DEVIATING, DISC, SETTINGS, ready
from summaries import scales, summarise_clouds

from kinms import KinMS, KinMS2, radial_motion
from kinms.legacy_arguments import GALAXY, KINMS2, TELESCOPE, Galaxy, Telescope
from kinms.utils.KinMS_figures import KinMS_plotter

GOLD = load_goldens()
ORDERS = {name: [argument[0] for argument in arguments] for name, arguments in GOLD["signatures"].items()}
#: Chance that anything fails though nothing is wrong, in each of the two tests.
FALSE_ALARM = 1e-3
COMPARED = [one for s in AGREEING for one in GOLD["settings"][s.name].get("summary", {}).values()]
SUMMARIES, ELEMENTS = len(COMPARED), sum(len(one["mean"]) for one in COMPARED)
#: Upstream's beam has FWHM / sigma = 2.355, not 2.35482: areas differ by 1.5e-4; five digits are kept of each figure.
BEAM_AND_DIGITS = 2.0 * (2.355 / np.sqrt(8.0 * np.log(2.0)) - 1.0) + 5e-5


def compare(golden, seeds, mine, allowed, pooled):
    """Largest deviation over its bound, and root-sum-square deviation over its bound: both below 1 is agreement."""
    mean = numbers(golden["mean"])
    error = np.broadcast_to(numbers(golden["std"]), mean.shape) / np.sqrt(seeds)
    assert np.all(np.isfinite(mean))
    distance = np.abs(mine - mean)
    t = stats.t.isf(0.5 * FALSE_ALARM / ELEMENTS, seeds - 1)
    largest = float(np.max(distance / (t * error + allowed)))
    if not pooled or not error.any():
        return largest, 0.0
    left = np.maximum(distance - allowed, 0.0)  # of what is allowed to every element nothing counts
    bound = np.sum(error**2) * stats.chi2.isf(FALSE_ALARM / SUMMARIES, golden["dof"]) / golden["dof"]
    return largest, float(np.sqrt(np.sum(left**2) / bound))


def deviations_of(setting):
    golden = GOLD["settings"][setting.name]
    assert "summary" in golden, f"upstream: {golden}"
    found = ours(setting, ORDERS, np.array(golden["bright"], dtype=int))
    assert isinstance(found, Found), found
    units = scales({name: numbers(one["mean"]) for name, one in golden["summary"].items()})
    seeds, allowed = golden["seeds"], {name: (RULE + BEAM_AND_DIGITS) * unit for name, unit in units.items()}
    return {
        name: compare(one, seeds, found.summary[name], allowed[name], name not in ("centre", "widths"))
        for name, one in golden["summary"].items()
        if name != "clouds"
    }


@pytest.mark.parametrize("setting", AGREEING, ids=lambda setting: setting.name)
def test_agrees_within_upstreams_sampling_noise(setting):
    found = deviations_of(setting)
    bad = {name: both for name, both in found.items() if max(both) > 1.0}
    assert not bad, f"(largest, rms) deviation over its bound: {bad}"


@pytest.mark.parametrize(
    "setting", [s for s in AGREEING if s.disc.get("returnClouds")], ids=lambda setting: setting.name
)
def test_returned_clouds_agree_within_their_noise(setting):
    """Percentiles of x, y, z and v; ours are random, too, and the golden's scatter is theirs."""
    golden = GOLD["settings"][setting.name]["summary"]
    _, positions, velocities = KinMS(**setting.scope).model_cube(**ready(setting.disc, radial_motion))
    mine = summarise_clouds(np.column_stack([positions, velocities]))
    mean, std = numbers(golden["clouds"]["mean"]), numbers(golden["clouds"]["std"])
    seeds = GOLD["settings"][setting.name]["seeds"]
    units = scales({name: numbers(one["mean"]) for name, one in golden.items()})["clouds"]
    t = stats.t.isf(0.5 * FALSE_ALARM / mean.size, seeds - 1)
    assert np.all(np.abs(mine - mean) < t * std * np.sqrt(1.0 + 1.0 / seeds) + 5e-5 * units)


# -- files -------------------------------------------------------------------------------------------------------------

#: Cards that must say the same; floating-point ones to rounding.
SAME = (
    *("CTYPE1", "CDELT1", "CUNIT1", "CRPIX1", "CRVAL1", "CTYPE2", "CDELT2", "CUNIT2", "CRPIX2", "CRVAL2", "CTYPE3"),
    *("CDELT3", "CUNIT3", "BMAJ", "BMIN", "BPA", "BUNIT", "RESTFRQ", "SPECSYS", "RADESYS", "EQUINOX"),
)


@pytest.mark.parametrize("setting", [s for s in AGREEING if s.disc.get("fileName")], ids=lambda s: s.name)
def test_headers_say_what_upstreams_say(setting):
    theirs = GOLD["settings"][setting.name]["header"]
    mine = ours(setting, ORDERS).header
    for key in SAME:
        expected = theirs[key].strip() if isinstance(theirs[key], str) else pytest.approx(theirs[key], rel=1e-12)
        assert mine[key] == expected, key
    # The same axis, from another reference channel; theirs is half a channel off (DEVIATIONS.md).
    first = mine["CRVAL3"] + (1.0 - mine["CRPIX3"]) * mine["CDELT3"]
    their_first = theirs["CRVAL3"] + (1.0 - theirs["CRPIX3"]) * theirs["CDELT3"]
    assert first == pytest.approx(their_first - 0.5 * theirs["CDELT3"], abs=1e-3)


def test_frames_set_on_the_object_are_written(tmp_path):
    model = KinMS(**SETTINGS["plain"].scope)
    model.specsys, model.radesys = "LSRK", "ICRS"
    model.model_cube(**DISC, fileName=tmp_path / "frames", ra=10.0, dec=20.0)
    header = fits.getheader(tmp_path / "frames_simcube.fits")
    assert (header["SPECSYS"], header["RADESYS"]) == ("LSRK", "ICRS")
    assert "EQUINOX" not in header
    assert KinMS(**SETTINGS["plain"].scope).specsys == "BARYCENT", "an object's frames are its own"


# -- differences -------------------------------------------------------------------------------------------------------


def rows_of_table():
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows[1:]}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.setting)
def test_the_reference_sides_with_us(row):
    found = figures(row, GOLD)
    if isinstance(found.ours, str):
        # What is refused has no value: upstream's is not that of the call as it must be meant.
        assert found.ours in ("InputError", "UnknownNameError")
    else:
        assert found.ours == pytest.approx(found.reference, abs=found.tolerance)
    if not isinstance(found.upstream, str):
        assert np.isnan(found.upstream) or abs(found.upstream - found.reference) > (
            found.tolerance + stats.t.isf(0.5 * FALSE_ALARM, 5) * found.upstream_error
        )
    figure, theirs, mine, true, reason = rows_of_table()[row.setting]
    assert (figure, reason) == (row.figure, row.reason)
    for written, value in ((theirs, found.upstream), (mine, found.ours), (true, found.reference)):
        if isinstance(value, str) or np.isnan(value):
            assert written == text(value)
        else:  # four digits
            assert float(written) == pytest.approx(value, rel=1e-3, abs=max(found.tolerance, 5e-4))


def test_every_row_has_its_test_and_every_test_its_row():
    names = [row.setting for row in ROWS]
    assert list(rows_of_table()) == names == [setting.name for setting in DEVIATING]
    assert len(set(SETTINGS)) == len(AGREEING) + len(DEVIATING)
    assert set(GOLD["settings"]) == set(SETTINGS)


# -- the arguments -----------------------------------------------------------------------------------------------------


def test_names_and_order_are_upstreams():
    assert tuple(ORDERS["KinMS"]) == TELESCOPE
    assert tuple(ORDERS["model_cube"]) == GALAXY
    assert tuple(ORDERS["KinMS2"]) == KINMS2
    assert ORDERS["KinMS2.model_cube"] == ["toplot"]


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("KinMS_plotter", KinMS_plotter),
        ("makeplots", KinMS_plotter(np.ones((2, 2, 2)), 2, 2, 2, 1, 1, 1).makeplots),
        *((name, getattr(radial_motion, name)) for name in ("pure_radial", "bisymmetric_flow", "lopsided_flow")),
    ],
)
def test_plots_and_flows_have_upstreams_arguments(name, function):
    mine = [
        [a.name] if a.default is a.empty else [a.name, a.default]
        for a in inspect.signature(function).parameters.values()
        if a.kind is not a.VAR_KEYWORD
    ]
    assert mine == GOLD["signatures"][name]


#: Upstream's ways to say "not given", and of zero in both coordinates; the numbers it puts for None, by its figures.
MISSING = (None, False, [], "")


@pytest.mark.parametrize("call", ["KinMS", "model_cube", "KinMS2"])
def test_defaults_are_upstreams(call):
    fields = {f.name: f.default for cls in (Telescope, Galaxy) for f in dataclasses.fields(cls)}
    fields |= {"skySampler": False} | ({"fixSeed": False} if call == "KinMS2" else {})
    for name, *default in GOLD["signatures"][call]:
        if not default or default[0] == fields[name] or (default[0] in MISSING and fields[name] in MISSING):
            continue
        assert np.array_equal(default[0] or 0, fields[name]), f"{name}: upstream {default[0]}, here {fields[name]}"


def test_leaving_defaults_out_and_giving_them_is_the_same():
    setting = SETTINGS["plain"]
    defaults = {call: {name: default[0] for name, *default in GOLD["signatures"][call] if default} for call in ORDERS}
    given = {**defaults["KinMS"], **setting.scope}, {**defaults["model_cube"], **setting.disc}
    expected = KinMS(**setting.scope).model_cube(**ready(setting.disc, radial_motion))
    assert np.array_equal(KinMS(**given[0]).model_cube(**given[1]), expected)
    assert np.array_equal(KinMS2(**{**defaults["KinMS2"], **setting.scope, **setting.disc}).model_cube(), expected)


def test_the_settings_use_every_argument():
    assert len(AGREEING) + len(DEVIATING) >= 30
    used = {name for setting in AGREEING for name in (*setting.scope, *setting.disc)}
    assert used >= {*TELESCOPE, *GALAXY, *KINMS2}


def test_import_paths_are_upstreams():
    """In an interpreter of its own: what a name is must not depend on what was imported before."""
    code = """
    from kinms.KinMS import KinMS as A, KinMSError
    from kinms.KinMS2 import KinMS as B
    from kinms.KinMS_jax import KinMS as C
    from kinms.radial_motion import radial_motion as D
    from kinms.utils.KinMS_figures import KinMS_plotter
    from kinms.utils.sauron_colormap import sauron, sauron_r
    import kinms
    from kinms import KinMS, KinMS2, radial_motion
    assert A is C is KinMS is kinms.KinMS and B is KinMS2 is kinms.KinMS2 and D is radial_motion is kinms.radial_motion
    assert issubclass(kinms.InputError, KinMSError)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_upstreams_plotter_is_called_as_upstreams(tmp_path):
    """By position in upstream's order; nothing of matplotlib's settings is changed."""
    before = dict(matplotlib.rcParams)
    cube = KinMS(**SETTINGS["plain"].scope).model_cube(**DISC)
    KinMS_plotter(
        cube, 48, 48, 520, 1.0, 20.0, 4.0, 30.0, 2, str(tmp_path), "figure", False, cube, "t", 0.01, 2.0
    ).makeplots(
        False,
        False,
        np.array([2.0, 4.0]),
        np.array([50.0, 90.0]),
        vrange=[-200, 200],
        xrange=[-20, 20],
        yrange=[-20, 20],
    )
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    assert dict(matplotlib.rcParams) == before
