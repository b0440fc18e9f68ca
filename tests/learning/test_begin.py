"""Beginning with an earlier run: its weights are taken, and what does not fit is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from forethought import data, recipes, worlds
from forethought.cli import main
from forethought.config import from_json, to_json
from forethought.data import Dataset
from forethought.learning import (
    BeginFrom,
    OptimiserConfig,
    PretrainConfig,
    TrainConfig,
    pretrain,
    pretraining_of,
)
from forethought.learning.begin import load_earlier, load_perception
from forethought.learning.jepa import JEPAConfig
from forethought.learning.latents import LatentEpisodes
from forethought.learning.train import train
from forethought.learning.trainer import _groups
from forethought.model import load_model
from forethought.perception import CNNConfig, PerceptionConfig
from forethought.types import ForethoughtError

pytestmark = pytest.mark.filterwarnings("ignore::forethought.learning.train.CollapseWarning")


def config_of(recorded: Dataset, *, steps: int = 4, critic: bool = False) -> TrainConfig:
    config = recipes.configure("two_rooms", recorded.signature, seed=3)
    (camera,) = recorded.signature.cameras
    small = PerceptionConfig(encoders={camera: CNNConfig(width=8, patch=8, channels=(8, 8))})
    return replace(
        config,
        world_model=replace(config.world_model, perception=small),
        objective=replace(
            config.objective,
            optimiser=OptimiserConfig(num_steps=steps, batch_size=4, warmup_steps=0),
        ),
        critic=config.critic.with_steps(steps) if critic and config.critic else None,
        probes=None,
    )


@pytest.fixture(scope="module")
def clips_run(recorded: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few steps of pretraining without actions."""
    out = tmp_path_factory.mktemp("pretrained") / "run"
    pretrain(recorded, pretraining_of(config_of(recorded), recorded.signature), out, visible=False)
    return out


