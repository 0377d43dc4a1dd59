"""CPU time of the stages of one model, at T10 and M: ``python -m pytest benchmarks/test_stages.py``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kinms as km
from kinms.convolution import smoother
from kinms.sky_grid import SkyGrid, first_level
from kinms.sparse import SparseCube, blocked

sys.path.insert(0, str(Path(__file__).parent))
import workloads
from workloads import WORKLOADS, Workload

pytestmark = [
    pytest.mark.benchmark(timer=time.process_time, min_rounds=5, warmup=True, warmup_iterations=1),
    pytest.mark.filterwarnings("ignore:.*of the flux lies outside:kinms.KinmsWarning"),
]
SAMPLING = km.Sampling(accuracy=1e-3)


@pytest.fixture(params=["T10", "M"])
def w(request: pytest.FixtureRequest) -> Workload:
    return WORKLOADS[request.param]


@pytest.fixture
def cube(w: Workload) -> Any:
    return km.simulate(workloads.disc(w), workloads.grid(w), workloads.beam(w), SAMPLING)


def test_simulate(benchmark: Any, w: Workload) -> None:
    cube = benchmark(km.simulate, workloads.disc(w), workloads.grid(w), workloads.beam(w), SAMPLING)
    assert cube.stats.accuracy <= 1e-3


def test_posterior(benchmark: Any, w: Workload, cube: Any) -> None:
    fit = workloads.posterior(w, cube.data, 0.02 * float(cube.data.max()), SAMPLING)
    x = workloads.vectors(fit.labels, fit.start, seed=4)
    assert np.isfinite(benchmark(lambda: fit(next(x))))


def test_jacobian(benchmark: Any, w: Workload) -> None:
    paths = list(workloads.free(w))
    jacobian = benchmark(km.jacobian, workloads.disc(w), workloads.grid(w), workloads.beam(w), paths, SAMPLING)
    assert len(jacobian) == len(paths)


@pytest.fixture
def stages(w: Workload) -> tuple[Any, Any, Any, Any]:
    """Disc, its nodes, an empty cube for them, and the beam."""
    disc, grid = workloads.disc(w), workloads.grid(w)
    smooth = smoother(*grid.shape, workloads.beam(w), grid.cell, "auto")
    return disc, SkyGrid(disc, grid, first_level(disc, grid)), SparseCube(*smooth.shape), smooth


def test_deposit(benchmark: Any, stages: tuple[Any, Any, Any, Any]) -> None:
    disc, nodes, cube, _ = stages
    assert benchmark(nodes.deposit, disc, cube) > 0


def test_beam(benchmark: Any, stages: tuple[Any, Any, Any, Any]) -> None:
    disc, nodes, cube, smooth = stages
    nodes.deposit(disc, cube)
    assert benchmark(smooth.dense, cube)[1] > 0.0


def test_beam_and_chi2(benchmark: Any, stages: tuple[Any, Any, Any, Any]) -> None:
    disc, nodes, cube, smooth = stages
    nodes.deposit(disc, cube)
    data = blocked(smooth.dense(cube)[0])
    mm, md = benchmark(smooth.products, cube, data, None)
    assert mm == pytest.approx(md)
