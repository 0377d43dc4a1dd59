"""The colour map, where it was imported from."""

from kinms.utils.sauron_colormap import sauron, sauron_r

__all__ = ["sauron", "sauron_r"]
