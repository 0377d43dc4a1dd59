"""Reads a script written for upstream's packages, never runs it, and lists what to change and what comes out different.

What a script means is found from its syntax tree: which names its imports bind, which objects are made by calls of
those, and which numbers are written in it. Arguments are matched with the very tables by which `kinms.KinMS` binds
them, so that what is said here and what happens there cannot differ.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib.util
import io
import json
import os
import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import kinms
from kinms.compat.changes import (
    ATTRIBUTES,
    CHANGE,
    NOTE,
    Finding,
    about_cube,
    about_figure,
    about_flow,
    about_makeplots,
    about_run,
    import_finding,
    inflation_finding,
    python2_finding,
)
from kinms.errors import FileError
from kinms.legacy import EFFORT, plot_keywords
from kinms.legacy_arguments import GALAXY, KINMS2, TELESCOPE, everything_at_once

__all__ = ["Finding", "Unreadable", "check", "check_source", "status"]

#: Calls that make an object, by the canonical name of what is called.
MAKES = {"KinMS": "cube maker", "gastimator": "sampler", "KinMS_plotter": "plotter", "kinms_fitter": "fitter"}
FIRST_KINMS = "KinMS 1"


class Unreadable(FileError):
    """A file is no script or notebook: it cannot be checked."""


@dataclasses.dataclass(frozen=True)
class _Source:
    """A piece of a script: its text, and how its lines are called in a message."""

    text: str
    label: str = ""


def check(path: str | os.PathLike[str]) -> list[Finding]:
    """Read a script (.py) or a notebook (.ipynb), and list what to change in it.

    Parameters
    ----------
    path : path

    Returns
    -------
    list of Finding
        In the order of the lines.

    Raises
    ------
    Unreadable
        If the file is not there, no text, or no notebook. What Python 2 alone understands is a finding.
    """
    sources = _read(Path(path))
    return _check(sources)


def check_source(text: str) -> list[Finding]:
    """Check the text of a script, see `check`.

    Examples
    --------
    >>> for found in check_source("from gastimator import gastimator"):
    ...     print(found.line, found.level, found.fix)
    1 change from gastimator_bridge import gastimator
    """
    return _check([_Source(text)])


def status(findings: Sequence[Finding]) -> int:
    """Return the exit status: 0 if a script runs as it is and means the same, 1 if not."""
    return int(any(found.level != NOTE for found in findings))


def _read(path: Path) -> list[_Source]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Unreadable(path, f"cannot be read: {error.strerror or error}.", "Give the name of a script.") from error
    if b"\0" in raw:
        raise Unreadable(path, "is no text.", "Give a Python script or a notebook.")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        text = raw.decode(encoding)
    except (SyntaxError, UnicodeDecodeError):
        text = raw.decode("latin-1")  # old scripts have names with accents in comments, and no word on their encoding
    if path.suffix != ".ipynb":
        return [_Source(text)]
    try:
        cells = json.loads(text)["cells"]
        code = [(i, cell["source"]) for i, cell in enumerate(cells, 1) if cell["cell_type"] == "code"]
        return [_Source(_without_magics("".join(lines)), f"cell {i}, ") for i, lines in code]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(path, f"is no notebook: {error!r}.", "Save it again with Jupyter.") from error


def _without_magics(text: str) -> str:
    """Return a cell as Python: lines for the notebook's own machinery stay as comments, so that lines keep numbers."""
    if text.startswith("%%"):
        if (re.match(r"%%(\w+)", text) or [""])[0][2:] not in _OF_PYTHON:
            return "\n".join("#" + line for line in text.splitlines())
        text = "#" + text
    text = re.sub(rf"(?m)^(\s*(?:[\w., ]+=\s*)?)%(?:{'|'.join(_OF_PYTHON)})[ \t]+{_OPTIONS}(?=\S)", r"\1", text)
    text = re.sub(r"(?m)^(\s*[\w., ]+=\s*)([%!].*)$", r"\1None  #\2", text)
    return re.sub(r"(?m)^(\s*)([%!?].*|.*[^#\s]\?+\s*)$", r"\1pass  #\2", text)


#: Magics behind which, and in whose cells, there is Python of this notebook; and their options.
_OF_PYTHON = ("time", "timeit", "capture", "prun", "memit", "mprun")
_OPTIONS = r"(?:-[a-zA-Z]\w*[ \t]+(?:\d+[ \t]+)?)*"


