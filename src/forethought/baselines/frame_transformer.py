"""A world model that writes the next frame token by token, as a language model writes text.

The sequence is the tokens of a frame (:mod:`forethought.baselines.frames`), one token for the
action, the tokens of the next frame, and so on; a causal transformer learns the next token by
cross entropy, and a frame is written greedily, each token given those before it (IRIS, Micheli et
al., 2023; GPT, Radford et al., 2019). It keeps the promises of a predictor, so that critic, probes
and planners are those of every other model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from forethought.baselines.frames import CodedFramesConfig, FrameCodes, nearest
from forethought.baselines.transformer import TokenTransformerConfig
from forethought.config import register
from forethought.data.windows import WindowSampler
from forethought.learning.pretraining import ObjectiveConfig, PretrainingStage
from forethought.learning.train import TrainConfig
from forethought.learning.trainer import OptimiserConfig
from forethought.perception.encoders import mlp
from forethought.types import ForethoughtError
from forethought.world_model.predictors import Predictor, PredictorConfig
from forethought.world_model.world_model import WorldModel

INITIAL_STD = 0.02


# ------------------------------------------------------------------------------------ predicting


@register
@dataclass(frozen=True, kw_only=True)
class FrameTransformerConfig(PredictorConfig):
    """A causal transformer over the tokens of frames and actions.

    Attributes:
        codes: the vocabulary; as many as the encoder has.
        width: of the stream between the blocks.
        depth: number of blocks.
        heads: of attention.
        window: frames, each with its action, that come before the one to be written.
    """

    codes: int = 1024
    width: int = 96
    depth: int = 3
    heads: int = 4
    window: int = 1

    def build(self, tokens: int, width: int, action_width: int) -> Predictor:
        """See :class:`PredictorConfig`."""
        return FrameTransformer(self, tokens, width, action_width)


class FrameTransformer(Predictor):
    """Writes the ``k`` tokens of the next frame, one after another, each the likeliest.

    Latents are codes as vectors; what lies between two codes is taken for the nearer one. Where
    gradients are wanted they pass straight through both choices (Bengio et al., 2013): forwards a
    code, backwards the mean of the codes under the predicted probabilities.

    Args:
        config: its size.
        tokens: of a frame (``k``).
        width: of a code (``d``).
        action_width: of a model action.
    """

    codes: Tensor

    def __init__(
        self, config: FrameTransformerConfig, tokens: int, width: int, action_width: int
    ) -> None:
        super().__init__()
        self.window, self.num_tokens = config.window, tokens
        self.register_buffer("codes", torch.randn(config.codes, width))
        self.transformer = TokenTransformerConfig(
            vocabulary=config.codes,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            context=config.window * (tokens + 1) + tokens,
        ).build()
        # What a code looks like is told beside its name, so that rare ones are like common ones.
        self.look = nn.Linear(width, config.width, bias=False)
        self.places = nn.Parameter(torch.randn(tokens, config.width) * INITIAL_STD)
        self.action_in = mlp(action_width, (2 * config.width,), config.width)
        with torch.no_grad():
            self.look.weight.mul_(0.1)

    def forward(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n k d"]:
        """See :class:`Predictor`."""
        with torch.no_grad():
            written = self.write(latents, actions)
        hard = self.codes[written]
        if not torch.is_grad_enabled():
            return hard
        logits = self._logits_of(latents, actions, self.codes[written])[:, -1]
        soft = logits.softmax(-1) @ self.codes
        return hard + soft - soft.detach()

    def write(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Int[Tensor, "n k"]:
        """The next frame's codes, as numbers; what is known is read once and kept."""
        words = self._words()
        hidden, past = self.transformer.follow(self._read(latents, actions))
        written = [(hidden[:, -1] @ words.T).argmax(-1)]
        for place in range(self.num_tokens - 1):
            word = words[written[-1]] + self.places[place]
            hidden, past = self.transformer.follow(word[:, None], past)
            written.append((hidden[:, -1] @ words.T).argmax(-1))
        return torch.stack(written, dim=1)

    def nats(
        self, latents: Float[Tensor, "n t k d"], actions: Float[Tensor, "n t_minus_1 a"]
    ) -> Float[Tensor, "n t_minus_1 k"]:
        """Minus the logarithm of the probability of each token of every frame but the first.

        Args:
            latents: codes of successive frames, at most one more than the window.
            actions: what was done between them, standardised.
        """
        logits = self._logits_of(latents[:, :-1], actions, latents[:, -1])
        true = nearest(latents[:, 1:], self.codes)
        return nn.functional.cross_entropy(
            logits.flatten(0, 2), true.flatten(), reduction="none"
        ).view(true.shape)

    def _logits_of(
        self,
        latents: Float[Tensor, "n w k d"],
        actions: Float[Tensor, "n w a"],
        last: Float[Tensor, "n k d"],
    ) -> Float[Tensor, "n w k v"]:
        """Logits of every token of the frames after the first, the true ones being known."""
        known = self._read(latents, actions)
        stream = torch.cat([known, self._words_of(last)], dim=1)
        hidden, _ = self.transformer.follow(stream[:, :-1])
        # A token is foretold where the one before it is read: the first of a frame at the action.
        spoken = hidden[:, self.num_tokens :]
        steps = nn.functional.pad(spoken, (0, 0, 0, 1)).unflatten(1, (-1, self.num_tokens + 1))
        return steps[:, :, : self.num_tokens] @ self._words().T

    def _read(
        self, latents: Float[Tensor, "n w k d"], actions: Float[Tensor, "n w a"]
    ) -> Float[Tensor, "n s e"]:
        """Frames and actions as the transformer is given them."""
        frames = self._words_of(latents)
        return torch.cat([frames, self.action_in(actions)[:, :, None]], dim=2).flatten(1, 2)

    def _words(self) -> Float[Tensor, "v e"]:
        """Every code as a word, which also reads out what comes next."""
        return self.transformer.embedding.weight + self.look(self.codes)

    def _words_of(self, latents: Float[Tensor, "*batch k d"]) -> Float[Tensor, "*batch k e"]:
        """Latents as words in their places."""
        with torch.no_grad():
            ids = nearest(latents, self.codes)
        code = latents + (self.codes[ids] - latents).detach()
        return self.transformer.embedding(ids) + self.look(code) + self.places


