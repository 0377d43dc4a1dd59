"""The block-sparse cube in which a model is gathered: it remembers where there is signal, and the rest costs nothing.

Channels stand in blocks of eight, `kinms.kernels.line.LANES`, that are next to each other in memory: the lines of the
sky come as spectra, and the beam works on all eight at once. For each block and row the columns with signal are kept,
the hull. A model of 512 x 512 x 128 voxels fills a fifth of its cube.
"""

from __future__ import annotations

import threading

import numpy as np

from kinms.kernels.beam import sum_blocks
from kinms.kernels.line import LANES
from kinms.records import FloatArray

__all__ = ["SparseCube", "blocked", "workspace"]

#: Workspaces up to this many bytes are kept for the next model of the same shape.
KEEP = 1 << 28


class SparseCube:
    """An empty sparse cube with margins round the field.

    Parameters
    ----------
    nv, ny, nx : int
        The field.
    margin, pad : int
        Rows and columns on either side that the model, or the beam on its way, may reach.
    """

    def __init__(self, nv: int, ny: int, nx: int, margin: int = 0, pad: int = 0) -> None:
        self.nv, self.ny, self.nx, self.margin, self.pad = nv, ny, nx, margin, pad
        self.shape = (-(-nv // LANES), ny + 2 * margin, nx + 2 * pad)
        # Zeros that were never touched take no memory.
        self.data = np.zeros((*self.shape, LANES), dtype=np.float32)
        self.flat = self.data.reshape(-1)
        self.hull = np.zeros((*self.shape[:2], 2), dtype=np.int64)
        self.hull[..., 0] = self.shape[2]

    @property
    def field(self) -> tuple[int, int, int, int]:
        """(margin, pad, ny, nx): where the field is, as the kernels want it."""
        return self.margin, self.pad, self.ny, self.nx

    def clear(self) -> None:
        """Empty it."""
        for block, row in np.argwhere(self.hull[..., 1] > self.hull[..., 0]):
            self.data[block, row, self.hull[block, row, 0] : self.hull[block, row, 1]] = 0.0
        self.hull[..., 0], self.hull[..., 1] = self.shape[2], 0

    def sums(self) -> tuple[float, float, float]:
        """Return, over the field, the sum of the values, of their sizes and of their squares, in double precision."""
        values: tuple[float, float, float] = sum_blocks(self.flat, self.hull, self.shape, *self.field, self.nv)
        return values

    def weighted_sums(self, weights: FloatArray) -> tuple[float, float]:
        """Return, over the field, the sums of the values and of their sizes, times ``weights``, shape (nv,)."""
        inside = self.data[:, self.margin : self.margin + self.ny, self.pad : self.pad + self.nx]
        total = size = 0.0
        for k, block in enumerate(inside):
            part = weights[k * LANES : (k + 1) * LANES]
            total += float(block.sum(axis=(0, 1), dtype=float)[: part.size] @ part)
            size += float(np.abs(block).sum(axis=(0, 1), dtype=float)[: part.size] @ part)
        return total, size

    def channels(self) -> FloatArray:
        """Return the field as a dense array, shape (nv, ny, nx)."""
        inside = self.data[:, self.margin : self.margin + self.ny, self.pad : self.pad + self.nx]
        return np.moveaxis(inside, 3, 1).reshape(-1, self.ny, self.nx)[: self.nv].copy()


def blocked(cube: FloatArray) -> FloatArray:
    """Return a dense cube (nv, ny, nx) in blocks (blocks, ny, nx, LANES), single precision, zeros beyond its end."""
    nv, ny, nx = cube.shape
    out = np.zeros((-(-nv // LANES), ny, nx, LANES), dtype=np.float32)
    for k in range(nv):
        out[k // LANES, :, :, k % LANES] = cube[k]
    return out


_LOCAL = threading.local()


def workspace(nv: int, ny: int, nx: int, margin: int = 0, pad: int = 0) -> SparseCube:
    """Return a sparse cube of this thread, which the next model may use again; its contents are those of the last one.

    Parameters
    ----------
    nv, ny, nx, margin, pad : as for `SparseCube`
    """
    key = (nv, ny, nx, margin, pad)
    kept: dict[tuple[int, ...], SparseCube] = _LOCAL.__dict__.setdefault("kept", {})
    if key not in kept:
        cube = SparseCube(*key)
        kept.clear()
        if cube.data.nbytes > KEEP:
            return cube
        kept[key] = cube
    return kept[key]
