import pickle

import numpy as np
import pytest

from kinms.disc import Cloudlets, Disc
from kinms.errors import InputError, InputTypeError, UnknownNameError
from kinms.flows import RadialFlow
from kinms.profiles import ArctanCurve, ExponentialDisc, FlatCurve, TableCurve


def disc(**changes):
    values = {"surface_brightness": ExponentialDisc(5.0), "rotation": FlatCurve(100.0), "inc": 60.0, "pa": 30.0}
    return Disc(**{**values, **changes})


def test_receding_end_of_the_major_axis_lies_at_pa():
    galaxy = disc(east=1.0, north=2.0)
    x, y, r = np.array([10.0]), np.array([0.0]), np.array([10.0])
    east, north = galaxy.project(x, y, 0.0, r)
    assert np.degrees(np.arctan2(east - 1.0, north - 2.0)) == pytest.approx(30.0)
    assert galaxy.line_of_sight(x, y, r) == pytest.approx(100.0 * np.sin(np.radians(60.0)))
    assert galaxy.line_of_sight(-x, y, r) == pytest.approx(-100.0 * np.sin(np.radians(60.0)))


def test_minor_axis_height_and_radial_flow_signs():
    galaxy = disc(pa=0.0, flow=RadialFlow(20.0))
    zero, one = np.zeros(1), np.ones(1)
    east, north = galaxy.project(zero, 10.0 * one, 0.0, 10.0 * one)
    assert (east[0], north[0]) == pytest.approx((5.0, 0.0)), "u_min points East for pa 0"
    east, _ = galaxy.project(zero, zero, 10.0 * one, zero)
    assert east[0] == pytest.approx(-10.0 * np.sin(np.radians(60.0)))
    assert galaxy.line_of_sight(zero, 10.0 * one, 10.0 * one)[0] == pytest.approx(20.0 * np.sin(np.radians(60.0)))


def test_warps_interpolate_and_hold_their_ends():
    galaxy = disc(radius=[5.0, 15.0], inc=[40.0, 60.0], pa=[10.0, 30.0], sigma_gas=[8.0, 4.0], lsf_sigma=3.0)
    np.testing.assert_allclose(galaxy.at_radius("inc", np.array([0.0, 10.0, 99.0])), [40.0, 50.0, 60.0])
    np.testing.assert_allclose(galaxy.line_sigma(np.array([0.0, 15.0])), [np.hypot(8, 3), 5.0])
    assert galaxy.is_warped
    assert not disc().is_warped


def test_own_kinematic_centre_and_position_angle():
    galaxy = disc(inc=0.001, pa=0.0, rotation=FlatCurve(100.0 / np.sin(np.radians(0.001))))
    shifted = galaxy.replace(east_kin=3.0, pa_kin=90.0)
    # Seen face-on: a point 5 arcsec East of the light's centre is 2 arcsec East of the kinematic one, along its axis.
    east, north = 5.0, 0.0
    x, y = np.array([north]), np.array([east])  # pa 0: major axis North, minor axis East
    assert shifted.line_of_sight(x, y, np.hypot(x, y))[0] == pytest.approx(100.0, rel=1e-6)
    assert galaxy.line_of_sight(x, y, np.hypot(x, y))[0] == pytest.approx(0.0, abs=1e-6)


def test_parameters_by_path():
    galaxy = disc(rotation=TableCurve([0.0, 5.0, 10.0], [0.0, 80.0, 100.0]))
    assert galaxy.value("rotation.velocity[1]") == 80.0
    new = galaxy.with_values({"rotation.velocity[1]": 85.0, "rotation.velocity[2]": 105.0, "inc": 50.0})
    np.testing.assert_array_equal(new.value("rotation.velocity"), [0.0, 85.0, 105.0])
    assert (new.inc, galaxy.inc) == (50.0, 60.0)
    assert galaxy.value("pa_kin") == galaxy.pa
    assert Disc.unit("rotation.velocity[1]") == "km/s"
    assert Disc.unit("surface_brightness.n") == ""
    with pytest.raises(UnknownNameError, match=r"rotation\.vmax.*allowed: .*rotation\.velocity"):
        galaxy.value("rotation.vmax")
    with pytest.raises(InputError, match=r"rotation\.velocity\[3\] is out of range"):
        galaxy.with_values({"rotation.velocity[3]": 1.0})
    with pytest.raises(InputError, match=r"inc\[0\]"):
        galaxy.value("inc[0]")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inc": np.nan}, "inc is nan; expected a finite number"),
        ({"inc": 200.0}, "inc is 200"),
        ({"sigma_gas": -1.0}, "sigma_gas is -1"),
        ({"scale_height": -1.0}, "scale_height is -1"),
        ({"flux": np.inf}, "flux"),
        ({"inc": [40.0, 50.0, 60.0]}, r"shape of inc is \(3,\).*radius"),
        ({"radius": [0.0, 5.0], "inc": [1.0, 2.0, 3.0]}, r"shape of inc.*shape \(2,\), one per radius.*Interpolate"),
        ({"radius": [5.0, 0.0], "inc": [1.0, 2.0]}, "radius is not increasing"),
        ({"radius": [0.0, 5.0], "sigma_gas": [1.0, -2.0]}, "sigma_gas is -2"),
        ({"rotation": None}, "rotation is None"),
        ({"surface_brightness": "exponential"}, "surface_brightness"),
        ({"v_sys": None}, "v_sys is None"),
        ({"flow": 3.0}, "flow"),
    ],
)
def test_bad_discs_are_refused_at_construction(change, message):
    with pytest.raises((InputError, InputTypeError), match=message):
        disc(**change)


def test_cloudlets():
    with pytest.raises(InputError, match=r"shape of positions is \(2, 2\); expected shape \(n, 3\)"):
        Cloudlets([[0.0, 1.0], [2.0, 3.0]])
    with pytest.raises(InputError, match="shape of flux"):
        Cloudlets([[0.0, 1.0, 2.0]], flux=[1.0, 2.0])
    with pytest.raises(InputError, match="positions is not finite"):
        Cloudlets([[0.0, np.nan, 2.0]])
    with pytest.raises(InputError, match="flux is zero in sum"):
        Cloudlets(np.zeros((2, 3)), flux=[1.0, -1.0])
    with pytest.raises(InputError, match="positions is empty"):
        Cloudlets(np.zeros((0, 3)))
    own = Disc(surface_brightness=Cloudlets(np.zeros((2, 3)), v_los=[1.0, 2.0]), inc=0.0, pa=0.0)
    assert own.rotation is None


def test_discs_are_values():
    galaxy = disc(radius=[0.0, 5.0], inc=[30.0, 40.0], rotation=ArctanCurve(100.0, 1.0))
    assert galaxy == eval(repr(galaxy)) == pickle.loads(pickle.dumps(galaxy))
    assert galaxy != galaxy.replace(inc=[30.0, 41.0])
    with pytest.raises(ValueError, match="read-only"):
        galaxy.inc[0] = 3.0
