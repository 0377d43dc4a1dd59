"""Scripts written for upstream's packages: read without being run, and run as they are."""

import json
import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import gastimator_bridge
import kinms
from kinms.compat import check, check_source, environment, stand_ins
from kinms.compat.__main__ import main
from kinms.compat.changes import MEASURED
from kinms.compat.check import Unreadable, status
from kinms.errors import InputError
from kinms.legacy import EFFORT
from kinms.legacy_arguments import GALAXY, KINMS2, TELESCOPE
from kinms.utils.KinMS_figures import KinMS_plotter

ROOT = pathlib.Path(__file__).resolve().parents[2]


def found(text, level=None):
    """{(line, level): what to write instead} of a script, or the fixes of one level."""
    findings = check_source(textwrap.dedent(text).lstrip("\n"))
    return [(f.line, f.what, f.fix) for f in findings if level is None or f.level == level]


def fixes(text):
    return [fix for _, _, fix in found(text, "change")]


# -- check: imports ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "fix"),
    [
        ("from gastimator import gastimator, corner_plot", "from gastimator_bridge import gastimator, corner_plot"),
        ("from gastimator import corner_plot as cp", "from gastimator_bridge import corner_plot as cp"),
        ("from gastimator.gastimator import gastimator", "from gastimator_bridge import gastimator"),
        ("from gastimator.priors import priors", "from gastimator_bridge import priors"),
        ("from gastimator.corner_plot import corner_plot", "from gastimator_bridge.corner_plot import corner_plot"),
        ("from gastimator import *", "from gastimator_bridge import gastimator, corner_plot, priors"),
        ("import gastimator", "import gastimator_bridge as gastimator"),
        ("from KinMS import KinMS", "from kinms import KinMS"),
        ("from KinMS import *", "from kinms import KinMS"),
        ("from KinMS.KinMS import KinMS", "from kinms import KinMS"),
        ("from KinMS_figures import KinMS_plotter", "from kinms.utils.KinMS_figures import KinMS_plotter"),
        ("from makeplots import makeplots", "from kinms.utils.KinMS_figures import KinMS_plotter"),
        ("from sauron_colormap import sauron", "from kinms.utils.sauron_colormap import sauron"),
    ],
)
def test_an_import_is_given_as_it_has_to_be(statement, fix):
    assert fixes(statement) == [fix]
    exec(fix, {})  # what is advised works


@pytest.mark.parametrize(
    "statement",
    [
        "from kinms import KinMS",
        "from kinms import KinMS as maker",
        "import kinms",
        "from kinms import radial_motion",
        "from kinms.radial_motion import radial_motion",
        "from kinms.utils.KinMS_figures import KinMS_plotter",
        "from kinms.utils.sauron_colormap import sauron",
        "from kinms.utils import KinMS_figures, sauron_colormap",
        "from kinms.examples.KinMS_testsuite import *",
        "from kinms.examples.KinMS_testsuite import run_tests, expdisk",
        "from gastimator_bridge import gastimator",
        "import numpy as np",
        "from mypackage.gastimator import gastimator",
    ],
)
def test_an_import_that_works_is_left_alone(statement):
    assert found(statement) == []


@pytest.mark.parametrize(
    "path",
    [
        "kinms.KinMS",
        "kinms.KinMS2",
        "kinms.KinMS_jax",
        "kinms.examples.KinMS_testsuite",
        "kinms.examples.KinMS_benchmark",
        "kinms.KinMS3",
    ],
)
def test_a_module_is_complained_of_if_and_only_if_it_is_not_there(path):
    done = subprocess.run([sys.executable, "-c", f"import {path}"], capture_output=True, timeout=120, check=False)
    assert bool(fixes(f"import {path}")) == bool(done.returncode)


def test_a_name_that_is_not_there_comes_with_the_nearest():
    assert fixes("from kinms import KinMs") == ["KinMS?"]


