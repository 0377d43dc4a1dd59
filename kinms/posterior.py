"""A disc, a cube and some priors -> the posterior of the disc's parameters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy  # loads its parts when they are first asked for

from kinms.cube import Cube, Model, Sampling
from kinms.disc import Disc, Parts
from kinms.errors import HeaderError, InputError, InputTypeError, KinmsWarning
from kinms.likelihood import (
    CorrelatedNoise,
    InflatedNoise,
    Parameter,
    Posterior,
    Prior,
    StudentT,
    WhiteNoise,
    inflation,
)
from kinms.noise import NoiseModel, detection_mask, estimate_rms
from kinms.priors import as_prior
from kinms.records import FloatArray, check_scalar
from kinms.sparse import blocked

__all__ = ["DiscModel", "DiscPosterior", "choose_likelihood"]

#: The likelihoods that have a name.
KINDS = "'white', 'inflated', 'correlated' or 'student'"
#: Of a masked channel with more voxels than this, only those near the signal tell something of correlated noise.
WIDE = 3_000
#: Error of a model voxel, in parts of the brightest: what no floor of correlated noise should lie below.
MODEL_ERROR = 1e-3
#: Scatter of line-free voxels, in parts of their stated noise, below which the data are a model without any.
NOISELESS = 1e-2
#: Probability on either side of a prior that is left out when its ends are tried: a scale may tend to zero.
EDGE = 1e-6


def choose_likelihood(
    kind: str | Callable[[FloatArray], float],
    data: Cube,
    *,
    rms: float | None = None,
    mask: Any = None,
    inflate: bool | float | str | None = None,
    noise: NoiseModel | None = None,
    gain: Any = None,
) -> Any:
    """Return the likelihood of this name for a cube.

    Parameters
    ----------
    kind : str or callable
        ``white``, ``inflated``, ``correlated`` or ``student``: `WhiteNoise`, `InflatedNoise`, `CorrelatedNoise` or
        `StudentT` of `kinms.likelihood`. A likelihood of your own is returned as it is.
    data : Cube
        Its own mask is heeded.
    rms : float, optional
        Noise of a voxel; default that of the cube, or measured with `kinms.noise.estimate_rms`. Where the cube brings
        the noise of each voxel (`Cube.noise`: a STAT extension, say), each has its own: in proportion to that, and
        scaled such that line-free voxels scatter by 1 sigma; `rms` then is that of the typical one. Take
        ``data.replace(noise=None)`` for one number everywhere.
    mask : array_like of bool, shape (nv, ny, nx), optional
        True where a voxel may be used, besides the cube's own mask.
    inflate : bool, float or str, optional
        Only with ``inflated``. False: none. True: N is the number of voxels used. A number: that N. ``auto``, the
        default: the voxels of the detection mask where they are under half of all, else as True.
    noise : NoiseModel, optional
        Takes the place of `rms`, and of what ``correlated`` would measure.
    gain : array_like, shape (ny, nx), optional
        Sensitivity at each position, see `NoiseModel.estimate`; `rms` then is that of the typical one.

    Raises
    ------
    InputError
        If the name is not known, or `inflate` does not suit it; if a likelihood of your own comes with any of these,
        which it would not heed; if rms, mask, noise or gain do not suit the cube or each other.
    InputTypeError
        If something is of another kind altogether.
    """
    if not isinstance(kind, str):
        if not callable(kind):
            raise InputTypeError("likelihood", repr(kind), f"{KINDS} or a likelihood")
        for name, value in {"rms": rms, "mask": mask, "inflate": inflate, "noise": noise, "gain": gain}.items():
            if value is not None:
                fix = "Make the likelihood with it."
                raise InputError(name, "given", "nothing beside a likelihood of your own, which has its noise", fix)
        return kind
    if kind not in ("white", "inflated", "correlated", "student"):
        raise InputError("likelihood", repr(kind), KINDS)
    if kind != "inflated" and inflate is not None:
        raise InputError("inflate", repr(inflate), f"nothing beside likelihood {kind!r}, which inflates no errors")
    if not isinstance(data, Cube):
        raise InputTypeError("data", repr(data), "a Cube", "Read it with read_cube, or make it with simulate.")
    if not np.isfinite(data.data).any():
        raise InputError("data", "without a single finite voxel", "a cube with finite voxels")
    use = data.valid if mask is None else data.valid & _check_mask(mask, data)
    if not use.any():
        raise InputError("the mask", "without a single usable voxel", "at least one voxel that is True and finite")
    varies = gain is not None or data.noise is not None
    remark = ""
    if noise is not None:
        _check_noise(noise, data)
        if gain is not None:
            raise InputError("gain", "given", "nothing beside noise, which says how it varies", "Give one of the two.")
    if noise is None and (kind == "correlated" or gain is not None):
        # Of all finite voxels: a mask that selects the signal leaves none without.
        noise = NoiseModel.estimate(data.replace(mask=None), gain=gain)
        # That of a cube as it was read is of no one place where the noise varies.
        known = rms if rms is not None or varies else data.rms
        if known is not None:
            known = check_scalar("rms", known, minimum=0.0, exclusive=True)
            noise = noise.replace(channel_rms=noise.channel_rms * (known / noise.rms))
    if noise is not None:
        error: Any = noise.error if np.ndim(noise.error) == 0 else np.broadcast_to(noise.error, data.data.shape)
        if np.ndim(error) and not np.isfinite(error[use]).all():
            use = use & np.isfinite(error)
        typical = noise.rms
    elif data.noise is not None:
        error, typical, remark = _of_each_voxel(data, rms)
        use = use & np.isfinite(error)
        if not use.any():
            raise InputError("the noise of the cube", "not known in any voxel used", "1 sigma of each voxel")
    else:
        if rms is None and data.rms is None:
            rms = estimate_rms(data.data)
            if rms == 0.0:
                raise InputError("the measured rms", "0", "noise in the data", "Give the error of a voxel as rms.")
        error = typical = check_scalar("rms", data.rms if rms is None else rms, minimum=0.0, exclusive=True)
    if kind == "white":
        return _remarked(WhiteNoise(data.data, error, use), remark)
    if kind == "student":
        return _remarked(StudentT(data.data, error, use), remark)
    if kind == "correlated":
        assert noise is not None  # for the type checker: it was measured above
        return _correlated(data, error, use, noise)
    automatic = inflate is None or (isinstance(inflate, str) and inflate == "auto")
    even = data.noise is None and (noise is None or noise.noise_map is None)
    detected = detection_mask(data, typical if even else None) if automatic else None
    rule = inflation("auto" if inflate is None else inflate, use, detected)
    if rule.mode == "none":
        return _remarked(WhiteNoise(data.data, error, use), remark)
    return _remarked(InflatedNoise(data.data, error, use, rule.n, rule.mode), remark)


def _check_noise(noise: Any, data: Cube) -> None:
    """Refuse what is no noise, or that of another cube."""
    if not isinstance(noise, NoiseModel):
        raise InputTypeError("noise", repr(noise)[:60], "a NoiseModel", "Give a number as rms.")
    shape = np.shape(noise.error)
    if any(n not in (1, wanted) for n, wanted in zip(shape, data.data.shape, strict=False)):
        given = f"of {shape[0]} channels" + (f" of {shape[1]} x {shape[2]}" if noise.noise_map is not None else "")
        raise InputError("noise", given, "{} channels of {} x {}, as the data".format(*data.data.shape))


def _of_each_voxel(data: Cube, rms: float | None) -> tuple[FloatArray, float, str]:
    """Return 1 sigma of each voxel, NaN where it is not known, that of the typical one, and how it was found.

    What pipelines state is right in shape, and too small where voxels were resampled: its size is measured.
    """
    noise = np.asarray(data.noise, dtype=float)
    with np.errstate(invalid="ignore"):
        noise = np.where(noise > 0.0, noise, np.nan)
    known = np.isfinite(noise) & np.isfinite(data.data)
    if not known.any():
        raise InputError("the noise of the cube", "not known in any voxel", "1 sigma of each voxel", "Or give rms.")
    stated = float(np.median(noise[known]))
    if rms is not None:
        factor = check_scalar("rms", rms, minimum=0.0, exclusive=True) / stated
        why = "for the rms given"
    else:
        factor = estimate_rms(data.data / noise, known)
        why = "as line-free voxels scatter"
        if factor < NOISELESS:  # a model
            factor, why = 1.0, "as no noise is found in the data"
    return noise * factor, stated * factor, f"that of each voxel as the file states, times {factor:.3g} {why}"


def _remarked(likelihood: Any, remark: str) -> Any:
    """Keep how the noise was found with the likelihood, for the record."""
    if remark:
        likelihood.remarks = (remark,)
    return likelihood


def _correlated(data: Cube, error: Any, use: np.ndarray, noise: NoiseModel) -> CorrelatedNoise:
    """Return the correlated likelihood, with a floor that a model can follow, of a field without gaps if any."""
    remarks = list(noise.messages)
    signal = detection_mask(data)
    peak = float(np.abs(np.where(use, data.data / error, 0.0)).max())
    floor = max(noise.correlation.floor, min((MODEL_ERROR * peak) ** 2, 0.5))
    rectangle = _full_rectangle(use, signal)
    if rectangle is not None:
        y, x = rectangle
        inside = np.zeros_like(use)
        inside[:, y, x] = True
        remarks.append(f"used are pixels {x.start} to {x.stop - 1} in x and {y.start} to {y.stop - 1} in y")
        use = use & inside
    elif use.sum(axis=(1, 2)).max() > WIDE and not use.all(axis=(1, 2)).any():
        near = _near(signal, data)
        if np.any(use & near):
            use = use & near
            remarks.append("used are the positions within two beams of signal")
    correlation = noise.correlation.replace(floor=floor)
    remarks.append(f"{100.0 * floor:.2g} % of the variance taken for white")
    return CorrelatedNoise(data.data, error, correlation, use, remarks=tuple(remarks))


def _near(signal: np.ndarray, data: Cube) -> np.ndarray:
    """Return the positions within two beams of signal in any channel, shape (1, ny, nx)."""
    distance = scipy.ndimage.distance_transform_edt(~signal.any(axis=0))
    width = 3.0 if data.beam is None else data.beam.bmaj / data.grid.cell
    return np.asarray(distance <= 2.0 * width)[None]


def _full_rectangle(use: np.ndarray, signal: np.ndarray) -> tuple[slice, slice] | None:
    """Return a rectangle without gaps round the largest piece of signal, where all channels have the same mask.

    None where there are no gaps anyway, where channels have masks of their own, or where the signal reaches the gaps.
    """
    plane = np.asarray(use.any(axis=0))
    if plane.all() or not signal.any() or np.count_nonzero(plane & ~use) > 1e-3 * use.size:
        return None
    labels, _ = scipy.ndimage.label(signal)
    main = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    rows, columns = (np.flatnonzero(main.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    box = [int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1]
    if not plane[box[0] : box[1], box[2] : box[3]].all():
        return None
    grown = True
    while grown:
        grown = False
        for side, step in ((0, -1), (1, 1), (2, -1), (3, 1)):
            wider = list(box)
            wider[side] += step
            if wider[side] < 0 or wider[side] > plane.shape[side // 2]:
                continue
            if plane[wider[0] : wider[1], wider[2] : wider[3]].all():
                box, grown = wider, True
    return slice(box[0], box[1]), slice(box[2], box[3])


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
    likelihood : str or callable
        A name, for what `choose_likelihood` makes of it: ``white``, ``inflated``, ``correlated`` or ``student``, with
        the noise of the cube, or that measured. Or what takes a model of the cube's shape.
    sampling : Sampling, optional
        Accuracy of the model.
    flux : str
        ``given``: as the disc has it, or free like any other parameter. The model is linear in it, so that it can be
        found at each call instead: ``best`` takes the flux of the least chi-squared, ``marginal`` integrates over all
        fluxes with a flat prior. Only for Gaussian noise, white, inflated or correlated.

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
        likelihood: str | Callable[[FloatArray], float] = "inflated",
        sampling: Sampling | None = None,
        flux: str = "given",
    ) -> None:
        _check_data(disc, data)
        parameters = _expand(disc, free)
        chosen = choose_likelihood(likelihood, data)
        used = getattr(chosen, "n", None)
        if used is not None and used < len(parameters):
            fix = "Free fewer parameters, or use more of the cube."
            raise InputError("the number of voxels used", used, f"at least {len(parameters)}, one per parameter", fix)
        model = DiscModel(disc, list(free), Model(disc, data.grid, data.beam, sampling))
        super().__init__(parameters, model, chosen)
        self.flux = _check_flux(flux, disc, free, chosen)
        # Chi-squared comes from sums made on the way: a dense cube is then never built.
        self._chi2 = _chi2(model.model, chosen)
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
            If there can be no such disc, or the noise is not Gaussian.
        """
        if self._chi2 is None:
            raise InputError("the likelihood", type(self.likelihood).__name__, "one of Gaussian noise")
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


