"""The benchmark that waits for a GPU: its searches agree, and its rehearsal runs."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

from forethought.evaluation import roofline

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def planning_gpu(monkeypatch) -> ModuleType:
    """The benchmark, on a machine whose peaks take no time to measure."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(roofline, "SIDES", (8, 16))
    monkeypatch.setattr(roofline, "STREAM_BYTES", 2**12)
    return importlib.import_module("planning_gpu")


@pytest.fixture
def bench(planning_gpu):
    return planning_gpu.Bench.at(planning_gpu.rehearsal(), torch.zeros(()).device, 0, 1)


@torch.no_grad()
def test_a_round_that_is_played_back_searches_as_the_planner_does(planning_gpu, bench) -> None:
    """The same random numbers, the same plan."""
    plans = [
        search(bench.world_model, bench.task)(torch.Generator().manual_seed(5))
        for search in (planning_gpu.eager, planning_gpu.recorded)
    ]
    torch.testing.assert_close(*plans)


@torch.no_grad()
def test_candidates_differ_behind_open_gates(bench) -> None:
    """Else every plan would be as good as any other, and nothing would be compared."""
    found = bench._judged(bench.world_model)
    assert found.std() > 1e-3 * found.mean()


def test_it_rehearses_where_there_is_no_gpu(planning_gpu, monkeypatch, tmp_path) -> None:
    """Figures of every way, none of them kept as results; float32 agrees with itself."""
    harness = importlib.import_module("harness")
    monkeypatch.chdir(tmp_path)
    benchmark = harness.Benchmark(name="planning_gpu", seeds=[0], data=None, device="cpu")
    planning_gpu.measure(benchmark)
    found = {one.name: one.value for one in benchmark.figures}
    assert benchmark.rehearsal
    for way in ("float32, eager", "bfloat16, eager", "float32, recorded", "bfloat16, recorded"):
        least = found[f"{way}: least time by the roofline"]
        assert found[f"{way}: share of the roofline"] == pytest.approx(
            least / found[f"{way}: a plan"]
        )
    assert found["float32, recorded: energies, largest relative difference"] == 0
    assert 0 < found["bfloat16, eager: energies, largest relative difference"] < 0.05


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(planning_gpu) -> None:
    harness = importlib.import_module("harness")
    with pytest.raises(SystemExit, match="no CUDA device"):
        planning_gpu.measure(harness.Benchmark(name="planning_gpu", seeds=[0], data=None))
