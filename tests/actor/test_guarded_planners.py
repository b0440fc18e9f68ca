"""Every planner keeps within guardrails: the known constrained optimum, and least violation."""

from __future__ import annotations

import pytest
import torch

from forethought.actor import CEM, ICEM, MPPI, Gradient
from forethought.types import ActionSpace, Imagination, PlanningProblem, PlanStatus, Scores

PLANNERS = [
    CEM(horizon=3, num_samples=256, num_iterations=12, num_elites=24, smallest_std=0.01),
    ICEM(horizon=3, num_samples=256, num_iterations=12, num_elites=24, smallest_std=0.01),
    MPPI(horizon=3, num_samples=256, num_iterations=12, smallest_std=0.01),
    Gradient(horizon=3, num_restarts=8, num_iterations=120, learning_rate=0.1, noise=0.0),
]
by_name = pytest.mark.parametrize("planner", PLANNERS, ids=lambda p: type(p).__name__)


def problem(targets: torch.Tensor, margins, units: dict[str, float] | None = None):
    """States add up actions; energy is the squared distance of the last from a target."""

    def imagine(actions: torch.Tensor) -> Imagination:
        path = torch.nn.functional.pad(actions.cumsum(2), (0, 0, 1, 0))
        return Imagination(latents=path.unsqueeze(3), actions=actions)

    def score(imagination: Imagination) -> Scores:
        places = imagination.latents[:, :, 1:, 0]
        energy = (places[:, :, -1] - targets[:, None]).square().sum(-1)
        left = margins(places)
        feasible = torch.stack([(m >= 0).all(-1) for m in left.values()]).all(0)
        return Scores(
            energy=energy,
            terms={"distance": energy},
            margins=left,
            units=units or {},
            feasible=feasible,
        )

    space = ActionSpace(low=-torch.ones(2), high=torch.ones(2))
    return PlanningProblem(imagine=imagine, score=score, space=space, num_worlds=len(targets))


@by_name
def test_the_optimum_within_a_guardrail_is_found_and_never_one_beyond(planner, generator) -> None:
    """The target lies beyond the edge: the nearest point this side of it is best."""
    targets = torch.tensor([[2.5, 1.0], [-1.0, -2.0]])
    edge = problem(targets, lambda places: {"edge": 1.0 - places[..., 0]})
    plan = planner.plan(edge, generator=generator)
    reached = plan.imagination.latents[:, 0, -1, 0]
    best = torch.tensor([[1.0, 1.0], [-1.0, -2.0]])
    torch.testing.assert_close(reached, best, atol=0.15, rtol=0)
    assert plan.status is PlanStatus.FOUND and plan.feasible.all()
    assert (plan.margins["edge"] >= 0).all()
    assert (plan.imagination.latents[:, 0, 1:, 0, 0] <= 1.0).all()


@by_name
def test_a_guardrail_along_the_way_holds_at_every_step(planner, generator) -> None:
    """Straight to the target would pass through what is forbidden."""
    around = problem(
        torch.tensor([[2.0, 0.1]]),
        lambda places: {"disc": (places - torch.tensor([1.0, 0.0])).norm(dim=-1) - 0.6},
    )
    plan = planner.plan(around, generator=generator)
    assert plan.feasible.all() and (plan.margins["disc"] >= 0).all()
    assert float(plan.energy) < 0.3


@by_name
def test_where_nothing_is_feasible_it_says_so_and_violates_least(planner, generator) -> None:
    """To be beyond 9 is out of reach: as far as one gets, whatever the target says."""
    hopeless = problem(
        torch.tensor([[-2.0, 0.0], [0.5, 0.0]]),
        lambda places: {
            "there": torch.where(torch.tensor([[[True]], [[False]]]), places[..., 0] - 9.0, 1.0)
        },
    )
    plan = planner.plan(hopeless, generator=generator)
    assert plan.status is PlanStatus.INFEASIBLE and plan.feasible.tolist() == [False, True]
    torch.testing.assert_close(
        plan.imagination.latents[0, 0, -1, 0, 0], torch.tensor(3.0), atol=0.25, rtol=0
    )
    torch.testing.assert_close(
        plan.imagination.latents[1, 0, -1, 0, 0], torch.tensor(0.5), atol=0.2, rtol=0
    )


def test_violations_of_several_guardrails_are_added_in_their_units(generator) -> None:
    """Both cannot hold; a millimetre of one is worth a metre of the other."""

    def margins(places: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"right": places[..., 0] - 1.0, "left": 1000 * (-1.0 - places[..., 0])}

    planner = PLANNERS[0]
    alike = problem(torch.zeros(1, 2), margins, {"right": 1.0, "left": 1000.0})
    middle = planner.plan(alike, generator=generator).imagination.latents[0, 0, 1:, 0, 0]
    assert (middle.abs() <= 1.0 + 1e-4).all()
    coarse = problem(torch.zeros(1, 2), margins, {"right": 1.0, "left": 1e6})
    reached = planner.plan(coarse, generator=generator).imagination.latents[0, 0, -1, 0, 0]
    assert float(reached) > 0.9
