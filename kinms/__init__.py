"""Kinematic models of galaxies in spectral-line datacubes: simulate, read, fit, plot."""

from importlib.metadata import PackageNotFoundError, version

from kinms.cube import Cube, Model, Sampling, SpectralAxis, Stats, simulate
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
from kinms.grid import Beam, CubeGrid
from kinms.profiles import (
    ArctanCurve,
    AsymmetricDrift,
    BisymmetricFlow,
    ExponentialDisc,
    FlatCurve,
    GaussianRing,
    KeplerianCurve,
    LopsidedFlow,
    RadialFlow,
    SersicDisc,
    TableCurve,
    TableProfile,
    TanhCurve,
)

try:
    __version__ = version("kinms")
except PackageNotFoundError:
    __version__ = "4.0.0.dev0"
