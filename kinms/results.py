"""What a fit leaves: numbers, tables and files.

`summarise` turns samples into medians and intervals, angles included; `FitResult` holds them with the chain, the best
disc and its cube, says whether the chains converged, draws itself, writes itself into a directory and is read back.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from kinms.atomic import replacing
from kinms.checkpoint import digest
from kinms.convergence import (
    R_HAT_LIMIT,
    Diagnostics,
    Verdict,
    degenerate_pairs,
    diagnose,
    judge,
    peaks,
    unconstrained,
    unwrap,
)
from kinms.cube import Cube, SpectralAxis, Stats
from kinms.disc import Disc
from kinms.errors import FileError, KinmsError, KinmsWarning, OutputExistsError
from kinms.grid import PSF, CubeGrid
from kinms.likelihood import Inflation, Prior
from kinms.record_json import decode, encode, finite
from kinms.records import FloatArray

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

__all__ = ["R_HAT_LIMIT", "FitResult", "check_directory", "fingerprint", "summarise", "unwrap", "versions"]

#: Of ``result.json``: `FitResult.load` reads no other.
FORMAT = 1
#: Packages whose versions are kept with a result.
PACKAGES = ("kinms", "numpy", "scipy", "astropy", "numba", "pyfftw", "gastimator", "arviz-stats")


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


def fingerprint(data: Cube) -> str:
    """Return a short text that two cubes share if they have the same numbers in the same voxels that may be used.

    Parameters
    ----------
    data : Cube
        Its mask counts; its rms, unit and header do not.
    """
    valid = data.valid
    digest = hashlib.sha256(repr(valid.shape).encode())
    digest.update(np.packbits(valid).tobytes())
    for values, use in zip(data.data, valid, strict=True):  # by channel: no second cube in memory
        digest.update(np.ascontiguousarray(values[use], dtype="<f8").tobytes())
    return digest.hexdigest()[:32]


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
    chi2 : float
        Of the best disc, with errors that are not inflated.
    n : int
        Voxels used, or independent numbers where the noise is correlated.
    inflation : Inflation
        N and the factor on the errors.
    rms : float
        Noise of a voxel, in the unit of the data.
    method, likelihood : str
        As asked for. The method ``optimise`` samples nothing: its chain holds draws of the Laplace approximation.
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
    log_evidence, log_evidence_error : float, optional
        Natural logarithm of the evidence and its 1 sigma error, of samplers that compute it.
    flux : str
        ``given``, ``best`` or ``marginal``, see `kinms.posterior.DiscPosterior`.
    r_hat, ess_bulk, ess_tail, tau : ndarray, optional
        Convergence, see `kinms.convergence.Diagnostics`; default measured on the chain. NaN where there is too little
        to tell, and for ``optimise``.
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
    log_evidence: float | None = None
    log_evidence_error: float | None = None
    flux: str = "given"
    # Filled in below: never None once there is a result.
    r_hat: FloatArray = None  # type: ignore[assignment]
    ess_bulk: FloatArray = None  # type: ignore[assignment]
    ess_tail: FloatArray = None  # type: ignore[assignment]
    tau: FloatArray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        names = [field.name for field in dataclasses.fields(Diagnostics)]
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            sampled = self.method != "optimise"
            found = diagnose(self.chain, self.priors) if sampled else Diagnostics.unknown(len(self.names))
            for name in missing:
                object.__setattr__(self, name, getattr(found, name))

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
    def counted(self) -> str:
        """What `n` is the number of."""
        return "independent numbers" if self.likelihood in ("correlated", "CorrelatedNoise") else "voxels"

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

    @property
    def fingerprint(self) -> str:
        """What the data and mask of this fit share with no others, see `fingerprint`."""
        return fingerprint(self.data)

    # -- figures -----------------------------------------------------------------------------------------------

    def corner(self) -> Figure:
        """Return the corner plot of the samples, a matplotlib `Figure`."""
        from kinms.plots import corner_figure

        return corner_figure(self)

    def trace(self) -> Figure:
        """Return every parameter against the step, one line per chain: see `kinms.plots.trace_figure`."""
        from kinms.plots import trace_figure

        return trace_figure(self)

    def prior_posterior(self) -> Figure:
        """Return what the data made of every prior: see `kinms.plots.prior_figure`."""
        from kinms.plots import prior_figure

        return prior_figure(self)

    def rotation_curve(self) -> Figure:
        """Return the rotation curve with its 68 and 95 % bands: see `kinms.plots.rotation_figure`."""
        from kinms.plots import rotation_figure

        return rotation_figure(self)

    def rotation_table(self) -> Table:
        """Return the rotation curve as a table: radius, median, and the ends of the 68 and 95 % bands.

        Raises
        ------
        InputError
            If the disc has no rotation curve.
        """
        from astropy.table import Table

        from kinms.plots import rotation_band

        band = rotation_band(self)
        columns = {"radius": band.radius, **dict(zip(band.NAMES, band.quantiles, strict=True))}
        return Table(columns, units={"radius": "arcsec", **dict.fromkeys(band.NAMES, "km/s")})

    def predictive(self) -> Figure:
        """Return moments of the data, of models drawn from the posterior, and their differences.

        See `kinms.plots.predictive_figure`; takes a model call per draw.
        """
        from kinms.plots import predictive_figure

        return predictive_figure(self)

    # -- words -------------------------------------------------------------------------------------------------

    def report(self) -> str:
        """Return a short table for a terminal of 80 columns."""
        accepted = float(np.mean(self.acceptance)) if np.size(self.acceptance) else np.nan
        head = [
            self._how(),
            f"Likelihood {self.likelihood}, rms {self.rms:.4g} {self.data.unit}: {self.inflation}.",
            f"chi2 = {self.chi2:.6g} for {self.n} {self.counted}, reduced chi2 = {self.reduced_chi2:.4g}.",
            f"Accepted {100.0 * accepted:.0f} %. {self.verdict()}" if np.isfinite(accepted) else self.verdict(),
            *self.remarks(),
        ]
        if self.log_evidence is not None:
            width = "" if self.log_evidence_error is None else f" +/- {self.log_evidence_error:.2g}"
            head.insert(3, f"ln evidence = {self.log_evidence:.6g}{width}.")
        lines = [line for text in head for line in textwrap.wrap(text, 80, break_on_hyphens=False)]
        widest = max(4, *(len(name) for name in self.names))
        lines += ["", f"{'name':{widest}}{'median':>11}{'minus':>9}{'plus':>9}{'best':>11}  unit"]
        for row in self._rows():
            if row["fixed"]:
                continue
            error = min((e for e in (row["minus"], row["plus"]) if e > 0.0), default=0.0)
            median, minus, plus, best = (_number(row[key], error) for key in ("median", "minus", "plus", "best"))
            lines.append(f"{row['name']:{widest}}{median:>11}{minus:>9}{plus:>9}{best:>11}  {row['unit']}".rstrip())
        kept_values = ", ".join(
            f"{name}\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{value:.6g}" for name, value in self.fixed().items()
        )
        fixed = textwrap.wrap(f"Fixed: {kept_values}", 80, break_on_hyphens=False) if kept_values else []
        lines += [line.replace("\N{NO-BREAK SPACE}", " ") for line in fixed]
        return "\n".join(lines)

    def _how(self) -> str:
        chains, kept = self.log_prob.shape
        start = f"{'Interrupted fit' if self.interrupted else 'Fit'} with {self.method}"
        end = f"seed {self.seed}, {self.wall_time_s:.1f} s."
        if self.method == "optimise":
            return f"{start}: {chains * kept} draws of its Laplace approximation, {end}"
        return f"{start}: {chains} x {kept} samples after {self.burn} steps of burn-in, {end}"

    @property
    def converged(self) -> bool | None:
        """Whether the chains converged; None where that cannot be told."""
        return self._judged().converged

    def verdict(self) -> str:
        """Say in words whether the chains converged, and what to do if they did not."""
        return self._judged().text

    def _judged(self) -> Verdict:
        if self.method == "optimise":
            text = "Errors are those of the Laplace approximation, a Gaussian at the best fit: nothing was sampled."
            return Verdict(None, text)
        found = Diagnostics(self.r_hat, self.ess_bulk, self.ess_tail, self.tau)
        nested = self.log_evidence is not None or self.method == "dynesty"
        return judge(self.names, self.chain, self.priors, found, self.burn, nested)

    def degenerate(self) -> list[tuple[str, str, float]]:
        """Return the pairs of parameters of which only a combination was measured, with their rank correlation."""
        return degenerate_pairs(self.samples, self.names)

    def unconstrained(self) -> list[str]:
        """Return the parameters about which the data say nothing: their posterior is as wide as their prior."""
        return unconstrained(self.samples, self.names, self.priors)

    def remarks(self) -> list[str]:
        """Say what else to know before the numbers are used, one sentence or two each."""
        said = []
        pairs = self.degenerate()
        for first, second, value in pairs[:3]:
            both = f"{first} and {second} are degenerate (correlation {value:.2f})"
            said.append(f"{both}: only a combination of them is measured.")
        if len(pairs) > 3:
            said.append(f"So are {len(pairs) - 3} more pairs: see the corner plot.")
        loose = self.unconstrained()
        if loose:
            each = (
                "its posterior is as wide as its prior" if len(loose) == 1 else "their posteriors are as wide as priors"
            )
            said.append(f"The data do not constrain {', '.join(loose)}: {each}.")
        for name, samples, independent in zip(self.names, self.samples.T, self.ess_bulk, strict=True):
            two = peaks(samples, float(independent))
            if two is not None:
                near = f"near {two[0]:.4g} and {two[1]:.4g}"
                said.append(f"The posterior of {name} has two peaks, {near}: its median and errors describe neither.")
        return said

    # -- files -------------------------------------------------------------------------------------------------

    def save(
        self, directory: str | os.PathLike[str], *, overwrite: bool = False, config_text: str | None = None
    ) -> Path:
        """Write everything into a directory; each file appears complete or not at all, numbers before pictures.

        ``parameters.ecsv``, ``result.json``, ``chain.fits``, ``run.log``, ``samples.nc`` (the chain for ArviZ),
        ``data.fits``, ``mask.fits`` (if the data have one), ``model.fits``, ``residual.fits``; moments 0, 1 and 2 of
        data and model, ``data_moment0.fits`` to ``model_moment2.fits``, and in ``moment_mask.fits`` the voxels that
        they are of, the data's signal, as in the figures; ``rotation.ecsv``; the figures ``summary.png``,
        ``channels.png``, ``rotation.png``, ``predictive.png``, and, given more samples than parameters, ``corner.png``,
        ``trace.png`` and ``prior.png``; and ``config.toml`` if its text is given.
        FITS files hold no clock times: the same seed gives the same bytes. Their HISTORY tells the version, the seed
        and the hashes of the fit and its configuration. `load` reads it all back.

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
            If a file stands in its place, or one of the files cannot be written.
        """
        target = check_directory(directory, overwrite)
        target.mkdir(parents=True, exist_ok=True)
        for name, write in {**self._numbers(config_text), **self._pictures()}.items():
            try:
                with replacing(target / name) as part:
                    write(part)
            except KinmsError:
                raise
            except OSError as error:
                message = f"cannot be written ({error.strerror or error})."
                raise FileError(target / name, message, "The files before it are complete.") from error
        return target

    def _numbers(self, config_text: str | None) -> dict[str, Callable[[Path], Any]]:
        """File name -> what writes it."""
        from kinms.fits_write import provenance, write_cube

        # What is lost in 32 bits, if anything is: real cubes come in no more.
        double = _is_double(self.data)
        text = {} if config_text is None else {"configuration": config_text}
        history = provenance(fit=self._identity(), seed=self.seed, **text)
        writers: dict[str, Callable[[Path], Any]] = {
            "parameters.ecsv": lambda path: self.table().write(path, format="ascii.ecsv"),
            "result.json": lambda path: path.write_text(self.to_json(), encoding="utf-8"),
            "chain.fits": self._write_chain,
            "run.log": lambda path: path.write_text("\n".join([*self.log, "", self.report(), ""]), encoding="utf-8"),
        }
        if config_text is not None:
            writers["config.toml"] = lambda path: path.write_text(config_text, encoding="utf-8")
        if self.disc.rotation is not None:
            writers["rotation.ecsv"] = lambda path: self.rotation_table().write(path, format="ascii.ecsv")
        if self.log_prob.size:
            writers["samples.nc"] = self._write_netcdf
        writers["data.fits"] = lambda path: write_cube(path, self.data, double=double, history=history)
        if self.data.mask is not None:
            mask = self.data.replace(data=self.data.mask, unit="", noise=None)
            writers["mask.fits"] = lambda path: write_cube(path, mask, history=history)
        wide = _is_double(self.model)
        writers["model.fits"] = lambda path: write_cube(path, self.model, double=wide, history=history)
        writers["residual.fits"] = lambda path: write_cube(path, self.residual, history=history)
        return writers | self._maps(history)

    def _maps(self, history: tuple[str, ...]) -> dict[str, Callable[[Path], Any]]:
        """File name -> what writes a moment map; all are of the same voxels, found when the first is written."""
        from kinms.fits_write import write_cube, write_map
        from kinms.plot_panels import View, prepare

        @functools.cache
        def view() -> View:
            return prepare(self.data, self.model, pa=0.0, rms=self.rms)

        def moment(cube: Cube, kind: str) -> FloatArray:
            if kind != "moment2":
                return np.asarray(getattr(view(), kind)(cube))
            upright = cube.replace(data=view().sign * np.asarray(cube.data))  # absorption has its widths, too
            return np.where(np.isfinite(view().moment1(cube)), upright.moment2(view().keep), np.nan)

        def writer(cube: Cube, kind: str) -> Callable[[Path], Any]:
            return lambda path: write_map(path, moment(cube, kind), cube, kind=kind, history=history)

        def write_mask(path: Path) -> None:
            write_cube(path, self.data.replace(data=view().keep, unit="", noise=None), history=history)

        cubes = {"data": self.data, "model": self.model}
        kinds = ("moment0", "moment1", "moment2")
        maps = {f"{name}_{kind}.fits": writer(cube, kind) for name, cube in cubes.items() for kind in kinds}
        return {**maps, "moment_mask.fits": write_mask}

    def _identity(self) -> str:
        """What the numbers of this fit follow from, as a text for a hash."""
        what = (self.names, self.priors, self.fixed(), self.method, self.likelihood, self.flux)
        return f"{digest((*what, self.steps, self.burn, self.log_prob.shape[0]))} {self.fingerprint}"

    def _pictures(self) -> dict[str, Callable[[Path], Any]]:
        figures: dict[str, Callable[[], Figure]] = {"summary": self._summary_figure, "channels": self._channel_figure}
        if self.disc.rotation is not None:
            figures["rotation"] = self.rotation_curve
        figures["predictive"] = self.predictive
        if len(self.samples) > len(self.names):  # fewer, of a run that was interrupted early, fill no picture
            figures |= {"corner": self.corner, "prior": self.prior_posterior}
            if self.method != "optimise":
                figures["trace"] = self.trace
        return {f"{name}.png": _saver(draw) for name, draw in figures.items()}

    def to_json(self) -> str:
        """Return what ``result.json`` holds."""
        document = {
            "format": FORMAT,
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
            **{name: dict(zip(self.names, getattr(self, name).tolist(), strict=True)) for name in _PER_PARAMETER},
            "converged": self.converged,
            "verdict": self.verdict(),
            "remarks": self.remarks(),
            "degenerate": self.degenerate(),
            "log_evidence": self.log_evidence,
            "log_evidence_error": self.log_evidence_error,
            "flux": self.flux,
            "interrupted": self.interrupted,
            "wall_time_s": self.wall_time_s,
            "versions": self.versions,
            "fingerprint": self.fingerprint,
            "priors": {name: encode(prior) for name, prior in zip(self.names, self.priors, strict=True)},
            "disc": encode(self.disc),
            "cubes": {"data": _describe(self.data), "model": _describe(self.model)},
            "log": list(self.log),
        }
        return json.dumps(finite(document), indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> Self:
        """Read back what `save` wrote: a result equal to the last bit, table, report, samples and cubes.

        Parameters
        ----------
        directory : path
            Its ``result.json``, ``chain.fits``, ``data.fits``, ``model.fits`` and, if there is one, ``mask.fits``.

        Raises
        ------
        FileError
            If the directory or one of these is missing, damaged, of another version, or does not belong to the others;
            names the file.
        """
        folder = Path(directory)
        if not folder.is_dir():
            state = "is a file" if folder.exists() else "does not exist"
            raise FileError(folder, f"{state}.", "Give the folder that FitResult.save or `kinms fit` wrote.")
        path = folder / "result.json"
        document = _read_json(path)
        try:
            fields = _fields(document)
            names = fields["names"]
            chains, burn = int(document["chains"]), fields["burn"]
            fields["data"] = _read_cube(folder, "data", document["cubes"]["data"])
            fields["model"] = _read_cube(folder, "model", document["cubes"]["model"])
            fields["chain"], fields["log_prob"] = _read_chain(folder / "chain.fits", names, chains, burn)
            result = cls(**fields)
        except FileError:
            raise
        except (KinmsError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            said = f"lacks {error}" if isinstance(error, KeyError) else f"is damaged: {error}"
            raise FileError(path, f"{said.rstrip('.')}.", "Run the fit again, or copy the folder again.") from error
        if result.fingerprint != document["fingerprint"]:
            raise FileError(folder / "data.fits", "is not the cube that was fitted.", "Copy the folder again.")
        return result

    def _write_chain(self, path: Path) -> None:
        from astropy import units as u
        from astropy.io import fits

        from kinms.fits_write import provenance

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
        # No hash of the configuration: whether the seed was given or drawn, the same chain makes the same bytes.
        for line in (
            f"kinms {self.versions.get('kinms', '')}".rstrip(),
            *provenance(fit=self._identity(), seed=self.seed),
        ):
            table.header.add_history(line)
        table.writeto(path)

    def _write_netcdf(self, path: Path) -> None:
        """Write the chain as ArviZ reads it: `arviz_base.convert_to_datatree`, `xarray.open_datatree`."""
        from arviz_base import from_dict

        posterior = {name: self.chain[..., k] for k, name in enumerate(self.names)}
        about = {
            "inference_library": "kinms",
            "inference_library_version": self.versions.get("kinms", ""),
            "method": self.method,
            "likelihood": self.likelihood,
            "seed": str(self.seed),
            "burn": self.burn,
            "fingerprint": self.fingerprint,
        }
        tree = from_dict({"posterior": posterior, "sample_stats": {"lp": self.log_prob}}, attrs={"/": about})
        for name, unit in zip(self.names, self.units, strict=True):
            tree["posterior"][name].attrs["units"] = unit
        tree.to_netcdf(path, engine="h5netcdf")

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


def _number(value: float, error: float) -> str:
    """Two digits of the error, as many decimals of the value."""
    if error <= 0.0 or not np.isfinite(error):
        return f"{value:.6g}"
    decimals = 1 - int(np.floor(np.log10(error)))
    if abs(value) >= 1e7 or decimals > 6:
        return f"{value:.4g}"
    return f"{value:.{max(0, decimals)}f}"


def _saver(draw: Callable[[], Figure]) -> Callable[[Path], Any]:
    return lambda path: draw().savefig(path)


def _fits_in_32_bits(values: FloatArray) -> bool:
    if values.dtype == np.float32:
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.array_equal(values.astype(np.float32).astype(values.dtype), values, equal_nan=True))


def _is_double(cube: Cube) -> bool:
    """Whether 32 bits would lose some of a cube's numbers; its noise is written squared."""
    return not (_fits_in_32_bits(cube.data) and (cube.noise is None or _fits_in_32_bits(cube.noise**2)))


