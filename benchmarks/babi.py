"""Reasoning by memory: the twenty bAbI tasks, one architecture and one configuration for all.

The training file of the third task is missing in the archive; stories of the same form are
generated in its place, ten times as many as the other tasks have: 2,000 are learned by heart (67 %
of held-out questions wrong). All tasks are tested on their own test files.
"""

import time
from pathlib import Path

from forethought.data.stories import TASKS, Story, read_babi, three_facts
from forethought.learning.stories import StoryTrainingConfig, train_on_stories, wrong_answers
from forethought.memory.story_reader import story_batch
from harness import Benchmark, Figure, figure, main, recordings

TRAINING = StoryTrainingConfig()
SOLVED = 0.05
GENERATED = 3
NUM_GENERATED = 20_000


def measure(benchmark: Benchmark) -> None:
    archive = recordings(benchmark) / "babi_en10k.tar.gz"
    for seed in benchmark.seeds:
        for task in TASKS:
            benchmark.part(f"{task}-{seed}", lambda f, t=task, s=seed: one(archive, t, s, f))
        errors = [f.value for f in benchmark.figures if f.name.endswith(f": error, seed {seed}")]
        seconds = [
            f.value for f in benchmark.figures if f.name.endswith(f"time of training, seed {seed}")
        ]
        if len(errors) == len(TASKS):
            solved = sum(error <= SOLVED for error in errors)
            benchmark.add(
                figure(f"tasks solved, seed {seed}", solved, ">= 18", n=len(errors)),
                figure(f"mean error, seed {seed}", sum(errors) / len(errors), n=len(errors)),
                figure(f"processor time of all training, seed {seed}", sum(seconds), unit="s"),
            )


def one(archive: Path, task: int, seed: int, folder: Path) -> list[Figure]:
    """Trains on one task and tests it."""
    stories = stories_of(archive, task, seed)
    test = read_babi(archive, task, test=True)
    started = time.process_time()
    run = train_on_stories(stories, TRAINING, folder, seed=seed, visible=False)
    seconds = time.process_time() - started
    batch = story_batch(test, run.reader.config)
    error = wrong_answers(run.reader, batch)
    name = f"task {task} ({TASKS[task].replace('-', ' ')})"
    number = int((batch.answers != -1).sum())
    return [
        figure(f"{name}: error, seed {seed}", error, f"<= {SOLVED}", n=number),
        figure(f"{name}: held-out error, seed {seed}", run.held_out_error),
        figure(f"{name}: processor time of training, seed {seed}", seconds, unit="s"),
        figure(f"{name}: steps of training, seed {seed}", run.num_steps),
    ]


def stories_of(archive: Path, task: int, seed: int) -> list[Story]:
    if task == GENERATED:
        return three_facts(NUM_GENERATED, seed=seed)
    return read_babi(archive, task, test=False)


if __name__ == "__main__":
    main("babi", measure)
