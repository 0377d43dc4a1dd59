"""A warp: the position angle turns from 270 to 300 degrees (`warp` of the KinMS test suite)."""

import numpy as np
from gallery import save

import kinms as km
from kinms import KinMS
from kinms.utils.KinMS_figures import KinMS_plotter

SCOPE = (128, 128, 1400, 1, 10, 2)  # xs, ys, vs, cellSize, dv, beamSize
RAD = np.arange(0, 100, 0.1)
LIGHT = 10 * np.exp(-RAD / 20)
RADIUS, SPEED = [0, 0.5, 1, 3, 500], [0, 50, 100, 210, 210]  # arcsec, km/s


def old():
    """Return the cube [x, y, v] by the arguments of KinMS."""
    return KinMS(*SCOPE).model_cube(
        60, np.interp(RAD, [0, 15, 50, 500], [270, 270, 300, 300]), sbProf=LIGHT, sbRad=RAD,
        velProf=np.interp(RAD, RADIUS, SPEED), intFlux=30,
    )  # fmt: skip


def new():
    """Return the same as a Cube, data[v, y, x]; rings that cross are summed over points, and 0.02 is soon reached."""
    disc = km.Disc(
        surface_brightness=km.TableProfile(RAD, LIGHT),
        rotation=km.TableCurve(RADIUS, SPEED),
        inc=60.0,
        radius=[15.0, 50.0],
        pa=[270.0, 300.0],  # end values hold within and beyond
        flux=30.0,
    )
    return km.simulate(disc, km.CubeGrid((140, 128, 128), cell=1.0, dv=10.0), km.Beam(2.0), km.Sampling(accuracy=0.02))


def figure():
    """Return moments, position-velocity diagram and spectrum."""
    cube = old()
    plotter = KinMS_plotter(cube, *SCOPE, posang=270, rms=cube.max() / 300, title="Warped disc")
    return plotter.makeplots(plot2screen=False, vrange=[-250, 250])


if __name__ == "__main__":
    save(figure(), __file__)
