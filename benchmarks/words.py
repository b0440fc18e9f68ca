"""Do goals in words take an agent where goals in pictures do?

Two rooms are recorded by a world that says of three quarters of the episodes, in one of thousands
of sentences, where they came to. A world model is trained on these recordings by the recipe of the
two rooms, as ever; then it learns to read the sentences. On held-out tasks the same agents, with
the same planner and budget, are told where to go by sentences that no recording says, and shown
where to go by a picture of some point of that place. A task is met when the dot is in the place, as
it truly lies, for the last second.

Two controls: the sentences of other tasks, which tells what is met by chance, and places that no
recording ever names, though all of the words that name them are known.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from forethought import data, recipes, worlds
from forethought.cost.shown import named_goal
from forethought.evaluation.statistics import Estimate, wilson
from forethought.learning.folder import SUMMARY
from forethought.learning.wording import learn_words
from forethought.model import Model
from forethought.types import ForethoughtError, Observation
from forethought.worlds.two_rooms_told import TwoRoomsTold
from harness import Benchmark, Figure, estimate, figure, main

NAME = "two_rooms_told"
FIRST_TASK = 1_000_000
TASKS = 300
BUDGET, HOLD = 120, 10
RESAMPLES = 4000


def measure(benchmark: Benchmark) -> None:
    for seed in benchmark.seeds:
        benchmark.part(f"seed{seed}", lambda folder, s=seed: told(folder, s))


def told(folder: Path, seed: int) -> Sequence[Figure]:
    prefix = f"seed {seed}: "
    recipe = recipes.get("two_rooms")
    assert recipe.recording is not None
    recording = data.record(
        worlds.make(NAME, recipe.recording.num_worlds),
        folder / "data",
        num_episodes=recipe.recording.num_episodes,
        episode_length=recipe.recording.episode_length,
        seed=seed,
        visible=False,
    )
    model = recipes.train(
        recording, recipe="two_rooms", out=folder / "run", seed=seed, visible=False
    )
    began = time.thread_time()
    model = learn_words(model, recording, folder / "words", visible=False)
    seconds = time.thread_time() - began
    return [*learned(prefix, folder / "words", seconds), *acted(prefix, model)]


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
    """Success by words, by pictures, and by the words of other tasks."""
    world = TwoRoomsTold(TASKS)
    world.reset(range(FIRST_TASK, FIRST_TASK + TASKS))
    asked, groups = world.asked(), world.groups()
    known = ~groups["unnamed"]
    understood = read(model, asked)
    pictures = played(model, world.goal())
    words = played(model, in_words(model, asked, understood)) & understood
    others = [*asked[1:], asked[0]]
    by_chance = played(model, in_words(model, others, read(model, others)))
    return [
        estimate(prefix + "success, pictures", wilson(pictures[known]).to_json()),
        estimate(prefix + "success, words", wilson(words[known]).to_json()),
        estimate(
            prefix + "success, words over pictures",
            ratio(words[known], pictures[known]).to_json(),
            ">= 0.85",
        ),
        estimate(
            prefix + "success across rooms, words",
            wilson(words[known & groups["across"]]).to_json(),
        ),
        estimate(
            prefix + "success across rooms, pictures",
            wilson(pictures[known & groups["across"]]).to_json(),
        ),
        estimate(prefix + "success, words of other tasks", wilson(by_chance[known]).to_json()),
        estimate(prefix + "sentences refused", wilson(~understood[known]).to_json()),
        estimate(prefix + "success, places never named, words", wilson(words[~known]).to_json()),
        estimate(
            prefix + "success, places never named, pictures", wilson(pictures[~known]).to_json()
        ),
        *nonsense(prefix, model, asked),
    ]


def played(model: Model, goals: Observation) -> np.ndarray:
    """Which tasks end in their place."""
    world, acting = TwoRoomsTold(TASKS), recipes.acting(recipes.get("two_rooms"))
    seen = world.reset(range(FIRST_TASK, FIRST_TASK + TASKS))
    agent = acting.agent(model, goals, TASKS)
    flags = []
    for _ in range(BUDGET):
        seen = world.step(agent.act_batch(seen).action)
        flags.append(world.succeeded())
    return np.array(flags[-HOLD:]).all(0)


def read(model: Model, sentences: Sequence[str]) -> np.ndarray:
    """Which sentences the model takes for a goal."""
    return np.array([understands(model, sentence) for sentence in sentences])


def understands(model: Model, sentence: str) -> bool:
    assert model.words is not None
    try:
        model.words.meant([sentence])
    except ForethoughtError:
        return False
    return True


def in_words(model: Model, sentences: Sequence[str], understood: np.ndarray) -> Observation:
    """Goals in words; where one is refused, any other stands in, and counts as failed."""
    spare = sentences[int(understood.argmax())]
    pairs = zip(sentences, understood, strict=True)
    return named_goal(words=[one if fine else spare for one, fine in pairs])


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


def nonsense(prefix: str, model: Model, asked: Sequence[str]) -> list[Figure]:
    """Known words in any order, and two places at once: how much of it is refused."""
    generator = np.random.default_rng(0)
    shuffled = [" ".join(generator.permutation(sentence.split())) for sentence in asked]
    return [
        estimate(
            prefix + "refused, the words in any order",
            wilson(~read(model, shuffled)).to_json(),
        )
    ]


if __name__ == "__main__":
    main("words", measure, seeds=3)
