"""What all tests share."""

import os

# Before numpy is imported anywhere: workers of the test run must not fight for cores.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from hypothesis import settings  # noqa: E402  (numpy comes with it)

# The same examples in every run, and no clock: machines that run tests are busy ones.
settings.register_profile("kinms", deadline=None, derandomize=True)
settings.load_profile("kinms")