def test_kinms_fitter_is_to_be_run_under_the_stand_ins():
    ((line, _, fix),) = found("\nfrom kinms_fitter import kinms_fitter\n", "change")
    assert line == 1
    assert "compat run" in fix
    assert "PYTHONBREAKPOINT=0" in fix


# -- check: cubes --------------------------------------------------------------------------------------------------

HEAD = "from kinms import KinMS\n"


def different(call, head=HEAD):
    return [(f.what, f.size) for f in check_source(head + call) if f.level == "different"]


def test_odd_sizes_are_found_with_the_shift_in_their_units():
    (x, channel) = different("KinMS(65 * 0.5, 32, 310, 0.5, 10, 4.0)")
    assert x[0].startswith("xs / cellSize = 65")
    assert x[1].startswith("0.5 arcsec")
    assert channel[0].startswith("vs / dv = 31")
    assert channel[1].startswith("5 km/s")
    assert different("KinMS(64, 64, 500, 1, 10, 4.0)") == []


def test_numbers_are_followed_through_names_that_are_given_once():
    head = HEAD + "n = 33\ncell = 2.0\nobs = {}\nobs['dv'] = 10.0\n"
    assert different("KinMS(n * cell, 64, 310, cell, obs['dv'], 4.0)", head) == different(
        "KinMS(66, 64, 310, 2, 10, 4)"
    )
    assert (
        different("KinMS(n * cell, 64, 500, cell, obs['dv'], 4.0)", head + "n = 32\n") == []
    )  # which it is, who knows


@pytest.mark.parametrize(
    ("beam", "expected"),
    [
        ("[4, 2, 30]", 1),
        ("np.array([4.0, 2.0, 30.0])", 1),
        ("[4, 2, 90]", 0),
        ("[4, 4, 30]", 0),
        ("[4, 2]", 0),
        ("4.0", 0),
        ("[4, 2, -30]", 1),
    ],
)
def test_an_oblique_beam_is_found(beam, expected):
    assert len(different(f"KinMS(64, 64, 500, 1, 10, {beam})")) == expected


def test_a_beam_that_cannot_be_read_off_is_a_note():
    levels = [f.level for f in check_source(HEAD + "KinMS(64, 64, 500, 1, 10, beam)")]
    assert levels == ["note"]
    assert check_source(HEAD + "KinMS(64, 64, 500, 1, 10, beam, cleanOut=True)") == []


def test_what_has_no_effect_is_a_note_and_changes_no_status():
    findings = check_source(HEAD + "KinMS(64, 64, 500, 1, 10, 4.0, nSamps=1e6, seed=3, fixSeed=True, huge_beam=True)")
    assert [f.what for f in findings] == ["nSamps=", "fixSeed=", "seed=", "huge_beam="]
    assert {f.level for f in findings} == {"note"}
    assert status(findings) == 0


def test_positional_arguments_have_their_names_in_both_styles():
    three = check_source(HEAD + "KinMS(64, 64, 500, 1, 10, 4.0, 1e6, 3, True)")
    assert [f.what for f in three] == ["nSamps=", "fixSeed=", "seed="]
    two = "KinMS(64, 64, 500, 1, 10, 4.0, 45, 30, 0, 0, None, sb, rad, rad, vel, intFlux=3, fileName='x')"
    assert different(two) == [("fileName=: the velocities of the file", "5 km/s")]


def test_the_file_name_of_model_cube_knows_the_channels_of_the_constructor():
    text = HEAD + "k = KinMS(64, 64, 480, 1, 20, 4.0)\nk.model_cube(45, 30, sbProf=s, sbRad=r, velProf=v, fileName='x')"
    assert [(f.line, f.size) for f in check_source(text) if f.level == "different"] == [(3, "10 km/s")]
    assert different("KinMS(64, 64, 480, 1, 20, 4.0).model_cube(45, 30, fileName='')") == []


