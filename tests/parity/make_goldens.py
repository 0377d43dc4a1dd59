"""Run the settings with upstream, kinms 3.0.14, in an environment of its own; keep the figures in goldens.json.

``python make_goldens.py`` (``make goldens``) takes a quarter of an hour, and renders DEVIATIONS.md from the result. The
environment is made in a temporary folder from the names below: the newest libraries that upstream still runs on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from settings import SETTINGS

HERE = Path(__file__).resolve().parent
GOLDENS = HERE / "goldens.json"
# Its plots hand matplotlib a keyword that releases since 3.8 refuse.
PACKAGES = ("kinms==3.0.14", "numpy<2", "scipy<1.14", "matplotlib<3.8")
#: Cubes from so many seeds, for the sampling noise.
SEEDS = 16


def make(seeds: int, names: list[str], python: Path | None = None) -> dict:
    """Return what upstream.py replies, in an environment made for it."""
    with tempfile.TemporaryDirectory() as folder:
        if python is None:
            python = Path(folder) / "bin" / "python"
            venv.create(folder, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        command = [python, HERE / "upstream.py", str(seeds), *names]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def main() -> None:
    """Write goldens.json, one setting per line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="settings to run again; default all")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--python", type=Path, help="an interpreter that has upstream installed")
    options = parser.parse_args()
    found = make(options.seeds, options.names, options.python)
    settings = found.pop("settings")
    if options.names:
        settings = json.loads(GOLDENS.read_text())["settings"] | settings
    settings = {name: settings[name] for name in SETTINGS}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items()]
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in settings.items())
    GOLDENS.write_text("{" + ",\n".join([*lines, f'"settings": {{\n{rows}\n}}']) + "}\n")
    subprocess.run([sys.executable, HERE / "deviations.py"], check=True)


if __name__ == "__main__":
    main()
