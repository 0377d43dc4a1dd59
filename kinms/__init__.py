"""Kinematic models of galaxies in spectral-line datacubes: simulate, read, fit, plot.

>>> import kinms as km
>>> light, rotation = km.ExponentialDisc(scale=3.0), km.ArctanCurve(v_max=100.0, r_turn=1.0)
>>> disc = km.Disc(surface_brightness=light, rotation=rotation, inc=40, pa=30)
>>> km.simulate(disc, km.CubeGrid((16, 48, 48), cell=1.0, dv=20.0), km.Beam(4.0)).data.shape
(16, 48, 48)
"""

import importlib
import sys
import types
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

# The class, not the module of that name: scripts say ``from kinms import radial_motion``.
from kinms.radial_motion import radial_motion

if TYPE_CHECKING:
    from kinms.comparison import compare
    from kinms.correlation import Correlation
    from kinms.cube import Cube, Model, Sampling, SpectralAxis, Stats, simulate
    from kinms.derivatives import jacobian
    from kinms.disc import Cloudlets, Disc
    from kinms.errors import (
        ConfigError,
        FileError,
        HeaderError,
        InputError,
        InputTypeError,
        KinmsError,
        KinmsWarning,
        OutputExistsError,
        SamplingError,
        UnknownNameError,
    )
    from kinms.fits_north_up import north_up
    from kinms.fits_read import read_cube
    from kinms.fits_survey import describe, read_obspars
    from kinms.fits_write import write_cube, write_map
    from kinms.fitting import FitResult, fit
    from kinms.flows import BisymmetricFlow, LopsidedFlow, RadialFlow
    from kinms.grid import Beam, CubeGrid
    from kinms.guessing import guess
    from kinms.legacy import KinMS, KinMS2
    from kinms.likelihood import CorrelatedNoise, InflatedNoise, Posterior, StudentT, WhiteNoise
    from kinms.lines import Line, find_line
    from kinms.noise import NoiseModel, autocorrelation, correlated_noise, detection_mask, estimate_rms
    from kinms.plots import (
        channel_figure,
        corner_figure,
        predictive_figure,
        prior_figure,
        rotation_figure,
        summary_figure,
        trace_figure,
    )
    from kinms.posterior import DiscPosterior
    from kinms.priors import (
        FunctionPrior,
        IsotropicInclination,
        LogUniform,
        Normal,
        ScipyPrior,
        TablePrior,
        TruncatedNormal,
        Uniform,
    )
    from kinms.profiles import (
        ArctanCurve,
        AsymmetricDrift,
        ExponentialDisc,
        FlatCurve,
        GaussianRing,
        KeplerianCurve,
        SersicDisc,
        TableCurve,
        TableProfile,
        TanhCurve,
    )
    from kinms.psf import ChannelBeams, DoubleGaussian, ImagePSF, Moffat
    from kinms.threads import set_threads

