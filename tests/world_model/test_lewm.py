"""LeWorldModel checkpoints give the peer's numbers, or are refused."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from forethought.config import from_json, to_json
from forethought.types import ActionSpec, ForethoughtError, Past
from forethought.world_model.lewm import (
    PIXEL_MEAN,
    PIXEL_STD,
    LeWMEncoderConfig,
    import_lewm,
)
from forethought.world_model.world_model import WorldModel

FIXTURES = Path(__file__).parent / "fixtures" / "lewm_tiny"
"""Made by benchmarks/lewm_fixture.py with the peer's own code."""
ACTION = ActionSpec(dim=2, low=(-1.0, -1.0), high=(1.0, 1.0))
CAMERA = "observation.images.top"
SAME = {"atol": 1e-5, "rtol": 1e-5}


def answers(make: str) -> dict[str, torch.Tensor]:
    return load_file(FIXTURES / f"{make}_answers.safetensors")


def imported(folder: Path, make: str = "plain", **changed) -> WorldModel:
    known = answers(make)
    told = {
        "action": ACTION,
        "action_mean": known["action_mean"].tolist(),
        "action_std": known["action_std"].tolist(),
        "rate_hz": 10.0,
    }
    return import_lewm(folder, **(told | changed))


@torch.no_grad()
def check_answers(world_model: WorldModel, make: str) -> None:
    known = answers(make)
    latents = world_model.encode({CAMERA: known["pixels"].unsqueeze(2)})
    torch.testing.assert_close(latents[:, :, 0], known["latents"], **SAME)
    actions = world_model.normalise(known["actions"])
    for w in (1, 2, 3):
        predicted = world_model.predictor(latents[:, -w:], actions[:, -w:])
        torch.testing.assert_close(predicted[:, 0], known[f"predictions_{w}"], **SAME)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint to damage."""
    return Path(shutil.copytree(FIXTURES / "plain", tmp_path / "checkpoint"))


def edit(folder: Path, part: str, **fields: object) -> None:
    """Changes fields of a part of config.json."""
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content[part] |= fields
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("make", ["plain", "projected"])
def test_an_imported_model_answers_as_the_original(make) -> None:
    """Latents of images, and predictions from windows of one, two and three steps."""
    check_answers(imported(FIXTURES / make, make), make)


@pytest.mark.parametrize("make", ["plain", "projected"])
def test_an_imported_model_imagines_as_the_original(make) -> None:
    """Five steps in closed loop after a history of three."""
    world_model, known = imported(FIXTURES / make, make), answers(make)
    latents = known["latents"].unsqueeze(2)
    done = world_model.normalise(known["actions"])[:, :-1]
    with torch.no_grad():
        states = world_model.rollout(
            latents[:, -1],
            world_model.normalise(known["planned"]),
            past=Past(latents=latents[:, :-1], actions=done),
        )
    torch.testing.assert_close(states[:, 1:, 0], known["imagined"], **SAME)


def test_state_dicts_are_read_from_pt_files_and_under_older_names(checkpoint) -> None:
    """As transformers 4 called the encoder's weights, saved by torch.save from a compiled model."""
    older = (
        (r"^encoder\.layers\.", "encoder.encoder.layer."),
        (r"\.attention\.q_proj", ".attention.attention.query"),
        (r"\.attention\.k_proj", ".attention.attention.key"),
        (r"\.attention\.v_proj", ".attention.attention.value"),
        (r"\.attention\.o_proj", ".attention.output.dense"),
        (r"^(encoder\.encoder\.layer\.\d+)\.mlp\.fc1", r"\1.intermediate.dense"),
        (r"^(encoder\.encoder\.layer\.\d+)\.mlp\.fc2", r"\1.output.dense"),
        (r"^predictor\.", "predictor._orig_mod."),
    )
    state = {}
    for name, value in load_file(checkpoint / "weights.safetensors").items():
        for pattern, replacement in older:
            name = re.sub(pattern, replacement, name)
        state[name] = value
    assert "encoder.encoder.layer.1.attention.attention.query.weight" in state
    torch.save(state, checkpoint / "weights.pt")
    (checkpoint / "weights.safetensors").unlink()
    check_answers(imported(checkpoint), "plain")


