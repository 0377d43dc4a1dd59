"""A disc, a cube and some priors -> the posterior of the disc's parameters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kinms.cube import Cube, Model, Sampling
from kinms.disc import Disc, Parts
from kinms.errors import HeaderError, InputError, InputTypeError, KinmsWarning
from kinms.likelihood import InflatedNoise, Parameter, Posterior, Prior, WhiteNoise, inflation
from kinms.noise import detection_mask, estimate_rms
from kinms.records import FloatArray, check_scalar
from kinms.sparse import blocked

__all__ = ["DiscModel", "DiscPosterior", "choose_likelihood"]

#: Probability on either side of a prior that is left out when its ends are tried: a scale may tend to zero.
EDGE = 1e-6


def choose_likelihood(
    kind: str, data: Cube, *, rms: float | None = None, mask: Any = None, inflate: bool | float | str | None = None
) -> WhiteNoise:
    """Return the likelihood of this name for a cube.

    Parameters
    ----------
    kind : str
        ``white`` or ``inflated``.
    data : Cube
        Its own mask is heeded.
    rms : float, optional
        Noise of a voxel; default that of the cube, or measured with `kinms.noise.estimate_rms`.
    mask : array_like of bool, shape (nv, ny, nx), optional
        True where a voxel may be used, besides the cube's own mask.
    inflate : bool, float or str, optional
        Only with ``inflated``. False: none. True: N is the number of voxels used. A number: that N. ``auto``, the
        default: the voxels of the detection mask where they are under half of all, else as True.

    Raises
    ------
    InputError
        If the name is not known, or `inflate` does not suit it.
    """
    if kind == "correlated":
        fix = "The correlated likelihood arrives in a later version."
        raise InputError("likelihood", "'correlated'", "'white' or 'inflated'", fix)
    if kind not in ("white", "inflated"):
        raise InputError("likelihood", repr(kind), "'white' or 'inflated'")
    if kind == "white" and inflate is not None:
        raise InputError("inflate", repr(inflate), "nothing beside likelihood 'white', which inflates no errors")
    if not isinstance(data, Cube):
        raise InputTypeError("data", repr(data), "a Cube", "Read it with read_cube, or make it with simulate.")
    if not np.isfinite(data.data).any():
        raise InputError("data", "without a single finite voxel", "a cube with finite voxels")
    use = data.valid if mask is None else data.valid & _check_mask(mask, data)
    if not use.any():
        raise InputError("the mask", "without a single usable voxel", "at least one voxel that is True and finite")
    if rms is None and data.rms is None:
        # Of all finite voxels: a mask that selects the signal leaves none without.
        rms = estimate_rms(data.data)
        if rms == 0.0:
            raise InputError("the measured rms", "0", "noise in the data", "Give the error of a voxel as rms.")
    rms = check_scalar("rms", data.rms if rms is None else rms, minimum=0.0, exclusive=True)
    if kind == "white":
        return WhiteNoise(data.data, rms, use)
    automatic = inflate is None or (isinstance(inflate, str) and inflate == "auto")
    detected = detection_mask(data, rms) if automatic else None
    rule = inflation("auto" if inflate is None else inflate, use, detected)
    if rule.mode == "none":
        return WhiteNoise(data.data, rms, use)
    return InflatedNoise(data.data, rms, use, rule.n, rule.mode)


def _check_mask(mask: Any, data: Cube) -> np.ndarray:
    return np.asarray(data.replace(mask=mask).mask)


class DiscPosterior(Posterior):
    """The posterior of a disc's parameters given a cube.

    Parameters
    ----------
    disc : Disc
        Starting values of the free parameters, and the values of all others.
    data : Cube
        What was observed, in Jy/beam.
    free : mapping of str to Prior or sequence of Prior
        Dotted path -> prior. An array parameter is freed whole, ``"rotation.velocity"``, its elements all with that
        prior or with one each from a sequence; or by element, ``"rotation.velocity[2]"``.
    likelihood : callable, optional
        Takes a model of the cube's shape; default `InflatedNoise` with ``inflate="auto"``.
    sampling : Sampling, optional
        Accuracy of the model.
    flux : str
        ``given``: as the disc has it, or free like any other parameter. The model is linear in it, so that it can be
        found at each call instead: ``best`` takes the flux of the least chi-squared, ``marginal`` integrates over all
        fluxes with a flat prior. Only for white (and inflated) noise.

    Raises
    ------
    HeaderError
        If the cube has no beam.
    InputError, InputTypeError, UnknownNameError
        If a path is not known, given twice, or its start lies outside its prior; if a prior allows what no disc can
        have; if there are fewer voxels than parameters.

    Notes
    -----
    A disc that is impossible although every prior allows its value (the tail of a `Normal` below zero for a
    dispersion) has probability zero: the priors are those given, cut to what a disc can be.

    Examples
    --------
    >>> from kinms.cube import simulate
    >>> from kinms.grid import Beam, CubeGrid
    >>> from kinms.priors import Uniform
    >>> from kinms.profiles import ArctanCurve, ExponentialDisc
    >>> disc = Disc(surface_brightness=ExponentialDisc(3.0), rotation=ArctanCurve(100.0, 1.0), inc=40, pa=30, flux=5)
    >>> data = simulate(disc, CubeGrid((16, 64, 64), 1.0, 20.0), Beam(4.0)).replace(rms=1e-3)
    >>> posterior = DiscPosterior(disc, data, {"inc": Uniform(10, 80), "rotation.v_max": Uniform(50, 200)})
    >>> posterior.labels, posterior.start.tolist()
    (['inc', 'rotation.v_max'], [40.0, 100.0])
    >>> posterior([40, 100]) > posterior([45, 100])
    True
    """

    predict: DiscModel

    def __init__(
        self,
        disc: Disc,
        data: Cube,
        free: Mapping[str, Prior | Sequence[Prior]],
        likelihood: Callable[[FloatArray], float] | None = None,
        sampling: Sampling | None = None,
        flux: str = "given",
    ) -> None:
        _check_data(disc, data)
        parameters = _expand(disc, free)
        if likelihood is None:
            likelihood = choose_likelihood("inflated", data)
        used = getattr(likelihood, "n", None)
        if used is not None and used < len(parameters):
            fix = "Free fewer parameters, or use more of the cube."
            raise InputError("the number of voxels used", used, f"at least {len(parameters)}, one per parameter", fix)
        model = DiscModel(disc, list(free), Model(disc, data.grid, data.beam, sampling))
        super().__init__(parameters, model, likelihood)
        self.flux = _check_flux(flux, disc, free, likelihood)
        # Chi-squared comes from sums made on the way: a dense cube is then never built.
        self._chi2 = _FusedChi2(model.model, likelihood) if isinstance(likelihood, WhiteNoise) else None
        self._try_ends()

    def log_like(self, vector: Any) -> float:
        """Return the log-likelihood, whatever the priors; -inf where model or likelihood are not finite."""
        if self._chi2 is None:
            return super().log_like(vector)
        disc = self.predict.disc_or_none(self.wrap(vector))
        if disc is None:
            return -np.inf
        noise = self._chi2.noise
        if self.flux == "given":
            return noise.of_chi2(self._chi2(disc))
        _, least, spread = self._chi2.best_flux(disc)
        value = noise.of_chi2(least)
        if self.flux == "marginal":
            # The integral of a Gaussian over the flux, whose width is inflated with the errors.
            value += float(np.log(spread * noise.inflation.factor * np.sqrt(2.0 * np.pi)))
        return value if np.isfinite(value) else -np.inf

    def best_flux(self, vector: Any) -> tuple[float, float]:
        """Return the flux of the least chi-squared, all else as in ``vector``, and its 1 sigma error as inflated.

        Raises
        ------
        InputError
            If there can be no such disc, or the noise is not white.
        """
        if self._chi2 is None:
            raise InputError("the likelihood", type(self.likelihood).__name__, "WhiteNoise or InflatedNoise")
        flux, _, spread = self._chi2.best_flux(self.disc_at(vector))
        return flux, spread * self._chi2.noise.inflation.factor

    def disc_at(self, vector: Any) -> Disc:
        """Return the disc with these values of the free parameters (and, if it is not one of them, their best flux).

        Raises
        ------
        InputError
            If there can be no such disc.
        """
        disc = self.predict.disc_at(self.wrap(vector))
        if self.flux == "given" or self._chi2 is None:
            return disc
        return disc.replace(flux=self._chi2.best_flux(disc)[0])

    def _try_ends(self) -> None:
        """Refuse a prior that allows what no disc can have, one parameter at a time."""
        for k, parameter in enumerate(self.parameters):
            for end, q in zip(parameter.prior.bounds, (EDGE, 1.0 - EDGE), strict=True):
                vector = self.start.copy()
                vector[k] = parameter.prior.ppf(q)
                if not np.isfinite(end):
                    continue
                try:
                    self.predict.disc_at(vector)
                except InputError as error:
                    got = f"{parameter.prior}, which allows {vector[k]:g}"
                    raise InputError(
                        f"the prior of {parameter.name}", got, "one that no disc contradicts", str(error)
                    ) from None


class DiscModel:
    """From a vector to the voxels of a cube, with some of a disc's parameters replaced.

    Parameters
    ----------
    disc : Disc
        All other parameters.
    paths : list of str
        The elements of the vector: scalars, elements of arrays, and whole arrays, which take one element each.
    model : Model
        Turns a disc into voxels.
    """

    def __init__(self, disc: Disc, paths: Sequence[str], model: Model) -> None:
        self.disc, self.model = disc, model
        self._slots: list[tuple[Parts, int | slice]] = []
        start = 0
        for path in paths:
            value = disc.value(path)
            stop = start + np.size(value)
            self._slots.append((disc.parts(path), slice(start, stop) if np.ndim(value) else start))
            start = stop

    def disc_at(self, vector: FloatArray) -> Disc:
        """Return the disc of this vector."""
        return self.disc.with_parts({parts: vector[slot] for parts, slot in self._slots})

    def disc_or_none(self, vector: FloatArray) -> Disc | None:
        """Return the disc of this vector, or None where there can be none."""
        try:
            return self.disc_at(vector)
        except InputError:
            return None

    def __call__(self, vector: FloatArray) -> FloatArray | None:
        """Return the voxels, or None where there can be no such disc."""
        disc = self.disc_or_none(vector)
        return None if disc is None else self.model(disc)


class _FusedChi2:
    """Chi-squared of discs, from sums over what holds signal; nothing dense is built.

    Parameters
    ----------
    model : Model
        Fixes the layout of the nodes.
    noise : WhiteNoise
        Data and errors.
    """

    def __init__(self, model: Model, noise: WhiteNoise) -> None:
        self.model, self.noise = model, noise
        self._arrange()

    def __getstate__(self) -> dict[str, Any]:
        # The data go once; how they are arranged is quicker to make again.
        return {"model": self.model, "noise": self.noise}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._arrange()

    def _arrange(self) -> None:
        data, weights = self.noise.data, self.noise.weights
        weighted = data.astype(float) if weights is None else data * weights
        self._data = blocked(weighted)
        self._weights = None if weights is None else blocked(weights)
        # Not a BLAS dot product: its last bits depend on the number of threads.
        self._square = float(np.einsum("ijk,ijk->", weighted, data.astype(float)))

    def __call__(self, disc: Disc) -> float:
        """Return the sum of ((model - data) / error)^2."""
        square, product = self.model.products(disc, self._data, self._weights)
        return (self._square - 2.0 * product + square) / self.noise.error**2

    def best_flux(self, disc: Disc) -> tuple[float, float, float]:
        """Return the flux with the least chi-squared, that chi-squared, and the flux's 1 sigma error."""
        if disc.flux == 0.0:
            disc = disc.replace(flux=1.0)
        square, product = self.model.products(disc, self._data, self._weights)
        if not square > 0.0:
            return 0.0, np.inf, np.inf  # a disc outside of the cube has no flux that could be told
        error = self.noise.error
        least = (self._square - product**2 / square) / error**2
        return disc.flux * product / square, least, abs(disc.flux) * error / np.sqrt(square)


