"""Conditions as margins: closed forms, joined conditions, and what imagination leaves out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from forethought.cost import (
    Course,
    apart,
    guardrail,
    keep_away,
    keep_out,
    limit,
    rate_limit,
)
from forethought.cost.course import between
from forethought.cost.guardrail import bind_guardrails
from forethought.types import ForethoughtError
from point import NAMES, sight, walked


def course(step_s: float = 0.1, **quantities: list[float]) -> Course:
    values = {name.replace("_", "."): torch.tensor(v) for name, v in quantities.items()}
    return Course(quantities=values, step_s=step_s)


def test_margins_are_how_far_each_moment_is_from_violation() -> None:
    path = course(x=[9.0, 1.0, 3.0, 5.0], y=[0.0, 0.0, 4.0, 0.0])
    near = torch.testing.assert_close
    near(limit("x", below=4.0).margin(path), torch.tensor([3.0, 1.0, -1.0]))
    near(limit("x", below=4.0, above=2.0).margin(path), torch.tensor([-1.0, 1.0, -1.0]))
    near(rate_limit("x", at_most=30.0).margin(path), torch.tensor([-50.0, 10.0, 10.0]))
    box = keep_out({"x": (2.0, 4.0), "y": (None, 5.0)})
    near(box.margin(path), torch.tensor([1.0, -1.0, 1.0]))
    disc = keep_away(("x", "y"), (0.0, 0.0), distance=2.0)
    near(disc.margin(path), torch.tensor([-1.0, 3.0, 3.0]))
    discs = keep_away(("x", "y"), (0.0, 0.0), (3.0, 3.0), distance=0.5)
    near(discs.margin(path), torch.tensor([0.5, 0.5, 13**0.5 - 0.5]))
    both = course(x=[0.0, 3.0], y=[0.0, 4.0], u=[0.0, 0.0], v=[0.0, 0.0])
    near(apart(("x", "y"), ("u", "v"), distance=6.0).margin(both), torch.tensor([-1.0]))


def test_joined_conditions_hold_exactly_where_logic_says(generator) -> None:
    """The sign of a joined margin is the truth of the joined condition, everywhere."""
    values = torch.randn(2, 400, generator=generator)
    path = Course(quantities={"a": values[0], "b": values[1]}, step_s=1.0)
    first, second = limit("a", below=0.3), limit("b", above=-0.2)
    one, other = (part.margin(path) >= 0 for part in (first, second))
    assert torch.equal((first & second).margin(path) >= 0, one & other)
    assert torch.equal((first | second).margin(path) >= 0, one | other)
    assert torch.equal(first.only_when(second).margin(path) >= 0, one | ~other)
    assert (first & second).quantities == ("a", "b")


def test_between_model_steps_quantities_change_evenly(generator) -> None:
    steps = torch.randn(3, 5, generator=generator)
    fine = between(steps, 4)
    torch.testing.assert_close(fine[:, ::4], steps)
    expected = np.stack([np.interp(np.arange(17) / 4, np.arange(5), row) for row in steps.numpy()])
    torch.testing.assert_close(fine, torch.tensor(expected, dtype=torch.float32))


def test_what_passes_through_between_two_steps_is_seen() -> None:
    """Before and after it is outside; halfway, a world step, it is inside."""
    zone = guardrail(keep_away(NAMES, (0.0, 0.0), distance=1.0), name="zone")
    judge = bind_guardrails([zone], sight())
    margins = judge(walked((-2.0, 0.5), (2.0, 0.5), (3.0, 3.0)))["zone"]
    torch.testing.assert_close(margins[0, 0, 0], torch.tensor(-0.5), atol=1e-5, rtol=0)
    assert margins[0, 0, 1] > 0


def test_entries_of_the_action_are_judged_at_every_world_step() -> None:
    """The largest push within a block counts, not its mean, and no probe is asked."""
    pushes = torch.tensor([[0.2, 0.0, 0.9, 0.0], [0.1, 0.0, 0.2, 0.0]]).view(1, 1, 2, 4)

    def refuse(latents):
        raise AssertionError("nothing has to be read")

    judge = bind_guardrails([guardrail("push.x", below=0.5)], sight(read=refuse))
    margins = judge(walked((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), actions=pushes))
    torch.testing.assert_close(margins["push.x < 0.5"], torch.tensor([[[-0.4, 0.3]]]))


def test_a_level_above_leaves_actions_to_the_level_that_knows_them() -> None:
    rails = [guardrail("push.x", below=0.5), guardrail("position.x", below=1.0)]
    above = sight(acts=False, steps=3)
    assert set(bind_guardrails(rails, above)(walked((0.0, 0.0), (0.5, 0.0)))) == {"position.x < 1"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: limit("x"), "below= nor above="),
        (lambda: limit("x", below=1.0, above=2.0), "which nothing meets"),
        (lambda: rate_limit("x", at_most=0.0), "positive"),
        (lambda: keep_out({"x": (None, None)}), "at least one end"),
        (lambda: keep_out({"x": (2.0, 1.0)}), "exchange"),
        (lambda: keep_away(("x", "y"), (1.0,), distance=1.0), "as many numbers"),
        (lambda: apart(("x",), ("u",), distance=-1.0), "positive"),
        (lambda: guardrail("x", below=1.0, risk=1.0), "between 0 and 1"),
        (lambda: guardrail(limit("x", below=1.0), above=0.0), "belong to a quantity"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(make, words: str) -> None:
    with pytest.raises(ForethoughtError, match=words):
        make()


def test_unknown_quantities_are_named_with_those_there_are() -> None:
    with pytest.raises(ForethoughtError, match=r"'positon.x'.*position.x.*push.x"):
        bind_guardrails([guardrail("positon.x", below=1.0)], sight())
