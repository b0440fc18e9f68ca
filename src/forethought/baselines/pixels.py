"""A world model that is taught by drawing the future instead of foreseeing its own latents.

The same encoder and predictor as a joint-embedding model, and a decoder: the present and every
state rolled out from it are drawn, and compared with the recorded frames pixel by pixel. What is
left is an ordinary model, which plans, is probed and is measured like any other. It is PlaNet
(Hafner et al., 2019) without reward and without chance; with ``dynamics`` it has the balanced
dynamics loss of Dreamer (Hafner et al., 2023, equation 5), whose gradients reach the predictor
alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from forethought.config import register
from forethought.data.windows import WindowSampler
from forethought.learning.pretraining import ObjectiveConfig, PretrainingStage
from forethought.learning.train import TrainConfig
from forethought.learning.trainer import OptimiserConfig
from forethought.types import IMAGES, ArraySpec, ForethoughtError, Past
from forethought.world_model.world_model import WorldModel

FRAMES_OF_GROUND = 2048
"""Recorded clips from which the mean picture is taken."""


# ------------------------------------------------------------------------------------ drawing


@register
@dataclass(frozen=True, kw_only=True)
class PictureDecoderConfig:
    """A small transposed-convolutional network from a latent to a picture.

    Attributes:
        channels: of the smallest map, and of the map after each doubling.
        patch: size and stride of the last layer, which draws the pixels.
    """

    channels: tuple[int, ...] = (64, 32, 32)
    patch: int = 4

    @property
    def stride(self) -> int:
        """How many times the smallest map is enlarged."""
        return self.patch * 2 ** (len(self.channels) - 1)

    def build(self, spec: ArraySpec, num_inputs: int) -> PictureDecoder:
        """A decoder from latents of ``num_inputs`` numbers.

        Raises:
            ForethoughtError: pictures whose sides are no multiples of the stride.
        """
        if spec.shape[0] % self.stride or spec.shape[1] % self.stride:
            raise ForethoughtError(
                f"PictureDecoderConfig enlarges maps {self.stride} times, so height and width must "
                f"be multiples of {self.stride}; found {spec.shape[:2]}. Set image_size in the "
                "training configuration, or change channels or patch."
            )
        return PictureDecoder(self, spec, num_inputs)


class PictureDecoder(nn.Module):
    """``ground + layers(latent)``: what differs from the mean picture is drawn.

    Args:
        config: its size.
        spec: of the pictures.
        num_inputs: ``k * d``.
    """

    ground: Tensor

    def __init__(self, config: PictureDecoderConfig, spec: ArraySpec, num_inputs: int) -> None:
        super().__init__()
        height, width, colours = spec.shape
        smallest = (config.channels[0], height // config.stride, width // config.stride)
        layers: list[nn.Module] = [
            nn.Linear(num_inputs, smallest[0] * smallest[1] * smallest[2]),
            nn.Unflatten(1, smallest),
            nn.GELU(),
        ]
        for width_in, width_out in pairwise(config.channels):
            layers += [nn.ConvTranspose2d(width_in, width_out, 4, stride=2, padding=1), nn.GELU()]
        layers.append(
            nn.ConvTranspose2d(config.channels[-1], colours, config.patch, stride=config.patch)
        )
        self.layers = nn.Sequential(*layers)
        self.register_buffer("ground", torch.zeros(colours, height, width))

    def forward(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch 3 h w"]:
        """Pictures with pixels in about [0, 1]."""
        drawn = self.layers(latents.flatten(0, -3).flatten(1))
        return self.ground + drawn.unflatten(0, latents.shape[:-2])


class PictureDecoders(nn.Module):
    """A decoder for every camera that a world model perceives.

    Args:
        config: of each.
        world_model: whose latents are drawn.

    Raises:
        ForethoughtError: the world model has no camera.
    """

    def __init__(self, config: PictureDecoderConfig, world_model: WorldModel) -> None:
        super().__init__()
        keys = world_model.perception.keys
        self.cameras = tuple(key for key in keys if key.startswith(IMAGES))
        if not self.cameras:
            raise ForethoughtError(
                f"PixelObjectiveConfig draws what cameras see, but {sorted(keys)} has none; train "
                "with JEPAConfig."
            )
        specs, size = world_model.signature.observation, world_model.num_tokens * world_model.width
        self.by_camera = nn.ModuleList(config.build(specs[key], size) for key in self.cameras)

    def items(self) -> Iterable[tuple[str, nn.Module]]:
        """Cameras and their decoders."""
        return zip(self.cameras, self.by_camera, strict=True)


def as_pictures(frames: UInt8[Tensor, "*batch h w 3"]) -> Float[Tensor, "*batch 3 h w"]:
    """Recorded frames as they are drawn: pixels in [0, 1]."""
    return frames.movedim(-1, -3).float().div(255.0)


def weights_of_change(
    frames: UInt8[Tensor, "b t h w 3"], *, still: float
) -> Float[Tensor, "b h w"]:
    """How much each pixel of a clip counts: the more, the wider the range of what it shows.

    A small thing that moves then counts, where it is drawn and where it has to be gone, beside a
    large ground that does not: of a plain mean the dot of the two rooms is half a percent.

    Args:
        frames: recorded clips.
        still: weight of a pixel that never changes, from zero to one; one weighs all alike.
    """
    changes = (frames.amax(1) - frames.amin(1)).amax(-1).float().div(255.0)
    return still + (1 - still) * changes


def drawing_error(
    drawn: Float[Tensor, "b t 3 h w"],
    true: Float[Tensor, "b t 3 h w"],
    weights: Float[Tensor, "b h w"],
) -> Float[Tensor, ""]:
    """Weighted mean squared error of drawn clips."""
    error = (drawn - true).square().mean((1, 2))
    return (weights * error).mean() / weights.mean()


# ------------------------------------------------------------------------------------ learning


@register
@dataclass(frozen=True, kw_only=True)
class PixelObjectiveConfig(ObjectiveConfig):
    """Pretraining by drawing: no joint-embedding loss, and nothing against collapse, which pixels
    forbid.

    Attributes:
        decoder: what draws.
        still: weight of pixels that do not change in a clip, see :func:`weights_of_change`.
        pictures: states of each clip that are compared with what came, any of those rolled out:
            drawing is what takes time, and neighbours look alike.
        dynamics: weight of the squared distance of foreseen latents from what the encoder makes of
            the frames; its gradients reach the predictor alone. Zero for drawing only.
    """

    decoder: PictureDecoderConfig = field(default_factory=PictureDecoderConfig)
    still: float = 0.05
    pictures: int = 4
    dynamics: float = 0.0

    def parts(self, world_model: WorldModel) -> dict[str, nn.Module]:
        """See :class:`ObjectiveConfig`."""
        return {"decoders": PictureDecoders(self.decoder, world_model)}

    def stage(
        self,
        world_model: WorldModel,
        parts: Mapping[str, nn.Module],
        clips: WindowSampler,
        held_out: WindowSampler,
    ) -> PixelStage:
        """See :class:`ObjectiveConfig`."""
        decoders = parts["decoders"]
        assert isinstance(decoders, PictureDecoders)
        return PixelStage(self, world_model, decoders, clips, held_out)


class PixelStage(PretrainingStage):
    """Trains a world model to draw what comes.

    Args:
        config: the objective.
        world_model: what is trained.
        decoders: what draws; trained as well, and left behind.
        clips: training clips.
        held_out: clips of held-out episodes, for monitoring.
    """

    def __init__(
        self,
        config: PixelObjectiveConfig,
        world_model: WorldModel,
        decoders: PictureDecoders,
        clips: WindowSampler,
        held_out: WindowSampler,
    ) -> None:
        super().__init__(config.optimiser, world_model, clips, held_out)
        self.config = config
        self.decoders = decoders

    @torch.no_grad()
    def begin(self) -> None:
        """Drawing begins with the mean picture."""
        some = self.clips.sample(
            FRAMES_OF_GROUND // self.clips.config.length, torch.Generator().manual_seed(0)
        )
        for camera, decoder in self.decoders.items():
            frames = some.observation[camera][:, :, -1].flatten(0, 1)
            assert isinstance(decoder, PictureDecoder)
            decoder.ground.copy_(as_pictures(frames).mean(0))

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        for parameter in (*self.world_model.parameters(), *self.decoders.parameters()):
            if parameter.requires_grad:
                yield parameter

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        clips = self.clips.sample(self.optimiser.batch_size, generator)
        observation = self.on_device(clips)
        actions = self.world_model.normalise(clips.actions.to(self.world_model.low.device))
        present = self.known(generator)
        states = self._states(observation, actions, present)
        some = torch.randperm(states.shape[2], generator=generator)[: self.config.pictures]
        drawing = self._drawing(states, observation, present, some)
        parts = {"drawing": drawing.detach()}
        if not self.config.dynamics:
            return drawing, parts
        with torch.no_grad():
            came = {key: part[:, present + some] for key, part in observation.items()}
            targets = self.world_model.encode(came)
        # From where the encoder's gradients do not reach, so that only the predictor is taught.
        foreseen = self._states(observation, actions, present, shape_encoder=False)
        dynamics = (foreseen[:, :, some] - targets).square().mean()
        return drawing + self.config.dynamics * dynamics, {**parts, "dynamics": dynamics.detach()}

    def _states(
        self,
        observation: Mapping[str, Tensor],
        actions: Float[Tensor, "b t_minus_1 a"],
        present: int,
        *,
        shape_encoder: bool = True,
    ) -> Float[Tensor, "m b t_left k d"]:
        """The present, and what each member of the predictor foresees from there."""
        model = self.world_model
        with torch.set_grad_enabled(torch.is_grad_enabled() and shape_encoder):
            latents = model.encode(
                {key: part[:, : present + 1] for key, part in observation.items()}
            )
        past = Past(latents=latents[:, :present], actions=actions[:, :present])
        return model.futures(latents[:, present], actions[:, present:], past=past)

    def _drawing(
        self,
        states: Float[Tensor, "m b t_left k d"],
        observation: Mapping[str, Tensor],
        present: int,
        some: Int[Tensor, " s"],
    ) -> Float[Tensor, ""]:
        """How far some drawn frames are from the recorded ones, over members and cameras."""
        errors = []
        for camera, decoder in self.decoders.items():
            frames = observation[camera][:, present:, -1]
            weights = weights_of_change(frames, still=self.config.still)
            true = as_pictures(frames[:, some])
            for member in states[:, :, some].unbind(0):
                errors.append(drawing_error(decoder(member), true, weights))
        return torch.stack(errors).mean()


def drawing_run(
    config: TrainConfig, *, num_steps: int = 4000, dynamics: float = 0.0
) -> TrainConfig:
    """The same run, pretrained by drawing.

    Args:
        config: a run of a world model with a camera.
        num_steps: of pretraining; drawing needs more of them than foreseeing latents.
        dynamics: see :class:`PixelObjectiveConfig`.
    """
    return replace(
        config,
        recipe=f"{config.recipe}_pixels",
        objective=PixelObjectiveConfig(
            optimiser=OptimiserConfig(num_steps=num_steps, batch_size=32, learning_rate=2e-3),
            horizon=config.objective.horizon,
            dynamics=dynamics,
        ),
    )
