"""Gas that flows inwards by 60 km/s as it turns, if South is the far side: the velocity field's axes are askew."""

import numpy as np
from gallery import compare, save

import kinms as km
from kinms import KinMS
from kinms.radial_motion import radial_motion

SCOPE = (64, 64, 700, 1, 10, [4, 4, 0])  # xs, ys, vs, cellSize, dv, beamSize
RAD = np.arange(0, 60, 0.1)
LIGHT = np.exp(-RAD / 6)
SPEED = np.interp(RAD, [0, 0.5, 1, 3, 500], [0, 50, 100, 210, 210])


def old(speed=60.0):
    """Return the cube [x, y, v] by the arguments of KinMS; up to 3.0 they had inflowVel for it."""
    return KinMS(*SCOPE).model_cube(
        50, 90, sbProf=LIGHT, sbRad=RAD, velProf=SPEED, gasSigma=10, intFlux=30,
        radial_motion_func=radial_motion.pure_radial(RAD, np.full(RAD.size, speed)),
    )  # fmt: skip


def new():
    """Return the same as a Cube, data[v, y, x]: KinMS counts azimuths from the approaching half, so minus."""
    disc = km.Disc(
        surface_brightness=km.TableProfile(RAD, LIGHT),
        rotation=km.TableCurve(RAD, SPEED),
        flow=km.RadialFlow(-60.0),  # or a curve; km.BisymmetricFlow and km.LopsidedFlow are the other two
        inc=50.0,
        pa=90.0,
        sigma_gas=10.0,
        flux=30.0,
    )
    return km.simulate(disc, km.CubeGrid((70, 64, 64), cell=1.0, dv=10.0), km.Beam(4.0))


def figure():
    """Return the disc with its flow in colours, and without it in red contours."""
    return compare(old(), old(0.0), SCOPE, 90, "Radial flow: with (data), without (model)")


if __name__ == "__main__":
    save(figure(), __file__)
