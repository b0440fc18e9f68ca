"""What an ensemble's disagreement is worth: does it find what was never seen, and rank errors?"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from forethought import data, recipes, worlds
from forethought.evaluation.statistics import auroc, rank_correlation
from forethought.learning import HindsightTrainingConfig, TrainConfig
from forethought.learning.train import train
from forethought.model import Model
from forethought.types import Signature
from forethought.world_model import EnsembleConfig
from forethought.worlds.picture import CAMERA, DOT, FLOOR, SIZE
from forethought.worlds.two_rooms import FIXED, Layout, draw
from harness import Benchmark, figure, main

COUNT = 1000
HORIZONS = (1, 5, 10)
COLOURS = {"blue": (40.0, 90.0, 220.0), "green": (40.0, 160.0, 60.0)}


def measure(benchmark: Benchmark) -> None:
    recording = recipes.get("two_rooms").recording
    assert recording is not None
    recorded = data.record(
        worlds.make("two_rooms", recording.num_worlds),
        benchmark.folder("data") / "rooms.lance",
        num_episodes=recording.num_episodes,
        episode_length=recording.episode_length,
        resume=benchmark.resume,
    )
    for seed in benchmark.seeds:
        out = benchmark.folder(f"seed{seed}") / "run"
        model = train(recorded, members(recorded.signature, seed), out, resume=benchmark.resume)
        rooms = Rooms(model, np.random.default_rng((7, seed)))
        transitions(benchmark, rooms, f"seed {seed}: ")
        errors(benchmark, rooms, f"seed {seed}: ")
    cost(benchmark, recorded.signature)


def members(signature: Signature, seed: int) -> TrainConfig:
    """The plain recipe for twice as long, with five predictors that see half of each latent, and
    hindsight."""
    config = recipes.configure("two_rooms", signature, seed=seed)
    ensemble = EnsembleConfig(member=config.world_model.predictor, shown=0.5)
    objective = config.objective
    longer = replace(objective.optimiser, num_steps=2 * objective.optimiser.num_steps)
    return replace(
        config,
        objective=replace(objective, optimiser=longer),
        world_model=replace(config.world_model, predictor=ensemble),
        critic=None,
        hindsight=HindsightTrainingConfig(),
    )


@dataclass(frozen=True)
class Rooms:
    """The two rooms as the model sees them, with places and pushes drawn at random.

    Attributes:
        model: the model.
        generator: of places and pushes.
    """

    model: Model
    generator: np.random.Generator

    def places(self, count: int = COUNT) -> np.ndarray:
        """Free places ``(count, 2)``."""
        found = np.empty((0, 2))
        while len(found) < count:
            drawn = self.generator.uniform(2, SIZE - 2, (4 * count, 2))
            found = np.concatenate([found, drawn[~layout(len(drawn)).blocked(drawn)]])
        return found[:count]

    def pushes(self, horizon: int) -> np.ndarray:
        """Persistent, noisy model actions ``(COUNT, horizon, 10)``, as in the recordings."""
        heading = self.generator.uniform(0, 2 * np.pi, (COUNT, 1, 1, 1))
        speed = self.generator.uniform(0.4, 1.2, (COUNT, 1, 1, 1))
        push = speed * np.concatenate([np.cos(heading), np.sin(heading)], axis=-1)
        noise = self.generator.normal(0, 0.2, (COUNT, horizon, 5, 2))
        return np.clip(push + noise, -1.2, 1.2).reshape(COUNT, horizon, 10)

    def paths(self, start: np.ndarray, pushes: np.ndarray) -> np.ndarray:
        """Where pushes lead, in model steps: ``(count, horizon + 1, 2)``.

        Pushes beyond the world's strength are carried out in thirds, so that walls still stop.
        """
        place, seen = start, [start]
        for step in pushes.transpose(1, 0, 2):
            for push in step.reshape(len(step), 5, 2).transpose(1, 0, 2):
                for _ in range(3):
                    place = layout(len(place)).move(place, push / 3)
            seen.append(place)
        return np.stack(seen, axis=1)

    @torch.no_grad()
    def latents(
        self, places: np.ndarray, colour: tuple[float, ...] | None = None, share: object = 1.0
    ) -> torch.Tensor:
        """Latents ``(n, 1, d)`` of dots at places, coloured otherwise to some share."""
        pictures = draw(layout(len(places)), places).astype(np.float32)
        if colour is not None:
            # The dot is blended over its ground, so how deep it lies can be read from the picture.
            ground = draw(layout(len(places)), np.full_like(places, -20.0)).astype(np.float32)
            red, other = DOT - FLOOR, np.array(colour, np.float32) - FLOOR
            depth = ((pictures - ground) @ red / (red @ red))[..., None]
            part = np.broadcast_to(np.asarray(share, np.float32), (len(places),))
            mixed = (1 - part)[:, None] * red + part[:, None] * other
            pictures = np.clip(ground + depth * mixed[:, None, None], 0, 255)
        images = torch.as_tensor((pictures + 0.5).astype(np.uint8))
        return self.model.world_model.encode({CAMERA: images[:, None]})


def layout(count: int) -> Layout:
    """The fixed wall."""
    return Layout(wall=np.full(count, 32.0), door=np.full(count, 24.0), config=FIXED)


# ------------------------------------------------------------------------- transitions


def transitions(benchmark: Benchmark, rooms: Rooms, prefix: str) -> None:
    """Hindsight's spread on transitions that cannot be, against ordinary ones."""
    hindsight = rooms.model.hindsight
    assert hindsight is not None
    path = rooms.paths(rooms.places(), rooms.pushes(1))
    before, after = path[:, 0], path[:, 1]
    first, second = rooms.latents(before), rooms.latents(after)

    @torch.no_grad()
    def spread(one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
        return hindsight.spread(one, other).numpy()

    ordinary = spread(first, second)
    strange = {f"teleport of {far} px": teleport(rooms, before, far) for far in (8, 12, 20)}
    strange["passing through the wall"] = through_the_wall(rooms)
    goal = ">= 0.9"
    for name, (start, end) in strange.items():
        found = spread(rooms.latents(start), rooms.latents(end))
        benchmark.add(figure(f"{prefix}hindsight, {name}: AUROC", auroc(found, ordinary), goal))
    for name, colour in COLOURS.items():
        seen = rooms.latents(before, colour), rooms.latents(after, colour)
        found = spread(*seen)
        benchmark.add(figure(f"{prefix}hindsight, {name} dot: AUROC", auroc(found, ordinary), goal))
    beside = np.abs(before[:, 0] - 32) < 8
    benchmark.add(
        figure(
            f"{prefix}control: ordinary moves beside the wall: AUROC",
            auroc(ordinary[beside], ordinary[~beside]),
            n=int(beside.sum()),
        )
    )
    pushes = torch.as_tensor(rooms.pushes(1), dtype=torch.float32)[:, None]
    known = imagined(rooms.model, first, pushes)[1][:, 0]
    for name, colour in COLOURS.items():
        found = imagined(rooms.model, rooms.latents(before, colour), pushes)[1][:, 0]
        # Asked before the outcome: the goal is about transitions, which predictors do not see.
        benchmark.add(figure(f"{prefix}predictors, {name} dot: AUROC", auroc(found, known)))


def teleport(rooms: Rooms, before: np.ndarray, far: float) -> tuple[np.ndarray, np.ndarray]:
    """Jumps within a room; one model step reaches 6 px along each axis."""
    angle = rooms.generator.uniform(0, 2 * np.pi, len(before))
    after = before + far * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    inside = (after > 2).all(1) & (after < SIZE - 2).all(1) & ~layout(len(after)).blocked(after)
    inside &= layout(len(after)).side(after) == layout(len(before)).side(before)
    return before[inside], after[inside]


def through_the_wall(rooms: Rooms) -> tuple[np.ndarray, np.ndarray]:
    """From one face of the wall to the other, away from the door, no further than a step goes."""
    draw_ = rooms.generator.uniform
    y = draw_(34, 60, COUNT)
    left = np.stack([32 - draw_(1.6, 3.6, COUNT), y], axis=1)
    right = np.stack([32 + draw_(1.6, 3.6, COUNT), y + draw_(-2, 2, COUNT)], axis=1)
    back = rooms.generator.random((COUNT, 1)) < 0.5
    return np.where(back, right, left), np.where(back, left, right)


# ------------------------------------------------------------------------- errors


def errors(benchmark: Benchmark, rooms: Rooms, prefix: str) -> None:
    """Whether the predictors' spread ranks their true error, in the data and away from them."""
    even, none = np.ones(COUNT), np.zeros(COUNT)
    kinds = {
        "pushes up to three times too strong": (rooms.generator.uniform(0.5, 3, COUNT), none),
        "colour changed by degrees": (even, rooms.generator.uniform(0, 1, COUNT)),
        "within the data": (even, none),
    }
    for name, (strength, share) in kinds.items():
        pushes = rooms.pushes(max(HORIZONS)) * strength[:, None, None]
        path = rooms.paths(rooms.places(), pushes)
        seen = torch.stack(
            [rooms.latents(place, COLOURS["blue"], share) for place in path.transpose(1, 0, 2)], 1
        )
        actions = torch.as_tensor(pushes, dtype=torch.float32)[:, None]
        futures, spread = imagined(rooms.model, seen[:, 0], actions)
        wrong = (futures - seen[:, 1:]).square().mean((-1, -2)).sqrt().numpy()
        for horizon in HORIZONS:
            found = rank_correlation(spread[:, horizon - 1], wrong[:, horizon - 1])
            goal = None if name == "within the data" else ">= 0.6"
            label = f"{prefix}{name}, {horizon} steps: rank correlation with the error"
            benchmark.add(figure(label, found, goal, n=COUNT))


@torch.no_grad()
def imagined(
    model: Model, latents: torch.Tensor, actions: torch.Tensor
) -> tuple[torch.Tensor, np.ndarray]:
    """Foreseen latents ``(n, h, k, d)`` and spread ``(n, h)`` of one candidate each."""
    imagination = model.world_model.imagine(latents, actions)
    assert imagination.spread is not None
    return imagination.latents[:, 0, 1:], imagination.spread[:, 0].numpy()


# ------------------------------------------------------------------------- what it costs


def cost(benchmark: Benchmark, signature: Signature) -> None:
    """Seconds of a decision's imagining with five members over those with one, in one run."""
    normal = recipes.configure("two_rooms", signature)
    models = {
        "one": untrained(normal, signature),
        "five": untrained(members(signature, 0), signature),
    }
    picture = {CAMERA: torch.zeros(1, 1, SIZE, SIZE, 3, dtype=torch.uint8)}
    actions = torch.zeros(1, 64, 4, 10)
    taken: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(200):
        for name, model in models.items():
            began = time.perf_counter()
            with torch.no_grad():
                for _ in range(2):
                    latents = model.world_model.encode(picture)
                    model.world_model.imagine(latents, actions)
            taken[name].append(time.perf_counter() - began)
    ratio = float(np.median(taken["five"]) / np.median(taken["one"]))
    benchmark.add(figure("imagining with five members over one", ratio, "<= 5"))


def untrained(config: TrainConfig, signature: Signature) -> Model:
    """A model of a run's make."""
    from forethought.model import ModelConfig
    from forethought.perception import Normaliser

    shown = replace(signature, observation={CAMERA: signature.observation[CAMERA]})
    actions = Normaliser([0.0] * 10, [1.0] * 10)
    return Model(ModelConfig(world_model=config.world_model), shown, {"action": actions}).eval()


if __name__ == "__main__":
    main("ensemble", measure, seeds=2)
