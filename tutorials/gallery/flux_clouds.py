"""Any image as the light: its pixels are clouds with fluxes and velocities (`infits` of the KinMS test suite).

There the image is a far-ultraviolet one of NGC 1437A, fetched from the network; here it is drawn from a fixed seed.
"""

import numpy as np
from gallery import save

import kinms as km
from kinms import KinMS
from kinms.examples.irregular import image  # (x, y) in arcsec West and North, and flux, of each pixel
from kinms.utils.KinMS_figures import KinMS_plotter

SCOPE = (128, 128, 500, 1, 10, 4)  # xs, ys, vs, cellSize, dv, beamSize
GRADIENT, PA = 400 / 130, 170  # km/s per arcsec, towards this position angle


def clouds():
    """Return x, y, z, fluxes and velocities of the clouds, on the sky."""
    xy, flux = image()
    pa = np.radians(PA)
    return np.column_stack([xy, np.zeros(flux.size)]), flux, GRADIENT * (xy @ [-np.sin(pa), np.cos(pa)])


def old():
    """Return the cube [x, y, v] by the arguments of KinMS; the angles are not used where velocities are given."""
    positions, flux, velocity = clouds()
    return KinMS(*SCOPE).model_cube(0, PA, inClouds=positions, flux_clouds=flux, vLOS_clouds=velocity, intFlux=30)


def new():
    """Return the same as a Cube, data[v, y, x]: positions are East, so minus x."""
    positions, flux, velocity = clouds()
    light = km.Cloudlets(positions * (-1, 1, 1), flux, velocity)
    disc = km.Disc(surface_brightness=light, inc=0.0, pa=0.0, flux=30.0)
    return km.simulate(disc, km.CubeGrid((50, 128, 128), cell=1.0, dv=10.0), km.Beam(4.0))


def figure():
    """Return moments, position-velocity diagram and spectrum."""
    cube = old()
    plotter = KinMS_plotter(
        cube, *SCOPE, posang=PA, pvdthick=20, rms=cube.max() / 300, title="An image as clouds with fluxes"
    )
    return plotter.makeplots(plot2screen=False, vrange=[-150, 150])


if __name__ == "__main__":
    save(figure(), __file__)
