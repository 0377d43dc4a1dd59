"""What the scripts beside this one share: where their figure goes, and two cubes in one figure."""

import argparse
import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import kinms as km

INCHES, DPI = (9.0, 7.65), 80  # 720 x 612 pixels: what a page shows at once
SHADES = 64  # of each colour: half of the bytes of 256, and the eye sees no steps


def compare(data: np.ndarray, model: np.ndarray, scope: tuple, pa: float, title: str) -> Figure:
    """Return a figure of two cubes [x, y, v] of KinMS: moments are those of the voxels where either is bright."""
    _, _, _, cell, dv, (bmaj, bmin, bpa) = scope
    grid = km.CubeGrid(data.T.shape, cell, dv)
    cubes = [km.Cube(cube.T, grid, km.Beam(bmaj, bmin, bpa), "Jy/beam") for cube in (data, model)]
    mask = np.maximum(*(cube.data for cube in cubes)) > 0.005 * data.max()
    return km.summary_figure(*cubes, pa=pa, v_sys=0.0, mask=mask, title=title)


def save(figure: Figure, script: str) -> None:
    """Save the figure as ``--output`` says; by default beside the script, where the gallery's page shows it."""
    parser = argparse.ArgumentParser(description=f"Make the figure of {Path(script).name}.")
    default = Path(script).with_suffix(".png")
    parser.add_argument("--output", metavar="FIG.png", default=default, help=f"default: {default.name}, beside it")
    write(figure, parser.parse_args().output)


def write(figure: Figure, path: str | Path) -> None:
    """Save the figure; as PNG small, and without a word on what made it, so that the same figure is the same bytes."""
    figure.set_size_inches(*INCHES)
    if Path(path).suffix.lower() != ".png":
        figure.savefig(path)
        return
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI, format="png")
    pixels = np.asarray(Image.open(drawn).convert("RGB")).astype(int)
    coarse = pixels * SHADES // 256 * 255 // (SHADES - 1)
    Image.fromarray(coarse.astype(np.uint8)).save(path, format="PNG", optimize=True)
