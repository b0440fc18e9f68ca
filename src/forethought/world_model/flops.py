"""How much arithmetic a rollout needs, to say how near to the hardware's limit it comes."""

from __future__ import annotations

from torch import nn

from forethought.types import ForethoughtError
from forethought.world_model.predictors import GRU, MarkovPredictor
from forethought.world_model.transformers import (
    ActionBlock,
    Block,
    CausalTransformer,
    PatchTransformer,
)
from forethought.world_model.world_model import WorldModel


def unroll_flops(
    world_model: WorldModel, num_candidates: int, horizon: int, *, known: int = 1
) -> int:
    """Floating-point operations of the matrix products that imagining candidates needs.

    Two for each product of two numbers. What can be left out without changing the numbers is not
    counted, see :mod:`forethought.world_model.acting`; nor is what lies between the products, such
    as attention over the few states of a causal transformer.

    Args:
        world_model: whose predictor rolls out.
        num_candidates: sequences.
        horizon: model steps of each.
        known: states that are known, the present with them.

    Raises:
        ForethoughtError: a predictor whose work nobody has counted.
    """
    predictor = world_model.predictor
    width = world_model.num_tokens * world_model.width
    if isinstance(predictor, CausalTransformer):
        products = _causal(predictor, width, horizon, known)
    elif isinstance(predictor, PatchTransformer):
        products = _patches(predictor, world_model.num_tokens, horizon, known)
    elif isinstance(predictor, GRU):
        products = _gru(predictor, horizon, known)
    elif isinstance(predictor, MarkovPredictor) and not _has_maps(predictor):
        products = horizon * sum(map(_size, predictor.modules()))
    else:
        raise ForethoughtError(
            f"the arithmetic of a {type(predictor).__name__} is not counted; expected a causal or "
            "patch transformer, a GRU, or a predictor of linear layers alone."
        )
    return 2 * num_candidates * products


def _size(layer: nn.Module) -> int:
    """Products of numbers in a linear layer, for one row."""
    return layer.in_features * layer.out_features if isinstance(layer, nn.Linear) else 0


def _sizes(*layers: nn.Module) -> int:
    return sum(_size(part) for layer in layers for part in layer.modules())


def _has_maps(predictor: nn.Module) -> bool:
    return any(isinstance(layer, nn.Conv2d) for layer in predictor.modules())


def _causal(predictor: CausalTransformer, width: int, horizon: int, known: int) -> int:
    blocks = [block for block in predictor.blocks if isinstance(block, ActionBlock)]
    total, window = known - 1 + horizon, predictor.window
    products = total * _sizes(predictor.action, *(b.told_all for b in blocks))
    products += total * _sizes(*(b.told_asked for b in blocks))
    products += total * _size(predictor.entrance) + horizon * _sizes(predictor.head)
    done = first = 0
    for step in range(known, total + 1):
        if step - window > first:
            first, done = step - window, 0
        places = range(done, step - first)
        for block in blocks:
            asked = places if block is not blocks[-1] else places[-1:]
            products += len(places) * _size(block.attention.key_value)
            products += len(asked) * _sizes(block.mlp)
            products += sum(_gathering(block, place) for place in asked)
        done = len(places) + done
    return products


def _gathering(block: ActionBlock, place: int) -> int:
    """Of what the state at a place of the window gathers."""
    if place == 0:
        return block.attention.query.in_features**2
    return _size(block.attention.query) + _sizes(block.attention.exit)


def _patches(predictor: PatchTransformer, tokens: int, horizon: int, known: int) -> int:
    products = 0
    for step in range(known, known + horizon):
        places = range(min(step, predictor.window))
        products += len(places) * (tokens * _size(predictor.entrance) + _size(predictor.action))
        products += tokens * _size(predictor.exit)
        for number, block in enumerate(predictor.blocks, start=1):
            assert isinstance(block, Block)
            attention = block.attention
            asked = places if number < len(predictor.blocks) else places[-1:]
            products += len(places) * tokens * _size(attention.key_value)
            products += len(asked) * tokens * _sizes(attention.query, attention.exit, block.mlp)
            looked_at = sum((place + 1) * tokens for place in asked)
            products += 2 * tokens * looked_at * attention.query.out_features
    return products


def _gru(predictor: GRU, horizon: int, known: int) -> int:
    total, memory = known - 1 + horizon, predictor.memory
    products = total * _sizes(predictor.entrance, memory.from_input)
    # A window begins with an empty hidden state, which says nothing to the gates.
    gated = sum(min(step, predictor.window) - 1 for step in range(known, total + 1))
    return products + gated * _size(memory.from_hidden) + horizon * _sizes(predictor.readout)
