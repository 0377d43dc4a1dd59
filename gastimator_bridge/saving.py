"""Chains to files: whole or not at all, and never over a file that is there."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gastimator_bridge.corner_plot import corner_plot
from kinms.atomic import replacing
from kinms.errors import FileError, InputError, OutputExistsError

__all__ = ["planned_files", "write_chain", "write_figures"]


def planned_files(output: str | os.PathLike[str], figures: bool) -> list[Path]:
    """Return the files that ``output`` stands for, after checking that they can be written and are not there yet.

    Parameters
    ----------
    output : path
        With the suffix ``.npz`` or none.
    figures : bool
        Whether ``_trace.png`` and ``_corner.png`` come with it.

    Raises
    ------
    InputError, FileError, OutputExistsError
        Another suffix; no such folder; a file that exists.
    """
    path = Path(output)
    if path.suffix not in ("", ".npz"):
        raise InputError("output", str(path), "a name that ends in .npz")
    if not path.parent.is_dir():
        raise FileError(path.parent, "is not a folder.", "Make it first.")
    stem = path.with_suffix("")
    files = [stem.with_name(stem.name + ".npz")]
    if figures:
        files += [stem.with_name(stem.name + end) for end in ("_trace.png", "_corner.png")]
    for file in files:
        if file.exists():
            raise OutputExistsError(file, "Remove it or choose another output.")
    return files


def write_chain(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as `numpy.load` reads them; the same arrays give the same bytes."""

    def write(stream: IO[bytes]) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                # ZipInfo has a fixed date where numpy.savez would put the time of day.
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)

    _write_whole(path, write)


def write_figures(trace: Path, corner: Path, values: NDArray[Any], log_like: NDArray[Any], labels: list[str]) -> None:
    """Draw every parameter (rows of ``values``, shape (npar, steps)) against the step, and all pairs of them."""
    from matplotlib.figure import Figure

    n = len(labels)
    figure = Figure(figsize=(8.0, 1.5 * (n + 1)), layout="constrained")
    for panel, row, label in zip(
        figure.subplots(n + 1, 1, sharex=True), [*values, log_like], [*labels, "ln L"], strict=True
    ):
        panel.plot(row, lw=0.4)
        panel.set_ylabel(label)
    panel.set_xlabel("step")
    _write_whole(trace, lambda stream: figure.savefig(stream, format="png", dpi=100))

    moving = np.ptp(values, axis=1) > 0
    if values.shape[1] > 1 and moving.any():
        names = [label for label, moves in zip(labels, moving, strict=True) if moves]
        blank = Figure(figsize=(1.2 + 2.1 * len(names),) * 2)
        drawn = corner_plot(values[moving].T, labels=names, quantiles=[0.16, 0.5, 0.84], verbose=False, fig=blank)
        _write_whole(corner, lambda stream: drawn.savefig(stream, format="png", dpi=100))


def _write_whole(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write beside ``path`` and move into place, so that a crash leaves no half of a file."""
    with replacing(path, overwrite=False) as part, open(part, "xb") as stream:
        write(stream)
