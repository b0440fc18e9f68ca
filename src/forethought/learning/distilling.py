"""Mode 1 from Mode 2: a policy learns to answer at once what a search would come to.

In rounds (DAgger, Ross et al., 2011): agents act, some of them by the policy as it is, and a search
says at every step what it would do there. So the policy is taught where its own mistakes lead, and
not only along the ways of who makes none. All that was ever labelled is learned from.

Where there is no world, recorded episodes are replayed: the search plans from what was seen towards
what came later. What was done in recordings may be learned from besides, as the way to where that
led.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save
from torch import Tensor, nn

from forethought.actor.gate import Gate
from forethought.agent import Agent
from forethought.config import register
from forethought.data.store import Dataset
from forethought.data.windows import as_vectors
from forethought.learning.calibrating import check_recorded
from forethought.learning.checkpoint import step_generator
from forethought.learning.folder import METRICS, SUMMARY, claim_folder
from forethought.learning.latents import LatentEpisodes
from forethought.learning.metrics import JSONLines, progress_bar
from forethought.learning.parts import digest, with_part
from forethought.learning.replay import Replay, learnable
from forethought.learning.trainer import Loop, LoopConfig, OptimiserConfig, Stage
from forethought.model import CONFIG, Model, load_model, write_safely
from forethought.policy import LEVELS, Policy, PolicyConfig
from forethought.types import Decision, ForethoughtError, Observation, Signature

WATCHED = 2048
"""Held-out decisions, at most, that a policy is watched on while it learns."""


@runtime_checkable
class Setting(Protocol):
    """Where agents act: as much of a :class:`forethought.types.World` as that needs."""

    def reset(self, seeds: range) -> Observation:
        """See :class:`forethought.types.World`."""
        ...

    def goal(self) -> Observation:
        """See :class:`forethought.types.World`."""
        ...

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        ...


@runtime_checkable
class MakeAgent(Protocol):
    """Makes agents that seek goals; :meth:`forethought.recipes.Acting.agent` is one."""

    def __call__(
        self,
        model: Model,
        goals: Observation,
        num_agents: int,
        *,
        seed: int = 0,
        gate: Gate | None = None,
    ) -> Agent:
        """Agents of a model that seek goal observations ``(b, ...)``."""
        ...


@register
@dataclass(frozen=True, kw_only=True)
class Mirror:
    """A mirror in which a world is still one that could be: what is right there is right here.

    Attributes:
        axes: of pictures that it turns round: 0 for up and down, 1 for left and right.
        actions: entries of a world action whose sign that changes.

    Raises:
        ForethoughtError: no axis, or another one than these.
    """

    axes: tuple[int, ...]
    actions: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.axes or not set(self.axes) <= {0, 1}:
            raise ForethoughtError(
                f"a mirror with axes={self.axes}; give 0 (up and down), 1 (left and right) or both."
            )

    def seen(self, observation: Mapping[str, np.ndarray]) -> Observation:
        """Pictures ``(b, h, w, 3)`` as they are in it."""
        axes = tuple(axis + 1 for axis in self.axes)
        return {key: np.flip(value, axes).copy() for key, value in observation.items()}

    def done(self, actions: Float[Tensor, "b c a"], dim: int) -> Float[Tensor, "b c a"]:
        """Model actions, of world actions of so many entries, as they are in it."""
        signs = torch.ones(dim)
        signs[list(self.actions)] = -1
        return actions * signs.repeat(actions.shape[-1] // dim)

    def refuse(self, signature: Signature, frame_stack: int) -> None:
        """Refuses worlds that it cannot show.

        Raises:
            ForethoughtError: not all that is seen is pictures, one by one, or actions are choices
                or no entries of these.
        """
        action = signature.action
        others = sorted(set(signature.observation) - set(signature.cameras))
        if (
            others
            or frame_stack > 1
            or action.discrete
            or max(self.actions, default=0) >= action.dim
        ):
            raise ForethoughtError(
                f"{self}: mirrors are for single pictures and continuous actions; found "
                f"{', '.join(others) or 'nothing else'} beside pictures, {frame_stack} frames at "
                f"a time, and {action.dim} entries of {'discrete' if action.discrete else ''} "
                "actions. Leave DistillingConfig.mirrors out."
            )


@register
@dataclass(frozen=True, kw_only=True)
class DistillingConfig:
    """How a policy is distilled.

    Attributes:
        policy: what it is made of.
        optimiser: steps of each round, batch size (decisions), learning rate.
        rounds: of acting and learning; the first acts by search alone.
        num_agents: that act at once, each with a task of its own, in each round.
        budget: world steps of their episodes.
        searching: share of the agents that act by search, as a power of the round: a half leaves
            a quarter of them in the third. One of them always does.
        held_out: share of the agents whose decisions are never learned from.
        heeded: share of the decisions that each member of the policy learns from, so that they
            differ where there are few.
        mirrors: in which every decision is learned from as well.
        cloned: recorded moments, at most, that are learned from besides, where recordings are given
            to clone.
        first_task: seed of the first task; evaluations draw theirs from others.
        seed: of weights, batches and agents.

    Raises:
        ForethoughtError: a share that is none, or fewer than two agents, or no round.
    """

    policy: PolicyConfig = field(default_factory=PolicyConfig)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(num_steps=800, batch_size=256, learning_rate=1e-3)
    )
    rounds: int = 3
    num_agents: int = 200
    budget: int = 60
    searching: float = 0.5
    held_out: float = 0.1
    heeded: float = 0.8
    mirrors: tuple[Mirror, ...] = ()
    cloned: int = 4096
    first_task: int = 2_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        shares = {n: getattr(self, n) for n in ("searching", "held_out", "heeded")}
        if wrong := [f"{name}={share}" for name, share in shares.items() if not 0 <= share <= 1]:
            raise ForethoughtError(f"distilling with {wrong[0]}; give a share from 0 to 1.")
        if self.rounds < 1 or self.num_agents < 2 or self.budget < 1:
            raise ForethoughtError(
                f"distilling in {self.rounds} rounds of {self.num_agents} agents that take "
                f"{self.budget} steps; give a round or more, two agents or more, and a step."
            )


@dataclass(frozen=True, kw_only=True)
class Round:
    """How one round went.

    Attributes:
        decisions: labelled by a search.
        error_before: of the policy that acted on them, mean squared in units of half the box (share
            of other choices where actions are discrete); None in the first round.
        error: of the policy that came of it, on the held-out decisions of all rounds so far.
        of_the_mean: of answering always the same, the measure of both.
    """

    decisions: int
    error_before: float | None
    error: float
    of_the_mean: float


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Decisions of searches.

    Attributes:
        latents: ``(n, k, d)`` that were planned from.
        goals: ``(g, k, d)`` that were sought.
        goal: ``(n,)`` which of the goals.
        actions: ``(n, c, a)`` model actions that were planned, in world units.
        heeded: ``(n, m)`` which members learn from which.
        held_out: ``(n,)`` which nothing learns from.
    """

    latents: Float[Tensor, "n k d"]
    goals: Float[Tensor, "g k d"]
    goal: Int[Tensor, " n"]
    actions: Float[Tensor, "n c a"]
    heeded: Bool[Tensor, "n m"]
    held_out: Bool[Tensor, " n"]

    @classmethod
    def joined(cls, parts: Iterable[Labelled]) -> Labelled:
        """All of several."""
        parts = list(parts)
        before = np.cumsum([0, *(len(part.goals) for part in parts)])
        shifted = [part.goal + int(count) for part, count in zip(parts, before, strict=False)]
        names = ("latents", "goals", "actions", "heeded", "held_out")
        joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        return cls(**joined, goal=torch.cat(shifted))

    def save(self, path: Path) -> None:
        """Leaves it in a file that is whole or not there."""
        write_safely(path, save({n: getattr(self, n).contiguous() for n in self.__annotations__}))

    @classmethod
    def load(cls, path: Path) -> Labelled:
        """What :meth:`save` left."""
        return cls(**load_file(path))

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latents, goals and actions of some decisions."""
        return self.latents[rows], self.goals[self.goal[rows]], self.actions[rows]

    def error(self, policy: Policy, rows: Int[Tensor, " r"]) -> float:
        """Of a policy on some decisions, in the mean."""
        device = policy.low.device
        parts = [
            policy.error(*(values.to(device) for values in self.at(part))).cpu()
            for part in rows.split(512)
        ]
        return float(torch.cat(parts).mean()) if parts else float("nan")


@dataclass(frozen=True, kw_only=True)
class Steering:
    """Who acts by reflex in distillation: always the same. Implements :class:`Gate`.

    Attributes:
        by_policy: ``(b,)``; where decisions are labelled one at least is not, so that there is a
            search for all.
    """

    by_policy: np.ndarray
    chunk: int = 1
    heeds_surprise: bool = True
    deliberates: bool = True
    fewest: int = 0
    jitter: float = 0.0

    def opens(
        self, spread: Float[np.ndarray, " b"], surprise: Float[np.ndarray, " b"]
    ) -> Bool[np.ndarray, " b"]:
        """See :class:`Gate`."""
        return self.by_policy


@torch.no_grad()
def recorded_decisions(model: Model, data: Dataset, config: DistillingConfig) -> Labelled:
    """What was done in recordings, each chunk as the way to where it led (hindsight).

    Args:
        model: perceives them; what it was not trained on is left out.
        data: the recordings.
        config: how many are drawn, and the length of a chunk.

    Raises:
        ForethoughtError: they lack what the model perceives, or no episode has as many rows.
    """
    world_model, chunk = model.world_model, config.policy.chunk
    arrays = learnable(model, data, seed=config.seed)
    recorded = LatentEpisodes.of(world_model, arrays)
    span = chunk * recorded.block
    rows = recorded.starts_of(span, remedy="distil chunks of fewer model steps")
    generator = step_generator(config.seed, "cloned", 0)
    rows = rows[torch.randperm(len(rows), generator=generator)[: config.cloned]]
    done = as_vectors(arrays)[rows[:, None] + torch.arange(span)]
    drawn = torch.rand(len(rows), config.policy.num_members, generator=generator)
    return Labelled(
        latents=recorded.latents[rows],
        goals=recorded.latents[rows + span],
        goal=torch.arange(len(rows)),
        actions=done.unflatten(1, (chunk, -1)).flatten(2).float(),
        heeded=drawn < config.heeded,
        # What is held out tells how near the policy comes to searches.
        held_out=torch.zeros(len(rows), dtype=torch.bool),
    )


class DistillingStage(Stage):
    """One round's learning, from all that was labelled so far.

    Args:
        config: how.
        number: of the round.
        policy: what learns.
        labelled: what it learns from.
    """

    def __init__(
        self, config: DistillingConfig, number: int, policy: Policy, labelled: Labelled
    ) -> None:
        self.name, self.label = f"distil{number}", f"round {number + 1}: policy"
        self.optimiser, self.policy, self.labelled = config.optimiser, policy, labelled
        self._rows = (~labelled.held_out).nonzero()[:, 0]
        self.held_out = labelled.held_out.nonzero()[:, 0]
        self._watched = self.held_out[:: max(1, len(self.held_out) // WATCHED)]

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.policy.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        drawn = torch.randint(len(self._rows), (self.optimiser.batch_size,), generator=generator)
        rows, device = self._rows[drawn], self.policy.low.device
        batch = (*self.labelled.at(rows), self.labelled.heeded[rows])
        return self.policy.loss(*(values.to(device) for values in batch)), {}

    def monitor(self) -> Mapping[str, float]:
        """See :class:`Stage`."""
        return {"held_out_error": self.labelled.error(self.policy, self._watched)}


def distill(
    model: Model,
    make_agent: MakeAgent,
    where: Callable[[int], Setting] | Dataset,
    out: Path | str,
    *,
    clone: Dataset | None = None,
    name: str = "",
    config: DistillingConfig | None = None,
    resume: bool = False,
    visible: bool = True,
    checkpoint_s: float = 15.0,
) -> Model:
    """A model as it is, with a policy that answers what searches would come to.

    Killed at any moment and called again with ``resume``, it ends with the same weights as a
    distillation that was never interrupted; a round of acting that was cut short is begun again.

    Args:
        model: what imagines, and what the policy becomes a part of.
        make_agent: makes agents that search.
        where: makes worlds of so many copies to act in; or recorded episodes, which are replayed.
        out: a folder of its own, for the model with its policy.
        clone: recordings whose actions are learned from besides; None for none.
        name: of the world, by which a resumed distillation is known again.
        config: how.
        resume: continue in ``out``; start where there is nothing.
        visible: show progress.
        checkpoint_s: seconds between checkpoints.

    Raises:
        ForethoughtError: plans are shorter than the policy's chunks, the data do not fit the model,
            or the folder is in use; the last two before any work.
    """
    out, config = Path(out), config or DistillingConfig()
    data = where if isinstance(where, Dataset) else None
    replay = Replay.of(model, data, spare=config.budget, seed=config.seed) if data else None
    resolved = {"distilling": config, "model": digest(model), "world": name}
    if clone is not None:
        check_recorded(model, clone, None)
    claim_folder(out, resolved, data, clips=clone, resume=resume)
    if (out / CONFIG).exists():
        return load_model(out)
    whole = with_part(model, config.seed, policy=config.policy)
    for mirror in config.mirrors:
        mirror.refuse(model.signature, model.config.world_model.perception.frame_stack)
    setting = replay or where(config.num_agents)  # type: ignore[operator]
    run = _Run(whole, make_agent, setting, out, config, clone=clone, visible=visible)
    run.through(checkpoint_s)
    return whole


class _Run:
    """One distillation."""

    def __init__(
        self,
        model: Model,
        make_agent: MakeAgent,
        setting: Setting,
        out: Path,
        config: DistillingConfig,
        *,
        clone: Dataset | None,
        visible: bool,
    ) -> None:
        assert model.policy is not None
        self.clone = clone
        self.model, self.policy, self.make_agent = model, model.policy, make_agent
        self.setting, self.out, self.config, self.visible = setting, out, config, visible
        self.steered = not isinstance(setting, Replay)

    def through(self, checkpoint_s: float) -> None:
        """Every round in turn; leaves the model in the folder."""
        loop = Loop(
            config=LoopConfig(
                seed=self.config.seed, visible=self.visible, checkpoint_s=checkpoint_s
            ),
            learner=self.policy,
            folder=self.out / "checkpoints",
            metrics=JSONLines(self.out / METRICS),
        )
        self.model.eval()
        progress, parts = loop.resume(), []
        if self.clone is not None:
            parts.append(recorded_decisions(self.model, self.clone, self.config))
        for number in range(self.config.rounds):
            parts.append(self.labelled(number))
            stage = DistillingStage(self.config, number, self.policy, Labelled.joined(parts))
            progress = loop.run(stage, progress)
            self.told(number, parts[-1], stage)
        self.measure(parts[-1])
        self.finish(progress.seconds)

    # ------------------------------------------------------------------ acting

    def labelled(self, number: int) -> Labelled:
        """What a round's agents met, with what searches would do there; made once."""
        path = self.out / f"round{number}.safetensors"
        if not path.exists():
            found = self._act(number)
            if number:
                # Known before anything is learned from it.
                error = found.error(self.policy, torch.arange(len(found.latents)))
                self._note(number, error_before=error)
            found.save(path)
        return Labelled.load(path)

    def _act(self, number: int) -> Labelled:
        config, block = self.config, self.model.config.world_model.action_block
        first = config.first_task + number * config.num_agents
        observation = self.setting.reset(range(first, first + config.num_agents))
        agent = self._agent(number)
        views = (None, *config.mirrors)
        goals = torch.cat([self._encoded(agent, self._goals(), view) for view in views])
        kept: list[tuple[Tensor, Tensor]] = []
        label = f"round {number + 1}: plans"
        with progress_bar(label, config.budget, visible=self.visible) as bar:
            for step in range(config.budget):
                if not self.steered and step % block == 0:
                    agent.forget_plan()
                decision = agent.act_batch(observation)
                if decision.plan_step == 0:
                    kept.append(self._label(agent, decision, observation))
                observation = self.setting.step(decision.action)
                bar.advance(step + 1)
        return self._gathered(number, goals, kept)

    def _encoded(
        self, agent: Agent, observation: Observation, view: Mirror | None
    ) -> Float[Tensor, "b k d"]:
        """What is perceived of observations, or of what a mirror shows of them."""
        keys = self.model.world_model.perception.keys
        seen = {key: observation[key] for key in keys}
        return agent.sight.encode(view.seen(seen) if view else seen).cpu()

    def _goals(self) -> dict[str, np.ndarray]:
        """What is sought, as far as the model perceives it."""
        goals = self.setting.goal()
        return {key: goals[key] for key in self.model.world_model.perception.keys}

    def _agent(self, number: int) -> Agent:
        """Agents of which more and more act by the policy, from the second round on."""
        config = self.config
        by_search = max(1, round(config.searching**number * config.num_agents))
        gate = None
        if number and self.steered:
            gate = Steering(by_policy=np.arange(config.num_agents) >= by_search)
        return self.make_agent(
            self.model, self._goals(), config.num_agents, seed=config.seed + number, gate=gate
        )

    def _label(
        self, agent: Agent, decision: Decision, observation: Observation
    ) -> tuple[Tensor, Tensor]:
        """What was planned from, and the beginning of the plan; then the same in each mirror."""
        plan, chunk = decision.plan, self.config.policy.chunk
        assert plan is not None
        if plan.actions.shape[1] < chunk:
            raise ForethoughtError(
                f"plans of {plan.actions.shape[1]} model steps are too short for a policy that "
                f"answers {chunk} at once; lower PolicyConfig.chunk, or raise the planner's "
                "horizon."
            )
        latents = [plan.imagination.latents[:, 0, 0].cpu()]
        actions = [plan.actions[:, :chunk].cpu()]
        for mirror in self.config.mirrors:
            latents.append(self._encoded(agent, observation, mirror))
            actions.append(mirror.done(actions[0], self.model.signature.action.dim))
        return torch.cat(latents), torch.cat(actions)

    def _gathered(
        self,
        number: int,
        goals: Tensor,
        kept: list[tuple[Tensor, Tensor]],
    ) -> Labelled:
        config, agents = self.config, self.config.num_agents
        latents, actions = (torch.cat(part) for part in zip(*kept, strict=True))
        goal = torch.arange(len(goals)).repeat(len(kept))
        generator = step_generator(config.seed, "heeded", number)
        drawn = torch.rand(len(goal), config.policy.num_members, generator=generator)
        away = torch.zeros(agents, dtype=torch.bool)
        away[:: max(1, round(1 / config.held_out)) if config.held_out else agents + 1] = True
        away[0] = config.held_out > 0
        return Labelled(
            latents=latents,
            goals=goals,
            goal=goal,
            actions=actions,
            heeded=drawn < config.heeded,
            held_out=away[goal % agents],
        )

    # ------------------------------------------------------------------ what came of it

    def told(self, number: int, latest: Labelled, stage: DistillingStage) -> None:
        """Notes how near the policy now comes to the searches."""
        if "error" in self._notes().get(str(number), {}):
            return
        actions = stage.labelled.actions.to(self.policy.low)
        held_out = actions[stage.held_out]
        usual = self.policy.usual_of(actions).expand_as(held_out)
        self._note(
            number,
            decisions=len(latest.latents),
            error=stage.labelled.error(self.policy, stage.held_out),
            of_the_mean=float(self.policy.off(usual, held_out).mean()),
        )

    def _notes(self) -> dict[str, dict[str, float | int]]:
        path = self.out / "rounds.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def _note(self, number: int, **values: float | int) -> None:
        notes = self._notes()
        notes[str(number)] = {**notes.get(str(number), {}), **values}
        write_safely(self.out / "rounds.json", json.dumps(notes).encode())

    @torch.no_grad()
    def measure(self, latest: Labelled) -> None:
        """Keeps by how much the members disagreed in the last round, and what surprise is met where
        chunks are acted out: what a gate is set by."""
        levels, device = torch.linspace(0, 1, LEVELS), self.policy.low.device
        spreads = []
        for part in torch.arange(len(latest.latents)).split(512):
            latents, goals, _ = latest.at(part)
            spreads.append(self.policy.answer(latents.to(device), goals.to(device)).spread.cpu())
        met = [torch.cat(spreads)]
        met += [self._surprise(steps) for steps in range(1, self.config.policy.chunk + 1)]
        for row, values in enumerate(met):
            if len(values):
                self.policy.usual[row] = torch.quantile(values.float(), levels).to(device)

    def _surprise(self, steps: int) -> Float[Tensor, " s"]:
        """Met by the policy alone, which looks after so many model steps, on further tasks."""
        if isinstance(self.setting, Replay):
            return self.setting.surprise(steps)
        config = self.config
        first = config.first_task + (config.rounds + steps) * config.num_agents
        observation = self.setting.reset(range(first, first + config.num_agents))
        gate = Steering(by_policy=np.ones(config.num_agents, bool), chunk=steps, deliberates=False)
        agent = self.make_agent(self.model, self._goals(), config.num_agents, gate=gate)
        met = []
        with progress_bar(f"surprise, {steps} steps", config.budget, visible=self.visible) as bar:
            for step in range(config.budget):
                decision = agent.act_batch(observation)
                met.append(decision.surprise[np.isfinite(decision.surprise)])
                observation = self.setting.step(decision.action)
                bar.advance(step + 1)
        return torch.as_tensor(np.concatenate(met))

    def finish(self, seconds: Mapping[str, float]) -> None:
        """Leaves the model and the summary; the configuration last, as the mark of a whole run."""
        notes = self._notes()
        rounds = [
            Round(**{"error_before": None, **notes[str(number)]})  # type: ignore[arg-type]
            for number in range(self.config.rounds)
        ]
        summary = {"rounds": [asdict(one) for one in rounds], "seconds": dict(seconds)}
        write_safely(self.out / SUMMARY, json.dumps({"distilled": summary}, indent=2).encode())
        self.model.eval().save_pretrained(self.out)
