"""The main job on a mock galaxy, through the command line: simulate, read back, fit, report.

    python data/make_demo.py demo

Leaves the cube, the tables and the figures in the folder, and prints their paths.
"""

import json
import shutil
import sys
from pathlib import Path

from kinms.cli import main
from kinms.config import load

HERE = Path(__file__).parent


def kinms(*arguments):
    """Run one command as a user would, and stop where it fails."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ kinms {' '.join(words)}", flush=True)
    status = main(words)
    if status:
        sys.exit(status)


def compare(truth, result):
    """Print what went into the mock galaxy next to what came out of the fit."""
    print(f"\n{'':26}{'truth':>9}{'found':>9}{'minus':>8}{'plus':>8}")
    for row in json.loads(result.read_text(encoding="utf-8"))["parameters"]:
        if not row["fixed"]:
            numbers = (f"{row['median']:9.2f}", f"{row['minus']:8.2f}", f"{row['plus']:8.2f}")
            print(f"{row['name']:26}{truth.value(row['name']):9.2f}{''.join(numbers)}  {row['unit']}")


def make_demo(folder):
    """Leave the cube of the mock galaxy in ``folder`` and its fit in ``folder/fit``."""
    folder.mkdir(parents=True, exist_ok=True)
    model, to_fit = (shutil.copy(HERE / name, folder) for name in ("mock_galaxy.toml", "fit_mock_galaxy.toml"))
    cube, results = folder / "mock_galaxy.fits", folder / "fit"
    kinms("simulate", model, "-o", cube, "--overwrite")
    kinms("info", cube)
    kinms("fit", to_fit, "-o", results, "--overwrite")
    compare(load(model).disc, results / "result.json")
    print("\nFiles:")
    for path in (cube, *sorted(results.iterdir())):
        print(f"  {path}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python data/make_demo.py FOLDER")
    make_demo(Path(sys.argv[1]))
