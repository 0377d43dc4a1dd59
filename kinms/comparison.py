"""Which of two fits to the same data is the better model: information criteria and evidence."""

from __future__ import annotations

import dataclasses
import math
import textwrap

import numpy as np

from kinms.errors import InputError, InputTypeError
from kinms.records import FloatArray
from kinms.results import FitResult

__all__ = ["Comparison", "Criteria", "compare", "criteria"]

#: Differences of a criterion, or of twice the evidence, and what they are called (Kass & Raftery 1995, section 3.2).
WORDS = ((10.0, "very strongly"), (6.0, "strongly"), (2.0, "positively"), (0.0, "hardly"))


@dataclasses.dataclass(frozen=True)
class Criteria:
    """How well one fit describes its data, and at what price. Lower criteria are better, higher evidence is.

    Parameters
    ----------
    k : int
        Parameters that were adjusted, a flux that was found at each call included.
    n : int
        Number of data in `bic`.
    log_like : float
        The highest log-likelihood of all samples, without the constant that depends on the data alone.
    aic : float
        2 k - 2 ln L (Akaike 1974).
    bic : float
        k ln n - 2 ln L (Schwarz 1978).
    dic : float
        Mean of D = -2 ln L over the samples plus half of its variance (Spiegelhalter et al. 2002; the effective number
        of parameters as in Gelman et al. 2013, eq. 7.10). NaN without samples.
    log_evidence, log_evidence_error : float or None
        As the sampler found them.
    """

    k: int
    n: int
    log_like: float
    aic: float
    bic: float
    dic: float
    log_evidence: float | None = None
    log_evidence_error: float | None = None


def criteria(result: FitResult) -> Criteria:
    """Return the information criteria of a fit, from its samples: no model is computed.

    Parameters
    ----------
    result : FitResult
        Its log-probabilities less its log-priors are log-likelihoods. N is that of its likelihood: of the error
        inflation where there is one, else all voxels used. Neighbouring pixels share a beam of noise, so that both
        count more data than are independent; `bic` then asks too much of additional parameters.
    """
    sampled = result.log_prob - _log_prior(result, result.chain)
    best = float(result.best_log_prob - _log_prior(result, result.best))
    known = sampled[np.isfinite(sampled)]
    log_like = max([best, *([float(known.max())] if known.size else [])])
    k = len(result.names) + (result.flux != "given")
    deviance = -2.0 * known
    dic = float(deviance.mean() + 0.5 * deviance.var(ddof=1)) if known.size > 1 else math.nan
    return Criteria(
        k=k,
        n=result.inflation.n,
        log_like=log_like,
        aic=2.0 * k - 2.0 * log_like,
        bic=k * math.log(result.inflation.n) - 2.0 * log_like,
        dic=dic,
        log_evidence=result.log_evidence,
        log_evidence_error=result.log_evidence_error,
    )


