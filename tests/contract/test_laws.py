"""One suite that every law passes."""

import pickle

import numpy as np
import pytest
from scipy import integrate

from kinms import profiles
from kinms.errors import InputError, InputTypeError
from kinms.flows import FLOW, HARMONICS, BisymmetricFlow, Flow, LopsidedFlow, RadialFlow
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

LIGHT = [
    ExponentialDisc(5.0),
    GaussianRing(20.0, 2.0),
    GaussianRing(0.0, 3.0),
    SersicDisc(5.0, 1.0),
    SersicDisc(5.0, 4.0),
    SersicDisc(2.0, 0.5),
    TableProfile([0.0, 1.0, 4.0, 9.0], [1.0, 3.0, 0.5, 0.2]),
    TableProfile([2.0, 5.0, 6.0], [1.0, 1.0, 0.0]),
]
ROTATION = [
    ArctanCurve(200.0, 2.0),
    TanhCurve(150.0, 3.0),
    FlatCurve(90.0),
    KeplerianCurve(1e9, 10.0),
    TableCurve([1.0, 4.0, 9.0], [50.0, 150.0, 140.0]),
    AsymmetricDrift(FlatCurve(100.0), 60.0),
]


@pytest.mark.parametrize("law", LIGHT + ROTATION, ids=lambda x: type(x).__name__)
def test_laws_are_values_and_keep_shapes(law):
    from kinms.profiles import AsymmetricDrift, FlatCurve  # noqa: F401  (names for eval)

    assert eval(repr(law)) == law == pickle.loads(pickle.dumps(law))
    r = np.linspace(0.0, 30.0, 12).reshape(3, 4)
    assert law(r).shape == r.shape
    assert np.all(np.isfinite(law(r)))
    assert float(law(3.0)) == law(np.array([3.0]))[0]


@pytest.mark.parametrize("law", LIGHT, ids=lambda x: type(x).__name__)
def test_total_is_the_integral(law):
    points = law.radius[1:-1] if isinstance(law, TableProfile) else None
    integral, _ = integrate.quad(
        lambda r: float(law(r)) * 2 * np.pi * r, 0, law.r_max, limit=2000, points=points, epsabs=0, epsrel=1e-10
    )
    # The tail beyond r_max holds a millionth by definition.
    assert law.total() == pytest.approx(integral, rel=2e-6)
    assert law.table().total() == pytest.approx(law.total(), rel=5e-5)


@pytest.mark.parametrize("law", LIGHT, ids=lambda x: type(x).__name__)
def test_within_is_the_light_inside(law):
    assert float(law.within(np.zeros(1))[0]) == pytest.approx(0.0, abs=1e-12 * law.total())
    # What lies beyond r_max is a millionth; the steps of a cusp's table are the rest.
    assert float(law.within(np.array([law.r_max]))[0]) == pytest.approx(law.total(), rel=1e-5)
    # Radii that hold a tenth to nine tenths of the light, none of which is a corner of a table.
    r = np.geomspace(1e-4 * law.r_max, law.r_max, 4000)
    part = law.within(r) / law.total()
    r = r[(part > 0.1) & (part < 0.9)][::20]
    corners = law.radius if isinstance(law, TableProfile) else np.zeros(0)
    r = r[[np.abs(x - corners).min(initial=np.inf) > 1e-2 for x in r]]
    assert r.size > 3
    # Its derivative is the light of a ring. A step of 1e-4 R makes an error of 1e-8 R^2 of the curvature.
    step = 1e-4 * r
    slope = (law.within(r + step) - law.within(r - step)) / (2.0 * step)
    np.testing.assert_allclose(slope, 2.0 * np.pi * r * law(r), rtol=1e-6)


def test_effective_radius_holds_half_of_the_light():
    law = SersicDisc(3.0, 4.0)
    half, _ = integrate.quad(lambda r: float(law(r)) * 2 * np.pi * r, 0, 3.0, epsrel=1e-10)
    assert half / law.total() == pytest.approx(0.5, rel=1e-8)


def test_tables_end_as_conventions_say():
    light = TableProfile([1.0, 2.0, 3.0], [1.0, 2.0, 1.0])
    np.testing.assert_array_equal(light([0.5, 1.0, 1.5, 3.0, 3.1]), [0.0, 1.0, 1.5, 1.0, 0.0])
    speed = TableCurve([1.0, 2.0], [10.0, 20.0])
    np.testing.assert_array_equal(speed([0.0, 1.5, 9.0]), [10.0, 15.0, 20.0])


