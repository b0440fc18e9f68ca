"""Worlds with limits that must not be crossed, and models of them: shared by benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from forethought import data, recipes, worlds
from forethought.cost import Calibration, Constraint, Guardrail, apart, guardrail, keep_away, limit
from forethought.data import Dataset
from forethought.learning import CalibrationConfig, HierarchyTrainingConfig, calibrate
from forethought.learning.calibrating import probe_key
from forethought.learning.train import train
from forethought.model import Model
from forethought.world_model.hierarchy import HierarchyConfig, LevelConfig
from forethought.worlds.pendulum_limits import ANGLE_LIMIT, TORQUE_LIMIT
from forethought.worlds.point_hazards import HAZARD_RADIUS, SPEED_LIMIT
from harness import WORK

HORIZON = 8
EPISODES = (3000, 1500)
"""Fresh episodes for calibration, and for a test."""
PLACE = ("position.x", "position.y")


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """A world and what must hold in it.

    Attributes:
        name: of the world and of its recipe.
        conditions: makes them, by name.
        budget: world steps of an episode: about half as many again as tasks take.
    """

    name: str
    conditions: Callable[[], Mapping[str, Constraint]]
    budget: int

    def rails(self, risk: float, *, calibrated: bool = True) -> list[Guardrail]:
        """The conditions at a risk."""
        return [
            guardrail(one, name=name, risk=risk, calibrated=calibrated)
            for name, one in self.conditions().items()
        ]


def hazards_of_rooms() -> dict[str, Constraint]:
    config = worlds.make("two_rooms_hazards", 1).config  # type: ignore[attr-defined]
    return {
        "zone": apart(PLACE, ("zone.x", "zone.y"), distance=config.zone_radius),
        "disc": apart(PLACE, ("hazard.x", "hazard.y"), distance=config.patrol_radius),
    }


def limits_of_pendulum() -> dict[str, Constraint]:
    return {
        "angle": limit("angle.from_hanging", below=ANGLE_LIMIT, above=-ANGLE_LIMIT),
        "torque": limit("torque", below=TORQUE_LIMIT, above=-TORQUE_LIMIT),
    }


def hazards_of_point() -> dict[str, Constraint]:
    truth = worlds.make("point_hazards", 1).truth()
    places = [
        tuple(float(truth[f"hazard{number}.{axis}"][0]) for axis in "xy")
        for number in range(sum(name.endswith(".x") and "hazard" in name for name in truth))
    ]
    return {
        "hazards": keep_away(PLACE, *places, distance=HAZARD_RADIUS),
        "speed": limit("speed", below=SPEED_LIMIT),
    }


GUARDED = (
    Guarded(name="two_rooms_hazards", conditions=hazards_of_rooms, budget=120),
    Guarded(name="pendulum_limits", conditions=limits_of_pendulum, budget=80),
    Guarded(name="point_hazards", conditions=hazards_of_point, budget=120),
)


def trained(name: str, seed: int, *, level: LevelConfig | None = None) -> Model:
    """A model on the recipe's own recordings; made once for all benchmarks that ask.

    Args:
        name: of the world and of its recipe.
        seed: of the training.
        level: a slower level on top, which the recipe has not; None for none.
    """
    recipe = recipes.get(name)
    folder = WORK / "guarded" / name
    folder.mkdir(parents=True, exist_ok=True)
    assert recipe.recording is not None
    recording = data.record(
        worlds.make(name, recipe.recording.num_worlds),
        folder / "data",
        num_episodes=recipe.recording.num_episodes,
        episode_length=recipe.recording.episode_length,
        resume=True,
        visible=False,
    )
    config = recipes.configure(name, recording.signature, seed=seed)
    out = folder / f"run{seed}"
    if level is not None:
        levels = HierarchyConfig(levels=(level,))
        steps = (recipe.recording.episode_length - 1) // (
            level.stride * config.world_model.action_block
        )
        hierarchy = HierarchyTrainingConfig(hierarchy=levels, horizon=min(4, steps))
        config = replace(config, hierarchy=hierarchy)
        out = folder / f"levels{seed}"
    return train(recording, config, out, resume=True, visible=False)


def fresh(model: Model, name: str, part: int) -> Calibration:
    """One rollout from each of many new episodes, which are as long as that takes.

    Args:
        model: imagines them.
        name: of the world.
        part: 0 for calibration, 1 for a test.
    """
    config = model.config.world_model
    history = (config.perception.frame_stack - 1) * config.perception.frame_gap
    rows = history + (model.world_model.predictor.window + HORIZON - 1) * config.action_block + 1
    dataset = data.record(
        worlds.make(name, 50),
        Path(WORK / "guarded" / name / f"fresh{part}"),
        num_episodes=EPISODES[part],
        episode_length=rows,
        seed=10_000 * (1 + part),
        resume=True,
        visible=False,
    )
    return rollouts(model, dataset, range(dataset.num_episodes))


def rollouts(model: Model, dataset: Dataset, episodes: Sequence[int]) -> Calibration:
    """Every rollout of some episodes."""
    keys = list(dict.fromkeys([*model.world_model.perception.keys, probe_key(model)]))
    arrays = dataset.load(list(episodes), keys=keys, image_size=model.image_size)
    return calibrate(model, arrays, CalibrationConfig(num_rollouts=100_000, horizon=HORIZON))
