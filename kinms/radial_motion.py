"""Non-circular motions under the names and call signature of existing KinMS scripts.

``radial_motion.pure_radial(radius, v)`` and its siblings are handed to `kinms.KinMS` as ``radial_motion_func``, which
calls them with the radius (arcsec), the azimuth (radians) and the inclination (degrees). Their azimuth is counted from
the APPROACHING half of the major axis, as upstream counts it; the formulas are those of `kinms.profiles`, where
azimuths count from the receding half.
"""

from __future__ import annotations

from typing import Any

from kinms.errors import InputError
from kinms.flows import BisymmetricFlow, Flow, LopsidedFlow, RadialFlow
from kinms.profiles import TableCurve
from kinms.records import FloatArray, check_array, check_radii, check_scalar

__all__ = ["radial_motion"]


def _speed(name: str, radius: Any, value: Any) -> float | TableCurve:
    """Return a speed as a number, or as a table over ``radius``; errors carry the caller's names."""
    speed = check_array(name, value)
    if speed.size == 1:
        return float(speed.ravel()[0])
    radii = check_radii("radius", radius)
    if speed.shape != radii.shape:
        raise InputError(f"the shape of {name}", speed.shape, f"one number, or shape {radii.shape}, one per radius")
    return TableCurve(radii, speed)


class _Motion:
    """A flow, called the way upstream calls its own."""

    flow: Flow

    def __call__(self, r: Any, theta: Any, inc: Any) -> FloatArray:
        """Return the line-of-sight velocity (km/s) to be added.

        Parameters
        ----------
        r : array_like
            Radius in the disc plane, arcsec.
        theta : array_like
            Azimuth in the disc plane from the approaching half of the major axis, radians.
        inc : float or array_like
            Inclination, degrees.
        """
        return self.flow.v_los(r, theta, inc)


class radial_motion:
    """The three flows of Spekkens & Sellwood (2007), by the names that scripts use.

    Examples
    --------
    >>> import numpy as np
    >>> flow = radial_motion.pure_radial(np.array([0.0, 10.0]), np.array([20.0, 20.0]))
    >>> round(float(flow(5.0, np.pi / 2, 30.0)), 6)
    10.0
    """

    class pure_radial(_Motion):
        """v_los = v sin(theta) sin(i), with upstream's theta, and so upstream's sign.

        In the azimuth of `kinms.profiles.RadialFlow`, counted from the receding half, this is -v sin(theta) sin(i):
        the opposite sign, an inflow where that is an outflow.

        Parameters
        ----------
        radius : array_like, shape (n,)
            Increasing, arcsec; end values are held.
        vradial : float or array_like, shape (n,)
            Radial speed, km/s.
        """

        def __init__(self, radius: Any, vradial: Any) -> None:
            self.flow = RadialFlow(_speed("vradial", radius, vradial))

    class bisymmetric_flow(_Motion):
        """The m = 2 flow of a bar (Spekkens & Sellwood 2007, eq. 5), with upstream's theta, and so upstream's sign.

        In the azimuth of `kinms.profiles.BisymmetricFlow` the sign is the opposite of the published one.

        Parameters
        ----------
        radius : array_like, shape (n,)
            Increasing, arcsec; end values are held.
        v2t, v2r : float or array_like, shape (n,)
            Tangential and radial amplitudes, km/s.
        phib : float
            Angle of the bar in the disc plane from the major axis, degrees.
        """

        def __init__(self, radius: Any, v2t: Any, v2r: Any, phib: Any) -> None:
            self.flow = BisymmetricFlow(
                _speed("v2t", radius, v2t), _speed("v2r", radius, v2r), check_scalar("phib", phib)
            )

    class lopsided_flow(_Motion):
        """The m = 1 flow (Spekkens & Sellwood 2007, eq. 4 with m = 1), as published.

        - sin(i) [v1t cos(theta - phib) cos(theta) + v1r sin(theta - phib) sin(theta)]: the same whichever half of the
        major axis theta is counted from, so that the published sign is upstream's too. (Upstream 3.0.14 computes the
        m = 2 flow under this name.)

        Parameters
        ----------
        radius : array_like, shape (n,)
            Increasing, arcsec; end values are held.
        v1t, v1r : float or array_like, shape (n,)
            Tangential and radial amplitudes, km/s.
        phib : float
            Angle of the distortion in the disc plane from the major axis, degrees.
        """

        def __init__(self, radius: Any, v1t: Any, v1r: Any, phib: Any) -> None:
            self.flow = LopsidedFlow(_speed("v1t", radius, v1t), _speed("v1r", radius, v1r), check_scalar("phib", phib))
