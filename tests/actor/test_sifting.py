"""Halving and screening: less is imagined, nothing that was dropped is ever chosen, and where the
early judgement is right nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch

from forethought.actor import CEM, ICEM, MPPI, Gradient, Halving, Rung, Screened, Sketched
from forethought.checkers import check_planner
from forethought.types import (
    ActionSpace,
    ForethoughtError,
    Imagination,
    Plan,
    PlanningProblem,
    PlanStatus,
    Scores,
    WarmStart,
)

PLANNERS = [
    CEM(horizon=4, num_samples=256, num_iterations=12, num_elites=16, smallest_std=0.01),
    ICEM(horizon=4, num_samples=256, num_iterations=12, num_elites=16, smallest_std=0.01),
    MPPI(horizon=4, num_samples=256, num_iterations=12, num_elites=16, smallest_std=0.01),
]
RUNGS = (Rung(steps=1), Rung(steps=2))
by_name = pytest.mark.parametrize("planner", PLANNERS, ids=lambda p: type(p).__name__)
TARGETS = torch.tensor([[0.5, -1.0], [-1.5, 2.0], [2.8, -2.9]])


@dataclass
class Line:
    """States add up actions; counts the model steps that are imagined.

    Attributes:
        cost: of the places ``(b, n, h, 2)`` that are passed, or their distances to the targets.
        margin: of a guardrail at each of them; None for no guardrail.
        outcomes: futures of each candidate, all of them alike.
        steps: model steps imagined so far, of one world.
        drawn: the same by the sketch, which is exact and takes a tenth of the time.
    """

    cost: Callable[[torch.Tensor], torch.Tensor] | None = None
    margin: Callable[[torch.Tensor], torch.Tensor] | None = None
    targets: torch.Tensor = field(default_factory=lambda: TARGETS)
    outcomes: int = 1
    steps: int = 0
    drawn: int = 0

    def now(self) -> float:
        return 1e-4 * self.steps + 1e-5 * self.drawn

    def sketch(self, actions: torch.Tensor) -> Imagination:
        self.drawn += actions.shape[1] * actions.shape[2]
        return self.coarse(actions)

    def imagine(self, actions: torch.Tensor) -> Imagination:
        self.steps += actions.shape[1] * actions.shape[2]
        return self.coarse(actions)

    def coarse(self, actions: torch.Tensor) -> Imagination:
        """The same, not counted."""
        done = actions.repeat_interleave(self.outcomes, 1)
        path = torch.nn.functional.pad(done.cumsum(2), (0, 0, 1, 0)).unsqueeze(3)
        return Imagination(latents=path, actions=done, num_outcomes=self.outcomes)

    def go_on(self, so_far: Imagination, actions: torch.Tensor) -> Imagination:
        self.steps += actions.shape[1] * actions.shape[2]
        first = so_far.actions[:, :: self.outcomes]
        return self.coarse(torch.cat([first, actions], dim=2))

    def score(self, imagination: Imagination) -> Scores:
        assert not imagination.latents.isnan().any()
        places = imagination.latents[:, :: self.outcomes, 1:, 0]
        far = (places - self.targets[:, None, None]).square().sum(-1).sum(-1)
        energy = far if self.cost is None else self.cost(places)
        margins = {} if self.margin is None else {"wall": self.margin(places)}
        feasible = torch.ones_like(energy, dtype=torch.bool)
        for margin in margins.values():
            feasible = (margin >= 0).all(-1)
        return Scores(energy=energy, terms={"far": energy}, margins=margins, feasible=feasible)

    def problem(self, **changes) -> PlanningProblem:
        space = ActionSpace(low=-torch.ones(2), high=torch.ones(2))
        whole = PlanningProblem(
            imagine=self.imagine,
            score=self.score,
            space=space,
            num_worlds=len(self.targets),
            go_on=self.go_on,
            sketch=self.sketch,
            now=self.now,
        )
        return replace(whole, **changes)


def planned(planner, problem: PlanningProblem, **settings) -> Plan:
    return planner.plan(problem, generator=torch.Generator().manual_seed(0), **settings)


def confirmed(plan: Plan, line: Line) -> None:
    """The plan was imagined to its end, and its energy is the world model's."""
    assert not plan.imagination.latents.isnan().any() and not plan.energy.isnan().any()
    scores = line.score(line.coarse(plan.actions[:, None]))
    torch.testing.assert_close(plan.energy, scores.energy[:, 0])
    torch.testing.assert_close(plan.imagination.actions[:, 0], plan.actions)


