"""Fast mode: the same world model, computed otherwise; and never a stale or a wrong answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from forethought.config import from_json, to_json
from forethought.cost import guardrail
from forethought.perception import MLPEncoderConfig, Normaliser, PerceptionConfig
from forethought.types import (
    STATE,
    ActionSpec,
    ArraySpec,
    Chance,
    ForethoughtError,
    Past,
    Signature,
)
from forethought.world_model import (
    CategoricalLatentConfig,
    CausalTransformerConfig,
    EnsembleConfig,
    GridPredictorConfig,
    GRUConfig,
    PatchTransformerConfig,
    PredictorConfig,
    RecurrentLatentConfig,
    ResidualMLPConfig,
    WorldModel,
    WorldModelConfig,
    native,
)
from forethought.world_model.acting import ActingTransformer
from forethought.world_model.fast import FastConfig, FastWorldModel, accelerate
from forethought.world_model.native import compiler
from forethought.world_model.transformers import CausalTransformer
from forethought.world_model.tuning import Judge
from point import Point, point_agent, point_model

SIGNATURE = Signature(
    observation={STATE: ArraySpec(shape=(3,), dtype="float32")},
    action=ActionSpec(dim=2, low=(-1.0, -1.0), high=(1.0, 1.0)),
    rate_hz=10.0,
)
QUICK = FastConfig(candidates=40, horizon=3, cached=False)
EXACT = replace(QUICK, exact=True)
CAUSAL = CausalTransformerConfig(
    hidden=16, depth=2, heads=2, head_width=32, mlp_width=32, action_hidden=8, head_hidden=16
)
PATCHES = PatchTransformerConfig(hidden=16, depth=2, heads=2, head_width=8, mlp_width=32)
FAMILIES = {
    "mlp": ResidualMLPConfig(hidden=(16,)),
    "gru": GRUConfig(hidden=16, window=3),
    "recurrent": RecurrentLatentConfig(),
    "grid": GridPredictorConfig(channels=8),
    "causal": CAUSAL,
    "patches": PATCHES,
    "ensemble": EnsembleConfig(member=GRUConfig(hidden=8, window=3), num_members=2),
}
KINDS = {
    "as trained",
    "packed float32",
    "packed bfloat16",
    "compiled float32",
    "compiled bfloat16",
}
needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")


def world_model(predictor: PredictorConfig, *, drawn: bool = False) -> WorldModel:
    """With weights that make much of all that they are told."""
    torch.manual_seed(0)
    config = WorldModelConfig(
        perception=PerceptionConfig(encoders={STATE: MLPEncoderConfig(width=6, hidden=(16,))}),
        predictor=predictor,
        latent_variable=CategoricalLatentConfig(num_choices=3, hidden=8) if drawn else None,
    )
    same = {STATE: Normaliser([0.0] * 3, [1.0] * 3), "action": Normaliser([0.1] * 2, [0.5] * 2)}
    model = WorldModel(config, SIGNATURE, same)
    for parameter in model.predictor.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def asked(model: WorldModel, count: int = 5) -> tuple[dict, torch.Tensor, Past]:
    """An observation, candidates for it and what came before."""
    generator = torch.Generator().manual_seed(3)
    observation = {STATE: torch.randn(2, 1, 3, generator=generator)}
    actions = 2 * torch.rand(2, count, 4, 2, generator=generator) - 1
    past = Past(
        latents=torch.randn(2, 2, model.num_tokens, model.width, generator=generator),
        actions=torch.randn(2, 2, 2, generator=generator),
    )
    return observation, actions, past


def imagined(model: WorldModel) -> torch.Tensor:
    observation, actions, past = asked(model)
    return model.imagine(model.encode(observation), actions, past=past).latents


@pytest.fixture
def reduced(monkeypatch) -> None:
    """As if less precision were always faster, and compiled code than any other."""

    def seconds(judge, models):
        order = ("compiled bfloat16", "packed bfloat16", "compiled float32", "packed float32")
        return {name: 1.0 + order.index(name) if name in order else 9.0 for name in models}

    monkeypatch.setattr(Judge, "seconds", seconds)


# ------------------------------------------------------------------------------- agreement


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_what_is_exact_imagines_the_same(family, reduced) -> None:
    """From any observation, with a past; energies within a ten-thousandth. And the world model
    is as it was, to the bit."""
    model = world_model(FAMILIES[family])
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    expected, parts = imagined(model), [type(part) for part in model.modules()]
    fast = accelerate(model, EXACT)
    assert fast.report.chosen.endswith("float32")
    found = imagined(fast)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    goal = torch.ones_like(expected[:, :, -1])
    energies = [(one[:, :, -1] - goal).square().sum((-1, -2)) for one in (found, expected)]
    torch.testing.assert_close(*energies, atol=0, rtol=1e-4)
    assert [type(part) for part in model.modules()] == parts
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert torch.equal(imagined(model), expected)
    assert fast.predictor is not model.predictor and fast.predictor.window == model.predictor.window


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_less_precision_agrees_as_far_as_it_was_allowed(family, reduced) -> None:
    """All states, not only those judged, come out about as near as the error that was measured."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("the processor has no units for bfloat16")
    model = world_model(FAMILIES[family])
    fast = accelerate(model, replace(QUICK, error=0.3, elites=0.0))
    assert fast.report.chosen.endswith("bfloat16")
    found, expected = imagined(fast), imagined(model)
    off = (found - expected).square().mean() / expected.square().mean()
    assert found.dtype == torch.float32 and 0 < off.sqrt() < 0.3


