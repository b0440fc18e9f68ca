"""The task file: what it builds, and what it says to each mistake."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import numpy as np
import pytest
import torch
from PIL import Image

from forethought.actor import (
    CEM,
    ICEM,
    MPPI,
    BeamSearch,
    Halving,
    Hierarchical,
    Hold,
    LeastViolation,
    Mixed,
    ProjectedGradient,
    Retreat,
    Rung,
    Screened,
    Stop,
)
from forethought.agent import ReuseConfig
from forethought.configurator import Budget, Search, ShownGoal, read_task, task_schema
from forethought.configurator.agent_parts import PLANNERS
from forethought.configurator.reading import EXAMPLES
from forethought.configurator.task import planner_horizon
from forethought.configurator.task_file import TaskPart
from forethought.cost import RegionGoal
from forethought.marked_yaml import read_yaml
from forethought.memory.episodic import EpisodicMemory
from forethought.types import STATE, ForethoughtError
from forethought.world_model.fast import FastConfig

WHOLE = """
goal:
  quantities: {position.x: 52, position.y: 20}
terms:
  effort: 0.1
guardrails:
  - limit: {quantity: position.x, below: 52}
    risk: 1e-2
    name: right edge
  - keep_out: {position.x: [10, 20], position.y: [null, 30]}
  - keep_away: {place: [position.x, position.y], point: [20, 30], distance: 6}
  - apart: {first: [position.x], second: [wall.x], distance: 3}
  - rate: {quantity: position.x, at_most: 12}
  - any: [{limit: {quantity: position.x, below: 30}}, {limit: {quantity: position.y, above: 9}}]
  - all: [{limit: {quantity: position.x, below: 30}}, {rate: {quantity: position.y, at_most: 3}}]
  - limit: {quantity: position.y, below: 40}
    only_when: {limit: {quantity: position.x, above: 30}}
fallback: {retreat: {steps: 10}}
planner: {name: icem, horizon: 4, samples: 48, iterations: 2, elites: 8}
budget:
  deadline_ms: 20
  replan_every: 5
  reuse: {surprise: 0.05, longest: 10}
  fast: exact
