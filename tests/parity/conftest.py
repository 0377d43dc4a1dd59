"""Make this folder's modules importable by name, as they are for the scripts beside them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
