"""What is timed: seven discs as plain numbers, and the same as our objects.

The numbers are read in the peers' environments too, where another ``kinms`` is installed: ours is imported only by
the functions that build our objects.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

#: Of every workload, in Jy km/s.
FLUX = 30.0


@dataclasses.dataclass(frozen=True)
class Workload:
    """A disc of exponential light, v = (2/pi) v_max arctan(R / r_turn), in a cube of n x n pixels of 1 arcsec.

    Lengths in arcsec, velocities in km/s, angles in degrees. With a warp, inc and pa grow by `warp` degrees from the
    centre to four scale lengths, where they reach inc + warp / 2 and pa + warp / 2, and stay.
    """

    name: str
    n: int
    nv: int
    dv: float
    bmaj: float
    scale: float
    r_turn: float
    bmin: float = 0.0
    bpa: float = 0.0
    inc: float = 45.0
    pa: float = 270.0
    sigma_gas: float = 10.0
    v_max: float = 200.0
    scale_height: float = 0.0
    warp: float = 0.0
    cloudlets: int = 500_000  # for the peer that draws them

    @property
    def beam(self) -> tuple[float, float, float]:
        """FWHM and position angle."""
        return self.bmaj, self.bmin or self.bmaj, self.bpa

    def orientation(self, r: np.ndarray, inc: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return inclination and position angle (degrees) at radii r."""
        ramp = self.warp * (np.minimum(r / (4.0 * self.scale), 1.0) - 0.5)
        return (self.inc if inc is None else inc) + ramp, self.pa + ramp


_T = Workload("T10", n=64, nv=25, dv=20.0, bmaj=4.0, scale=5.0, r_turn=2.0)
_M = Workload("M", n=256, nv=64, dv=10.0, bmaj=5.0, scale=25.0, r_turn=10.0)
_L = {"bmaj": 8.0, "bmin": 6.0, "bpa": 30.0, "scale": 50.0, "r_turn": 20.0, "sigma_gas": 8.0, "cloudlets": 2_000_000}

WORKLOADS = {
    w.name: w
    for w in (
        _T,
        dataclasses.replace(_T, name="T0", sigma_gas=0.0),
        Workload("G", n=128, nv=64, dv=10.0, bmaj=4.0, scale=12.0, r_turn=5.0),
        _M,
        Workload("L", n=512, nv=128, dv=5.0, **_L),
        dataclasses.replace(_M, name="W", warp=20.0),
        dataclasses.replace(_M, name="K", inc=80.0, scale_height=3.0),
    )
}


#: The fit that the tutorial of KinMS ends with: parameters, first guesses, bounds and precisions as it has them.
TUTORIAL: dict[str, Any] = {
    "labels": ["Flux", "posAng", "Inc", "VFlat", "R_turn", "scalerad"],
    "truth": [30.0, 270.0, 45.0, 200.0, 2.0, 5.0],
    "guesses": [30.0, 275.0, 55.0, 210.0, 2.5, 4.5],
    "min": [30.0, 1.0, 10.0, 50.0, 0.1, 0.1],
    "max": [30.0, 360.0, 80.0, 400.0, 20.0, 10.0],
    "fixed": [True, False, False, False, False, False],
    "precision": [1.0, 1.0, 1.0, 10.0, 0.1, 0.1],
    "rms": 1e-3,
    "steps": 3000,
}


def tutorial_profiles(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the tutorial's model is given for a vector of `TUTORIAL`: light and rotation at its radii."""
    r = np.arange(0.0, 100.0, 0.3)
    _, _, _, v_flat, r_turn, scale = values
    rotation = v_flat * 2.0 / np.pi * np.arctan(r / r_turn)
    return {"sbProf": np.exp(-r / scale), "sbRad": r, "velProf": rotation, "velRad": r}


def gastimator_fit(sampler: Any) -> Any:
    """Give a ``gastimator``, upstream's or ours, the tutorial's settings; one process."""
    for name in ("labels", "guesses", "min", "max", "fixed", "precision"):
        setattr(sampler, name, np.array(TUTORIAL[name]))
    sampler.nprocesses, sampler.silent = 1, True
    return sampler


def grid(w: Workload) -> Any:
    """Return the workload's pixels and channels."""
    import kinms as km

    return km.CubeGrid((w.nv, w.n, w.n), cell=1.0, dv=w.dv)


def beam(w: Workload) -> Any:
    """Return its beam."""
    import kinms as km

    return km.Beam(*w.beam)


def disc(w: Workload) -> Any:
    """Return its galaxy; a warp as tables at six radii."""
    import kinms as km

    radius = np.linspace(0.0, 4.0 * w.scale, 6) if w.warp else None
    inc, pa = (w.inc, w.pa) if radius is None else w.orientation(radius)
    return km.Disc(
        surface_brightness=km.ExponentialDisc(w.scale),
        rotation=km.ArctanCurve(w.v_max, w.r_turn),
        inc=inc,
        pa=pa,
        radius=radius,
        sigma_gas=w.sigma_gas,
        scale_height=w.scale_height,
        flux=FLUX,
    )


def free(w: Workload) -> dict[str, Any]:
    """Return eight free parameters (a warp: one element of each table; no dispersion: seven) with wide priors."""
    import kinms as km

    inc, pa = ("inc[2]", "pa[2]") if w.warp else ("inc", "pa")
    priors = {
        inc: km.Uniform(5.0, 88.0),
        pa: km.Uniform(180.0, 360.0),
        "v_sys": km.Uniform(-100.0, 100.0),
        "sigma_gas": km.Uniform(1.0, 50.0),
        "flux": km.Uniform(1.0, 100.0),
        "surface_brightness.scale": km.Uniform(0.2 * w.scale, 5.0 * w.scale),
        "rotation.v_max": km.Uniform(50.0, 400.0),
        "rotation.r_turn": km.Uniform(0.2 * w.r_turn, 5.0 * w.r_turn),
    }
    if w.sigma_gas == 0.0:
        del priors["sigma_gas"]
    return priors


#: How far each parameter of `free` moves from call to call: the width of a chain's cloud, about.
STEPS = {
    "inc": 0.5,
    "pa": 0.5,
    "v_sys": 1.0,
    "sigma_gas": 0.3,
    "flux": 0.5,
    "surface_brightness.scale": 0.01,  # of itself, as the next two
    "rotation.v_max": 0.01,
    "rotation.r_turn": 0.02,
}


def vectors(labels: list[str], start: np.ndarray, seed: int) -> Any:
    """Yield vectors round the start without end, no two alike."""
    rng = np.random.default_rng(seed)
    step = np.array([STEPS[label.partition("[")[0]] for label in labels])
    relative = np.array(["." in label for label in labels])
    scale = step * np.where(relative, start, 1.0)
    while True:
        yield start + scale * rng.uniform(-1.0, 1.0, start.size)


def posterior(w: Workload, data: np.ndarray, rms: float, sampling: Any) -> Any:
    """Return the posterior of `free` given these data, shape (nv, ny, nx), with white noise."""
    import kinms as km

    cube = km.Cube(data, grid(w), beam(w))
    return km.DiscPosterior(disc(w), cube, free(w), likelihood=km.WhiteNoise(data, rms), sampling=sampling)
