"""What FITS 4.0 asks of a file, read off its bytes: written from the standard's text, without astropy's cards."""

import re

BLOCK = 2880
MANDATORY = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "TFIELDS", "EXTEND")
COMMENTARY = ("COMMENT", "HISTORY", "", "CONTINUE")
#: Deprecated, or not to be used beside the matrix that is written (sections 8.1, 8.2, 8.3).
OBSOLETE = {"RADECSYS", "EPOCH", "BLOCKED", "CROTA1", "CROTA2", "RESTFREQ"}
WCS = re.compile(r"(CTYPE|CUNIT|CRVAL|CRPIX|CDELT)(\d+)|(PC|CD)(\d+)_(\d+)|(PV|PS)(\d+)_\d+")
VALUE = re.compile(
    r" *(?:(?P<text>'(?:[^']|'')*')|(?P<logical>[TF])|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[ED][+-]?\d+)?))?"
    r" *(?:/(?P<comment>.*))?"
)


def cards_of(path):
    """[(cards, number of data bytes)] of each HDU, and what is wrong with the file's blocks and cards."""
    content = path.read_bytes()
    faults, hdus, at = [], [], 0
    if len(content) % BLOCK:
        faults.append("the file is no multiple of 2880 bytes")
    while at < len(content):
        cards, done = [], False
        while not done:
            block = content[at : at + BLOCK]
            if len(block) < BLOCK:
                return hdus, [*faults, "a header without END"]
            at += BLOCK
            for start in range(0, BLOCK, 80):
                card = block[start : start + 80].decode("latin-1")
                if done and card.strip(" "):
                    faults.append(f"after END: {card!r}")
                elif not done and card == f"{'END':80}":
                    done = True
                elif not done:
                    cards.append(card)
        values = {card[:8].strip(): card[10:].partition("/")[0].strip() for card in cards if card[8:10] == "= "}
        sizes = [int(values[f"NAXIS{axis}"]) for axis in range(1, int(values["NAXIS"]) + 1)]
        size = abs(int(values["BITPIX"])) // 8 * int(values.get("GCOUNT", 1)) if sizes else 0
        voxels = 1
        for n in sizes:
            voxels *= n
        size *= voxels + int(values.get("PCOUNT", 0))
        padding = content[at + size : at + -(-size // BLOCK) * BLOCK]
        if padding.strip(b"\0"):
            faults.append("data are not padded with zeros")
        at += -(-size // BLOCK) * BLOCK
        hdus.append(cards)
    if at != len(content):
        faults.append(f"{len(content)} bytes, and the headers ask for {at}")
    return hdus, faults


def faults(path):
    """What the standard, or a tool such as fitsverify, would find wrong with a file of images and tables."""
    hdus, found = cards_of(path)
    for number, cards in enumerate(hdus):
        found += [f"HDU {number}: {fault}" for fault in _header_faults(cards, number == 0, len(hdus) > 1)]
    return found


def _header_faults(cards, is_primary, has_extensions):
    keys, values, order = [], {}, []
    previous = ""
    for card in cards:
        key = card[:8].rstrip(" ")
        if not all(" " <= letter <= "~" for letter in card):
            yield f"characters that are not printable ASCII: {card!r}"
        if not re.fullmatch(r"[A-Z0-9_-]*", key) or (not key and card[:8].strip()):
            yield f"an illegal keyword: {card!r}"
        if key == "CONTINUE":
            if not re.match(r".*&' *(/.*)?$", previous):
                yield f"CONTINUE after {previous!r}"
        elif key not in COMMENTARY and key != "HIERARCH":
            if card[8:10] != "= ":
                yield f"no value indicator: {card!r}"
            elif key in keys:
                yield f"{key} stands twice"
            parsed = VALUE.fullmatch(card[10:])
            if parsed is None:
                yield f"a value that cannot be parsed: {card!r}"
            else:
                values[key] = _value(parsed)
                fixed = key in MANDATORY or re.fullmatch(r"NAXIS\d+", key)
                if parsed["text"] and (card[10] != "'" or 2 < len(parsed["text"]) < 10):
                    yield f"a string that begins late or is short: {card!r}"
                if fixed and not parsed["text"] and card[29] == " ":
                    yield f"a mandatory value that does not end in column 30: {card!r}"
            keys.append(key)
            order.append(key)
        previous = card
    yield from _order_faults(order, values, is_primary, has_extensions)
    yield from _world_faults(order, values)


def _value(parsed):
    if parsed["text"]:
        return parsed["text"][1:-1].replace("''", "'").rstrip(" ")
    if parsed["logical"]:
        return parsed["logical"] == "T"
    return float(parsed["number"].replace("D", "E")) if parsed["number"] else None


def _order_faults(order, values, is_primary, has_extensions):
    first = "SIMPLE" if is_primary else "XTENSION"
    wanted = [first, "BITPIX", "NAXIS", *(f"NAXIS{axis}" for axis in range(1, int(values["NAXIS"]) + 1))]
    if not is_primary:
        wanted += ["PCOUNT", "GCOUNT"] + (["TFIELDS"] if values[first] == "BINTABLE" else [])
    if order[: len(wanted)] != wanted:
        yield f"mandatory keywords in the order {order[: len(wanted)]}"
    if any(re.fullmatch(r"NAXIS\d+", key) for key in order[len(wanted) :]):
        yield "more NAXISn than axes"
    if is_primary and has_extensions and values.get("EXTEND") is not True:
        yield "extensions without EXTEND = T"
    if is_primary and {"PCOUNT", "GCOUNT", "XTENSION"} & set(order):
        yield "cards of an extension in the primary header"
    if values["BITPIX"] < 0 and "BLANK" in values:
        yield "BLANK with floating-point data"


def _world_faults(order, values):
    import astropy.units as u

    places = [k for k, key in enumerate(order) if WCS.fullmatch(key)]
    axes = int(values.get("WCSAXES", values["NAXIS"]))
    if places and "WCSAXES" in order and order.index("WCSAXES") > places[0]:
        yield "WCSAXES after another WCS card"
    for key in order:
        found = WCS.fullmatch(key)
        if found and any(int(part) > axes for part in found.groups() if part and part.isdigit()):
            yield f"{key} of an axis beyond the {axes}"
        if key in OBSOLETE:
            yield f"{key} is deprecated"
        if key.startswith("CTYPE") and not isinstance(values[key], str):
            yield f"{key} is no string"
        if key.startswith(("CUNIT", "BUNIT", "TUNIT")) and values[key]:
            try:
                u.Unit(values[key], format="fits")
            except (ValueError, Warning) as error:
                yield f"{key} = {values[key]!r}: {error}"
    if {"PC", "CD"} <= {key[:2] for key in order if re.fullmatch(r"(PC|CD)\d+_\d+", key)}:
        yield "PC and CD in one header"