def test_kepler_and_courteau_by_hand():
    # 1 Msun at 1 pc: v = sqrt(4.30091727e-3) km/s; 1 arcsec at 206264.806e-6 Mpc is 1 pc.
    assert KeplerianCurve(1.0, 0.206264806247)(1.0) == pytest.approx(0.0655814, rel=1e-5)
    assert ArctanCurve(200.0, 2.0)(2.0) == pytest.approx(100.0)
    assert AsymmetricDrift(FlatCurve(100.0), 60.0)(1.0) == pytest.approx(80.0)
    assert AsymmetricDrift(FlatCurve(-100.0), 60.0)(1.0) == pytest.approx(-80.0)
    assert AsymmetricDrift(FlatCurve(50.0), TableCurve([0, 1], [60.0, 60.0]))(1.0) == 0.0


def test_flows_follow_spekkens_and_sellwood():
    r, theta, inc = np.full(8, 3.0), np.arange(8) * np.pi / 4, 30.0
    np.testing.assert_allclose(RadialFlow(10.0).v_los(r, theta, inc), 5.0 * np.sin(theta), atol=1e-12)
    by_hand = -0.5 * (8 * np.cos(2 * (theta - 0.3)) * np.cos(theta) + 6 * np.sin(2 * (theta - 0.3)) * np.sin(theta))
    np.testing.assert_allclose(BisymmetricFlow(8.0, 6.0, np.degrees(0.3)).v_los(r, theta, inc), by_hand, atol=1e-12)
    by_hand = -0.5 * (8 * np.cos(theta - 0.3) * np.cos(theta) + 6 * np.sin(theta - 0.3) * np.sin(theta))
    np.testing.assert_allclose(LopsidedFlow(8.0, 6.0, np.degrees(0.3)).v_los(r, theta, inc), by_hand, atol=1e-12)
    table = TableCurve([0.0, 6.0], [0.0, 20.0])
    np.testing.assert_allclose(RadialFlow(table).v_los(r, theta, inc), 5.0 * np.sin(theta), atol=1e-12)


FLOWS = [
    RadialFlow(30.0),
    RadialFlow(TableCurve([1.0, 5.0], [10.0, -40.0])),
    BisymmetricFlow(30.0, 20.0, 25.0),
    BisymmetricFlow(TableCurve([0.0, 9.0], [5.0, 50.0]), -20.0, 140.0),
    LopsidedFlow(30.0, 20.0, 25.0),
    LopsidedFlow(-12.0, TableCurve([0.0, 9.0], [0.0, 33.0]), -70.0),
]


@pytest.mark.parametrize("flow", FLOWS, ids=lambda x: type(x).__name__)
def test_harmonics_are_the_flow(flow):
    r, theta = np.linspace(0.0, 12.0, 9), np.linspace(-np.pi, np.pi, 37)[:, None]
    series = flow.harmonics(r)
    assert series.shape == (HARMONICS, r.size)
    angles = np.arange(1, 4)[:, None, None] * theta
    waves = np.stack([np.ones((37, 1)), *(f(a) for a in angles for f in (np.cos, np.sin))])
    for inc in (0.0, 35.0, 90.0, 150.0):
        v_los = np.sin(np.radians(inc)) * np.einsum("hr,hta->tr", series, waves)
        np.testing.assert_allclose(v_los, np.broadcast_to(flow.v_los(r, theta, inc), v_los.shape), atol=1e-12)


def test_every_named_flow_has_harmonics_and_a_flow_of_ones_own_need_not():
    assert {type(flow) for flow in FLOWS} == set(FLOW.values())
    assert Flow().harmonics(np.zeros(3)) is None


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ExponentialDisc(0.0), "scale"),
        (lambda: ExponentialDisc(np.nan), "scale"),
        (lambda: GaussianRing(-1.0, 2.0), "radius"),
        (lambda: SersicDisc(5.0, 0.0), "n is"),
        (lambda: ArctanCurve(100.0, -2.0), "r_turn"),
        (lambda: TableProfile([0, 1], [0, 0]), "brightness is zero everywhere"),
        (lambda: TableProfile([0, 1, 2], [1, 1]), "shape of brightness"),
        (lambda: TableProfile([0, 2, 1], [1, 1, 1]), "radius is not increasing at index 2"),
        (lambda: TableProfile([-1, 2], [1, 1]), "radius is negative"),
        (lambda: TableProfile([0, 1], [1, np.inf]), "brightness is not finite at index 1"),
        (lambda: TableCurve([0, 1], [1, 2, 3]), "shape of velocity"),
        (lambda: TableCurve([0], [1]), "length of radius"),
        (lambda: KeplerianCurve(-1.0, 1.0), "mass"),
        (lambda: AsymmetricDrift(3.0, 1.0), "rotation"),
        (lambda: RadialFlow("fast"), "velocity"),
    ],
)
def test_bad_laws_name_the_argument(make, name):
    with pytest.raises((InputError, InputTypeError), match=name):
        make()


def test_every_named_law_is_exported():
    for table in (profiles.SURFACE_BRIGHTNESS, profiles.ROTATION):
        for law in table.values():
            assert law.__name__ in profiles.__all__
