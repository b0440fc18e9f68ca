"""How many minutes of experience does it take to drive?

LeCun (2022) asks how a person learns to drive in about twenty hours. Here a car on Gymnasium's
CarRacing tracks learns from so many minutes, seen in pictures of 48x48: an agent that plans with a
world model learned from straying about, where nobody drives, and behaviour cloning, which needs
somebody who does. All are asked to drive 150 metres of tracks that no recording was made on.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from forethought import data, recipes, worlds
from forethought.baselines import (
    CloningConfig,
    Following,
    GoalPolicyConfig,
    HindsightGoalConfig,
    train_policy,
)
from forethought.data import Dataset
from forethought.data.behaviours import Behaviour, explore
from forethought.evaluation.planning import Actor
from forethought.evaluation.statistics import wilson
from forethought.learning import OptimiserConfig
from forethought.learning.train import CollapseWarning, train
from forethought.types import Observation, World
from harness import Benchmark, Figure, estimate, figure, main

WORLD = "car_racing"
STEPS = 2000
"""Of training, for every learner and whatever the recording's length."""
CLONED_BATCH = 64
"""Model steps of cloning at a time."""
TASKS, FIRST_TASK, BUDGET = 50, 2_000_000, 150
"""Others than those that the recipe's cost and search were chosen on."""
ENOUGH = 0.8
GROUP = 25
"""Copies recorded in lockstep; shorter recordings are the beginnings of longer ones."""
MakeActor = Callable[[Observation], Actor]
"""From the first observations of all tasks to who drives."""


def measure(benchmark: Benchmark) -> None:
    warnings.simplefilter("ignore", CollapseWarning)
    benchmark.part("bounds", lambda folder: bounds())
    for name, (learn, behaviour, sizes) in LEARNERS.items():
        for minutes in sizes:
            for seed in benchmark.seeds:
                label = f"{name.replace(',', '').replace(' ', '-')}-{minutes:g}-{seed}"
                measured = partial(learned, name, learn, behaviour, minutes, seed)
                benchmark.part(label, measured)
        found = {one.name: one.value for one in benchmark.figures}
        wanted = [[success_of(name, at, seed) for at in sizes] for seed in benchmark.seeds]
        if all(one in found for row in wanted for one in row):
            rates = np.array([[found[one] for one in row] for row in wanted])
            benchmark.add(*until_enough(name, sizes, rates))


def success_of(name: str, minutes: float, seed: int) -> str:
    """The figure of a learner's success."""
    return f"{title(name, minutes, seed)}: success"


def title(name: str, minutes: float, seed: int) -> str:
    """How figures are called."""
    return f"{name}, {minutes:g} min, seed {seed}"


# ------------------------------------------------------------------------- experience


def demonstrating(world: World, seed: int) -> Behaviour:
    """The oracle drives."""
    return lambda _: world.oracle()


def recorded(
    folder: Path, behaviour: Callable[[World, int], Behaviour], minutes: float, seed: int
) -> Dataset:
    """So many minutes of one car, by the clock of its world."""
    recording = recipes.get(WORLD).recording
    assert recording is not None
    length = recording.episode_length
    world = worlds.make(WORLD, GROUP)
    rows = minutes * 60 * world.signature.rate_hz
    return data.record(
        world,
        folder / "recording.lance",
        num_episodes=round(rows / length),
        episode_length=length,
        seed=seed,
        behaviour=behaviour,
        visible=False,
    )


def mirrored(recording: Dataset, folder: Path) -> Dataset:
    """The pictures of a recording and its actions, and the same with left and right exchanged.

    The world model of the recipe is shown every clip either way round as well.
    """
    signature = recording.signature
    (camera,) = signature.cameras
    signature = replace(signature, observation={camera: signature.observation[camera]})
    with data.create(folder / "mirrored.lance", signature) as writer:
        for number in range(recording.num_episodes):
            episode = recording.episode(number)
            seen = {camera: episode.observation[camera]}
            turned = {camera: np.ascontiguousarray(seen[camera][:, :, ::-1])}
            exchanged = episode.action * np.array([-1, 1], np.float32)
            writer.append(
                [
                    replace(episode, observation=seen),
                    replace(episode, observation=turned, action=exchanged),
                ]
            )
    return data.open(folder / "mirrored.lance")


# ------------------------------------------------------------------------- learners


def planning(recording: Dataset, folder: Path, seed: int) -> MakeActor:
    """A world model, and the recipe's search in it."""
    run = recipes.configure(WORLD, recording.signature, seed=seed, steps=STEPS)
    model = train(recording, replace(run, calibration=None), folder / "run", visible=False)
    acting = recipes.acting(recipes.get(WORLD))
    return lambda seen: acting.agent(model, seen, TASKS)


