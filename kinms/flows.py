"""Non-circular motions: one harmonic of the velocity field per class (Spekkens & Sellwood 2007).

A flow returns the line-of-sight velocity that it adds at a position in the disc; those named in `FLOW` can be chosen
by name in a configuration file.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from kinms.profiles import RotationLaw
from kinms.records import FloatArray, Record, check_scalar

#: Azimuthal harmonics that a flow may have: 1, cos and sin of theta, of 2 theta and of 3 theta.
HARMONICS = 7

__all__ = ["FLOW", "HARMONICS", "BisymmetricFlow", "Flow", "LopsidedFlow", "RadialFlow"]


class Flow(Record):
    """Base of the non-circular flows, Spekkens & Sellwood (2007)."""

    def v_los(self, r: FloatArray, theta: FloatArray, inc: float | FloatArray) -> FloatArray:
        """Return the line-of-sight velocity (km/s) added at (r in arcsec, theta in radians), inclination in degrees."""
        raise NotImplementedError

    def harmonics(self, r: FloatArray) -> FloatArray | None:
        """Return the velocity over sin(i), km/s, as a Fourier series in azimuth.

        Coefficients of 1, cos theta, sin theta, cos 2 theta, sin 2 theta, cos 3 theta, sin 3 theta.

        A flow that knows no such series returns None; the disc is then evaluated with points.

        Parameters
        ----------
        r : ndarray, shape (n,)
            Arcsec.

        Returns
        -------
        ndarray, shape (7, n), or None
        """
        return None


def _velocity(value: float | RotationLaw, r: FloatArray) -> FloatArray | float:
    return value(r) if isinstance(value, RotationLaw) else value


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RadialFlow(Flow):
    """+ v_rad sin(theta) sin(i): outflow for v_rad > 0 when u_min points to the far side.

    Spekkens & Sellwood (2007), eq. 4 with m = 0.

    Parameters
    ----------
    velocity : float or RotationLaw
        v_rad, km/s.
    """

    velocity: float | RotationLaw

    def __post_init__(self) -> None:
        _check_velocity(self, "velocity")

    def v_los(self, r: FloatArray, theta: FloatArray, inc: float | FloatArray) -> FloatArray:
        """Return v_rad sin(theta) sin(i)."""
        return np.asarray(_velocity(self.velocity, r) * np.sin(theta) * np.sin(np.radians(inc)))

    def harmonics(self, r: FloatArray) -> FloatArray:
        """Return the coefficients: v_rad at sin theta."""
        out = np.zeros((HARMONICS, np.size(r)))
        out[2] = _velocity(self.velocity, r)
        return out


class _HarmonicFlow(Flow):
    """- sin(i) [v_t cos(m theta_b) cos(theta) + v_r sin(m theta_b) sin(theta)], theta_b = theta - phi_b.

    A subclass gives m, phi_b, and the amplitudes under the names v{m}t and v{m}r.
    """

    M = 0
    phi_b: float

    def __post_init__(self) -> None:
        _check_velocity(self, f"v{self.M}t", f"v{self.M}r")
        object.__setattr__(self, "phi_b", check_scalar("phi_b", self.phi_b))

    def _amplitudes(self, r: FloatArray) -> tuple[FloatArray | float, FloatArray | float]:
        return _velocity(getattr(self, f"v{self.M}t"), r), _velocity(getattr(self, f"v{self.M}r"), r)

    def v_los(self, r: FloatArray, theta: FloatArray, inc: float | FloatArray) -> FloatArray:
        """Return the terms of this m."""
        v_t, v_r = self._amplitudes(r)
        angle = self.M * (theta - np.radians(self.phi_b))
        v = v_t * np.cos(angle) * np.cos(theta)
        v = v + v_r * np.sin(angle) * np.sin(theta)
        return np.asarray(-v * np.sin(np.radians(inc)))

    def harmonics(self, r: FloatArray) -> FloatArray:
        """Return the coefficients of the closed form."""
        # Products of cosines are sums: - (v_t - v_r) / 2 cos((m + 1) theta - m phi) and the same with m - 1 and a plus.
        out = np.zeros((HARMONICS, np.size(r)))
        v_t, v_r = self._amplitudes(r)
        angle = self.M * np.radians(self.phi_b)
        for m, v in ((self.M + 1, -0.5 * (v_t - v_r)), (self.M - 1, -0.5 * (v_t + v_r))):
            out[max(2 * m - 1, 0)] += v * np.cos(angle)
            if m:
                out[2 * m] += v * np.sin(angle)
        return out


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class BisymmetricFlow(_HarmonicFlow):
    """The m = 2 (bar) flow of Spekkens & Sellwood (2007), eq. 5.

    Parameters
    ----------
    v2t, v2r : float or RotationLaw
        Tangential and radial amplitudes, km/s.
    phi_b : float
        Angle of the bar in the disc plane from the receding major axis, degrees.
    """

    v2t: float | RotationLaw
    v2r: float | RotationLaw
    phi_b: float = 0.0
    M = 2


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LopsidedFlow(_HarmonicFlow):
    """The m = 1 (lopsided) flow of Spekkens & Sellwood (2007), eq. 4 with m = 1.

    Parameters
    ----------
    v1t, v1r : float or RotationLaw
        Tangential and radial amplitudes, km/s.
    phi_b : float
        Angle of the distortion in the disc plane from the receding major axis, degrees.
    """

    v1t: float | RotationLaw
    v1r: float | RotationLaw
    phi_b: float = 0.0
    M = 1


def _check_velocity(law: Record, *names: str) -> None:
    for name in names:
        value = getattr(law, name)
        if not isinstance(value, RotationLaw):
            object.__setattr__(law, name, check_scalar(name, value))


#: Name in a configuration file -> class.
FLOW: dict[str, type[Flow]] = {"radial": RadialFlow, "bisymmetric": BisymmetricFlow, "lopsided": LopsidedFlow}
