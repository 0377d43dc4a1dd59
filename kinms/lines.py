"""Spectral lines by name: `find_line` gives the rest frequency and the rest wavelength in vacuum.

Millimetre lines are those of the Cologne database (CDMS: Mueller et al. 2001, A&A 370, L49; 2005, J. Mol. Struct. 742,
215) and of JPL (Pickett et al. 1998, JQSRT 60, 883), as the LAMDA files list them (Schoeier et al. 2005, A&A 432, 369);
where a line has hyperfine structure the value is that of the unsplit line, or, for CN, N2H+ and NH3, of the strongest
group. Optical and near-infrared lines are Ritz wavelengths in vacuum of the NIST Atomic Spectra Database, hydrogen's
weighted over its fine structure, as compiled for the MaNGA survey (Belfiore et al. 2019, AJ 158, 160).
"""

from __future__ import annotations

import dataclasses
import difflib
import re

from kinms.errors import InputTypeError, UnknownNameError

__all__ = ["LINES", "Line", "find_line", "identify_line"]

#: m/s.
_C = 299_792_458.0

_CDMS = "CDMS (Mueller et al. 2005)"
_JPL = "JPL (Pickett et al. 1998)"
_LOVAS = "Lovas (2004, J. Phys. Chem. Ref. Data 33, 177)"
_NIST = "NIST ASD, Ritz wavelength in vacuum"


@dataclasses.dataclass(frozen=True)
class Line:
    """A spectral line.

    Parameters
    ----------
    name : str
        As papers write it: ``CO(2-1)``, ``[OIII]5007``, ``Halpha``. Numbers of optical lines are those in air.
    rest_frequency : float
        Hz.
    rest_wavelength : float
        m, in vacuum.
    source : str
        Where the value is from.
    """

    name: str
    rest_frequency: float
    rest_wavelength: float
    source: str


#: Frequencies in GHz of J = 1-0, 2-1, ...
_LADDERS = {
    "CO": (
        (115.2712018, 230.538, 345.7959899, 461.0407682, 576.2679305),
        (691.4730763, 806.651806, 921.7997, 1036.912393, 1151.985452),
    ),
    "13CO": (
        (110.2013543, 220.3986842, 330.5879653, 440.7651735, 550.9262851),
        (661.0672766, 771.184125, 881.272808, 991.329305, 1101.349597),
    ),
    "C18O": (
        (109.7821734, 219.5603541, 329.3305525, 439.0887658, 548.8310055),
        (658.5532782, 768.2515933, 877.9219553, 987.5603822, 1097.1628753),
    ),
    "HCN": (
        (88.6316023, 177.2611115, 265.8864343, 354.5054779, 443.1161493),
        (531.7163479, 620.3040022, 708.8770051, 797.4332623, 885.9706949),
    ),
    "HCO+": ((89.1885247, 178.3750563, 267.5576259, 356.734223, 445.9028721), (535.061581, 624.2083606, 713.3412278)),
    "HNC": (
        (90.663568, 181.324758, 271.981142, 362.630303, 453.269922),
        (543.897554, 634.510826, 725.107341, 815.684676, 906.240459),
    ),
    "CS": (
        (48.9909549, 97.9809533, 146.9690287, 195.9542109, 244.9355565),
        (293.9120865, 342.8828503, 391.8468898, 440.803232, 489.750921),
    ),
    "SiO": ((43.423853, 86.846985, 130.268683, 173.688238, 217.104919), (260.518009, 303.926812, 347.330581)),
    "N2H+": ((93.1733977, 186.3446844, 279.5117491, 372.6724808), ()),
}

