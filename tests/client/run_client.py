"""A program that others wrote, on top of this package: ``make compat``.

kinms_fitter is installed from its package into an environment of its own, beside this project, which pip takes for the
``kinms`` that it asks for. ``python -m kinms.compat run`` gives it `gastimator_bridge` in place of gastimator.
It then fits a mock galaxy, the mock again with skySampler's clouds, and NGC 4047 if ``KINMS_TEST_DATA`` has it, all
through its own interface, and each result is compared with a fit of the same model to the same voxels through ours.

Exit status 0 if every parameter of every fit agrees within `AGREE` of our standard deviations, 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
CLIENT = "kinms_fitter==0.5.15"
#: Standard deviations, of our fit. Chains of one posterior differ by a tenth or two.
AGREE = 2.0
STEPS = 3000
#: The client's label -> our path, and what turns its number into ours.
NAMES = {
    "Xc": ("east", -1.0),
    "Yc": ("north", 1.0),
    "Vsys": ("v_sys", 1.0),
    "totflux": ("flux", 1.0),
    "veldisp": ("sigma_gas", 1.0),
    "PA": ("pa", 1.0),
    "inc": ("inc", 1.0),
    "Rscale_exp": ("surface_brightness.scale", 1.0),
    "Vmax": ("rotation.v_max", 1.0),
    "Rturn": ("rotation.r_turn", 1.0),
}
TRUTH = {
    "east": 0.7,
    "north": -0.5,
    "v_sys": 3007.0,
    "flux": 40.0,
    "sigma_gas": 12.0,
    "pa": 60.0,
    "inc": 50.0,
    "surface_brightness.scale": 5.0,
    "rotation.v_max": 200.0,
    "rotation.r_turn": 2.0,
}


def say(text=""):
    print(text, flush=True)


def environment(folder):
    """Make an environment with the client in it, unless it is there; return its Python."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "installed"
    wanted = f"{sys.version} {CLIENT} mgefit"
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check"]
        # Ours first: it is the kinms that the client's package asks for.
        subprocess.run([*pip, "--editable", str(ROOT)], check=True)
        subprocess.run([*pip, CLIENT, *(["jampy<9", "mgefit"] if sys.version_info < (3, 12) else [])], check=True)
        stamp.write_text(wanted)
    return python


def make_mock(folder):
    """Write the mock galaxy (31 channels, so that the middle one is the client's too) and its light without a beam."""
    from astropy.io import fits

    import kinms as km

    grid = km.CubeGrid((31, 48, 48), cell=1.0, dv=20.0, v_ref=3000.0, ra=150.0, dec=2.0, rest_frequency=230.538e9)
    beam = km.Beam(5.0, 4.0, 20.0)
    for name, centre in (("mock", {}), ("centred", {"east": 0.0, "north": 0.0})):
        disc = disc_of({**TRUTH, **centre})
        model = km.simulate(disc, grid, beam)
        rms = float(model.data.max()) / 50.0  # the client multiplies its error with about 9
        noise = rms * np.random.default_rng(1).standard_normal(model.data.shape)
        km.write_cube(folder / f"{name}.fits", model.replace(data=(model.data + noise).astype(np.float32)))
    light = km.simulate(disc, grid, None).data.sum(axis=0)
    header = fits.Header({"CDELT1": -grid.cell / 3600.0, "CDELT2": grid.cell / 3600.0})
    fits.PrimaryHDU(light.astype(np.float32), header).writeto(folder / "light.fits")


def disc_of(values):
    """Return the exponential disc with an arctangent rotation curve that all fits here are of."""
    import kinms as km

    own = {name: value for name, value in values.items() if "." not in name}
    return km.Disc(
        surface_brightness=km.ExponentialDisc(scale=values["surface_brightness.scale"]),
        rotation=km.ArctanCurve(v_max=values["rotation.v_max"], r_turn=values["rotation.r_turn"]),
        **own,
    )


