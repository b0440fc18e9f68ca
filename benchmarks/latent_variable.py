"""A future that a coin decides: with a latent variable, and without one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from forethought import data, recipes, worlds
from forethought.cost import Expected, Worst
from forethought.data import Dataset
from forethought.evaluation.planning import PlanningProtocol
from forethought.evaluation.statistics import wilson
from forethought.learning.train import train
from forethought.model import Model
from forethought.recipes.fork import clear_of_the_obstacle
from forethought.types import Chance
from forethought.worlds.fork import JUNCTION, MIDDLE, Fork
from harness import Benchmark, Figure, estimate, figure, main

NEAR = 5.0
"""Pixels within which an imagined obstacle counts as where it may be."""
DRAWS = 16
AHEAD = 4
"""Model steps imagined: from before the turn to well after it."""
PLACE = ("obstacle.x", "obstacle.y")


def measure(benchmark: Benchmark) -> None:
    recipe = recipes.get("fork")
    recording = recipe.recording
    assert recording is not None
    recorded = data.record(
        worlds.make("fork", recording.num_worlds),
        benchmark.folder("data") / "fork.lance",
        num_episodes=recording.num_episodes,
        episode_length=recording.episode_length,
        resume=benchmark.resume,
    )
    for seed in benchmark.seeds:
        benchmark.part(f"{seed}", partial(compared, recorded, seed, recipe.planning))


def compared(
    recorded: Dataset, seed: int, protocol: PlanningProtocol, folder: Path
) -> list[Figure]:
    """Both models of a seed: what they foresee, and what agents do with them."""
    several = trained(recorded, seed, folder, several=True)
    one = trained(recorded, seed, folder, several=False)
    return [*foresight(seed, several, one), *acting(seed, several, one, protocol)]


def trained(recorded: Dataset, seed: int, folder: Path, *, several: bool) -> Model:
    """The recipe's model, or the same without its latent variable."""
    config = recipes.configure("fork", recorded.signature, seed=seed)
    if not several:
        config = replace(config, world_model=replace(config.world_model, latent_variable=None))
    return train(recorded, config, folder / ("several" if several else "one"))


# ------------------------------------------------------------------------- what is foreseen


def foresight(seed: int, several: Model, one: Model) -> list[Figure]:
    """Whether imagined futures cover both turns, where one imagined future lies between them."""
    block = several.config.world_model.action_block
    observed, actions, ends = before_the_turn(200, block)
    drawn = imagined(several, observed, actions, Chance(num_outcomes=DRAWS, seed=seed))
    single = imagined(one, observed, actions, None)
    ways = np.stack([ends, ends * [1, -1] + [0, 2 * MIDDLE]], axis=1)  # a turn, and its mirror
    near = np.linalg.norm(drawn[:, :, None] - ways[:, None], axis=-1) < NEAR
    near_one = np.linalg.norm(single[:, :, None] - ways[:, None], axis=-1) < NEAR
    prefix = f"seed {seed}: "
    return [
        estimate(
            prefix + "latent variable: both turns among 16 futures",
            wilson(near.any(1).all(1)).to_json(),
            ">= 0.9",
        ),
        estimate(
            prefix + "latent variable: futures that are one of the turns",
            wilson(near.any(2).flatten()).to_json(),
        ),
        estimate(
            prefix + "deterministic: its future is one of the turns",
            wilson(near_one.any(2).flatten()).to_json(),
        ),
        figure(
            prefix + "latent variable: mean distance from the middle lane",
            float(np.abs(drawn[..., 1] - MIDDLE).mean()),
            unit="px",
        ),
        figure(
            prefix + "deterministic: mean distance from the middle lane",
            float(np.abs(single[..., 1] - MIDDLE).mean()),
            unit="px",
        ),
        figure(
            prefix + "truth: mean distance from the middle lane",
            float(np.abs(ends[:, 1] - MIDDLE).mean()),
            unit="px",
        ),
    ]