def test_what_was_imported_is_ours_from_then_on() -> None:
    """Its configuration goes to JSON and back, and takes its weights."""
    world_model = imported(FIXTURES / "projected", "projected")
    config = from_json(to_json(world_model.config))
    assert config == world_model.config
    again = WorldModel(
        config, world_model.signature, {"action": world_model.action_normaliser}
    ).eval()
    again.load_state_dict(world_model.state_dict())
    check_answers(again, "projected")


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["weights.pt", "lewm_object.ckpt"])
def test_programs_in_checkpoints_are_not_run(name, checkpoint, tmp_path) -> None:
    """Neither as a state dict nor as an object; the message says what to do instead."""
    (checkpoint / "weights.safetensors").unlink()
    torch.save({"weight": Payload(tmp_path / "ran")}, checkpoint / name)
    with pytest.raises(ForethoughtError, match=r"save_file\(model.state_dict\(\)"):
        imported(checkpoint)
    assert not (tmp_path / "ran").exists()
    torch.save({"weight": 3}, checkpoint / "weights.pt")
    with pytest.raises(ForethoughtError, match="tensors by name"):
        imported(checkpoint)


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        ("encoder", {"_target_": "os.system", "command": "true"}, "is a 'os.system'"),
        ("projector", {"norm_fn": {"_target_": "torch.nn.LayerNorm"}}, "norm_fn is a"),
        ("projector", {"norm_fn": None}, "norm_fn is None"),
        ("predictor", {"rotary": True}, "has the field 'rotary'"),
        ("predictor", {"depth": "${depth}"}, "depth is '\\${depth}', expected a positive integer"),
        ("predictor", {"depth": 3}, "lack|do not fit"),
        ("predictor", {"depth": 1}, "do not fit"),
        ("predictor", {"dropout": -1}, "from 0 to 1"),
        ("encoder", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ("encoder", {"image_size": 25}, "multiples of 8"),
    ],
)
def test_other_makes_are_refused(part, fields, message, checkpoint) -> None:
    """Whatever might change what the model computes is named, with what was expected."""
    edit(checkpoint, part, **fields)
    with pytest.raises(ForethoughtError, match=message):
        imported(checkpoint)


def test_weights_and_settings_must_belong_together(checkpoint) -> None:
    """Too many files, too many weights, none, or no settings."""
    weights = checkpoint / "weights.safetensors"
    state = load_file(weights)
    save_file(state | {"value_head.weight": torch.ones(2)}, weights)
    with pytest.raises(ForethoughtError, match=r"'value_head\.weight'"):
        imported(checkpoint)
    save_file(state, checkpoint / "other.safetensors")
    with pytest.raises(ForethoughtError, match="several weights"):
        imported(checkpoint)
    for path in checkpoint.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(ForethoughtError, match="no weights here"):
        imported(checkpoint)
    (checkpoint / "config.json").unlink()
    with pytest.raises(ForethoughtError, match="no such file"):
        imported(checkpoint)


def test_the_actions_told_must_fit() -> None:
    """Entries of one world step, so many of which make a model step."""
    with pytest.raises(ForethoughtError, match="action_mean and action_std"):
        imported(FIXTURES / "plain", action_mean=[0.0])
    three = ActionSpec(dim=3, low=(-1.0,) * 3, high=(1.0,) * 3)
    with pytest.raises(ForethoughtError, match="no whole number of actions"):
        imported(FIXTURES / "plain", action=three, action_mean=[0.0] * 3, action_std=[1.0] * 3)
    assert imported(FIXTURES / "plain").config.action_block == 5


def test_the_encoder_sees_one_frame() -> None:
    """The message says where motion is seen instead."""
    spec = imported(FIXTURES / "plain").signature.observation[CAMERA]
    with pytest.raises(ForethoughtError, match="predictor's window"):
        LeWMEncoderConfig(patch=8).build(spec, 2)


def test_the_peers_own_loader_agrees(checkpoint) -> None:
    """Where stable-worldmodel is installed with all that its loader needs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("hydra", exc_type=ImportError)
        pytest.importorskip("stable_pretraining.backbone.utils", exc_type=ImportError)
        utils = pytest.importorskip("stable_worldmodel.wm.utils", exc_type=ImportError)
        folder = checkpoint.parent / "checkpoints" / "lewm"
        shutil.copytree(checkpoint, folder)
        torch.save(load_file(folder / "weights.safetensors"), folder / "weights.pt")
        peer = utils.load_pretrained("lewm", cache_dir=str(checkpoint.parent)).eval()
    world_model, known = imported(checkpoint), answers("plain")
    actions = world_model.normalise(known["actions"])
    images = (known["pixels"] / 255 - torch.tensor(PIXEL_MEAN)) / torch.tensor(PIXEL_STD)
    with torch.no_grad():
        latents = peer.encode({"pixels": images.permute(0, 1, 4, 2, 3)})["emb"]
        torch.testing.assert_close(latents, known["latents"], **SAME)
        theirs = peer.predict(known["latents"], peer.action_encoder(actions))[:, -1]
        ours = world_model.predictor(known["latents"].unsqueeze(2), actions)[:, 0]
    torch.testing.assert_close(ours, theirs, **SAME)
