"""Two claims about prediction: where to predict, and what becomes of errors that feed themselves.

*In latents or in pixels?* The joint-embedding model and one that draws the future have the same
encoder and predictor, the same recording, and as many steps of training, which take as long.

*Do rollouts drift exponentially?* Imagined places against true ones, step by step, in held-out
episodes: is the mean error's course nearer to an exponential or to a power of the steps, and are
fewer rollouts still right after twenty steps than the first five foretell, if each step failed by
itself? A model that writes frames token by token is asked as well, and a pendulum that falls, where
errors must grow. Beside it, whether agents that look again at every model step fail at far goals.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from forethought import data, recipes, worlds
from forethought.baselines.frame_transformer import token_run
from forethought.baselines.pixels import drawing_run
from forethought.data import Dataset
from forethought.evaluation.planning import PlanningResults, evaluate
from forethought.evaluation.statistics import Estimate, bootstrap_mean, wilson
from forethought.learning import TrainConfig
from forethought.learning.train import CollapseWarning, train
from forethought.model import Model
from harness import Benchmark, Figure, estimate, figure, main
from rollouts import rollout_distances

BLOCKS = 20
EPISODE_LENGTH = {"two_rooms": 5 * BLOCKS + 26, "pendulum": 3 * BLOCKS + 20}
PLACES = {
    "two_rooms": ("position.x", "position.y"),
    "pendulum": ("angle.cos", "angle.sin"),
}
"""By which quantities it is told how far off an imagined state is."""
TOLERANCE = {"two_rooms": 3.0, "pendulum": 0.2}
"""Up to which a place counts as right, in its own units."""
EARLY = 5
TASKS = 200
RESAMPLES = 1000


def as_many_steps(run: TrainConfig) -> TrainConfig:
    """The same encoder and predictor, taught by drawing the future for as many steps."""
    return drawing_run(run, num_steps=run.objective.optimiser.num_steps)


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to predict, in a world.

    Attributes:
        world: its name, and its recipe's.
        change: of the recipe's training.
        plans: whether an agent plans with it, too.
        models: trained at the most; the first of the seeds.
    """

    world: str = "two_rooms"
    change: Callable[[TrainConfig], TrainConfig] = lambda run: run
    plans: bool = False
    models: int = 3


WAYS = {
    "latents": Way(plans=True, models=5),
    "pixels": Way(change=as_many_steps, plans=True, models=5),
    "pendulum": Way(world="pendulum"),
    "tokens": Way(change=token_run),
}


def measure(benchmark: Benchmark) -> None:
    warnings.simplefilter("ignore", CollapseWarning)
    for name, way in WAYS.items():
        recording = recorded(benchmark, way.world)
        for seed in benchmark.seeds[: way.models]:
            benchmark.part(f"{name}/{seed}", partial(studied, name, way, recording, seed))
    compare_compute(benchmark)


def recorded(benchmark: Benchmark, world: str) -> Dataset:
    """The recipe's recording, in episodes that are long enough to be foreseen to the end."""
    recording = recipes.get(world).recording
    assert recording is not None
    return data.record(
        worlds.make(world, recording.num_worlds),
        benchmark.folder(f"data/{world}", fresh=False) / "episodes.lance",
        num_episodes=recording.num_episodes,
        episode_length=EPISODE_LENGTH[world],
        resume=True,
    )


def studied(name: str, way: Way, recording: Dataset, seed: int, folder: Path) -> list[Figure]:
    """Trains a world model, and measures what it foresees and, where asked, what it reaches."""
    prefix = f"{name}, seed {seed}: "
    run = way.change(recipes.configure(way.world, recording.signature, seed=seed))
    model = train(recording, run, folder / "run", visible=False)
    summary = json.loads((folder / "run" / "train.json").read_text())
    figures = [figure(prefix + "training", summary["train_seconds"], unit="s")]
    figures += drift(prefix, off(model, recording, way.world), TOLERANCE[way.world])
    return [*figures, *reached(prefix, planned(model, way.world))] if way.plans else figures


# ------------------------------------------------------------------------- drift


def off(model: Model, recording: Dataset, world: str) -> np.ndarray:
    """Distances ``(clips, blocks)`` of the imagined place from the true one."""
    found = rollout_distances(model, recording, range(1, BLOCKS + 1), PLACES[world])
    return np.stack([found[block].numpy() for block in range(1, BLOCKS + 1)], axis=1)


