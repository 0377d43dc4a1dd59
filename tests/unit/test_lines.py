"""The table of lines: the physics it must obey, and the spellings that find a line."""

import numpy as np
import pytest

import kinms as km
from kinms.errors import InputTypeError, UnknownNameError
from kinms.fits_spectral import air_to_vacuum
from kinms.lines import LINES, find_line, identify_line

C = 299_792_458.0


@pytest.mark.parametrize(
    ("species", "terms"),
    [("CO", 3), ("13CO", 3), ("C18O", 3), ("HCN", 3), ("HCO+", 3), ("HNC", 3), ("CS", 3), ("SiO", 2), ("N2H+", 2)],
)
def test_ladders_are_those_of_a_rotor(species, terms):
    """nu = 2 B J - 4 D J^3 + H J^3 ((J + 1)^3 - (J - 1)^3) of a linear molecule: a wrong digit stands out."""
    nu = np.array([line.rest_frequency for name, line in LINES.items() if name.startswith(f"{species}(")]) / 1e6
    j = np.arange(1, nu.size + 1.0)
    assert nu.size >= 4
    columns = np.array([2 * j, -4 * j**3, j**3 * ((j + 1) ** 3 - (j - 1) ** 3)][:terms]).T
    constants = np.linalg.lstsq(columns / j[:, None], nu / j, rcond=None)[0]
    # Measured frequencies scatter by up to 10 kHz about a rotor, predicted ones by less: 0.03 km/s of CO(1-0).
    np.testing.assert_allclose(columns @ constants, nu, rtol=0, atol=0.03)


@pytest.mark.parametrize(
    ("low", "up", "name"),
    [
        *[(1, 2, "Lyalpha"), (2, 3, "Halpha"), (2, 4, "Hbeta"), (2, 5, "Hgamma"), (2, 6, "Hdelta"), (3, 4, "Paalpha")],
        *[(3, 5, "Pabeta"), (3, 6, "Pagamma"), (3, 7, "Padelta"), (4, 7, "Brgamma")],
    ],
)
def test_hydrogen_follows_rydberg(low, up, name):
    """Fine structure and recoil, which the formula lacks, are below 1.5e-5, i.e. alpha^2 / 4 (4 km/s)."""
    rydberg = 1.0967758340e7  # 1/m, of hydrogen
    assert LINES[name].rest_wavelength == pytest.approx(1.0 / (rydberg * (1 / low**2 - 1 / up**2)), rel=1.5e-5)


@pytest.mark.parametrize(
    "name",
    [
        "[OII]3726",
        "[OII]3729",
        "[NeIII]3869",
        "[OIII]4363",
        "HeII4686",
        "[OIII]4959",
        "[OIII]5007",
        "HeI5876",
        "[OI]6300",
        "[SIII]6312",
        "[OI]6363",
        "[NII]6548",
        "[NII]6583",
        "HeI6678",
        "[SII]6716",
        "[SII]6731",
        "[SIII]9069",
        "[SIII]9531",
        "HeI10830",
    ],
)
def test_the_number_in_a_name_is_the_wavelength_in_air(name):
    """Names cut or round the wavelength in air: 6583.45 is 6583."""
    number = float("".join(c for c in name if c.isdigit())[-5 if name == "HeI10830" else -4 :])
    vacuum = LINES[name].rest_wavelength * 1e10
    assert float(air_to_vacuum(np.array(number * 1e-10)) * 1e10) == pytest.approx(vacuum, abs=1.05)


def test_wavelengths_and_frequencies_belong_together():
    for name, line in LINES.items():
        assert line.name == name
        assert line.rest_frequency * line.rest_wavelength == pytest.approx(C, rel=1e-14)
        assert line.source
        assert identify_line(line.rest_frequency) is line  # no two lines are the same


@pytest.mark.parametrize(
    ("name", "line"),
    [
        *[(text, "CO(2-1)") for text in ("CO(2-1)", "co 2-1", "CO21", "12CO J=2-1", "12CO(2–1)", "^{12}CO J = 2-1")],
        *[(text, "CO(10-9)") for text in ("CO(10-9)", "co109")],
        *[(text, "13CO(1-0)") for text in ("13CO(1-0)", "13co10", "$^{13}$CO J=1-0")],
        *[(text, "HCO+(4-3)") for text in ("HCO+(4-3)", "HCO+ 4-3", "hcop43", "HCO⁺(4-3)")],
        *[(text, "N2H+(1-0)") for text in ("N2H+ 1-0", "n2hp10", "N₂H⁺(1-0)")],
        *[(text, "Halpha") for text in ("Halpha", "Ha", "H-alpha", "Hα", "H_ALPHA", "H alpha", "Ha 6563")],
        *[(text, "[CII]158") for text in ("[CII]", "CII158", "[C II] 158um", "[CII] 158 micron", "[CII]158µm", "c+")],
        *[(text, "[OIII]5007") for text in ("[OIII]5007", "OIII 5007", "[O III] λ5007", "oiii5007A", "[OIII]5008")],
        *[(text, "HI") for text in ("HI", "21cm", "H I", "HI 21 cm", "hi21cm")],
        *[(text, "[CI](1-0)") for text in ("[CI](1-0)", "CI 1-0", "[CI]609", "[CI] 609um")],
        ("NH3(1,1)", "NH3(1,1)"),
        ("H2 1-0 S(1)", "H2 1-0 S(1)"),
        ("H2(1-0)S(1)", "H2 1-0 S(1)"),
        ("[FeII] 1.644", "[FeII]1.644"),
        ("Pa-beta", "Pabeta"),
        ("Brγ", "Brgamma"),
    ],
)
def test_spellings(name, line):
    assert km.find_line(name).name == line


@pytest.mark.parametrize(
    ("name", "hints"),
    [
        ("CO", ["CO(1-0)", "CO(2-1)"]),
        ("[OIII]", ["[OIII]5007", "[OIII]88"]),
        ("CO(2-3)", ["CO(2-1)"]),
        ("CO(11-10)", ["CO(10-9)"]),
        ("Halfa", ["Halpha"]),
        ("[NII]6500", ["[NII]6548", "[NII]6583"]),
        ("", ["CO(1-0)", "Halpha"]),
        ("??", ["CO(1-0)", "Halpha"]),
    ],
)
def test_names_that_are_not_known(name, hints):
    with pytest.raises(UnknownNameError) as caught:
        find_line(name)
    for hint in hints:
        assert hint in str(caught.value)


def test_names_must_be_texts():
    with pytest.raises(InputTypeError, match="a name such as"):
        find_line(115.27)


def test_identify():
    assert identify_line(1.420405752e9).name == "HI"
    assert identify_line(3.29828e11) is None
