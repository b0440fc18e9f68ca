"""Recording: a world explored without any goal, written down episode by episode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from forethought.data.behaviours import Behaviour, explore
from forethought.data.dataset import Dataset, open_dataset
from forethought.data.store import EpisodeWriter, abandoned, append_to, create
from forethought.types import (
    ACTION,
    ArraySpec,
    Episode,
    ForethoughtError,
    Signature,
    Telling,
    World,
)

TRUTH = "observation.environment_state"
"""Key under which a simulated world's hidden quantities are recorded, for probes and pictures."""


def record(
    world: World,
    path: Path | str,
    *,
    num_episodes: int,
    episode_length: int,
    seed: int = 0,
    resume: bool = False,
    visible: bool = True,
    behaviour: Callable[[World, int], Behaviour] = explore,
) -> Dataset:
    """Records episodes of a world that is explored without any goal.

    Row ``i`` holds the observation and the action that was taken on it. Where the world says in
    words what came about (:class:`forethought.types.Telling`), what it says of the last row is the
    episode's task. Episodes are recorded
    ``world.num_worlds`` at a time and appended together; killed and called again with ``resume``,
    recording continues behind the last finished group, and the dataset ends the same as if it had
    never been interrupted.

    Args:
        world: what is explored; its copies run in lockstep.
        path: folder of the dataset.
        num_episodes: episodes in all.
        episode_length: rows of each episode.
        seed: of the starts and of the behaviour.
        resume: add what is missing to the dataset at ``path``; start it if there is none.
        visible: show progress.
        behaviour: begins a behaviour for all copies, from the world and a seed; the world's own
            exploring where not said.

    Raises:
        ForethoughtError: the path is in use, holds another recording, the disk is full, or the
            world gave what its signature does not say.
    """
    _refuse_empty(num_episodes, episode_length)
    writer = _writer(world, Path(path), episode_length=episode_length, seed=seed, resume=resume)
    group = world.num_worlds
    with writer, Progress(console=Console(stderr=True), disable=not visible) as progress:
        bar = progress.add_task("recording", total=num_episodes, completed=writer.num_episodes)
        while writer.num_episodes < num_episodes:
            number, done = divmod(writer.num_episodes, group)
            missing = min(group - done, num_episodes - writer.num_episodes)
            first_seed = (seed << 20) + number * group
            episodes = _explore(world, group, episode_length, first_seed, behaviour)
            writer.append(episodes[done : done + missing])
            progress.update(bar, completed=writer.num_episodes)
    return open_dataset(path)


def recorded_signature(world: World) -> Signature:
    """The world's signature, with its hidden quantities as one more key."""
    names = tuple(world.truth())
    truth = ArraySpec(shape=(len(names),), dtype="float32", names=names)
    observation = {**world.signature.observation, **({TRUTH: truth} if names else {})}
    return replace(world.signature, observation=observation)


def _refuse_empty(num_episodes: int, episode_length: int) -> None:
    if num_episodes < 1 or episode_length < 2:
        raise ForethoughtError(
            f"num_episodes={num_episodes} and episode_length={episode_length}: at least 1 episode "
            "of 2 rows is needed."
        )


def _writer(
    world: World, path: Path, *, episode_length: int, seed: int, resume: bool
) -> EpisodeWriter:
    signature = recorded_signature(world)
    origin: dict[str, Any] = {
        "world": world.name,
        "seed": seed,
        "episode_length": episode_length,
        "num_worlds": world.num_worlds,
    }
    if resume and path.exists() and not abandoned(path):
        return append_to(path, signature, origin=origin)
    return create(path, signature, origin=origin)


def _explore(
    world: World,
    group: int,
    length: int,
    first_seed: int,
    behaviour: Callable[[World, int], Behaviour],
) -> list[Episode]:
    """One episode in every copy; the copies' seeds are ``first_seed`` and those behind it."""
    world.reset(range(first_seed, first_seed + group))
    act = behaviour(world, first_seed)
    observation = {**world.observe(), **_truth(world)}
    recorded = {
        key: np.empty((length, group, *np.shape(value)[1:]), np.asarray(value).dtype)
        for key, value in observation.items()
    }
    actions: list[np.ndarray] = []
    told: Sequence[str] = [""] * group
    for row in range(length):
        for key, value in observation.items():
            recorded[key][row] = value
        if row + 1 == length and isinstance(world, Telling):
            told = world.told()
        action = act(observation)
        actions.append(np.array(action))
        observation = {**world.step(action), **_truth(world)}
    recorded[ACTION] = np.stack(actions)
    return [_episode(recorded, copy, told[copy]) for copy in range(group)]


def _truth(world: World) -> dict[str, np.ndarray]:
    truth = world.truth()
    return {TRUTH: np.stack(list(truth.values()), axis=1).astype(np.float32)} if truth else {}


def _episode(recorded: Mapping[str, np.ndarray], copy: int, told: str) -> Episode:
    values = {key: value[:, copy] for key, value in recorded.items()}
    action = values.pop(ACTION)
    return Episode(observation=values, action=action, task=told)
