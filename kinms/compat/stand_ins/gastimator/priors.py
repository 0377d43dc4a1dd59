"""Where GAStimator's priors are imported from, too."""

from gastimator_bridge import priors

__all__ = ["gaussian", "priors"]

gaussian = priors.gaussian
