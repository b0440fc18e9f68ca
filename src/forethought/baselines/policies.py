"""Policies that seek goals without imagining anything: what planning is measured against.

A goal-conditioned policy answers at once: the observation and the goal, seen by the same encoder,
to a block of actions. It learns from the recording alone
(:mod:`~forethought.baselines.policy_training`), with goals in hindsight.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from forethought.baselines.hindsight import HindsightGoalConfig, MoveSampler, still
from forethought.config import from_json, register, to_json
from forethought.data.dataset import EpisodeArrays
from forethought.memory.short_term import ObservationWindow
from forethought.model import CONFIG, WEIGHTS, write_safely
from forethought.perception import Perception, PerceptionConfig
from forethought.perception.normalise import Normaliser
from forethought.types import ACTION, Decision, ForethoughtError, Observation, Signature

FORMAT = 1
SMALLEST_LOG_STD = -3.0
"""Below it a likelihood would be a hair's breadth wide, and its gradients huge."""


def head(num_inputs: int, hidden: tuple[int, ...], num_outputs: int) -> nn.Sequential:
    """Linear layers, each normalised (Ba et al., 2016) and followed by GELU, and a linear one.

    Without normalisation, values near a wall take several times as long to learn.
    """
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise((num_inputs, *hidden)):
        layers += [nn.Linear(size_in, size_out), nn.LayerNorm(size_out), nn.GELU()]
    return nn.Sequential(*layers, nn.Linear((num_inputs, *hidden)[-1], num_outputs))


@register
@dataclass(frozen=True, kw_only=True)
class GoalPolicyConfig:
    """What a policy is made of.

    Attributes:
        perception: encodes observation and goal alike.
        hidden: width of each hidden layer after it.
        action_block: world steps that it decides at once.
    """

    perception: PerceptionConfig
    hidden: tuple[int, ...] = (256, 256)
    action_block: int = 5

    def build(self, signature: Signature, normalisers: Mapping[str, Normaliser]) -> GoalPolicy:
        """An untrained policy.

        Args:
            signature: the perceived keys, and the action.
            normalisers: per perceived vector, and for ``action`` (a model action), its
                standardisation.

        Raises:
            ForethoughtError: actions are discrete, or a key does not fit its encoder.
        """
        return GoalPolicy(self, signature, normalisers)

    def moves(self, arrays: EpisodeArrays, goals: HindsightGoalConfig) -> MoveSampler:
        """Model steps as such a policy sees and takes them.

        Args:
            arrays: the episodes.
            goals: which goals.

        Raises:
            ForethoughtError: no episode is as long as a model step.
        """
        return MoveSampler(
            arrays, goals, perception=self.perception, action_block=self.action_block
        )


