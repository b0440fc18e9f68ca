"""Goal-conditioned behaviour cloning: do what was done on the way to where one wants to be.

The supervised half of hindsight (Lynch et al., 2019; Ghosh et al., 2021): each recorded action is
copied, given the state it was taken in and a state that came after. Nothing says which way is
short, and nothing joins episodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.baselines.hindsight import HindsightGoalConfig, MoveSampler
from forethought.baselines.policies import GoalPolicy, GoalPolicyConfig
from forethought.baselines.policy_training import (
    MONITORED,
    PolicyLearner,
    PolicyStage,
    PolicyTraining,
)
from forethought.config import register
from forethought.data.dataset import EpisodeArrays
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
        moves, watched = (self.policy.moves(part, self.goals) for part in (train, held_out))
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
