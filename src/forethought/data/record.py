"""Recording: a world's own exploring behaviour, written down episode by episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from forethought.data.store import Dataset, append_to, create, open
from forethought.types import ArraySpec, Episode, ForethoughtError, Signature, World

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
) -> Dataset:
    """Records episodes of a world that is explored without any goal.

    Episodes are recorded ``world.num_worlds`` at a time and appended together; killed and called
    again with ``resume``, recording continues behind the last finished group, and the dataset ends
    the same as if it had never been interrupted.

    Args:
        world: what is explored; its copies run in lockstep.
        path: folder of the dataset.
        num_episodes: episodes in all.
        episode_length: rows of each episode.
        seed: of the starts and of the behaviour.
        resume: add what is missing to the dataset at ``path``; start it if there is none.
        visible: show progress.

    Raises:
        ForethoughtError: the path is in use, holds data of another signature, or the disk is full.
    """
    if num_episodes < 1 or episode_length < 2:
        raise ForethoughtError(
            f"num_episodes={num_episodes} and episode_length={episode_length}: at least 1 episode "
            "of 2 rows is needed."
        )
    group = world.num_worlds
    signature = recorded_signature(world)
    continuing = resume and Path(path).exists()
    writer = append_to(path, signature) if continuing else create(path, signature)
    with writer, _progress(visible) as progress:
        bar = progress.add_task("recording", total=num_episodes, completed=writer.num_episodes)
        while writer.num_episodes < num_episodes:
            number = writer.num_episodes // group
            missing = min(group - writer.num_episodes % group, num_episodes - writer.num_episodes)
            episodes = _explore(world, group, episode_length, seed=(seed << 20) + number * group)
            done = writer.num_episodes % group
            writer.append(episodes[done : done + missing])
            progress.update(bar, completed=writer.num_episodes)
    return open(path)


def recorded_signature(world: World) -> Signature:
    """The world's signature, with its hidden quantities as one more key."""
    names = tuple(world.truth())
    truth = ArraySpec(shape=(len(names),), dtype="float32", names=names)
    observation = {**world.signature.observation, **({TRUTH: truth} if names else {})}
    return replace(world.signature, observation=observation)


def _explore(world: World, group: int, length: int, *, seed: int) -> list[Episode]:
    """One episode in every copy."""
    observation = world.reset(range(seed, seed + group))
    behaviour = world.explore(seed)
    observation = world.observe()
    rows: list[Mapping[str, np.ndarray]] = []
    actions: list[np.ndarray] = []
    for _ in range(length):
        action = behaviour(observation)
        rows.append({**observation, **_truth(world)})
        actions.append(action)
        observation = world.step(action)
    return _episodes(rows, actions, group)


def _truth(world: World) -> dict[str, np.ndarray]:
    truth = world.truth()
    if not truth:
        return {}
    return {TRUTH: np.stack(list(truth.values()), axis=1).astype(np.float32)}


def _episodes(
    rows: Sequence[Mapping[str, np.ndarray]], actions: Sequence[np.ndarray], group: int
) -> list[Episode]:
    stacked = {key: np.stack([row[key] for row in rows], axis=1) for key in rows[0]}
    action = np.stack(actions, axis=1)
    return [
        Episode(observation={k: v[i] for k, v in stacked.items()}, action=action[i])
        for i in range(group)
    ]


def _progress(visible: bool) -> Progress:
    return Progress(console=Console(stderr=True), disable=not visible)
