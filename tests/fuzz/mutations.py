"""Broken FITS files: good ones of many styles, spoilt in one to four ways.

Cards are kept as text, because what is wanted here is what no library would write.
"""

import gzip
import warnings

import numpy as np
from astropy.io import fits

CARD, BLOCK = 80, 2880
#: Sizes that the axes of a good file get, by their number: small, and all different.
SIZES = (7, 6, 5, 2, 1)

STYLES = {
    "radio": {"CTYPE3": "VRAD", "CRVAL3": 1.0e6, "CDELT3": 1.0e4, "CUNIT3": "m/s"},
    "frequency": {"CTYPE3": "FREQ", "CRVAL3": 1.15e11, "CDELT3": -3.9e6, "CUNIT3": "Hz", "VELREF": 257},
    "optical": {"CTYPE3": "AWAV", "CRVAL3": 6562.0, "CDELT3": 1.25, "CUNIT3": "Angstrom", "RESTWAV": 6.5646e-7},
    "log": {"CTYPE3": "WAVE-LOG", "CRVAL3": 6.5e-7, "CDELT3": 1.5e-10, "CUNIT3": "m", "RESTWAV": 6.5646e-7},
    "gipsy": {"CTYPE3": "FREQ-OHEL", "CRVAL3": 1.418e9, "CDELT3": 2e4, "CUNIT3": "HZ", "DRVAL3": 500.0,
              "DUNIT3": "KM/S", "FREQ0": 1.420405752e9, "CTYPE1": "RA---NCP", "CTYPE2": "DEC--NCP", "EPOCH": 1950.0},
    "felo": {"CTYPE3": "FELO-HEL", "CRVAL3": 5e5, "CDELT3": -2e4, "CUNIT3": "M/S", "ALTRVAL": 1.418e9},
    "cd": {"CD1_1": -5e-4, "CD2_2": 5e-4, "CD3_3": 1e4, "CD1_2": 0.0, "CD2_1": 0.0, "CTYPE3": "VOPT"},
}  # fmt: skip

PLAIN = {
    "CTYPE1": "RA---SIN", "CRVAL1": 150.0, "CDELT1": -5.0e-4, "CRPIX1": 4.0, "CUNIT1": "deg",
    "CTYPE2": "DEC--SIN", "CRVAL2": 30.0, "CDELT2": 5.0e-4, "CRPIX2": 4.0, "CUNIT2": "deg",
    "CTYPE3": "VRAD", "CRVAL3": 1.0e6, "CDELT3": 1.0e4, "CRPIX3": 1.0, "CUNIT3": "m/s",
    "BMAJ": 1.5e-3, "BMIN": 1.0e-3, "BPA": 20.0, "BUNIT": "Jy/beam", "RADESYS": "ICRS", "SPECSYS": "LSRK",
    "RESTFRQ": 1.152712018e11, "OBJECT": "NGC 0001", "DATE-OBS": "2020-01-01",
}  # fmt: skip

#: Values that cards get: text of a card from column 11 on.
VALUES = (
    "NaN", "'NaN'", "Inf", "-Inf", "1E400", "1E308", "-1E308", "1E-320", "0", "0.0", "-1", "T", "F", "", "''", "'   '",
    "'abc'", "'1.0'", "1.0D5", "'1,5'", "(1.0, 2.0)", "2147483648", "9223372036854775807", "99999999999999999999",
    "1.0E0.5", "'it''s'", "'unterminated", "/ no value", "0x10", "1_000", "-0.0", "360", "1E-12", "1E12", "3.14159",
)  # fmt: skip
CTYPES = (
    "FREQ", "VRAD", "VOPT", "VELO", "VELO-LSR", "FELO-HEL", "FREQ-LSR", "WAVE", "AWAV", "WAVE-LOG", "WAVE-TAB",
    "AWAV-GRA", "VOPT-F2W", "ZOPT", "BETA", "WAVN", "ENER", "LINEAR", "LAMBDA", "STOKES", "RA---TAN", "DEC--TAN",
    "RA---NCP", "GLON-CAR", "GLAT-CAR", "RA---TAB", "DEC--XYZ", "RA", "OFFSET", "TIME", "VELOCITY", "-----", "RA---ZPN",
)  # fmt: skip
UNITS = ("Hz", "GHZ", "m/s", "KM/S", "Angstrom", "um", "deg", "DEGREE", "arcsec", "K", "Jy", "m / s2", "10**-3 m", "??")
LENGTHS = (0, 1, 3, 1000, 99999, 10**6, 2**31, 10**9, 2**62, 10**30, -5)


