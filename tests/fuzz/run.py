"""Read thousands of broken files and say what became of them: ``python tests/fuzz/run.py --cases 20000``.

A file may be read, or refused with a `KinmsError` that has a message in one line. Anything else is a failure: another
exception, a warning that is not ours, more than 5 s, or more than 1 GiB of memory. Case n of a seed is always the same
file; ``--only n`` reads it alone and shows the traceback.
"""

import argparse
import collections
import contextlib
import io
import json
import os
import pathlib
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from mutations import broken_file, seeds

from kinms.cli import main
from kinms.errors import KinmsError, KinmsWarning
from kinms.fits_read import read_cube
from kinms.fits_survey import describe, read_obspars

SECONDS, BYTES = 5.0, 2**30


class TooSlow(BaseException):
    """A call used more than its time; no handler of exceptions may take it for one of its own."""


def _stop(*_):
    raise TooSlow


def show(path):
    """Run ``kinms info``, which must end with 0 or with one line and 2."""
    said, wrong = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
        status = main(["info", str(path)])
    assert status in (0, 2), f"status {status}"
    assert status == 0 or len(wrong.getvalue().splitlines()) == 1, f"said {wrong.getvalue()!r}"
    assert said.getvalue() or status == 2, "said nothing"


WAYS = (describe, read_cube, read_obspars, show)


def try_one(path, way):
    """Return what became of a file: ``read``, the name of the error, or a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", KinmsWarning)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            way(path)
        except TooSlow:
            return f"FAILED: more than {SECONDS:g} s"
        except KinmsError as error:
            text = str(error)
            return type(error).__name__ if text.strip() and "\n" not in text else f"FAILED: message {text!r}"
        except Exception as error:
            return f"FAILED: {type(error).__name__}: {error}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
    return "read"


def run(first, cases, seed, headers):
    """Read ``cases`` files and return counts, failures, the longest time (s of CPU) and the memory (bytes)."""
    good = seeds(headers)
    counts, failures, slowest = collections.Counter(), [], (0.0, -1)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "broken.fits"
        describe_once(path, good)
        before = peak()
        for number in range(first, first + cases):
            data, name = broken_file(number, seed, good)
            path.write_bytes(data)
            start = time.process_time()
            outcome = try_one(path, WAYS[number % len(WAYS)])
            slowest = max(slowest, (time.process_time() - start, number))
            counts[outcome.partition(":")[0]] += 1
            if outcome.startswith("FAILED"):
                failures.append(f"{number} ({name}, {WAYS[number % len(WAYS)].__name__}): {outcome[8:]}"[:300])
        used = peak() - before
    if used > BYTES:
        failures.append(f"took {used / 2**30:.2f} GiB of memory")
    return {
        "cases": cases,
        "seed": seed,
        "headers": len(good),
        "outcomes": dict(sorted(counts.items())),
        "slowest_s": round(slowest[0], 3),
        "slowest_case": slowest[1],
        "memory_mib": round(used / 2**20, 1),
        "failures": failures,
    }


def describe_once(path, good):
    """Import and compile all that a good file needs, so that no case is charged with it."""
    data, _ = broken_file(0, 0, {"radio": good["radio"]})
    path.write_bytes(data)
    for way in WAYS:
        try_one(path, way)


def peak():
    """Largest resident memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def header_folder():
    """Folder of real headers, if it is there."""
    root = pathlib.Path(__file__).resolve().parents[2]
    folder = pathlib.Path(os.environ.get("KINMS_TEST_DATA") or root.parent / "shared" / "data") / "headers"
    return folder if folder.is_dir() else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="number of one case: read it alone, and show where it failed")
    args = parser.parse_args()
    signal.signal(signal.SIGPROF, _stop)
    if args.only is None:
        found = run(args.first, args.cases, args.seed, header_folder())
        print(json.dumps(found, indent=2))
        sys.exit(bool(found["failures"]))
    with tempfile.TemporaryDirectory() as place:
        case = pathlib.Path(place) / "broken.fits"
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        case.write_bytes(broken_file(args.only, args.seed, seeds(header_folder()))[0])
        try:
            WAYS[args.only % len(WAYS)](case)
        except BaseException:
            traceback.print_exc()
