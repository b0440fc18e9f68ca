"""Policies that seek goals without imagining anything: what planning is measured against.

A goal-conditioned policy answers at once: the observation and the goal, seen by the same encoder,
to a block of actions. It learns from the recording alone, in hindsight: whatever an episode came to
was a goal that its actions led to (Andrychowicz et al., 2017; goals drawn as in OGBench, Park et
al., 2024). How it learns is said beside: :mod:`~forethought.baselines.cloning` copies what was
done, :mod:`~forethought.baselines.iql` prefers what led there sooner.
"""

from __future__ import annotations

import json
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from forethought.config import from_json, register, to_json
from forethought.data.dataset import Dataset, EpisodeArrays
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.learning.metrics import JSONLines
from forethought.learning.trainer import Loop, LoopConfig, OptimiserConfig, Stage
from forethought.memory.short_term import ObservationWindow
from forethought.model import CONFIG, WEIGHTS, write_safely
from forethought.perception import Perception, PerceptionConfig
from forethought.perception.normalise import Normaliser
from forethought.types import ACTION, TASK, Decision, ForethoughtError, Observation, Signature

FORMAT = 1
RUN = "run.json"
METRICS = "metrics.jsonl"
MONITORED = 512
"""Held-out moments that are looked at while training."""
SMALLEST_LOG_STD = -3.0
"""Below it a likelihood would be a hair's breadth wide, and its gradients huge."""


# ------------------------------------------------------------------------------------ goals


@register
@dataclass(frozen=True, kw_only=True)
class HindsightGoalConfig:
    """Which moments of a recording are taken for goals; the shares left are later ones.

    Attributes:
        current: share of the goals that are the state itself.
        random: share drawn from all rows of all episodes. Zero where episodes differ in what
            cannot be changed (another layout), since such goals cannot be reached.
        mean_steps: later goals lie a geometric number of model steps ahead; this is its mean, were
            episodes endless. None draws uniformly from what is left of the episode.

    Raises:
        ForethoughtError: shares outside [0, 1], or a mean of less than one step.
    """

    current: float = 0.0
    random: float = 0.0
    mean_steps: float | None = None

    def __post_init__(self) -> None:
        if min(self.current, self.random) < 0 or self.current + self.random > 1:
            raise ForethoughtError(
                f"hindsight goals: current={self.current} and random={self.random}; expected "
                "shares of at least 0 that add up to at most 1."
            )
        if self.mean_steps is not None and self.mean_steps < 1:
            raise ForethoughtError(
                f"hindsight goals: mean_steps is {self.mean_steps}; expected at least 1, or None."
            )


@dataclass(frozen=True, kw_only=True)
class GoalRows:
    """Where goals lie in the recording.

    Attributes:
        episode: ``(b,)`` positions among the loaded episodes.
        row: ``(b,)`` rows in them.
    """

    episode: Int[Tensor, " b"]
    row: Int[Tensor, " b"]


def draw_goals(
    config: HindsightGoalConfig,
    lengths: Int[Tensor, " episodes"],
    episode: Int[Tensor, " b"],
    row: Int[Tensor, " b"],
    *,
    action_block: int,
    generator: torch.Generator,
) -> GoalRows:
    """Goals for states, in hindsight.

    Later goals lie whole model steps ahead, so that they can be met exactly.

    Args:
        config: which.
        lengths: rows of each episode.
        episode: position among the episodes of each state.
        row: row of each state; at least one model step before its episode's end.
        action_block: world steps in a model step.
        generator: the only source of randomness.
    """
    size = len(row)
    left = (lengths[episode] - 1 - row) // action_block
    later = row + action_block * _steps_ahead(config, left, generator)
    anywhere = torch.randint(int(lengths.sum()), (size,), generator=generator)
    chance = torch.rand(size, generator=generator)
    ends = lengths.cumsum(0)
    other = torch.searchsorted(ends, anywhere, right=True)
    elsewhere = chance < config.random
    now = ~elsewhere & (chance < config.random + config.current)
    return GoalRows(
        episode=torch.where(elsewhere, other, episode),
        row=torch.where(
            elsewhere, anywhere - (ends - lengths)[other], torch.where(now, row, later)
        ),
    )


def _steps_ahead(
    config: HindsightGoalConfig, left: Int[Tensor, " b"], generator: torch.Generator
) -> Int[Tensor, " b"]:
    """From one to ``left`` model steps: uniform, or geometric within that range."""
    drawn = torch.rand(len(left), generator=generator, dtype=torch.float64)
    if config.mean_steps is None or config.mean_steps == 1:
        reach = left if config.mean_steps is None else torch.ones_like(left)
        return 1 + (drawn * reach).long().clamp_max(reach - 1)
    # The inverse of the distribution, cut off at the episode's end: P(steps > n) ~ stay ** n.
    stay = math.log1p(-1 / config.mean_steps)
    within = -torch.expm1(stay * left)
    return (torch.log1p(-drawn * within) / stay).ceil().long().clamp_min(1).minimum(left)


@dataclass(frozen=True, kw_only=True)
class Moves:
    """A batch of single model steps, each with a goal.

    Attributes:
        state: per key ``(b, f, ...)``: before.
        goal: per key ``(b, f, ...)``: a goal, seen standing still.
        actions: ``(b, a)`` the model actions taken, in world units.
    """

    state: Mapping[str, Tensor]
    goal: Mapping[str, Tensor]
    actions: Float[Tensor, "b a"]


