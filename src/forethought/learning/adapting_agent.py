"""An agent that adapts to its world while it acts in it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from forethought.agent import Agent
from forethought.cost.terms import Cost, CostTerm
from forethought.learning.adapter import Adaptation, Adapter
from forethought.learning.adapting import AdaptingConfig, Anchors, Version, put
from forethought.model import Model, write_safely
from forethought.senses import perceived
from forethought.types import Decision, ForethoughtError, Observation

FORMAT = 1
WEIGHTS = "adaptation.safetensors"
CONFIG = "adaptation.json"


class AdaptingAgent:
    """An agent whose model follows the world.

    While nothing has changed it decides as the agent would, bit for bit. Guardrails go on to be
    widened by what foresight is wrong by: their bounds follow what is seen, of the version that
    acts (:class:`forethought.safety.SafetyConfig`).

    Args:
        agent: with a model of :func:`forethought.learning.adapting.adaptable`.
        anchors: recorded transitions of that model.
        config: how it adapts.
        now: what time it is, in seconds; the bound of each step is kept by this clock.

    Attributes:
        last: what adapting came to in the latest world step; None before the first.

    Raises:
        ForethoughtError: the agent's model cannot be adapted, or it imagines by another one.
    """

    def __init__(
        self,
        agent: Agent,
        anchors: Anchors,
        config: AdaptingConfig | None = None,
        *,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        if agent.world_model is not agent.model.world_model:
            raise ForethoughtError(
                "this agent imagines with weights that were laid out anew (fast=...), which would "
                "not follow the world; make it without."
            )
        self.agent = agent
        self.adapter = Adapter(agent.model, anchors, config, now=now)
        self.last: Adaptation | None = None

    @property
    def model(self) -> Model:
        """What it has learned, as it acts now."""
        return self.agent.model

    def reset(self) -> None:
        """Forgets the episode; what it has adapted to stays."""
        self.agent.reset()
        self.adapter.reset()

    def seek(self, cost: Cost | CostTerm) -> None:
        """See :meth:`forethought.agent.Agent.seek`."""
        self.agent.seek(cost)

    def act(self, observation: Mapping[str, Any]) -> Decision:
        """See :meth:`forethought.agent.Agent.act`."""
        seen = perceived(self.model, "the observation", observation, leading=())
        self._adapt({key: value[None] for key, value in seen.items()})
        decision = self.agent.act(observation)
        self._done(decision.action[None])
        return decision

    def act_batch(self, observation: Mapping[str, Any]) -> Decision:
        """See :meth:`forethought.agent.Agent.act_batch`."""
        leading = (self.agent.num_agents,)
        self._adapt(perceived(self.model, "the observation", observation, leading=leading))
        decision = self.agent.act_batch(observation)
        self._done(decision.action)
        return decision

    def _adapt(self, seen: Observation) -> None:
        self.last = self.adapter.see(seen)
        if self.last.took_over is not None:
            # Goals are encoded anew, and the plan under way was made by another version.
            self.agent.seek(self.agent.cost)

    def _done(self, action: np.ndarray) -> None:
        spec = self.model.signature.action
        done = torch.as_tensor(action)
        if spec.discrete:
            done = torch.nn.functional.one_hot(done, spec.num_choices)
        self.adapter.do(done.float().to(self.model.device))

    # ------------------------------------------------------------------------- on disk

    def save(self, folder: Path) -> None:
        """Leaves the versions that may act, and which of them does, in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        versions = self.adapter.versions
        tensors = {
            f"{number}.{name}": value.cpu().contiguous()
            for number, version in enumerate(versions)
            for name, value in version.weights.items()
        }
        content = {
            "format": FORMAT,
            "acting": self.adapter.acting,
            "shifts": [list(version.shift) for version in versions],
        }
        # The weights come first: what names them is written once they are there.
        write_safely(folder / WEIGHTS, save(tensors, {"versions": str(len(versions))}))
        write_safely(folder / CONFIG, json.dumps(content, indent=2).encode())

    def load(self, folder: Path) -> None:
        """Acts by what :meth:`save` left, on the same run.

        Raises:
            ForethoughtError: nothing was saved there, it is damaged, or is of another run.
        """
        try:
            content = json.loads((folder / CONFIG).read_text())
            tensors = load_file(folder / WEIGHTS)
            versions = [
                Version(shift=(int(shift[0]), int(shift[1])), weights=_part(tensors, number))
                for number, shift in enumerate(content["shifts"])
            ]
            acting = int(content["acting"])
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise ForethoughtError(
                f"{folder}: no adaptation can be read here ({error}); give the folder that "
                "AdaptingAgent.save() wrote."
            ) from error
        self._check(versions, acting, folder)
        device = self.model.device
        self.adapter.versions = [
            replace(one, weights={k: v.to(device) for k, v in one.weights.items()})
            for one in versions
        ]
        self.adapter.acting = acting
        put(self.model, self.adapter.version)
        self.agent.seek(self.agent.cost)

    def _check(self, versions: list[Version], acting: int, folder: Path) -> None:
        original = self.adapter.versions[0]
        shapes = {name: value.shape for name, value in original.weights.items()}
        same = all({k: v.shape for k, v in one.weights.items()} == shapes for one in versions)
        if not same or not 0 <= acting < len(versions) or versions[0].shift != original.shift:
            raise ForethoughtError(
                f"{folder}: this adaptation is of another run, or of other settings; load it onto "
                "the run that it was saved from, with the same AdaptingConfig."
            )


def _part(tensors: Mapping[str, torch.Tensor], number: int) -> dict[str, torch.Tensor]:
    """The weights of one version."""
    prefix = f"{number}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
