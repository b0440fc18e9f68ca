"""Laws that every planner keeps, on problems whose best plans are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from known import HIGH, LOW, MOVES, around, distances, maze, quadratic, scored, sprint, starts, ways

from forethought.actor import (
    CEM,
    ICEM,
    MPPI,
    BeamSearch,
    CategoricalCEM,
    Gradient,
    Mixed,
    ParallelGradient,
    PredictiveSampling,
    ProjectedGradient,
)
from forethought.checkers import check_planner
from forethought.types import (
    ForethoughtError,
    Imagination,
    Planner,
    PlanStatus,
    WarmStart,
)


def planners(horizon: int) -> dict[str, Planner]:
    """Planners of vectors; each imagines some five thousand sequences at most."""
    drawn = {"horizon": horizon, "num_samples": 300, "num_iterations": 16}
    cem = CEM(**drawn, num_elites=24, smallest_std=0.01)
    return {
        "CEM": cem,
        "ICEM": ICEM(**drawn, num_elites=24, smallest_std=0.01),
        "MPPI": MPPI(**drawn, smallest_std=0.01),
        "PredictiveSampling": PredictiveSampling(**drawn, std=0.3),
        "Gradient": Gradient(horizon=horizon, num_iterations=120, learning_rate=0.1, noise=0.02),
        "ProjectedGradient": ProjectedGradient(horizon=horizon, num_iterations=60),
        "ParallelGradient": ParallelGradient(horizon=horizon, num_iterations=241),
        "Mixed": Mixed(
            first=replace(cem, num_iterations=5),
            second=ProjectedGradient(horizon=horizon, num_restarts=4, num_iterations=40),
        ),
    }


NAMES = list(planners(3))
of_vectors = pytest.mark.parametrize("name", NAMES)
CHOOSERS: dict[str, Planner] = {
    "CategoricalCEM": CategoricalCEM(horizon=10, num_samples=300, num_iterations=16),
    "BeamSearch": BeamSearch(horizon=10, widths=(4, 30)),
    "Mixed": Mixed(
        first=CategoricalCEM(horizon=10, num_samples=100, num_iterations=4),
        second=BeamSearch(horizon=10, widths=(30,)),
    ),
}
of_choices = pytest.mark.parametrize("chooser", CHOOSERS.values(), ids=CHOOSERS.keys())
ROOMS = """
    #######
    #0#...#
    #.#.#.#
    #...#.#
    #1###G#
    #######
"""
HAZARD = """
    #######
    #.....#
    #.###.#
    #0!!!G#
    #######
"""


def hasty(planner: Planner) -> Planner:
    """The same planner with a single round."""
    if isinstance(planner, Mixed):
        return replace(planner, first=hasty(planner.first), second=hasty(planner.second))
    if isinstance(planner, BeamSearch):
        return replace(planner, widths=())
    return replace(planner, num_iterations=1)


# ----------------------------------------------------------------------------- vectors


@of_vectors
def test_the_optimum_of_a_quadratic_is_found_in_every_world(name, generator) -> None:
    """One of them needs nearly the largest actions, one lies beyond them."""
    targets = torch.tensor([[0.5, -1.0], [-2.0, 3.0], [2.9, 5.8], [50.0, 0.0]])
    plan = planners(3)[name].plan(quadratic(targets), generator=generator)
    nearest = torch.minimum(torch.maximum(targets, 3 * LOW), 3 * HIGH)
    reached = plan.imagination.latents[:, 0, -1, 0]
    torch.testing.assert_close(reached, nearest, atol=0.15, rtol=0)
    assert plan.status is PlanStatus.FOUND
    torch.testing.assert_close(plan.imagination.actions[:, 0], plan.actions)
    assert (plan.actions >= LOW - 1e-6).all() and (plan.actions <= HIGH + 1e-6).all()


@of_vectors
def test_an_obstacle_is_gone_around(name, generator) -> None:
    """Straight ahead is forbidden; there is time to go around, and the target is met."""
    plan = planners(4)[name].plan(around((2.0, 0.05), radius=0.7), generator=generator)
    assert plan.feasible.all() and (plan.margins["disc"] >= 0).all()
    assert float(plan.energy) < 0.05


@of_vectors
def test_a_sprint_is_full_speed_and_full_brakes(name, generator) -> None:
    """The only plan that covers the distance and ends at rest, by Pontryagin's principle."""
    plan = planners(4)[name].plan(sprint(4), generator=generator)
    best = torch.tensor([1.0, 1.0, -1.0, -1.0])
    assert float(plan.energy) < 0.01
    assert float((plan.actions[0, :, 0] - best).abs().mean()) < 0.2


@of_vectors
def test_where_nothing_is_feasible_the_least_violation_is_found(name, generator) -> None:
    """To be beyond 9 is out of reach: as far as one gets, whatever the target says."""
    free = quadratic(torch.tensor([[-2.0, 0.0]]))

    def score(imagination: Imagination):
        place = imagination.latents[:, :, 1:, 0, 0]
        return scored(free.score(imagination).energy, there=place - 9.0)

    plan = planners(3)[name].plan(replace(free, score=score), generator=generator)
    assert plan.status is PlanStatus.INFEASIBLE and not plan.feasible.any()
    reached = plan.imagination.latents[0, 0, -1, 0, 0]
    torch.testing.assert_close(reached, torch.tensor(3.0), atol=0.25, rtol=0)


