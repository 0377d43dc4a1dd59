"""Correlated noise by brute force: whole covariance matrices in numpy, written from the conventions alone.

Nothing of `kinms.correlation`, `kinms.modes` or `kinms.likelihood` is used: only `kinms.simulate`, for a disc's
derivatives.
"""

import functools
import math
import warnings

import numpy as np

import kinms as km

#: Correlation of channels after common processing, from the taps: Hanning smoothing has 1/4, 1/2, 1/4.
TAPS = {"independent": [1.0], "hanning": [0.25, 0.5, 0.25]}


def channel_correlation(name):
    """Of channels 0, 1, 2 ... apart: the taps with themselves. 'hanning half' keeps every second channel."""
    taps = np.array(TAPS["hanning" if name == "hanning half" else name])
    full = np.correlate(taps, taps, "full")[len(taps) - 1 :]
    return (full / full[0])[:: 2 if name == "hanning half" else 1]


def shared(beam, dy, dx, cell=1.0):
    """Correlation at lags in pixels: a Gaussian of the beam's shape with FWHM sqrt(2) as large.

    x grows towards West and y towards North; bpa counts from North through East.
    """
    bmaj, bmin, bpa = beam
    angle = math.radians(bpa)
    east, north = -np.asarray(dx) * cell, np.asarray(dy) * cell
    along = east * math.sin(angle) + north * math.cos(angle)
    across = east * math.cos(angle) - north * math.sin(angle)
    per_sigma = math.sqrt(8.0 * math.log(2.0))
    major, minor = math.sqrt(2.0) * bmaj / per_sigma, math.sqrt(2.0) * bmin / per_sigma
    return np.exp(-0.5 * ((along / major) ** 2 + (across / minor) ** 2))


def covariance(beam, floor, voxels, channels="independent"):
    """Covariance matrix of voxels at indices (v, y, x), each of shape (n,)."""
    v, y, x = (np.asarray(index) for index in voxels)
    line = channel_correlation(channels)
    apart = np.abs(v[:, None] - v[None, :])
    spectral = np.where(apart < len(line), np.append(line, 0.0)[np.minimum(apart, len(line))], 0.0)
    matrix = (1.0 - floor) * spectral * shared(beam, y[:, None] - y[None, :], x[:, None] - x[None, :])
    matrix[np.diag_indices(len(v))] += floor
    return matrix


def log_like(data, error, beam, floor, model, use, channels="independent"):
    """-r^T C^-1 r / 2 over the voxels used."""
    error = np.broadcast_to(error, data.shape)
    residual = ((model - data) / error)[use]
    return -0.5 * residual @ np.linalg.solve(covariance(beam, floor, np.nonzero(use), channels), residual)


#: Of the derivatives: half a step of each parameter.
STEPS = {"inc": 1.0, "pa": 1.0, "sigma_gas": 0.5, "flux": 0.05, "v_max": 2.0, "r_turn": 0.1, "east": 0.1, "north": 0.1,
         "scale": 0.1, "v_sys": 0.5}  # fmt: skip


@functools.cache
def derivatives(shape=(8, 40, 40), beam=(5.0, 3.5, 25.0), scale=4.0, east=0.0, dv=25.0):
    """Return a disc's cube, and its derivatives by ten parameters, shape (10, nv, ny, nx), from central differences."""
    grid = km.CubeGrid(shape, cell=1.0, dv=dv)
    start = {"inc": 50.0, "pa": 40.0, "sigma_gas": 12.0, "flux": 1.0, "v_max": 100.0, "r_turn": 2.0, "east": east,
             "north": 0.0, "scale": scale, "v_sys": 3.0}  # fmt: skip

    def model(**changed):
        p = {**start, **changed}
        light, rotation = km.ExponentialDisc(p.pop("scale")), km.ArctanCurve(p.pop("v_max"), p.pop("r_turn"))
        disc = km.Disc(surface_brightness=light, rotation=rotation, **p)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", km.KinmsWarning)  # of flux outside of the field
            return km.simulate(disc, grid, km.Beam(*beam), km.Sampling(accuracy=1e-4)).data.astype(float)

    slopes = [
        (model(**{name: start[name] + step}) - model(**{name: start[name] - step})) / (2.0 * step)
        for name, step in STEPS.items()
    ]
    return model(), np.array(slopes)


def exact_fisher(slopes, beam, floor, use):
    """Fisher matrix of independent channels, from the covariance matrix of each channel's voxels."""
    total = np.zeros((len(slopes), len(slopes)))
    inverses = {}
    for v in range(use.shape[0]):
        y, x = np.nonzero(use[v])
        if y.size:
            key = use[v].tobytes()
            if key not in inverses:
                inverses[key] = np.linalg.inv(covariance(beam, floor, (np.zeros_like(y), y, x)))
            of_channel = slopes[:, v][:, use[v]]
            total += of_channel @ inverses[key] @ of_channel.T
    return total


def widths(fisher):
    """1 sigma of each parameter."""
    return np.sqrt(np.diag(np.linalg.inv(fisher)))
