"""Goal-conditioned implicit Q-learning: offline reinforcement learning without a model.

IQL (Kostrikov et al., 2022) on goals in hindsight, as in OGBench (Park et al., 2024). The reward is
0 at the goal and -1 elsewhere, so that the value of a state ``d`` model steps from its goal is
``-(1 - discount ** d) / (1 - discount)``. An expectile of Q over the recorded actions stands for
its maximum, so that no action is asked about that was never tried; values travel from episode to
episode, which cloning cannot.

Pixels come first: the encoder and a first policy are cloned, then frozen latents make the many
small steps of value learning cheap. Values that train the encoder too, by what they themselves
foresee, lose in a few hundred steps what it has learned.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from forethought.baselines.cloning import CloningStage
from forethought.baselines.hindsight import HindsightGoalConfig, still
from forethought.baselines.policies import GoalPolicy, GoalPolicyConfig, head
from forethought.baselines.policy_training import (
    MONITORED,
    PolicyLearner,
    PolicyStage,
    PolicyTraining,
)
from forethought.config import register
from forethought.data.dataset import EpisodeArrays
from forethought.data.windows import WindowConfig, WindowSampler, as_vectors
from forethought.learning.trainer import OptimiserConfig
from forethought.perception.normalise import Normaliser
from forethought.types import Signature

ENCODED_AT_ONCE = 512


@register
@dataclass(frozen=True, kw_only=True)
class IQLConfig(PolicyTraining):
    """Implicit Q-learning; the defaults train for some minutes on one core.

    Attributes:
        policy: what it is made of.
        cloning: steps, batch size, learning rate of the cloning before, which trains the encoder.
        optimiser: the same of value, critics and policy on its latents.
        cloned_goals: which goals are cloned.
        goals: which goals values and policy are learned for.
        hidden: width of each hidden layer of value and critics.
        discount: of a model step.
        expectile: weight of errors that raise the value; those that lower it get the rest.
        eagerness: inverse temperature: an action whose advantage is larger by one step counts
            ``e ** eagerness`` times as much for the policy.
        largest_weight: no action counts more than this.
        target_rate: how fast the target critics follow.
        held_out: share of the episodes that training never sees.
        seed: of weights, batches and the split.
    """

    policy: GoalPolicyConfig
    cloning: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(num_steps=3000, batch_size=128, learning_rate=1e-3)
    )
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            num_steps=4000, batch_size=256, learning_rate=1e-3, clip=10.0
        )
    )
    cloned_goals: HindsightGoalConfig = field(
        default_factory=lambda: HindsightGoalConfig(mean_steps=4.0)
    )
    goals: HindsightGoalConfig = field(
        default_factory=lambda: HindsightGoalConfig(current=0.1, random=0.5, mean_steps=8.0)
    )
    hidden: tuple[int, ...] = (256, 256)
    discount: float = 0.95
    expectile: float = 0.99
    eagerness: float = 8.0
    largest_weight: float = 100.0
    target_rate: float = 0.05
    held_out: float = 0.1
    seed: int = 0

    def build(self, signature: Signature, normalisers: Mapping[str, Normaliser]) -> IQLLearner:
        """See :class:`PolicyTraining`."""
        return IQLLearner(self.policy.build(signature, normalisers), self.hidden)

    def stages(
        self, learner: IQLLearner, train: EpisodeArrays, held_out: EpisodeArrays
    ) -> Iterator[PolicyStage]:
        """See :class:`PolicyTraining`."""
        cloned = [self.policy.moves(part, self.cloned_goals) for part in (train, held_out)]
        yield CloningStage(self.cloning, learner.policy, *cloned)
        encoded = [LatentMoveSampler(part, self, learner.policy) for part in (train, held_out)]
        yield IQLStage(self, learner, *encoded)


# ------------------------------------------------------------------------------------ latents


@dataclass(frozen=True, kw_only=True)
class LatentMoves:
    """A batch of single model steps, each with a goal, as latents.

    Attributes:
        state: ``(b, w)`` before.
        following: ``(b, w)`` after.
        goal: ``(b, w)`` a goal, seen standing still.
        actions: ``(b, a)`` the model actions taken, in world units.
        there: ``(b,)`` whether the state is the goal.
        arriving: ``(b,)`` whether what follows is.
    """

    state: Float[Tensor, "b w"]
    following: Float[Tensor, "b w"]
    goal: Float[Tensor, "b w"]
    actions: Float[Tensor, "b a"]
    there: Bool[Tensor, " b"]
    arriving: Bool[Tensor, " b"]


class LatentMoveSampler:
    """Encodes every row once, and draws model steps and goals from them.

    Args:
        arrays: the episodes.
        config: which goals.
        policy: whose encoder.
    """

    def __init__(self, arrays: EpisodeArrays, config: IQLConfig, policy: GoalPolicy) -> None:
        self._moves = config.policy.moves(arrays, config.goals)
        self._offsets = arrays.offsets
        self._actions = as_vectors(arrays)
        self._states = encode_rows(policy, arrays, moving=True)
        stacked = config.policy.perception.frame_stack > 1
        self._stills = encode_rows(policy, arrays, moving=False) if stacked else self._states

    def sample(self, batch_size: int, generator: torch.Generator) -> LatentMoves:
        """Model steps drawn uniformly from all there are, with goals."""
        episode, row, goals = self._moves.draw(batch_size, generator)
        block = self._moves.block
        now, goal = self._offsets[episode] + row, self._offsets[goals.episode] + goals.row
        return LatentMoves(
            state=self._states[now],
            following=self._states[now + block],
            goal=self._stills[goal],
            actions=self._actions[now[:, None] + torch.arange(block)].flatten(1),
            there=goal == now,
            arriving=goal == now + block,
        )


@torch.no_grad()
def encode_rows(
    policy: GoalPolicy, arrays: EpisodeArrays, *, moving: bool
) -> Float[Tensor, "rows w"]:
    """Latents of every recorded row, with the frames before it or as if it stood still."""
    perception = policy.config.perception
    stack = perception.frame_stack if moving else 1
    windows = WindowConfig(
        length=1, action_block=1, frame_stack=stack, frame_gap=perception.frame_gap
    )
    sampler, parts = WindowSampler(arrays, windows), []
    policy.eval()
    for episodes, steps in sampler.rows(ENCODED_AT_ONCE):
        seen = {key: value[:, 0] for key, value in sampler.at(episodes, steps).observation.items()}
        if not moving:
            seen = {key: still(value[:, 0], perception.frame_stack) for key, value in seen.items()}
        parts.append(policy.encode(seen))
    return torch.cat(parts)


# ----------------------------------------------------------------------------------- learning


class Critics(nn.Module):
    """Two estimates of Q, the discounted reward from an action on.

    Args:
        width: of a latent.
        action_width: of a model action.
        hidden: width of each hidden layer.
    """

    def __init__(self, width: int, action_width: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        inputs = 2 * width + action_width
        self.members = nn.ModuleList([head(inputs, hidden, 1) for _ in range(2)])

    def forward(
        self,
        state: Float[Tensor, "n w"],
        goal: Float[Tensor, "n w"],
        actions: Float[Tensor, "n a"],
    ) -> Float[Tensor, "2 n"]:
        """Both estimates, for standardised model actions."""
        told = torch.cat([state, goal, actions], dim=-1)
        return torch.stack([member(told).squeeze(-1) for member in self.members])


class IQLLearner(PolicyLearner):
    """The policy with its value and its critics, on latents of the policy's encoder.

    Args:
        policy: what is kept.
        hidden: width of each hidden layer of value and critics.
    """

    def __init__(self, policy: GoalPolicy, hidden: tuple[int, ...]) -> None:
        super().__init__(policy)
        self.value_head = head(2 * policy.width, hidden, 1)
        self.critics = Critics(policy.width, policy.action_width, hidden)
        self.target_critics = copy.deepcopy(self.critics).requires_grad_(False)

    def value(self, state: Float[Tensor, "n w"], goal: Float[Tensor, "n w"]) -> Float[Tensor, " n"]:
        """V: the discounted reward on the best recorded way from here to the goal."""
        return self.value_head(torch.cat([state, goal], dim=-1)).squeeze(-1)


class IQLStage(PolicyStage):
    """Trains value, critics and policy on latents that stay as they are.

    Args:
        config: how.
        learner: what is trained.
        moves: what it is trained on.
        held_out: what it is watched on.
    """

    name, label = "iql", "implicit Q-learning"

    def __init__(
        self,
        config: IQLConfig,
        learner: IQLLearner,
        moves: LatentMoveSampler,
        held_out: LatentMoveSampler,
    ) -> None:
        super().__init__(config.optimiser, learner.policy)
        self.config = config
        self.learner = learner
        self.moves = moves
        self._watched = held_out.sample(MONITORED, torch.Generator().manual_seed(0))

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        learner = self.learner
        yield from learner.value_head.parameters()
        yield from learner.critics.parameters()
        yield from learner.policy.actor.parameters()
        yield learner.policy.log_std

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`: equations 5, 6 and 7 of IQL, added."""
        moves = self.moves.sample(self.optimiser.batch_size, generator)
        learner, state, goal = self.learner, moves.state, moves.goal
        actions = moves.actions.to(state.device)
        told = self.policy.normalise(actions)
        value = learner.value(state, goal)
        with torch.no_grad():
            expected = returns(moves, learner.value(moves.following, goal), self.config.discount)
            # The lesser of two estimates, so that chance is not taken for merit.
            reached = learner.target_critics(state, goal, told).amin(0)
            weight = advantage_weight(reached - value, self.config)
        value_loss = expectile_loss(reached - value, self.config.expectile)
        critic_loss = (learner.critics(state, goal, told) - expected).square().sum(0).mean()
        policy_loss = -(weight * self.policy.log_likelihood(state, goal, actions)).mean()
        parts = {
            "value_loss": value_loss,
            "critic_loss": critic_loss,
            "policy_loss": policy_loss,
            "value": value.mean(),
            "weight": weight.mean(),
        }
        # By the mean weight, so that a step of the policy is as long as when cloning.
        loss = value_loss + critic_loss + policy_loss / weight.mean()
        return loss, {name: part.detach() for name, part in parts.items()}

    @torch.no_grad()
    def after_step(self) -> None:
        """Moves the target critics towards the critics."""
        slow, fast = self.learner.target_critics, self.learner.critics
        for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
            old.lerp_(new, self.config.target_rate)

    @torch.no_grad()
    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        watched = self._watched
        actions = watched.actions.to(self.policy.device)
        return self.error(watched.state, watched.goal, actions)


def returns(
    moves: LatentMoves, onward: Float[Tensor, " b"], discount: float
) -> Float[Tensor, " b"]:
    """What a model step is worth: 0 at the goal, where the episode ends, else -1 and what follows.

    Args:
        moves: the steps.
        onward: value of what follows them.
        discount: of a model step.
    """
    there, arriving = moves.there.to(onward.device), moves.arriving.to(onward.device)
    worth = -1 + discount * onward.masked_fill(arriving, 0.0)
    return worth.masked_fill(there, 0.0)


def expectile_loss(error: Float[Tensor, " n"], expectile: float) -> Float[Tensor, ""]:
    """Mean of ``|expectile - 1(error < 0)| * error ** 2`` (IQL, equation 5)."""
    weight = torch.where(error < 0, 1 - expectile, expectile)
    return (weight * error.square()).mean()


def advantage_weight(advantage: Float[Tensor, " n"], config: IQLConfig) -> Float[Tensor, " n"]:
    """How much an action counts for the policy (IQL, equation 7)."""
    return (config.eagerness * advantage).exp().clamp_max(config.largest_weight)
