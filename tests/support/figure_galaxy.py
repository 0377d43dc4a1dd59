"""A rotating galaxy for figures, made without the engine."""

import numpy as np

from kinms.cube import Cube
from kinms.grid import Beam, CubeGrid

GRID = CubeGrid((21, 45, 52), cell=0.5, dv=10.0, v_ref=1500.0)
BEAM = Beam(2.4, 1.2, bpa=20.0)
PA = 60.0


def galaxy(pa=PA, flux=1.0, grid=GRID, beam=BEAM, v_sys=1500.0, **fields):
    """A rotating Gaussian blob: every pixel holds a line of sigma 12 km/s at its own velocity."""
    north, east = np.meshgrid(grid.north, grid.east, indexing="ij")
    along = east * np.sin(np.radians(pa)) + north * np.cos(np.radians(pa))
    across = east * np.cos(np.radians(pa)) - north * np.sin(np.radians(pa))
    light = flux * np.exp(-0.5 * (along**2 / 9.0 + across**2 / 4.0))
    offset = grid.velocities[:, None, None] - v_sys - 40.0 * np.tanh(along / 2.0)
    return Cube(light * np.exp(-0.5 * (offset / 12.0) ** 2), grid, beam, **fields)


def noisy(cube, rms=0.02):
    noise = np.random.default_rng(20240501).normal(0.0, rms, cube.data.shape)
    return cube.replace(data=cube.data + noise)
