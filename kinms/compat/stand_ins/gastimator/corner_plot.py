"""Where GAStimator's corner plot is imported from, too."""

from gastimator_bridge.corner_plot import corner_plot

__all__ = ["corner_plot"]
