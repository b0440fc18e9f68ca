"""The shield lets what is safe through unchanged; what leaves otherwise is the nearest safe."""

from __future__ import annotations

import torch

from forethought.actor import Shield
from forethought.types import ActionSpace, Imagination, PlanningProblem, Scores

SPACE = ActionSpace(low=-torch.ones(2), high=torch.ones(2))


def problem(places: torch.Tensor, edge: float, widening: float = 0.0) -> PlanningProblem:
    """One step adds the action to the place; x must stay below an edge."""

    def imagine(actions: torch.Tensor) -> Imagination:
        start = places[:, None, None].expand(-1, actions.shape[1], -1, -1)
        path = torch.cat([start, start + actions], dim=2)
        return Imagination(latents=path.unsqueeze(3), actions=actions)

    def score(imagination: Imagination) -> Scores:
        margin = edge - widening - imagination.latents[:, :, 1:, 0, 0]
        energy = torch.zeros_like(margin[..., 0])
        return Scores(
            energy=energy, terms={}, margins={"edge": margin}, feasible=(margin >= 0).all(-1)
        )

    return PlanningProblem(imagine=imagine, score=score, space=SPACE, num_worlds=len(places))


def test_safe_actions_pass_to_the_bit(generator) -> None:
    proposed = 2 * torch.rand(64, 2, generator=generator) - 1
    verdict = Shield().check(problem(torch.zeros(64, 2), edge=1.5), proposed)
    assert torch.equal(verdict.actions, proposed)
    assert not verdict.changed.any() and verdict.safe.all()


def test_what_leaves_in_place_of_an_unsafe_action_is_safe_and_near(generator) -> None:
    """No candidate that is safe lies nearer to what was proposed."""
    places = torch.rand(256, 2, generator=generator)
    proposed = 2 * torch.rand(256, 2, generator=generator) - 1
    verdict = Shield().check(problem(places, edge=1.0), proposed)
    after = places + verdict.actions
    assert (after[:, 0] <= 1.0 + 1e-6).all() and verdict.safe.all()
    unsafe = places[:, 0] + proposed[:, 0] > 1.0
    assert torch.equal(verdict.changed, unsafe)
    torch.testing.assert_close(verdict.margins["edge"], 1.0 - places[:, 0] - proposed[:, 0])
    moved = (verdict.actions - proposed).norm(dim=1)
    for share in (0.75, 0.5, 0.25, 0.0):
        weaker = share * proposed
        allowed = places[:, 0] + weaker[:, 0] <= 1.0
        assert (moved <= (weaker - proposed).norm(dim=1) + 1e-6)[allowed & unsafe].all()


def test_it_never_fires_late_where_its_bound_holds(generator) -> None:
    """Foresight is wrong by up to 0.3; widened by as much, no edge is ever crossed."""
    place = torch.zeros(64, 2)
    for _ in range(200):
        proposed = torch.rand(64, 2, generator=generator) * 2 - 0.7
        verdict = Shield().check(problem(place, edge=2.0, widening=0.3), proposed)
        wrong = 0.6 * torch.rand(64, generator=generator) - 0.3
        place = place + verdict.actions
        place[:, 0] += wrong
        assert (place[:, 0] <= 2.0 + 1e-5).all()
    assert float(place[:, 0].max()) > 1.0


def test_where_nothing_is_safe_what_crosses_least_leaves() -> None:
    verdict = Shield().check(
        problem(torch.tensor([[5.0, 0.0]]), edge=1.0), torch.tensor([[1.0, 0.0]])
    )
    assert verdict.actions[0, 0] == -1.0 and verdict.changed.all() and not verdict.safe.any()