def tasks(folder, real):
    """Return what the client is to fit: its own attributes, set to guesses that are off."""
    ranges = {"inc_range": [10.0, 85.0], "velDisp_range": [1.0, 40.0], "expscale_range": [1.0, 15.0]}
    mock = {
        "name": "mock",
        "cube": str(folder / "mock.fits"),
        "linefree_chans": [0, 4],
        "arctan": [[170.0, 1.5], [50.0, 0.1], [400.0, 10.0]],
        "set": ranges
        | {"pa_guess": 70.0, "inc_guess": 42.0, "vsys_guess": 3015.0, "velDisp_guess": 9.0}
        | {"totflux_guess": 30.0, "totflux_range": [5.0, 200.0], "expscale_guess": 4.0, "niters": STEPS},
    }
    clouds = mock | {
        "name": "clouds",
        "cube": str(folder / "centred.fits"),
        "fixed_centre": True,
        "image": str(folder / "light.fits"),
        "clouds_per_pixel": 10,
    }
    found = [mock, clouds]
    if real is not None:
        found.append(
            {
                "name": "ngc4047",
                "cube": str(real),
                "spatial_trim": [36, 92, 36, 92],
                "spectral_trim": [9, 34],
                "arctan": [[170.0, 2.0], [50.0, 0.1], [400.0, 20.0]],
                # The inclination is the published one: light and rotation leave it open at this resolution.
                "set": {"pa_guess": 270.0, "inc_guess": 41.31, "inc_range": [41.31, 41.31], "vsys_guess": 3390.0}
                | {"velDisp_guess": 12.0, "velDisp_range": [1.0, 60.0], "totflux_guess": 150.0}
                | {"totflux_range": [20.0, 600.0], "expscale_guess": 6.0, "expscale_range": [1.0, 20.0]}
                | {"niters": STEPS},
            }
        )
    return found