@torch.no_grad()
def test_a_latent_variable_is_drawn_as_before(reduced) -> None:
    """Its network is not taken over, and is told what it was told."""
    model = world_model(CAUSAL, drawn=True)
    fast = accelerate(model, EXACT)
    observation, actions, past = asked(model)
    chance = Chance(num_outcomes=3, seed=1)
    found, expected = (
        one.imagine(one.encode(observation), actions, past=past, chance=chance).latents
        for one in (fast, model)
    )
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


# ------------------------------------------------------------------------------- choice


@needs_compiler
def test_the_report_names_all_that_was_tried() -> None:
    """Fastest first, what was chosen among them; the rest of the parts is told."""
    report = accelerate(world_model(CAUSAL), QUICK).report
    assert {trial.name for trial in report.trials} == KINDS
    seconds = [trial.seconds for trial in report.trials]
    assert seconds == sorted(seconds) and seconds[0] > 0
    chosen = next(trial for trial in report.trials if trial.name == report.chosen)
    assert not chosen.refused and chosen.agreement.error <= QUICK.error
    assert all(name in str(report) for name in KINDS)
    assert report.notes == () and not report.remembered
    exact = accelerate(world_model(CAUSAL), EXACT).report
    assert {trial.name for trial in exact.trials} == {one for one in KINDS if "bf" not in one}
    plain = accelerate(world_model(CAUSAL), replace(QUICK, compiled=False)).report
    assert {trial.name for trial in plain.trials} == {one for one in KINDS if "comp" not in one}


def test_parts_with_nothing_to_lay_out_are_told() -> None:
    notes = accelerate(world_model(FAMILIES["ensemble"]), EXACT).report.notes
    assert notes == ("predictor: Ensemble has no linear layers; left as it is",)


def test_what_must_not_differ_is_exact(reduced) -> None:
    """Whatever is faster: what differs by more than is allowed is refused, with the reason."""
    model = world_model(CAUSAL)
    config = replace(QUICK, error=1e-12, elites=1.0)
    report = accelerate(model, config).report
    assert not report.chosen.endswith("bfloat16")
    trials = {trial.name: trial for trial in report.trials}
    assert trials[report.chosen].agreement.error <= 1e-12
    imprecise = [trial for name, trial in trials.items() if name.endswith("bfloat16")]
    assert imprecise and all("may be off by 1.0e-12" in trial.refused for trial in imprecise)


@pytest.mark.parametrize("family", ["mlp", "causal"])
def test_a_model_to_which_actions_make_no_difference_is_not_made_less_precise(
    family, reduced
) -> None:
    """There is nothing by which an error could be judged; so it is with an untrained one too."""
    model = world_model(FAMILIES[family])
    config = model.config
    untrained = WorldModel(
        config,
        SIGNATURE,
        {STATE: Normaliser([0.0] * 3, [1.0] * 3), "action": Normaliser([0.1] * 2, [0.5] * 2)},
    ).eval()
    with torch.no_grad():
        for name, parameter in model.predictor.named_parameters():
            if "action" in name or "told" in name:
                parameter.zero_()
    for one in (model, untrained):
        report = accelerate(one, replace(QUICK, error=1e9, elites=0.0)).report
        imprecise = [trial for trial in report.trials if trial.name.endswith("bfloat16")]
        assert imprecise and all("makes no difference" in trial.refused for trial in imprecise)
        assert not report.chosen.endswith("bfloat16")


class Bounded(CausalTransformer):
    """Steps no further than a tenth."""

    def forward(self, latents, actions):
        present = latents[:, -1]
        return present + (super().forward(latents, actions) - present).clamp(-0.1, 0.1)


