"""Fits made through kinms_fitter's own interface, by name and argument as its users call it; nothing here is ours.

``python -m kinms.compat run client.py FOLDER`` reads what to fit from ``FOLDER/tasks.json`` and writes what came out to
``FOLDER/answers.json``. kinms_fitter (GPL) is imported, and none of it is copied.
"""

import contextlib
import io
import json
import pathlib
import sys
import time
import traceback

import matplotlib

matplotlib.use("Agg")
import gastimator
import kinms_fitter as package
import numpy as np
from kinms_fitter import kinms_fitter
from kinms_fitter.skySampler import skySampler
from kinms_fitter.velocity_profs import velocity_profs

from kinms import KinMS


def fit(task, folder):
    """Set a fit up from its task, run it, and return the chain's medians and standard deviations by label."""
    settings = {key: task[key] for key in ("spatial_trim", "spectral_trim", "linefree_chans") if key in task}
    fitter = kinms_fitter(task["cube"], **settings)
    for name, value in task["set"].items():
        setattr(fitter, name, np.array(value) if isinstance(value, list) else value)
    if task.get("fixed_centre"):
        fitter.xcent_range = [fitter.xc_guess] * 2
        fitter.ycent_range = [fitter.yc_guess] * 2
    guesses, lowest, highest = task["arctan"]
    fitter.vel_profile = [velocity_profs.arctan(guesses, lowest, highest)]
    if "image" in task:
        np.random.seed(1)  # noqa: NPY002 (the clouds are drawn from numpy's global state)
        fitter.skySampClouds = skySampler(task["image"]).sample(sampFact=task["clouds_per_pixel"], save=False)
        np.save(folder / f"{task['name']}_clouds.npy", fitter.skySampClouds)
    fitter.show_plots = fitter.interactive = False
    fitter.nprocesses = 1
    cube = fitter.cube.copy()
    place = folder / task["name"]
    place.mkdir()
    started = time.perf_counter()
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
        fitter.run(method="mcmc", savepath=f"{place}/")
    seconds = time.perf_counter() - started
    chain = np.load(next(place.glob("*.npz")), allow_pickle=True)["outputvalue"]
    np.save(folder / f"{task['name']}_cube.npy", cube.T)
    return {
        "labels": [str(label) for label in fitter.labels],
        "median": np.median(chain, axis=1).tolist(),
        "sigma": np.std(chain, axis=1).tolist(),
        "error": float(fitter.rms * fitter.chi2_correct_fac),
        "channels": fitter.v1.tolist(),
        "dv": float(fitter.dv),
        "cell": float(fitter.cellsize),
        "beam": [float(fitter.bmaj), float(fitter.bmin), float(fitter.bpa)],
        "written": sorted(path.name for path in place.iterdir()),
        "seconds": seconds,
    }


def try_simple(task, folder):
    """Make a few steps of its other method, Powell's; return what went wrong."""
    fitter = kinms_fitter(task["cube"], linefree_chans=task["linefree_chans"])
    fitter.silent, fitter.show_plots, fitter.interactive, fitter.niters = True, False, False, 20
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            fitter.run(method="simple", savepath=f"{folder}/")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main(folder):
    folder = pathlib.Path(folder)
    answers = {"modules": {m.__name__: str(m.__file__) for m in (package, gastimator, sys.modules[KinMS.__module__])}}
    tasks = json.loads((folder / "tasks.json").read_text())
    answers["simple"] = try_simple(tasks[0], folder)
    for task in tasks:
        print(f"{task['name']}: kinms_fitter fits ...", flush=True)
        try:
            answers[task["name"]] = fit(task, folder)
        except Exception:
            answers[task["name"]] = {"failed": traceback.format_exc()}
    (folder / "answers.json").write_text(json.dumps(answers))


main(sys.argv[1])