class _Chi2:
    """Chi-squared of discs, of which the flux can be told apart.

    Parameters
    ----------
    model : Model
        Fixes the layout of the nodes.
    noise : WhiteNoise or CorrelatedNoise
        Data and errors.
    """

    def __init__(self, model: Model, noise: WhiteNoise | CorrelatedNoise) -> None:
        self.model, self.noise = model, noise

    def __call__(self, disc: Disc) -> float:
        """Return chi-squared."""
        square, product = self.products(disc)
        return self.data_square - 2.0 * product + square

    def products(self, disc: Disc) -> tuple[float, float]:
        """Return m^T C^-1 m and m^T C^-1 d of the disc's model m."""
        raise NotImplementedError

    @property
    def data_square(self) -> float:
        """Chi-squared of no disc at all."""
        raise NotImplementedError

    def best_flux(self, disc: Disc) -> tuple[float, float, float]:
        """Return the flux with the least chi-squared, that chi-squared, and the flux's 1 sigma error."""
        if disc.flux == 0.0:
            disc = disc.replace(flux=1.0)
        square, product = self.products(disc)
        if not square > 0.0:
            return 0.0, np.inf, np.inf  # a disc outside of the cube has no flux that could be told
        return disc.flux * product / square, self.data_square - product**2 / square, abs(disc.flux) / np.sqrt(square)


