"""Several sensors to one latent, and doing without some of them."""

from __future__ import annotations

import pytest
import torch

from forethought.perception import (
    ByteTextConfig,
    CNNConfig,
    GridCNNConfig,
    MLPEncoderConfig,
    Normaliser,
    Perception,
    PerceptionConfig,
)
from forethought.types import (
    IMAGES,
    STATE,
    TASK,
    TASK_SPEC,
    ActionSpec,
    ArraySpec,
    ForethoughtError,
    Signature,
)

LEFT, RIGHT = IMAGES + "left", IMAGES + "right"
IMAGE = ArraySpec(shape=(16, 16, 3), dtype="uint8")
SIGNATURE = Signature(
    observation={
        LEFT: IMAGE,
        RIGHT: IMAGE,
        STATE: ArraySpec(shape=(3,), dtype="float32"),
        TASK: TASK_SPEC,
    },
    action=ActionSpec(dim=1, low=(-1.0,), high=(1.0,)),
    rate_hz=10.0,
)
CAMERA = CNNConfig(width=8, channels=(8, 8))
ENCODERS = {
    LEFT: CAMERA,
    RIGHT: CAMERA,
    STATE: MLPEncoderConfig(width=8),
    TASK: ByteTextConfig(width=8),
}
GRID = {LEFT: GridCNNConfig(width=8, channels=(8, 8)), STATE: MLPEncoderConfig(width=8)}


def perceiving(encoders=ENCODERS, missing: float = 0.5) -> Perception:
    torch.manual_seed(0)
    config = PerceptionConfig(encoders=encoders, frame_stack=2, missing=missing)
    perception = Perception(config, SIGNATURE, {STATE: Normaliser([0.0] * 3, [1.0] * 3)})
    for parameter in perception.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter)
    return perception.eval()


def observation(count: int = 5) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    letters = {"dtype": torch.uint8, "generator": draw}
    return {
        LEFT: torch.randint(0, 256, (count, 2, *IMAGE.shape), **letters),
        RIGHT: torch.randint(0, 256, (count, 2, *IMAGE.shape), **letters),
        STATE: torch.randn(count, 2, 3, generator=draw),
        TASK: torch.randint(97, 123, (count, 2, *TASK_SPEC.shape), **letters),
    }


def without(*keys: str) -> dict[str, torch.Tensor | None]:
    return {key: None if key in keys else value for key, value in observation().items()}


@pytest.mark.parametrize("encoders", [ENCODERS, GRID])
def test_an_absent_key_is_its_learned_token(encoders) -> None:
    """Whatever its encoder gives: the same as an encoder that always gives that token."""
    perception = perceiving(encoders)
    absent = perception(without(STATE))
    del (told := without(STATE))[STATE]
    assert torch.equal(absent, perception(told))
    token = perception.mask_tokens["observation_state"].detach()

    class Constant(torch.nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return token.expand(len(values), 1, -1)

    perception.encoders["observation_state"] = Constant()
    assert torch.equal(absent, perception(observation()))


def test_acting_leaves_nothing_out() -> None:
    """With every key there, it is the perception of a model that never learned to do without."""
    perception, plain = perceiving(missing=0.9), perceiving(missing=0.0)
    plain.load_state_dict(
        {n: v for n, v in perception.state_dict().items() if not n.startswith("mask_tokens")}
    )
    assert torch.equal(perception(observation()), plain(observation()))


@pytest.mark.parametrize("share", [0.2, 0.95])
def test_training_leaves_out_the_said_share_but_never_all(share: float) -> None:
    """Each key as often as the others; of all at once, one is spared."""
    perception = perceiving(missing=share).train()
    torch.manual_seed(0)
    gone = perception._left_out(torch.zeros(20_000, 1, 8), 4).float()
    assert float(gone.sum(1).max()) == 3
    expected = share - share**4 / 4
    torch.testing.assert_close(gone.mean(0), torch.full((4,), expected), atol=0.01, rtol=0)


def test_training_draws_from_the_global_generator() -> None:
    perception, seen = perceiving().train(), observation()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(perception(seen))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_an_observation_left_out_in_training_is_one_without_the_key() -> None:
    """Row by row, training sees exactly what acting with absent keys sees."""
    perception, seen = perceiving(missing=0.7), observation()
    torch.manual_seed(3)
    gone = perception.train()._left_out(torch.zeros(5, 1, 8), 4)
    torch.manual_seed(3)
    trained = perception(seen)
    perception.eval()
    assert gone.any() and not gone.all()
    for row in range(5):
        lacking = {
            key: None if gone[row, column] else seen[key][row : row + 1]
            for column, key in enumerate(perception.keys)
        }
        torch.testing.assert_close(perception(lacking), trained[row : row + 1])


def test_gradients_reach_the_tokens_of_what_was_left_out() -> None:
    perception = perceiving().train()
    torch.manual_seed(0)
    perception(observation(64)).square().sum().backward()
    for token in perception.mask_tokens.values():
        assert token.grad is not None and token.grad.abs().sum() > 0
    for encoder in perception.by_key().values():
        assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_what_cannot_be_done_without_is_named() -> None:
    with pytest.raises(ForethoughtError, match=f"lacks '{STATE}'"):
        perceiving(missing=0.0)(without(STATE))
    with pytest.raises(ForethoughtError, match="never without all"):
        perceiving()(without(*ENCODERS))


def test_shares_that_mean_nothing_are_refused() -> None:
    for share in (-0.1, 1.0):
        with pytest.raises(ForethoughtError, match=f"missing is {share}"):
            PerceptionConfig(encoders=ENCODERS, missing=share)
    with pytest.raises(ForethoughtError, match="second key"):
        PerceptionConfig(encoders={LEFT: CAMERA}, missing=0.1)