@of_vectors
def test_a_world_is_planned_for_as_if_it_were_alone(name) -> None:
    """Whichever others there are, the same seed gives it the same plan."""
    targets = torch.tensor([[0.5, -1.0], [-2.0, 3.0], [2.9, 5.8]])

    def plan(which: slice) -> torch.Tensor:
        draw = torch.Generator().manual_seed(3)
        return planners(3)[name].plan(quadratic(targets[which]), generator=draw).actions

    together = plan(slice(0, 3))
    assert torch.equal(together, plan(slice(0, 3)))
    torch.testing.assert_close(together[1:2], plan(slice(1, 2)), atol=1e-4, rtol=1e-4)


@of_vectors
def test_a_warm_start_is_never_lost(name, generator) -> None:
    """Handed the optimum and a single round, a planner gives nothing worse."""
    targets = torch.tensor([[1.5, -3.0]])
    best = (targets / 3).unsqueeze(1).repeat(1, 3, 1)
    plan = hasty(planners(3)[name]).plan(
        quadratic(targets), generator=generator, warm_start=WarmStart(actions=best)
    )
    assert float(plan.energy) < 1e-8


@of_vectors
def test_what_a_checker_asks_is_kept(name) -> None:
    check_planner(planners(3)[name])


# ----------------------------------------------------------------------------- choices


@of_choices
def test_what_a_checker_asks_is_kept_with_choices(chooser) -> None:
    check_planner(chooser, discrete=True)


@of_choices
def test_the_shortest_path_is_found_in_every_world(chooser, generator) -> None:
    """As long as a breadth-first search says, of one-hot actions."""
    problem, lengths = maze(ROOMS), ways(ROOMS)
    plan = chooser.plan(problem, generator=generator)
    for energy, start in zip(plan.energy.tolist(), starts(ROOMS), strict=True):
        assert energy == sum(range(lengths[start]))
    assert plan.status is PlanStatus.FOUND
    assert torch.equal(plan.actions.sum(-1), torch.ones(2, 10))
    assert torch.equal(plan.actions.amax(-1), torch.ones(2, 10))


@of_choices
def test_a_hazard_is_gone_around(chooser, generator) -> None:
    """Four steps lead through it, eight around."""
    plan = chooser.plan(maze(HAZARD), generator=generator)
    assert ways(HAZARD)[3, 1] == 4 and ways(HAZARD, through=".G0")[3, 1] == 8
    assert plan.feasible.all()
    assert plan.imagination.latents[0, 0, 8, 0].tolist() == [3.0, 5.0]


@of_choices
def test_where_no_choice_is_feasible_the_least_violation_is_found(chooser, generator) -> None:
    """To be at the goal at once is out of reach: no further from it at any step than must be."""
    free, far = maze(ROOMS), distances(ROOMS)

    def score(imagination: Imagination):
        place = imagination.latents[:, :, 1:, 0].long()
        return scored(torch.zeros(place.shape[:2]), there=-far[place[..., 0], place[..., 1]])

    plan = chooser.plan(replace(free, score=score), generator=generator)
    assert plan.status is PlanStatus.INFEASIBLE
    for margins, start in zip(plan.margins["there"], starts(ROOMS), strict=True):
        assert -margins.sum() == sum(range(ways(ROOMS)[start]))


@of_choices
def test_a_world_of_choices_is_planned_for_as_if_it_were_alone(chooser) -> None:
    """Whichever others there are, the same seed gives it the same plan."""

    def plan(picture: str) -> torch.Tensor:
        draw = torch.Generator().manual_seed(3)
        return chooser.plan(maze(picture), generator=draw).actions

    together = plan(ROOMS)
    assert torch.equal(together, plan(ROOMS))
    assert torch.equal(together[:1], plan(ROOMS.replace("1", ".")))


@of_choices
def test_a_warm_start_of_choices_is_never_lost(chooser, generator) -> None:
    """Handed the shortest path and a single round, a planner gives nothing worse."""
    moves = torch.tensor([2, 2, 4, 4, 1, 1, 4, 4, 2, 2])
    best = torch.nn.functional.one_hot(moves, len(MOVES)).float()[None]
    problem = maze(ROOMS.replace("1", "."))
    warm = WarmStart(actions=best)
    plan = hasty(chooser).plan(problem, generator=generator, warm_start=warm)
    assert float(plan.energy) == sum(range(ways(ROOMS)[1, 1]))


@pytest.mark.parametrize(
    "chooser", [CategoricalCEM(), BeamSearch()], ids=lambda p: type(p).__name__
)
def test_vectors_are_refused_by_planners_of_choices(chooser, generator) -> None:
    """And a planner for them is named."""
    with pytest.raises(ForethoughtError, match=f"{type(chooser).__name__} chooses.*such as CEM"):
        chooser.plan(quadratic(torch.zeros(1, 2)), generator=generator)
