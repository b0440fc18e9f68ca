"""A world model of one's own, trained and evaluated like all others.

    python examples/own_model.py DATA RUN two_rooms

What is to be foreseen is the change of a latent under an action: a module with `step`, and a frozen
dataclass that builds it and is saved with the run. `forethought.checkers.check_predictor` tests it.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

import forethought as ft
from forethought.config import register
from forethought.world_model import PredictorConfig
from forethought.world_model.predictors import MarkovPredictor


@register
@dataclass(frozen=True, kw_only=True)
class GatedConfig(PredictorConfig):
    """Width of the hidden layer."""

    hidden: int = 128

    def build(self, tokens: int, width: int, action_width: int) -> "Gated":
        """See forethought.world_model.PredictorConfig."""
        return Gated(tokens * width, action_width, self.hidden)


class Gated(MarkovPredictor):
    """Latents are moved as far as a gate lets them: what nothing pushes stays as it is."""

    def __init__(self, size: int, action_width: int, hidden: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(size + action_width, hidden), nn.GELU())
        self.move, self.gate = nn.Linear(hidden, size), nn.Linear(hidden, size)

    def step(self, latents, actions):
        """The next latents."""
        seen = self.trunk(torch.cat([latents.flatten(1), actions], dim=-1))
        change = torch.sigmoid(self.gate(seen)) * self.move(seen)
        return latents + change.view_as(latents)


def main(
    data: str, run: str, world: str, *, steps: int | None = None, **protocol: int
) -> ft.evaluation.PlanningResults:
    """Trains the recipe of a world with this predictor in place of its own, and evaluates it."""
    recorded = ft.data.open(data)
    config = ft.recipes.configure(world, recorded.signature, steps=steps)
    config = replace(config, world_model=replace(config.world_model, predictor=GatedConfig()))
    model = ft.learning.train(recorded, config, run)
    recipe = ft.recipes.get(world)
    acting = ft.recipes.acting(recipe)
    results = ft.evaluate(
        lambda goals, count: acting.agent(model, goals, count),
        lambda count: ft.worlds.make(world, count),
        replace(recipe.planning, **protocol),
    )
    (Path(run) / "evaluate.json").write_text(json.dumps(results.to_json()))
    print(results.headline(), f"forethought compare RUN {run}", sep="\n")
    return results


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python examples/own_model.py DATA RUN WORLD")
    main(*sys.argv[1:])
