"""The self-test: true when all is well, and each check red when what it checks is broken."""

import json
import subprocess
import sys

import numpy as np
import pytest

import kinms
from kinms import cli, selftest


def lines_of(monkeypatch, **checks):
    """Status and printed lines with only some checks, some of them replaced."""
    chosen = {name: function or selftest._CHECKS[name] for name, function in checks.items()}
    monkeypatch.setattr(selftest, "_CHECKS", chosen)
    lines = []
    report = selftest.selftest(lines.append)
    return report, lines


@pytest.fixture(scope="module")
def whole():
    """The command, with all of its checks, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "kinms.selftest", "--json"], capture_output=True, text=True, timeout=300, check=False
    )


def test_all_is_well_here(whole):
    assert whole.stderr == ""
    report = json.loads(whole.stdout)
    assert [check["name"] for check in report["checks"] if not check["ok"]] == []
    assert whole.returncode == 0
    assert report["ok"] is True
    assert {check["name"] for check in report["checks"]} == set(selftest._CHECKS)


def test_it_says_what_a_bug_report_needs(whole):
    report = json.loads(whole.stdout)
    assert report["versions"]["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert report["versions"]["numpy"] == np.__version__
    for name in ("kinms", "numba", "llvmlite", "astropy", "scipy", "matplotlib", "emcee"):
        assert name in report["versions"]
    assert set(report["machine"]) >= {"system", "cores"}


def test_lines_have_80_columns_a_word_and_a_time(monkeypatch):
    report, lines = lines_of(monkeypatch, fits=None)
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("fits       ok ") and " s: " in line for line in lines)
    assert lines[-1].startswith("All 1 checks passed")
    assert list(report.lines())[: len(lines)] == lines


def test_a_check_that_breaks_does_not_stop_the_others(monkeypatch):
    def broken():
        raise RuntimeError("of a very long kind " + "x" * 200)

    report, lines = lines_of(monkeypatch, kernels=broken, fits=None)
    assert not report.ok
    assert [check.ok for check in report.checks] == [False, True]
    assert max(map(len, lines)) <= 80
    first = next(i for i, line in enumerate(lines) if line.startswith("kernels    FAILED"))
    trace = next(i for i, line in enumerate(lines) if "Traceback" in line)
    assert first < trace  # never a traceback alone
    assert "FAILED: kernels" in " ".join(lines[-2:])


def test_main_gives_the_status_of_the_verdict(monkeypatch, capsys):
    monkeypatch.setattr(selftest, "_CHECKS", {"fits": selftest._check_fits})
    assert selftest.main([]) == 0
    monkeypatch.setattr(selftest, "_CHECKS", {"fits": lambda: 1 / 0})
    assert selftest.main(["--json"]) == 1
    found = json.loads(capsys.readouterr().out.split("works.\n")[1])
    assert (found["ok"], found["checks"][0]["name"]) == (False, "fits")


def test_the_command_line_has_it_too(monkeypatch, capsys):
    monkeypatch.setattr(selftest, "_CHECKS", {"fits": selftest._check_fits})
    assert cli.main(["selftest"]) == 0
    assert "All 1 checks passed" in capsys.readouterr().out
    monkeypatch.setattr(selftest, "_CHECKS", {"fits": lambda: 1 / 0})
    assert cli.main(["selftest", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def wrong_words(monkeypatch, name):
    report, _ = lines_of(monkeypatch, **{name: None})
    (check,) = report.checks
    assert not check.ok
    assert check.trace == ""
    return check.text


def test_ffts_that_are_off_are_found(monkeypatch):
    whole = kinms.simulate

    def off(disc, grid, beam, sampling=None):
        cube = whole(disc, grid, beam, sampling)
        return cube.replace(data=cube.data * 1.001) if sampling and sampling.method == "fft" else cube

    monkeypatch.setattr(kinms, "simulate", off)
    assert "expected less than" in wrong_words(monkeypatch, "fft")


def test_bits_that_depend_on_threads_are_found(monkeypatch):
    whole = kinms.simulate

    def off(disc, grid, beam):
        from kinms.threads import limit

        cube = whole(disc, grid, beam)
        return cube.replace(data=cube.data * (1 + 1e-6 * (limit() == 4)))

    monkeypatch.setattr(kinms, "simulate", off)
    assert "different bits" in wrong_words(monkeypatch, "threads")


def test_a_file_that_loses_something_is_found(monkeypatch):
    whole = kinms.read_cube

    def shifted(path):
        cube = whole(path)
        return cube.replace(grid=cube.grid.replace(v_ref=cube.grid.v_ref + 0.5 * cube.grid.dv))

    monkeypatch.setattr(kinms, "read_cube", shifted)
    assert "5.0e-01" in wrong_words(monkeypatch, "fits")


def test_a_fit_that_goes_astray_is_found(monkeypatch):
    whole = kinms.simulate

    def turned(disc, *rest):
        return whole(disc.replace(pa=disc.pa + 10.0), *rest)

    monkeypatch.setattr(kinms, "simulate", turned)
    assert "sigma off" in wrong_words(monkeypatch, "fit")


def test_an_interpreter_that_cannot_start_is_found(monkeypatch):
    monkeypatch.setattr(selftest, "_FRESH", "import sys\nsys.exit('no such thing')")
    assert "no such thing" in wrong_words(monkeypatch, "kernels")