def same(first: Plan, second: Plan) -> bool:
    return torch.equal(first.actions, second.actions) and torch.equal(first.energy, second.energy)


# ----------------------------------------------------------------------------- halving


@by_name
def test_keeping_all_is_the_planner_itself(planner) -> None:
    """To the bit, and with not one more step imagined or scored."""
    halved, plain = Line(), Line()
    rungs = (Rung(steps=1, share=1.0), Rung(steps=3, share=1.0), Rung(steps=9, share=0.1))
    assert same(
        planned(Halving(planner=planner, rungs=rungs), halved.problem()),
        planned(planner, plain.problem()),
    )
    assert halved.steps == plain.steps


@by_name
def test_halving_finds_the_optimum(planner) -> None:
    """Of a cost that tells good from bad on the way: as soon there as can be, then at rest."""
    line = Line()
    plan = planned(Halving(planner=planner, rungs=RUNGS), line.problem())
    confirmed(plan, line)
    steps = torch.arange(1, 5).float()[:, None]
    nearest = torch.minimum(TARGETS.abs()[:, None], steps) * TARGETS.sign()[:, None]
    best = (nearest - TARGETS[:, None]).square().sum((-1, -2))
    assert (plan.energy - best < 0.3).all()
    assert plan.status is PlanStatus.FOUND


@by_name
def test_where_the_beginning_tells_all_halving_loses_nothing(planner) -> None:
    """The order at the first rung is that at the end, so the elites are the same."""

    def first_place(places: torch.Tensor) -> torch.Tensor:
        return (places[:, :, 0] - TARGETS[:, None]).square().sum(-1)

    line = Line(cost=first_place)
    assert same(
        planned(Halving(planner=planner, rungs=RUNGS), line.problem()),
        planned(planner, line.problem()),
    )


def test_steps_are_spared_as_the_rungs_say() -> None:
    """256 candidates a step, 128 one more, 64 two more; from the start where nothing goes on."""
    planner = Halving(planner=replace(PLANNERS[0], num_iterations=3), rungs=RUNGS)
    further, anew = Line(), Line()
    first = planned(planner, further.problem())
    second = planned(planner, anew.problem(go_on=None))
    assert further.steps == 3 * (256 + 128 + 2 * 64)
    assert anew.steps == 3 * (256 + 2 * 128 + 4 * 64)
    assert same(first, second)


def test_enough_are_kept_for_the_elites() -> None:
    """However small the share, twice the elites."""
    planner = replace(PLANNERS[0], num_iterations=1)
    line = Line()
    planned(Halving(planner=planner, rungs=(Rung(steps=1, share=0.01),)), line.problem())
    assert line.steps == 256 + 3 * 32


@by_name
def test_a_warm_start_is_never_dropped(planner) -> None:
    """It goes back at first, where all others do better, and is the only one to end right."""
    back = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]).expand(3, -1, -1)

    def cost(places: torch.Tensor) -> torch.Tensor:
        if places.shape[2] < 4:
            return (places[:, :, -1] - 1.0).square().sum(-1)
        return (places[:, :, -1] - 2.0).square().sum(-1)

    line = Line(cost=cost)
    hasty = replace(planner, num_iterations=1)
    warm = WarmStart(actions=back.contiguous())
    plan = planned(Halving(planner=hasty, rungs=RUNGS), line.problem(), warm_start=warm)
    confirmed(plan, line)
    assert (plan.energy < 1e-8).all()


@by_name
def test_what_was_dropped_is_never_chosen_however_cheap_nan_looks(planner) -> None:
    """A comparison makes zero of NaN, which no candidate can have: it must never be asked."""

    def cost(places: torch.Tensor) -> torch.Tensor:
        return 1.0 + (places[..., 0] > 0).float().sum(-1)

    line = Line(cost=cost)
    plan = planned(Halving(planner=planner, rungs=RUNGS), line.problem())
    confirmed(plan, line)
    torch.testing.assert_close(plan.energy, torch.ones(3))


