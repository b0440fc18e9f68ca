"""Probes read what is there, and nothing where nothing is; energy is ranked against true paths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from forethought import recipes, worlds
from forethought.cli import main
from forethought.data import Dataset
from forethought.data.record import TRUTH
from forethought.evaluation.grounding import ground, rank_estimate
from forethought.evaluation.probing import (
    LATENTS,
    LINEAR,
    PROBES,
    SENSORS,
    SOURCES,
    UNTRAINED,
    ProbingProtocol,
    held_out_errors,
    linear_probe,
    probe_latents,
    sensor_rows,
    untrained,
)
from forethought.evaluation.report.probe_report import probe_report, probe_rows, rank_rows
from forethought.evaluation.statistics import rank_correlation
from forethought.model import Model
from forethought.types import ForethoughtError, World

QUICK = ProbingProtocol(num_steps=200)


def make_world(count: int) -> World:
    return worlds.make("two_rooms", count)


def test_a_linear_map_is_read_exactly_and_noise_not_at_all(generator: torch.Generator) -> None:
    latents = torch.randn(600, 2, 4, generator=generator)
    linear = latents.flatten(1) @ torch.randn(8, 1, generator=generator) + 3
    noise = torch.randn(600, 1, generator=generator)
    groups = torch.arange(600) // 20
    targets = torch.cat([linear, noise], 1)
    probe = linear_probe(latents[:400], targets[:400], groups[:400])
    true = torch.cat([linear, noise, torch.full((600, 1), 7.0)], 1)[400:].numpy()
    read = np.concatenate([probe(latents[400:]).numpy(), np.full((200, 1), 7.0)], 1)
    exact, nothing, constant = held_out_errors(read, true, np.arange(200) // 20)
    assert exact[0] is not None and exact[0].value == pytest.approx(1, abs=1e-6)
    assert exact[1].value < 3e-3
    assert nothing[0] is not None and nothing[0].value < 0.05
    assert constant == (None, constant[1]) and constant[1].value == 0


def test_errors_are_those_of_the_definition_and_intervals_are_of_episodes() -> None:
    generator = np.random.default_rng(0)
    true = 1000 + generator.normal(size=(300, 1)).astype(np.float32)
    # What is off is off for a whole episode.
    episode = np.repeat(np.arange(30), 10)
    read = true + generator.normal(size=(30, 1))[episode]
    ((r2, rmse),) = held_out_errors(read, true, episode)
    missed = float(np.mean((read - true) ** 2))
    assert r2 is not None and rmse.value == pytest.approx(np.sqrt(missed))
    assert r2.value == pytest.approx(1 - missed / true.var(), rel=1e-4)
    ((_, as_if_alone),) = held_out_errors(read, true, np.arange(300))
    assert rmse.high - rmse.low > 2 * (as_if_alone.high - as_if_alone.low)
    assert rmse.low < rmse.value < rmse.high and rmse.episodes == 30


def test_an_untrained_encoder_is_of_the_same_form_and_normalised_alike(model: Model) -> None:
    fresh = untrained(model, 3)
    same, known = untrained(model, 3).state_dict(), model.state_dict()
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, same[name])
        if "normaliser" in name:
            assert torch.equal(value, known[name])
    encoder = "world_model.perception.encoders."
    assert any(
        not torch.equal(value, known[name])
        for name, value in fresh.state_dict().items()
        if name.startswith(encoder)
    )


def test_sensors_are_the_pictures_made_small(model: Model, recorded: Dataset) -> None:
    arrays = recorded.load([0, 1], image_size=model.image_size)
    rows = sensor_rows(model, arrays)
    picture = next(v for k, v in arrays.observation.items() if "images" in k)
    assert rows.shape == (len(picture), 1, 16 * 16 * 3)
    block = picture[5, :4, :4].float().mean((0, 1)) / 255
    assert torch.allclose(rows[5, 0].view(3, 16, 16)[:, 0, 0], block, atol=1e-5)


def test_every_quantity_is_read_from_every_source(
    model: Model, recorded: Dataset, tmp_path: Path
) -> None:
    results = probe_latents(
        model, recorded, QUICK, train=range(16), held_out=range(16, 24), visible=False
    )
    assert results.quantities == recorded.signature.observation[TRUTH].names
    assert len(results.readings) == len(results.quantities) * len(SOURCES) * len(PROBES)
    assert results.held_out_rows == 8 * 80 and results.train_rows == 16 * 80
    assert results.of("wall.x", LATENTS, LINEAR).r2 is None
    small = results.of("position.x", SENSORS, LINEAR).r2
    assert small is not None and small.value > 0.7
    assert results.perceived == ()
    again = probe_latents(
        model, recorded, QUICK, train=range(16), held_out=range(16, 24), visible=False
    )
    assert again == results
    grounding = ground(_agent(model), make_world, pairs=40)
    page = probe_report(tmp_path, results, grounding).read_text()
    assert UNTRAINED in page and "<svg" not in page.split("<body")[0]
    assert len(probe_rows(results)[1]) == 4 and rank_rows(grounding)[1][0][0] == "all"


def _agent(model: Model):
    acting = recipes.acting(recipes.get("two_rooms"))
    return lambda goals, count: acting.agent(model, goals, count)


def test_ranks_are_of_the_critic_and_of_the_true_path(model: Model) -> None:
    results = ground(_agent(model), make_world, pairs=60)
    world = make_world(60)
    world.reset(range(2_000_000, 2_000_060))
    assert np.array_equal(results.lengths, world.path_length())
    seen, goal = (
        model.world_model.encode({key: torch.from_numpy(value)[:, None, None].squeeze(2)})
        for shown in (world.observe(), world.goal())
        for key, value in shown.items()
    )
    with torch.no_grad():
        steps = model.distance(seen, goal).numpy()
    assert rank_correlation(steps, results.energies) == pytest.approx(1)
    assert results.ranks[0].energy.value == pytest.approx(
        rank_correlation(steps, results.lengths), abs=1e-6
    )
    assert {"all", "same", "across"} <= {one.pairs for one in results.ranks}
    thirds = [one for one in results.ranks if "steps" in one.pairs]
    assert sum(one.energy.episodes for one in thirds) == 60


def test_rank_intervals_cover_and_what_never_varies_has_no_rank() -> None:
    generator, covered = np.random.default_rng(0), 0
    # Spearman's correlation of two normals that correlate by one half.
    truth = 6 / np.pi * np.arcsin(0.25)
    for trial in range(20):
        shared = generator.normal(size=(2, 80))
        other = 0.5 * shared[0] + np.sqrt(0.75) * shared[1]
        found = rank_estimate(shared[0], other, seed=trial)
        covered += found.low <= truth <= found.high
    assert covered >= 17
    assert np.isnan(rank_estimate(np.ones(20), np.arange(20.0)).value)
    assert rank_estimate(np.exp(np.arange(20.0)), np.arange(20.0)).value == 1


def test_what_cannot_be_probed_is_told(
    model: Model, recorded: Dataset, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ForethoughtError, match="1 of them the same"):
        probe_latents(model, recorded, train=[0, 1], held_out=[1, 2], visible=False)
    with pytest.raises(ForethoughtError, match="10 are needed"):
        ground(_agent(model), make_world, pairs=4)
    assert main(["probe", str(run), "--json"]) == 2
    assert "--world" in json.loads(capsys.readouterr().out)["error"]


def test_the_command_probes_recordings_and_worlds(
    run: Path, recorded: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--steps", "30", "--json"]
    assert main(["probe", str(run), "--data", str(recorded.path), *words]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["grounding"] is None
    assert {one["quantity"] for one in printed["probing"]["readings"]} >= {"position.x"}
    words += ["--episodes", "6", "--length", "20", "--pairs", "12"]
    assert main(["probe", str(run), "--world", "two_rooms", *words]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["grounding"]["ranks"][0]["pairs"] == "all"
    assert json.loads((run / "probe.json").read_text()) == {
        key: printed[key] for key in ("probing", "grounding")
    }
