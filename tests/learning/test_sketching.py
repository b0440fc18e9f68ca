"""A sketch learns what the world model foresees, is kept with it, and never changes it."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from forethought import data, recipes, worlds
from forethought.actor import CEM, Screened, Sketched
from forethought.agent import Agent
from forethought.cost import goal
from forethought.learning import (
    OptimiserConfig,
    SketchTrainingConfig,
    TrainConfig,
    train,
    train_sketch,
)
from forethought.learning.folder import SUMMARY
from forethought.learning.latents import LatentEpisodes
from forethought.learning.sketching import SketchStage, Teacher
from forethought.learning.train import CollapseWarning
from forethought.model import Model
from forethought.types import ForethoughtError, Past
from forethought.world_model import EnsembleConfig, GRUConfig, ResidualMLPConfig, SketchConfig

TRAINING = SketchTrainingConfig(
    sketch=SketchConfig(predictor=ResidualMLPConfig(hidden=(16,))),
    optimiser=OptimiserConfig(num_steps=120, batch_size=32, learning_rate=3e-3),
    horizon=3,
)


def sketched(recorded: data.Dataset) -> TrainConfig:
    config = recipes.configure("two_rooms", recorded.signature, steps=8)
    return replace(config, critic=None, probes=None, sketch=TRAINING)


@pytest.fixture(scope="module")
def sketched_run(recorded: data.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training run, with a sketch."""
    out = tmp_path_factory.mktemp("runs") / "sketched"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        train(recorded, sketched(recorded), out, visible=False)
    return out


def test_it_comes_nearer_to_the_world_model_than_copying(sketched_run) -> None:
    """On held-out episodes, under recorded and random actions, and at the end of the horizon."""
    report = json.loads((sketched_run / SUMMARY).read_text())["sketch"]
    assert report["against_copy"] < 0.5
    assert report["against_copy_random"] < 0.5
    assert report["against_copy_last"] < 0.5


def test_it_is_saved_and_imagines_the_same(sketched_run, tmp_path, generator) -> None:
    """With the model, in the same file; it begins where the world model does."""
    model = Model.from_pretrained(sketched_run)
    model.save_pretrained(tmp_path / "copy")
    world = model.world_model
    latents = torch.randn(2, world.num_tokens, world.width, generator=generator)
    actions = torch.rand(2, 3, 4, world.action_width, generator=generator)
    drawn = [
        one.sketch.imagine(latents, actions, normalise=one.world_model.normalise)
        for one in (model, Model.from_pretrained(tmp_path / "copy"))
        if one.sketch is not None
    ]
    assert torch.equal(drawn[0].latents, drawn[1].latents)
    assert drawn[0].latents.shape == world.imagine(latents, actions).latents.shape
    assert torch.equal(drawn[0].latents[:, :, 0], latents[:, None].expand(-1, 3, -1, -1))


