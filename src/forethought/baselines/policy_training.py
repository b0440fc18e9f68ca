"""How a policy learns from a recording: what all ways have in common.

:mod:`~forethought.baselines.cloning` copies what was done, :mod:`~forethought.baselines.iql`
prefers what led to the goal sooner.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.baselines.hindsight import HindsightGoalConfig
from forethought.baselines.policies import GoalPolicy, GoalPolicyConfig
from forethought.data.dataset import Dataset, EpisodeArrays
from forethought.learning.folder import METRICS, claim_folder
from forethought.learning.metrics import JSONLines
from forethought.learning.preparation import vector_normalisers
from forethought.learning.trainer import Loop, LoopConfig, OptimiserConfig, Stage
from forethought.model import CONFIG
from forethought.perception import PerceptionConfig
from forethought.perception.normalise import Normaliser
from forethought.types import ACTION, TASK, ForethoughtError, Signature

MONITORED = 512
"""Held-out moments that are looked at while training."""


class PolicyLearner(nn.Module):
    """Everything that changes in training: the policy, and what only training needs.

    Args:
        policy: what is kept.
    """

    def __init__(self, policy: GoalPolicy) -> None:
        super().__init__()
        self.policy = policy


class PolicyTraining(ABC):
    """A way to learn a policy from a recording; a frozen dataclass.

    Attributes:
        policy: what it is made of.
        optimiser: steps, batch size (model steps with a goal each), learning rate.
        goals: which goals it learns to seek.
        held_out: share of the episodes that training never sees.
        seed: of weights, batches and the split.
    """

    policy: GoalPolicyConfig
    optimiser: OptimiserConfig
    goals: HindsightGoalConfig
    held_out: float
    seed: int

    @abstractmethod
    def build(self, signature: Signature, normalisers: Mapping[str, Normaliser]) -> PolicyLearner:
        """An untrained policy, and what only training needs; see :class:`GoalPolicyConfig`."""

    @abstractmethod
    def stages(
        self, learner: Any, train: EpisodeArrays, held_out: EpisodeArrays
    ) -> Iterator[PolicyStage]:
        """What trains what :meth:`build` made on ``train`` and watches ``held_out``, in order.

        One is made when those before it are done, so that it may build on what they trained.
        """


class PolicyStage(Stage):
    """What all ways of learning share: a policy, and how it is watched.

    Args:
        optimiser: steps, batch size, learning rate.
        policy: what is trained.
    """

    def __init__(self, optimiser: OptimiserConfig, policy: GoalPolicy) -> None:
        self.optimiser = optimiser
        self.policy = policy

    def error(
        self, state: Float[Tensor, "n w"], goal: Float[Tensor, "n w"], actions: Float[Tensor, "n a"]
    ) -> dict[str, float]:
        """Mean squared difference of decisions from what was done, in standard units."""
        done = self.policy.normalise(actions)
        error = self.policy.normalise(self.policy.mean(state, goal)) - done
        return {"held_out_error": float(error.square().mean())}


def train_policy(
    data: Dataset,
    config: PolicyTraining,
    out: Path | str,
    *,
    resume: bool = False,
    visible: bool = True,
    checkpoint_s: float = 15.0,
) -> GoalPolicy:
    """Trains a policy on a dataset and leaves it in a folder.

    Killed at any moment and called again with ``resume``, it ends with the same weights as a run
    that was never interrupted (on the same machine, with the same number of threads).

    Args:
        data: recorded episodes.
        config: the whole run.
        out: folder of the run; new, unless resuming.
        resume: continue the run in ``out``; start it if there is none.
        visible: show progress.
        checkpoint_s: seconds between checkpoints.

    Raises:
        ForethoughtError: the data do not fit the policy, or the folder is in use; before any work.
    """
    out = Path(out)
    _check_keys(data.signature, config.policy.perception)
    claim_folder(out, config, data, resume=resume)
    if (out / CONFIG).exists():
        return GoalPolicy.load(out)
    keys = list(config.policy.perception.encoders)
    train_ids, held_out_ids = data.split(held_out=config.held_out, seed=config.seed)
    train, held_out = (data.load(ids, keys=keys, cache=out) for ids in (train_ids, held_out_ids))
    learner = _begun(config, train, _normalisers(data, config.policy, train_ids))
    loop = Loop(
        config=LoopConfig(seed=config.seed, visible=visible, checkpoint_s=checkpoint_s),
        learner=learner,
        folder=out / "checkpoints",
        metrics=JSONLines(out / METRICS),
    )
    progress = loop.resume()
    for stage in config.stages(learner, train, held_out):
        progress = loop.run(stage, progress)
    policy = learner.policy.eval()
    policy.notes |= {
        "seed": config.seed,
        "data": data.path.name,
        "held_out_episodes": held_out_ids,
        "train_seconds": sum(progress.seconds.values()),
    }
    policy.save(out)
    return policy


def _begun(
    config: PolicyTraining, train: EpisodeArrays, normalisers: Mapping[str, Normaliser]
) -> PolicyLearner:
    """An untrained policy whose latents have their units."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        learner = config.build(train.signature, normalisers)
    moves = config.policy.moves(train, config.goals)
    # A checkpoint holds the same units again.
    learner.policy.begin(moves.sample(MONITORED, torch.Generator().manual_seed(0)).state)
    return learner


def _check_keys(signature: Signature, perception: PerceptionConfig) -> None:
    perception.tokens(signature)
    if TASK in perception.encoders:
        raise ForethoughtError(
            f"a goal policy perceives observations and goals alike; {TASK!r} is neither. Leave it "
            "out of PerceptionConfig.encoders."
        )


def _normalisers(
    data: Dataset, config: GoalPolicyConfig, train_ids: list[int]
) -> dict[str, Normaliser]:
    """Standardisation of the perceived vectors and of the model action, from training episodes."""
    statistics = data.statistics(train_ids)
    found = vector_normalisers(data.signature, statistics, config.perception)
    action, block = statistics[ACTION], config.action_block
    return {**found, ACTION: Normaliser(action.mean * block, action.std * block)}
