"""Choosing how to compute a world model: the fastest kind that agrees, and times remembered."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from forethought.perception import MLPEncoderConfig, Normaliser, PerceptionConfig
from forethought.types import ActionSpec, ArraySpec, ForethoughtError, Signature
from forethought.world_model import ResidualMLPConfig, WorldModel, WorldModelConfig
from forethought.world_model.tuning import (
    EXACT_ERROR,
    Agreement,
    Judge,
    Kind,
    Limits,
    Memory,
    cache_folder,
    tune,
)

SIGNATURE = Signature(
    observation={
        "observation.images.top": ArraySpec(shape=(4, 4, 3), dtype="uint8"),
        "observation.state": ArraySpec(shape=(3,), dtype="float32"),
    },
    action=ActionSpec(dim=2, low=(-1.0, -1.0), high=(1.0, 1.0)),
    rate_hz=10.0,
)
LIMITS = Limits(elites=0.9, error=0.02)


def world_model() -> WorldModel:
    torch.manual_seed(0)
    config = WorldModelConfig(
        perception=PerceptionConfig(encoders={"observation.state": MLPEncoderConfig(width=6)}),
        predictor=ResidualMLPConfig(hidden=(8,)),
    )
    same = {
        "observation.state": Normaliser([0.0] * 3, [1.0] * 3),
        "action": Normaliser([0.0] * 2, [1.0] * 2),
    }
    model = WorldModel(config, SIGNATURE, same)
    for parameter in model.predictor.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture
def model() -> WorldModel:
    return world_model()


@pytest.fixture
def judge(model) -> Judge:
    return Judge(model, candidates=40, horizon=3)


def changed(model: WorldModel, share: float) -> WorldModel:
    """Whose dynamics are off by a share."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.predictor.parameters():
            parameter.mul_(1 + share)
    return twin


# ------------------------------------------------------------------------------- agreement


def energies(judge: Judge, model: WorldModel) -> torch.Tensor:
    """How far each candidate ends from each goal, squared."""
    present = model.encode(judge.observation)
    ends = model.imagine(present, judge.actions).latents[0, :, -1].flatten(1)
    return torch.stack([((ends - goal.flatten()) ** 2).sum(1) for goal in judge.goals])


@pytest.mark.parametrize("share", [0.001, 0.1, 1.0])
@torch.no_grad()
def test_agreement_is_of_energies_and_of_the_best_tenth(model, judge, share) -> None:
    """Their error relative to their size, and how many of the best are among the best."""
    other = changed(model, share)
    expected, found = energies(judge, model), energies(judge, other)
    error = ((found - expected) ** 2).mean().sqrt() / (expected**2).mean().sqrt()
    kept = [
        len(set(one.argsort()[:4].tolist()) & set(two.argsort()[:4].tolist())) / 4
        for one, two in zip(found, expected, strict=True)
    ]
    agreement = judge.agreement(other)
    assert agreement.error == pytest.approx(float(error), rel=1e-3)
    assert agreement.elites == pytest.approx(sum(kept) / len(kept))


def test_a_world_model_agrees_with_itself(model, judge) -> None:
    assert judge.agreement(model) == Agreement(error=0.0, elites=1.0)
    assert judge.agreement(changed(model, math.nan)).error != 0


def test_candidates_are_possible_actions_and_the_same_each_time(model, judge) -> None:
    """Of the kind that the world takes, from an observation that its sensors might give."""
    again = Judge(model, candidates=40, horizon=3)
    assert torch.equal(again.actions, judge.actions) and judge.actions.shape == (1, 40, 3, 2)
    space = model.action_space
    assert torch.equal(space.project(judge.actions), judge.actions)
    assert float(judge.actions.std()) == pytest.approx(2 / 12**0.5, rel=0.1)
    assert set(judge.observation) == {"observation.state"}
    assert judge.observation["observation.state"].shape == (1, 1, 3)


def test_whether_actions_make_a_difference_is_seen(model, judge) -> None:
    with torch.no_grad():
        model.predictor.action_in.weight.zero_()
        model.predictor.linear_action.weight.zero_()
    assert judge.can_tell and not Judge(model, candidates=40, horizon=3).can_tell


def test_what_is_measured_takes_as_long_as_it_takes(model, judge, monkeypatch) -> None:
    """The least of several times; the first, in which things are made ready, does not count."""
    now, took = [0.0], iter([1.0, 3.0, 2.0, 4.0])
    monkeypatch.setattr("forethought.world_model.tuning.time.perf_counter", lambda: now[0])
    imagine = model.imagine

    def slow(*args, **kwargs):
        now[0] += next(took)
        return imagine(*args, **kwargs)

    monkeypatch.setattr(model, "imagine", slow)
    assert judge.seconds({"it": model}) == {"it": 2.0}


