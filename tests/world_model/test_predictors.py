"""Predictors with a memory, ensembles, and what rollouts make of them."""

from __future__ import annotations

import pytest
import torch

from forethought.perception import MLPEncoderConfig, Normaliser, PerceptionConfig
from forethought.types import ActionSpec, ArraySpec, ForethoughtError, Past, Signature
from forethought.world_model import (
    EnsembleConfig,
    GRUConfig,
    Predictor,
    PredictorConfig,
    RecurrentLatentConfig,
    ResidualMLPConfig,
    WorldModel,
    WorldModelConfig,
)
from forethought.world_model.predictors import GatedCell

SIGNATURE = Signature(
    observation={"observation.state": ArraySpec(shape=(3,), dtype="float32")},
    action=ActionSpec(dim=2, low=(-1.0, -1.0), high=(1.0, 1.0)),
    rate_hz=10.0,
)


def world_model(predictor: PredictorConfig) -> WorldModel:
    normalisers = {
        "observation.state": Normaliser([0.0] * 3, [1.0] * 3),
        "action": Normaliser([0.0] * 2, [1.0] * 2),
    }
    config = WorldModelConfig(
        perception=PerceptionConfig(encoders={"observation.state": MLPEncoderConfig(width=6)}),
        predictor=predictor,
    )
    model = WorldModel(config, SIGNATURE, normalisers)
    with torch.no_grad():
        for parameter in model.predictor.parameters():
            parameter.normal_(std=0.3)
    return model.eval()


def test_a_rollout_looks_back_as_far_as_the_window_and_no_further() -> None:
    """Continuing a rollout from its own past is the rollout; older steps change nothing."""
    model = world_model(GRUConfig(hidden=16, window=3))
    latents, actions = torch.randn(4, 1, 6), torch.randn(4, 7, 2)
    whole = model.rollout(latents, actions)
    past = Past(latents=whole[:, :4], actions=actions[:, :4])
    torch.testing.assert_close(model.rollout(whole[:, 4], actions[:, 4:], past=past), whole[:, 4:])
    longer = Past(
        latents=torch.cat([torch.randn(4, 1, 1, 6), past.latents[:, 2:]], 1),
        actions=torch.cat([torch.randn(4, 1, 2), past.actions[:, 2:]], 1),
    )
    torch.testing.assert_close(
        model.rollout(whole[:, 4], actions[:, 4:], past=longer), whole[:, 4:]
    )
    forgotten = model.rollout(whole[:, 4], actions[:, 4:])
    assert not torch.allclose(forgotten, whole[:, 4:])


@pytest.mark.parametrize("window", [1, 3])
def test_each_member_of_an_ensemble_is_the_predictor_with_its_weights(window) -> None:
    """The batched call equals the members one by one, futures and all."""
    member = GRUConfig(hidden=8, window=3) if window == 3 else ResidualMLPConfig(hidden=(8,))
    model = world_model(EnsembleConfig(member=member, num_members=3))
    latents, actions = torch.randn(5, 1, 6), torch.randn(5, 4, 2)
    together = model.futures(latents, actions)
    assert together.shape == (3, 5, 5, 1, 6)
    weights = dict(model.predictor.named_parameters())
    for number in range(3):
        alone = world_model(member)
        own = {
            name: weights[name.replace(".", "_")][number]
            for name, _ in alone.predictor.named_parameters()
        }
        alone.predictor.load_state_dict(own, strict=False)
        torch.testing.assert_close(
            alone.rollout(latents, actions), together[number], atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("window", [1, 3])
def test_a_member_changes_nothing_by_what_it_does_not_see(window) -> None:
    """Each sees so many entries; another value of the rest goes on into its future as it is."""
    member = GRUConfig(hidden=8, window=3) if window == 3 else ResidualMLPConfig(hidden=(8,))
    model = world_model(EnsembleConfig(member=member, num_members=3, shown=0.5))
    with torch.no_grad():
        for parameter in model.predictor.parameters():
            parameter.copy_(torch.randn_like(parameter))
    blind = model.predictor.blind
    assert blind.sum(1).tolist() == [3, 3, 3] and len(set(map(tuple, blind.tolist()))) > 1
    latents, actions = torch.randn(5, 1, 6), torch.randn(5, 4, 2)
    for number in range(3):
        shift = torch.randn(6) * blind[number]
        before = model.futures(latents, actions)[number]
        torch.testing.assert_close(
            model.futures(latents + shift, actions)[number], before + shift, atol=1e-4, rtol=1e-4
        )
        seen = model.futures(latents + torch.randn(6) * ~blind[number], actions)[number]
        assert not torch.allclose(seen[:, -1], before[:, -1])
    again = world_model(EnsembleConfig(member=member, num_members=3, shown=0.5))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.futures(latents, actions), model.futures(latents, actions))


def test_spread_is_how_far_the_members_lie_apart() -> None:
    """Equal members agree; different ones disagree by the deviation of their futures."""
    model = world_model(EnsembleConfig(member=ResidualMLPConfig(hidden=(8,)), num_members=3))
    latents, actions = torch.randn(2, 1, 6), torch.rand(2, 5, 4, 2) - 0.5
    imagined = model.imagine(latents, actions)
    futures = model.futures(latents.repeat_interleave(5, 0), model.normalise(actions).flatten(0, 1))
    deviation = futures[:, :, 1:].std(0, correction=0).square().mean((-1, -2)).sqrt()
    torch.testing.assert_close(imagined.spread.flatten(0, 1), deviation)
    torch.testing.assert_close(imagined.latents.flatten(0, 1), futures.mean(0))
    with torch.no_grad():
        for parameter in model.predictor.parameters():
            parameter.copy_(parameter[:1].expand_as(parameter))
    assert float(model.imagine(latents, actions).spread.detach().max()) < 1e-5


