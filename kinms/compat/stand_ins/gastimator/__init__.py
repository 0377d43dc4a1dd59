"""`gastimator_bridge` under the name that scripts import."""

import importlib

from gastimator_bridge import corner_plot, gastimator, priors

__all__ = ["corner_plot", "gastimator", "priors"]

#: Tells this from the package of that name.
STANDS_IN = True

# A module that is imported later would take the place of the object of its name here.
_ours = {"corner_plot": corner_plot, "gastimator": gastimator, "priors": priors}
for _name in _ours:
    importlib.import_module(f"{__name__}.{_name}")
globals().update(_ours)
