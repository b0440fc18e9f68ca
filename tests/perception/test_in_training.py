"""From recorded words and published networks to an agent that acts on them."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import published
import pytest
import torch

from forethought import data
from forethought.actor import CEM
from forethought.agent import Agent
from forethought.cost import goal
from forethought.data import Dataset
from forethought.learning import JEPAConfig, OptimiserConfig, TrainConfig, train
from forethought.learning.train import CollapseWarning
from forethought.memory import ObservationWindow
from forethought.model import Model
from forethought.perception import (
    ByteTextConfig,
    EncoderConfig,
    MLPEncoderConfig,
    PerceptionConfig,
    PretrainedImageConfig,
)
from forethought.types import (
    IMAGES,
    STATE,
    TASK,
    TASK_BYTES,
    ActionSpec,
    ArraySpec,
    Episode,
    ForethoughtError,
    Signature,
    to_bytes,
)
from forethought.world_model import ResidualMLPConfig, SIGRegConfig, WorldModelConfig

CAMERA = IMAGES + "front"
TASKS = ("go left", "geh nach rechts, schön langsam")
SIGNATURE = Signature(
    observation={
        CAMERA: ArraySpec(shape=(16, 16, 3), dtype="uint8"),
        STATE: ArraySpec(shape=(2,), dtype="float32"),
    },
    action=ActionSpec(dim=2, low=(-1.0, -1.0), high=(1.0, 1.0)),
    rate_hz=10.0,
)
NOW = {
    CAMERA: np.full((16, 16, 3), 40, np.uint8),
    STATE: np.array([0.1, -0.2], np.float32),
}


def episode(seed: int, length: int = 20) -> Episode:
    generator = np.random.default_rng(seed)
    action = generator.uniform(-1, 1, (length, 2)).astype(np.float32)
    return Episode(
        observation={
            CAMERA: generator.integers(0, 256, (length, 16, 16, 3), dtype=np.uint8),
            STATE: action.cumsum(0).astype(np.float32),
        },
        action=action,
        task=TASKS[seed % 2],
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("data") / "told"
    with data.create(path, SIGNATURE) as writer:
        writer.append([episode(seed) for seed in range(6)])
    return data.open(path)


def trained(
    told: Dataset, out: Path, encoders: dict[str, EncoderConfig], *, missing: float = 0.0
) -> Model:
    perception = PerceptionConfig(encoders=encoders, frame_stack=2, missing=missing)
    config = TrainConfig(
        recipe="test",
        world_model=WorldModelConfig(perception=perception, predictor=ResidualMLPConfig()),
        objective=JEPAConfig(
            optimiser=OptimiserConfig(num_steps=5, batch_size=4),
            regularisers=(SIGRegConfig(),),
            horizon=3,
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        train(told, config, out, visible=False)
    return Model.from_pretrained(out)


def acting(model: Model, goals: dict[str, np.ndarray], **settings) -> Agent:
    planner = CEM(horizon=2, num_samples=16, num_iterations=2, num_elites=4)
    return Agent(model, cost=goal(observation=goals), actor=planner, **settings)


WORDS = {STATE: MLPEncoderConfig(width=8), TASK: ByteTextConfig(width=8, hidden=16, depth=1)}


@pytest.fixture(scope="module")
def worded(told: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return trained(told, tmp_path_factory.mktemp("run") / "out", WORDS, missing=0.3)


# ------------------------------------------------------------------------------- data


def test_every_row_is_told_its_task(told) -> None:
    """As one more key, only where asked for, and in single rows too."""
    arrays = told.load([3, 0], keys=[STATE, TASK])
    assert arrays.observation[TASK].shape == (40, TASK_BYTES)
    for rows, text in ((slice(0, 20), TASKS[1]), (slice(20, 40), TASKS[0])):
        assert (arrays.observation[TASK][rows].numpy() == to_bytes(text)).all()
    assert TASK not in told.load([0]).observation and TASK not in told.signature.observation
    np.testing.assert_array_equal(
        told.frames(TASK, [1, 2], [5, 0]), np.stack([to_bytes(TASKS[1]), to_bytes(TASKS[0])])
    )


# ------------------------------------------------------------------------------- words


def test_a_model_learns_with_words_and_an_agent_takes_them(worded) -> None:
    """In words or in bytes; other words mean something else."""
    goals = {STATE: NOW[STATE], TASK: to_bytes(TASKS[0])}
    plans = [
        acting(worded, goals).act({STATE: NOW[STATE], TASK: said}).plan
        for said in (TASKS[0], to_bytes(TASKS[0]), TASKS[1])
    ]
    starts = [plan.imagination.latents[:, :, 0] for plan in plans]
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])
    both = {STATE: np.stack([NOW[STATE]] * 2), TASK: list(TASKS)}
    plan = acting(worded, goals, num_agents=2).act_batch(both).plan
    torch.testing.assert_close(
        plan.imagination.latents[:, 0, 0], torch.cat([starts[0], starts[2]])[:, 0]
    )


def test_words_of_another_length_are_refused(worded) -> None:
    one = acting(worded, {STATE: NOW[STATE]})
    with pytest.raises(ForethoughtError, match=r"'task' has shape \(5,\), expected \(128,\)"):
        one.act({STATE: NOW[STATE], TASK: to_bytes("left", 5)})


# ------------------------------------------------------------------------------- missing keys


def test_an_agent_does_without_what_its_model_can_do_without(worded) -> None:
    one = acting(worded, {STATE: NOW[STATE]})
    lacking = one.act({STATE: NOW[STATE]}).plan.imagination.latents
    one.reset()
    assert torch.equal(
        lacking,
        acting(worded, {STATE: NOW[STATE]}).act({**NOW, TASK: None}).plan.imagination.latents,
    )
    with pytest.raises(ForethoughtError, match="the observation lacks"):
        one.act({})


def test_other_agents_say_what_is_missing(told, tmp_path) -> None:
    model = trained(told, tmp_path / "run", WORDS)
    with pytest.raises(ForethoughtError, match="the goal lacks 'task'"):
        acting(model, {STATE: NOW[STATE]})
    one = acting(model, {STATE: NOW[STATE], TASK: to_bytes(TASKS[0])})
    with pytest.raises(ForethoughtError, match="the observation lacks 'task'"):
        one.act({STATE: NOW[STATE]})


def test_a_sensor_that_comes_and_goes_is_remembered_as_at_the_beginning() -> None:
    window = ObservationWindow(frame_stack=3)
    for step, present in enumerate([True, False, True]):
        seen = {"x": np.array([step]), **({"y": np.array([step])} if present else {})}
        window = window.see(seen)
    assert window.stacked()["x"].tolist() == [[0, 1, 2]]
    assert window.stacked()["y"].tolist() == [[0, 2, 2]]
    gone = window.see({"x": np.array([3])})
    assert set(gone.stacked()) == {"x"}


# ------------------------------------------------------------------------------- published


def test_a_run_keeps_what_was_published(told, tmp_path) -> None:
    """Frozen weights come out of training as they went in, and are read without their folder."""
    network = published.siglip_vision()
    source = published.save(network, tmp_path / "published")
    encoders = {
        CAMERA: PretrainedImageConfig(source=source, width=8, pooled=True),
        STATE: MLPEncoderConfig(width=8),
    }
    model = trained(told, tmp_path / "run", encoders)
    library = published.hub.AutoModel.from_pretrained(source).state_dict()
    shutil.rmtree(source)
    model = Model.from_pretrained(tmp_path / "run")
    kept = model.world_model.perception.by_key()[CAMERA].backbone.network.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in library.items())
    assert acting(model, NOW).act(NOW).action.shape == (2,)


def test_a_run_with_a_network_that_is_not_there_begins_nothing(told, tmp_path) -> None:
    encoders = {CAMERA: PretrainedImageConfig(source=str(tmp_path / "nowhere"))}
    with pytest.raises(ForethoughtError, match="no network is described there"):
        trained(told, tmp_path / "run", encoders)
    assert not (tmp_path / "run").exists()
