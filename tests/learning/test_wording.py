"""Goals in words: sentences find the states they are said of, and agents go where they say."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from forethought import data
from forethought.actor import CEM
from forethought.cli import main
from forethought.configurator import (
    Leg,
    Search,
    SequencedAgent,
    ShownGoal,
    Task,
    check_task,
    read_task,
    recorded_of,
)
from forethought.cost import LatentDistance, Leave, goal, keep_near, leave
from forethought.cost.goal_reader import GoalReaderConfig
from forethought.cost.shown import named_goal
from forethought.data import Dataset
from forethought.learning import wording
from forethought.learning.trainer import OptimiserConfig
from forethought.learning.wording import WordsTrainingConfig, contrast, learn_words
from forethought.model import Model
from forethought.senses import sight_of
from forethought.types import STATE, Episode, ForethoughtError
from point import SIGNATURE, Point, point_agent, point_model

UP, DOWN = ("up", "above"), ("down", "below")
LEFT, RIGHT = ("left", "west"), ("right", "east")
QUARTERS = {
    (sx, sy): (LEFT, RIGHT)[sx > 0] + (UP, DOWN)[sy > 0] for sx in (-1, 1) for sy in (-1, 1)
}
NEVER = ("east", "above")
"""Words that no recording says together."""
CONFIG = WordsTrainingConfig(
    optimiser=OptimiserConfig(num_steps=60, batch_size=64, learning_rate=1e-2),
    reader=GoalReaderConfig(hidden=16, shared=8, looking=(32,), remembered=300),
)


def sentence(generator: np.random.Generator, place: np.ndarray) -> str:
    words = QUARTERS[(1 if place[0] > 0 else -1, 1 if place[1] > 0 else -1)]
    while True:
        side, height = words[generator.integers(2)], words[2 + generator.integers(2)]
        if (side, height) != NEVER:
            return f"go {generator.choice(['to the', 'far'])} {side}, {height}"


def written(path: Path, *, episodes: int = 240, told: float = 0.8, same: bool = False) -> Dataset:
    """Points that end anywhere, and what is said of it."""
    generator = np.random.default_rng(0)
    with data.store.create(path, SIGNATURE) as writer:
        made = []
        for _ in range(episodes):
            end = generator.uniform(-6, 6, 2)
            steps = generator.uniform(-1, 1, (6, 2)).astype(np.float32)
            places = (end - steps[::-1].cumsum(0)[::-1]).astype(np.float32)
            places[-1] = end
            text = sentence(generator, end) if generator.random() < told else ""
            text = "go" if same and text else text
            made.append(Episode(observation={STATE: places}, action=steps, task=text))
        writer.append(made)
    return data.open(path)


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> Dataset:
    return written(tmp_path_factory.mktemp("said") / "said")


@pytest.fixture(scope="module")
def untaught() -> Model:
    return point_model()


@pytest.fixture(scope="module")
def folder(untaught, said, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("words") / "run"
    learn_words(untaught, said, out, config=CONFIG, visible=False)
    return out


@pytest.fixture
def taught(folder) -> Model:
    """The model with its words, as it was saved; what it perceives is the place itself again."""
    model = Model.from_pretrained(folder)
    exact = point_model()
    model.world_model.perception.forward = exact.world_model.perception.forward
    model.mlp_probe.forward = exact.mlp_probe.forward
    return model


# ------------------------------------------------------------------------------- the loss


def test_the_loss_in_closed_form() -> None:
    """Own states alike by a, others by 0: of n, log(1 + (n - 1) exp(-a))."""
    n, a = 6, 2.5
    found = contrast(a * torch.eye(n), torch.eye(n, dtype=torch.bool))
    assert float(found) == pytest.approx(math.log(1 + (n - 1) * math.exp(-a)), rel=1e-6)


def test_the_same_words_are_not_told_apart() -> None:
    """The least that can be come to is the entropy of who said them, and there the slope is 0."""
    likeness = torch.zeros(4, 4, requires_grad=True)
    loss = contrast(likeness, torch.ones(4, 4, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(4))
    assert likeness.grad is not None and float(likeness.grad.abs().max()) < 1e-7


def test_neither_the_order_nor_who_asks_matters() -> None:
    generator = torch.Generator().manual_seed(0)
    likeness = torch.randn(7, 7, generator=generator)
    same = torch.eye(7, dtype=torch.bool)
    order = torch.randperm(7, generator=generator)
    torch.testing.assert_close(contrast(likeness, same), contrast(likeness.T, same))
    torch.testing.assert_close(
        contrast(likeness, same), contrast(likeness[order][:, order], same[order][:, order])
    )


# ------------------------------------------------------------------------------- learning


def test_held_out_states_are_found_by_their_words(folder) -> None:
    """There are four kinds of places, so that a quarter of the others come before at random."""
    found = json.loads((folder / "train.json").read_text())["words"]
    assert found["sentences"] + found["held_out"] < 240 and found["held_out"] > 10
    assert found["before"] < 0.25 < found["chance"]["before"]
    assert found["first"] > found["chance"]["first"]


def test_words_that_were_never_said_together_mean_their_place(taught) -> None:
    (place,) = sight_of(taught).meant(["Go to the EAST, above!"])[:, 0].tolist()
    assert place[0] > 0 > place[1]


def test_every_sentence_of_several_has_its_own_place(taught) -> None:
    sight = sight_of(taught)
    sentences = ["go far left, up", "go far right, down"]
    both = sight.meant(sentences)
    alone = torch.cat([sight.meant([one]) for one in sentences])
    torch.testing.assert_close(both, alone)
    assert both[0, 0, 0] < 0 < both[1, 0, 0]


def test_what_is_saved_is_what_was_learned(untaught, said, tmp_path) -> None:
    made = learn_words(untaught, said, tmp_path / "run", config=CONFIG, visible=False)
    read = Model.from_pretrained(tmp_path / "run")
    assert made.words is not None and read.words is not None
    assert read.config == made.config
    for name, value in made.words.state_dict().items():
        torch.testing.assert_close(value, read.words.state_dict()[name], rtol=0, atol=0)
    assert read.calibration is not None


class Stop(Exception):
    """Stands for a kill."""


def test_learning_that_is_cut_short_ends_as_if_it_never_were(
    untaught, said, folder, tmp_path, monkeypatch
) -> None:
    original, calls = wording.WordsStage.loss, {"count": 0}

    def counted(self, generator):
        calls["count"] += 1
        if calls["count"] == 20:
            raise Stop
        return original(self, generator)

    with monkeypatch.context() as patch:
        patch.setattr(wording.WordsStage, "loss", counted)
        with pytest.raises(Stop):
            learn_words(
                untaught,
                said,
                tmp_path / "cut",
                config=CONFIG,
                visible=False,
                checkpoint_s=0.0,
            )
    with pytest.raises(ForethoughtError, match="--resume"):
        learn_words(untaught, said, tmp_path / "cut", config=CONFIG, visible=False)
    learn_words(untaught, said, tmp_path / "cut", config=CONFIG, resume=True, visible=False)
    whole, cut = (Model.from_pretrained(one).state_dict() for one in (folder, tmp_path / "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_nothing_or_all_the_same_is_said(tmp_path) -> None:
    silent = written(tmp_path / "silent", episodes=20, told=0.0)
    with pytest.raises(ForethoughtError, match="say nothing in words"):
        learn_words(point_model(), silent, tmp_path / "a", visible=False)
    same = written(tmp_path / "same", episodes=20, same=True)
    with pytest.raises(ForethoughtError, match="say all the same in words"):
        learn_words(point_model(), same, tmp_path / "b", visible=False)
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


@pytest.mark.parametrize("wrong", [{"last": 0}, {"held_out": 1.0}, {"dropped": 1.0}])
def test_settings_that_cannot_be(wrong) -> None:
    with pytest.raises(ForethoughtError):
        replace(CONFIG, **wrong)


# ------------------------------------------------------------------------------- refusals


def test_unknown_words_are_named_with_those_near_them(taught) -> None:
    with pytest.raises(ForethoughtError) as error:
        sight_of(taught).meant(["go to the rihgt, abov, please"])
    said = str(error.value)
    assert "'rihgt' (near it: 'right'" in said and "'above'" in said and "'please'" in said
    assert "'the' (" not in said


@pytest.mark.parametrize("text", ["", " ,. ", "go to the far left right up down above"])
def test_as_many_words_as_recordings_say(taught, text) -> None:
    with pytest.raises(ForethoughtError, match="say it in 1 to 5 words"):
        sight_of(taught).meant([text])


def test_what_is_like_no_state_is_refused(taught) -> None:
    assert taught.words is not None
    taught.words.least.fill_(1.1)
    with pytest.raises(ForethoughtError, match="no recorded state is like the goal 'go far left"):
        sight_of(taught).meant(["go far left, up"])


def test_a_model_without_words_names_the_command() -> None:
    with pytest.raises(ForethoughtError, match="forethought words RUN --data DATA"):
        point_agent(point_model(), (1.0, 1.0)).seek(
            goal(words="go far left") + 0.0 * keep_near(words="go", within=1.0)
        )


def test_words_stand_alone() -> None:
    with pytest.raises(ForethoughtError, match="words stand for all"):
        goal(words="go far left", state=np.zeros(2))


# ------------------------------------------------------------------------------- acting


def walk(agent, steps: int) -> np.ndarray:
    point, path = Point(), []
    for _ in range(steps):
        point.push(agent.act(point.observe()).action)
        path.append(point.place)
    return np.stack(path)


def test_an_agent_goes_where_words_say(taught) -> None:
    agent = point_agent(taught, (0.0, 0.0))
    agent.seek(goal(words="go to the left, below", distance=LatentDistance()))
    (place,) = sight_of(taught).meant(["go to the left, below"])[:, 0].numpy()
    assert place[0] < 0 < place[1]
    assert np.linalg.norm(walk(agent, 20)[-1] - place) < 0.7


def test_it_is_sought_as_a_goal_that_is_shown(taught) -> None:
    """The same energy as of the state that the words stand for."""
    sight = sight_of(taught)
    (place,) = sight.meant(["go far right, up"])[:, 0].numpy()
    states = torch.randn(1, 5, 3, 1, 2, generator=torch.Generator().manual_seed(0))
    for make in (goal, lambda **shown: leave(beyond=2.0, **shown)):
        told, shown = make(words="go far right, up"), make(state=place)
        assert "words" in told.measures or isinstance(told, Leave)
        torch.testing.assert_close(
            told.bind_states(sight)(states), shown.bind_states(sight)(states)
        )


def test_goals_in_words_one_after_another(taught) -> None:
    asked = ["go far left, up", "go far right, down"]
    shown = [ShownGoal(observation=named_goal(words=words)) for words in asked]
    task = Task(
        goal=shown[0],
        legs=tuple(Leg(goal=one, within=0.3) for one in shown),
        search=Search(planner=CEM(num_samples=96, num_iterations=3, num_elites=8), horizon=3),
    )
    agent = SequencedAgent(task, taught)
    path = walk(agent, 60)
    places = sight_of(taught).meant(asked)[:, 0].numpy()
    first, last = (np.linalg.norm(path - place, axis=1) for place in places)
    assert agent.done and first.argmin() < last.argmin() and max(first.min(), last.min()) < 0.6


# ------------------------------------------------------------------------------- task files


def test_a_task_file_asks_in_words(tmp_path, taught, said) -> None:
    path = tmp_path / "task.yaml"
    path.write_text("goal: {words: go far left up}\n")
    task = read_task(path)
    recorded = recorded_of(taught, said, rows=200)
    assert check_task(task, taught, recorded).sound
    agent = task.agent(taught)
    assert "words" in str(agent.cost)
    path.write_text("goal: {words: go far lefd up}\n")
    (finding,) = check_task(read_task(path), taught, recorded).findings
    assert "'lefd' (near it: 'left'" in finding.found and finding.about == "goal"
    (finding,) = check_task(task, point_model(), recorded).findings
    assert "forethought words RUN" in finding.found


def test_the_command_adds_the_part(said, tmp_path, capsys) -> None:
    point_model().save_pretrained(tmp_path / "run")
    words = ["words", str(tmp_path / "run"), "--data", str(said.path), "--steps", "3", "--json"]
    assert main([*words, "--out", str(tmp_path / "told")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["words"] == 12 and Model.from_pretrained(tmp_path / "told").words is not None
    assert main([*words, "--out", str(tmp_path / "told")]) == 2
    assert "--resume" in json.loads(capsys.readouterr().out)["error"]