@by_name
def test_halving_keeps_within_guardrails(planner) -> None:
    """The first target lies beyond the wall; on this side of it the nearest is best."""
    line = Line(margin=lambda places: 0.3 - places[..., 0])
    plan = planned(Halving(planner=planner, rungs=RUNGS), line.problem())
    confirmed(plan, line)
    assert plan.feasible.all() and (plan.margins["wall"] >= 0).all()
    torch.testing.assert_close(
        plan.imagination.latents[0, 0, -1, 0], torch.tensor([0.3, -1.0]), atol=0.2, rtol=0
    )


@by_name
def test_where_nothing_is_feasible_halving_violates_least(planner) -> None:
    """What was dropped is no way out."""
    line = Line(margin=lambda places: places[..., 0] - 9.0)
    plan = planned(Halving(planner=planner, rungs=RUNGS), line.problem())
    confirmed(plan, line)
    assert plan.status is PlanStatus.INFEASIBLE
    assert (plan.imagination.latents[:, 0, -1, 0, 0] > 3.5).all()


def test_all_outcomes_of_a_candidate_go_on_together() -> None:
    """Three futures of each: the plan has all of them, and the same steps are spared."""
    one, three = Line(), Line(outcomes=3)
    planner = Halving(planner=PLANNERS[0], rungs=RUNGS)
    single, several = planned(planner, one.problem()), planned(planner, three.problem())
    assert same(single, several) and one.steps == three.steps
    assert several.imagination.latents.shape[1] == 3


def test_a_world_that_is_all_nan_is_an_error_and_names_the_term() -> None:
    """As without halving."""
    line = Line(cost=lambda places: places.sum((-1, -2)) * torch.nan)
    for planner in (PLANNERS[0], Halving(planner=PLANNERS[0], rungs=RUNGS)):
        with pytest.raises(ForethoughtError, match="NaN, which stands in cost term 'far'"):
            planned(planner, line.problem())


def test_terms_that_break_late_are_named_rightly() -> None:
    """Only those that hold NaN, not all that were never asked."""

    def late(places: torch.Tensor) -> torch.Tensor:
        return places.sum((-1, -2)) * (torch.nan if places.shape[2] == 4 else 1.0)

    line = Line(cost=late)

    def with_another(imagination: Imagination) -> Scores:
        scores = line.score(imagination)
        return replace(scores, terms={**scores.terms, "sound": torch.zeros_like(scores.energy)})

    planner = Halving(planner=PLANNERS[0], rungs=RUNGS)
    with pytest.raises(ForethoughtError, match="in cost term 'far'\\."):
        planned(planner, line.problem(score=with_another))


def test_rungs_that_cannot_be_are_refused() -> None:
    for share in (0.0, 1.5):
        with pytest.raises(ForethoughtError, match=f"a rung keeps a share of {share}"):
            Rung(steps=1, share=share)
    with pytest.raises(ForethoughtError, match="a rung after 0 model steps"):
        Rung(steps=0)
    with pytest.raises(ForethoughtError, match=r"rungs after \[2, 2\] model steps"):
        Halving(planner=PLANNERS[0], rungs=(Rung(steps=2), Rung(steps=2)))


# --------------------------------------------------------------------------- screening


@by_name
@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_an_exact_sketch_loses_nothing(planner, share) -> None:
    """The elites are among those it lets through, whatever their share."""
    screened, plain = Line(), Line()
    assert same(
        planned(Screened(planner=planner, share=share), screened.problem()),
        planned(planner, plain.problem()),
    )
    assert screened.steps == plain.steps if share == 1 else screened.steps < 0.4 * plain.steps


def nonsense(line: Line) -> Callable[[torch.Tensor], Imagination]:
    """A sketch that foresees at random, as if all were well."""
    draw = torch.Generator().manual_seed(7)

    def imagine(actions: torch.Tensor) -> Imagination:
        latents = line.coarse(actions).latents
        return Imagination(latents=torch.randn(latents.shape, generator=draw), actions=actions)

    return imagine


