"""Laws of the transformer predictors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from forethought.checkers import check_predictor
from forethought.config import from_json, to_json
from forethought.types import ForethoughtError
from forethought.world_model import transformers
from forethought.world_model.ensemble import EnsembleConfig
from forethought.world_model.predictors import Predictor, PredictorConfig
from forethought.world_model.transformers import (
    ActionBlock,
    Attention,
    Block,
    CausalTransformerConfig,
    FeedForward,
    Linear,
    PatchTransformerConfig,
)

SMALL = {"depth": 2, "heads": 2, "head_width": 4, "mlp_width": 16}
CAUSAL = CausalTransformerConfig(**SMALL, action_hidden=12, head_hidden=16)
PATCHES = PatchTransformerConfig(**SMALL, hidden=8)
MAKES = [
    pytest.param(CAUSAL, 1, id="causal"),
    pytest.param(replace(CAUSAL, hidden=8, residual=False), 4, id="causal-flattened"),
    pytest.param(PATCHES, 4, id="patches"),
]
WIDTH, ACTIONS = 6, 3


def trained(module: nn.Module) -> nn.Module:
    """The module as if it had been trained: random weights, none of them zero."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return module.eval()


def built(config: PredictorConfig, tokens: int) -> Predictor:
    predictor = trained(config.build(tokens, WIDTH, ACTIONS))
    assert isinstance(predictor, Predictor)
    return predictor


def history(tokens: int, steps: int, batch: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(batch, steps, tokens, WIDTH, generator=generator)
    return latents, torch.randn(batch, steps, ACTIONS, generator=generator)


@pytest.mark.parametrize(("config", "tokens"), MAKES)
def test_the_promises_of_a_predictor_are_kept(config, tokens) -> None:
    """Any window up to the longest, batch independence, gradients; its settings go to JSON."""
    predictor = built(config, tokens)
    check_predictor(predictor, tokens=tokens, width=WIDTH, action_width=ACTIONS)
    assert from_json(to_json(config)) == config


@pytest.mark.parametrize(("config", "tokens"), MAKES)
def test_all_steps_of_the_window_count_and_none_before(config, tokens) -> None:
    """Each latent and action in the window changes the answer, an older one does not."""
    predictor = built(config, tokens)
    latents, actions = history(tokens, 4)
    answer = predictor(latents[:, 1:], actions[:, 1:])
    for step in range(4):
        for part in (latents, actions):
            kept = part[:, step].clone()
            part[:, step] = -kept
            moved = (predictor(latents, actions) - answer).abs().amax((1, 2))
            part[:, step] = kept
            assert bool((moved == 0).all() if step == 0 else (moved > 1e-5).all())


@pytest.mark.parametrize(("config", "tokens"), MAKES)
def test_a_large_batch_is_answered_in_parts(config, tokens, monkeypatch) -> None:
    """As many parts as there are items give the same as one."""
    predictor = built(config, tokens)
    latents, actions = history(tokens, 3)
    whole = predictor(latents, actions)
    monkeypatch.setattr(transformers, "CHUNK_NUMBERS", 1)
    torch.testing.assert_close(predictor(latents, actions), whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("config", [CAUSAL, PATCHES])
def test_an_untrained_one_predicts_nearly_no_change(config) -> None:
    """Training starts near the copy baseline."""
    latents, actions = history(4, 3, batch=50)
    with torch.no_grad():
        change = config.build(4, WIDTH, ACTIONS).eval()(latents, actions) - latents[:, -1]
    assert 0 < float(change.square().mean().sqrt()) < 0.2


@pytest.mark.parametrize(("config", "tokens"), MAKES)
def test_an_ensemble_of_them_differs_among_its_members(config, tokens) -> None:
    """Their stacked weights are served in one batched call, with gradients."""
    ensemble = EnsembleConfig(member=config, num_members=2).build(tokens, WIDTH, ACTIONS).eval()
    latents, actions = history(tokens, 3)
    answer = ensemble(latents.repeat(2, 1, 1, 1), actions.repeat(2, 1, 1))
    first, second = answer.chunk(2)
    assert float((first - second).detach().abs().max()) > 1e-4
    answer.square().sum().backward()
    assert all(parameter.grad is not None for parameter in ensemble.parameters())


@pytest.mark.parametrize("step", [1, 2, 6])
def test_attention_is_causal_step_by_step(step) -> None:
    """It equals attention under the block-causal mask, whichever of the tokens are asked."""
    attention = Attention(WIDTH, heads=2, head_width=4, step=step, bias=True)
    trained(attention)
    tokens = torch.randn(3, 6, WIDTH)
    normed = attention.norm(tokens)
    query, key, value = (
        part.unflatten(-1, (2, 4)).transpose(1, 2)
        for part in (attention.query(normed), *attention.key_value(normed).chunk(2, -1))
    )
    steps = torch.arange(6) // step
    mask = steps[:, None] >= steps[None, :]
    expected = scaled_dot_product_attention(query, key, value, attn_mask=mask)
    expected = attention.exit(expected.transpose(1, 2).flatten(2))
    for asked in (1, step, 6):
        torch.testing.assert_close(attention(tokens, asked), expected[:, -asked:])


def test_a_block_answers_for_the_last_tokens_as_for_all() -> None:
    """What is left out for speed changes nothing."""

    def parts() -> tuple[Attention, FeedForward]:
        return Attention(WIDTH, heads=2, head_width=4, step=1), FeedForward(WIDTH, 16)

    states, told = torch.randn(2, 5, 3, WIDTH).unbind(0)
    plain, moved = trained(Block(*parts())), trained(ActionBlock(*parts(), WIDTH))
    torch.testing.assert_close(plain(states, 1), plain(states, 3)[:, -1:])
    torch.testing.assert_close(moved(states, told, 1), moved(states, told, 3)[:, -1:])


def test_a_linear_layer_is_a_linear_layer() -> None:
    """Its numbers and gradients are PyTorch's, with and without bias, also in half precision."""
    for bias in (True, False):
        layer = Linear(7, 5, bias=bias)
        plain = nn.Linear(7, 5, bias=bias)
        plain.load_state_dict(layer.state_dict())
        for shape in ((7,), (4, 7), (0, 7), (2, 3, 7)):
            values = [torch.randn(shape).requires_grad_()]
            values.append(values[0].detach().clone().requires_grad_())
            answers = [module(x) for module, x in zip((layer, plain), values, strict=True)]
            torch.testing.assert_close(*answers)
            for answer in answers:
                answer.square().sum().backward()
            torch.testing.assert_close(values[0].grad, values[1].grad)
        torch.testing.assert_close(layer.weight.grad, plain.weight.grad)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer(torch.randn(2, 7)).dtype == torch.bfloat16


@pytest.mark.parametrize("make", [CausalTransformerConfig, PatchTransformerConfig])
def test_an_empty_transformer_is_refused(make) -> None:
    """The message names the field."""
    with pytest.raises(ForethoughtError, match="window=0"):
        make(window=0)
    with pytest.raises(ForethoughtError, match="depth=0"):
        make(depth=0)