@pytest.mark.parametrize("name", sorted({*TELESCOPE, *GALAXY, *KINMS2}))
def test_no_argument_that_the_class_takes_is_called_unknown(name):
    assert (
        fixes(HEAD + f"KinMS(64, 64, 500, 1, 10, 4.0, **rest, {name}=value)" if name not in TELESCOPE[:6] else HEAD)
        == []
    )
    later = fixes(HEAD + f"k = KinMS(64, 64, 500, 1, 10, 4.0)\nk.model_cube({name}=value)")
    assert (later == []) == (name in (*GALAXY, *EFFORT)), "what model_cube refuses is called so, and nothing else"


@pytest.mark.parametrize(
    ("given", "fix"),
    [("phaseCen", "phaseCent="), ("posang", "posAng=?"), ("gasGrav", "massDist="), ("sbMode", "leave it out")],
)
def test_an_unknown_argument_comes_with_its_name_of_today(given, fix):
    assert fixes(HEAD + f"KinMS(64, 64, 500, 1, 10, 4.0, 45, posAng=3, {given}=value)") == [fix]


@pytest.mark.parametrize(
    ("call", "fix"),
    [
        ("kin.model_cube(50, posang=30)", "posAng=?"),
        ("kin.model_cube(50, 30, toplot=True, savnam='x')", "savename=?"),
        ("kin.model_cube(50, 30, beamSize=4)", "KinMS(..., beamSize=...)"),
        ("KinMS(64, 64, 500, 1, 20, 4).model_cube(50, 30, gasSgma=3)", "gasSigma=?"),
        ("KinMS(64, 64, 480, 1, 20, 4, 50, 30, sbProf=[1]).model_cube(toplt=True)", "toplot=?"),
        ("(k := kin).model_cube(50, posang=30)", None),  # who knows what k is
        ("KinMS_plotter(c, 64, 64, 480, 1, 20, 4).makeplots(vrang=[0, 1])", "vrange=?"),
        ("KinMS_plotter(c, 64, 64, 480, 1, 20, 4).makeplots(vrange=[0, 1], block=False)", None),
        ("kin.model_cube(50, 30, title='x', savepath='.', toplot=True)", None),
        ("self.model_cube(radius=3)", None),
    ],
)
def test_a_misspelt_argument_of_a_later_call_is_found(call, fix):
    head = "from kinms import *\nfrom kinms.utils.KinMS_figures import KinMS_plotter\n"
    found = check_source(f"{head}kin = KinMS(64, 64, 480, 1, 20, 4)\n{call}")
    assert [f.fix for f in found if f.level == "change"] == ([] if fix is None else [fix])


@pytest.mark.parametrize("name", ["vPhaseCent", "vPosAng"])
def test_arguments_of_another_meaning_are_found_unless_they_say_nothing(name):
    call = "k = KinMS(64, 64, 480, 1, 20, 4.0)\nk.model_cube(45, 30, sbProf=s, sbRad=r, velProf=v, {}={})"
    assert [what for what, _ in different(call.format(name, "given"))] == [f"{name}="]
    for nothing in ("None", "False", "[0, 0]"):
        assert different(call.format(name, nothing)) == []


def test_lines_without_fluxes_are_found():
    made = "k = KinMS(64, 64, 480, 1, 20, 4.0, multiple_line_lams=[1.0, 1.1])\n"
    call = "k.model_cube(45, 30, sbProf=s, sbRad=r, velProf=v{})"
    assert [what for what, _ in different(made + call.format(""))] == [
        "multiple_line_lams without multiple_line_relflux"
    ]
    assert different(made + call.format(", multiple_line_relflux=[1, 2]")) == []


@pytest.mark.parametrize(
    ("scope", "call", "what"),
    [
        ("", "intFlux=-3.0", "intFlux= below zero"),
        (", seed=0", "", "seed=0"),
        (", cleanOut=True", "fileName='x'", "fileName= with cleanOut: the unit of the file"),
    ],
)
def test_other_calls_of_another_result_are_found(scope, call, what):
    made = f"k = KinMS(64, 64, 480, 1, 20, 4.0{scope})\nk.model_cube(45, 30, sbProf=s, sbRad=r, velProf=v, {call})"
    assert what in [found for found, _ in different(made)]


