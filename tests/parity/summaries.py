"""What is kept of a cube: its total, centroids and widths, moments on a coarse grid, spectrum, PV diagrams."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Blocks along each side of the sky.
BLOCKS = 8
#: Moments 1 and 2 are kept where a block has so much of the brightest one's flux.
BRIGHT = 0.03
#: Percentiles of the clouds' coordinates and velocities.
PERCENTILES = (5.0, 25.0, 50.0, 75.0, 95.0)


def offsets(n: int, step: float) -> np.ndarray:
    """Distance of voxels from the reference voxel n // 2."""
    return (np.arange(n) - n // 2) * step


def blocks(cube: np.ndarray, axis: int) -> np.ndarray:
    """Sum groups of rows."""
    starts = np.linspace(0, cube.shape[axis], BLOCKS + 1).astype(int)[:-1]
    return np.add.reduceat(cube, starts, axis=axis)


def summarise(cube: np.ndarray, cell: float, dv: float, bright: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Return the summaries of a cube [x, y, v].

    ``centre`` is west, north (arcsec) and velocity (km/s) from the reference voxel; ``widths`` the second moments WW,
    WN, NN (arcsec^2), VV (km/s)^2 and WV, NV about it, all weighted with flux; ``moment1`` and ``moment2`` are those
    of the blocks `bright` (flat indices; by default those with enough flux), km/s from channel nv // 2.
    """
    cube = np.asarray(cube, dtype=float)
    west, north, v = (offsets(n, step) for n, step in zip(cube.shape, (cell, cell, dv), strict=True))
    total = cube.sum()
    sky, wv, nv = cube.sum(axis=2), cube.sum(axis=1), cube.sum(axis=0)
    spectrum = nv.sum(axis=0)
    safe = total if total else np.nan
    centre = np.array([sky.sum(axis=1) @ west, sky.sum(axis=0) @ north, spectrum @ v]) / safe
    w, n, s = west - centre[0], north - centre[1], v - centre[2]
    widths = np.array([(w**2) @ sky.sum(axis=1), w @ sky @ n, (n**2) @ sky.sum(axis=0),
                       (s**2) @ spectrum, w @ wv @ s, n @ nv @ s]) / safe  # fmt: skip
    coarse = blocks(blocks(cube, 0), 1)
    flux = coarse.sum(axis=2).ravel()
    if bright is None:
        bright = np.flatnonzero(flux > BRIGHT * flux.max()) if flux.max() > 0 else np.zeros(0, int)
    lit = coarse.reshape(-1, v.size)[bright]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = lit @ v / lit.sum(axis=1)
        width = np.einsum("bv,bv->b", lit, (v - mean[:, None]) ** 2) / lit.sum(axis=1)
    return {
        "total": np.array([total]),
        "centre": centre,
        "widths": widths,
        "moment0": flux,
        "moment1": mean,
        "moment2": width,
        "spectrum": spectrum,
        "pv_west": blocks(wv, 0).ravel(),
        "pv_north": blocks(nv, 0).ravel(),
    }


def bright_blocks(cubes_moment0: np.ndarray) -> np.ndarray:
    """Blocks with enough flux in the mean of several cubes, shape (cubes, blocks)."""
    mean = cubes_moment0.mean(axis=0)
    return np.flatnonzero(mean > BRIGHT * mean.max()) if mean.max() > 0 else np.zeros(0, int)


def summarise_clouds(clouds: np.ndarray) -> np.ndarray:
    """Return percentiles of x, y, z, v of returned clouds, shape (4 * percentiles,)."""
    return np.percentile(clouds, PERCENTILES, axis=0).T.ravel()


def scales(found: dict[str, Any]) -> dict[str, Any]:
    """What an error of a cube is measured against, for every summary.

    Maps and spectra go by their largest value, positions by the size of the image, velocities by the line's width:
    an error of one in a thousand of a cube moves its moments by that much of these.
    """
    ww, _, nn, vv, *_ = np.abs(np.asarray(found["widths"], dtype=float))
    size, line = np.sqrt(ww + nn), np.sqrt(vv)
    peaks = {
        name: float(np.max(np.abs(found[name]))) for name in ("total", "moment0", "spectrum", "pv_west", "pv_north")
    }
    return peaks | {
        "centre": np.array([size, size, line]),
        "widths": np.array([size**2, size**2, size**2, line**2, size * line, size * line]),
        "moment1": line,
        "moment2": line**2,
        "clouds": np.repeat([size, size, size, line], len(PERCENTILES)),
    }
