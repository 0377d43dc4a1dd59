"""An inclined ring of 40 clouds, with a face in it to tell its sides (`use_inclouds` of the KinMS test suite)."""

import numpy as np
from gallery import save

import kinms as km
from kinms import KinMS
from kinms.utils.KinMS_figures import KinMS_plotter

SCOPE = (128, 128, 1400, 1, 10, [4, 4, 0])  # xs, ys, vs, cellSize, dv, beamSize
RADIUS, SPEED = [0, 0.5, 1, 3, 500], [0, 50, 100, 210, 210]  # arcsec, km/s


def clouds():
    """Return x, y, z of each cloud in the plane of the disc, arcsec: the ring, two eyes and a mouth."""
    ring, mouth = np.radians(np.arange(0, 360, 9)), np.radians(np.linspace(187.0, 355.3, 10))
    x = np.concatenate([40 * np.cos(ring), [15, -15], 20 * np.cos(mouth)])
    y = np.concatenate([40 * np.sin(ring), [15, 15], 20 * np.sin(mouth)])
    return np.stack([x, y, np.zeros(x.size)], axis=1)


def old():
    """Return the cube [x, y, v] by the arguments of KinMS."""
    return KinMS(*SCOPE).model_cube(35, 90, inClouds=clouds(), velRad=RADIUS, velProf=SPEED, intFlux=30)


def new():
    """Return the same as a Cube, data[v, y, x]: +x of our clouds is the receding half, of KinMS the approaching one."""
    disc = km.Disc(
        surface_brightness=km.Cloudlets(clouds() * (-1, -1, 1)),
        rotation=km.TableCurve(RADIUS, SPEED),
        inc=35.0,
        pa=90.0,
        flux=30.0,
    )
    return km.simulate(disc, km.CubeGrid((140, 128, 128), cell=1.0, dv=10.0), km.Beam(4.0))


def figure():
    """Return moments, position-velocity diagram and spectrum; the slit is as wide as the ring."""
    cube = old()
    plotter = KinMS_plotter(cube, *SCOPE, posang=90, pvdthick=20, rms=cube.max() / 300, title="Inclined ring of clouds")
    return plotter.makeplots(plot2screen=False, vrange=[-180, 180])


if __name__ == "__main__":
    save(figure(), __file__)
