"""Actions inferred for clips: what can be told is told, and a resumed run tells the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_begin import config_of

from forethought.cli import main
from forethought.config import from_json, to_json
from forethought.data import Dataset
from forethought.data.windows import MixedSampler, WindowConfig, WindowSampler
from forethought.learning import (
    BeginFrom,
    InferredActionsConfig,
    OptimiserConfig,
    TrainConfig,
    pretrain,
    pretraining_of,
)
from forethought.learning.folder import SUMMARY
from forethought.learning.inferred_actions import ActionReader, InferringStage, infer
from forethought.learning.jepa import JEPAStage
from forethought.learning.latents import LatentEpisodes
from forethought.learning.metrics import JSONLines
from forethought.learning.train import INFERRED, train
from forethought.learning.trainer import Loop, LoopConfig, Progress
from forethought.types import ForethoughtError

pytestmark = pytest.mark.filterwarnings("ignore::forethought.learning.train.CollapseWarning")


def walks(count: int, length: int, seed: int) -> tuple[LatentEpisodes, torch.Tensor]:
    """Latents that are where one is, in a turned frame, and actions that are the steps taken."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.rand(count, length, 2, generator=generator) * 2 - 1
    places = torch.cat([torch.zeros(count, 1, 2), steps[:, :-1].cumsum(1)], dim=1)
    turned = places @ torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    offsets = torch.arange(count + 1) * length
    episodes = LatentEpisodes(latents=turned.reshape(-1, 1, 2), offsets=offsets, block=1)
    return episodes, steps.reshape(-1, 2)


def test_steps_are_told_from_places(tmp_path) -> None:
    """In another frame, from 20 episodes; but not what followed the last row."""
    config = InferredActionsConfig(noise=0.02)
    (episodes, actions), (others, true) = walks(20, 30, 0), walks(10, 30, 1)
    torch.manual_seed(0)
    reader = ActionReader(config, 2, 2)
    stage = InferringStage(config, reader, episodes, actions, others, true)
    loop = Loop(
        config=LoopConfig(seed=0, visible=False),
        learner=reader,
        folder=tmp_path,
        metrics=JSONLines(tmp_path / "metrics.jsonl"),
    )
    loop.run(stage, Progress(stage="", step=0, done=(), seconds={}))
    assert stage.explained() > 0.97
    told = infer(reader, others)
    last = others.offsets[1:] - 1
    known = torch.ones(len(told), dtype=torch.bool)
    known[last] = False
    assert (told - true)[known].abs().mean() < 0.1
    assert (told - true)[last].abs().mean() > 0.3


def test_nothing_is_seen_beyond_an_episode() -> None:
    """The change to before the first row, and from the last row on, is none."""
    config = InferredActionsConfig(before=1, after=2)
    episodes = LatentEpisodes(
        latents=torch.tensor([1.0, 2.0, 4.0, 50.0, 60.0]).reshape(5, 1, 1),
        offsets=torch.tensor([0, 3, 5]),
        block=1,
    )
    seen = ActionReader(config, 1, 1).around(episodes, torch.arange(5))
    assert seen.tolist() == [
        [0.0, 1.0, 2.0, 1.0],
        [1.0, 2.0, 0.0, 2.0],
        [2.0, 0.0, 0.0, 4.0],
        [0.0, 10.0, 0.0, 50.0],
        [10.0, 0.0, 0.0, 60.0],
    ]


def test_a_mixed_batch_has_its_share_of_each(recorded) -> None:
    """Clips of the first come first; each sampler's clips have the actions that it was given."""
    (camera,) = recorded.signature.cameras
    arrays = recorded.load(range(4), keys=[camera])
    config = WindowConfig(length=3, action_block=2)
    turned, told = -arrays.action, torch.full((len(arrays.action), 2), 7.0)
    first, second = (WindowSampler(arrays, config, actions=given) for given in (turned, told))
    batch = MixedSampler(first, second, share=0.25).sample(8, torch.Generator().manual_seed(0))
    assert batch.actions.shape == (8, 2, 4) and batch.observation[camera].shape[:2] == (8, 3)
    assert [bool((one == 7.0).all()) for one in batch.actions] == [False] * 2 + [True] * 6
    again = WindowSampler(arrays, config).at(batch.episode[:2], batch.step[:2])
    assert torch.equal(-again.actions, batch.actions[:2])