def cloning(recording: Dataset, folder: Path, seed: int) -> MakeActor:
    """The actions that were recorded, by a network that sees as the world model does."""
    run = recipes.configure(WORLD, recording.signature)
    config = CloningConfig(
        policy=GoalPolicyConfig(
            perception=run.world_model.perception, action_block=run.world_model.action_block
        ),
        optimiser=OptimiserConfig(num_steps=STEPS, batch_size=CLONED_BATCH, learning_rate=1e-3),
        goals=HindsightGoalConfig(current=1.0),
        seed=seed,
    )
    policy = train_policy(mirrored(recording, folder), config, folder / "run", visible=False)
    return lambda seen: Following(policy, seen)


Learn = Callable[[Dataset, Path, int], MakeActor]
LEARNERS: Mapping[str, tuple[Learn, Callable[[World, int], Behaviour], Sequence[float]]] = {
    "planning, nobody drives": (planning, explore, (2, 5, 10, 20)),
    "cloning, demonstrations": (cloning, demonstrating, (0.2, 0.5, 1, 2, 5)),
    "cloning, nobody drives": (cloning, explore, (20,)),
}
"""How each learns, from what, and from how many minutes of it."""


def learned(
    name: str,
    learn: Learn,
    behaviour: Callable[[World, int], Behaviour],
    minutes: float,
    seed: int,
    folder: Path,
) -> list[Figure]:
    """One learner from one recording."""
    recording = recorded(folder, behaviour, minutes, seed)
    return drive(title(name, minutes, seed), learn(recording, folder, seed))


# ------------------------------------------------------------------------- what is measured


def drive(name: str, make_actor: MakeActor) -> list[Figure]:
    """Tasks driven to their end, and those in which the road was left."""
    world = worlds.make(WORLD, 1)
    seen = world.reset(range(FIRST_TASK, FIRST_TASK + TASKS))
    actor = make_actor(seen)
    reached = np.zeros(TASKS, bool)
    for _ in range(BUDGET):
        seen = world.step(actor.act_batch(seen).action)
        reached |= world.succeeded()
    truth = world.truth()
    return [
        estimate(f"{name}: success", wilson(reached).to_json()),
        estimate(f"{name}: left the road", wilson(truth["left_road"] > 0).to_json()),
        figure(f"{name}: driven, median", float(np.median(truth["driven"])), unit="m"),
    ]


def bounds() -> list[Figure]:
    """Random actions, rolling on, and the oracle on the same tasks."""
    found = []
    for name, act in {
        "random actions": lambda world, draw: draw.uniform(-1, 1, (TASKS, 2)),
        "no action": lambda world, draw: np.zeros((TASKS, 2)),
        "oracle": lambda world, draw: world.oracle(),
    }.items():
        world, draw = worlds.make(WORLD, 1), np.random.default_rng(0)
        world.reset(range(FIRST_TASK, FIRST_TASK + TASKS))
        reached = np.zeros(TASKS, bool)
        for _ in range(BUDGET):
            world.step(np.asarray(act(world, draw), np.float32))
            reached |= world.succeeded()
        found.append(estimate(f"{name}: success", wilson(reached).to_json()))
    return found


# ------------------------------------------------------------------------- how soon


def until_enough(name: str, sizes: Sequence[float], rates: np.ndarray) -> list[Figure]:
    """Minutes until the success of all seeds together is enough, or the most where it never is.

    The interval is of success on so many tasks, drawn again from what was found (a parametric
    bootstrap; Efron and Tibshirani, 1993); its upper end is missing where such a draw may never
    come to be enough. Between sizes, success is taken to grow evenly with their logarithm; where
    the least is enough already, that is what is told.

    Args:
        name: of the learner.
        sizes: minutes.
        rates: ``(seeds, sizes)`` success.
    """
    mean, tasks = rates.mean(0), TASKS * len(rates)
    most = figure(f"{name}: most success", float(mean.max()))
    found = crossing(sizes, mean)
    if found is None:
        return [most]
    generator = np.random.default_rng(0)
    drawn = generator.binomial(tasks, mean, size=(2000, len(sizes))) / tasks
    times = np.sort([crossing(sizes, one) or np.inf for one in drawn])
    low, high = (float(times[int(share * len(times))]) for share in (0.025, 0.975))
    ends = {"low": low, "high": high if np.isfinite(high) else None}
    return [most, figure(f"{name}: minutes until {ENOUGH:.0%}", found, unit="min", n=tasks, **ends)]


def crossing(sizes: Sequence[float], rates: np.ndarray) -> float | None:
    """Minutes at which a curve first comes to be enough; None where it does not."""
    enough = np.flatnonzero(rates >= ENOUGH)
    if not len(enough):
        return None
    last = int(enough[0])
    if last == 0:
        return float(sizes[0])
    share = (ENOUGH - rates[last - 1]) / (rates[last] - rates[last - 1])
    begin, end = (math.log(sizes[at]) for at in (last - 1, last))
    return math.exp(begin + share * (end - begin))


if __name__ == "__main__":
    main("sample_efficiency", measure)