def test_a_lopsided_flow_is_found():
    head = "from kinms import radial_motion\n"
    assert len(different("f = radial_motion.lopsided_flow(r, a, b, 3)", head)) == 1
    assert different("f = radial_motion.pure_radial(r, a)", head) == []
    assert len(different("f = rm.lopsided_flow(r, a, b, 3)", "from kinms import radial_motion as rm\n")) == 1


def test_what_upstream_kept_on_the_object_is_found():
    made = HEAD + "k = KinMS(64, 64, 500, 1, 10, 4.0)\n"
    assert len(fixes(made + "x = k.x_pos")) == 1
    assert len(fixes(made + "k.dv = 3")) == 1
    assert found(made + "x = k.dv\nk.specsys = 'LSRK'") == []


# -- check: fits ---------------------------------------------------------------------------------------------------

SAMPLER = "from gastimator_bridge import gastimator\nm = gastimator(model)\n"


def test_the_sampler_s_options_and_its_chain():
    levels = {f.what: f.level for f in check_source(SAMPLER + "m.rng = 3\nm.run(d, e, 3000, 50, None, 3, seed=1)")}
    assert levels.pop("run(): the chain it returns") == "different"
    assert levels.pop("nchains=") == "different"
    assert levels == {"m.rng": "note", "seed=": "note", "numatonce=": "note", "plot=": "note"}


def test_attributes_of_the_sampler_are_those_that_it_has():
    assert fixes(SAMPLER + "m.labels = a\nm.guesses = b\nprint(m.lastchain, m.npars)\nm.fargs = (1,)") == []
    assert fixes(SAMPLER + "print(m.lastchains)") == ["lastchain?"]


@pytest.mark.parametrize(
    "text", ["e *= (2.0 * d.size) ** 0.25", "e = e * (2 * n) ** (1 / 4)", "f(d, e * ((2 * n) ** 0.25))"]
)
def test_errors_inflated_by_hand_are_found(text):
    assert any("inflate='auto'" in f.fix for f in check_source(text))


@pytest.mark.parametrize("text", ["e *= 2.0 ** 0.5", "e = r ** 0.25", "e += (2 * n) ** 0.25"])
def test_other_powers_are_no_inflated_errors(text):
    assert check_source(text) == []


# -- check: what is no Python 3 ------------------------------------------------------------------------------------


def test_python_2_is_read_all_the_same():
    text = """
    from KinMS import *
    print 'made', x
    if x: print x,
    print
    try:
    \tpass
    except ValueError, error:
        raise ValueError, 'bad'
    print >>f, x
    """
    changes = found(text, "change")
    assert [line for line, _, _ in changes] == [1, 2, 3, 4, 7, 8, 9]
    assert [fix for _, _, fix in changes][1:] == [
        "print('made', x)",
        "if x: print(x)",
        "print()",
        "except ValueError as error:",
        "raise ValueError('bad')",
        "print(x, file=f)",
    ]


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("if x <> 3: y = 1", "if x != 3: y = 1"),
        ('exec "x = 1"', 'exec("x = 1")'),
        ("x = `y`", "x = repr(y)"),
        ("x = 0777", "x = 0o777"),
        ("x = 10L + 0xFFL", "x = 10 + 0xFF"),
        ('x = ur"y"', 'x = r"y"'),
    ],
)
def test_words_of_python_2_are_mended_where_python_stops_and_nowhere_else(line, fix):
    kept = "# a <> b, 0777 and `c`"
    found = check_source(f"print 'a <> b'\n{kept}\n{line}\nimport gastimator\n")
    assert [(f.line, f.fix) for f in found] == [
        (1, "print('a <> b')"),
        (3, fix),
        (4, "import gastimator_bridge as gastimator"),
    ]


