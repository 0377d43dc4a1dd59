"""Where results go: raw numbers into ``results.json``, tables into ``README.md`` between their markers."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RESULTS, README = HERE / "results.json", HERE / "README.md"


def load() -> dict[str, Any]:
    """Return all results kept so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(section: str, values: dict[str, Any], *, stamp: bool = True) -> dict[str, Any]:
    """Put values into a section of the results, beside those it has, and return the section.

    Unless `stamp` is False, the machine as it is now goes with all results.
    """
    results = load()
    results.setdefault(section, {}).update(values)
    if stamp:
        results["machine"] = machine()
        lines = [f"{key}: {value}" for key, value in results["machine"].items()]
        write_text("machine", "\n".join(f"- {line}" for line in lines))
    RESULTS.write_text(json.dumps(_rounded(results), indent=1, sort_keys=True) + "\n")
    return results[section]


def _rounded(value: Any) -> Any:
    """Return the value with every number cut to five digits."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def machine() -> dict[str, Any]:
    """Return what the numbers depend on beside the code."""
    try:
        cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        cpu = None
    packages = {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "numba")}
    return {
        "processor": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, one thread used",
        "python": platform.python_version(),
        **packages,
        "load average at the end": round(os.getloadavg()[0], 1),
        "date": time.strftime("%Y-%m-%d"),
    }


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write_text(name: str, text: str, path: Path = README) -> None:
    """Put text between ``<!-- table:name -->`` and ``<!-- /table -->`` in a README."""
    page = path.read_text()
    new, found = re.subn(
        rf"(<!-- table:{name} -->\n).*?(<!-- /table -->)", lambda m: f"{m[1]}{text}\n{m[2]}", page, flags=re.DOTALL
    )
    if found != 1:
        raise ValueError(f"README.md has {found} markers of the table {name}, not one")
    path.write_text(new)


def one_thread() -> None:
    """Start the script again with numerical libraries on one thread, where the environment does not say so yet."""
    names = [f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA", "KINMS")]
    if any(os.environ.get(name) != "1" for name in names):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | dict.fromkeys(names, "1"))


def clock(call: Callable[..., Any], *arguments: Any) -> tuple[float, float]:
    """Return CPU time of the process (all its threads) and wall time of a call, milliseconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    call(*arguments)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return 1e3 * cpu, 1e3 * wall


def medians(times: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return the medians and the spread (half the range between quartiles) of `clock`'s results."""
    cpu, wall = np.array(times).T
    low, high = np.percentile(cpu, [25, 75])
    return {"cpu": float(np.median(cpu)), "wall": float(np.median(wall)), "spread": 0.5 * (high - low), "n": cpu.size}