# ------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("exact", "agreement", "objection"),
    [
        (False, Agreement(error=0.02, elites=0.9), ""),
        (False, Agreement(error=0.021, elites=1.0), "off by 2.0e-02"),
        (False, Agreement(error=0.0, elites=0.89), "90.0% of elites"),
        (False, Agreement(error=math.nan, elites=1.0), "off by"),
        (True, Agreement(error=EXACT_ERROR, elites=0.9), ""),
        (True, Agreement(error=2 * EXACT_ERROR, elites=1.0), "off by 1.0e-04"),
    ],
)
def test_limits_are_kept(judge, exact, agreement, objection) -> None:
    """What is exact has to be, however much is allowed; no number is no agreement."""
    kind = Kind(name="it", exact=exact, build=world_model)
    said = LIMITS.objection(kind, judge, agreement)
    assert objection in said and bool(said) == bool(objection)


def test_a_smaller_error_may_be_asked_of_what_is_exact(judge) -> None:
    kind = Kind(name="it", exact=True, build=world_model)
    found = Agreement(error=1e-6, elites=1.0)
    assert replace(LIMITS, error=1e-7).objection(kind, judge, found)
    assert not LIMITS.objection(kind, judge, found)


# ------------------------------------------------------------------------------- choice


def refuse() -> WorldModel:
    raise ForethoughtError("not on this machine.")


def kinds(model: WorldModel, **others: float | None) -> list[Kind]:
    """The reference, and others that are off by so much; None for what cannot be built."""

    def build(share: float | None):
        return refuse if share is None else lambda: changed(model, share)

    made = [Kind(name=name, exact=False, build=build(share)) for name, share in others.items()]
    return [Kind(name="reference", exact=True, build=lambda: model), *made]


def timed(judge: Judge, monkeypatch, **seconds: float) -> None:
    """As if the kinds took so long."""

    def known(models: Mapping[str, WorldModel]) -> dict[str, float]:
        return {name: seconds[name] for name in models}

    monkeypatch.setattr(judge, "seconds", known)


def test_the_fastest_that_agrees_is_chosen(model, judge, monkeypatch) -> None:
    """Faster ones are refused with a reason, slower ones not looked at, all are told in order."""
    timed(judge, monkeypatch, reference=4.0, wrong=1.0, right=2.0, slow=3.0)
    offered = kinds(model, slow=0.0, wrong=1.0, absent=None, right=1e-4)
    chosen, report = tune(offered, judge, LIMITS, None)
    assert report.chosen == "right" and not report.remembered
    assert [trial.name for trial in report.trials] == [
        "wrong",
        "right",
        "slow",
        "reference",
        "absent",
    ]
    wrong, right, slow, reference, absent = report.trials
    assert "may be off" in wrong.refused and wrong.agreement.error > LIMITS.error
    assert not right.refused and right.agreement == judge.agreement(chosen)
    assert slow.agreement is None and not slow.refused and reference.agreement is None
    assert absent.seconds == math.inf and absent.refused == "not on this machine."
    lines = str(report).splitlines()
    assert lines[0] == "right was chosen" and len(lines) == 6
    assert "1000.0 ms" in lines[1] and wrong.refused in lines[1]


@pytest.mark.parametrize("share", [math.nan, math.inf, 0.5])
def test_where_nothing_agrees_the_reference_is_left(model, judge, monkeypatch, share) -> None:
    timed(judge, monkeypatch, reference=2.0, wrong=1.0)
    chosen, report = tune(kinds(model, wrong=share), judge, LIMITS, None)
    assert chosen is model and report.chosen == "reference"


@pytest.mark.parametrize("weight", [math.nan, 0.0])
def test_the_reference_is_never_refused(model, monkeypatch, weight) -> None:
    """Not where its energies are no numbers, nor where all of them are nothing."""
    with torch.no_grad():
        for parameter in model.predictor.parameters():
            parameter.fill_(weight)
    judge = Judge(model, candidates=40, horizon=3)
    timed(judge, monkeypatch, reference=2.0, other=1.0)
    chosen, report = tune(kinds(model, other=0.0), judge, LIMITS, None)
    assert chosen is model and report.chosen == "reference"
    assert "no difference" in report.trials[0].refused


# ------------------------------------------------------------------------------- memory

