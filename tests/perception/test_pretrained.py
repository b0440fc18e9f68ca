"""Published networks: their own features, trained as far as asked, rebuilt without their files."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import published
import pytest
import torch
import transformers as hub

from forethought.checkers import check_encoder
from forethought.config import from_json, to_json
from forethought.perception import (
    Perception,
    PerceptionConfig,
    PretrainedImageConfig,
    PretrainedTextConfig,
    PretrainedVideoConfig,
    to_bytes,
)
from forethought.types import (
    IMAGES,
    TASK,
    TASK_SPEC,
    ActionSpec,
    ArraySpec,
    ForethoughtError,
    Signature,
)

CAMERA = IMAGES + "front"
IMAGE = ArraySpec(shape=(32, 32, 3), dtype="uint8")
SIGNATURE = Signature(
    observation={CAMERA: IMAGE, TASK: TASK_SPEC},
    action=ActionSpec(dim=1, low=(-1.0,), high=(1.0,)),
    rate_hz=10.0,
)


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Progress of loading a few kilobytes."""
    hub.utils.logging.disable_progress_bar()


def pictures(count: int = 2, frames: int = 2, spec: ArraySpec = IMAGE) -> torch.Tensor:
    drawn = np.random.default_rng(0).integers(0, 256, (count, frames, *spec.shape))
    return torch.tensor(drawn, dtype=torch.uint8)


def words(*texts: str) -> torch.Tensor:
    return torch.from_numpy(np.stack([to_bytes(text) for text in texts]))[:, None]


def perceiving(key: str, encoder, frame_stack: int = 1) -> Perception:
    torch.manual_seed(0)
    config = PerceptionConfig(encoders={key: encoder}, frame_stack=frame_stack).resolved()
    perception = Perception(config, SIGNATURE, {})
    perception.load_published()
    return perception


# ------------------------------------------------------------------------------- features


@pytest.mark.parametrize("name", published.images())
def test_image_networks_give_their_own_features(name: str, tmp_path: Path) -> None:
    """At the published size and colours: those of the library, of each place, latest frame last."""
    network, places = published.images()[name]
    side = 28 if name == "dinov2" else 32
    said = {
        "size": {"height": side, "width": side},
        "image_mean": [0.5] * 3,
        "image_std": [0.25] * 3,
    }
    source = published.save(network, tmp_path / name, said)
    spec = ArraySpec(shape=(side, side, 3), dtype="uint8")
    config = PretrainedImageConfig(source=source, width=48)
    encoder = config.build(spec, 2)
    check_encoder(encoder.eval(), spec, frame_stack=2)
    encoder.backbone.load_published()
    torch.nn.init.eye_(encoder.head.weight)
    torch.nn.init.zeros_(encoder.head.bias)
    values = pictures(2, 2, spec)
    tokens = encoder(values)
    assert config.tokens(spec) == (places, 48) and tokens.shape == (2, places, 48)
    library = hub.AutoModel.from_pretrained(source, use_safetensors=True).eval()
    pixels = (values.permute(0, 1, 4, 2, 3) / 255 - 0.5) / 0.25
    with torch.no_grad():
        features = [library(pixels[:, f]).last_hidden_state for f in range(2)]
    if name == "resnet":
        features = [maps.flatten(2).transpose(1, 2) for maps in features]
    earlier, latest = (part[:, part.shape[1] - places :] for part in features)
    torch.testing.assert_close(
        tokens, torch.cat([latest - earlier, latest], -1), atol=1e-4, rtol=1e-4
    )


def test_the_vision_half_of_a_siglip_is_found(tmp_path: Path) -> None:
    source = published.save(published.whole_siglip(), tmp_path / "whole")
    encoder = PretrainedImageConfig(source=source).build(IMAGE, 1)
    encoder.backbone.load_published()
    whole = hub.AutoModel.from_pretrained(source).vision_model.state_dict()
    for name, value in encoder.backbone.network.state_dict().items():
        assert torch.equal(value, whole[name])


