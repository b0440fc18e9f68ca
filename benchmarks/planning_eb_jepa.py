"""eb_jepa's planner for Two Rooms, re-created: the same numbers, and how fast.

What is compared
    The published configuration (facebookresearch/eb_jepa at 966e61e, ``planning_cem.yaml`` and
    ``train.yaml`` of its ``ac_video_jepa``): an IMPALA encoder (16, 32, 32) to 512 numbers; a GRU
    of hidden width 512 whose hidden state is the latent and whose input is the action; layer
    normalisation after both; CEM over 90 steps with 200 samples, 20 iterations and 20 elites, and
    the mean squared error from the goal's latent summed over the steps. Weights are random, since
    time does not depend on them. Ours computes with the units that are fastest here: ``exact`` all
    in float32, ``fast`` in any precision.

    The peer's way of it, told again here in a few lines: every iteration encodes the same picture
    once for each sample, asks ``nn.GRU`` for one step at a time, and lengthens the sequence of
    latents by concatenation. Energies are compared on candidates drawn as both searches begin.

    Where this differs from the peer: pictures are 64 x 64 x 3 instead of 65 x 65 x 2; activations
    come before the convolutions of a residual block instead of after; actions are bounded by a box
    where the peer scales them down to a norm; the peer counts the present as well, which is the
    same for all candidates and is left out here.

How it is timed
    On one thread, whole decisions in turns, in seconds of the thread's own processor time. The
    peer's way runs in processes of its own, with the allocator as it is, which the peer leaves
    alone; keeping freed memory is a part of ours.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.actor import CEM
from forethought.agent import Agent
from forethought.cost import goal
from forethought.model import Model, ModelConfig
from forethought.perception import IMPALAConfig, Normaliser, PerceptionConfig
from forethought.perception.encoders import stacked_pixels
from forethought.types import ActionSpec, ArraySpec, Signature
from forethought.world_model import RecurrentLatentConfig, WorldModelConfig
from forethought.world_model.fast import FastConfig
from gemm import gemm_peak
from harness import Benchmark, Figure, figure, main

CAMERA, SIDE, WIDTH = "observation.images.top", 64, 512
SAMPLES, HORIZON, ITERATIONS, ELITES = 200, 90, 20, 20
STD, LONGEST = 1.5, 2.45
TURNS = 3
ALONE = "--alone"


@dataclass(frozen=True)
class EbJepa:
    """The configuration, and one thing to decide.

    Attributes:
        model: encoder and predictor with random weights.
        seen: what is seen now, uint8 ``(64, 64, 3)``.
        sought: what is to be seen.
        planner: the search.
    """

    model: Model
    seen: np.ndarray
    sought: np.ndarray
    planner: CEM = field(
        default_factory=lambda: CEM(
            horizon=HORIZON,
            num_samples=SAMPLES,
            num_iterations=ITERATIONS,
            num_elites=ELITES,
            initial_std=STD / LONGEST,
        )
    )

    def present(self) -> Float[Tensor, "1 1 d"]:
        """The latent of what is seen."""
        return self.model.world_model.encode({CAMERA: torch.as_tensor(self.seen)[None, None]})

    def agent(self, seed: int, *, exact: bool) -> Agent:
        """Ours, on this model, with the units that are fastest here; all in float32, or not."""
        cost = goal(image=self.sought, distance=squared_error)
        fast = FastConfig(exact=exact, candidates=SAMPLES, horizon=HORIZON)
        return Agent(self.model, cost=cost, actor=self.planner, fast=fast, seed=seed)


def eb_jepa_configuration(seed: int = 0) -> EbJepa:
    """The published configuration with random weights and pictures."""
    torch.manual_seed(seed)
    perception = PerceptionConfig(
        encoders={CAMERA: IMPALAConfig(width=WIDTH, channels=(16, 32, 32), normalise=True)}
    )
    model = Model(
        ModelConfig(
            world_model=WorldModelConfig(perception=perception, predictor=RecurrentLatentConfig())
        ),
        Signature(
            observation={CAMERA: ArraySpec(shape=(SIDE, SIDE, 3), dtype="uint8")},
            action=ActionSpec(dim=2, low=(-LONGEST,) * 2, high=(LONGEST,) * 2),
            rate_hz=10.0,
        ),
        {"action": Normaliser([0.0, 0.0], [1.0, 1.0])},
    )
    pictures = np.random.default_rng(seed).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    return EbJepa(model.eval(), *pictures)


def squared_error(
    start: Float[Tensor, "*#batch k d"], goal: Float[Tensor, "*#batch k d"]
) -> Float[Tensor, "*#batch"]:
    """The distance that the peer plans with."""
    return (start - goal).square().mean((-1, -2))


class PeersWay:
    """The peer's search, on the same weights.

    Args:
        case: the configuration.
        seed: of its noise.
    """

    def __init__(self, case: EbJepa, seed: int) -> None:
        world_model = case.model.world_model
        (self.encoder,) = world_model.perception.by_key().values()
        predictor = world_model.predictor
        self.norm = predictor.norm
        self.gru = nn.GRU(2, WIDTH)
        ours = predictor.cell.state_dict()
        self.gru.load_state_dict(
            {
                "weight_ih_l0": ours["from_input.weight"],
                "weight_hh_l0": ours["from_hidden.weight"],
                "bias_ih_l0": ours["from_input.bias"],
                "bias_hh_l0": ours["from_hidden.bias"],
            }
        )
        self.picture = pixels(case.seen)
        self.target = self.encode(pixels(case.sought))
        self.generator = torch.Generator().manual_seed(seed)

    def decide(self) -> Float[Tensor, "h 2"]:
        """The mean of the last elites."""
        mean, std = torch.zeros(HORIZON, 2), torch.full((HORIZON, 2), STD)
        for _ in range(ITERATIONS):
            noise = torch.randn(HORIZON, SAMPLES, 2, generator=self.generator)
            actions = mean[:, None] + std[:, None] * noise
            norms = actions.norm(dim=-1, keepdim=True)
            actions = actions * norms.clamp_max(LONGEST) / (norms + 1e-6)
            energies = self.energies(actions.transpose(0, 1))
            elites = actions[:, energies.topk(ELITES, largest=False).indices]
            mean, std = elites.mean(1), elites.std(1)
        return mean

    def energies(self, actions: Float[Tensor, "n h 2"]) -> Float[Tensor, " n"]:
        """Of every candidate."""
        ahead = self.imagined(actions)[:, :, 1:]
        target = self.target.expand_as(ahead)
        return nn.functional.mse_loss(target, ahead, reduction="none").mean((1, 3, 4)).sum(1)

    def imagined(self, actions: Float[Tensor, "n h 2"]) -> Float[Tensor, "n d h_plus_1 1 1"]:
        """Latents side by side, the present first."""
        sequence = self.encode(self.picture.repeat(len(actions), 1, 1, 1))
        for step in range(actions.shape[1]):
            latest = sequence[:, :, -1:].flatten(1)[None].contiguous()
            ahead, _ = self.gru(actions[:, step][None].contiguous(), latest)
            ahead = self.norm(ahead)[0].unflatten(1, (-1, 1, 1, 1))
            sequence = torch.cat([sequence, ahead], dim=2)
        return sequence

    def encode(self, pictures: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d 1 1 1"]:
        """Latents of pictures that lie in memory channel by channel."""
        flat = self.encoder.sections(pictures).flatten(1)
        return self.encoder.norm(self.encoder.head(flat)).unflatten(1, (-1, 1, 1, 1))


def pixels(picture: np.ndarray) -> Float[Tensor, "1 3 h w"]:
    """A picture as the encoder's convolutions take it, channel by channel."""
    return stacked_pixels(torch.as_tensor(picture)[None, None]).contiguous()


