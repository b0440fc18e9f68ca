"""Encoders, predictors and regularisers side by side, one changed at a time, in the two rooms."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from forethought import data, recipes, worlds
from forethought.data import Dataset
from forethought.data.record import TRUTH
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.evaluation.planning import evaluate
from forethought.learning import TrainConfig
from forethought.learning.train import CollapseWarning, train
from forethought.model import Model
from forethought.perception import CNNConfig, EncoderConfig, GridCNNConfig, IMPALAConfig, ViTConfig
from forethought.types import Past
from forethought.world_model import (
    CausalTransformerConfig,
    GridInverseDynamicsConfig,
    GridPredictorConfig,
    GRUConfig,
    InverseDynamicsConfig,
    MovingAverageConfig,
    OwnLatentsConfig,
    PatchTransformerConfig,
    PredictorConfig,
    RegulariserConfig,
    ResidualMLPConfig,
    SIGRegConfig,
    TargetConfig,
    TemporalSmoothnessConfig,
    TemporalStraighteningConfig,
    VICRegConfig,
)
from harness import Benchmark, estimate, figure, main

HORIZONS = (1, 5, 10, 20)
TASKS = 100
EPISODE_LENGTH = 126
"""Rows of an episode: twenty model steps of five, and what history looks back at."""
PLACE = ("position.x", "position.y")

Change = Callable[[TrainConfig], TrainConfig]


# ------------------------------------------------------------------------- what is changed


def encoder(config: EncoderConfig) -> Change:
    """Another encoder for the camera."""

    def change(run: TrainConfig) -> TrainConfig:
        (camera,) = run.world_model.perception.encoders
        perception = replace(run.world_model.perception, encoders={camera: config})
        return replace(run, world_model=replace(run.world_model, perception=perception))

    return change


def predictor(config: PredictorConfig) -> Change:
    """Another predictor."""

    def change(run: TrainConfig) -> TrainConfig:
        return replace(run, world_model=replace(run.world_model, predictor=config))

    return change


def regularisers(*terms: RegulariserConfig, target: TargetConfig | None = None) -> Change:
    """Other regularisers, and another target."""

    def change(run: TrainConfig) -> TrainConfig:
        objective = replace(
            run.objective, regularisers=terms, target=target or run.objective.target
        )
        return replace(run, objective=objective)

    return change


def both(first: Change, *others: Change) -> Change:
    """Several changes at once, where one needs the other."""

    def change(run: TrainConfig) -> TrainConfig:
        for one in (first, *others):
            run = one(run)
        return run

    return change


VICREG, INVERSE = VICRegConfig(weight=1.0, covariance=0.25), InverseDynamicsConfig(weight=1.0)
SMOOTH = TemporalSmoothnessConfig(weight=0.5)
GRID = both(
    encoder(GridCNNConfig(width=8, patch=8, channels=(32, 32))),
    regularisers(
        VICRegConfig(weight=1.0, covariance=0.25, pool_tokens=True), GridInverseDynamicsConfig()
    ),
)
CHANGES: dict[str, Change] = {
    "recipe: CNN, residual MLP, VICReg": lambda run: run,
    "encoder: small IMPALA": encoder(IMPALAConfig(width=16, channels=(8, 16, 16))),
    "encoder: ViT, pooled": encoder(ViTConfig(width=16, patch=8, hidden=64, depth=2, heads=2)),
    "encoder: wider CNN": encoder(CNNConfig(width=32, patch=4, channels=(32, 64, 64))),
    "predictor: GRU": predictor(GRUConfig()),
    "predictor: causal transformer": predictor(
        CausalTransformerConfig(hidden=64, depth=2, heads=2, dropout=0.0)
    ),
    "predictor: small MLP": predictor(ResidualMLPConfig(hidden=(64,))),
    "grid of tokens, convolutions": both(GRID, predictor(GridPredictorConfig())),
    "grid of tokens, patch transformer": both(
        GRID,
        predictor(PatchTransformerConfig(window=1, hidden=48, depth=2, heads=2, mlp_width=96)),
    ),
    "regulariser: SIGReg": regularisers(SIGRegConfig(weight=0.02), INVERSE, SMOOTH),
    "regulariser: VICReg, straightening": regularisers(
        VICREG, INVERSE, TemporalStraighteningConfig()
    ),
    "regulariser: VICReg alone": regularisers(VICREG),
    "regulariser: inverse dynamics alone": regularisers(INVERSE),
    "target: moving average, inverse dynamics": regularisers(
        INVERSE, target=MovingAverageConfig(decay=0.99)
    ),
    "target: stopped gradient, nothing else": regularisers(target=OwnLatentsConfig(gradient=False)),
}


# ------------------------------------------------------------------------- what is measured


def measure(benchmark: Benchmark) -> None:
    warnings.simplefilter("ignore", CollapseWarning)
    recipe = recipes.get("two_rooms")
    recording = recipe.recording
    assert recording is not None
    recorded = data.record(
        worlds.make("two_rooms", recording.num_worlds),
        benchmark.folder("data") / "rooms.lance",
        num_episodes=recording.num_episodes,
        episode_length=EPISODE_LENGTH,
        resume=benchmark.resume,
    )
    for seed in benchmark.seeds:
        for number, (name, change) in enumerate(CHANGES.items()):
            config = change(recipes.configure("two_rooms", recorded.signature, seed=seed))
            out = benchmark.folder(f"{number}-{seed}") / "run"
            model = train(recorded, config, out, resume=benchmark.resume)
            prefix = f"two_rooms, seed {seed}, {name}: "
            summary = json.loads((out / "train.json").read_text())
            health, probes = summary["diagnostics"], summary["probes"]
            read = [probes["linear_r2"][probes["names"].index(one)] for one in PLACE]
            benchmark.add(
                figure(prefix + "training", summary["train_seconds"], unit="s"),
                figure(prefix + "R2 of the place, linear probe", float(np.mean(read))),
                figure(prefix + "effective rank", health["effective_rank"]),
                figure(prefix + "symptoms of collapse", len(health["findings"])),
            )
            for horizon, wrong in rollout_errors(model, recorded).items():
                benchmark.add(figure(f"{prefix}off after {horizon} blocks", wrong, unit="px"))
            acting = recipes.acting(recipe)
            results = evaluate(
                lambda goals, count, model=model, acting=acting: acting.agent(model, goals, count),
                lambda count: worlds.make("two_rooms", count),
                replace(recipe.planning, episodes=TASKS, latency_decisions=5),
                visible=False,
            )
            benchmark.add(
                estimate(prefix + "success", results.agent.ever.to_json()),
                estimate(prefix + "success across", results.agent.groups["across"][0].to_json()),
            )


@torch.no_grad()
def rollout_errors(model: Model, recorded: Dataset) -> dict[int, float]:
    """Median distance in pixels of the imagined place from the true one, by horizon."""
    world_model = model.world_model
    known = world_model.predictor.window - 1
    sampler = WindowSampler(
        recorded.load(model.notes["held_out_episodes"], keys=[*world_model.perception.keys, TRUTH]),
        WindowConfig(
            length=known + 1 + max(HORIZONS), action_block=world_model.config.action_block
        ),
    )
    clips = sampler.sample(400, torch.Generator().manual_seed(0))
    actions = world_model.normalise(clips.actions)
    seen = {key: values[:, : known + 1] for key, values in clips.observation.items()}
    latents = world_model.encode(seen)
    past = Past(latents=latents[:, :known], actions=actions[:, :known])
    futures = world_model.rollout(latents[:, known], actions[:, known:], past=past)
    read = model.read(futures)
    found = torch.stack([read[name] for name in PLACE], dim=-1)
    names = recorded.signature.observation[TRUTH].names
    columns = [names.index(name) for name in PLACE]
    true = clips.observation[TRUTH][:, known:, 0][..., columns]
    wrong = (found - true).square().sum(-1).sqrt()
    return {horizon: float(wrong[:, horizon].median()) for horizon in HORIZONS}


if __name__ == "__main__":
    main("encoders", measure)