def test_video_networks_give_their_own_features(tmp_path: Path) -> None:
    source = published.save(published.video(), tmp_path / "video")
    config = PretrainedVideoConfig(source=source, width=48)
    encoder = config.build(IMAGE, 4).eval()
    check_encoder(encoder, IMAGE, frame_stack=4)
    encoder.backbone.load_published()
    torch.nn.init.eye_(encoder.head.weight)
    torch.nn.init.zeros_(encoder.head.bias)
    values = pictures(2, 4)
    mean, std = (
        torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    library = hub.AutoModel.from_pretrained(source).eval()
    with torch.no_grad():
        clip = (values.permute(0, 1, 4, 2, 3) / 255 - mean) / std
        first, second = library.get_vision_features(clip).chunk(2, dim=1)
    expected = torch.cat([second - first, second], -1)
    torch.testing.assert_close(encoder(values), expected, atol=1e-4, rtol=1e-4)
    assert config.tokens(IMAGE) == (4, 48)
    assert not [name for name in encoder.state_dict() if "predictor" in name]


def test_text_networks_give_the_mean_of_their_own_features(tmp_path: Path) -> None:
    source = published.text(tmp_path / "text")
    encoder = PretrainedTextConfig(source=source, width=24).build(TASK_SPEC, 1).eval()
    check_encoder(encoder, TASK_SPEC)
    encoder.backbone.load_published()
    torch.nn.init.eye_(encoder.head.weight)
    torch.nn.init.zeros_(encoder.head.bias)
    texts = ("open the drawer", "the door", "", "open the drawer")
    tokeniser, library = (
        hub.AutoTokenizer.from_pretrained(source),
        hub.AutoModel.from_pretrained(source),
    )
    with torch.no_grad():
        expected = [
            library.eval()(**tokeniser(text, return_tensors="pt")).last_hidden_state.mean(1)
            for text in texts
        ]
    torch.testing.assert_close(encoder(words(*texts)), torch.stack(expected), atol=1e-4, rtol=1e-4)


def test_whole_images_are_brought_to_the_published_size(tmp_path: Path) -> None:
    """A picture of one colour stays that, at any size; one token is the mean of the places."""
    network, _ = published.images()["vit"]
    source = published.save(network, tmp_path / "vit")
    wide = ArraySpec(shape=(50, 90, 3), dtype="uint8")
    encoder = PretrainedImageConfig(source=source, pooled=True).build(wide, 1).eval()
    small, large = (
        torch.full((1, 1, *size, 3), 90, dtype=torch.uint8) for size in ((32, 32), (50, 90))
    )
    torch.testing.assert_close(encoder(small), encoder(large))
    places = copy.deepcopy(encoder)
    places.pooled = False
    torch.testing.assert_close(places(small).mean(1, keepdim=True), encoder(small))


# ------------------------------------------------------------------------------- what is trained


def networks(tmp_path: Path, trained: int | None) -> list[tuple[Perception, dict]]:
    image, _ = published.images()["dinov3"]
    image.pos_embed_rescale, image.drop_path_rate = 2.0, 0.5
    sources = [
        published.save(image, tmp_path / f"image{trained}"),
        published.save(published.video(), tmp_path / f"video{trained}"),
        published.text(tmp_path / f"text{trained}"),
    ]
    picture, clip, text = (
        cls(source=source, trained=trained)
        for cls, source in zip(
            (PretrainedImageConfig, PretrainedVideoConfig, PretrainedTextConfig),
            sources,
            strict=True,
        )
    )
    return [
        (perceiving(CAMERA, picture), {CAMERA: pictures(2, 1)}),
        (perceiving(CAMERA, clip, 2), {CAMERA: pictures(2, 2)}),
        (perceiving(TASK, text), {TASK: words("open the door", "the drawer")}),
    ]


@pytest.mark.parametrize("trained", [0, 1, 2, None])
def test_only_what_was_asked_for_is_trained(trained: int | None, tmp_path: Path) -> None:
    """Of three blocks the others get no gradient and stay, and nothing in them is random."""
    for perception, observation in networks(tmp_path, trained):
        perception.train()
        before = copy.deepcopy(perception.state_dict())
        optimiser = torch.optim.AdamW(perception.parameters(), lr=0.1, weight_decay=0.1)
        perception(observation).square().sum().backward()
        optimiser.step()
        changed = {n for n, v in perception.state_dict().items() if not torch.equal(v, before[n])}
        blocks = {int(n.split("layer.")[1].split(".")[0]) for n in changed if "layer." in n}
        assert {n for n in changed if ".head." in n and "backbone" not in n}
        if trained is None:
            assert blocks == {0, 1, 2} and any("embeddings" in n for n in changed)
        else:
            assert blocks == set(range(3 - trained, 3))
            assert not [n for n in changed if "backbone" in n and "layer." not in n]
        modes = [
            m.training for m in perception.encoders.modules() if isinstance(m, torch.nn.Dropout)
        ]
        assert all(modes) if trained is None else modes.count(True) <= trained * len(modes) / 3


def test_a_frozen_network_is_the_same_in_training(tmp_path: Path) -> None:
    for perception, observation in networks(tmp_path, 0):
        assert torch.equal(perception.train()(observation), perception.eval()(observation))


# ------------------------------------------------------------------------------- without the files


def test_a_model_is_rebuilt_without_the_folder(tmp_path: Path) -> None:
    for perception, observation in networks(tmp_path, 1):
        said = json.loads(json.dumps(to_json(perception.config)))
        (encoder,) = perception.config.encoders.values()
        shutil.rmtree(encoder.source)
        torch.manual_seed(1)
        again = Perception(from_json(said), SIGNATURE, {})
        again.load_state_dict(perception.state_dict())
        assert again.config == perception.config
        assert torch.equal(again.eval()(observation), perception.eval()(observation))


def test_an_untrained_architecture_takes_no_memory_to_check(tmp_path: Path) -> None:
    network, _ = published.images()["siglip"]
    config = PretrainedImageConfig(source=published.save(network, tmp_path / "s")).resolved()
    with torch.device("meta"):
        encoder = config.build(IMAGE, 2)
    assert {parameter.device.type for parameter in encoder.parameters()} == {"meta"}


# ------------------------------------------------------------------------------- refusals


def test_missing_things_are_named(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ForethoughtError, match=r"nowhere: no network is described there"):
        PretrainedImageConfig(source=str(tmp_path / "nowhere")).resolved()
    with pytest.raises(ForethoughtError, match=r"someone/nothing: no network is described there"):
        PretrainedTextConfig(source="someone/nothing").resolved()
    network, _ = published.images()["vit"]
    source = published.save(network, tmp_path / "vit")
    encoder = PretrainedImageConfig(source=source).build(IMAGE, 1)
    weights = Path(source, "model.safetensors")
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(ForethoughtError, match="Expected safetensors"):
        encoder.backbone.load_published()
    with pytest.raises(ForethoughtError, match="no tokeniser is there"):
        PretrainedTextConfig(source=source).resolved()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ForethoughtError, match=r"forethought\[hub\]"):
        PretrainedImageConfig(source=source).resolved()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """The library would leave random numbers where weights are missing."""
    network, _ = published.images()["vit"]
    other, _ = published.images()["dinov3"]
    source = published.save(network, tmp_path / "vit")
    encoder = PretrainedImageConfig(source=source).build(IMAGE, 1)
    weights = Path(published.save(other, tmp_path / "other"), "model.safetensors")
    shutil.copy(weights, source)
    with pytest.raises(ForethoughtError, match="weights lack"):
        encoder.backbone.load_published()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    network, _ = published.images()["siglip"]
    image = published.save(network, tmp_path / "image")
    video = published.save(published.video(), tmp_path / "video")
    with pytest.raises(ForethoughtError, match="trained=4, but the network has 3"):
        PretrainedImageConfig(source=image, trained=4).build(IMAGE, 1)
    with pytest.raises(ForethoughtError, match="does not take an input of shape"):
        PretrainedImageConfig(source=image, image_size=(48, 48)).resolved()
    with pytest.raises(ForethoughtError, match="expected 'vjepa2'"):
        PretrainedVideoConfig(source=image).resolved()
    with pytest.raises(ForethoughtError, match="frame_stack=3"):
        PretrainedVideoConfig(source=video).build(IMAGE, 3)
    with pytest.raises(ForethoughtError, match="square frames"):
        PretrainedVideoConfig(source=video, image_size=(32, 48)).resolved()
    with pytest.raises(ForethoughtError, match="needs text"):
        PretrainedTextConfig(source=image).build(IMAGE, 1)