def _check(sources: Sequence[_Source]) -> list[Finding]:
    found: list[Finding] = []
    names = _Names()
    trees = []
    for source in sources:
        tree, problems = _parse(source)
        found += problems
        if tree is not None:
            trees.append((source, tree))
    for _, tree in trees:
        names.learn(tree)
    for source, tree in trees:
        for node, finding in _findings(tree, names):
            found.append(dataclasses.replace(finding, line=node.lineno, where=f"{source.label}line {node.lineno}"))
    return _sorted(found, sources)


def _sorted(found: list[Finding], sources: Sequence[_Source]) -> list[Finding]:
    order = {source.label: i for i, source in enumerate(sources)}
    unique = dict.fromkeys(found)  # two rules may say the same of one line
    return sorted(unique, key=lambda f: (order.get(f.where[: f.where.find("line ")], 0), f.line))


def _parse(source: _Source) -> tuple[ast.Module | None, list[Finding]]:
    """Return the tree, with the statements of Python 2 that hide it mended for reading only, and findings on them."""
    text = source.text.replace("\r\n", "\n").replace("\r", "\n")
    problems = []
    try:
        return ast.parse(text), []
    except _NO_TREE as error:
        first = error
    lines = text.expandtabs(8).split("\n")
    for i, line in enumerate(lines):
        mended = _modern(line)
        if mended != line:
            finding = python2_finding(line.strip(), mended.strip())
            problems.append(dataclasses.replace(finding, line=i + 1, where=f"{source.label}line {i + 1}"))
            lines[i] = mended
    last = first
    for _ in lines:  # what cannot be told from Python 3, where it stands in a text, is mended where Python stops alone
        try:
            return ast.parse("\n".join(lines)), problems
        except _NO_TREE as error:
            last = error if problems else first
        i = int(getattr(last, "lineno", None) or 0) - 1
        mended = _modern_words(lines[i]) if 0 <= i < len(lines) else ""
        if not mended or mended == lines[i]:
            break
        finding = python2_finding(lines[i].strip(), mended.strip())
        problems.append(dataclasses.replace(finding, line=i + 1, where=f"{source.label}line {i + 1}"))
        lines[i] = mended
    number = int(getattr(last, "lineno", None) or 1)
    said = getattr(last, "msg", str(last)) or type(last).__name__
    what = f"syntax error: {said}"
    why = "Neither Python 3 nor this check can read it: nothing else in it was looked at."
    broken = Finding(CHANGE, what, "", why, line=number, where=f"{source.label}line {number}")
    return None, [*problems, broken]


#: What the parser has to say of what it cannot read, too deep a nesting included.
_NO_TREE = (SyntaxError, ValueError, RecursionError, MemoryError)


def _modern_words(line: str) -> str:
    """Return a line with Python 2's exec, comparisons, backquotes and numbers as Python 3 has them."""
    line = re.sub(r"^(\s*(?:\S.*:\s+)?)exec\s+(?!\()(.*?)\s*$", r"\1exec(\2)", line)
    line = re.sub(r"`([^`]+)`", r"repr(\1)", line.replace("<>", "!="))
    line = re.sub(r"\bur(?=['\"])", "r", line)
    return re.sub(
        r"(?<![\w.])0([0-7]+)(?=[lL]?\b(?!\.))", r"0o\1", re.sub(r"(?<![\w.])(\d+|0[xX][\da-fA-F]+)[lL]\b", r"\1", line)
    )


def _modern(line: str) -> str:
    """Return a line with Python 2's print, exec, raise and except as Python 3 has them."""
    line = re.sub(r"^(\s*(?:\S.*:\s+)?)print\s*>>\s*([\w.]+)\s*,\s*(.*?),?\s*$", r"\1print(\3, file=\2)", line)
    line = re.sub(r"^(\s*(?:(?:if|for|while|else|try|with)\b.*:\s*)?)print\s*$", r"\1print()", line)
    line = re.sub(
        r"^(\s*(?:(?:if|for|while|else|elif|try|except|with)\b.*:\s*)?)print\s+(?!=|\()(.*?),?\s*$",
        r"\1print(\2)",
        line,
    )
    line = re.sub(r"^(\s*)print\s+(\(.*\)\s*[,%+].*?),?\s*$", r"\1print(\2)", line)
    line = re.sub(r"^(\s*except\s+[\w.]+)\s*,\s*(\w+)\s*:", r"\1 as \2:", line)
    return re.sub(r"^(\s*raise\s+[\w.]+)\s*,\s*(.+)$", r"\1(\2)", line)


