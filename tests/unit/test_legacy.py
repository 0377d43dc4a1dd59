"""The façade: upstream's arguments, names, signs and normalisations."""

import pickle
import warnings

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.table import Table
from scipy.integrate import quad

from kinms.errors import InputError, InputTypeError, KinmsError, KinmsWarning, UnknownNameError
from kinms.legacy import KinMS, KinMS2
from kinms.radial_motion import radial_motion

RAD = np.arange(0.0, 18.5, 0.5)
LIGHT = np.exp(-RAD / 3.0)
SPEED = 400.0 / np.pi * np.arctan(RAD / 2.0)
SCOPE = (48.0, 48.0, 500.0, 1.0, 20.0, [4.0, 4.0, 0.0])
PROFILE = {"sbProf": LIGHT, "sbRad": RAD, "velRad": RAD, "velProf": SPEED}
MODEL = {**PROFILE, "inc": 50.0, "posAng": 30.0, "gasSigma": 12.0, "intFlux": 30.0}
BEAM_PIXELS = np.pi * 16.0 / (4.0 * np.log(2.0))
# The engine's rule of nodes without an estimate: 1e-3 of the cube (Sampling), which bounds sums and centroids too.
RULE = 1e-3


def model(scope=SCOPE, telescope=None, **changes):
    arguments = {**MODEL, **changes}
    return KinMS(*scope, **(telescope or {})).model_cube(**{k: v for k, v in arguments.items() if v is not ...})


def offsets(cube, dv=20.0):
    """Flux-weighted mean (west, north, velocity) from pixel n // 2 and channel nv // 2."""
    axes = [(np.arange(size) - size // 2) * step for size, step in zip(cube.shape, (1.0, 1.0, dv), strict=True)]
    return [
        float(np.tensordot(cube.sum(axis=others), axis, 1) / cube.sum())
        for axis, others in zip(axes, ((1, 2), (0, 2), (0, 1)), strict=True)
    ]


def relative_rms(cube, expected):
    return float(np.sqrt(np.mean((cube - expected) ** 2) / np.mean(expected**2)))


def voxels(cube):
    """{(x, y, channel) from the reference voxel: share of the cube} of a cube of few voxels."""
    share = cube / cube.sum()
    where = np.argwhere(np.abs(share) > 1e-6)
    middle = np.array(cube.shape) // 2
    return {tuple(int(i) for i in index - middle): pytest.approx(share[tuple(index)], abs=1e-12) for index in where}


# -- call styles ---------------------------------------------------------------------------------------------------


def test_both_styles_and_every_order_give_the_same_bytes():
    expected = model().tobytes()
    by_name = {name: MODEL[name] for name in MODEL if name not in ("inc", "posAng")}
    assert KinMS(*SCOPE, 50.0, 30.0, **by_name).model_cube().tobytes() == expected
    assert KinMS(*SCOPE, 50.0, posAng=30.0, **by_name).model_cube(toplot=False).tobytes() == expected
    assert KinMS(*SCOPE, **MODEL).model_cube(False).tobytes() == expected
    assert KinMS2(*SCOPE, 50.0, 30.0, **by_name).model_cube().tobytes() == expected
    assert KinMS(*SCOPE, 1e5, 7, True).model_cube(50.0, 30.0, **by_name).tobytes() == expected
    named = dict(zip(("xs", "ys", "vs", "cellSize", "dv", "beamSize"), SCOPE, strict=True))
    assert KinMS(**named).model_cube(posAng=30.0, inc=50.0, **by_name).tobytes() == expected


def test_positional_orders_are_upstreams(tmp_path):
    def flow(r, theta, inc):
        return 20.0 * np.sin(theta)

    disc = {
        "inc": 50.0, "posAng": 30.0, "gasSigma": 12.0, "diskThick": 1.0, "flux_clouds": None, "sbProf": LIGHT,
        "sbRad": RAD, "velRad": RAD, "velProf": SPEED, "inClouds": [], "vLOS_clouds": [], "massDist": [1e9, 10.0],
        "radial_motion_func": flow,
    }  # fmt: skip
    centre = {"phaseCent": [2.0, 1.0], "vOffset": 15.0, "vPosAng": 40.0, "vPhaseCent": [1.0, -1.0]}
    expected = model(**disc, **centre, intFlux=7.0, vSys=100.0, ra=10.0, dec=20.0, restFreq=1e11)
    two, three = tmp_path / "two", tmp_path / "three"
    second = KinMS(*SCOPE, *disc.values(), 10.0, 20.0, 1e5, 3, 7.0, 100.0, *centre.values(), 1e11, two, True,
                   False, False, False, False, False, "K")  # fmt: skip
    third = KinMS(*SCOPE, 1e5, 3, True, False, False, False, False, 0.0).model_cube(
        *disc.values(), 7.0, *centre.values(), False, False, three, 100.0, "K", 10.0, 20.0, 1e11, False, False
    )  # fmt: skip
    assert second.model_cube().tobytes() == expected.tobytes()
    assert third.tobytes() == expected.tobytes()
    for name in ("two", "three"):
        header = fits.getheader(tmp_path / f"{name}_simcube.fits")
        found = [header[key] for key in ("CRVAL1", "CRVAL2", "RESTFRQ", "BUNIT")]
        assert found == [10.0, 20.0, 1e11, "K"]


def test_the_tutorials_constructor_call():
    """Seven positional arguments, the last one inc; sizes as floats, the beam as an array."""
    rad = np.arange(0, 100, 0.3)
    obspars = {"xsize": 64.0, "ysize": 64.0, "vsize": 500.0, "cellsize": 1.0, "dv": 20.0}
    beam = np.array([4.0, 4.0, 0])
    cube = KinMS(
        obspars["xsize"], obspars["ysize"], obspars["vsize"], obspars["cellsize"], obspars["dv"], beam, 45.0,
        sbProf=np.exp((-1) * rad / 5.0), sbRad=rad, velRad=rad, velProf=(200.0 * 2 / np.pi) * np.arctan(rad / 2.0),
        intFlux=30.0, posAng=270.0, fixSeed=True, fileName=None,
    ).model_cube(toplot=False)  # fmt: skip
    assert cube.shape == (64, 64, 25)
    assert cube.dtype == np.float64
    # The field holds all but the few per mille of exp(-R / 5) beyond 32 pixels.
    assert cube.sum() * 20.0 / BEAM_PIXELS == pytest.approx(30.0, rel=0.01)
    velocity = np.tensordot(cube, np.arange(25) - 12, 1) / cube.sum(axis=2)
    assert velocity[44, 32] > 4.0 > -4.0 > velocity[20, 32], "the western half recedes at position angle 270"


@pytest.mark.parametrize("name", ["nSamps", "seed", "fixSeed", "verbose", "huge_beam"])
@pytest.mark.parametrize("at_once", [False, True])
def test_what_upstream_drops_in_model_cube_is_dropped_with_a_word(name, at_once):
    before, after = ({**MODEL}, {}) if at_once else ({}, {**MODEL})
    plain = KinMS(*SCOPE, **before).model_cube(**after)
    with pytest.warns(KinmsWarning, match=f"^{name} has no effect in model_cube"):
        again = KinMS(*SCOPE, **before).model_cube(**after, **{name: 3})
    np.testing.assert_array_equal(again, plain)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: KinMS(*SCOPE[:5]), InputTypeError, "^beamSize is missing"),
        (lambda: KinMS(*SCOPE, celSize=1), UnknownNameError, "celSize.*Did you mean 'cellSize'"),
        (lambda: KinMS(*SCOPE, xs=3), InputTypeError, "^xs is given twice"),
        (lambda: KinMS(*SCOPE, intFlux=3.0), InputTypeError, "^intFlux is given to the constructor without posAng"),
        (lambda: KinMS(*SCOPE, inc=30.0), InputTypeError, "^inc is given to the constructor without posAng"),
        (lambda: KinMS(*SCOPE, 45.0, **PROFILE), InputTypeError, "^posAng is missing"),
        (lambda: KinMS(*SCOPE, posAng=3.0, **PROFILE), InputTypeError, "^inc is missing"),
        (lambda: KinMS(*SCOPE, 45.0, 30.0, toplot=True, **PROFILE), UnknownNameError, "'toplot'"),
        (lambda: KinMS(*SCOPE, 45.0, 30.0, inc=45.0, **PROFILE), InputTypeError, "^inc is given twice"),
        (lambda: KinMS(*SCOPE, **MODEL).model_cube(posAng=3.0), InputTypeError, "^posAng is given to model_cube"),
        (lambda: KinMS(*SCOPE, **MODEL).model_cube(45.0, 30.0), InputTypeError, "^inc is given to model_cube"),
        (lambda: KinMS(*SCOPE, **MODEL).model_cube(45.0), InputTypeError, "^toplot is 45.0"),
        (lambda: KinMS(*SCOPE).model_cube(), InputTypeError, "^inc is missing"),
        (lambda: KinMS(*SCOPE).model_cube(45.0, **PROFILE), InputTypeError, "^posAng is missing"),
        (lambda: KinMS(*SCOPE).model_cube(45.0, inc=4.0), InputTypeError, "^inc is given twice"),
        (lambda: KinMS(*SCOPE).model_cube(dv=3, **MODEL), InputTypeError, "^dv is given to model_cube"),
        (lambda: KinMS(*SCOPE, **MODEL).model_cube(beamSize=3), InputTypeError, "^beamSize is given to model_cube"),
        (lambda: KinMS(*SCOPE).model_cube(gasSgma=3, **MODEL), UnknownNameError, "gasSgma.*Did you mean 'gasSigma'"),
        (lambda: KinMS(*SCOPE).model_cube(45.0, posang=3, **PROFILE), UnknownNameError, "Did you mean 'posAng'"),
        (lambda: KinMS(*SCOPE).model_cube(savname="x", **MODEL), UnknownNameError, "Did you mean 'savename'"),
        (lambda: KinMS(*SCOPE).model_cube(*range(29)), InputTypeError, "^the number of arguments of model_cube is 29"),
        (lambda: KinMS(*SCOPE, skySampler=True, posAng=3.0), InputTypeError, "^inc is missing"),
        (lambda: KinMS2(*SCOPE), InputTypeError, "^inc is missing"),
        (lambda: KinMS2(*SCOPE, 45.0, nSamps=3, **PROFILE), InputTypeError, "^posAng is missing"),
        (lambda: KinMS2(*SCOPE, **MODEL, multiple_line_lam=[1.0]), UnknownNameError, "mean 'multiple_line_lams'"),
    ],
)  # fmt: skip
def test_calls_that_cannot_be_meant(call, error, message):
    with pytest.raises(error, match=message):
        call()