class MoveSampler:
    """Draws model steps from decoded episodes, and goals for them.

    Args:
        arrays: the episodes.
        goals: which goals.
        policy: says what a model step and an observation are.

    Raises:
        ForethoughtError: no episode is as long as a model step.
    """

    def __init__(
        self, arrays: EpisodeArrays, goals: HindsightGoalConfig, policy: GoalPolicyConfig
    ) -> None:
        self.goals, self.block = goals, policy.action_block
        perception = policy.perception
        self._stack = perception.frame_stack
        self._steps = WindowSampler(
            arrays,
            WindowConfig(
                length=2,
                action_block=policy.action_block,
                frame_stack=perception.frame_stack,
                frame_gap=perception.frame_gap,
            ),
        )
        self._stills = WindowSampler(arrays, WindowConfig(length=1, action_block=1))
        self._episodes, self._rows = self._steps.starts()
        self._lengths = arrays.lengths

    def draw(
        self, batch_size: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"], GoalRows]:
        """Episode and row of model steps drawn uniformly from all there are, and their goals."""
        pick = torch.randint(len(self._rows), (batch_size,), generator=generator)
        episode, row = self._episodes[pick], self._rows[pick]
        goals = draw_goals(
            self.goals, self._lengths, episode, row, action_block=self.block, generator=generator
        )
        return episode, row, goals

    def sample(self, batch_size: int, generator: torch.Generator) -> Moves:
        """Model steps drawn uniformly from all there are, with goals."""
        episode, row, goals = self.draw(batch_size, generator)
        steps = self._steps.at(episode, row)
        stills = self._stills.at(goals.episode, goals.row).observation
        return Moves(
            state={key: value[:, 0] for key, value in steps.observation.items()},
            goal={key: still(value[:, 0, 0], self._stack) for key, value in stills.items()},
            actions=steps.actions[:, 0],
        )


def still(frame: Tensor, frame_stack: int) -> Tensor:
    """One frame ``(b, ...)`` as ``(b, f, ...)``: of something that does not move."""
    return frame.unsqueeze(1).expand(-1, frame_stack, *(-1,) * (frame.ndim - 1))


# ------------------------------------------------------------------------------------ policy


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
        partial = folder / (WEIGHTS + ".partial")
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, partial)
        os.replace(partial, folder / WEIGHTS)
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
        seen = self._read("the goals", goals)
        stack = policy.config.perception.frame_stack
        with torch.no_grad():
            self._goal = policy.encode(
                {key: still(torch.as_tensor(value), stack) for key, value in seen.items()}
            )
        self.reset()

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


# ---------------------------------------------------------------------------------- learning


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
    _claim(out, config, data, resume=resume)
    if (out / CONFIG).exists():
        return GoalPolicy.load(out)
    keys = list(config.policy.perception.encoders)
    train_ids, held_out_ids = data.split(held_out=config.held_out, seed=config.seed)
    train, held_out = (data.load(ids, keys=keys, cache=out) for ids in (train_ids, held_out_ids))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        learner = config.build(train.signature, _normalisers(data, config.policy, train_ids))
    moves = MoveSampler(train, config.goals, config.policy)
    # A checkpoint holds the same units again.
    learner.policy.begin(moves.sample(MONITORED, torch.Generator().manual_seed(0)).state)
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
    found = {
        key: Normaliser(statistics[key].mean, statistics[key].std, statistics[key].change_std)
        for key in _vectors(config, data.signature)
    }
    action, block = statistics[ACTION], config.action_block
    return {**found, ACTION: Normaliser(action.mean * block, action.std * block)}


def _blank_normalisers(config: GoalPolicyConfig, signature: Signature) -> dict[str, Normaliser]:
    """Of the right sizes, for weights to be loaded into."""
    sizes = {key: signature.observation[key].shape[0] for key in _vectors(config, signature)}
    sizes[ACTION] = signature.action.width * config.action_block
    return {key: Normaliser([0.0] * size, [1.0] * size) for key, size in sizes.items()}


def _vectors(config: GoalPolicyConfig, signature: Signature) -> list[str]:
    return [k for k in config.perception.encoders if len(signature.observation[k].shape) == 1]


def _claim(out: Path, config: PolicyTraining, data: Dataset, *, resume: bool) -> None:
    """Makes the folder of a run, or checks that it holds the run to resume."""
    run = {"config": to_json(config), "data": str(data.path)}
    record = out / RUN
    if not record.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ForethoughtError(f"{out}: not an empty folder, and no run; give another one.")
        out.mkdir(parents=True, exist_ok=True)
        write_safely(record, json.dumps(run, indent=2).encode())
        return
    if not resume:
        raise ForethoughtError(
            f"{out}: a run is in this folder. Continue it with resume=True, or give another one."
        )
    known = json.loads(record.read_text())
    if changed := [key for key in run if known.get(key) != run[key]]:
        raise ForethoughtError(
            f"{record}: the run in this folder has another {changed[0]}; resuming would mix two "
            "runs. Give what it was started with, or another folder."
        )
