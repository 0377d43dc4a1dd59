"""Where GAStimator's class is imported from, too."""

from gastimator_bridge import gastimator
from gastimator_bridge.settings import lnlike

__all__ = ["gastimator", "lnlike"]
