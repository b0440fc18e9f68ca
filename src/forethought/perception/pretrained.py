"""Published image and video networks as encoders: DINOv2, DINOv3, SigLIP, ViT, V-JEPA 2."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from forethought.config import register
from forethought.perception.backbone import (
    Backbone,
    PretrainedEncoderConfig,
    build_network,
    read_architecture,
    read_file,
)
from forethought.perception.encoders import as_changes, check_image
from forethought.types import ArraySpec, ForethoughtError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
VIDEO = "vjepa2"


@register
@dataclass(frozen=True, kw_only=True)
class ImageArchitecture:
    """A published network of images or clips, enough to build it again without its files.

    Attributes:
        network: its configuration in `transformers`, in JSON types.
        tokens: tokens of features, one per place of the picture; class and register tokens are
            not among them.
        width: width of a token.
        image_size: height and width that images are brought to.
        mean: of each channel, of pixels in [0, 1].
        std: of each channel.
    """

    network: Mapping[str, Any]
    tokens: int
    width: int
    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PretrainedVisionConfig(PretrainedEncoderConfig):
    """What image and video networks have in common.

    Attributes:
        source: folder of the network, or its ``owner/name`` on the hub.
        trained: blocks that are fine-tuned, counted from the last; 0 for none, None for all of it.
        width: width d of each token.
        pooled: whether it gives one token, the mean over places; otherwise one per place.
        image_size: height and width that whole images are brought to; None for the size that the
            network was published for.
        architecture: what was found at the source; None until it was read, see :meth:`resolved`.
    """

    pooled: bool = False
    image_size: tuple[int, int] | None = None
    architecture: ImageArchitecture | None = None

    @abstractmethod
    def read(self) -> ImageArchitecture:
        """See :class:`PretrainedEncoderConfig`."""

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        architecture = self.architecture or self.read()
        return (1 if self.pooled else architecture.tokens), self.width


@register
@dataclass(frozen=True, kw_only=True)
class PretrainedImageConfig(PretrainedVisionConfig):
    """A published image network, fine-tuned or as it is, and a trained linear map.

    Each of the stacked frames goes through the network; the features of the latest frame and their
    changes from frame to frame stand side by side before the linear map. Its settings are those of
    :class:`PretrainedVisionConfig`.
    """

    def read(self) -> ImageArchitecture:
        """See :class:`PretrainedEncoderConfig`."""
        network = read_architecture(self.source, "vision_config")
        said = read_file(self.source, "preprocessor_config.json") or {}
        size = self.image_size or _published_size(self.source, said, network.get("image_size"))
        with torch.device("meta"):
            features = _tried(self.source, network, {"pixel_values": torch.empty(1, 3, *size)})
        return ImageArchitecture(
            network=network,
            tokens=_places(features.shape[1], network.get("patch_size"), size),
            width=features.shape[2],
            image_size=size,
            **_published_colours(said),
        )

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`; weights are random until the published ones are loaded."""
        check_image(type(self).__name__, spec)
        return PretrainedImage(self, self.architecture or self.read(), frame_stack)


class PretrainedImage(nn.Module):
    """See :class:`PretrainedImageConfig`."""

    def __init__(
        self, config: PretrainedImageConfig, architecture: ImageArchitecture, frame_stack: int
    ) -> None:
        super().__init__()
        self.pooled, self.num_places = config.pooled, architecture.tokens
        self.pixels = PublishedPixels(architecture)
        self.backbone = Backbone(config, architecture.network)
        self.head = nn.Linear(frame_stack * architecture.width, config.width)

    def forward(self, values: UInt8[Tensor, "n f h w 3"]) -> Float[Tensor, "n k d"]:
        """One token per observation, or one per place."""
        pixels = self.pixels(values.flatten(0, 1))
        # Class and register tokens come first.
        places = _as_tokens(self.backbone(pixel_values=pixels))[:, -self.num_places :]
        frames = places.unflatten(0, values.shape[:2])
        return self.head(_side_by_side(frames, pooled=self.pooled))


