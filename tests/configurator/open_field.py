"""An open field of ten by ten: a point goes wherever it steps, and what was recorded is known."""

from __future__ import annotations

import math

import torch

from forethought.configurator import Recorded, Task
from forethought.configurator.check import check
from forethought.configurator.measures import View
from forethought.cost import Calibration, CostTerm, Sight, region_goal
from forethought.types import STATE, ActionSpace, ActionSpec, ArraySpec, Signature

NAMES = ("position.x", "position.y", "height")
ANYWHERE = region_goal({"position.x": (4.0, 6.0), "position.y": (4.0, 6.0)})


def _read(latents: torch.Tensor) -> dict[str, torch.Tensor]:
    x, y = latents[..., 0, 0], latents[..., 0, 1]
    return {"position.x": x, "position.y": y, "height": torch.full_like(x, 3.0)}


SIGHT = Sight(
    encode=lambda observation: torch.as_tensor(observation[STATE]).unsqueeze(1),
    push=lambda latents, units: latents + units.unsqueeze(1),
    distance=lambda start, goal: torch.linalg.vector_norm((start - goal).flatten(-2), dim=-1),
    read=_read,
    quantities=NAMES,
    space=ActionSpace(low=-torch.ones(2), high=torch.ones(2)),
    signature=Signature(
        observation={STATE: ArraySpec(shape=(2,), dtype="float32")},
        action=ActionSpec(dim=2, low=(-1.0, -1.0), high=(1.0, 1.0), names=("step.x", "step.y")),
        rate_hz=1.0,
    ),
)


def _walks(count: int, steps: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Places ``(n, steps + 1, 2)`` within the field, and the actions between them."""
    generator = torch.Generator().manual_seed(seed)
    places = [10 * torch.rand(count, 2, generator=generator)]
    for _ in range(steps):
        push = 2 * torch.rand(count, 2, generator=generator) - 1
        places.append((places[-1] + push).clamp(0, 10))
    path = torch.stack(places, 1)
    return path, path.diff(dim=1)


def _quantities(path: torch.Tensor) -> torch.Tensor:
    return torch.stack([_read(path.unsqueeze(-2))[name] for name in NAMES], -1)


def recorded(count: int = 4000) -> Recorded:
    path, actions = _walks(count, 2, seed=0)
    single = _walks(2000, 0, seed=1)[0][:, 0]
    return Recorded(
        names=NAMES,
        quantities=_quantities(path),
        latents=path.unsqueeze(2),
        actions=actions,
        shown=single.unsqueeze(1),
        shown_quantities=_quantities(single[:, None])[:, 0],
    )


def calibration(*, wrong: float = 0.1, rollouts: int = 999, horizon: int = 4) -> Calibration:
    """Foresight that is wrong by so much at every imagined step."""
    path, actions = _walks(rollouts, horizon, seed=2)
    came = _quantities(path)
    noise = torch.randn(came.shape, generator=torch.Generator().manual_seed(3))
    noise[..., 2] = 0
    return Calibration(
        names=NAMES,
        imagined=came + wrong * noise,
        recorded=came,
        actions=actions,
        foreseen=path.unsqueeze(2),
        seen=path.unsqueeze(2),
    )


RECORDED, CALIBRATION = recorded(), calibration()


def view(calibration: Calibration | None = CALIBRATION, *, horizon: int | None = 4) -> View:
    return View(sight=SIGHT, recorded=RECORDED, calibration=calibration, horizon=horizon)


VIEW = view()


def report(task: Task, *terms: CostTerm, view: View = VIEW):
    goal = (task.goal,) if isinstance(task.goal, CostTerm) else ()
    return check(task, (*goal, *task.terms, *terms), view)


def found(task: Task, *terms: CostTerm, view: View = VIEW) -> list[tuple[str, str]]:
    """What is found of a task: how bad, and about what."""
    return [(f.severity.value, f.about) for f in report(task, *terms, view=view).findings]


def spot(share: float) -> float:
    """The place below which this share of the recorded moments has its x."""
    return float(torch.quantile(RECORDED.quantities[:, -1, 0], share)) if share < 1 else math.inf