def test_a_single_model_has_no_spread_and_an_ensemble_of_one_is_refused() -> None:
    model = world_model(ResidualMLPConfig())
    assert model.imagine(torch.randn(1, 1, 6), torch.zeros(1, 2, 3, 2)).spread is None
    with pytest.raises(ForethoughtError, match="no spread"):
        EnsembleConfig(member=ResidualMLPConfig(), num_members=1)
    with pytest.raises(ForethoughtError, match="shown"):
        EnsembleConfig(member=ResidualMLPConfig(), shown=0.0)


def test_gradients_reach_every_member() -> None:
    model = world_model(EnsembleConfig(member=ResidualMLPConfig(hidden=(8,)), num_members=3))
    model.futures(torch.randn(4, 1, 6), torch.randn(4, 2, 2)).square().sum().backward()
    for parameter in model.predictor.parameters():
        assert (parameter.grad.flatten(1).abs().sum(1) > 0).all()


def test_a_gated_cell_is_a_gated_recurrent_unit() -> None:
    """The same weights give what PyTorch's own unit gives."""
    ours, theirs = GatedCell(5, 5), torch.nn.GRUCell(5, 5)
    with torch.no_grad():
        theirs.weight_ih.copy_(ours.from_input.weight)
        theirs.bias_ih.copy_(ours.from_input.bias)
        theirs.weight_hh.copy_(ours.from_hidden.weight)
        theirs.bias_hh.copy_(ours.from_hidden.bias)
    values, hidden = torch.randn(7, 5), torch.randn(7, 5)
    torch.testing.assert_close(ours(values, hidden), theirs(values, hidden))


def built(config: PredictorConfig, *, width: int = 6) -> Predictor:
    """A predictor for one token and actions of width 3, whose futures differ."""
    torch.manual_seed(0)
    predictor = config.build(1, width, 3)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter.normal_(std=0.7 / parameter.shape[-1] ** 0.5)
    return predictor.eval()


UNROLLED = [
    ResidualMLPConfig(hidden=(8,)),
    ResidualMLPConfig(hidden=(64, 64), invariant=(0, 4), dropout=0.1),
    GRUConfig(hidden=32, window=3),
    RecurrentLatentConfig(),
    RecurrentLatentConfig(normalise=False),
]


@pytest.mark.parametrize("config", UNROLLED)
@pytest.mark.parametrize(("count", "width"), [(5, 6), (700, 48)])
def test_what_is_shared_between_steps_changes_no_number(config, count, width) -> None:
    """Of few and of many, by predictors that share and step by step, after any history."""
    predictor = built(config, width=width)
    for known in range(1, predictor.window + 1):
        latents, actions = torch.randn(count, known, 1, width), torch.randn(count, known + 4, 3)
        step_by_step = Predictor.unroll(predictor, latents, actions).detach()
        with torch.no_grad():
            shared = predictor.unroll(latents, actions)
        torch.testing.assert_close(shared, step_by_step, atol=2e-5, rtol=1e-5)
        assert torch.equal(shared[:, 0], latents[:, -1])


@pytest.mark.parametrize("config", UNROLLED)
def test_an_unroll_heeds_weights_that_changed_and_has_gradients(config) -> None:
    predictor = built(config)
    latents, actions = torch.randn(4, 1, 1, 6), torch.randn(4, 3, 3)
    with torch.no_grad():
        before = predictor.unroll(latents, actions)
        for parameter in predictor.parameters():
            parameter.mul_(1.5)
        after = predictor.unroll(latents, actions)
    assert not torch.allclose(before[:, -1], after[:, -1])
    moved = actions.clone().requires_grad_()
    ahead = predictor.unroll(latents, moved)
    torch.testing.assert_close(ahead, after)
    (gradient,) = torch.autograd.grad(ahead[:, -1].square().sum(), moved)
    assert (gradient.abs().sum(-1) > 0).all()


def test_dropout_is_not_lost_on_the_way() -> None:
    """While training, an unroll without gradients leaves units out as a step does."""
    predictor = built(ResidualMLPConfig(hidden=(64,), dropout=0.5)).train()
    latents, actions = torch.randn(4, 1, 1, 6), torch.randn(4, 3, 3)
    with torch.no_grad():
        first, second = (predictor.unroll(latents, actions) for _ in range(2))
    assert not torch.allclose(first[:, 1:], second[:, 1:])


@pytest.mark.parametrize(("count", "width"), [(3, 5), (64, 128)])
def test_a_recurrent_latent_is_the_hidden_state_of_a_gru(count, width) -> None:
    """The same weights give what ``nn.GRU`` says of the whole sequence of actions."""
    predictor = built(RecurrentLatentConfig(normalise=False), width=width)
    theirs = torch.nn.GRU(3, width, batch_first=True)
    cell = predictor.cell
    theirs.load_state_dict(
        {
            "weight_ih_l0": cell.from_input.weight,
            "weight_hh_l0": cell.from_hidden.weight,
            "bias_ih_l0": cell.from_input.bias,
            "bias_hh_l0": cell.from_hidden.bias,
        }
    )
    present, actions = torch.randn(count, width), torch.randn(count, 20, 3)
    with torch.no_grad():
        ours = predictor.unroll(present[:, None, None], actions)[:, 1:, 0]
        states, _ = theirs(actions, present[None])
    torch.testing.assert_close(ours, states, atol=1e-5, rtol=1e-5)
