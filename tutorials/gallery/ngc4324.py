"""The molecular ring of NGC 4324 as CARMA saw it (`ngc4324` of the KinMS test suite), without the observed cube."""

import numpy as np
from gallery import save

import kinms as km
from kinms import KinMS
from kinms.utils.KinMS_figures import KinMS_plotter

SCOPE = (100, 100, 420, 1, 20, [4.68, 3.85, 15.54])  # xs, ys, vs, cellSize, dv, beamSize
RAD = np.arange(0, 64)
LIGHT = 0.1 * np.exp(-0.5 * ((RAD - 20) / 2) ** 2)
RADIUS, SPEED = [0, 1, 3, 5, 200], [0, 50, 100, 175, 175]  # arcsec, km/s


def old(**more):
    """Return the cube [x, y, v] by the arguments of KinMS; fileName="NGC4324" would write NGC4324_simcube.fits."""
    return KinMS(*SCOPE).model_cube(
        65, 230, sbProf=LIGHT, sbRad=RAD, velProf=np.interp(RAD, RADIUS, SPEED), diskThick=1, gasSigma=10,
        intFlux=27.2, phaseCent=[-1, -1], vOffset=0, **more,
    )  # fmt: skip


def new():
    """Return the same as a Cube, data[v, y, x]; `km.write_cube` would write it."""
    disc = km.Disc(
        surface_brightness=km.TableProfile(RAD, LIGHT),  # the same points; smooth: km.GaussianRing(20.0, 2.0)
        rotation=km.TableCurve(RADIUS, SPEED),
        inc=65.0,
        pa=230.0,
        scale_height=1.0,
        sigma_gas=10.0,
        flux=27.2,
        east=1.0,  # x of phaseCent grows towards West
        north=-1.0,
    )
    return km.simulate(disc, km.CubeGrid((21, 100, 100), cell=1.0, dv=20.0), km.Beam(4.68, 3.85, 15.54))


def figure():
    """Return moments, position-velocity diagram and spectrum."""
    cube = old()
    plotter = KinMS_plotter(cube, *SCOPE, posang=230, pvdthick=4, rms=cube.max() / 300, title="NGC 4324")
    return plotter.makeplots(plot2screen=False, xrange=[-28, 28], yrange=[-28, 28])


if __name__ == "__main__":
    save(figure(), __file__)
