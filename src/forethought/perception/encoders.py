"""Encoders: one observation key to tokens.

Every encoder takes ``(n, f, ...)``, the frames stacked for one observation, and gives tokens
``(n, k, d)``. Batch statistics are never used, so that an observation means the same alone as in
a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from forethought.config import register
from forethought.products import linear
from forethought.types import ArraySpec, ForethoughtError

CHANGE_GAIN = 3.0
"""Changes between stacked frames are this much enlarged: they are small next to the picture."""


class EncoderConfig(ABC):
    """Settings of an encoder, and how to build it."""

    @abstractmethod
    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """An encoder for observations of this spec."""

    @abstractmethod
    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """``(k, d)`` of what the encoder gives."""

    def resolved(self) -> EncoderConfig:
        """The same settings, complete: what they say of files elsewhere is read and written down.

        Most settings are complete as they are.
        """
        return self


def as_changes(frames: Float[Tensor, "n f *rest"], gain: float = 1.0) -> Float[Tensor, "n f *rest"]:
    """A window of frames: the changes that led to the latest, then the latest itself.

    What moves between two frames is a few pixels; as a difference it is plain at once.
    """
    if frames.shape[1] == 1:
        return frames
    return torch.cat([gain * (frames[:, 1:] - frames[:, :-1]), frames[:, -1:]], dim=1)


def stacked_pixels(frames: UInt8[Tensor, "n f h w 3"]) -> Float[Tensor, "n c h w"]:
    """Stacked frames as ``3 f`` channels: pixels in [-0.5, 0.5], earlier frames as changes."""
    pixels = frames.permute(0, 1, 4, 2, 3).float().div(255.0).sub(0.5)
    return as_changes(pixels, CHANGE_GAIN).flatten(1, 2)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, channels // 8), channels)


class Patches(nn.Conv2d):
    """A convolution of patches side by side: ``kernel_size`` is ``stride``.

    For a single image it is asked for as the product that it is, which begins sooner.
    """

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n o h2 w2"]:
        """See :class:`torch.nn.Conv2d`."""
        if len(input) > 1 or torch.is_grad_enabled():
            return super().forward(input)
        size = self.kernel_size[0]
        tiles = input[0].unflatten(2, (-1, size)).unflatten(1, (-1, size)).permute(1, 3, 0, 2, 4)
        made = linear(tiles.flatten(2), self.weight.flatten(1), self.bias)
        return made.permute(2, 0, 1).unsqueeze(0)


class ImageStem(nn.Module):
    """Stacked uint8 frames ``(n, f, h, w, 3)`` to feature maps ``(n, c, h', w')``.

    A patch stem followed by 3x3 convolutions of stride 2, one for each further channel count.
    """

    def __init__(
        self, frame_stack: int, patch: int, channels: tuple[int, ...], *, normalise: bool = True
    ) -> None:
        super().__init__()

        def norm(width: int) -> nn.Module:
            return _norm(width) if normalise else nn.Identity()

        layers: list[nn.Module] = [
            Patches(3 * frame_stack, channels[0], patch, stride=patch),
            norm(channels[0]),
            nn.GELU(),
        ]
        for width_in, width_out in pairwise(channels):
            layers += [
                nn.Conv2d(width_in, width_out, 3, stride=2, padding=1),
                norm(width_out),
                nn.GELU(),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, frames: UInt8[Tensor, "n f h w 3"]) -> Float[Tensor, "n c h2 w2"]:
        """Feature maps of frames told as :func:`stacked_pixels` does."""
        return self.layers(stacked_pixels(frames))


def check_image(name: str, spec: ArraySpec, stride: int = 1) -> None:
    """Refuses what an encoder of images cannot take.

    Args:
        name: of the encoder's configuration, for the message.
        spec: the observation key.
        stride: how many times the image is reduced.

    Raises:
        ForethoughtError: no image, or one that cannot be reduced so many times.
    """
    if len(spec.shape) != 3 or spec.shape[2] != 3 or spec.dtype != "uint8":
        raise ForethoughtError(
            f"{name} needs uint8 images of shape (height, width, 3), found {spec.dtype} "
            f"{spec.shape}; choose MLPEncoderConfig for vectors."
        )
    if spec.shape[0] % stride or spec.shape[1] % stride:
        raise ForethoughtError(
            f"{name} reduces images {stride} times, so height and width must be multiples of "
            f"{stride}; found {spec.shape[:2]}. Set image_size in the training configuration."
        )


def _check_vector(name: str, spec: ArraySpec) -> None:
    if len(spec.shape) != 1 or spec.dtype != "float32":
        raise ForethoughtError(
            f"{name} needs float32 vectors, found {spec.dtype} {spec.shape}; choose CNNConfig for "
            "images, ByteTextConfig for text."
        )


@register
@dataclass(frozen=True, kw_only=True)
class CNNConfig(EncoderConfig):
    """A small convolutional network to one token.

    Attributes:
        width: width d of the token.
        patch: size and stride of the patch stem.
        channels: channels of the stem and of each stride-2 convolution after it.
    """

    width: int = 16
    patch: int = 4
    channels: tuple[int, ...] = (32, 64, 64)

    @property
    def stride(self) -> int:
        """How many times the image is reduced."""
        return self.patch * 2 ** (len(self.channels) - 1)

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`."""
        check_image(type(self).__name__, spec, self.stride)
        return CNN(self, spec, frame_stack)

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        return 1, self.width


