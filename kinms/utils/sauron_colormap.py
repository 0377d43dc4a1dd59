"""`sauron` and `sauron_r`, colour maps of velocity for scripts that import them from here.

They are the diverging, colour-blind-safe blue-white-red map of the other figures: blue approaches, red recedes. The
rainbow of that name is not reproduced.
"""

from __future__ import annotations

import matplotlib

__all__ = ["sauron", "sauron_r"]

sauron = matplotlib.colormaps["RdBu_r"]
sauron.name = "sauron"
sauron_r = sauron.reversed("sauron_r")