def seconds(call: Callable[[], object]) -> float:
    """Of this thread's processor time."""
    started = time.thread_time()
    call()
    return time.thread_time() - started


def peers_seconds(seed: int) -> float:
    """Of one decision, in a process of its own."""
    command = [sys.executable, __file__, ALONE, str(seed)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@torch.no_grad()
def alone(seed: int) -> None:
    """The other end of :func:`peers_seconds`; what comes first in a process is not timed."""
    torch.set_num_threads(1)
    peer = PeersWay(eb_jepa_configuration(seed), seed)
    peer.energies(torch.zeros(SAMPLES, HORIZON, 2))
    print(seconds(peer.decide))


def agreement(name: str, case: EbJepa, agent: Agent, peer: PeersWay, seed: int) -> list[Figure]:
    """How near to the peer's the energies are that candidates get, and who is among the elites."""
    generator = torch.Generator().manual_seed(seed)
    candidates = STD * torch.randn(1, SAMPLES, HORIZON, 2, generator=generator)
    candidates = candidates.clamp(-LONGEST, LONGEST)
    imagination = agent.world_model.imagine(case.present(), candidates)
    ours = agent.cost.bind(agent.sight)(imagination).energy[0]
    theirs = peer.energies(candidates[0])
    chosen, expected = (
        set(energies.topk(ELITES, largest=False).indices.tolist()) for energies in (ours, theirs)
    )
    return [
        figure(
            f"{name}: energies, largest relative difference",
            float(((ours - theirs) / theirs).abs().max()),
            "<= 0.0001" if name == "exact" else None,
        ),
        figure(f"{name}: elites that are the peer's", len(chosen & expected) / ELITES, ">= 0.95"),
    ]


@torch.no_grad()
def measure(benchmark: Benchmark) -> None:
    seed = benchmark.seeds[0]
    case = eb_jepa_configuration(seed)
    peer = PeersWay(case, seed)
    agents = {name: case.agent(seed, exact=name == "exact") for name in ("exact", "fast")}
    for name, agent in agents.items():
        print(agent.world_model.report)
        benchmark.add(*agreement(name, case, agent, peer, seed))

    def decide(agent: Agent) -> None:
        agent.reset()
        agent.act({CAMERA: case.seen})

    latents, candidates = case.present(), torch.zeros(1, SAMPLES, HORIZON, 2)
    rollout = agents["exact"].world_model.imagine
    taken = [
        (
            peers_seconds(seed),
            *(seconds(partial(decide, agent)) for agent in agents.values()),
            seconds(lambda: rollout(latents, candidates)),
        )
        for _ in range(TURNS)
    ]
    theirs, *ours, imagining = map(statistics.median, zip(*taken, strict=True))
    peak = gemm_peak()
    flop = 2 * SAMPLES * HORIZON * 3 * WIDTH * (WIDTH + 2)
    benchmark.add(figure("a decision, the peer's way", theirs, unit="s", n=TURNS))
    for name, mine in zip(agents, ours, strict=True):
        benchmark.add(
            figure(f"{name}: a decision", mine, unit="s", n=TURNS),
            figure(f"{name}: times as fast", theirs / mine, ">= 5", n=TURNS),
        )
    benchmark.add(
        figure("operations of a decision", ITERATIONS * flop / 1e9, unit="GFLOP"),
        figure("large matrix products", peak / 1e9, unit="GFLOP/s"),
        figure("exact: share of it in a rollout", flop / imagining / peak),
        figure("exact: share of it in a decision", ITERATIONS * flop / ours[0] / peak),
    )


if __name__ == "__main__":
    if ALONE in sys.argv:
        alone(int(sys.argv[-1]))
    else:
        main("planning_eb_jepa", measure)
