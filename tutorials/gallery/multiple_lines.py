"""Halpha and both lines of [N II] in one cube, seen by an integral-field spectrograph."""

import numpy as np
from gallery import save

import kinms as km
from kinms import KinMS

SCOPE = (16, 16, 3200, 0.2, 20, 0.8)  # xs, ys, vs, cellSize, dv, beamSize
LAMS = np.array([6562.8, 6548.05, 6583.45])  # Angstrom; the first one's velocity is vSys
FLUXES = np.array([1.0, 0.13, 0.4])
RESPONSE = 45.0  # km/s, 1 sigma of the spectrograph
RAD = np.arange(0, 12, 0.05)
LIGHT = np.exp(-RAD / 1.5)
RADIUS, SPEED = [0, 0.2, 1, 20], [0, 60, 180, 180]  # arcsec, km/s


def old():
    """Return the cube [x, y, v] by the arguments of KinMS; all lines together have intFlux."""
    return KinMS(*SCOPE, multiple_line_lams=LAMS, spectral_resolution=RESPONSE).model_cube(
        55, 300, sbProf=LIGHT, sbRad=RAD, velProf=np.interp(RAD, RADIUS, SPEED), gasSigma=20, intFlux=30,
        multiple_line_relflux=FLUXES,
    )  # fmt: skip


def new():
    """Return the same as a Cube, data[v, y, x]: one disc per line, and cubes add."""
    disc = km.Disc(
        surface_brightness=km.TableProfile(RAD, LIGHT),
        rotation=km.TableCurve(RADIUS, SPEED),
        inc=55.0,
        pa=300.0,
        sigma_gas=20.0,
        lsf_sigma=RESPONSE,
    )
    cubes = [
        km.simulate(
            disc.replace(v_sys=299792.458 * (lam / LAMS[0] - 1.0), flux=30.0 * share),
            km.CubeGrid((160, 80, 80), cell=0.2, dv=20.0),
            km.Beam(0.8),
        )
        for lam, share in zip(LAMS, FLUXES / FLUXES.sum())
    ]
    return cubes[0].replace(data=sum(cube.data for cube in cubes))


def figure():
    """Return moments of Halpha alone, position-velocity diagram and spectrum of all lines."""
    cube = new()
    near = np.abs(cube.grid.velocities) < 320.0  # half of the way to the weaker line
    mask = (cube.data > 0.05 * cube.data.max()) & near[:, None, None]
    return km.summary_figure(cube, pa=300.0, v_sys=0.0, mask=mask, title="Halpha and [N II]; moments of Halpha")


if __name__ == "__main__":
    save(figure(), __file__)
