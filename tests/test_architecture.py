"""The house has one staircase: imports go down only, and none hides inside a function unless it has a reason."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("kinms", "gastimator_bridge")
FLOORS = {
    "kinms.errors": 0,
    "kinms.compilation": 0,
    "kinms.records": 1,
    "kinms.atomic": 1,
    "kinms.threads": 1,
    "kinms.memory": 1,
    "kinms.kernels": 1,
    "kinms.kernels.line": 1,
    "kinms.kernels.sky": 2,
    "kinms.kernels.points": 2,
    "kinms.kernels.beam": 2,
    "kinms.density_cells": 2,
    "kinms.profiles": 2,
    "kinms.grid": 2,
    "kinms.lines": 2,
    "kinms.toml_document": 2,
    "kinms.kernels.modes": 3,
    "kinms.psf": 3,
    "kinms.correlation": 4,
    "kinms.modes": 5,
    "kinms.flows": 3,
    "kinms.sparse": 3,
    "kinms.legacy_arguments": 3,
    "kinms.disc": 4,
    "kinms.convolution": 4,
    "kinms.radial_motion": 4,
    "kinms.radial": 5,
    "kinms.sky_grid": 6,
    "kinms.points": 6,
    "kinms.engine": 7,
    "kinms.cube": 8,
    "kinms.derivatives": 8,
    "kinms.noise": 6,
    "kinms.smoothing": 7,
    "kinms.fits_cards": 8,
    "kinms.fits_rest": 9,
    "kinms.fits_beams": 9,
    "kinms.fits_stream": 8,
    "kinms.fits_file": 9,
    "kinms.fits_spectral": 10,
    "kinms.fits_noise": 10,
    "kinms.fits_header": 11,
    "kinms.fits_layout": 12,
    "kinms.fits_box": 13,
    "kinms.fits_north_up": 13,
    "kinms.fits_companion": 14,
    "kinms.fits_read": 15,
    "kinms.fits_made": 11,
    "kinms.fits_write": 13,
    "kinms.fits_survey": 16,
    "kinms.fits_regrid": 13,
    "kinms.resampling": 14,
    "kinms.spectral_cubes": 16,
    "kinms.info_sheet": 2,
    "kinms.priors": 9,
    "kinms.likelihood": 10,
    "kinms.posterior": 11,
    "kinms.optimise": 12,
    "kinms.checkpoint": 2,
    "kinms.ensemble": 12,
    "kinms.nested": 12,
    "kinms.samplers": 13,
    "kinms.convergence": 10,
    "kinms.record_json": 10,
    "kinms.plot_chains": 11,
    "kinms.plot_posterior": 11,
    "kinms.guessing": 12,
    "gastimator_bridge": 11,
    "kinms.plot_panels": 10,
    "kinms.plot_corner": 11,
    "kinms.plots": 12,
    "kinms.results": 16,
    "kinms.comparison": 17,
    "kinms.fitting": 17,
    "kinms.config": 18,
    "kinms.utils": 18,
    "kinms.legacy": 19,
    "kinms.KinMS": 20,
    "kinms.KinMS2": 20,
    "kinms.KinMS_jax": 20,
    "kinms.examples": 0,
    "kinms.examples.irregular": 2,
    "kinms.examples.KinMS_testsuite": 20,
    "kinms.selftest": 19,
    "kinms.compat": 24,
    "kinms.compat.run": 19,
    "kinms.compat.changes": 12,
    "kinms.compat.check": 23,
    "kinms.compat.stand_ins": 23,
    "kinms.compat.__main__": 25,
    "kinms.cli": 20,
    "kinms.__main__": 21,
    "kinms": 22,
}
# Optional or slow to import: plotting and whole applications are loaded when asked for. The command line loads all
# it needs that way, so that help and complaints about a file come at once.
LAZY = {
    "kinms.plots",
    "kinms.plot_panels",
    "kinms.fitting",
    "kinms.config",
    "kinms.fits_read",
    "kinms.fits_made",
    "kinms.fits_write",
    "kinms.fits_survey",
    "kinms.resampling",
    "kinms.spectral_cubes",
    "kinms.utils.KinMS_figures",
    "kinms.noise",
}
# Methods of a record that stand for functions of higher floors, which know of files: the one way up.
UPWARDS = {("kinms.cube", "kinms.resampling"), ("kinms.cube", "kinms.spectral_cubes")}


def modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def floor(name):
    parts = name.split(".")
    while parts:
        if ".".join(parts) in FLOORS and not (parts == ["kinms"] and name != "kinms"):
            return FLOORS[".".join(parts)]
        parts = parts[:-1]
    raise KeyError(name)


def imported(tree, name):
    """(module, inside a function?) for every import of our own, those for type checkers left out."""
    skip = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skip.update(ast.walk(node))
    functions = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inner = {n for f in functions for n in ast.walk(f)}
    for node in ast.walk(tree):
        if node in skip:
            continue
        if isinstance(node, ast.Import):
            targets = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            targets = [node.module]
        elif isinstance(node, ast.ImportFrom) and node.level:
            pytest.fail(f"{name} uses a relative import")
        else:
            continue
        for target in targets:
            if target.split(".")[0] in PACKAGES:
                yield target, node in inner


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda x: x if isinstance(x, str) else "")
def test_imports_go_down(name, path):
    for target, hidden in imported(ast.parse(path.read_text()), name):
        if hidden and (name, target) in UPWARDS:
            continue
        if name.split(".")[0] == target.split(".")[0] == "gastimator_bridge":
            continue
        assert floor(target) < floor(name), f"{name} (floor {floor(name)}) imports {target} (floor {floor(target)})"


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda x: x if isinstance(x, str) else "")
def test_no_import_of_ours_hides_in_a_function(name, path):
    for target, hidden in imported(ast.parse(path.read_text()), name):
        allowed = target in LAZY or name == "kinms.cli"
        assert not hidden or allowed or target.startswith("gastimator_bridge"), f"{name} hides {target}"
