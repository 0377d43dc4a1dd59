"""The other programs, each inside an environment of its own: one request per line on stdin, one reply on stdout.

``python peers.py kinms`` or ``python peers.py galpak`` answers JSON lines such as

    {"workload": "T10", "variant": "fft", "inc": 45.1, "save": "cube.npy"}

with {"cpu": ms, "thread": ms, "wall": ms}. What a program does once for many models (random numbers, beams, headers)
is done before the clock starts. ``save`` writes the cube, shape (nv, ny, nx), and with it ``.psf.npy``, the beam the
program used.

``python peers.py gastimator`` makes the tutorial's fit with upstream's model and sampler:

    {"data": "cube.npy", "error": 0.0213, "steps": 3000}
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from workloads import FLUX, TUTORIAL, WORKLOADS, gastimator_fit, tutorial_profiles

#: The models of one peer: (workload, variant) -> (call(inc) -> cube, beam image or None).
Maker = Callable[[str, str], tuple[Callable[[float], Any], Any]]


@functools.cache
def make_kinms(name: str, variant: str) -> tuple[Callable[[float], Any], Any]:
    """Upstream, KinMSpy 3.0.14: variants ``default`` (direct convolution) and ``fft`` (huge_beam=True)."""
    from kinms import KinMS

    w = WORKLOADS[name]
    model = KinMS(
        w.n, w.n, w.nv * w.dv, 1.0, w.dv, list(w.beam), nSamps=w.cloudlets, fixSeed=True, huge_beam=variant == "fft"
    )
    r = np.arange(0.0, 16.0 * w.scale, 0.3)

    def call(inc: float) -> np.ndarray:
        inc, pa = w.orientation(r, inc) if w.warp else (inc, w.pa)
        return model.model_cube(
            inc,
            pa,
            gasSigma=w.sigma_gas,
            diskThick=w.scale_height,
            sbProf=np.exp(-r / w.scale),
            sbRad=r,
            velProf=w.v_max * 2.0 / np.pi * np.arctan(r / w.r_turn),
            velRad=r,
            intFlux=FLUX,
            vOffset=-0.5 * w.dv * (w.nv % 2),  # its zero lies between two channels where their number is odd
        )

    return call, model.psf


@functools.cache
def make_galpak(name: str, variant: str) -> tuple[Callable[[float], Any], Any]:
    """GalPaK3D 1.35.2: variants ``clean`` and ``convolved``, a disc of the same scales with a thickness of its own."""
    import galpak
    from astropy.io import fits

    w = WORKLOADS[name]
    wave, step = 1.0, w.dv / 3e5  # micrometres: channels of dv
    header = fits.Header()
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "WAVE", "CUNIT1": "deg", "CUNIT2": "deg"}
    cards |= {"CUNIT3": "um", "CRVAL3": wave, "CRPIX3": w.nv // 2 + 1, "CDELT3": step}
    for axis, sign in ((1, -1), (2, 1)):
        cards |= {f"CRVAL{axis}": 0.0, f"CRPIX{axis}": w.n // 2 + 1, f"CDELT{axis}": sign / 3600.0}
    header.update(cards)
    cube = galpak.HyperspectralCube(data=np.ones((w.nv, w.n, w.n)), header=header)
    beam = galpak.GaussianPointSpreadFunction(fwhm=w.bmaj, pa=w.bpa, ba=w.beam[1] / w.bmaj)
    instrument = galpak.Instrument(psf=beam, lsf=galpak.GaussianLineSpreadFunction(fwhm=step))
    disc = galpak.ModelSersic(flux_profile="exponential", rotation_curve="arctan", thickness_profile="exponential")
    variance = galpak.HyperspectralCube(data=np.ones((w.nv, w.n, w.n)), header=header)
    runner = galpak.GalPaK3D(cube, variance=variance, model=disc, instrument=instrument, quiet=True)
    parameters = runner.model.Parameters()
    values = {"x": w.n // 2, "y": w.n // 2, "z": w.nv // 2, "flux": FLUX, "radius": 1.678 * w.scale, "pa": w.pa}
    values |= {"turnover_radius": w.r_turn, "maximum_velocity": w.v_max, "velocity_dispersion": w.sigma_gas}
    make = runner.create_convolved_cube if variant == "convolved" else runner.create_clean_cube

    def call(inc: float) -> Any:
        for key, value in (values | {"inclination": inc}).items():
            parameters[key] = value
        return make(parameters, (w.nv, w.n, w.n))

    return call, None


def answer(request: dict[str, Any], make: Maker) -> dict[str, float]:
    """Make one model and say what it cost, in milliseconds."""
    call, psf = make(request["workload"], request["variant"])
    clocks = {"cpu": time.process_time, "thread": time.thread_time, "wall": time.perf_counter}
    before = {name: clock() for name, clock in clocks.items()}
    cube = call(request["inc"])
    reply = {name: 1e3 * (clock() - before[name]) for name, clock in clocks.items()}
    if path := request.get("save"):
        data = cube.data if psf is None else cube.T
        np.save(path, np.asarray(data, dtype=np.float32))
        if psf is not None:
            np.save(path.removesuffix(".npy") + ".psf.npy", psf.T)
    return reply


def fit(request: dict[str, Any]) -> dict[str, Any]:
    """Make one fit of data of shape (nv, ny, nx), and say what it cost (seconds) and found."""
    from gastimator import gastimator

    from kinms import KinMS

    w = WORKLOADS["T0"]
    # 3.0.14 keeps its object, with beam and random numbers, from model to model, unlike the tutorial.
    galaxy = KinMS(w.n, w.n, w.nv * w.dv, 1.0, w.dv, list(w.beam), nSamps=w.cloudlets, fixSeed=True)
    models = 0

    def model(values: np.ndarray) -> np.ndarray:
        nonlocal models
        models += 1
        flux, pa, inc = values[:3]
        return galaxy.model_cube(inc, pa, intFlux=flux, vOffset=-0.5 * w.dv, **tutorial_profiles(values))

    sampler = gastimator_fit(gastimator(model))
    data = np.load(request["data"]).T
    model(np.array(TUTORIAL["truth"]))
    models = 0
    cpu, wall = time.process_time(), time.perf_counter()
    values, log_like = sampler.run(data, request["error"], request["steps"], plot=False)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    reply = {"cpu": cpu, "wall": wall, "models": models, "kept": int(log_like.size)}
    return reply | {
        "quantiles": np.percentile(values, [15.87, 50.0, 84.13], axis=1).T.tolist() if log_like.size else []
    }


def serve(reply_to: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer requests until stdin ends; whatever a program prints goes to stderr."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(reply_to(json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    makers = {"kinms": make_kinms, "galpak": make_galpak}
    serve(fit if sys.argv[1] == "gastimator" else functools.partial(answer, make=makers[sys.argv[1]]))
