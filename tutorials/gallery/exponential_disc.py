"""An exponential disc, inclined by 60 degrees: the first thing to try (`expdisk` of the KinMS test suite)."""

import numpy as np
from gallery import save

import kinms as km
from kinms import KinMS
from kinms.utils.KinMS_figures import KinMS_plotter

SCOPE = (64, 64, 1400, 1, 10, [4, 4, 0])  # xs, ys, vs, cellSize, dv, beamSize
RADIUS, SPEED = [0, 0.5, 1, 3, 500], [0, 50, 100, 210, 210]  # arcsec, km/s


def old():
    """Return the cube [x, y, v] by the arguments of KinMS."""
    rad = np.arange(0, 100, 0.1)
    return KinMS(*SCOPE).model_cube(
        60, 90, sbProf=np.exp(-rad / 10), sbRad=rad, velProf=np.interp(rad, RADIUS, SPEED), gasSigma=10, intFlux=30
    )


def new():
    """Return the same as a Cube, data[v, y, x]."""
    disc = km.Disc(
        surface_brightness=km.ExponentialDisc(scale=10.0),
        rotation=km.TableCurve(RADIUS, SPEED),
        inc=60.0,
        pa=90.0,
        sigma_gas=10.0,
        flux=30.0,
    )
    return km.simulate(disc, km.CubeGrid((140, 64, 64), cell=1.0, dv=10.0), km.Beam(4.0))


def figure():
    """Return moments, position-velocity diagram and spectrum."""
    cube = old()
    plotter = KinMS_plotter(cube, *SCOPE, posang=90, rms=cube.max() / 300, title="Exponential disc")
    return plotter.makeplots(plot2screen=False, vrange=[-300, 300])


if __name__ == "__main__":
    save(figure(), __file__)