class _Names:
    """What the names of a script stand for.

    Attributes
    ----------
    bound : dict of str to str
        Name (dotted, as written) -> what it is: a canonical name such as ``KinMS``, or ``module:kinms``.
    made : dict of str to str
        The same for the objects that calls made: ``cube maker``, ``sampler``, ...
    constants : dict of str to object
        Values of what is assigned once, where they can be read off.
    makers : dict of str to dict
        The arguments in the constructor of each cube maker; ``last_maker`` is that of any.
    """

    def __init__(self) -> None:
        self.bound: dict[str, str] = {}
        self.made: dict[str, str] = {}
        self.constants: dict[str, Any] = {}
        self._counts: dict[str, int] = {}
        self.makers: dict[str, dict[str, ast.expr]] = {}
        self.last_maker: dict[str, ast.expr] = {}

    def learn(self, tree: ast.Module) -> None:
        """Take in imports, then assignments."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.bound[alias.asname or alias.name] = f"module:{alias.name}"
            elif isinstance(node, ast.ImportFrom) and not node.level:
                for alias in node.names:
                    what = _canonical(node.module or "", alias.name)
                    if alias.name == "*":
                        self.bound.update({name: _canonical(node.module or "", name) for name in _STARRED})
                    elif what:
                        self.bound[alias.asname or alias.name] = what
        kinds = ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr
        assigned = [node for node in ast.walk(tree) if isinstance(node, kinds)]
        for node in assigned:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for name in ast.walk(target) if isinstance(target, ast.Tuple | ast.List) else [target]:
                    key = _text(name)
                    self._counts[key] = self._counts.get(key, 0) + 1
        for node in assigned:
            if node.value is None or isinstance(node, ast.AugAssign):
                continue
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self._assign(_text(target), node.value)

    def _assign(self, key: str, value: ast.expr) -> None:
        if isinstance(value, ast.Call):
            what = self.called(value.func)
            if what in MAKES:
                self.made[key] = MAKES[what]
                if what == "KinMS":
                    self.makers[key] = self.last_maker = bind_names(value, maker_order(value))
        if self._counts[key] == 1:
            constant = self.value(value)
            if constant is not None:
                self.constants[key] = constant

    def uses_cubes(self) -> bool:
        """Whether `KinMS` is among the names."""
        return any(what in ("KinMS", "module:kinms") for what in self.bound.values())

    def called(self, func: ast.expr) -> str | None:
        """Return the canonical name of what an expression stands for, None if it is none of ours."""
        text = _text(func)
        if text in self.bound:
            what = self.bound[text]
            return None if what.startswith("module:") else what
        head, _, tail = text.rpartition(".")
        module = self.bound.get(head, "")
        return _canonical(module.removeprefix("module:"), tail) if module.startswith("module:") else None

    def value(self, node: ast.expr | None) -> Any:
        """Return the number, or list of numbers, that an expression is known to be; None if it is not."""
        try:
            return None if node is None else self._value(node)
        except RecursionError:
            return None

    def _value(self, node: ast.expr) -> Any:
        key = _text(node)
        if key in self.constants:
            return self.constants[key]
        if isinstance(node, ast.Call) and _text(node.func).split(".")[-1] in ("array", "float", "int", "list", "tuple"):
            return self.value(node.args[0]) if node.args else None
        if isinstance(node, ast.List | ast.Tuple):
            parts = [self.value(part) for part in node.elts]
            return None if any(part is None for part in parts) else parts
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = self.value(node.operand)
            return -inner if isinstance(inner, int | float) else None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div | ast.Add | ast.Sub):
            left, right = self.value(node.left), self.value(node.right)
            if not (isinstance(left, int | float) and isinstance(right, int | float)):
                return None
            match node.op:
                case ast.Mult():
                    return left * right
                case ast.Div():
                    return left / right if right else None
                case ast.Add():
                    return left + right
                case _:
                    return left - right
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | bool):
            return node.value
        return None


#: Positional order of `gastimator.run`.
_RUN_ORDER = ("fdata", "error", "niters", "numatonce", "burn", "nchains", "plot", "output", "seed")

#: What a star import may bind.
_STARRED = ("KinMS", "KinMS_plotter", "gastimator", "makeplots", "radial_motion", "kinms_fitter", "corner_plot")


def _text(node: ast.expr | ast.AST) -> str:
    try:
        return ast.unparse(node)
    except RecursionError:  # a sum of hundreds of terms
        return f"the expression of line {getattr(node, 'lineno', 0)}"


def _canonical(module: str, name: str) -> str:
    """Return what ``from module import name`` brings: its name in this package, '' if it is none of ours."""
    top = module.split(".")[0]
    if top == "KinMS":
        return {"KinMS": FIRST_KINMS, "KinMS_plotter": "KinMS_plotter"}.get(name, "")
    if top == "kinms":
        if module in ("kinms.KinMS2", "kinms.KinMS_jax", "kinms.KinMS", "kinms.legacy"):
            return "KinMS" if name == "KinMS" else ""
        return "KinMS" if name in ("KinMS", "KinMS2") else name
    if top in ("gastimator", "gastimator_bridge"):
        return {"gastimator": "gastimator", "corner_plot": "corner_plot", "priors": "priors"}.get(name, "")
    if module in ("KinMS_figures", "makeplots", "sauron_colormap", "kinms_fitter", "kinms_fitter.kinms_fitter"):
        return name
    return ""


def maker_order(call: ast.Call) -> tuple[str, ...]:
    """Return the positional order of a constructor call, of KinMS 3's or 2's style."""
    args = [0.0 if _scalar_like(arg) else [0.0, 0.0] for arg in call.args]
    keywords = {key.arg: None for key in call.keywords if key.arg}
    try:
        return KINMS2 if everything_at_once(args, keywords) else TELESCOPE
    except TypeError:  # a mixture, of which the other rules tell
        return TELESCOPE


def _scalar_like(node: ast.expr) -> bool:
    """Whether an argument looks like a switch or a number: KinMS 3 has ``verbose`` where KinMS 2 has ``sbProf``."""
    return isinstance(node, ast.Constant)


def bind_names(call: ast.Call, order: Sequence[str]) -> dict[str, ast.expr]:
    """Return the arguments of a call by name; what a ** brings is not known."""
    given: dict[str, ast.expr] = {}
    for name, arg in zip(order, call.args, strict=False):
        if isinstance(arg, ast.Starred):
            break
        given[name] = arg
    given.update({key.arg: key.value for key in call.keywords if key.arg})
    return given


def _findings(tree: ast.Module, names: _Names) -> Iterator[tuple[Any, Finding]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from ((node, f) for f in _of_import(node, alias.name, "", alias.asname))
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node, f) for f in _of_from(node))
        elif isinstance(node, ast.Call):
            yield from ((node, f) for f in _of_call(node, names))
        elif isinstance(node, ast.Attribute):
            yield from ((node, f) for f in _of_attribute(node, names))
        elif isinstance(node, ast.BinOp | ast.AugAssign) and _is_inflation(node):
            yield node, inflation_finding(_text(node))


def _of_import(node: ast.AST, module: str, name: str, alias: str | None) -> Iterator[Finding]:
    finding = import_finding(_text(node), module, name, alias, missing_from=_missing)
    if finding is not None:
        yield finding


def _of_from(node: ast.ImportFrom) -> Iterator[Finding]:
    """One finding per line: the names that go the same way go together."""
    module = node.module or ""
    kept: dict[Any, list[ast.alias]] = {}
    for alias in node.names:
        finding = import_finding(_text(node), module, alias.name, alias.asname, missing_from=_missing)
        if finding is not None:
            kept.setdefault(finding, []).append(alias)
    joined: dict[tuple[str, str], Finding] = {}
    for finding in kept:
        head, _, tail = finding.fix.partition(" import ")
        before = joined.get((head, finding.why))
        if before is not None and tail and tail not in before.fix:
            finding = dataclasses.replace(before, fix=f"{before.fix}, {tail}")
        joined[head, finding.why] = finding
    yield from joined.values()


def _missing(module: str, name: str) -> str | None:
    """Return None if ``from module import name`` works here (``import module`` without a name), else a nearest name."""
    parts = module.split(".")
    if module != "kinms":
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError):
            spec = None
        if spec is None:
            known = sorted(p.stem for p in Path(kinms.__file__).parent.glob("*.py"))
            return (difflib.get_close_matches(parts[-1], known, 1) or [""])[0]
        if not name or name == "*":
            return None
        if spec.submodule_search_locations and importlib.util.find_spec(f"{module}.{name}"):
            return None
        text = Path(spec.origin).read_text(encoding="utf-8") if spec.origin else ""
        return None if re.search(rf"\b{re.escape(name)}\b", text) else ""
    if not name or name == "*" or name in kinms.__all__ or importlib.util.find_spec(f"kinms.{name}"):
        return None
    return (difflib.get_close_matches(name, kinms.__all__, 1) or [""])[0]


def _of_call(call: ast.Call, names: _Names) -> Iterator[Finding]:
    what = names.called(call.func)
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    owner = _text(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    value = names.value
    if what == "KinMS":
        order = maker_order(call)
        both = order is KINMS2 or any(key.arg is None for key in call.keywords)  # a ** may bring the rest of the disc
        allowed = (*TELESCOPE, *GALAXY, *(KINMS2 if both else ()))
        yield from about_cube(bind_names(call, order), value, allowed, constructor=True)
    elif what == FIRST_KINMS:
        known = {alias.lower(): alias for alias in (*KINMS2, *GALAXY)}
        given = {known.get(key.lower(), key): arg for key, arg in bind_names(call, TELESCOPE[:6]).items()}
        yield from about_cube(given, value, tuple(given), constructor=True, first=True)
    elif what in ("KinMS_plotter", "makeplots"):
        yield from about_figure(bind_names(call, ()))
    elif method == "model_cube" and names.uses_cubes():
        order = ("toplot",) if _is_finished(call, owner, names) else GALAXY
        telescope = names.makers.get(owner) or names.last_maker
        given = bind_names(call, order)
        # A class of the script's own may have a method of that name, and other arguments.
        ours = names.made.get(owner) == "cube maker" or _makes(call.func, names) == "KinMS"
        odd = ours and any(name not in (*order, *EFFORT) for name in given)
        allowed = (*order, *EFFORT, *plot_keywords()) if odd else ()
        yield from about_cube(given, value, allowed, constructor=False, telescope=telescope)
    elif method == "makeplots" and (names.made.get(owner) == "plotter" or _makes(call.func, names) == "KinMS_plotter"):
        yield from about_makeplots(bind_names(call, ()))
    elif method == "run" and names.made.get(owner) == "sampler":
        yield from about_run(bind_names(call, _RUN_ORDER), value)


def _makes(func: ast.expr, names: _Names) -> str | None:
    """Return what is called in ``maker(...).method``."""
    inner = func.value if isinstance(func, ast.Attribute) else None
    return names.called(inner.func) if isinstance(inner, ast.Call) else None


def _is_finished(call: ast.Call, owner: str, names: _Names) -> bool:
    """Whether model_cube is called on an object that has got its disc in the constructor."""
    func = call.func
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Call):
        return maker_order(func.value) is KINMS2
    return any(name in names.makers.get(owner, {}) for name in ("inc", "posAng", "sbProf"))


def _of_attribute(node: ast.Attribute, names: _Names) -> Iterator[Finding]:
    kind = names.made.get(_text(node.value))
    if kind is None:
        flows = _text(node.value).split(".")[-1] == "radial_motion" or names.called(node.value) == "radial_motion"
        flow = about_flow(node.attr) if flows else None
        if flow is not None:
            yield flow
        return
    finding = ATTRIBUTES.find(kind, node.attr, isinstance(node.ctx, ast.Store), _text(node))
    if finding is not None:
        yield finding


def _is_inflation(node: ast.BinOp | ast.AugAssign) -> bool:
    """Whether something is multiplied with (2 N)^(1/4)."""
    if not isinstance(node.op, ast.Mult):
        return False
    sides = [node.value] if isinstance(node, ast.AugAssign) else [node.left, node.right]
    return any(_is_fourth_root(side) for side in sides)


def _is_fourth_root(node: ast.expr) -> bool:
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)):
        return False
    power = node.right
    quarter = isinstance(power, ast.Constant) and power.value == 0.25
    if isinstance(power, ast.BinOp) and isinstance(power.op, ast.Div):
        quarter = [getattr(power.left, "value", None), getattr(power.right, "value", None)] in ([1, 4], [1.0, 4.0])
    return quarter and "2" in _text(node.left)
