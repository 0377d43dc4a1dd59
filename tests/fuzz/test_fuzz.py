"""Two thousand broken files in four runs, each in a process of its own: see ``run.py``, and ``make fuzz`` for more."""

import json
import pathlib
import subprocess
import sys

import pytest

RUN = pathlib.Path(__file__).with_name("run.py")
CASES = 500


@pytest.mark.parametrize("part", range(4))
def test_broken_files_are_read_or_refused(part):
    command = [sys.executable, str(RUN), "--first", str(part * CASES), "--cases", str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert done.returncode == 0
    assert sum(found["outcomes"].values()) == CASES
    # Neither are all files beyond reading, nor are the breaks too small to matter.
    assert found["outcomes"]["read"] > 0.1 * CASES
    assert found["outcomes"]["HeaderError"] + found["outcomes"]["FileError"] > 0.2 * CASES