MAKE = {"device": "a fine one", "candidates": 40}
SECONDS = {"as trained": 0.25, "packed": 0.125, "compiled": math.inf}


def test_times_are_written_and_read_back(tmp_path) -> None:
    """Also of what cannot be used, by whoever asks for some of them."""
    Memory(MAKE, tmp_path / "new" / "folder").write(SECONDS)
    memory = Memory(MAKE, tmp_path / "new" / "folder")
    assert memory.read(list(SECONDS)) == SECONDS
    assert memory.read(["packed"]) == {"packed": 0.125}
    assert memory.read(["packed", "unheard of"]) is None
    assert [path.name for path in memory.path.parent.iterdir()] == [memory.path.name]


def test_another_make_has_other_times(tmp_path, monkeypatch) -> None:
    """And so has the same one with another number of threads, though files be copied."""
    memory = Memory(MAKE, tmp_path)
    memory.write(SECONDS)
    other = Memory({**MAKE, "candidates": 50}, tmp_path)
    assert other.path != memory.path and other.read(list(SECONDS)) is None
    other.path.write_bytes(memory.path.read_bytes())
    assert other.read(list(SECONDS)) is None
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert Memory(MAKE, tmp_path).read(list(SECONDS)) is None


def damaged(path: Path) -> dict[str, bytes]:
    whole = path.read_bytes()
    content = json.loads(whole)
    key = {"key": content["key"]}
    return {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "binary": bytes(range(256)),
        "a list": b"[1, 2]",
        "no times": json.dumps(key).encode(),
        "times are a list": json.dumps({**key, "seconds": [1, 2, 3]}).encode(),
        "times are words": json.dumps({**key, "seconds": dict.fromkeys(SECONDS, "?")}).encode(),
        "another key": json.dumps({**content, "key": {}}).encode(),
    }


def test_what_is_damaged_is_not_believed(tmp_path) -> None:
    memory = Memory(MAKE, tmp_path)
    memory.write(SECONDS)
    for what, content in damaged(memory.path).items():
        memory.path.write_bytes(content)
        assert memory.read(list(SECONDS)) is None, what
        memory.write(SECONDS)
        assert memory.read(list(SECONDS)) == SECONDS, what


@pytest.mark.parametrize("blocked", ["folder", "file"])
def test_where_nothing_can_be_written_a_warning_says_so(tmp_path, blocked) -> None:
    """What is in the way, and what to do; nothing is left behind."""
    memory = Memory(MAKE, tmp_path / "place" / "deeper")
    if blocked == "folder":
        (tmp_path / "place").write_text("a file")
    else:
        memory.path.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.warns(UserWarning, match="XDG_CACHE_HOME") as told:
        memory.write(SECONDS)
    assert str(memory.path) in str(told[0].message)
    assert sorted(tmp_path.rglob("*")) == before and memory.read(list(SECONDS)) is None


def test_times_lie_in_the_cache_of_the_user(monkeypatch, tmp_path) -> None:
    """Where XDG_CACHE_HOME says, unless that is no absolute path, which it must be."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "forethought" / "speed"
    for elsewhere in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", elsewhere)
        assert cache_folder() == tmp_path / "home" / ".cache" / "forethought" / "speed"


def test_remembered_times_are_not_measured_again(model, judge, monkeypatch, tmp_path) -> None:
    """But agreement, which belongs to the weights, is looked at each time."""
    memory, offered = Memory(MAKE, tmp_path), kinds(model, other=1e-4, absent=None)
    timed(judge, monkeypatch, reference=2.0, other=1.0)
    _, first = tune(offered, judge, LIMITS, memory)
    monkeypatch.setattr(judge, "seconds", None)
    _, second = tune(offered, judge, LIMITS, memory)
    assert (first.remembered, second.remembered) == (False, True)
    assert replace(second, remembered=False) == first
    _, third = tune(kinds(model, other=1.0, absent=None), judge, LIMITS, memory)
    assert third.remembered and third.chosen == "reference"


def test_what_could_not_be_used_is_not_used_unmeasured(model, judge, monkeypatch, tmp_path) -> None:
    """Where it can be by now, the report says how it may be tried."""
    memory = Memory(MAKE, tmp_path)
    timed(judge, monkeypatch, reference=2.0)
    tune(kinds(model, other=None), judge, LIMITS, memory)
    _, report = tune(kinds(model, other=0.0), judge, LIMITS, memory)
    assert report.remembered and report.chosen == "reference"
    assert "delete the times" in report.trials[-1].refused
