"""What a task sets in an agent beside its search: when it reacts, what it draws on, and whether it
follows the world."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from forethought.actor import GateConfig
from forethought.agent import Agent
from forethought.data.store import open as open_data
from forethought.learning.adapting import AdaptingConfig, Anchors, adaptable
from forethought.learning.adapting_agent import AdaptingAgent
from forethought.learning.calibrating import episodes_for
from forethought.learning.remembering import open_memory
from forethought.memory.episodic import EpisodicMemory, RecalledActions
from forethought.model import Model
from forethought.types import ForethoughtError


@dataclass(frozen=True, kw_only=True)
class Gating:
    """When reflexes answer in place of a search.

    Attributes:
        share: of what was met while the policy was distilled, that reflexes answer; None for all
            that comes, so that there is never a search.
        chunk: model steps of a reflex that are acted out before the next decision.
        jitter: what reflexes are shaken by, see :class:`forethought.actor.Gate`.
    """

    share: float | None = 0.98
    chunk: int = 1
    jitter: float = 0.0

    def gate(self, model: Model) -> GateConfig:
        """The gate of an agent with this model.

        Raises:
            ForethoughtError: the model has no policy, or one that answers fewer steps.
        """
        if model.policy is None:
            raise ForethoughtError(
                "mode: this model has no policy to react by. Make one with `forethought distill "
                "RUN --world WORLD --out RUN2` and act with RUN2, or write `mode: deliberate`."
            )
        if self.share is None:
            return GateConfig.reflexes_only(chunk=self.chunk, jitter=self.jitter)
        return model.policy.gate(self.share, chunk=self.chunk, jitter=self.jitter)


@dataclass(frozen=True, kw_only=True)
class Recalling:
    """What was done in states like the present competes in every search.

    Attributes:
        path: of an episodic memory.
        label: only moments that are called so; None for all.
    """

    path: Path
    label: str | None = None

    def open(self, model: Model) -> EpisodicMemory:
        """The memory.

        Raises:
            ForethoughtError: there is none, it is of another kind of model, or no moment in it is
                called so.
        """
        if not self.path.exists():
            raise ForethoughtError(
                f"memory.path: there is no memory at {self.path}. Make one with "
                "learning.open_memory() and learning.remember(), or leave `memory:` out."
            )
        memory = open_memory(self.path, model)
        if not memory.moments(label=self.label):
            called = f" called {self.label!r}" if self.label else ""
            raise ForethoughtError(
                f"memory: of {len(memory)} moments in {self.path} there is none{called}. Remember "
                "an episode first, or correct memory.label."
            )
        return memory

    def proposals(self, model: Model) -> RecalledActions:
        """Where candidates come from."""
        block = model.config.world_model.action_block
        return RecalledActions(memory=self.open(model), block=block, label=self.label)


@dataclass(frozen=True, kw_only=True)
class Following:
    """The agent adapts to its world while it acts.

    Attributes:
        recorded: folder of the dataset that the model was trained on, or of a later one: what is
            replayed against forgetting, and what tells how much surprise is usual.
        config: how it adapts.
    """

    recorded: Path
    config: AdaptingConfig = field(default_factory=AdaptingConfig)

    def adaptable(self, model: Model) -> Model:
        """The model with room for what changes; so far nothing has."""
        return adaptable(model, history=self.config.history, rank=self.config.rank)

    def ready(self, model: Model) -> tuple[Model, Anchors]:
        """:meth:`adaptable`, with what it is held against.

        Raises:
            ForethoughtError: the model cannot be adapted, or nothing was recorded there that it can
                be held against.
        """
        adapted = self.adaptable(model)
        return adapted, self._anchors(adapted)

    def agent(self, agent: Agent) -> AdaptingAgent:
        """An agent that adapts, made of one whose model is :meth:`adaptable`.

        Raises:
            ForethoughtError: nothing was recorded there that the model can be held against.
        """
        return AdaptingAgent(agent, self._anchors(agent.model), self.config)

    def _anchors(self, model: Model) -> Anchors:
        try:
            return Anchors.of(model, episodes_for(model, open_data(self.recorded)))
        except ForethoughtError as error:
            raise ForethoughtError(f"adaptation.recorded: {error}") from error