class _WhiteChi2(_Chi2):
    """Of white noise, from sums over what holds signal: no dense cube is built."""

    noise: WhiteNoise

    def __init__(self, model: Model, noise: WhiteNoise) -> None:
        super().__init__(model, noise)
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
        square, product = self.model.products(disc, self._data, self._weights)
        return (self._square - 2.0 * product + square) / self.noise.error**2

    @property
    def data_square(self) -> float:
        return self._square / self.noise.error**2

    def products(self, disc: Disc) -> tuple[float, float]:
        square, product = self.model.products(disc, self._data, self._weights)
        return square / self.noise.error**2, product / self.noise.error**2


class _CorrelatedChi2(_Chi2):
    """Of correlated noise, from the modes of the model."""

    noise: CorrelatedNoise

    def __call__(self, disc: Disc) -> float:
        return self.noise.chi2(self.model(disc))

    @property
    def data_square(self) -> float:
        return self.noise.data_square

    def products(self, disc: Disc) -> tuple[float, float]:
        return self.noise.products(self.model(disc))


def _chi2(model: Model, noise: Any) -> _Chi2 | None:
    """Return what computes chi-squared for this noise, None if it has none of a Gaussian."""
    if isinstance(noise, WhiteNoise):
        return _WhiteChi2(model, noise)
    return _CorrelatedChi2(model, noise) if isinstance(noise, CorrelatedNoise) else None


def _check_flux(flux: Any, disc: Disc, free: Mapping[str, Any], likelihood: Any) -> str:
    if flux not in ("given", "best", "marginal"):
        raise InputError("flux", repr(flux), "'given', 'best' or 'marginal'")
    if flux != "given" and "flux" in free:
        fix = "Leave flux out of the free parameters, or take flux='given'."
        raise InputError("flux", f"{flux!r} and free as well", "one of the two", fix)
    if flux != "given" and not isinstance(likelihood, (WhiteNoise, CorrelatedNoise)):
        raise InputError("flux", repr(flux), "'given' where the noise is not Gaussian")
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
            parameters.append(Parameter(name, as_prior(prior, f"the prior of {name}"), start, disc.unit(path)))
    return parameters