"""


@pytest.fixture
def written(tmp_path):
    """Writes a task file beside a picture."""
    Image.fromarray(np.full((4, 6, 3), 7, np.uint8)).save(tmp_path / "goal.png")

    def write(text: str):
        path = tmp_path / "task.yaml"
        path.write_text(text)
        return path

    return write


TUESDAY = datetime(2026, 11, 17, 12).astimezone()


def lived(folder) -> None:
    """A memory beside the task file: at the dock on a Tuesday and on the day after."""
    with EpisodicMemory(folder / "memories" / "rooms", shape=(1, 2), action_width=2) as memory:
        for day in range(2):
            began = (TUESDAY + timedelta(days=day)).timestamp()
            memory.add(
                torch.zeros(2, 1, 2),
                at=[began, began + 1],
                labels=["dock"],
                observation={STATE: np.array([[day, 0], [day, 1]], np.float32)},
            )


def refused(path) -> str:
    with pytest.raises(ForethoughtError) as error:
        read_task(path)
    return str(error.value)


# ------------------------------------------------------------------------ what it builds


def test_every_key_is_built(written) -> None:
    task = read_task(written(WHOLE))
    assert isinstance(task.goal, RegionGoal)
    assert task.goal.bounds == {"position.x": (52, 52), "position.y": (20, 20)}
    assert [(one.name, one.weight) for one in task.terms] == [("effort", 0.1)]
    assert [str(one) for one in task.guardrails] == [
        "right edge: position.x < 52 (risk 0.01)",
        *(
            f"{condition}: {condition} (risk 0.05)"
            for condition in (
                "not (10 < position.x < 20 and position.y < 30)",
                "(position.x, position.y) at least 6 from (20, 30)",
                "(position.x) and (wall.x) at least 3 apart",
                "|change of position.x| < 12 per second",
                "(position.x < 30) or (9 < position.y)",
                "(position.x < 30) and (|change of position.y| < 3 per second)",
                "(position.y < 40) where (30 < position.x)",
            )
        ),
    ]
    assert task.fallback == Retreat(steps=10)
    assert task.search == Search(planner=ICEM(), horizon=4, samples=48, iterations=2, elites=8)
    assert task.budget == Budget(
        deadline_s=0.02,
        replan_every=5,
        reuse=ReuseConfig(surprise=0.05, longest=10),
        fast=FastConfig(exact=True),
    )


def test_a_planner_by_name_looks_as_far_as_the_recipes() -> None:
    """Unless told otherwise; of two levels the lower is another."""
    usual = CEM(horizon=5)
    assert Search(planner=MPPI()).applied(usual) == MPPI(horizon=5)
    assert Search(planner=MPPI(), horizon=3, samples=9).applied(usual) == MPPI(
        horizon=3, num_samples=9
    )
    levels = Hierarchical(upper=CEM(horizon=7), lower=usual)
    applied = Search(planner=ICEM()).applied(levels)
    assert applied == Hierarchical(upper=CEM(horizon=7), lower=ICEM(horizon=5))


@pytest.mark.parametrize("name", PLANNERS)
def test_every_planner_may_be_named(written, name) -> None:
    task = read_task(written(f"goal: {{state: [0.5, 1]}}\nplanner: {{name: {name}, horizon: 2}}"))
    planner = task.search.applied(CEM())
    assert type(planner) is type(PLANNERS[name]()) and planner_horizon(planner) == 2


def test_what_is_not_said_is_the_recipes(written) -> None:
    task = read_task(written("goal: {state: [0.5, 1]}"))
    assert task.terms == task.guardrails == () and task.search == Search()
    assert isinstance(task.fallback, LeastViolation)


def test_a_picture_lies_beside_the_file(written, monkeypatch, tmp_path_factory) -> None:
    path = written("goal: {image: goal.png}")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    goal = read_task(path).goal
    assert isinstance(goal, ShownGoal)
    (image,) = goal.observation.values()
    assert image.shape == (4, 6, 3) and (image == 7).all()


@pytest.mark.parametrize(
    ("text", "kind"), [("stop", Stop), ("hold", Hold), ("least_violation", LeastViolation)]
)
def test_a_fallback_by_its_name(written, text, kind) -> None:
    goal = "goal: {state: [1]}\n"
    assert isinstance(read_task(written(f"{goal}fallback: {text}")).fallback, kind)
    assert isinstance(read_task(written(f"{goal}fallback: {{{text}: {{}}}}")).fallback, kind)


def test_json_is_a_task_file_too(written, tmp_path) -> None:
    content, _ = read_yaml(written(WHOLE.replace("1e-2", "0.01")), "task file")
    path = tmp_path / "task.json"
    path.write_text(json.dumps(content))
    assert [str(g) for g in read_task(path).guardrails] == [
        str(g) for g in read_task(written(WHOLE)).guardrails
    ]


def test_numbers_of_the_planner_go_to_its_lowest_level() -> None:
    search = Search(horizon=2, samples=9)
    assert search.applied(CEM(num_elites=5)) == CEM(horizon=2, num_samples=9, num_elites=5)
    assert search.applied(MPPI()) == MPPI(horizon=2, num_samples=9)
    planner = Hierarchical(upper=CEM(), lower=ICEM())
    assert search.applied(planner) == Hierarchical(
        upper=CEM(), lower=ICEM(horizon=2, num_samples=9)
    )
    assert Search().applied(planner) == planner


def test_numbers_of_a_mixed_planner_go_to_its_first_part_and_the_horizon_to_both() -> None:
    search = Search(horizon=2, samples=9)
    mixed = Mixed(first=CEM(), second=ProjectedGradient())
    assert search.applied(mixed) == Mixed(
        first=CEM(horizon=2, num_samples=9), second=ProjectedGradient(horizon=2)
    )
    assert planner_horizon(mixed) == 8 and planner_horizon(search.applied(mixed)) == 2
    assert planner_horizon(BeamSearch(horizon=5)) == 5


def test_a_number_that_the_planner_has_not() -> None:
    from forethought.actor import Gradient

    with pytest.raises(ForethoughtError, match="Gradient has no 'num_elites'"):
        Search(elites=3).applied(Gradient())
    with pytest.raises(ForethoughtError, match="Gradient has no 'num_samples'"):
        Search(screened=0.5).applied(Gradient())


def test_candidates_are_screened_first_and_then_halved(written) -> None:
    """On the lowest level; numbers go to the planner within."""
    said = "{samples: 9, screened: 0.25, halving: [{steps: 1}, {steps: 3, share: 0.2}]}"
    search = read_task(written(f"goal: {{state: [1]}}\nplanner: {said}")).search
    inner = Screened(planner=CEM(num_samples=9), share=0.25)
    sifted = Halving(planner=inner, rungs=(Rung(steps=1), Rung(steps=3, share=0.2)))
    assert search.applied(CEM()) == sifted
    upper = CEM(horizon=2)
    planner = Hierarchical(upper=upper, lower=CEM())
    assert search.applied(planner) == Hierarchical(upper=upper, lower=sifted)
    again = Search(horizon=5).applied(sifted)
    assert isinstance(again, Halving) and again.horizon == planner_horizon(again) == 5


def test_screening_needs_a_sketch(written, model) -> None:
    task = read_task(written("goal: {state: [1]}\nplanner: {screened: 0.25}"))
    with pytest.raises(ForethoughtError, match=r"planner\.screened: this model has no sketch"):
        task.acting(model)


def test_every_example_of_an_error_is_right(written) -> None:
    """What errors tell people to write can be written."""
    lived(written("").parent)
    inside = ("image", "words", "remembered", "state", "quantities", "region")
    for key, example in EXAMPLES.items():
        if key in TaskPart.model_fields:
            text = example
        elif key == "retreat":
            text = f"fallback: {{{example}}}"
        elif key in ("within", "reached", "seconds", "otherwise"):
            more = "" if key in ("within", "reached") else ", within: 1"
            text = f"goals: [{{state: [1], {example}{more}}}]"
        elif key in ("reuse", "fast"):
            text = f"budget: {{{example}}}"
        elif key in ("gated", "reflexes"):
            text = f"mode: {{{example}}}"
        elif key in ("halving", "screened", "name"):
            text = f"planner: {{{example}}}"
        elif key in inside:
            text = f"goal: {{{example}}}"
        elif key in ("risk", "only_when"):
            text = f"guardrails: [{{{EXAMPLES['limit']}, {example}}}]"
        else:
            text = f"guardrails: [{{{example}}}]"
        goal = "" if text.startswith("goal") else "goal: {state: [1]}\n"
        task = read_task(written(goal + text))
        assert len(task.guardrails) == text.startswith("guardrails"), key


def test_editors_are_told_of_every_key() -> None:
    text = json.dumps(task_schema())
    assert all(f'"{key}"' in text for key in EXAMPLES)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("label: dock, day: 2026-11-17", [0, 1]),
        ("label: dock", [1, 1]),
        ("day: 2026-11-18", [1, 1]),
    ],
)
def test_a_goal_as_it_was_once(written, said, state) -> None:
    """The latest moment of that day and name; in JSON too, where a day is a text."""
    path = written(f"goal: {{remembered: {{path: memories/rooms, {said}}}}}")
    lived(path.parent)
    goal = read_task(path).goal
    assert isinstance(goal, ShownGoal)
    assert goal.observation[STATE].tolist() == state
    content, _ = read_yaml(path, "task file")
    path.write_text(json.dumps(content, default=str))
    goal = read_task(path).goal
    assert isinstance(goal, ShownGoal) and goal.observation[STATE].tolist() == state


@pytest.mark.parametrize(
    ("said", "found"), [("label: dok", "called 'dok'"), ("day: 2026-11-16", "on 2026-11-16")]
)
def test_what_is_not_remembered_is_told_with_what_is(written, said, found) -> None:
    path = written(f"goal:\n  remembered: {{path: memories/rooms, {said}}}")
    lived(path.parent)
    message = refused(path)
    assert f"{path}:2: goal.remembered: found no moment {found} among the 4 of" in message
    assert "moments there are called dock" in message


# ------------------------------------------------------------------------ what it says


BAD = [
    (
        "goal: {state: [1]}\ngoals: [{state: [1], within: 1}]",
        2,
        "the whole file",
        "found both goal and goals",
    ),
    ("goal: null\ngoals: [{state: [1]}]", 3, "goals.0", "expected within or reached"),
    ("goal: null\ngoals: [{within: 1}]", 3, "goals.0", "found none of them"),
    ("goal: null\ngoals: [{image: no.png, within: 1}]", 3, "goals.0.image", "beside the task"),
    ("goal: null\ngoals: [{state: [1], within: -1}]", 3, "goals.0.within", "greater than or"),
    (
        "goal: null\ngoals: [{state: [1], within: 1, otherwise: wait}]",
        3,
        "goals.0.otherwise",
        "expected next or stop",
    ),
    (
        "goal: null\ngoals: [{state: [1], reached: {x: [2, 1]}}]",
        3,
        "goals.0.reached",
        "give the least first",
    ),
    ("planner: {name: cen}", 3, "planner.name", "Did you mean 'cem'?"),
    ("budget: {deadline_ms: 0}", 3, "budget.deadline_ms", "greater than 0"),
    ("budget: {deadline: 20}", 3, "budget.deadline", "Did you mean 'deadline_ms'?"),
    ("budget: {fast: very}", 3, "budget.fast", "expected exact"),
    ("budget: {reuse: {surprise: 0.1}}", 3, "budget.reuse.longest", "expected it in"),
    ("goal: {imag: goal.png}", 2, "goal.imag", "Did you mean 'image'?"),
    (
        "goal: {}",
        2,
        "goal",
        "expected exactly one of image, words, remembered, state, quantities, region",
    ),
    ("goal: {state: [1], region: {x: [1, 2]}}", 2, "goal", "found state and region"),
    ("goal: here", 2, "goal", "expected a mapping"),
    ("goal: {remembered: {path: nowhere}}", 2, "goal.remembered", "give the folder of one"),
    ("goal: {remembered: {label: dock}}", 2, "goal.remembered.path", "found nothing"),
    ("goal: {remembered: {path: it, day: tuesday}}", 2, "goal.remembered.day", "a day such as"),
    ("goal: {image: no.png}", 2, "goal.image", "expected a picture beside the task file"),
    ("goal: {image: task.yaml}", 2, "goal.image", "Save the goal as PNG"),
    ("goal: {state: [yes]}", 2, "goal.state.0", "found True, expected a valid number"),
    ("goal: {state: [.nan]}", 2, "goal.state.0", "expected a finite number"),
    ("goal: {region: {x: [3, 1]}}", 2, "goal.region", "give the least first"),
    ("goal: {region: {x: [3]}}", 2, "goal.region.x", "Write for example `region:"),
    ("goals: {state: [1]}", 2, "goals", "expected a valid list"),
    ("terms: {efort: 1}", 3, "terms.efort", "Did you mean 'effort'?"),
    ("terms: {effort: -1}", 3, "terms.effort", "expected greater than or equal to 0"),
    ("guardrails: {limit: 3}", 3, "guardrails", "expected a valid list"),
    ("guardrails:\n  - {}", 4, "guardrails.0", "found none of them"),
    ("guardrails:\n  - keep_outt: {x: [1, 2]}", 4, "guardrails.0.keep_outt", "'keep_out'?"),
    ("guardrails:\n  - keep_out: {x: [2, 1]}", 4, "guardrails.0.keep_out", "exchange them"),
    ("guardrails:\n  - limit: {below: 1}", 4, "guardrails.0.limit.quantity", "found nothing"),
    ("guardrails:\n  - limit: {quantity: x}", 4, "guardrails.0.limit", "neither below"),
    (
        "guardrails:\n  - limit:\n      quantity: x\n      below: 1\n      above: 2",
        4,
        "guardrails.0.limit",
        "which nothing meets",
    ),
    (
        "guardrails:\n  - limit: {quantity: x, below: 1}\n    risk: 1.5",
        5,
        "guardrails.0.risk",
        "found 1.5, expected less than 1",
    ),
    (
        "guardrails:\n  - limit: {quantity: x, below: 1}\n  - limit: {quantity: x, below: 1}",
        5,
        "guardrails.1.name",
        "which guardrail 1 has too",
    ),
    (
        "guardrails:\n  - keep_away: {place: [x, y], point: [1], distance: 2}",
        4,
        "guardrails.0.keep_away",
        "as many numbers",
    ),
    (
        "guardrails:\n  - apart: {first: [x], second: [y], distance: 0}",
        4,
        "guardrails.0.apart.distance",
        "expected greater than 0",
    ),
    ("guardrails:\n  - rate: {quantity: x, at_most: -1}", 4, "guardrails.0.rate.at_most", "-1"),
    ("guardrails:\n  - any: []", 4, "guardrails.0.any", "at least 1 item"),
    (
        "guardrails:\n  - any:\n      - rate: {quantity: x, at_most: 1}\n"
        "      - limit: {quantity: x}",
        6,
        "guardrails.0.any.1.limit",
        "neither below",
    ),
    ("fallback: halt", 3, "fallback.halt", "expected stop, hold, least_violation, retreat"),
    ("fallback: {retreat: {steps: 0}}", 3, "fallback.retreat.steps", "greater than 0"),
    ("planner: {horizon: 2.5}", 3, "planner.horizon", "expected a valid integer"),
    ("planner: {samples: 4, elites: 8}", 3, "planner.elites", "Lower elites"),
    ("planner: {screened: 2}", 3, "planner.screened", "expected less than or equal to 1"),
    ("planner: {halving: [{steps: 0}]}", 3, "planner.halving.0.steps", "greater than 0"),
    ("planner: {halving: [{steps: 2}, {steps: 1}]}", 3, "planner.halving", "after more steps"),
    ("mode: reflex", 3, "mode.reflex", "Did you mean 'reflexes'?"),
    ("mode: {gated: {share: 2}}", 3, "mode.gated.share", "expected less than or equal to 1"),
    ("mode: {gated: {}, reflexes: {}}", 3, "mode", "found gated and reflexes"),
    ("mode: {reflexes: {chunk: 0}}", 3, "mode.reflexes.chunk", "greater than 0"),
    ("memory: {label: dock}", 3, "memory.path", "found nothing"),
    ("memory: memories/rooms", 3, "memory", "expected a mapping"),
    ("adaptation: {}", 3, "adaptation.recorded", "found nothing"),
    ("adaptation: {recorded: d, camera_rage: 2}", 3, "adaptation.camera_rage", "'camera_range'?"),
    ("adaptation: {recorded: d, recent: 3}", 3, "adaptation", "leaves too little beside"),
    (
        "budget: {fast: any}\nadaptation: {recorded: d}",
        4,
        "adaptation",
        "found fast units beside adaptation",
    ),
    ("mode: reflexes\nadaptation: {recorded: d}", 4, "adaptation", "found adaptation beside"),
]


@pytest.mark.parametrize(("text", "line", "key", "said"), BAD)
def test_each_mistake_is_told_with_its_line_its_key_and_a_remedy(
    written, text, line, key, said
) -> None:
    start = "\n" if text.startswith("goal") else "\ngoal: {state: [1]}\n"
    path = written(start + text)
    message = refused(path)
    assert f"{path}:{line}: {key}: " in message
    assert said in message
    assert any(word in message for word in ("Write for", "Did you", "Save the", "give the"))


def test_all_mistakes_are_told_at_once(written) -> None:
    message = refused(written("goal: {}\nterms: {x: 1}\nfallback: halt"))
    assert [line.split(":")[1] for line in message.splitlines()] == ["1", "2", "3"]


@pytest.mark.parametrize("text", ["", "[]", "just words", "- goal"])
def test_what_is_no_mapping(written, text) -> None:
    assert "the whole file: found" in refused(written(text))


@pytest.mark.parametrize("text", ["goal: [", "a: b: c", "\tgoal: x", "goal: \x00"])
def test_what_is_no_yaml_names_file_and_line(written, text) -> None:
    path = written("terms: {}\n" + text)
    assert refused(path).startswith(f"{path}") and "not valid YAML" in refused(path)


def test_a_key_that_is_said_twice(written) -> None:
    path = written("goal: {state: [1]}\nterms: {}\ngoal: {state: [2]}")
    assert f"{path}:3: goal stands here and in line 1" in refused(path)


def test_a_file_that_is_not_there_or_no_text(tmp_path) -> None:
    assert "cannot be read" in refused(tmp_path / "no.yaml")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00\x01")
    assert "cannot be read" in refused(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "goal: !!python/object/apply:os.system ['touch ran']",
        "goal: !!python/name:os.system ''",
        "? !!python/object/new:os.system [x]\n: 1",
    ],
)
def test_nothing_in_a_file_is_executed(written, text, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "not valid YAML" in refused(written(text))
    assert not (tmp_path / "ran").exists()