@torch.no_grad()
def test_a_transformer_with_steps_of_its_own_keeps_them(reduced) -> None:
    """Its layers are laid out, and it is not taken for its parent."""
    model = world_model(CAUSAL)
    model.predictor.__class__ = Bounded
    fast = accelerate(model, EXACT)
    assert fast.report.chosen == "packed float32"
    assert not isinstance(fast.predictor, ActingTransformer)
    torch.testing.assert_close(imagined(fast), imagined(model), atol=1e-4, rtol=1e-4)


# ------------------------------------------------------------------------------- staleness


def stepped(optimiser: type[torch.optim.Optimizer], **settings):
    def change(model: WorldModel) -> None:
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser(model.parameters(), lr=0.1, **settings).step()

    return change


@torch.no_grad()
def shifted(model: WorldModel) -> None:
    next(model.perception.parameters()).add_(1)


CHANGES = {
    "sgd": stepped(torch.optim.SGD),
    "adam": stepped(torch.optim.Adam),
    "adam, all at once": stepped(torch.optim.Adam, foreach=True),
    "one weight": shifted,
    "loaded": lambda model: model.load_state_dict(model.state_dict()),
    "a limit of actions": lambda model: model.low.mul_(2),
    "moved": lambda model: model.double().float(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_changed_are_noticed(change) -> None:
    """It would answer as before, and refuses; made anew it answers as the new weights do."""
    model = world_model(FAMILIES["gru"])
    fast = accelerate(model, EXACT)
    observation, actions, _ = asked(model)
    with torch.no_grad():
        latents = fast.encode(observation)
        CHANGES[change](model)
        with pytest.raises(ForethoughtError, match=r"call accelerate\(\) again"):
            fast.encode(observation)
        with pytest.raises(ForethoughtError, match=r"weights have changed"):
            fast.imagine(latents, actions)
        again = accelerate(model, EXACT)
        torch.testing.assert_close(imagined(again), imagined(model), atol=1e-4, rtol=1e-4)


def test_a_world_model_in_training_is_refused() -> None:
    model = world_model(CAUSAL)
    with pytest.raises(ForethoughtError, match=r"training mode; call eval\(\)"):
        accelerate(model.train(), EXACT)


def test_weights_whose_changes_cannot_be_noticed_are_refused() -> None:
    with torch.inference_mode():
        model = world_model(CAUSAL)
    with pytest.raises(ForethoughtError, match="inference_mode"):
        accelerate(model, EXACT)


# ------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("of", ["observation", "latents", "actions", "past"])
@pytest.mark.parametrize("family", ["gru", "causal", "patches"])
def test_gradients_are_those_of_the_world_model(family, of, reduced) -> None:
    """Whatever they are asked for. Fast units record none, and would lose them."""
    model = world_model(FAMILIES[family])
    fast = accelerate(model, EXACT)
    assert fast.report.chosen.endswith("float32")
    observation, actions, past = asked(model)
    gradients = []
    for one in (fast, model):
        latents = one.encode(observation).detach()
        parts = {"observation": observation[STATE], "latents": latents, "actions": actions}
        asked_for = {**parts, "past": past.latents}[of].requires_grad_()
        if of == "observation":
            latents = one.encode(observation)
        ends = one.imagine(latents, actions, past=past).latents[:, :, -1]
        gradients.append(torch.autograd.grad(ends.square().sum(), asked_for)[0])
    assert float(gradients[1].abs().max()) > 1e-3
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


def test_where_none_are_asked_for_it_is_fast(reduced, monkeypatch) -> None:
    """Though they be recorded; so are they where none are recorded, though they were asked for."""
    model = world_model(CAUSAL)
    fast = accelerate(model, EXACT)
    monkeypatch.setattr(model.predictor, "unroll", None)
    latents, actions = torch.randn(2, 1, 6), torch.randn(2, 3, 2)
    assert not fast.rollout(latents, actions).requires_grad
    with torch.no_grad():
        assert fast.rollout(latents.requires_grad_(), actions).shape == (2, 4, 1, 6)


# ------------------------------------------------------------------------------- memory


@pytest.fixture
def kept(monkeypatch, tmp_path) -> Path:
    """A folder of the user's cache, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "forethought" / "speed"


REMEMBERED = replace(QUICK, cached=True)


def test_times_are_measured_once(kept, monkeypatch) -> None:
    """For each make of model and each way to ask; not for each of its weights."""
    model = world_model(FAMILIES["gru"])
    first = accelerate(model, REMEMBERED).report
    assert not first.remembered and len(list(kept.iterdir())) == 1
    other = world_model(FAMILIES["gru"])
    with torch.no_grad():
        next(other.predictor.parameters()).mul_(1.1)
    with monkeypatch.context() as patch:
        patch.setattr(Judge, "seconds", None)
        second = accelerate(model, REMEMBERED).report
        assert accelerate(other, REMEMBERED).report.remembered
    assert second == replace(first, remembered=True)
    for changed, config in (
        (model, replace(REMEMBERED, candidates=50)),
        (model, replace(REMEMBERED, horizon=4)),
        (world_model(FAMILIES["mlp"]), REMEMBERED),
    ):
        assert not accelerate(changed, config).report.remembered
    assert len(list(kept.iterdir())) == 4


def test_times_that_cannot_be_read_are_measured_anew(kept) -> None:
    """Cut off, or of another machine; and are then known again."""
    model = world_model(FAMILIES["gru"])
    accelerate(model, REMEMBERED)
    (path,) = kept.iterdir()
    whole = path.read_text()
    content = json.loads(whole)
    foreign = {**content, "key": {**content["key"], "processor": "another"}}
    for damaged in (whole[: len(whole) // 2], json.dumps(foreign)):
        path.write_text(damaged)
        assert not accelerate(model, REMEMBERED).report.remembered
        assert accelerate(model, REMEMBERED).report.remembered


def test_where_times_cannot_be_kept_it_is_fast_all_the_same(monkeypatch, tmp_path) -> None:
    """With a warning that says where, and what to do."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match=r"file/cache/forethought.*XDG_CACHE_HOME"):
        fast = accelerate(world_model(FAMILIES["gru"]), REMEMBERED)
    assert fast.report.trials


def test_nothing_is_written_where_that_is_not_wanted(kept) -> None:
    accelerate(world_model(FAMILIES["gru"]), replace(REMEMBERED, cached=False))
    assert not kept.exists()


# ------------------------------------------------------------------------------- compilers


@pytest.mark.parametrize(
    ("program", "said"), [(None, "no C compiler found"), ("#!/bin/sh\nexit 1\n", "could not")]
)
def test_without_a_compiler_the_rest_is_tried(monkeypatch, tmp_path, program, said) -> None:
    """Compiled kinds are told with the reason, and something else is chosen."""
    monkeypatch.setattr(native, "compiled", native.compiled.__wrapped__)
    monkeypatch.setenv("CC", str(tmp_path / "cc"))
    if program:
        (tmp_path / "cc").write_text(program)
        (tmp_path / "cc").chmod(0o755)
    model = world_model(CAUSAL)
    fast = accelerate(model, QUICK)
    compiled = [trial for trial in fast.report.trials if trial.name.startswith("compiled")]
    assert len(compiled) == 2 and fast.report.trials[-2:] == tuple(compiled)
    for trial in compiled:
        assert trial.seconds == float("inf") and said in trial.refused
        assert "FastConfig(compiled=False)" in trial.refused
    assert not fast.report.chosen.startswith("compiled")


# ------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"elites": 1.1}, r"elites=1\.1"),
        ({"elites": -0.1}, r"elites=-0\.1"),
        ({"error": 0.0}, r"error=0\.0"),
        ({"error": float("nan")}, "error=nan"),
        ({"candidates": 9}, "candidates=9"),
        ({"horizon": 0}, "horizon=0"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings, message) -> None:
    with pytest.raises(ForethoughtError, match=message):
        FastConfig(**settings)


def test_settings_can_be_read_back() -> None:
    config = FastConfig(exact=True, elites=0.5, cached=False)
    assert from_json(to_json(config)) == config


# ------------------------------------------------------------------------------- agents


def acted(agent, steps: int = 6) -> np.ndarray:
    point, seen = Point(), None
    actions = []
    for _ in range(steps):
        seen = point.observe()
        actions.append(agent.act(seen).action)
        point.push(actions[-1])
    return np.stack(actions)


@pytest.mark.parametrize("guarded", [False, True])
def test_a_fast_agent_does_the_same(guarded, reduced) -> None:
    """And with guardrails perceives as trained, so that what they know stays what it was."""
    rails = [guardrail("position.x", below=2.0, risk=0.01, name="edge")] if guarded else []
    model = point_model()
    expected = acted(point_agent(model, (3.0, 1.0), guardrails=rails))
    agent = point_agent(model, (3.0, 1.0), guardrails=rails, fast=EXACT)
    assert isinstance(agent.world_model, FastWorldModel)
    assert agent.world_model.report.chosen == "packed float32"
    perceived = {"fast": 0, "trained": 0}

    def counted(name: str, encode):
        def count(observation):
            perceived[name] += 1
            return encode(observation)

        return count

    agent.world_model.encode = counted("fast", agent.world_model.encode)
    model.world_model.encode = counted("trained", model.world_model.encode)
    np.testing.assert_allclose(acted(agent), expected, atol=1e-4)
    assert bool(perceived["fast"]) != guarded and bool(perceived["trained"]) == guarded