def test_older_models_have_none(sketched_run, tmp_path) -> None:
    """Saved before there were sketches, they are read as ever."""
    config = json.loads((sketched_run / "config.json").read_text())
    del config["model"]["sketch"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = load_file(sketched_run / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("sketch.")}
    assert len(kept) < len(weights)
    save_file(kept, tmp_path / "model.safetensors")
    assert Model.from_pretrained(tmp_path).sketch is None


def test_an_agent_plans_by_the_sketch_of_its_model(sketched_run) -> None:
    """What it decides by is what the world model itself imagines of the plan."""
    model, world = Model.from_pretrained(sketched_run), worlds.make("two_rooms", 2)
    observation = world.reset([1, 2])
    for wrapped in (Screened, Sketched):
        agent = Agent(
            model,
            cost=goal(observation=world.goal()),
            actor=wrapped(planner=CEM(horizon=3, num_samples=64, num_elites=4)),
            num_agents=2,
        )
        plan = agent.act_batch(observation).plan
        assert plan is not None
        imagined = plan.imagination.latents
        again = model.world_model.imagine(imagined[:, 0, 0], plan.actions[:, None])
        torch.testing.assert_close(again.latents, imagined)


def test_broken_off_and_resumed_is_the_same_to_the_bit(
    sketched_run, recorded, tmp_path, monkeypatch
) -> None:
    """Within the stage of the sketch, after a checkpoint."""
    config, steps, loss = sketched(recorded), [], SketchStage.loss

    def breaks(self: SketchStage, draw: torch.Generator):
        steps.append(1)
        if len(steps) == 12:
            raise KeyboardInterrupt
        return loss(self, draw)

    settings = {"resume": True, "visible": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(SketchStage, "loss", breaks)
            train(recorded, config, tmp_path / "broken", checkpoint_s=0.0, **settings)
        train(recorded, config, tmp_path / "broken", **settings)
    whole, broken = (
        load_file(run / "model.safetensors") for run in (sketched_run, tmp_path / "broken")
    )
    assert [name for name in whole if not torch.equal(whole[name], broken[name])] == []


def test_a_trained_model_is_sketched_later(sketched_run, recorded, tmp_path, monkeypatch) -> None:
    """The rest of it is as it was; broken off and resumed, it ends with the same weights."""
    model, loss, steps = Model.from_pretrained(sketched_run), SketchStage.loss, []
    wider = SketchConfig(predictor=ResidualMLPConfig(hidden=(24,)))
    config = replace(TRAINING, sketch=wider, optimiser=replace(TRAINING.optimiser, num_steps=20))

    def sketched_in(out: Path, of: Model = model) -> Model:
        settings = {"config": config, "resume": True, "visible": False, "checkpoint_s": 0.0}
        return train_sketch(of, recorded, out, **settings)

    def breaks(self: SketchStage, draw: torch.Generator):
        steps.append(1)
        if len(steps) == 9:
            raise KeyboardInterrupt
        return loss(self, draw)

    whole = sketched_in(tmp_path / "whole").state_dict()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(SketchStage, "loss", breaks)
        sketched_in(tmp_path / "broken")
    sketched_in(tmp_path / "broken")
    again = Model.from_pretrained(tmp_path / "broken").state_dict()
    assert [name for name in whole if not torch.equal(whole[name], again[name])] == []
    before = {k: v for k, v in model.state_dict().items() if not k.startswith("sketch.")}
    assert [name for name in before if not torch.equal(before[name], whole[name])] == []
    assert whole["sketch.predictor.latent_in.weight"].shape[0] == 24
    with torch.no_grad():
        model.world_model.predictor.last.bias += 1
    with pytest.raises(ForethoughtError, match="another config"):
        sketched_in(tmp_path / "whole", of=model)


def test_it_is_taught_recorded_and_random_actions(sketched_run, generator) -> None:
    """From recorded moments, in standard units; what came before is told where it is asked for."""
    world = Model.from_pretrained(sketched_run).world_model
    rows = torch.arange(80.0)
    episodes = LatentEpisodes(
        latents=rows[:, None, None].expand(80, world.num_tokens, world.width),
        offsets=torch.tensor([0, 40, 80]),
        block=5,
    )
    actions = torch.stack([rows, -rows], dim=1) / 80
    teacher = Teacher(world, episodes, actions, horizon=2, memory=1)
    drawn = teacher.draw(8, generator, known=1, random_share=0.25)
    began = drawn.present[:, 0, 0].long()
    taken = actions[began[:, None] + torch.arange(-5, 10)].unflatten(1, (3, 5)).flatten(2)
    assert torch.equal(drawn.past.latents[:, 0, 0, 0].long(), began - 5)
    assert torch.equal(drawn.past.actions, world.normalise(taken[:, :1]))
    assert torch.equal(drawn.actions[2:], world.normalise(taken[2:, 1:]))
    assert not torch.isclose(drawn.actions[:2], world.normalise(taken[:2, 1:])).any()
    assert (drawn.actions[:2] >= world.normalise(world.low)).all()
    assert (drawn.actions[:2] <= world.normalise(world.high)).all()
    foreseen = world.rollout(drawn.present, drawn.actions)[:, 1:]
    torch.testing.assert_close(drawn.foreseen, foreseen)
    assert teacher.draw(8, generator, known=0, random_share=0.0).past.latents.shape[1] == 0


def test_a_sketch_with_a_window_looks_back(generator) -> None:
    """What came before changes what it foresees, and no more of it is needed than there is."""
    sketch = SketchConfig(predictor=GRUConfig(hidden=8, window=3)).build(1, 4, 2)
    latents, actions = torch.randn(5, 1, 4), torch.randn(5, 2, 2)
    past = Past(latents=torch.randn(5, 4, 1, 4), actions=torch.randn(5, 4, 2))
    without, with_it = (sketch.rollout(latents, actions, past=one) for one in (None, past))
    assert without.shape == with_it.shape == (5, 3, 1, 4)
    assert not torch.isclose(without[:, 1:], with_it[:, 1:]).all()
    assert torch.equal(with_it, sketch.rollout(latents, actions, past=past.latest(2)))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ForethoughtError, match="ensemble of 2"):
        SketchConfig(predictor=EnsembleConfig(member=ResidualMLPConfig(), num_members=2)).build(
            1, 4, 2
        )
    with pytest.raises(ForethoughtError, match=r"random_share=1\.5"):
        SketchTrainingConfig(random_share=1.5)