# -- checks carry upstream's names ---------------------------------------------------------------------------------

N = RAD.size
CLOUDS = np.array([[5.0, -3.0, 0.0], [-4.0, 2.0, 1.0]])
GIVEN = {"sbProf": ..., "sbRad": ..., "inClouds": CLOUDS}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inc": np.nan}, "^inc is not finite"),
        ({"inc": 181.0}, "^inc is 181; expected >= -180 and <= 180"),
        ({"inc": [1.0, 2.0, 3.0]}, rf"^the shape of inc is \(3,\); expected a scalar or shape \({N},\), one per vel"),
        ({"posAng": np.ones(4), "velRad": ...}, r"^the shape of posAng is \(4,\).*one per sbRad"),
        ({"posAng": "north"}, "^posAng is"),
        ({"gasSigma": -1.0}, "^gasSigma is -1; expected >= 0"),
        ({"gasSigma": [[1.0], [2.0, 3.0]]}, "^gasSigma is list"),
        ({"diskThick": np.ones(3)}, r"^the shape of diskThick is \(3,\).*one per sbRad"),
        ({"diskThick": -1.0}, "^diskThick is -1"),
        ({"vPosAng": np.ones(3)}, r"^the shape of vPosAng is \(3,\)"),
        ({"sbProf": LIGHT[:-1]}, r"^the shape of sbProf is .*, as sbRad\. Give one sbProf per sbRad"),
        ({"sbProf": 0.0 * RAD}, "^sbProf is zero everywhere"),
        ({"sbProf": np.where(RAD > 3, np.nan, 1.0)}, "^sbProf is not finite at index 7"),
        ({"sbProf": ...}, "^sbProf is missing"),
        ({"sbRad": ...}, "^sbRad is missing"),
        ({"sbRad": RAD[::-1]}, "^sbRad is not increasing at index 1"),
        ({"sbRad": RAD - 1.0}, "^sbRad is negative"),
        ({"velRad": RAD - 1.0}, "^velRad is negative"),
        ({"velProf": SPEED[1:]}, rf"^the shape of velProf is .* shape \({N},\), one velocity per velRad"),
        ({"velProf": ...}, "^velProf is missing"),
        ({"velRad": [3.0]}, f"^the length of velRad is 1; expected {N}, as that of velProf"),
        ({**GIVEN, "velRad": ...}, f"^the length of velRad is 0; expected {N}, as that of velProf"),
        ({"massDist": [1e9]}, r"^the shape of massDist is \(1,\)"),
        ({"massDist": [-1.0, 3.0]}, "^massDist is -1"),
        ({"massDist": [1e9, 0.0]}, "^massDist is"),
        ({"velRad": ..., "velProf": 100.0, "massDist": [1e9, 3.0], **GIVEN}, "^velRad is missing"),
        ({"radial_motion_func": 3.0}, "^radial_motion_func is 3.0"),
        ({"radial_motion_func": lambda r, theta, inc: np.nan * r}, "result of radial_motion_func is not finite"),
        ({"radial_motion_func": lambda r, theta, inc: np.ones(3)}, r"radial_motion_func is an array of shape \(3,\)"),
        ({"intFlux": np.inf}, "^intFlux is inf"),
        ({"intFlux": 1e300}, r"^intFlux is 1e\+300; expected .* <= 1e\+30"),
        ({"phaseCent": [1.0, 2.0, 3.0]}, r"^the shape of phaseCent is \(3,\)"),
        ({"vPhaseCent": 3.0}, r"^the shape of vPhaseCent is \(\)"),
        ({"vOffset": "fast"}, "^vOffset is 'fast'"),
        ({"vSys": [1.0, 2.0]}, r"^the shape of vSys is \(2,\)"),
        ({"flux_clouds": [1.0]}, "^flux_clouds is given without inClouds"),
        ({"vLOS_clouds": [1.0]}, "^vLOS_clouds is given without inClouds"),
        ({**GIVEN, "flux_clouds": [1.0]}, r"^the shape of flux_clouds is \(1,\); expected shape \(2,\)"),
        ({**GIVEN, "flux_clouds": [1.0, -1.0]}, "^flux_clouds is zero in sum"),
        ({**GIVEN, "vLOS_clouds": [1.0]}, r"^the shape of vLOS_clouds is \(1,\)"),
        ({**GIVEN, "inClouds": [1.0, 2.0, 3.0]}, r"^the shape of inClouds is \(3,\).*One cloud is"),
        ({**GIVEN, "inClouds": np.ones((3, 5))}, r"^the shape of inClouds is \(3, 5\).*Transpose it"),
        ({**GIVEN, "inClouds": np.full((2, 3), np.nan)}, "^inClouds is not finite"),
        ({"velProf": np.ma.masked_less(SPEED, 30.0)}, "^velProf is masked in 1 of"),
        ({"velRad": RAD * units.kpc}, "^velRad is in kpc; expected a number, or a quantity in arcsec"),
        ({"returnClouds": "yes"}, "^returnClouds is 'yes'"),
        ({"asymmetric_drift": 3}, "^asymmetric_drift is 3"),
        ({"fileName": True}, "^fileName is True"),
        ({"bunit": 3}, "^bunit is 3"),
        ({"ra": 10.0}, "^dec is missing"),
        ({"ra": 10.0, "dec": 91.0}, "^dec is 91"),
        ({"restFreq": -1.0}, "^restFreq is -1"),
        ({"multiple_line_relflux": [1.0, 2.0]}, r"^the shape of multiple_line_relflux is \(2,\)"),
    ],
)  # fmt: skip
def test_bad_discs_are_named_as_upstream_names_them(arguments, message):
    with pytest.raises(KinmsError, match=message) as three:
        model(**arguments)
    with pytest.raises(KinmsError) as two:
        KinMS(*SCOPE, **{k: v for k, v in {**MODEL, **arguments}.items() if v is not ...}).model_cube()
    assert str(two.value) == str(three.value)
    assert "radius is" not in str(two.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"xs": 0.0}, "^xs is 0; expected > 0"),
        ({"xs": 0.3}, "^xs is 0.3; expected at least one cellSize"),
        ({"vs": 1e300}, "^vs is 1e\\+300; expected at most 2147483647 times dv"),
        ({"cellSize": 1e-320}, "^xs is .*; expected at most 2147483647 times cellSize"),
        ({"beamSize": 1e300}, "^beamSize is 1e\\+300; expected axes <= 648000 arcsec"),
        ({"beamSize": np.datetime64("2020-01-01")}, "^beamSize is a date or a time"),
        ({"vs": 5.0}, r"^vs is 5; expected at least one dv \(20\)"),
        ({"cellSize": -1.0}, "^cellSize is -1"),
        ({"dv": np.nan}, "^dv is not finite|^dv is nan"),
        ({"beamSize": 0.0}, "^beamSize is 0"),
        ({"beamSize": [4.0, 3.0, 0.0, 1.0]}, r"^the shape of beamSize is \(4,\)"),
        ({"beamSize": None}, "^beamSize is None"),
        ({"beamSize": []}, r"^the shape of beamSize is \(0,\)"),
        ({"beamSize": [4.0, 3.0, 20.0] * units.arcsec}, "^beamSize is in arcsec; expected plain numbers"),
        ({"dv": 20.0 * units.arcsec}, "^dv is in arcsec; expected a number, or a quantity in km / s"),
        ({"nSamps": 0}, "^nSamps is 0"),
        ({"nSamps": "many"}, "^nSamps is 'many'"),
        ({"seed": -1}, "^seed is -1"),
        ({"seed": 1.5}, "^seed is 1.5"),
        ({"fixSeed": 5}, "^fixSeed is 5"),
        ({"cleanOut": "no"}, "^cleanOut is 'no'"),
        ({"huge_beam": None}, "^huge_beam is None"),
        ({"verbose": 2}, "^verbose is 2"),
        ({"spectral_resolution": -1.0}, "^spectral_resolution is -1"),
        ({"multiple_line_lams": [1.0, -1.0]}, "^multiple_line_lams is -1"),
    ],
)
def test_bad_telescopes_are_named_as_upstream_names_them(arguments, message):
    named = dict(zip(("xs", "ys", "vs", "cellSize", "dv", "beamSize"), SCOPE, strict=True))
    with pytest.raises(KinmsError, match=message):
        KinMS(**{**named, **arguments})


