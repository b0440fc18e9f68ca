"""What is out of sight stays known: two rooms and a sign, with a memory of slots and without.

Three models differ in their predictor alone: a memory of slots that spans the episode, the present
only, and a gated recurrent network over a window of four model steps. Two doors look alike, the
sign is long out of sight, and the door nearer to the goal is the trap half of the time, so that
guessing is right half of the time.

Besides success it is asked what each remembers, in the hall, where both doors are ahead. What it
*carries* (all that the slots hold; the hidden state; the latent) is told apart by a linear probe,
fitted on some tasks and asked on others: does it say which door is safe? What it *foresees* needs
no probe: imagined through either door, which one lets it pass?

Parts can be run by themselves: ``python benchmarks/memory.py --resume --only memory``. Models that
are trained already are kept where the benchmark is resumed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from forethought import data, recipes, worlds
from forethought.data.dataset import Dataset
from forethought.evaluation.planning import evaluate
from forethought.evaluation.statistics import wilson
from forethought.learning.folder import SUMMARY
from forethought.learning.ridge import fit_ridge
from forethought.learning.train import train
from forethought.memory import SlotPredictor
from forethought.model import Model
from forethought.types import Past
from forethought.world_model import GRUConfig, PredictorConfig, ResidualMLPConfig
from forethought.world_model.predictors import GRU
from forethought.worlds.picture import CAMERA
from forethought.worlds.two_rooms_sign import TwoRoomsSign
from harness import Benchmark, Figure, estimate, figure, main

RECIPE = "two_rooms_sign"
PREDICTORS: dict[str, tuple[PredictorConfig | None, str | None]] = {
    "memory of slots": (None, ">= 0.9"),
    "no memory": (ResidualMLPConfig(hidden=(192, 192)), "< 0.6"),
    "window of four": (GRUConfig(hidden=96, window=4), None),
}
"""By name: the predictor in place of the recipe's, and the goal for its success."""
FIRST, FITTED, ASKED = 2_000_000, 400, 400
"""First task that memory is probed on, and how many are for fitting and for asking."""
AHEAD = 7
"""Model steps that are imagined from the hall."""
Given = Callable[[], tuple[Model, Path]]
"""A trained model and its folder, when they are wanted."""


def measure(benchmark: Benchmark) -> None:
    recording = recipes.get(RECIPE).recording
    assert recording is not None
    recorded = data.record(
        worlds.make(RECIPE, recording.num_worlds),
        benchmark.folder("data") / "sign.lance",
        num_episodes=recording.num_episodes,
        episode_length=recording.episode_length,
        resume=benchmark.resume,
    )
    for seed in benchmark.seeds:
        for label in PREDICTORS:
            part = f"{label.replace(' ', '_')}-{seed}"
            run = benchmark.folder(f"models/{part}") / "run"
            given = partial(trained, recorded, label, seed, run)
            prefix = f"seed {seed}: {label}, "
            benchmark.part(part, partial(success, given, prefix, PREDICTORS[label][1]))
            benchmark.part(f"{part}-remembered", partial(remembered, given, prefix))


def trained(recorded: Dataset, label: str, seed: int, run: Path) -> tuple[Model, Path]:
    """The recipe's model with one of the predictors, and its folder; kept where it was trained."""
    config = recipes.configure(RECIPE, recorded.signature, seed=seed)
    predictor, _ = PREDICTORS[label]
    if predictor is not None:
        config = replace(config, world_model=replace(config.world_model, predictor=predictor))
    return train(recorded, config, run, resume=True, visible=False), run


def success(given: Given, prefix: str, goal: str | None, _: Path) -> Sequence[Figure]:
    """How often goals are reached, in all and by which door is the trap."""
    (model, run), recipe = given(), recipes.get(RECIPE)
    seconds = json.loads((run / SUMMARY).read_text())["train_seconds"]
    settings, seed = recipes.acting(recipe), int(model.notes["seed"])
    results = evaluate(
        lambda goals, number: settings.agent(model, goals, number, seed=seed),
        lambda number: worlds.make(RECIPE, number),
        recipe.planning,
        visible=False,
    )
    rates = results.headline()
    return [
        figure(prefix + "training", seconds, unit="s"),
        estimate(prefix + "success", rates["agent"], goal),
        *(
            estimate(f"{prefix}success, {name}", ever.to_json())
            for name, (ever, _) in results.agent.groups.items()
        ),
        *(estimate(prefix + end, rates[end]) for end in ("floor", "ceiling")),
    ]