#: Other lines by frequency: name, GHz, source, other spellings.
_BY_FREQUENCY: tuple[tuple[str, float, str, str], ...] = (
    ("HI", 1.42040575177, _JPL, "hi21cm 21cm hi21 h21cm hydrogen21cm"),
    ("OH1612", 1.612231, _LOVAS, "oh1612mhz"),
    ("OH1665", 1.6654018, _LOVAS, "oh1665mhz"),
    ("OH1667", 1.667359, _LOVAS, "oh1667mhz"),
    ("OH1720", 1.72053, _LOVAS, "oh1720mhz"),
    ("H2O(616-523)", 22.23508, _JPL, "h2o22 h2o22ghz h2omaser watermaser"),
    ("H2O(313-220)", 183.310087, _JPL, "h2o183 h2o183ghz"),
    ("H2O(110-101)", 556.93599, _JPL, "h2o557"),
    ("H2O(211-202)", 752.03314, _JPL, "h2o752"),
    ("H2O(202-111)", 987.92676, _JPL, "h2o988"),
    ("H2O(111-000)", 1113.34301, _JPL, "h2o1113"),
    ("NH3(1,1)", 23.6944955, _LOVAS, ""),
    ("NH3(2,2)", 23.7226333, _LOVAS, ""),
    ("NH3(3,3)", 23.8701292, _LOVAS, ""),
    ("NH3(4,4)", 24.1394163, _LOVAS, ""),
    ("NH3(5,5)", 24.5329887, _LOVAS, ""),
    ("NH3(6,6)", 25.056025, _LOVAS, ""),
    ("CN(1-0)", 113.4909702, _CDMS, ""),  # J = 3/2-1/2, F = 5/2-3/2
    ("CN(2-1)", 226.8747813, _CDMS, ""),  # J = 5/2-3/2, F = 7/2-5/2
    ("CN(3-2)", 340.24777, _CDMS, ""),  # J = 7/2-5/2, F = 9/2-7/2
    ("[CI](1-0)", 492.160651, _CDMS, "ci609 ci492 ci609um ci3p13p0"),
    ("[CI](2-1)", 809.34197, _CDMS, "ci370 ci809 ci370um ci3p23p1"),
    ("[CII]158", 1900.5369, _CDMS, "cii cii158um cii1900 c+ c+158"),
    ("[NII]205", 1461.13141, _CDMS, "nii205um"),
    ("[NII]122", 2459.3801, _CDMS, "nii122um"),
    ("[OI]145", 2060.06886, _CDMS, "oi145um oi146 oi146um"),
    ("[OI]63", 4744.77749, _CDMS, "oi63um"),
    ("[OIII]88", 3393.00624, _CDMS, "oiii88um"),
    ("[OIII]52", 5785.87959, _CDMS, "oiii52um"),
)

#: Lines by wavelength in vacuum: name, Angstrom, other spellings.
_BY_WAVELENGTH: tuple[tuple[str, float, str], ...] = (
    ("Lyalpha", 1215.670, "lya lyman_alpha lymanalpha ly_alpha"),
    ("[OII]3726", 3727.092, ""),
    ("[OII]3729", 3729.875, "oii3730"),
    ("[NeIII]3869", 3869.86, "neiii3868 neiii3870"),
    ("Hdelta", 4102.892, "hd hdel hi4101 h4101"),
    ("Hgamma", 4341.684, "hg hgam hi4340 h4340"),
    ("[OIII]4363", 4364.436, "oiii4364"),
    ("HeII4686", 4687.015, "heii4685 heii4687 heii"),
    ("Hbeta", 4862.683, "hb hbet hi4861 h4861"),
    ("[OIII]4959", 4960.295, "oiii4960 oiii4958"),
    ("[OIII]5007", 5008.240, "oiii5008 oiii5006"),
    ("HeI5876", 5877.252, "hei5875 hei5877"),
    ("NaD2", 5891.583, "nai5890 nai5891 na5890"),
    ("NaD1", 5897.558, "nai5896 nai5897 na5896"),
    ("[OI]6300", 6302.046, "oi6302"),
    ("[SIII]6312", 6313.806, ""),
    ("[OI]6363", 6365.536, "oi6364 oi6365"),
    ("[NII]6548", 6549.86, "nii6549 nii6550"),
    ("Halpha", 6564.608, "ha halp hi6563 h6563 ha6563 halpha6563"),
    ("[NII]6583", 6585.27, "nii6584 nii6585"),
    ("HeI6678", 6679.996, "hei6680"),
    ("[SII]6716", 6718.295, "sii6717 sii6718"),
    ("[SII]6731", 6732.674, "sii6730 sii6732 sii6733"),
    ("[SIII]9069", 9071.1, "siii9068 siii9070 siii9071"),
    ("[SIII]9531", 9533.2, "siii9530 siii9532 siii9533"),
    ("Padelta", 10052.123, "pad paschendelta pdelta"),
    ("HeI10830", 10833.306, "hei10833 hei1083"),
    ("Pagamma", 10941.082, "pag paschengamma pgamma"),
    ("[FeII]1.257", 12570.207, "feii12567 feii12570 feii126"),
    ("Pabeta", 12821.578, "pab paschenbeta pbeta"),
    ("[FeII]1.644", 16439.981, "feii16435 feii16440 feii164"),
    ("Paalpha", 18756.10, "paa paschenalpha palpha"),
    ("H2 1-0 S(1)", 21218.34, "h2s1 h22122 h2212"),
    ("Brgamma", 21661.2, "brg brackettgamma"),
)

