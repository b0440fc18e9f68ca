"""Do goals in words take an agent where goals in pictures do?

Two rooms are recorded by a world that says of three quarters of the episodes, in one of thousands
of sentences, where they came to. A world model is trained on these recordings by the recipe of the
two rooms, as ever; then it learns to read the sentences. On held-out tasks the same agents, with
the same planner and budget, are told where to go by sentences that no recording says, and shown
where to go by a picture of the middle of that place, which is the best that a picture can do, or of
any point of it. A task is met when the dot is in the place, as it truly lies, for the last second.

Beside these: how like the sentence an imagined state is, taken for the energy itself; the sentences
of other tasks, which tells what is met by chance; and places that no recording ever names, though
all of the words that name them are known.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from forethought import data, recipes, worlds
from forethought.agent import Agent
from forethought.cost.shown import named_goal
from forethought.cost.terms import Cost, CostTerm, term
from forethought.data import Dataset
from forethought.evaluation.statistics import Estimate, wilson
from forethought.learning.folder import SUMMARY
from forethought.learning.wording import learn_words
from forethought.model import Model
from forethought.senses import sight_of
from forethought.types import ForethoughtError, Imagination, Observation
from forethought.worlds.picture import CAMERA
from forethought.worlds.two_rooms_told import TwoRoomsTold
from harness import WORK, Benchmark, Figure, estimate, figure, main

NAME = "two_rooms_told"
EPISODES = 800
"""Of which three quarters are told in words: about six hundred sentences."""
FIRST_TASK = 3_000_000
TASKS = 300
BUDGET, HOLD = 120, 10
RESAMPLES = 4000


def measure(benchmark: Benchmark) -> None:
    for seed in benchmark.seeds:
        benchmark.part(f"seed{seed}", lambda folder, s=seed: told(folder, s))


def told(folder: Path, seed: int) -> Sequence[Figure]:
    prefix = f"seed {seed}: "
    model, recording = trained(seed)
    began = time.thread_time()
    model = learn_words(model, recording, folder / "words", visible=False)
    seconds = time.thread_time() - began
    return [*learned(prefix, folder / "words", seconds), *acted(prefix, model)]


def trained(seed: int) -> tuple[Model, Dataset]:
    """A model that knows no words yet, and its recordings; made once."""
    recipe, folder = recipes.get("two_rooms"), WORK / "told" / f"seed{seed}"
    assert recipe.recording is not None
    recording = data.record(
        worlds.make(NAME, recipe.recording.num_worlds),
        folder / "data",
        num_episodes=EPISODES,
        episode_length=recipe.recording.episode_length,
        seed=seed,
        resume=True,
        visible=False,
    )
    run = folder / "run"
    return recipes.train(
        recording, recipe=recipe.name, out=run, seed=seed, resume=True, visible=False
    ), recording


def learned(prefix: str, folder: Path, seconds: float) -> list[Figure]:
    """How well held-out states are found by their sentences, and by chance."""
    summary = json.loads((folder / SUMMARY).read_text())["words"]
    figures = [
        figure(prefix + "sentences learned from", summary["sentences"]),
        figure(prefix + "words", summary["words"]),
        figure(prefix + "learning, processor time", seconds, unit="s"),
    ]
    for name, said in (
        ("first", "held-out state found first"),
        ("among_first", "among the first five"),
        ("before", "share of states before it"),
    ):
        count = summary["held_out"]
        figures.append(figure(f"{prefix}{said}", summary[name], n=count))
        figures.append(figure(f"{prefix}{said}, by chance", summary["chance"][name]))
    return figures


# ------------------------------------------------------------------------------------ acting


def acted(prefix: str, model: Model) -> list[Figure]:
    """Success by words and by pictures, and by what else words might be taken for."""
    world = tasks()
    asked, groups = world.asked(), world.groups()
    known, across = ~groups["unnamed"], groups["across"]
    understood = read(model, asked)
    others = [*asked[1:], asked[0]]
    found = {
        "pictures of their middle": played(model, shown(middles(world))),
        "pictures of some point": played(model, shown(world.goal())),
        "words": played(model, said(model, asked, understood)) & understood,
        "words, likeness as the energy": played(model, alike(model, asked)),
        "words of other tasks": played(model, said(model, others, read(model, others))),
    }
    told, pictures = found["words"], found["pictures of their middle"]
    return [
        *(rate(f"{prefix}success, {how}", met[known]) for how, met in found.items()),
        estimate(
            prefix + "success, words over pictures of their middle",
            ratio(told[known], pictures[known]).to_json(),
            ">= 0.85",
        ),
        rate(prefix + "success across rooms, words", told[known & across]),
        rate(prefix + "success across rooms, pictures of their middle", pictures[known & across]),
        rate(prefix + "sentences refused", ~understood[known]),
        rate(prefix + "places never named: success, words", told[~known]),
        rate(prefix + "places never named: success, pictures of their middle", pictures[~known]),
        rate(prefix + "places never named: sentences refused", ~understood[~known]),
        rate(prefix + "words in any order: sentences refused", ~read(model, jumbled(asked))),
    ]


def rate(name: str, met: np.ndarray) -> Figure:
    return estimate(name, wilson(met).to_json())


def tasks() -> TwoRoomsTold:
    world = TwoRoomsTold(TASKS)
    world.reset(range(FIRST_TASK, FIRST_TASK + TASKS))
    return world


def middles(world: TwoRoomsTold) -> Observation:
    """What the camera would see with the dot in the middle of each place."""
    pictures = [
        world.images_at(number, np.array([[np.mean(one.x), np.mean(one.y)]]))[0]
        for number, one in enumerate(world.sought())
    ]
    return {CAMERA: np.stack(pictures)}


def played(model: Model, cost: Cost | CostTerm) -> np.ndarray:
    """Which tasks end in their place."""
    world, acting = tasks(), recipes.acting(recipes.get("two_rooms"))
    agent = Agent(model, cost=cost, actor=acting.planner, num_agents=TASKS)
    seen, flags = world.observe(), []
    for _ in range(BUDGET):
        seen = world.step(agent.act_batch(seen).action)
        flags.append(world.succeeded())
    return np.array(flags[-HOLD:]).all(0)


# ------------------------------------------------------------------------------------ goals


def shown(pictures: Observation) -> Cost | CostTerm:
    return recipes.acting(recipes.get("two_rooms")).goal(observation=pictures)


def said(model: Model, sentences: Sequence[str], understood: np.ndarray) -> Cost | CostTerm:
    """Goals in words; where one is refused any other stands in, and counts as failed."""
    spare = sentences[int(understood.argmax())]
    pairs = zip(sentences, understood, strict=True)
    return shown(named_goal(words=[one if fine else spare for one, fine in pairs]))


def alike(model: Model, sentences: Sequence[str]) -> CostTerm:
    """How unlike its sentence each imagined state is, as the energy itself."""
    reader = model.words
    assert reader is not None
    with torch.no_grad():
        sentence = reader.of_sentences(reader.numbers(sentences))[:, None, None]

    def unlike(imagination: Imagination) -> torch.Tensor:
        return 1 - (reader.of_states(imagination.latents[:, :, 1:]) * sentence).sum(-1)

    return term("unlike", unlike)


def read(model: Model, sentences: Sequence[str]) -> np.ndarray:
    """Which sentences the model takes for a goal."""
    return np.array([understands(model, sentence) for sentence in sentences])


def understands(model: Model, sentence: str) -> bool:
    try:
        sight_of(model).meant([sentence])
    except ForethoughtError:
        return False
    return True


def ratio(words: np.ndarray, pictures: np.ndarray) -> Estimate:
    """Of two rates on the same tasks, with its percentile bootstrap interval over tasks."""
    draws = np.random.default_rng(0).integers(len(words), size=(RESAMPLES, len(words)))
    low, high = np.percentile(words[draws].mean(1) / pictures[draws].mean(1), [2.5, 97.5])
    return Estimate(
        value=float(words.mean() / pictures.mean()),
        low=float(low),
        high=float(high),
        episodes=len(words),
    )


def jumbled(sentences: Sequence[str]) -> list[str]:
    """The same words in any order."""
    generator = np.random.default_rng(0)
    return [" ".join(generator.permutation(sentence.split())) for sentence in sentences]


if __name__ == "__main__":
    main("words", measure, seeds=3)
