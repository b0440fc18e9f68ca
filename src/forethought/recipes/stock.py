"""Stock models: published and own sizes with random weights, to measure speed on.

Nothing is trained and nothing is downloaded; how long thinking takes does not depend on what the
weights are.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import torch

from forethought.actor import CEM
from forethought.model import Model, ModelConfig
from forethought.perception import IMPALAConfig, PerceptionConfig
from forethought.perception.encoders import EncoderConfig
from forethought.perception.normalise import Normaliser
from forethought.recipes.recipe import Acting
from forethought.recipes.two_rooms import two_rooms
from forethought.types import (
    IMAGES,
    ActionSpec,
    ArraySpec,
    ForethoughtError,
    Signature,
)
from forethought.world_model import (
    CausalTransformerConfig,
    LeWMEncoderConfig,
    PredictorConfig,
    RecurrentLatentConfig,
    WorldModelConfig,
)

CAMERA = IMAGES + "top"


@dataclass(frozen=True, kw_only=True)
class Stock:
    """A make of model, and how it is searched.

    Attributes:
        description: one line for people.
        signature: what it sees and does.
        config: what it is made of.
        acting: how agents plan.
    """

    description: str
    signature: Signature
    config: ModelConfig
    acting: Acting

    def build(self, seed: int = 0) -> Model:
        """The model with random weights.

        Those that training begins with at zero are drawn too: what is done must make a difference.
        """
        width = self.signature.action.width * self.config.world_model.action_block
        same = {"action": Normaliser([0.0] * width, [1.0] * width)}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = Model(self.config, self.signature, same).eval()
            for weight in model.world_model.predictor.parameters():
                if weight.ndim > 1 and not weight.any():
                    torch.nn.init.normal_(weight, std=0.05)
        return model


def demo() -> Stock:
    """What the recipe ``two_rooms`` makes, critic included, and its planner."""
    recipe, signature = two_rooms(), _camera(64)
    training = recipe.training(signature)
    assert training.critic is not None and recipe.acting is not None
    return Stock(
        description="the demo's: small CNN at 64 px, one token of 16, residual MLP of 128",
        signature=signature,
        config=ModelConfig(world_model=training.world_model, critic=training.critic.critic),
        acting=recipe.acting,
    )


def lewm() -> Stock:
    """The published LeWorldModel (arXiv 2603.19312), 18 M parameters, and its planner."""
    return Stock(
        description="LeWorldModel's: ViT tiny at 224 px, six AdaLN blocks of 192 over three frames",
        signature=_camera(224),
        config=ModelConfig(
            world_model=_world_model(
                LeWMEncoderConfig(),
                CausalTransformerConfig(
                    window=3,
                    depth=6,
                    heads=16,
                    head_width=64,
                    mlp_width=2048,
                    action_hidden=768,
                    head_hidden=2048,
                    residual=False,
                ),
            )
        ),
        acting=Acting(planner=CEM(horizon=5, num_samples=300, num_iterations=30, num_elites=30)),
    )


def eb_jepa() -> Stock:
    """The Two Rooms example of eb_jepa (arXiv 2602.03604): IMPALA, a GRU, and its planner."""
    return Stock(
        description="eb_jepa's: IMPALA at 64 px, a GRU whose hidden state of 512 is the latent",
        signature=_camera(64),
        config=ModelConfig(
            world_model=_world_model(
                IMPALAConfig(width=512, normalise=True), RecurrentLatentConfig(), action_block=1
            )
        ),
        acting=Acting(planner=CEM(horizon=90, num_samples=200, num_iterations=20, num_elites=20)),
    )


_stock: dict[str, Callable[[], Stock]] = {make.__name__: make for make in (demo, lewm, eb_jepa)}


def names() -> list[str]:
    """The stock models there are."""
    return list(_stock)


def get(name: str) -> Stock:
    """A stock model by name.

    Raises:
        ForethoughtError: none of that name; suggests the closest.
    """
    if name not in _stock:
        close = difflib.get_close_matches(name, _stock, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ForethoughtError(f"no stock model {name!r}; there are {names()}.{hint}")
    return _stock[name]()


def _camera(side: int) -> Signature:
    """One square picture, and two motors."""
    return Signature(
        observation={CAMERA: ArraySpec(shape=(side, side, 3), dtype="uint8")},
        action=ActionSpec(dim=2, low=(-1.0, -1.0), high=(1.0, 1.0)),
        rate_hz=10.0,
    )


def _world_model(
    encoder: EncoderConfig, predictor: PredictorConfig, *, action_block: int = 5
) -> WorldModelConfig:
    return WorldModelConfig(
        perception=PerceptionConfig(encoders={CAMERA: encoder}),
        predictor=predictor,
        action_block=action_block,
    )
