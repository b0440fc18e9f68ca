"""What is learned without actions, or in another world, and what it saves in this one.

Pictures are plentiful, recorded actions are few: 600 clips of the two rooms without actions, as
many as the recipe records, and 100 episodes with actions. Each arm says how many of the 100 it has
seen ("labelled") and what it makes of the clips. A tenth of them is too little to learn from by
itself, so that arms can differ. The same is then asked where 200 and 400 episodes have actions.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from forethought import data, recipes, worlds
from forethought.cost import Cost, avoid_vain, goal
from forethought.data import Dataset
from forethought.data.record import TRUTH
from forethought.data.windows import WindowConfig, WindowSampler
from forethought.evaluation.statistics import wilson
from forethought.learning import (
    BeginFrom,
    InferredActionsConfig,
    JEPAConfig,
    TrainConfig,
    pretrain,
    pretraining_of,
)
from forethought.learning.latents import encode_rows
from forethought.learning.train import CollapseWarning, train
from forethought.memory import AttemptsConfig
from forethought.model import Model
from forethought.types import Observation, World
from forethought.world_model.probes import fit_linear_probe, fit_mlp_probe, r_squared
from forethought.world_model.regularisers import TemporalSmoothnessConfig, VICRegConfig
from forethought.worlds.two_rooms import FIXED, TwoRooms
from harness import Benchmark, Figure, estimate, figure, main

CLIPS, LENGTH = 600, 100
"""Episodes whose pictures are shown without actions, and rows of each."""
RECORDED = (100, 200, 400)
"""Episodes recorded with actions: a tenth of them, with clips, against half of them by itself."""
LABELLED = (10, 20, 40, 50, 100, 200)
"""How many episodes may have their actions told; the first of those whose pictures are shown."""
TASKS, BUDGET, FIRST_TASK = 200, 200, 1_000_000
HORIZONS = (5, 10)
PLACE = ("position.x", "position.y")
OTHER_WALL = replace(FIXED, wall_range=(22.0, 22.0), door_range=(44.0, 44.0))
SMOOTH = 5.0
"""Weight of smoothness in pretraining, ten times the recipe's: with few actions the predictor has
to find the latents nearly linear."""
SUCCESS = -2
"""Where among an arm's figures its success is."""


class Turned(TwoRooms):
    """The same pictures, but every push acts a quarter turn to the left."""

    def step(self, actions: np.ndarray) -> Observation:
        """See :class:`forethought.types.World`."""
        pushes = np.asarray(actions)
        return super().step(np.stack([pushes[:, 1], -pushes[:, 0]], axis=1))


PRETRAINED = "two_rooms, pretrained, fine-tuned, {} labelled, actions inferred"
SCRATCH = "two_rooms, scratch, {} labelled"

