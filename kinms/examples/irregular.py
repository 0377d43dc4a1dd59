"""An image of an irregular galaxy, for examples that take the light from an image and have none at hand."""

from __future__ import annotations

import numpy as np

from kinms.records import FloatArray

__all__ = ["PIXEL", "image"]

PIXEL = 1.4  # arcsec


def image() -> tuple[FloatArray, FloatArray]:
    """Draw an irregular galaxy from a fixed seed: knots along a bent stripe, all within 56 arcsec of the centre.

    Returns
    -------
    positions : ndarray, shape (n, 2)
        Of its bright pixels, those above a fiftieth of the peak: arcsec towards West and North of the centre.
    flux : ndarray, shape (n,)
        On any scale.

    Examples
    --------
    >>> positions, flux = image()
    >>> positions.shape == (flux.size, 2)
    True
    """
    draw = np.random.default_rng(1437)
    along = draw.uniform(-1.0, 1.0, 120)
    knots = np.stack([35 * along, 30 * along**2 - 12], axis=1) + draw.normal(0.0, 5.0, (120, 2))
    sizes, fluxes = draw.uniform(2.0, 5.0, 120), draw.exponential(1.0, 120)
    axis = np.arange(-40, 41) * PIXEL
    pixels = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    squared = np.sum((pixels[:, None] - knots) ** 2, axis=2) / sizes**2
    light = np.sum(fluxes / sizes**2 * np.exp(-0.5 * squared), axis=1)
    bright = light > 0.02 * light.max()
    return pixels[bright], light[bright]
