"""`KinMS_plotter`, where it was imported from."""

from kinms.utils.KinMS_figures import KinMS_plotter

__all__ = ["KinMS_plotter"]