class GoalPolicy(nn.Module):
    """A Gaussian over model actions, given an observation and a goal.

    Its mean lies in the action box (by a tanh), its deviation is learned and the same everywhere.

    Args:
        config: what it is made of.
        signature: the perceived keys, and the action.
        normalisers: see :meth:`GoalPolicyConfig.build`.
        notes: how it came to be; kept with the weights, never interpreted.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        config: GoalPolicyConfig,
        signature: Signature,
        normalisers: Mapping[str, Normaliser],
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        spec = signature.action
        if spec.discrete:
            raise ForethoughtError(
                f"a goal policy decides vectors, the data have {spec.num_choices} discrete "
                "actions; choose a planning agent for them."
            )
        self.config, self.signature = config, signature
        self.notes = dict(notes or {})
        self.perception = Perception(
            config.perception,
            signature,
            {key: normalisers[key] for key in config.perception.encoders if key in normalisers},
        )
        self.action_normaliser = normalisers[ACTION]
        self.width = self.perception.num_tokens * self.perception.width
        self.action_width = spec.width * config.action_block
        self.latent_normaliser = Normaliser([0.0] * self.width, [1.0] * self.width)
        self.actor = head(2 * self.width, config.hidden, self.action_width)
        self.log_std = nn.Parameter(torch.zeros(self.action_width))
        self.register_buffer("low", torch.tensor(spec.low * config.action_block))
        self.register_buffer("high", torch.tensor(spec.high * config.action_block))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.low.device

    def encode(self, observation: Mapping[str, Tensor]) -> Float[Tensor, "n w"]:
        """Latents of observations ``(n, f, ...)`` per key, all tokens side by side."""
        seen = {key: value.to(self.device) for key, value in observation.items()}
        return self.latent_normaliser(self.perception(seen).flatten(1))

    @torch.no_grad()
    def begin(self, observation: Mapping[str, Tensor]) -> None:
        """Fixes the units of latents so that these observations ``(n, f, ...)`` vary by about one.

        What moves in a picture may be a few pixels, of which an untrained encoder tells little
        beside what never changes; without this, learning begins only after hundreds of steps
        (initialisation from data, Salimans and Kingma, 2016).
        """
        seen = {key: value.to(self.device) for key, value in observation.items()}
        latents = self.perception(seen).flatten(1)
        mean, std = latents.mean(0).tolist(), latents.std(0, correction=0).tolist()
        self.latent_normaliser.load_state_dict(Normaliser(mean, std).state_dict())

    def encode_all(self, *observations: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Latents of several batches of one size, encoded in one go."""
        joined = {
            key: torch.cat([one[key] for one in observations]) for key in self.perception.keys
        }
        return self.encode(joined).chunk(len(observations))

    def mean(self, state: Float[Tensor, "n w"], goal: Float[Tensor, "n w"]) -> Float[Tensor, "n a"]:
        """The most likely model action, in world units."""
        share = torch.tanh(self.actor(torch.cat([state, goal], dim=-1)))
        return (self.low + self.high) / 2 + (self.high - self.low) / 2 * share

    def log_likelihood(
        self,
        state: Float[Tensor, "n w"],
        goal: Float[Tensor, "n w"],
        actions: Float[Tensor, "n a"],
    ) -> Float[Tensor, " n"]:
        """Of model actions in world units, as a density of standardised ones."""
        error = self.normalise(actions) - self.normalise(self.mean(state, goal))
        log_std = self.log_std.clamp_min(SMALLEST_LOG_STD)
        nats = 0.5 * (error / log_std.exp()).square() + log_std + 0.5 * math.log(2 * math.pi)
        return -nats.sum(-1)

    def draw(
        self,
        state: Float[Tensor, "n w"],
        goal: Float[Tensor, "n w"],
        *,
        temperature: float,
        generator: torch.Generator,
    ) -> Float[Tensor, "n a"]:
        """Model actions in world units, within the box; the mean at a temperature of zero."""
        mean = self.mean(state, goal)
        noise = torch.randn(mean.shape, generator=generator, device=generator.device)
        std = self.log_std.clamp_min(SMALLEST_LOG_STD).exp() * self.action_normaliser.scale
        drawn = mean + temperature * std * noise.to(mean.device)
        return torch.minimum(torch.maximum(drawn, self.low), self.high)

    def normalise(self, actions: Float[Tensor, "*batch a"]) -> Float[Tensor, "*batch a"]:
        """Model actions in world units to standard units."""
        return self.action_normaliser(actions)

    def seeking(
        self,
        goals: Observation,
        *,
        replan_every: int | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> SeekingPolicy:
        """This policy at work, for goal observations ``(b, ...)`` per key; extra keys are ignored.

        Args:
            goals: what the sensors would give at each goal.
            replan_every: world steps of a block that are taken before the next is decided; None
                for all.
            temperature: zero takes the most likely action, one draws as it was learned.
            seed: of the drawing.

        Raises:
            ForethoughtError: the goals lack a key or have another shape, or ``replan_every`` is no
                part of a block.
        """
        return SeekingPolicy(
            self, goals, replan_every=replan_every, temperature=temperature, seed=seed
        )

    # ------------------------------------------------------------------ on disk

    def save(self, folder: Path) -> None:
        """Leaves weights and configuration in a folder; the configuration last."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        write_safely(folder / WEIGHTS, save(state))
        content = {
            "format": FORMAT,
            "goal_policy": to_json(self.config),
            "signature": self.signature.to_json(),
            "notes": self.notes,
        }
        write_safely(folder / CONFIG, json.dumps(content, indent=2).encode())

    @classmethod
    def load(cls, folder: Path) -> GoalPolicy:
        """The policy that was saved to a folder.

        Raises:
            ForethoughtError: there is none, or it is damaged or of another version.
        """
        where = folder / CONFIG
        try:
            content = json.loads(where.read_text())
            if content.get("format") != FORMAT or "goal_policy" not in content:
                raise ForethoughtError(
                    f"{where}: no goal policy of format {FORMAT}. Give the folder that a policy "
                    "was trained in, or train again."
                )
            config = from_json(content["goal_policy"], where=str(where))
            signature = Signature.from_json(content["signature"])
            policy = cls(config, signature, _blank_normalisers(config, signature), content["notes"])
            policy.load_state_dict(load_file(folder / WEIGHTS))
        except (OSError, json.JSONDecodeError, KeyError, SafetensorError, RuntimeError) as error:
            raise ForethoughtError(
                f"{folder}: no whole goal policy here ({error}). Give the folder that one was "
                "trained in; an unfinished run is finished with resume=True."
            ) from error
        return policy.eval()


class SeekingPolicy:
    """A policy that acts in ``b`` worlds at once, each with a goal; made by ``seeking``.

    Args:
        policy: what decides.
        goals: goal observations ``(b, ...)`` per key.
        replan_every: world steps of a block that are taken; None for all.
        temperature: see :meth:`GoalPolicy.seeking`.
        seed: of the drawing.
    """

    def __init__(
        self,
        policy: GoalPolicy,
        goals: Observation,
        *,
        replan_every: int | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        block = policy.config.action_block
        self.policy = policy.eval()
        self.replan_every = block if replan_every is None else replan_every
        if not 1 <= self.replan_every <= block:
            raise ForethoughtError(
                f"replan_every={replan_every}, but the policy decides {block} world steps at once; "
                f"give 1 to {block}, or None for all."
            )
        self.temperature = temperature
        self._generator = torch.Generator(device=policy.device).manual_seed(seed)
        self.num_agents = len(next(iter(goals.values())))
        self.seek(goals)
        self.reset()

    @torch.no_grad()
    def seek(self, goals: Observation) -> None:
        """Other goals from now on, ``(b, ...)`` per key.

        Raises:
            ForethoughtError: they lack a key or have another shape.
        """
        seen = self._read("the goals", goals)
        stack = self.policy.config.perception.frame_stack
        self._goal = self.policy.encode(
            {key: still(torch.as_tensor(value), stack) for key, value in seen.items()}
        )

    def reset(self) -> None:
        """Forgets the episode; the goals stay."""
        perception = self.policy.config.perception
        self._window = ObservationWindow(
            frame_stack=perception.frame_stack, frame_gap=perception.frame_gap
        )
        self._step = 0
        self._block = np.zeros((self.num_agents, 0, 0), np.float32)

    @torch.no_grad()
    def act_batch(self, observation: Mapping[str, Any]) -> Decision:
        """The next action of every agent, from observations ``(b, ...)`` per key.

        Raises:
            ForethoughtError: a key is missing, or has another shape or type.
        """
        started = time.perf_counter()
        self._window = self._window.see(self._read("the observation", observation))
        if self._step % self.replan_every == 0:
            self._step, self._block = 0, self._decide()
        step, self._step = self._step, self._step + 1
        return Decision(
            action=self._block[:, step],
            mode=1,
            plan=None,
            plan_step=step,
            surprise=np.full(self.num_agents, np.nan, dtype=np.float32),
            shielded=np.zeros(self.num_agents, dtype=bool),
            seconds=time.perf_counter() - started,
        )

    def _decide(self) -> np.ndarray:
        """A block of actions: ``(b, steps, dim)``."""
        actions = self.policy.draw(
            self.policy.encode(self._window.stacked()),
            self._goal,
            temperature=self.temperature,
            generator=self._generator,
        )
        return actions.unflatten(-1, (self.policy.config.action_block, -1)).cpu().numpy()

    def _read(self, what: str, observation: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The perceived keys; refuses what the policy cannot have meant."""
        seen = {}
        for key in self.policy.perception.keys:
            spec = self.policy.signature.observation[key]
            value = np.asarray(observation[key]) if key in observation else None
            expected = (self.num_agents, *spec.shape)
            if value is None or value.shape != expected or value.dtype != np.dtype(spec.dtype):
                found = "nothing" if value is None else f"{value.dtype} {value.shape}"
                raise ForethoughtError(
                    f"{what}: {key!r} is {found}, expected {spec.dtype} {expected}: one for each "
                    "goal, in the form of the training data."
                )
            seen[key] = value
        return seen


def _blank_normalisers(config: GoalPolicyConfig, signature: Signature) -> dict[str, Normaliser]:
    """Of the right sizes, for weights to be loaded into."""
    shapes = {key: signature.observation[key].shape for key in config.perception.encoders}
    sizes = {key: shape[0] for key, shape in shapes.items() if len(shape) == 1}
    sizes[ACTION] = signature.action.width * config.action_block
    return {key: Normaliser([0.0] * size, [1.0] * size) for key, size in sizes.items()}