# ------------------------------------------------------------------------------------ learning


@register
@dataclass(frozen=True, kw_only=True)
class NextFrameTokenConfig(ObjectiveConfig):
    """Pretraining by predicting the next token of a frame.

    Attributes:
        horizon: one; what follows further on is written by what was learned of one step.
        frames: recorded frames that codes are learned from.
    """

    horizon: int = 1
    frames: int = 6000

    def __post_init__(self) -> None:
        if self.horizon != 1:
            raise ForethoughtError(
                f"next-token prediction learns one model step at a time, found horizon="
                f"{self.horizon}; set it to 1, and the predictor's window to see more frames."
            )

    def parts(self, world_model: WorldModel) -> dict[str, nn.Module]:
        """See :class:`ObjectiveConfig`."""
        return {}

    def stage(
        self,
        world_model: WorldModel,
        parts: Mapping[str, nn.Module],
        clips: WindowSampler,
        held_out: WindowSampler,
    ) -> NextFrameTokenStage:
        """See :class:`ObjectiveConfig`."""
        return NextFrameTokenStage(self, world_model, clips, held_out)


class NextFrameTokenStage(PretrainingStage):
    """Learns the codes, then trains the transformer on them.

    Args:
        config: the objective.
        world_model: of coded frames and a frame transformer.
        clips: training clips.
        held_out: clips of held-out episodes, for monitoring.

    Raises:
        ForethoughtError: another encoder or predictor, or one that knows fewer codes.
    """

    def __init__(
        self,
        config: NextFrameTokenConfig,
        world_model: WorldModel,
        clips: WindowSampler,
        held_out: WindowSampler,
    ) -> None:
        super().__init__(config.optimiser, world_model, clips, held_out)
        self.config = config
        self.key, self.encoder, self.predictor = _parts_of(world_model)

    @torch.no_grad()
    def begin(self) -> None:
        """Learns the codes from recorded frames."""
        generator = torch.Generator().manual_seed(0)
        recorded = self.clips.arrays.observation[self.key]
        some = torch.randperm(len(recorded), generator=generator)[: self.config.frames]
        self.encoder.learn(recorded[some].to(self.encoder.codes.device), generator)
        self.predictor.codes.copy_(self.encoder.codes)

    def parameters(self) -> Iterable[nn.Parameter]:
        """See :class:`Stage`."""
        return self.predictor.parameters()

    def loss(self, generator: torch.Generator) -> tuple[Float[Tensor, ""], Mapping[str, Tensor]]:
        """See :class:`Stage`."""
        clips = self.clips.sample(self.optimiser.batch_size, generator)
        latents = self.world_model.encode(self.on_device(clips))
        actions = self.world_model.normalise(clips.actions.to(latents.device))
        nats = self.predictor.nats(latents, actions)
        return nats.mean(), {"nats_per_frame": nats.detach().sum(-1).mean()}


def _parts_of(world_model: WorldModel) -> tuple[str, FrameCodes, FrameTransformer]:
    """The camera that is coded, its codes, and the transformer over them."""
    encoders, predictor = world_model.perception.by_key(), world_model.predictor
    key, encoder = next(iter(encoders.items()))
    if len(encoders) > 1 or not isinstance(encoder, FrameCodes):
        raise ForethoughtError(
            f"NextFrameTokenConfig needs one camera encoded by CodedFramesConfig, found {encoders};"
            " see token_run, or train with JEPAConfig."
        )
    if not isinstance(predictor, FrameTransformer):
        raise ForethoughtError(
            f"NextFrameTokenConfig trains a FrameTransformer, found {type(predictor).__name__}; "
            "set the predictor to FrameTransformerConfig."
        )
    if encoder.codes.shape != predictor.codes.shape:
        raise ForethoughtError(
            f"the encoder has {len(encoder.codes)} codes, the predictor {len(predictor.codes)}; "
            "set `codes` alike in CodedFramesConfig and FrameTransformerConfig."
        )
    return key, encoder, predictor


def token_run(
    config: TrainConfig,
    *,
    num_steps: int = 4000,
    encoder: CodedFramesConfig | None = None,
    predictor: FrameTransformerConfig | None = None,
) -> TrainConfig:
    """The same run with frames as tokens, pretrained by predicting the next one.

    Args:
        config: a run of a world model with one camera.
        num_steps: of pretraining.
        encoder: how frames are coded.
        predictor: the transformer; it is given as many codes as the encoder has.
    """
    encoder = encoder or CodedFramesConfig()
    predictor = replace(predictor or FrameTransformerConfig(), codes=encoder.codes)
    (camera,) = config.world_model.perception.encoders
    perception = replace(config.world_model.perception, encoders={camera: encoder})
    return replace(
        config,
        recipe=f"{config.recipe}_tokens",
        world_model=replace(config.world_model, perception=perception, predictor=predictor),
        objective=NextFrameTokenConfig(
            optimiser=OptimiserConfig(
                num_steps=num_steps, batch_size=64, learning_rate=2e-3, warmup_steps=200
            )
        ),
    )
