"""An agent in a predicament says what it is, by name, and its fallback acts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from forethought import recipes, worlds
from forethought.actor import CEM, Hold, LeastViolation, Retreat, Stop
from forethought.agent import Agent
from forethought.configurator import Search, ShownGoal, Task, read_task
from forethought.cost import effort, goal, guardrail, region_goal, term
from forethought.cost.shown import named_goal
from forethought.safety import SafetyConfig
from forethought.senses import sight_of
from forethought.types import ForethoughtError, PlanStatus

CAMERA = "observation.images.top"
FREE = region_goal({"position.x": (20.0, 40.0)})
SMALL = Search(horizon=2, samples=16, iterations=1, elites=4)
FALLBACKS = [Stop(), Hold(), LeastViolation(), Retreat(steps=5)]


@pytest.fixture
def seen() -> dict[str, np.ndarray]:
    world = worlds.make("two_rooms", 1)
    return {CAMERA: world.reset([3])[CAMERA][0]}


def task(*rails, fallback=Stop(), sought=FREE, terms=()) -> Task:  # noqa: B008
    return Task(goal=sought, guardrails=rails, fallback=fallback, search=SMALL, terms=terms)


def test_a_task_without_guardrails_acts(model, seen) -> None:
    decision = task(terms=(0.1 * effort(),)).agent(model).act(seen)
    assert decision.plan.status is PlanStatus.FOUND and decision.changes == ()
    assert set(decision.plan.terms) == {"region", "effort"}


def test_a_task_plans_as_its_models_recipe_does(model) -> None:
    usual = recipes.acting(recipes.get("two_rooms")).planner
    assert Task(goal=FREE).agent(model).actor == usual
    changed = Task(goal=FREE, search=Search(horizon=2)).agent(model).actor
    assert changed == replace(usual, horizon=2)


def test_a_task_from_a_file_seeks_its_picture(model, seen, tmp_path) -> None:
    """It decides as an agent does that is made by hand."""
    from PIL import Image

    Image.fromarray(seen[CAMERA]).save(tmp_path / "goal.png")
    (tmp_path / "task.yaml").write_text("goal: {image: goal.png}\nterms: {effort: 0.1}\n")
    made = read_task(tmp_path / "task.yaml").agent(model, seed=5)
    by_hand = Agent(model, cost=goal(image=seen[CAMERA]) + 0.1 * effort(), actor=made.actor, seed=5)
    assert np.array_equal(made.act(seen).action, by_hand.act(seen).action)


# ------------------------------------------------------------------------ no way out


@pytest.mark.parametrize("fallback", FALLBACKS, ids=str)
def test_an_infeasible_task_is_said_and_the_fallback_acts(model, seen, fallback) -> None:
    agent = task(guardrail("position.x", below=-50.0, name="edge"), fallback=fallback).agent(model)
    decision = agent.act(seen)
    assert decision.plan.status is PlanStatus.INFEASIBLE
    change = decision.changes[0]
    assert change.by == str(fallback) and change.agent == 0
    assert change.reason.startswith("edge by ")
    assert float(change.reason.split("by ")[1]) > 50
    assert np.isfinite(decision.action).all() and np.abs(decision.action).max() <= 1.2 + 1e-6


def test_stop_stops_where_nothing_else_is_safer(model, seen) -> None:
    """The shield has nothing better to offer than what violates least: it may change the action."""
    rail = guardrail("position.x", below=-50.0, name="edge")
    agent = Agent(
        model,
        cost=FREE,
        actor=SMALL.applied(CEM()),
        guardrails=[rail],
        safety=SafetyConfig(fallback=Stop(), shield=None),
    )
    assert (agent.act(seen).action == 0).all()


def test_contradictory_guardrails_are_both_named(model, seen) -> None:
    rails = (
        guardrail("position.x", below=-50.0, name="left"),
        guardrail("position.x", above=120.0, name="right"),
    )
    decision = task(*rails).agent(model).act(seen)
    assert decision.plan.status is PlanStatus.INFEASIBLE
    assert decision.changes[0].by == "stop"
    assert "left by " in decision.changes[0].reason and "right by " in decision.changes[0].reason


def test_a_guardrail_violated_at_the_start_shows_at_once(model, seen) -> None:
    """The margin is the measured one, before anything is done; the reason is the imagined one."""
    x = _place(model, seen)
    decision = task(guardrail("position.x", below=x - 60, name="edge")).agent(model).act(seen)
    assert decision.margins["edge"][0] == pytest.approx(-60, abs=1e-3)
    assert decision.changes[0].by == "stop" and "edge" in decision.changes[0].reason


@torch.no_grad()
def _place(model, seen) -> float:
    latents = sight_of(model).encode({CAMERA: seen[CAMERA][None]})
    return float(model.read(latents)["position.x"])


def test_where_there_is_a_way_nothing_is_changed(model, seen) -> None:
    rail = guardrail("position.x", above=_place(model, seen) - 1000.0, name="edge")
    decision = task(rail).agent(model).act(seen)
    assert decision.plan.status is PlanStatus.FOUND
    assert decision.changes == () and decision.margins["edge"][0] > 900


# ------------------------------------------------------------------------ what cannot be done


def test_an_unknown_quantity_is_refused_before_anything_moves(model) -> None:
    with pytest.raises(ForethoughtError) as error:
        task(guardrail("speed", below=1.0, name="slow")).agent(model)
    message = str(error.value)
    assert "'slow'" in message and "'speed'" in message
    assert "position.x" in message and "step.x" in message and "train with data" in message


def test_a_goal_about_an_unknown_quantity_names_those_that_there_are(model, seen) -> None:
    with pytest.raises(ForethoughtError, match=r"position\.x.*not 'speed'"):
        task(sought=region_goal({"speed": (0.0, 1.0)})).agent(model).act(seen)


def test_a_goal_of_another_size_is_refused_before_anything_moves(model) -> None:
    small = ShownGoal(observation=named_goal(image=np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(ForethoughtError, match=r"the goal.*Resize"):
        task(sought=small).agent(model)


def test_nan_of_a_term_of_ones_own_names_it(model, seen) -> None:
    root = term("root", lambda imagined: torch.full(imagined.actions.shape[:3], -1.0).sqrt())
    with pytest.raises(ForethoughtError, match="cost term 'root'"):
        task(terms=(root,)).agent(model).act(seen)


@dataclass(frozen=True)
class Broken:
    """A fallback that answers what no agent can do."""

    answer: torch.Tensor

    def __call__(self, predicament):
        return self.answer

    def __str__(self) -> str:
        return "broken"


@pytest.mark.parametrize(
    "answer",
    [
        torch.zeros(3),
        torch.zeros(1, 2, 3),
        torch.zeros(2, 2, 10),
        torch.full((1, 2, 10), torch.nan),
    ],
    ids=["flat", "width", "agents", "nan"],
)
def test_a_fallback_that_answers_nonsense_is_named(model, seen, answer) -> None:
    rail = guardrail("position.x", below=-50.0)
    with pytest.raises(ForethoughtError, match=r"the fallback broken gave shape.*finite"):
        task(rail, fallback=Broken(answer)).agent(model).act(seen)


def test_a_model_that_was_never_calibrated_says_how(run, seen) -> None:
    from forethought.model import load_model

    model = load_model(run)
    model.calibration = None
    with pytest.raises(ForethoughtError, match="forethought calibrate"):
        task(guardrail("position.x", below=50.0)).agent(model)


def test_a_risk_too_small_for_the_calibration_says_what_it_takes(model) -> None:
    with pytest.raises(ForethoughtError, match="29956 held-out rollouts at least"):
        task(guardrail("position.x", below=50.0, risk=1e-4)).agent(model)