def card(key, value):
    """Text of a card; ``value`` is written as it stands if it is text that `VALUES` has."""
    return f"{key:<8}= {value}"[:CARD].ljust(CARD)


def plain_cards(style):
    """Cards of a good cube in one of the `STYLES`."""
    merged = {**PLAIN, **STYLES[style]}
    if style in ("optical", "log"):
        merged.pop("RESTFRQ")
    return [str(fits.Card(key, value)) for key, value in merged.items()]


def real_cards(path):
    """Cards of a header kept as text, its size and scaling aside; those that astropy cannot print are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = fits.Header.fromtextfile(path)
        found = []
        for entry in header.cards:
            try:
                text = str(entry)
            except (ValueError, fits.VerifyError):
                continue
            if entry.keyword.rstrip("0123456789") not in ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "BSCALE", "BZERO",
                                                          "PCOUNT", "GCOUNT", "END", "EXTEND"):  # fmt: skip
                found += [text[k : k + CARD] for k in range(0, len(text), CARD)]
        return found, max(int(header.get("NAXIS", 0)), 0)


def seeds(folder=None):
    """Good files: name -> (cards, number of axes)."""
    found = {style: (plain_cards(style), 3 + (style == "frequency")) for style in STYLES}
    if folder is not None:
        for path in sorted(folder.glob("*.hdr")):
            found[path.stem] = real_cards(path)
    return found


def mandatory(naxis):
    """First cards of a file."""
    lengths = [card(f"NAXIS{k + 1}", SIZES[k]) for k in range(naxis)]
    return [card("SIMPLE", "T"), card("BITPIX", -32), card("NAXIS", naxis), *lengths, card("EXTEND", "T")]


def spoil(cards, rng):
    """Change a card, or which cards there are, in one of many ways."""
    k = int(rng.integers(len(cards)))
    key = cards[k][:8].strip()
    how = int(rng.integers(14))
    keys = [entry[:8].strip() for entry in cards]
    if how == 6 and not any(name.startswith("NAXIS") for name in keys):
        how = 0
    if how == 0:
        del cards[k]
    elif how == 1:
        cards.insert(int(rng.integers(len(cards))), cards[k])
    elif how == 2:
        cards.append(card(key, rng.choice(VALUES)))
    elif how in (3, 4, 5):
        cards[k] = card(key, rng.choice(VALUES))
    elif how == 6:
        axes = [n for n, name in enumerate(keys) if name.startswith("NAXIS")]
        n = axes[int(rng.integers(len(axes)))]
        cards[n] = card(keys[n], LENGTHS[int(rng.integers(len(LENGTHS)))])
    elif how == 7:
        cards.append(card(f"CTYPE{rng.integers(1, 6)}", f"'{rng.choice(CTYPES)}'"))
        _use_last(cards)
    elif how == 8:
        cards.append(card(f"CUNIT{rng.integers(1, 4)}", f"'{rng.choice(UNITS)}'"))
        _use_last(cards)
    elif how == 9:
        name = rng.choice(("CDELT", "CRVAL", "CRPIX"))
        cards.append(card(f"{name}{rng.integers(1, 4)}", repr(float(rng.normal() * 10.0 ** rng.integers(-12, 20)))))
        _use_last(cards)
    elif how == 10:
        other = int(rng.integers(len(cards)))
        cards[k] = cards[k][:10] + cards[other][10:]
    elif how == 11:
        text = list(cards[k])
        text[int(rng.integers(CARD))] = chr(int(rng.choice((9, 0, 10, 127, 200, 39, 47, 61, 32))))
        cards[k] = "".join(text)
    elif how == 12:
        extra = ("CD1_2", "PC1_3", "PC001002", "PC3_1", "CROTA2", "PV2_1", "PV1_0", "LONPOLE", "LATPOLE", "WCSAXES",
                 "CASAMBM", "BLANK", "BSCALE", "BZERO", "VELREF", "RESTFRQ", "EQUINOX", "BITPIX")  # fmt: skip
        cards.insert(int(rng.integers(3, len(cards))), card(rng.choice(extra), rng.choice(VALUES)))
    else:
        line = f"HISTORY AIPS   CLEAN BMAJ={rng.choice(VALUES)} BMIN= 1.0E-3 BPA= {rng.choice(VALUES)}"
        cards.append(line[:CARD].ljust(CARD))


def _use_last(cards):
    """Take out earlier cards of the last one's name."""
    key = cards[-1][:8]
    cards[:-1] = [entry for entry in cards[:-1] if entry[:8] != key]


