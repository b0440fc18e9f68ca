"""Everything on, at equal success in a world: the peer's search against a short one.

    FORETHOUGHT_PEER=FOLDER taskset -c 0 python benchmarks/planning_world.py

A predictor of LeWorldModel's published size that knows two rooms (lewm_trained.py). One searches as
stable-worldmodel does by default: 300 samples, 30 rounds, 30 elites, 5 blocks of 5 actions, all of
which are executed, in exact float32; that its energies are the peer's own is shown by
planning_peer.py. The other searches with fewer candidates from a warm start, stops when its elites
agree, and imagines with the fastest units that agree with float32. Both get the same tasks.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from forethought import worlds
from forethought.actor import CEM, shift
from forethought.evaluation.statistics import wilson
from forethought.types import Imagination, Planner, PlanningProblem, Scores
from forethought.world_model.world_model import WorldModel
from harness import WORK, Benchmark, Figure, estimate, figure, main
from lewm_trained import BLOCK, HORIZON, Teacher, known

TASKS = 16
STEPS = 100
FIRST_TASK = 3_000_000
PEERS = CEM(horizon=HORIZON, num_samples=300, num_iterations=30, num_elites=30)
SHORT = CEM(
    horizon=HORIZON,
    num_samples=64,
    num_iterations=4,
    num_elites=8,
    shared_noise=0.5,
    settled=0.1,
)
Imagine = Callable[[Float[Tensor, "b k d"], Float[Tensor, "b n h a"]], Imagination]


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to act.

    Attributes:
        planner: the search.
        imagine: by what.
        executed: model steps of a plan that are executed.
    """

    planner: Planner
    imagine: Imagine
    executed: int


def measure(benchmark: Benchmark) -> None:
    model, teacher = known(WORK / "lewm_trained", benchmark.seeds[0])
    ways = {
        "the peer's search": Way(planner=PEERS, imagine=model.imagine, executed=HORIZON),
        "everything on": Way(planner=SHORT, imagine=model.imagine, executed=2),
    }
    for name, way in ways.items():
        label = name.replace(" ", "-").replace("'", "")
        benchmark.part(label, lambda _, way=way, name=name: drive(name, way, model, teacher))
    slow, quick = (
        next(f.value for f in benchmark.figures if f.name == f"{name}: a decision") for name in ways
    )
    benchmark.add(figure("the peer's search over everything on, a decision", slow / quick, ">= 20"))


def drive(name: str, way: Way, model: WorldModel, teacher: Teacher) -> Sequence[Figure]:
    """Success at the tasks, one by one, and seconds of the thread's own time a decision."""
    met, taken = [], []
    for task in range(FIRST_TASK, FIRST_TASK + TASKS):
        reached, seconds = one(task, way, model, teacher)
        met.append(reached)
        taken += seconds
    return [
        estimate(f"{name}: success", wilson(np.array(met)).to_json()),
        figure(f"{name}: a decision", statistics.median(taken), unit="s", n=len(taken)),
        figure(f"{name}: all decisions of a task", sum(taken) / TASKS, unit="s", n=TASKS),
    ]


@torch.no_grad()
def one(task: int, way: Way, model: WorldModel, teacher: Teacher) -> tuple[bool, list[float]]:
    """A single task: whether it was met, and what each decision took."""
    world, generator = worlds.make("two_rooms", 1), torch.Generator().manual_seed(task)
    observation, warm_start, taken = world.reset([task]), None, []
    (camera,) = teacher.model.signature.cameras

    def sees(picture: np.ndarray) -> Float[Tensor, "1 1 d"]:
        return teacher.sees({camera: torch.as_tensor(picture)[:, None, None]})

    goal = sees(world.goal()[camera])
    for _ in range(0, STEPS, way.executed * BLOCK):
        started = time.thread_time()
        problem = towards(goal, sees(observation[camera]), way.imagine, model)
        plan = way.planner.plan(problem, generator=generator, warm_start=warm_start)
        taken.append(time.thread_time() - started)
        warm_start = shift(plan, steps=way.executed)
        moves = plan.actions[0, : way.executed].reshape(-1, 2).numpy()
        for move in moves:
            observation = world.step(move[None])
            if world.succeeded()[0]:
                return True, taken
    return False, taken


def towards(
    goal: Float[Tensor, "1 1 d"],
    present: Float[Tensor, "1 1 d"],
    imagine: Imagine,
    model: WorldModel,
) -> PlanningProblem:
    """LeWM's energy: the squared distance of the last latent from the goal's."""

    def score(imagination: Imagination) -> Scores:
        gap = imagination.latents[:, :, -1] - goal[:, None]
        energy = gap.square().sum((-1, -2))
        feasible = torch.ones_like(energy, dtype=torch.bool)
        return Scores(energy=energy, terms={"goal": energy}, feasible=feasible)

    return PlanningProblem(
        imagine=lambda actions: imagine(present, actions),
        score=score,
        space=model.action_space,
        num_worlds=1,
    )


if __name__ == "__main__":
    main("planning_world", measure)
