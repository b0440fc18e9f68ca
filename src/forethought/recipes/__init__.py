"""Recipes: named, complete configurations, each a function that returns one."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from forethought.data.store import Dataset
from forethought.learning import BeginFrom, InferredActionsConfig, JEPAConfig
from forethought.learning.train import TrainConfig
from forethought.learning.train import train as train_config
from forethought.model import Model
from forethought.recipes.car_racing import car_racing
from forethought.recipes.fork import fork
from forethought.recipes.pendulum import pendulum
from forethought.recipes.pendulum_limits import pendulum_limits
from forethought.recipes.physics import physics
from forethought.recipes.point_hazards import point_hazards
from forethought.recipes.reacher import reacher, reacher_joints
from forethought.recipes.recipe import Acting, Recipe, Recording
from forethought.recipes.recordings import (
    driving,
    fast_robot_arm,
    process,
    robot_arm,
    robot_camera,
    vehicle_state,
)
from forethought.recipes.rooms_maze import rooms_maze, rooms_maze_one
from forethought.recipes.two_rooms import (
    two_rooms,
    two_rooms_compass,
    two_rooms_random,
    two_rooms_random_plain,
)
from forethought.recipes.two_rooms_hazards import two_rooms_hazards
from forethought.recipes.two_rooms_sign import two_rooms_sign
from forethought.types import ForethoughtError, Signature

_recipes: dict[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe
    for recipe in (
        two_rooms,
        two_rooms_compass,
        two_rooms_random,
        two_rooms_random_plain,
        two_rooms_hazards,
        two_rooms_sign,
        pendulum,
        pendulum_limits,
        reacher,
        reacher_joints,
        fork,
        rooms_maze,
        rooms_maze_one,
        point_hazards,
        physics,
        car_racing,
        vehicle_state,
        process,
        robot_arm,
        fast_robot_arm,
        robot_camera,
        driving,
    )
}


def names() -> list[str]:
    """The recipes there are."""
    return sorted(_recipes)


def register_recipe(recipe: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """Decorator: adds a recipe of one's own, under the name of its function."""
    _recipes[recipe.__name__] = recipe
    return recipe


def get(name: str) -> Recipe:
    """A recipe by name.

    Raises:
        ForethoughtError: no recipe of that name; suggests the closest.
    """
    if name not in _recipes:
        close = difflib.get_close_matches(name, _recipes, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ForethoughtError(f"no recipe {name!r}; there are {names()}.{hint}")
    return _recipes[name]()


def acting(recipe: Recipe) -> Acting:
    """How agents of a recipe plan.

    Raises:
        ForethoughtError: the recipe is for recordings without a simulator.
    """
    if recipe.acting is None:
        raise ForethoughtError(
            f"recipe {recipe.name!r} is for recordings without a simulator and plans nothing; "
            "measure it with `forethought predict`."
        )
    return recipe.acting


def configure(
    recipe: str, signature: Signature, *, seed: int = 0, steps: int | None = None
) -> TrainConfig:
    """The training run of a recipe, with the everyday overrides applied.

    Args:
        recipe: its name.
        signature: of the data.
        seed: of weights, batches and the split.
        steps: steps of pretraining instead of the recipe's; those of critic,
            hindsight and levels follow in proportion.
    """
    config = replace(get(recipe).training(signature), seed=seed)
    return config if steps is None else _scaled(config, steps)


def _scaled(config: TrainConfig, steps: int) -> TrainConfig:
    """The same run with another number of pretraining steps, and later stages' in proportion."""
    objective, critic = config.objective, config.critic
    share = steps / objective.optimiser.num_steps
    optimiser = replace(objective.optimiser, num_steps=steps)
    config = replace(config, objective=replace(objective, optimiser=optimiser))
    if critic is not None:
        scaled = critic.with_steps(round(share * critic.optimiser.num_steps))
        config = replace(config, critic=scaled)
    if (hindsight := config.hindsight) is not None:
        scaled = replace(hindsight, optimiser=hindsight.optimiser.scaled(share))
        config = replace(config, hindsight=scaled)
    if (hierarchy := config.hierarchy) is not None:
        scaled = replace(hierarchy, optimiser=hierarchy.optimiser.scaled(share))
        config = replace(config, hierarchy=scaled)
    return config


def train(
    data: Dataset,
    *,
    recipe: str,
    out: Path | str,
    seed: int = 0,
    steps: int | None = None,
    begin: Path | str | None = None,
    freeze: bool = False,
    clips: Dataset | None = None,
    infer_actions: bool = False,
    resume: bool = False,
    tensorboard: bool = False,
    visible: bool = True,
) -> Model:
    """Trains a model on a dataset by a recipe and leaves it in a folder.

    Args:
        data: recorded episodes.
        recipe: name of the recipe.
        out: folder of the run.
        seed: of weights, batches and the split.
        steps: steps of pretraining instead of the recipe's; those of critic,
            hindsight and levels follow in proportion.
        begin: folder of a run or of pretraining whose perception is taken to begin with.
        freeze: leave that perception as it is.
        clips: recordings whose actions are not looked at; the critic learns from them as well.
        infer_actions: tell the actions of the clips by the perception to begin with, so that the
            world model learns from them too.
        resume: continue the run in ``out``; start it if there is none.
        tensorboard: also write TensorBoard events.
        visible: show progress.

    Raises:
        ForethoughtError: an unknown recipe, data that do not fit it, or a folder in use.
    """
    config = configure(recipe, data.signature, seed=seed, steps=steps)
    if begin is not None or freeze:
        config = _begun(config, begin, freeze=freeze)
    if infer_actions:
        config = replace(config, inferred=InferredActionsConfig())
    return train_config(
        data,
        config,
        out,
        clips=clips,
        resume=resume,
        tensorboard=tensorboard,
        visible=visible,
    )


def _begun(config: TrainConfig, begin: Path | str | None, *, freeze: bool) -> TrainConfig:
    """The same run from the perception of an earlier one."""
    objective = config.objective
    if freeze and (begin is None or not isinstance(objective, JEPAConfig)):
        raise ForethoughtError(
            f"freeze leaves the perception of an earlier run as it is, found begin={begin} and the "
            f"objective {type(objective).__name__}; give --begin with a recipe that trains by "
            "JEPAConfig."
        )
    if isinstance(objective, JEPAConfig):
        objective = replace(objective, frozen_encoder=freeze or objective.frozen_encoder)
    earlier = BeginFrom(run=str(begin)) if begin is not None else None
    return replace(config, objective=objective, begin=earlier)


__all__ = [
    "Acting",
    "Recipe",
    "Recording",
    "acting",
    "configure",
    "get",
    "names",
    "register_recipe",
    "train",
]
