"""The disc that tests of the engine begin with: light and rotation a beam wide."""

from kinms.disc import Disc
from kinms.grid import Beam
from kinms.profiles import ArctanCurve, ExponentialDisc

BEAM = Beam(4.0)
DISC = Disc(
    surface_brightness=ExponentialDisc(3.0),
    rotation=ArctanCurve(150.0, 2.0),
    inc=45.0,
    pa=270.0,
    flux=30.0,
    sigma_gas=10.0,
)