_GREEK = str.maketrans({"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "λ": "", "μ": "u", "µ": "u"})
_NUMBERS = {"⁺": "+", "₂": "2", "₃": "3"}


def _key(name: str) -> str:
    """Return a name with case, blanks, brackets, dashes and the words that people add taken away."""
    for mark, plain in _NUMBERS.items():
        name = name.replace(mark, plain)
    text = name.casefold().translate(_GREEK)
    text = re.sub(r"(?<![a-z0-9])j\s*=?\s*(?=\d)", "", text)  # CO J=2-1
    text = re.sub(r"(angstrom|aa)s?$|(?<=\d)\s*a$", "", text.strip())  # [OIII] 5007A
    text = re.sub(r"(?<=\d)\s*(microns?|micromet(er|re)s?)$", "um", text)  # [CII] 158 micron
    text = re.sub(r"[^a-z0-9+]", "", text)
    if text.startswith(("hco+", "n2h+", "hcop", "n2hp")):
        text = text[:3] + "+" + text[4:]
    return re.sub(r"^12(c16o|co)", "co", text)


def _table() -> tuple[dict[str, Line], dict[str, str]]:
    """Return the lines by name, and the names by every spelling."""
    lines: dict[str, Line] = {}
    spellings: dict[str, str] = {}

    def add(name: str, hertz: float, source: str, others: str = "") -> None:
        lines[name] = Line(name, hertz, _C / hertz, source)
        for spelling in (name, *others.split()):
            spellings[_key(spelling)] = name

    for species, (low, high) in _LADDERS.items():
        for j, gigahertz in enumerate((*low, *high)):
            add(f"{species}({j + 1}-{j})", gigahertz * 1e9, _CDMS)
    for name, gigahertz, source, others in _BY_FREQUENCY:
        add(name, gigahertz * 1e9, source, others)
    for name, angstrom, others in _BY_WAVELENGTH:
        add(name, _C / (angstrom * 1e-10), _NIST, others)
    return lines, spellings


#: Every line by its name.
LINES, _SPELLINGS = _table()


def find_line(name: str) -> Line:
    """Look up a line by name.

    Parameters
    ----------
    name : str
        Case, blanks, brackets and dashes do not matter: ``CO(2-1)``, ``co 2-1``, ``CO21``, ``12CO J=2-1``,
        ``Halpha``, ``Ha``, ``[CII]``, ``[OIII]5007``, ``HI``, ``21cm``.

    Returns
    -------
    Line

    Raises
    ------
    UnknownNameError
        If there is no such line; it lists those of the same species, or of a similar name. ``[OIII]`` and ``CO`` are
        no lines but several.

    Examples
    --------
    >>> find_line("co 2-1").rest_frequency / 1e9, find_line("H-alpha").name
    (230.538, 'Halpha')
    """
    if not isinstance(name, str):
        raise InputTypeError("line", repr(name), "a name such as 'CO(2-1)' or 'Halpha'")
    key = _key(name)
    if key in _SPELLINGS:
        return LINES[_SPELLINGS[key]]
    stem = re.match(r"[a-z]*", key)
    species = [line for spelling, line in _SPELLINGS.items() if key and spelling.startswith(key)]
    if not species and stem is not None and len(stem[0]) > 1:
        species = [line for spelling, line in _SPELLINGS.items() if re.fullmatch(rf"{stem[0]}\+?\d.*", spelling)]
    near = difflib.get_close_matches(key, _SPELLINGS, n=5, cutoff=0.6)
    found = dict.fromkeys([*species, *(_SPELLINGS[spelling] for spelling in near)])
    raise UnknownNameError("line", name, list(found)[:40] or LINES)


def identify_line(rest_frequency: float, tolerance: float = 2e-5) -> Line | None:
    """Return the line that has a rest frequency (Hz), within a relative tolerance (2e-5 is 6 km/s); None if none has.

    Examples
    --------
    >>> identify_line(1.15271204e11).name
    'CO(1-0)'
    """
    nearest = min(LINES.values(), key=lambda line: abs(line.rest_frequency / rest_frequency - 1.0))
    return nearest if abs(nearest.rest_frequency / rest_frequency - 1.0) <= tolerance else None