# ------------------------------------------------------------------------------ in training


@pytest.fixture(scope="module")
def begun(recorded: Dataset, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A run that begins with a few steps of pretraining and infers actions."""
    config, out = config_of(recorded, steps=6), tmp_path_factory.mktemp("clips") / "run"
    pretrain(recorded, pretraining_of(config, recorded.signature), out, visible=False)
    inferring = InferredActionsConfig(optimiser=OptimiserConfig(num_steps=6, batch_size=8))
    return replace(config, begin=BeginFrom(run=str(out)), inferred=inferring)


@pytest.mark.parametrize("stage", [InferringStage, JEPAStage])
def test_broken_off_and_resumed_is_the_same_to_the_bit(
    stage, begun, recorded, tmp_path, monkeypatch
) -> None:
    """Also when the perception that actions were inferred by has changed since."""
    train(recorded, begun, tmp_path / "unbroken", clips=recorded, visible=False)
    after_step, calls = stage.after_step, []

    def breaks(self) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        after_step(self)

    with monkeypatch.context() as patched:
        patched.setattr(stage, "after_step", breaks)
        with pytest.raises(KeyboardInterrupt):
            train(
                recorded,
                begun,
                tmp_path / "broken",
                clips=recorded,
                visible=False,
                checkpoint_s=0.0,
            )
    train(recorded, begun, tmp_path / "broken", clips=recorded, visible=False, resume=True)
    for name in ("model.safetensors", INFERRED):
        expected = load_file(tmp_path / "unbroken" / name)
        found = load_file(tmp_path / "broken" / name)
        assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_the_world_model_learns_from_what_was_inferred(begun, recorded, tmp_path) -> None:
    """With other inferred actions it becomes another; the summary says how good they are."""
    weights = []
    for rate in (1e-3, 1e-1):
        faster = replace(begun.inferred.optimiser, learning_rate=rate)
        config = replace(begun, inferred=replace(begun.inferred, optimiser=faster))
        out = tmp_path / str(rate)
        train(recorded, config, out, clips=recorded, visible=False)
        weights.append(load_file(out / "model.safetensors"))
        assert json.loads((out / SUMMARY).read_text())["inferred_actions"]["explained"] < 1
    assert any(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_what_is_lacking_is_named_before_any_work(begun, recorded, tmp_path) -> None:
    """Clips, a perception, or sense in the numbers."""
    out: Path = tmp_path / "run"
    with pytest.raises(ForethoughtError, match="clips to infer them for"):
        train(recorded, begun, out, visible=False)
    with pytest.raises(ForethoughtError, match="a perception to begin with"):
        train(recorded, replace(begun, begin=None), out, clips=recorded, visible=False)
    assert not out.exists()
    for wrong in ({"after": 0}, {"labelled": 1.0}, {"noise": -1.0}, {"num_heads": 0}):
        with pytest.raises(ForethoughtError, match="inferred actions"):
            InferredActionsConfig(**wrong)


def test_settings_go_to_json_and_back(begun) -> None:
    """And runs from before they existed have none."""
    assert from_json(to_json(begun)) == begun
    older = to_json(begun)
    del older["inferred"]
    assert from_json(older) == replace(begun, inferred=None)


def test_from_the_command_line(begun, recorded, tmp_path, capsys) -> None:
    """The whole way; and --infer-actions alone is refused."""
    folder, first = str(recorded.path), str(tmp_path / "clips")
    short = ["--steps", "1", "--json"]
    assert main(["pretrain", "--out", first, "--data", folder, *short]) == 0
    capsys.readouterr()
    train_it = ["train", "--out", str(tmp_path / "run"), "--data", folder, "--infer-actions"]
    assert main([*train_it, *short]) == 2
    assert "--clips" in capsys.readouterr().err
    assert main([*train_it, "--begin", first, "--clips", folder, *short]) == 0
    assert json.loads(capsys.readouterr().out)["inferred_actions"]["explained"] < 1