MakeWorld = Callable[[int], World]
WORLDS: dict[str, MakeWorld] = {
    "two_rooms": lambda count: worlds.make("two_rooms", count),
    "turned": lambda count: Turned(count, name="turned"),
    "other_wall": lambda count: TwoRooms(count, config=OTHER_WALL, name="other_wall"),
}


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Recordings of one world.

    Attributes:
        make: the world.
        labelled: by their number, the first episodes of the clips.
        clips: without actions; None where no arm asks for them.
        test: other episodes, for figures alone.
    """

    make: MakeWorld
    labelled: dict[int, Dataset]
    clips: Dataset | None
    test: Dataset


def record(benchmark: Benchmark, name: str) -> Recorded:
    make, folder = WORLDS[name], benchmark.folder(name)

    def recording(label: str, count: int, length: int, seed: int = 0) -> Dataset:
        # The same number of copies each time, so that fewer episodes are the first of more.
        world, path = make(CLIPS), folder / f"{label}.lance"
        return data.record(
            world,
            path,
            num_episodes=count,
            episode_length=length,
            seed=seed,
            resume=benchmark.resume,
            visible=False,
        )

    return Recorded(
        make=make,
        labelled={count: recording(f"{count}", count, LENGTH) for count in LABELLED},
        clips=recording("clips", CLIPS, LENGTH) if name == "two_rooms" else None,
        test=recording("test", 60, 126, seed=7),
    )


# ------------------------------------------------------------------------------- the arms


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Trains and measures, one arm after another.

    Attributes:
        benchmark: where figures go.
        seed: of training.
    """

    benchmark: Benchmark
    seed: int

    def configure(self, recorded: Recorded) -> TrainConfig:
        """The recipe; probes are fitted by the benchmark, for all arms alike."""
        signature = recorded.test.signature
        return replace(recipes.configure("two_rooms", signature, seed=self.seed), probes=None)

    def pretrained(
        self, recorded: Recorded, *, weight: float = 1.0, smooth: float = SMOOTH
    ) -> BeginFrom:
        """A perception that has seen all clips and no action.

        Args:
            recorded: of the world.
            weight: of masked prediction; zero leaves the regularisers alone.
            smooth: weight of smoothness in time.
        """
        clips = recorded.clips
        assert clips is not None
        config = pretraining_of(self.configure(recorded), clips.signature)
        regularisers = (VICRegConfig(), TemporalSmoothnessConfig(weight=smooth))
        objective = replace(config.objective, weight=weight, regularisers=regularisers)
        label = f"masked prediction {weight:g}, smoothness {smooth:g}"
        out = self.benchmark.folder(f"pretrained-{weight:g}-{smooth:g}-{self.seed}") / "run"
        pretrain(
            clips,
            replace(config, objective=objective),
            out,
            resume=self.benchmark.resume,
            visible=False,
        )
        summary = json.loads((out / "pretrain.json").read_text())
        health = summary["diagnostics"]
        prefix = f"two_rooms, seed {self.seed}, pretraining without actions, {label}: "
        self.benchmark.add(
            figure(prefix + "effective rank", health["effective_rank"]),
            figure(prefix + "hidden moments, error against copy", health["copy_ratio"]),
        )
        return BeginFrom(run=str(out))

    def run(
        self,
        name: str,
        recorded: Recorded,
        count: int,
        *,
        begin: BeginFrom | None = None,
        frozen: bool = False,
        clips: bool = False,
        inferred: bool = False,
    ) -> float:
        """Trains one arm and measures it; its success.

        Args:
            name: of the arm.
            recorded: of the world that it is for.
            count: episodes whose actions it sees.
            begin: whose weights it begins with.
            frozen: whether its perception is left as it begins.
            clips: whether its critic learns from all clips, actions unseen.
            inferred: whether the actions of the clips are inferred, for its world model to learn.
        """
        config = self.configure(recorded)
        objective = config.objective
        assert isinstance(objective, JEPAConfig)
        objective = replace(objective, frozen_encoder=frozen)
        out = self.out(name)
        model = train(
            recorded.labelled[count],
            replace(
                config,
                objective=objective,
                begin=begin,
                inferred=InferredActionsConfig() if inferred else None,
            ),
            out,
            clips=recorded.clips if clips else None,
            resume=self.benchmark.resume,
            visible=False,
        )
        kept, before = out / "figures.json", len(self.benchmark.figures)
        if kept.exists():
            self.benchmark.add(*(Figure(**one) for one in json.loads(kept.read_text())))
        else:
            prefix = f"{name}, seed {self.seed}: "
            summary = json.loads((out / "train.json").read_text())
            if inferred:
                told = summary["inferred_actions"]["explained"]
                self.benchmark.add(figure(prefix + "inferred actions, variance explained", told))
            self.describe(prefix, model, recorded)
            self.reach(prefix, model, recorded.make)
            found = self.benchmark.figures[before:]
            kept.write_text(json.dumps([asdict(one) for one in found]))
        return self.benchmark.figures[before:][SUCCESS].value

    def out(self, name: str, *, fresh: bool | None = None) -> Path:
        """The folder of an arm's run; emptied unless resuming, or unless told."""
        label = "".join(one if one.isalnum() else "-" for one in name)
        return self.benchmark.folder(f"{label}-{self.seed}", fresh=fresh) / "run"

    def describe(self, prefix: str, model: Model, recorded: Recorded) -> None:
        """What the latents hold, and how far imagined places are off, on episodes of no training.

        Probes are fitted on all episodes for every arm, so that what differs is the latent.
        """
        place = Place(model, recorded.labelled[100], self.seed)
        self.benchmark.add(
            figure(prefix + "R2 of the place, linear probe", place.r2(recorded.test))
        )
        for horizon, wrong in place.wrong(recorded.test).items():
            self.benchmark.add(figure(f"{prefix}off after {horizon} blocks", wrong, unit="px"))

    def reach(self, prefix: str, model: Model, make: MakeWorld) -> None:
        """Success on held-out tasks; every arm's agent leaves alone what it tried in vain."""
        world = make(TASKS)
        observation = world.reset(range(FIRST_TASK, FIRST_TASK + TASKS))
        across = world.groups()["across"]
        acting = replace(
            recipes.acting(recipes.get("two_rooms")), goal=heedful, attempts=AttemptsConfig()
        )
        agent = acting.agent(model, world.goal(), TASKS)
        met = np.asarray(world.succeeded()).copy()
        for _ in range(BUDGET):
            observation = world.step(agent.act_batch(observation).action)
            met |= np.asarray(world.succeeded())
            if met.all():
                break
        self.benchmark.add(
            estimate(prefix + "success", wilson(met).to_json()),
            estimate(prefix + "success across", wilson(met[across]).to_json()),
        )


