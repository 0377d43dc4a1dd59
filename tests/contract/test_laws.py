"""One suite that every law passes."""

import pickle

import numpy as np
import pytest
from scipy import integrate

from kinms import profiles
from kinms.errors import InputError, InputTypeError
from kinms.flows import BisymmetricFlow, LopsidedFlow, RadialFlow
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
