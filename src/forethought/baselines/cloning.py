"""Goal-conditioned behaviour cloning: do what was done on the way to where one wants to be.

The supervised half of hindsight (Lynch et al., 2019; Ghosh et al., 2021): each recorded action is
copied, given the state it was taken in and a state that came after. Nothing says which way is
short, and nothing joins episodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.baselines.policies import (
    MONITORED,
    GoalPolicy,
    GoalPolicyConfig,
    HindsightGoalConfig,
    MoveSampler,
    PolicyLearner,
    PolicyStage,
    PolicyTraining,
    train_policy,
)
from forethought.config import register
from forethought.data.dataset import Dataset, EpisodeArrays
from forethought.learning.trainer import OptimiserConfig
from forethought.perception.normalise import Normaliser
from forethought.types import Signature


@register
@dataclass(frozen=True, kw_only=True)
class CloningConfig(PolicyTraining):
    """Behaviour cloning; the defaults train for some minutes on one core.

    Attributes:
        policy: what it is made of.
        optimiser: steps, batch size (model steps with a goal each), learning rate.
        goals: which goals it learns to seek; cloning can use later ones only.
        held_out: share of the episodes that training never sees.
        seed: of weights, batches and the split.
    """

    policy: GoalPolicyConfig
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(num_steps=3000, batch_size=128, learning_rate=1e-3)
    )
    goals: HindsightGoalConfig = field(default_factory=lambda: HindsightGoalConfig(mean_steps=4.0))
    held_out: float = 0.1
    seed: int = 0

    def build(self, signature: Signature, normalisers: Mapping[str, Normaliser]) -> PolicyLearner:
        """See :class:`PolicyTraining`."""
        return PolicyLearner(self.policy.build(signature, normalisers))

    def stages(
        self, learner: PolicyLearner, train: EpisodeArrays, held_out: EpisodeArrays
    ) -> Iterator[PolicyStage]:
        """See :class:`PolicyTraining`."""
        moves, watched = (MoveSampler(part, self.goals, self.policy) for part in (train, held_out))
        yield CloningStage(self.optimiser, learner.policy, moves, watched)


class CloningStage(PolicyStage):
    """Makes what was done likely: the mean of ``-log pi(a | s, g)``.

    Args:
        optimiser: steps, batch size, learning rate.
        policy: what is trained, encoder and all.
        moves: what it is trained on.
        held_out: what it is watched on.
    """

    name = label = "cloning"

    def __init__(
        self,
        optimiser: OptimiserConfig,
        policy: GoalPolicy,
        moves: MoveSampler,
        held_out: MoveSampler,
    ) -> None:
        super().__init__(optimiser, policy)
        self.moves = moves
        self._watched = held_out.sample(MONITORED, torch.Generator().manual_seed(0))

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.policy.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        moves = self.moves.sample(self.optimiser.batch_size, generator)
        state, goal = self.policy.encode_all(moves.state, moves.goal)
        actions = moves.actions.to(self.policy.device)
        return -self.policy.log_likelihood(state, goal, actions).mean(), {}

    @torch.no_grad()
    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        state, goal = self.policy.encode_all(self._watched.state, self._watched.goal)
        return self.error(state, goal, self._watched.actions.to(self.policy.device))

    @property
    def images_per_step(self) -> int:
        """See :class:`Stage`."""
        return 2 * self.optimiser.batch_size


def train_cloning(
    data: Dataset,
    config: CloningConfig,
    out: Path | str,
    resume: bool = False,
    *,
    visible: bool = True,
    checkpoint_s: float = 15.0,
) -> GoalPolicy:
    """Clones a recording; see :func:`~forethought.baselines.policies.train_policy`.

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
    return train_policy(
        data, config, out, resume=resume, visible=visible, checkpoint_s=checkpoint_s
    )
