"""What an agent takes the world for while it acts, beside what is true: read by its probes.

Whether it is the present that is misread, or the goal, or what actions will do, tells perception
from dynamics where an agent fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from forethought.evaluation.references import Actor
from forethought.model import Model
from forethought.senses import encode_still
from forethought.types import Decision, Observation, World


@dataclass(frozen=True, kw_only=True)
class Errors:
    """By how much readings are off: root mean squares by name, in the quantities' own units.

    Attributes:
        present: what is read at the beginning of each plan, beside what then is.
        goal: what is read from the goal as shown, beside where it is.
        change: how much is foreseen to change in the first model step of a plan, beside how much
            changes; empty where plans are not followed for just a model step.
        surprise: mean squared distance of latents that came from those foreseen.
    """

    present: Mapping[str, float]
    goal: Mapping[str, float]
    change: Mapping[str, float]
    surprise: float


class Onlooker:
    """Lets an agent act, and keeps what it read and what was true.

    Args:
        world: in which it acts; reset, so that goals are shown.
        agent: who acts.
        model: whose probes read its latents; None, or one without probes, to keep nothing.
    """

    def __init__(self, world: World, agent: Actor, model: Model | None) -> None:
        self.world, self.agent = world, agent
        self.model = model if model is not None and model.config.probes else None
        self.goal = self._goal()
        self.truth: list[dict[str, np.ndarray]] = []
        self.read: dict[int, dict[str, np.ndarray]] = {}
        self.surprise: list[np.ndarray] = []

    def act(self, observation: Observation) -> np.ndarray:
        """The agent's next actions."""
        decision = self.agent.act_batch(observation)
        if self.model is not None:
            self._keep(self.model, decision)
        return decision.action

    def errors(self) -> Errors | None:
        """What was off; None where nothing can be read."""
        if self.model is None or not self.read:
            return None
        self.truth.append(self._true())
        seen = np.stack(self.surprise)
        return Errors(
            present=self._present(),
            goal=self.goal,
            change=self._change(self.model.config.world_model.action_block),
            surprise=float(seen[np.isfinite(seen)].mean()) if np.isfinite(seen).any() else 0.0,
        )

    @torch.no_grad()
    def _goal(self) -> dict[str, float]:
        if self.model is None:
            return {}
        shown = encode_still(self.model, self.world.goal())
        read = {name: value.cpu().numpy() for name, value in self.model.read(shown).items()}
        true = self.world.goal_truth()
        return {name: _off(read[name] - true[name]) for name in read if name in true}

    @torch.no_grad()
    def _keep(self, model: Model, decision: Decision) -> None:
        if decision.plan is not None and decision.plan_step == 0:
            latents = decision.plan.imagination.latents[:, 0, :2]
            read = model.read(latents)
            self.read[len(self.truth)] = {name: v.cpu().numpy() for name, v in read.items()}
        self.truth.append(self._true())
        self.surprise.append(np.asarray(decision.surprise))

    def _true(self) -> dict[str, np.ndarray]:
        return {name: np.array(value, float) for name, value in self.world.truth().items()}

    def _present(self) -> dict[str, float]:
        names = [name for name in next(iter(self.read.values())) if name in self.truth[0]]
        return {
            name: _off(
                np.stack([read[name][:, 0] - self.truth[t][name] for t, read in self.read.items()])
            )
            for name in names
        }

    def _change(self, block: int) -> dict[str, float]:
        """Of plans that were followed for just a model step."""
        begun = sorted(self.read)
        followed = [t for t, then in pairwise(begun) if then - t == block]
        if not followed:
            return {}
        return {
            name: _off(
                np.stack(
                    [
                        self.read[t][name][:, 1]
                        - self.read[t][name][:, 0]
                        - (self.truth[t + block][name] - self.truth[t][name])
                        for t in followed
                    ]
                )
            )
            for name in self._present()
        }


def _off(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))
