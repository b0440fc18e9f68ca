"""Future cost is learned where its truth is known, from recordings that are cut."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from forethought.cost import (
    Cost,
    Fear,
    FearConfig,
    effort,
    fears_of,
    goal,
    load_fear,
    term,
)
from forethought.cost.constraints import keep_away, limit
from forethought.cost.fear import at_level
from forethought.cost.guardrail import guardrail
from forethought.learning import FearTrainingConfig, train_fear
from forethought.learning.critic import target_of
from forethought.learning.fear import FearStage, fear_report, pinball_loss, sums_of
from forethought.learning.latents import LatentEpisodes
from forethought.learning.relabelling import Relabelling
from forethought.learning.trainer import OptimiserConfig
from forethought.types import ForethoughtError

ZONE = guardrail(keep_away(("position.x", "position.y"), (14.0, 32.0), distance=12.0))


def recordings(latents: torch.Tensor, length: int) -> LatentEpisodes:
    return LatentEpisodes(
        latents=latents.float().reshape(-1, 1, 1),
        offsets=torch.arange(0, len(latents.reshape(-1)) + 1, length),
        block=1,
    )


def learned(config: FearTrainingConfig, episodes: LatentEpisodes, costs: torch.Tensor) -> Fear:
    torch.manual_seed(0)
    fear = config.fear.build(1, episodes.latents.shape[-1], name="it")
    stage = FearStage(config, fear, target_of(fear), episodes, costs.reshape(-1))
    stage.begin()
    optimiser = torch.optim.Adam(fear.parameters())
    generator = torch.Generator().manual_seed(1)
    for step in range(config.optimiser.num_steps):
        for group in optimiser.param_groups:
            group["lr"] = config.optimiser.learning_rate_at(step)
        loss, _ = stage.loss(generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        stage.after_step()
    return fear.requires_grad_(False)


def training(num_steps: int, *, steps: int, **fear) -> FearTrainingConfig:
    return FearTrainingConfig(
        fear=FearConfig(hidden=(32, 32), num_quantiles=20, **fear),
        optimiser=OptimiserConfig(num_steps=num_steps, batch_size=64, learning_rate=5e-3),
        steps=steps,
        target_rate=0.1,
    )


def test_a_chain_costs_what_its_closed_form_says() -> None:
    """One place on at every step, and two dear ones on the way: discount to the power of the steps
    until there. Recordings of 4 steps see no further; what comes later is carried over."""
    place = (torch.arange(12)[:, None] + torch.arange(5)).clamp_max(11).repeat(40, 1)
    costs = ((place == 7) | (place == 8)).float()
    fear = learned(training(500, steps=2, discount=0.8), recordings((place - 5.5) / 3.5, 5), costs)
    places = torch.arange(12.0)
    expected = sum(0.8 ** (dear - places) * (places <= dear) for dear in (7, 8))
    latents = ((places - 5.5) / 3.5).view(-1, 1, 1)
    torch.testing.assert_close(fear.mean(latents), expected, atol=0.12, rtol=0)
    # Nothing is left to chance, so every quantile is the same; the outer ones take longest.
    quantiles = fear(latents)[1]
    torch.testing.assert_close(at_level(quantiles, 0.5), expected, atol=0.12, rtol=0)
    torch.testing.assert_close(fear.upper(latents), expected, atol=0.35, rtol=0)


def test_the_quantile_is_one_of_the_sum() -> None:
    """A fair coin at every step, half as dear each time: a binary fraction with random digits, even
    from 0 to 2. A quantile that was carried over from step to step would come to 2 for every level
    above a half."""
    coins = torch.randint(0, 2, (100, 30), generator=torch.Generator().manual_seed(0)).float()
    config = training(700, steps=1, discount=0.5, level=0.9)
    fear = learned(config, recordings(torch.zeros(100, 30), 30), coins)
    mean, quantiles = fear(torch.zeros(1, 1, 1))
    assert float(mean) == pytest.approx(1.0, abs=0.06)
    torch.testing.assert_close(quantiles[0], (torch.arange(20) + 0.5) / 10, atol=0.12, rtol=0)
    assert float(fear.upper(torch.zeros(1, 1, 1))) == pytest.approx(1.8, abs=0.08)


def test_recordings_are_cut_not_ended() -> None:
    """A cost of one for ever comes to 1 / (1 - discount), however short the recordings are."""
    config = training(600, steps=8, discount=0.75)
    fear = learned(config, recordings(torch.zeros(20, 4), 4), torch.ones(20, 4))
    assert float(fear.mean(torch.zeros(1, 1, 1))) == pytest.approx(4.0, abs=0.1)


def test_a_rare_cost_has_a_mean_above_its_quantile() -> None:
    """And rightly so: what happens to one in fifty is not among the nineteen of twenty."""
    drawn = torch.rand(100, 30, generator=torch.Generator().manual_seed(0))
    config = training(400, steps=1, discount=0.0)
    costs = (drawn < 0.02).float()
    fear = learned(config, recordings(torch.zeros(100, 30), 30), costs)
    nothing = torch.zeros(1, 1, 1)
    assert float(fear.mean(nothing)) == pytest.approx(float(costs[:, :-1].mean()), abs=0.01)
    assert float(fear.upper(nothing)) < float(fear.mean(nothing))


def test_sums_end_where_recordings_do() -> None:
    """Two steps of cost 1, 2, 3 at a discount of a half, blocks of two rows, by hand."""
    episodes = LatentEpisodes(
        latents=torch.zeros(10, 1, 1), offsets=torch.tensor([0, 7, 10]), block=2
    )
    costs = torch.tensor([1.0, 9, 2, 9, 3, 0, 0, 4, 0, 0])
    sums = sums_of(episodes, costs, discount=0.5, steps=2)
    found = dict(zip(sums.rows.tolist(), sums.values.tolist(), strict=True))
    assert found == {0: 2.0, 1: 13.5, 2: 3.5, 3: 9.0, 4: 3.0, 7: 4.0}
    assert sums.ends.tolist() == [4, 5, 6, 5, 6, 9]
    assert sums.passed.tolist() == [0.25, 0.25, 0.25, 0.5, 0.5, 0.5]


def test_the_pinball_loss_is_least_at_the_quantiles() -> None:
    samples = torch.linspace(0, 1, 1001)[None]
    best = torch.tensor([[0.125, 0.375, 0.625, 0.875]])
    least = pinball_loss(best, samples)
    for other in (best + 0.05, best - 0.05, best.flip(-1), 0.5 + 0 * best):
        assert pinball_loss(other, samples) > least


def test_a_report_tells_a_right_quantile_from_a_wrong_one() -> None:
    coins = torch.randint(0, 2, (200, 30), generator=torch.Generator().manual_seed(1)).float()
    episodes = recordings(torch.zeros(200, 30), 30)
    fear = learned(training(500, steps=1, discount=0.5, level=0.9), episodes, coins)
    report = fear_report(fear, episodes, coins.reshape(-1))
    assert report.rank_correlation is None and report.explained is None
    assert report.above.value == pytest.approx(0.1, abs=0.04) and report.own_share < 0.1
    assert report.costly == pytest.approx(0.5, abs=0.02)
    fear.unit.mul_(0.5)
    assert fear_report(fear, episodes, coins.reshape(-1)).above.value > 0.4


@pytest.mark.parametrize(
    ("given", "message"),
    [({"discount": 1.0}, "discount of 1"), ({"level": 0.995}, "raise num_quantiles")],
)
def test_fears_that_cannot_be_are_refused(given, message) -> None:
    with pytest.raises(ForethoughtError, match=message):
        FearConfig(**given)


def test_levels_lie_between_quantiles() -> None:
    quantiles = torch.tensor([1.0, 2.0, 4.0, 8.0])
    levels = (0.125, 0.25, 0.375, 0.75, 0.875)
    assert [float(at_level(quantiles, one)) for one in levels] == [1.0, 1.5, 2.0, 6.0, 8.0]


# ------------------------------------------------------------------------ in a run's folder


FEW = FearTrainingConfig(
    fear=FearConfig(hidden=(16,), num_quantiles=10),
    optimiser=OptimiserConfig(num_steps=30, batch_size=16),
)


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    """The short run, to be written to."""
    for name in ("model.safetensors", "config.json", "calibration.safetensors"):
        (tmp_path / "run").mkdir(exist_ok=True)
        shutil.copy(run / name, tmp_path / "run" / name)
    return tmp_path / "run"


def test_a_fear_lies_beside_its_model(model, recorded, folder) -> None:
    zone = train_fear(
        model, recorded, folder, name="zone", guardrails=[ZONE], config=FEW, visible=False
    )
    train_fear(model, recorded, folder, name="effort", cost=effort(), config=FEW, visible=False)
    assert fears_of(folder) == ("effort", "zone")
    again = load_fear(folder, "zone")
    latents = torch.randn(7, model.world_model.num_tokens, model.world_model.width)
    assert torch.equal(again.mean(latents), zone.mean(latents))
    assert torch.equal(again.upper(latents), zone.upper(latents))
    content = json.loads((folder / "fears" / "zone.json").read_text())
    assert content["about"] == [f"beyond {ZONE.constraint}"]
    assert content["report"]["states"] > 0 and 0 <= content["report"]["above"]["value"] <= 1


def test_a_resumed_training_ends_the_same_to_the_bit(
    model, recorded, folder, tmp_path, monkeypatch
) -> None:
    def go(out: Path) -> None:
        train_fear(
            model,
            recorded,
            out,
            name="zone",
            guardrails=[ZONE],
            config=FEW,
            resume=True,
            visible=False,
            checkpoint_s=0.0,
        )

    shutil.copytree(folder, tmp_path / "broken")
    go(folder)
    moved, counted = FearStage.after_step, [0]

    def stumble(stage: FearStage) -> None:
        moved(stage)
        counted[0] += 1
        if counted[0] in (7, 19):
            raise KeyboardInterrupt

    monkeypatch.setattr(FearStage, "after_step", stumble)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "broken")
    go(tmp_path / "broken")
    expected, found = (
        load_file(out / "fears" / "zone.safetensors") for out in (folder, tmp_path / "broken")
    )
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    reports = [
        json.loads((out / "fears" / "zone.json").read_text())["report"]
        for out in (folder, tmp_path / "broken")
    ]
    assert [report.pop("finished") != "" for report in reports] == [True, True]
    assert reports[0] == reports[1]


def test_recorded_steps_cost_what_the_task_says(model, recorded) -> None:
    """Violations as recorded, held against the truth row by row; terms by the latents."""
    keys = [*model.world_model.perception.keys, "observation.environment_state"]
    arrays = recorded.load([0, 3], keys=keys)
    width = (model.world_model.num_tokens, model.world_model.width)
    episodes = LatentEpisodes(
        latents=torch.randn(len(arrays.action), *width), offsets=arrays.offsets, block=5
    )
    truth = arrays.observation["observation.environment_state"]
    x = truth[:, 0]
    rail = guardrail("position.x", below=float(x.median()))
    beyond = (x - float(x.median())).relu()
    rows, _ = episodes.starts()
    moments = rows[:, None] + torch.arange(1, 6)
    for depth, each in ((False, (beyond > 0).float()), (True, beyond)):
        task = Relabelling.of([rail], None, depth=depth)
        found = task.costs(model, arrays, episodes, truth)
        torch.testing.assert_close(found[rows], each[moments].mean(1))
        assert float(found.sum()) == pytest.approx(float(found[rows].sum()))
    action = guardrail(limit("step.x", below=0.3))
    found = Relabelling.of([action], None, depth=False).costs(model, arrays, episodes, None)
    done = (arrays.action[:, 0] > 0.3).float()
    torch.testing.assert_close(found[rows], done[moments - 1].mean(1))
    size = term("size", lambda imagination: imagination.latents[:, :, 1:].square().sum((-1, -2)))
    task = Relabelling.of([], 3.0 * size + 0.5 * effort(), depth=False)
    found = task.costs(model, arrays, episodes, None)
    pushes = arrays.action[rows[:, None] + torch.arange(5)].div(1.2).square().mean((1, 2))
    norms = episodes.latents[rows + 5].square().sum((-1, -2))
    torch.testing.assert_close(found[rows], 3 * norms + 0.5 * pushes)


def test_goals_of_the_user_can_be_feared_to_be_far(model, recorded, folder) -> None:
    """A term that encodes an observation of its own."""
    image = recorded.frames(next(iter(model.world_model.perception.keys)), [0], [0])[0]
    fear = train_fear(
        model, recorded, folder, name="far", cost=goal(image=image), config=FEW, visible=False
    )
    content = json.loads((folder / "fears" / "far.json").read_text())
    assert content["about"] == ["1 * goal"] and content["report"]["costly"] > 0
    assert float(fear.unit) > 1


def test_what_cannot_be_feared_is_refused(model, recorded, folder) -> None:
    def attempt(**given):
        settings = {"name": "zone", "config": FEW, "visible": False, **given}
        train_fear(model, recorded, folder, **settings)

    with pytest.raises(ForethoughtError, match="nothing to fear"):
        attempt(cost=Cost(terms=()))
    with pytest.raises(ForethoughtError, match="zero or more"):
        attempt(name="joy", cost=-1.0 * effort())
    with pytest.raises(ForethoughtError, match=r"'\.\./zone'"):
        attempt(name="../zone", guardrails=[ZONE])
    with pytest.raises(ForethoughtError, match="about 'height'"):
        attempt(guardrails=[guardrail("height", below=1.0)])
    assert fears_of(folder) == () and not (folder / "fears").exists()
    attempt(guardrails=[ZONE])
    with pytest.raises(ForethoughtError, match="--resume"):
        attempt(guardrails=[ZONE])
    with pytest.raises(ForethoughtError, match="another config"):
        attempt(cost=effort(), resume=True)


def test_fears_of_other_models_and_damage_are_refused(model, recorded, folder) -> None:
    train_fear(model, recorded, folder, name="zone", guardrails=[ZONE], config=FEW, visible=False)
    with pytest.raises(ForethoughtError, match=r"there are \['zone'\]"):
        load_fear(folder, "fire")
    with pytest.raises(ForethoughtError, match="tokens of width"):
        load_fear(folder, "zone").mean(torch.zeros(3, 2, 5))
    state = {name: value + 1 for name, value in load_file(folder / "model.safetensors").items()}
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ForethoughtError, match="another model"):
        load_fear(folder, "zone")
    with pytest.raises(ForethoughtError, match="another one than was given"):
        train_fear(model, recorded, folder, name="new", guardrails=[ZONE], visible=False)
    weights = folder / "fears" / "zone.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ForethoughtError, match="cannot be read"):
        load_fear(folder, "zone")
