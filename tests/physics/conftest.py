"""Make `reference.py` importable as `physics_reference`: in pytest's importlib mode this folder is not on the path."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("physics_reference", Path(__file__).with_name("reference.py"))
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
# Registered before it is executed: dataclasses look their module up by name.
sys.modules[_spec.name] = _module
_spec.loader.exec_module(_module)
