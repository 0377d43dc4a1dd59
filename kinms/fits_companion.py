"""Files that belong to a cube voxel by voxel, or pixel by pixel: masks, and maps of the sensitivity."""

from __future__ import annotations

import numpy as np

from kinms.errors import HeaderError, InputError
from kinms.fits_box import Slices, mask_box
from kinms.fits_cards import Cards
from kinms.fits_file import ImageFile, PathLike
from kinms.fits_layout import Layout

__all__ = ["read_companion", "read_mask", "within_mask"]


def read_mask(path: PathLike, layout: Layout, index: tuple[slice | int, ...]) -> np.ndarray:
    """Read the part of a mask that belongs to the box."""
    values = read_companion("mask", path, layout, index)
    use = np.asarray(np.isfinite(values) & (values != 0))
    if not use.any():
        raise InputError("mask", "zero everywhere in the box that is read", "voxels that are not zero", str(path))
    return use


def within_mask(path: PathLike, layout: Layout, slices: Slices) -> Slices:
    """Return the part of a box that a mask allows anything in."""
    values = read_companion("mask", path, layout, layout.box(*slices))
    found = mask_box(values, layout.grid, layout.beam)
    if found is None:
        raise InputError("mask", "zero everywhere in the box that is read", "voxels that are not zero", str(path))
    v, y, x = (
        slice(part.start + inner.start, part.start + inner.stop) for part, inner in zip(slices, found, strict=True)
    )
    return v, y, x


def read_companion(
    name: str, path: PathLike, layout: Layout, index: tuple[slice | int, ...], is_map: bool = False
) -> np.ndarray:
    """Read the part of a file that belongs to the box; its axes are the cube's, axes of length 1 left aside.

    If `is_map` the file may have the sky axes alone, and so has then what is returned.
    """
    with ImageFile(path) as image:
        cards = Cards(image.header)
        shape = tuple(cards.integer(f"NAXIS{axis}") or 0 for axis in range(cards.integer("NAXIS") or 0, 0, -1))
        long, spectral = [n for n in shape if n > 1], layout.axes[0]
        parts = {k: part for k, part in enumerate(index) if layout.file_shape[k] > 1}
        is_flat = is_map and long == [layout.file_shape[k] for k in parts if k != spectral]
        if is_flat:
            parts.pop(spectral, None)
        elif long != [layout.file_shape[k] for k in parts]:
            also = " or its sky axes alone" if is_map else ""
            raise InputError(f"the shape of {name}", shape, f"{layout.file_shape}, as the cube in its file{also}")
        if is_flat or len(shape) == len(layout.file_shape):
            _check_directions(name, cards, layout)
        rest = iter(parts.values())
        values = image.read(tuple(next(rest) if n > 1 else 0 for n in shape))
    lengths = [
        1 if is_flat and k == spectral else part.stop - part.start
        for k, part in enumerate(index)
        if isinstance(part, slice)
    ]
    cube = layout.to_cube(np.asarray(values).reshape(lengths))
    return np.asarray(cube[0] if is_flat else cube)


def _check_directions(name: str, cards: Cards, layout: Layout) -> None:
    """Refuse a file whose own WCS runs the other way: its voxels would be laid on the wrong ones."""
    for axis in range(1, len(layout.file_shape) + 1):
        same_type = cards.text(f"CTYPE{axis}")[:4] == layout.header[f"CTYPE{axis}"][:4] != ""
        step = cards.number(f"CDELT{axis}")
        if same_type and step and step * layout.header[f"CDELT{axis}"] < 0 and layout.file_shape[-axis] > 1:
            message = f"is {step:g} in the {name}, of the other sign than in the cube."
            raise HeaderError(f"CDELT{axis}", message, f"Write the {name} on the cube's own axes.")