class CNN(nn.Module):
    """Convolutions, then a linear map of the whole map: position survives, unlike with pooling."""

    def __init__(self, config: CNNConfig, spec: ArraySpec, frame_stack: int) -> None:
        super().__init__()
        height, width = spec.shape[0] // config.stride, spec.shape[1] // config.stride
        self.stem = ImageStem(frame_stack, config.patch, config.channels)
        self.head = nn.Linear(config.channels[-1] * height * width, config.width)

    def forward(self, values: UInt8[Tensor, "n f h w 3"]) -> Float[Tensor, "n 1 d"]:
        """One token per observation."""
        return self.head(self.stem(values).flatten(1)).unsqueeze(1)


@register
@dataclass(frozen=True, kw_only=True)
class GridCNNConfig(EncoderConfig):
    """A small convolutional network that keeps the image's grid: one token per place.

    Attributes:
        width: width d of each token.
        patch: size and stride of the patch stem.
        channels: channels of the stem and of each stride-2 convolution after it.
    """

    width: int = 16
    patch: int = 4
    channels: tuple[int, ...] = (24, 48)

    @property
    def stride(self) -> int:
        """How many times the image is reduced."""
        return self.patch * 2 ** (len(self.channels) - 1)

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`."""
        check_image(type(self).__name__, spec, self.stride)
        return GridCNN(self, frame_stack)

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        return (spec.shape[0] // self.stride) * (spec.shape[1] // self.stride), self.width


class GridCNN(nn.Module):
    """Convolutions to a grid of tokens, row by row.

    Nothing is normalised over the picture, so that a token depends on its neighbourhood alone.
    """

    def __init__(self, config: GridCNNConfig, frame_stack: int) -> None:
        super().__init__()
        last = config.channels[-1]
        self.stem = ImageStem(frame_stack, config.patch, config.channels, normalise=False)
        self.head = nn.Sequential(
            nn.Conv2d(last, last, 3, padding=1), nn.GELU(), nn.Conv2d(last, config.width, 1)
        )

    def forward(self, values: UInt8[Tensor, "n f h w 3"]) -> Float[Tensor, "n k d"]:
        """``k = height * width / stride**2`` tokens per observation."""
        return self.head(self.stem(values)).flatten(2).transpose(1, 2)


@register
@dataclass(frozen=True, kw_only=True)
class MLPEncoderConfig(EncoderConfig):
    """An MLP on the stacked, standardised vectors, beside a linear path.

    The linear path keeps what is already a good coordinate readable from the latent.

    Attributes:
        width: width d of the token.
        hidden: width of each hidden layer.
    """

    width: int = 32
    hidden: tuple[int, ...] = (128,)

    num_tokens: ClassVar[int] = 1

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`."""
        _check_vector(type(self).__name__, spec)
        return MLPEncoder(self, spec.shape[0] * frame_stack)

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        return self.num_tokens, self.width


class MLPEncoder(nn.Module):
    """``linear(x) + mlp(x)`` to one token."""

    def __init__(self, config: MLPEncoderConfig, num_inputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_inputs, config.width)
        self.mlp = mlp(num_inputs, config.hidden, config.width)

    def forward(self, values: Float[Tensor, "n f w"]) -> Float[Tensor, "n 1 d"]:
        """One token per observation."""
        flat = values.flatten(1)
        return (self.linear(flat) + self.mlp(flat)).unsqueeze(1)


@register
@dataclass(frozen=True, kw_only=True)
class AnchoredMLPConfig(EncoderConfig):
    """The standardised vector itself, and beside it what an MLP makes of its history.

    Where the sensors already give good coordinates, keeping them as a fixed part of the latent
    means that it cannot collapse, and that prediction is measured in known units; the learned part
    is free for what the vector leaves out (velocities, lags, contact).

    Attributes:
        learned: width of the learned part; the token is this much wider than the vector.
        hidden: width of each hidden layer.
        invariant: entries of the vector (positions on a plane, say) whose value does not matter
            for what happens, only their changes; the learned part never sees the value.
    """

    learned: int = 32
    hidden: tuple[int, ...] = (128, 128)
    invariant: tuple[int, ...] = ()

    def build(self, spec: ArraySpec, frame_stack: int) -> nn.Module:
        """See :class:`EncoderConfig`."""
        _check_vector(type(self).__name__, spec)
        return AnchoredMLP(self, spec.shape[0], frame_stack)

    def tokens(self, spec: ArraySpec) -> tuple[int, int]:
        """See :class:`EncoderConfig`."""
        return 1, spec.shape[0] + self.learned


class AnchoredMLP(nn.Module):
    """``[x, linear(history) + mlp(history)]`` as one token; x comes first."""

    kept: Tensor

    def __init__(self, config: AnchoredMLPConfig, width: int, frame_stack: int) -> None:
        super().__init__()
        kept = torch.ones(frame_stack, width)
        kept[-1, list(config.invariant)] = 0
        self.register_buffer("kept", kept, persistent=False)
        self.anchored, self.learned = width, config.learned
        self.linear = nn.Linear(width * frame_stack, config.learned)
        self.mlp = mlp(width * frame_stack, config.hidden, config.learned)

    def forward(self, values: Float[Tensor, "n f w"]) -> Float[Tensor, "n 1 d"]:
        """One token per observation."""
        history = self.history(values)
        learned = self.linear(history) + self.mlp(history)
        return torch.cat([values[:, -1], learned], dim=-1).unsqueeze(1)

    def history(self, values: Float[Tensor, "n f w"]) -> Float[Tensor, "n i"]:
        """What the learned part sees."""
        return (values * self.kept).flatten(1)

    @torch.no_grad()
    def begin_linear(self, weight: Float[Tensor, "i o"], bias: Float[Tensor, " o"]) -> None:
        """Makes the first ``o`` learned entries this linear function of the history."""
        first = slice(0, weight.shape[1])
        self.linear.weight[first], self.linear.bias[first] = weight.T, bias
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        last.weight[first] = 0
        last.bias[first] = 0


class MLP(nn.Sequential):
    """Linear layers with GELU between them."""

    def forward(self, input: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        """The last layer's outputs."""
        *hidden, last = (layer for layer in self if isinstance(layer, nn.Linear))
        for layer in hidden:
            input = linear(input, layer.weight, layer.bias, functional.gelu)
        return linear(input, last.weight, last.bias)


def mlp(num_inputs: int, hidden: tuple[int, ...], num_outputs: int) -> MLP:
    """Linear layers of these widths with GELU between them."""
    sizes = (num_inputs, *hidden)
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes):
        layers += [nn.Linear(size_in, size_out), nn.GELU()]
    return MLP(*layers, nn.Linear(sizes[-1], num_outputs))
