"""Terms of the user's own, and what a cost and a plan say of all terms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plane import SIGHT, at, costs, ends, place, planned

from forethought import worlds
from forethought.actor import CEM
from forethought.agent import Agent
from forethought.checkers import check_cost_term
from forethought.cost import (
    Cost,
    effort,
    explain,
    follow,
    goal,
    goal_among,
    keep_near,
    leave,
    quantity_term,
    region_goal,
    smoothness,
    term,
    time_until,
)
from forethought.types import ForethoughtError

NAMES = ("position.x", "position.y")
BOWL = quantity_term(
    "bowl", lambda q: (q["position.x"] - 1).square() + q["position.y"].square(), quantities=NAMES
)


def test_a_function_is_given_quantities_by_name_after_the_present() -> None:
    """Their order is that of time, so that it may ask for changes."""
    assert costs(BOWL, (9, 9), (1, 0), (3, 1)) == [0, 5]
    seen = []

    def looking(quantities):
        seen.append({name: values.tolist() for name, values in quantities.items()})
        return quantities["position.y"]

    assert costs(quantity_term("look", looking, quantities=NAMES[1:]), (9, 9), (1, 2), (3, 4)) == [
        2,
        4,
    ]
    assert seen == [{"position.y": [[[2, 4]]]}]
    check_cost_term(BOWL.bind(SIGHT), tokens=1, width=2, action_width=2)


def test_a_search_finds_what_a_function_asks() -> None:
    torch.testing.assert_close(ends(planned(BOWL)), torch.tensor([[1.0, 0.0]]), atol=0.05, rtol=0)


def test_unknown_quantities_and_wrong_shapes_are_said() -> None:
    with pytest.raises(ForethoughtError, match=r"\['position.x', 'position.y'\], not 'speed'"):
        at(quantity_term("fast", lambda q: q["speed"], quantities=("speed",)), (0, 0))
    with pytest.raises(ForethoughtError, match=r"'flat' gave shape \(1, 1\); .* \(1, 1, 1\)"):
        at(quantity_term("flat", lambda q: q["position.x"].sum(-1), quantities=NAMES), (0, 0))


def test_nan_of_ones_own_term_is_laid_at_its_door() -> None:
    """Where all is NaN the term is named; where some is, that is not chosen."""
    broken = quantity_term("root", lambda q: (-1 - q["position.x"] ** 2).sqrt(), quantities=NAMES)
    with pytest.raises(ForethoughtError, match="NaN, which stands in cost term 'root'"):
        planned(BOWL + broken)
    half = quantity_term("half", lambda q: (q["position.x"] - 0.5).sqrt(), quantities=NAMES)
    plan = planned(BOWL + half)
    assert torch.isfinite(plan.energy).all()
    assert plan.imagination.latents[0, 0, 1:, 0, 0].min() >= 0.5
    opposite = term("up", lambda i: i.actions[..., 0] + torch.inf) + term(
        "down", lambda i: i.actions[..., 0] - torch.inf
    )
    with pytest.raises(ForethoughtError, match="both signs cancel"):
        planned(opposite)


# ------------------------------------------------------------------------- tables


def test_a_cost_prints_what_each_term_asks_in_columns() -> None:
    here = place(0.0, 0.0)
    cost = Cost(
        terms=(
            goal_among(states=[here, here]),
            2.0 * leave(state=here, beyond=3.0),
            keep_near(state=here, within=5.0, running=0.0),
            region_goal({"position.x": (10.0, 20.0), "position.y": (None, 30.0)}),
            follow(states=[here, here], terminal=2.0),
            time_until(goal(state=here), within=1.0),
            0.1 * effort(),
            smoothness(),
            BOWL,
            term("own", lambda i: i.actions[..., 0]),
        )
    )
    header, *rows = str(cost).splitlines()
    weight, asks = header.index("weight"), header.index("asks")
    assert [row[:weight].strip() for row in rows] == [term.name for term in cost.terms]
    assert [float(row[weight:asks]) for row in rows] == [1, 2, 1, 1, 1, 1, 0.1, 1, 1, 1]
    said = [row[asks:] for row in rows]
    assert said == [term.asks for term in cost.terms] and all(said)
    assert said[0] == "distance to the nearest of 2 goals by state, running 1, terminal 1"
    assert said[3].startswith("distance to 10.0 <= position.x <= 20.0, position.y <= 30.0, ")
    assert said[4].endswith("running 1, terminal 2")


def test_a_plan_is_explained_by_terms_that_add_up() -> None:
    starts = torch.tensor([[0.0, 0.0], [3.0, 1.0]])
    plan = planned(BOWL + 0.5 * effort(), starts)
    for world in range(2):
        header, *rows = [line.split() for line in explain(plan, world=world).splitlines()]
        assert header == ["term", "energy"] and [row[0] for row in rows] == [
            "bowl",
            "effort",
            "sum",
        ]
        shares = [float(row[1]) for row in rows]
        assert shares[-1] == pytest.approx(float(plan.energy[world]), rel=1e-3)
        assert sum(shares[:-1]) == pytest.approx(shares[-1], rel=2e-3)
    with pytest.raises(ForethoughtError, match="world 2: the plan is for 2"):
        explain(plan, world=2)


def test_an_agents_plan_carries_every_term(model) -> None:
    """Pictures as goals, in a model that learned its distance and its probes."""
    world = worlds.make("two_rooms", 2)
    first = world.reset([3, 4])
    (camera,) = world.signature.cameras
    shown, wanted = first[camera], world.goal()[camera]
    cost = (
        goal_among(images=list(wanted))
        + leave(image=shown[0], beyond=2.0)
        + keep_near(observation={camera: shown}, within=1.0)
        + follow(images=list(wanted))
        + region_goal({"position.x": (None, 20.0)})
        + time_until(goal(image=wanted[0]), within=1.0)
        + smoothness()
    )
    planner = CEM(horizon=3, num_samples=16, num_iterations=2, num_elites=4)
    agent = Agent(model, cost=cost, actor=planner, num_agents=2)
    plan = agent.act_batch({camera: shown}).plan
    assert plan is not None and set(plan.terms) == {term.name for term in cost.terms}
    torch.testing.assert_close(sum(plan.terms.values()), plan.energy)
    alone = [Cost(terms=(goal(image=one),)).bind(agent._sight) for one in wanted]
    nearest = torch.stack([one(plan.imagination).energy[:, 0] for one in alone]).amin(0)
    assert (plan.terms["goal"] <= nearest + 1e-4).all()
    assert np.isfinite(list(map(float, plan.energy))).all()
