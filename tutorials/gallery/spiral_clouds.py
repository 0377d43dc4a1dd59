"""Two spiral arms, as 6000 clouds (`inclouds_spiral` of the KinMS test suite)."""

import numpy as np
from gallery import save

import kinms as km
from kinms import KinMS
from kinms.utils.KinMS_figures import KinMS_plotter

SCOPE = (128, 128, 1400, 1, 10, 4)  # xs, ys, vs, cellSize, dv, beamSize
RADIUS, SPEED = [0, 1, 3, 5000], [0, 100, 210, 210]  # arcsec, km/s


def clouds():
    """Return x, y, z of each cloud in the plane of the disc, arcsec: r = 0.006 exp(phi / 2), and its mirror image."""
    phi = np.arange(-20, 20, 0.01)
    r = 0.006 * np.exp(0.5 * phi)
    arm = np.stack([r * np.cos(phi), r * np.sin(phi), np.zeros(phi.size)], axis=1)
    both = np.concatenate([arm, -arm])
    return both[(np.abs(both[:, :2]) > 2).all(axis=1)]


def old():
    """Return the cube [x, y, v] by the arguments of KinMS."""
    return KinMS(*SCOPE).model_cube(55, 90, inClouds=clouds(), velRad=RADIUS, velProf=SPEED, intFlux=30)


def new():
    """Return the same as a Cube, data[v, y, x]: +x of our clouds is the receding half, of KinMS the approaching one."""
    disc = km.Disc(
        surface_brightness=km.Cloudlets(clouds() * (-1, -1, 1)),
        rotation=km.TableCurve(RADIUS, SPEED),
        inc=55.0,
        pa=90.0,
        flux=30.0,
    )
    return km.simulate(disc, km.CubeGrid((140, 128, 128), cell=1.0, dv=10.0), km.Beam(4.0))


def figure():
    """Return moments, position-velocity diagram and spectrum; the slit takes in all of both arms."""
    cube = old()
    plotter = KinMS_plotter(cube, *SCOPE, posang=90, pvdthick=25, rms=cube.max() / 300, title="Spiral arms of clouds")
    return plotter.makeplots(plot2screen=False, xrange=[-58, 58], yrange=[-58, 58], vrange=[-250, 250])


if __name__ == "__main__":
    save(figure(), __file__)
