"""Where the real data are, for those who have them."""

import os
import pathlib

import pytest


@pytest.fixture(scope="session")
def real_data():
    """Folder of real cubes, headers and published answers; skips where there is none."""
    root = pathlib.Path(__file__).resolve().parents[2]
    folder = pathlib.Path(os.environ.get("KINMS_TEST_DATA") or root.parent / "shared" / "data")
    if not (folder / "cubes").is_dir():
        pytest.skip(f"no real data in {folder}: set KINMS_TEST_DATA to the folder that holds them")
    return folder
