"""For scripts written for KinMS 1 to 3, GAStimator and KinMS_fitter: run one as it is, or learn what to change in it.

``python -m kinms.compat run SCRIPT`` runs it with this package and `gastimator_bridge` under the names it imports;
``python -m kinms.compat check SCRIPT`` reads it, never runs it, and lists what to change and which results differ.
"""

from kinms.compat.check import Finding, Unreadable, check, check_source
from kinms.compat.run import environment, run, stand_ins

__all__ = ["Finding", "Unreadable", "check", "check_source", "environment", "run", "stand_ins"]
