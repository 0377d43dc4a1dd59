"""The disc's own gas turns it faster: 1e10 solar masses at 16.5 Mpc (`expdisk_gasgrav` of the KinMS test suite)."""

import numpy as np
from astropy import constants, units
from gallery import compare, save

import kinms as km
from kinms import KinMS

SCOPE = (64, 64, 800, 1, 10, [4, 4, 0])  # xs, ys, vs, cellSize, dv, beamSize
MASS, DISTANCE = 1e10, 16.5  # solar masses, Mpc
RAD = np.arange(0, 100, 0.1)
LIGHT = np.exp(-RAD / 5)
SPEED = np.interp(RAD, [0, 0.5, 1, 3, 500], [0, 50, 100, 210, 210])


def old(massDist=(MASS, DISTANCE)):
    """Return the cube [x, y, v] by the arguments of KinMS; massDist=() leaves out the gas's pull."""
    return KinMS(*SCOPE).model_cube(
        45, 270, sbProf=LIGHT, sbRad=RAD, velProf=SPEED, gasSigma=10, intFlux=30, massDist=massDist
    )


def new():
    """Return the same as a Cube, data[v, y, x]: rotation curves are tables, so anything can be added to them."""
    light = km.TableProfile(RAD, LIGHT)
    enclosed = MASS * units.Msun * light.within(RAD) / light.total()
    metres = (RAD * units.arcsec).to_value(units.rad) * DISTANCE * units.Mpc
    pull = np.zeros(RAD.size)
    pull[1:] = np.sqrt(constants.G * enclosed[1:] / metres[1:]).to_value(units.km / units.s)  # zero in the centre
    disc = km.Disc(
        surface_brightness=light,
        rotation=km.TableCurve(RAD, np.hypot(SPEED, pull)),
        inc=45.0,
        pa=270.0,
        sigma_gas=10.0,
        flux=30.0,
    )
    return km.simulate(disc, km.CubeGrid((80, 64, 64), cell=1.0, dv=10.0), km.Beam(4.0))


def figure():
    """Return the disc with the pull of its gas in colours, and without it in red contours."""
    return compare(old(), old(()), SCOPE, 270, "Gas self-gravity: with (data), without (model)")


if __name__ == "__main__":
    save(figure(), __file__)