# ------------------------------------------------------------------------ what is remembered


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Tasks in which the dot walked through one door or the other, in model steps.

    Attributes:
        latents: ``(n, t, k, d)``.
        actions: ``(n, t, a)`` standardised.
        since: world steps since the sign was in sight, in the hall, averaged.
        hall: the model step at which each dot is about to enter the hall, or is in it.
        safe: -1 where the upper door is safe, 1 where the lower one is.
    """

    latents: Float[Tensor, "n t k d"]
    actions: Float[Tensor, "n t a"]
    since: float
    hall: np.ndarray
    safe: np.ndarray


@torch.no_grad()
def walked(model: Model, side: float) -> Walk:
    """All tasks, walked through a door as if it were safe, so that what is done tells nothing."""
    world, passing = TwoRoomsSign(FITTED + ASKED), TwoRoomsSign(FITTED + ASKED)
    images = [world.reset(range(FIRST, FIRST + world.num_worlds))[CAMERA]]
    passing.reset(world.seeds)
    passing.safe[:] = "up" if side < 0 else "down"
    places, actions = [world.position], []
    config, safe = world.config, world.truth()["safe"]
    block = model.config.world_model.action_block
    # Out of the corridor, through the wall, and what is imagined from the hall.
    steps = int(config.hall[1] / config.max_step / block) + 1 + AHEAD
    for _ in range(steps * block):
        actions.append(passing.oracle())
        passing.step(actions[-1])
        images.append(world.step(actions[-1])[CAMERA])
        places.append(world.position)
    at = np.stack(places)[:, :, 0]
    hall = (at[::block] < config.hall[0]).sum(0)
    seen = (at - config.sign[0] < config.sight + config.sign_radius).sum(0)
    moves = torch.as_tensor(np.stack(actions, 1)).unflatten(1, (steps, block)).flatten(2)
    pictures = [torch.as_tensor(one)[:, None] for one in images[::block]]
    latents = [model.world_model.encode({CAMERA: one}) for one in pictures]
    return Walk(
        latents=torch.stack(latents, 1),
        actions=model.world_model.normalise(moves),
        since=float((hall * block - seen).mean()),
        hall=hall,
        safe=safe,
    )


def remembered(given: Given, prefix: str, _: Path) -> Sequence[Figure]:
    """Whether what is carried, and what is foreseen, tell the safe door in the hall."""
    model, _ = given()
    up, down = walked(model, -1.0), walked(model, 1.0)
    asked = slice(FITTED, None)
    held = carried(model, up)
    safe = torch.as_tensor(up.safe[:FITTED, None]).float()
    fitted = fit_ridge(held[:FITTED], safe, torch.arange(FITTED))
    told = np.sign(fitted(held[asked])[:, 0].numpy())
    passes = np.sign(progress(model, down) - progress(model, up))
    return [
        figure(prefix + "since the sign was seen, in the hall", up.since, unit="steps"),
        estimate(
            prefix + "safe door told from what is carried",
            wilson(told == up.safe[asked]).to_json(),
        ),
        estimate(
            prefix + "safe door told by what is foreseen",
            wilson(passes == up.safe).to_json(),
        ),
    ]


@torch.no_grad()
def carried(model: Model, walk: Walk) -> Float[Tensor, "n c"]:
    """All that the predictor has of the past in the hall, the present included."""
    predictor = model.world_model.predictor
    rows = []
    for index, hall in enumerate(walk.hall):
        # What is written, or enters, is a step with its action: the last is that of coming here.
        window = slice(max(0, hall - predictor.window + 1), hall)
        seen, moves = walk.latents[None, index, window], walk.actions[None, index, window]
        if isinstance(predictor, SlotPredictor):
            past = predictor.holds(seen, moves).slots
        elif isinstance(predictor, GRU):
            past = predictor.holds(seen, moves)
        else:
            past = seen[:, :0]
        rows.append(torch.cat([past.flatten(), walk.latents[index, hall].flatten()]))
    return torch.stack(rows)


@torch.no_grad()
def progress(model: Model, walk: Walk) -> Float[np.ndarray, " n"]:
    """x at which an imagined walk through a door ends, begun in the hall."""
    ends = []
    for index, hall in enumerate(walk.hall):
        one, past = slice(index, index + 1), slice(None, hall)
        ahead = model.world_model.rollout(
            walk.latents[one, hall],
            walk.actions[one, hall : hall + AHEAD],
            past=Past(latents=walk.latents[one, past], actions=walk.actions[one, past]),
        )
        ends.append(float(model.read(ahead[:, -1])["position.x"]))
    return np.array(ends)


if __name__ == "__main__":
    main("memory", measure)
