"""The world model: perception, and a predictor of what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.normalise import Normaliser
from forethought.perception.perception import Perception, PerceptionConfig
from forethought.types import ActionSpace, Chance, Imagination, Past, Signature
from forethought.world_model.latent_variable import LatentVariableConfig
from forethought.world_model.predictors import PredictorConfig


@register
@dataclass(frozen=True, kw_only=True)
class WorldModelConfig:
    """Settings of a world model.

    Attributes:
        perception: how observations become latents.
        predictor: how latents follow from latents and actions.
        action_block: world steps in one model step.
        latent_variable: what else the future depends on; None where it is determined.
    """

    perception: PerceptionConfig
    predictor: PredictorConfig
    action_block: int = 1
    latent_variable: LatentVariableConfig | None = None


class WorldModel(nn.Module):
    """A joint-embedding predictive world model, s' = Pred(s, a, z).

    Args:
        config: what it is made of.
        signature: the observations and actions of one world step.
        normalisers: per vector key, and for ``action``, its standardisation.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        config: WorldModelConfig,
        signature: Signature,
        normalisers: Mapping[str, Normaliser],
    ) -> None:
        super().__init__()
        self.config = config
        self.signature = signature
        self.action_normaliser = normalisers["action"]
        self.perception = Perception(
            config.perception,
            signature,
            {key: normalisers[key] for key in config.perception.encoders if key in normalisers},
        )
        self.action_width = signature.action.width * config.action_block
        sizes = (self.num_tokens, self.width, self.action_width)
        self.latent_variable = (
            config.latent_variable.build(*sizes) if config.latent_variable else None
        )
        told = self.latent_variable.width if self.latent_variable is not None else 0
        self.predictor = config.predictor.build(
            self.num_tokens, self.width, self.action_width + told
        )
        low = signature.action.low or (0.0,) * signature.action.width
        high = signature.action.high or (1.0,) * signature.action.width
        self.register_buffer("low", torch.tensor(low * config.action_block))
        self.register_buffer("high", torch.tensor(high * config.action_block))

    @property
    def num_tokens(self) -> int:
        """k."""
        return self.perception.num_tokens

    @property
    def width(self) -> int:
        """d."""
        return self.perception.width

    @property
    def action_space(self) -> ActionSpace:
        """The model actions: blocks of the world's actions."""
        return ActionSpace(
            low=self.low,
            high=self.high,
            num_choices=self.signature.action.num_choices,
            block=self.config.action_block,
        )

    def encode(self, observation: Mapping[str, Tensor]) -> Float[Tensor, "*batch k d"]:
        """Latents of observations ``(*batch, f, ...)`` per key."""
        seen = self.perception.present(observation)
        key, values = next(iter(seen.items()))
        leading = values.shape[: -1 - len(self.signature.observation[key].shape)]
        flat = {key: values.flatten(0, len(leading) - 1) for key, values in seen.items()}
        return self.perception(flat).unflatten(0, leading)

    def normalise(self, actions: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch a"]:
        """Model actions in world units to standard units, as the predictor takes them."""
        return self.action_normaliser(actions)

    def held(self, units: Float[Tensor, "*batch c"]) -> Float[Tensor, "*batch a"]:
        """The standardised model action that holds one world action.

        Args:
            units: world actions in units of their box, from -1 to 1.
        """
        shares = units.repeat(*(1 for _ in units.shape[:-1]), self.config.action_block)
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return self.normalise(middle + half * shares)

    def push(
        self, latents: Float[Tensor, "n k d"], units: Float[Tensor, "n c"]
    ) -> Float[Tensor, "n k d"]:
        """What follows when world actions, in units of their box, are held for a model step."""
        return self.rollout(latents, self.held(units).unsqueeze(1))[:, 1]

    def rollout(
        self,
        latents: Float[Tensor, "n k d"],
        actions: Float[Tensor, "n h a"],
        *,
        past: Past | None = None,
        z: Float[Tensor, "n h z"] | None = None,
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """Latents that follow under standardised actions; the first is where they start.

        Of an ensemble, the mean of what its members foresee.

        Args:
            latents: the present.
            actions: what is done.
            past: what came before; None at the beginning of an episode.
            z: the latent variable at each step; None for the likeliest. Unused without one.
        """
        return _average(self.futures(latents, actions, past=past, z=z))

    def futures(
        self,
        latents: Float[Tensor, "n k d"],
        actions: Float[Tensor, "n h a"],
        *,
        past: Past | None = None,
        z: Float[Tensor, "n h z"] | None = None,
        numbers: Float[Tensor, "n h v"] | None = None,
    ) -> Float[Tensor, "m n h_plus_1 k d"]:
        """What each of the predictor's ``m`` members foresees; see :meth:`rollout`.

        Args:
            latents: the present.
            actions: what is done.
            past: what came before.
            z: the latent variable at each step; None to draw it.
            numbers: uniform numbers to draw it from; None for the likeliest.
        """
        numbers_of_one = self.num_tokens * self.width * self.predictor.num_members
        chunk = max(1, self.predictor.numbers_at_once // numbers_of_one)
        parts = []
        for begin in range(0, len(latents), chunk):
            rows = slice(begin, begin + chunk)
            parts.append(
                self._roll(
                    latents[rows],
                    actions[rows],
                    past and Past(latents=past.latents[rows], actions=past.actions[rows]),
                    None if z is None else z[rows],
                    None if numbers is None else numbers[rows],
                )
            )
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _roll(
        self,
        latents: Float[Tensor, "n k d"],
        actions: Float[Tensor, "n h a"],
        past: Past | None,
        z: Float[Tensor, "n h z"] | None,
        numbers: Float[Tensor, "n h v"] | None,
    ) -> Float[Tensor, "m n h_plus_1 k d"]:
        members, window = self.predictor.num_members, self.predictor.window
        known, moves = latents[:, None], actions
        if past is not None and window > 1:
            seen = past.latest(window - 1)
            known = torch.cat([seen.latents, known], dim=1)
            moves = torch.cat([seen.actions, moves], dim=1)
        known, moves = _copies(known, members), _copies(moves, members)
        if self.latent_variable is None:
            ahead = self.predictor.unroll(known, moves)
        else:
            ahead = self._unroll_with_z(known, moves, z, numbers)
        return ahead.unflatten(0, (members, -1))

    def _unroll_with_z(
        self,
        latents: Float[Tensor, "n w k d"],
        actions: Float[Tensor, "n w_minus_1_plus_h a"],
        z: Float[Tensor, "n h z"] | None,
        numbers: Float[Tensor, "n h v"] | None,
    ) -> Float[Tensor, "n h_plus_1 k d"]:
        """Step by step, since what is drawn depends on where one is."""
        known, window = latents.shape[1], self.predictor.window
        states, moves = list(latents.unbind(1)), list(actions[:, : known - 1].unbind(1))
        moves = [self._still(move) for move in moves]
        for step, action in enumerate(actions[:, known - 1 :].unbind(1)):
            chosen = self._z(states[-1], action, step, z, numbers)
            moves.append(torch.cat([action, chosen], dim=-1))
            seen = torch.stack(states[-window:], dim=1)
            states.append(self.predictor(seen, torch.stack(moves[-window:], dim=1)))
        return torch.stack(states[known - 1 :], dim=1)

    def _z(
        self,
        latents: Float[Tensor, "n k d"],
        actions: Float[Tensor, "n a"],
        step: int,
        z: Float[Tensor, "n h z"] | None,
        numbers: Float[Tensor, "n h v"] | None,
    ) -> Float[Tensor, "n z"]:
        assert self.latent_variable is not None
        if z is not None:
            return _copies(z[:, step], self.predictor.num_members)
        if numbers is not None:
            drawn = _copies(numbers[:, step], self.predictor.num_members)
            return self.latent_variable.draw(latents, actions, drawn)
        return self.latent_variable.likeliest(latents, actions)

    def _still(self, actions: Float[Tensor, "n a"]) -> Float[Tensor, "n a_plus_z"]:
        """Past actions as the predictor takes them: what z was is seen in the latents."""
        assert self.latent_variable is not None
        return torch.cat([actions, actions.new_zeros(len(actions), self.latent_variable.width)], -1)

    def each(
        self, latents: Float[Tensor, "n t k d"], actions: Float[Tensor, "n t a"]
    ) -> Float[Tensor, "m n t k d"]:
        """What each of the predictor's ``m`` members foresees after each of consecutive latents.

        Args:
            latents: as they came.
            actions: standardised, what was done in each; a latent variable is no part of them, so
                that there must be none.
        """
        assert self.latent_variable is None
        members = self.predictor.num_members
        ahead = self.predictor.each(_copies(latents, members), _copies(actions, members))
        return ahead.unflatten(0, (members, -1))

    def imagine(
        self,
        latents: Float[Tensor, "b k d"],
        actions: Float[Tensor, "b n h a"],
        *,
        past: Past | None = None,
        chance: Chance | None = None,
    ) -> Imagination:
        """Rolls every candidate sequence, in world units, from its world's present latent.

        Args:
            latents: the present of each world.
            actions: candidates.
            past: what came before in each world.
            chance: which futures are imagined; None for the likeliest one.
        """
        outcomes = chance.num_outcomes if chance and self.latent_variable is not None else 1
        b, n = actions.shape[:2]
        repeated = actions if outcomes == 1 else actions.repeat_interleave(outcomes, 1)
        futures = self.futures(
            latents[:, None].expand(-1, n * outcomes, -1, -1).flatten(0, 1),
            self.normalise(repeated).flatten(0, 1),
            past=past and past.repeated(n * outcomes),
            numbers=self._numbers(chance, actions),
        )
        return Imagination(
            latents=_average(futures).unflatten(0, (b, n * outcomes)),
            actions=repeated,
            spread=_spread(futures, b),
            num_outcomes=outcomes,
        )

    def go_on(
        self,
        imagination: Imagination,
        actions: Float[Tensor, "b n h2 a"],
        *,
        past: Past | None = None,
        chance: Chance | None = None,
    ) -> Imagination:
        """Imagines further from where an imagination ended; as :meth:`imagine` has both parts.

        Where an imagination does not keep all that is needed, it is all imagined anew: the members
        of an ensemble each go on from a state of their own, and a window may look back at what the
        latent variable was.

        Args:
            imagination: of each candidate's first part.
            actions: its second part, in world units.
            past: what came before in each world.
            chance: the futures that the first part was imagined in.
        """
        outcomes, done = imagination.num_outcomes, imagination.actions.shape[2]
        whole = torch.cat([imagination.actions, actions.repeat_interleave(outcomes, 1)], dim=2)
        drawn = self.latent_variable is not None
        if self.predictor.num_members > 1 or (drawn and self.predictor.window > 1):
            present, candidates = imagination.latents[:, 0, 0], whole[:, ::outcomes]
            return self.imagine(present, candidates, past=past, chance=chance)
        moves, states = self.normalise(whole), imagination.latents
        seen = self._before(states[:, :, :-1], moves[:, :, :done], past)
        numbers = self._numbers(chance, whole[:, ::outcomes])
        futures = self.futures(
            states[:, :, -1].flatten(0, 1),
            moves[:, :, done:].flatten(0, 1),
            past=seen,
            numbers=None if numbers is None else numbers[:, done:],
        )
        ahead = _average(futures)[:, 1:].unflatten(0, whole.shape[:2])
        return Imagination(
            latents=torch.cat([states, ahead], dim=2), actions=whole, num_outcomes=outcomes
        )

    def follow(
        self,
        latents: Float[Tensor, "b n h k d"],
        actions: Float[Tensor, "b n h a"],
        *,
        past: Past | None = None,
    ) -> Float[Tensor, "b n h k d"]:
        """What each of many assumed states leads to under its action, all of them side by side.

        A predictor with a window looks back at the states assumed before. At the beginning of an
        episode the first windows are shorter than the others, and take a call each. The latent
        variable is the likeliest one; what it was before is not told, as with the past.

        Args:
            latents: assumed states of consecutive model steps, the present first.
            actions: what is done in each, in world units.
            past: what came before in each world.
        """
        h, window = latents.shape[2], self.predictor.window
        moves = self.normalise(actions)
        seen = self._before(latents[:, :, :0], moves[:, :, :0], past)
        states = torch.cat([seen.latents, latents.flatten(0, 1)], dim=1)
        moves = torch.cat([seen.actions, moves.flatten(0, 1)], dim=1)
        first = states.shape[1] - h
        short = range(first + 1, min(window, states.shape[1] + 1))
        parts = [self._next(states[:, :end], moves[:, :end]).unsqueeze(1) for end in short]
        if states.shape[1] >= window:
            seen_by_each = states.unfold(1, window, 1).movedim(-1, 2)
            done_in_each = moves.unfold(1, window, 1).movedim(-1, 2)
            after = self._next(seen_by_each.flatten(0, 1), done_in_each.flatten(0, 1))
            parts.append(after.unflatten(0, seen_by_each.shape[:2]))
        return torch.cat(parts, dim=1).unflatten(0, latents.shape[:2])

    def step(
        self, latents: Float[Tensor, "n s k d"], actions: Float[Tensor, "n s a"]
    ) -> Float[Tensor, "n k d"]:
        """What follows the last of consecutive states under the action, in world units, of each."""
        return self._next(latents, self.normalise(actions))

    def _next(
        self, latents: Float[Tensor, "n s k d"], moves: Float[Tensor, "n s a"]
    ) -> Float[Tensor, "n k d"]:
        """What follows the last of consecutive states under standardised actions."""
        past = Past(latents=latents[:, :-1], actions=moves[:, :-1])
        return self.rollout(latents[:, -1], moves[:, -1:], past=past)[:, 1]

    def _before(
        self,
        latents: Float[Tensor, "b n s k d"],
        moves: Float[Tensor, "b n s a"],
        past: Past | None,
    ) -> Past:
        """What a predictor looks back at from behind states that follow on the past."""
        back, n = self.predictor.window - 1, latents.shape[1]
        first = max(0, latents.shape[2] - back)
        recent = Past(
            latents=latents[:, :, first:].flatten(0, 1), actions=moves[:, :, first:].flatten(0, 1)
        )
        if past is None:
            return recent
        earlier = past.latest(back).repeated(n)
        return Past(
            latents=torch.cat([earlier.latents, recent.latents], dim=1),
            actions=torch.cat([earlier.actions, recent.actions], dim=1),
        ).latest(back)

    def _numbers(
        self, chance: Chance | None, actions: Float[Tensor, "b n h a"]
    ) -> Float[Tensor, "bnm h v"] | None:
        """The draws of each future, the same for every candidate of every world."""
        if chance is None or self.latent_variable is None:
            return None
        b, n, h, _ = actions.shape
        draws = chance.draws(h, self.latent_variable.num_variables)
        return draws.repeat(b * n, 1, 1).to(actions)


def _copies(values: Tensor, members: int) -> Tensor:
    """The batch once for each member."""
    return values if members == 1 else values.repeat(members, *[1] * (values.ndim - 1))


def _average(futures: Float[Tensor, "m n h_plus_1 k d"]) -> Float[Tensor, "n h_plus_1 k d"]:
    return futures[0] if len(futures) == 1 else futures.mean(0)


def _spread(
    futures: Float[Tensor, "m bn h_plus_1 k d"], num_worlds: int
) -> Float[Tensor, "b n h"] | None:
    """Root mean squared distance of the members from their mean; None for a single one."""
    if len(futures) == 1:
        return None
    variance = futures[:, :, 1:].var(0, correction=0).mean((-1, -2))
    return (variance + 1e-12).sqrt().unflatten(0, (num_worlds, -1))
