"""A disc that flares, seen edge-on: scale heights of 1 to 15 arcsec (`diskthick` of the KinMS test suite)."""

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
        90, 270, sbProf=LIGHT, sbRad=RAD, velProf=np.interp(RAD, RADIUS, SPEED),
        diskThick=np.interp(RAD, [0, 10, 15, 20, 200], [1, 1, 5, 15, 15]), intFlux=30,
    )  # fmt: skip


def new():
    """Return the same as a Cube, data[v, y, x]; so thick a disc is summed over points, and 0.05 is soon reached."""
    disc = km.Disc(
        surface_brightness=km.TableProfile(RAD, LIGHT),
        rotation=km.TableCurve(RADIUS, SPEED),
        inc=90.0,
        pa=270.0,
        radius=[10.0, 15.0, 20.0],
        scale_height=[1.0, 5.0, 15.0],  # end values hold within and beyond
        flux=30.0,
    )
    return km.simulate(disc, km.CubeGrid((140, 128, 128), cell=1.0, dv=10.0), km.Beam(2.0), km.Sampling(accuracy=0.05))


def figure():
    """Return moments, position-velocity diagram and spectrum."""
    cube = old()
    plotter = KinMS_plotter(cube, *SCOPE, posang=270, rms=cube.max() / 300, title="Flaring disc, edge-on")
    return plotter.makeplots(plot2screen=False, vrange=[-250, 250])


if __name__ == "__main__":
    save(figure(), __file__)