# Loaded when first asked for: `kinms --help` need not wait for compilers, FITS, samplers and plotting.
_LAZY = {
    "ArctanCurve": "profiles",
    "AsymmetricDrift": "profiles",
    "Beam": "grid",
    "BisymmetricFlow": "flows",
    "ChannelBeams": "psf",
    "Cloudlets": "disc",
    "ConfigError": "errors",
    "CorrelatedNoise": "likelihood",
    "Correlation": "correlation",
    "Cube": "cube",
    "CubeGrid": "grid",
    "Disc": "disc",
    "DiscPosterior": "posterior",
    "DoubleGaussian": "psf",
    "ExponentialDisc": "profiles",
    "FileError": "errors",
    "FitResult": "fitting",
    "FlatCurve": "profiles",
    "FunctionPrior": "priors",
    "GaussianRing": "profiles",
    "HeaderError": "errors",
    "ImagePSF": "psf",
    "InflatedNoise": "likelihood",
    "InputError": "errors",
    "InputTypeError": "errors",
    "IsotropicInclination": "priors",
    "KeplerianCurve": "profiles",
    "KinMS": "legacy",
    "KinMS2": "legacy",
    "KinmsError": "errors",
    "KinmsWarning": "errors",
    "Line": "lines",
    "LogUniform": "priors",
    "LopsidedFlow": "flows",
    "Model": "cube",
    "Moffat": "psf",
    "NoiseModel": "noise",
    "Normal": "priors",
    "OutputExistsError": "errors",
    "Posterior": "likelihood",
    "RadialFlow": "flows",
    "Sampling": "cube",
    "SamplingError": "errors",
    "ScipyPrior": "priors",
    "SersicDisc": "profiles",
    "SpectralAxis": "cube",
    "Stats": "cube",
    "StudentT": "likelihood",
    "TableCurve": "profiles",
    "TablePrior": "priors",
    "TableProfile": "profiles",
    "TanhCurve": "profiles",
    "TruncatedNormal": "priors",
    "Uniform": "priors",
    "UnknownNameError": "errors",
    "WhiteNoise": "likelihood",
    "autocorrelation": "noise",
    "channel_figure": "plots",
    "compare": "comparison",
    "corner_figure": "plots",
    "correlated_noise": "noise",
    "describe": "fits_survey",
    "detection_mask": "noise",
    "estimate_rms": "noise",
    "find_line": "lines",
    "fit": "fitting",
    "guess": "guessing",
    "jacobian": "derivatives",
    "north_up": "fits_north_up",
    "predictive_figure": "plots",
    "prior_figure": "plots",
    "read_cube": "fits_read",
    "read_obspars": "fits_survey",
    "rotation_figure": "plots",
    "set_threads": "threads",
    "simulate": "cube",
    "summary_figure": "plots",
    "trace_figure": "plots",
    "write_cube": "fits_write",
    "write_map": "fits_write",
}

__all__ = [
    "ArctanCurve",
    "AsymmetricDrift",
    "Beam",
    "BisymmetricFlow",
    "ChannelBeams",
    "Cloudlets",
    "ConfigError",
    "CorrelatedNoise",
    "Correlation",
    "Cube",
    "CubeGrid",
    "Disc",
    "DiscPosterior",
    "DoubleGaussian",
    "ExponentialDisc",
    "FileError",
    "FitResult",
    "FlatCurve",
    "FunctionPrior",
    "GaussianRing",
    "HeaderError",
    "ImagePSF",
    "InflatedNoise",
    "InputError",
    "InputTypeError",
    "IsotropicInclination",
    "KeplerianCurve",
    "KinMS",
    "KinMS2",
    "KinmsError",
    "KinmsWarning",
    "Line",
    "LogUniform",
    "LopsidedFlow",
    "Model",
    "Moffat",
    "NoiseModel",
    "Normal",
    "OutputExistsError",
    "Posterior",
    "RadialFlow",
    "Sampling",
    "SamplingError",
    "ScipyPrior",
    "SersicDisc",
    "SpectralAxis",
    "Stats",
    "StudentT",
    "TableCurve",
    "TablePrior",
    "TableProfile",
    "TanhCurve",
    "TruncatedNormal",
    "Uniform",
    "UnknownNameError",
    "WhiteNoise",
    "autocorrelation",
    "channel_figure",
    "compare",
    "corner_figure",
    "correlated_noise",
    "describe",
    "detection_mask",
    "estimate_rms",
    "find_line",
    "fit",
    "guess",
    "jacobian",
    "north_up",
    "predictive_figure",
    "prior_figure",
    "radial_motion",
    "read_cube",
    "read_obspars",
    "rotation_figure",
    "set_threads",
    "simulate",
    "summary_figure",
    "trace_figure",
    "write_cube",
    "write_map",
]

try:
    __version__ = version("kinms")
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = "4.0.0.dev0"


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'kinms' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"kinms.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(types.ModuleType):
    """Keeps the classes `KinMS` and `KinMS2` when scripts import the modules of these names."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("KinMS", "KinMS2") and isinstance(value, types.ModuleType):
            value = value.KinMS
        super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        # Functions of notebooks that use the package travel to workers by value, and it by its name.
        return importlib.import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Package