def _check_flux(flux: Any, disc: Disc, free: Mapping[str, Any], likelihood: Any) -> str:
    if flux not in ("given", "best", "marginal"):
        raise InputError("flux", repr(flux), "'given', 'best' or 'marginal'")
    if flux != "given" and "flux" in free:
        fix = "Leave flux out of the free parameters, or take flux='given'."
        raise InputError("flux", f"{flux!r} and free as well", "one of the two", fix)
    if flux != "given" and not isinstance(likelihood, WhiteNoise):
        raise InputError("flux", repr(flux), "'given' where the noise is not white")
    return str(flux)


def _check_data(disc: Any, data: Any) -> None:
    if not isinstance(disc, Disc):
        raise InputTypeError("disc", repr(disc), "a Disc")
    if not isinstance(data, Cube):
        raise InputTypeError("data", repr(data), "a Cube", "Read it with read_cube, or make it with simulate.")
    if data.beam is None:
        fix = "Give one with data.replace(beam=Beam(bmaj, bmin, bpa)), or as a [beam] table in the configuration."
        raise HeaderError("BMAJ", "the cube has no beam, and a model cannot be compared with it.", fix)
    if "beam" not in data.unit.lower():
        message = f"The cube is in {data.unit}, not per beam: its numbers are taken as Jy/beam, and flux has no unit."
        warnings.warn(message, KinmsWarning, stacklevel=3)


def _expand(disc: Disc, free: Any) -> list[Parameter]:
    """One parameter per free number, in the order given, arrays element by element."""
    if not isinstance(free, Mapping):
        raise InputTypeError("free", repr(free), "a mapping of parameter path to prior")
    if not free:
        raise InputError("free", "empty", "at least one parameter", 'For instance {"inc": Uniform(10, 80)}.')
    parameters: list[Parameter] = []
    for path, given in free.items():
        value = disc.value(path)
        size = np.size(value)
        whole = np.ndim(value) > 0
        priors = list(given) if isinstance(given, (list, tuple)) else [given] * size
        if len(priors) != size:
            raise InputError(f"the number of priors of {path}", len(priors), f"{size}, one per value")
        names = [f"{path}[{k}]" for k in range(size)] if whole else [path]
        for name, prior, start in zip(names, priors, np.ravel(value), strict=True):
            if name in [p.name for p in parameters]:
                array = name.partition("[")[0]
                fix = f"Free the whole of {array}, or single elements of it."
                raise InputError("free", f"naming {name} twice", "each parameter once", fix)
            parameters.append(Parameter(name, prior, start, disc.unit(path)))
    return parameters
