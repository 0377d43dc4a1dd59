"""Fit any model to any data by MCMC, with the calls that scripts written for GAStimator make.

Change ``from gastimator import ...`` to ``from gastimator_bridge import gastimator, corner_plot, priors``. The engine
below it, `sample`, takes any log-probability.
"""

from gastimator_bridge import corner_plot, priors
from gastimator_bridge.bridge import gastimator
from gastimator_bridge.chains import Chains
from gastimator_bridge.metropolis import sample

__all__ = ["Chains", "corner_plot", "gastimator", "priors", "sample"]
