"""Does curiosity see more of a world than chance, and is what it recorded worth more?

    python benchmarks/explore.py [--resume] [--only PART]

One maze of 25 rooms, in which every episode begins in a corner. As many world steps are recorded in
three ways: by random actions, each by itself; by the world's own exploring, which aims at doors
that it is told of; and by curiosity, which begins with a share of random actions and then plans
toward what an ensemble that was trained on all there is disagrees about. Coverage is the share of
the maze's floor, in cells of 2 x 2 pixels, that any episode has been to; it is read from the
world's true state, which nothing that explores is told. A model is trained on each recording by the
same recipe, and reaches goals all over the maze, from the corner, by the same search.

The seed decides on the layout, too: that of seed 0 is the world's own, on which the settings were
chosen, and each other seed has another. Only on the first are models trained on the recordings,
and more than disagreement taken away.

Two things make a place worth going to: the members disagree there, and the episode has not been to
its like. Each is taken away in turn, and then both, from the first model on. Without disagreement,
what was not looked at in the episode is all that counts; without novelty, disagreement is; without
either all plans are as good, and what is left is how the search draws them.

Guarded, a heavy point explores a plane with places that must not be entered. Its first share is
recorded by the world's own exploring, which knows of no hazard; a model that is trained and
calibrated on it keeps all later episodes within guardrails.

Of what curiosity has recorded some clips are labelled with where the dot is: those that are chosen
for it, or as many drawn at random.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import truediv
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from forethought import data, recipes, worlds
from forethought.cost import Guardrail
from forethought.cost.course import Course
from forethought.data import Dataset
from forethought.data.behaviours import Behaviour, independent_random
from forethought.data.behaviours import explore as own_exploring
from forethought.data.record import TRUTH
from forethought.evaluation.planning import evaluate
from forethought.evaluation.statistics import bootstrap_mean, wilson
from forethought.learning import Clip, choose_clips
from forethought.learning.exploring import ExplorationConfig, Usual, curious, explore, usual
from forethought.learning.latents import encode_rows
from forethought.learning.train import TrainConfig
from forethought.model import Model, load_model
from forethought.types import Signature, World
from forethought.world_model.probes import fit_linear_probe
from forethought.worlds.rooms_maze import CAMERA, ONE, RoomsMaze
from guarded_worlds import GUARDED, PLACE
from harness import WORK, Benchmark, Figure, estimate, figure, main

WORLD = "rooms_maze_one"
COPIES = 50
EXPLORING = ExplorationConfig(num_episodes=250, episode_length=150, rounds=4)
NOTHING = 1e-9
"""As good as zero: any disagreement is more than this, and no two states are as near."""
CELL = 2.0
"""Pixels; the floor is looked for at a quarter of that."""
RISK = 0.01
(GUARDED_RAILS,) = (one for one in GUARDED if one.name == "point_hazards")
GUARDED_EXPLORING = ExplorationConfig(num_episodes=600, episode_length=56, rounds=2)
GUARDED_STEPS, HELD_OUT = 1000, 0.3
"""Of training in each round, a third of the recipe's; and the share of episodes to calibrate on."""
LABELLED, LABELLED_ROWS, DRAWS = (5, 10, 20), 15, 20
DOCS = Path(__file__).parent.parent / "docs"


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The cells of the maze in which there is any floor.

    Attributes:
        cells: ``(n, 2)`` column and row, counted in cells.
    """

    cells: Int[np.ndarray, "n 2"]

    @classmethod
    def of(cls, maze: RoomsMaze) -> Floor:
        """That of a maze."""
        return cls(cells=np.unique(_cells(maze.free_grid(0, CELL / 4)), axis=0))

    def visits(self, places: Float[np.ndarray, "m 2"]) -> Int[np.ndarray, " n"]:
        """How many of the moments were spent in each cell."""
        side = int(self.cells.max()) + 1
        spent = np.bincount(_index(_cells(places), side), minlength=side * side)
        return spent[_index(self.cells, side)]

    def coverage(self, places: Float[np.ndarray, "m 2"]) -> float:
        """Share of the cells that were visited."""
        return float((self.visits(places) > 0).mean())


def _cells(places: Float[np.ndarray, "m 2"]) -> Int[np.ndarray, "m 2"]:
    return (places // CELL).astype(np.int64)


def _index(cells: Int[np.ndarray, "m 2"], side: int) -> Int[np.ndarray, " m"]:
    return cells[:, 0] * side + cells[:, 1]


def maze(seed: int, num_worlds: int) -> RoomsMaze:
    """Copies of the layout of a seed; of seed 0, the world as it is registered."""
    return RoomsMaze(num_worlds, config=replace(ONE, layout=seed), name=WORLD)


def places_of(recording: Dataset, episodes: Sequence[int]) -> Float[np.ndarray, "m 2"]:
    """Where the dot truly was."""
    return np.asarray(recording.load(list(episodes), keys=[TRUTH]).observation[TRUTH])


# ------------------------------------------------------------------------------ recording


def recorded_by(behaviour: Callable[[World, int], Behaviour], folder: Path, seed: int) -> Dataset:
    """As many steps as curiosity has, by something else."""
    return data.record(
        maze(seed, COPIES),
        folder / "data",
        num_episodes=EXPLORING.num_episodes,
        episode_length=EXPLORING.episode_length,
        seed=seed,
        resume=True,
        visible=False,
        behaviour=behaviour,
    )


def recorded_by_curiosity(
    folder: Path,
    seed: int,
    known: Callable[[Model, Dataset, Sequence[int]], Usual] = usual,
) -> Dataset:
    """The first share is random actions, to the bit those of the recording by them."""
    return explore(
        maze(seed, COPIES),
        folder / "data",
        partial(to_explore_with, WORLD),
        folder / "runs",
        EXPLORING,
        first=independent_random,
        known=known,
        seed=seed,
        visible=False,
    )


def to_explore_with(recipe: str, signature: Signature) -> TrainConfig:
    """The recipe without what curiosity has no use for."""
    return replace(recipes.configure(recipe, signature), critic=None, calibration=None)


def recorded_without(
    known: Callable[[Model, Dataset, Sequence[int]], Usual], folder: Path, seed: int
) -> Dataset:
    """As by curiosity, whose first model, trained on the same random actions, it begins with."""
    first = Path("runs") / "round-0"
    curiosity = folder.parent / part_of("curiosity", seed)
    shutil.copytree(curiosity / first, folder / first, dirs_exist_ok=True)
    return recorded_by_curiosity(folder, seed, known)


def without_disagreement(model: Model, recording: Dataset, episodes: Sequence[int]) -> Usual:
    """Any disagreement is enough, so that all places are as doubtful."""
    return replace(usual(model, recording, episodes), doubt=NOTHING)


def without_novelty(model: Model, recording: Dataset, episodes: Sequence[int]) -> Usual:
    """No two places are alike, so that none has been looked at."""
    return replace(usual(model, recording, episodes), step=NOTHING)


def without_either(model: Model, recording: Dataset, episodes: Sequence[int]) -> Usual:
    """Nothing is worth more than anything else."""
    return Usual(doubt=NOTHING, step=NOTHING)


WAYS: Mapping[str, Callable[[Path, int], Dataset]] = {
    "random": partial(recorded_by, independent_random),
    "own exploring": partial(recorded_by, own_exploring),
    "curiosity": recorded_by_curiosity,
}
ABLATIONS: Mapping[str, Callable[[Path, int], Dataset]] = {
    "without disagreement": partial(recorded_without, without_disagreement),
    "without novelty": partial(recorded_without, without_novelty),
    "without either": partial(recorded_without, without_either),
}


# ------------------------------------------------------------------------------- measuring


def measure_seen(name: str, seed: int, folder: Path) -> Sequence[Figure]:
    """What one way of exploring has seen."""
    recording = (WAYS | ABLATIONS)[name](folder, seed)
    floor = Floor.of(maze(seed, 1))
    return [
        figure(
            f"seed {seed}, {name}: coverage, {episodes} episodes",
            floor.coverage(places_of(recording, range(episodes))),
            n=episodes,
        )
        for episodes in map(EXPLORING.until, range(EXPLORING.rounds + 1))
    ]


def measure_learned(name: str, seed: int, folder: Path) -> Sequence[Figure]:
    """What a model learns from what one way of exploring has seen."""
    recording = data.open(folder / "data")
    model = recipes.train(recording, recipe=WORLD, out=folder / "run", seed=seed, visible=False)
    results = evaluate(
        partial(recipes.acting(recipes.get(WORLD)).agent, model),
        partial(maze, seed),
        recipes.get(WORLD).planning,
        visible=False,
    )
    prefix = f"seed {seed}, {name}: "
    return [
        estimate(prefix + "success", results.agent.ever.to_json()),
        *(
            estimate(f"{prefix}success, {group}", outcome[0].to_json())
            for group, outcome in results.agent.groups.items()
        ),
    ]


def measure_way(name: str, seed: int, folder: Path) -> Sequence[Figure]:
    """What one way of exploring has seen, and what a model learns from it."""
    return [*measure_seen(name, seed, folder), *measure_learned(name, seed, folder)]


def compared(benchmark: Benchmark, seed: int) -> Sequence[Figure]:
    """Curiosity beside the other ways, at as many world steps; of what was measured."""
    found = {one.name: one.value for one in benchmark.figures}
    last = f"coverage, {EXPLORING.num_episodes} episodes"

    def beside(
        name: str, goal: str | None, what: str, other: str, compare: Callable[[float, float], float]
    ) -> Sequence[Figure]:
        keys = (f"seed {seed}, {way}: {what}" for way in ("curiosity", other))
        values = [found[key] for key in keys if key in found]
        label = f"seed {seed}, curiosity: {name}"
        return [figure(label, compare(*values), goal)] if len(values) == 2 else []

    points = "success, points over "
    return [
        *beside("coverage over random's", ">= 2", last, "random", truediv),
        *beside("coverage over own exploring's", None, last, "own exploring", truediv),
        *(
            one
            for way in ABLATIONS
            for one in beside(f"coverage over that {way}", None, last, way, truediv)
        ),
        *beside(f"{points}random's", ">= 15", "success", "random", in_points),
        *beside(f"{points}own exploring's", None, "success", "own exploring", in_points),
    ]


def in_points(first: float, second: float) -> float:
    """How many hundredths more."""
    return 100 * (first - second)


# ---------------------------------------------------------------------------------- labels


def measure_labels(seed: int, recording: Path, folder: Path) -> Sequence[Figure]:
    """Where the dot is, told by a probe on labelled clips that were chosen, and on drawn ones."""
    dataset, model = data.open(recording / "data"), load_model(recording / "run")
    episodes = sorted(set(range(dataset.num_episodes)) - set(model.notes["held_out_episodes"]))
    world = maze(seed, 1)
    places = world.free_grid(0, CELL)
    pictures = torch.as_tensor(world.images_at(0, places))[:, None]
    with torch.no_grad():
        latents = model.world_model.encode({CAMERA: pictures})
    error = partial(probe_error, model, dataset, latents, torch.as_tensor(places).float())
    every = [
        Clip(episode=one, first=first, length=LABELLED_ROWS)
        for one in episodes
        for first in range(0, EXPLORING.episode_length, LABELLED_ROWS)
    ]
    generator = np.random.default_rng(seed)
    figures = []
    for number in LABELLED:
        chosen = choose_clips(model, dataset, number, length=LABELLED_ROWS, episodes=episodes)
        drawn = [
            error([every[one] for one in generator.choice(len(every), number, replace=False)])
            for _ in range(DRAWS)
        ]
        label = f"seed {seed}, {number} clips labelled: error of the place, "
        usual = bootstrap_mean(np.array(drawn)).to_json()
        mine = error(chosen)
        figures += [
            replace(estimate(f"{label}drawn", usual), unit="px"),
            figure(f"{label}chosen", mine, unit="px"),
            figure(f"{label}chosen over drawn", mine / usual["value"], "< 1"),
        ]
    return figures


def probe_error(
    model: Model,
    dataset: Dataset,
    latents: Float[Tensor, "n k d"],
    places: Float[Tensor, "n 2"],
    clips: Sequence[Clip],
) -> float:
    """Root mean squared distance, evenly over the floor, of a linear probe on some clips."""
    episodes = sorted({one.episode for one in clips})
    keys = [*model.world_model.perception.keys, TRUTH]
    arrays = dataset.load(episodes, keys=keys)
    begins = dict(zip(episodes, arrays.offsets.tolist()[:-1], strict=True))
    rows = torch.cat([begins[one.episode] + one.first + torch.arange(one.length) for one in clips])
    seen = encode_rows(model.world_model, arrays)[rows]
    truth = torch.as_tensor(arrays.observation[TRUTH])[rows].float()
    told = fit_linear_probe(seen, truth)(latents)
    return float((told - places).square().sum(-1).mean().sqrt())


# -------------------------------------------------------------------------------- guarded


def to_explore_guarded(signature: Signature) -> TrainConfig:
    """Shorter, with more to calibrate on, since there are few episodes."""
    return replace(
        recipes.configure(GUARDED_RAILS.name, signature, steps=GUARDED_STEPS), held_out=HELD_OUT
    )


def measure_guarded(seed: int, folder: Path) -> Sequence[Figure]:
    """A whole exploration within guardrails; and beside it, what its last model would do without.

    The same agents, model and starts explore unguarded for one share.
    """
    rails = GUARDED_RAILS.rails(RISK)
    world = worlds.make(GUARDED_RAILS.name, COPIES)
    recording = explore(
        world,
        folder / "data",
        to_explore_guarded,
        folder / "runs",
        GUARDED_EXPLORING,
        guardrails=rails,
        seed=seed,
        visible=False,
    )
    shares = [GUARDED_EXPLORING.until(number) for number in range(GUARDED_EXPLORING.rounds + 1)]
    last = load_model(folder / "runs" / f"round-{GUARDED_EXPLORING.rounds - 1}")
    unguarded = data.record(
        world,
        folder / "unguarded",
        num_episodes=shares[0],
        episode_length=GUARDED_EXPLORING.episode_length,
        seed=seed + 1,
        visible=False,
        behaviour=curious(last, recording, GUARDED_EXPLORING.planner, episodes=range(shares[-2])),
    )
    told = partial(violations, rails=rails)
    prefix = f"{GUARDED_RAILS.name}, seed {seed}, "
    return [
        *told(f"{prefix}first share", recording, range(shares[0])),
        *told(
            f"{prefix}curiosity, guarded",
            recording,
            range(*shares[:: len(shares) - 1]),
            goal="<= 0",
        ),
        *told(f"{prefix}curiosity, unguarded", unguarded, range(shares[0])),
    ]


def violations(
    label: str,
    recording: Dataset,
    episodes: Sequence[int],
    *,
    rails: Sequence[Guardrail],
    goal: str | None = None,
) -> Sequence[Figure]:
    """What truly violates each guardrail at any world step, and how much of the plane was seen."""
    names = recording.signature.observation[TRUTH].names
    arrays = recording.load(list(episodes), keys=[TRUTH])
    truth = torch.as_tensor(arrays.observation[TRUTH]).unflatten(0, (len(episodes), -1))
    course = Course(
        quantities=dict(zip(names, truth.unbind(-1), strict=True)),
        step_s=1 / recording.signature.rate_hz,
    )
    broken = {rail.name: (rail.constraint.margin(course) < 0).numpy() for rail in rails}
    seen = {name: wilson(some.any(1)).to_json() for name, some in broken.items()}
    place = torch.stack([course[name] for name in PLACE], dim=-1)
    return [
        *(
            estimate(f"{label}: {name}, episodes violated", share, goal)
            for name, share in seen.items()
        ),
        *(
            figure(f"{label}: {name}, steps violated", float(some.mean()))
            for name, some in broken.items()
        ),
        figure(
            f"{label}: cells of 0.25 m visited",
            len(np.unique((place.flatten(0, 1) // 0.25).numpy(), axis=0)),
        ),
    ]


# -------------------------------------------------------------------------------- picture


def draw(benchmark: Benchmark, seed: int) -> None:
    """Where each way of exploring has been, side by side, over the maze."""
    world = maze(seed, 1)
    ground = world.observe()[CAMERA][0].mean(-1)
    sheet, axes = plt.subplots(1, len(WAYS), figsize=(3.2 * len(WAYS), 3.5), layout="constrained")
    floor = Floor.of(world)
    for axis, name in zip(axes, WAYS, strict=True):
        recording = data.open(WORK / benchmark.name / part_of(name, seed) / "data")
        places = places_of(recording, range(recording.num_episodes))
        spent = np.full((32, 32), np.nan)
        spent[floor.cells[:, 1], floor.cells[:, 0]] = np.log10(1 + floor.visits(places))
        axis.imshow(ground, cmap="gray", extent=(0, 64, 64, 0))
        shown = axis.imshow(
            np.where(spent > 0, spent, np.nan),
            extent=(0, 64, 64, 0),
            vmin=0,
            vmax=3.5,
            cmap="viridis",
            interpolation="nearest",
        )
        axis.set_title(f"{name}: {floor.coverage(places):.0%} of the floor", fontsize=10)
        axis.axis("off")
    sheet.colorbar(shown, ax=axes, shrink=0.8, label="visits of a cell, log10")
    sheet.savefig(DOCS / "explore.png", dpi=110)


def part_of(way: str, seed: int) -> str:
    return f"{seed}-{way.replace(' ', '-')}"


def measure(benchmark: Benchmark) -> None:
    first = benchmark.seeds[0]
    for seed in benchmark.seeds:
        for way in WAYS:
            measured = measure_way if seed == first else measure_seen
            benchmark.part(part_of(way, seed), partial(measured, way, seed))
        for way in ABLATIONS if seed == first else ("without disagreement",):
            benchmark.part(part_of(way, seed), partial(measure_seen, way, seed))
        benchmark.add(*compared(benchmark, seed))
    benchmark.part(f"{first}-guarded", partial(measure_guarded, first))
    recording = WORK / benchmark.name / part_of("curiosity", first)
    benchmark.part(f"{first}-labels", partial(measure_labels, first, recording))
    draw(benchmark, first)


if __name__ == "__main__":
    main("explore", measure, seeds=2)