@pytest.fixture(scope="module")
def earlier_run(recorded: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few steps of training."""
    out = tmp_path_factory.mktemp("earlier") / "run"
    train(recorded, config_of(recorded), out, visible=False)
    return out


def begun(config: TrainConfig, run: Path, *, frozen: bool = False, **options) -> TrainConfig:
    assert isinstance(config.objective, JEPAConfig)
    objective = replace(config.objective, frozen_encoder=frozen)
    return replace(config, objective=objective, begin=BeginFrom(run=str(run), **options))


def perception_of(folder: Path) -> dict[str, Tensor]:
    return load_earlier(folder).perception.state_dict()


@pytest.mark.parametrize("source", ["clips_run", "earlier_run"])
def test_a_frozen_perception_is_taken_to_the_bit(source, request, recorded, tmp_path) -> None:
    """From pretraining as from training; only the rest of the world model learns."""
    run = request.getfixturevalue(source)
    train(recorded, begun(config_of(recorded), run, frozen=True), tmp_path / "new", visible=False)
    before, after = perception_of(run), perception_of(tmp_path / "new")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert load_model(tmp_path / "new").notes["begin"] == str(run)


def test_fine_tuning_changes_it_the_less_the_smaller_its_rate(
    clips_run, recorded, tmp_path
) -> None:
    """One step of Adam moves each weight by the learning rate at most: shares are kept."""
    began, moved = perception_of(clips_run), {}
    for rate in (1.0, 0.1):
        config = begun(config_of(recorded, steps=1), clips_run, encoder_rate=rate)
        train(recorded, config, tmp_path / str(rate), visible=False)
        after = perception_of(tmp_path / str(rate))
        moved[rate] = torch.cat([(after[name] - began[name]).flatten() for name in began])
    assert moved[1.0].abs().max() > 0
    torch.testing.assert_close(moved[0.1], 0.1 * moved[1.0], rtol=0.02, atol=2e-7)


def test_the_whole_world_model_is_taken_but_for_the_bounds_of_actions(
    earlier_run, recorded, tmp_path
) -> None:
    """No step at a learning rate: what is there is what was there."""
    world = worlds.make("two_rooms", 4)
    wide = replace(
        world.signature, action=replace(world.signature.action, low=(-3.0,) * 2, high=(3.0,) * 2)
    )
    episodes = [recorded.episode(index) for index in range(4)]
    with data.create(
        tmp_path / "wide.lance", replace(recorded.signature, action=wide.action)
    ) as writer:
        writer.append(episodes)
    config = config_of(recorded)
    still = replace(config.objective.optimiser, learning_rate=0.0)
    config = replace(config, objective=replace(config.objective, optimiser=still))
    train(
        data.open(tmp_path / "wide.lance"),
        begun(config, earlier_run, whole=True),
        tmp_path / "new",
        visible=False,
    )
    before = load_model(earlier_run).world_model.state_dict()
    after = load_model(tmp_path / "new").world_model.state_dict()
    differing = {name for name in before if not torch.equal(before[name], after[name])}
    assert differing == {"low", "high"}
    assert (after["high"] == 3.0).all()


def test_what_does_not_fit_is_refused_before_any_work(
    clips_run, earlier_run, recorded, tmp_path
) -> None:
    """Another encoder, another size of pictures, no predictor, another predictor, no run."""
    config, out = config_of(recorded), tmp_path / "new"
    (camera,) = recorded.signature.cameras
    wider = PerceptionConfig(encoders={camera: CNNConfig(width=16, patch=8, channels=(8, 8))})
    other = replace(config, world_model=replace(config.world_model, perception=wider))
    deeper = replace(config.world_model.predictor, hidden=(32,))
    cases = [
        (begun(other, clips_run), "perception"),
        (begun(replace(config, image_size=(32, 32)), clips_run), "shape of"),
        (begun(config, clips_run, whole=True), "whole=False"),
        (
            begun(
                replace(config, world_model=replace(config.world_model, predictor=deeper)),
                earlier_run,
                whole=True,
            ),
            "world model",
        ),
        (begun(config, tmp_path / "nowhere"), "no trained model"),
    ]
    for wrong, message in cases:
        with pytest.raises(ForethoughtError, match=message):
            train(recorded, wrong, out, visible=False)
        assert not out.exists()
    with pytest.raises(ForethoughtError, match="encoder_rate"):
        BeginFrom(run="run", encoder_rate=0.0)


def test_broken_off_and_resumed_is_the_same_to_the_bit(
    clips_run, recorded, tmp_path, monkeypatch
) -> None:
    """With a perception that learns more slowly: the optimiser then has two groups."""
    config = begun(config_of(recorded, steps=8), clips_run, encoder_rate=0.3)
    train(recorded, config, tmp_path / "unbroken", visible=False)
    from forethought.learning.jepa import JEPAStage

    after_step, calls = JEPAStage.after_step, []

    def breaks(self: JEPAStage) -> None:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        after_step(self)

    with monkeypatch.context() as patched:
        patched.setattr(JEPAStage, "after_step", breaks)
        with pytest.raises(KeyboardInterrupt):
            train(recorded, config, tmp_path / "broken", visible=False, checkpoint_s=0.0)
    train(recorded, config, tmp_path / "broken", visible=False, resume=True)
    expected = load_file(tmp_path / "unbroken" / "model.safetensors")
    found = load_file(tmp_path / "broken" / "model.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_older_runs_are_read_as_before(recorded, tmp_path) -> None:
    """A run.json from before `begin` and `clips` is resumed, not refused."""
    config = config_of(recorded)
    train(recorded, config, tmp_path / "run", visible=False)
    record = tmp_path / "run" / "run.json"
    content = json.loads(record.read_text())
    del content["config"]["begin"], content["clips"]
    record.write_text(json.dumps(content))
    train(recorded, config, tmp_path / "run", visible=False, resume=True)
    with pytest.raises(ForethoughtError, match="another clips"):
        train(recorded, config, tmp_path / "run", clips=recorded, visible=False, resume=True)


def test_configurations_go_to_json_and_back(recorded, clips_run) -> None:
    """Both runs' settings."""
    pretraining = pretraining_of(config_of(recorded), recorded.signature)
    for config in (begun(config_of(recorded), clips_run), pretraining):
        assert from_json(to_json(config)) == config
    assert isinstance(pretraining, PretrainConfig)


def test_a_saved_perception_sees_the_same(clips_run, recorded, generator) -> None:
    """Read twice, it encodes alike; a damaged one is named."""
    signature, perception = load_perception(clips_run)
    (key,) = perception.keys
    shape = (2, 1, *signature.observation[key].shape)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    assert torch.equal(perception({key: images}), load_perception(clips_run)[1]({key: images}))


def test_from_the_command_line(recorded, tmp_path, capsys) -> None:
    """Pretrained, then trained from there and left as it was; --freeze alone is refused."""
    data_and_steps = ["--data", str(recorded.path), "--steps", "1", "--json"]
    first, second = str(tmp_path / "clips"), str(tmp_path / "run")
    assert main(["pretrain", "--out", first, *data_and_steps]) == 0
    assert json.loads(capsys.readouterr().out)["diagnostics"]["effective_rank"] > 0
    assert main(["train", "--out", second, "--freeze", *data_and_steps]) == 2
    assert "--begin" in capsys.readouterr().err
    assert main(["train", "--out", second, "--begin", first, "--freeze", *data_and_steps]) == 0
    before, after = perception_of(tmp_path / "clips"), perception_of(tmp_path / "run")
    assert all(torch.equal(before[name], after[name]) for name in before)


# ------------------------------------------------------------ what no action is needed for


def test_joined_episodes_lie_one_behind_the_other() -> None:
    """Rows and borders; no step leads from one set into the other."""
    first = LatentEpisodes(latents=torch.zeros(5, 1, 2), offsets=torch.tensor([0, 2, 5]), block=1)
    second = LatentEpisodes(latents=torch.ones(4, 1, 2), offsets=torch.tensor([0, 4]), block=1)
    both = first.joined(second)
    assert both.offsets.tolist() == [0, 2, 5, 9]
    assert both.latents[:, 0, 0].tolist() == [0] * 5 + [1] * 4
    assert both.starts()[0].tolist() == [0, 2, 3, 5, 6, 7]


def test_clips_teach_the_critic_alone(recorded, tmp_path) -> None:
    """The world model is that of a run without them, to the bit; the critic is another."""
    clips = data.record(
        worlds.make("two_rooms", 6),
        tmp_path / "clips.lance",
        num_episodes=6,
        episode_length=40,
        seed=9,
        visible=False,
    )
    config = config_of(recorded, critic=True)
    train(recorded, config, tmp_path / "without", visible=False)
    train(recorded, config, tmp_path / "with", clips=clips, visible=False)
    without, joined = (load_file(tmp_path / n / "model.safetensors") for n in ("without", "with"))
    critic = {name for name in without if name.startswith("critic.")}
    assert critic and all(torch.equal(without[n], joined[n]) for n in without.keys() - critic)
    assert not all(torch.equal(without[name], joined[name]) for name in critic)
    smaller = replace(config, image_size=(32, 32))
    with pytest.raises(ForethoughtError, match="clips hold"):
        no_camera = data.open(_vectors(tmp_path))
        train(recorded, smaller, tmp_path / "no", clips=no_camera, visible=False)
    assert not (tmp_path / "no").exists()


def _vectors(folder: Path) -> Path:
    """A dataset without a camera."""
    from forethought.types import ActionSpec, ArraySpec, Signature

    signature = Signature(
        observation={"observation.state": ArraySpec(shape=(2,), dtype="float32")},
        action=ActionSpec(dim=2),
        rate_hz=10.0,
    )
    data.create(folder / "vectors.lance", signature)
    return folder / "vectors.lance"


def test_parameters_of_one_rate_keep_their_order() -> None:
    """So that checkpoints from before there were rates mean the same."""
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(4)]
    (whole,) = _groups(parameters, {})
    assert [id(one) for one in whole["params"]] == [id(one) for one in parameters]
    fast, slow = _groups(parameters, {parameters[1]: 0.5})
    assert (fast["rate"], slow["rate"]) == (1.0, 0.5)
    assert len(fast["params"]) == 3 and slow["params"][0] is parameters[1]
