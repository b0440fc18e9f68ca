"""A plane on which one goes wherever one steps: distances, goals and quantities are known."""

from __future__ import annotations

import numpy as np
import torch

from forethought.actor import CEM
from forethought.cost import Cost, Sight
from forethought.cost.terms import CostTerm
from forethought.types import (
    STATE,
    ActionSpace,
    ActionSpec,
    ArraySpec,
    Imagination,
    Plan,
    PlanningProblem,
    Signature,
)


class Plane:
    """Distances as they are on a plane; keeps how many states each was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, start, goal):
        self.asked.append(start.shape[:-2].numel())
        return torch.linalg.vector_norm((start - goal).flatten(-2), dim=-1)


def read(latents: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"position.x": latents[..., 0, 0], "position.y": latents[..., 0, 1]}


SIGHT = Sight(
    encode=lambda observation: torch.as_tensor(observation[STATE]).unsqueeze(1),
    push=lambda latents, units: latents + units.unsqueeze(1),
    distance=Plane(),
    read=read,
    space=ActionSpace(low=-torch.ones(2), high=torch.ones(2)),
    signature=Signature(
        observation={STATE: ArraySpec(shape=(2,), dtype="float32")},
        action=ActionSpec(dim=2),
        rate_hz=1.0,
    ),
)


def place(x: float, y: float) -> np.ndarray:
    return np.array([x, y], np.float32)


def walk(*places: tuple[float, float]) -> Imagination:
    """One candidate of one world that comes by these places."""
    latents = torch.tensor(places, dtype=torch.float32).view(1, 1, -1, 1, 2)
    return Imagination(latents=latents, actions=latents.diff(dim=2).squeeze(3))


def costs(term: CostTerm, *places: tuple[float, float]) -> list[float]:
    """Of each step of a walk."""
    return term.bind(SIGHT)(walk(*places))[0, 0].tolist()


def at(term: CostTerm, *places: tuple[float, float]) -> torch.Tensor:
    """Of a candidate that rests at each place, for one step."""
    latents = torch.tensor(places, dtype=torch.float32).view(1, -1, 1, 1, 2).expand(-1, -1, 2, 1, 2)
    actions = torch.zeros(1, len(places), 1, 2)
    return term.bind(SIGHT)(Imagination(latents=latents, actions=actions))[0, :, 0]


def random_walks(generator: torch.Generator, *, worlds: int = 2, horizon: int = 3) -> Imagination:
    latents = 3 * torch.randn(worlds, 5, horizon + 1, 1, 2, generator=generator)
    return Imagination(latents=latents, actions=latents.diff(dim=2).squeeze(3))


def planned(cost: Cost | CostTerm, start: torch.Tensor | None = None, *, horizon: int = 3) -> Plan:
    """What a search finds from where each world stands ``(b, 2)``, by steps of one at most."""
    start = torch.zeros(1, 2) if start is None else start

    def imagine(actions: torch.Tensor) -> Imagination:
        path = torch.nn.functional.pad(actions.cumsum(2), (0, 0, 1, 0)) + start[:, None, None]
        return Imagination(latents=path.unsqueeze(3), actions=actions)

    whole = cost if isinstance(cost, Cost) else Cost(terms=(cost,))
    problem = PlanningProblem(
        imagine=imagine, score=whole.bind(SIGHT), space=SIGHT.space, num_worlds=len(start)
    )
    search = CEM(
        horizon=horizon, num_samples=256, num_iterations=12, num_elites=24, smallest_std=0.01
    )
    return search.plan(problem, generator=torch.Generator().manual_seed(0))


def ends(plan: Plan) -> torch.Tensor:
    """Where the plans of all worlds end ``(b, 2)``."""
    return plan.imagination.latents[:, 0, -1, 0]