@pytest.mark.parametrize("text", ["x = " + "-" * 20000 + "1", "x = " + "+".join(["1"] * 20000)])
def test_what_is_nested_too_deeply_is_a_finding(text):
    (found,) = check_source(text)
    assert (found.level, found.line) == ("change", 1)
    assert re.fullmatch("syntax error: .+", found.what)


def test_a_long_sum_hides_nothing():
    (found,) = check_source("x = " + "+".join(["y"] * 700) + "\nimport gastimator")
    assert found.line == 2


def test_what_nobody_can_read_is_one_finding_with_its_line():
    ((line, what, _),) = found("x = 1\ny = = 2\n")
    assert line == 2
    assert "syntax error" in what


def test_an_empty_script_and_one_of_other_things_have_nothing_to_change():
    for text in ("", "\n", "import numpy as np\nprint(np.sqrt(2.0))\n", "\ufeffx = 1\n".lstrip("\ufeff")):
        assert check_source(text) == []


def test_a_check_never_runs_the_script(tmp_path):
    mark = tmp_path / "mark"
    script = tmp_path / "script.py"
    script.write_text(f"open({str(mark)!r}, 'w')\nimport gastimator\nraise SystemExit(3)\n")
    assert [f.line for f in check(script)] == [2]
    assert not mark.exists()


def test_a_notebook_is_read_cell_by_cell(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["from gastimator import gastimator\n"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!ls\n", "import gastimator\n"]},
        {"cell_type": "code", "source": "%%bash\nfrom gastimator import nothing"},
        {
            "cell_type": "code",
            "source": ["x?\n", "m = gastimator.gastimator(f)\n", "m.run(d, e, 10, seed=1, plot=False)"],
        },
    ]
    path = tmp_path / "fit.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    assert [(f.where, f.level) for f in check(path)] == [
        ("cell 2, line 3", "change"),
        ("cell 4, line 3", "different"),
        ("cell 4, line 3", "note"),
    ]


@pytest.mark.parametrize(
    ("cell", "lines"),
    [
        ("%%time\nimport gastimator", [2]),
        ("%%timeit -n 3\nimport gastimator", [2]),
        ("%%bash\nimport gastimator", []),
        ("x = !ls\nfiles = %sx ls\nimport gastimator", [3]),
        ("%time import gastimator\nwhile True:\n    %timeit -n 3 -r 2 import gastimator\n    y = %time 3", [1, 3]),
    ],
)
def test_magics_of_notebooks_hide_no_python(tmp_path, cell, lines):
    path = tmp_path / "fit.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": cell}]}))
    assert [(f.line, f.fix) for f in check(path)] == [(n, "import gastimator_bridge as gastimator") for n in lines]


@pytest.mark.parametrize("content", [b"\0\1", b"{not json", b'{"cells": 3}', None])
def test_a_file_that_is_no_script_says_so(tmp_path, content, capsys):
    path = tmp_path / "x.ipynb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unreadable, match=r"x\.ipynb"):
        check(path)
    assert main(["check", str(path)]) == 2
    assert capsys.readouterr().err.startswith("kinms.compat: ")
    with pytest.raises(Unreadable):
        check(tmp_path)


def test_accents_of_old_files_are_read(tmp_path):
    path = tmp_path / "old.py"
    path.write_bytes("# Bénédicte\nimport gastimator\r\n".encode("latin-1"))
    assert [f.line for f in check(path)] == [2]


def test_a_finding_survives_pickling():
    (one,) = check_source("import gastimator")
    assert pickle.loads(pickle.dumps(one)) == one


# -- the command ---------------------------------------------------------------------------------------------------


def test_the_sheet_and_the_exit_status(tmp_path, capsys):
    clean, old = tmp_path / "clean.py", tmp_path / "old.py"
    clean.write_text("from kinms import KinMS\n")
    old.write_text("from gastimator import gastimator\n")
    assert main(["check", str(clean)]) == 0
    assert "0 to change, 0 with another result, 0 to know" in capsys.readouterr().out
    assert main(["check", str(clean), str(old)]) == 1
    out = capsys.readouterr().out
    assert "old.py, line 1: change" in out
    assert "-> from gastimator_bridge import gastimator" in out
    assert main(["check", "--json", str(old)]) == 1
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["script"], entry["line"], entry["level"]) == (str(old), 1, "change")


