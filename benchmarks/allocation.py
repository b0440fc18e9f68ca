"""What keeping freed memory is worth: the same training steps, in a process with it and without."""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

from harness import Benchmark, figure, main

STEPS, ROUNDS = 12, 5
WORK = f"""
import json, resource, sys, time
import torch
from forethought.allocation import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "kept":
    assert keep_freed_memory()
torch.manual_seed(0)
images = torch.randn(128, 16, 64, 64)
layers = torch.nn.Sequential(*(
    part for _ in range(3) for part in (torch.nn.Conv2d(16, 16, 3, padding=1), torch.nn.GELU())
))
def step():
    layers(images).square().mean().backward()
step()
before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
for _ in range({STEPS}):
    step()
spent, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({{"seconds": spent / {STEPS}, "system": after.ru_stime - before.ru_stime,
                   "user": after.ru_utime - before.ru_utime, "peak_mib": after.ru_maxrss / 1024}}))
"""


def measure(benchmark: Benchmark) -> None:
    """In turn, so that other work on the machine meets both."""
    found: dict[str, list[dict[str, float]]] = {"kept": [], "given back": []}
    for _ in range(ROUNDS):
        for name, runs in found.items():
            answer = subprocess.run(
                [sys.executable, "-c", WORK, name], capture_output=True, text=True, check=True
            )
            runs.append(json.loads(answer.stdout))
    middle = {
        name: {key: median(run[key] for run in runs) for key in runs[0]}
        for name, runs in found.items()
    }
    for name, one in middle.items():
        share = one["system"] / (one["system"] + one["user"])
        benchmark.add(
            figure(f"freed memory {name}: a step of three convolutions", one["seconds"], unit="s"),
            figure(f"freed memory {name}: share of the time in the kernel", share),
            figure(f"freed memory {name}: most memory in use", one["peak_mib"], unit="MiB"),
        )
    ratio = middle["given back"]["seconds"] / middle["kept"]["seconds"]
    benchmark.add(figure("faster with freed memory kept", ratio, "> 1"))


if __name__ == "__main__":
    main("allocation", measure)
