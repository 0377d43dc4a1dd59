"""``python -m kinms.compat run SCRIPT [arguments]``, ``check SCRIPT ...`` and ``path``.

Exit status of ``run``: the script's own. Of ``check``: 0 if nothing is to be changed and no result differs, 1 if
something is or does, 2 if a file cannot be read.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import textwrap
from collections.abc import Sequence

from kinms.compat.changes import CHANGE, DIFFERENT, NOTE, Finding
from kinms.compat.check import Unreadable, check, status
from kinms.compat.run import run, stand_ins
from kinms.errors import KinmsError

WIDTH, BAD_INPUT = 80, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m kinms.compat", description=(__doc__ or "").split("\n\n")[0])
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    runs = commands.add_parser("run", help="run a script with this package under the names that it imports")
    runs.add_argument("script", metavar="SCRIPT")
    runs.add_argument("arguments", nargs=argparse.REMAINDER, help="of the script")
    checks = commands.add_parser("check", help="list what to change in a script or notebook, without running it")
    checks.add_argument("scripts", metavar="SCRIPT", nargs="+")
    checks.add_argument("--json", action="store_true", help="print a list of JSON objects")
    commands.add_parser("path", help="print the folder of the stand-ins, for PYTHONPATH (notebooks, batch jobs)")
    args = parser.parse_args(argv)
    if args.command == "path":
        print(stand_ins())
        return 0
    try:
        if args.command == "run":
            return run(args.script, args.arguments)
    except KinmsError as error:
        print(f"kinms.compat: {error}", file=sys.stderr)
        return BAD_INPUT
    return _check(args.scripts, args.json)


def _check(scripts: Sequence[str], as_json: bool) -> int:
    worst, entries = 0, []
    for script in scripts:
        try:
            found = check(script)
        except Unreadable as error:
            print(f"kinms.compat: {error}", file=sys.stderr)
            worst = BAD_INPUT
            continue
        worst = max(worst, status(found))
        entries += [{"script": script, **dataclasses.asdict(finding)} for finding in found]
        if not as_json:
            print("\n".join(_sheet(script, found)))
    if as_json:
        print(json.dumps(entries, indent=2))
    return worst


def _sheet(script: str, found: Sequence[Finding]) -> list[str]:
    lines = []
    for finding in found:
        lines.append(f"{script}, {finding.where}: {finding.level}")
        for label, text in (("", finding.what), ("-> ", finding.fix), ("why: ", finding.why), ("size: ", finding.size)):
            if text:
                lines.append(
                    textwrap.fill(
                        f"{label}{' '.join(text.split())}",
                        WIDTH,
                        initial_indent="    ",
                        subsequent_indent="      ",
                        break_long_words=False,
                        break_on_hyphens=False,
                    )
                )
    counts = {level: sum(finding.level == level for finding in found) for level in (CHANGE, DIFFERENT, NOTE)}
    lines.append(
        f"{script}: {counts[CHANGE]} to change, {counts[DIFFERENT]} with another result, {counts[NOTE]} to know."
    )
    return lines


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader, head or less, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
