# make demo   environment, then the main job on a mock galaxy: simulate, read back, fit, report (into demo/)
# make test   environment, then style, types and all tests
# make fuzz   20000 broken FITS files read or refused, which takes a quarter of an hour
# make goldens  upstream's figures for tests/parity, from an environment made for it; takes a quarter of an hour
# make bench  speed and accuracy beside other codes, each in its own environment; rewrites benchmarks/README.md
# make bench-fit  the tutorial's whole fit beside upstream's, which takes about half an hour
# make bench-calibration  how often the truth lies inside the error bars, which takes half an hour
# make compat  fits made by kinms_fitter, installed from its package, on top of this one, beside our own: ten minutes
# make picture  the demo again, its summary figure kept for README.md
# make clean  remove what the two above made

# The first Python on the path that is new enough.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two processes at once: what the smallest machine we care for has. Numerical libraries stay on one thread each.
WORKERS ?= 2
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: env demo picture test lint fuzz goldens bench bench-fit bench-calibration compat clean

env: $(STAMP)

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || (echo "kinms needs Python 3.11 or newer; say which with make PYTHON=..." && exit 1)
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

demo: env
	$(BIN)/python data/make_demo.py demo

picture: demo
	cp demo/fit/summary.png data/demo_summary.png

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -W error -n $(WORKERS) --dist worksteal

fuzz: env
	$(BIN)/python tests/fuzz/run.py --cases 20000

goldens: env
	$(BIN)/python tests/parity/make_goldens.py

bench: env
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,bench]'
	$(BIN)/python benchmarks/vs_peers.py
	$(BIN)/python -m pytest benchmarks/test_stages.py

bench-fit: env
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,bench]'
	$(BIN)/python benchmarks/tutorial_fit.py

bench-calibration: env
	$(BIN)/python benchmarks/calibration.py
	$(BIN)/python benchmarks/calibration.py --only correlated/correlated/laplace --mocks 500

compat: env
	$(BIN)/python tests/client/run_client.py

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache *.egg-info
