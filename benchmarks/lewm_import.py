"""An imported LeWorldModel beside stable-worldmodel's own code: the same numbers, and how fast.

At the published size (18 M parameters, 224 pixels) with random weights. FORETHOUGHT_PEER names the
folder with the peer's packages, see lewm_fixture.py. Times are medians of interleaved calls.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from forethought.types import ActionSpec, Past
from forethought.world_model.lewm import import_lewm
from harness import Benchmark, figure, main
from lewm_fixture import build, configuration, import_peer, latents, prediction, rollout

CANDIDATES = 300
"""Sequences that the peer's planners imagine at once."""
HORIZON = 5
REPEATS = 25
WIDTH = 192
PUBLISHED = configuration(
    encoder={"patch_size": 14, "image_size": 224},
    predictor={
        "num_frames": 3,
        "input_dim": WIDTH,
        "hidden_dim": WIDTH,
        "output_dim": WIDTH,
        "depth": 6,
        "heads": 16,
        "mlp_dim": 2048,
        "dim_head": 64,
        "dropout": 0.1,
        "emb_dropout": 0.0,
    },
    action={"input_dim": 10, "emb_dim": WIDTH},
    head={"input_dim": WIDTH, "output_dim": WIDTH, "hidden_dim": 2048},
)


def medians(ours: Callable[[], object], peers: Callable[[], object]) -> tuple[float, float]:
    """Seconds of each, measured in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for call, found in zip((ours, peers), times, strict=True):
            started = time.perf_counter()
            call()
            found.append(time.perf_counter() - started)
    return statistics.median(times[0]), statistics.median(times[1])


def compare(
    benchmark: Benchmark, name: str, ours: Callable[[], Tensor], peers: Callable[[], Tensor]
) -> None:
    """The largest difference of two answers, and what they take."""
    difference = float((ours() - peers()).abs().max())
    mine, theirs = medians(ours, peers)
    benchmark.add(
        figure(f"{name}: largest difference", difference, "<= 0.0001"),
        figure(f"{name}: ours", 1000 * mine, unit="ms", n=REPEATS),
        figure(f"{name}: peer's", 1000 * theirs, unit="ms", n=REPEATS),
        figure(f"{name}: time over peer's", mine / theirs, "<= 1.0", n=REPEATS),
    )


@torch.inference_mode()
def measure(benchmark: Benchmark) -> None:
    generator = torch.Generator().manual_seed(benchmark.seeds[0])
    peer: Any = build(import_peer(), PUBLISHED, generator)
    folder = benchmark.folder("checkpoint")
    (folder / "config.json").write_text(json.dumps(PUBLISHED))
    torch.save(peer.state_dict(), folder / "weights.pt")
    world_model = import_lewm(
        folder,
        action=ActionSpec(dim=2, low=(-1.0, -1.0), high=(1.0, 1.0)),
        action_mean=(0.0, 0.0),
        action_std=(1.0, 1.0),
        rate_hz=10.0,
    )
    (camera,) = world_model.signature.cameras
    frame = torch.randint(0, 256, (1, 1, 224, 224, 3), generator=generator, dtype=torch.uint8)
    actions = torch.randn(CANDIDATES, 3, 10, generator=generator)
    planned = torch.randn(CANDIDATES, HORIZON, 10, generator=generator)
    past = torch.randn(CANDIDATES, 3, WIDTH, generator=generator)

    def encoded() -> Tensor:
        return world_model.encode({camera: frame})[:, 0]

    def predicted(seen: Tensor = past) -> Tensor:
        return world_model.predictor(seen.unsqueeze(2), actions)[:, 0]

    def present(latent: Tensor) -> Tensor:
        return torch.cat([past[:, :2], latent.expand(CANDIDATES, 1, -1)], dim=1)

    def imagined() -> Tensor:
        before = Past(latents=past[:, :2].unsqueeze(2), actions=actions[:, :2])
        return world_model.rollout(past[:, 2:], planned, past=before)[:, 1:, 0]

    compare(benchmark, "encoder, one frame", encoded, lambda: latents(peer, frame)[0])
    compare(
        benchmark,
        f"predictor, {CANDIDATES} candidates",
        predicted,
        lambda: prediction(peer, past, actions),
    )
    compare(
        benchmark,
        "both",
        lambda: predicted(present(encoded())),
        lambda: prediction(peer, present(latents(peer, frame)[0]), actions),
    )
    compare(
        benchmark,
        f"rollout, {HORIZON} steps",
        imagined,
        lambda: rollout(peer, past, actions[:, :2], planned),
    )


if __name__ == "__main__":
    main("lewm_import", measure)
