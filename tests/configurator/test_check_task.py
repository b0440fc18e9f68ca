"""Each fault of a task is found, and nothing is found of a sound one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from open_field import ANYWHERE, CALIBRATION, calibration, found, report, spot, view
from PIL import Image

from forethought.cli import main
from forethought.configurator import (
    Following,
    Gating,
    Recalling,
    ShownGoal,
    Task,
    check_task,
    recorded_of,
)
from forethought.configurator.measures import contradiction, goal_support
from forethought.cost import (
    effort,
    guardrail,
    keep_away,
    keep_out,
    limit,
    rate_limit,
    region_goal,
    smoothness,
    term,
)
from forethought.cost.shown import named_goal
from forethought.data.check import Severity
from forethought.senses import sight_of

CAMERA = "observation.images.top"


def at(x: float, y: float = 5.0) -> ShownGoal:
    return ShownGoal(observation=named_goal(state=np.array([x, y], np.float32)))


def guarded(*rails, goal=ANYWHERE) -> Task:
    return Task(goal=goal, guardrails=rails)


# ------------------------------------------------------------------------ sound tasks


@pytest.mark.parametrize("goal", [ANYWHERE, at(5.0), at(0.5, 9.5)])
def test_nothing_is_found_of_a_sound_task(goal) -> None:
    rails = (
        guardrail("position.x", below=8.0, risk=0.01),
        guardrail("step.x", below=0.9),
        guardrail(rate_limit("position.y", at_most=0.95)),
        guardrail(keep_away(("position.x", "position.y"), (2.0, 2.0), distance=1.5)),
        guardrail(keep_out({"position.x": (6.5, 7.5), "position.y": (None, 2.0)})),
    )
    task = Task(goal=goal, terms=(0.1 * effort(), smoothness()), guardrails=rails)
    assert found(task) == []


# ------------------------------------------------------------------------ what cannot be read


def test_an_unknown_quantity_is_named_with_the_closest_that_there_is() -> None:
    task = guarded(guardrail("positon.x", below=5.0, name="typo"))
    (finding,) = report(task).findings
    assert (finding.severity.value, finding.about) == ("error", "typo")
    assert "'height', 'position.x', 'position.y'" in finding.found
    assert "Did you mean 'position.x'?" in finding.remedy


def test_a_goal_about_an_unknown_quantity() -> None:
    whole = report(Task(goal=region_goal({"speed": (1.0, 2.0)})))
    assert ("error", "goal") in [(f.severity.value, f.about) for f in whole.findings]
    assert whole.goal is None


def test_the_other_guardrails_are_still_looked_at() -> None:
    rails = (guardrail("speed", below=1.0), guardrail("position.x", below=-1.0, name="left"))
    assert ("error", "left") in found(guarded(*rails))


# ------------------------------------------------------------------------ terms


@pytest.mark.parametrize("value", [0.0, 1e-6, -3.0, 1e6])
def test_a_term_that_never_varies_is_found(value: float) -> None:
    flat = term("flat", lambda imagined: torch.full(imagined.actions.shape[:3], value))
    assert found(Task(goal=ANYWHERE), flat) == [("warning", "flat")]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_what_varies_is_left_alone_whatever_its_unit(scale: float) -> None:
    steers = term("steers", lambda imagined: scale * imagined.latents[:, :, 1:, 0, 0])
    assert found(Task(goal=ANYWHERE), steers) == []


def test_a_goal_that_is_met_everywhere_steers_nothing() -> None:
    assert found(Task(goal=region_goal({"position.x": (-1.0, 11.0)}))) == [("error", "region")]


def test_nan_of_a_term_of_ones_own_is_found_by_name() -> None:
    root = term("root", lambda imagined: (imagined.latents[:, :, 1:, 0, 0] - 5).sqrt())
    (finding,) = report(Task(goal=ANYWHERE), root).findings
    assert finding.severity.value == "error" and finding.about == "root"
    assert "NaN" in finding.found and "%" in finding.found


def test_a_term_that_cannot_be_computed_says_why() -> None:
    wrong = term("wrong", lambda imagined: imagined.actions)
    (finding,) = report(Task(goal=ANYWHERE), wrong).findings
    assert finding.about == "wrong" and "gave shape" in finding.found


# ------------------------------------------------------------------------ one guardrail


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_a_guardrail_that_data_meet_is_left_alone(share: float) -> None:
    assert found(guarded(guardrail("position.x", above=spot(share) - 0.3), goal=at(9.9))) == []


def test_a_guardrail_that_data_always_violate_is_an_error() -> None:
    for limits in ({"below": -0.1}, {"above": 10.1}, {"below": -1000.0}):
        assert found(guarded(guardrail("position.x", name="rail", **limits))) == [("error", "rail")]


def test_a_guardrail_that_data_nearly_always_violate_is_a_warning() -> None:
    task = guarded(guardrail("position.x", above=spot(0.97), name="rail"), goal=at(10.0))
    assert found(task)[0] == ("warning", "rail")


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_a_guardrail_that_data_never_come_near_is_a_warning_in_any_unit(unit: float) -> None:
    far = guardrail("position.x", below=10 + 1000 * unit, name="rail")
    near = guardrail("position.x", below=10.0, name="rail")
    assert found(guarded(near)) == []
    assert found(guarded(far)) == ([("warning", "rail")] if unit >= 1.0 else [])


@pytest.mark.parametrize("rollouts", [59, 200, 999])
def test_a_risk_must_be_told_from_the_rollouts_that_there_are(rollouts: int) -> None:
    """As many as needed for the risk to be kept in nineteen of twenty calibrations."""
    told, least = view(calibration(rollouts=rollouts)), 1 - 0.05 ** (1 / rollouts)
    enough = guardrail("position.x", below=8.0, risk=1.001 * least, name="rail")
    assert found(guarded(enough), view=told) == []
    too_small = guardrail("position.x", below=8.0, risk=0.5 * least, name="rail")
    (finding,) = report(guarded(too_small), view=told).findings
    assert (finding.severity.value, finding.about) == ("error", "rail")
    assert f"there are {rollouts}" in finding.found
    needed = int(finding.found.split("takes ")[1].split(" held-out")[0])
    assert found(guarded(too_small), view=view(calibration(rollouts=needed))) == []
    assert found(guarded(too_small), view=view(calibration(rollouts=needed - 1))) != []
    advised = float(finding.remedy.split("risk of ")[1].split(" or more")[0])
    again = guarded(guardrail("position.x", below=8.0, risk=advised, name="rail"))
    assert found(again, view=told) == []


def test_a_widening_that_leaves_no_room_is_found() -> None:
    """The same guardrail is sound for a model that foresees well."""
    task = guarded(guardrail("position.x", below=5.0, risk=0.01, name="rail"), goal=at(1.0))
    assert found(task) == []
    assert ("error", "rail") in found(task, view=view(calibration(wrong=5.0)))
    standing = report(task, view=view(calibration(wrong=5.0))).guardrails[0]
    assert standing.left == 0.0 and 0.4 < standing.violated < 0.6


def test_a_model_that_was_never_calibrated() -> None:
    (finding,) = report(guarded(guardrail("position.x", below=8.0)), view=view(None)).findings
    assert finding.severity.value == "error" and "forethought calibrate" in finding.remedy
    assert found(Task(goal=ANYWHERE), view=view(None)) == []


def test_a_planner_that_looks_further_than_was_calibrated() -> None:
    task = guarded(guardrail("position.x", below=8.0))
    assert found(task, view=view(horizon=CALIBRATION.horizon)) == []
    assert found(task, view=view(horizon=CALIBRATION.horizon + 1)) == [("error", "planner")]
    assert found(task, view=view(horizon=None)) == []


# ------------------------------------------------------------------------ several guardrails


def test_guardrails_that_contradict_each_other_are_named_and_no_others() -> None:
    left, right = guardrail("position.x", below=4.0), guardrail("position.x", above=6.0)
    bystander = guardrail("position.y", below=8.0)
    task = guarded(left, bystander, right, goal=at(5.0, 5.0))
    assert f"{left.name} and {right.name}" in [about for _, about in found(task)]
    for pair in ((left, bystander), (right, bystander)):
        assert not [about for _, about in found(guarded(*pair)) if " and " in about]


def test_guardrails_that_only_contradict_once_widened() -> None:
    rails = (guardrail("position.x", below=5.2), guardrail("position.x", above=4.8))
    finding = next(
        f
        for f in report(guarded(*rails), view=view(calibration(wrong=0.5))).findings
        if " and " in f.about
    )
    assert "once widened" in finding.found
    task = guarded(*rails, goal=at(5.0))
    assert not [a for _, a in found(task, view=view(calibration(wrong=1e-3))) if " and " in a]


def test_a_contradiction_has_none_that_could_be_left_out(generator) -> None:
    """Of random conditions: what is named is met by no row, and by some without any one of it."""
    clashes = 0
    for _ in range(200):
        met = torch.rand(12, 5, generator=generator) < 0.6
        clash = list(contradiction(met))
        assert bool(met.all(1).any()) == (not clash)
        if not clash or not met.any(0).all():
            continue
        clashes += 1
        assert not met[:, clash].all(1).any()
        for one in clash:
            rest = [other for other in clash if other != one]
            assert met[:, rest].all(1).any()
    assert clashes > 50


# ------------------------------------------------------------------------ goals


def test_goals_like_the_data_are_within_its_support() -> None:
    places = 10 * torch.rand(100, 2, generator=torch.Generator().manual_seed(9))
    outside = [goal_support(at(*place), view()).outside for place in places.tolist()]
    assert np.mean(outside) < 0.03


@pytest.mark.parametrize("place", [(15.0, 5.0), (-4.0, 5.0), (5.0, 1000.0)])
def test_goals_unlike_the_data_are_found(place) -> None:
    assert found(Task(goal=at(*place))) == [("error", "goal")]
    x, y = place
    region = region_goal({"position.x": (x, x), "position.y": (y, y)})
    assert found(Task(goal=region)) == [("error", "goal")]


def test_a_region_outside_tells_what_was_recorded() -> None:
    task = Task(goal=region_goal({"position.x": (20.0, None), "position.y": (2.0, 3.0)}))
    (finding,) = report(task).findings
    assert "position.x was recorded from" in finding.found
    assert "position.y" not in finding.found


def test_a_goal_that_a_guardrail_forbids() -> None:
    rail = guardrail("position.x", below=5.0, risk=0.05, name="edge")
    assert found(guarded(rail, goal=at(2.0))) == []
    assert found(guarded(rail, goal=at(4.99))) == [("warning", "goal")]
    assert found(guarded(rail, goal=at(5.01))) == [("error", "goal")]
    (finding,) = report(guarded(rail, goal=at(8.0))).findings
    assert "violates the guardrail 'edge' by 3" in finding.found


def test_a_region_conflicts_only_where_all_of_it_is_forbidden() -> None:
    rail = guardrail("position.x", below=5.0)
    free = {"position.y": (2.0, 8.0)}
    assert found(guarded(rail, goal=region_goal({"position.x": (3.0, 9.0), **free}))) == []
    conflict = found(guarded(rail, goal=region_goal({"position.x": (6.0, 9.0), **free})))
    assert conflict == [("error", "goal")]


def test_guardrails_that_only_together_forbid_the_goal() -> None:
    rails = (
        guardrail("position.x", below=5.0),
        guardrail(limit("position.y", below=3.0) | limit("position.x", above=7.0)),
    )
    goal = region_goal({"position.x": (1.0, 9.0), "position.y": (5.0, 9.0)})
    (finding,) = report(guarded(*rails, goal=goal)).findings
    assert finding.about == "goal" and "no state at the goal meets" in finding.found


def test_what_may_be_done_does_not_conflict_with_where_to_be() -> None:
    rails = (guardrail("step.x", above=0.1), guardrail(rate_limit("position.x", at_most=0.9)))
    assert found(guarded(*rails, goal=at(5.0))) == []


# ------------------------------------------------------------------------ with a trained model


@pytest.fixture(scope="module")
def rooms(model, recorded):
    return recorded_of(model, recorded, rows=600)


def test_what_was_recorded_is_what_the_data_hold(model, recorded, rooms) -> None:
    """Quantities and actions belong to each other: places change by what was done."""
    assert rooms.names == ("position.x", "position.y", "wall.x", "door.y")
    block = model.config.world_model.action_block
    assert rooms.quantities.shape[1:] == (2 * block + 1, 4)
    moved = rooms.quantities[:, :, 0].diff(dim=1)
    done = rooms.actions.unflatten(2, (block, 2)).flatten(1, 2)[..., 0]
    assert float((moved - done).abs().median()) < 1e-4
    assert len(rooms.shown) == len(rooms.shown_quantities) > 100


def test_the_same_draw_gives_the_same_report(model, recorded, rooms) -> None:
    again = recorded_of(model, recorded, rows=600)
    task = Task(goal=region_goal({"position.x": (40.0, 60.0)}))
    first, second = (check_task(task, model, one).to_json() for one in (rooms, again))
    assert first == second


def test_pictures_of_other_episodes_are_within(model, recorded, rooms) -> None:
    held_out = model.notes["held_out_episodes"]
    pictures = recorded.frames(CAMERA, held_out, [5] * len(held_out))
    for picture in pictures:
        goal = ShownGoal(observation=named_goal(image=picture))
        support = check_task(Task(goal=goal), model, rooms).goal
        assert support is not None and not support.outside


def test_a_goal_of_another_size_is_a_finding(model, rooms) -> None:
    small = ShownGoal(observation=named_goal(image=np.zeros((8, 8, 3), np.uint8)))
    (finding,) = check_task(Task(goal=small), model, rooms).findings
    assert finding.severity.value == "error" and "8, 8, 3)" in finding.found


# ------------------------------------------------------------------------ the command


def ask(capsys, *words: object) -> tuple[int, dict]:
    code = main(["check-task", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def written(folder: Path, recorded, text: str) -> Path:
    Image.fromarray(recorded.frames(CAMERA, [3], [10])[0]).save(folder / "goal.png")
    path = folder / "task.yaml"
    path.write_text(text)
    return path


def test_exit_codes_say_what_there_is_to_mend(capsys, tmp_path, run, recorded) -> None:
    task = written(tmp_path, recorded, "goal: {image: goal.png}\nterms: {effort: 0.1}\n")
    code, answer = ask(capsys, task, run, "--data", recorded.path, "--rows", 400)
    assert (code, answer["sound"], answer["findings"]) == (0, True, [])
    rail = "guardrails: [{limit: {quantity: speed, below: 1}, name: slow}]\n"
    task.write_text(f"goal: {{image: goal.png}}\n{rail}")
    code, answer = ask(capsys, task, run, "--data", recorded.path, "--rows", 400)
    assert (code, answer["sound"]) == (1, False)
    assert [(f["severity"], f["about"]) for f in answer["findings"]] == [("error", "slow")]
    task.write_text("goal: {picture: goal.png}\n")
    code, answer = ask(capsys, task, run, "--data", recorded.path)
    assert code == 2 and "task.yaml:1: goal.picture" in answer["error"]
    assert ask(capsys, tmp_path / "no.yaml", run)[0] == 2


def test_a_run_whose_data_are_gone_asks_for_them(capsys, tmp_path, run, recorded) -> None:
    task = written(tmp_path, recorded, "goal: {image: goal.png}\n")
    assert ask(capsys, task, run, "--rows", 400)[0] == 0
    moved = tmp_path / "run"
    moved.mkdir()
    for name in ("config.json", "model.safetensors"):
        (moved / name).write_bytes((run / name).read_bytes())
    (moved / "run.json").write_text(json.dumps({"data": str(tmp_path / "gone")}))
    code, answer = ask(capsys, task, moved)
    assert code == 2 and "gone is not there" in answer["error"] and "--data" in answer["error"]


def test_the_table_for_people_names_every_finding(capsys, tmp_path, run, recorded) -> None:
    rails = "guardrails: [{limit: {quantity: position.x, below: 0}, name: '[bold] edge'}]\n"
    task = written(tmp_path, recorded, f"goal: {{image: goal.png}}\n{rails}")
    code = main(["check-task", str(task), str(run), "--data", str(recorded.path), "--rows", "400"])
    printed = capsys.readouterr().out
    assert code == 1
    assert "error: [bold] edge" in printed and "violated at 100.0%" in printed


def test_every_number_of_the_answer_is_json(model, rooms) -> None:
    task = guarded(
        guardrail("position.x", below=50.0), goal=region_goal({"position.x": (1.0, 40.0)})
    )
    text = json.dumps(check_task(task, model, rooms).to_json(), allow_nan=False)
    assert math.isfinite(json.loads(text)["goal"]["distance"])


def test_what_it_is_widened_by_is_what_an_agent_widens_it_by(model, rooms) -> None:
    rails = (guardrail("position.x", below=50.0), guardrail(keep_out({"position.y": (1.0, 9.0)})))
    task = guarded(*rails, goal=region_goal({"position.x": (1.0, 40.0)}))
    standing = check_task(task, model, rooms).guardrails
    used = model.calibration.bounds(rails, sight_of(model))
    for one in standing:
        assert one.widening is not None
        bound = used[one.guardrail.name].bounds.near[: len(one.widening)]
        torch.testing.assert_close(bound, one.widening)


def test_what_a_model_cannot_be_set_to_is_an_error(model, rooms, tmp_path) -> None:
    """A mode without a policy, a memory and recordings that are not there: each by its name."""
    task = Task(
        goal=ANYWHERE,
        mode=Gating(),
        memory=Recalling(path=tmp_path / "lived"),
        adaptation=Following(recorded=tmp_path / "nothing"),
    )
    told = {one.about: one for one in check_task(task, model, rooms).findings}
    assert {"mode", "memory", "adaptation"} <= told.keys()
    assert all(told[about].severity is Severity.ERROR for about in ("mode", "memory", "adaptation"))
    assert "forethought distill" in told["mode"].found
    assert str(tmp_path / "lived") in told["memory"].found
    assert str(tmp_path / "nothing") in told["adaptation"].found
