"""What ``forethought bench`` measures: a run, searched as its recipe says, or a stock model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from forethought import recipes, worlds
from forethought.evaluation.planning import Setting
from forethought.evaluation.speed import (
    Noise,
    SpeedProtocol,
    SpeedResults,
    measure_speed,
    variants,
)
from forethought.model import Model, load_model
from forethought.recipes import stock
from forethought.recipes.recipe import Acting, usual_acting
from forethought.types import ForethoughtError


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured.

    Attributes:
        name: what it is, in words.
        model: it.
        acting: how it is searched.
        make_setting: where its agent acts.
    """

    name: str
    model: Model
    acting: Acting
    make_setting: Callable[[], Setting]

    def to(self, device: str) -> Subject:
        """The same on another device.

        Raises:
            ForethoughtError: there is no such device.
        """
        try:
            self.model.to(torch.device(device))
        except (RuntimeError, AssertionError) as error:
            raise ForethoughtError(
                f"--device {device}: PyTorch has no such device here ({error}). Leave it out to "
                "measure on the processor."
            ) from error
        return self

    def measure(self, protocol: SpeedProtocol, *, visible: bool = True) -> SpeedResults:
        """How fast it is; see :func:`measure_speed`."""
        return measure_speed(
            variants(self.model.eval()),
            lambda model, goals: self.acting.agent(model, goals, 1),
            self.make_setting,
            protocol,
            visible=visible,
        )


def run_subject(folder: Path) -> Subject:
    """A trained model, in its own world where its recipe has one.

    Raises:
        ForethoughtError: no run there.
    """
    model = load_model(folder)
    known = model.notes.get("recipe")
    recipe = recipes.get(known) if known in recipes.names() else None
    acting = (recipe and recipe.acting) or usual_acting(model.signature)
    make_setting: Callable[[], Setting] = partial(Noise, model.signature)
    if recipe and recipe.acting and recipe.recording:
        make_setting = partial(worlds.make, recipe.recording.world, 1)
    return Subject(name=str(folder), model=model, acting=acting, make_setting=make_setting)


def stock_subject(name: str) -> Subject:
    """A stock model.

    Raises:
        ForethoughtError: none of that name.
    """
    one = stock.get(name)
    return Subject(
        name=f"{name}, random weights ({one.description})",
        model=one.build(),
        acting=one.acting,
        make_setting=partial(Noise, one.signature),
    )