# -- reading back ----------------------------------------------------------------------------------------------

#: Arrays over parameters that ``result.json`` holds by name, and fields that it holds as they are.
_PER_PARAMETER = ("r_hat", "ess_bulk", "ess_tail", "tau")
_PLAIN = (
    "best_log_prob",
    "chi2",
    "n",
    "rms",
    "method",
    "likelihood",
    "steps",
    "burn",
    "seed",
    "wall_time_s",
    "versions",
    "interrupted",
    "log_evidence",
    "log_evidence_error",
    "flux",
)


def _describe(cube: Cube) -> dict[str, Any]:
    """What a FITS file does not keep to the last bit."""
    return {
        "dtype": cube.data.dtype.newbyteorder("=").str,
        "grid": encode(cube.grid),
        "beam": encode(cube.beam),
        "unit": cube.unit,
        "mask": cube.mask is not None,
        "noise": cube.noise is not None,
        "rms": cube.rms,
        "stats": None if cube.stats is None else dataclasses.asdict(cube.stats),
        "spectral": encode(cube.spectral),
        "header": cube.header is not None,
        "flipped": list(cube.flipped),
        "warnings": list(cube.warnings),
    }


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(path, "does not exist.", "Give the folder that FitResult.save or `kinms fit` wrote.") from None
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror}).", "Check its permissions.") from None
    except ValueError as error:
        message = f"is truncated or damaged: not valid JSON ({error})."
        raise FileError(path, message, "Copy it again.") from None
    if not isinstance(document, dict) or "parameters" not in document:
        raise FileError(path, "is not the record of a fit.", "Give the folder that FitResult.save wrote.")
    if document.get("format") != FORMAT:
        found = document.get("format", "none")
        message = f"was written by another version of kinms (format {found}; this one reads {FORMAT})."
        raise FileError(path, message, "Read it with that version, or run the fit again.")
    return document