def drift(prefix: str, wrong: np.ndarray, tolerance: float) -> list[Figure]:
    """How errors grow, and how many rollouts are still right."""
    generator = np.random.default_rng(0)
    draws = generator.integers(len(wrong), size=(RESAMPLES, len(wrong)))
    still = (np.maximum.accumulate(wrong, axis=1) <= tolerance).astype(float)
    figures = [
        estimate(f"{prefix}off after {block} blocks", bootstrap_mean(wrong[:, block - 1]).to_json())
        for block in (1, EARLY, 10, BLOCKS)
    ]
    bent, exponent, excess = (
        _resampled(told, values, draws)
        for told, values in ((curvature, wrong), (power, wrong), (beyond_constant, still))
    )
    return [
        *figures,
        estimate(f"{prefix}misfit of an exponential less that of a power", bent.to_json()),
        estimate(f"{prefix}power of the steps by which errors grow", exponent.to_json()),
        estimate(f"{prefix}right for {BLOCKS} blocks", wilson(still[:, -1] > 0).to_json()),
        estimate(
            f"{prefix}right for {BLOCKS} blocks, less what {EARLY} foretell", excess.to_json()
        ),
    ]


def _resampled(
    told: Callable[[np.ndarray], float], values: np.ndarray, draws: np.ndarray
) -> Estimate:
    """A figure of clips with its percentile bootstrap interval over them."""
    low, high = np.percentile([told(values[some].mean(0)) for some in draws], [2.5, 97.5])
    return Estimate(
        value=float(told(values.mean(0))), low=float(low), high=float(high), episodes=len(values)
    )


def curvature(course: np.ndarray) -> float:
    """By how much worse the best exponential fits a course of errors than the best power does.

    In root-mean-square error of the logarithm, so that 0.1 are ten percent.
    """
    steps = np.arange(1, len(course) + 1)
    return _misfit(steps, np.log(course)) - _misfit(np.log(steps), np.log(course))


def power(course: np.ndarray) -> float:
    """The power of the steps that fits a course of errors best: 1 where they add up."""
    steps = np.log(np.arange(1, len(course) + 1))
    return float(np.polyfit(steps, np.log(course), 1)[0])


def _misfit(along: np.ndarray, values: np.ndarray) -> float:
    line = np.polyval(np.polyfit(along, values, 1), along)
    return float(np.sqrt(np.mean((values - line) ** 2)))


def beyond_constant(still: np.ndarray) -> float:
    """Share that is right to the end, less what it would be if each step failed as the first."""
    return float(still[-1] - still[EARLY - 1] ** (len(still) / EARLY))


# ------------------------------------------------------------------------- planning


def planned(model: Model, world: str) -> PlanningResults:
    """How the recipe's agent plans with a model."""
    recipe = recipes.get(world)
    acting = recipes.acting(recipe)
    protocol = replace(recipe.planning, episodes=TASKS, traces=0, latency_decisions=5)
    return evaluate(
        lambda goals, count: acting.agent(model, goals, count),
        lambda count: worlds.make(world, count),
        protocol,
        visible=False,
    )


def reached(prefix: str, results: PlanningResults) -> list[Figure]:
    """Success on all tasks, and on the nearer and the farther half of them."""
    world = worlds.make(results.world, len(results.seeds))
    world.reset(results.seeds)
    way, ever = world.path_length(), np.array(results.ever)
    far = way > np.median(way)
    return [
        estimate(f"{prefix}success", results.agent.ever.to_json()),
        estimate(f"{prefix}success, nearer half", wilson(ever[~far]).to_json()),
        estimate(f"{prefix}success, farther half", wilson(ever[far]).to_json()),
        figure(f"{prefix}world steps to the farthest goal", float(way.max())),
    ]


def compare_compute(benchmark: Benchmark) -> None:
    """Whether as many steps took as long."""
    found = {one.name: one.value for one in benchmark.figures}
    pairs: Sequence[tuple[float, float]] = [
        (found[f"pixels, seed {seed}: training"], found[f"latents, seed {seed}: training"])
        for seed in benchmark.seeds
        if f"pixels, seed {seed}: training" in found and f"latents, seed {seed}: training" in found
    ]
    if pairs:
        ratio = float(np.median([drawn / foreseen for drawn, foreseen in pairs]))
        benchmark.add(figure("training in pixels over training in latents", ratio))


if __name__ == "__main__":
    main("foresight", measure, seeds=5)