@register
@dataclass(frozen=True, kw_only=True)
class PretrainedVideoConfig(PretrainedVisionConfig):
    """V-JEPA 2 (Assran et al., 2025) on the stacked frames as a clip, and a trained linear map.

    The features of the clip's latest moment and their changes from moment to moment stand side by
    side before the linear map. Its settings are those of :class:`PretrainedVisionConfig`; images
    are brought to a square.
    """

    def read(self) -> ImageArchitecture:
        """See :class:`PretrainedEncoderConfig`."""
        network = read_architecture(self.source)
        if network["model_type"] != VIDEO:
            raise ForethoughtError(
                f"{self.source}: found a network of type {network['model_type']!r}, expected "
                f"{VIDEO!r} (V-JEPA 2). Choose PretrainedImageConfig for image networks."
            )
        names = ("video_preprocessor_config.json", "preprocessor_config.json")
        said = next((found for name in names if (found := read_file(self.source, name))), {})
        size = self.image_size or _published_size(self.source, said, network["crop_size"])
        if size[0] != size[1]:
            raise ForethoughtError(
                f"{self.source}: V-JEPA 2 takes square frames, found image_size={size}; give equal "
                "height and width."
            )
        network["crop_size"] = size[0]
        with torch.device("meta"):
            clip = torch.empty(1, network["tubelet_size"], 3, *size)
            features = _tried(self.source, network, {"pixel_values_videos": clip}, "encoder")
        return ImageArchitecture(
            network=network,
            tokens=features.shape[1],
            width=features.shape[2],
            image_size=size,
            **_published_colours(said),
        )

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`; weights are random until the published ones are loaded.

        Raises:
            ForethoughtError: no image, or frames that make no whole number of moments.
        """
        check_image(type(self).__name__, spec)
        architecture = self.architecture or self.read()
        moment = architecture.network["tubelet_size"]
        if frame_stack > 1 and frame_stack % moment:
            raise ForethoughtError(
                f"{self.source}: the network joins {moment} frames to a moment, found "
                f"frame_stack={frame_stack}; give 1 or a multiple of {moment}."
            )
        return PretrainedVideo(self, architecture, max(1, frame_stack // moment))


class PretrainedVideo(nn.Module):
    """See :class:`PretrainedVideoConfig`."""

    def __init__(
        self, config: PretrainedVideoConfig, architecture: ImageArchitecture, moments: int
    ) -> None:
        super().__init__()
        self.pooled, self.moments = config.pooled, moments
        self.pixels = PublishedPixels(architecture)
        self.backbone = Backbone(config, architecture.network, "encoder")
        self.head = nn.Linear(moments * architecture.width, config.width)

    def forward(self, values: UInt8[Tensor, "n f h w 3"]) -> Float[Tensor, "n k d"]:
        """One token per observation, or one per place."""
        clips = self.pixels(values.flatten(0, 1)).unflatten(0, values.shape[:2])
        places = self.backbone(pixel_values_videos=clips)
        moments = places.unflatten(1, (self.moments, -1))
        return self.head(_side_by_side(moments, pooled=self.pooled))


class PublishedPixels(nn.Module):
    """Images as a published network takes them: resized, whole, and standardised per channel.

    Args:
        architecture: says size, mean and deviation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: ImageArchitecture) -> None:
        super().__init__()
        self.size = tuple(architecture.image_size)
        for name, values in (("mean", architecture.mean), ("std", architecture.std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, images: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n 3 h2 w2"]:
        """Pixels in units of the network's own training."""
        pixels = images.permute(0, 3, 1, 2).float().div(255.0)
        if pixels.shape[2:] != self.size:
            pixels = nn.functional.interpolate(
                pixels, self.size, mode="bilinear", antialias=True, align_corners=False
            )
        return (pixels - self.mean) / self.std


def _side_by_side(features: Float[Tensor, "n t k w"], *, pooled: bool) -> Float[Tensor, "n k2 i"]:
    """Changes and the latest features of each place, or of their mean, joined in width."""
    if pooled:
        features = features.mean(2, keepdim=True)
    return as_changes(features).transpose(1, 2).flatten(2)


def _as_tokens(features: Float[Tensor, "n ..."]) -> Float[Tensor, "n k w"]:
    """Convolutional networks give maps ``(n, w, rows, columns)``."""
    return features.flatten(2).transpose(1, 2) if features.ndim == 4 else features


# ------------------------------------------------------------------------- what was published


def _tried(
    source: str, network: Mapping[str, Any], inputs: Mapping[str, Tensor], part: str = ""
) -> Float[Tensor, "n k w"]:
    """Features of an input, for their shape."""
    try:
        return _as_tokens(build_network(network, part).eval()(**inputs).last_hidden_state)
    except (ValueError, RuntimeError, TypeError, AttributeError) as error:
        shape = tuple(next(iter(inputs.values())).shape)
        raise ForethoughtError(
            f"{source}: the network ({network.get('model_type')}) does not take an input of shape "
            f"{shape}: {error}. Give the image_size it was published for, or a network that turns "
            "images into features."
        ) from error


def _places(tokens: int, patch: int | tuple[int, int] | None, size: tuple[int, int]) -> int:
    """Of all tokens those that are places of the picture."""
    if patch is None:
        return tokens
    height, width = patch if isinstance(patch, tuple) else (patch, patch)
    patches = (size[0] // height) * (size[1] // width)
    # Networks that join patches have fewer tokens than patches, and all of them are places.
    return min(tokens, patches)


def _published_size(source: str, said: Mapping[str, Any], otherwise: Any) -> tuple[int, int]:
    """What a crop, else a resize, of its own preprocessing leaves; else the architecture's size."""
    kept = [said.get("crop_size")] if said.get("do_center_crop") else []
    for size in (*kept, said.get("size"), otherwise):
        if isinstance(size, Mapping) and "shortest_edge" in size:
            return size["shortest_edge"], size["shortest_edge"]
        if isinstance(size, Mapping) and "height" in size:
            return size["height"], size["width"]
        if isinstance(size, int):
            return size, size
        if isinstance(size, list | tuple):
            return size[0], size[1]
    raise ForethoughtError(
        f"{source}: neither the preprocessing nor the architecture says a size of images; give "
        "image_size=(height, width)."
    )


def _published_colours(said: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Mean and deviation that it was trained with; ImageNet's where it does not say."""
    if said.get("do_normalize") is False:
        return {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    mean, std = said.get("image_mean") or IMAGENET_MEAN, said.get("image_std") or IMAGENET_STD
    return {"mean": tuple(mean), "std": tuple(std)}