def _number_of(value: Any) -> Any:
    """A number as `finite` writes it: null for NaN, text for an infinity."""
    if value is None:
        return float("nan")
    return float(value) if isinstance(value, str) else value


def _fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """All of a result that is neither chain nor cube."""
    rows = [row for row in document["parameters"] if not row["fixed"]]
    names = tuple(row["name"] for row in rows)
    fields: dict[str, Any] = {name: document[name] for name in _PLAIN}
    for name in ("best_log_prob", "chi2", "rms", "wall_time_s"):
        fields[name] = _number_of(fields[name])
    fields |= {key: np.array([_number_of(row[key]) for row in rows]) for key in ("median", "minus", "plus", "best")}
    for key in _PER_PARAMETER:
        fields[key] = np.array([_number_of(document[key][name]) for name in names])
    return fields | {
        "names": names,
        "units": tuple(row["unit"] for row in rows),
        "priors": tuple(decode(Prior, document["priors"][name], f"the prior of {name}") for name in names),
        "acceptance": np.array([_number_of(value) for value in document["acceptance"]], dtype=float),
        "inflation": Inflation(**document["inflation"]),
        "disc": decode(Disc, document["disc"]),
        "log": tuple(document["log"]),
    }


def _read_cube(folder: Path, name: str, about: Mapping[str, Any]) -> Cube:
    from kinms.fits_read import read_cube

    path, mask = folder / f"{name}.fits", None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KinmsWarning)  # said when the cube was read first
        read = read_cube(path)
        if about["mask"]:
            mask = read_cube(folder / "mask.fits").data != 0.0
    grid = decode(CubeGrid, about["grid"], "grid")
    for data, file in ((read.data, path), (mask, folder / "mask.fits")):
        if data is not None and data.shape != grid.shape:
            message = f"has {data.shape} voxels, not {grid.shape} as the result."
            raise FileError(file, message, "Copy the folder again.")
    stats = about["stats"]
    if stats is not None:
        numbers = {key: _number_of(stats[key]) for key in stats if key not in ("evaluator", "messages")}
        stats = Stats(**{**stats, **numbers, "messages": tuple(stats["messages"])})
    return Cube(
        read.data.astype(np.dtype(about["dtype"])),
        grid,
        None if about["beam"] is None else decode(PSF, about["beam"], "beam"),
        about["unit"],
        mask,
        about["rms"],
        stats,
        decode(SpectralAxis, about["spectral"], "spectral"),
        read.header if about["header"] else None,
        tuple(about["flipped"]),
        tuple(about["warnings"]),
        read.noise if about.get("noise") else None,
    )


