"""Discs, priors and grids go to JSON and come back equal to the last bit."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats

from kinms.disc import Cloudlets, Disc
from kinms.errors import InputError, InputTypeError, UnknownNameError
from kinms.flows import FLOW, BisymmetricFlow, LopsidedFlow, RadialFlow
from kinms.grid import Beam, CubeGrid
from kinms.priors import (
    PRIORS,
    IsotropicInclination,
    LogUniform,
    Normal,
    Prior,
    ScipyPrior,
    TablePrior,
    TruncatedNormal,
    Uniform,
)
from kinms.profiles import (
    ROTATION,
    SURFACE_BRIGHTNESS,
    ArctanCurve,
    AsymmetricDrift,
    BrightnessLaw,
    ExponentialDisc,
    FlatCurve,
    GaussianRing,
    KeplerianCurve,
    RotationLaw,
    SersicDisc,
    TableCurve,
    TableProfile,
    TanhCurve,
)
from kinms.record_json import RecordedPrior, decode, encode, finite

R, V = np.array([0.0, 1.0 / 3.0, 7.1]), np.array([0.0, 60.1, 1e-300])
LIGHT = [ExponentialDisc(1.0 / 3.0), GaussianRing(0.1, 3.2), SersicDisc(2.0, 1.7), TableProfile(R, [1.0, 0.5, 0.1])]
CURVES = [
    ArctanCurve(100.1, 0.7),
    TanhCurve(-80.0, 1.1),
    FlatCurve(220.0),
    KeplerianCurve(1.234567890123e9, 10.1),
    TableCurve(R, V),
]
MORE_CURVES = [
    AsymmetricDrift(ArctanCurve(100.0, 1.0), 8.5),
    AsymmetricDrift(TableCurve(R, V), TableCurve(R, [9.0, 8.0, 7.0])),
]
FLOWS = [
    RadialFlow(12.5),
    RadialFlow(TableCurve(R, V)),
    BisymmetricFlow(3.0, FlatCurve(-2.0), 33.3),
    LopsidedFlow(TableCurve(R, V), 4.0),
]
LAWS = [
    Uniform(0.1, 360.0, periodic=True),
    Normal(1.0 / 3.0, 2.0),
    TruncatedNormal(1.0, 2.0, low=0.0),
    LogUniform(1e-3, 7.0),
    IsotropicInclination(5.0, 85.0),
    TablePrior([0.0, 1.0, 2.5], [0.0, 1.0, 0.3]),
]


def through_json(value):
    return json.loads(json.dumps(encode(value), allow_nan=False))


def disc(**changes):
    fields = {"surface_brightness": LIGHT[0], "rotation": CURVES[0], "inc": 1.0 / 3.0, "pa": 359.9, "flux": -2.2}
    return Disc(**{**fields, **changes})


@pytest.mark.parametrize(
    ("base", "kinds", "made"),
    [
        (BrightnessLaw, SURFACE_BRIGHTNESS, LIGHT),
        (RotationLaw, ROTATION, CURVES),
        (Prior, PRIORS, LAWS),
    ],
)
def test_every_kind_that_a_file_knows_comes_back(base, kinds, made):
    assert {type(record) for record in made} == set(kinds.values())
    for record in made:
        again = decode(base, through_json(record))
        assert again == record
        assert repr(again) == repr(record)


def test_discs_come_back():
    assert {type(flow) for flow in FLOWS} == set(FLOW.values())
    made = [disc(surface_brightness=law) for law in LIGHT]
    made += [disc(rotation=law) for law in CURVES + MORE_CURVES]
    made += [disc(flow=flow) for flow in FLOWS]
    made.append(
        disc(
            radius=[0.0, 5.0, 9.0],
            inc=[10.0, 20.0, 1.0 / 3.0],
            pa_kin=[1.0, 2.0, 3.0],
            east_kin=0.1,
            sigma_gas=[1.0, 2.0, 3.0],
            lsf_sigma=0.3,
        )
    )
    rng = np.random.default_rng(1)
    made.append(disc(surface_brightness=Cloudlets(rng.normal(size=(7, 3)), flux=rng.random(7))))
    made.append(disc(surface_brightness=Cloudlets(rng.normal(size=(3, 3)), v_los=[1.0, 2.0, 3.0]), rotation=None))
    for record in made:
        again = decode(Disc, through_json(record))
        assert again == record
        assert type(again.rotation) is type(record.rotation)


def test_the_names_are_those_of_the_configuration():
    found = encode(disc(rotation=TableCurve([0.0, 2.0], [0.0, 50.0])))
    assert found["surface_brightness"] == {"kind": "exponential", "scale": 1.0 / 3.0}
    assert found["rotation"] == {"kind": "table", "radius": [0.0, 2.0], "velocity": [0.0, 50.0]}
    assert found["inc"] == 1.0 / 3.0


def test_grids_and_beams_come_back():
    grid = CubeGrid((8, 25, 24), 0.1, 1.0 / 3.0, v_ref=1234.5, ra=10.1, dec=-20.2, rest_frequency=1.15e11)
    assert decode(CubeGrid, through_json(grid)) == grid
    beam = Beam(3.1, 1.0 / 3.0, 12.3)
    assert decode(Beam, through_json(beam)) == beam


def test_infinity_and_nan():
    assert finite({"a": [np.nan, np.inf, -np.inf, np.float64(1.5)], "b": np.int64(3), "c": ("x", True, None)}) == {
        "a": [None, "inf", "-inf", 1.5],
        "b": 3,
        "c": ["x", True, None],
    }


@pytest.mark.parametrize("exact", [stats.gamma(3, scale=30), stats.norm(50.0, 5.0), stats.beta(2, 5)])
def test_prior_without_a_name_becomes_a_table(exact):
    prior = ScipyPrior(exact)
    again = decode(Prior, through_json(prior))
    assert isinstance(again, RecordedPrior)
    assert str(again) == str(prior)
    assert again.bounds == prior.bounds
    q = np.linspace(0.005, 0.995, 100)
    # Linear between steps of half a per cent of probability: a hundredth of the width in the tails.
    np.testing.assert_allclose(again.ppf(q), prior.ppf(q), atol=0.01 * exact.std())
    np.testing.assert_allclose(again.cdf(prior.ppf(q)), q, atol=1e-3)
    assert decode(Prior, through_json(again)) == again
    middle = prior.ppf(np.linspace(0.1, 0.9, 30))
    np.testing.assert_allclose(again.log_pdf(middle), prior.log_pdf(middle), atol=0.05)


def test_law_without_a_name_can_be_read_by_people_only():
    @dataclasses.dataclass(frozen=True, eq=False, repr=False)
    class Mine(RotationLaw):
        v: float

    found = through_json(disc(rotation=Mine(3.0)))
    assert found["rotation"] == {"kind": None, "text": "Mine(v=3.0)"}
    with pytest.raises(InputError, match=r"disc\.rotation is Mine\(v=3\.0\); expected one that a name stands for"):
        decode(Disc, found)


@pytest.mark.parametrize(
    ("cls", "value", "error", "message"),
    [
        (Disc, 3.0, InputTypeError, "disc is 3.0; expected an object, the fields of Disc"),
        (Prior, {"kind": "flat"}, UnknownNameError, "kind 'flat' is not known; allowed: .*uniform"),
        (Prior, {"kind": "uniform", "low": 0.0}, InputError, r"prior\.high is missing"),
        (Prior, {"kind": "uniform", "low": 0.0, "top": 1.0}, UnknownNameError, "field of prior 'top' is not known"),
        (Prior, {"kind": "uniform", "low": 2.0, "high": 1.0}, InputError, "high is 1"),
        (Beam, {"bmaj": {"kind": "x"}}, InputTypeError, r"beam\.bmaj is an object; expected a number"),
    ],
)
def test_what_is_no_record_is_named(cls, value, error, message):
    with pytest.raises(error, match=message):
        decode(cls, value)