@by_name
def test_a_useless_sketch_claims_nothing(planner) -> None:
    """What comes of it is what the world model says, and no worse than the warm start."""
    line = Line(margin=lambda places: 0.7 - places[..., 0])
    best = torch.tensor([[0.5, -1.0], [-1.0, 1.0], [0.6, -1.0]])
    actions = torch.nn.functional.pad(best[:, None], (0, 0, 0, 3))
    begun = line.score(line.coarse(actions[:, None])).energy[:, 0]
    problem = line.problem(sketch=nonsense(line))
    for wrapped in (Screened(planner=planner), Sketched(planner=planner)):
        plan = planned(wrapped, problem, warm_start=WarmStart(actions=actions))
        confirmed(plan, line)
        assert plan.feasible.all() and (plan.energy <= begun + 1e-6).all()


@by_name
def test_a_search_in_an_exact_sketch_finds_what_the_planner_finds(planner) -> None:
    """And the world model imagines two candidates in all."""
    line = Line()
    plan = planned(Sketched(planner=planner), line.problem())
    assert line.steps == 2 * planner.horizon
    assert same(plan, planned(planner, Line().problem()))
    confirmed(plan, line)


def test_a_sketch_can_be_searched_by_gradients() -> None:
    """Any planner that says how far it looks will do."""
    line = Line()
    plan = planned(Sketched(planner=Gradient(horizon=4, num_iterations=60)), line.problem())
    confirmed(plan, line)
    assert line.steps == 8 and not plan.energy.requires_grad
    assert float(plan.energy[0]) < 0.3


def test_what_passes_the_screen_can_be_halved() -> None:
    """The sketch chooses 64 of 256, of which 32 are imagined to the end."""
    line = Line()
    once = replace(PLANNERS[0], num_iterations=1)
    both = Halving(planner=Screened(planner=once), rungs=(Rung(steps=1),))
    plan = planned(both, line.problem())
    assert line.steps == 64 + 3 * 32
    confirmed(plan, line)


def test_without_a_sketch_there_is_nothing_to_ask() -> None:
    for wrapped in (Screened(planner=PLANNERS[0]), Sketched(planner=PLANNERS[0])):
        with pytest.raises(ForethoughtError, match=r"train with TrainConfig\.sketch"):
            planned(wrapped, Line().problem(sketch=None))
    with pytest.raises(ForethoughtError, match="screening keeps a share of 0"):
        Screened(planner=PLANNERS[0], share=0.0)


def test_what_is_halved_cannot_be_screened_after() -> None:
    """The order says what is dropped first; the other way round would be imagined twice."""
    with pytest.raises(ForethoughtError, match=r"Halving\(planner=Screened"):
        planned(Screened(planner=Halving(planner=PLANNERS[0])), Line().problem())


WRAPPED = [
    Halving(planner=PLANNERS[0], rungs=(Rung(steps=1, share=0.25),)),
    Screened(planner=PLANNERS[0]),
    Halving(planner=Screened(planner=PLANNERS[0])),
    Sketched(planner=PLANNERS[0]),
]
wrapped_too = pytest.mark.parametrize("planner", WRAPPED, ids=lambda p: type(p).__name__)


@wrapped_too
def test_a_plan_does_not_depend_on_which_others_are_made_beside_it(planner) -> None:
    """The same as alone, and as at another time."""
    together = planned(planner, Line().problem())
    assert same(together, planned(planner, Line().problem()))
    for world in range(3):
        alone = planned(planner, Line(targets=TARGETS[world : world + 1]).problem())
        torch.testing.assert_close(alone.actions[0], together.actions[world])


@wrapped_too
def test_in_the_same_time_more_is_tried(planner) -> None:
    """Deadlines are kept, and what is spared is spent on more candidates."""
    plain, spared = Line(), Line()
    first = planned(PLANNERS[0], plain.problem(), deadline_s=0.15)
    plan = planned(planner, spared.problem(), deadline_s=0.15)
    assert plain.now() <= 0.15 and spared.now() <= 0.15
    assert first.status is PlanStatus.OUT_OF_TIME
    assert plan.num_candidates > 1.3 * first.num_candidates
    confirmed(plan, spared)


def test_halving_is_a_planner() -> None:
    check_planner(Halving(planner=PLANNERS[0]))
