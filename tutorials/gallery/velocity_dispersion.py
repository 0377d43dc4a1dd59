"""A velocity dispersion that falls with radius, from 50 to 8 km/s (`veldisp` of the KinMS test suite)."""

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
        30, 90, sbProf=LIGHT, sbRad=RAD, velProf=np.interp(RAD, RADIUS, SPEED),
        gasSigma=np.interp(RAD, [0, 20, 500], [50, 8, 8]), intFlux=30,
    )  # fmt: skip


def new():
    """Return the same as a Cube, data[v, y, x]; `radius` are those of all tables of the disc."""
    disc = km.Disc(
        surface_brightness=km.TableProfile(RAD, LIGHT),  # it ends at 100 arcsec, where km.ExponentialDisc does not
        rotation=km.TableCurve(RADIUS, SPEED),
        inc=30.0,
        pa=90.0,
        radius=[0.0, 20.0],
        sigma_gas=[50.0, 8.0],  # end values hold beyond
        flux=30.0,
    )
    return km.simulate(disc, km.CubeGrid((140, 128, 128), cell=1.0, dv=10.0), km.Beam(2.0))


def figure():
    """Return moments, position-velocity diagram and spectrum."""
    cube = old()
    plotter = KinMS_plotter(
        cube, *SCOPE, posang=90, rms=cube.max() / 300, title="Radial table of the velocity dispersion"
    )
    return plotter.makeplots(plot2screen=False, vrange=[-200, 200])


if __name__ == "__main__":
    save(figure(), __file__)
