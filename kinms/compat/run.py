"""Runs a script under the names of upstream's packages: an ordinary Python whose path begins with the stand-ins.

`stand_ins` is a folder of a few lines per package that hand on this project's objects: ``gastimator`` (from
`gastimator_bridge`), ``KinMS``, ``KinMS_figures``, ``makeplots`` and ``sauron_colormap``. On PYTHONPATH it comes
before what is installed and after the script's own folder, and worker processes have it too. Nothing else is done:
arguments, ``__main__``, tracebacks and exit status are those of ``python SCRIPT``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from kinms.errors import InputError

__all__ = ["environment", "run", "stand_ins"]


def stand_ins() -> Path:
    """Return the folder of the stand-ins, for a PYTHONPATH of one's own (notebooks, batch jobs)."""
    return Path(__file__).parent / "stand_ins"


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which Python finds the stand-ins first.

    Parameters
    ----------
    base : mapping, optional
        To start from; default that of this process.

    Examples
    --------
    >>> str(stand_ins()) in environment({})["PYTHONPATH"]
    True
    """
    found = dict(os.environ if base is None else base)
    # A script elsewhere would not find a package that is run from its source tree.
    root = str(Path(__file__).resolve().parents[2])
    installed = {str(Path(sysconfig.get_path(kind)).resolve()) for kind in ("purelib", "platlib")}
    ours = [str(stand_ins()), *([] if root in installed else [root])]
    rest = [part for part in found.get("PYTHONPATH", "").split(os.pathsep) if part and part not in ours]
    found["PYTHONPATH"] = os.pathsep.join([*ours, *rest])
    return found


def run(script: str | os.PathLike[str], args: Sequence[str] = ()) -> int:
    """Run a script with its arguments in an interpreter of its own, with this one's options; return its exit status.

    Parameters
    ----------
    script : path
        As ``python`` takes it; it need not exist, Python then says so.
    args : sequence of str
        ``sys.argv[1:]`` of the script.

    Returns
    -------
    int
        Where the system lets a process turn into another one (everywhere but on Windows), `run` does not return:
        signals, and the way in which a signal ends the script, are then plain Python's too.

    Raises
    ------
    InputError
        If this Python was told to take no notice of PYTHONPATH (``-E``, ``-I``).
    """
    if sys.flags.ignore_environment:
        raise InputError("the option -E or -I", "given to python", "none of them", "The stand-ins are on PYTHONPATH.")
    command = [sys.executable, *_options(), os.fspath(script), *args]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(sys.executable, command, environment())
    return subprocess.call(command, env=environment())


def _options() -> list[str]:
    """Return the interpreter's options: all between its name and -m (``python -u -m kinms.compat run ...``)."""
    given = sys.orig_argv[1:]
    return given[: given.index("-m")] if "-m" in given else []