def before_the_turn(count: int, block: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Situations in which the obstacle is about to turn, and where it ends, as the coin fell.

    Args:
        count: situations.
        block: world steps in a model step.

    Returns:
        Two stacked frames per key, model actions ``(b, h, a)`` that stand still, and the ends.
    """
    world = worlds.make("fork", count)
    assert isinstance(world, Fork)
    frames = [world.reset(range(3_000_000, 3_000_000 + count))]
    obstacles = [world.obstacle.copy()]
    caught = np.full(count, -1)
    for step in range(1, 60):
        frames.append(world.step(np.zeros((count, 2), np.float32)))
        obstacles.append(world.obstacle.copy())
        close = ~world.turned & (world.obstacle[:, 0] < JUNCTION + 2.5)
        caught = np.where((caught < 0) & close, step, caught)
    observed = {
        key: np.stack(
            [np.stack([frames[s - 1][key][i], frames[s][key][i]]) for i, s in enumerate(caught)]
        )
        for key in frames[0]
    }
    ends = np.stack([obstacles[s + block * AHEAD][i] for i, s in enumerate(caught)])
    return observed, np.zeros((count, AHEAD, 2 * block), np.float32), ends


@torch.no_grad()
def imagined(
    model: Model, observed: dict[str, np.ndarray], actions: np.ndarray, chance: Chance | None
) -> np.ndarray:
    """Where the obstacle is imagined to end: ``(b, m, 2)``."""
    latents = model.world_model.encode({key: torch.as_tensor(v) for key, v in observed.items()})
    pushes = torch.as_tensor(actions)[:, None]
    futures = model.world_model.imagine(latents, pushes, chance=chance)
    read = model.read(futures.latents[:, :, -1])
    return torch.stack([read[name] for name in PLACE], dim=-1).numpy()


# ------------------------------------------------------------------------- what is done


def acting(seed: int, several: Model, one: Model, protocol: PlanningProtocol) -> list[Figure]:
    """Collisions and arrivals of the same planner with one future, on average, and at worst."""
    figures, collided = [], {}
    for label, model, risk, outcomes in (
        ("deterministic", one, Expected(), 1),
        ("latent, average", several, Expected(), 4),
        ("latent, worst", several, Worst(), 4),
    ):
        found, collided[label] = drive(seed, label, model, risk, outcomes, protocol)
        figures += found
    for name in ("average", "worst"):
        # A planner that never collided is counted as half a collision, so that the ratio is finite.
        fewer = collided["deterministic"] / max(0.5, collided[f"latent, {name}"])
        label = f"seed {seed}: deterministic collisions over {name}'s"
        figures.append(figure(label, fewer, ">= 5"))
    return figures


def drive(
    seed: int,
    label: str,
    model: Model,
    risk: Expected | Worst,
    num_outcomes: int,
    protocol: PlanningProtocol,
) -> tuple[list[Figure], int]:
    """Plays held-out tasks; returns figures, and the episodes with a collision."""
    settings = recipes.acting(recipes.get("fork"))
    settings = replace(
        settings,
        goal=lambda observation: clear_of_the_obstacle(observation).at(risk),
        num_outcomes=num_outcomes,
    )
    world = worlds.make("fork", protocol.episodes)
    observation = world.reset(range(protocol.seed, protocol.seed + protocol.episodes))
    agent = settings.agent(model, world.goal(), protocol.episodes, seed=seed)
    arrived = np.zeros(protocol.episodes, dtype=bool)
    for _ in range(protocol.budget):
        observation = world.step(agent.act_batch(observation).action)
        arrived |= np.asarray(world.succeeded())
    collided = world.truth()["collided"] > 0
    prefix = f"seed {seed}: {label}: "
    figures = [
        estimate(prefix + "collisions", wilson(collided).to_json()),
        estimate(prefix + "at the goal, unharmed", wilson(arrived & ~collided).to_json()),
    ]
    return figures, int(collided.sum())


if __name__ == "__main__":
    main("latent_variable", measure, seeds=3)