def test_multiple_line_fluxes_must_not_cancel():
    with pytest.raises(InputError, match="multiple_line_relflux is zero in sum"):
        model(telescope={"multiple_line_lams": [1.0, 1.0001]}, multiple_line_relflux=[1.0, -1.0])


def test_what_is_lost_warns():
    with pytest.warns(KinmsWarning, match="wholly outside"):
        assert not model(phaseCent=[500.0, 0.0]).any()


# -- orientation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.0, 90.0, 200.0, 283.0])
def test_the_receding_half_lies_at_posang(angle):
    cube = model(posAng=angle)
    x, y, v = np.meshgrid(*(np.arange(n) - n // 2 for n in cube.shape), indexing="ij", sparse=True)
    east, north = -(cube * x * v).sum(), (cube * y * v).sum()
    assert (np.degrees(np.arctan2(east, north)) - angle + 180.0) % 360.0 - 180.0 == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("inc", [-35.0, 120.0])
def test_inclinations_outside_a_quadrant(inc):
    """inc = -i is i turned by half a turn; beyond 90 sin(i) stays and cos(i) changes sign: the disc is mirrored."""
    twin = {-35.0: {"inc": 35.0, "posAng": 210.0}, 120.0: {"inc": 60.0}}[inc]
    np.testing.assert_allclose(model(inc=inc), model(**twin), atol=1e-12)


@pytest.mark.parametrize("middle", [0.0, 1.0, 0.3])
def test_a_warp_through_face_on_changes_sides(middle):
    """Given clouds, one by one: inside inc < 0, outside inc > 0, each as in a disc of that inclination alone."""
    inc = np.interp(RAD, [4.0, 8.0, 8.0 + middle, 12.0], [-30.0, 0.0, 0.0, 40.0])
    flow = radial_motion.pure_radial(RAD, 30.0 + RAD)
    clouds = [[2.0, 1.0, 3.0], [-9.0, 9.0, 3.0], [0.0, 8.0, 0.0]]
    both = {**GIVEN, "inClouds": clouds, "gasSigma": 0.0, "radial_motion_func": flow, "returnClouds": True}
    _, positions, velocities = model(**both, inc=inc)
    for i, one in enumerate((-30.0, 40.0, 0.0)):
        _, alone, v = model(**both, inc=one)
        np.testing.assert_allclose(positions[i], alone[i], atol=1e-6)
        assert velocities[i] == pytest.approx(v[i], abs=1e-6)


@pytest.mark.parametrize(("xs", "ys", "vs"), [(48.0, 48.0, 500.0), (47.0, 49.0, 480.0), (48.4, 46.6, 495.0)])
def test_sizes_are_rounded_and_the_centre_is_pixel_n_half(xs, ys, vs):
    cube = model(scope=(xs, ys, vs, *SCOPE[3:]))
    assert cube.shape == (round(xs), round(ys), round(vs / 20.0))
    nx, ny, nv = cube.shape
    middle = cube[nx // 2 - 15 : nx // 2 + 16, ny // 2 - 15 : ny // 2 + 16, nv // 2 - 8 : nv // 2 + 9]
    np.testing.assert_allclose(middle, middle[::-1, ::-1, ::-1], atol=RULE * middle.max())


def test_centres_count_towards_west_and_north_and_velocities_from_the_middle_channel():
    assert offsets(model()) == pytest.approx([0.0, 0.0, 0.0], abs=0.01)
    west, north, velocity = offsets(model(phaseCent=[3.0, -2.0], vOffset=25.0, vSys=1500.0))
    assert (west, north) == pytest.approx((3.0, -2.0), abs=0.01)
    assert velocity == pytest.approx(25.0, abs=0.1)


def test_a_kinematic_centre_shifts_velocities_west_and_north_on_the_sky():
    """Of a solid-body field v = g d, d towards the receding side, a centre moved by p changes velocities by -g p.d."""
    solid = {"velRad": [0.0, 40.0], "velProf": [0.0, 400.0], "inc": 30.0}
    for angle, shift, expected in (
        (90.0, [2.0, 0.0], 10.0), (90.0, [0.0, 2.0], 0.0), (0.0, [0.0, 2.0], -10.0), (0.0, [2.0, 0.0], 0.0)
    ):  # fmt: skip
        west, north, velocity = offsets(model(**solid, posAng=angle, vPhaseCent=shift))
        assert (west, north) == pytest.approx((0.0, 0.0), abs=0.01)
        assert velocity == pytest.approx(expected, abs=0.1)


def test_a_kinematic_position_angle_turns_velocities_only():
    face_on = {"inc": 20.0, "posAng": 0.0}
    cube, turned = model(**face_on), model(**face_on, vPosAng=90.0)
    np.testing.assert_allclose(turned.sum(axis=2), cube.sum(axis=2), atol=RULE * cube.sum(axis=2).max())
    x, v = np.arange(48) - 24.0, np.arange(25) - 12.0
    towards_east, towards_north = np.einsum("xyv,x,v->", turned, -x, v), np.einsum("xyv,y,v->", turned, x, v)
    assert towards_east > 10.0 * abs(towards_north)
    np.testing.assert_allclose(model(**face_on, vPosAng=0.0), cube, atol=1e-9)


# -- flux ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("telescope", "arguments", "total"),
    [
        ({}, {}, 30.0 * BEAM_PIXELS / 20.0),
        ({"cleanOut": True}, {}, 30.0 / 20.0),
        ({}, {"intFlux": None}, 1.0),
        ({}, {"intFlux": 0}, 1.0),
        ({"cleanOut": True}, {"intFlux": ...}, 1.0),
        ({}, {"intFlux": -4.0}, -4.0 * BEAM_PIXELS / 20.0),
        ({}, {**GIVEN, "flux_clouds": [2.0, 5.0], "intFlux": ...}, 7.0),
        ({"cleanOut": True}, {**GIVEN, "flux_clouds": [2.0, 5.0], "intFlux": ...}, 7.0),
        ({}, {**GIVEN, "flux_clouds": [2.0, 5.0]}, 30.0 * BEAM_PIXELS / 20.0),
        ({}, {**GIVEN, "intFlux": ...}, 1.0),
        ({}, {"diskThick": 1.0}, 30.0 * BEAM_PIXELS / 20.0),
    ],
)
def test_what_the_cube_sums_to(telescope, arguments, total):
    assert model(telescope=telescope, **arguments).sum() == pytest.approx(total, rel=RULE)


def test_beams_of_one_two_and_three_numbers():
    beam = {size: model(scope=(*SCOPE[:5], beam)) for size, beam in
            {"one": 6.0, "array": np.array([6.0]), "two": [6.0, 6.0], "three": (6, 6, 0)}.items()}  # fmt: skip
    assert len({cube.tobytes() for cube in beam.values()}) == 1
    swapped = model(scope=(*SCOPE[:5], [3.0, 6.0, 200.0]))
    assert swapped.tobytes() == model(scope=(*SCOPE[:5], [6.0, 3.0, 20.0])).tobytes()


def test_the_beam_turns_from_north_through_east():
    point = {**GIVEN, "inClouds": [[0.0, 0.0, 0.0]], "vLOS_clouds": [0.0]}
    image = model(scope=(*SCOPE[:5], [8.0, 3.0, 45.0]), **point).sum(axis=2)
    assert image[24 - 3, 24 + 3] > 5.0 * image[24 + 3, 24 + 3], "East is at low x"


# -- clouds --------------------------------------------------------------------------------------------------------


def test_clouds_face_on_and_projected_land_in_known_voxels():
    """posAng 90: x stays West, y is foreshortened; the +x half approaches: -200 km/s x sin 30 = 5 channels."""
    flat = {"velProf": 200.0, "velRad": ..., "gasSigma": 0.0, "sbProf": ..., "sbRad": ..., "intFlux": ...}
    clean = {"cleanOut": True}
    one = model(telescope=clean, **flat | {"inClouds": [[10.0, 0.0, 0.0]], "inc": 30.0, "posAng": 90.0})
    assert voxels(one) == {(10, 0, -5): 1.0}
    one = model(telescope=clean, **flat | {"inClouds": [[10.0, 0.0, 0.0]], "inc": 30.0, "posAng": 0.0})
    assert voxels(one) == {(0, -10, -5): 1.0}
    one = model(telescope=clean, **flat | {"inClouds": [[0.0, 10.0, 0.0]], "inc": 60.0, "posAng": 90.0})
    assert voxels(one) == {(0, 5, 0): 1.0}
    one = model(telescope=clean, **flat | {"inClouds": [[0.0, 0.0, 10.0]], "inc": 30.0, "posAng": 90.0})
    assert voxels(one) == {(0, 5, 0): 1.0}
    one = model(telescope=clean, **flat | {"inClouds": [[10.0, 0.0, 0.0]], "inc": -30.0, "posAng": 90.0})
    assert voxels(one) == {(10, 0, 5): 1.0}


def test_clouds_with_velocities_are_taken_as_they_are():
    given = {
        "inClouds": [[5.0, -3.0, 9.0], [-8.0, 2.0, 0.0]], "vLOS_clouds": [40.0, -60.0], "flux_clouds": [1.0, 3.0],
        "sbProf": ..., "sbRad": ..., "velRad": ..., "velProf": ..., "intFlux": ...,
    }  # fmt: skip
    cube = model(telescope={"cleanOut": True}, **given)
    assert voxels(cube) == {(5, -3, 2): 0.25, (-8, 2, -3): 0.75}
    ignored = model(
        telescope={"cleanOut": True, "spectral_resolution": 30.0}, **given, inc=..., posAng=..., gasSigma=50.0
    )
    assert ignored.tobytes() == cube.tobytes()
    shifted = model(telescope={"cleanOut": True}, **given, phaseCent=[1.0, 2.0], vOffset=20.0, vSys=300.0)
    assert voxels(shifted) == {(6, -1, 3): 0.25, (-7, 4, -2): 0.75}


def test_absorbing_clouds_keep_their_sign():
    given = {**GIVEN, "vLOS_clouds": [0.0, 0.0], "flux_clouds": [3.0, -1.0], "intFlux": ...}
    cube = model(telescope={"cleanOut": True}, **given)
    assert cube.sum() == pytest.approx(2.0)
    assert cube.min() == pytest.approx(-1.0)


def clouds_of(telescope=None, **arguments):
    cube, positions, velocities = model(telescope={"nSamps": 2000, **(telescope or {})}, **arguments, returnClouds=True)
    assert cube.tobytes() == model(telescope=telescope, **arguments).tobytes()
    return positions, velocities


def upstream_plane(positions, inc, angle):
    """Radius and azimuth (from the approaching half) of thin-disc clouds on the sky: upstream's projection undone."""
    x, y, _ = positions.T
    s, c = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    across = (c * x + s * y) / np.cos(np.radians(inc))
    along = s * x - c * y
    return np.hypot(along, across), np.arctan2(across, along)


def test_returned_clouds_follow_the_model():
    positions, velocities = clouds_of(gasSigma=0.0, phaseCent=[3.0, 1.0], vOffset=40.0)
    assert positions.shape == (2000, 3)
    assert velocities.shape == (2000,)
    r, theta = upstream_plane(positions, 50.0, 30.0)
    expected = -np.interp(r, RAD, SPEED) * np.cos(theta) * np.sin(np.radians(50.0))
    np.testing.assert_allclose(velocities, expected, atol=1e-8)
    # Depth of a thin disc: sin(i) times the distance across.
    np.testing.assert_allclose(positions[:, 2], -r * np.sin(theta) * np.sin(np.radians(50.0)), atol=1e-8)
    # Radii follow the cumulative light (Kolmogorov-Smirnov distance of 2000 draws below 1.95 / sqrt(n): 1 in 1000).
    fine = np.linspace(0.0, 18.0, 20001)
    light = np.cumsum(np.interp(fine, RAD, LIGHT) * fine)
    distance = np.abs(np.interp(np.sort(r), fine, light / light[-1]) - (np.arange(2000) + 0.5) / 2000).max()
    assert distance < 1.95 / np.sqrt(2000)


def test_returned_clouds_given_back_make_the_same_cube():
    cube, positions, velocities = model(telescope={"nSamps": 50000}, diskThick=1.0, returnClouds=True)
    again = model(**GIVEN | {"inClouds": positions}, vLOS_clouds=velocities)
    difference = np.sqrt(np.mean((again - cube) ** 2) / np.mean(cube**2))
    assert difference < 0.06, "shot noise of 5e4 clouds: upstream's 1.2e-2 at 5e5 times sqrt(10), with room for half"
    assert offsets(again) == pytest.approx(offsets(cube), abs=0.6)


def test_seeds_drive_returned_clouds_alone():
    first, same, other = (clouds_of({"seed": seed}) for seed in (1, 1, 2))
    assert first[0].tobytes() == same[0].tobytes()
    assert first[1].tobytes() == same[1].tobytes()
    assert first[0].tobytes() != other[0].tobytes()
    free = clouds_of({"fixSeed": False})
    assert free[0].tobytes() != clouds_of({"fixSeed": False})[0].tobytes()
    second = [KinMS(*SCOPE, nSamps=10, returnClouds=True, **MODEL).model_cube()[1].tobytes() for _ in range(2)]
    assert second[0] != second[1], "fixSeed is False by default in the KinMS 2 style"
    reference = model().tobytes()
    for telescope in ({"seed": [1, 2, 3, 4]}, {"fixSeed": False}, {"nSamps": 3}, {"huge_beam": True}):
        assert model(telescope=telescope).tobytes() == reference


def test_given_clouds_come_back_projected():
    positions, velocities = clouds_of(**GIVEN, velRad=..., velProf=100.0, gasSigma=0.0, inc=60.0, posAng=90.0)
    s, c = np.sin(np.radians(60.0)), 0.5
    expected = [[5.0, -3.0 * c, 3.0 * s], [-4.0, 2.0 * c + s, -2.0 * s + c]]
    np.testing.assert_allclose(positions, expected, atol=1e-12)
    np.testing.assert_allclose(velocities, [-100.0 * s * 5 / np.hypot(5, 3), 100.0 * s * 4 / np.hypot(4, 2)])
    positions, velocities = clouds_of(**GIVEN, vLOS_clouds=[3.0, 4.0])
    np.testing.assert_array_equal(positions, CLOUDS)
    np.testing.assert_array_equal(velocities, [3.0, 4.0])


# -- rotation, mass, drift, flows ----------------------------------------------------------------------------------


def circular(inc=50.0, angle=30.0, **arguments):
    """Radius and circular velocity of returned clouds."""
    positions, velocities = clouds_of(gasSigma=0.0, **arguments)
    r, theta = upstream_plane(positions, inc, angle)
    keep = np.abs(np.cos(theta)) > 0.1
    return r[keep], (-velocities / np.cos(theta) / np.sin(np.radians(inc)))[keep]


def test_rotation_defaults():
    r, v = circular(velRad=...)
    np.testing.assert_allclose(v, np.interp(r, RAD, SPEED), atol=1e-6)
    for flat in ({"velProf": 150.0}, {"velProf": [150.0], "velRad": [3.0]}, {"velProf": 150.0, "velRad": ...}):
        np.testing.assert_allclose(circular(**flat)[1], 150.0, atol=1e-6)


def test_gas_mass_adds_in_quadrature_with_the_exact_enclosed_light():
    """A uniform disc of radius 10: M(<R) = M (R / 10)^2, also inside of a table's only segment."""
    uniform = {"sbRad": [0.0, 10.0], "sbProf": [1.0, 1.0], "massDist": [2e9, 10.0]}
    r, v = circular(**uniform)
    parsec = np.maximum(RAD, 1e-9) * np.pi / 180.0 / 3600.0 * 10.0e6
    gas = 4.30091727e-3 * 2e9 * np.minimum(RAD / 10.0, 1.0) ** 2 / parsec
    np.testing.assert_allclose(v, np.interp(r, RAD, np.sqrt(SPEED**2 + gas)), atol=1e-6)
    r, v = circular(**uniform, velProf=-SPEED)
    np.testing.assert_allclose(v, np.interp(r, RAD, -np.sqrt(SPEED**2 + gas)), atol=1e-6)


@pytest.mark.parametrize("height", [0.3, 3.0, np.array([0.5, 4.0])])
def test_gas_mass_of_a_thick_disc_is_that_within_a_sphere(height):
    """Of the gas at the radius r, 1 - exp(-(R^2 - r^2)^(1/2) / h) is within R."""
    uniform = {"sbRad": [0.0, 10.0], "sbProf": [1.0, 1.0], "massDist": [2e9, 10.0], "velProf": 0.0 * RAD}

    def density(r, radius):
        h = np.interp(r, [0.0, 10.0], np.broadcast_to(height, 2))
        return -2.0 * r / 100.0 * np.expm1(-np.sqrt(radius**2 - r**2) / h)

    enclosed = [quad(density, 0.0, min(radius, 10.0), args=(radius,), limit=200)[0] for radius in RAD[1:]]
    expected = np.sqrt(4.30091727e-3 * 2e9 * np.array(enclosed) / (RAD[1:] * np.pi / 180.0 / 3600.0 * 10.0e6))
    # Edge-on with the major axis northwards, the disc is seen in its y and its depth.
    edge_on = {"inc": 90.0, "posAng": 0.0, "gasSigma": 0.0, "diskThick": height}
    positions, velocities = clouds_of(**uniform, **edge_on)
    r = np.hypot(positions[:, 1], positions[:, 2])
    keep = np.abs(positions[:, 1]) > 0.1 * r
    speed = velocities[keep] * r[keep] / positions[keep, 1]
    # Half of the few thousandths that eight nodes to a segment leave of the mass.
    np.testing.assert_allclose(speed, np.interp(r[keep], RAD, [0.0, *expected]), rtol=2e-3)


def test_gas_mass_of_given_clouds_is_counted_at_their_own_distances():
    clouds = np.array([[2.0, 0.0, 0.0], [0.0, 3.0, 4.0], [-12.0, 0.0, 0.0], [10.0, 0.0, 0.0]])
    given = {**GIVEN, "inClouds": clouds, "velProf": 0.0 * RAD, "massDist": [1e9, 10.0], "posAng": 90.0, "inc": 90.0}
    _, velocities = clouds_of(**given, gasSigma=0.0)
    # Within 10 arcsec: 3 of 4 clouds (at 2, 5 and 10).
    at_ten = np.sqrt(4.30091727e-3 * 0.75e9 / (10.0 * np.pi / 180.0 / 3600.0 * 10.0e6))
    assert velocities[3] == pytest.approx(-at_ten, rel=1e-9)


def test_asymmetric_drift_slows_rotation():
    radius = np.arange(0.0, 20.0, 0.02)
    speed = np.interp(radius, RAD, SPEED)
    for sigma in (40.0, np.linspace(50.0, 20.0, radius.size)):
        curve = {"velRad": radius, "gasSigma": sigma}
        drift = model(**curve, velProf=speed, asymmetric_drift=True)
        direct = model(**curve, velProf=np.sqrt(np.maximum(speed**2 - np.square(sigma), 0.0)))
        # They interpolate differently in one step of 0.02 arcsec, where the root starts.
        np.testing.assert_allclose(drift, direct, atol=RULE * direct.max())
        assert np.abs(drift - model(**curve, velProf=speed)).max() > 0.05 * direct.max()


def test_spectral_resolution_adds_in_quadrature():
    both = model(telescope={"spectral_resolution": 40.0}, gasSigma=30.0)
    np.testing.assert_allclose(both, model(gasSigma=50.0), rtol=1e-10, atol=1e-12)


FLOWS = {
    "radial": (radial_motion.pure_radial(RAD, 40.0 + RAD), lambda r, t: (40.0 + r) * np.sin(t)),
    "scalar": (radial_motion.pure_radial(RAD, 40.0), lambda r, t: 40.0 * np.sin(t)),
    "bar": (
        radial_motion.bisymmetric_flow(RAD, 30.0 + 0 * RAD, 2.0 * RAD, 25.0),
        lambda r, t: -(30.0 * np.cos(2 * (t - np.radians(25.0))) * np.cos(t)
                       + 2.0 * r * np.sin(2 * (t - np.radians(25.0))) * np.sin(t)),
    ),
    "lopsided": (
        radial_motion.lopsided_flow(RAD, 30.0 + 0 * RAD, 2.0 * RAD, 25.0),
        lambda r, t: -(30.0 * np.cos(t - np.radians(25.0)) * np.cos(t)
                       + 2.0 * r * np.sin(t - np.radians(25.0)) * np.sin(t)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("inc", [50.0, -50.0])
def test_flows_have_upstreams_azimuth_and_sign(kind, inc):
    """theta counts from the approaching half: at posAng 90 from the West, towards the North."""
    func, formula = FLOWS[kind]
    positions, velocities = clouds_of(gasSigma=0.0, velProf=0.0 * RAD, inc=inc, posAng=90.0, radial_motion_func=func)
    x, y, _ = positions.T
    y = y / np.cos(np.radians(50.0))
    expected = formula(np.hypot(x, y), np.arctan2(y, x)) * np.sin(np.radians(inc))
    np.testing.assert_allclose(velocities, expected, atol=1e-8)


def test_a_users_flow_gets_upstreams_arguments_and_cannot_spoil_the_model():
    seen = []

    def flow(r, theta, inc):
        assert r.shape == theta.shape == inc.shape
        seen.append((r.min(), r.max(), theta.min(), theta.max(), inc.min(), inc.max()))
        r *= 0.0
        theta *= 0.0
        inc *= 0.0
        return 0.0

    warp = np.linspace(40.0, 60.0, N)
    spoilt = model(inc=warp, radial_motion_func=flow)
    np.testing.assert_array_equal(spoilt, model(inc=warp, radial_motion_func=lambda r, theta, inc: 0.0))
    # Without a flow the warp needs no points.
    assert relative_rms(spoilt, model(inc=warp)) < np.hypot(RULE, RULE)
    low_r, high_r, low, high, low_inc, high_inc = np.array(seen).T
    assert low_r.min() >= 0.0
    assert 17.0 < high_r.max() <= 18.0
    assert -np.pi <= low.min() < -3.1 < 3.1 < high.max() <= np.pi
    assert 40.0 <= low_inc.min() < 41.0 < 59.0 < high_inc.max() <= 60.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: radial_motion.pure_radial(RAD, RAD[1:]), "^the shape of vradial is"),
        (lambda: radial_motion.pure_radial(RAD[::-1], RAD), "^radius is not increasing"),
        (lambda: radial_motion.bisymmetric_flow(RAD, RAD, "fast", 0.0), "^v2r is"),
        (lambda: radial_motion.lopsided_flow(RAD, np.nan * RAD, RAD, 0.0), "^v1t is not finite"),
        (lambda: radial_motion.lopsided_flow(RAD, RAD, RAD, [1.0, 2.0]), "^the shape of phib is"),
    ],
)
def test_bad_flows_are_named(make, message):
    with pytest.raises(KinmsError, match=message):
        make()


# -- arrays --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["inc", "posAng", "gasSigma", "diskThick", "vPosAng"])
def test_one_value_per_radius_or_one_for_all(name):
    """An array may need another evaluator than a number: constant ones give the same cube within their accuracy."""
    base = {"diskThick": 1.0, "velRad": RAD * 1.1, name: {"diskThick": 2.0}.get(name, 20.0)}
    expected = model(**base)
    assert relative_rms(model(**base | {name: np.full(N, base[name])}), expected) < np.hypot(RULE, RULE)
    assert model(**base | {name: [base[name]]}).tobytes() == expected.tobytes()


def test_arrays_are_looked_up_at_their_own_radii():
    """Dispersion on velRad and thickness on sbRad: rings 6 and 14 arcsec out see the values of their own radii."""
    sb_rad, vel_rad = np.linspace(0.0, 18.0, 7), np.linspace(0.0, 20.0, 11)
    arrays = {"diskThick": np.where(sb_rad > 10, 2.0, 0.5), "gasSigma": np.where(vel_rad > 10, 40.0, 10.0)}
    common = {"sbRad": sb_rad, "velRad": vel_rad, "velProf": 0.0 * vel_rad, "inc": 89.0, "posAng": 90.0}
    for inside, ring in ((True, sb_rad <= 6.0), (False, sb_rad >= 15.0)):
        positions, velocities = clouds_of({"nSamps": 20000}, **common, **arrays, sbProf=ring.astype(float))
        r = np.hypot(positions[:, 0], positions[:, 2])
        far = r < 6.0 if inside else r > 15.0
        height = np.abs(positions[far, 1]).mean()
        # Mean |z| of exp(-|z| / h) is h, with a relative error of n^-1/2; sin(89 deg) and r cos(89 deg) add 0.1.
        assert height == pytest.approx(0.5 if inside else 2.0, rel=0.1)
        assert velocities[far].std() == pytest.approx(10.0 if inside else 40.0, rel=0.05)


def test_a_warp_turns_the_position_angle_with_radius():
    cube = model(posAng=np.interp(RAD, [4.0, 10.0], [0.0, 90.0]), sbProf=np.ones(N), inc=60.0, gasSigma=5.0)
    v = np.tensordot(cube, (np.arange(25) - 12) * 20.0, 1) / np.where(cube.sum(axis=2) > 0, cube.sum(axis=2), np.inf)
    assert v[24 - 14, 24] > 100.0 > -100.0 > v[24 + 14, 24], "outside it recedes in the East"
    assert v[24, 24 + 3] > 50.0 > -50.0 > v[24, 24 - 3], "inside in the North"


# -- several lines -------------------------------------------------------------------------------------------------


def test_several_lines_are_shifted_optically_and_share_the_flux():
    shift = 4 * 20.0 / 299792.458  # four channels
    still = {"velProf": 0.0 * RAD, "gasSigma": 5.0, "vOffset": -40.0}
    lines = model(
        telescope={"multiple_line_lams": [6562.8, 6562.8 * (1 + shift)]}, **still, multiple_line_relflux=[3, 1]
    )
    alone = model(**still)
    # The engine works in single precision, with rounding errors of 6e-8 in each of several sums.
    rounding = 1e-6 * alone.max()
    np.testing.assert_allclose(lines[:, :, 10], 0.75 * alone[:, :, 10], atol=rounding)
    np.testing.assert_allclose(lines[:, :, 14], 0.25 * alone[:, :, 10], atol=rounding)
    assert lines.sum() == pytest.approx(alone.sum(), rel=1e-6)
    equal = model(telescope={"multiple_line_lams": (6562.8, 6562.8 * (1 + shift))}, **still)
    np.testing.assert_allclose(equal[:, :, 10], 0.5 * alone[:, :, 10], atol=rounding)
    for none in (False, None, []):
        assert model(telescope={"multiple_line_lams": none}, **still).tobytes() == alone.tobytes()


# -- state, files, figures -----------------------------------------------------------------------------------------


def test_nothing_is_remembered_between_calls_and_no_input_is_touched():
    arrays = {**{k: np.array(v) for k, v in PROFILE.items()}, "posAng": np.linspace(30.0, 60.0, N),
              "inc": np.linspace(40.0, 60.0, N), "gasSigma": np.linspace(5.0, 9.0, N), "diskThick": np.ones(N),
              "massDist": np.array([1e9, 10.0]), "phaseCent": [1.0, 2.0],
              "vPhaseCent": np.array([1.0, 0.5])}  # fmt: skip
    before = pickle.dumps(arrays)
    beam = np.array([3.0, 5.0, 200.0])
    kinms = KinMS(*SCOPE[:5], beam)
    first = kinms.model_cube(**arrays)
    kinms.model_cube(**MODEL, massDist=[1e9, 20.0], asymmetric_drift=True)
    assert kinms.model_cube(**arrays).tobytes() == first.tobytes()
    assert KinMS(*SCOPE[:5], beam).model_cube(**arrays).tobytes() == first.tobytes()
    two = KinMS(*SCOPE[:5], beam, **arrays)
    assert two.model_cube().tobytes() == two.model_cube().tobytes() == first.tobytes()
    assert pickle.dumps(arrays) == before
    assert beam.tolist() == [3.0, 5.0, 200.0]
    arrays["velProf"][:] = 0.0
    assert two.model_cube().tobytes() == first.tobytes(), "the object keeps its own copy"


def test_quantities_and_columns_count_in_their_units():
    scope = (48.0 / 60.0 * units.arcmin, 48.0 * units.arcsec, 0.5e6 * units.m / units.s, units.Quantity(1.0), 20.0, 4.0)
    table = Table(
        {"r": RAD * units.arcsec, "sb": LIGHT * units.Jy / units.arcsec**2, "v": SPEED * 1e3 * units.m / units.s}
    )
    with_units = KinMS(*scope).model_cube(
        np.radians(50.0) * units.rad, 30.0 * units.deg, 12.0 * units.km / units.s, sbProf=table["sb"], sbRad=table["r"],
        velProf=table["v"], velRad=table["r"], intFlux=30e3 * units.mJy * units.km / units.s,
    )  # fmt: skip
    np.testing.assert_allclose(with_units, model(), rtol=1e-9, atol=1e-12)


def test_arguments_of_the_constructor_can_be_read_and_not_set():
    kinms = KinMS(*SCOPE, nSamps=3)
    assert (kinms.xs, kinms.cellSize, kinms.nSamps) == (48.0, 1.0, 3)
    assert list(kinms.beamSize) == [4.0, 4.0, 0.0]
    assert not hasattr(kinms, "x_pos")
    at_once = KinMS(*SCOPE, **MODEL)
    for made, name in ((kinms, "dv"), (at_once, "dv"), (at_once, "inc")):
        with pytest.warns(KinmsWarning, match=f"^{name} has no effect"):
            setattr(made, name, 80.0)
    kinms.specsys = "LSRK"
    kinms.inc = 80.0  # upstream's next call brings its own
    assert kinms.model_cube(**MODEL).tobytes() == at_once.model_cube().tobytes() == model().tobytes()


def test_objects_survive_pickling():
    for made in (KinMS(*SCOPE, **MODEL, radial_motion_func=FLOWS["bar"][0]), KinMS(*SCOPE, seed=3)):
        again = pickle.loads(pickle.dumps(made))
        arguments = {} if "inc" in MODEL and made._galaxy is not None else MODEL
        assert again.model_cube(**arguments).tobytes() == made.model_cube(**arguments).tobytes()


def test_verbose_writes_a_line(capsys):
    model()
    assert capsys.readouterr().out == ""
    model(telescope={"verbose": True})
    assert capsys.readouterr().out.startswith("KinMS: 48 x 48 pixels of 1 arcsec, 25 channels of 20 km/s, beam")


def test_sky_sampler_and_huge_beam_are_accepted_without_effect():
    assert KinMS(*SCOPE, **MODEL, skySampler=True, huge_beam=True).model_cube().tobytes() == model().tobytes()
    with pytest.raises(InputTypeError, match="skySampler is 'x'"):
        KinMS(*SCOPE, **MODEL, skySampler="x")


def test_file_name_writes_and_overwrites(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model(fileName="mock")
    cube = model(fileName="mock", intFlux=7.0, vSys=1500.0, vOffset=20.0, ra=185.0, dec=5.0, restFreq=115.271e9)
    assert [path.name for path in tmp_path.iterdir()] == ["mock_simcube.fits"]
    with fits.open("mock_simcube.fits") as hdus:
        header = hdus[0].header
        np.testing.assert_allclose(hdus[0].data.T, cube, rtol=1e-6, atol=1e-7 * cube.max())
    assert header["BUNIT"] == "Jy/beam"
    assert header["BMAJ"] * 3600.0 == pytest.approx(4.0)
    assert header["CDELT1"] * 3600.0 == pytest.approx(-1.0)
    assert header["RESTFRQ"] == pytest.approx(115.271e9)
    assert (header["CRVAL1"], header["CRVAL2"]) == (185.0, 5.0)
    assert (header["CRPIX1"], header["CRPIX2"]) == (25.0, 25.0)
    scale = {"m/s": 1e-3, "km/s": 1.0}[header["CUNIT3"].strip()]
    middle = header["CRVAL3"] + (12 + 1 - header["CRPIX3"]) * header["CDELT3"]
    assert middle * scale == pytest.approx(1480.0), "the disc has vSys, the middle channel vSys - vOffset"
    KinMS(*SCOPE, cleanOut=True, **MODEL, fileName=tmp_path / "clean").model_cube()
    header = fits.getheader("clean_simcube.fits")
    assert header["BUNIT"] == "Jy/pixel"
    assert "BMAJ" not in header
    for nothing in (None, ""):
        model(fileName=nothing)
    assert len(list(tmp_path.iterdir())) == 2


def test_toplot_hands_the_cube_and_keywords_to_the_plotter(tmp_path):
    cube = model(toplot=True, savepath=str(tmp_path), savename="three", pdf=False, title="mock", cleanOut=...)
    assert cube.tobytes() == model().tobytes()
    KinMS(*SCOPE, **MODEL).model_cube(toplot=True, savepath=tmp_path, savename="two", pdf=False)
    model(toplot=False, savepath=tmp_path, savename="none", pdf=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["three.png", "two.png"]


def test_plots_get_upstreams_arguments(monkeypatch):
    calls = []

    class Plotter:
        def __init__(self, f, xsize, ysize, vsize, cellsize, dv, beamSize, posang=None, rms=0):
            calls.append((f, xsize, ysize, vsize, cellsize, dv, list(beamSize), posang, rms))

        def makeplots(self):
            calls.append("drawn")

    monkeypatch.setattr("kinms.utils.KinMS_figures.KinMS_plotter", Plotter)
    cube = model(toplot=True, rms=0.1)
    assert calls[0][0] is cube
    assert calls[0][1:] == (48.0, 48.0, 500.0, 1.0, 20.0, [4.0, 4.0, 0.0], 30.0, 0.1)
    assert calls[1:] == ["drawn"]
    with pytest.raises(UnknownNameError, match="posang"):
        model(posang=3.0)


def test_no_warning_where_nothing_is_lost():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model()
