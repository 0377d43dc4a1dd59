"""What a fit leaves: numbers, tables and files.

`summarise` turns samples into medians and intervals, angles included; `FitResult` holds them with the chain, the best
disc and its cube, and writes itself into a directory.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kinms.cube import Cube
from kinms.disc import Disc
from kinms.errors import FileError, OutputExistsError
from kinms.likelihood import Inflation, Prior
from kinms.records import FloatArray

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

__all__ = ["FitResult", "check_directory", "summarise", "unwrap", "versions"]

#: Gelman-Rubin statistic above which chains have not converged to one distribution.
R_HAT_LIMIT = 1.1
#: Packages whose versions are kept with a result.
PACKAGES = ("kinms", "numpy", "scipy", "astropy", "numba", "pyfftw", "gastimator")


def unwrap(samples: FloatArray, prior: Prior) -> FloatArray:
    """Return samples of a periodic parameter moved by whole periods to within half a period of their circular mean.

    Samples at 359 and 1 degree then lie side by side. Those of other parameters come back as they are.

    Parameters
    ----------
    samples : ndarray, any shape
        In the range of the prior.
    prior : Prior
        Tells whether the parameter is periodic, and its period.
    """
    if not prior.is_periodic or samples.size == 0:
        return samples
    low, high = prior.bounds
    period = high - low
    phase = np.exp(2j * np.pi * (samples - low) / period)
    # The mean itself in range, so that plots show the numbers that tables give.
    mean = prior.wrap(low + np.angle(phase.mean()) / (2.0 * np.pi) * period)
    return np.asarray(mean + np.mod(samples - mean + 0.5 * period, period) - 0.5 * period)


def summarise(samples: FloatArray, priors: Sequence[Prior]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return medians and the distances from there down to the 16th and up to the 84th percentile.

    Parameters
    ----------
    samples : ndarray, shape (n, npar)
        Draws from the posterior.
    priors : sequence of Prior
        One per parameter. Periodic ones are unwrapped first, and their medians reported in the prior's range.

    Returns
    -------
    median, minus, plus : ndarray, shape (npar,)
    """
    flat = np.column_stack([unwrap(column, prior) for column, prior in zip(samples.T, priors, strict=True)])
    low, median, high = np.percentile(flat, [15.865525393145708, 50.0, 84.13447460685429], axis=0)
    wrapped = np.array([float(prior.wrap(value)) for prior, value in zip(priors, median, strict=True)])
    return wrapped, median - low, high - median


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def check_directory(path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Return the path if results may be written there: no such directory yet, an empty one, or ``overwrite``.

    Raises
    ------
    OutputExistsError
        If the directory holds anything.
    FileError
        If it is a file.
    """
    directory = Path(path)
    if directory.exists() and not directory.is_dir():
        raise FileError(directory, "is a file.", "Give the name of a directory.")
    if directory.is_dir() and any(directory.iterdir()) and not overwrite:
        raise OutputExistsError(directory, "Choose an empty directory, or overwrite it (overwrite=True, --overwrite).")
    return directory


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FitResult:
    """A disc fitted to a cube. Arrays over parameters have shape (npar,), in the order of `names`.

    Parameters
    ----------
    names, units : tuple of str
        Of the free numbers; an array's are named ``rotation.velocity[0]`` and so on.
    priors : tuple of Prior
        Theirs.
    median, minus, plus : ndarray
        Of the samples, and the distances to the 16th and 84th percentiles.
    best : ndarray
        Where the log-probability was highest.
    best_log_prob : float
        There.
    chain : ndarray, shape (chains, steps, npar)
        Samples after burn-in, repeats included.
    log_prob : ndarray, shape (chains, steps)
        Theirs.
    acceptance : ndarray, shape (chains,)
        Accepted part of the proposals after burn-in.
    r_hat : ndarray
        Gelman-Rubin statistic; NaN where there is too little to tell.
    chi2 : float
        Of the best disc, with errors that are not inflated.
    n : int
        Voxels used.
    inflation : Inflation
        N and the factor on the errors.
    rms : float
        Noise of a voxel, in the unit of the data.
    method, likelihood : str
        As asked for.
    steps, burn, seed : int
        Steps asked for per chain, burn-in included; those of burn-in; seed, drawn if none was given.
    wall_time_s : float
        Of the fit itself.
    versions : dict
        Package -> version.
    disc : Disc
        The best one.
    data, model : Cube
        What was fitted, and the best disc's cube.
    interrupted : bool
        Whether it was stopped early; everything then concerns what had been sampled.
    log : tuple of str
        What was done and what was lost, line by line.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    priors: tuple[Prior, ...]
    median: FloatArray
    minus: FloatArray
    plus: FloatArray
    best: FloatArray
    best_log_prob: float
    chain: FloatArray
    log_prob: FloatArray
    acceptance: FloatArray
    r_hat: FloatArray
    chi2: float
    n: int
    inflation: Inflation
    rms: float
    method: str
    likelihood: str
    steps: int
    burn: int
    seed: int
    wall_time_s: float
    versions: dict[str, str]
    disc: Disc
    data: Cube
    model: Cube
    interrupted: bool = False
    log: tuple[str, ...] = ()

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:.6g}" for name, value in zip(self.names, self.median, strict=True))
        return f"<FitResult: {values}>"

    def __str__(self) -> str:
        return self.report()

    @property
    def dof(self) -> int:
        """Voxels used less free parameters."""
        return self.n - len(self.names)

    @property
    def reduced_chi2(self) -> float:
        """`chi2` per degree of freedom; NaN where there is none."""
        return self.chi2 / self.dof if self.dof > 0 else float("nan")

    @property
    def residual(self) -> Cube:
        """Data less model, in masked voxels too."""
        return self.data.replace(data=self.data.data - self.model.data, stats=None)

    @property
    def samples(self) -> FloatArray:
        """Draws of all chains, shape (n, npar), periodic parameters unwrapped round their circular mean."""
        flat = self.chain.reshape(-1, len(self.names))
        return np.column_stack([unwrap(column, prior) for column, prior in zip(flat.T, self.priors, strict=True)])

    def fixed(self) -> dict[str, float]:
        """Return the numbers of the disc that were not fitted, by path; of arrays, only those fitted in part."""
        free_arrays = {name.partition("[")[0] for name in self.names if "[" in name}
        found: dict[str, float] = {}
        for path in self.disc.parameter_names():
            if path.endswith("_kin") and getattr(self.disc, path) is None:
                continue
            value = self.disc.value(path)
            if np.ndim(value) == 0:
                found[path] = float(value)
            elif path in free_arrays:
                found.update({f"{path}[{k}]": float(number) for k, number in enumerate(np.ravel(value))})
        return {path: value for path, value in found.items() if path not in self.names}

    def table(self) -> Table:
        """Return an `astropy.table.Table`: name, unit, best, median, minus, plus, prior, fixed.

        One row per free number and per number of the disc that was kept; arrays that were kept have none.
        """
        from astropy.table import Table

        return Table(rows=list(self._rows()))

    def _rows(self) -> Iterator[dict[str, Any]]:
        for k, name in enumerate(self.names):
            yield {
                "name": name,
                "unit": self.units[k],
                "best": float(self.best[k]),
                "median": float(self.median[k]),
                "minus": float(self.minus[k]),
                "plus": float(self.plus[k]),
                "prior": str(self.priors[k]),
                "fixed": False,
            }
        for name, value in self.fixed().items():
            kept = {"best": value, "median": value, "minus": 0.0, "plus": 0.0, "prior": "", "fixed": True}
            yield {"name": name, "unit": self.disc.unit(name), **kept}

    def corner(self) -> Figure:
        """Return the corner plot of the samples, a matplotlib `Figure`."""
        from kinms.plots import corner_figure

        return corner_figure(self)

    def report(self) -> str:
        """Return a short table for a terminal of 80 columns."""
        chains, kept = self.log_prob.shape
        head = [
            f"{'Interrupted fit' if self.interrupted else 'Fit'} with {self.method}: {chains} x {kept} samples after "
            f"{self.burn} steps of burn-in, seed {self.seed}, {self.wall_time_s:.1f} s.",
            f"Likelihood {self.likelihood}, rms {self.rms:.4g} {self.data.unit}: {self.inflation}.",
            f"chi2 = {self.chi2:.6g} for {self.n} voxels, reduced chi2 = {self.reduced_chi2:.4g}.",
            f"Accepted {100.0 * float(np.mean(self.acceptance)):.0f} %. {self.verdict()}",
        ]
        lines = [line for text in head for line in textwrap.wrap(text, 80)]
        width = max(4, *(len(name) for name in self.names))
        lines += ["", f"{'name':{width}}{'median':>11}{'minus':>9}{'plus':>9}{'best':>11}  unit"]
        for row in self._rows():
            if row["fixed"]:
                continue
            error = min((e for e in (row["minus"], row["plus"]) if e > 0.0), default=0.0)
            median, minus, plus, best = (_number(row[key], error) for key in ("median", "minus", "plus", "best"))
            lines.append(f"{row['name']:{width}}{median:>11}{minus:>9}{plus:>9}{best:>11}  {row['unit']}".rstrip())
        kept_values = ", ".join(
            f"{name}\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{value:.6g}" for name, value in self.fixed().items()
        )
        fixed = textwrap.wrap(f"Fixed: {kept_values}", 80, break_on_hyphens=False) if kept_values else []
        lines += [line.replace("\N{NO-BREAK SPACE}", " ") for line in fixed]
        return "\n".join(lines)

    def verdict(self) -> str:
        """Say in words whether the chains agree."""
        known = np.isfinite(self.r_hat)
        if not known.any():
            return "R-hat is not known: more than one chain, and steps enough, would tell convergence."
        bad = [name for name, value in zip(self.names, self.r_hat, strict=True) if value > R_HAT_LIMIT]
        if bad:
            return f"Not converged (R-hat above {R_HAT_LIMIT}) in {', '.join(bad)}: take more steps."
        return f"Converged: R-hat at most {np.nanmax(self.r_hat):.3f}."

    # -- files -------------------------------------------------------------------------------------------------

    def save(
        self, directory: str | os.PathLike[str], *, overwrite: bool = False, config_text: str | None = None
    ) -> Path:
        """Write everything into a directory; each file appears complete or not at all, numbers before pictures.

        ``parameters.ecsv``, ``result.json``, ``chain.fits``, ``run.log``, ``model.fits``, ``residual.fits``,
        ``summary.png``, ``channels.png``, ``corner.png`` (given more samples than parameters), and ``config.toml`` if
        its text is given. ``chain.fits`` holds no clock times: the same seed gives the same bytes.

        Parameters
        ----------
        directory : path
            Made if need be.
        overwrite : bool
            Whether it may hold something already; files of other names are left alone.
        config_text : str, optional
            The configuration that led here.

        Returns
        -------
        pathlib.Path
            The directory.

        Raises
        ------
        OutputExistsError
            If the directory is not empty and `overwrite` is not set.
        FileError
            If a file stands in its place.
        """
        from kinms.fits_io import write_cube

        target = check_directory(directory, overwrite)
        target.mkdir(parents=True, exist_ok=True)
        writers: dict[str, Callable[[Path], Any]] = {
            "parameters.ecsv": lambda path: self.table().write(path, format="ascii.ecsv"),
            "result.json": lambda path: path.write_text(self.to_json(), encoding="utf-8"),
            "chain.fits": self._write_chain,
            "run.log": lambda path: path.write_text("\n".join([*self.log, "", self.report(), ""]), encoding="utf-8"),
        }
        if config_text is not None:
            writers["config.toml"] = lambda path: path.write_text(config_text, encoding="utf-8")
        writers |= {
            "model.fits": lambda path: write_cube(path, self.model),
            "residual.fits": lambda path: write_cube(path, self.residual),
            "summary.png": lambda path: self._summary_figure().savefig(path),
            "channels.png": lambda path: self._channel_figure().savefig(path),
        }
        if len(self.samples) > len(self.names):  # fewer, of a run that was interrupted early, fill no picture
            writers["corner.png"] = lambda path: self.corner().savefig(path)
        for name, write in writers.items():
            _write_atomically(target / name, write)
        return target

    def to_json(self) -> str:
        """Return what ``result.json`` holds."""
        document = {
            "parameters": list(self._rows()),
            "chi2": self.chi2,
            "n": self.n,
            "dof": self.dof,
            "reduced_chi2": self.reduced_chi2,
            "rms": self.rms,
            "unit": self.data.unit,
            "likelihood": self.likelihood,
            "inflation": dataclasses.asdict(self.inflation),
            "method": self.method,
            "steps": self.steps,
            "burn": self.burn,
            "chains": self.chain.shape[0],
            "seed": self.seed,
            "best_log_prob": self.best_log_prob,
            "acceptance": self.acceptance.tolist(),
            "r_hat": dict(zip(self.names, self.r_hat.tolist(), strict=True)),
            "interrupted": self.interrupted,
            "wall_time_s": self.wall_time_s,
            "versions": self.versions,
        }
        return json.dumps(_without_nan(document), indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    def _write_chain(self, path: Path) -> None:
        from astropy import units as u
        from astropy.io import fits

        chains, steps = self.log_prob.shape
        number, step = np.divmod(np.arange(chains * steps), steps)
        columns = [
            fits.Column("chain", "J", array=number),
            fits.Column("step", "J", array=self.burn + step),
            fits.Column("log_prob", "D", array=self.log_prob.ravel()),
        ]
        for name, unit, values in zip(self.names, self.units, self.chain.reshape(-1, len(self.names)).T, strict=True):
            columns.append(fits.Column(name, "D", unit=u.Unit(unit).to_string("fits") if unit else None, array=values))
        table = fits.BinTableHDU.from_columns(columns, name="CHAIN")
        table.header["SEED"] = (self.seed, "of the random numbers")
        table.header["BURN"] = (self.burn, "steps per chain left out before the first row")
        table.writeto(path)

    def _summary_figure(self) -> Figure:
        from kinms.plots import summary_figure

        disc = self.disc
        axis = disc.pa if disc.pa_kin is None else disc.pa_kin
        pa = float(axis) if np.ndim(axis) == 0 else None
        centre = (
            disc.east if disc.east_kin is None else disc.east_kin,
            disc.north if disc.north_kin is None else disc.north_kin,
        )
        return summary_figure(self.data, self.model, pa=pa, centre=centre, v_sys=self.disc.v_sys, rms=self.rms)

    def _channel_figure(self) -> Figure:
        from kinms.plots import channel_figure

        return channel_figure(self.data, self.model, rms=self.rms)


def _write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    partial = path.with_name(f".partial-{path.name}")
    partial.unlink(missing_ok=True)
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _number(value: float, error: float) -> str:
    """Two digits of the error, as many decimals of the value."""
    if error <= 0.0 or not np.isfinite(error):
        return f"{value:.6g}"
    decimals = 1 - int(np.floor(np.log10(error)))
    if abs(value) >= 1e7 or decimals > 6:
        return f"{value:.4g}"
    return f"{value:.{max(0, decimals)}f}"


def _without_nan(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
