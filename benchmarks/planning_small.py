"""Small models at the hardware's limit: the two rooms' own model on one thread.

How many latent steps it imagines a second, as a share of what large matrix products reach, and how
long a whole decision of the recipe's agent takes, from pixels. In seconds of the thread's own
processor time, which is what a clock shows where nobody else wants the core. The parts of a
decision are timed by themselves, again and again, and so find code and data in the cache; within a
decision they take longer.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from forethought import data, recipes, worlds
from forethought.actor import CEM
from forethought.agent import Agent
from forethought.model import Model
from forethought.types import Observation, World
from gemm import gemm_peak
from harness import Benchmark, figure, main

CANDIDATES, HORIZON = 16384, 8
"""Sequences imagined at once, where the number is what counts."""
DECISIONS, BEFORE = 300, 20
"""Decisions that are timed, and those before them that are not."""
TURNS = 9


def measure(benchmark: Benchmark) -> None:
    model = trained(benchmark)
    rate, flop = imagined_steps(model), flop_of_a_step(model)
    peak = gemm_peak()
    benchmark.add(
        figure("imagined latent steps a second", rate, ">= 2000000", n=TURNS),
        figure("operations of a step", flop / 1e3, unit="kFLOP"),
        figure("large matrix products", peak / 1e9, unit="GFLOP/s"),
        figure("share of it in imagining", rate * flop / peak),
    )
    world = worlds.make("two_rooms", 1)
    observation = world.reset([benchmark.seeds[0]])
    acting = recipes.acting(recipes.get("two_rooms"))
    agent = acting.agent(model, world.goal(), 1, seed=benchmark.seeds[0])
    taken = sorted(1e3 * one for one in decisions(agent, world, observation))
    benchmark.add(
        figure("decision, median", statistics.median(taken), "<= 1.5", unit="ms", n=DECISIONS),
        figure("decision, p99", taken[DECISIONS * 99 // 100], unit="ms", n=DECISIONS),
    )
    for name, milliseconds in parts(agent, model).items():
        benchmark.add(figure(f"{name}, by itself", milliseconds, unit="ms", n=TURNS))


def trained(benchmark: Benchmark) -> Model:
    """The recipe's model on fewer recordings, which makes it no smaller."""
    folder = benchmark.folder("run")
    dataset = data.record(
        worlds.make("two_rooms", 50),
        folder / "data",
        num_episodes=200,
        episode_length=100,
        resume=benchmark.resume,
        visible=False,
    )
    return recipes.train(
        dataset,
        recipe="two_rooms",
        out=folder / "run",
        resume=benchmark.resume,
        visible=False,
    ).eval()


@torch.no_grad()
def imagined_steps(model: Model) -> float:
    """Latent steps a second of many candidates."""
    world_model = model.world_model
    latents = torch.randn(1, world_model.num_tokens, world_model.width)
    actions = torch.rand(1, CANDIDATES, HORIZON, world_model.action_width)
    return CANDIDATES * HORIZON / seconds(lambda: world_model.imagine(latents, actions))


def flop_of_a_step(model: Model) -> int:
    """Of the predictor's matrix products: two for each weight."""
    predictor = model.world_model.predictor
    return 2 * sum(weight.numel() for weight in predictor.parameters() if weight.ndim == 2)


def decisions(agent: Agent, world: World, observation: Observation) -> list[float]:
    """Seconds of the world steps at which a plan is made, after a few that are not counted."""
    taken: list[float] = []
    task = 0
    while len(taken) < DECISIONS + BEFORE:
        started = time.thread_time()
        decision = agent.act_batch(observation)
        if decision.plan_step == 0:
            taken.append(time.thread_time() - started)
        observation = world.step(decision.action)
        if world.succeeded().all():
            # Another start; the agent goes on seeking what it was made for.
            task += 1
            observation = world.reset([task])
    return taken[BEFORE:]


@torch.no_grad()
def parts(agent: Agent, model: Model) -> dict[str, float]:
    """Milliseconds of what a decision of the recipe is made of."""
    world_model, planner = model.world_model, agent.actor
    assert isinstance(planner, CEM)
    (camera,) = model.signature.cameras
    shape = model.signature.observation[camera].shape
    picture = {camera: torch.zeros(1, 1, *shape, dtype=torch.uint8)}
    latents = world_model.encode(picture)
    actions = torch.rand(1, planner.num_samples, planner.horizon, world_model.action_width)
    score, imagination = agent.cost.bind(agent.sight), world_model.imagine(latents, actions)
    calls: dict[str, Callable[[], object]] = {
        "perceiving": lambda: world_model.encode(picture),
        "imagining a round of candidates": lambda: world_model.imagine(latents, actions),
        "scoring a round of candidates": lambda: score(imagination),
    }
    return {name: 1e3 * seconds(call, calls=50) for name, call in calls.items()}


def seconds(call: Callable[[], object], *, calls: int = 1) -> float:
    """Of one call, the median of several turns."""
    call()
    taken = []
    for _ in range(TURNS):
        started = time.thread_time()
        for _ in range(calls):
            call()
        taken.append((time.thread_time() - started) / calls)
    return statistics.median(taken)


if __name__ == "__main__":
    main("planning_small", measure)
