"""The command line: ``kinms info``, ``north-up``, ``simulate``, ``fit``, ``compare`` and ``selftest``.

Exit status: 0; 1 where sampling could not go on, or a checkpoint could not be written; 2 for bad input, with one line
on stderr that says what to change; 130 after Ctrl-C, with what had been sampled saved.

What is slow to import is imported by the command that needs it, so that help and mistakes are quick.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import logging
import math
import os
import shlex
import sys
import textwrap
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kinms.errors import FileError, KinmsError, KinmsWarning, OutputExistsError, SamplingError

if TYPE_CHECKING:
    from kinms.config import Config
    from kinms.cube import Cube
    from kinms.disc import Disc
    from kinms.results import FitResult

__all__ = ["main", "run"]

#: Columns of a terminal.
WIDTH = 80
FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line."""
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


class Journal(logging.Handler):
    """What is said to the user, and kept for the log of a run.

    Warnings wait until the input has proved good, so that one line says what is wrong with bad input.

    Parameters
    ----------
    quiet : bool
        Whether to say nothing but warnings.

    Attributes
    ----------
    lines : list of str
        All that was said, the warnings, and what the package logged.
    warned : set of type
        Categories of the warnings.
    """

    def __init__(self, quiet: bool = False) -> None:
        super().__init__(logging.INFO)
        self.quiet = quiet
        self.lines: list[str] = []
        self.warned: set[type[Warning]] = set()
        self._waiting: list[str] | None = []

    def say(self, text: str = "") -> None:
        """Print on stdout."""
        self.lines += text.splitlines() or [""]
        if not self.quiet:
            print(text, flush=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Print what the package logs: it has begun to work."""
        self.release()
        text = record.getMessage()
        if f"warning: {text}" in self.lines:
            return
        self.lines.append(text)
        if not self.quiet:
            print(textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False), flush=True)

    def release(self) -> None:
        """Print the warnings that were held back, and from now on at once."""
        for line in self._waiting or []:
            print(line, file=sys.stderr)
        self._waiting = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take warnings, one line each and none of them twice, and what the package logs."""

        def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
            self.warned.add(category)
            text = " ".join(str(message).split())
            line = f"warning: {text if issubclass(category, KinmsWarning) else f'{category.__name__}: {text}'}"
            if line in self.lines:
                return
            self.lines.append(line)
            if self._waiting is None:
                print(line, file=sys.stderr)
            else:
                self._waiting.append(line)

        logger = logging.getLogger("kinms")
        level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", KinmsWarning)
                warnings.showwarning = show
                yield
        finally:
            logger.removeHandler(self)
            logger.setLevel(level)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the name of the program; default those of the process.

    Examples
    --------
    >>> main(["fit"])
    2
    """
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse's way out, of --help too
        return int(stop.code or 0)
    journal = Journal(quiet=getattr(args, "quiet", False))
    journal.lines.append(shlex.join(["kinms", *(sys.argv[1:] if argv is None else argv)]))
    try:
        with journal.listening():
            status = int(args.command(args, journal))
        journal.release()
        return status
    except KeyboardInterrupt:
        print("\nkinms: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (KinmsError, OSError) as error:
        if args.debug:
            traceback.print_exc()
        print(f"kinms: {' '.join(str(error).split())}", file=sys.stderr)
        return FAILED if isinstance(error, SamplingError) else BAD_INPUT


def run() -> NoReturn:
    """Run the command that the process was started with, and exit."""
    sys.exit(main())


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show where in the program an error came from")
    parser = _Parser(prog="kinms", description="Kinematic models of galaxies in spectral-line datacubes.")
    parser.add_argument("--version", action="version", version=f"kinms {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    info = commands.add_parser("info", parents=[common], help="show what a cube is", description=_info.__doc__)
    info.add_argument("cube", metavar="CUBE.fits", help="FITS cube")
    info.add_argument("--json", action="store_true", help="print one JSON object")
    info.add_argument("--header", action="store_true", help="print the cards that decided, as they stand in the file")
    info.add_argument("--hdu", metavar="N", type=_hdu, help="number or name of the HDU that holds the cube")
    info.add_argument("--line", metavar="NAME", help="such as 'CO(2-1)' or Halpha, in place of the header's rest value")
    info.add_argument("--redshift", metavar="Z", type=float, help="of the source: velocities count from the line at Z")
    info.add_argument("--rest-frequency", metavar="HZ", type=float, help="of the line, in place of the header's")
    info.add_argument("--rest-wavelength", metavar="M", type=float, help="the same in metres, in vacuum")
    info.add_argument("--convention", metavar="NAME", help="radio, optical or relativistic: velocities that are wanted")
    info.set_defaults(command=_info)

    turn = commands.add_parser(
        "north-up", parents=[common], help="resample a turned cube, or oblong pixels", description=_north_up.__doc__
    )
    turn.add_argument("cube", metavar="IN.fits", help="FITS cube")
    turn.add_argument("output", metavar="OUT.fits", help="cube to write")
    turn.add_argument("--hdu", metavar="N", type=_hdu, help="number or name of the HDU that holds the cube")
    turn.add_argument("--overwrite", action="store_true", help="write over what exists")
    turn.set_defaults(command=_north_up)

    simulate = commands.add_parser(
        "simulate", parents=[common], help="make the cube of a disc", description=_simulate.__doc__
    )
    simulate.add_argument("config", metavar="CONFIG.toml", help="configuration with [disc] and [grid] or [data]")
    simulate.add_argument("-o", "--output", metavar="MODEL.fits", required=True, help="cube to write")
    simulate.set_defaults(command=_simulate)

    fit = commands.add_parser("fit", parents=[common], help="fit a disc to a cube", description=_fit.__doc__)
    fit.add_argument("config", metavar="CONFIG.toml", help="configuration with [data], [disc] and [free]")
    fit.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for the results")
    fit.add_argument("--processes", metavar="N", type=_count, help="worker processes; never changes the chain")
    fit.add_argument("--quiet", action="store_true", help="say nothing but warnings and errors")
    fit.set_defaults(command=_fit)
    compare = commands.add_parser(
        "compare", parents=[common], help="say which of two fits is better", description=_compare.__doc__
    )
    compare.add_argument("folders", metavar="DIR", nargs=2, help="folder that kinms fit wrote its results into")
    compare.set_defaults(command=_compare)
    test = commands.add_parser(
        "selftest", parents=[common], help="check this installation, for bug reports", description=_selftest.__doc__
    )
    test.add_argument("--json", action="store_true", help="print one JSON object")
    test.set_defaults(command=_selftest)
    simulate.add_argument("--overwrite", action="store_true", help="write over what exists")
    again = fit.add_mutually_exclusive_group()
    again.add_argument("--overwrite", action="store_true", help="write over what exists, and begin anew")
    again.add_argument("--resume", action="store_true", help="go on with a run in DIR that was stopped or killed")
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("kinms")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"is {text!r}; expected a whole number, 1 or more")
    return int(text)


def _hdu(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


# -- kinms info ---------------------------------------------------------------------------------------------------


def _info(args: argparse.Namespace, journal: Journal) -> int:
    """Show size, velocities, beam, noise and signal of a cube, what was assumed on reading it, and what is doubtful.

    With --header also cubes that cannot be read show the cards that were asked for.
    """
    from kinms.fits_survey import deciding_cards, describe
    from kinms.info_sheet import sheet

    names = ("hdu", "line", "redshift", "rest_frequency", "rest_wavelength", "convention")
    selection = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KinmsWarning)  # they are among what is shown
        if args.header:
            cards, error = deciding_cards(args.cube, **selection)
            if not args.json:
                journal.say("\n".join(cards))
            if error is not None:
                raise error
            if not args.json:
                return 0
        found = describe(args.cube, **selection)
    if args.json:
        print(json.dumps({**found, "header": cards} if args.header else found, indent=2, allow_nan=False))
    else:
        _print_sheet(sheet(found), journal)
    return 0


def _print_sheet(lines: Iterable[tuple[str, str]], journal: Journal) -> None:
    for label, text in lines:
        journal.say(textwrap.fill(f"{label:<9} {text}", WIDTH, subsequent_indent=" " * 10, break_on_hyphens=False))


# -- kinms north-up -----------------------------------------------------------------------------------------------


def _north_up(args: argparse.Namespace, journal: Journal) -> int:
    """Resample a cube to North up and square pixels, with the noise and the flags beside it."""
    from kinms.fits_north_up import north_up

    for line in north_up(args.cube, args.output, hdu=args.hdu, overwrite=args.overwrite):
        journal.say(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False))
    journal.say(f"Written to {args.output}")
    return 0


# -- kinms simulate -----------------------------------------------------------------------------------------------


def _simulate(args: argparse.Namespace, journal: Journal) -> int:
    """Make the cube of a disc, with noise if the configuration has a [noise] table."""
    from kinms.config import load

    config = load(args.config)
    target = _new_file(args.output, args.overwrite, config)
    if config.grid is None and config.data is None:
        raise config.missing("grid", "simulate needs it, or [data], whose grid and beam it takes")
    from kinms.cube import simulate
    from kinms.fits_write import provenance, write_cube
    from kinms.noise import correlated_noise

    data = None
    if config.grid is not None:
        grid, beam = config.grid, config.beam
    else:
        data = config.read_data()
        grid, beam = data.grid, data.beam
    disc = config.disc_for(data)
    model = simulate(disc, grid, beam, config.sampling)
    if config.noise is not None:
        noise = correlated_noise(grid, beam, **dataclasses.asdict(config.noise))
        model = model.replace(data=model.data + noise, rms=config.noise.rms)
    if data is not None:  # the same header and unit as the data; without a beam there is nothing to be "per beam"
        unit = model.unit if beam is None else data.unit
        model = data.replace(data=model.data, unit=unit, stats=model.stats, rms=model.rms, mask=None)
    seed = None if config.noise is None else config.noise.seed
    origin = provenance(configuration=config.document.text, seed=seed)
    write_cube(target, model, overwrite=args.overwrite, history=(*journal.lines[:1], *origin))
    _print_sheet(_model_sheet(config, disc, model), journal)
    journal.say(f"Written to {target}")
    return 0


def _new_file(name: str, overwrite: bool, config: Config) -> Path:
    """Return the path of a file that may be written, before anything is computed."""
    path = Path(name)
    if path.is_dir() or not path.parent.is_dir():
        raise FileError(path, "cannot be written.", "Give the name of a file in a folder that exists.")
    if path.exists() and path.resolve() in config.inputs():
        raise OutputExistsError(path, "It is an input of this run: choose another name.")
    if path.exists() and not overwrite:
        raise OutputExistsError(path, "Choose another name, or give --overwrite.")
    return path


def _model_sheet(config: Config, disc: Disc, model: Cube) -> Iterator[tuple[str, str]]:
    from kinms.info_sheet import prefixed

    grid, beam, stats, noise = model.grid, model.beam, model.stats, config.noise
    yield "size", f'{grid.nx} x {grid.ny} pixels of {grid.cell:.5g}", {grid.nv} channels of {grid.dv:.5g} km/s'
    yield "beam", "none" if beam is None else f'{beam.bmaj:.4g}" x {beam.bmin:.4g}" at PA {beam.bpa:.4g} deg'
    if stats is not None:
        yield "flux", f"{disc.flux:.5g} Jy km/s, {stats.flux_outside:.3g} Jy km/s of it outside the cube"
        error = "not estimated" if math.isnan(stats.accuracy) else f"{stats.accuracy:.1e} of the signal (rms)"
        yield "model", f"{stats.evaluator}, {stats.n_samples} samples, error {error}"
    if noise is not None:
        yield "noise", f"rms {prefixed(noise.rms, model.unit)}, seed {noise.seed}"


# -- kinms fit ----------------------------------------------------------------------------------------------------


def _fit(args: argparse.Namespace, journal: Journal) -> int:
    """Fit a disc to a cube and write tables, figures and cubes into a folder.

    Every minute what has been computed is kept in DIR/checkpoint, until the results are written. A run that was killed,
    or stopped with Ctrl-C, goes on with --resume to the same chain, bit for bit, as one that was not.
    """
    from kinms.checkpoint import CheckpointWarning, clear
    from kinms.config import given, load

    config = load(args.config)
    if not config.free:
        raise config.missing("free", "fit needs it: the parameters to fit, each with its prior")
    from kinms.fitting import fit

    folder = _results_folder(args)
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise FileError(folder, f"cannot be made: {place} is not a folder to write into.", "Choose another place.")
    if any(path.suffix != ".toml" and path.parent == folder.resolve() for path in config.inputs()):
        raise OutputExistsError(folder, "It holds an input of this run: choose another folder.")
    data = config.read_data()
    if data.beam is None:
        raise config.missing("beam", "the cube has no beam (BMAJ), and fit needs one: bmaj, bmin, bpa")
    options = given(config.fit)
    if "checkpoint" in options:
        options["checkpoint_interval"] = options.pop("checkpoint")
    if args.processes is not None:
        options["processes"] = args.processes
    options |= {"checkpoint": folder, "resume": args.resume, "progress": not args.quiet, "gain": config.read_gain()}
    if args.overwrite:
        clear(folder)
    grid = data.grid
    journal.say(f'Data: {grid.nx} x {grid.ny} pixels of {grid.cell:.4g}", {grid.nv} channels of {grid.dv:.4g} km/s.')
    try:
        with config.naming("fit", "free"):
            result = fit(config.disc_for(data), data, config.free, sampling=config.sampling, **options)
    except SamplingError as error:
        if error.partial is None:
            raise
        _save(error.partial, folder, config, journal)
        raise SamplingError(f"{error} What had been sampled is in {folder}.") from error
    _save(result, folder, config, journal)
    journal.say()
    journal.say(result.report())
    journal.say()
    journal.say(f"Results in {folder}")
    if result.interrupted:
        journal.say("Stopped before its end: --resume goes on from here.")
        return INTERRUPTED
    clear(folder)
    return FAILED if CheckpointWarning in journal.warned else 0


def _results_folder(args: argparse.Namespace) -> Path:
    """Return the folder for the results of a fit, before anything is computed."""
    from kinms.checkpoint import exists
    from kinms.results import check_directory

    folder = Path(args.output)
    found = exists(folder)
    if found and not args.resume and not args.overwrite:
        fix = "It holds the checkpoint of a run that was stopped: go on with --resume, or begin anew with --overwrite."
        raise OutputExistsError(folder, fix)
    if args.resume and not found:
        if _complete(folder):
            message = "holds results that are complete, and no checkpoint to resume from."
            raise FileError(folder, message, "Nothing is left to do; --overwrite begins anew.")
        raise FileError(folder, "holds no checkpoint to resume from.", "Start without --resume.")
    return check_directory(folder, args.overwrite or args.resume)


def _complete(folder: Path) -> bool:
    """Whether a folder holds the results of a fit that came to its end."""
    try:
        found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return found["interrupted"] is False
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _save(result: FitResult, folder: Path, config: Config, journal: Journal) -> None:
    """Write a result, with what else was said in its log."""
    known = {line.lower() for line in result.log}
    command, *others = journal.lines
    before = [line for line in others if line.lower() not in known]
    log = (command, f"Configuration {config.document.path.resolve()}", *before, *result.log)
    whole = dataclasses.replace(result, log=log)
    whole.save(folder, overwrite=True, config_text=config.document.text)


# -- kinms compare ------------------------------------------------------------------------------------------------


def _compare(args: argparse.Namespace, journal: Journal) -> int:
    """Compare two fits to the same data: information criteria, and evidence where the sampler found it."""
    from kinms.comparison import compare
    from kinms.results import FitResult

    first, second = (FitResult.load(folder) for folder in args.folders)
    journal.say(str(compare(first, second, tuple(args.folders))))
    return 0


# -- kinms selftest -----------------------------------------------------------------------------------------------


def _selftest(args: argparse.Namespace, journal: Journal) -> int:
    """Check in half a minute that this installation computes what it should on this machine; exit status 0 or 1."""
    from kinms.selftest import selftest

    report = selftest(None if args.json else journal.say)
    if args.json:
        print(report.to_json())
    return 0 if report.ok else FAILED