def as_ours(answer):
    """Return {path: (median, sigma)} of the client's chain, in our names and signs, and what was put right."""
    found = {}
    for label, median, sigma in zip(answer["labels"], answer["median"], answer["sigma"], strict=True):
        path, sign = NAMES[label]
        found[path] = (sign * median, sigma)
    v = np.array(answer["channels"])
    shift = v[v.size // 2] - np.median(v)
    found["v_sys"] = (found["v_sys"][0] + shift, found["v_sys"][1])
    return found, shift


def own_cube(task, answer, folder):
    """Return the very voxels that the client fitted, as a `kinms.Cube` with the client's error."""
    import kinms as km

    data = np.load(folder / f"{task['name']}_cube.npy")
    v = np.array(answer["channels"])
    grid = km.CubeGrid(data.shape, answer["cell"], answer["dv"], v_ref=float(v[v.size // 2]))
    return km.Cube(data, grid, km.Beam(*answer["beam"]), rms=answer["error"])


def bounds(task, cube):
    """Return the client's priors in our names: flat between these."""
    settings, (_, low, high) = task["set"], task["arctan"]
    half = 0.5 * cube.grid.cell * (min(cube.grid.nx, cube.grid.ny) - 1)
    v = cube.grid.velocities
    return {
        "east": (-half, half),
        "north": (-half, half),
        "v_sys": (float(v[0]), float(v[-1])),
        "flux": tuple(settings["totflux_range"]),
        "sigma_gas": tuple(settings["velDisp_range"]),
        "pa": (0.0, 360.0),
        "inc": tuple(settings["inc_range"]),
        "surface_brightness.scale": tuple(settings["expscale_range"]),
        "rotation.v_max": (low[0], high[0]),
        "rotation.r_turn": (low[1], high[1]),
    }


def own_fit(task, answer, theirs, folder):
    """Fit the same model to the same voxels with `kinms.fit`; return {path: (median, sigma)}."""
    import kinms as km

    cube = own_cube(task, answer, folder)
    limits = bounds(task, cube)
    start = {path: 0.5 * (low + high) for path, (low, high) in limits.items()}
    start |= {"pa": task["set"]["pa_guess"], "v_sys": task["set"]["vsys_guess"], "flux": task["set"]["totflux_guess"]}
    free = {path: km.Uniform(*limit) for path, limit in limits.items() if limit[0] < limit[1]}
    result = km.fit(
        disc_of(start), cube, free, likelihood="white", steps=2 * STEPS, chains=2, seed=1, processes=1, progress=False
    )
    chain = result.samples
    return {path: (float(np.median(chain[:, k])), float(chain[:, k].std())) for k, path in enumerate(result.names)}


def own_cloud_fit(task, answer, theirs, folder):
    """The same with the client's clouds: on the sky, and so moved into the plane of every disc that is tried."""
    import kinms as km
    from gastimator_bridge import sample

    cube = own_cube(task, answer, folder)
    limits = bounds(task, cube)
    paths = [path for path in NAMES_WITHOUT_LIGHT if path in theirs]
    clouds = np.load(folder / f"{task['name']}_clouds.npy")
    east, north, flux = -clouds[:, 0], clouds[:, 1], clouds[:, 3]
    white = km.WhiteNoise(cube.data, answer["error"])
    sampling = km.Sampling(estimate=False)

    def log_prob(x):
        value = dict(zip(paths, x, strict=True))
        pa, inc = np.radians(value["pa"]), np.radians(value["inc"])
        major = east * np.sin(pa) + north * np.cos(pa)
        minor = (east * np.cos(pa) - north * np.sin(pa)) / np.cos(inc)
        light = km.Cloudlets(np.stack([major, minor, np.zeros(flux.size)], axis=1), flux)
        disc = km.Disc(
            surface_brightness=light,
            rotation=km.ArctanCurve(v_max=value["rotation.v_max"], r_turn=value["rotation.r_turn"]),
            **{name: value[name] for name in ("v_sys", "flux", "sigma_gas", "pa", "inc")},
        )
        return white(km.simulate(disc, cube.grid, cube.beam, sampling).data)

    start = [task["set"][name] for name in ("vsys_guess", "totflux_guess", "velDisp_guess", "pa_guess", "inc_guess")]
    low, high = np.array([limits[path] for path in paths]).T
    chains = sample(
        log_prob, [*start, *task["arctan"][0]], lower=low, upper=high, steps=STEPS, seed=1, labels=paths, progress=False
    )
    values = chains.flat()
    return {path: (float(np.median(values[:, k])), float(values[:, k].std())) for k, path in enumerate(paths)}


NAMES_WITHOUT_LIGHT = ("v_sys", "flux", "sigma_gas", "pa", "inc", "rotation.v_max", "rotation.r_turn")


def compare(task, answer, folder):
    """Print a table of both fits, and return whether they agree."""
    theirs, shift = as_ours(answer)
    started = time.perf_counter()
    ours = (own_cloud_fit if "image" in task else own_fit)(task, answer, theirs, folder)
    say(f"{task['name']}: kinms_fitter took {answer['seconds']:.0f} s, our fit {time.perf_counter() - started:.0f} s")
    truth = {**TRUTH, "east": 0.0, "north": 0.0} if "image" in task else TRUTH if task["name"] == "mock" else {}
    say(f"  {'parameter':26}{'kinms_fitter':>20}{'ours':>20}{'off, sigma':>12}{'truth':>8}")
    worst = 0.0
    for path, (median, sigma) in ours.items():
        other, spread = theirs[path]
        off = (other - median) / sigma
        worst = max(worst, abs(off))
        texts = [f"{a:.5g} +- {b:.2g}" for a, b in ((other, spread), (median, sigma))]
        say(f"  {path:26}{texts[0]:>20}{texts[1]:>20}{off:>12.2f}{truth.get(path, ''):>8}")
    agree = worst < AGREE
    say(f"  {'agree' if agree else 'DISAGREE'}: at most {worst:.2f} sigma apart, {AGREE:g} allowed")
    if shift:
        say(f"  v_sys of kinms_fitter has {shift:g} km/s added: see below")
    say()
    return agree


def probe(python, code):
    """Return the last line of what a command in the client's environment says on stderr, '' if nothing went wrong."""
    done = subprocess.run([str(python), "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300)
    return (done.stderr.strip().splitlines() or ["failed"])[-1] if done.returncode else ""


def shortcomings(python, simple):
    """Print what of the client cannot work here; what can be tried is tried."""
    tried = {
        "upstream's sampler, gastimator, without the stand-in": "import gastimator; gastimator.gastimator(len)",
        "its mass models: jampy's mge_vcirc": (
            "import numpy as np\nfrom kinms_fitter.velocity_profs import velocity_profs as v\n"
            "one = np.ones(1)\nm = v.mge_vcirc(1e3 * one, one, 0.9 * one, 10.0, [1.0], [0.1], [10.0])\n"
            "assert np.isfinite(m(np.array([1.0, 5.0]), [1.0], inc=60.0)).all()"
        ),
        "useJAX=True (which then is the one engine there is)": "from kinms_fitter.kinms_fitter import KinMS_jax",
    }
    say("What of kinms_fitter does not work here, or was put right from outside:")
    say("  - a breakpoint() is left in its run(): PYTHONBREAKPOINT=0 switches it off.")
    if sys.version_info < (3, 12):
        say("  - jampy 9, which it would get, needs Python 3.12: jampy 8 was installed, and mgefit with it.")
    troubles = {"run(method='simple')": simple, **{what: probe(python, code) for what, code in tried.items()}}
    for what, trouble in troubles.items():
        say(f"  - {what}: {'FAILS: ' + trouble if trouble else 'works'}")
    say(
        "  - with an even number of channels its v_sys is half a channel low: it takes the median of the velocities for"
    )
    say("    that of channel n // 2. The comparison above adds it.")
    say(
        "  - with skySampler's clouds its centre has to be fixed to the middle pixel: it moves the clouds there and the"
    )
    say("    kinematic centre away from there. It was fixed.")
    say("  - voxels that are NaN (NGC 4047's mask) count as zeros that were measured. Ours was given the same zeros.")
    say("  - its chains have no seed: numbers differ a little from run to run.")
    say("  - skySampler is a part of kinms_fitter; the package of that name is something else (optical sky surveys).")


def real_cube():
    folder = pathlib.Path(os.environ.get("KINMS_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "cubes" / "NGC4047_CO_smo7msk.fits.gz"
    return path if path.exists() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--environment", type=pathlib.Path, default=ROOT / "build" / "compat", help="kept from run to run"
    )
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    started = time.perf_counter()
    python = environment(args.environment)
    check = subprocess.run([str(python), "-m", "pip", "check"], capture_output=True, text=True)
    say(f"{CLIENT} is installed beside this project; pip check: {check.stdout.strip()}")
    real = real_cube()
    if real is None:
        say("No real data (KINMS_TEST_DATA): only the mock galaxy is fitted.")
    with tempfile.TemporaryDirectory(prefix="kinms_compat_") as name:
        folder = pathlib.Path(name)
        make_mock(folder)
        jobs = tasks(folder, real)
        (folder / "tasks.json").write_text(json.dumps(jobs))
        done = subprocess.run(
            [str(python), "-W", "ignore", "-m", "kinms.compat", "run", str(HERE / "client.py"), str(folder)],
            env={**os.environ, "PYTHONBREAKPOINT": "0", "OMP_NUM_THREADS": "2"},
            cwd=folder,
        )
        if done.returncode:
            say(f"kinms_fitter could not be started under the stand-ins (exit status {done.returncode}).")
            return 1
        answers = json.loads((folder / "answers.json").read_text())
        for module, path in answers["modules"].items():
            shown = pathlib.Path(path)
            shown = shown.relative_to(ROOT) if shown.is_relative_to(ROOT) else pathlib.Path(*shown.parts[-3:])
            say(f"  {module} is {shown}")
        say()
        agree = True
        for task in jobs:
            answer = answers[task["name"]]
            if "failed" in answer:
                say(f"{task['name']}: kinms_fitter FAILED\n{answer['failed']}")
                agree = False
            else:
                agree &= compare(task, answer, folder)
    shortcomings(python, answers["simple"])
    say()
    say(f"{'All agree' if agree else 'NOT all agree'}; {time.perf_counter() - started:.0f} s")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
