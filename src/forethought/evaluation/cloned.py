"""Behaviour cloning as a floor: what the recordings alone tell of how to come to a goal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from forethought.baselines.cloning import CloningConfig
from forethought.baselines.policies import GoalPolicyConfig
from forethought.baselines.policy_training import train_policy
from forethought.data.store import Dataset
from forethought.evaluation.references import AnotherAgent
from forethought.model import Model
from forethought.types import ForethoughtError

FOLDER = "cloning"
"""Where a run keeps the policy that was cloned from its recordings."""


def cloned(
    run: Path, model: Model, data: Dataset, *, steps: int | None = None, visible: bool = True
) -> AnotherAgent:
    """A goal-conditioned policy, cloned from the recordings that a run was trained on.

    It has the run's perception, trained anew for this, and decides as many world steps at once. It
    is trained once and kept in the run's folder; a training that was killed goes on there.

    Args:
        run: folder of the run.
        model: what the run left.
        data: what it was trained on.
        steps: of training; the usual number where not said.
        visible: show progress.

    Raises:
        ForethoughtError: the run was trained on other data or held out other episodes, its actions
            are discrete, or the policy in its folder is another one.
    """
    notes, config = model.notes, model.config.world_model
    held_out = notes["held_out_episodes"]
    cloning = CloningConfig(
        policy=GoalPolicyConfig(perception=config.perception, action_block=config.action_block),
        held_out=len(held_out) / data.num_episodes,
        seed=notes["seed"],
    )
    _refuse_other_data(run, model, data, cloning)
    if steps is not None:
        cloning = replace(cloning, optimiser=replace(cloning.optimiser, num_steps=steps))
    policy = train_policy(data, cloning, run / FOLDER, resume=True, visible=visible)
    return AnotherAgent(name="behaviour cloning", make_agent=lambda goals, _: policy.seeking(goals))


def _refuse_other_data(run: Path, model: Model, data: Dataset, cloning: CloningConfig) -> None:
    """Raises where the two would not learn from the same episodes, and hold out the same."""
    if model.notes["data"] != data.path.name:
        raise ForethoughtError(
            f"{run}: trained on {model.notes['data']!r}, found {data.path.name!r}. Give the "
            "dataset that it was trained on, so that both learn from the same."
        )
    _, held_out = data.split(held_out=cloning.held_out, seed=cloning.seed)
    if held_out != model.notes["held_out_episodes"]:
        raise ForethoughtError(
            f"{data.path}: of these episodes others would be held out than {run} did, so that a "
            "cloned policy would have seen its tasks. Give the dataset as it was in training."
        )