def heedful(observation: Observation) -> Cost:
    """The goal, and nothing again that was tried in vain."""
    return goal(observation=observation) + avoid_vain()


class Place:
    """The dot's place, read from a model's latents.

    Args:
        model: whose latents.
        fitted: episodes that the probes are fitted on.
        seed: of the probes.
    """

    def __init__(self, model: Model, fitted: Dataset, seed: int) -> None:
        self.world_model = model.world_model
        latents, true = self._rows(fitted)
        self.linear = fit_linear_probe(latents, true)
        self.probe = fit_mlp_probe(latents, true, generator=torch.Generator().manual_seed(seed))

    def r2(self, recorded: Dataset) -> float:
        """Share of the place's variance that a linear readout explains."""
        return float(r_squared(self.linear, *self._rows(recorded)).mean())

    @torch.no_grad()
    def wrong(self, recorded: Dataset) -> dict[int, float]:
        """Median distance in pixels of the imagined place from the true one, by horizon."""
        keys = [*self.world_model.perception.keys, TRUTH]
        sampler = WindowSampler(
            recorded.load(keys=keys),
            WindowConfig(
                length=1 + max(HORIZONS), action_block=self.world_model.config.action_block
            ),
        )
        clips = sampler.sample(400, torch.Generator().manual_seed(0))
        seen = {key: values[:, :1] for key, values in clips.observation.items()}
        latents = self.world_model.encode(seen)[:, 0]
        futures = self.world_model.rollout(latents, self.world_model.normalise(clips.actions))
        true = clips.observation[TRUTH][:, :, 0][..., _columns(recorded)]
        distance = (self.probe(futures) - true).square().sum(-1).sqrt()
        return {horizon: float(distance[:, horizon].median()) for horizon in HORIZONS}

    def _rows(self, recorded: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
        arrays = recorded.load(keys=[*self.world_model.perception.keys, TRUTH])
        latents = encode_rows(self.world_model, arrays)
        return latents, arrays.observation[TRUTH][:, _columns(recorded)]


def _columns(recorded: Dataset) -> list[int]:
    names = recorded.signature.observation[TRUTH].names
    return [names.index(name) for name in PLACE]


# ------------------------------------------------------------------------ what is compared


def measure(benchmark: Benchmark) -> None:
    warnings.simplefilter("ignore", CollapseWarning)
    recorded = {name: record(benchmark, name) for name in WORLDS}
    rooms = recorded["two_rooms"]
    every = [Arms(benchmark=benchmark, seed=seed) for seed in benchmark.seeds]
    begins = [arms.pretrained(rooms) for arms in every]
    alone = by_themselves(every, rooms)
    with_clips(every, rooms, begins, alone)
    first = every[0]
    what_matters(first, rooms, begins[0])
    before = first.out(SCRATCH.format(100), fresh=False)
    changed_world(first, recorded["turned"], before)
    another_world(first, recorded["other_wall"], before)


def by_themselves(every: list[Arms], rooms: Recorded) -> dict[int, float]:
    """Learning from scratch; mean success by the number of labelled episodes."""
    return {
        count: fmean(arms.run(SCRATCH.format(count), rooms, count) for arms in every)
        for count in LABELLED
    }


def with_clips(
    every: list[Arms], rooms: Recorded, begins: list[BeginFrom], alone: dict[int, float]
) -> None:
    """Pretraining without actions and a tenth of the actions, against more of them alone."""
    for total in RECORDED:
        tenth, half = total // 10, total // 2
        reached = fmean(
            arms.run(
                PRETRAINED.format(tenth),
                rooms,
                tenth,
                begin=replace(begin, encoder_rate=0.3),
                clips=True,
                inferred=True,
            )
            for arms, begin in zip(every, begins, strict=True)
        )
        label = f"two_rooms, all seeds: success, pretrained with {tenth} labelled, less scratch"
        every[0].benchmark.add(
            figure(f"{label} with {tenth}", reached - alone[tenth]),
            figure(f"{label} with {half}", reached - alone[half], ">= 0"),
        )


def what_matters(arms: Arms, rooms: Recorded, begin: BeginFrom) -> None:
    """The same with one thing left out or changed."""
    arms.run("two_rooms, scratch, 10 labelled, critic on clips", rooms, 10, clips=True)
    slow = replace(begin, encoder_rate=0.3)
    uninferred = "two_rooms, pretrained, fine-tuned, 10 labelled, critic on clips"
    arms.run(uninferred, rooms, 10, begin=slow, clips=True)
    name = "two_rooms, pretrained, frozen, 10 labelled, actions inferred"
    arms.run(name, rooms, 10, begin=begin, frozen=True, clips=True, inferred=True)
    for label, without in (
        ("without smoothness", arms.pretrained(rooms, smooth=0.0)),
        ("without masked prediction", arms.pretrained(rooms, weight=0.0)),
    ):
        slow = replace(without, encoder_rate=0.3)
        name = f"{PRETRAINED.format(10)}, {label}"
        arms.run(name, rooms, 10, begin=slow, clips=True, inferred=True)


def changed_world(arms: Arms, turned: Recorded, before: Path) -> None:
    """Every push acts in another direction now: a tenth of the actions, from the old model."""
    arms.run("turned, scratch, 10 labelled", turned, 10)
    old = BeginFrom(run=str(before), encoder_rate=0.1)
    name = "turned, old world model fine-tuned, 10 labelled"
    arms.run(name, turned, 10, begin=replace(old, whole=True))
    arms.run("turned, old perception fine-tuned, 10 labelled", turned, 10, begin=old)


def another_world(arms: Arms, other: Recorded, before: Path) -> None:
    """Wall and door elsewhere: the perception of the first world as it is, the rest anew."""
    arms.run("other wall, scratch, 10 labelled", other, 10)
    begin = BeginFrom(run=str(before))
    name = "other wall, frozen from the first world, 10 labelled"
    arms.run(name, other, 10, begin=begin, frozen=True)


if __name__ == "__main__":
    main("transfer", measure, seeds=3)
