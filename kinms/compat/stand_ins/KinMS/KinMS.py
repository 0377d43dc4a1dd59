"""Where `KinMS` is imported from, too."""

from KinMS import KinMS

__all__ = ["KinMS"]