def _log_prior(result: FitResult, vectors: FloatArray) -> FloatArray:
    """The sum of the priors' log-densities over the last axis."""
    columns = [prior.log_pdf(prior.wrap(vectors[..., k])) for k, prior in enumerate(result.priors)]
    return np.asarray(np.sum(columns, axis=0))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two fits to the same data side by side.

    Parameters
    ----------
    names : tuple of str
        What the two are called.
    first, second : Criteria
        Theirs.
    about : str
        Likelihood and N, in words.
    remarks : tuple of str
        What limits the comparison.
    """

    names: tuple[str, str]
    first: Criteria
    second: Criteria
    about: str
    remarks: tuple[str, ...] = ()

    @property
    def evidence(self) -> tuple[float, float] | None:
        """Log-evidence of the first less that of the second, and its 1 sigma error; None unless both have one."""
        one, two = self.first, self.second
        if one.log_evidence is None or two.log_evidence is None:
            return None
        errors = [each.log_evidence_error or 0.0 for each in (one, two)]
        return one.log_evidence - two.log_evidence, math.hypot(*errors)

    def __str__(self) -> str:
        return self.report()

    def report(self) -> str:
        """Return a table for a terminal of 80 columns, and what it says."""
        shown = [name if len(name) <= 18 else f"...{name[-15:]}" for name in self.names]
        lines = textwrap.wrap(self.about, 80)
        lines += ["", f"{'':18}{shown[0]:>20}{shown[1]:>20}{'difference':>16}"]
        lines.append(f"{'parameters':18}{self.first.k:>20d}{self.second.k:>20d}{self.first.k - self.second.k:>+16d}")
        for label, name in (("ln L, highest", "log_like"), ("AIC", "aic"), ("BIC", "bic"), ("DIC", "dic")):
            one, two = getattr(self.first, name), getattr(self.second, name)
            lines.append(f"{label:18}{one:>20.2f}{two:>20.2f}{one - two:>+16.2f}")
        if self.evidence is not None:
            sides = [
                f"{each.log_evidence:.2f} +/- {each.log_evidence_error or 0.0:.2f}"
                for each in (self.first, self.second)
            ]
            difference, error = self.evidence
            both = f"{difference:+.2f} +/- {error:.2f}"
            lines.append(f"{'ln evidence':18}{sides[0]:>20}{sides[1]:>20}{both:>20}")
        lines.append("")
        for text in (*self.verdicts(), *self.remarks):
            lines += textwrap.wrap(text, 80, break_on_hyphens=False)
        return "\n".join(lines)

    def verdicts(self) -> list[str]:
        """Say in words which of the two each number prefers."""
        said = [
            self._prefers(label, getattr(self.second, name) - getattr(self.first, name))
            for label, name in (("AIC", "aic"), ("BIC", "bic"), ("DIC", "dic"))
        ]
        if self.evidence is None:
            said.append("No evidence was computed for both: a nested sampler (dynesty) does.")
        else:
            difference, error = self.evidence
            if abs(difference) < 2.0 * error:
                said.append("The evidence does not tell them apart: the difference is within two of its errors.")
            else:
                said.append(self._prefers("The evidence", 2.0 * difference))
        return [text for text in said if text]

    def _prefers(self, what: str, lead: float) -> str:
        """``lead``: by how much the first is better, on the scale of twice a log-likelihood."""
        if not math.isfinite(lead):
            return ""
        if lead == 0.0:
            return f"{what} is the same of both."
        word = next(word for least, word in WORDS if abs(lead) >= least)
        return f"{what} {word} prefers {self.names[0] if lead >= 0.0 else self.names[1]}."


def compare(first: FitResult, second: FitResult, names: tuple[str, str] = ("first", "second")) -> Comparison:
    """Compare two fits to the same data.

    Parameters
    ----------
    first, second : FitResult
        Of one cube, with one mask, likelihood and noise; discs, free parameters, priors and samplers may differ.
    names : tuple of str
        What to call them, such as the folders that they were loaded from.

    Returns
    -------
    Comparison
        Print it.

    Raises
    ------
    InputTypeError
        If either is not a `FitResult`.
    InputError
        If data, mask, grid, likelihood, rms or error inflation differ: their numbers then mean different things.

    Examples
    --------
    ::

        print(compare(FitResult.load("thin"), FitResult.load("thick"), ("thin", "thick")))
    """
    for which, result in (("first", first), ("second", second)):
        if not isinstance(result, FitResult):
            raise InputTypeError(which, type(result).__name__, "a FitResult", "FitResult.load(folder) reads one.")
    _check_same(first, second, names)
    about = (
        f"Likelihood {first.likelihood}, rms {first.rms:.4g} {first.data.unit}, {first.n} {first.counted}: "
        f"{first.inflation}."
    )
    return Comparison(
        (names[0], names[1]), criteria(first), criteria(second), about, tuple(_remarks(first, second, names))
    )


def _check_same(first: FitResult, second: FitResult, names: tuple[str, str]) -> None:
    fix = "Fit both models to the same cube with the same mask and noise."
    if first.data.data.shape != second.data.data.shape or first.fingerprint != second.fingerprint:
        raise InputError(f"the data or mask of {names[1]}", "others", f"those of {names[0]}", fix)
    one, two = first.data.grid, second.data.grid
    for name in ("cell", "dv", "v_ref", "x_ref", "y_ref"):
        if not math.isclose(getattr(one, name), getattr(two, name), rel_tol=1e-9, abs_tol=1e-9):
            raise InputError(f"the grid's {name} of {names[1]}", getattr(two, name), f"{getattr(one, name)}", fix)
    if first.likelihood != second.likelihood:
        raise InputError(f"the likelihood of {names[1]}", repr(second.likelihood), repr(first.likelihood), fix)
    if not math.isclose(first.rms, second.rms, rel_tol=1e-9):
        raise InputError(f"the rms of {names[1]}", f"{second.rms:.6g}", f"{first.rms:.6g}, as {names[0]}", fix)
    if first.inflation != second.inflation or first.n != second.n:
        raise InputError(f"the noise of {names[1]}", str(second.inflation), f"{first.inflation}, as {names[0]}", fix)


def _remarks(first: FitResult, second: FitResult, names: tuple[str, str]) -> list[str]:
    said = [
        f"{name} did not converge: its numbers are not final."
        for name, result in dict(zip(names, (first, second), strict=True)).items()
        if result.converged is False or result.interrupted
    ]
    if first.inflation.mode != "none":
        said.append(
            f"Errors are {first.inflation.factor:.3g} times the noise: differences are smaller by the square of that "
            "than with the noise as it is."
        )
    if first.likelihood != "correlated":
        said.append("Noise that neighbouring pixels share is not accounted for by this likelihood.")
    return said
