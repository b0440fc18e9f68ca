"""Freed memory stays with the process, and its answers stay the same."""

from __future__ import annotations

import gc
import json
import platform
import subprocess
import sys

import pytest

from forethought.allocation import uninterrupted

WORK = """
import json, resource, sys
import torch
from forethought.allocation import keep_freed_memory, uninterrupted
torch.set_num_threads(1)
done = keep_freed_memory() if sys.argv[1] == "kept" else False
first = torch.arange(12_000_000, dtype=torch.float32)
total = 0.0
for _ in range(2):
    total += float((first * 2).sum())
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    total += float((first * 2).sum())
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
print(json.dumps({"done": done, "faults": faults, "total": total}))
"""


def run(name: str) -> dict:
    answer = subprocess.run(
        [sys.executable, "-c", WORK, name], capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_what_is_freed_is_not_fetched_again() -> None:
    """Twenty tensors of 48 MB are 240,000 pages, or 480 large ones; glibc keeps none by itself."""
    kept, given_back = run("kept"), run("given back")
    assert kept["done"] and not given_back["done"]
    assert 2 * kept["faults"] < given_back["faults"]
    assert kept["total"] == given_back["total"]


def test_no_garbage_is_looked_for_meanwhile() -> None:
    """But again afterwards, also after an error; who has turned it off finds it off."""
    seen: list[bool] = []

    @uninterrupted
    def look(fail: bool) -> int:
        seen.append(gc.isenabled())
        if fail:
            raise ValueError("asked for")
        return 7

    assert look(False) == 7 and gc.isenabled()
    with pytest.raises(ValueError, match="asked for"):
        look(True)
    assert gc.isenabled() and seen == [False, False]
    gc.disable()
    try:
        assert look(False) == 7 and not gc.isenabled()
    finally:
        gc.enable()