def test_the_folder_of_the_stand_ins_is_told(capsys):
    assert main(["path"]) == 0
    assert capsys.readouterr().out.strip() == str(stand_ins())


# -- run -----------------------------------------------------------------------------------------------------------


def run(tmp_path, text, *args, flags=(), **options):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    command = [sys.executable, "-W", "ignore", *flags, "-m", "kinms.compat", "run", str(script), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def test_every_name_under_which_scripts_import_is_ours(tmp_path):
    text = """
    import gastimator, KinMS, makeplots, KinMS_figures, sauron_colormap, sys
    import gastimator.gastimator, gastimator.corner_plot, gastimator.priors
    from gastimator import gastimator as one, corner_plot, priors
    from gastimator.gastimator import gastimator as two, lnlike
    from gastimator.corner_plot import corner_plot as three
    from gastimator.priors import priors as four
    from KinMS.KinMS import KinMS as five
    from KinMS.utils.KinMS_figures import KinMS_plotter as six
    from KinMS.utils.sauron_colormap import sauron
    from kinms import KinMS as seven
    import gastimator_bridge, kinms
    assert one is two is gastimator.gastimator is gastimator_bridge.gastimator
    assert corner_plot is gastimator_bridge.corner_plot and three is corner_plot.corner_plot
    assert priors is four is gastimator_bridge.priors
    assert five is KinMS.KinMS and seven is kinms.KinMS
    assert six is KinMS_figures.KinMS_plotter
    print("fine")
    """
    done = run(tmp_path, text)
    assert (done.stdout, done.stderr, done.returncode) == ("fine\n", "", 0)


def test_arguments_main_status_and_traceback_are_those_of_plain_python(tmp_path):
    text = """
    import sys
    print(sys.argv, __name__, __file__, sys.flags.dev_mode, sys.path[0])
    def f():
        raise RuntimeError("here")
    if len(sys.argv) > 2:
        sys.exit(7)
    f()
    """
    script = tmp_path / "script.py"
    ours = [run(tmp_path, text, *args, flags=("-X", "dev")) for args in ((), ("-x", "--y"))]
    plain = [
        subprocess.run(
            [sys.executable, "-X", "dev", str(script), *args], capture_output=True, text=True, timeout=60, check=False
        )
        for args in ((), ("-x", "--y"))
    ]
    for one, other in zip(ours, plain, strict=True):
        assert (one.stdout, one.stderr, one.returncode) == (other.stdout, other.stderr, other.returncode)
    assert [one.returncode for one in ours] == [1, 7]


@pytest.mark.skipif(os.name != "posix", reason="a process turns into another one on POSIX systems only")
def test_a_signal_ends_the_script_itself(tmp_path):
    done = run(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n")
    assert done.returncode == -signal.SIGTERM


def test_a_script_s_own_module_comes_before_a_stand_in(tmp_path):
    (tmp_path / "makeplots.py").write_text("mine = True\n")
    assert run(tmp_path, "import makeplots\nprint(makeplots.mine)\n").stdout == "True\n"


def test_workers_have_the_stand_ins_too(tmp_path):
    text = """
    from joblib import Parallel, delayed
    def where(_):
        import gastimator
        return gastimator.STANDS_IN
    if __name__ == "__main__":
        print(Parallel(n_jobs=2)(delayed(where)(i) for i in range(2)))
    """
    assert run(tmp_path, text).stdout == "[True, True]\n"


def test_the_cube_of_kinms_1_is_that_of_today(tmp_path):
    text = """
    import numpy as np
    from KinMS import *
    from kinms import KinMS as today
    r = np.arange(0.0, 15.0)
    light, speed = np.exp(-r / 3.0), 100.0 + 0.0 * r
    size = (32, 32, 400, 1.0, 20.0, [4.0, 4.0, 0.0])
    first = KinMS(*size, 45, 5.0, light, r, r, speed, posang=30, intflux=10, phaseCen=[1.0, 0.0], vPhaseCen=[1.0, 0.0])
    rest = dict(gasSigma=5.0, sbProf=light, sbRad=r, velRad=r, velProf=speed, posAng=30, intFlux=10)
    now = today(*size, 45, phaseCent=[1.0, 0.0], **rest).model_cube()
    assert np.array_equal(first, now), abs(first - now).max()
    between = KinMS(*size, 45, 30, 5.0, 0, 0, light, r, r, speed, intFlux=10, phaseCent=[1.0, 0.0]).model_cube()
    assert type(between) is np.ndarray and np.array_equal(between, now)
    assert interpolate.interp1d
    try:
        KinMS(*size, 45, 5.0, light, r, r, speed, vRadial=20.0)
    except ValueError as error:
        assert "pure_radial" in str(error)
    print("fine")
    """
    done = run(tmp_path, text)
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_the_installed_sampler_is_not_looked_for_behind_its_stand_in(tmp_path):
    text = """
    import gastimator
    m = gastimator.gastimator(lambda v: v)
    m.guesses, m.min, m.max, m.silent, m.nprocesses = [0.5], [0.0], [1.0], True, 1
    try:
        m.run([0.5], 0.1, 10, backend="gastimator")
    except ValueError as error:
        print(error)
    """
    assert "stands in" in run(tmp_path, text).stdout


def test_python_that_takes_no_notice_of_the_path_is_refused(tmp_path):
    done = run(tmp_path, "", flags=("-E",))
    assert done.returncode == 2
    assert "-E" in done.stderr


def test_the_environment_keeps_a_path_and_says_nothing_twice():
    once = environment({"PYTHONPATH": "/mine", "HOME": "/h"})
    assert once["HOME"] == "/h"
    assert once["PYTHONPATH"].split(os.pathsep)[0] == str(stand_ins())
    assert once["PYTHONPATH"].endswith("/mine")
    assert environment(once) == once


def test_public_names():
    assert issubclass(Unreadable, kinms.FileError)
    assert issubclass(InputError, ValueError)
    assert gastimator_bridge.gastimator.__module__ == "gastimator_bridge.bridge"


def test_a_fitter_can_count_the_detected_voxels_of_a_figure():
    cube = np.zeros((16, 12, 8))
    cube[6:10, 4:8, 2:6] = 1.0
    plotter = KinMS_plotter(cube, 16, 12, 80, 1, 10, [3, 3, 0], posang=270, rms=0.1)
    assert plotter.mask is None
    plotter.makeplots(plot2screen=False)
    assert plotter.mask.shape == cube.shape
    assert plotter.mask[8, 6, 4]
    assert not plotter.mask[0, 0, 0]
    assert 0 < plotter.mask.sum() < cube.size


# -- the guide -----------------------------------------------------------------------------------------------------


def cells(path, columns):
    """Rows of the Markdown tables of that many columns, without their heads."""
    rows = [line.strip("|").split(" | ") for line in path.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip(" |") for cell in row] for row in rows if len(row) == columns]


@pytest.fixture(scope="module")
def deviations():
    """Setting -> (figure, upstream's, ours), as `make goldens` wrote them."""
    return {row[0]: tuple(row[1:4]) for row in cells(ROOT / "tests" / "parity" / "DEVIATIONS.md", 6)}


def test_every_figure_that_a_check_gives_is_measured(deviations):
    assert {name: deviations[name][1:] for name in MEASURED} == MEASURED


def test_every_figure_of_the_guide_is_measured(deviations):
    rows = cells(ROOT / "MIGRATION.md", 7)[1:]
    assert len(rows) >= 15
    for _, _, _, setting, figure, theirs, ours in rows:
        assert (theirs, ours) == deviations[setting][1:]
        assert figure.startswith(deviations[setting][0])
