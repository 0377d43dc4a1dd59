"""An inner disc that turns against the outer one, as in NGC 1266 (`retclouds` of the KinMS test suite)."""

import numpy as np
from gallery import save

import kinms as km
from kinms import KinMS
from kinms.utils.KinMS_figures import KinMS_plotter

SCOPE = (64, 64, 1000, 1, 10, [4, 4, 0])  # xs, ys, vs, cellSize, dv, beamSize
RAD = np.arange(0, 100, 0.1)
RADIUS, SPEED = [0, 0.5, 1, 3, 500], [0, 50, 100, 210, 210]  # arcsec, km/s
INNER = {"inc": 75, "posAng": 270, "sbProf": np.where(RAD > 5, 0, np.exp(-RAD / 4))}
OUTER = {"inc": 35, "posAng": 90, "sbProf": np.where(RAD < 10, 0, np.exp(-RAD / 15))}
CLOUDS = 50_000, 1_000_000  # all have the same flux: the inner disc has a twenty-first of it


def old():
    """Return the cube [x, y, v] by the arguments of KinMS: clouds of two discs, put into a third call."""
    discs = [
        KinMS(*SCOPE, nSamps=n).model_cube(
            **disc, sbRad=RAD, velProf=np.interp(RAD, RADIUS, SPEED), gasSigma=10, returnClouds=True
        )
        for n, disc in zip(CLOUDS, (INNER, OUTER))
    ]
    positions, velocities = (np.concatenate([disc[k] for disc in discs]) for k in (1, 2))
    return KinMS(*SCOPE).model_cube(75, 90, inClouds=positions, vLOS_clouds=velocities, intFlux=30)


def new():
    """Return the same as a Cube, data[v, y, x]: cubes add, so that no clouds are drawn and nothing is random."""
    cubes = [
        km.simulate(
            km.Disc(
                surface_brightness=km.TableProfile(RAD, disc["sbProf"]),
                rotation=km.TableCurve(RADIUS, SPEED),
                inc=disc["inc"],
                pa=disc["posAng"],
                sigma_gas=10.0,
                flux=30.0 * n / sum(CLOUDS),
            ),
            km.CubeGrid((100, 64, 64), cell=1.0, dv=10.0),
            km.Beam(4.0),
        )
        for n, disc in zip(CLOUDS, (INNER, OUTER))
    ]
    return cubes[0].replace(data=cubes[0].data + cubes[1].data)


def figure():
    """Return moments, position-velocity diagram and spectrum."""
    cube = old()
    plotter = KinMS_plotter(cube, *SCOPE, posang=90, rms=cube.max() / 300, title="Counter-rotating inner disc")
    return plotter.makeplots(plot2screen=False, vrange=[-280, 280])


if __name__ == "__main__":
    save(figure(), __file__)
