"""What is out of sight stays known: two rooms and a sign, with a memory of slots and without.

Three models differ in their predictor alone: a memory of slots that spans the episode, the present
only, and a gated recurrent network over a window of four model steps. Two doors look alike and the
sign is long out of sight, so that guessing is right half of the time.
"""

from __future__ import annotations

from dataclasses import replace

from forethought import data, recipes, worlds
from forethought.evaluation.planning import evaluate
from forethought.learning.train import train
from forethought.world_model import GRUConfig, PredictorConfig, ResidualMLPConfig
from harness import Benchmark, estimate, main

RECIPE = "two_rooms_sign"
PREDICTORS: dict[str, tuple[PredictorConfig | None, str | None]] = {
    "memory of slots": (None, ">= 0.9"),
    "no memory": (ResidualMLPConfig(hidden=(192, 192)), "< 0.6"),
    "window of four": (GRUConfig(hidden=192, window=4), None),
}
"""By name: the predictor in place of the recipe's, and the goal for its success."""


def measure(benchmark: Benchmark) -> None:
    recipe = recipes.get(RECIPE)
    recording = recipe.recording
    assert recording is not None
    recorded = data.record(
        worlds.make(RECIPE, recording.num_worlds),
        benchmark.folder("data") / "sign.lance",
        num_episodes=recording.num_episodes,
        episode_length=recording.episode_length,
        resume=benchmark.resume,
    )
    settings = recipes.acting(recipe)
    for seed in benchmark.seeds:
        config = recipes.configure(RECIPE, recorded.signature, seed=seed)
        for label, (predictor, goal) in PREDICTORS.items():
            world_model = config.world_model
            if predictor is not None:
                world_model = replace(world_model, predictor=predictor)
            out = benchmark.folder(f"{label.replace(' ', '_')}-{seed}") / "run"
            model = train(
                recorded, replace(config, world_model=world_model), out, resume=benchmark.resume
            )
            results = evaluate(
                lambda goals, number, m=model, s=seed: settings.agent(m, goals, number, seed=s),
                lambda number: worlds.make(RECIPE, number),
                recipe.planning,
                visible=False,
            )
            rates = results.headline()
            benchmark.add(estimate(f"seed {seed}: success, {label}", rates["agent"], goal))
            for end in ("floor", "ceiling"):
                benchmark.add(estimate(f"seed {seed}: {label}, {end}", rates[end]))


if __name__ == "__main__":
    main("memory", measure)