def blocks(cards, end=True):
    """Bytes of a header."""
    text = "".join(entry[:CARD].ljust(CARD) for entry in cards) + ("END".ljust(CARD) if end else "")
    data = text.encode("latin-1", "replace")
    return data + b" " * (-len(data) % BLOCK)


def image(rng, naxis):
    """Bytes of noise for the array of a good file."""
    data = rng.normal(size=int(np.prod(SIZES[:naxis], dtype=int)) if naxis else 0).astype(">f4").tobytes()
    return data + b"\0" * (-len(data) % BLOCK)


def companion(rng, naxis):
    """An extension beside the cube: a table of beams, or variances, its cards spoilt now and then."""
    if rng.random() < 0.5:
        columns = [
            fits.Column(name, "E", unit=unit, array=rng.normal(size=5).astype("f4") ** 2 + 1.0)
            for name, unit in (("BMAJ", "arcsec"), ("BMIN", "arcsec"), ("BPA", "deg"))
        ]
        columns += [fits.Column(name, "J", array=np.arange(5) if name == "CHAN" else np.zeros(5, int))
                    for name in ("CHAN", "POL")]  # fmt: skip
        header = fits.BinTableHDU.from_columns(columns, name="BEAMS").header
        data = fits.BinTableHDU.from_columns(columns).data.tobytes()
    else:
        shape = tuple(reversed(SIZES[: max(naxis, 1)]))
        header = fits.ImageHDU(np.zeros(shape, "f4"), name=str(rng.choice(("STAT", "DQ", "IVAR", "ERR")))).header
        data = rng.normal(size=shape).astype(">f4").tobytes()
    cards = [str(entry) for entry in header.cards]
    if rng.random() < 0.3:
        spoil(cards, rng)
    return blocks(cards) + data + b"\0" * (-len(data) % BLOCK)


def broken_file(number, seed, good):
    """Bytes of broken file ``number``, and the name of the good one that it was."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, number]))
    name = sorted(good)[int(rng.integers(len(good)))]
    cards, naxis = good[name]
    naxis = min(naxis, len(SIZES))
    cards = [*mandatory(naxis), *cards]
    for _ in range(int(rng.integers(0, 5))):
        spoil(cards, rng)
    data = blocks(cards, end=rng.random() > 0.02) + image(rng, naxis)
    if rng.random() < 0.2:
        data += companion(rng, naxis)
    how = rng.random()
    if how < 0.08:
        data = data[: int(rng.integers(len(data) + 1))]
    elif how < 0.2:
        spoilt = bytearray(data)
        for _ in range(int(rng.integers(1, 20))):
            spoilt[int(rng.integers(len(spoilt)))] ^= 1 << int(rng.integers(8))
        data = bytes(spoilt)
    elif how < 0.23:
        data = gzip.compress(data, 1, mtime=0)
        data = data[: int(rng.integers(1, len(data) + 1))]
    return data, name