def _read_chain(path: Path, names: Sequence[str], chains: int, burn: int) -> tuple[FloatArray, FloatArray]:
    """Return the chain and its log-probabilities, shapes (chains, steps, npar) and (chains, steps)."""
    from astropy.io import fits

    fix = "Copy it again."
    if not path.is_file():
        raise FileError(path, "does not exist.", fix)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # astropy only warns of a truncated file
            with fits.open(path, memmap=False) as file:
                rows = np.asarray(file["CHAIN"].data)
                known = tuple(rows.dtype.names or ())
    except (OSError, KeyError, ValueError, TypeError, IndexError, Warning) as error:
        raise FileError(path, f"is truncated or damaged: {' '.join(str(error).split())[:120]}.", fix) from None
    if known != ("chain", "step", "log_prob", *names):
        raise FileError(path, f"holds {', '.join(known[3:])}, not {', '.join(names)} as result.json.", fix)
    steps = len(rows) // chains if chains else 0
    expected = np.repeat(np.arange(chains), steps), np.tile(burn + np.arange(steps), chains)
    if len(rows) != chains * steps or any(
        not np.array_equal(rows[name], want) for name, want in zip(("chain", "step"), expected, strict=True)
    ):
        raise FileError(path, f"does not hold {chains} whole chains after {burn} steps, as result.json says.", fix)
    values = [np.asarray(rows[name], dtype=float).reshape(chains, steps) for name in ("log_prob", *names)]
    return np.stack(values[1:], axis=-1), values[0]
